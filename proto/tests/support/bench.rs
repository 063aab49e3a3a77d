//! One peer machine on the bench: a runtime that keeps the contract and a
//! server that says anything at all.

use proptest::prelude::*;
use tcp_punch_proto::noise::{Handshake, Pattern, Psk, Role, SecretKey, Transport};
use tcp_punch_proto::rendezvous::Rejection;
use tcp_punch_proto::wire::{
    CLIENT_HELLO_PREFIX, Cancel, Clear, ClientHello, Connect, Empty, Extensions, Notify, Observed,
    Ping, Refused, Registered, Rejected, ServerHello, Side, StreamHello, ToPeer, client_prologue,
};
use tcp_punch_proto::{
    Access, Candidate, CandidateKind, Config, Endpoint, FailReason, Failure, Input, Instant,
    LinkHandle, ListenerId, Output, Peer, PeerId, SessionId, SessionOptions, SocketId, Strategies,
};

use super::Says;
use super::watch::{Phase, Watch};

const NONE: Extensions<'static> = Extensions::NONE;

/// Something that happens to the peer. Numbers choose among what there is.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Tick(u64),
    Jump(u64),
    Deadline,
    Start,
    Connect(u8, u32),
    Accept(u8),
    Refuse(u8),
    Cancel(u8),
    Hosts(u8),
    Connected(u8),
    DialFailed(u8, u8),
    Ended(u8),
    Bytes(u8, u16, Vec<u8>),
    Accepted(u8, u8),
    Greet(u8, u8, bool, Vec<u8>),
    Frame(u8, Vec<u8>),
    Plain(Vec<u8>),
    Notify(bool, u32, u8),
    Go(u8, u32, u8, bool),
    Over(u8, bool),
    Reject(u8),
    Replaced,
    Ping(u32),
    Observe(u8, u8),
    Late(u8),
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    use Op::*;
    let some = || any::<u8>();
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        3 => (0u64..3_000_000).prop_map(Tick),
        1 => (0u64..1 << 52).prop_map(Jump),
        6 => Just(Deadline),
        1 => Just(Start),
        4 => (some(), 0u32..60_000).prop_map(|(a, b)| Connect(a, b)),
        2 => some().prop_map(Accept),
        1 => some().prop_map(Refuse),
        1 => some().prop_map(Cancel),
        1 => some().prop_map(Hosts),
        8 => some().prop_map(Connected),
        3 => (some(), some()).prop_map(|(a, b)| DialFailed(a, b)),
        1 => some().prop_map(Ended),
        2 => (some(), any::<u16>(), bytes()).prop_map(|(a, b, c)| Bytes(a, b, c)),
        3 => (some(), some()).prop_map(|(a, b)| Accepted(a, b)),
        5 => (some(), some(), any::<bool>(), bytes()).prop_map(|(a, b, c, d)| Greet(a, b, c, d)),
        1 => (some(), bytes()).prop_map(|(a, b)| Frame(a, b)),
        1 => bytes().prop_map(Plain),
        5 => (any::<bool>(), 0u32..900_000, some()).prop_map(|(a, b, c)| Notify(a, b, c)),
        4 => (some(), 0u32..900_000, some(), any::<bool>()).prop_map(|(a, b, c, d)| Go(a, b, c, d)),
        1 => (some(), any::<bool>()).prop_map(|(a, b)| Over(a, b)),
        1 => some().prop_map(Reject),
        1 => Just(Replaced),
        1 => (0u32..6).prop_map(Ping),
        4 => (some(), some()).prop_map(|(a, b)| Observe(a, b)),
        1 => some().prop_map(Late),
    ]
}

/// How the bench answers what needs an answer.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) seed: u8,
    /// In the middle of the drain.
    pub(crate) at_once: bool,
    pub(crate) assists: u8,
    pub(crate) short_link: bool,
    /// Dials succeed before `connect` returns.
    pub(crate) near: bool,
    pub(crate) says: Says,
}

