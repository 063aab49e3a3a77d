//! What becomes of dials on the way, with a real router there.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use proto::noise::SecretKey;
use proto::{Config, Endpoint, Failure, Family, Hops, NoAccess};
use tokio::time::timeout;

use super::sockets::{Happening, Sockets};
use super::*;
use crate::socket;
use crate::testnet::{FAR, FAR_V6, Net, end};

/// Where nobody listens, and where somebody does.
const CLOSED: u16 = 9;
const OPEN: u16 = 10;

struct Dialler {
    sockets: Sockets,
    /// Only machines can make ids.
    ids: Box<proto::Peer<NoAccess, 1, 4>>,
}

impl Dialler {
    fn new() -> Self {
        let secret = SecretKey::from_bytes([1; 32]);
        let server = SecretKey::from_bytes([2; 32]).public();
        let config = Config::default();
        Self {
            sockets: Sockets::new(None),
            ids: Box::new(proto::Peer::new(config, NoAccess, secret, server, [3; 32])),
        }
    }

    fn dial(mut self, net: &Net, remote: Endpoint, hops: Hops) -> Self {
        let id = self.ids.new_socket_id();
        net.near.run(move || {
            let any = Endpoint::unspecified(remote.family(), 0);
            self.sockets.dial(id, any, remote, hops);
            self
        })
    }

    async fn next(&mut self) -> Happening {
        let next = poll_fn(|cx| match self.sockets.poll(cx).pop_front() {
            Some(happening) => Poll::Ready(happening),
            None => Poll::Pending,
        });
        timeout(Duration::from_secs(5), next)
            .await
            .expect("nothing happens")
    }
}

fn listen(net: &Net, family: Family) -> tokio::net::TcpListener {
    let local = Endpoint::unspecified(family, OPEN);
    net.far.run(move || socket::listen_alone(local).unwrap())
}

#[tokio::test]
async fn a_short_dial_outlives_what_its_first_syn_met() {
    let Some(net) = Net::new() else { return };
    for far in [end(FAR, OPEN), end(FAR_V6, OPEN)] {
        let listener = listen(&net, far.family());
        let mut dialler = Dialler::new().dial(&net, far, Hops::Short(1));
        let begun = Instant::now();
        // The kernel repeats the SYN after a second, with hops enough.
        let happening = dialler.next().await;
        assert!(
            matches!(happening, Happening::Connected { .. }),
            "{far}: {happening:?}"
        );
        assert!(
            begun.elapsed() > Duration::from_millis(500),
            "{far}: the first SYN got through"
        );
        drop(listener);
    }
}

