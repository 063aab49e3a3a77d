//! A rendezvous server within a program.
//!
//! ```text
//! cargo run --example server                        on loopback, for the other two examples
//! cargo run --example server 192.0.2.1:3478         on an address that peers can reach
//! ```
//!
//! Prints the text that the peers are to be given, and runs until Ctrl-C. The
//! assist ports are the two that follow the main port. The key is a new one at
//! every start; a real server keeps it in a file (`keyfile`).

use std::error::Error;
use std::net::SocketAddr;

use tcp_punch_tokio::{Bind, Server, keyfile};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let main: SocketAddr = std::env::args()
        .nth(1)
        .as_deref()
        .unwrap_or("127.0.0.1:3478")
        .parse()?;
    let assist = |offset| -> Result<Bind, Box<dyn Error>> {
        let port = main
            .port()
            .checked_add(offset)
            .ok_or("a port below 65534, please")?;
        Ok(SocketAddr::new(main.ip(), port).into())
    };
    let server = Server::builder(keyfile::generate()?)
        .main(main)
        .assist(assist(1)?)
        .assist(assist(2)?)
        // Peers on this very host may be introduced to each other.
        .allow_loopback(main.ip().is_loopback())
        .bind()
        .await?;
    eprintln!("server {}", server.addresses()[0]);
    let interrupted = async {
        // Without Ctrl-C to wait for, it runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    // Tells all peers and closes their links in order before it returns.
    server.run(interrupted).await;
    Ok(())
}
