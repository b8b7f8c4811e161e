//! A rule in plain English, in a fixed order of sentences: which clause, how grave, what is looked at, who is counted, over
//! what time, from what bound on, what is left out, what happens then, and what makes it silent.

use super::say::{each, kinds, listed, percent, span};
use super::speech::Speech;
use super::unknown::{Missing, silent};
use super::{date, words};
use crate::event::{FIELDS, FieldId};
use crate::hir::{
    Action, Confidence, Exception, ExprKind, Link, Mode, Piece, Program, Rule, Sequence, Severity, Shape, Verb,
    Windowed, rule_hash,
};

/// A sentence, or one of the parts that a sentence lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// 0 is a sentence; parts of it lie deeper.
    pub depth: usize,
    /// Without mark-up.
    pub text: String,
}

/// Sentences about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paragraph {
    /// What it is about.
    pub heading: &'static str,
    /// At least one.
    pub lines: Vec<Line>,
}

/// A rule in plain English.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Name of the rule.
    pub rule: String,
    /// SHA-256 of what it means, as in violations.
    pub hash: String,
    /// In a fixed order; one that has nothing to say is left out.
    pub paragraphs: Vec<Paragraph>,
}

/// Reads a rule aloud.
pub fn read(program: &Program, rule: &Rule) -> Reading {
    let mut speech = Speech::of(program, rule);
    let s = &mut speech;
    let mut all = vec![
        ("Clause", clauses(program, rule)),
        ("Weight", vec![sentence(weight(rule))]),
        ("Looks at", looks_at(s, rule)),
        ("Counted for", counted_for(s, rule)),
        ("Time", time(rule)),
        ("Values", values(s, rule)),
        ("Violation", violation(s, rule)),
        ("At arrival", at_arrival(s, rule)),
        ("Left out", left_out(s, rule)),
        ("Then", then(rule)),
        ("Silent", silences(s, rule)),
        ("The record says", vec![sentence(because(s, rule))]),
        ("Mistaken for", mistaken_for(rule)),
    ];
    all.push(("Words", words::words(s)));
    let paragraphs = all.into_iter().filter(|(_, lines)| !lines.is_empty());
    let paragraphs = paragraphs.map(|(heading, lines)| Paragraph { heading, lines }).collect();
    Reading { rule: rule.name.clone(), hash: rule_hash(program, rule), paragraphs }
}

pub(super) fn sentence(text: impl Into<String>) -> Line {
    Line { depth: 0, text: text.into() }
}

fn part(text: impl Into<String>) -> Line {
    Line { depth: 1, text: text.into() }
}

fn clauses(program: &Program, rule: &Rule) -> Vec<Line> {
    let mut out = Vec::new();
    for clause in &rule.enforces {
        out.push(sentence(format!("It enforces {}.{}.", clause.policy, clause.clause)));
        for (policy, number) in &clause.versions {
            let Some(policy) = program.policies.get(*policy as usize) else { continue };
            let Some(clause) = policy.clauses.get(*number as usize) else { continue };
            let title = if policy.title.is_empty() { &policy.name } else { &policy.title };
            let section =
                if clause.section.is_empty() { String::new() } else { format!(", section {}", clause.section) };
            let until =
                clause.until.map_or_else(String::new, |u| format!(", until {} (that day not included)", date(u)));
            out.push(part(format!(
                "{title} of {}{section}, in force from {}{until}: {}",
                policy.version,
                date(clause.from),
                clause.says
            )));
            // Counsel weighs what is forbidden against what the same document allows.
            for allowed in policy.clauses.iter().filter(|c| c.permits) {
                let section =
                    if allowed.section.is_empty() { String::new() } else { format!(" (section {})", allowed.section) };
                out.push(Line { depth: 2, text: format!("The same document permits{section}: {}", allowed.says) });
            }
        }
    }
    out
}

