//! What was measured on real kernels, row by row: two peers behind one NAT.

use tcp_punch_proto::Strategy;

use super::boxes::{case, levels, names, plain, preset};
use crate::natbox::{Config, Hairpin};
use crate::oracle::{Case, Chance, Host, Topology};

use Chance::{None as Never, Sure};

/// What is left of a set without the privileged strategies.
fn by_ordinary_sockets(case: &Case) -> Vec<&'static str> {
    names(case.chances().possible())
}

#[test]
fn behind_one_nat() {
    let home = |name: &str| plain(levels(&[], &[], &[name]));
    assert_eq!(by_ordinary_sockets(&home("drop")), ["host-candidates"]);
    assert_eq!(
        by_ordinary_sockets(&home("hairpin-inner")),
        ["host-candidates"]
    );
    assert_eq!(
        by_ordinary_sockets(&home("hairpin")),
        ["host-candidates", "simultaneous-open", "dial", "sequential"]
    );
    // The addresses are those of one network.
    assert_eq!(
        by_ordinary_sockets(&home("fw6-strict")),
        ["host-candidates", "simultaneous-open", "dial", "sequential"]
    );
}

#[test]
fn behind_one_carrier() {
    let named = Host {
        names_router: true,
        ..Host::default()
    };
    let homes = |carrier: &str| levels(&["drop"], &["drop"], &[carrier]);
    assert_eq!(by_ordinary_sockets(&plain(homes("drop"))), [""; 0]);
    assert_eq!(
        by_ordinary_sockets(&case(homes("drop"), named)),
        ["host-candidates"]
    );
    assert_eq!(
        by_ordinary_sockets(&plain(homes("hairpin"))),
        ["simultaneous-open", "sequential"]
    );
    // One of them has to be dialled, and both have to dial, because both filter.
    let one = Case {
        a: named,
        ..plain(homes("drop"))
    };
    assert_eq!(by_ordinary_sockets(&one), [""; 0]);
    // The router's port is taken for the own one.
    let random = levels(&["eim-random"], &["drop"], &["drop"]);
    assert_eq!(by_ordinary_sockets(&case(random, named)), [""; 0]);
    // A host that has no router of its own is known by its own address.
    let beside = levels(&[], &["drop"], &["drop"]);
    assert_eq!(by_ordinary_sockets(&plain(beside)), ["host-candidates"]);
}

#[test]
fn a_carrier_that_turns_packets_around_is_open_to_both() {
    let turning = Config {
        hairpin: Hairpin::OuterSource,
        ..preset("symmetric")
    };
    let topology = |home: &[&str]| Topology {
        shared: vec![turning],
        ..levels(home, home, &[])
    };
    let behind = |home: &[&str]| plain(topology(home)).chances();
    assert_eq!(behind(&["full-cone"]).of(Strategy::Dial), Sure);
    assert_eq!(behind(&["address-restricted"]).of(Strategy::Dial), Never);
    assert_eq!(
        behind(&["address-restricted"]).of(Strategy::SimultaneousOpen),
        Sure
    );
    assert_eq!(behind(&["drop"]).of(Strategy::SimultaneousOpen), Never);
}
