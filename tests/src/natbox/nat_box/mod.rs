//! The box: packets in, packets out.

mod hairpin;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tcp_punch_proto::Instant;
use tcp_punch_proto::noise::Jitter;

use super::answer::{self, Error};
use super::config::{Addresses, Config, Early, Invalid};
use super::hold::Holds;
use super::icmp;
use super::table::Table;
use super::track::{Ruling, Tracker};
use super::verdict::{Reason, Side, Verdict};
use super::wire::{self, Body, End, Headers, Segment};

/// A NAT or a firewall at work.
#[derive(Debug)]
pub struct NatBox {
    config: Config,
    addresses: Addresses,
    table: Table,
    holds: Holds,
    random: Jitter,
    down_until: Option<Instant>,
}

impl NatBox {
    /// A box with an empty table; the same seed and the same packets give the same ports.
    #[must_use]
    pub fn new(config: Config, addresses: Addresses, seed: u64) -> Self {
        Self {
            config,
            addresses,
            table: Table::new(&config),
            holds: Holds::default(),
            random: Jitter::new(seed),
            down_until: None,
        }
    }

    /// Judges a packet that came from a side.
    pub fn handle(&mut self, now: Instant, from: Side, packet: &[u8]) -> Verdict {
        if self.down_until.is_some_and(|until| until > now) {
            return Verdict::Drop(Reason::Down);
        }
        self.table.expire(now);
        let headers = match Headers::read(packet) {
            Ok(headers) => headers,
            Err(reason) => return Verdict::Drop(reason),
        };
        match (&headers.body, from) {
            (Body::Tcp(segment), Side::Inside) => self.outbound(now, packet, &headers, segment),
            (Body::Tcp(segment), Side::Outside) => self.inbound(now, packet, &headers, segment),
            // No error about an error: it just ends.
            (Body::IcmpError(_), _) if headers.hop_limit <= 1 => Verdict::Drop(Reason::HopLimit),
            (Body::IcmpError(quote), _) => {
                let context = (&self.config, &self.addresses);
                icmp::translate(&mut self.table, context, from, packet, &headers, quote)
                    .map_or_else(Verdict::Drop, Verdict::Forward)
            }
        }
    }

