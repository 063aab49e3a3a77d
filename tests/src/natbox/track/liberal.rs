//! A box that looks at flags only.

use std::time::Duration;

use super::{Direction, Ruling};
use crate::natbox::config::Timeouts;
use crate::natbox::wire::Segment;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Opening,
    Answered,
    Established,
    Closing,
}

#[derive(Debug)]
pub(super) struct Liberal(State);

impl Liberal {
    /// A RST is the end of something, not a begin.
    pub(super) fn open(segment: &Segment) -> Option<Self> {
        if segment.rst {
            return None;
        }
        let state = if segment.syn {
            State::Opening
        } else {
            State::Established
        };
        Some(Self(state))
    }

    pub(super) fn segment(&mut self, direction: Direction, segment: &Segment) -> Ruling {
        if segment.rst {
            return Ruling::Forget;
        }
        if segment.opens() && self.0 == State::Closing {
            return Ruling::Reopen;
        }
        let seen = if segment.fin {
            State::Closing
        } else if segment.syn && direction == Direction::Reply {
            State::Answered
        } else if !segment.syn && self.0 >= State::Answered {
            State::Established
        } else {
            State::Opening
        };
        self.0 = self.0.max(seen);
        Ruling::Renew
    }

    pub(super) fn patience(&self, timeouts: &Timeouts) -> Duration {
        match self.0 {
            State::Opening => timeouts.syn_sent,
            State::Answered => timeouts.syn_recv,
            State::Established => timeouts.established,
            State::Closing => timeouts.closing,
        }
    }
}
