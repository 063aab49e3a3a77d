//! Where a NAT that counts will come out next.

use core::time::Duration;

use super::classify::common_divisor;

/// Windows are never smaller: a host's own traffic is enough to shift a count.
const LEAST: u32 = 6;

/// Windows are never larger: each port costs the other side a SYN.
const MOST: u32 = MAX_WINDOW as u32;
pub(crate) const MAX_WINDOW: u16 = 48;

/// What two contacts of one port, one after the other, showed of a NAT whose
/// outer ports rise by a constant step.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TwoContacts {
    /// The step, from earlier contacts.
    pub step: i16,
    /// The outer port of the first contact.
    pub first: u16,
    /// The outer port of the second.
    pub second: u16,
    /// Time between them.
    pub between: Duration,
}

/// The step that both what was known and the two contacts allow: others may have
/// hidden a smaller one so far.
pub(crate) fn refined_step(seen: TwoContacts) -> i16 {
    let by = i32::from(seen.second).saturating_sub(i32::from(seen.first));
    let step = i32::from(seen.step);
    if by == 0 || by.signum() != step.signum() {
        // The count went round.
        return seen.step;
    }
    let common = common_divisor(step.unsigned_abs(), by.unsigned_abs());
    i16::try_from(common).map_or(seen.step, |common| {
        common.saturating_mul(seen.step.signum())
    })
}

/// How many outer ports behind the second contact's to try, so that the next
/// connection of the host is among them after `ahead`.
///
/// Others behind the same NAT use ports up too. Their rate is what was seen
/// between the two contacts, plus what chance may have kept out of sight there
/// (one standard deviation of a Poisson count); the window holds what they use
/// up meanwhile, plus three standard deviations. Measured: with 3 connections of
/// others in between a window of 10 met 20 of 20, with 10 a window of 20; so wide
/// as this makes it, 300 of 300 with 3 and 300 of 300 with 10, all at the first
/// try (`world_chance`, Poisson traffic, the server 20 ms away).
pub fn window(seen: TwoContacts, ahead: Duration) -> u16 {
    let others = others(seen).unwrap_or(LEAST);
    let root = |n: u32| n.isqrt().saturating_add(1);
    let likely = others.saturating_add(root(others));
    let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1);
    let mean = likely
        .saturating_mul(millis(ahead))
        .checked_div(millis(seen.between))
        .unwrap_or(MOST);
    let window = mean
        .saturating_add(root(mean).saturating_mul(3))
        .saturating_add(1);
    u16::try_from(window.clamp(LEAST, MOST)).unwrap_or(u16::MAX)
}

/// Connections that others opened between the contacts; `None` if the count
/// went round, or the step is not the step.
fn others(seen: TwoContacts) -> Option<u32> {
    let by = i32::from(seen.second).saturating_sub(i32::from(seen.first));
    let step = i32::from(seen.step);
    if by.checked_rem(step)? != 0 {
        return None;
    }
    u32::try_from(by.checked_div(step)?.saturating_sub(1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(step: i16, first: u16, second: u16, between_ms: u64) -> TwoContacts {
        TwoContacts {
            step,
            first,
            second,
            between: Duration::from_millis(between_ms),
        }
    }

    #[test]
    fn windows_follow_the_traffic() {
        let ahead = Duration::from_millis(100);
        for (seen, expected) in [
            // Nobody else.
            (seen(1, 40_000, 40_001, 100), 8),
            (seen(256, 40_000, 40_256, 100), 8),
            (seen(-1, 40_001, 40_000, 100), 8),
            // Three others, ten others, a crowd.
            (seen(1, 40_000, 40_004, 100), 15),
            (seen(1, 40_000, 40_011, 100), 27),
            (seen(1, 40_000, 40_300, 100), 48),
            // The contacts were far apart: little happens meanwhile.
            (seen(1, 40_000, 40_011, 1_400), 8),
            // The count went round, or stood still.
            (seen(1, 47_999, 40_000, 100), 22),
            (seen(1, 40_000, 40_000, 100), 22),
            (seen(2, 40_000, 40_003, 100), 22),
            (seen(0, 40_000, 40_003, 100), 22),
        ] {
            assert_eq!(window(seen, ahead), expected, "{seen:?}");
        }
    }

    #[test]
    fn a_smaller_step_shows_when_others_take_fewer() {
        for (seen, step) in [
            (seen(3, 40_000, 40_001, 100), 1),
            (seen(4, 40_000, 40_006, 100), 2),
            (seen(-256, 40_512, 40_000, 100), -256),
            (seen(2, 47_999, 40_000, 100), 2),
        ] {
            assert_eq!(refined_step(seen), step, "{seen:?}");
        }
    }

    #[test]
    fn no_time_between_contacts_is_no_trouble() {
        assert_eq!(window(seen(1, 1, 9, 0), Duration::MAX), 48);
    }
}
