//! `cargo lab suite` and `cargo lab bench`: case after case, as a table.

use std::io;

use tcp_punch_tests::lab::cases::{self, Case};
use tcp_punch_tests::lab::figures::{Figure, Outcome, Results};
use tcp_punch_tests::lab::program::Program;
use tcp_punch_tests::lab::table::Table;

use crate::args::{Args, Many};

/// Every session of every case must be won.
pub(crate) fn suite(args: &Args, more: &Many, program: &Program) -> io::Result<bool> {
    let outcomes = run(more, program, cases::suite())?;
    if args.json {
        print_json(&outcomes)?;
    } else {
        let mut table = Table::new([
            "case",
            "won",
            "A verified ms",
            "range",
            "ratio",
            "B verified ms",
            "range",
            "ratio",
            "SYNs",
        ]);
        for outcome in &outcomes {
            let mut cells = vec![outcome.case.clone(), won(outcome)];
            cells.extend(figure(outcome.verified_a.as_ref()));
            cells.extend(figure(outcome.verified_b.as_ref()));
            cells.push(outcome.most_syns.to_string());
            table.row(cells);
        }
        print!("{table}");
        print_failures(&outcomes);
        print_efforts(&outcomes);
    }
    Ok(all_won(&outcomes))
}

/// The four times of each case.
pub(crate) fn bench(args: &Args, more: &Many, program: &Program) -> io::Result<bool> {
    let outcomes = run(more, program, cases::bench())?;
    if args.json {
        print_json(&outcomes)?;
    } else {
        let mut table = Table::new([
            "case",
            "won",
            "from the request to",
            "median ms",
            "range",
            "floor",
            "ratio",
        ]);
        for outcome in &outcomes {
            for (name, value) in outcome.figures() {
                let [median, range, ratio] = figure(value);
                let floor =
                    value.map_or_else(String::new, |value| format!("{:.0}", value.floor_ms));
                table.row([
                    outcome.case.clone(),
                    won(outcome),
                    name.to_owned(),
                    median,
                    range,
                    floor,
                    ratio,
                ]);
            }
        }
        print!("{table}");
        print_failures(&outcomes);
    }
    Ok(all_won(&outcomes))
}

fn run(more: &Many, program: &Program, cases: Vec<Case>) -> io::Result<Vec<Outcome>> {
    let cases: Vec<Case> = cases
        .into_iter()
        .filter(|case| case.name.contains(&more.filter))
        .collect();
    if cases.is_empty() {
        return Err(io::Error::other(format!(
            "no case has {:?} in its name",
            more.filter
        )));
    }
    let outcomes = run_all(&cases, program, more.sessions);
    if let Some(path) = &more.out {
        Results::now(outcomes.clone()).write(path)?;
    }
    Ok(outcomes)
}

/// Runs cases one after the other.
pub(crate) fn run_all(cases: &[Case], program: &Program, sessions: usize) -> Vec<Outcome> {
    let run = |case: &Case| {
        eprintln!("lab: {}", case.name);
        // What keeps a case from running at all loses its sessions, and leaves the other cases theirs.
        case.run(program, sessions)
            .unwrap_or_else(|error| Outcome::lost(&case.name, sessions, error.to_string()))
    };
    cases.iter().map(run).collect()
}

fn won(outcome: &Outcome) -> String {
    format!("{}/{}", outcome.won, outcome.sessions)
}

fn figure(figure: Option<&Figure>) -> [String; 3] {
    figure.map_or_else(
        || ["-", "", ""].map(str::to_owned),
        |figure| {
            [
                format!("{:.1}", figure.median_ms),
                format!("{:.0}-{:.0}", figure.least_ms, figure.most_ms),
                format!("{:.2}", figure.ratio),
            ]
        },
    )
}

fn print_json(outcomes: &[Outcome]) -> io::Result<()> {
    let results = Results::now(outcomes.to_vec());
    println!("{}", serde_json::to_string(&results)?);
    Ok(())
}

fn print_failures(outcomes: &[Outcome]) {
    for outcome in outcomes {
        for failure in &outcome.failures {
            println!("{}: {failure}", outcome.case);
        }
    }
    let (won, all) = outcomes.iter().fold((0, 0), |sum, outcome| {
        (sum.0 + outcome.won, sum.1 + outcome.sessions)
    });
    println!("{won} of {all} sessions won");
}

/// What was sent where chance decides.
fn print_efforts(outcomes: &[Outcome]) {
    for outcome in outcomes {
        let efforts = outcome.chance.iter().flatten();
        for (side, effort) in ["A", "B"].into_iter().zip(efforts) {
            let mut text = format!(
                "{}: {side} sent at most {} SYNs from {} sockets, {} in a second",
                outcome.case, effort.most_syns, effort.most_sockets, effort.most_in_a_second
            );
            if let Some(ahead) = effort.ahead_ms.filter(|_| effort.others_ahead > 0.0) {
                text += &format!(
                    "; others opened {:.1} connections on average in the {ahead:.0} ms from its last SYN to the \
                     server to its first to the other side",
                    effort.others_ahead
                );
            }
            println!("{text}");
        }
    }
}

fn all_won(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(Outcome::is_enough)
}
