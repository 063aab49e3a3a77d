//! Golden vectors: what version 1 looks like, byte by byte.

#![allow(clippy::print_stdout, reason = "a test says what it measured")]
//!
//! A vector is never changed. Where one is missing (a new message), running with
//! `TCP_PUNCH_NEW_VECTORS=1` writes it.

use std::fmt::Write as _;
use std::path::PathBuf;

use tcp_punch_proto::nat::{Allocation, EarlySyn, Filtering};
use tcp_punch_proto::plan::Abilities;
use tcp_punch_proto::rendezvous::Rejection;
use tcp_punch_proto::wire::{
    AssistToken, Cancel, Clear, Connect, Consent, DialBackOutcome, Empty, Extensions, Go, Moved,
    Notify, Observed, Ping, Probe, Probed, Ready, Refused, Register, Registered, Rejected, Report,
    Request, RoundReady, SessionPayload, Side, StreamHello, ToPeer, ToServer,
};
use tcp_punch_proto::{
    Candidate, CandidateKind, Endpoint, FailReason, LinkHandle, Mapping, NatReport, PeerId,
    SessionId, Strategies, StreamMode, noise,
};

const NONE: Extensions<'static> = Extensions::NONE;
const SESSION: SessionId = SessionId::from_bytes(*b"sixteen bytes id");
const PEER: PeerId = PeerId::from_bytes([0xAB; 32]);

fn endpoint(text: &str) -> Endpoint {
    text.parse::<std::net::SocketAddr>().unwrap().into()
}

fn candidate(kind: CandidateKind, text: &str) -> Candidate {
    Candidate {
        kind,
        endpoint: endpoint(text),
    }
}

fn report() -> NatReport {
    NatReport {
        translated: Some(true),
        mapping: Mapping::AddressAndPortDependent,
        mapping_from_two_addresses: true,
        allocation: Allocation::Step(-256),
        preserves_port: Some(false),
        filtering: Filtering::AddressAndPortDependent,
        early_syn: EarlySyn::Reset,
        hairpin: Some(false),
        levels: Some(2),
        seen: 3,
        revision: 5,
    }
}

fn abilities() -> Abilities {
    Abilities {
        hops: Some(3),
        raw: true,
        spoof: false,
        dials: 1_280,
    }
}

fn side(last: u8) -> Side {
    Side {
        rtt_us: 40_000,
        jitter_us: 500,
        report: report(),
        abilities: abilities(),
        window: 20,
        candidates: [
            candidate(CandidateKind::Mapped, &format!("198.51.100.{last}:40000")),
            candidate(CandidateKind::Mapped, &format!("[2001:db8::{last}]:40001")),
            candidate(CandidateKind::Host, &format!("192.168.1.{last}:40002")),
            candidate(CandidateKind::Host, &format!("[fd00::{last}]:40003")),
        ]
        .into_iter()
        .collect(),
    }
}

fn bytes<const N: usize>(list: &[u8]) -> heapless::Vec<u8, N> {
    heapless::Vec::from_slice(list).unwrap()
}

fn bytes_of<T: Copy, const N: usize>(list: &[T]) -> heapless::Vec<T, N> {
    list.iter().copied().collect()
}

fn to_server() -> Vec<(&'static str, ToServer<'static>)> {
    let ping = Ping {
        number: 300,
        extensions: NONE,
    };
    let hosts = || {
        ["192.168.1.2", "fd00::2"]
            .iter()
            .map(|ip| ip.parse().unwrap())
            .collect()
    };
    vec![
        (
            "register",
            ToServer::Register(Register {
                token: b"token",
                consent: Consent {
                    anyone: false,
                    named: [PEER].into_iter().collect(),
                },
                strategies: Strategies::ANY,
                port: 40_000,
                hosts: hosts(),
                extensions: NONE,
            }),
        ),
        ("ping", ToServer::Ping(ping)),
        ("pong", ToServer::Pong(ping)),
        ("pong_ack", ToServer::PongAck(ping)),
        (
            "request",
            ToServer::Request(Request {
                session: SESSION,
                to: PEER,
                strategies: Strategies::ANY,
                ports: [40_000, 40_001].into_iter().collect(),
                noise: bytes(&[1; 112]),
                extensions: NONE,
            }),
        ),
        (
            "ready",
            ToServer::Ready(Ready {
                session: SESSION,
                noise: bytes(&[2; 55]),
                extensions: NONE,
            }),
        ),
        (
            "refuse",
            ToServer::Refuse(Refused {
                session: SESSION,
                reason: FailReason::NotAllowed,
                extensions: NONE,
            }),
        ),
        (
            "cancel",
            ToServer::Cancel(Cancel {
                session: SESSION,
                extensions: NONE,
            }),
        ),
        (
            "report",
            ToServer::Report(Report {
                report: report(),
                abilities: abilities(),
                extensions: NONE,
            }),
        ),
        (
            "round_ready",
            ToServer::RoundReady(RoundReady {
                session: SESSION,
                round: 2,
                ports: bytes_of(&[40_002, 40_003]),
                sequence: Some(u32::MAX),
                spoof: true,
                extensions: NONE,
            }),
        ),
        (
            "probe",
            ToServer::Probe(Probe {
                port: 40_000,
                extensions: NONE,
            }),
        ),
        (
            "moved",
            ToServer::Moved(Moved {
                hosts: hosts(),
                extensions: NONE,
            }),
        ),
    ]
}

