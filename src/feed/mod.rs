//! Turns files and standard input into usage events, lists, tables and the registry of accounts. Knows formats and
//! compression, no rule; nothing below it touches the disk.

pub mod body;
mod cloudevents;
mod lists;
mod mapping;
#[cfg(feature = "otlp")]
pub mod otlp;
mod prices;
mod reader;
mod slices;

use std::io;
use std::sync::Arc;

pub(crate) use lists::OTHER_KEY;
pub use lists::{AccountsFile, ColumnRef, FileError, ListFile, TableFile, read_accounts, read_list, read_table};
pub use mapping::{Mapping, MappingError, UNPACK_PATHS_MAX, detect, shipped_mappings};
pub use prices::{PriceFileError, parse_prices, read_prices};
pub use reader::{EventReader, Input, Position, PrefixHash, Progress, Record, Resume, inputs};

use crate::event::UsageEvent;
use crate::event::decode::{Decoder, Reject};

/// How the records of an input are written.
#[derive(Debug, Clone, Default)]
pub enum Format {
    /// Native, unless the first record has the keys of a shipped mapping ([`detect`]).
    #[default]
    Auto,
    /// One flat object of the keys of the field table.
    Native,
    /// As a mapping says.
    Mapped(Box<Mapping>),
}

impl Format {
    /// Decodes a record; native ones with `decoder`.
    pub fn decode<'a>(&'a self, decoder: &mut Decoder, record: &'a [u8]) -> Result<UsageEvent<'a>, Reject> {
        match self {
            Format::Mapped(mapping) => mapping.decode(record),
            Format::Auto | Format::Native => decoder.decode(record),
        }
    }
}

/// A record of an input, taken in or rejected.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The line at which it begins, from 1.
    pub line: u64,
    /// Uncompressed bytes before it.
    pub offset: u64,
    /// The event, or why there is none.
    pub event: Result<UsageEvent<'a>, Reject>,
}

/// Events of one input, one after the other.
#[derive(Debug)]
pub struct Feed {
    reader: EventReader,
    format: Arc<Format>,
    decoder: Decoder,
}

impl Feed {
    /// Opens an input.
    pub fn open(input: &Input, format: Format) -> io::Result<Self> {
        EventReader::open(input).map(|reader| Feed::new(reader, format))
    }

    /// Events of a reader.
    pub fn new(reader: EventReader, format: Format) -> Self {
        Feed { reader, format: Arc::new(format), decoder: Decoder::new() }
    }

    /// The next record, `None` at the end. A record that cannot be taken in is an entry too: the books must balance.
    /// Errors are those of [`EventReader::next_record`].
    pub fn next_entry(&mut self) -> io::Result<Option<Entry<'_>>> {
        let Some(record) = self.reader.next_record()? else { return Ok(None) };
        settle(&mut self.format, &record);
        let event = self.format.decode(&mut self.decoder, record.bytes);
        Ok(Some(Entry { line: record.line, offset: record.offset, event }))
    }

    /// The next record as [`Feed::next_entry`] takes it, with the format to decode it by elsewhere.
    ///
    /// # Errors
    /// Those of [`EventReader::next_record`].
    pub fn next_record(&mut self) -> io::Result<Option<(Record<'_>, &Arc<Format>)>> {
        let Some(record) = self.reader.next_record()? else { return Ok(None) };
        settle(&mut self.format, &record);
        Ok(Some((record, &self.format)))
    }

    /// The name of the mapping in use, once the first record was seen.
    pub fn mapping(&self) -> Option<&str> {
        match &*self.format {
            Format::Mapped(mapping) => Some(mapping.name()),
            Format::Auto | Format::Native => None,
        }
    }

    /// Names of unknown keys of native records so far, sorted, at most 32.
    pub fn unknown_names(&self) -> impl Iterator<Item = &str> {
        self.decoder.unknown_names()
    }

    /// See [`EventReader::may_wait`].
    pub fn may_wait(&self) -> bool {
        self.reader.may_wait()
    }

    /// See [`EventReader::position`].
    pub fn position(&mut self) -> Position {
        self.reader.position()
    }

    /// See [`EventReader::resume`].
    pub fn resume(&mut self, position: &Position) -> io::Result<Resume> {
        self.reader.resume(position)
    }

    /// See [`EventReader::progress`].
    pub fn progress(&self) -> Progress {
        self.reader.progress()
    }
}

/// What the first record decides about those that follow.
fn settle(format: &mut Arc<Format>, first: &Record<'_>) {
    if let Format::Auto = **format {
        *format = Arc::new(match detect(first.bytes).and_then(Mapping::shipped) {
            Some(mapping) => Format::Mapped(Box::new(mapping)),
            None => Format::Native,
        });
    }
}
