//! What happens to the peer on the bench.

use proptest::prelude::*;
use tcp_punch_proto::noise::Role;
use tcp_punch_proto::rendezvous::Rejection;
use tcp_punch_proto::wire::{
    Cancel, Clear, DialBackOutcome, Empty, Ping, Probed, Refused, Rejected, StreamHello, ToPeer,
};
use tcp_punch_proto::{
    Endpoint, FailReason, Failure, Input, Instant, SessionId, SessionOptions, Strategies,
};

use super::super::watch::Phase;
use super::server::{Sketch, sketch};
use super::{Bench, NONE, pick};

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
    Notify(bool, u32, [Sketch; 2]),
    Introduce(u8, u32, [Sketch; 2], bool),
    /// On with a round: this one, or the one that the peer is ready for.
    Go(u8, Option<u8>, Option<u32>, u32, [Sketch; 2]),
    Expired(u8, u8),
    Sequence(u8, bool),
    ListensFail(u8),
    Probed(u8, bool, u8),
    /// The server's assist endpoints work for a while.
    Serve,
    /// They do all the time.
    Live(u64),
    Over(u8, u8),
    Reject(u8),
    Replaced,
    Ping(u32),
    Observe(u8, u8, u8),
    Late(u8),
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    use Op::*;
    let some = || any::<u8>();
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let sides = || (sketch(), sketch()).prop_map(|(a, b)| [a, b]);
    let round =
        prop_oneof![4 => Just(None), 1 => (0u8..6).prop_map(Some), 1 => some().prop_map(Some)];
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
        5 => (any::<bool>(), 0u32..900_000, sides()).prop_map(|(a, b, c)| Notify(a, b, c)),
        4 => (some(), 0u32..900_000, sides(), any::<bool>())
            .prop_map(|(a, b, c, d)| Introduce(a, b, c, d)),
        8 => (some(), round, prop::option::of(any::<u32>()), 0u32..900_000, sides())
            .prop_map(|(a, b, c, d, e)| Go(a, b, c, d, e)),
        2 => (some(), some()).prop_map(|(a, b)| Expired(a, b)),
        3 => (some(), any::<bool>()).prop_map(|(a, b)| Sequence(a, b)),
        1 => (0u8..12).prop_map(ListensFail),
        1 => (some(), any::<bool>(), some()).prop_map(|(a, b, c)| Probed(a, b, c)),
        6 => Just(Serve),
        4 => (0u64..4_500_000).prop_map(Live),
        1 => (some(), some()).prop_map(|(a, b)| Over(a, b)),
        1 => some().prop_map(Reject),
        1 => Just(Replaced),
        1 => (0u32..6).prop_map(Ping),
        4 => (some(), some(), some()).prop_map(|(a, b, c)| Observe(a, b, c)),
        1 => some().prop_map(Late),
    ]
}

fn failure(number: u8) -> Failure {
    const ALL: [Failure; 10] = [
        Failure::Refused,
        Failure::Refused,
        Failure::Unreachable,
        Failure::TimedOut,
        Failure::AddressInUse,
        Failure::AddressNotAvailable,
        Failure::Exhausted,
        Failure::Forbidden,
        Failure::Reset,
        Failure::Other,
    ];
    ALL[usize::from(number) % ALL.len()]
}

impl<const S: usize, const P: usize> Bench<S, P> {
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
                    strategies: if self.manner.birthday {
                        Strategies::ANY
                    } else {
                        Strategies::default()
                    },
                    ..SessionOptions::default()
                };
                let to = Self::somebody(to);
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
                    self.connected(id);
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
            Op::Notify(in_advance, hold_us, sides) => self.notify(in_advance, hold_us, sides),
            Op::Introduce(number, hold_us, sides, in_advance) => {
                if let Some(session) = self.session(number) {
                    self.introduce(session, in_advance, hold_us, sides);
                }
            }
            Op::Go(number, round, sequence, hold_us, sides) => {
                let ready: Vec<SessionId> = self.readies.keys().copied().collect();
                let session = match round {
                    None => pick(&ready, number),
                    Some(_) => self.session(number),
                };
                if let Some(session) = session {
                    self.go(session, round, sequence, hold_us, sides);
                }
            }
            Op::Expired(number, hop) => {
                let dials = self.watch.in_phase(|phase| phase == Phase::Dialling);
                let traces = &self.watch.dials.traces;
                let id = dials.iter().find(|id| traces.contains(id)).copied();
                // Now and then of a dial that does not count hops.
                let id = id.filter(|_| number < 240).or_else(|| pick(&dials, number));
                if let Some(id) = id {
                    self.watch.sockets.insert(id, Phase::Over);
                    let hop = [10, 192, 100, 198, 8][usize::from(hop) % 5];
                    let hop = std::net::IpAddr::from([hop, 168, 64, 1]);
                    self.peer.handle_input(self.now, Input::Expired { id, hop });
                }
            }
            Op::Sequence(number, watched) => {
                let id = if watched {
                    self.watch.dials.to_tell.pop()
                } else {
                    let all: Vec<_> = self.watch.sockets.keys().copied().collect();
                    pick(&all, number)
                };
                if let Some(id) = id {
                    // Different ones, also at the end of what there is.
                    self.next_number = self.next_number.wrapping_sub(1);
                    let number = self.next_number;
                    self.peer
                        .handle_input(self.now, Input::Sequence { id, number });
                }
            }
            Op::ListensFail(times) => self.listens_fail = usize::from(times),
            Op::Probed(number, other_address, outcome) => {
                let outcome = [
                    DialBackOutcome::NotTried,
                    DialBackOutcome::Connected,
                    DialBackOutcome::Refused,
                    DialBackOutcome::Unreachable,
                    DialBackOutcome::Silence,
                ][usize::from(outcome) % 5];
                let port = match number {
                    0 => Some(7),
                    number => pick(&self.listening, number).map(|(_, port)| port),
                };
                if let Some(port) = port {
                    self.say(&ToPeer::Probed(Probed {
                        port,
                        other_address,
                        outcome,
                        extensions: NONE,
                    }));
                }
            }
            Op::Serve => self.serve_assists(),
            Op::Live(micros) => self.live(micros),
            Op::Over(number, why) => {
                if let Some(session) = self.session(number) {
                    let extensions = NONE;
                    self.say(&if why < 64 {
                        ToPeer::Cancelled(Cancel {
                            session,
                            extensions,
                        })
                    } else {
                        ToPeer::Refused(Refused {
                            session,
                            reason: [FailReason::Gone, FailReason::Busy][usize::from(why & 1)],
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
            Op::Observe(number, assist, odd) => {
                if let Some(port) = pick(&self.tokens, number) {
                    self.observe(port, assist % 4, odd);
                }
            }
            Op::Late(number) => {
                let late: Vec<_> = self.watch.closed.clone().into_iter().collect();
                // A dial has one outcome.
                if let Some((id, dialling)) = pick(&late, number) {
                    let local = Endpoint::new([192, 168, 1, 2].into(), 1);
                    let failure = Failure::Refused;
                    let data = &mut [0; 2];
                    self.peer.handle_input(
                        self.now,
                        match (dialling, number % 2) {
                            (true, 0) => Input::Connected { id, local },
                            (true, _) => Input::DialFailed { id, failure },
                            (false, 0) => Input::Ended { id, failure: None },
                            (false, _) => Input::Received { id, data },
                        },
                    );
                }
            }
        }
        self.drain();
    }
}
