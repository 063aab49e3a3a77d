//! What proves an assist link.

use crate::id::LinkHandle;
use crate::noise::keyed_mac;

/// The proof in an assist token: keyed BLAKE2s over handle, port and sequence.
pub fn assist_mac(secret: &[u8; 32], handle: LinkHandle, port: u16, sequence: u32) -> [u8; 16] {
    keyed_mac(
        secret,
        b"tcp-punch assist",
        &[
            &handle.0.to_be_bytes(),
            &port.to_be_bytes(),
            &sequence.to_be_bytes(),
        ],
    )
}
