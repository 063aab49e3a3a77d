//! `cargo lab agree`: the boxes against the kernel's NATs, as a table.

use std::io;

use tcp_punch_tests::lab::agree::{Compared, twins};
use tcp_punch_tests::lab::figures::Outcome;
use tcp_punch_tests::lab::means::{Maker, Means};
use tcp_punch_tests::lab::program::Program;
use tcp_punch_tests::lab::table::Table;

use crate::args::{Args, Many};

/// They must agree in every network.
pub(crate) fn run(args: &Args, more: &Many, program: &Program) -> io::Result<bool> {
    if Means::here().nats == Maker::Boxes {
        return Err(io::Error::other(
            "nothing to compare: the kernel plays no NATs here",
        ));
    }
    let mut table = Table::new(["", "NATs", "kernel won", "boxes won", "A verified ms", ""]);
    let mut all = Vec::new();
    for twin in twins()
        .iter()
        .filter(|twin| twin.name().contains(&more.filter))
    {
        eprintln!("lab: {}", twin.name());
        let compared = twin.run(program, more.sessions);
        let mark = if compared.agree() { "ok" } else { "DIFFERENT" };
        table.row([
            mark.to_owned(),
            twin.name().to_owned(),
            won(&compared.kernel),
            won(&compared.boxes),
            median(&compared.kernel),
            median(&compared.boxes),
        ]);
        all.push(compared);
    }
    let different = all.iter().filter(|compared| !compared.agree()).count();
    if args.json {
        let rows = all.iter().map(|compared| {
            serde_json::json!({
                "kernel": compared.kernel, "boxes": compared.boxes, "agree": compared.agree(),
            })
        });
        println!("{}", rows.collect::<serde_json::Value>());
    } else {
        print!("{table}");
        for compared in all.iter().filter(|compared| !compared.agree()) {
            print_failures(compared);
        }
        println!("{} of {} networks agree", all.len() - different, all.len());
    }
    Ok(different == 0 && !all.is_empty())
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

fn print_failures(compared: &Compared) {
    for outcome in [&compared.kernel, &compared.boxes] {
        for failure in &outcome.failures {
            println!("{}: {failure}", outcome.case);
        }
    }
}
