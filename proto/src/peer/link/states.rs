//! The states of the main link, as data.

/// Where the main link stands, in the order of the protocol.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// Not started, or stopped for good.
    Idle,
    /// Waits for the main port's listener.
    Binding,
    /// Waits for the server's addresses.
    Resolving,
    /// Waits for the connection.
    Dialling,
    /// Waits for the server's hello.
    Handshaking,
    /// Waits for the server's word.
    Registering,
    /// The server knows us.
    Registered,
    /// Waits before the next attempt.
    Pausing,
}

/// What moves the main link.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkCause {
    /// The application said so, or the pause is over.
    Begin,
    /// The main port's listener is up.
    Bound,
    /// Addresses are known.
    Resolved,
    /// The connection is up.
    Connected,
    /// The server's hello proved its key.
    Proven,
    /// The server took us.
    Accepted,
    /// Anything went wrong.
    Lost,
    /// The application, or a final refusal.
    Stop,
}

/// Every transition there is.
pub(crate) const LINK_TRANSITIONS: &[(LinkState, LinkCause, LinkState)] = &[
    (LinkState::Idle, LinkCause::Begin, LinkState::Binding),
    (LinkState::Binding, LinkCause::Bound, LinkState::Resolving),
    (LinkState::Binding, LinkCause::Lost, LinkState::Pausing),
    (
        LinkState::Resolving,
        LinkCause::Resolved,
        LinkState::Dialling,
    ),
    (LinkState::Resolving, LinkCause::Lost, LinkState::Pausing),
    (
        LinkState::Dialling,
        LinkCause::Connected,
        LinkState::Handshaking,
    ),
    (LinkState::Dialling, LinkCause::Lost, LinkState::Pausing),
    (
        LinkState::Handshaking,
        LinkCause::Proven,
        LinkState::Registering,
    ),
    (LinkState::Handshaking, LinkCause::Lost, LinkState::Pausing),
    (
        LinkState::Registering,
        LinkCause::Accepted,
        LinkState::Registered,
    ),
    (LinkState::Registering, LinkCause::Lost, LinkState::Pausing),
    (LinkState::Registered, LinkCause::Lost, LinkState::Pausing),
    (LinkState::Pausing, LinkCause::Begin, LinkState::Binding),
    (LinkState::Idle, LinkCause::Stop, LinkState::Idle),
    (LinkState::Binding, LinkCause::Stop, LinkState::Idle),
    (LinkState::Resolving, LinkCause::Stop, LinkState::Idle),
    (LinkState::Dialling, LinkCause::Stop, LinkState::Idle),
    (LinkState::Handshaking, LinkCause::Stop, LinkState::Idle),
    (LinkState::Registering, LinkCause::Stop, LinkState::Idle),
    (LinkState::Registered, LinkCause::Stop, LinkState::Idle),
    (LinkState::Pausing, LinkCause::Stop, LinkState::Idle),
];
