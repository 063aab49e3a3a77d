use std::net::Ipv4Addr;

use super::*;

#[test]
fn every_kind_is_found_by_its_name() {
    for kind in KINDS {
        assert!(
            kind.as_box().is_some(),
            "{kind} can be played without a kernel"
        );
        assert_eq!(NatKind::named(kind.name), Some(kind));
    }
    assert_eq!(NatKind::named("none"), None);
}

#[test]
fn rulesets_have_balanced_braces_and_the_outer_address_where_needed() {
    let outer = Ipv4Addr::new(198, 51, 100, 1);
    for kind in KINDS {
        let rules = kind.ruleset(outer);
        assert_eq!(
            rules.matches('{').count(),
            rules.matches('}').count(),
            "{}",
            kind.name
        );
    }
    assert!(
        NatKind::named("hairpin")
            .unwrap()
            .ruleset(outer)
            .contains("snat to 198.51.100.1")
    );
}

#[test]
fn ports_in_steps_of_256_are_each_given_out_once_a_turn() {
    let rules = NatKind::named("symmetric-256")
        .unwrap()
        .ruleset(Ipv4Addr::new(198, 51, 100, 1));
    assert!(rules.contains("numgen inc mod 7999 map { 0 : 40000, 1 : 40256, 2 : 40512,"));
    let (_, map) = rules.split_once("map { 0 : ").unwrap();
    let (map, _) = map.split_once('}').unwrap();
    let mut ports: Vec<&str> = map.split(", ").map(|pair| pair.trim()).collect();
    let all = ports.len();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!((all, ports.len()), (7999, 7999));
}

#[test]
fn ipv6_has_the_kinds_that_only_filter() {
    let names: Vec<_> = KINDS
        .into_iter()
        .filter(|kind| kind.is_for_ipv6())
        .map(|kind| kind.name)
        .collect();
    assert_eq!(names, ["drop", "rst-rule", "rst", "icmp", "icmp-admin"]);
}

#[test]
fn a_prefix_says_who_plays_the_nat() {
    let (kernel, either) = (NatKind::named("kernel:rst"), NatKind::named("rst"));
    let (kernel, either) = (kernel.unwrap(), either.unwrap());
    assert_eq!(kernel.to_string(), "kernel:rst");
    assert_eq!(kernel.ruleset([1; 4].into()), either.ruleset([1; 4].into()));
    let boxed = NatKind::named("box:rst").unwrap();
    assert_eq!(either.made_by(Maker::Boxes), boxed);
    assert_eq!(either.made_by(Maker::Kernel), either);
    for kind in [kernel, boxed] {
        assert_eq!(kind.made_by(Maker::Boxes), kind);
        assert_eq!(kind.made_by(Maker::Kernel), kind);
    }
    assert_eq!(boxed.to_string(), "box:rst");
    assert_eq!(NatKind::named("rst").unwrap().as_box(), Some(boxed));
    assert!(NatKind::named("box:hold").is_some() && NatKind::named("hold").is_none());
    assert_eq!(NatKind::named("box:none"), None);
}

#[test]
fn a_box_is_for_the_same_networks_as_the_kernels_nat() {
    for kind in KINDS {
        let boxed = kind.as_box().unwrap();
        assert_eq!(boxed.is_symmetric(), kind.is_symmetric(), "{kind}");
        assert!(!kind.is_for_ipv6() || boxed.is_for_ipv6(), "{kind}");
    }
}
