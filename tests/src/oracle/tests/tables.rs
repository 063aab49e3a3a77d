//! What was measured on real kernels, row by row: two peers at different places.

use tcp_punch_proto::Strategy;
use tcp_punch_proto::noise::Role;
use tcp_punch_proto::plan::Abilities;

use super::boxes::{able, apart, case, levels, plain, preset};
use crate::natbox::{Config, Filtering, Invalid};
use crate::oracle::{Case, Chance, Host, Stack, Topology};

use Chance::{None as Never, Sure};

#[test]
fn sequential_with_the_dial_kept_and_simultaneous_open() {
    let invalid = Config {
        invalid: Invalid::Drop,
        ..preset("drop")
    };
    // B dials first.
    for (what, topology, sequential, open) in [
        ("both drop", apart("drop", "drop"), Sure, Sure),
        ("both answer RST", apart("rst", "rst"), Never, Sure),
        ("A RST, B drop", apart("rst", "drop"), Never, Sure),
        ("A drop, B RST", apart("drop", "rst"), Sure, Sure),
        ("both ICMP", apart("icmp", "icmp"), Never, Sure),
        (
            "both ICMP, admin",
            apart("icmp-admin", "icmp-admin"),
            Never,
            Sure,
        ),
        (
            "INVALID dropped",
            Topology::apart(invalid, invalid),
            Sure,
            Sure,
        ),
        ("A full cone", apart("full-cone", "drop"), Sure, Sure),
        (
            "full cone / symmetric",
            apart("full-cone", "symmetric"),
            Sure,
            Sure,
        ),
        (
            "symmetric / full cone",
            apart("symmetric", "full-cone"),
            Sure,
            Sure,
        ),
        (
            "restricted / symmetric",
            apart("address-restricted", "symmetric"),
            Sure,
            Sure,
        ),
        (
            "symmetric / restricted",
            apart("symmetric", "address-restricted"),
            Sure,
            Sure,
        ),
        (
            "symmetric / port-restricted",
            apart("symmetric", "drop"),
            Never,
            Never,
        ),
        (
            "port-restricted / symmetric",
            apart("drop", "symmetric"),
            Never,
            Never,
        ),
        (
            "both symmetric",
            apart("symmetric", "symmetric"),
            Never,
            Never,
        ),
        ("IPv6, drop", apart("fw6-drop", "fw6-drop"), Sure, Sure),
        ("IPv6, RST", apart("fw6-rst", "fw6-rst"), Never, Sure),
        ("IPv6, ICMP", apart("fw6-icmp", "fw6-icmp"), Never, Sure),
        (
            "IPv6, admin",
            apart("fw6-icmp-admin", "fw6-icmp-admin"),
            Never,
            Sure,
        ),
        ("port range", apart("eim-range", "eim-range"), Sure, Sure),
        (
            "random, one port for all",
            apart("eim-random", "eim-random"),
            Sure,
            Sure,
        ),
        ("stateless", apart("stateless", "stateless"), Sure, Sure),
        ("liberal", apart("liberal", "liberal"), Sure, Sure),
        ("held for 6 s", apart("hold", "hold"), Sure, Sure),
        (
            "two levels",
            levels(&["drop", "drop"], &["drop"], &[]),
            Sure,
            Sure,
        ),
        (
            "two levels, both",
            levels(&["drop", "drop"], &["drop", "rst"], &[]),
            Sure,
            Sure,
        ),
        (
            "symmetric home",
            levels(&["symmetric", "drop"], &["drop"], &[]),
            Never,
            Never,
        ),
        (
            "symmetric carrier",
            levels(&["drop", "symmetric"], &["drop"], &[]),
            Never,
            Never,
        ),
        ("only A has one", levels(&["drop"], &[], &[]), Sure, Sure),
        ("only B has one", levels(&[], &["rst"], &[]), Sure, Sure),
        ("none", levels(&[], &[], &[]), Sure, Sure),
        ("strict on A", apart("strict", "drop"), Sure, Sure),
        ("strict on B", apart("drop", "strict"), Sure, Sure),
        ("strict on B, A RST", apart("rst", "strict"), Never, Sure),
        ("strict on both", apart("strict", "strict"), Never, Never),
        (
            "strict, IPv6",
            apart("fw6-strict", "fw6-strict"),
            Never,
            Never,
        ),
    ] {
        let chances = plain(topology).chances();
        let first = chances.with_first(Strategy::Sequential, Role::Responder);
        assert_eq!(first, sequential, "sequential: {what}");
        assert_eq!(
            chances.of(Strategy::SimultaneousOpen),
            open,
            "simultaneous open: {what}"
        );
    }
}

