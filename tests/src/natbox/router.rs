//! A row of routers without any memory: they count hops.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::answer::{self, Error};
use super::wire::{self, Body, Headers};

/// Where a packet's way through a row of routers ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passage {
    /// Behind them, with as many hops less to go.
    Through,
    /// At the router of this number, the first one being 1; with what that router answers, if it may.
    EndsAt(u8, Option<Vec<u8>>),
}

/// The addresses of the first router of a row; each further one has the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routers {
    /// For IPv4.
    pub v4: Ipv4Addr,
    /// For IPv6.
    pub v6: Ipv6Addr,
    /// How many they are.
    pub count: u8,
}

impl Routers {
    /// Sends a packet through.
    pub fn pass(&self, packet: &mut [u8]) -> Passage {
        let Ok(headers) = Headers::read(packet) else {
            return Passage::EndsAt(1, None);
        };
        if headers.hop_limit > self.count {
            wire::set_hop_limit(packet, headers.hop_limit - self.count);
            return Passage::Through;
        }
        let number = headers.hop_limit.max(1);
        // No error about an error (RFC 1122, section 3.2.2).
        let answer = match headers.body {
            Body::IcmpError(_) => None,
            Body::Tcp(_) => {
                let own = self.address(number, headers.source);
                answer::icmp(Error::TimeExceeded, own, headers.source, packet)
            }
        };
        Passage::EndsAt(number, answer)
    }

    /// The address of a router, of the same family as another one.
    #[must_use]
    pub fn address(&self, number: u8, like: IpAddr) -> IpAddr {
        let further = u32::from(number.saturating_sub(1));
        match like {
            IpAddr::V4(_) => Ipv4Addr::from(u32::from(self.v4).wrapping_add(further)).into(),
            IpAddr::V6(_) => {
                Ipv6Addr::from(u128::from(self.v6).wrapping_add(further.into())).into()
            }
        }
    }
}
