//! Dials: simultaneous open, refusals, hop limits, four-tuples.

use proto::{Failure, Instant};
use std::vec::Vec;

use super::{Happened, Host, seen, talk};

#[test]
fn two_that_dial_each_other_meet_although_both_listen() {
    // The listeners came first and sit in all slots that could be in the way.
    for backlog in 1..=3 {
        let (mut a, mut b) = (Host::new(1, backlog), Host::new(2, backlog));
        a.listen(5_000);
        b.listen(6_000);
        let of_a = a.dial(0, 5_000, b.at(6_000));
        let of_b = b.dial(0, 6_000, a.at(5_000));
        let said = talk(0, &mut a, &mut b);
        assert!(a.is_up(of_a) && b.is_up(of_b));
        assert_eq!((a.accepted(), b.accepted()), (0, 0));
        assert!(said.iter().all(|segment| !segment.rst), "{said:?}");
    }
}

#[test]
fn a_listener_makes_way_where_only_a_higher_slot_is_free() {
    let (mut a, mut b) = (Host::new(1, 1), Host::new(2, 1));
    // The topmost slot is the first listener's, and free once that is gone.
    let [first, second] = super::listeners();
    b.listen_as(first, 7_000);
    b.listen_as(second, 6_000);
    b.table.unlisten(Instant::ZERO, &mut b.set, first);
    for port in 1..=6 {
        b.dial(0, port, a.at(9));
    }
    let of_b = b.dial(0, 6_000, a.at(5_000));
    let of_a = a.dial(0, 5_000, b.at(6_000));
    talk(0, &mut a, &mut b);
    assert!(a.is_up(of_a) && b.is_up(of_b));
    assert_eq!(b.accepted(), 0);
    // And it listens still.
    let another = a.dial(1, 5_001, b.at(6_000));
    talk(1, &mut a, &mut b);
    assert!(a.is_up(another));
    assert_eq!(b.accepted(), 1);
}

#[test]
fn a_rst_is_a_refusal_and_the_same_four_tuple_can_be_dialled_again() {
    let (mut a, mut b) = (Host::new(1, 1), Host::new(2, 1));
    let id = a.dial(0, 5_000, b.at(6_000));
    talk(0, &mut a, &mut b);
    let failure = Failure::Refused;
    assert_eq!(a.happened, [Happened::DialFailed { id, failure }]);
    b.listen(6_000);
    let again = a.dial(1, 5_000, b.at(6_000));
    talk(1, &mut a, &mut b);
    assert!(a.is_up(again));
    assert_eq!(b.accepted(), 1);
}

#[test]
fn a_four_tuple_is_used_once() {
    let (mut a, mut b) = (Host::new(1, 1), Host::new(2, 1));
    a.listen(5_000);
    a.dial(0, 5_000, b.at(6_000));
    let second = a.dial_with(0, 5_000, b.at(6_000), None);
    assert_eq!(second, Err(Failure::AddressNotAvailable));
    // Another port of either side is another four-tuple.
    a.dial(0, 5_000, b.at(6_001));
    a.dial(0, 5_001, b.at(6_000));
    // One that a listener has half open counts too.
    b.dial(0, 7_000, a.at(5_000));
    b.poll(0);
    a.wire.incoming.append(&mut b.wire.outgoing);
    a.poll(0);
    let crossing = a.dial_with(0, 5_000, b.at(7_000), None);
    assert_eq!(crossing, Err(Failure::AddressNotAvailable));
}

#[test]
fn without_a_free_socket_a_dial_fails() {
    let (mut a, b) = (Host::new(1, 1), Host::new(2, 1));
    for port in 1..=8 {
        a.dial(0, port, b.at(6_000));
    }
    let one_more = a.dial_with(0, 9, b.at(6_000), None);
    assert_eq!(one_more, Err(Failure::Exhausted));
}

#[test]
fn without_an_address_of_the_family_there_is_no_way() {
    let mut a = Host::new(1, 1);
    let to = "[2001:db8::1]:6000"
        .parse::<std::net::SocketAddr>()
        .expect("an endpoint");
    assert_eq!(
        a.dial_with(0, 5_000, to.into(), None),
        Err(Failure::Unreachable)
    );
}

#[test]
fn only_the_first_syn_has_the_short_hop_limit() {
    let (mut a, b) = (Host::new(1, 1), Host::new(2, 1));
    // The device is busy at first: what has not left is not forgotten.
    a.wire.is_busy = true;
    a.dial_with(0, 5_000, b.at(6_000), Some(3)).expect("a dial");
    a.dial_with(0, 5_001, b.at(6_000), None).expect("a dial");
    a.poll(0);
    assert!(a.wire.outgoing.is_empty());
    a.wire.is_busy = false;
    a.poll(10);
    a.poll(1_100);
    let hops: Vec<u8> = a
        .wire
        .outgoing
        .iter()
        .map(|packet| seen(packet).hops)
        .collect();
    assert_eq!(hops, [3, 64, 64, 64]);
}

#[test]
fn a_hop_limit_of_zero_is_one() {
    let (mut a, b) = (Host::new(1, 1), Host::new(2, 1));
    a.dial_with(0, 5_000, b.at(6_000), Some(0)).expect("a dial");
    a.poll(0);
    assert_eq!(seen(&a.wire.outgoing[0]).hops, 1);
}
