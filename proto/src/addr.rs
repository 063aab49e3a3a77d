//! Endpoints, candidates, and which addresses a peer may be told to dial.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use heapless::Vec;

/// Most candidates of one side of a session.
pub const MAX_CANDIDATES: usize = 8;

/// Most host addresses of a peer that the machines remember.
pub const MAX_HOST_ADDRESSES: usize = 4;

/// An IP address and a TCP port.
///
/// Unlike `SocketAddr` it has no scope id or flow label: link-local addresses
/// need a scope that only the own host understands, so they are never
/// candidates. An IPv4 address mapped into IPv6 is unwrapped on the way in.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The address.
    pub ip: IpAddr,
    /// The TCP port; 0 means "any" where something is still to be bound.
    pub port: u16,
}

impl Endpoint {
    /// An endpoint from its parts; `::ffff:a.b.c.d` becomes `a.b.c.d`.
    pub fn new(ip: IpAddr, port: u16) -> Self {
        Self {
            ip: ip.to_canonical(),
            port,
        }
    }

    /// Every address of a family, at `port`.
    pub const fn unspecified(family: Family, port: u16) -> Self {
        let ip = match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Self { ip, port }
    }

    /// The address family.
    pub const fn family(&self) -> Family {
        Family::of(self.ip)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr.ip(), addr.port())
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint.ip, endpoint.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Endpoint {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self.ip {
            IpAddr::V4(ip) => defmt::write!(f, "{}:{}", ip.octets(), self.port),
            IpAddr::V6(ip) => defmt::write!(f, "[{}]:{}", ip.segments(), self.port),
        }
    }
}

/// IPv4 or IPv6.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// How a candidate came to be known.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CandidateKind {
    /// What the server saw: the NAT's outer endpoint, or the peer's own where
    /// there is no NAT.
    Mapped,
    /// An address of the peer's own interfaces, in a private range.
    Host,
}

/// An endpoint at which a peer may be reachable.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Candidate {
    /// How it came to be known.
    pub kind: CandidateKind,
    /// Where to dial.
    pub endpoint: Endpoint,
}

/// The candidates of one side, the most promising first.
pub type Candidates = Vec<Candidate, MAX_CANDIDATES>;

/// What an address is good for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Scope {
    /// Reachable from the whole network, as far as the address tells.
    Global,
    /// Of a private network: RFC 1918, RFC 6598 (carrier NAT), RFC 4193.
    Private,
    /// The own host.
    Loopback,
    /// Never a peer: unspecified, link-local, multicast, broadcast.
    Unusable,
}

impl Scope {
    /// Judges an address by its range alone.
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(v4) => Self::of_v4(v4),
                None => Self::of_v6(ip),
            },
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let [a, b, ..] = ip.octets();
        if ip.is_loopback() {
            Self::Loopback
        } else if a == 0 || ip.is_link_local() || ip.is_multicast() || a >= 240 {
            Self::Unusable
        } else if ip.is_private() || (a == 100 && (64..128).contains(&b)) {
            Self::Private
        } else {
            Self::Global
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        if ip.is_loopback() {
            Self::Loopback
        } else if ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local() {
            Self::Unusable
        } else if ip.is_unique_local() {
            Self::Private
        } else {
            Self::Global
        }
    }
}

/// What decides whether an endpoint may be dialled on the server's word, so that
/// a lying server cannot make a peer a tool for reaching third parties.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct DialRules {
    /// Loopback addresses may be dialled: tests, demo.
    pub allow_loopback: bool,
    /// We can tell by ourselves that the server is in our private network: its
    /// own address is private, or it saw us under one that we really have.
    pub private_server: bool,
    /// Both peers have the same outer address, as far as the server tells.
    pub together: bool,
}

