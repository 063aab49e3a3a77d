//! `cargo lab doctor`: every kind of NAT, and what `tcp-punch doctor` says of it.

use std::io;

use tcp_punch_tests::lab::doctor::{WITHIN, differences, examine, expectations};
use tcp_punch_tests::lab::program::Program;
use tcp_punch_tests::lab::table::Table;

use crate::args::Args;

/// Each must be named rightly, and soon.
pub(crate) fn run(args: &Args, program: &Program) -> io::Result<bool> {
    let mut table = Table::new([
        "",
        "NAT",
        "named",
        "mapping",
        "filtering",
        "early SYN",
        "hairpin",
        "seconds",
    ]);
    let (mut all, mut details, mut wrong) = (Vec::new(), String::new(), 0);
    let expected = expectations();
    for row in &expected {
        eprintln!("lab: {}", row.kind);
        let (report, took) = examine(program, row.kind)?;
        let mut differ = differences(&row.fields, &report);
        if took > WITHIN {
            differ.push(format!("it took {took:.1?}, more than {WITHIN:?}"));
        }
        let right = differ.is_empty();
        wrong += usize::from(!right);
        let text = |field: &str| {
            let value = &report[field];
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        let mark = if right { "ok" } else { "WRONG" };
        let seconds = format!("{:.1}", took.as_secs_f64());
        let mut cells = vec![mark.to_owned(), row.kind.to_owned()];
        cells.extend(["nat", "mapping", "filtering", "early_syn", "hairpin"].map(text));
        cells.push(seconds);
        table.row(cells);
        for difference in differ {
            details += &format!("\n{}: {difference}\n", row.kind);
        }
        all.push(serde_json::json!({
            "kind": row.kind, "report": report, "right": right, "seconds": took.as_secs_f64(),
        }));
    }
    if args.json {
        println!("{}", serde_json::Value::from(all));
    } else {
        print!("{table}{details}");
        println!(
            "{} of {} named rightly",
            expected.len() - wrong,
            expected.len()
        );
    }
    Ok(wrong == 0)
}
