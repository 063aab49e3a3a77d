use super::*;
use crate::addr::{Candidate, CandidateKind, Candidates, Endpoint};
use crate::event::Mapping;
use crate::nat::{Allocation, EarlySyn, NatReport};

use Role::{Requester, Responder};
use Strategy::{
    Birthday, CraftedSynAck, Dial, LowTtl, PortPrediction, Sequential, SimultaneousOpen,
    SpoofedSynAck,
};

const PLAIN: Abilities = Abilities {
    hops: None,
    raw: false,
    spoof: false,
    dials: 8,
};

const KNOWS_HOPS: Abilities = Abilities {
    hops: Some(2),
    ..PLAIN
};

const RAW: Abilities = Abilities {
    raw: true,
    ..KNOWS_HOPS
};

const SPOOF: Abilities = Abilities { spoof: true, ..RAW };

const MANY: Abilities = Abilities {
    dials: 256,
    ..PLAIN
};

fn report(mapping: Mapping, filtering: Filtering, early_syn: EarlySyn) -> NatReport {
    NatReport {
        translated: Some(true),
        mapping,
        mapping_from_two_addresses: true,
        filtering,
        early_syn,
        ..NatReport::default()
    }
}

fn cone(early_syn: EarlySyn) -> NatReport {
    let filtering = Filtering::AddressAndPortDependent;
    report(Mapping::EndpointIndependent, filtering, early_syn)
}

fn filters(filtering: Filtering) -> NatReport {
    NatReport {
        filtering,
        ..cone(EarlySyn::Silence)
    }
}

fn symmetric(allocation: Allocation) -> NatReport {
    NatReport {
        mapping: Mapping::AddressAndPortDependent,
        allocation,
        ..cone(EarlySyn::Silence)
    }
}

/// Behind an outer address of its own.
fn side(report: NatReport, abilities: Abilities) -> Side {
    Side {
        rtt_us: 40_000,
        jitter_us: 1_000,
        report,
        abilities,
        window: 0,
        candidates: Candidates::new(),
    }
}

fn unsteady(side: Side) -> Side {
    Side {
        jitter_us: 50_000,
        ..side
    }
}

fn at(side: Side, address: u8) -> Side {
    let mapped = Candidate {
        kind: CandidateKind::Mapped,
        endpoint: Endpoint::new([198, 51, 100, address].into(), 40_000),
    };
    Side {
        candidates: Candidates::from_iter([mapped]),
        ..side
    }
}

type Short = (Strategy, Role, Reason);

fn short(plan: &Plan) -> std::vec::Vec<Short> {
    plan.steps
        .iter()
        .map(|step| (step.strategy, step.first, step.reason))
        .collect()
}

fn steps(requester: &Side, responder: &Side, allowed: Strategies) -> std::vec::Vec<Short> {
    short(&Plan::new(requester, responder, allowed))
}

