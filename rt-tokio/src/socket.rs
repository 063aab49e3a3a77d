//! The one place where sockets are built.
//!
//! What matters to a punch, and what every recipe here keeps to:
//!
//! - all reuse options on **every** socket of a port, before `bind`: after
//!   `listen()` Linux answers each further bind without them with EADDRINUSE;
//! - the port that was asked for or an error, never another port;
//! - a dial is nonblocking from the first moment and is never given up here;
//! - a dial counts as up when it has a peer address, not when it is writable.
//!
//! | system | reuse options | run by the tests |
//! |---|---|---|
//! | Linux, Android | SO_REUSEADDR, SO_REUSEPORT | Linux yes |
//! | macOS, iOS, BSDs | SO_REUSEADDR, SO_REUSEPORT | no |
//! | Solaris, illumos | SO_REUSEADDR | no |
//! | Windows | SO_REUSEADDR, which there means what SO_REUSEPORT means elsewhere | no |

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use proto::{Endpoint, Failure, Family, Hops};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};

use crate::sys::{self, IcmpError};

/// Connections that wait to be accepted. A punch needs a handful, a server many
/// at once when its peers come back after a restart; Linux caps it at
/// `net.core.somaxconn`.
const BACKLOG: i32 = 1_024;

/// Starts to dial `remote` from `local`, and from no other port.
///
/// The caller waits with [`poll_connected`]. An IPv6 dial with [`Hops::Short`]
/// hears nothing until the caller lets it with [`hear_again`].
///
/// # Errors
///
/// The socket cannot be made or bound, or the host knows at once that the dial
/// is in vain. Nothing is left open.
pub(crate) fn dial(local: Endpoint, remote: Endpoint, hops: Hops) -> Result<TcpStream, DialError> {
    let family = remote.family();
    let socket = new_socket(family)?;
    share_port(&socket)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SockAddr::from(SocketAddr::from(local)))?;
    sys::tell_icmp(&socket, family, true)?;
    let usual = match hops {
        Hops::Default => None,
        Hops::Short(limit) => {
            sys::ignore_expired(&socket, family)?;
            Some(set_hop_limit(&socket, family, u32::from(limit))?)
        }
        Hops::Trace(limit) => {
            set_hop_limit(&socket, family, u32::from(limit))?;
            None
        }
    };
    let started = start_connect(&socket, remote);
    // The first SYN has left by now: connect() sends it before it returns.
    if let Some(usual) = usual {
        set_hop_limit(&socket, family, usual)?;
    }
    if let Err(error) = started {
        return Err(DialError::new(&socket, error));
    }
    Ok(TcpStream::from_std(socket.into())?)
}

/// Lets a dial with [`Hops::Short`] hear everything again.
///
/// For IPv4 that is of no use before it is connected: what is ignored is no more
/// than the news that its SYN has expired. An IPv6 one hears nothing at all.
pub(crate) fn hear_again(stream: &TcpStream, family: Family) {
    // It can hear already, if it cannot be told to.
    let _ = sys::heed_expired(stream, family);
}

/// Why a dial did not come up.
#[derive(Debug)]
pub(crate) struct DialError {
    error: io::Error,
    /// What ICMP said, if it was that.
    icmp: Option<IcmpError>,
}

impl DialError {
    fn new(socket: &impl sys::Handle, error: io::Error) -> Self {
        Self {
            error,
            icmp: sys::take_icmp_error(socket),
        }
    }

    /// What the machines call it. Where a RST and ICMP give the same error
    /// number, the error queue told them apart.
    pub(crate) fn failure(&self) -> Failure {
        match self.icmp {
            Some(_) => Failure::Unreachable,
            None => failure(&self.error),
        }
    }

    /// The router where the hop limit was exceeded, if that is why.
    pub(crate) fn expired_at(&self) -> Option<IpAddr> {
        self.icmp.and_then(|icmp| icmp.expired_at)
    }
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        Self { error, icmp: None }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// Listens on a port that is dialled from as well.
///
/// # Errors
///
/// The socket cannot be made, or its port is taken by somebody who does not
/// share it.
pub(crate) fn listen_shared(local: Endpoint) -> io::Result<TcpListener> {
    listen(local, true)
}

/// Listens on a server's port, which is shared with nobody: two servers on one
/// port would each get half of the peers.
///
/// # Errors
///
/// The socket cannot be made or the port is taken.
pub(crate) fn listen_alone(local: Endpoint) -> io::Result<TcpListener> {
    listen(local, false)
}

fn listen(local: Endpoint, shared: bool) -> io::Result<TcpListener> {
    let socket = new_socket(local.family())?;
    if shared {
        share_port(&socket)?;
    } else {
        survive_time_wait(&socket)?;
    }
    socket.bind(&SockAddr::from(SocketAddr::from(local)))?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Sets what an accepted connection does not inherit everywhere.
///
/// # Errors
///
/// The connection is gone already.
pub(crate) fn prepare_accepted(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)
}

/// Whether `accept` failed for one connection only, which went away before it
/// was accepted. With anything else, asking again at once may fail for ever.
pub(crate) fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Says why nothing is accepted for a moment.
pub(crate) fn warn_of_pause(error: &io::Error) {
    if failure(error) == Failure::Exhausted {
        tracing::warn!(%error, "cannot accept: raise the limit of open files");
    } else {
        tracing::warn!(%error, "cannot accept for a moment");
    }
}

/// Waits until a dial is up.
///
/// Writability alone proves nothing: a socket whose connect failed is writable
/// too, sometimes with its error already taken. So: error first, then the peer
/// address, and only with both right it is up.
pub(crate) fn poll_connected(
    stream: &TcpStream,
    cx: &mut Context<'_>,
) -> Poll<Result<(), DialError>> {
    loop {
        ready!(stream.poll_write_ready(cx)).map_err(DialError::from)?;
        let mut icmp = None;
        let checked = stream.try_io(Interest::WRITABLE, || {
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            match stream.peer_addr() {
                // Writable for another reason: tokio shall wait for the next
                // edge. (macOS and Windows say EINVAL where Linux says ENOTCONN.)
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotConnected | io::ErrorKind::InvalidInput
                    ) =>
                {
                    // An ICMP error that came while a call held the socket ended
                    // up in the queue and nowhere else. There it makes the socket
                    // writable for ever, so it has to count like any other.
                    icmp = sys::take_icmp_error(stream);
                    Err(match icmp {
                        Some(_) => io::ErrorKind::HostUnreachable.into(),
                        None => io::ErrorKind::WouldBlock.into(),
                    })
                }
                other => other.map(drop),
            }
        });
        return Poll::Ready(match checked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) if icmp.is_some() => Err(DialError { error, icmp }),
            Err(error) => Err(DialError::new(stream, error)),
            Ok(()) => {
                settle(stream);
                Ok(())
            }
        });
    }
}

