//! Who is reached by a dial.

use tcp_punch_proto::rendezvous::{Assist, Link};
use tcp_punch_proto::{Endpoint, Failure, Input, LinkHandle};

use super::super::watch::Phase;
use super::{Conn, Dial, End, Pipes, SERVER};

impl<const S: usize, const P: usize> Pipes<S, P> {
    pub(super) fn match_dials(&mut self) -> bool {
        let server = |dial: &Dial| dial.remote.ip == std::net::IpAddr::from(SERVER);
        if let Some(index) = self.dials.iter().position(server) {
            let dial = self.dials.remove(index);
            let from = Endpoint::new(Self::ip(dial.peer), dial.port);
            if dial.remote.port != 3_478 && self.habits.no_ports[dial.peer] {
                let (id, failure) = (dial.id, Failure::Refused);
                self.watches[dial.peer].sockets.insert(id, Phase::Over);
                self.peers[dial.peer].handle_input(self.now, Input::DialFailed { id, failure });
                return true;
            }
            let number = self.conns.len();
            let end = if dial.remote.port == 3_478 {
                let index = self.server.links.len();
                let link = Link::new(
                    self.now,
                    &self.server.config,
                    from,
                    index as u64 + 1,
                    LinkHandle(index as u64),
                    [index as u8; 32],
                );
                self.server.links.push((link, Some(number)));
                End::Link(index)
            } else {
                let index = self.server.assists.len();
                let which = (dial.remote.port - 3_479) as u8;
                let assist = Assist::new(self.now, &self.server.config, which, from);
                self.server.assists.push((assist, Some(number)));
                End::Assist(index)
            };
            self.join(End::Peer(dial.peer, dial.id), end, None);
            self.up(&dial);
            match end {
                End::Link(index) => self.drain_link(index),
                End::Assist(index) => self.drain_assist(index),
                End::Peer(..) => {}
            }
            return true;
        }
        for index in 0..self.dials.len() {
            let dial = &self.dials[index];
            let own = Endpoint::new(Self::ip(dial.peer), dial.port);
            let mut pair = [own, dial.remote];
            pair.sort_unstable();
            if self
                .conns
                .iter()
                .any(|conn| !conn.closed && conn.pair == Some(pair))
            {
                // One connection from here to there is all that there can be.
                let Dial { peer, id, .. } = self.dials.remove(index);
                let failure = Failure::AddressNotAvailable;
                self.watches[peer].sockets.insert(id, Phase::Over);
                self.peers[peer].handle_input(self.now, Input::DialFailed { id, failure });
                return true;
            }
            let crossing = self.dials.iter().position(|other| {
                let made = |dial: &Dial| {
                    let made = (dial.peer, dial.port, dial.remote);
                    !self.habits.by_hand || self.injected.contains(&made)
                };
                other.peer != dial.peer
                    && !(dial.lost || other.lost)
                    && made(dial)
                    && made(other)
                    && dial.remote == Endpoint::new(Self::ip(other.peer), other.port)
                    && other.remote == own
            });
            if let Some(other) = crossing {
                let (low, high) = (index.min(other), index.max(other));
                let b = self.dials.remove(high);
                let a = self.dials.remove(low);
                self.join(End::Peer(a.peer, a.id), End::Peer(b.peer, b.id), Some(pair));
                self.up(&a);
                self.up(&b);
                return true;
            }
            let listener = self.listeners.iter().copied().find(|(peer, port, _)| {
                *peer != dial.peer
                    && !dial.lost
                    && dial.remote == Endpoint::new(Self::ip(*peer), *port)
            });
            if let (false, Some((peer, port, listener))) =
                (self.habits.filtering || self.habits.by_hand, listener)
            {
                let dial = self.dials.remove(index);
                let id = self.peers[peer].new_socket_id();
                self.watches[peer].sockets.insert(id, Phase::Up(None));
                self.join(
                    End::Peer(dial.peer, dial.id),
                    End::Peer(peer, id),
                    Some(pair),
                );
                self.up(&dial);
                let local = Endpoint::new(Self::ip(peer), port);
                self.peers[peer].handle_input(
                    self.now,
                    Input::Accepted {
                        listener,
                        id,
                        local,
                        remote: own,
                    },
                );
                return true;
            }
        }
        false
    }

    fn join(&mut self, a: End, b: End, pair: Option<[Endpoint; 2]>) {
        let between_peers = pair.map(|_| self.between_peers);
        if between_peers.is_some() {
            self.between_peers = self.between_peers.wrapping_add(1);
        }
        self.conns.push(Conn {
            ends: [a, b],
            bytes: Default::default(),
            sent: [0; 2],
            tampered: [false; 2],
            closed: false,
            between_peers,
            pair,
        });
    }

    fn up(&mut self, dial: &Dial) {
        let id = dial.id;
        let known = self.watches[dial.peer].sockets.get_mut(&id).unwrap();
        if *known == Phase::Dialling {
            *known = Phase::Up(None);
            let local = Endpoint::new(Self::ip(dial.peer), dial.port);
            self.peers[dial.peer].handle_input(self.now, Input::Connected { id, local });
        }
    }
}
