//! The punched stream between two peers: MACs of hellos, keys of each stream, records.
//!
//! A record on the wire:
//!
//! ```text
//! 0        2      3                 3+n        19+n
//! | length | kind |      data       |    tag    |
//!           \______________________/ \_________/
//!                 encrypted           Poly1305
//! ```
//!
//! The length is big-endian, counts what follows it, and is the associated data. The nonce is the
//! number of the record in its direction, from 0.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::handshake::{Finished, NoiseError};
use super::keys::Key;
use super::primitives::{Label, derive, mac};
use super::transport::OneWay;
use super::{KEY_LEN, TAG_LEN};

/// Length of the MAC in a hello, in bytes.
pub const HELLO_MAC_LEN: usize = 16;

/// Length of the nonce that each side puts in its hello, in bytes.
pub const STREAM_NONCE_LEN: usize = 16;

/// Length of what stands before a record's body, in bytes: the body's length, big-endian.
pub const RECORD_HEADER: usize = 2;

/// What a record adds to its data, in bytes: header, kind, tag.
pub const RECORD_OVERHEAD: usize = RECORD_HEADER + 1 + TAG_LEN;

/// Where the data begins in a record, in bytes; see [`RecordSealer::seal_in_place`].
pub const RECORD_DATA_OFFSET: usize = RECORD_HEADER + 1;

/// The most data one record carries, in bytes.
pub const MAX_RECORD_DATA: usize = 16 * 1024;

const MIN_BODY: usize = 1 + TAG_LEN;
const MAX_BODY: usize = MIN_BODY + MAX_RECORD_DATA;

const HELLO_LABEL: &Label = b"tcp-punch hello1";
const RECORD_LABEL: &Label = b"tcp-punch recrd1";

/// Which side of a session a peer is. The introduction decides it, never who connected.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Role {
    /// Asked for the session; the initiator of its handshake.
    Requester,
    /// Was asked.
    Responder,
}

impl Role {
    /// The role of the other side.
    pub const fn other(self) -> Self {
        match self {
            Self::Requester => Self::Responder,
            Self::Responder => Self::Requester,
        }
    }
}

/// What a session keeps of its finished handshake, for all its streams.
#[derive(Debug)]
pub struct SessionKeys {
    requester: Key,
    responder: Key,
    hash: [u8; KEY_LEN],
}

impl SessionKeys {
    /// The keys of a session whose requester was the initiator.
    pub fn new(finished: &Finished) -> Self {
        Self {
            requester: finished.initiator_key.clone(),
            responder: finished.responder_key.clone(),
            hash: finished.hash,
        }
    }

    /// The handshake hash, for channel binding; the same on both sides, not a secret.
    pub fn hash(&self) -> [u8; KEY_LEN] {
        self.hash
    }

    /// The MAC that proves a hello to come from the peer in role `from`, over all of `parts`:
    /// keyed BLAKE2s-128, every part with its length.
    pub fn hello_mac(&self, from: Role, parts: &[&[u8]]) -> [u8; HELLO_MAC_LEN] {
        mac(self.key(from).bytes(), HELLO_LABEL, parts)
    }

    /// Whether `mac` is what [`hello_mac`](Self::hello_mac) gives, compared in constant time.
    pub fn verify_hello(&self, from: Role, parts: &[&[u8]], mac: &[u8; HELLO_MAC_LEN]) -> bool {
        self.hello_mac(from, parts).ct_eq(mac).into()
    }

    /// The record keys of one stream: keyed BLAKE2s of the handshake hash and both hellos' nonces,
    /// under the key of each direction.
    ///
    /// The own nonce must be fresh random bytes for each stream; then no key comes twice, whatever
    /// the other side repeats. Call it once per pair of nonces.
    pub fn stream_keys(
        &self,
        requester_nonce: &[u8; STREAM_NONCE_LEN],
        responder_nonce: &[u8; STREAM_NONCE_LEN],
    ) -> StreamKeys {
        let key = |role| {
            Key::new(derive(
                self.key(role).bytes(),
                RECORD_LABEL,
                &[&self.hash, requester_nonce, responder_nonce],
            ))
        };
        StreamKeys {
            requester: key(Role::Requester),
            responder: key(Role::Responder),
        }
    }

    fn key(&self, role: Role) -> &Key {
        match role {
            Role::Requester => &self.requester,
            Role::Responder => &self.responder,
        }
    }
}

/// The record keys of one stream, both directions. Consumed by use: each key starts at nonce 0
/// once.
#[derive(Debug)]
pub struct StreamKeys {
    requester: Key,
    responder: Key,
}

impl StreamKeys {
    /// Both directions, seen from `role`.
    pub fn records(self, role: Role) -> Records {
        let (sealer, opener) = self.into_split(role);
        Records { sealer, opener }
    }

    /// The two directions, seen from `role`, to be owned apart.
    pub fn into_split(self, role: Role) -> (RecordSealer, RecordOpener) {
        let (tx, rx) = match role {
            Role::Requester => (self.requester, self.responder),
            Role::Responder => (self.responder, self.requester),
        };
        (
            RecordSealer {
                way: OneWay::new(tx),
            },
            RecordOpener {
                way: OneWay::new(rx),
                failed: None,
            },
        )
    }
}

/// Both directions of one stream's records.
#[derive(Debug)]
pub struct Records {
    /// What this side sends.
    pub sealer: RecordSealer,
    /// What the other side sends.
    pub opener: RecordOpener,
}

