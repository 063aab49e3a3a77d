//! Carries out what a peer machine wants, and tells it what came of it.

use tcp_punch_proto::{
    Close, Endpoint, Failure, Family, HandOver, Hops, Input, Instant, Output, SocketId,
};

use super::app::Stream;
use super::net::{Happening, Socket};
use super::peer::{PeerHost, Pending, Stage};

impl PeerHost {
    /// The network has news of a socket of this host.
    pub(crate) fn on_notice(&mut self, stage: &mut Stage<'_>, socket: Socket, what: Happening) {
        if self.machine.is_none() {
            return;
        }
        if let Happening::Accepted {
            listener,
            local,
            remote,
        } = what
        {
            let known = self
                .listeners
                .iter()
                .find(|(_, socket)| **socket == listener);
            match known {
                Some((&listener, _)) => {
                    self.inbox.push_back(Pending::Accepted {
                        listener,
                        socket,
                        local,
                        remote,
                    });
                }
                None => stage.net.close(stage.now, self.host, socket, Close::Reset),
            }
        } else if let Some(&id) = self.ids.get(&socket) {
            self.inbox.push_back(match what {
                Happening::Connected { local } => Pending::Connected(id, local),
                Happening::DialFailed(failure) => Pending::DialFailed(id, failure),
                Happening::Readable | Happening::Ended | Happening::Accepted { .. } => {
                    Pending::Look(id)
                }
            });
        } else {
            self.feed_application(stage, socket);
        }
        self.settle(stage);
    }

    pub(super) fn carry_out(&mut self, stage: &mut Stage<'_>, output: Output<'_>) {
        let now = stage.now;
        let name = &self.parts.name;
        match output {
            Output::Resolve { id } => self.inbox.push_back(Pending::Resolved(id)),
            Output::Listen { id, local } => {
                let result = stage.net.listen(self.host, local);
                stage
                    .trace
                    .line(now, format!("{name}: listens on {local}: {result:?}"));
                self.inbox.push_back(match result {
                    Ok((socket, local)) => {
                        self.listeners.insert(id, socket);
                        Pending::Listening(id, local)
                    }
                    Err(failure) => Pending::ListenFailed(id, failure),
                });
            }
            Output::Unlisten { id } => {
                if let Some(socket) = self.listeners.remove(&id) {
                    stage.net.close(now, self.host, socket, Close::Silent);
                }
            }
            Output::Dial {
                id,
                local,
                remote,
                hops,
            } => {
                self.dialled.push(remote);
                let hop_limit = match hops {
                    Hops::Default => None,
                    Hops::Short(limit) | Hops::Trace(limit) => Some(limit),
                };
                let result = stage.net.dial(now, self.host, (local, remote), hop_limit);
                let port = local.port;
                stage
                    .trace
                    .line(now, format!("{name}: dials {remote} from {port}: {id:?}"));
                match result {
                    Ok(socket) => {
                        self.sockets.insert(id, socket);
                        self.ids.insert(socket, id);
                    }
                    Err(failure) => self.inbox.push_back(Pending::DialFailed(id, failure)),
                }
            }
            Output::Read { id, exactly } => {
                self.reads.insert(id, exactly);
                self.inbox.push_back(Pending::Look(id));
            }
            Output::Send { id, data } => {
                stage
                    .trace
                    .line(now, format!("{name}: sends {} B on {id:?}", data.len()));
                // It may have ended without the machine knowing yet.
                if let Some(&socket) = self.sockets.get(&id) {
                    stage.net.send(now, self.host, socket, data);
                    self.inbox.push_back(Pending::Sent(id));
                }
            }
            Output::Close { id, how } => {
                stage
                    .trace
                    .line(now, format!("{name}: closes {id:?} {how:?}"));
                if let Some(socket) = self.forget(id) {
                    stage.net.close(now, self.host, socket, how);
                }
            }
            Output::HandOver(over) => self.take_over(stage, over),
            Output::Event(event) => {
                stage.trace.line(now, format!("{name}: EVENT {event:?}"));
                self.on_event(now, event);
            }
            Output::Watch { .. } | Output::Inject(_) => unreachable!("not declared"),
            Output::Wait(_) => unreachable!("the drain ends there"),
        }
    }

    /// Tells the machine one thing; false if there was nothing to tell after all.
    pub(super) fn tell(&mut self, stage: &mut Stage<'_>, pending: Pending) -> bool {
        match pending {
            Pending::HostAddresses => {
                let addresses = self.parts.addresses.clone();
                self.input(stage, Input::HostAddresses(&addresses));
            }
            Pending::Resolved(id) => {
                let addresses = self.parts.server.clone();
                self.input(
                    stage,
                    Input::Resolved {
                        id,
                        addresses: &addresses,
                    },
                );
            }
            Pending::Listening(id, local) => self.input(stage, Input::Listening { id, local }),
            Pending::ListenFailed(id, failure) => {
                self.input(stage, Input::ListenFailed { id, failure });
            }
            Pending::Connected(id, local) => {
                // The machine may have closed it in the meantime.
                if !self.sockets.contains_key(&id) {
                    return false;
                }
                self.contract.is_up(id);
                self.input(stage, Input::Connected { id, local });
            }
            Pending::DialFailed(id, failure) => return self.tell_dial_failed(stage, id, failure),
            Pending::Accepted {
                listener,
                socket,
                local,
                remote,
            } => {
                if !self.listeners.contains_key(&listener) {
                    stage.net.close(stage.now, self.host, socket, Close::Reset);
                    return false;
                }
                let id = self.machine().new_socket_id();
                self.contract.accepted(id);
                self.sockets.insert(id, socket);
                self.ids.insert(socket, id);
                self.input(
                    stage,
                    Input::Accepted {
                        listener,
                        id,
                        local,
                        remote,
                    },
                );
            }
            Pending::Look(id) => return self.look(stage, id),
            Pending::Sent(id) => {
                let Some(&socket) = self.sockets.get(&id) else {
                    return false;
                };
                let Some(Some(failure)) = stage.net.ended(self.host, socket) else {
                    return false;
                };
                self.tell_ended(stage, id, Some(failure));
            }
        }
        true
    }

