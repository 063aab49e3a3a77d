#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that goes wrong may panic"
)]

extern crate std;
use std::{println, vec, vec::Vec};

use super::*;
use crate::noise::{Records, SessionKeys, Transport};

const PATTERNS: [Pattern; 2] = [Pattern::Ik, Pattern::IkPsk2];

fn alice() -> SecretKey {
    SecretKey::from_bytes([0xa1; 32])
}

fn bob() -> SecretKey {
    SecretKey::from_bytes([0xb0; 32])
}

fn psk() -> Psk {
    Psk::derive(b"shared")
}

fn initiator(pattern: Pattern) -> Handshake {
    Handshake::initiator(
        pattern,
        b"prologue",
        &alice(),
        &bob().public(),
        &psk(),
        [0xea; 32],
    )
}

fn responder(pattern: Pattern) -> Handshake {
    Handshake::responder(pattern, b"prologue", &bob(), &psk(), [0xeb; 32])
}

fn write(from: &mut Handshake, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 256];
    let len = from.write_message(payload, &mut out).unwrap();
    out.truncate(len);
    out
}

fn read(to: &mut Handshake, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
    let mut payload = vec![0; 256];
    let len = to.read_message(message, &mut payload)?;
    payload.truncate(len);
    Ok(payload)
}

fn try_read(to: &mut Handshake, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
    let mut payload = vec![0; 256];
    let len = to.try_read_message(message, &mut payload)?;
    payload.truncate(len);
    Ok(payload)
}

fn assert_same(a: &Finished, b: &Finished) {
    assert_eq!(a.initiator_key.bytes(), b.initiator_key.bytes());
    assert_eq!(a.responder_key.bytes(), b.responder_key.bytes());
    assert_eq!(a.hash, b.hash);
    assert_ne!(a.initiator_key.bytes(), a.responder_key.bytes());
}

#[test]
fn both_sides_agree() {
    for pattern in PATTERNS {
        let (mut a, mut b) = (initiator(pattern), responder(pattern));
        assert_eq!(a.remote_static(), Some(bob().public()));
        assert_eq!(b.remote_static(), None);

        let one = write(&mut a, b"hello");
        assert_eq!(one.len(), MESSAGE_1_OVERHEAD + 5);
        assert_eq!(MESSAGE_1_OVERHEAD, 96);
        assert_eq!(read(&mut b, &one).unwrap(), b"hello");
        assert_eq!(b.remote_static(), Some(alice().public()));
        assert!(!a.is_finished() && !b.is_finished());
        assert_eq!(b.finish().unwrap_err(), NoiseError::OutOfOrder);

        let two = write(&mut b, b"welcome");
        assert_eq!(two.len(), MESSAGE_2_OVERHEAD + 7);
        assert_eq!(MESSAGE_2_OVERHEAD, 48);
        assert_eq!(read(&mut a, &two).unwrap(), b"welcome");
        assert!(a.is_finished() && b.is_finished());
        assert_same(&a.finish().unwrap(), &b.finish().unwrap());
        assert_same(&a.finish().unwrap(), &a.finish().unwrap());
    }
}

