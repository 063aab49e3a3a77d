//! Whether the boxes do what the kernel does: the same sessions of the same hosts, over nftables and over boxes.

use std::thread;

use super::cases::{Case, usual_conditions};
use super::figures::Outcome;
use super::nat::{KINDS, NatKind};
use super::network::Plan;
use super::program::Program;
use super::topology::{Family, Layout};

/// One network, made both ways.
#[derive(Debug, Clone)]
pub struct Twin {
    kernel: Case,
    boxes: Case,
}

/// What came of both.
#[derive(Debug, Clone)]
pub struct Compared {
    /// With the kernel's NATs.
    pub kernel: Outcome,
    /// With boxes.
    pub boxes: Outcome,
}

impl Twin {
    /// `None` where the boxes have no such kind.
    fn of(layout: Layout, family: Family) -> Option<Self> {
        let boxed = |kinds: &[NatKind]| -> Option<Vec<NatKind>> {
            kinds.iter().map(|kind| kind.as_box()).collect()
        };
        let twin = Layout {
            a: boxed(&layout.a)?,
            b: boxed(&layout.b)?,
            shared: boxed(&layout.shared)?,
        };
        let case = |layout: Layout| {
            let ip = if family == Family::V6 { ", IPv6" } else { "" };
            let name = format!("{layout}{ip}");
            let plan = Plan {
                layout,
                family,
                conditions: usual_conditions(),
            };
            Case::of(&name, plan)
        };
        Some(Self {
            kernel: case(layout),
            boxes: case(twin),
        })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.kernel.name
    }

    /// Runs sessions in both networks at once: those that are lost wait for their deadline most of the time.
    ///
    /// # Panics
    /// When running one of them panics.
    #[must_use]
    pub fn run(&self, program: &Program, sessions: usize) -> Compared {
        let run = |case: &Case| {
            case.run(program, sessions)
                .unwrap_or_else(|error| Outcome::lost(&case.name, sessions, error.to_string()))
        };
        thread::scope(|scope| {
            let kernel = scope.spawn(|| run(&self.kernel));
            let boxes = run(&self.boxes);
            let kernel = kernel
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Compared { kernel, boxes }
        })
    }
}

impl Compared {
    /// Whether a session is won with the one if and only if it is won with the other.
    ///
    /// Where chance decides, only some are won; then both must have some of each, or the numbers say nothing.
    #[must_use]
    pub fn agree(&self) -> bool {
        let kind = |outcome: &Outcome| (outcome.won > 0, outcome.won < outcome.sessions);
        kind(&self.kernel) == kind(&self.boxes)
    }
}

/// Every kind against itself and against two others, both ways round; levels; shared NATs; IPv6.
#[must_use]
pub fn twins() -> Vec<Twin> {
    let kind = |name| {
        NatKind::named(name).unwrap_or_else(|| unreachable!("{name} is in the list of kinds"))
    };
    let (drop, rst) = (kind("drop"), kind("rst"));
    let mut pairs: Vec<(NatKind, NatKind)> = Vec::new();
    for kind in KINDS {
        for pair in [(kind, kind), (kind, drop), (rst, kind)] {
            if !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
    }
    // The symmetric ones that a filter on the other side makes up for.
    for other in ["full-cone", "address-restricted"] {
        pairs.push((kind("symmetric"), kind(other)));
        pairs.push((kind(other), kind("symmetric-seq")));
    }
    let mut networks: Vec<(Layout, Family)> = pairs
        .into_iter()
        .map(|(a, b)| (Layout::apart(a, b), Family::V4))
        .collect();
    let alone = |kind| vec![kind];
    for (a, b, shared) in [
        (alone(drop), Vec::new(), Vec::new()),
        (Vec::new(), alone(rst), Vec::new()),
        (vec![drop, drop], alone(rst), Vec::new()),
        (vec![drop, kind("symmetric")], alone(drop), Vec::new()),
        (Vec::new(), Vec::new(), alone(drop)),
        (Vec::new(), Vec::new(), alone(kind("hairpin"))),
        (alone(drop), alone(drop), alone(drop)),
        (alone(drop), alone(drop), alone(kind("hairpin"))),
    ] {
        networks.push((Layout { a, b, shared }, Family::V4));
    }
    for kind in KINDS.into_iter().filter(|kind| kind.is_for_ipv6()) {
        networks.push((Layout::apart(kind, kind), Family::V6));
        if kind != drop {
            networks.push((Layout::apart(drop, kind), Family::V6));
        }
    }
    networks
        .into_iter()
        .filter_map(|(layout, family)| Twin::of(layout, family))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_twin() {
        let twins = twins();
        for kind in KINDS {
            let own = format!("{kind} / {kind}");
            assert!(twins.iter().any(|twin| twin.name() == own), "{own}");
        }
        assert!(twins.iter().all(|twin| twin.boxes.name.contains("box:")));
    }

    #[test]
    fn all_none_and_some_are_three_things() {
        let outcome = |won| Outcome {
            won,
            ..Outcome::lost("", 3, String::new())
        };
        let agree = |kernel, boxes| {
            let (kernel, boxes) = (outcome(kernel), outcome(boxes));
            Compared { kernel, boxes }.agree()
        };
        assert!(agree(3, 3) && agree(0, 0) && agree(1, 2));
        assert!(!agree(3, 2) && !agree(0, 1) && !agree(3, 0));
    }
}
