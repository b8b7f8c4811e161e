//! Rules and their sections: what is looked at, how time is cut, what is excepted, what should be done.

use nom::Parser;
use nom::sequence::preceded;

use super::block::{Block, many, mistake, once};
use super::cursor::{
    Cursor, Parsed, after, commas, count, dated, duration, keep, keyword, name, named, path_to, percentage, phrase,
    symbol, text,
};
use super::expr::{expr, value};
use super::item::named_expression;
use super::test::test;
use crate::source::Span;
use crate::syntax::ast::{Action, ActionVerb, Exception, Name, On, OnWhat, Over, Rule, Scope, Step, Window};
use crate::syntax::lexer::{Kind, Symbol};

const RULE: Block = Block {
    what: "a rule",
    sections: &[
        once("enforces"),
        once("severity"),
        once("confidence"),
        once("mode"),
        once("on"),
        once("per"),
        once("over"),
        many("let"),
        once("when"),
        many("except"),
        many("action"),
        once("cooldown"),
        once("budget"),
        once("rollout"),
        once("changed"),
        once("because"),
        once("mistaken"),
        many("test"),
    ],
};

pub(super) fn rule(start: Cursor<'_>) -> Parsed<'_, Rule> {
    let (i, rule_name) = rule_name(start.skip(1))?;
    let (i, open) = symbol(Symbol::OpenBrace)(i)?;
    let mut rule = blank(rule_name, open);
    let before = i.reported();
    let (i, outcome) = RULE.read(i, start, open, |i, word| section(i, word, &mut rule));
    if outcome.broken || i.reported() > before {
        i.broken(&rule.name);
    }
    rule.span = i.since(start);
    Ok((i, rule))
}

/// A rule without any section.
pub(super) fn blank(name: Name, span: Span) -> Rule {
    Rule {
        name,
        enforces: Vec::new(),
        severity: None,
        confidence: None,
        mode: None,
        on: None,
        per: Vec::new(),
        over: None,
        lets: Vec::new(),
        when: None,
        exceptions: Vec::new(),
        actions: Vec::new(),
        cooldown: None,
        budget: None,
        rollout: None,
        changed: None,
        because: None,
        mistaken_for: Vec::new(),
        tests: Vec::new(),
        span,
    }
}

/// The name of a rule. Where it is missing or in quotes that is reported, and the rule is read all the same.
fn rule_name(i: Cursor<'_>) -> Parsed<'_, Name> {
    match name(i) {
        Ok(found) => Ok(found),
        Err(error) => {
            let quoted = matches!(i.kind(), Kind::Text(_));
            let behind = if quoted { i.skip(1) } else { i };
            match mistake(error) {
                Some(mistake) if behind.is(Symbol::OpenBrace) => {
                    i.report_mistake(mistake);
                    Ok((behind, Name { text: String::new(), span: i.span() }))
                }
                _ => Err(i.expected("the name of the rule")),
            }
        }
    }
}

/// Sets a list that may be written once.
fn fill<T>(slot: &mut Vec<T>, values: Vec<T>) {
    if slot.is_empty() {
        *slot = values;
    }
}

/// Reads a section that rules and limits have.
pub(super) fn section<'a>(i: Cursor<'a>, word: &str, rule: &mut Rule) -> Parsed<'a, ()> {
    let inside = i.skip(1);
    match word {
        "enforces" => commas(path_to("a clause such as `provider.document.clause`"))(inside)
            .map(|(i, v)| (i, fill(&mut rule.enforces, v))),
        "severity" => named("`low`, `medium` or `high`")(inside).map(|(i, v)| (i, keep(&mut rule.severity, v))),
        "confidence" => named("`low`, `medium` or `high`")(inside).map(|(i, v)| (i, keep(&mut rule.confidence, v))),
        "mode" => named("`shadow`, `flag` or `enforce`")(inside).map(|(i, v)| (i, keep(&mut rule.mode, v))),
        "on" => on(i).map(|(i, v)| (i, keep(&mut rule.on, v))),
        "per" => commas(value)(inside).map(|(i, v)| (i, fill(&mut rule.per, v))),
        "over" => over(i).map(|(i, v)| (i, keep(&mut rule.over, v))),
        "let" => named_expression(i).map(|(i, v)| (i, rule.lets.push(v))),
        "when" => expr(inside).map(|(i, v)| (i, keep(&mut rule.when, v))),
        "except" => exception(i).map(|(i, v)| (i, rule.exceptions.push(v))),
        "action" => action(i).map(|(i, v)| (i, rule.actions.push(v))),
        "cooldown" => duration(inside).map(|(i, v)| (i, keep(&mut rule.cooldown, v))),
        "budget" => {
            let (i, v) = count(inside)?;
            let (i, _) = phrase(&["per", "day"])(i)?;
            Ok((i, keep(&mut rule.budget, v)))
        }
        "rollout" => percentage(inside).map(|(i, v)| (i, keep(&mut rule.rollout, v))),
        "changed" => named("`reset`, `keep` or `backfill`")(inside).map(|(i, v)| (i, keep(&mut rule.changed, v))),
        "because" => text("a reason in quotes")(inside).map(|(i, v)| (i, keep(&mut rule.because, v))),
        "mistaken" => {
            let (i, v) = preceded(keyword("for"), commas(text("an innocent use in quotes"))).parse(inside)?;
            Ok((i, fill(&mut rule.mistaken_for, v)))
        }
        _ => test(i).map(|(i, v)| (i, rule.tests.push(v))),
    }
}

