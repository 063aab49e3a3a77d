//! The NATs of the lab: what each kind does, and the nftables ruleset that makes the kernel do it; or the box that
//! does it in this process instead.
//!
//! A kind is data, three answers and a switch; the ruleset is put together from them. The words are those of
//! RFC 4787 and RFC 5382.

mod ruleset;

use std::fmt;

use super::means::Maker;
use crate::natbox::{
    Config, Early as BoxEarly, Filtering as BoxFiltering, Hairpin, Mapping as BoxMapping, PRESETS,
};

/// Which outer port an inner endpoint gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mapping {
    /// The inner port where it is free, the same for all destinations.
    Preserving,
    /// A port of a range, the same for all destinations.
    Range,
    /// A random port, the same for all destinations.
    Random,
    /// A random port for each destination.
    SymmetricRandom,
    /// The next port for each destination, that much higher.
    SymmetricNext { step: u32 },
}

/// Whose packets are let in at a mapped endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filtering {
    /// Those of the endpoints that were sent to.
    Port,
    /// Those of the addresses that were sent to.
    Address,
    /// Everybody's.
    Open,
    /// As `Port`, and never a SYN without ACK.
    Strict,
}

/// What an unsolicited SYN is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Early {
    Silence,
    /// A RST, because a rule says so.
    RuleRst,
    /// A RST, because no rule is there and the kernel itself has no listener.
    KernelRst,
    PortUnreachable,
    Prohibited,
}

/// One kind of NAT, or of stateful IPv6 firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatKind {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it does, in a few words.
    pub about: &'static str,
    mapping: Mapping,
    filtering: Filtering,
    early: Early,
    hairpin: bool,
    /// Whether connections are followed; without, what goes out makes a hole, whatever its sequence numbers.
    tracked: bool,
    made: Made,
}

/// Who plays it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    /// The kernel, or the box of that name where it cannot.
    Whoever,
    /// The kernel.
    Kernel,
    /// A box, and what that does; the other fields then mean nothing.
    Box(Config),
}

/// What the others are variations of: plain `masquerade`.
const DROP: NatKind = NatKind {
    name: "drop",
    about: "masquerade; unsolicited packets are dropped",
    mapping: Mapping::Preserving,
    filtering: Filtering::Port,
    early: Early::Silence,
    hairpin: false,
    tracked: true,
    made: Made::Whoever,
};

/// All kinds, in the order in which `--help` lists them.
pub const KINDS: [NatKind; 15] = [
    DROP,
    NatKind {
        name: "rst-rule",
        about: "... answered with RST by a rule",
        early: Early::RuleRst,
        ..DROP
    },
    NatKind {
        name: "rst",
        about: "... answered with RST by the kernel itself",
        early: Early::KernelRst,
        ..DROP
    },
    NatKind {
        name: "icmp",
        about: "... answered with ICMP port unreachable",
        early: Early::PortUnreachable,
        ..DROP
    },
    NatKind {
        name: "icmp-admin",
        about: "... answered with ICMP prohibited",
        early: Early::Prohibited,
        ..DROP
    },
    NatKind {
        name: "full-cone",
        about: "lets everybody in at a mapped port",
        filtering: Filtering::Open,
        ..DROP
    },
    NatKind {
        name: "address-restricted",
        about: "lets every port of a contacted address in",
        filtering: Filtering::Address,
        ..DROP
    },
    NatKind {
        name: "symmetric",
        about: "a random port for each destination",
        mapping: Mapping::SymmetricRandom,
        ..DROP
    },
    NatKind {
        name: "symmetric-seq",
        about: "the next port for each destination",
        mapping: Mapping::SymmetricNext { step: 1 },
        ..DROP
    },
    NatKind {
        name: "symmetric-256",
        about: "... 256 further on: a counter in the other byte order",
        mapping: Mapping::SymmetricNext { step: 256 },
        ..DROP
    },
    NatKind {
        name: "eim-range",
        about: "another port range, one port for all",
        mapping: Mapping::Range,
        ..DROP
    },
    NatKind {
        name: "eim-random",
        about: "a random port, one for all",
        mapping: Mapping::Random,
        ..DROP
    },
    NatKind {
        name: "hairpin",
        about: "drop, and turns LAN packets to its own address around",
        hairpin: true,
        ..DROP
    },
    NatKind {
        name: "strict",
        about: "lets no inbound SYN pass, whoever it is from",
        filtering: Filtering::Strict,
        ..DROP
    },
    NatKind {
        name: "stateless",
        about: "follows no connection: what goes out makes a hole",
        tracked: false,
        ..DROP
    },
];

