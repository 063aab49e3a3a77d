//! Further rounds of a session: both sides are ready, both are told to go.

use core::time::Duration;

use super::{Action, Large, Letter, Link};
use crate::event::FailReason;
use crate::id::{PeerId, SessionId};
use crate::io::Segment;
use crate::nat::window;
use crate::noise::Role;
use crate::rendezvous::introductions::{Halves, hold_backs, sides};
use crate::rendezvous::{RoundHalf, RouteMessage, Routed, ServerConfig};
use crate::wire::{Extensions, Go, RoundReady, Side};

/// SYN-ACKs in the peers' names are sent so often at most.
const INJECT_PAUSE: Duration = Duration::from_millis(100);

impl Link {
    /// Our peer is ready for a round. Its link decides if it is the responder's;
    /// the requester's passes it on.
    pub(super) fn round_ready(&mut self, config: &ServerConfig, ready: &RoundReady<'_>) {
        let session = ready.session;
        let half = RoundHalf {
            round: ready.round,
            sequence: ready.sequence,
            spoof: ready.spoof,
            side: self.side(&ready.ports),
        };
        if let Some(to) = self.introductions.renew_outgoing(self.now, session) {
            let Some(from) = self.peer else { return };
            self.push_large(Large::Route(Routed {
                from,
                to,
                session,
                message: RouteMessage::RoundReady(half),
            }));
        } else if !self.half_ready(config, session, Role::Responder, half) {
            self.push(Action::Send(Letter::Refused {
                session,
                reason: FailReason::Gone,
            }));
        }
    }

    /// The requester is ready, says its link.
    pub(super) fn other_ready(
        &mut self,
        config: &ServerConfig,
        from: PeerId,
        session: SessionId,
        half: RoundHalf,
    ) {
        let known = self
            .introductions
            .incoming(session)
            .is_some_and(|known| known.from == from);
        if known {
            // One that still waits for consent has no rounds; its requester does
            // not know that and will ask again, or give up.
            self.half_ready(config, session, Role::Requester, half);
        }
    }

    /// One half is there; with the other, both go. False if there is no such
    /// session.
    fn half_ready(
        &mut self,
        config: &ServerConfig,
        session: SessionId,
        role: Role,
        half: RoundHalf,
    ) -> bool {
        match self.introductions.half_ready(self.now, session, role, half) {
            Halves::Unknown => return false,
            Halves::One => {}
            Halves::Both {
                from,
                requester,
                responder,
            } => {
                let (mut requester, mut responder) = (requester, responder);
                foretell(&mut requester);
                foretell(&mut responder);
                self.go(config, session, from, requester, responder);
            }
        }
        true
    }

    fn go(
        &mut self,
        config: &ServerConfig,
        session: SessionId,
        requester_id: PeerId,
        requester: RoundHalf,
        responder: RoundHalf,
    ) {
        let Some(own_id) = self.peer else { return };
        let round = responder.round;
        let sequences = requester.sequence.zip(responder.sequence);
        let spoof = config.spoof && requester.spoof && responder.spoof;
        if let Some(sequences) = sequences.filter(|_| spoof) {
            // As this server saw them, before a side's own word is added.
            self.inject(&requester.side.side, &responder.side.side, sequences);
        }
        let (requester, responder) = sides(requester.side, responder.side, config.allow_loopback);
        // The word goes out to both at the same moment.
        let (hold_requester, hold_responder) = hold_backs(&requester, &responder, true);
        let (sequence_a, sequence_b) = sequences.unzip();
        self.push_large(Large::Go(Go {
            session,
            round,
            hold_us: hold_responder,
            requester: requester.clone(),
            responder: responder.clone(),
            sequence: sequence_a,
            extensions: Extensions::NONE,
        }));
        self.push_large(Large::Route(Routed {
            from: own_id,
            to: requester_id,
            session,
            message: RouteMessage::Go {
                round,
                hold_us: hold_requester,
                requester,
                responder,
                sequence: sequence_b,
            },
        }));
    }

    /// To each the SYN-ACK that the other would send, between the endpoints where
    /// this server saw them.
    fn inject(&mut self, requester: &Side, responder: &Side, (a, b): (u32, u32)) {
        let endpoints = requester
            .candidates
            .first()
            .zip(responder.candidates.first());
        let Some((at_a, at_b)) = endpoints.map(|(a, b)| (a.endpoint, b.endpoint)) else {
            return;
        };
        // A session needs it once a round; who asks more often is up to something.
        if at_a.family() != at_b.family() || self.now < self.inject_at {
            return;
        }
        self.inject_at = self.now.after(INJECT_PAUSE);
        for (local, remote, sequence, other) in [(at_b, at_a, b, a), (at_a, at_b, a, b)] {
            self.push(Action::Inject(Segment {
                local,
                remote,
                sequence,
                acknowledgement: other.wrapping_add(1),
            }));
        }
    }
}

/// How many ports the other side is to try, now that both go.
fn foretell(half: &mut RoundHalf) {
    if let Some(foretold) = half.side.foretold {
        half.side.side.window = window(foretold.seen, foretold.ahead);
    }
}
