//! `cargo lab trouble`: what must end clearly, one item after the other, as a table.

use std::io;
use std::time::{Duration, Instant};

use tcp_punch_tests::lab::program::Program;
use tcp_punch_tests::lab::table::Table;
use tcp_punch_tests::lab::trouble::{self, Context};

use crate::args::{Args, Troubles};

/// As much as the table shows of what was seen; where it is wrong, all of it follows the table.
const WIDTH: usize = 60;

/// Each must come out as expected.
pub(crate) fn run(args: &Args, more: &Troubles, program: &Program) -> io::Result<bool> {
    let context = Context {
        program,
        idle: Duration::from_secs(more.idle),
    };
    let mut table = Table::new(["", "what", "expected", "got", "seconds"]);
    let mut all = Vec::new();
    let mut details = String::new();
    let (mut wrong, mut run) = (0, 0);
    for item in trouble::all()
        .iter()
        .filter(|item| item.what.contains(&more.filter))
    {
        eprintln!("lab: {}", item.what);
        let start = Instant::now();
        let verdict = item.run(&context);
        let seconds = format!("{:.1}", start.elapsed().as_secs_f64());
        let right = verdict.is_ok();
        wrong += usize::from(!right);
        run += 1;
        let got = verdict
            .unwrap_or_else(|error| error.to_string())
            .replace('\n', " ");
        all.push(serde_json::json!({
            "what": item.what, "expected": item.expected, "got": got, "right": right, "seconds": seconds,
        }));
        let mark = if right { "ok" } else { "WRONG" };
        let short: String = got.chars().take(WIDTH).collect();
        table.row([mark, item.what, item.expected, &short, &seconds].map(str::to_owned));
        if !right {
            details += &format!("\n{}: {got}\n", item.what);
        }
    }
    if args.json {
        println!("{}", serde_json::Value::from(all));
    } else {
        print!("{table}{details}");
        println!("{} of {run} as expected", run - wrong);
    }
    Ok(wrong == 0 && run > 0)
}
