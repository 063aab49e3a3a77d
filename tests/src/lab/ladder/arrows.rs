//! From three records, the WAN's and both hosts', to the way that each packet took.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Instant;

use super::Scene;
use super::lanes::{Lanes, Role};
use super::taps::Tap;
use crate::lab::packet::{Body, Summary};
use crate::lab::wan::{Crossing, Fate, Site};

/// One line of the ladder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// Milliseconds from the request.
    pub(super) at: f64,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Event {
        who: Role,
        text: String,
    },
    Arrow {
        from: Role,
        to: Role,
        label: String,
        end: End,
    },
}

/// How a packet's way ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    /// It arrived then.
    Arrived(f64),
    /// It came to the NAT that the arrow points to then, and no further.
    Dropped(f64),
    /// The WAN lost it.
    Lost,
    /// Its TTL ended at this hop of the WAN.
    Expired(u8),
    /// No such address.
    NoRoute,
}

/// What happened longer before the request belongs to registering.
const BEFORE: f64 = -1.0;

/// All lines, in order of time.
pub(super) fn rows(scene: &Scene<'_>, lanes: &Lanes, zero: Instant) -> Vec<Row> {
    let mut tracer = Tracer {
        lanes,
        zero,
        taps: [
            Tap::new(Role::A, &scene.tap_a, scene.a),
            Tap::new(Role::B, &scene.tap_b, scene.b),
        ],
        labels: Labels {
            main: scene.main,
            assists: scene.assists,
            seen: HashSet::new(),
        },
        rows: Vec::new(),
    };
    for crossing in &scene.story.crossings {
        tracer.crossing(crossing);
    }
    tracer.beside_the_wan(&scene.story.crossings);
    for (who, events) in [(Role::A, &scene.story.a), (Role::B, &scene.story.b)] {
        for (at, event) in events {
            let more = match event.name.as_str() {
                "verified" => event.text("strategy"),
                "failed" => event.text("reason"),
                _ => None,
            };
            let text = more.map_or_else(
                || event.name.clone(),
                |more| format!("{}: {more}", event.name),
            );
            tracer.push(*at, What::Event { who, text });
        }
    }
    let mut rows = tracer.rows;
    rows.retain(|row| row.at >= BEFORE);
    rows.sort_by(|one, other| one.at.total_cmp(&other.at));
    rows
}

struct Tracer<'t> {
    lanes: &'t Lanes,
    zero: Instant,
    taps: [Tap<'t>; 2],
    labels: Labels,
    rows: Vec<Row>,
}

impl<'t> Tracer<'t> {
    fn crossing(&mut self, crossing: &Crossing) {
        let packet = &crossing.packet;
        let sent = self.at_site(crossing.from, |tap| tap.sent(packet, crossing.at));
        // What no host sent, a NAT did.
        let (from, at) = sent.unwrap_or_else(|| (self.lanes.outer(crossing.from), crossing.at));
        let to = |site: Option<Site>| site.map_or(Role::S, |site| self.lanes.outer(site));
        let (to, end) = match (crossing.fate, crossing.to) {
            (Fate::Arrives(then), Some(Site::S)) => (Role::S, End::Arrived(self.zero.ms_to(then))),
            (Fate::Arrives(then), Some(site)) => {
                let dropped = (to(Some(site)), End::Dropped(self.zero.ms_to(then)));
                match self.at_site(site, |tap| tap.received(packet, then)) {
                    Some((host, seen)) => (host, End::Arrived(self.zero.ms_to(seen.max(then)))),
                    None => dropped,
                }
            }
            (Fate::Lost, site) => (to(site), End::Lost),
            (Fate::Expired(hop), site) => (to(site), End::Expired(hop)),
            (Fate::NoRoute, site) | (Fate::Arrives(_), site @ None) => (to(site), End::NoRoute),
        };
        // The record of the host is a little later than that of the WAN where its thread is.
        self.arrow(at.min(crossing.at), packet, from, to, end);
    }

