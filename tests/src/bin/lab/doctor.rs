//! `cargo lab doctor`: every kind of NAT, and what `tcp-punch doctor` says of it.

use std::io;

use serde_json::{Value, json};
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
        "levels",
        "seconds",
    ]);
    let (mut all, mut details, mut wrong) = (Vec::new(), String::new(), 0);
    let expected = expectations();
    for row in &expected {
        let name = if row.second_address {
            row.nats.to_owned()
        } else {
            format!("{}, server with one address", row.nats)
        };
        eprintln!("lab: {name}");
        let (report, took) = examine(program, row)?;
        let mut differ = differences(&row.fields, &report);
        if took > WITHIN {
            differ.push(format!("it took {took:.1?}, more than {WITHIN:?}"));
        }
        let right = differ.is_empty();
        wrong += usize::from(!right);
        let text = |field: &str| {
            let value = &report[field];
            match value.as_str() {
                Some(text) => text.to_owned(),
                None if value.is_null() => "not tested".to_owned(),
                None => value.to_string(),
            }
        };
        let mark = if right { "ok" } else { "WRONG" };
        let seconds = format!("{:.1}", took.as_secs_f64());
        let mut cells = vec![mark.to_owned(), name.clone()];
        cells.extend(
            [
                "nat",
                "mapping",
                "filtering",
                "early_syn",
                "hairpin",
                "levels",
            ]
            .map(text),
        );
        cells.push(seconds);
        table.row(cells);
        for difference in differ {
            details += &format!("\n{name}: {difference}\n");
        }
        all.push(json!({
            "nats": row.nats, "second_address": row.second_address, "report": report, "right": right, "seconds": took.as_secs_f64(),
        }));
    }
    if args.json {
        println!("{}", Value::from(all));
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
