//! The honest server between the pipes.

use std::collections::BTreeMap;

use tcp_punch_proto::PeerId;
use tcp_punch_proto::rendezvous::{
    Assist, AssistOutput, Link, LinkInput, LinkOutput, Routed, ServerConfig,
};
use tcp_punch_proto::wire::{Frame, MAX_FRAME};

use super::{Conn, Pipes};

pub(super) struct Server {
    pub(super) config: ServerConfig,
    pub(super) links: Vec<(Link, Option<usize>)>,
    pub(super) assists: Vec<(Assist, Option<usize>)>,
    pub(super) peers: BTreeMap<PeerId, usize>,
}

impl<const S: usize, const P: usize> Pipes<S, P> {
    /// Header and body follow each other, and the server reads as they come.
    pub(super) fn frame(&mut self, conn: usize) -> Option<Vec<u8>> {
        let Conn { bytes, sent, .. } = &mut self.conns[conn];
        let [_, bytes] = bytes;
        // `sent` of the server's end tells what it reads next.
        let want = usize::from(sent[1]);
        let len = if want == 0 {
            2
        } else {
            let [a, b] = bytes.get(..2)?.try_into().ok()?;
            usize::from(u16::from_be_bytes([a, b]))
        };
        if want == 0 {
            let header = bytes.get(..len)?.to_vec();
            sent[1] = 1;
            return Some(header);
        }
        let body = bytes.get(2..2 + len)?.to_vec();
        bytes.drain(..2 + len);
        sent[1] = 0;
        Some(body)
    }

    pub(super) fn drain_link(&mut self, index: usize) {
        let mut frame: Frame = [0; MAX_FRAME + 2];
        for _ in 0..100 {
            let (link, conn) = &mut self.server.links[index];
            match link.poll_output(&self.server.config, &mut frame) {
                LinkOutput::Wait(_) => return,
                LinkOutput::Read { .. }
                | LinkOutput::DialBack { .. }
                | LinkOutput::Inject(_)
                | LinkOutput::Event(_) => {}
                LinkOutput::Send { data } => {
                    if let Some(conn) = *conn {
                        self.conns[conn].bytes[0].extend(data);
                    }
                }
                LinkOutput::Register { peer, .. } => {
                    if let Some(old) = self.server.peers.insert(peer, index) {
                        let (link, _) = &mut self.server.links[old];
                        link.handle_input(self.now, &self.server.config, LinkInput::Replaced);
                        self.drain_link(old);
                    }
                }
                LinkOutput::Route(routed) => self.route(index, routed),
                LinkOutput::Close(_) => {
                    if let Some(conn) = conn.take() {
                        self.conns[conn].closed = true;
                    }
                    self.server.peers.retain(|_, link| *link != index);
                }
            }
        }
        panic!("a link that does not end its drain");
    }

    fn route(&mut self, from: usize, routed: Routed) {
        let to = self.server.peers.get(&routed.to).copied();
        let (index, input) = match to {
            Some(to) => (to, LinkInput::Routed(routed)),
            None => (from, LinkInput::Unroutable(routed)),
        };
        let (link, _) = &mut self.server.links[index];
        link.handle_input(self.now, &self.server.config, input);
        if index != from {
            self.drain_link(index);
        }
    }

    pub(super) fn drain_assist(&mut self, index: usize) {
        let mut frame: Frame = [0; MAX_FRAME + 2];
        for _ in 0..20 {
            let (assist, conn) = &mut self.server.assists[index];
            match assist.poll_output(&mut frame) {
                AssistOutput::Wait(_) => return,
                AssistOutput::Read { .. } => {}
                AssistOutput::Send { data } => {
                    if let Some(conn) = *conn {
                        self.conns[conn].bytes[0].extend(data);
                    }
                }
                AssistOutput::Route(seen) => {
                    let link = seen.handle.0 as usize;
                    let (machine, _) = &mut self.server.links[link];
                    let input = LinkInput::Observed(seen);
                    machine.handle_input(self.now, &self.server.config, input);
                    self.drain_link(link);
                }
                AssistOutput::Close(_) => {
                    if let Some(conn) = conn.take() {
                        self.conns[conn].closed = true;
                    }
                }
            }
        }
        panic!("an assist link that does not end its drain");
    }
}