impl NatKind {
    /// The default: plain `masquerade`, unsolicited packets dropped.
    pub const DROP: Self = DROP;

    /// The kind of that name: `kernel:drop` is the kernel's, `box:drop` is the box, and `drop` is whichever of them can
    /// be had, the kernel's rather than the box.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if let Some(name) = name.strip_prefix("box:") {
            let preset = PRESETS.iter().find(|preset| preset.name == name)?;
            return Some(Self {
                name: preset.name,
                about: preset.about,
                made: Made::Box(preset.config),
                ..DROP
            });
        }
        let (name, made) = match name.strip_prefix("kernel:") {
            Some(name) => (name, Made::Kernel),
            None => (name, Made::Whoever),
        };
        let kind = KINDS.into_iter().find(|kind| kind.name == name)?;
        Some(Self { made, ..kind })
    }

    /// The box that does what this kind does, where there is one.
    #[must_use]
    pub fn as_box(self) -> Option<Self> {
        Self::named(&format!("box:{}", self.name))
    }

    /// Itself, or the box of its name where boxes play all NATs of which only the kind is said.
    #[must_use]
    pub fn made_by(self, maker: Maker) -> Self {
        match (self.made, maker) {
            (Made::Whoever, Maker::Boxes) => self.as_box().unwrap_or(self),
            (Made::Whoever, Maker::Kernel) | (Made::Kernel | Made::Box(_), _) => self,
        }
    }

    /// What the box does, where it is one.
    pub(super) fn config(self) -> Option<Config> {
        match self.made {
            Made::Box(config) => Some(config),
            Made::Whoever | Made::Kernel => None,
        }
    }

    /// Whether it can be told from `drop` where there is nothing to translate, as a firewall for IPv6.
    #[must_use]
    pub fn is_for_ipv6(self) -> bool {
        self.config().map_or_else(
            || {
                self.tracked
                    && self.mapping == Mapping::Preserving
                    && self.filtering == Filtering::Port
                    && !self.hairpin
            },
            |config| {
                let base = Config::MASQUERADE;
                config.mapping == BoxMapping::Untranslated
                    || config.mapping == base.mapping
                        && config.filtering == BoxFiltering::AddressAndPortDependent
                        && config.hairpin == Hairpin::Refuse
                        && config.ports == base.ports
                        && config.tracking == base.tracking
            },
        )
    }

    /// Whether it turns packets from inside to its own address around.
    #[must_use]
    pub fn is_hairpin(self) -> bool {
        self.config().map_or(self.hairpin, |config| {
            config.hairpin == Hairpin::OuterSource
        })
    }

    /// Whether a SYN that nobody asked for is answered at once.
    #[must_use]
    pub fn is_answering(self) -> bool {
        self.config()
            .map_or(self.early != Early::Silence, |config| {
                !matches!(config.early, BoxEarly::Drop | BoxEarly::Hold(_))
            })
    }

    /// Whether the outer port depends on the destination.
    #[must_use]
    pub fn is_symmetric(self) -> bool {
        self.config().map_or_else(
            || {
                matches!(
                    self.mapping,
                    Mapping::SymmetricRandom | Mapping::SymmetricNext { .. }
                )
            },
            |config| {
                matches!(
                    config.mapping,
                    BoxMapping::AddressDependent | BoxMapping::AddressAndPortDependent
                )
            },
        )
    }
}

impl fmt::Display for NatKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = match self.made {
            Made::Whoever => "",
            Made::Kernel => "kernel:",
            Made::Box(_) => "box:",
        };
        write!(f, "{made}{}", self.name)
    }
}

#[cfg(test)]
mod tests;
