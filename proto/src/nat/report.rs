//! The report, in the words of RFC 4787, RFC 5382 and their classic names.

use core::fmt;

use crate::event::Mapping;

/// Which port a NAT takes for a mapping that depends on the destination.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Allocation {
    /// The mapping does not depend on it, or not enough was seen.
    #[default]
    Unknown,
    /// The last one and so many more: it can be foretold.
    Step(i16),
    /// No rule that was seen.
    Random,
}

/// Who gets in through a mapping that exists (RFC 4787 section 5).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Filtering {
    /// Nobody tried, or only from where it tells nothing.
    #[default]
    NotTested,
    /// Anybody.
    Open,
    /// Whose address was contacted, from any port.
    AddressDependent,
    /// Whose address and port were contacted.
    AddressAndPortDependent,
    /// Not who comes from another port of a contacted address; whether others
    /// would was not tested, and they would hardly.
    NotOpen,
}

/// What a NAT answers to a SYN that it does not let in (RFC 5382 REQ-4).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum EarlySyn {
    /// Nobody tried, or all got in.
    #[default]
    NotTested,
    /// Nothing: the other side retransmits and may get in later.
    Silence,
    /// RST: the other side's dial is dead, and its own NAT forgets it.
    Reset,
    /// An ICMP error: the other side's dial is dead, its NAT remembers.
    Unreachable,
}

impl EarlySyn {
    /// Whether a SYN that comes too early costs the other side its dial; so it
    /// is planned for as long as it was not tested.
    pub const fn punishes(self) -> bool {
        !matches!(self, Self::Silence)
    }
}

/// What is known of a peer's NAT. `None` and the `NotTested` values: not tested.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NatReport {
    /// Whether there is a NAT at all: the server sees the host under another
    /// address than its own.
    pub translated: Option<bool>,
    /// On what the mapping depends.
    pub mapping: Mapping,
    /// Whether the mapping was seen from two addresses of the server; if not,
    /// "endpoint-independent" may still be address-dependent.
    pub mapping_from_two_addresses: bool,
    /// The rule of the ports, where the mapping depends on the destination.
    pub allocation: Allocation,
    /// Whether the outer port is the inner one.
    pub preserves_port: Option<bool>,
    /// Who gets in.
    pub filtering: Filtering,
    /// What the others hear.
    pub early_syn: EarlySyn,
    /// Whether a host behind the NAT reaches another one at its outer endpoint.
    pub hairpin: Option<bool>,
    /// Routers with private addresses on the way out, the first of them the
    /// nearest: as many NATs at most, and as a rule.
    pub levels: Option<u8>,
    /// How often in a row this was found, this time included; 0: not tested.
    pub seen: u8,
    /// Rises with each report that differs from the one before.
    pub revision: u16,
}

impl NatReport {
    /// Nothing is known.
    pub const NOT_TESTED: Self = Self {
        translated: None,
        mapping: Mapping::Unknown,
        mapping_from_two_addresses: false,
        allocation: Allocation::Unknown,
        preserves_port: None,
        filtering: Filtering::NotTested,
        early_syn: EarlySyn::NotTested,
        hairpin: None,
        levels: None,
        seen: 0,
        revision: 0,
    };

    /// The classic name (RFC 3489 section 5), where enough is known for one.
    pub const fn classic_name(&self) -> &'static str {
        match (self.translated, self.mapping, self.filtering) {
            (Some(false), _, Filtering::Open) => "no NAT",
            (Some(false), _, Filtering::NotTested) => "no NAT, perhaps a firewall",
            (Some(false), _, _) => "no NAT, but a firewall",
            (_, Mapping::AddressDependent | Mapping::AddressAndPortDependent, _) => "symmetric",
            (_, Mapping::EndpointIndependent, Filtering::Open) => "full cone",
            (_, Mapping::EndpointIndependent, Filtering::AddressDependent) => "restricted cone",
            (
                _,
                Mapping::EndpointIndependent,
                Filtering::AddressAndPortDependent | Filtering::NotOpen,
            ) => "port-restricted cone",
            (_, Mapping::EndpointIndependent, Filtering::NotTested) => "cone of some kind",
            (_, Mapping::Unknown, _) => "unknown",
        }
    }
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("not tested"),
            Self::Step(step) => write!(f, "steps of {step}"),
            Self::Random => f.write_str("random"),
        }
    }
}

impl fmt::Display for Filtering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTested => "not tested",
            Self::Open => "open",
            Self::AddressDependent => "address-dependent",
            Self::AddressAndPortDependent => "address-and-port-dependent",
            Self::NotOpen => "not open",
        })
    }
}

impl fmt::Display for EarlySyn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTested => "not tested",
            Self::Silence => "silence",
            Self::Reset => "RST",
            Self::Unreachable => "ICMP",
        })
    }
}
