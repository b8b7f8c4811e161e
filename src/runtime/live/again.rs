//! A run over the journal of a log, of a session or of runs over files, under the rules that were in force: what each finding
//! of the log comes to when it is computed again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::entry::{Entry, Read, read};
use super::library::Library;
use super::replay::{Replay, Sources};
use super::{LiveError, replay};
use crate::derive::{hangs_on_all_before, not_derivable};
use crate::journal::{self, JournalError, Position};
use crate::plan::RuleSet;
use crate::runtime::reading::Reading;
use crate::runtime::session::Session;
use crate::time::{DAY_NS, Duration, Timestamp};
use crate::violation::{Violation, to_json};

/// SHA-256 of a record.
pub type RecordHash = [u8; 32];

/// Most records that are kept whole because they are not those of the log; of further ones only hashes are.
pub const RECORDS_KEPT_MAX: usize = 1_000;
/// Records after which findings are taken.
const TAKEN_EVERY: u64 = 4_096;

/// What came out.
#[derive(Debug, Default)]
pub struct Again {
    /// Findings by id.
    pub found: BTreeMap<String, Recomputed>,
    /// Records of the journal that were run over.
    pub records: u64,
    /// Records before the first place from which it can be run over.
    pub skipped: u64,
    /// How often files ended.
    pub ends: u64,
    /// Whether the last that happened to the log was that its files ended.
    pub ended: bool,
    /// Where what was counted before is not known: the first event that is there, and from when on nothing hangs on what was
    /// before it.
    pub cut: Option<Cut>,
    /// Times of events that were erased, in order.
    pub erased: Vec<Timestamp>,
    /// Hashes of the rule sets that were in force, in their order.
    pub bundles: Vec<String>,
    /// Rules that use a text itself, which a journal does not keep, and which.
    pub blind: BTreeMap<String, &'static str>,
    /// Rules of which a finding may hang on all that ever was.
    pub of_all_before: BTreeSet<String>,
    /// The longest that any rule looks back.
    pub reach: Duration,
    /// Whether delays of actions were drawn from a secret, which is not known here.
    pub has_secret: bool,
    kept: usize,
}

/// A journal that does not reach back to the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Time of the first event that is there.
    pub begins: Timestamp,
    /// From here on nothing hangs on what was before, but for rules of which a finding may hang on all that ever was.
    pub settled: Timestamp,
}

/// A finding, computed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recomputed {
    /// Its rule.
    pub rule: String,
    /// When it opened.
    pub opened_at: Timestamp,
    /// Hash of its record as the events leave it; `None` where it rests on the end of the files.
    pub last: Option<RecordHash>,
    /// Hashes of its record at ends of files, the last one last.
    pub at_ends: Vec<RecordHash>,
    /// Whether it holds at the last end.
    pub at_last_end: bool,
    /// Its record, where it is not that of the log: as far as kept.
    pub record: Option<String>,
}

/// Why nothing can be computed again.
#[derive(Debug, thiserror::Error)]
pub enum AgainError {
    /// It cannot be known; why. Nothing is wrong.
    #[error("{0}")]
    Unknown(String),
    /// Something of the journal or the kept rules is not what was written.
    #[error("{0}")]
    Altered(String),
}

impl From<JournalError> for AgainError {
    fn from(e: JournalError) -> Self {
        AgainError::Altered(e.to_string())
    }
}

impl From<LiveError> for AgainError {
    fn from(e: LiveError) -> Self {
        match e {
            LiveError::Rules(why) => AgainError::Unknown(why),
            LiveError::Journal(e) => e.into(),
            LiveError::Replay(what) => AgainError::Altered(format!("the journal cannot be run over: {what}")),
            other => AgainError::Altered(other.to_string()),
        }
    }
}

/// What is asked of a run over a journal.
pub struct Asked<'a> {
    /// The hash of the record that the log has of a finding.
    pub sealed: &'a dyn Fn(&str) -> Option<RecordHash>,
    /// Whether what followed from the ends of files is computed at each, also where the files went on. It costs a copy of the
    /// state each time, and shows in few records.
    pub each_end: bool,
    /// Hears how many records were run over.
    pub progress: &'a mut dyn FnMut(u64),
}

