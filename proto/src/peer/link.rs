//! The main link: connect, prove who is there, register, keep alive, come back.

mod states;

use core::net::IpAddr;
use core::time::Duration;

use heapless::Vec;

pub(crate) use states::{LINK_TRANSITIONS, LinkCause, LinkState};

use super::core::Core;
use super::outbox::{Action, Letter};
use crate::addr::{DialRules, Endpoint, Scope};
use crate::event::LinkFailure;
use crate::id::{LinkHandle, ResolveId, SocketId};
use crate::io::{Close, Failure, Hops};
use crate::noise::{
    Handshake, Key, MESSAGE_1_OVERHEAD, NoiseError, Pattern, Psk, PublicKey, SecretKey, Transport,
};
use crate::rendezvous::{MAX_ASSISTS, Rejection};
use crate::rtt::Rtt;
use crate::time::{Instant, earlier};
use crate::wire::{
    HEADER, MAX_FRAME, REJECT_BUSY, REJECT_HANDSHAKE, REJECT_VERSION, Registered, ServerHello,
    VERSION_MAX, VERSION_MIN, client_prologue, frame_len,
};

/// Addresses of the server that are tried in turn.
const MAX_ADDRESSES: usize = 4;

/// Unanswered keep-alives after which the link is dead.
const MAX_UNANSWERED: u8 = 2;

/// Pings right after registering: hold-backs need the round trip before the
/// first keep-alive is due.
const FIRST_PINGS: u8 = 3;
const FIRST_PING_INTERVAL: Duration = Duration::from_millis(100);

/// The keys of the link.
#[derive(Debug)]
enum Cipher {
    None,
    /// The ephemeral key of the handshake: the same inputs make the same state
    /// again, which takes 600 bytes less than to keep it.
    Handshake(Key),
    Transport(Transport),
}

/// What is being read.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Expect {
    Header,
    Body,
}

/// What the server told when it took us.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) mapped: Endpoint,
    pub(crate) handle: LinkHandle,
    pub(crate) assist_secret: [u8; 32],
    pub(crate) assists: Vec<Endpoint, MAX_ASSISTS>,
    pub(crate) keep_alive: Duration,
    /// See [`DialRules::private_server`].
    pub(crate) private_server: bool,
}

impl Lease {
    /// Whom the server may make us dial.
    pub(crate) const fn dial_rules(&self, core: &Core, together: bool) -> DialRules {
        DialRules {
            allow_loopback: core.config.allow_loopback,
            private_server: self.private_server,
            together,
        }
    }

    /// Whether any of the assist endpoints is of use.
    pub(crate) fn has_assist(&self, core: &Core) -> bool {
        let rules = self.dial_rules(core, false);
        self.assists
            .iter()
            .any(|at| rules.allow_assist(*at) && core.has_family(at.family()))
    }
}

/// A peer's link to its server.
#[derive(Debug)]
pub(crate) struct MainLink {
    state: LinkState,
    server: PublicKey,
    /// The local port; 0 until one is bound.
    pub(crate) port: u16,
    pub(crate) socket: Option<SocketId>,
    /// The address that the host chose.
    local_ip: Option<IpAddr>,
    resolve: Option<ResolveId>,
    addresses: Vec<Endpoint, MAX_ADDRESSES>,
    next_address: u8,
    /// Failed dials in a row that speak against the port, not the server.
    port_failures: u8,
    /// Attempts in a row that came to nothing.
    failures: u8,
    cipher: Cipher,
    expect: Expect,
    /// For everything between `Binding` and `Registered`, and for the pause.
    deadline: Option<Instant>,
    pub(crate) lease: Option<Lease>,
    ping_at: Option<Instant>,
    ping_sent: Option<Instant>,
    ping_number: u32,
    unanswered: u8,
    first_pings: u8,
    pub(crate) rtt: Rtt,
}

/// What came of something that happened to the link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LinkNews {
    Nothing,
    /// This many bytes of plaintext stand at the beginning of the data.
    Message(usize),
    /// The link went down.
    Down(LinkFailure),
}

