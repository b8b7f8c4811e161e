//! How rules run: a checked program and its reference data, made ready for the evaluator.

pub(crate) mod baseline;
mod index;
mod inline;
pub mod limit;
pub(crate) mod link;
pub(crate) mod lower;
pub(crate) mod many;
pub(crate) mod memory;
pub(crate) mod node;
pub(crate) mod room;
pub(crate) mod rule;
pub(crate) mod scalar;
pub(crate) mod sequence;
pub(crate) mod series;
mod set;
pub mod text;
pub(crate) mod wording;

use std::sync::Arc;

use sha2::{Digest, Sha256};

use self::index::Index;
pub(crate) use self::index::Probe;
pub use self::inline::list_of;
use self::link::Links;
pub(crate) use self::lower::is_symbol;
use self::lower::{Lower, WordPlan, Words};
pub use self::memory::FIRST_SEEN_KEEP;
use self::memory::{QuestionPlan, Questions};
use self::node::{Node, NodeId, Nodes};
use self::rule::{RulePlan, ShapePlan, WindowPlan};
use self::sequence::{SequencePlan, Slots};
use self::series::SeriesPlan;
use self::text::Prefilter;
use self::wording::Wording;
use crate::diagnostic::{Code, Diagnostic, has_errors, sort};
use crate::event::{FieldId, Kind};
use crate::hir::{Program, Rule, Shape, canonical_definition};
use crate::reference::{ListData, TableData};
use crate::template::{FingerprintKey, Fingerprinter};
use crate::time::Duration;

/// The contents of lists and tables, in the order of [`Program::lists`] and [`Program::tables`].
#[derive(Debug, Clone, Default)]
pub struct ReferenceData {
    /// One per list, inline lists included.
    pub lists: Vec<Arc<ListData>>,
    /// One per table; the account registry first.
    pub tables: Vec<Arc<TableData>>,
    /// The key of template fingerprints, under which lists of them were built.
    pub fingerprint_key: FingerprintKey,
}

/// Rules ready to run. Immutable; share it by `Arc`.
#[derive(Debug)]
pub struct RuleSet {
    program: Program,
    data: ReferenceData,
    pub(crate) rules: Vec<RulePlan>,
    pub(crate) nodes: Nodes,
    /// Values that rules take as words.
    pub(crate) words: Vec<WordPlan>,
    /// Questions to memory; their number is an index.
    pub(crate) questions: Vec<QuestionPlan>,
    /// What each question is called: the same in every rule set that asks it.
    pub(crate) question_names: Vec<String>,
    /// Per kind of event.
    pub(crate) indexes: [Index; 5],
    /// Per text field that tests look at.
    pub(crate) prefilters: Vec<(FieldId, Prefilter)>,
    pub(crate) n_windowed: usize,
    pub(crate) n_sequences: usize,
    /// Per rule, the rules of its definition, itself first; empty for a rule that follows another.
    pub(crate) members: Vec<Vec<u32>>,
    /// Rules that are limits, by number: each call asks all of them.
    pub(crate) limits: Vec<u32>,
    /// Fields that any rule reads, for the journal.
    pub(crate) fields_read: Vec<FieldId>,
    /// Template fingerprints that any rule asks for.
    pub(crate) wordings: Vec<Wording>,
    pub(crate) links: Links,
    pub(crate) fingerprinter: Fingerprinter,
    bundle_hash: String,
}

