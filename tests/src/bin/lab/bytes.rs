//! `cargo lab bytes`: bulk over punched streams, beside a plain connection.

use std::io;
use std::time::Duration;

use tcp_punch_tests::lab::bytes;
use tcp_punch_tests::lab::cases::usual_conditions;
use tcp_punch_tests::lab::means::{Maker, Means};
use tcp_punch_tests::lab::nat::NatKind;
use tcp_punch_tests::lab::network::Plan;
use tcp_punch_tests::lab::program::Program;
use tcp_punch_tests::lab::table::Table;
use tcp_punch_tests::lab::topology::{Family, Layout};
use tcp_punch_tests::lab::wan::Site;

use crate::args::{Args, Bytes};

/// Every byte must arrive, over each of the three.
pub(crate) fn run(args: &Args, more: &Bytes, program: &Program) -> io::Result<bool> {
    let mut conditions = usual_conditions();
    for (from, to) in [(Site::A, Site::B), (Site::B, Site::A)] {
        conditions.path_mut(from, to).delay = more.path_rtt / 2;
    }
    let plan = Plan {
        layout: Layout::apart(NatKind::DROP, NatKind::DROP),
        family: Family::V4,
        conditions,
    };
    let amount = more.mib * 1024 * 1024;
    let mut lost = 0;
    let mut all = Vec::new();
    let runs: [(&str, &dyn Fn() -> io::Result<bytes::Carried>); 3] = [
        ("plain", &|| bytes::plain(&plan, amount)),
        ("bare", &|| bytes::punched(&plan, program, "bare", amount)),
        ("records", &|| {
            bytes::punched(&plan, program, "records", amount)
        }),
    ];
    for (name, run) in runs {
        if name == "plain" && Means::here().nats == Maker::Boxes {
            eprintln!("lab: without plain TCP: no box forwards a port");
            continue;
        }
        eprintln!("lab: {} MiB each way, {name}", more.mib);
        match run() {
            Ok(carried) => all.push(carried),
            Err(error) => {
                println!("{name}: FAILED: {error}");
                lost += 1;
            }
        }
    }
    if args.json {
        println!("{}", serde_json::to_string(&all)?);
    } else {
        println!(
            "{} MiB each way at once, intact, both NATs drop, RTT {} ms:\n",
            more.mib,
            ms(more.path_rtt)
        );
        let mut table = Table::new(["over", "A to B Mbit/s", "B to A Mbit/s"]);
        for carried in &all {
            let over = match carried.over.as_str() {
                "plain" => "plain TCP, a port forwarded by B's NAT",
                "bare" => "punched stream, bare",
                _ => "punched stream, records",
            };
            table.row([
                over.to_owned(),
                format!("{:.0}", carried.a_to_b),
                format!("{:.0}", carried.b_to_a),
            ]);
        }
        print!("{table}");
    }
    Ok(lost == 0)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
