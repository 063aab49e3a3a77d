//! What the values of options mean, in words and numbers.

use std::time::Duration;

use tcp_punch_tests::lab::nat::{KINDS, NatKind};
use tcp_punch_tests::lab::wan::Site;
use tcp_punch_tests::natbox::PRESETS;

/// NATs from the host outwards.
#[derive(Debug, Clone)]
pub(crate) struct Levels(pub(crate) Vec<NatKind>);

pub(crate) fn levels(text: &str) -> Result<Levels, String> {
    if text == "none" {
        return Ok(Levels(Vec::new()));
    }
    let kind = |name: &str| {
        NatKind::named(name).ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            let boxes: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
            format!(
                "no NAT is called {name}; choose none, {}; or box: and one of {}",
                names.join(", "),
                boxes.join(", ")
            )
        })
    };
    text.split('+')
        .map(kind)
        .collect::<Result<_, _>>()
        .map(Levels)
}

pub(crate) fn milliseconds(text: &str) -> Result<Duration, String> {
    let value: f64 = text
        .parse()
        .map_err(|_| "a number of milliseconds is wanted".to_owned())?;
    Duration::try_from_secs_f64(value / 1000.0).map_err(|error| error.to_string())
}

pub(crate) fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value / 100.0),
        Ok(_) | Err(_) => Err("a number from 0 to 100 is wanted".to_owned()),
    }
}

pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1000.0).contains(&value) => Ok(value),
        Ok(_) | Err(_) => Err("a number from 0 to 1000 is wanted".to_owned()),
    }
}

pub(crate) fn one_way(text: &str) -> Result<(Site, Site, Duration), String> {
    let site = |name: &str| match name {
        "A" | "a" => Ok(Site::A),
        "B" | "b" => Ok(Site::B),
        "S" | "s" => Ok(Site::S),
        _ => Err(format!("{name} is none of A, B and S")),
    };
    let form = || "wanted is a path and its delay, such as A-S=5".to_owned();
    let (path, delay) = text.split_once('=').ok_or_else(form)?;
    let (from, to) = path.split_once('-').ok_or_else(form)?;
    Ok((site(from)?, site(to)?, milliseconds(delay)?))
}

pub(crate) fn kinds() -> String {
    let lines = KINDS
        .iter()
        .map(|kind| format!("  {:<20}{}", kind.name, kind.about));
    let boxes: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    let boxes = rows(&boxes);
    std::iter::once("Kinds of NAT:".to_owned())
        .chain(lines)
        .chain(["  none                no NAT\n".to_owned()])
        .chain([
            "With box: before it, such as box:drop, a NAT runs in the lab's process; there are more of these:".to_owned(),
        ])
        .chain(boxes)
        .collect::<Vec<_>>()
        .join("\n")
}

/// A few names a line.
fn rows(names: &[&str]) -> Vec<String> {
    names
        .chunks(8)
        .map(|names| format!("  {}", names.join(", ")))
        .chain([String::new()])
        .collect()
}
