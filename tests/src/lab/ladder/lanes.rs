//! The columns of the ladder.

use crate::lab::topology::Layout;
use crate::lab::wan::Site;

/// Who a column stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    A,
    NatA,
    S,
    NatB,
    B,
}

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) role: Role,
    pub(super) title: &'static str,
    /// Its position from the left.
    pub(super) x: usize,
}

/// All columns, from left to right.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    shared: bool,
}

impl Lanes {
    pub(super) fn new(layout: &Layout) -> Self {
        let shared = !layout.shared.is_empty();
        let lane = |role, title, x| Lane { role, title, x };
        let title = |levels: usize, one, more| if levels > 1 { more } else { one };
        let lanes = if shared {
            let levels = layout.shared.len() + layout.a.len().max(layout.b.len());
            // Beside each other, the peers can be seen to talk without the NAT.
            vec![
                lane(Role::S, "S", 1),
                lane(Role::NatA, title(levels, "NAT", "NATs"), 30),
                lane(Role::A, "A", 52),
                lane(Role::B, "B", 77),
            ]
        } else {
            let mut lanes = vec![lane(Role::A, "A", 1)];
            if !layout.a.is_empty() {
                lanes.push(lane(
                    Role::NatA,
                    title(layout.a.len(), "NAT A", "NATs A"),
                    13,
                ));
            }
            lanes.push(lane(Role::S, "S", 39));
            if !layout.b.is_empty() {
                lanes.push(lane(
                    Role::NatB,
                    title(layout.b.len(), "NAT B", "NATs B"),
                    65,
                ));
            }
            lanes.push(lane(Role::B, "B", 77));
            lanes
        };
        Self { lanes, shared }
    }

    pub(super) fn all(&self) -> &[Lane] {
        &self.lanes
    }

    /// The column of a role; a role without one is played by its host.
    pub(super) fn x(&self, role: Role) -> usize {
        let position = |role: Role| {
            self.lanes
                .iter()
                .find(|lane| lane.role == role)
                .map(|lane| lane.x)
        };
        let host = match role {
            Role::NatA => Role::A,
            Role::NatB => Role::B,
            Role::A | Role::S | Role::B => role,
        };
        position(role).or_else(|| position(host)).unwrap_or(0)
    }

    /// The hosts that are at a site of the WAN.
    pub(super) fn hosts(&self, site: Site) -> &'static [Role] {
        match (site, self.shared) {
            (Site::S, _) => &[],
            (Site::A, true) => &[Role::A, Role::B],
            (Site::A, false) => &[Role::A],
            (Site::B, _) => &[Role::B],
        }
    }

    /// Who answers at a site's outer address: its NAT, or the host itself.
    pub(super) fn outer(&self, site: Site) -> Role {
        match site {
            Site::S => Role::S,
            Site::A => Role::NatA,
            Site::B => Role::NatB,
        }
    }

    /// The NAT that a host is behind.
    pub(super) fn nat(&self, host: Role) -> Role {
        match host {
            Role::B | Role::NatB if !self.shared => Role::NatB,
            Role::A | Role::NatA | Role::S | Role::NatB | Role::B => Role::NatA,
        }
    }
}
