//! What the oracle is asked about.

use tcp_punch_proto::Strategies;
use tcp_punch_proto::noise::Role;
use tcp_punch_proto::plan::Abilities;

use crate::natbox::{Config, Mapping};

/// The boxes between each host and the internet, from the host outwards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Those that only the requester is behind.
    pub a: Vec<Config>,
    /// Those that only the responder is behind.
    pub b: Vec<Config>,
    /// Those that both are behind: a home's NAT, or a carrier's.
    pub shared: Vec<Config>,
}

impl Topology {
    /// Each peer behind one box of its own.
    #[must_use]
    pub fn apart(a: Config, b: Config) -> Self {
        Self {
            a: vec![a],
            b: vec![b],
            shared: Vec::new(),
        }
    }

    /// The boxes that only one side is behind.
    #[must_use]
    pub fn own(&self, role: Role) -> &[Config] {
        match role {
            Role::Requester => &self.a,
            Role::Responder => &self.b,
        }
    }

    /// With the sides exchanged.
    #[must_use]
    pub fn mirrored(self) -> Self {
        Self {
            a: self.b,
            b: self.a,
            shared: self.shared,
        }
    }
}

/// The TCP of a host, where it matters to a punch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stack {
    /// An ICMP error ends a dial that is pending.
    #[default]
    Linux,
    /// It hears of no ICMP error.
    Smoltcp,
}

/// A peer, as far as it matters whether it can be punched.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// Its TCP.
    pub stack: Stack,
    /// What it can do beyond dialling and listening.
    pub abilities: Abilities,
    /// Which strategies it wants.
    pub allowed: Strategies,
    /// Whether it knows the outer address of its own router and tells it (`--outer-address`).
    pub names_router: bool,
}

impl Default for Host {
    /// A Linux host without privileges that wants what is wanted by default.
    fn default() -> Self {
        Self {
            stack: Stack::Linux,
            abilities: Abilities {
                hops: None,
                raw: false,
                spoof: false,
                dials: 8,
            },
            allowed: Strategies::default(),
            names_router: false,
        }
    }
}

/// What else goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether other hosts open connections through the same NATs meanwhile.
    pub traffic: bool,
    /// Whether the server's network lets nothing out that has not the server's own address.
    pub ingress_filter: bool,
}

/// All that the answer depends on.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// The boxes.
    pub topology: Topology,
    /// The requester.
    pub a: Host,
    /// The responder.
    pub b: Host,
    /// What else goes on.
    pub around: Surroundings,
}

impl Case {
    /// One side's host.
    #[must_use]
    pub fn host(&self, role: Role) -> &Host {
        match role {
            Role::Requester => &self.a,
            Role::Responder => &self.b,
        }
    }

    /// With the sides exchanged.
    #[must_use]
    pub fn mirrored(self) -> Self {
        Self {
            topology: self.topology.mirrored(),
            a: self.b,
            b: self.a,
            around: self.around,
        }
    }
}

/// Whether a box gives addresses of its own to what is behind it.
pub(super) fn translates(config: &Config) -> bool {
    config.mapping != Mapping::Untranslated
}
