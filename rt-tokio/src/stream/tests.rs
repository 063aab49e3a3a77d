use std::time::Duration;

use proto::noise::{
    Handshake, MAX_RECORD_DATA, Pattern, Psk, RECORD_HEADER, RECORD_OVERHEAD, RecordKind, Records,
    SecretKey, SessionKeys,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

/// The keys of one session, at both ends.
fn records() -> (Records, Records) {
    let (a, b) = (
        SecretKey::from_bytes([1; 32]),
        SecretKey::from_bytes([2; 32]),
    );
    let psk = Psk::NONE;
    let mut asks = Handshake::initiator(Pattern::IkPsk2, b"", &a, &b.public(), &psk, [3; 32]);
    let mut answers = Handshake::responder(Pattern::IkPsk2, b"", &b, &psk, [4; 32]);
    let (mut message, mut payload) = ([0; 256], [0; 256]);
    let len = asks.write_message(b"", &mut message).unwrap();
    answers.read_message(&message[..len], &mut payload).unwrap();
    let len = answers.write_message(b"", &mut message).unwrap();
    asks.read_message(&message[..len], &mut payload).unwrap();
    let keys = |side: &Handshake, role| {
        SessionKeys::new(&side.finish().unwrap())
            .stream_keys(&[5; 16], &[6; 16])
            .records(role)
    };
    (
        keys(&asks, Role::Requester),
        keys(&answers, Role::Responder),
    )
}

/// A record stream over anything, as `PunchedStream` is over TCP.
struct Over<S> {
    io: S,
    records: RecordStream,
}

impl<S: AsyncRead + Unpin> AsyncRead for Over<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, records } = &mut *self;
        records.poll_read(io, cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Over<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { io, records } = &mut *self;
        records.poll_write(io, cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, records } = &mut *self;
        records.poll_flush(io, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, records } = &mut *self;
        records.poll_shutdown(io, cx)
    }
}

fn pair(capacity: usize) -> (Over<DuplexStream>, Over<DuplexStream>) {
    let (near, far) = duplex(capacity);
    let (a, b) = records();
    (
        Over {
            io: near,
            records: RecordStream::new(a, MAX_RECORD_DATA),
        },
        Over {
            io: far,
            records: RecordStream::new(b, MAX_RECORD_DATA),
        },
    )
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i.wrapping_mul(31) ^ (i >> 8)) as u8)
        .collect()
}

#[tokio::test]
async fn bytes_pass_both_ways_at_once_through_a_narrow_pipe() {
    // Every capacity cuts the records elsewhere; writes wait for reads.
    for capacity in [1, 2, 3, 17, 4_096, 1 << 20] {
        let len = if capacity < 4_096 { 40_000 } else { 400_000 };
        let (a, b) = pair(capacity);
        let run = |stream: Over<DuplexStream>| async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let sent = pattern(len);
            let (all, ()) = tokio::join!(
                async {
                    let mut all = Vec::new();
                    reader.read_to_end(&mut all).await.unwrap();
                    all
                },
                async {
                    writer.write_all(&sent).await.unwrap();
                    writer.shutdown().await.unwrap();
                },
            );
            assert!(all == pattern(len), "capacity {capacity}");
        };
        tokio::join!(run(a), run(b));
    }
}

#[tokio::test]
async fn no_record_is_larger_than_the_other_side_takes() {
    let (near, mut far) = duplex(1 << 20);
    let (a, _) = records();
    let mut a = Over {
        io: near,
        records: RecordStream::new(a, 100),
    };
    a.write_all(&pattern(1_050)).await.unwrap();
    a.shutdown().await.unwrap();
    let mut wire = Vec::new();
    far.read_to_end(&mut wire).await.unwrap();
    let mut sizes = Vec::new();
    let mut rest = wire.as_slice();
    while let Some((header, behind)) = rest.split_first_chunk::<RECORD_HEADER>() {
        let body = proto::noise::RecordOpener::body_len(*header).unwrap();
        sizes.push(RECORD_HEADER + body - RECORD_OVERHEAD);
        rest = &behind[body..];
    }
    let mut expected = vec![100; 10];
    expected.extend([50, 0]);
    assert_eq!(sizes, expected);
}

#[tokio::test]
async fn one_direction_ends_and_the_other_goes_on() {
    let (mut a, mut b) = pair(1_024);
    a.write_all(b"question").await.unwrap();
    a.shutdown().await.unwrap();
    let mut question = Vec::new();
    b.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"question");
    b.write_all(b"answer").await.unwrap();
    b.shutdown().await.unwrap();
    let mut answer = Vec::new();
    a.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
    // The end stays the end, and nothing can follow it.
    assert_eq!(a.read(&mut [0; 8]).await.unwrap(), 0);
    assert_eq!(
        a.write(b"late").await.unwrap_err().kind(),
        io::ErrorKind::BrokenPipe
    );
}

#[tokio::test]
async fn a_stream_without_its_close_record_was_cut() {
    let (mut a, b) = pair(1_024);
    let Over {
        io: mut raw,
        mut records,
    } = b;
    std::future::poll_fn(|cx| records.poll_write(&mut raw, cx, b"half"))
        .await
        .unwrap();
    // A FIN that anybody on the path could have made.
    raw.shutdown().await.unwrap();
    let mut got = Vec::new();
    let error = a.read_to_end(&mut got).await.unwrap_err();
    assert_eq!(
        (got.as_slice(), error.kind()),
        (&b"half"[..], io::ErrorKind::UnexpectedEof)
    );
}