impl RuleSet {
    /// Makes a program ready to run.
    ///
    /// # Errors
    /// Diagnostics, where a regular expression is over its budget.
    pub fn new(program: Program, data: ReferenceData) -> Result<RuleSet, Vec<Diagnostic>> {
        let mut cx = Lower {
            program: &program,
            data: &data,
            nodes: Nodes::default(),
            words: Words::default(),
            questions: Questions::default(),
            slots: Slots::default(),
            wordings: Vec::new(),
            links: Links::default(),
            diagnostics: Vec::new(),
        };
        let (mut n_windowed, mut n_sequences, mut rules) = (0u32, 0u32, Vec::<RulePlan>::new());
        let mut members: Vec<Vec<u32>> = Vec::new();
        let mut known: hashbrown::HashMap<String, u32> = hashbrown::HashMap::new();
        for (number, rule) in program.rules.iter().enumerate() {
            let number = number as u32;
            let leader = *known.entry(canonical_definition(&program, rule)).or_insert(number);
            members.push(Vec::new());
            if let Some(list) = members.get_mut(leader as usize) {
                list.push(number);
            }
            let shared = rules.get(leader as usize).and_then(|r| r.windows_number().or(r.sequence_number()));
            let next = if matches!(rule.shape, Shape::Sequence(_)) { n_sequences } else { n_windowed };
            let plan = RulePlan::new(&mut cx, rule, shared.unwrap_or(next));
            if shared.is_none() {
                n_windowed += u32::from(plan.windows_number().is_some());
                n_sequences += u32::from(plan.sequence_number().is_some());
            }
            rules.push(plan);
        }
        for (number, s) in program.series.iter().enumerate() {
            let plan = series::plan(&mut cx, number, s);
            rules.push(plan);
            members.push(Vec::new());
        }
        let Lower { nodes, words, wordings, questions, links, mut diagnostics, .. } = cx;
        let (questions, question_names) = questions.into_parts();
        if questions.len() > crate::hir::QUESTIONS_MAX
            && let Some(last) = program.rules.last()
        {
            let message = format!(
                "the rules ask memory {} different questions, the limit is {}",
                questions.len(),
                crate::hir::QUESTIONS_MAX
            );
            diagnostics.push(Diagnostic::new(Code::TOO_MANY, last.span, message));
        }
        if has_errors(&diagnostics) {
            sort(&mut diagnostics);
            return Err(diagnostics);
        }
        let indexes = Kind::ALL.map(|kind| {
            let numbered = rules.iter().zip(&program.rules).enumerate();
            let looks = numbered.filter(|(_, (_, rule))| rule.kinds.contains(&kind));
            let leaders = looks.filter(|(n, _)| members.get(*n).is_some_and(|m| !m.is_empty()));
            let series = rules.iter().enumerate().skip(program.rules.len()).zip(&program.series);
            let series = series.filter(|(_, s)| s.kinds.contains(&kind)).map(|((n, plan), _)| (n as u32, plan.filter));
            let filters: Vec<(u32, Option<NodeId>)> =
                leaders.map(|(n, (plan, _))| (n as u32, plan.filter_of(kind))).chain(series).collect();
            Index::new(&filters, &nodes)
        });
        let limits = rules.iter().zip(0u32..).filter(|(plan, _)| plan.limit.is_some()).map(|(_, n)| n).collect();
        let prefilters = prefilters(&nodes);
        let fields_read = fields_read(&program);
        let bundle_hash = bundle_hash(&program, &data, &rules);
        Ok(RuleSet {
            rules,
            nodes,
            words: words.all,
            questions,
            question_names,
            indexes,
            prefilters,
            n_windowed: n_windowed as usize,
            n_sequences: n_sequences as usize,
            members,
            limits,
            fields_read,
            wordings,
            links,
            fingerprinter: Fingerprinter::new(data.fingerprint_key),
            bundle_hash,
            program,
            data,
        })
    }

    /// The same rules, for looking on: every window is judged, also one with too few events for its condition to hold.
    pub fn judging_all(mut self) -> RuleSet {
        for rule in &mut self.rules {
            if let ShapePlan::Windowed(w) = &mut rule.shape {
                w.events_needed = 1;
            }
        }
        self
    }

    /// What the rules mean.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The contents of lists and tables.
    pub fn data(&self) -> &ReferenceData {
        &self.data
    }

    /// SHA-256 over all rule hashes, policies and reference data: what a run is pinned to; lower-case hex.
    pub fn bundle_hash(&self) -> &str {
        &self.bundle_hash
    }

    /// The same rules under the hash by which they were known before rows of their lists were erased.
    #[cfg(feature = "runtime")]
    pub(crate) fn known_as(self, bundle_hash: &str) -> RuleSet {
        RuleSet { bundle_hash: bundle_hash.to_string(), ..self }
    }