impl MainLink {
    pub(crate) fn new(server: PublicKey) -> Self {
        Self {
            state: LinkState::Idle,
            server,
            port: 0,
            socket: None,
            local_ip: None,
            resolve: None,
            addresses: Vec::new(),
            next_address: 0,
            port_failures: 0,
            failures: 0,
            cipher: Cipher::None,
            expect: Expect::Header,
            deadline: None,
            lease: None,
            ping_at: None,
            ping_sent: None,
            ping_number: 0,
            unanswered: 0,
            first_pings: 0,
            rtt: Rtt::default(),
        }
    }

    pub(crate) fn state(&self) -> LinkState {
        self.state
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.state == LinkState::Registered
    }

    /// Whether the server sees us under another address than our own.
    pub(crate) fn is_translated(&self) -> Option<bool> {
        let (local, lease) = (self.local_ip?, self.lease.as_ref()?);
        Some(local != lease.mapped.ip)
    }

    /// Whether the server sees the main port under its own number.
    pub(crate) fn preserves_port(&self) -> Option<bool> {
        self.lease
            .as_ref()
            .map(|lease| lease.mapped.port == self.port)
    }

    /// The server's endpoint, while one is being used.
    pub(crate) fn server_endpoint(&self) -> Option<Endpoint> {
        self.addresses.get(usize::from(self.next_address)).copied()
    }

    /// The only place where the state changes.
    fn transition(&mut self, cause: LinkCause) -> bool {
        let next = LINK_TRANSITIONS
            .iter()
            .find(|(from, why, _)| *from == self.state && *why == cause);
        if let Some((_, _, next)) = next {
            self.state = *next;
        }
        next.is_some()
    }

    /// Starts an attempt. True if the main port has to be bound first.
    pub(crate) fn begin(&mut self, core: &mut Core) -> bool {
        if !self.transition(LinkCause::Begin) {
            return false;
        }
        self.deadline = Some(core.now.after(core.config.link_deadline.get()));
        if self.port == 0 {
            return true;
        }
        self.bound(core);
        false
    }

    /// The main port is there.
    pub(crate) fn bound(&mut self, core: &mut Core) {
        if self.transition(LinkCause::Bound) {
            let more = usize::from(self.next_address).saturating_add(1) < self.addresses.len();
            if more && self.failures > 0 {
                self.next_address = self.next_address.saturating_add(1);
                self.dial(core);
            } else {
                let id = core.ids.resolve();
                self.resolve = Some(id);
                core.out.push(Action::Resolve(id));
            }
        }
    }

    pub(crate) fn resolved(
        &mut self,
        core: &mut Core,
        id: ResolveId,
        addresses: &[Endpoint],
    ) -> LinkNews {
        if self.resolve != Some(id) || self.state != LinkState::Resolving {
            core.late = core.late.saturating_add(1);
            return LinkNews::Nothing;
        }
        self.resolve = None;
        self.addresses = addresses
            .iter()
            .copied()
            .filter(|at| core.has_family(at.family()))
            .take(MAX_ADDRESSES)
            .collect();
        self.next_address = 0;
        if self.addresses.is_empty() {
            return self.lost(core, LinkFailure::NameNotFound);
        }
        self.dial(core);
        LinkNews::Nothing
    }

    fn dial(&mut self, core: &mut Core) {
        let Some(remote) = self.server_endpoint() else {
            return;
        };
        if self.transition(LinkCause::Resolved) {
            let id = core.ids.socket();
            self.socket = Some(id);
            core.out.push(Action::Dial {
                id,
                local_port: self.port,
                remote,
                hops: Hops::Default.into(),
            });
        }
    }

    pub(crate) fn connected(&mut self, core: &mut Core, id: SocketId, local: Endpoint) {
        if self.transition(LinkCause::Connected) {
            self.local_ip = Some(local.ip);
            self.port_failures = 0;
            self.cipher = Cipher::Handshake(Key::new(core.entropy.bytes()));
            self.expect = Expect::Header;
            core.out.send(id, Letter::ClientHello);
            core.out.read(id, HEADER);
        }
    }

