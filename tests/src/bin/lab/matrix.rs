//! `cargo lab matrix`: every kind of NAT against every other.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum;
use tcp_punch_tests::lab::matrix::grids::{self, Levels};
use tcp_punch_tests::lab::matrix::run::{self, Options};
use tcp_punch_tests::lab::matrix::sheet::{Outcome, Sheet};
use tcp_punch_tests::lab::means::{Maker, Means};
use tcp_punch_tests::lab::program::Program;

use crate::args::Args;
use crate::words;

/// Options for the matrix.
#[derive(Debug, clap::Args)]
pub(crate) struct Matrix {
    /// Sessions in each cell.
    #[arg(long, default_value_t = 5)]
    sessions: usize,

    /// Only cells with this in their name, which is ROW / COLUMN.
    #[arg(long, default_value = "")]
    filter: String,

    /// The requester's NATs, such as drop,rst+drop; with it or --columns, the other tables are left out.
    #[arg(long, value_name = "NATS", value_delimiter = ',', value_parser = named)]
    rows: Vec<Levels>,

    /// The responder's.
    #[arg(long, value_name = "NATS", value_delimiter = ',', value_parser = named)]
    columns: Vec<Levels>,

    /// A few cells of each table.
    #[arg(long, conflicts_with_all = ["rows", "columns"])]
    sample: bool,

    /// One table more: random ports at one side, --birthday at both.
    #[arg(long)]
    birthday: bool,

    /// Who plays the NATs [default: the kernel where it can].
    #[arg(long, value_enum, value_name = "MAKER")]
    nats: Option<MakerWord>,

    /// Networks that are set up at once; sessions are measured one at a time.
    #[arg(long, default_value_t = 3)]
    jobs: usize,

    /// Where the chance in the networks comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Print the tables as Markdown.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,

    /// Write the results to a file, and as Markdown to one beside it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MakerWord {
    /// Nftables.
    Kernel,
    /// Boxes in the lab's process.
    Box,
}

/// As [`words::levels`], with the name.
fn named(text: &str) -> Result<Levels, String> {
    words::levels(text).map(|levels| (text.to_owned(), levels.0))
}

/// Every cell must be as the oracle says.
pub(crate) fn run(args: &Args, more: &Matrix, program: &Program) -> io::Result<bool> {
    let mut cells = if more.sample {
        grids::sample()
    } else {
        let or_all = |given: &[Levels]| match given {
            [] => grids::kinds(),
            given => given.to_vec(),
        };
        let mut cells = grids::apart(&or_all(&more.rows), &or_all(&more.columns));
        if more.rows.is_empty() && more.columns.is_empty() {
            cells.extend(grids::shared());
        }
        if more.birthday {
            cells.extend(grids::birthday());
        }
        cells
    };
    cells.retain(|cell| cell.name().contains(&more.filter));
    if cells.is_empty() {
        let text = format!("no cell has {:?} in its name", more.filter);
        return Err(io::Error::other(text));
    }
    let means = means(more);
    let options = Options {
        sessions: more.sessions,
        seed: more.seed,
        jobs: more.jobs,
        means,
    };
    let (all, count) = (cells.len(), AtomicUsize::new(0));
    let outcomes = run::run(&cells, program, options, |outcome: &Outcome| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        let mark = if outcome.is_right() { "" } else { " WRONG" };
        eprintln!(
            "lab: {number} of {all}: {} / {}: {}{mark}",
            outcome.row,
            outcome.column,
            outcome.in_short()
        );
    });
    let right = outcomes.iter().all(Outcome::is_right);
    let sheet = Sheet::now(means.to_string(), outcomes);
    if let Some(path) = &more.out {
        sheet.write(path)?;
    }
    if args.json {
        println!("{}", serde_json::to_string(&sheet)?);
    } else if more.markdown {
        print!("{}", sheet.markdown());
    } else {
        print!("{}", sheet.text());
    }
    Ok(right)
}

fn means(more: &Matrix) -> Means {
    let here = Means::here();
    let nats = more.nats.map_or(here.nats, |word| match word {
        MakerWord::Kernel => Maker::Kernel,
        MakerWord::Box => Maker::Boxes,
    });
    Means { nats, ..here }
}
