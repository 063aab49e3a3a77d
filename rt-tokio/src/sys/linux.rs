//! Linux: what ICMP does to a socket that dials.
//!
//! Any ICMP error ends a dial that is pending, and a RST looks the same as most
//! of them. Two options change that (ip(7), ipv6(7); behaviour measured on 6.18):
//!
//! - `IP_RECVERR` keeps the ICMP message in the socket's error queue. On a socket
//!   that is *connected* it would also turn errors into fatal ones that otherwise
//!   only delay, so it is for the dial alone.
//! - `IP_MINTTL` drops what comes with fewer hops left. For IPv4 an ICMP error is
//!   judged by the segment that it quotes, and that of an expired one has 0 or 1
//!   left: 2 is enough, and nothing else is lost. For IPv6 (`IPV6_MINHOPCOUNT`)
//!   it is judged by its own hop limit, so only a bar above what all routers send
//!   with keeps it out, and the other side's segments with it: that bar has to
//!   come down soon.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use proto::Family;

use super::IcmpError;

/// What a socket is to these functions.
pub(crate) use std::os::fd::AsFd as Handle;

/// Whether dials can outlive and tell ICMP errors here.
pub(crate) const HEARS_ICMP: bool = true;

/// Type of an ICMP message that says that the hop limit was exceeded (RFC 792),
/// and of the ICMPv6 one (RFC 4443 section 3.3).
const TIME_EXCEEDED_V4: u8 = 11;
const TIME_EXCEEDED_V6: u8 = 3;

/// What a quoted segment that has expired has left at most, and one.
const ABOVE_EXPIRED: libc::c_int = 2;

/// Routers send ICMPv6 with 64, 128 or 255; one that is not next door has
/// less than 255 left of any.
const ABOVE_ROUTERS: libc::c_int = 255;

/// Lets a dial outlive the news that its SYN has expired on the way, until
/// [`heed_expired`]. An IPv6 socket hears nothing else meanwhile either.
///
/// # Errors
///
/// The kernel is older than 2.6.34 (IPv4) or 4.8 (IPv6).
pub(crate) fn ignore_expired(socket: &impl Handle, family: Family) -> io::Result<()> {
    set_least_hops(
        socket,
        family,
        match family {
            Family::V4 => ABOVE_EXPIRED,
            Family::V6 => ABOVE_ROUTERS,
        },
    )
}

/// Undoes [`ignore_expired`].
///
/// # Errors
///
/// Those of [`ignore_expired`].
pub(crate) fn heed_expired(socket: &impl Handle, family: Family) -> io::Result<()> {
    set_least_hops(socket, family, 0)
}

fn set_least_hops(socket: &impl Handle, family: Family, hops: libc::c_int) -> io::Result<()> {
    let (level, name) = match family {
        Family::V4 => (libc::IPPROTO_IP, libc::IP_MINTTL),
        Family::V6 => (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT),
    };
    // SAFETY: the descriptor is open while `socket` is borrowed; the kernel reads
    // as many bytes as the length says, from an int that outlives the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const hops).cast(),
            size_of_val(&hops) as libc::socklen_t,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether ICMP errors are kept for [`take_icmp_error`]. Only while the socket
/// dials: see above.
///
/// # Errors
///
/// The socket is of another family.
pub(crate) fn tell_icmp(socket: &impl Handle, family: Family, keep: bool) -> io::Result<()> {
    match family {
        Family::V4 => setsockopt(&socket.as_fd(), Ipv4RecvErr, &keep)?,
        Family::V6 => setsockopt(&socket.as_fd(), Ipv6RecvErr, &keep)?,
    }
    Ok(())
}

/// The oldest ICMP error that the socket has met; each is given once. Never
/// waits. Always `None` before Linux 5.17, which keeps none for TCP.
pub(crate) fn take_icmp_error(socket: &impl Handle) -> Option<IcmpError> {
    let mut space = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    // The segment that the error quotes is of no interest.
    let mut quoted = [0; 1];
    let mut parts = [IoSliceMut::new(&mut quoted)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_fd().as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
    )
    .ok()?;
    #[allow(clippy::wildcard_enum_match_arm, reason = "nix knows dozens")]
    message.cmsgs().ok()?.find_map(|part| {
        let (error, router) = match part {
            ControlMessageOwned::Ipv4RecvErr(error, router) => (
                error,
                router.map(|at| IpAddr::V4(Ipv4Addr::from(u32::from_be(at.sin_addr.s_addr)))),
            ),
            ControlMessageOwned::Ipv6RecvErr(error, router) => (
                error,
                router.map(|at| IpAddr::V6(Ipv6Addr::from(at.sin6_addr.s6_addr))),
            ),
            _ => return None,
        };
        let expired = match error.ee_origin {
            libc::SO_EE_ORIGIN_ICMP => error.ee_type == TIME_EXCEEDED_V4,
            libc::SO_EE_ORIGIN_ICMP6 => error.ee_type == TIME_EXCEEDED_V6,
            // The host's own word, or a timestamp.
            _ => return None,
        };
        Some(IcmpError {
            expired_at: router.filter(|_| expired),
        })
    })
}
