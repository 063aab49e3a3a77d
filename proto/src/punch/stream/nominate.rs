//! One stream wins: the requester's nomination, and what hands it over.

use super::{Session, Step};
use crate::event::StreamMode;
use crate::io::HandOver;
use crate::noise::{RecordKind, Records};
use crate::peer::core::Core;
use crate::peer::outbox::{Action, Letter};
use crate::punch::keys::KeyState;
use crate::punch::states::Cause;
use crate::wire::HEADER;

impl Session {
    /// Requester: this stream it is. Its record goes out, the stream is handed
    /// over, everything else is closed. A bare stream is handed over only when
    /// the responder's record has come back: it will carry no other proof.
    pub(super) fn nominate(&mut self, core: &mut Core, number: u8) {
        let slot = self.slot;
        let bare = self.keys.mode == StreamMode::Bare;
        if bare && self.awaits_confirmation() {
            // One nomination and no other.
            return;
        }
        let Some(stream) = self
            .streams
            .iter_mut()
            .find(|stream| stream.number == number)
        else {
            return;
        };
        let id = stream.socket;
        if bare {
            stream.step = Step::ConfirmationHeader;
            stream.deadline = None;
            core.out.send(
                id,
                Letter::Nominate {
                    slot,
                    stream: number,
                },
            );
            core.out.read(id, HEADER);
        } else if self.transition(Cause::Nominated) {
            core.out.send(
                id,
                Letter::Nominate {
                    slot,
                    stream: number,
                },
            );
            self.hand_over(core, number);
        }
    }

    pub(super) fn awaits_confirmation(&self) -> bool {
        let waits = |step| matches!(step, Step::ConfirmationHeader | Step::ConfirmationBody);
        self.streams.iter().any(|stream| waits(stream.step))
    }

    /// Responder: is this the requester's word that this stream is the one?
    pub(super) fn read_nomination(&mut self, core: &mut Core, number: u8, body: &mut [u8]) {
        let Some(stream) = self.by_number(number) else {
            return;
        };
        let (id, header) = (stream.socket, stream.record_header);
        let records = self.stream_records(number);
        let Some(mut records) = records else {
            return self.reject(core, number);
        };
        match records.opener.open(header, body) {
            Ok((RecordKind::Nominate, _)) => {
                if self.transition(Cause::Nominated) {
                    self.keys.choose(records);
                    if self.keys.mode == StreamMode::Bare {
                        core.out.send(id, Letter::Confirm { slot: self.slot });
                    }
                    self.hand_over(core, number);
                }
            }
            Ok((RecordKind::Data | RecordKind::Close, _)) | Err(_) => self.reject(core, number),
        }
    }

    /// Requester of a bare stream: is the responder at its other end?
    pub(super) fn read_confirmation(&mut self, core: &mut Core, number: u8, body: &mut [u8]) {
        let Some(stream) = self.by_number(number) else {
            return;
        };
        let header = stream.record_header;
        let confirmed = match &mut self.keys.state {
            KeyState::Chosen { records, .. } => {
                matches!(
                    records.opener.open(header, body),
                    Ok((RecordKind::Nominate, _))
                )
            }
            KeyState::None | KeyState::Started { .. } | KeyState::Offered | KeyState::Ready(_) => {
                false
            }
        };
        if !confirmed {
            return self.reject(core, number);
        }
        if self.transition(Cause::Nominated) {
            self.hand_over(core, number);
        }
    }

    pub(super) fn stream_records(&self, number: u8) -> Option<Records> {
        let stream = self.by_number(number)?;
        self.keys
            .records(self.role, &stream.own_nonce, &stream.peer_nonce)
    }

    pub(super) fn hand_over(&mut self, core: &mut Core, number: u8) {
        core.out.push(Action::HandOver {
            slot: self.slot,
            stream: number,
        });
        self.close_all_but(core, Some(number));
        core.out.push(Action::Verified {
            slot: self.slot,
            stream: number,
        });
    }

    /// Writes the nomination, and makes the stream's keys the session's last.
    pub(crate) fn write_nomination<'a>(
        &mut self,
        number: u8,
        frame: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let mut records = self.stream_records(number)?;
        let len = records.sealer.seal(RecordKind::Nominate, &[], frame).ok()?;
        self.keys.choose(records);
        frame.get(..len)
    }

    /// Writes the responder's answer to the nomination of a bare stream.
    pub(crate) fn write_confirmation<'a>(&mut self, frame: &'a mut [u8]) -> Option<&'a [u8]> {
        let KeyState::Chosen { records, .. } = &mut self.keys.state else {
            return None;
        };
        let len = records.sealer.seal(RecordKind::Nominate, &[], frame).ok()?;
        frame.get(..len)
    }

    /// What the runtime gets for the nominated stream.
    pub(crate) fn take_hand_over(&mut self, number: u8) -> Option<HandOver> {
        let id = self.by_number(number)?.socket;
        let (records, handshake_hash) = self.keys.take_chosen()?;
        Some(HandOver {
            id,
            session: self.id,
            peer: self.peer,
            role: self.role,
            mode: self.keys.mode,
            max_record: usize::try_from(self.keys.max_record).unwrap_or(usize::MAX),
            records,
            handshake_hash,
        })
    }
}
