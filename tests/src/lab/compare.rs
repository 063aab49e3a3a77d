//! "It did not get worse": new results against kept ones.

use super::figures::{Outcome, Results};

/// How much a median's ratio to its floor may grow: what a busy machine explains.
pub const TOLERANCE: f64 = 0.05;

/// Everything that is worse now, each in a sentence; empty is good.
#[must_use]
pub fn worse(before: &Results, now: &Results) -> Vec<String> {
    let compare = |old: &Outcome| match now.outcomes.iter().find(|new| new.case == old.case) {
        Some(new) => worse_case(old, new),
        None => vec![format!("{}: not run", old.case)],
    };
    before.outcomes.iter().flat_map(compare).collect()
}

fn worse_case(old: &Outcome, new: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    if !new.is_enough() {
        found.push(format!(
            "{}: {} of {} sessions lost",
            new.case,
            new.sessions - new.won,
            new.sessions
        ));
    }
    if new.chance.is_some() {
        // So are the times.
        return found;
    }
    for ((name, before), (_, now)) in old.figures().into_iter().zip(new.figures()) {
        match (before, now) {
            (Some(before), Some(now)) if now.ratio > before.ratio + TOLERANCE => {
                found.push(format!(
                    "{}: {name} took {:.2} times its floor ({:.1} ms), before {:.2} ({:.1} ms)",
                    new.case, now.ratio, now.median_ms, before.ratio, before.median_ms
                ))
            }
            (Some(_), None) if new.won > 0 => {
                found.push(format!("{}: {name} was not measured", new.case))
            }
            (_, _) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::figures::Figure;

    fn results(won: usize, ratio: f64) -> Results {
        let figure = Figure {
            median_ms: ratio * 100.0,
            least_ms: 0.0,
            most_ms: 0.0,
            floor_ms: 100.0,
            ratio,
        };
        let outcome = Outcome {
            case: "both drop".to_owned(),
            sessions: 20,
            won,
            failures: Vec::new(),
            up_a: Some(figure),
            up_b: None,
            verified_a: None,
            verified_b: None,
            most_syns: 1,
            chance: None,
        };
        Results {
            command: "cargo lab bench".to_owned(),
            commit: None,
            outcomes: vec![outcome],
        }
    }

    #[test]
    fn equal_better_and_a_little_slower_are_fine() {
        for ratio in [1.0, 0.9, 1.05] {
            assert_eq!(worse(&results(20, 1.0), &results(20, ratio)), [""; 0]);
        }
    }

    #[test]
    fn slower_lost_or_missing_is_worse() {
        assert_eq!(worse(&results(20, 1.0), &results(20, 1.06)).len(), 1);
        assert_eq!(
            worse(&results(20, 1.0), &results(19, 1.0)),
            ["both drop: 1 of 20 sessions lost"]
        );
        let nothing = Results {
            outcomes: Vec::new(),
            ..results(20, 1.0)
        };
        assert_eq!(worse(&results(20, 1.0), &nothing), ["both drop: not run"]);
    }
}
