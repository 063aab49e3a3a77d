//! The link to the server: kept, lost, found again.

use std::time::Duration;

use tcp_punch_proto::{Endpoint, Event, Family, LinkFailure};
use tcp_punch_tests::natbox::Tracking;
use tcp_punch_tests::world::net::Nat;
use tcp_punch_tests::world::{A, B, Stop, World, seeds};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn works(world: &mut World) {
    let session = world.connect(A, B);
    world.expect_stream(A, B, session, seconds(10));
}

#[test]
fn idle_minutes_do_not_matter() {
    // A NAT that forgets after 30 s: the keep-alives of 15 s hold it.
    let short = Nat::dropping().idle(seconds(30));
    for seed in seeds(3) {
        let mut world = World::builder(seed).nats(short, short).build();
        world.register();
        world.run_for(seconds(20 * 60));
        for peer in [A, B] {
            assert_eq!(world.registrations(peer).len(), 1);
            assert!(world.link_failures(peer).is_empty());
        }
        works(&mut world);
    }
}

#[test]
fn back_within_the_backoff_after_a_restart() {
    for seed in seeds(10) {
        for how in [Stop::Power, Stop::Crash, Stop::Order] {
            let mut world = World::builder(seed).build();
            world.register();
            world.stop_server(how);
            world.run_for(seconds(20));
            world.start_server();
            let both = |world: &World| world.is_registered(A) && world.is_registered(B);
            // Silence is noticed only by missed keep-alives; what is down
            // comes back within the longest backoff and a dial.
            let patience = if how == Stop::Power {
                seconds(60)
            } else {
                seconds(32)
            };
            world.run_until(
                |world| !world.is_registered(A) && !world.is_registered(B),
                patience,
            );
            assert!(world.run_until(both, patience), "{how:?}");
            works(&mut world);
        }
    }
}

#[test]
fn a_short_restart_is_a_short_outage() {
    for seed in seeds(10) {
        for how in [Stop::Crash, Stop::Order] {
            let mut world = World::builder(seed).build();
            world.register();
            world.stop_server(how);
            world.run_for(Duration::from_millis(100));
            world.start_server();
            let both = |world: &World| world.is_registered(A) && world.is_registered(B);
            assert!(!both(&world));
            assert!(world.run_until(both, seconds(5)), "{how:?}");
            works(&mut world);
        }
    }
}

/// Runs until A's link is found lost like this and back, counted from now.
fn noticed_and_replaced(world: &mut World, how: LinkFailure) {
    let cut = world.now();
    // Two missed keep-alives, 15 s +/- 20 % apart.
    let noticed = world.run_until(|world| !world.link_failures(A).is_empty(), seconds(60));
    assert!(noticed);
    let (at, failure) = world.link_failures(A)[0];
    assert_eq!(failure, how);
    assert!(
        at.since(cut) <= seconds(15) * 12 / 10 * 3,
        "{:?}",
        at.since(cut)
    );
    assert!(world.run_until(|world| world.is_registered(A), seconds(5)));
    world.run_for(seconds(5));
    works(world);
}

#[test]
fn a_dead_link_is_noticed_and_replaced() {
    // One that does not take up a connection in its middle.
    let forgetful = Nat {
        tracking: Tracking::Strict { loose: false },
        ..Nat::dropping()
    };
    for seed in seeds(10) {
        let mut world = World::builder(seed).nats(forgetful, forgetful).build();
        world.register();
        world.nat_forgets(A);
        noticed_and_replaced(&mut world, LinkFailure::Dead);
    }
}

#[test]
fn a_link_outlives_a_table_that_was_flushed() {
    // Linux takes a connection up in its middle, and the port stays.
    for seed in seeds(5) {
        let mut world = World::builder(seed).build();
        world.register();
        world.nat_forgets(A);
        world.run_for(seconds(90));
        assert!(world.link_failures(A).is_empty());
        works(&mut world);
    }
}

#[test]
fn a_nat_that_reboots_with_another_address() {
    for seed in seeds(5) {
        let mut world = World::builder(seed).build();
        world.register();
        let before = world.mapped(A).expect("registered");
        let outer = "203.0.113.77".parse().expect("an address");
        world.nat_reboots(A, seconds(2), Some(outer));
        // The keep-alive comes from an endpoint that the server does not know: RST.
        noticed_and_replaced(&mut world, LinkFailure::Closed);
        let after = world.mapped(A).expect("registered");
        assert_ne!(before.ip, after.ip);
        assert_eq!(after.ip, std::net::IpAddr::V4(outer));
    }
}

