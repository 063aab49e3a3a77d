//! From the command line to a running peer.

use std::io::ErrorKind;

use tcp_punch_tokio::{
    AccessPolicy, Config, ConfigBuilder, Peer, PeerId, Psk, keyfile, raw_sockets,
};

use crate::args::PeerArgs;
use crate::events::Reporter;
use crate::outcome::Trouble;

/// Starts the peer that the arguments describe, and tells what happens to it.
pub(crate) fn start(
    args: &PeerArgs,
    access: impl FnOnce() -> AccessPolicy,
    reporter: &Reporter,
) -> Result<Peer, Trouble> {
    let secret = keyfile::read(&args.key).map_err(Trouble::usage)?;
    let config = config(args, reporter)?;
    let asked = &args.strategies;
    if asked.raw
        && let Err(error) = raw_sockets()
    {
        reporter.warn(&format!("--raw has no effect: {error}"));
    }
    let mut builder = Peer::builder(args.server.clone(), secret)
        .config(config)
        .access(access())
        .strategies(asked.allowed())
        .raw(asked.raw)
        .outer_addresses(&asked.outer_addresses);
    if let Some(hops) = asked.hops {
        builder = builder.hops(hops);
    }
    let peer = builder.start().map_err(|error| {
        if error.kind() == ErrorKind::InvalidInput {
            Trouble::usage(error)
        } else {
            Trouble::failed(error)
        }
    })?;
    reporter.follow(&peer);
    Ok(peer)
}

fn config(args: &PeerArgs, reporter: &Reporter) -> Result<ConfigBuilder, Trouble> {
    // With a server on this very host, the peers are here as well.
    let mut config = Config::builder()
        .allow_loopback(args.server.is_loopback())
        .stream_mode(args.stream.into());
    if let Some(token) = &args.token {
        config = config.token(token.as_bytes());
    }
    if let Some(path) = &args.secret_file {
        let usage = |error: &str| Trouble::Usage(format!("{}: {error}", path.display()));
        let mut bytes = std::fs::read(path).map_err(|error| usage(&error.to_string()))?;
        bytes.truncate(bytes.trim_ascii_end().len());
        match bytes.len() {
            0 => return Err(usage("the shared secret is empty")),
            1..16 => reporter.warn("the shared secret is short: take at least 16 random bytes"),
            _ => {}
        }
        config = config.psk(Psk::derive(&bytes));
    }
    Ok(config)
}

/// Who is let in, and whether the server may introduce them unasked.
pub(crate) fn access(allow: &[PeerId], in_advance: bool) -> AccessPolicy {
    let policy = if allow.is_empty() {
        AccessPolicy::anyone()
    } else {
        AccessPolicy::only(allow.iter().copied())
    };
    if in_advance {
        policy.consent_in_advance()
    } else {
        policy
    }
}
