//! The server by itself: binding, limits, garbage, stopping.

mod common;

use std::io;
use std::time::Duration;

use common::{TestServer, config, loopback, server_builder, soon};
use tcp_punch_tokio::{AccessPolicy, Bind, Event, Server, ServerError, keyfile};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

#[tokio::test]
async fn what_cannot_be_bound_says_why() {
    let secret = || keyfile::generate().unwrap();
    let error = Server::builder(secret())
        .assist(loopback())
        .bind()
        .await
        .unwrap_err();
    assert!(matches!(error, ServerError::NoMain));
    let error = Server::builder(secret())
        .main(loopback())
        .bind()
        .await
        .unwrap_err();
    assert!(matches!(error, ServerError::NoAssist));
    let error = server_builder(secret())
        .token([b'x'; 65])
        .bind()
        .await
        .unwrap_err();
    assert!(matches!(error, ServerError::Config(_)), "{error}");
    let many = (0..5).fold(server_builder(secret()), |builder, _| {
        builder.assist(loopback())
    });
    assert!(matches!(
        many.bind().await.unwrap_err(),
        ServerError::Config(_)
    ));

    let taken = server_builder(secret()).bind().await.unwrap();
    let addr = format!("127.0.0.1:{}", taken.addresses()[0].port());
    let error = server_builder(secret())
        .main(addr.parse::<Bind>().unwrap())
        .bind()
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&addr), "{error}");
}

#[tokio::test]
async fn what_was_given_is_advertised() {
    let bind = |text: &str| text.parse::<Bind>().unwrap();
    let server = Server::builder(keyfile::generate().unwrap())
        .main(bind("127.0.0.1:0=192.0.2.1:3478"))
        .main(bind("127.0.0.1:0"))
        .assist(bind("127.0.0.1:0=192.0.2.2"))
        .bind()
        .await
        .unwrap();
    let [first, second] = server.addresses() else {
        panic!()
    };
    assert_eq!((first.host(), first.port()), ("192.0.2.1", 3478));
    assert_eq!(second.host(), "127.0.0.1");
    assert_ne!(second.port(), 0);
    assert_eq!(server.assists()[0].ip.to_string(), "192.0.2.2");
    assert_ne!(server.assists()[0].port, 0);
}

#[tokio::test]
async fn peers_are_told_when_it_stops() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let mut events = a.events();
    let before = Instant::now();
    soon(server.stop()).await;
    assert!(
        before.elapsed() < Duration::from_secs(3),
        "it took {:?}",
        before.elapsed()
    );
    let told = async {
        loop {
            if let Event::LinkDown { retry_in, .. } = events.next().await.unwrap() {
                break retry_in;
            }
        }
    };
    assert!(soon(told).await.is_some(), "it will come back");
}

#[tokio::test]
async fn garbage_costs_its_own_connection_only() {
    let server = server_builder(keyfile::generate().unwrap())
        .bind()
        .await
        .unwrap();
    let addr = server.addresses()[0].clone();
    let ports: Vec<u16> = server
        .assists()
        .iter()
        .map(|end| end.port)
        .chain([addr.port()])
        .collect();
    let running = tokio::spawn(server.run(std::future::pending()));
    let garbage: [&[u8]; 4] = [
        &[0; 4_096],
        &[0xff; 4_096],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0, 1],
    ];
    let mut open = Vec::new();
    for port in ports {
        for bytes in garbage {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            // It may be closed while we write.
            let _ = stream.write_all(bytes).await;
            open.push(stream);
        }
    }
    let peer = common::start_peer(
        addr,
        keyfile::generate().unwrap(),
        AccessPolicy::nobody(),
        config(),
    );
    soon(peer.registered()).await.unwrap();
    // What is wrong at once is closed at once; the rest has a deadline.
    let mut closed = 0;
    for mut stream in open {
        let read =
            tokio::time::timeout(Duration::from_millis(100), stream.read(&mut [0; 64])).await;
        closed += usize::from(matches!(read, Ok(Ok(0) | Err(_))));
    }
    assert!(closed >= 6, "only {closed} of 12 were closed");
    running.abort();
}

#[tokio::test]
async fn one_address_cannot_take_all_places() {
    let server =
        TestServer::from(server_builder(keyfile::generate().unwrap()).max_connections(100, 3))
            .await;
    let connect = || TcpStream::connect(("127.0.0.1", server.addr.port()));
    let mut first = Vec::new();
    for _ in 0..3 {
        first.push(connect().await.unwrap());
    }
    // The reset may come before or after the connect has returned.
    let fourth = async { connect().await?.read(&mut [0; 1]).await };
    assert_eq!(
        soon(fourth).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionReset
    );
    // A place that is given up is free again.
    drop(first);
    let again = async {
        let wait = Duration::from_millis(100);
        while tokio::time::timeout(wait, async { connect().await?.read(&mut [0; 1]).await })
            .await
            .is_ok()
        {}
    };
    soon(again).await;
}

#[tokio::test]
async fn a_stranger_at_a_peers_port_is_no_trouble() {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let b = server.peer(AccessPolicy::anyone()).await;
    let tcp_punch_tokio::LinkStatus::Up { mapped } = b.link() else {
        panic!()
    };
    let mut strangers = Vec::new();
    for bytes in [
        &b""[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 2_000],
        &[0; 2_000],
    ] {
        let mut stranger = TcpStream::connect(("127.0.0.1", mapped.port))
            .await
            .unwrap();
        let _ = stranger.write_all(bytes).await;
        strangers.push(stranger);
    }
    let (asked, came) = soon(async { tokio::join!(a.connect(b.id()), b.incoming()) }).await;
    asked.unwrap();
    came.unwrap();
    // The silent one as well, by its deadline.
    for mut stranger in strangers {
        let read = soon(stranger.read(&mut [0; 1])).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
}

#[tokio::test]
async fn dropping_a_running_server_closes_everything() {
    let server = server_builder(keyfile::generate().unwrap())
        .bind()
        .await
        .unwrap();
    let port = server.addresses()[0].port();
    let running = tokio::spawn(server.run(std::future::pending()));
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(&[0]).await.unwrap();
    running.abort();
    let ended = soon(stream.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}
