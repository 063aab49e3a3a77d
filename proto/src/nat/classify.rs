//! From what was seen to what it means: pure functions, the same at peer and
//! server.

use super::report::{Allocation, EarlySyn, Filtering};
use crate::addr::Endpoint;
use crate::event::Mapping;
use crate::wire::DialBackOutcome;

/// Steps that are a rule and not chance: NATs have been seen to count by 1 and
/// 2, and by 256 where the byte order is mixed up.
const KNOWN_STEPS: [u16; 4] = [1, 2, 256, 512];

/// Steps beyond this are no rule.
const MAX_STEP: u16 = 1_024;

/// So many of a NAT's ports may others have taken between two contacts.
const MAX_OTHERS: u16 = 16;

/// What one contact of a port showed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Whether it went to the address that the first one went to.
    pub same_address: bool,
    /// Where it came from, as the server saw it.
    pub mapped: Endpoint,
}

/// Judges the mapping by the first contact of a port and the later ones, in the
/// order in which they were made. Contacts in another address family tell
/// nothing.
pub fn classify_mapping(first: Endpoint, later: &[Contact]) -> (Mapping, Allocation) {
    let later = || {
        later
            .iter()
            .filter(|seen| seen.mapped.family() == first.family())
    };
    if later().next().is_none() {
        return (Mapping::Unknown, Allocation::Unknown);
    }
    if later().all(|seen| seen.mapped == first) {
        return (Mapping::EndpointIndependent, Allocation::Unknown);
    }
    let near = later().filter(|seen| seen.same_address);
    let mapping = if near.clone().next().is_some() && near.clone().all(|seen| seen.mapped == first)
    {
        Mapping::AddressDependent
    } else {
        // Also where only another address was tried: planned for as the worse.
        Mapping::AddressAndPortDependent
    };
    (mapping, classify_allocation(first, later()))
}

/// A NAT that counts gives every new contact the next port, but others take
/// some in between, and its range comes to an end now and then.
fn classify_allocation<'a>(
    first: Endpoint,
    later: impl Iterator<Item = &'a Contact>,
) -> Allocation {
    let mut last = first;
    let mut step: Option<i32> = None;
    let (mut all_fit, mut known) = (true, None);
    for seen in later.filter(|seen| seen.mapped != first) {
        if seen.mapped.ip != first.ip {
            return Allocation::Random;
        }
        let by = i32::from(seen.mapped.port).saturating_sub(i32::from(last.port));
        last = seen.mapped;
        if u16::try_from(by.abs()).is_ok_and(|by| KNOWN_STEPS.contains(&by)) {
            known = known.or(Some(by));
        }
        let common = common_divisor(step.unwrap_or(by).unsigned_abs(), by.unsigned_abs());
        let same_way = step.is_none_or(|step| step.signum() == by.signum());
        all_fit &= by != 0 && same_way && is_step(common, by);
        step = i32::try_from(common)
            .ok()
            .map(|step| step.saturating_mul(by.signum()));
    }
    let step = if all_fit { step } else { known };
    match step.map(i16::try_from) {
        None if all_fit => Allocation::Unknown,
        Some(Ok(step)) => Allocation::Step(step),
        None | Some(Err(_)) => Allocation::Random,
    }
}

fn is_step(step: u32, by: i32) -> bool {
    let count = by.unsigned_abs().checked_div(step);
    step <= u32::from(MAX_STEP) && count.is_some_and(|count| count <= u32::from(MAX_OTHERS))
}

/// The largest number that divides both.
pub(super) const fn common_divisor(a: u32, b: u32) -> u32 {
    match a.checked_rem(b) {
        Some(rest) => common_divisor(b, rest),
        None => a,
    }
}

