//! How connections open through strict tracking: RFC 5382, REQ-2; NAT-FACTS, section 1.

use super::bench::{A, B, Bench, OURS, S, SECOND, Seen, THEIRS, ack, at, fin, rst, syn, syn_ack};
use crate::natbox::{Config, Invalid, Reason, Side, Tracking, Verdict};

const NEXT: u32 = OURS.wrapping_add(1);
const THEIR_NEXT: u32 = THEIRS + 1;
/// Another socket's first sequence number.
const OTHER: u32 = 0x4000_0000;

#[test]
fn a_connection_opens_carries_data_and_closes() {
    let mut bench = Bench::named("drop");
    let outer = bench.connect(A, S);
    let sent = NEXT.wrapping_add(1_000);
    bench.out(A, S, ack(NEXT, THEIR_NEXT).bytes(1_000));
    bench.enters(S, outer, ack(THEIR_NEXT, sent).bytes(500));
    bench.out(A, S, fin(sent, THEIR_NEXT + 500));
    bench.enters(S, outer, fin(THEIR_NEXT + 500, sent.wrapping_add(1)));
    bench.out(A, S, ack(sent.wrapping_add(1), THEIR_NEXT + 501));
}

#[test]
fn req_2_simultaneous_open_passes() {
    let mut bench = Bench::named("drop");
    let outer = bench.out(A, B, syn(OURS));
    bench.enters(B, outer, syn(THEIRS));
    bench.out(A, B, syn_ack(OURS, THEIR_NEXT));
    bench.enters(B, outer, syn_ack(THEIRS, NEXT));
    bench.out(A, B, ack(NEXT, THEIR_NEXT).bytes(100));
    bench.enters(B, outer, ack(THEIR_NEXT, NEXT.wrapping_add(100)).bytes(100));
    bench.out(A, B, ack(NEXT.wrapping_add(100), THEIR_NEXT + 100));
}

#[test]
fn req_2_simultaneous_open_passes_whichever_syn_ack_is_first() {
    let mut bench = Bench::named("drop");
    let outer = bench.out(A, B, syn(OURS));
    bench.enters(B, outer, syn(THEIRS));
    bench.enters(B, outer, syn_ack(THEIRS, NEXT));
    bench.out(A, B, syn_ack(OURS, THEIR_NEXT));
    bench.out(A, B, ack(NEXT, THEIR_NEXT));
    bench.enters(B, outer, ack(THEIR_NEXT, NEXT));
}

#[test]
fn trap_1_after_the_peers_syn_only_the_first_dial_goes_on() {
    let mut bench = Bench::named("drop");
    let outer = bench.out(A, B, syn(OURS));
    bench.enters(B, outer, syn(THEIRS));
    // The dial was closed: a listener answers, or another dial begins.
    bench.leaks(A, B, syn_ack(OTHER, THEIR_NEXT));
    bench.leaks(A, B, syn(OTHER));
    // The first one still could.
    bench.out(A, B, syn(OURS));
    bench.out(A, B, syn_ack(OURS, THEIR_NEXT));
}

