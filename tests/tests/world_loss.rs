//! Lost packets cost time, never the stream.

use std::time::Duration;

use tcp_punch_tests::world::net::Nat;
use tcp_punch_tests::world::{A, B, Consent, World, percentile, seeds};

/// The whole of what a request may take by default.
const DEADLINE: Duration = Duration::from_secs(45);

fn nats() -> [Nat; 2] {
    [Nat::dropping(), Nat::resetting()]
}

#[test]
fn loss_between_the_peers_is_outraced() {
    for nat in nats() {
        for (consent, floor) in [(Consent::InAdvance, 120), (Consent::Allow, 160)] {
            let floor = Duration::from_millis(floor);
            let mut up = Vec::new();
            for seed in seeds(200) {
                let mut world = World::builder(seed)
                    .nats(nat, nat)
                    .consent(consent.clone())
                    .build();
                world.register();
                let (a, b) = (world.host(A), world.host(B));
                world.net().between(a, b, |path| path.loss_ppm = 50_000);
                let session = world.connect(A, B);
                world.expect_stream(A, B, session, DEADLINE);
                up.extend([A, B].map(|peer| world.times(peer, session).up.expect("up")));
            }
            let most = percentile(&mut up, 95);
            assert!(
                most <= floor * 3 / 2,
                "{:?} {consent:?}: 95 % within {most:?}",
                nat.early
            );
        }
    }
}

#[test]
fn loss_everywhere_is_outlasted() {
    for nat in nats() {
        for consent in [Consent::InAdvance, Consent::Allow] {
            for seed in seeds(150) {
                let builder = World::builder(seed).loss(5).nats(nat, nat);
                let mut world = builder.consent(consent.clone()).build();
                world.register();
                let session = world.connect(A, B);
                world.expect_stream(A, B, session, DEADLINE);
            }
        }
    }
}

#[test]
fn heavy_loss_and_jitter_too() {
    for nat in nats() {
        for seed in seeds(60) {
            let mut world = World::builder(seed)
                .loss(20)
                .jitter(Duration::from_millis(30))
                .nats(nat, nat)
                .build();
            world.register();
            let session = world.connect(A, B);
            world.run_until(
                |world| world.is_over(A, session) && world.is_over(B, session),
                DEADLINE,
            );
            assert!(
                world.is_over(A, session) && world.is_over(B, session),
                "never a hang"
            );
        }
    }
}

#[test]
fn a_path_that_is_cut_for_a_while() {
    for seed in seeds(10) {
        let mut world = World::builder(seed).build();
        world.register();
        let (a, b) = (world.host(A), world.host(B));
        world.net().between(a, b, |path| path.cut = true);
        let session = world.connect(A, B);
        world.run_for(Duration::from_millis(2_500));
        world.net().between(a, b, |path| path.cut = false);
        world.expect_stream(A, B, session, DEADLINE);
    }
}
