//! The body of a request as usage events, whatever it holds: native records, LiteLLM's payloads, CloudEvents, records of a
//! mapping, OTLP. Knows no HTTP beyond two headers, and no rule.
//!
//! What the content type says decides between protobuf and text alone: gateways send lines as `application/json`. A text is
//! one object, an array, or lines of objects, told by its shape. A record is native where it can be read so; otherwise its
//! keys tell the shipped mapping. `{"records": […]}`, as event hubs deliver, is the records in it.
//!
//! ```
//! use fineprint::feed::body::{BODY_BYTES_MAX, BodyOptions, Tally, entries, inflate};
//!
//! let body = br#"{"id":"a","ts":"2026-03-02T00:00:07Z","type":"request"}"#;
//! let plain = inflate(body, None, BODY_BYTES_MAX).unwrap();
//! let mut tally = Tally::default();
//! for entry in entries(&plain, BodyOptions::default()).unwrap() {
//!     tally.add(&entry);
//! }
//! assert_eq!((tally.accepted, tally.rejected()), (1, 0));
//! ```

mod inflate;
mod records;
mod tally;

pub use inflate::{WINDOW_LOG_MAX, inflate};
pub use tally::{SAMPLES_MAX, Tally};

use std::collections::VecDeque;

use self::records::Records;
use super::cloudevents;
use super::mapping::{Mapping, detect};
#[cfg(feature = "otlp")]
use super::otlp::Batch;
use super::slices::{items, members};
use crate::event::UsageEvent;
use crate::event::decode::{Decoder, Read, Reject, RejectReason, trim};

/// The longest body, in bytes after decompression; the bound that a decompression bomb meets.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// The most records in one OTLP request, or in one `{"records": […]}`. SDKs send 512, collectors 8,192 at a time.
pub const BATCH_RECORDS_MAX: usize = 16_384;

/// What a body holds by where it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signal {
    /// Usage records in any text form.
    #[default]
    Events,
    /// An OTLP export of logs.
    Logs,
    /// An OTLP export of traces.
    Traces,
}

/// How a body is to be read.
#[derive(Debug, Clone, Copy, Default)]
pub struct BodyOptions<'o> {
    /// Where it was sent.
    pub signal: Signal,
    /// The header `Content-Type`.
    pub content_type: Option<&'o str>,
    /// The mapping by which all records are read; without one their shape decides, and `otel` reads OTLP.
    pub mapping: Option<&'o Mapping>,
}

/// Why a body is refused as a whole: nothing of it was taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// Compressed in a way that is not read.
    #[error("the content encoding `{0}` is not read: send `gzip`, `zstd` or `identity`, and one of them only")]
    Encoding(String),
    /// Longer than allowed.
    #[error("the body is longer than {max} bytes (after decompression): send fewer records at a time")]
    TooLarge {
        /// Bytes allowed.
        max: usize,
    },
    /// Compressed, and damaged.
    #[error("the body is not whole: {0}")]
    Compression(String),
    /// A form that is not taken where it was sent.
    #[error("{0}")]
    Form(String),
    /// No OTLP request.
    #[error("the body is no OTLP request: {0}")]
    Otlp(String),
    /// More records than allowed.
    #[error("the body holds more than {BATCH_RECORDS_MAX} records: send fewer at a time")]
    TooMany,
}

impl BodyError {
    /// The HTTP status that says it.
    pub fn status(&self) -> u16 {
        match self {
            BodyError::Encoding(_) | BodyError::Form(_) => 415,
            BodyError::TooLarge { .. } | BodyError::TooMany => 413,
            BodyError::Compression(_) | BodyError::Otlp(_) => 400,
        }
    }
}

/// A record of a body, taken in or rejected.
#[derive(Debug)]
pub struct BodyEntry {
    /// The line at which it begins, from 1; 1 throughout where the body is protobuf.
    pub line: u64,
    /// Its number in the body, from 0.
    pub index: u64,
    /// The event, or why there is none.
    pub event: Result<UsageEvent<'static>, Reject>,
}

/// The records of a body, one after the other. Where an array breaks off, the last entry says so.
#[derive(Debug)]
pub struct Entries<'b> {
    records: Records<'b>,
    /// Records that stand in the one before them.
    inner: VecDeque<&'b [u8]>,
    #[cfg(feature = "otlp")]
    batch: Option<Batch<'b>>,
    mapping: Option<&'b Mapping>,
    decoder: Decoder,
    line: u64,
    index: u64,
}

/// The records of a body that [`inflate`] has given.
///
/// # Errors
/// Where nothing can be taken in: see [`BodyError`].
pub fn entries<'b>(plain: &'b [u8], options: BodyOptions<'b>) -> Result<Entries<'b>, BodyError> {
    let kind =
        options.content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let protobuf = matches!(kind.as_str(), "application/x-protobuf" | "application/protobuf");
    let mut entries = Entries {
        records: Records::new(if options.signal == Signal::Events { plain } else { &[] }),
        inner: VecDeque::new(),
        #[cfg(feature = "otlp")]
        batch: None,
        mapping: options.mapping,
        decoder: Decoder::new(),
        line: 1,
        index: 0,
    };
    if options.signal == Signal::Events {
        let what = "protobuf is read at /v1/logs and /v1/traces; send events as JSON";
        return if protobuf { Err(BodyError::Form(what.to_owned())) } else { Ok(entries) };
    }
    entries.open_otlp(plain, options.signal, protobuf || (kind.is_empty() && trim(plain).first() != Some(&b'{')))?;
    Ok(entries)
}

