//! What is known before a peer starts.

use std::io;
use std::net::IpAddr;
use std::sync::Mutex;

use proto::noise::SecretKey;
use proto::{Config, ConfigBuilder, Runtime, Strategies, Strategy};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::access::AccessPolicy;
use crate::driver::{Driver, Machine, Outlets};
use crate::peer::{Peer, Shared};
use crate::raw::Raw;
use crate::server_addr::ServerAddr;
use crate::status::LinkStatus;
use crate::{random_seed, sys};

/// Streams and requests that wait for the application. More are turned away: an
/// application that does not take them does not want them.
const BACKLOG: usize = 32;

/// Events that wait for a reader before the oldest are lost. One session makes
/// about ten, and up to 64 more where every dial is refused.
const EVENTS: usize = 1_024;

/// Sockets of one session: 256 on the side whose ports are random and 1,024 dials
/// on the other meet 98 % of the time (computed for 64,512 ports; 12 of 12 in our
/// measurement), and routers have been seen to die of a few thousand.
const MOST_DIALS: u16 = 1_280;

/// Without birthday: what port prediction can make use of.
const USUAL_DIALS: u16 = 64;

/// Collects what a peer is to be like.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `start`"]
pub struct PeerBuilder {
    server: ServerAddr,
    secret: SecretKey,
    config: ConfigBuilder,
    strategies: Option<Strategies>,
    birthday: bool,
    raw: bool,
    access: AccessPolicy,
}

impl PeerBuilder {
    pub(crate) fn new(server: ServerAddr, secret: SecretKey) -> Self {
        Self {
            server,
            secret,
            config: Config::builder(),
            strategies: None,
            birthday: false,
            raw: false,
            access: AccessPolicy::nobody(),
        }
    }

    /// Limits and habits. Default: those of [`Config::default`]. To be called
    /// before the methods below, which change it. Its `runtime` is set in any case.
    pub fn config(mut self, config: ConfigBuilder) -> Self {
        self.config = config;
        self
    }

    /// Who may get a stream to us. Default: nobody.
    pub fn access(mut self, access: AccessPolicy) -> Self {
        self.access = access;
        self
    }

    /// What sessions may use that others ask for, and those of
    /// [`Peer::connect`]. A session uses what both sides allow. Default: all but
    /// birthday.
    pub const fn strategies(mut self, strategies: Strategies) -> Self {
        self.strategies = Some(strategies);
        self
    }

    /// Whether birthday is among the strategies, besides those that are: for a NAT whose outer ports are
    /// random, with another one that only lets in who was dialled. Both sides have
    /// to allow it, because it costs both: up to 1,280 sockets open and 1,280 SYNs
    /// within about a second on each side, and as many entries in the routers.
    /// The process's limit of open files may make it fewer, which makes success
    /// less likely. Default: no.
    pub const fn birthday(mut self, birthday: bool) -> Self {
        self.birthday = birthday;
        self
    }

    /// Whether TCP segments may be made by hand, for the strategies
    /// `crafted-syn-ack` and `spoofed-syn-ack`. Has an effect only where
    /// [`raw_sockets`](crate::raw_sockets) is `Ok`: in a program built with feature
    /// `raw`, on Linux, with CAP_NET_RAW. Default: no.
    pub const fn raw(mut self, raw: bool) -> Self {
        self.raw = raw;
        self
    }

    /// The hop limit that passes all NATs on this side and none on the other: 2
    /// behind one NAT. 1 to 32. On Linux it is found out where it is not given.
    /// Default: not known.
    pub fn hops(mut self, hops: u8) -> Self {
        self.config = self.config.hops(hops);
        self
    }

    /// Outer addresses of the own router where a carrier's NAT lies before it, at
    /// most 2: with them, peers behind the same carrier can be reached even if its
    /// NAT does not send back what is for itself. The router has to keep port
    /// numbers. Default: none.
    pub fn outer_addresses(mut self, addresses: &[IpAddr]) -> Self {
        self.config = self.config.outer_addresses(addresses);
        self
    }

    /// Starts the peer on the tokio runtime that this is called in. It begins to
    /// register at once and goes on until it is shut down or its last handle is
    /// dropped.
    ///
    /// # Errors
    ///
    /// `InvalidInput` with a [`ConfigError`](crate::ConfigError) inside where the
    /// configuration makes no sense; another one where the system has no
    /// randomness to give.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or in one without time and I/O.
    pub fn start(self) -> io::Result<Peer> {
        let Self {
            server,
            secret,
            config,
            strategies: asked_for,
            birthday,
            raw,
            access,
        } = self;
        let mut strategies = asked_for.unwrap_or_default();
        if birthday {
            strategies = strategies.with(Strategy::Birthday);
        }
        let config = if birthday || asked_for.is_some() {
            config.strategies(strategies)
        } else {
            config
        };
        let raw = if raw { open_raw() } else { None };
        let config = config
            .runtime(Runtime {
                low_ttl: sys::HEARS_ICMP,
                trace: sys::HEARS_ICMP,
                raw: raw.is_some(),
                dials: dials(strategies, sys::open_files()),
            })
            .build()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let seed = random_seed()?;
        let machine = Box::new(Machine::new(config, access, secret, server.key(), *seed));
        let id = machine.id();
        let (wanted, waiting) = mpsc::channel(BACKLOG);
        let stop = CancellationToken::new();
        let (link, link_status) = watch::channel(LinkStatus::Connecting);
        let (events, first_events) = broadcast::channel(EVENTS);
        let (incoming, streams) = mpsc::channel(BACKLOG);
        let (requests, asked) = mpsc::channel(BACKLOG);
        let outlets = Outlets {
            link,
            events,
            incoming,
            requests,
        };
        let later_events = first_events.resubscribe();
        let driver = Driver::new(machine, server, raw, waiting, stop.clone(), outlets);
        tokio::spawn(driver);
        Ok(Peer::new(Shared {
            id,
            strategies,
            wanted,
            stop,
            link: link_status,
            incoming: tokio::sync::Mutex::new(streams),
            requests: tokio::sync::Mutex::new(asked),
            first_events: Mutex::new(Some(first_events)),
            later_events,
        }))
    }
}

fn open_raw() -> Option<Raw> {
    Raw::open()
        .inspect_err(|error| tracing::warn!(%error, "no raw sockets"))
        .ok()
}

/// Sockets that one session may have open for port prediction and birthday: half
/// of what the process may have, because it is not ours alone.
fn dials(strategies: Strategies, open_files: Option<u64>) -> u16 {
    let most = if strategies.allows(Strategy::Birthday) {
        MOST_DIALS
    } else {
        USUAL_DIALS
    };
    open_files.map_or(most, |files| {
        u16::try_from(files / 2).unwrap_or(u16::MAX).min(most)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dials_fit_into_the_limit_of_open_files() {
        let usual = Strategies::default();
        let birthday = usual.with(Strategy::Birthday);
        for (strategies, files, expected) in [
            (usual, None, 64),
            (usual, Some(1_024), 64),
            (usual, Some(20), 10),
            (birthday, None, 1_280),
            (birthday, Some(1_024), 512),
            (birthday, Some(u64::MAX), 1_280),
        ] {
            assert_eq!(dials(strategies, files), expected, "{files:?}");
        }
    }

    #[tokio::test]
    async fn a_configuration_that_makes_no_sense_is_an_error() {
        let secret = SecretKey::from_bytes([1; 32]);
        let server = ServerAddr::new("192.0.2.1".to_owned(), 1, secret.public());
        let error = PeerBuilder::new(server, secret)
            .hops(33)
            .start()
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
