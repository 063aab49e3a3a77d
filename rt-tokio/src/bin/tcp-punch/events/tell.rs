//! Each event of a peer, in words and as fields.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tcp_punch_tokio::{Event, FailReason, LinkFailure, SessionId, link_advice};
use tokio::time::Instant;

use super::Reporter;
use crate::explain::{
    Explainer, plan_explained, plan_in_words, planned_fields, step_ended_fields, step_fields,
};
use crate::nat_words::report_fields;
use crate::words::{failure_in_words, kebab, tried_fields};

/// What earlier events of the same peer say about later ones.
#[derive(Debug, Default)]
pub(super) struct Noted {
    link_failure: Option<LinkFailure>,
    explainer: Explainer,
}

impl Reporter {
    /// Tells one event of a peer.
    pub(super) fn tell(&self, at: Instant, event: &Event, noted: &mut Noted) {
        match event {
            Event::Planned {
                session,
                role,
                plan,
                own,
                other,
            } => {
                let words = if self.explain {
                    plan_explained(*role, plan, own, other)
                } else {
                    plan_in_words(plan)
                };
                let fields = planned_fields(*role, plan, own, other);
                self.emit_at(at, "planned", of(*session, fields), &words);
            }
            Event::StepBegun {
                session,
                round,
                step,
            } => {
                let mut fields = step_fields(step);
                fields["round"] = json!(round);
                let words = format!("trying {} (round {round})", step.strategy);
                self.emit_at(at, "step-begun", of(*session, fields), &words);
            }
            Event::StepEnded {
                session,
                round,
                strategy,
                tried,
            } => {
                let fields = step_ended_fields(*round, *strategy, tried);
                // In words it is part of what is explained at the end.
                self.emit_at(at, "step-ended", of(*session, fields), "");
            }
            Event::Registered { mapped } => {
                noted.link_failure = None;
                self.emit_at(
                    at,
                    "registered",
                    json!({ "mapped": mapped.to_string() }),
                    &format!("registered: the server sees us at {mapped}"),
                );
            }
            Event::MappingLearnt { mapping } => self.emit_at(
                at,
                "mapping-learnt",
                json!({ "mapping": mapping.to_string() }),
                &format!("the NAT's mapping is {mapping}"),
            ),
            // In words `doctor` tells it.
            Event::NatLearnt { report } => {
                self.emit_at(at, "nat-learnt", report_fields(report), "");
            }
            Event::LinkDown { reason, retry_in } => {
                noted.link_failure = Some(*reason);
                self.link_down(at, *reason, *retry_in);
            }
            Event::PortChanged { port } => {
                self.emit_at(
                    at,
                    "port-changed",
                    json!({ "port": port }),
                    &format!("moved to local port {port}"),
                );
            }
            Event::Requested { session, peer } => self.emit_at(
                at,
                "requested",
                json!({ "session": session.to_string(), "peer": peer.to_string() }),
                &format!("asking {peer} for a stream"),
            ),
            Event::Notified { session, peer, ask } => self.emit_at(
                at,
                "notified",
                json!({ "session": session.to_string(), "peer": peer.to_string(), "ask": ask }),
                &format!("{peer} asks for a stream"),
            ),
            Event::Dialling {
                session,
                local_port,
                remote,
                attempt,
            } => self.emit_at(
                at,
                "dialling",
                json!({
                    "session": session.to_string(),
                    "local_port": local_port,
                    "remote": remote.to_string(),
                    "attempt": attempt,
                }),
                &format!("dialling {remote} from port {local_port} (attempt {attempt})"),
            ),
            Event::Connected {
                session,
                local,
                remote,
                dialled,
            } => self.emit_at(
                at,
                "connected",
                json!({
                    "session": session.to_string(),
                    "local": local.to_string(),
                    "remote": remote.to_string(),
                    "dialled": dialled,
                }),
                &format!("TCP is up: {local} to {remote}; not verified yet"),
            ),
            Event::Verified {
                session,
                peer,
                role,
                strategy,
                local,
                remote,
                tried,
            } => {
                self.emit_at(
                at,
                    "verified",
                    json!({
                        "session": session.to_string(),
                        "peer": peer.to_string(),
                        "role": kebab(role),
                        "strategy": strategy.name(),
                        "local": local.to_string(),
                        "remote": remote.to_string(),
                        "attempts": tried.dials,
                        "tried": tried_fields(tried),
                    }),
                    &format!(
                        "verified: a direct stream to {peer}, {local} to {remote}, by {strategy}, after {} dials",
                        tried.dials
                    ),
                );
                self.verified.send_modify(|sessions| {
                    sessions.insert(*session);
                });
            }
            Event::Failed {
                reason: FailReason::Cancelled,
                ..
            } if self.giving_up.load(Ordering::Relaxed) => {}
            Event::Failed {
                session,
                peer,
                role,
                reason,
                tried,
            } => {
                // Where there will be no link, its reason is the session's.
                let link = noted
                    .link_failure
                    .filter(|link| *reason == FailReason::NoServer && link.is_final());
                if link.is_some() && self.told.swap(true, Ordering::Relaxed) {
                    return;
                }
                let (text, advice) = failure_in_words(*reason, tried, noted.link_failure);
                let was_punched =
                    matches!(reason, FailReason::PunchTimedOut | FailReason::NothingToTry);
                let possible = was_punched
                    .then(|| noted.explainer.what_else(*session))
                    .flatten();
                self.emit_at(
                    at,
                    "failed",
                    json!({
                        "session": session.to_string(),
                        "peer": peer.to_string(),
                        "role": kebab(role),
                        "reason": link.map_or_else(|| kebab(reason), |link| kebab(&link)),
                        "link": noted.link_failure.as_ref().map(kebab),
                        "message": text,
                        "advice": advice,
                        "possible": possible,
                        "tried": tried_fields(tried),
                    }),
                    &match &possible {
                        Some(possible) => format!("failed: {text}; {possible}"),
                        None => format!("failed: {text}; {advice}"),
                    },
                );
            }
            other => self.emit_at(
                at,
                "other",
                json!({ "message": format!("{other:?}") }),
                &format!("{other:?}"),
            ),
        }
        // What is asked for at its end has been noted before.
        if let Some(outcome) = noted.explainer.note(event)
            && self.explain
            && !self.json
        {
            self.emit_at(at, "explained", Value::Null, &outcome);
        }
    }

    fn link_down(&self, at: Instant, reason: LinkFailure, retry_in: Option<Duration>) {
        let advice = link_advice(reason);
        let again = match retry_in {
            Some(pause) => format!("trying again in {:.1} s", pause.as_secs_f64()),
            None => "not tried again".to_owned(),
        };
        self.emit_at(
            at,
            "link-down",
            json!({
                "reason": kebab(&reason),
                "message": reason.to_string(),
                "advice": advice,
                "retry_in_ms": retry_in.map(|pause| pause.as_secs_f64() * 1e3),
            }),
            &format!("no link to the server: {reason} ({again}); {advice}"),
        );
    }
}

/// Whose fields they are.
fn of(session: SessionId, mut fields: Value) -> Value {
    fields["session"] = json!(session.to_string());
    fields
}
