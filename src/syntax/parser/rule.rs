//! Rules: sections in a fixed order, each read on its own, so that a broken one costs only itself.

use nom::multi::separated_list1;
use nom::{Input, Parser};

use super::block;
use super::expr::{expr, sum};
use super::input::{Parsed, Tokens, after, count, date, duration, expected, name, symbol, text, word, words};
use super::item::{let_item, once, paths, percentage, unknown_entry};
use super::test::test;
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast::{Action, ActionVerb, At, Exception, On, OnWhat, Over, Rule, Scope, Step, Window};
use crate::syntax::token::Tok;
use crate::time::Duration;

/// Sections in the order in which they stand.
pub(super) const SECTIONS: [&str; 17] = [
    "enforces",
    "severity",
    "confidence",
    "mode",
    "on",
    "per",
    "over",
    "let",
    "when",
    "except",
    "action",
    "cooldown",
    "budget",
    "rollout",
    "because",
    "mistaken",
    "test",
];

/// A rule; `None` where not even its name could be read.
pub(super) fn rule(i: Tokens<'_>) -> Parsed<'_, Option<Rule>> {
    let (i, start) = word("rule")(i)?;
    let (i, rule_name) = name("the name of the rule")(i)?;
    let (i, open) = symbol("{")(i)?;
    let mut r = Rule {
        name: rule_name,
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
        because: None,
        mistaken_for: Vec::new(),
        tests: Vec::new(),
        span: start,
    };
    let mut last: Option<usize> = None;
    let i = block(i, open, &SECTIONS, |i| {
        let Tok::Name(w) = i.tok() else { return expected(i, "a section of a rule, or `}`") };
        let Some(at) = SECTIONS.iter().position(|s| s == w) else { return unknown_entry(i, "rule", &SECTIONS) };
        if let Some(before) = last.filter(|l| *l > at) {
            let before = SECTIONS.get(before).copied().unwrap_or("");
            let d = Diagnostic::new(Code::SECTION_ORDER, i.here(), format!("`{w}` stands behind `{before}`"))
                .help(format!("sections stand in this order: {}", SECTIONS.join(", ")));
            i.report(d);
        }
        last = Some(last.map_or(at, |l| l.max(at)));
        section(i, &mut r)
    });
    r.span = start.to(i.last);
    Ok((i, Some(r)))
}

fn section<'a>(i: Tokens<'a>, r: &mut Rule) -> Parsed<'a, ()> {
    let Tok::Name(w) = i.tok() else { return expected(i, "a section") };
    let inner = i.take_from(1);
    let done = |i| Ok((i, ()));
    match w.as_str() {
        "enforces" => {
            let (rest, p) = paths(inner)?;
            let mut slot = (!r.enforces.is_empty()).then_some(());
            once(i, &mut slot, (), w, i);
            r.enforces.extend(p);
            done(rest)
        }
        "severity" => {
            let (rest, n) = name("`info`, `low`, `medium`, `high` or `critical`")(inner)?;
            once(i, &mut r.severity, n, w, i);
            done(rest)
        }
        "confidence" => {
            let (rest, n) = name("`low`, `medium` or `high`")(inner)?;
            once(i, &mut r.confidence, n, w, i);
            done(rest)
        }
        "mode" => {
            let (rest, n) = name("`shadow`, `flag` or `enforce`")(inner)?;
            once(i, &mut r.mode, n, w, i);
            done(rest)
        }
        "on" => {
            let (rest, on) = section_on(i)?;
            once(i, &mut r.on, on, w, i);
            done(rest)
        }
        "per" => {
            let (rest, parts) = separated_list1(symbol(","), sum).parse(inner)?;
            let mut slot = (!r.per.is_empty()).then_some(());
            once(i, &mut slot, (), w, i);
            r.per.extend(parts);
            done(rest)
        }
        "over" => {
            let (rest, over) = section_over(i)?;
            once(i, &mut r.over, over, w, i);
            done(rest)
        }
        "let" => {
            let (rest, l) = let_item(i)?;
            r.lets.push(l);
            done(rest)
        }
        "when" => {
            let (rest, e) = expr(inner)?;
            once(i, &mut r.when, e, w, i);
            done(rest)
        }
        "except" => {
            let (rest, e) = exception(i)?;
            r.exceptions.push(e);
            done(rest)
        }
        "action" => {
            let (rest, a) = action(i)?;
            r.actions.push(a);
            done(rest)
        }
        "cooldown" => {
            let (rest, d) = duration("a duration such as `24h`")(inner)?;
            once(i, &mut r.cooldown, d, w, i);
            done(rest)
        }
        "budget" => {
            let (rest, n) = count("how many, such as `50`")(inner)?;
            let (rest, _) = words(&["per", "day"])(rest)?;
            once(i, &mut r.budget, n, w, i);
            done(rest)
        }
        "rollout" => {
            let (rest, p) = percentage(inner)?;
            once(i, &mut r.rollout, p, w, i);
            done(rest)
        }
        "because" => {
            let (rest, t) = text("the reason in quotes")(inner)?;
            once(i, &mut r.because, t, w, i);
            done(rest)
        }
        "mistaken" => {
            let (rest, _) = word("for")(inner)?;
            let (rest, all) = separated_list1(symbol(","), text("a look-alike in quotes")).parse(rest)?;
            r.mistaken_for.extend(all);
            done(rest)
        }
        _ => {
            let (rest, t) = test(i)?;
            r.tests.push(t);
            done(rest)
        }
    }
}

