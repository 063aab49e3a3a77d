//! What goes wrong says why, within its deadline.

mod common;

use std::time::Duration;

use common::{TestServer, config, id_of, server_builder, soon, start_peer};
use tcp_punch_tokio::{
    AccessPolicy, ConnectError, Event, FailReason, Failure, LinkFailure, LinkStatus, Misuse, Peer,
    PeerId, Psk, RegisterError, SessionOptions, Strategies, Strategy, keyfile,
};
use tokio::time::timeout;

/// Why `a` does not get a stream to `to`.
async fn failure(a: &Peer, to: PeerId) -> ConnectError {
    soon(a.connect(to))
        .await
        .expect_err("it should have failed")
}

#[tokio::test]
async fn a_peer_that_nobody_knows() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let nobody = id_of(&keyfile::generate().unwrap());
    let error = failure(&a, nobody).await;
    assert_eq!(error.reason(), Some(FailReason::PeerUnknown));
    assert!(
        error.to_string().contains("registered at the same server"),
        "{error}"
    );
}

#[tokio::test]
async fn a_peer_that_does_not_allow_us() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let friend = PeerId::from_bytes([7; 32]);
    for policy in [
        AccessPolicy::nobody(),
        AccessPolicy::only([friend]),
        AccessPolicy::only([friend]).consent_in_advance(),
    ] {
        let b = server.peer(policy).await;
        assert_eq!(
            failure(&a, b.id()).await.reason(),
            Some(FailReason::NotAllowed)
        );
    }
}

#[tokio::test]
async fn an_application_that_refuses() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let b = server.peer(AccessPolicy::ask()).await;
    let refusing = tokio::spawn({
        let b = b.clone();
        async move {
            b.accept_request().await.unwrap().refuse();
            drop(b.accept_request().await.unwrap());
        }
    });
    for _ in 0..2 {
        assert_eq!(
            failure(&a, b.id()).await.reason(),
            Some(FailReason::NotAllowed)
        );
    }
    soon(refusing).await.unwrap();
}

#[tokio::test]
async fn an_application_that_never_decides() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let second = Duration::from_secs(1);
    let b = server.start_peer(AccessPolicy::ask(), config().consent_deadline(second));
    soon(b.registered()).await.unwrap();
    let (error, request) = tokio::join!(failure(&a, b.id()), b.accept_request());
    assert_eq!(error.reason(), Some(FailReason::ConsentTimedOut));
    // Too late now.
    let late = soon(request.unwrap().accept()).await.unwrap_err();
    assert_eq!(late, ConnectError::Misuse(Misuse::UnknownSession));
}

#[tokio::test]
async fn oneself() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::anyone()).await;
    assert_eq!(
        failure(&a, a.id()).await,
        ConnectError::Misuse(Misuse::OwnId)
    );
}

#[tokio::test]
async fn shared_secrets_that_differ() {
    let server = TestServer::start().await;
    let a = server.start_peer(AccessPolicy::nobody(), config().psk(Psk::derive(b"one")));
    for policy in [
        AccessPolicy::anyone(),
        AccessPolicy::anyone().consent_in_advance(),
    ] {
        let b = server.start_peer(
            policy,
            config()
                .psk(Psk::derive(b"another"))
                .punch_deadline(Duration::from_secs(2)),
        );
        soon(b.registered()).await.unwrap();
        let options = SessionOptions {
            deadline: Duration::from_secs(4),
            ..SessionOptions::default()
        };
        let error = soon(a.connect_with(b.id(), options)).await.unwrap_err();
        let reason = error.reason().unwrap();
        assert!(
            matches!(reason, FailReason::Untrusted | FailReason::NotVerified),
            "{error}"
        );
        assert!(error.to_string().contains("shared secret"), "{error}");
    }
}

