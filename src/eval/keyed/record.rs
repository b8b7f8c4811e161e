//! Records on their way: what an event is to the partitions of ids, and what it is to a unit. Texts travel with the record,
//! each once; nothing of an event that no rule asked for is in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::units::key_hash;
use super::{Keyed, KeyedError, Partition, PartitionKind, Record};
use crate::eval::ask::Pending;
use crate::eval::intern::{Interner, LocalSymbols, Symbols};
use crate::eval::link::{of_link, renumber_ties};
use crate::eval::route::{HEADER, Router, records};
use crate::eval::routed::renumber;
use crate::eval::snapshot::SNAPSHOT_VERSION;
use crate::eval::{Head, Origin, Refusal};
use crate::event::UsageEvent;
use crate::plan::RuleSet;
use crate::plan::rule::ShapePlan;
use crate::violation::Violation;

/// Version of records, which hold what waits in a snapshot. Another is refused.
pub const RECORD_VERSION: u16 = SNAPSHOT_VERSION;

/// Of the sums of records: bytes of a state are no record.
const RECORD_SEED: u64 = 2;

const WHAT: &str = "a record";

/// An event as partitions of ids know it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Envelope<'a> {
    pub(super) ts: i64,
    pub(super) content: [u8; 16],
    pub(super) id: &'a str,
    pub(super) origin: Origin,
    /// Rules that could not be decided, first those whose filter was unknown.
    pub(super) undecided: Vec<u32>,
    pub(super) undecided_filters: u32,
    /// Violations of rules on single events.
    pub(super) singles: Vec<Violation>,
    /// What it is to units.
    #[serde(borrow)]
    pub(super) parts: Vec<(Partition, &'a [u8])>,
}

/// An event as one unit knows it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) content: [u8; 16],
    pub(super) id: String,
    pub(super) account: Option<u64>,
    /// The texts that stand for numbers in what follows.
    pub(super) texts: Vec<Vec<u8>>,
    pub(super) words: Vec<u64>,
    pub(super) tied: Vec<u64>,
    pub(super) pending: Option<Box<Pending>>,
}

/// Routes events to partitions. Depends on rules and events alone, so that any number of them may work at once.
#[derive(Debug)]
pub struct KeyedRouter {
    keyed: Arc<Keyed>,
    router: Router,
    symbols: LocalSymbols,
}

/// What a unit takes from an event, its symbols numbered as in the event.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) words: Vec<u64>,
    pub(super) tied: Vec<u64>,
    pub(super) pending: Option<Box<Pending>>,
}

impl KeyedRouter {
    /// A router for these rules.
    pub fn new(keyed: Arc<Keyed>) -> KeyedRouter {
        KeyedRouter { keyed, router: Router::default(), symbols: LocalSymbols::default() }
    }

    /// The record of an event for its partition of ids; the records for units are in it, and come out of it once the
    /// watermark has passed and no other record of the id stands against it.
    ///
    /// # Errors
    /// The refusal of an event that lies too far in the future.
    pub fn route(&mut self, event: &UsageEvent<'_>, origin: Origin) -> Result<Record, Refusal> {
        let KeyedRouter { keyed, router, symbols } = self;
        let rules = &*keyed.rules;
        let head = Head::of(event);
        if head.is_future(&keyed.options) {
            return Err(Refusal::Future);
        }
        symbols.clear();
        let singles = router.route(rules, event, false, symbols);
        let pending = Pending::of(rules, router, event, symbols);
        router.take_ties(rules, event, symbols);
        let account = router.account(event, pending.is_some()).map(|a| symbols.intern(a.as_bytes()));
        let taken = keyed.cut(&router.words, &router.tied, pending.as_deref(), symbols);
        let content = head.content.to_be_bytes();
        let parts: Vec<(Partition, Vec<u8>)> = taken
            .into_iter()
            .map(|(partition, taken)| {
                let part = keyed.part(content, event.id(), account, taken, symbols);
                (partition, keyed.record(head.ts, &part))
            })
            .collect();
        let envelope = Envelope {
            ts: head.ts,
            content,
            id: event.id(),
            origin,
            undecided: router.undecided.clone(),
            undecided_filters: router.undecided_filters as u32,
            singles,
            parts: parts.iter().map(|(partition, bytes)| (*partition, bytes.as_slice())).collect(),
        };
        let partition = Partition { kind: PartitionKind::Ids, key: head.key as u64 };
        Ok(Record { partition, bytes: keyed.record(head.ts, &envelope) })
    }
}

impl Keyed {
    /// What each partition takes from an event.
    pub(super) fn cut(
        &self,
        words: &[u64],
        tied: &[u64],
        pending: Option<&Pending>,
        symbols: &impl Symbols,
    ) -> BTreeMap<Partition, Taken> {
        let mut all: BTreeMap<Partition, Taken> = BTreeMap::new();
        for (rule, record) in records(&self.rules, words) {
            let Some(partition) = self.partition_of(rule, record, symbols) else { continue };
            all.entry(partition).or_default().words.extend_from_slice(record);
        }
        if !tied.is_empty() || pending.is_some() {
            for number in self.units.beside.iter().copied() {
                let Some(unit) = self.units.get(number) else { continue };
                let partition = Partition { kind: PartitionKind::Unit(number), key: 0 };
                if !tied.is_empty() && !unit.links.is_empty() {
                    let own = ties_of(&self.rules, tied, &unit.links);
                    if own.iter().any(|n| *n != 0) {
                        all.entry(partition).or_default().tied = own;
                    }
                }
                if let Some(pending) = pending.filter(|_| !unit.questions.is_empty()) {
                    let own = pending.part(|q| unit.questions.contains(&q), |rule| unit.rules.contains(&rule));
                    if own.is_some() {
                        all.entry(partition).or_default().pending = own;
                    }
                }
            }
        }
        all
    }

