//! Where the records of a text begin and end: one object, an array, or lines. Knows brackets and quotes, not what a record
//! says.

use super::super::reader::Item;
use crate::event::decode::{Reject, RejectReason};

/// A record with its line; or what is wrong with the text, after which nothing comes.
type Found<'b> = Result<(u64, &'b [u8]), (u64, Box<Reject>)>;

#[derive(Debug)]
pub(super) struct Records<'b> {
    rest: &'b [u8],
    line: u64,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// One value, over any number of lines.
    Single,
    Lines,
    /// In an array: before its first item, after an item, after a comma.
    Opened,
    AfterItem,
    AfterComma,
    Done,
}

impl<'b> Records<'b> {
    pub(super) fn new(text: &'b [u8]) -> Self {
        let mut records = Records { rest: text, line: 1, form: Form::Done };
        records.rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        records.skip_space();
        records.form = match records.rest.first() {
            None => Form::Done,
            Some(b'[') => {
                records.consume(1);
                Form::Opened
            }
            Some(_) if single(records.rest) => Form::Single,
            Some(_) => Form::Lines,
        };
        records
    }

    fn consume(&mut self, n_bytes: usize) -> &'b [u8] {
        let (taken, rest) = self.rest.split_at_checked(n_bytes).unwrap_or((self.rest, &[]));
        self.line += memchr::memchr_iter(b'\n', taken).count() as u64;
        self.rest = rest;
        taken
    }

    fn skip_space(&mut self) {
        let n_space = self.rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
        self.consume(n_space);
    }

    fn broken(&mut self, expected: &str) -> Found<'b> {
        self.form = Form::Done;
        let detail = format!("line {}: expected {expected}; what follows was not read", self.line);
        Err((self.line, Reject::plain(RejectReason::Syntax, detail)))
    }

    fn next_line(&mut self) -> Option<Found<'b>> {
        // Blank lines are passed over.
        self.skip_space();
        let line = self.line;
        let record = self.consume(memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len()));
        (!record.is_empty()).then(|| Ok((line, record.strip_suffix(b"\r").unwrap_or(record))))
    }

    fn next_item(&mut self) -> Option<Found<'b>> {
        loop {
            self.skip_space();
            match (self.form, self.rest.first()) {
                (_, None) => return Some(self.broken("`]`: the array is not closed")),
                (Form::Opened | Form::AfterItem, Some(b']')) => {
                    self.consume(1);
                    self.skip_space();
                    if !self.rest.is_empty() {
                        return Some(self.broken("nothing after the array's `]`"));
                    }
                    self.form = Form::Done;
                    return None;
                }
                (Form::AfterItem, Some(b',')) => {
                    self.consume(1);
                    self.form = Form::AfterComma;
                }
                (Form::AfterItem, Some(_)) => return Some(self.broken("`,` or `]` after an item of the array")),
                (_, Some(b',' | b']')) => return Some(self.broken("an item of the array")),
                (_, Some(_)) => {
                    let line = self.line;
                    let len = value_len(self.rest);
                    self.form = Form::AfterItem;
                    return Some(Ok((line, self.consume(len))));
                }
            }
        }
    }
}

impl<'b> Iterator for Records<'b> {
    type Item = Found<'b>;

    fn next(&mut self) -> Option<Found<'b>> {
        match self.form {
            Form::Done => None,
            Form::Single => {
                self.form = Form::Done;
                Some(Ok((self.line, self.rest)))
            }
            Form::Lines => self.next_line(),
            Form::Opened | Form::AfterItem | Form::AfterComma => self.next_item(),
        }
    }
}

/// Bytes of the value that begins here: up to the bracket that closes it, or to what cannot belong to it.
fn value_len(text: &[u8]) -> usize {
    let mut item = Item::default();
    text.iter().position(|byte| item.ends_before(*byte)).unwrap_or(text.len())
}

/// Whether the text is one value, perhaps over several lines. Where its first line is one by itself, lines follow: a damaged
/// line then costs no other.
fn single(text: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b'\n', text) else { return true };
    !is_value(text.get(..end).unwrap_or_default()) && is_value(text)
}

/// Whether the text is a value of brackets or quotes that is closed, and nothing else.
fn is_value(text: &[u8]) -> bool {
    let mut item = Item::default();
    let end = text.iter().position(|byte| item.ends_before(*byte)).unwrap_or(text.len());
    item.is_closed() && text.get(end..).unwrap_or_default().iter().all(u8::is_ascii_whitespace)
}
