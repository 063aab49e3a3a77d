//! The cases that other programs lose: a server that is of little use for aiming, and NATs that give out ports.

use std::time::Duration;

use super::{Case, MS};
use crate::lab::nat::NatKind;
use crate::lab::pair::Terms;
use crate::lab::topology::Layout;
use crate::lab::wan::{Conditions, Site};

/// Connections a second of others behind a NAT that counts: from the last contact with the server, which shows where
/// the count stands, to the SYN that punches, it takes 125 ms on the usual paths (two round trips for the contact to
/// come up and be told, one for both sides to be told to go), so that 10 are opened in between on average.
const OTHERS_PER_SECOND: f64 = 80.0;

/// The server is far away and its paths unsteady, the peers are near each other, and both NATs answer early SYNs.
pub(super) fn hardest() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, word) in [("rst-rule", "by a rule"), ("rst", "by the kernel")] {
        let kind = named(kind);
        for rtt in [8, 16] {
            let name = format!(
                "hardest: server 104 ms away, jitter 30 ms, peers {rtt} ms round trip, RST {word}"
            );
            let case = Case::new(&name, Layout::apart(kind, kind)).with(|conditions| {
                *conditions = Conditions::from_rtt(208 * MS, 208 * MS, rtt * MS);
                for (one, other) in [(Site::A, Site::S), (Site::B, Site::S)] {
                    conditions.path_mut(one, other).jitter = Duration::from_millis(30);
                    conditions.path_mut(other, one).jitter = Duration::from_millis(30);
                }
            });
            cases.push(standing(case));
        }
    }
    cases
}

/// One side's outer ports depend on the destination, and whether they are met is a matter of luck.
pub(super) fn by_chance() -> Vec<Case> {
    let (drop, random) = (named("drop"), named("symmetric"));
    let mut cases = Vec::new();
    for kind in ["symmetric-seq", "symmetric-256"] {
        let counting = named(kind);
        for (side, word) in [(0, "A"), (1, "B")] {
            let mut case = Case::new(
                &format!("chance: {kind} at {word}, 10 connections of others in between"),
                apart(side, counting, drop),
            );
            case.others[side] = OTHERS_PER_SECOND;
            cases.push(lucky(case));
        }
    }
    for (side, word) in [(0, "A"), (1, "B")] {
        let mut case = Case::new(
            &format!("chance: random ports at {word}, both with --birthday"),
            apart(side, random, drop),
        );
        case.terms.more = [(); 2].map(|()| vec!["--birthday".to_owned()]);
        cases.push(lucky(case));
    }
    cases
}

/// What depends on the destination at that side.
fn apart(side: usize, depends: NatKind, other: NatKind) -> Layout {
    if side == 0 {
        Layout::apart(depends, other)
    } else {
        Layout::apart(other, depends)
    }
}

/// Both peers have been there for a while, as they are where it matters what they know of their NATs.
fn standing(case: Case) -> Case {
    Case {
        terms: Terms {
            standing: true,
            ..case.terms
        },
        ..case
    }
}

fn lucky(case: Case) -> Case {
    Case {
        by_chance: true,
        ..standing(case)
    }
}

fn named(name: &str) -> NatKind {
    NatKind::named(name).unwrap_or_else(|| unreachable!("{name} is in the list of kinds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_a_filter_and_are_different() {
        let names = |cases: Vec<Case>, word: &str| {
            let names: Vec<_> = cases.into_iter().map(|case| case.name).collect();
            assert!(names.iter().all(|name| name.starts_with(word)), "{names:?}");
            names
        };
        let mut all = names(hardest(), "hardest: ");
        all.extend(names(by_chance(), "chance: "));
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
