//! The driver as a whole: from the first poll to a dialled server.

use proto::{Close, Endpoint, Event, Instant, LinkFailure};

use super::{Wire, interface, peer, seen, sockets};
use crate::{Driver, Setup, SetupError, Step};

const SERVER: [u8; 4] = [10, 0, 0, 9];

fn setup() -> Setup {
    Setup::new(Endpoint::new(SERVER.into(), 4_000), 7)
}

#[test]
fn it_listens_and_dials_the_server_from_the_same_port() {
    let mut wire = Wire::default();
    let mut iface = interface(&mut wire, [10, 0, 0, 1], 1);
    let (mut set, handles) = sockets(8, 4_096);
    let mut driver = Driver::<_, 1, 4, 8>::new(peer(), setup(), &set, &handles).expect("fair");
    let now = Instant::from_millis(5);
    driver.peer_mut().start(now);
    let Step::Wait(Some(at)) = driver.poll(now, &mut iface, &mut set, &mut wire) else {
        panic!("there is nothing to tell yet");
    };
    assert!(at > now);
    let syn = wire.outgoing.pop_front().expect("a SYN");
    assert!(seen(&syn).syn && !seen(&syn).ack);
    assert_eq!(&syn[16..20], &SERVER);
    assert_eq!(u16::from_be_bytes([syn[20], syn[21]]), 49_152 + 7);
    assert_eq!(u16::from_be_bytes([syn[22], syn[23]]), 4_000);
    // Polling again changes nothing.
    let again = driver.poll(now, &mut iface, &mut set, &mut wire);
    assert!(matches!(again, Step::Wait(Some(same)) if same == at));
    assert!(wire.outgoing.is_empty());
}

#[test]
fn its_deadlines_lead_somewhere() {
    // Nobody answers: the machine gives the link up and tries again.
    let mut wire = Wire::default();
    let mut iface = interface(&mut wire, [10, 0, 0, 1], 1);
    let (mut set, handles) = sockets(8, 4_096);
    let mut driver = Driver::<_, 1, 4, 8>::new(peer(), setup(), &set, &handles).expect("fair");
    let mut now = Instant::from_millis(5);
    driver.peer_mut().start(now);
    let mut down = 0;
    for _ in 0..1_000 {
        match driver.poll(now, &mut iface, &mut set, &mut wire) {
            Step::Wait(at) => now = at.expect("it never gives up").max(now),
            Step::Event(Event::LinkDown { reason, .. }) => {
                assert_eq!(reason, LinkFailure::TimedOut);
                down += 1;
            }
            Step::Event(_) => {}
            Step::Stream(stream) => panic!("{stream:?}"),
        }
    }
    assert!(down > 3, "{down}");
}

#[test]
fn sockets_that_are_of_no_use_are_refused() {
    let (set, handles) = sockets(8, 1_000);
    let result = Driver::<_, 1, 4, 8>::new(peer(), setup(), &set, &handles);
    assert_eq!(result.err(), Some(SetupError::SendBuffer(handles[0])));

    let (set, handles) = sockets(9, 4_096);
    let result = Driver::<_, 1, 4, 8>::new(peer(), setup(), &set, &handles);
    assert_eq!(result.err(), Some(SetupError::TooManySockets));

    let (mut set, handles) = sockets(2, 4_096);
    let busy = crate::sockets::socket_mut(&mut set, handles[1]);
    busy.listen(9).expect("closed");
    let result = Driver::<_, 1, 4, 8>::new(peer(), setup(), &set, &handles);
    assert_eq!(result.err(), Some(SetupError::InUse(handles[1])));
}

#[test]
fn a_socket_that_was_not_handed_over_is_not_taken_back() {
    let (mut set, handles) = sockets(2, 4_096);
    let mut driver = Driver::<_, 1, 4, 8>::new(peer(), setup(), &set, &handles).expect("fair");
    assert!(!driver.take_back(Instant::ZERO, &mut set, handles[0], Close::Fin));
}
