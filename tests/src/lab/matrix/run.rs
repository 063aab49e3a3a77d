//! Running cells: some networks are set up at once, and their peers left to find their NATs out, while sessions that are
//! measured run one at a time.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::sheet::Outcome;
use super::{Cell, Expected};
use crate::lab::figures::{Figure, round};
use crate::lab::floor::floor;
use crate::lab::means::Means;
use crate::lab::network::Network;
use crate::lab::pair::{Pair, Session, Terms};
use crate::lab::program::Program;
use crate::lab::stage::Stage;

/// A session that nothing can come of is given up after so many seconds: longer than one step of a plan.
const HOPELESS: &str = "5";
/// So many of them say as much as more would.
const HOPELESS_SESSIONS: usize = 2;

/// How cells are run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Sessions in each.
    pub sessions: usize,
    /// Where the networks' chance comes from.
    pub seed: u64,
    /// Networks at once.
    pub jobs: usize,
    /// What plays the NATs, and how packets come here.
    pub means: Means,
}

/// Runs cells, and says of each when it is done.
pub fn run(
    cells: &[Cell],
    program: &Program,
    options: Options,
    done: impl Fn(&Outcome) + Sync,
) -> Vec<Outcome> {
    let (next, turn) = (AtomicUsize::new(0), Mutex::new(()));
    let outcomes: Mutex<Vec<(usize, Outcome)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(cell) = cells.get(at) else { return };
                    let outcome = one(cell, program, options, &turn);
                    done(&outcome);
                    outcomes
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((at, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(at, _)| *at);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn one(cell: &Cell, program: &Program, options: Options, turn: &Mutex<()>) -> Outcome {
    let mut outcome = Outcome {
        table: cell.table,
        row: cell.row.clone(),
        column: cell.column.clone(),
        expected: cell.expected(),
        sessions: 0,
        won: 0,
        strategy: None,
        verified: None,
        over_ms: None,
        failures: BTreeMap::new(),
        replay: cell.replay(options.sessions, options.seed),
    };
    match sessions(cell, program, options, turn, outcome.expected) {
        Ok(sessions) => outcome.count(&sessions, floor_of(cell, options.seed)),
        Err(error) => {
            outcome.sessions = options.sessions;
            outcome.failures.insert(error.to_string(), options.sessions);
        }
    }
    outcome
}

fn sessions(
    cell: &Cell,
    program: &Program,
    options: Options,
    turn: &Mutex<()>,
    expected: Expected,
) -> io::Result<Vec<Session>> {
    let plan = cell.plan(options.seed);
    let network = Network::build_with(&plan, options.means)?;
    let mut more = ["nat-a", "nat-b"].map(|nat| {
        let outer = network.outer_address(nat).filter(|_| cell.names_routers);
        let mut words = outer.map_or_else(Vec::new, |outer| {
            vec!["--outer-address".to_owned(), outer.to_string()]
        });
        if cell.birthday {
            words.push("--birthday".to_owned());
        }
        words
    });
    let is_hopeless = expected == Expected::Impossible;
    if is_hopeless {
        more[0].extend(["--timeout", HOPELESS].map(str::to_owned));
    }
    let terms = Terms {
        standing: true,
        more,
        ..Terms::default()
    };
    let mut pair = Pair::start(Stage::new(network, program)?, terms)?;
    // Who waits for nothing but a deadline disturbs nobody.
    let _turn = (!is_hopeless).then(|| turn.lock().unwrap_or_else(PoisonError::into_inner));
    let count = if is_hopeless {
        options.sessions.min(HOPELESS_SESSIONS)
    } else {
        options.sessions
    };
    (0..count)
        .map(|_| pair.session().map(|(session, _)| session))
        .collect()
}

fn floor_of(cell: &Cell, seed: u64) -> Duration {
    floor(&cell.plan(seed), Terms::default().consent).verified_a
}

impl Outcome {
    fn count(&mut self, sessions: &[Session], floor: Duration) {
        self.sessions = sessions.len();
        let mut strategies: BTreeMap<&str, usize> = BTreeMap::new();
        for session in sessions {
            match &session.failure {
                Some(failure) => *self.failures.entry(failure.clone()).or_default() += 1,
                None => self.won += 1,
            }
            if let Some(strategy) = session
                .strategy
                .as_deref()
                .filter(|_| session.failure.is_none())
            {
                *strategies.entry(strategy).or_default() += 1;
            }
        }
        let most = strategies.into_iter().max_by_key(|(_, count)| *count);
        self.strategy = most.map(|(strategy, _)| strategy.to_owned());
        let won = sessions.iter().filter(|session| session.failure.is_none());
        self.verified = Figure::of(won.filter_map(|session| session.a.verified), floor);
        self.over_ms = self
            .verified
            .as_ref()
            .map(|figure| round(figure.median_ms - figure.floor_ms, 10.0));
    }
}
