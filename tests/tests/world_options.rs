//! What the application can choose for a session, and the limits that hold
//! whatever it chooses.

use std::time::Duration;

use tcp_punch_proto::{FailReason, SessionOptions, Strategies, Strategy, StreamMode};
use tcp_punch_tests::world::net::Nat;
use tcp_punch_tests::world::{A, Answer, B, Consent, Site, World, seeds};

const TEN_SECONDS: Duration = Duration::from_secs(10);

/// SYNs that one side of a session may ask for: DESIGN.md section 9.
const MOST_DIALS: u16 = 64;

fn request(world: &mut World, options: SessionOptions) -> tcp_punch_proto::SessionId {
    let to = world.id(B);
    world.connect_with(A, to, options).expect("a request")
}

#[test]
fn bare_only_if_both_want_it() {
    let modes = [StreamMode::Records, StreamMode::Bare];
    for seed in seeds(3) {
        for of_a in modes {
            for of_b in modes {
                for consent in [Consent::InAdvance, Consent::Allow] {
                    let mut world = World::builder(seed)
                        .consent(consent)
                        .peer(B, |peer| {
                            peer.config = peer.config.clone().stream_mode(of_b)
                        })
                        .build();
                    world.register();
                    let options = SessionOptions {
                        mode: of_a,
                        ..SessionOptions::default()
                    };
                    let session = request(&mut world, options);
                    world.expect_stream(A, B, session, TEN_SECONDS);
                    let both = of_a == StreamMode::Bare && of_b == StreamMode::Bare;
                    let expected = if both {
                        StreamMode::Bare
                    } else {
                        StreamMode::Records
                    };
                    assert_eq!(world.mode(A, session), Some(expected), "{of_a:?} {of_b:?}");
                }
            }
        }
    }
}

#[test]
fn the_deadline_holds() {
    for seed in seeds(3) {
        for consent in [Consent::InAdvance, Consent::Ask(Answer::Silence)] {
            for millis in [1, 50, 500, 3_000] {
                let builder = World::builder(seed).nats(Nat::symmetric(), Nat::symmetric());
                let mut world = builder.consent(consent.clone()).build();
                world.register();
                let deadline = Duration::from_millis(millis);
                let session = request(
                    &mut world,
                    SessionOptions {
                        deadline,
                        ..SessionOptions::default()
                    },
                );
                world.expect_failure(A, session, deadline + Duration::from_millis(2));
                // The other side learns of it.
                world.run_for(Duration::from_secs(1));
                assert!(world.is_over(B, session) || !world.is_notified(B, session));
            }
        }
    }
}

#[test]
fn a_strategy_that_cannot_win_is_not_replaced_by_another() {
    for seed in seeds(3) {
        for consent in [Consent::InAdvance, Consent::Allow] {
            let mut world = World::builder(seed).consent(consent).build();
            world.register();
            let strategies = Strategies::only(Strategy::HostCandidates);
            let options = SessionOptions {
                strategies,
                ..SessionOptions::default()
            };
            let session = request(&mut world, options);
            let (reason, tried) = world.expect_failure(A, session, Duration::from_secs(46));
            assert_eq!(reason, FailReason::NothingToTry);
            assert_eq!(tried.dials, 0);
        }
    }
}

#[test]
fn one_network_can_be_forced_out_of_it() {
    for seed in seeds(3) {
        let mut world = World::builder(seed)
            .peer(A, |peer| {
                peer.site = Site::Behind(Nat::dropping().hairpinning())
            })
            .peer(B, |peer| peer.site = Site::With(A))
            .build();
        world.register();
        let strategies = Strategies::only(Strategy::SimultaneousOpen);
        let session = request(
            &mut world,
            SessionOptions {
                strategies,
                ..SessionOptions::default()
            },
        );
        world.expect_stream(A, B, session, TEN_SECONDS);
    }
}

#[test]
fn refusals_do_not_make_a_storm() {
    // Nothing can come through, and every SYN is answered with RST; but what the
    // NATs let in was not tested, so that it is tried.
    let random = Nat {
        early: Nat::resetting().early,
        ..Nat::symmetric()
    };
    for seed in seeds(5) {
        for consent in [Consent::InAdvance, Consent::Allow] {
            for between in [4, 80] {
                for (a, b) in [
                    (random, Nat::resetting()),
                    (Nat::resetting(), random),
                    (random, random),
                ] {
                    let mut world = World::builder(seed)
                        .rtts(40, 40, between)
                        .nats(a, b)
                        .consent(consent.clone())
                        .configure(|config| config.probe_nat(false))
                        .build();
                    world.register();
                    let session = world.connect(A, B);
                    let (reason, tried) = world.expect_failure(A, session, Duration::from_secs(46));
                    assert_eq!(reason, FailReason::PunchTimedOut);
                    world.run_for(Duration::from_secs(5));
                    let (_, of_b) = world.failure(B, session).expect("B ends too");
                    for tried in [tried, of_b] {
                        assert!((2..=MOST_DIALS).contains(&tried.dials), "{tried:?}");
                        assert!(tried.refused > 0, "{tried:?}");
                    }
                }
            }
        }
    }
}
