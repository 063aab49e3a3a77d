//! Carries out what a server's links want.

use tcp_punch_proto::rendezvous::{AssistOutput, LinkOutput, Observation, Routed};
use tcp_punch_proto::wire::{Frame, MAX_FRAME};
use tcp_punch_proto::{Close, Endpoint, Instant, PeerId};

use super::net::Socket;
use super::peer::Stage;
use super::server::{Machine, Mail, ServerHost};

/// What both kinds of links can want.
enum Wish {
    Read(usize),
    Send(Vec<u8>),
    Register(PeerId, u64),
    Route(Box<Routed>),
    Observe(Observation),
    DialBack(u16, bool, Endpoint),
    Event(tcp_punch_proto::rendezvous::LinkEvent),
    Close(Close),
    Wait(Option<Instant>),
}

impl ServerHost {
    /// Drains one link to `Wait`, or to its close, and carries everything out.
    pub(super) fn drain(&mut self, stage: &mut Stage<'_>, socket: Socket) {
        for round in 0.. {
            assert!(round < 10_000, "the drain of {socket:?} does not end");
            match self.poll(stage, socket) {
                None => return,
                Some(Wish::Wait(deadline)) => {
                    self.on_wait(stage, socket, deadline);
                    return;
                }
                Some(Wish::Close(how)) => {
                    self.close(stage, socket, how);
                    return;
                }
                Some(wish) => self.carry_out(stage, socket, wish),
            }
        }
    }

    fn poll(&mut self, stage: &mut Stage<'_>, socket: Socket) -> Option<Wish> {
        let mut frame: Frame = [0; MAX_FRAME + 2];
        let open = self.connections.get_mut(&socket)?;
        Some(match &mut open.machine {
            Machine::Main(link) => {
                let output = link.poll_output(&self.config, &mut frame);
                stage.trace.output(stage.now, &open.name, &output);
                match output {
                    LinkOutput::Read { exactly } => Wish::Read(exactly),
                    LinkOutput::Send { data } => Wish::Send(data.to_vec()),
                    LinkOutput::Register { peer, epoch } => Wish::Register(peer, epoch),
                    LinkOutput::Route(routed) => Wish::Route(Box::new(routed)),
                    LinkOutput::DialBack {
                        port,
                        other_address,
                        to,
                    } => Wish::DialBack(port, other_address, to),
                    LinkOutput::Inject(_) => unreachable!("the server does not spoof"),
                    LinkOutput::Event(event) => Wish::Event(event),
                    LinkOutput::Close(how) => Wish::Close(how),
                    LinkOutput::Wait(deadline) => Wish::Wait(deadline),
                }
            }
            Machine::Assist(assist) => {
                let output = assist.poll_output(&mut frame);
                stage.trace.output(stage.now, &open.name, &output);
                match output {
                    AssistOutput::Read { exactly } => Wish::Read(exactly),
                    AssistOutput::Send { data } => Wish::Send(data.to_vec()),
                    AssistOutput::Route(observation) => Wish::Observe(observation),
                    AssistOutput::Close(how) => Wish::Close(how),
                    AssistOutput::Wait(deadline) => Wish::Wait(deadline),
                }
            }
        })
    }

    fn on_wait(&mut self, stage: &mut Stage<'_>, socket: Socket, deadline: Option<Instant>) {
        match self.poll(stage, socket) {
            Some(Wish::Wait(again)) => {
                assert_eq!(again, deadline, "draining again moved the deadline");
            }
            Some(_) | None => panic!("{socket:?} was drained, and has more to say"),
        }
        let now = stage.now.after(self.clock);
        if let Some(deadline) = deadline {
            assert!(
                deadline > now,
                "{socket:?}: it is {now}, and {deadline} is still due"
            );
        }
        let clock = Instant::ZERO.after(self.clock);
        let open = self.connections.get_mut(&socket).expect("just polled");
        open.deadline = deadline.map(|at| Instant::ZERO.after(at.since(clock)).max(stage.now));
    }

    fn carry_out(&mut self, stage: &mut Stage<'_>, socket: Socket, wish: Wish) {
        let name = self.connections[&socket].name.clone();
        match wish {
            Wish::Read(exactly) => {
                assert!(
                    (1..=MAX_FRAME).contains(&exactly),
                    "{name}: reads {exactly}"
                );
                let open = self.connections.get_mut(&socket).expect("just polled");
                assert_eq!(open.reading, None, "{name}: a second read");
                open.reading = Some(exactly);
                self.mail.push_back((socket, Mail::Look));
            }
            Wish::Send(data) => {
                assert!(!data.is_empty(), "{name}: an empty send");
                stage
                    .trace
                    .line(stage.now, format!("{name}: sends {} B", data.len()));
                stage.net.send(stage.now, self.host, socket, &data);
                self.mail.push_back((socket, Mail::Look));
            }
            Wish::DialBack(port, other_address, to) => {
                self.dial_back(stage, socket, (port, other_address, to));
            }
            Wish::Register(peer, epoch) => self.register(socket, peer, epoch),
            Wish::Route(routed) => {
                stage
                    .trace
                    .line(stage.now, format!("{name}: routes {}", summary(&routed)));
                self.route(socket, *routed);
            }
            Wish::Observe(observation) => match self.handles.get(&observation.handle) {
                Some(&link) => self.mail.push_back((link, Mail::Observed(observation))),
                None => self.mail.push_back((socket, Mail::ObservationUnroutable)),
            },
            Wish::Event(event) => {
                stage
                    .trace
                    .line(stage.now, format!("{name}: EVENT {event:?}"));
                self.events.push((stage.now, event));
            }
            Wish::Close(_) | Wish::Wait(_) => unreachable!("they end the drain"),
        }
    }

    fn register(&mut self, socket: Socket, peer: PeerId, epoch: u64) {
        match self.registered.get(&peer) {
            Some(&(_, other)) if other == socket => {}
            Some(&(there, _)) if there > epoch => {
                self.mail.push_back((socket, Mail::Replaced));
                return;
            }
            Some(&(_, other)) => self.mail.push_back((other, Mail::Replaced)),
            None => {}
        }
        self.registered.insert(peer, (epoch, socket));
    }

    fn route(&mut self, socket: Socket, mut routed: Routed) {
        if let Some(tamper) = &mut self.tamper {
            tamper(&mut routed);
        }
        let mail = match self.registered.get(&routed.to) {
            Some(&(_, link)) => (link, Mail::Routed(routed)),
            None => (socket, Mail::Unroutable(routed)),
        };
        self.mail.push_back(mail);
    }

    fn close(&mut self, stage: &mut Stage<'_>, socket: Socket, how: Close) {
        let Some(open) = self.connections.remove(&socket) else {
            return;
        };
        stage
            .trace
            .line(stage.now, format!("{}: closes {how:?}", open.name));
        self.registered.retain(|_, (_, link)| *link != socket);
        self.handles.retain(|_, link| *link != socket);
        stage.net.close(stage.now, self.host, socket, how);
    }
}

fn summary(routed: &Routed) -> String {
    let message = format!("{:?}", routed.message);
    let kind: String = message
        .chars()
        .take_while(|c| c.is_alphanumeric())
        .collect();
    let short = |peer: &PeerId| peer.to_string().chars().take(6).collect::<String>();
    format!(
        "{kind} of {} from {} to {}",
        routed.session,
        short(&routed.from),
        short(&routed.to)
    )
}
