//! The no-alloc gate: a program without std and without an allocator that uses
//! every machine and the driver for smoltcp. It fails to build as soon as anything in them needs either;
//! `cargo check` would not notice.

#![no_std]
#![no_main]

mod driver;

use core::hint::black_box;
use core::panic::PanicInfo;

use tcp_punch_proto::noise::SecretKey;
use tcp_punch_proto::rendezvous::{
    Assist, AssistInput, AssistOutput, Link, LinkInput, LinkOutput, ServerConfig,
};
use tcp_punch_proto::wire::{Frame, MAX_FRAME};
use tcp_punch_proto::{
    Config, Endpoint, Input, Instant, LinkHandle, NoAccess, Output, Peer, SessionOptions,
};

// For memcpy and its kin, which the compiler calls by itself.
#[link(name = "c")]
unsafe extern "C" {}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Never run: it has to link, with every input possible as far as the compiler
/// can tell.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    let mut frame: Frame = [0; MAX_FRAME + 2];
    let secret = SecretKey::from_bytes(black_box([1; 32]));
    let key = secret.public();
    let now = Instant::from_millis(black_box(1));
    let endpoint = Endpoint::new(black_box([192, 0, 2, 1]).into(), 1);

    let mut peer = Peer::<_, 1, 4>::new(Config::default(), NoAccess, secret.clone(), key, black_box([2; 32]));
    peer.start(now);
    let _ = peer.connect(now, key.into(), &SessionOptions::default());
    loop {
        match peer.poll_output(&mut frame) {
            Output::Wait(_) => break,
            Output::Resolve { id } => peer.handle_input(now, Input::Resolved { id, addresses: &[endpoint] }),
            Output::Listen { id, local } => peer.handle_input(now, Input::Listening { id, local }),
            Output::Dial { id, local, .. } => peer.handle_input(now, Input::Connected { id, local }),
            Output::Read { id, exactly } => {
                let mut data = black_box([0; MAX_FRAME]);
                if let Some(data) = data.get_mut(..exactly) {
                    peer.handle_input(now, Input::Received { id, data });
                }
            }
            other => {
                black_box(other);
            }
        }
    }

    let config = ServerConfig::new(secret);
    let mut link = Link::new(now, &config, endpoint, 1, LinkHandle(1), black_box([3; 32]));
    link.handle_input(now, &config, LinkInput::Received(&mut black_box([0; 2])));
    link.handle_timeout(now, &config);
    while !matches!(black_box(link.poll_output(&config, &mut frame)), LinkOutput::Wait(_)) {}

    let mut assist = Assist::new(now, &config, 0, endpoint);
    assist.handle_input(now, AssistInput::Received(&mut black_box([0; 2])));
    assist.handle_timeout(now);
    while !matches!(black_box(assist.poll_output(&mut frame)), AssistOutput::Wait(_)) {}
    driver::run(peer);
    loop {}
}
