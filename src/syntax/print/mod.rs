//! The syntax tree as text in its one canonical layout, comments at their places. Knows no field, list or type.
//!
//! The tree is cut into lines (a section, an entry, a header). Comments before a line stand before it, a comment behind it
//! stays behind it; within conditions and lists they stay at their operand, and elsewhere within a line they move before it.
//! A blank line of the author stays one blank line.

mod doc;
mod expr;
mod item;
mod rule;

use self::doc::{Doc, render};
use super::ast::{File, Item, Text};
use crate::source::Span;

/// Lays out a file that was parsed from `text` without mistakes: two spaces per level, sections aligned, lines broken at
/// 120 columns where they can be. Numbers stay as written. Printing what was printed changes nothing.
///
/// ```
/// use fineprint::{source::SourceId, syntax::{parse, print}};
/// let text = "let  busy=status in [429,503]   # at the limit";
/// let (file, _) = parse(SourceId(0), text);
/// assert_eq!(print(&file, text), "let busy = status in [429, 503]  # at the limit\n");
/// ```
pub fn print(file: &File, text: &str) -> String {
    let mut printer = Printer {
        text,
        comments: &file.comments,
        used: vec![false; file.comments.len()],
        next: 0,
        out: String::new(),
        last: 0,
        fresh: true,
    };
    let mut before: Option<&Item> = None;
    for item in &file.items {
        let apart = before.is_some_and(|before| !(is_line(before) && is_line(item)));
        printer.before(0, item.span().start, apart);
        printer.item(item);
        before = Some(item);
    }
    printer.before(0, u32::MAX, false);
    printer.out
}

/// Items of one line may stand together without a blank line.
fn is_line(item: &Item) -> bool {
    matches!(item, Item::List(_) | Item::Let(_) | Item::Apply(_))
}

struct Printer<'a> {
    text: &'a str,
    comments: &'a [Text],
    used: Vec<bool>,
    /// Comments before this one are all used.
    next: usize,
    out: String,
    /// Where in `text` ends what was printed last.
    last: u32,
    /// Whether nothing was printed yet in this block.
    fresh: bool,
}

impl Printer<'_> {
    fn source(&self, start: u32, end: u32) -> &str {
        self.text.get(start as usize..end as usize).unwrap_or("")
    }

    fn use_comment(&mut self, index: usize) {
        if let Some(used) = self.used.get_mut(index) {
            *used = true;
        }
        while self.used.get(self.next) == Some(&true) {
            self.next += 1;
        }
    }

    /// Unused comments that begin in `[start, end)`.
    fn comments_in(&self, start: u32, end: u32) -> Vec<(usize, Text)> {
        let first = self.comments.partition_point(|c| c.span.start < start).max(self.next);
        let found = self.comments.iter().enumerate().skip(first).take_while(|(_, c)| c.span.start < end);
        found.filter(|(index, _)| self.used.get(*index) == Some(&false)).map(|(index, c)| (index, c.clone())).collect()
    }

    /// Comments between a node and the start of the next: the one on the node's last line, and those on their own lines.
    fn between(&mut self, before: Span, end: u32) -> (Vec<Doc>, Vec<Doc>) {
        let (mut trailing, mut own) = (Vec::new(), Vec::new());
        for (index, comment) in self.comments_in(before.end, end) {
            self.use_comment(index);
            if own.is_empty() && !self.source(before.end, comment.span.start).contains('\n') {
                trailing.extend([Doc::text(format!("  {}", comment.value)), Doc::Force]);
            } else {
                own.push(Doc::text(comment.value));
            }
        }
        (trailing, own)
    }

    fn line(&mut self, indent: usize, text: &str) {
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// A blank line if the author left one since what was printed last, or if it must be there.
    fn blank(&mut self, next: u32, must: bool) {
        let mut lines = self.source(self.last, next).split('\n').skip(1).peekable();
        let mut wanted = must;
        // The last piece is the beginning of the next line of text.
        while let Some(line) = lines.next() {
            wanted |= lines.peek().is_some() && line.trim().is_empty();
        }
        if wanted && !self.fresh {
            self.out.push('\n');
        }
        self.fresh = false;
    }

    /// All comments that stand before `start`, and the blank lines around them. `apart` demands one.
    fn before(&mut self, indent: usize, start: u32, mut apart: bool) {
        for (index, comment) in self.comments_in(0, start) {
            self.use_comment(index);
            self.blank(comment.span.start, std::mem::take(&mut apart));
            self.line(indent, &comment.value);
            self.last = comment.span.end;
        }
        if start != u32::MAX {
            self.blank(start, apart);
            self.last = start;
        }
    }

    /// One line of the layout, which may break: comments before it, itself, the comment behind it.
    fn unit(&mut self, indent: usize, span: Span, content: impl FnOnce(&mut Self) -> Doc) {
        self.before(indent, span.start, false);
        self.content(indent, span, content);
        self.trailing(span.end, &[',']);
        self.out.push('\n');
    }

    fn content(&mut self, indent: usize, span: Span, content: impl FnOnce(&mut Self) -> Doc) {
        let doc = content(self);
        for (index, comment) in self.comments_in(span.start, span.end) {
            self.use_comment(index);
            self.line(indent, &comment.value);
        }
        let text = render(&doc, indent);
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.out.push_str(text.trim_end());
        self.last = span.end;
    }

    /// The comment on the same line behind `end`, if only white space and `skipped` signs stand between.
    fn trailing(&mut self, end: u32, skipped: &[char]) {
        self.last = self.last.max(end);
        let Some((index, comment)) = self.comments_in(end, u32::MAX).into_iter().next() else { return };
        let between = self.source(end, comment.span.start);
        if between.chars().all(|c| c != '\n' && (c.is_whitespace() || skipped.contains(&c))) {
            self.use_comment(index);
            self.out.push_str("  ");
            self.out.push_str(&comment.value);
            self.last = comment.span.end;
        }
    }

    /// A block with braces: `header` up to `header_end`, then what `body` prints, then the closing brace.
    fn block(
        &mut self,
        indent: usize,
        span: Span,
        header_end: u32,
        header: impl FnOnce(&mut Self) -> Doc,
        body: impl FnOnce(&mut Self),
    ) {
        let head = Span { end: header_end, ..span };
        self.content(indent, head, |p| Doc::Many(vec![header(p), Doc::text(" {")]));
        self.trailing(header_end, &['{']);
        self.out.push('\n');
        self.fresh = true;
        body(self);
        self.close(indent, span);
        self.trailing(span.end, &[',']);
        self.out.push('\n');
    }

    fn close(&mut self, indent: usize, span: Span) {
        for (index, comment) in self.comments_in(span.start, span.end) {
            self.use_comment(index);
            self.blank(comment.span.start, false);
            self.line(indent + 2, &comment.value);
            self.last = comment.span.end;
        }
        self.fresh = false;
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.out.push('}');
        self.last = span.end;
    }
}

/// A word padded so that what follows begins in the same column in all sections of a block.
fn padded(word: &str, width: usize) -> Doc {
    Doc::text(format!("{word:width$} "))
}