fn to_peer() -> Vec<(&'static str, ToPeer<'static>)> {
    let ping = Ping {
        number: 300,
        extensions: NONE,
    };
    vec![
        ("ping", ToPeer::Ping(ping)),
        ("pong", ToPeer::Pong(ping)),
        ("pong_ack", ToPeer::PongAck(ping)),
        (
            "registered",
            ToPeer::Registered(Registered {
                mapped: endpoint("198.51.100.1:40000"),
                handle: LinkHandle(0x0102_0304_0506_0708),
                assist_secret: [7; 32],
                assists: [endpoint("203.0.113.1:3479"), endpoint("[2001:db8::1]:3479")]
                    .into_iter()
                    .collect(),
                keep_alive_ms: 15_000,
                lease_ms: 45_000,
                epoch: 9,
                extensions: NONE,
            }),
        ),
        (
            "rejected",
            ToPeer::Rejected(Rejected {
                reason: Rejection::Token,
                extensions: NONE,
            }),
        ),
        ("replaced", ToPeer::Replaced(Empty { extensions: NONE })),
        (
            "probed",
            ToPeer::Probed(Probed {
                port: 40_000,
                other_address: true,
                outcome: DialBackOutcome::Refused,
                extensions: NONE,
            }),
        ),
        (
            "observed",
            ToPeer::Observed(Observed {
                port: 40_000,
                assist: 1,
                mapped: endpoint("198.51.100.1:40000"),
                extensions: NONE,
            }),
        ),
        (
            "notify",
            ToPeer::Notify(Notify {
                session: SESSION,
                from: PEER,
                in_advance: true,
                hold_us: 50_000,
                strategies: Strategies::ANY,
                requester: side(1),
                responder: side(2),
                noise: bytes(&[1; 112]),
                extensions: NONE,
            }),
        ),
        (
            "connect",
            ToPeer::Connect(Connect {
                session: SESSION,
                hold_us: 0,
                strategies: Strategies::ANY,
                requester: side(1),
                responder: side(2),
                noise: bytes(&[2; 55]),
                extensions: NONE,
            }),
        ),
        (
            "refused",
            ToPeer::Refused(Refused {
                session: SESSION,
                reason: FailReason::Gone,
                extensions: NONE,
            }),
        ),
        (
            "cancelled",
            ToPeer::Cancelled(Cancel {
                session: SESSION,
                extensions: NONE,
            }),
        ),
        (
            "go",
            ToPeer::Go(Go {
                session: SESSION,
                round: 1,
                hold_us: 7_000,
                requester: side(1),
                responder: side(2),
                sequence: Some(0x0102_0304),
                extensions: NONE,
            }),
        ),
    ]
}

fn clear() -> Vec<(&'static str, Clear<'static>)> {
    vec![
        (
            "assist_token",
            Clear::AssistToken(AssistToken {
                handle: LinkHandle(0x0102_0304_0506_0708),
                port: 40_000,
                sequence: 3,
                mac: [4; 16],
                extensions: NONE,
            }),
        ),
        (
            "assist_keep_alive",
            Clear::AssistKeepAlive(Empty { extensions: NONE }),
        ),
        (
            "stream_hello",
            Clear::StreamHello(StreamHello {
                session: SESSION,
                role: noise::Role::Responder,
                version: 1,
                nonce: [5; 16],
                noise: &[2; 55],
                mac: &[6; 16],
                extensions: NONE,
            }),
        ),
    ]
}

