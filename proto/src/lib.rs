//! TCP hole punching as a sans-IO machine.
#![no_std]
#![forbid(unsafe_code)]
#[cfg(test)]
extern crate std;

pub mod addr;
mod base32;
pub mod config;
pub mod event;
pub mod id;
pub mod io;
pub mod noise;
pub mod peer;
mod punch;
pub mod rendezvous;
mod rtt;
#[cfg(test)]
mod states_document;
pub mod time;
pub mod wire;

pub use addr::{Candidate, CandidateKind, Candidates, Endpoint, Family};
pub use config::{
    Access, Config, ConfigBuilder, ConfigError, Decision, InAdvance, NoAccess, SessionOptions,
};
pub use event::{Event, FailReason, LinkFailure, Mapping, Strategies, Strategy, StreamMode, Tried};
pub use id::{LinkHandle, ListenerId, ParseIdError, PeerId, ResolveId, SessionId, SocketId};
pub use io::{Close, Failure, HandOver, Input, Output, SEND_BUFFER};
pub use peer::{Misuse, Peer};
pub use time::Instant;

/// Bytes that one session takes inside a [`Peer`], for who plans memory.
pub const fn session_size() -> usize {
    size_of::<punch::Session>()
}
