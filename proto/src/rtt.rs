//! Round trips to the other end of a main link.

use core::time::Duration;

use crate::time::{Instant, micros_u32};

/// No hold-back is longer, whatever was measured: beyond it the round trips tell
/// nothing of when a SYN would cross. The server keeps to it, and so does the
/// peer, whatever the server says.
pub(crate) const MAX_HOLD: Duration = Duration::from_millis(500);

/// How many recent samples count.
const SAMPLES: usize = 8;

/// Recent round trips, in microseconds.
///
/// The least of them is the best guess at the path itself: queues, schedulers
/// and retransmissions only ever add.
#[derive(Debug, Default)]
pub(crate) struct Rtt {
    samples: [Option<u32>; SAMPLES],
}

impl Rtt {
    pub(crate) fn sample(&mut self, sent: Instant, now: Instant) {
        self.samples.rotate_right(1);
        let [newest, ..] = &mut self.samples;
        *newest = Some(micros_u32(now.since(sent)));
    }

    fn known(&self) -> impl Iterator<Item = u32> {
        self.samples.iter().filter_map(|sample| *sample)
    }

    /// The least recent round trip; zero while nothing was measured.
    pub(crate) fn least_us(&self) -> u32 {
        self.known().min().unwrap_or(0)
    }

    /// The spread of the recent round trips.
    pub(crate) fn jitter_us(&self) -> u32 {
        self.known()
            .max()
            .unwrap_or(0)
            .saturating_sub(self.least_us())
    }

    pub(crate) fn least(&self) -> Duration {
        Duration::from_micros(u64::from(self.least_us()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recent_round_trip_counts_and_old_ones_are_forgotten() {
        let mut rtt = Rtt::default();
        assert_eq!((rtt.least_us(), rtt.jitter_us()), (0, 0));
        let at = Instant::from_micros;
        rtt.sample(at(0), at(10));
        rtt.sample(at(0), at(35));
        assert_eq!((rtt.least_us(), rtt.jitter_us()), (10, 25));
        for _ in 0..SAMPLES {
            rtt.sample(at(0), at(20));
        }
        assert_eq!((rtt.least_us(), rtt.jitter_us()), (20, 0));
    }
}
