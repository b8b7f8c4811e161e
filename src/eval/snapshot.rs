//! The whole state as bytes of a versioned format, and back.

use std::sync::Arc;

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use super::events::Events;
use super::intern::Interner;
use super::link::Link;
use super::memory::Memories;
use super::outcome::Outcomes;
use super::sequence::Sequences;
use super::series::Series;
use super::stage::Stage;
use super::window::{LinkedEpisodes, Windows};
use super::{Books, EvalOptions, Evaluator, Refused};
use crate::plan::RuleSet;
use crate::violation::Violation;

/// Version of the form. A snapshot of another version is refused; the run then starts from its inputs.
pub(crate) const SNAPSHOT_VERSION: u16 = 7;

/// Bytes handed out at a time.
const PART_BYTES: usize = 64 << 10;

/// Where the serialiser writes to.
struct Parts<'a> {
    buffer: Vec<u8>,
    out: &'a mut dyn FnMut(&[u8]),
}

impl Flavor for Parts<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        if self.buffer.len() + bytes.len() > PART_BYTES {
            (self.out)(&self.buffer);
            self.buffer.clear();
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        (self.out)(&self.buffer);
        Ok(())
    }
}

#[derive(Serialize)]
struct Saved<'a> {
    version: u16,
    bundle: &'a str,
    books: &'a Books,
    undecided: &'a [u64],
    interner: &'a Interner,
    stage: &'a Stage,
    memories: &'a Memories,
    events: &'a Events,
    windows: &'a [Windows],
    linked: &'a [LinkedEpisodes],
    links: &'a [Link],
    sequences: &'a [Sequences],
    series: &'a [Series],
    max_ts: Option<i64>,
    watermark: i64,
    settled: i64,
    next_due: i64,
    finished: &'a [Violation],
    outcomes: &'a Outcomes,
    refused: Vec<(super::Origin, &'a str)>,
}

#[derive(Deserialize)]
struct Loaded {
    books: Books,
    undecided: Vec<u64>,
    interner: Interner,
    stage: Stage,
    memories: Memories,
    events: Events,
    windows: Vec<Windows>,
    linked: Vec<LinkedEpisodes>,
    links: Vec<Link>,
    sequences: Vec<Sequences>,
    series: Vec<Series>,
    max_ts: Option<i64>,
    watermark: i64,
    settled: i64,
    next_due: i64,
    finished: Vec<Violation>,
    outcomes: Outcomes,
    refused: Vec<(super::Origin, String)>,
}

impl Evaluator {
    /// The whole state as bytes of a versioned format.
    ///
    /// # Errors
    /// A text, where the state cannot be written down.
    pub fn snapshot(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        self.write_snapshot(&mut |part| bytes.extend_from_slice(part))?;
        Ok(bytes)
    }

    /// Hands out the bytes of [`Evaluator::snapshot`] in order, in parts, so that they need not lie in memory at once.
    ///
    /// # Errors
    /// A text, where the state cannot be written down.
    pub fn write_snapshot(&self, out: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        let saved = Saved {
            version: SNAPSHOT_VERSION,
            bundle: self.rules.bundle_hash(),
            books: &self.books,
            undecided: &self.undecided,
            interner: &self.interner,
            stage: &self.stage,
            memories: &self.memories,
            events: &self.events,
            windows: &self.windows,
            linked: &self.linked,
            links: &self.links,
            sequences: &self.sequences,
            series: &self.series,
            max_ts: self.max_ts,
            watermark: self.watermark,
            settled: self.settled,
            next_due: self.next_due,
            finished: &self.finished,
            outcomes: &self.outcomes,
            refused: self.refused.iter().map(|r| (r.origin, r.id.as_str())).collect(),
        };
        let parts = Parts { buffer: Vec::with_capacity(PART_BYTES), out };
        postcard::serialize_with_flavor(&saved, parts).map_err(|e| format!("the state cannot be written down: {e}"))
    }

    /// An evaluator in the state of a snapshot.
    ///
    /// # Errors
    /// A text that says why the bytes do not fit: another version, another rule set, damaged.
    pub fn restore(rules: Arc<RuleSet>, options: EvalOptions, snapshot: &[u8]) -> Result<Self, String> {
        let damaged = |e: postcard::Error| format!("the saved state is damaged: {e}");
        let (version, rest) = postcard::take_from_bytes::<u16>(snapshot).map_err(damaged)?;
        if version != SNAPSHOT_VERSION {
            return Err(format!(
                "the saved state has version {version}, this program reads version {SNAPSHOT_VERSION}"
            ));
        }
        let (bundle, rest) = postcard::take_from_bytes::<String>(rest).map_err(damaged)?;
        if bundle != rules.bundle_hash() {
            return Err("the saved state belongs to other rules, lists or registry".to_string());
        }
        let mut s: Loaded = postcard::from_bytes(rest).map_err(damaged)?;
        s.interner.rebuild();
        s.stage.rebuild();
        s.windows.iter_mut().for_each(Windows::rebuild);
        s.links.iter_mut().for_each(Link::rebuild);
        s.memories.rebuild();
        let evaluator = Evaluator::new(rules, options);
        let same = s.windows.len() == evaluator.windows.len()
            && s.linked.len() == evaluator.linked.len()
            && s.links.len() == evaluator.links.len()
            && s.memories.len() == evaluator.memories.len()
            && s.sequences.len() == evaluator.sequences.len()
            && s.series.len() == evaluator.series.len();
        if !same {
            return Err("the saved state belongs to other rules".to_string());
        }
        let conflicting = |(origin, id)| Refused { origin, id, refusal: super::Refusal::Conflicting };
        let mut restored = Evaluator {
            books: s.books,
            undecided: s.undecided,
            interner: s.interner,
            stage: s.stage,
            memories: s.memories,
            events: s.events,
            windows: s.windows,
            linked: s.linked,
            links: s.links,
            sequences: s.sequences,
            series: s.series,
            max_ts: s.max_ts,
            watermark: s.watermark,
            settled: s.settled,
            next_due: s.next_due,
            finished: s.finished,
            outcomes: s.outcomes.named(&evaluator.rules),
            refused: s.refused.into_iter().map(conflicting).collect(),
            ..evaluator
        };
        restored.account_all();
        Ok(restored)
    }
}
