//! What a server may say that means no good, or knows no better.

use proptest::prelude::*;
use tcp_punch_proto::nat::{Allocation, EarlySyn, Filtering, NatReport};
use tcp_punch_proto::noise::{Handshake, Pattern, Psk};
use tcp_punch_proto::plan::Abilities;
use tcp_punch_proto::wire::{Connect, Go, NoiseMessage, Notify, Observed, Side, ToPeer};
use tcp_punch_proto::{
    Candidate, CandidateKind, Endpoint, Instant, Mapping, PeerId, SessionId, SocketId, Strategies,
};

use super::super::watch::Phase;
use super::{Bench, NONE, Op, secret};

/// Of which a [`Side`] is made.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sketch {
    pub(crate) candidates: u8,
    /// 0: of the cone kind.
    pub(crate) nat: u8,
    pub(crate) wild: u32,
    pub(crate) window: u16,
    pub(crate) step: i16,
    pub(crate) port: u16,
}

pub(crate) fn sketch() -> impl Strategy<Value = Sketch> {
    let odd = |port| {
        prop_oneof![
            4 => Just(port),
            1 => any::<u16>(),
            1 => 0u16..1_200,
            1 => 65_500u16..=u16::MAX,
        ]
    };
    (
        any::<u8>(),
        0u8..8,
        any::<u32>(),
        odd(48),
        prop_oneof![2 => -3i16..4, 1 => any::<i16>(), 1 => Just(i16::MIN)],
        odd(3_478),
    )
        .prop_map(|(candidates, nat, wild, window, step, port)| Sketch {
            candidates,
            nat,
            wild,
            window,
            step,
            port,
        })
}

impl Sketch {
    /// Another port for each destination: the last one's and so many more, or
    /// any.
    pub(crate) const fn symmetric(step: Option<i16>, window: u16) -> Self {
        let (nat, step) = match step {
            Some(step) => (4, step),
            None => (5, 0),
        };
        Self {
            nat,
            step,
            window,
            port: 40_000,
            ..Self::cone(1)
        }
    }

    pub(crate) const fn cone(candidates: u8) -> Self {
        Self {
            candidates,
            nat: 0,
            wild: 0,
            window: 0,
            step: 1,
            port: 3_478,
        }
    }

    fn bits(self, from: u32, most: u32) -> u32 {
        (self.wild >> from) % (most + 1)
    }

    fn report(self) -> NatReport {
        let answer = |bits| [None, Some(false), Some(true), Some(true)][bits as usize];
        let cone = NatReport {
            translated: Some(true),
            mapping: Mapping::EndpointIndependent,
            filtering: Filtering::AddressAndPortDependent,
            early_syn: EarlySyn::Silence,
            ..NatReport::NOT_TESTED
        };
        let (mapping, allocation) = match self.nat {
            0..=3 => return cone,
            4 => (
                Mapping::AddressAndPortDependent,
                Allocation::Step(self.step),
            ),
            5 => (Mapping::AddressAndPortDependent, Allocation::Random),
            _ => {
                let mapping = [
                    Mapping::Unknown,
                    Mapping::EndpointIndependent,
                    Mapping::AddressDependent,
                    Mapping::AddressAndPortDependent,
                ];
                let allocation = [
                    Allocation::Unknown,
                    Allocation::Random,
                    Allocation::Step(self.step),
                ];
                (
                    mapping[self.bits(0, 3) as usize],
                    allocation[self.bits(2, 2) as usize],
                )
            }
        };
        let filtering = [
            Filtering::AddressAndPortDependent,
            Filtering::NotTested,
            Filtering::Open,
            Filtering::AddressDependent,
            Filtering::NotOpen,
        ];
        let early = [
            EarlySyn::Silence,
            EarlySyn::NotTested,
            EarlySyn::Reset,
            EarlySyn::Unreachable,
        ];
        NatReport {
            translated: answer(self.bits(4, 3)),
            mapping,
            allocation,
            filtering: filtering[self.bits(6, 4) as usize],
            early_syn: early[self.bits(9, 3) as usize],
            hairpin: answer(self.bits(11, 3)),
            levels: Some(self.bits(13, 3) as u8),
            ..cone
        }
    }

