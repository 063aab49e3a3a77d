//! The thread that moves the packets.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::EventFd;
use nix::sys::time::TimeSpec;

use super::paths::{Paths, Way, hop_address};
use super::{Attachment, Capture, Conditions, Crossing, Fate, Site};
use crate::lab::packet::{self, Summary};
use crate::lab::{icmp, sys};

/// Packets read from one device before the others, and what is due, get their turn.
const BURST: usize = 64;

/// A packet on its way, ordered by the time of its arrival; the number keeps equal times in order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    at: Instant,
    number: u64,
    device: usize,
    packet: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Router {
    attachments: Vec<Attachment>,
    paths: Paths,
    flying: BinaryHeap<Reverse<Flying>>,
    sent: u64,
    captures: [Arc<Capture>; 2],
    stop: Arc<EventFd>,
}

impl Router {
    pub(super) fn new(
        conditions: Conditions,
        attachments: Vec<Attachment>,
        captures: [Arc<Capture>; 2],
        stop: Arc<EventFd>,
    ) -> Self {
        Self {
            attachments,
            paths: Paths::new(conditions),
            flying: BinaryHeap::new(),
            sent: 0,
            captures,
            stop,
        }
    }

    /// Runs until the event descriptor is written to.
    pub(super) fn run(mut self) {
        // The default slack of 50 us would be the greatest part of the error of a delay.
        let _ = nix::sys::prctl::set_timerslack(1);
        sys::run_first();
        let mut buffer = vec![0; 0x1_0000];
        loop {
            self.deliver();
            let Some(ready) = self.wait() else { return };
            for device in ready {
                self.take_in(device, &mut buffer);
            }
        }
    }

    /// Sleeps until a device has packets, or one is due; `None` means stop.
    fn wait(&self) -> Option<Vec<usize>> {
        let timeout = self.flying.peek().map(|Reverse(next)| {
            TimeSpec::from_duration(next.at.saturating_duration_since(Instant::now()))
        });
        let mut polls: Vec<PollFd<'_>> = std::iter::once(self.stop.as_fd())
            .chain(
                self.attachments
                    .iter()
                    .map(|attachment| attachment.line.as_fd()),
            )
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        match ppoll(&mut polls, timeout, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => panic!("the WAN cannot wait for packets: {error}"),
        }
        let readable = |poll: &PollFd<'_>| {
            poll.revents()
                .is_some_and(|events| events.contains(PollFlags::POLLIN))
        };
        if readable(&polls[0]) {
            return None;
        }
        Some(
            (0..self.attachments.len())
                .filter(|device| readable(&polls[device + 1]))
                .collect(),
        )
    }

    /// Hands over all packets whose time has come.
    fn deliver(&mut self) {
        // The clock is read once more at the end, so that nothing due sleeps.
        let mut now = Instant::now();
        while let Some(Reverse(next)) = self.flying.peek() {
            if next.at > now {
                now = Instant::now();
                if next.at > now {
                    return;
                }
            }
            let Some(Reverse(next)) = self.flying.pop() else {
                return;
            };
            self.attachments[next.device].line.write(&next.packet);
        }
    }

    fn take_in(&mut self, device: usize, buffer: &mut [u8]) {
        for _ in 0..BURST {
            // Nothing more to read, or the device is gone.
            let Ok(length) = self.attachments[device].line.read(buffer) else {
                return;
            };
            self.route(device, &buffer[..length]);
        }
    }

    fn route(&mut self, device: usize, bytes: &[u8]) {
        let now = Instant::now();
        let from = self.attachments[device].site;
        let Some((source, destination)) = packet::addresses(bytes) else {
            return;
        };
        let Some(hop_limit) = packet::hop_limit(bytes) else {
            return;
        };
        let to = self
            .attachments
            .iter()
            .position(|attachment| {
                attachment
                    .prefixes
                    .iter()
                    .any(|prefix| prefix.contains(destination))
            })
            // The provider does not turn a packet around towards its own customer.
            .filter(|to| *to != device);
        let Some(to_device) = to else {
            self.record(now, from, None, bytes, (Fate::NoRoute, None));
            return;
        };
        let to = self.attachments[to_device].site;
        let what = match self.paths.send(now, from, to, hop_limit) {
            Way::Lost => (Fate::Lost, None),
            Way::Arrives { at, hop_limit } => {
                let mut packet = bytes.to_vec();
                packet::set_hop_limit(&mut packet, hop_limit);
                self.fly(at, to_device, packet);
                (Fate::Arrives(at), None)
            }
            Way::Expired { hop, answer } => {
                let packet = icmp::time_exceeded(bytes, hop_address(source, from, hop));
                let summary = packet.as_deref().and_then(Summary::of);
                if let Some(packet) = packet {
                    self.fly(answer, device, packet);
                }
                (Fate::Expired(hop), summary.map(|summary| (answer, summary)))
            }
        };
        self.record(now, from, Some(to), bytes, what);
    }

    fn fly(&mut self, at: Instant, device: usize, packet: Vec<u8>) {
        self.sent += 1;
        self.flying.push(Reverse(Flying {
            at,
            number: self.sent,
            device,
            packet,
        }));
    }

    fn record(
        &self,
        at: Instant,
        from: Site,
        to: Option<Site>,
        bytes: &[u8],
        (fate, answer): (Fate, Option<(Instant, Summary)>),
    ) {
        for capture in &self.captures {
            capture.record(bytes, |packet| Crossing {
                at,
                from,
                to,
                packet,
                fate,
                answer: answer.clone(),
            });
        }
    }
}
