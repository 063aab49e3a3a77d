//! A peer that says back what it hears.
//!
//! ```text
//! cargo run --example listener                      a server of its own, and a peer that asks: shows all by itself
//! cargo run --example listener HOST:PORT/KEY        waits for peers that the server introduces
//! ```

use std::error::Error;

use tcp_punch_tokio::{
    AccessPolicy, Bind, Config, ConfigBuilder, Peer, PeerId, PunchedStream, Server, ServerAddr,
    keyfile,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, split};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let given = std::env::args()
        .nth(1)
        .map(|text| text.parse::<ServerAddr>())
        .transpose()?;
    let runs_alone = given.is_none();
    let server = match given {
        Some(server) => server,
        None => local_server().await?,
    };
    let config = Config::builder().allow_loopback(server.is_loopback());

    // Who is let in: here anyone, who asks first. `AccessPolicy::only([...])`
    // names them, `AccessPolicy::ask()` leaves it to `Peer::accept_request`.
    let peer = Peer::builder(server.clone(), keyfile::generate()?)
        .config(config.clone())
        .access(AccessPolicy::anyone())
        .start()?;
    let mapped = peer.registered().await?;
    eprintln!("{} listens, seen at {mapped}", peer.id());

    if runs_alone {
        tokio::spawn(ask(server, config, peer.id()));
    }
    while let Some(stream) = peer.incoming().await {
        eprintln!("{} is there, by {}", stream.peer_id(), stream.strategy());
        let serving = tokio::spawn(echo(stream));
        if runs_alone {
            serving.await??;
            break;
        }
    }
    peer.shutdown().await;
    Ok(())
}

async fn echo(stream: PunchedStream) -> std::io::Result<()> {
    let (mut reader, mut writer) = split(stream);
    // Ends when the other side has ended its direction; then we end ours.
    copy(&mut reader, &mut writer).await?;
    writer.shutdown().await
}

/// The other side, where the example runs by itself.
async fn ask(
    server: ServerAddr,
    config: ConfigBuilder,
    to: PeerId,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let peer = Peer::builder(server, keyfile::generate()?)
        .config(config)
        .start()?;
    let mut stream = peer.connect(to).await?;
    stream.write_all(b"hello").await?;
    stream.shutdown().await?;
    let mut back = String::new();
    stream.read_to_string(&mut back).await?;
    eprintln!("said \"hello\", heard {back:?}");
    Ok(())
}

/// A server on loopback, which runs as long as the program.
async fn local_server() -> Result<ServerAddr, Box<dyn Error>> {
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
    Ok(addr)
}
