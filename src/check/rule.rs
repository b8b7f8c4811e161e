//! Rules: each section lowered, then put together. A rule with a mistake is left out after all its mistakes are reported.

use std::collections::BTreeMap;

use super::scope::{Place, Scope};
use super::{
    Checker, actions, because, call, clause, cost, expr, growing, keys, limit, limits, link, lints, memory, names,
    order, sequence, tests, window, wording,
};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::event::Kind;
use crate::hir::{self, Changed, ClauseRef, Confidence, Expr, ExprKind, LinkId, Mode, Rule, Severity, Shape, Windowed};
use crate::syntax::ast::{self, OnWhat};
use crate::value::Type;

/// Lowers all rules and limits, then those that apply another.
pub(super) fn lower_all(cx: &mut Checker<'_>, items: &[&ast::Item]) {
    let mut done: Vec<(usize, Rule)> = Vec::new();
    let mut by_name: BTreeMap<&str, Option<Rule>> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        let (name, lowered) = match item {
            ast::Item::Rule(rule) => (&rule.name, lower(cx, rule, "rule")),
            ast::Item::Limit(written) => (&written.sections.name, limit::lower(cx, written)),
            _ => continue,
        };
        if cx.names.is_first_rule(name) {
            done.extend(lowered.clone().map(|r| (at, r)));
            by_name.insert(&name.text, lowered);
        }
    }
    for (at, item) in items.iter().enumerate() {
        let ast::Item::Apply(applied) = item else { continue };
        let lowered = apply(cx, applied, &by_name, items);
        if cx.names.is_first_rule(&applied.name) {
            done.extend(lowered.map(|r| (at, r)));
        }
    }
    done.sort_by_key(|(at, _)| *at);
    cx.program.rules = done.into_iter().map(|(_, r)| r).collect();
}

fn apply(
    cx: &mut Checker<'_>,
    applied: &ast::Apply,
    by_name: &BTreeMap<&str, Option<Rule>>,
    items: &[&ast::Item],
) -> Option<Rule> {
    let enforces = enforces(cx, &applied.enforces, &applied.name, "rule");
    let severity = word(cx, applied.severity.as_ref(), "severity", Severity::ALL, Severity::word);
    let mode = word(cx, applied.mode.as_ref(), "mode", Mode::ALL, Mode::word);
    let name = &applied.definition;
    let definition = match by_name.get(name.text.as_str()) {
        Some(definition) => definition.clone(),
        None if cx.is_broken_name(&name.text) => return None,
        None => {
            let other = items.iter().find_map(|i| match i {
                ast::Item::Apply(a) if a.name.text == name.text => Some(a.definition.text.clone()),
                _ => None,
            });
            let unknown =
                Diagnostic::new(Code::UNKNOWN_RULE, name.span, format!("there is no rule `{}` to apply", name.text));
            let known: Vec<&str> = cx.names.rule_names().collect();
            let unknown = match (other, nearest(&name.text, known)) {
                (Some(origin), _) => unknown.label("itself applies another").help(format!("write `applies {origin}`")),
                (None, Some(meant)) => unknown.help(format!("did you mean `{meant}`?")).fix(name.span, meant),
                (None, None) => unknown.help("name a rule with a definition of its own"),
            };
            return cx.fail(unknown);
        }
    };
    let definition = definition?;
    Some(Rule {
        name: applied.name.text.clone(),
        enforces: enforces?,
        severity: severity?.unwrap_or(definition.severity),
        mode: mode?.unwrap_or(definition.mode),
        span: applied.span,
        ..definition
    })
}

/// A word of a fixed set: `Some(None)` where it is absent, `None` where it is unknown.
fn word<T: Copy>(
    cx: &mut Checker<'_>,
    written: Option<&ast::Name>,
    section: &str,
    all: &[T],
    shown: impl Fn(T) -> &'static str,
) -> Option<Option<T>> {
    let Some(written) = written else { return Some(None) };
    if let Some(found) = all.iter().copied().find(|x| shown(*x) == written.text) {
        return Some(Some(found));
    }
    let known: Vec<&str> = all.iter().map(|x| shown(*x)).collect();
    let message = format!("`{}` is not a {section}", written.text);
    let unknown = Diagnostic::new(Code::UNKNOWN_WORD, written.span, message).label(format!("unknown {section}"));
    let unknown = names::suggest(unknown, written, &known);
    cx.fail(unknown)
}

