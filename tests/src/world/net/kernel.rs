//! A host's sockets as programs know them from a kernel: listeners with a
//! backlog, notices, sockets that close behind their program's back. For hosts
//! that run no [`Driver`](tcp_punch_embedded::Driver): the server, strangers,
//! and peers that are switched off.
//!
//! smoltcp has no backlog. But whoever holds the cable sees a SYN before the
//! stack does, so a listening socket is made for it at that moment.

mod icmp;
mod run;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::AnySocket;
use smoltcp::socket::tcp::{ConnectError, RecvError, Socket as TcpSocket, State};
use tcp_punch_proto::noise::Jitter;
use tcp_punch_proto::{Close, Endpoint, Failure, Family, Instant};

use super::Socket;
use super::challenge::Numbers;
use super::stack::{Stack, from_stack_endpoint, to_stack_address};

/// The ports that a host picks from by itself, at random (Linux:
/// `ip_local_port_range`).
const EPHEMERAL: Range<u16> = 32_768..61_000;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Phase {
    Dialling,
    /// A listener's, before the handshake is over.
    HalfOpen(Socket),
    Up,
}

#[derive(Copy, Clone, Debug)]
struct Open {
    handle: SocketHandle,
    phase: Phase,
    /// Bytes that its program knows of.
    known: usize,
    end_is_known: bool,
    /// It was given more to send than it has room for.
    overflowed: bool,
}

/// The programs' side of a host's stack.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// Port 0: every port, for strangers who take any call.
    listeners: BTreeMap<Socket, Endpoint>,
    open: BTreeMap<Socket, Open>,
    /// Closed by their programs; the stack goes on with them by itself. With the
    /// time until which the other side's FIN is waited for.
    orphans: Vec<(SocketHandle, Option<Instant>)>,
    numbers: Numbers,
    random: Jitter,
}

impl Kernel {
    pub(crate) fn new(random: Jitter) -> Self {
        Self {
            listeners: BTreeMap::new(),
            open: BTreeMap::new(),
            orphans: Vec::new(),
            numbers: Numbers::default(),
            random,
        }
    }

    pub(crate) fn listen(
        &mut self,
        stack: &Stack,
        socket: Socket,
        local: Endpoint,
    ) -> Result<Endpoint, Failure> {
        let has = |ip| stack.addresses.contains(&ip);
        if !local.ip.is_unspecified() && !has(local.ip) {
            return Err(Failure::AddressNotAvailable);
        }
        self.listeners.insert(socket, local);
        Ok(local)
    }

    pub(crate) fn listen_on_every_port(&mut self, socket: Socket, family: Family) {
        let everywhere = Endpoint::unspecified(family, 0);
        self.listeners.insert(socket, everywhere);
    }

    pub(crate) fn dial(
        &mut self,
        stack: &mut Stack,
        socket: Socket,
        (local, remote): (Endpoint, Endpoint),
        hops: Option<u8>,
    ) -> Result<(), Failure> {
        let port = if local.port == 0 {
            self.free_port(stack)
        } else {
            local.port
        };
        let fits = |ip: IpAddr| {
            Family::of(ip) == remote.family() && (local.ip.is_unspecified() || ip == local.ip)
        };
        let mut own = stack.addresses.iter().copied();
        let from = own.find(|&ip| fits(ip)).ok_or(Failure::Unreachable)?;
        if find(stack, (Endpoint::new(from, port), remote)).is_some() {
            return Err(Failure::AddressNotAvailable);
        }
        let handle = stack.add_socket();
        let dialling = stack.set.get_mut::<TcpSocket<'_>>(handle);
        dialling.set_hop_limit(hops);
        let to = (to_stack_address(remote.ip), remote.port);
        let from = (to_stack_address(from), port);
        if let Err(ConnectError::InvalidState | ConnectError::Unaddressable) =
            dialling.connect(stack.iface.context(), to, from)
        {
            stack.set.remove(handle);
            return Err(Failure::Unreachable);
        }
        self.insert(socket, handle, Phase::Dialling);
        Ok(())
    }

    pub(crate) fn send(&mut self, stack: &mut Stack, socket: Socket, data: &[u8]) {
        let Some(open) = self.open.get_mut(&socket) else {
            return;
        };
        let connection = stack.socket_mut(open.handle);
        if connection
            .send_slice(data)
            .is_ok_and(|sent| sent < data.len())
        {
            connection.abort();
            open.overflowed = true;
        }
    }

    pub(crate) fn readable(&self, stack: &Stack, socket: Socket) -> usize {
        let open = self.open.get(&socket);
        open.map_or(0, |open| stack.socket(open.handle).recv_queue())
    }

