//! Many dials of one session: to foretold ports, or by chance.
//!
//! They are not attempts: nothing is kept of any one of them, they are never
//! repeated, and their ids lie side by side. A peer has room for one spray at a
//! time, which is its budget of sockets as well.

use core::time::Duration;

use heapless::Vec;

use super::core::Core;
use super::outbox::{Action, Slot};
use crate::addr::Endpoint;
use crate::id::SocketId;
use crate::io::{Close, Hops};
use crate::punch::MAX_STREAMS;
use crate::time::Instant;

/// Most that one step of the machine puts into the queue.
const BATCH: u16 = 8;

/// Under 900 new SYNs a second. The stack repeats each that is pending about once
/// a second, so with the repeats there are as many as dials: 1,024 at most (our
/// measurement). Home routers bear that; some have died of 5,000 to 6,000 flows.
const BATCH_PAUSE: Duration = Duration::from_millis(9);

/// Ports that NATs give out at random: all but the well-known ones.
const FIRST_RANDOM: u32 = 1_024;
const RANDOM_PORTS: u32 = 65_536 - FIRST_RANDOM;

/// Where the dials go.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// From one port to these of one address: `step` apart, behind `after`.
    Foretold { after: Endpoint, step: i16 },
    /// From one port to all of one address, each once: `stride` has no factor in
    /// common with their number.
    Random { at: Endpoint, stride: u16 },
    /// From ports of the host's choice to one endpoint.
    One(Endpoint),
}

/// Dials that became streams of the session.
pub(crate) type Kept = Vec<SocketId, MAX_STREAMS>;

/// A row of dials on its way.
#[derive(Debug)]
pub(crate) struct Spray {
    pub(crate) slot: Slot,
    local_port: u16,
    target: Target,
    hops: Hops,
    first: u32,
    total: u16,
    started: u16,
    next_at: Instant,
    pause: Duration,
    /// Over: from which one on they are still to be closed.
    closing: Option<u16>,
    /// Not to be closed: they became streams.
    keep: Kept,
}

impl Spray {
    /// `total` dials, from `at` on.
    pub(crate) fn new(
        core: &mut Core,
        slot: Slot,
        local_port: u16,
        target: Target,
        hops: Hops,
        total: u16,
        at: Instant,
    ) -> Self {
        let (local_port, pause) = match target {
            // What was foretold is stale soon.
            Target::Foretold { .. } => (local_port, Duration::ZERO),
            Target::Random { .. } => (local_port, BATCH_PAUSE),
            Target::One(_) => (0, BATCH_PAUSE),
        };
        Self {
            slot,
            local_port,
            target,
            hops,
            first: core.ids.sockets(total),
            total,
            started: 0,
            next_at: at,
            pause,
            closing: None,
            keep: Kept::new(),
        }
    }

    /// A stride that visits every random port once before it repeats.
    pub(crate) fn stride(random: u16) -> u16 {
        // 64,512 is 2^10 x 3^2 x 7.
        let odd = random | 1;
        let coprime = |n: &u16| !n.is_multiple_of(3) && !n.is_multiple_of(7);
        [odd, odd ^ 2, odd ^ 4, odd ^ 6]
            .into_iter()
            .find(coprime)
            .unwrap_or(1)
    }

    /// How long it takes to send them all.
    pub(crate) fn duration(total: u16) -> Duration {
        BATCH_PAUSE.saturating_mul(u32::from(total.div_ceil(BATCH)))
    }

    fn index_of(&self, id: SocketId) -> Option<u16> {
        let index = u16::try_from(id.0.wrapping_sub(self.first)).ok()?;
        (index < self.started).then_some(index)
    }

    /// Where this dial of it went, if it is one of it and still wanted.
    pub(crate) fn remote_of(&self, id: SocketId) -> Option<Endpoint> {
        let index = self.index_of(id).filter(|_| self.closing.is_none())?;
        Some(self.remote(index))
    }

    fn remote(&self, index: u16) -> Endpoint {
        match self.target {
            Target::Foretold { after, step } => {
                let by = (index.wrapping_add(1)).wrapping_mul(step.cast_unsigned());
                Endpoint {
                    port: after.port.wrapping_add(by),
                    ..after
                }
            }
            Target::Random { at, stride } => {
                let by = u32::from(index).wrapping_mul(u32::from(stride));
                let offset = u32::from(at.port).wrapping_add(by);
                let port = offset.checked_rem(RANDOM_PORTS).unwrap_or(0);
                Endpoint {
                    port: u16::try_from(port.saturating_add(FIRST_RANDOM)).unwrap_or(u16::MAX),
                    ..at
                }
            }
            Target::One(remote) => remote,
        }
    }

    /// Nothing more is wanted of it but these sockets.
    pub(crate) fn wind_up(&mut self, keep: Kept) {
        if self.closing.is_none() {
            self.closing = Some(0);
            self.keep = keep;
        }
    }