fn enforces(cx: &mut Checker<'_>, paths: &[ast::Path], name: &ast::Name, what: &str) -> Option<Vec<ClauseRef>> {
    if paths.is_empty() {
        if cx.is_broken(name.span) {
            return None;
        }
        let message = format!("the {what} `{}` enforces no clause", name.text);
        return cx.fail(
            Diagnostic::new(Code::NO_CLAUSE, name.span, message)
                .label(format!("no clause, no {what}"))
                .help("add `enforces provider.document.clause` as the first section"),
        );
    }
    let mut seen = std::collections::BTreeSet::new();
    let resolved: Vec<Option<ClauseRef>> =
        paths.iter().filter(|p| seen.insert(p.text())).map(|p| clause::resolve(cx, p)).collect();
    resolved.into_iter().collect()
}

/// The kinds of events by their words; `any event` is all.
pub(super) fn kinds(cx: &mut Checker<'_>, written: &[ast::Name]) -> Option<Vec<Kind>> {
    if written.is_empty() {
        return Some(Kind::ALL.to_vec());
    }
    let mut found: Vec<Kind> = Vec::new();
    let mut complete = true;
    for name in written {
        match kind(cx, name) {
            Some(kind) => found.push(kind),
            None => complete = false,
        }
    }
    found.sort();
    found.dedup();
    complete.then_some(found)
}

/// One kind of event.
pub(super) fn kind(cx: &mut Checker<'_>, name: &ast::Name) -> Option<Kind> {
    if let Some(kind) = Kind::from_word(&name.text) {
        return Some(kind);
    }
    let known: Vec<&str> = Kind::ALL.iter().map(|k| k.word()).collect();
    let unknown =
        Diagnostic::new(Code::UNKNOWN_KIND, name.span, format!("there are no events of kind `{}`", name.text))
            .label("unknown kind");
    let unknown = names::suggest(unknown, name, &known);
    cx.fail(unknown)
}

fn missing(cx: &mut Checker<'_>, rule: &ast::Rule, section: &str, help: &str) {
    if cx.is_broken(rule.span) {
        return;
    }
    let message = format!("the rule `{}` has no `{section}`", rule.name.text);
    cx.report(Diagnostic::new(Code::MISSING_SECTION, rule.name.span, message).help(help));
}

fn conflict(cx: &mut Checker<'_>, span: crate::source::Span, message: String, help: String) {
    cx.report(Diagnostic::new(Code::SECTION_CONFLICT, span, message).help(help));
}

/// What `on` says: the kinds, the filter.
fn on(cx: &mut Checker<'_>, scope: &mut Scope, rule: &ast::Rule) -> Option<(Vec<Kind>, Option<Expr>)> {
    let Some(on) = &rule.on else {
        missing(cx, rule, "on", "say what it looks at: `on completion where …`, or `on any event`");
        return None;
    };
    match &on.what {
        OnWhat::Events { kinds, filter } => {
            let kinds = self::kinds(cx, kinds);
            let filter = match filter {
                Some(filter) => scope.within(Place::Event, |scope| expr::condition(cx, scope, filter)).map(Some),
                None => Some(None),
            };
            Some((kinds?, filter?))
        }
        // The steps say for themselves what they look at.
        OnWhat::Sequence { .. } => Some((Vec::new(), None)),
    }
}

/// What the sections about time and groups say.
enum Cut {
    Single,
    Window {
        per: Vec<Expr>,
        link: Option<LinkId>,
        cutting: window::Cutting,
    },
    Sequence {
        per: Vec<Expr>,
    },
    /// Reported as wrong; whether it was meant to be a window.
    Wrong,
}

