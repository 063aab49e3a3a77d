//! Bytes over a punched stream: all of them, in order, and only as fast as they
//! are read.

mod common;

use std::io;
use std::time::Duration;

use common::{TestServer, config, pattern, soon};
use tcp_punch_tokio::{AccessPolicy, PunchedStream, SessionOptions, StreamMode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

async fn stream(mode: StreamMode) -> (PunchedStream, PunchedStream) {
    let server = TestServer::start().await;
    let a = server.peer(AccessPolicy::nobody()).await;
    let b = server.start_peer(AccessPolicy::anyone(), config().stream_mode(mode));
    soon(b.registered()).await.unwrap();
    let options = SessionOptions {
        mode,
        ..SessionOptions::default()
    };
    let (asked, came) =
        soon(async { tokio::join!(a.connect_with(b.id(), options), b.incoming()) }).await;
    (asked.unwrap(), came.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_arrive_both_ways_at_once() {
    const LEN: usize = 8 << 20;

    async fn both_ways(stream: PunchedStream) {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let sent = pattern(LEN);
        let send = async {
            writer.write_all(&sent).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let ((), read) = tokio::join!(send, reader.read_to_end(&mut got));
        assert_eq!(read.unwrap(), LEN);
        assert!(got == sent);
    }

    for mode in [StreamMode::Records, StreamMode::Bare] {
        let (near, far) = stream(mode).await;
        let (near, far) = (tokio::spawn(both_ways(near)), tokio::spawn(both_ways(far)));
        soon(near).await.unwrap();
        soon(far).await.unwrap();
    }
}

#[tokio::test]
async fn a_writer_waits_for_its_reader() {
    let (mut near, mut far) = stream(StreamMode::Records).await;
    let mut sent = 0_usize;
    // The kernels take some megabytes on loopback; then it must stop.
    let stuck = timeout(Duration::from_secs(5), async {
        let pause = Duration::from_millis(300);
        while let Ok(written) = timeout(pause, near.write(&[7; 64 * 1024])).await {
            sent += written.unwrap();
        }
    });
    stuck.await.expect("it takes bytes without bound");
    // And go on when they are read.
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        all.len()
    });
    soon(near.shutdown()).await.unwrap();
    assert_eq!(soon(reader).await.unwrap(), sent);
}

#[tokio::test]
async fn each_direction_ends_by_itself() {
    let (mut near, mut far) = stream(StreamMode::Records).await;
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    let mut question = String::new();
    soon(far.read_to_string(&mut question)).await.unwrap();
    assert_eq!(question, "question");
    tokio::time::sleep(Duration::from_millis(50)).await;
    far.write_all(b"answer").await.unwrap();
    far.shutdown().await.unwrap();
    let mut answer = String::new();
    soon(near.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "answer");
}

#[tokio::test]
async fn a_stream_that_is_cut_is_no_stream_that_ended() {
    let (mut near, mut far) = stream(StreamMode::Records).await;
    near.write_all(b"half of it").await.unwrap();
    drop(near);
    let mut got = Vec::new();
    let error = soon(far.read_to_end(&mut got)).await.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
        ),
        "{error}"
    );
    assert_eq!(got, b"half of it");
}
