//! Inputs as one stream of records in order of event time.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::STDIN;
use super::sink::Consumed;
use crate::eval::Origin;
use crate::event::UsageEvent;
use crate::event::decode::Reject;
use crate::feed::{Feed, Format, Input as Place, Mapping, Position, Record, Resume, inputs};
use crate::time::Timestamp;

/// An input cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It is not there, or broken.
    #[error("cannot read {name}: {source}")]
    Read {
        /// Which input.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A directory without event files.
    #[error(
        "there are no event files in `{0}`: they end in `.jsonl`, `.ndjson` or `.json`, also with `.gz` or `.zst` behind"
    )]
    Empty(PathBuf),
}

/// One input of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputSpec {
    /// Its name in the log: the path as it was given, `-` for standard input.
    pub name: String,
    /// Where it is; `None` is standard input.
    pub path: Option<PathBuf>,
}

/// The inputs that paths stand for: files, the event files of directories, `-`. Each once.
///
/// # Errors
/// Where a path is not there, or a directory holds no event files.
pub fn expand(paths: &[PathBuf]) -> Result<Vec<InputSpec>, InputError> {
    let mut found: Vec<InputSpec> = Vec::new();
    for path in paths {
        let failed = |source| InputError::Read { name: path.display().to_string(), source };
        if path.as_os_str() != STDIN {
            std::fs::metadata(path).map_err(failed)?;
        }
        let places = inputs(path).map_err(failed)?;
        if places.is_empty() {
            return Err(InputError::Empty(path.clone()));
        }
        for place in places {
            let spec = match place {
                Place::Stdin => InputSpec { name: STDIN.to_string(), path: None },
                Place::File(file) => InputSpec { name: file.display().to_string(), path: Some(file) },
            };
            if !found.contains(&spec) {
                found.push(spec);
            }
        }
    }
    Ok(found)
}

/// How far an input was read, and as what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Read {
    /// Up to where its records have been handed over.
    pub(super) position: Position,
    /// The shipped mapping that its first record fitted.
    mapping: Option<String>,
}

impl Read {
    /// The format in which the input goes on: what its first record decided stays decided.
    pub(super) fn format(&self) -> Format {
        let shipped = self.mapping.as_deref().and_then(Mapping::shipped);
        shipped.map_or(Format::Native, |mapping| Format::Mapped(Box::new(mapping)))
    }
}

/// An input that is being read.
#[derive(Debug)]
pub(super) struct Input {
    name: String,
    number: u32,
    feed: Feed,
    /// Lines of earlier runs, where the input is a pipe and begins anew.
    line_base: u64,
    /// Where it was opened.
    opened_at: u64,
    at_end: bool,
    /// Of several inputs: the next event, which waits for its turn, and how far the input was read before it.
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    event: UsageEvent<'static>,
    line: u64,
    before: Position,
}

impl Input {
    /// Opens an input behind what was read of it before.
    pub(super) fn open(
        spec: &InputSpec,
        name: &str,
        number: u32,
        before: Option<&Position>,
        format: Format,
    ) -> Result<(Input, Resume), InputError> {
        let failed = |source| InputError::Read { name: name.to_string(), source };
        let place = spec.path.as_ref().map_or(Place::Stdin, |p| Place::File(p.clone()));
        let mut feed = Feed::open(&place, format).map_err(failed)?;
        let mut resume = Resume::Continued;
        let mut line_base = 0;
        match before {
            Some(position) if spec.path.is_some() => resume = feed.resume(position).map_err(failed)?,
            // Whatever comes out of a pipe is new; only its numbers go on, so that each line keeps its own.
            Some(position) => line_base = position.line,
            None => {}
        }
        let opened_at = feed.position().offset;
        let input = Input { name: name.to_string(), number, feed, line_base, opened_at, at_end: false, waiting: None };
        Ok((input, resume))
    }

    /// Up to where its records have been handed over.
    fn position(&mut self) -> Position {
        let mut position = match &self.waiting {
            Some(waiting) => waiting.before,
            None => self.feed.position(),
        };
        position.line += self.line_base;
        position
    }

    /// Makes the next event wait for its turn; records that cannot be read are handed over at once. Returns how many.
    fn wait<E: From<InputError>>(
        &mut self,
        take: &mut impl FnMut(u32, u64, Result<UsageEvent<'_>, Reject>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut handed_over = 0;
        while self.waiting.is_none() && !self.at_end {
            let before = self.feed.position();
            let failed = |source| InputError::Read { name: self.name.clone(), source };
            let Some(entry) = self.feed.next_entry().map_err(failed)? else {
                self.at_end = true;
                break;
            };
            let line = entry.line + self.line_base;
            match entry.event {
                Ok(event) => self.waiting = Some(Waiting { event: event.into_owned(), line, before }),
                Err(reject) => {
                    handed_over += 1;
                    take(self.number, line, Err(reject))?;
                }
            }
        }
        Ok(handed_over)
    }
}

/// How far the inputs of a run were read.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadSoFar {
    /// Each input: for the log, and to go on from.
    pub(super) consumed: Vec<(Consumed, Read)>,
    /// Bytes read of the files as they are stored.
    pub(super) stored_bytes: u64,
    /// Bytes read by this run, uncompressed.
    pub(super) bytes: u64,
    /// Names of the inputs that held nothing beyond what had been read before.
    pub(super) nothing_new: Vec<String>,
    /// Keys that no field has, as far as they are remembered.
    pub(super) unknown_names: BTreeSet<String>,
}

