//! The loop: machine, sockets, interface.

use core::fmt;
use core::net::IpAddr;

use heapless::Vec;
use proto::wire::{Frame, MAX_FRAME};
use proto::{
    Access, Close, Endpoint, Event, Failure, Family, HandOver, Hops, Input, Instant, ListenerId,
    Output, Peer,
};
use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::phy::Device;

use crate::convert::{from_stack, has_family, to_stack};
use crate::observer::Observer;
use crate::setup::{Setup, SetupError};
use crate::sockets::{Happened, Sockets, socket, socket_mut};

/// Most addresses of the host that a driver tells the machine of; the machine
/// picks among them.
const MAX_ADDRESSES: usize = 8;

/// When to try again where the interface could not send what it wants to at
/// once: the device is busy, or silent towards the gateway.
const BUSY: core::time::Duration = core::time::Duration::from_millis(1);

/// What [`Driver::poll`] comes back with.
#[derive(Debug)]
pub enum Step {
    /// News for the application; poll again.
    Event(Event),
    /// A verified stream for the application; poll again.
    Stream(Stream),
    /// All done: poll at this instant at the latest, when the device has
    /// received something, and after every call on the machine.
    Wait(Option<Instant>),
}

/// A stream that belongs to the application from now on: a socket of the set,
/// until [`Driver::take_back`].
#[derive(Debug)]
pub struct Stream {
    /// The socket.
    pub handle: SocketHandle,
    /// The local end.
    pub local: Endpoint,
    /// The remote end.
    pub remote: Endpoint,
    /// Whose stream it is, and what seals and opens its records.
    pub over: HandOver,
}

/// Drives a [`Peer`] on an interface: see the crate's page for the loop.
///
/// `SESSIONS` and `PORTS` are those of the machine; `SOCKETS` is how many
/// sockets of the set it may have at most.
pub struct Driver<
    A: Access,
    const SESSIONS: usize,
    const PORTS: usize,
    const SOCKETS: usize,
    O: Observer = (),
> {
    peer: Peer<A, SESSIONS, PORTS>,
    sockets: Sockets<SOCKETS, PORTS>,
    setup: Setup,
    next_port: u16,
    told: Option<Vec<IpAddr, MAX_ADDRESSES>>,
    deadline: Option<Instant>,
    /// The drain goes on where an event interrupted it.
    round: Round,
    observer: O,
}

/// How far a round of [`Driver::poll`] has come.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Round {
    /// The next call begins one.
    Over,
    /// The machine, the sockets or the interface may have more to do.
    Goes { interface_is_done: bool },
}

impl<A: Access, const SESSIONS: usize, const PORTS: usize, const SOCKETS: usize, O: Observer>
    fmt::Debug for Driver<A, SESSIONS, PORTS, SOCKETS, O>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("peer", &self.peer)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl<A: Access, const SESSIONS: usize, const PORTS: usize, const SOCKETS: usize>
    Driver<A, SESSIONS, PORTS, SOCKETS>
{
    /// A driver of this machine over these sockets of the set, which are its
    /// own from now on. They are added to the set together, so that their
    /// handles are in the order of their slots; more may lie behind them.
    ///
    /// # Errors
    ///
    /// The sockets are of no use: see [`SetupError`].
    pub fn new(
        peer: Peer<A, SESSIONS, PORTS>,
        setup: Setup,
        set: &SocketSet<'_>,
        handles: &[SocketHandle],
    ) -> Result<Self, SetupError> {
        Self::with_observer(peer, setup, set, handles, ())
    }
}

