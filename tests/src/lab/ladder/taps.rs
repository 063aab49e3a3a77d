//! One host's record of packets, each entry of which explains one arrow.

use std::time::{Duration, Instant};

use super::lanes::Role;
use crate::lab::packet::{Body, Segment, Summary};
use crate::lab::tap::Seen;
use crate::lab::topology::Addresses;

/// Between a host and its NAT a packet takes next to no time, but the records are made by different threads.
const SLACK: Duration = Duration::from_millis(100);
/// How much earlier a later point may seem to have seen a packet.
const SKEW: Duration = Duration::from_millis(3);

/// A host's record.
#[derive(Debug)]
pub(super) struct Tap<'t> {
    pub(super) host: Role,
    own: Addresses,
    entries: Vec<Entry<'t>>,
}

#[derive(Debug)]
struct Entry<'t> {
    seen: &'t Seen,
    outgoing: bool,
    used: bool,
}

impl<'t> Tap<'t> {
    pub(super) fn new(host: Role, seen: &'t [Seen], own: Addresses) -> Self {
        let mut tap = Self {
            host,
            own,
            entries: Vec::new(),
        };
        tap.entries = seen
            .iter()
            .map(|seen| Entry {
                seen,
                outgoing: tap.is_own(&seen.packet),
                used: false,
            })
            .collect();
        tap
    }

    /// When the host sent a packet that was on the WAN at `at`; a NAT has changed its source since.
    pub(super) fn sent(&mut self, packet: &Summary, at: Instant) -> Option<Instant> {
        self.take(true, at - SLACK, at + SKEW, |seen| {
            destination(seen) == destination(packet) && same_content(seen, packet)
        })
    }

    /// When the host received a packet that the WAN delivered at `at`; a NAT has changed its destination since.
    pub(super) fn received(&mut self, packet: &Summary, at: Instant) -> Option<Instant> {
        self.take(false, at - SKEW, at + SLACK, |seen| {
            source(seen) == source(packet) && same_content(seen, packet)
        })
    }

    /// When the host received what another one sent at `at` without the WAN, whatever became of the addresses.
    fn received_directly(&mut self, packet: &Summary, at: Instant) -> Option<Instant> {
        self.take(false, at - SKEW, at + SLACK, |seen| {
            same_content(seen, packet)
        })
    }

    /// Packets that went from this host to another one without crossing the WAN, with the time of arrival.
    pub(super) fn direct(&mut self, to: &mut Self) -> Vec<(&'t Seen, Instant)> {
        let mut direct = Vec::new();
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.outgoing && !entry.used)
        {
            if let Some(arrived) = to.received_directly(&entry.seen.packet, entry.seen.at) {
                entry.used = true;
                direct.push((entry.seen, arrived));
            }
        }
        direct
    }

    /// What nothing explains yet, and whether the host sent it.
    ///
    /// Without segments that carry bytes: large ones are cut on their way, and then look like others.
    pub(super) fn rest(&self) -> impl Iterator<Item = (&'t Seen, bool)> + '_ {
        let bare = |seen: &Seen| {
            seen.packet
                .tcp()
                .is_none_or(|(_, _, segment)| segment.len == 0)
        };
        self.entries
            .iter()
            .filter(move |e| !e.used && bare(e.seen))
            .map(|e| (e.seen, e.outgoing))
    }

    fn take(
        &mut self,
        outgoing: bool,
        from: Instant,
        until: Instant,
        is_it: impl Fn(&Summary) -> bool,
    ) -> Option<Instant> {
        let entry = self.entries.iter_mut().find(|entry| {
            !entry.used
                && entry.outgoing == outgoing
                && (from..=until).contains(&entry.seen.at)
                && is_it(&entry.seen.packet)
        })?;
        entry.used = true;
        Some(entry.seen.at)
    }

    fn is_own(&self, packet: &Summary) -> bool {
        packet.source == self.own.v4 || packet.source == self.own.v6
    }
}

type End = (std::net::IpAddr, Option<u16>);

fn source(packet: &Summary) -> End {
    (
        packet.source,
        packet.tcp().map(|(source, _, _)| source.port()),
    )
}

fn destination(packet: &Summary) -> End {
    (
        packet.destination,
        packet.tcp().map(|(_, destination, _)| destination.port()),
    )
}

/// NATs change addresses and ports, and nothing else.
fn same_content(one: &Summary, other: &Summary) -> bool {
    let content = |segment: &Segment| (segment.seq, segment.ack, segment.flags, segment.len);
    match (&one.body, &other.body) {
        (Body::Tcp(one), Body::Tcp(other)) => content(one) == content(other),
        (Body::IcmpError { what: one, .. }, Body::IcmpError { what: other, .. }) => one == other,
        (Body::Tcp(_) | Body::IcmpError { .. } | Body::Other, _) => false,
    }
}
