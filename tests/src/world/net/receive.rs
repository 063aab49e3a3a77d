//! What arriving segments do to a connection.

use tcp_punch_proto::Failure;

use super::Happening;
use super::connection::{Connection, Fate, RTO_MIN, State};
use super::segment::{DEFAULT_HOPS, Segment};
use super::stack::Effects;

impl Connection {
    pub(crate) fn on_segment(&mut self, segment: Segment, effects: &mut Effects) -> Fate {
        match self.state {
            State::SynSent => self.in_syn_sent(&segment, effects),
            State::SynReceived => self.in_syn_received(segment, effects),
            State::Established => self.in_established(segment, effects),
        }
    }

    fn in_syn_sent(&mut self, segment: &Segment, effects: &mut Effects) -> Fate {
        let acknowledges_us = segment.ack.map(|ack| ack.isn == self.socket.0);
        match (segment.rst, segment.syn, acknowledges_us) {
            (true, _, Some(true)) => self.fail(Failure::Refused, effects),
            (true, ..) | (false, false, None) => Fate::Lives,
            // An old connection of the other side, or somebody's idea of a joke.
            (false, _, Some(false)) => {
                self.answer_stray(segment, effects);
                Fate::Lives
            }
            (false, true, Some(true)) => {
                self.peer_isn = segment.seq.map(|seq| seq.isn);
                self.establish(effects);
                self.acknowledge(effects);
                Fate::Lives
            }
            // Simultaneous open.
            (false, true, None) => {
                self.peer_isn = segment.seq.map(|seq| seq.isn);
                self.state = State::SynReceived;
                self.send_syn(DEFAULT_HOPS, effects);
                Fate::Lives
            }
            (false, false, Some(true)) => Fate::Lives,
        }
    }

    fn in_syn_received(&mut self, segment: Segment, effects: &mut Effects) -> Fate {
        let from_peer = segment
            .seq
            .is_some_and(|seq| Some(seq.isn) == self.peer_isn);
        if segment.rst {
            return if from_peer {
                self.fail(Failure::Reset, effects)
            } else {
                Fate::Lives
            };
        }
        if !from_peer {
            return Fate::Lives;
        }
        match segment.ack {
            None => {
                self.send_syn(DEFAULT_HOPS, effects);
                Fate::Lives
            }
            Some(ack) if ack.isn != self.socket.0 => {
                self.answer_stray(&segment, effects);
                Fate::Lives
            }
            Some(_) => {
                self.establish(effects);
                self.in_established(segment, effects)
            }
        }
    }

    fn in_established(&mut self, segment: Segment, effects: &mut Effects) -> Fate {
        let Some(seq) = segment.seq.filter(|seq| Some(seq.isn) == self.peer_isn) else {
            // RFC 5961 section 4: a SYN of a new life is answered with an ACK,
            // which makes the other side reset what is left of the old one.
            if segment.syn {
                self.acknowledge(effects);
            }
            return Fate::Lives;
        };
        if segment.rst {
            return self.breaks(Failure::Reset, effects);
        }
        if let Some(ack) = segment.ack.filter(|ack| ack.isn == self.socket.0) {
            self.on_ack(ack.offset, effects);
        }
        let more = !segment.data.is_empty() || segment.fin;
        if more {
            self.on_data(seq.offset, &segment, effects);
        }
        if more || segment.syn {
            self.acknowledge(effects);
        }
        self.flush(effects);
        match (
            self.orphan && self.fin_received && self.fin_acknowledged,
            self.closed_first,
        ) {
            (true, true) => Fate::TimeWait,
            (true, false) => Fate::Gone,
            (false, _) => Fate::Lives,
        }
    }

    fn on_ack(&mut self, offset: u64, effects: &mut Effects) {
        let Some(progress) = offset
            .checked_sub(self.acknowledged)
            .filter(|&bytes| bytes > 0)
        else {
            return;
        };
        let bytes = usize::try_from(progress)
            .unwrap_or(usize::MAX)
            .min(self.outgoing.len());
        self.outgoing.drain(..bytes);
        self.fin_acknowledged |= progress > bytes as u64;
        self.acknowledged = offset;
        self.sent = self.sent.max(offset);
        self.retries = 0;
        self.timer += 1;
        if self.sent > self.acknowledged {
            self.arm_data_timer(effects);
        }
    }

    fn on_data(&mut self, offset: u64, segment: &Segment, effects: &mut Effects) {
        let Some(known) = self.expected.checked_sub(offset) else {
            return; // a hole: what is missing will be sent again
        };
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let fresh = segment.data.get(known..).unwrap_or_default();
        self.expected += fresh.len() as u64;
        if !self.orphan {
            self.incoming.extend(fresh);
            if !fresh.is_empty() {
                effects.tell(self.socket, Happening::Readable);
            }
        }
        if segment.fin && !self.fin_received && known <= segment.data.len() {
            self.expected += 1;
            self.fin_received = true;
            if !self.orphan {
                effects.tell(self.socket, Happening::Ended);
            }
        }
    }

    fn establish(&mut self, effects: &mut Effects) {
        self.state = State::Established;
        self.rto = RTO_MIN + effects.now.since(self.syn_at);
        self.retries = 0;
        self.timer += 1;
        if !self.orphan {
            let (local, remote) = (self.local, self.remote);
            effects.tell(
                self.socket,
                match self.listener {
                    None => Happening::Connected { local },
                    Some(listener) => Happening::Accepted {
                        listener,
                        local,
                        remote,
                    },
                },
            );
        }
        self.flush(effects);
    }
}
