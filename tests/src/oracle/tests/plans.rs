//! Plans, which know only what the peers found out, against the oracle, which knows what is there.

use std::collections::HashMap;

use tcp_punch_proto::nat::{EarlySyn, Filtering};
use tcp_punch_proto::noise::Role;
use tcp_punch_proto::plan::{Abilities, Step};
use tcp_punch_proto::wire::Side;
use tcp_punch_proto::{Candidate, CandidateKind, Candidates, Endpoint, NatReport};
use tcp_punch_proto::{Plan, Strategies, Strategy};

use super::boxes::{able, case, meaningful, names, preset};
use crate::natbox::{Config, Hairpin};
use crate::oracle::{Case, Chance, Chances, Host, Server, Topology, report_of};

const STEADY_US: u32 = 1_000;
const UNSTEADY_US: u32 = 80_000;

/// What the server tells of a side; peers behind one NAT have one address.
fn side(report: NatReport, host: &Host, jitter_us: u32, address: u8) -> Side {
    let mapped = Candidate {
        kind: CandidateKind::Mapped,
        endpoint: Endpoint::new([198, 51, 100, address].into(), 40_000),
    };
    Side {
        rtt_us: 40_000,
        jitter_us,
        report,
        abilities: host.abilities,
        window: 0,
        candidates: Candidates::from_iter([mapped]),
    }
}

/// All that peers with such abilities may be set to.
fn abilities() -> Vec<Abilities> {
    let mut all = Vec::new();
    for hops in [None, Some(2)] {
        for (raw, spoof) in [(false, false), (true, false), (true, true)] {
            for dials in [8, 256] {
                all.push(Abilities {
                    hops,
                    raw,
                    spoof,
                    dials,
                });
            }
        }
    }
    all
}

/// What both sides may want: the default, everything, and each strategy by itself.
fn wishes() -> Vec<Strategies> {
    Strategy::ALL
        .into_iter()
        .filter(|strategy| *strategy != Strategy::HostCandidates)
        .map(Strategies::only)
        .chain([Strategies::default(), Strategies::ANY])
        .collect()
}

/// The best that the oracle expects of a step, simultaneous open included where it is raced.
fn chance(chances: &Chances, step: &Step) -> Chance {
    let raced = if step.raced {
        chances.of(Strategy::SimultaneousOpen)
    } else {
        Chance::None
    };
    chances.with_first(step.strategy, step.first).max(raced)
}

/// The best that the oracle expects at all.
fn best(chances: &Chances) -> Chance {
    let all = Strategy::ALL.map(|strategy| chances.of(strategy));
    all.into_iter().max().unwrap_or_default()
}

/// A pair of boxes, what the peers found out, and what is true.
struct Pair {
    configs: [Config; 2],
    reports: [NatReport; 2],
    chances: Chances,
}

fn pairs(host: Host, server: Server) -> Vec<Pair> {
    let boxes = meaningful();
    let mut pairs = Vec::new();
    for &a in &boxes {
        for &b in &boxes {
            let topology = Topology::apart(a, b);
            let roles = [Role::Requester, Role::Responder];
            let reports = roles.map(|role| report_of(&topology, role, server));
            pairs.push(Pair {
                configs: [a, b],
                reports,
                chances: case(topology, host).chances(),
            });
        }
    }
    pairs
}

/// What is possible for one pair or another of those that the reports could stand for.
fn by_reports(pairs: &[Pair]) -> HashMap<[NatReport; 2], Chances> {
    let mut all: HashMap<_, Chances> = HashMap::new();
    for pair in pairs {
        let chances = all.entry(pair.reports).or_default();
        *chances = chances.or(&pair.chances);
    }
    all
}

fn host(abilities: Abilities) -> Host {
    Host {
        abilities,
        ..able()
    }
}

fn plan(reports: [NatReport; 2], hosts: [&Host; 2], jitter_us: u32, allowed: Strategies) -> Plan {
    let [a, b] = reports;
    let [host_a, host_b] = hosts;
    Plan::new(
        &side(a, host_a, jitter_us, 1),
        &side(b, host_b, jitter_us, 2),
        allowed,
    )
}

