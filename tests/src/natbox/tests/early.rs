//! The answer to what is not let in: NAT-FACTS, trap 4; RFC 5382, REQ-4.

use super::bench::{
    A, B, Bench, OURS, OUTER, SECOND, Seen, THEIRS, ack, at, ip, rst, seen, syn, syn_ack,
};
use crate::natbox::{Reason, Side};

const MAPPED: &str = "198.51.100.1:5000";

#[test]
fn drop_is_silence() {
    let mut bench = Bench::named("drop");
    assert_eq!(
        bench.kept_out(B, at(MAPPED), syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
}

#[test]
fn rst_acknowledges_the_syn_from_the_endpoint_that_it_was_sent_to() {
    let mut bench = Bench::named("rst");
    let answer = bench.kept_out(B, at(MAPPED), syn(THEIRS));
    assert_eq!(answer, Ok(Seen::Tcp(at(MAPPED), at(B), "RST")));
    let judged = bench.send(Side::Outside, B, at(MAPPED), syn(THEIRS));
    let (_, packet) = judged.emitted(Side::Outside).unwrap();
    assert_eq!(&packet[24..32], [0, 0, 0, 0, 0, 0, 0x03, 0xe9]);
}

#[test]
fn rst_answers_everything_but_rst() {
    let mut bench = Bench::named("rst");
    for tcp in [syn_ack(THEIRS, 7), ack(THEIRS, 7)] {
        assert_eq!(
            bench.kept_out(B, at(MAPPED), tcp),
            Ok(Seen::Tcp(at(MAPPED), at(B), "RST"))
        );
    }
    assert_eq!(
        bench.kept_out(B, at(MAPPED), rst(THEIRS, None)),
        Err(Reason::Unsolicited)
    );
}

#[test]
fn icmp_quotes_the_syn_from_the_outer_address() {
    for (name, code) in [("icmp", 3), ("icmp-admin", 13)] {
        let mut bench = Bench::named(name);
        assert_eq!(
            bench.kept_out(B, at(MAPPED), syn(THEIRS)),
            Ok(Seen::Icmp(
                ip(OUTER),
                at(B).ip(),
                (3, code),
                (at(B), at(MAPPED))
            ))
        );
    }
}

#[test]
fn an_unsolicited_syn_leaves_no_entry() {
    for name in ["drop", "rst", "icmp", "hold"] {
        let mut bench = Bench::named(name);
        let _ = bench.kept_out(B, at(MAPPED), syn(THEIRS));
        assert_eq!(bench.nat.connections(), 0, "{name}");
        // The own dial after it is a first SYN like any other.
        assert_eq!(bench.out(A, B, syn(OURS)), at(MAPPED));
        bench.enters(B, at(MAPPED), syn(THEIRS));
    }
}

#[test]
fn a_low_ttl_syn_that_ends_at_the_nat_is_answered_all_the_same() {
    // What is for the NAT itself is not forwarded, so no hop limit ends there.
    let mut bench = Bench::named("rst");
    let answer = bench.kept_out(B, at(MAPPED), syn(THEIRS).hops(1));
    assert_eq!(answer, Ok(Seen::Tcp(at(MAPPED), at(B), "RST")));
}

#[test]
fn req_4_an_unsolicited_syn_is_held_for_six_seconds() {
    let mut bench = Bench::named("hold");
    assert_eq!(
        bench.kept_out(B, at(MAPPED), syn(THEIRS)),
        Err(Reason::Held)
    );
    assert_eq!(bench.nat.poll_timeout(), Some(bench.now.after(6 * SECOND)));
    bench.wait(5 * SECOND);
    // A retransmission is not another one.
    assert_eq!(
        bench.kept_out(B, at(MAPPED), syn(THEIRS)),
        Err(Reason::Held)
    );
    assert_eq!(bench.nat.handle_timeout(bench.now), None);
    bench.wait(SECOND);
    let answer = bench.nat.handle_timeout(bench.now).unwrap();
    assert_eq!(
        seen(&answer),
        Seen::Icmp(ip(OUTER), at(B).ip(), (3, 3), (at(B), at(MAPPED)))
    );
    assert_eq!(bench.nat.handle_timeout(bench.now), None);
    assert_eq!(bench.nat.poll_timeout(), None);
}

#[test]
fn req_4_a_held_syn_is_dropped_in_silence_when_the_own_syn_goes_out() {
    let mut bench = Bench::named("hold");
    assert_eq!(
        bench.kept_out(B, at(MAPPED), syn(THEIRS)),
        Err(Reason::Held)
    );
    bench.wait(SECOND);
    bench.out(A, B, syn(OURS));
    assert_eq!(bench.nat.poll_timeout(), None);
    bench.wait(6 * SECOND);
    assert_eq!(bench.nat.handle_timeout(bench.now), None);
}

#[test]
fn only_syns_are_held() {
    let mut bench = Bench::named("hold");
    assert_eq!(
        bench.kept_out(B, at(MAPPED), ack(1, 1)),
        Err(Reason::Unsolicited)
    );
    assert_eq!(bench.nat.poll_timeout(), None);
}
