//! Streams that are up: who is there, and which one wins.

mod nominate;

use core::time::Duration;

use super::attempt::Stage;
use super::keys::KeyState;
use super::session::{MAX_STREAMS, Session, WINNER_LOST_AFTER};
use super::states::State;
use crate::addr::Endpoint;
use crate::event::{Event, FailReason};
use crate::id::{SessionId, SocketId};
use crate::io::{Close, Failure};
use crate::noise::{RECORD_OVERHEAD, RecordOpener, Role};
use crate::peer::core::Core;
use crate::peer::outbox::{Action, Letter};
use crate::time::Instant;
use crate::wire::{
    Clear, Extensions, Frame, HEADER, MAX_NOISE, StreamHello, WireError, finish_frame, frame_body,
    frame_len,
};

/// The only version of the stream protocol so far.
const STREAM_VERSION: u8 = 1;

/// Longest hello that is read: session, role, version, nonce, message 2, MAC,
/// and room for what later versions add.
pub(crate) const HELLO_LIMIT: usize = 384;

/// How long a stream may stay silent: a hello may be lost three times over, as
/// with [`WINNER_LOST_AFTER`], and the requester may have nominated the stream
/// meanwhile. A stranger who accepts and says nothing costs this stream and
/// nothing else.
const HELLO_DEADLINE: Duration = WINNER_LOST_AFTER;

/// One connection of a session.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(super) number: u8,
    pub(super) socket: SocketId,
    attempt: Option<u8>,
    local: Endpoint,
    remote: Endpoint,
    /// When it is given up if nothing comes.
    pub(super) deadline: Option<Instant>,
    own_nonce: [u8; 16],
    peer_nonce: [u8; 16],
    step: Step,
    /// Responder: the requester's hello carried its proof.
    pub(super) proven: bool,
    record_header: [u8; HEADER],
}

/// Stands for the attempt of a stream that came of a spray.
const SPRAYED: u8 = u8::MAX;

impl Stream {
    /// The round that it came from is over: its dial is not repeated.
    pub(super) fn forget_attempt(&mut self) {
        self.attempt = self.attempt.map(|_| SPRAYED);
    }
}

/// What is being read.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Step {
    HelloHeader,
    HelloBody,
    /// Responder: the other side's hello was in order; its word that this is
    /// the stream is awaited.
    NominationHeader,
    NominationBody,
    /// Requester of a bare stream: the responder's record, which proves that it
    /// is at the other end of this very stream. (Where records follow, they do.)
    ConfirmationHeader,
    ConfirmationBody,
}

/// What a hello said, without the proof.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Greeting {
    pub(crate) session: SessionId,
    pub(crate) nonce: [u8; 16],
}

impl Greeting {
    /// A hello that waits for its session to become known. Only a requester
    /// that has no message 2 yet can be that early, so there is no MAC to keep.
    pub(crate) fn early(hello: &StreamHello<'_>) -> Option<Self> {
        (hello.role == Role::Requester && hello.mac.is_empty() && hello.noise.is_empty()).then_some(
            Self {
                session: hello.session,
                nonce: hello.nonce,
            },
        )
    }
}

impl Session {
    /// A dial became a connection: we speak first.
    pub(crate) fn connected(
        &mut self,
        core: &mut Core,
        index: usize,
        id: SocketId,
        local: Endpoint,
    ) {
        let Some(attempt) = self.attempts.get_mut(index) else {
            return;
        };
        attempt.stage = Stage::Connected;
        let remote = attempt.remote;
        let attempt = u8::try_from(index).ok();
        self.speak_first(core, id, attempt, local, remote);
    }

    /// A dial of the session's spray became a connection.
    pub(crate) fn sprayed(
        &mut self,
        core: &mut Core,
        id: SocketId,
        local: Endpoint,
        remote: Endpoint,
    ) {
        self.speak_first(core, id, Some(SPRAYED), local, remote);
    }

    fn speak_first(
        &mut self,
        core: &mut Core,
        id: SocketId,
        attempt: Option<u8>,
        local: Endpoint,
        remote: Endpoint,
    ) {
        // A responder's hello carries its proof, also where the dial was faster
        // than the work on the handshake.
        if self.role == Role::Responder && !self.answer(core) {
            core.out.close(id, Close::Silent);
            return self.give_up(core, FailReason::Untrusted);
        }
        let Some(number) = self.add_stream(core, id, attempt, local, remote) else {
            core.out.close(id, Close::Reset);
            if let Some(index) = attempt {
                self.redial(core, usize::from(index), Failure::Reset);
            }
            return;
        };
        core.out.send(
            id,
            Letter::Hello {
                slot: self.slot,
                stream: number,
            },
        );
        core.out.read(id, HEADER);
    }

