//! A client that is nobody's peer machine, at one of the server's links.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash};
use std::time::Duration;

use tcp_punch_proto::noise::{Handshake, Pattern, Psk, Transport};
use tcp_punch_proto::rendezvous::{
    Foretold, Link, LinkInput, LinkOutput, Observation, RoundHalf, RouteMessage, Routed,
    ServerConfig, SideInfo,
};
use tcp_punch_proto::wire::{
    Cancel, Consent, Extensions, Frame, MAX_FRAME, Moved, Ping, Ready, Refused, Register, Report,
    Request, RoundReady, ServerHello, Side, ToPeer, ToServer, assist_mac, client_prologue,
};
use tcp_punch_proto::{Endpoint, FailReason, Instant, LinkHandle, PeerId, SessionId, Strategies};

use super::bench::{Sketch, secret};

const NONE: Extensions<'static> = Extensions::NONE;

/// What happens to the link. Numbers choose.
#[derive(Clone, Debug)]
pub(crate) enum Happens {
    Bytes(u16, Vec<u8>),
    Plain(Vec<u8>),
    Say(u8, u8, bool),
    Routed(u8, u8, u8, bool),
    Observed(bool, u16, u32),
    /// Our peer is ready for a round.
    Ready(u8, u8, u16, Option<u32>, bool),
    /// The other side is, or its link says go.
    Half(u8, u8, u8, Option<u32>, bool, bool),
    Report(Sketch),
    Tick(u32),
    Replaced,
    Drain,
    Ended,
}

pub(crate) struct Client {
    config: ServerConfig,
    spoof: bool,
    link: Link,
    now: Instant,
    transport: Option<Transport>,
    reads: Option<usize>,
    heard: Vec<u8>,
    assist_secret: [u8; 32],
    pub(crate) closed: bool,
    pub(crate) trace: DefaultHasher,
    routed: Vec<Routed>,
    /// Who asked for what, as far as it was passed on to this link.
    asked: BTreeMap<SessionId, BTreeSet<PeerId>>,
    wanted: BTreeSet<SessionId>,
    /// Where a server saw somebody.
    mapped: BTreeSet<Endpoint>,
    pub(crate) injected: usize,
    pub(crate) went: usize,
    frame: Frame,
}

impl Client {
    pub(crate) fn new(spoof: bool) -> Self {
        let config = ServerConfig::new(secret(0)).spoof(spoof);
        let remote = Endpoint::new([192, 0, 2, 1].into(), 1);
        let link = Link::new(Instant::ZERO, &config, remote, 1, LinkHandle(1), [1; 32]);
        let mut client = Self {
            config,
            spoof,
            link,
            now: Instant::ZERO,
            transport: None,
            reads: None,
            heard: Vec::new(),
            assist_secret: [0; 32],
            closed: false,
            trace: DefaultHasher::default(),
            routed: Vec::new(),
            asked: BTreeMap::new(),
            wanted: BTreeSet::new(),
            mapped: BTreeSet::from([remote]),
            injected: 0,
            went: 0,
            frame: [0; MAX_FRAME + 2],
        };
        client.drain();
        client
    }

    pub(crate) fn register(&mut self, consents: bool) {
        let prologue = client_prologue(1, 1);
        let mut noise = Handshake::initiator(
            Pattern::Ik,
            &prologue,
            &secret(1),
            &secret(0).public(),
            &Psk::NONE,
            [5; 32],
        );
        let mut hello = prologue.to_vec();
        hello.resize(300, 0);
        let len = noise.write_message(&[], &mut hello[7..]).unwrap();
        hello.truncate(7 + len);
        self.frame(&hello);
        let [_, _, ServerHello::ACCEPT, message @ ..] = &self.heard[..] else {
            panic!("{:?}", self.heard)
        };
        noise.read_message(message, &mut [0; 64]).unwrap();
        self.transport = Some(Transport::new(&noise.finish().unwrap(), true));
        self.heard.clear();
        let consent = Consent {
            anyone: consents,
            ..Consent::default()
        };
        self.say(&ToServer::Register(Register {
            token: &[],
            consent,
            strategies: Strategies::ANY,
            port: 1,
            hosts: ["192.168.1.1".parse().unwrap()].into_iter().collect(),
            extensions: NONE,
        }));
    }

    fn say(&mut self, message: &ToServer<'_>) {
        let mut body = [0; MAX_FRAME];
        let len = message.encode(&mut body).unwrap();
        self.plain(&body[..len]);
    }

