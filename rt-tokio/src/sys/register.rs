//! Sockets of kinds that tokio does not know.

use std::io;

use socket2::Socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has tokio tell when something can be read from a nonblocking socket.
///
/// # Errors
///
/// The system cannot watch another descriptor.
///
/// # Panics
///
/// Outside a tokio runtime with I/O.
pub(crate) fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a `Socket` owns its descriptor, names the same one at every call,
    // and closes it only when it is dropped.
    unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }.map_err(io::Error::from)
}
