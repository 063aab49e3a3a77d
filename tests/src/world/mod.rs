//! The world: peers and a rendezvous server on a simulated network, in virtual
//! time.
//!
//! ```text
//!   tests/world_*.rs
//!        |
//!      World ---- Builder            one thing at a time, by time
//!      /   \  \
//!  PeerHost ServerHost Stranger      drain to Wait, check the contract
//!  (Driver) (links)
//!      \   /  /
//!      Network                       smoltcp stacks, NAT boxes, paths: see `net`
//! ```
//!
//! Everything is drawn from one seed, so a run can be had again exactly: a test
//! that fails prints its seed, how to replay it, and the ladder of what happened.

mod app;
mod builder;
mod case;
mod contract;
mod dial_back;
mod links;
pub mod net;
mod peer;
mod queue;
mod report;
mod server;
mod setup;
mod sim;
mod stranger;
mod trace;
mod watcher;

pub use app::{Answer, Consent};
pub use builder::Builder;
pub use report::{Times, percentile, seeds};
pub use server::Tamper;
pub use setup::{PeerSetup, Site};
pub use sim::{A, B, C, Stop, World};
pub use stranger::Habit;
