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
/// Consent in advance: the request travels to the server, which tells both at once, so that they dial when the farther
/// one knows; then the two SYNs cross. Consent first: the request travels on to the responder, and its answer back the
/// same way. The requester is sure when the responder's hello is there, the responder when the requester's first
/// record is.
#[must_use]
pub fn floor(plan: &Plan, consent: Consent) -> Floor {
    let site_b = plan.layout.site_b();
    let delay = |from: Site, to: Site| plan.conditions.path(from, to).delay;
    let (to_a, to_b) = (delay(Site::S, Site::A), delay(Site::S, site_b));
    let told = match consent {
        Consent::Open => delay(Site::A, Site::S) + to_a.max(to_b),
        Consent::Ask => delay(Site::A, Site::S) + to_b + delay(site_b, Site::S) + to_a,
    };
    // In one LAN the peers are at the same place: a site's way to itself takes no time.
    let (there, back) = (delay(Site::A, site_b), delay(site_b, Site::A));
    let up = told + there + back;
    Floor {
        up,
        verified_a: up + back,
        verified_b: up + back + there,
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
    fn a_path_that_differs_by_direction() {
        let mut plan = Plan {
            layout: Layout::apart(NatKind::DROP, NatKind::DROP),
            family: Family::V4,
            conditions: Conditions::from_rtt(40 * MS, 40 * MS, 80 * MS),
        };
        plan.conditions.path_mut(Site::A, Site::B).delay = 20 * MS;
        plan.conditions.path_mut(Site::B, Site::A).delay = 100 * MS;
        let ask = floor(&plan, Consent::Ask);
        assert_eq!(
            (ask.up, ask.verified_a, ask.verified_b),
            (200 * MS, 300 * MS, 320 * MS)
        );
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