    fn tell_dial_failed(&mut self, stage: &mut Stage<'_>, id: SocketId, failure: Failure) -> bool {
        // It never became a socket if it failed at once.
        let closed = self.forget(id).is_none() && self.contract.is_known_over(id);
        if closed {
            return false;
        }
        self.contract.is_over(id);
        self.input(stage, Input::DialFailed { id, failure });
        true
    }

    /// Delivers what was asked for once all of it is there.
    fn look(&mut self, stage: &mut Stage<'_>, id: SocketId) -> bool {
        let (Some(&socket), Some(&exactly)) = (self.sockets.get(&id), self.reads.get(&id)) else {
            return false;
        };
        if stage.net.readable(self.host, socket) >= exactly {
            let mut data = stage.net.read(self.host, socket, exactly);
            self.reads.remove(&id);
            self.contract.was_read(id);
            self.input(
                stage,
                Input::Received {
                    id,
                    data: &mut data,
                },
            );
            return true;
        }
        let Some(failure) = stage.net.ended(self.host, socket) else {
            return false;
        };
        self.tell_ended(stage, id, failure);
        true
    }

    fn tell_ended(&mut self, stage: &mut Stage<'_>, id: SocketId, failure: Option<Failure>) {
        if let Some(socket) = self.forget(id) {
            stage.net.close(stage.now, self.host, socket, Close::Fin);
        }
        self.contract.is_over(id);
        self.input(stage, Input::Ended { id, failure });
    }

    /// An outcome of a socket that was closed long ago.
    pub(super) fn tell_stale(&mut self, now: Instant) {
        let pick = self.random.below(u64::MAX);
        let Some(id) = self.contract.some_that_is_over(pick) else {
            return;
        };
        let local = Endpoint::unspecified(Family::V4, 1);
        let mut byte = [0];
        let input = match self.random.below(4) {
            0 => Input::Connected { id, local },
            1 => Input::DialFailed {
                id,
                failure: Failure::Refused,
            },
            2 => Input::Received {
                id,
                data: &mut byte,
            },
            _ => Input::Ended { id, failure: None },
        };
        self.machine().handle_input(now, input);
    }

    fn input(&mut self, stage: &mut Stage<'_>, input: Input<'_>) {
        if !matches!(input, Input::Received { .. }) {
            stage
                .trace
                .line(stage.now, format!("{}: learns {input:?}", self.parts.name));
        }
        let now = self.local(stage.now);
        self.machine().handle_input(now, input);
    }

    fn forget(&mut self, id: SocketId) -> Option<Socket> {
        self.reads.remove(&id);
        let socket = self.sockets.remove(&id)?;
        self.ids.remove(&socket);
        Some(socket)
    }

    fn take_over(&mut self, stage: &mut Stage<'_>, over: HandOver) {
        let HandOver {
            id,
            session,
            peer,
            mode,
            records,
            handshake_hash,
            ..
        } = over;
        stage.trace.line(
            stage.now,
            format!("{}: hands over {id:?} of {session}", self.parts.name),
        );
        let Some(socket) = self.forget(id) else {
            return;
        };
        let (sealer, opener) = records.split();
        self.streams.push(Stream {
            session,
            peer,
            mode,
            handshake_hash,
            socket,
            sealer,
            opener,
            raw: Vec::new(),
            received: Vec::new(),
        });
        self.feed_application(stage, socket);
    }

    fn feed_application(&mut self, stage: &mut Stage<'_>, socket: Socket) {
        let mut streams = self.streams.iter_mut();
        let Some(stream) = streams.find(|stream| stream.socket == socket) else {
            return;
        };
        let count = stage.net.readable(self.host, socket);
        let bytes = stage.net.read(self.host, socket, count);
        stream.take(&bytes);
    }

    /// Sends bytes of the application over a verified stream.
    pub(crate) fn write(
        &mut self,
        stage: &mut Stage<'_>,
        session: tcp_punch_proto::SessionId,
        data: &[u8],
    ) {
        let mut streams = self.streams.iter_mut();
        let stream = streams
            .find(|stream| stream.session == session)
            .expect("a stream");
        let bytes = stream.seal(data);
        stage.net.send(stage.now, self.host, stream.socket, &bytes);
    }
}
