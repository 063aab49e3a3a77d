//! What is to be done, in order, until the runtime fetches it.
//!
//! Entries are small: they name sessions and streams by index, and what they
//! stand for is written when it is fetched.

use heapless::Deque;

use crate::addr::Endpoint;
use crate::event::{FailReason, LinkFailure, Mapping};
use crate::id::{ListenerId, ResolveId, SessionId, SocketId};
use crate::io::{Close, Hops};

/// One step of a machine makes at most this many entries: a session that ends
/// closes its streams and dials and gives two ports back, each with two
/// listeners and two assist links.
const CAPACITY: usize = 28;

/// `Hops` in one byte, so that a dial takes no more room than other entries.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackedHops(u8);

const TRACE: u8 = 0x80;

impl From<Hops> for PackedHops {
    fn from(hops: Hops) -> Self {
        Self(match hops {
            Hops::Default => 0,
            Hops::Short(limit) => limit & !TRACE,
            Hops::Trace(limit) => limit | TRACE,
        })
    }
}

impl From<PackedHops> for Hops {
    fn from(PackedHops(packed): PackedHops) -> Self {
        match (packed, packed & TRACE != 0) {
            (0, _) => Self::Default,
            (limit, false) => Self::Short(limit),
            (limit, true) => Self::Trace(limit & !TRACE),
        }
    }
}

/// Index of a session in its table.
pub(crate) type Slot = u8;

/// One thing to be done.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Resolve(ResolveId),
    Listen {
        id: ListenerId,
        local: Endpoint,
    },
    Unlisten(ListenerId),
    Dial {
        id: SocketId,
        local_port: u16,
        remote: Endpoint,
        hops: PackedHops,
    },
    /// Goes before the dial with the same id.
    Watch(SocketId),
    /// Our SYN-ACK, for the other side's first sequence number and one more.
    Inject {
        slot: Slot,
        acknowledgement: u32,
    },
    Read {
        id: SocketId,
        exactly: u16,
    },
    Send {
        id: SocketId,
        letter: Letter,
    },
    Close {
        id: SocketId,
        how: Close,
    },
    HandOver {
        slot: Slot,
        stream: u8,
    },
    Registered {
        mapped: Endpoint,
    },
    MappingLearnt(Mapping),
    NatLearnt,
    LinkDown {
        reason: LinkFailure,
        retry_in_ms: Option<u32>,
    },
    PortChanged {
        port: u16,
    },
    Requested {
        slot: Slot,
    },
    Planned {
        slot: Slot,
    },
    StepBegun {
        slot: Slot,
    },
    StepEnded {
        slot: Slot,
    },
    Notified {
        slot: Slot,
        ask: bool,
    },
    Dialling {
        slot: Slot,
        attempt: u8,
    },
    Connected {
        slot: Slot,
        stream: u8,
    },
    /// The last of a session that went well: frees its slot.
    Verified {
        slot: Slot,
        stream: u8,
    },
    /// The last of a session that did not: frees its slot.
    Failed {
        slot: Slot,
        reason: FailReason,
    },
}

/// What is to be sent, written when it is fetched.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Letter {
    ClientHello,
    Register,
    Moved,
    Ping(u32),
    Pong(u32),
    PongAck(u32),
    Probe {
        port: u16,
    },
    Report,
    RoundReady {
        slot: Slot,
    },
    Request {
        slot: Slot,
    },
    Ready {
        slot: Slot,
    },
    Refuse {
        session: SessionId,
        reason: FailReason,
    },
    Cancel {
        session: SessionId,
    },
    AssistToken {
        port: u16,
        sequence: u32,
    },
    AssistKeepAlive,
    Hello {
        slot: Slot,
        stream: u8,
    },
    Confirm {
        slot: Slot,
    },
    Nominate {
        slot: Slot,
        stream: u8,
    },
}

/// The ordered queue.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Deque<Action, CAPACITY>,
    /// Entries that found no room. Stays zero: the machine works in steps that
    /// are smaller than the queue, and makes none while it is not empty.
    pub(crate) lost: u32,
}

impl Outbox {
    pub(crate) fn push(&mut self, action: Action) {
        if self.queue.push_back(action).is_err() {
            debug_assert!(false, "the outbox is too small");
            self.lost = self.lost.saturating_add(1);
        }
    }

    pub(crate) fn send(&mut self, id: SocketId, letter: Letter) {
        self.push(Action::Send { id, letter });
    }

    pub(crate) fn read(&mut self, id: SocketId, exactly: usize) {
        self.push(Action::Read {
            id,
            exactly: u16::try_from(exactly).unwrap_or(u16::MAX),
        });
    }

    pub(crate) fn close(&mut self, id: SocketId, how: Close) {
        self.push(Action::Close { id, how });
    }

    pub(crate) fn pop(&mut self) -> Option<Action> {
        self.queue.pop_front()
    }
}
