//! Challenge ACKs (RFC 5961 section 4): what a kernel answers a SYN with that
//! comes for a connection that is up. smoltcp says nothing, and a host that was
//! cut off could not dial the server again from the same port.

use std::collections::BTreeMap;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    IpProtocol, IpRepr, Ipv4Packet, Ipv6Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};
use tcp_punch_proto::Endpoint;

use super::packet::Glance;

/// What each connection has sent last: the number behind it, and what it has
/// acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Numbers(BTreeMap<(Endpoint, Endpoint), (TcpSeqNumber, TcpSeqNumber)>);

impl Numbers {
    /// Takes note of a segment on its way out.
    pub(crate) fn note(&mut self, glance: &Glance, packet: &[u8]) {
        let body = match packet.first().map(|first| first >> 4) {
            Some(4) => Ipv4Packet::new_checked(packet).map(|ip| ip.payload()),
            _ => Ipv6Packet::new_checked(packet).map(|ip| ip.payload()),
        };
        let Ok(Ok(tcp)) = body.map(TcpPacket::new_checked) else {
            return;
        };
        let ends = (glance.from, glance.to);
        if tcp.rst() {
            self.0.remove(&ends);
        } else if tcp.ack() {
            let behind = tcp.seq_number() + tcp.segment_len();
            self.0.insert(ends, (behind, tcp.ack_number()));
        }
    }

    /// The answer to a SYN for a connection that is up.
    pub(crate) fn challenge(&self, syn: &Glance) -> Option<Vec<u8>> {
        let &(seq_number, ack_number) = self.0.get(&(syn.to, syn.from))?;
        let tcp = TcpRepr {
            src_port: syn.to.port,
            dst_port: syn.from.port,
            control: TcpControl::None,
            seq_number,
            ack_number: Some(ack_number),
            window_len: 1_024,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let (from, to) = (syn.to.ip.into(), syn.from.ip.into());
        let ip = IpRepr::new(from, to, IpProtocol::Tcp, tcp.buffer_len(), 64);
        let checksums = ChecksumCapabilities::default();
        let mut packet = vec![0; ip.buffer_len()];
        ip.emit(&mut packet[..], &checksums);
        let body = &mut packet[ip.header_len()..];
        tcp.emit(&mut TcpPacket::new_unchecked(body), &from, &to, &checksums);
        Some(packet)
    }
}
