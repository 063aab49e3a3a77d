//! What came of it.

use tcp_punch_proto::noise::{RecordKind, RecordOpener, Role};

use super::Pipes;

impl<const S: usize, const P: usize> Pipes<S, P> {
    /// Every stream that was handed over is the right one.
    pub(crate) fn check(&mut self) {
        for first in 0..self.handed.len() {
            let one = &self.handed[first];
            let conn = &self.conns[one.conn];
            assert!(conn.between_peers.is_some(), "not to the server");
            let other_end = 1 - one.end;
            // What it was told proved who is there.
            assert!(
                !conn.tampered[other_end],
                "{:?} went to a stream that was tampered with",
                one.over
            );
            assert_eq!(one.over.peer, self.ids[1 - one.peer], "the right peer");
            if one.over.role == Role::Responder {
                assert!(!conn.tampered[one.end], "it heard our hello");
            }
            let twin = self
                .handed
                .iter()
                .position(|other| other.over.session == one.over.session && other.peer != one.peer);
            let Some(second) = twin else { continue };
            let two = &self.handed[second];
            assert_eq!(one.conn, two.conn, "both took the same stream");
            assert_eq!(one.over.handshake_hash, two.over.handshake_hash);
            assert_eq!(one.over.role, two.over.role.other());
            assert_eq!(one.over.mode, two.over.mode);
            let [one, two] = self.handed.get_disjoint_mut([first, second]).unwrap();
            let mut sealed = [0; 64];
            let sealer = &mut one.over.records.sealer;
            let len = sealer.seal(RecordKind::Data, b"one", &mut sealed).unwrap();
            let (head, body) = sealed[..len].split_at_mut(2);
            let head = [head[0], head[1]];
            assert_eq!(RecordOpener::body_len(head), Ok(body.len()));
            let (kind, data) = two.over.records.opener.open(head, body).unwrap();
            assert_eq!((kind, &*data), (RecordKind::Data, &b"one"[..]));
        }
    }
}
