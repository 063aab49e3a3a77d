//! The NAT lab: Linux network namespaces with the kernel's own NATs, joined by a WAN in user space.
//!
//! The hosts run the real `tcp-punch` binary. `cargo lab --help` says what it can do.

pub mod bytes;
pub mod cases;
pub mod compare;
pub mod events;
pub mod figures;
pub mod floor;
mod icmp;
pub mod interrupt;
pub mod ladder;
pub mod nat;
pub mod netns;
pub mod network;
pub mod packet;
pub mod pair;
pub mod procs;
pub mod program;
pub mod rights;
pub mod rng;
pub mod scratch;
pub mod service;
pub mod setup;
pub mod stage;
mod sys;
pub mod table;
pub mod tap;
pub mod topology;
pub mod trouble;
pub mod wan;