#[test]
fn where_all_was_tested_the_first_step_works_and_no_step_is_hopeless() {
    for abilities in abilities() {
        let host = host(abilities);
        let pairs = pairs(host, Server::TwoAddresses);
        let expected = by_reports(&pairs);
        for (reports, chances) in &expected {
            for allowed in wishes() {
                for jitter_us in [STEADY_US, UNSTEADY_US] {
                    let plan = plan(*reports, [&host; 2], jitter_us, allowed);
                    let chances = chances.among(allowed);
                    assert_eq!(
                        plan.steps.is_empty(),
                        !chances.is_possible(),
                        "{plan:?}\n{:?}\n{host:?} {:?}\n{reports:?}",
                        names(chances.possible()),
                        names(allowed)
                    );
                    for step in &plan.steps {
                        assert!(
                            chance(&chances, step) > Chance::None,
                            "hopeless: {step:?}\n{host:?} {:?}\n{reports:?}",
                            names(allowed)
                        );
                    }
                    let mut seen: Vec<_> = Vec::new();
                    for step in &plan.steps {
                        let what = (step.strategy, step.first);
                        assert!(!seen.contains(&what), "{what:?} twice: {plan:?}");
                        seen.push(what);
                    }
                }
            }
        }
        // Plans are the same for all that look alike, so each is made once.
        for allowed in wishes() {
            let plans: HashMap<_, _> = expected
                .keys()
                .map(|reports| (reports, plan(*reports, [&host; 2], STEADY_US, allowed)))
                .collect();
            for pair in &pairs {
                let chances = pair.chances.among(allowed);
                if !chances.is_possible() {
                    continue;
                }
                let plan = &plans[&pair.reports];
                let first = plan.steps.first().expect("something is possible");
                assert!(
                    chance(&chances, first) == best(&chances),
                    "first of {plan:?}\n{:?}\n{host:?} {:?}\n{:?}",
                    names(chances.possible()),
                    names(allowed),
                    pair.configs
                );
            }
        }
    }
}

#[test]
fn what_one_side_alone_can_do_is_planned_for_that_side() {
    let knows = host(Abilities {
        hops: Some(2),
        ..Host::default().abilities
    });
    let lacks = host(Host::default().abilities);
    for config_a in meaningful() {
        for config_b in meaningful().into_iter().step_by(5) {
            let case = Case {
                a: knows,
                b: lacks,
                ..case(Topology::apart(config_a, config_b), lacks)
            };
            let reports = [Role::Requester, Role::Responder]
                .map(|role| report_of(&case.topology, role, Server::TwoAddresses));
            let plan = plan(
                reports,
                [&knows, &lacks],
                UNSTEADY_US,
                Strategies::default(),
            );
            let low = plan
                .steps
                .iter()
                .find(|step| step.strategy == Strategy::LowTtl);
            assert!(
                low.is_none_or(|step| step.first == Role::Requester),
                "{plan:?}"
            );
        }
    }
}

/// A report with parts of it not tested.
fn partly(report: NatReport, filtering: bool, early: bool, context: bool) -> NatReport {
    let mut report = report;
    if filtering {
        report.filtering = Filtering::NotTested;
    }
    if early {
        report.early_syn = EarlySyn::NotTested;
    }
    if context {
        report.hairpin = None;
        report.levels = None;
        report.preserves_port = None;
        report.seen = 0;
    }
    report
}

#[test]
fn where_not_all_was_tested_something_in_the_plan_works() {
    for abilities in [Host::default().abilities, able().abilities] {
        let host = host(abilities);
        for pair in pairs(host, Server::TwoAddresses) {
            for bits in 1..8_u8 {
                let reports = pair
                    .reports
                    .map(|report| partly(report, bits & 1 != 0, bits & 2 != 0, bits & 4 != 0));
                for allowed in [Strategies::default(), Strategies::ANY] {
                    let plan = plan(reports, [&host; 2], STEADY_US, allowed);
                    let chances = pair.chances.among(allowed);
                    let works = |step: &Step| chance(&chances, step) > Chance::None;
                    assert!(
                        !chances.is_possible() || plan.steps.iter().any(works),
                        "{plan:?}\n{:?}\n{:?}\n{reports:?}",
                        names(chances.possible()),
                        pair.configs
                    );
                }
            }
        }
    }
}

