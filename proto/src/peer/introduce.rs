//! Requests, ours and others': what passes between the sessions and the server.

use super::link::LinkState;
use super::outbox::{Action, Letter, Slot};
use super::strangers::Stranger;
use super::{Misuse, Peer};
use crate::addr::DialRules;
use crate::config::{Access, Decision, SessionOptions};
use crate::event::FailReason;
use crate::id::{PeerId, SessionId};
use crate::noise::Role;
use crate::punch::{Introduction, Session, State, Wish};
use crate::time::Instant;
use crate::wire::{Connect, MAX_SESSION_PORTS, Notify, StreamHello};

use core::time::Duration;

use heapless::Vec;

/// Least time that a session waits for a second port once it has one.
const SETTLE: Duration = Duration::from_millis(200);

impl<A: Access, const SESSIONS: usize, const PORTS: usize> Peer<A, SESSIONS, PORTS> {
    /// Asks for a stream to another peer. Waits by itself for the link to the
    /// server. The session ends with [`Event::Verified`](crate::Event::Verified)
    /// or [`Event::Failed`](crate::Event::Failed); drain after the call.
    ///
    /// # Errors
    ///
    /// [`Misuse::OwnId`], [`Misuse::TooManySessions`], [`Misuse::NotRunning`].
    pub fn connect(
        &mut self,
        now: Instant,
        peer: PeerId,
        options: &SessionOptions,
    ) -> Result<SessionId, Misuse> {
        self.core.set_now(now);
        if !self.running {
            return Err(Misuse::NotRunning);
        }
        if peer == self.core.id {
            return Err(Misuse::OwnId);
        }
        let slot = self.free_slot().ok_or(Misuse::TooManySessions)?;
        let id = SessionId::from_bytes(self.core.entropy.bytes());
        let mut session = Session::request(&self.core, slot, id, peer, options);
        session.orphaned = self.main.state() == LinkState::Idle;
        self.put(slot, session);
        Ok(id)
    }

    /// Lets a peer in that [`Event::Notified`](crate::Event::Notified) asked
    /// about; drain after the call.
    ///
    /// # Errors
    ///
    /// [`Misuse::UnknownSession`] if no session with this id waits for it: it
    /// may have ended meanwhile.
    pub fn accept(&mut self, now: Instant, session: SessionId) -> Result<(), Misuse> {
        self.core.set_now(now);
        let slot = self.deciding(session)?;
        self.wish(slot, Wish::Accept);
        Ok(())
    }

