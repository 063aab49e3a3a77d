//! Machines and the little world around them, for the property tests.

#![allow(dead_code, reason = "no test needs all of it")]

pub(crate) mod bench;
pub(crate) mod client;
pub(crate) mod pipes;
pub(crate) mod watch;

use tcp_punch_proto::{Access, Decision, InAdvance, PeerId};

/// The same answer to everybody.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Says {
    pub(crate) decision: Decision,
    pub(crate) in_advance: bool,
}

impl Access for Says {
    fn decide(&self, _: &PeerId) -> Decision {
        self.decision
    }

    fn in_advance(&self) -> InAdvance<'_> {
        if self.in_advance {
            InAdvance::Anyone
        } else {
            InAdvance::Nobody
        }
    }
}