    /// The longest window of any rule: how long events matter.
    pub fn longest_window(&self) -> Duration {
        let lengths = self.rules.iter().map(|r| match &r.shape {
            ShapePlan::Single { .. } | ShapePlan::Sequence(_) | ShapePlan::Series(_) => Duration(0),
            ShapePlan::Windowed(w) => Duration(w.panes.saturating_mul(w.step)),
        });
        lengths.max().unwrap_or_default()
    }

    /// How far back events are asked for, ascending: per windowed rule its window and, since it is judged at step ends, a step.
    /// Beside them, which of these is that of each windowed rule, by the number of its windows.
    pub(crate) fn reaches(&self) -> (Vec<i64>, Vec<u8>) {
        let reach = |w: &WindowPlan| w.panes.saturating_add(1).saturating_mul(w.step);
        let mut each = vec![i64::MAX; self.n_windowed];
        for plan in &self.rules {
            if let ShapePlan::Windowed(w) = &plan.shape
                && let Some(place) = each.get_mut(w.number as usize)
            {
                *place = reach(w);
            }
        }
        let mut all = each.clone();
        all.sort_unstable();
        all.dedup();
        // More than a byte can name are kept as long as the longest.
        all.truncate(usize::from(u8::MAX));
        let numbers = each.iter().map(|own| all.binary_search(own).map_or(u8::MAX, |at| at as u8)).collect();
        (all, numbers)
    }

    /// How far back any rule asks memory, earlier windows or a series.
    pub fn longest_memory(&self) -> Duration {
        let questions = self.questions.iter().map(|q| q.within);
        // The windows that are looked back to begin up to two lengths earlier.
        let back = |w: &WindowPlan| match w.baselines.reach() {
            0 => 0,
            windows => w.length.0.saturating_mul(windows + 2),
        };
        let baselines = self.leaders().map(|(_, _, w)| back(w));
        let series = self.series().map(|s| s.w.step.saturating_mul(s.steps + s.kept + 1));
        Duration(questions.chain(baselines).chain(series).max().unwrap_or_default())
    }

    /// How far back any finding can reach: the longest window or tie of a link with its step, or the longest sequence.
    pub fn longest_reach(&self) -> Duration {
        let sequence = self.sequences().map(|(_, _, s)| s.life).max().unwrap_or_default();
        let ties = self.links.all.iter().flat_map(|l| &l.families).map(|f| f.within).max().unwrap_or_default();
        Duration(self.longest_window().0.max(ties).saturating_add(self.longest_step().0).max(sequence))
    }

    /// The longest step of any rule.
    pub fn longest_step(&self) -> Duration {
        let steps = self.rules.iter().map(|r| match &r.shape {
            ShapePlan::Single { .. } | ShapePlan::Sequence(_) | ShapePlan::Series(_) => Duration(0),
            ShapePlan::Windowed(w) => Duration(w.step),
        });
        steps.max().unwrap_or_default()
    }

    /// The rules of a leader's definition, with their plans.
    pub(crate) fn members(&self, leader: u32) -> impl Iterator<Item = (&Rule, &RulePlan)> {
        let numbers = self.members.get(leader as usize).into_iter().flatten();
        numbers.filter_map(|n| self.program.rules.get(*n as usize).zip(self.rules.get(*n as usize)))
    }

    /// The windowed rules that lead their definition, with their plans.
    pub(crate) fn leaders(&self) -> impl Iterator<Item = (u32, &RulePlan, &WindowPlan)> {
        let numbered = self.rules.iter().zip(&self.members).enumerate();
        numbered.filter(|(_, (_, members))| !members.is_empty()).filter_map(|(n, (plan, _))| match &plan.shape {
            ShapePlan::Windowed(w) => Some((n as u32, plan, w.as_ref())),
            ShapePlan::Single { .. } | ShapePlan::Sequence(_) | ShapePlan::Series(_) => None,
        })
    }

