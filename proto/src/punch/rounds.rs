//! What a session tries, round by round: the plan, the dials of its steps, and
//! the way to fresh ports.

use core::time::Duration;

use heapless::Vec;

use super::attempt::{Attempt, Stage};
use super::session::{Introduction, Session};
use super::states::State;
use crate::addr::{Candidate, CandidateKind, Candidates, DialRules, Endpoint, Family};
use crate::event::{Event, Strategy, Tried};
use crate::io::{Failure, Hops, Segment};
use crate::nat::{Allocation, MAX_WINDOW, NatReport};
use crate::noise::Role;
use crate::peer::core::Core;
use crate::peer::outbox::{Action, Letter};
use crate::peer::spray::{Spray, Target};
use crate::plan::{Plan, Step};
use crate::rtt::MAX_HOLD;
use crate::time::{Instant, micros_u32};
use crate::wire::{MAX_SESSION_PORTS, Side};

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

/// Where the rounds stand.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No further round: there is no server, or nothing else to try.
    Last,
    /// The step has its time.
    Until(Instant),
    /// Fresh ports are wanted for the next round.
    WantsPorts,
    /// The other side is awaited.
    Ready,
}

/// What a round needs of the ports.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Observed ones, two if they can be had.
    Spares,
    /// One that was seen twice just now.
    Compared,
    /// None: the host picks, and the other side need not know.
    Nothing,
}

/// The plan of a session and how far it is.
#[derive(Debug)]
pub(crate) struct Rounds {
    pub(super) plan: Plan,
    pub(super) round: u8,
    pub(crate) phase: Phase,
    /// Whether a step of the plan has begun and not ended.
    running: bool,
    /// Of the round to come.
    next_ports: Vec<u16, MAX_SESSION_PORTS>,
    /// What was tried before this round.
    before: Tried,
    /// The first sequence number of our dial, where they are exchanged.
    sequence: Option<u32>,
    /// It was answered: one SYN-ACK a number.
    answered: bool,
    /// The hop limit that ends between the NATs, as both sides were told, in the
    /// family in which it was found.
    short: Option<(u8, Family)>,
    /// How long after the other side the second one dials.
    second_after_us: u32,
    reports: [NatReport; 2],
}

impl Rounds {
    pub(super) const fn new() -> Self {
        Self {
            plan: Plan { steps: Vec::new() },
            round: 0,
            phase: Phase::Last,
            running: false,
            next_ports: Vec::new(),
            before: Tried::NOTHING,
            sequence: None,
            answered: false,
            short: None,
            second_after_us: 0,
            reports: [NatReport::NOT_TESTED; 2],
        }
    }

    /// Of a round that did not begin.
    pub(crate) fn next_ports(&self) -> &[u16] {
        &self.next_ports
    }

    pub(super) fn step(&self) -> Option<&Step> {
        self.plan.step(self.round)
    }

    fn second_after(&self) -> Duration {
        Duration::from_micros(self.second_after_us.into())
    }

    /// Whether this time round the plan the side whose ports are foretold dials
    /// before the other tries them: every other time. What comes to a port before
    /// its host has used it may be refused, and dials to foretold ports are not
    /// repeated; but the NAT that refuses may as well be the other one.
    fn sprays_second(&self) -> bool {
        let foretold = |step: &Step| step.strategy == Strategy::PortPrediction;
        if !self.step().is_some_and(foretold) {
            return false;
        }
        let steps = u8::try_from(self.plan.steps.len()).unwrap_or(u8::MAX);
        let times = self.round.saturating_sub(1).checked_div(steps);
        times.is_some_and(|times| !times.is_multiple_of(2))
    }

