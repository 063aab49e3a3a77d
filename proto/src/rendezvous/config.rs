//! What all links of a server have in common.

use core::fmt;
use core::time::Duration;

use heapless::Vec;

use crate::addr::Endpoint;
use crate::config::Token;
use crate::noise::SecretKey;

/// Most assist endpoints that a server can name.
pub const MAX_ASSISTS: usize = 4;

/// Key, endpoints and habits of a rendezvous server. One value serves all its
/// links and is lent to each call.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub(crate) secret: SecretKey,
    pub(crate) token: Option<Token>,
    pub(crate) assists: Vec<Endpoint, MAX_ASSISTS>,
    pub(crate) keep_alive: Duration,
    pub(crate) handshake_deadline: Duration,
    pub(crate) consent_deadline: Duration,
    pub(crate) allow_loopback: bool,
    pub(crate) spoof: bool,
}

impl ServerConfig {
    /// A server with this key, 15 s between keep-alives, 10 s for the handshake
    /// and 10 min for a responder to accept: the longest that a peer can be
    /// configured to wait, because the peers shall be the ones to end it.
    pub fn new(secret: SecretKey) -> Self {
        Self {
            secret,
            token: None,
            assists: Vec::new(),
            keep_alive: Duration::from_secs(15),
            handshake_deadline: Duration::from_secs(10),
            consent_deadline: Duration::from_secs(600),
            allow_loopback: false,
            spoof: false,
        }
    }

    /// Wants this token from every peer.
    ///
    /// # Errors
    ///
    /// Longer than [`MAX_TOKEN`](crate::config::MAX_TOKEN) bytes.
    pub fn token(mut self, token: &[u8]) -> Result<Self, ServerConfigError> {
        let token = Token::new(token).ok_or(ServerConfigError::TokenTooLong)?;
        self.token = Some(token);
        Ok(self)
    }

    /// The assist endpoints as peers are to dial them, in the order of the
    /// indexes that assist links are made with.
    ///
    /// # Errors
    ///
    /// More than [`MAX_ASSISTS`], or a port 0.
    pub fn assists(mut self, assists: &[Endpoint]) -> Result<Self, ServerConfigError> {
        if assists
            .iter()
            .any(|assist| assist.port == 0 || assist.ip.is_unspecified())
        {
            return Err(ServerConfigError::AssistNotDiallable);
        }
        self.assists = Vec::from_slice(assists).map_err(|_| ServerConfigError::TooManyAssists)?;
        Ok(self)
    }

    /// The keep-alive interval that peers are told, 1 s to 10 min. Default:
    /// 15 s; NATs have been seen to forget idle connections after 30 s.
    ///
    /// # Errors
    ///
    /// Outside that range.
    pub fn keep_alive(mut self, interval: Duration) -> Result<Self, ServerConfigError> {
        if interval < Duration::from_secs(1) || interval > Duration::from_secs(600) {
            return Err(ServerConfigError::KeepAlive);
        }
        self.keep_alive = interval;
        Ok(self)
    }

    /// Passes loopback candidates on: for tests and the demo.
    #[must_use]
    pub const fn allow_loopback(mut self, allow: bool) -> Self {
        self.allow_loopback = allow;
        self
    }

    /// Sends SYN-ACKs in the peers' names where both ask for it (STUNT #1): for
    /// networks that let a host send from addresses that are not its own. The
    /// runtime must be able to ([`LinkOutput::Inject`]).
    ///
    /// [`LinkOutput::Inject`]: super::LinkOutput::Inject
    #[must_use]
    pub const fn spoof(mut self, spoof: bool) -> Self {
        self.spoof = spoof;
        self
    }
}

/// A rule that a server's configuration broke.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerConfigError {
    /// The token is longer than [`MAX_TOKEN`](crate::config::MAX_TOKEN) bytes.
    TokenTooLong,
    /// More than [`MAX_ASSISTS`] assist endpoints.
    TooManyAssists,
    /// An assist endpoint has no port or no address that a peer could dial.
    AssistNotDiallable,
    /// The keep-alive interval is not within 1 s to 10 min.
    KeepAlive,
}

impl fmt::Display for ServerConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TokenTooLong => "the token is longer than 64 bytes",
            Self::TooManyAssists => "at most 4 assist endpoints can be named",
            Self::AssistNotDiallable => {
                "an assist endpoint needs an address and a port that peers can dial"
            }
            Self::KeepAlive => "the keep-alive interval must be within 1 s and 10 min",
        })
    }
}

impl core::error::Error for ServerConfigError {}
