//! What must hold of the oracle whatever the boxes are.

use std::time::Duration;

use tcp_punch_proto::noise::Role;
use tcp_punch_proto::plan::Abilities;
use tcp_punch_proto::{Strategies, Strategy};

use super::boxes::{able, case, meaningful, opener};
use crate::natbox::{Config, Early, Filtering, Hairpin, PRESETS};
use crate::oracle::{Case, Chance, Chances, Host, Server, Stack, Topology, report_of};

const ROLES: [Role; 2] = [Role::Requester, Role::Responder];

/// Two boxes of one level each, every pair of them.
fn pairs() -> impl Iterator<Item = Topology> {
    let boxes = meaningful();
    let others = boxes.clone();
    boxes.into_iter().flat_map(move |a| {
        others
            .clone()
            .into_iter()
            .map(move |b| Topology::apart(a, b))
    })
}

/// Shapes of up to two levels a side and up to one that is shared, of all presets.
fn shapes() -> Vec<Topology> {
    let configs: Vec<Config> = PRESETS.iter().map(|preset| preset.config).collect();
    let mut shapes = Vec::new();
    for &one in &configs {
        for &other in &configs {
            for (a, b, shared) in [
                (vec![one, other], vec![one], vec![]),
                (vec![one], vec![], vec![other]),
                (vec![one], vec![one], vec![other]),
                (vec![], vec![], vec![one, other]),
            ] {
                shapes.push(Topology { a, b, shared });
            }
        }
    }
    shapes
}

fn at_least(better: &Chances, worse: &Chances) -> bool {
    Strategy::ALL.into_iter().all(|strategy| {
        ROLES
            .into_iter()
            .all(|role| better.with_first(strategy, role) >= worse.with_first(strategy, role))
    })
}

fn best(chances: &Chances) -> Chance {
    let all = Strategy::ALL.map(|strategy| chances.of(strategy));
    all.into_iter().max().unwrap_or_default()
}

#[test]
fn who_is_a_and_who_is_b_does_not_matter() {
    for topology in pairs().step_by(7).chain(shapes()) {
        let case = Case {
            a: able(),
            b: Host {
                stack: Stack::Smoltcp,
                ..Host::default()
            },
            topology,
            ..Case::default()
        };
        let (chances, mirrored) = (case.chances(), case.clone().mirrored().chances());
        for strategy in Strategy::ALL {
            for role in ROLES {
                assert_eq!(
                    chances.with_first(strategy, role),
                    mirrored.with_first(strategy, role.other()),
                    "{strategy}: {:?}",
                    case.topology
                );
            }
        }
    }
}

#[test]
fn who_can_more_or_wants_more_gets_no_less() {
    let able = able();
    let hosts = |abilities: Abilities| Host { abilities, ..able };
    let less = [
        hosts(Abilities {
            hops: None,
            ..able.abilities
        }),
        hosts(Abilities {
            raw: false,
            ..able.abilities
        }),
        hosts(Abilities {
            spoof: false,
            ..able.abilities
        }),
        hosts(Abilities {
            dials: 8,
            ..able.abilities
        }),
        Host {
            allowed: Strategies::default(),
            ..able
        },
        Host {
            allowed: Strategies::only(Strategy::SimultaneousOpen),
            ..able
        },
    ];
    let named = Host {
        names_router: true,
        ..able
    };
    for topology in pairs().step_by(7).chain(shapes()) {
        let most = case(topology.clone(), able).chances();
        for host in less {
            let one = Case {
                a: host,
                ..case(topology.clone(), able)
            };
            assert!(at_least(&most, &one.chances()), "{host:?}: {topology:?}");
        }
        let more = case(topology.clone(), named).chances();
        assert!(at_least(&more, &most), "outer address named: {topology:?}");
    }
}

#[test]
fn a_deaf_stack_gets_no_less() {
    for topology in pairs().step_by(7).chain(shapes()) {
        let deaf = Host {
            stack: Stack::Smoltcp,
            ..able()
        };
        let hears = case(topology.clone(), able()).chances();
        assert!(
            at_least(&case(topology.clone(), deaf).chances(), &hears),
            "{topology:?}"
        );
    }
}

