//! What happens to one packet: pure decisions, without devices and threads.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Conditions, Site};
use crate::lab::rng::Rng;
use crate::lab::topology::provider;

/// What becomes of a packet on its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It arrives then, with its TTL lowered by the hops.
    Arrives {
        /// When.
        at: Instant,
        /// TTL or hop limit that is left.
        hop_limit: u8,
    },
    /// The configured loss took it.
    Lost,
    /// Its TTL ended at a hop, whose answer is back at the sender then.
    Expired {
        /// The hop, counted from 1.
        hop: u8,
        /// When the answer is back.
        answer: Instant,
    },
}

/// The state of all paths: what is random, and what must stay in order.
#[derive(Debug)]
pub(super) struct Paths {
    conditions: Conditions,
    rng: Rng,
    /// Arrival of the last packet on each path.
    last: [[Option<Instant>; 3]; 3],
}

impl Paths {
    pub(super) fn new(conditions: Conditions) -> Self {
        let rng = Rng::new(conditions.seed);
        Self {
            conditions,
            rng,
            last: Default::default(),
        }
    }

    /// Decides about a packet that was sent at `now`.
    pub(super) fn send(&mut self, now: Instant, from: Site, to: Site, hop_limit: u8) -> Way {
        let path = *self.conditions.path(from, to);
        let hops = self.conditions.hops;
        let jitter = path.jitter.mul_f64(self.rng.unit());
        // Drawn for every packet, so that a changed loss does not change the jitter of a seed.
        let lost = self.rng.unit() < path.loss;
        if lost {
            return Way::Lost;
        }
        if hop_limit <= hops {
            let back = self.conditions.path(to, from).delay;
            let answer =
                now + part(path.delay, hop_limit, hops) + jitter + part(back, hop_limit, hops);
            return Way::Expired {
                hop: hop_limit,
                answer,
            };
        }
        let last = &mut self.last[from.index()][to.index()];
        let at = last
            .map_or(now, |last| last.max(now))
            .max(now + path.delay + jitter);
        *last = Some(at);
        Way::Arrives {
            at,
            hop_limit: hop_limit - hops,
        }
    }
}

/// The share of a path's delay up to one of its hops.
fn part(delay: Duration, hop: u8, hops: u8) -> Duration {
    delay * u32::from(hop) / (u32::from(hops) + 1)
}

/// The address of a hop on the way from a site, in the family of the packet that met it.
pub(super) fn hop_address(family: IpAddr, from: Site, hop: u8) -> IpAddr {
    let own = provider(from, hop);
    match family {
        IpAddr::V4(_) => own.v4.into(),
        IpAddr::V6(_) => own.v6.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn conditions() -> Conditions {
        let mut conditions = Conditions::from_rtt(40 * MS, 60 * MS, 80 * MS);
        conditions.hops = 4;
        conditions
    }

    #[test]
    fn a_packet_takes_half_the_round_trip_and_four_hops() {
        let now = Instant::now();
        let way = Paths::new(conditions()).send(now, Site::A, Site::B, 64);
        assert_eq!(
            way,
            Way::Arrives {
                at: now + 40 * MS,
                hop_limit: 60
            }
        );
    }

    #[test]
    fn the_ttl_ends_at_the_hop_it_counts() {
        let now = Instant::now();
        let mut paths = Paths::new(conditions());
        assert_eq!(
            paths.send(now, Site::A, Site::B, 1),
            Way::Expired {
                hop: 1,
                answer: now + 16 * MS
            }
        );
        assert_eq!(
            paths.send(now, Site::A, Site::B, 4),
            Way::Expired {
                hop: 4,
                answer: now + 64 * MS
            }
        );
        assert_eq!(
            paths.send(now, Site::A, Site::B, 5),
            Way::Arrives {
                at: now + 40 * MS,
                hop_limit: 1
            }
        );
    }

    #[test]
    fn jitter_delays_but_keeps_the_order() {
        let mut conditions = conditions();
        conditions.path_mut(Site::A, Site::B).jitter = 30 * MS;
        let mut paths = Paths::new(conditions);
        let start = Instant::now();
        let mut last = start;
        for n in 0..100u32 {
            let now = start + MS * n;
            let Way::Arrives { at, .. } = paths.send(now, Site::A, Site::B, 64) else {
                panic!("no loss here")
            };
            assert!(at >= now + 40 * MS && at >= last, "{n}");
            last = at;
        }
        assert!(last <= start + 169 * MS);
    }

    #[test]
    fn loss_is_the_share_that_was_asked_for() {
        let mut conditions = conditions();
        conditions.path_mut(Site::A, Site::B).loss = 0.05;
        let mut paths = Paths::new(conditions);
        let now = Instant::now();
        let lost = (0..10_000)
            .filter(|_| paths.send(now, Site::A, Site::B, 64) == Way::Lost)
            .count();
        assert!((400..600).contains(&lost), "{lost}");
        assert!((0..1000).all(|_| paths.send(now, Site::B, Site::A, 64) != Way::Lost));
    }
}
