//! The IK and IKpsk2 handshakes over `noise-protocol`, without its panics.
//!
//! `noise-protocol` panics on a short message, on a message out of turn, and on any message after
//! a failed one. [`Handshake`] checks the first two and remembers the third.

use core::fmt;

use noise_protocol::patterns::{noise_ik, noise_ik_psk2};
use noise_protocol::{ErrorKind, HandshakeState};

use super::keys::{Key, Psk, PublicKey, SecretKey};
use super::primitives::{Blake2s, ChaChaPoly, KeyPair, X25519};
use super::{KEY_LEN, TAG_LEN};

/// What message 1 adds to its payload, in bytes: ephemeral key, encrypted static key, tag.
pub const MESSAGE_1_OVERHEAD: usize = KEY_LEN + (KEY_LEN + TAG_LEN) + TAG_LEN;

/// What message 2 adds to its payload, in bytes: ephemeral key, tag.
pub const MESSAGE_2_OVERHEAD: usize = KEY_LEN + TAG_LEN;

/// The longest handshake or transport message, in bytes (Noise section 3).
pub const MAX_MESSAGE: usize = 65_535;

/// Which handshake is run; both ends must name the same.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Pattern {
    /// `Noise_IK_25519_ChaChaPoly_BLAKE2s`: a peer to the server whose key it knows.
    Ik,
    /// `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s`: peer to peer, with a pre-shared key mixed into
    /// message 2.
    IkPsk2,
}

/// Why a Noise operation was refused.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum NoiseError {
    /// The message is shorter than any message of its kind.
    TooShort,
    /// The message is longer than any of its kind, or the caller's buffer has no room.
    TooLong,
    /// Authentication failed: wrong key, pre-shared key, prologue, order, or changed bytes.
    Decrypt,
    /// A Diffie-Hellman result did not depend on the own secret: the other side's key is a
    /// low-order point. Also reported when the own secret is all zeros.
    NotContributory,
    /// Not this side's turn, not finished yet, or an earlier step has failed.
    OutOfOrder,
    /// All 2^64 - 1 nonces are used.
    Exhausted,
    /// A record authenticated, but its kind is not known.
    UnknownKind,
}

impl fmt::Display for NoiseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooShort => "message too short",
            Self::TooLong => "message too long or buffer too small",
            Self::Decrypt => "message did not authenticate",
            Self::NotContributory => "key exchange is not contributory",
            Self::OutOfOrder => "operation out of order",
            Self::Exhausted => "nonces are exhausted",
            Self::UnknownKind => "unknown kind of record",
        })
    }
}

impl core::error::Error for NoiseError {}

impl From<noise_protocol::Error> for NoiseError {
    fn from(error: noise_protocol::Error) -> Self {
        match error.kind() {
            ErrorKind::DH => Self::NotContributory,
            ErrorKind::NeedPSK => Self::OutOfOrder,
            ErrorKind::Decryption => Self::Decrypt,
            ErrorKind::TooShort => Self::TooShort,
        }
    }
}

type State = HandshakeState<X25519, ChaChaPoly, Blake2s>;

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Turn {
    Write,
    Read,
    Finished,
    Failed,
}

/// One side of one handshake.
///
/// | | initiator | responder |
/// |---|---|---|
/// | 1 | [`write_message`](Self::write_message) | [`read_message`](Self::read_message) |
/// | 2 | [`read_message`](Self::read_message) or [`try_read_message`](Self::try_read_message) | [`write_message`](Self::write_message) |
/// | 3 | [`finish`](Self::finish) | [`finish`](Self::finish) |
///
/// Anything in another order is [`NoiseError::OutOfOrder`]. A failed handshake stays failed;
/// buffers that are too small and calls out of turn change nothing.
///
/// Message 1 may be a replay: act on what it says only after something fresh has decrypted under
/// the finished keys. It is not `Clone`, because a copy would use its ephemeral key twice.
pub struct Handshake {
    state: State,
    psk: Psk,
    pattern: Pattern,
    turn: Turn,
}

