//! The peer machine: the link to the server, the ports, and the sessions.
//!
//! # Drain to Wait
//!
//! After every call that takes a time, call [`Peer::poll_output`] until it
//! gives [`Output::Wait`]. Draining again changes nothing. Deadlines that have
//! come are worked off while draining, one step at a time, so the queue of what
//! is to be done stays short.

pub(crate) mod core;
mod introduce;
mod letters;
pub(crate) mod link;
pub(crate) mod outbox;
mod ports;
mod probe;
mod rounds;
pub(crate) mod spray;
mod strangers;

use ::core::fmt;
use ::core::net::IpAddr;
use ::core::time::Duration;

use crate::addr::Endpoint;
use crate::config::{Access, Config};
use crate::event::{Event, FailReason};
use crate::id::{PeerId, SocketId};
use crate::io::{Failure, Input, Output};
use crate::nat::NatReport;
use crate::noise::{PublicKey, SecretKey};
use crate::punch::Session;
use crate::time::{Instant, earlier};
use crate::wire::{Clear, Frame, MAX_SESSION_PORTS, ToPeer};

use self::core::Core;
use self::link::{LinkNews, MainLink};
use self::outbox::{Action, Letter, Slot};
use self::ports::{PortNews, Ports, Purpose};
use self::probe::Probe;
use self::spray::Spray;
use self::strangers::{Said, Strangers};

/// The caller asked for something that cannot be now; nothing changed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Misuse {
    /// The machine was not started, or was shut down.
    NotRunning,
    /// All sessions are in use.
    TooManySessions,
    /// No session with this id, or not in a state for this.
    UnknownSession,
    /// A peer cannot ask for itself.
    OwnId,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRunning => "the peer is not running",
            Self::TooManySessions => "all sessions are in use",
            Self::UnknownSession => "no such session, or it is past that",
            Self::OwnId => "a peer cannot connect to itself",
        })
    }
}

impl ::core::error::Error for Misuse {}

/// A peer: up to `SESSIONS` sessions at once, up to `PORTS` local ports, the
/// main link's and the spare ones included; two more for each session that it
/// requests.
pub struct Peer<A, const SESSIONS: usize, const PORTS: usize> {
    core: Core,
    access: A,
    running: bool,
    /// The application is to be told of the new main port once it serves.
    moved_port: bool,
    main: MainLink,
    ports: Ports<PORTS>,
    sessions: [Option<Session>; SESSIONS],
    strangers: Strangers<PORTS>,
    probe: Option<Probe>,
    report: NatReport,
    /// Our outer address under the last registration: the report is about it.
    mapped_before: Option<IpAddr>,
}

impl<A, const SESSIONS: usize, const PORTS: usize> fmt::Debug for Peer<A, SESSIONS, PORTS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.core.id)
            .field("link", &self.main.state())
            .field("sessions", &self.sessions.iter().flatten().count())
            .finish_non_exhaustive()
    }
}

impl<A: Access, const SESSIONS: usize, const PORTS: usize> Peer<A, SESSIONS, PORTS> {
    /// A peer with this secret key, for the server with this public key. `seed`
    /// is 32 secret random bytes, never used before.
    pub fn new(
        config: Config,
        access: A,
        secret: SecretKey,
        server: PublicKey,
        seed: [u8; 32],
    ) -> Self {
        const { assert!(SESSIONS > 0 && SESSIONS < 256, "1 to 255 sessions") }
        const { assert!(PORTS > 1, "the main port and one to punch from") }
        Self {
            core: Core::new(config, secret, seed),
            access,
            running: false,
            moved_port: false,
            main: MainLink::new(server),
            ports: Ports::new(),
            sessions: [const { None }; SESSIONS],
            strangers: Strangers::default(),
            probe: None,
            report: NatReport::NOT_TESTED,
            mapped_before: None,
        }
    }

    /// Our id.
    pub const fn id(&self) -> PeerId {
        self.core.id
    }

    /// Begins to register; the host's addresses should be known by then. Also
    /// begins anew after a final refusal.
    pub fn start(&mut self, now: Instant) {
        self.core.set_now(now);
        self.running = true;
        if self.main.begin(&mut self.core) {
            self.bind_main();
        }
    }

