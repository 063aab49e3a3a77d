//! The handshakes and the transport against `snow`, an independent implementation, in both roles.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that goes wrong may panic"
)]

use snow::{Builder, HandshakeState, TransportState};
use tcp_punch_proto::noise::{
    Finished, Handshake, NoiseError, Pattern, Psk, PublicKey, SecretKey, Transport,
};

const PROLOGUE: &[u8] = b"what both must agree on";
const PATTERNS: [Pattern; 2] = [Pattern::Ik, Pattern::IkPsk2];

/// `Psk::derive(b"between us")`, computed with Python: `blake2s(b"tcp-punch psk v1between us")`.
const SECRET: &[u8] = b"between us";
const DERIVED: [u8; 32] = [
    0x2e, 0x2d, 0x2f, 0x3c, 0xea, 0xfc, 0x69, 0x3b, 0xdf, 0xc9, 0xac, 0x8f, 0x45, 0xa6, 0xea, 0x82,
    0xbc, 0xe3, 0x28, 0xc8, 0x34, 0x7e, 0x34, 0x16, 0xf8, 0x12, 0x1f, 0x77, 0x61, 0x1b, 0xa0, 0x17,
];

fn name(pattern: Pattern) -> &'static str {
    match pattern {
        Pattern::Ik => "Noise_IK_25519_ChaChaPoly_BLAKE2s",
        Pattern::IkPsk2 => "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s",
    }
}

/// One side played by `snow`: what it is given and how it may differ from the other side.
struct Snow {
    pattern: Pattern,
    psk: [u8; 32],
    prologue: &'static [u8],
    secret: [u8; 32],
}

impl Snow {
    fn new(pattern: Pattern, psk: [u8; 32], secret: [u8; 32]) -> Self {
        Self {
            pattern,
            psk,
            prologue: PROLOGUE,
            secret,
        }
    }

    fn builder(&self) -> Builder<'_> {
        let builder = Builder::new(name(self.pattern).parse().unwrap())
            .prologue(self.prologue)
            .unwrap()
            .local_private_key(&self.secret)
            .unwrap();
        match self.pattern {
            Pattern::Ik => builder,
            Pattern::IkPsk2 => builder.psk(2, &self.psk).unwrap(),
        }
    }

    fn responder(&self) -> HandshakeState {
        self.builder().build_responder().unwrap()
    }

    fn initiator(&self, remote: PublicKey) -> HandshakeState {
        self.builder()
            .remote_public_key(&remote.0)
            .unwrap()
            .build_initiator()
            .unwrap()
    }
}

const ALICE: [u8; 32] = [0xa1; 32];
const BOB: [u8; 32] = [0xb0; 32];

fn public(secret: [u8; 32]) -> PublicKey {
    SecretKey::from_bytes(secret).public()
}

fn our_initiator(pattern: Pattern, psk: &Psk) -> Handshake {
    let local = SecretKey::from_bytes(ALICE);
    Handshake::initiator(pattern, PROLOGUE, &local, &public(BOB), psk, [0xe1; 32])
}

fn our_responder(pattern: Pattern, psk: &Psk) -> Handshake {
    let local = SecretKey::from_bytes(BOB);
    Handshake::responder(pattern, PROLOGUE, &local, psk, [0xe2; 32])
}

fn ours_to_snow(ours: &mut Handshake, snow: &mut HandshakeState, payload: &[u8]) -> bool {
    let (mut message, mut got) = ([0; 512], [0; 512]);
    let len = ours.write_message(payload, &mut message).unwrap();
    match snow.read_message(&message[..len], &mut got) {
        Ok(len) => {
            assert_eq!(&got[..len], payload);
            true
        }
        Err(_) => false,
    }
}

fn snow_to_ours(
    snow: &mut HandshakeState,
    ours: &mut Handshake,
    payload: &[u8],
) -> Result<(), NoiseError> {
    let (mut message, mut got) = ([0; 512], [0; 512]);
    let len = snow.write_message(payload, &mut message).unwrap();
    let len = ours.try_read_message(&message[..len], &mut got)?;
    assert_eq!(&got[..len], payload);
    Ok(())
}