pub(crate) struct Bench<const S: usize, const P: usize> {
    pub(crate) peer: Peer<Says, S, P>,
    pub(crate) watch: Watch,
    pub(crate) now: Instant,
    manner: Manner,
    server: SecretKey,
    main: Option<(SocketId, Option<Transport>)>,
    /// What the server will send, frame by frame.
    to_main: Vec<u8>,
    listening: Vec<(ListenerId, u16)>,
    tokens: Vec<u16>,
    next_port: u16,
    next_session: u8,
    /// Where the server says that assist links go.
    pub(crate) assists: Vec<Endpoint>,
    pub(crate) dialled: Vec<Endpoint>,
    pub(crate) hellos: Vec<Vec<u8>>,
}

fn pick<T: Copy>(from: &[T], number: u8) -> Option<T> {
    from.get(usize::from(number).checked_rem(from.len())?)
        .copied()
}

pub(crate) fn secret(number: u8) -> SecretKey {
    SecretKey::from_bytes([number.wrapping_add(1); 32])
}

fn failure(number: u8) -> Failure {
    const ALL: [Failure; 8] = [
        Failure::Refused,
        Failure::Refused,
        Failure::Unreachable,
        Failure::TimedOut,
        Failure::AddressInUse,
        Failure::AddressNotAvailable,
        Failure::Exhausted,
        Failure::Other,
    ];
    ALL[usize::from(number) % ALL.len()]
}

fn side(number: u8) -> Side {
    let ips = [
        "198.51.100.7",
        "192.168.1.7",
        "127.0.0.1",
        "224.0.0.1",
        "2001:db8::7",
        "203.0.113.1",
        "10.0.0.9",
        "198.51.100.8",
    ];
    let list = ips.iter().zip(0u8..).filter_map(|(ip, bit)| {
        let wanted = number & (1 << bit) != 0 || bit == 0;
        let kind = match bit {
            1 | 6 => CandidateKind::Host,
            _ => CandidateKind::Mapped,
        };
        wanted.then(|| Candidate {
            kind,
            endpoint: Endpoint::new(ip.parse().unwrap(), 3478),
        })
    });
    Side {
        candidates: list.collect(),
        ..Side::default()
    }
}

impl<const S: usize, const P: usize> Bench<S, P> {
    pub(crate) fn new(manner: Manner) -> Self {
        let server = secret(200);
        let mut config = Config::builder().allow_loopback(manner.seed & 1 != 0);
        if manner.short_link {
            config = config.link_deadline(core::time::Duration::from_secs(1));
        }
        let config = config.build().unwrap();
        let seed = [manner.seed; 32];
        Self {
            peer: Peer::new(config, manner.says, secret(1), server.public(), seed),
            watch: Watch::default(),
            now: Instant::from_millis(1),
            manner,
            server,
            main: None,
            to_main: Vec::new(),
            listening: Vec::new(),
            tokens: Vec::new(),
            next_port: 40_000,
            next_session: 0,
            assists: (0..manner.assists % 4)
                .map(|number| Endpoint::new([203, 0, 113, 1].into(), 3_479 + u16::from(number)))
                .collect(),
            dialled: Vec::new(),
            hellos: Vec::new(),
        }
    }

