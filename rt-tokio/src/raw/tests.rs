//! With real kernels at both ends.

use std::future::poll_fn;
use std::time::Duration;

use proto::noise::SecretKey;
use proto::{Config, Endpoint, Hops, NoAccess, Segment, SocketId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Injector, Raw};
use crate::socket;
use crate::testnet::{FAR, FAR_V6, Namespace, Net, end};

const NEAR: &str = "10.1.0.2";
const NEAR_V6: &str = "fd01::2";
const PORT: u16 = 40_000;

/// Only machines can make ids.
fn an_id() -> SocketId {
    let secret = SecretKey::from_bytes([1; 32]);
    let server = SecretKey::from_bytes([2; 32]).public();
    proto::Peer::<_, 1, 4>::new(Config::default(), NoAccess, secret, server, [3; 32])
        .new_socket_id()
}

/// A dial that nothing answers, and its first sequence number.
struct Pending {
    raw: Raw,
    stream: TcpStream,
    number: u32,
}

impl Pending {
    async fn new(place: &Namespace, to: Endpoint) -> Self {
        let (mut raw, stream) = place.run(move || {
            let mut raw = Raw::open().unwrap();
            let id = an_id();
            raw.watch(id);
            let local = Endpoint::unspecified(to.family(), PORT);
            let stream = socket::dial(local, to, Hops::Default).unwrap();
            raw.dialled(id, stream.local_addr().unwrap().into(), to);
            (raw, stream)
        });
        let seen = poll_fn(|cx| raw.poll(cx));
        let (id, number) = timeout(Duration::from_secs(3), seen)
            .await
            .unwrap_or_else(|_| panic!("no SYN to {to} was seen"));
        assert_eq!(id, an_id());
        Self {
            raw,
            stream,
            number,
        }
    }

    async fn up(&self) {
        let up = poll_fn(|cx| socket::poll_connected(&self.stream, cx));
        // Before the kernel repeats its SYN, which would open it by itself.
        timeout(Duration::from_millis(700), up)
            .await
            .expect("not up")
            .unwrap();
    }
}

async fn talk(near: &mut Pending, far: &mut Pending) {
    near.up().await;
    far.up().await;
    // More than one segment, and more than a window without scaling.
    let bytes = vec![7; 300_000];
    let mut heard = vec![0; bytes.len()];
    let (sent, read) = tokio::join!(
        near.stream.write_all(&bytes),
        far.stream.read_exact(&mut heard)
    );
    sent.unwrap();
    read.unwrap();
    assert_eq!(bytes, heard);
}

/// Both SYNs are lost; each side answers the other's by hand.
#[tokio::test]
async fn crafted_syn_acks_open_two_dials() {
    let Some(net) = Net::new() else { return };
    for (near_ip, far_ip) in [(NEAR, FAR), (NEAR_V6, FAR_V6)] {
        let (near_end, far_end) = (end(near_ip, PORT), end(far_ip, PORT));
        net.forward(false);
        let mut near = Pending::new(&net.near, far_end).await;
        let mut far = Pending::new(&net.far, near_end).await;
        net.forward(true);
        for (from, place, remote, other) in [
            (&near, &net.near, far_end, far.number),
            (&far, &net.far, near_end, near.number),
        ] {
            let segment = Segment {
                local: Endpoint::unspecified(remote.family(), PORT),
                remote,
                sequence: from.number,
                acknowledgement: other.wrapping_add(1),
            };
            // The socket that asks for the source address has to be there too.
            place.run(move || Injector::open().unwrap().send(&segment).unwrap());
        }
        talk(&mut near, &mut far).await;
        assert!(near.raw.is_idle() && far.raw.is_idle());
    }
}

/// A third host sends both SYN-ACKs.
#[tokio::test]
async fn spoofed_syn_acks_open_two_dials() {
    let Some(net) = Net::new() else { return };
    for (near_ip, far_ip) in [(NEAR, FAR), (NEAR_V6, FAR_V6)] {
        let (near_end, far_end) = (end(near_ip, PORT), end(far_ip, PORT));
        net.forward(false);
        let mut near = Pending::new(&net.near, far_end).await;
        let mut far = Pending::new(&net.far, near_end).await;
        net.forward(true);
        let segments = [
            (near_end, far_end, near.number, far.number),
            (far_end, near_end, far.number, near.number),
        ]
        .map(|(local, remote, own, other)| Segment {
            local,
            remote,
            sequence: own,
            acknowledgement: other.wrapping_add(1),
        });
        net.router.run(move || {
            let injector = Injector::open().unwrap();
            for segment in &segments {
                injector.send(segment).unwrap();
            }
        });
        talk(&mut near, &mut far).await;
    }
}
