//! Links: their families, and what a rule that groups by one may say. A link with a mistake is left out; its uses are not
//! reported again.

use std::collections::BTreeSet;

use super::expr::{self, node};
use super::names::Meaning;
use super::scope::{LinkScope, Place, Scope};
use super::{Checker, because, call, later, limits, membership, wording};
use crate::diagnostic::{Code, Diagnostic};
use crate::event::FieldId;
use crate::hir::{
    Aggregate, Expr, ExprKind, Family, Function, LINK_CAP_DEFAULT, LINK_CAP_MAX, LINK_FAMILIES_MAX, Link, LinkId,
    LinkValue, Whose,
};
use crate::source::Span;
use crate::syntax::ast::{self, ActionVerb, Call};
use crate::time::Duration;
use crate::value::Type;

/// Declares all links; keys of tables and top-level `let`s are known.
pub(super) fn declare(cx: &mut Checker<'_>) {
    for (number, item) in cx.names.links.clone().into_iter().enumerate() {
        let Some(link) = lower(cx, item) else { continue };
        let id = LinkId(cx.program.links.len() as u32);
        cx.program.links.push(link);
        if let Some(place) = cx.names.link_ids.get_mut(number) {
            *place = Some(id);
        }
    }
}

fn lower(cx: &mut Checker<'_>, item: &ast::Link) -> Option<Link> {
    let before = cx.out.len();
    if item.of.text() != "account" {
        let (name, of) = (&item.name.text, item.of.text());
        let message = format!("a link is of accounts, not of `{of}`");
        let help = format!(
            "write `link {name} of account`; accounts with one `{of}` are tied by it: `tied by {of} within 30d`"
        );
        cx.report(Diagnostic::new(Code::WRONG_ARGUMENTS, item.of.span, message).label("write `account`").help(help));
    }
    if item.families.is_empty() && !cx.is_broken_name(&item.name.text) {
        let message = format!("the link `{}` is tied by nothing", item.name.text);
        let help = "add `tied by payment_fingerprint within 30d, ignoring values shared by more than 25 accounts`";
        cx.report(Diagnostic::new(Code::MISSING_SECTION, item.name.span, message).help(help));
    }
    if item.families.len() > LINK_FAMILIES_MAX {
        let message = format!("a link tied by {} things, the limit is {LINK_FAMILIES_MAX}", item.families.len());
        cx.report(Diagnostic::new(Code::TOO_MANY, item.name.span, message).help("keep those that tell the most"));
    }
    let mut families: Vec<Family> = Vec::new();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for written in &item.families {
        let lowered = family(cx, written);
        let shown = wording::text(&written.by);
        if !known.insert(shown.clone()) {
            let message = format!("`{shown}` ties twice");
            let help = "name it once; two accounts count as tied by one thing, however often it stands";
            cx.report(Diagnostic::new(Code::DUPLICATE_NAME, written.by.span, message).help(help));
        }
        families.extend(lowered);
    }
    let needs = needs(cx, item);
    let wrong = cx.out.get(before..).is_some_and(crate::diagnostic::has_errors);
    (!wrong && families.len() == item.families.len()).then_some(Link {
        name: item.name.text.clone(),
        families,
        needs: needs?,
        span: item.span,
    })
}

/// How many families it takes. One is not taken for granted where there are several: whoever shares one common value would
/// be glued to everybody.
fn needs(cx: &mut Checker<'_>, item: &ast::Link) -> Option<u32> {
    let n = item.families.len() as u64;
    match &item.needs {
        None if n <= 1 => Some(1),
        None if cx.is_broken_name(&item.name.text) => None,
        None => {
            let message = format!("the link `{}` does not say how many of its {n} families tie", item.name.text);
            let help = "add `needs at least 2 of these` as its last line; 1 ties whoever shares anything";
            cx.fail(Diagnostic::new(Code::MISSING_SECTION, item.name.span, message).help(help))
        }
        Some(k) if k.value == 0 || k.value > n.max(1) => {
            let message = format!("at least {} of {n} families", k.value);
            let label = if k.value == 0 { "ties everybody" } else { "ties nobody" };
            let help = match n {
                0 | 1 => "write 1, or add a family".to_string(),
                n => format!("write a number from 1 to {n}"),
            };
            cx.fail(Diagnostic::new(Code::WRONG_ARGUMENTS, k.span, message).label(label).help(help))
        }
        Some(k) => u32::try_from(k.value).ok(),
    }
}

