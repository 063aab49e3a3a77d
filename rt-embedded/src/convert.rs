//! Addresses and times of the machine in the stack's own types, and back.

use core::net::IpAddr;

use proto::{Endpoint, Family, Instant};
use smoltcp::iface::Interface;
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{IpAddress, IpEndpoint};

/// The same moment of the same clock.
pub(crate) fn to_stack(now: Instant) -> StackInstant {
    StackInstant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

/// The same moment of the same clock.
pub(crate) fn from_stack(at: StackInstant) -> Instant {
    Instant::from_micros(u64::try_from(at.total_micros()).unwrap_or(0))
}

/// `None` for IPv6 where the stack was built without it.
pub(crate) fn to_address(ip: IpAddr) -> Option<IpAddress> {
    match ip {
        IpAddr::V4(ip) => Some(IpAddress::Ipv4(ip)),
        #[cfg(feature = "ipv6")]
        IpAddr::V6(ip) => Some(IpAddress::Ipv6(ip)),
        #[cfg(not(feature = "ipv6"))]
        IpAddr::V6(_) => None,
    }
}

/// The machine's name for an endpoint of a socket.
pub(crate) fn from_endpoint(endpoint: IpEndpoint) -> Endpoint {
    Endpoint::new(endpoint.addr.into(), endpoint.port)
}

/// Whether the host has an address of this family.
pub(crate) fn has_family(iface: &Interface, family: Family) -> bool {
    let mut addresses = iface.ip_addrs().iter();
    addresses.any(|cidr| {
        let ip = IpAddr::from(cidr.address());
        Family::of(ip) == family && !ip.is_unspecified()
    })
}
