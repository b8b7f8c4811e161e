//! One event in, what each rule takes from it out: a few words per windowed rule, and the rules on single events that it
//! fulfils. Knows no window.
//!
//! A routed record is `[rule | exceptions << 32] [filters that are true] [inputs that are known] [key …] [inputs …]`; where
//! an event has several values of a part of the key, their number stands there, and `[values …]` at the end.

use crate::event::{FieldId, Kind, UsageEvent};
use crate::plan::lower::WordId;
use crate::plan::many::ManyPlan;
use crate::plan::node::{Memo, NodeId, eval};
use crate::plan::rule::{InputPlan, PartPlan, RulePlan, ShapePlan, WindowPlan};
use crate::plan::scalar::{Env, Scalar, Val};
use crate::plan::text::Hit;
use crate::plan::wording::Wordings;
use crate::plan::{Probe, RuleSet};
use crate::template::to_text;
use crate::time::Timestamp;
use crate::value::{Truth, Type, Value};

use super::ask::Answers;
use xxhash_rust::xxh3::xxh3_128;

use super::intern::{Interner, Symbols};
use super::items;
use super::recall::Told;

/// Words before the key.
pub(crate) const HEADER: usize = 3;

/// An event as the environment of expressions.
pub(crate) struct EventEnv<'a, 'e> {
    pub(crate) event: &'a UsageEvent<'e>,
    pub(crate) answers: Answers,
    /// Template fingerprints, where they may be asked for.
    pub(crate) wordings: Option<(&'a RuleSet, &'a Wordings)>,
}

impl<'a, 'e> EventEnv<'a, 'e> {
    /// Without an answer of memory.
    pub(crate) fn new(event: &'a UsageEvent<'e>) -> Self {
        EventEnv { event, answers: Answers::default(), wordings: None }
    }
}

impl Env for EventEnv<'_, '_> {
    fn field(&self, field: FieldId) -> Value<'_> {
        self.event.get(field)
    }

    fn aggregate(&self, _: u16) -> Val<'_> {
        Val::Unknown
    }

    fn key(&self, _: u16) -> Val<'_> {
        Val::Unknown
    }

    fn template(&self, number: u16) -> Option<&[u64]> {
        let (rules, wordings) = self.wordings?;
        wordings.of(&rules.wordings, number, &rules.fingerprinter, self.event)
    }

    fn at(&self) -> Timestamp {
        self.event.ts()
    }

    fn kept_back(&self, field: FieldId) -> Option<i64> {
        let (_, wordings) = self.wordings?;
        wordings.kept_back.iter().find(|(known, _)| *known == field).map(|(_, chars)| *chars)
    }

    fn memory(&self, question: u16) -> Truth {
        self.answers.get(question)
    }
}

/// Buffers of the router, reused from event to event.
#[derive(Debug, Default)]
pub(crate) struct Router {
    pub(crate) memo: Memo,
    generation: u32,
    stamps: Vec<u32>,
    reached: Vec<u32>,
    texts: Vec<NodeId>,
    probe: Probe,
    /// Rules whose filter holds, in no particular order.
    pub(crate) matched: Vec<u32>,
    /// Rules that ask memory and whose filter may hold, depending on its answers.
    pub(crate) asking: Vec<u32>,
    /// Answers of memory under which conditions are evaluated.
    pub(crate) answers: Answers,
    /// Rules whose filter or key was unknown for the event.
    pub(crate) undecided: Vec<u32>,
    /// How many of them by their filter.
    pub(crate) undecided_filters: usize,
    /// Routed records of the event.
    pub(crate) words: Vec<u64>,
    /// What ties the event's account to others.
    pub(crate) tied: Vec<u64>,
    /// Template fingerprints of the event.
    pub(crate) wordings: Wordings,
    scratch: Vec<u8>,
    /// Values of a part of the key of which the event has several.
    values: Vec<u64>,
    /// What is known of an event that comes back from a journal.
    pub(super) told: Option<Told>,
    pub(super) taken: Taken,
}

/// Values of one event that were taken as words, found once an event.
#[derive(Debug, Default)]
pub(super) struct Taken {
    generation: u32,
    words: Vec<(u32, Option<u64>)>,
    scratch: Vec<u8>,
}

impl Taken {
    /// Before the next event.
    fn begin(&mut self, generation: u32, words: usize) {
        if self.words.len() != words || generation < self.generation {
            self.words = vec![(0, None); words];
        }
        self.generation = generation;
    }

