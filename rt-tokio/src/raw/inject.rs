//! Sending segments that no socket made.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use proto::{Endpoint, Family, Segment};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::segment;

/// Raw sockets that take whole IP packets, one a family.
#[derive(Debug)]
pub(crate) struct Injector {
    v4: Socket,
    /// Not on hosts without IPv6.
    v6: Option<Socket>,
}

/// `IPPROTO_RAW`: what is sent has its IP header already, and nothing is
/// received (raw(7)).
const RAW: i32 = 255;

impl Injector {
    /// # Errors
    ///
    /// `PermissionDenied` without CAP_NET_RAW.
    pub(crate) fn open() -> io::Result<Self> {
        let open = |domain| {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(RAW)))?;
            socket.set_nonblocking(true)?;
            io::Result::Ok(socket)
        };
        Ok(Self {
            v4: open(Domain::IPV4)?,
            v6: open(Domain::IPV6).ok(),
        })
    }

    /// Sends one SYN-ACK, from the address that the segment says, or from the one
    /// that the host would choose where it says none.
    ///
    /// # Errors
    ///
    /// No way there, a firewall forbids it, or the host has no such family.
    pub(crate) fn send(&self, segment: &Segment) -> io::Result<()> {
        let source = match segment.local.ip {
            ip if ip.is_unspecified() => source_towards(segment.remote)?,
            ip => ip,
        };
        let packet = segment::craft(segment, source)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let socket = match segment.remote.family() {
            Family::V4 => &self.v4,
            Family::V6 => self
                .v6
                .as_ref()
                .ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?,
        };
        let to = SockAddr::from(segment::destination(segment.remote));
        socket.send_to(&packet, &to).map(drop)
    }
}

/// The address that the host would dial from. Connecting a datagram socket asks
/// the routing table and sends nothing.
fn source_towards(remote: Endpoint) -> io::Result<IpAddr> {
    let any = Endpoint::unspecified(remote.family(), 0);
    let socket = UdpSocket::bind(SocketAddr::from(any))?;
    socket.connect(SocketAddr::from(remote))?;
    Ok(socket.local_addr()?.ip())
}
