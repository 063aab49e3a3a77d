//! Streams: exact lengths, hand-over.

use proto::{Close, Instant};

use super::{Happened, Host, talk};
use crate::sockets::socket_mut;

#[test]
fn what_lies_behind_a_read_stays_for_whoever_comes_next() {
    let (mut a, mut b) = (Host::new(1, 1), Host::new(2, 1));
    let of_a = a.dial(0, 5_000, b.at(6_000));
    let of_b = b.dial(0, 6_000, a.at(5_000));
    talk(0, &mut a, &mut b);
    a.table.send(&mut a.set, of_a, b"hel");
    b.table.read(of_b, 5);
    talk(0, &mut a, &mut b);
    // Three are not five.
    assert!(b.is_up(of_b) && b.happened.len() == 1);
    a.table.send(&mut a.set, of_a, b"lo, application");
    talk(20, &mut a, &mut b);
    assert!(matches!(b.happened[1], Happened::Readable { id, exactly: 5, .. } if id == of_b));
    assert_eq!(b.happened.len(), 2);

    let (handle, local, remote) = b.table.hand_over(&b.set, of_b).expect("it is up");
    assert_eq!((local.port, remote), (6_000, a.at(5_000)));
    let mut rest = [0; 32];
    let count = socket_mut(&mut b.set, handle).recv_slice(&mut rest);
    assert_eq!(&rest[..count.expect("bytes")], b", application");

    // It is not the machine's any more, and comes back once.
    b.table.close(Instant::ZERO, &mut b.set, of_b, Close::Reset);
    let said = talk(40, &mut a, &mut b);
    assert!(
        said.iter().all(|segment| !segment.rst && !segment.fin),
        "{said:?}"
    );
    let now = Instant::from_millis(40);
    assert!(b.table.take_back(now, &mut b.set, handle, Close::Reset));
    assert!(!b.table.take_back(now, &mut b.set, handle, Close::Reset));
    let said = talk(40, &mut a, &mut b);
    assert!(said[0].rst);
}
