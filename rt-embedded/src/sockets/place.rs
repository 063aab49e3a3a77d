//! Which slot of the socket set a socket gets: on one port connectors below
//! listeners.

use proto::Instant;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::AnySocket;
use smoltcp::socket::tcp::{Socket, State};

use super::{Role, Sockets, prepare, socket, socket_mut};

impl<const SOCKETS: usize, const PORTS: usize> Sockets<SOCKETS, PORTS> {
    /// Keeps up the number of sockets that listen on each port, as far as there
    /// are free slots: a stack without a backlog needs one for every SYN that
    /// may come before the next look.
    pub(crate) fn refill(&mut self, set: &mut SocketSet<'_>) {
        for at in 0..self.slots.len() {
            if let Role::Listening { port } = self.role(at)
                && socket(set, self.handle(at)).state() != State::Listen
            {
                self.set_role(at, Role::HalfOpen { port });
            }
        }
        for index in 0..self.groups.len() {
            let Some(port) = self.groups.get(index).map(|group| group.port) else {
                return;
            };
            let listening = |role: Role| role == Role::Listening { port };
            let count = self
                .slots
                .iter()
                .filter(|slot| listening(slot.role))
                .count();
            for _ in count..self.backlog {
                let Some(at) = self.slot_for_listener(set, port) else {
                    return;
                };
                let socket = socket_mut(set, self.handle(at));
                prepare(socket);
                if socket.listen(port).is_err() {
                    return;
                }
                self.set_role(at, Role::Listening { port });
            }
        }
    }

    /// A free slot below all that listen on the port.
    pub(super) fn slot_for_connector(
        &mut self,
        now: Instant,
        set: &mut SocketSet<'_>,
        port: u16,
    ) -> Option<usize> {
        let free = self.first_free().or_else(|| {
            self.reclaim(now, set);
            self.first_free()
        })?;
        let listens = |slot: &super::Slot| slot.role == Role::Listening { port };
        match self.slots.iter().position(listens) {
            // A listening socket remembers nothing, so it moves up.
            Some(lowest) if lowest < free => {
                self.free(set, lowest);
                let socket = socket_mut(set, self.handle(free));
                prepare(socket);
                socket.listen(port).ok()?;
                self.set_role(free, Role::Listening { port });
                Some(lowest)
            }
            _ => Some(free),
        }
    }

    /// A free slot above all that have an other end and this port.
    fn slot_for_listener(&mut self, set: &mut SocketSet<'_>, port: u16) -> Option<usize> {
        let free = self
            .slots
            .iter()
            .rposition(|slot| slot.role == Role::Free)?;
        let above = self.slots.iter().rposition(|slot| {
            let movable = match slot.role {
                Role::HalfOpen { .. }
                | Role::Dialling { .. }
                | Role::Up { .. }
                | Role::Overflowed { .. }
                | Role::Ending { .. } => true,
                // The application knows it by its handle; and no SYN of its
                // connection is on the way any more.
                Role::HandedOver | Role::Free | Role::Listening { .. } => false,
            };
            let local = socket(set, slot.handle).local_endpoint();
            movable && local.is_some_and(|local| local.port == port)
        });
        match above {
            Some(above) if above > free => {
                self.exchange(set, free, above);
                Some(above)
            }
            _ => Some(free),
        }
    }

    /// Makes slots free that closed connections hold: those that only wait for
    /// late segments first.
    pub(super) fn reclaim(&mut self, now: Instant, set: &mut SocketSet<'_>) {
        for at in 0..self.slots.len() {
            if let Role::Ending { until } = self.role(at) {
                let state = socket(set, self.handle(at)).state();
                if state == State::TimeWait || until <= now {
                    self.free(set, at);
                }
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.first_free().is_none()
    }

    fn first_free(&self) -> Option<usize> {
        self.slots.iter().position(|slot| slot.role == Role::Free)
    }

    /// Swaps the sockets of two slots, connections and all.
    fn exchange(&mut self, set: &mut SocketSet<'_>, one: usize, other: usize) {
        exchange_sockets(set, self.handle(one), self.handle(other));
        let (of_one, of_other) = (self.role(one), self.role(other));
        self.set_role(one, of_other);
        self.set_role(other, of_one);
        self.next = 0;
    }
}

fn exchange_sockets(set: &mut SocketSet<'_>, one: SocketHandle, other: SocketHandle) {
    let (mut first, mut second) = (None, None);
    for (handle, socket) in set.iter_mut() {
        let Some(socket) = Socket::downcast_mut(socket) else {
            continue;
        };
        if handle == one {
            first = Some(socket);
        } else if handle == other {
            second = Some(socket);
        }
    }
    if let (Some(first), Some(second)) = (first, second) {
        core::mem::swap(first, second);
    }
}