    fn abilities(self) -> Abilities {
        let hops = [None, Some(2), Some(255), Some(128)];
        let dials = [1_280, 8, 64, 0, 256, u16::MAX];
        Abilities {
            hops: hops[self.bits(16, 3) as usize],
            raw: self.wild & 1 << 18 != 0,
            spoof: self.wild & 1 << 19 != 0,
            dials: dials[self.bits(20, 5) as usize],
        }
    }

    /// With candidates of all kinds behind the one at `first`.
    pub(crate) fn side(self, first: std::net::IpAddr) -> Side {
        let ips = [
            "192.168.1.7",
            "127.0.0.1",
            "224.0.0.1",
            "2001:db8::7",
            "203.0.113.1",
            "10.0.0.9",
            "198.51.100.8",
        ];
        let others = ips.iter().zip(0u8..).filter_map(|(ip, bit)| {
            let kind = match bit {
                0 | 5 => CandidateKind::Host,
                _ => CandidateKind::Mapped,
            };
            (self.candidates & (2 << bit) != 0).then(|| Candidate {
                kind,
                endpoint: Endpoint::new(ip.parse().unwrap(), self.port),
            })
        });
        let first = Candidate {
            kind: CandidateKind::Mapped,
            endpoint: Endpoint::new(first, self.port),
        };
        Side {
            rtt_us: self.bits(5, 200_000),
            jitter_us: self.bits(3, 9_000),
            report: self.report(),
            abilities: self.abilities(),
            window: self.window,
            candidates: [first].into_iter().chain(others).collect(),
        }
    }
}

impl<const S: usize, const P: usize> Bench<S, P> {
    /// Where the other side of a session is.
    fn other_side(&mut self, session: SessionId) -> std::net::IpAddr {
        let whose = &mut self.watch.dials.whose;
        if let Some((ip, _)) = whose.iter().find(|(_, known)| **known == session) {
            return *ip;
        }
        let [high, low] = (whose.len() as u16).to_be_bytes();
        let ip = [20, high, low, 7].into();
        whose.insert(ip, session);
        ip
    }

    /// Our own side and the other.
    fn sides(&mut self, session: SessionId, own: Sketch, other: Sketch) -> (Side, Side) {
        let ip = self.other_side(session);
        (own.side([198, 51, 100, 1].into()), other.side(ip))
    }

    pub(super) fn notify(&mut self, in_advance: bool, hold_us: u32, sides: [Sketch; 2]) {
        if self.next_session == u8::MAX {
            return;
        }
        self.next_session += 1;
        let [own, other] = sides;
        let session = SessionId::from_bytes([self.next_session; 16]);
        let (responder, requester) = self.sides(session, own, other);
        let message = ToPeer::Notify(Notify {
            session,
            from: secret(2 + other.candidates % 3).public().into(),
            in_advance,
            hold_us,
            strategies: Strategies::ANY,
            requester,
            responder,
            noise: self.message_1(other.candidates),
            extensions: NONE,
        });
        self.say(&message);
    }

    /// The responder is willing.
    pub(super) fn introduce(
        &mut self,
        session: SessionId,
        in_advance: bool,
        hold_us: u32,
        [own, other]: [Sketch; 2],
    ) {
        let noise: &[u8] = if in_advance { &[] } else { &[3; 57] };
        let (requester, responder) = self.sides(session, own, other);
        self.say(&ToPeer::Connect(Connect {
            session,
            hold_us,
            strategies: Strategies::ANY,
            requester,
            responder,
            noise: noise.try_into().unwrap(),
            extensions: NONE,
        }));
    }

