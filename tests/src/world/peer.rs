//! A host that runs a peer machine and an application. What drives the machine
//! is the embedded runtime's own driver, on the host's stack.

use std::time::Duration;

use smoltcp::iface::SocketHandle;
use tcp_punch_embedded::{Driver, Setup, Step};
use tcp_punch_proto::noise::{Jitter, PublicKey, SecretKey};
use tcp_punch_proto::wire::{Frame, MAX_FRAME};
use tcp_punch_proto::{
    Close, Config, Endpoint, Event, FailReason, Failure, Family, Input, Instant, Misuse, Peer,
    PeerId, SessionId, SessionOptions, Tried,
};

use super::app::{Answer, Consent, Stream};
use super::contract::Contract;
use super::net::{HostId, Network};
use super::trace::Trace;
use super::watcher::Watcher;

/// Sessions of a machine: room for ten in parallel.
const SESSIONS: usize = 12;
/// Ports of a machine: what they need.
const PORTS: usize = 40;
/// The most sockets that any host is given.
const SOCKETS: usize = 1_280;

type Machine = Peer<Consent, SESSIONS, PORTS>;

/// What a step of a host works on.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) now: Instant,
    pub(crate) net: &'a mut Network,
    pub(crate) trace: &'a mut Trace,
}

/// What a peer is made of, to make it again after a restart.
#[derive(Clone, Debug)]
pub(crate) struct PeerParts {
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) consent: Consent,
    pub(crate) secret: SecretKey,
    pub(crate) server_key: PublicKey,
    /// Where the server is.
    pub(crate) server: Endpoint,
    /// What the machine is told as the host's own addresses.
    pub(crate) addresses: Vec<std::net::IpAddr>,
    /// The host's clock is this much ahead of the world's: no two hosts have
    /// the same, so that a time that leaks from one to the other shows.
    pub(crate) clock: Duration,
    /// How late timers fire at most.
    pub(crate) lag: Duration,
    /// Sockets of the host's stack.
    pub(crate) sockets: usize,
}

#[derive(Debug)]
pub(crate) struct PeerHost {
    pub(crate) parts: PeerParts,
    pub(crate) host: HostId,
    driver: Option<Box<Driver<Consent, SESSIONS, PORTS, SOCKETS, Watcher>>>,
    deadline: Option<Instant>,
    random: Jitter,
    /// The host has only so many ports to pick from by itself.
    pub(crate) port_count: Option<u16>,
    /// What the application will answer, and when.
    answers: Vec<(Instant, SessionId, bool)>,
    pub(crate) events: Vec<(Instant, Event)>,
    pub(crate) streams: Vec<Stream>,
    /// Whom the machine dialled, and those before it.
    dialled: Vec<Endpoint>,
    /// Times that the machine's deadline came.
    pub(crate) wakes: u64,
}

impl PeerHost {
    pub(crate) const fn new(parts: PeerParts, host: HostId, random: Jitter) -> Self {
        Self {
            parts,
            host,
            driver: None,
            deadline: None,
            random,
            port_count: None,
            answers: Vec::new(),
            events: Vec::new(),
            streams: Vec::new(),
            dialled: Vec::new(),
            wakes: 0,
        }
    }

    pub(crate) fn id(&self) -> PeerId {
        self.parts.secret.public().into()
    }

    pub(crate) const fn is_running(&self) -> bool {
        self.driver.is_some()
    }

    /// Whom the machines of this host dialled, in that order.
    pub(crate) fn dialled(&self) -> &[Endpoint] {
        self.driver
            .as_ref()
            .map_or(&self.dialled, |driver| &driver.observer().dialled)
    }

    /// When the running machine dialled.
    pub(crate) fn dialled_at(&self) -> &[Instant] {
        self.driver
            .as_ref()
            .map_or(&[], |driver| &driver.observer().dialled_at)
    }

    /// Makes the machine and starts it.
    pub(crate) fn start(&mut self, stage: &mut Stage<'_>) {
        if self.is_running() {
            // It was shut down in order; what it has left goes with it.
            stage.net.close_all(stage.now, self.host);
            self.stop();
        }
        let parts = self.parts.clone();
        let seed: [u8; 32] = std::array::from_fn(|_| self.random.below(256) as u8);
        let machine = Machine::new(
            parts.config,
            parts.consent,
            parts.secret,
            parts.server_key,
            seed,
        );
        let mut setup = Setup::new(parts.server, self.random.below(1 << 16) as u16);
        if let Some(count) = self.port_count {
            setup.ports = *setup.ports.start()..=*setup.ports.start() + (count - 1);
        }
        let stack = stage.net.stack_of(self.host);
        let handles: Vec<SocketHandle> = (0..parts.sockets).map(|_| stack.add_socket()).collect();
        let mut watcher = Watcher::new(&parts.name);
        watcher.dialled = std::mem::take(&mut self.dialled);
        let driver = Driver::with_observer(machine, setup, &stack.set, &handles, watcher);
        self.driver = Some(Box::new(driver.expect("fair sockets")));
        // The driver tells what the host really has, and this host claims more.
        self.poll(stage);
        let now = self.local(stage.now);
        self.machine()
            .handle_input(now, Input::HostAddresses(&parts.addresses));
        self.machine().start(now);
        self.poll(stage);
    }

