//! The whole state as bytes of a versioned format, and back.
//!
//! It can be written down in one go, or on another thread while events are taken in: all that changes only behind the watermark
//! is taken out of the evaluator meanwhile ([`Evaluator::freeze`]), and events wait.

mod erased;

pub use erased::erase_from_snapshot;

use std::sync::Arc;

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use super::events::Events;
use super::intern::{Interner, Texts};
use super::link::Link;
use super::memory::Memories;
use super::outcome::Outcomes;
use super::route::Router;
use super::sequence::Sequences;
use super::series::Series;
use super::stage::Stage;
use super::succession::{SavedSuccessor, Successor};
use super::window::{LinkedEpisodes, Windows};
use super::{Applying, Books, EvalOptions, Evaluator, Refused};
use crate::plan::RuleSet;
use crate::violation::Violation;

/// Version of the form. A snapshot of another version is refused; the run then starts from its inputs.
pub(crate) const SNAPSHOT_VERSION: u16 = 9;

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

/// What comes first, and is small.
#[derive(Serialize)]
struct Head<'a> {
    version: u16,
    bundle: &'a str,
    books: &'a Books,
    undecided: &'a [u64],
}

/// What grows with the number of keys and events. Of it, only texts and waiting events are touched by taking in an event.
#[derive(Serialize)]
struct Body<'a> {
    texts: &'a Texts,
    stage: &'a Stage,
    memories: &'a Memories,
    events: &'a Events,
    windows: &'a [Windows],
    linked: &'a [LinkedEpisodes],
    links: &'a [Link],
    sequences: &'a [Sequences],
    series: &'a [Series],
}

/// What comes last, and is small where violations have been taken.
#[derive(Serialize)]
struct Tail<'a> {
    max_ts: Option<i64>,
    watermark: i64,
    settled: i64,
    next_due: i64,
    finished: &'a [Violation],
    outcomes: &'a Outcomes,
    refused: Vec<(super::Origin, &'a str)>,
    next: Vec<SavedSuccessor>,
    handed: &'a [Violation],
}

/// Head, body and tail, one behind the other.
#[derive(Deserialize)]
struct Loaded {
    books: Books,
    undecided: Vec<u64>,
    texts: Texts,
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
    next: Vec<SavedSuccessor>,
    handed: Vec<Violation>,
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
    /// A text, where the state cannot be written down: also from [`Evaluator::freeze`] until [`Evaluator::catch_up`] has applied
    /// all that waits.
    pub fn write_snapshot(&self, out: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        if self.applying != Applying::AtOnce {
            return Err("the state cannot be written down: events wait for an earlier snapshot".to_string());
        }
        let body = Body {
            texts: self.interner.texts(),
            stage: &self.stage,
            memories: &self.memories,
            events: &self.events,
            windows: &self.windows,
            linked: &self.linked,
            links: &self.links,
            sequences: &self.sequences,
            series: &self.series,
        };
        write(&self.head(), out)?;
        write(&body, out)?;
        write(&self.tail(), out)
    }

