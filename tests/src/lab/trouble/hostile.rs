//! Strangers: garbage to every port, connections that say nothing, a wrong host where a peer should be.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::tools::{listener, session, stage, usual};
use super::{Context, Trouble, Verdict};
use crate::lab::nat::NatKind;
use crate::lab::netns::Namespace;
use crate::lab::procs::Running;
use crate::lab::rng::Rng;
use crate::lab::service::Service;
use crate::lab::standing::learnt;
use crate::lab::topology::Layout;

pub(super) const ALL: &[Trouble] = &[
    Trouble {
        what: "garbage to the server's ports",
        expected: "server lives, a stream",
        run: garbage_to_server,
    },
    Trouble {
        what: "garbage to a peer's port",
        expected: "peer lives, a stream",
        run: garbage_to_peer,
    },
    Trouble {
        what: "silent strangers at a peer's port",
        expected: "a stream",
        run: silent_strangers,
    },
    Trouble {
        what: "wrong host at a LAN candidate",
        expected: "a stream with the right one",
        run: wrong_host,
    },
];

/// Strangers at a port at one time.
const STRANGERS: usize = 20;
const SHORT: Duration = Duration::from_secs(2);

/// What a stranger may send: noise, frames that are too long, empty, cut, or of a type that does not exist.
fn garbage() -> Vec<Vec<u8>> {
    let mut rng = Rng::new(1);
    let mut noise = |length: usize| -> Vec<u8> { (0..length).map(|_| rng.bits() as u8).collect() };
    let mut pieces = vec![
        vec![0xff; 70_000],
        vec![0; 4096],
        vec![0xff, 0xff],
        vec![0x04, 0x01, 0x01],
        vec![0, 1],
        b"GET / HTTP/1.1\r\nHost: example\r\n\r\n".to_vec(),
        Vec::new(),
    ];
    pieces.extend([1, 2, 3, 16, 64, 1024, 65_536].map(&mut noise));
    // Frames that are right in length, and full of noise.
    pieces.extend([1u16, 48, 96, 512, 1024].map(|length| {
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend(noise(length.into()));
        frame
    }));
    pieces
}

/// Sends every piece of garbage over a connection of its own, and keeps these open.
fn send_garbage(from: &Namespace, to: SocketAddr) -> io::Result<Vec<TcpStream>> {
    from.run(move || {
        garbage()
            .into_iter()
            .map(|piece| {
                let mut stream = TcpStream::connect_timeout(&to, SHORT)?;
                stream.set_write_timeout(Some(SHORT))?;
                // Being thrown out in the middle of it is a right answer.
                let _ = stream.write_all(&piece);
                Ok(stream)
            })
            .collect()
    })
}

fn garbage_to_server(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let mut server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let _listener = listener(&stage, &server, &service)?;
    let mut kept = Vec::new();
    for port in [
        stage.main_endpoint(),
        stage.assist_endpoints()[0],
        stage.assist_endpoints()[1],
    ] {
        kept.push(send_garbage(&stage.network.a.namespace, port)?);
    }
    session(&stage, &server)?;
    drop(kept);
    session(&stage, &server)?;
    if server.running.exit(std::time::Instant::now()).is_some() {
        return Err(format!("the server ended: {}", server.running.log().words()).into());
    }
    Ok("two streams, with the garbage there and after it".to_owned())
}

/// A listener on a host without NAT: anybody can reach its port.
fn garbage_to_peer(context: &Context<'_>) -> Verdict {
    let stage = stage(
        context,
        Layout {
            a: vec![NatKind::DROP],
            ..Layout::default()
        },
    )?;
    let server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let mut listener = listener(&stage, &server, &service)?;
    let ports = peer_ports(&listener, &stage.network.b.namespace, &service)?;
    let mut kept = Vec::new();
    for port in &ports {
        kept.push(send_garbage(
            &stage.network.s.namespace,
            (stage.network.b.addresses.v4, *port).into(),
        )?);
    }
    session(&stage, &server)?;
    drop(kept);
    session(&stage, &server)?;
    if listener.exit(std::time::Instant::now()).is_some() {
        return Err(format!("the listener ended: {}", listener.log().words()).into());
    }
    Ok(format!("two streams, {} port(s) open", ports.len()))
}

fn silent_strangers(context: &Context<'_>) -> Verdict {
    let stage = stage(
        context,
        Layout {
            a: vec![NatKind::DROP],
            ..Layout::default()
        },
    )?;
    let server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let listener = listener(&stage, &server, &service)?;
    let ports = peer_ports(&listener, &stage.network.b.namespace, &service)?;
    let address = stage.network.b.addresses.v4;
    let kept = stage.network.s.namespace.run(move || {
        let all = ports
            .iter()
            .flat_map(|port| std::iter::repeat_n(SocketAddr::from((address, *port)), STRANGERS));
        all.map(|to| TcpStream::connect_timeout(&to, SHORT))
            .collect::<io::Result<Vec<_>>>()
    })?;
    session(&stage, &server)?;
    Ok(format!("a stream beside {} strangers", kept.len()))
}

/// Both homes use the same private network, as homes do, and are behind one carrier: in A's home, B's private
/// address is somebody else's.
fn wrong_host(context: &Context<'_>) -> Verdict {
    let hairpin = NatKind::named("hairpin").ok_or("no such NAT")?;
    let layout = Layout {
        a: vec![NatKind::DROP],
        b: vec![NatKind::DROP],
        shared: vec![hairpin],
    };
    let mut stage = stage(context, layout)?;
    let server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let listener = listener(&stage, &server, &service)?;
    let ports = peer_ports(&listener, &stage.network.b.namespace, &service)?;
    let [.., number] = stage.network.b.addresses.v4.octets();
    let stranger = stage.network.add_host("stranger", "nat-a", number)?;
    // Their queues accept for them, and nobody ever says a word.
    let silent = stranger.namespace.run(move || {
        let listen = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port));
        ports.iter().map(listen).collect::<io::Result<Vec<_>>>()
    })?;
    session(&stage, &server)?;
    let mut met = 0;
    for listener in &silent {
        listener.set_nonblocking(true)?;
        met += std::iter::from_fn(|| listener.accept().ok()).count();
    }
    if met == 0 {
        return Err("a stream, but nobody dialled the wrong host: it proves nothing".into());
    }
    Ok(format!("a stream, {met} connection(s) to the wrong host"))
}

/// The ports on which a peer's program listens, its host's service apart. It has found its NAT out by then: the
/// port that the server dials back for that is closed soon.
fn peer_ports(
    peer: &Running,
    namespace: &Namespace,
    service: &Service,
) -> Result<Vec<u16>, Box<dyn std::error::Error + Send + Sync>> {
    learnt(peer)?;
    let mut ports = namespace.listening()?;
    ports.retain(|port| *port != service.address().port());
    if ports.is_empty() {
        return Err("the peer listens on no port".into());
    }
    Ok(ports)
}
