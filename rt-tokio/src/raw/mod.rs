//! Segments that no socket makes, and numbers that no socket tells: for the
//! strategies that craft SYN-ACKs.
//!
//! Built with feature `raw`, on Linux and Android; opened only where somebody
//! asks for it; needs CAP_NET_RAW.

#[cfg(all(feature = "raw", any(target_os = "linux", target_os = "android")))]
mod able;
#[cfg(all(feature = "raw", any(target_os = "linux", target_os = "android")))]
mod capture;
#[cfg(all(feature = "raw", any(target_os = "linux", target_os = "android")))]
mod inject;
#[cfg(all(feature = "raw", any(target_os = "linux", target_os = "android")))]
mod segment;
#[cfg(all(test, feature = "raw", target_os = "linux"))]
mod tests;
#[cfg(not(all(feature = "raw", any(target_os = "linux", target_os = "android"))))]
mod unable;

use std::io;

#[cfg(all(feature = "raw", any(target_os = "linux", target_os = "android")))]
pub(crate) use able::Raw;
#[cfg(all(feature = "raw", any(target_os = "linux", target_os = "android")))]
pub(crate) use inject::Injector;
#[cfg(not(all(feature = "raw", any(target_os = "linux", target_os = "android"))))]
pub(crate) use unable::{Injector, Raw};

/// Whether this process can use raw sockets, which the strategies
/// `crafted-syn-ack` and `spoofed-syn-ack` need.
///
/// # Errors
///
/// `Unsupported` where feature `raw` was not built or the system is not Linux,
/// `PermissionDenied` without CAP_NET_RAW.
pub fn raw_sockets() -> io::Result<()> {
    Raw::open().map(drop)
}
