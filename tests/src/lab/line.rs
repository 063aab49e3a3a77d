//! Lines: what carries whole IP packets between a kernel and this process, or within it.
//!
//! A read is a packet and a write is a packet, and neither blocks. To a kernel it is a TUN device, or, where
//! `/dev/net/tun` may not be opened, a pair of veth devices of which one end is read and written by a packet socket.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Socket, Type};

use super::means::Devices;
use super::netlink::{End, Mac};
use super::netns::Namespace;
use super::sys;

/// Room for a burst of a fast stream, in bytes; the sockets' default is a hundred packets.
const ROOM: usize = 16 << 20;
/// Packets that wait in a TUN device: bursts wait, losing some would be loss that nobody asked for.
const QUEUE: u32 = 10_000;
const MTU: u32 = 1500;

/// The hardware addresses of all devices of the lab's lines, at the kernel's end and at ours: locally administered.
const THEIRS: Mac = [2, 0, 0, 0, 0, 1];
const OURS: Mac = [2, 0, 0, 0, 0, 2];
const ETHERNET: usize = 14;

/// One end of a line.
#[derive(Debug)]
pub struct Line {
    file: File,
    /// Whether packets are in Ethernet frames there.
    framed: bool,
}

impl Line {
    /// A line within this process: two ends.
    ///
    /// # Errors
    /// When no sockets are to be had.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        let end = |socket: Socket| {
            socket.set_nonblocking(true)?;
            let descriptor = OwnedFd::from(socket);
            // Beyond the system's limit only with full rights; what is there without them is enough for sessions.
            let _ = setsockopt(&descriptor, sockopt::SndBufForce, &ROOM);
            Ok::<_, io::Error>(Self {
                file: File::from(descriptor),
                framed: false,
            })
        };
        Ok((end(one)?, end(other)?))
    }

    /// Takes a packet; its length.
    ///
    /// # Errors
    /// `WouldBlock` where there is none.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.framed {
            return (&self.file).read(buffer);
        }
        let mut head = [0; ETHERNET];
        let mut parts = [IoSliceMut::new(&mut head), IoSliceMut::new(buffer)];
        let length = (&self.file).read_vectored(&mut parts)?;
        Ok(length.saturating_sub(ETHERNET))
    }

    /// Gives a packet.
    pub(super) fn write(&self, packet: &[u8]) {
        // A device that is down or full loses the packet, as a cable would.
        let _ = if self.framed {
            let head = head(packet);
            (&self.file).write_vectored(&[IoSlice::new(&head), IoSlice::new(packet)])
        } else {
            (&self.file).write(packet)
        };
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            file: self.file.try_clone()?,
            framed: self.framed,
        })
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The head of the frame that brings a packet to a kernel.
fn head(packet: &[u8]) -> [u8; ETHERNET] {
    let ip6 = packet.first().is_some_and(|byte| byte >> 4 == 6);
    let kind = if ip6 {
        libc::ETH_P_IPV6
    } else {
        libc::ETH_P_IP
    } as u16;
    let mut head = [0; ETHERNET];
    head[..6].copy_from_slice(&THEIRS);
    head[6..12].copy_from_slice(&OURS);
    head[12..].copy_from_slice(&kind.to_be_bytes());
    head
}

/// Where lines to namespaces come from.
#[derive(Debug)]
pub struct Lines {
    /// Where our ends of veth pairs are; there is none for TUN devices.
    room: Option<Namespace>,
    made: AtomicU32,
}

impl Lines {
    /// A source of lines of that make.
    ///
    /// # Errors
    /// When no namespace can be made.
    pub fn new(devices: Devices) -> io::Result<Self> {
        let room = match devices {
            Devices::Tun => None,
            Devices::Veth => {
                let room = Namespace::new("lines")?;
                // Nothing is for that kernel itself; one without IPv6 has nothing to switch off.
                let _ = room.sysctl("ipv6/conf/default/disable_ipv6", "1");
                Some(room)
            }
        };
        Ok(Self {
            room,
            made: AtomicU32::new(0),
        })
    }

    /// Makes a device in a namespace, and returns the other end of it. The device is up, and has no address.
    ///
    /// # Errors
    /// When the process may not make such a device.
    pub fn to(&self, namespace: &Namespace, device: &str) -> io::Result<Line> {
        match &self.room {
            None => tun(namespace, device),
            Some(room) => {
                let number = self.made.fetch_add(1, Ordering::Relaxed);
                veth(room, number, namespace, device)
            }
        }
    }
}

fn tun(namespace: &Namespace, device: &str) -> io::Result<Line> {
    let name = device.to_owned();
    let file = namespace
        .run(move || sys::open_tun(&name))
        .map_err(|e| io::Error::new(e.kind(), format!("TUN device (/dev/net/tun): {e}")))?;
    let name = device.to_owned();
    namespace.configure(move |netlink| {
        netlink.queue(&name, MTU, QUEUE)?;
        netlink.up(&name)
    })?;
    Ok(Line {
        file,
        framed: false,
    })
}

fn veth(room: &Namespace, number: u32, namespace: &Namespace, theirs: &str) -> io::Result<Line> {
    let ours = format!("line{number}");
    let (here, there, to) = (ours.clone(), theirs.to_owned(), namespace.descriptor());
    room.configure(move |netlink| {
        let here = End {
            name: &here,
            mac: Some(OURS),
        };
        let there = End {
            name: &there,
            mac: Some(THEIRS),
        };
        netlink.veth(number, here, there, to)?;
        netlink.up(here.name)
    })?;
    let name = theirs.to_owned();
    namespace.configure(move |netlink| {
        // Packets leave it as they would leave a machine: whole, one by one, with their checksums.
        sys::no_offload(&name)?;
        netlink.no_arp(&name)?;
        netlink.up(&name)
    })?;
    let name = ours.clone();
    room.configure(move |netlink| netlink.settled(&name))?;
    let socket = room.run(move || sys::packet_socket(&ours))?;
    if setsockopt(&socket, sockopt::RcvBufForce, &ROOM).is_err() {
        // The kernel cuts it down to the system's limit.
        setsockopt(&socket, sockopt::RcvBuf, &ROOM)?;
    }
    Ok(Line {
        file: File::from(socket),
        framed: true,
    })
}
