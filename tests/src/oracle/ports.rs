//! Which outer port a connection to a new destination gets, seen from outside all levels.

use crate::natbox::{Allocation, Config, Mapping};

/// The ports that hosts dial from by themselves (Linux, `ip_local_port_range`).
const EPHEMERAL: (u16, u16) = (32_768, 60_999);

/// The outer port towards a destination that was not contacted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Towards {
    /// The one that the server saw.
    Kept,
    /// The one that was given out last, and that much more.
    Stepping(u16),
    /// Any.
    Random,
}

/// What has become of a port after some levels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outer {
    pub(super) towards: Towards,
    /// Whether it is the host's own port.
    pub(super) preserved: bool,
    range: (u16, u16),
}

impl Outer {
    /// Before the first level.
    pub(super) const HOST: Self = Self {
        towards: Towards::Kept,
        preserved: true,
        range: EPHEMERAL,
    };

    /// After one more.
    pub(super) fn through(self, level: &Config) -> Self {
        if level.mapping == Mapping::Untranslated {
            return self;
        }
        let range = (level.ports.low, level.ports.high);
        let fits = range.0 <= self.range.0 && self.range.1 <= range.1;
        let chosen = match level.ports.allocation {
            // The same port as long as the remote endpoints differ, so even a mapping for each of them shows only one.
            Allocation::Preserve if fits => {
                let one = level.mapping == Mapping::Independent || level.ports.overload;
                if one || self.towards != Towards::Kept {
                    return self;
                }
                Towards::Random
            }
            Allocation::Preserve | Allocation::Random => Towards::Random,
            Allocation::Sequential { step } => Towards::Stepping(step),
        };
        // One inner endpoint has one outer one; but where a level below gives out a port for each destination, every
        // one of them is a new inner endpoint here.
        let one = level.mapping == Mapping::Independent && self.towards == Towards::Kept;
        Self {
            towards: if one { Towards::Kept } else { chosen },
            preserved: false,
            range,
        }
    }
}
