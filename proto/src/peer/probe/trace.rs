//! How many of our own NATs a SYN passes: dials of rising hop limit to an assist
//! endpoint, and who drops them.
//!
//! Routers with private addresses are in front of the last NAT; the first one
//! with a global address lies behind it. A SYN that gets as far as that and no
//! farther has opened all our NATs and cannot have reached the other side's,
//! unless that hangs on the very same router. (Where a carrier gives the routers
//! in front of its NAT global addresses, the limit comes out too small: the SYN
//! opens nothing, and what is raced beside it has to do.)

use core::net::IpAddr;
use core::time::Duration;

use crate::addr::{Endpoint, Scope};
use crate::id::SocketId;
use crate::io::{Close, Hops};
use crate::peer::core::Core;
use crate::peer::outbox::Action;
use crate::time::Instant;

/// Carriers put three levels before a home at most; beyond this it is no NAT's
/// fault.
const FARTHEST: u8 = 8;

/// Time for one router to answer.
const HOP_DEADLINE: Duration = Duration::from_millis(400);

/// Routers in a row that may stay silent.
const MAX_SILENT: u8 = 1;

/// The dials so far.
#[derive(Debug)]
pub(super) struct Trace {
    limit: u8,
    silent: u8,
    levels: u8,
    dial: Option<(SocketId, Instant)>,
    is_over: bool,
}

/// What a trace found.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Hop limit that passes all our NATs.
    pub(super) hops: u8,
    /// Routers in front of the last NAT, it included; `None` where one was
    /// silent.
    pub(super) levels: Option<u8>,
}

impl Trace {
    pub(super) const fn new() -> Self {
        Self {
            limit: 0,
            silent: 0,
            levels: 0,
            dial: None,
            is_over: false,
        }
    }

    /// Does what is due, with dials to `to`; false if there is nothing to do.
    pub(super) fn fire(&mut self, core: &mut Core, to: Option<Endpoint>) -> bool {
        let Some(to) = to.filter(|_| !self.is_over) else {
            return false;
        };
        match self.dial {
            Some((_, at)) if core.now < at => return false,
            Some((id, _)) => {
                core.out.close(id, Close::Silent);
                self.dial = None;
                self.silent = self.silent.saturating_add(1);
            }
            None => {}
        }
        self.limit = self.limit.saturating_add(1);
        if self.silent > MAX_SILENT || self.limit > FARTHEST {
            self.is_over = true;
            return true;
        }
        let id = core.ids.socket();
        self.dial = Some((id, core.now.after(HOP_DEADLINE)));
        core.out.push(Action::Dial {
            id,
            local_port: 0,
            remote: to,
            hops: Hops::Trace(self.limit).into(),
        });
        true
    }

    /// A router dropped a dial; `None` if it was none of ours. `mapped`: our outer
    /// address, which a NAT may answer with.
    pub(super) fn expired(
        &mut self,
        id: SocketId,
        hop: IpAddr,
        mapped: Option<IpAddr>,
    ) -> Option<Option<Found>> {
        self.dial.take_if(|(dial, _)| *dial == id)?;
        if Scope::of(hop) != Scope::Global || Some(hop) == mapped {
            self.levels = self.levels.saturating_add(1);
            return Some(None);
        }
        self.is_over = true;
        Some(Some(Found {
            hops: self.limit,
            levels: (self.silent == 0).then_some(self.levels),
        }))
    }

    /// A dial reached the server, or came to nothing; false if it was none of
    /// ours.
    pub(super) fn ended(&mut self, core: &mut Core, id: SocketId, up: bool) -> bool {
        let ours = self.dial.take_if(|(dial, _)| *dial == id).is_some();
        if ours {
            // No router with a global address on the way: it cannot be told.
            self.is_over = true;
            if up {
                core.out.close(id, Close::Reset);
            }
        }
        ours
    }

    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.dial.map(|(_, at)| at)
    }

    /// Closes what is pending.
    pub(super) fn give_up(&mut self, core: &mut Core) {
        self.is_over = true;
        if let Some((id, _)) = self.dial.take() {
            core.out.close(id, Close::Silent);
        }
    }
}
