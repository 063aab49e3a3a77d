//! What is told of a side besides its endpoints: bytes behind a length, so that
//! later versions can tell more. Bytes that are missing read as "not known",
//! bytes behind those that are known are skipped.

use serde::{Deserialize, Deserializer, Serializer};

use crate::event::Mapping;
use crate::nat::{Allocation, EarlySyn, Filtering, NatReport};
use crate::plan::Abilities;

const NOT_KNOWN: u8 = 0;

fn at(bytes: &[u8], index: usize) -> u8 {
    bytes.get(index).copied().unwrap_or(NOT_KNOWN)
}

fn u16_at(bytes: &[u8], index: usize) -> u16 {
    u16::from_be_bytes([at(bytes, index), at(bytes, index.saturating_add(1))])
}

/// Two bits: 0 not known, 1 no, 2 yes.
const fn answer_bits(answer: Option<bool>) -> u8 {
    match answer {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    }
}

const fn answer(bits: u8) -> Option<bool> {
    match bits & 3 {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    }
}

/// `NatReport` as 11 bytes.
pub(super) mod report {
    use super::*;

    pub(in crate::wire) fn serialize<S: Serializer>(
        report: &NatReport,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let answers = answer_bits(report.translated)
            | answer_bits(report.preserves_port) << 2
            | answer_bits(report.hairpin) << 4
            | u8::from(report.mapping_from_two_addresses) << 6;
        let mapping = match report.mapping {
            Mapping::Unknown => 0,
            Mapping::EndpointIndependent => 1,
            Mapping::AddressDependent => 2,
            Mapping::AddressAndPortDependent => 3,
        };
        let (allocation, step) = match report.allocation {
            Allocation::Unknown => (0, 0),
            Allocation::Step(step) => (1, step),
            Allocation::Random => (2, 0),
        };
        let filtering = match report.filtering {
            Filtering::NotTested => 0,
            Filtering::Open => 1,
            Filtering::AddressDependent => 2,
            Filtering::AddressAndPortDependent => 3,
            Filtering::NotOpen => 4,
        };
        let early_syn = match report.early_syn {
            EarlySyn::NotTested => 0,
            EarlySyn::Silence => 1,
            EarlySyn::Reset => 2,
            EarlySyn::Unreachable => 3,
        };
        let [step_high, step_low] = step.to_be_bytes();
        let [revision_high, revision_low] = report.revision.to_be_bytes();
        let levels = report.levels.map_or(0, |levels| levels.saturating_add(1));
        to.serialize_bytes(&[
            answers,
            mapping,
            allocation,
            step_high,
            step_low,
            filtering,
            early_syn,
            levels,
            report.seen,
            revision_high,
            revision_low,
        ])
    }

    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<NatReport, D::Error> {
        let bytes = <&[u8]>::deserialize(from)?;
        let answers = at(bytes, 0);
        Ok(NatReport {
            translated: answer(answers),
            preserves_port: answer(answers >> 2),
            hairpin: answer(answers >> 4),
            mapping_from_two_addresses: answers & 1 << 6 != 0,
            mapping: match at(bytes, 1) {
                1 => Mapping::EndpointIndependent,
                2 => Mapping::AddressDependent,
                3 => Mapping::AddressAndPortDependent,
                _ => Mapping::Unknown,
            },
            allocation: match at(bytes, 2) {
                1 if u16_at(bytes, 3) != 0 => Allocation::Step(u16_at(bytes, 3).cast_signed()),
                1 | 2 => Allocation::Random,
                _ => Allocation::Unknown,
            },
            filtering: match at(bytes, 5) {
                1 => Filtering::Open,
                2 => Filtering::AddressDependent,
                3 => Filtering::AddressAndPortDependent,
                4 => Filtering::NotOpen,
                _ => Filtering::NotTested,
            },
            early_syn: match at(bytes, 6) {
                1 => EarlySyn::Silence,
                2 => EarlySyn::Reset,
                3 => EarlySyn::Unreachable,
                _ => EarlySyn::NotTested,
            },
            levels: at(bytes, 7).checked_sub(1),
            seen: at(bytes, 8),
            revision: u16_at(bytes, 9),
        })
    }
}

/// `Abilities` as 4 bytes.
pub(super) mod abilities {
    use super::*;

    const RAW: u8 = 1;
    const SPOOF: u8 = 2;

    pub(in crate::wire) fn serialize<S: Serializer>(
        abilities: &Abilities,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let [dials_high, dials_low] = abilities.dials.to_be_bytes();
        to.serialize_bytes(&[
            flag(abilities.raw, RAW) | flag(abilities.spoof, SPOOF),
            abilities.hops.unwrap_or(NOT_KNOWN),
            dials_high,
            dials_low,
        ])
    }

    pub(in crate::wire) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Abilities, D::Error> {
        let bytes = <&[u8]>::deserialize(from)?;
        let flags = at(bytes, 0);
        Ok(Abilities {
            raw: flags & RAW != 0,
            spoof: flags & SPOOF != 0,
            hops: Some(at(bytes, 1)).filter(|hops| *hops != NOT_KNOWN),
            dials: u16_at(bytes, 2),
        })
    }
}
