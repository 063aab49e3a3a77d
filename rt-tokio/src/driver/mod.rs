//! The task that drives one peer's machine.
//!
//! It owns the machine and every socket, and knows nothing of the protocol: it
//! does what the outputs say and reports what came of it.

mod listeners;
mod lookup;
mod ready;
mod sessions;
mod sockets;
#[cfg(all(test, target_os = "linux"))]
mod sockets_tests;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use proto::wire::MAX_FRAME;
use proto::{Input, Instant, Output};
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::access::AccessPolicy;
use crate::clock::Clock;
use crate::hosts::own_addresses;
use crate::raw::Raw;
use crate::server_addr::ServerAddr;

pub(crate) use sessions::{Connect, Outlets, Reply};

use lookup::Lookups;
use sessions::{Decided, Sessions};
use sockets::{Happening, Sockets};

/// Sessions that one peer can have at once.
const SESSIONS: usize = 32;

/// Ports that one peer can have at once: the main link's, the spare ones, and
/// two for each session, some of which are closing.
const PORTS: usize = 72;

pub(crate) type Machine = proto::Peer<AccessPolicy, SESSIONS, PORTS>;

/// How often it is looked whether the host's addresses have changed; also before
/// every request. Reading them takes tens of microseconds.
const HOSTS_INTERVAL: Duration = Duration::from_secs(30);

/// Rounds before other tasks have their turn.
const MAX_ROUNDS: usize = 16;

/// One peer: its machine, its sockets, its application.
#[derive(Debug)]
pub(crate) struct Driver {
    machine: Box<Machine>,
    clock: Clock,
    sockets: Sockets,
    lookups: Lookups,
    sessions: Sessions,
    requests: mpsc::Receiver<Connect>,
    /// Not a request: it has to arrive also where those wait in line.
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    hosts: Vec<IpAddr>,
    hosts_checked: Instant,
    /// From the last `Wait`.
    deadline: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// What the timer is set to.
    timer_at: Instant,
    stopping: bool,
}

impl Driver {
    pub(crate) fn new(
        machine: Box<Machine>,
        server: ServerAddr,
        raw: Option<Raw>,
        requests: mpsc::Receiver<Connect>,
        stop: CancellationToken,
        outlets: Outlets,
    ) -> Self {
        let clock = Clock::new();
        let now = clock.now();
        let mut driver = Self {
            machine,
            clock,
            sockets: Sockets::new(raw),
            lookups: Lookups::new(server),
            sessions: Sessions::new(outlets),
            requests,
            stop: Box::pin(stop.cancelled_owned()),
            hosts: Vec::new(),
            hosts_checked: now,
            deadline: None,
            timer: Box::pin(tokio::time::sleep_until(clock.to_tokio(now))),
            timer_at: now,
            stopping: false,
        };
        driver.hosts = own_addresses();
        driver.input(Input::HostAddresses(&driver.hosts.clone()));
        driver.machine.start(driver.clock.now());
        driver.drain();
        driver
    }

    /// Tells the machine and does what it says then.
    ///
    /// # Drain to Wait
    ///
    /// After whatever is told to a machine, all its outputs are done, in their
    /// order, up to the next `Wait`. Only then it is told the next thing.
    fn input(&mut self, input: Input<'_>) {
        // 1. Tell it one thing.
        self.machine.handle_input(self.clock.now(), input);
        // 2. Do everything it says.
        self.drain();
        // 3. What came of it is told by the next round of `poll`, one by one.
    }

