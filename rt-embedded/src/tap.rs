//! Between the interface and its device: sees which SYNs have left.
//!
//! smoltcp does not tell when a socket's first SYN is on its way, and it may be
//! late: the device may be busy, and the gateway's hardware address unknown. A
//! hop limit that is meant for the first SYN only has to stay until then.

use core::net::IpAddr;

use heapless::Vec;
use proto::Endpoint;
use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{IpProtocol, IpVersion, Ipv4Packet, TcpPacket};

/// A dial whose first SYN is waited for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) port: u16,
    pub(crate) remote: Endpoint,
    pub(crate) has_left: bool,
}

/// Such dials; one that finds no room keeps its hop limit.
#[derive(Debug)]
pub(crate) struct Watch<const N: usize>(pub(crate) Vec<Watched, N>);

impl<const N: usize> Watch<N> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn add(&mut self, port: u16, remote: Endpoint) {
        self.forget(port, remote);
        // As the type says.
        let _ = self.0.push(Watched {
            port,
            remote,
            has_left: false,
        });
    }

    pub(crate) fn forget(&mut self, port: u16, remote: Endpoint) {
        self.0
            .retain(|dial| (dial.port, dial.remote) != (port, remote));
    }

    /// One whose SYN has left.
    pub(crate) fn pop(&mut self) -> Option<Watched> {
        let index = self.0.iter().position(|dial| dial.has_left)?;
        Some(self.0.swap_remove(index))
    }

    fn saw(&mut self, packet: &[u8]) {
        let Some((port, remote)) = syn_of(packet) else {
            return;
        };
        for dial in &mut self.0 {
            dial.has_left |= (dial.port, dial.remote) == (port, remote);
        }
    }
}

/// Source port and destination, if the IP packet asks for a connection.
fn syn_of(packet: &[u8]) -> Option<(u16, Endpoint)> {
    if packet.is_empty() {
        return None;
    }
    let (to, segment): (IpAddr, &[u8]) = match IpVersion::of_packet(packet).ok()? {
        IpVersion::Ipv4 => {
            let ip = Ipv4Packet::new_checked(packet).ok()?;
            let is_tcp = ip.next_header() == IpProtocol::Tcp;
            (ip.dst_addr().into(), is_tcp.then(|| ip.payload())?)
        }
        #[cfg(feature = "ipv6")]
        IpVersion::Ipv6 => {
            let ip = smoltcp::wire::Ipv6Packet::new_checked(packet).ok()?;
            let is_tcp = ip.next_header() == IpProtocol::Tcp;
            (ip.dst_addr().into(), is_tcp.then(|| ip.payload())?)
        }
        #[cfg(not(feature = "ipv6"))]
        #[allow(
            unreachable_patterns,
            reason = "another crate may ask smoltcp for IPv6"
        )]
        _ => return None,
    };
    let tcp = TcpPacket::new_checked(segment).ok()?;
    let opens = tcp.syn() && !tcp.ack();
    opens.then(|| (tcp.src_port(), Endpoint::new(to, tcp.dst_port())))
}

/// A device that is listened in on.
#[derive(Debug)]
pub(crate) struct Tap<'d, D: ?Sized, const N: usize> {
    device: &'d mut D,
    watch: &'d mut Watch<N>,
    /// Bytes before the IP packet.
    header: usize,
}

impl<'d, D: Device + ?Sized, const N: usize> Tap<'d, D, N> {
    pub(crate) fn new(device: &'d mut D, watch: &'d mut Watch<N>) -> Self {
        let capabilities = device.capabilities();
        let header = capabilities.max_transmission_unit - capabilities.ip_mtu();
        Self {
            device,
            watch,
            header,
        }
    }
}

#[derive(Debug)]
pub(crate) struct TapToken<'t, T, const N: usize> {
    token: T,
    watch: &'t mut Watch<N>,
    header: usize,
}

impl<D: Device + ?Sized, const N: usize> Device for Tap<'_, D, N> {
    type RxToken<'t>
        = D::RxToken<'t>
    where
        Self: 't;
    type TxToken<'t>
        = TapToken<'t, D::TxToken<'t>, N>
    where
        Self: 't;

    fn receive(&mut self, timestamp: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let (receive, transmit) = self.device.receive(timestamp)?;
        let token = TapToken {
            token: transmit,
            watch: self.watch,
            header: self.header,
        };
        Some((receive, token))
    }

    fn transmit(&mut self, timestamp: Instant) -> Option<Self::TxToken<'_>> {
        Some(TapToken {
            token: self.device.transmit(timestamp)?,
            watch: self.watch,
            header: self.header,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

impl<T: TxToken, const N: usize> TxToken for TapToken<'_, T, N> {
    fn consume<R, F>(self, len: usize, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        let Self {
            token,
            watch,
            header,
        } = self;
        token.consume(len, |frame| {
            let result = f(frame);
            if !watch.0.is_empty()
                && let Some(packet) = frame.get(header..)
            {
                watch.saw(packet);
            }
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}