    /// Asks the records of the hosts at a site, the first of which answers.
    fn at_site(
        &mut self,
        site: Site,
        mut find: impl FnMut(&mut Tap<'t>) -> Option<Instant>,
    ) -> Option<(Role, Instant)> {
        let hosts = self.lanes.hosts(site);
        self.taps
            .iter_mut()
            .filter(|tap| hosts.contains(&tap.host))
            .find_map(|tap| find(tap).map(|at| (tap.host, at)))
    }

    /// What never was on the WAN: packets inside a LAN, turned around by a NAT, or kept or made by it.
    fn beside_the_wan(&mut self, crossings: &[Crossing]) {
        let (Some(first), Some(last)) = (crossings.first(), crossings.last()) else {
            return;
        };
        let [a, b] = &mut self.taps;
        let direct = [
            (Role::A, Role::B, a.direct(b)),
            (Role::B, Role::A, b.direct(a)),
        ];
        for (from, to, packets) in direct {
            for (seen, arrived) in packets {
                self.arrow(
                    seen.at,
                    &seen.packet,
                    from,
                    to,
                    End::Arrived(self.zero.ms_to(arrived)),
                );
            }
        }
        let rest: Vec<_> = self
            .taps
            .iter()
            .flat_map(|tap| tap.rest().map(|rest| (tap.host, rest)))
            .collect();
        for (host, (seen, outgoing)) in rest {
            let nat = self.lanes.nat(host);
            let recorded = (first.at..=last.at).contains(&seen.at);
            if !recorded || self.lanes.x(nat) == self.lanes.x(host) {
                continue;
            }
            let at = self.zero.ms_to(seen.at);
            if outgoing {
                self.arrow(seen.at, &seen.packet, host, nat, End::Dropped(at));
            } else {
                self.arrow(seen.at, &seen.packet, nat, host, End::Arrived(at));
            }
        }
    }

    fn arrow(&mut self, at: Instant, packet: &Summary, from: Role, to: Role, end: End) {
        if let Some(label) = self.labels.of(packet) {
            self.push(
                at,
                What::Arrow {
                    from,
                    to,
                    label,
                    end,
                },
            );
        }
    }

    fn push(&mut self, at: Instant, what: What) {
        self.rows.push(Row {
            at: self.zero.ms_to(at),
            what,
        });
    }
}

/// What to write on an arrow.
struct Labels {
    main: SocketAddr,
    assists: [SocketAddr; 2],
    seen: HashSet<(SocketAddr, u32)>,
}

impl Labels {
    /// `None` for a bare acknowledgment: there are many, and they tell nothing.
    fn of(&mut self, packet: &Summary) -> Option<String> {
        if let Body::IcmpError { what, .. } = packet.body {
            return Some(format!("ICMP {what}"));
        }
        let (source, destination, segment) = packet.tcp()?;
        let flags = segment.flags;
        let what = if segment.len > 0 {
            format!("{} bytes", segment.len)
        } else if flags.syn() && !flags.ack() {
            // The same first sequence number from the same endpoint: the kernel repeats itself.
            let again = if self.seen.insert((source, segment.seq)) {
                ""
            } else {
                " again"
            };
            format!("SYN{again}")
        } else if flags.syn() || flags.rst() || flags.fin() {
            flags.to_string()
        } else {
            return None;
        };
        let is = |endpoint: &SocketAddr| source == *endpoint || destination == *endpoint;
        Some(if is(&self.main) {
            format!("main link {what}")
        } else if self.assists.iter().any(is) {
            format!("assist {what}")
        } else {
            what
        })
    }
}

trait Milliseconds {
    fn ms_to(&self, later: Self) -> f64;
}

impl Milliseconds for Instant {
    /// May be negative.
    fn ms_to(&self, later: Self) -> f64 {
        let after = later.saturating_duration_since(*self).as_secs_f64();
        let before = self.saturating_duration_since(later).as_secs_f64();
        (after - before) * 1000.0
    }
}
