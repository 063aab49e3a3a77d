//! Devices, addresses and routes of the calling thread's network namespace, by rtnetlink(7).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;
use std::thread;
use std::time::{Duration, Instant};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
    State,
};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Request};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::net::if_::if_nametoindex;

/// Above all indexes that the kernel gives out in the small namespaces of the lab.
const OWN_INDEXES: u32 = 1000;
/// The kernel takes a second at most.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_micros(500);

/// A hardware address.
pub(super) type Mac = [u8; 6];

/// One end of a pair of devices that is to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'e> {
    /// What it is called.
    pub(super) name: &'e str,
    /// Its hardware address; any, where none is given.
    pub(super) mac: Option<Mac>,
}

/// Where a route leads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Via<'v> {
    /// Whoever is on that device.
    Device(&'v str),
    /// A router in one of the own networks.
    Gateway(IpAddr),
}

/// A connection to the kernel, about the namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: Socket,
    number: u32,
}

impl Netlink {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, number: 0 })
    }

    /// Switches a device on.
    pub(super) fn up(&mut self, device: &str) -> io::Result<()> {
        self.flag(device, LinkFlags::Up)
    }

    /// Lets a device carry IP without asking who has which hardware address.
    pub(super) fn no_arp(&mut self, device: &str) -> io::Result<()> {
        self.flag(device, LinkFlags::Noarp)
    }

    /// Sets the largest packet, in bytes, and how many may wait.
    pub(super) fn queue(&mut self, device: &str, mtu: u32, packets: u32) -> io::Result<()> {
        let mut link = link(device)?;
        link.attributes = vec![LinkAttribute::Mtu(mtu), LinkAttribute::TxQueueLen(packets)];
        self.ask(device, Request::SetLink(link), 0)
    }

    /// Makes a bridge that forwards at once, and whatever comes.
    pub(super) fn bridge(&mut self, name: &str) -> io::Result<()> {
        let data = vec![
            InfoBridge::ForwardDelay(0),
            InfoBridge::MulticastSnooping(false),
        ];
        let info = vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(data)),
        ];
        let mut link = LinkMessage::default();
        link.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(info),
        ];
        self.ask(name, Request::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes a device a port of a bridge.
    pub(super) fn join(&mut self, device: &str, bridge: &str) -> io::Result<()> {
        let mut link = link(device)?;
        link.attributes = vec![LinkAttribute::Controller(index(bridge)?)];
        self.ask(device, Request::SetLink(link), 0)
    }

    /// Makes a pair of devices, one here and one in the namespace of that descriptor. The number is the pair's own, of
    /// those that have an end here.
    pub(super) fn veth(
        &mut self,
        number: u32,
        here: End<'_>,
        there: End<'_>,
        to: RawFd,
    ) -> io::Result<()> {
        let mut peer = end(there);
        peer.attributes.push(LinkAttribute::NetNsFd(to));
        let mut link = end(here);
        // Where both ends have the same index, the kernel thinks their going up not urgent, and takes a second for it.
        link.header.index = OWN_INDEXES + number;
        link.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.ask(here.name, Request::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Waits until a device that has been switched on at both ends carries packets, as a port of a bridge too.
    pub(super) fn settled(&mut self, device: &str) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let up = LinkAttribute::OperState(State::Up);
        while Instant::now() < deadline {
            let request = Request::GetLink(link(device)?);
            if let NetlinkPayload::InnerMessage(Request::NewLink(link)) =
                self.exchange(request, 0)?
                && link.attributes.contains(&up)
            {
                // Looking takes no lock. This does, and so waits until the kernel, which shows the state first, has
                // made the device's queue and the bridge's port ready.
                return self.up(device);
            }
            thread::sleep(LOOK);
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{device} does not go up"),
        ))
    }

    /// Gives a device an address that is usable at once, and the network of so many bits that it is in.
    pub(super) fn address(&mut self, device: &str, own: IpAddr, bits: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(own);
        message.header.prefix_len = bits;
        message.header.index = index(device)?;
        message.attributes = vec![AddressAttribute::Address(own), AddressAttribute::Local(own)];
        if own.is_ipv6() {
            // Nobody else is there who could have it.
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        let create = NLM_F_CREATE | NLM_F_EXCL;
        self.ask(&own.to_string(), Request::NewAddress(message), create)
    }

    /// Makes a route to a network.
    pub(super) fn route(&mut self, to: IpAddr, bits: u8, via: Via<'_>) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(to);
        message.header.destination_prefix_length = bits;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        if bits > 0 {
            message
                .attributes
                .push(RouteAttribute::Destination(to.into()));
        }
        message.attributes.push(match via {
            Via::Device(device) => {
                message.header.scope = RouteScope::Link;
                RouteAttribute::Oif(index(device)?)
            }
            Via::Gateway(gateway) => RouteAttribute::Gateway(gateway.into()),
        });
        let create = NLM_F_CREATE | NLM_F_EXCL;
        self.ask(&format!("{to}/{bits}"), Request::NewRoute(message), create)
    }

    fn flag(&mut self, device: &str, flag: LinkFlags) -> io::Result<()> {
        let mut link = link(device)?;
        link.header.flags = flag;
        link.header.change_mask = flag;
        self.ask(device, Request::SetLink(link), 0)
    }

    /// Sends a request about `what`, and waits for the kernel's answer.
    fn ask(&mut self, what: &str, request: Request, flags: u16) -> io::Result<()> {
        let answer = self.exchange(request, NLM_F_ACK | flags)?;
        // An acknowledgment is an error without a code.
        let NetlinkPayload::Error(error) = answer else {
            return Err(io::Error::other(format!("{what}: {answer:?}")));
        };
        if error.code.is_none() {
            return Ok(());
        }
        let error = error.to_io();
        Err(io::Error::new(error.kind(), format!("{what}: {error}")))
    }

    fn exchange(&mut self, request: Request, flags: u16) -> io::Result<NetlinkPayload<Request>> {
        self.number += 1;
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.number;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let (answer, _) = self.socket.recv_from_full()?;
        let answer = NetlinkMessage::deserialize(&answer).map_err(io::Error::other)?;
        Ok(answer.payload)
    }
}

/// Every address of that family.
pub(super) fn everywhere(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn link(device: &str) -> io::Result<LinkMessage> {
    let mut link = LinkMessage::default();
    link.header.index = index(device)?;
    Ok(link)
}

fn end(end: End<'_>) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes = vec![LinkAttribute::IfName(end.name.to_owned())];
    if let Some(mac) = end.mac {
        link.attributes.push(LinkAttribute::Address(mac.to_vec()));
    }
    link
}

fn index(device: &str) -> io::Result<u32> {
    if_nametoindex(device).map_err(|e| {
        let error = io::Error::from(e);
        io::Error::new(error.kind(), format!("{device}: {error}"))
    })
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