pub(super) fn on(start: Cursor<'_>) -> Parsed<'_, On> {
    let i = start.skip(1);
    if i.word() == "sequence" && matches!(i.word_at(1), "per" | "within") {
        let (i, what) = sequence(i)?;
        return Ok((i, On { span: i.since(start), what }));
    }
    let (mut i, first) = kind(i)?;
    let mut kinds = Vec::new();
    kinds.extend(first);
    while i.word() == "or" && !kinds.is_empty() {
        let (rest, next) = named("a kind of event such as `completion`")(i.skip(1))?;
        kinds.push(next);
        i = rest;
    }
    let (i, filter) = after("where", expr)(i)?;
    Ok((i, On { span: i.since(start), what: OnWhat::Events { kinds, filter } }))
}

/// A kind of event; nothing for `any event`.
fn kind(i: Cursor<'_>) -> Parsed<'_, Option<Name>> {
    if i.word() == "any" {
        return phrase(&["any", "event"])(i).map(|(i, _)| (i, None));
    }
    named("a kind of event such as `completion`, or `any event`")(i).map(|(i, k)| (i, Some(k)))
}

const SEQUENCE: Block = Block { what: "a sequence", sections: &[once("first"), many("then")] };

fn sequence(start: Cursor<'_>) -> Parsed<'_, OnWhat> {
    let (i, per) = preceded(keyword("per"), commas(value)).parse(start.skip(1))?;
    let (i, within) = preceded(keyword("within"), duration).parse(i)?;
    let (i, open) = symbol(Symbol::OpenBrace)(i)?;
    let mut steps = Vec::new();
    let (i, outcome) = SEQUENCE.read(i, start, open, |i, _| step(i).map(|(i, s)| (i, steps.push(s))));
    let begins = outcome.has(&SEQUENCE, "first");
    if !outcome.broken && (steps.len() < 2 || !begins) {
        let close = i.previous().map_or(open, |t| i.span_of(t));
        let d = crate::diagnostic::Diagnostic::new(
            crate::diagnostic::Code::UNEXPECTED_TOKEN,
            if begins { close } else { open },
            "a sequence begins with `first` and has at least one `then`",
        )
        .label(if begins { "expected `then`" } else { "expected `first` behind it" })
        .help("write `first completion where …` and on the next line `then completion where …`");
        i.report(d);
    }
    Ok((i, OnWhat::Sequence { per, within, steps }))
}

fn step(start: Cursor<'_>) -> Parsed<'_, Step> {
    let i = start.skip(1);
    let absent = start.word() == "then" && i.word() == "no";
    let (i, kind) = kind(if absent { i.skip(1) } else { i })?;
    let (i, label) = after("as", name)(i)?;
    let (i, filter) = after("where", expr)(i)?;
    let (i, within) = after("within", duration)(i)?;
    let (i, times) = at_least_times(i)?;
    let (i, within) = if within.is_none() { after("within", duration)(i)? } else { (i, within) };
    Ok((i, Step { absent, kind, label, filter, within, times, span: i.since(start) }))
}

fn at_least_times(i: Cursor<'_>) -> Parsed<'_, Option<crate::syntax::ast::At<u64>>> {
    if i.word() != "at" {
        return Ok((i, None));
    }
    let (i, n) = preceded(phrase(&["at", "least"]), count).parse(i)?;
    times_word(i).map(|(i, ())| (i, Some(n)))
}

/// `times`, or `time` behind a one.
pub(super) fn times_word(i: Cursor<'_>) -> Parsed<'_, ()> {
    if matches!(i.word(), "times" | "time") { Ok((i.skip(1), ())) } else { Err(i.expected_word(&["times"])) }
}

pub(super) fn over(start: Cursor<'_>) -> Parsed<'_, Over> {
    let i = start.skip(1);
    let (i, window) = match i.word() {
        "each" => duration(i.skip(1)).map(|(i, length)| (i, Window::Tumbling { length }))?,
        "sessions" => {
            let (i, gap) = preceded(phrase(&["sessions", "with", "gaps", "of"]), duration).parse(i)?;
            let (i, most) = if i.word() == "at" {
                preceded(phrase(&["at", "most"]), duration).parse(i).map(|(i, d)| (i, Some(d)))?
            } else {
                (i, None)
            };
            (i, Window::Session { gap, most })
        }
        _ => {
            let (i, length) = duration(i)?;
            let (i, every) = after("every", duration)(i)?;
            (i, Window::Sliding { length, every })
        }
    };
    Ok((i, Over { span: i.since(start), window }))
}

fn exception(start: Cursor<'_>) -> Parsed<'_, Exception> {
    let (i, filter) = preceded(phrase(&["events", "where"]), expr).parse(start.skip(1))?;
    let margin = start.column(start.token());
    let mut e =
        Exception { filter, because: None, owner: None, evidence: None, from: None, until: None, span: start.span() };
    let mut i = i;
    loop {
        let inside = i.skip(1);
        i = match i.word() {
            // On a line of its own, no further in than `except`, it is the reason of the rule.
            "because" if i.token().first && i.column(i.token()) <= margin => break,
            "because" if e.because.is_none() => {
                text("why, in quotes")(inside).map(|(i, t)| (i, keep(&mut e.because, t)))?.0
            }
            "owner" if e.owner.is_none() => {
                text("who answers for it, in quotes")(inside).map(|(i, t)| (i, keep(&mut e.owner, t)))?.0
            }
            "evidence" if e.evidence.is_none() => {
                text("a contract or ticket in quotes")(inside).map(|(i, t)| (i, keep(&mut e.evidence, t)))?.0
            }
            "from" if e.from.is_none() => dated("from")(i).map(|(i, d)| (i, e.from = d))?.0,
            "until" if e.until.is_none() => dated("until")(i).map(|(i, d)| (i, e.until = d))?.0,
            _ => break,
        };
    }
    e.span = i.since(start);
    Ok((i, e))
}

pub(super) fn action(start: Cursor<'_>) -> Parsed<'_, Action> {
    let mut i = start.skip(1);
    let after_review = i.word() == "after";
    if after_review {
        (i, _) = (phrase(&["after", "review"]), symbol(Symbol::Colon)).parse(i)?;
    }
    let mut delayed = None;
    if i.word() == "delayed" {
        let (rest, (_, d, _)) = (phrase(&["delayed", "by", "up", "to"]), duration, symbol(Symbol::Colon)).parse(i)?;
        (i, delayed) = (rest, Some(d));
    }
    let inside = i.skip(1);
    let (i, verb) = match i.word() {
        "alert" => text("the channel in quotes")(inside).map(|(i, t)| (i, ActionVerb::Alert(t)))?,
        "flag" => scope(inside).map(|(i, s)| (i, ActionVerb::Flag(s)))?,
        "challenge" => scope(inside).map(|(i, s)| (i, ActionVerb::Challenge(s)))?,
        "block" => scope(inside).map(|(i, s)| (i, ActionVerb::Block(s)))?,
        "throttle" => {
            let (i, s) = scope(inside)?;
            let (i, n) = preceded(keyword("to"), count).parse(i)?;
            let (i, d) = preceded(keyword("per"), duration).parse(i)?;
            (i, ActionVerb::Throttle(s, n, d))
        }
        _ => return Err(i.expected_word(&["alert", "flag", "throttle", "challenge", "block"])),
    };
    let (i, lasting) = after("for", duration)(i)?;
    Ok((i, Action { after_review, delayed, verb, duration: lasting, span: i.since(start) }))
}

fn scope(i: Cursor<'_>) -> Parsed<'_, Option<Scope>> {
    let scope = match i.word() {
        "account" => Scope::Account,
        "key" => Scope::Key,
        "org" => Scope::Org,
        "group" => Scope::Group,
        "" | "for" | "to" => return Ok((i, None)),
        _ if i.token().first => return Ok((i, None)),
        _ => return Err(i.expected_word(&["account", "key", "org", "group"])),
    };
    Ok((i.skip(1), Some(scope)))
}
