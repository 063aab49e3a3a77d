//! ICMP errors: RFC 5382, REQ-9 and REQ-10; and those that the box sends for an ended hop limit.

use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, IpProtocol, IpRepr};

use super::bench::{A, B, Bench, INNER, OURS, OUTER, S, Seen, THEIRS, at, ip, seen, syn, syn_ack};
use crate::natbox::{Reason, Side, Verdict};

/// What a router says about a packet, quoting that many bytes of it.
fn error(
    router: &str,
    to: &str,
    (kind, code): (Icmpv4Message, u8),
    about: &[u8],
    bytes: usize,
) -> Vec<u8> {
    let quote = &about[..about.len().min(bytes)];
    let header = IpRepr::new(
        ip(router).into(),
        ip(to).into(),
        IpProtocol::Icmp,
        8 + quote.len(),
        60,
    );
    let mut packet = vec![0; header.buffer_len()];
    header.emit(&mut packet[..], &Default::default());
    let mut icmp = Icmpv4Packet::new_unchecked(&mut packet[20..]);
    icmp.set_msg_type(kind);
    icmp.set_msg_code(code);
    icmp.into_inner()[8..].copy_from_slice(quote);
    Icmpv4Packet::new_unchecked(&mut packet[20..]).fill_checksum();
    packet
}

const UNREACHABLE: (Icmpv4Message, u8) = (Icmpv4Message::DstUnreachable, 3);
const TIME: (Icmpv4Message, u8) = (Icmpv4Message::TimeExceeded, 0);

fn left(bench: &mut Bench, tcp: &[u8]) -> Vec<u8> {
    let judged = bench.judge(Side::Inside, tcp);
    judged.emitted(Side::Inside).unwrap().1
}

#[test]
fn req_9_an_error_about_a_segment_is_translated_inside_and_outside() {
    for bytes in [28, 36, 40, 576] {
        let mut bench = Bench::named("drop");
        let sent = left(&mut bench, &syn(OURS).packet(at(A), at(B)));
        let message = error("203.0.113.99", OUTER, UNREACHABLE, &sent, bytes);
        let Verdict::Forward(packet) = bench.judge(Side::Outside, &message) else {
            panic!("{bytes} bytes quoted");
        };
        assert_eq!(
            seen(&packet),
            Seen::Icmp(ip("203.0.113.99"), at(A).ip(), (3, 3), (at(A), at(B)))
        );
    }
}

#[test]
fn req_10_errors_delete_nothing() {
    for kind in [UNREACHABLE, TIME, (Icmpv4Message::DstUnreachable, 13)] {
        let mut bench = Bench::named("drop");
        let sent = left(&mut bench, &syn(OURS).packet(at(A), at(B)));
        let message = error("203.0.113.99", OUTER, kind, &sent, 576);
        assert!(matches!(
            bench.judge(Side::Outside, &message),
            Verdict::Forward(_)
        ));
        // The hole is still open.
        bench.enters(B, at("198.51.100.1:5000"), syn(THEIRS));
    }
}

#[test]
fn an_error_from_inside_leaves_in_the_name_of_the_box() {
    let mut bench = Bench::named("drop");
    let outer = bench.out(A, B, syn(OURS));
    let reply = syn_ack(THEIRS, OURS.wrapping_add(1)).packet(at(B), outer);
    let Verdict::Forward(delivered) = bench.judge(Side::Outside, &reply) else {
        panic!("the answer does not get in");
    };
    let message = error("192.168.1.10", "203.0.113.1", UNREACHABLE, &delivered, 576);
    let Verdict::Forward(packet) = bench.judge(Side::Inside, &message) else {
        panic!("the error does not get out");
    };
    assert_eq!(
        seen(&packet),
        Seen::Icmp(ip(OUTER), at(B).ip(), (3, 3), (at(B), outer))
    );
}

#[test]
fn an_error_about_nothing_known_is_dropped() {
    let mut bench = Bench::named("full-cone");
    let sent = left(&mut bench, &syn(OURS).packet(at(A), at(S)));
    let mut other = Bench::named("full-cone");
    let message = error("203.0.113.99", OUTER, UNREACHABLE, &sent, 576);
    assert_eq!(
        other.judge(Side::Outside, &message),
        Verdict::Drop(Reason::Unrelated)
    );
}

#[test]
fn a_damaged_error_is_dropped() {
    let mut bench = Bench::named("drop");
    let sent = left(&mut bench, &syn(OURS).packet(at(A), at(B)));
    let mut message = error("203.0.113.99", OUTER, UNREACHABLE, &sent, 576);
    message[30] ^= 1;
    assert_eq!(
        bench.judge(Side::Outside, &message),
        Verdict::Drop(Reason::Malformed)
    );
}

#[test]
fn a_hop_limit_that_ends_inside_leaves_no_entry() {
    // NAT-FACTS: TTL 1 makes no mapping; the packet that leaves does.
    let mut bench = Bench::named("drop");
    match bench.send(Side::Inside, A, at(B), syn(OURS).hops(1)) {
        Verdict::Answer(packet) => assert_eq!(
            seen(&packet),
            Seen::Icmp(ip(INNER), at(A).ip(), (11, 0), (at(A), at(B)))
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.nat.connections(), 0);
    bench.out(A, B, syn(OURS).hops(2));
    assert_eq!(bench.nat.connections(), 1);
}

#[test]
fn a_hop_limit_that_ends_on_the_way_in_is_told_outside() {
    let mut bench = Bench::named("drop");
    let outer = bench.out(A, B, syn(OURS));
    let answer = bench.kept_out(B, outer, syn(THEIRS).hops(1));
    assert_eq!(
        answer,
        Ok(Seen::Icmp(ip(OUTER), at(B).ip(), (11, 0), (at(B), outer)))
    );
}

#[test]
fn an_error_whose_own_hop_limit_ends_is_not_answered() {
    let mut bench = Bench::named("drop");
    let sent = left(&mut bench, &syn(OURS).packet(at(A), at(B)));
    let mut message = error("203.0.113.99", OUTER, TIME, &sent, 576);
    crate::natbox::wire::set_hop_limit(&mut message, 1);
    assert_eq!(
        bench.judge(Side::Outside, &message),
        Verdict::Drop(Reason::HopLimit)
    );
}

#[test]
fn every_hop_counts_down_by_one() {
    let mut bench = Bench::named("drop");
    let sent = left(&mut bench, &syn(OURS).hops(9).packet(at(A), at(B)));
    assert_eq!(sent[8], 8);
}
