//! The punch machine: one session from its request to its verified stream.
//!
//! ```text
//!  requester                      server                      responder
//!      | Request(ports, message 1)  |                             |
//!      |--------------------------->| Notify                      |
//!      |                            |---------------------------->| allow list, or ask
//!      |                            |            Ready(message 2) |
//!      | Connect                    |<----------------------------| holds back
//!      |<---------------------------|                             |
//!      | SYN ------------------------ crossing ---------------- SYN |
//!      | hello <-------- on every stream that is up ------> hello |
//!      | nomination, on exactly one ----------------------------->|
//! ```
//!
//! Where consent was given in advance, the server sends `Notify` and `Connect`
//! at the same moment, each with the hold-back that makes the SYNs cross, and
//! message 2 comes with the responder's hello.

mod attempt;
mod keys;
mod rounds;
mod session;
mod states;
mod stream;

pub(crate) use rounds::{Needs, Phase};
pub(crate) use session::{Introduction, MAX_STREAMS, Session, Wish};
pub(crate) use states::State;
#[cfg(test)]
pub(crate) use states::TRANSITIONS;
pub(crate) use stream::{Greeting, HELLO_LIMIT};
