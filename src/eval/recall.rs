//! Events that come back from a journal: what the rules read of them, without the texts that are kept back. Of those stands
//! there which tests held, how long they were, and their fingerprints, so that rules find again what they found.

use std::sync::Arc;

use super::project::{PROJECTION_VERSION, is_content};
use super::route::Router;
use super::{Evaluator, Origin, Outcome};
use crate::event::{FIELDS, FieldId, Kind, Slot, UsageEvent};
use crate::plan::RuleSet;
use crate::plan::node::{Memo, Node, NodeId};
use crate::plan::wording::{Wording, Wordings};
use crate::template::{FINGERPRINTS_MAX, Strictness, from_text};
use crate::time::Timestamp;
use crate::value::Truth;

/// An event as a journal gives it back, or as it came.
#[derive(Debug, Clone)]
pub struct Recalled {
    /// What is known of it.
    pub event: UsageEvent<'static>,
    /// What stands for its texts; `None` for an event as it came.
    kept_back: Option<KeptBack>,
    /// Which of several rule sets wrote it down.
    writer: usize,
}

#[derive(Debug, Clone, Default)]
struct KeptBack {
    texts: Vec<(FieldId, i64)>,
    wordings: Vec<(Wording, Vec<u64>)>,
    /// Numbers of the text tests that held, in the rule set that wrote the journal.
    tests: Vec<u32>,
}

/// The same for the rule set at hand.
#[derive(Debug, Default)]
pub(crate) struct Told {
    texts: Vec<(FieldId, i64)>,
    wordings: Vec<(Wording, Vec<u64>)>,
    /// Tests on texts that are kept back, that held.
    pub(crate) tests: Vec<NodeId>,
    /// Tests of which the journal knows nothing: the rules that wrote it did not have them.
    unknown: Arc<[NodeId]>,
}

impl Told {
    /// Enters what is known: a test on a text that is there and is not among those that held did not hold.
    pub(crate) fn tell(&self, rules: &RuleSet, memo: &mut Memo, wordings: &mut Wordings) {
        self.tests.iter().for_each(|node| memo.set(*node, Truth::True));
        for (id, node) in rules.nodes.iter() {
            let there = |field: &FieldId| self.texts.iter().any(|(known, _)| known == field);
            if matches!(node, Node::Text { field, .. } if there(field)) && memo.get(id).is_none() {
                memo.set(id, if self.unknown.contains(&id) { Truth::Unknown } else { Truth::False });
            }
        }
        wordings.kept_back.clone_from(&self.texts);
        for (wording, all) in &self.wordings {
            wordings.tell(&rules.wordings, *wording, all);
        }
    }
}

impl From<UsageEvent<'static>> for Recalled {
    fn from(event: UsageEvent<'static>) -> Self {
        Recalled { event, kept_back: None, writer: 0 }
    }
}

impl Recalled {
    /// Reads what [`Evaluator::project`] wrote.
    ///
    /// # Errors
    /// A text that says what is wrong: another version, or damaged.
    pub fn read(bytes: &[u8]) -> Result<Recalled, String> {
        let mut rest = Bytes(bytes);
        match rest.byte() {
            Some(PROJECTION_VERSION) => {}
            Some(other) => {
                return Err(format!(
                    "the journal has projections of version {other}, this program reads version {PROJECTION_VERSION}"
                ));
            }
            None => return Err("a projection of the journal is empty".to_string()),
        }
        rest.event().ok_or_else(|| "a projection of the journal is damaged".to_string())
    }

    /// Whether the text of a field is there, if only kept back.
    pub fn has(&self, field: FieldId) -> bool {
        let kept = self.kept_back.as_ref().is_some_and(|k| k.texts.iter().any(|(known, _)| *known == field));
        kept || self.event.has(field)
    }

    /// Notes which of several rule sets wrote it down; the first where nothing is said.
    pub fn written_by(self, writer: usize) -> Recalled {
        Recalled { writer, ..self }
    }

    /// Which of several rule sets wrote it down.
    pub fn writer(&self) -> usize {
        self.writer
    }

