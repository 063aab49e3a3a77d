//! The one place that reads a clock.

use proto::Instant;

/// Translates between tokio's clock and the machines' numbers.
///
/// Both sides of a comparison must come from the same `Clock`: the numbers count
/// from the moment it was made.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Clock {
    base: tokio::time::Instant,
}

impl Clock {
    /// A clock that begins now.
    pub(crate) fn new() -> Self {
        Self {
            base: tokio::time::Instant::now(),
        }
    }

    /// The present, as the machines see it.
    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO.after(self.base.elapsed())
    }

    /// When a machine's deadline comes, for a tokio timer; an instant beyond
    /// what tokio can express becomes the far future.
    pub(crate) fn to_tokio(self, deadline: Instant) -> tokio::time::Instant {
        // tokio itself takes 30 years for "far"; its timers cannot do more.
        const FAR: std::time::Duration = std::time::Duration::from_secs(30 * 365 * 86_400);
        self.base + deadline.since(Instant::ZERO).min(FAR)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn deadlines_come_back_as_they_went() {
        let clock = Clock::new();
        let deadline = clock.now().after(Duration::from_millis(1_234));
        tokio::time::sleep_until(clock.to_tokio(deadline)).await;
        assert_eq!(clock.now(), deadline);
    }

    #[tokio::test]
    async fn the_end_of_time_is_no_overflow() {
        let clock = Clock::new();
        assert!(clock.to_tokio(Instant::from_micros(u64::MAX)) > tokio::time::Instant::now());
    }
}
