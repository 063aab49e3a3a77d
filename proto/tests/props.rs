//! Properties that hold whatever happens: no panic, the contract of the crate
//! page, no stream to anybody else.

mod support;

use proptest::prelude::*;
use std::hash::Hasher;
use std::time::Duration;

use tcp_punch_proto::rendezvous::{Assist, AssistInput, AssistOutput, ServerConfig};
use tcp_punch_proto::wire::{
    AssistToken, Clear, ClientHello, Empty, Extensions, Frame, MAX_FRAME, ServerHello,
    SessionPayload, ToPeer, ToServer, frame_len,
};
use tcp_punch_proto::{Decision, Endpoint, Instant, LinkHandle, Runtime};

use support::Says;
use support::bench::ops::op;
use support::bench::server::sketch;
use support::bench::{Bench, Manner, Op, Sketch, secret};
use support::client::{Client, Happens};
use support::pipes::{Habits, How, Pipes, Tampering};

/// For a longer search than every run can afford.
fn scale() -> u32 {
    let scale = std::env::var("TCP_PUNCH_CASES").ok();
    scale.and_then(|scale| scale.parse().ok()).unwrap_or(1)
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases: cases * scale(),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    }
}

fn says() -> impl Strategy<Value = Says> {
    (0u8..5, any::<bool>()).prop_map(|(which, in_advance)| Says {
        decision: match which {
            0 => Decision::Refuse,
            1 | 2 => Decision::Ask,
            _ => Decision::Allow,
        },
        in_advance,
    })
}

fn runtime() -> impl Strategy<Value = Runtime> {
    let dials = prop_oneof![Just(0), Just(8), 0u16..300, Just(1_280)];
    (any::<(bool, bool, bool)>(), dials).prop_map(|((low_ttl, trace, raw), dials)| Runtime {
        low_ttl,
        trace,
        raw,
        dials,
    })
}

fn manner() -> impl Strategy<Value = Manner> {
    let rarely = prop::bool::weighted(0.2);
    (
        any::<(u8, bool, bool, bool)>(),
        0u8..4,
        rarely,
        prop::bool::weighted(0.8),
        runtime(),
        says(),
    )
        .prop_map(|(any, assists, near, lively, runtime, says)| {
            let (seed, at_once, short_link, birthday) = any;
            Manner {
                seed,
                at_once,
                assists,
                short_link,
                near,
                lively,
                birthday,
                runtime,
                says,
            }
        })
}

fn deep() -> impl Strategy<Value = Option<[Sketch; 2]>> {
    // Hop limits and segments by hand on both sides.
    let able = 1 << 16 | 1 << 18;
    let nats = prop_oneof![
        2 => Just(Some((0, 4, 0))),
        1 => Just(Some((4, 0, 0))),
        2 => Just(Some((0, 5, 0))),
        1 => Just(Some((5, 0, 0))),
        2 => Just(Some((0, 0, able))),
        2 => Just(None),
    ];
    let sides = (nats, sketch(), sketch()).prop_map(|(nats, own, other)| match nats {
        Some((a, b, wild)) => [
            Sketch {
                nat: a,
                wild,
                ..own
            },
            Sketch {
                nat: b,
                wild,
                ..other
            },
        ],
        None => [own, other],
    });
    prop::option::of(sides)
}

