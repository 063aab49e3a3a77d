//! Dials: one pending per port pair, never closed before the session ends,
//! repeated after a refusal and only then.

use core::time::Duration;

use crate::addr::{CandidateKind, Endpoint};
use crate::event::Strategy;
use crate::id::SocketId;
use crate::io::Failure;
use crate::noise::Jitter;
use crate::time::Instant;

/// Most port pairs of a session.
pub(crate) const MAX_ATTEMPTS: usize = 8;

/// Most SYNs of a session, kernel retransmissions not counted: a NAT that
/// refuses must not be flooded, and a peer must be no tool for it.
pub(crate) const MAX_DIALS: u16 = 64;

/// After a refusal both sides dial again at once, with jitter so that they do
/// not keep missing each other in step: 48 of 48 got through that way at a
/// round trip of 4 ms with at most 27 dials (our measurement).
const REDIAL_FLOOR: Duration = Duration::from_millis(2);
const REDIAL_JITTER_US: u64 = 20_000;

/// So many quick redials cover a round trip of 150 ms; who has not met by then
/// is not waiting on the other side, or not there.
const QUICK_REDIALS: u8 = 12;

/// The pause after the quick redials; doubles to the last.
const SLOW_REDIAL_FIRST: Duration = Duration::from_millis(25);
const SLOW_REDIAL_DOUBLINGS: u8 = 4;

/// One port pair.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) local_port: u16,
    pub(crate) remote: Endpoint,
    pub(crate) kind: CandidateKind,
    pub(crate) dials: u8,
    pub(crate) stage: Stage,
}

/// Where a port pair stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// To be dialled then.
    Due(Instant),
    /// The dial is pending.
    Dialling(SocketId),
    /// The dial became a stream.
    Connected,
    /// Nothing more to expect of dialling it.
    Dead,
}

impl Attempt {
    /// The strategy that the pair belongs to.
    pub(crate) const fn strategy(&self) -> Strategy {
        strategy_of(self.kind)
    }

    /// When to dial again after this failure, if at all.
    pub(crate) fn redial_at(
        &self,
        failure: Failure,
        now: Instant,
        jitter: &mut Jitter,
    ) -> Option<Instant> {
        match failure {
            // RST or ICMP: the other side's NAT has not opened yet. After
            // silence never: the stack retransmits by itself.
            Failure::Refused | Failure::Reset | Failure::Unreachable => {}
            // The four-tuple is taken for a moment, or there were no buffers.
            Failure::AddressNotAvailable | Failure::AddressInUse | Failure::Exhausted
                if self.dials < 4 => {}
            Failure::AddressNotAvailable
            | Failure::AddressInUse
            | Failure::Exhausted
            | Failure::TimedOut
            | Failure::Forbidden
            | Failure::Other => return None,
        }
        let jitter_us = jitter.below(REDIAL_JITTER_US.saturating_add(1));
        let pause = match self.dials.checked_sub(QUICK_REDIALS) {
            None => REDIAL_FLOOR,
            Some(slow) => SLOW_REDIAL_FIRST.saturating_mul(1 << slow.min(SLOW_REDIAL_DOUBLINGS)),
        };
        Some(now.after(pause.saturating_add(Duration::from_micros(jitter_us))))
    }
}

/// The strategy that dials candidates of this kind.
pub(crate) const fn strategy_of(kind: CandidateKind) -> Strategy {
    match kind {
        CandidateKind::Mapped => Strategy::SimultaneousOpen,
        CandidateKind::Host => Strategy::HostCandidates,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(dials: u8) -> Attempt {
        Attempt {
            local_port: 1,
            remote: Endpoint::new([192, 0, 2, 1].into(), 2),
            kind: CandidateKind::Mapped,
            dials,
            stage: Stage::Dead,
        }
    }

    #[test]
    fn refusals_are_answered_at_once_and_then_ever_slower() {
        let mut jitter = Jitter::new(1);
        let now = Instant::from_millis(1_000);
        let mut pause = |dials| {
            attempt(dials)
                .redial_at(Failure::Refused, now, &mut jitter)
                .unwrap()
                .since(now)
        };
        for dials in 1..QUICK_REDIALS {
            let pause = pause(dials);
            assert!(
                pause >= REDIAL_FLOOR && pause <= Duration::from_millis(22),
                "{dials}: {pause:?}"
            );
        }
        assert!(pause(QUICK_REDIALS) >= SLOW_REDIAL_FIRST);
        assert!(pause(u8::MAX) >= Duration::from_millis(400));
        assert!(pause(u8::MAX) <= Duration::from_millis(420));
    }

    #[test]
    fn silence_is_not_answered() {
        let now = Instant::ZERO;
        assert_eq!(
            attempt(1).redial_at(Failure::TimedOut, now, &mut Jitter::new(1)),
            None
        );
    }
}
