//! What a NAT does, as far as peer and server together can see it.
//!
//! A peer's main port is seen by the server three times: by the main link, by an
//! assist link to another port of the same address, and by one to another
//! address, where the server has one. Equal or not, that is the mapping. One port
//! that never spoke to anybody but one assist endpoint is then dialled back by
//! the server from endpoints it never contacted: who gets in is the filtering,
//! and what the others hear is the answer to an early SYN. Last, the peer dials
//! that port at its own outer endpoint: hairpin.

mod classify;
mod predict;
mod report;

pub(crate) use classify::classify_dial_backs;
pub use classify::{Contact, classify_mapping};
pub(crate) use predict::{MAX_WINDOW, refined_step};
pub use predict::{TwoContacts, window};
pub use report::{Allocation, EarlySyn, Filtering, NatReport};