    /// When [`Self::handle_timeout`] is to be called next, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.holds.next()
    }

    /// A packet that goes outside because its time has come; to be called until there is none.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Vec<u8>> {
        while let Some((remote, packet)) = self.holds.due(now) {
            let from = self.own(Side::Outside, remote.ip());
            let answer = from
                .and_then(|from| answer::icmp(Error::PortUnreachable, from, remote.ip(), &packet));
            if answer.is_some() {
                return answer;
            }
        }
        None
    }

    /// Loses all mappings and entries, as when a table is flushed.
    pub fn forget(&mut self) {
        self.table.clear();
        self.holds.clear();
    }

    /// Reboots: everything is lost, port counters too, and until it is up again no packet passes.
    ///
    /// A new outer address may be what it comes back with.
    pub fn reboot(&mut self, now: Instant, takes: Duration, addresses: Addresses) {
        self.forget();
        self.table = Table::new(&self.config);
        self.addresses = addresses;
        self.down_until = Some(now.after(takes));
    }

    /// Connections in the table.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// What it is like.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn outbound(
        &mut self,
        now: Instant,
        packet: &[u8],
        headers: &Headers,
        segment: &Segment,
    ) -> Verdict {
        let (inner, remote) = headers.endpoints(segment);
        if self.addresses.is_inner(remote.ip()) {
            return Verdict::Drop(Reason::NotForMe);
        }
        if self.config.translates(inner.ip()) && self.addresses.is_outer(remote.ip()) {
            return self.hairpin(now, packet, headers, segment);
        }
        match self.pass_out(now, packet, headers, segment) {
            Ok(packet) => Verdict::Forward(packet),
            Err(verdict) => verdict,
        }
    }

    /// The segment as it leaves towards the outside.
    fn pass_out(
        &mut self,
        now: Instant,
        packet: &[u8],
        headers: &Headers,
        segment: &Segment,
    ) -> Result<Vec<u8>, Verdict> {
        let (inner, remote) = headers.endpoints(segment);
        let known = self.table.inner_flow(inner, remote).map(|flow| {
            let outer = flow.outer;
            (outer, flow.tracker.segment(true, segment))
        });
        let (outer, ruling) = match known {
            Some((_, Ruling::Invalid)) => return Err(self.refuse_out(packet, headers)),
            Some((outer, Ruling::Reopen)) => {
                self.table.remove(outer, remote);
                (self.begin_out(now, packet, headers, segment)?, Ruling::Pass)
            }
            Some(known) => known,
            None => (self.begin_out(now, packet, headers, segment)?, Ruling::Pass),
        };
        if segment.opens() {
            self.holds.cancel(outer, remote);
        }
        self.table.sent(now, &self.config, outer, remote);
        self.settle(now, ruling, outer, remote);
        let mut packet = self.next_hop(Side::Inside, packet, headers)?;
        if outer != inner {
            wire::rewrite(&mut packet, End::Source, outer);
        }
        Ok(packet)
    }

    /// Makes an entry for a connection's first segment, if it may pass at all.
    fn begin_out(
        &mut self,
        now: Instant,
        packet: &[u8],
        headers: &Headers,
        segment: &Segment,
    ) -> Result<SocketAddr, Verdict> {
        let Some(tracker) = Tracker::open(self.config.tracking, true, segment) else {
            return Err(self.refuse_out(packet, headers));
        };
        // What ends here leaves no entry: a low TTL has to get past its own NAT to be of use.
        self.next_hop(Side::Inside, packet, headers)?;
        let Self {
            table,
            config,
            addresses,
            random,
            ..
        } = self;
        table
            .open(
                now,
                config,
                addresses,
                headers.endpoints(segment),
                tracker,
                random,
            )
            .map_err(Verdict::Drop)
    }

    fn refuse_out(&self, packet: &[u8], headers: &Headers) -> Verdict {
        match self.config.invalid {
            Invalid::Drop => Verdict::Drop(Reason::Invalid),
            Invalid::Leak => self
                .next_hop(Side::Inside, packet, headers)
                .map_or_else(|verdict| verdict, Verdict::Leak),
        }
    }

    fn inbound(
        &mut self,
        now: Instant,
        packet: &[u8],
        headers: &Headers,
        segment: &Segment,
    ) -> Verdict {
        let (remote, outer) = headers.endpoints(segment);
        if self.config.translates(outer.ip()) != self.addresses.is_outer(outer.ip()) {
            return Verdict::Drop(Reason::NotForMe);
        }
        let filtering = self.config.admits(outer.ip());
        let flow = self.table.outer_flow(outer, remote);
        let known = flow.map(|flow| (flow.inner, flow.tracker.segment(false, segment)));
        let (inner, ruling) = match known {
            Some((_, Ruling::Invalid)) => return self.turn_away(now, packet, headers, segment),
            Some((inner, ruling)) if ruling != Ruling::Reopen => (inner, ruling),
            known => {
                if known.is_some() {
                    self.table.remove(outer, remote);
                }
                let inner = self.table.admits(now, filtering, outer, remote);
                let tracker = Tracker::open(self.config.tracking, false, segment);
                let (Some(inner), Some(tracker)) = (inner, tracker) else {
                    return self.turn_away(now, packet, headers, segment);
                };
                if self.is_strict(segment) {
                    return Verdict::Drop(Reason::StrictSyn);
                }
                if let Err(verdict) = self.next_hop(Side::Outside, packet, headers) {
                    return verdict;
                }
                let entered = self
                    .table
                    .enter(now, &self.config, (inner, outer, remote), tracker);
                if let Err(reason) = entered {
                    return Verdict::Drop(reason);
                }
                (inner, Ruling::Pass)
            }
        };
        self.settle(now, ruling, outer, remote);
        // Only now: a SYN that does not pass is nevertheless seen by the tracking.
        if self.is_strict(segment) {
            return Verdict::Drop(Reason::StrictSyn);
        }
        match self.next_hop(Side::Outside, packet, headers) {
            Err(verdict) => verdict,
            Ok(mut packet) => {
                if inner != outer {
                    wire::rewrite(&mut packet, End::Destination, inner);
                }
                Verdict::Forward(packet)
            }
        }
    }

    fn is_strict(&self, segment: &Segment) -> bool {
        self.config.strict_syn && segment.opens()
    }

    fn settle(&mut self, now: Instant, ruling: Ruling, outer: SocketAddr, remote: SocketAddr) {
        match ruling {
            Ruling::Renew => self.table.renew(now, &self.config, outer, remote),
            Ruling::Forget => self.table.remove(outer, remote),
            Ruling::Pass | Ruling::Reopen | Ruling::Invalid => {}
        }
    }

    /// What an unsolicited segment from outside gets.
    fn turn_away(
        &mut self,
        now: Instant,
        packet: &[u8],
        headers: &Headers,
        segment: &Segment,
    ) -> Verdict {
        let (remote, outer) = headers.endpoints(segment);
        // A NAT takes it for itself; a firewall names itself only in ICMP.
        let from = self.own(Side::Outside, remote.ip());
        let icmp = |error| answer::icmp(error, from?, remote.ip(), packet);
        let answer = match self.config.early {
            Early::Drop => None,
            Early::Reset => answer::reset(remote, outer, segment),
            Early::PortUnreachable | Early::Prohibited | Early::Hold(_) if segment.rst => None,
            Early::PortUnreachable => icmp(Error::PortUnreachable),
            Early::Prohibited => icmp(Error::Prohibited),
            Early::Hold(patience) if segment.opens() => {
                self.holds.keep(now, patience, outer, remote, packet);
                return Verdict::Drop(Reason::Held);
            }
            Early::Hold(_) => None,
        };
        answer.map_or(Verdict::Drop(Reason::Unsolicited), Verdict::Answer)
    }

    /// The packet with one hop less to go; where none is left, the answer to that.
    fn next_hop(&self, from: Side, packet: &[u8], headers: &Headers) -> Result<Vec<u8>, Verdict> {
        if headers.hop_limit > 1 {
            let mut packet = packet.to_vec();
            wire::set_hop_limit(&mut packet, headers.hop_limit - 1);
            return Ok(packet);
        }
        let own = self.own(from, headers.source);
        let answer =
            own.and_then(|own| answer::icmp(Error::TimeExceeded, own, headers.source, packet));
        Err(answer.map_or(Verdict::Drop(Reason::HopLimit), Verdict::Answer))
    }

    /// The own address towards a side, of the same family as another one.
    fn own(&self, side: Side, like: IpAddr) -> Option<IpAddr> {
        let addresses = &self.addresses;
        match (like, side) {
            (IpAddr::V4(_), Side::Inside) => addresses.inner_v4.map(IpAddr::V4),
            (IpAddr::V4(_), Side::Outside) => addresses.outer_v4.map(IpAddr::V4),
            (IpAddr::V6(_), Side::Inside) => addresses.inner_v6.map(IpAddr::V6),
            (IpAddr::V6(_), Side::Outside) => addresses.outer_v6.map(IpAddr::V6),
        }
    }
}
