//! Recording at the outer device of a NAT, whoever plays it.

use std::io;
use std::sync::Arc;

use super::{Made, Router};
use crate::lab::tap::{Record, Seen, Tap};
use crate::lab::wan;

/// A running record.
#[derive(Debug)]
pub(in crate::lab) enum Recording {
    /// Of a kernel's device.
    Tap(Tap),
    /// Of a box's line.
    Box(Arc<Record>),
}

impl Router {
    /// Starts to record what leaves it towards the outside, and what comes from there.
    pub(in crate::lab) fn record(&self) -> io::Result<Recording> {
        match &self.made {
            Made::Kernel { namespace, .. } => Tap::on(namespace, wan::DEVICE).map(Recording::Tap),
            Made::Box(running) => {
                let record = Arc::clone(running.record());
                record.start();
                Ok(Recording::Box(record))
            }
        }
    }
}

impl Recording {
    /// Stops and returns what was seen.
    pub(in crate::lab) fn take(self) -> Vec<Seen> {
        match self {
            Self::Tap(tap) => tap.take(),
            Self::Box(record) => record.take(),
        }
    }
}
