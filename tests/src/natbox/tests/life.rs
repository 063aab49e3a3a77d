//! How long entries live, and what ends them all: RFC 5382, REQ-5; NAT-FACTS, section 5.

use std::time::Duration;

use super::bench::{A, B, Bench, OURS, S, SECOND, THEIRS, ack, addresses, at, rst, syn, syn_ack};
use crate::natbox::{Addresses, Config, Filtering, Mapping, Reason, Side, Timeouts, Verdict};

const NEXT: u32 = OURS.wrapping_add(1);

fn still_there(bench: &mut Bench, outer: std::net::SocketAddr) -> bool {
    let judged = bench.send(Side::Outside, S, outer, ack(THEIRS + 1, NEXT));
    matches!(judged, Verdict::Forward(_))
}

#[test]
fn an_unanswered_syn_lives_120_s() {
    let mut bench = Bench::named("drop");
    let outer = bench.out(A, S, syn(OURS));
    bench.wait(119 * SECOND);
    bench.enters(S, outer, syn_ack(THEIRS, NEXT));
    let outer = bench.out("192.168.1.10:5001", S, syn(OURS));
    bench.wait(120 * SECOND);
    assert_eq!(
        bench.kept_out(S, outer, syn_ack(THEIRS, NEXT)),
        Err(Reason::Unsolicited)
    );
}

#[test]
fn half_a_handshake_lives_60_s() {
    let mut bench = Bench::named("drop");
    let outer = bench.out(A, S, syn(OURS));
    bench.enters(S, outer, syn_ack(THEIRS, NEXT));
    bench.wait(61 * SECOND);
    assert!(!still_there(&mut bench, outer));
}

#[test]
fn req_5_an_established_connection_outlives_two_hours_of_silence() {
    for config in [
        Config::MASQUERADE,
        Config {
            timeouts: Timeouts::RFC_5382,
            ..Config::MASQUERADE
        },
    ] {
        let mut bench = Bench::with(config);
        let outer = bench.connect(A, S);
        bench.wait(Duration::from_secs(2 * 3_600 + 4 * 60 - 1));
        assert!(still_there(&mut bench, outer));
        bench.wait(config.timeouts.established);
        assert!(!still_there(&mut bench, outer));
    }
}

#[test]
fn a_box_as_impatient_as_those_in_the_wild_needs_keep_alives() {
    let timeouts = Timeouts {
        established: 30 * SECOND,
        ..Timeouts::LINUX
    };
    let mut bench = Bench::with(Config {
        timeouts,
        ..Config::MASQUERADE
    });
    let outer = bench.connect(A, S);
    for _ in 0..10 {
        bench.wait(25 * SECOND);
        bench.out(A, S, ack(NEXT, THEIRS + 1));
    }
    assert!(still_there(&mut bench, outer));
    bench.wait(31 * SECOND);
    assert!(!still_there(&mut bench, outer));
}

#[test]
fn a_port_that_many_mappings_hold_stays_open_until_the_last_one_ends() {
    let config = Config {
        mapping: Mapping::AddressAndPortDependent,
        filtering: Filtering::Open,
        ..Config::MASQUERADE
    };
    let mut bench = Bench::with(config);
    let outer = bench.connect(A, S);
    assert_eq!(bench.out(A, B, syn(OURS)), outer);
    bench.enters(B, outer, rst(0, Some(NEXT)));
    assert_eq!(bench.nat.connections(), 1);
    // The mapping that sent last is gone, and the link to the server holds the port.
    bench.wait(SECOND);
    bench.enters(B, outer, syn(THEIRS));
    bench.enters("203.0.113.9:1", outer, syn(THEIRS));

    bench.nat.forget();
    assert_eq!(
        bench.kept_out(B, outer, syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
}

#[test]
fn a_lost_table_refuses_what_comes_and_maps_anew() {
    let mut bench = Bench::named("eim-random");
    let outer = bench.connect(A, S);
    bench.nat.forget();
    assert_eq!(bench.nat.connections(), 0);
    assert!(!still_there(&mut bench, outer));
    assert_ne!(bench.out(A, S, syn(OURS)), outer);
}

#[test]
fn a_reboot_takes_its_time_and_may_bring_another_address() {
    let mut bench = Bench::named("symmetric-seq");
    let outer = bench.out(A, S, syn(OURS));
    let moved = Addresses {
        outer_v4: Some("198.51.100.2".parse().unwrap()),
        ..addresses()
    };
    bench.nat.reboot(bench.now, 30 * SECOND, moved);
    bench.wait(29 * SECOND);
    assert_eq!(
        bench.send(Side::Inside, A, at(S), syn(OURS)),
        Verdict::Drop(Reason::Down)
    );
    assert_eq!(
        bench.kept_out(S, outer, syn_ack(1, NEXT)),
        Err(Reason::Down)
    );
    bench.wait(SECOND);
    let again = bench.out(A, S, syn(OURS));
    assert_eq!(again.ip().to_string(), "198.51.100.2");
    assert_eq!(again.port(), outer.port(), "its counter begins anew too");
    assert_eq!(
        bench.kept_out(S, outer, syn_ack(1, NEXT)),
        Err(Reason::NotForMe)
    );
}

#[test]
fn a_run_is_repeated_by_its_seed() {
    let run = || {
        let mut bench = Bench::named("symmetric");
        let mut ports = Vec::new();
        for n in 0..200u16 {
            ports.push(
                bench
                    .out(A, &format!("203.0.113.1:{}", 1_000 + n), syn(OURS))
                    .port(),
            );
            bench.wait(SECOND);
        }
        (ports, bench.nat.connections())
    };
    let (ports, connections) = run();
    assert_eq!((ports, connections), run());
    assert_eq!(connections, 120);
}
