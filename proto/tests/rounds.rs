//! Further rounds of a session: what once went wrong in them.

mod support;

use tcp_punch_proto::wire::{Cancel, Extensions, Refused, ToPeer};
use tcp_punch_proto::{Decision, FailReason, Runtime, SessionId};

use support::Says;
use support::bench::{Bench, Manner, Op, QUIET, Sketch};
use support::client::{Client, Happens};
use support::pipes::{Habits, Pipes};
use support::watch::Phase;

const NONE: Extensions<'static> = Extensions::NONE;
/// Its number is that of a genuine request.
const CONE: Sketch = Sketch::cone(1);
const SECOND: u64 = 1_000_000;

fn registered<const S: usize, const P: usize>(manner: Manner) -> Bench<S, P> {
    let mut bench = Bench::new(manner);
    bench.run(Op::Start);
    bench.run(Op::Connected(0));
    bench.live(6 * SECOND);
    bench
}

fn by_chance() -> Manner {
    Manner {
        birthday: true,
        runtime: Runtime {
            dials: 1_280,
            ..QUIET.runtime
        },
        ..QUIET
    }
}

/// The server says go as soon as the peer is ready.
fn go<const S: usize, const P: usize>(
    bench: &mut Bench<S, P>,
    session: SessionId,
    own: Sketch,
    other: Sketch,
) {
    let ready: Vec<_> = bench.readies.keys().copied().collect();
    let number = ready.iter().position(|known| *known == session);
    let number = number.expect("it is ready") as u8;
    bench.run(Op::Go(number, None, None, 0, [own, other]));
    bench.readies.remove(&session);
}

#[test]
fn ports_of_a_round_that_never_began_are_released() {
    let mut bench = registered::<1, 8>(QUIET);
    let before = bench.ports();
    for _ in 0..5 {
        let session = bench.notified(CONE, CONE);
        bench.live(5 * SECOND);
        let ready = bench.readies.remove(&session);
        assert!(ready.is_some(), "no ports for the next round");
        assert!(bench.ports() > before);
        bench.say(&ToPeer::Cancelled(Cancel {
            session,
            extensions: NONE,
        }));
        bench.live(SECOND);
        assert_eq!(bench.ports(), before);
    }
}

#[test]
fn a_compared_port_that_cannot_be_bound_does_not_spin() {
    let mut bench = registered::<1, 8>(QUIET);
    let before = bench.listens;
    bench.listens_fail = usize::MAX;
    bench.notified(Sketch::symmetric(Some(1), 0), CONE);
    bench.live(5 * SECOND);
    let tries = bench.listens - before;
    assert!((4..8).contains(&tries), "{tries} in 5 s");
}

#[test]
fn a_compared_port_that_is_seen_in_the_wrong_family_does_not_spin() {
    let mut bench = Bench::<1, 8>::new(QUIET);
    bench.assists = vec![
        "[2001:db8::1]:3479"
            .parse::<std::net::SocketAddr>()
            .unwrap()
            .into(),
    ];
    bench.run(Op::Start);
    bench.run(Op::Connected(0));
    bench.live(6 * SECOND);
    let before = bench.listens;
    bench.notified(Sketch::symmetric(Some(1), 0), CONE);
    bench.live(5 * SECOND);
    // Each has a listener in each family.
    let tries = (bench.listens - before) / 2;
    assert!((4..8).contains(&tries), "{tries} in 5 s");
}

#[test]
fn the_end_of_a_step_leaves_a_sprayed_stream_to_be_verified() {
    let mut bench = registered::<1, 8>(QUIET);
    let other = Sketch::symmetric(Some(1), 8);
    let session = bench.notified(CONE, other);
    bench.live(SECOND);
    go(&mut bench, session, CONE, other);
    bench.live(SECOND);
    let sprayed = bench.pending(session);
    assert_eq!(sprayed.len(), 8);
    bench.live(SECOND * 4 / 10);
    bench.connect(sprayed[3]);
    bench.live(SECOND / 2);
    for id in sprayed.iter().copied() {
        let up = matches!(bench.watch.sockets.get(&id), Some(Phase::Up(_)));
        assert_eq!(up, id == sprayed[3], "{id:?}");
    }
    bench.shut_down();
}

