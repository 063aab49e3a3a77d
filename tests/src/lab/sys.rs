//! The system calls for which no safe wrapper exists; the only unsafe code of the lab.
#![allow(
    unsafe_code,
    reason = "raw system calls, each with its reason beside it"
)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigSet, Signal};

/// Makes a TUN device called `name` in the network namespace of the calling thread.
///
/// The descriptor does not block; a packet a read, a packet a write, without a header before it. The device
/// lives as long as the descriptor.
pub(super) fn open_tun(name: &str) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    let mut request = device_request(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the descriptor is open, and TUNSETIFF reads and writes one `ifreq`, which outlives the call.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file)
}

/// Opens a socket for all frames that come in at a device of the calling thread's network namespace.
///
/// It does not block; a frame a read, a frame a write.
pub(super) fn packet_socket(name: &str) -> io::Result<OwnedFd> {
    let every = (libc::ETH_P_ALL as u16).to_be();
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // Protocol 0: nothing comes in before it is bound, least of all from other devices.
    // SAFETY: a bare system call, without memory of ours.
    let descriptor = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave it to us, and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let ignore: libc::c_int = 1;
    // What we write ourselves is not to be read again.
    // SAFETY: the descriptor is open, and the option is an int that outlives the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            (&raw const ignore).cast(),
            size_of_val(&ignore) as libc::socklen_t,
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    let index = nix::net::if_::if_nametoindex(name)?;
    // SAFETY: `sockaddr_ll` is plain data, for which all zeros is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = every;
    address.sll_ifindex = index as libc::c_int;
    // SAFETY: the descriptor is open, and the address is one of its family and length that outlives the call.
    let done = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

/// Has the kernel compute checksums and cut segments before a device of the calling thread's network namespace gets
/// them, instead of leaving both to the device.
pub(super) fn no_offload(name: &str) -> io::Result<()> {
    // `ETHTOOL_STXCSUM`, `ETHTOOL_STSO`, `ETHTOOL_SGSO` of linux/ethtool.h; each takes a value, here none.
    for command in [0x17, 0x1f, 0x24] {
        let mut value: [u32; 2] = [command, 0];
        let mut request = device_request(name);
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        let any = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::DGRAM, None)?;
        // SAFETY: the descriptor is open; SIOCETHTOOL reads one `ifreq` and, with these commands, the two words that
        // it points to, and both outlive the call.
        let done =
            unsafe { libc::ioctl(any.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// A request about a device, with nothing in it but the name.
fn device_request(name: &str) -> libc::ifreq {
    // SAFETY: `ifreq` is plain data, for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: the kernel reads a C string.
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .take(libc::IFNAMSIZ - 1)
        .zip(name.bytes())
    {
        *to = from as libc::c_char;
    }
    request
}

/// Lets the kernel kill the command's process when the thread that starts it ends, whatever ends it.
pub(super) fn die_with_thread(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed, and prctl is a bare system call.
    unsafe {
        command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
}

/// Starts the command's process with no signal blocked, whatever the lab has blocked for itself.
pub(super) fn unblock_signals(command: &mut Command) {
    // SAFETY: as above; pthread_sigmask is async-signal-safe.
    unsafe {
        command.pre_exec(|| Ok(SigSet::empty().thread_set_mask()?));
    }
}

/// Puts the calling thread before all ordinary ones, as far as this process may.
///
/// Returns whether it was allowed; a lab that may not do it works too, with less exact delays on a busy machine.
pub(super) fn run_first() -> bool {
    // SAFETY: `sched_param` is plain data that outlives the call; thread 0 is the calling one.
    unsafe {
        let mut param: libc::sched_param = std::mem::zeroed();
        param.sched_priority = 1;
        libc::sched_setscheduler(0, libc::SCHED_RR, &raw const param) == 0
    }
}
