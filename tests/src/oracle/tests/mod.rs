//! The oracle against what was measured, and against itself.

mod boxes;
mod guesses;
mod properties;
mod tables;
mod together;