    pub(crate) fn read(&mut self, stack: &mut Stack, socket: Socket, count: usize) -> Vec<u8> {
        let Some(open) = self.open.get_mut(&socket) else {
            return Vec::new();
        };
        let mut bytes = vec![0; count];
        let connection = stack.socket_mut(open.handle);
        let read = connection.recv_slice(&mut bytes).unwrap_or_default();
        bytes.truncate(read);
        open.known = connection.recv_queue();
        bytes
    }

    /// `Some` if nothing will come after what can be read: `None` within for a
    /// FIN, else why.
    pub(crate) fn ended(&self, stack: &mut Stack, socket: Socket) -> Option<Option<Failure>> {
        let open = self.open.get(&socket)?;
        if open.overflowed {
            return Some(Some(Failure::Other));
        }
        let connection = stack.socket_mut(open.handle);
        match connection.state() {
            State::SynSent
            | State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2 => None,
            State::CloseWait | State::Closing | State::LastAck | State::TimeWait => Some(None),
            State::Closed | State::Listen => {
                let in_order = connection.recv(|_| (0, ())) == Err(RecvError::Finished);
                Some((!in_order).then_some(Failure::Reset))
            }
        }
    }

    /// Closes a socket of any kind.
    pub(crate) fn close(&mut self, stack: &mut Stack, socket: Socket, how: Close) {
        if self.listeners.remove(&socket).is_some() {
            let unaccepted: Vec<Socket> = self
                .open
                .iter()
                .filter(|(_, open)| open.phase == Phase::HalfOpen(socket))
                .map(|(&socket, _)| socket)
                .collect();
            for socket in unaccepted {
                self.close(stack, socket, Close::Reset);
            }
            return;
        }
        let Some(open) = self.open.remove(&socket) else {
            return;
        };
        let connection = stack.socket_mut(open.handle);
        match (connection.state(), how) {
            // A kernel sends nothing for a connect that is pending.
            (State::SynSent, _) => {
                stack.set.remove(open.handle);
                return;
            }
            (_, Close::Reset) => connection.abort(),
            // No kernel closes a connection that is up without a word.
            (_, Close::Fin | Close::Silent) => connection.close(),
        }
        self.orphans.push((open.handle, None));
    }

    /// Closes every socket of the host, whoever made it: the process has died.
    pub(crate) fn close_all(&mut self, stack: &mut Stack) {
        self.listeners.clear();
        self.open.clear();
        self.orphans.clear();
        let handles: Vec<SocketHandle> = stack.set.iter().map(|(handle, _)| handle).collect();
        for handle in handles {
            let connection = stack.socket_mut(handle);
            if connection.state() == State::SynSent || !connection.is_active() {
                stack.set.remove(handle);
            } else {
                connection.close();
                self.orphans.push((handle, None));
            }
        }
    }

    /// As a host does that loses its power.
    pub(crate) fn forget_all(&mut self, stack: &mut Stack) {
        stack.set = smoltcp::iface::SocketSet::new(Vec::new());
        stack.wire.incoming.clear();
        stack.wire.outgoing.clear();
        self.listeners.clear();
        self.open.clear();
        self.orphans.clear();
    }

    fn insert(&mut self, socket: Socket, handle: SocketHandle, phase: Phase) {
        let open = Open {
            handle,
            phase,
            known: 0,
            end_is_known: false,
            overflowed: false,
        };
        self.open.insert(socket, open);
    }

    fn free_port(&mut self, stack: &Stack) -> u16 {
        loop {
            let offset = self.random.below(EPHEMERAL.len() as u64);
            let port = EPHEMERAL.start + u16::try_from(offset).unwrap_or_default();
            let taken = tcp_sockets(stack)
                .filter_map(|(_, socket)| socket.local_endpoint())
                .any(|local| local.port == port);
            if !taken {
                return port;
            }
        }
    }
}

fn tcp_sockets(stack: &Stack) -> impl Iterator<Item = (SocketHandle, &TcpSocket<'static>)> {
    stack
        .set
        .iter()
        .filter_map(|(handle, socket)| Some((handle, TcpSocket::downcast(socket)?)))
}

/// The socket of a four-tuple, whoever's it is.
fn find(stack: &Stack, (local, remote): (Endpoint, Endpoint)) -> Option<SocketHandle> {
    let is = |socket: &TcpSocket<'_>| {
        let ends = socket.local_endpoint().zip(socket.remote_endpoint());
        ends.is_some_and(|(one, other)| {
            (from_stack_endpoint(one), from_stack_endpoint(other)) == (local, remote)
        })
    };
    tcp_sockets(stack)
        .find(|(_, socket)| is(socket))
        .map(|(handle, _)| handle)
}
