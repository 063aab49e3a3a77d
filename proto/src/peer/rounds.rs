//! Fresh ports for further rounds, and the server's word to go.

use heapless::Vec;

use super::Peer;
use super::ports::Purpose;
use crate::addr::Endpoint;
use crate::config::Access;
use crate::id::SocketId;
use crate::io::Failure;
use crate::noise::Role;
use crate::punch::{Introduction, Needs, Phase, State};
use crate::wire::Go;

impl<A: Access, const SESSIONS: usize, const PORTS: usize> Peer<A, SESSIONS, PORTS> {
    /// Gives ports for its next round to one session that waits for them; false
    /// if none can go.
    pub(super) fn dispatch_round(&mut self) -> bool {
        let mut waiting = self.sessions.iter().flatten().filter(|session| {
            session.state() == State::Punching
                && session.rounds.phase == Phase::WantsPorts
                && !(session.will_spray() && self.core.spray.is_some())
        });
        let Some((slot, needs, role)) = waiting
            .next()
            .map(|session| (session.slot, session.needs(), session.role))
        else {
            return false;
        };
        let lease = self.main.lease.as_ref();
        let observable = lease.is_some_and(|lease| lease.has_assist(&self.core));
        let ports = match needs {
            _ if self.core.server.is_none() => None,
            Needs::Nothing => Some(Vec::new()),
            // The main port will have to do, which a requester never uses.
            _ if !observable => (role == Role::Responder).then(Vec::new),
            Needs::Spares => match self.claim_spares(slot) {
                Some(ports) => Some(ports),
                None => return false,
            },
            Needs::Compared => match self.ports.take_compared() {
                Some(port) => Vec::from_slice(&[port]).ok(),
                None if self.ports.is_comparing() => return false,
                None => return self.ports.bind(&mut self.core, Purpose::Compared),
            },
        };
        let Self { core, sessions, .. } = self;
        if let Some(session) = sessions
            .iter_mut()
            .flatten()
            .find(|known| known.slot == slot)
        {
            match ports {
                Some(ports) => session.ready_for_round(core, ports),
                None => session.no_more_rounds(),
            }
        }
        true
    }

    /// Both sides are ready for a round, or have told their sequence numbers.
    pub(super) fn told_to_go(&mut self, go: Go<'_>) {
        let server = self.main.server_endpoint();
        let Some(rules) = self.dial_rules() else {
            return;
        };
        let Self {
            core,
            sessions,
            ports,
            ..
        } = self;
        let Some(session) = sessions
            .iter_mut()
            .flatten()
            .find(|known| known.id == go.session)
        else {
            core.late = core.late.saturating_add(1);
            return;
        };
        if let Some(number) = go.sequence {
            return session.take_sequence(core, go.round, number);
        }
        let (own, other) = match session.role {
            Role::Requester => (&go.requester, &go.responder),
            Role::Responder => (&go.responder, &go.requester),
        };
        let told = Introduction {
            own,
            other,
            strategies: session.strategies,
            hold_us: go.hold_us,
            server,
            rules,
        };
        for port in session
            .go_round(core, go.round, &told)
            .into_iter()
            .flatten()
        {
            ports.release(core, port);
        }
    }

    /// A dial's first sequence number is known.
    pub(super) fn learn_sequence(&mut self, id: SocketId, number: u32) {
        let Self { core, sessions, .. } = self;
        for session in sessions.iter_mut().flatten() {
            if let Some(index) = session.attempt_of(id) {
                return session.learn_sequence(core, index, number);
            }
        }
        core.late = core.late.saturating_add(1);
    }

    /// Makes or closes some dials of the spray; false if there is nothing to do.
    pub(super) fn fire_spray(&mut self) -> bool {
        let Self { core, sessions, .. } = self;
        let streams = |id| {
            let mut sessions = sessions.iter().flatten();
            sessions.any(|session| session.has_stream(id))
        };
        let Some((slot, dials)) = core.fire_spray(streams) else {
            return false;
        };
        if let Some(session) = self.session_mut(slot) {
            session.count_sprayed(dials);
        }
        true
    }

    /// A dial of the spray became a connection; false if it is none.
    pub(super) fn sprayed(&mut self, id: SocketId, local: Endpoint) -> bool {
        let Self { core, sessions, .. } = self;
        let Some((slot, remote)) = core
            .spray
            .as_ref()
            .and_then(|spray| Some((spray.slot, spray.remote_of(id)?)))
        else {
            return false;
        };
        let session = sessions
            .iter_mut()
            .flatten()
            .find(|known| known.slot == slot);
        if let Some(session) = session {
            session.sprayed(core, id, local, remote);
        }
        true
    }

    /// A dial of the spray failed; false if it is none.
    pub(super) fn spray_failed(&mut self, id: SocketId, failure: Failure) -> bool {
        let spray = self.core.spray.as_ref();
        let Some(slot) = spray.and_then(|spray| spray.remote_of(id).map(|_| spray.slot)) else {
            return false;
        };
        if let Some(session) = self.session_mut(slot) {
            session.count_failed(failure);
        }
        true
    }
}