fn cut(cx: &mut Checker<'_>, scope: &mut Scope, rule: &ast::Rule) -> Cut {
    if let Some(written) = sequence::of(rule) {
        let fine = sequence::declare(cx, scope, rule, written);
        let per = match link::of_per(cx, scope, rule, written.per) {
            Some(_) => None,
            None => per(cx, scope, rule, written.per, false),
        };
        return match per {
            Some(per) if fine => Cut::Sequence { per },
            _ => Cut::Wrong,
        };
    }
    let linked = link::of_per(cx, scope, rule, &rule.per);
    let (per, link) = match linked {
        Some(Some((id, per))) => (Some(per), Some(id)),
        Some(None) => (None, None),
        None => (per(cx, scope, rule, &rule.per, true), None),
    };
    let Some(over) = &rule.over else {
        if let Some(first) = rule.per.first() {
            let message = "`per` makes groups over time, but there is no `over`".to_string();
            conflict(cx, first.span, message, "add `over 24h` behind `per`, or take `per` out".to_string());
            return Cut::Wrong;
        }
        let aggregate = rule.lets.iter().map(|l| &l.value).chain(&rule.when).find_map(call::first_aggregate);
        if let Some(aggregate) = aggregate {
            let message = format!("`{}` counts over a window, but there is no `over`", aggregate.text);
            conflict(
                cx,
                aggregate.span,
                message,
                "add `over 24h` before it, and `per account` for a count of each account".to_string(),
            );
            return Cut::Wrong;
        }
        return Cut::Single;
    };
    let window = window::lower(cx, over);
    match (per, window) {
        (Some(per), Some(cutting)) => Cut::Window { per, link, cutting },
        _ => Cut::Wrong,
    }
}

/// The parts of a group; `several` says whether one of which an event has several values can be among them.
fn per(
    cx: &mut Checker<'_>,
    scope: &mut Scope,
    rule: &ast::Rule,
    written: &[ast::Expr],
    several: bool,
) -> Option<Vec<Expr>> {
    let mut parts = Vec::new();
    let mut complete = true;
    if written.len() > limits::KEY_PARTS_MAX {
        let message = format!("more than {} parts of a group", limits::KEY_PARTS_MAX);
        cx.report(Diagnostic::new(Code::TOO_MANY, rule.name.span, message).help("group by fewer values"));
        return None;
    }
    for e in written {
        let lowered = scope.within(Place::Event, |scope| expr::value(cx, scope, e));
        let lowered = lowered.and_then(|k| if several { keys::part(cx, k) } else { call::single(cx, k) });
        let shown = wording::text(e);
        let ty = lowered.as_ref().map_or(Type::String, |k| hir::key_type(k).clone());
        if scope.keys.iter().any(|(text, _)| *text == shown) {
            let message = format!("`{shown}` stands twice in `per`");
            cx.report(Diagnostic::new(Code::DUPLICATE_NAME, e.span, message).help("name it once"));
            complete = false;
            continue;
        }
        scope.keys.push((shown, ty));
        match lowered {
            Some(part) => parts.push(part),
            None => complete = false,
        }
    }
    (complete && keys::one_of_several(cx, &parts, written)).then_some(parts)
}

/// Lowers the rule's own `let`s in the order of their use; gives whether all are right.
fn lets(cx: &mut Checker<'_>, scope: &mut Scope, rule: &ast::Rule, poisoned: bool) -> bool {
    let mut complete = true;
    let mut known: Vec<&ast::Let> = Vec::new();
    for item in &rule.lets {
        let first = known
            .iter()
            .find(|l| l.name.text == item.name.text)
            .map(|l| l.name.span)
            .or_else(|| cx.names.place(&item.name.text));
        let problem = match (names::reserved(&item.name.text, item.name.span), first) {
            (Some(reserved), _) => Some(reserved),
            (None, Some(first)) => Some(names::duplicate(&item.name, first)),
            (None, None) => None,
        };
        if let Some(problem) = problem {
            cx.report(problem);
            complete = false;
        }
        if !known.iter().any(|l| l.name.text == item.name.text) {
            known.push(item);
        }
    }
    for item in &known {
        scope.lets.insert(item.name.text.clone(), None);
    }
    if poisoned {
        return false;
    }
    for i in order::sorted(cx, &known) {
        let Some(item) = known.get(i) else { continue };
        let used = scope.used.clone();
        let lowered = expr::value(cx, scope, &item.value).and_then(|e| order::bounded(cx, e, &item.name));
        // Use by another `let` counts only if that one is used: see below.
        scope.used = used;
        scope.lets.insert(item.name.text.clone(), lowered);
    }
    complete && scope.lets.values().all(Option::is_some)
}

