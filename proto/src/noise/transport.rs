//! The main link after its handshake: one cipher each way, in order.

use super::handshake::{Finished, NoiseError};
use super::keys::Key;
use super::primitives::{aead_open, seal_in_place};
use super::{MAX_MESSAGE, TAG_LEN};

/// One direction: a key and the counter that is its next nonce.
///
/// 2^64 - 1 is never used as a nonce (Noise section 5.1), so a counter that has got there means
/// exhausted.
#[derive(Debug)]
pub(super) struct OneWay {
    key: Key,
    next: u64,
}

impl OneWay {
    pub(super) const fn new(key: Key) -> Self {
        Self { key, next: 0 }
    }

    /// Seals `buf[..len]` in place, tag behind it; an error changes nothing.
    pub(super) fn seal(
        &mut self,
        ad: &[u8],
        buf: &mut [u8],
        len: usize,
    ) -> Result<usize, NoiseError> {
        let after = self.after()?;
        let total = seal_in_place(self.key.bytes(), self.next, ad, buf, len)?;
        self.next = after;
        Ok(total)
    }

    /// Opens `buf`, which ends with the tag, in place; returns the plaintext.
    pub(super) fn open<'a>(
        &mut self,
        ad: &[u8],
        buf: &'a mut [u8],
    ) -> Result<&'a mut [u8], NoiseError> {
        let after = self.after()?;
        let (text, tag) = buf
            .split_last_chunk_mut::<TAG_LEN>()
            .ok_or(NoiseError::TooShort)?;
        aead_open(self.key.bytes(), self.next, ad, text, tag)?;
        self.next = after;
        Ok(text)
    }

    fn after(&self) -> Result<u64, NoiseError> {
        self.next.checked_add(1).ok_or(NoiseError::Exhausted)
    }

    #[cfg(test)]
    pub(super) fn skip_to(&mut self, next: u64) {
        self.next = next;
    }
}

/// The main link's ciphers: 64-bit counters as nonces, no associated data (Noise section 5.1).
///
/// Messages must be opened in the order in which the other side sealed them, as a TCP stream
/// delivers them.
#[derive(Debug)]
pub struct Transport {
    tx: OneWay,
    rx: OneWay,
    failed: Option<NoiseError>,
}

impl Transport {
    /// The transport of one side. `initiator` says whether this side wrote message 1.
    ///
    /// Make one of each [`Finished`]: a second one would use the same nonces again.
    pub fn new(finished: &Finished, initiator: bool) -> Self {
        let theirs = OneWay::new(finished.responder_key.clone());
        let ours = OneWay::new(finished.initiator_key.clone());
        let (tx, rx) = if initiator {
            (ours, theirs)
        } else {
            (theirs, ours)
        };
        Self {
            tx,
            rx,
            failed: None,
        }
    }

    /// Seals `buf[..len]` in place and puts the tag behind it; returns `len + 16`.
    ///
    /// # Errors
    ///
    /// [`TooLong`](NoiseError::TooLong) when `buf` has no room for the tag or the message would
    /// exceed [`MAX_MESSAGE`]: nothing changed. [`Exhausted`](NoiseError::Exhausted) when the
    /// nonces are used up. After a failed [`open`](Self::open), that failure.
    pub fn seal(&mut self, buf: &mut [u8], len: usize) -> Result<usize, NoiseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if len > const { MAX_MESSAGE - TAG_LEN } {
            return Err(NoiseError::TooLong);
        }
        self.tx.seal(&[], buf, len)
    }

    /// Opens `buf`, one whole message, in place; returns the length of the plaintext, which is at
    /// the start of `buf`.
    ///
    /// # Errors
    ///
    /// [`TooShort`](NoiseError::TooShort), [`TooLong`](NoiseError::TooLong),
    /// [`Decrypt`](NoiseError::Decrypt) or [`Exhausted`](NoiseError::Exhausted). Every one is
    /// final: from then on both directions refuse with the same error.
    pub fn open(&mut self, buf: &mut [u8]) -> Result<usize, NoiseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let opened = if buf.len() > MAX_MESSAGE {
            Err(NoiseError::TooLong)
        } else {
            self.rx.open(&[], buf)
        };
        match opened {
            Ok(text) => Ok(text.len()),
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests;
