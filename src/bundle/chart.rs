//! Charts as inline SVG: no script, no style of their own, colours from the page. Numbers stand beside the bars as text, so that
//! nothing is told by length or colour alone.

use super::escape::text;
use crate::time::Timestamp;

/// Rows of a chart; more are counted below it.
pub(super) const ROWS_MAX: usize = 40;
/// Characters of a label.
const LABEL_CHARS: usize = 30;
const WIDTH: i64 = 900;
const LEFT: i64 = 250;
const RIGHT: i64 = 150;
const ROW: i64 = 24;
const PLOT: i64 = WIDTH - LEFT - RIGHT;

/// A bar with a number, and the bound that it is held against.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) amount: i128,
    pub(super) told: String,
    pub(super) bound: Option<i128>,
}

/// A span of time.
pub(super) struct Span {
    pub(super) label: String,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) told: String,
}

fn shortened(label: &str) -> String {
    match label.chars().count() > LABEL_CHARS {
        true => label.chars().take(LABEL_CHARS - 1).chain(['…']).collect(),
        false => label.to_string(),
    }
}

fn svg(title: &str, n: usize, axis: &str, rows: &str) -> String {
    let height = n as i64 * ROW + if axis.is_empty() { 6 } else { 30 };
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">{rows}{axis}</svg>\n", text(title))
}

fn label(at: i64, of: &str) -> String {
    let y = at * ROW + 16;
    format!("<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text>", LEFT - 8, text(&shortened(of)))
}

fn more(n: usize) -> String {
    match n.saturating_sub(ROWS_MAX) {
        0 => String::new(),
        more => format!("<p class=\"small\">and {more} more, in the files of the bundle</p>\n"),
    }
}

/// Bars from nought; a row whose bound differs from others is scaled by itself, so that each bar is seen against its own.
pub(super) fn bars(title: &str, all: &[Bar]) -> String {
    let shown = all.get(..all.len().min(ROWS_MAX)).unwrap_or(all);
    let greatest = shown.iter().map(|b| b.amount).max().unwrap_or(1).max(1);
    let mut rows = String::new();
    for (at, bar) in (0i64..).zip(shown) {
        let full = bar.bound.map_or(greatest, |bound| bar.amount.max(bound.saturating_mul(3) / 2).max(1));
        let place = |n: i128| i64::try_from(n.max(0).saturating_mul(i128::from(PLOT)) / full).unwrap_or(PLOT).min(PLOT);
        let (y, width) = (at * ROW, place(bar.amount).max(1));
        rows.push_str(&label(at, &bar.label));
        rows.push_str(&format!("<rect class=\"bar\" x=\"{LEFT}\" y=\"{}\" width=\"{width}\" height=\"15\"/>", y + 4));
        if let Some(bound) = bar.bound {
            let x = LEFT + place(bound);
            rows.push_str(&format!("<line class=\"bound\" x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{}\"/>", y + 1, y + 22));
        }
        let told = text(&bar.told);
        rows.push_str(&format!("<text x=\"{}\" y=\"{}\">{told}</text>", LEFT + PLOT + 8, y + 16));
    }
    svg(title, shown.len(), "", &rows) + &more(all.len())
}

/// Spans of time below each other on one axis.
pub(super) fn spans(title: &str, all: &[Span]) -> String {
    let shown = all.get(..all.len().min(ROWS_MAX)).unwrap_or(all);
    let from = all.iter().map(|s| s.from.0).min().unwrap_or(0);
    let to = all.iter().map(|s| s.to.0).max().unwrap_or(0);
    let length = i128::from(to) - i128::from(from);
    let place = |at: i64| match length {
        0 => 0,
        length => i64::try_from((i128::from(at) - i128::from(from)) * i128::from(PLOT) / length).unwrap_or(0),
    };
    let mut rows = String::new();
    for (at, span) in (0i64..).zip(shown) {
        let (x, y) = (place(span.from.0), at * ROW);
        let width = (place(span.to.0) - x).max(3);
        rows.push_str(&label(at, &span.label));
        rows.push_str(&format!(
            "<rect class=\"bar\" x=\"{}\" y=\"{}\" width=\"{width}\" height=\"15\"/>",
            LEFT + x,
            y + 4
        ));
        let told = text(&span.told);
        rows.push_str(&format!("<text x=\"{}\" y=\"{}\">{told}</text>", LEFT + PLOT + 8, y + 16));
    }
    let y = shown.len() as i64 * ROW + 4;
    let day = |at: i64| Timestamp(at).to_string().chars().take(16).collect::<String>().replace('T', " ");
    let axis = format!(
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{0}\" y1=\"{y}\" y2=\"{y}\"/><text x=\"{LEFT}\" y=\"{1}\">{2}</text>\
         <text x=\"{0}\" y=\"{1}\" text-anchor=\"end\">{3}</text>",
        LEFT + PLOT,
        y + 18,
        day(from),
        day(to)
    );
    svg(title, shown.len(), &axis, &rows) + &more(all.len())
}
