//! What a peer can be told, with defaults and where they come from.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use heapless::Vec;

use crate::event::{Strategies, Strategy, StreamMode};
use crate::id::PeerId;
use crate::noise::Psk;

/// Longest realm token in bytes.
pub const MAX_TOKEN: usize = 64;

/// Most peers that can be named to the server as allowed in advance. More may
/// be allowed by [`Access::decide`]; those are asked for one by one.
pub const MAX_NAMED: usize = 16;

/// A realm token, which `Debug` does not show.
#[derive(Clone)]
pub(crate) struct Token(Vec<u8, MAX_TOKEN>);

impl Token {
    /// `None` if it is longer than [`MAX_TOKEN`] bytes.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        Vec::from_slice(bytes).ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "..." })
    }
}

/// A duration in a quarter of the room; saturates at 49 days.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(u32);

impl Millis {
    fn new(duration: Duration) -> Self {
        Self(u32::try_from(duration.as_millis()).unwrap_or(u32::MAX))
    }

    pub(crate) const fn get(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

/// Limits and habits of a peer.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) token: Token,
    pub(crate) psk: Psk,
    pub(crate) stream_mode: StreamMode,
    pub(crate) strategies: Strategies,
    pub(crate) spare_ports: u8,
    pub(crate) link_deadline: Millis,
    pub(crate) consent_deadline: Millis,
    pub(crate) punch_deadline: Millis,
    pub(crate) backoff_first: Millis,
    pub(crate) backoff_last: Millis,
    pub(crate) allow_loopback: bool,
    pub(crate) probe_nat: bool,
    pub(crate) runtime: Runtime,
    pub(crate) hops: Option<u8>,
    pub(crate) routers: Routers,
}

/// Outer addresses of routers that an application knows of.
pub(crate) type Routers = Vec<IpAddr, MAX_ROUTERS>;

/// Most outer addresses of routers that can be named.
pub const MAX_ROUTERS: usize = 2;

/// What a runtime can do beyond what every runtime does. The machine asks for
/// nothing else.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Runtime {
    /// [`Hops::Short`](crate::Hops::Short).
    pub low_ttl: bool,
    /// [`Hops::Trace`](crate::Hops::Trace).
    pub trace: bool,
    /// [`Output::Watch`](crate::Output::Watch) and
    /// [`Output::Inject`](crate::Output::Inject).
    pub raw: bool,
    /// Sockets that one session may have open at once for port prediction and
    /// birthday.
    pub dials: u16,
}

impl Default for Runtime {
    /// Nothing beyond, and the eight dials of a session's ordinary pairs.
    fn default() -> Self {
        Self {
            low_ttl: false,
            trace: false,
            raw: false,
            dials: 8,
        }
    }
}

impl Config {
    /// The defaults, to be changed one by one.
    pub const fn builder() -> ConfigBuilder {
        ConfigBuilder {
            token: None,
            too_many_routers: false,
            config: Self {
                token: Token(Vec::new()),
                psk: Psk::NONE,
                stream_mode: StreamMode::Records,
                // `Strategies::default()`, which is not const.
                strategies: Strategies::ANY.without(Strategy::Birthday),
                spare_ports: 2,
                link_deadline: Millis(10_000),
                consent_deadline: Millis(30_000),
                punch_deadline: Millis(15_000),
                backoff_first: Millis(500),
                backoff_last: Millis(30_000),
                allow_loopback: false,
                probe_nat: true,
                runtime: Runtime {
                    low_ttl: false,
                    trace: false,
                    raw: false,
                    dials: 8,
                },
                hops: None,
                routers: Vec::new(),
            },
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::builder().config
    }
}

/// Builds a [`Config`]; every rule is checked by [`build`](Self::build).
#[derive(Clone, Debug)]
pub struct ConfigBuilder {
    /// Longer than allowed until `build` says so.
    token: Option<Result<Token, ConfigError>>,
    too_many_routers: bool,
    config: Config,
}

impl ConfigBuilder {
    /// The realm token that the server wants, at most [`MAX_TOKEN`] bytes.
    /// Default: none.
    pub fn token(mut self, token: &[u8]) -> Self {
        self.token = Some(Token::new(token).ok_or(ConfigError::TokenTooLong));
        self
    }

    /// A secret that the two peers of a session share and the server never
    /// sees. Both must have the same. Default: none.
    pub fn psk(mut self, psk: Psk) -> Self {
        self.config.psk = psk;
        self
    }

    /// How bytes travel on streams that others ask for; bare only if they ask
    /// for it too. Default: records.
    pub fn stream_mode(mut self, mode: StreamMode) -> Self {
        self.config.stream_mode = mode;
        self
    }

