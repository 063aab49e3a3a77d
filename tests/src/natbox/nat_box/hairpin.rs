//! From inside to the box's own outer address (RFC 4787, section 6).

use std::net::SocketAddr;

use tcp_punch_proto::Instant;

use super::NatBox;
use crate::natbox::answer;
use crate::natbox::config::Hairpin;
use crate::natbox::track::{Ruling, Tracker};
use crate::natbox::verdict::{Reason, Side, Verdict};
use crate::natbox::wire::{self, Body, End, Headers, Segment};

impl NatBox {
    /// From inside to the outer address of the box.
    pub(super) fn hairpin(
        &mut self,
        now: Instant,
        packet: &[u8],
        headers: &Headers,
        segment: &Segment,
    ) -> Verdict {
        let (inner, target) = headers.endpoints(segment);
        let behind = self.table.behind(target);
        match (self.config.hairpin, behind) {
            (Hairpin::Drop, _) => Verdict::Drop(Reason::Unsolicited),
            (Hairpin::Refuse, _) | (_, None) => answer::reset(inner, target, segment)
                .map_or(Verdict::Drop(Reason::Unsolicited), Verdict::Answer),
            (Hairpin::InnerSource, Some(host)) => {
                match self.next_hop(Side::Inside, packet, headers) {
                    Err(verdict) => verdict,
                    Ok(mut packet) => {
                        wire::rewrite(&mut packet, End::Destination, host);
                        Verdict::Back(packet)
                    }
                }
            }
            (Hairpin::OuterSource, Some(host)) => {
                match self.pass_out(now, packet, headers, segment) {
                    // It is addressed to the box itself: there is nowhere to leak to.
                    Err(Verdict::Leak(_)) => Verdict::Drop(Reason::Invalid),
                    Err(verdict) => verdict,
                    Ok(packet) => self.turn_around(now, packet, target, host),
                }
            }
        }
    }

    /// Lets a segment in that has just gone out. Whoever is inside is let in by every filter.
    fn turn_around(
        &mut self,
        now: Instant,
        mut packet: Vec<u8>,
        target: SocketAddr,
        host: SocketAddr,
    ) -> Verdict {
        let Ok(Headers {
            source,
            body: Body::Tcp(segment),
            ..
        }) = Headers::read(&packet)
        else {
            return Verdict::Drop(Reason::Malformed);
        };
        let from = SocketAddr::new(source, segment.source);
        let flow = self.table.outer_flow(target, from);
        let known = flow.map(|flow| (flow.inner, flow.tracker.segment(false, &segment)));
        let (host, ruling) = match known {
            Some((_, Ruling::Invalid)) => return Verdict::Drop(Reason::Invalid),
            Some((inner, ruling)) if ruling != Ruling::Reopen => (inner, ruling),
            known => {
                if known.is_some() {
                    self.table.remove(target, from);
                }
                let Some(tracker) = Tracker::open(self.config.tracking, false, &segment) else {
                    return Verdict::Drop(Reason::Invalid);
                };
                let entered = self
                    .table
                    .enter(now, &self.config, (host, target, from), tracker);
                if let Err(reason) = entered {
                    return Verdict::Drop(reason);
                }
                (host, Ruling::Pass)
            }
        };
        self.settle(now, ruling, target, from);
        wire::rewrite(&mut packet, End::Destination, host);
        Verdict::Back(packet)
    }
}
