//! Who is behind what: the shape of the network that a run asks for, and the addresses that follow from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::means::Maker;
use super::nat::NatKind;
use super::wan::{Prefix, Site};

/// The NATs between each host and the WAN.
///
/// Every list goes from the host outwards. `[home]` is one NAT, `[home, carrier]` two levels, `[]` none: the host
/// itself is on the WAN.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// Those that only the requester is behind.
    pub a: Vec<NatKind>,
    /// Those that only the responder is behind.
    pub b: Vec<NatKind>,
    /// Those that both are behind. Where there are any, both peers are at site A.
    pub shared: Vec<NatKind>,
}

impl Layout {
    /// Each peer behind a NAT of its own.
    #[must_use]
    pub fn apart(a: NatKind, b: NatKind) -> Self {
        Self {
            a: vec![a],
            b: vec![b],
            shared: Vec::new(),
        }
    }

    /// Where the responder is attached.
    #[must_use]
    pub fn site_b(&self) -> Site {
        if self.shared.is_empty() {
            Site::B
        } else {
            Site::A
        }
    }

    /// The same, with whoever plays the NATs of which only the kind is said.
    #[must_use]
    pub fn made_by(&self, maker: Maker) -> Self {
        let made = |kinds: &[NatKind]| kinds.iter().map(|kind| kind.made_by(maker)).collect();
        Self {
            a: made(&self.a),
            b: made(&self.b),
            shared: made(&self.shared),
        }
    }

    /// Every NAT of it.
    pub fn kinds(&self) -> impl Iterator<Item = NatKind> + '_ {
        self.a.iter().chain(&self.b).chain(&self.shared).copied()
    }
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let levels = |kinds: &[NatKind]| match kinds {
            [] => "none".to_owned(),
            kinds => kinds
                .iter()
                .map(NatKind::to_string)
                .collect::<Vec<_>>()
                .join("+"),
        };
        match (
            self.shared.is_empty(),
            self.a.is_empty() && self.b.is_empty(),
        ) {
            (true, _) => write!(f, "{} / {}", levels(&self.a), levels(&self.b)),
            (false, true) => write!(f, "both behind {}", levels(&self.shared)),
            (false, false) => {
                write!(
                    f,
                    "{} / {} behind {}",
                    levels(&self.a),
                    levels(&self.b),
                    levels(&self.shared)
                )
            }
        }
    }
}

/// Which versions of IP there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// IPv4 with NATs.
    #[default]
    V4,
    /// IPv6 with stateful firewalls.
    V6,
    /// Both: the server is reached by IPv4, and the hosts have IPv6 beside it.
    Both,
}

impl Family {
    /// Whether there is IPv4.
    #[must_use]
    pub fn has_v4(self) -> bool {
        self != Self::V6
    }

    /// Whether there is IPv6.
    #[must_use]
    pub fn has_v6(self) -> bool {
        self != Self::V4
    }
}

/// An address of each version, whichever is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4.
    pub v4: Ipv4Addr,
    /// IPv6.
    pub v6: Ipv6Addr,
}

impl Addresses {
    /// The one by which the server is reached in such a network.
    #[must_use]
    pub fn main(self, family: Family) -> IpAddr {
        if family.has_v4() {
            self.v4.into()
        } else {
            self.v6.into()
        }
    }
}

/// The outer addresses of what is attached to the WAN at a site.
#[must_use]
pub fn public(site: Site) -> Addresses {
    // The documentation ranges (RFC 5737, RFC 3849): nothing of the lab can be taken for a real host.
    match site {
        Site::A => Addresses {
            v4: Ipv4Addr::new(198, 51, 100, 1),
            v6: v6(0xa, 0, 1),
        },
        Site::B => Addresses {
            v4: Ipv4Addr::new(203, 0, 113, 1),
            v6: v6(0xb, 0, 1),
        },
        Site::S => Addresses {
            v4: Ipv4Addr::new(192, 0, 2, 1),
            v6: v6(0x5, 0, 1),
        },
    }
}