#[cfg(feature = "raw")]
#[tokio::test]
async fn the_number_of_a_dial_is_told_when_it_can_hear_the_answer() {
    let Some(net) = Net::new() else { return };
    for far in [end(FAR, OPEN), end(FAR_V6, OPEN)] {
        let mut dialler = Dialler::new();
        let id = dialler.ids.new_socket_id();
        let mut dialler = net.near.run(move || {
            dialler.sockets = Sockets::new(Some(Raw::open().unwrap()));
            dialler.sockets.watch(id);
            let any = Endpoint::unspecified(far.family(), 0);
            dialler.sockets.dial(id, any, far, Hops::Short(1));
            dialler
        });
        let begun = Instant::now();
        let happening = dialler.next().await;
        assert!(
            matches!(happening, Happening::Sequence { id: whose, .. } if whose == id),
            "{far}: {happening:?}"
        );
        let is_deaf_first = far.family() == Family::V6;
        assert!(
            !is_deaf_first || begun.elapsed() >= Duration::from_millis(49),
            "{far}: {:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test]
async fn a_traced_dial_tells_the_router_where_it_expired() {
    let Some(net) = Net::new() else { return };
    for (far, router) in [(FAR, "10.1.0.1"), (FAR_V6, "fd01::1")] {
        let far = end(far, OPEN);
        let listener = listen(&net, far.family());
        let mut dialler = Dialler::new().dial(&net, far, Hops::Trace(1));
        let happening = dialler.next().await;
        let Happening::Expired { hop, .. } = happening else {
            panic!("{happening:?}");
        };
        assert_eq!(hop.to_string(), router);
        // One hop more, and it arrives.
        let mut dialler = dialler.dial(&net, far, Hops::Trace(2));
        let happening = dialler.next().await;
        assert!(
            matches!(happening, Happening::Connected { .. }),
            "{happening:?}"
        );
        drop(listener);
    }
}

#[tokio::test]
async fn rst_and_icmp_are_told_apart() {
    let Some(net) = Net::new() else { return };
    net.router.sh(
        "nft 'add table inet fw; add chain inet fw forward { type filter hook forward priority 0; }
              add rule inet fw forward tcp dport 11 reject with icmpx port-unreachable
              add rule inet fw forward tcp dport 12 reject with icmpx admin-prohibited'",
    );
    for ip in [FAR, FAR_V6] {
        for (port, expected) in [
            (CLOSED, Failure::Refused),
            (11, Failure::Unreachable),
            (12, Failure::Unreachable),
        ] {
            for hops in [Hops::Default, Hops::Short(5), Hops::Trace(5)] {
                let mut dialler = Dialler::new().dial(&net, end(ip, port), hops);
                let happening = dialler.next().await;
                let Happening::DialFailed { failure, .. } = happening else {
                    panic!("{ip} {port}: {happening:?}");
                };
                assert_eq!(failure, expected, "{ip} {port} {hops:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_expired_syn_that_was_not_traced_is_unreachable() {
    let Some(net) = Net::new() else { return };
    net.near.sh("sysctl -qw net.ipv4.ip_default_ttl=1");
    let mut dialler = Dialler::new().dial(&net, end(FAR, OPEN), Hops::Default);
    let happening = dialler.next().await;
    assert!(
        matches!(
            happening,
            Happening::DialFailed {
                failure: Failure::Unreachable,
                ..
            }
        ),
        "{happening:?}"
    );
}

#[tokio::test]
async fn a_connection_is_not_hurt_by_icmp() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let Some(net) = Net::new() else { return };
    let listener = listen(&net, Family::V4);
    let mut dialler = Dialler::new().dial(&net, end(FAR, OPEN), Hops::Default);
    let Happening::Connected { id, .. } = dialler.next().await else {
        panic!("not connected");
    };
    let mut stream = dialler.sockets.take(id).unwrap().into_stream();
    let (mut accepted, _) = listener.accept().await.unwrap();
    // The way is gone for a moment, and a router says so.
    net.router.sh("ip route add unreachable 10.2.0.2");
    stream.write_all(b"late").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    net.router.sh("ip route del unreachable 10.2.0.2");
    let mut heard = [0; 4];
    let read = accepted.read_exact(&mut heard);
    timeout(Duration::from_secs(5), read)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&heard, b"late");
}

/// One dial a millisecond for a second, none answered, all closed at the end.
#[tokio::test]
async fn a_thousand_dials_cost_little() {
    const DIALS: u16 = 1_024;

    let Some(net) = Net::new() else { return };
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(8_192), hard).unwrap();
    net.forward(false);
    let (ids, sockets, dialling) = net.near.run(|| {
        let mut dialler = Dialler::new();
        let listener = socket::listen_shared(Endpoint::unspecified(Family::V4, 0)).unwrap();
        let port = Endpoint::from(listener.local_addr().unwrap()).port;
        let local = Endpoint::unspecified(Family::V4, port);
        let begun = Instant::now();
        let ids: Vec<_> = (0..DIALS)
            .map(|n| {
                let id = dialler.ids.new_socket_id();
                let remote = end(FAR, 20_000 + n);
                dialler.sockets.dial(id, local, remote, Hops::Default);
                id
            })
            .collect();
        (ids, dialler.sockets, begun.elapsed())
    });
    let mut sockets = sockets;
    let mut rounds = 0;
    let polling = Instant::now();
    let watched = timeout(
        Duration::from_millis(300),
        poll_fn(|cx| {
            rounds += 1;
            assert!(sockets.poll(cx).is_empty());
            Poll::<()>::Pending
        }),
    );
    assert!(watched.await.is_err());
    let polling = polling.elapsed();
    let begun = Instant::now();
    for id in &ids {
        sockets.close(*id, proto::Close::Silent);
    }
    // Closing what is closed already harms nobody.
    for id in ids {
        sockets.close(id, proto::Close::Reset);
    }
    let closing = begun.elapsed();
    eprintln!("{DIALS} dials: {dialling:?}, {rounds} rounds, closed in {closing:?}");
    assert!(
        rounds < 100,
        "{rounds} rounds in {polling:?} although nothing happens"
    );
    assert!(dialling < Duration::from_secs(1), "{dialling:?}");
    assert!(closing < Duration::from_secs(1), "{closing:?}");
}
