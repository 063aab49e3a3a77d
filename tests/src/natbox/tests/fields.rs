//! What is not TCP, damaged, or in pieces; and that damage is passed on, not repaired.

use smoltcp::wire::Ipv4Packet;

use super::bench::{A, A6, B, B6, Bench, OURS, at, seen, syn};
use crate::natbox::{Reason, Side, Verdict};

#[test]
fn other_protocols_and_fragments_are_dropped() {
    let mut bench = Bench::named("drop");
    let whole = syn(OURS).packet(at(A), at(B));
    let mut udp = whole.clone();
    udp[9] = 17;
    Ipv4Packet::new_unchecked(&mut udp[..]).fill_checksum();
    assert_eq!(
        bench.judge(Side::Inside, &udp),
        Verdict::Drop(Reason::OtherProtocol)
    );
    let mut fragment = whole.clone();
    fragment[6] = 0x20;
    Ipv4Packet::new_unchecked(&mut fragment[..]).fill_checksum();
    assert_eq!(
        bench.judge(Side::Inside, &fragment),
        Verdict::Drop(Reason::Fragment)
    );
    let mut fragment = syn(OURS).packet(at(A6), at(B6));
    fragment[6] = 44;
    assert_eq!(
        bench.judge(Side::Inside, &fragment),
        Verdict::Drop(Reason::Fragment)
    );
}

#[test]
fn no_prefix_of_a_packet_does_harm() {
    for packet in [
        syn(OURS).packet(at(A), at(B)),
        syn(OURS).packet(at(A6), at(B6)),
    ] {
        for length in 0..packet.len() {
            let mut bench = Bench::named("drop");
            assert_eq!(
                bench.judge(Side::Inside, &packet[..length]),
                Verdict::Drop(Reason::Malformed)
            );
        }
    }
}

#[test]
fn no_changed_byte_does_harm() {
    for (name, side) in [
        ("drop", Side::Inside),
        ("icmp", Side::Outside),
        ("rst", Side::Outside),
    ] {
        let (from, to) = match side {
            Side::Inside => (A, at(B)),
            Side::Outside => (B, at("198.51.100.1:5000")),
        };
        let packet = syn(OURS).packet(at(from), to);
        for place in 0..packet.len() {
            for bit in 0..8 {
                let mut changed = packet.clone();
                changed[place] ^= 1 << bit;
                let mut header = Ipv4Packet::new_unchecked(&mut changed[..]);
                if usize::from(header.header_len()) <= packet.len() {
                    header.fill_checksum();
                }
                let _ = Bench::named(name).judge(side, &changed);
            }
        }
    }
}

#[test]
fn a_damaged_header_is_dropped() {
    let mut packet = syn(OURS).packet(at(A), at(B));
    packet[8] = 63;
    let judged = Bench::named("drop").judge(Side::Inside, &packet);
    assert_eq!(judged, Verdict::Drop(Reason::Malformed));
}

#[test]
fn a_damaged_segment_stays_damaged() {
    let mut bench = Bench::named("drop");
    let mut packet = syn(OURS).packet(at(A), at(B));
    // In the window, which no rewriting touches.
    packet[34] ^= 0x40;
    let Verdict::Forward(left) = bench.judge(Side::Inside, &packet) else {
        panic!("it does not pass");
    };
    assert!(std::panic::catch_unwind(|| seen(&left)).is_err());
}