    /// Not to the well-known ports: no NAT gives those out, and somebody may be
    /// meant to be asked there.
    fn is_dialled(&self, index: u16) -> bool {
        u32::from(self.remote(index).port) >= FIRST_RANDOM
    }

    fn id(&self, index: u16) -> SocketId {
        SocketId(self.first.wrapping_add(u32::from(index)))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        (self.closing.is_none() && self.started < self.total).then_some(self.next_at)
    }
}

impl Core {
    /// Does one thing for the spray; the slot, and how many dials were made, if
    /// some were. `None` if there is nothing to do.
    pub(crate) fn fire_spray(&mut self) -> Option<(Slot, u16)> {
        let now = self.now;
        let Self { spray, out, .. } = self;
        let spray_now = spray.as_mut()?;
        let slot = spray_now.slot;
        if let Some(next) = spray_now.closing {
            let end = next.saturating_add(BATCH).min(spray_now.started);
            for index in next..end {
                let id = spray_now.id(index);
                if spray_now.is_dialled(index) && !spray_now.keep.contains(&id) {
                    out.close(id, Close::Silent);
                }
            }
            spray_now.closing = Some(end);
            if end >= spray_now.started {
                *spray = None;
            }
            return Some((slot, 0));
        }
        if spray_now.started >= spray_now.total || now < spray_now.next_at {
            return None;
        }
        let end = spray_now.started.saturating_add(BATCH).min(spray_now.total);
        for index in spray_now.started..end {
            if spray_now.is_dialled(index) {
                out.push(Action::Dial {
                    id: spray_now.id(index),
                    local_port: spray_now.local_port,
                    remote: spray_now.remote(index),
                    hops: spray_now.hops.into(),
                });
            }
        }
        let count = end.saturating_sub(spray_now.started);
        spray_now.started = end;
        spray_now.next_at = now.after(spray_now.pause);
        Some((slot, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn spray(target: Target) -> Spray {
        Spray {
            slot: 0,
            local_port: 7,
            target,
            hops: Hops::Default,
            first: 100,
            total: 1_024,
            started: 1_024,
            next_at: Instant::ZERO,
            pause: Duration::ZERO,
            closing: None,
            keep: Kept::new(),
        }
    }

    fn at(port: u16) -> Endpoint {
        Endpoint::new([198, 51, 100, 1].into(), port)
    }

    #[test]
    fn foretold_ports_follow_the_last_one() {
        for (after, step, expected) in [
            (40_000, 1, [40_001, 40_002, 40_003]),
            (40_000, -2, [39_998, 39_996, 39_994]),
            (65_500, 256, [220, 476, 732]),
        ] {
            let spray = spray(Target::Foretold {
                after: at(after),
                step,
            });
            let ports = [0, 1, 2].map(|index| spray.remote(index).port);
            assert_eq!(ports, expected);
        }
    }

    #[test]
    fn random_ports_come_once_and_are_none_of_the_well_known() {
        for random in [0, 1, 3, 7, 21, 63, 12_345, u16::MAX] {
            let stride = Spray::stride(random);
            let spray = spray(Target::Random {
                at: at(random),
                stride,
            });
            let ports: BTreeSet<u16> = (0..1_024).map(|index| spray.remote(index).port).collect();
            assert_eq!(ports.len(), 1_024, "{random}: stride {stride}");
            assert!(ports.first().is_some_and(|port| *port >= 1_024));
        }
    }

    #[test]
    fn ids_outside_are_none_of_it() {
        let mut spray = spray(Target::One(at(9)));
        assert_eq!(spray.remote_of(SocketId(99)), None);
        assert_eq!(spray.remote_of(SocketId(100)), Some(at(9)));
        assert_eq!(spray.remote_of(SocketId(1_123)), Some(at(9)));
        assert_eq!(spray.remote_of(SocketId(1_124)), None);
        spray.wind_up(Kept::new());
        assert_eq!(spray.remote_of(SocketId(100)), None);
    }

    #[test]
    fn what_became_a_stream_is_not_closed_with_the_others() {
        let secret = crate::noise::SecretKey::from_bytes([1; 32]);
        let mut core = Core::new(crate::Config::default(), secret, [2; 32]);
        let mut wound_up = spray(Target::One(at(9_000)));
        (wound_up.total, wound_up.started) = (20, 20);
        // One may be about to verify when the time of its step is over.
        let streams = [SocketId(100), SocketId(111)];
        wound_up.wind_up(streams.into_iter().collect());
        core.spray = Some(wound_up);
        let mut closed = BTreeSet::new();
        while core.fire_spray().is_some() {
            while let Some(action) = core.out.pop() {
                let Action::Close { id, how } = action else {
                    panic!("{action:?}");
                };
                assert_eq!(how, Close::Silent);
                closed.insert(id.0);
            }
        }
        let expected: BTreeSet<u32> = (101..120).filter(|id| *id != 111).collect();
        assert_eq!(closed, expected);
        assert!(core.spray.is_none());
    }
}
