//! Takes out of a journal what one finding needs to be computed again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::live::entry::{Entry, Read, read};
use super::live::{KeptPacks, Library, LiveError};
use crate::derive::{Slice, SliceRecord, Wanted, choose};
use crate::eval::Erased;
use crate::hir::rule_hash;
use crate::journal::{self, Checked, Position};
use crate::plan::RuleSet;
use crate::template::FingerprintKey;
use crate::time::{Duration, Timestamp};

/// Most records of a journal that are held against one finding; of a finding that may rest on more there is no slice.
pub const CANDIDATES_MAX: usize = 1_000_000;

/// A journal from which slices are taken.
#[derive(Debug)]
pub struct Slicer {
    dir: PathBuf,
    position: Position,
    checked: Checked,
    packs: KeptPacks,
    /// Stretches of the journal under one rule set each.
    stretches: Vec<Stretch>,
}

/// A part of the journal that was written under one rule set.
#[derive(Debug, Clone)]
struct Stretch {
    bundle: String,
    /// Its first record.
    from: u64,
    /// From which event time on the rules are in force.
    at: Timestamp,
    /// Whether nothing before it counts.
    anew: bool,
    lateness: Duration,
    /// The latest event, and up to when the clock had gone by itself.
    latest: Timestamp,
    clock: Timestamp,
    /// Whether the last that happened is that files ended.
    ended: bool,
}

impl Stretch {
    fn until(&self) -> Timestamp {
        let watermark = self.latest.saturating_sub(self.lateness).max(self.clock);
        if self.ended { self.latest.max(watermark) } else { watermark }
    }
}

/// Why there is no slice.
#[derive(Debug, thiserror::Error)]
pub enum NoSlice {
    /// The finding can not be computed again from a few events; it says why. No error.
    #[error("{0}")]
    Because(String),
    /// Journal or packs cannot be read.
    #[error(transparent)]
    Failed(#[from] LiveError),
}

fn because(why: impl Into<String>) -> NoSlice {
    NoSlice::Because(why.into())
}

fn failed(e: journal::JournalError) -> NoSlice {
    NoSlice::Failed(e.into())
}

impl Slicer {
    /// The journal and the kept packs beside a log (`DB.journal`, `DB.rules`), up to the position that the log seals
    /// ([`crate::store::Store::journal_position`]).
    ///
    /// # Errors
    /// [`NoSlice::Because`] where there is no journal, or an earlier release wrote it; [`NoSlice::Failed`] where it is not what
    /// the log seals.
    pub fn open(db: &Path, position: Option<&str>, key: FingerprintKey) -> Result<Slicer, NoSlice> {
        let beside = |end: &str| {
            let mut path = db.as_os_str().to_owned();
            path.push(end);
            PathBuf::from(path)
        };
        let dir = beside(".journal");
        let position = position.filter(|_| dir.is_dir()).ok_or_else(|| because("the log has no journal beside it"))?;
        let position: Position = position.parse().map_err(|_| because("the log names no position of its journal"))?;
        let checked = journal::check(&dir, &position, &mut |_| ()).map_err(failed)?;
        let packs = KeptPacks::new(beside(".rules"), key);
        let mut slicer = Slicer { dir, position, checked, packs, stretches: Vec::new() };
        slicer.survey()?;
        if slicer.stretches.is_empty() {
            return Err(because("the journal was written by an earlier release, which did not note its rules"));
        }
        Ok(slicer)
    }

    /// Which rules wrote what.
    fn survey(&mut self) -> Result<(), NoSlice> {
        let mut lateness = None;
        let records = journal::read(&self.dir, Some(&self.position)).map_err(failed)?;
        for (n, projection) in (self.checked.records_before..).zip(records) {
            let projection = projection.map_err(failed)?;
            let is_event = !super::live::is_entry(&projection.record);
            if is_event {
                if let Some(last) = self.stretches.last_mut() {
                    (last.latest, last.ended) = (last.latest.max(projection.ts), false);
                }
            } else if let Ok(Read::Entry(entry)) = read(&projection.record) {
                self.note(entry, n, &mut lateness);
            }
        }
        Ok(())
    }

    fn note(&mut self, entry: Entry, n: u64, lateness: &mut Option<Duration>) {
        let known = self.stretches.last().map(|s| s.bundle.clone());
        let mut begin = |bundle: String, at: Timestamp, anew: bool, lateness: Option<Duration>| {
            let Some(lateness) = lateness else { return };
            let before = self.stretches.last().filter(|_| !anew);
            let (latest, clock) = before.map_or((Timestamp::MIN, Timestamp::MIN), |s| (s.latest, s.clock));
            self.stretches.push(Stretch { bundle, from: n, at, anew, lateness, latest, clock, ended: false });
        };
        match entry {
            Entry::Reading(reading) => *lateness = Some(reading.options().lateness),
            Entry::Run { bundle, anew } if anew || known.as_ref() != Some(&bundle) => {
                begin(bundle, Timestamp::MIN, anew, *lateness);
            }
            Entry::Rules { bundle, at, .. } if known.as_ref() != Some(&bundle) => {
                begin(bundle, at.map_or(Timestamp::MIN, Timestamp), false, *lateness);
            }
            Entry::End => {
                if let Some(last) = self.stretches.last_mut() {
                    last.ended = true;
                }
            }
            Entry::Advance { watermark } => {
                if let Some(last) = self.stretches.last_mut() {
                    last.clock = last.clock.max(Timestamp(watermark));
                }
            }
            _ => {}
        }
    }

