//! Which rules can never fire on a feed, and which exceptions can never take anything out: what they need is never told
//! there. Three-valued logic decides, so a field that is only one arm of an `or` silences nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::possible::{Judge, World, constant};
use super::say::{kind, listed};
use crate::event::{FIELDS, FieldId, Kind};
use crate::hir::{Expr, ExprKind, Function, ListId, Program, Rule, Shape, TableId, TextTest};
use crate::plan::ReferenceData;
use crate::template::Strictness;
use crate::value::Value;

/// What a feed tells.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    /// Fields that its events may have; `id` and `ts` are always there.
    pub fields: BTreeSet<FieldId>,
    /// Fields of them that have one value in all events, as text.
    pub fixed: BTreeMap<FieldId, String>,
    /// Kinds of its events; `None` is any.
    pub kinds: Option<Vec<Kind>>,
    /// Whether the registry of accounts was read: one that was not may hold anything.
    pub registry_known: bool,
}

/// Something that a rule needs and never gets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The feed has no events of these kinds.
    Kinds(Vec<Kind>),
    /// The feed never tells the field.
    Field(FieldId),
    /// The field has always the same value.
    Fixed(FieldId, String),
    /// No row of the table has a value in the column.
    Column(String, String),
    /// The list is empty.
    List(String),
}

impl Cause {
    /// As a clause of a sentence.
    pub fn text(&self) -> String {
        let name = |f: &FieldId| FIELDS.get(usize::from(f.0)).map_or("?", |f| f.name);
        match self {
            Cause::Kinds(kinds) => {
                let kinds = listed(kinds.iter().map(|k| kind(*k).to_string()).collect(), "or");
                format!("the feed has no {kinds}")
            }
            Cause::Field(f) => format!("the feed never tells `{}`", name(f)),
            Cause::Fixed(f, value) => format!("`{}` is always {value:?}", name(f)),
            Cause::Column(table, column) if table == "account" => {
                format!("the registry of accounts has no `{column}`")
            }
            Cause::Column(table, column) => format!("the table `{table}` has no `{column}`"),
            Cause::List(list) => format!("the list `{list}` is empty"),
        }
    }
}

/// What can never happen on a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blind {
    /// Name of the rule.
    pub rule: String,
    /// Which of its exceptions, from 0; `None` where the rule itself can never fire.
    pub exception: Option<usize>,
    /// Why, without repeats; at least one.
    pub causes: Vec<Cause>,
}

/// Rules that can never fire on a feed, and of the others the exceptions that can never take anything out.
pub fn blind(program: &Program, data: &ReferenceData, feed: &Feed) -> Vec<Blind> {
    let world = world(program, data, feed);
    let mut out = Vec::new();
    for rule in &program.rules {
        let judge = Judge::of(program, &world, rule);
        let why = Why { judge, feed };
        let causes = why.never_fires(rule);
        if !causes.is_empty() {
            out.push(Blind { rule: rule.name.clone(), exception: None, causes: causes.into_iter().collect() });
            continue;
        }
        for (number, e) in rule.exceptions.iter().enumerate() {
            if !why.events().truth(&e.filter).yes {
                let causes = why.guilty(&why.events(), &e.filter, true);
                if !causes.is_empty() {
                    let (rule, causes) = (rule.name.clone(), causes.into_iter().collect());
                    out.push(Blind { rule, exception: Some(number), causes });
                }
            }
        }
    }
    out
}

fn world(program: &Program, data: &ReferenceData, feed: &Feed) -> World {
    let told = |f: FieldId| f == FieldId::ID || f == FieldId::TS || feed.fields.contains(&f);
    let all = (0..FIELDS.len()).map(|i| FieldId(i as u8));
    let mut world = World { absent: all.filter(|f| !told(*f)).collect(), ..World::default() };
    for (field, text) in &feed.fixed {
        let ty = FIELDS.get(usize::from(field.0)).map(|f| &f.ty);
        if let Some(c) = ty.and_then(|ty| constant(ty, text)) {
            world.fixed.insert(*field, c);
        }
    }
    for (number, list) in data.lists.iter().enumerate() {
        if list.is_empty() {
            world.empty_lists.insert(ListId(number as u32));
        }
    }
    for (number, table) in data.tables.iter().enumerate() {
        if number == 0 && !feed.registry_known {
            continue;
        }
        let columns = program.tables.get(number).map_or(0, |t| t.columns.len());
        for column in 0..columns as u16 {
            let empty = (0..table.len()).all(|row| table.cell(row, column) == Value::Unknown);
            if empty {
                world.empty_columns.insert((TableId(number as u32), column));
            }
        }
    }
    world
}

struct Why<'a> {
    judge: Judge<'a>,
    feed: &'a Feed,
}

type Causes = BTreeSet<Cause>;

