#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that goes wrong may panic"
)]

extern crate std;
use std::{vec, vec::Vec};

use proptest::prelude::*;

use super::*;

fn session() -> SessionKeys {
    SessionKeys::new(&Finished {
        initiator_key: Key::new([1; 32]),
        responder_key: Key::new([2; 32]),
        hash: [3; 32],
    })
}

/// The requester's side and the responder's side of one stream.
fn stream() -> (Records, Records) {
    let keys = || session().stream_keys(&[4; 16], &[5; 16]);
    (
        keys().records(Role::Requester),
        keys().records(Role::Responder),
    )
}

fn seal(from: &mut RecordSealer, kind: RecordKind, data: &[u8]) -> Vec<u8> {
    let mut record = vec![0; data.len() + RECORD_OVERHEAD];
    assert_eq!(from.seal(kind, data, &mut record), Ok(record.len()));
    record
}

/// Takes the first record off a byte stream, as a reader does that has to believe the header.
fn open(to: &mut RecordOpener, bytes: &[u8]) -> Result<(RecordKind, Vec<u8>), NoiseError> {
    let (header, rest) = bytes.split_first_chunk().ok_or(NoiseError::TooShort)?;
    let len = RecordOpener::body_len(*header)?;
    let mut body = rest.get(..len).ok_or(NoiseError::TooShort)?.to_vec();
    let (kind, data) = to.open(*header, &mut body)?;
    Ok((kind, data.to_vec()))
}

#[test]
fn both_directions_round_trip() {
    let (mut a, mut b) = stream();
    let largest = vec![7; MAX_RECORD_DATA];
    for (kind, data) in [
        (RecordKind::Nominate, &b""[..]),
        (RecordKind::Data, b"hello"),
        (RecordKind::Data, &largest),
        (RecordKind::Close, b""),
    ] {
        let record = seal(&mut a.sealer, kind, data);
        assert_eq!(open(&mut b.opener, &record).unwrap(), (kind, data.to_vec()));
        let record = seal(&mut b.sealer, kind, data);
        assert_eq!(open(&mut a.opener, &record).unwrap(), (kind, data.to_vec()));
    }
}

#[test]
fn in_place_writes_the_same_record() {
    let (mut a, _) = stream();
    let (mut same, _) = stream();
    let record = seal(&mut a.sealer, RecordKind::Data, b"hello");
    let mut buf = [0; 40];
    buf[RECORD_DATA_OFFSET..RECORD_DATA_OFFSET + 5].copy_from_slice(b"hello");
    let len = same
        .sealer
        .seal_in_place(RecordKind::Data, &mut buf, 5)
        .unwrap();
    assert_eq!(buf[..len], record[..]);
    assert_eq!(len, 5 + RECORD_OVERHEAD);
}

#[test]
fn the_split_halves_work_apart() {
    let keys = || session().stream_keys(&[4; 16], &[5; 16]);
    let (mut sealer, _) = keys().into_split(Role::Responder);
    let (_, mut opener) = keys().records(Role::Requester).split();
    let record = seal(&mut sealer, RecordKind::Data, b"x");
    assert!(open(&mut opener, &record).is_ok());
}

#[test]
fn truncated_or_changed_records_are_refused() {
    let (mut a, _) = stream();
    let record = seal(&mut a.sealer, RecordKind::Data, b"some data");
    for len in 0..record.len() {
        let (_, mut b) = stream();
        assert_eq!(
            open(&mut b.opener, &record[..len]),
            Err(NoiseError::TooShort)
        );
        // A lying reader: the right header over a short body, and a header to match.
        if let Some((header, body)) = record[..len].split_first_chunk() {
            assert_eq!(
                b.opener.open(*header, &mut body.to_vec()),
                Err(NoiseError::TooShort)
            );
            let (_, mut b) = stream();
            let header = u16::try_from(body.len()).unwrap().to_be_bytes();
            assert!(b.opener.open(header, &mut body.to_vec()).is_err());
        }
    }
    for bit in 0..record.len() * 8 {
        let (_, mut b) = stream();
        let mut forged = record.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&mut b.opener, &forged).is_err(), "bit {bit}");
    }
    let (_, mut b) = stream();
    let mut long = record[2..].to_vec();
    long.push(0);
    assert_eq!(
        b.opener.open([record[0], record[1]], &mut long),
        Err(NoiseError::TooLong)
    );
}

#[test]
fn replayed_reordered_reflected_and_foreign_records_are_refused() {
    let (mut a, mut b) = stream();
    let first = seal(&mut a.sealer, RecordKind::Data, b"1");
    let second = seal(&mut a.sealer, RecordKind::Data, b"2");
    open(&mut b.opener, &first).unwrap();
    assert_eq!(open(&mut b.opener, &first), Err(NoiseError::Decrypt));

    let (_, mut b) = stream();
    assert_eq!(open(&mut b.opener, &second), Err(NoiseError::Decrypt));
    assert_eq!(open(&mut a.opener, &first), Err(NoiseError::Decrypt));

    for (requester, responder) in [([4; 16], [6; 16]), ([6; 16], [5; 16]), ([5; 16], [4; 16])] {
        let mut other = session()
            .stream_keys(&requester, &responder)
            .records(Role::Responder);
        assert_eq!(open(&mut other.opener, &first), Err(NoiseError::Decrypt));
    }
}