#[test]
fn a_session_dials_no_more_foretold_ports_than_its_budget() {
    let mut bench = registered::<1, 8>(QUIET);
    let mut other = Sketch::symmetric(Some(7), u16::MAX);
    let session = bench.notified(CONE, other);
    for round in 1..9 {
        bench.live(SECOND * 16 / 10);
        if bench.readies.contains_key(&session) {
            other.port = 3_000 * round;
            go(&mut bench, session, CONE, other);
        }
    }
    bench.live(SECOND);
    assert_eq!(bench.watch.dials.of(session), [0, 192, 0]);
    bench.shut_down();
}

#[test]
fn a_session_dials_no_more_ports_by_chance_than_its_budget() {
    let mut bench = registered::<1, 8>(by_chance());
    let other = Sketch::symmetric(None, 0);
    let session = bench.notified(CONE, other);
    for _ in 0..5 {
        bench.live(SECOND / 2);
        if bench.readies.contains_key(&session) {
            go(&mut bench, session, CONE, other);
        }
        bench.live(SECOND * 4);
    }
    assert_eq!(bench.watch.dials.of(session), [0, 0, 3_072]);
    bench.shut_down();
}

#[test]
fn a_spray_stays_within_what_the_runtime_declared() {
    let mut bench = registered::<1, 8>(Manner {
        birthday: true,
        runtime: Runtime {
            dials: 100,
            ..QUIET.runtime
        },
        ..QUIET
    });
    // Our own outer ports are the random ones: many sockets, to one port.
    let own = Sketch::symmetric(None, 0);
    let session = bench.notified(own, CONE);
    bench.live(SECOND / 2);
    go(&mut bench, session, own, CONE);
    bench.live(SECOND * 7 / 2);
    assert_eq!(bench.pending(session).len(), 100);
    bench.end_sessions();
    assert_eq!(bench.pending(session).len(), 0);
}

#[test]
fn two_sessions_that_want_the_spray_take_turns() {
    let mut bench = registered::<2, 8>(by_chance());
    let other = Sketch::symmetric(None, 0);
    let sessions = [bench.notified(CONE, other), bench.notified(CONE, other)];
    let mut turns = Vec::new();
    for _ in 0..80 {
        bench.live(SECOND / 10);
        assert!(bench.readies.len() < 2, "both are ready: {turns:?}");
        if let Some(session) = bench.readies.keys().next().copied() {
            turns.push(session);
            go(&mut bench, session, CONE, other);
        }
    }
    assert!(
        sessions.iter().all(|session| turns.contains(session)),
        "{turns:?}"
    );
    for session in sessions {
        let [_, _, dials] = bench.watch.dials.of(session);
        assert!(dials >= 900, "{session}: {dials}");
    }
    bench.shut_down();
}

#[test]
fn a_session_that_waits_for_a_compared_port_starves_nobody() {
    let mut bench = registered::<2, 8>(QUIET);
    bench.serves = false;
    let first = bench.notified(Sketch::symmetric(Some(1), 0), CONE);
    let second = bench.notified(CONE, CONE);
    bench.live(5 * SECOND);
    let ready = |session| bench.readies.contains_key(&session);
    assert!(!ready(first), "nobody saw its port");
    assert!(ready(second), "it needs nothing of it");
    bench.shut_down();
}

#[test]
fn a_server_that_forgot_the_session_leaves_its_dials_alone() {
    let mut bench = registered::<1, 8>(QUIET);
    let session = bench.notified(CONE, CONE);
    bench.live(5 * SECOND);
    assert!(bench.readies.contains_key(&session));
    let pending = bench.pending(session);
    assert!(!pending.is_empty());
    bench.say(&ToPeer::Refused(Refused {
        session,
        reason: FailReason::Gone,
        extensions: NONE,
    }));
    bench.live(SECOND);
    assert_eq!(bench.pending(session), pending);
    assert!(!bench.watch.ended.contains(&session));
    // One of them comes through.
    bench.connect(pending[0]);
    assert!(!bench.hellos.is_empty());
    bench.shut_down();
}

