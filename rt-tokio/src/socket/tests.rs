use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const ANY: Endpoint = Endpoint::unspecified(Family::V4, 0);

fn loopback(port: u16) -> Endpoint {
    Endpoint::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

async fn connected(stream: &TcpStream) -> Result<(), DialError> {
    poll_fn(|cx| poll_connected(stream, cx)).await
}

#[tokio::test]
async fn one_port_listens_and_dials_at_once() {
    let listener = listen_shared(ANY).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = listen_alone(loopback(0)).unwrap();
    let remote = Endpoint::from(server.local_addr().unwrap());

    let dialled = dial(
        Endpoint::unspecified(Family::V4, port),
        remote,
        Hops::Default,
    )
    .unwrap();
    connected(&dialled).await.unwrap();
    let (_, from) = server.accept().await.unwrap();
    assert_eq!(from.port(), port);

    // And somebody can reach the listener meanwhile.
    let visitor = dial(ANY, loopback(port), Hops::Default).unwrap();
    connected(&visitor).await.unwrap();
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn a_refused_dial_is_an_error_and_never_up() {
    let port = {
        let gone = listen_alone(loopback(0)).unwrap();
        gone.local_addr().unwrap().port()
    };
    let error = match dial(ANY, loopback(port), Hops::Default) {
        Ok(stream) => connected(&stream).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.failure(), Failure::Refused);
}

#[tokio::test]
async fn the_same_four_tuple_cannot_be_dialled_twice() {
    let server = listen_alone(loopback(0)).unwrap();
    let remote = Endpoint::from(server.local_addr().unwrap());
    let first = dial(ANY, remote, Hops::Default).unwrap();
    connected(&first).await.unwrap();
    let again = dial(
        Endpoint::from(first.local_addr().unwrap()),
        remote,
        Hops::Default,
    )
    .unwrap_err();
    assert_eq!(again.failure(), Failure::AddressNotAvailable);
}

#[tokio::test]
async fn a_server_port_is_shared_with_nobody() {
    let server = listen_alone(loopback(0)).unwrap();
    let taken = Endpoint::from(server.local_addr().unwrap());
    assert_eq!(
        failure(&listen_alone(taken).unwrap_err()),
        Failure::AddressInUse
    );
    assert_eq!(
        failure(&listen_shared(taken).unwrap_err()),
        Failure::AddressInUse
    );
}

#[tokio::test]
async fn the_hop_limit_is_for_the_first_syn_only() {
    let server = listen_alone(loopback(0)).unwrap();
    let remote = Endpoint::from(server.local_addr().unwrap());
    let usual = dial(ANY, remote, Hops::Default).unwrap().ttl().unwrap();
    let limited = dial(ANY, remote, Hops::Short(7)).unwrap();
    assert_eq!(limited.ttl().unwrap(), usual);
    connected(&limited).await.unwrap();
}

#[tokio::test]
async fn a_reset_is_seen_as_one() {
    let server = listen_alone(loopback(0)).unwrap();
    let mut client = dial(
        ANY,
        Endpoint::from(server.local_addr().unwrap()),
        Hops::Default,
    )
    .unwrap();
    connected(&client).await.unwrap();
    let (accepted, _) = server.accept().await.unwrap();
    reset(accepted);
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(failure(&error), Failure::Reset);
}

#[tokio::test]
async fn an_accepted_stream_carries_bytes() {
    let server = listen_alone(loopback(0)).unwrap();
    let mut client = dial(
        ANY,
        Endpoint::from(server.local_addr().unwrap()),
        Hops::Default,
    )
    .unwrap();
    connected(&client).await.unwrap();
    let (mut accepted, _) = server.accept().await.unwrap();
    prepare_accepted(&accepted).unwrap();
    client.write_all(b"x").await.unwrap();
    assert_eq!(accepted.read_u8().await.unwrap(), b'x');
}

#[cfg(unix)]
#[test]
fn errors_have_their_names() {
    for (number, expected) in [
        (libc::ECONNREFUSED, Failure::Refused),
        (libc::ECONNRESET, Failure::Reset),
        (libc::EPIPE, Failure::Reset),
        (libc::EHOSTUNREACH, Failure::Unreachable),
        (libc::ENETUNREACH, Failure::Unreachable),
        (libc::EACCES, Failure::Unreachable),
        (libc::EPERM, Failure::Forbidden),
        (libc::ETIMEDOUT, Failure::TimedOut),
        (libc::EADDRINUSE, Failure::AddressInUse),
        (libc::EADDRNOTAVAIL, Failure::AddressNotAvailable),
        (libc::EMFILE, Failure::Exhausted),
        (libc::ENFILE, Failure::Exhausted),
        (libc::ENOBUFS, Failure::Exhausted),
        (libc::ENOMEM, Failure::Exhausted),
        (libc::EINVAL, Failure::Other),
    ] {
        assert_eq!(
            failure(&io::Error::from_raw_os_error(number)),
            expected,
            "{number}"
        );
    }
    assert_eq!(failure(&io::Error::other("no number")), Failure::Other);
}
