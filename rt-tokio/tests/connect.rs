//! Two peers and a server on loopback get a stream.

mod common;

use std::time::Duration;

use common::{TestServer, config, soon};
use tcp_punch_tokio::{
    AccessPolicy, Event, Peer, PunchedStream, Role, SessionOptions, Strategies, Strategy,
    StreamMode,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Both ends of a stream that `a` asks `b` for.
async fn stream(a: &Peer, b: &Peer) -> (PunchedStream, PunchedStream) {
    let (asked, came) = soon(async { tokio::join!(a.connect(b.id()), b.incoming()) }).await;
    (asked.unwrap(), came.unwrap())
}

async fn say(from: &mut PunchedStream, to: &mut PunchedStream, text: &[u8]) {
    from.write_all(text).await.unwrap();
    from.flush().await.unwrap();
    let mut heard = vec![0; text.len()];
    soon(to.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard, text);
}

async fn proves_itself(access: impl FnOnce(&Peer) -> AccessPolicy) {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let b = server.peer(access(&a)).await;
    let (mut near, mut far) = stream(&a, &b).await;
    assert_eq!((near.peer_id(), far.peer_id()), (b.id(), a.id()));
    assert_eq!(
        (near.role(), far.role()),
        (Role::Requester, Role::Responder)
    );
    assert_eq!(near.session(), far.session());
    assert_eq!(near.handshake_hash(), far.handshake_hash());
    assert_eq!(near.local_addr(), far.remote_addr());
    assert_eq!(near.remote_addr(), far.local_addr());
    assert!(!near.is_bare());
    say(&mut near, &mut far, b"hello").await;
    say(&mut far, &mut near, b"and back").await;
}

#[tokio::test]
async fn asking_first() {
    proves_itself(|a| AccessPolicy::only([a.id()])).await;
}

#[tokio::test]
async fn consent_in_advance_for_one() {
    proves_itself(|a| AccessPolicy::only([a.id()]).consent_in_advance()).await;
}

#[tokio::test]
async fn consent_in_advance_for_anyone() {
    proves_itself(|_| AccessPolicy::anyone().consent_in_advance()).await;
}

#[tokio::test]
async fn a_request_before_the_registration_waits_for_it() {
    let server = TestServer::start().await;
    let b = server.peer(AccessPolicy::anyone()).await;
    let a = server.start_peer(AccessPolicy::nobody(), config());
    stream(&a, &b).await;
}

#[tokio::test]
async fn the_application_decides() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let b = server.peer(AccessPolicy::ask()).await;
    let (asked, accepted) = soon(async {
        tokio::join!(a.connect(b.id()), async {
            let request = b.accept_request().await.unwrap();
            assert_eq!(request.peer_id(), a.id());
            request.accept().await
        })
    })
    .await;
    let (mut near, mut far) = (asked.unwrap(), accepted.unwrap());
    say(&mut near, &mut far, b"let in").await;
}

#[tokio::test]
async fn two_requests_that_cross_give_two_streams() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::anyone()).await;
    let b = server.peer(AccessPolicy::anyone()).await;
    let (ab, ba, at_b, at_a) = soon(async {
        tokio::join!(
            a.connect(b.id()),
            b.connect(a.id()),
            b.incoming(),
            a.incoming()
        )
    })
    .await;
    let (mut ab, mut ba, mut at_b, mut at_a) =
        (ab.unwrap(), ba.unwrap(), at_b.unwrap(), at_a.unwrap());
    assert_ne!(ab.session(), ba.session());
    say(&mut ab, &mut at_b, b"asked by a").await;
    say(&mut ba, &mut at_a, b"asked by b").await;
}

#[tokio::test]
async fn ten_at_once_between_the_same_two() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let b = server.peer(AccessPolicy::anyone()).await;
    let asking: Vec<_> = (0..10)
        .map(|_| {
            let (a, b) = (a.clone(), b.id());
            tokio::spawn(async move { a.connect(b).await })
        })
        .collect();
    let mut far = Vec::new();
    for _ in 0..10 {
        far.push(soon(b.incoming()).await.unwrap());
    }
    for asked in asking {
        let mut near = soon(asked).await.unwrap().unwrap();
        let mine = far
            .iter_mut()
            .find(|stream| stream.session() == near.session())
            .unwrap();
        say(&mut near, mine, b"each to its own").await;
    }
}

#[tokio::test]
async fn one_after_the_other_between_the_same_two() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let b = server.peer(AccessPolicy::anyone()).await;
    for _ in 0..5 {
        let (mut near, mut far) = stream(&a, &b).await;
        say(&mut near, &mut far, b"again").await;
    }
}