fn family(cx: &mut Checker<'_>, written: &ast::Family) -> Option<Family> {
    let (of, within) = (value(cx, &written.by), within(cx, written));
    let cap = cap(cx, written);
    let used = match &written.used {
        Some(n) if n.value == 0 => cx.fail(
            Diagnostic::new(Code::WRONG_ARGUMENTS, n.span, "a value that is used at least 0 times")
                .help("write a number from 2, or leave `used at least …` out"),
        ),
        Some(n) => Some(n.value),
        None => Some(1),
    };
    let of = of?;
    let lists: Vec<_> = written.ignoring.iter().map(|path| list(cx, &written.by, &of, path)).collect();
    Some(Family {
        name: wording::text(&written.by),
        ignoring: lists.into_iter().collect::<Option<Vec<_>>>()?,
        of,
        within: within?,
        used: used?,
        cap: cap?,
    })
}

/// What ties: a value of single events, which may be several.
fn value(cx: &mut Checker<'_>, written: &ast::Expr) -> Option<Expr> {
    let e = expr::value(cx, &mut Scope::new(Place::Event), written)?;
    let shown = wording::text(written);
    let wrong = |message: String, help: &str| Diagnostic::new(Code::WRONG_ARGUMENTS, e.span, message).help(help);
    if expr::is_constant(&e) {
        let message = format!("`{shown}` is the same for all events");
        return cx
            .fail(wrong(message, "name a value of events, such as `payment_fingerprint`").label("ties everybody"));
    }
    if matches!(e.kind, ExprKind::Field(FieldId::ACCOUNT)) {
        let message = "accounts cannot be tied by `account`, which no two of them share".to_string();
        return cx
            .fail(wrong(message, "name what they might share, such as `payment_fingerprint`").label("ties nobody"));
    }
    if *membership::item_type(&e.ty) == Type::Bool {
        let message = format!("`{shown}` is true or false, and would tie half of all accounts");
        return cx.fail(wrong(message, "name a value that few accounts share"));
    }
    if e.asks_memory() {
        let message = format!("`{shown}` asks memory, and a tie is a value that two accounts share");
        return cx.fail(wrong(message, "name the value that is asked for; `within` says how long it counts"));
    }
    if let Some(field) = because::content(&e, &[]) {
        let message = format!("this tie would write the text of `{field}` into the log");
        let help = format!("tie by its fingerprints, `template({field})`, or by its hash, `{field}_hash`");
        let kept = Diagnostic::new(Code::CONTENT_IN_TEXT, e.span, message).label("what was said is not kept");
        return cx.fail(kept.help(help));
    }
    Some(e)
}

fn within(cx: &mut Checker<'_>, written: &ast::Family) -> Option<Duration> {
    let n = written.within.value;
    let (problem, best) = if n < limits::STEP_MIN {
        (format!("a tie within {n} is shorter than {}", limits::STEP_MIN), limits::STEP_MIN)
    } else if n > limits::WINDOW_MAX {
        (format!("a tie within {n} is longer than {}", limits::WINDOW_MAX), limits::WINDOW_MAX)
    } else {
        return Some(n);
    };
    cx.fail(Diagnostic::new(Code::BAD_WINDOW, written.within.span, problem).help(format!("write `within {best}`")))
}

fn cap(cx: &mut Checker<'_>, written: &ast::Family) -> Option<u32> {
    let Some(cap) = &written.cap else { return Some(LINK_CAP_DEFAULT) };
    match u32::try_from(cap.value) {
        Ok(n) if (2..=LINK_CAP_MAX).contains(&n) => Some(n),
        Ok(n) if n < 2 => {
            let message = format!("values shared by more than {n} accounts are ignored, and so all that could tie");
            cx.fail(
                Diagnostic::new(Code::WRONG_ARGUMENTS, cap.span, message)
                    .label("ties nobody")
                    .help("write how many accounts may honestly share one value: `shared by more than 25 accounts`"),
            )
        }
        _ => {
            let message = format!("values shared by {} accounts, the limit is {LINK_CAP_MAX}", cap.value);
            let help =
                format!("write `shared by more than {LINK_CAP_MAX} accounts` or less: every two of them are tied");
            cx.fail(Diagnostic::new(Code::RULE_TOO_COSTLY, cap.span, message).help(help))
        }
    }
}

/// A list whose values tie nobody; of a type that the values could have.
fn list(cx: &mut Checker<'_>, by: &ast::Expr, of: &Expr, path: &ast::Path) -> Option<crate::hir::ListId> {
    let id = membership::list(cx, path)?;
    let shown = wording::text(by);
    membership::in_list(cx, of.clone(), &shown, id, path.span, path.span).map(|_| id)
}

