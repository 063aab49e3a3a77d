//! Where two peers can be.

use tcp_punch_tests::natbox::{Hairpin, Mapping, PRESETS, preset};
use tcp_punch_tests::world::net::Nat;
use tcp_punch_tests::world::{A, Builder, Site};

type Pair = (Site, Site);

/// The presets that differ; walls are for IPv6, the others are not.
fn presets(walls: bool) -> Vec<(&'static str, Nat)> {
    let mut found: Vec<(&str, Nat)> = Vec::new();
    for preset in PRESETS {
        let nat = preset.config;
        let is_wall = nat.mapping == Mapping::Untranslated;
        if is_wall == walls && !found.iter().any(|(_, known)| *known == nat) {
            found.push((preset.name, nat));
        }
    }
    found
}

/// Home routers and the carriers before them.
const LEVELS: [(&str, &str); 9] = [
    ("drop", "drop"),
    ("drop", "rst"),
    ("rst", "drop"),
    ("icmp", "address-restricted"),
    ("full-cone", "full-cone"),
    ("drop", "symmetric"),
    ("full-cone", "symmetric-seq"),
    ("symmetric", "drop"),
    ("drop", "eim-random"),
];

fn named(name: &str) -> Nat {
    preset(name).expect("a preset")
}

fn v4_sites() -> Vec<(String, Site)> {
    let own = presets(false).into_iter();
    let own = own.map(|(name, nat)| (name.to_owned(), Site::Behind(nat)));
    let two = LEVELS.map(|(home, carrier)| {
        let site = Site::Nested(named(home), named(carrier));
        (format!("{home}+{carrier}"), site)
    });
    let open = ("none".to_owned(), Site::Public);
    own.chain(two).chain([open]).collect()
}

fn v6_sites() -> Vec<(String, Site)> {
    let own = presets(true).into_iter();
    let own = own.map(|(name, nat)| (name.to_owned(), Site::Behind(nat)));
    own.chain([("none".to_owned(), Site::Public)]).collect()
}

/// What else a world of that family needs.
type Family = fn(Builder) -> Builder;

/// Every two sites, peers apart.
pub(crate) fn pairs() -> Vec<(String, Pair, Family)> {
    let mut pairs = Vec::new();
    let families: [(&str, _, Family); 2] = [
        ("v4", v4_sites(), |builder| builder),
        ("v6", v6_sites(), Builder::v6),
    ];
    for (family, sites, builder) in families {
        for (name_a, a) in &sites {
            for (name_b, b) in &sites {
                pairs.push((format!("{family} {name_a} / {name_b}"), (*a, *b), builder));
            }
        }
    }
    pairs
}

/// Peers behind one NAT, and such whose homes are behind one carrier: with who
/// names its router's address there.
pub(crate) fn together() -> Vec<(String, Pair, (bool, bool))> {
    let mut all = Vec::new();
    for (name, nat) in presets(false) {
        for hairpin in [Hairpin::Refuse, Hairpin::OuterSource, Hairpin::InnerSource] {
            let shared = Nat { hairpin, ..nat };
            let sites = (Site::Behind(shared), Site::With(A));
            all.push((format!("one {name} {hairpin:?}"), sites, (false, false)));
        }
    }
    let homes = [
        "drop",
        "rst",
        "full-cone",
        "symmetric",
        "symmetric-seq",
        "eim-random",
    ];
    for carrier in ["drop", "rst", "symmetric"] {
        for hairpin in [Hairpin::Refuse, Hairpin::OuterSource] {
            let shared = Nat {
                hairpin,
                ..named(carrier)
            };
            for home_a in homes {
                for home_b in homes {
                    for routers in [(false, false), (true, true), (true, false), (false, true)] {
                        let sites = (
                            Site::Nested(named(home_a), shared),
                            Site::BehindToo(A, named(home_b)),
                        );
                        let name = format!("carrier {carrier} {hairpin:?} of {home_a} / {home_b}");
                        all.push((name, sites, routers));
                    }
                }
            }
        }
    }
    all
}
