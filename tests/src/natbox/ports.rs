//! Giving out outer ports.

use tcp_punch_proto::noise::Jitter;

use super::config::{Allocation, Ports};

/// The ports, and where their giving out has come to.
#[derive(Debug)]
pub(super) struct Allocator {
    ports: Ports,
    next: u16,
}

impl Allocator {
    pub(super) fn new(mut ports: Ports) -> Self {
        if let Allocation::Sequential { step } = ports.allocation {
            // A few ports less, where the steps would come round to the same ones and miss the others.
            while gcd(u32::from(ports.high - ports.low) + 1, step.into()) > 1 {
                ports.high -= 1;
            }
        }
        Self {
            ports,
            next: ports.low,
        }
    }

    /// A port for an inner one, among those that are free; `None` where all are taken.
    pub(super) fn choose(
        &mut self,
        inner: u16,
        random: &mut Jitter,
        is_free: impl Fn(u16) -> bool,
    ) -> Option<u16> {
        let Ports {
            low,
            high,
            allocation,
            ..
        } = self.ports;
        match allocation {
            Allocation::Preserve if (low..=high).contains(&inner) && is_free(inner) => Some(inner),
            Allocation::Preserve | Allocation::Random => {
                let start = u64::from(high - low) + 1;
                let start = u16::try_from(random.below(start)).unwrap_or_default();
                self.scan(low + start, 1).find(|&port| is_free(port))
            }
            Allocation::Sequential { step } => {
                let port = self.scan(self.next, step).find(|&port| is_free(port))?;
                self.next = self.after(port, step);
                Some(port)
            }
        }
    }

    /// From a port on in steps, as many as there are ports.
    fn scan(&self, start: u16, step: u16) -> impl Iterator<Item = u16> + use<'_> {
        let all = usize::from(self.ports.high - self.ports.low) + 1;
        std::iter::successors(Some(start), move |&port| Some(self.after(port, step))).take(all)
    }

    fn after(&self, port: u16, step: u16) -> u16 {
        let (low, high) = (u32::from(self.ports.low), u32::from(self.ports.high));
        let next = low + (u32::from(port) - low + u32::from(step)) % (high - low + 1);
        next as u16
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
