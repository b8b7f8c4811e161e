//! The one namespace of fields, `let`s, lists, tables, links and series, and that of rules. Says what a name means and what
//! an unknown one was meant to be.

use std::collections::BTreeMap;

use super::{Checker, limits};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::event::{FIELDS, FieldId};
use crate::hir::{LinkId, ListId, TableId};
use crate::source::Span;
use crate::syntax::ast;

/// What a declared name stands for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    /// A top-level `let`, with its number.
    Let(usize),
    List(ListId),
    Table(TableId),
    /// A link, with its number.
    Link(usize),
    /// A series, with its number.
    Series(usize),
    /// Declared, but reported as wrong: uses are not reported again.
    Wrong,
}

#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    declared: BTreeMap<&'a str, (Meaning, Span)>,
    rules: BTreeMap<&'a str, Span>,
    pub(super) lets: Vec<&'a ast::Let>,
    /// Lowered forms of `lets`; `None` where it is wrong.
    pub(super) lowered: Vec<Option<super::scope::Inlined>>,
    pub(super) lists: Vec<&'a ast::List>,
    pub(super) tables: Vec<&'a ast::Table>,
    pub(super) links: Vec<&'a ast::Link>,
    /// Lowered forms of `links`; `None` where it is wrong.
    pub(super) link_ids: Vec<Option<LinkId>>,
    pub(super) series: Vec<&'a ast::Series>,
}

/// Words that mean something within expressions, and so cannot be names of values.
const RESERVED: &[&str] = &[
    "and", "at", "because", "contains", "default", "during", "ends", "except", "exists", "false", "first", "for",
    "from", "given", "has", "if", "ignoring", "in", "is", "least", "link", "matches", "not", "of", "on", "one", "or",
    "over", "per", "seen", "starts", "test", "then", "true", "until", "when", "where", "with", "within",
];

/// Gathers all declarations; reports duplicates and reserved words.
pub(super) fn collect<'a>(cx: &mut Checker<'a>, items: &[&'a ast::Item]) {
    let mut rules = 0;
    for item in items {
        match item {
            ast::Item::Let(x) => {
                if cx.within(cx.names.lets.len() + 1, limits::LETS_MAX, "top-level `let`s", x.name.span) {
                    let meaning = Meaning::Let(cx.names.lets.len());
                    cx.names.lets.push(x);
                    declare(cx, &x.name, meaning);
                }
            }
            ast::Item::List(x) => {
                if cx.within(cx.names.lists.len() + 1, limits::LISTS_MAX, "lists", x.name.span) {
                    let meaning = Meaning::List(ListId(cx.names.lists.len() as u32));
                    cx.names.lists.push(x);
                    declare(cx, &x.name, meaning);
                }
            }
            ast::Item::Table(x) => {
                if cx.within(cx.names.tables.len() + 1, limits::TABLES_MAX, "tables", x.name.span) {
                    cx.names.tables.push(x);
                    let meaning = Meaning::Table(TableId(cx.names.tables.len() as u32));
                    declare(cx, &x.name, meaning);
                }
            }
            ast::Item::Link(x) => {
                if cx.within(cx.names.links.len() + 1, limits::LINKS_MAX, "links", x.name.span) {
                    let meaning = Meaning::Link(cx.names.links.len());
                    cx.names.links.push(x);
                    cx.names.link_ids.push(None);
                    declare(cx, &x.name, meaning);
                }
            }
            ast::Item::Series(x) => {
                if cx.within(cx.names.series.len() + 1, limits::SERIES_MAX, "series", x.name.span) {
                    let meaning = Meaning::Series(cx.names.series.len());
                    cx.names.series.push(x);
                    declare(cx, &x.name, meaning);
                }
            }
            ast::Item::Rule(ast::Rule { name, .. })
            | ast::Item::Apply(ast::Apply { name, .. })
            | ast::Item::Limit(ast::Limit { sections: ast::Rule { name, .. }, .. }) => {
                rules += 1;
                if cx.within(rules, limits::RULES_MAX, "rules", name.span) {
                    declare_rule(cx, name);
                }
            }
            ast::Item::Policy(_) => {}
        }
    }
}

fn declare<'a>(cx: &mut Checker<'a>, name: &'a ast::Name, meaning: Meaning) {
    if let Some(reserved) = reserved(&name.text, name.span) {
        cx.report(reserved);
        cx.names.declared.entry(&name.text).or_insert((Meaning::Wrong, name.span));
        return;
    }
    match cx.names.declared.get(name.text.as_str()) {
        Some((_, first)) => {
            let duplicate = duplicate(name, *first);
            cx.report(duplicate);
        }
        None => {
            cx.names.declared.insert(&name.text, (meaning, name.span));
        }
    }
}