    fn drain(&mut self) {
        let mut later: Vec<Chore> = Vec::new();
        loop {
            let Manner { at_once, near, .. } = self.manner;
            let Self {
                peer, watch, now, ..
            } = self;
            let now = *now;
            let mut sent = Vec::new();
            let mut port = self.next_port;
            let listening = &mut self.listening;
            let dialled = &mut self.dialled;
            watch.drain(peer, now, |watch, peer, output| {
                let chore = match output {
                    Output::Resolve { id } => Chore::Resolved(id),
                    Output::Listen { id, mut local } => {
                        if local.port == 0 {
                            port = port.wrapping_add(1).max(1_024);
                            local.port = port;
                        }
                        listening.push((id, local.port));
                        Chore::Listening(id, local)
                    }
                    Output::Unlisten { id } => {
                        listening.retain(|(known, _)| *known != id);
                        return;
                    }
                    Output::Dial { id, remote, .. } => {
                        if remote.port == 3478 && remote.ip.to_string() == "203.0.113.1" {
                            sent.push((id, None));
                        }
                        dialled.push(remote);
                        if near {
                            watch.sockets.insert(id, Phase::Up(None));
                            let local = Endpoint::new([192, 168, 1, 2].into(), 40_001);
                            peer.handle_input(now, Input::Connected { id, local });
                        }
                        return;
                    }
                    Output::Send { id, data } => {
                        sent.push((id, Some(data.to_vec())));
                        return;
                    }
                    Output::Watch { .. }
                    | Output::Inject(_)
                    | Output::Read { .. }
                    | Output::Close { .. }
                    | Output::HandOver(_)
                    | Output::Event(_)
                    | Output::Wait(_) => return,
                };
                if at_once {
                    chore.feed(peer, now);
                } else {
                    later.push(chore);
                }
            });
            self.next_port = port;
            for (id, data) in sent {
                match data {
                    // Whoever dials there next is the main link.
                    None => self.main = Some((id, None)),
                    Some(data) => self.heard(id, &data),
                }
            }
            if let Some(chore) = (!later.is_empty()).then(|| later.remove(0)) {
                chore.feed(&mut self.peer, self.now);
            } else if !self.server_speaks() {
                return;
            }
        }
    }

    /// The other end of a socket.
    fn heard(&mut self, id: SocketId, data: &[u8]) {
        let body = &data[2..];
        let Some((main, transport)) = &mut self.main else {
            return;
        };
        if *main != id {
            if let Ok(Some(Clear::AssistToken(token))) = Clear::decode(body) {
                self.tokens.push(token.port);
            } else if let Ok(Some(Clear::StreamHello(_))) = Clear::decode(body) {
                self.hellos.push(body.to_vec());
            }
            return;
        }
        if transport.is_none() {
            let Ok(hello) = ClientHello::decode(body) else {
                return;
            };
            assert_eq!(client_prologue(1, 1), body[..CLIENT_HELLO_PREFIX]);
            let mut noise = Handshake::responder(
                Pattern::Ik,
                &body[..CLIENT_HELLO_PREFIX],
                &self.server,
                &Psk::NONE,
                [9; 32],
            );
            noise.read_message(hello.noise, &mut [0; 64]).unwrap();
            let mut message = [0; 80];
            let len = noise.write_message(&[1], &mut message).unwrap();
            *transport = Some(Transport::new(&noise.finish().unwrap(), false));
            self.to_main.clear();
            self.to_main.extend(((len + 1) as u16).to_be_bytes());
            self.to_main.push(ServerHello::ACCEPT);
            self.to_main.extend(&message[..len]);
            let told = ToPeer::Registered(Registered {
                mapped: Endpoint::new("198.51.100.1".parse().unwrap(), 1_000),
                handle: LinkHandle(1),
                assist_secret: [1; 32],
                assists: self.assists.iter().copied().collect(),
                keep_alive_ms: 15_000,
                lease_ms: 45_000,
                epoch: 1,
                extensions: NONE,
            });
            self.say(&told);
        }
    }

    fn say(&mut self, message: &ToPeer<'_>) {
        let mut body = [0; 1_024];
        let len = message.encode(&mut body).unwrap();
        self.say_bytes(&body[..len]);
    }

    fn say_bytes(&mut self, plain: &[u8]) {
        if let Some((_, Some(transport))) = &mut self.main {
            let mut body = [0; 1_024];
            body[..plain.len()].copy_from_slice(plain);
            let len = transport.seal(&mut body, plain.len()).unwrap();
            self.to_main.extend((len as u16).to_be_bytes());
            self.to_main.extend(&body[..len]);
        }
    }