/// Lowers a rule; `what` is what its block is called.
pub(super) fn lower(cx: &mut Checker<'_>, rule: &ast::Rule, what: &str) -> Option<Rule> {
    let before = cx.out.len();
    let enforces = enforces(cx, &rule.enforces, &rule.name, what);
    let severity = word(cx, rule.severity.as_ref(), "severity", Severity::ALL, Severity::word);
    let confidence = word(cx, rule.confidence.as_ref(), "confidence", Confidence::ALL, Confidence::word);
    let mode = word(cx, rule.mode.as_ref(), "mode", Mode::ALL, Mode::word);
    let changed = word(cx, rule.changed.as_ref(), "fate of a changed rule", Changed::ALL, Changed::word);

    let steps = sequence::of(rule);
    let windowed = rule.over.is_some() && steps.is_none();
    let mut scope = Scope::new(match steps {
        Some(_) => Place::Match,
        None if windowed => Place::Window,
        None => Place::Event,
    });
    let cut = cut(cx, &mut scope, rule);
    if let Cut::Window { cutting, .. } = &cut {
        scope.window = Some(*cutting);
    }
    let lets = lets(cx, &mut scope, rule, matches!(cut, Cut::Wrong) && !windowed && steps.is_none());
    let on = on(cx, &mut scope, rule);
    let sequence = steps.and_then(|written| sequence::lower(cx, &mut scope, rule, written));
    let when = match &rule.when {
        Some(_) if matches!(cut, Cut::Wrong) && !windowed => None,
        Some(_) if steps.is_some() => None,
        Some(when) => expr::condition(cx, &mut scope, when).map(Some),
        None if windowed => {
            missing(cx, rule, "when", "say when it is a violation: `when accounts >= 20`");
            None
        }
        None => Some(None),
    };
    let exceptions: Vec<_> = rule.exceptions.iter().map(|e| actions::exception(cx, &mut scope, e)).collect();
    let acts: Vec<_> = rule.actions.iter().map(|a| actions::action(cx, a)).collect();
    let rollout = rule.rollout.as_ref().map(|r| actions::rollout(cx, r));
    let parts: &[Expr] = match &cut {
        Cut::Window { per, .. } | Cut::Sequence { per } => per,
        _ => &[],
    };
    let text = match &rule.because {
        Some(written) => because::lower(cx, &mut scope, parts, written),
        None => {
            missing(
                cx,
                rule,
                "because",
                "say what was found, with values in braces: `because \"{accounts} accounts …\"`",
            );
            None
        }
    };
    tests::check(cx, &mut scope, rule);
    lints::run(cx, rule, &scope);
    let shape = match cut {
        Cut::Single => Some(Shape::Single),
        Cut::Window { per, link, cutting: window::Cutting { length, step, gap } } => {
            when.clone().flatten().and_then(|when| {
                let aggregates: Vec<hir::Aggregate> = scope.aggregates.iter().map(|(_, a)| a.clone()).collect();
                if !expr_uses_aggregate(&when) && !link::looks_at_link(&when) {
                    let span = rule.when.as_ref().map_or(rule.span, |w| w.span);
                    let message = "this condition counts nothing over the window".to_string();
                    conflict(
                        cx,
                        span,
                        message,
                        "use an aggregate: `when count() >= 10`; or take `per` and `over` out".to_string(),
                    );
                    return None;
                }
                if link.is_some() {
                    let fine = link::check_rule(cx, &scope, rule, step, &aggregates);
                    return fine.then_some(Shape::Windowed(Windowed {
                        per,
                        link,
                        only: Vec::new(),
                        length,
                        step,
                        gap,
                        aggregates,
                        when,
                    }));
                }
                let growing = growing::is_growing(&when, &aggregates);
                if !actions::block_needs_growth(cx, rule, growing) {
                    return None;
                }
                let shape = Windowed { per, link, only: Vec::new(), length, step, gap, aggregates, when };
                let fine = !shape.merges()
                    || (keys::enough_events(cx, rule, &shape.when, &shape.aggregates)
                        & keys::no_baselines(cx, &shape.aggregates));
                fine.then_some(Shape::Windowed(shape))
            })
        }
        Cut::Sequence { per } => sequence.map(|s| Shape::Sequence(hir::Sequence { per, ..s })),
        Cut::Wrong => None,
    };
    let (mut kinds, mut filter) = on?;
    let mut shape = shape?;
    if let Shape::Windowed(w) = &mut shape {
        (filter, w.only) = keys::tests(&w.per, filter);
    }
    let when = when?;
    if let (Shape::Single, Some(when)) = (&shape, when) {
        filter = Some(match filter {
            None => when,
            Some(filter) => both(filter, when),
        });
    }
    if let Shape::Sequence(s) = &shape {
        kinds = s.steps.iter().flat_map(|step| step.kinds.iter().copied()).collect();
        kinds.sort();
        kinds.dedup();
    }
    let values = rule.lets.iter().map(|l| {
        let value = scope.lets.get(&l.name.text).cloned().flatten()?;
        Some((l.name.text.clone(), value.expr))
    });
    let lowered = Rule {
        name: rule.name.text.clone(),
        enforces: enforces?,
        severity: severity?.unwrap_or(Severity::Medium),
        confidence: confidence?.unwrap_or(Confidence::Medium),
        mode: mode?.unwrap_or(Mode::Shadow),
        kinds,
        filter,
        shape,
        lets: values.collect::<Option<Vec<_>>>()?,
        exceptions: exceptions.into_iter().collect::<Option<Vec<_>>>()?,
        actions: acts.into_iter().collect::<Option<Vec<_>>>()?,
        cooldown: rule.cooldown.as_ref().map(|d| d.value),
        budget: rule.budget.as_ref().map(|n| n.value),
        rollout,
        changed: changed?,
        because: text?,
        mistaken_for: rule.mistaken_for.iter().map(|t| t.value.clone()).collect(),
        limit: None,
        span: rule.span,
        definition: rule.span,
    };
    kept_text(cx, rule, &lowered);
    affordable(cx, rule, &lowered);
    memory::check_rule(cx, rule, &lowered);
    let wrong = cx.out.get(before..).is_some_and(crate::diagnostic::has_errors);
    (lets && !wrong).then_some(lowered)
}

