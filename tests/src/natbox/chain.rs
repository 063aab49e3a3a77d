//! Boxes behind boxes: a home's NAT behind a carrier's.

use tcp_punch_proto::Instant;

use super::nat_box::NatBox;
use super::verdict::{Side, Verdict};

/// No packet turns around more often than that before its hop limit would end it.
const TURNS: usize = 256;

/// Several boxes in a row, the innermost first.
#[derive(Debug)]
pub struct Chain {
    /// The boxes. A chain of none passes everything.
    pub boxes: Vec<NatBox>,
}

impl Chain {
    /// Takes a packet at one end; what leaves the chain, and at which end.
    pub fn handle(&mut self, now: Instant, from: Side, packet: &[u8]) -> Option<(Side, Vec<u8>)> {
        let at = match from {
            Side::Inside => 0,
            Side::Outside => self.boxes.len(),
        };
        self.travel(now, from.other(), at, packet.to_vec())
    }

    /// The earliest of the boxes' times.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.boxes.iter().filter_map(NatBox::poll_timeout).min()
    }

    /// What leaves the chain because its time has come; to be called until there is none.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<(Side, Vec<u8>)> {
        for at in 0..self.boxes.len() {
            while let Some(packet) = self.boxes[at].handle_timeout(now) {
                let left = self.travel(now, Side::Outside, at + 1, packet);
                if left.is_some() {
                    return left;
                }
            }
        }
        None
    }

    /// From before the box of that number on, towards a side. Gap 0 is the inner end.
    fn travel(
        &mut self,
        now: Instant,
        mut towards: Side,
        mut gap: usize,
        mut packet: Vec<u8>,
    ) -> Option<(Side, Vec<u8>)> {
        for _ in 0..TURNS {
            let next = match towards {
                Side::Outside => self.boxes.get_mut(gap),
                Side::Inside => gap.checked_sub(1).and_then(|at| self.boxes.get_mut(at)),
            };
            let Some(next) = next else {
                return Some((towards, packet));
            };
            let verdict = next.handle(now, towards.other(), &packet);
            if let Verdict::Drop(_) = verdict {
                return None;
            }
            let from = towards.other();
            (towards, packet) = verdict.emitted(from)?;
            if towards != from {
                gap = match towards {
                    Side::Outside => gap + 1,
                    Side::Inside => gap - 1,
                };
            }
        }
        None
    }
}
