//! Noise handshakes, transport records and the secrets around them.
//!
//! Two handshakes exist, both over X25519, ChaCha20-Poly1305 and BLAKE2s (Noise revision 34):
//!
//! | pattern | between | then |
//! |---|---|---|
//! | [`Pattern::Ik`] | a peer and the rendezvous server, once per main link | [`Transport`] |
//! | [`Pattern::IkPsk2`] | two peers, once per session, carried by the introduction | [`SessionKeys`] |
//!
//! ```text
//!  Handshake --finish()--> Finished --+--> Transport                     main link
//!                                     +--> SessionKeys                   session
//!                                            | hello_mac, verify_hello   each stream's hello
//!                                            +-> StreamKeys -> Records   each stream's records
//! ```
//!
//! Nothing here reads a clock, allocates or draws randomness: ephemeral keys and seeds are
//! arguments. No function panics, whatever its input. Types that hold a secret zero it when they
//! are dropped and show nothing of it in `Debug`.
//!
//! Two generators are kept apart by type: [`Entropy`] for secrets, [`Jitter`] for everything that
//! an observer may learn. No key is ever drawn from [`Jitter`].

mod entropy;
mod handshake;
mod keys;
mod primitives;
mod records;
mod transport;

pub use entropy::{Entropy, Jitter};
pub use handshake::{
    Finished, Handshake, MAX_MESSAGE, MESSAGE_1_OVERHEAD, MESSAGE_2_OVERHEAD, NoiseError, Pattern,
};
pub use keys::{Key, Psk, PublicKey, SecretKey};
pub(crate) use primitives::mac as keyed_mac;
pub use records::{
    HELLO_MAC_LEN, MAX_RECORD_DATA, RECORD_DATA_OFFSET, RECORD_HEADER, RECORD_OVERHEAD, RecordKind,
    RecordOpener, RecordSealer, Records, Role, STREAM_NONCE_LEN, SessionKeys, StreamKeys,
};
pub use transport::Transport;

/// Length of every key and of the handshake hash, in bytes.
pub const KEY_LEN: usize = 32;

/// Length of the Poly1305 tag that ends every ciphertext, in bytes (RFC 8439 section 2.5).
pub const TAG_LEN: usize = 16;
