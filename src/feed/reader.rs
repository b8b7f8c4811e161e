//! Turns an input (standard input, a file, a directory of files; plain, gzip or zstd) into records: the bytes of one
//! JSON value each. Knows lines and brackets, not what a record says; a record is checked when it is decoded.
//!
//! An input holds JSON Lines or one JSON array, told apart by the first byte that is no white space. Compression is told
//! by magic bytes, not by name. Memory is bounded: of a record longer than [`EVENT_BYTES_MAX`] only so much is kept that
//! the decoder sees it is too long.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::event::decode::EVENT_BYTES_MAX;

/// Bytes asked of the input at a time: so few that they are still in the cache when they are passed on.
const CHUNK_BYTES: usize = 128 << 10;
/// Of a record that is too long, one byte more than allowed is kept: the decoder refuses it by its length.
const RECORD_BYTES_KEPT: usize = EVENT_BYTES_MAX + 1;

/// One place that events come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file or a pipe with a name.
    File(PathBuf),
}

impl std::fmt::Display for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Input::Stdin => f.write_str("standard input"),
            Input::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The inputs that a path stands for: `-` is standard input, a directory its event files (`.jsonl`, `.ndjson`, `.json`,
/// also with `.gz` or `.zst` behind) in the order of their names, anything else itself.
pub fn inputs(path: &Path) -> io::Result<Vec<Input>> {
    if path == Path::new("-") {
        return Ok(vec![Input::Stdin]);
    }
    if !path.is_dir() {
        return Ok(vec![Input::File(path.to_owned())]);
    }
    let mut found = Vec::new();
    for entry in path.read_dir()? {
        let file = entry?.path();
        if is_event_file(&file) && file.is_file() {
            found.push(Input::File(file));
        }
    }
    found.sort();
    Ok(found)
}

fn is_event_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    [".jsonl", ".ndjson", ".json"].iter().any(|ext| name.len() > ext.len() && name.ends_with(ext))
}

/// One record of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its bytes; cut behind [`EVENT_BYTES_MAX`] when it is longer, so that decoding rejects it as too long.
    pub bytes: &'a [u8],
    /// Its whole length in bytes.
    pub n_bytes: u64,
    /// The line at which it begins, from 1.
    pub line: u64,
    /// Uncompressed bytes before it.
    pub offset: u64,
}

/// A hash over the first bytes of an input, taken as they pass.
#[derive(Clone, Default)]
pub struct PrefixHash {
    hasher: Xxh3,
    n_bytes: u64,
}

impl std::fmt::Debug for PrefixHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrefixHash({} bytes, {:032x})", self.n_bytes, self.digest())
    }
}

impl PrefixHash {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.n_bytes += bytes.len() as u64;
    }

    /// How many bytes it has taken.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// XXH3-128 of them: tells a changed file, not a forged one.
    pub fn digest(&self) -> u128 {
        self.hasher.digest128()
    }
}

/// How far an input was read, and what it was up to there: stored with the results, so that a rerun can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Uncompressed bytes consumed.
    pub offset: u64,
    /// Lines consumed.
    pub line: u64,
    /// Hash of the bytes consumed ([`PrefixHash`]).
    pub hash: u128,
    place: Place,
}

/// Where in the grammar of its input a reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Place {
    /// Before the first byte that is no white space.
    Start,
    Lines,
    ArrayOpened,
    AfterItem,
    AfterComma,
    ArrayClosed,
}

/// Whether an input goes on where it was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Its first bytes are those consumed before; reading goes on behind them.
    Continued,
    /// Its first bytes are others: this is another input, or it was rewritten.
    Changed,
    /// It is shorter than what was consumed before.
    Shorter,
}

/// How much of an input has been read, in bytes as they lie on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub n_read: u64,
    /// Bytes there are, where that is known.
    pub n_total: Option<u64>,
}

