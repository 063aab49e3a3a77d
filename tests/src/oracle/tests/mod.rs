//! The oracle against what was measured, against itself, and plans against the oracle.

mod boxes;
mod guesses;
mod plans;
mod properties;
mod tables;
mod together;