#[test]
fn a_box_that_lets_more_in_takes_nothing_away() {
    for topology in pairs() {
        let before = case(topology.clone(), able()).chances();
        let Some(a) = opener(topology.a[0]) else {
            continue;
        };
        let opened = Topology::apart(a, topology.b[0]);
        let after = case(opened, able()).chances();
        let possible = before.possible();
        assert_eq!(after.possible().and(possible), possible, "{topology:?}");
        // One strategy may come to depend on luck, but then another one is sure.
        assert!(best(&after) >= best(&before), "{topology:?}");
    }
    // Of several levels, the next one may answer what this one dropped: then it takes another strategy.
    for topology in shapes() {
        let before = case(topology.clone(), Host::default()).chances();
        let open = |configs: &[Config]| configs.iter().map(|&c| opener(c).unwrap_or(c)).collect();
        let opened = Topology {
            a: open(&topology.a),
            b: open(&topology.b),
            shared: topology.shared.clone(),
        };
        let after = case(opened, Host::default()).chances();
        assert!(after.is_possible() || !before.is_possible(), "{topology:?}");
    }
}

#[test]
fn what_decides_nothing_changes_nothing() {
    for topology in pairs().step_by(11) {
        let before = case(topology.clone(), able()).chances();
        let [a, b] = [topology.a[0], topology.b[0]];
        for same in [
            // Nobody of the other side comes from inside.
            Config {
                hairpin: Hairpin::OuterSource,
                ..a
            },
            Config { most: 7, ..a },
        ] {
            let after = case(Topology::apart(same, b), able()).chances();
            assert_eq!(after, before, "{topology:?}");
        }
        if a.early == Early::Drop {
            let early = Early::Hold(Duration::from_secs(6));
            let held = Topology::apart(Config { early, ..a }, b);
            assert_eq!(case(held, able()).chances(), before, "{topology:?}");
        }
    }
}

#[test]
fn luck_is_only_where_ports_are_guessed_or_entries_get_mixed_up() {
    let guessing = Strategies::only(Strategy::PortPrediction).with(Strategy::Birthday);
    for topology in pairs().step_by(7) {
        let open = [&topology.a, &topology.b]
            .iter()
            .any(|own| own[0].filtering == Filtering::Open);
        let mut case = case(topology, able());
        case.around.traffic = true;
        let lucky = case.chances().by_luck();
        assert!(open || lucky.and(guessing) == lucky, "{case:?}");
    }
}

#[test]
fn a_strict_box_is_not_seen() {
    for config in meaningful().into_iter().filter(|config| !config.strict_syn) {
        let strict = Config {
            strict_syn: true,
            filtering: Filtering::AddressAndPortDependent,
            firewall: Filtering::AddressAndPortDependent,
            ..config
        };
        let closed = Config {
            strict_syn: false,
            ..strict
        };
        let of = |config| {
            let topology = Topology::apart(config, config);
            report_of(&topology, Role::Requester, Server::TwoAddresses)
        };
        assert_eq!(of(strict), of(closed));
    }
}

#[test]
fn a_stream_by_plain_sockets_needs_one_syn_that_gets_in() {
    let plain = Strategies::default();
    let host = Host {
        allowed: plain,
        ..Host::default()
    };
    for topology in pairs().step_by(3) {
        let chances = case(topology.clone(), host).chances();
        let strict = topology.a[0].strict_syn && topology.b[0].strict_syn;
        assert!(!(strict && chances.is_possible()), "{topology:?}");
        // Whatever works at all by endpoints that are known works by simultaneous open.
        for strategy in [Strategy::Dial, Strategy::Sequential, Strategy::LowTtl] {
            let of = chances.of(strategy);
            assert!(
                of == Chance::None || chances.of(Strategy::SimultaneousOpen) > Chance::None,
                "{strategy}: {topology:?}"
            );
        }
    }
}
