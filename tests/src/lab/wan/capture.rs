//! A record of the packets that crossed the WAN.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::Site;
use crate::lab::packet::{Body, Summary};

/// More than any introduction needs; a bulk transfer that is recorded by mistake does not fill the memory.
const MOST: usize = 100_000;

/// A packet that was read from a line.
#[derive(Debug, Clone)]
pub struct Crossing {
    /// When it left its site.
    pub at: Instant,
    /// Where it came from.
    pub from: Site,
    /// Where it went, if such an address exists.
    pub to: Option<Site>,
    /// Its headers, as sent.
    pub packet: Summary,
    /// What became of it.
    pub fate: Fate,
    /// The WAN's answer, where its TTL ended and it may be answered, and when that is back where it came from.
    pub answer: Option<(Instant, Summary)>,
}

/// What the WAN did with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Delivered at that time.
    Arrives(Instant),
    /// Lost on the way, as configured.
    Lost,
    /// Its TTL ended at this hop, counted from 1.
    Expired(u8),
    /// Nobody has that address.
    NoRoute,
}

/// Collects crossings while it is switched on.
#[derive(Debug, Default)]
pub struct Capture {
    on: AtomicBool,
    crossings: Mutex<Vec<Crossing>>,
}

impl Capture {
    /// Starts over with an empty record.
    pub fn start(&self) {
        self.lock().clear();
        self.on.store(true, Ordering::Relaxed);
    }

    /// Stops and returns what was recorded, in the order in which it was sent.
    pub fn take(&self) -> Vec<Crossing> {
        self.on.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.lock())
    }

    pub(super) fn record(&self, packet: &[u8], crossing: impl FnOnce(Summary) -> Crossing) {
        if !self.on.load(Ordering::Relaxed) {
            return;
        }
        let Some(summary) = Summary::of(packet) else {
            return;
        };
        if summary.body == Body::Other {
            return;
        }
        let mut crossings = self.lock();
        if crossings.len() < MOST {
            crossings.push(crossing(summary));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Crossing>> {
        // A record is whole even if a thread panicked beside it.
        self.crossings
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