#[test]
fn plans_by_table() {
    use EarlySyn::{NotTested, Reset, Silence, Unreachable};
    use Filtering::{AddressDependent, Open};
    let plain = |report| side(report, PLAIN);
    let able = |report, abilities| side(report, abilities);
    let any = Strategies::ANY;
    let nothing_punished = (SimultaneousOpen, Responder, Reason::NothingPunished);
    let aimed = (SimultaneousOpen, Responder, Reason::Aimed);
    let cases: [(&str, Side, Side, &[Short]); 20] = [
        (
            "both drop",
            plain(cone(Silence)),
            plain(cone(Silence)),
            &[nothing_punished],
        ),
        (
            "both answer RST",
            plain(cone(Reset)),
            plain(cone(Reset)),
            &[aimed],
        ),
        (
            "nothing is known",
            plain(NatReport::default()),
            plain(NatReport::default()),
            &[aimed],
        ),
        (
            "only the responder's answers",
            plain(cone(Silence)),
            plain(cone(Unreachable)),
            &[aimed, (Sequential, Responder, Reason::AnswersFirst)],
        ),
        (
            "the same, the server far away",
            unsteady(plain(cone(Silence))),
            plain(cone(Reset)),
            &[
                (Sequential, Responder, Reason::AnswersFirst),
                (SimultaneousOpen, Responder, Reason::Again),
            ],
        ),
        (
            "only the requester's was not tested",
            plain(cone(NotTested)),
            unsteady(plain(cone(Silence))),
            &[
                (Sequential, Requester, Reason::AnswersFirst),
                (SimultaneousOpen, Responder, Reason::Again),
            ],
        ),
        (
            "both answer, the requester knows its hops",
            able(cone(Reset), KNOWS_HOPS),
            plain(cone(Reset)),
            &[(LowTtl, Requester, Reason::DiesBefore), aimed],
        ),
        (
            "the responder's answers, and only the responder knows its hops",
            plain(cone(Silence)),
            able(cone(Reset), KNOWS_HOPS),
            &[aimed, (Sequential, Responder, Reason::AnswersFirst)],
        ),
        (
            "the responder lets anybody in",
            plain(cone(Reset)),
            plain(filters(Open)),
            &[
                (SimultaneousOpen, Responder, Reason::Aimed),
                (Sequential, Requester, Reason::AnswersFirst),
                (Dial, Requester, Reason::Open),
            ],
        ),
        (
            "the requester lets anybody in, the responder's ports are random",
            plain(filters(Open)),
            plain(symmetric(Allocation::Random)),
            &[(Dial, Responder, Reason::Open)],
        ),
        (
            "random ports, and a side that minds the address only",
            plain(symmetric(Allocation::Random)),
            plain(filters(AddressDependent)),
            &[(SimultaneousOpen, Responder, Reason::AddressSuffices)],
        ),
        (
            "steps",
            plain(cone(Silence)),
            plain(symmetric(Allocation::Step(1))),
            &[(PortPrediction, Responder, Reason::Foretold)],
        ),
        (
            "steps, and it was not tested who gets in",
            plain(symmetric(Allocation::Step(256))),
            plain(filters(Filtering::NotTested)),
            &[
                (PortPrediction, Requester, Reason::Foretold),
                (SimultaneousOpen, Responder, Reason::AddressSuffices),
            ],
        ),
        (
            "random ports, and many sockets",
            able(symmetric(Allocation::Random), MANY),
            able(cone(Silence), MANY),
            &[(Birthday, Requester, Reason::ByChance)],
        ),
        (
            "random ports, and few sockets",
            able(symmetric(Allocation::Random), PLAIN),
            able(cone(Silence), MANY),
            &[(Birthday, Requester, Reason::ByChance)],
        ),
        (
            "random ports, and too few sockets",
            plain(symmetric(Allocation::Random)),
            plain(cone(Silence)),
            &[],
        ),
        (
            "both symmetric",
            able(symmetric(Allocation::Step(1)), SPOOF),
            able(symmetric(Allocation::Random), MANY),
            &[],
        ),
        (
            "both may make segments",
            able(cone(Silence), RAW),
            able(cone(Silence), SPOOF),
            &[
                (CraftedSynAck, Responder, Reason::NoSynNeeded),
                nothing_punished,
            ],
        ),
        (
            "so may the server",
            able(cone(Silence), SPOOF),
            able(cone(Silence), SPOOF),
            &[
                (SpoofedSynAck, Responder, Reason::NoSynNeeded),
                (CraftedSynAck, Responder, Reason::NoSynNeeded),
                nothing_punished,
            ],
        ),
        (
            "there is no room for a fifth",
            able(cone(Reset), SPOOF),
            able(filters(Open), SPOOF),
            &[
                (SpoofedSynAck, Responder, Reason::NoSynNeeded),
                (CraftedSynAck, Responder, Reason::NoSynNeeded),
                (LowTtl, Responder, Reason::DiesBefore),
                (SimultaneousOpen, Responder, Reason::Aimed),
            ],
        ),
    ];
    for (what, requester, responder, expected) in cases {
        assert_eq!(steps(&requester, &responder, any), expected, "{what}");
    }
}

#[test]
fn what_is_not_allowed_is_not_planned() {
    let [random, cone] =
        [symmetric(Allocation::Random), cone(EarlySyn::Silence)].map(|report| side(report, MANY));
    assert_eq!(steps(&random, &cone, Strategies::default()), []);
    assert_eq!(steps(&cone, &cone, Strategies::NONE), []);
}

#[test]
fn what_is_asked_for_is_planned_where_it_is_not_hopeless() {
    let silent = side(cone(EarlySyn::Silence), KNOWS_HOPS);
    let reset = side(cone(EarlySyn::Reset), PLAIN);
    let last = Reason::LastResort;
    for (requester, responder, strategy, expected) in [
        (&silent, &silent, Sequential, Some(Responder)),
        (&silent, &silent, LowTtl, Some(Responder)),
        (&silent, &reset, LowTtl, Some(Requester)),
        (&reset, &reset, Sequential, None),
        (&reset, &reset, LowTtl, None),
        (&silent, &silent, Dial, None),
        (&silent, &silent, CraftedSynAck, None),
    ] {
        let plan = Plan::new(requester, responder, Strategies::only(strategy));
        let found = plan.steps.first().map(|step| (step.strategy, step.first));
        assert_eq!(found, expected.map(|first| (strategy, first)), "{strategy}");
        // Nothing is raced beside it that is not allowed.
        assert!(plan.steps.iter().all(|step| !step.raced));
    }
    let open = side(filters(Filtering::Open), PLAIN);
    let random = side(symmetric(Allocation::Random), PLAIN);
    let only = Strategies::only(SimultaneousOpen);
    assert_eq!(
        steps(&random, &open, only),
        [(SimultaneousOpen, Responder, last)]
    );
}