#[test]
fn an_icmp_error_that_the_stack_does_not_hear_of_costs_nothing() {
    let deaf = Host {
        stack: Stack::Smoltcp,
        ..Host::default()
    };
    for (name, chance) in [("icmp", Sure), ("rst", Never)] {
        let chances = case(apart(name, name), deaf).chances();
        assert_eq!(chances.of(Strategy::Sequential), chance, "{name}");
    }
}

#[test]
fn dialling_a_host_that_only_listens() {
    for (listener, chance) in [
        ("full-cone", Sure),
        ("address-restricted", Never),
        ("drop", Never),
        ("symmetric", Never),
        ("strict", Never),
    ] {
        for dialler in ["drop", "rst", "symmetric", "strict", "full-cone"] {
            let chances = plain(apart(dialler, listener)).chances();
            let dials = chances.with_first(Strategy::Dial, Role::Requester);
            assert_eq!(dials, chance, "{dialler} dials {listener}");
        }
    }
    let open_and_symmetric = Config {
        filtering: Filtering::Open,
        ..preset("symmetric")
    };
    let chances = plain(Topology::apart(open_and_symmetric, preset("symmetric"))).chances();
    assert_eq!(chances.with_first(Strategy::Dial, Role::Responder), Sure);
    assert_eq!(chances.with_first(Strategy::Dial, Role::Requester), Never);
}

#[test]
fn low_ttl_wherever_a_syn_would_be_answered() {
    let with = |hops| Host {
        abilities: Abilities {
            hops,
            ..Host::default().abilities
        },
        ..Host::default()
    };
    for (a, b) in [
        ("drop", "drop"),
        ("rst", "rst"),
        ("icmp", "icmp"),
        ("rst", "drop"),
        ("rst", "strict"),
        ("fw6-rst", "fw6-icmp"),
    ] {
        let knows = Case {
            topology: apart(a, b),
            a: with(None),
            b: with(Some(2)),
            ..Case::default()
        };
        let chances = knows.chances();
        assert_eq!(
            chances.with_first(Strategy::LowTtl, Role::Responder),
            Sure,
            "{a}, {b}"
        );
        // Who does not know how far its SYN may go cannot be the first.
        assert_eq!(
            chances.with_first(Strategy::LowTtl, Role::Requester),
            Never,
            "{a}, {b}"
        );
    }
    for (a, b) in [
        ("strict", "strict"),
        ("symmetric", "drop"),
        ("symmetric", "symmetric"),
    ] {
        let chances = case(apart(a, b), with(Some(2))).chances();
        assert_eq!(chances.of(Strategy::LowTtl), Never, "{a}, {b}");
    }
}

#[test]
fn crafted_and_spoofed_syn_acks() {
    for (a, b, crafted, spoofed) in [
        ("drop", "drop", Never, Sure),
        ("rst", "rst", Never, Sure),
        ("icmp", "icmp", Never, Sure),
        ("strict", "strict", Never, Sure),
        ("full-cone", "address-restricted", Never, Sure),
        ("stateless", "stateless", Sure, Sure),
        ("stateless", "drop", Never, Sure),
        ("liberal", "liberal", Sure, Sure),
        ("symmetric", "drop", Never, Never),
    ] {
        let mut case = case(apart(a, b), able());
        let chances = case.chances();
        assert_eq!(chances.of(Strategy::CraftedSynAck), crafted, "{a}, {b}");
        assert_eq!(chances.of(Strategy::SpoofedSynAck), spoofed, "{a}, {b}");
        case.around.ingress_filter = true;
        let chances = case.chances();
        assert_eq!(chances.of(Strategy::CraftedSynAck), crafted, "{a}, {b}");
        assert_eq!(chances.of(Strategy::SpoofedSynAck), Never, "{a}, {b}");
    }
    let mut unprivileged = case(apart("stateless", "stateless"), able());
    unprivileged.b.abilities.raw = false;
    let chances = unprivileged.chances();
    assert_eq!(chances.of(Strategy::CraftedSynAck), Never);
    assert_eq!(chances.of(Strategy::SpoofedSynAck), Never);
}