/// Judges the filtering and the answer to an early SYN by what became of the
/// dial-backs: from another port of the contacted address, and from another
/// address. `None`: not tried.
pub(crate) fn classify_dial_backs(
    same_address: Option<DialBackOutcome>,
    other_address: Option<DialBackOutcome>,
) -> (Filtering, EarlySyn) {
    use DialBackOutcome::{Connected, NotTried};
    let tried = |outcome: Option<DialBackOutcome>| outcome.filter(|outcome| *outcome != NotTried);
    let (same, other) = (tried(same_address), tried(other_address));
    let filtering = match (same, other) {
        (_, Some(Connected)) => Filtering::Open,
        (Some(Connected), Some(_)) => Filtering::AddressDependent,
        (Some(_), Some(_)) => Filtering::AddressAndPortDependent,
        // From the contacted address anybody may be let in: it shows the least.
        (Some(Connected), None) | (None, None) => Filtering::NotTested,
        (Some(_), None) => Filtering::NotOpen,
        // No telling of one from the other, so the worse.
        (None, Some(_)) => Filtering::AddressAndPortDependent,
    };
    let refused = || {
        [same, other]
            .into_iter()
            .flatten()
            .filter(|outcome| *outcome != Connected)
    };
    // A NAT may have one answer for those it knows and another for strangers: so
    // the worse.
    let early_syn = match refused()
        .find(|outcome| *outcome != DialBackOutcome::Silence)
        .or_else(|| refused().next())
    {
        Some(DialBackOutcome::Refused) => EarlySyn::Reset,
        Some(DialBackOutcome::Unreachable) => EarlySyn::Unreachable,
        Some(DialBackOutcome::Silence) => EarlySyn::Silence,
        Some(Connected | NotTried) | None => EarlySyn::NotTested,
    };
    (filtering, early_syn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Endpoint {
        Endpoint::new([198, 51, 100, 1].into(), port)
    }

    fn near(port: u16) -> Contact {
        Contact {
            same_address: true,
            mapped: at(port),
        }
    }

    fn far(port: u16) -> Contact {
        Contact {
            same_address: false,
            mapped: at(port),
        }
    }

    #[test]
    fn mappings_by_table() {
        use Allocation::{Random, Step, Unknown};
        use Mapping::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
        let cases: [(&[Contact], Mapping, Allocation); 17] = [
            (&[], Mapping::Unknown, Unknown),
            (&[near(5_000)], EndpointIndependent, Unknown),
            (&[near(5_000), far(5_000)], EndpointIndependent, Unknown),
            (&[near(5_000), far(5_001)], AddressDependent, Step(1)),
            (&[near(5_000), far(41_234)], AddressDependent, Random),
            (&[near(5_001), far(5_002)], AddressAndPortDependent, Step(1)),
            (
                &[near(5_256), far(5_512)],
                AddressAndPortDependent,
                Step(256),
            ),
            (
                &[near(4_999), far(4_998)],
                AddressAndPortDependent,
                Step(-1),
            ),
            // Somebody else took one in between.
            (&[near(5_001), far(5_003)], AddressAndPortDependent, Step(1)),
            (&[near(5_006), far(5_016)], AddressAndPortDependent, Step(2)),
            // The range came to an end.
            (&[near(40), far(41)], AddressAndPortDependent, Step(1)),
            (&[near(5_256), far(900)], AddressAndPortDependent, Step(256)),
            (&[near(5_003), far(900)], AddressAndPortDependent, Random),
            (&[near(5_100), far(5_117)], AddressAndPortDependent, Random),
            (&[near(61_001), far(17)], AddressAndPortDependent, Random),
            (&[near(5_001)], AddressAndPortDependent, Step(1)),
            (&[far(5_001)], AddressAndPortDependent, Step(1)),
        ];
        for (later, mapping, allocation) in cases {
            assert_eq!(
                classify_mapping(at(5_000), later),
                (mapping, allocation),
                "{later:?}"
            );
        }
    }

    #[test]
    fn another_outer_address_is_no_step() {
        let elsewhere = Contact {
            same_address: true,
            mapped: Endpoint::new([198, 51, 100, 2].into(), 5_001),
        };
        let judged = classify_mapping(at(5_000), &[elsewhere]);
        assert_eq!(
            judged,
            (Mapping::AddressAndPortDependent, Allocation::Random)
        );
    }

    #[test]
    fn the_other_family_tells_nothing() {
        let v6 = Contact {
            same_address: false,
            mapped: Endpoint::new("2001:db8::1".parse().unwrap(), 9),
        };
        assert_eq!(classify_mapping(at(5_000), &[v6]).0, Mapping::Unknown);
    }

    #[test]
    fn dial_backs_by_table() {
        use DialBackOutcome::{Connected, NotTried, Refused, Silence, Unreachable};
        for (same, other, filtering, early) in [
            (
                Some(Connected),
                Some(Connected),
                Filtering::Open,
                EarlySyn::NotTested,
            ),
            (
                Some(Silence),
                Some(Connected),
                Filtering::Open,
                EarlySyn::Silence,
            ),
            (
                Some(Connected),
                Some(Silence),
                Filtering::AddressDependent,
                EarlySyn::Silence,
            ),
            (
                Some(Connected),
                Some(Refused),
                Filtering::AddressDependent,
                EarlySyn::Reset,
            ),
            (
                Some(Silence),
                Some(Silence),
                Filtering::AddressAndPortDependent,
                EarlySyn::Silence,
            ),
            (
                Some(Refused),
                Some(Refused),
                Filtering::AddressAndPortDependent,
                EarlySyn::Reset,
            ),
            (
                Some(Silence),
                Some(Refused),
                Filtering::AddressAndPortDependent,
                EarlySyn::Reset,
            ),
            (
                Some(Unreachable),
                Some(Silence),
                Filtering::AddressAndPortDependent,
                EarlySyn::Unreachable,
            ),
            (
                Some(Refused),
                Some(NotTried),
                Filtering::NotOpen,
                EarlySyn::Reset,
            ),
            (Some(Refused), None, Filtering::NotOpen, EarlySyn::Reset),
            (
                Some(Connected),
                Some(NotTried),
                Filtering::NotTested,
                EarlySyn::NotTested,
            ),
            (None, None, Filtering::NotTested, EarlySyn::NotTested),
        ] {
            assert_eq!(
                classify_dial_backs(same, other),
                (filtering, early),
                "{same:?} {other:?}"
            );
        }
    }
}
