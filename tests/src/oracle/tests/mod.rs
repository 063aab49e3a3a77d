//! The oracle against what was measured, against itself, and plans against the oracle.

mod boxes;
mod guesses;
mod packets;
mod plans;
mod properties;
mod tables;
mod tcp;
mod together;
