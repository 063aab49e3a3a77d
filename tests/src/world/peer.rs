//! A host that runs a peer machine and an application: the runtime of the world.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tcp_punch_proto::noise::{Jitter, PublicKey, SecretKey};
use tcp_punch_proto::wire::{Frame, MAX_FRAME};
use tcp_punch_proto::{
    Close, Config, Endpoint, Event, FailReason, Instant, ListenerId, Misuse, Output, Peer, PeerId,
    ResolveId, SessionId, SessionOptions, SocketId, Tried,
};

use super::app::{Answer, Consent, Stream};
use super::contract::Contract;
use super::net::{HostId, Network, Socket};
use super::trace::Trace;

/// Room for ten parallel sessions and the ports they need.
type Machine = Peer<Consent, 12, 40>;

/// What a step of a host works on.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) now: Instant,
    pub(crate) net: &'a mut Network,
    pub(crate) trace: &'a mut Trace,
}

/// What has to be told to the machine, one after another: an outcome never
/// arrives while the machine is still being drained.
#[derive(Debug)]
pub(super) enum Pending {
    HostAddresses,
    Resolved(ResolveId),
    Listening(ListenerId, Endpoint),
    ListenFailed(ListenerId, tcp_punch_proto::Failure),
    Connected(SocketId, Endpoint),
    DialFailed(SocketId, tcp_punch_proto::Failure),
    Accepted {
        listener: ListenerId,
        socket: Socket,
        local: Endpoint,
        remote: Endpoint,
    },
    /// Bytes or the end may have come.
    Look(SocketId),
    /// Something was sent on a socket that may be broken.
    Sent(SocketId),
}

/// What a peer is made of, to make it again after a restart.
#[derive(Clone, Debug)]
pub(crate) struct PeerParts {
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) consent: Consent,
    pub(crate) secret: SecretKey,
    pub(crate) server_key: PublicKey,
    /// What the look-up of the server's name gives.
    pub(crate) server: Vec<Endpoint>,
    /// What the machine is told as the host's own addresses.
    pub(crate) addresses: Vec<std::net::IpAddr>,
    /// The machine's clock is this much ahead of the world's: no two hosts have
    /// the same, so that a time that leaks from one to the other shows.
    pub(crate) clock: Duration,
    /// How late timers fire at most.
    pub(crate) lag: Duration,
}

#[derive(Debug)]
pub(crate) struct PeerHost {
    pub(crate) parts: PeerParts,
    pub(crate) host: HostId,
    pub(super) machine: Option<Box<Machine>>,
    pub(super) contract: Contract,
    pub(super) sockets: BTreeMap<SocketId, Socket>,
    pub(super) ids: BTreeMap<Socket, SocketId>,
    pub(super) listeners: BTreeMap<ListenerId, Socket>,
    pub(super) reads: BTreeMap<SocketId, usize>,
    pub(super) inbox: VecDeque<Pending>,
    pub(super) deadline: Option<Instant>,
    pub(super) random: Jitter,
    /// What the application will answer, and when.
    answers: Vec<(Instant, SessionId, bool)>,
    pub(crate) events: Vec<(Instant, Event)>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) dialled: Vec<Endpoint>,
    /// Times that the machine's deadline came.
    pub(crate) wakes: u64,
}

