//! Whether two peers can get a direct stream at all, and by what.
//!
//! A pure function of what is really there, the NATs' configurations and not what the peers found out about them. It
//! asks for each strategy which SYN, or SYN-ACK, passes which box in which state:
//!
//! ```text
//!   Case ── ways: the boxes that a side's packets meet, the innermost first
//!            │
//!            ├─ ports:   is the outer port towards the other side the one that the server saw?
//!            ├─ passage: who gets in, and what do the others hear?
//!            └─ rules:   one function a strategy ──► Chances
//! ```
//!
//! It knows nothing of plans, and of no preset: what it says of them is held against measurements in its tests.
//! Loss is no matter here, and a chance is not a matter of time: who repeats what it does will be lucky at last.

mod chances;
mod passage;
mod ports;
mod report;
mod rules;
mod topology;

#[cfg(test)]
mod tests;

pub use chances::{Chance, Chances};
pub use report::{Server, report_of};
pub use rules::birthday_odds;
pub use topology::{Case, Host, Stack, Surroundings, Topology};