impl<'a> Why<'a> {
    /// For expressions over single events.
    fn events(&self) -> Judge<'a> {
        Judge { aggregates: &[], per: &[], link: None, ..self.judge }
    }

    /// Nothing where the rule can fire, or where what hinders it is no matter of the feed.
    fn never_fires(&self, rule: &Rule) -> Causes {
        let mut found = Causes::new();
        self.kinds(&rule.kinds, &mut found);
        if let Some(filter) = &rule.filter {
            self.unless(&self.events(), filter, &mut found);
        }
        match &rule.shape {
            Shape::Single => {}
            Shape::Sequence(s) => {
                s.per.iter().for_each(|part| self.unless_known(part, &mut found));
                for step in s.steps.iter().filter(|step| !step.absent) {
                    self.kinds(&step.kinds, &mut found);
                    step.filter.iter().for_each(|f| self.unless(&self.events(), f, &mut found));
                }
            }
            Shape::Windowed(w) => {
                w.per.iter().for_each(|part| self.unless_known(part, &mut found));
                w.only.iter().for_each(|only| self.unless(&self.events(), only, &mut found));
                if let Some(link) = self.judge.link {
                    let lacking: Vec<&Expr> =
                        link.families.iter().map(|f| &f.of).filter(|of| !self.events().value(of).known).collect();
                    if link.families.len().saturating_sub(lacking.len()) < link.needs as usize {
                        lacking.into_iter().for_each(|of| self.causes(of, &mut found));
                    }
                }
                self.unless(&self.judge, &w.when, &mut found);
            }
        }
        found
    }

    fn kinds(&self, wanted: &[Kind], found: &mut Causes) {
        if let Some(kinds) = &self.feed.kinds
            && !wanted.iter().any(|k| kinds.contains(k))
        {
            found.insert(Cause::Kinds(wanted.to_vec()));
        }
    }

    fn unless(&self, judge: &Judge<'a>, condition: &Expr, found: &mut Causes) {
        if !judge.truth(condition).yes {
            found.extend(self.guilty(judge, condition, true));
        }
    }

    fn unless_known(&self, part: &Expr, found: &mut Causes) {
        if !self.events().value(part).known {
            self.causes(part, found);
        }
    }

    /// Why a condition that should be true (or false) cannot be: of the parts that hinder it, what is never told.
    fn guilty(&self, judge: &Judge<'a>, e: &Expr, wanted: bool) -> Causes {
        let mut found = Causes::new();
        let hinders = |e: &&Expr| {
            let t = judge.truth(e);
            if wanted { !t.yes } else { !t.no }
        };
        match &e.kind {
            ExprKind::Not(a) => return self.guilty(judge, a, !wanted),
            ExprKind::And(all) | ExprKind::Or(all) | ExprKind::AtLeast(_, all) => {
                all.iter().filter(hinders).for_each(|e| found.extend(self.guilty(judge, e, wanted)));
            }
            _ => self.causes(e, &mut found),
        }
        found
    }

    /// What is never told, anywhere in an expression.
    fn causes(&self, e: &Expr, found: &mut Causes) {
        let world = self.judge.world;
        match &e.kind {
            ExprKind::Field(f) => self.field(*f, found),
            ExprKind::Template(f, strictness) => {
                self.field(*f, found);
                if *f == FieldId::PROMPT && found.contains(&Cause::Field(FieldId::PROMPT)) {
                    let told = match strictness {
                        Strictness::Strict => FieldId::PROMPT_FPS,
                        Strictness::Loose => FieldId::LOOSE_FPS,
                    };
                    self.field(told, found);
                }
            }
            ExprKind::Column(t, c) => {
                let table = self.judge.program.tables.get(t.0 as usize);
                if let Some((table, column)) = table.and_then(|t| Some((t, t.columns.get(usize::from(*c))?))) {
                    if world.empty_columns.contains(&(*t, *c)) {
                        found.insert(Cause::Column(table.name.clone(), column.0.clone()));
                    }
                    self.causes(&table.key, found);
                }
            }
            ExprKind::InList(_, list) | ExprKind::Text { test: TextTest::ContainsAnyOf(list), .. } => {
                if world.empty_lists.contains(list)
                    && let Some(list) = self.judge.program.lists.get(list.0 as usize)
                {
                    found.insert(Cause::List(list.name.clone()));
                }
            }
            ExprKind::Aggregate(i) => {
                if let Some(a) = self.judge.aggregates.get(usize::from(*i)) {
                    if let Some(filter) = &a.filter {
                        self.unless(&self.events(), filter, found);
                    }
                    match &a.function {
                        Function::Share(e) => self.unless(&self.events(), e, found),
                        function => function.arguments().iter().for_each(|e| self.unless_known(e, found)),
                    }
                    if let Function::Baseline(b) = &a.function {
                        self.causes(&b.of, found);
                    }
                }
            }
            ExprKind::Key(i) => self.judge.per.get(usize::from(*i)).iter().for_each(|part| self.causes(part, found)),
            _ => {}
        }
        e.children().for_each(|child| self.causes(child, found));
    }

    fn field(&self, f: FieldId, found: &mut Causes) {
        if self.judge.world.absent.contains(&f) {
            found.insert(Cause::Field(f));
        } else if let Some(text) = self.feed.fixed.get(&f).filter(|_| self.judge.world.fixed.contains_key(&f)) {
            found.insert(Cause::Fixed(f, text.clone()));
        }
    }
}
