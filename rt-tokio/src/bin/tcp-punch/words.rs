//! Names and words for what happens: for scripts and for people.

use serde_json::{Value, json};
use tcp_punch_tokio::{FailReason, LinkFailure, Tried, link_advice, session_advice};

/// Why a session failed and what to do next.
pub(crate) fn failure_in_words(
    reason: FailReason,
    tried: &Tried,
    link: Option<LinkFailure>,
) -> (String, &'static str) {
    match (reason, link) {
        (FailReason::NoServer, Some(link)) => (format!("{reason}: {link}"), link_advice(link)),
        _ => (reason.to_string(), session_advice(reason, tried)),
    }
}

pub(crate) fn tried_fields(tried: &Tried) -> Value {
    json!({
        "pairs": tried.pairs,
        "dials": tried.dials,
        "refused": tried.refused,
        "unreachable": tried.unreachable,
        "failed": tried.failed,
        "sprayed": tried.sprayed,
        "unanswered": tried.unanswered,
        "connected": tried.connected,
        "unverified": tried.unverified,
        "own_mapping": tried.own_mapping.to_string(),
        "peer_mapping": tried.peer_mapping.to_string(),
    })
}

/// The name of a variant as scripts see it: `PunchTimedOut` is
/// `punch-timed-out`, `Dial(Refused)` is `dial-refused`.
pub(crate) fn kebab(name: &impl std::fmt::Debug) -> String {
    let mut text = String::new();
    for c in format!("{name:?}").chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        if c.is_ascii_alphanumeric() {
            text.push(c.to_ascii_lowercase());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use tcp_punch_tokio::{Failure, Role};

    use super::*;

    #[test]
    fn names_for_scripts() {
        assert_eq!(kebab(&FailReason::PunchTimedOut), "punch-timed-out");
        assert_eq!(kebab(&LinkFailure::Dial(Failure::Refused)), "dial-refused");
        assert_eq!(kebab(&Role::Requester), "requester");
    }
}