impl<A: Access, const SESSIONS: usize, const PORTS: usize, const SOCKETS: usize, O: Observer>
    Driver<A, SESSIONS, PORTS, SOCKETS, O>
{
    /// The same with an observer.
    ///
    /// # Errors
    ///
    /// The sockets are of no use: see [`SetupError`].
    pub fn with_observer(
        peer: Peer<A, SESSIONS, PORTS>,
        setup: Setup,
        set: &SocketSet<'_>,
        handles: &[SocketHandle],
        observer: O,
    ) -> Result<Self, SetupError> {
        for &handle in handles {
            let socket = socket(set, handle);
            if socket.recv_capacity() < MAX_FRAME {
                return Err(SetupError::ReceiveBuffer(handle));
            }
            if socket.send_capacity() < MAX_FRAME + 2 {
                return Err(SetupError::SendBuffer(handle));
            }
            if socket.is_open() || socket.remote_endpoint().is_some() {
                return Err(SetupError::InUse(handle));
            }
        }
        let handles = Vec::from_slice(handles).map_err(|_| SetupError::TooManySockets)?;
        let sockets = Sockets::new(handles, setup.backlog);
        let (first, last) = (*setup.ports.start(), *setup.ports.end());
        let count = u32::from(last.saturating_sub(first)) + 1;
        let offset = u32::from(setup.first_port) % count;
        Ok(Self {
            peer,
            sockets,
            next_port: first.saturating_add(u16::try_from(offset).unwrap_or(0)),
            setup,
            told: None,
            deadline: None,
            round: Round::Over,
            observer,
        })
    }

    /// The machine.
    pub const fn peer(&self) -> &Peer<A, SESSIONS, PORTS> {
        &self.peer
    }

    /// The machine, to start it, to ask for streams, to answer requests. Poll
    /// after every call.
    pub const fn peer_mut(&mut self) -> &mut Peer<A, SESSIONS, PORTS> {
        &mut self.peer
    }

    /// What sees everything that passes.
    pub const fn observer(&self) -> &O {
        &self.observer
    }

    /// The same, to change it.
    pub const fn observer_mut(&mut self) -> &mut O {
        &mut self.observer
    }

    /// When the machine itself wants to be woken; [`Step::Wait`] has this and
    /// the interface's own time in one.
    pub const fn machine_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Takes the socket of a stream back, to be closed like this and used
    /// again; poll afterwards. False if the application has no such socket.
    ///
    /// With [`Close::Fin`] what the application has sent goes out first; what it
    /// has not read is lost.
    pub fn take_back(
        &mut self,
        now: Instant,
        set: &mut SocketSet<'_>,
        handle: SocketHandle,
        how: Close,
    ) -> bool {
        self.sockets.take_back(now, set, handle, how)
    }

    /// Does what is to be done; call until it gives [`Step::Wait`].
    ///
    /// The interface is polled in here: `now` is its clock too, and the set may
    /// hold sockets that are none of the driver's.
    pub fn poll<D: Device + ?Sized>(
        &mut self,
        now: Instant,
        iface: &mut Interface,
        set: &mut SocketSet<'_>,
        device: &mut D,
    ) -> Step {
        if self.round == Round::Over {
            self.tell_addresses(now, iface);
            if self.deadline.is_some_and(|deadline| deadline <= now) {
                self.peer.handle_timeout(now);
            }
            self.sockets.look_again();
            self.round = Round::Goes {
                interface_is_done: false,
            };
        }
        while let Round::Goes { interface_is_done } = self.round {
            if let Some(step) = self.drain(now, iface, set) {
                return step;
            }
            if let Some(happened) = self.sockets.next_happened(now, iface, set) {
                self.tell(now, set, happened);
                self.round = Round::Goes {
                    interface_is_done: false,
                };
            } else if interface_is_done {
                self.round = Round::Over;
            } else {
                self.sockets.poll_interface(now, iface, set, device);
                self.sockets.look_again();
                self.round = Round::Goes {
                    interface_is_done: true,
                };
            }
        }
        let interface = iface.poll_at(to_stack(now), set).map(from_stack);
        let interface = interface.map(|at| if at <= now { now.after(BUSY) } else { at });
        let earliest = self.deadline.into_iter().chain(interface).min();
        Step::Wait(earliest)
    }

    fn tell_addresses(&mut self, now: Instant, iface: &Interface) {
        let addresses: Vec<IpAddr, MAX_ADDRESSES> = iface
            .ip_addrs()
            .iter()
            .map(|cidr| IpAddr::from(cidr.address()))
            .take(MAX_ADDRESSES)
            .collect();
        if self.told.as_ref() != Some(&addresses) {
            let input = Input::HostAddresses(&addresses);
            self.observer.input(now, &input);
            self.peer.handle_input(now, input);
            self.told = Some(addresses);
        }
    }

    /// Drains the machine, or drains it as far as the next thing for the
    /// application.
    fn drain(
        &mut self,
        now: Instant,
        iface: &mut Interface,
        set: &mut SocketSet<'_>,
    ) -> Option<Step> {
        let mut frame: Frame = [0; MAX_FRAME + 2];
        loop {
            let output = self.peer.poll_output(&mut frame);
            self.observer.output(now, &output);
            if !matches!(output, Output::Wait(_)) {
                self.round = Round::Goes {
                    interface_is_done: false,
                };
            }
            match output {
                Output::Resolve { id } => {
                    let servers = self.setup.servers.clone();
                    let addresses = &servers;
                    self.input(now, Input::Resolved { id, addresses });
                }
                Output::Listen { id, local } => self.listen(now, iface, set, id, local),
                Output::Unlisten { id } => self.sockets.unlisten(now, set, id),
                Output::Dial {
                    id,
                    mut local,
                    remote,
                    hops,
                } => {
                    if local.port == 0 {
                        local.port = self.free_port(set).unwrap_or(0);
                    }
                    let hop_limit = match hops {
                        Hops::Default => None,
                        // No ICMP error reaches a TCP socket here, so a trace
                        // would tell nothing: the ability is not declared.
                        Hops::Short(limit) | Hops::Trace(limit) => Some(limit),
                    };
                    let ends = (local, remote);
                    let result = if local.port == 0 {
                        Err(Failure::Exhausted)
                    } else {
                        self.sockets.dial(now, (iface, set), id, ends, hop_limit)
                    };
                    if let Err(failure) = result {
                        self.input(now, Input::DialFailed { id, failure });
                    }
                }
                // Not declared: nothing here makes segments by hand.
                Output::Watch { .. } | Output::Inject(_) => {}
                Output::Read { id, exactly } => self.sockets.read(id, exactly),
                Output::Send { id, data } => self.sockets.send(set, id, data),
                Output::Close { id, how } => self.sockets.close(now, set, id, how),
                Output::HandOver(over) => {
                    // A stream that has ended is handed over all the same: its
                    // last bytes may be there. One that the machine was told
                    // of is none of its any more.
                    if let Some((handle, local, remote)) = self.sockets.hand_over(set, over.id) {
                        return Some(Step::Stream(Stream {
                            handle,
                            local,
                            remote,
                            over,
                        }));
                    }
                }
                Output::Event(event) => return Some(Step::Event(event)),
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    return None;
                }
            }
        }
    }

    fn listen(
        &mut self,
        now: Instant,
        iface: &Interface,
        set: &mut SocketSet<'_>,
        id: ListenerId,
        mut local: Endpoint,
    ) {
        // IPv4 comes first and gives the port, so it is there even on a host
        // that has no IPv4 address, as it is on others (if only as loopback).
        let result = if local.family() == Family::V6 && !has_family(iface, Family::V6) {
            Err(Failure::AddressNotAvailable)
        } else if local.port == 0 {
            self.free_port(set).ok_or(Failure::Exhausted)
        } else {
            Ok(local.port)
        };
        let result = result.and_then(|port| {
            local.port = port;
            self.sockets.listen(now, set, id, local)
        });
        self.input(
            now,
            match result {
                Ok(()) => Input::Listening { id, local },
                Err(failure) => Input::ListenFailed { id, failure },
            },
        );
    }

    /// One after another: a port comes again only when all others have been used.
    fn free_port(&mut self, set: &SocketSet<'_>) -> Option<u16> {
        let ports = self.setup.ports.clone();
        for _ in ports.clone() {
            let port = self.next_port;
            self.next_port = if port >= *ports.end() {
                *ports.start()
            } else {
                port + 1
            };
            if port != 0 && !self.sockets.is_taken(set, port) {
                return Some(port);
            }
        }
        None
    }

    fn tell(&mut self, now: Instant, set: &mut SocketSet<'_>, happened: Happened) {
        match happened {
            Happened::Connected { id, local } => self.input(now, Input::Connected { id, local }),
            Happened::DialFailed { id, failure } => {
                self.input(now, Input::DialFailed { id, failure });
            }
            Happened::Accepted {
                listener,
                slot,
                local,
                remote,
            } => {
                let id = self.peer.new_socket_id();
                self.sockets.adopt(slot, id);
                self.input(
                    now,
                    Input::Accepted {
                        listener,
                        id,
                        local,
                        remote,
                    },
                );
            }
            Happened::Readable {
                id,
                handle,
                exactly,
            } => {
                let mut buffer = [0; MAX_FRAME];
                let Some(data) = buffer.get_mut(..exactly) else {
                    return;
                };
                // As many are there: that is what happened.
                let _ = socket_mut(set, handle).recv_slice(data);
                self.input(now, Input::Received { id, data });
            }
            Happened::Ended { id, failure } => self.input(now, Input::Ended { id, failure }),
        }
    }

    fn input(&mut self, now: Instant, input: Input<'_>) {
        self.observer.input(now, &input);
        self.peer.handle_input(now, input);
    }
}
