//! The program, as scripts use it.
#![cfg(feature = "cli")]

mod program;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use program::*;

/// A service that says everything back, and ends when its client does.
fn service() -> String {
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = service.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in service.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).unwrap();
                stream.write_all(&all).unwrap();
            });
        }
    });
    target
}
#[test]
fn keygen_and_id_agree_and_nothing_is_overwritten() {
    let scratch = Scratch::new("keys");
    let (key, id) = scratch.key("a");
    assert_eq!(id.len(), 52);
    let output = program().args(["id", "--key"]).arg(&key).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{id}\n"));
    assert!(output.stderr.is_empty());

    let before = std::fs::read(&key).unwrap();
    let again = program()
        .args(["keygen", "--out"])
        .arg(&key)
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(2));
    assert!(again.stdout.is_empty());
    assert!(
        String::from_utf8(again.stderr)
            .unwrap()
            .contains("never overwritten")
    );
    assert_eq!(std::fs::read(&key).unwrap(), before);
}

#[test]
fn usage_errors_end_with_two() {
    let scratch = Scratch::new("usage");
    let (key, id) = scratch.key("a");
    let key = key.to_str().unwrap();
    let server = format!("127.0.0.1:1/{id}");
    for args in [
        &["listen", "--server", &server, "--key", key][..],
        &[
            "listen",
            "--server",
            "127.0.0.1:1",
            "--key",
            key,
            "--allow-any",
        ],
        &["connect", "--server", &server, "--key", "/nonexistent", &id],
        &["connect", "--server", &server, "--key", key],
        &["connect", "--server", &server, "--key", key, &id],
        &["id", "--key", "/nonexistent"],
        &["nonsense"],
        &[],
    ] {
        let output = program().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
    for args in [&["--help"][..], &["connect", "--help"], &["--version"]] {
        assert_eq!(
            program().args(args).output().unwrap().status.code(),
            Some(0),
            "{args:?}"
        );
    }
}

#[test]
fn with_json_a_usage_error_is_json_too() {
    let scratch = Scratch::new("json-usage");
    let (_, id) = scratch.key("a");
    let server = format!("127.0.0.1:1/{id}");
    let output = peer("connect", &server, Path::new("/nonexistent"))
        .arg(&id)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let events = events(&output);
    let failed = find(&events, "failed");
    assert_eq!(failed["reason"], "usage");
    assert!(failed["message"].as_str().unwrap().contains("keygen"));
}

#[test]
fn the_demo_works_and_says_what_it_does_not_show() {
    let output = program().arg("demo").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Not shown: NATs"), "{text}");

    let output = program().args(["demo", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let events = events(&output);
    for name in [
        "registered",
        "requested",
        "notified",
        "dialling",
        "connected",
        "verified",
        "closed",
    ] {
        find(&events, name);
    }
}

#[cfg(unix)]
#[test]
fn a_server_drains_on_both_signals() {
    for signal in ["INT", "TERM"] {
        let scratch = Scratch::new(&format!("drain-{signal}"));
        let server = server(&scratch, &[]);
        let (key, _) = scratch.key("b");
        let _peer = listening(peer("listen", &server.addr, &key).arg("--allow-any"));
        server.process.signal(signal);
        let before = Instant::now();
        assert_eq!(server.process.end().status.code(), Some(0));
        assert!(
            before.elapsed() < Duration::from_secs(4),
            "{:?}",
            before.elapsed()
        );
    }
}

#[test]
fn standard_input_and_output_are_the_stream() {
    let scratch = Scratch::new("stdio");
    let server = server(&scratch, &[]);
    let ((a, a_id), (b, b_id)) = (scratch.key("a"), scratch.key("b"));
    for consent in ["ask", "open"] {
        let mut listener = listening(
            peer("listen", &server.addr, &b)
                .args(["--allow", &a_id, "--consent", consent])
                .stdin(Stdio::piped()),
        );
        let mut connector = Running::start(
            peer("connect", &server.addr, &a)
                .arg(&b_id)
                .stdin(Stdio::piped()),
        );
        // More than all buffers together, each way, and one end before the other.
        let sent: Vec<u8> = (0..=250_u8).cycle().take(5_000_000).collect();
        let (up, down) = (sent.clone(), sent.clone());
        let mut to_connector = connector.0.stdin.take().unwrap();
        let mut to_listener = listener.0.stdin.take().unwrap();
        let feeding = thread::spawn(move || {
            to_connector.write_all(&up).unwrap();
            drop(to_connector);
            to_listener.write_all(&down).unwrap();
        });
        let at_listener = thread::spawn(move || listener.end());
        let at_connector = connector.end();
        let at_listener = at_listener.join().unwrap();
        feeding.join().unwrap();
        assert_eq!(at_connector.status.code(), Some(0));
        assert_eq!(at_listener.status.code(), Some(0));
        assert!(
            at_connector.stdout == sent && at_listener.stdout == sent,
            "{consent}: other bytes arrived"
        );

        let events = events(&at_connector);
        let verified = find(&events, "verified");
        for field in ["strategy", "local", "remote", "attempts"] {
            assert!(
                !verified[field].is_null(),
                "{field} is missing in {verified}"
            );
        }
        assert_eq!(verified["peer"], b_id);
        assert_eq!(find(&events, "closed")["received"], sent.len());
    }
}

#[test]
fn connections_are_carried_each_over_its_own_stream() {
    let scratch = Scratch::new("forward");
    let server = server(&scratch, &["--token", "word"]);
    let ((a, a_id), (b, b_id)) = (scratch.key("a"), scratch.key("b"));
    let target = service();
    let _listener = listening(peer("listen", &server.addr, &b).args([
        "--token",
        "word",
        "--allow",
        &a_id,
        "--forward",
        &target,
    ]));
    let mut connector = Running::start(peer("connect", &server.addr, &a).args([
        "--token",
        "word",
        "--forward",
        "127.0.0.1:0",
        &b_id,
    ]));
    let ready = line(connector.0.stderr.take().unwrap(), |line| {
        line.contains("\"listening\"")
    });
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    let entrance = ready["local"].as_str().unwrap().to_owned();
    // More than one peer can ask for at once.
    let clients: Vec<_> = (0..48_u8)
        .map(|i| {
            let entrance = entrance.clone();
            thread::spawn(move || {
                let mut stream = TcpStream::connect(entrance).unwrap();
                stream
                    .set_read_timeout(Some(Duration::from_secs(20)))
                    .unwrap();
                let sent = vec![i; 300_000];
                stream.write_all(&sent).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                assert!(got == sent);
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    #[cfg(unix)]
    {
        connector.signal("TERM");
        assert_eq!(connector.end().status.code(), Some(0));
    }
}

#[test]
fn once_ends_with_the_first() {
    let scratch = Scratch::new("once");
    let server = server(&scratch, &[]);
    let ((a, _), (b, b_id)) = (scratch.key("a"), scratch.key("b"));
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = service.local_addr().unwrap().to_string();
    let listener = listening(peer("listen", &server.addr, &b).args([
        "--allow-any",
        "--once",
        "--forward",
        &target,
    ]));
    let connector = Running::start(peer("connect", &server.addr, &a).arg(&b_id));
    let (mut served, _) = service.accept().unwrap();
    served.write_all(b"goodbye").unwrap();
    drop(served);
    let at_connector = connector.end();
    assert_eq!(at_connector.stdout, b"goodbye");
    assert_eq!(at_connector.status.code(), Some(0));
    assert_eq!(listener.end().status.code(), Some(0));
}

#[cfg(unix)]
/// As `ssh` needs it from its ProxyCommand: it ends standard input only when it
/// has seen the end of what comes.
#[test]
fn the_other_sides_end_is_seen_while_standard_input_is_open() {
    let scratch = Scratch::new("proxy");
    let server = server(&scratch, &[]);
    let ((a, _), (b, b_id)) = (scratch.key("a"), scratch.key("b"));
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = service.local_addr().unwrap().to_string();
    let _listener =
        listening(peer("listen", &server.addr, &b).args(["--allow-any", "--forward", &target]));
    let mut connector = Running::start(
        peer("connect", &server.addr, &a)
            .arg(&b_id)
            .stdin(Stdio::piped()),
    );
    let (mut served, _) = service.accept().unwrap();
    // What `ssh` sends as it ends is no reason to cut the stream.
    connector.signal("HUP");
    served.write_all(b"goodbye").unwrap();
    served.shutdown(std::net::Shutdown::Write).unwrap();
    let (ended, end) = mpsc::channel();
    let mut stdout = connector.0.stdout.take().unwrap();
    thread::spawn(move || {
        let mut all = Vec::new();
        stdout.read_to_end(&mut all).unwrap();
        ended.send(all).unwrap();
    });
    let all = end
        .recv_timeout(Duration::from_secs(20))
        .expect("standard output does not end");
    assert_eq!(all, b"goodbye");
    // The other direction still works.
    let mut stdin = connector.0.stdin.take().unwrap();
    stdin.write_all(b"and you").unwrap();
    drop(stdin);
    let mut heard = String::new();
    served.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "and you");
    assert_eq!(connector.end().status.code(), Some(0));
}

#[test]
fn a_stream_outlives_a_link_that_is_lost_for_good() {
    let scratch = Scratch::new("replaced");
    let server = server(&scratch, &[]);
    let ((a, _), (b, b_id)) = (scratch.key("a"), scratch.key("b"));
    let target = service();
    let listen = || {
        let mut command = peer("listen", &server.addr, &b);
        command.args(["--allow-any", "--forward", &target]);
        command
    };
    let mut first = Running::start(&mut listen());
    let stderr = first.0.stderr.take().unwrap();
    let (told, failure) = mpsc::channel();
    thread::spawn(move || {
        let _ = told.send(line(stderr, |line| line.contains("\"event\":\"failed\"")));
    });
    let mut connector = loop {
        // Until the first one is registered.
        let mut connector = Running::start(
            peer("connect", &server.addr, &a)
                .arg(&b_id)
                .stdin(Stdio::piped()),
        );
        let end = line(connector.0.stderr.take().unwrap(), |line| {
            line.contains("\"event\":\"verified\"") || line.contains("\"event\":\"failed\"")
        });
        if end.contains("\"event\":\"verified\"") {
            break connector;
        }
    };
    // Another program with the same key takes the place.
    let _second = listening(&mut listen());
    let failure = failure.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(failure.contains("\"replaced\""), "{failure}");
    let mut stdin = connector.0.stdin.take().unwrap();
    stdin.write_all(b"still here").unwrap();
    drop(stdin);
    let output = connector.end();
    assert_eq!(output.stdout, b"still here");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(first.end().status.code(), Some(1));
}

#[test]
fn what_fails_says_why_and_ends_with_one() {
    let scratch = Scratch::new("fails");
    let server = server(&scratch, &["--token", "word"]);
    let ((a, a_id), (b, b_id)) = (scratch.key("a"), scratch.key("b"));
    let wrong_key = format!("{}/{a_id}", server.addr.split_once('/').unwrap().0);
    let mut commands = [
        // Who is not there.
        (
            peer("connect", &server.addr, &a),
            "peer-unknown",
            &["--token", "word", &b_id][..],
        ),
        // What the server does not like, for both programs.
        (
            peer("connect", &server.addr, &a),
            "token-refused",
            &["--token", "other", &b_id],
        ),
        (
            peer("listen", &server.addr, &a),
            "token-refused",
            &["--allow-any"],
        ),
        (peer("connect", &wrong_key, &a), "wrong-key", &[&b_id]),
        (
            peer("listen", &wrong_key, &a),
            "wrong-key",
            &["--allow-any"],
        ),
    ];
    for (command, reason, args) in &mut commands {
        let before = Instant::now();
        let output = Running::start(command.args(*args)).end();
        assert_eq!(output.status.code(), Some(1), "{reason}");
        assert!(
            before.elapsed() < Duration::from_secs(10),
            "{reason} took {:?}",
            before.elapsed()
        );
        let events = events(&output);
        let failed = find(&events, "failed");
        assert_eq!(failed["reason"], *reason);
        assert!(failed["tried"].is_object() && failed["message"].is_string());
    }
    let _listener =
        listening(peer("listen", &server.addr, &b).args(["--token", "word", "--allow", &b_id]));
    let output =
        Running::start(peer("connect", &server.addr, &a).args(["--token", "word", &b_id])).end();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(find(&events(&output), "failed")["reason"], "not-allowed");
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let scratch = Scratch::new("away");
    let ((a, _), (_, b_id)) = (scratch.key("a"), scratch.key("b"));
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let away = format!("127.0.0.1:{port}/{b_id}");
    let before = Instant::now();
    let output = Running::start(peer("connect", &away, &a).args([&b_id, "--timeout", "2"])).end();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        before.elapsed() >= Duration::from_secs(2) && before.elapsed() < Duration::from_secs(8)
    );
    let events = events(&output);
    assert_eq!(find(&events, "link-down")["reason"], "dial-refused");
    assert_eq!(find(&events, "failed")["reason"], "no-server");
    // In plain words too.
    let mut plain = program();
    plain
        .args([
            "connect",
            "--server",
            &away,
            "--timeout",
            "1",
            &b_id,
            "--key",
        ])
        .arg(&a);
    let output = Running::start(&mut plain).end();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("check that the server runs"), "{text}");
}

#[test]
fn a_shared_secret_has_to_be_shared() {
    let scratch = Scratch::new("secret");
    let server = server(&scratch, &[]);
    let ((a, _), (b, b_id)) = (scratch.key("a"), scratch.key("b"));
    let secret = |name: &str, text: &str| {
        let path = scratch.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ours = secret("ours", "correct horse battery staple\n");
    let ours_too = secret("ours-too", "correct horse battery staple");
    let other = secret("other", "something else entirely, really\n");
    let _listener = listening(
        peer("listen", &server.addr, &b)
            .arg("--allow-any")
            .arg("--secret-file")
            .arg(&ours),
    );
    let connect = |secret: &Path| {
        let mut command = peer("connect", &server.addr, &a);
        Running::start(
            command
                .args([&b_id, "--timeout", "4", "--secret-file"])
                .arg(secret),
        )
        .end()
    };
    let wrong = connect(&other);
    assert_eq!(wrong.status.code(), Some(1));
    let right = connect(&ours_too);
    assert_eq!(
        right.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&right.stderr)
    );
}

#[cfg(unix)]
#[test]
fn a_stream_that_is_cut_ends_with_one() {
    let scratch = Scratch::new("cut");
    let server = server(&scratch, &[]);
    let ((a, _), (b, b_id)) = (scratch.key("a"), scratch.key("b"));
    let listener = listening(
        peer("listen", &server.addr, &b)
            .arg("--allow-any")
            .stdin(Stdio::piped()),
    );
    let mut connector = Running::start(
        peer("connect", &server.addr, &a)
            .arg(&b_id)
            .stdin(Stdio::piped()),
    );
    line(connector.0.stderr.take().unwrap(), |line| {
        line.contains("\"verified\"")
    });
    listener.signal("KILL");
    assert_eq!(connector.end().status.code(), Some(1));
}