/// `deep`: the run begins with a session in a round.
fn on_the_bench<const S: usize, const P: usize>(
    mut manner: Manner,
    deep: Option<[Sketch; 2]>,
    ops: Vec<Op>,
) -> u64 {
    if deep.is_some() {
        manner.says.decision = Decision::Allow;
        manner.lively = true;
        manner.assists |= 1;
    }
    let mut bench = Bench::<S, P>::new(manner);
    // Most runs begin with a link that is up.
    let begin = [Op::Start, Op::Connected(0)];
    let deep = deep.map(|sides| {
        // With these candidates the request is genuine.
        let sides = sides.map(|side| Sketch {
            candidates: 1,
            ..side
        });
        [
            Op::Live(4_500_000),
            Op::Notify(true, 0, sides),
            Op::Live(900_000),
            Op::Sequence(0, true),
            Op::Sequence(0, true),
            Op::Go(0, None, Some(9), 0, sides),
            Op::Live(300_000),
        ]
    });
    for op in begin
        .into_iter()
        .chain(deep.into_iter().flatten())
        .chain(ops)
    {
        bench.run(op);
    }
    if bench.watch.next.is_some() {
        bench.end_sessions();
    }
    bench.shut_down();
    bench.watch.trace()
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn bytes_that_come_from_anywhere_are_read_or_refused(
        code in 0x0Fu8..0x42,
        mut bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let _ = SessionPayload::decode(&bytes);
        bytes.insert(0, code);
        let mut out = [0; 2_048];
        if let Ok(Some(message)) = ToServer::decode(&bytes) {
            let len = message.encode(&mut out).unwrap();
            prop_assert_eq!(ToServer::decode(&out[..len]), Ok(Some(message)));
        }
        if let Ok(Some(message)) = ToPeer::decode(&bytes) {
            let len = message.encode(&mut out).unwrap();
            prop_assert_eq!(ToPeer::decode(&out[..len]), Ok(Some(message)));
        }
        if let Ok(Some(message)) = Clear::decode(&bytes) {
            let len = message.encode(&mut out).unwrap();
            prop_assert_eq!(Clear::decode(&out[..len]), Ok(Some(message)));
        }
        bytes[0] = code % 4;
        let _ = ClientHello::decode(&bytes).map(|hello| hello.common_version());
        let _ = ServerHello::decode(&bytes);
        if let [a, b, ..] = bytes[..] {
            let _ = frame_len([a, b], usize::from(code));
        }
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn a_small_peer_keeps_the_contract_whatever_happens(
        manner in manner(),
        deep in deep(),
        ops in prop::collection::vec(op(), 0..120),
    ) {
        on_the_bench::<1, 3>(manner, deep, ops);
    }

    #[test]
    fn a_larger_peer_keeps_the_contract_whatever_happens(
        manner in manner(),
        deep in deep(),
        ops in prop::collection::vec(op(), 0..160),
    ) {
        on_the_bench::<4, 8>(manner, deep, ops);
    }
}

proptest! {
    #![proptest_config(cases(30))]

    #[test]
    fn the_same_inputs_give_the_same_outputs(
        manner in manner(),
        deep in deep(),
        ops in prop::collection::vec(op(), 0..80),
    ) {
        let first = on_the_bench::<2, 5>(manner, deep, ops.clone());
        prop_assert_eq!(first, on_the_bench::<2, 5>(manner, deep, ops));
    }
}

#[derive(Clone, Debug)]
enum Act {
    Pass(u64),
    Ask(bool),
    Accept(bool, u8),
    Cancel(bool, u8),
    Live(u64),
    Lose(bool),
    Cut(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0u64..400_000).prop_map(Act::Pass),
        1 => (0u64..30_000_000).prop_map(Act::Pass),
        3 => any::<bool>().prop_map(Act::Ask),
        2 => any::<(bool, u8)>().prop_map(|(who, which)| Act::Accept(who, which)),
        1 => any::<(bool, u8)>().prop_map(|(who, which)| Act::Cancel(who, which)),
        2 => (0u64..5_000_000).prop_map(Act::Live),
        2 => any::<bool>().prop_map(Act::Lose),
        1 => any::<bool>().prop_map(Act::Cut),
    ]
}

fn habits() -> impl Strategy<Value = Habits> {
    let rarely = || prop::bool::weighted(0.15);
    let bits = any::<(bool, bool)>();
    (bits, runtime(), rarely(), rarely(), rarely()).prop_map(|(bits, runtime, by_hand, a, b)| {
        Habits {
            filtering: bits.0,
            at_once: bits.1,
            by_hand,
            no_ports: [a, b],
            runtime,
        }
    })
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let how = prop_oneof![
        4 => any::<u16>().prop_map(How::Flip),
        1 => any::<u16>().prop_map(How::Truncate),
        1 => Just(How::Duplicate),
        1 => Just(How::Drop),
        1 => any::<u8>().prop_map(How::Insert),
    ];
    (0u8..6, any::<bool>(), 0u8..2, how).prop_map(|(conn, end, message, how)| Tampering {
        conn,
        end,
        message,
        how,
    })
}

