//! The kernel's table of connections, by ctnetlink.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

/// `NLMSG_HDRLEN` and `struct nfgenmsg`.
const LENGTH: u32 = 16 + 4;
/// `IPCTNL_MSG_CT_DELETE` of `NFNL_SUBSYS_CTNETLINK`.
const DELETE: u16 = 1 << 8 | 2;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const FLAGS: u16 = 1 | 4;

/// Deletes all connections of the calling thread's network namespace.
pub(super) fn flush() -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // Sequence number and port, and then of nfgenmsg: every family, version 0. Nothing says which: all.
    let request = [
        &LENGTH.to_ne_bytes()[..],
        &DELETE.to_ne_bytes(),
        &FLAGS.to_ne_bytes(),
        &[0; 12],
    ]
    .concat();
    socket.send(&request, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    // The code follows the head: zero is the acknowledgment.
    let code = answer
        .get(16..20)
        .and_then(|bytes| Some(i32::from_ne_bytes(bytes.try_into().ok()?)));
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}
