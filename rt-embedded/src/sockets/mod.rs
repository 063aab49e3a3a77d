//! The machine's sockets on the stack's: who uses which slot of the socket set,
//! and for what.
//!
//! smoltcp hands a segment to the first socket, in the order of the slots, that
//! accepts it, and a listening socket accepts every SYN to its port. So one rule
//! holds at all times: **on one port, whatever has an other end sits in a lower
//! slot than whatever listens** ([`place`]). Else the listener would take the SYN
//! that the other side's dial sends to ours, or a SYN that is sent again.

mod look;
mod place;
mod traffic;

use heapless::Vec;
use proto::{Close, Endpoint, Failure, Family, Instant, ListenerId, SocketId};
use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::AnySocket;
use smoltcp::socket::tcp::{ConnectError, Socket, State};

use crate::convert::{from_endpoint, has_family, to_address};
use crate::tap::Watch;

pub(crate) use look::Happened;

/// How long a closed socket waits for the other side's FIN before its slot is
/// used again (Linux: `tcp_fin_timeout`). smoltcp itself waits for ever.
const LINGER: core::time::Duration = core::time::Duration::from_secs(60);

/// What a slot is used for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Role {
    Free,
    /// Waits for a SYN.
    Listening {
        port: u16,
    },
    /// Took a SYN; the machine learns of it when the handshake is over.
    HalfOpen {
        port: u16,
    },
    /// `answering` once the other side's SYN has come.
    Dialling {
        id: SocketId,
        answering: bool,
    },
    Up {
        id: SocketId,
        reading: Option<usize>,
    },
    /// It took less than it was given to send: of no use any more.
    Overflowed {
        id: SocketId,
    },
    /// The application's.
    HandedOver,
    /// Closed; the stack still has to say so to the other side.
    Ending {
        until: Instant,
    },
}

#[derive(Copy, Clone, Debug)]
struct Slot {
    handle: SocketHandle,
    role: Role,
}

/// A port that is listened on, for one family or both.
#[derive(Copy, Clone, Debug)]
struct Group {
    port: u16,
    v4: Option<ListenerId>,
    v6: Option<ListenerId>,
}

impl Group {
    fn of(&mut self, family: Family) -> &mut Option<ListenerId> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// The table: `SOCKETS` slots, `PORTS` ports that are listened on.
#[derive(Debug)]
pub(crate) struct Sockets<const SOCKETS: usize, const PORTS: usize> {
    /// By their place in the socket set.
    slots: Vec<Slot, SOCKETS>,
    groups: Vec<Group, PORTS>,
    /// Sockets that listen on each port at the same time.
    backlog: usize,
    watch: Watch<SOCKETS>,
    /// Where the look at the slots goes on.
    next: usize,
}

impl<const SOCKETS: usize, const PORTS: usize> Sockets<SOCKETS, PORTS> {
    /// A table over these sockets of the set, all of them closed.
    pub(crate) fn new(handles: Vec<SocketHandle, SOCKETS>, backlog: usize) -> Self {
        let mut slots: Vec<Slot, SOCKETS> = handles
            .into_iter()
            .map(|handle| Slot {
                handle,
                role: Role::Free,
            })
            .collect();
        slots.sort_unstable_by_key(|slot| slot.handle);
        Self {
            slots,
            groups: Vec::new(),
            backlog: backlog.max(1),
            watch: Watch::new(),
            next: 0,
        }
    }

    /// Whether somebody listens on the port or uses it for a connection, the
    /// sockets that are none of ours included.
    pub(crate) fn is_taken(&self, set: &SocketSet<'_>, port: u16) -> bool {
        self.groups.iter().any(|group| group.port == port)
            || all(set).any(|socket| {
                let used = socket.local_endpoint().map(|local| local.port);
                let listened = socket.is_listening().then(|| socket.listen_endpoint().port);
                used.or(listened) == Some(port)
            })
    }

    /// Listens on a port for one family; the sockets are shared by both.
    pub(crate) fn listen(
        &mut self,
        now: Instant,
        set: &mut SocketSet<'_>,
        id: ListenerId,
        local: Endpoint,
    ) -> Result<(), Failure> {
        let family = local.family();
        let known = self
            .groups
            .iter_mut()
            .find(|group| group.port == local.port);
        if let Some(group) = known {
            let listener = group.of(family);
            if listener.is_some() {
                return Err(Failure::AddressInUse);
            }
            *listener = Some(id);
            return Ok(());
        }
        let mut group = Group {
            port: local.port,
            v4: None,
            v6: None,
        };
        *group.of(family) = Some(id);
        self.groups.push(group).map_err(|_| Failure::Exhausted)?;
        if self.is_full() {
            self.reclaim(now, set);
        }
        self.refill(set);
        let listens = self.slots.iter().any(|slot| {
            let Role::Listening { port } = slot.role else {
                return false;
            };
            port == local.port
        });
        if !listens {
            self.groups.pop();
            return Err(Failure::Exhausted);
        }
        Ok(())
    }

