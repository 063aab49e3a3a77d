//! A view of what passes between machine and driver.

use proto::{Input, Instant, Output};

/// Sees everything that passes between machine and driver, before it is carried
/// out: for logs, and for tests that hold the machine to its contract.
///
/// Both methods do nothing unless they are written; `()` is one that sees
/// nothing.
pub trait Observer {
    /// The machine wants this.
    fn output(&mut self, now: Instant, output: &Output<'_>) {
        let _ = (now, output);
    }

    /// The machine is about to learn this.
    fn input(&mut self, now: Instant, input: &Input<'_>) {
        let _ = (now, input);
    }
}

impl Observer for () {}