    /// A value of the event as a word.
    pub(super) fn word(
        &mut self,
        rules: &RuleSet,
        id: WordId,
        env: &EventEnv<'_, '_>,
        symbols: &mut impl Symbols,
    ) -> Option<u64> {
        let plan = rules.words.get(id.0 as usize)?;
        let place = self.words.get_mut(id.0 as usize)?;
        if place.0 != self.generation || plan.asks {
            let value = plan.scalar.eval(env);
            let taken = match &value {
                Val::Text(said) if plan.content => Some(symbols.intern(&xxh3_128(said.as_bytes()).to_be_bytes())),
                value => word(value, &plan.ty, symbols, &mut self.scratch),
            };
            *place = (self.generation, taken);
        }
        place.1
    }
}

impl Router {
    /// Finds the rules whose filter holds for an event.
    pub(crate) fn matches(&mut self, rules: &RuleSet, event: &UsageEvent<'_>) {
        self.wordings.fit(rules.wordings.len());
        self.wordings.forget();
        self.matches_as(rules, event, event.kind());
    }

    /// The same were the event that was looked at last of another kind.
    pub(crate) fn matches_as(&mut self, rules: &RuleSet, event: &UsageEvent<'_>, kind: Kind) {
        self.memo.fit(rules.nodes.len());
        self.memo.forget();
        self.matched.clear();
        self.asking.clear();
        self.reached.clear();
        self.undecided.clear();
        self.undecided_filters = 0;
        if self.stamps.len() != rules.rules.len() {
            self.stamps = vec![0; rules.rules.len()];
            self.generation = 0;
        }
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.stamps.fill(0);
            self.generation = 1;
        }
        self.taken.begin(self.generation, rules.words.len());
        let Some(index) = rules.index(kind) else { return };
        self.texts.clear();
        if let Some(told) = &self.told {
            told.tell(rules, &mut self.memo, &mut self.wordings);
            self.texts.extend_from_slice(&told.tests);
        }
        for field in index.text_fields() {
            let texts = &mut self.texts;
            scan(rules, &mut self.memo, event, field, &mut |node| texts.push(node));
        }
        let (stamps, reached, matched, generation) =
            (&mut self.stamps, &mut self.reached, &mut self.matched, self.generation);
        index.probe(
            &mut self.probe,
            &self.texts,
            |f| event.get(f),
            |rule, certain| {
                if let Some(stamp) = stamps.get_mut(rule as usize)
                    && *stamp != generation
                {
                    if certain {
                        *stamp = generation;
                        matched.push(rule);
                    } else {
                        reached.push(rule);
                    }
                }
            },
        );
        let env = EventEnv { wordings: Some((rules, &self.wordings)), ..EventEnv::new(event) };
        for rule in &self.reached {
            // Reached by several rows, or certain by another.
            match self.stamps.get_mut(*rule as usize) {
                Some(stamp) if *stamp != self.generation => *stamp = self.generation,
                _ => continue,
            }
            let Some(plan) = rules.rules.get(*rule as usize) else { continue };
            let truth = match plan.filter_of(kind) {
                None => Truth::True,
                Some(node) => truth(rules, &mut self.memo, &env, node),
            };
            match truth {
                Truth::True => self.matched.push(*rule),
                Truth::Unknown if plan.memory.is_some() => self.asking.push(*rule),
                // Whether a step is missing for certain is asked of the steps by themselves.
                Truth::Unknown if plan.sequence_number().is_some() => self.matched.push(*rule),
                Truth::Unknown => self.undecided.push(*rule),
                Truth::False if plan.memory.as_ref().is_some_and(|m| m.turns) => self.asking.push(*rule),
                Truth::False => {}
            }
        }
        self.undecided_filters = self.undecided.len();
    }

    /// Which exceptions of a matched rule apply, as bits.
    pub(crate) fn exceptions(&mut self, rules: &RuleSet, plan: &RulePlan, event: &UsageEvent<'_>) -> u32 {
        let mut bits = 0u32;
        let env = EventEnv { event, answers: self.answers, wordings: Some((rules, &self.wordings)) };
        for (i, e) in plan.exceptions.iter().enumerate() {
            if e.from <= event.ts() && event.ts() < e.until && truth(rules, &mut self.memo, &env, e.node).is_true() {
                bits |= 1 << i;
            }
        }
        bits
    }

    /// Appends the record of a windowed rule, if there is a key; false where a part of it is unknown, which is counted.
    pub(crate) fn record(
        &mut self,
        rules: &RuleSet,
        rule: u32,
        plan: &RulePlan,
        w: &WindowPlan,
        event: &UsageEvent<'_>,
        symbols: &mut impl Symbols,
    ) -> bool {
        let start = self.words.len();
        let exceptions = self.exceptions(rules, plan, event);
        self.words.extend([u64::from(rule) | (u64::from(exceptions) << 32), 0, 0]);
        let env = EventEnv { event, answers: self.answers, wordings: Some((rules, &self.wordings)) };
        self.values.clear();
        let several = w.many.as_ref().map_or(Some(()), |many| values(many, &env, symbols, &mut self.values));
        for part in &w.per {
            let word = match part.word {
                Some(word) => self.taken.word(rules, word, &env, symbols),
                None => several.map(|()| self.values.len() as u64),
            };
            match word {
                Some(word) => self.words.push(word),
                None => {
                    self.words.truncate(start);
                    self.undecided.push(rule);
                    return false;
                }
            }
        }
        if w.many.is_some() && self.values.is_empty() {
            self.words.truncate(start);
            return true;
        }
        let (mut filters, mut known) = (0u64, 0u64);
        for (i, node) in w.filters.iter().enumerate() {
            if truth(rules, &mut self.memo, &env, *node).is_true() {
                filters |= 1 << i;
            }
        }
        for (i, input) in w.inputs.iter().enumerate() {
            let value = match input {
                InputPlan::Word(id) => self.taken.word(rules, *id, &env, symbols),
                InputPlan::Truth(node) => match truth(rules, &mut self.memo, &env, *node) {
                    Truth::Unknown => None,
                    t => Some(u64::from(t.is_true())),
                },
                InputPlan::Tuple(of) => tagged(0, of, &env, symbols, &mut self.scratch),
                InputPlan::OnePer { of, key, condition } => {
                    let collapses = condition.is_none_or(|c| truth(rules, &mut self.memo, &env, c).is_true());
                    let as_key = if collapses {
                        tagged(1, std::slice::from_ref(key), &env, symbols, &mut self.scratch)
                    } else {
                        None
                    };
                    as_key.or_else(|| tagged(0, of, &env, symbols, &mut self.scratch))
                }
            };
            known |= u64::from(value.is_some()) << i;
            self.words.push(value.unwrap_or(0));
        }
        self.words.extend_from_slice(&self.values);
        if let Some([_, f, k]) = self.words.get_mut(start..start + HEADER) {
            *f = filters;
            *k = known;
        }
        true
    }
}