    /// The strategies that sessions asked for by others may use. Default: any.
    pub fn strategies(mut self, strategies: Strategies) -> Self {
        self.config.strategies = strategies;
        self
    }

    /// Ports kept bound and observed ahead, so that a request need not wait for
    /// them; 0 to 4. Each costs the server an idle connection. Default: 2, the
    /// pairs that one session races (two pairs get through 5 % loss 98 % of the
    /// time within the first round trips, one pair 92 %: our measurement).
    pub fn spare_ports(mut self, ports: u8) -> Self {
        self.config.spare_ports = ports;
        self
    }

    /// Time for connecting to the server, handshake and registration included;
    /// 1 s to 2 min. Default: 10 s.
    pub fn link_deadline(mut self, deadline: Duration) -> Self {
        self.config.link_deadline = Millis::new(deadline);
        self
    }

    /// Time for the other side to accept; 1 s to 10 min. Default: 30 s, for a
    /// person to notice and decide.
    pub fn consent_deadline(mut self, deadline: Duration) -> Self {
        self.config.consent_deadline = Millis::new(deadline);
        self
    }

    /// Time for punching, from the introduction on; 1 s to 2 min. Default:
    /// 15 s; other systems use 10 to 15 s.
    pub fn punch_deadline(mut self, deadline: Duration) -> Self {
        self.config.punch_deadline = Millis::new(deadline);
        self
    }

    /// The pause before the server is dialled again: it begins below `first`
    /// and doubles to `last`, each time a random share of it (full jitter, so
    /// that peers do not come back in step). `first` at least 10 ms, `last` not
    /// below it. Default: 0.5 s and 30 s.
    pub fn backoff(mut self, first: Duration, last: Duration) -> Self {
        self.config.backoff_first = Millis::new(first);
        self.config.backoff_last = Millis::new(last);
        self
    }

    /// Lets peers be dialled on loopback addresses: for tests and the demo,
    /// where server and peers are on one host. Default: no.
    pub fn allow_loopback(mut self, allow: bool) -> Self {
        self.config.allow_loopback = allow;
        self
    }

    /// Finds out, each time it registers, what the NAT lets in and answers, with
    /// one more port and the server's help; tells it as
    /// [`Event::NatLearnt`](crate::Event::NatLearnt) within 6 s. What was not
    /// found out is planned for as the worse case. Default: yes.
    pub fn probe_nat(mut self, probe: bool) -> Self {
        self.config.probe_nat = probe;
        self
    }

    /// What the runtime can do. Called by runtimes, not by applications.
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.config.runtime = runtime;
        self
    }

    /// The hop limit that passes all own NAT levels and not the other side's,
    /// where it is known: 2 behind one level. Found by itself where the runtime
    /// can trace. 1 to 32. Default: not known.
    pub fn hops(mut self, hops: u8) -> Self {
        self.config.hops = Some(hops);
        self
    }

    /// Outer addresses of the own router where it has a carrier's NAT before it,
    /// at most [`MAX_ROUTERS`]: peers behind the same carrier can be punched
    /// there even if the carrier's NAT does no hairpin. Assumes that the router
    /// keeps ports. Default: none.
    pub fn outer_addresses(mut self, addresses: &[IpAddr]) -> Self {
        let routers = Vec::from_slice(addresses);
        self.too_many_routers = routers.is_err();
        self.config.routers = routers.unwrap_or_default();
        self
    }

    /// Checks every rule.
    ///
    /// # Errors
    ///
    /// One [`ConfigError`] a rule; the first that is broken.
    pub fn build(self) -> Result<Config, ConfigError> {
        let Self {
            token,
            too_many_routers,
            mut config,
        } = self;
        if too_many_routers {
            return Err(ConfigError::OuterAddresses);
        }
        if let Some(token) = token {
            config.token = token?;
        }
        if config.spare_ports > 4 {
            return Err(ConfigError::SparePorts);
        }
        let within = |value: Millis, low: u64, high: u64| {
            value.get() >= Duration::from_secs(low) && value.get() <= Duration::from_secs(high)
        };
        if !within(config.link_deadline, 1, 120) {
            return Err(ConfigError::LinkDeadline);
        }
        if !within(config.consent_deadline, 1, 600) {
            return Err(ConfigError::ConsentDeadline);
        }
        if !within(config.punch_deadline, 1, 120) {
            return Err(ConfigError::PunchDeadline);
        }
        if config.hops.is_some_and(|hops| !(1..=32).contains(&hops)) {
            return Err(ConfigError::Hops);
        }
        if config.backoff_first.get() < Duration::from_millis(10)
            || config.backoff_last < config.backoff_first
            || config.backoff_last.get() > Duration::from_secs(3_600)
        {
            return Err(ConfigError::Backoff);
        }
        Ok(config)
    }
}

