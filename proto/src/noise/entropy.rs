//! Two deterministic generators: one for secrets, one for what everybody may see.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::primitives::{Label, derive};
use super::{KEY_LEN, Key};

const OUTPUT_LABEL: &Label = b"tcp-punch random";
const RATCHET_LABEL: &Label = b"tcp-punch rtchet";

/// Secret random bytes from a seed: keyed BLAKE2s of a counter, with a new key after each draw.
///
/// The same seed and the same draws give the same bytes, so a run can be replayed. Who sees the
/// state later cannot compute what was drawn before. Zeroed on drop, redacted in `Debug`, not
/// `Clone`: a copy would repeat secrets.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Entropy([u8; KEY_LEN]);

impl Entropy {
    /// Starts from 32 bytes of the operating system's or the hardware's generator, used for this
    /// alone.
    pub fn new(seed: [u8; KEY_LEN]) -> Self {
        Self(seed)
    }

    /// Fills `out`. Drawing in two calls gives other bytes than drawing in one.
    pub fn fill(&mut self, out: &mut [u8]) {
        for (counter, chunk) in (0_u64..).zip(out.chunks_mut(KEY_LEN)) {
            let block = Key::new(derive(&self.0, OUTPUT_LABEL, &[&counter.to_le_bytes()]));
            for (to, from) in chunk.iter_mut().zip(block.bytes()) {
                *to = *from;
            }
        }
        self.0 = derive(&self.0, RATCHET_LABEL, &[]);
    }

    /// Draws `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(..)")
    }
}

/// Public randomness for delays and choices: splitmix64. Predictable from a few outputs, and that
/// is all right; nothing secret is ever drawn from it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// Starts from any number, zero included.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `bound - 1`; 0 when `bound` is 0.
    ///
    /// The bias is below `bound` / 2^64.
    pub const fn below(&mut self, bound: u64) -> u64 {
        let wide = (self.next() as u128).wrapping_mul(bound as u128);
        (wide >> 64) as u64
    }

    /// <https://prng.di.unimi.it/splitmix64.c>
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;

    #[test]
    fn entropy_is_deterministic_and_never_repeats() {
        let mut a = Entropy::new([1; 32]);
        let mut b = Entropy::new([1; 32]);
        let first: [u8; 100] = a.bytes();
        assert_eq!(first, b.bytes());
        let second: [u8; 100] = a.bytes();
        assert_ne!(first, second);
        assert_ne!(first[..32], first[32..64]);
        assert_ne!(Entropy::new([2; 32]).bytes::<100>(), first);
    }

    #[test]
    fn entropy_ratchets_even_for_nothing() {
        let mut a = Entropy::new([1; 32]);
        a.fill(&mut []);
        assert_ne!(a.bytes::<16>(), Entropy::new([1; 32]).bytes::<16>());
        assert_eq!(format!("{a:?}"), "Entropy(..)");
    }

    /// The first outputs of the reference implementation for seed 1234567.
    #[test]
    fn jitter_is_splitmix64() {
        let mut jitter = Jitter::new(1_234_567);
        let got = [jitter.next(), jitter.next(), jitter.next()];
        assert_eq!(
            got,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn jitter_stays_below_its_bound() {
        let mut jitter = Jitter::new(0);
        let mut seen = 0_u32;
        for _ in 0..1000 {
            seen |= 1 << jitter.below(7);
            assert_eq!(jitter.below(0), 0);
            assert_eq!(jitter.below(1), 0);
        }
        assert_eq!(seen, 0b111_1111);
    }
}