/// The values of a part of the key of which an event has several, each once, without those that the rule leaves out; `None`
/// where they are unknown.
fn values(many: &ManyPlan, env: &EventEnv<'_, '_>, symbols: &mut impl Symbols, out: &mut Vec<u64>) -> Option<()> {
    match many.of.eval(env) {
        Val::Fingerprints(all) => {
            out.extend(all.iter().filter(|f| many.takes(&Val::Fingerprints(std::slice::from_ref(f)), env)));
        }
        Val::Texts(all) => {
            for text in all {
                if many.takes(&Val::Text(text.as_str().into()), env) {
                    let word = symbols.intern(text.as_bytes());
                    if !out.contains(&word) {
                        out.push(word);
                    }
                }
            }
        }
        _ => return None,
    }
    Some(())
}

/// Truth of a node for an event.
pub(crate) fn truth(rules: &RuleSet, memo: &mut Memo, env: &EventEnv<'_, '_>, node: NodeId) -> Truth {
    eval(&rules.nodes, memo, env, node, &mut |memo, field| scan(rules, memo, env.event, field, &mut |_| {}))
}

/// Runs the literal pass of a field once an event.
fn scan(rules: &RuleSet, memo: &mut Memo, event: &UsageEvent<'_>, field: FieldId, found: &mut impl FnMut(NodeId)) {
    let Some(pass) = rules.prefilters.iter().position(|(f, _)| *f == field) else { return };
    if memo.scanned(pass) {
        return;
    }
    let (Some((_, filter)), Value::Text(text)) = (rules.prefilters.get(pass), event.get(field)) else { return };
    let mut folded = std::mem::take(&mut memo.folded);
    filter.scan(text, &mut folded, |hit| {
        let node = match hit {
            Hit::Worth(n) => {
                memo.worth(NodeId(n));
                NodeId(n)
            }
            Hit::Holds(n) => {
                memo.set(NodeId(n), Truth::True);
                NodeId(n)
            }
        };
        found(node);
    });
    memo.folded = folded;
}

/// Several values, or one of two kinds of value, as one symbol.
fn tagged(
    tag: u8,
    parts: &[(Scalar, Type)],
    env: &EventEnv<'_, '_>,
    symbols: &mut impl Symbols,
    scratch: &mut Vec<u8>,
) -> Option<u64> {
    scratch.clear();
    scratch.push(tag);
    let mut buffer = std::mem::take(scratch);
    for (scalar, ty) in parts {
        let v = scalar.eval(env);
        if v.is_unknown() || !write_bytes(&v, ty, &mut buffer) {
            *scratch = buffer;
            return None;
        }
    }
    // Only told apart, never shown: what was said may be among the parts, and the state is saved.
    let word = symbols.intern(&xxh3_128(&buffer).to_be_bytes());
    *scratch = buffer;
    Some(word)
}

