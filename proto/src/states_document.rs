//! The pictures in `docs/states.md` are the machines: this renders the tables
//! and compares.

use std::format;
use std::string::String;

use crate::peer::link::LINK_TRANSITIONS;
use crate::punch::TRANSITIONS;

fn render(title: &str, rows: impl Iterator<Item = (String, String, String)>) -> String {
    let (mut table, mut graph) = (String::new(), String::new());
    for (from, cause, to) in rows {
        table.push_str(&format!("| {from} | {cause} | {to} |\n"));
        graph.push_str(&format!("    {from} --> {to}: {cause}\n"));
    }
    format!(
        "## {title}\n\n```mermaid\nstateDiagram-v2\n{graph}```\n\n| state | cause | next |\n|---|---|---|\n{table}"
    )
}

fn document() -> String {
    let link = LINK_TRANSITIONS
        .iter()
        .map(|(a, b, c)| (format!("{a:?}"), format!("{b:?}"), format!("{c:?}")));
    let session = TRANSITIONS
        .iter()
        .map(|(a, b, c)| (format!("{a:?}"), format!("{b:?}"), format!("{c:?}")));
    format!(
        "# States\n\nRendered from the tables that the machines consult; a test keeps it so.\n\n{}\n{}",
        render("Main link", link),
        render("Session", session)
    )
}

/// `TCP_PUNCH_RENDER=1 cargo test -p tcp-punch-proto states` writes it anew.
#[test]
fn the_document_is_the_machine() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/states.md");
    if std::env::var_os("TCP_PUNCH_RENDER").is_some() {
        std::fs::write(path, document()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == document(),
        "docs/states.md is not what the tables say: see this test"
    );
}
