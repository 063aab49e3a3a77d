//! One session: its state, its dials, its end.

use core::time::Duration;

use heapless::Vec;

use super::attempt::{Attempt, MAX_ATTEMPTS, Stage, dial_budget};
use super::keys::{KeyState, Keys, Parties};
use super::rounds::{Phase, Rounds};
use super::states::{Cause, State};
use super::stream::Stream;
use crate::addr::{DialRules, Endpoint};
use crate::config::SessionOptions;
use crate::event::{FailReason, Strategies, Tried};
use crate::id::{PeerId, SessionId, SocketId};
use crate::io::{Close, Failure};
use crate::noise::{Entropy, Role};
use crate::peer::core::Core;
use crate::peer::outbox::{Action, Letter, Slot};
use crate::time::{Instant, earlier};
use crate::wire::{MAX_SESSION_PORTS, NoiseMessage, Side};

/// Most streams of a session that are up and not verified.
pub(crate) const MAX_STREAMS: usize = 4;

/// How long a responder that saw the other side prove itself waits for another
/// stream after the last one died. The loser among two may die before anything
/// has come over the winner: its first segment may be lost three times over, and
/// a stack that sends again after 1, 2 and 4 s (smoltcp, RFC 6298) has it there
/// after 7 s and a round trip. (With 3 s, in the simulated world at 5 % loss, 6
/// sessions in 16,000 ended at the responder that went on at the requester.)
pub(super) const WINNER_LOST_AFTER: Duration = Duration::from_secs(8);

/// One introduction of a requester to a responder, at either of them.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) slot: Slot,
    pub(crate) id: SessionId,
    pub(crate) peer: PeerId,
    pub(crate) role: Role,
    state: State,
    /// When the state is given up.
    deadline: Instant,
    /// Requester: when all of it is given up.
    overall: Instant,
    /// Holding: when to begin.
    pub(super) begin_at: Instant,
    /// Preparing: from when on fewer ports than wanted will do.
    pub(crate) settle_at: Option<Instant>,
    /// The server's word, which it waits for, cannot come any more.
    pub(crate) orphaned: bool,
    /// What the application wants, done when there is nothing else to do.
    pub(crate) wish: Option<Wish>,
    /// Whether that moment was set before.
    pub(crate) settled: bool,
    /// Responder: how long to hold back after answering, in microseconds.
    pub(crate) hold_us: u32,
    /// The ports punched from: fresh ones, or the main link's.
    pub(crate) ports: Vec<u16, MAX_SESSION_PORTS>,
    pub(super) keys: Keys,
    /// Whether the requester was told to connect on the strength of consent
    /// given in advance, so that it gets message 2 with the first hello only.
    pub(super) in_advance: bool,
    pub(crate) strategies: Strategies,
    pub(super) attempts: Vec<Attempt, MAX_ATTEMPTS>,
    pub(super) streams: Vec<Stream, MAX_STREAMS>,
    /// Streams are named by a number that is not reused, not by their place.
    pub(super) next_stream: u8,
    /// Responder: the last stream whose hello had verified died; another one
    /// must come until then.
    pub(super) successor_by: Option<Instant>,
    pub(super) tried: Tried,
    pub(crate) rounds: Rounds,
}

/// What an application can want of a session.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Let the other side in.
    Accept,
    /// End it, for this reason.
    End(FailReason),
}

/// What the server told about a session, checked by the receiver.
#[derive(Debug)]
pub(crate) struct Introduction<'a> {
    pub(crate) own: &'a Side,
    pub(crate) other: &'a Side,
    pub(crate) strategies: Strategies,
    pub(crate) hold_us: u32,
    /// The server's own endpoint, which is never a candidate.
    pub(crate) server: Option<Endpoint>,
    pub(crate) rules: DialRules,
}

impl Session {
    /// A session that we ask for.
    pub(crate) fn request(
        core: &Core,
        slot: Slot,
        id: SessionId,
        peer: PeerId,
        options: &SessionOptions,
    ) -> Self {
        let overall = core.now.after(options.deadline);
        Self::new(
            slot,
            id,
            peer,
            Role::Requester,
            State::Preparing,
            overall,
            Keys::wanting(options.mode),
            options.strategies,
        )
    }