    /// Does all outputs up to the next `Wait`: see [`input`](Self::input).
    fn drain(&mut self) {
        let mut frame = [0; MAX_FRAME + 2];
        loop {
            match self.machine.poll_output(&mut frame) {
                Output::Resolve { id } => self.lookups.begin(id),
                Output::Listen { id, local } => self.sockets.listen(id, local),
                Output::Unlisten { id } => self.sockets.unlisten(id),
                Output::Dial {
                    id,
                    local,
                    remote,
                    hops,
                } => {
                    self.sockets.dial(id, local, remote, hops);
                }
                Output::Watch { id } => self.sockets.watch(id),
                Output::Inject(segment) => self.sockets.inject(&segment),
                Output::Read { id, exactly } => self.sockets.read(id, exactly),
                Output::Send { id, data } => self.sockets.send(id, data),
                Output::Close { id, how } => self.sockets.close(id, how),
                Output::HandOver(stream) => {
                    let conn = self.sockets.take(stream.id);
                    self.sessions.hand_over(stream, conn);
                }
                Output::Event(event) => {
                    let now = self.clock.to_tokio(self.clock.now());
                    self.sessions.tell(now, &event);
                }
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    /// What the application wants; true if it wanted something.
    fn poll_application(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        while !self.stopping
            && let Poll::Ready(request) = self.requests.poll_recv(cx)
        {
            busy = true;
            match request {
                Some(Connect {
                    peer,
                    options,
                    reply,
                }) => {
                    self.check_hosts();
                    let now = self.clock.now();
                    let asked = self.machine.connect(now, peer, &options);
                    self.sessions.asked_for(peer, asked, reply);
                    self.drain();
                }
                // Without handles nobody can want anything any more.
                None => self.stop(),
            }
        }
        if !self.stopping && self.stop.as_mut().poll(cx).is_ready() {
            busy = true;
            self.stop();
        }
        for (session, decided) in self.sessions.poll_decided(cx) {
            busy = true;
            let now = self.clock.now();
            match decided {
                Decided::Accept(reply) => {
                    let accepted = self.machine.accept(now, session);
                    self.sessions.accepted(session, accepted, reply);
                }
                // What is over already cannot be refused or cancelled; fine.
                Decided::Refuse => drop(self.machine.refuse(now, session)),
                Decided::Cancel => drop(self.machine.cancel(now, session)),
            }
            self.drain();
        }
        busy
    }

    /// What happened outside; true if something did.
    fn poll_world(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        while let Poll::Ready((id, addresses)) = self.lookups.poll(cx) {
            busy = true;
            self.input(Input::Resolved {
                id,
                addresses: &addresses,
            });
        }
        for happening in self.sockets.poll(cx) {
            busy = true;
            match happening {
                Happening::Listening { id, local } => self.input(Input::Listening { id, local }),
                Happening::ListenFailed { id, failure } => {
                    self.input(Input::ListenFailed { id, failure })
                }
                Happening::Connected { id, local } => self.input(Input::Connected { id, local }),
                Happening::DialFailed { id, failure } => {
                    self.input(Input::DialFailed { id, failure })
                }
                Happening::Expired { id, hop } => self.input(Input::Expired { id, hop }),
                Happening::Sequence { id, number } => self.input(Input::Sequence { id, number }),
                Happening::Accepted {
                    listener,
                    stream,
                    local,
                    remote,
                } => {
                    let id = self.machine.new_socket_id();
                    self.sockets.adopt(id, stream);
                    self.input(Input::Accepted {
                        listener,
                        id,
                        local,
                        remote,
                    });
                }
                Happening::Received { id, mut data } => {
                    self.input(Input::Received {
                        id,
                        data: &mut data,
                    });
                }
                Happening::Ended { id, failure } => self.input(Input::Ended { id, failure }),
            }
        }
        busy
    }

    /// Deadlines are compared with the clock; the timer only wakes the task, and
    /// may do so early, late, or for another reason.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.clock.now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.machine.handle_timeout(now);
            self.drain();
            return true;
        }
        let next_check = self.hosts_checked.after(HOSTS_INTERVAL);
        if next_check <= now {
            self.check_hosts();
            return true;
        }
        let wake_at = self
            .deadline
            .map_or(next_check, |deadline| deadline.min(next_check));
        if wake_at != self.timer_at {
            self.timer_at = wake_at;
            self.timer.as_mut().reset(self.clock.to_tokio(wake_at));
        }
        self.timer.as_mut().poll(cx).is_ready()
    }

    fn check_hosts(&mut self) {
        self.hosts_checked = self.clock.now();
        let hosts = own_addresses();
        if hosts != self.hosts {
            self.input(Input::HostAddresses(&hosts));
            self.hosts = hosts;
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        self.requests.close();
        self.machine.shutdown(self.clock.now());
        self.drain();
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..MAX_ROUNDS {
            // All three, always: each registers the task for its own kind of
            // wake-up.
            let busy = [
                self.poll_application(cx),
                self.poll_world(cx),
                self.poll_clock(cx),
            ];
            let settled = [
                self.sessions.poll_finishing(cx),
                self.sockets.poll_closed(cx),
            ];
            if self.stopping && settled.iter().all(Poll::is_ready) {
                return Poll::Ready(());
            }
            if !busy.contains(&true) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
