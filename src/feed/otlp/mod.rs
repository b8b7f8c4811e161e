//! OTLP exports of logs and traces, in protobuf and JSON, as one flat JSON object a record, which a mapping then reads
//! (`otel` where none is named). Knows the protocol, no convention about attributes.
//!
//! A request is split before anything in it is decoded: a damaged one is refused as a whole, a damaged record alone, and no
//! request takes more memory than a record at a time. Of a record there are the keys
//!
//! | key | what |
//! |---|---|
//! | `signal` | `span` or `log` |
//! | `id` | `trace_id-span_id`, where both are there |
//! | `trace_id`, `span_id`, `parent_span_id` | in hexadecimal |
//! | `name`, `kind`, `status`, `status_message` | of spans; the kind as `client`, the status as `unset`, `ok`, `error` |
//! | `start_time_unix_nano`, `end_time_unix_nano`, `duration_nano` | of spans; the duration where it is not below zero |
//! | `events` | of spans: a list of `name`, `time_unix_nano`, `attributes` |
//! | `time_unix_nano`, `observed_time_unix_nano` | of logs |
//! | `severity_number`, `severity_text`, `event_name`, `body` | of logs |
//! | `attributes` | of the record: one key an attribute, points and all |
//! | `resource`, `scope` | the attributes of resource and scope |
//! | `scope_name`, `scope_version` | of the scope |
//!
//! Numbers are numbers (`NaN` and infinities texts), bytes hexadecimal text, and what was not set is missing.

mod flat;
mod split;

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use serde_json::{Value, json};

use self::flat::{Above, flat};
use self::split::Leaf;
use super::body::{BodyError, Signal, Tally};
use crate::event::decode::Read;

/// The longest resource, and the longest scope, in bytes: each of their records repeats them.
pub const RESOURCE_BYTES_MAX: usize = 16 << 10;

/// The records of a request, flat, as JSON.
#[derive(Debug)]
pub(super) struct Batch<'b> {
    leaves: std::vec::IntoIter<Leaf<'b>>,
    /// What stands above the records that come, decoded once.
    above: Option<(Arc<split::Group<'b>>, Read<Above>)>,
}

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

impl<'b> Batch<'b> {
    pub(super) fn protobuf(bytes: &'b [u8], signal: Signal) -> Result<Self, BodyError> {
        let mut leaves = Vec::new();
        split::protobuf(bytes, signal == Signal::Traces, &mut leaves)?;
        Ok(Batch { leaves: leaves.into_iter(), above: None })
    }

    /// A request in JSON; of any signal where none is given.
    pub(super) fn json(bytes: &'b [u8], signal: Option<Signal>) -> Result<Self, BodyError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| BodyError::Otlp(format!("byte {} is not UTF-8", e.valid_up_to())))?;
        let mut leaves = Vec::new();
        split::json(text, signal, &mut leaves)?;
        Ok(Batch { leaves: leaves.into_iter(), above: None })
    }
}

impl Iterator for Batch<'_> {
    type Item = Read<String>;

    fn next(&mut self) -> Option<Read<String>> {
        let leaf = self.leaves.next()?;
        if !self.above.as_ref().is_some_and(|(group, _)| Arc::ptr_eq(group, &leaf.group)) {
            self.above = Some((Arc::clone(&leaf.group), Above::decode(&leaf.group)));
        }
        let (_, above) = self.above.as_ref()?;
        Some(match above {
            Ok(above) => flat(&leaf, above).map(|record| record.to_string()),
            Err(reject) => Err(reject.clone()),
        })
    }
}

/// The answer to an export: empty where all was taken in, otherwise how many records were not, and why. Records that are
/// none of usage were taken in as far as the sender is concerned.
pub fn response(signal: Signal, encoding: Encoding, tally: &Tally) -> Vec<u8> {
    let (rejected, message) = (i64::try_from(tally.rejected()).unwrap_or(i64::MAX), tally.message());
    let partial = rejected > 0;
    match (encoding, signal) {
        (Encoding::Json, _) if !partial => Value::Object(serde_json::Map::new()).to_string().into_bytes(),
        (Encoding::Json, signal) => {
            let count = if signal == Signal::Traces { "rejectedSpans" } else { "rejectedLogRecords" };
            // Numbers of 64 bits are texts in the JSON of protobuf.
            json!({ "partialSuccess": { count: rejected.to_string(), "errorMessage": message } })
                .to_string()
                .into_bytes()
        }
        (Encoding::Protobuf, Signal::Traces) => {
            let told = ExportTracePartialSuccess { rejected_spans: rejected, error_message: message };
            ExportTraceServiceResponse { partial_success: partial.then_some(told) }.encode_to_vec()
        }
        (Encoding::Protobuf, _) => {
            let told = ExportLogsPartialSuccess { rejected_log_records: rejected, error_message: message };
            ExportLogsServiceResponse { partial_success: partial.then_some(told) }.encode_to_vec()
        }
    }
}
