//! The sessions that a link knows of, and what both sides are told.

use core::time::Duration;

use heapless::Vec;

use super::{RoundHalf, SideInfo};
use crate::addr::{Candidate, CandidateKind, Endpoint, Scope};
use crate::event::Strategies;
use crate::id::{PeerId, SessionId};
use crate::noise::Role;
use crate::rtt::MAX_HOLD;
use crate::time::{Instant, micros_u32};
use crate::wire::Side;

/// Sessions that a peer asked for, and that can still change.
const MAX_OUTGOING: usize = 16;

/// Sessions that others asked a peer for, and that can still change.
const MAX_INCOMING: usize = 12;

/// For so long after an introduction either side can still call it off.
const AFTER_INTRODUCTION: Duration = Duration::from_secs(20);

/// A session that this link's peer asked for.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) session: SessionId,
    pub(super) to: PeerId,
    pub(super) introduced: bool,
    expires: Instant,
}

/// A session that this link's peer was asked for.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) session: SessionId,
    pub(super) from: PeerId,
    waits_for: WaitsFor,
    expires: Instant,
}

/// What is kept of an incoming session.
#[derive(Debug)]
enum WaitsFor {
    /// The responder's consent; then the requester is told this.
    Consent(Told),
    /// The other half of a round, since then.
    OtherHalf(Role, RoundHalf, Instant),
    /// Nothing: both were told to go.
    Nothing,
}

/// What came of one half of a round.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "boxing needs an allocator")]
pub(super) enum Halves {
    /// There is no such session, or the responder did not accept it.
    Unknown,
    /// The other half is awaited.
    One,
    /// Both are there.
    Both {
        /// The requester.
        from: PeerId,
        requester: RoundHalf,
        responder: RoundHalf,
    },
}

impl Incoming {
    /// Whether the responder has still to accept.
    const fn is_waiting(&self) -> bool {
        matches!(self.waits_for, WaitsFor::Consent(_))
    }
}

/// What both sides are told alike.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) requester: Side,
    pub(super) responder: Side,
    pub(super) strategies: Strategies,
}

/// The tables.
#[derive(Debug, Default)]
pub(super) struct Introductions {
    outgoing: Vec<Outgoing, MAX_OUTGOING>,
    incoming: Vec<Incoming, MAX_INCOMING>,
}

impl Introductions {
    /// Notes a request; false if there is no room or the id is taken.
    pub(super) fn add_outgoing(
        &mut self,
        now: Instant,
        session: SessionId,
        to: PeerId,
        patience: Duration,
    ) -> bool {
        self.forget_expired(now);
        if self.outgoing(session).is_some() {
            return false;
        }
        if self.outgoing.is_full()
            && let Some(index) = self.outgoing.iter().position(|known| known.introduced)
        {
            self.outgoing.swap_remove(index);
        }
        self.outgoing
            .push(Outgoing {
                session,
                to,
                introduced: false,
                expires: now.after(patience),
            })
            .is_ok()
    }

    pub(super) fn outgoing(&mut self, session: SessionId) -> Option<&mut Outgoing> {
        self.outgoing
            .iter_mut()
            .find(|known| known.session == session)
    }

    /// Notes that the requester was told to connect.
    pub(super) fn outgoing_introduced(&mut self, now: Instant, session: SessionId) {
        if let Some(known) = self.outgoing(session) {
            known.introduced = true;
            known.expires = now.after(AFTER_INTRODUCTION);
        }
    }

    pub(super) fn take_outgoing(&mut self, session: SessionId) -> Option<Outgoing> {
        let index = self
            .outgoing
            .iter()
            .position(|known| known.session == session)?;
        Some(self.outgoing.swap_remove(index))
    }

