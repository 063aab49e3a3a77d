//! Every pair of places where two peers can be: they get a stream if and only if
//! the oracle says so, and by what it says.
//!
//! What is a matter of luck has tests of its own (`world_chance`).

mod matrix;

use matrix::{Case, Expected, Knowledge, expected, run_all};
use tcp_punch_proto::Strategies;
use tcp_punch_tests::world::{A, B, Consent, World, seeds};

/// Round trips in milliseconds: A to the server, B to the server, A to B.
const RTTS: [(u64, u64, u64); 3] = [(40, 40, 80), (20, 120, 80), (100, 60, 20)];

/// Each pair of sites over each of the paths, consent asked for and given in
/// advance, every time with other seeds.
fn cases(knowledge: Knowledge, paths: &[(u64, u64, u64)], count: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for (names, sites, builder) in matrix::pairs() {
        for (path, &(a, b, between)) in (0..).zip(paths) {
            for (asked, consent) in [(0, Consent::InAdvance), (1, Consent::Allow)] {
                for seed in seeds(count).map(|seed| seed + 100 * path + 1_000 * asked) {
                    let builder = builder(World::builder(seed));
                    let builder = builder
                        .rtts(a, b, between)
                        .consent(consent.clone())
                        .peer(A, |peer| peer.site = sites.0)
                        .peer(B, |peer| peer.site = sites.1);
                    cases.push(Case {
                        label: format!("{names} rtts {a} {b} {between} {consent:?} seed {seed}"),
                        builder,
                        allowed: Strategies::default(),
                        knowledge,
                    });
                }
            }
        }
    }
    cases
}

/// Two peers that share a NAT, their own or a carrier's.
fn together(knowledge: Knowledge, count: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for (names, sites, routers) in matrix::together() {
        for hosts in [true, false] {
            if !hosts && routers != (false, false) {
                // Routers' addresses are tried as those of hosts are.
                continue;
            }
            for consent in [Consent::InAdvance, Consent::Allow] {
                for seed in seeds(count) {
                    let builder = World::builder(seed)
                        .consent(consent.clone())
                        .peer(A, |peer| {
                            (peer.site, peer.names_router) = (sites.0, routers.0);
                        })
                        .peer(B, |peer| {
                            (peer.site, peer.names_router) = (sites.1, routers.1);
                        });
                    let mut allowed = Strategies::default();
                    if !hosts {
                        allowed = allowed.without(tcp_punch_proto::Strategy::HostCandidates);
                    }
                    cases.push(Case {
                        label: format!(
                            "{names} routers {routers:?} hosts {hosts} {consent:?} seed {seed}"
                        ),
                        builder,
                        allowed,
                        knowledge,
                    });
                }
            }
        }
    }
    cases
}

#[test]
fn whoever_knows_its_nat_gets_a_stream_where_one_can_be_had() {
    run_all(cases(Knowledge::Complete, &RTTS, 1));
}

#[test]
fn whoever_asks_at_once_gets_one_too() {
    run_all(cases(Knowledge::Partial, &RTTS[..1], 1));
}

#[test]
fn behind_one_nat_or_one_carrier() {
    run_all(together(Knowledge::Complete, 1));
}

#[test]
fn behind_one_nat_or_one_carrier_and_at_once() {
    run_all(together(Knowledge::Partial, 1));
}

#[test]
fn the_matrix_holds_what_can_be_had_and_what_cannot() {
    let all = cases(Knowledge::Complete, &RTTS[..1], 1);
    let count = |wanted| all.iter().filter(|case| expected(case) == wanted).count();
    assert!(count(Expected::Stream) > 500, "{}", count(Expected::Stream));
    assert!(
        count(Expected::Nothing) > 50,
        "{}",
        count(Expected::Nothing)
    );
}
