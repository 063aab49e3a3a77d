#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that goes wrong may panic"
)]

extern crate std;
use std::{vec, vec::Vec};

use super::*;

fn pair() -> (Transport, Transport) {
    let finished = Finished {
        initiator_key: Key::new([1; 32]),
        responder_key: Key::new([2; 32]),
        hash: [3; 32],
    };
    (
        Transport::new(&finished, true),
        Transport::new(&finished, false),
    )
}

fn seal(from: &mut Transport, text: &[u8]) -> Vec<u8> {
    let mut buf = text.to_vec();
    buf.resize(text.len() + TAG_LEN, 0);
    assert_eq!(from.seal(&mut buf, text.len()), Ok(buf.len()));
    buf
}

fn open(to: &mut Transport, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
    let mut buf = message.to_vec();
    let len = to.open(&mut buf)?;
    buf.truncate(len);
    Ok(buf)
}

#[test]
fn both_directions_round_trip() {
    let (mut a, mut b) = pair();
    for text in [&b""[..], b"x", &[9; 1000]] {
        let message = seal(&mut a, text);
        assert_eq!(open(&mut b, &message).unwrap(), text);
        let message = seal(&mut b, text);
        assert_eq!(open(&mut a, &message).unwrap(), text);
    }
}

#[test]
fn a_message_opens_once_in_order_and_on_the_other_side_only() {
    let (mut a, mut b) = pair();
    let first = seal(&mut a, b"first");
    assert_eq!(open(&mut pair().0, &first), Err(NoiseError::Decrypt));
    open(&mut b, &first).unwrap();
    assert_eq!(open(&mut b, &first), Err(NoiseError::Decrypt));

    let (mut a, mut b) = pair();
    seal(&mut a, b"first");
    let second = seal(&mut a, b"second");
    assert_eq!(open(&mut b, &second), Err(NoiseError::Decrypt));
}

#[test]
fn a_failure_is_final_in_both_directions() {
    for (junk, error) in [
        (vec![0; 15], NoiseError::TooShort),
        (vec![0; 16], NoiseError::Decrypt),
        (vec![0; MAX_MESSAGE + 1], NoiseError::TooLong),
    ] {
        let (mut a, mut b) = pair();
        let message = seal(&mut a, b"text");
        assert_eq!(open(&mut b, &junk), Err(error));
        assert_eq!(open(&mut b, &message), Err(error));
        assert_eq!(b.seal(&mut [0; 32], 0), Err(error));
    }
}

#[test]
fn no_room_changes_nothing() {
    let (mut a, mut b) = pair();
    let mut small = [0; 20];
    assert_eq!(a.seal(&mut small, 5), Err(NoiseError::TooLong));
    assert_eq!(a.seal(&mut small, usize::MAX), Err(NoiseError::TooLong));
    let mut large = vec![0; MAX_MESSAGE + 1];
    assert_eq!(
        a.seal(&mut large, MAX_MESSAGE - TAG_LEN + 1),
        Err(NoiseError::TooLong)
    );
    let message = seal(&mut a, b"text");
    assert_eq!(open(&mut b, &message).unwrap(), b"text");
}

#[test]
fn the_last_nonce_is_never_used() {
    let (mut a, mut b) = pair();
    a.tx.skip_to(u64::MAX - 1);
    b.rx.skip_to(u64::MAX - 1);
    let message = seal(&mut a, b"last");
    assert_eq!(open(&mut b, &message).unwrap(), b"last");
    let mut buf = [0; 32];
    assert_eq!(a.seal(&mut buf, 0), Err(NoiseError::Exhausted));
    assert_eq!(a.seal(&mut buf, 0), Err(NoiseError::Exhausted));
    assert_eq!(b.open(&mut buf), Err(NoiseError::Exhausted));
}
