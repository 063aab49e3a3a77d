//! The matrix: where peers can be, and what is to be held against the oracle.

mod check;
mod sites;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use tcp_punch_proto::Strategies;
use tcp_punch_tests::oracle::{Chance, Chances};
use tcp_punch_tests::world::Builder;

pub(crate) use sites::{pairs, together};

/// What the peers know of their NATs when they ask for a stream.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Knowledge {
    /// All that can be found out.
    Complete,
    /// They have registered this very moment.
    Partial,
}

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Names it: `WORLD_CASE` picks those whose label holds it.
    pub(crate) label: String,
    pub(crate) builder: Builder,
    pub(crate) allowed: Strategies,
    pub(crate) knowledge: Knowledge,
}

/// What is to come of it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    Stream,
    Nothing,
    /// A stream or not.
    Luck,
}

pub(crate) fn expected(case: &Case) -> Expected {
    match best(&case.builder.case(case.allowed).chances()) {
        Chance::Sure => Expected::Stream,
        Chance::Luck => Expected::Luck,
        Chance::None => Expected::Nothing,
    }
}

fn best(chances: &Chances) -> Chance {
    let all = tcp_punch_proto::Strategy::ALL.map(|strategy| chances.of(strategy));
    all.into_iter().max().unwrap_or_default()
}

/// More cases that fail than these are not looked for.
const MOST_FAILURES: usize = 5;

/// Runs them on all cores, or those that `WORLD_CASE` names.
pub(crate) fn run_all(cases: Vec<Case>) {
    let wanted = std::env::var("WORLD_CASE").unwrap_or_default();
    let cases: Vec<Case> = cases
        .into_iter()
        .filter(|case| case.label.contains(&wanted) && expected(case) != Expected::Luck)
        .collect();
    let begin = Instant::now();
    let test = thread::current().name().unwrap_or_default().to_owned();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let failures = || failed.lock().expect("no panic here");
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            // A panic tells the ladder; which case it was is told at the end.
            if catch_unwind(AssertUnwindSafe(|| check::run(case))).is_err() {
                failures().push(case.label.clone());
            }
            if failures().len() >= MOST_FAILURES {
                return;
            }
        }
    };
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads.min(cases.len()) {
            let named = thread::Builder::new().name(test.clone());
            named.spawn_scoped(scope, work).expect("a thread");
        }
    });
    let took = begin.elapsed();
    eprintln!("{test}: {} sessions in {took:?}", cases.len());
    let replay: Vec<String> = failures()
        .iter()
        .map(|label| {
            format!(
                "WORLD_CASE='{label}' WORLD_LADDER=500 cargo test -p tcp-punch-tests \
                 --test world_matrix -- --exact {test} --nocapture"
            )
        })
        .collect();
    assert!(replay.is_empty(), "have them again:\n{}", replay.join("\n"));
}