    /// Declines, the same way.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    pub fn refuse(&mut self, now: Instant, session: SessionId) -> Result<(), Misuse> {
        self.core.set_now(now);
        let slot = self.deciding(session)?;
        self.wish(slot, Wish::End(FailReason::NotAllowed));
        Ok(())
    }

    /// Ends a session that was not yet handed over, at both sides; drain after
    /// the call.
    ///
    /// # Errors
    ///
    /// [`Misuse::UnknownSession`] if there is none with this id, or it is over.
    pub fn cancel(&mut self, now: Instant, session: SessionId) -> Result<(), Misuse> {
        self.core.set_now(now);
        let found = self
            .sessions
            .iter()
            .flatten()
            .find(|known| known.id == session && !known.state().is_over());
        let slot = found
            .map(|known| known.slot)
            .ok_or(Misuse::UnknownSession)?;
        self.wish(slot, Wish::End(FailReason::Cancelled));
        Ok(())
    }

    fn wish(&mut self, slot: Slot, wish: Wish) {
        if let Some(session) = self.session_mut(slot) {
            session.wish = Some(wish);
        }
    }

    /// Does what the application wants of one session; false if there is
    /// nothing. Not at once, so that many calls in a row make no long queue.
    pub(super) fn grant_wish(&mut self) -> bool {
        let wished = self.sessions.iter_mut().flatten().find_map(|session| {
            let wish = session.wish.take()?;
            Some((session.slot, wish))
        });
        match wished {
            Some((slot, Wish::Accept)) => self.admit(slot),
            Some((slot, Wish::End(reason))) => self.decline(slot, reason),
            None => return false,
        }
        true
    }

    fn deciding(&self, session: SessionId) -> Result<Slot, Misuse> {
        let found = self
            .sessions
            .iter()
            .flatten()
            .find(|known| known.id == session && known.state() == State::Deciding);
        found.map(|known| known.slot).ok_or(Misuse::UnknownSession)
    }

    /// Ends a session from our side; the server tells the other.
    pub(super) fn decline(&mut self, slot: Slot, reason: FailReason) {
        if let Some(session) = self
            .sessions
            .get_mut(usize::from(slot))
            .and_then(Option::as_mut)
        {
            session.give_up(&mut self.core, reason);
        }
    }

    /// Gives ports to one session that waits for them; false if none can go.
    pub(super) fn dispatch_request(&mut self) -> bool {
        let Some(lease) = self
            .main
            .lease
            .as_ref()
            .filter(|_| self.core.server.is_some())
        else {
            return false;
        };
        let hopeless = !lease.has_assist(&self.core);
        let waiting = self
            .sessions
            .iter_mut()
            .flatten()
            .find(|session| session.state() == State::Preparing);
        let Some(session) = waiting else {
            return false;
        };
        if hopeless {
            // Nobody will see where our ports come out.
            session.fail(&mut self.core, FailReason::NoPort);
            return true;
        }
        let slot = session.slot;
        let Some(ports) = self.claim_spares(slot) else {
            return false;
        };
        if let Some(session) = self
            .sessions
            .iter_mut()
            .flatten()
            .find(|known| known.slot == slot)
        {
            session.send_request(&mut self.core, ports);
        }
        true
    }

    /// Ready ports for a session, two if they can be had soon; `None`: not yet.
    pub(super) fn claim_spares(&mut self, slot: Slot) -> Option<Vec<u16, MAX_SESSION_PORTS>> {
        let ready = self.ports.spares();
        let patience = self.main.rtt.least().saturating_mul(4).max(SETTLE);
        let now = self.core.now;
        let session = self.session_mut(slot)?;
        if ready == 0 {
            return None;
        }
        if ready < MAX_SESSION_PORTS && session.settle_at.is_none_or(|at| now < at) {
            // One is there, another is coming: two pairs get through loss that
            // one does not.
            if session.settle_at.is_none() && !session.settled {
                session.settled = true;
                session.settle_at = Some(now.after(patience));
                return None;
            }
            if session.settle_at.is_some() {
                return None;
            }
        }
        session.settled = false;
        session.settle_at = None;
        Some(self.ports.take())
    }

    /// Another peer asks for us.
    pub(super) fn notified(&mut self, notify: Notify<'_>) {
        let session = notify.session;
        let refusal = |reason| Letter::Refuse { session, reason };
        if notify.from == self.core.id
            || self
                .sessions
                .iter()
                .flatten()
                .any(|known| known.id == session)
        {
            return self.core.tell_server(refusal(FailReason::Untrusted));
        }
        let decision = self.access.decide(&notify.from);
        if decision == Decision::Refuse {
            return self.core.tell_server(refusal(FailReason::NotAllowed));
        }
        let Some(slot) = self.free_slot() else {
            return self.core.tell_server(refusal(FailReason::Busy));
        };
        let mut new = Session::respond(
            &self.core,
            slot,
            session,
            notify.from,
            notify.noise,
            notify.in_advance,
        );
        let server = self.main.server_endpoint();
        let Some(rules) = self.dial_rules() else {
            return;
        };
        // Room for one port is there.
        let _ = new.ports.push(self.main.port);
        let told = Introduction {
            own: &notify.responder,
            other: &notify.requester,
            strategies: notify.strategies,
            hold_us: notify.hold_us,
            server,
            rules,
        };
        new.introduce(&mut self.core, &told);
        let over = new.state().is_over();
        self.put(slot, new);
        if over {
            return;
        }
        let ask = decision == Decision::Ask;
        // Nobody is asked about a name that the server only claims.
        if ask && !self.answer(slot) {
            return self.decline(slot, FailReason::Untrusted);
        }
        self.core.out.push(Action::Notified { slot, ask });
        if !ask {
            self.admit(slot);
        }
    }

    pub(super) fn dial_rules(&self) -> Option<DialRules> {
        self.main
            .lease
            .as_ref()
            .map(|lease| lease.dial_rules(&self.core, false))
    }

    fn answer(&mut self, slot: Slot) -> bool {
        let session = self
            .sessions
            .get_mut(usize::from(slot))
            .and_then(Option::as_mut);
        session.is_some_and(|session| session.answer(&mut self.core))
    }

    /// The responder is willing: answer, hold back, punch.
    fn admit(&mut self, slot: Slot) {
        let Some(session) = self
            .sessions
            .get_mut(usize::from(slot))
            .and_then(Option::as_mut)
        else {
            return;
        };
        if !session.told_in_advance() {
            if !session.answer(&mut self.core) {
                return self.decline(slot, FailReason::Untrusted);
            }
            self.core.tell_server(Letter::Ready { slot });
            session.begin_after(self.core.now);
        }
        session.go(&mut self.core);
    }

    /// Gives one connection that came before its session to it; false if there
    /// is none.
    pub(super) fn adopt_parked(&mut self) -> bool {
        for session in self
            .sessions
            .iter_mut()
            .flatten()
            .filter(|session| session.state().is_open())
        {
            if let Some((stranger, greeting)) = self.strangers.take_parked(session.id) {
                let Stranger {
                    socket,
                    local,
                    remote,
                    ..
                } = stranger;
                session.adopt_early(&mut self.core, socket, local, remote, &greeting);
                return true;
            }
        }
        false
    }

    /// The peer that we asked for is willing.
    pub(super) fn told_to_connect(&mut self, connect: Connect<'_>) {
        let server = self.main.server_endpoint();
        let Some(rules) = self.dial_rules() else {
            return;
        };
        let Some(session) = self.sessions.iter_mut().flatten().find(|known| {
            known.id == connect.session
                && known.role == Role::Requester
                && known.state() == State::Requested
        }) else {
            self.core.late = self.core.late.saturating_add(1);
            return;
        };
        let told = Introduction {
            own: &connect.requester,
            other: &connect.responder,
            strategies: connect.strategies,
            hold_us: connect.hold_us,
            server,
            rules,
        };
        session.take_reply(connect.noise);
        session.introduce(&mut self.core, &told);
        session.go(&mut self.core);
    }

    /// The other side, or the server, ended a session.
    pub(super) fn told_over(&mut self, session: SessionId, reason: FailReason) {
        let found = self
            .sessions
            .iter_mut()
            .flatten()
            .find(|known| known.id == session);
        match found {
            // The server does not know the session any more, which it need not
            // for the dials that are pending.
            Some(session) if reason == FailReason::Gone && session.is_between_rounds() => {
                session.no_more_rounds(&mut self.core);
            }
            Some(session) => session.fail(&mut self.core, reason),
            None => self.core.late = self.core.late.saturating_add(1),
        }
    }

    /// Sessions that wait for the server's word cannot get it any more; those
    /// that punch need no server.
    pub(super) fn main_link_lost(&mut self) {
        // After a final refusal there will be no link for those that prepare.
        let last = self.main.state() == LinkState::Idle;
        for session in self.sessions.iter_mut().flatten() {
            session.orphaned |=
                last || matches!(session.state(), State::Requested | State::Deciding);
        }
    }

    /// A stranger's hello came: to whom does the connection belong?
    pub(super) fn stranger_said(&mut self, id: crate::id::SocketId, hello: &StreamHello<'_>) {
        let found = self
            .sessions
            .iter_mut()
            .flatten()
            .find(|known| known.id == hello.session);
        match (found, crate::punch::Greeting::early(hello)) {
            (Some(session), _) if session.state().is_open() => {
                if let Some(stranger) = self.strangers.take(id) {
                    session.adopt(
                        &mut self.core,
                        stranger.socket,
                        stranger.local,
                        stranger.remote,
                        hello,
                    );
                }
            }
            (_, Some(greeting)) => self.strangers.park(id, greeting),
            (_, None) => self.strangers.dismiss(&mut self.core, id),
        }
    }
}
