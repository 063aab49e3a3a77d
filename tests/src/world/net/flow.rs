//! One entry of a NAT's table: which segments of a connection it lets pass.

use std::time::Duration;

use tcp_punch_proto::{Endpoint, Instant};

use super::segment::Segment;

/// Linux conntrack's `tcp_timeout_syn_sent` and `tcp_timeout_time_wait`.
const OPENING: Duration = Duration::from_secs(120);

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Track {
    /// Only the side that made the entry has sent its SYN.
    OneSyn,
    /// Both have sent a SYN. From here on only segments with these two initial
    /// sequence numbers pass: the trap that breaks close-and-redial.
    BothSyns,
    Established,
}

/// What becomes of a segment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    Pass,
    /// RST: it passes, and the entry is gone at once.
    PassAndForget,
    Invalid,
}

#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) inner: Endpoint,
    pub(crate) outer: Endpoint,
    pub(crate) remote: Endpoint,
    pub(crate) used: Instant,
    track: Track,
    inner_isn: Option<u64>,
    remote_isn: Option<u64>,
    inner_fin: bool,
    remote_fin: bool,
    /// A SYN from within that belonged to no known state: if it is answered,
    /// it counts.
    new_life: Option<u64>,
    /// The other side answered our first SYN about an older connection: what it
    /// was about, for the RST that has to follow.
    half_open: Option<u64>,
}

impl Flow {
    pub(crate) const fn new(inner: Endpoint, outer: Endpoint, remote: Endpoint) -> Self {
        Self {
            inner,
            outer,
            remote,
            used: Instant::ZERO,
            track: Track::OneSyn,
            inner_isn: None,
            remote_isn: None,
            inner_fin: false,
            remote_fin: false,
            new_life: None,
            half_open: None,
        }
    }

    pub(crate) fn is(&self, inner: Endpoint, remote: Endpoint) -> bool {
        self.inner == inner && self.remote == remote
    }

    pub(crate) fn comes_in(&self, outer: Endpoint, remote: Endpoint) -> bool {
        self.outer == outer && self.remote == remote
    }

    /// Both sides have closed: a new SYN begins anew.
    pub(crate) const fn is_over(&self) -> bool {
        self.inner_fin && self.remote_fin
    }

    pub(crate) fn patience(&self, idle: Duration) -> Duration {
        if self.track == Track::Established && !self.is_over() {
            idle
        } else {
            OPENING.min(idle)
        }
    }

    pub(crate) fn outbound(&mut self, segment: &Segment) -> Passage {
        self.pass(segment, true)
    }

    pub(crate) fn inbound(&mut self, segment: &Segment) -> Passage {
        self.pass(segment, false)
    }

    fn pass(&mut self, segment: &Segment, out: bool) -> Passage {
        let (mine, other) = if out {
            (self.inner_isn, self.remote_isn)
        } else {
            (self.remote_isn, self.inner_isn)
        };
        let isn = segment.seq.map(|seq| seq.isn);
        let answers = segment.ack.map(|ack| ack.isn);
        if segment.rst {
            // One with neither number right is nobody's.
            let genuine = (isn.is_some() && (isn == mine || isn == self.half_open))
                || (answers.is_some() && answers == other);
            return if genuine {
                Passage::PassAndForget
            } else {
                Passage::Invalid
            };
        }
        if segment.opens() {
            return self.pass_syn(isn, mine, other, out);
        }
        if !out && segment.syn && answers.is_some() && answers == self.new_life {
            (self.inner_isn, self.remote_isn) = (answers, isn);
            self.new_life = None;
            self.track = Track::BothSyns;
            return Passage::Pass;
        }
        // Conntrack's "might be a half-open connection": not of this one, but let
        // through.
        if !out
            && self.track == Track::OneSyn
            && !segment.syn
            && other.is_some()
            && answers != other
        {
            self.half_open = answers;
            return Passage::Pass;
        }
        if answers != other || (mine.is_some() && isn != mine) {
            return Passage::Invalid;
        }
        if mine.is_none() {
            if !segment.syn {
                return Passage::Invalid;
            }
            self.set_isn(isn, out);
        }
        if !segment.syn {
            self.track = Track::Established;
        } else if self.track == Track::OneSyn {
            self.track = Track::BothSyns;
        }
        if segment.fin {
            *(if out {
                &mut self.inner_fin
            } else {
                &mut self.remote_fin
            }) = true;
        }
        Passage::Pass
    }

    fn pass_syn(
        &mut self,
        isn: Option<u64>,
        mine: Option<u64>,
        other: Option<u64>,
        out: bool,
    ) -> Passage {
        match self.track {
            // Let through for the receiver to judge.
            Track::Established => {
                if out {
                    self.new_life = isn;
                }
                Passage::Pass
            }
            Track::BothSyns if mine != isn => Passage::Invalid,
            Track::BothSyns => Passage::Pass,
            Track::OneSyn => {
                self.set_isn(isn, out);
                if other.is_some() {
                    self.track = Track::BothSyns;
                }
                Passage::Pass
            }
        }
    }

    const fn set_isn(&mut self, isn: Option<u64>, out: bool) {
        if out {
            self.inner_isn = isn;
        } else {
            self.remote_isn = isn;
        }
    }
}