fn weight(rule: &Rule) -> String {
    let severity = match rule.severity {
        Severity::Info => "It is a signal and no accusation",
        Severity::Low => "It weighs little",
        Severity::Medium => "It is of medium weight",
        Severity::High => "It weighs heavily",
        Severity::Critical => "It is of the gravest kind",
    };
    let confidence = match rule.confidence {
        Confidence::Low => "low",
        Confidence::Medium => "medium",
        Confidence::High => "high",
    };
    let mode = match rule.mode {
        Mode::Shadow => "It is in shadow: what it finds is recorded, and nothing else happens",
        Mode::Flag => "It may record and alert, and do nothing else",
        Mode::Enforce => "It is enforced: its actions take effect",
    };
    format!(
        "{severity} (severity {}); confidence is {confidence}. {mode} (mode {}).",
        rule.severity.word(),
        rule.mode.word()
    )
}

fn looks_at(s: &mut Speech<'_>, rule: &Rule) -> Vec<Line> {
    let mut out = Vec::new();
    if let Shape::Sequence(sequence) = &rule.shape {
        steps(s, sequence, &mut out);
        return out;
    }
    match &rule.filter {
        None => out.push(sentence(format!("It looks at {}.", kinds(&rule.kinds)))),
        Some(filter) => {
            s.outline(&format!("It looks at {} for which", kinds(&rule.kinds)), filter, true, 0, &mut out);
        }
    }
    if let Shape::Windowed(w) = &rule.shape {
        for only in &w.only {
            s.outline("Of several values, each by itself, only those count for which", only, true, 0, &mut out);
        }
    }
    out
}

fn steps(s: &mut Speech<'_>, sequence: &Sequence, out: &mut Vec<Line>) {
    out.push(sentence(format!(
        "It looks at events in their order, the first and the last at most {} apart:",
        span(sequence.within)
    )));
    for (number, step) in sequence.steps.iter().enumerate() {
        let verb = if step.absent { "must not come" } else { "comes" };
        let times = if step.times > 1 { format!(", at least {} times", step.times) } else { String::new() };
        let within = step.within.map_or_else(String::new, |d| format!(", within {} of the step before", span(d)));
        let lead = format!("Step {}: there {verb}{times}{within}, of {}, one", number + 1, kinds(&step.kinds));
        match &step.filter {
            None => out.push(part(lead.trim_end_matches(", one").to_string())),
            Some(filter) => s.outline(&format!("{lead} for which"), filter, true, 1, out),
        }
    }
}

fn counted_for(s: &mut Speech<'_>, rule: &Rule) -> Vec<Line> {
    match &rule.shape {
        Shape::Single => vec![sentence("Each event is judged by itself.")],
        Shape::Sequence(sequence) => vec![sentence(group(s, &sequence.per))],
        Shape::Windowed(w) => {
            let link = w.link.and_then(|id| s.program.links.get(id.0 as usize));
            match link {
                Some(link) => tied(s, link),
                None => {
                    let mut out = vec![sentence(group(s, &w.per))];
                    if w.many().is_some() {
                        out.push(sentence("An event with several values counts for each of them."));
                    }
                    if w.merges() {
                        out.push(sentence(
                            "Templates that share their events or accounts to a large part are one campaign and one violation.",
                        ));
                    }
                    out
                }
            }
        }
    }
}

fn group(s: &mut Speech<'_>, per: &[crate::hir::Expr]) -> String {
    if per.is_empty() {
        return "All events are counted together.".to_string();
    }
    let parts: Vec<String> = per.iter().map(|e| s.noun(e)).collect();
    format!("Events are counted for each {} by itself.", parts.join(" with each "))
}

fn tied(s: &mut Speech<'_>, link: &Link) -> Vec<Line> {
    let mut out = vec![sentence(format!(
        "Events are counted for each group of accounts that belong together by \u{201c}{}\u{201d}: of any two that are tied, \
         values of at least {} of these are the same:",
        link.name, link.needs
    ))];
    for family in &link.families {
        let of = s.noun(&family.of);
        let mut text = format!("the {of}, as seen within {}", span(family.within));
        if family.used > 1 {
            text += &format!(", if it was used at least {} times", family.used);
        }
        text += &format!("; what more than {} accounts have in common ties nobody", family.cap);
        for list in &family.ignoring {
            s.lists.insert(*list);
            let name = s.program.lists.get(list.0 as usize).map_or("", |l| l.name.as_str());
            text += &format!(", nor does what is in the list {name}");
        }
        out.push(part(text));
    }
    out
}