    fn plain(&mut self, plain: &[u8]) {
        let mut body = plain.to_vec();
        body.resize(plain.len() + 16, 0);
        if let Some(transport) = &mut self.transport {
            transport.seal(&mut body, plain.len()).unwrap();
        }
        self.frame(&body);
    }

    fn frame(&mut self, body: &[u8]) {
        if self.reads == Some(2) {
            self.received(&mut (body.len() as u16).to_be_bytes());
            if self.reads == Some(body.len()) {
                self.received(&mut body.to_vec());
            }
        }
    }

    fn received(&mut self, data: &mut [u8]) {
        self.reads = None;
        self.input(LinkInput::Received(data));
    }

    fn input(&mut self, input: LinkInput<'_>) {
        self.link.handle_input(self.now, &self.config, input);
        self.drain();
    }

    fn drain(&mut self) {
        for _ in 0..100 {
            let output = self.link.poll_output(&self.config, &mut self.frame);
            let what = format!("{output:?}");
            what.hash(&mut self.trace);
            let last = matches!(output, LinkOutput::Wait(None));
            assert!(!self.closed || last, "after the close: {what}");
            match output {
                LinkOutput::Read { exactly } => {
                    assert!((1..=MAX_FRAME).contains(&exactly), "{what}");
                    assert_eq!(self.reads.replace(exactly), None, "{what}");
                }
                LinkOutput::Send { data } => {
                    assert!(!data.is_empty(), "{what}");
                    if let Some(transport) = &mut self.transport {
                        let mut body = data[2..].to_vec();
                        let len = transport.open(&mut body).unwrap();
                        let message = ToPeer::decode(&body[..len]).unwrap().unwrap();
                        if let ToPeer::Registered(told) = message {
                            self.assist_secret = told.assist_secret;
                        } else if let ToPeer::Go(go) = message {
                            let known = self.wanted.contains(&go.session)
                                || self.asked.contains_key(&go.session);
                            assert!(known, "go, but of a session of others");
                            self.went += 1;
                        }
                    } else {
                        self.heard = data.to_vec();
                    }
                }
                LinkOutput::Route(routed) => {
                    assert_eq!(routed.from, PeerId::from(secret(1).public()), "{what}");
                    if matches!(routed.message, RouteMessage::Go { .. }) {
                        let asked = self.asked.get(&routed.session);
                        assert!(asked.is_some_and(|by| by.contains(&routed.to)), "{what}");
                    }
                    self.routed.push(routed);
                }
                LinkOutput::Inject(segment) => {
                    assert!(self.spoof, "{what}");
                    for at in [segment.local, segment.remote] {
                        assert!(self.mapped.contains(&at), "{what}: never seen there");
                    }
                    self.injected += 1;
                }
                LinkOutput::DialBack { to, .. } => {
                    assert!(self.mapped.contains(&to), "{what}: never seen there");
                }
                LinkOutput::Register { .. } | LinkOutput::Event(_) => {}
                LinkOutput::Close(_) => self.closed = true,
                LinkOutput::Wait(next) => {
                    assert!(
                        self.closed || next.is_some_and(|at| at >= self.now),
                        "{what}"
                    );
                    return;
                }
            }
        }
        panic!("a drain without end");
    }

