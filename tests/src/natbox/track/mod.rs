//! How a box follows a connection.

mod conntrack;
mod liberal;
mod window;

use std::time::Duration;

use conntrack::Conntrack;
use liberal::Liberal;

use super::config::{Timeouts, Tracking};
use super::wire::Segment;

/// Which way a segment goes, seen from the one that made the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// As the first segment.
    Original,
    /// Against it.
    Reply,
}

impl Direction {
    fn other(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// What tracking says about a segment of a known connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It passes, and the entry's time begins anew.
    Renew,
    /// It passes.
    Pass,
    /// It passes, and the entry ends.
    Forget,
    /// The entry is of an old connection, and this segment may begin a new one.
    Reopen,
    /// It does not pass as part of this connection.
    Invalid,
}

/// The state of one entry, and which way is its original direction.
#[derive(Debug)]
pub(super) struct Tracker {
    outbound: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Strict(Box<Conntrack>),
    Liberal(Liberal),
    None,
}

impl Tracker {
    /// Begins with a connection's first segment; `None` where that makes no entry.
    pub(super) fn open(tracking: Tracking, outbound: bool, segment: &Segment) -> Option<Self> {
        let state = match tracking {
            Tracking::Strict { loose } => State::Strict(Box::new(Conntrack::open(loose, segment)?)),
            Tracking::Liberal => State::Liberal(Liberal::open(segment)?),
            Tracking::None => State::None,
        };
        Some(Self { outbound, state })
    }

    pub(super) fn segment(&mut self, outbound: bool, segment: &Segment) -> Ruling {
        let direction = if outbound == self.outbound {
            Direction::Original
        } else {
            Direction::Reply
        };
        match &mut self.state {
            State::Strict(conntrack) => conntrack.segment(direction, segment),
            State::Liberal(liberal) => liberal.segment(direction, segment),
            // A hole lives by what goes out.
            State::None if outbound => Ruling::Renew,
            State::None => Ruling::Pass,
        }
    }

    /// How long the entry lives in its present state.
    pub(super) fn patience(&self, timeouts: &Timeouts) -> Duration {
        match &self.state {
            State::Strict(conntrack) => conntrack.patience(timeouts),
            State::Liberal(liberal) => liberal.patience(timeouts),
            State::None => timeouts.transitory,
        }
    }
}
