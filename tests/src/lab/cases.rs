//! The cases that a session must win, and running them.

mod hard;

use std::io;
use std::time::Duration;

use super::figures::Outcome;
use super::floor::floor;
use super::nat::NatKind;
use super::network::{Network, Plan};
use super::others::Others;
use super::pair::{Consent, Pair, Terms};
use super::program::Program;
use super::stage::Stage;
use super::topology::{Family, Layout};
use super::wan::{Conditions, Site};

const MS: Duration = Duration::from_millis(1);

/// A network, and how two peers behave in it.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is special about it.
    pub name: String,
    /// The network.
    pub plan: Plan,
    /// The peers.
    pub terms: Terms,
    /// How many connections a second others open behind the requester's and behind the responder's NAT.
    pub others: [f64; 2],
    /// Whether chance decides, so that not every session must be won.
    pub by_chance: bool,
}

impl Case {
    /// Asking first, IPv4, round trips of 40, 40 and 80 ms.
    fn new(name: &str, layout: Layout) -> Self {
        let plan = Plan {
            layout,
            family: Family::V4,
            conditions: usual_conditions(),
        };
        Self::of(name, plan)
    }

    /// Asking first, in a network.
    pub(super) fn of(name: &str, plan: Plan) -> Self {
        Self {
            name: name.to_owned(),
            plan,
            terms: Terms::default(),
            others: [0.0; 2],
            by_chance: false,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Conditions)) -> Self {
        change(&mut self.plan.conditions);
        self
    }

    fn consent(mut self, consent: Consent) -> Self {
        self.terms.consent = consent;
        self
    }

    fn ipv6(mut self) -> Self {
        self.plan.family = Family::V6;
        self
    }

    /// Runs sessions one after the other in one network.
    ///
    /// # Errors
    /// When the network or the listener does not come up; a session that fails is part of the outcome.
    pub fn run(&self, program: &Program, sessions: usize) -> io::Result<Outcome> {
        let mut network = Network::build(&self.plan)?;
        let sides = ["nat-a", "nat-b"].into_iter().zip(self.others).zip(0..);
        let _others: Vec<Others> = sides
            .filter(|((_, rate), _)| *rate > 0.0)
            .map(|((nat, rate), side)| {
                let seed = self.plan.conditions.seed * 2 + side;
                Others::start(&mut network, nat, rate, seed)
            })
            .collect::<io::Result<_>>()?;
        let stage = Stage::new(network, program)?;
        let mut pair = Pair::start(stage, self.terms.clone())?;
        let sessions: Vec<_> = (0..sessions)
            .map(|_| pair.session().map(|(session, _)| session))
            .collect::<io::Result<_>>()?;
        let floor = floor(&self.plan, self.terms.consent);
        let outcome = Outcome::of(&self.name, &sessions, floor);
        Ok(if self.by_chance {
            outcome.by_chance(&sessions)
        } else {
            outcome
        })
    }
}

/// Round trips A-S 40 ms, B-S 40 ms, A-B 80 ms.
#[must_use]
pub fn usual_conditions() -> Conditions {
    Conditions::from_rtt(40 * MS, 40 * MS, 80 * MS)
}

/// Every case in which each session must be won.
#[must_use]
pub fn suite() -> Vec<Case> {
    let kind = |name| {
        NatKind::named(name).unwrap_or_else(|| unreachable!("{name} is in the list of kinds"))
    };
    let (drop, rst_rule, rst, icmp) = (kind("drop"), kind("rst-rule"), kind("rst"), kind("icmp"));
    let both = |name: &str, kind| Case::new(name, Layout::apart(kind, kind));
    let shared = |inside: &[NatKind], outside| Layout {
        a: inside.to_vec(),
        b: inside.to_vec(),
        shared: vec![outside],
    };

    let mut cases = vec![
        both("both drop", drop),
        both("both answer RST by a rule", rst_rule),
        both("both answer RST by the kernel", rst),
        both("both answer ICMP", icmp),
        both("both drop, consent in advance", drop).consent(Consent::Open),
        both("both RST by a rule, consent in advance", rst_rule).consent(Consent::Open),
        both("both RST by the kernel, consent in advance", rst).consent(Consent::Open),
        Case::new("A drops, B answers RST", Layout::apart(drop, rst)),
        Case::new("A answers RST, B drops", Layout::apart(rst, drop)),
        Case::new(
            "only A has a NAT",
            Layout {
                a: vec![drop],
                ..Layout::default()
            },
        ),
        Case::new(
            "only B has a NAT",
            Layout {
                b: vec![drop],
                ..Layout::default()
            },
        ),
        Case::new(
            "only B has a NAT, which answers RST",
            Layout {
                b: vec![rst],
                ..Layout::default()
            },
        ),
        Case::new(
            "another port range at both",
            Layout::apart(kind("eim-range"), kind("eim-range")),
        ),
        Case::new(
            "two levels at A",
            Layout {
                a: vec![drop, drop],
                b: vec![drop],
                shared: Vec::new(),
            },
        ),
        Case::new("both behind one NAT", shared(&[], drop)),
        Case::new(
            "both behind one NAT that hairpins",
            shared(&[], kind("hairpin")),
        ),
        both("IPv6, firewalls drop", drop).ipv6(),
        both("IPv6, firewalls answer RST", rst).ipv6(),
        both("IPv6, firewalls answer ICMP", icmp).ipv6(),
    ];
    for (kind, word) in [(drop, "drop"), (rst, "RST")] {
        cases.push(
            both(&format!("server 20 ms from A, 100 ms from B, {word}"), kind).with(|conditions| {
                *conditions = Conditions::from_rtt(40 * MS, 200 * MS, 160 * MS);
            }),
        );
        cases.push(
            both(&format!("20 ms to B, 100 ms back, {word}"), kind).with(|conditions| {
                conditions.path_mut(Site::A, Site::B).delay = 20 * MS;
                conditions.path_mut(Site::B, Site::A).delay = 100 * MS;
            }),
        );
        cases.push(
            both(&format!("5 % loss between the peers, {word}"), kind).with(|conditions| {
                lose(conditions, 0.05, &[(Site::A, Site::B)]);
            }),
        );
        cases.push(
            both(&format!("5 % loss everywhere, {word}"), kind).with(|conditions| {
                lose(
                    conditions,
                    0.05,
                    &[(Site::A, Site::B), (Site::A, Site::S), (Site::B, Site::S)],
                );
            }),
        );
    }
    cases.extend(hard::hardest());
    cases.extend(hard::by_chance());
    cases
}

/// The cases that are timed: both introductions, NATs that drop and NATs that answer with RST.
#[must_use]
pub fn bench() -> Vec<Case> {
    let mut cases = Vec::new();
    for (consent, word) in [
        (Consent::Open, "consent in advance"),
        (Consent::Ask, "consent first"),
    ] {
        for name in ["drop", "rst-rule", "rst"] {
            let kind = NatKind::named(name)
                .unwrap_or_else(|| unreachable!("{name} is in the list of kinds"));
            cases.push(
                Case::new(&format!("{word}, {name}"), Layout::apart(kind, kind)).consent(consent),
            );
        }
    }
    cases
}

/// Sets the loss of both directions of some paths.
pub fn lose(conditions: &mut Conditions, share: f64, paths: &[(Site, Site)]) {
    for &(one, other) in paths {
        conditions.path_mut(one, other).loss = share;
        conditions.path_mut(other, one).loss = share;
    }
}
