//! What a changed condition means: which of its parts were added or dropped, which bounds moved, and which way.

use super::{Change, Effect};
use crate::counsel::say::{listed, said};
use crate::counsel::speech::Speech;
use crate::hir::{
    Aggregate, Compare, Const, Expr, ExprKind, Function, Program, TextTest, canonical_aggregate, canonical_expr,
};

/// Where an expression stands: its rule's program and aggregates, and how it is said.
pub(super) struct Place<'a> {
    pub(super) program: &'a Program,
    pub(super) aggregates: &'a [Aggregate],
    pub(super) speech: Speech<'a>,
}

impl<'a> Place<'a> {
    /// The canonical text of an expression, aggregates by what they count and not by their numbers.
    pub(super) fn key(&self, e: &Expr) -> String {
        self.expanded(&canonical_expr(self.program, e), 0)
    }

    fn expanded(&self, text: &str, depth: usize) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut rest, mut within) = (text, false);
        while let Some(c) = rest.chars().next() {
            if !within
                && depth < 4
                && let Some(tail) = rest.strip_prefix("aggregate:")
            {
                let digits = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                let (number, after) = tail.split_at(digits);
                if let Some(a) = number.parse::<usize>().ok().and_then(|i| self.aggregates.get(i)) {
                    out += &self.expanded(&canonical_aggregate(self.program, a), depth + 1);
                    rest = after;
                    continue;
                }
            }
            if within && c == '\\' {
                // An escaped character stays as it is.
                let mut both = rest.chars();
                out.extend(both.by_ref().take(2));
                rest = both.as_str();
                continue;
            }
            within ^= c == '"';
            out.push(c);
            let mut tail = rest.chars();
            tail.next();
            rest = tail.as_str();
        }
        out
    }

    fn aggregate(&self, e: &Expr) -> Option<&'a Aggregate> {
        match &e.kind {
            ExprKind::Aggregate(i) => self.aggregates.get(usize::from(*i)),
            ExprKind::ToMicros(a) => self.aggregate(a),
            _ => None,
        }
    }
}

/// Compares two conditions that may be absent, as filters are: what is not there always holds.
pub(super) fn optional(
    old: &mut Place<'_>,
    a: Option<&Expr>,
    new: &mut Place<'_>,
    b: Option<&Expr>,
    positive: bool,
    of: &str,
    out: &mut Vec<Change>,
) {
    match (a, b) {
        (Some(a), Some(b)) => compare(old, a, new, b, positive, of, out),
        (Some(a), None) => {
            parts(a, true).into_iter().for_each(|a| {
                let said = old.speech.condition(a, true);
                out.push(Change::new(
                    Effect::Wider.flipped(positive),
                    format!("{of}, it need no longer be that {said}"),
                ));
            });
        }
        (None, Some(b)) => {
            parts(b, true).into_iter().for_each(|b| {
                let said = new.speech.condition(b, true);
                out.push(Change::new(Effect::Narrower.flipped(positive), format!("{of}, it must now be that {said}")));
            });
        }
        (None, None) => {}
    }
}

