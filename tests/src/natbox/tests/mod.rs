//! What the box does, by the requirement or the measured fact that it is about.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test wants one verdict, and prints whatever else comes"
)]

mod bench;
mod early;
mod fields;
mod filtering;
mod firewall;
mod hairpin;
mod icmp;
mod liberal;
mod life;
mod mapping;
mod nesting;
mod opening;
mod presets;
mod routers;