impl PeerHost {
    pub(crate) fn new(parts: PeerParts, host: HostId, random: Jitter) -> Self {
        Self {
            parts,
            host,
            machine: None,
            contract: Contract::default(),
            sockets: BTreeMap::new(),
            ids: BTreeMap::new(),
            listeners: BTreeMap::new(),
            reads: BTreeMap::new(),
            inbox: VecDeque::new(),
            deadline: None,
            random,
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

    /// Makes the machine and starts it.
    pub(crate) fn start(&mut self, stage: &mut Stage<'_>) {
        let parts = self.parts.clone();
        let seed: [u8; 32] = std::array::from_fn(|_| self.random.below(256) as u8);
        let machine = Peer::new(
            parts.config,
            parts.consent,
            parts.secret,
            parts.server_key,
            seed,
        );
        self.machine = Some(Box::new(machine));
        self.contract = Contract::default();
        self.inbox.push_back(Pending::HostAddresses);
        self.settle(stage);
        let now = self.local(stage.now);
        self.machine().start(now);
        self.drain(stage);
        self.settle(stage);
    }

    /// The process is gone, its sockets are the kernel's business.
    pub(crate) fn stop(&mut self) {
        self.machine = None;
        self.sockets.clear();
        self.ids.clear();
        self.listeners.clear();
        self.reads.clear();
        self.inbox.clear();
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
        let now = self.local(stage.now);
        let result = self.machine().connect(now, peer, &options);
        self.drain(stage);
        self.settle(stage);
        result
    }

    /// Accepts, refuses, cancels or shuts down.
    pub(crate) fn call<R>(
        &mut self,
        stage: &mut Stage<'_>,
        call: impl FnOnce(&mut Machine, Instant) -> R,
    ) -> R {
        let now = self.local(stage.now);
        let result = call(self.machine(), now);
        self.drain(stage);
        self.settle(stage);
        result
    }

    /// When the host wants to be woken.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let answers = self.answers.iter().map(|&(at, ..)| at);
        answers.chain(self.deadline).min()
    }

    /// Whatever is due: the machine's deadline, the application's answers.
    pub(crate) fn wake(&mut self, stage: &mut Stage<'_>) {
        if self.deadline.is_some_and(|deadline| deadline <= stage.now) {
            self.wakes += 1;
            let now = self.local(stage.now);
            self.machine().handle_timeout(now);
            self.drain(stage);
            self.settle(stage);
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

    pub(super) fn on_event(&mut self, now: Instant, event: Event) {
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

    /// Drains the machine to `Wait` and carries everything out.
    pub(super) fn drain(&mut self, stage: &mut Stage<'_>) {
        let now = self.local(stage.now);
        let mut frame: Frame = [0; MAX_FRAME + 2];
        for round in 0.. {
            assert!(
                round < 10_000,
                "{}: the drain does not end",
                self.parts.name
            );
            let output = self.machine().poll_output(&mut frame);
            stage.trace.output(stage.now, &self.parts.name, &output);
            self.contract.on_output(now, &output);
            let Output::Wait(deadline) = output else {
                self.carry_out(stage, output);
                continue;
            };
            let mut again: Frame = [0; MAX_FRAME + 2];
            let second = self.machine().poll_output(&mut again);
            Contract::drained(now, deadline, &second);
            self.deadline = deadline.map(|at| self.wake_at(stage.now, at));
            return;
        }
    }

    /// Tells the machine everything that it does not know yet.
    pub(super) fn settle(&mut self, stage: &mut Stage<'_>) {
        for round in 0.. {
            assert!(round < 10_000, "{}: busy at one instant", self.parts.name);
            let Some(pending) = self.inbox.pop_front() else {
                break;
            };
            if self.tell(stage, pending) {
                self.drain(stage);
            }
        }
        // A runtime may wake up early or tell what is of no interest any more: it
        // must not matter.
        if self.machine.is_none() {
            return;
        }
        let now = self.local(stage.now);
        match self.random.below(32) {
            0 => self.machine().handle_timeout(now),
            1 => self.tell_stale(now),
            _ => return,
        }
        self.drain(stage);
        if !self.inbox.is_empty() {
            self.settle(stage);
        }
    }

    pub(super) fn machine(&mut self) -> &mut Machine {
        self.machine.as_mut().expect("the peer runs")
    }

    pub(super) fn local(&self, now: Instant) -> Instant {
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
        stage
            .net
            .close(stage.now, self.host, stream.socket, Close::Fin);
    }
}