#[test]
fn what_was_not_tested_is_tried_before_nothing_is() {
    let random = symmetric(Allocation::Random);
    let random = side(random, PLAIN);
    let untested = Side {
        report: NatReport {
            filtering: Filtering::NotTested,
            ..random.report
        },
        ..random.clone()
    };
    let plan = steps(&random, &untested, Strategies::default());
    let first = (SimultaneousOpen, Responder, Reason::LastResort);
    assert_eq!(plan.first(), Some(&first));
    assert_eq!(steps(&random, &random, Strategies::default()), []);
}

#[test]
fn two_peers_behind_one_nat() {
    let home = |hairpin, levels, address| {
        let report = NatReport {
            hairpin,
            levels,
            ..cone(EarlySyn::Reset)
        };
        at(side(report, SPOOF), address)
    };
    let turns = (SimultaneousOpen, Responder, Reason::TurnsAround);
    for (hairpin, levels, expected) in [
        (Some(true), Some(1), &[turns][..]),
        (None, Some(1), &[turns]),
        // Only host candidates are left.
        (Some(false), Some(1), &[]),
        // What the inner NAT does says nothing about the one that both share.
        (Some(false), Some(2), &[turns]),
        (Some(false), None, &[turns]),
    ] {
        let peer = home(hairpin, levels, 1);
        let plan = steps(&peer, &peer, Strategies::ANY);
        assert_eq!(plan, expected, "{hairpin:?} {levels:?}");
    }
    let [one, other] = [1, 2].map(|address| home(Some(false), Some(1), address));
    assert!(!steps(&one, &other, Strategies::ANY).contains(&turns));
    // Two peers on one host, or beside the server, share an address and no NAT.
    let mut bare = home(None, Some(0), 1);
    bare.report.translated = Some(false);
    assert!(!steps(&bare, &bare, Strategies::ANY).contains(&turns));
}

#[test]
fn behind_one_carrier_a_home_that_counts_is_foretold_first() {
    let counting = |levels| NatReport {
        levels,
        ..symmetric(Allocation::Step(1))
    };
    let kept = at(side(cone(EarlySyn::Silence), PLAIN), 1);
    let turns = (SimultaneousOpen, Responder, Reason::TurnsAround);
    for levels in [None, Some(2)] {
        let steps_of = |a: &Side, b: &Side| steps(a, b, Strategies::ANY);
        let counts = at(side(counting(levels), PLAIN), 1);
        assert_eq!(
            steps_of(&counts, &kept),
            [(PortPrediction, Requester, Reason::Foretold), turns]
        );
        assert_eq!(
            steps_of(&kept, &counts),
            [(PortPrediction, Responder, Reason::Foretold), turns]
        );
        // Nobody could be dialled by a port that is known.
        assert_eq!(steps_of(&counts, &counts), [turns]);
    }
}

#[test]
fn simultaneous_open_is_raced_beside_what_may_miss() {
    let able = side(cone(EarlySyn::Reset), SPOOF);
    let plan = Plan::new(&able, &able, Strategies::ANY);
    let raced: std::vec::Vec<_> = plan.steps.iter().map(|step| step.raced).collect();
    assert_eq!(raced, [true, true, true, false]);
}

#[test]
fn the_steps_come_round_again() {
    let plain = |report| side(report, PLAIN);
    let plan = Plan::new(
        &plain(cone(EarlySyn::Silence)),
        &plain(cone(EarlySyn::Reset)),
        Strategies::ANY,
    );
    let at = |round| plan.step(round).map(|step| step.strategy);
    assert!(!plan.begins_fresh());
    assert_eq!(
        [0, 1, 2, 3].map(at),
        [SimultaneousOpen, Sequential, SimultaneousOpen, Sequential].map(Some)
    );

    let foretold = Plan::new(
        &plain(cone(EarlySyn::Silence)),
        &plain(symmetric(Allocation::Step(1))),
        Strategies::ANY,
    );
    assert!(foretold.begins_fresh());
    assert_eq!(foretold.step(0), None);
    assert_eq!(
        foretold.step(1).map(|step| step.strategy),
        Some(PortPrediction)
    );
    assert!(foretold.step(1).is_some_and(Step::needs_fresh_ports));

    assert_eq!(Plan::default().step(0), None);
    assert_eq!(Plan::default().step(1), None);
}

#[test]
fn every_reason_says_something_of_its_own() {
    let all = [
        Reason::Open,
        Reason::NothingPunished,
        Reason::Aimed,
        Reason::DiesBefore,
        Reason::AnswersFirst,
        Reason::AddressSuffices,
        Reason::Foretold,
        Reason::ByChance,
        Reason::NoSynNeeded,
        Reason::Again,
        Reason::TurnsAround,
        Reason::LastResort,
    ];
    let words = all.map(|reason| std::format!("{reason}"));
    for (index, one) in words.iter().enumerate() {
        assert!(!one.is_empty());
        assert!(!words[..index].contains(one), "{one}");
    }
}