    pub(crate) fn dial_failed(&mut self, core: &mut Core, failure: Failure) -> LinkNews {
        self.socket = None;
        if matches!(
            failure,
            Failure::AddressNotAvailable | Failure::AddressInUse | Failure::TimedOut
        ) {
            self.port_failures = self.port_failures.saturating_add(1);
        }
        self.lost(core, LinkFailure::Dial(failure))
    }

    /// Whether the port is to be given up: it failed twice where the port
    /// itself, or the NAT's entry for it, can be the reason.
    pub(crate) fn wants_other_port(&self) -> bool {
        self.port_failures >= 2
    }

    pub(crate) fn forget_port(&mut self) {
        self.port = 0;
        self.port_failures = 0;
    }

    /// Writes message 1 behind the clear hello; returns the length of both.
    pub(crate) fn write_hello(
        &self,
        secret: &SecretKey,
        out: &mut [u8],
    ) -> Result<usize, NoiseError> {
        let prologue = client_prologue(VERSION_MIN, VERSION_MAX);
        let (clear, noise) = out
            .split_at_mut_checked(prologue.len())
            .ok_or(NoiseError::TooLong)?;
        clear.copy_from_slice(&prologue);
        let (_, len) = self.first(secret, noise)?;
        Ok(len.saturating_add(prologue.len()))
    }

    /// The handshake after message 1, and the length of that message in `out`.
    fn first(&self, secret: &SecretKey, out: &mut [u8]) -> Result<(Handshake, usize), NoiseError> {
        let Cipher::Handshake(ephemeral) = &self.cipher else {
            return Err(NoiseError::OutOfOrder);
        };
        let mut handshake = Handshake::initiator(
            Pattern::Ik,
            &client_prologue(VERSION_MIN, VERSION_MAX),
            secret,
            &self.server,
            &Psk::NONE,
            *ephemeral.bytes(),
        );
        let len = handshake.write_message(&[], out)?;
        Ok((handshake, len))
    }

