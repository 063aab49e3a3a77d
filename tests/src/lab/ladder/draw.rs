//! The ladder's lines as text, narrow enough for a terminal.

use std::fmt::Write as _;

use super::arrows::{End, Row, What};
use super::lanes::{Lanes, Role};

/// Columns for the lanes; with the time before and the note after them a line has 110.
const WIDTH: usize = 79;

/// A session that takes its time with dials that are refused would fill many screens: its middle is left out.
const HEAD: usize = 60;
const TAIL: usize = 20;

pub(super) fn draw(lanes: &Lanes, rows: &[Row]) -> String {
    let mut out = String::new();
    let mut head = Line::blank();
    for lane in lanes.all() {
        // The titles stand over the middle of their lanes, as far as there is room at the edges.
        let start = lane.x.saturating_sub(lane.title.len() / 2);
        head.write(start, lane.title);
    }
    line(&mut out, &format!("{:>8}", "ms"), &head, "arrives");
    let left_out = HEAD..rows.len().saturating_sub(TAIL);
    for (number, row) in rows.iter().enumerate() {
        if left_out.contains(&number) {
            if number == left_out.start {
                let note = Line::note(&format!("... {} lines left out ...", left_out.len()));
                line(&mut out, &format!("{:>8}", ""), &note, "");
            }
            continue;
        }
        let (drawn, note) = match &row.what {
            What::Event { who, text } => (event(lanes, *who, text), String::new()),
            What::Arrow {
                from,
                to,
                label,
                end,
            } => (arrow(lanes, *from, *to, label, *end), note(*end)),
        };
        line(&mut out, &format!("{:>8.1}", row.at), &drawn, &note);
    }
    out
}

fn line(out: &mut String, time: &str, drawn: &Line, note: &str) {
    let text = format!("{time}  {} {note}", drawn.0.iter().collect::<String>());
    writeln!(out, "{}", text.trim_end())
        .unwrap_or_else(|_| unreachable!("writing to a string does not fail"));
}

fn note(end: End) -> String {
    match end {
        End::Arrived(at) => format!("{at:.1}"),
        End::Dropped(at) => format!("{at:.1} dropped"),
        End::Lost => "lost".to_owned(),
        End::Expired(hop) => format!("TTL ends at hop {hop}"),
        End::NoRoute => "no such address".to_owned(),
    }
}

fn event(lanes: &Lanes, who: Role, text: &str) -> Line {
    let mut line = Line::with_bars(lanes);
    let x = lanes.x(who);
    // Towards the middle, where there is room.
    let room = WIDTH / 2;
    let text: String = text.chars().take(room).collect();
    if x < WIDTH / 2 {
        line.write(x, &format!("● {text} "));
    } else {
        let text = format!(" {text} ●");
        line.write((x + 1).saturating_sub(text.chars().count()), &text);
    }
    line
}

fn arrow(lanes: &Lanes, from: Role, to: Role, label: &str, end: End) -> Line {
    let mut line = Line::with_bars(lanes);
    let (start, mut target) = (lanes.x(from), lanes.x(to));
    if matches!(end, End::Lost | End::Expired(_) | End::NoRoute) {
        // Somewhere on the WAN.
        target = start.midpoint(target);
    }
    let (left, right) = (start.min(target), start.max(target));
    for x in left..=right {
        line.0[x] = if line.0[x] == '│' { '┼' } else { '─' };
    }
    line.0[start] = if start < target { '├' } else { '┤' };
    line.0[target] = match end {
        End::Arrived(_) if start < target => '▶',
        End::Arrived(_) => '◀',
        End::Dropped(_) | End::Lost | End::Expired(_) | End::NoRoute => '✕',
    };
    line.label(lanes, left, right, &format!(" {label} "));
    line
}

struct Line(Vec<char>);

impl Line {
    fn blank() -> Self {
        Self(vec![' '; WIDTH])
    }

    fn note(text: &str) -> Self {
        let mut line = Self::blank();
        line.write((WIDTH - text.len()) / 2, text);
        line
    }

    fn with_bars(lanes: &Lanes) -> Self {
        let mut line = Self::blank();
        for lane in lanes.all() {
            line.0[lane.x] = '│';
        }
        line
    }

    fn write(&mut self, at: usize, text: &str) {
        for (place, letter) in self.0.iter_mut().skip(at).zip(text.chars()) {
            *place = letter;
        }
    }

    /// Puts a label into the widest gap between lanes on the arrow's way, or over the lanes where none is wide enough.
    fn label(&mut self, lanes: &Lanes, left: usize, right: usize, text: &str) {
        let length = text.chars().count();
        let mut stops: Vec<usize> = lanes
            .all()
            .iter()
            .map(|lane| lane.x)
            .filter(|x| (left + 1..right).contains(x))
            .collect();
        stops.insert(0, left);
        stops.push(right);
        let gap = stops
            .windows(2)
            .map(|pair| (pair[0], pair[1]))
            .max_by_key(|(from, to)| to - from);
        let (from, to) = gap
            .filter(|(from, to)| to - from > length + 1)
            .unwrap_or((left, right));
        let middle = (from + to + 1).saturating_sub(length) / 2;
        self.write(
            middle.clamp(from + 1, (from + 1).max(to.saturating_sub(length))),
            text,
        );
    }
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
