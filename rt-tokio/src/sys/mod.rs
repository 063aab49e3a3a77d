//! What a dial needs of the system beyond what `socket2` offers: to outlive an
//! ICMP error, to know of one, to know how many sockets there may be.
//!
//! The only module that may hold `unsafe` code. Linux and Android have all of it;
//! elsewhere the same functions say that they are not able, and the machines are
//! told so ([`HEARS_ICMP`]).
#![allow(unsafe_code, reason = "options that no safe crate knows")]

use std::net::IpAddr;

mod files;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(all(feature = "raw", any(target_os = "linux", target_os = "android")))]
mod register;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod unable;

pub(crate) use files::open_files;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use linux::{
    HEARS_ICMP, Handle, heed_expired, ignore_expired, take_icmp_error, tell_icmp,
};
#[cfg(all(feature = "raw", any(target_os = "linux", target_os = "android")))]
pub(crate) use register::register;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) use unable::{
    HEARS_ICMP, Handle, heed_expired, ignore_expired, take_icmp_error, tell_icmp,
};

/// An ICMP error that a dial met.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct IcmpError {
    /// The router that says that the hop limit was exceeded; `None` for any
    /// other error.
    pub(crate) expired_at: Option<IpAddr>,
}