impl Handshake {
    /// The side that writes message 1 and knows the other's static key.
    ///
    /// `prologue` is what both sides must agree on; it is not sent. `psk` is not used by
    /// [`Pattern::Ik`]. `ephemeral` is 32 secret random bytes, **fresh for each handshake**.
    pub fn initiator(
        pattern: Pattern,
        prologue: &[u8],
        local: &SecretKey,
        remote: &PublicKey,
        psk: &Psk,
        ephemeral: [u8; KEY_LEN],
    ) -> Self {
        Self::new(pattern, prologue, local, Some(remote), psk, ephemeral)
    }

    /// The side that reads message 1. The arguments are those of [`Handshake::initiator`].
    ///
    /// Cheap: the first scalar multiplication happens when message 1 is read.
    pub fn responder(
        pattern: Pattern,
        prologue: &[u8],
        local: &SecretKey,
        psk: &Psk,
        ephemeral: [u8; KEY_LEN],
    ) -> Self {
        Self::new(pattern, prologue, local, None, psk, ephemeral)
    }

    fn new(
        pattern: Pattern,
        prologue: &[u8],
        local: &SecretKey,
        remote: Option<&PublicKey>,
        psk: &Psk,
        ephemeral: [u8; KEY_LEN],
    ) -> Self {
        let is_initiator = remote.is_some();
        let state = State::new(
            match pattern {
                Pattern::Ik => noise_ik(),
                Pattern::IkPsk2 => noise_ik_psk2(),
            },
            is_initiator,
            prologue,
            Some(local.pair().clone()),
            Some(KeyPair::lazy(ephemeral)),
            remote.map(|key| key.0),
            None,
        );
        Self {
            state,
            psk: psk.clone(),
            pattern,
            turn: if is_initiator {
                Turn::Write
            } else {
                Turn::Read
            },
        }
    }

    /// Writes this side's message around `payload` to the start of `out`; returns its length,
    /// [`MESSAGE_1_OVERHEAD`] or [`MESSAGE_2_OVERHEAD`] more than the payload's.
    ///
    /// The payload of message 1 is encrypted to the responder's static key alone: who learns that
    /// key later can read it, and it can be replayed.
    ///
    /// # Errors
    ///
    /// [`OutOfOrder`](NoiseError::OutOfOrder) and [`TooLong`](NoiseError::TooLong) (`out` has no
    /// room, or the message would exceed [`MAX_MESSAGE`]) change nothing.
    /// [`NotContributory`](NoiseError::NotContributory) ends the handshake.
    pub fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, NoiseError> {
        if self.turn != Turn::Write {
            return Err(NoiseError::OutOfOrder);
        }
        let len = payload
            .len()
            .checked_add(self.state.get_next_message_overhead())
            .filter(|len| *len <= MAX_MESSAGE)
            .ok_or(NoiseError::TooLong)?;
        let out = out.get_mut(..len).ok_or(NoiseError::TooLong)?;
        self.step(Turn::Read, |state| state.write_message(payload, out))?;
        Ok(len)
    }

    /// Reads the other side's message and writes its payload to the start of `payload`; returns
    /// the payload's length.
    ///
    /// # Errors
    ///
    /// [`OutOfOrder`](NoiseError::OutOfOrder), [`TooShort`](NoiseError::TooShort) and
    /// [`TooLong`](NoiseError::TooLong) (`payload` has no room, or the message exceeds
    /// [`MAX_MESSAGE`]) change nothing. [`Decrypt`](NoiseError::Decrypt) and
    /// [`NotContributory`](NoiseError::NotContributory) end the handshake; then the content of
    /// `payload` is unspecified.
    pub fn read_message(
        &mut self,
        message: &[u8],
        payload: &mut [u8],
    ) -> Result<usize, NoiseError> {
        if self.turn != Turn::Read {
            return Err(NoiseError::OutOfOrder);
        }
        if message.len() > MAX_MESSAGE {
            return Err(NoiseError::TooLong);
        }
        let len = message
            .len()
            .checked_sub(self.state.get_next_message_overhead())
            .ok_or(NoiseError::TooShort)?;
        let payload = payload.get_mut(..len).ok_or(NoiseError::TooLong)?;
        self.step(Turn::Write, |state| state.read_message(message, payload))?;
        Ok(len)
    }

