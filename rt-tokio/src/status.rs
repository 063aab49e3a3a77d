//! How it stands with a peer, and what happens to it.

use std::time::Duration;

use proto::{Endpoint, Event, LinkFailure};
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::error::RegisterError;

/// How it stands with the link to the server.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkStatus {
    /// On the way there for the first time.
    Connecting,
    /// Registered: requests can be made and will arrive.
    Up {
        /// Our endpoint as the server sees it.
        mapped: Endpoint,
    },
    /// Not registered.
    Down {
        /// Why.
        reason: LinkFailure,
        /// When it will be tried again; `None`: not before somebody changes
        /// something.
        retry_in: Option<Duration>,
    },
    /// The peer was shut down.
    Ended,
}

impl LinkStatus {
    /// What waiting for the registration comes to, if anything yet.
    pub(crate) fn settled(&self) -> Option<Result<Endpoint, RegisterError>> {
        match self {
            Self::Up { mapped } => Some(Ok(*mapped)),
            Self::Down { reason, retry_in }
                if retry_in.is_none() || *reason == LinkFailure::WrongKey =>
            {
                Some(Err(RegisterError::Link(*reason)))
            }
            Self::Connecting | Self::Down { .. } => None,
            Self::Ended => Some(Err(RegisterError::Stopped)),
        }
    }

    /// Why it will not be up again by itself, if so.
    pub(crate) fn lost(&self) -> Option<RegisterError> {
        match self {
            Self::Down {
                reason,
                retry_in: None,
            } => Some(RegisterError::Link(*reason)),
            Self::Ended => Some(RegisterError::Stopped),
            Self::Connecting | Self::Up { .. } | Self::Down { .. } => None,
        }
    }
}

/// An event and when it happened.
pub(crate) type Stamped = (Instant, Event);

/// Events of a peer, in order.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Stamped>,
    missed: u64,
}

impl Events {
    pub(crate) const fn new(receiver: broadcast::Receiver<Stamped>) -> Self {
        Self {
            receiver,
            missed: 0,
        }
    }

    /// The next event; `None` once the peer has stopped and all were read.
    ///
    /// A reader that falls more than a thousand events behind loses the oldest
    /// ([`missed`](Self::missed)).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Event> {
        self.next_stamped().await.map(|(_, event)| event)
    }

    /// The next event and when it happened, which may be earlier than it is
    /// read; otherwise as [`next`](Self::next).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn next_stamped(&mut self) -> Option<(Instant, Event)> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(missed)) => self.missed += missed,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// How many events were lost because they were not read in time.
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}