    /// Closes a listener, and what it has taken and the machine does not know.
    pub(crate) fn unlisten(&mut self, now: Instant, set: &mut SocketSet<'_>, id: ListenerId) {
        for group in &mut self.groups {
            for listener in [&mut group.v4, &mut group.v6] {
                if *listener == Some(id) {
                    *listener = None;
                }
            }
        }
        let unused = |group: &Group| group.v4.is_none() && group.v6.is_none();
        while let Some(index) = self.groups.iter().position(unused) {
            let group = self.groups.swap_remove(index);
            for at in 0..self.slots.len() {
                match self.role(at) {
                    Role::Listening { port } if port == group.port => self.free(set, at),
                    Role::HalfOpen { port } if port == group.port => {
                        self.end(now, set, at, Close::Reset);
                    }
                    Role::Free
                    | Role::Listening { .. }
                    | Role::HalfOpen { .. }
                    | Role::Dialling { .. }
                    | Role::Up { .. }
                    | Role::Overflowed { .. }
                    | Role::HandedOver
                    | Role::Ending { .. } => {}
                }
            }
        }
    }

    /// Dials. The first SYN has its own hop limit where one is given.
    pub(crate) fn dial(
        &mut self,
        now: Instant,
        (iface, set): (&mut Interface, &mut SocketSet<'_>),
        id: SocketId,
        (local, remote): (Endpoint, Endpoint),
        hop_limit: Option<u8>,
    ) -> Result<(), Failure> {
        let address = to_address(remote.ip).ok_or(Failure::Unreachable)?;
        if !has_family(iface, remote.family()) {
            return Err(Failure::Unreachable);
        }
        // The stack would make two sockets of one four-tuple, and give the first
        // of them everything.
        let tuple = Some((local.port, remote));
        if all(set).any(|socket| ends_of(socket) == tuple) {
            return Err(Failure::AddressNotAvailable);
        }
        let at = self
            .slot_for_connector(now, set, local.port)
            .ok_or(Failure::Exhausted)?;
        let socket = socket_mut(set, self.handle(at));
        prepare(socket);
        socket.set_hop_limit(hop_limit.map(|hops| hops.max(1)));
        let result = socket.connect(iface.context(), (address, remote.port), local.port);
        result.map_err(|error| match error {
            ConnectError::Unaddressable => Failure::Unreachable,
            ConnectError::InvalidState => Failure::Other,
        })?;
        if hop_limit.is_some() {
            self.watch.add(local.port, remote);
        }
        self.set_role(
            at,
            Role::Dialling {
                id,
                answering: false,
            },
        );
        Ok(())
    }

    /// Wants so many bytes of a stream; nothing for one that has ended.
    pub(crate) fn read(&mut self, wanted: SocketId, exactly: usize) {
        self.next = 0;
        for slot in &mut self.slots {
            if let Role::Up { id, reading } = &mut slot.role
                && *id == wanted
            {
                *reading = Some(exactly);
            }
        }
    }

    /// Queues bytes; nothing for a stream that has ended.
    pub(crate) fn send(&mut self, set: &mut SocketSet<'_>, id: SocketId, data: &[u8]) {
        let Some(at) = self.find(id) else { return };
        let socket = socket_mut(set, self.handle(at));
        match socket.send_slice(data) {
            Ok(sent) if sent == data.len() => {}
            // The machine never has more unsent than the contract says, unless
            // nothing gets through any more.
            Ok(_) => {
                socket.abort();
                self.set_role(at, Role::Overflowed { id });
                self.next = 0;
            }
            // It has ended, and the machine is about to learn of it.
            Err(_) => {}
        }
    }

    /// Closes and forgets a socket.
    pub(crate) fn close(
        &mut self,
        now: Instant,
        set: &mut SocketSet<'_>,
        id: SocketId,
        how: Close,
    ) {
        if let Some(at) = self.find(id) {
            self.end(now, set, at, how);
        }
    }

    /// Makes a socket the application's.
    pub(crate) fn hand_over(
        &mut self,
        set: &SocketSet<'_>,
        id: SocketId,
    ) -> Option<(SocketHandle, Endpoint, Endpoint)> {
        let at = self.find(id)?;
        self.set_role(at, Role::HandedOver);
        let handle = self.handle(at);
        let unknown = Endpoint::unspecified(Family::V4, 0);
        let socket = socket(set, handle);
        let local = socket.local_endpoint().map_or(unknown, from_endpoint);
        let remote = socket.remote_endpoint().map_or(unknown, from_endpoint);
        Some((handle, local, remote))
    }

    /// Takes a socket back from the application; false if it is none of its.
    pub(crate) fn take_back(
        &mut self,
        now: Instant,
        set: &mut SocketSet<'_>,
        handle: SocketHandle,
        how: Close,
    ) -> bool {
        let found = self
            .slots
            .iter()
            .position(|slot| slot.handle == handle && slot.role == Role::HandedOver);
        if let Some(at) = found {
            self.end(now, set, at, how);
        }
        found.is_some()
    }

    fn end(&mut self, now: Instant, set: &mut SocketSet<'_>, at: usize, how: Close) {
        let socket = socket_mut(set, self.handle(at));
        match (socket.state(), how) {
            // A dial that nobody has answered: `close` and `abort` would send a
            // RST, which a kernel does not.
            (State::SynSent | State::Closed | State::Listen, _) | (_, Close::Silent) => {
                self.free(set, at);
            }
            (_, Close::Fin) => {
                socket.close();
                let until = now.after(LINGER);
                self.set_role(at, Role::Ending { until });
            }
            (_, Close::Reset) => {
                socket.abort();
                let until = now.after(LINGER);
                self.set_role(at, Role::Ending { until });
            }
        }
    }

    /// Makes a slot free without a word to anybody.
    fn free(&mut self, set: &mut SocketSet<'_>, at: usize) {
        let handle = self.handle(at);
        if let Some((port, remote)) = ends(set, handle) {
            self.watch.forget(port, remote);
        }
        silence(socket_mut(set, handle));
        self.set_role(at, Role::Free);
    }

    fn find(&self, wanted: SocketId) -> Option<usize> {
        self.slots.iter().position(|slot| match slot.role {
            Role::Dialling { id, .. } | Role::Up { id, .. } | Role::Overflowed { id } => {
                id == wanted
            }
            Role::Free
            | Role::Listening { .. }
            | Role::HalfOpen { .. }
            | Role::HandedOver
            | Role::Ending { .. } => false,
        })
    }

    fn role(&self, at: usize) -> Role {
        self.slots.get(at).map_or(Role::Free, |slot| slot.role)
    }

    fn handle(&self, at: usize) -> SocketHandle {
        self.slots
            .get(at)
            .map_or_else(SocketHandle::default, |slot| slot.handle)
    }

    fn set_role(&mut self, at: usize, role: Role) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.role = role;
        }
    }
}