/// A value as a word: numbers and truth values as they are, all else as a symbol; several values as one symbol of all.
pub(crate) fn word(v: &Val<'_>, ty: &Type, symbols: &mut impl Symbols, scratch: &mut Vec<u8>) -> Option<u64> {
    match v {
        Val::Unknown => None,
        Val::Texts(all) => {
            scratch.clear();
            items::write_texts(all, scratch);
            Some(symbols.intern(scratch))
        }
        Val::Fingerprints(all) => {
            scratch.clear();
            items::write_fingerprints(all, scratch);
            Some(symbols.intern(scratch))
        }
        Val::Num(n) => Some(*n as u64),
        Val::Bool(b) => Some(u64::from(*b)),
        Val::Text(t) => Some(symbols.intern(t.as_bytes())),
        _ => {
            scratch.clear();
            write_bytes(v, ty, scratch).then(|| symbols.intern(scratch))
        }
    }
}

/// A value as bytes that no other value of the type has; lengths first, so that parts do not run together.
pub(crate) fn write_bytes(v: &Val<'_>, _: &Type, out: &mut Vec<u8>) -> bool {
    use std::fmt::Write;
    match v {
        Val::Unknown | Val::Texts(_) | Val::Fingerprints(_) => return false,
        Val::Num(n) => out.extend(n.to_be_bytes()),
        Val::Bool(b) => out.push(u8::from(*b)),
        Val::Text(t) => {
            out.extend((t.len() as u32).to_be_bytes());
            out.extend(t.as_bytes());
        }
        Val::Ip(ip) => {
            let _ = write!(Bytes(out), "{}", ip.to_canonical());
        }
        Val::Net(net) => {
            let _ = write!(Bytes(out), "{net}");
        }
    }
    true
}

/// Bytes as a place to write text to.
struct Bytes<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Bytes<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend(text.as_bytes());
        Ok(())
    }
}

/// A word of a part of a key as text.
pub(crate) fn part_text(word: u64, part: &PartPlan, interner: &Interner) -> String {
    if part.fingerprint { to_text(word) } else { word_text(word, &part.ty, interner) }
}

/// A word of a part of a key as a value of expressions.
pub(crate) fn part_value<'a>(word: u64, part: &PartPlan, interner: &'a Interner) -> Val<'a> {
    if part.fingerprint { Val::Text(to_text(word).into()) } else { word_value(word, &part.ty, interner) }
}

/// A word of a key as text.
pub(crate) fn word_text(word: u64, ty: &Type, symbols: &impl Symbols) -> String {
    if crate::plan::is_symbol(ty) {
        return String::from_utf8_lossy(symbols.text(word)).into_owned();
    }
    match ty {
        Type::Bool => (word != 0).to_string(),
        _ => {
            let mut text = String::new();
            let _ = crate::value::write_number(&mut text, ty, word as i64);
            text
        }
    }
}

/// A word of a key as a value of expressions.
pub(crate) fn word_value<'a>(word: u64, ty: &Type, symbols: &'a impl Symbols) -> Val<'a> {
    let text = || std::str::from_utf8(symbols.text(word)).unwrap_or("");
    match ty {
        Type::Bool => Val::Bool(word != 0),
        Type::Ip => text().parse().map_or(Val::Unknown, Val::Ip),
        Type::Cidr => text().parse().map_or(Val::Unknown, Val::Net),
        ty if ty.is_text() => Val::Text(text().into()),
        _ => Val::Num(word as i64),
    }
}

/// The record of an event's words, one after the other: (rule, record).
pub(crate) fn records<'w>(rules: &RuleSet, mut words: &'w [u64]) -> impl Iterator<Item = (u32, &'w [u64])> {
    std::iter::from_fn(move || {
        let rule = (*words.first()? & 0xffff_ffff) as u32;
        let length = match &rules.rules.get(rule as usize)?.shape {
            ShapePlan::Windowed(w) => {
                let several = w.many.as_ref().and_then(|many| words.get(HEADER + many.at));
                let several = several.and_then(|n| usize::try_from(*n).ok()).unwrap_or(0);
                crate::plan::rule::words(w).checked_add(several)?
            }
            ShapePlan::Sequence(s) => s.words(),
            ShapePlan::Series(s) => crate::plan::rule::words(&s.w),
            ShapePlan::Single { .. } => return None,
        };
        let (record, rest) = words.split_at_checked(HEADER.checked_add(length)?)?;
        words = rest;
        Some((rule, record))
    })
}