#[tokio::test]
async fn strategies_that_exclude_each_other() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let only = |strategy| config().strategies(Strategies::only(strategy));
    let b = server.start_peer(AccessPolicy::anyone(), only(Strategy::HostCandidates));
    soon(b.registered()).await.unwrap();
    let options = SessionOptions {
        strategies: Strategies::only(Strategy::SimultaneousOpen),
        ..SessionOptions::default()
    };
    let error = soon(a.connect_with(b.id(), options)).await.unwrap_err();
    assert_eq!(error.reason(), Some(FailReason::NothingToTry), "{error}");
}

#[tokio::test]
async fn the_wrong_server_key() {
    let server = TestServer::start().await;
    let other = keyfile::generate().unwrap().public();
    let addr = tcp_punch_tokio::ServerAddr::new(server.addr.host(), server.addr.port(), other);
    let peer = start_peer(
        addr,
        keyfile::generate().unwrap(),
        AccessPolicy::nobody(),
        config(),
    );
    let error = soon(peer.registered()).await.unwrap_err();
    assert_eq!(error, RegisterError::Link(LinkFailure::WrongKey));
    assert!(error.to_string().contains("HOST:PORT/KEY"), "{error}");
}

#[tokio::test]
async fn the_wrong_token() {
    let server =
        TestServer::from(server_builder(keyfile::generate().unwrap()).token("right")).await;
    for builder in [config(), config().token(b"wrong")] {
        let peer = server.start_peer(AccessPolicy::nobody(), builder);
        let error = soon(peer.registered()).await.unwrap_err();
        assert_eq!(error, RegisterError::Link(LinkFailure::TokenRefused));
        assert!(matches!(
            peer.link(),
            LinkStatus::Down { retry_in: None, .. }
        ));
    }
    let peer = server.start_peer(AccessPolicy::nobody(), config().token(b"right"));
    soon(peer.registered()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let server = TestServer::start().await;
    let addr = server.addr.clone();
    soon(server.stop()).await;
    let peer = start_peer(
        addr,
        keyfile::generate().unwrap(),
        AccessPolicy::nobody(),
        config(),
    );
    let mut events = peer.events();
    let Some(Event::LinkDown { reason, retry_in }) = soon(events.next()).await else {
        panic!("no word about the link");
    };
    assert_eq!(reason, LinkFailure::Dial(Failure::Refused));
    assert!(retry_in.is_some(), "it is tried again");
    // Waiting makes sense, so it waits.
    timeout(Duration::from_millis(300), peer.registered())
        .await
        .unwrap_err();
    let options = SessionOptions {
        deadline: Duration::from_secs(1),
        ..SessionOptions::default()
    };
    let error = soon(peer.connect_with(PeerId::from_bytes([7; 32]), options))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), Some(FailReason::NoServer));
    assert!(
        error.to_string().contains("check that the server runs"),
        "{error}"
    );
}

#[tokio::test]
async fn what_answers_is_no_rendezvous_server() {
    use tokio::io::AsyncWriteExt as _;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let key = keyfile::generate().unwrap().public();
    let addr = tcp_punch_tokio::ServerAddr::new("127.0.0.1", port, key);
    let peer = start_peer(
        addr,
        keyfile::generate().unwrap(),
        AccessPolicy::nobody(),
        config(),
    );
    let mut events = peer.events();
    let Some(Event::LinkDown { reason, .. }) = soon(events.next()).await else {
        panic!("no word about the link");
    };
    assert!(
        matches!(
            reason,
            LinkFailure::Protocol
                | LinkFailure::WrongKey
                | LinkFailure::Closed
                | LinkFailure::Version
        ),
        "{reason:?}"
    );
}

#[tokio::test]
async fn a_name_that_is_none() {
    let key = keyfile::generate().unwrap().public();
    let addr = tcp_punch_tokio::ServerAddr::new("no-such-host.invalid", 3478, key);
    let peer = start_peer(
        addr,
        keyfile::generate().unwrap(),
        AccessPolicy::nobody(),
        config(),
    );
    let mut events = peer.events();
    let Some(Event::LinkDown { reason, .. }) = soon(events.next()).await else {
        panic!("no word about the link");
    };
    assert_eq!(reason, LinkFailure::NameNotFound);
}

