//! What every part of a peer machine needs: time, configuration, randomness,
//! and the queue of what is to be done.

use crate::addr::{Family, MAX_HOST_ADDRESSES, Scope};
use crate::config::Config;
use crate::id::{IdSource, PeerId, SocketId};
use crate::noise::{Entropy, Jitter, SecretKey};
use crate::peer::outbox::{Letter, Outbox};
use crate::time::Instant;
use crate::wire::Hosts;

use core::net::IpAddr;

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
    /// Private addresses of the host, which may become host candidates, and
    /// whatever else helps to see that there is no NAT.
    pub(crate) hosts: Hosts,
    /// Outcomes for ids that are not, or no longer, known.
    pub(crate) late: u32,
}

impl Core {
    pub(crate) fn new(config: Config, secret: SecretKey, seed: [u8; 32]) -> Self {
        let mut entropy = Entropy::new(seed);
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
            late: 0,
        }
    }

    /// Sends a letter to the server, if it knows us.
    pub(crate) fn tell_server(&mut self, letter: Letter) {
        if let Some(id) = self.server {
            self.out.send(id, letter);
        }
    }

    /// Keeps the addresses that are of use, at most [`MAX_HOST_ADDRESSES`];
    /// true if they changed.
    pub(crate) fn learn_hosts(&mut self, addresses: &[IpAddr]) -> bool {
        let mut hosts = Hosts::new();
        let wanted = |scope: Scope| {
            matches!(scope, Scope::Private | Scope::Global)
                || (scope == Scope::Loopback && self.config.allow_loopback)
        };
        // Private ones first: they are what a shared network is reached by.
        for private in [true, false] {
            for ip in addresses.iter().map(IpAddr::to_canonical) {
                let scope = Scope::of(ip);
                if wanted(scope) && (scope == Scope::Private) == private && !hosts.contains(&ip) {
                    // Full at MAX_HOST_ADDRESSES: the rest is not told.
                    let _ = hosts.push(ip);
                }
            }
        }
        debug_assert!(hosts.len() <= MAX_HOST_ADDRESSES);
        let changed = hosts != self.hosts;
        self.hosts = hosts;
        changed
    }

    /// Whether the host has an address of this family; assumed while it told
    /// none.
    pub(crate) fn has_family(&self, family: Family) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|ip| Family::of(*ip) == family)
    }

    /// A duration of `base` +/- `percent`, so that many peers do not act in
    /// step.
    pub(crate) fn spread(
        &mut self,
        base: core::time::Duration,
        percent: u32,
    ) -> core::time::Duration {
        let range = base
            .saturating_mul(percent.saturating_mul(2))
            .checked_div(100)
            .unwrap_or_default();
        let low = base.saturating_sub(range.checked_div(2).unwrap_or_default());
        let micros = self
            .jitter
            .below(crate::time::micros(range).saturating_add(1));
        low.saturating_add(core::time::Duration::from_micros(micros))
    }
}
