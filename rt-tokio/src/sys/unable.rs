//! Systems on which ICMP errors cannot be told from others, nor outlived.

use std::io;

use proto::Family;

use super::IcmpError;

/// What a socket is to these functions.
pub(crate) trait Handle {}

impl<T> Handle for T {}

/// Whether dials can outlive and tell ICMP errors here.
pub(crate) const HEARS_ICMP: bool = false;

pub(crate) fn ignore_expired(_: &impl Handle, _: Family) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn heed_expired(_: &impl Handle, _: Family) -> io::Result<()> {
    Ok(())
}

pub(crate) fn tell_icmp(_: &impl Handle, _: Family, _: bool) -> io::Result<()> {
    Ok(())
}

pub(crate) fn take_icmp_error(_: &impl Handle) -> Option<IcmpError> {
    None
}
