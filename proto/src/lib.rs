//! TCP hole punching as a machine that decides and does nothing else: two hosts
//! behind NATs get one direct, authenticated TCP stream.
//!
//! There is no clock, no socket, no randomness and no allocator in here. A
//! *runtime* opens the sockets that the machine asks for, moves bytes, reports
//! what happened and wakes the machine; `tcp-punch-tokio` is one.
//!
//! ```text
//!                    what happened                  what to do
//!   sockets ---> handle_input(now, Input)  --.
//!   clock   ---> handle_timeout(now)       --+--> poll_output() --> Output, Output, ..., Wait
//!   program ---> connect(now, peer), ...   --'
//! ```
//!
//! # The rule: drain to `Wait`
//!
//! 1. Tell the machine something: [`Peer::handle_input`],
//!    [`Peer::handle_timeout`], [`Peer::connect`] or one of its kin.
//! 2. Call [`Peer::poll_output`] and do what it says, in that order, until it
//!    gives [`Output::Wait`]. Draining again changes nothing.
//! 3. Sleep until the instant in `Wait`, or until something happens. Then 1.
//!
//! Inputs that an output causes at once (a name that needs no look-up, a listener
//! that is up) may be kept until the drain is over, or be fed in the middle of
//! it: both are in order.
//!
//! - Every output that has an outcome carries a fresh id, and the outcome brings
//!   it back. Ids are never reused; an outcome that nobody waits for any more is
//!   ignored and counted ([`Peer::late_outcomes`]).
//! - A socket is read only as far as [`Output::Read`] says, so that no byte of the
//!   application is ever swallowed on the way to the hand-over.
//! - After `handle_timeout(t)` and a drain the next deadline is later than `t`, or
//!   there is none.
//! - Three kinds of trouble are never mixed: misuse by the caller ([`Misuse`],
//!   nothing changed), trouble with peers or the network (an [`Event`] with a
//!   reason), a configuration that makes no sense ([`ConfigError`]). Nothing
//!   panics, whatever comes in.
//! - The same inputs give the same outputs: time, entropy and addresses are
//!   arguments.
//!
//! ```
//! use tcp_punch_proto::noise::SecretKey;
//! use tcp_punch_proto::wire::{Frame, MAX_FRAME};
//! use tcp_punch_proto::{Config, Endpoint, Input, Instant, NoAccess, Output, Peer, SessionOptions};
//!
//! // Keys and seed come from the host's entropy; the server's key from its address.
//! let secret = SecretKey::from_bytes([1; 32]);
//! let server = SecretKey::from_bytes([2; 32]).public();
//! let other = SecretKey::from_bytes([3; 32]).public().into();
//!
//! // One session at a time, and four local ports: the smallest peer that can ask.
//! let mut peer = Peer::<_, 1, 4>::new(Config::default(), NoAccess, secret, server, [4; 32]);
//! let now = Instant::ZERO;
//! peer.start(now);
//! let session = peer.connect(now, other, &SessionOptions::default())?;
//!
//! let mut frame: Frame = [0; MAX_FRAME + 2];
//! let mut dialled = None;
//! let wake_at = loop {
//!     match peer.poll_output(&mut frame) {
//!         Output::Listen { id, mut local } => {
//!             local.port = 40_000; // What the host chose.
//!             peer.handle_input(now, Input::Listening { id, local });
//!         }
//!         Output::Resolve { id } => {
//!             let addresses = [Endpoint::new([192, 0, 2, 1].into(), 3478)];
//!             peer.handle_input(now, Input::Resolved { id, addresses: &addresses });
//!         }
//!         Output::Dial { local, remote, .. } => dialled = Some((local, remote)),
//!         Output::Wait(deadline) => break deadline,
//!         other => panic!("not so early: {other:?}"),
//!     }
//! };
//! // The main link leaves from the port that will be punched.
//! let (local, remote) = dialled.expect("the server is dialled");
//! assert_eq!((local.port, remote.port), (40_000, 3478));
//! assert!(wake_at.is_some_and(|at| at > now));
//! # let _ = session;
//! # Ok::<(), tcp_punch_proto::Misuse>(())
//! ```
//!
//! # Parts
//!
//! | part | what it decides |
//! |---|---|
//! | [`Peer`] | the link to the server, the ports, the sessions |
//! | [`rendezvous`] | the server's side: one machine a link |
//! | [`plan`] | which strategies, in which order |
//! | [`nat`] | what the NATs do |
//! | [`wire`] | every byte that travels |
//! | [`noise`] | who is there: handshakes, records |
//! | [`addr`] | what an address is good for, and whom one may be told to dial |
#![doc = concat!("\n", include_str!("../docs/states.md"))]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

#[cfg(test)]
extern crate std;

pub mod addr;
mod base32;
pub mod config;
pub mod event;
pub mod id;
pub mod io;
pub mod nat;
pub mod noise;
pub mod peer;
pub mod plan;
mod punch;
pub mod rendezvous;
mod rtt;
#[cfg(test)]
mod states_document;
pub mod time;
pub mod wire;

pub use addr::{Candidate, CandidateKind, Candidates, Endpoint, Family};
pub use config::{
    Access, Config, ConfigBuilder, ConfigError, Decision, InAdvance, NoAccess, Runtime,
    SessionOptions,
};
pub use event::{Event, FailReason, LinkFailure, Mapping, Strategies, Strategy, StreamMode, Tried};
pub use id::{LinkHandle, ListenerId, ParseIdError, PeerId, ResolveId, SessionId, SocketId};
pub use io::{Close, Failure, HandOver, Hops, Input, Output, SEND_BUFFER, Segment};
pub use nat::NatReport;
pub use peer::{Misuse, Peer};
pub use plan::{Plan, Reason, Step};
pub use time::Instant;

/// Bytes that one session takes inside a [`Peer`], for who plans memory.
pub const fn session_size() -> usize {
    size_of::<punch::Session>()
}
