//! Requests that must fail, soon and with the right reason.

use std::time::{Duration, Instant};

use super::tools::{SOON, listener, must_fail, stage, usual};
use super::{Context, Trouble, Verdict};
use crate::lab::nat::NatKind;
use crate::lab::pair::{finish, greet, registered};
use crate::lab::service::Service;
use crate::lab::topology::Layout;

pub(super) const ALL: &[Trouble] = &[
    Trouble {
        what: "peer unknown",
        expected: "exit 1, says so, 5 s",
        run: peer_unknown,
    },
    Trouble {
        what: "peer not allowed",
        expected: "exit 1, says so, 5 s",
        run: peer_not_allowed,
    },
    Trouble {
        what: "wrong server key",
        expected: "exit 1, says so, 10 s",
        run: wrong_server_key,
    },
    Trouble {
        what: "wrong token, connect",
        expected: "exit 1, says so, 5 s",
        run: wrong_token_connect,
    },
    Trouble {
        what: "wrong token, listen",
        expected: "exit 1, says so, 5 s",
        run: wrong_token_listen,
    },
    Trouble {
        what: "right token",
        expected: "a stream",
        run: right_token,
    },
    Trouble {
        what: "shared secrets differ",
        expected: "exit 1, says so, 20 s",
        run: secrets_differ,
    },
    Trouble {
        what: "shared secrets agree",
        expected: "a stream",
        run: secrets_agree,
    },
    Trouble {
        what: "both NATs symmetric",
        expected: "exit 1, what was tried, 20 s",
        run: both_symmetric,
    },
];

const PROMPT: Duration = Duration::from_secs(5);

fn peer_unknown(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let server = stage.server(&[])?;
    let mut connector = stage.connect(&server.address, &[])?;
    must_fail(&mut connector, PROMPT, &["peer-unknown"])
}

fn peer_not_allowed(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let server = stage.server(&[])?;
    let friend = stage.identity("friend")?;
    let listener = stage.listen(&server.address, &["--allow", &friend.id])?;
    registered(&listener)?;
    let mut connector = stage.connect(&server.address, &[])?;
    must_fail(&mut connector, PROMPT, &["not-allowed"])
}

fn wrong_server_key(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let server = stage.server(&[])?;
    let other = stage.identity("other")?;
    let endpoint = server.address.split('/').next().unwrap_or_default();
    let mut connector = stage.connect(&format!("{endpoint}/{}", other.id), &["--timeout", "8"])?;
    must_fail(&mut connector, Duration::from_secs(10), &["wrong-key"])
}

fn wrong_token_connect(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let server = stage.server(&["--token", "right"])?;
    let mut connector = stage.connect(&server.address, &["--token", "wrong"])?;
    must_fail(&mut connector, PROMPT, &["token-refused"])
}

fn wrong_token_listen(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let server = stage.server(&["--token", "right"])?;
    let mut listener = stage.listen(&server.address, &["--allow-any"])?;
    must_fail(&mut listener, PROMPT, &["token-refused"])
}

fn right_token(context: &Context<'_>) -> Verdict {
    let token = ["--token", "right"];
    with_arguments(context, &token, &token, &token)
}

fn secrets_agree(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let file = stage.file("secret", "correct horse battery staple\n")?;
    let secret = ["--secret-file", &file.to_string_lossy()];
    with_arguments(context, &[], &secret, &secret)
}

/// A session whose programs are given more arguments.
fn with_arguments(
    context: &Context<'_>,
    server: &[&str],
    listen: &[&str],
    connect: &[&str],
) -> Verdict {
    let stage = usual(context)?;
    let server = stage.server(server)?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let forward = service.address().to_string();
    let listener = stage.listen(
        &server.address,
        &[listen, &["--allow", &stage.a.id, "--forward", &forward]].concat(),
    )?;
    registered(&listener)?;
    let mut connector = stage.connect(&server.address, connect)?;
    let deadline = Instant::now() + SOON;
    greet(&mut connector, deadline)?;
    finish(&mut connector, deadline)?;
    Ok("a stream".to_owned())
}

fn secrets_differ(context: &Context<'_>) -> Verdict {
    let stage = usual(context)?;
    let server = stage.server(&[])?;
    let one = stage.file("one", "correct horse battery staple\n")?;
    let other = stage.file("other", "Tr0ub4dor&3\n")?;
    let listener = stage.listen(
        &server.address,
        &["--allow-any", "--secret-file", &other.to_string_lossy()],
    )?;
    registered(&listener)?;
    let mut connector =
        stage.connect(&server.address, &["--secret-file", &one.to_string_lossy()])?;
    must_fail(&mut connector, SOON, &["untrusted"])
}

fn both_symmetric(context: &Context<'_>) -> Verdict {
    let kind = NatKind::named("symmetric").ok_or("no such NAT")?;
    let stage = stage(context, Layout::apart(kind, kind))?;
    let server = stage.server(&[])?;
    let service = Service::greeter(&stage.network.b.namespace)?;
    let _listener = listener(&stage, &server, &service)?;
    let mut connector = stage.connect(&server.address, &["--timeout", "15"])?;
    let got = must_fail(&mut connector, SOON, &[])?;
    let event = connector.log().wait(0, &["failed"], Instant::now());
    let tried = event.is_some_and(|event| {
        event
            .fields
            .keys()
            .any(|field| field != "reason" && field != "session")
    });
    if tried {
        Ok(got)
    } else {
        Err(format!("{got}, and does not say what was tried").into())
    }
}