#[tokio::test]
async fn a_changed_byte_ends_the_stream_for_good() {
    let (mut near, far) = duplex(1_024);
    let (mut a, b) = records();
    let mut record = [0; 64];
    let len = a
        .sealer
        .seal(RecordKind::Data, b"data", &mut record)
        .unwrap();
    record[len - 1] ^= 1;
    near.write_all(&record[..len]).await.unwrap();
    let mut b = Over {
        io: far,
        records: RecordStream::new(b, MAX_RECORD_DATA),
    };
    for _ in 0..2 {
        let error = b.read(&mut [0; 8]).await;
        if let Err(error) = error {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            let good = a
                .sealer
                .seal(RecordKind::Data, b"data", &mut record)
                .unwrap();
            near.write_all(&record[..good]).await.unwrap();
        } else {
            panic!("a changed record was taken");
        }
    }
}

#[tokio::test]
async fn records_that_no_application_may_see_are_errors() {
    for (kind, header) in [
        (Some(RecordKind::Nominate), None),
        (None, Some([0xff, 0xff])),
        (None, Some([0, 3])),
    ] {
        let (mut near, far) = duplex(1_024);
        let (mut a, b) = records();
        if let Some(kind) = kind {
            let mut record = [0; RECORD_OVERHEAD];
            a.sealer.seal(kind, b"", &mut record).unwrap();
            near.write_all(&record).await.unwrap();
        }
        if let Some(header) = header {
            near.write_all(&header).await.unwrap();
        }
        let mut b = Over {
            io: far,
            records: RecordStream::new(b, MAX_RECORD_DATA),
        };
        assert_eq!(
            b.read(&mut [0; 8]).await.unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}

#[tokio::test]
async fn empty_records_and_empty_reads_mean_nothing() {
    let (mut near, far) = duplex(1_024);
    let (mut a, b) = records();
    let mut record = [0; 64];
    for data in [&b""[..], b"x"] {
        let len = a.sealer.seal(RecordKind::Data, data, &mut record).unwrap();
        near.write_all(&record[..len]).await.unwrap();
    }
    let mut b = Over {
        io: far,
        records: RecordStream::new(b, MAX_RECORD_DATA),
    };
    assert_eq!(b.read(&mut []).await.unwrap(), 0);
    assert_eq!(b.read_u8().await.unwrap(), b'x');
}

#[tokio::test(start_paused = true)]
async fn writing_waits_when_nobody_reads() {
    let (mut a, _b) = pair(1_024);
    let sent = tokio::time::timeout(Duration::from_secs(1), async {
        let mut sent = 0;
        loop {
            sent += a.write(&[7; 1 << 20]).await.unwrap();
            assert!(sent < 1 << 20, "kept without bound");
        }
    });
    assert!(sent.await.is_err());
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(
        TcpStream::connect(listener.local_addr().unwrap()),
        listener.accept()
    );
    (near.unwrap(), far.unwrap().0)
}

fn punched(tcp: TcpStream, mode: StreamMode, records: Records, role: Role) -> PunchedStream {
    let facts = Facts {
        session: SessionId::from_bytes([1; 16]),
        peer: PeerId::from_bytes([2; 32]),
        role,
        strategy: Strategy::SimultaneousOpen,
        tried: Tried::default(),
        handshake_hash: [3; 32],
        local: tcp.local_addr().unwrap(),
        remote: tcp.peer_addr().unwrap(),
    };
    PunchedStream::new(tcp, mode, records, MAX_RECORD_DATA, facts)
}

async fn punched_pair(mode: StreamMode) -> (PunchedStream, PunchedStream) {
    let (near, far) = tcp_pair().await;
    let (a, b) = records();
    (
        punched(near, mode, a, Role::Requester),
        punched(far, mode, b, Role::Responder),
    )
}

#[tokio::test]
async fn both_modes_carry_bytes_and_end_in_order() {
    for mode in [StreamMode::Records, StreamMode::Bare] {
        let (mut a, mut b) = punched_pair(mode).await;
        let sent = pattern(1 << 20);
        let writer = tokio::spawn(async move {
            a.write_all(&sent).await.unwrap();
            a.shutdown().await.unwrap();
            a
        });
        let mut got = Vec::new();
        b.read_to_end(&mut got).await.unwrap();
        assert!(got == pattern(1 << 20));
        let a = writer.await.unwrap();
        assert_eq!(a.remote_addr(), b.local_addr());
        assert_eq!(a.role(), b.role().other());
    }
}

#[tokio::test]
async fn only_a_bare_stream_gives_its_socket_away() {
    let (a, b) = punched_pair(StreamMode::Records).await;
    assert!(!a.is_bare());
    let mut a = a.into_bare().unwrap_err();
    a.write_all(b"still a stream").await.unwrap();
    drop(b);

    let (a, b) = punched_pair(StreamMode::Bare).await;
    let (mut a, mut b) = (a.into_bare().unwrap(), b.into_bare().unwrap());
    a.write_all(b"as it is").await.unwrap();
    let mut got = [0; 8];
    b.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"as it is");
}

#[tokio::test]
async fn a_dropped_stream_is_seen_as_cut() {
    let (a, mut b) = punched_pair(StreamMode::Records).await;
    drop(a);
    assert_eq!(
        b.read(&mut [0; 8]).await.unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );
}

#[tokio::test]
async fn no_byte_of_the_application_shows_on_the_wire() {
    let (near, mut far) = tcp_pair().await;
    let (a, _) = records();
    let mut a = punched(near, StreamMode::Records, a, Role::Requester);
    a.write_all(b"a secret that shall not be seen")
        .await
        .unwrap();
    a.shutdown().await.unwrap();
    let mut wire = Vec::new();
    far.read_to_end(&mut wire).await.unwrap();
    assert_eq!(wire.len(), 31 + 2 * RECORD_OVERHEAD);
    assert!(!wire.windows(6).any(|window| window == b"secret"));
}
