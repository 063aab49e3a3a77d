//! What a main link knows of its peer's ports.

use core::net::IpAddr;
use core::time::Duration;

use heapless::Vec;

use super::{Foretold, MAX_ASSISTS, Observation};
use crate::addr::{Candidate, CandidateKind, Candidates, Endpoint, Family};
use crate::event::Mapping;
use crate::nat::{Allocation, Contact, TwoContacts, classify_mapping, refined_step};
use crate::time::Instant;

/// Observed ports of one peer: two for each of ten sessions at once, and some.
const MAX_PORTS: usize = 24;

/// Time between two contacts of a port, where there was but one: a round trip.
const USUAL_BETWEEN: Duration = Duration::from_millis(100);

/// A port other than the main link's.
#[derive(Debug, Default)]
struct Seen {
    port: u16,
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
    /// When it was seen last.
    at: Instant,
}

/// Each observation counts once, also when assist links overtake each other.
#[derive(Debug, Default)]
struct Window {
    /// One above the highest number seen.
    next: u64,
    /// Of the 64 numbers below `next`, those that were used; the highest is
    /// bit 0.
    used: u64,
}

impl Window {
    fn take(&mut self, number: u32) -> bool {
        let number = u64::from(number);
        let shift = |by: u64| u32::try_from(by).ok();
        if number >= self.next {
            let ahead = number.saturating_sub(self.next).saturating_add(1);
            self.used = shift(ahead)
                .and_then(|by| self.used.checked_shl(by))
                .unwrap_or(0)
                | 1;
            self.next = number.saturating_add(1);
            return true;
        }
        let behind = self.next.saturating_sub(number).saturating_sub(1);
        let Some(bit) = shift(behind).and_then(|by| 1u64.checked_shl(by)) else {
            return false;
        };
        let fresh = self.used & bit == 0;
        self.used |= bit;
        fresh
    }
}

/// A port that was seen twice, on its way to two assist endpoints.
#[derive(Copy, Clone, Debug)]
struct Twice {
    port: u16,
    first: u16,
    second: u16,
    between: Duration,
    at: Instant,
}

/// What assist links and the main link showed of a peer.
#[derive(Debug)]
pub(super) struct PeerPorts {
    window: Window,
    main_port: u16,
    main: Endpoint,
    /// The main port in the other address family.
    main_other: Option<Endpoint>,
    /// What assist links from the main port showed, by their numbers.
    contacts: Vec<(u32, Contact), MAX_ASSISTS>,
    others: Vec<Seen, MAX_PORTS>,
    twice: Option<Twice>,
}

impl PeerPorts {
    pub(super) fn new(main: Endpoint) -> Self {
        Self {
            window: Window::default(),
            main_port: 0,
            main,
            main_other: None,
            contacts: Vec::new(),
            others: Vec::new(),
            twice: None,
        }
    }

    pub(super) const fn set_main_port(&mut self, port: u16) {
        self.main_port = port;
    }

    /// Takes an observation in; false if its number was used before.
    pub(super) fn observe(&mut self, now: Instant, seen: &Observation, same_address: bool) -> bool {
        if !self.window.take(seen.sequence) {
            return false;
        }
        if seen.port == self.main_port {
            if seen.mapped.family() != self.main.family() {
                self.main_other = Some(seen.mapped);
            }
            let contact = Contact {
                same_address,
                mapped: seen.mapped,
            };
            // Full: no server has more assist endpoints.
            let _ = self.contacts.push((seen.sequence, contact));
            self.contacts
                .sort_unstable_by_key(|(sequence, _)| *sequence);
            return true;
        }
        let index = self
            .others
            .iter()
            .position(|known| known.port == seen.port)
            .unwrap_or_else(|| {
                if self.others.is_full() {
                    self.others.remove(0);
                }
                // Room was just made.
                let _ = self.others.push(Seen {
                    port: seen.port,
                    ..Seen::default()
                });
                self.others.len().saturating_sub(1)
            });
        if let Some(known) = self.others.get_mut(index) {
            let place = match seen.mapped.family() {
                Family::V4 => &mut known.v4,
                Family::V6 => &mut known.v6,
            };
            let before = place.replace(seen.mapped);
            let at = core::mem::replace(&mut known.at, now);
            if let Some(before) = before {
                self.twice = Some(Twice {
                    port: seen.port,
                    first: before.port,
                    second: seen.mapped.port,
                    between: now.since(at),
                    at: now,
                });
            }
        }
        true
    }

