//! A host that runs a rendezvous server: one machine per link, and the map
//! between them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use tcp_punch_proto::noise::Jitter;
use tcp_punch_proto::rendezvous::{
    Assist, AssistInput, Link, LinkEvent, LinkInput, Observation, Routed, ServerConfig,
};
use tcp_punch_proto::{Close, Endpoint, Instant, LinkHandle, PeerId};

use super::dial_back::{DialBacks, DialedBack};
use super::net::{Happening, HostId, Socket};
use super::peer::Stage;

/// Changes or swallows what links tell each other: a server that lies.
pub type Tamper = Box<dyn FnMut(&mut Routed)>;

#[derive(Copy, Clone, Debug)]
enum Door {
    Main,
    Assist(u8),
}

#[derive(Debug)]
pub(super) enum Machine {
    Main(Box<Link>),
    Assist(Box<Assist>),
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) machine: Machine,
    pub(super) name: String,
    pub(super) reading: Option<usize>,
    pub(super) deadline: Option<Instant>,
}

/// What has to be told to a link, one after another.
#[derive(Debug)]
pub(super) enum Mail {
    Look,
    Routed(Routed),
    Unroutable(Routed),
    Observed(Observation),
    ObservationUnroutable,
    DialedBack(DialedBack),
    Replaced,
    Drain,
}

pub(crate) struct ServerHost {
    pub(crate) host: HostId,
    pub(super) config: ServerConfig,
    pub(super) mains: Vec<Endpoint>,
    pub(super) assists: Vec<Endpoint>,
    pub(super) dial_backs: DialBacks,
    pub(super) clock: Duration,
    doors: BTreeMap<Socket, Door>,
    pub(super) connections: BTreeMap<Socket, Connection>,
    pub(super) registered: BTreeMap<PeerId, (u64, Socket)>,
    pub(super) handles: BTreeMap<LinkHandle, Socket>,
    pub(super) mail: VecDeque<(Socket, Mail)>,
    pub(super) tamper: Option<Tamper>,
    pub(super) events: Vec<(Instant, LinkEvent)>,
    /// Rises over restarts too, as a server's clock does.
    epoch: u64,
    random: Jitter,
}

impl fmt::Debug for ServerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHost")
            .field("connections", &self.connections)
            .field("registered", &self.registered)
            .finish_non_exhaustive()
    }
}

impl ServerHost {
    pub(crate) fn new(
        host: HostId,
        config: ServerConfig,
        (mains, assists): (Vec<Endpoint>, Vec<Endpoint>),
        mut random: Jitter,
    ) -> Self {
        Self {
            host,
            config,
            mains,
            assists,
            dial_backs: DialBacks::default(),
            clock: Duration::from_micros(random.below(1 << 40)),
            doors: BTreeMap::new(),
            connections: BTreeMap::new(),
            registered: BTreeMap::new(),
            handles: BTreeMap::new(),
            mail: VecDeque::new(),
            tamper: None,
            events: Vec::new(),
            epoch: 0,
            random,
        }
    }

    pub(crate) fn start(&mut self, stage: &mut Stage<'_>) {
        let doors = self.mains.iter().map(|&main| (main, Door::Main));
        let assists = self.assists.iter().zip(0..);
        let assists = assists.map(|(&assist, index)| (assist, Door::Assist(index)));
        for (local, door) in doors.chain(assists).collect::<Vec<_>>() {
            let (socket, _) = stage
                .net
                .listen(self.host, local)
                .expect("the server's address");
            self.doors.insert(socket, door);
        }
    }

    /// The process is gone.
    pub(crate) fn stop(&mut self) {
        self.doors.clear();
        self.connections.clear();
        self.registered.clear();
        self.handles.clear();
        self.mail.clear();
        self.dial_backs.clear();
    }

    /// Shuts down in order.
    pub(crate) fn drain_links(&mut self, stage: &mut Stage<'_>) {
        for door in std::mem::take(&mut self.doors).into_keys() {
            stage.net.close(stage.now, self.host, door, Close::Silent);
        }
        self.mail
            .extend(self.connections.keys().map(|&socket| (socket, Mail::Drain)));
        self.settle(stage);
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.connections
            .values()
            .filter_map(|connection| connection.deadline)
            .chain(self.dial_backs.next_at())
            .min()
    }

    /// Every deadline that is due.
    pub(crate) fn wake(&mut self, stage: &mut Stage<'_>) {
        let due = |connection: &Connection| {
            connection
                .deadline
                .is_some_and(|deadline| deadline <= stage.now)
        };
        let sockets: Vec<Socket> = self
            .connections
            .iter()
            .filter(|(_, open)| due(open))
            .map(|(&socket, _)| socket)
            .collect();
        let now = stage.now.after(self.clock);
        for socket in sockets {
            let Some(open) = self.connections.get_mut(&socket) else {
                continue;
            };
            match &mut open.machine {
                Machine::Main(link) => link.handle_timeout(now, &self.config),
                Machine::Assist(assist) => assist.handle_timeout(now),
            }
            self.drain(stage, socket);
        }
        self.end_dial_backs(stage);
        self.settle(stage);
    }

