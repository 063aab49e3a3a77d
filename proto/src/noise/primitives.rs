//! The three primitives, and the glue that gives them to `noise-protocol`.
//!
//! Every function is total: the trait methods that `noise-protocol` documents as panicking on
//! wrong lengths do nothing useful instead, and [`handshake`](super::handshake) checks the
//! lengths before.

use blake2::digest::consts::{U16, U32};
use blake2::digest::{FixedOutput, KeyInit as _, Update};
use blake2::{Blake2s256, Blake2sMac, Digest};
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use noise_protocol::{Cipher, DH, Hash, U8Array};
use subtle::ConstantTimeEq as _;
use x25519_dalek::{PublicKey, StaticSecret, X25519_BASEPOINT_BYTES};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{KEY_LEN, NoiseError, TAG_LEN};

/// `N` bytes of key material inside `noise-protocol`'s state, zeroed when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Secret<const N: usize>([u8; N]);

impl Secret<KEY_LEN> {
    pub(super) const fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl<const N: usize> U8Array for Secret<N> {
    fn new() -> Self {
        Self([0; N])
    }

    fn new_with(byte: u8) -> Self {
        Self([byte; N])
    }

    fn from_slice(bytes: &[u8]) -> Self {
        debug_assert_eq!(bytes.len(), N);
        let mut secret = Self::new();
        for (to, from) in secret.0.iter_mut().zip(bytes) {
            *to = *from;
        }
        secret
    }

    fn len() -> usize {
        N
    }

    fn as_slice(&self) -> &[u8] {
        &self.0
    }

    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// A secret key and, where it has been computed already, its public key.
///
/// `noise-protocol` asks for the public key of the own static key in every handshake; remembering
/// it saves one of six scalar multiplications. Stored as secret, then public; a public half of
/// zeros means "not computed", and is no public key of any secret.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct KeyPair([[u8; KEY_LEN]; 2]);

impl KeyPair {
    pub(super) fn with_public(secret: [u8; KEY_LEN]) -> Self {
        let public = scalar_mult(&secret, &X25519_BASEPOINT_BYTES);
        Self([secret, *public.bytes()])
    }

    /// For a secret whose public key is needed once at most.
    pub(super) const fn lazy(secret: [u8; KEY_LEN]) -> Self {
        Self([secret, [0; KEY_LEN]])
    }

    pub(super) const fn secret(&self) -> [u8; KEY_LEN] {
        let [secret, _] = self.0;
        secret
    }

    pub(super) fn public(&self) -> [u8; KEY_LEN] {
        let [secret, public] = &self.0;
        if *public == [0; KEY_LEN] {
            *scalar_mult(secret, &X25519_BASEPOINT_BYTES).bytes()
        } else {
            *public
        }
    }
}

impl U8Array for KeyPair {
    fn new() -> Self {
        Self([[0; KEY_LEN]; 2])
    }

    fn new_with(byte: u8) -> Self {
        Self([[byte; KEY_LEN]; 2])
    }

    fn from_slice(bytes: &[u8]) -> Self {
        let mut pair = Self::new();
        for (to, from) in pair.as_mut().iter_mut().zip(bytes) {
            *to = *from;
        }
        pair
    }

    fn len() -> usize {
        size_of::<Self>()
    }

    fn as_slice(&self) -> &[u8] {
        self.0.as_flattened()
    }

    fn as_mut(&mut self) -> &mut [u8] {
        self.0.as_flattened_mut()
    }
}

/// X25519, always by the Montgomery ladder: the Edwards base-point code is not linked.
fn scalar_mult(secret: &[u8; KEY_LEN], point: &[u8; KEY_LEN]) -> Secret<KEY_LEN> {
    let shared = StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*point));
    Secret(shared.to_bytes())
}

/// `25519` of the Noise specification, section 12.1, with the check that it leaves open.
pub(super) struct X25519;

impl DH for X25519 {
    type Key = KeyPair;
    type Pubkey = [u8; KEY_LEN];
    type Output = Secret<KEY_LEN>;