/// Runs over the journal in a directory up to a position.
///
/// # Errors
/// Why nothing can be computed again.
pub fn again(dir: &Path, until: &Position, library: &dyn Library, asked: &mut Asked<'_>) -> Result<Again, AgainError> {
    let mut run = Run {
        out: Again::default(),
        replay: Replay::new(dir, library, Vec::new()),
        session: None,
        sources: Sources::default(),
        reading: None,
        asked,
    };
    for projection in journal::read(dir, Some(until))? {
        let projection = projection?;
        run.take(projection.segment, projection.ts, &projection.record)?;
    }
    run.end()
}

struct Run<'r, 'a, 'l> {
    out: Again,
    replay: Replay<'l>,
    session: Option<Session>,
    sources: Sources,
    /// How the stream is read, as it was said last.
    reading: Option<Reading>,
    asked: &'r mut Asked<'a>,
}

impl Run<'_, '_, '_> {
    fn take(&mut self, segment: u64, ts: Timestamp, record: &[u8]) -> Result<(), AgainError> {
        let read = read(record).map_err(|what| match what.contains("version") || what.contains("later release") {
            true => AgainError::Unknown(what),
            false => AgainError::Altered(what),
        })?;
        match read {
            Read::Entry(Entry::Reading(reading)) => self.read_so(reading)?,
            Read::Entry(Entry::Run { bundle, anew }) => self.begin_run(&bundle, anew)?,
            Read::Entry(Entry::Rules { ref bundle, .. }) if self.session.is_none() => {
                self.begin(bundle, segment > 1)?;
            }
            Read::Entry(Entry::End) => self.end_of_files()?,
            read => {
                let is_event = match read {
                    Read::Erased => {
                        self.out.erased.push(ts);
                        false
                    }
                    Read::Event(_) => true,
                    Read::Entry(_) => false,
                };
                let Some(session) = self.session.as_mut() else {
                    self.out.skipped += 1;
                    return Ok(());
                };
                if let Some(cut) = self.out.cut.as_mut().filter(|cut| is_event && cut.begins == Timestamp::MAX) {
                    cut.begins = ts;
                }
                self.replay.take_read(session, &mut self.sources, read)?;
                self.out.ended &= !is_event;
            }
        }
        self.out.records += 1;
        if self.out.records.is_multiple_of(TAKEN_EVERY) {
            self.drain();
            (self.asked.progress)(self.out.records);
        }
        Ok(())
    }

    /// From here on the stream is read so.
    fn read_so(&mut self, reading: Reading) -> Result<(), AgainError> {
        self.out.has_secret |= reading.has_secret();
        let is_other = self.reading.as_ref().is_some_and(|known| known.options() != reading.options());
        if let (true, Some(session)) = (is_other, self.session.as_ref()) {
            let mut rules_of = |bundle: &str| self.replay.rules(bundle).ok();
            let session = session.under(&mut rules_of, reading.options()).map_err(AgainError::Altered)?;
            self.session = Some(session);
        }
        self.reading = Some(reading);
        Ok(())
    }

    fn begin_run(&mut self, bundle: &str, anew: bool) -> Result<(), AgainError> {
        let known = self.session.as_ref().map(|s| s.evaluator().latest_rules().bundle_hash().to_string());
        match known {
            Some(known) if !anew && known == bundle => Ok(()),
            Some(_) if !anew => {
                Err(AgainError::Altered("the journal goes on under other rules without saying so".into()))
            }
            _ => {
                self.drain();
                self.begin(bundle, !anew)
            }
        }
    }

    /// Begins with nothing counted.
    fn begin(&mut self, bundle: &str, is_cut: bool) -> Result<(), AgainError> {
        let Some(options) = self.reading.as_ref().map(Reading::options) else {
            // Before it is said how the stream is read nothing can be run over.
            self.out.skipped += 1;
            return Ok(());
        };
        let rules = self.replay.rules(bundle)?;
        self.see(&rules);
        self.session = Some(Session::new(rules, options));
        let is_first = self.out.cut.is_none() && self.out.found.is_empty();
        if is_cut || (is_first && self.out.skipped > 0) {
            // From the next event on.
            self.out.cut = Some(Cut { begins: Timestamp::MAX, settled: Timestamp::MAX });
        }
        Ok(())
    }

    /// Notes what rules in force mean for what can be said.
    fn see(&mut self, rules: &Arc<RuleSet>) {
        let bundle = rules.bundle_hash();
        if self.out.bundles.iter().any(|known| known == bundle) {
            return;
        }
        self.out.bundles.push(bundle.to_string());
        for rule in &rules.program().rules {
            if let Some(field) = not_derivable(rules.program(), rule) {
                self.out.blind.insert(rule.name.clone(), field);
            }
            if hangs_on_all_before(rule) {
                self.out.of_all_before.insert(rule.name.clone());
            }
        }
        let reach = rules.longest_reach().0.saturating_add(rules.longest_memory().0);
        self.out.reach = Duration(self.out.reach.0.max(reach));
    }

    /// The files have ended: what follows is found on a copy, since a file may go on.
    fn end_of_files(&mut self) -> Result<(), AgainError> {
        self.out.ended = true;
        self.out.ends += 1;
        let (Some(session), Some(reading)) = (self.session.as_ref(), self.reading.as_ref()) else { return Ok(()) };
        if !self.asked.each_end {
            return Ok(());
        }
        let mut rules_of = |bundle: &str| self.replay.rules(bundle).ok();
        let mut copy = session.under(&mut rules_of, reading.options()).map_err(AgainError::Altered)?;
        self.drain();
        for v in copy.end() {
            self.note(&v, true);
        }
        Ok(())
    }

    fn drain(&mut self) {
        let Some(session) = self.session.as_mut() else { return };
        session.take_rejected();
        for v in session.take_violations() {
            self.note(&v, false);
        }
        let rules = self.session.as_ref().map(|s| Arc::clone(s.evaluator().latest_rules()));
        rules.iter().for_each(|rules| self.see(rules));
    }

    fn note(&mut self, v: &Violation, at_end: bool) {
        let record = to_json(v).to_string();
        let hash: RecordHash = Sha256::digest(&record).into();
        let sealed = (self.asked.sealed)(&v.id);
        let found = self.out.found.entry(v.id.clone()).or_insert_with(|| Recomputed {
            rule: v.rule.clone(),
            opened_at: v.opened_at,
            last: None,
            at_ends: Vec::new(),
            at_last_end: false,
            record: None,
        });
        self.out.kept -= usize::from(found.record.take().is_some());
        if at_end {
            if found.at_ends.last() != Some(&hash) {
                found.at_ends.push(hash);
            }
        } else {
            found.last = Some(hash);
            found.at_ends.clear();
        }
        if sealed.is_some_and(|sealed| sealed != hash) && self.out.kept < RECORDS_KEPT_MAX {
            found.record = Some(record);
            self.out.kept += 1;
        }
    }

    fn end(mut self) -> Result<Again, AgainError> {
        self.drain();
        if self.session.is_none() {
            let what =
                "the journal was written by an earlier release, which did not note under which rules and how it read";
            return Err(AgainError::Unknown(what.to_string()));
        }
        // A session never ends as a file does: it may go on.
        let ended = match self.session.as_mut() {
            Some(session) if self.out.ended || !replay::is_told_of_sources(&self.sources) => session.end(),
            _ => Vec::new(),
        };
        for v in ended {
            self.note(&v, true);
            if let Some(found) = self.out.found.get_mut(&v.id) {
                found.at_last_end = true;
            }
        }
        let Again { cut, reach, .. } = &mut self.out;
        if let Some(cut) = cut {
            // A budget of actions goes by days.
            cut.settled = cut.begins.saturating_add(*reach).saturating_add(Duration(DAY_NS));
        }
        (self.asked.progress)(self.out.records);
        Ok(self.out)
    }
}
