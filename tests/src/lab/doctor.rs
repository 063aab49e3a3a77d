//! Whether `tcp-punch doctor` names what each kind of NAT does.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::nat::NatKind;
use super::network::{Network, Plan};
use super::procs::Running;
use super::program::Program;
use super::stage::Stage;
use super::topology::{Family, Layout};
use super::wan::Conditions;

/// The report must be there by then.
pub const WITHIN: Duration = Duration::from_secs(5);

/// What the doctor must say of a kind.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The kind; none: the host itself is on the WAN.
    pub kind: &'static str,
    /// The report's fields, but for those that do not matter.
    pub fields: Value,
}

/// What it must say of every kind there is.
#[must_use]
pub fn expectations() -> Vec<Expected> {
    let cone = |nat: &str, filtering: &str, early: &str| {
        json!({
            "nat": nat, "translated": true, "mapping": "endpoint-independent", "mapping_from_two_addresses": true,
            "preserves_port": true, "filtering": filtering, "early_syn": early, "hairpin": false,
        })
    };
    let restricted = |early| cone("port-restricted cone", "address-and-port-dependent", early);
    let changed = |mut fields: Value, changes: Value| {
        for (name, value) in changes.as_object().into_iter().flatten() {
            fields[name] = value.clone();
        }
        fields
    };
    let symmetric = |allocation: &str| {
        changed(
            restricted("silence"),
            json!({
                "nat": "symmetric", "mapping": "address-and-port-dependent", "allocation": allocation,
                "preserves_port": false,
            }),
        )
    };
    let other_port = || changed(restricted("silence"), json!({ "preserves_port": false }));
    // A port that happens to lie in the NAT's range is kept.
    let mut in_range = restricted("silence");
    in_range
        .as_object_mut()
        .map(|fields| fields.remove("preserves_port"));
    let rows = [
        (
            "none",
            json!({ "nat": "no NAT", "translated": false, "filtering": "open", "hairpin": null }),
        ),
        ("drop", restricted("silence")),
        ("rst-rule", restricted("RST")),
        ("rst", restricted("RST")),
        // To the server a port unreachable is a refusal like a RST: Linux says
        // ECONNREFUSED for both.
        ("icmp", restricted("RST")),
        ("icmp-admin", restricted("ICMP")),
        ("full-cone", cone("full cone", "open", "not tested")),
        (
            "address-restricted",
            cone("restricted cone", "address-dependent", "silence"),
        ),
        ("symmetric", symmetric("random")),
        ("symmetric-seq", symmetric("steps of 1")),
        ("eim-range", in_range),
        ("eim-random", other_port()),
        (
            "hairpin",
            changed(restricted("silence"), json!({ "hairpin": true })),
        ),
        ("symmetric-256", symmetric("steps of 256")),
        ("strict", restricted("silence")),
        ("stateless", restricted("silence")),
    ];
    rows.into_iter()
        .map(|(kind, fields)| Expected { kind, fields })
        .collect()
}

/// Runs the doctor behind a NAT of that kind: its report, and how long it took.
///
/// # Errors
/// When the network cannot be made, or the doctor says nothing; the error carries its words.
pub fn examine(program: &Program, kind: &str) -> io::Result<(Value, Duration)> {
    let layout = Layout {
        a: NatKind::named(kind).into_iter().collect(),
        ..Layout::default()
    };
    let millis = Duration::from_millis;
    let plan = Plan {
        layout,
        family: Family::V4,
        conditions: Conditions::from_rtt(millis(40), millis(40), millis(80)),
    };
    let stage = Stage::new(Network::build(&plan)?, program)?;
    let server = stage.server(&[])?;
    let mut command = program.command();
    command.args(["doctor", "--json", "--server", &server.address]);
    let start = Instant::now();
    let running = Running::start(&stage.network.a.namespace, command)?;
    let line = running.first_line(start + 2 * WITHIN);
    let took = start.elapsed();
    let report = line.and_then(|line| serde_json::from_str(&line).ok());
    let silent = || io::Error::other(format!("no report; it said: {}", running.log().words()));
    Ok((report.ok_or_else(silent)?, took))
}

/// The fields in which a report is not as expected, each with what it says instead.
#[must_use]
pub fn differences(expected: &Value, report: &Value) -> Vec<String> {
    let fields = expected.as_object().into_iter().flatten();
    fields
        .filter(|(name, value)| report[name.as_str()] != **value)
        .map(|(name, value)| format!("{name} is {}, not {value}", report[name.as_str()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::nat::KINDS;

    #[test]
    fn every_kind_is_expected_to_be_named() {
        let expected = expectations();
        for kind in KINDS {
            assert!(
                expected.iter().any(|row| row.kind == kind.name),
                "{}",
                kind.name
            );
        }
        assert_eq!(expected.len(), KINDS.len() + 1, "and a host without a NAT");
    }

    #[test]
    fn what_differs_is_told() {
        let expected = json!({ "nat": "full cone", "hairpin": false });
        let report = json!({ "nat": "symmetric", "hairpin": false, "more": 1 });
        assert_eq!(
            differences(&expected, &report),
            [r#"nat is "symmetric", not "full cone""#]
        );
    }
}
