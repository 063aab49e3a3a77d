//! The rendezvous server: sockets, tasks and routing around the machines of
//! `proto::rendezvous`.

mod accept;
mod advertise;
mod assist;
mod bind;
mod dial_back;
mod limits;
mod link;
mod registry;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use proto::Endpoint;
use proto::noise::SecretKey;
use proto::rendezvous::{ServerConfig, ServerConfigError};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::raw::Injector;
use crate::server_addr::ServerAddr;
use crate::socket;

pub use bind::{Bind, ParseBindError};

use accept::{Accept, Kind};
use limits::Limits;
use registry::Registry;

/// Connections of all kinds at once. The limit of open files is usually lower;
/// this is for hosts where it is not.
const MAX_CONNECTIONS: usize = 100_000;

/// Connections from one address. A peer holds one, and a few more for each
/// session; many peers may be behind one NAT.
const MAX_PER_ADDRESS: usize = 1_024;

/// What is known before a server is bound.
#[derive(Clone)]
#[must_use = "a builder does nothing before `bind`"]
pub struct ServerBuilder {
    secret: SecretKey,
    mains: Vec<Bind>,
    assists: Vec<Bind>,
    token: Option<Vec<u8>>,
    keep_alive: Option<Duration>,
    allow_loopback: bool,
    spoof: bool,
    max_connections: usize,
    max_per_address: usize,
}

impl ServerBuilder {
    /// A port for main links; at least one is needed.
    pub fn main(mut self, bind: impl Into<Bind>) -> Self {
        self.mains.push(bind.into());
        self
    }

    /// A port for assist links: two at least, so that peers can learn how their
    /// NAT maps; on two addresses, where the host has them. At most 4.
    pub fn assist(mut self, bind: impl Into<Bind>) -> Self {
        self.assists.push(bind.into());
        self
    }

    /// The token that peers must know; at most 64 bytes. Default: none.
    pub fn token(mut self, token: impl Into<Vec<u8>>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The keep-alive interval that peers are told, 1 s to 10 min. Default: 15 s.
    pub const fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = Some(interval);
        self
    }

    /// Passes loopback addresses on: for tests and the demo, where server and
    /// peers are on one host. Default: no.
    pub const fn allow_loopback(mut self, allow: bool) -> Self {
        self.allow_loopback = allow;
        self
    }

    /// Sends SYN-ACKs in the names of two peers that both ask for it (strategy
    /// `spoofed-syn-ack`). A strategy for labs: it works only where the network
    /// lets this host send from addresses that are not its own, which decent ones
    /// do not (BCP 38). Needs a program built with feature `raw`, Linux, and
    /// CAP_NET_RAW. Default: no.
    pub const fn spoof(mut self, spoof: bool) -> Self {
        self.spoof = spoof;
        self
    }

    /// Most connections of all kinds, in total and from one address (an IPv6 one
    /// counts as its /64). Default: 100,000 and 1,024.
    pub const fn max_connections(mut self, total: usize, per_address: usize) -> Self {
        self.max_connections = total;
        self.max_per_address = per_address;
        self
    }

    /// Binds all ports. Connections wait in the backlog until [`Server::run`].
    ///
    /// # Errors
    ///
    /// [`ServerError`]: nothing is bound then.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or in one without I/O.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future unbinds what was bound.
    #[allow(
        clippy::unused_async,
        reason = "binds within a runtime; may look up names one day"
    )]
    pub async fn bind(self) -> Result<Server, ServerError> {
        if self.mains.is_empty() {
            return Err(ServerError::NoMain);
        }
        if self.assists.is_empty() {
            return Err(ServerError::NoAssist);
        }
        let injector = if self.spoof {
            Some(Injector::open().map_err(ServerError::Spoof)?)
        } else {
            None
        };
        let mains = bind_all(&self.mains)?;
        let assists = bind_all(&self.assists)?;

        // An address that is known from one port helps to advertise the others.
        let known: Vec<Endpoint> = mains
            .iter()
            .chain(&assists)
            .flat_map(|(_, local, bind)| [bind.advertised(*local), Some(Endpoint::from(*local))])
            .flatten()
            .collect();
        let advertise = |(_, local, bind): &(TcpListener, SocketAddr, Bind)| {
            bind.advertised(*local)
                .or_else(|| advertise::diallable(*local, &known, self.allow_loopback))
                .ok_or(ServerError::NotDiallable(*local))
        };
        let main_ends = mains.iter().map(advertise).collect::<Result<Vec<_>, _>>()?;
        let assist_ends = assists
            .iter()
            .map(advertise)
            .collect::<Result<Vec<_>, _>>()?;

        let addresses = (mains.iter().chain(&assists))
            .map(|(_, local, _)| local.ip().to_canonical())
            .filter(|ip| !ip.is_unspecified())
            .collect();

        let key = self.secret.public();
        let mut config = ServerConfig::new(self.secret)
            .allow_loopback(self.allow_loopback)
            .spoof(injector.is_some())
            .assists(&assist_ends)
            .map_err(ServerError::Config)?;
        if let Some(token) = &self.token {
            config = config.token(token).map_err(ServerError::Config)?;
        }
        if let Some(interval) = self.keep_alive {
            config = config.keep_alive(interval).map_err(ServerError::Config)?;
        }
        let mut listeners = Vec::new();
        for (listener, _, _) in mains {
            listeners.push((listener, Kind::Main));
        }
        for (index, (listener, _, _)) in (0..).zip(assists) {
            listeners.push((listener, Kind::Assist(index)));
        }
        Ok(Server {
            addresses: main_ends
                .iter()
                .map(|end| ServerAddr::new(end.ip.to_string(), end.port, key))
                .collect(),
            assists: assist_ends,
            listeners,
            shared: Arc::new(Shared {
                config,
                clock: Clock::new(),
                registry: Registry::default(),
                limits: Limits::new(self.max_connections, self.max_per_address),
                next_epoch: AtomicU64::new(1),
                addresses,
                dial_backs: Arc::new(Semaphore::new(dial_back::MAX_AT_ONCE)),
                injector,
            }),
        })
    }
}

