//! Where there is nothing raw, by choice or by system.

use std::io;
use std::task::{Context, Poll};

use proto::{Endpoint, Segment, SocketId};

/// There is none.
#[derive(Debug)]
pub(crate) enum Raw {}

#[allow(
    clippy::needless_pass_by_ref_mut,
    reason = "the one that exists changes"
)]
impl Raw {
    pub(crate) fn open() -> io::Result<Self> {
        Err(not_able())
    }

    pub(crate) fn watch(&mut self, _: SocketId) {
        match *self {}
    }

    pub(crate) fn dialled(&mut self, _: SocketId, _: Endpoint, _: Endpoint) {
        match *self {}
    }

    pub(crate) fn forget(&mut self, _: SocketId) {
        match *self {}
    }

    pub(crate) fn inject(&self, _: &Segment) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn poll(&mut self, _: &mut Context<'_>) -> Poll<(SocketId, u32)> {
        match *self {}
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) enum Injector {}

impl Injector {
    pub(crate) fn open() -> io::Result<Self> {
        Err(not_able())
    }

    pub(crate) fn send(&self, _: &Segment) -> io::Result<()> {
        match *self {}
    }
}

fn not_able() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "raw sockets are for Linux, in a program that was built with feature `raw`",
    )
}