    /// Where the record of a rule belongs.
    fn partition_of(&self, rule: u32, record: &[u64], symbols: &impl Symbols) -> Option<Partition> {
        let number = self.units.of_rule(rule)?;
        let kind = PartitionKind::Unit(number);
        if self.units.get(number)?.whole.is_some() {
            return Some(Partition { kind, key: 0 });
        }
        let per = match &self.rules.rules.get(rule as usize)?.shape {
            ShapePlan::Windowed(w) => &w.per,
            ShapePlan::Sequence(s) => &s.per,
            ShapePlan::Single { .. } | ShapePlan::Series(_) => return None,
        };
        let key = record.get(HEADER..HEADER + per.len())?;
        Some(Partition { kind, key: key_hash(per, key, symbols) })
    }

    /// A part with its texts.
    fn part(&self, content: [u8; 16], id: &str, account: Option<u64>, taken: Taken, symbols: &LocalSymbols) -> Part {
        let Taken { mut words, mut tied, mut pending } = taken;
        let mut seen: SmallVec<[u64; 16]> = SmallVec::new();
        let mut number = |local: u64| match seen.iter().position(|known| *known == local) {
            Some(at) => at as u64,
            None => {
                seen.push(local);
                (seen.len() - 1) as u64
            }
        };
        renumber_all(&self.rules, &mut words, &mut tied, pending.as_deref_mut(), &mut number);
        let account = account.map(&mut number);
        let texts = seen.iter().map(|local| symbols.text(*local).to_vec()).collect();
        Part { content, id: id.to_string(), account, texts, words, tied, pending }
    }

    /// A record in bytes: version, signature, sum, time, then what it says.
    pub(super) fn record(&self, ts: i64, said: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend(RECORD_VERSION.to_le_bytes());
        bytes.extend(self.signature.to_le_bytes());
        bytes.extend([0; 8]);
        let summed = bytes.len();
        bytes.extend(ts.to_le_bytes());
        // Nothing that is said here is of a kind that cannot be written down; were it cut, reading would tell.
        let mut bytes = postcard::to_extend(said, bytes).unwrap_or_default();
        if let Some((before, after)) = bytes.split_at_mut_checked(summed)
            && let Some(place) = before.last_chunk_mut::<8>()
        {
            *place = xxh3_64_with_seed(after, RECORD_SEED).to_le_bytes();
        }
        bytes
    }

    /// Time of a record, and the bytes of what it says.
    pub(super) fn opened<'a>(&self, record: &'a [u8]) -> Result<(i64, &'a [u8]), KeyedError> {
        let short = || KeyedError::Damaged(WHAT, "it is too short".to_string());
        let (version, rest) = record.split_first_chunk::<2>().ok_or_else(short)?;
        let found = u16::from_le_bytes(*version);
        if found != RECORD_VERSION {
            return Err(KeyedError::Version { what: WHAT, found, reads: RECORD_VERSION });
        }
        let (signature, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        if u64::from_le_bytes(*signature) != self.signature {
            return Err(KeyedError::OtherRules(WHAT));
        }
        let (sum, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        if u64::from_le_bytes(*sum) != xxh3_64_with_seed(rest, RECORD_SEED) {
            return Err(KeyedError::Damaged(WHAT, "its sum is not that of its bytes".to_string()));
        }
        let (ts, said) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        Ok((i64::from_le_bytes(*ts), said))
    }
}

/// Reads what a record says.
pub(super) fn said<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, KeyedError> {
    postcard::from_bytes(bytes).map_err(|e| KeyedError::Damaged(WHAT, e.to_string()))
}

/// Among the words that tie an account, those of some links; the others say that they hold nothing.
fn ties_of(rules: &RuleSet, tied: &[u64], links: &[u32]) -> Vec<u64> {
    let mut own = Vec::with_capacity(tied.len());
    for (number, plan) in (0u32..).zip(&rules.links.all) {
        if links.contains(&number) {
            own.extend_from_slice(of_link(rules, tied, number));
        } else {
            own.extend(plan.families.iter().map(|_| 0));
        }
    }
    own
}

/// Gives each symbol of what was taken another number.
pub(super) fn renumber_all(
    rules: &RuleSet,
    words: &mut [u64],
    tied: &mut [u64],
    pending: Option<&mut Pending>,
    number: &mut impl FnMut(u64) -> u64,
) {
    let lengths: SmallVec<[usize; 16]> = records(rules, words).map(|(_, record)| record.len()).collect();
    let mut rest = words;
    for length in lengths {
        let Some((record, behind)) = rest.split_at_mut_checked(length) else { break };
        renumber(rules, record, number);
        rest = behind;
    }
    renumber_ties(rules, tied, number);
    if let Some(pending) = pending {
        pending.renumber(rules, number);
    }
}

impl Part {
    /// Its symbols as the interner of a state numbers them; the account among them.
    pub(super) fn into_state(mut self, rules: &RuleSet, interner: &mut Interner) -> Part {
        let texts: SmallVec<[u64; 16]> = self.texts.iter().map(|text| interner.intern(text)).collect();
        let mut number = |local: u64| usize::try_from(local).ok().and_then(|n| texts.get(n)).copied().unwrap_or(0);
        renumber_all(rules, &mut self.words, &mut self.tied, self.pending.as_deref_mut(), &mut number);
        self.account = self.account.map(number);
        self
    }
}
