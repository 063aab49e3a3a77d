//! Hosts that are none of ours, on every port that they can reach.

use std::net::IpAddr;
use std::time::Duration;

use tcp_punch_proto::{Endpoint, FailReason};
use tcp_punch_tests::world::net::{Nat, Place};
use tcp_punch_tests::world::{A, B, Consent, Habit, Site, World, seeds};

const TEN_SECONDS: Duration = Duration::from_secs(10);

fn endpoint(text: &str) -> Endpoint {
    text.parse::<std::net::SocketAddr>()
        .expect("an endpoint")
        .into()
}

/// Nonsense of several kinds.
fn garbage() -> Vec<Habit> {
    vec![
        Habit::Silent,
        Habit::Echo,
        Habit::Says(vec![0; 3_000]),
        Habit::Says(vec![0xff; 3_000]),
        Habit::Says(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        // A length of 1,024 and of 1,025 with nothing sensible behind it.
        Habit::Says([4, 0].into_iter().chain([7; 1_024]).collect()),
        Habit::Says([4, 1].into_iter().chain([7; 1_025]).collect()),
        Habit::Says(vec![0, 1]),
    ]
}

/// Where B's main port is mapped to.
fn mapped_of_b(world: &World) -> Endpoint {
    world.mapped(B).expect("registered")
}

#[test]
fn they_connect_to_the_punched_port() {
    for seed in seeds(3) {
        for habit in garbage() {
            let mut world = World::builder(seed)
                .nats(Nat::dropping(), Nat::full_cone())
                .build();
            world.register();
            let address = "192.0.2.200".parse().expect("an address");
            let stranger = world.add_stranger(Place::Wan, address, habit);
            let target = mapped_of_b(&world);
            for _ in 0..30 {
                world.stranger_dials(stranger, target);
            }
            world.run_for(Duration::from_millis(100));
            let session = world.connect(A, B);
            for _ in 0..30 {
                world.stranger_dials(stranger, target);
            }
            world.expect_stream(A, B, session, TEN_SECONDS);
            world.run_for(Duration::from_secs(5));
            let (connections, ended) = world.stranger_connections(stranger);
            assert_eq!((connections, ended), (60, 60), "none is kept");
            assert!(
                world.stranger_heard(stranger).is_empty(),
                "and none is told anything"
            );
        }
    }
}

#[test]
fn they_talk_nonsense_to_the_server() {
    for seed in seeds(2) {
        for habit in garbage() {
            let mut world = World::builder(seed).build();
            world.register();
            let address = "192.0.2.200".parse().expect("an address");
            let stranger = world.add_stranger(Place::Wan, address, habit.clone());
            for target in [
                "198.51.100.10:4000",
                "198.51.100.10:4001",
                "198.51.100.11:4002",
            ] {
                for _ in 0..10 {
                    world.stranger_dials(stranger, endpoint(target));
                }
            }
            let session = world.connect(A, B);
            world.expect_stream(A, B, session, TEN_SECONDS);
            world.run_for(Duration::from_secs(60));
            assert!(world.is_registered(A) && world.is_registered(B));
            let (connections, ended) = world.stranger_connections(stranger);
            assert_eq!((connections, ended), (30, 30), "{habit:?}: none is kept");
        }
    }
}

#[test]
fn one_sits_at_a_private_address_of_the_other() {
    for seed in seeds(3) {
        for habit in garbage() {
            // Both behind one NAT, so host candidates are tried; B claims an
            // address beside its own at which a stranger takes every call.
            let claimed = "10.0.1.66".parse().expect("an address");
            let mut world = World::builder(seed)
                .peer(B, |peer| {
                    peer.site = Site::With(A);
                    peer.claims = vec![claimed];
                })
                .build();
            let place = world.place(A);
            let stranger = world.add_stranger(place, claimed, habit);
            world.register();
            let session = world.connect(A, B);
            world.expect_stream(A, B, session, TEN_SECONDS);
            let (connections, _) = world.stranger_connections(stranger);
            assert!(connections > 0, "it was tried");
        }
    }
}

#[test]
fn one_sits_at_the_only_address() {
    for seed in seeds(3) {
        for habit in garbage() {
            // The real way is cut; all that answers is the stranger.
            let claimed = "10.0.1.66".parse().expect("an address");
            let mut world = World::builder(seed)
                .peer(B, |peer| {
                    peer.site = Site::With(A);
                    peer.claims = vec![claimed];
                })
                .build();
            let place = world.place(A);
            world.add_stranger(place, claimed, habit);
            world.register();
            let (a, b) = (world.host(A), world.host(B));
            world.net().isolate(a, b);
            let session = world.connect(A, B);
            let (reason, tried) = world.expect_failure(A, session, Duration::from_secs(46));
            assert!(
                matches!(reason, FailReason::NotVerified | FailReason::PunchTimedOut),
                "{reason} {tried:?}"
            );
            assert!(tried.unverified > 0, "{tried:?}");
        }
    }
}

/// Both in one network, where they reach each other only after a while; at an
/// address that B claims there is one who passes A's words on to B.
fn with_one_between(seed: u64, habit: impl Fn(IpAddr) -> Habit, consent: Consent) {
    let claimed = "10.0.1.66".parse().expect("an address");
    let mut world = World::builder(seed)
        .consent(consent)
        .peer(B, |peer| {
            peer.site = Site::With(A);
            peer.claims = vec![claimed];
        })
        .build();
    let place = world.place(A);
    world.register();
    let b_inside = "10.0.1.12".parse().expect("an address");
    let stranger = world.add_stranger(place, claimed, habit(b_inside));
    let (a, b) = (world.host(A), world.host(B));
    world.net().isolate(a, b);
    let session = world.connect(A, B);
    world.run_for(Duration::from_millis(4_500));
    assert!(!world.stranger_heard(stranger).is_empty(), "A spoke to it");
    assert!(
        !world.is_verified(A, session),
        "a hello that was changed proves nothing"
    );
    world.net().mingle();
    world.expect_stream(A, B, session, TEN_SECONDS);
}

#[test]
fn one_repeats_to_b_what_a_says() {
    // A hello without a MAC must suffice for nothing: who passes it on costs its
    // own stream, not the session.
    for seed in seeds(3) {
        with_one_between(seed, Habit::Repeats, Consent::InAdvance);
    }
}

#[test]
fn one_spoils_what_b_says_to_a() {
    for seed in seeds(3) {
        with_one_between(seed, Habit::Spoils, Consent::InAdvance);
        with_one_between(seed, Habit::Spoils, Consent::Allow);
    }
}

#[test]
fn one_takes_the_servers_place() {
    for seed in seeds(2) {
        for habit in garbage() {
            let mut world = World::builder(seed).build();
            world.impersonate_server(habit.clone());
            world.start_peer(A);
            world.run_for(Duration::from_secs(100));
            assert!(!world.is_registered(A));
            assert!(!world.link_failures(A).is_empty(), "{habit:?}");
        }
    }
}
