//! Which strategies two peers try, and in which order: a pure function of what
//! the server told both alike, so both come to the same plan.
//!
//! What each NAT does comes from [`NatReport`](crate::NatReport); what was not tested counts as
//! the worse case. A strategy stands in the plan only if both sides allow it,
//! have what it needs, and it is not hopeless by the reports. Where that leaves
//! nothing, what was not tested counts as the better case: a try costs little.
#![doc = concat!("\n", include_str!("../docs/strategies.md"))]

mod reach;
#[cfg(test)]
mod tests;

use core::fmt;
use core::time::Duration;

use heapless::Vec;

use crate::event::{Strategies, Strategy};
use crate::nat::Filtering;
use crate::noise::Role;
use crate::wire::Side;
use reach::{Ports, Reach};

/// Most steps of a plan.
pub const MAX_STEPS: usize = 4;

/// Server round trips that differ by less than this let first SYNs be aimed at
/// each other: half of it is what the aim is off by, in microseconds.
const STEADY_JITTER_US: u32 = 4_000;

/// Time for a step whose dials outlive it: a lost SYN is repeated after 1 s and
/// 3 s.
const SHARE: Duration = Duration::from_secs(4);

/// Time for a step that succeeds at once or never: what was foretold is stale a
/// moment later.
const SHORT_SHARE: Duration = Duration::from_millis(1_500);

/// What a side brings to a session besides its NAT.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Abilities {
    /// The hop limit that passes all own NAT levels and not the other side's;
    /// `None` where it is not known or the runtime cannot make use of it.
    pub hops: Option<u8>,
    /// It can watch and make TCP segments by itself.
    pub raw: bool,
    /// The server of the session may send SYN-ACKs in others' names.
    pub spoof: bool,
    /// Sockets that it can have open at once for one session.
    pub dials: u16,
}

/// Why a step stands where it stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reason {
    /// The side that listens lets anybody in.
    Open,
    /// Neither NAT is known to answer early SYNs: whoever is first waits.
    NothingPunished,
    /// A NAT may answer an early SYN, and the round trips are steady enough for
    /// the SYNs to be aimed at each other.
    Aimed,
    /// A NAT may answer an early SYN: one that dies before it cannot be
    /// answered.
    DiesBefore,
    /// Only one NAT may answer early SYNs: who is behind it dials first.
    AnswersFirst,
    /// One side's outer port depends on the destination, and the other lets in
    /// whoever comes from an address that it dialled.
    AddressSuffices,
    /// One side's outer ports rise by a constant step.
    Foretold,
    /// One side's outer ports are random, and both sides agreed to the cost.
    ByChance,
    /// Both sides may make segments by themselves: also where a NAT takes no SYN
    /// from outside at all.
    NoSynNeeded,
    /// What stands before it may have failed by bad luck.
    Again,
    /// Both are behind one NAT, and it may turn what comes from inside to its
    /// own address around, which lets everybody in.
    TurnsAround,
    /// What would be better is not allowed, or not known to work.
    LastResort,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "the listening side lets anybody in",
            Self::NothingPunished => "neither NAT answers an early SYN",
            Self::Aimed => "the round trips are steady enough for the SYNs to cross",
            Self::DiesBefore => "a NAT answers early SYNs, and this one dies before it",
            Self::AnswersFirst => "only one NAT may answer early SYNs: who is behind it dials first",
            Self::AddressSuffices => {
                "the outer port depends on the destination, but the other NAT only minds the address"
            }
            Self::Foretold => "the outer ports rise by a constant step",
            Self::ByChance => "the outer ports are random, and both sides agreed to try many",
            Self::NoSynNeeded => "both sides may make segments by themselves",
            Self::Again => "what was tried before may have failed by bad luck",
            Self::TurnsAround => "both are behind one NAT, which may turn packets around",
            Self::LastResort => "nothing better is allowed or known to work",
        })
    }
}

/// One step of a plan.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Step {
    /// What is done.
    pub strategy: Strategy,
    /// Who has the strategy's special part: who dials (`Dial`), dials first
    /// (`Sequential`, `LowTtl`), has the outer ports that depend on the
    /// destination (`PortPrediction`, `Birthday`). Of no meaning elsewhere.
    pub first: Role,
    /// Whether simultaneous open is raced beside it, on the requester's other
    /// port.
    pub raced: bool,
    /// Why it stands here.
    pub reason: Reason,
}

