//! Requests and their answers, from the link's own peer and from other links.

use heapless::Vec;

use super::{Action, Large, Letter, Link, Small, State};
use crate::event::{FailReason, Mapping};
use crate::id::{PeerId, SessionId};
use crate::nat::{Allocation, NatReport};
use crate::rendezvous::introductions::{Told, hold_backs, sides};
use crate::rendezvous::{LinkEvent, RouteMessage, Routed, ServerConfig, SideInfo};
use crate::wire::{Connect, Extensions, Go, Notify, Request, Side};

impl Link {
    /// Our peer's side with these ports; none for the main link's.
    pub(super) fn side(&self, ports: &[u16]) -> SideInfo {
        let mut report = self.report;
        let (mapping, allocation) = self.ports.mapping();
        if mapping != Mapping::Unknown {
            // Seen by ourselves, and before the peer could tell.
            report = NatReport {
                mapping,
                allocation,
                ..report
            };
        }
        let first = ports.first().copied();
        let foretold = self.ports.foretell(self.now, first, self.rtt.least());
        if let Some(foretold) = foretold {
            report.allocation = Allocation::Step(foretold.seen.step);
        }
        SideInfo {
            side: Side {
                rtt_us: self.rtt.least_us(),
                jitter_us: self.rtt.jitter_us(),
                report,
                abilities: self.abilities,
                window: 0,
                candidates: self.ports.candidates(ports),
            },
            mapped_ip: Some(self.ports.mapped_ip()),
            hosts: self.hosts.clone(),
            host_port: first.unwrap_or_else(|| self.ports.main_port()),
            foretold,
        }
    }

    /// Our peer asks for another.
    pub(super) fn requested(&mut self, config: &ServerConfig, request: Request<'_>) {
        let session = request.session;
        self.push(Action::Event(LinkEvent::Requested { session }));
        let side = self.side(&request.ports);
        // A requester never punches from its main link's port.
        let observed = !request.ports.is_empty() && !side.side.candidates.is_empty();
        let refuse = if !observed {
            Some(FailReason::NoPort)
        } else if self.introductions.add_outgoing(
            self.now,
            session,
            request.to,
            config.consent_deadline,
        ) {
            None
        } else {
            Some(FailReason::Busy)
        };
        if let Some(reason) = refuse {
            return self.push(Action::Send(Letter::Refused { session, reason }));
        }
        let Some(from) = self.peer else { return };
        let message = RouteMessage::Request {
            side,
            strategies: request.strategies,
            noise: request.noise,
        };
        self.push_large(Large::Route(Routed {
            from,
            to: request.to,
            session,
            message,
        }));
    }

