//! Bytes over records: what [`PunchedStream`](super::PunchedStream) is in its
//! encrypted mode.
//!
//! Both directions work on blocks of several records, so that a fast stream
//! costs one system call for many of them and every byte is moved once apart
//! from the cipher.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use proto::noise::{
    MAX_RECORD_DATA, NoiseError, RECORD_HEADER, RECORD_OVERHEAD, RecordKind, RecordOpener,
    RecordSealer, Records,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest record there is.
const MAX_RECORD: usize = MAX_RECORD_DATA + RECORD_OVERHEAD;

/// How much is read or written at once: four of the longest records.
const BLOCK: usize = 4 * MAX_RECORD;

/// A stream of bytes over the records of `S`.
#[derive(Debug)]
pub(super) struct RecordStream {
    reader: Reader,
    writer: Writer,
}

impl RecordStream {
    /// `max_record`: the most data in one record that the other side takes.
    pub(super) fn new(records: Records, max_record: usize) -> Self {
        let Records { sealer, opener } = records;
        Self {
            reader: Reader {
                opener,
                block: Vec::new(),
                raw: 0..0,
                plain: 0..0,
                ended: false,
            },
            writer: Writer {
                sealer,
                max_data: max_record.clamp(1, MAX_RECORD_DATA),
                block: Vec::new(),
                sent: 0,
                closed: false,
            },
        }
    }

    /// Reads bytes of the application; none at the proven end of the stream.
    ///
    /// Errors: `UnexpectedEof` where the stream ended without its close record
    /// (a forged FIN, or a peer that died), `InvalidData` where a record was
    /// changed on the way, and those of `io`.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reader.poll_read(io, cx, out)
    }

    /// Seals and sends; what `io` does not take at once is kept until the next
    /// write or flush.
    pub(super) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writer.poll_write(io, cx, data)
    }

    /// Sends everything that was written.
    pub(super) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.writer.poll_send(io, cx))?;
        Pin::new(io).poll_flush(cx)
    }

    /// Sends everything, the close record, and the end of `io`.
    pub(super) fn poll_shutdown<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.writer.close()?;
        ready!(self.writer.poll_send(io, cx))?;
        Pin::new(io).poll_shutdown(cx)
    }
}

#[derive(Debug)]
struct Reader {
    opener: RecordOpener,
    /// Made when the first bytes are wanted.
    block: Vec<u8>,
    /// What has been read and not yet opened, within the block.
    raw: Range<usize>,
    /// What has been opened and not yet given out, within the block.
    plain: Range<usize>,
    /// The close record has come.
    ended: bool,
}

impl Reader {
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while out.remaining() > 0 {
            if !self.plain.is_empty() {
                let now = self.plain.len().min(out.remaining());
                out.put_slice(&self.block[self.plain.start..self.plain.start + now]);
                self.plain.start += now;
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if !self.open_next()? {
                ready!(self.poll_fill(io, cx))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Opens the next record in place; false if it is not all there.
    fn open_next(&mut self) -> io::Result<bool> {
        let Some((header, rest)) =
            self.block[self.raw.clone()].split_first_chunk_mut::<RECORD_HEADER>()
        else {
            return Ok(false);
        };
        let len = RecordOpener::body_len(*header).map_err(invalid)?;
        let Some(body) = rest.get_mut(..len) else {
            return Ok(false);
        };
        let (kind, data) = self.opener.open(*header, body).map_err(invalid)?;
        let opened = data.len();
        // The record is header, kind, data, tag.
        let start = self.raw.start + RECORD_HEADER + 1;
        self.raw.start += RECORD_HEADER + len;
        match kind {
            RecordKind::Data => self.plain = start..start + opened,
            RecordKind::Close => self.ended = true,
            // Only the very first record of a stream may be one, and it was read
            // before the stream was handed over.
            RecordKind::Nominate => return Err(invalid_text("a second nomination")),
        }
        Ok(true)
    }

    fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.block.is_empty() {
            self.block = vec![0; BLOCK];
        }
        // Room for one whole record behind what is there: at most one record has
        // to move, once per block.
        if self.raw.is_empty() {
            self.raw = 0..0;
        } else if BLOCK - self.raw.start < MAX_RECORD {
            self.block.copy_within(self.raw.clone(), 0);
            self.raw = 0..self.raw.len();
        }
        let mut free = ReadBuf::new(&mut self.block[self.raw.end..]);
        ready!(Pin::new(io).poll_read(cx, &mut free))?;
        let read = free.filled().len();
        if read == 0 {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the stream was cut: it ended without its close record",
            )));
        }
        self.raw.end += read;
        Poll::Ready(Ok(()))
    }
}

#[derive(Debug)]
struct Writer {
    sealer: RecordSealer,
    /// Most data in one record.
    max_data: usize,
    /// Sealed records.
    block: Vec<u8>,
    /// How much of them has been sent.
    sent: usize,
    /// The close record is among them, or before them.
    closed: bool,
}

impl Writer {
    fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.closed {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the stream was shut down for writing",
            )));
        }
        // Back-pressure: one block is under way at a time.
        ready!(self.poll_send(io, cx))?;
        let mut taken = 0;
        let records = BLOCK / (self.max_data + RECORD_OVERHEAD);
        for chunk in data.chunks(self.max_data).take(records) {
            self.seal(RecordKind::Data, chunk)?;
            taken += chunk.len();
        }
        // Whatever becomes of it, the data is taken: an error that this meets
        // stays in the socket and comes with the next call.
        if let Poll::Ready(Err(error)) = self.poll_send(io, cx) {
            tracing::trace!(%error, "sending failed");
        }
        Poll::Ready(Ok(taken))
    }

    fn close(&mut self) -> io::Result<()> {
        if !self.closed {
            self.seal(RecordKind::Close, &[])?;
            self.closed = true;
        }
        Ok(())
    }

    fn seal(&mut self, kind: RecordKind, data: &[u8]) -> io::Result<()> {
        let start = self.block.len();
        self.block.resize(start + data.len() + RECORD_OVERHEAD, 0);
        match self.sealer.seal(kind, data, &mut self.block[start..]) {
            Ok(len) => {
                self.block.truncate(start + len);
                Ok(())
            }
            Err(error) => {
                self.block.truncate(start);
                Err(invalid(error))
            }
        }
    }

    fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        io: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.sent < self.block.len() {
            let now = ready!(Pin::new(&mut *io).poll_write(cx, &self.block[self.sent..]))?;
            if now == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += now;
        }
        self.block.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

fn invalid(error: NoiseError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn invalid_text(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
