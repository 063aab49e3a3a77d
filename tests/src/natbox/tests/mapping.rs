//! Mapping and ports: RFC 4787, section 4; RFC 5382, REQ-1.

use super::bench::{A, A2, B, Bench, OURS, OUTER, S, SECOND, at, syn};
use crate::natbox::{Allocation, Config, Mapping, Ports, Reason, Side, Timeouts, Verdict};

const B_OTHER: &str = "203.0.113.1:6001";

fn mapped(mapping: Mapping, allocation: Allocation) -> Bench {
    let base = Config::MASQUERADE;
    let ports = Ports {
        allocation,
        overload: false,
        ..base.ports
    };
    Bench::with(Config {
        mapping,
        ports,
        ..base
    })
}

#[test]
fn req_1_endpoint_independent_mapping_is_one_for_all_destinations() {
    for allocation in [
        Allocation::Preserve,
        Allocation::Random,
        Allocation::Sequential { step: 1 },
    ] {
        let mut bench = mapped(Mapping::Independent, allocation);
        let outer = bench.out(A, S, syn(OURS));
        assert_eq!(bench.out(A, B, syn(OURS)), outer);
        assert_eq!(bench.out(A, B_OTHER, syn(OURS)), outer);
        assert_eq!(outer.ip().to_string(), OUTER);
    }
}

#[test]
fn address_dependent_mapping_is_one_for_each_address() {
    let mut bench = mapped(Mapping::AddressDependent, Allocation::Random);
    let to_b = bench.out(A, B, syn(OURS));
    assert_eq!(bench.out(A, B_OTHER, syn(OURS)), to_b);
    assert_ne!(bench.out(A, S, syn(OURS)), to_b);
}

#[test]
fn symmetric_mapping_is_another_for_each_endpoint() {
    let mut bench = mapped(Mapping::AddressAndPortDependent, Allocation::Random);
    let to_b = bench.out(A, B, syn(OURS));
    assert_ne!(bench.out(A, B_OTHER, syn(OURS)), to_b);
    // The same connection keeps its own.
    assert_eq!(bench.out(A, B, syn(OURS)), to_b);
}

#[test]
fn sequential_ports_rise_by_the_step_and_reach_every_port() {
    for step in [1, 2, 256] {
        let mut bench = mapped(
            Mapping::AddressAndPortDependent,
            Allocation::Sequential { step },
        );
        let ports: Vec<u16> = (0..4u16)
            .map(|n| {
                bench
                    .out(A, &format!("203.0.113.1:{}", 6_000 + n), syn(OURS))
                    .port()
            })
            .collect();
        assert!(
            ports.windows(2).all(|two| two[1] - two[0] == step),
            "{ports:?}"
        );
    }
    let mut bench = Bench::named("symmetric-256");
    let ports: std::collections::BTreeSet<u16> = (0..7_900u16)
        .map(|n| {
            bench
                .out(A, &format!("203.0.113.1:{}", 6_000 + n), syn(OURS))
                .port()
        })
        .collect();
    assert_eq!(ports.len(), 7_900);
}

#[test]
fn other_hosts_connections_move_a_sequential_nat_on() {
    let mut bench = Bench::named("symmetric-seq");
    let first = bench.out(A, S, syn(OURS)).port();
    bench.out(A2, S, syn(OURS));
    bench.out(A2, B, syn(OURS));
    assert_eq!(bench.out(A, B, syn(OURS)).port(), first + 3);
}

#[test]
fn ports_are_preserved_unless_taken() {
    let mut bench = mapped(Mapping::Independent, Allocation::Preserve);
    assert_eq!(bench.out(A, S, syn(OURS)).port(), 5_000);
    let second = bench.out(A2, B, syn(OURS)).port();
    assert_ne!(second, 5_000);
    // Endpoint-independent also for the one that came second.
    assert_eq!(bench.out(A2, S, syn(OURS)).port(), second);
}