    /// A session that we are asked for.
    pub(crate) fn respond(
        core: &Core,
        slot: Slot,
        id: SessionId,
        peer: PeerId,
        noise: NoiseMessage,
        in_advance: bool,
    ) -> Self {
        let keys = Keys::offered(noise, core.config.stream_mode);
        let deadline = core.now.after(core.config.consent_deadline.get());
        let mut session = Self::new(
            slot,
            id,
            peer,
            Role::Responder,
            State::Deciding,
            deadline,
            keys,
            core.config.strategies,
        );
        session.in_advance = in_advance;
        session
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "private; each caller names them all"
    )]
    const fn new(
        slot: Slot,
        id: SessionId,
        peer: PeerId,
        role: Role,
        state: State,
        deadline: Instant,
        keys: Keys,
        strategies: Strategies,
    ) -> Self {
        Self {
            slot,
            id,
            peer,
            role,
            state,
            deadline,
            overall: deadline,
            begin_at: Instant::ZERO,
            settle_at: None,
            orphaned: false,
            wish: None,
            settled: false,
            hold_us: 0,
            ports: Vec::new(),
            keys,
            in_advance: false,
            strategies,
            attempts: Vec::new(),
            streams: Vec::new(),
            next_stream: 0,
            successor_by: None,
            tried: Tried::NOTHING,
            rounds: Rounds::new(),
        }
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// The only place where the state changes; false, and no change, where the
    /// table has no such transition.
    pub(super) fn transition(&mut self, cause: Cause) -> bool {
        match self.state.next(cause) {
            Some(next) => {
                self.state = next;
                true
            }
            None => false,
        }
    }

    /// Requester: ports are there; message 1 is written and the request sent.
    pub(crate) fn send_request(&mut self, core: &mut Core, ports: Vec<u16, MAX_SESSION_PORTS>) {
        self.ports = ports;
        let (id, peer) = (self.id, self.peer);
        let (who, entropy) = parties(id, peer, core);
        if self.keys.start(&who, entropy).is_err() {
            // Only an id that is no point of the curve can do that.
            return self.fail(core, FailReason::Untrusted);
        }
        if self.transition(Cause::PortsReady) {
            let consent = core.now.after(core.config.consent_deadline.get());
            self.deadline = self.overall.min(consent);
            core.tell_server(Letter::Request { slot: self.slot });
            core.out.push(Action::Requested { slot: self.slot });
        }
    }

    /// The server told both sides where the other is. Attempts are laid out;
    /// dials begin when the hold-back is over.
    pub(crate) fn introduce(&mut self, core: &mut Core, told: &Introduction<'_>) {
        self.strategies = self.strategies.and(told.strategies);
        self.tried.own_mapping = told.own.report.mapping;
        self.tried.peer_mapping = told.other.report.mapping;
        self.hold_us = told.hold_us;
        self.make_plan(core, told);
        self.lay_out(core, told);
        self.begin_after(core.now);
        if self.is_hopeless() {
            self.give_up(core, FailReason::NothingToTry);
        }
    }

    /// Whether the requester was told to connect before we were asked.
    pub(crate) const fn told_in_advance(&self) -> bool {
        self.in_advance
    }

    /// Both sides are willing: hold back, then punch.
    pub(crate) fn go(&mut self, core: &mut Core) {
        if self.transition(Cause::Introduced) {
            self.begin_rounds(core);
            let punch = self.begin_at.after(core.config.punch_deadline.get());
            self.deadline = match self.role {
                Role::Requester => self.overall.min(punch),
                Role::Responder => punch,
            };
        }
    }

    /// The next moment at which [`fire`](Self::fire) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let next = match self.state {
            State::Verified | State::Failed => return None,
            State::Preparing => earlier(Some(self.deadline), self.settle_at),
            State::Requested | State::Deciding => Some(self.deadline),
            State::Holding => Some(self.begin_at.min(self.deadline)),
            State::Punching => {
                let dials = self
                    .attempts
                    .iter()
                    .filter_map(|attempt| match attempt.stage {
                        Stage::Due(at) => Some(at),
                        Stage::Dialling(_) | Stage::Connected | Stage::Dead => None,
                    });
                let next = Some(dials.fold(self.deadline, Instant::min));
                match self.rounds.phase {
                    Phase::Until(at) => earlier(next, Some(at)),
                    Phase::WantsPorts => earlier(next, self.settle_at),
                    Phase::Last | Phase::Ready => next,
                }
            }
        };
        self.streams
            .iter()
            .fold(earlier(next, self.successor_by), |next, stream| {
                earlier(next, stream.deadline)
            })
    }

    /// Does one thing that is due; false if nothing is.
    pub(crate) fn fire(&mut self, core: &mut Core) -> bool {
        let now = core.now;
        if self.state.is_over() {
            return false;
        }
        let waiting = matches!(
            self.state,
            State::Preparing | State::Requested | State::Deciding
        );
        if self.orphaned && waiting {
            self.fail(core, FailReason::NoServer);
            return true;
        }
        if self.successor_by.is_some_and(|at| now >= at) {
            self.give_up(core, FailReason::WinnerLost);
            return true;
        }
        if now >= self.deadline {
            let reason = self.timed_out(core);
            self.give_up(core, reason);
            return true;
        }
        match self.state {
            State::Holding if now >= self.begin_at => {
                self.transition(Cause::HeldBack);
                true
            }
            State::Preparing => self.settle(now),
            State::Punching => {
                self.dial_due(core)
                    || self.expire_stream(core)
                    || self.round_due(core)
                    || self.settle(now)
            }
            State::Requested | State::Deciding | State::Holding => self.expire_stream(core),
            State::Verified | State::Failed => false,
        }
    }

    /// The wait for a second port is over: the owner looks at it again.
    fn settle(&mut self, now: Instant) -> bool {
        self.settle_at.take_if(|at| now >= *at).is_some()
    }

    fn timed_out(&self, core: &Core) -> FailReason {
        match self.state {
            State::Preparing if core.server.is_none() => FailReason::NoServer,
            State::Preparing => FailReason::NoPort,
            State::Requested | State::Deciding => FailReason::ConsentTimedOut,
            State::Holding | State::Punching | State::Verified | State::Failed => {
                if self.keys.was_forged() {
                    FailReason::Untrusted
                } else if self.tried.connected > 0 {
                    FailReason::NotVerified
                } else {
                    FailReason::PunchTimedOut
                }
            }
        }
    }

    fn dial_due(&mut self, core: &mut Core) -> bool {
        let now = core.now;
        let budget = dial_budget(self.rounds.round).saturating_add(self.tried.sprayed);
        let due = |attempt: &Attempt| matches!(attempt.stage, Stage::Due(at) if now >= at);
        let Some((index, attempt)) = self
            .attempts
            .iter_mut()
            .enumerate()
            .find(|(_, attempt)| due(attempt))
        else {
            return false;
        };
        if self.tried.dials >= budget {
            attempt.stage = Stage::Dead;
            return true;
        }
        let id = core.ids.socket();
        attempt.stage = Stage::Dialling(id);
        attempt.dials = attempt.dials.saturating_add(1);
        attempt.dialled_at = now;
        self.tried.dials = self.tried.dials.saturating_add(1);
        let (local_port, remote) = (attempt.local_port, attempt.remote);
        if attempt.is_watched() && core.config.runtime.raw {
            core.out.push(Action::Watch(id));
        }
        let hops = self.attempt_hops(index).into();
        core.out.push(Action::Dial {
            id,
            local_port,
            remote,
            hops,
        });
        let attempt = u8::try_from(index).unwrap_or(u8::MAX);
        core.out.push(Action::Dialling {
            slot: self.slot,
            attempt,
        });
        true
    }

    /// The attempt whose dial this socket is.
    pub(crate) fn attempt_of(&self, id: SocketId) -> Option<usize> {
        self.attempts
            .iter()
            .position(|attempt| attempt.stage == Stage::Dialling(id))
    }

    pub(crate) fn dial_failed(&mut self, core: &mut Core, index: usize, failure: Failure) {
        self.tried.count(failure);
        self.redial(core, index, failure);
    }

    pub(super) fn redial(&mut self, core: &mut Core, index: usize, failure: Failure) {
        let behind_routers = !core.config.routers.is_empty();
        if let Some(attempt) = self.attempts.get_mut(index) {
            let again = attempt.redial_at(failure, core.now, behind_routers, &mut core.jitter);
            attempt.stage = again.map_or(Stage::Dead, Stage::Due);
        }
    }

    /// Work on the handshake that must not delay a dial: done when there is
    /// nothing else to do. False if there is none.
    pub(crate) fn catch_up(&mut self, core: &mut Core) -> bool {
        if self.state != State::Punching || self.keys.message.is_empty() {
            return false;
        }
        match (&self.keys.state, self.role) {
            (KeyState::Offered, Role::Responder) => {
                if !self.answer(core) {
                    self.give_up(core, FailReason::Untrusted);
                }
                true
            }
            (KeyState::Started { .. }, Role::Requester) if !self.in_advance => {
                let message = core::mem::take(&mut self.keys.message);
                if !self.read_reply(core, &message) {
                    self.give_up(core, FailReason::Untrusted);
                }
                true
            }
            _ => false,
        }
    }

    /// Responder: reads message 1 and writes message 2; false if it is not
    /// genuine.
    pub(crate) fn answer(&mut self, core: &mut Core) -> bool {
        let (who, entropy) = parties(self.id, self.peer, core);
        self.keys.answer(&who, entropy)
    }

    /// Requester: reads a message 2; false if it is not the one.
    pub(super) fn read_reply(&mut self, core: &mut Core, message: &[u8]) -> bool {
        let (who, _) = parties(self.id, self.peer, core);
        self.keys.read_reply(&who, message)
    }

    /// Requester: the server's word to connect, with message 2 or without.
    pub(crate) fn take_reply(&mut self, message: NoiseMessage) {
        self.in_advance = message.is_empty();
        self.keys.message = message;
    }

    /// The message of the handshake that is to be sent.
    pub(crate) const fn noise_message(&self) -> &NoiseMessage {
        &self.keys.message
    }

    /// Ends the session from our side: the other is told, as far as the server
    /// can tell it.
    pub(crate) fn give_up(&mut self, core: &mut Core, reason: FailReason) {
        let session = self.id;
        match (self.state, self.role) {
            (State::Verified | State::Failed | State::Preparing, _) => {}
            (_, Role::Requester) => core.tell_server(Letter::Cancel { session }),
            (_, Role::Responder) => core.tell_server(Letter::Refuse { session, reason }),
        }
        self.fail(core, reason);
    }

    /// Ends the session without a stream: everything it has open is closed.
    pub(crate) fn fail(&mut self, core: &mut Core, reason: FailReason) {
        if self.transition(Cause::GaveUp) {
            self.close_all_but(core, None);
            core.out.push(Action::Failed {
                slot: self.slot,
                reason,
            });
        }
    }

    /// Closes what the session has open; dials go silently, because a RST of
    /// ours could undo what the other side is just achieving.
    pub(super) fn close_all_but(&mut self, core: &mut Core, winner: Option<u8>) {
        self.close_dials(core);
        self.end_spray(core);
        self.end_step(core);
        for stream in &self.streams {
            if Some(stream.number) != winner {
                core.out.close(stream.socket, Close::Reset);
                self.tried.unverified = self.tried.unverified.saturating_add(1);
            }
        }
        self.streams.retain(|stream| Some(stream.number) == winner);
    }

    /// Closes the dials that are pending.
    pub(super) fn close_dials(&mut self, core: &mut Core) {
        for attempt in &mut self.attempts {
            if let Stage::Dialling(id) = attempt.stage {
                core.out.close(id, Close::Silent);
                self.tried.unanswered = self.tried.unanswered.saturating_add(1);
                attempt.stage = Stage::Dead;
            }
        }
    }

    pub(crate) const fn tried(&self) -> Tried {
        self.tried
    }

    /// What a `Dialling` entry is about.
    pub(crate) fn dial_facts(&self, attempt: u8) -> Option<(u16, Endpoint, u8)> {
        let attempt = self.attempts.get(usize::from(attempt))?;
        Some((attempt.local_port, attempt.remote, attempt.dials))
    }

    /// Responder: a stream that had proven itself died. Another one must come
    /// soon or never.
    pub(super) fn proven_lost(&mut self, now: Instant) {
        if !self.streams.iter().any(|stream| stream.proven) {
            self.successor_by = Some(now.after(WINNER_LOST_AFTER));
        }
    }
}

const fn parties(session: SessionId, peer: PeerId, core: &mut Core) -> (Parties<'_>, &mut Entropy) {
    let Core {
        secret,
        config,
        entropy,
        ..
    } = core;
    (
        Parties {
            session,
            peer,
            secret,
            config,
        },
        entropy,
    )
}