    /// Another link has something for our peer.
    pub(super) fn routed(&mut self, config: &ServerConfig, routed: Routed) {
        if self.state != State::Registered {
            return self.return_to_sender(routed);
        }
        let Routed { from, session, .. } = routed;
        match routed.message {
            RouteMessage::Request {
                side,
                strategies,
                noise,
            } => {
                let in_advance = self.consent.anyone || self.consent.named.contains(&from);
                let own = self.side(&[]);
                let (requester, responder) = sides(side, own, config.allow_loopback);
                let strategies = strategies.and(self.strategies);
                let told = Told {
                    requester,
                    responder,
                    strategies,
                };
                let kept = (!in_advance).then(|| told.clone());
                if !self.introductions.add_incoming(
                    self.now,
                    session,
                    from,
                    kept,
                    config.consent_deadline,
                ) {
                    let message = Small::Refused(FailReason::Busy);
                    return self.push(Action::Route {
                        to: from,
                        session,
                        message,
                    });
                }
                let (_, hold_us) = hold_backs(&told.requester, &told.responder, in_advance);
                self.push_large(Large::Notify(Notify {
                    session,
                    from,
                    in_advance,
                    hold_us,
                    strategies,
                    requester: told.requester.clone(),
                    responder: told.responder.clone(),
                    noise,
                    extensions: Extensions::NONE,
                }));
                if in_advance {
                    self.route_connect(from, session, told, Vec::new(), true);
                }
            }
            RouteMessage::Connect {
                requester,
                responder,
                strategies,
                hold_us,
                noise,
            } => {
                let known = self
                    .introductions
                    .outgoing(session)
                    .is_some_and(|known| known.to == from);
                if !known {
                    return self.push(Action::Route {
                        to: from,
                        session,
                        message: Small::Cancel,
                    });
                }
                self.introductions.outgoing_introduced(self.now, session);
                let extensions = Extensions::NONE;
                let connect = Connect {
                    session,
                    hold_us,
                    strategies,
                    requester,
                    responder,
                    noise,
                    extensions,
                };
                self.push_large(Large::Connect(connect));
            }
            RouteMessage::RoundReady(half) => self.other_ready(config, from, session, half),
            RouteMessage::Go {
                round,
                hold_us,
                requester,
                responder,
                sequence,
            } => {
                let known = self
                    .introductions
                    .outgoing(session)
                    .is_some_and(|known| known.to == from);
                if known {
                    self.push_large(Large::Go(Go {
                        session,
                        round,
                        hold_us,
                        requester,
                        responder,
                        sequence,
                        extensions: Extensions::NONE,
                    }));
                }
            }
            RouteMessage::Refused(reason) => {
                if self
                    .introductions
                    .outgoing(session)
                    .is_some_and(|known| known.to == from)
                {
                    self.introductions.take_outgoing(session);
                    self.push(Action::Send(Letter::Refused { session, reason }));
                    self.push(Action::Event(LinkEvent::Refused { session, reason }));
                }
            }
            RouteMessage::Cancel => {
                if self
                    .introductions
                    .incoming(session)
                    .is_some_and(|known| known.from == from)
                {
                    self.introductions.take_incoming(session);
                    self.push(Action::Send(Letter::Cancelled { session }));
                }
            }
        }
    }

    pub(super) fn route_connect(
        &mut self,
        to: PeerId,
        session: SessionId,
        told: Told,
        noise: crate::wire::NoiseMessage,
        in_advance: bool,
    ) {
        let Some(from) = self.peer else { return };
        let (hold_us, _) = hold_backs(&told.requester, &told.responder, in_advance);
        let Told {
            requester,
            responder,
            strategies,
        } = told;
        let message = RouteMessage::Connect {
            requester,
            responder,
            strategies,
            hold_us,
            noise,
        };
        self.push_large(Large::Route(Routed {
            from,
            to,
            session,
            message,
        }));
        self.push(Action::Event(LinkEvent::Introduced { session }));
    }

    /// Answers what came too late for us.
    pub(super) fn return_to_sender(&mut self, routed: Routed) {
        if let RouteMessage::Request { .. } = routed.message {
            let message = Small::Refused(FailReason::PeerUnknown);
            self.push(Action::Route {
                to: routed.from,
                session: routed.session,
                message,
            });
        }
    }

    /// Nobody is registered under the id that we wanted.
    pub(super) fn unroutable(&mut self, routed: Routed) {
        let session = routed.session;
        match routed.message {
            RouteMessage::Request { .. } => {
                if self.introductions.take_outgoing(session).is_some() {
                    let reason = FailReason::PeerUnknown;
                    self.push(Action::Send(Letter::Refused { session, reason }));
                    self.push(Action::Event(LinkEvent::Refused { session, reason }));
                }
            }
            RouteMessage::Connect { .. } => {
                if self.introductions.take_incoming(session).is_some() {
                    self.push(Action::Send(Letter::Cancelled { session }));
                }
            }
            RouteMessage::RoundReady(_)
            | RouteMessage::Go { .. }
            | RouteMessage::Refused(_)
            | RouteMessage::Cancel => {}
        }
    }
}