    fn add_stream(
        &mut self,
        core: &mut Core,
        socket: SocketId,
        attempt: Option<u8>,
        local: Endpoint,
        remote: Endpoint,
    ) -> Option<u8> {
        self.make_room(core, attempt.is_some() || self.expects(remote));
        let mut number = self.next_stream;
        while self.by_number(number).is_some() {
            number = number.wrapping_add(1);
        }
        let stream = Stream {
            number,
            socket,
            attempt,
            local,
            remote,
            deadline: Some(core.now.after(HELLO_DEADLINE)),
            own_nonce: core.entropy.bytes(),
            peer_nonce: [0; 16],
            step: Step::HelloHeader,
            proven: false,
            record_header: [0; HEADER],
        };
        self.streams.push(stream).ok()?;
        self.next_stream = number.wrapping_add(1);
        self.tried.connected = self.tried.connected.saturating_add(1);
        core.out.push(Action::Connected {
            slot: self.slot,
            stream: number,
        });
        Some(number)
    }

    /// Whether somebody of the introduction may come from there.
    fn expects(&self, remote: Endpoint) -> bool {
        self.attempts
            .iter()
            .any(|attempt| attempt.remote.ip == remote.ip)
    }

    /// Where the session has no room for another stream, one that came from
    /// nowhere and proved nothing goes; for an expected one also one that is
    /// merely unproven. A session id is no secret (it stands in every hello), so
    /// holding streams must not keep the other side out.
    fn make_room(&mut self, core: &mut Core, expected: bool) {
        if self.streams.len() < MAX_STREAMS {
            return;
        }
        let unproven = |stream: &&Stream| stream.attempt.is_none() && !stream.proven;
        let mut victims = self.streams.iter().filter(unproven);
        let stranger = victims.find(|stream| !self.expects(stream.remote));
        let victim = stranger.or_else(|| self.streams.iter().filter(|_| expected).find(unproven));
        if let Some(number) = victim.map(|stream| stream.number) {
            self.reject(core, number);
        }
    }

    /// A connection that a listener accepted and whose hello names this
    /// session: we speak second.
    pub(crate) fn adopt(
        &mut self,
        core: &mut Core,
        socket: SocketId,
        local: Endpoint,
        remote: Endpoint,
        hello: &StreamHello<'_>,
    ) {
        if !self.state().is_open() {
            return core.out.close(socket, Close::Reset);
        }
        match self.add_stream(core, socket, None, local, remote) {
            Some(number) => self.greet(core, number, hello, true),
            None => core.out.close(socket, Close::Reset),
        }
    }

    /// The same for a hello that came before its session.
    pub(crate) fn adopt_early(
        &mut self,
        core: &mut Core,
        socket: SocketId,
        local: Endpoint,
        remote: Endpoint,
        greeting: &Greeting,
    ) {
        let hello = StreamHello {
            session: greeting.session,
            role: Role::Requester,
            version: STREAM_VERSION,
            nonce: greeting.nonce,
            noise: &[],
            mac: &[],
            extensions: Extensions::NONE,
        };
        self.adopt(core, socket, local, remote, &hello);
    }

    fn index_of(&self, id: SocketId) -> Option<usize> {
        self.streams.iter().position(|stream| stream.socket == id)
    }