    /// Notes a request from elsewhere; false if there is no room or the id is
    /// taken.
    pub(super) fn add_incoming(
        &mut self,
        now: Instant,
        session: SessionId,
        from: PeerId,
        told: Option<Told>,
        patience: Duration,
    ) -> bool {
        self.forget_expired(now);
        if self.incoming.iter().any(|known| known.session == session) {
            return false;
        }
        if self.incoming.is_full()
            && let Some(index) = self.incoming.iter().position(|known| !known.is_waiting())
        {
            self.incoming.swap_remove(index);
        }
        let patience = if told.is_some() {
            patience
        } else {
            AFTER_INTRODUCTION
        };
        self.incoming
            .push(Incoming {
                session,
                from,
                waits_for: told.map_or(WaitsFor::Nothing, WaitsFor::Consent),
                expires: now.after(patience),
            })
            .is_ok()
    }

    pub(super) fn incoming(&mut self, session: SessionId) -> Option<&mut Incoming> {
        self.incoming
            .iter_mut()
            .find(|known| known.session == session)
    }

    /// The responder accepted: what the requester is to be told.
    pub(super) fn introduce(&mut self, now: Instant, session: SessionId) -> Option<(PeerId, Told)> {
        let known = self.incoming(session)?;
        match core::mem::replace(&mut known.waits_for, WaitsFor::Nothing) {
            WaitsFor::Consent(told) => {
                known.expires = now.after(AFTER_INTRODUCTION);
                Some((known.from, told))
            }
            other @ (WaitsFor::OtherHalf(..) | WaitsFor::Nothing) => {
                known.waits_for = other;
                None
            }
        }
    }

    /// One half of a round is there. Of halves of different rounds the later one
    /// counts: the side that is ahead does not come back.
    pub(super) fn half_ready(
        &mut self,
        now: Instant,
        session: SessionId,
        role: Role,
        half: RoundHalf,
    ) -> Halves {
        let Some(known) = self.incoming(session) else {
            return Halves::Unknown;
        };
        let number = |half: &RoundHalf| (half.round, half.sequence.is_some());
        match core::mem::replace(&mut known.waits_for, WaitsFor::Nothing) {
            waiting @ WaitsFor::Consent(_) => {
                known.waits_for = waiting;
                return Halves::Unknown;
            }
            WaitsFor::OtherHalf(whose, mut other, since)
                if whose != role && number(&other) == number(&half) =>
            {
                if let Some(foretold) = &mut other.side.foretold {
                    foretold.ahead = foretold.ahead.saturating_add(now.since(since));
                }
                known.expires = now.after(AFTER_INTRODUCTION);
                let (requester, responder) = match role {
                    Role::Requester => (half, other),
                    Role::Responder => (other, half),
                };
                return Halves::Both {
                    from: known.from,
                    requester,
                    responder,
                };
            }
            WaitsFor::OtherHalf(whose, other, since) if number(&other) > number(&half) => {
                known.waits_for = WaitsFor::OtherHalf(whose, other, since);
                return Halves::One;
            }
            WaitsFor::OtherHalf(..) | WaitsFor::Nothing => {}
        }
        known.waits_for = WaitsFor::OtherHalf(role, half, now);
        known.expires = now.after(AFTER_INTRODUCTION);
        Halves::One
    }

    /// The responder of a session that this link's peer asked for and was told
    /// to go on with; it goes on for longer.
    pub(super) fn renew_outgoing(&mut self, now: Instant, session: SessionId) -> Option<PeerId> {
        let known = self.outgoing(session).filter(|known| known.introduced)?;
        known.expires = now.after(AFTER_INTRODUCTION);
        Some(known.to)
    }

    pub(super) fn take_incoming(&mut self, session: SessionId) -> Option<Incoming> {
        let index = self
            .incoming
            .iter()
            .position(|known| known.session == session)?;
        Some(self.incoming.swap_remove(index))
    }

    /// Takes out one that waits for this link's peer, which is gone.
    pub(super) fn take_any_waiting(&mut self) -> Option<Incoming> {
        let index = self.incoming.iter().position(Incoming::is_waiting)?;
        Some(self.incoming.swap_remove(index))
    }

