//! What the lab was told about the WAN: delays, jitter, loss, hops.

use std::time::Duration;

use super::Site;

/// One direction between two sites.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Path {
    /// How long a packet takes, at least.
    pub delay: Duration,
    /// How much longer it may take; packets of one path stay in order, as they do in a queue.
    pub jitter: Duration,
    /// The share of packets that get lost, 0 to 1.
    pub loss: f64,
}

/// All paths of the WAN.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions {
    paths: [[Path; 3]; 3],
    /// Router hops between any two sites.
    pub hops: u8,
    /// Where loss and jitter come from.
    pub seed: u64,
}

impl Conditions {
    /// Round trips between the sites, the same in both directions, without jitter and loss, over one hop.
    #[must_use]
    pub fn from_rtt(a_s: Duration, b_s: Duration, a_b: Duration) -> Self {
        let mut conditions = Self {
            paths: Default::default(),
            hops: 1,
            seed: 1,
        };
        for (from, to, rtt) in [
            (Site::A, Site::S, a_s),
            (Site::B, Site::S, b_s),
            (Site::A, Site::B, a_b),
        ] {
            conditions.path_mut(from, to).delay = rtt / 2;
            conditions.path_mut(to, from).delay = rtt / 2;
        }
        conditions
    }

    /// The path from one site to another.
    #[must_use]
    pub fn path(&self, from: Site, to: Site) -> &Path {
        &self.paths[from.index()][to.index()]
    }

    /// The same, to change it.
    pub fn path_mut(&mut self, from: Site, to: Site) -> &mut Path {
        &mut self.paths[from.index()][to.index()]
    }

    /// The round trip between two sites, without jitter.
    #[must_use]
    pub fn rtt(&self, one: Site, other: Site) -> Duration {
        self.path(one, other).delay + self.path(other, one).delay
    }
}