fn vector(name: &str, encoded: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(format!("{name}.hex"));
    let mut hex = encoded.chunks(32).fold(String::new(), |mut text, line| {
        for byte in line {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
        text
    });
    if !path.exists() && std::env::var_os("TCP_PUNCH_NEW_VECTORS").is_some() {
        std::fs::write(&path, &hex).unwrap();
    }
    let mut golden = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    golden.retain(|character| !character.is_whitespace());
    hex.retain(|character| !character.is_whitespace());
    assert_eq!(hex, golden, "{name}: a published body never changes");
}

macro_rules! check {
    ($set:ident, $prefix:literal, $list:expr) => {
        let list = $list;
        for (name, message) in &list {
            let mut out = [0; 1_008];
            let len = message.encode(&mut out).expect(name);
            vector(&format!("{}_{name}", $prefix), &out[..len]);
            assert_eq!(
                $set::decode(&out[..len]).expect(name).as_ref(),
                Some(message),
                "{name}"
            );
            for cut in 0..len {
                assert!($set::decode(&out[..cut]).is_err(), "{name} cut at {cut}");
            }
            out[len] = 0;
            assert!(
                $set::decode(&out[..=len]).is_err(),
                "{name} with a byte behind it"
            );

            // What a later version adds is skipped by this one.
            out[len - 1] = 5;
            out[len..len + 5].copy_from_slice(&[99, 3, 1, 2, 3]);
            let newer = $set::decode(&out[..len + 5]).expect(name);
            assert!(newer.is_some(), "{name} with an extension");
        }
        let mut names: Vec<_> = list.iter().map(|(name, _)| name.replace('_', "")).collect();
        let mut known: Vec<_> = $set::TYPES
            .iter()
            .map(|(_, name)| name.to_lowercase())
            .collect();
        names.sort();
        known.sort();
        assert_eq!(names, known, "every message has its vector");
    };
}

#[test]
fn messages_to_the_server() {
    check!(ToServer, "to_server", to_server());
}

#[test]
fn messages_to_a_peer() {
    check!(ToPeer, "to_peer", to_peer());
}

#[test]
fn messages_in_clear() {
    check!(Clear, "clear", clear());
}

#[test]
fn the_payload_of_the_session_handshake() {
    let payload = SessionPayload {
        mode: StreamMode::Bare,
        max_record: 16_384,
        extensions: NONE,
    };
    let mut out = [0; 32];
    let len = payload.encode(&mut out).unwrap();
    vector("session_payload", &out[..len]);
    assert_eq!(SessionPayload::decode(&out[..len]), Ok(payload));
}

#[test]
fn unknown_types_are_skipped() {
    assert_eq!(ToPeer::decode(&[0xEE, 1, 2, 3]), Ok(None));
    assert_eq!(ToServer::decode(&[0xEE]), Ok(None));
    assert_eq!(Clear::decode(&[0xEE]), Ok(None));
}

#[test]
fn unknown_and_surplus_list_elements_are_skipped() {
    // Moved, with three hosts of which the first is of a kind from the future.
    let body = [
        0x18, 3, 77, 2, 0xFF, 0xFF, 4, 4, 10, 0, 0, 1, 4, 4, 10, 0, 0, 2, 0,
    ];
    let Ok(Some(ToServer::Moved(moved))) = ToServer::decode(&body) else {
        panic!("not read")
    };
    let hosts: Vec<String> = moved.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["10.0.0.1", "10.0.0.2"]);
    let surplus: Vec<u8> = [0x18, 9]
        .into_iter()
        .chain((1..=9).flat_map(|n| [4, 4, 10, 0, 0, n]))
        .chain([0])
        .collect();
    let Ok(Some(ToServer::Moved(moved))) = ToServer::decode(&surplus) else {
        panic!("not read")
    };
    assert_eq!(moved.hosts.len(), 4);
}

#[test]
fn the_largest_messages_fit_in_a_frame() {
    let v6 = candidate(
        CandidateKind::Mapped,
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535",
    );
    let side = Side {
        rtt_us: u32::MAX,
        jitter_us: u32::MAX,
        report: NatReport {
            revision: u16::MAX,
            seen: u8::MAX,
            ..report()
        },
        abilities: abilities(),
        window: u16::MAX,
        candidates: std::iter::repeat_n(v6, 8).collect(),
    };
    let notify = ToPeer::Notify(Notify {
        session: SESSION,
        from: PEER,
        in_advance: true,
        hold_us: u32::MAX,
        strategies: Strategies::ANY,
        requester: side.clone(),
        responder: side,
        noise: bytes(&[1; 160]),
        extensions: NONE,
    });
    let register = ToServer::Register(Register {
        token: &[1; 64],
        consent: Consent {
            anyone: true,
            named: std::iter::repeat_n(PEER, 16).collect(),
        },
        strategies: Strategies::ANY,
        port: u16::MAX,
        hosts: std::iter::repeat_n("ffff::1".parse().unwrap(), 4).collect(),
        extensions: NONE,
    });
    let mut out = [0; tcp_punch_proto::wire::MAX_FRAME - noise::TAG_LEN];
    let largest = [
        notify.encode(&mut out).unwrap(),
        register.encode(&mut out).unwrap(),
    ];
    println!(
        "largest messages: notify {}, register {} bytes",
        largest[0], largest[1]
    );
}

#[test]
fn the_document_lists_every_message() {
    let document = include_str!("../docs/wire.md");
    for (code, name) in ToServer::TYPES
        .iter()
        .chain(ToPeer::TYPES)
        .chain(Clear::TYPES)
    {
        let row = format!("| 0x{code:02x} | {name} |");
        assert!(document.contains(&row), "docs/wire.md lacks {row:?}");
    }
}
