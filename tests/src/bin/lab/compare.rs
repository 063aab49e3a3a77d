//! `cargo lab compare`: kept results against a fresh run, or against another file.

use std::io;
use std::path::{Path, PathBuf};

use tcp_punch_tests::lab::cases;
use tcp_punch_tests::lab::compare::worse;
use tcp_punch_tests::lab::figures::Results;
use tcp_punch_tests::lab::program::Program;

use crate::args::{Args, Compare};
use crate::many::run_all;

/// Nothing may be worse.
pub(crate) fn run(args: &Args, more: &Compare, program: &Program) -> io::Result<bool> {
    let mut found = Vec::new();
    for path in kept(more)? {
        let before = Results::read(&path)?;
        let now = match &more.with {
            Some(with) => Results::read(with)?,
            None => again(&before, program)?,
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        found.extend(
            worse(&before, &now)
                .into_iter()
                .map(|line| format!("{name}: {line}")),
        );
    }
    if args.json {
        println!("{}", serde_json::to_string(&found)?);
    } else if found.is_empty() {
        println!("nothing got worse");
    } else {
        println!("{}", found.join("\n"));
    }
    Ok(found.is_empty())
}

fn kept(more: &Compare) -> io::Result<Vec<PathBuf>> {
    if let Some(path) = &more.file {
        return Ok(vec![path.clone()]);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let mut all: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        // It is judged by what is possible, not by what was: `cargo lab matrix` does it.
        .filter(|path| path.file_name().is_none_or(|name| name != "matrix.json"))
        .collect();
    all.sort();
    if all.is_empty() {
        return Err(io::Error::other("no results are kept"));
    }
    Ok(all)
}

/// Runs the cases of a file again, with as many sessions.
fn again(before: &Results, program: &Program) -> io::Result<Results> {
    let mut outcomes = Vec::new();
    for old in &before.outcomes {
        let case = cases::bench()
            .into_iter()
            .chain(cases::suite())
            .find(|case| case.name == old.case);
        // A case that no longer exists shows as one that was not run.
        if let Some(case) = case {
            outcomes.extend(run_all(&[case], program, old.sessions));
        }
    }
    Ok(Results::now(outcomes))
}
