//! Boxes, hosts and cases in short words.

use tcp_punch_proto::plan::Abilities;
use tcp_punch_proto::{Strategies, Strategy};

use crate::natbox::{
    Allocation, Config, Early, Filtering, Mapping, Ports, Tracking, preset as named,
};
use crate::oracle::{Case, Host, Topology};

pub(super) fn preset(name: &str) -> Config {
    named(name).unwrap_or_else(|| panic!("there is no {name}"))
}

/// A host that wants everything and has every ability.
pub(super) fn able() -> Host {
    Host {
        abilities: Abilities {
            hops: Some(2),
            raw: true,
            spoof: true,
            dials: 256,
        },
        allowed: Strategies::ANY,
        ..Host::default()
    }
}

pub(super) fn case(topology: Topology, host: Host) -> Case {
    Case {
        topology,
        a: host,
        b: host,
        ..Case::default()
    }
}

pub(super) fn apart(a: &str, b: &str) -> Topology {
    Topology::apart(preset(a), preset(b))
}

pub(super) fn levels(a: &[&str], b: &[&str], shared: &[&str]) -> Topology {
    let [a, b, shared] =
        [a, b, shared].map(|names| names.iter().map(|name| preset(name)).collect());
    Topology { a, b, shared }
}

/// Two Linux hosts without privileges.
pub(super) fn plain(topology: Topology) -> Case {
    case(topology, Host::default())
}

/// The names of those in a set, for messages.
pub(super) fn names(set: Strategies) -> Vec<&'static str> {
    Strategy::ALL
        .into_iter()
        .filter(|&strategy| set.allows(strategy))
        .map(Strategy::name)
        .collect()
}

const FILTERS: [Filtering; 3] = [
    Filtering::AddressAndPortDependent,
    Filtering::AddressDependent,
    Filtering::Open,
];

const EARLY: [Early; 3] = [Early::Drop, Early::Reset, Early::PortUnreachable];

/// Boxes that differ in what matters to one level: what is translated as it is sent out, kept and not.
pub(super) fn meaningful() -> Vec<Config> {
    let ports = |allocation| Ports {
        allocation,
        ..Config::MASQUERADE.ports
    };
    let sequential = Allocation::Sequential { step: 1 };
    let mappings = [
        (Mapping::Independent, Allocation::Preserve),
        (Mapping::Independent, Allocation::Random),
        (Mapping::AddressDependent, Allocation::Random),
        (Mapping::AddressAndPortDependent, Allocation::Random),
        (Mapping::AddressAndPortDependent, sequential),
        // As Linux: no two destinations see another port.
        (Mapping::AddressAndPortDependent, Allocation::Preserve),
        (Mapping::Untranslated, Allocation::Preserve),
    ];
    let mut boxes = Vec::new();
    for (mapping, allocation) in mappings {
        for filtering in FILTERS {
            for early in EARLY {
                for strict_syn in [false, true] {
                    for tracking in [Tracking::Strict { loose: true }, Tracking::None] {
                        boxes.push(Config {
                            mapping,
                            filtering,
                            firewall: filtering,
                            early,
                            strict_syn,
                            ports: ports(allocation),
                            tracking,
                            ..Config::MASQUERADE
                        });
                    }
                }
            }
        }
    }
    boxes
}

/// The boxes that let in one degree more.
pub(super) fn opener(config: Config) -> Option<Config> {
    let more = |filtering| match filtering {
        Filtering::AddressAndPortDependent => Some(Filtering::AddressDependent),
        Filtering::AddressDependent => Some(Filtering::Open),
        Filtering::Open => None,
    };
    Some(Config {
        filtering: more(config.filtering)?,
        firewall: more(config.firewall)?,
        ..config
    })
}
