//! Ends: what the other side sees of them, and what the machine is told.

use proto::{Close, Failure, Instant};

use super::{Happened, Host, talk};

/// Two connected hosts; the ids of both ends.
fn connected() -> (Host, Host, [proto::SocketId; 2]) {
    let (mut a, mut b) = (Host::new(1, 1), Host::new(2, 1));
    let of_a = a.dial(0, 5_000, b.at(6_000));
    let of_b = b.dial(0, 6_000, a.at(5_000));
    talk(0, &mut a, &mut b);
    assert!(a.is_up(of_a) && b.is_up(of_b));
    b.happened.clear();
    (a, b, [of_a, of_b])
}

#[test]
fn a_pending_dial_goes_without_a_word() {
    for how in [Close::Silent, Close::Fin, Close::Reset] {
        let (mut a, b) = (Host::new(1, 1), Host::new(2, 1));
        let id = a.dial(0, 5_000, b.at(6_000));
        a.poll(0);
        a.wire.outgoing.clear();
        a.table.close(Instant::ZERO, &mut a.set, id, how);
        for now in [0, 1_000, 3_000] {
            a.poll(now);
        }
        assert!(a.wire.outgoing.is_empty(), "{how:?}");
        assert!(a.happened.is_empty());
        a.dial(3_000, 5_000, b.at(6_000));
    }
}

#[test]
fn an_orderly_end_is_read_as_one() {
    let (mut a, mut b, [of_a, of_b]) = connected();
    b.table.read(of_b, 5);
    a.table.send(&mut a.set, of_a, b"last words");
    a.table.close(Instant::ZERO, &mut a.set, of_a, Close::Fin);
    let said = talk(0, &mut a, &mut b);
    assert!(said.iter().any(|segment| segment.fin));
    // What was sent before comes first, as often as somebody asks.
    assert!(matches!(
        b.happened[..],
        [Happened::Readable { exactly: 5, .. }]
    ));
    b.table.read(of_b, 5);
    b.table.look_again();
    b.poll(0);
    b.table.read(of_b, 1);
    b.poll(0);
    let failure = None;
    assert_eq!(
        b.happened.last(),
        Some(&Happened::Ended { id: of_b, failure })
    );
    assert_eq!(b.happened.len(), 3);
    // Both close, and nothing is left behind: A waits its ten seconds.
    talk(100, &mut a, &mut b);
    assert!(a.table.is_taken(&a.set, 5_000));
    talk(11_000, &mut a, &mut b);
    assert!(!a.table.is_taken(&a.set, 5_000));
    assert!(!b.table.is_taken(&b.set, 6_000));
}

#[test]
fn a_reset_is_a_failure() {
    let (mut a, mut b, [of_a, of_b]) = connected();
    b.table.read(of_b, 5);
    a.table.close(Instant::ZERO, &mut a.set, of_a, Close::Reset);
    let said = talk(0, &mut a, &mut b);
    assert!(said.iter().any(|segment| segment.rst));
    let failure = Some(Failure::Reset);
    assert_eq!(b.happened, [Happened::Ended { id: of_b, failure }]);
}

#[test]
fn silence_is_silent_on_a_stream_too() {
    let (mut a, mut b, [of_a, _]) = connected();
    a.table
        .close(Instant::ZERO, &mut a.set, of_a, Close::Silent);
    assert_eq!(talk(0, &mut a, &mut b), []);
}

#[test]
fn time_wait_gives_its_socket_up_where_there_is_no_other() {
    let (mut a, mut b, [of_a, of_b]) = connected();
    b.table.read(of_b, 1);
    a.table.close(Instant::ZERO, &mut a.set, of_a, Close::Fin);
    talk(0, &mut a, &mut b);
    for port in 1..=7 {
        a.dial(0, port, b.at(6_000));
    }
    a.dial(0, 8, b.at(6_000));
    let none_left = a.dial_with(0, 9, b.at(6_000), None);
    assert_eq!(none_left, Err(Failure::Exhausted));
}

#[test]
fn more_than_the_buffer_holds_ends_the_stream() {
    let (mut a, mut b, [of_a, of_b]) = connected();
    b.table.read(of_b, 1);
    a.table.send(&mut a.set, of_a, &[0; 1_000]);
    a.table.send(&mut a.set, of_a, &[0; 1_000]);
    talk(0, &mut a, &mut b);
    let failure = Some(Failure::Other);
    assert_eq!(
        a.happened.last(),
        Some(&Happened::Ended { id: of_a, failure })
    );
}