#[test]
fn a_server_with_one_address_is_enough_for_every_cone() {
    let host = host(Host::default().abilities);
    for pair in pairs(host, Server::OneAddress) {
        // It cannot tell a mapping that depends on the address from one that does not.
        let by_address =
            |config: &Config| config.mapping == crate::natbox::Mapping::AddressDependent;
        if pair.configs.iter().any(by_address) {
            continue;
        }
        let plan = plan(pair.reports, [&host; 2], STEADY_US, Strategies::default());
        let chances = pair.chances.among(Strategies::default());
        let works = |step: &Step| chance(&chances, step) > Chance::None;
        assert!(
            !chances.is_possible() || plan.steps.iter().any(works),
            "{plan:?}\n{:?}\n{:?}",
            names(chances.possible()),
            pair.configs
        );
    }
}

#[test]
fn where_nothing_was_tested_both_dial() {
    let host = host(able().abilities);
    for allowed in [Strategies::default(), Strategies::ANY] {
        let plan = plan([NatReport::default(); 2], [&host; 2], STEADY_US, allowed);
        assert!(
            plan.steps
                .iter()
                .any(|step| step.raced || step.strategy == Strategy::SimultaneousOpen)
        );
    }
}

/// Plans for two peers behind one and the same NAT, and perhaps one of their own each.
fn together(home: &[Config], shared: Config, host: Host) -> (Plan, Chances) {
    let topology = Topology {
        a: home.to_vec(),
        b: home.to_vec(),
        shared: vec![shared],
    };
    let [a, b] = [Role::Requester, Role::Responder]
        .map(|role| report_of(&topology, role, Server::TwoAddresses));
    let allowed = Strategies::ANY;
    let plan = Plan::new(
        &side(a, &host, STEADY_US, 1),
        &side(b, &host, STEADY_US, 1),
        allowed,
    );
    let host_candidates = Strategy::HostCandidates;
    let chances = case(topology, host).chances();
    (plan, chances.among(allowed.without(host_candidates)))
}

#[test]
fn behind_one_nat_the_public_endpoints_are_good_for_what_the_oracle_says() {
    for abilities in abilities() {
        for config in meaningful() {
            if config.mapping == crate::natbox::Mapping::Untranslated {
                continue;
            }
            for hairpin in [Hairpin::OuterSource, Hairpin::InnerSource, Hairpin::Refuse] {
                let shared = Config { hairpin, ..config };
                let (plan, chances) = together(&[], shared, host(abilities));
                assert_eq!(
                    plan.steps.is_empty(),
                    !chances.is_possible(),
                    "{plan:?} {shared:?}"
                );
                for step in &plan.steps {
                    assert!(chance(&chances, step) > Chance::None, "{step:?} {shared:?}");
                }
            }
        }
    }
}

#[test]
fn behind_one_carrier_the_plan_tries_although_the_report_tells_nothing_of_it() {
    let home = preset("drop");
    for (carrier, possible) in [("hairpin", true), ("drop", false)] {
        let (plan, chances) = together(&[home], preset(carrier), able());
        assert_eq!(chances.is_possible(), possible);
        let first = plan
            .steps
            .first()
            .expect("the outer level may turn packets around");
        assert_eq!(first.strategy, Strategy::SimultaneousOpen);
    }
}

#[test]
fn several_levels_are_planned_for_as_one() {
    let host = host(able().abilities);
    for inner in [
        "drop",
        "rst",
        "address-restricted",
        "full-cone",
        "stateless",
    ] {
        for outer in ["drop", "rst", "full-cone", "symmetric", "symmetric-seq"] {
            for other in [
                "drop",
                "icmp",
                "address-restricted",
                "full-cone",
                "symmetric",
            ] {
                let topology = Topology {
                    a: vec![preset(inner), preset(outer)],
                    b: vec![preset(other)],
                    shared: Vec::new(),
                };
                let reports = [Role::Requester, Role::Responder]
                    .map(|role| report_of(&topology, role, Server::TwoAddresses));
                let plan = plan(reports, [&host; 2], STEADY_US, Strategies::ANY);
                let chances = case(topology, host).chances();
                assert_eq!(
                    plan.steps.is_empty(),
                    !chances.is_possible(),
                    "{inner}+{outer} / {other}: {plan:?} {:?}",
                    names(chances.possible())
                );
                if let Some(first) = plan.steps.first() {
                    assert!(
                        chance(&chances, first) > Chance::None,
                        "{inner}+{outer} / {other}"
                    );
                }
            }
        }
    }
}
