//! Whether `tcp-punch doctor` names what each kind of NAT does.

use std::io;
use std::net::SocketAddr;
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

/// What the doctor must say of a host's NATs.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The NATs from the host outwards, joined by `+`; `none`: the host itself is on the WAN.
    pub nats: &'static str,
    /// Whether the server has another address to look from.
    pub second_address: bool,
    /// The report's fields, but for those that do not matter.
    pub fields: Value,
}

/// What it must say of every kind there is, of two levels, and with a server that sees less.
#[must_use]
pub fn expectations() -> Vec<Expected> {
    let cone = |nat: &str, filtering: &str, early: &str| {
        json!({
            "nat": nat, "translated": true, "mapping": "endpoint-independent", "mapping_from_two_addresses": true,
            "preserves_port": true, "filtering": filtering, "early_syn": early, "hairpin": false, "levels": 1,
        })
    };
    let restricted = |early| cone("port-restricted cone", "address-and-port-dependent", early);
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
    let two = |fields| changed(fields, json!({ "levels": 2 }));
    let without = |mut fields: Value, name: &str| {
        fields.as_object_mut().map(|fields| fields.remove(name));
        fields
    };
    // A port that happens to lie in the NAT's range is kept.
    let in_range = without(restricted("silence"), "preserves_port");
    let none = json!({
        "nat": "no NAT", "translated": false, "filtering": "open", "hairpin": null, "levels": null,
    });
    let rows = [
        ("none", none),
        ("drop", restricted("silence")),
        ("rst-rule", restricted("RST")),
        ("rst", restricted("RST")),
        ("icmp", restricted("ICMP")),
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
        // The kernel's rules for it translate TCP alone: no router's ICMP error finds the way back in.
        ("stateless", without(restricted("silence"), "levels")),
        ("drop+drop", two(restricted("silence"))),
        ("drop+rst", two(restricted("RST"))),
        // The outer one lets everybody in, and the inner one nobody.
        ("rst+full-cone", two(restricted("RST"))),
        ("drop+symmetric", two(symmetric("random"))),
    ];
    let seen = |second_address| {
        move |(nats, fields)| Expected {
            nats,
            second_address,
            fields,
        }
    };
    rows.into_iter()
        .map(seen(true))
        .chain(from_one_address().into_iter().map(seen(false)))
        .collect()
}

/// With a server that has one address: what only another one could show is not tested.
fn from_one_address() -> [(&'static str, Value); 4] {
    let seen = |nat: &str, filtering: &str| {
        json!({
            "nat": nat, "translated": true, "mapping": "endpoint-independent", "mapping_from_two_addresses": false,
            "filtering": filtering, "levels": 1,
        })
    };
    [
        ("drop", seen("port-restricted cone", "not open")),
        (
            "address-restricted",
            seen("cone of some kind", "not tested"),
        ),
        ("full-cone", seen("cone of some kind", "not tested")),
        (
            "symmetric",
            changed(
                seen("symmetric", "not open"),
                json!({ "mapping": "address-and-port-dependent", "allocation": "random" }),
            ),
        ),
    ]
}

fn changed(mut fields: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().into_iter().flatten() {
        fields[name] = value.clone();
    }
    fields
}

/// Runs the doctor behind such NATs: its report, and how long it took.
///
/// # Errors
/// When the network cannot be made, or the doctor says nothing; the error carries its words.
pub fn examine(program: &Program, row: &Expected) -> io::Result<(Value, Duration)> {
    let layout = Layout {
        a: row.nats.split('+').filter_map(NatKind::named).collect(),
        ..Layout::default()
    };
    let millis = Duration::from_millis;
    let plan = Plan {
        layout,
        family: Family::V4,
        conditions: Conditions::from_rtt(millis(40), millis(40), millis(80)),
    };
    let stage = Stage::new(Network::build(&plan)?, program)?;
    let [one, other] = stage.assist_endpoints();
    let second = if row.second_address {
        other
    } else {
        SocketAddr::new(one.ip(), one.port() + 1)
    };
    let server = stage.server_at(&[one, second], &[])?;
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
                expected.iter().any(|row| row.nats == kind.name),
                "{}",
                kind.name
            );
        }
        let kinds = |row: &&Expected| {
            row.nats
                .split('+')
                .all(|name| NatKind::named(name).is_some())
        };
        assert_eq!(
            expected.iter().filter(kinds).count(),
            expected.len() - 1,
            "all but the host without a NAT"
        );
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