/// The server's second address.
#[must_use]
pub fn second_server() -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(192, 0, 2, 2),
        v6: v6(0x5, 0, 2),
    }
}

/// Where the connections of others go: an address of the server's host, and not the server's.
#[must_use]
pub fn sink() -> Addresses {
    Addresses {
        v4: Ipv4Addr::new(192, 0, 2, 3),
        v6: v6(0x5, 0, 3),
    }
}

/// The addresses of a router on the way from a site, counted from 1: of that site's provider, and as global as the
/// addresses of its customers, so that nobody takes a time-exceeded of it for one of a NAT.
#[must_use]
pub fn provider(site: Site, hop: u8) -> Addresses {
    let [a, b, c, _] = public(site).v4.octets();
    let [_, _, network, ..] = public(site).v6.segments();
    Addresses {
        // From the upper end: customers are numbered from the lower one.
        v4: Ipv4Addr::new(a, b, c, u8::MAX - hop),
        v6: v6(network, 0xffff, hop),
    }
}

/// What the WAN sends to a site.
#[must_use]
pub fn prefixes(site: Site) -> Vec<Prefix> {
    let public = public(site);
    vec![
        Prefix::new(public.v4.into(), 24),
        Prefix::new(public.v6.into(), 48),
    ]
}

/// One LAN: the inside of one NAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lan {
    site: Site,
    /// Unlike IPv4's, IPv6's networks are told apart by this number.
    number: u16,
    /// Whether hosts are in it, or only further NATs.
    home: bool,
}

impl Lan {
    /// A LAN; the number is unique at its site.
    #[must_use]
    pub const fn new(site: Site, number: u16, home: bool) -> Self {
        Self { site, number, home }
    }

    /// The address of something in it. All homes use the same IPv4 network, as homes do.
    #[must_use]
    pub fn address(&self, host: u8) -> Addresses {
        let site = match self.site {
            Site::A => 0xa,
            Site::B => 0xb,
            Site::S => 0x5,
        };
        // 100.64.0.0/10 is what carriers use (RFC 6598).
        let v4 = if self.home {
            Ipv4Addr::new(192, 168, 1, host)
        } else {
            Ipv4Addr::new(100, 64, 0, host)
        };
        Addresses {
            v4,
            v6: v6(site, self.number, host),
        }
    }

    /// The NAT's own address in it.
    #[must_use]
    pub fn router(&self) -> Addresses {
        self.address(1)
    }
}

fn v6(site: u16, network: u16, host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, site, network, 0, 0, 0, host.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_in_words() {
        let drop = NatKind::DROP;
        assert_eq!(Layout::apart(drop, drop).to_string(), "drop / drop");
        let two = Layout {
            a: vec![drop, drop],
            ..Layout::default()
        };
        assert_eq!(two.to_string(), "drop+drop / none");
        let same = Layout {
            shared: vec![drop],
            ..Layout::default()
        };
        assert_eq!(same.to_string(), "both behind drop");
        assert_eq!(same.site_b(), Site::A);
    }

    #[test]
    fn routers_have_addresses_of_their_site_that_nobody_else_has() {
        for site in Site::ALL {
            for hop in [1, 64] {
                let own = provider(site, hop);
                for address in [IpAddr::from(own.v4), own.v6.into()] {
                    let mut ranges = prefixes(site).into_iter();
                    assert!(ranges.any(|range| range.contains(address)), "{address}");
                }
                assert!(own.v4.octets()[3] > 100, "{}", own.v4);
            }
        }
        assert_ne!(provider(Site::A, 1), provider(Site::A, 2));
    }

    #[test]
    fn homes_share_their_ipv4_network_but_not_their_ipv6_network() {
        let (a, b) = (Lan::new(Site::A, 1, true), Lan::new(Site::B, 1, true));
        assert_eq!(a.router().v4, b.router().v4);
        assert_ne!(a.router().v6, b.router().v6);
        assert_eq!(a.router().v6.to_string(), "2001:db8:a:1::1");
    }
}