/// `on completion or request where …`, `on sequence per … within … { … }`
pub(super) fn section_on(i: Tokens<'_>) -> Parsed<'_, On> {
    let (i, start) = word("on")(i)?;
    if i.is_word("sequence") {
        let (i, what) = sequence(i.take_from(1))?;
        return Ok((i, On { what, span: start.to(i.last) }));
    }
    let (i, kinds) = if i.are_words(&["any", "event"]) {
        (i.take_from(2), Vec::new())
    } else {
        separated_list1(word("or"), name("a kind of event: `completion`, `request`, `signup`, `account`, `action`"))
            .parse(i)?
    };
    let (i, filter) = after(&["where"], expr)(i)?;
    Ok((i, On { what: OnWhat::Events { kinds, filter }, span: start.to(i.last) }))
}

fn sequence(i: Tokens<'_>) -> Parsed<'_, OnWhat> {
    let (i, _) = word("per")(i)?;
    let (i, per) = separated_list1(symbol(","), sum).parse(i)?;
    let (i, _) = word("within")(i)?;
    let (i, within) = duration("from the first to the last step, such as `60s`")(i)?;
    let (i, open) = symbol("{")(i)?;
    let mut steps = Vec::new();
    let starts = ["first", "then"];
    let i = block(i, open, &starts, |i| {
        if !i.is_word("first") && !i.is_word("then") {
            return unknown_entry(i, "sequence", &starts);
        }
        let (rest, s) = step(i)?;
        steps.push(s);
        Ok((rest, ()))
    });
    Ok((i, OnWhat::Sequence { per, within, steps }))
}

fn step(i: Tokens<'_>) -> Parsed<'_, Step> {
    let start = i.here();
    let i = i.take_from(1);
    let (i, absent) = after(&["no"], |i| Ok((i, ())))(i)?;
    let (i, times) = after(&["at", "least"], |i| {
        let (i, n) = count("how often, such as `3`")(i)?;
        let (i, _) = word("times")(i)?;
        Ok((i, n))
    })(i)?;
    let (i, kind) = if i.are_words(&["any", "event"]) {
        (i.take_from(2), None)
    } else {
        name("a kind of event").map(Some).parse(i)?
    };
    let (i, label) = after(&["as"], name("a name for the step"))(i)?;
    let (i, filter) = after(&["where"], expr)(i)?;
    let (i, within) = after(&["within"], duration("a duration such as `60s`"))(i)?;
    Ok((i, Step { absent: absent.is_some(), kind, label, filter, within, times, span: start.to(i.last) }))
}

/// `over 24h every 15m`, `over each 24h`, `over sessions with gaps of 30m at most 12h`
pub(super) fn section_over(i: Tokens<'_>) -> Parsed<'_, Over> {
    let (i, start) = word("over")(i)?;
    let (i, window) = if i.is_word("each") {
        let (i, length) = duration("the length of the window, such as `24h`")(i.take_from(1))?;
        (i, Window::Tumbling { length })
    } else if i.is_word("sessions") {
        let (i, _) = words(&["with", "gaps", "of"])(i.take_from(1))?;
        let (i, gap) = duration("the silence that ends a session, such as `30m`")(i)?;
        let (i, most) = after(&["at", "most"], duration("the longest session, such as `12h`"))(i)?;
        (i, Window::Session { gap, most })
    } else {
        let (i, length) = duration("the length of the window, such as `24h`")(i)?;
        let (i, every) = after(&["every"], duration("the step, such as `15m`"))(i)?;
        (i, Window::Sliding { length, every })
    };
    Ok((i, Over { window, span: start.to(i.last) }))
}

fn exception(i: Tokens<'_>) -> Parsed<'_, Exception> {
    let (i, start) = word("except")(i)?;
    let (i, _) = words(&["events", "where"])(i)?;
    let (mut i, filter) = expr(i)?;
    let mut e = Exception { filter, because: None, owner: None, evidence: None, from: None, until: None, span: start };
    loop {
        let (here, inner) = (i, i.take_from(1));
        // The rule's own `because` begins a line of its own; an exception's stands on its line.
        if i.first().is_some_and(|t| t.starts_line)
            && i.is_word("because")
            && !matches!(inner.nth(1), Tok::Name(w) if ["owner", "evidence", "from", "until"].contains(&w.as_str()))
        {
            break;
        }
        if i.is_word("because") {
            let (rest, t) = text("why, in quotes")(inner)?;
            once(here, &mut e.because, t, "because", here);
            i = rest;
        } else if i.is_word("owner") {
            let (rest, t) = text("who answers for it, in quotes")(inner)?;
            once(here, &mut e.owner, t, "owner", here);
            i = rest;
        } else if i.is_word("evidence") {
            let (rest, t) = text("the contract or ticket, in quotes")(inner)?;
            once(here, &mut e.evidence, t, "evidence", here);
            i = rest;
        } else if i.is_word("from") {
            let (rest, d) = date(inner)?;
            once(here, &mut e.from, d, "from", here);
            i = rest;
        } else if i.is_word("until") {
            let (rest, d) = date(inner)?;
            once(here, &mut e.until, d, "until", here);
            i = rest;
        } else {
            break;
        }
    }
    e.span = start.to(i.last);
    Ok((i, e))
}

/// All `action` sections that follow.
pub(super) fn actions(mut i: Tokens<'_>) -> Parsed<'_, Vec<Action>> {
    let mut all = Vec::new();
    while i.is_word("action") {
        let (rest, a) = action(i)?;
        all.push(a);
        i = rest;
    }
    Ok((i, all))
}

fn scope(i: Tokens<'_>) -> (Tokens<'_>, Option<Scope>) {
    let scope = match i.tok() {
        Tok::Name(w) => match w.as_str() {
            "account" => Some(Scope::Account),
            "key" => Some(Scope::Key),
            "org" => Some(Scope::Org),
            "group" => Some(Scope::Group),
            _ => None,
        },
        _ => None,
    };
    (if scope.is_some() { i.take_from(1) } else { i }, scope)
}

fn action(i: Tokens<'_>) -> Parsed<'_, Action> {
    let (i, start) = word("action")(i)?;
    let (mut i, mut after_review, mut delayed): (_, bool, Option<At<Duration>>) = (i, false, None);
    loop {
        if i.are_words(&["after", "review"]) {
            let (rest, _) = symbol(":")(i.take_from(2))?;
            (i, after_review) = (rest, true);
        } else if i.are_words(&["delayed", "by", "up", "to"]) {
            let (rest, d) = duration("a duration such as `6h`")(i.take_from(4))?;
            let (rest, _) = symbol(":")(rest)?;
            (i, delayed) = (rest, Some(d));
        } else {
            break;
        }
    }
    let Tok::Name(verb) = i.tok() else { return expected(i, VERBS) };
    let inner = i.take_from(1);
    let (i, verb) = match verb.as_str() {
        "alert" => text("the name of a channel in quotes").map(ActionVerb::Alert).parse(inner)?,
        "flag" => {
            let (i, s) = scope(inner);
            (i, ActionVerb::Flag(s))
        }
        "throttle" => {
            let (i, s) = scope(inner);
            let (i, _) = word("to")(i)?;
            let (i, n) = count("how many requests, such as `10`")(i)?;
            let (i, _) = word("per")(i)?;
            let (i, d) = duration("a duration such as `1m`")(i)?;
            (i, ActionVerb::Throttle(s, n, d))
        }
        "challenge" => {
            let (i, s) = scope(inner);
            (i, ActionVerb::Challenge(s))
        }
        "block" => {
            let (i, s) = scope(inner);
            (i, ActionVerb::Block(s))
        }
        _ => return expected(i, VERBS),
    };
    let (i, held) = after(&["for"], duration("a duration such as `7d`"))(i)?;
    Ok((i, Action { after_review, delayed, verb, duration: held, span: start.to(i.last) }))
}

const VERBS: &str = "`alert`, `flag`, `throttle`, `challenge` or `block`";
