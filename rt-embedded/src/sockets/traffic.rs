//! Lets packets in and out.

use proto::Instant;
use smoltcp::iface::{Interface, PollIngressSingleResult, PollResult, SocketSet};
use smoltcp::phy::Device;

use super::{Sockets, ends, socket_mut};
use crate::convert::to_stack;
use crate::tap::Tap;

impl<const SOCKETS: usize, const PORTS: usize> Sockets<SOCKETS, PORTS> {
    /// Polls the interface, one packet after another: what each leaves of the
    /// listening sockets is made up for before the next.
    pub(crate) fn poll_interface<D: Device + ?Sized>(
        &mut self,
        now: Instant,
        iface: &mut Interface,
        set: &mut SocketSet<'_>,
        device: &mut D,
    ) {
        let now = to_stack(now);
        iface.poll_maintenance(now);
        loop {
            let mut tap = Tap::new(device, &mut self.watch);
            match iface.poll_ingress_single(now, &mut tap, set) {
                PollIngressSingleResult::None => break,
                PollIngressSingleResult::PacketProcessed => {}
                PollIngressSingleResult::SocketStateChanged => self.refill(set),
            }
        }
        let mut tap = Tap::new(device, &mut self.watch);
        while iface.poll_egress(now, &mut tap, set) == PollResult::SocketStateChanged {}
        self.restore_hop_limits(set);
        self.refill(set);
    }

    /// Gives sockets whose first SYN has left the default hop limit.
    fn restore_hop_limits(&mut self, set: &mut SocketSet<'_>) {
        while let Some(dial) = self.watch.pop() {
            for slot in &self.slots {
                if ends(set, slot.handle) == Some((dial.port, dial.remote)) {
                    socket_mut(set, slot.handle).set_hop_limit(None);
                }
            }
        }
    }
}
