//! Many played sessions, some at a time: what the tests of strategies go through.

use std::fmt;
use std::io;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use super::cases::usual_conditions;
use super::means::Means;
use super::nat::NatKind;
use super::network::Plan;
use super::pair::{Consent, Terms};
use super::played::Played;
use super::program::Program;
use super::rights;
use super::topology::{Family, Layout};

/// Most of them wait most of the time. More would be late for SYNs that are aimed at each other.
const AT_ONCE: usize = 4;

/// The NATs, and how the peers and the server are started.
#[derive(Debug, Clone)]
pub struct Game {
    layout: Layout,
    terms: Terms,
}

impl Game {
    /// Each peer behind NATs of its own: `drop`, `box:drop+kernel:rst`, `none`.
    ///
    /// # Panics
    /// Where no NAT is called so.
    #[must_use]
    pub fn apart(a: &str, b: &str) -> Self {
        Self::with(Layout {
            a: kinds(a),
            b: kinds(b),
            shared: Vec::new(),
        })
    }

    /// Both behind one NAT.
    ///
    /// # Panics
    /// Where no NAT is called so.
    #[must_use]
    pub fn together(nat: &str) -> Self {
        Self::with(Layout {
            shared: kinds(nat),
            ..Layout::default()
        })
    }

    fn with(layout: Layout) -> Self {
        Self {
            layout,
            terms: Terms::default(),
        }
    }

    /// With this strategy and no other.
    #[must_use]
    pub fn force(mut self, strategy: &str) -> Self {
        self.terms.strategy = Some(strategy.to_owned());
        self
    }

    /// Both may make segments by themselves.
    #[must_use]
    pub fn raw(mut self) -> Self {
        self.terms.raw = true;
        self
    }

    /// The server may send in their names.
    #[must_use]
    pub fn spoof(mut self) -> Self {
        self.terms.spoof = true;
        self
    }

    /// Both are told how far their low-TTL SYNs go.
    #[must_use]
    pub fn hops(mut self, hops: u8) -> Self {
        self.terms.hops = [Some(hops); 2];
        self
    }

    /// The responder agreed in advance, so that both are told of each other at the same moment.
    #[must_use]
    pub fn open(mut self) -> Self {
        self.terms.consent = Consent::Open;
        self
    }

    /// Expected to be lost: the first step of a plan has come to its end by then, and SYNs were repeated twice.
    #[must_use]
    pub fn hopeless(mut self) -> Self {
        self.terms.patience = Some(Duration::from_secs(5));
        self
    }

    fn play(&self, program: &Program) -> io::Result<Played> {
        let plan = Plan {
            layout: self.layout.clone(),
            family: Family::V4,
            conditions: usual_conditions(),
        };
        Played::play(&plan, self.terms.clone(), program)
    }
}

/// Plays them all. What cannot be played here is left out, with a word; with `LAB=require` in the environment that is
/// a failure.
///
/// # Panics
/// When a game cannot be played and has to be.
#[must_use]
pub fn play(games: &[Game]) -> Vec<(&Game, Played)> {
    let Some(program) = program() else {
        return Vec::new();
    };
    let run = |game: &Game| {
        game.play(program)
            .map_err(|error| rights::skip(&game.to_string(), &error))
            .ok()
    };
    games
        .chunks(AT_ONCE)
        .flat_map(|some| {
            thread::scope(|scope| {
                let threads: Vec<_> = some
                    .iter()
                    .map(|game| (game, scope.spawn(move || run(game))))
                    .collect();
                let played = threads.into_iter().map(|(game, thread)| {
                    let played = thread.join();
                    (
                        game,
                        played.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                    )
                });
                played.collect::<Vec<_>>()
            })
        })
        .filter_map(|(game, played)| Some((game, played?)))
        .collect()
}

/// The program, built once for all tests of a process; `None`, with a word, where the lab cannot run.
///
/// # Panics
/// When it has to run.
#[must_use]
pub fn program() -> Option<&'static Program> {
    static BUILT: OnceLock<Result<Program, String>> = OnceLock::new();
    // In this order, so that nothing is built in vain.
    let build = || {
        let built = rights::check(Means::here()).and_then(|()| Program::build());
        built.map_err(|error| error.to_string())
    };
    let built = BUILT.get_or_init(build).as_ref();
    built
        .map_err(|error| rights::skip("everything", &io::Error::other(error.clone())))
        .ok()
}

fn kinds(names: &str) -> Vec<NatKind> {
    let kind = |name| NatKind::named(name).unwrap_or_else(|| panic!("no NAT is called {name}"));
    let names = names.split('+').filter(|name| *name != "none");
    names.map(kind).collect()
}

impl fmt::Display for Game {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Terms {
            strategy,
            raw,
            spoof,
            ..
        } = &self.terms;
        write!(f, "{}", self.layout)?;
        if let Some(strategy) = strategy {
            write!(f, ", {strategy}")?;
        }
        for (word, is) in [("raw", *raw), ("spoof", *spoof)] {
            if is {
                write!(f, ", {word}")?;
            }
        }
        Ok(())
    }
}