/// The comparison with its sides exchanged.
pub(super) fn mirrored(op: hir::Compare) -> hir::Compare {
    use hir::Compare as C;
    match op {
        C::Less => C::Greater,
        C::LessEqual => C::GreaterEqual,
        C::Greater => C::Less,
        C::GreaterEqual => C::LessEqual,
        same => same,
    }
}

fn expr_uses_aggregate(e: &Expr) -> bool {
    let mut found = false;
    e.walk(&mut |x| found |= matches!(x.kind, ExprKind::Aggregate(_)));
    found
}

/// `a and b`, flat.
fn both(a: Expr, b: Expr) -> Expr {
    let span = if a.span.source == b.span.source { a.span.to(b.span) } else { a.span };
    let mut all = Vec::new();
    for e in [a, b] {
        match e.kind {
            ExprKind::And(inner) => all.extend(inner),
            _ => all.push(e),
        }
    }
    expr::node(Type::Bool, ExprKind::And(all), span)
}

/// Refuses values and groups that would write what was said into the log.
fn kept_text(cx: &mut Checker<'_>, rule: &ast::Rule, lowered: &Rule) {
    let mut refuse = |e: &Expr, span: crate::source::Span, what: &str| {
        if let Some(field) = because::content(e, &[]) {
            let message = format!("{what} would write the text of `{field}` into the log");
            let label = "what was said is not kept";
            let help = format!("use what can be told of it: a test on it, or its length, `length({field})`");
            cx.report(Diagnostic::new(Code::CONTENT_IN_TEXT, span, message).label(label).help(help));
        }
    };
    if matches!(lowered.shape, Shape::Single) {
        for ((name, e), written) in lowered.lets.iter().zip(&rule.lets) {
            refuse(e, written.name.span, &format!("the value `{name}`"));
        }
    }
    let per: &[Expr] = match &lowered.shape {
        Shape::Single => &[],
        Shape::Windowed(w) => &w.per,
        Shape::Sequence(s) => &s.per,
    };
    per.iter().for_each(|e| refuse(e, e.span, "this group"));
}

/// Refuses a rule whose groups would be too large.
fn affordable(cx: &mut Checker<'_>, rule: &ast::Rule, lowered: &Rule) {
    let cost = cost::cost(lowered);
    if cost.cells_per_key <= limits::CELLS_PER_KEY_MAX {
        return;
    }
    let span = rule.over.as_ref().map_or(rule.name.span, |o| o.span);
    let message = format!(
        "one group of `{}` would hold {} steps times {} aggregates, more than {} cells ({} KiB)",
        rule.name.text,
        cost.panes,
        cost.cells_per_key / cost.panes.max(1),
        limits::CELLS_PER_KEY_MAX,
        cost.bytes_per_key >> 10
    );
    cx.report(Diagnostic::new(Code::RULE_TOO_COSTLY, span, message).label("too many steps").help(match &rule.over {
        Some(ast::Over { window: ast::Window::Session { .. }, .. }) => {
            "shorten the session behind `at most`, lengthen its gap, or split the rule"
        }
        _ => "lengthen the step behind `every`, or split the rule",
    }));
}
