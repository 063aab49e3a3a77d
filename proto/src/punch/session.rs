//! One session: its state, its dials, its end.

use core::time::Duration;

use heapless::Vec;

use super::attempt::{Attempt, MAX_ATTEMPTS, MAX_DIALS, Stage, strategy_of};
use super::keys::{KeyState, Keys, Parties};
use super::states::{Cause, State};
use super::stream::Stream;
use crate::addr::{Candidate, CandidateKind, Candidates, DialRules, Endpoint};
use crate::config::SessionOptions;
use crate::event::{FailReason, Mapping, Strategies, Strategy, Tried};
use crate::id::{PeerId, SessionId, SocketId};
use crate::io::{Close, Failure};
use crate::noise::{Entropy, Role};
use crate::peer::core::Core;
use crate::peer::outbox::{Action, Letter, Slot};
use crate::rtt::MAX_HOLD;
use crate::time::{Instant, earlier};
use crate::wire::{MAX_SESSION_PORTS, NoiseMessage, Side};

/// Most streams of a session that are up and not verified.
pub(crate) const MAX_STREAMS: usize = 5;

/// How long a responder that saw the other side prove itself waits for another
/// stream after the last one died.
const WINNER_LOST_AFTER: Duration = Duration::from_secs(3);

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
    begin_at: Instant,
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
        let deadline = core.now.after(core.config.consent_deadline);
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
            tried: Tried {
                pairs: 0,
                dials: 0,
                refused: 0,
                unreachable: 0,
                failed: 0,
                unanswered: 0,
                connected: 0,
                unverified: 0,
                own_mapping: Mapping::Unknown,
                peer_mapping: Mapping::Unknown,
            },
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
            let consent = core.now.after(core.config.consent_deadline);
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
        self.begin_after(core.now);
        self.lay_out(core, told);
        if self.attempts.is_empty() {
            self.give_up(core, FailReason::NothingToTry);
        }
    }

    /// Responder: how long to hold back is counted from the answer.
    pub(crate) fn begin_after(&mut self, now: Instant) {
        self.begin_at = now.after(Duration::from_micros(u64::from(self.hold_us)).min(MAX_HOLD));
        for attempt in &mut self.attempts {
            attempt.stage = Stage::Due(self.begin_at);
        }
    }

    /// Whether the requester was told to connect before we were asked.
    pub(crate) const fn told_in_advance(&self) -> bool {
        self.in_advance
    }

    /// Both sides are willing: hold back, then punch.
    pub(crate) fn go(&mut self, core: &Core) {
        if self.transition(Cause::Introduced) {
            let punch = self.begin_at.after(core.config.punch_deadline);
            self.deadline = match self.role {
                Role::Requester => self.overall.min(punch),
                Role::Responder => punch,
            };
        }
    }

    fn lay_out(&mut self, core: &Core, told: &Introduction<'_>) {
        let (own, theirs) = (&told.own.candidates, &told.other.candidates);
        let rules = DialRules {
            together: share_outer_address(own, theirs),
            ..told.rules
        };
        for candidate in theirs {
            let is_own = own.iter().any(|own| own.endpoint == candidate.endpoint)
                || (core.hosts.contains(&candidate.endpoint.ip)
                    && self.ports.contains(&candidate.endpoint.port));
            if is_own
                || told.server == Some(candidate.endpoint)
                || !rules.allow(candidate)
                || !core.has_family(candidate.endpoint.family())
                || !self.strategies.allows(strategy_of(candidate.kind))
            {
                continue;
            }
            // In one network there is no loss worth racing against.
            let ports = match candidate.kind {
                CandidateKind::Mapped => self.ports.as_slice(),
                CandidateKind::Host => self.ports.get(..1).unwrap_or_default(),
            };
            for &local_port in ports {
                let attempt = Attempt {
                    local_port,
                    remote: candidate.endpoint,
                    kind: candidate.kind,
                    dials: 0,
                    dialled_at: Instant::ZERO,
                    stage: Stage::Due(self.begin_at),
                };
                let known = |other: &Attempt| {
                    other.local_port == local_port && other.remote == candidate.endpoint
                };
                if !self.attempts.iter().any(known) {
                    // Full: the best candidates came first.
                    let _ = self.attempts.push(attempt);
                }
            }
        }
        self.tried.pairs = u8::try_from(self.attempts.len()).unwrap_or(u8::MAX);
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
                Some(dials.fold(self.deadline, Instant::min))
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
            State::Preparing => match self.settle_at {
                // The owner looks at it again; what matters is that it passed.
                Some(at) if now >= at => {
                    self.settle_at = None;
                    true
                }
                Some(_) | None => false,
            },
            State::Punching => self.dial_due(core) || self.expire_stream(core),
            State::Requested | State::Deciding | State::Holding => self.expire_stream(core),
            State::Verified | State::Failed => false,
        }
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
        let due = |attempt: &Attempt| matches!(attempt.stage, Stage::Due(at) if now >= at);
        let Some((index, attempt)) = self
            .attempts
            .iter_mut()
            .enumerate()
            .find(|(_, attempt)| due(attempt))
        else {
            return false;
        };
        if self.tried.dials >= MAX_DIALS {
            attempt.stage = Stage::Dead;
            return true;
        }
        let id = core.ids.socket();
        attempt.stage = Stage::Dialling(id);
        attempt.dials = attempt.dials.saturating_add(1);
        attempt.dialled_at = now;
        self.tried.dials = self.tried.dials.saturating_add(1);
        core.out.push(Action::Dial {
            id,
            local_port: attempt.local_port,
            remote: attempt.remote,
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
        let count = match failure {
            Failure::Refused | Failure::Reset => &mut self.tried.refused,
            Failure::Unreachable => &mut self.tried.unreachable,
            Failure::TimedOut
            | Failure::AddressInUse
            | Failure::AddressNotAvailable
            | Failure::Exhausted
            | Failure::Forbidden
            | Failure::Other => &mut self.tried.failed,
        };
        *count = count.saturating_add(1);
        self.redial(core, index, failure);
    }

    pub(super) fn redial(&mut self, core: &mut Core, index: usize, failure: Failure) {
        if let Some(attempt) = self.attempts.get_mut(index) {
            let again = attempt.redial_at(failure, core.now, &mut core.jitter);
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
        for attempt in &mut self.attempts {
            if let Stage::Dialling(id) = attempt.stage {
                core.out.close(id, Close::Silent);
                self.tried.unanswered = self.tried.unanswered.saturating_add(1);
                attempt.stage = Stage::Dead;
            }
        }
        for stream in &self.streams {
            if Some(stream.number) != winner {
                core.out.close(stream.socket, Close::Reset);
                self.tried.unverified = self.tried.unverified.saturating_add(1);
            }
        }
        self.streams.retain(|stream| Some(stream.number) == winner);
    }

    pub(crate) const fn tried(&self) -> Tried {
        self.tried
    }

    /// What a `Dialling` entry is about.
    pub(crate) fn dial_facts(&self, attempt: u8) -> Option<(u16, Endpoint, u8)> {
        let attempt = self.attempts.get(usize::from(attempt))?;
        Some((attempt.local_port, attempt.remote, attempt.dials))
    }

    /// The strategy that explains a stream to this endpoint.
    pub(super) fn strategy_to(&self, remote: Endpoint) -> Strategy {
        let same_ip = |attempt: &&Attempt| attempt.remote.ip == remote.ip;
        self.attempts
            .iter()
            .find(same_ip)
            .map_or(Strategy::SimultaneousOpen, Attempt::strategy)
    }

    /// Responder: a stream that had proven itself died. Another one must come
    /// soon or never.
    pub(super) fn proven_lost(&mut self, now: Instant) {
        if !self.streams.iter().any(|stream| stream.proven) {
            self.successor_by = Some(now.after(WINNER_LOST_AFTER));
        }
    }
}

/// Whether both sides were seen under one address.
fn share_outer_address(own: &Candidates, theirs: &Candidates) -> bool {
    let mapped = |candidate: &&Candidate| candidate.kind == CandidateKind::Mapped;
    own.iter().filter(mapped).any(|own| {
        theirs
            .iter()
            .filter(mapped)
            .any(|other| other.endpoint.ip == own.endpoint.ip)
    })
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
