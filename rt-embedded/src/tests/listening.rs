//! Listeners: more than one at a time, SYNs that come again, families.

use proto::{Close, Instant};

use super::{Host, talk};

#[test]
fn a_burst_finds_a_listener_for_each_as_long_as_there_are_sockets() {
    let (mut a, mut b) = (Host::new(1, 1), Host::new(2, 2));
    b.listen(6_000);
    for port in 1..=8 {
        a.dial(0, port, b.at(6_000));
    }
    talk(0, &mut a, &mut b);
    assert_eq!(b.accepted(), 8);
}

#[test]
fn a_syn_that_comes_again_meets_the_half_open_connection() {
    // Else two connections of one four-tuple would reset each other.
    let (mut a, mut b) = (Host::new(1, 1), Host::new(2, 3));
    b.listen(6_000);
    let id = a.dial(0, 5_000, b.at(6_000));
    a.poll(0);
    b.wire.incoming.append(&mut a.wire.outgoing);
    b.poll(0);
    // The SYN-ACK is lost.
    b.wire.outgoing.clear();
    a.poll(1_000);
    assert_eq!(a.wire.outgoing.len(), 1);
    let said = talk(3_000, &mut a, &mut b);
    assert!(said.iter().all(|segment| !segment.rst), "{said:?}");
    assert!(a.is_up(id));
    assert_eq!(b.accepted(), 1);
}

#[test]
fn sockets_that_are_done_with_listen_again() {
    let (mut a, mut b) = (Host::new(1, 1), Host::new(2, 2));
    b.listen(6_000);
    for round in 0..50 {
        let id = a.dial(round, 1_000 + round as u16, b.at(6_000));
        talk(round, &mut a, &mut b);
        assert!(a.is_up(id), "round {round}");
        a.table
            .close(Instant::from_millis(round), &mut a.set, id, Close::Reset);
        // Whoever was told of it closes it; here nobody reads, so it is noticed
        // by the RST.
        talk(round, &mut a, &mut b);
    }
    assert_eq!(b.accepted(), 50);
}

#[test]
fn what_nobody_listens_on_is_refused_and_unlistening_takes_the_rest_along() {
    let (mut a, mut b) = (Host::new(1, 1), Host::new(2, 2));
    let listener = b.listen(6_000);
    // Half open when the listener goes.
    a.dial(0, 5_000, b.at(6_000));
    a.poll(0);
    b.wire.incoming.append(&mut a.wire.outgoing);
    b.poll(0);
    b.table.unlisten(Instant::ZERO, &mut b.set, listener);
    talk(0, &mut a, &mut b);
    let late = a.dial(1, 5_001, b.at(6_000));
    talk(1, &mut a, &mut b);
    assert!(!a.is_up(late));
    assert_eq!(b.accepted(), 0);
    assert!(!b.table.is_taken(&b.set, 6_000));
}

#[test]
fn a_family_that_is_not_listened_for_is_turned_away() {
    let (mut a, mut b) = (Host::new(1, 1), Host::new(2, 1));
    let id = super::listener();
    let v6 = proto::Endpoint::unspecified(proto::Family::V6, 6_000);
    b.table
        .listen(Instant::ZERO, &mut b.set, id, v6)
        .expect("room");
    a.dial(0, 5_000, b.at(6_000));
    talk(0, &mut a, &mut b);
    assert_eq!(b.accepted(), 0);
    let again = b.table.listen(Instant::ZERO, &mut b.set, id, v6);
    assert_eq!(again, Err(proto::Failure::AddressInUse));
}