    /// Seals a message in place; returns the length with its tag.
    pub(crate) fn seal(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, NoiseError> {
        match &mut self.cipher {
            Cipher::Transport(transport) => transport.seal(buffer, len),
            Cipher::None | Cipher::Handshake(_) => Err(NoiseError::OutOfOrder),
        }
    }

    /// The bytes that were asked for.
    pub(crate) fn received(&mut self, core: &mut Core, id: SocketId, data: &mut [u8]) -> LinkNews {
        match self.expect {
            Expect::Header => {
                let Ok(len) = data.as_ref().try_into().map_or(Err(()), |header| {
                    frame_len(header, MAX_FRAME).map_err(|_| ())
                }) else {
                    return self.lost(core, LinkFailure::Protocol);
                };
                self.expect = Expect::Body;
                core.out.read(id, len);
                LinkNews::Nothing
            }
            Expect::Body => {
                self.expect = Expect::Header;
                match &mut self.cipher {
                    Cipher::Transport(transport) => match transport.open(data) {
                        Ok(len) => {
                            core.out.read(id, HEADER);
                            LinkNews::Message(len)
                        }
                        Err(_) => self.lost(core, LinkFailure::Protocol),
                    },
                    Cipher::Handshake(_) => self.read_server_hello(core, id, data),
                    Cipher::None => LinkNews::Nothing,
                }
            }
        }
    }

    fn read_server_hello(&mut self, core: &mut Core, id: SocketId, body: &[u8]) -> LinkNews {
        let message = match ServerHello::decode(body) {
            Ok(ServerHello::Accept(message)) => message,
            Ok(ServerHello::Reject(REJECT_HANDSHAKE)) => {
                return self.lost(core, LinkFailure::WrongKey);
            }
            Ok(ServerHello::Reject(REJECT_VERSION)) => {
                return self.lost(core, LinkFailure::Version);
            }
            Ok(ServerHello::Reject(REJECT_BUSY)) => return self.lost(core, LinkFailure::Busy),
            Ok(ServerHello::Reject(_)) | Err(_) => return self.lost(core, LinkFailure::Protocol),
        };
        let mut payload = [0; 64];
        let finished = self
            .first(&core.secret, &mut [0; MESSAGE_1_OVERHEAD])
            .and_then(|(mut handshake, _)| {
                handshake.read_message(message, &mut payload)?;
                handshake.finish()
            });
        let [version, ..] = payload;
        match finished {
            Ok(_) if !(VERSION_MIN..=VERSION_MAX).contains(&version) => {
                self.lost(core, LinkFailure::Version)
            }
            Ok(finished) => {
                self.cipher = Cipher::Transport(Transport::new(&finished, true));
                self.transition(LinkCause::Proven);
                core.hosts_untold = false;
                core.out.send(id, Letter::Register);
                core.out.read(id, HEADER);
                LinkNews::Nothing
            }
            Err(_) => self.lost(core, LinkFailure::WrongKey),
        }
    }

    /// The server took us. False if it had before.
    pub(crate) fn registered(&mut self, core: &mut Core, told: &Registered<'_>) -> bool {
        if !self.transition(LinkCause::Accepted) {
            return false;
        }
        let keep_alive = Duration::from_millis(u64::from(told.keep_alive_ms));
        let near = |ip| matches!(Scope::of(ip), Scope::Private | Scope::Loopback);
        let server = self.server_endpoint();
        let private_server =
            server.is_some_and(|at| near(at.ip)) || core.hosts.contains(&told.mapped.ip);
        self.lease = Some(Lease {
            mapped: told.mapped,
            handle: told.handle,
            assist_secret: told.assist_secret,
            assists: told.assists.clone(),
            // A server cannot make us flood it, nor let the mapping die.
            keep_alive: keep_alive.clamp(Duration::from_secs(1), Duration::from_secs(600)),
            private_server,
        });
        core.server = self.socket;
        self.failures = 0;
        self.deadline = None;
        self.unanswered = 0;
        self.first_pings = FIRST_PINGS;
        self.ping_at = Some(core.now);
        true
    }

    pub(crate) fn rejected(&mut self, core: &mut Core, reason: Rejection) -> LinkNews {
        let reason = match reason {
            Rejection::Token => LinkFailure::TokenRefused,
            Rejection::Version => LinkFailure::Version,
            Rejection::Handshake => LinkFailure::WrongKey,
            Rejection::Busy => LinkFailure::Busy,
            Rejection::TimedOut => LinkFailure::TimedOut,
        };
        self.lost(core, reason)
    }

    /// A pong came: the link lives. The server gets its own measurement by our
    /// answer.
    pub(crate) fn pong(&mut self, core: &mut Core, number: u32) {
        if number == self.ping_number
            && let Some(sent) = self.ping_sent.take()
        {
            self.unanswered = 0;
            self.rtt.sample(sent, core.now);
            if let Some(id) = self.socket {
                core.out.send(id, Letter::PongAck(number));
            }
            let pause = if self.first_pings > 0 {
                FIRST_PING_INTERVAL
            } else {
                let keep_alive = self
                    .lease
                    .as_ref()
                    .map_or(Duration::from_secs(15), |lease| lease.keep_alive);
                core.keep_alive_pause(keep_alive)
            };
            self.ping_at = Some(core.now.after(pause));
        }
    }

    fn ping(&mut self, core: &mut Core) -> LinkNews {
        let Some(id) = self.socket else {
            return LinkNews::Nothing;
        };
        if self.unanswered >= MAX_UNANSWERED {
            return self.lost(core, LinkFailure::Dead);
        }
        self.unanswered = self.unanswered.saturating_add(1);
        self.first_pings = self.first_pings.saturating_sub(1);
        self.ping_number = self.ping_number.wrapping_add(1);
        self.ping_sent = Some(core.now);
        core.out.send(id, Letter::Ping(self.ping_number));
        // Until it is answered, a third of the interval stands for the answer's
        // time, but never so little that one lost segment ends the link.
        let keep_alive = self
            .lease
            .as_ref()
            .map_or(Duration::from_secs(15), |lease| lease.keep_alive);
        let wait = keep_alive
            .checked_div(3)
            .unwrap_or_default()
            .max(Duration::from_secs(3));
        self.ping_at = Some(core.now.after(wait));
        LinkNews::Nothing
    }

    /// The runtime says that the connection is gone.
    pub(crate) fn ended(&mut self, core: &mut Core) -> LinkNews {
        self.socket = None;
        let reason = match self.state {
            LinkState::Handshaking => LinkFailure::Protocol,
            LinkState::Idle
            | LinkState::Binding
            | LinkState::Resolving
            | LinkState::Dialling
            | LinkState::Registering
            | LinkState::Registered
            | LinkState::Pausing => LinkFailure::Closed,
        };
        self.lost(core, reason)
    }

    /// The attempt is over; the next one begins after a pause, unless the
    /// reason is final.
    pub(crate) fn lost(&mut self, core: &mut Core, reason: LinkFailure) -> LinkNews {
        if let Some(id) = self.socket.take() {
            // Judged dead or hostile: no TIME_WAIT, the port is needed again.
            core.out.close(id, Close::Reset);
        }
        core.server = None;
        self.cipher = Cipher::None;
        self.lease = None;
        self.ping_at = None;
        self.ping_sent = None;
        let retry_in = if reason.is_final() {
            self.transition(LinkCause::Stop);
            self.deadline = None;
            None
        } else {
            self.transition(LinkCause::Lost);
            let pause = self.pause(core);
            self.failures = self.failures.saturating_add(1);
            self.deadline = Some(core.now.after(pause));
            Some(pause)
        };
        let retry_in_ms =
            retry_in.map(|pause| u32::try_from(pause.as_millis()).unwrap_or(u32::MAX));
        core.out.push(Action::LinkDown {
            reason,
            retry_in_ms,
        });
        LinkNews::Down(reason)
    }

    /// Exponential, with full jitter. Another address is tried at once.
    fn pause(&self, core: &mut Core) -> Duration {
        if usize::from(self.next_address).saturating_add(1) < self.addresses.len() {
            return Duration::ZERO;
        }
        let factor = 1u32
            .checked_shl(u32::from(self.failures))
            .unwrap_or(u32::MAX);
        let most = core
            .config
            .backoff_first
            .get()
            .saturating_mul(factor)
            .min(core.config.backoff_last.get());
        Duration::from_micros(
            core.jitter
                .below(crate::time::micros(most).saturating_add(1)),
        )
    }

    /// Ends the link for good; a later start begins with nothing.
    pub(crate) fn stop(&mut self, core: &mut Core) {
        if let Some(id) = self.socket.take() {
            core.out.close(id, Close::Fin);
        }
        core.server = None;
        *self = Self::new(self.server);
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        earlier(self.deadline, self.ping_at)
    }

    /// What is due. `Some` if something was; then whether the port has to be
    /// bound, and the news.
    pub(crate) fn fire(&mut self, core: &mut Core) -> Option<(bool, LinkNews)> {
        let now = core.now;
        if self.ping_at.is_some_and(|at| now >= at) {
            return Some((false, self.ping(core)));
        }
        if self.deadline.is_none_or(|at| now < at) {
            return None;
        }
        Some(match self.state {
            LinkState::Pausing => (self.begin(core), LinkNews::Nothing),
            LinkState::Dialling => {
                self.port_failures = self.port_failures.saturating_add(1);
                (false, self.lost(core, LinkFailure::TimedOut))
            }
            LinkState::Idle
            | LinkState::Binding
            | LinkState::Resolving
            | LinkState::Handshaking
            | LinkState::Registering
            | LinkState::Registered => (false, self.lost(core, LinkFailure::TimedOut)),
        })
    }
}