impl Records {
    /// The two directions, to be owned apart.
    pub fn split(self) -> (RecordSealer, RecordOpener) {
        (self.sealer, self.opener)
    }
}

/// What a record is for.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum RecordKind {
    /// The requester chooses this stream: its first record there.
    Nominate = 1,
    /// Bytes of the application.
    Data = 2,
    /// The end of this direction. A stream that ends without it was truncated.
    Close = 3,
}

impl RecordKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Nominate),
            2 => Some(Self::Data),
            3 => Some(Self::Close),
            _ => None,
        }
    }
}

/// Seals one direction of a stream.
#[derive(Debug)]
pub struct RecordSealer {
    way: OneWay,
}

impl RecordSealer {
    /// Writes one whole record to the start of `out`; returns its length,
    /// `data.len() + RECORD_OVERHEAD`.
    ///
    /// # Errors
    ///
    /// [`TooLong`](NoiseError::TooLong) when the data exceeds [`MAX_RECORD_DATA`] or `out` has no
    /// room, [`Exhausted`](NoiseError::Exhausted) when the nonces are used up. The sealer is
    /// unchanged then.
    pub fn seal(
        &mut self,
        kind: RecordKind,
        data: &[u8],
        out: &mut [u8],
    ) -> Result<usize, NoiseError> {
        out.get_mut(RECORD_DATA_OFFSET..)
            .and_then(|rest| rest.get_mut(..data.len()))
            .ok_or(NoiseError::TooLong)?
            .copy_from_slice(data);
        self.seal_in_place(kind, out, data.len())
    }

    /// Makes a record of `data_len` bytes that the caller has laid at
    /// `buf[RECORD_DATA_OFFSET..]`; returns its length, `data_len + RECORD_OVERHEAD`.
    ///
    /// # Errors
    ///
    /// Those of [`seal`](Self::seal); the sealer is unchanged then.
    pub fn seal_in_place(
        &mut self,
        kind: RecordKind,
        buf: &mut [u8],
        data_len: usize,
    ) -> Result<usize, NoiseError> {
        let body_len = data_len
            .checked_add(MIN_BODY)
            .filter(|len| *len <= MAX_BODY)
            .ok_or(NoiseError::TooLong)?;
        let text_len = data_len.checked_add(1).ok_or(NoiseError::TooLong)?;
        let header = u16::try_from(body_len)
            .map_err(|_| NoiseError::TooLong)?
            .to_be_bytes();
        let (head, rest) = buf
            .split_first_chunk_mut::<RECORD_HEADER>()
            .ok_or(NoiseError::TooLong)?;
        let body = rest.get_mut(..body_len).ok_or(NoiseError::TooLong)?;
        *head = header;
        if let Some(first) = body.first_mut() {
            *first = kind as u8;
        }
        let sealed = self.way.seal(&header, body, text_len)?;
        sealed.checked_add(RECORD_HEADER).ok_or(NoiseError::TooLong)
    }
}

/// Opens one direction of a stream.
#[derive(Debug)]
pub struct RecordOpener {
    way: OneWay,
    failed: Option<NoiseError>,
}

impl RecordOpener {
    /// The length in bytes of the body that follows `header`. Says nothing about who wrote it.
    ///
    /// # Errors
    ///
    /// [`TooShort`](NoiseError::TooShort) or [`TooLong`](NoiseError::TooLong) when no record has
    /// that length: the stream is broken.
    pub fn body_len(header: [u8; RECORD_HEADER]) -> Result<usize, NoiseError> {
        let len = usize::from(u16::from_be_bytes(header));
        if len < MIN_BODY {
            Err(NoiseError::TooShort)
        } else if len > MAX_BODY {
            Err(NoiseError::TooLong)
        } else {
            Ok(len)
        }
    }

    /// Opens a record in place; gives its kind and its data, a part of `body`.
    ///
    /// `body` is what followed `header`, exactly [`body_len`](Self::body_len) bytes.
    ///
    /// # Errors
    ///
    /// [`TooShort`](NoiseError::TooShort), [`TooLong`](NoiseError::TooLong),
    /// [`Decrypt`](NoiseError::Decrypt) (changed, replayed, reordered, or of another stream),
    /// [`UnknownKind`](NoiseError::UnknownKind) or [`Exhausted`](NoiseError::Exhausted). Every
    /// one is final: from then on the opener refuses everything with the same error.
    pub fn open<'a>(
        &mut self,
        header: [u8; RECORD_HEADER],
        body: &'a mut [u8],
    ) -> Result<(RecordKind, &'a mut [u8]), NoiseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.open_next(header, body)
            .inspect_err(|error| self.failed = Some(*error))
    }

    fn open_next<'a>(
        &mut self,
        header: [u8; RECORD_HEADER],
        body: &'a mut [u8],
    ) -> Result<(RecordKind, &'a mut [u8]), NoiseError> {
        let len = Self::body_len(header)?;
        if body.len() < len {
            return Err(NoiseError::TooShort);
        } else if body.len() > len {
            return Err(NoiseError::TooLong);
        }
        let text = self.way.open(&header, body)?;
        let (kind, data) = text.split_first_mut().ok_or(NoiseError::TooShort)?;
        let kind = RecordKind::from_byte(*kind).ok_or(NoiseError::UnknownKind)?;
        Ok((kind, data))
    }
}

#[cfg(test)]
mod tests;