    /// Takes out one whose requester is gone.
    pub(super) fn take_any_asked(&mut self) -> Option<Outgoing> {
        let index = self.outgoing.iter().position(|known| !known.introduced)?;
        Some(self.outgoing.swap_remove(index))
    }

    fn forget_expired(&mut self, now: Instant) {
        self.outgoing.retain(|known| now < known.expires);
        self.incoming.retain(|known| now < known.expires);
    }
}

/// What each side may be told of the other: mapped candidates always, the
/// host's own addresses only to a peer behind the same outer address. (Two
/// peers without a NAT have each other's addresses as mapped ones.)
pub(super) fn sides(
    mut requester: SideInfo,
    mut responder: SideInfo,
    allow_loopback: bool,
) -> (Side, Side) {
    let together = requester.mapped_ip.is_some() && requester.mapped_ip == responder.mapped_ip;
    for info in [&mut requester, &mut responder] {
        if together {
            for ip in &info.hosts {
                let scope = Scope::of(*ip);
                let endpoint = Endpoint::new(*ip, info.host_port);
                let known = info
                    .side
                    .candidates
                    .iter()
                    .any(|candidate| candidate.endpoint == endpoint);
                if !known
                    && (scope == Scope::Private || (allow_loopback && scope == Scope::Loopback))
                {
                    // Full at eight: the mapped ones came first.
                    let _ = info.side.candidates.push(Candidate {
                        kind: CandidateKind::Host,
                        endpoint,
                    });
                }
            }
        }
    }
    (requester.side, responder.side)
}

/// How long each side waits so that the first SYNs leave together.
///
/// `in_advance`: server tells both at the same moment, the word travels half a
/// round trip to each: the nearer waits half the difference. Otherwise the
/// responder waits after its answer for as long as the answer takes to the
/// requester, who does not wait.
pub(super) fn hold_backs(requester: &Side, responder: &Side, in_advance: bool) -> (u32, u32) {
    let (a, b) = (requester.rtt_us, responder.rtt_us);
    let cap = micros_u32(MAX_HOLD);
    if in_advance {
        (
            (b.saturating_sub(a) / 2).min(cap),
            (a.saturating_sub(b) / 2).min(cap),
        )
    } else {
        (0, (a / 2).saturating_add(b / 2).min(cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(rtt_ms: u32) -> Side {
        Side {
            rtt_us: rtt_ms * 1_000,
            ..Side::default()
        }
    }

    #[test]
    fn hold_backs_make_the_first_syns_cross() {
        for (a, b, in_advance, expected) in [
            (40, 40, true, (0, 0)),
            (20, 120, true, (50_000, 0)),
            (120, 20, true, (0, 50_000)),
            (40, 40, false, (0, 40_000)),
            (20, 120, false, (0, 70_000)),
            (0, 3_000, true, (500_000, 0)),
            (3_000, 3_000, false, (0, 500_000)),
        ] {
            assert_eq!(
                hold_backs(&side(a), &side(b), in_advance),
                expected,
                "{a} {b} {in_advance}"
            );
        }
    }

    #[test]
    fn own_addresses_are_told_only_behind_one_outer_address() {
        let info = |outer: &str| SideInfo {
            side: Side::default(),
            mapped_ip: outer.parse().ok(),
            hosts: ["192.168.1.2", "8.8.8.8", "127.0.0.1"]
                .iter()
                .filter_map(|ip| ip.parse().ok())
                .collect(),
            host_port: 7,
            foretold: None,
        };
        let (a, b) = sides(info("198.51.100.1"), info("198.51.100.2"), false);
        assert!(a.candidates.is_empty() && b.candidates.is_empty());
        let (a, b) = sides(info("198.51.100.1"), info("198.51.100.1"), false);
        for side in [a, b] {
            let [only] = side.candidates.as_slice() else {
                panic!("{:?}", side.candidates)
            };
            assert_eq!(
                only.endpoint,
                "192.168.1.2:7"
                    .parse::<core::net::SocketAddr>()
                    .unwrap()
                    .into()
            );
            assert_eq!(only.kind, CandidateKind::Host);
        }
    }
}
