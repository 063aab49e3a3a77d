//! What one round dials: which pairs, when, how far, and how many by chance.

use core::time::Duration;

use super::super::attempt::{Attempt, Stage};
use super::super::session::{Introduction, Session};
use crate::addr::{Candidate, CandidateKind, Candidates, DialRules, Endpoint, Family};
use crate::event::Strategy;
use crate::io::Hops;
use crate::nat::{Allocation, MAX_WINDOW};
use crate::noise::Role;
use crate::peer::core::Core;
use crate::peer::spray::{Spray, Target};
use crate::rtt::MAX_HOLD;
use crate::time::{Instant, micros_u32};
use crate::wire::Side;

/// Who dials second waits so much longer at least, for what jitter and the
/// scheduler may add to the first one's way.
const SECOND_AFTER: Duration = Duration::from_millis(2);
const SECOND_AFTER_MOST: Duration = Duration::from_millis(60);

/// Sockets on the side whose outer ports are random, and ports tried on the
/// other: they meet in 98 of 100 rounds (our measurement: 12 of 12).
const BIRTHDAY_SOCKETS: u16 = 256;
const BIRTHDAY_PORTS: u16 = 1_024;

/// Most SYNs of a session to foretold ports, and by chance: four windows, and
/// three rounds. (A NAT keeps an entry for each for up to 2 min, and some have
/// died of 5,000.)
const FORETOLD_BUDGET: u16 = 192;
const BIRTHDAY_BUDGET: u16 = 3 * BIRTHDAY_PORTS;

/// When an attempt begins, seen from its side.
enum Timing {
    /// At once: what must be there before the other side's SYN comes.
    First,
    /// When the SYNs cross.
    Held,
    /// When the other side's SYN has left for sure.
    Second,
}

impl Session {
    /// Lays out what is dialled in this round.
    pub(in crate::punch) fn lay_out(&mut self, core: &mut Core, told: &Introduction<'_>) {
        let (own, theirs) = (&told.own.candidates, &told.other.candidates);
        let jitter = u64::from(told.own.jitter_us).saturating_add(told.other.jitter_us.into());
        let second_after = SECOND_AFTER.saturating_add(Duration::from_micros(jitter));
        self.rounds.second_after_us = micros_u32(second_after.min(SECOND_AFTER_MOST));
        let rules = DialRules {
            together: share_outer_address(own, theirs),
            ..told.rules
        };
        let family = own.first().map(|at| at.endpoint.family());
        // The server's word of what we can do is not taken for it.
        let able = core.config.runtime.low_ttl;
        let hops = told.own.abilities.hops.filter(|_| able);
        self.rounds.short = hops.zip(family);
        self.attempts.clear();
        // Requester's port by requester's port: the first of them has the step's
        // strategy, the others what is raced beside it.
        let mut mapped = [0u8; 2];
        for candidate in theirs {
            let is_own = own.iter().any(|own| own.endpoint == candidate.endpoint)
                || (core.is_own(candidate.endpoint.ip)
                    && self.ports.contains(&candidate.endpoint.port));
            if is_own
                || told.server == Some(candidate.endpoint)
                || !rules.allow(candidate)
                || !core.has_family(candidate.endpoint.family())
            {
                continue;
            }
            match candidate.kind {
                CandidateKind::Host => self.lay_out_host(candidate),
                CandidateKind::Mapped => {
                    let [v4, v6] = &mut mapped;
                    let index = match candidate.endpoint.family() {
                        Family::V4 => v4,
                        Family::V6 => v6,
                    };
                    self.lay_out_mapped(candidate, *index);
                    *index = index.saturating_add(1);
                }
            }
        }
        self.tried.pairs = u8::try_from(self.attempts.len()).unwrap_or(u8::MAX);
        if let Some(at) = theirs.iter().find(|at| at.kind == CandidateKind::Mapped)
            && rules.allow(at)
            && !core.is_own(at.endpoint.ip)
            && core.has_family(at.endpoint.family())
        {
            self.spray(core, at.endpoint, told.other);
        }
    }

    fn lay_out_host(&mut self, candidate: &Candidate) {
        // In one network there is no loss worth racing against.
        if let Some(port) = self.ports.first().copied()
            && self.strategies.allows(Strategy::HostCandidates)
        {
            self.add_attempt(port, candidate.endpoint, Strategy::HostCandidates);
        }
    }

    fn lay_out_mapped(&mut self, candidate: &Candidate, index: u8) {
        let Some(step) = self.rounds.step().copied() else {
            return;
        };
        for place in 0..self.ports.len() {
            let Some(port) = self.ports.get(place).copied() else {
                continue;
            };
            let requesters = match self.role {
                Role::Requester => place,
                Role::Responder => usize::from(index),
            };
            let strategy = if step.raced && requesters > 0 {
                Strategy::SimultaneousOpen
            } else {
                step.strategy
            };
            let is_first = step.first == self.role;
            let dials = match strategy {
                Strategy::HostCandidates
                | Strategy::SimultaneousOpen
                | Strategy::Sequential
                | Strategy::LowTtl => true,
                // One pair: the numbers that are exchanged are of one dial.
                Strategy::CraftedSynAck | Strategy::SpoofedSynAck => place == 0 && index == 0,
                Strategy::Dial => is_first,
                // The other side sprays; each dial of ours uses a port up.
                Strategy::PortPrediction => is_first && place == 0 && index == 0,
                Strategy::Birthday => false,
            };
            if dials {
                self.add_attempt(port, candidate.endpoint, strategy);
            }
        }
    }