    /// Delivers what the main link reads.
    fn server_speaks(&mut self) -> bool {
        let Some((id, _)) = self.main else {
            return false;
        };
        match self.watch.sockets.get(&id) {
            Some(Phase::Up(Some(len))) if *len <= self.to_main.len() => {
                let mut data: Vec<u8> = self.to_main.drain(..*len).collect();
                self.read(id, &mut data);
                true
            }
            Some(Phase::Over) => {
                self.main = None;
                self.to_main.clear();
                false
            }
            Some(Phase::Up(_) | Phase::Dialling) | None => false,
        }
    }

    fn read(&mut self, id: SocketId, data: &mut [u8]) {
        self.watch.sockets.insert(id, Phase::Up(None));
        self.peer
            .handle_input(self.now, Input::Received { id, data });
    }

    /// Gives a socket these bytes if it reads that many, and the rest after.
    fn deliver(&mut self, id: SocketId, frame: &[u8]) {
        let mut rest = frame;
        while let Some(Phase::Up(Some(len))) = self.watch.sockets.get(&id).copied() {
            let Some((now, behind)) = rest.split_at_checked(len) else {
                return;
            };
            rest = behind;
            self.read(id, &mut now.to_vec());
            self.drain();
        }
    }

    pub(crate) fn reading(&self) -> Vec<SocketId> {
        self.watch
            .in_phase(|phase| matches!(phase, Phase::Up(Some(_))))
    }

    fn session(&self, number: u8) -> Option<SessionId> {
        let all: Vec<_> = self.watch.begun.iter().copied().collect();
        pick(&all, number)
    }

