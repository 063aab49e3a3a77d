//! Filtering: RFC 4787, section 5; RFC 5382, REQ-3.

use super::bench::{A, A2, B, Bench, OURS, S, SECOND, THEIRS, ack, at, rst, syn, syn_ack};
use crate::natbox::{Config, Filtering, Mapping, Reason};

const B_OTHER: &str = "203.0.113.1:6001";

#[test]
fn full_cone_lets_everybody_in_at_a_mapped_port() {
    let mut bench = Bench::named("full-cone");
    let outer = bench.out(A, S, syn(OURS));
    assert_eq!(bench.enters(B, outer, syn(THEIRS)), at(A));
    // And the answer goes out by the same endpoint.
    assert_eq!(bench.out(A, B, syn_ack(OURS, THEIRS + 1)), outer);
    bench.enters(B, outer, ack(THEIRS + 1, OURS.wrapping_add(1)));
}

#[test]
fn full_cone_keeps_everybody_out_at_other_ports() {
    let mut bench = Bench::named("full-cone");
    bench.out(A, S, syn(OURS));
    let other = at("198.51.100.1:5001");
    assert_eq!(
        bench.kept_out(B, other, syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
}

#[test]
fn full_cone_stays_open_for_a_while_after_the_last_outbound_packet() {
    let mut bench = Bench::named("full-cone");
    let outer = bench.out(A, S, syn(OURS));
    bench.wait(299 * SECOND);
    bench.enters(B, outer, syn(THEIRS));
    bench.wait(130 * SECOND);
    assert_eq!(
        bench.kept_out(B, outer, syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
}

#[test]
fn address_restricted_lets_every_port_of_a_contacted_address_in() {
    let mut bench = Bench::named("address-restricted");
    let outer = bench.out(A, B, syn(OURS));
    assert_eq!(bench.enters(B_OTHER, outer, syn(THEIRS)), at(A));
    assert_eq!(
        bench.kept_out(S, outer, syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
}

#[test]
fn address_restricted_counts_contacts_for_each_mapping() {
    let mut bench = Bench::named("address-restricted");
    bench.out(A, B, syn(OURS));
    let of_other = bench.out("192.168.1.10:5001", S, syn(OURS));
    assert_eq!(
        bench.kept_out(B, of_other, syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
}

#[test]
fn a_refusal_leaves_an_address_restricted_hole_open_but_not_a_port_restricted_one() {
    for (name, open) in [("address-restricted", true), ("drop", false)] {
        let mut bench = Bench::named(name);
        let outer = bench.out(A, B, syn(OURS));
        bench.enters(B, outer, rst(0, Some(OURS.wrapping_add(1))));
        if open {
            bench.enters(B, outer, syn(THEIRS));
        } else {
            assert_eq!(
                bench.kept_out(B, outer, syn(THEIRS)),
                Err(Reason::Unsolicited)
            );
        }
    }
}

#[test]
fn port_restricted_lets_only_the_contacted_endpoint_in() {
    let mut bench = Bench::named("drop");
    let outer = bench.out(A, B, syn(OURS));
    assert_eq!(
        bench.kept_out(B_OTHER, outer, syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
    assert_eq!(bench.enters(B, outer, syn(THEIRS)), at(A));
}

#[test]
fn an_overloaded_open_port_leads_to_the_last_one_that_sent() {
    let mut bench = Bench::named("full-cone");
    let outer = bench.out(A, S, syn(OURS));
    let again = bench.out(A2, B, syn(OURS));
    assert_eq!(outer, again);
    assert_eq!(bench.enters("203.0.113.9:9", outer, syn(THEIRS)), at(A2));
}

#[test]
fn filter_and_mapping_are_independent() {
    let mut bench = Bench::with(Config {
        mapping: Mapping::AddressAndPortDependent,
        filtering: Filtering::Open,
        ..Config::MASQUERADE
    });
    let outer = bench.out(A, S, syn(OURS));
    assert_eq!(bench.enters(B, outer, syn(THEIRS)), at(A));
    assert_eq!(bench.out(A, B, syn_ack(OURS, THEIRS + 1)), outer);
}

#[test]
fn what_belongs_to_nothing_is_not_let_in_even_by_a_full_cone() {
    let mut bench = Bench::named("full-cone");
    let outer = bench.out(A, S, syn(OURS));
    for tcp in [syn_ack(THEIRS, 1), rst(THEIRS, None)] {
        assert_eq!(bench.kept_out(B, outer, tcp), Err(Reason::Unsolicited));
    }
}

#[test]
fn strict_lets_no_syn_in_but_answers_to_its_own() {
    // NAT-FACTS: strict on one side works if the other end's SYN-ACK is the answer; on both sides nothing does.
    let mut bench = Bench::named("strict");
    let outer = bench.out(A, B, syn(OURS));
    assert_eq!(
        bench.kept_out(B, outer, syn(THEIRS)),
        Err(Reason::StrictSyn)
    );
    bench.enters(B, outer, syn_ack(THEIRS, OURS.wrapping_add(1)));
    bench.out(A, B, ack(OURS.wrapping_add(1), THEIRS + 1));
}

#[test]
fn strict_and_open_makes_no_entry_for_a_syn() {
    let mut bench = Bench::with(Config {
        strict_syn: true,
        filtering: Filtering::Open,
        ..Config::MASQUERADE
    });
    let outer = bench.out(A, S, syn(OURS));
    assert_eq!(
        bench.kept_out(B, outer, syn(THEIRS)),
        Err(Reason::StrictSyn)
    );
    assert_eq!(bench.nat.connections(), 1);
}
