//! One session against the oracle.

use std::time::Duration;

use tcp_punch_proto::noise::Role;
use tcp_punch_proto::{Event, NatReport, Plan, SessionId, SessionOptions, Step, Strategy};
use tcp_punch_tests::oracle::{self, Chance, Chances, Server, report_of};
use tcp_punch_tests::world::{A, B, World};

use super::{Case, Expected, Knowledge, best, expected};

/// The punch deadline, from the word to go on, and the ways to and from the
/// server before it.
const DEADLINE: Duration = Duration::from_secs(16);

pub(crate) fn run(case: &Case) {
    let truth = case.builder.case(case.allowed);
    let chances = truth.chances();
    let mut world = case.builder.clone().build();
    match case.knowledge {
        Knowledge::Complete => world.register(),
        Knowledge::Partial => world.register_only(),
    }
    let options = SessionOptions {
        strategies: case.allowed,
        ..SessionOptions::default()
    };
    let to = world.id(B);
    let session = world.connect_with(A, to, options).expect("a request");
    if expected(case) == Expected::Stream {
        world.expect_stream(A, B, session, DEADLINE);
    } else {
        world.expect_failure(A, session, DEADLINE);
        // B may hear of it later than A gives up.
        world.run_for(Duration::from_secs(1));
    }
    let of_b = planned(&world, B, session);
    let of_b = of_b.map(|(plan, [own, other])| (plan, [other, own]));
    let of_b = of_b.expect("B made a plan");
    // A makes none where B saw that there is nothing to try, or where B's SYN
    // overtook the server's word.
    let of_a = planned(&world, A, session).unwrap_or_else(|| of_b.clone());
    assert_eq!(of_a, of_b, "two plans");
    let (plan, reports) = of_a;
    if case.knowledge == Knowledge::Complete {
        knows_all(&truth, reports);
        plans_well(&truth, &chances, &plan);
        tries_well(&world, session, &truth, &chances);
    }
}

/// What a peer was told to go by, and what it made of it.
fn planned(world: &World, peer: usize, wanted: SessionId) -> Option<(Plan, [NatReport; 2])> {
    world.events(peer).iter().find_map(|(_, event)| {
        let Event::Planned {
            session,
            plan,
            own,
            other,
            ..
        } = event
        else {
            return None;
        };
        (*session == wanted).then(|| (plan.clone(), [*own, *other]))
    })
}

/// The peers have found out what there is to find out.
fn knows_all(truth: &oracle::Case, reports: [NatReport; 2]) {
    for (role, seen) in [Role::Requester, Role::Responder].into_iter().zip(reports) {
        let real = report_of(&truth.topology, role, Server::TwoAddresses);
        let facts = |report: &NatReport| {
            let NatReport {
                translated,
                mapping,
                allocation,
                filtering,
                early_syn,
                hairpin,
                ..
            } = *report;
            // Behind one carrier, two homes that count may count the same ports,
            // which the carrier then has to change.
            let allocation = truth.topology.shared.is_empty().then_some(allocation);
            (
                translated, mapping, allocation, filtering, early_syn, hairpin,
            )
        };
        assert_eq!(facts(&seen), facts(&real), "{role:?}: seen and real");
    }
}

/// The best that the oracle expects of a step, what is raced beside it included.
fn chance(chances: &Chances, step: &Step) -> Chance {
    let raced = if step.raced {
        chances.of(Strategy::SimultaneousOpen)
    } else {
        Chance::None
    };
    chances.with_first(step.strategy, step.first).max(raced)
}

/// Whether the reports tell all that matters: not who is strict, nor what a
/// carrier does with what its own customers send each other.
fn tells_all(truth: &oracle::Case) -> bool {
    let topology = &truth.topology;
    let mut boxes = topology.a.iter().chain(&topology.b);
    topology.shared.is_empty() && !boxes.any(|level| level.strict_syn)
}

/// The plan begins with what is as good as anything.
fn plans_well(truth: &oracle::Case, chances: &Chances, plan: &Plan) {
    let by_plan = chances.among(truth.a.allowed.without(Strategy::HostCandidates));
    match plan.steps.first() {
        Some(first) if tells_all(truth) => assert!(
            chance(chances, first) == best(&by_plan),
            "{first:?} comes first, and is {:?}",
            chance(chances, first)
        ),
        Some(_) => {}
        None => assert!(!by_plan.is_possible(), "an empty plan"),
    }
}

/// No step was begun that is known to be of no use.
fn tries_well(world: &World, wanted: SessionId, truth: &oracle::Case, chances: &Chances) {
    if !tells_all(truth) {
        return;
    }
    for peer in [A, B] {
        for (_, event) in world.events(peer) {
            if let Event::StepBegun { session, step, .. } = event
                && *session == wanted
            {
                assert!(chance(chances, step) > Chance::None, "hopeless: {step:?}");
            }
        }
    }
}
