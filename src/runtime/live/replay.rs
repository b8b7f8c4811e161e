//! The journal read again: behind the last commit when a session begins, or as a whole beside it.

use std::path::Path;

use super::LiveError;
use super::entry::{Entry, Read, field, read, reason};
use super::status::Recovered;
use crate::eval::{Origin, Outcome, TestNames};
use crate::journal::{self, Position};
use crate::plan::RuleSet;
use crate::runtime::Rejected;
use crate::runtime::session::Session;
use crate::time::Timestamp;

/// Where records come from: the number of a source, and how many of it there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sources(pub(super) Vec<(String, u64)>);

impl Sources {
    /// The next record of a source.
    pub(super) fn next(&mut self, session: &mut Session, source: &str) -> Origin {
        let input = session.input(source);
        match self.0.iter_mut().find(|(name, _)| name == source) {
            Some((_, n)) => {
                *n += 1;
                Origin { input, line: *n }
            }
            None => {
                self.0.push((source.to_string(), 1));
                Origin { input, line: 1 }
            }
        }
    }

    /// Says how many records of a source there were.
    fn set(&mut self, source: &str, n: u64) {
        match self.0.iter_mut().find(|(name, _)| name == source) {
            Some((_, known)) => *known = n,
            None => self.0.push((source.to_string(), n)),
        }
    }
}

/// Takes in records of a journal, in their order.
pub(super) struct Replay {
    names: TestNames,
    source: String,
}

impl Replay {
    pub(super) fn new(rules: &RuleSet) -> Self {
        Replay { names: TestNames::between(rules, rules), source: String::new() }
    }

    /// Takes in one record.
    pub(super) fn take(
        &mut self,
        session: &mut Session,
        sources: &mut Sources,
        record: &[u8],
    ) -> Result<(), LiveError> {
        let damaged = |what: &str| LiveError::Replay(what.to_string());
        match read(record).map_err(LiveError::Replay)? {
            Read::Event(recalled) => {
                let origin = sources.next(session, &self.source);
                match session.observe_recalled(&recalled, &self.names, origin) {
                    Outcome::Evaluated | Outcome::Late => {}
                    other => {
                        return Err(damaged(&format!("an event of the journal is taken otherwise now: {other:?}")));
                    }
                }
            }
            Read::Entry(Entry::From { source, record }) => {
                sources.set(&source, record.saturating_sub(1));
                self.source = source;
            }
            Read::Entry(Entry::Copy) => {
                sources.next(session, &self.source);
                session.count_copy();
            }
            Read::Entry(Entry::UnknownKeys { n }) => session.count_unknown_keys(n),
            Read::Entry(Entry::Refused { reason: word, field: number, detail }) => {
                let line = sources.next(session, &self.source).line;
                let (input, reason, field) = (self.source.clone(), reason(&word), field(number));
                session.count_refused(Rejected { input, line, reason, field, detail });
            }
            Read::Entry(Entry::Advance { watermark }) => session.advance(Timestamp(watermark)),
        }
        Ok(())
    }
}

/// Takes in what lies behind a position; up to where it reaches.
pub(super) fn recover(
    dir: &Path,
    from: &Position,
    rules: &RuleSet,
    session: &mut Session,
    sources: &mut Sources,
) -> Result<(Position, Recovered), LiveError> {
    let mut tail = journal::tail(dir, from)?;
    let mut replay = Replay::new(rules);
    let mut recovered = Recovered::default();
    while let Some(projection) = tail.next_record()? {
        replay.take(session, sources, &projection.record)?;
        recovered.records += 1;
    }
    recovered.cut_bytes = tail.cut_bytes();
    Ok((tail.end(), recovered))
}
