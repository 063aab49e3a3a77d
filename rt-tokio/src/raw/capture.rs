//! Outgoing SYNs, as they leave the host's stack.

use std::io::{self, Read as _};
use std::task::{Context, Poll, ready};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::segment::{self, Syn};
use crate::sys;

/// A packet socket that hears SYNs leave through any interface.
///
/// A cooked one (`SOCK_DGRAM`): what it gives begins with the IP header, whatever
/// lies below, so Ethernet and TUN devices are the same to it.
#[derive(Debug)]
pub(super) struct Capture {
    socket: AsyncFd<Socket>,
}

/// A SYN with all its options is 100 bytes at most (IPv6: 40 + 60).
const LONGEST: usize = 128;

/// `ETH_P_ALL` (`linux/if_ether.h`): the only protocol under which packets that
/// leave are heard.
const ALL_PROTOCOLS: u16 = 3;

impl Capture {
    /// # Errors
    ///
    /// `PermissionDenied` without CAP_NET_RAW.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O.
    pub(super) fn open() -> io::Result<Self> {
        let protocol = Protocol::from(i32::from(ALL_PROTOCOLS.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol))?;
        // What came in before this line is told apart by parsing.
        socket.attach_filter(&OUTGOING_SYNS)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: sys::register(socket)?,
        })
    }

    /// The next SYN that left.
    ///
    /// # Errors
    ///
    /// The socket is of no use any more.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<Syn>> {
        loop {
            let mut guard = ready!(self.socket.poll_read_ready(cx))?;
            let mut packet = [0; LONGEST];
            match guard.try_io(|socket| socket.get_ref().read(&mut packet)) {
                Ok(Ok(length)) => {
                    if let Some(syn) = segment::parse_syn(&packet[..length]) {
                        return Poll::Ready(Ok(syn));
                    }
                }
                // An interface went down; the others are still heard.
                Ok(Err(error)) if is_of_one_interface(&error) => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

fn is_of_one_interface(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NetworkDown | io::ErrorKind::Interrupted
    )
}

// `linux/bpf_common.h`, `linux/filter.h`, `linux/if_packet.h`.
const LOAD_BYTE: u16 = 0x30;
const LOAD_BYTE_INDEXED: u16 = 0x50;
const LOAD_IPV4_HEADER_LENGTH: u16 = 0xb1;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;
const PACKET_TYPE: u32 = 0xffff_f004;
const PACKET_OUTGOING: u32 = 4;

const TCP: u32 = 6;
const IPV6_HEADER: u32 = 40;
/// Where the flags are in a TCP header, and those that say what a segment is.
const FLAGS: u32 = 13;
const SYN_RST_ACK: u32 = 0x16;
const SYN: u32 = 0x02;

const fn step(code: u16, k: u32) -> SockFilter {
    SockFilter::new(code, 0, 0, k)
}

/// Skips so many steps if what was loaded is equal, so many if not.
const fn jump(k: u32, equal: u8, other: u8) -> SockFilter {
    SockFilter::new(JUMP_IF_EQUAL, equal, other, k)
}

/// Takes TCP SYNs without ACK that leave; of IPv6 only those without extension
/// headers, which dials have not.
#[rustfmt::skip]
static OUTGOING_SYNS: [SockFilter; 18] = [
    /*  0 */ step(LOAD_BYTE, PACKET_TYPE),
    /*  1 */ jump(PACKET_OUTGOING, 0, 14),
    /*  2 */ step(LOAD_BYTE, 0),
    /*  3 */ step(AND, 0xf0),
    /*  4 */ jump(0x40, 0, 5),
    /*  5 */ step(LOAD_BYTE, 9),
    /*  6 */ jump(TCP, 0, 9),
    /*  7 */ step(LOAD_IPV4_HEADER_LENGTH, 0),
    /*  8 */ step(LOAD_BYTE_INDEXED, FLAGS),
    /*  9 */ step(JUMP, 4),
    /* 10 */ jump(0x60, 0, 5),
    /* 11 */ step(LOAD_BYTE, 6),
    /* 12 */ jump(TCP, 0, 3),
    /* 13 */ step(LOAD_BYTE, IPV6_HEADER + FLAGS),
    /* 14 */ step(AND, SYN_RST_ACK),
    /* 15 */ jump(SYN, 1, 0),
    /* 16 */ step(RETURN, 0),
    /* 17 */ step(RETURN, u32::MAX),
];
