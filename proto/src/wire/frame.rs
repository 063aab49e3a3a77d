//! Frames: a big-endian u16 that counts what follows, then that many bytes.
//!
//! What follows is a type byte and a body; on a main link whose handshake is
//! done, both are inside one Noise transport message.

use super::WireError;

/// Longest frame, the two length bytes not counted. Checked before a byte of
/// the frame is read or buffered.
pub const MAX_FRAME: usize = 1_024;

/// Bytes of the length that begins a frame.
pub const HEADER: usize = 2;

/// Room for one frame with its length.
pub type Frame = [u8; HEADER + MAX_FRAME];

/// How many bytes follow a frame's header: 1 to `limit`.
///
/// # Errors
///
/// [`WireError::Empty`] and [`WireError::TooLong`]. Neither can be skipped: the
/// link is to be closed.
pub fn frame_len(header: [u8; HEADER], limit: usize) -> Result<usize, WireError> {
    match usize::from(u16::from_be_bytes(header)) {
        0 => Err(WireError::Empty),
        len if len > limit.min(MAX_FRAME) => Err(WireError::TooLong),
        len => Ok(len),
    }
}

/// Writes the header for the `len` bytes that stand behind it in `frame`;
/// returns the whole frame.
///
/// # Errors
///
/// [`WireError::Empty`] and [`WireError::TooLong`].
pub fn finish_frame(frame: &mut [u8], len: usize) -> Result<&[u8], WireError> {
    let count = u16::try_from(len).map_err(|_| WireError::TooLong)?;
    frame_len(count.to_be_bytes(), MAX_FRAME)?;
    let header = frame.get_mut(..HEADER).ok_or(WireError::TooLong)?;
    header.copy_from_slice(&count.to_be_bytes());
    frame
        .get(..HEADER.saturating_add(len))
        .ok_or(WireError::TooLong)
}

/// The part of a frame that the header counts.
pub fn frame_body(frame: &mut Frame) -> &mut [u8] {
    frame.get_mut(HEADER..).unwrap_or_default()
}