impl fmt::Debug for ServerBuilder {
    /// Without the token: it is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("mains", &self.mains)
            .field("assists", &self.assists)
            .finish_non_exhaustive()
    }
}

fn bind_all(binds: &[Bind]) -> Result<Vec<(TcpListener, SocketAddr, Bind)>, ServerError> {
    let bind_one = |bind: &Bind| {
        let listener = socket::listen_alone(bind.local().into())?;
        let local = listener.local_addr()?;
        io::Result::Ok((listener, local, *bind))
    };
    binds
        .iter()
        .map(|bind| bind_one(bind).map_err(|error| ServerError::Bind(bind.local(), error)))
        .collect()
}

/// What all links of a server share.
#[derive(Debug)]
struct Shared {
    config: ServerConfig,
    clock: Clock,
    registry: Registry,
    limits: Limits,
    next_epoch: AtomicU64,
    /// Addresses that ports are bound to, for dialling back.
    addresses: Vec<IpAddr>,
    dial_backs: Arc<Semaphore>,
    /// Where segments may be sent in others' names.
    injector: Option<Injector>,
}

/// A rendezvous server, bound. It introduces peers to each other and never
/// carries their data.
///
/// ```no_run
/// use tcp_punch_tokio::{Bind, Server, keyfile};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder(keyfile::generate()?)
///     .main("0.0.0.0:3478".parse::<Bind>()?)
///     .assist("0.0.0.0:3479".parse::<Bind>()?)
///     .assist("0.0.0.0:3480".parse::<Bind>()?)
///     .bind()
///     .await?;
/// println!("server {}", server.addresses()[0]);
/// server.run(std::future::pending()).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    addresses: Vec<ServerAddr>,
    assists: Vec<Endpoint>,
    listeners: Vec<(TcpListener, Kind)>,
    shared: Arc<Shared>,
}

impl Server {
    /// A server with this key.
    pub fn builder(secret: SecretKey) -> ServerBuilder {
        ServerBuilder {
            secret,
            mains: Vec::new(),
            assists: Vec::new(),
            token: None,
            keep_alive: None,
            allow_loopback: false,
            spoof: false,
            max_connections: MAX_CONNECTIONS,
            max_per_address: MAX_PER_ADDRESS,
        }
    }

    /// What peers are to be given: one for each main port, in their order; never
    /// empty.
    pub fn addresses(&self) -> &[ServerAddr] {
        &self.addresses
    }

    /// The assist endpoints that peers are told.
    pub fn assists(&self) -> &[Endpoint] {
        &self.assists
    }

    /// Serves until `shutdown` is ready; then tells all peers, closes their links
    /// in order and returns, after a few seconds at most. Peers come back by
    /// themselves to a server that is started again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes everything at once, without a word to the
    /// peers.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            listeners, shared, ..
        } = self;
        let stop = CancellationToken::new();
        let mut accepting = JoinSet::new();
        for (listener, kind) in listeners {
            let accept = Accept {
                shared: Arc::clone(&shared),
                kind,
                stop: stop.clone(),
            };
            accepting.spawn(accept.run(listener));
        }
        shutdown.await;
        tracing::info!("draining");
        stop.cancel();
        shared.registry.drain();
        while accepting.join_next().await.is_some() {}
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "std adds kinds as it likes")]
fn bind_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "choose another port, or end the program that has it (`ss -ltnp` names it)"
        }
        io::ErrorKind::AddrNotAvailable => {
            "bind an address of this host (`ip address` lists them), and put the one that peers are to \
             dial behind a `=`"
        }
        io::ErrorKind::PermissionDenied => "choose a port from 1024 on, or run it with more rights",
        _ => "choose another address",
    }
}

/// Why a server could not be bound. Its text says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// No main port was given.
    NoMain,
    /// No assist port was given.
    NoAssist,
    /// A port could not be bound.
    Bind(SocketAddr, io::Error),
    /// Peers cannot dial what this port is bound to, and no other address of
    /// this host is known to be better.
    NotDiallable(SocketAddr),
    /// Sending from addresses that are not its own was asked for and cannot be.
    Spoof(io::Error),
    /// A rule of the machines was broken.
    Config(ServerConfigError),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMain => f.write_str("a server needs at least one main port"),
            Self::NoAssist => f.write_str(
                "a server needs at least one assist port, better two, to see how NATs map",
            ),
            Self::Bind(local, error) => {
                write!(
                    f,
                    "{local} cannot be bound: {error}; {}",
                    bind_advice(error)
                )
            }
            Self::NotDiallable(local) => write!(
                f,
                "{local} is no address that peers could dial, and this host has none that is surely \
                 right: add it as {local}=ADDRESS:PORT"
            ),
            Self::Spoof(error) => write!(
                f,
                "segments cannot be sent in others' names: {error}; build with feature `raw` and give \
                 the process CAP_NET_RAW, or do without"
            ),
            Self::Config(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind(_, error) | Self::Spoof(error) => Some(error),
            Self::Config(error) => Some(error),
            Self::NoMain | Self::NoAssist | Self::NotDiallable(_) => None,
        }
    }
}
