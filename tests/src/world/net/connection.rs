//! One TCP connection of a host, as Linux has it (RFC 9293 section 3.10; times
//! of retransmission: Linux 6.5 and later).

use std::collections::VecDeque;
use std::time::Duration;

use tcp_punch_proto::{Endpoint, Failure, Instant, SEND_BUFFER};

use super::segment::{Body, DEFAULT_HOPS, Packet, Segment, Seq};
use super::stack::{Effects, Timer};
use super::{Happening, Socket};

/// When a SYN that nobody answers is sent again, in seconds after the first
/// (`tcp_syn_retries` 6, `tcp_syn_linear_timeouts` 4), and when the kernel
/// gives up.
const SYN_TIMES: [u64; 11] = [1, 2, 3, 4, 5, 7, 11, 19, 35, 67, 131];

/// The same for a listener's SYN-ACK (`tcp_synack_retries` 5).
const SYN_ACK_TIMES: [u64; 6] = [1, 3, 7, 15, 31, 63];

/// Linux's `TCP_RTO_MIN`, added to the round trip.
pub(super) const RTO_MIN: Duration = Duration::from_millis(200);

/// Before a round trip was measured (RFC 6298 section 2).
const RTO_FIRST: Duration = Duration::from_secs(1);

/// Linux's `TCP_RTO_MAX`.
const RTO_LAST: Duration = Duration::from_secs(120);

/// `tcp_retries2`.
const DATA_RETRIES: u32 = 15;

/// How long a socket that the application closed waits for the other side's
/// FIN (`tcp_fin_timeout`).
const FIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Largest data of a segment.
pub(crate) const MSS: usize = 1_460;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    SynSent,
    SynReceived,
    Established,
}

/// Whether the connection lives on after a step.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Lives,
    /// Unusable, but its end has still to be told.
    Broken,
    Gone,
    /// Both FINs have passed and ours was first: the four-tuple stays taken.
    TimeWait,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) local: Endpoint,
    pub(crate) remote: Endpoint,
    /// `None` where we dialled.
    pub(crate) listener: Option<Socket>,
    pub(crate) state: State,
    /// The application has closed it: nothing is reported any more.
    pub(super) orphan: bool,
    first_hops: u8,
    pub(super) peer_isn: Option<u64>,
    /// Sent and not acknowledged, and what is still to be sent.
    pub(super) outgoing: VecDeque<u8>,
    /// Offset of the first byte of `outgoing`.
    pub(super) acknowledged: u64,
    /// Offset of the first byte that was never sent.
    pub(super) sent: u64,
    fin_wanted: bool,
    pub(super) fin_acknowledged: bool,
    pub(super) incoming: VecDeque<u8>,
    /// Offset expected next.
    pub(super) expected: u64,
    pub(super) fin_received: bool,
    /// The FIN of ours left before the other's came.
    pub(super) closed_first: bool,
    /// Why the stream broke, as the application will learn.
    broken: Option<Failure>,
    began: Instant,
    pub(super) syn_at: Instant,
    /// Of the handshake, with the kernel's margin.
    pub(super) rto: Duration,
    pub(super) retries: u32,
    /// Names the timer that counts; older ones are void.
    pub(crate) timer: u64,
}

impl Connection {
    pub(crate) fn new(
        now: Instant,
        socket: Socket,
        (local, remote): (Endpoint, Endpoint),
        listener: Option<Socket>,
        hops: Option<u8>,
    ) -> Self {
        Self {
            socket,
            local,
            remote,
            listener,
            state: if listener.is_some() {
                State::SynReceived
            } else {
                State::SynSent
            },
            orphan: false,
            first_hops: hops.unwrap_or(DEFAULT_HOPS),
            peer_isn: None,
            outgoing: VecDeque::new(),
            acknowledged: 0,
            sent: 0,
            fin_wanted: false,
            fin_acknowledged: false,
            incoming: VecDeque::new(),
            expected: 0,
            fin_received: false,
            closed_first: false,
            broken: None,
            began: now,
            syn_at: now,
            rto: RTO_FIRST,
            retries: 0,
            timer: 0,
        }
    }

