//! Boxes that follow less: no sequence numbers, or no connections at all.

use super::bench::{A, B, Bench, OURS, S, SECOND, THEIRS, ack, fin, rst, syn, syn_ack};
use crate::natbox::Reason;

const OTHER: u32 = 0x4000_0000;

#[test]
fn a_liberal_box_lets_another_socket_answer() {
    // The seed's steps as written (STUNT #2, "dial, give up, listen") work here, and not on Linux.
    let mut bench = Bench::named("liberal");
    let outer = bench.out(A, B, syn(OURS));
    bench.enters(B, outer, syn(THEIRS));
    bench.out(A, B, syn_ack(OTHER, THEIRS + 1));
    bench.enters(B, outer, ack(THEIRS + 1, OTHER + 1));
}

#[test]
fn a_liberal_box_deletes_an_entry_by_rst() {
    let mut bench = Bench::named("liberal");
    let outer = bench.out(A, B, syn(OURS));
    bench.enters(B, outer, syn(THEIRS));
    bench.enters(B, outer, rst(12_345, None));
    assert_eq!(
        bench.kept_out(B, outer, syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
}

#[test]
fn a_liberal_box_forgets_a_dial_sooner_than_a_stream() {
    let mut bench = Bench::named("liberal");
    let outer = bench.connect(A, S);
    bench.wait(3_600 * SECOND);
    bench.enters(S, outer, ack(THEIRS + 1, OURS.wrapping_add(1)));
    let outer = bench.out(A, B, syn(OURS));
    bench.wait(121 * SECOND);
    assert_eq!(
        bench.kept_out(B, outer, syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
}

#[test]
fn a_liberal_box_begins_anew_after_a_fin() {
    let mut bench = Bench::named("liberal");
    let outer = bench.connect(A, S);
    bench.out(A, S, fin(OURS.wrapping_add(1), THEIRS + 1));
    assert_eq!(bench.out(A, S, syn(OTHER)), outer);
    bench.wait(121 * SECOND);
    assert_eq!(bench.nat.connections(), 1);
    assert_eq!(
        bench.kept_out(S, outer, ack(1, 1)),
        Err(Reason::Unsolicited)
    );
}

#[test]
fn a_stateless_box_lets_crafted_syn_acks_out() {
    // NATBlaster: 4 of 4 on a stateless NAT, 0 on Linux (NAT-FACTS, section 2).
    let mut bench = Bench::named("stateless");
    let outer = bench.out(A, B, syn(OURS));
    assert_eq!(bench.out(A, B, syn_ack(OTHER, THEIRS + 1)), outer);
    bench.enters(B, outer, syn_ack(THEIRS, OTHER + 1));

    let mut bench = Bench::named("drop");
    bench.out(A, B, syn(OURS));
    bench.leaks(A, B, syn_ack(OTHER, THEIRS + 1));
}

#[test]
fn a_stateless_hole_survives_a_rst_and_lives_by_what_goes_out() {
    let mut bench = Bench::named("stateless");
    let outer = bench.out(A, B, syn(OURS));
    bench.enters(B, outer, rst(0, Some(OURS.wrapping_add(1))));
    bench.wait(100 * SECOND);
    bench.enters(B, outer, syn(THEIRS));
    bench.wait(21 * SECOND);
    assert_eq!(
        bench.kept_out(B, outer, syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
    bench.out(A, B, ack(1, 1));
    bench.enters(B, outer, syn(THEIRS));
}
