//! Boxes behind boxes.

use std::net::SocketAddr;

use tcp_punch_proto::Instant;

use super::bench::{B, OURS, S, Seen, THEIRS, Tcp, ack, at, ip, seen, syn, syn_ack};
use crate::natbox::{Addresses, Chain, NatBox, Side, preset};

const A: &str = "192.168.1.10:5000";

fn chain(home: &str, carrier: &str) -> Chain {
    let own = |inner: &str, outer: &str| Addresses {
        inner_v4: Some(inner.parse().unwrap()),
        outer_v4: Some(outer.parse().unwrap()),
        ..Addresses::default()
    };
    Chain {
        boxes: vec![
            NatBox::new(preset(home).unwrap(), own("192.168.1.1", "100.64.0.2"), 1),
            NatBox::new(
                preset(carrier).unwrap(),
                own("100.64.0.1", "198.51.100.1"),
                2,
            ),
        ],
    }
}

fn send(
    chain: &mut Chain,
    side: Side,
    from: &str,
    to: SocketAddr,
    tcp: Tcp,
) -> Option<(Side, Seen)> {
    let left = chain.handle(Instant::ZERO, side, &tcp.packet(at(from), to));
    left.map(|(side, packet)| (side, seen(&packet)))
}

fn outer(chain: &mut Chain, to: &str) -> SocketAddr {
    match send(chain, Side::Inside, A, at(to), syn(OURS)) {
        Some((Side::Outside, Seen::Tcp(source, _, _))) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_independent_levels_are_one_independent_nat() {
    let mut chain = chain("drop", "eim-random");
    let mapped = outer(&mut chain, S);
    assert_eq!(outer(&mut chain, B), mapped);
    assert_eq!(
        send(&mut chain, Side::Outside, B, mapped, syn(THEIRS)),
        Some((Side::Inside, Seen::Tcp(at(B), at(A), "SYN")))
    );
    for (side, from, to, tcp) in [
        (Side::Inside, A, at(B), syn_ack(OURS, THEIRS + 1)),
        (
            Side::Outside,
            B,
            mapped,
            syn_ack(THEIRS, OURS.wrapping_add(1)),
        ),
        (
            Side::Inside,
            A,
            at(B),
            ack(OURS.wrapping_add(1), THEIRS + 1),
        ),
    ] {
        let left = send(&mut chain, side, from, to, tcp);
        assert!(left.is_some_and(|(to, _)| to == side.other()));
    }
}

#[test]
fn any_symmetric_level_makes_the_whole_symmetric() {
    for (home, carrier) in [("symmetric", "drop"), ("drop", "symmetric")] {
        let mut chain = chain(home, carrier);
        assert_ne!(
            outer(&mut chain, S),
            outer(&mut chain, B),
            "{home} behind {carrier}"
        );
    }
}

#[test]
fn the_outermost_level_answers_the_unsolicited() {
    let mut chain = chain("rst", "drop");
    assert_eq!(
        send(
            &mut chain,
            Side::Outside,
            B,
            at("198.51.100.1:5000"),
            syn(THEIRS)
        ),
        None
    );
    // With an open carrier it is the home's turn, and its RST goes out by the carrier's mapping.
    let mut chain = chain_open();
    let mapped = outer(&mut chain, S);
    assert_eq!(
        send(&mut chain, Side::Outside, B, mapped, syn(THEIRS)),
        Some((Side::Outside, Seen::Tcp(mapped, at(B), "RST")))
    );
}

fn chain_open() -> Chain {
    chain("rst", "full-cone")
}

#[test]
fn a_low_ttl_has_to_pass_every_own_level() {
    // NAT-FACTS, section 2: behind two levels 2 is too small, 3 works.
    for (hops, router) in [(1, "192.168.1.1"), (2, "100.64.0.1")] {
        let mut chain = chain("drop", "drop");
        let left = send(&mut chain, Side::Inside, A, at(B), syn(OURS).hops(hops));
        assert_eq!(
            left,
            Some((
                Side::Inside,
                Seen::Icmp(ip(router), at(A).ip(), (11, 0), (at(A), at(B)))
            ))
        );
        assert_eq!(chain.boxes[1].connections(), 0);
    }
    let mut chain = chain("drop", "drop");
    let left = send(&mut chain, Side::Inside, A, at(B), syn(OURS).hops(3));
    assert!(matches!(left, Some((Side::Outside, _))));
}

#[test]
fn what_the_home_refuses_is_no_connection_for_the_carrier() {
    let mut chain = chain("drop", "drop");
    let mapped = outer(&mut chain, B);
    send(&mut chain, Side::Outside, B, mapped, syn(THEIRS));
    // Of another socket: it leaves the home untranslated, and the carrier has no entry for it either.
    let left = send(
        &mut chain,
        Side::Inside,
        A,
        at(B),
        syn_ack(0x4000_0000, THEIRS + 1),
    );
    assert_eq!(
        left,
        Some((Side::Outside, Seen::Tcp(at(A), at(B), "SYN-ACK")))
    );
}

#[test]
fn a_held_syn_of_an_inner_level_is_answered_through_the_outer_ones() {
    let mut chain = chain("hold", "full-cone");
    let mapped = outer(&mut chain, S);
    assert_eq!(
        send(&mut chain, Side::Outside, B, mapped, syn(THEIRS)),
        None
    );
    let due = chain.poll_timeout().unwrap();
    let (side, packet) = chain.handle_timeout(due).unwrap();
    assert_eq!(side, Side::Outside);
    assert_eq!(
        seen(&packet),
        Seen::Icmp(ip("198.51.100.1"), at(B).ip(), (3, 3), (at(B), mapped))
    );
    assert_eq!(chain.handle_timeout(due), None);
}

#[test]
fn a_chain_of_none_passes_everything() {
    let mut chain = Chain { boxes: Vec::new() };
    for side in [Side::Inside, Side::Outside] {
        let left = send(&mut chain, side, A, at(B), syn(OURS));
        assert_eq!(left.map(|(to, _)| to), Some(side.other()));
    }
}
