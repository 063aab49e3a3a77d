//! ICMP errors about connections of the box: they pass, translated outside and inside, and change nothing (RFC 5382,
//! REQ-10).

use super::config::{Addresses, Config};
use super::table::Table;
use super::verdict::{Reason, Side};
use super::wire::{self, End, Headers, Quote};

/// The error as it goes on to the other side.
pub(super) fn translate(
    table: &mut Table,
    (config, addresses): (&Config, &Addresses),
    from: Side,
    packet: &[u8],
    headers: &Headers,
    quote: &Quote,
) -> Result<Vec<u8>, Reason> {
    let mut packet = packet.to_vec();
    wire::set_hop_limit(&mut packet, headers.hop_limit.saturating_sub(1));
    let translated = config.translates(headers.source);
    match from {
        // About a segment that went out: its source, as the outside knows it, is an outer endpoint.
        Side::Outside => {
            let flow = table.outer_flow(quote.source, quote.destination);
            let inner = flow.ok_or(Reason::Unrelated)?.inner;
            if translated {
                wire::rewrite_address(&mut packet, End::Destination, inner.ip());
                wire::rewrite_quote(&mut packet, quote, End::Source, inner);
            }
        }
        // About a segment that came in: its destination, as the inside knows it, is an inner endpoint.
        Side::Inside => {
            let flow = table.inner_flow(quote.destination, quote.source);
            let outer = flow.ok_or(Reason::Unrelated)?.outer;
            if translated {
                let own = addresses.outer_v4.ok_or(Reason::NotForMe)?;
                wire::rewrite_address(&mut packet, End::Source, own.into());
                wire::rewrite_quote(&mut packet, quote, End::Destination, outer);
            }
        }
    }
    Ok(packet)
}