/// Compares two conditions. `positive`: the more events fulfil it, the more is reached. `of` says where it stands.
pub(super) fn compare(
    old: &mut Place<'_>,
    a: &Expr,
    new: &mut Place<'_>,
    b: &Expr,
    positive: bool,
    of: &str,
    out: &mut Vec<Change>,
) {
    if old.key(a) == new.key(b) {
        return;
    }
    match (&a.kind, &b.kind) {
        (ExprKind::Not(a), ExprKind::Not(b)) => compare(old, a, new, b, !positive, of, out),
        (ExprKind::Or(_), ExprKind::Or(_)) => {
            junction(old, &parts(a, false), new, &parts(b, false), false, positive, of, out)
        }
        (ExprKind::AtLeast(n, x), ExprKind::AtLeast(m, y)) => {
            if n != m {
                let effect = if m < n { Effect::Wider } else { Effect::Narrower };
                let what = format!("{of}, at least {m} conditions of a row must hold, before {n}");
                out.push(Change::new(effect.flipped(positive), what));
            }
            let (x, y): (Vec<&Expr>, Vec<&Expr>) = (x.iter().collect(), y.iter().collect());
            junction(old, &x, new, &y, false, positive, of, out);
        }
        (ExprKind::And(_), _) | (_, ExprKind::And(_)) => {
            junction(old, &parts(a, true), new, &parts(b, true), true, positive, of, out);
        }
        (ExprKind::Or(_), _) | (_, ExprKind::Or(_)) => {
            junction(old, &parts(a, false), new, &parts(b, false), false, positive, of, out);
        }
        (ExprKind::Compare(p, x, m), ExprKind::Compare(q, y, n)) => {
            if !bound(old, (*p, x, m), new, (*q, y, n), positive, of, out) {
                rewritten(old, a, new, b, of, out);
            }
        }
        (ExprKind::InSet(x, p), ExprKind::InSet(y, q)) if old.key(x) == new.key(y) => {
            let words = |all: &[Const], but: &[Const]| -> Vec<String> {
                all.iter().filter(|c| !but.contains(c)).map(|c| said(&item(&y.ty), c)).collect()
            };
            let value = new.speech.value(y);
            changed_values(&value, words(q, p), words(p, q), positive, of, out);
        }
        (
            ExprKind::Text { operand: x, test: p, ignoring_case: f },
            ExprKind::Text { operand: y, test: q, ignoring_case: g },
        ) if old.key(x) == new.key(y) => {
            if !text((old, new), (x, p, *f), (q, *g), positive, of, out) {
                rewritten(old, a, new, b, of, out);
            }
        }
        _ => rewritten(old, a, new, b, of, out),
    }
}

fn item(ty: &crate::value::Type) -> crate::value::Type {
    match ty {
        crate::value::Type::List(of) => (**of).clone(),
        ty => ty.clone(),
    }
}

fn rewritten(old: &mut Place<'_>, a: &Expr, new: &mut Place<'_>, b: &Expr, of: &str, out: &mut Vec<Change>) {
    let (before, now) = (old.speech.condition(a, true), new.speech.condition(b, true));
    out.push(Change::new(Effect::Unclear, format!("{of}, it must now be that {now}; before, that {before}")));
}

/// The parts of an `and` (or of an `or`); anything else is its own only part.
fn parts(e: &Expr, conjunction: bool) -> Vec<&Expr> {
    match &e.kind {
        ExprKind::And(all) if conjunction => all.iter().collect(),
        ExprKind::Or(all) if !conjunction => all.iter().collect(),
        _ => vec![e],
    }
}

/// Parts that both have are left alone, parts about the same thing are compared, and what is left was added or dropped.
#[expect(clippy::too_many_arguments, reason = "two places, two rows of parts, and how they are read")]
fn junction(
    old: &mut Place<'_>,
    a: &[&Expr],
    new: &mut Place<'_>,
    b: &[&Expr],
    conjunction: bool,
    positive: bool,
    of: &str,
    out: &mut Vec<Change>,
) {
    let mut gone: Vec<&Expr> = a.to_vec();
    let mut come: Vec<&Expr> = Vec::new();
    for e in b {
        match gone.iter().position(|g| old.key(g) == new.key(e)) {
            Some(at) => drop(gone.remove(at)),
            None => come.push(e),
        }
    }
    // First by what they are about, then by their kind.
    for level in [subject, shape] {
        let mut rest = Vec::new();
        for e in come {
            match gone.iter().position(|g| level(old, g) == level(new, e)) {
                Some(at) => {
                    let before = gone.remove(at);
                    compare(old, before, new, e, positive, of, out);
                }
                None => rest.push(e),
            }
        }
        come = rest;
    }
    // A part that became one of several, or of several the only one left.
    let mut rest = Vec::new();
    for e in come {
        match gone.iter().position(|g| overlap(old, g, new, e, !conjunction)) {
            Some(at) => {
                let before = gone.remove(at);
                junction(
                    old,
                    &parts(before, !conjunction),
                    new,
                    &parts(e, !conjunction),
                    !conjunction,
                    positive,
                    of,
                    out,
                );
            }
            None => rest.push(e),
        }
    }
    let come = rest;
    let (more, less) = if conjunction { (Effect::Narrower, Effect::Wider) } else { (Effect::Wider, Effect::Narrower) };
    let (now, no_longer) = if conjunction {
        ("it must now also be that", "it need no longer be that")
    } else {
        ("it is now enough that", "it is no longer enough that")
    };
    for e in come {
        out.push(Change::new(more.flipped(positive), format!("{of}, {now} {}", new.speech.condition(e, true))));
    }
    for e in gone {
        out.push(Change::new(less.flipped(positive), format!("{of}, {no_longer} {}", old.speech.condition(e, true))));
    }
}