    pub(crate) fn happens(&mut self, event: Happens) {
        // Who has closed is forgotten.
        if self.closed {
            return;
        }
        let session = |number: u8| SessionId::from_bytes([number % 40; 16]);
        match event {
            Happens::Bytes(head, bytes) => {
                if let Some(len) = self.reads {
                    let mut data: Vec<u8> = bytes.iter().copied().cycle().take(len).collect();
                    data.resize(len, 1);
                    if len == 2 {
                        data = head.to_be_bytes().to_vec();
                    }
                    self.received(&mut data);
                }
            }
            Happens::Plain(bytes) => self.plain(&bytes),
            Happens::Say(what, number, flag) => {
                let (session, extensions) = (session(number), NONE);
                let ping = Ping {
                    number: u32::from(number % 4),
                    extensions,
                };
                let noise = if flag { &[1; 160][..] } else { &[] };
                let noise = noise.try_into().unwrap();
                self.wanted.insert(session);
                self.say(&match what % 12 {
                    0 => ToServer::Ping(ping),
                    1 => ToServer::Pong(ping),
                    2 => ToServer::PongAck(ping),
                    3..=5 => ToServer::Request(Request {
                        session,
                        to: secret(number % 5).public().into(),
                        strategies: Strategies::ANY,
                        ports: [u16::from(what % 6), 2].into_iter().collect(),
                        noise,
                        extensions,
                    }),
                    6 | 7 => ToServer::Ready(Ready {
                        session,
                        noise,
                        extensions,
                    }),
                    8 => ToServer::Refuse(Refused {
                        session,
                        reason: FailReason::Busy,
                        extensions,
                    }),
                    9 | 10 => ToServer::Cancel(Cancel {
                        session,
                        extensions,
                    }),
                    _ => ToServer::Moved(Moved {
                        hosts: ["10.0.0.1".parse().unwrap()].into_iter().collect(),
                        extensions,
                    }),
                });
            }
            Happens::Routed(what, number, from, back) => {
                let reason = FailReason::Busy;
                let noise = [2; 112][..].try_into().unwrap();
                let message = match what % 6 {
                    0..=2 => RouteMessage::Request {
                        side: SideInfo::default(),
                        strategies: Strategies::ANY,
                        noise,
                    },
                    3 => RouteMessage::Connect {
                        requester: Sketch::cone(number).side([198, 51, 100, 7].into()),
                        responder: Sketch::cone(from).side([198, 51, 100, 8].into()),
                        strategies: Strategies::ANY,
                        hold_us: 1,
                        noise,
                    },
                    4 => RouteMessage::Refused(reason),
                    _ => RouteMessage::Cancel,
                };
                let routed = Routed {
                    from: secret(from % 5).public().into(),
                    to: secret(1).public().into(),
                    session: session(number),
                    message,
                };
                self.asked
                    .entry(routed.session)
                    .or_default()
                    .insert(routed.from);
                if back && let Some(own) = self.routed.pop() {
                    self.input(LinkInput::Unroutable(own));
                } else {
                    self.input(LinkInput::Routed(routed));
                }
            }
            Happens::Observed(genuine, port, sequence) => {
                let mapped = Endpoint::new([192, 0, 2, 1].into(), port + 1);
                if genuine {
                    self.mapped.insert(mapped);
                }
                let mac = assist_mac(&self.assist_secret, LinkHandle(1), port, sequence);
                self.input(LinkInput::Observed(Observation {
                    handle: LinkHandle(1),
                    port,
                    sequence,
                    mac: if genuine { mac } else { [0; 16] },
                    assist: 0,
                    mapped,
                }));
            }
            Happens::Ready(number, round, ports, sequence, spoof) => {
                let ports = [ports % 8, ports / 8 % 8];
                self.say(&ToServer::RoundReady(RoundReady {
                    session: session(number),
                    round,
                    ports: ports.into_iter().take(usize::from(round % 3)).collect(),
                    sequence,
                    spoof,
                    extensions: NONE,
                }));
            }
            Happens::Half(number, from, round, sequence, spoof, go) => {
                let at = Endpoint::new([198, 51, 100, number].into(), 3_478);
                let half = RoundHalf {
                    round,
                    sequence,
                    spoof,
                    side: SideInfo {
                        side: if from < 128 {
                            Sketch::cone(0).side(at.ip)
                        } else {
                            Side::default()
                        },
                        // Behind the same NAT, with services of its network.
                        mapped_ip: (round & 1 == 0).then_some([192, 0, 2, 1].into()),
                        hosts: [[10, 0, 0, number].into()].into_iter().collect(),
                        host_port: 22,
                        foretold: (number & 1 == 0).then_some(Foretold {
                            seen: tcp_punch_proto::nat::TwoContacts {
                                step: i16::from(from).wrapping_sub(2),
                                first: u16::from(number),
                                second: u16::from(from),
                                between: Duration::ZERO,
                            },
                            ahead: Duration::MAX,
                        }),
                    },
                };
                self.mapped.insert(at);
                let message = if go {
                    RouteMessage::Go {
                        round,
                        hold_us: u32::from(number),
                        requester: half.side.side.clone(),
                        responder: half.side.side,
                        sequence,
                    }
                } else {
                    RouteMessage::RoundReady(half)
                };
                self.input(LinkInput::Routed(Routed {
                    from: secret(from % 5).public().into(),
                    to: secret(1).public().into(),
                    session: session(number),
                    message,
                }));
            }
            Happens::Report(sketch) => {
                let side = sketch.side([192, 0, 2, 1].into());
                self.say(&ToServer::Report(Report {
                    report: side.report,
                    abilities: side.abilities,
                    extensions: NONE,
                }));
            }
            Happens::Tick(micros) => {
                self.now = self.now.after(Duration::from_micros(micros.into()));
                self.link.handle_timeout(self.now, &self.config);
                self.drain();
            }
            Happens::Replaced => self.input(LinkInput::Replaced),
            Happens::Drain => self.input(LinkInput::Drain),
            Happens::Ended => self.input(LinkInput::Ended),
        }
    }
}
