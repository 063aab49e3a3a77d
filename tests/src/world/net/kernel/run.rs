//! Packets in and out, and what came of it for the programs.

use std::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket as TcpSocket, State};
use smoltcp::wire::IpListenEndpoint;
use tcp_punch_proto::{Endpoint, Failure, Instant};

use super::super::packet::Glance;
use super::super::stack::{Stack, from_stack_endpoint, to_stack_address};
use super::super::{Happening, Socket};
use super::{Kernel, Phase, find};

/// How long a closed socket waits for the other side's FIN (Linux:
/// `tcp_fin_timeout`); longer, where nothing makes the host look at it.
const FIN_TIMEOUT: Duration = Duration::from_secs(60);

impl Kernel {
    /// Lets packets in and out, and tells what came of it.
    pub(crate) fn run(
        &mut self,
        now: Instant,
        stack: &mut Stack,
        fresh: impl FnOnce() -> Socket,
    ) -> Vec<(Socket, Happening)> {
        let refused = self.take_unreachable(stack);
        let made = self.make_room(stack);
        let before = stack.wire.outgoing.len();
        let local = stack.local(now);
        let Stack {
            iface, set, wire, ..
        } = stack;
        iface.poll(local, wire, set);
        if let Some((listener, handle)) = made {
            if stack.socket(handle).state() == State::Listen {
                stack.set.remove(handle);
            } else {
                self.insert(fresh(), handle, Phase::HalfOpen(listener));
            }
        }
        for packet in stack.wire.outgoing.iter().skip(before) {
            if let Some(glance) = Glance::at(packet) {
                self.numbers.note(&glance, packet);
            }
        }
        self.bury(now, stack);
        let mut news = self.look(stack);
        news.extend(refused);
        news
    }

    /// A listening socket for the SYN that is about to be looked at, if it is
    /// one and somebody listens.
    fn make_room(&self, stack: &mut Stack) -> Option<(Socket, SocketHandle)> {
        let glance = Glance::at(stack.wire.incoming.front()?)?;
        if !glance.opens() || !stack.addresses.contains(&glance.to.ip) {
            return None;
        }
        let mut listeners = self.listeners.iter();
        let (&listener, _) = listeners.find(|(_, local)| takes(**local, glance.to))?;
        if let Some(handle) = find(stack, (glance.to, glance.from)) {
            // A new SYN is welcome while the old connection waits (RFC 6191).
            let is_orphan = self.orphans.iter().any(|(orphan, _)| *orphan == handle);
            if stack.socket(handle).state() != State::TimeWait || !is_orphan {
                if stack.socket(handle).may_send() {
                    stack.wire.incoming.pop_front();
                    let answer = self.numbers.challenge(&glance);
                    stack.wire.outgoing.extend(answer);
                }
                return None;
            }
            stack.socket_mut(handle).abort();
            stack.socket_mut(handle).listen(1).ok()?;
            stack.socket_mut(handle).abort();
        }
        let handle = stack.add_socket();
        let at = IpListenEndpoint {
            addr: Some(to_stack_address(glance.to.ip)),
            port: glance.to.port,
        };
        stack.socket_mut(handle).listen(at).ok()?;
        Some((listener, handle))
    }

    /// Removes orphans that have said and heard all.
    fn bury(&mut self, now: Instant, stack: &mut Stack) {
        self.orphans.retain_mut(|(handle, until)| {
            let handle = *handle;
            let connection = stack.socket_mut(handle);
            // A full buffer would keep the other side's FIN away.
            while connection
                .recv(|data| (data.len(), data.len()))
                .is_ok_and(|count| count > 0)
            {}
            let is_closed =
                connection.state() == State::Closed && connection.remote_endpoint().is_none();
            let waits = connection.state() == State::FinWait2;
            let is_over =
                is_closed || (waits && *until.get_or_insert_with(|| now.after(FIN_TIMEOUT)) <= now);
            if is_over {
                stack.set.remove(handle);
            }
            !is_over
        });
    }

    fn look(&mut self, stack: &mut Stack) -> Vec<(Socket, Happening)> {
        let mut news = Vec::new();
        let mut gone = Vec::new();
        for (&socket, open) in &mut self.open {
            let connection = stack.socket_mut(open.handle);
            if open.phase == Phase::Dialling {
                // It was the first SYN's, and that has left.
                connection.set_hop_limit(None);
            }
            match (open.phase, connection.state()) {
                (Phase::Dialling, State::SynSent | State::SynReceived)
                | (Phase::HalfOpen(_), State::SynReceived) => continue,
                (Phase::Dialling, State::Closed | State::Listen) => {
                    news.push((socket, Happening::DialFailed(Failure::Refused)));
                    gone.push(socket);
                    continue;
                }
                (Phase::HalfOpen(_), State::Closed | State::Listen) => {
                    gone.push(socket);
                    continue;
                }
                (phase @ (Phase::Dialling | Phase::HalfOpen(_)), _) => {
                    let ends = (connection.local_endpoint(), connection.remote_endpoint());
                    let (Some(local), Some(remote)) = ends else {
                        gone.push(socket);
                        continue;
                    };
                    let (local, remote) = (from_stack_endpoint(local), from_stack_endpoint(remote));
                    let what = if let Phase::HalfOpen(listener) = phase {
                        Happening::Accepted {
                            listener,
                            local,
                            remote,
                        }
                    } else {
                        Happening::Connected { local }
                    };
                    open.phase = Phase::Up;
                    news.push((socket, what));
                }
                (Phase::Up, _) => {}
            }
            let there = connection.recv_queue();
            if there > open.known {
                open.known = there;
                news.push((socket, Happening::Readable));
            }
            let is_over = open.overflowed || !connection.may_send() || is_half_closed(connection);
            if is_over && !open.end_is_known {
                open.end_is_known = true;
                news.push((socket, Happening::Ended));
            }
        }
        for socket in gone {
            if let Some(open) = self.open.remove(&socket) {
                stack.set.remove(open.handle);
            }
        }
        news
    }
}

fn takes(listener: Endpoint, local: Endpoint) -> bool {
    let port = listener.port == local.port || listener.port == 0;
    let everywhere = listener.ip.is_unspecified() && listener.family() == local.family();
    port && (listener.ip == local.ip || everywhere)
}

fn is_half_closed(connection: &TcpSocket<'_>) -> bool {
    connection.state() == State::CloseWait
}
