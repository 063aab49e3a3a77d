//! What a session costs the NATs, and what others did to them meanwhile: counted on the WAN.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::topology::sink;
use super::wan::{Crossing, Fate, Site};

/// What one side sent towards the other.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// SYNs, repeated ones included.
    pub syns: usize,
    /// Pairs of endpoints that they were between: each is a socket of the host, and an entry of its NAT.
    pub flows: usize,
    /// The most SYNs within one second.
    pub most_in_a_second: usize,
    /// From the last SYN to the server to the first one to the other side.
    pub ahead: Option<Duration>,
    /// How many connections others behind the same NAT opened in that time.
    pub others_ahead: usize,
}

/// Of the requester's and of the responder's site.
pub(super) fn of(crossings: &[Crossing]) -> [Load; 2] {
    [(Site::A, Site::B), (Site::B, Site::A)].map(|(from, to)| {
        let sent: Vec<Syn> = crossings
            .iter()
            .filter_map(|crossing| Syn::of(crossing, from))
            .collect();
        let punching = || sent.iter().filter(|syn| syn.is_to(to));
        let flows: HashSet<_> = punching().map(|syn| syn.flow).collect();
        let first = punching().map(|syn| syn.at).min();
        let contact = first.and_then(|first| {
            let contacts = sent.iter().filter(|syn| syn.is_to(Site::S) && !syn.others);
            contacts.map(|syn| syn.at).filter(|at| *at < first).max()
        });
        let ahead = first.zip(contact);
        let within =
            |syn: &&Syn| ahead.is_some_and(|(first, contact)| (contact..first).contains(&syn.at));
        Load {
            syns: punching().count(),
            flows: flows.len(),
            most_in_a_second: most_in_a_second(punching().map(|syn| syn.at).collect()),
            ahead: ahead.map(|(first, contact)| first - contact),
            others_ahead: sent.iter().filter(|syn| syn.others).filter(within).count(),
        }
    })
}

/// Whether it belongs to what other hosts behind the NATs do.
pub(super) fn is_of_others(crossing: &Crossing) -> bool {
    let is_sink = |address| address == sink().v4 || address == sink().v6;
    is_sink(crossing.packet.source) || is_sink(crossing.packet.destination)
}

/// A SYN that left a site.
struct Syn {
    at: Instant,
    to: Option<Site>,
    flow: (SocketAddr, SocketAddr),
    others: bool,
}

impl Syn {
    fn of(crossing: &Crossing, from: Site) -> Option<Self> {
        let (source, destination, segment) = crossing.packet.tcp()?;
        let is_syn = segment.flags.syn() && !segment.flags.ack();
        let counts = is_syn && crossing.from == from && crossing.fate != Fate::NoRoute;
        counts.then(|| Self {
            at: crossing.at,
            to: crossing.to,
            flow: (source, destination),
            others: is_of_others(crossing),
        })
    }

    /// Two peers behind one NAT are at one site: what they send each other by way of it is for neither of the others.
    fn is_to(&self, site: Site) -> bool {
        match site {
            Site::S => self.to == Some(Site::S),
            Site::A | Site::B => self.to.is_some_and(|to| to != Site::S),
        }
    }
}

fn most_in_a_second(mut times: Vec<Instant>) -> usize {
    times.sort();
    let mut first = 0;
    let mut most = 0;
    for (last, at) in times.iter().enumerate() {
        while at.duration_since(times[first]) >= Duration::from_secs(1) {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_begins_anywhere() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(most_in_a_second(Vec::new()), 0);
        let times = [0, 900, 950, 1_000, 1_800, 2_950].map(at);
        assert_eq!(most_in_a_second(times.to_vec()), 4);
    }
}