    pub(crate) fn run(&mut self, op: Op) {
        match op {
            Op::Tick(micros) | Op::Jump(micros) => {
                let at = self.now.as_micros().saturating_add(micros);
                self.now = Instant::from_micros(at.min(1 << 62));
                self.peer.handle_timeout(self.now);
            }
            Op::Deadline => {
                if let Some(next) = self.watch.next {
                    self.now = self.now.max(next);
                }
                self.peer.handle_timeout(self.now);
            }
            Op::Start => self.peer.start(self.now),
            Op::Connect(to, millis) => {
                let options = SessionOptions {
                    deadline: core::time::Duration::from_millis(millis.into()),
                    ..SessionOptions::default()
                };
                // With the first of them no handshake can be begun.
                let to = match to % 4 {
                    0 => PeerId::from_bytes([0; 32]),
                    number => secret(number).public().into(),
                };
                if let Ok(session) = self.peer.connect(self.now, to, &options) {
                    assert!(self.watch.begun.insert(session));
                }
            }
            Op::Accept(number) => {
                if let Some(session) = pick(&self.watch.asked, number) {
                    let _ = self.peer.accept(self.now, session);
                }
            }
            Op::Refuse(number) => {
                if let Some(session) = pick(&self.watch.asked, number) {
                    let _ = self.peer.refuse(self.now, session);
                }
            }
            Op::Cancel(number) => {
                if let Some(session) = self.session(number) {
                    let _ = self.peer.cancel(self.now, session);
                }
            }
            Op::Hosts(number) => {
                let all = [
                    "192.168.1.2",
                    "2001:db8::2",
                    "10.0.0.2",
                    "127.0.0.1",
                    "fe80::1",
                ];
                let list: Vec<_> = all
                    .iter()
                    .zip(0u8..)
                    .filter(|(_, bit)| number & (1 << bit) != 0)
                    .map(|(ip, _)| ip.parse().unwrap())
                    .collect();
                self.peer
                    .handle_input(self.now, Input::HostAddresses(&list));
            }
            Op::Connected(number) => {
                let dials = self.watch.in_phase(|phase| phase == Phase::Dialling);
                // The main link above all, so that there is something to see.
                let main = self.main.as_ref().map(|(id, _)| *id);
                let id = main
                    .filter(|id| dials.contains(id))
                    .or_else(|| pick(&dials, number));
                if let Some(id) = id {
                    self.watch.sockets.insert(id, Phase::Up(None));
                    let local = Endpoint::new("192.168.1.2".parse().unwrap(), 40_001);
                    self.peer
                        .handle_input(self.now, Input::Connected { id, local });
                }
            }
            Op::DialFailed(number, why) => {
                let dials = self.watch.in_phase(|phase| phase == Phase::Dialling);
                if let Some(id) = pick(&dials, number) {
                    self.watch.sockets.insert(id, Phase::Over);
                    let failure = failure(why);
                    self.peer
                        .handle_input(self.now, Input::DialFailed { id, failure });
                }
            }
            Op::Ended(number) => {
                let up = self.watch.in_phase(|phase| matches!(phase, Phase::Up(_)));
                if let Some(id) = pick(&up, number) {
                    self.watch.sockets.insert(id, Phase::Over);
                    let failure = (number & 1 != 0).then_some(Failure::Reset);
                    self.peer
                        .handle_input(self.now, Input::Ended { id, failure });
                }
            }
            Op::Bytes(number, head, bytes) => {
                if let Some(id) = pick(&self.reading(), number)
                    && let Some(Phase::Up(Some(len))) = self.watch.sockets.get(&id).copied()
                {
                    let mut data: Vec<u8> = bytes.iter().copied().cycle().take(len).collect();
                    data.resize(len, 7);
                    if len == 2 {
                        data = (head % 300).to_be_bytes().to_vec();
                    }
                    self.read(id, &mut data);
                }
            }
            Op::Accepted(number, ip) => {
                if let Some((listener, port)) = pick(&self.listening, number) {
                    let id = self.peer.new_socket_id();
                    self.watch.sockets.insert(id, Phase::Up(None));
                    self.peer.handle_input(
                        self.now,
                        Input::Accepted {
                            listener,
                            id,
                            local: Endpoint::new([192, 168, 1, 2].into(), port),
                            remote: Endpoint::new([198, 51, 100, ip % 8].into(), 5),
                        },
                    );
                }
            }
            Op::Greet(number, session, responder, bytes) => {
                if let (Some(id), Some(session)) =
                    (pick(&self.reading(), number), self.session(session))
                {
                    let (noise, mac) = bytes.split_at(bytes.len() / 2);
                    let hello = Clear::StreamHello(StreamHello {
                        session,
                        role: [Role::Requester, Role::Responder][usize::from(responder)],
                        version: 1,
                        nonce: [number; 16],
                        noise: if number & 2 == 0 { noise } else { &[] },
                        mac: if number & 4 == 0 { mac } else { &[] },
                        extensions: NONE,
                    });
                    let mut frame = [0; 512];
                    let len = hello.encode(&mut frame[2..]).unwrap();
                    frame[..2].copy_from_slice(&(len as u16).to_be_bytes());
                    self.deliver(id, &frame[..len + 2]);
                }
            }
            Op::Frame(number, bytes) => {
                if let Some(id) = pick(&self.reading(), number) {
                    let mut frame = (bytes.len() as u16).to_be_bytes().to_vec();
                    frame.extend(bytes);
                    self.deliver(id, &frame);
                }
            }
            Op::Plain(bytes) => self.say_bytes(&bytes),
            Op::Notify(in_advance, hold_us, candidates) => {
                self.next_session = self.next_session.wrapping_add(1);
                let message = ToPeer::Notify(Notify {
                    session: SessionId::from_bytes([self.next_session; 16]),
                    from: secret(2 + candidates % 3).public().into(),
                    in_advance,
                    hold_us,
                    strategies: Strategies::ANY,
                    requester: side(candidates),
                    responder: Side::default(),
                    noise: self.message_1(candidates),
                    extensions: NONE,
                });
                if self.next_session != 0 {
                    self.say(&message);
                } else {
                    self.next_session = u8::MAX;
                }
            }
            Op::Go(number, hold_us, candidates, in_advance) => {
                if let Some(session) = self.session(number) {
                    let noise: &[u8] = if in_advance { &[] } else { &[3; 57] };
                    self.say(&ToPeer::Connect(Connect {
                        session,
                        hold_us,
                        strategies: Strategies::ANY,
                        requester: Side::default(),
                        responder: side(candidates),
                        noise: noise.try_into().unwrap(),
                        extensions: NONE,
                    }));
                }
            }
            Op::Over(number, cancelled) => {
                if let Some(session) = self.session(number) {
                    let extensions = NONE;
                    self.say(&if cancelled {
                        ToPeer::Cancelled(Cancel {
                            session,
                            extensions,
                        })
                    } else {
                        ToPeer::Refused(Refused {
                            session,
                            reason: FailReason::Busy,
                            extensions,
                        })
                    });
                }
            }
            Op::Reject(number) => {
                let reason = if number & 7 == 0 {
                    Rejection::Token
                } else {
                    Rejection::Busy
                };
                self.say(&ToPeer::Rejected(Rejected {
                    reason,
                    extensions: NONE,
                }));
            }
            Op::Replaced => self.say(&ToPeer::Replaced(Empty { extensions: NONE })),
            Op::Ping(number) => {
                let ping = Ping {
                    number,
                    extensions: NONE,
                };
                self.say(&ToPeer::Ping(ping));
                self.say(&ToPeer::Pong(ping));
            }
            Op::Observe(number, assist) => {
                if let Some(port) = pick(&self.tokens, number) {
                    self.say(&ToPeer::Observed(Observed {
                        port,
                        assist: assist % 4,
                        mapped: Endpoint::new([198, 51, 100, 1].into(), port),
                        extensions: NONE,
                    }));
                }
            }
            Op::Late(number) => {
                let over = self.watch.in_phase(|phase| phase == Phase::Over);
                if let Some(id) = pick(&over, number) {
                    let local = Endpoint::new([192, 168, 1, 2].into(), 1);
                    let failure = Failure::Refused;
                    let data = &mut [0; 2];
                    self.peer.handle_input(
                        self.now,
                        match number % 4 {
                            0 => Input::Connected { id, local },
                            1 => Input::DialFailed { id, failure },
                            2 => Input::Ended { id, failure: None },
                            _ => Input::Received { id, data },
                        },
                    );
                }
            }
        }
        self.drain();
    }

