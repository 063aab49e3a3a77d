//! The server's machine for one main link.

use core::time::Duration;

use heapless::{Deque, Vec};
use subtle::ConstantTimeEq;

use super::introductions::{Introductions, Told, hold_backs, sides};
use super::ports::PeerPorts;
use super::{
    LinkEvent, LinkInput, LinkOutput, Observation, Rejection, RouteMessage, Routed, ServerConfig,
    SideInfo,
};
use crate::addr::Endpoint;
use crate::event::{FailReason, Strategies};
use crate::id::{LinkHandle, PeerId, SessionId};
use crate::io::Close;
use crate::noise::{Entropy, Handshake, Pattern, Psk, Transport};
use crate::rtt::Rtt;
use crate::time::Instant;
use crate::wire::{
    CLIENT_HELLO_PREFIX, Cancel, ClientHello, Connect, Consent, DialBackOutcome, Empty, Extensions,
    Frame, HEADER, Hosts, MAX_FRAME, Notify, Observed, Ping, Probed, REJECT_HANDSHAKE,
    REJECT_VERSION, Refused, Register, Registered, Rejected, Request, ServerHello, Side, ToPeer,
    ToServer, assist_mac, finish_frame, frame_body, frame_len,
};

/// Keep-alive intervals without a sign of life after which a registration
/// ends; peers give up after less.
const LEASE_INTERVALS: u32 = 3;

/// A peer is dialled back so often at most.
const PROBE_PAUSE: Duration = Duration::from_secs(2);

/// Room for a server's hello: message 2 with one byte of payload.
const MAX_HELLO: usize = 80;

/// Most entries that one input makes, besides those worked off one by one.
const CAPACITY: usize = 6;

/// Where the link stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    /// The client's hello is awaited.
    Greeting,
    /// The first transport record is awaited: it proves that the hello was no
    /// replay.
    Registering,
    /// The peer is known.
    Registered,
    /// What others must know is being told.
    Closing(Close),
    /// Nothing more to do.
    Closed,
}

/// What is to be done.
#[derive(Debug)]
enum Action {
    Read(usize),
    Hello(Vec<u8, MAX_HELLO>),
    Send(Letter),
    Register,
    Route {
        to: PeerId,
        session: SessionId,
        message: Small,
    },
    /// What stands in the slot for large ones.
    Large,
    DialBack {
        port: u16,
        other_address: bool,
        to: Endpoint,
    },
    Event(LinkEvent),
    Close(Close),
}

/// Routes without much content.
#[derive(Copy, Clone, Debug)]
enum Small {
    Refused(FailReason),
    Cancel,
}

/// Messages that are written when they are fetched.
#[derive(Copy, Clone, Debug)]
enum Letter {
    Registered,
    Rejected(Rejection),
    Replaced,
    Pong(u32),
    PongAck(u32),
    Observed {
        port: u16,
        assist: u8,
        mapped: Endpoint,
    },
    Probed {
        port: u16,
        other_address: bool,
        outcome: DialBackOutcome,
    },
    Refused {
        session: SessionId,
        reason: FailReason,
    },
    Cancelled {
        session: SessionId,
    },
}