/// Same transcript, and the split keys proven by messages both ways.
fn compare(finished: &Finished, initiator: bool, snow: HandshakeState) {
    assert_eq!(snow.get_handshake_hash(), finished.hash);
    let mut snow: TransportState = snow.into_transport_mode().unwrap();
    let mut ours = Transport::new(finished, initiator);
    for len in [0, 1, 63, 64, 65, 1000] {
        let text = vec![7; len];

        let mut sealed = text.clone();
        sealed.resize(len + 16, 0);
        assert_eq!(ours.seal(&mut sealed, len), Ok(len + 16));
        let mut got = vec![0; len + 16];
        assert_eq!(snow.read_message(&sealed, &mut got).unwrap(), len);
        assert_eq!(got[..len], text);

        assert_eq!(snow.write_message(&text, &mut sealed).unwrap(), len + 16);
        assert_eq!(ours.open(&mut sealed), Ok(len));
        assert_eq!(sealed[..len], text);
    }
}

#[test]
fn our_initiator_and_snow() {
    for pattern in PATTERNS {
        for (psk, bytes) in [(Psk::NONE, [0; 32]), (Psk::derive(SECRET), DERIVED)] {
            let mut ours = our_initiator(pattern, &psk);
            let mut snow = Snow::new(pattern, bytes, BOB).responder();
            assert!(ours_to_snow(&mut ours, &mut snow, b"payload one"));
            assert_eq!(snow.get_remote_static(), Some(&public(ALICE).0[..]));
            snow_to_ours(&mut snow, &mut ours, b"payload two, longer").unwrap();
            compare(&ours.finish().unwrap(), true, snow);
        }
    }
}

#[test]
fn snow_and_our_responder() {
    for pattern in PATTERNS {
        for (psk, bytes) in [(Psk::NONE, [0; 32]), (Psk::derive(SECRET), DERIVED)] {
            let mut ours = our_responder(pattern, &psk);
            let mut snow = Snow::new(pattern, bytes, ALICE).initiator(public(BOB));
            snow_to_ours(&mut snow, &mut ours, b"payload one").unwrap();
            assert_eq!(ours.remote_static(), Some(public(ALICE)));
            assert!(ours_to_snow(&mut ours, &mut snow, b""));
            compare(&ours.finish().unwrap(), false, snow);
        }
    }
}

#[test]
fn differences_are_noticed_by_both_implementations() {
    let psk = Psk::derive(SECRET);
    for pattern in PATTERNS {
        // Another static key than the initiator meant.
        let mut snow = Snow::new(pattern, DERIVED, [0x77; 32]).responder();
        assert!(!ours_to_snow(
            &mut our_initiator(pattern, &psk),
            &mut snow,
            b""
        ));
        let mut snow = Snow::new(pattern, DERIVED, ALICE).initiator(public([0x77; 32]));
        assert_eq!(
            snow_to_ours(&mut snow, &mut our_responder(pattern, &psk), b""),
            Err(NoiseError::Decrypt)
        );

        // Another prologue.
        let other = Snow {
            prologue: b"something else",
            ..Snow::new(pattern, DERIVED, BOB)
        };
        assert!(!ours_to_snow(
            &mut our_initiator(pattern, &psk),
            &mut other.responder(),
            b""
        ));
        assert_eq!(
            snow_to_ours(
                &mut other.initiator(public(BOB)),
                &mut our_responder(pattern, &psk),
                b""
            ),
            Err(NoiseError::Decrypt)
        );
    }

    // Another pre-shared key: noticed at message 2.
    let mut ours = our_initiator(Pattern::IkPsk2, &psk);
    let mut snow = Snow::new(Pattern::IkPsk2, [0; 32], BOB).responder();
    assert!(ours_to_snow(&mut ours, &mut snow, b""));
    assert_eq!(
        snow_to_ours(&mut snow, &mut ours, b""),
        Err(NoiseError::Decrypt)
    );
    let mut ours = our_responder(Pattern::IkPsk2, &psk);
    let mut snow = Snow::new(Pattern::IkPsk2, [0; 32], ALICE).initiator(public(BOB));
    snow_to_ours(&mut snow, &mut ours, b"").unwrap();
    assert!(!ours_to_snow(&mut ours, &mut snow, b""));
}
