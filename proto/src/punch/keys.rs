//! The session's handshake, from message 1 to the keys of the stream.

use crate::config::Config;
use crate::event::StreamMode;
use crate::id::{PeerId, SessionId};
use crate::noise::{
    Entropy, Handshake, Key, MAX_RECORD_DATA, NoiseError, Pattern, Records, Role, SecretKey,
    SessionKeys,
};
use crate::wire::{Extensions, MAX_NOISE, NoiseMessage, SessionPayload};

/// Forged second messages that a requester looks at before it gives up: each
/// costs two scalar multiplications.
const MAX_TRIES: u8 = 8;

const PROLOGUE_LABEL: [u8; 17] = *b"tcp-punch session";

/// How far the handshake has come.
#[derive(Debug)]
pub(crate) enum KeyState {
    /// Nothing yet, or it failed.
    None,
    /// Requester: message 1 is out. Kept as the ephemeral key it was made with:
    /// the same inputs make the same state again, and that takes 600 bytes less
    /// for two scalar multiplications more, done while the SYNs are on their
    /// way.
    Started { ephemeral: Key, tries: u8 },
    /// Responder: message 1 is in `message`, not looked at.
    Offered,
    /// Both messages are through.
    Ready(SessionKeys),
    /// The keys became those of the nominated stream.
    Chosen { records: Records, hash: [u8; 32] },
}

/// Whose handshake it is.
#[derive(Debug)]
pub(crate) struct Parties<'a> {
    pub(crate) session: SessionId,
    pub(crate) peer: PeerId,
    pub(crate) secret: &'a SecretKey,
    pub(crate) config: &'a Config,
}

/// The handshake and what it settled.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) state: KeyState,
    /// The handshake message that is to be sent or to be read.
    pub(crate) message: NoiseMessage,
    /// How bytes will travel: what we ask for, then what was agreed.
    pub(crate) mode: StreamMode,
    /// Largest record that the other side takes.
    pub(crate) max_record: u32,
}

impl Keys {
    /// A requester's, before message 1.
    pub(crate) const fn wanting(mode: StreamMode) -> Self {
        Self {
            state: KeyState::None,
            message: NoiseMessage::new(),
            mode,
            max_record: 0,
        }
    }

    /// A responder's, with message 1 to be read.
    pub(crate) const fn offered(message: NoiseMessage, mode: StreamMode) -> Self {
        Self {
            state: KeyState::Offered,
            message,
            mode,
            max_record: 0,
        }
    }

    /// Requester: writes message 1.
    pub(crate) fn start(
        &mut self,
        who: &Parties<'_>,
        entropy: &mut Entropy,
    ) -> Result<(), NoiseError> {
        let ephemeral = Key::new(entropy.bytes());
        (_, self.message) = self.first(who, &ephemeral)?;
        self.state = KeyState::Started {
            ephemeral,
            tries: 0,
        };
        Ok(())
    }

    /// The requester's state after message 1, and that message.
    fn first(
        &self,
        who: &Parties<'_>,
        ephemeral: &Key,
    ) -> Result<(Handshake, NoiseMessage), NoiseError> {
        let prologue = prologue(who.session);
        let mut handshake = Handshake::initiator(
            Pattern::IkPsk2,
            &prologue,
            who.secret,
            &who.peer.key(),
            &who.config.psk,
            *ephemeral.bytes(),
        );
        let message = write(&mut handshake, self.mode)?;
        Ok((handshake, message))
    }

    /// Requester: reads a message 2; false if it is not the one, which costs a
    /// try and changes nothing else.
    pub(crate) fn read_reply(&mut self, who: &Parties<'_>, message: &[u8]) -> bool {
        let KeyState::Started { ephemeral, tries } = &mut self.state else {
            return matches!(self.state, KeyState::Ready(_));
        };
        if *tries >= MAX_TRIES {
            return false;
        }
        *tries = tries.saturating_add(1);
        let ephemeral = ephemeral.clone();
        let Ok((mut handshake, _)) = self.first(who, &ephemeral) else {
            return false;
        };
        let mut payload = [0; MAX_NOISE];
        let Ok(len) = handshake.read_message(message, &mut payload) else {
            return false;
        };
        let Some(Ok(said)) = payload.get(..len).map(SessionPayload::decode) else {
            return false;
        };
        let Ok(finished) = handshake.finish() else {
            return false;
        };
        // Bare takes both: the responder can only take it away.
        if said.mode == StreamMode::Records {
            self.mode = StreamMode::Records;
        }
        self.max_record = record_limit(said.max_record);
        self.state = KeyState::Ready(SessionKeys::new(&finished));
        true
    }

