//! Connections that a listener accepted and that have not yet said which
//! session they are for. They have a small table of their own, so that they
//! cannot take a session's place.

use core::time::Duration;

use heapless::Vec;

use super::core::Core;
use crate::addr::Endpoint;
use crate::id::{SessionId, SocketId};
use crate::io::Close;
use crate::punch::{Greeting, HELLO_LIMIT};
use crate::time::{Instant, earlier};
use crate::wire::{HEADER, frame_len};

/// Time for a hello to come, and for its session to become known.
const HELLO_DEADLINE: Duration = Duration::from_secs(2);

/// An accepted connection.
#[derive(Debug)]
pub(crate) struct Stranger {
    pub(crate) socket: SocketId,
    pub(crate) local: Endpoint,
    pub(crate) remote: Endpoint,
    deadline: Instant,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Header,
    Body,
    /// Its session is not known yet.
    Parked(Greeting),
}

/// The table. It has as many places as the peer has ports, which are two for
/// each session and some.
#[derive(Debug, Default)]
pub(crate) struct Strangers<const N: usize>(Vec<Stranger, N>);

/// What came of bytes that a stranger sent.
#[derive(Debug)]
pub(crate) enum Said {
    /// Not all of it yet, or nothing of use.
    Nothing,
    /// A whole frame, in the data that was received.
    Hello,
}

impl<const N: usize> Strangers<N> {
    /// How many at once from one address: a stranger must not keep out who
    /// comes from elsewhere.
    const PER_ADDRESS: usize = N.saturating_sub(N / 4);

    /// A listener accepted a connection. Where there is no room, the oldest
    /// goes: an attacker who holds the table full can delay a peer by one
    /// redial, not shut it out.
    pub(crate) fn accepted(
        &mut self,
        core: &mut Core,
        socket: SocketId,
        local: Endpoint,
        remote: Endpoint,
    ) {
        let same = self
            .0
            .iter()
            .filter(|other| other.remote.ip == remote.ip)
            .count();
        let victim = if same >= Self::PER_ADDRESS {
            self.0.iter().position(|other| other.remote.ip == remote.ip)
        } else if self.0.is_full() {
            Some(0)
        } else {
            None
        };
        if let Some(index) = victim {
            let old = self.0.remove(index);
            core.out.close(old.socket, Close::Reset);
        }
        let deadline = core.now.after(HELLO_DEADLINE);
        // Room was just made.
        let _ = self.0.push(Stranger {
            socket,
            local,
            remote,
            deadline,
            stage: Stage::Header,
        });
        core.out.read(socket, HEADER);
    }

    fn index_of(&self, id: SocketId) -> Option<usize> {
        self.0.iter().position(|stranger| stranger.socket == id)
    }

    pub(crate) fn has(&self, id: SocketId) -> bool {
        self.index_of(id).is_some()
    }

    pub(crate) fn received(&mut self, core: &mut Core, id: SocketId, data: &[u8]) -> Said {
        let Some(stranger) = self.index_of(id).and_then(|index| self.0.get_mut(index)) else {
            return Said::Nothing;
        };
        match stranger.stage {
            Stage::Header => {
                let len = data
                    .try_into()
                    .ok()
                    .and_then(|header| frame_len(header, HELLO_LIMIT).ok());
                match len {
                    Some(len) => {
                        stranger.stage = Stage::Body;
                        core.out.read(id, len);
                    }
                    None => self.dismiss(core, id),
                }
                Said::Nothing
            }
            Stage::Body => Said::Hello,
            Stage::Parked(_) => Said::Nothing,
        }
    }

    /// Keeps a hello until its session is known, or its time is over.
    pub(crate) fn park(&mut self, id: SocketId, greeting: Greeting) {
        if let Some(stranger) = self.index_of(id).and_then(|index| self.0.get_mut(index)) {
            stranger.stage = Stage::Parked(greeting);
        }
    }

    /// Takes a stranger out, because its session has it now.
    pub(crate) fn take(&mut self, id: SocketId) -> Option<Stranger> {
        self.index_of(id).map(|index| self.0.remove(index))
    }

    /// Takes out one that waited for this session.
    pub(crate) fn take_parked(&mut self, session: SessionId) -> Option<(Stranger, Greeting)> {
        let index = self
            .0
            .iter()
            .position(|stranger| matches!(&stranger.stage, Stage::Parked(greeting) if greeting.session == session))?;
        let stranger = self.0.remove(index);
        match stranger.stage {
            Stage::Parked(greeting) => Some((stranger, greeting)),
            Stage::Header | Stage::Body => None,
        }
    }

    /// Closes one.
    pub(crate) fn dismiss(&mut self, core: &mut Core, id: SocketId) {
        if self.take(id).is_some() {
            core.out.close(id, Close::Reset);
        }
    }

    /// The connection is gone.
    pub(crate) fn ended(&mut self, id: SocketId) {
        self.take(id);
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.iter().fold(None, |next, stranger| {
            earlier(next, Some(stranger.deadline))
        })
    }

    /// Closes one whose time is over; false if there is none.
    pub(crate) fn fire(&mut self, core: &mut Core) -> bool {
        let late = self
            .0
            .iter()
            .find(|stranger| core.now >= stranger.deadline)
            .map(|stranger| stranger.socket);
        late.map(|id| self.dismiss(core, id)).is_some()
    }

    /// Closes one, whoever it is; false if there is none.
    pub(crate) fn drop_any(&mut self, core: &mut Core) -> bool {
        let any = self.0.first().map(|stranger| stranger.socket);
        any.map(|id| self.dismiss(core, id)).is_some()
    }
}
