//! Two peers and an honest server, joined by pipes without delay, and somebody
//! in the middle of some of them.

mod dials;
mod server;
mod streams;

use std::collections::BTreeMap;

use tcp_punch_proto::noise::SecretKey;
use tcp_punch_proto::rendezvous::{AssistInput, LinkInput, ServerConfig};
use tcp_punch_proto::{
    Config, Endpoint, Failure, HandOver, Input, Instant, ListenerId, Output, Peer, PeerId, Runtime,
    SocketId,
};

use server::Server;

use super::Says;
use super::bench::secret;
use super::watch::{Phase, Watch};

/// What somebody in the middle does to a stream between the peers.
#[derive(Clone, Debug)]
pub(crate) struct Tampering {
    /// Of the connections between peers, this one.
    pub(crate) conn: u8,
    /// From which end.
    pub(crate) end: bool,
    /// Which of its messages.
    pub(crate) message: u8,
    pub(crate) how: How,
}

#[derive(Copy, Clone, Debug)]
pub(crate) enum How {
    Flip(u16),
    Truncate(u16),
    Duplicate,
    Drop,
    Insert(u8),
}

#[derive(Copy, Clone, Debug)]
enum End {
    Peer(usize, SocketId),
    Link(usize),
    Assist(usize),
}

struct Conn {
    ends: [End; 2],
    /// What each end has yet to read.
    bytes: [Vec<u8>; 2],
    sent: [u8; 2],
    /// Whether what this end sent arrives otherwise.
    tampered: [bool; 2],
    closed: bool,
    between_peers: Option<u8>,
    /// Where its ends are, in order.
    pair: Option<[Endpoint; 2]>,
}

struct Dial {
    peer: usize,
    id: SocketId,
    port: u16,
    remote: Endpoint,
    lost: bool,
}

/// What lies between the peers, and what they can do.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Habits {
    /// A SYN passes only where one left towards it before.
    pub(crate) filtering: bool,
    pub(crate) at_once: bool,
    /// No SYN passes at all: only SYN-ACKs that both sides made by hand.
    pub(crate) by_hand: bool,
    /// Nobody sees the ports of this one.
    pub(crate) no_ports: [bool; 2],
    pub(crate) runtime: Runtime,
}

/// A stream that a peer handed over.
pub(crate) struct Handed {
    pub(crate) conn: usize,
    pub(crate) end: usize,
    pub(crate) peer: usize,
    pub(crate) over: HandOver,
}

pub(crate) struct Pipes<const S: usize, const P: usize> {
    pub(crate) peers: [Peer<Says, S, P>; 2],
    pub(crate) watches: [Watch; 2],
    pub(crate) now: Instant,
    pub(crate) ids: [PeerId; 2],
    server: Server,
    conns: Vec<Conn>,
    dials: Vec<Dial>,
    listeners: Vec<(usize, u16, ListenerId)>,
    pub(crate) handed: Vec<Handed>,
    tampering: Vec<Tampering>,
    next_port: u16,
    between_peers: u8,
    habits: Habits,
    /// What is dialled now between the peers is lost on the way.
    pub(crate) losing: bool,
    next_number: u32,
    /// SYN-ACKs made by hand: whose, from which port, to where.
    injected: Vec<(usize, u16, Endpoint)>,
}

const SERVER: [u8; 4] = [203, 0, 113, 1];

fn read(phase: Option<&Phase>) -> Option<usize> {
    match phase {
        Some(Phase::Up(len)) => *len,
        Some(Phase::Dialling | Phase::Over) | None => None,
    }
}

impl<const S: usize, const P: usize> Pipes<S, P> {
    pub(crate) fn new(says: [Says; 2], tampering: Vec<Tampering>, habits: Habits) -> Self {
        let key = SecretKey::from_bytes([99; 32]);
        let public = key.public();
        let assists = [3_479, 3_480].map(|port| Endpoint::new(SERVER.into(), port));
        let config = ServerConfig::new(key).assists(&assists).unwrap();
        let peer = |number: u8, says| {
            let mut config = Config::builder().runtime(habits.runtime);
            if habits.runtime.low_ttl {
                config = config.hops(2);
            }
            Peer::new(
                config.build().unwrap(),
                says,
                secret(number),
                public,
                [number; 32],
            )
        };
        let [a, b] = says;
        let peers = [peer(1, a), peer(2, b)];
        let ids = [peers[0].id(), peers[1].id()];
        Self {
            peers,
            watches: [0, 1].map(|who| {
                let mut watch = Watch::default();
                // The server, and the peer itself: the hairpin.
                watch.dials.runtime = habits.runtime;
                watch.dials.others = [SERVER.into(), Self::ip(who)].into();
                watch
            }),
            now: Instant::from_millis(1),
            ids,
            server: Server {
                config,
                links: Vec::new(),
                assists: Vec::new(),
                peers: BTreeMap::new(),
            },
            conns: Vec::new(),
            dials: Vec::new(),
            listeners: Vec::new(),
            handed: Vec::new(),
            tampering,
            next_port: 40_000,
            between_peers: 0,
            habits,
            losing: false,
            next_number: 0,
            injected: Vec::new(),
        }
    }

