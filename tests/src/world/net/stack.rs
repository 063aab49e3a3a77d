//! The TCP/IP stack of a host: smoltcp on the host's cable.

use std::net::IpAddr;
use std::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, Ipv4Address, Ipv6Address};
use tcp_punch_proto::wire::MAX_FRAME;
use tcp_punch_proto::{Endpoint, Instant, SEND_BUFFER};

use super::wire::Wire;

/// An Ethernet's.
pub(crate) const MTU: usize = 1_500;

/// Room for two frames to come in.
const RECEIVE_BUFFER: usize = 2 * (MAX_FRAME + 2);

/// Interface, sockets and cable of a host, and its clock.
pub(crate) struct Stack {
    pub(crate) iface: Interface,
    pub(crate) set: SocketSet<'static>,
    pub(crate) wire: Wire,
    pub(crate) addresses: Vec<IpAddr>,
    /// How far the host's clock is ahead of the world's.
    pub(crate) clock: Duration,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Stack {
    /// A stack whose initial sequence numbers come from this seed.
    pub(crate) fn new(addresses: &[IpAddr], seed: u64, mtu: usize) -> Self {
        let mut wire = Wire::new(mtu);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut iface = Interface::new(config, &mut wire, StackInstant::ZERO);
        iface.update_ip_addrs(|list| {
            for &ip in addresses {
                let length = if ip.is_ipv4() { 24 } else { 64 };
                list.push(IpCidr::new(to_stack_address(ip), length))
                    .expect("a host has one address or two");
            }
        });
        // There is but one cable, so it does not matter who is at its other end.
        let routes = iface.routes_mut();
        let v4 = routes.add_default_ipv4_route(Ipv4Address::new(192, 0, 2, 254));
        let v6 = routes.add_default_ipv6_route(Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
        assert!(v4.is_ok() && v6.is_ok(), "room for both");
        Self {
            iface,
            set: SocketSet::new(Vec::new()),
            wire,
            addresses: addresses.to_vec(),
            clock: Duration::ZERO,
        }
    }

    /// A closed socket, with as much room as the contract asks for.
    pub(crate) fn add_socket(&mut self) -> SocketHandle {
        let receive = SocketBuffer::new(vec![0; RECEIVE_BUFFER]);
        let send = SocketBuffer::new(vec![0; SEND_BUFFER]);
        let mut socket = Socket::new(receive, send);
        socket.set_nagle_enabled(false);
        self.set.add(socket)
    }

    pub(crate) fn socket(&self, handle: SocketHandle) -> &Socket<'static> {
        self.set.get(handle)
    }

    pub(crate) fn socket_mut(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.set.get_mut(handle)
    }

    /// The host's time in the stack's words.
    pub(crate) fn local(&self, now: Instant) -> StackInstant {
        let micros = now.after(self.clock).as_micros();
        StackInstant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// When the stack wants to be polled next, in the world's time.
    pub(crate) fn poll_at(&mut self, now: Instant) -> Option<Instant> {
        let local = self.local(now);
        let at = self.iface.poll_at(local, &self.set)?;
        let clock = Instant::ZERO.after(self.clock);
        let micros = u64::try_from(at.total_micros()).unwrap_or_default();
        Some(
            Instant::ZERO
                .after(Instant::from_micros(micros).since(clock))
                .max(now),
        )
    }
}

/// The stack's word for an address.
pub(crate) fn to_stack_address(ip: IpAddr) -> IpAddress {
    ip.into()
}

/// The world's word for an end of a socket.
pub(crate) fn from_stack_endpoint(endpoint: smoltcp::wire::IpEndpoint) -> Endpoint {
    Endpoint::new(endpoint.addr.into(), endpoint.port)
}
