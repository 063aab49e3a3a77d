//! What came of the cells: as tables for a terminal and for Markdown, and as a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::grids::kinds;
use super::{Expected, Table};
use crate::lab::figures::{Figure, command, commit};
use crate::lab::table::Table as Text;

/// What came of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The table that it is in.
    pub table: Table,
    /// The requester's side.
    pub row: String,
    /// The responder's.
    pub column: String,
    /// What the oracle says.
    pub expected: Expected,
    /// How many sessions were run.
    pub sessions: usize,
    /// How many came about.
    pub won: usize,
    /// What won, most often.
    pub strategy: Option<String>,
    /// From the request to the verified stream, at the requester.
    pub verified: Option<Figure>,
    /// Its median over the floor, in milliseconds.
    pub over_ms: Option<f64>,
    /// Why the others did not come about, and how many of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, usize>,
    /// How to see it alone.
    pub replay: String,
}

impl Outcome {
    /// Whether it is as the oracle says.
    #[must_use]
    pub fn is_right(&self) -> bool {
        match self.expected {
            Expected::Sure => self.won == self.sessions,
            Expected::Luck => true,
            Expected::Impossible => self.won == 0,
        }
    }

    /// Strategy, sessions won, time over the floor.
    #[must_use]
    pub fn in_short(&self) -> String {
        if self.expected == Expected::Impossible && self.won == 0 {
            return "-".to_owned();
        }
        let mut text = self.strategy.as_deref().map_or_else(String::new, short);
        let _ = write!(text, " {}/{}", self.won, self.sessions);
        if let Some(over) = self.over_ms {
            let _ = write!(text, " {over:+.0}");
        }
        text.trim_start().to_owned()
    }
}

/// A strategy in a word, for narrow columns.
fn short(strategy: &str) -> String {
    match strategy {
        "simultaneous-open" => "open",
        "sequential" => "seq",
        "low-ttl" => "low",
        "port-prediction" => "pred",
        "birthday" => "birth",
        "host-candidates" => "host",
        other => other,
    }
    .to_owned()
}

/// All that came of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sheet {
    /// The command that makes it again.
    pub command: String,
    /// The commit that was measured, as far as git can say.
    pub commit: Option<String>,
    /// Who played the NATs.
    pub nats: String,
    /// Cell by cell.
    pub cells: Vec<Outcome>,
}

/// What the tables mean, for whoever reads them.
const CAPTION: &str = "\
Rows: the requester's NAT, columns: the responder's, from the host outwards. A cell: what won most often (open: \
simultaneous open, seq: sequential, low: low TTL, dial, pred: port prediction, birth: birthday, host: the peers' own \
addresses), sessions won, and the median time from the request to the verified stream over what the delays allow, in \
ms. \"-\": impossible, and nothing came through. \"!\": not what had to come of it. Both peers stayed registered and \
had found their NATs out before the first session; the responder was asked for each. Round trips 40, 40 and 80 ms, no \
loss.";

impl Sheet {
    /// Results of this very process.
    #[must_use]
    pub fn now(nats: String, cells: Vec<Outcome>) -> Self {
        Self {
            command: command(),
            commit: commit(),
            nats,
            cells,
        }
    }

