//! TCP as Linux conntrack follows it, as far as it decides what passes.
//!
//! Two of its habits make or break a punch. An entry that saw one SYN from each end lets out only what goes on from the
//! first of them, so that a host which gave that dial up cannot answer by another (NAT-FACTS, trap 1). And a RST as the
//! first answer deletes the entry at once, while a later one leaves it for a while in which the peer's SYNs are refused
//! (trap 4).

use std::time::Duration;

use super::window::{Phase, Windows};
use super::{Direction, Ruling};
use crate::natbox::config::Timeouts;
use crate::natbox::wire::Segment;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    SynSent,
    /// A SYN from each end: simultaneous open.
    BothSyn,
    SynRecv,
    Established,
    FinWait,
    CloseWait,
    LastAck,
    TimeWait,
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Syn,
    SynAck,
    Fin,
    Ack,
    Rst,
    /// No flag of these.
    Bare,
}

impl Kind {
    fn of(segment: &Segment) -> Self {
        match (segment.rst, segment.syn, segment.fin, segment.ack) {
            (true, ..) => Self::Rst,
            (_, true, _, false) => Self::Syn,
            (_, true, _, true) => Self::SynAck,
            (_, _, true, _) => Self::Fin,
            (_, _, _, true) => Self::Ack,
            (false, false, false, false) => Self::Bare,
        }
    }
}

/// What the state and the flags alone say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    To(State),
    /// It passes without changing anything: if it means something, the other end's answer will show.
    Ignore,
    Invalid,
}

/// The segment before, by which an ignored one can turn out to have meant something.
#[derive(Debug, Clone, Copy)]
struct Last {
    direction: Direction,
    kind: Kind,
    segment: Segment,
}

#[derive(Debug)]
pub(super) struct Conntrack {
    state: State,
    windows: Windows,
    last: Option<Last>,
    answered: bool,
    /// Whether the handshake was seen to its end.
    assured: bool,
    simultaneous: bool,
    finished: bool,
    /// Picked up in the middle.
    blind: bool,
}

impl Conntrack {
    pub(super) fn open(loose: bool, segment: &Segment) -> Option<Self> {
        let (state, windows) = match Kind::of(segment) {
            Kind::Syn => (State::SynSent, Windows::from_syn(segment)),
            Kind::Ack if loose => (State::Established, Windows::from_middle(segment)),
            Kind::SynAck | Kind::Fin | Kind::Ack | Kind::Rst | Kind::Bare => return None,
        };
        let mut entry = Self {
            state,
            windows,
            last: None,
            answered: false,
            assured: false,
            simultaneous: false,
            finished: false,
            blind: state == State::Established,
        };
        entry.note(Direction::Original, segment);
        Some(entry)
    }

    pub(super) fn segment(&mut self, direction: Direction, segment: &Segment) -> Ruling {
        let kind = Kind::of(segment);
        let old = self.state;
        let resumed = self.last.filter(|_| self.resumes(direction, kind, segment));
        let (state, resumed) = match next(old, direction, kind) {
            Next::Invalid => return Ruling::Invalid,
            Next::To(State::SynSent) if matches!(old, State::TimeWait | State::Closed) => {
                if self.is_over(direction) {
                    return Ruling::Reopen;
                }
                return self.ignore(direction, segment);
            }
            Next::Ignore if resumed.is_some() => (State::SynRecv, resumed),
            Next::Ignore => return self.ignore(direction, segment),
            Next::To(State::SynRecv)
                if direction == Direction::Reply && kind == Kind::Ack && self.simultaneous =>
            {
                (State::Established, None)
            }
            Next::To(state) => (state, None),
        };
        if kind == Kind::Rst && self.windows.is_stale(direction, segment.seq) {
            return Ruling::Invalid;
        }
        let phase = match old {
            _ if resumed.is_some() => Phase::SynSent,
            State::SynSent => Phase::SynSent,
            State::SynRecv => Phase::SynRecv,
            State::BothSyn
            | State::Established
            | State::FinWait
            | State::CloseWait
            | State::LastAck
            | State::TimeWait
            | State::Closed => Phase::Later,
        };
        if let Some(last) = resumed {
            self.windows.resume(last.direction, &last.segment);
        }
        let answers = kind == Kind::Rst && self.refuses_the_ignored(segment);
        if !answers && !self.windows.fits(phase, direction, segment) {
            return Ruling::Invalid;
        }

        self.note(direction, segment);
        self.state = state;
        self.simultaneous |= state == State::BothSyn;
        self.finished |= kind == Kind::Fin;
        let answered = self.answered;
        self.answered |= direction == Direction::Reply;
        if !answered && kind == Kind::Rst {
            return Ruling::Forget;
        }
        if !answered && kind == Kind::Syn && old == State::SynSent && state == State::SynSent {
            // Else a dial that never gets an answer would keep its mapping for ever.
            return Ruling::Pass;
        }
        self.assured |= answered
            && state == State::Established
            && matches!(old, State::SynRecv | State::Established);
        Ruling::Renew
    }

