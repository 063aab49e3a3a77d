//! The driver on a device that never has anything.

use core::hint::black_box;

use smoltcp::iface::{Config, Interface, SocketSet, SocketStorage};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::HardwareAddress;
use tcp_punch_embedded::{Driver, Setup, Step};
use tcp_punch_proto::{Close, Endpoint, Instant, NoAccess, Peer};

const SOCKETS: usize = 4;

struct Cable;
struct Token;

impl RxToken for Token {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&black_box([0; 1_500]))
    }
}

impl TxToken for Token {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = black_box([0; 1_500]);
        f(frame.get_mut(..len).unwrap_or_default())
    }
}

impl Device for Cable {
    type RxToken<'a> = Token;
    type TxToken<'a> = Token;

    fn receive(&mut self, _: StackInstant) -> Option<(Token, Token)> {
        black_box(Some((Token, Token)))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Token> {
        black_box(Some(Token))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1_500;
        capabilities
    }
}

pub(crate) fn run(peer: Peer<NoAccess, 1, 4>) {
    let mut buffers = [([0; 1_024], [0; 4_096]); SOCKETS];
    let mut storage = [SocketStorage::EMPTY; SOCKETS];
    let mut set = SocketSet::new(&mut storage[..]);
    let handles = buffers.each_mut().map(|(receive, send)| {
        set.add(Socket::new(
            SocketBuffer::new(&mut receive[..]),
            SocketBuffer::new(&mut send[..]),
        ))
    });
    let config = Config::new(HardwareAddress::Ip);
    let mut iface = Interface::new(config, &mut Cable, StackInstant::ZERO);
    let setup = Setup::new(
        Endpoint::new(black_box([192, 0, 2, 1]).into(), 1),
        black_box(1),
    );
    let Ok(mut driver) = Driver::<_, 1, 4, SOCKETS>::new(peer, setup, &set, &handles) else {
        return;
    };
    let now = Instant::from_millis(black_box(2));
    loop {
        match driver.poll(now, &mut iface, &mut set, &mut Cable) {
            Step::Wait(_) => break,
            Step::Event(event) => {
                black_box(event);
            }
            Step::Stream(stream) => {
                driver.take_back(now, &mut set, stream.handle, Close::Fin);
            }
        }
    }
}
