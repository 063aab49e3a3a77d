//! A server and peers on loopback, for all suites.
#![allow(dead_code, reason = "no suite uses all of it")]
#![allow(
    unreachable_pub,
    reason = "each suite includes it as a module of its own"
)]

use std::future::Future;
use std::time::Duration;

use tcp_punch_tokio::{
    AccessPolicy, Bind, Config, ConfigBuilder, Peer, PeerId, SecretKey, Server, ServerAddr,
    ServerBuilder, keyfile,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A server that runs until it is dropped or stopped.
pub struct TestServer {
    pub addr: ServerAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

pub fn loopback() -> Bind {
    "127.0.0.1:0".parse().unwrap()
}

pub fn server_builder(secret: SecretKey) -> ServerBuilder {
    Server::builder(secret)
        .main(loopback())
        .assist(loopback())
        .assist(loopback())
        .allow_loopback(true)
}

impl TestServer {
    pub async fn start() -> Self {
        Self::from(server_builder(keyfile::generate().unwrap())).await
    }

    pub async fn from(builder: ServerBuilder) -> Self {
        let server = builder.bind().await.unwrap();
        let addr = server.addresses()[0].clone();
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(stop.clone().cancelled_owned()));
        Self { addr, stop, task }
    }

    /// Stops it and waits until it is gone.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    pub async fn peer(&self, access: AccessPolicy) -> Peer {
        let peer = self.start_peer(access, config());
        soon(peer.registered()).await.unwrap();
        peer
    }

    pub fn start_peer(&self, access: AccessPolicy, config: ConfigBuilder) -> Peer {
        start_peer(
            self.addr.clone(),
            keyfile::generate().unwrap(),
            access,
            config,
        )
    }
}

pub fn start_peer(
    server: ServerAddr,
    secret: SecretKey,
    access: AccessPolicy,
    config: ConfigBuilder,
) -> Peer {
    Peer::builder(server, secret)
        .access(access)
        .config(config)
        .start()
        .unwrap()
}

pub fn config() -> ConfigBuilder {
    Config::builder().allow_loopback(true)
}

pub fn id_of(secret: &SecretKey) -> PeerId {
    PeerId::from(secret.public())
}

/// Nothing in here may hang: fails loudly where something does.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("it hangs")
}

pub fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i.wrapping_mul(31) ^ (i >> 8)) as u8)
        .collect()
}
