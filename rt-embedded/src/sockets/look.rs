//! What has become of the sockets since the machine was told last.

use proto::{Endpoint, Failure, Instant, ListenerId, SocketId};
use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{RecvError, Socket, State};

use super::{Close, Role, Sockets, socket, socket_mut};
use crate::convert::from_endpoint;

/// Something that the machine has to learn.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    Connected {
        id: SocketId,
        local: Endpoint,
    },
    DialFailed {
        id: SocketId,
        failure: Failure,
    },
    /// It has no id until [`Sockets::adopt`].
    Accepted {
        listener: ListenerId,
        slot: usize,
        local: Endpoint,
        remote: Endpoint,
    },
    /// So many bytes can be taken out of this socket.
    Readable {
        id: SocketId,
        handle: SocketHandle,
        exactly: usize,
    },
    Ended {
        id: SocketId,
        failure: Option<Failure>,
    },
}

impl<const SOCKETS: usize, const PORTS: usize> Sockets<SOCKETS, PORTS> {
    /// Looks at all sockets again.
    pub(crate) fn look_again(&mut self) {
        self.next = 0;
    }

    /// The next thing that has happened, each once.
    pub(crate) fn next_happened(
        &mut self,
        now: Instant,
        iface: &Interface,
        set: &mut SocketSet<'_>,
    ) -> Option<Happened> {
        while self.next < self.slots.len() {
            let at = self.next;
            self.next += 1;
            let happened = match self.role(at) {
                Role::Free | Role::Listening { .. } | Role::HandedOver => None,
                Role::HalfOpen { port } => self.look_half_open(now, set, at, port),
                Role::Dialling { id, answering } => {
                    self.look_dialling(iface, set, at, (id, answering))
                }
                Role::Up { id, reading } => self.look_up(set, at, (id, reading)),
                Role::Overflowed { id } => {
                    self.set_role(at, Role::Ending { until: now });
                    let failure = Some(Failure::Other);
                    Some(Happened::Ended { id, failure })
                }
                Role::Ending { .. } => {
                    self.look_ending(set, at);
                    None
                }
            };
            if happened.is_some() {
                return happened;
            }
        }
        None
    }

    /// The machine has given an accepted socket its id.
    pub(crate) fn adopt(&mut self, slot: usize, id: SocketId) {
        self.set_role(slot, Role::Up { id, reading: None });
    }

    fn look_half_open(
        &mut self,
        now: Instant,
        set: &mut SocketSet<'_>,
        at: usize,
        port: u16,
    ) -> Option<Happened> {
        let socket = socket(set, self.handle(at));
        match socket.state() {
            State::SynReceived => None,
            // Its dialler has given up.
            State::Listen | State::Closed => {
                self.free(set, at);
                None
            }
            State::SynSent
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => {
                let ends = (socket.local_endpoint(), socket.remote_endpoint());
                let (Some(local), Some(remote)) = ends else {
                    self.free(set, at);
                    return None;
                };
                let (local, remote) = (from_endpoint(local), from_endpoint(remote));
                let mut groups = self.groups.iter_mut();
                let group = groups.find(|group| group.port == port);
                let Some(listener) = group.and_then(|group| *group.of(local.family())) else {
                    self.end(now, set, at, Close::Reset);
                    return None;
                };
                Some(Happened::Accepted {
                    listener,
                    slot: at,
                    local,
                    remote,
                })
            }
        }
    }

    fn look_dialling(
        &mut self,
        iface: &Interface,
        set: &mut SocketSet<'_>,
        at: usize,
        (id, answering): (SocketId, bool),
    ) -> Option<Happened> {
        let socket = socket(set, self.handle(at));
        match socket.state() {
            State::SynSent => None,
            State::SynReceived => {
                let answering = true;
                self.set_role(at, Role::Dialling { id, answering });
                None
            }
            // The stack has no time limit unless it is given one, which nobody
            // does here: it was a RST, or the address is gone.
            State::Closed | State::Listen => {
                let failure = if iface.ip_addrs().is_empty() {
                    Failure::AddressNotAvailable
                } else if answering {
                    Failure::Reset
                } else {
                    Failure::Refused
                };
                self.free(set, at);
                Some(Happened::DialFailed { id, failure })
            }
            State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
            | State::TimeWait => {
                let local = socket.local_endpoint().map(from_endpoint)?;
                self.set_role(at, Role::Up { id, reading: None });
                // The read that it may already ask for is looked at next.
                Some(Happened::Connected { id, local })
            }
        }
    }

    fn look_up(
        &mut self,
        set: &mut SocketSet<'_>,
        at: usize,
        (id, reading): (SocketId, Option<usize>),
    ) -> Option<Happened> {
        let handle = self.handle(at);
        let socket = socket_mut(set, handle);
        let there = socket.recv_queue();
        if let Some(exactly) = reading
            && there >= exactly
        {
            self.set_role(at, Role::Up { id, reading: None });
            return Some(Happened::Readable {
                id,
                handle,
                exactly,
            });
        }
        let is_broken = socket.state() == State::Closed && there == 0;
        if is_broken || (reading.is_some() && is_over(socket)) {
            let failure = (!ended_in_order(socket)).then_some(Failure::Reset);
            // What we still had to say is of no interest to a machine that gets
            // no more answers; the other side sees our FIN.
            socket.close();
            let state = socket.state();
            if state == State::Closed {
                self.free(set, at);
            } else {
                self.set_role(
                    at,
                    Role::Ending {
                        until: Instant::ZERO,
                    },
                );
            }
            return Some(Happened::Ended { id, failure });
        }
        None
    }

    fn look_ending(&mut self, set: &mut SocketSet<'_>, at: usize) {
        let socket = socket_mut(set, self.handle(at));
        if socket.state() == State::Closed && socket.remote_endpoint().is_none() {
            self.free(set, at);
        } else {
            // Nobody reads it any more, and a full buffer would keep the other
            // side's FIN away.
            while socket
                .recv(|data| (data.len(), data.len()))
                .is_ok_and(|count| count > 0)
            {}
        }
    }
}

/// Whether nothing will come after what can be read.
fn is_over(socket: &Socket<'_>) -> bool {
    match socket.state() {
        State::Closed
        | State::Listen
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => true,
        State::SynSent
        | State::SynReceived
        | State::Established
        | State::FinWait1
        | State::FinWait2 => false,
    }
}

/// Whether the other side's FIN has come.
fn ended_in_order(socket: &mut Socket<'_>) -> bool {
    match socket.state() {
        State::CloseWait | State::Closing | State::LastAck | State::TimeWait => true,
        State::Closed
        | State::Listen
        | State::SynSent
        | State::SynReceived
        | State::Established
        | State::FinWait1
        | State::FinWait2 => socket.recv(|_| (0, ())) == Err(RecvError::Finished),
    }
}
