//! Delay, jitter, loss and cuts of the paths between sites.

use std::collections::BTreeMap;
use std::time::Duration;

use tcp_punch_proto::noise::Jitter;
use tcp_punch_proto::{Endpoint, Instant};

use super::Node;

/// One direction between two sites.
#[derive(Copy, Clone, Debug)]
pub struct Path {
    /// One way.
    pub delay: Duration,
    /// Up to this much is added to the delay, evenly spread. Packets of one
    /// flow keep their order.
    pub jitter: Duration,
    /// Packets lost, in a million.
    pub loss_ppm: u32,
    /// Packets that overtake those before them by up to the jitter, in a
    /// million.
    pub reorder_ppm: u32,
    /// Nothing gets through, and nobody is told.
    pub cut: bool,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            loss_ppm: 0,
            reorder_ppm: 0,
            cut: false,
        }
    }
}

/// Between two hosts of one LAN.
const LAN_DELAY: Duration = Duration::from_micros(200);

/// The wide area network's paths, by the two sites at their ends: hosts and
/// outermost NATs.
#[derive(Debug)]
pub(crate) struct Conditions {
    paths: BTreeMap<(Node, Node), Path>,
    /// When the last packet of a flow arrives.
    last: BTreeMap<(Endpoint, Endpoint), Instant>,
    random: Jitter,
}

impl Conditions {
    pub(crate) fn new(random: Jitter) -> Self {
        Self {
            paths: BTreeMap::new(),
            last: BTreeMap::new(),
            random,
        }
    }

    pub(crate) fn path_mut(&mut self, from: Node, to: Node) -> &mut Path {
        self.paths.entry((from, to)).or_default()
    }

    /// When a packet that leaves now arrives; `None`: never.
    pub(crate) fn travel(
        &mut self,
        now: Instant,
        (from, to): (Node, Node),
        flow: (Endpoint, Endpoint),
    ) -> Option<Instant> {
        let path = *self.path_mut(from, to);
        // Drawn even where nothing can be lost, so that a change of the loss
        // alone leaves the other draws of the seed where they were.
        let lost = self.random.below(1_000_000) < u64::from(path.loss_ppm);
        let micros = u64::try_from(path.jitter.as_micros()).unwrap_or(u64::MAX);
        let jitter = Duration::from_micros(self.random.below(micros));
        let overtakes =
            path.reorder_ppm > 0 && self.random.below(1_000_000) < u64::from(path.reorder_ppm);
        if lost || path.cut {
            return None;
        }
        let arrival = now.after(path.delay + jitter);
        if overtakes {
            return Some(arrival);
        }
        let last = self.last.entry(flow).or_insert(arrival);
        *last = arrival.max(*last);
        Some(*last)
    }

    /// When the answer of a router arrives that is so much of the way off, where
    /// the way goes `from` one site `to` another.
    pub(crate) fn return_from(
        &mut self,
        now: Instant,
        (from, to): (Node, Node),
        (hops, of): (u8, u8),
    ) -> Instant {
        let whole = self.path_mut(from, to).delay + self.path_mut(to, from).delay;
        now.after(whole * u32::from(hops) / u32::from(of))
    }

    pub(crate) fn lan_arrival(now: Instant) -> Instant {
        now.after(LAN_DELAY)
    }
}
