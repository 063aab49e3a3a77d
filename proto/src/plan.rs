//! Which strategies two peers try, and in which order: a pure function of what
//! the server told both alike, so both come to the same plan.
//!
//! What each NAT does comes from [`NatReport`]; what was not tested counts as
//! the worse case. A strategy stands in the plan only if both sides allow it,
//! have what it needs, and it is not hopeless by the reports. The order is the
//! order of our measurements (`docs/strategies.md`).

use core::fmt;
use core::time::Duration;

use heapless::Vec;

use crate::event::{Mapping, Strategies, Strategy};
use crate::nat::{Allocation, EarlySyn, Filtering, NatReport};
use crate::noise::Role;
use crate::wire::Side;

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
    /// Only one NAT answers early SYNs: who is behind it dials first.
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
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "the listening side lets anybody in",
            Self::NothingPunished => "neither NAT answers an early SYN",
            Self::Aimed => "the round trips are steady enough for the SYNs to cross",
            Self::DiesBefore => "a NAT answers early SYNs, and this one dies before it",
            Self::AnswersFirst => "only one NAT answers early SYNs: who is behind it dials first",
            Self::AddressSuffices => {
                "the outer port depends on the destination, but the other NAT only minds the address"
            }
            Self::Foretold => "the outer ports rise by a constant step",
            Self::ByChance => "the outer ports are random, and both sides agreed to try many",
            Self::NoSynNeeded => "both sides may make segments by themselves",
            Self::Again => "what was tried before may have failed by bad luck",
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
            sides: [requester, responder],
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

/// How a side's outer ports behave towards a destination never seen.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Ports {
    /// The one that the server saw; also where nothing is known, because
    /// nothing else could be tried.
    Kept,
    Stepping,
    Random,
}

fn ports(report: &NatReport) -> Ports {
    match (report.mapping, report.allocation) {
        (Mapping::Unknown | Mapping::EndpointIndependent, _) => Ports::Kept,
        (_, Allocation::Step(_)) => Ports::Stepping,
        (_, Allocation::Random | Allocation::Unknown) => Ports::Random,
    }
}

struct Planner<'a> {
    /// Requester, responder.
    sides: [&'a Side; 2],
    allowed: Strategies,
    plan: Plan,
}

impl Planner<'_> {
    fn side(&self, role: Role) -> &Side {
        let [requester, responder] = self.sides;
        match role {
            Role::Requester => requester,
            Role::Responder => responder,
        }
    }

    fn add(&mut self, strategy: Strategy, first: Role, reason: Reason) {
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

    fn plan(mut self) -> Plan {
        let open = |role: Role| self.side(role).report.filtering == Filtering::Open;
        let listener = [Role::Responder, Role::Requester]
            .into_iter()
            .find(|role| open(*role));
        if let Some(listener) = listener {
            self.add(Strategy::Dial, listener.other(), Reason::Open);
        }
        let kept = |role: Role| ports(&self.side(role).report) == Ports::Kept;
        match (kept(Role::Requester), kept(Role::Responder)) {
            (true, true) => self.both_kept(),
            (false, true) => self.one_depends(Role::Requester),
            (true, false) => self.one_depends(Role::Responder),
            // Neither side could say where to dial.
            (false, false) => {}
        }
        self.plan
    }

    /// Both outer ports are known.
    fn both_kept(&mut self) {
        let abilities = self.sides.map(|side| side.abilities);
        let both_raw = abilities.iter().all(|side| side.raw && side.hops.is_some());
        if both_raw && abilities.iter().all(|side| side.spoof) {
            self.add(
                Strategy::SpoofedSynAck,
                Role::Responder,
                Reason::NoSynNeeded,
            );
        }
        if both_raw {
            self.add(
                Strategy::CraftedSynAck,
                Role::Responder,
                Reason::NoSynNeeded,
            );
        }
        let punishes = |role: Role| {
            self.side(role).report.early_syn.punishes()
                && self.side(role).report.filtering != Filtering::Open
        };
        let answering = [Role::Responder, Role::Requester].map(punishes);
        let [by_responder, by_requester] = answering;
        // The side that dials with few hops is the one whose SYN would be
        // answered; the responder if both are, because it hears of it first.
        let low = [Role::Responder, Role::Requester]
            .into_iter()
            .find(|role| punishes(role.other()) && self.side(*role).abilities.hops.is_some());
        let steady = self
            .sides
            .iter()
            .all(|side| side.jitter_us <= STEADY_JITTER_US);
        let answers_for_sure = |role: Role| {
            matches!(
                self.side(role).report.early_syn,
                EarlySyn::Reset | EarlySyn::Unreachable
            )
        };
        let one_answers = [Role::Responder, Role::Requester]
            .into_iter()
            .find(|role| answers_for_sure(*role) && !punishes(role.other()));
        if !by_responder && !by_requester {
            self.add(
                Strategy::SimultaneousOpen,
                Role::Responder,
                Reason::NothingPunished,
            );
            return;
        }
        if let Some(low) = low {
            self.add(Strategy::LowTtl, low, Reason::DiesBefore);
        }
        match one_answers {
            Some(first) if !steady => {
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
        let other = self.side(symmetric.other());
        match other.report.filtering {
            // Already there: dial.
            Filtering::Open => return,
            Filtering::AddressDependent => {
                return self.add(
                    Strategy::SimultaneousOpen,
                    Role::Responder,
                    Reason::AddressSuffices,
                );
            }
            // It may be no more than that.
            Filtering::NotTested => self.add(
                Strategy::SimultaneousOpen,
                Role::Responder,
                Reason::AddressSuffices,
            ),
            Filtering::AddressAndPortDependent | Filtering::NotOpen => {}
        }
        match ports(&self.side(symmetric).report) {
            Ports::Stepping => self.add(Strategy::PortPrediction, symmetric, Reason::Foretold),
            Ports::Random => self.add(Strategy::Birthday, symmetric, Reason::ByChance),
            Ports::Kept => {}
        }
    }
}