    fn upcoming(&self) -> u8 {
        self.round.saturating_add(1)
    }
}

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
    /// What both sides were told alike makes the plan.
    pub(super) fn make_plan(&mut self, core: &mut Core, told: &Introduction<'_>) {
        let (requester, responder) = match self.role {
            Role::Requester => (told.own, told.other),
            Role::Responder => (told.other, told.own),
        };
        self.rounds.plan = Plan::new(requester, responder, self.strategies);
        self.rounds.reports = [told.own.report, told.other.report];
        core.out.push(Action::Planned { slot: self.slot });
    }

    /// Lays out what is dialled in this round.
    pub(super) fn lay_out(&mut self, core: &mut Core, told: &Introduction<'_>) {
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
    fn hops(&self, strategy: Strategy, remote: Endpoint) -> Hops {
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

    /// Both sides are willing: the first step has its time from here on.
    pub(super) fn begin_rounds(&mut self, core: &mut Core) {
        let rounds = &mut self.rounds;
        if rounds.plan.begins_fresh() {
            rounds.phase = Phase::WantsPorts;
        } else if let Some(step) = rounds.step() {
            rounds.phase = Phase::Until(self.begin_at.after(step.share()));
            rounds.running = true;
            core.out.push(Action::StepBegun { slot: self.slot });
        }
    }

    /// Ends the time of a step; false if it is not over.
    pub(super) fn round_due(&mut self, core: &mut Core) -> bool {
        match self.rounds.phase {
            Phase::Until(at) if core.now >= at => {
                self.rounds.phase = Phase::WantsPorts;
                self.end_step(core);
                // What is foretold is stale by now; other dials stay until the
                // next round has begun: one of them may still get through.
                self.end_spray(core);
                true
            }
            Phase::Until(_) | Phase::Last | Phase::WantsPorts | Phase::Ready => false,
        }
    }

    pub(super) fn end_step(&mut self, core: &mut Core) {
        if core::mem::take(&mut self.rounds.running) {
            core.out.push(Action::StepEnded { slot: self.slot });
        }
    }

    /// Closes the dials of the session's spray, but for those that became streams.
    pub(super) fn end_spray(&self, core: &mut Core) {
        if let Some(spray) = core.spray.as_mut().filter(|spray| spray.slot == self.slot) {
            spray.wind_up(self.streams.iter().map(|stream| stream.socket).collect());
        }
    }

    pub(crate) fn wants_ports(&self) -> bool {
        self.state() == State::Preparing
            || (self.state() == State::Punching && self.rounds.phase == Phase::WantsPorts)
    }

    /// What the next round needs of the ports.
    pub(crate) fn needs(&self) -> Needs {
        match self.rounds.plan.step(self.rounds.upcoming()) {
            Some(step) if self.state() == State::Punching && step.first == self.role => {
                match step.strategy {
                    Strategy::PortPrediction => Needs::Compared,
                    Strategy::Birthday => Needs::Nothing,
                    Strategy::HostCandidates
                    | Strategy::SimultaneousOpen
                    | Strategy::Dial
                    | Strategy::Sequential
                    | Strategy::LowTtl
                    | Strategy::CraftedSynAck
                    | Strategy::SpoofedSynAck => Needs::Spares,
                }
            }
            Some(_) | None => Needs::Spares,
        }
    }

    /// Whether the next round is to try many ports, for which there may be no
    /// room just now.
    pub(crate) fn will_spray(&self) -> bool {
        let step = self.rounds.plan.step(self.rounds.upcoming());
        self.state() == State::Punching && step.is_some_and(Step::needs_fresh_ports)
    }

    /// The ports for the next round are there: the server is told.
    pub(crate) fn ready_for_round(&mut self, core: &mut Core, ports: Vec<u16, MAX_SESSION_PORTS>) {
        if self.will_spray() {
            core.spray_for = Some(self.slot);
            core.last_spray = self.slot;
        }
        self.rounds.next_ports = ports;
        self.rounds.sequence = None;
        self.rounds.phase = Phase::Ready;
        core.tell_server(Letter::RoundReady { slot: self.slot });
    }

    /// Whether it was told that it is ready, and waits for the other side.
    pub(crate) fn is_between_rounds(&self) -> bool {
        self.state() == State::Punching && self.rounds.phase == Phase::Ready
    }

    /// No fresh ports can be had: what is pending has to do.
    pub(crate) fn no_more_rounds(&mut self, core: &mut Core) {
        self.rounds.phase = Phase::Last;
        if core.spray_for == Some(self.slot) {
            core.spray_for = None;
        }
    }

    /// What the server is told of the round: number, ports, sequence number, and
    /// whether it shall send the SYN-ACKs.
    pub(crate) fn round_facts(&self) -> (u8, Vec<u16, MAX_SESSION_PORTS>, Option<u32>, bool) {
        let rounds = &self.rounds;
        match rounds.sequence {
            Some(_) => {
                let first = self.ports.iter().copied().take(1).collect();
                let spoof = rounds
                    .step()
                    .is_some_and(|step| step.strategy == Strategy::SpoofedSynAck);
                (rounds.round, first, rounds.sequence, spoof)
            }
            None => (rounds.upcoming(), rounds.next_ports.clone(), None, false),
        }
    }

    /// Both sides are ready for this round: the dials of the last one end, those
    /// of the step begin. Gives back the ports that are not used any more.
    pub(crate) fn go_round(
        &mut self,
        core: &mut Core,
        round: u8,
        told: &Introduction<'_>,
    ) -> Option<Vec<u16, MAX_SESSION_PORTS>> {
        if self.state() != State::Punching
            || self.rounds.phase != Phase::Ready
            || round != self.rounds.upcoming()
        {
            return None;
        }
        if core.spray_for == Some(self.slot) {
            core.spray_for = None;
        }
        self.close_dials(core);
        for stream in &mut self.streams {
            stream.forget_attempt();
        }
        let ports = core::mem::take(&mut self.rounds.next_ports);
        // An empty list stands for what the introduction had.
        let old = if ports.is_empty() {
            Vec::new()
        } else {
            core::mem::replace(&mut self.ports, ports)
        };
        let rounds = &mut self.rounds;
        rounds.round = round;
        rounds.before = self.tried;
        rounds.reports = [told.own.report, told.other.report];
        rounds.running = true;
        self.hold_us = told.hold_us;
        core.out.push(Action::StepBegun { slot: self.slot });
        // The spray is aimed like the dials: first the aim, then the layout.
        self.begin_at = core
            .now
            .after(Duration::from_micros(told.hold_us.into()).min(MAX_HOLD));
        self.lay_out(core, told);
        self.begin_after(core.now);
        let share = self.rounds.step().map_or(Duration::ZERO, Step::share);
        self.rounds.phase = Phase::Until(self.begin_at.after(share));
        Some(old)
    }

    /// A dial's first sequence number is known.
    pub(crate) fn learn_sequence(&mut self, core: &mut Core, index: usize, number: u32) {
        let watched = self.attempts.get(index).is_some_and(Attempt::is_watched);
        let exchanged = watched && core.config.runtime.raw;
        let running = matches!(self.rounds.phase, Phase::Until(_));
        if exchanged && running && self.state() == State::Punching {
            self.rounds.answered = false;
            self.rounds.sequence = Some(number);
            core.tell_server(Letter::RoundReady { slot: self.slot });
        }
    }

    /// The other side's first sequence number: our SYN-ACK for it goes out,
    /// unless the server sends both.
    pub(crate) fn take_sequence(&mut self, core: &mut Core, round: u8, number: u32) {
        let crafts = self
            .rounds
            .step()
            .is_some_and(|step| step.strategy == Strategy::CraftedSynAck);
        let asked = self.rounds.sequence.is_some() && !self.rounds.answered;
        if crafts && asked && round == self.rounds.round && self.state() == State::Punching {
            self.rounds.answered = true;
            core.out.push(Action::Inject {
                slot: self.slot,
                acknowledgement: number.wrapping_add(1),
            });
        }
    }

    /// Our SYN-ACK.
    pub(crate) fn segment(&self, acknowledgement: u32) -> Option<Segment> {
        let attempt = self.attempts.iter().find(|attempt| attempt.is_watched())?;
        Some(Segment {
            local: Endpoint::unspecified(attempt.remote.family(), attempt.local_port),
            remote: attempt.remote,
            sequence: self.rounds.sequence?,
            acknowledgement,
        })
    }

    /// How far a dial's first SYN goes.
    pub(super) fn attempt_hops(&self, index: usize) -> Hops {
        self.attempts.get(index).map_or(Hops::Default, |attempt| {
            self.hops(attempt.strategy, attempt.remote)
        })
    }

    pub(crate) fn planned_event(&self) -> Event {
        let [own, other] = self.rounds.reports;
        Event::Planned {
            session: self.id,
            role: self.role,
            plan: self.rounds.plan.clone(),
            own,
            other,
        }
    }

    pub(crate) fn step_begun_event(&self) -> Option<Event> {
        Some(Event::StepBegun {
            session: self.id,
            round: self.rounds.round,
            step: *self.rounds.step()?,
        })
    }

    pub(crate) fn step_ended_event(&self) -> Option<Event> {
        let mut tried = self.tried.since(&self.rounds.before);
        let pending = |attempt: &&Attempt| matches!(attempt.stage, Stage::Dialling(_));
        let pending = u16::try_from(self.attempts.iter().filter(pending).count());
        tried.unanswered = tried.unanswered.saturating_add(pending.unwrap_or(u16::MAX));
        Some(Event::StepEnded {
            session: self.id,
            round: self.rounds.round,
            strategy: self.rounds.step()?.strategy,
            tried,
        })
    }

    /// A stream connects this port of ours with that endpoint: by which strategy?
    pub(super) fn strategy_of(&self, local_port: u16, remote: Endpoint) -> Strategy {
        let exact = self
            .attempts
            .iter()
            .find(|attempt| attempt.remote == remote && attempt.local_port == local_port);
        let host = |attempt: &&Attempt| !attempt.is_mapped() && attempt.remote.ip == remote.ip;
        exact
            .or_else(|| self.attempts.iter().find(host))
            .map(|attempt| attempt.strategy)
            .or_else(|| self.rounds.step().map(|step| step.strategy))
            .unwrap_or(Strategy::SimultaneousOpen)
    }

    pub(crate) fn count_sprayed(&mut self, dials: u16) {
        self.tried.dials = self.tried.dials.saturating_add(dials);
        self.tried.sprayed = self.tried.sprayed.saturating_add(dials);
    }

    pub(crate) fn count_failed(&mut self, failure: Failure) {
        self.tried.count(failure);
    }

    /// Nothing is left that could bring a stream.
    pub(super) fn is_hopeless(&self) -> bool {
        self.attempts.is_empty() && self.rounds.plan.steps.is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Reason;

    fn step(strategy: Strategy) -> Step {
        Step {
            strategy,
            first: Role::Responder,
            raced: false,
            reason: Reason::Foretold,
        }
    }

    #[test]
    fn every_other_time_round_the_side_that_counts_dials_first() {
        for (strategies, expected) in [
            (&[Strategy::PortPrediction][..], "-F-F-F"),
            // Rounds 2, 4 and 6 are the other step's.
            (
                &[Strategy::PortPrediction, Strategy::SimultaneousOpen],
                "--F---",
            ),
            (&[Strategy::SimultaneousOpen], "------"),
        ] {
            let mut rounds = Rounds::new();
            rounds.plan.steps = strategies.iter().copied().map(step).collect();
            let mut seen = std::string::String::new();
            for round in 1..=6 {
                rounds.round = round;
                seen.push(if rounds.sprays_second() { 'F' } else { '-' });
            }
            assert_eq!(seen, expected, "{strategies:?}");
        }
    }
}
