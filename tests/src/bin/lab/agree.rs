//! `cargo lab agree`: the boxes against the kernel's NATs, as a table.

use std::fs;
use std::io;

use tcp_punch_tests::lab::agree::{Compared, FORCED, Twin, run_all, twins};
use tcp_punch_tests::lab::figures::{Outcome, Results};
use tcp_punch_tests::lab::means::{Maker, Means};
use tcp_punch_tests::lab::program::Program;
use tcp_punch_tests::lab::table::Table;

use crate::args::{Agreements, Args};

/// They must agree in every network.
pub(crate) fn run(args: &Args, more: &Agreements, program: &Program) -> io::Result<bool> {
    if Means::here().nats == Maker::Boxes {
        return Err(io::Error::other(
            "nothing to compare: the kernel plays no NATs here",
        ));
    }
    let twins: Vec<Twin> = every()
        .into_iter()
        .filter(|twin| twin.name().contains(&more.filter))
        .collect();
    let all = run_all(
        &twins,
        program,
        more.sessions,
        more.at_once,
        |twin, compared| {
            eprintln!("lab: {} {}", mark(compared), twin.name());
        },
    )?;
    let different = all.iter().filter(|compared| !compared.agree()).count();
    let mut text = table(&twins, &all).to_string();
    for compared in all.iter().filter(|compared| !compared.agree()) {
        text += &failures(compared);
    }
    text += &format!(
        "{} of {} networks agree\n",
        all.len() - different,
        all.len()
    );
    if let Some(path) = &more.out {
        let Results {
            command, commit, ..
        } = Results::now(Vec::new());
        let commit = commit.unwrap_or_default();
        fs::write(
            path,
            format!("command: {command}\ncommit: {commit}\n\n{text}"),
        )?;
    }
    if args.json {
        let rows = all.iter().map(|compared| {
            serde_json::json!({
                "kernel": compared.kernel, "boxes": compared.boxes, "agree": compared.agree(),
            })
        });
        println!("{}", rows.collect::<serde_json::Value>());
    } else {
        print!("{text}");
    }
    Ok(different == 0 && !all.is_empty())
}

/// Every network, with what the plan has and with each strategy.
fn every() -> Vec<Twin> {
    let free = twins();
    let forced = FORCED.map(|strategy| free.iter().map(move |twin| twin.forcing(strategy)));
    let forced: Vec<Twin> = forced.into_iter().flatten().collect();
    free.into_iter().chain(forced).collect()
}

fn table(twins: &[Twin], all: &[Compared]) -> Table {
    let mut table = Table::new(["", "NATs", "kernel won", "boxes won", "A verified ms", ""]);
    for (twin, compared) in twins.iter().zip(all) {
        table.row([
            mark(compared).to_owned(),
            twin.name().to_owned(),
            won(&compared.kernel),
            won(&compared.boxes),
            median(&compared.kernel),
            median(&compared.boxes),
        ]);
    }
    table
}

fn mark(compared: &Compared) -> &'static str {
    if compared.agree() { "ok" } else { "DIFFERENT" }
}

fn won(outcome: &Outcome) -> String {
    format!("{}/{}", outcome.won, outcome.sessions)
}

fn median(outcome: &Outcome) -> String {
    outcome.verified_a.as_ref().map_or_else(
        || "-".to_owned(),
        |figure| format!("{:.1}", figure.median_ms),
    )
}

fn failures(compared: &Compared) -> String {
    let of = |outcome: &Outcome| -> String {
        let lines = outcome.failures.iter();
        lines
            .map(|line| format!("{}: {line}\n", outcome.case))
            .collect()
    };
    of(&compared.kernel) + &of(&compared.boxes)
}