    fn add_attempt(&mut self, local_port: u16, remote: Endpoint, strategy: Strategy) {
        let known = |other: &Attempt| other.local_port == local_port && other.remote == remote;
        if !self.attempts.iter().any(known) {
            // Full: the best candidates came first.
            let _ = self.attempts.push(Attempt {
                local_port,
                remote,
                strategy,
                dials: 0,
                dialled_at: Instant::ZERO,
                stage: Stage::Dead,
            });
        }
    }

    /// Where the step is to try many ports or many sockets: ours, if it is our
    /// part.
    fn spray(&self, core: &mut Core, at: Endpoint, other: &Side) {
        let Some(step) = self.rounds.step().copied() else {
            return;
        };
        let has_ports = step.first == self.role;
        let ours = core.config.runtime.dials;
        let (target, wanted) = match (step.strategy, has_ports, other.report.allocation) {
            (Strategy::PortPrediction, false, Allocation::Step(step)) => (
                Target::Foretold { after: at, step },
                other.window.min(MAX_WINDOW),
            ),
            (Strategy::Birthday, true, _) => (Target::One(at), BIRTHDAY_SOCKETS),
            (Strategy::Birthday, false, _) => {
                let [a, b, c, d] = core.entropy.bytes();
                let at = Endpoint {
                    port: u16::from_be_bytes([a, b]),
                    ..at
                };
                let stride = Spray::stride(u16::from_be_bytes([c, d]));
                (Target::Random { at, stride }, BIRTHDAY_PORTS)
            }
            _ => return,
        };
        // The side with one known port opens its NAT before the other knocks,
        // if it can do so without being answered.
        let short = self.hops(step.strategy, at);
        let now = core.now;
        let from = match (step.strategy, has_ports) {
            (Strategy::Birthday, true) => {
                now.after(Spray::duration(BIRTHDAY_PORTS.min(other.abilities.dials)))
            }
            _ if short != Hops::Default || step.strategy == Strategy::Birthday => now,
            _ if self.rounds.sprays_second() => self.begin_at.after(self.rounds.second_after()),
            _ => self.begin_at,
        };
        let local_port = self.ports.first().copied().unwrap_or(0);
        let budget = if step.strategy == Strategy::Birthday {
            BIRTHDAY_BUDGET
        } else {
            FORETOLD_BUDGET
        };
        let total = wanted
            .min(ours)
            .min(budget.saturating_sub(self.tried.sprayed));
        if core.spray.is_none() && total > 0 {
            core.spray = Some(Spray::new(
                core, self.slot, local_port, target, short, total, from,
            ));
        }
    }

    /// How far the first SYNs of this strategy go from our side.
    pub(super) fn hops(&self, strategy: Strategy, remote: Endpoint) -> Hops {
        let first = self
            .rounds
            .step()
            .is_some_and(|step| step.first == self.role);
        let [_, other] = &self.rounds.reports;
        let short = match strategy {
            Strategy::LowTtl => first,
            Strategy::CraftedSynAck | Strategy::SpoofedSynAck => true,
            Strategy::PortPrediction | Strategy::Birthday => {
                !first && other.early_syn.punishes() && !self.rounds.sprays_second()
            }
            Strategy::HostCandidates
            | Strategy::SimultaneousOpen
            | Strategy::Dial
            | Strategy::Sequential => false,
        };
        match self.rounds.short {
            Some((limit, family)) if short && family == remote.family() => Hops::Short(limit),
            Some(_) | None => Hops::Default,
        }
    }

    fn timing(&self, strategy: Strategy) -> Timing {
        let first = self
            .rounds
            .step()
            .is_some_and(|step| step.first == self.role);
        match (strategy, first) {
            (Strategy::CraftedSynAck | Strategy::SpoofedSynAck, _)
            | (Strategy::Dial | Strategy::Sequential | Strategy::LowTtl, true) => Timing::First,
            (Strategy::Sequential, false) => Timing::Second,
            // The other side opens first where it can do so unanswered.
            (Strategy::PortPrediction, true) if self.rounds.sprays_second() => Timing::Held,
            (Strategy::PortPrediction, true) => Timing::Second,
            (
                Strategy::HostCandidates
                | Strategy::SimultaneousOpen
                | Strategy::Dial
                | Strategy::LowTtl
                | Strategy::PortPrediction
                | Strategy::Birthday,
                _,
            ) => Timing::Held,
        }
    }

    /// Sets when each dial is due: how long to hold back is counted from now.
    pub(crate) fn begin_after(&mut self, now: Instant) {
        let hold = Duration::from_micros(u64::from(self.hold_us)).min(MAX_HOLD);
        let held = now.after(hold);
        let second = held.after(self.rounds.second_after());
        let mut begin = held;
        for index in 0..self.attempts.len() {
            let Some(strategy) = self.attempts.get(index).map(|attempt| attempt.strategy) else {
                continue;
            };
            let due = match self.timing(strategy) {
                Timing::First => now,
                Timing::Held => held,
                Timing::Second => second,
            };
            begin = begin.min(due);
            if let Some(attempt) = self.attempts.get_mut(index) {
                attempt.stage = Stage::Due(due);
            }
        }
        self.begin_at = begin;
    }
}

/// Whether both sides were seen under one address.
fn share_outer_address(own: &Candidates, theirs: &Candidates) -> bool {
    let mapped = |candidate: &&Candidate| candidate.kind == CandidateKind::Mapped;
    own.iter().filter(mapped).any(|own| {
        theirs
            .iter()
            .filter(mapped)
            .any(|other| other.endpoint.ip == own.endpoint.ip)
    })
}
