//! Hosts that do not speak the protocol, or do so badly.

use std::net::IpAddr;

use tcp_punch_proto::{Close, Endpoint};

use super::net::{Happening, HostId, Socket};
use super::peer::Stage;

/// What a stranger does with every connection that it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Keeps it, and says nothing.
    Silent,
    /// Sends this, and says nothing more.
    Says(Vec<u8>),
    /// Sends back whatever comes.
    Echo,
    /// Tells the first words that it hears to somebody else, at the port that it
    /// was called at itself, and hangs up when that one answers.
    Repeats(IpAddr),
    /// The same, but the answer goes back with a bit of its MAC changed.
    Spoils(IpAddr),
}

/// A stranger at work.
#[derive(Debug)]
pub(crate) struct Stranger {
    pub(crate) host: HostId,
    pub(crate) habit: Habit,
    pub(crate) connections: usize,
    /// Bytes that others sent it.
    pub(crate) heard: Vec<u8>,
    /// Connections that others closed.
    pub(crate) ended: usize,
    /// Where it repeats what it heard.
    repeating: Option<Socket>,
    /// Who spoke first.
    caller: Option<Socket>,
    /// The port at which it was called last.
    called_at: u16,
    /// Its last knock.
    knocking: Option<Socket>,
}

impl Stranger {
    pub(crate) fn new(host: HostId, habit: Habit) -> Self {
        Self {
            host,
            habit,
            connections: 0,
            heard: Vec::new(),
            ended: 0,
            repeating: None,
            caller: None,
            called_at: 0,
            knocking: None,
        }
    }

    /// Dials from a port of the host's choice.
    pub(crate) fn dial(&self, stage: &mut Stage<'_>, remote: Endpoint) {
        let local = Endpoint::unspecified(remote.family(), 0);
        // What becomes of it is not the stranger's concern.
        let _ = stage.net.dial(stage.now, self.host, (local, remote), None);
    }

    /// Sends a SYN from a port of the host's choice, and forgets the one before:
    /// of interest is what it does to the NAT.
    pub(crate) fn knock(&mut self, stage: &mut Stage<'_>, remote: Endpoint) {
        if let Some(last) = self.knocking.take() {
            stage.net.close(stage.now, self.host, last, Close::Silent);
        }
        let local = Endpoint::unspecified(remote.family(), 0);
        let dialled = stage.net.dial(stage.now, self.host, (local, remote), None);
        self.knocking = dialled.ok();
    }

    pub(crate) fn on_notice(&mut self, stage: &mut Stage<'_>, socket: Socket, what: Happening) {
        match what {
            Happening::Connected { .. } | Happening::Accepted { .. } => {
                self.connections += 1;
                if let Happening::Accepted { local, .. } = what {
                    self.called_at = local.port;
                }
                let repeats = matches!(self.habit, Habit::Repeats(_) | Habit::Spoils(_));
                if repeats && matches!(what, Happening::Connected { .. }) {
                    stage.net.send(stage.now, self.host, socket, &self.heard);
                    self.repeating = Some(socket);
                }
                if let Habit::Says(bytes) = &self.habit {
                    // Within what a socket holds; more would end it.
                    for piece in bytes.chunks(2_048) {
                        stage.net.send(stage.now, self.host, socket, piece);
                    }
                }
            }
            Happening::Readable => {
                let count = stage.net.readable(self.host, socket);
                let bytes = stage.net.read(stage.now, self.host, socket, count);
                if self.habit == Habit::Echo {
                    stage.net.send(stage.now, self.host, socket, &bytes);
                }
                if self.repeating == Some(socket) {
                    self.on_answer(stage, socket, bytes);
                    return;
                }
                if let (Habit::Repeats(ip) | Habit::Spoils(ip), true) =
                    (&self.habit, self.heard.is_empty())
                {
                    self.dial(stage, Endpoint::new(*ip, self.called_at));
                    self.caller = Some(socket);
                }
                self.heard.extend(bytes);
            }
            Happening::Ended => {
                self.ended += 1;
                stage.net.close(stage.now, self.host, socket, Close::Fin);
            }
            Happening::DialFailed(_) => {}
        }
    }

    fn on_answer(&self, stage: &mut Stage<'_>, socket: Socket, mut bytes: Vec<u8>) {
        if let (Habit::Spoils(_), Some(caller)) = (&self.habit, self.caller) {
            // A hello ends with its MAC and the length of no extensions: see
            // proto/docs/wire.md.
            if let [.., of_mac, _] = bytes.as_mut_slice() {
                *of_mac ^= 1;
            }
            stage.net.send(stage.now, self.host, caller, &bytes);
            return;
        }
        stage.net.close(stage.now, self.host, socket, Close::Reset);
    }
}