    fn message_1(&self, number: u8) -> tcp_punch_proto::wire::NoiseMessage {
        let mut prologue = b"tcp-punch session".to_vec();
        prologue.extend([self.next_session; 16]);
        let mut message = [7; 160];
        let len = Handshake::initiator(
            Pattern::IkPsk2,
            &prologue,
            &secret(2 + number % 3),
            &secret(1).public(),
            &Psk::NONE,
            [number | 1; 32],
        )
        .write_message(&[0, 100, 0], &mut message)
        .unwrap();
        // Some are forged.
        if number.is_multiple_of(5) {
            message[40] ^= 1;
        }
        message[..len].try_into().unwrap()
    }

    pub(crate) fn shut_down(&mut self) {
        self.peer.shutdown(self.now);
        self.main = None;
        self.drain();
        self.watch.is_all_over();
        let again = Instant::from_micros(self.now.as_micros() + 1_000_000_000);
        self.peer.handle_timeout(again);
        self.drain();
        self.watch.is_all_over();
    }
}

enum Chore {
    Resolved(tcp_punch_proto::ResolveId),
    Listening(ListenerId, Endpoint),
}

impl Chore {
    fn feed<A: Access, const S: usize, const P: usize>(
        self,
        peer: &mut Peer<A, S, P>,
        now: Instant,
    ) {
        match self {
            Self::Resolved(id) => {
                let addresses = [Endpoint::new([203, 0, 113, 1].into(), 3_478)];
                let addresses = &addresses;
                peer.handle_input(now, Input::Resolved { id, addresses });
            }
            Self::Listening(id, local) => peer.handle_input(now, Input::Listening { id, local }),
        }
    }
}