    fn head(&self) -> Head<'_> {
        Head {
            version: SNAPSHOT_VERSION,
            bundle: self.rules.bundle_hash(),
            books: &self.books,
            undecided: &self.undecided,
        }
    }

    fn tail(&self) -> Tail<'_> {
        Tail {
            max_ts: self.max_ts,
            watermark: self.watermark,
            settled: self.settled,
            next_due: self.next_due,
            finished: &self.finished,
            outcomes: &self.outcomes,
            refused: self.refused.iter().map(|r| (r.origin, r.id.as_str())).collect(),
            next: self.next.iter().map(Successor::saved).collect(),
            handed: &self.handed,
        }
    }

    /// Takes the state out as it is now, to be written down by [`Frozen::write`] on any thread, and to be given back by
    /// [`Evaluator::thaw`]. Until then events are taken in as ever and wait; nothing behind the watermark is applied or judged,
    /// and nothing is found but by rules on single events that are late. Call [`Evaluator::take_violations`] before, so that
    /// little is copied.
    ///
    /// # Errors
    /// A text, where the state cannot be written down, or is out already.
    pub fn freeze(&mut self) -> Result<Frozen, String> {
        if self.applying == Applying::Frozen {
            return Err("the state cannot be written down: it is being written down already".to_string());
        }
        self.catch_up(usize::MAX);
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        write(&self.head(), &mut |part| head.extend_from_slice(part))?;
        write(&self.tail(), &mut |part| tail.extend_from_slice(part))?;
        self.applying = Applying::Frozen;
        Ok(Frozen {
            head,
            texts: self.interner.share(),
            stage: self.stage.set_aside(),
            memories: std::mem::take(&mut self.memories),
            events: std::mem::take(&mut self.events),
            windows: std::mem::take(&mut self.windows),
            linked: std::mem::take(&mut self.linked),
            links: std::mem::take(&mut self.links),
            sequences: std::mem::take(&mut self.sequences),
            series: std::mem::take(&mut self.series),
            tail,
        })
    }

    /// Takes back the state that [`Evaluator::freeze`] gave. Events that have waited for it are applied by
    /// [`Evaluator::catch_up`].
    pub fn thaw(&mut self, frozen: Frozen) {
        debug_assert!(self.applying == Applying::Frozen, "the state of another evaluator");
        let Frozen { texts, stage, memories, events, windows, linked, links, sequences, series, .. } = frozen;
        drop(texts);
        self.interner.settle();
        for (origin, id) in self.stage.take_back(stage) {
            self.refuse_waiting(origin, &id);
        }
        self.memories = memories;
        self.events = events;
        self.windows = windows;
        self.linked = linked;
        self.links = links;
        self.sequences = sequences;
        self.series = series;
        self.applying = Applying::InParts;
    }

    /// Bytes of the events that have come since [`Evaluator::freeze`], roughly; 0 where the state is not out.
    pub fn held_back(&self) -> usize {
        self.stage.held_back()
    }

    /// An evaluator in the state of a snapshot.
    ///
    /// # Errors
    /// A text that says why the bytes do not fit: another version, another rule set, damaged.
    pub fn restore(rules: Arc<RuleSet>, options: EvalOptions, snapshot: &[u8]) -> Result<Self, String> {
        Evaluator::restore_among(
            &mut |hash| (hash == rules.bundle_hash()).then(|| Arc::clone(&rules)),
            options,
            snapshot,
        )
    }

    /// The same where rules are taking over: `rules_of` gives the rule set of each bundle hash that the state names.
    ///
    /// # Errors
    /// As [`Evaluator::restore`], also where a rule set is not there.
    pub fn restore_among(
        rules_of: &mut dyn FnMut(&str) -> Option<Arc<RuleSet>>,
        options: EvalOptions,
        snapshot: &[u8],
    ) -> Result<Self, String> {
        let other_rules = || "the saved state belongs to other rules, lists or registry".to_string();
        let damaged = |e: postcard::Error| format!("the saved state is damaged: {e}");
        let (bundle, rest) = head_of(snapshot)?;
        let rules = rules_of(&bundle).ok_or_else(other_rules)?;
        let mut s: Loaded = postcard::from_bytes(rest).map_err(damaged)?;
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
        let next = s.next.into_iter().map(|saved| {
            let SavedSuccessor { at, bundle, undecided, keeps, backfills } = saved;
            let rules = rules_of(&bundle).ok_or_else(other_rules)?;
            Ok(Successor { at, rules, router: Router::default(), undecided, keeps, backfills, backfilled: None })
        });
        let next: std::collections::VecDeque<Successor> = next.collect::<Result<_, String>>()?;
        let conflicting = |(origin, id)| Refused { origin, id, refusal: super::Refusal::Conflicting };
        let mut restored = Evaluator {
            books: s.books,
            undecided: s.undecided,
            interner: Interner::of(s.texts),
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
            next,
            handed: s.handed,
            ..evaluator
        };
        restored.events.reach(restored.rules.reaches().0);
        restored.account_all();
        Ok(restored)
    }
}

/// The bundle hash of the rules under which a snapshot was written: those in force then.
///
/// # Errors
/// A text, where it is of another version, or damaged.
pub fn bundle_of(snapshot: &[u8]) -> Result<String, String> {
    head_of(snapshot).map(|(bundle, _)| bundle)
}

/// The bundle hash, and what follows.
fn head_of(snapshot: &[u8]) -> Result<(String, &[u8]), String> {
    let damaged = |e: postcard::Error| format!("the saved state is damaged: {e}");
    let (version, rest) = postcard::take_from_bytes::<u16>(snapshot).map_err(damaged)?;
    if version != SNAPSHOT_VERSION {
        return Err(format!("the saved state has version {version}, this program reads version {SNAPSHOT_VERSION}"));
    }
    postcard::take_from_bytes::<String>(rest).map_err(damaged)
}

/// The state of an evaluator at one moment. It is the state itself, no copy: dropping it loses it.
#[derive(Debug)]
pub struct Frozen {
    head: Vec<u8>,
    texts: Arc<Texts>,
    stage: Stage,
    memories: Memories,
    events: Events,
    windows: Vec<Windows>,
    linked: Vec<LinkedEpisodes>,
    links: Vec<Link>,
    sequences: Vec<Sequences>,
    series: Vec<Series>,
    tail: Vec<u8>,
}

impl Frozen {
    /// Hands out the bytes of [`Evaluator::snapshot`] as of [`Evaluator::freeze`], in order, in parts.
    ///
    /// # Errors
    /// A text, where the state cannot be written down.
    pub fn write(&self, out: &mut dyn FnMut(&[u8])) -> Result<(), String> {
        let body = Body {
            texts: &self.texts,
            stage: &self.stage,
            memories: &self.memories,
            events: &self.events,
            windows: &self.windows,
            linked: &self.linked,
            links: &self.links,
            sequences: &self.sequences,
            series: &self.series,
        };
        out(&self.head);
        write(&body, out)?;
        out(&self.tail);
        Ok(())
    }
}

fn write<T: Serialize>(of: &T, out: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let parts = Parts { buffer: Vec::with_capacity(PART_BYTES), out };
    postcard::serialize_with_flavor(of, parts).map_err(|e| format!("the state cannot be written down: {e}"))
}
