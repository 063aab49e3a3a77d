//! `doctor`: what the NAT here does, and what that allows.

use std::time::Duration;

use serde_json::json;
use tcp_punch_tokio::{
    Allocation, Config, EarlySyn, Event, Events, Filtering, Mapping, NatReport, Peer, keyfile,
};

use crate::args::DoctorArgs;
use crate::events::Reporter;
use crate::nat_words::{confidence, report_fields};
use crate::outcome::{Outcome, Trouble};
use crate::possible::against_all;
use crate::signals::{Interrupts, interrupted};
use crate::table::table;

/// The machine gives up what it cannot find out after 5 s.
const PATIENCE: Duration = Duration::from_secs(8);

pub(crate) async fn run(args: DoctorArgs) -> Outcome {
    let mut interrupts = Interrupts::new().map_err(Trouble::failed)?;
    let reporter = Reporter::new(args.json);
    let mut config = Config::builder()
        .probe_nat(true)
        .allow_loopback(args.server.is_loopback());
    if let Some(token) = &args.token {
        config = config.token(token.as_bytes());
    }
    let peer = Peer::builder(args.server, keyfile::generate().map_err(Trouble::failed)?)
        .config(config)
        .start()
        .map_err(Trouble::failed)?;
    let events = peer.events();
    if args.json {
        reporter.follow(&peer);
    }
    let outcome = tokio::select! {
        report = learn(&peer, events, &reporter) => report.map(|report| print(&report, args.json)),
        outcome = interrupted(&mut interrupts, false, &reporter) => outcome,
    };
    peer.shutdown().await;
    reporter.finish().await;
    outcome
}

async fn learn(peer: &Peer, mut events: Events, reporter: &Reporter) -> Result<NatReport, Trouble> {
    if let Err(error) = peer.registered().await {
        return Err(reporter.unregistered(error));
    }
    let learnt = async {
        while let Some(event) = events.next().await {
            if let Event::NatLearnt { report } = event {
                return Some(report);
            }
        }
        None
    };
    match tokio::time::timeout(PATIENCE, learnt).await {
        Ok(Some(report)) => Ok(report),
        Ok(None) | Err(_) => Err(reporter.failed(
            "no-report",
            "the link to the server did not last: try again",
        )),
    }
}

#[allow(clippy::print_stdout, reason = "the report is what was asked for")]
fn print(report: &NatReport, json: bool) {
    if json {
        println!("{}", fields(report));
    } else {
        print!("{}", text(report));
    }
}

fn fields(report: &NatReport) -> serde_json::Value {
    let mut fields = report_fields(report);
    fields["advice"] = json!(advice(report));
    fields["against"] = against_all(report)
        .into_iter()
        .map(|row| {
            json!({
                "other": row.other,
                "strategies": row.strategies.iter().map(|strategy| strategy.name()).collect::<Vec<_>>(),
                "needs_birthday": row.by_chance,
            })
        })
        .collect();
    fields
}

fn text(report: &NatReport) -> String {
    let yes_no = |known: Option<bool>| match known {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not tested",
    };
    let mapping =
        if report.mapping == Mapping::EndpointIndependent && !report.mapping_from_two_addresses {
            format!("{} (seen from one address only)", report.mapping)
        } else {
            report.mapping.to_string()
        };
    let levels = report
        .levels
        .map_or_else(|| "not tested".to_owned(), |levels| levels.to_string());
    let rows = [
        ["addresses translated", yes_no(report.translated)],
        ["levels of NAT", &levels],
        ["mapping", &mapping],
        ["port of a new mapping", &report.allocation.to_string()],
        ["keeps the port number", yes_no(report.preserves_port)],
        ["filtering", &report.filtering.to_string()],
        ["answer to an early SYN", &report.early_syn.to_string()],
        ["hairpin", yes_no(report.hairpin)],
        ["how sure", &confidence(report)],
    ];
    let heads = ["the other side's NAT", "what is tried, in this order"];
    let against = against_all(report).into_iter().map(|row| {
        let names: Vec<_> = row
            .strategies
            .iter()
            .map(|strategy| strategy.name())
            .collect();
        let tried = match (names.is_empty(), row.by_chance) {
            (true, _) => "nothing comes through".to_owned(),
            (false, true) => format!("{} (with --birthday at both sides)", names.join(", ")),
            (false, false) => names.join(", "),
        };
        [row.other.to_owned(), tried]
    });
    let against: Vec<_> = [heads.map(str::to_owned)]
        .into_iter()
        .chain(against)
        .collect();
    format!(
        "What is here: {}.\n\n{}\n{}\n{}\n",
        report.classic_name(),
        table(&rows.map(|row| row.map(str::to_owned))),
        table(&against),
        advice(report)
    )
}

const SYMMETRIC: &str = "The NAT takes another outer port for every destination (symmetric). Streams \
    come up with peers whose NAT lets anybody in, or anybody from this address, and with peers without a \
    NAT.";

const CHANGE: &str = "To be reached by more, forward a port on the router, look for \"full cone\" or \
    \"endpoint-independent\" NAT in its settings, or use IPv6.";

/// What it allows, and what to change where that is little.
fn advice(report: &NatReport) -> String {
    let mut text = match (report.mapping.is_dependent(), report.allocation) {
        (true, Allocation::Step(_)) => format!("{SYMMETRIC} With others it is tried to foretell the port. {CHANGE}"),
        (true, _) => format!(
            "{SYMMETRIC} With others it takes --birthday at both sides, which is a thousand tries. {CHANGE}"
        ),
        (false, _) if report.filtering == Filtering::Open => {
            "Streams come up with any peer.".to_owned()
        }
        (false, _) => "Streams come up with every peer whose NAT keeps one outer port for one inner port, which \
             most do."
            .to_owned(),
    };
    match report.early_syn {
        EarlySyn::Reset => text.push_str(
            " What comes early is answered with RST, so a server near both peers helps: it makes both \
             begin at the same moment. On the router, look for a firewall that drops (\"stealth\") \
             instead of rejecting.",
        ),
        EarlySyn::Unreachable => text.push_str(
            " What comes early is answered with ICMP, so a server near both peers helps: it makes both \
             begin at the same moment. On the router, look for a firewall that drops (\"stealth\") \
             instead of rejecting.",
        ),
        EarlySyn::Silence | EarlySyn::NotTested => {}
    }
    if report.levels.is_some_and(|levels| levels > 1) {
        text.push_str(
            " There is more than one NAT on the way out: if the second is the provider's, give the router's \
             outer address as --outer-address; if it is an own router, set one of the two to bridge mode.",
        );
    }
    if report.hairpin == Some(false) {
        text.push_str(
            " Peers behind the same NAT meet by their private addresses, not by the outer one.",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_tested_is_said_to_be_so() {
        let text = text(&NatReport::default());
        assert_eq!(text.matches("not tested").count(), 8, "{text}");
        assert!(text.contains("What is here: unknown."), "{text}");
    }

    #[test]
    fn a_symmetric_nat_is_named_and_advised_about() {
        let report = NatReport {
            translated: Some(true),
            mapping: Mapping::AddressAndPortDependent,
            allocation: Allocation::Step(1),
            ..NatReport::default()
        };
        let text = text(&report);
        assert!(
            text.contains("symmetric")
                && text.contains("steps of 1")
                && text.contains("forward a port"),
            "{text}"
        );
        assert_eq!(fields(&report)["port_step"], 1);
    }
}