/// The link that stands alone in `per`, if one does; `None` where `per` names none. Mistakes are reported, and give
/// `Some(None)`.
pub(super) fn of_per(cx: &mut Checker<'_>, scope: &mut Scope, rule: &ast::Rule, written: &[ast::Expr]) -> Option<Per> {
    let named = |e: &ast::Expr| match &e.kind {
        ast::ExprKind::Path(path) => match path.parts.as_slice() {
            [name] => match cx.names.get(&name.text) {
                Some(Meaning::Link(number)) => Some((number, name.text.clone(), name.span)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    let (number, name, span) = written.iter().find_map(named)?;
    if let [other, ..] = written.iter().filter(|e| named(e).is_none()).collect::<Vec<_>>().as_slice() {
        let what = format!("`per {name}` beside `{}`", wording::text(other));
        let help = format!("group by `{name}` alone, and look at the other with `where` or `distinct`");
        cx.report(later::diagnostic(other.span, &what).help(help));
        return Some(None);
    }
    if written.len() > 1 {
        let message = format!("`{name}` stands beside another link in `per`");
        cx.report(Diagnostic::new(Code::DUPLICATE_NAME, span, message).help("group by one of them"));
        return Some(None);
    }
    if super::sequence::of(rule).is_some() {
        let what = format!("a sequence `per {name}`");
        let help = "write the sequence per `account`, or count the steps with `over` and `count() where …`";
        cx.report(later::diagnostic(span, &what).help(help));
        return Some(None);
    }
    if let Some(ast::Over { window: ast::Window::Session { .. }, span: over }) = &rule.over {
        let what = format!("sessions `per {name}`");
        cx.report(later::diagnostic(*over, &what).help("write `over 24h`, or group by `account`"));
        return Some(None);
    }
    let id = cx.names.link_ids.get(number).copied().flatten();
    let families = id.and_then(|id| cx.program.links.get(id.0 as usize));
    let families = families.map(|l| l.families.iter().map(|f| (f.name.clone(), f.within)).collect());
    scope.link = Some(LinkScope { name: name.clone(), families });
    scope.keys.push((name, Type::String));
    Some(id.map(|id| (id, vec![node(Type::String, ExprKind::Field(FieldId::ACCOUNT), span)])))
}

/// A link and the parts of the key; `None` where that was reported as wrong.
pub(super) type Per = Option<(LinkId, Vec<Expr>)>;

/// `link.members`, `link.families`.
pub(super) fn value_of(cx: &mut Checker<'_>, scope: &Scope, what: &str, span: Span) -> Option<Expr> {
    if scope.link.is_none() || scope.place != Place::Window {
        let message = format!("`link.{what}` says something of a link group, but there is none here");
        let help = "write it in `let`, `when` or `because` of a rule that groups by a link: `per operator`";
        return cx.fail(Diagnostic::new(Code::UNKNOWN_NAME, span, message).label("no link group").help(help));
    }
    match what {
        "members" => Some(node(Type::Integer, ExprKind::Link(LinkValue::Members), span)),
        "families" => Some(node(Type::String, ExprKind::Link(LinkValue::Families), span)),
        _ => {
            let message = format!("a link group has no `{what}`");
            let help = "write `link.members`, `link.families`, or `tied_share(payment_fingerprint)`";
            cx.fail(Diagnostic::new(Code::UNKNOWN_NAME, span, message).label("unknown").help(help))
        }
    }
}

/// `tied_share(payment_fingerprint)`: the family by the text that it has in the link.
pub(super) fn tied_share(cx: &mut Checker<'_>, scope: &Scope, c: &Call, span: Span) -> Option<Expr> {
    let Some(link) = scope.link.as_ref().filter(|_| scope.place == Place::Window) else {
        let message = "`tied_share` looks at a link group, but there is none here";
        let help = "write it in `let` or `when` of a rule that groups by a link: `per operator`";
        return cx.fail(Diagnostic::new(Code::AGGREGATE_HERE, c.name.span, message).label("no link group").help(help));
    };
    let families: Vec<String> = link.families.as_ref()?.iter().map(|(name, _)| name.clone()).collect();
    let shown = match c.args.as_slice() {
        [ast::Arg::Value(e)] if c.filter.is_none() => wording::text(e),
        _ => String::new(),
    };
    if let Some(at) = families.iter().position(|f| *f == shown) {
        return Some(node(Type::Percentage, ExprKind::Link(LinkValue::TiedShare(at as u16)), span));
    }
    let known: Vec<&str> = families.iter().map(String::as_str).collect();
    let message = match shown.as_str() {
        "" => "`tied_share` takes one family of the link".to_string(),
        shown => format!("`{}` is not tied by `{shown}`", link.name),
    };
    let help = format!("write one of {}, as it stands behind `tied by`", super::names::quoted(&known));
    cx.fail(Diagnostic::new(Code::WRONG_ARGUMENTS, span, message).help(help))
}

/// What a rule that groups by a link must keep to beside its expressions. The steps are the moments at which accounts are
/// grouped, so the window of a family is made of whole steps.
pub(super) fn check_rule(
    cx: &mut Checker<'_>,
    scope: &Scope,
    rule: &ast::Rule,
    step: Duration,
    aggregates: &[Aggregate],
) -> bool {
    let Some(link) = &scope.link else { return true };
    let before = cx.out.len();
    for (family, within) in link.families.iter().flatten() {
        let n = step.0.max(1);
        let (problem, help) = if within.0 % n != 0 {
            let name = &link.name;
            let problem =
                format!("a step of {step} does not divide the {within} in which `{name}` is tied by `{family}`");
            (problem, "write a step that divides the times of the link, such as `every 15m`")
        } else if within.0 / n > limits::STEPS_MAX {
            let steps = within.0 / n;
            let name = &link.name;
            let most = limits::STEPS_MAX;
            let problem = format!(
                "the {within} in which `{name}` is tied by `{family}` would have {steps} steps of {step}, more than {most}"
            );
            (problem, "lengthen the step behind `every`, or shorten the time behind `within`")
        } else {
            continue;
        };
        let span = rule.over.as_ref().map_or(rule.name.span, |o| o.span);
        cx.report(Diagnostic::new(Code::BAD_WINDOW, span, problem).help(help));
    }
    for a in aggregates.iter().filter(|a| !merges(&a.function)) {
        let word = a.function.word();
        let what = format!("`{word}` over the accounts of a link group");
        let help = format!("it cannot be put together from single accounts; group by `account`, or leave `{word}` out");
        cx.report(later::diagnostic(a.span, &what).help(help));
    }
    for a in rule.actions.iter().filter(|a| !a.after_review && matches!(a.verb, ActionVerb::Block(_))) {
        let message = "a block at once, but which accounts belong together is known only when a step has closed";
        cx.report(
            Diagnostic::new(Code::BLOCK_NEEDS_REVIEW, a.span, message)
                .label("nobody would look at it before")
                .help("write `action after review: block …`"),
        );
    }
    cx.out.len() == before
}

/// Whether what single accounts came to gives what they come to together.
fn merges(function: &Function) -> bool {
    match function {
        Function::Count
        | Function::Sum(_)
        | Function::Min(_)
        | Function::Max(_)
        | Function::Average(_)
        | Function::Distinct { .. }
        | Function::Share(_)
        | Function::Quantile(..)
        | Function::Spread(_)
        | Function::TopShare(..)
        | Function::Entropy(_)
        | Function::Rate => true,
        // What the accounts came to in earlier windows is kept of each.
        Function::Baseline(b) => matches!(b.whose, Whose::Own),
        // Who stood beside whom in time is not known of accounts apart.
        Function::First(_) | Function::Last(_) | Function::LongestIdle | Function::TopSpeed(_) => false,
    }
}

/// The message about a link where a value is needed.
pub(super) fn no_value(name: &ast::Name) -> Diagnostic {
    Diagnostic::new(Code::TYPE_MISMATCH, name.span, format!("`{}` is a link, not a value", name.text))
        .label("a link")
        .help(format!("group by it: `per {}`", name.text))
}

/// The parts of a name such as `link.families` in a text.
pub(super) fn in_text(cx: &mut Checker<'_>, scope: &Scope, name: &str, span: Span) -> Option<Option<Expr>> {
    let (head, what) = name.split_once('.')?;
    (head.trim() == "link").then(|| value_of(cx, scope, what.trim(), span))
}

/// Whether a condition looks at the link group.
pub(super) fn looks_at_link(e: &Expr) -> bool {
    let mut found = false;
    e.walk(&mut |x| found |= matches!(x.kind, ExprKind::Link(_)));
    found
}

/// Whether a name is that of a function on link groups.
pub(super) fn is_call(c: &Call) -> bool {
    c.name.text == call::TIED_SHARE
}
