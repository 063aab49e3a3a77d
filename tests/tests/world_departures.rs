//! A side or the server goes away, at any moment of a session: nothing hangs,
//! and what is up stays up.

use std::time::Duration;

use tcp_punch_proto::FailReason;
use tcp_punch_tests::world::{A, Answer, B, Consent, Stop, World, seeds};

/// A request by default takes no longer; a second for the ways.
const DEADLINE: Duration = Duration::from_secs(46);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn cancelled_at_any_moment_by_either_side() {
    for seed in seeds(2) {
        for by in [A, B] {
            for consent in [
                Consent::InAdvance,
                Consent::Allow,
                Consent::Ask(Answer::Accept(seconds(1))),
            ] {
                for after in (0..400).step_by(7).chain([1_050, 1_090, 1_150]) {
                    let mut world = World::builder(seed).consent(consent.clone()).build();
                    world.register();
                    let session = world.connect(A, B);
                    world.run_for(Duration::from_millis(after));
                    let cancelled = world.cancel(by, session);
                    let over = |world: &World| {
                        world.is_over(A, session)
                            && (world.is_over(B, session) || !world.is_notified(B, session))
                    };
                    world.run_until(over, DEADLINE);
                    world.run_for(seconds(1));
                    let (of_a, of_b) = (world.reason(A, session), world.reason(B, session));
                    let what = format!("{consent:?} by {by} after {after}: {of_a:?} {of_b:?}");
                    assert!(over(&world), "{what}");
                    if cancelled.is_ok() {
                        let of_canceller = world.reason(by, session);
                        assert_eq!(of_canceller, Some(FailReason::Cancelled), "{what}");
                        assert!(!world.is_verified(A, session) || !world.is_verified(B, session));
                    }
                }
            }
        }
    }
}

#[test]
fn server_gone_before_the_request() {
    for seed in seeds(3) {
        for how in [Stop::Power, Stop::Crash, Stop::Order] {
            let mut world = World::builder(seed).build();
            world.register();
            world.stop_server(how);
            world.run_for(seconds(1));
            let session = world.connect(A, B);
            let (reason, _) = world.expect_failure(A, session, DEADLINE);
            assert_eq!(reason, FailReason::NoServer, "{how:?}");
            assert!(!world.is_notified(B, session));
        }
    }
}

#[test]
fn server_gone_at_any_moment_of_a_session() {
    for seed in seeds(1) {
        for how in [Stop::Power, Stop::Crash, Stop::Order] {
            for consent in [Consent::InAdvance, Consent::Allow] {
                for after in (5..400).step_by(10) {
                    let mut world = World::builder(seed).consent(consent.clone()).build();
                    world.register();
                    let session = world.connect(A, B);
                    world.run_for(Duration::from_millis(after));
                    world.stop_server(how);
                    let over = |world: &World| {
                        world.is_over(A, session)
                            && (world.is_over(B, session) || !world.is_notified(B, session))
                    };
                    assert!(
                        world.run_until(over, DEADLINE),
                        "{how:?} {consent:?} {after}"
                    );
                    // Both were told to go: the server is not needed any more.
                    if after > 100 && consent == Consent::InAdvance {
                        world.expect_stream(A, B, session, seconds(1));
                    }
                }
            }
        }
    }
}

#[test]
fn a_stream_survives_the_server() {
    for seed in seeds(3) {
        for how in [Stop::Power, Stop::Crash, Stop::Order] {
            let mut world = World::builder(seed).build();
            world.register();
            let session = world.connect(A, B);
            world.expect_stream(A, B, session, DEADLINE);
            world.stop_server(how);
            world.run_for(seconds(120));
            world.write(A, session, b", still there");
            world.run_for(seconds(1));
            assert_eq!(world.received(B, session), b"to the other, still there");
        }
    }
}

#[test]
fn responder_gone_at_any_moment() {
    for seed in seeds(1) {
        for how in [Stop::Power, Stop::Crash, Stop::Order] {
            for after in (0..300).step_by(10) {
                let mut world = World::builder(seed).consent(Consent::Allow).build();
                world.register();
                let session = world.connect(A, B);
                world.run_for(Duration::from_millis(after));
                let was_verified = world.is_verified(A, session);
                world.stop_peer(B, how);
                world.run_until(|world| world.is_over(A, session), DEADLINE);
                assert!(world.is_over(A, session), "{how:?} after {after}");
                if !was_verified && !world.is_verified(A, session) && how == Stop::Order {
                    let took = world.events(A).last().expect("events").0.since(world.now());
                    assert!(took < seconds(2), "{how:?} after {after}");
                }
            }
        }
    }
}

#[test]
fn requester_gone_at_any_moment() {
    for seed in seeds(1) {
        for how in [Stop::Power, Stop::Crash, Stop::Order] {
            for consent in [
                Consent::InAdvance,
                Consent::Allow,
                Consent::Ask(Answer::Silence),
            ] {
                for after in (0..300).step_by(10) {
                    let mut world = World::builder(seed).consent(consent.clone()).build();
                    world.register();
                    let session = world.connect(A, B);
                    world.run_for(Duration::from_millis(after));
                    world.stop_peer(A, how);
                    let over =
                        |world: &World| world.is_over(B, session) || !world.is_notified(B, session);
                    // B's own deadlines run from the moment it was told.
                    world.run_for(seconds(1));
                    assert!(
                        world.run_until(over, DEADLINE),
                        "{how:?} {consent:?} {after}"
                    );
                }
            }
        }
    }
}

#[test]
fn server_restarted_at_any_moment_of_a_session() {
    for seed in seeds(1) {
        for how in [Stop::Power, Stop::Crash, Stop::Order] {
            for consent in [
                Consent::InAdvance,
                Consent::Allow,
                Consent::Ask(Answer::Accept(seconds(1))),
            ] {
                for after in (5..400).step_by(15) {
                    let mut world = World::builder(seed).consent(consent.clone()).build();
                    world.register();
                    let session = world.connect(A, B);
                    world.run_for(Duration::from_millis(after));
                    world.stop_server(how);
                    world.run_for(Duration::from_millis(200));
                    world.start_server();
                    let over = |world: &World| {
                        world.is_over(A, session)
                            && (world.is_over(B, session) || !world.is_notified(B, session))
                    };
                    assert!(
                        world.run_until(over, DEADLINE),
                        "{how:?} {consent:?} {after}"
                    );
                    // And afterwards everything is as before.
                    world.run_for(seconds(90));
                    let session = world.connect(A, B);
                    world.expect_stream(A, B, session, seconds(10));
                }
            }
        }
    }
}
