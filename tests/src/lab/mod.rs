//! The NAT lab: Linux network namespaces with the kernel's own NATs, joined by a WAN in user space.
//!
//! The hosts run the real `tcp-punch` binary; `cargo lab --help` says what the command line can do.
//!
//! ```text
//!  A ──── NAT A ════╗                 ╔════ NAT B ──── B      each a network namespace
//!   veth, bridge    ╠═══ the WAN ═════╣                       ─ kernel  ═ line to this process
//!                   ╚═══    S    ═════╝                       the WAN: delay, jitter, loss, hops
//! ```
//!
//! From the ground up:
//!
//! - [`netns`], [`wan`], [`nat`]: namespaces, the paths between them, the rulesets; [`topology`] says who is behind
//!   what, and [`network`] builds it. A NAT may also be a box of [`crate::natbox`] in this process;
//!   [`agree`] holds the two makes against each other. [`mod@line`] brings packets here, [`means`] knows what there is.
//! - [`program`], [`procs`], [`events`]: the binary, running it, what it says. [`stage`] knows who has which key,
//!   [`pair`] runs sessions between the two peers, of which the requester may stay as well.
//! - [`trace`] tells which packets were seen where; [`tap`] and [`ladder`] show a session; [`floor`] and [`figures`] judge its times.
//! - [`played`] is one session with all its packets, between peers who know their NATs; [`games`] plays many.
//! - [`others`] keeps the NATs busy, and [`mod@load`] counts what that and a punch come to. [`cases`], [`matrix`],
//!   [`bytes`], [`trouble`], [`compare`]: what is run in it.
//!
//! Nothing of a run is left over: see [`netns`] and [`interrupt`].

pub mod agree;
mod boxes;
pub mod bytes;
pub mod cases;
pub mod compare;
mod conntrack;
pub mod doctor;
pub mod events;
pub mod figures;
pub mod floor;
pub mod games;
mod icmp;
pub mod interrupt;
pub mod ladder;
pub mod line;
pub mod load;
pub mod matrix;
pub mod means;
pub mod nat;
mod netlink;
pub mod netns;
pub mod network;
pub mod others;
pub mod packet;
pub mod pair;
pub mod played;
pub mod procs;
pub mod program;
pub mod rights;
pub mod rng;
pub mod scratch;
pub mod service;
pub mod setup;
pub mod stage;
mod standing;
mod sys;
pub mod table;
pub mod tap;
pub mod topology;
pub mod trace;
pub mod trouble;
pub mod wan;
