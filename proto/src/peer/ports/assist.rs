//! Assist links: how the server sees a port, and how its mapping is kept.

use core::net::IpAddr;

use heapless::Vec;

use super::{
    AssistLink, COMPARED, COMPARED_FRESH, OBSERVE_DEADLINE, Observed, Port, Ports, Purpose,
    REFILL_PAUSE, Stage,
};
use crate::addr::{Endpoint, Family};
use crate::id::SocketId;
use crate::io::{Close, Hops};
use crate::nat::{Contact, classify_mapping};
use crate::peer::core::Core;
use crate::peer::link::Lease;
use crate::peer::outbox::{Action, Letter};
use crate::wire::HEADER;

/// Longest frame on an assist link.
pub(crate) const ASSIST_LIMIT: usize = 64;

impl<const N: usize> Ports<N> {
    /// Opens the assist links of a port: one of each family, and for the main
    /// port a second one of the first family, to compare.
    pub(super) fn observe(&mut self, core: &mut Core, index: usize, lease: &Lease) {
        let family = lease.mapped.family();
        let Some(port) = self.list.get_mut(index) else {
            return;
        };
        let wanted = |of: Family| match (port.purpose == Purpose::Main, of == family) {
            (true, true) => COMPARED,
            (true, false) | (false, _) => 1,
        };
        let rules = lease.dial_rules(core, false);
        let mut left = [wanted(Family::V4), wanted(Family::V6)];
        for (assist, remote) in (0u8..).zip(&lease.assists) {
            let [v4, v6] = &mut left;
            let left = match remote.family() {
                Family::V4 => v4,
                Family::V6 => v6,
            };
            if *left == 0 || !core.has_family(remote.family()) || !rules.allow_assist(*remote) {
                continue;
            }
            *left = left.saturating_sub(1);
            open(core, port, assist, *remote);
        }
    }

    /// Opens the second assist link of a port that is to be seen twice; without
    /// a second endpoint it has been seen enough.
    fn compare(&mut self, core: &mut Core, local: u16, seen_at: u8, lease: &Lease) {
        let Some(port) = self.list.iter_mut().find(|port| port.local == local) else {
            return;
        };
        let rules = lease.dial_rules(core, false);
        let family = lease.mapped.family();
        let other = (0u8..).zip(&lease.assists).find(|(assist, remote)| {
            *assist != seen_at && remote.family() == family && rules.allow_assist(**remote)
        });
        match other {
            Some((assist, remote)) => open(core, port, assist, *remote),
            None => port.stage = Stage::Compared,
        }
    }

    pub(super) fn link_of(&self, id: SocketId) -> Option<(usize, usize)> {
        self.list.iter().enumerate().find_map(|(index, port)| {
            let link = port.links.iter().position(|link| link.socket == id)?;
            Some((index, link))
        })
    }

    pub(crate) fn has_link(&self, id: SocketId) -> bool {
        self.link_of(id).is_some()
    }

    pub(super) fn link_mut(&mut self, id: SocketId) -> Option<(u16, &mut AssistLink)> {
        let (index, link) = self.link_of(id)?;
        let port = self.list.get_mut(index)?;
        let local = port.local;
        port.links.get_mut(link).map(|link| (local, link))
    }

    pub(crate) fn connected(&mut self, core: &mut Core, id: SocketId, lease: Option<&Lease>) {
        let sequence = self.next_sequence;
        let Some(lease) = lease else {
            core.out.close(id, Close::Reset);
            return self.ended(core, id);
        };
        if let Some((port, link)) = self.link_mut(id) {
            link.up = true;
            let pause = core.keep_alive_pause(lease.keep_alive);
            link.keep_alive_at = Some(core.now.after(pause));
            core.out.send(id, Letter::AssistToken { port, sequence });
            core.out.read(id, HEADER);
            self.next_sequence = sequence.wrapping_add(1);
        }
    }

    /// The server's answer to a keep-alive: header or body. Its content says
    /// nothing, that it came says all.
    pub(crate) fn received(&mut self, core: &mut Core, id: SocketId, data: &[u8]) {
        let Some((_, link)) = self.link_mut(id) else {
            return;
        };
        let header: Result<[u8; HEADER], _> = data.try_into();
        match (link.reading_body, header) {
            (false, Ok(header)) => match crate::wire::frame_len(header, ASSIST_LIMIT) {
                Ok(len) => {
                    link.reading_body = true;
                    core.out.read(id, len);
                }
                Err(_) => {
                    core.out.close(id, Close::Reset);
                    self.ended(core, id);
                }
            },
            _ => {
                link.reading_body = false;
                link.unanswered = 0;
                core.out.read(id, HEADER);
            }
        }
    }

