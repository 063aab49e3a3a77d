//! Who is held against whom.

use super::{Cell, Table};
use crate::lab::nat::NatKind;
use crate::lab::topology::Layout;

/// NATs of one side, from the host outwards, by the name of the command line.
pub type Levels = (String, Vec<NatKind>);

/// The rows and columns of the first table.
const KINDS: [&str; 13] = [
    "none",
    "full-cone",
    "address-restricted",
    "drop",
    "rst",
    "icmp",
    "strict",
    "stateless",
    "symmetric-seq",
    "symmetric-256",
    "symmetric",
    "drop+drop",
    "drop+symmetric",
];

/// What a small run takes of the first table: every kind at each side, every strategy, and what is impossible.
const SAMPLE: [(&str, &str); 15] = [
    ("none", "drop"),
    ("drop", "none"),
    ("full-cone", "symmetric"),
    ("symmetric", "address-restricted"),
    ("drop", "drop"),
    ("rst", "rst"),
    ("icmp", "drop"),
    ("drop", "icmp"),
    ("strict", "rst"),
    ("stateless", "strict"),
    ("symmetric-seq", "drop"),
    ("rst", "symmetric-256"),
    ("drop+drop", "rst"),
    ("drop+symmetric", "full-cone"),
    ("symmetric", "drop"),
];

/// NATs by their names, joined by `+`; `none` is none at all. The error is the name that nothing has.
///
/// # Errors
/// When there is no such kind.
pub fn levels(text: &str) -> Result<Levels, String> {
    let kinds: Result<_, _> = match text {
        "none" => Ok(Vec::new()),
        text => text
            .split('+')
            .map(|name| NatKind::named(name).ok_or_else(|| name.to_owned()))
            .collect(),
    };
    Ok((text.to_owned(), kinds?))
}

/// The rows and columns of the first table.
#[must_use]
pub fn kinds() -> Vec<Levels> {
    KINDS.into_iter().map(known).collect()
}

/// Each of these against each of those.
#[must_use]
pub fn apart(rows: &[Levels], columns: &[Levels]) -> Vec<Cell> {
    let cells = |row| {
        columns
            .iter()
            .map(move |column| against(Table::Apart, row, column))
    };
    rows.iter().flat_map(cells).collect()
}

/// Both peers behind one NAT, or behind a carrier's and one of their own.
#[must_use]
pub fn shared() -> Vec<Cell> {
    let situations: [(&str, &[&str], &str, bool); 8] = [
        ("one NAT", &[], "drop", false),
        ("one NAT that hairpins", &[], "hairpin", false),
        ("one carrier's NAT", &["drop"], "drop", false),
        (
            "one carrier's NAT, homes answer RST",
            &["rst"],
            "drop",
            false,
        ),
        (
            "one carrier's NAT that hairpins",
            &["drop"],
            "hairpin",
            false,
        ),
        (
            "one carrier's NAT, router addresses given",
            &["drop"],
            "drop",
            true,
        ),
        (
            "one carrier's NAT, homes answer RST, router addresses given",
            &["rst"],
            "drop",
            true,
        ),
        (
            "one carrier's NAT that hairpins, router addresses given",
            &["drop"],
            "hairpin",
            true,
        ),
    ];
    let cell = |(row, home, outer, names_routers): (&str, &[&str], &str, bool)| {
        let home: Vec<_> = home.iter().flat_map(|name| known(name).1).collect();
        Cell {
            table: Table::Shared,
            row: row.to_owned(),
            column: "both".to_owned(),
            layout: Layout {
                a: home.clone(),
                b: home,
                shared: known(outer).1,
            },
            names_routers,
            birthday: false,
        }
    };
    situations.into_iter().map(cell).collect()
}

/// Random ports at one side against every kind that keeps its ports, both ways round.
#[must_use]
pub fn birthday() -> Vec<Cell> {
    let random = known("symmetric");
    let kinds = kinds();
    let keep = || {
        kinds
            .iter()
            .filter(|(_, kinds)| !kinds.iter().any(|kind| kind.is_symmetric()))
    };
    let cell = |row, column| Cell {
        birthday: true,
        ..against(Table::Birthday, row, column)
    };
    keep()
        .map(|kind| cell(&random, kind))
        .chain(keep().map(|kind| cell(kind, &random)))
        .collect()
}

/// A small part of all tables.
#[must_use]
pub fn sample() -> Vec<Cell> {
    let apart = SAMPLE.map(|(row, column)| against(Table::Apart, &known(row), &known(column)));
    let shared = shared().into_iter().step_by(5);
    let birthday = birthday().into_iter().filter(|cell| cell.column == "drop");
    apart.into_iter().chain(shared).chain(birthday).collect()
}

fn against(table: Table, row: &Levels, column: &Levels) -> Cell {
    Cell {
        table,
        row: row.0.clone(),
        column: column.0.clone(),
        layout: Layout {
            a: row.1.clone(),
            b: column.1.clone(),
            shared: Vec::new(),
        },
        names_routers: false,
        birthday: false,
    }
}

fn known(name: &str) -> Levels {
    levels(name).unwrap_or_else(|name| unreachable!("{name} is in the list of kinds"))
}
