//! What every part of a peer machine needs: time, configuration, randomness,
//! and the queue of what is to be done.

use crate::addr::{Family, MAX_HOST_ADDRESSES, Scope};
use crate::config::Config;
use crate::id::{IdSource, PeerId, SocketId};
use crate::noise::{Entropy, Jitter, SecretKey};
use crate::peer::outbox::{Letter, Outbox, Slot};
use crate::peer::spray::Spray;
use crate::plan::Abilities;
use crate::time::{Instant, micros};
use crate::wire::Hosts;

use core::net::IpAddr;
use core::time::Duration;

/// Keep-alives come so many percent earlier or later.
const KEEP_ALIVE_SPREAD: u32 = 20;

/// Shared by the main link, the ports and the sessions of one peer.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) now: Instant,
    pub(crate) config: Config,
    pub(crate) id: PeerId,
    pub(crate) secret: SecretKey,
    pub(crate) entropy: Entropy,
    pub(crate) jitter: Jitter,
    pub(crate) ids: IdSource,
    pub(crate) out: Outbox,
    /// The main link's socket, while the server knows us.
    pub(crate) server: Option<SocketId>,
    /// Private addresses of the host, which may become host candidates.
    pub(crate) hosts: Hosts,
    /// They changed since the server was told.
    pub(crate) hosts_untold: bool,
    /// Whether the host has IPv4 and IPv6.
    families: [bool; 2],
    /// Outcomes for ids that are not, or no longer, known.
    pub(crate) late: u32,
    /// The hop limit that passes our own NATs, once it is known.
    pub(crate) hops: Option<u8>,
    /// The only row of dials by chance that there is at a time.
    pub(crate) spray: Option<Spray>,
    /// Whose the next one is: both sides of a session are made ready for it.
    pub(crate) spray_for: Option<Slot>,
    /// Whose the last one was.
    pub(crate) last_spray: Slot,
}

impl Core {
    pub(crate) fn new(config: Config, secret: SecretKey, seed: [u8; 32]) -> Self {
        let mut entropy = Entropy::new(seed);
        let hops = config.hops.filter(|_| config.runtime.low_ttl);
        let jitter = Jitter::new(u64::from_be_bytes(entropy.bytes()));
        Self {
            now: Instant::ZERO,
            id: secret.public().into(),
            config,
            secret,
            entropy,
            jitter,
            ids: IdSource::default(),
            out: Outbox::default(),
            server: None,
            hosts: Hosts::new(),
            hosts_untold: false,
            families: [false; 2],
            late: 0,
            hops,
            spray: None,
            spray_for: None,
            last_spray: Slot::MAX,
        }
    }

    /// Takes the caller's time. A clock at the very end of time is held back, so
    /// that every deadline still lies ahead.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = now.min(Instant::from_micros(u64::MAX / 2));
    }

    /// Sends a letter to the server, if it knows us.
    pub(crate) fn tell_server(&mut self, letter: Letter) {
        if let Some(id) = self.server {
            self.out.send(id, letter);
        }
    }

    /// Keeps the private addresses, which may become host candidates, as many
    /// as there is room for, and which families there are at all.
    pub(crate) fn learn_hosts(&mut self, addresses: &[IpAddr]) {
        let mut hosts = Hosts::new();
        let mut families = [false; 2];
        for ip in addresses.iter().map(IpAddr::to_canonical) {
            let scope = Scope::of(ip);
            let loopback = scope == Scope::Loopback && self.config.allow_loopback;
            if matches!(scope, Scope::Private | Scope::Global) || loopback {
                let [v4, v6] = &mut families;
                *if ip.is_ipv4() { v4 } else { v6 } = true;
            }
            if (scope == Scope::Private || loopback) && !hosts.contains(&ip) {
                // Full: the rest is not told.
                let _ = hosts.push(ip);
            }
        }
        self.hosts_untold |= hosts != self.hosts;
        self.hosts = hosts;
        self.families = families;
        self.tell_hosts();
    }

    /// Tells the server the host's addresses if it does not know them.
    pub(crate) fn tell_hosts(&mut self) {
        if self.hosts_untold && self.server.is_some() {
            self.hosts_untold = false;
            self.tell_server(Letter::Moved);
        }
    }

    /// The addresses that the server is told: those of routers first, because
    /// nobody else can know them.
    pub(crate) fn told_hosts(&self) -> Hosts {
        let routers = self.config.routers.iter();
        routers
            .chain(&self.hosts)
            .copied()
            .take(MAX_HOST_ADDRESSES)
            .collect()
    }

    /// Whether an address is the host's, or that of a router of its own.
    pub(crate) fn is_own(&self, ip: IpAddr) -> bool {
        self.hosts.contains(&ip) || self.config.routers.contains(&ip)
    }

    /// What we bring to a session.
    pub(crate) const fn abilities(&self) -> Abilities {
        let runtime = self.config.runtime;
        Abilities {
            hops: self.hops,
            raw: runtime.raw,
            spoof: false,
            dials: runtime.dials,
        }
    }

    /// Whether the host has an address of this family; assumed while it told
    /// none.
    pub(crate) const fn has_family(&self, family: Family) -> bool {
        match (self.families, family) {
            ([false, false], _) => true,
            ([v4, _], Family::V4) => v4,
            ([_, v6], Family::V6) => v6,
        }
    }

    /// The time until the next keep-alive: the interval, spread so that many
    /// peers do not act in step.
    pub(crate) fn keep_alive_pause(&mut self, interval: Duration) -> Duration {
        let percent = |percent: u32| {
            let part = interval.saturating_mul(percent).checked_div(100);
            part.unwrap_or_default()
        };
        let range = percent(KEEP_ALIVE_SPREAD.saturating_mul(2));
        let low = interval.saturating_sub(percent(KEEP_ALIVE_SPREAD));
        let micros = self.jitter.below(micros(range).saturating_add(1));
        low.saturating_add(Duration::from_micros(micros))
    }
}
