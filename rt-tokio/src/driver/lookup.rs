//! Looking up the server's name.

use std::task::{Context, Poll};

use proto::{Endpoint, ResolveId};
use tokio::task::JoinSet;

use crate::server_addr::ServerAddr;

/// Look-ups under way. An address needs none and is answered all the same.
#[derive(Debug)]
pub(super) struct Lookups {
    server: ServerAddr,
    running: JoinSet<(ResolveId, Vec<Endpoint>)>,
}

impl Lookups {
    pub(super) fn new(server: ServerAddr) -> Self {
        Self {
            server,
            running: JoinSet::new(),
        }
    }

    pub(super) fn begin(&mut self, id: ResolveId) {
        let (host, port) = (self.server.host().to_owned(), self.server.port());
        self.running.spawn(async move {
            match tokio::net::lookup_host((host.as_str(), port)).await {
                Ok(found) => (id, found.map(Endpoint::from).collect()),
                Err(error) => {
                    tracing::debug!(%error, "the server's name cannot be looked up");
                    (id, Vec::new())
                }
            }
        });
    }

    /// The next answer; pending also when nothing is looked up.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(ResolveId, Vec<Endpoint>)> {
        loop {
            match self.running.poll_join_next(cx) {
                Poll::Ready(Some(Ok(answer))) => return Poll::Ready(answer),
                // Look-ups do not panic and are not aborted; if one is, the
                // machine's own deadline takes care.
                Poll::Ready(Some(Err(error))) => tracing::error!(%error, "a look-up was lost"),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}
