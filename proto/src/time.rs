//! Time as the machines see it: a number that the caller supplies.

use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;

/// A point on the caller's monotonic clock, in microseconds since a moment that
/// only the caller knows.
///
/// Arithmetic saturates: a clock that jumps can make a deadline late or early,
/// never wrap it round.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
// One more than the microseconds: an `Option<Instant>` takes no more room than
// an `Instant`, and a peer holds dozens.
pub struct Instant(NonZeroU64);

impl Instant {
    /// The start of the clock.
    pub const ZERO: Self = Self(NonZeroU64::MIN);

    /// The instant `micros` microseconds after the start of the clock.
    pub const fn from_micros(micros: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(micros))
    }

    /// The instant `millis` milliseconds after the start of the clock.
    pub const fn from_millis(millis: u64) -> Self {
        Self::from_micros(millis.saturating_mul(1_000))
    }

    /// Microseconds since the start of the clock.
    pub const fn as_micros(self) -> u64 {
        self.0.get().saturating_sub(1)
    }

    /// The instant `duration` later, or the end of time.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::ZERO
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Instant {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=u64:us}", self.as_micros());
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = Duration::from_micros(self.as_micros());
        write!(f, "{}.{:06}s", whole.as_secs(), whole.subsec_micros())
    }
}

/// Whole microseconds of a duration, saturating.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Whole microseconds of a duration as they travel on the wire, saturating at
/// 71 minutes.
pub(crate) fn micros_u32(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// The earlier of two deadlines, where `None` is "never".
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, None) => a,
        (None, b) => b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturates_at_both_ends() {
        let end = Instant::from_micros(u64::MAX);
        assert_eq!(end.after(Duration::from_secs(1)), end);
        assert_eq!(Instant::ZERO.since(end), Duration::ZERO);
        assert_eq!(Instant::from_millis(u64::MAX), end);
    }

    #[test]
    fn micros_survive_and_never_takes_no_room() {
        assert_eq!(Instant::from_micros(7).as_micros(), 7);
        assert_eq!(Instant::default().as_micros(), 0);
        assert_eq!(size_of::<Option<Instant>>(), size_of::<Instant>());
    }

    #[test]
    fn never_is_later_than_any_deadline() {
        let soon = Some(Instant::from_millis(1));
        assert_eq!(earlier(soon, None), soon);
        assert_eq!(earlier(None, soon), soon);
        assert_eq!(earlier(None, None), None);
    }
}
