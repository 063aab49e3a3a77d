//! What a driver has to be given.

use core::fmt;
use core::ops::RangeInclusive;

use heapless::Vec;
use proto::wire::MAX_FRAME;
use proto::{Endpoint, SEND_BUFFER};
use smoltcp::iface::SocketHandle;

/// Most endpoints of the server that a driver remembers.
pub const MAX_SERVERS: usize = 4;

/// What a driver is told about the place where it runs.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where the server is, best first: there is no resolver on board.
    pub servers: Vec<Endpoint, MAX_SERVERS>,
    /// The ports that listeners are given which may have any; by default the
    /// dynamic ones of RFC 6335 section 6.
    pub ports: RangeInclusive<u16>,
    /// Which of them comes first: random, so that a restart does not begin with
    /// the ports that NATs still know.
    pub first_port: u16,
    /// Sockets that listen on a port at the same time. A SYN that comes while
    /// all of them are busy is answered with RST; between two packets they are
    /// replaced as long as there are closed sockets. At least 1; by default 2.
    pub backlog: usize,
}

impl Setup {
    /// The defaults for a server at one endpoint. `random` are two bytes of the
    /// host's entropy.
    pub fn new(server: Endpoint, random: u16) -> Self {
        let mut servers = Vec::new();
        // There is room for one.
        let _ = servers.push(server);
        Self {
            servers,
            ports: 49_152..=65_535,
            first_port: random,
            backlog: 2,
        }
    }
}

/// Sockets that a driver cannot work with.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// More handles than the driver has room for.
    TooManySockets,
    /// A socket's receive buffer is shorter than a frame
    /// ([`MAX_FRAME`] bytes).
    ReceiveBuffer(SocketHandle),
    /// A socket's send buffer is shorter than [`MAX_FRAME`] and its length
    /// field. [`SEND_BUFFER`] bytes are always enough; with fewer a link that
    /// is slow to be acknowledged may end with [`Failure::Other`](proto::Failure::Other).
    SendBuffer(SocketHandle),
    /// A socket is not closed.
    InUse(SocketHandle),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManySockets => f.write_str("more sockets than the driver has room for"),
            Self::ReceiveBuffer(handle) => {
                write!(
                    f,
                    "the receive buffer of {handle} is under {MAX_FRAME} bytes"
                )
            }
            Self::SendBuffer(handle) => write!(
                f,
                "the send buffer of {handle} is under {} bytes; {SEND_BUFFER} are always enough",
                MAX_FRAME + 2
            ),
            Self::InUse(handle) => write!(f, "socket {handle} is not closed"),
        }
    }
}

impl core::error::Error for SetupError {}