    /// Cancels all sessions and closes link, ports and listeners; streams that
    /// were handed over are not ours any more. After the drain there is nothing
    /// to wait for.
    pub fn shutdown(&mut self, now: Instant) {
        self.core.set_now(now);
        self.running = false;
    }

    /// A fresh id for a socket that a listener accepted.
    pub fn new_socket_id(&mut self) -> SocketId {
        self.core.ids.socket()
    }

    /// Outcomes that came for ids that were not, or no longer, known: harmless,
    /// and a hint at a runtime that mixes them up if there are many.
    pub const fn late_outcomes(&self) -> u32 {
        self.core.late
    }

    /// Takes in something that happened; drain after the call.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.core.set_now(now);
        match input {
            Input::HostAddresses(addresses) => self.core.learn_hosts(addresses),
            Input::Resolved { id, addresses } => {
                let news = self.main.resolved(&mut self.core, id, addresses);
                self.link_news(news);
            }
            Input::Listening { id, local } => {
                let news =
                    self.ports
                        .listening(&mut self.core, id, local, self.main.lease.as_ref());
                self.port_news(news);
            }
            Input::ListenFailed { id, failure } => {
                let news = self.ports.listen_failed(&mut self.core, id, failure);
                self.port_news(news);
            }
            Input::Connected { id, local } => self.connected(id, local),
            Input::DialFailed { id, failure } => self.dial_failed(id, failure),
            Input::Expired { id, hop } => self.expired(id, hop),
            Input::Sequence { id, number } => self.learn_sequence(id, number),
            Input::Accepted {
                listener,
                id,
                local,
                remote,
            } => {
                // A listener that is not ours any more: the runtime was told.
                let known = self.running && self.ports.port_of(listener).is_some();
                if known {
                    self.strangers.accepted(&mut self.core, id, local, remote);
                } else {
                    self.core.out.close(id, crate::io::Close::Reset);
                }
            }
            Input::Received { id, data } => self.received(id, data),
            Input::Ended { id, failure: _ } => self.ended(id),
        }
    }

    /// The deadline has come; harmless if early. Drain after the call.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.core.set_now(now);
    }

    /// What is to be done next; `frame` is where bytes to be sent are written.
    /// Call until it gives [`Output::Wait`].
    pub fn poll_output<'a>(&mut self, frame: &'a mut Frame) -> Output<'a> {
        loop {
            while let Some(action) = self.core.out.pop() {
                if let Action::Send { id, letter } = action {
                    // By its length: the borrow checker cannot see that a letter
                    // that was not written leaves the frame free for the next.
                    let len = self.write_letter(id, letter, frame).map(<[u8]>::len);
                    if let Some(len) = len {
                        return Output::Send {
                            id,
                            data: frame.get(..len).unwrap_or_default(),
                        };
                    }
                } else if let Some(output) = self.output(action) {
                    return output;
                }
            }
            if !self.step() {
                return Output::Wait(self.deadline());
            }
        }
    }

    /// Turns an entry of the queue into an output; `None` if what it was about
    /// is gone.
    fn output<'a>(&mut self, action: Action) -> Option<Output<'a>> {
        Some(match action {
            Action::Resolve(id) => Output::Resolve { id },
            Action::Listen { id, local } => Output::Listen { id, local },
            Action::Unlisten(id) => Output::Unlisten { id },
            Action::Dial {
                id,
                local_port,
                remote,
                hops,
            } => Output::Dial {
                id,
                local: Endpoint::unspecified(remote.family(), local_port),
                remote,
                hops: hops.into(),
            },
            Action::Watch(id) => Output::Watch { id },
            Action::Inject {
                slot,
                acknowledgement,
            } => Output::Inject(self.session(slot)?.segment(acknowledgement)?),
            Action::Read { id, exactly } => Output::Read {
                id,
                exactly: usize::from(exactly),
            },
            Action::Send { .. } => return None,
            Action::Close { id, how } => Output::Close { id, how },
            Action::HandOver { slot, stream } => {
                Output::HandOver(self.session_mut(slot)?.take_hand_over(stream)?)
            }
            Action::Registered { mapped } => Output::Event(Event::Registered { mapped }),
            Action::NatLearnt => Output::Event(Event::NatLearnt {
                report: self.report,
            }),
            Action::MappingLearnt(mapping) => Output::Event(Event::MappingLearnt { mapping }),
            Action::LinkDown {
                reason,
                retry_in_ms,
            } => Output::Event(Event::LinkDown {
                reason,
                retry_in: retry_in_ms.map(|ms| Duration::from_millis(u64::from(ms))),
            }),
            Action::PortChanged { port } => Output::Event(Event::PortChanged { port }),
            Action::Requested { slot } => {
                let session = self.session(slot)?;
                Output::Event(Event::Requested {
                    session: session.id,
                    peer: session.peer,
                })
            }
            Action::Planned { slot } => Output::Event(self.session(slot)?.planned_event()),
            Action::StepBegun { slot } => Output::Event(self.session(slot)?.step_begun_event()?),
            Action::StepEnded { slot } => Output::Event(self.session(slot)?.step_ended_event()?),
            Action::Notified { slot, ask } => {
                let session = self.session(slot)?;
                Output::Event(Event::Notified {
                    session: session.id,
                    peer: session.peer,
                    ask,
                })
            }
            Action::Dialling { slot, attempt } => {
                let session = self.session(slot)?;
                let (local_port, remote, attempt) = session.dial_facts(attempt)?;
                Output::Event(Event::Dialling {
                    session: session.id,
                    local_port,
                    remote,
                    attempt,
                })
            }
            Action::Connected { slot, stream } => {
                Output::Event(self.session(slot)?.connected_event(stream)?)
            }
            Action::Verified { slot, stream } => {
                let event = self.session(slot)?.verified_event(stream);
                self.release(slot);
                Output::Event(event?)
            }
            Action::Failed { slot, reason } => {
                let event = self.session(slot)?.failed_event(reason);
                self.release(slot);
                Output::Event(event)
            }
        })
    }

    /// Frees a session's place and gives its ports back.
    fn release(&mut self, slot: Slot) {
        if let Some(session) = self
            .sessions
            .get_mut(usize::from(slot))
            .and_then(Option::take)
        {
            for port in session.ports {
                self.ports.release(&mut self.core, port);
            }
        }
    }

    /// Does one thing that is due, with an empty queue before it; false if
    /// there is nothing.
    fn step(&mut self) -> bool {
        if !self.running {
            return self.wind_down();
        }
        for session in self.sessions.iter_mut().flatten() {
            if session.fire(&mut self.core) || session.catch_up(&mut self.core) {
                return true;
            }
        }
        if let Some((bind, news)) = self.main.fire(&mut self.core) {
            if bind {
                self.bind_main();
            }
            self.link_news(news);
            return true;
        }
        if self.fire_spray() {
            return true;
        }
        if self.grant_wish()
            || self.dispatch_request()
            || self.dispatch_round()
            || self.adopt_parked()
            || self.strangers.fire(&mut self.core)
        {
            return true;
        }
        let punching_from = |port| {
            self.sessions
                .iter()
                .flatten()
                .any(|session| session.ports.contains(&port))
        };
        if self.ports.drop_retired(&mut self.core, punching_from) {
            return true;
        }
        if let Some(news) = self.ports.fire(&mut self.core, self.main.lease.as_ref()) {
            self.port_news(news);
            return true;
        }
        if self.main.is_registered() && self.step_probe() {
            return true;
        }
        self.main.is_registered() && {
            let want = self.wanted_ports();
            self.ports.refill(&mut self.core, want)
        }
    }

    /// Closes one thing of what is open; false if nothing is.
    fn wind_down(&mut self) -> bool {
        let open = self
            .sessions
            .iter()
            .flatten()
            .find(|session| !session.state().is_over());
        if let Some(slot) = open.map(|session| session.slot) {
            self.decline(slot, FailReason::Cancelled);
            return true;
        }
        if self.main.state() != link::LinkState::Idle {
            self.main.stop(&mut self.core);
            return true;
        }
        if self.probe.is_some() {
            self.abandon_probe();
            return true;
        }
        if self.core.spray.is_some() {
            return self.core.fire_spray(|_| false).is_some();
        }
        self.strangers.drop_any(&mut self.core) || self.ports.drop_any(&mut self.core)
    }

    /// Spare ones, and two for each session that waits.
    fn wanted_ports(&self) -> usize {
        let lease = self.main.lease.as_ref();
        if !lease.is_some_and(|lease| lease.has_assist(&self.core)) {
            return 0;
        }
        let waiting = self
            .sessions
            .iter()
            .flatten()
            .filter(|session| session.wants_ports())
            .count();
        usize::from(self.core.config.spare_ports)
            .saturating_add(waiting.saturating_mul(MAX_SESSION_PORTS))
    }

    fn deadline(&self) -> Option<Instant> {
        if !self.running {
            return None;
        }
        let sessions = self
            .sessions
            .iter()
            .flatten()
            .map(Session::deadline)
            .fold(None, earlier);
        let parts = [
            self.main.deadline(),
            self.ports.deadline(),
            self.strangers.deadline(),
            self.core.spray.as_ref().and_then(Spray::deadline),
            self.probe
                .as_ref()
                .filter(|_| self.main.is_registered())
                .and_then(Probe::deadline),
            self.main
                .lease
                .as_ref()
                .and_then(|_| self.ports.refill_at(self.core.now, self.wanted_ports())),
        ];
        parts.into_iter().fold(sessions, earlier)
    }

    fn bind_main(&mut self) {
        if !self.ports.bind(&mut self.core, Purpose::Main) {
            let news = self.main.lost(
                &mut self.core,
                crate::event::LinkFailure::NoPort(Failure::Exhausted),
            );
            self.link_news(news);
        }
    }

    fn port_news(&mut self, news: PortNews) {
        match news {
            PortNews::Nothing => {}
            PortNews::MainBound(port) => {
                self.main.port = port;
                self.main.bound(&mut self.core);
            }
            PortNews::MainFailed(_) if self.main.state() != link::LinkState::Binding => {}
            PortNews::MainFailed(failure) => {
                let news = self
                    .main
                    .lost(&mut self.core, crate::event::LinkFailure::NoPort(failure));
                self.link_news(news);
            }
        }
    }

    fn link_news(&mut self, news: LinkNews) {
        match news {
            LinkNews::Nothing | LinkNews::Message(_) => {}
            LinkNews::Down(_) => {
                self.main_link_lost();
                if self.main.wants_other_port() {
                    self.ports.retire(self.main.port);
                    self.main.forget_port();
                    self.moved_port = true;
                }
            }
        }
    }

    fn connected(&mut self, id: SocketId, local: Endpoint) {
        if self.main.socket == Some(id) {
            return self.main.connected(&mut self.core, id, local);
        }
        if self.ports.has_link(id) {
            return self
                .ports
                .connected(&mut self.core, id, self.main.lease.as_ref());
        }
        if self.probe_ended(id, true) {
            return;
        }
        let Self { core, sessions, .. } = self;
        for session in sessions.iter_mut().flatten() {
            if let Some(index) = session.attempt_of(id) {
                return session.connected(core, index, id, local);
            }
        }
        if self.sprayed(id, local) {
            return;
        }
        let core = &mut self.core;
        core.late = core.late.saturating_add(1);
    }

    fn dial_failed(&mut self, id: SocketId, failure: Failure) {
        if self.main.socket == Some(id) {
            let news = self.main.dial_failed(&mut self.core, failure);
            return self.link_news(news);
        }
        if self.ports.has_link(id) {
            return self.ports.ended(&mut self.core, id);
        }
        if self.probe_ended(id, false) {
            return;
        }
        let Self { core, sessions, .. } = self;
        for session in sessions.iter_mut().flatten() {
            if let Some(index) = session.attempt_of(id) {
                return session.dial_failed(core, index, failure);
            }
        }
        if self.spray_failed(id, failure) {
            return;
        }
        let core = &mut self.core;
        core.late = core.late.saturating_add(1);
    }

    fn ended(&mut self, id: SocketId) {
        if self.main.socket == Some(id) {
            let news = self.main.ended(&mut self.core);
            return self.link_news(news);
        }
        if self.ports.has_link(id) {
            return self.ports.ended(&mut self.core, id);
        }
        if self.strangers.has(id) {
            return self.strangers.ended(id);
        }
        let Self { core, sessions, .. } = self;
        match sessions
            .iter_mut()
            .flatten()
            .find(|session| session.has_stream(id))
        {
            Some(session) => session.ended(core, id),
            None => core.late = core.late.saturating_add(1),
        }
    }

    fn received(&mut self, id: SocketId, data: &mut [u8]) {
        if self.main.socket == Some(id) {
            let news = self.main.received(&mut self.core, id, data);
            if let LinkNews::Message(len) = news {
                return self.message(data.get(..len).unwrap_or_default());
            }
            return self.link_news(news);
        }
        if self.ports.has_link(id) {
            return self.ports.received(&mut self.core, id, data);
        }
        if self.strangers.has(id) {
            return match self.strangers.received(&mut self.core, id, data) {
                Said::Nothing => {}
                Said::Hello => match Clear::decode(data) {
                    Ok(Some(Clear::StreamHello(hello))) => self.stranger_said(id, &hello),
                    Ok(Some(Clear::AssistToken(_) | Clear::AssistKeepAlive(_)) | None) | Err(_) => {
                        self.strangers.dismiss(&mut self.core, id);
                    }
                },
            };
        }
        let Self { core, sessions, .. } = self;
        match sessions
            .iter_mut()
            .flatten()
            .find(|session| session.has_stream(id))
        {
            Some(session) => session.received(core, id, data),
            None => core.late = core.late.saturating_add(1),
        }
    }

    /// A message from the server, decrypted.
    fn message(&mut self, bytes: &[u8]) {
        let message = match ToPeer::decode(bytes) {
            Ok(Some(message)) => message,
            // A later version may say more than we know.
            Ok(None) => return,
            Err(_) => {
                let news = self
                    .main
                    .lost(&mut self.core, crate::event::LinkFailure::Protocol);
                return self.link_news(news);
            }
        };
        match message {
            ToPeer::Registered(told) => {
                let before = self.mapped_before;
                if self.main.registered(&mut self.core, &told) {
                    self.mapped_before = Some(told.mapped.ip);
                    self.core.out.push(Action::Registered {
                        mapped: told.mapped,
                    });
                    if ::core::mem::take(&mut self.moved_port) {
                        self.core.out.push(Action::PortChanged {
                            port: self.main.port,
                        });
                    }
                    self.core.tell_hosts();
                    self.begin_probe(before);
                    if let Some(lease) = self.main.lease.as_ref() {
                        self.ports.registered(&mut self.core, lease);
                    }
                }
            }
            ToPeer::Rejected(rejected) => {
                let news = self.main.rejected(&mut self.core, rejected.reason);
                self.link_news(news);
            }
            ToPeer::Replaced(_) => {
                let news = self
                    .main
                    .lost(&mut self.core, crate::event::LinkFailure::Replaced);
                self.link_news(news);
            }
            ToPeer::Ping(ping) => self.core.tell_server(Letter::Pong(ping.number)),
            ToPeer::Pong(pong) => self.main.pong(&mut self.core, pong.number),
            ToPeer::PongAck(_) => {}
            ToPeer::Observed(seen) => self.observed(seen.port, seen.assist, seen.mapped),
            ToPeer::Probed(probed) => {
                if let Some(probe) = &mut self.probe {
                    probe.probed(probed.port, probed.other_address, probed.outcome);
                }
            }
            // Before the server took us it has nothing to introduce.
            ToPeer::Notify(_)
            | ToPeer::Connect(_)
            | ToPeer::Refused(_)
            | ToPeer::Cancelled(_)
            | ToPeer::Go(_)
                if !self.main.is_registered() => {}
            ToPeer::Notify(notify) => self.notified(notify),
            ToPeer::Connect(connect) => self.told_to_connect(connect),
            ToPeer::Go(go) => self.told_to_go(go),
            ToPeer::Refused(refused) => self.told_over(refused.session, refused.reason),
            ToPeer::Cancelled(cancel) => self.told_over(cancel.session, FailReason::Cancelled),
        }
    }

    fn free_slot(&self) -> Option<Slot> {
        let free = self.sessions.iter().position(Option::is_none)?;
        Slot::try_from(free).ok()
    }

    fn put(&mut self, slot: Slot, session: Session) {
        if let Some(place) = self.sessions.get_mut(usize::from(slot)) {
            *place = Some(session);
        }
    }

    fn session(&self, slot: Slot) -> Option<&Session> {
        self.sessions
            .get(usize::from(slot))
            .and_then(Option::as_ref)
    }

    fn session_mut(&mut self, slot: Slot) -> Option<&mut Session> {
        self.sessions
            .get_mut(usize::from(slot))
            .and_then(Option::as_mut)
    }
}
