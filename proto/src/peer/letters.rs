//! Writes what is to be sent, when it is fetched.

use super::Peer;
use super::outbox::{Letter, Slot};
use crate::config::{Access, InAdvance, MAX_NAMED};
use crate::id::{SessionId, SocketId};
use crate::wire::{
    AssistToken, Cancel, Clear, Consent, Empty, Extensions, Frame, Moved, Ping, Probe, Ready,
    Refused, Register, Report, Request, RoundReady, ToServer, assist_mac, finish_frame, frame_body,
};

impl<A: Access, const SESSIONS: usize, const PORTS: usize> Peer<A, SESSIONS, PORTS> {
    /// The bytes of a letter; `None` if what it was about is gone.
    pub(super) fn write_letter<'a>(
        &mut self,
        id: SocketId,
        letter: Letter,
        frame: &'a mut Frame,
    ) -> Option<&'a [u8]> {
        match letter {
            Letter::Hello { slot, stream } => self.session(slot)?.write_hello(stream, frame).ok(),
            Letter::Nominate { slot, stream } => {
                self.session_mut(slot)?.write_nomination(stream, frame)
            }
            Letter::AssistToken { port, sequence } => {
                let lease = self.main.lease.as_ref()?;
                write_clear(
                    &Clear::AssistToken(AssistToken {
                        handle: lease.handle,
                        port,
                        sequence,
                        mac: assist_mac(&lease.assist_secret, lease.handle, port, sequence),
                        extensions: Extensions::NONE,
                    }),
                    frame,
                )
            }
            Letter::AssistKeepAlive => {
                write_clear(&Clear::AssistKeepAlive(Empty::default()), frame)
            }
            Letter::Confirm { slot } => self.session_mut(slot)?.write_confirmation(frame),
            Letter::ClientHello => {
                let len = self
                    .main
                    .write_hello(&self.core.secret, frame_body(frame))
                    .ok()?;
                finish_frame(frame, len).ok()
            }
            Letter::Register
            | Letter::Moved
            | Letter::Ping(_)
            | Letter::Pong(_)
            | Letter::PongAck(_)
            | Letter::Probe { .. }
            | Letter::Report
            | Letter::RoundReady { .. }
            | Letter::Request { .. }
            | Letter::Ready { .. }
            | Letter::Refuse { .. }
            | Letter::Cancel { .. } => {
                // A letter to a link that is gone is not written to its
                // successor: numbers and keys are others there.
                if self.main.socket != Some(id) {
                    return None;
                }
                let body = frame_body(frame);
                let len = self.write_message(letter, body)?;
                let len = self.main.seal(body, len).ok()?;
                finish_frame(frame, len).ok()
            }
        }
    }

    fn write_message(&self, letter: Letter, body: &mut [u8]) -> Option<usize> {
        let extensions = Extensions::NONE;
        let ping = |number| Ping { number, extensions };
        let message = match letter {
            Letter::Register => ToServer::Register(Register {
                token: self.core.config.token.as_bytes(),
                consent: self.consent(),
                strategies: self.core.config.strategies,
                port: self.main.port,
                hosts: self.core.told_hosts(),
                extensions,
            }),
            Letter::Moved => ToServer::Moved(Moved {
                hosts: self.core.told_hosts(),
                extensions,
            }),
            Letter::Ping(number) => ToServer::Ping(ping(number)),
            Letter::Pong(number) => ToServer::Pong(ping(number)),
            Letter::PongAck(number) => ToServer::PongAck(ping(number)),
            Letter::Probe { port } => ToServer::Probe(Probe { port, extensions }),
            Letter::Report => ToServer::Report(Report {
                report: self.report,
                abilities: self.core.abilities(),
                extensions,
            }),
            Letter::RoundReady { slot } => {
                let session = self.session(slot)?;
                let (round, ports, sequence, spoof) = session.round_facts();
                ToServer::RoundReady(RoundReady {
                    session: session.id,
                    round,
                    ports,
                    sequence,
                    spoof,
                    extensions,
                })
            }
            Letter::Request { slot } => ToServer::Request(self.request_message(slot)?),
            Letter::Ready { slot } => {
                let session = self.session(slot)?;
                ToServer::Ready(Ready {
                    session: session.id,
                    noise: session.noise_message().clone(),
                    extensions,
                })
            }
            Letter::Refuse { session, reason } => ToServer::Refuse(Refused {
                session,
                reason,
                extensions,
            }),
            Letter::Cancel { session } => ToServer::Cancel(cancel(session)),
            Letter::ClientHello
            | Letter::AssistToken { .. }
            | Letter::AssistKeepAlive
            | Letter::Hello { .. }
            | Letter::Confirm { .. }
            | Letter::Nominate { .. } => return None,
        };
        message.encode(body).ok()
    }

    fn request_message(&self, slot: Slot) -> Option<Request<'static>> {
        let session = self.session(slot)?;
        Some(Request {
            session: session.id,
            to: session.peer,
            strategies: session.strategies,
            ports: session.ports.clone(),
            noise: session.noise_message().clone(),
            extensions: Extensions::NONE,
        })
    }

    fn consent(&self) -> Consent {
        match self.access.in_advance() {
            InAdvance::Nobody => Consent::default(),
            InAdvance::Anyone => Consent {
                anyone: true,
                ..Consent::default()
            },
            InAdvance::Named(peers) => Consent {
                anyone: false,
                named: peers.iter().copied().take(MAX_NAMED).collect(),
            },
        }
    }
}

const fn cancel(session: SessionId) -> Cancel<'static> {
    Cancel {
        session,
        extensions: Extensions::NONE,
    }
}

fn write_clear<'a>(message: &Clear<'_>, frame: &'a mut Frame) -> Option<&'a [u8]> {
    let len = message.encode(frame_body(frame)).ok()?;
    finish_frame(frame, len).ok()
}
