//! Same seed and inputs, same outputs.

use std::time::Duration;

use tcp_punch_proto::rendezvous::RouteMessage;
use tcp_punch_tests::world::net::Nat;
use tcp_punch_tests::world::{A, B, Consent, Stop, World, seeds};

/// A run with a bit of everything.
fn run(seed: u64) -> World {
    let mut world = World::builder(seed)
        .loss(5)
        .jitter(Duration::from_millis(5))
        .cut_small()
        .lag(Duration::from_millis(1))
        .nats(Nat::resetting(), Nat::dropping())
        .consent(Consent::Allow)
        .build();
    world.register();
    let one = world.connect(A, B);
    let other = world.connect(B, A);
    world.expect_stream(A, B, one, Duration::from_secs(45));
    world.run_until(
        |world| world.is_over(A, other) && world.is_over(B, other),
        Duration::from_secs(46),
    );
    world.stop_server(Stop::Crash);
    world.run_for(Duration::from_secs(3));
    world.start_server();
    world.run_for(Duration::from_secs(60));
    world
}

#[test]
fn same_seed_same_trace() {
    for seed in seeds(5) {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.ladder(), second.ladder());
        assert_eq!(first.trace_hash(), second.trace_hash());
    }
}

#[test]
fn another_seed_another_trace() {
    assert_ne!(run(1).trace_hash(), run(2).trace_hash());
}

#[test]
fn one_byte_makes_another_trace() {
    let trace = |spoil: bool| {
        let mut world = World::builder(1).consent(Consent::Allow).build();
        world.register();
        world.tamper(Box::new(move |routed| {
            if let (true, RouteMessage::Request { noise, .. }) = (spoil, &mut routed.message)
                && let Some(byte) = noise.last_mut()
            {
                *byte ^= 1;
            }
        }));
        world.connect(A, B);
        world.run_for(Duration::from_secs(5));
        world.trace_hash()
    };
    assert_eq!(trace(false), trace(false));
    assert_ne!(trace(false), trace(true));
}