impl<'b> Entries<'b> {
    #[cfg(feature = "otlp")]
    fn open_otlp(&mut self, plain: &'b [u8], signal: Signal, protobuf: bool) -> Result<(), BodyError> {
        let batch = if protobuf { Batch::protobuf(plain, signal)? } else { Batch::json(plain, Some(signal))? };
        self.batch = Some(batch);
        Ok(())
    }

    #[cfg(not(feature = "otlp"))]
    fn open_otlp(&mut self, _: &'b [u8], _: Signal, _: bool) -> Result<(), BodyError> {
        Err(BodyError::Form("this program was built without OTLP: send events as JSON".to_owned()))
    }

    fn entry(&mut self, event: Read<UsageEvent<'static>>) -> BodyEntry {
        let index = self.index;
        self.index += 1;
        BodyEntry { line: self.line, index, event: event.map_err(|reject| *reject) }
    }

    /// The next record that stands in the one before.
    fn next_inner(&mut self) -> Option<Read<UsageEvent<'static>>> {
        #[cfg(feature = "otlp")]
        if let Some(flat) = self.batch.as_mut().and_then(Iterator::next) {
            return Some(
                flat.and_then(|flat| by_mapping(self.mapping.or(Mapping::shipped_ref("otel")), flat.as_bytes())),
            );
        }
        let record = self.inner.pop_front()?;
        Some(self.decode(record))
    }

    /// Whether the record holds others, which then come next.
    fn opens(&mut self, record: &'b [u8]) -> Read<bool> {
        let Some(first) = first_key(record) else { return Ok(false) };
        match first {
            b"records" => {
                let text = std::str::from_utf8(record).map_err(|e| Reject::invalid_utf8(e.valid_up_to()))?;
                let members = members(text)?;
                let [(_, list)] = members.as_slice() else { return Ok(false) };
                if !list.starts_with('[') {
                    return Ok(false);
                }
                self.inner = items(list, BATCH_RECORDS_MAX)?.into_iter().map(str::as_bytes).collect();
                Ok(true)
            }
            b"resourceLogs" | b"resourceSpans" => self.opens_otlp(record),
            b"resourceMetrics" => Err(Reject::not_usage()),
            _ => Ok(false),
        }
    }

    #[cfg(feature = "otlp")]
    fn opens_otlp(&mut self, record: &'b [u8]) -> Read<bool> {
        let batch = Batch::json(record, None).map_err(|e| Reject::plain(RejectReason::Syntax, e.to_string()))?;
        self.batch = Some(batch);
        Ok(true)
    }

    #[cfg(not(feature = "otlp"))]
    fn opens_otlp(&mut self, _: &'b [u8]) -> Read<bool> {
        let detail = "this program was built without OTLP: send events as JSON";
        Err(Reject::plain(RejectReason::BadValue, detail.to_owned()))
    }

    fn decode(&mut self, record: &[u8]) -> Read<UsageEvent<'static>> {
        if self.mapping.is_some() {
            return by_mapping(self.mapping, record);
        }
        match self.decoder.decode(record) {
            Ok(event) => Ok(event.into_owned()),
            // An envelope that is damaged should be told so, not that it is no native record.
            Err(native) => match detect(record).or(cloudevents::may_be(record).then_some("cloudevents")) {
                Some(mapping) => by_mapping(Mapping::shipped_ref(mapping), record),
                None => Err(Box::new(native)),
            },
        }
    }
}

fn by_mapping(mapping: Option<&Mapping>, record: &[u8]) -> Read<UsageEvent<'static>> {
    let mapping = mapping.ok_or_else(Reject::not_an_object)?;
    mapping.decode(record).map(UsageEvent::into_owned).map_err(Box::new)
}

/// The first key of an object, as written.
fn first_key(record: &[u8]) -> Option<&[u8]> {
    let inside = trim(trim(record).strip_prefix(b"{")?).strip_prefix(b"\"")?;
    inside.get(..memchr::memchr(b'"', inside)?)
}

impl Iterator for Entries<'_> {
    type Item = BodyEntry;

    fn next(&mut self) -> Option<BodyEntry> {
        loop {
            if let Some(event) = self.next_inner() {
                return Some(self.entry(event));
            }
            let record = match self.records.next()? {
                Ok((line, record)) => {
                    self.line = line;
                    record
                }
                Err((line, reject)) => {
                    self.line = line;
                    return Some(self.entry(Err(reject)));
                }
            };
            match self.opens(record) {
                Ok(true) => {}
                Ok(false) => {
                    let event = self.decode(record);
                    return Some(self.entry(event));
                }
                Err(reject) => return Some(self.entry(Err(reject))),
            }
        }
    }
}
