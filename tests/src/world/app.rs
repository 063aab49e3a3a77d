//! What an application does on top of a peer: decides who gets in, and owns the
//! streams that were handed over.

use std::time::Duration;

use smoltcp::iface::SocketHandle;
use tcp_punch_proto::noise::{RecordKind, RecordOpener, RecordSealer};
use tcp_punch_proto::{Access, Decision, InAdvance, PeerId, SessionId, StreamMode};

/// Whom a peer lets in, and how the server learns of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Anyone, and the server is told in advance.
    InAdvance,
    /// These, and the server is told in advance.
    Named(Vec<PeerId>),
    /// Anyone, but the server has to ask.
    Allow,
    /// The server has to ask, and so has the machine: the application decides.
    Ask(Answer),
    /// Nobody.
    Refuse,
    /// Nobody, although the server was told that anyone may.
    TwoFaced,
}

/// What the application answers when it is asked.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes, after thinking about it.
    Accept(Duration),
    /// No, after thinking about it.
    Refuse(Duration),
    /// Nothing.
    Silence,
}

impl Access for Consent {
    fn decide(&self, peer: &PeerId) -> Decision {
        match self {
            Self::InAdvance | Self::Allow => Decision::Allow,
            Self::Named(names) if names.contains(peer) => Decision::Allow,
            Self::Ask(_) => Decision::Ask,
            Self::Named(_) | Self::Refuse | Self::TwoFaced => Decision::Refuse,
        }
    }

    fn in_advance(&self) -> InAdvance<'_> {
        match self {
            Self::InAdvance | Self::TwoFaced => InAdvance::Anyone,
            Self::Named(names) => InAdvance::Named(names),
            Self::Allow | Self::Ask(_) | Self::Refuse => InAdvance::Nobody,
        }
    }
}

/// A stream that was handed over.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) session: SessionId,
    pub(crate) peer: PeerId,
    pub(crate) mode: StreamMode,
    pub(crate) handshake_hash: [u8; 32],
    /// Its socket in the host's stack.
    pub(crate) handle: SocketHandle,
    pub(crate) sealer: RecordSealer,
    pub(crate) opener: RecordOpener,
    /// Came in and is not opened yet.
    pub(crate) raw: Vec<u8>,
    /// Came in and was opened.
    pub(crate) received: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(stream: tcp_punch_embedded::Stream) -> Self {
        let over = stream.over;
        let (sealer, opener) = over.records.split();
        Self {
            session: over.session,
            peer: over.peer,
            mode: over.mode,
            handshake_hash: over.handshake_hash,
            handle: stream.handle,
            sealer,
            opener,
            raw: Vec::new(),
            received: Vec::new(),
        }
    }

    pub(crate) fn seal(&mut self, data: &[u8]) -> Vec<u8> {
        match self.mode {
            StreamMode::Bare => data.to_vec(),
            StreamMode::Records => {
                let mut record = vec![0; data.len() + tcp_punch_proto::noise::RECORD_OVERHEAD];
                let length = self
                    .sealer
                    .seal(RecordKind::Data, data, &mut record)
                    .expect("seals");
                record.truncate(length);
                record
            }
        }
    }

    /// Opens what has come in whole.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.raw.extend(bytes);
        if self.mode == StreamMode::Bare {
            self.received.append(&mut self.raw);
            return;
        }
        while let Some(header) = self.raw.first_chunk::<2>() {
            let body = RecordOpener::body_len(*header).expect("a record's length");
            if self.raw.len() < 2 + body {
                return;
            }
            let header = *header;
            let mut record: Vec<u8> = self.raw.drain(..2 + body).skip(2).collect();
            let (_, data) = self
                .opener
                .open(header, &mut record)
                .expect("a genuine record");
            self.received.extend_from_slice(data);
        }
    }
}
