//! One peer machine on the bench: a runtime that keeps the contract and a
//! server that says anything at all.

pub(crate) mod ops;
pub(crate) mod server;

use std::collections::BTreeMap;

use tcp_punch_proto::noise::{Handshake, Pattern, Psk, SecretKey, Transport};
use tcp_punch_proto::wire::{
    CLIENT_HELLO_PREFIX, Clear, ClientHello, Extensions, Ping, Registered, ServerHello, ToPeer,
    ToServer, client_prologue,
};
use tcp_punch_proto::{
    Access, Config, Decision, Endpoint, Failure, Input, Instant, LinkHandle, ListenerId, Output,
    Peer, Runtime, SessionId, SocketId, Strategies,
};

pub(crate) use ops::Op;
pub(crate) use server::Sketch;

use super::Says;
use super::watch::{Phase, Watch};

const NONE: Extensions<'static> = Extensions::NONE;

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
    /// The server answers pings, so the link lives.
    pub(crate) lively: bool,
    pub(crate) birthday: bool,
    pub(crate) runtime: Runtime,
    pub(crate) says: Says,
}

/// The server can be relied on, and everybody is let in.
pub(crate) const QUIET: Manner = Manner {
    seed: 2,
    at_once: true,
    assists: 2,
    short_link: false,
    near: false,
    lively: true,
    birthday: false,
    runtime: Runtime {
        low_ttl: false,
        trace: false,
        raw: false,
        dials: 64,
    },
    says: Says {
        decision: Decision::Allow,
        in_advance: true,
    },
};

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
    next_number: u32,
    /// So many listens to come fail.
    pub(crate) listens_fail: usize,
    /// [`live`](Self::live) lets assist links work.
    pub(crate) serves: bool,
    /// All that were asked for.
    pub(crate) listens: usize,
    /// For which round each session is ready, and with which sequence number.
    pub(crate) readies: BTreeMap<SessionId, (u8, Option<u32>)>,
    /// Where the server says that assist links go.
    pub(crate) assists: Vec<Endpoint>,
    pub(crate) dialled: Vec<(SocketId, Endpoint)>,
    pub(crate) hellos: Vec<Vec<u8>>,
}

fn pick<T: Copy>(from: &[T], number: u8) -> Option<T> {
    from.get(usize::from(number).checked_rem(from.len())?)
        .copied()
}

pub(crate) fn secret(number: u8) -> SecretKey {
    SecretKey::from_bytes([number.wrapping_add(1); 32])
}

impl<const S: usize, const P: usize> Bench<S, P> {
    pub(crate) fn new(manner: Manner) -> Self {
        let server = secret(200);
        let mut config = Config::builder()
            .allow_loopback(manner.seed & 1 != 0)
            .runtime(manner.runtime);
        if manner.birthday {
            config = config.strategies(Strategies::ANY);
        }
        if manner.short_link {
            config = config.link_deadline(core::time::Duration::from_secs(1));
        }
        let config = config.build().unwrap();
        let seed = [manner.seed; 32];
        let mut watch = Watch::default();
        watch.dials.runtime = manner.runtime;
        // Those of the server and of the peer's own NAT, for the hairpin.
        let others = ["203.0.113.1", "198.51.100.1", "2001:db8::1"];
        watch.dials.others = others.iter().map(|ip| ip.parse().unwrap()).collect();
        Self {
            peer: Peer::new(config, manner.says, secret(1), server.public(), seed),
            watch,
            now: Instant::from_millis(1),
            manner,
            server,
            main: None,
            to_main: Vec::new(),
            listening: Vec::new(),
            tokens: Vec::new(),
            next_port: 40_000,
            next_session: 0,
            next_number: 2,
            listens_fail: 0,
            serves: true,
            listens: 0,
            readies: BTreeMap::new(),
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
            let (listens, listens_fail) = (&mut self.listens, &mut self.listens_fail);
            watch.drain(peer, now, |watch, peer, output| {
                let chore = match output {
                    Output::Resolve { id } => Chore::Resolved(id),
                    Output::Listen { id, .. } if *listens_fail > 0 => {
                        *listens += 1;
                        *listens_fail -= 1;
                        Chore::ListenFailed(id)
                    }
                    Output::Listen { id, mut local } => {
                        *listens += 1;
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
                        dialled.push((id, remote));
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
                    chore.feed(peer, watch, now);
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
                chore.feed(&mut self.peer, &mut self.watch, self.now);
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
        if let Some(transport) = transport {
            let mut plain = body.to_vec();
            let len = transport.open(&mut plain).unwrap();
            return self.told(&plain[..len]);
        }
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

    /// What the peer tells the server.
    fn told(&mut self, plain: &[u8]) {
        match ToServer::decode(plain).unwrap() {
            Some(ToServer::Ping(ping)) if self.manner.lively => {
                let number = ping.number;
                self.say(&ToPeer::Pong(Ping {
                    number,
                    extensions: NONE,
                }));
            }
            Some(ToServer::RoundReady(ready)) => {
                let told = (ready.round, ready.sequence);
                self.readies.insert(ready.session, told);
            }
            _ => {}
        }
    }

    fn connected(&mut self, id: SocketId) {
        self.watch.sockets.insert(id, Phase::Up(None));
        let local = Endpoint::new([192, 168, 1, 2].into(), 40_001);
        self.peer
            .handle_input(self.now, Input::Connected { id, local });
    }

    pub(crate) fn connect(&mut self, id: SocketId) {
        self.connected(id);
        self.drain();
    }

    pub(crate) fn say(&mut self, message: &ToPeer<'_>) {
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

    /// How many local ports are open.
    pub(crate) fn ports(&self) -> usize {
        let mut ports: Vec<_> = self.listening.iter().map(|(_, port)| *port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports.len()
    }

    /// Without sessions there is no more than the main port, the spare ones and
    /// one that is dialled back.
    pub(crate) fn end_sessions(&mut self) {
        let open: Vec<_> = self
            .watch
            .begun
            .difference(&self.watch.ended)
            .copied()
            .collect();
        for session in open {
            self.peer.cancel(self.now, session).unwrap();
        }
        self.drain();
        // What is on its way is given up after 5 s.
        for _ in 0..3 {
            self.run(Op::Tick(3_000_000));
        }
        assert!(self.ports() <= 4, "{:?}", self.listening);
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
    ListenFailed(ListenerId),
}

impl Chore {
    fn feed<A: Access, const S: usize, const P: usize>(
        self,
        peer: &mut Peer<A, S, P>,
        watch: &mut Watch,
        now: Instant,
    ) {
        match self {
            Self::Resolved(id) => {
                let addresses = [Endpoint::new([203, 0, 113, 1].into(), 3_478)];
                let addresses = &addresses;
                peer.handle_input(now, Input::Resolved { id, addresses });
            }
            // Closed again before it was there.
            Self::Listening(id, local) => peer.handle_input(now, Input::Listening { id, local }),
            Self::ListenFailed(id) => {
                watch.listeners.insert(id, false);
                let failure = Failure::Exhausted;
                peer.handle_input(now, Input::ListenFailed { id, failure });
            }
        }
    }
}