#[test]
fn the_server_notices_too_and_forgets() {
    for seed in seeds(5) {
        let mut world = World::builder(seed).build();
        world.register();
        world.stop_peer(B, Stop::Power);
        world.run_for(seconds(120));
        let session = world.connect(A, B);
        let (reason, _) = world.expect_failure(A, session, seconds(1));
        assert_eq!(reason, tcp_punch_proto::FailReason::PeerUnknown);
    }
}

#[test]
fn a_path_that_is_cut_and_mended() {
    for seed in seeds(5) {
        for outage in [5, 40, 300] {
            let mut world = World::builder(seed).build();
            world.register();
            let (a, server) = (world.host(A), world.server_host());
            world.net().between(a, server, |path| path.cut = true);
            world.run_for(seconds(outage));
            world.net().between(a, server, |path| path.cut = false);
            // Longest backoff, and a dial that waits for its next SYN.
            assert!(
                world.run_until(|world| world.is_registered(A), seconds(60)),
                "{outage}"
            );
            world.run_for(seconds(30));
            assert!(world.is_registered(A), "{outage}");
            works(&mut world);
        }
    }
}

#[test]
fn a_newer_registration_supersedes() {
    for seed in seeds(5) {
        // C is B, on another host.
        let builder = World::builder(seed).add_peer();
        let mut world = builder.peer(2, |peer| peer.key = B).build();
        world.start_server();
        world.start_peer(A);
        world.start_peer(B);
        world.run_for(seconds(5));
        assert!(world.is_registered(B));
        world.start_peer(2);
        world.run_for(seconds(5));
        assert!(world.is_registered(2));
        let (_, failure) = world.link_failures(B)[0];
        assert_eq!(failure, LinkFailure::Replaced);
        // It does not come back by itself, so the two do not fight.
        world.run_for(seconds(300));
        assert_eq!(world.link_failures(B).len(), 1);
        assert_eq!(world.registrations(2).len(), 1);
        let session = world.connect(A, 2);
        world.expect_stream(A, 2, session, seconds(10));
    }
}

#[test]
fn a_restarted_peer_takes_its_place_again() {
    for seed in seeds(5) {
        for how in [Stop::Power, Stop::Crash, Stop::Order] {
            let mut world = World::builder(seed).build();
            world.register();
            world.stop_peer(B, how);
            world.run_for(seconds(2));
            world.start_peer(B);
            world.run_for(seconds(10));
            assert!(world.is_registered(B), "{how:?}");
            works(&mut world);
        }
    }
}

#[test]
fn shutting_down_leaves_nothing_to_wait_for() {
    for seed in seeds(3) {
        let mut world = World::builder(seed).build();
        world.register();
        let session = world.connect(A, B);
        world.run_for(Duration::from_millis(50));
        world.stop_peer(A, Stop::Order);
        assert!(world.is_over(A, session));
        assert!(!world.waits(A));
        world.run_for(seconds(2));
        assert!(!world.waits(A));
    }
}

#[test]
fn a_port_that_is_taken_is_left() {
    // Something else on the host has our four-tuple when we want to be back.
    for seed in seeds(5) {
        let mut world = World::builder(seed).build();
        world.register();
        world.stop_server(Stop::Power);
        world.run_until(|world| !world.link_failures(A).is_empty(), seconds(60));
        let (now, host) = (world.now(), world.host(A));
        let port = world.mapped(A).expect("registered").port;
        let from = Endpoint::unspecified(Family::V4, port);
        let to = Endpoint::new("198.51.100.10".parse().expect("an address"), 4_000);
        world
            .net()
            .dial(now, host, (from, to), None)
            .expect("the port is free now");
        assert!(!world.is_registered(A));
        world.run_for(seconds(1));
        world.start_server();
        assert!(world.run_until(|world| world.is_registered(A), seconds(90)));
        let moved = |event: &Event| matches!(event, Event::PortChanged { .. });
        assert!(
            world.events(A).iter().any(|(_, event)| moved(event)),
            "it is told"
        );
        world.run_for(seconds(30));
        works(&mut world);
    }
}

#[test]
fn nothing_spins() {
    for seed in seeds(3) {
        let mut world = World::builder(seed).build();
        world.register();
        let before = [A, B].map(|peer| world.wakes(peer));
        world.run_for(seconds(600));
        for (peer, before) in [A, B].into_iter().zip(before) {
            // Main link and two spare ports, one keep-alive each in 15 s.
            let wakes = world.wakes(peer) - before;
            assert!(wakes <= 600 / 15 * 3 * 4, "{wakes} in ten minutes");
        }
    }
}
