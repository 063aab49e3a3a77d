//! The states of a session, as data.

/// Where a session stands, in the order of the protocol.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Requester: waits for a link to the server and for fresh, observed ports.
    Preparing,
    /// Requester: the request is with the server.
    Requested,
    /// Responder: the application is asked.
    Deciding,
    /// Both know what to do; waits so that the first SYNs cross.
    Holding,
    /// Listens and dials until a stream verifies.
    Punching,
    /// One stream was nominated and handed over.
    Verified,
    /// No stream will come of it.
    Failed,
}

/// What moves a session.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Link and ports are there.
    PortsReady,
    /// The server says connect, or the responder accepted.
    Introduced,
    /// The hold-back is over.
    HeldBack,
    /// The requester nominated, or the responder read the nomination.
    Nominated,
    /// Refused, cancelled, out of time.
    GaveUp,
}

/// Every transition there is.
pub(crate) const TRANSITIONS: &[(State, Cause, State)] = &[
    (State::Preparing, Cause::PortsReady, State::Requested),
    (State::Preparing, Cause::GaveUp, State::Failed),
    (State::Requested, Cause::Introduced, State::Holding),
    // The responder's SYN can overtake the server's word.
    (State::Requested, Cause::Nominated, State::Verified),
    (State::Requested, Cause::GaveUp, State::Failed),
    (State::Deciding, Cause::Introduced, State::Holding),
    (State::Deciding, Cause::GaveUp, State::Failed),
    (State::Holding, Cause::HeldBack, State::Punching),
    (State::Holding, Cause::Nominated, State::Verified),
    (State::Holding, Cause::GaveUp, State::Failed),
    (State::Punching, Cause::Nominated, State::Verified),
    (State::Punching, Cause::GaveUp, State::Failed),
];

impl State {
    /// The state that `cause` leads to, if it may happen here.
    pub(crate) fn next(self, cause: Cause) -> Option<Self> {
        TRANSITIONS
            .iter()
            .find(|(from, why, _)| *from == self && *why == cause)
            .map(|(_, _, to)| *to)
    }

    /// Whether a stream of the session may verify.
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Requested | Self::Holding | Self::Punching)
    }

    /// Whether nothing more can happen.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Verified | Self::Failed)
    }
}
