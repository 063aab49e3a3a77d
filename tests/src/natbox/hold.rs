//! Unsolicited SYNs that wait for their answer (RFC 5382, REQ-4).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tcp_punch_proto::Instant;

/// More than any peer has dials under way; the oldest is forgotten.
const MOST: usize = 1_024;

#[derive(Debug)]
struct Held {
    until: Instant,
    outer: SocketAddr,
    remote: SocketAddr,
    packet: Vec<u8>,
}

/// Those that wait, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Holds(VecDeque<Held>);

impl Holds {
    /// Keeps a SYN; a retransmission does not start the time anew.
    pub(super) fn keep(
        &mut self,
        now: Instant,
        patience: Duration,
        outer: SocketAddr,
        remote: SocketAddr,
        packet: &[u8],
    ) {
        if self
            .0
            .iter()
            .any(|held| held.outer == outer && held.remote == remote)
        {
            return;
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Held {
            until: now.after(patience),
            outer,
            remote,
            packet: packet.to_vec(),
        });
    }

    /// A SYN went out the other way: the held one is dropped in silence.
    pub(super) fn cancel(&mut self, outer: SocketAddr, remote: SocketAddr) {
        self.0
            .retain(|held| held.outer != outer || held.remote != remote);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.front().map(|held| held.until)
    }

    /// The next one to be answered: its sender and itself.
    pub(super) fn due(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        self.0.front().filter(|held| held.until <= now)?;
        let held = self.0.pop_front()?;
        Some((held.remote, held.packet))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