    /// Whether its texts are kept back.
    pub fn is_from_journal(&self) -> bool {
        self.kept_back.is_some()
    }
}

/// Bytes of a projection, from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn varint(&mut self) -> Option<u64> {
        let (mut n, mut shift) = (0u64, 0u32);
        loop {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(n);
            }
            shift += 7;
        }
    }

    fn zigzag(&mut self) -> Option<i64> {
        let n = self.varint()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    /// A number of things that take a byte each at least.
    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok().filter(|n| *n <= self.0.len())
    }

    fn text(&mut self) -> Option<&'a str> {
        let n = self.count()?;
        std::str::from_utf8(self.take(n)?).ok()
    }

    fn field(&mut self) -> Option<FieldId> {
        let field = FieldId(self.byte()?);
        (usize::from(field.0) < FIELDS.len()).then_some(field)
    }

    fn slot(&mut self) -> Option<Option<Slot<'static>>> {
        Some(Some(match self.byte()? {
            0 => return Some(None),
            1 => Slot::Bool(self.byte()? != 0),
            2 => Slot::Num(self.zigzag()?),
            3 => Slot::Text(self.text()?.to_string().into()),
            4 => Slot::Ip(self.array::<4>()?.into()),
            5 => Slot::Ip(self.array::<16>()?.into()),
            6 => {
                let n = self.count()?;
                Slot::Texts((0..n).map(|_| self.text().map(str::to_string)).collect::<Option<_>>()?)
            }
            _ => return None,
        }))
    }

    fn event(&mut self) -> Option<Recalled> {
        let kind = *Kind::ALL.get(usize::from(self.byte()?))?;
        let ts = Timestamp(self.zigzag()?);
        let mut event = UsageEvent::new(kind, self.text()?.to_string(), ts);
        event.set_content(u128::from_be_bytes(self.array()?));
        for _ in 0..self.byte()? {
            let (field, slot) = (self.field()?, self.slot()?);
            if let Some(slot) = slot.filter(|_| ![FieldId::ID, FieldId::TS].contains(&field)) {
                event.set(field, slot);
            }
        }
        let mut kept_back = KeptBack::default();
        for _ in 0..self.count()? {
            let (field, chars) = (self.field()?, self.varint()?);
            kept_back.texts.push((field, i64::try_from(chars).ok()?));
        }
        for _ in 0..self.count()? {
            let (field, words) = (self.field()?, usize::from(self.byte()?));
            let strictness = Strictness::ALL.into_iter().find(|s| s.words() == words)?;
            let n = self.count().filter(|n| *n <= FINGERPRINTS_MAX)?;
            let made = (0..n).map(|_| from_text(self.text()?)).collect::<Option<Vec<u64>>>()?;
            kept_back.wordings.push((Wording { field, strictness }, made));
        }
        for _ in 0..self.count()? {
            kept_back.tests.push(u32::try_from(self.varint()?).ok()?);
        }
        self.take(super::COMMITMENT_BYTES)?;
        self.0.is_empty().then_some(Recalled { event, kept_back: Some(kept_back), writer: 0 })
    }
}

/// What the tests of the rule set that wrote a journal are called in another that tests the same.
#[derive(Debug, Clone, Default)]
pub struct TestNames(Vec<Names>);

/// The same of one writer.
#[derive(Debug, Clone, Default)]
struct Names {
    names: Vec<Option<NodeId>>,
    /// Those of the other that the first did not have.
    unknown: Arc<[NodeId]>,
}

impl TestNames {
    /// From the tests of `writer` to those of `reader`.
    pub fn between(writer: &RuleSet, reader: &RuleSet) -> TestNames {
        TestNames::among([writer], reader)
    }

