//! Whether a segment fits into what both ends have sent so far: the four bounds of G. van Rooij, "Real stateful TCP
//! packet filtering in IP Filter" (2001), which Linux uses too.

use super::Direction;
use crate::natbox::wire::Segment;

/// An acknowledgment may lag behind by the window, and by this at least.
const LAG: u32 = 66_000;

/// What is known of one end.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    /// One past the last sequence number that it sent.
    end: u32,
    /// One past the last one that it may send.
    limit: u32,
    /// The largest window that it offered; 0 where nothing was seen of it.
    window: u32,
    scale: u8,
    offers_scale: bool,
    /// The last acknowledgment number that it sent.
    acked: Option<u32>,
}

/// What is known of both.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Windows {
    ends: [End; 2],
    /// Whether the begin was missed, so that nothing can be refused.
    blind: bool,
}

/// Where in the handshake a connection is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Only SYNs of the original direction.
    SynSent,
    /// A SYN-ACK.
    SynRecv,
    /// Anything else.
    Later,
}

impl Windows {
    /// From the first SYN.
    pub(super) fn from_syn(segment: &Segment) -> Self {
        let mut windows = Self::default();
        let [original, _] = &mut windows.ends;
        original.begin(segment);
        windows
    }

    /// From a segment in the middle.
    pub(super) fn from_middle(segment: &Segment) -> Self {
        let mut windows = Self {
            blind: true,
            ..Self::default()
        };
        let [original, _] = &mut windows.ends;
        original.end = segment.seq.wrapping_add(segment.length);
        original.window = u32::from(segment.window).max(1);
        original.limit = original.end.wrapping_add(original.window);
        windows
    }

    /// Forgets the other end, and takes this one's SYN as it was noted: both hosts agree, and the box was wrong.
    pub(super) fn resume(&mut self, direction: Direction, noted: &Segment) {
        *self = Self {
            blind: self.blind,
            ..Self::default()
        };
        self.ends[direction.index()].begin(noted);
    }

    /// Whether a RST is older than what its receiver has acknowledged.
    pub(super) fn is_stale(&self, direction: Direction, seq: u32) -> bool {
        let receiver = &self.ends[direction.other().index()];
        receiver.acked.is_some_and(|acked| before(seq, acked))
    }

    /// Whether the segment fits; if it does, the bounds move on.
    pub(super) fn fits(&mut self, phase: Phase, direction: Direction, segment: &Segment) -> bool {
        let (mut sender, mut receiver) = (
            self.ends[direction.index()],
            self.ends[direction.other().index()],
        );
        let fits = self.check(&mut sender, &mut receiver, phase, direction, segment);
        if fits {
            self.ends[direction.index()] = sender;
            self.ends[direction.other().index()] = receiver;
        }
        fits || self.blind
    }

    fn check(
        &self,
        sender: &mut End,
        receiver: &mut End,
        phase: Phase,
        direction: Direction,
        segment: &Segment,
    ) -> bool {
        let mut seq = segment.seq;
        let mut end = seq.wrapping_add(segment.length);
        let ack = segment.ack_number;
        let again = match (phase, direction) {
            (Phase::SynSent, Direction::Original) | (Phase::SynRecv, Direction::Reply) => {
                after(end, sender.end)
            }
            _ => false,
        };
        if sender.window == 0 && !segment.syn {
            sender.end = end;
            sender.window = (u32::from(segment.window) << sender.scale).max(1);
            sender.limit = end.wrapping_add(sender.window);
            if receiver.window == 0 {
                receiver.end = ack;
                receiver.limit = ack;
            } else if ack == receiver.end.wrapping_add(1) {
                // Perhaps the answer to a keep-alive.
                receiver.end = ack;
            }
        } else if sender.window == 0 || again {
            sender.begin(segment);
            if direction == Direction::Reply && !(sender.offers_scale && receiver.offers_scale) {
                sender.scale = 0;
                receiver.scale = 0;
            }
            if !segment.ack {
                return true;
            }
        }

        // Without an acknowledgment, any would do; a RST may carry a zero for none.
        let ack = if segment.ack && !(segment.rst && ack == 0) {
            ack
        } else {
            receiver.end
        };
        if segment.rst && seq == 0 && phase == Phase::SynSent {
            (seq, end) = (sender.end, sender.end);
        }

        let in_window = receiver.window == 0
            || after(
                end,
                sender.end.wrapping_sub(receiver.window).wrapping_sub(1),
            );
        let lag = sender.window.max(LAG);
        let acks_sent = !after(ack, receiver.end);
        let acks_recent = after(ack, receiver.end.wrapping_sub(lag).wrapping_sub(1));
        if !(in_window && acks_sent && acks_recent) {
            return false;
        }
        if after(seq, sender.limit) {
            // A little more than the window: some stacks do that, and the receiver will say.
            let over = end.wrapping_sub(sender.limit).wrapping_add(1);
            if receiver.window == 0 || over > receiver.window {
                return false;
            }
            sender.end = end;
            return true;
        }

        let scale = if segment.syn { 0 } else { sender.scale };
        let window = u32::from(segment.window) << scale;
        sender.window = sender.window.max(window);
        if after(end, sender.end) {
            sender.end = end;
        }
        if segment.ack && sender.acked.is_none_or(|acked| after(ack, acked)) {
            sender.acked = Some(ack);
        }
        if receiver.window != 0 && after(end, sender.limit) {
            receiver.window = receiver.window.wrapping_add(end.wrapping_sub(sender.limit));
        }
        let limit = ack.wrapping_add(window.max(1));
        if after(limit, receiver.limit) {
            receiver.limit = limit;
        }
        true
    }
}

impl End {
    /// Begins with a SYN.
    fn begin(&mut self, segment: &Segment) {
        self.end = segment.seq.wrapping_add(segment.length);
        self.limit = self.end;
        self.window = u32::from(segment.window).max(1);
        self.offers_scale = segment.scale.is_some();
        self.scale = segment.scale.unwrap_or_default();
    }
}

/// Whether a sequence number comes before another one (RFC 9293, section 3.4).
fn before(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) < 0
}

fn after(one: u32, other: u32) -> bool {
    before(other, one)
}
