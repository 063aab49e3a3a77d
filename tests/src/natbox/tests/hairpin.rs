//! From inside to the own outer address: RFC 4787, REQ-9; RFC 5382, REQ-8.

use super::bench::{A, Bench, OURS, S, Seen, THEIRS, Tcp, ack, at, rst, seen, syn, syn_ack};
use crate::natbox::{Config, Hairpin, Reason, Side, Verdict};

/// The second host has another port than the first, so that both keep theirs.
const A2: &str = "192.168.1.20:5002";
const OUTER_A: &str = "198.51.100.1:5000";
const OUTER_A2: &str = "198.51.100.1:5002";

fn turned(bench: &mut Bench, from: &str, to: &str, tcp: Tcp) -> Seen {
    match bench.send(Side::Inside, from, at(to), tcp) {
        Verdict::Back(packet) => seen(&packet),
        other => panic!("{from} to {to}, {tcp:?}: {other:?}"),
    }
}

fn both_mapped(name: &str) -> Bench {
    let mut bench = Bench::named(name);
    assert_eq!(bench.out(A, S, syn(OURS)), at(OUTER_A));
    assert_eq!(bench.out(A2, S, syn(OURS)), at(OUTER_A2));
    bench
}

#[test]
fn req_8_the_other_host_sees_the_outer_source() {
    let mut bench = both_mapped("hairpin");
    assert_eq!(
        turned(&mut bench, A, OUTER_A2, syn(OURS)),
        Seen::Tcp(at(OUTER_A), at(A2), "SYN")
    );
    assert_eq!(
        turned(
            &mut bench,
            A2,
            OUTER_A,
            syn_ack(THEIRS, OURS.wrapping_add(1))
        ),
        Seen::Tcp(at(OUTER_A2), at(A), "SYN-ACK")
    );
    turned(
        &mut bench,
        A,
        OUTER_A2,
        ack(OURS.wrapping_add(1), THEIRS + 1).bytes(5),
    );
}

#[test]
fn req_8_simultaneous_open_comes_through() {
    let mut bench = both_mapped("hairpin");
    turned(&mut bench, A, OUTER_A2, syn(OURS));
    turned(&mut bench, A2, OUTER_A, syn(THEIRS));
    turned(&mut bench, A, OUTER_A2, syn_ack(OURS, THEIRS + 1));
    turned(
        &mut bench,
        A2,
        OUTER_A,
        syn_ack(THEIRS, OURS.wrapping_add(1)),
    );
    turned(
        &mut bench,
        A,
        OUTER_A2,
        ack(OURS.wrapping_add(1), THEIRS + 1),
    );
    turned(
        &mut bench,
        A2,
        OUTER_A,
        ack(THEIRS + 1, OURS.wrapping_add(1)),
    );
}

#[test]
fn inner_source_leaves_the_source_as_it_is() {
    let mut bench = both_mapped("hairpin-inner");
    assert_eq!(
        turned(&mut bench, A, OUTER_A2, syn(OURS)),
        Seen::Tcp(at(A), at(A2), "SYN")
    );
}

#[test]
fn without_hairpin_linux_refuses_for_itself() {
    let mut bench = both_mapped("drop");
    match bench.send(Side::Inside, A, at(OUTER_A2), syn(OURS)) {
        Verdict::Answer(packet) => {
            assert_eq!(seen(&packet), Seen::Tcp(at(OUTER_A2), at(A), "RST"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        bench.send(Side::Inside, A, at(OUTER_A2), rst(1, None)),
        Verdict::Drop(Reason::Unsolicited)
    );
}

#[test]
fn without_hairpin_others_drop() {
    let mut bench = Bench::with(Config {
        hairpin: Hairpin::Drop,
        ..Config::MASQUERADE
    });
    bench.out(A2, S, syn(OURS));
    assert_eq!(
        bench.send(Side::Inside, A, at(OUTER_A2), syn(OURS)),
        Verdict::Drop(Reason::Unsolicited)
    );
}

#[test]
fn a_port_that_nobody_has_is_not_turned_around() {
    let mut bench = both_mapped("hairpin");
    let judged = bench.send(Side::Inside, A, at("198.51.100.1:9"), syn(OURS));
    assert!(matches!(judged, Verdict::Answer(_)), "{judged:?}");
    assert_eq!(bench.nat.connections(), 2);
}

#[test]
fn what_tracking_refuses_is_not_turned_around() {
    let mut bench = both_mapped("hairpin");
    assert_eq!(
        bench.send(Side::Inside, A, at(OUTER_A2), syn_ack(OURS, 1)),
        Verdict::Drop(Reason::Invalid)
    );
}