/// Carries an introduction; an input makes at most one to send and one to
/// route.
#[derive(Debug)]
enum Large {
    Route(Routed),
    Notify(Notify<'static>),
    Connect(Connect<'static>),
}

/// One main link at the server.
///
/// After every `handle_*` call, drain [`poll_output`](Self::poll_output) until
/// [`LinkOutput::Wait`]. `config` is the same value in every call.
#[derive(Debug)]
pub struct Link {
    now: Instant,
    state: State,
    epoch: u64,
    handle: LinkHandle,
    entropy: Entropy,
    assist_secret: [u8; 32],
    peer: Option<PeerId>,
    transport: Option<Transport>,
    reading_body: bool,
    deadline: Instant,
    /// When the last message left that is answered at once.
    asked_at: Option<(u32, Instant)>,
    rtt: Rtt,
    consent: Consent,
    strategies: Strategies,
    hosts: Hosts,
    ports: PeerPorts,
    introductions: Introductions,
    /// The port that was dialled back last, and when another one may be.
    probing: Option<u16>,
    probe_at: Instant,
    out: Deque<Action, CAPACITY>,
    large: Deque<Large, 2>,
}

impl Link {
    /// For a connection from `remote`. `epoch` is higher than that of every
    /// link before; `handle` is random and nobody else's; `seed` is 32 secret
    /// random bytes, never used before.
    pub fn new(
        now: Instant,
        config: &ServerConfig,
        remote: Endpoint,
        epoch: u64,
        handle: LinkHandle,
        seed: [u8; 32],
    ) -> Self {
        let mut entropy = Entropy::new(seed);
        let mut link = Self {
            now,
            state: State::Greeting,
            epoch,
            handle,
            assist_secret: entropy.bytes(),
            entropy,
            peer: None,
            transport: None,
            reading_body: false,
            deadline: now.after(config.handshake_deadline),
            asked_at: None,
            rtt: Rtt::default(),
            consent: Consent::default(),
            strategies: Strategies::ANY,
            hosts: Hosts::new(),
            ports: PeerPorts::new(remote),
            introductions: Introductions::default(),
            probing: None,
            probe_at: now,
            out: Deque::new(),
            large: Deque::new(),
        };
        link.push(Action::Read(HEADER));
        link
    }

    fn push(&mut self, action: Action) {
        let room = self.out.push_back(action);
        debug_assert!(room.is_ok(), "an input makes few entries");
    }

    fn push_large(&mut self, large: Large) {
        let room = self.large.push_back(large);
        debug_assert!(room.is_ok(), "an input makes at most two large entries");
        if room.is_ok() {
            self.push(Action::Large);
        }
    }

    /// Takes in something that happened; drain after the call.
    pub fn handle_input(&mut self, now: Instant, config: &ServerConfig, input: LinkInput<'_>) {
        self.now = now;
        if matches!(self.state, State::Closing(_) | State::Closed) {
            // After the close nothing may follow: the runtime has forgotten us.
            if let (State::Closing(_), LinkInput::Routed(routed)) = (self.state, input) {
                self.return_to_sender(routed);
            }
            return;
        }
        match input {
            LinkInput::Received(data) => self.received(config, data),
            LinkInput::Ended => self.state = State::Closing(Close::Reset),
            LinkInput::Routed(routed) => self.routed(config, routed),
            LinkInput::Unroutable(routed) => self.unroutable(routed),
            LinkInput::Observed(seen) => self.observed(config, &seen),
            LinkInput::DialedBack {
                port,
                other_address,
                outcome,
            } => {
                if self.probing == Some(port) {
                    self.push(Action::Send(Letter::Probed {
                        port,
                        other_address,
                        outcome,
                    }));
                }
            }
            LinkInput::Replaced => {
                self.push(Action::Send(Letter::Replaced));
                self.state = State::Closing(Close::Fin);
            }
            LinkInput::Drain => self.state = State::Closing(Close::Fin),
        }
    }

    /// The deadline has come; harmless if early. Drain after the call.
    pub fn handle_timeout(&mut self, now: Instant, _config: &ServerConfig) {
        self.now = now;
        let open = !matches!(self.state, State::Closing(_) | State::Closed);
        if open && now >= self.deadline {
            if self.state != State::Registered {
                self.push(Action::Event(LinkEvent::Rejected(Rejection::TimedOut)));
            }
            self.state = State::Closing(Close::Reset);
        }
    }

    /// What is to be done next; `frame` is where bytes to be sent are written.
    /// Call until it gives [`LinkOutput::Wait`].
    pub fn poll_output<'a>(
        &mut self,
        config: &ServerConfig,
        frame: &'a mut Frame,
    ) -> LinkOutput<'a> {
        loop {
            while let Some(action) = self.out.pop_front() {
                let letter = match action {
                    Action::Read(exactly) => return LinkOutput::Read { exactly },
                    Action::Register => match self.peer {
                        Some(peer) => {
                            return LinkOutput::Register {
                                peer,
                                epoch: self.epoch,
                            };
                        }
                        None => continue,
                    },
                    Action::Route {
                        to,
                        session,
                        message,
                    } => match self.peer {
                        Some(from) => {
                            let message = match message {
                                Small::Refused(reason) => RouteMessage::Refused(reason),
                                Small::Cancel => RouteMessage::Cancel,
                            };
                            return LinkOutput::Route(Routed {
                                from,
                                to,
                                session,
                                message,
                            });
                        }
                        None => continue,
                    },
                    Action::DialBack {
                        port,
                        other_address,
                        to,
                    } => {
                        return LinkOutput::DialBack {
                            port,
                            other_address,
                            to,
                        };
                    }
                    Action::Event(event) => return LinkOutput::Event(event),
                    Action::Close(how) => return LinkOutput::Close(how),
                    Action::Hello(hello) => {
                        if let Some(room) = frame_body(frame).get_mut(..hello.len()) {
                            room.copy_from_slice(&hello);
                        }
                        return LinkOutput::Send {
                            data: finish_frame(frame, hello.len()).unwrap_or_default(),
                        };
                    }
                    Action::Large => match self.large.pop_front() {
                        Some(Large::Route(routed)) => return LinkOutput::Route(routed),
                        Some(Large::Notify(notify)) => self.seal(&ToPeer::Notify(notify), frame),
                        Some(Large::Connect(connect)) => {
                            self.seal(&ToPeer::Connect(connect), frame)
                        }
                        None => None,
                    },
                    Action::Send(letter) => {
                        let message = self.message(config, letter);
                        self.seal(&message, frame)
                    }
                };
                if let Some(len) = letter {
                    return LinkOutput::Send {
                        data: finish_frame(frame, len).unwrap_or_default(),
                    };
                }
            }
            if !self.wind_down() {
                let open = !matches!(self.state, State::Closing(_) | State::Closed);
                return LinkOutput::Wait(open.then_some(self.deadline));
            }
        }
    }

