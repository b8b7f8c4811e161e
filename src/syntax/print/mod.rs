//! Syntax tree to canonical text. Keeps every comment, the author's spelling of literals, and single blank lines within
//! blocks; everything else has one form. Printing what was printed changes nothing.

mod expr;
mod item;
mod rule;

use super::ast::{File, Item, Text};
use crate::source::Span;

/// Widest line that is not broken further, characters.
pub(super) const LINE_WIDTH: usize = 120;

/// Prints a file; `text` is what it was parsed from (empty for a tree that was not parsed).
pub fn print(file: &File, text: &str) -> String {
    let mut p = Printer { text, comments: &file.comments, out: String::new(), behind: 0 };
    let mut before: Option<&Item> = None;
    for item in &file.items {
        let apart = match before {
            None => false,
            // Short declarations may stand together as the author put them.
            Some(b) if one_line(b) && std::mem::discriminant(b) == std::mem::discriminant(item) => {
                p.blank_before(item.span())
            }
            Some(_) => true,
        };
        p.lead(item.span(), 0, apart);
        p.item(item);
        p.trail(item.span());
        before = Some(item);
    }
    p.rest(0);
    p.out
}

fn one_line(item: &Item) -> bool {
    matches!(item, Item::List(_) | Item::Let(_) | Item::Apply(_))
}

struct Printer<'a> {
    text: &'a str,
    comments: &'a [Text],
    out: String,
    /// Everything of the source before this byte has been printed.
    behind: u32,
}

impl<'a> Printer<'a> {
    fn between(&self, from: u32, to: u32) -> &'a str {
        self.text.get(from as usize..to as usize).unwrap_or("")
    }

    /// Whether the author left a blank line before the node, or before the comments that lead it.
    fn blank_before(&self, node: Span) -> bool {
        let to = self.comments.first().map_or(node.start, |c| c.span.start.min(node.start));
        to > self.behind && self.between(self.behind, to).bytes().filter(|b| *b == b'\n').count() > 1
    }

    /// Comments that stand before a node, each on its line; then nothing: the node's line is the caller's.
    fn lead(&mut self, node: Span, indent: usize, apart: bool) {
        if apart && !self.out.is_empty() {
            self.out.push('\n');
        }
        while let Some((c, rest)) = self.comments.split_first().filter(|(c, _)| c.span.start < node.start) {
            self.comments = rest;
            self.out.push_str(&" ".repeat(indent));
            self.out.push_str(&c.value);
            self.out.push('\n');
            self.behind = c.span.end;
            let next = self.comments.first().map_or(node.start, |c| c.span.start.min(node.start));
            if self.between(self.behind, next).bytes().filter(|b| *b == b'\n').count() > 1 {
                self.out.push('\n');
            }
        }
    }

    /// Ends the node's line, with the comment that stands on it.
    fn trail(&mut self, node: Span) {
        self.behind = self.behind.max(node.end);
        if let Some((c, rest)) = self.comments.split_first()
            && c.span.start >= node.end
            && node.end > 0
            && !self.between(node.end, c.span.start).contains('\n')
        {
            self.comments = rest;
            self.out.push_str("  ");
            self.out.push_str(&c.value);
            self.behind = c.span.end;
        }
        self.out.push('\n');
    }

    /// Comments before the end of a block.
    fn inner_rest(&mut self, block: Span, indent: usize) {
        let end = Span { start: block.end.saturating_sub(1), ..block };
        let apart = self.comments.first().is_some_and(|c| c.span.start < end.start) && self.blank_before(end);
        if apart {
            self.out.push('\n');
        }
        self.lead(end, indent, false);
        // A blank line before the closing brace says nothing.
        while self.out.ends_with("\n\n") {
            self.out.pop();
        }
    }

    fn rest(&mut self, indent: usize) {
        if !self.comments.is_empty()
            && !self.out.is_empty()
            && self.blank_before(Span { start: u32::MAX, ..Span::default() })
        {
            self.out.push('\n');
        }
        self.lead(Span { start: u32::MAX, ..Span::default() }, indent, false);
        while self.out.ends_with("\n\n") {
            self.out.pop();
        }
    }

    /// An entry of a block: leading comments, the line, the trailing comment.
    fn entry(&mut self, node: Span, indent: usize, first: bool, line: &str) {
        let apart = !first && self.blank_before(node);
        self.lead(node, indent, apart);
        self.out.push_str(&" ".repeat(indent));
        self.out.push_str(line);
        self.trail(node);
    }

    /// The comment behind an opening brace, then the end of the line.
    fn open(&mut self, head: &str, node: Span) {
        self.out.push_str(head);
        self.out.push_str(" {");
        // The first brace of the node's text is the one just printed.
        let brace = self.between(node.start, node.end).find('{').map_or(node.start, |at| node.start + at as u32 + 1);
        self.behind = self.behind.max(brace);
        if let Some((c, rest)) = self.comments.split_first()
            && c.span.start >= brace
            && c.span.start < node.end
            && !self.between(brace, c.span.start).contains('\n')
            && self.between(brace, c.span.start).trim().is_empty()
        {
            self.comments = rest;
            self.out.push_str("  ");
            self.out.push_str(&c.value);
            self.behind = c.span.end;
        }
        self.out.push('\n');
    }
}

/// A quoted text with its escapes.
fn quoted(value: &str, raw: bool) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' if !raw => out.push_str("\\\\"),
            '\n' if !raw => out.push_str("\\n"),
            '\t' if !raw => out.push_str("\\t"),
            c if c.is_control() && !raw => out.push_str(&format!("\\u{{{:X}}}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