impl Step {
    /// Whether it makes no sense with ports that were observed a while ago, so
    /// that even the first round needs fresh ones.
    pub const fn needs_fresh_ports(&self) -> bool {
        matches!(self.strategy, Strategy::PortPrediction | Strategy::Birthday)
    }

    /// How long it is given before the next one begins.
    pub const fn share(&self) -> Duration {
        match self.strategy {
            Strategy::PortPrediction => SHORT_SHARE,
            Strategy::HostCandidates
            | Strategy::SimultaneousOpen
            | Strategy::Dial
            | Strategy::Sequential
            | Strategy::LowTtl
            | Strategy::Birthday
            | Strategy::CraftedSynAck
            | Strategy::SpoofedSynAck => SHARE,
        }
    }
}

/// The ordered steps for one session; worked off in a circle until a stream
/// verifies or the time is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Plan {
    /// Never the same strategy and first side twice.
    pub steps: Vec<Step, MAX_STEPS>,
}

impl Plan {
    /// The plan for these two sides and what both allow.
    pub fn new(requester: &Side, responder: &Side, allowed: Strategies) -> Self {
        Planner {
            reach: Reach::new(requester, responder),
            steady: [requester, responder]
                .into_iter()
                .all(|side| side.jitter_us <= STEADY_JITTER_US),
            allowed,
            plan: Self::default(),
        }
        .plan()
    }

    /// The step of a round. Round 0 uses the ports of the introduction; a plan
    /// that begins with fresh ones begins at round 1.
    pub fn step(&self, round: u8) -> Option<&Step> {
        let skipped = usize::from(self.begins_fresh());
        let index = usize::from(round)
            .checked_sub(skipped)?
            .checked_rem(self.steps.len())?;
        self.steps.get(index)
    }

    /// Whether the ports of the introduction are of no use to the first step.
    pub fn begins_fresh(&self) -> bool {
        self.steps.first().is_some_and(Step::needs_fresh_ports)
    }
}

/// The responder first: it hears of the session first, so what one side has to
/// do before the other is done earlier there.
const ROLES: [Role; 2] = [Role::Responder, Role::Requester];

/// In which order what is left is tried where nothing better is allowed: by what
/// it costs.
const BY_COST: [Strategy; 8] = [
    Strategy::SimultaneousOpen,
    Strategy::Dial,
    Strategy::Sequential,
    Strategy::LowTtl,
    Strategy::SpoofedSynAck,
    Strategy::CraftedSynAck,
    Strategy::PortPrediction,
    Strategy::Birthday,
];

/// The order of the steps. What is hopeless is [`Reach`]'s to say.
struct Planner<'a> {
    reach: Reach<'a>,
    /// Whether SYNs can be aimed at each other.
    steady: bool,
    allowed: Strategies,
    plan: Plan,
}