fn time(rule: &Rule) -> Vec<Line> {
    match &rule.shape {
        Shape::Single | Shape::Sequence(_) => Vec::new(),
        Shape::Windowed(w) => vec![sentence(window(w))],
    }
}

/// How time is cut.
pub(super) fn window(w: &Windowed) -> String {
    match w.gap {
        Some(gap) => format!(
            "Events count together as long as none comes later than {} after the one before, and for at most {}; it is judged \
             every {}.",
            span(gap),
            span(w.length),
            each(w.step)
        ),
        None if w.step == w.length => {
            format!("Time is cut into spans of {}; each is judged at its end.", span(w.length))
        }
        None => format!("At the end of every {} it looks back {}.", each(w.step), span(w.length)),
    }
}

fn values(s: &mut Speech<'_>, rule: &Rule) -> Vec<Line> {
    let mut out = Vec::new();
    for (name, value) in &rule.lets {
        let text = s.explain(name, |s| s.value(value));
        out.push(sentence(format!("{name} is {text}.")));
    }
    out
}

fn violation(s: &mut Speech<'_>, rule: &Rule) -> Vec<Line> {
    let mut out = Vec::new();
    match &rule.shape {
        Shape::Single => out.push(sentence("Each such event is a violation.")),
        Shape::Sequence(_) => {
            out.push(sentence("It is a violation when all steps came so, and what must not come did not."))
        }
        Shape::Windowed(w) => s.outline("It is a violation when", &w.when, true, 0, &mut out),
    }
    out
}

/// What a limit asks of a call when it arrives.
fn at_arrival(s: &mut Speech<'_>, rule: &Rule) -> Vec<Line> {
    let Some(limit) = &rule.limit else { return Vec::new() };
    let most = s.value(&limit.most);
    let mut out = vec![sentence(format!(
        "It is a limit: a call is asked about when it arrives, and passes where what was used in the span, what is held for \
         calls under way and what it asks for are together no more than {most}."
    ))];
    out.push(sentence(match &limit.reserve {
        Some(reserve) => format!(
            "Held for a call until it is over: {}; where that is not known, what a call settles on average.",
            s.value(reserve)
        ),
        None => "Nothing is held for a call; calls are refused once the limit is used up.".to_string(),
    }));
    out
}

fn left_out(s: &mut Speech<'_>, rule: &Rule) -> Vec<Line> {
    let mut out = Vec::new();
    for e in &rule.exceptions {
        s.outline("Events do not count for which", &e.filter, true, 0, &mut out);
        let told = reasons(e);
        if !told.is_empty() {
            out.push(sentence(told));
        }
    }
    if !rule.exceptions.is_empty() {
        out.push(sentence("What would have been a violation with them is recorded as exempted."));
    }
    out
}

fn reasons(e: &Exception) -> String {
    let mut parts = Vec::new();
    let mut told = |what: &str, text: &str| {
        if !text.is_empty() {
            parts.push(format!("{what}: {text}"));
        }
    };
    told("Reason", &e.because);
    told("owner", &e.owner);
    told("evidence", &e.evidence);
    told("from", &e.from.map(date).unwrap_or_default());
    told("until", &e.until.map(|u| format!("{} (that day not included)", date(u))).unwrap_or_default());
    if parts.is_empty() { String::new() } else { format!("{}.", parts.join("; ")) }
}

fn then(rule: &Rule) -> Vec<Line> {
    let mut out: Vec<Line> = rule.actions.iter().map(|a| sentence(format!("{}.", action(a)))).collect();
    if rule.actions.is_empty() {
        out.push(sentence("Nothing is proposed; it is recorded."));
    }
    if let Some(cooldown) = rule.cooldown {
        out.push(sentence(format!("A violation stays the same one until {} after it ceased.", span(cooldown))));
    }
    if let Some(budget) = rule.budget {
        out.push(sentence(format!("At most {budget} violations a day may act; the others are recorded.")));
    }
    if let Some(rollout) = rule.rollout {
        out.push(sentence(format!("It acts on {} of the groups; the others are recorded.", percent(rollout))));
    }
    out
}