    /// What is known of the mapping, and of the rule of its ports.
    pub(super) fn mapping(&self) -> (Mapping, Allocation) {
        let contacts: Vec<Contact, MAX_ASSISTS> =
            self.contacts.iter().map(|(_, seen)| *seen).collect();
        classify_mapping(self.main, &contacts)
    }

    /// What is needed to foretell where this port comes out next, if its NAT
    /// counts and it was seen. `round_trip`: to the peer.
    pub(super) fn foretell(
        &self,
        now: Instant,
        port: Option<u16>,
        round_trip: Duration,
    ) -> Option<Foretold> {
        let (_, Allocation::Step(step)) = self.mapping() else {
            return None;
        };
        let known = self.others.iter().find(|seen| Some(seen.port) == port)?;
        let twice = self.twice.filter(|twice| Some(twice.port) == port);
        let seen = match twice {
            Some(twice) => TwoContacts {
                step,
                first: twice.first,
                second: twice.second,
                between: twice.between,
            },
            // Seen once: how much others use the NAT is not known.
            None => TwoContacts {
                step,
                first: 0,
                second: 0,
                between: USUAL_BETWEEN,
            },
        };
        let at = twice.map_or(known.at, |twice| twice.at);
        // The contact was half a round trip old when it came; the word to go, and
        // the SYN that follows it, take another whole one.
        let half = Duration::from_micros(crate::time::micros(round_trip) >> 1);
        let travel = round_trip.saturating_add(half);
        Some(Foretold {
            seen: TwoContacts {
                step: refined_step(seen),
                ..seen
            },
            ahead: now.since(at).saturating_add(travel),
        })
    }

    /// Where a port other than the main one comes out.
    pub(super) fn seen_at(&self, port: u16) -> Option<Endpoint> {
        let seen = self.others.iter().find(|seen| seen.port == port)?;
        match self.main.family() {
            Family::V4 => seen.v4,
            Family::V6 => seen.v6,
        }
    }

    pub(super) const fn main_endpoint(&self) -> Endpoint {
        self.main
    }

    pub(super) const fn mapped_ip(&self) -> IpAddr {
        self.main.ip
    }

    pub(super) const fn main_port(&self) -> u16 {
        self.main_port
    }

    /// The main port's candidates.
    pub(super) fn main_candidates(&self) -> Candidates {
        [Some(self.main), self.main_other]
            .into_iter()
            .flatten()
            .map(mapped)
            .collect()
    }

    /// The candidates of these ports: the link's own family first, then the
    /// other. Ports that nobody saw have none; no ports at all stand for the main
    /// link's.
    pub(super) fn candidates(&self, ports: &[u16]) -> Candidates {
        if ports.is_empty() || ports.contains(&self.main_port) {
            return self.main_candidates();
        }
        let first = self.main.family();
        let mut list = Candidates::new();
        for own_family in [true, false] {
            for port in ports {
                let Some(seen) = self.others.iter().find(|seen| seen.port == *port) else {
                    continue;
                };
                let endpoint = if (first == Family::V4) == own_family {
                    seen.v4
                } else {
                    seen.v6
                };
                // Two ports in two families are four of eight.
                let _ = endpoint.map(|endpoint| list.push(mapped(endpoint)));
            }
        }
        list
    }
}

const fn mapped(endpoint: Endpoint) -> Candidate {
    Candidate {
        kind: CandidateKind::Mapped,
        endpoint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_counts_once_in_any_order() {
        let mut window = Window::default();
        for number in [0, 2, 1, 70, 69, 7] {
            assert!(window.take(number), "{number}");
            assert!(!window.take(number), "{number} again");
        }
        assert!(!window.take(0), "too old to be told from a replay");
        assert!(window.take(u32::MAX));
        assert!(!window.take(u32::MAX));
        assert!(!window.take(71));
    }
}
