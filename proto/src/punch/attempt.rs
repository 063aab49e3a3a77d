//! Dials: one pending per port pair, never closed before the session ends,
//! repeated after a refusal and only then.

use core::time::Duration;

use crate::addr::Endpoint;
use crate::event::Strategy;
use crate::id::SocketId;
use crate::io::Failure;
use crate::noise::Jitter;
use crate::time::Instant;

/// Most port pairs of a session.
pub(crate) const MAX_ATTEMPTS: usize = 8;

/// Most SYNs of a session's port pairs, kernel retransmissions not counted: a
/// NAT that refuses must not be flooded, and a peer must be no tool for it.
const MAX_DIALS: u16 = 64;

/// What of them each round after the first is left at least.
const DIALS_KEPT: u16 = 8;
const ROUNDS_KEPT_FOR: u8 = 3;

/// Most SYNs of a session's port pairs up to the end of this round.
pub(crate) fn dial_budget(round: u8) -> u16 {
    let rounds = u16::from(ROUNDS_KEPT_FOR.saturating_sub(round));
    MAX_DIALS.saturating_sub(rounds.saturating_mul(DIALS_KEPT))
}

/// After a refusal both sides dial again at once, with jitter so that they do
/// not keep missing each other in step: 48 of 48 got through that way at a
/// round trip of 4 ms with at most 27 dials (our measurement).
const REDIAL_FLOOR: Duration = Duration::from_millis(2);
const REDIAL_JITTER_US: u64 = 20_000;

/// After ICMP the hole in the own NAT stays open, and whoever comes in while no
/// dial is pending meets the listener, whose answer the NAT takes for invalid.
/// So there is to be hardly a moment without a dial. (In the simulated world up
/// to 4 % of sessions over short, jittery paths got stuck with the pause that is
/// right after a RST.)
const REDIAL_JITTER_UNREACHABLE_US: u64 = 500;

/// An error that comes so soon came from the own host: there is no route, and
/// nothing to hurry for.
const LOCAL_ERROR: Duration = Duration::from_micros(200);

/// So many quick redials cover a round trip of 150 ms; who has not met by then
/// is not waiting on the other side, or not there.
const QUICK_REDIALS: u8 = 12;

/// In a shared private network who refuses is not there, and the budget of SYNs
/// is for the others; unless routers stand between, which may answer too early
/// SYNs there as well.
const QUICK_REDIALS_HOST: u8 = 3;

/// The pause after the quick redials; doubles to the last.
const SLOW_REDIAL_FIRST: Duration = Duration::from_millis(25);
const SLOW_REDIAL_DOUBLINGS: u8 = 4;

/// One port pair.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) local_port: u16,
    pub(crate) remote: Endpoint,
    pub(crate) strategy: Strategy,
    pub(crate) dials: u8,
    pub(crate) dialled_at: Instant,
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
    /// Whether it goes to where the server saw the other side.
    pub(crate) fn is_mapped(&self) -> bool {
        self.strategy != Strategy::HostCandidates
    }

    /// Whether its first sequence number is exchanged with the other side.
    pub(crate) const fn is_watched(&self) -> bool {
        matches!(
            self.strategy,
            Strategy::CraftedSynAck | Strategy::SpoofedSynAck
        )
    }

    /// When to dial again after this failure, if at all. `behind_routers`: there
    /// are some between the hosts of the shared private network.
    pub(crate) fn redial_at(
        &self,
        failure: Failure,
        now: Instant,
        behind_routers: bool,
        jitter: &mut Jitter,
    ) -> Option<Instant> {
        if self.is_watched() {
            // Its number was told: another dial would have another one.
            return None;
        }
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
        let quick = if self.is_mapped() || behind_routers {
            QUICK_REDIALS
        } else {
            QUICK_REDIALS_HOST
        };
        let slow = match self.dials.checked_sub(quick) {
            Some(slow) => Some(slow),
            None if now.since(self.dialled_at) < LOCAL_ERROR => Some(self.dials),
            None => None,
        };
        let (floor, jitter_us) = match (slow, failure) {
            (Some(slow), _) => {
                let doubled =
                    SLOW_REDIAL_FIRST.saturating_mul(1 << slow.min(SLOW_REDIAL_DOUBLINGS));
                (doubled, REDIAL_JITTER_US)
            }
            (None, Failure::Unreachable) => (Duration::ZERO, REDIAL_JITTER_UNREACHABLE_US),
            (None, _) => (REDIAL_FLOOR, REDIAL_JITTER_US),
        };
        let jitter = Duration::from_micros(jitter.below(jitter_us.saturating_add(1)));
        Some(now.after(floor.saturating_add(jitter)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(dials: u8) -> Attempt {
        Attempt {
            local_port: 1,
            remote: Endpoint::new([192, 0, 2, 1].into(), 2),
            strategy: Strategy::SimultaneousOpen,
            dials,
            dialled_at: Instant::ZERO,
            stage: Stage::Dead,
        }
    }

    #[test]
    fn refusals_are_answered_at_once_and_then_ever_slower() {
        let mut jitter = Jitter::new(1);
        let now = Instant::from_millis(1_000);
        let mut pause = |dials| {
            attempt(dials)
                .redial_at(Failure::Refused, now, false, &mut jitter)
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
    fn icmp_leaves_hardly_a_moment_without_a_dial() {
        let mut jitter = Jitter::new(1);
        let now = Instant::from_millis(1_000);
        for dials in 1..QUICK_REDIALS {
            let again = attempt(dials).redial_at(Failure::Unreachable, now, false, &mut jitter);
            assert!(again.unwrap().since(now) <= Duration::from_micros(500));
        }
    }

    #[test]
    fn a_host_without_a_route_is_not_hurried() {
        let now = Instant::from_micros(100);
        let again = attempt(1).redial_at(Failure::Unreachable, now, false, &mut Jitter::new(1));
        assert!(again.unwrap().since(now) >= SLOW_REDIAL_FIRST);
    }

    #[test]
    fn silence_is_not_answered() {
        let now = Instant::ZERO;
        assert_eq!(
            attempt(1).redial_at(Failure::TimedOut, now, false, &mut Jitter::new(1)),
            None
        );
    }
}
