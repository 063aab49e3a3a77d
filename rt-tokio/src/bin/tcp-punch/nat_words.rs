//! A NAT in words, and as fields for scripts.

use serde_json::{Value, json};
use tcp_punch_tokio::{Allocation, EarlySyn, Filtering, Mapping, NatReport};

pub(crate) fn report_fields(report: &NatReport) -> Value {
    json!({
        "nat": report.classic_name(),
        "translated": report.translated,
        "mapping": report.mapping.to_string(),
        "mapping_from_two_addresses": report.mapping_from_two_addresses,
        "allocation": report.allocation.to_string(),
        "port_step": match report.allocation {
            Allocation::Step(step) => Some(step),
            Allocation::Unknown | Allocation::Random => None,
        },
        "preserves_port": report.preserves_port,
        "filtering": report.filtering.to_string(),
        "early_syn": report.early_syn.to_string(),
        "hairpin": report.hairpin,
        "levels": report.levels,
        "seen": report.seen,
    })
}

/// One line; what was not tested is left out.
pub(crate) fn report_in_words(report: &NatReport) -> String {
    let mut words = vec![report.classic_name().to_owned()];
    let mut add = |text: &str| words.push(text.to_owned());
    match (report.mapping, report.allocation) {
        (Mapping::Unknown | Mapping::EndpointIndependent, _) => {}
        (_, Allocation::Step(step)) => add(&format!("outer ports rise by {step}")),
        (_, Allocation::Random) => add("outer ports are random"),
        (_, Allocation::Unknown) => add("no rule of its outer ports is known"),
    }
    match report.filtering {
        Filtering::NotTested => {}
        Filtering::Open => add("lets anybody in"),
        Filtering::AddressDependent => add("lets in whose address was dialled"),
        Filtering::AddressAndPortDependent => add("lets in whose address and port were dialled"),
        Filtering::NotOpen => add("does not let just anybody in"),
    }
    match report.early_syn {
        EarlySyn::NotTested => {}
        EarlySyn::Silence => add("drops what comes early"),
        EarlySyn::Reset => add("answers what comes early with RST"),
        EarlySyn::Unreachable => add("answers what comes early with ICMP"),
    }
    match report.levels {
        None => {}
        Some(1) => add("1 level"),
        Some(levels) => add(&format!("{levels} levels")),
    }
    words.join(", ")
}

/// How sure that is.
pub(crate) fn confidence(report: &NatReport) -> String {
    match report.seen {
        0 => "not tested".to_owned(),
        1 => "found once".to_owned(),
        times => format!("found {times} times in a row"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_of_what_is_not_known() {
        assert_eq!(report_in_words(&NatReport::default()), "unknown");
        let report = NatReport {
            mapping: Mapping::AddressAndPortDependent,
            allocation: Allocation::Step(2),
            filtering: Filtering::AddressAndPortDependent,
            early_syn: EarlySyn::Reset,
            levels: Some(2),
            ..NatReport::default()
        };
        assert_eq!(
            report_in_words(&report),
            "symmetric, outer ports rise by 2, lets in whose address and port were dialled, answers \
             what comes early with RST, 2 levels"
        );
    }
}
