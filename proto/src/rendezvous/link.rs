//! The server's machine for one main link.

mod admit;
mod introduce;
mod observe;
mod rounds;

use core::time::Duration;

use heapless::{Deque, Vec};

use super::introductions::Introductions;
use super::ports::PeerPorts;
use super::{LinkEvent, LinkInput, LinkOutput, Rejection, RouteMessage, Routed, ServerConfig};
use crate::addr::Endpoint;
use crate::event::{FailReason, Strategies};
use crate::id::{LinkHandle, PeerId, SessionId};
use crate::io::{Close, Segment};
use crate::nat::NatReport;
use crate::noise::{Entropy, Transport};
use crate::plan::Abilities;
use crate::rtt::Rtt;
use crate::time::Instant;
use crate::wire::{
    Cancel, Connect, Consent, DialBackOutcome, Empty, Extensions, Frame, Go, HEADER, Hosts,
    MAX_FRAME, Notify, Observed, Ping, Probed, Refused, Registered, Rejected, ToPeer, ToServer,
    finish_frame, frame_body, frame_len,
};

/// Keep-alive intervals without a sign of life after which a registration
/// ends; peers give up after less.
const LEASE_INTERVALS: u32 = 3;

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
    Inject(Segment),
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
    Go(Go<'static>),
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
    report: NatReport,
    abilities: Abilities,
    /// The port that was dialled back last, and when another one may be.
    probing: Option<u16>,
    probe_at: Instant,
    /// When SYN-ACKs may be sent in the peers' names again.
    inject_at: Instant,
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
            report: NatReport::default(),
            abilities: Abilities::default(),
            probing: None,
            probe_at: now,
            inject_at: now,
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
                    Action::Inject(segment) => return LinkOutput::Inject(segment),
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
                        Some(Large::Go(go)) => self.seal(&ToPeer::Go(go), frame),
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
            (State::Registered, ToServer::Report(told)) => self.reported(config, &told),
            (State::Registered, ToServer::RoundReady(ready)) => self.round_ready(config, &ready),
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
}

fn lease(config: &ServerConfig) -> Duration {
    config.keep_alive.saturating_mul(LEASE_INTERVALS)
}
