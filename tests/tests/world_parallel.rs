//! Many sessions, crossing requests, one after another: no trouble at all.

use std::time::Duration;

use tcp_punch_proto::SessionId;
use tcp_punch_tests::world::net::Nat;
use tcp_punch_tests::world::{A, Answer, B, C, Consent, World, seeds};

const TEN_SECONDS: Duration = Duration::from_secs(10);

fn nats() -> [Nat; 3] {
    [Nat::dropping(), Nat::resetting(), Nat::full_cone()]
}

fn world(seed: u64, nat: Nat, consent: &Consent) -> World {
    let builder = World::builder(seed).nats(nat, nat);
    let builder = builder.peer(A, |peer| peer.consent = consent.clone());
    let mut world = builder.consent(consent.clone()).build();
    world.register();
    world
}

#[test]
fn both_ask_each_other_at_the_same_moment() {
    for seed in seeds(10) {
        for nat in nats() {
            for consent in [Consent::InAdvance, Consent::Allow] {
                for apart in [0, 7, 20, 61, 130] {
                    let mut world = world(seed, nat, &consent);
                    let one = world.connect(A, B);
                    world.run_for(Duration::from_millis(apart));
                    let other = world.connect(B, A);
                    world.expect_stream(A, B, one, TEN_SECONDS);
                    world.expect_stream(A, B, other, TEN_SECONDS);
                }
            }
        }
    }
}

#[test]
fn ten_at_once() {
    for seed in seeds(5) {
        for nat in nats() {
            for consent in [Consent::InAdvance, Consent::Allow] {
                let mut world = world(seed, nat, &consent);
                let sessions: Vec<SessionId> = (0..10).map(|_| world.connect(A, B)).collect();
                for session in sessions {
                    world.expect_stream(A, B, session, TEN_SECONDS);
                }
            }
        }
    }
}

#[test]
fn five_each_way_at_once() {
    for seed in seeds(5) {
        for nat in nats() {
            let mut world = world(seed, nat, &Consent::InAdvance);
            let there: Vec<SessionId> = (0..5).map(|_| world.connect(A, B)).collect();
            let back: Vec<SessionId> = (0..5).map(|_| world.connect(B, A)).collect();
            for session in there.into_iter().chain(back) {
                world.expect_stream(A, B, session, TEN_SECONDS);
            }
        }
    }
}

#[test]
fn two_ask_the_same() {
    for seed in seeds(5) {
        let mut world = World::builder(seed).add_peer().build();
        world.register();
        let of_a = world.connect(A, B);
        let of_c = world.connect(C, B);
        world.expect_stream(A, B, of_a, TEN_SECONDS);
        world.expect_stream(C, B, of_c, TEN_SECONDS);
    }
}

#[test]
fn one_after_another_for_long() {
    for nat in nats() {
        for seed in seeds(2) {
            let mut world = world(seed, nat, &Consent::InAdvance);
            for round in 0..60 {
                let session = world.connect(A, B);
                world.expect_stream(A, B, session, TEN_SECONDS);
                let (closer, other) = if round % 2 == 0 { (A, B) } else { (B, A) };
                world.close_stream(closer, session);
                world.run_for(Duration::from_millis(100));
                world.close_stream(other, session);
            }
        }
    }
}

#[test]
fn right_after_a_refused_one() {
    for seed in seeds(5) {
        let consent = Consent::Ask(Answer::Refuse(Duration::ZERO));
        let builder = World::builder(seed).consent(consent);
        let mut world = builder
            .peer(A, |peer| peer.consent = Consent::InAdvance)
            .build();
        world.register();
        let refused = world.connect(A, B);
        world.expect_failure(A, refused, TEN_SECONDS);
        let back = world.connect(B, A);
        world.expect_stream(B, A, back, TEN_SECONDS);
    }
}

#[test]
fn right_after_a_failed_one() {
    for seed in seeds(5) {
        for nat in nats() {
            let mut world = world(seed, nat, &Consent::InAdvance);
            let (a, b) = (world.host(A), world.host(B));
            world.net().between(a, b, |path| path.cut = true);
            let failed = world.connect(A, B);
            world.expect_failure(A, failed, Duration::from_secs(46));
            world.net().between(a, b, |path| path.cut = false);
            let session = world.connect(A, B);
            world.expect_stream(A, B, session, TEN_SECONDS);
        }
    }
}

#[test]
fn right_after_a_cancelled_one() {
    for seed in seeds(3) {
        for nat in nats() {
            for after in [0, 30, 60, 90, 110, 130] {
                let mut world = world(seed, nat, &Consent::InAdvance);
                let cancelled = world.connect(A, B);
                world.run_for(Duration::from_millis(after));
                world.cancel(A, cancelled).expect("not over yet");
                let session = world.connect(A, B);
                world.expect_stream(A, B, session, TEN_SECONDS);
            }
        }
    }
}

#[test]
fn no_room_is_said_so() {
    // The machine of the world has room for 12.
    let mut world = world(1, Nat::dropping(), &Consent::Ask(Answer::Silence));
    for _ in 0..12 {
        world.connect(A, B);
    }
    let to = world.id(B);
    let more = world.connect_with(A, to, tcp_punch_proto::SessionOptions::default());
    assert_eq!(more, Err(tcp_punch_proto::Misuse::TooManySessions));
    // And B says it of those that come over the wire.
    world.run_for(Duration::from_secs(1));
    let back = world.connect_with(B, world.id(A), tcp_punch_proto::SessionOptions::default());
    assert_eq!(back, Err(tcp_punch_proto::Misuse::TooManySessions));
}

#[test]
fn everybody_with_everybody() {
    for seed in seeds(2) {
        let mut builder = World::builder(seed);
        for _ in 2..6 {
            builder = builder.add_peer();
        }
        for number in 0..6 {
            let nat = nats()[number % 3];
            builder = builder.peer(number, |peer| {
                peer.site = tcp_punch_tests::world::Site::Behind(nat);
                peer.rtt = 20 + 30 * number as u64;
            });
        }
        let mut world = builder.build();
        world.register();
        let pairs = (0..6).flat_map(|one| (0..6).map(move |other| (one, other)));
        let sessions: Vec<(usize, usize, SessionId)> = pairs
            .filter(|(one, other)| one != other)
            .map(|(one, other)| (one, other, world.connect(one, other)))
            .collect();
        for (one, other, session) in sessions {
            world.expect_stream(one, other, session, TEN_SECONDS);
        }
    }
}

#[test]
fn a_port_that_the_host_gives_again_is_not_taken() {
    // The world's contract asserts it at every dial.
    for seed in seeds(10) {
        let mut world = World::builder(seed).build();
        world.set_port_count(A, 24);
        world.register();
        for _ in 0..4 {
            let session = world.connect(A, B);
            world.expect_stream(A, B, session, TEN_SECONDS);
            world.close_stream(A, session);
            world.close_stream(B, session);
            world.run_for(Duration::from_secs(1));
        }
    }
}
