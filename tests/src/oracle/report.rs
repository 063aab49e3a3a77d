//! What a peer behind such boxes finds out about them, when all that is tested is tested and nothing is lost.

use std::time::Duration;

use tcp_punch_proto::NatReport;
use tcp_punch_proto::event::Mapping as Seen;
use tcp_punch_proto::nat::{Allocation, EarlySyn, Filtering};
use tcp_punch_proto::noise::Role;

use super::passage::{Answer, Source, Way, admits};
use super::ports::Towards;
use super::topology::{Stack, Topology, translates};
use crate::natbox::{self, Config, Early, Hairpin, Mapping};

/// How long the server waits for what becomes of its dials.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the server has to look from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Two ports of one address.
    OneAddress,
    /// The same, and another address.
    TwoAddresses,
}

/// The report of one side. Strictness is not in it: who takes no SYN looks like who takes none of strangers.
#[must_use]
pub fn report_of(topology: &Topology, role: Role, server: Server) -> NatReport {
    let mut levels = topology.own(role).to_vec();
    levels.extend(&topology.shared);
    let way = Way::through(&levels, Stack::Linux);
    let far = server == Server::TwoAddresses;
    let (mapping, allocation) = mapping(&levels, &way, far);
    let (filtering, early_syn) = dial_backs(&levels, &way, far);
    let is_translated = levels.iter().any(translates);
    NatReport {
        translated: Some(is_translated),
        mapping,
        mapping_from_two_addresses: far,
        allocation,
        preserves_port: is_translated.then_some(way.is_preserved()),
        filtering,
        early_syn,
        hairpin: is_translated.then(|| hairpins(&levels)),
        levels: u8::try_from(levels.iter().filter(|level| translates(level)).count()).ok(),
        seen: 1,
        revision: 1,
    }
}

/// From the outer ports of one inner one, at another port of the server's address and at another address.
fn mapping(levels: &[Config], way: &Way, far: bool) -> (Seen, Allocation) {
    let allocation = match way.towards() {
        Towards::Kept => return (Seen::EndpointIndependent, Allocation::Unknown),
        Towards::Stepping(step) => match i16::try_from(step) {
            // A step that is longer is not told from chance.
            Ok(step) if step <= 1_024 => Allocation::Step(step),
            Ok(_) | Err(_) => Allocation::Random,
        },
        Towards::Random => Allocation::Random,
    };
    let by_port = levels
        .iter()
        .any(|level| level.mapping == Mapping::AddressAndPortDependent);
    match (by_port, far) {
        (true, _) => (Seen::AddressAndPortDependent, allocation),
        (false, true) => (Seen::AddressDependent, allocation),
        (false, false) => (Seen::EndpointIndependent, Allocation::Unknown),
    }
}

/// From what becomes of the server's dials to a port that has spoken to it alone.
fn dial_backs(levels: &[Config], way: &Way, far: bool) -> (Filtering, EarlySyn) {
    let near = way.meets(Source::KnownAddress);
    let other = way.meets(Source::Stranger);
    let filtering = match (near, other) {
        (_, Answer::In) if far => Filtering::Open,
        (Answer::In, _) if far => Filtering::AddressDependent,
        (_, _) if far => Filtering::AddressAndPortDependent,
        (Answer::In, _) => Filtering::NotTested,
        (_, _) => Filtering::NotOpen,
    };
    let refused = || {
        [Some(near), far.then_some(other)]
            .into_iter()
            .flatten()
            .filter(|answer| *answer != Answer::In)
    };
    // The worse of two answers is believed.
    let worse = refused().find(|answer| *answer != Answer::Silence);
    let early = match worse.or_else(|| refused().next()) {
        None | Some(Answer::In) => EarlySyn::NotTested,
        Some(Answer::Silence) if held(levels) => EarlySyn::Unreachable,
        Some(Answer::Silence) => EarlySyn::Silence,
        Some(Answer::Reset) => EarlySyn::Reset,
        Some(Answer::Unreachable) => EarlySyn::Unreachable,
    };
    (filtering, early)
}

/// Whether the outermost box that is not open holds SYNs, and not for long.
fn held(levels: &[Config]) -> bool {
    let closed = levels
        .iter()
        .rev()
        .find(|level| admits(level) != natbox::Filtering::Open);
    closed.is_some_and(|level| matches!(level.early, Early::Hold(patience) if patience <= PATIENCE))
}

/// From a dial to the own outer address, at a port that has spoken to the server alone.
fn hairpins(levels: &[Config]) -> bool {
    let Some(turn) = levels.iter().rposition(translates) else {
        return false;
    };
    levels[turn].hairpin == Hairpin::OuterSource
        && Way::through(&levels[..turn], Stack::Linux).meets(Source::Stranger) == Answer::In
}
