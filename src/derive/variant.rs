//! Rules a little different from one: alone, without a condition, with another bound; and what cannot be asked of events whose
//! texts are kept back.

use super::DeriveError;
use super::reach::asks_series;
use crate::event::FIELDS;
use crate::event::fields::Privacy;
use crate::hir::{Const, Expr, ExprKind, Program, Rule, Shape, Windowed, each_expr, each_expr_of_series};
use crate::plan::RuleSet;
use crate::value::Type;

/// Rules by themselves, with the lists and tables of another rule set.
pub(super) fn alone(of: &RuleSet, rules: Vec<Rule>) -> Result<RuleSet, DeriveError> {
    let program = of.program();
    let program = Program {
        policies: program.policies.clone(),
        lists: program.lists.clone(),
        tables: program.tables.clone(),
        links: program.links.clone(),
        series: program.series.clone(),
        definitions: Vec::new(),
        rules,
    };
    RuleSet::new(program, of.data().clone()).map_err(DeriveError::Rule)
}

/// The parts that `and` joins, or the whole.
pub(super) fn parts(condition: &Expr) -> &[Expr] {
    match &condition.kind {
        ExprKind::And(all) => all,
        _ => std::slice::from_ref(condition),
    }
}

/// A rule over windows with another part of its condition.
pub(super) fn with_part(rule: &Rule, w: &Windowed, at: usize, part: Expr) -> Rule {
    let mut all = parts(&w.when).to_vec();
    if let Some(place) = all.get_mut(at) {
        *place = part;
    }
    let when = Expr { ty: Type::Bool, kind: ExprKind::And(all), span: w.when.span };
    Rule { shape: Shape::Windowed(Windowed { when, ..w.clone() }), ..rule.clone() }
}

/// A comparison with a constant: the value, the constant, and whether the constant stands before it.
pub(super) fn bound(part: &Expr) -> Option<(&Expr, &Const, bool)> {
    let ExprKind::Compare(_, a, b) = &part.kind else { return None };
    match (&a.kind, &b.kind) {
        (_, ExprKind::Const(c)) => Some((a, c, false)),
        (ExprKind::Const(c), _) => Some((b, c, true)),
        _ => None,
    }
}

/// A rule on single events with just a condition.
pub(super) fn probe(rule: &Rule, name: String, condition: &Expr) -> Rule {
    Rule {
        name,
        filter: Some(condition.clone()),
        shape: Shape::Single,
        lets: Vec::new(),
        exceptions: Vec::new(),
        actions: Vec::new(),
        because: Vec::new(),
        budget: None,
        rollout: None,
        changed: None,
        ..rule.clone()
    }
}

/// The first text that a rule, its link or a series that it may ask needs itself, so that what it finds does not follow from a journal, which keeps texts back:
/// only tests on them, their length, whether they are there, and their fingerprints do.
pub fn not_derivable(program: &Program, rule: &Rule) -> Option<&'static str> {
    let mut found = None;
    let mut see = |e: &Expr| found = found.or_else(|| needs_text(e, true));
    each_expr(rule, &mut see);
    if let Shape::Windowed(Windowed { link: Some(id), .. }) = &rule.shape {
        let link = program.links.get(id.0 as usize);
        link.iter().flat_map(|link| &link.families).for_each(|family| see(&family.of));
    }
    if asks_series(rule) {
        program.series.iter().for_each(|series| each_expr_of_series(series, &mut see));
    }
    found
}

/// `tested` says that a test on a text stands where its result is kept.
fn needs_text(e: &Expr, tested: bool) -> Option<&'static str> {
    let content = |e: &Expr| match &e.kind {
        ExprKind::Field(f) => {
            FIELDS.get(usize::from(f.0)).filter(|f| f.privacy == Privacy::Content).map(|field| field.name)
        }
        _ => None,
    };
    match &e.kind {
        ExprKind::Not(_) | ExprKind::And(_) | ExprKind::Or(_) | ExprKind::AtLeast(..) => {
            e.children().find_map(|child| needs_text(child, tested))
        }
        ExprKind::Text { operand, .. } if tested && content(operand).is_some() => None,
        ExprKind::Length(of) | ExprKind::Exists(of) if content(of).is_some() => None,
        _ => content(e).or_else(|| e.children().find_map(|child| needs_text(child, false))),
    }
}
