//! Readings as text and as Markdown.

use super::reading::{Line, Reading};

/// As plain text: a rule's name, then its paragraphs, parts of a sentence marked by dashes.
pub fn to_text(readings: &[Reading]) -> String {
    let mut out = String::new();
    for (number, reading) in readings.iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        out += &format!("{}\n{}\n", reading.rule, "=".repeat(reading.rule.chars().count()));
        for paragraph in &reading.paragraphs {
            out += &format!("\n{}\n", paragraph.heading);
            for line in &paragraph.lines {
                out += &plain(line);
            }
        }
        out += &format!("\nThis is the rule with the hash {}.\n", reading.hash);
    }
    out
}

fn plain(line: &Line) -> String {
    let dash = if line.depth == 0 { "" } else { "- " };
    format!("  {}{dash}{}\n", "  ".repeat(line.depth), line.text)
}

/// As Markdown: a heading a rule, a list item a sentence.
pub fn to_markdown(readings: &[Reading]) -> String {
    let mut out = String::new();
    for (number, reading) in readings.iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        out += &format!("## {}\n", escaped(&reading.rule));
        for paragraph in &reading.paragraphs {
            out += &format!("\n**{}**\n\n", paragraph.heading);
            for line in &paragraph.lines {
                out += &format!("{}- {}\n", "  ".repeat(line.depth), escaped(&line.text));
            }
        }
        out += &format!("\nThis is the rule with the hash `{}`.\n", reading.hash);
    }
    out
}

/// What an author wrote is text, whatever it looks like to Markdown.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