impl Planner<'_> {
    fn plan(mut self) -> Plan {
        if self.reach.never_turns_around() {
            return self.plan;
        }
        if self.reach.is_same_nat() {
            self.together();
        } else {
            self.apart();
        }
        if self.plan.steps.is_empty() {
            self.left();
        }
        self.plan
    }

    /// The outermost NAT turns packets around, if anything is to come of it, and
    /// then it lets everybody in; but there may be others within.
    fn together(&mut self) {
        // One of them is stepping, and the other's port is kept.
        for symmetric in ROLES {
            if self.reach.ports(symmetric) == Ports::Stepping {
                self.add(Strategy::PortPrediction, symmetric, Reason::Foretold);
            }
        }
        let reason = Reason::TurnsAround;
        self.add(Strategy::SimultaneousOpen, Role::Responder, reason);
    }

    fn apart(&mut self) {
        let listener = ROLES
            .into_iter()
            .find(|role| self.reach.filtering(*role) == Filtering::Open);
        let kept = ROLES.map(|role| self.reach.ports(role) == Ports::Kept);
        if kept == [true, true] {
            // Where both dial, both may speak first: half a round trip sooner.
            self.both_kept();
        }
        if let Some(listener) = listener {
            self.add(Strategy::Dial, listener.other(), Reason::Open);
        }
        match kept {
            [true, true] => {}
            [false, true] => self.one_depends(Role::Responder),
            [true, false] => self.one_depends(Role::Requester),
            // Neither side could say where to dial.
            [false, false] => {}
        }
    }

    /// Both outer ports are known.
    fn both_kept(&mut self) {
        // They come first because a NAT that takes no SYN from outside looks
        // like any other in the reports.
        for strategy in [Strategy::SpoofedSynAck, Strategy::CraftedSynAck] {
            self.add(strategy, Role::Responder, Reason::NoSynNeeded);
        }
        let punishing = ROLES.map(|role| self.reach.may_punish(role));
        if punishing == [false, false] {
            let reason = Reason::NothingPunished;
            return self.add(Strategy::SimultaneousOpen, Role::Responder, reason);
        }
        // Of no use to a side whose SYN nobody would answer.
        let low = ROLES.into_iter().find(|role| {
            self.reach.may_punish(role.other()) && self.reach.can(Strategy::LowTtl, *role, false)
        });
        if let Some(low) = low {
            self.add(Strategy::LowTtl, low, Reason::DiesBefore);
        }
        let only = match punishing {
            [true, false] => Some(Role::Responder),
            [false, true] => Some(Role::Requester),
            [true, true] | [false, false] => None,
        };
        match only {
            Some(first) if !self.steady => {
                self.add(Strategy::Sequential, first, Reason::AnswersFirst);
                self.add(Strategy::SimultaneousOpen, Role::Responder, Reason::Again);
            }
            Some(first) => {
                self.add(Strategy::SimultaneousOpen, Role::Responder, Reason::Aimed);
                self.add(Strategy::Sequential, first, Reason::AnswersFirst);
            }
            None => self.add(Strategy::SimultaneousOpen, Role::Responder, Reason::Aimed),
        }
    }

    /// One side's outer port depends on the destination.
    fn one_depends(&mut self, symmetric: Role) {
        let mut suffices = false;
        match self.reach.filtering(symmetric.other()) {
            // Already there: dial.
            Filtering::Open => return,
            Filtering::AddressDependent => {
                let reason = Reason::AddressSuffices;
                return self.add(Strategy::SimultaneousOpen, Role::Responder, reason);
            }
            // It may be no more than that.
            Filtering::NotTested => suffices = true,
            Filtering::AddressAndPortDependent | Filtering::NotOpen => {}
        }
        if self.reach.ports(symmetric) == Ports::Stepping {
            // Works however the other side filters, and takes less time.
            self.add(Strategy::PortPrediction, symmetric, Reason::Foretold);
        }
        if suffices {
            let reason = Reason::AddressSuffices;
            self.add(Strategy::SimultaneousOpen, Role::Responder, reason);
        }
        if self.reach.ports(symmetric) == Ports::Random {
            self.add(Strategy::Birthday, symmetric, Reason::ByChance);
        }
    }

    /// Whatever is allowed and may work, were the untested tested well.
    fn left(&mut self) {
        for strategy in BY_COST {
            let first = ROLES
                .into_iter()
                .find(|role| self.reach.can(strategy, *role, true));
            if let Some(first) = first {
                self.push(strategy, first, Reason::LastResort);
            }
        }
    }

    fn add(&mut self, strategy: Strategy, first: Role, reason: Reason) {
        // Where a step was chosen because something was not tested, the reports
        // do not make it hopeless.
        if self.reach.can(strategy, first, true) {
            self.push(strategy, first, reason);
        }
    }

    fn push(&mut self, strategy: Strategy, first: Role, reason: Reason) {
        if !self.allowed.allows(strategy) {
            return;
        }
        let raced = self.allowed.allows(Strategy::SimultaneousOpen)
            && matches!(
                strategy,
                Strategy::LowTtl | Strategy::CraftedSynAck | Strategy::SpoofedSynAck
            );
        // Full: what stands behind four others is never reached in time.
        let _ = self.plan.steps.push(Step {
            strategy,
            first,
            raced,
            reason,
        });
    }
}