    /// Go on with a round; without one with the round that the peer is ready
    /// for.
    pub(super) fn go(
        &mut self,
        session: SessionId,
        round: Option<u8>,
        sequence: Option<u32>,
        hold_us: u32,
        [own, other]: [Sketch; 2],
    ) {
        let ready = self.readies.get(&session).copied();
        let (round, told) = match (round, ready) {
            (Some(round), _) => (round, sequence),
            (None, Some((round, told))) => (round, told.and(sequence)),
            (None, None) => return,
        };
        let (own, other) = self.sides(session, own, other);
        // Whoever was notified is the responder.
        let [byte, ..] = *session.as_bytes();
        let notified = session == SessionId::from_bytes([byte; 16]);
        let (requester, responder) = if notified { (other, own) } else { (own, other) };
        self.say(&ToPeer::Go(Go {
            session,
            round,
            hold_us,
            requester,
            responder,
            sequence: told,
            extensions: NONE,
        }));
    }

    pub(super) fn observe(&mut self, port: u16, assist: u8, odd: u8) {
        let mapped: std::net::IpAddr = match odd {
            0 => "2001:db8::1".parse().unwrap(),
            _ => [198, 51, 100, 1].into(),
        };
        self.say(&ToPeer::Observed(Observed {
            port,
            assist,
            mapped: Endpoint::new(mapped, port.wrapping_add(u16::from(odd >> 6))),
            extensions: NONE,
        }));
    }

    /// Notifies of a session, in advance, and names it.
    pub(crate) fn notified(&mut self, own: Sketch, other: Sketch) -> SessionId {
        self.run(Op::Notify(true, 0, [own, other]));
        SessionId::from_bytes([self.next_session; 16])
    }

    /// On for so long, from deadline to deadline, with a server that works.
    pub(crate) fn live(&mut self, micros: u64) {
        let end = Instant::from_micros(self.now.as_micros() + micros);
        while self.now < end {
            self.now = self.watch.next.unwrap_or(end).max(self.now).min(end);
            self.peer.handle_timeout(self.now);
            self.drain();
            if self.serves {
                self.serve_assists();
            }
        }
    }

    /// What is open towards the other side of a session.
    pub(crate) fn pending(&self, session: SessionId) -> Vec<SocketId> {
        let whose = &self.watch.dials.whose;
        let there = |at: &Endpoint| whose.get(&at.ip) == Some(&session);
        let open = |id: &SocketId| self.watch.sockets.get(id) == Some(&Phase::Dialling);
        let dials = self.dialled.iter();
        dials
            .filter(|(id, at)| there(at) && open(id))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Brings all assist links up and observes every port.
    pub(crate) fn serve_assists(&mut self) {
        for _ in 0..6 {
            let waiting: Vec<(SocketId, Endpoint)> = self
                .dialled
                .iter()
                .filter(|(id, at)| {
                    self.assists.contains(at)
                        && self.watch.sockets.get(id) == Some(&Phase::Dialling)
                        && !self.watch.dials.traces.contains(id)
                })
                .copied()
                .collect();
            for (id, at) in waiting {
                // What was done for the one before may have closed it.
                if self.watch.sockets.get(&id) != Some(&Phase::Dialling) {
                    continue;
                }
                let before = self.tokens.len();
                self.connect(id);
                let assist = self.assists.iter().position(|known| *known == at);
                for port in self.tokens.split_off(before) {
                    let odd = u8::from(at.ip.is_ipv4());
                    self.observe(port, assist.unwrap() as u8, odd);
                    self.drain();
                }
            }
        }
    }

    fn message_1(&self, number: u8) -> NoiseMessage {
        let mut prologue = b"tcp-punch session".to_vec();
        prologue.extend([self.next_session; 16]);
        let mut message = [7; 160];
        let len = Handshake::initiator(
            Pattern::IkPsk2,
            &prologue,
            &secret(2 + number % 3),
            &secret(1).public(),
            &Psk::NONE,
            [number | 1; 32],
        )
        .write_message(&[0, 100, 0], &mut message)
        .unwrap();
        // Some are forged.
        if number.is_multiple_of(5) {
            message[40] ^= 1;
        }
        message[..len].try_into().unwrap()
    }

    /// Nobody asks for somebody with the first of them: no handshake can be
    /// begun.
    pub(super) fn somebody(number: u8) -> PeerId {
        match number % 4 {
            0 => PeerId::from_bytes([0; 32]),
            number => secret(number).public().into(),
        }
    }
}