/// Reads the records of one input.
pub struct EventReader {
    name: String,
    source: Box<dyn Read + Send>,
    n_read: Arc<AtomicU64>,
    n_total: Option<u64>,
    /// `buffer[start..end]` is read but not consumed; `buffer[hashed..start]` is consumed but not hashed.
    buffer: Vec<u8>,
    hashed: usize,
    start: usize,
    end: usize,
    at_end: bool,
    offset: u64,
    line: u64,
    place: Place,
    hash: PrefixHash,
    /// The first bytes of a record that is too long.
    kept: Vec<u8>,
}

impl std::fmt::Debug for EventReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventReader({} at byte {})", self.name, self.offset)
    }
}

/// What [`EventReader`] found: where in the buffer, or that it was kept apart.
struct Found {
    len: usize,
    n_bytes: u64,
    kept: bool,
    line: u64,
    offset: u64,
}

impl EventReader {
    /// Opens an input.
    pub fn open(input: &Input) -> io::Result<Self> {
        let name = input.to_string();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
        match input {
            Input::Stdin => Self::new(io::stdin(), None, name.clone()),
            Input::File(path) => {
                let file = File::open(path).map_err(named)?;
                let about = file.metadata().map_err(named)?;
                Self::new(file, about.is_file().then_some(about.len()), name.clone())
            }
        }
        .map_err(named)
    }

