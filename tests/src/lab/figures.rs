//! Figures of many sessions, and the files they are kept in.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::floor::Floor;
use super::load::Load;
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
    /// Where chance decides, what was sent for it by the requester's and by the responder's side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<[Effort; 2]>,
}

/// What one side did in the sessions of a case where chance decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// The most SYNs of a session, repeated ones included.
    pub most_syns: usize,
    /// The most sockets of a session, each an entry of the NAT.
    pub most_sockets: usize,
    /// The most SYNs within one second.
    pub most_in_a_second: usize,
    /// The median time from the last SYN to the server to the first to the other side.
    pub ahead_ms: Option<f64>,
    /// How many connections others behind the NAT opened in that time, on average.
    pub others_ahead: f64,
}

impl Effort {
    fn of(loads: &[Load]) -> Self {
        let most = |of: fn(&Load) -> usize| loads.iter().map(of).max().unwrap_or(0);
        let ahead = loads.iter().filter_map(|load| load.ahead);
        let others: usize = loads.iter().map(|load| load.others_ahead).sum();
        let mean = others as f64 / loads.len().max(1) as f64;
        Self {
            most_syns: most(|load| load.syns),
            most_sockets: most(|load| load.flows),
            most_in_a_second: most(|load| load.most_in_a_second),
            ahead_ms: Figure::of(ahead, Duration::ZERO).map(|figure| figure.median_ms),
            others_ahead: round(mean, 10.0),
        }
    }
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
            chance: None,
        }
    }

    /// The same of a case in which chance decides.
    #[must_use]
    pub fn by_chance(self, sessions: &[Session]) -> Self {
        let efforts = [0, 1].map(|side| {
            let loads: Vec<Load> = sessions.iter().map(|session| session.loads[side]).collect();
            Effort::of(&loads)
        });
        Self {
            chance: Some(efforts),
            ..self
        }
    }

    /// Whether enough sessions were won: all of them, or, where chance decides, all but one in 20.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        let lost = self.sessions - self.won;
        lost == 0 || self.chance.is_some() && self.won > 0 && lost <= (self.sessions / 20).max(1)
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
            chance: None,
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
        Self {
            command: command(),
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

/// The command line of this very process.
pub(super) fn command() -> String {
    // Where results were written and which binary was used is of no interest to who repeats it.
    let mut words = vec!["cargo".to_owned(), "lab".to_owned()];
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--out" || argument == "--bin" {
            arguments.next();
        } else if !argument.starts_with("--out=") && !argument.starts_with("--bin=") {
            words.push(argument);
        }
    }
    words.join(" ")
}

/// The commit that is checked out, as far as git can say.
pub(super) fn commit() -> Option<String> {
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

pub(super) fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_chance_decides_one_in_20_may_be_lost() {
        let enough = |sessions, won, chance: bool| {
            let lost = Outcome::lost("", sessions, String::new());
            let lost = if chance { lost.by_chance(&[]) } else { lost };
            Outcome { won, ..lost }.is_enough()
        };
        assert!(enough(20, 20, false) && !enough(20, 19, false));
        assert!(enough(20, 19, true) && !enough(20, 18, true) && enough(40, 38, true));
        assert!(enough(3, 2, true) && !enough(3, 1, true) && !enough(1, 0, true));
    }

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
