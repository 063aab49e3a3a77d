//! Direct TCP streams between two hosts behind NATs, for tokio programs.
//!
//! ```text
//!   peer A ----- NAT ================ punched stream ================ NAT ----- peer B
//!      \                                                                     /
//!       `--- main link ---->  rendezvous server (introduces)  <--- main link'
//! ```
//!
//! - [`Peer`]: registers at a server, asks for streams and is asked for them.
//! - [`PunchedStream`]: the stream, `AsyncRead + AsyncWrite`, encrypted and
//!   proven unless both sides ask for the bare socket.
//! - [`Server`]: the rendezvous server, to be run by itself (`tcp-punch serve`)
//!   or within a program.
//!
//! All decisions are made by the machines of `tcp-punch-proto`; here are sockets
//! and clocks only. Linux is what is tested. The recipes for other systems stand
//! in `socket.rs` and have not been run.
//!
//! Feature `cli` builds the `tcp-punch` program, feature `raw` adds the strategies
//! that need raw sockets.
#![deny(unsafe_code)]

mod access;
mod builder;
mod clock;
mod conn;
mod driver;
mod error;
mod hosts;
pub mod keyfile;
mod peer;
mod raw;
mod request;
mod server;
mod server_addr;
mod socket;
mod status;
mod stream;
mod sys;
#[cfg(all(test, target_os = "linux"))]
mod testnet;

use std::io;

use zeroize::Zeroizing;

pub use access::AccessPolicy;
pub use builder::PeerBuilder;
pub use error::{ConnectError, RegisterError, link_advice, session_advice};
pub use peer::Peer;
pub use raw::raw_sockets;
pub use request::Request;
pub use server::{Bind, ParseBindError, Server, ServerBuilder, ServerError};
pub use server_addr::{ParseServerAddrError, ServerAddr};
pub use status::{Events, LinkStatus};
pub use stream::PunchedStream;

pub use proto::config::MAX_ROUTERS;
pub use proto::nat::{Allocation, EarlySyn, Filtering, NatReport};
pub use proto::noise::{Psk, PublicKey, Role, SecretKey};
pub use proto::plan::{Abilities, MAX_STEPS};
pub use proto::rendezvous::ServerConfigError;
pub use proto::wire::Side;
pub use proto::{
    Config, ConfigBuilder, ConfigError, Endpoint, Event, FailReason, Failure, LinkFailure, Mapping,
    Misuse, ParseIdError, PeerId, Plan, Reason, SessionId, SessionOptions, Step, Strategies,
    Strategy, StreamMode, Tried,
};

/// 32 bytes of the operating system's generator.
fn random_seed() -> io::Result<Zeroizing<[u8; 32]>> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(io::Error::other)?;
    Ok(seed)
}

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