    /// An assist link is gone or could not be made. A spare port goes with its
    /// last one: the NAT will forget it.
    pub(crate) fn ended(&mut self, core: &mut Core, id: SocketId) {
        let Some((index, link)) = self.link_of(id) else {
            return;
        };
        let Some(port) = self.list.get_mut(index) else {
            return;
        };
        port.links.swap_remove(link);
        if matches!(
            port.stage,
            Stage::Observing | Stage::Spare | Stage::Comparing
        ) && port.links.is_empty()
        {
            self.drop_at(core, index);
            self.refill_at = core.now.after(REFILL_PAUSE);
        }
    }

    /// The server saw a port.
    pub(crate) fn observed(
        &mut self,
        core: &mut Core,
        local: u16,
        assist: u8,
        mapped: Endpoint,
        lease: &Lease,
        server_ip: Option<IpAddr>,
    ) -> Observed {
        let Some(port) = self
            .list
            .iter_mut()
            .find(|port| port.local == local && local != 0)
        else {
            return Observed::Nothing;
        };
        let Some(link) = port.links.iter().position(|link| link.assist == assist) else {
            return Observed::Nothing;
        };
        if let Some(link) = port.links.get_mut(link) {
            link.observed = true;
        }
        let family = lease.mapped.family();
        match port.stage {
            Stage::Observing => {
                let pending = port.links.iter().any(|link| link.family == family);
                if mapped.family() != family && pending {
                    return Observed::Nothing;
                }
                port.deadline = None;
                if port.purpose == Purpose::Compared && mapped.family() != family {
                    // In the family that counts it cannot be seen.
                    self.refill_at = core.now.after(REFILL_PAUSE);
                    if let Some(index) = self.list.iter().position(|port| port.local == local) {
                        self.drop_at(core, index);
                    }
                    return Observed::Nothing;
                }
                if port.purpose == Purpose::Compared {
                    // Only now: what lies between the two contacts tells how
                    // much others use the NAT.
                    port.stage = Stage::Comparing;
                    port.deadline = Some(core.now.after(OBSERVE_DEADLINE));
                    self.compare(core, local, assist, lease);
                    return Observed::Nothing;
                }
                if port.purpose == Purpose::Probe {
                    port.stage = Stage::Probing;
                    return Observed::Probe {
                        port: local,
                        mapped,
                    };
                }
                port.stage = Stage::Spare;
                Observed::Nothing
            }
            Stage::Comparing if mapped.family() == family => {
                port.stage = Stage::Compared;
                port.deadline = Some(core.now.after(COMPARED_FRESH));
                Observed::Nothing
            }
            Stage::Main if mapped.family() == family => {
                // It has served; the main link keeps the mapping.
                let link = port.links.swap_remove(link);
                core.out.close(link.socket, Close::Reset);
                let at = lease.assists.get(usize::from(assist));
                let same_address = at.is_some_and(|at| Some(at.ip) == server_ip);
                // No more than these were dialled.
                let _ = self.contacts.push((
                    assist,
                    Contact {
                        same_address,
                        mapped,
                    },
                ));
                self.contacts.sort_unstable_by_key(|(assist, _)| *assist);
                let before = self.judged.0;
                let contacts: Vec<Contact, COMPARED> =
                    self.contacts.iter().map(|(_, seen)| *seen).collect();
                self.judged = classify_mapping(lease.mapped, &contacts);
                if before == self.judged.0 {
                    Observed::Nothing
                } else {
                    Observed::Mapping(self.judged.0)
                }
            }
            Stage::Binding
            | Stage::Spare
            | Stage::InUse
            | Stage::Comparing
            | Stage::Compared
            | Stage::Probing
            | Stage::Main
            | Stage::Retired => Observed::Nothing,
        }
    }
}

fn open(core: &mut Core, port: &mut Port, assist: u8, remote: Endpoint) {
    let socket = core.ids.socket();
    let link = AssistLink {
        socket,
        assist,
        family: remote.family(),
        up: false,
        observed: false,
        keep_alive_at: None,
        unanswered: 0,
        reading_body: false,
    };
    if port.links.push(link).is_ok() {
        core.out.push(Action::Dial {
            id: socket,
            local_port: port.local,
            remote,
            hops: Hops::Default.into(),
        });
    }
}