/// Whether one of two conditions is made of several parts, of which the other is about one.
fn overlap(old: &Place<'_>, a: &Expr, new: &Place<'_>, b: &Expr, conjunction: bool) -> bool {
    let (a, b) = (parts(a, conjunction), parts(b, conjunction));
    a.len() + b.len() > 2 && a.iter().any(|x| b.iter().any(|y| subject(old, x) == subject(new, y)))
}

/// What a condition is about.
fn subject(place: &Place<'_>, e: &Expr) -> String {
    match &e.kind {
        ExprKind::Not(a) => format!("not {}", subject(place, a)),
        ExprKind::Compare(_, a, _) => format!("compare {}", place.key(a)),
        ExprKind::InSet(a, _) => format!("in {}", place.key(a)),
        ExprKind::InList(a, _) => format!("list {}", place.key(a)),
        ExprKind::Text { operand, test, .. } => {
            format!("text {} {:?}", place.key(operand), std::mem::discriminant(test))
        }
        _ => format!("alone {}", place.key(e)),
    }
}

/// Of which kind a condition is, and what it counts.
fn shape(place: &Place<'_>, e: &Expr) -> String {
    match &e.kind {
        ExprKind::Not(a) => format!("not {}", shape(place, a)),
        ExprKind::Compare(_, a, b) => match place.aggregate(a) {
            // The same count of other events.
            Some(counted) => format!("compare {} {}", counted.function.word(), place.key(b)),
            None => format!("alone {}", place.key(e)),
        },
        ExprKind::And(_) => "and".to_string(),
        ExprKind::Or(_) => "or".to_string(),
        ExprKind::AtLeast(..) => "at least".to_string(),
        _ => format!("alone {}", place.key(e)),
    }
}

/// A bound that moved, or a count of other events with the same bound. Whether it is one.
fn bound(
    old: &mut Place<'_>,
    a: (Compare, &Expr, &Expr),
    new: &mut Place<'_>,
    b: (Compare, &Expr, &Expr),
    positive: bool,
    of: &str,
    out: &mut Vec<Change>,
) -> bool {
    let ((p, x, m), (q, y, n)) = (a, b);
    if old.key(x) == new.key(y) {
        let (Some(before), Some(now)) = (number(m), number(n)) else { return false };
        let effect = match (rising(p), rising(q)) {
            (Some(true), Some(true)) => {
                // Of the same number, "above" asks for more than "at least".
                let (before, now) = ((before, p == Compare::Greater), (now, q == Compare::Greater));
                if now < before { Effect::Wider } else { Effect::Narrower }
            }
            (Some(false), Some(false)) => {
                let (before, now) = ((before, p == Compare::LessEqual), (now, q == Compare::LessEqual));
                if now > before { Effect::Wider } else { Effect::Narrower }
            }
            _ => Effect::Unclear,
        };
        let value = new.speech.value(y);
        let moves = match now.cmp(&before) {
            std::cmp::Ordering::Less => "falls",
            std::cmp::Ordering::Greater => "grows",
            std::cmp::Ordering::Equal => "stays",
        };
        let (before, now) = (bounded(&mut old.speech, p, m), bounded(&mut new.speech, q, n));
        out.push(Change::new(
            effect.flipped(positive),
            format!("{of}, the bound on {value} {moves}: it must be {now}, before {before}"),
        ));
        return true;
    }
    let (Some(f), Some(g)) = (old.aggregate(x), new.aggregate(y)) else { return false };
    let same = p == q && old.key(m) == new.key(n);
    let bare = |place: &Place<'_>, a: &Aggregate| {
        let text = canonical_aggregate(place.program, &Aggregate { filter: None, ..a.clone() });
        place.expanded(&text, 1)
    };
    // More prompts may have fewer wordings.
    let counts = matches!(f.function, Function::Count | Function::Distinct { .. })
        && !f.function.arguments().iter().any(Expr::is_template);
    let Some(up) = rising(p).filter(|_| same && counts && bare(old, f) == bare(new, g)) else { return false };
    let value = new.speech.value(y);
    let of = format!("{of}, of what is counted as {value}");
    optional(old, f.filter.as_ref(), new, g.filter.as_ref(), positive == up, &of, out);
    true
}