#[tokio::test]
async fn bare_only_where_both_want_it() {
    let server = TestServer::start().await;
    let bare = SessionOptions {
        mode: StreamMode::Bare,
        ..SessionOptions::default()
    };
    for (b_mode, options, is_bare) in [
        (StreamMode::Bare, bare, true),
        (StreamMode::Bare, SessionOptions::default(), false),
        (StreamMode::Records, bare, false),
    ] {
        let a = server.peer(AccessPolicy::nobody()).await;
        let b = server.start_peer(AccessPolicy::anyone(), config().stream_mode(b_mode));
        soon(b.registered()).await.unwrap();
        let (near, far) =
            soon(async { tokio::join!(a.connect_with(b.id(), options), b.incoming()) }).await;
        let (near, far) = (near.unwrap(), far.unwrap());
        assert_eq!((near.is_bare(), far.is_bare()), (is_bare, is_bare));
        if is_bare {
            let (mut near, mut far) = (near.into_bare().unwrap(), far.into_bare().unwrap());
            near.write_all(b"bare").await.unwrap();
            let mut heard = [0; 4];
            soon(far.read_exact(&mut heard)).await.unwrap();
            assert_eq!(&heard, b"bare");
        } else {
            near.into_bare().unwrap_err();
        }
    }
}

#[tokio::test]
async fn a_shared_secret_that_both_have() {
    use tcp_punch_tokio::Psk;

    let server = TestServer::start().await;
    let secret = || config().psk(Psk::derive(b"between us"));
    let a = server.start_peer(AccessPolicy::nobody(), secret());
    let b = server.start_peer(AccessPolicy::anyone(), secret());
    soon(b.registered()).await.unwrap();
    stream(&a, &b).await;
}

#[tokio::test]
async fn a_forced_strategy_is_the_one_that_wins() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let b = server.peer(AccessPolicy::anyone()).await;
    let options = SessionOptions {
        strategies: Strategies::only(Strategy::SimultaneousOpen),
        ..SessionOptions::default()
    };
    let (near, far) =
        soon(async { tokio::join!(a.connect_with(b.id(), options), b.incoming()) }).await;
    assert_eq!(near.unwrap().strategy(), Strategy::SimultaneousOpen);
    drop(far);
}

#[tokio::test]
async fn a_stream_outlives_its_peer_and_its_server() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let b = server.peer(AccessPolicy::anyone()).await;
    let (mut near, mut far) = stream(&a, &b).await;
    soon(server.stop()).await;
    soon(a.shutdown()).await;
    drop((a, b));
    say(&mut near, &mut far, b"still here").await;
    say(&mut far, &mut near, b"me too").await;
}

#[tokio::test]
async fn events_tell_the_story_in_order() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let b = server.peer(AccessPolicy::anyone()).await;
    let (mut of_a, mut of_b) = (a.events(), b.events());
    let _streams = stream(&a, &b).await;
    let mut story = Vec::new();
    loop {
        #[allow(
            clippy::wildcard_enum_match_arm,
            reason = "the rest of the story is not asked for"
        )]
        match soon(of_a.next()).await.unwrap() {
            Event::Registered { .. } => story.push("registered"),
            Event::Requested { .. } => story.push("requested"),
            Event::Dialling { .. } if !story.contains(&"dialling") => story.push("dialling"),
            Event::Connected { .. } if !story.contains(&"connected") => story.push("connected"),
            Event::Verified { .. } => break,
            _ => {}
        }
    }
    assert_eq!(
        story[..3],
        ["registered", "requested", "dialling"],
        "{story:?}"
    );
    assert!(story.contains(&"connected"), "{story:?}");
    let notified = async {
        loop {
            if let Event::Notified { peer, ask, .. } = of_b.next().await.unwrap() {
                break (peer, ask);
            }
        }
    };
    assert_eq!(soon(notified).await, (a.id(), false));
    assert_eq!((of_a.missed(), of_b.missed()), (0, 0));
}

#[tokio::test]
async fn all_is_over_within_moments_of_the_shutdown() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let before = tokio::time::Instant::now();
    soon(a.shutdown()).await;
    assert!(before.elapsed() < Duration::from_secs(5));
    assert!(soon(a.incoming()).await.is_none());
    assert!(soon(a.accept_request()).await.is_none());
    assert!(a.connect(a.id()).await.is_err());
    // And once more is harmless.
    soon(a.shutdown()).await;
}
