//! The events of a live session's journal, with the rules that wrote each down: for whoever asks what follows from them.

use std::path::Path;
use std::sync::Arc;

use super::LiveError;
use super::entry::{Entry, Read, read};
use super::library::Library;
use super::status::Written;
use crate::eval::{Carries, Fate, Recalled, fates};
use crate::hir::rule_hash;
use crate::journal::{self, Position};
use crate::plan::RuleSet;
use crate::time::{Duration, Timestamp};

/// What a journal gives back.
#[derive(Debug)]
pub struct Recollection {
    /// Events in the order of their arrival, each written by one of `writers` ([`Recalled::writer`]).
    pub events: Vec<Recalled>,
    /// The rule sets that were in force, in the order in which they took over.
    pub writers: Vec<Arc<RuleSet>>,
    /// From which event time each was in force, and what was said of changed rules.
    changes: Vec<(Timestamp, Carries)>,
}

impl Recollection {
    /// The number of the last rule set that has a rule as it was, by name and hash.
    pub fn with_rule(&self, name: &str, hash: &str) -> Option<usize> {
        self.writers.iter().rposition(|rules| has(rules, name, hash))
    }

    /// From which event time on a rule of a rule set has counted: where it took over with nothing, or the beginning.
    pub fn counts_from(&self, name: &str, writer: usize) -> Timestamp {
        let hash_in = |at: usize| hash_of(self.writers.get(at)?, name);
        let hash = hash_in(writer);
        let mut at = writer;
        while let Some(before) = at.checked_sub(1).filter(|_| hash.is_some()) {
            if hash_in(before) != hash {
                break;
            }
            at = before;
        }
        let change = at.checked_sub(1).and_then(|before| self.writers.get(before)).zip(self.writers.get(at));
        let (Some((old, new)), Some((from, carries))) = (change, self.changes.get(at)) else { return Timestamp::MIN };
        match fates(old, new, carries).ok().and_then(|fates| fates.get(name).copied()) {
            Some(Fate::Reset | Fate::New) => *from,
            _ => Timestamp::MIN,
        }
    }

    /// Until which event time a rule of a rule set was in force as it was; `None` where it still is.
    pub fn counts_until(&self, name: &str, writer: usize) -> Option<Timestamp> {
        let hash = hash_of(self.writers.get(writer)?, name)?;
        let mut later = self.writers.iter().zip(&self.changes).skip(writer + 1);
        later.find(|(rules, _)| !has(rules, name, &hash)).map(|(_, (from, _))| *from)
    }
}

fn hash_of(rules: &RuleSet, name: &str) -> Option<String> {
    let program = rules.program();
    program.rules.iter().find(|rule| rule.name == name).map(|rule| rule_hash(program, rule))
}

fn has(rules: &RuleSet, name: &str, hash: &str) -> bool {
    hash_of(rules, name).as_deref() == Some(hash)
}

/// Reads the journal of a live session up to a position; `None` where it is that of a run over files. `progress` is told the number
/// of events now and then.
///
/// # Errors
/// Where it cannot be read, names rules that are not kept, or says under none that it was written.
pub fn recollect(
    dir: &Path,
    until: &Position,
    library: &dyn Library,
    lateness: Duration,
    progress: &mut dyn FnMut(usize),
) -> Result<Option<Recollection>, LiveError> {
    let mut out = Recollection { events: Vec::new(), writers: Vec::new(), changes: Vec::new() };
    let (mut watermark, mut unruled) = (i64::MIN, Vec::new());
    for projection in journal::read(dir, Some(until))? {
        match read(&projection?.record).map_err(LiveError::Replay)? {
            Read::Event(recalled) if out.writers.is_empty() => unruled.push(*recalled),
            Read::Event(recalled) => {
                let ts = recalled.event.ts().0;
                let in_force = Timestamp(ts.max(watermark));
                watermark = watermark.max(ts.saturating_sub(lateness.0));
                let writer = out.changes.iter().rposition(|(at, _)| *at <= in_force).unwrap_or(0);
                out.events.push(recalled.written_by(writer));
                if out.events.len().is_multiple_of(4_096) {
                    progress(out.events.len());
                }
            }
            Read::Entry(Entry::Advance { watermark: to }) => watermark = watermark.max(to),
            Read::Entry(Entry::Rules { bundle, at, carries, otherwise }) => {
                if out.writers.last().is_none_or(|rules| rules.bundle_hash() != bundle) {
                    out.writers.push(library.find(&bundle).map_err(LiveError::Rules)?);
                    let at = if out.changes.is_empty() { Timestamp::MIN } else { Timestamp(at.unwrap_or(watermark)) };
                    out.changes.push((at, Carries { rules: carries.into_iter().collect(), otherwise }));
                }
            }
            Read::Entry(Entry::Run { .. }) => return Ok(None),
            Read::Entry(_) | Read::Erased => {}
        }
    }
    if out.writers.is_empty() {
        return Err(LiveError::Replay("the journal does not say under which rules it was written".to_string()));
    }
    // The rules stand at the beginning of each segment, a few records in at most.
    out.events.splice(0..0, unruled);
    Ok(Some(out))
}

/// Who is told of events: the event, its source, and the rules that wrote it down.
pub type Tell<'t> = dyn FnMut(&Recalled, &str, Option<&Arc<RuleSet>>) + 't;

/// Tells each event that a journal holds behind a position: its source, and the rules that wrote it down, where that is known.
/// How many there were.
///
/// # Errors
/// Where the journal cannot be read.
pub fn retell(
    dir: &Path,
    from: &Position,
    written: Written,
    library: &dyn Library,
    lateness: Duration,
    tell: &mut Tell<'_>,
) -> Result<u64, LiveError> {
    let Written { source, rules } = written;
    let mut source = source.unwrap_or_default();
    // Rules that are not kept are as good as none: of texts nothing is known then.
    let mut writers: Vec<(i64, Option<Arc<RuleSet>>)> =
        rules.iter().map(|(at, bundle)| (*at, library.find(bundle).ok())).collect();
    let (mut watermark, mut n) = (i64::MIN, 0);
    let mut tail = journal::tail(dir, from)?;
    while let Some(projection) = tail.next_record()? {
        match read(&projection.record).map_err(LiveError::Replay)? {
            Read::Event(recalled) => {
                let ts = recalled.event.ts().0;
                let in_force = ts.max(watermark);
                watermark = watermark.max(ts.saturating_sub(lateness.0));
                let writer = writers.iter().rev().find(|(at, _)| *at <= in_force).and_then(|(_, rules)| rules.as_ref());
                tell(&recalled, &source, writer);
                n += 1;
            }
            Read::Entry(Entry::From { source: from, .. }) => source = from,
            Read::Entry(Entry::Advance { watermark: to }) => watermark = watermark.max(to),
            Read::Entry(Entry::Rules { bundle, at, .. }) => {
                if let Some(at) = at.or_else(|| writers.is_empty().then_some(i64::MIN)) {
                    writers.push((at, library.find(&bundle).ok()));
                }
            }
            Read::Entry(_) | Read::Erased => {}
        }
    }
    Ok(n)
}