fn bounded(speech: &mut Speech<'_>, op: Compare, n: &Expr) -> String {
    let op = match op {
        Compare::Equal => "just",
        Compare::NotEqual => "other than",
        Compare::Less => "below",
        Compare::LessEqual => "at most",
        Compare::Greater => "above",
        Compare::GreaterEqual => "at least",
    };
    format!("{op} {}", speech.value(n))
}

/// Whether greater values fulfil it.
fn rising(op: Compare) -> Option<bool> {
    match op {
        Compare::Greater | Compare::GreaterEqual => Some(true),
        Compare::Less | Compare::LessEqual => Some(false),
        Compare::Equal | Compare::NotEqual => None,
    }
}

/// A constant number, or a multiple of what is the same on both sides.
fn number(e: &Expr) -> Option<i64> {
    match &e.kind {
        ExprKind::Const(Const::Num(n)) => Some(*n),
        ExprKind::ToMicros(a) => number(a),
        _ => None,
    }
}

fn changed_values(
    value: &str,
    added: Vec<String>,
    removed: Vec<String>,
    positive: bool,
    of: &str,
    out: &mut Vec<Change>,
) {
    if !added.is_empty() {
        let what = format!("{of}, what is looked for in {value} now includes {}", listed(added, "and"));
        out.push(Change::new(Effect::Wider.flipped(positive), what));
    }
    if !removed.is_empty() {
        let what = format!("{of}, what is looked for in {value} no longer includes {}", listed(removed, "and"));
        out.push(Change::new(Effect::Narrower.flipped(positive), what));
    }
}

/// Tests on one text: phrases that came and went, and letter case. Whether that is all.
fn text(
    (_, new): (&mut Place<'_>, &mut Place<'_>),
    (operand, p, folds): (&Expr, &TextTest, bool),
    (q, now_folds): (&TextTest, bool),
    positive: bool,
    of: &str,
    out: &mut Vec<Change>,
) -> bool {
    let value = new.speech.value(operand);
    let but = |all: &[String], but: &[String]| -> Vec<String> {
        all.iter().filter(|x| !but.contains(x)).map(|x| format!("{x:?}")).collect()
    };
    match (p, q) {
        (TextTest::ContainsAny(x), TextTest::ContainsAny(y)) => {
            changed_values(&value, but(y, x), but(x, y), positive, of, out);
        }
        // The more must be there, the fewer fulfil it.
        (TextTest::ContainsAll(x), TextTest::ContainsAll(y)) => {
            changed_values(&value, but(y, x), but(x, y), !positive, of, out);
        }
        (p, q) if p == q => {}
        _ => return false,
    }
    if folds != now_folds {
        let (effect, how) =
            if now_folds { (Effect::Wider, "no longer matters") } else { (Effect::Narrower, "now matters") };
        let what = format!("{of}, whether letters of {value} are capital or small {how}");
        out.push(Change::new(effect.flipped(positive), what));
    }
    true
}
