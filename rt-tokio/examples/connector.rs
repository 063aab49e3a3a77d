//! A peer that asks another for a stream and says something.
//!
//! ```text
//! cargo run --example connector                                a server and a listener of its own
//! cargo run --example connector HOST:PORT/KEY PEER_ID          somebody else's
//! ```

use std::error::Error;
use std::time::Duration;

use tcp_punch_tokio::{
    AccessPolicy, Bind, Config, Peer, PeerId, Server, ServerAddr, SessionOptions, keyfile,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (server, to) = match (args.next(), args.next()) {
        (Some(server), Some(to)) => (server.parse::<ServerAddr>()?, to.parse::<PeerId>()?),
        _ => local_listener().await?,
    };
    let config = Config::builder().allow_loopback(server.is_loopback());
    let peer = Peer::builder(server, keyfile::generate()?)
        .config(config)
        .start()?;

    // What happens meanwhile; an error says what was tried and what to do next.
    let mut events = peer.events();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            eprintln!("{event:?}");
        }
    });
    let options = SessionOptions {
        deadline: Duration::from_secs(20),
        ..SessionOptions::default()
    };
    let mut stream = peer.connect_with(to, options).await?;

    stream.write_all(b"hello").await?;
    // Ends our direction only; the answer can still be read.
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    eprintln!("the answer is {answer:?}");
    peer.shutdown().await;
    Ok(())
}

/// A server and a peer that says back what it hears, which run as long as the
/// program.
async fn local_listener() -> Result<(ServerAddr, PeerId), Box<dyn Error>> {
    let loopback = || "127.0.0.1:0".parse::<Bind>();
    let server = Server::builder(keyfile::generate()?)
        .main(loopback()?)
        .assist(loopback()?)
        .assist(loopback()?)
        .allow_loopback(true)
        .bind()
        .await?;
    let addr = server.addresses()[0].clone();
    tokio::spawn(server.run(std::future::pending()));
    let config = Config::builder().allow_loopback(true);
    let peer = Peer::builder(addr.clone(), keyfile::generate()?)
        .config(config)
        .access(AccessPolicy::anyone())
        .start()?;
    peer.registered().await?;
    let id = peer.id();
    tokio::spawn(async move {
        while let Some(mut stream) = peer.incoming().await {
            let mut heard = Vec::new();
            if stream.read_to_end(&mut heard).await.is_ok()
                && stream.write_all(&heard).await.is_ok()
            {
                let _ = stream.shutdown().await;
            }
        }
    });
    Ok((addr, id))
}
