//! What two peers are going to try, why, and what came of it.

use std::collections::HashMap;

use serde_json::{Value, json};
use tcp_punch_tokio::{Event, NatReport, Plan, Role, SessionId, Step, Strategy, Tried};

use crate::nat_words::{report_fields, report_in_words};
use crate::possible::what_else;
use crate::table::table;
use crate::words::{kebab, tried_fields};

/// Remembers of each session what is needed to explain it at its end.
#[derive(Debug, Default)]
pub(crate) struct Explainer {
    sessions: HashMap<SessionId, Session>,
}

#[derive(Debug)]
struct Session {
    plan: Plan,
    own: NatReport,
    other: NatReport,
    steps: Vec<Begun>,
    /// What came through, if anything, once it is over.
    end: Option<Option<Strategy>>,
}

/// A step that has begun, and what was tried in it once it has ended.
#[derive(Debug)]
struct Begun {
    round: u8,
    strategy: Strategy,
    tried: Option<Tried>,
}

/// Who begins a step.
fn first(step: &Step, role: Role) -> &'static str {
    match step.strategy {
        Strategy::Dial
        | Strategy::Sequential
        | Strategy::LowTtl
        | Strategy::PortPrediction
        | Strategy::Birthday => {
            if step.first == role {
                "this side"
            } else {
                "the other side"
            }
        }
        Strategy::HostCandidates
        | Strategy::SimultaneousOpen
        | Strategy::CraftedSynAck
        | Strategy::SpoofedSynAck
        | _ => "both",
    }
}

pub(crate) fn step_fields(step: &Step) -> Value {
    json!({
        "strategy": step.strategy.name(),
        "first": kebab(&step.first),
        "raced": step.raced,
        "reason": kebab(&step.reason),
        "why": step.reason.to_string(),
    })
}

pub(crate) fn planned_fields(role: Role, plan: &Plan, own: &NatReport, other: &NatReport) -> Value {
    json!({
        "role": kebab(&role),
        "steps": plan.steps.iter().map(step_fields).collect::<Vec<_>>(),
        "own": report_fields(own),
        "other": report_fields(other),
    })
}

/// The plan in one line.
pub(crate) fn plan_in_words(plan: &Plan) -> String {
    if plan.steps.is_empty() {
        return "the NATs leave nothing to try but the peers' own addresses".to_owned();
    }
    let names: Vec<_> = (plan.steps.iter())
        .map(|step| step.strategy.name())
        .collect();
    format!("going to try {}", names.join(", then "))
}

/// Both NATs, and the plan as a table.
pub(crate) fn plan_explained(
    role: Role,
    plan: &Plan,
    own: &NatReport,
    other: &NatReport,
) -> String {
    let mut text = format!(
        "NAT here: {}\nNAT there: {}\n",
        report_in_words(own),
        report_in_words(other)
    );
    if plan.steps.is_empty() {
        text.push_str(&plan_in_words(plan));
        return text;
    }
    let heads = ["step", "strategy", "first", "why"].map(str::to_owned);
    let rows = (1..).zip(&plan.steps).map(|(number, step)| {
        let raced = if step.raced {
            "; simultaneous-open is raced beside it"
        } else {
            ""
        };
        [
            number.to_string(),
            step.strategy.to_string(),
            first(step, role).to_owned(),
            format!("{}{raced}", step.reason),
        ]
    });
    let rows: Vec<_> = [heads].into_iter().chain(rows).collect();
    text.push_str("The plan, repeated until a stream is up or the time is over:\n");
    text.push_str(table(&rows).trim_end());
    text
}

impl Explainer {
    /// Takes notes. Gives a table once a session and its last step are over.
    pub(crate) fn note(&mut self, event: &Event) -> Option<String> {
        let (session, end) = match event {
            Event::Planned {
                session,
                plan,
                own,
                other,
                ..
            } => {
                let noted = Session {
                    plan: plan.clone(),
                    own: *own,
                    other: *other,
                    steps: Vec::new(),
                    end: None,
                };
                self.sessions.insert(*session, noted);
                return None;
            }
            Event::StepBegun {
                session,
                round,
                step,
            } => {
                self.sessions.get_mut(session)?.steps.push(Begun {
                    round: *round,
                    strategy: step.strategy,
                    tried: None,
                });
                return None;
            }
            Event::StepEnded {
                session,
                round,
                tried,
                ..
            } => {
                let steps = &mut self.sessions.get_mut(session)?.steps;
                if let Some(step) = steps.iter_mut().find(|step| step.round == *round) {
                    step.tried = Some(*tried);
                }
                (*session, None)
            }
            Event::Verified {
                session, strategy, ..
            } => (*session, Some(Some(*strategy))),
            Event::Failed { session, .. } => (*session, Some(None)),
            Event::Registered { .. }
            | Event::MappingLearnt { .. }
            | Event::NatLearnt { .. }
            | Event::LinkDown { .. }
            | Event::PortChanged { .. }
            | Event::Requested { .. }
            | Event::Notified { .. }
            | Event::Dialling { .. }
            | Event::Connected { .. }
            | _ => return None,
        };
        let noted = self.sessions.get_mut(&session)?;
        noted.end = noted.end.or(end);
        let is_over = noted.end.is_some() && noted.steps.iter().all(|step| step.tried.is_some());
        is_over
            .then(|| self.sessions.remove(&session))?
            .map(|noted| noted.outcome())
    }

    /// What else could have come through a session that fails.
    pub(crate) fn what_else(&self, session: SessionId) -> Option<String> {
        let Session {
            plan, own, other, ..
        } = self.sessions.get(&session)?;
        what_else(own, other, plan)
    }
}

impl Session {
    /// What each step brought.
    fn outcome(&self) -> String {
        let winner = self.end.flatten();
        let heads = [
            "round",
            "strategy",
            "dials",
            "refused",
            "unreachable",
            "unanswered",
            "connected",
            "",
        ]
        .map(str::to_owned);
        let last = self.steps.len().checked_sub(1);
        let rows = self.steps.iter().enumerate().map(|(at, step)| {
            let tried = step.tried.unwrap_or_default();
            // Rounds repeat; the one that was running is the one that won.
            let has_won = Some(at) == last && winner == Some(step.strategy);
            [
                step.round.to_string(),
                step.strategy.to_string(),
                tried.dials.to_string(),
                tried.refused.to_string(),
                tried.unreachable.to_string(),
                tried.unanswered.to_string(),
                tried.connected.to_string(),
                if has_won { "won" } else { "" }.to_owned(),
            ]
        });
        let rows: Vec<_> = [heads].into_iter().chain(rows).collect();
        let mut text = String::from("What came of it:\n");
        text.push_str(&table(&rows));
        let is_shown = (self.steps.last()).is_some_and(|step| Some(step.strategy) == winner);
        match winner {
            Some(winner) if !is_shown => {
                text.push_str(&format!("  won by {winner}, which ran beside it"))
            }
            Some(_) => {}
            None => text.push_str("  nothing came through"),
        }
        text.trim_end().to_owned()
    }
}

pub(crate) fn step_ended_fields(round: u8, strategy: Strategy, tried: &Tried) -> Value {
    json!({
        "round": round,
        "strategy": strategy.name(),
        "tried": tried_fields(tried),
    })
}

#[cfg(test)]
mod tests;