impl DialRules {
    /// Whether this candidate may be dialled: global addresses only if the
    /// server saw them, private ones only in a private network that both are in.
    pub fn allow(self, candidate: &Candidate) -> bool {
        if candidate.endpoint.port == 0 {
            return false;
        }
        match (Scope::of(candidate.endpoint.ip), candidate.kind) {
            (Scope::Unusable, _) | (Scope::Global, CandidateKind::Host) => false,
            (Scope::Loopback, _) => self.allow_loopback,
            (Scope::Global, CandidateKind::Mapped) => true,
            (Scope::Private, CandidateKind::Mapped) => self.private_server || self.together,
            (Scope::Private, CandidateKind::Host) => self.together,
        }
    }

    /// Whether an assist endpoint may be dialled.
    pub fn allow_assist(self, endpoint: Endpoint) -> bool {
        let here = Self {
            together: false,
            ..self
        };
        here.allow(&Candidate {
            kind: CandidateKind::Mapped,
            endpoint,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn scopes_by_table() {
        for (text, scope) in [
            ("8.8.8.8", Scope::Global),
            ("198.51.100.1", Scope::Global),
            ("10.1.2.3", Scope::Private),
            ("172.31.0.1", Scope::Private),
            ("172.32.0.1", Scope::Global),
            ("192.168.1.1", Scope::Private),
            ("100.64.0.1", Scope::Private),
            ("100.128.0.1", Scope::Global),
            ("127.0.0.1", Scope::Loopback),
            ("0.0.0.0", Scope::Unusable),
            ("0.1.2.3", Scope::Unusable),
            ("169.254.1.1", Scope::Unusable),
            ("224.0.0.1", Scope::Unusable),
            ("255.255.255.255", Scope::Unusable),
            ("2001:db8::1", Scope::Global),
            ("fd00::1", Scope::Private),
            ("fe80::1", Scope::Unusable),
            ("ff02::1", Scope::Unusable),
            ("::1", Scope::Loopback),
            ("::", Scope::Unusable),
            ("::ffff:127.0.0.1", Scope::Loopback),
        ] {
            assert_eq!(Scope::of(ip(text)), scope, "{text}");
        }
    }

    #[test]
    fn who_may_be_dialled_by_table() {
        use CandidateKind::{Host, Mapped};
        const STRICT: DialRules = DialRules {
            allow_loopback: false,
            private_server: false,
            together: false,
        };
        let near = DialRules {
            private_server: true,
            ..STRICT
        };
        let together = DialRules {
            together: true,
            ..STRICT
        };
        let local = DialRules {
            allow_loopback: true,
            ..STRICT
        };
        for (kind, text, allowed) in [
            (Mapped, "8.8.8.8", [true, true, true, true]),
            (Host, "8.8.8.8", [false, false, false, false]),
            (Mapped, "192.168.1.2", [false, true, true, false]),
            (Host, "192.168.1.2", [false, false, true, false]),
            (Mapped, "127.0.0.1", [false, false, false, true]),
            (Host, "::1", [false, false, false, true]),
            (Mapped, "224.0.0.1", [false, false, false, false]),
            (Mapped, "169.254.0.1", [false, false, false, false]),
        ] {
            let candidate = Candidate {
                kind,
                endpoint: Endpoint::new(ip(text), 1),
            };
            let got = [STRICT, near, together, local].map(|rules| rules.allow(&candidate));
            assert_eq!(got, allowed, "{kind:?} {text}");
            let no_port = Candidate {
                kind,
                endpoint: Endpoint::new(ip(text), 0),
            };
            assert!(!local.allow(&no_port) && !together.allow(&no_port));
        }
        assert!(!together.allow_assist(Endpoint::new(ip("192.168.1.2"), 1)));
        assert!(near.allow_assist(Endpoint::new(ip("192.168.1.2"), 1)));
    }

    #[test]
    fn mapped_v4_is_unwrapped() {
        assert_eq!(
            Endpoint::new(ip("::ffff:192.0.2.1"), 5).family(),
            Family::V4
        );
    }
}
