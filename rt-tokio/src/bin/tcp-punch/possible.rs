//! Which strategies two NATs allow, by the same rules as the peers'.

use tcp_punch_tokio::{
    Abilities, Allocation, EarlySyn, Filtering, Mapping, NatReport, Plan, Side, Strategies,
    Strategy,
};

/// What a Linux host behind one NAT has, of what a plan may ask for.
const USUAL: Abilities = Abilities {
    hops: Some(2),
    raw: false,
    spoof: false,
    dials: 64,
};

/// With everything that somebody could turn on.
const ALL: Abilities = Abilities {
    hops: Some(2),
    raw: true,
    spoof: false,
    dials: 1_280,
};

fn side(report: &NatReport, abilities: Abilities) -> Side {
    Side {
        report: *report,
        abilities,
        ..Side::default()
    }
}

/// What would be tried, in this order, if both sides allowed this.
fn strategies(
    own: &NatReport,
    other: &NatReport,
    abilities: Abilities,
    allowed: Strategies,
) -> Vec<Strategy> {
    let plan = Plan::new(&side(own, abilities), &side(other, abilities), allowed);
    plan.steps.iter().map(|step| step.strategy).collect()
}

/// What a NAT here is good for with one kind of other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Against {
    /// The other side's kind.
    pub(crate) other: &'static str,
    /// What is tried, in this order.
    pub(crate) strategies: Vec<Strategy>,
    /// Whether that needs `--birthday` at both sides.
    pub(crate) by_chance: bool,
}

/// The kinds of other sides that are met.
fn kinds() -> [(&'static str, NatReport); 6] {
    let cone = |filtering, early_syn| NatReport {
        translated: Some(true),
        mapping: Mapping::EndpointIndependent,
        filtering,
        early_syn,
        levels: Some(1),
        seen: 1,
        ..NatReport::default()
    };
    let symmetric = |allocation| NatReport {
        mapping: Mapping::AddressAndPortDependent,
        allocation,
        ..cone(Filtering::AddressAndPortDependent, EarlySyn::Silence)
    };
    let restricted = Filtering::AddressAndPortDependent;
    [
        ("full cone", cone(Filtering::Open, EarlySyn::NotTested)),
        (
            "restricted cone",
            cone(Filtering::AddressDependent, EarlySyn::Silence),
        ),
        (
            "port-restricted cone, silent",
            cone(restricted, EarlySyn::Silence),
        ),
        (
            "port-restricted cone, answers RST",
            cone(restricted, EarlySyn::Reset),
        ),
        ("symmetric, ports in steps", symmetric(Allocation::Step(1))),
        ("symmetric, ports at random", symmetric(Allocation::Random)),
    ]
}

/// What this NAT allows with each kind of other side.
pub(crate) fn against_all(own: &NatReport) -> Vec<Against> {
    let with = |other: &NatReport, allowed| strategies(own, other, USUAL, allowed);
    kinds()
        .into_iter()
        .map(|(kind, other)| {
            let strategies = with(&other, Strategies::default());
            if strategies.is_empty() {
                let strategies = with(&other, Strategies::ANY);
                Against {
                    other: kind,
                    by_chance: !strategies.is_empty(),
                    strategies,
                }
            } else {
                Against {
                    other: kind,
                    strategies,
                    by_chance: false,
                }
            }
        })
        .collect()
}

/// What could have been tried besides `tried`, as a sentence about what to do at
/// both sides; `None` where there is nothing.
pub(crate) fn what_else(own: &NatReport, other: &NatReport, tried: &Plan) -> Option<String> {
    let is_new = |strategy: &Strategy| !tried.steps.iter().any(|step| step.strategy == *strategy);
    let usual = strategies(own, other, USUAL, Strategies::default());
    let all = strategies(own, other, ALL, Strategies::ANY);
    if let Some(strategy) = usual.iter().find(|strategy| is_new(strategy)) {
        let how = if *strategy == Strategy::LowTtl {
            "give --hops 2 (one more than there are NATs here)"
        } else {
            "leave --strategy away at both sides"
        };
        return Some(format!("{strategy} could come through: {how}"));
    }
    if all.contains(&Strategy::Birthday) && is_new(&Strategy::Birthday) {
        return Some(
            "birthday could come through: give --birthday at both sides (its help says what it costs)"
                .to_owned(),
        );
    }
    if all.contains(&Strategy::CraftedSynAck) && is_new(&Strategy::CraftedSynAck) {
        return Some(
            "crafted-syn-ack could come through where the NATs do not mind sequence numbers: give --raw \
             at both sides, with CAP_NET_RAW"
                .to_owned(),
        );
    }
    if own.mapping.is_dependent() && other.mapping.is_dependent() {
        return Some(
            "no strategy comes through two symmetric NATs: forward a port at one side, or use IPv6"
                .to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> NatReport {
        kinds().into_iter().find(|kind| kind.0 == name).unwrap().1
    }

    #[test]
    fn two_symmetric_nats_have_nothing_and_it_is_said() {
        let own = kind("symmetric, ports at random");
        let table = against_all(&own);
        assert_eq!(table[0].strategies, [Strategy::Dial]);
        assert!(table[4].strategies.is_empty() && table[5].strategies.is_empty());
        let advice = what_else(&own, &own, &Plan::default()).unwrap();
        assert!(advice.contains("IPv6"), "{advice}");
    }

    #[test]
    fn random_ports_against_a_strict_filter_want_birthday() {
        let (own, other) = (
            kind("symmetric, ports at random"),
            kind("port-restricted cone, silent"),
        );
        assert!(against_all(&own)[2].by_chance);
        let advice = what_else(&own, &other, &Plan::default()).unwrap();
        assert!(advice.contains("--birthday at both sides"), "{advice}");
    }

    #[test]
    fn what_was_tried_is_not_proposed_again() {
        let (own, other) = (
            kind("port-restricted cone, silent"),
            kind("port-restricted cone, answers RST"),
        );
        let plan = |abilities| {
            Plan::new(
                &side(&own, abilities),
                &side(&other, abilities),
                Strategies::default(),
            )
        };
        let without_hops = Abilities {
            hops: None,
            ..USUAL
        };
        let advice = what_else(&own, &other, &plan(without_hops)).unwrap();
        assert!(advice.contains("--hops"), "{advice}");
        let advice = what_else(&own, &other, &plan(USUAL)).unwrap();
        assert!(advice.contains("--raw"), "{advice}");
        assert_eq!(what_else(&own, &other, &plan(ALL)), None);
    }
}