#[test]
fn a_failure_is_final() {
    let (mut a, mut b) = stream();
    let record = seal(&mut a.sealer, RecordKind::Data, b"1");
    assert_eq!(
        b.opener.open([0, 16], &mut [0; 16]),
        Err(NoiseError::TooShort)
    );
    assert_eq!(open(&mut b.opener, &record), Err(NoiseError::TooShort));

    let (_, mut b) = stream();
    assert_eq!(
        b.opener.open([0, 17], &mut [0; 17]),
        Err(NoiseError::Decrypt)
    );
    assert_eq!(open(&mut b.opener, &record), Err(NoiseError::Decrypt));
}

#[test]
fn an_unknown_kind_is_refused_after_it_authenticated() {
    for kind in [0, 4, 255] {
        let (mut a, mut b) = stream();
        let mut body = [0; 17];
        body[0] = kind;
        let header = [0, 17];
        a.sealer.way.seal(&header, &mut body, 1).unwrap();
        assert_eq!(
            b.opener.open(header, &mut body),
            Err(NoiseError::UnknownKind)
        );
    }
}

#[test]
fn impossible_lengths_are_refused() {
    for len in 0..=u16::MAX {
        let expected = match usize::from(len) {
            0..=16 => Err(NoiseError::TooShort),
            len @ 17..=16_401 => Ok(len),
            _ => Err(NoiseError::TooLong),
        };
        assert_eq!(RecordOpener::body_len(len.to_be_bytes()), expected);
    }
}

#[test]
fn no_room_and_too_much_data_change_nothing() {
    let (mut a, mut b) = stream();
    let mut out = vec![0; MAX_RECORD_DATA + 100];
    for room in 0..5 + RECORD_OVERHEAD {
        assert_eq!(
            a.sealer.seal(RecordKind::Data, b"hello", &mut out[..room]),
            Err(NoiseError::TooLong)
        );
    }
    let data = vec![0; MAX_RECORD_DATA + 1];
    assert_eq!(
        a.sealer.seal(RecordKind::Data, &data, &mut out),
        Err(NoiseError::TooLong)
    );
    assert_eq!(
        a.sealer
            .seal_in_place(RecordKind::Data, &mut out, usize::MAX),
        Err(NoiseError::TooLong)
    );
    let record = seal(&mut a.sealer, RecordKind::Data, b"hello");
    assert!(open(&mut b.opener, &record).is_ok());
}

#[test]
fn the_last_nonce_is_never_used() {
    let (mut a, _) = stream();
    a.sealer.way.skip_to(u64::MAX);
    assert_eq!(
        a.sealer.seal(RecordKind::Data, b"", &mut [0; 19]),
        Err(NoiseError::Exhausted)
    );
}

#[test]
fn a_hello_verifies_for_its_role_parts_and_session_only() {
    let keys = session();
    let mac = keys.hello_mac(Role::Requester, &[b"session", b"nonce"]);
    assert!(keys.verify_hello(Role::Requester, &[b"session", b"nonce"], &mac));
    assert!(!keys.verify_hello(Role::Responder, &[b"session", b"nonce"], &mac));
    assert!(!keys.verify_hello(Role::Requester, &[b"sessionn", b"once"], &mac));
    assert!(!keys.verify_hello(Role::Requester, &[b"session"], &mac));
    for bit in 0..128 {
        let mut forged = mac;
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(!keys.verify_hello(Role::Requester, &[b"session", b"nonce"], &forged));
    }
    let other = SessionKeys::new(&Finished {
        initiator_key: Key::new([9; 32]),
        responder_key: Key::new([2; 32]),
        hash: [3; 32],
    });
    assert!(!other.verify_hello(Role::Requester, &[b"session", b"nonce"], &mac));
    assert_eq!(keys.hash(), [3; 32]);
}

#[test]
fn each_role_and_each_handshake_has_its_own_record_keys() {
    let keys = session().stream_keys(&[4; 16], &[5; 16]);
    assert_ne!(keys.requester.bytes(), keys.responder.bytes());
    let other_transcript = SessionKeys::new(&Finished {
        initiator_key: Key::new([1; 32]),
        responder_key: Key::new([2; 32]),
        hash: [0; 32],
    })
    .stream_keys(&[4; 16], &[5; 16]);
    assert_ne!(keys.requester.bytes(), other_transcript.requester.bytes());
    assert_eq!(Role::Requester.other(), Role::Responder);
    assert_eq!(Role::Responder.other(), Role::Requester);
}

proptest! {
    #[test]
    fn no_bytes_panic(header: [u8; 2], mut body in prop::collection::vec(0_u8.., 0..100)) {
        let (mut a, _) = stream();
        prop_assert!(a.opener.open(header, &mut body).is_err());
    }

    #[test]
    fn any_sequence_arrives(
        data in prop::collection::vec(prop::collection::vec(0_u8.., 0..300), 0..10),
    ) {
        let (mut a, mut b) = stream();
        for part in data {
            let record = seal(&mut a.sealer, RecordKind::Data, &part);
            prop_assert_eq!(open(&mut b.opener, &record), Ok((RecordKind::Data, part)));
        }
    }
}