fn declare_rule<'a>(cx: &mut Checker<'a>, name: &'a ast::Name) {
    match cx.names.rules.get(name.text.as_str()) {
        Some(first) => {
            let duplicate = duplicate(name, *first);
            cx.report(duplicate);
        }
        None => {
            cx.names.rules.insert(&name.text, name.span);
        }
    }
}

/// The message about a second declaration.
pub(super) fn duplicate(name: &ast::Name, first: Span) -> Diagnostic {
    Diagnostic::new(Code::DUPLICATE_NAME, name.span, format!("the name `{}` is given twice", name.text))
        .label("given again here")
        .also(first, "first given here")
        .help(format!("give one of them another name, such as `{}-2`", name.text))
}

/// Why a word cannot name a value, if it cannot.
pub(super) fn reserved(word: &str, span: Span) -> Option<Diagnostic> {
    let what = if let Some(field) = field(word) {
        format!("is a field of the event: {}", field_doc(field))
    } else if super::call::is_function(word) {
        "is a function".to_string()
    } else if RESERVED.contains(&word) {
        "is a word of the language".to_string()
    } else {
        return None;
    };
    Some(
        Diagnostic::new(Code::RESERVED_NAME, span, format!("`{word}` cannot be given a new meaning"))
            .label(format!("`{word}` {what}"))
            .help(format!("choose another name, such as `my_{word}`")),
    )
}

/// The field with a name.
pub(super) fn field(name: &str) -> Option<FieldId> {
    crate::event::fields::by_name(name)
}

/// What a field means.
pub(super) fn field_doc(field: FieldId) -> &'static str {
    FIELDS.get(usize::from(field.0)).map_or("", |f| f.doc)
}

impl<'a> Names<'a> {
    /// What a name was declared as.
    pub(super) fn get(&self, name: &str) -> Option<Meaning> {
        self.declared.get(name).map(|(m, _)| *m)
    }

    /// Where a name was declared.
    pub(super) fn place(&self, name: &str) -> Option<Span> {
        self.declared.get(name).map(|(_, s)| *s)
    }

    /// All names of values.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.declared.keys().copied()
    }

    /// Top-level `let`s as they were lowered, without those that are wrong.
    pub(super) fn definitions(&self) -> Vec<(String, crate::hir::Expr)> {
        let both = self.lets.iter().zip(&self.lowered);
        both.filter_map(|(item, lowered)| Some((item.name.text.clone(), lowered.as_ref()?.expr.clone()))).collect()
    }

    /// All names of lists.
    pub(super) fn list_names(&self) -> impl Iterator<Item = &str> {
        self.declared.iter().filter(|(_, (m, _))| matches!(m, Meaning::List(_))).map(|(n, _)| *n)
    }

    /// All names of tables, the registry included.
    pub(super) fn table_names(&self) -> impl Iterator<Item = &str> {
        let own = self.declared.iter().filter(|(_, (m, _))| matches!(m, Meaning::Table(_))).map(|(n, _)| *n);
        std::iter::once("account").chain(own)
    }

    /// Where the rule of this name is.
    pub(super) fn is_first_rule(&self, name: &ast::Name) -> bool {
        self.rules.get(name.text.as_str()) == Some(&name.span)
    }

    /// All names of rules.
    pub(super) fn rule_names(&self) -> impl Iterator<Item = &str> {
        self.rules.keys().copied()
    }
}

/// The message about a name that stands for nothing, with what was probably meant. `local` are further names that would
/// have been known at this place.
pub(super) fn unknown(cx: &Checker<'_>, code: Code, span: Span, word: &str, local: &[&str]) -> Diagnostic {
    let mut known: Vec<&str> = FIELDS.iter().map(|f| f.name).collect();
    known.extend(cx.names.all());
    known.extend(local);
    let message = format!("`{word}` is neither a field, a list nor a `let`");
    let diagnostic = Diagnostic::new(code, span, message).label("unknown name");
    match nearest(word, known) {
        Some(meant) => {
            let doc = field(meant).map(|f| format!(" ({})", field_doc(f))).unwrap_or_default();
            diagnostic.help(format!("did you mean `{meant}`{doc}?")).fix(span, meant)
        }
        None if word.contains('.') => diagnostic.help("a name has at most one dot: `table.column`"),
        None => diagnostic.help(format!("define it: `let {word} = …`, or look up the fields of an event")),
    }
}

/// "did you mean", or the words that are known here.
pub(super) fn suggest(diagnostic: Diagnostic, word: &ast::Name, known: &[&str]) -> Diagnostic {
    match nearest(&word.text, known.iter().copied()) {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")).fix(word.span, meant),
        None if known.is_empty() => diagnostic,
        None => diagnostic.help(format!("write one of {}", quoted(known))),
    }
}

/// `a`, `b`, `c`: at most twelve.
pub(super) fn quoted(words: &[&str]) -> String {
    let mut all: Vec<String> = words.iter().take(12).map(|w| format!("`{w}`")).collect();
    if words.len() > 12 {
        all.push("…".to_string());
    }
    all.join(", ")
}
