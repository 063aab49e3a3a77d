//! What a session tries, round by round: the plan, the turn of its steps, and the
//! way to fresh ports.

mod layout;

use core::time::Duration;

use heapless::Vec;

use super::attempt::{Attempt, Stage};
use super::session::{Introduction, Session};
use super::states::State;
use crate::addr::{Endpoint, Family};
use crate::event::{Event, Strategy, Tried};
use crate::io::{Failure, Hops, Segment};
use crate::nat::NatReport;
use crate::noise::Role;
use crate::peer::core::Core;
use crate::peer::outbox::{Action, Letter};
use crate::plan::{Plan, Step};
use crate::rtt::MAX_HOLD;
use crate::time::Instant;
use crate::wire::MAX_SESSION_PORTS;

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