#[tokio::test]
async fn the_same_key_twice_leaves_the_newer_one() {
    let server = TestServer::start().await;
    let secret = keyfile::generate().unwrap();
    let start = || {
        start_peer(
            server.addr.clone(),
            secret.clone(),
            AccessPolicy::anyone(),
            config(),
        )
    };
    let old = start();
    soon(old.registered()).await.unwrap();
    let new = start();
    soon(new.registered()).await.unwrap();
    let mut events = old.events();
    let replaced = async {
        loop {
            if let Event::LinkDown { reason, retry_in } = events.next().await.unwrap() {
                break (reason, retry_in);
            }
        }
    };
    assert_eq!(
        soon(replaced).await,
        (LinkFailure::Replaced, None),
        "two programs must not fight"
    );
    let a = server.peer(AccessPolicy::nobody()).await;
    let (asked, came) = soon(async { tokio::join!(a.connect(new.id()), new.incoming()) }).await;
    asked.unwrap();
    came.unwrap();
}

#[tokio::test]
async fn a_dropped_future_cancels_its_session() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let b = server.peer(AccessPolicy::ask()).await;
    let mut of_b = b.events();
    let request = {
        let asking = a.connect(b.id());
        tokio::pin!(asking);
        soon(async {
            tokio::select! {
                _ = &mut asking => panic!("nobody has accepted"),
                request = b.accept_request() => request.unwrap(),
            }
        })
        .await
    };
    // The other side hears of it, and there is nothing left to accept.
    let over = async {
        loop {
            if let Event::Failed {
                reason, session, ..
            } = of_b.next().await.unwrap()
            {
                break (reason, session);
            }
        }
    };
    assert_eq!(soon(over).await, (FailReason::Cancelled, request.session()));
    soon(request.accept()).await.unwrap_err();
    // And it left nothing behind.
    let (asked, accepted) = soon(async {
        tokio::join!(a.connect(b.id()), async {
            b.accept_request().await.unwrap().accept().await
        })
    })
    .await;
    asked.unwrap();
    accepted.unwrap();
}

#[tokio::test]
async fn dropping_at_any_moment_does_no_harm() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let b = server.peer(AccessPolicy::anyone()).await;
    for micros in (0..20_000).step_by(500) {
        let _ = timeout(Duration::from_micros(micros), a.connect(b.id())).await;
    }
    // What b got of it is cut or closed; a new one works.
    let whole = async {
        let near = a.connect(b.id()).await.unwrap();
        while b.incoming().await.unwrap().session() != near.session() {}
    };
    soon(whole).await;
}

#[tokio::test]
async fn a_server_that_comes_back_has_its_peers_back() {
    let secret = keyfile::generate().unwrap();
    let server = TestServer::from(server_builder(secret.clone())).await;
    let addr = server.addr.clone();
    let second = Duration::from_secs(1);
    let quick = || config().backoff(Duration::from_millis(50), second);
    let a = server.start_peer(AccessPolicy::nobody(), quick());
    let b = server.start_peer(AccessPolicy::anyone(), quick());
    soon(a.registered()).await.unwrap();
    soon(b.registered()).await.unwrap();
    soon(server.stop()).await;
    let gone = async {
        while matches!(a.link(), LinkStatus::Up { .. }) || matches!(b.link(), LinkStatus::Up { .. })
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(gone).await;

    // On the very same port: nothing of the last run may be in the way.
    let main = format!("127.0.0.1:{}", addr.port());
    let again = tcp_punch_tokio::Server::builder(secret)
        .main(main.parse::<tcp_punch_tokio::Bind>().unwrap())
        .assist(common::loopback())
        .assist(common::loopback())
        .allow_loopback(true);
    let _server = TestServer::from(again).await;
    soon(a.registered()).await.unwrap();
    soon(b.registered()).await.unwrap();
    let (asked, came) = soon(async { tokio::join!(a.connect(b.id()), b.incoming()) }).await;
    asked.unwrap();
    came.unwrap();
}