    /// From the tests of each of several rule sets that wrote a journal ([`Recalled::writer`]).
    pub fn among<'w>(writers: impl IntoIterator<Item = &'w RuleSet>, reader: &RuleSet) -> TestNames {
        TestNames(writers.into_iter().map(|writer| Names::between(writer, reader)).collect())
    }

    /// What is known of the texts of an event by other names.
    fn told(&self, recalled: &Recalled) -> Option<Told> {
        let (kept, names) = (recalled.kept_back.as_ref()?, self.0.get(recalled.writer)?);
        let own = |test: &u32| names.names.get(*test as usize).copied().flatten();
        let tests = kept.tests.iter().filter_map(own).collect();
        let unknown = Arc::clone(&names.unknown);
        Some(Told { texts: kept.texts.clone(), wordings: kept.wordings.clone(), tests, unknown })
    }

    /// Whether the journal tells of every test that the reader has.
    pub fn are_complete(&self) -> bool {
        self.0.iter().all(|names| names.unknown.is_empty())
    }
}

impl Names {
    fn between(writer: &RuleSet, reader: &RuleSet) -> Names {
        let mut names = vec![None; writer.nodes.len()];
        for (name, id) in writer.nodes.names() {
            let is_kept_back = matches!(writer.nodes.get(id), Some(Node::Text { field, .. }) if is_content(*field));
            if let (true, Some(place)) = (is_kept_back, names.get_mut(id.0 as usize)) {
                *place = reader.nodes.by_name(name);
            }
        }
        let is_known = |id: &NodeId| names.iter().flatten().any(|known| known == id);
        let kept_back =
            reader.nodes.iter().filter(|(_, node)| matches!(node, Node::Text { field, .. } if is_content(*field)));
        let unknown = kept_back.map(|(id, _)| id).filter(|id| !is_known(id)).collect();
        Names { names, unknown }
    }
}

impl Evaluator {
    /// Takes in an event that comes back from a journal. `names` are those of the rule set that wrote it.
    pub fn observe_recalled(&mut self, recalled: &Recalled, names: &TestNames, origin: Origin) -> Outcome {
        let rules = Arc::clone(self.rules_at(recalled.event.ts()));
        self.tell(self.generation(recalled.event.ts().0), recalled, names);
        let outcome = self.observe(&recalled.event, origin);
        self.untell_of(&rules);
        outcome
    }

    /// Names of the rules whose filter holds for an event, as [`Evaluator::matching`].
    pub fn matching_recalled(&mut self, recalled: &Recalled, names: &TestNames) -> Vec<String> {
        self.tell(0, recalled, names);
        let matching = self.matching(&recalled.event).map(str::to_string).collect();
        self.untell();
        matching
    }

    /// The groups of the only rule, over windows, that an event belongs to, each as the texts of its parts; `None` where a
    /// part is unknown. An event that the rule does not look at is in none.
    pub fn groups_of(&mut self, recalled: &Recalled, names: &TestNames) -> Option<Vec<Vec<String>>> {
        self.tell(0, recalled, names);
        self.router.route(&self.rules, &recalled.event, false, &mut self.interner);
        self.untell();
        self.router.undecided.is_empty().then(|| self.routed_groups())
    }

    fn tell(&mut self, generation: usize, recalled: &Recalled, names: &TestNames) {
        if let Some(told) = names.told(recalled) {
            self.router_of(generation).told = Some(told);
        }
    }

    fn untell(&mut self) {
        untell(&mut self.router);
    }

    /// The same where rules may have taken over meanwhile.
    fn untell_of(&mut self, rules: &Arc<RuleSet>) {
        let mut routers = self.next.iter_mut().rev().filter(|s| Arc::ptr_eq(&s.rules, rules)).map(|s| &mut s.router);
        match routers.next() {
            Some(router) => untell(router),
            None => untell(&mut self.router),
        }
    }
}

impl Router {
    /// Routes events from here on by what a journal tells of the texts of one, until [`Router::untell`].
    pub(crate) fn tell(&mut self, recalled: &Recalled, names: &TestNames) {
        self.told = names.told(recalled);
    }

    /// What was told holds no more.
    pub(crate) fn untell(&mut self) {
        untell(self);
    }
}

fn untell(router: &mut Router) {
    if router.told.take().is_some() {
        router.wordings.kept_back.clear();
    }
}