    /// Responder: reads message 1 and writes message 2. False if it is not
    /// genuine or not from `peer`; then no keys will come of it.
    pub(crate) fn answer(&mut self, who: &Parties<'_>, entropy: &mut Entropy) -> bool {
        if !matches!(self.state, KeyState::Offered) {
            return matches!(self.state, KeyState::Ready(_));
        }
        let mut handshake = Handshake::responder(
            Pattern::IkPsk2,
            &prologue(who.session),
            who.secret,
            &who.config.psk,
            entropy.bytes(),
        );
        self.state = KeyState::None;
        let mut payload = [0; MAX_NOISE];
        let Ok(len) = handshake.read_message(&self.message, &mut payload) else {
            return false;
        };
        let Some(Ok(said)) = payload.get(..len).map(SessionPayload::decode) else {
            return false;
        };
        if handshake.remote_static() != Some(who.peer.key()) {
            return false;
        }
        if said.mode == StreamMode::Records {
            self.mode = StreamMode::Records;
        }
        self.max_record = record_limit(said.max_record);
        let Ok(reply) = write(&mut handshake, self.mode) else {
            return false;
        };
        let Ok(finished) = handshake.finish() else {
            return false;
        };
        self.message = reply;
        self.state = KeyState::Ready(SessionKeys::new(&finished));
        true
    }

    /// Requester: second messages came, and none was the one.
    pub(crate) const fn was_forged(&self) -> bool {
        matches!(self.state, KeyState::Started { tries: 1.., .. })
    }

    pub(crate) const fn ready(&self) -> Option<&SessionKeys> {
        match &self.state {
            KeyState::Ready(keys) => Some(keys),
            KeyState::None
            | KeyState::Started { .. }
            | KeyState::Offered
            | KeyState::Chosen { .. } => None,
        }
    }

    /// The records of the stream with these nonces, for trying a nomination on.
    pub(crate) fn records(&self, role: Role, own: &[u8; 16], peer: &[u8; 16]) -> Option<Records> {
        let (requester, responder) = match role {
            Role::Requester => (own, peer),
            Role::Responder => (peer, own),
        };
        Some(
            self.ready()?
                .stream_keys(requester, responder)
                .records(role),
        )
    }

    /// These records are the ones; the session's own keys go.
    pub(crate) fn choose(&mut self, records: Records) {
        if let KeyState::Ready(keys) = &self.state {
            let hash = keys.hash();
            self.state = KeyState::Chosen { records, hash };
        }
    }

    /// Takes what was chosen out.
    pub(crate) fn take_chosen(&mut self) -> Option<(Records, [u8; 32])> {
        match core::mem::replace(&mut self.state, KeyState::None) {
            KeyState::Chosen { records, hash } => Some((records, hash)),
            KeyState::None | KeyState::Started { .. } | KeyState::Offered | KeyState::Ready(_) => {
                None
            }
        }
    }
}

fn prologue(session: SessionId) -> [u8; PROLOGUE_LABEL.len() + 16] {
    let mut prologue = [0; PROLOGUE_LABEL.len() + 16];
    let (label, id) = prologue.split_at_mut(PROLOGUE_LABEL.len());
    label.copy_from_slice(&PROLOGUE_LABEL);
    id.copy_from_slice(session.as_bytes());
    prologue
}

/// What the other side says it takes, within reason: no record is larger than
/// the format's, and none so small that only the frame would travel.
fn record_limit(said: u32) -> u32 {
    said.clamp(64, MAX_RECORD_DATA as u32)
}

fn write(handshake: &mut Handshake, mode: StreamMode) -> Result<NoiseMessage, NoiseError> {
    let mut payload = [0; 32];
    let said = SessionPayload {
        mode,
        max_record: MAX_RECORD_DATA as u32,
        extensions: Extensions::NONE,
    };
    let len = said.encode(&mut payload).map_err(|_| NoiseError::TooLong)?;
    let payload = payload.get(..len).unwrap_or_default();
    let mut message = [0; MAX_NOISE];
    let len = handshake.write_message(payload, &mut message)?;
    let message = message.get(..len).unwrap_or_default();
    NoiseMessage::from_slice(message).map_err(|_| NoiseError::TooLong)
}
