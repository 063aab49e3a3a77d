//! What must end well, or at least clearly: refusals, dead servers, NATs that forget, strangers, many at once.
//!
//! Every item builds its own network, does one thing, and says what it saw: `Ok` when that is what must happen.

mod hostile;
mod nats;
mod refusals;
mod servers;
mod together;
mod tools;

use std::error::Error;
use std::time::Duration;

use super::program::Program;

/// What was seen; an error where it differs from what must happen.
pub type Verdict = Result<String, Box<dyn Error + Send + Sync>>;

/// One kind of trouble.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// What is done.
    pub what: &'static str,
    /// What must come of it.
    pub expected: &'static str,
    run: fn(&Context<'_>) -> Verdict,
}

/// What all of them are given.
#[derive(Debug)]
pub struct Context<'c> {
    /// The binary.
    pub program: &'c Program,
    /// How long the idle listener is left alone.
    pub idle: Duration,
}

impl Trouble {
    /// Does it.
    ///
    /// # Errors
    /// Says what happened instead of what must.
    pub fn run(&self, context: &Context<'_>) -> Verdict {
        (self.run)(context)
    }
}

/// All of them.
#[must_use]
pub fn all() -> Vec<Trouble> {
    [
        refusals::ALL,
        servers::ALL,
        nats::ALL,
        hostile::ALL,
        together::ALL,
    ]
    .concat()
}
