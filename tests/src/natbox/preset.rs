//! Boxes by name. Where the lab has a kernel NAT of that name, the box does the same.

use std::time::Duration;

use super::config::{
    Allocation, Config, Early, Filtering, Hairpin, Mapping, Ports, Timeouts, Tracking,
};

/// A named configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// What it is called on command lines.
    pub name: &'static str,
    /// What it does, in a few words.
    pub about: &'static str,
    /// How.
    pub config: Config,
}

const BASE: Config = Config::MASQUERADE;

/// The kernel's dynamic maps keep an unused entry for that long.
const LEARNT: Timeouts = Timeouts {
    mapping: Duration::from_secs(300),
    ..Timeouts::LINUX
};

const FIREWALL: Config = Config {
    mapping: Mapping::Untranslated,
    ..BASE
};

const fn named(name: &'static str, about: &'static str, config: Config) -> Preset {
    Preset {
        name,
        about,
        config,
    }
}

const fn answering(base: Config, early: Early) -> Config {
    Config { early, ..base }
}

/// All presets.
pub const PRESETS: [Preset; 25] = [
    named("drop", "masquerade; unsolicited packets are dropped", BASE),
    named(
        "rst-rule",
        "... answered with RST by a rule",
        answering(BASE, Early::Reset),
    ),
    named(
        "rst",
        "... answered with RST by the NAT's own TCP",
        answering(BASE, Early::Reset),
    ),
    named(
        "icmp",
        "... answered with ICMP port unreachable",
        answering(BASE, Early::PortUnreachable),
    ),
    named(
        "icmp-admin",
        "... answered with ICMP prohibited",
        answering(BASE, Early::Prohibited),
    ),
    named(
        "hold",
        "... held for 6 s, then answered with ICMP (RFC 5382, REQ-4)",
        answering(BASE, Early::Hold(Duration::from_secs(6))),
    ),
    named(
        "full-cone",
        "lets everybody in at a mapped port",
        Config {
            filtering: Filtering::Open,
            timeouts: LEARNT,
            ..BASE
        },
    ),
    named(
        "address-restricted",
        "lets every port of a contacted address in",
        Config {
            filtering: Filtering::AddressDependent,
            timeouts: LEARNT,
            ..BASE
        },
    ),
    named(
        "symmetric",
        "a random port for each destination",
        Config {
            mapping: Mapping::AddressAndPortDependent,
            ports: Ports {
                allocation: Allocation::Random,
                ..BASE.ports
            },
            ..BASE
        },
    ),
    named(
        "symmetric-seq",
        "the next port for each destination",
        sequential(1),
    ),
    named(
        "symmetric-256",
        "... 256 further on: a counter in the other byte order",
        sequential(256),
    ),
    named(
        "eim-range",
        "another port range, one port for all",
        Config {
            ports: Ports {
                low: 40_000,
                high: 59_999,
                ..BASE.ports
            },
            ..BASE
        },
    ),
    named(
        "eim-random",
        "a random port, one for all",
        Config {
            ports: Ports {
                allocation: Allocation::Random,
                ..BASE.ports
            },
            timeouts: LEARNT,
            ..BASE
        },
    ),
    named(
        "hairpin",
        "drop, and turns LAN packets to its own address around",
        Config {
            hairpin: Hairpin::OuterSource,
            timeouts: LEARNT,
            ..BASE
        },
    ),
    named(
        "hairpin-inner",
        "... and leaves them their inner source",
        Config {
            hairpin: Hairpin::InnerSource,
            timeouts: LEARNT,
            ..BASE
        },
    ),
    named(
        "strict",
        "lets no inbound SYN pass, whoever it is from",
        Config {
            strict_syn: true,
            ..BASE
        },
    ),
    named(
        "stateless",
        "follows no connection: what goes out makes a hole",
        Config {
            tracking: Tracking::None,
            timeouts: Timeouts {
                transitory: Duration::from_secs(120),
                ..LEARNT
            },
            ..BASE
        },
    ),
    named(
        "stateless-strict",
        "... and lets no inbound SYN pass",
        Config {
            tracking: Tracking::None,
            strict_syn: true,
            timeouts: Timeouts {
                transitory: Duration::from_secs(120),
                ..LEARNT
            },
            ..BASE
        },
    ),
    named(
        "liberal",
        "looks at flags, not at sequence numbers",
        Config {
            tracking: Tracking::Liberal,
            ..BASE
        },
    ),
    named(
        "rfc5382",
        "what the RFC asks for: no overloading, held SYNs, hairpin",
        Config {
            early: Early::Hold(Duration::from_secs(6)),
            ports: Ports {
                overload: false,
                ..BASE.ports
            },
            tracking: Tracking::Liberal,
            hairpin: Hairpin::OuterSource,
            timeouts: Timeouts::RFC_5382,
            ..BASE
        },
    ),
    named(
        "fw6-drop",
        "a firewall that drops unsolicited packets",
        FIREWALL,
    ),
    named(
        "fw6-rst",
        "... answers them with RST",
        answering(FIREWALL, Early::Reset),
    ),
    named(
        "fw6-icmp",
        "... with ICMP port unreachable",
        answering(FIREWALL, Early::PortUnreachable),
    ),
    named(
        "fw6-icmp-admin",
        "... with ICMP prohibited",
        answering(FIREWALL, Early::Prohibited),
    ),
    named(
        "fw6-strict",
        "... and lets no inbound SYN pass",
        Config {
            strict_syn: true,
            ..FIREWALL
        },
    ),
];

const fn sequential(step: u16) -> Config {
    Config {
        mapping: Mapping::AddressAndPortDependent,
        ports: Ports {
            allocation: Allocation::Sequential { step },
            low: 40_000,
            high: 47_999,
            ..BASE.ports
        },
        ..BASE
    }
}

/// The configuration of that name.
#[must_use]
pub fn preset(name: &str) -> Option<Config> {
    PRESETS
        .iter()
        .find(|preset| preset.name == name)
        .map(|preset| preset.config)
}
