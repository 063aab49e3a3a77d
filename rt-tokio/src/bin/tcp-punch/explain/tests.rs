use tcp_punch_tokio::{Endpoint, FailReason, PeerId, Reason};

use super::*;

fn session() -> SessionId {
    SessionId::from_bytes([1; 16])
}

fn step(strategy: Strategy, first: Role) -> Step {
    Step {
        strategy,
        first,
        raced: strategy == Strategy::LowTtl,
        reason: Reason::DiesBefore,
    }
}

fn plan() -> Plan {
    let mut plan = Plan::default();
    for step in [
        step(Strategy::LowTtl, Role::Requester),
        step(Strategy::SimultaneousOpen, Role::Responder),
    ] {
        plan.steps.push(step).unwrap();
    }
    plan
}

fn begun(round: u8, strategy: Strategy) -> Event {
    Event::StepBegun {
        session: session(),
        round,
        step: step(strategy, Role::Requester),
    }
}

fn ended(round: u8, strategy: Strategy, refused: u16) -> Event {
    Event::StepEnded {
        session: session(),
        round,
        strategy,
        tried: Tried {
            dials: 7,
            refused,
            ..Tried::default()
        },
    }
}

fn verified(strategy: Strategy) -> Event {
    let end = Endpoint::new([192, 0, 2, 1].into(), 1);
    Event::Verified {
        session: session(),
        peer: PeerId::from_bytes([2; 32]),
        role: Role::Requester,
        strategy,
        local: end,
        remote: end,
        tried: Tried::default(),
    }
}

fn planned() -> Event {
    Event::Planned {
        session: session(),
        role: Role::Requester,
        plan: plan(),
        own: NatReport::default(),
        other: NatReport::default(),
    }
}

#[test]
fn the_plan_is_a_table_seen_from_this_side() {
    let (own, other) = (NatReport::default(), NatReport::default());
    let text = plan_explained(Role::Requester, &plan(), &own, &other);
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[4].contains("low-ttl") && lines[4].contains("this side"),
        "{text}"
    );
    assert!(lines[4].ends_with("raced beside it"), "{text}");
    assert!(
        lines[5].contains("simultaneous-open") && lines[5].contains("both"),
        "{text}"
    );
    let text = plan_explained(Role::Responder, &plan(), &own, &other);
    assert!(text.contains("the other side"), "{text}");
    assert_eq!(
        planned_fields(Role::Requester, &plan(), &own, &other)["steps"][0]["first"],
        "requester"
    );
}

#[test]
fn the_outcome_waits_for_the_last_step_and_names_the_winner() {
    // The stream may be told of before its step is.
    for last_two in [
        [
            verified(Strategy::SimultaneousOpen),
            ended(1, Strategy::SimultaneousOpen, 1),
        ],
        [
            ended(1, Strategy::SimultaneousOpen, 1),
            verified(Strategy::SimultaneousOpen),
        ],
    ] {
        let mut explainer = Explainer::default();
        for event in [
            planned(),
            begun(0, Strategy::LowTtl),
            ended(0, Strategy::LowTtl, 3),
            begun(1, Strategy::SimultaneousOpen),
        ] {
            assert_eq!(explainer.note(&event), None);
        }
        let [first, last] = last_two;
        assert_eq!(explainer.note(&first), None);
        let text = explainer.note(&last).unwrap();
        assert!(text.lines().nth(3).unwrap().ends_with("won"), "{text}");
        assert_eq!(text.matches("won").count(), 1, "{text}");
    }
}

#[test]
fn a_winner_beside_the_steps_and_a_failure_are_told() {
    let mut explainer = Explainer::default();
    explainer.note(&planned());
    explainer.note(&begun(0, Strategy::LowTtl));
    explainer.note(&ended(0, Strategy::LowTtl, 0));
    let text = explainer.note(&verified(Strategy::HostCandidates)).unwrap();
    assert!(
        text.ends_with("won by host-candidates, which ran beside it"),
        "{text}"
    );

    explainer.note(&planned());
    assert!(explainer.what_else(session()).is_some());
    let text = explainer
        .note(&Event::Failed {
            session: session(),
            peer: PeerId::from_bytes([2; 32]),
            role: Role::Requester,
            reason: FailReason::PunchTimedOut,
            tried: Tried::default(),
        })
        .unwrap();
    assert!(text.ends_with("nothing came through"), "{text}");
    assert_eq!(explainer.what_else(session()), None);
}