    /// [`read_message`](Self::read_message) on a copy: the handshake moves on only if the message
    /// is genuine, so a forged one costs nothing but the work.
    ///
    /// That work is up to two scalar multiplications for message 2: bound the number of tries.
    ///
    /// # Errors
    ///
    /// Those of [`read_message`](Self::read_message); none of them changes the handshake.
    pub fn try_read_message(
        &mut self,
        message: &[u8],
        payload: &mut [u8],
    ) -> Result<usize, NoiseError> {
        let mut copy = Self {
            state: self.state.clone(),
            psk: self.psk.clone(),
            pattern: self.pattern,
            turn: self.turn,
        };
        let len = copy.read_message(message, payload)?;
        *self = copy;
        Ok(len)
    }

    /// Runs one step with the pre-shared key in place; the handshake is failed unless it succeeds.
    fn step(
        &mut self,
        next: Turn,
        run: impl FnOnce(&mut State) -> Result<(), noise_protocol::Error>,
    ) -> Result<(), NoiseError> {
        // The initiator reads, and the responder writes, message 2.
        let is_second = (self.turn == Turn::Read) == self.state.get_is_initiator();
        let needs_psk = is_second && self.pattern == Pattern::IkPsk2;
        self.turn = Turn::Failed;
        if needs_psk {
            // The state cannot zero its queue of keys, so it has the key only while it needs it,
            // and zeros go over the place from which the step has taken it.
            self.state.push_psk(self.psk.bytes());
        }
        let result = run(&mut self.state);
        if needs_psk {
            self.state.push_psk(Psk::NONE.bytes());
        }
        result?;
        self.turn = if is_second { Turn::Finished } else { next };
        Ok(())
    }

    /// The other side's static key: known from the start to the initiator, and to the responder
    /// once message 1 has been read. `None` after a failure.
    pub fn remote_static(&self) -> Option<PublicKey> {
        match self.turn {
            Turn::Write | Turn::Read | Turn::Finished => self.state.get_rs().map(PublicKey),
            Turn::Failed => None,
        }
    }

    /// Whether both messages have passed.
    pub fn is_finished(&self) -> bool {
        self.turn == Turn::Finished
    }

    /// The keys that the handshake has agreed on. May be called again; gives the same keys.
    ///
    /// Each of the two keys must be used with one sequence of nonces only, so make one
    /// [`Transport`](super::Transport) or one [`SessionKeys`](super::SessionKeys) of them.
    ///
    /// # Errors
    ///
    /// [`OutOfOrder`](NoiseError::OutOfOrder) when the handshake is not finished.
    pub fn finish(&self) -> Result<Finished, NoiseError> {
        if !self.is_finished() {
            return Err(NoiseError::OutOfOrder);
        }
        let (initiator, responder) = self.state.get_ciphers();
        let (initiator, _) = initiator.extract();
        let (responder, _) = responder.extract();
        Ok(Finished {
            initiator_key: Key::new(*initiator.bytes()),
            responder_key: Key::new(*responder.bytes()),
            hash: self
                .state
                .get_hash()
                .first_chunk()
                .copied()
                .ok_or(NoiseError::OutOfOrder)?,
        })
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("pattern", &self.pattern)
            .field("turn", &self.turn)
            .finish_non_exhaustive()
    }
}

/// What a finished handshake leaves behind; the same on both sides.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Encrypts from the initiator to the responder.
    pub initiator_key: Key,
    /// Encrypts from the responder to the initiator.
    pub responder_key: Key,
    /// Hash of everything that was said, for channel binding (Noise section 11.2). Not a secret.
    pub hash: [u8; KEY_LEN],
}

#[cfg(test)]
mod tests;