    fn seal(&mut self, message: &ToPeer<'_>, frame: &mut Frame) -> Option<usize> {
        let transport = self.transport.as_mut()?;
        let body = frame_body(frame);
        let len = message.encode(body).ok()?;
        transport.seal(body, len).ok()
    }

    fn message(&self, config: &ServerConfig, letter: Letter) -> ToPeer<'static> {
        let extensions = Extensions::NONE;
        let ping = |number| Ping { number, extensions };
        match letter {
            Letter::Registered => {
                let millis =
                    |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
                ToPeer::Registered(Registered {
                    mapped: self.ports.main_endpoint(),
                    handle: self.handle,
                    assist_secret: self.assist_secret,
                    assists: config.assists.clone(),
                    keep_alive_ms: millis(config.keep_alive),
                    lease_ms: millis(lease(config)),
                    epoch: self.epoch,
                    extensions,
                })
            }
            Letter::Rejected(reason) => ToPeer::Rejected(Rejected { reason, extensions }),
            Letter::Replaced => ToPeer::Replaced(Empty { extensions }),
            Letter::Pong(number) => ToPeer::Pong(ping(number)),
            Letter::PongAck(number) => ToPeer::PongAck(ping(number)),
            Letter::Observed {
                port,
                assist,
                mapped,
            } => ToPeer::Observed(Observed {
                port,
                assist,
                mapped,
                extensions,
            }),
            Letter::Probed {
                port,
                other_address,
                outcome,
            } => ToPeer::Probed(Probed {
                port,
                other_address,
                outcome,
                extensions,
            }),
            Letter::Refused { session, reason } => ToPeer::Refused(Refused {
                session,
                reason,
                extensions,
            }),
            Letter::Cancelled { session } => ToPeer::Cancelled(Cancel {
                session,
                extensions,
            }),
        }
    }

    /// Tells others what they must know before the link is forgotten, one a
    /// call; false when nothing is left.
    fn wind_down(&mut self) -> bool {
        let State::Closing(how) = self.state else {
            return false;
        };
        if let Some(known) = self.introductions.take_any_waiting() {
            let message = Small::Refused(FailReason::Gone);
            self.push(Action::Route {
                to: known.from,
                session: known.session,
                message,
            });
        } else if let Some(known) = self.introductions.take_any_asked() {
            self.push(Action::Route {
                to: known.to,
                session: known.session,
                message: Small::Cancel,
            });
        } else {
            self.push(Action::Close(how));
            self.state = State::Closed;
        }
        true
    }

    fn received(&mut self, config: &ServerConfig, data: &mut [u8]) {
        if !self.reading_body {
            match data
                .as_ref()
                .try_into()
                .ok()
                .and_then(|header| frame_len(header, MAX_FRAME).ok())
            {
                Some(len) => {
                    self.reading_body = true;
                    self.push(Action::Read(len));
                }
                None => self.malformed(),
            }
            return;
        }
        self.reading_body = false;
        match self.state {
            State::Greeting => self.greeted(config, data),
            State::Registering | State::Registered => {
                let Some(transport) = self.transport.as_mut() else {
                    return self.malformed();
                };
                let Ok(len) = transport.open(data) else {
                    return self.malformed();
                };
                let plain = data.get(..len).unwrap_or_default();
                match ToServer::decode(plain) {
                    Ok(Some(message)) => self.told(config, message),
                    // A later version may say more than we know.
                    Ok(None) => {}
                    Err(_) => return self.malformed(),
                }
                if self.state == State::Registered {
                    self.deadline = self.now.after(lease(config));
                }
                if matches!(self.state, State::Registering | State::Registered) {
                    self.push(Action::Read(HEADER));
                }
            }
            State::Closing(_) | State::Closed => {}
        }
    }

    fn malformed(&mut self) {
        self.push(Action::Event(LinkEvent::Malformed));
        self.state = State::Closing(Close::Reset);
    }

    /// The client's hello: versions and message 1.
    fn greeted(&mut self, config: &ServerConfig, body: &[u8]) {
        let Ok(hello) = ClientHello::decode(body) else {
            return self.malformed();
        };
        let Some(version) = hello.common_version() else {
            return self.reject_hello(REJECT_VERSION, Rejection::Version);
        };
        let prologue = body.get(..CLIENT_HELLO_PREFIX).unwrap_or_default();
        let mut handshake = Handshake::responder(
            Pattern::Ik,
            prologue,
            &config.secret,
            &Psk::NONE,
            self.entropy.bytes(),
        );
        let mut ignored = [0; 64];
        if handshake.read_message(hello.noise, &mut ignored).is_err() {
            return self.reject_hello(REJECT_HANDSHAKE, Rejection::Handshake);
        }
        let mut reply = [0; MAX_HELLO];
        let answer = reply.split_first_mut().and_then(|(kind, room)| {
            *kind = ServerHello::ACCEPT;
            let len = handshake.write_message(&[version], room).ok()?;
            let finished = handshake.finish().ok()?;
            Some((len.saturating_add(1), finished, handshake.remote_static()?))
        });
        let Some((len, finished, key)) = answer else {
            return self.reject_hello(REJECT_HANDSHAKE, Rejection::Handshake);
        };
        self.transport = Some(Transport::new(&finished, false));
        self.peer = Some(key.into());
        self.state = State::Registering;
        // Registering is answered at once, so it is the first measurement.
        self.asked_at = Some((0, self.now));
        let reply = reply.get(..len).unwrap_or_default();
        self.push(Action::Hello(Vec::from_slice(reply).unwrap_or_default()));
        self.push(Action::Read(HEADER));
    }

    fn reject_hello(&mut self, code: u8, why: Rejection) {
        self.push(Action::Hello(
            Vec::from_slice(&ServerHello::reject(code)).unwrap_or_default(),
        ));
        self.push(Action::Event(LinkEvent::Rejected(why)));
        self.state = State::Closing(Close::Fin);
    }

    /// A message from the peer, decrypted.
    fn told(&mut self, config: &ServerConfig, message: ToServer<'_>) {
        match (self.state, message) {
            (State::Registering, ToServer::Register(register)) => self.register(config, register),
            (State::Registered, ToServer::Ping(ping)) => {
                self.asked_at = Some((ping.number, self.now));
                self.push(Action::Send(Letter::Pong(ping.number)));
            }
            (State::Registered, ToServer::PongAck(ack)) => {
                if let Some((_, at)) = self.asked_at.take_if(|(number, _)| *number == ack.number) {
                    self.rtt.sample(at, self.now);
                }
            }
            (State::Registered, ToServer::Pong(pong)) => {
                self.push(Action::Send(Letter::PongAck(pong.number)))
            }
            (State::Registered, ToServer::Moved(moved)) => self.hosts = moved.hosts,
            (State::Registered, ToServer::Probe(probe)) => self.probe(probe.port),
            (State::Registered, ToServer::Request(request)) => self.requested(config, request),
            (State::Registered, ToServer::Ready(ready)) => {
                let session = ready.session;
                match self.introductions.introduce(self.now, session) {
                    Some((to, told)) => self.route_connect(to, session, told, ready.noise, false),
                    None => {
                        self.push(Action::Send(Letter::Refused {
                            session,
                            reason: FailReason::Gone,
                        }));
                    }
                }
            }
            (State::Registered, ToServer::Refuse(refused)) => {
                if let Some(known) = self.introductions.take_incoming(refused.session) {
                    let message = Small::Refused(refused.reason);
                    self.push(Action::Route {
                        to: known.from,
                        session: known.session,
                        message,
                    });
                }
            }
            (State::Registered, ToServer::Cancel(cancel)) => {
                if let Some(known) = self.introductions.take_outgoing(cancel.session) {
                    self.push(Action::Route {
                        to: known.to,
                        session: known.session,
                        message: Small::Cancel,
                    });
                }
            }
            (State::Registered, ToServer::Register(_)) | (_, _) => self.malformed(),
        }
    }

    fn register(&mut self, config: &ServerConfig, register: Register<'_>) {
        let wanted = config.token.as_ref();
        if wanted.is_some_and(|token| !bool::from(token.as_bytes().ct_eq(register.token))) {
            self.push(Action::Send(Letter::Rejected(Rejection::Token)));
            self.push(Action::Event(LinkEvent::Rejected(Rejection::Token)));
            self.state = State::Closing(Close::Fin);
            return;
        }
        if let Some((_, at)) = self.asked_at.take() {
            self.rtt.sample(at, self.now);
        }
        self.consent = register.consent;
        self.strategies = register.strategies;
        self.hosts = register.hosts;
        self.ports.set_main_port(register.port);
        self.state = State::Registered;
        self.push(Action::Register);
        self.push(Action::Send(Letter::Registered));
        if let Some(peer) = self.peer {
            self.push(Action::Event(LinkEvent::Registered { peer }));
        }
    }

    fn side(&self, candidates: crate::addr::Candidates, host_port: u16) -> SideInfo {
        SideInfo {
            side: Side {
                rtt_us: self.rtt.least_us(),
                jitter_us: self.rtt.jitter_us(),
                mapping: self.ports.mapping(),
                candidates,
            },
            mapped_ip: Some(self.ports.mapped_ip()),
            hosts: self.hosts.clone(),
            host_port,
        }
    }

    /// Our peer asks for another.
    fn requested(&mut self, config: &ServerConfig, request: Request<'_>) {
        let session = request.session;
        self.push(Action::Event(LinkEvent::Requested { session }));
        let candidates = self.ports.candidates(&request.ports);
        let refuse = if candidates.is_empty() {
            Some(FailReason::NoPort)
        } else if self.introductions.add_outgoing(
            self.now,
            session,
            request.to,
            config.consent_deadline,
        ) {
            None
        } else {
            Some(FailReason::Busy)
        };
        if let Some(reason) = refuse {
            return self.push(Action::Send(Letter::Refused { session, reason }));
        }
        let Some(from) = self.peer else { return };
        let side = self.side(candidates, request.ports.first().copied().unwrap_or(0));
        let message = RouteMessage::Request {
            side,
            strategies: request.strategies,
            noise: request.noise,
        };
        self.push_large(Large::Route(Routed {
            from,
            to: request.to,
            session,
            message,
        }));
    }

    /// Another link has something for our peer.
    fn routed(&mut self, config: &ServerConfig, routed: Routed) {
        if self.state != State::Registered {
            return self.return_to_sender(routed);
        }
        let Routed { from, session, .. } = routed;
        match routed.message {
            RouteMessage::Request {
                side,
                strategies,
                noise,
            } => {
                let in_advance = self.consent.anyone || self.consent.named.contains(&from);
                let own = self.side(self.ports.main_candidates(), self.ports.main_port());
                let (requester, responder) = sides(side, own, config.allow_loopback);
                let strategies = strategies.and(self.strategies);
                let told = Told {
                    requester,
                    responder,
                    strategies,
                };
                let kept = (!in_advance).then(|| told.clone());
                if !self.introductions.add_incoming(
                    self.now,
                    session,
                    from,
                    kept,
                    config.consent_deadline,
                ) {
                    let message = Small::Refused(FailReason::Busy);
                    return self.push(Action::Route {
                        to: from,
                        session,
                        message,
                    });
                }
                let (_, hold_us) = hold_backs(&told.requester, &told.responder, in_advance);
                self.push_large(Large::Notify(Notify {
                    session,
                    from,
                    in_advance,
                    hold_us,
                    strategies,
                    requester: told.requester.clone(),
                    responder: told.responder.clone(),
                    noise,
                    extensions: Extensions::NONE,
                }));
                if in_advance {
                    self.route_connect(from, session, told, Vec::new(), true);
                }
            }
            RouteMessage::Connect {
                requester,
                responder,
                strategies,
                hold_us,
                noise,
            } => {
                let known = self
                    .introductions
                    .outgoing(session)
                    .is_some_and(|known| known.to == from);
                if !known {
                    return self.push(Action::Route {
                        to: from,
                        session,
                        message: Small::Cancel,
                    });
                }
                self.introductions.outgoing_introduced(self.now, session);
                let extensions = Extensions::NONE;
                let connect = Connect {
                    session,
                    hold_us,
                    strategies,
                    requester,
                    responder,
                    noise,
                    extensions,
                };
                self.push_large(Large::Connect(connect));
            }
            RouteMessage::Refused(reason) => {
                if self
                    .introductions
                    .outgoing(session)
                    .is_some_and(|known| known.to == from)
                {
                    self.introductions.take_outgoing(session);
                    self.push(Action::Send(Letter::Refused { session, reason }));
                    self.push(Action::Event(LinkEvent::Refused { session, reason }));
                }
            }
            RouteMessage::Cancel => {
                if self
                    .introductions
                    .incoming(session)
                    .is_some_and(|known| known.from == from)
                {
                    self.introductions.take_incoming(session);
                    self.push(Action::Send(Letter::Cancelled { session }));
                }
            }
        }
    }

    fn route_connect(
        &mut self,
        to: PeerId,
        session: SessionId,
        told: Told,
        noise: crate::wire::NoiseMessage,
        in_advance: bool,
    ) {
        let Some(from) = self.peer else { return };
        let (hold_us, _) = hold_backs(&told.requester, &told.responder, in_advance);
        let Told {
            requester,
            responder,
            strategies,
        } = told;
        let message = RouteMessage::Connect {
            requester,
            responder,
            strategies,
            hold_us,
            noise,
        };
        self.push_large(Large::Route(Routed {
            from,
            to,
            session,
            message,
        }));
        self.push(Action::Event(LinkEvent::Introduced { session }));
    }

    /// Answers what came too late for us.
    fn return_to_sender(&mut self, routed: Routed) {
        if let RouteMessage::Request { .. } = routed.message {
            let message = Small::Refused(FailReason::PeerUnknown);
            self.push(Action::Route {
                to: routed.from,
                session: routed.session,
                message,
            });
        }
    }

    /// Nobody is registered under the id that we wanted.
    fn unroutable(&mut self, routed: Routed) {
        let session = routed.session;
        match routed.message {
            RouteMessage::Request { .. } => {
                if self.introductions.take_outgoing(session).is_some() {
                    let reason = FailReason::PeerUnknown;
                    self.push(Action::Send(Letter::Refused { session, reason }));
                    self.push(Action::Event(LinkEvent::Refused { session, reason }));
                }
            }
            RouteMessage::Connect { .. } => {
                if self.introductions.take_incoming(session).is_some() {
                    self.push(Action::Send(Letter::Cancelled { session }));
                }
            }
            RouteMessage::Refused(_) | RouteMessage::Cancel => {}
        }
    }

    /// Our peer asks to be dialled back: only where it was seen itself, and not
    /// often, so that it cannot use us against somebody else.
    fn probe(&mut self, port: u16) {
        let to = self
            .ports
            .seen_at(port)
            .filter(|_| self.now >= self.probe_at);
        self.probing = Some(port);
        for other_address in [false, true] {
            self.push(match to {
                Some(to) => Action::DialBack {
                    port,
                    other_address,
                    to,
                },
                None => Action::Send(Letter::Probed {
                    port,
                    other_address,
                    outcome: DialBackOutcome::NotTried,
                }),
            });
        }
        if to.is_some() {
            self.probe_at = self.now.after(PROBE_PAUSE);
        }
    }

    fn observed(&mut self, config: &ServerConfig, seen: &Observation) {
        let mac = assist_mac(&self.assist_secret, self.handle, seen.port, seen.sequence);
        let genuine = bool::from(mac.as_slice().ct_eq(&seen.mac));
        if self.state == State::Registered
            && genuine
            && self.ports.observe(seen, same_address(config, seen.assist))
        {
            let Observation {
                port,
                assist,
                mapped,
                ..
            } = *seen;
            self.push(Action::Send(Letter::Observed {
                port,
                assist,
                mapped,
            }));
        }
    }
}

/// Whether an assist endpoint is at the address of the first one, which is taken
/// for that of the main ports.
fn same_address(config: &ServerConfig, assist: u8) -> bool {
    let at = |index: usize| config.assists.get(index).map(|assist| assist.ip);
    at(usize::from(assist)) == at(0)
}

fn lease(config: &ServerConfig) -> Duration {
    config.keep_alive.saturating_mul(LEASE_INTERVALS)
}