    /// Writes it as JSON, and as Markdown beside it.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let explain = |path: &Path, e: io::Error| {
            io::Error::new(e.kind(), format!("{}: {e}", path.display()))
        };
        let json = serde_json::to_string_pretty(self)? + "\n";
        let beside = path.with_extension("md");
        std::fs::write(path, json).map_err(|e| explain(path, e))?;
        std::fs::write(&beside, self.markdown()).map_err(|e| explain(&beside, e))
    }

    /// For a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (title, lines) in self.tables() {
            let mut lines = lines.into_iter();
            let head = lines.next().unwrap_or_default();
            let mut table = Text::new(head.iter().map(String::as_str));
            for line in lines {
                table.row(line);
            }
            let _ = write!(text, "{title}\n\n{table}\n");
        }
        let _ = writeln!(text, "{CAPTION}\n{}.\n", self.nats);
        text + &self.summary()
    }

    /// For a README.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("`{}`", self.command);
        if let Some(commit) = &self.commit {
            let _ = write!(text, " at {commit}");
        }
        let _ = write!(text, ". {}. {CAPTION}\n\n", self.nats);
        for (title, lines) in self.tables() {
            let _ = write!(text, "{title}:\n\n");
            for (number, line) in lines.iter().enumerate() {
                let _ = writeln!(text, "| {} |", line.join(" | "));
                if number == 0 {
                    let _ = writeln!(text, "|{}", "---|".repeat(line.len()));
                }
            }
            text.push('\n');
        }
        text + &self.summary()
    }

    /// Each table's title, and its lines, the head first.
    fn tables(&self) -> Vec<(&'static str, Vec<Vec<String>>)> {
        [
            (Table::Apart, "Each behind NATs of its own"),
            (Table::Shared, "Both behind one NAT"),
            (
                Table::Birthday,
                "Random ports at one side, --birthday at both",
            ),
        ]
        .into_iter()
        .map(|(table, title)| (title, self.lines(table)))
        .filter(|(_, lines)| lines.len() > 1)
        .collect()
    }

    fn lines(&self, table: Table) -> Vec<Vec<String>> {
        let cells = || self.cells.iter().filter(move |cell| cell.table == table);
        let order = kinds();
        let names = |of: fn(&Outcome) -> &String| {
            let mut names: Vec<&String> = Vec::new();
            for name in cells().map(of) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            // A sample is in no order of its own; what is not among the usual ones comes last.
            names.sort_by_key(|name| {
                let place = order.iter().position(|(other, _)| other == *name);
                place.unwrap_or(order.len())
            });
            names
        };
        let columns = names(|cell| &cell.column);
        let head = std::iter::once(String::new()).chain(columns.iter().map(|name| (*name).clone()));
        let line = |row: &String| -> Vec<String> {
            let cell = |column: &&String| {
                let found =
                    cells().find(|cell: &&Outcome| cell.row == *row && cell.column == **column);
                found.map_or_else(String::new, |cell| {
                    let mark = if cell.is_right() { "" } else { " !" };
                    cell.in_short() + mark
                })
            };
            std::iter::once(row.clone())
                .chain(columns.iter().map(cell))
                .collect()
        };
        std::iter::once(head.collect::<Vec<String>>())
            .chain(names(|cell| &cell.row).into_iter().map(line))
            .collect()
    }

    /// How many cells are as they must be, and how to see the others.
    fn summary(&self) -> String {
        let count = |expected: Expected, right: bool| {
            let cells = self.cells.iter().filter(|cell| cell.expected == expected);
            cells.filter(|cell| !right || cell.is_right()).count()
        };
        let (sure, impossible) = (
            count(Expected::Sure, false),
            count(Expected::Impossible, false),
        );
        let mut text = format!(
            "{} of {sure} possible pairs were won every time, {} of {impossible} impossible ones never",
            count(Expected::Sure, true),
            count(Expected::Impossible, true)
        );
        let lucky = || {
            self.cells
                .iter()
                .filter(|cell| cell.expected == Expected::Luck)
        };
        let sum = |of: fn(&Outcome) -> usize| -> usize { lucky().map(of).sum() };
        if lucky().next().is_some() {
            let (won, all) = (sum(|cell| cell.won), sum(|cell| cell.sessions));
            let _ = write!(text, "; where it is luck, {won} of {all} sessions");
        }
        text.push_str(".\n");
        for cell in self.cells.iter().filter(|cell| !cell.is_right()) {
            let _ = write!(
                text,
                "\n{} / {}: {} of {} won, and the oracle says {:?}. Again: `{}`\n",
                cell.row, cell.column, cell.won, cell.sessions, cell.expected, cell.replay
            );
            for (failure, count) in &cell.failures {
                let _ = writeln!(text, "  {count} times: {failure}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(column: &str, expected: Expected, won: usize) -> Outcome {
        Outcome {
            table: Table::Apart,
            row: "drop".to_owned(),
            column: column.to_owned(),
            expected,
            sessions: 5,
            won,
            strategy: (won > 0).then(|| "low-ttl".to_owned()),
            verified: None,
            over_ms: (won > 0).then_some(1.6),
            failures: BTreeMap::new(),
            replay: "cargo lab".to_owned(),
        }
    }

    #[test]
    fn a_sheet_is_a_table_that_marks_what_is_wrong() {
        let cells = vec![
            cell("rst", Expected::Sure, 5),
            cell("icmp", Expected::Sure, 4),
            cell("symmetric", Expected::Impossible, 0),
            cell("strict", Expected::Impossible, 1),
            cell("random", Expected::Luck, 3),
        ];
        let right: Vec<_> = cells.iter().map(Outcome::is_right).collect();
        assert_eq!(right, [true, false, true, false, true]);
        let sheet = Sheet {
            command: "cargo lab matrix".to_owned(),
            commit: None,
            nats: String::new(),
            cells,
        };
        let markdown = sheet.markdown();
        let line = "| drop | low 5/5 +2 | low 4/5 +2 ! | low 1/5 +2 ! | - | low 3/5 +2 |";
        assert!(markdown.contains(line), "{markdown}");
        assert!(
            sheet.text().contains(
                "1 of 2 possible pairs were won every time, 1 of 2 impossible ones never"
            ),
        );
    }
}