    fn ip(peer: usize) -> std::net::IpAddr {
        [198, 51, 100, peer as u8 + 1].into()
    }

    /// Lets everything happen that happens without time passing.
    pub(crate) fn settle(&mut self) {
        for _ in 0..2_000 {
            let mut busy = false;
            for peer in 0..2 {
                busy |= self.drain_peer(peer);
            }
            busy |= self.match_dials();
            busy |= self.carry();
            if !busy {
                return;
            }
        }
        panic!("it does not settle");
    }

    /// Then on to the next deadline, at most this much later.
    pub(crate) fn pass(&mut self, most: u64) {
        let end = Instant::from_micros(self.now.as_micros() + most);
        let next = self.watches.iter().filter_map(|watch| watch.next).min();
        self.now = next.map_or(end, |next| next.max(self.now).min(end));
        for peer in &mut self.peers {
            peer.handle_timeout(self.now);
        }
        for index in 0..self.server.links.len() {
            self.server.links[index]
                .0
                .handle_timeout(self.now, &self.server.config);
            self.drain_link(index);
        }
        for index in 0..self.server.assists.len() {
            self.server.assists[index].0.handle_timeout(self.now);
            self.drain_assist(index);
        }
        self.settle();
    }

    /// On for so long, from deadline to deadline.
    pub(crate) fn live(&mut self, micros: u64) {
        let end = self.now.as_micros() + micros;
        while self.now.as_micros() < end {
            self.pass(end - self.now.as_micros());
        }
    }

    /// Ends a peer's link to the server.
    pub(crate) fn cut(&mut self, who: usize) {
        for conn in &mut self.conns {
            let [a, b] = conn.ends;
            let ends = matches!((a, b), (End::Peer(peer, _), End::Link(_)) if peer == who);
            conn.closed |= ends;
        }
        self.settle();
    }

    fn drain_peer(&mut self, who: usize) -> bool {
        let mut busy = false;
        let (now, at_once) = (self.now, self.habits.at_once);
        let mut todo = Vec::new();
        let Self {
            peers,
            watches,
            listeners,
            dials,
            conns,
            handed,
            next_port,
            tampering,
            losing,
            injected,
            ..
        } = self;
        watches[who].drain(&mut peers[who], now, |_, peer, output| {
            busy = true;
            match output {
                Output::Resolve { id } => {
                    let addresses = &[Endpoint::new(SERVER.into(), 3_478)];
                    peer.handle_input(now, Input::Resolved { id, addresses });
                }
                Output::Listen { id, mut local } => {
                    if local.port == 0 {
                        *next_port += 1;
                        local.port = *next_port;
                    }
                    listeners.push((who, local.port, id));
                    if at_once {
                        peer.handle_input(now, Input::Listening { id, local });
                    } else {
                        todo.push((id, local));
                    }
                }
                Output::Unlisten { id } => {
                    listeners.retain(|known| (known.0, known.2) != (who, id))
                }
                Output::Dial {
                    id, local, remote, ..
                } => {
                    let port = local.port;
                    dials.push(Dial {
                        peer: who,
                        id,
                        port,
                        remote,
                        lost: *losing,
                    });
                }
                Output::Send { id, data } => {
                    send(conns, who, id, data, tampering);
                }
                Output::Close { id, .. } => {
                    dials.retain(|dial| (dial.peer, dial.id) != (who, id));
                    close(conns, who, id);
                }
                Output::HandOver(over) => {
                    let (conn, end) = find(conns, who, over.id).expect("it is connected");
                    handed.push(Handed {
                        conn,
                        end,
                        peer: who,
                        over,
                    });
                }
                Output::Inject(made) => injected.push((who, made.local.port, made.remote)),
                Output::Watch { .. } | Output::Event(_) | Output::Read { .. } | Output::Wait(_) => {
                }
            }
        });
        for (id, local) in todo {
            self.peers[who].handle_input(now, Input::Listening { id, local });
        }
        for id in std::mem::take(&mut self.watches[who].dials.to_tell) {
            self.next_number += 1;
            let number = self.next_number;
            self.peers[who].handle_input(now, Input::Sequence { id, number });
            busy = true;
        }
        busy
    }

