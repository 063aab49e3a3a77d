//! Whose SYN gets where, as far as the reports tell: which strategies are not
//! hopeless.

use crate::addr::CandidateKind;
use crate::event::{Mapping, Strategy};
use crate::nat::{Allocation, EarlySyn, Filtering, NatReport};
use crate::noise::Role;
use crate::plan::Abilities;
use crate::wire::Side;

/// The ports that a NAT chooses among: those above the well-known ones.
const PORTS: u32 = 64_512;

/// How a side's outer ports behave towards a destination never seen.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Ports {
    /// The one that the server saw; also where nothing is known, because
    /// nothing else could be tried.
    Kept,
    Stepping,
    Random,
}

/// What two reports and the abilities allow.
pub(super) struct Reach<'a> {
    requester: &'a Side,
    responder: &'a Side,
    same_nat: bool,
}

impl<'a> Reach<'a> {
    pub(super) fn new(requester: &'a Side, responder: &'a Side) -> Self {
        let outer = |side: &Side| {
            side.candidates
                .iter()
                .find(|candidate| candidate.kind == CandidateKind::Mapped)
                .map(|candidate| candidate.endpoint.ip)
        };
        let translated = |side: &Side| side.report.translated == Some(true);
        let same_nat = translated(requester)
            && translated(responder)
            && outer(requester).is_some()
            && outer(requester) == outer(responder);
        Self {
            requester,
            responder,
            same_nat,
        }
    }

    fn side(&self, role: Role) -> &'a Side {
        match role {
            Role::Requester => self.requester,
            Role::Responder => self.responder,
        }
    }

    fn report(&self, role: Role) -> &'a NatReport {
        &self.side(role).report
    }

    fn abilities(&self, role: Role) -> Abilities {
        self.side(role).abilities
    }

    pub(super) fn filtering(&self, role: Role) -> Filtering {
        self.report(role).filtering
    }

    pub(super) fn ports(&self, role: Role) -> Ports {
        let report = self.report(role);
        match (report.mapping, report.allocation) {
            (Mapping::Unknown | Mapping::EndpointIndependent, _) => Ports::Kept,
            (Mapping::AddressDependent | Mapping::AddressAndPortDependent, allocation) => {
                match allocation {
                    Allocation::Step(_) => Ports::Stepping,
                    Allocation::Random | Allocation::Unknown => Ports::Random,
                }
            }
        }
    }

    fn is_kept(&self, role: Role) -> bool {
        self.ports(role) == Ports::Kept
    }

    /// Whether the outermost NAT is the same one.
    pub(super) fn is_same_nat(&self) -> bool {
        self.same_nat
    }

    /// Whether both are behind one and the same NAT only, and that one is known
    /// to turn nothing around. Of two levels, the answer is that of the inner
    /// one, which says nothing about the outer.
    pub(super) fn never_turns_around(&self) -> bool {
        let answers = [self.requester, self.responder].map(|side| side.report.hairpin);
        let levels = [self.requester, self.responder].map(|side| side.report.levels);
        self.same_nat
            && levels == [Some(1); 2]
            && answers.contains(&Some(false))
            && !answers.contains(&Some(true))
    }

    /// Whether a SYN that comes to this side before it has dialled may cost the
    /// other side its dial.
    pub(super) fn may_punish(&self, role: Role) -> bool {
        let report = self.report(role);
        report.early_syn.punishes() && report.filtering != Filtering::Open
    }

    /// Whether it costs it that for sure.
    fn punishes(&self, role: Role) -> bool {
        let early = self.report(role).early_syn;
        self.may_punish(role) && early != EarlySyn::NotTested
    }

    /// Whether this side lets the other's SYN in once it has dialled itself.
    ///
    /// `hope`: what was not tested counts as the better case.
    fn lets_in(&self, role: Role, hope: bool) -> bool {
        // Whoever comes from inside is let in by every filter.
        if self.same_nat {
            return true;
        }
        match self.filtering(role) {
            Filtering::Open => true,
            Filtering::NotTested if hope => true,
            // The mapping that its dial made is another one than the server saw.
            _ if !self.is_kept(role) => false,
            Filtering::AddressDependent => true,
            // From the very endpoint that was dialled.
            Filtering::NotTested | Filtering::AddressAndPortDependent | Filtering::NotOpen => {
                self.is_kept(role.other())
            }
        }
    }

    /// Both dials are pending, and this side's is the one that must come through
    /// or be met; the other's is not repeated when it is answered.
    fn meet(&self, first: Role, hope: bool) -> bool {
        let other_lives = if hope {
            !self.punishes(first)
        } else {
            !self.may_punish(first)
        };
        let other = first.other();
        self.lets_in(first, hope)
            || self.filtering(other) == Filtering::Open
            || (other_lives && self.lets_in(other, hope))
    }

    /// Whether a strategy may work, with that side in its special part.
    pub(super) fn can(&self, strategy: Strategy, first: Role, hope: bool) -> bool {
        let second = first.other();
        let mine = self.abilities(first);
        let theirs = self.abilities(second);
        let both_kept = self.is_kept(first) && self.is_kept(second);
        let both = |has: fn(Abilities) -> bool| has(mine) && has(theirs);
        match strategy {
            Strategy::HostCandidates => false,
            Strategy::SimultaneousOpen => self.lets_in(first, hope) || self.lets_in(second, hope),
            Strategy::Dial => {
                let filtering = self.filtering(second);
                self.same_nat
                    || filtering == Filtering::Open
                    || (hope && filtering == Filtering::NotTested)
            }
            Strategy::Sequential => {
                let survives = if hope {
                    !self.punishes(second)
                } else {
                    !self.may_punish(second)
                };
                // At once, or when the second has dialled too.
                self.filtering(second) == Filtering::Open || (survives && self.meet(first, hope))
            }
            // On its way round, the SYN would come to the other side's router.
            Strategy::LowTtl => !self.same_nat && mine.hops.is_some() && self.meet(first, hope),
            // Behind one NAT only, either both ports are kept or neither is: who
            // differs has one of its own.
            Strategy::PortPrediction => {
                self.ports(first) == Ports::Stepping && self.is_kept(second)
            }
            Strategy::Birthday => {
                !self.same_nat
                    && !self.is_kept(first)
                    && self.is_kept(second)
                    && is_worth_it(mine.dials, theirs.dials)
            }
            // Both SYNs must leave and not arrive.
            Strategy::CraftedSynAck => {
                !self.same_nat && both_kept && both(|side| side.raw && side.hops.is_some())
            }
            // From outside, a NAT's own address is nobody's.
            Strategy::SpoofedSynAck => {
                !self.same_nat
                    && both_kept
                    && both(|side| side.raw && side.spoof && side.hops.is_some())
            }
        }
    }
}

/// Whether so many sockets on one side and dials on the other meet once in a
/// hundred rounds, about: with `s` and `d`, the odds are
/// `1 - (1 - d / PORTS) ^ s`, our measurements agreeing.
fn is_worth_it(sockets: u16, dials: u16) -> bool {
    u32::from(sockets)
        .saturating_mul(u32::from(dials))
        .saturating_mul(100)
        >= PORTS
}