    /// Sends the SYN, or for a listener's child the SYN-ACK to this ISN.
    pub(crate) fn open(&mut self, peer_isn: Option<u64>, effects: &mut Effects) {
        self.peer_isn = peer_isn;
        self.send_syn(self.first_hops, effects);
        self.arm_syn_timer(effects);
    }

    pub(crate) fn is_orphan(&self) -> bool {
        self.orphan
    }

    pub(crate) fn readable(&self) -> usize {
        self.incoming.len()
    }

    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        self.incoming.drain(..count).collect()
    }

    /// Whether nothing will come after what can be read, and why.
    pub(crate) fn ended(&self) -> Option<Option<Failure>> {
        match self.broken {
            Some(failure) => Some(Some(failure)),
            None => self.fin_received.then_some(None),
        }
    }

    pub(crate) fn is_half_open(&self) -> bool {
        self.state == State::SynReceived
    }

    pub(crate) fn send(&mut self, data: &[u8], effects: &mut Effects) -> Fate {
        if self.broken.is_some() {
            return Fate::Lives;
        }
        self.outgoing.extend(data);
        // Hosts with a small stack have no more room than the contract says.
        if self.outgoing.len() > SEND_BUFFER {
            self.reset(effects);
            return self.breaks(Failure::Other, effects);
        }
        self.flush(effects);
        Fate::Lives
    }

    /// Closes in order: what was sent goes out first.
    pub(crate) fn finish(&mut self, effects: &mut Effects) -> Fate {
        self.orphan = true;
        if self.broken.is_some() || self.state == State::SynSent {
            return Fate::Gone;
        }
        self.fin_wanted = true;
        self.closed_first = !self.fin_received;
        self.incoming.clear();
        effects.timer(FIN_TIMEOUT, self.socket, Timer::Orphan);
        self.flush(effects);
        Fate::Lives
    }

    /// Tells the other side that it is over, if it knows that there was
    /// anything: a kernel sends nothing for a connect that is pending.
    pub(crate) fn reset(&self, effects: &mut Effects) {
        if self.state != State::SynSent && self.broken.is_none() {
            let (seq, ack) = (Some(self.sent_end()), self.ack());
            self.transmit(
                Segment {
                    rst: true,
                    seq,
                    ack,
                    ..Segment::default()
                },
                effects,
            );
        }
    }

    /// ICMP ends a dial and leaves a connection alone (RFC 5461 section 2).
    pub(crate) fn on_unreachable(&self, effects: &mut Effects) -> Fate {
        if self.state == State::Established || self.listener.is_some() {
            return Fate::Lives;
        }
        self.fail(Failure::Unreachable, effects)
    }

    pub(crate) fn on_timer(&mut self, effects: &mut Effects) -> Fate {
        self.retries += 1;
        if self.state != State::Established {
            if self.retries as usize == self.syn_times().len() {
                return self.fail(Failure::TimedOut, effects);
            }
            self.syn_at = effects.now;
            self.send_syn(DEFAULT_HOPS, effects);
            self.arm_syn_timer(effects);
            return Fate::Lives;
        }
        if self.sent == self.acknowledged {
            return Fate::Lives;
        }
        if self.retries > DATA_RETRIES {
            return self.breaks(Failure::TimedOut, effects);
        }
        // All of it again: the receiver keeps nothing that lies behind a hole.
        self.sent = self.acknowledged;
        self.flush(effects);
        Fate::Lives
    }

    /// A closed socket is forgotten without a word once its FIN has arrived.
    pub(crate) fn on_orphan_timer(&self, effects: &mut Effects) -> Fate {
        if self.fin_acknowledged {
            return Fate::Gone;
        }
        effects.timer(FIN_TIMEOUT, self.socket, Timer::Orphan);
        Fate::Lives
    }

    /// Sends what was never sent.
    pub(super) fn flush(&mut self, effects: &mut Effects) {
        if self.state != State::Established || self.broken.is_some() {
            return;
        }
        let idle = self.sent == self.acknowledged;
        let end = self.acknowledged + self.outgoing.len() as u64;
        loop {
            let begin = usize::try_from(self.sent - self.acknowledged).unwrap_or(usize::MAX);
            let left = self.outgoing.len().saturating_sub(begin);
            let fin = self.fin_wanted && !self.fin_acknowledged && self.sent <= end;
            if left == 0 && !fin {
                break;
            }
            let data: Vec<u8> = self
                .outgoing
                .iter()
                .skip(begin)
                .take(effects.piece(left))
                .copied()
                .collect();
            let fin = fin && data.len() == left;
            let seq = Some(Seq {
                isn: self.socket.0,
                offset: self.sent,
            });
            self.sent += data.len() as u64 + u64::from(fin);
            self.transmit(
                Segment {
                    seq,
                    ack: self.ack(),
                    fin,
                    data,
                    ..Segment::default()
                },
                effects,
            );
        }
        if idle && self.sent > self.acknowledged {
            self.arm_data_timer(effects);
        }
    }

    pub(super) fn arm_data_timer(&mut self, effects: &mut Effects) {
        self.timer += 1;
        let delay = self.rto.saturating_mul(1 << self.retries).min(RTO_LAST);
        effects.timer(delay, self.socket, Timer::Again(self.timer));
    }

    pub(super) fn send_syn(&self, hops: u8, effects: &mut Effects) {
        let seq = Some(Seq {
            isn: self.socket.0,
            offset: 0,
        });
        let segment = Segment {
            syn: true,
            seq,
            ack: self.ack(),
            ..Segment::default()
        };
        effects.packets.push(Packet {
            hops,
            ..self.packet(segment)
        });
    }

    pub(super) fn acknowledge(&self, effects: &mut Effects) {
        let seq = Some(self.sent_end());
        self.transmit(
            Segment {
                seq,
                ack: self.ack(),
                ..Segment::default()
            },
            effects,
        );
    }

    pub(super) fn answer_stray(&self, segment: &Segment, effects: &mut Effects) {
        if let Some(refusal) = segment.refusal() {
            self.transmit(refusal, effects);
        }
    }

    fn transmit(&self, segment: Segment, effects: &mut Effects) {
        effects.packets.push(self.packet(segment));
    }

    fn packet(&self, segment: Segment) -> Packet {
        Packet {
            from: self.local,
            to: self.remote,
            hops: DEFAULT_HOPS,
            body: Body::Tcp(segment),
        }
    }

    const fn sent_end(&self) -> Seq {
        Seq {
            isn: self.socket.0,
            offset: self.sent,
        }
    }

    fn ack(&self) -> Option<Seq> {
        self.peer_isn.map(|isn| Seq {
            isn,
            offset: self.expected,
        })
    }

    const fn syn_times(&self) -> &'static [u64] {
        if self.listener.is_some() {
            &SYN_ACK_TIMES
        } else {
            &SYN_TIMES
        }
    }

    fn arm_syn_timer(&mut self, effects: &mut Effects) {
        let seconds = self.syn_times()[self.retries as usize];
        self.timer += 1;
        let at = self.began.after(Duration::from_secs(seconds));
        effects.timer(at.since(effects.now), self.socket, Timer::Again(self.timer));
    }

    /// A dial that failed is gone; a listener's child dies unseen.
    pub(super) fn fail(&self, failure: Failure, effects: &mut Effects) -> Fate {
        if self.listener.is_none() && !self.orphan {
            effects.tell(self.socket, Happening::DialFailed(failure));
        }
        Fate::Gone
    }

    /// A stream that broke stays until the application has learnt of it.
    pub(super) fn breaks(&mut self, failure: Failure, effects: &mut Effects) -> Fate {
        if self.orphan {
            return Fate::Gone;
        }
        self.broken = Some(failure);
        effects.tell(self.socket, Happening::Ended);
        Fate::Broken
    }
}
