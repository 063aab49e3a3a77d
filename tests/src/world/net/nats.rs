//! The NATs that most tests are about, by name. Every other is a
//! [`crate::natbox::Config`], too, or one of its presets.

use std::time::Duration;

pub use crate::natbox::Config as Nat;
use crate::natbox::{Allocation, Early, Filtering, Hairpin, Mapping, Ports, Timeouts};

impl Nat {
    /// Endpoint-independent mapping, address-and-port-dependent filtering,
    /// silence for early SYNs: `masquerade` with a closed firewall. For IPv6 a
    /// stateful firewall.
    #[must_use]
    pub const fn dropping() -> Self {
        Self::MASQUERADE
    }

    /// The same with RST for early SYNs: `masquerade` without a firewall.
    #[must_use]
    pub const fn resetting() -> Self {
        Self {
            early: Early::Reset,
            ..Self::MASQUERADE
        }
    }

    /// The same with ICMP unreachable.
    #[must_use]
    pub const fn unreachable() -> Self {
        Self {
            early: Early::PortUnreachable,
            ..Self::MASQUERADE
        }
    }

    /// A random port for every destination.
    #[must_use]
    pub const fn symmetric() -> Self {
        Self {
            mapping: Mapping::AddressAndPortDependent,
            ports: Ports {
                allocation: Allocation::Random,
                ..Self::MASQUERADE.ports
            },
            ..Self::MASQUERADE
        }
    }

    /// Lets anyone in to a mapped port.
    #[must_use]
    pub const fn full_cone() -> Self {
        Self {
            filtering: Filtering::Open,
            ..Self::MASQUERADE
        }
    }

    /// The same NAT with another patience for idle connections.
    #[must_use]
    pub const fn idle(self, idle: Duration) -> Self {
        Self {
            timeouts: Timeouts {
                established: idle,
                transitory: idle,
                ..self.timeouts
            },
            ..self
        }
    }

    /// The same NAT with hairpinning.
    #[must_use]
    pub const fn hairpinning(self) -> Self {
        Self {
            hairpin: Hairpin::OuterSource,
            ..self
        }
    }
}