pub(crate) fn socket<'s, 'b>(set: &'s SocketSet<'b>, handle: SocketHandle) -> &'s Socket<'b> {
    set.get(handle)
}

pub(crate) fn socket_mut<'s, 'b>(
    set: &'s mut SocketSet<'b>,
    handle: SocketHandle,
) -> &'s mut Socket<'b> {
    set.get_mut(handle)
}

/// Every TCP socket of the set.
fn all<'s, 'b>(set: &'s SocketSet<'b>) -> impl Iterator<Item = &'s Socket<'b>> {
    set.iter()
        .filter_map(|(_, socket)| Socket::downcast(socket))
}

/// Local port and other end of a socket that has one.
fn ends(set: &SocketSet<'_>, handle: SocketHandle) -> Option<(u16, Endpoint)> {
    ends_of(socket(set, handle))
}

fn ends_of(socket: &Socket<'_>) -> Option<(u16, Endpoint)> {
    let local = socket.local_endpoint()?;
    Some((local.port, from_endpoint(socket.remote_endpoint()?)))
}

/// Undoes what an earlier user of the slot has set.
fn prepare(socket: &mut Socket<'_>) {
    socket.set_hop_limit(None);
    socket.set_timeout(None);
    socket.set_keep_alive(None);
    // Hellos and records are small, and must not wait for one another.
    socket.set_nagle_enabled(false);
}

/// Forgets the connection and sends nothing: `abort` alone leaves a RST to be
/// sent, and `listen` is what clears it.
fn silence(socket: &mut Socket<'_>) {
    socket.abort();
    // Port 1 is as good as any: it is closed before the next packet.
    let _ = socket.listen(1);
    socket.abort();
}