/// An action as a sentence without its stop.
pub(super) fn action(a: &Action) -> String {
    let whom = match a.scope {
        "" => String::new(),
        "key" => " the key".to_string(),
        "org" => " the organisation".to_string(),
        "group" => " the group".to_string(),
        scope => format!(" the {scope}"),
    };
    let verb = match &a.verb {
        Verb::Alert(channel) => format!("Tell {channel:?}"),
        Verb::Flag => format!("Flag{whom}"),
        Verb::Throttle(n, per) => format!("Let{whom} send at most {n} requests per {}", each(*per)),
        Verb::Challenge => format!("Ask{whom} for proof"),
        Verb::Block => format!("Block{whom}"),
    };
    let duration = a.duration.map_or_else(String::new, |d| format!(" for {}", span(d)));
    let delayed = a.delayed.map_or_else(String::new, |d| format!(", after a random delay below {}", span(d)));
    let review = if a.after_review { ", once a person has decided so" } else { "" };
    format!("{verb}{duration}{delayed}{review}")
}

fn silences(s: &mut Speech<'_>, rule: &Rule) -> Vec<Line> {
    let found = silent(s.program, rule);
    let mut out = Vec::new();
    let mut name = |all: &[Missing]| -> Vec<String> { all.iter().map(|m| missing(s, *m)).collect() };
    if !found.group.is_empty() {
        let all = listed(name(&found.group), "or");
        out.push(sentence(format!("An event without {all} belongs to nobody.")));
    }
    if !found.events.is_empty() {
        let all = listed(name(&found.events), "or");
        out.push(sentence(format!("An event without {all} does not count.")));
    }
    if let Shape::Windowed(w) = &rule.shape
        && !found.values.is_empty()
    {
        let mut named = Vec::new();
        for number in &found.values {
            let Some(aggregate) = w.aggregates.get(usize::from(*number)) else { continue };
            let own = rule.lets.iter().find(|(_, e)| matches!(e.kind, ExprKind::Aggregate(i) if i == *number));
            named.push(match own {
                Some((name, _)) => name.clone(),
                None => s.counted(aggregate),
            });
        }
        out.push(sentence(format!(
            "Where {} is unknown, for want of known values, no condition on it holds.",
            listed(named, "or")
        )));
    }
    if let Shape::Sequence(sequence) = &rule.shape {
        out.push(sentence("An event of which it is not known whether it fits a step is no step."));
        if sequence.steps.iter().any(|step| step.absent) {
            out.push(sentence(
                "An event of which it is not known whether it is what must not come counts as if it were, and ends the match.",
            ));
        }
    }
    if rule.asks_memory() {
        out.push(sentence("What memory or a series cannot answer yet is unknown and accuses nobody."));
    }
    out.push(sentence(
        "Whatever else is missing makes what hangs on it unknown; what is unknown never makes a violation and takes no event out.",
    ));
    out
}

fn missing(s: &mut Speech<'_>, m: Missing) -> String {
    match m {
        Missing::Field(f) => {
            s.fields.insert(f);
            FIELDS.get(usize::from(f.0)).map_or("value", |f| f.name).to_string()
        }
        Missing::Wording => {
            s.fields.insert(FieldId::PROMPT);
            "prompt (or fingerprints of it)".to_string()
        }
        Missing::Column(t, c) => {
            let column = s.program.tables.get(t.0 as usize).and_then(|t| Some((t, t.columns.get(usize::from(c))?)));
            column.map_or_else(String::new, |(t, c)| format!("{} in the table {}", c.0, t.name))
        }
    }
}

fn because(s: &mut Speech<'_>, rule: &Rule) -> String {
    let mut out = String::new();
    for piece in &rule.because {
        match piece {
            Piece::Text(t) => out.push_str(t),
            Piece::Value(name, value) => {
                // What has a name of its own is explained where that stands.
                if rule.lets.iter().all(|(known, _)| known != name) {
                    s.value(value);
                }
                out.push_str(&format!("[{name}]"));
            }
        }
    }
    out
}

fn mistaken_for(rule: &Rule) -> Vec<Line> {
    if rule.mistaken_for.is_empty() {
        return Vec::new();
    }
    let mut out = vec![sentence("Who looks alike and is innocent:")];
    out.extend(rule.mistaken_for.iter().map(part));
    out
}
