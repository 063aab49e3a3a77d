//! The ladder: who sent what to whom, and when, as text.
//!
//! ```text
//!       ms  A          NAT A                    S                     NAT B          B   arrives
//!      0.0  ● requested                         │                       │            │
//!      0.1  ├────────────┼── main link 155 bytes ──▶                    │            │   20.2
//! ```

mod arrows;
mod draw;
mod lanes;
mod taps;

use std::net::SocketAddr;

use super::pair::Story;
use super::tap::Seen;
use super::topology::{Addresses, Layout};

/// Everything that was recorded of one session.
#[derive(Debug)]
pub struct Scene<'s> {
    /// The NATs.
    pub layout: &'s Layout,
    /// The peers' events, and what crossed the WAN.
    pub story: &'s Story,
    /// What the requester's host saw.
    pub tap_a: Vec<Seen>,
    /// What the responder's host saw.
    pub tap_b: Vec<Seen>,
    /// The requester's own addresses.
    pub a: Addresses,
    /// The responder's.
    pub b: Addresses,
    /// The server's main endpoint.
    pub main: SocketAddr,
    /// The server's assist endpoints.
    pub assists: [SocketAddr; 2],
}

/// Draws it; times are milliseconds from the request, or from the first thing where nothing was requested.
#[must_use]
pub fn render(scene: &Scene<'_>) -> String {
    let first = scene
        .story
        .a
        .iter()
        .map(|(at, _)| *at)
        .chain(scene.story.crossings.iter().map(|c| c.at))
        .min();
    let Some(zero) = scene.story.requested().or(first) else {
        return String::new();
    };
    let lanes = lanes::Lanes::new(scene.layout);
    draw::draw(&lanes, &arrows::rows(scene, &lanes, zero))
}
