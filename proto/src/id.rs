//! Names of things: peers, sessions, sockets.
//!
//! Socket, listener and look-up ids are drawn from one counter per machine and
//! are never reused, so that a late outcome can be told from a current one.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base32;
use crate::noise::PublicKey;

/// A peer's name: its X25519 public key.
///
/// Shown and parsed as 52 characters of RFC 4648 base32, lower case, without
/// padding.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PeerId([u8; 32]);

impl PeerId {
    /// The id of the peer that holds the secret half of this key.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) const fn key(&self) -> PublicKey {
        PublicKey(self.0)
    }
}

impl From<PublicKey> for PeerId {
    fn from(key: PublicKey) -> Self {
        Self(key.0)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        base32::encode(&self.0, f)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

impl FromStr for PeerId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        base32::decode32(text).map(Self).ok_or(ParseIdError)
    }
}

/// The text is not 52 characters of base32.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a peer id or key is 52 characters of base32 (a-z, 2-7)")
    }
}

impl core::error::Error for ParseIdError {}

/// One introduction of a requester to a responder: 16 random bytes chosen by
/// the requester.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// Wraps the 16 bytes of an id.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes of the id.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// Where a main link lives inside a server, as far as assist links need to
/// know it: chosen at random by the server for each link.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkHandle(pub u64);

/// A socket of a peer machine, dialled or accepted.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SocketId(pub(crate) u32);

/// A listener of a peer machine.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ListenerId(pub(crate) u32);

/// A name look-up of a peer machine.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ResolveId(pub(crate) u32);

/// Draws ids that are never reused.
///
/// Wraps after 2^32 - 1 draws; at a thousand dials a second that is seven
/// weeks, by when no outcome of the first ids is still on its way.
#[derive(Debug, Default)]
pub(crate) struct IdSource(u32);

impl IdSource {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1).max(1);
        self.0
    }

    pub(crate) fn socket(&mut self) -> SocketId {
        SocketId(self.next())
    }

    /// So many ids of sockets in a row; the first of them.
    pub(crate) fn sockets(&mut self, count: u16) -> u32 {
        if self.0.checked_add(u32::from(count)).is_none() {
            self.0 = 0;
        }
        let first = self.0.wrapping_add(1);
        self.0 = self.0.wrapping_add(u32::from(count));
        first
    }

    pub(crate) fn listener(&mut self) -> ListenerId {
        ListenerId(self.next())
    }

    pub(crate) fn resolve(&mut self) -> ResolveId {
        ResolveId(self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_ids_survive_their_text_form() {
        let id = PeerId::from_bytes(core::array::from_fn(|i| (i as u8).wrapping_mul(37)));
        let mut text = heapless::String::<64>::new();
        fmt::write(&mut text, format_args!("{id}")).unwrap();
        assert_eq!(text.len(), 52);
        assert_eq!(text.parse::<PeerId>(), Ok(id));
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in [
            "",
            "abc",
            &"a".repeat(51),
            &"a".repeat(53),
            &"1".repeat(52),
            &"é".repeat(26),
        ] {
            assert_eq!(text.parse::<PeerId>(), Err(ParseIdError), "{text:?}");
        }
        // The last character carries one bit of padding more than the key has.
        let mut padded = "a".repeat(51);
        padded.push('b');
        assert_eq!(padded.parse::<PeerId>(), Err(ParseIdError));
    }

    #[test]
    fn ids_skip_zero_when_they_wrap() {
        let mut source = IdSource(u32::MAX);
        assert_eq!(source.socket(), SocketId(1));
        let mut source = IdSource(u32::MAX - 2);
        assert_eq!(source.sockets(3), 1);
        assert_eq!(source.socket(), SocketId(4));
    }
}