fn through_pipes(
    says: [Says; 2],
    tampering: Vec<Tampering>,
    habits: Habits,
    acts: Vec<Act>,
) -> (u64, usize) {
    let mut pipes = Pipes::<3, 8>::new(says, tampering, habits);
    let now = pipes.now;
    pipes.peers.iter_mut().for_each(|peer| peer.start(now));
    pipes.settle();
    let options = tcp_punch_proto::SessionOptions::default();
    for act in acts {
        let now = pipes.now;
        let some =
            |all: Vec<_>, which: u8| all.get(usize::from(which).checked_rem(all.len())?).copied();
        match act {
            Act::Pass(most) => pipes.pass(most),
            Act::Live(micros) => pipes.live(micros),
            Act::Lose(losing) => pipes.losing = losing,
            Act::Cut(who) => pipes.cut(usize::from(who)),
            Act::Ask(who) => {
                let (who, other) = (usize::from(who), pipes.ids[usize::from(!who)]);
                if let Ok(session) = pipes.peers[who].connect(now, other, &options) {
                    pipes.watches[who].begun.insert(session);
                }
            }
            Act::Accept(who, which) => {
                let who = usize::from(who);
                if let Some(session) = some(pipes.watches[who].asked.clone(), which) {
                    let _ = pipes.peers[who].accept(now, session);
                }
            }
            Act::Cancel(who, which) => {
                let who = usize::from(who);
                let all = pipes.watches[who].begun.iter().copied().collect();
                if let Some(session) = some(all, which) {
                    let _ = pipes.peers[who].cancel(now, session);
                }
            }
        }
        pipes.settle();
    }
    pipes.check();
    pipes.shut_down();
    let [a, b] = &pipes.watches;
    (
        a.trace() ^ b.trace().rotate_left(1),
        a.verified() + b.verified(),
    )
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn streams_are_handed_to_the_right_two_and_to_nobody_else(
        says in [says(), says()],
        tampering in prop::collection::vec(tampering(), 0..4),
        habits in habits(),
        acts in prop::collection::vec(act(), 0..40),
    ) {
        let (trace, _) = through_pipes(says, tampering.clone(), habits, acts.clone());
        if acts.len() < 8 {
            prop_assert_eq!(through_pipes(says, tampering, habits, acts).0, trace);
        }
    }
}

/// So that the property above is about something.
#[test]
fn the_pipes_lead_to_streams() {
    for filtering in [false, true] {
        for in_advance in [false, true] {
            let says = Says {
                decision: Decision::Allow,
                in_advance,
            };
            let acts = [Act::Ask(false), Act::Ask(true), Act::Ask(false)];
            let rest = core::iter::repeat_n(Act::Pass(300_000), 10);
            let acts = acts.into_iter().chain(rest).collect();
            let habits = Habits {
                filtering,
                ..Habits::default()
            };
            let (_, verified) = through_pipes([says; 2], Vec::new(), habits, acts);
            assert_eq!(verified, 6, "{filtering} {in_advance}");
        }
    }
}

fn event() -> impl Strategy<Value = Happens> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..60);
    let some = || any::<u8>();
    // Few, so that both sides of a round meet.
    let few = || 0u8..6;
    let sequence = || prop_oneof![Just(None), Just(Some(7)), any::<u32>().prop_map(Some)];
    let mostly = || prop::bool::weighted(0.8);
    prop_oneof![
        1 => (any::<u16>(), bytes()).prop_map(|(a, b)| Happens::Bytes(a, b)),
        1 => bytes().prop_map(Happens::Plain),
        9 => (some(), prop_oneof![few(), some()], any::<bool>())
            .prop_map(|(a, b, c)| Happens::Say(a, b, c)),
        9 => (some(), prop_oneof![few(), some()], some(), any::<bool>())
            .prop_map(|(a, b, c, d)| Happens::Routed(a, b, c, d)),
        6 => (few(), 0u8..3, any::<u16>(), sequence(), mostly())
            .prop_map(|(a, b, c, d, e)| Happens::Ready(a, b, c, d, e)),
        1 => (some(), some(), any::<u16>(), sequence(), mostly())
            .prop_map(|(a, b, c, d, e)| Happens::Ready(a, b, c, d, e)),
        6 => (few(), some(), 0u8..3, sequence(), mostly(), prop::bool::weighted(0.2))
            .prop_map(|(a, b, c, d, e, f)| Happens::Half(a, b, c, d, e, f)),
        2 => sketch().prop_map(Happens::Report),
        3 => (any::<bool>(), 1u16..6, 0u32..80).prop_map(|(a, b, c)| Happens::Observed(a, b, c)),
        4 => (0u32..20_000_000).prop_map(Happens::Tick),
        1 => Just(Happens::Replaced),
        1 => Just(Happens::Drain),
        1 => Just(Happens::Ended),
    ]
}