    pub(crate) fn on_notice(&mut self, stage: &mut Stage<'_>, socket: Socket, what: Happening) {
        if self.is_dial_back(stage, socket, &what) {
            return self.settle(stage);
        }
        match what {
            Happening::Accepted {
                listener, remote, ..
            } => match self.doors.get(&listener) {
                Some(&door) => self.open(stage, socket, door, remote),
                None => stage.net.close(stage.now, self.host, socket, Close::Reset),
            },
            Happening::Readable | Happening::Ended => self.mail.push_back((socket, Mail::Look)),
            Happening::Connected { .. } | Happening::DialFailed(_) => {}
        }
        self.settle(stage);
    }

    fn open(&mut self, stage: &mut Stage<'_>, socket: Socket, door: Door, remote: Endpoint) {
        let now = stage.now.after(self.clock);
        let (machine, name) = match door {
            Door::Main => {
                self.epoch += 1;
                let handle = LinkHandle(self.random.below(u64::MAX));
                let seed: [u8; 32] = std::array::from_fn(|_| self.random.below(256) as u8);
                self.handles.insert(handle, socket);
                let link = Link::new(now, &self.config, remote, self.epoch, handle, seed);
                (Machine::Main(Box::new(link)), format!("link {remote}"))
            }
            Door::Assist(index) => {
                let assist = Assist::new(now, &self.config, index, remote);
                (
                    Machine::Assist(Box::new(assist)),
                    format!("assist {index} {remote}"),
                )
            }
        };
        stage.trace.line(stage.now, format!("{name}: accepted"));
        let connection = Connection {
            machine,
            name,
            reading: None,
            deadline: None,
        };
        self.connections.insert(socket, connection);
        self.drain(stage, socket);
    }

    fn settle(&mut self, stage: &mut Stage<'_>) {
        for round in 0.. {
            assert!(round < 10_000, "the server is busy at one instant");
            let Some((socket, mail)) = self.mail.pop_front() else {
                return;
            };
            if self.tell(stage, socket, mail) {
                self.drain(stage, socket);
            }
        }
    }

    /// Tells a link one thing; false if there was nothing to tell after all.
    fn tell(&mut self, stage: &mut Stage<'_>, socket: Socket, mail: Mail) -> bool {
        let now = stage.now.after(self.clock);
        let Some(open) = self.connections.get_mut(&socket) else {
            return false;
        };
        let mut data = Vec::new();
        if let Mail::Look = mail {
            let readable = stage.net.readable(self.host, socket);
            match open.reading {
                Some(exactly) if readable >= exactly => {
                    data = stage.net.read(stage.now, self.host, socket, exactly);
                    open.reading = None;
                }
                // What has come is read first, if the link still wants it.
                None if readable > 0 => return false,
                _ if stage.net.ended(self.host, socket).is_some() => open.reading = None,
                _ => return false,
            }
        }
        match (&mut open.machine, mail) {
            (Machine::Main(link), mail) => {
                let input = match mail {
                    Mail::Look if data.is_empty() => LinkInput::Ended,
                    Mail::Look => LinkInput::Received(&mut data),
                    Mail::Routed(routed) => LinkInput::Routed(routed),
                    Mail::Unroutable(routed) => LinkInput::Unroutable(routed),
                    Mail::Observed(observation) => LinkInput::Observed(observation),
                    Mail::DialedBack(told) => told.input(),
                    Mail::Replaced => LinkInput::Replaced,
                    Mail::Drain => LinkInput::Drain,
                    Mail::ObservationUnroutable => unreachable!("for assist links"),
                };
                link.handle_input(now, &self.config, input);
            }
            (Machine::Assist(assist), Mail::Look) if data.is_empty() => {
                assist.handle_input(now, AssistInput::Ended);
            }
            (Machine::Assist(assist), Mail::Look) => {
                assist.handle_input(now, AssistInput::Received(&mut data));
            }
            (Machine::Assist(assist), Mail::ObservationUnroutable) => {
                assist.handle_input(now, AssistInput::Unroutable);
            }
            // A server that shuts down closes assist links by itself.
            (Machine::Assist(_), Mail::Drain) => {
                self.connections.remove(&socket);
                stage.net.close(stage.now, self.host, socket, Close::Fin);
                return false;
            }
            (Machine::Assist(_), other) => unreachable!("{other:?} for an assist link"),
        }
        true
    }
}
