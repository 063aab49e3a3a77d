//! Servers that are gone, go, or come back.

use std::thread;
use std::time::{Duration, Instant};

use super::tools::{SOON, listener, must_fail, session, usual};
use super::{Context, Trouble, Verdict};
use crate::lab::pair;
use crate::lab::service::Service;

pub(super) const ALL: &[Trouble] = &[
    Trouble {
        what: "no server there",
        expected: "exit 1, says so, 15 s",
        run: no_server,
    },
    Trouble {
        what: "server killed right after the request",
        expected: "exit 1, a reason, 20 s",
        run: killed_in_request,
    },
    Trouble {
        what: "server killed while a stream is up",
        expected: "the stream survives",
        run: killed_in_stream,
    },
    Trouble {
        what: "server restarted",
        expected: "listener back by itself, a stream",
        run: restarted,
    },
    Trouble {
        what: "server asked to stop (SIGTERM)",
        expected: "exit 0, 5 s",
        run: stopped,
    },
    Trouble {
        what: "listener left alone",
        expected: "still registered, a stream",
        run: idle,
    },
];

fn no_server(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    // It was there once: that is where the address comes from.
    let mut server = stage.server(&[])?;
    server.running.kill();
    let mut connector = stage.connect(&server.address, &["--timeout", "10"])?;
    must_fail(&mut connector, Duration::from_secs(15), &["no-server"])
}

fn killed_in_request(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let mut server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let _listener = listener(&stage, &server, &service)?;
    let mut connector = stage.connect(&server.address, &["--timeout", "10"])?;
    connector
        .log()
        .wait(0, &["requested"], Instant::now() + SOON)
        .ok_or("no request")?;
    // The request is still on its way: the path takes 5 ms.
    server.running.kill();
    must_fail(&mut connector, SOON, &[])
}

fn killed_in_stream(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let mut server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let _listener = listener(&stage, &server, &service)?;
    let mut connector = stage.connect(&server.address, &[])?;
    let deadline = Instant::now() + SOON;
    pair::greet(&mut connector, deadline)?;
    server.running.kill();
    // Both peers notice and begin to look for a server.
    thread::sleep(Duration::from_secs(3));
    pair::say_hello(&mut connector, 2, deadline)?;
    pair::finish(&mut connector, deadline)?;
    Ok("bytes both ways after 3 s without server, exit 0".to_owned())
}

fn restarted(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let mut server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let listener = listener(&stage, &server, &service)?;
    let before = listener.log().len();
    server.running.kill();
    thread::sleep(Duration::from_secs(2));
    let server = stage.server(&[])?;
    let back = Instant::now();
    // After 2 s the backoff has doubled twice: the next attempt is at most 4 s away, and registers at once.
    listener
        .log()
        .wait(before, &["registered"], back + Duration::from_secs(6))
        .ok_or("not back after 6 s")?;
    let took = back.elapsed();
    session(&stage, &server)?;
    Ok(format!("back after {:.1} s, a stream", took.as_secs_f64()))
}

fn stopped(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let mut server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let _listener = listener(&stage, &server, &service)?;
    server.running.stop();
    match server.running.exit(Instant::now() + Duration::from_secs(5)) {
        Some(status) if status.success() => Ok("exit 0".to_owned()),
        status => Err(format!("{status:?}; it said: {}", server.running.log().words()).into()),
    }
}

fn idle(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let listener = listener(&stage, &server, &service)?;
    let before = listener.log().len();
    thread::sleep(context.idle);
    let again = listener
        .log()
        .since(before)
        .iter()
        .any(|event| event.name == "registered");
    session(&stage, &server)?;
    if again {
        return Err("it had to register again".into());
    }
    Ok(format!("a stream after {} s", context.idle.as_secs()))
}