/// A rule that a configuration broke.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConfigError {
    /// The token is longer than [`MAX_TOKEN`] bytes.
    TokenTooLong,
    /// More than 4 spare ports.
    SparePorts,
    /// The link deadline is not within 1 s to 2 min.
    LinkDeadline,
    /// The consent deadline is not within 1 s to 10 min.
    ConsentDeadline,
    /// The punch deadline is not within 1 s to 2 min.
    PunchDeadline,
    /// The backoff is not within 10 ms to 1 h, rising.
    Backoff,
    /// The hop limit is not within 1 and 32.
    Hops,
    /// More than [`MAX_ROUTERS`] outer addresses.
    OuterAddresses,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TokenTooLong => "the token is longer than 64 bytes",
            Self::SparePorts => "at most 4 spare ports can be kept",
            Self::LinkDeadline => "the link deadline must be within 1 s and 2 min",
            Self::ConsentDeadline => "the consent deadline must be within 1 s and 10 min",
            Self::PunchDeadline => "the punch deadline must be within 1 s and 2 min",
            Self::Backoff => {
                "the backoff must begin at 10 ms or more and end between its beginning and 1 h"
            }
            Self::Hops => "the hop limit must be within 1 and 32",
            Self::OuterAddresses => "at most 2 outer addresses of routers can be named",
        })
    }
}

impl core::error::Error for ConfigError {}

/// What to do about a request from a peer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Decision {
    /// Let it in.
    Allow,
    /// Do not.
    Refuse,
    /// Ask the application ([`Event::Notified`](crate::Event::Notified)).
    Ask,
}

/// Whom the server may introduce without asking us first.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum InAdvance<'a> {
    /// Nobody: we are asked every time.
    Nobody,
    /// Anyone who knows our id.
    Anyone,
    /// These, at most [`MAX_NAMED`] of them; the rest is ignored.
    Named(&'a [PeerId]),
}

/// Who may get a stream to us. Asked for every request, also where the server
/// was given consent in advance.
pub trait Access {
    /// What to do about a request from this peer.
    fn decide(&self, peer: &PeerId) -> Decision;

    /// What to tell the server when registering.
    fn in_advance(&self) -> InAdvance<'_>;
}

/// Refuses everybody: for peers that only make requests.
#[derive(Copy, Clone, Debug, Default)]
pub struct NoAccess;

impl Access for NoAccess {
    fn decide(&self, _: &PeerId) -> Decision {
        Decision::Refuse
    }

    fn in_advance(&self) -> InAdvance<'_> {
        InAdvance::Nobody
    }
}

/// How one session is to go, from the requester's side.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// How bytes are to travel; bare only if the other side agrees.
    pub mode: StreamMode,
    /// The strategies that may be used.
    pub strategies: Strategies,
    /// Time for all of it, from the call to the verified stream.
    pub deadline: Duration,
}

impl Default for SessionOptions {
    /// Records, any strategy but birthday, 45 s: the default consent deadline and the
    /// default punch deadline together.
    fn default() -> Self {
        Self {
            mode: StreamMode::Records,
            strategies: Strategies::default(),
            deadline: Duration::from_secs(45),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_keep_their_own_rules() {
        assert!(Config::builder().build().is_ok());
    }

    #[test]
    fn debug_shows_no_token() {
        let config = Config::builder().token(b"hush").build().unwrap();
        let shown = std::format!("{config:?}");
        assert!(
            !shown.contains("hush") && !shown.contains("104, 117"),
            "{shown}"
        );
    }

    #[test]
    fn every_rule_has_its_error() {
        let second = Duration::from_secs(1);
        let cases: [(ConfigBuilder, ConfigError); 9] = [
            (
                Config::builder().outer_addresses(&[[100, 64, 0, 1].into(); 3]),
                ConfigError::OuterAddresses,
            ),
            (Config::builder().hops(33), ConfigError::Hops),
            (Config::builder().token(&[0; 65]), ConfigError::TokenTooLong),
            (Config::builder().spare_ports(5), ConfigError::SparePorts),
            (
                Config::builder().link_deadline(Duration::ZERO),
                ConfigError::LinkDeadline,
            ),
            (
                Config::builder().consent_deadline(601 * second),
                ConfigError::ConsentDeadline,
            ),
            (
                Config::builder().punch_deadline(121 * second),
                ConfigError::PunchDeadline,
            ),
            (
                Config::builder().backoff(Duration::ZERO, second),
                ConfigError::Backoff,
            ),
            (
                Config::builder().backoff(2 * second, second),
                ConfigError::Backoff,
            ),
        ];
        for (builder, error) in cases {
            assert_eq!(builder.build().err(), Some(error));
        }
    }
}