    fn name() -> &'static str {
        "25519"
    }

    /// Never called, because every handshake is given its ephemeral key; were it called, `dh`
    /// would refuse this one.
    fn genkey() -> Self::Key {
        KeyPair::lazy([0; KEY_LEN])
    }

    fn pubkey(key: &Self::Key) -> Self::Pubkey {
        key.public()
    }

    /// Refuses a low-order point (RFC 7748 section 6.1), and an own secret of zeros.
    fn dh(key: &Self::Key, public: &Self::Pubkey) -> Result<Self::Output, ()> {
        let [secret, _] = &key.0;
        let shared = scalar_mult(secret, public);
        let zero = [0; KEY_LEN];
        let refused = shared.bytes().ct_eq(&zero) | secret.ct_eq(&zero);
        if refused.into() { Err(()) } else { Ok(shared) }
    }
}

/// `ChaChaPoly` of the Noise specification, section 12.3.
pub(super) struct ChaChaPoly;

impl Cipher for ChaChaPoly {
    type Key = Secret<KEY_LEN>;

    fn name() -> &'static str {
        "ChaChaPoly"
    }

    fn encrypt(key: &Self::Key, nonce: u64, ad: &[u8], plaintext: &[u8], out: &mut [u8]) {
        let len = plaintext.len();
        if let Some(text) = out.get_mut(..len) {
            text.copy_from_slice(plaintext);
        }
        Self::encrypt_in_place(key, nonce, ad, out, len);
    }

    fn encrypt_in_place(
        key: &Self::Key,
        nonce: u64,
        ad: &[u8],
        in_out: &mut [u8],
        plaintext_len: usize,
    ) -> usize {
        seal_in_place(key.bytes(), nonce, ad, in_out, plaintext_len).unwrap_or_else(|_| {
            // Unreachable after the length checks of `Handshake`; a plaintext never leaves.
            in_out.zeroize();
            0
        })
    }

    fn decrypt(
        key: &Self::Key,
        nonce: u64,
        ad: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<(), ()> {
        let (text, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(())?;
        if out.len() != text.len() {
            return Err(());
        }
        out.copy_from_slice(text);
        aead_open(key.bytes(), nonce, ad, out, tag).map_err(|_| ())
    }

    fn decrypt_in_place(
        key: &Self::Key,
        nonce: u64,
        ad: &[u8],
        in_out: &mut [u8],
        ciphertext_len: usize,
    ) -> Result<usize, ()> {
        let sealed = in_out.get_mut(..ciphertext_len).ok_or(())?;
        let (text, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(())?;
        aead_open(key.bytes(), nonce, ad, text, tag).map_err(|_| ())?;
        Ok(text.len())
    }
}

/// Encrypts `buf[..len]` in place and writes the tag behind it; returns `len + 16`.
pub(super) fn seal_in_place(
    key: &[u8; KEY_LEN],
    nonce: u64,
    ad: &[u8],
    buf: &mut [u8],
    len: usize,
) -> Result<usize, NoiseError> {
    let total = len.checked_add(TAG_LEN).ok_or(NoiseError::TooLong)?;
    let sealed = buf.get_mut(..total).ok_or(NoiseError::TooLong)?;
    let (text, tag) = sealed
        .split_last_chunk_mut::<TAG_LEN>()
        .ok_or(NoiseError::TooLong)?;
    *tag = ChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached(&noise_nonce(nonce), ad, text.into())
        .map_err(|_| NoiseError::TooLong)?
        .into();
    Ok(total)
}

/// Checks the tag in constant time, then decrypts in place; on failure `text` is unchanged.
pub(super) fn aead_open(
    key: &[u8; KEY_LEN],
    nonce: u64,
    ad: &[u8],
    text: &mut [u8],
    tag: &[u8; TAG_LEN],
) -> Result<(), NoiseError> {
    ChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(&noise_nonce(nonce), ad, text.into(), tag.into())
        .map_err(|_| NoiseError::Decrypt)
}

/// 32 zero bits, then the counter in little-endian order (Noise section 12.3).
fn noise_nonce(counter: u64) -> Nonce {
    let [a, b, c, d, e, f, g, h] = counter.to_le_bytes();
    Nonce::from([0, 0, 0, 0, a, b, c, d, e, f, g, h])
}

/// `BLAKE2s` of the Noise specification, section 12.5.
#[derive(Default)]
pub(super) struct Blake2s(Blake2s256);

impl Hash for Blake2s {
    type Block = Secret<64>;
    type Output = Secret<KEY_LEN>;

    fn name() -> &'static str {
        "BLAKE2s"
    }

    fn input(&mut self, data: &[u8]) {
        Digest::update(&mut self.0, data);
    }

    fn result(&mut self) -> Self::Output {
        Secret(core::mem::take(&mut self.0).finalize().into())
    }
}

/// BLAKE2s-256 of the concatenation of `parts`.
pub(super) fn hash(parts: &[&[u8]]) -> [u8; KEY_LEN] {
    let mut hash = Blake2s256::new();
    for part in parts {
        Digest::update(&mut hash, part);
    }
    hash.finalize().into()
}

/// Says what an output of a keyed hash is for. All have one length, so that none is a prefix of
/// another.
pub(crate) type Label = [u8; 16];

/// Keyed BLAKE2s-256 (RFC 7693 section 2.9) of the label and the concatenation of `parts`, which
/// must have fixed lengths.
pub(super) fn derive(key: &[u8; KEY_LEN], label: &Label, parts: &[&[u8]]) -> [u8; KEY_LEN] {
    let mut mac = Blake2sMac::<U32>::new(key.into());
    mac.update(label);
    for part in parts {
        mac.update(part);
    }
    mac.finalize_fixed().into()
}

/// Keyed BLAKE2s-128 of the label and `parts`, each with its length as u64 little-endian before
/// it, so that no two lists of parts feed the same bytes.
pub(crate) fn mac(key: &[u8; KEY_LEN], label: &Label, parts: &[&[u8]]) -> [u8; TAG_LEN] {
    let mut mac = Blake2sMac::<U16>::new(key.into());
    mac.update(label);
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize_fixed().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7693 appendix B.
    #[test]
    fn blake2s_of_abc() {
        let expected = [
            0x50, 0x8c, 0x5e, 0x8c, 0x32, 0x7c, 0x14, 0xe2, 0xe1, 0xa7, 0x2b, 0xa3, 0x4e, 0xeb,
            0x45, 0x2f, 0x37, 0x45, 0x8b, 0x20, 0x9e, 0xd6, 0x3a, 0x29, 0x4d, 0x99, 0x9b, 0x4c,
            0x86, 0x67, 0x59, 0x82,
        ];
        assert_eq!(hash(&[b"a", b"bc"]), expected);
    }

    #[test]
    fn lists_of_parts_do_not_collide() {
        let key = [1; 32];
        let label = b"0123456789abcdef";
        let macs = [
            mac(&key, label, &[]),
            mac(&key, label, &[b""]),
            mac(&key, label, &[b"ab"]),
            mac(&key, label, &[b"a", b"b"]),
            mac(&key, label, &[b"ab", b""]),
            mac(&key, label, &[b"", b"ab"]),
        ];
        for (i, a) in macs.iter().enumerate() {
            assert!(macs.iter().skip(i + 1).all(|b| a != b));
        }
    }

    /// Orders 1, 2, 4 and 8, and their non-canonical encodings, as listed at
    /// <https://cr.yp.to/ecdh.html>.
    #[test]
    fn low_order_points_are_refused() {
        let order_8 = [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f,
            0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16,
            0x5f, 0x49, 0xb8, 0x00,
        ];
        let mut one = [0; 32];
        one[0] = 1;
        let mut prime = [0xff; 32];
        prime[0] = 0xed;
        prime[31] = 0x7f;
        let mut minus_one = prime;
        minus_one[0] = 0xec;
        let mut prime_plus_one = prime;
        prime_plus_one[0] = 0xee;
        let mut zero_high_bit = [0; 32];
        zero_high_bit[31] = 0x80;
        for point in [
            [0; 32],
            one,
            order_8,
            prime,
            minus_one,
            prime_plus_one,
            zero_high_bit,
        ] {
            assert!(X25519::dh(&KeyPair::lazy([7; 32]), &point).is_err());
        }
        assert!(X25519::dh(&KeyPair::lazy([7; 32]), &X25519_BASEPOINT_BYTES).is_ok());
        assert!(X25519::dh(&X25519::genkey(), &X25519_BASEPOINT_BYTES).is_err());
    }

    #[test]
    fn a_lazy_pair_has_the_same_public_key() {
        assert_eq!(
            KeyPair::lazy([9; 32]).public(),
            KeyPair::with_public([9; 32]).public()
        );
    }
}
