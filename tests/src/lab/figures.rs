//! Figures of many sessions, and the files they are kept in.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::pair::Session;

/// One measured time of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The median, in milliseconds.
    pub median_ms: f64,
    /// The least.
    pub least_ms: f64,
    /// The most.
    pub most_ms: f64,
    /// What the configured delays allow.
    pub floor_ms: f64,
    /// Median by floor.
    pub ratio: f64,
}

impl Figure {
    /// `None` where nothing was measured.
    #[must_use]
    pub fn of(times: impl IntoIterator<Item = Duration>, floor: Duration) -> Option<Self> {
        let mut times: Vec<f64> = times
            .into_iter()
            .map(|time| time.as_secs_f64() * 1000.0)
            .collect();
        times.sort_by(f64::total_cmp);
        let (&least, &most) = (times.first()?, times.last()?);
        let middle = times.len() / 2;
        let median = if times.len() % 2 == 1 {
            times[middle]
        } else {
            times[middle - 1].midpoint(times[middle])
        };
        let floor = floor.as_secs_f64() * 1000.0;
        let ratio = if floor > 0.0 { median / floor } else { 0.0 };
        let [median_ms, least_ms, most_ms, floor_ms] =
            [median, least, most, floor].map(|ms| round(ms, 10.0));
        Some(Self {
            median_ms,
            least_ms,
            most_ms,
            floor_ms,
            ratio: round(ratio, 1000.0),
        })
    }
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The case's name.
    pub case: String,
    /// How many sessions were run.
    pub sessions: usize,
    /// How many of them did all they should.
    pub won: usize,
    /// Why the others did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
    /// Request to TCP up, at the requester.
    pub up_a: Option<Figure>,
    /// The same at the responder.
    pub up_b: Option<Figure>,
    /// Request to verified, at the requester.
    pub verified_a: Option<Figure>,
    /// The same at the responder.
    pub verified_b: Option<Figure>,
    /// The most SYNs that one side sent in one session.
    pub most_syns: usize,
}

impl Outcome {
    /// Sums up a case's sessions; only those that were won are measured.
    #[must_use]
    pub fn of(case: &str, sessions: &[Session], floor: Floor) -> Self {
        let won: Vec<&Session> = sessions
            .iter()
            .filter(|session| session.failure.is_none())
            .collect();
        Self {
            case: case.to_owned(),
            sessions: sessions.len(),
            won: won.len(),
            failures: sessions
                .iter()
                .filter_map(|session| session.failure.clone())
                .collect(),
            up_a: Figure::of(won.iter().filter_map(|s| s.a.up), floor.up),
            up_b: Figure::of(won.iter().filter_map(|s| s.b.up), floor.up),
            verified_a: Figure::of(won.iter().filter_map(|s| s.a.verified), floor.verified_a),
            verified_b: Figure::of(won.iter().filter_map(|s| s.b.verified), floor.verified_b),
            most_syns: won
                .iter()
                .flat_map(|session| session.syns)
                .max()
                .unwrap_or(0),
        }
    }

    /// A case that could not be run at all.
    #[must_use]
    pub fn lost(case: &str, sessions: usize, reason: String) -> Self {
        Self {
            case: case.to_owned(),
            sessions,
            won: 0,
            failures: vec![reason],
            up_a: None,
            up_b: None,
            verified_a: None,
            verified_b: None,
            most_syns: 0,
        }
    }

    /// The four figures with their names.
    #[must_use]
    pub fn figures(&self) -> [(&'static str, Option<&Figure>); 4] {
        [
            ("A up", self.up_a.as_ref()),
            ("B up", self.up_b.as_ref()),
            ("A verified", self.verified_a.as_ref()),
            ("B verified", self.verified_b.as_ref()),
        ]
    }
}

/// The outcomes of one run, as they are kept in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The command that makes them again.
    pub command: String,
    /// The commit that was measured, as far as git can say.
    pub commit: Option<String>,
    /// Case by case.
    pub outcomes: Vec<Outcome>,
}

impl Results {
    /// Results of this very process.
    #[must_use]
    pub fn now(outcomes: Vec<Outcome>) -> Self {
        // Where they were written and which binary was used is of no interest to who repeats it.
        let mut words = vec!["cargo".to_owned(), "lab".to_owned()];
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            if argument == "--out" || argument == "--bin" {
                arguments.next();
            } else if !argument.starts_with("--out=") && !argument.starts_with("--bin=") {
                words.push(argument);
            }
        }
        Self {
            command: words.join(" "),
            commit: commit(),
            outcomes,
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When there is none, or it holds something else.
    pub fn read(path: &Path) -> io::Result<Self> {
        let explain = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let file = File::open(path).map_err(explain)?;
        serde_json::from_reader(BufReader::new(file)).map_err(|e| explain(e.into()))
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
    }
}

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let changed = git(&["status", "--porcelain"])?;
    Some(if changed.is_empty() {
        commit
    } else {
        format!("{commit} with changes")
    })
}

fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_range_and_ratio() {
        let ms = Duration::from_millis;
        let figure = Figure::of([ms(30), ms(10), ms(20)], ms(10)).unwrap();
        assert_eq!(
            (
                figure.least_ms,
                figure.median_ms,
                figure.most_ms,
                figure.ratio
            ),
            (10.0, 20.0, 30.0, 2.0)
        );
        assert_eq!(
            Figure::of([ms(10), ms(20)], ms(10)).unwrap().median_ms,
            15.0
        );
        assert_eq!(Figure::of([], ms(10)), None);
        assert_eq!(Figure::of([ms(1)], ms(0)).unwrap().ratio, 0.0);
    }
}
