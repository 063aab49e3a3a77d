//! The hardest case known (NAT-FACTS.md section 3): a server that is far away and
//! jittery, peers near each other, NATs that answer every early SYN.
//! `--nocapture` prints the rates.

use std::time::Duration;

use tcp_punch_tests::world::net::Nat;
use tcp_punch_tests::world::{A, B, Builder, Consent, World, percentile, seeds};

const DEADLINE: Duration = Duration::from_secs(16);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Round trips to the server and between the peers: whether 104 ms are one way or
/// both, and half the time between the peers.
const RTTS: [(u64, u64); 3] = [(208, 8), (104, 8), (208, 4)];

/// How many of so many get through, and within what time 95 of 100 of them.
fn rate(name: &str, count: u64, change: impl Fn(Builder) -> Builder) -> (usize, usize) {
    let (mut all, mut met, mut took, mut dials) = (0, 0, Vec::new(), 0);
    for nat in [Nat::resetting(), Nat::unreachable()] {
        for (consent, (far, near)) in both_ways() {
            for seed in seeds(count) {
                let builder = World::builder(seed)
                    .rtts(far, far, near)
                    .jitter(millis(30))
                    .nats(nat, nat)
                    .consent(consent.clone());
                let mut world = change(builder).build();
                let (a, b) = (world.host(A), world.host(B));
                world.net().between(a, b, |path| path.jitter = millis(1));
                world.register();
                let session = world.connect(A, B);
                let over = |world: &World| world.is_over(A, session) && world.is_over(B, session);
                assert!(world.run_until(over, DEADLINE), "never a hang");
                all += 1;
                if world.is_verified(A, session) && world.is_verified(B, session) {
                    world.expect_stream(A, B, session, DEADLINE);
                    took.extend(world.times(A, session).verified);
                    dials = dials.max(world.dials(A, session));
                    met += 1;
                } else {
                    eprintln!(
                        "{name}: seed {seed} {:?} {consent:?} {far} {near} fails",
                        nat.early
                    );
                }
            }
        }
    }
    let most = percentile(&mut took, 95);
    eprintln!("{name}: {met} of {all}, 95 % within {most:?}, at most {dials} dials");
    (met, all)
}

/// Asked or in advance, over each of the paths.
fn both_ways() -> impl Iterator<Item = (Consent, (u64, u64))> {
    let consents = [Consent::InAdvance, Consent::Allow];
    let each = |consent: Consent| RTTS.map(|rtts| (consent.clone(), rtts));
    consents.into_iter().flat_map(each)
}

#[test]
fn with_syns_that_die_between_the_nats() {
    let (met, all) = rate("low TTL", 20, |builder| builder);
    assert_eq!(met, all);
}

#[test]
fn with_nothing_but_simultaneous_open() {
    let (met, all) = rate("simultaneous open", 20, Builder::without_low_ttl);
    assert_eq!(met, all);
}
