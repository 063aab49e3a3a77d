//! A NAT, or a stateful firewall, as a machine: IP packets and the time in, IP packets out.
//!
//! It opens no socket and reads no clock, and all its chance comes from a seed, so that the same box runs in virtual
//! time and between real kernels. What it does is a [`Config`]: every property that decides whether a TCP punch
//! comes through is a field of its own, and a [`preset`] is a name for a set of them.
//!
//! ```text
//!   inside ──► outbound: entry? tracking, mapping, port ──► outside
//!          ◄── inbound: entry, or mapping and filter; else the answer to an early SYN ◄──
//! ```
//!
//! The contract:
//!
//! 1. [`NatBox::handle`] for every packet, with the side that it came from; time never runs backwards.
//! 2. [`NatBox::poll_timeout`] after each call; at that time [`NatBox::handle_timeout`], until it has nothing more.
//! 3. [`NatBox::forget`] loses all mappings, [`NatBox::reboot`] also the time that a reboot takes.
//!
//! Only TCP, and ICMP errors about TCP, are let through. The words are those of RFC 4787 and RFC 5382; the model of
//! strict tracking is Linux, as far as `NAT-FACTS.md` measured it.

mod answer;
mod chain;
mod config;
mod hold;
mod icmp;
mod nat_box;
mod ports;
mod preset;
mod router;
mod table;
mod track;
mod verdict;
mod wire;

#[cfg(test)]
mod tests;

pub use chain::Chain;
pub use config::{
    Addresses, Allocation, Config, Early, Filtering, Hairpin, Invalid, Mapping, Ports, Timeouts,
    Tracking,
};
pub use nat_box::NatBox;
pub use preset::{PRESETS, Preset, preset};
pub use router::{Passage, Routers};
pub use verdict::{Reason, Side, Verdict};