/// Makes an ordinary connection of a dial that is up.
fn settle(stream: &TcpStream) {
    let Ok(local) = stream.local_addr() else {
        // Gone already; whoever uses it will see.
        return;
    };
    let family = Endpoint::from(local).family();
    hear_again(stream, family);
    // From here on an ICMP error shall delay, not end it.
    let _ = sys::tell_icmp(stream, family, false);
    while sys::take_icmp_error(stream).is_some() {}
}

/// Makes the close of this stream a RST: NATs drop their entry, nothing stays.
pub(crate) fn reset(stream: TcpStream) {
    // A socket that is gone already needs no RST.
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

/// What the machines call this error.
pub(crate) fn failure(error: &io::Error) -> Failure {
    if let Some(failure) = error.raw_os_error().and_then(by_number) {
        return failure;
    }
    #[allow(clippy::wildcard_enum_match_arm, reason = "std adds kinds as it likes")]
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Failure::Reset,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown => Failure::Unreachable,
        io::ErrorKind::TimedOut => Failure::TimedOut,
        io::ErrorKind::AddrInUse => Failure::AddressInUse,
        io::ErrorKind::AddrNotAvailable => Failure::AddressNotAvailable,
        io::ErrorKind::OutOfMemory => Failure::Exhausted,
        io::ErrorKind::PermissionDenied => Failure::Forbidden,
        _ => Failure::Other,
    }
}

/// The numbers that `ErrorKind` has no name for, or one name for two of them.
#[cfg(unix)]
fn by_number(number: i32) -> Option<Failure> {
    match number {
        // A local firewall says EACCES, a rule that forbids EPERM; std calls
        // both "permission denied". EAFNOSUPPORT: a host without IPv6.
        libc::EACCES | libc::EHOSTDOWN | libc::EAFNOSUPPORT => Some(Failure::Unreachable),
        libc::EPERM => Some(Failure::Forbidden),
        libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM => Some(Failure::Exhausted),
        _ => None,
    }
}

/// Not run. The numbers are those of `winsock2.h`: WSAEMFILE, WSAENOBUFS,
/// WSAEACCES, WSAEAFNOSUPPORT.
#[cfg(windows)]
fn by_number(number: i32) -> Option<Failure> {
    match number {
        10_024 | 10_055 => Some(Failure::Exhausted),
        10_013 | 10_047 => Some(Failure::Unreachable),
        _ => None,
    }
}

#[cfg(not(any(unix, windows)))]
fn by_number(_: i32) -> Option<Failure> {
    None
}

fn new_socket(family: Family) -> io::Result<Socket> {
    let domain = match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    };
    // socket2 sets close-on-exec, and SO_NOSIGPIPE where there is such a thing.
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if family == Family::V6 {
        // The machines ask for each family by itself, and an IPv4 peer must not
        // appear as ::ffff:a.b.c.d.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Lets several sockets have one port: listeners, dials, the link to the server.
///
/// On macOS and the BSDs the same two options are needed; not run there.
#[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)
}

/// Not run. Windows has no SO_REUSEPORT: SO_REUSEADDR already lets a port be
/// shared, with any program of the same user. Solaris and illumos have none that
/// works between listening and connecting sockets either.
#[cfg(not(all(unix, not(any(target_os = "solaris", target_os = "illumos")))))]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// Lets a server come back while connections of its last run are in TIME_WAIT.
#[cfg(not(windows))]
fn survive_time_wait(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// Not run. On Windows a listener takes its port in spite of TIME_WAIT, and
/// SO_REUSEADDR would let others take it away.
#[cfg(windows)]
fn survive_time_wait(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// Sets the hop limit; gives the one that was set before.
fn set_hop_limit(socket: &Socket, family: Family, limit: u32) -> io::Result<u32> {
    match family {
        Family::V4 => {
            let usual = socket.ttl_v4()?;
            socket.set_ttl_v4(limit)?;
            Ok(usual)
        }
        Family::V6 => {
            let usual = socket.unicast_hops_v6()?;
            socket.set_unicast_hops_v6(limit)?;
            Ok(usual)
        }
    }
}

fn start_connect(socket: &Socket, remote: Endpoint) -> io::Result<()> {
    match socket.connect(&SockAddr::from(SocketAddr::from(remote))) {
        Ok(()) => Ok(()),
        Err(error) if is_in_progress(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn is_in_progress(error: &io::Error) -> bool {
    // EINTR: the connect goes on all the same (POSIX).
    matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR))
}

/// Not run on Windows, which says WSAEWOULDBLOCK.
#[cfg(not(unix))]
fn is_in_progress(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

#[cfg(test)]
mod tests;