#[test]
fn psk_and_pattern_change_the_keys() {
    let mut hashes = Vec::new();
    for pattern in PATTERNS {
        let (mut a, mut b) = (initiator(pattern), responder(pattern));
        let one = write(&mut a, b"");
        read(&mut b, &one).unwrap();
        let two = write(&mut b, b"");
        read(&mut a, &two).unwrap();
        hashes.push(a.finish().unwrap().hash);
    }
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn wrong_key_prologue_or_pattern_fails_at_message_1() {
    let one = write(&mut initiator(Pattern::IkPsk2), b"");
    let stranger = SecretKey::from_bytes([0x33; 32]);
    let responders = [
        Handshake::responder(Pattern::IkPsk2, b"prologue", &stranger, &psk(), [1; 32]),
        Handshake::responder(Pattern::IkPsk2, b"prologuf", &bob(), &psk(), [1; 32]),
        Handshake::responder(Pattern::Ik, b"prologue", &bob(), &psk(), [1; 32]),
    ];
    for mut b in responders {
        assert_eq!(try_read(&mut b, &one), Err(NoiseError::Decrypt));
        assert_eq!(b.remote_static(), None);
        assert_eq!(read(&mut b, &one), Err(NoiseError::Decrypt));
        assert_eq!(read(&mut b, &one), Err(NoiseError::OutOfOrder));
    }
}

#[test]
fn wrong_psk_fails_at_message_2_and_only_with_a_psk_pattern() {
    for (pattern, expected) in [
        (Pattern::Ik, Ok(Vec::new())),
        (Pattern::IkPsk2, Err(NoiseError::Decrypt)),
    ] {
        let mut a = initiator(pattern);
        let mut b = Handshake::responder(pattern, b"prologue", &bob(), &Psk::NONE, [2; 32]);
        let one = write(&mut a, b"");
        read(&mut b, &one).unwrap();
        let two = write(&mut b, b"");
        assert_eq!(read(&mut a, &two), expected);
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused() {
    for pattern in PATTERNS {
        let mut a = initiator(pattern);
        let one = write(&mut a, b"payload");
        let mut b = responder(pattern);
        for len in 0..one.len() {
            let expected = if len < MESSAGE_1_OVERHEAD {
                NoiseError::TooShort
            } else {
                NoiseError::Decrypt
            };
            assert_eq!(try_read(&mut b, &one[..len]), Err(expected));
            assert!(read(&mut responder(pattern), &one[..len]).is_err());
        }
        for bit in 0..one.len() * 8 {
            let mut forged = one.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            // X25519 ignores the highest bit of a point, the transcript does not.
            assert_eq!(try_read(&mut b, &forged), Err(NoiseError::Decrypt));
        }
        read(&mut b, &one).unwrap();
        let two = write(&mut b, b"payload");
        for len in 0..two.len() {
            assert!(try_read(&mut a, &two[..len]).is_err());
        }
        for bit in 0..two.len() * 8 {
            let mut forged = two.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(try_read(&mut a, &forged), Err(NoiseError::Decrypt));
        }
        assert_eq!(try_read(&mut a, &two).unwrap(), b"payload");
        assert_same(&a.finish().unwrap(), &b.finish().unwrap());
    }
}

#[test]
fn a_forgery_costs_nothing_when_tried_and_everything_when_read() {
    let (mut a, mut b) = (initiator(Pattern::IkPsk2), responder(Pattern::IkPsk2));
    let one = write(&mut a, b"");
    read(&mut b, &one).unwrap();
    let two = write(&mut b, b"");

    for _ in 0..3 {
        assert_eq!(try_read(&mut a, &[0x55; 48]), Err(NoiseError::Decrypt));
        assert_eq!(try_read(&mut a, &[0; 48]), Err(NoiseError::NotContributory));
        assert_eq!(a.remote_static(), Some(bob().public()));
    }
    assert_eq!(try_read(&mut a, &two), Ok(Vec::new()));
    assert_same(&a.finish().unwrap(), &b.finish().unwrap());
    assert_eq!(try_read(&mut a, &two), Err(NoiseError::OutOfOrder));
    assert!(a.is_finished());

    let mut a = initiator(Pattern::IkPsk2);
    write(&mut a, b"");
    assert_eq!(read(&mut a, &[0x55; 48]), Err(NoiseError::Decrypt));
    assert_eq!(a.remote_static(), None);
    assert_eq!(read(&mut a, &two), Err(NoiseError::OutOfOrder));
    assert_eq!(try_read(&mut a, &two), Err(NoiseError::OutOfOrder));
    assert_eq!(a.finish().unwrap_err(), NoiseError::OutOfOrder);
}

#[test]
fn a_failed_responder_writes_nothing() {
    let mut b = responder(Pattern::Ik);
    assert_eq!(read(&mut b, &[9; 96]), Err(NoiseError::Decrypt));
    let mut out = [0; 96];
    assert_eq!(b.write_message(b"", &mut out), Err(NoiseError::OutOfOrder));
}

#[test]
fn out_of_turn_changes_nothing() {
    let mut out = [0; 200];
    let (mut a, mut b) = (initiator(Pattern::Ik), responder(Pattern::Ik));
    assert_eq!(b.write_message(b"", &mut out), Err(NoiseError::OutOfOrder));
    assert_eq!(read(&mut a, &[0; 96]), Err(NoiseError::OutOfOrder));
    let one = write(&mut a, b"");
    assert_eq!(a.write_message(b"", &mut out), Err(NoiseError::OutOfOrder));
    read(&mut b, &one).unwrap();
    assert_eq!(read(&mut b, &one), Err(NoiseError::OutOfOrder));
    let two = write(&mut b, b"");
    read(&mut a, &two).unwrap();
    for side in [&mut a, &mut b] {
        assert_eq!(
            side.write_message(b"", &mut out),
            Err(NoiseError::OutOfOrder)
        );
        assert_eq!(read(side, &two), Err(NoiseError::OutOfOrder));
        assert!(side.is_finished());
    }
}

#[test]
fn buffers_without_room_change_nothing() {
    let (mut a, mut b) = (initiator(Pattern::IkPsk2), responder(Pattern::IkPsk2));
    let mut out = [0; 100];
    for room in 0..100 {
        assert_eq!(
            a.write_message(b"hello", &mut out[..room]),
            Err(NoiseError::TooLong)
        );
    }
    assert_eq!(
        a.write_message(&vec![0; 65_440], &mut vec![0; 70_000]),
        Err(NoiseError::TooLong)
    );
    let one = write(&mut a, b"hello");
    for room in 0..5 {
        assert_eq!(
            b.read_message(&one, &mut out[..room]),
            Err(NoiseError::TooLong)
        );
    }
    assert_eq!(
        b.read_message(&vec![0; 65_536], &mut vec![0; 70_000]),
        Err(NoiseError::TooLong)
    );
    assert_eq!(read(&mut b, &one).unwrap(), b"hello");
}

#[test]
fn the_longest_message_passes() {
    let (mut a, mut b) = (initiator(Pattern::Ik), responder(Pattern::Ik));
    let payload = vec![7; MAX_MESSAGE - MESSAGE_1_OVERHEAD];
    let mut one = vec![0; MAX_MESSAGE];
    assert_eq!(a.write_message(&payload, &mut one), Ok(MAX_MESSAGE));
    let mut got = vec![0; MAX_MESSAGE];
    assert_eq!(b.read_message(&one, &mut got), Ok(payload.len()));
    assert_eq!(got[..payload.len()], payload[..]);
}

#[test]
fn low_order_keys_and_a_dead_generator_are_refused() {
    let mut out = [0; 200];
    let local = alice();
    for (remote, ephemeral) in [(PublicKey([0; 32]), [3; 32]), (bob().public(), [0; 32])] {
        let mut a = Handshake::initiator(Pattern::Ik, b"", &local, &remote, &Psk::NONE, ephemeral);
        assert_eq!(
            a.write_message(b"", &mut out),
            Err(NoiseError::NotContributory)
        );
        assert_eq!(a.write_message(b"", &mut out), Err(NoiseError::OutOfOrder));
        assert_eq!(a.remote_static(), None);
    }
    let mut b = responder(Pattern::Ik);
    assert_eq!(try_read(&mut b, &[0; 96]), Err(NoiseError::NotContributory));
}

#[test]
fn sizes() {
    let sizes = [
        ("SecretKey", size_of::<SecretKey>(), 64),
        ("Handshake", size_of::<Handshake>(), 640),
        ("Finished", size_of::<Finished>(), 96),
        ("Transport", size_of::<Transport>(), 88),
        ("SessionKeys", size_of::<SessionKeys>(), 160),
        ("Records", size_of::<Records>(), 88),
    ];
    for (name, size, limit) in sizes {
        println!("{name}: {size} bytes");
        assert!(size <= limit, "{name}: {size} > {limit}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(message in proptest::collection::vec(0_u8.., 0..200), room in 0_usize..200) {
        let mut payload = vec![0; room];
        for pattern in PATTERNS {
            let mut b = responder(pattern);
            assert!(b.try_read_message(&message, &mut payload).is_err());
            assert!(b.read_message(&message, &mut payload).is_err());
            let mut a = initiator(pattern);
            assert!(a.read_message(&message, &mut payload).is_err());
            write(&mut a, b"");
            assert!(a.try_read_message(&message, &mut payload).is_err());
            assert!(a.read_message(&message, &mut payload).is_err());
        }
    }
}