#[test]
fn trap_1_the_entry_lives_120_s_and_every_retransmission_renews_it() {
    let mut bench = Bench::named("drop");
    let outer = bench.out(A, B, syn(OURS));
    bench.enters(B, outer, syn(THEIRS));
    for _ in 0..4 {
        bench.wait(100 * SECOND);
        bench.enters(B, outer, syn(THEIRS));
        bench.leaks(A, B, syn_ack(OTHER, THEIR_NEXT));
    }
    bench.wait(121 * SECOND);
    assert_eq!(
        bench.kept_out(B, outer, syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
    bench.out(A, B, syn(OTHER));
}

#[test]
fn a_dial_without_an_answer_is_replaced_by_the_next_one() {
    let mut bench = Bench::named("drop");
    let outer = bench.out(A, B, syn(OURS));
    bench.out(A, B, syn(OTHER));
    bench.enters(B, outer, syn_ack(THEIRS, OTHER + 1));
}

#[test]
fn a_dial_without_an_answer_does_not_keep_its_entry_by_retransmitting() {
    let mut bench = Bench::named("drop");
    let outer = bench.out(A, B, syn(OURS));
    bench.wait(60 * SECOND);
    bench.out(A, B, syn(OURS));
    bench.wait(61 * SECOND);
    assert_eq!(
        bench.kept_out(B, outer, syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
}

#[test]
fn trap_1_an_answer_of_another_socket_does_not_leave_by_a_mapping() {
    // No entry at all: a SYN-ACK makes none.
    let mut bench = Bench::named("drop");
    bench.leaks(A, B, syn_ack(OURS, THEIR_NEXT));
    assert_eq!(bench.nat.connections(), 0);
}

#[test]
fn invalid_segments_can_be_dropped_instead_of_leaking() {
    let mut bench = Bench::with(Config {
        invalid: Invalid::Drop,
        ..Config::MASQUERADE
    });
    assert_eq!(
        bench.send(Side::Inside, A, at(B), syn_ack(OURS, THEIR_NEXT)),
        Verdict::Drop(Reason::Invalid)
    );
}

#[test]
fn trap_4_a_rst_as_first_answer_deletes_the_entry() {
    let mut bench = Bench::named("rst");
    let outer = bench.out(A, B, syn(OURS));
    bench.enters(B, outer, rst(0, Some(NEXT)));
    assert_eq!(bench.nat.connections(), 0);
    // So that the peer's dial, on its way already, is refused too.
    assert_eq!(
        bench.kept_out(B, outer, syn(THEIRS)),
        Ok(Seen::Tcp(outer, at(B), "RST"))
    );
    // And the next dial begins anew.
    bench.out(A, B, syn(OTHER));
    bench.enters(B, outer, syn(THEIRS));
}

#[test]
fn a_rst_after_the_peers_syn_closes_the_entry_for_ten_seconds() {
    let mut bench = Bench::named("drop");
    let outer = bench.out(A, B, syn(OURS));
    bench.enters(B, outer, syn(THEIRS));
    bench.enters(B, outer, rst(THEIR_NEXT, Some(NEXT)));
    assert_eq!(
        bench.kept_out(B, outer, syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
    bench.wait(11 * SECOND);
    bench.out(A, B, syn(OTHER));
    bench.enters(B, outer, syn(THEIRS));
}

#[test]
fn a_blind_rst_is_invalid() {
    let mut bench = Bench::named("drop");
    let outer = bench.connect(A, S);
    assert_eq!(
        bench.kept_out(S, outer, rst(THEIRS.wrapping_sub(500_000), None)),
        Err(Reason::Unsolicited)
    );
    bench.out(A, S, ack(NEXT, THEIR_NEXT).bytes(10));
}

#[test]
fn a_new_syn_after_both_fins_begins_a_new_connection() {
    let mut bench = Bench::named("drop");
    let outer = bench.connect(A, S);
    bench.out(A, S, fin(NEXT, THEIR_NEXT));
    bench.enters(S, outer, fin(THEIR_NEXT, NEXT.wrapping_add(1)));
    bench.out(A, S, ack(NEXT.wrapping_add(1), THEIR_NEXT + 1));
    assert_eq!(bench.out(A, S, syn(OTHER)), outer);
    bench.enters(S, outer, syn_ack(THEIRS, OTHER + 1));
}

#[test]
fn a_new_syn_in_an_open_connection_is_believed_when_it_is_answered() {
    // The host rebooted: it is right, and the box is not.
    let mut bench = Bench::named("drop");
    let outer = bench.connect(A, S);
    bench.out(A, S, syn(OTHER));
    bench.enters(S, outer, syn_ack(77_000, OTHER + 1));
    bench.out(A, S, ack(OTHER + 1, 77_001).bytes(10));
    bench.enters(S, outer, ack(77_001, OTHER + 11));
}

#[test]
fn segments_far_outside_of_the_window_do_not_pass() {
    let mut bench = Bench::named("drop");
    let outer = bench.connect(A, S);
    bench.leaks(
        A,
        S,
        ack(NEXT.wrapping_add(0x2000_0000), THEIR_NEXT).bytes(10),
    );
    let early = ack(THEIR_NEXT, NEXT.wrapping_add(5_000));
    assert_eq!(bench.kept_out(S, outer, early), Err(Reason::Unsolicited));
}

#[test]
fn a_window_full_of_data_passes_in_both_directions() {
    let mut bench = Bench::named("drop");
    let outer = bench.connect(A, S);
    // Sixteen megabytes each way, crossing the end of the sequence space, and up to the scaled window ahead.
    let (mut ours, mut theirs) = (NEXT, THEIR_NEXT);
    for _ in 0..4 {
        let (acked_ours, acked_theirs) = (ours, theirs);
        for _ in 0..2_900 {
            bench.out(A, S, ack(ours, acked_theirs).bytes(1_400));
            bench.enters(S, outer, ack(theirs, acked_ours).bytes(1_400));
            ours = ours.wrapping_add(1_400);
            theirs = theirs.wrapping_add(1_400);
        }
        bench.out(A, S, ack(ours, theirs));
        bench.enters(S, outer, ack(theirs, ours));
    }
}

#[test]
fn loose_tracking_picks_a_connection_up_in_the_middle() {
    let mut bench = Bench::named("drop");
    let outer = bench.connect(A, S);
    bench.nat.forget();
    assert_eq!(
        bench.kept_out(S, outer, ack(THEIR_NEXT, NEXT)),
        Err(Reason::Unsolicited)
    );
    assert_eq!(bench.out(A, S, ack(NEXT, THEIR_NEXT).bytes(10)), outer);
    bench.enters(S, outer, ack(THEIR_NEXT, NEXT.wrapping_add(10)));

    let mut bench = Bench::with(Config {
        tracking: Tracking::Strict { loose: false },
        ..Config::MASQUERADE
    });
    bench.connect(A, S);
    bench.nat.forget();
    bench.leaks(A, S, ack(NEXT, THEIR_NEXT).bytes(10));
}
