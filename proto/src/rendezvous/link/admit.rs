//! Who is there: the handshake and the registration.

use heapless::Vec;
use subtle::ConstantTimeEq;

use super::{Action, Letter, Link, MAX_HELLO, State};
use crate::io::Close;
use crate::noise::{Handshake, Pattern, Psk, Transport};
use crate::rendezvous::{LinkEvent, Rejection, ServerConfig};
use crate::wire::{
    CLIENT_HELLO_PREFIX, ClientHello, HEADER, REJECT_HANDSHAKE, REJECT_VERSION, Register,
    ServerHello,
};

impl Link {
    /// The client's hello: versions and message 1.
    pub(super) fn greeted(&mut self, config: &ServerConfig, body: &[u8]) {
        let Ok(hello) = ClientHello::decode(body) else {
            return self.malformed();
        };
        let Some(version) = hello.common_version() else {
            return self.reject_hello(REJECT_VERSION, Rejection::Version);
        };
        let prologue = body.get(..CLIENT_HELLO_PREFIX).unwrap_or_default();
        let mut handshake = Handshake::responder(
            Pattern::Ik,
            prologue,
            &config.secret,
            &Psk::NONE,
            self.entropy.bytes(),
        );
        let mut ignored = [0; 64];
        if handshake.read_message(hello.noise, &mut ignored).is_err() {
            return self.reject_hello(REJECT_HANDSHAKE, Rejection::Handshake);
        }
        let mut reply = [0; MAX_HELLO];
        let answer = reply.split_first_mut().and_then(|(kind, room)| {
            *kind = ServerHello::ACCEPT;
            let len = handshake.write_message(&[version], room).ok()?;
            let finished = handshake.finish().ok()?;
            Some((len.saturating_add(1), finished, handshake.remote_static()?))
        });
        let Some((len, finished, key)) = answer else {
            return self.reject_hello(REJECT_HANDSHAKE, Rejection::Handshake);
        };
        self.transport = Some(Transport::new(&finished, false));
        self.peer = Some(key.into());
        self.state = State::Registering;
        // Registering is answered at once, so it is the first measurement.
        self.asked_at = Some((0, self.now));
        let reply = reply.get(..len).unwrap_or_default();
        self.push(Action::Hello(Vec::from_slice(reply).unwrap_or_default()));
        self.push(Action::Read(HEADER));
    }

    pub(super) fn reject_hello(&mut self, code: u8, why: Rejection) {
        self.push(Action::Hello(
            Vec::from_slice(&ServerHello::reject(code)).unwrap_or_default(),
        ));
        self.push(Action::Event(LinkEvent::Rejected(why)));
        self.state = State::Closing(Close::Fin);
    }

    pub(super) fn register(&mut self, config: &ServerConfig, register: Register<'_>) {
        let wanted = config.token.as_ref();
        if wanted.is_some_and(|token| !bool::from(token.as_bytes().ct_eq(register.token))) {
            self.push(Action::Send(Letter::Rejected(Rejection::Token)));
            self.push(Action::Event(LinkEvent::Rejected(Rejection::Token)));
            self.state = State::Closing(Close::Fin);
            return;
        }
        if let Some((_, at)) = self.asked_at.take() {
            self.rtt.sample(at, self.now);
        }
        self.consent = register.consent;
        self.strategies = register.strategies;
        self.hosts = register.hosts;
        self.ports.set_main_port(register.port);
        self.state = State::Registered;
        self.push(Action::Register);
        self.push(Action::Send(Letter::Registered));
        if let Some(peer) = self.peer {
            self.push(Action::Event(LinkEvent::Registered { peer }));
        }
    }
}
