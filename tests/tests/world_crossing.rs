//! SYNs that cross although nobody knows exactly when: near peers, a far and
//! jittery server, NATs that answer what comes too early.

use std::time::Duration;

use tcp_punch_tests::world::net::Nat;
use tcp_punch_tests::world::{A, B, Consent, World, seeds};

const DEADLINE: Duration = Duration::from_secs(45);

/// Sessions that failed, of how many.
fn lost(a: Nat, b: Nat, jitter: Duration) -> (usize, usize) {
    let (mut lost, mut all) = (0, 0);
    for seed in seeds(150) {
        let mut world = World::builder(seed)
            .rtts(100, 60, 10)
            .jitter(jitter)
            .nats(a, b)
            .consent(Consent::InAdvance)
            .build();
        world.register();
        let session = world.connect(A, B);
        world.run_until(
            |world| world.is_over(A, session) && world.is_over(B, session),
            DEADLINE,
        );
        all += 1;
        lost += usize::from(!world.is_verified(A, session) || !world.is_verified(B, session));
    }
    (lost, all)
}

#[test]
fn jitter_does_not_keep_near_peers_apart() {
    let (drop, rst, icmp) = (Nat::dropping(), Nat::resetting(), Nat::unreachable());
    for jitter in [20, 40].map(Duration::from_millis) {
        for (a, b) in [
            (rst, rst),
            (rst, drop),
            (drop, rst),
            (icmp, icmp),
            (icmp, drop),
            (drop, icmp),
            (rst, icmp),
        ] {
            let (lost, all) = lost(a, b, jitter);
            // On Linux an ICMP error that arrives together with the SYN behind it
            // costs a session now and then (NAT-FACTS.md section 2, "nearly all");
            // smoltcp's dials never learn of it.
            assert!(
                lost == 0,
                "{:?} {:?} {jitter:?}: {lost} lost of {all}",
                a.early,
                b.early
            );
        }
    }
}