    /// The process is gone, its sockets are the kernel's business.
    pub(crate) fn stop(&mut self) {
        if let Some(mut driver) = self.driver.take() {
            self.dialled = std::mem::take(&mut driver.observer_mut().dialled);
        }
        self.answers.clear();
        self.streams.clear();
        self.deadline = None;
    }

    pub(crate) fn connect(
        &mut self,
        stage: &mut Stage<'_>,
        peer: PeerId,
        options: SessionOptions,
    ) -> Result<SessionId, Misuse> {
        stage
            .trace
            .line(stage.now, format!("{}: asks for {peer}", self.parts.name));
        self.call(stage, |machine, now| machine.connect(now, peer, &options))
    }

    /// Accepts, refuses, cancels or shuts down.
    pub(crate) fn call<R>(
        &mut self,
        stage: &mut Stage<'_>,
        call: impl FnOnce(&mut Machine, Instant) -> R,
    ) -> R {
        let now = self.local(stage.now);
        let result = call(self.machine(), now);
        self.poll(stage);
        result
    }

    /// When the host wants to be woken.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let answers = self.answers.iter().map(|&(at, ..)| at);
        answers.chain(self.deadline).min()
    }

    /// Whether the machine itself waits for a time.
    pub(crate) fn waits(&self) -> bool {
        let machine = self.driver.as_ref();
        machine.is_some_and(|driver| driver.machine_deadline().is_some())
            || !self.answers.is_empty()
    }

    /// Whatever is due: the machine's deadline, the stack's, the application's
    /// answers.
    pub(crate) fn wake(&mut self, stage: &mut Stage<'_>) {
        if self.deadline.is_some_and(|deadline| deadline <= stage.now) {
            let now = self.local(stage.now);
            let machine = self
                .driver
                .as_ref()
                .and_then(|driver| driver.machine_deadline());
            self.wakes += u64::from(machine.is_some_and(|deadline| deadline <= now));
            self.poll(stage);
        }
        let due = self.answers.iter().position(|&(at, ..)| at <= stage.now);
        if let Some((_, session, yes)) = due.map(|index| self.answers.remove(index)) {
            // The session may be over by now.
            let _ = self.call(stage, |machine, now| {
                if yes {
                    machine.accept(now, session)
                } else {
                    machine.refuse(now, session)
                }
            });
        }
    }

    /// Lets driver, stack and application work until they have to wait.
    pub(crate) fn poll(&mut self, stage: &mut Stage<'_>) {
        if self.driver.is_none() {
            return;
        }
        for round in 0.. {
            assert!(round < 10_000, "{}: busy at one instant", self.parts.name);
            let wait = self.poll_driver(stage);
            self.deadline = wait.map(|at| self.wake_at(stage.now, at));
            stage.net.flush(stage.now, self.host);
            let fed = self.feed_application(stage);
            if !fed && !self.disturb(stage.now) {
                return;
            }
        }
    }

    /// Polls to `Wait`; until when, by the host's own clock.
    fn poll_driver(&mut self, stage: &mut Stage<'_>) -> Option<Instant> {
        let now = self.local(stage.now);
        for round in 0.. {
            assert!(
                round < 10_000,
                "{}: the drain does not end",
                self.parts.name
            );
            let driver = self.driver.as_mut().expect("the peer runs");
            let watcher = driver.observer_mut();
            watcher.world_now = stage.now;
            std::mem::swap(&mut watcher.trace, stage.trace);
            let stack = stage.net.stack_of(self.host);
            let (iface, set, wire) = (&mut stack.iface, &mut stack.set, &mut stack.wire);
            let step = driver.poll(now, iface, set, wire);
            std::mem::swap(&mut driver.observer_mut().trace, stage.trace);
            match step {
                Step::Event(event) => self.on_event(stage.now, event),
                Step::Stream(stream) => self.streams.push(Stream::new(stream)),
                Step::Wait(at) => {
                    let first = driver.machine_deadline();
                    let mut frame: Frame = [0; MAX_FRAME + 2];
                    let second = driver.peer_mut().poll_output(&mut frame);
                    Contract::drained(now, first, &second);
                    return at;
                }
            }
        }
        None
    }

    /// A runtime may wake up early or tell what is of no interest any more: it
    /// must not matter.
    fn disturb(&mut self, now: Instant) -> bool {
        let local = self.local(now);
        match self.random.below(32) {
            0 => self.machine().handle_timeout(local),
            1 => self.tell_stale(local),
            _ => return false,
        }
        true
    }

    /// An outcome of a socket that was closed long ago.
    fn tell_stale(&mut self, now: Instant) {
        let pick = self.random.below(u64::MAX);
        let driver = self.driver.as_ref().expect("the peer runs");
        let Some(id) = driver.observer().contract.some_that_is_over(pick) else {
            return;
        };
        let local = Endpoint::unspecified(Family::V4, 1);
        let mut byte = [0];
        let input = match self.random.below(4) {
            0 => Input::Connected { id, local },
            1 => Input::DialFailed {
                id,
                failure: Failure::Refused,
            },
            2 => Input::Received {
                id,
                data: &mut byte,
            },
            _ => Input::Ended { id, failure: None },
        };
        self.machine().handle_input(now, input);
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        if let (
            Event::Notified {
                session, ask: true, ..
            },
            Consent::Ask(answer),
        ) = (&event, &self.parts.consent)
        {
            match *answer {
                Answer::Accept(after) => self.answers.push((now.after(after), *session, true)),
                Answer::Refuse(after) => self.answers.push((now.after(after), *session, false)),
                Answer::Silence => {}
            }
        }
        self.events.push((now, event));
    }

    fn machine(&mut self) -> &mut Machine {
        self.driver.as_mut().expect("the peer runs").peer_mut()
    }

    fn local(&self, now: Instant) -> Instant {
        now.after(self.parts.clock)
    }

    fn wake_at(&mut self, now: Instant, local: Instant) -> Instant {
        let micros = u64::try_from(self.parts.lag.as_micros()).unwrap_or_default();
        let lag = Duration::from_micros(self.random.below(micros + 1));
        let clock = self.parts.clock;
        Instant::ZERO
            .after(local.since(Instant::ZERO.after(clock)) + lag)
            .max(now)
    }

    /// How a session ended here without a stream.
    pub(crate) fn failure(&self, wanted: SessionId) -> Option<(FailReason, Tried)> {
        self.events.iter().find_map(|(_, event)| {
            let Event::Failed {
                session,
                reason,
                tried,
                ..
            } = event
            else {
                return None;
            };
            (*session == wanted).then_some((*reason, *tried))
        })
    }

    /// Takes what has come for the application; whether it was anything.
    fn feed_application(&mut self, stage: &mut Stage<'_>) -> bool {
        let mut fed = false;
        for stream in &mut self.streams {
            let socket = stage.net.stack_of(self.host).socket_mut(stream.handle);
            let count = socket.recv_queue();
            if count > 0 {
                let mut bytes = vec![0; count];
                let read = socket.recv_slice(&mut bytes).unwrap_or_default();
                stream.take(&bytes[..read]);
                fed |= read > 0;
            }
        }
        fed
    }

    /// Sends bytes of the application over a verified stream.
    pub(crate) fn write(&mut self, stage: &mut Stage<'_>, session: SessionId, data: &[u8]) {
        let mut streams = self.streams.iter_mut();
        let stream = streams
            .find(|stream| stream.session == session)
            .expect("a stream");
        let bytes = stream.seal(data);
        let socket = stage.net.stack_of(self.host).socket_mut(stream.handle);
        // A stream that was reset takes nothing; whoever waits for it notices.
        let sent = socket.send_slice(&bytes).unwrap_or(bytes.len());
        assert_eq!(sent, bytes.len(), "tests write little");
        self.poll(stage);
    }

    /// Closes a stream of the application.
    pub(crate) fn close_stream(&mut self, stage: &mut Stage<'_>, session: SessionId) {
        let Some(index) = self
            .streams
            .iter()
            .position(|stream| stream.session == session)
        else {
            return;
        };
        let stream = self.streams.remove(index);
        let now = self.local(stage.now);
        let set = &mut stage.net.stack_of(self.host).set;
        let driver = self.driver.as_mut().expect("the peer runs");
        assert!(driver.take_back(now, set, stream.handle, Close::Fin));
        self.poll(stage);
    }
}