    fn by_number(&self, number: u8) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.number == number)
    }

    /// Whether this socket is one of the session's streams.
    pub(crate) fn has_stream(&self, id: SocketId) -> bool {
        self.index_of(id).is_some()
    }

    /// The bytes that were asked for.
    pub(crate) fn received(&mut self, core: &mut Core, id: SocketId, data: &mut [u8]) {
        let Some(stream) = self
            .index_of(id)
            .and_then(|index| self.streams.get_mut(index))
        else {
            return;
        };
        let number = stream.number;
        match stream.step {
            Step::HelloHeader => {
                match header(data).and_then(|header| frame_len(header, HELLO_LIMIT)) {
                    Ok(len) => {
                        stream.step = Step::HelloBody;
                        core.out.read(id, len);
                    }
                    Err(_) => self.reject(core, number),
                }
            }
            Step::HelloBody => match Clear::decode(data) {
                Ok(Some(Clear::StreamHello(hello))) => self.greet(core, number, &hello, false),
                Ok(Some(Clear::AssistToken(_) | Clear::AssistKeepAlive(_)) | None) | Err(_) => {
                    self.reject(core, number);
                }
            },
            Step::NominationHeader | Step::ConfirmationHeader => {
                let expected = RECORD_OVERHEAD.saturating_sub(HEADER);
                let fits = |header: &[u8; HEADER]| RecordOpener::body_len(*header) == Ok(expected);
                match header(data).ok().filter(fits) {
                    Some(header) => {
                        stream.record_header = header;
                        stream.step = if stream.step == Step::ConfirmationHeader {
                            Step::ConfirmationBody
                        } else {
                            Step::NominationBody
                        };
                        core.out.read(id, expected);
                    }
                    None => self.reject(core, number),
                }
            }
            Step::NominationBody => self.read_nomination(core, number, data),
            Step::ConfirmationBody => self.read_confirmation(core, number, data),
        }
    }

    /// The other side's hello: is it the one we were introduced to?
    fn greet(&mut self, core: &mut Core, number: u8, hello: &StreamHello<'_>, speak_second: bool) {
        if hello.session != self.id
            || hello.role != self.role.other()
            || hello.version != STREAM_VERSION
        {
            return self.reject(core, number);
        }
        let plausible = match self.role {
            Role::Requester => self.prove_responder(core, hello),
            Role::Responder => self.prove_requester(core, hello),
        };
        if !plausible {
            let dialled = self
                .by_number(number)
                .is_some_and(|stream| stream.attempt.is_some());
            self.reject(core, number);
            if dialled && self.keys.was_forged() && !self.hopes() {
                // Who answers where the server saw the other side does not know
                // what it should: the shared secret differs.
                self.give_up(core, FailReason::Untrusted);
            }
            return;
        }
        let slot = self.slot;
        let Some(stream) = self
            .streams
            .iter_mut()
            .find(|stream| stream.number == number)
        else {
            return;
        };
        let id = stream.socket;
        stream.proven = !hello.mac.is_empty();
        stream.peer_nonce = hello.nonce;
        if speak_second {
            core.out.send(
                id,
                Letter::Hello {
                    slot,
                    stream: number,
                },
            );
        }
        match self.role {
            Role::Requester => self.nominate(core, number),
            Role::Responder => {
                stream.step = Step::NominationHeader;
                if stream.proven {
                    // The session's own deadline bounds the wait.
                    stream.deadline = None;
                    self.successor_by = None;
                } else if stream.attempt.is_some() {
                    // The nomination can be lost just as often.
                    stream.deadline = Some(core.now.after(HELLO_DEADLINE));
                }
                core.out.read(id, HEADER);
            }
        }
    }

    /// Requester: the responder's hello must carry its proof, and message 2 if
    /// we have none yet.
    fn prove_responder(&mut self, core: &mut Core, hello: &StreamHello<'_>) -> bool {
        if matches!(self.keys.state, KeyState::Started { .. }) {
            let known = core::mem::take(&mut self.keys.message);
            let from_server = !known.is_empty() && self.read_reply(core, &known);
            if !from_server && !self.read_reply(core, hello.noise) {
                return false;
            }
        }
        self.verify(Role::Responder, hello)
    }

    /// Responder: the requester's hello carries its proof unless it cannot have
    /// message 2 yet; then its nomination will be the proof.
    fn prove_requester(&mut self, core: &mut Core, hello: &StreamHello<'_>) -> bool {
        if !self.answer(core) {
            return false;
        }
        (hello.mac.is_empty() && self.in_advance) || self.verify(Role::Requester, hello)
    }

    fn verify(&self, from: Role, hello: &StreamHello<'_>) -> bool {
        let (Some(keys), Ok(mac)) = (self.keys.ready(), hello.mac.try_into()) else {
            return false;
        };
        with_parts(hello, |parts| keys.verify_hello(from, parts, mac))
    }

    /// Whether a dial to where the server saw the other side may still bring it.
    fn hopes(&self) -> bool {
        self.attempts
            .iter()
            .any(|attempt| attempt.is_mapped() && attempt.stage != Stage::Dead)
    }

    /// The stream is not the one: it is closed, and the session goes on.
    fn reject(&mut self, core: &mut Core, number: u8) {
        if let Some(stream) = self.by_number(number) {
            core.out.close(stream.socket, Close::Reset);
            self.drop_stream(core, number, false);
        }
    }

    /// The stream ended before it was anything: the dial that made it is
    /// repeated, because a connection can be half of one (a socket that the
    /// other side closed while its handshake was under way).
    pub(crate) fn ended(&mut self, core: &mut Core, id: SocketId) {
        if let Some(number) = self
            .index_of(id)
            .and_then(|index| self.streams.get(index))
            .map(|stream| stream.number)
        {
            self.drop_stream(core, number, true);
        }
    }

    fn drop_stream(&mut self, core: &mut Core, number: u8, redial: bool) {
        let Some(index) = self
            .streams
            .iter()
            .position(|stream| stream.number == number)
        else {
            return;
        };
        let stream = self.streams.swap_remove(index);
        self.tried.unverified = self.tried.unverified.saturating_add(1);
        if self.role == Role::Responder && stream.proven {
            self.proven_lost(core.now);
        }
        if matches!(
            stream.step,
            Step::ConfirmationHeader | Step::ConfirmationBody
        ) {
            // The other side may have it: there is no second nomination.
            return self.give_up(core, FailReason::WinnerLost);
        }
        if let Some(attempt) = stream.attempt.map(usize::from) {
            if redial && self.state() == State::Punching {
                self.redial(core, attempt, Failure::Reset);
            } else if let Some(attempt) = self.attempts.get_mut(attempt) {
                attempt.stage = Stage::Dead;
            }
        }
    }

    /// Gives up one stream that stayed silent; false if there is none. Its dial
    /// is repeated: the other end may be half of a connection.
    pub(super) fn expire_stream(&mut self, core: &mut Core) -> bool {
        let silent =
            |stream: &&Stream| stream.deadline.is_some_and(|deadline| core.now >= deadline);
        match self
            .streams
            .iter()
            .find(silent)
            .map(|stream| (stream.number, stream.socket))
        {
            Some((number, socket)) => {
                core.out.close(socket, Close::Reset);
                self.drop_stream(core, number, true);
                true
            }
            None => false,
        }
    }

    /// Writes our hello for a stream.
    pub(crate) fn write_hello<'a>(
        &self,
        number: u8,
        frame: &'a mut Frame,
    ) -> Result<&'a [u8], WireError> {
        let stream = self.by_number(number).ok_or(WireError::Empty)?;
        let noise = match self.role {
            // Always: a stream can be up before the server's word is with the
            // requester, whichever way consent was given.
            Role::Responder if self.keys.ready().is_some() => self.keys.message.as_slice(),
            Role::Responder | Role::Requester => &[],
        };
        let mut hello = StreamHello {
            session: self.id,
            role: self.role,
            version: STREAM_VERSION,
            nonce: stream.own_nonce,
            noise,
            mac: &[],
            extensions: Extensions::NONE,
        };
        let mac = self
            .keys
            .ready()
            .map(|keys| with_parts(&hello, |parts| keys.hello_mac(self.role, parts)));
        if let Some(mac) = &mac {
            hello.mac = mac;
        }
        let len = Clear::StreamHello(hello).encode(frame_body(frame))?;
        finish_frame(frame, len)
    }

    pub(crate) fn connected_event(&self, number: u8) -> Option<Event> {
        let stream = self.by_number(number)?;
        Some(Event::Connected {
            session: self.id,
            local: stream.local,
            remote: stream.remote,
            dialled: stream.attempt.is_some(),
        })
    }

    pub(crate) fn verified_event(&self, number: u8) -> Option<Event> {
        let stream = self.by_number(number)?;
        Some(Event::Verified {
            session: self.id,
            peer: self.peer,
            role: self.role,
            strategy: self.strategy_of(stream.local.port, stream.remote),
            local: stream.local,
            remote: stream.remote,
            tried: self.tried(),
        })
    }

    pub(crate) const fn failed_event(&self, reason: FailReason) -> Event {
        Event::Failed {
            session: self.id,
            peer: self.peer,
            role: self.role,
            reason,
            tried: self.tried(),
        }
    }
}

fn header(data: &[u8]) -> Result<[u8; HEADER], WireError> {
    data.try_into().map_err(|_| WireError::Malformed)
}

/// What a hello's MAC is over.
fn with_parts<T>(hello: &StreamHello<'_>, act: impl FnOnce(&[&[u8]]) -> T) -> T {
    const { assert!(MAX_NOISE < HELLO_LIMIT) }
    let role = [match hello.role {
        Role::Requester => 0,
        Role::Responder => 1,
    }];
    act(&[
        hello.session.as_bytes(),
        &role,
        &[hello.version],
        &hello.nonce,
        hello.noise,
        hello.extensions.as_bytes(),
    ])
}
