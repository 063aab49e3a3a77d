//! The host's own addresses, the most useful first.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use proto::Family;

/// Every address of the host's interfaces that are up, the ones that lead out of
/// the host first.
///
/// The machines remember a handful, so the order matters where bridges and
/// tunnels bring addresses of their own. Empty where the system does not tell.
pub(crate) fn own_addresses() -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = [Family::V4, Family::V6]
        .into_iter()
        .filter_map(outward_address)
        .collect();
    match if_addrs::get_if_addrs() {
        Ok(interfaces) => {
            for interface in interfaces {
                let ip = interface.ip();
                let is_down = interface.oper_status == if_addrs::IfOperStatus::Down;
                if !is_down && !addresses.contains(&ip) {
                    addresses.push(ip);
                }
            }
        }
        Err(error) => tracing::debug!(%error, "the interfaces' addresses could not be read"),
    }
    addresses
}

/// The address that the host would send from to the internet; `None` without a
/// route there.
///
/// Connecting a datagram socket asks the routing table and sends nothing. The
/// destinations are documentation addresses (RFC 5737, RFC 3849).
pub(crate) fn outward_address(family: Family) -> Option<IpAddr> {
    let ask = |from: IpAddr, to: IpAddr| -> io::Result<IpAddr> {
        let socket = UdpSocket::bind(SocketAddr::new(from, 0))?;
        socket.connect(SocketAddr::new(to, 9))?;
        Ok(socket.local_addr()?.ip())
    };
    let answer = match family {
        Family::V4 => ask(
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv4Addr::new(192, 0, 2, 1).into(),
        ),
        Family::V6 => ask(
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        ),
    };
    answer.ok().filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_the_own_addresses_once() {
        let addresses = own_addresses();
        let loopbacks = addresses
            .iter()
            .filter(|ip| **ip == IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(loopbacks.count(), 1, "{addresses:?}");
    }

    #[test]
    fn the_way_out_comes_first() {
        if let Some(ip) = outward_address(Family::V4) {
            assert_eq!(own_addresses().first(), Some(&ip));
        }
    }
}
