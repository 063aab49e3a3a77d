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
//!
//! What is dialled, by whom first, and how far the first SYNs go, is the step of
//! the plan ([`crate::plan`]) whose turn it is. When it has had its time, the next
//! one begins with fresh ports; what is pending stays until then:
//!
//! ```text
//!  requester                      server                      responder
//!      | RoundReady(fresh ports)    |    RoundReady(fresh ports)  |
//!      |--------------------------->|<----------------------------|
//!      | Go(both sides)             |              Go(both sides) |
//!      |<---------------------------|---------------------------->|
//! ```
//!
//! Without the server there are no further rounds; the dials of the last one go
//! on until the deadline.

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
