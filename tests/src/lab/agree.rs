//! Whether the boxes do what the kernel does: the same sessions of the same hosts, over nftables and over boxes; once
//! with whatever the plan has, and once with every strategy by itself.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::cases::{Case, usual_conditions};
use super::figures::Outcome;
use super::nat::{KINDS, NatKind};
use super::network::Plan;
use super::pair::Terms;
use super::program::Program;
use super::topology::{Family, Layout};

/// Those that are run by themselves: what works is a matter of the NATs, and not of chance or of their absence.
pub const FORCED: [&str; 7] = [
    "simultaneous-open",
    "sequential",
    "low-ttl",
    "dial",
    "port-prediction",
    "crafted-syn-ack",
    "spoofed-syn-ack",
];

/// Where a strategy is forced: SYNs were repeated after 1 s and 3 s by then, and the next round has not begun.
const PATIENCE: Duration = Duration::from_secs(4);

/// Who differs on a busy machine is run again by itself, so often.
const AGAIN: usize = 3;

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

    /// The same with one strategy, whose helpers are there, and little time.
    #[must_use]
    pub fn forcing(&self, strategy: &str) -> Self {
        let force = |case: &Case| {
            let layout = &case.plan.layout;
            // Past all own levels. Not left to the hosts to find out, which the kernel's stateless NAT does not let them.
            let hops = |own: &[NatKind]| u8::try_from(own.len() + layout.shared.len() + 1).ok();
            let crafts = strategy.ends_with("-syn-ack");
            let terms = Terms {
                strategy: Some(strategy.to_owned()),
                raw: crafts,
                spoof: crafts,
                hops: [hops(&layout.a), hops(&layout.b)],
                patience: Some(PATIENCE),
                ..case.terms.clone()
            };
            Case {
                name: format!("{strategy}: {}", case.name),
                terms,
                ..case.clone()
            }
        };
        Self {
            kernel: force(&self.kernel),
            boxes: force(&self.boxes),
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.kernel.name
    }

    /// Runs sessions in both networks at once: those that are lost wait for their deadline most of the time.
    ///
    /// # Errors
    /// When a network or a program does not come up: that both do not is no agreement.
    ///
    /// # Panics
    /// When running one of them panics.
    pub fn run(&self, program: &Program, sessions: usize) -> io::Result<Compared> {
        thread::scope(|scope| {
            let kernel = scope.spawn(|| self.kernel.run(program, sessions));
            let boxes = self.boxes.run(program, sessions);
            let kernel = kernel
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok(Compared {
                kernel: kernel?,
                boxes: boxes?,
            })
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

/// Runs many, so many networks of either make at once; `told` hears of each as it ends. What differs is run again by
/// itself, with more sessions, and that counts: a session that was late for its deadline on a busy machine says nothing.
///
/// # Errors
/// When one of them cannot be run by itself either.
///
/// # Panics
/// When running one of them panics.
pub fn run_all(
    twins: &[Twin],
    program: &Program,
    sessions: usize,
    at_once: usize,
    told: impl Fn(&Twin, &Compared) + Sync,
) -> io::Result<Vec<Compared>> {
    let results: Vec<Mutex<Option<Compared>>> = twins.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some((twin, result)) = {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    twins.get(place).zip(results.get(place))
                } {
                    // What keeps it from running may be the machine too.
                    let compared = twin.run(program, sessions).ok();
                    let agreed = compared.filter(Compared::agree);
                    if let Some(compared) = &agreed {
                        told(twin, compared);
                    }
                    *result.lock().unwrap_or_else(PoisonError::into_inner) = agreed;
                }
            });
        }
    });
    let results = results
        .into_iter()
        .map(|result| result.into_inner().unwrap_or_else(PoisonError::into_inner));
    let again = |(twin, agreed): (&Twin, Option<Compared>)| {
        if let Some(compared) = agreed {
            return Ok(compared);
        }
        let explain = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", twin.name()));
        let compared = twin.run(program, sessions.max(AGAIN)).map_err(explain)?;
        told(twin, &compared);
        Ok(compared)
    };
    twins.iter().zip(results).map(again).collect()
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
    fn low_ttls_pass_all_own_levels() {
        let twins = twins();
        let named = |name: &str| twins.iter().find(|twin| twin.name() == name);
        let twin = named("drop+drop / rst").unwrap().forcing("low-ttl");
        assert_eq!(twin.name(), "low-ttl: drop+drop / rst");
        assert_eq!(twin.boxes.terms.hops, [Some(3), Some(2)]);
        let twin = named("drop / drop behind drop").unwrap();
        let twin = twin.forcing("crafted-syn-ack");
        assert_eq!(twin.kernel.terms.hops, [Some(3); 2]);
        assert!(twin.kernel.terms.raw && twin.kernel.terms.spoof);
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