    /// The slice of a finding, given its record as the log has it: tried, so that [`crate::derive::recompute`] finds the record
    /// again in it; and the pack that it needs (kept in `DB.rules/BUNDLE`).
    ///
    /// # Errors
    /// [`NoSlice::Because`] where it needs more than a slice holds, or is not found again.
    pub fn slice(&mut self, record: &str) -> Result<(Slice, Arc<RuleSet>), NoSlice> {
        let sealed: Value = serde_json::from_str(record).map_err(|e| because(format!("the record is no JSON: {e}")))?;
        let text = |key: &str| sealed.get(key).and_then(Value::as_str).unwrap_or_default();
        if sealed.get("erased").is_some() {
            return Err(because("it speaks of an account that was erased"));
        }
        let at = |key: &str| {
            Timestamp::parse_rfc3339(text(key)).ok_or_else(|| because(format!("the record says no `{key}`")))
        };
        let (opened, mut last) = (at("opened_at")?, at("updated_at")?);
        last = last.max(at("closed_at").unwrap_or(last));
        let mut why =
            because(format!("no rules that wrote the journal have `{}` as it was", printable_rule(text("rule"))));
        for at in (0..self.stretches.len()).rev() {
            let Some(stretch) = self.stretches.get(at).cloned() else { continue };
            let rules = match self.packs.find(&stretch.bundle) {
                Ok(rules) => rules,
                Err(error) => {
                    why = because(error);
                    continue;
                }
            };
            let known = rules.program().rules.iter().find(|r| r.name == text("rule"));
            if known.is_none_or(|rule| rule_hash(rules.program(), rule) != text("rule_hash")) {
                continue;
            }
            let reach = Duration(rules.longest_reach().0.saturating_add(rules.longest_memory().0));
            let candidates = match self.candidates(at, opened.saturating_sub(reach), last) {
                Ok(candidates) => candidates,
                Err(NoSlice::Because(other)) => {
                    why = because(other);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let latest = self.stretches.last().unwrap_or(&stretch);
            let of = if stretch.bundle == latest.bundle { latest } else { &stretch };
            let wanted = Wanted {
                rules: &rules,
                record,
                candidates,
                lateness: stretch.lateness,
                until: of.until(),
                ended: of.ended,
                journal: self.position.to_string(),
            };
            match choose(wanted) {
                Ok(slice) => return Ok((slice, rules)),
                Err(other) => why = because(other),
            }
        }
        Err(why)
    }

    /// The records of events within a time that a stretch may have counted.
    fn candidates(&self, stretch: usize, from: Timestamp, to: Timestamp) -> Result<Vec<SliceRecord>, NoSlice> {
        let own = self.stretches.get(stretch);
        let Some(own) = own else { return Ok(Vec::new()) };
        let others = self.stretches.get(stretch + 1..).unwrap_or_default();
        let is_other = |s: &&Stretch| s.anew || s.bundle != own.bundle;
        let end = others.iter().find(is_other).map(|s| (s.from, s.at, s.anew));
        let mut found = Vec::new();
        let records = journal::read(&self.dir, Some(&self.position)).map_err(failed)?;
        for (at, projection) in (self.checked.records_before..).zip(records) {
            let projection = projection.map_err(failed)?;
            if projection.ts < from || projection.ts > to {
                continue;
            }
            if Erased::read(&projection.record).is_some() {
                return Err(because("events were erased that it may rest on"));
            }
            if super::live::is_entry(&projection.record) {
                continue;
            }
            if end.is_some_and(|(from, _, anew)| anew && at >= from) || (own.anew && at < own.from) {
                continue;
            }
            let is_of_others = at < own.from && projection.ts < own.at
                || end.is_some_and(|(from, since, _)| at >= from && projection.ts >= since);
            if is_of_others {
                return Err(because("the rules changed within the time that it rests on"));
            }
            if found.len() >= CANDIDATES_MAX {
                return Err(because(format!(
                    "it may rest on more than {CANDIDATES_MAX} events: all of the journal within the reach of the rules"
                )));
            }
            found.push(SliceRecord { at, segment: projection.segment, record: projection.record });
        }
        Ok(found)
    }
}

/// A name for messages, without what would steer a terminal.
fn printable_rule(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).collect()
}
