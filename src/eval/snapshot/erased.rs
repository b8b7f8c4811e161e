//! A snapshot in which an account is called otherwise: the state goes on as if it had been called so all along.
//!
//! Most of the state knows accounts by numbers of texts, and the texts stand in one place. What else is text (reasons of episodes
//! under way, findings not yet taken, ids of events for evidence) is found as it is written down: a text is written as its
//! length and its bytes.

use std::cell::Cell;
use std::collections::BTreeMap;

use postcard::ser_flavors::Flavor;
use serde::Serialize;

use super::{Body, Head, Loaded, SNAPSHOT_VERSION, Tail, head_of};
use crate::violation::renamed;

/// Renames an account in the bytes of a snapshot, and says whether it stood there. `events` are ids of its events; they go by
/// `token` and a number.
///
/// # Errors
/// A text, where the snapshot is damaged or of another version.
pub fn erase_from_snapshot(
    snapshot: &[u8],
    account: &str,
    token: &str,
    events: &BTreeMap<String, u64>,
) -> Result<(Vec<u8>, bool), String> {
    let (bundle, rest) = head_of(snapshot)?;
    let mut s: Loaded = postcard::from_bytes(rest).map_err(|e| format!("the saved state is damaged: {e}"))?;
    let named = Cell::new(s.texts.rename(account, token));
    let others = Cell::new(events.len() as u64);
    let id = |id: &str| {
        let own = events.get(id).copied().or_else(|| {
            // Its projection is not in the journal any more, and the id is made of the name.
            crate::violation::holds(id, account).then(|| others.replace(others.get() + 1))
        });
        own.map(|n| {
            named.set(true);
            format!("{token}:{n}")
        })
    };
    s.events.rename(&id);
    s.stage.rename(&id);
    let head = Head { version: SNAPSHOT_VERSION, bundle: &bundle, books: &s.books, undecided: &s.undecided };
    let body = Body {
        texts: &s.texts,
        stage: &s.stage,
        memories: &s.memories,
        events: &s.events,
        windows: &s.windows,
        linked: &s.linked,
        links: &s.links,
        sequences: &s.sequences,
        series: &s.series,
    };
    let tail = Tail {
        max_ts: s.max_ts,
        watermark: s.watermark,
        settled: s.settled,
        next_due: s.next_due,
        finished: &s.finished,
        outcomes: &s.outcomes,
        refused: s.refused.iter().map(|(origin, id)| (*origin, id.as_str())).collect(),
        next: s.next,
        handed: &s.handed,
    };
    let mut out = Vec::new();
    let of = Renaming { account, token, events, named: &named };
    of.write(&head, &mut out)?;
    of.write(&body, &mut out)?;
    of.write(&tail, &mut out)?;
    Ok((out, named.get()))
}

#[derive(Clone, Copy)]
struct Renaming<'a> {
    account: &'a str,
    token: &'a str,
    events: &'a BTreeMap<String, u64>,
    named: &'a Cell<bool>,
}

impl Renaming<'_> {
    fn write<T: Serialize>(self, of: &T, out: &mut Vec<u8>) -> Result<(), String> {
        let texts = Texts { of: self, out, length: Vec::new() };
        postcard::serialize_with_flavor(of, texts).map_err(|e| format!("the state cannot be written down: {e}"))
    }

    /// What stands in place of a text; `None` where it stays.
    fn instead(&self, text: &str) -> Option<String> {
        match self.events.get(text) {
            Some(n) => Some(format!("{}:{n}", self.token)),
            None => renamed(text, self.account, self.token),
        }
    }
}

/// Where the serialiser writes to. What was written last is held back as long as it may be the length of a text.
struct Texts<'a> {
    of: Renaming<'a>,
    out: &'a mut Vec<u8>,
    length: Vec<u8>,
}

impl Texts<'_> {
    fn let_go(&mut self) {
        self.out.append(&mut self.length);
    }
}

fn varint(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push((n as u8) | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

impl Flavor for Texts<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if !self.length.is_empty() && self.length == varint(bytes.len()) {
            let other = std::str::from_utf8(bytes).ok().and_then(|text| self.of.instead(text));
            if let Some(other) = other {
                self.of.named.set(true);
                self.length.clear();
                self.out.extend(varint(other.len()));
                self.out.extend_from_slice(other.as_bytes());
                return Ok(());
            }
        }
        self.let_go();
        // No length takes more.
        if bytes.len() <= 10 {
            self.length.extend_from_slice(bytes);
        } else {
            self.out.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn finalize(mut self) -> postcard::Result<()> {
        self.let_go();
        Ok(())
    }
}
