//! A small seeded generator (SplitMix64), so that loss and jitter of a run can be had again.

/// The generator; the same seed gives the same numbers.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Starts from a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn same_seed_same_numbers_and_about_half_above_the_middle() {
        let (mut one, mut two) = (Rng::new(7), Rng::new(7));
        let high = (0..1000).filter(|_| one.unit() >= 0.5).count();
        assert!((400..600).contains(&high), "{high}");
        for _ in 0..1000 {
            two.bits();
        }
        assert_eq!(one.bits(), two.bits());
    }
}