    /// The rules on sequences that lead their definition, with their plans.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = (u32, &RulePlan, &SequencePlan)> {
        let numbered = self.rules.iter().zip(&self.members).enumerate();
        numbered.filter(|(_, (_, members))| !members.is_empty()).filter_map(|(n, (plan, _))| match &plan.shape {
            ShapePlan::Sequence(s) => Some((n as u32, plan, s.as_ref())),
            ShapePlan::Single { .. } | ShapePlan::Windowed(_) | ShapePlan::Series(_) => None,
        })
    }

    /// The series, in the order of their numbers.
    pub(crate) fn series(&self) -> impl Iterator<Item = &SeriesPlan> {
        self.rules.iter().skip(self.program.rules.len()).filter_map(|plan| match &plan.shape {
            ShapePlan::Series(s) => Some(s.as_ref()),
            _ => None,
        })
    }

    pub(crate) fn index(&self, kind: Kind) -> Option<&Index> {
        self.indexes.get(kind as usize)
    }
}

fn prefilters(nodes: &Nodes) -> Vec<(FieldId, Prefilter)> {
    type Tests = Vec<(u32, Arc<text::TextMatcher>)>;
    let mut fields: Vec<(FieldId, Tests)> = Vec::new();
    for (NodeId(id), node) in nodes.iter() {
        if let Node::Text { field, matcher } = node {
            match fields.iter_mut().find(|(f, _)| f == field) {
                Some((_, tests)) => tests.push((id, matcher.clone())),
                None => fields.push((*field, vec![(id, matcher.clone())])),
            }
        }
    }
    fields.into_iter().map(|(f, tests)| (f, Prefilter::new(&tests))).collect()
}

fn fields_read(program: &Program) -> Vec<FieldId> {
    let mut fields = vec![FieldId::ACCOUNT];
    let mut see = |e: &crate::hir::Expr| {
        e.walk(&mut |e| match &e.kind {
            crate::hir::ExprKind::Field(f) => fields.push(*f),
            crate::hir::ExprKind::Template(field, strictness) => {
                let told = Wording { field: *field, strictness: *strictness }.told_in();
                fields.extend([*field, FieldId::FINGERPRINT_EPOCH].into_iter().chain(told));
            }
            crate::hir::ExprKind::Column(t, _) => {
                if let Some(table) = program.tables.get(t.0 as usize) {
                    table.key.walk(&mut |e| {
                        if let crate::hir::ExprKind::Field(f) = &e.kind {
                            fields.push(*f);
                        }
                    });
                }
            }
            _ => {}
        });
    };
    for rule in &program.rules {
        crate::hir::each_expr(rule, &mut see);
        if let Shape::Windowed(w) = &rule.shape
            && let Some(link) = w.link.and_then(|id| program.links.get(id.0 as usize))
        {
            link.families.iter().for_each(|f| see(&f.of));
        }
    }
    program.series.iter().for_each(|series| crate::hir::each_expr_of_series(series, &mut see));
    // Whom the findings of rules on single events bear on.
    let singles = || program.rules.iter().filter(|rule| matches!(rule.shape, Shape::Single));
    for (scope, field) in [("key", FieldId::KEY), ("org", FieldId::ORG)] {
        fields.extend(singles().any(|rule| rule.acts_on(scope)).then_some(field));
    }
    fields.sort_unstable();
    fields.dedup();
    fields
}

fn bundle_hash(program: &Program, data: &ReferenceData, rules: &[RulePlan]) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(data.fingerprint_key.id().as_bytes());
    rules.iter().for_each(|r| part(r.hash.as_bytes()));
    for p in &program.policies {
        part(p.name.as_bytes());
        part(p.version.as_bytes());
        for c in &p.clauses {
            part(format!("{} {} {} {:?} {:?} {}", c.name, c.permits, c.section, c.from, c.until, c.says).as_bytes());
        }
    }
    for (list, contents) in program.lists.iter().zip(&data.lists) {
        part(list.name.as_bytes());
        part(&contents.hash());
    }
    for (table, contents) in program.tables.iter().zip(&data.tables) {
        part(table.name.as_bytes());
        part(&contents.hash());
    }
    hex::encode(hash.finalize())
}
