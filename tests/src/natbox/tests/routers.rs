//! Routers count hops, and say where a packet has ended.

use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, Ipv4Packet, Ipv6Packet};

use super::bench::{at, syn};
use crate::natbox::{Passage, Routers};

const ROW: Routers = Routers {
    v4: std::net::Ipv4Addr::new(198, 51, 100, 1),
    v6: std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
    count: 3,
};

#[test]
fn what_has_hops_enough_gets_through_with_fewer() {
    let mut packet = syn(1).hops(4).packet(at("192.0.2.1:1"), at("192.0.2.2:2"));
    assert_eq!(ROW.pass(&mut packet), Passage::Through);
    let ip = Ipv4Packet::new_checked(&packet[..]).unwrap();
    assert_eq!(ip.hop_limit(), 1);
    assert!(ip.verify_checksum());
}

#[test]
fn what_has_not_ends_at_the_router_that_counts_to_zero() {
    for hops in 1..=3 {
        let mut packet = syn(1)
            .hops(hops)
            .packet(at("192.0.2.1:1"), at("192.0.2.2:2"));
        let quoted = packet.clone();
        let Passage::EndsAt(number, Some(answer)) = ROW.pass(&mut packet) else {
            panic!("{hops} hops are too few");
        };
        assert_eq!(number, hops);
        let ip = Ipv4Packet::new_checked(&answer[..]).unwrap();
        assert_eq!(ip.src_addr().octets(), [198, 51, 100, hops]);
        assert_eq!(ip.dst_addr().octets(), [192, 0, 2, 1]);
        let icmp = Icmpv4Packet::new_checked(ip.payload()).unwrap();
        assert_eq!(icmp.msg_type(), Icmpv4Message::TimeExceeded);
        assert_eq!(icmp.data(), quoted);
        // No error about an error.
        let mut answer = answer.clone();
        Ipv4Packet::new_unchecked(&mut answer[..]).set_hop_limit(1);
        Ipv4Packet::new_unchecked(&mut answer[..]).fill_checksum();
        assert_eq!(ROW.pass(&mut answer), Passage::EndsAt(1, None));
    }
}

#[test]
fn ipv6_is_counted_the_same() {
    let (from, to) = (at("[2001:db8:1::1]:1"), at("[2001:db8:2::1]:2"));
    let mut packet = syn(1).hops(2).packet(from, to);
    let Passage::EndsAt(2, Some(answer)) = ROW.pass(&mut packet) else {
        panic!("two hops are too few");
    };
    let ip = Ipv6Packet::new_checked(&answer[..]).unwrap();
    assert_eq!(ip.src_addr().segments(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]);
    assert_eq!(
        ip.dst_addr(),
        std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1)
    );
}
