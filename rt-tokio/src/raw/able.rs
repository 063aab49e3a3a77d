//! What one peer has of raw sockets.

use std::io;
use std::task::{Context, Poll};

use proto::{Endpoint, Segment, SocketId};

use super::capture::Capture;
use super::inject::Injector;
use super::segment::Syn;

/// A dial whose first sequence number is to be told.
#[derive(Debug)]
struct Watched {
    id: SocketId,
    /// Its ends, once it has been dialled.
    ends: Option<(Endpoint, Endpoint)>,
}

/// Watches first sequence numbers and sends crafted segments.
///
/// SYNs are captured only while a dial is watched: a capture looks at every
/// packet of the host.
#[derive(Debug)]
pub(crate) struct Raw {
    injector: Injector,
    watched: Vec<Watched>,
    capture: Option<Capture>,
}

impl Raw {
    /// Checks that everything can be opened that may be needed.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` without CAP_NET_RAW.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O.
    pub(crate) fn open() -> io::Result<Self> {
        Capture::open()?;
        Ok(Self {
            injector: Injector::open()?,
            watched: Vec::new(),
            capture: None,
        })
    }

    /// Gets ready for a dial that is about to begin.
    pub(crate) fn watch(&mut self, id: SocketId) {
        if self.capture.is_none() {
            match Capture::open() {
                Ok(capture) => self.capture = Some(capture),
                Err(error) => {
                    // It could be opened before. The machine has a deadline.
                    tracing::warn!(%error, "sequence numbers cannot be watched");
                    return;
                }
            }
        }
        self.watched.push(Watched { id, ends: None });
    }

    /// The dial has begun, between these ends.
    pub(crate) fn dialled(&mut self, id: SocketId, local: Endpoint, remote: Endpoint) {
        if let Some(watched) = self.watched.iter_mut().find(|watched| watched.id == id) {
            watched.ends = Some((local, remote));
        }
    }

    /// The dial is of no interest any more.
    pub(crate) fn forget(&mut self, id: SocketId) {
        self.watched.retain(|watched| watched.id != id);
        if self.watched.is_empty() {
            self.capture = None;
        }
    }

    /// Whether nothing is captured.
    #[cfg(test)]
    pub(super) const fn is_idle(&self) -> bool {
        self.capture.is_none()
    }

    pub(crate) fn inject(&self, segment: &Segment) -> io::Result<()> {
        self.injector.send(segment)
    }

    /// The next first sequence number, each once; pending also when nothing is
    /// watched.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(SocketId, u32)> {
        while let Some(capture) = &self.capture {
            let Syn { from, to, sequence } = match capture.poll(cx) {
                Poll::Ready(Ok(syn)) => syn,
                Poll::Ready(Err(error)) => {
                    tracing::warn!(%error, "sequence numbers can be watched no longer");
                    self.capture = None;
                    self.watched.clear();
                    break;
                }
                Poll::Pending => break,
            };
            let of_it = self
                .watched
                .iter()
                .find(|watched| watched.ends == Some((from, to)));
            if let Some(&Watched { id, .. }) = of_it {
                self.forget(id);
                return Poll::Ready((id, sequence));
            }
        }
        Poll::Pending
    }
}
