//! Errors about dials: smoltcp does not look at them, kernels do.

use smoltcp::wire::{Icmpv4Packet, Icmpv6Packet, IpVersion, Ipv4Packet, Ipv6Packet};
use tcp_punch_proto::{Endpoint, Failure};

use super::super::packet::{Glance, Kind};
use super::super::stack::Stack;
use super::super::{Happening, Socket};
use super::{Kernel, Phase, find};

impl Kernel {
    /// The dial that the packet which is about to be looked at says is in vain,
    /// if it is such a packet: as on Linux, that ends it.
    pub(super) fn take_unreachable(&mut self, stack: &mut Stack) -> Option<(Socket, Happening)> {
        let packet = stack.wire.incoming.front()?;
        if Glance::at(packet)?.kind != Kind::Unreachable {
            return None;
        }
        let handle = find(stack, quoted(packet)?)?;
        let (&socket, _) = self
            .open
            .iter()
            .find(|(_, open)| open.handle == handle && open.phase == Phase::Dialling)?;
        self.open.remove(&socket);
        stack.set.remove(handle);
        Some((socket, Happening::DialFailed(Failure::Unreachable)))
    }
}

/// The ends of the segment that an error is about: the sender's first.
fn quoted(packet: &[u8]) -> Option<(Endpoint, Endpoint)> {
    match IpVersion::of_packet(packet).ok()? {
        IpVersion::Ipv4 => {
            let outer = Ipv4Packet::new_checked(packet).ok()?;
            let icmp = Icmpv4Packet::new_checked(outer.payload()).ok()?;
            let data = icmp.data();
            let inner = Ipv4Packet::new_unchecked(data);
            let (from, to) = ports(data.get(usize::from(inner.header_len())..)?)?;
            let ends = (inner.src_addr().into(), inner.dst_addr().into());
            Some((Endpoint::new(ends.0, from), Endpoint::new(ends.1, to)))
        }
        IpVersion::Ipv6 => {
            let outer = Ipv6Packet::new_checked(packet).ok()?;
            let icmp = Icmpv6Packet::new_checked(outer.payload()).ok()?;
            let data = icmp.payload();
            let inner = Ipv6Packet::new_unchecked(data);
            let (from, to) = ports(data.get(inner.header_len()..)?)?;
            let ends = (inner.src_addr().into(), inner.dst_addr().into());
            Some((Endpoint::new(ends.0, from), Endpoint::new(ends.1, to)))
        }
    }
}

/// All that an error has to hold of TCP.
fn ports(tcp: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d, ..] = tcp else { return None };
    Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
}