#[test]
fn masquerade_overloads_a_port_as_long_as_destinations_differ() {
    let mut bench = Bench::named("drop");
    assert_eq!(bench.out(A, S, syn(OURS)).port(), 5_000);
    assert_eq!(bench.out(A2, B, syn(OURS)).port(), 5_000);
    // Its own mapping would be ambiguous there.
    assert_ne!(bench.out(A2, S, syn(OURS)).port(), 5_000);
}

#[test]
fn a_port_range_keeps_what_is_in_it_and_moves_what_is_not() {
    let mut bench = Bench::named("eim-range");
    let moved = bench.out(A, S, syn(OURS)).port();
    assert!((40_000..=59_999).contains(&moved), "{moved}");
    assert_eq!(bench.out("192.168.1.10:41234", S, syn(OURS)).port(), 41_234);
    assert_eq!(bench.out(A, B, syn(OURS)).port(), moved);
}

#[test]
fn random_ports_come_from_the_seed() {
    let run = || {
        let mut bench = Bench::named("symmetric");
        [S, B, B_OTHER].map(|to| bench.out(A, to, syn(OURS)).port())
    };
    let ports = run();
    assert_eq!(ports, run());
    assert!(ports[0] != ports[1] && ports[1] != ports[2]);
}

#[test]
fn a_mapping_goes_with_its_last_entry_where_the_nat_chooses_the_port() {
    // NAT-FACTS, trap 10: keep the link to the server open while punching.
    let ports = Ports {
        allocation: Allocation::Random,
        ..Config::MASQUERADE.ports
    };
    let config = Config {
        ports,
        ..Config::MASQUERADE
    };
    let mut bench = Bench::with(config);
    let first = bench.out(A, S, syn(OURS));
    bench.wait(119 * SECOND);
    assert_eq!(bench.out(A, B, syn(OURS)), first);
    bench.wait(2 * SECOND);
    // That to S is gone; that to B still holds the mapping.
    assert_eq!(bench.out(A, B_OTHER, syn(OURS)), first);
    bench.wait(200 * SECOND);
    assert_ne!(bench.out(A, S, syn(OURS)), first);

    let timeouts = Timeouts {
        mapping: 300 * SECOND,
        ..config.timeouts
    };
    let mut bench = Bench::with(Config { timeouts, ..config });
    let first = bench.out(A, S, syn(OURS));
    bench.wait(299 * SECOND);
    assert_eq!(
        bench.nat.connections(),
        1,
        "it is swept when the next packet comes"
    );
    assert_eq!(bench.out(A, B, syn(OURS)), first);
    assert_eq!(bench.nat.connections(), 1);
    bench.wait(301 * SECOND);
    assert_ne!(bench.out(A, S, syn(OURS)), first);
}

#[test]
fn a_full_table_takes_no_new_connection_and_keeps_the_old_ones() {
    let mut bench = Bench::with(Config {
        most: 2,
        ..Config::MASQUERADE
    });
    bench.out(A, S, syn(OURS));
    bench.out(A, B, syn(OURS));
    assert_eq!(
        bench.send(Side::Inside, A2, at(S), syn(OURS)),
        Verdict::Drop(Reason::TableFull)
    );
    bench.out(A, S, syn(OURS));
    bench.wait(121 * SECOND);
    bench.out(A2, S, syn(OURS));
}

#[test]
fn no_free_port_is_a_reason_of_its_own() {
    let ports = Ports {
        low: 2_000,
        high: 2_001,
        overload: false,
        ..Config::MASQUERADE.ports
    };
    let mut bench = Bench::with(Config {
        mapping: Mapping::AddressAndPortDependent,
        ports,
        ..Config::MASQUERADE
    });
    bench.out(A, S, syn(OURS));
    bench.out(A, B, syn(OURS));
    assert_eq!(
        bench.send(Side::Inside, A, at(B_OTHER), syn(OURS)),
        Verdict::Drop(Reason::NoPort)
    );
}