    /// Reads from anything; `n_total` is its size where known, `name` stands in error messages.
    pub fn new(source: impl Read + Send + 'static, n_total: Option<u64>, name: String) -> io::Result<Self> {
        let n_read = Arc::new(AtomicU64::new(0));
        let mut source = Counted { source, n_read: Arc::clone(&n_read) };
        let mut magic = Vec::with_capacity(4);
        source.by_ref().take(4).read_to_end(&mut magic)?;
        let gzip = magic.starts_with(&[0x1f, 0x8b]);
        let zstd = magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        let whole = io::Cursor::new(magic).chain(source);
        let source: Box<dyn Read + Send> = if gzip {
            Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::with_capacity(CHUNK_BYTES, whole)))
        } else if zstd {
            Box::new(zstd::stream::read::Decoder::new(whole)?)
        } else {
            Box::new(whole)
        };
        Ok(EventReader {
            name,
            source,
            n_read,
            n_total,
            buffer: vec![0; CHUNK_BYTES * 2],
            hashed: 0,
            start: 0,
            end: 0,
            at_end: false,
            offset: 0,
            line: 0,
            place: Place::Start,
            hash: PrefixHash::default(),
            kept: Vec::new(),
        })
    }

    /// The next record, `None` at the end. Blank lines are passed over. An array that breaks off, or has something else
    /// than commas between its items, is an error of kind `InvalidData`, as is broken compression.
    pub fn next_record(&mut self) -> io::Result<Option<Record<'_>>> {
        if self.place == Place::Start && !self.find_start()? {
            return Ok(None);
        }
        let found = if self.place == Place::Lines { self.next_line()? } else { self.next_item()? };
        let Some(found) = found else { return Ok(None) };
        let bytes = if found.kept {
            self.kept.as_slice()
        } else {
            // The record was consumed already: it lies right before what is next.
            let from = usize::try_from(self.offset - found.offset).map_or(0, |back| self.start.saturating_sub(back));
            self.buffer.get(from..from + found.len).unwrap_or_default()
        };
        Ok(Some(Record { bytes, n_bytes: found.n_bytes, line: found.line, offset: found.offset }))
    }

    /// Whether asking for the next record may wait for somebody to write it: nothing of it has been read, and the input is
    /// no file.
    pub fn may_wait(&self) -> bool {
        let here = match self.place {
            Place::Lines => memchr::memchr(b'\n', self.unread()).is_some(),
            _ => self.start < self.end,
        };
        self.n_total.is_none() && !self.at_end && !here
    }

    /// How far the input is consumed: up to the end of the last record that was given out.
    pub fn position(&mut self) -> Position {
        self.hash_consumed();
        Position { offset: self.offset, line: self.line, hash: self.hash.digest(), place: self.place }
    }

    /// Goes to a position of an earlier run, if the bytes before it are the same. To be called before anything is read.
    pub fn resume(&mut self, position: &Position) -> io::Result<Resume> {
        while self.offset < position.offset {
            if self.start == self.end && !self.fill()? {
                return Ok(Resume::Shorter);
            }
            let wanted = usize::try_from(position.offset - self.offset).unwrap_or(usize::MAX);
            self.consume(wanted.min(self.end - self.start));
        }
        self.hash_consumed();
        if self.hash.digest() != position.hash {
            return Ok(Resume::Changed);
        }
        self.line = position.line;
        self.place = position.place;
        Ok(Resume::Continued)
    }

    /// Bytes read and bytes there are, before decompression.
    pub fn progress(&self) -> Progress {
        Progress { n_read: self.n_read.load(Ordering::Relaxed), n_total: self.n_total }
    }

    /// Passes over a byte-order mark and white space, and sees whether an array or lines follow.
    fn find_start(&mut self) -> io::Result<bool> {
        while self.end - self.start < 3 && self.fill()? {}
        if self.unread().starts_with(b"\xef\xbb\xbf") {
            self.consume(3);
        }
        let Some(first) = self.skip_space()? else { return Ok(false) };
        if first == b'[' {
            self.consume(1);
            self.place = Place::ArrayOpened;
        } else {
            self.place = Place::Lines;
        }
        Ok(true)
    }

    fn next_line(&mut self) -> io::Result<Option<Found>> {
        loop {
            let mut seen = 0;
            let len = loop {
                if let Some(at) = memchr::memchr(b'\n', self.unread().get(seen..).unwrap_or_default()) {
                    break Some(seen + at);
                }
                seen = self.end - self.start;
                if seen > EVENT_BYTES_MAX {
                    break None;
                }
                if !self.fill()? {
                    if seen == 0 {
                        return Ok(None);
                    }
                    break Some(seen);
                }
            };
            let (line, offset) = (self.line + 1, self.offset);
            let Some(len) = len else { return self.pass_long_line().map(Some) };
            let bytes = self.unread().get(..len).unwrap_or_default();
            let blank = bytes.iter().all(u8::is_ascii_whitespace);
            let shown = bytes.strip_suffix(b"\r").unwrap_or(bytes).len();
            let n_bytes = shown as u64;
            // The last line may lack its newline.
            let with_newline = (len + 1).min(self.end - self.start);
            self.line += 1;
            self.consume(with_newline);
            if !blank {
                return Ok(Some(Found { len: shown, n_bytes, kept: false, line, offset }));
            }
        }
    }

    fn pass_long_line(&mut self) -> io::Result<Found> {
        let (line, offset) = (self.line + 1, self.offset);
        self.keep(RECORD_BYTES_KEPT);
        let n_bytes = loop {
            let newline = memchr::memchr(b'\n', self.unread());
            self.consume(newline.map_or(self.end - self.start, |at| at + 1));
            if newline.is_some() {
                break self.offset - offset - 1;
            }
            if !self.fill()? {
                break self.offset - offset;
            }
        };
        self.line += 1;
        Ok(Found { len: 0, n_bytes, kept: true, line, offset })
    }

    fn next_item(&mut self) -> io::Result<Option<Found>> {
        loop {
            let next = self.skip_space()?;
            match (self.place, next) {
                (Place::ArrayClosed, None) => return Ok(None),
                (Place::ArrayClosed, Some(_)) => return Err(self.broken("nothing after the array's `]`")),
                (_, None) => return Err(self.broken("`]`: the array is not closed")),
                (Place::ArrayOpened | Place::AfterItem, Some(b']')) => {
                    self.place = Place::ArrayClosed;
                    self.consume(1);
                }
                (Place::AfterItem, Some(b',')) => {
                    self.place = Place::AfterComma;
                    self.consume(1);
                }
                (Place::AfterItem, Some(_)) => return Err(self.broken("`,` or `]` after an item of the array")),
                (_, Some(b',' | b']')) => return Err(self.broken("an item of the array")),
                (_, Some(_)) => {
                    let found = self.take_item()?;
                    self.place = Place::AfterItem;
                    return Ok(Some(found));
                }
            }
        }
    }

    /// Takes one value, of which the first byte is here: up to the bracket that closes it, or to what cannot belong to it.
    fn take_item(&mut self) -> io::Result<Found> {
        // Lines before the item are counted as passed; its own is the one after them.
        let (line, offset) = (self.line + 1, self.offset);
        let mut item = Item::default();
        let mut seen = 0;
        let mut kept = false;
        loop {
            let bytes = self.unread().get(seen..).unwrap_or_default();
            let end = bytes.iter().position(|b| item.ends_before(*b));
            seen += end.unwrap_or(bytes.len());
            let done = end.is_some();
            if !done && seen > EVENT_BYTES_MAX && !kept {
                self.keep(RECORD_BYTES_KEPT);
                kept = true;
            }
            if kept {
                self.count_lines(seen);
                self.consume(seen);
                seen = 0;
            }
            if done || !self.fill()? {
                break;
            }
        }
        self.count_lines(seen);
        self.consume(seen);
        Ok(Found { len: seen, n_bytes: self.offset - offset, kept, line, offset })
    }

    /// The first byte that is no white space, which is not consumed; white space is.
    fn skip_space(&mut self) -> io::Result<Option<u8>> {
        loop {
            let n_space = self.unread().iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.count_lines(n_space);
            self.consume(n_space);
            if let Some(first) = self.unread().first() {
                return Ok(Some(*first));
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    fn broken(&self, expected: &str) -> io::Error {
        let text = format!("{}: line {}: expected {expected}", self.name, self.line + 1);
        io::Error::new(io::ErrorKind::InvalidData, text)
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn count_lines(&mut self, n_bytes: usize) {
        let newlines = memchr::memchr_iter(b'\n', self.unread().get(..n_bytes).unwrap_or_default()).count();
        self.line += newlines as u64;
    }

    fn keep(&mut self, n_bytes: usize) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.clear();
        kept.extend(self.unread().iter().take(n_bytes));
        self.kept = kept;
    }

    fn consume(&mut self, n_bytes: usize) {
        self.start += n_bytes;
        self.offset += n_bytes as u64;
    }

    fn hash_consumed(&mut self) {
        self.hash.update(self.buffer.get(self.hashed..self.start).unwrap_or_default());
        self.hashed = self.start;
    }

    /// Reads more behind what is unread; `false` at the end of the input. Consumed bytes are hashed and dropped first.
    fn fill(&mut self) -> io::Result<bool> {
        if self.at_end {
            return Ok(false);
        }
        if self.start > 0 {
            self.hash_consumed();
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            (self.start, self.hashed) = (0, 0);
        }
        if self.buffer.len() - self.end < CHUNK_BYTES / 2 {
            // Bounded: nobody asks for more while a record's length is past the limit.
            self.buffer.resize(self.buffer.len() + CHUNK_BYTES, 0);
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let n = loop {
            match self.source.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", self.name))),
                Ok(n) => break n,
            }
        };
        self.end += n;
        self.at_end = n == 0;
        Ok(n > 0)
    }
}

/// Follows the brackets and quotes of one JSON value, byte by byte.
#[derive(Default)]
pub(super) struct Item {
    depth: u32,
    in_text: bool,
    escaped: bool,
    /// A bracket or a text was closed: the value is complete.
    closed: bool,
}

impl Item {
    /// Whether what passed was a whole value of brackets or quotes.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the value ended before this byte.
    pub(super) fn ends_before(&mut self, byte: u8) -> bool {
        if self.in_text {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_text = false;
                    self.closed = self.depth == 0;
                }
                _ => {}
            }
            return false;
        }
        if self.closed {
            return true;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' if self.depth > 0 => {
                self.depth -= 1;
                self.closed = self.depth == 0;
            }
            b',' | b']' | b' ' | b'\n' | b'\r' | b'\t' if self.depth == 0 => return true,
            _ => {}
        }
        false
    }
}

/// Counts the bytes that pass, for the progress bar.
struct Counted<R> {
    source: R,
    n_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(room)?;
        self.n_read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
