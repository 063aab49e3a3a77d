//! What travels between peers and server, and between peers.
#![doc = include_str!("../../docs/wire.md")]

mod assist;
mod fields;
mod frame;
mod hello;
mod messages;
mod sides;

use core::fmt;

pub use assist::assist_mac;
pub use fields::{DialBackOutcome, Extensions, Hosts, MAX_NOISE, NoiseMessage};
pub use frame::{Frame, HEADER, MAX_FRAME, finish_frame, frame_body, frame_len};
pub use hello::{
    CLIENT_HELLO_PREFIX, ClientHello, REJECT_BUSY, REJECT_HANDSHAKE, REJECT_VERSION, ServerHello,
    VERSION_MAX, VERSION_MIN, client_prologue,
};
pub use messages::{
    AssistToken, Cancel, Clear, Connect, Consent, Empty, Go, MAX_SESSION_PORTS, Moved, Notify,
    Observed, Ping, Probe, Probed, Ready, Refused, Register, Registered, Rejected, Report, Request,
    RoundReady, SessionPayload, Side, StreamHello, ToPeer, ToServer,
};

/// Bytes that are not of this protocol, or do not fit.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WireError {
    /// A frame without content.
    Empty,
    /// A frame longer than allowed, or a message that does not fit in one.
    TooLong,
    /// A message that cannot be read.
    Malformed,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty frame",
            Self::TooLong => "a frame that is too long",
            Self::Malformed => "a message that cannot be read",
        })
    }
}

impl core::error::Error for WireError {}
