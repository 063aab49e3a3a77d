//! The least time that the configured delays allow: what results are measured against.

use std::time::Duration;

use super::network::Plan;
use super::pair::Consent;
use super::wan::Site;

/// The floors of the milestones of one session, from the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    /// TCP up, at either end.
    pub up: Duration,
    /// Verified at the requester.
    pub verified_a: Duration,
    /// Verified at the responder.
    pub verified_b: Duration,
}

/// Computes them for ordinary sockets and an introduction by the server.
///
/// Consent in advance: the request travels to the server, which tells both at once, the farther one last; then the
/// two SYNs cross. Consent first: the request travels on to the responder, and its answer back the same way. Each
/// side's hello is half a round trip on its way, and the requester's first record follows the responder's hello.
#[must_use]
pub fn floor(plan: &Plan, consent: Consent) -> Floor {
    let site_b = plan.layout.site_b();
    let half = |site: Site| plan.conditions.rtt(site, Site::S) / 2;
    let (half_a, half_b) = (half(Site::A), half(site_b));
    // In one LAN the peers are at the same place: that path is not the WAN's.
    let round_trip = if site_b == Site::A {
        Duration::ZERO
    } else {
        plan.conditions.rtt(Site::A, Site::B)
    };
    let told = match consent {
        Consent::Open => half_a + half_a.max(half_b),
        Consent::Ask => half_a * 2 + half_b * 2,
    };
    let up = told + round_trip;
    Floor {
        up,
        verified_a: up + round_trip / 2,
        verified_b: up + round_trip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::nat::NatKind;
    use crate::lab::topology::{Family, Layout};
    use crate::lab::wan::Conditions;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn both_introductions() {
        let plan = Plan {
            layout: Layout::apart(NatKind::DROP, NatKind::DROP),
            family: Family::V4,
            conditions: Conditions::from_rtt(40 * MS, 60 * MS, 80 * MS),
        };
        let open = floor(&plan, Consent::Open);
        assert_eq!(
            (open.up, open.verified_a, open.verified_b),
            (130 * MS, 170 * MS, 210 * MS)
        );
        assert_eq!(floor(&plan, Consent::Ask).up, 180 * MS);
    }

    #[test]
    fn in_one_lan_only_the_introduction_takes_time() {
        let plan = Plan {
            layout: Layout {
                shared: vec![NatKind::DROP],
                ..Layout::default()
            },
            family: Family::V4,
            conditions: Conditions::from_rtt(40 * MS, 60 * MS, 80 * MS),
        };
        assert_eq!(floor(&plan, Consent::Open).verified_b, 40 * MS);
    }
}
