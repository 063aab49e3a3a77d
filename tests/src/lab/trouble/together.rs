//! Many sessions at once, crossing ones, and one right after another.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::tools::{SOON, listener, must_fail, session, usual};
use super::{Context, Trouble, Verdict};
use crate::lab::netns::Namespace;
use crate::lab::pair::{HELLO, finish, greet, registered};
use crate::lab::service::{ANSWER, GREETING, Service};

pub(super) const ALL: &[Trouble] = &[
    Trouble {
        what: "standard input and output at both ends",
        expected: "bytes both ways, exit 0 twice",
        run: stdio,
    },
    Trouble {
        what: "both peers request each other at once",
        expected: "two streams",
        run: crossing,
    },
    Trouble {
        what: "ten parallel sessions of one pair",
        expected: "ten streams",
        run: ten_at_once,
    },
    Trouble {
        what: "a session right after a closed one",
        expected: "five streams",
        run: after_closed,
    },
    Trouble {
        what: "responder killed mid-punch",
        expected: "exit 1, a reason, 20 s; then a stream",
        run: killed_responder,
    },
];

fn stdio(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let server = stage.server(&[])?;
    let mut listener = stage.listen(&server.address, &["--allow", &stage.a.id])?;
    registered(&listener)?;
    let mut connector = stage.connect(&server.address, &[])?;
    let deadline = Instant::now() + SOON;
    // Written before there is a stream: it must wait, and not be lost.
    connector.write(HELLO)?;
    listener.write(GREETING)?;
    for (name, running, expected) in [("A", &connector, GREETING), ("B", &listener, HELLO)] {
        let got = running.stdout(expected.len(), deadline);
        if got != expected {
            return Err(format!("{name} got {:?}", String::from_utf8_lossy(&got)).into());
        }
    }
    drop(listener.take_stdin());
    finish(&mut connector, deadline).map_err(|e| format!("A: {e}"))?;
    finish(&mut listener, deadline).map_err(|e| format!("B: {e}"))?;
    Ok("bytes both ways, exit 0 twice".to_owned())
}

/// Each host listens under one id and connects under another: a program that registers an id takes it over.
fn crossing(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let server = stage.server(&[])?;
    let (a2, b2) = (stage.identity("a2")?, stage.identity("b2")?);
    let mut kept = Vec::new();
    for (host, who, friend) in [
        (&stage.network.a, &stage.a, &b2),
        (&stage.network.b, &stage.b, &a2),
    ] {
        let service = Service::greeter(&host.namespace)?;
        let forward = service.address().to_string();
        let arguments = ["--allow", &friend.id, "--forward", &forward];
        let listener = stage.listen_as(who, host, &server.address, &arguments)?;
        registered(&listener)?;
        kept.push((listener, service));
    }
    let mut from_a = stage.connect_as(&a2, &stage.network.a, &server.address, &stage.b.id, &[])?;
    let mut from_b = stage.connect_as(&b2, &stage.network.b, &server.address, &stage.a.id, &[])?;
    let deadline = Instant::now() + SOON;
    for (name, connector) in [("A", &mut from_a), ("B", &mut from_b)] {
        greet(connector, deadline).map_err(|e| format!("from {name}: {e}"))?;
    }
    for (name, connector) in [("A", &mut from_a), ("B", &mut from_b)] {
        finish(connector, deadline).map_err(|e| format!("from {name}: {e}"))?;
    }
    Ok("two streams".to_owned())
}

/// One `connect --forward`, so that all sessions are of the same two programs.
fn ten_at_once(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let _listener = listener(&stage, &server, &service)?;
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 8000));
    let connector = stage.connect(&server.address, &["--forward", &local.to_string()])?;
    let deadline = Instant::now() + SOON;
    connect_when_ready(&stage.network.a.namespace, local, deadline)?;
    let streams = stage.network.a.namespace.run(move || {
        (0..10)
            .map(|_| TcpStream::connect(local))
            .collect::<std::io::Result<Vec<_>>>()
    })?;
    let threads: Vec<_> = streams
        .into_iter()
        .map(|stream| thread::spawn(move || talk(stream)))
        .collect();
    let mut lost = Vec::new();
    for thread in threads {
        let told = thread.join().map_err(|_| "a thread panicked")?;
        lost.extend(told.err().map(|error| error.to_string()));
    }
    if !lost.is_empty() {
        let words = connector.log().words();
        return Err(format!(
            "{} of 10 lost: {}; connect said: {words}",
            lost.len(),
            lost.join(", ")
        )
        .into());
    }
    Ok("ten streams".to_owned())
}

/// `connect --forward` listens once it is registered. The connection that finds out is a session too.
fn connect_when_ready(
    namespace: &Namespace,
    local: SocketAddr,
    deadline: Instant,
) -> Result<(), String> {
    while Instant::now() < deadline {
        if let Ok(stream) = namespace.run(move || TcpStream::connect(local)) {
            return talk(stream).map_err(|e| format!("the first session: {e}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err("connect --forward does not listen".to_owned())
}

/// A conversation with the greeter over a forwarded connection.
fn talk(stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SOON))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    for (say, expected) in [(None, GREETING), (Some(HELLO), ANSWER)] {
        if let Some(words) = say {
            (&stream).write_all(words)?;
        }
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        if line != expected {
            return Err(std::io::Error::other(format!(
                "got {:?}",
                String::from_utf8_lossy(&line)
            )));
        }
    }
    Ok(())
}

fn after_closed(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let _listener = listener(&stage, &server, &service)?;
    for number in 1..=5 {
        session(&stage, &server).map_err(|e| format!("session {number}: {e}"))?;
    }
    Ok("five streams".to_owned())
}

fn killed_responder(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let mut killed = listener(&stage, &server, &service)?;
    let before = killed.log().len();
    let mut connector = stage.connect(&server.address, &["--timeout", "10"])?;
    killed
        .log()
        .wait(before, &["dialling"], Instant::now() + SOON)
        .ok_or("the responder does not dial")?;
    killed.kill();
    let got = must_fail(&mut connector, SOON, &[])?;
    let _listener = listener(&stage, &server, &service)?;
    session(&stage, &server).map_err(|e| format!("{got}; then: {e}"))?;
    Ok(format!("{got}; then a stream"))
}