fn any_link(registers: bool, consents: bool, spoof: bool, events: Vec<Happens>) -> u64 {
    let mut client = Client::new(spoof);
    if registers {
        client.register(consents);
    }
    for event in events {
        client.happens(event);
    }
    client.happens(Happens::Ended);
    assert!(client.closed, "a link that ended closes");
    client.trace.finish()
}

/// So that the property below is about something.
#[test]
fn a_link_tells_both_to_go_and_injects_where_they_were_seen() {
    let mut client = Client::new(true);
    client.register(true);
    client.happens(Happens::Routed(0, 4, 2, false));
    client.happens(Happens::Ready(4, 0, 0, Some(1), true));
    client.happens(Happens::Half(4, 2, 0, Some(2), true, false));
    assert_eq!((client.went, client.injected), (1, 2));
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_link_of_the_server_bears_anything(
        registers in prop::bool::weighted(0.9),
        consents in any::<bool>(),
        spoof in any::<bool>(),
        events in prop::collection::vec(event(), 0..60),
    ) {
        let trace = any_link(registers, consents, spoof, events.clone());
        if events.len() < 6 {
            prop_assert_eq!(trace, any_link(registers, consents, spoof, events));
        }
    }

    #[test]
    fn an_assist_link_of_the_server_bears_anything(
        events in prop::collection::vec((any::<u8>(), 0u16..80, any::<[u8; 8]>()), 0..40),
    ) {
        let config = ServerConfig::new(secret(0));
        let mut now = Instant::ZERO;
        let mut link = Assist::new(now, &config, 0, Endpoint::new([192, 0, 2, 1].into(), 1));
        let (mut reads, mut closed) = (None, false);
        let mut frame: Frame = [0; MAX_FRAME + 2];
        for (what, head, bytes) in events {
            match (what % 8, reads) {
                (0, _) => {
                    now = now.after(Duration::from_micros(u64::from(head) << 20));
                    link.handle_timeout(now);
                }
                (1, _) => link.handle_input(now, AssistInput::Unroutable),
                (2, _) if what > 200 => link.handle_input(now, AssistInput::Ended),
                (_, Some(2)) => {
                    let head = [7, 31, 2, head][usize::from(what % 4)];
                    reads = None;
                    link.handle_input(now, AssistInput::Received(&mut head.to_be_bytes()));
                }
                (_, Some(len)) => {
                    let mut body = vec![0; len];
                    let token = Clear::AssistToken(AssistToken {
                        handle: LinkHandle(u64::from_be_bytes(bytes)),
                        port: head,
                        sequence: 1,
                        mac: [3; 16],
                        extensions: Extensions::NONE,
                    });
                    if what % 3 == 0 {
                        let _ = token.encode(&mut body);
                    } else if what % 3 == 1 {
                        let _ = Clear::AssistKeepAlive(Empty::default()).encode(&mut body);
                    }
                    reads = None;
                    link.handle_input(now, AssistInput::Received(&mut body));
                }
                (_, None) => {}
            }
            let mut outputs = 0;
            loop {
                outputs += 1;
                prop_assert!(outputs < 20);
                let output = link.poll_output(&mut frame);
                prop_assert!(!closed || matches!(output, AssistOutput::Wait(None)), "{:?}", output);
                match output {
                    AssistOutput::Read { exactly } => {
                        prop_assert_eq!(reads.replace(exactly), None);
                        prop_assert!((1..=64).contains(&exactly));
                    }
                    AssistOutput::Send { data } => prop_assert!(!data.is_empty()),
                    AssistOutput::Route(_) => {}
                    AssistOutput::Close(_) => closed = true,
                    AssistOutput::Wait(next) => {
                        prop_assert!(next.is_none_or(|at| at > now) || what % 8 != 0);
                        break;
                    }
                }
            }
        }
    }
}