/// Several inputs as one stream. The input whose next event is the earliest goes first, so that what has been seen is never
/// further ahead than the slowest input allows: the watermark is the minimum over them.
#[derive(Debug)]
pub(super) struct Merged {
    inputs: Vec<Input>,
}

/// A record that is not decoded, where it comes from, and its form.
pub(super) type Undecoded<'a> = (Origin, Record<'a>, &'a Arc<Format>);

impl Merged {
    pub(super) fn new(inputs: Vec<Input>) -> Self {
        Merged { inputs }
    }

    /// The next record of the only input, not decoded, and where it comes from; `None` at its end, and where there are
    /// several inputs.
    pub(super) fn next_record(&mut self) -> Result<Option<Undecoded<'_>>, InputError> {
        let [only] = self.inputs.as_mut_slice() else { return Ok(None) };
        let Input { name, feed, at_end, number, line_base, .. } = only;
        match feed.next_record() {
            Ok(Some((record, format))) => {
                Ok(Some((Origin { input: *number, line: record.line + *line_base }, record, format)))
            }
            Ok(None) => {
                *at_end = true;
                Ok(None)
            }
            Err(source) => Err(InputError::Read { name: name.clone(), source }),
        }
    }

    /// Whether there is one input, whose records need not be decoded to be put in order.
    pub(super) fn is_single(&self) -> bool {
        self.inputs.len() == 1
    }

    /// Hands over the next record or, on the way to it, some that cannot be read. Returns how many; 0 is the end.
    pub(super) fn next<E: From<InputError>>(
        &mut self,
        mut take: impl FnMut(u32, u64, Result<UsageEvent<'_>, Reject>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut handed_over = 0;
        let mut first: Option<(Timestamp, usize)> = None;
        for (at, input) in self.inputs.iter_mut().enumerate() {
            handed_over += input.wait(&mut take)?;
            if let Some(waiting) = &input.waiting
                && first.is_none_or(|(ts, _)| waiting.event.ts() < ts)
            {
                first = Some((waiting.event.ts(), at));
            }
        }
        let next = first.and_then(|(_, at)| self.inputs.get_mut(at));
        if let Some((input, waiting)) = next.and_then(|i| i.waiting.take().map(|w| (i, w))) {
            take(input.number, waiting.line, Ok(waiting.event))?;
            handed_over += 1;
        }
        Ok(handed_over)
    }

    /// Whether the next record may be one that nobody has written yet.
    pub(super) fn may_wait(&self) -> bool {
        self.inputs.iter().any(|i| i.waiting.is_none() && !i.at_end && i.feed.may_wait())
    }

    /// How far everything was read.
    pub(super) fn so_far(&mut self) -> ReadSoFar {
        ReadSoFar {
            stored_bytes: self.stored_bytes(),
            bytes: self.bytes(),
            consumed: self.consumed(),
            nothing_new: self.nothing_new(),
            unknown_names: self.unknown_names(),
        }
    }

    /// Bytes read of the files as they are stored.
    fn stored_bytes(&self) -> u64 {
        self.inputs.iter().map(|i| i.feed.progress().n_read).sum()
    }

    /// Bytes read by this run, uncompressed.
    pub(super) fn bytes(&mut self) -> u64 {
        self.inputs.iter_mut().map(|i| i.position().offset.saturating_sub(i.opened_at)).sum()
    }

    /// How far each input was read: for the log, and to go on from.
    pub(super) fn consumed(&mut self) -> Vec<(Consumed, Read)> {
        self.inputs
            .iter_mut()
            .map(|i| {
                let position = i.position();
                let consumed = Consumed {
                    name: i.name.clone(),
                    content_hash: format!("{:032x}", position.hash),
                    offset_bytes: position.offset,
                    n_lines: position.line,
                    finished: i.at_end && i.waiting.is_none(),
                };
                (consumed, Read { position, mapping: i.feed.mapping().map(str::to_string) })
            })
            .collect()
    }

    /// Names of the inputs that held nothing beyond what had been read before.
    pub(super) fn nothing_new(&mut self) -> Vec<String> {
        let old = self.inputs.iter_mut().filter_map(|i| {
            let none = i.opened_at > 0 && i.position().offset == i.opened_at;
            none.then(|| i.name.clone())
        });
        old.collect()
    }

    /// Keys that no field has, as far as they are remembered.
    fn unknown_names(&self) -> BTreeSet<String> {
        self.inputs.iter().flat_map(|i| i.feed.unknown_names()).map(str::to_string).collect()
    }
}