    pub(super) fn patience(&self, timeouts: &Timeouts) -> Duration {
        match self.state {
            State::SynSent | State::BothSyn => timeouts.syn_sent,
            State::SynRecv => timeouts.syn_recv,
            State::Established if self.blind && !self.answered => timeouts.transitory,
            State::Established => timeouts.established,
            State::FinWait | State::CloseWait | State::LastAck | State::TimeWait => {
                timeouts.closing
            }
            State::Closed => timeouts.close,
        }
    }

    /// Whether a SYN may begin a new connection in the place of this one.
    fn is_over(&self, direction: Direction) -> bool {
        self.finished
            || self
                .last
                .is_some_and(|last| last.direction == direction && last.kind == Kind::Rst)
    }

    fn ignore(&mut self, direction: Direction, segment: &Segment) -> Ruling {
        self.note(direction, segment);
        self.answered |= direction == Direction::Reply;
        Ruling::Pass
    }

    /// Whether this is the SYN-ACK to a SYN that was ignored: then the hosts know better.
    fn resumes(&self, direction: Direction, kind: Kind, segment: &Segment) -> bool {
        kind == Kind::SynAck
            && self.last.is_some_and(|last| {
                last.direction != direction
                    && last.kind == Kind::Syn
                    && segment.ack_number == last.end()
            })
    }

    /// Whether this RST refuses a SYN, or a stray ACK, that was let pass without being believed.
    fn refuses_the_ignored(&self, segment: &Segment) -> bool {
        self.last.is_some_and(|last| {
            let ignored = match last.kind {
                Kind::Syn => self.answered,
                Kind::Ack => !self.assured,
                Kind::SynAck | Kind::Fin | Kind::Rst | Kind::Bare => false,
            };
            ignored && segment.ack_number == last.end()
        })
    }

    fn note(&mut self, direction: Direction, segment: &Segment) {
        self.last = Some(Last {
            direction,
            kind: Kind::of(segment),
            segment: *segment,
        });
    }
}

impl Last {
    fn end(&self) -> u32 {
        self.segment.seq.wrapping_add(self.segment.length)
    }
}

fn next(state: State, direction: Direction, kind: Kind) -> Next {
    use Direction::{Original, Reply};
    use State::{
        BothSyn, CloseWait, Closed, Established, FinWait, LastAck, SynRecv, SynSent, TimeWait,
    };
    match kind {
        Kind::Bare => Next::Invalid,
        Kind::Rst => Next::To(Closed),
        Kind::Syn => match (direction, state) {
            (Original, SynSent | TimeWait | Closed) | (Reply, TimeWait) => Next::To(SynSent),
            (Original, BothSyn) | (Reply, SynSent | BothSyn) => Next::To(BothSyn),
            (Original, SynRecv | Established | FinWait | CloseWait | LastAck) => Next::Ignore,
            (Reply, SynRecv | Established | FinWait | CloseWait | LastAck | Closed) => {
                Next::Invalid
            }
        },
        Kind::SynAck => match (direction, state) {
            (Original, BothSyn | SynRecv) | (Reply, SynSent | BothSyn) => Next::To(SynRecv),
            // Whoever sent a SYN first does not answer one.
            (Original, _) => Next::Invalid,
            (Reply, _) => Next::Ignore,
        },
        Kind::Fin => match state {
            SynSent | BothSyn => Next::Invalid,
            SynRecv | Established => Next::To(FinWait),
            FinWait | CloseWait | LastAck => Next::To(LastAck),
            TimeWait | Closed => Next::To(state),
        },
        Kind::Ack => match (direction, state) {
            (Original, SynSent | BothSyn) => Next::Invalid,
            // Perhaps an old connection that only the other end remembers.
            (Reply, SynSent | BothSyn) => Next::Ignore,
            (Reply, SynRecv) => Next::To(SynRecv),
            (_, SynRecv | Established) => Next::To(Established),
            (_, FinWait | CloseWait) => Next::To(CloseWait),
            (_, LastAck | TimeWait) => Next::To(TimeWait),
            (_, Closed) => Next::To(Closed),
        },
    }
}