#[test]
fn syn_acks_go_nowhere_but_where_a_peer_was_seen() {
    let mut client = Client::new(true);
    client.register(true);
    client.happens(Happens::Routed(0, 4, 2, false));
    // Neither half has a port that anybody saw; both are in one network, where
    // host candidates would do.
    client.happens(Happens::Ready(4, 2, 1, Some(1), true));
    client.happens(Happens::Half(4, 252, 2, Some(2), true, false));
    assert_eq!((client.went, client.injected), (1, 0));
}

#[test]
fn a_late_half_of_an_earlier_round_does_not_replace_a_later_one() {
    let mut client = Client::new(false);
    client.register(true);
    client.happens(Happens::Routed(0, 4, 2, false));
    client.happens(Happens::Ready(4, 2, 1, None, false));
    client.happens(Happens::Half(4, 2, 1, Some(7), false, false));
    assert_eq!(client.went, 0);
    client.happens(Happens::Half(4, 2, 2, None, false, false));
    assert_eq!(client.went, 1);
}

/// Two peers that know their NATs, and a session that has just begun.
fn pipes(habits: Habits, losing: bool) -> (Pipes<2, 8>, SessionId) {
    let says = Says {
        decision: Decision::Allow,
        in_advance: true,
    };
    let mut pipes = Pipes::new([says; 2], Vec::new(), habits);
    let now = pipes.now;
    pipes.peers.iter_mut().for_each(|peer| peer.start(now));
    pipes.settle();
    pipes.live(7 * SECOND);
    pipes.losing = losing;
    let (now, other) = (pipes.now, pipes.ids[1]);
    let options = tcp_punch_proto::SessionOptions::default();
    let session = pipes.peers[0].connect(now, other, &options).unwrap();
    pipes.watches[0].begun.insert(session);
    pipes.settle();
    (pipes, session)
}

/// How many sides have a stream, and the last round of each.
fn outcome(mut pipes: Pipes<2, 8>, session: SessionId) -> (usize, [Option<u8>; 2]) {
    pipes.check();
    pipes.shut_down();
    let [a, b] = &pipes.watches;
    let rounds = [a, b].map(|watch| watch.dials.rounds.get(&session).copied());
    (a.verified() + b.verified(), rounds)
}

#[test]
fn the_round_after_a_lost_one_wins() {
    for filtering in [false, true] {
        let (mut pipes, session) = pipes(
            Habits {
                filtering,
                ..Habits::default()
            },
            true,
        );
        pipes.live(2 * SECOND);
        pipes.losing = false;
        pipes.live(8 * SECOND);
        assert_eq!(outcome(pipes, session), (2, [Some(1); 2]));
    }
}

#[test]
fn a_responder_whose_ports_nobody_sees_stays_in_its_first_round() {
    let (mut pipes, session) = pipes(
        Habits {
            filtering: true,
            no_ports: [false, true],
            ..Habits::default()
        },
        true,
    );
    pipes.live(2 * SECOND);
    pipes.losing = false;
    pipes.live(12 * SECOND);
    let open = pipes.watches[1].in_phase(|phase| phase == Phase::Dialling);
    assert!(!open.is_empty(), "its dials go on");
    assert_eq!(outcome(pipes, session), (0, [Some(0); 2]));
}

#[test]
fn syn_acks_by_hand_join_what_takes_no_syn() {
    let runtime = Runtime {
        low_ttl: true,
        raw: true,
        ..Runtime::default()
    };
    let (mut pipes, session) = pipes(
        Habits {
            by_hand: true,
            runtime,
            ..Habits::default()
        },
        false,
    );
    pipes.live(6 * SECOND);
    assert_eq!(outcome(pipes, session), (2, [Some(0); 2]));
}

#[test]
fn a_link_that_is_lost_between_rounds_ends_in_peace() {
    for who in [0, 1] {
        let (mut pipes, session) = pipes(Habits::default(), true);
        pipes.live(SECOND * 39 / 10);
        pipes.cut(who);
        pipes.live(20 * SECOND);
        let failed = [0, 1].map(|who| pipes.watches[who].failed.get(&session).copied());
        assert_eq!(failed, [Some(FailReason::PunchTimedOut); 2]);
        let ports = [0, 1].map(|who| {
            let open = pipes.watches[who].listeners.values();
            open.filter(|open| **open).count()
        });
        // The main port and two spare ones, in both families.
        assert_eq!(ports, [6, 6]);
        assert_eq!(outcome(pipes, session), (0, [Some(0); 2]));
    }
}
