//! Lost packets cost time, hardly ever the stream.
//!
//! The hosts' TCP sends what was lost again after one second, then two, four: it
//! has no shorter time (RFC 6298 section 2.4 wants it so; Linux begins with 200 ms
//! and the round trip). So a segment that is lost three times over takes seven
//! seconds, and the machine's own patience may be over before: a server that does
//! not answer two pings is given up, and a stream that was nominated has three
//! seconds to say so. That is [`FEW`].

use std::time::Duration;

use tcp_punch_proto::{FailReason, SessionId};
use tcp_punch_tests::world::net::Nat;
use tcp_punch_tests::world::{A, B, Consent, World, percentile, seeds};

/// The whole of what a request may take by default.
const DEADLINE: Duration = Duration::from_secs(45);

/// One session in so many may be lost to the stack's slow retransmission.
const FEW: usize = 100;

/// Sessions, and the seeds of those that ended without a stream.
#[derive(Debug, Default)]
struct Tally {
    all: usize,
    lost: Vec<(u64, FailReason)>,
}

impl Tally {
    /// Runs a session to its end, and on to the proof that it is one stream.
    fn add(&mut self, seed: u64, world: &mut World) -> SessionId {
        let session = world.connect(A, B);
        let over = |world: &World| {
            world.is_over(A, session)
                && (world.is_over(B, session) || !world.is_notified(B, session))
        };
        assert!(world.run_until(over, DEADLINE), "never a hang");
        self.all += 1;
        let reasons = [A, B].map(|peer| world.reason(peer, session));
        if let Some(reason) = reasons.into_iter().flatten().next() {
            self.lost.push((seed, reason));
        } else if world.is_notified(B, session) {
            world.expect_stream(A, B, session, DEADLINE);
        }
        session
    }

    fn assert_few(&self) {
        let few = self.all.div_ceil(FEW);
        assert!(self.lost.len() <= few, "of {}: {:?}", self.all, self.lost);
        for (seed, reason) in &self.lost {
            let slow = matches!(
                reason,
                FailReason::WinnerLost | FailReason::NoServer | FailReason::Gone
            );
            assert!(slow, "seed {seed}: {reason:?}");
        }
    }
}

fn nats() -> [Nat; 2] {
    [Nat::dropping(), Nat::resetting()]
}

#[test]
fn loss_between_the_peers_is_outraced() {
    for nat in nats() {
        for (consent, floor) in [(Consent::InAdvance, 120), (Consent::Allow, 160)] {
            // Simultaneous open takes smoltcp one more one-way trip.
            let floor = Duration::from_millis(floor + 40);
            let (mut up, mut tally) = (Vec::new(), Tally::default());
            for seed in seeds(200) {
                let mut world = World::builder(seed)
                    .nats(nat, nat)
                    .consent(consent.clone())
                    .build();
                world.register();
                let (a, b) = (world.host(A), world.host(B));
                world.net().between(a, b, |path| path.loss_ppm = 50_000);
                let session = tally.add(seed, &mut world);
                up.extend([A, B].map(|peer| world.times(peer, session).up.expect("up")));
            }
            tally.assert_few();
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
            let mut tally = Tally::default();
            for seed in seeds(150) {
                let builder = World::builder(seed).loss(5).nats(nat, nat);
                let mut world = builder.consent(consent.clone()).build();
                world.register();
                tally.add(seed, &mut world);
            }
            tally.assert_few();
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
            // Whatever comes of it, it comes to an end.
            Tally::default().add(seed, &mut world);
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