    /// Delivers to the peers what they read, one thing.
    fn carry(&mut self) -> bool {
        for conn in 0..self.conns.len() {
            for end in 0..2 {
                let End::Peer(peer, id) = self.conns[conn].ends[end] else {
                    continue;
                };
                let Some(len) = read(self.watches[peer].sockets.get(&id)) else {
                    continue;
                };
                let bytes = &mut self.conns[conn].bytes[end];
                if bytes.len() >= len {
                    let mut data: Vec<u8> = bytes.drain(..len).collect();
                    self.watches[peer].sockets.insert(id, Phase::Up(None));
                    let data = &mut data;
                    self.peers[peer].handle_input(self.now, Input::Received { id, data });
                    return true;
                }
                if self.conns[conn].closed {
                    self.watches[peer].sockets.insert(id, Phase::Over);
                    let failure = Some(Failure::Reset);
                    self.peers[peer].handle_input(self.now, Input::Ended { id, failure });
                    return true;
                }
            }
        }
        for index in 0..self.server.links.len() {
            let Some(conn) = self.server.links[index].1 else {
                continue;
            };
            if self.conns[conn].closed {
                self.server.links[index].0.handle_input(
                    self.now,
                    &self.server.config,
                    LinkInput::Ended,
                );
                self.drain_link(index);
                return true;
            }
            if let Some(mut data) = self.frame(conn) {
                let input = LinkInput::Received(&mut data);
                let (link, _) = &mut self.server.links[index];
                link.handle_input(self.now, &self.server.config, input);
                self.drain_link(index);
                return true;
            }
        }
        for index in 0..self.server.assists.len() {
            let Some(conn) = self.server.assists[index].1 else {
                continue;
            };
            if let Some(mut data) = self.frame(conn) {
                let (assist, _) = &mut self.server.assists[index];
                assist.handle_input(self.now, AssistInput::Received(&mut data));
                self.drain_assist(index);
                return true;
            }
        }
        false
    }

    pub(crate) fn shut_down(&mut self) {
        for peer in 0..2 {
            self.peers[peer].shutdown(self.now);
        }
        self.settle();
        for watch in &self.watches {
            watch.is_all_over();
        }
    }
}

fn find(conns: &[Conn], who: usize, id: SocketId) -> Option<(usize, usize)> {
    conns.iter().enumerate().find_map(|(index, conn)| {
        let end = conn.ends.iter().position(
            |end| matches!(end, End::Peer(peer, known) if (*peer, *known) == (who, id)),
        )?;
        Some((index, end))
    })
}

fn close(conns: &mut [Conn], who: usize, id: SocketId) {
    if let Some((conn, _)) = find(conns, who, id) {
        conns[conn].closed = true;
    }
}

fn send(conns: &mut [Conn], who: usize, id: SocketId, data: &[u8], tampering: &[Tampering]) {
    let (conn, end) = find(conns, who, id).expect("it is connected");
    let conn = &mut conns[conn];
    let mut data = data.to_vec();
    if let Some(number) = conn.between_peers {
        let message = conn.sent[end];
        conn.sent[end] = message.saturating_add(1);
        let done = tampering.iter().find(|done| {
            (done.conn, usize::from(done.end), done.message) == (number, end, message)
        });
        if let Some(done) = done {
            // A copy behind the last message is for the application's records.
            conn.tampered[end] |= !matches!(done.how, How::Duplicate);
            match done.how {
                How::Flip(bit) => {
                    let bit = usize::from(bit) % (data.len() * 8);
                    data[bit / 8] ^= 1 << (bit % 8);
                }
                How::Truncate(len) => data.truncate(usize::from(len) % data.len()),
                How::Duplicate => data.extend(data.clone()),
                How::Drop => data.clear(),
                How::Insert(byte) => data.insert(0, byte),
            }
        }
    }
    conn.bytes[1 - end].extend(data);
}
