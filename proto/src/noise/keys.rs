//! Key types: secrets that zero themselves, and the public key that names a peer.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::KEY_LEN;
use super::primitives::{self, KeyPair};

/// An X25519 secret key with its public key, computed once.
///
/// Zeroed on drop; `Debug` shows the public half only. Cloning is explicit because every clone is
/// one more place to protect.
#[derive(Clone)]
pub struct SecretKey(KeyPair);

impl SecretKey {
    /// Takes 32 secret random bytes as they are; X25519 clamps them when it uses them.
    ///
    /// Costs one scalar multiplication. All zeros, the mark of a dead random generator, is
    /// accepted here and refused by the handshake with [`NoiseError::NotContributory`].
    ///
    /// [`NoiseError::NotContributory`]: super::NoiseError::NotContributory
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(KeyPair::with_public(bytes))
    }

    /// The public key that belongs to this secret; free of cost.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public())
    }

    /// The 32 secret bytes, as given to [`SecretKey::from_bytes`], to be stored by the caller.
    pub fn to_bytes(&self) -> [u8; KEY_LEN] {
        self.0.secret()
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey")
            .field("public", &self.public())
            .finish_non_exhaustive()
    }
}

/// An X25519 public key: 32 bytes, little-endian u-coordinate (RFC 7748 section 5).
///
/// Not checked when it is made: a low-order point is refused where it would be used, by the
/// handshake.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PublicKey(pub [u8; KEY_LEN]);

/// A secret that two peers share and the server never sees; all zeros when there is none.
///
/// Zeroed on drop, redacted in `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Psk([u8; KEY_LEN]);

impl Psk {
    /// No shared secret: the peers' static keys alone authenticate the session.
    pub const NONE: Self = Self([0; KEY_LEN]);

    /// The key for a shared secret of any length, domain-separated BLAKE2s of it.
    ///
    /// This is no password hash. Whoever completes a handshake as one of the two peers, or learns
    /// that peer's keys, can try secrets offline: take one with 128 bits of entropy.
    pub fn derive(secret: &[u8]) -> Self {
        Self(primitives::hash(&[b"tcp-punch psk v1", secret]))
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(..)")
    }
}

/// A symmetric key that came out of a handshake.
///
/// Zeroed on drop, redacted in `Debug`. Its bytes do not leave this module.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; KEY_LEN]);

impl Key {
    pub(crate) const fn new(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;

    /// RFC 7748 section 6.1.
    #[test]
    fn public_key_of_the_rfc_vector() {
        let alice = [
            0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2,
            0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5,
            0x1d, 0xb9, 0x2c, 0x2a,
        ];
        let public = [
            0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e,
            0xf7, 0x5a, 0x0d, 0xbf, 0x3a, 0x0d, 0x26, 0x38, 0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e,
            0xaa, 0x9b, 0x4e, 0x6a,
        ];
        let key = SecretKey::from_bytes(alice);
        assert_eq!(key.public(), PublicKey(public));
        assert_eq!(key.to_bytes(), alice);
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = SecretKey::from_bytes([0xab; 32]);
        assert!(!format!("{key:?}").contains("171, 171"));
        assert_eq!(format!("{:?}", Psk::derive(b"x")), "Psk(..)");
        assert_eq!(format!("{:?}", Key::new([7; 32])), "Key(..)");
    }

    #[test]
    fn psk_differs_by_secret_and_from_none() {
        assert_ne!(Psk::derive(b"a").bytes(), Psk::derive(b"b").bytes());
        assert_ne!(Psk::derive(b"").bytes(), Psk::NONE.bytes());
    }
}
