//! `serve`: a rendezvous server.

use std::io::Write as _;

use tcp_punch_tokio::{Server, keyfile};

use crate::args::ServeArgs;
use crate::outcome::{Outcome, Trouble};
use crate::signals::Interrupts;

pub(crate) async fn run(args: ServeArgs) -> Outcome {
    let mut interrupts = Interrupts::new().map_err(Trouble::failed)?;
    let secret = keyfile::read(&args.key).map_err(Trouble::usage)?;
    let all_loopback = args
        .main
        .iter()
        .chain(&args.assist)
        .all(|bind| bind.local().ip().is_loopback());
    let mut builder = Server::builder(secret)
        .allow_loopback(all_loopback)
        .spoof(args.spoof);
    for bind in args.main {
        builder = builder.main(bind);
    }
    for bind in args.assist {
        builder = builder.assist(bind);
    }
    if let Some(token) = args.token {
        builder = builder.token(token);
    }
    let server = builder.bind().await.map_err(Trouble::failed)?;
    let [first, others @ ..] = server.addresses() else {
        return Err(Trouble::failed("nothing is bound"));
    };
    for other in others {
        let _ = writeln!(std::io::stderr(), "also {other}");
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "server {first}")
        .and_then(|()| stdout.flush())
        .map_err(Trouble::failed)?;
    server.run(interrupts.next()).await;
    Ok(())
}
