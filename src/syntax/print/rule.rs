//! Rules as text.

use super::doc::Doc;
use super::expr::{Level, quoted};
use super::{Printer, padded};
use crate::source::Span;
use crate::syntax::ast::{
    Action, ActionVerb, Exception, Expect, ExpectWhat, Expr, Given, GivenWhat, Limit, Name, On, OnWhat, Over, Path,
    Rule, Scope, Step, Test, Text, Window,
};

/// The place of all of them.
fn cover(spans: impl IntoIterator<Item = Span>) -> Span {
    spans.into_iter().reduce(Span::to).unwrap_or_default()
}

fn scope(scope: Option<Scope>) -> &'static str {
    match scope {
        None => "",
        Some(Scope::Account) => " account",
        Some(Scope::Key) => " key",
        Some(Scope::Org) => " org",
        Some(Scope::Group) => " group",
    }
}

impl Printer<'_> {
    pub(super) fn rule(&mut self, rule: &Rule) {
        // Every word that is commonly there fits; only `confidence` is longer.
        let width = if rule.confidence.is_some() { "confidence".len() } else { "enforces".len() };
        self.block(
            0,
            rule.span,
            rule.name.span.end,
            |_| Doc::text(format!("rule {}", rule.name.text)),
            |p| {
                p.standing(rule, width);
                for x in &rule.lets {
                    p.section("let", width, x.span, |p| {
                        Doc::Many(vec![Doc::text(format!("{} =", x.name.text)), p.hanging(&x.value)])
                    });
                }
                if let Some(when) = &rule.when {
                    p.section("when", width, when.span, |p| p.section_expr(when));
                }
                p.outcome(rule, width);
            },
        );
    }

    pub(super) fn limit(&mut self, limit: &Limit) {
        let rule = &limit.sections;
        let width = if rule.confidence.is_some() { "confidence".len() } else { "enforces".len() };
        self.block(
            0,
            rule.span,
            rule.name.span.end,
            |_| Doc::text(format!("limit {}", rule.name.text)),
            |p| {
                p.standing(rule, width);
                if let Some(reserve) = &limit.reserve {
                    p.section("reserve", width, reserve.span, |p| p.expr(reserve, Level::Sum));
                }
                p.section("settle", width, limit.settle.span, |p| p.expr(&limit.settle, Level::Sum));
                p.section("at most", width, limit.most.span, |p| p.expr(&limit.most, Level::Sum));
                p.outcome(rule, width);
            },
        );
    }

    /// What stands before the condition.
    fn standing(&mut self, rule: &Rule, width: usize) {
        self.enforces(&rule.enforces, width);
        self.word("severity", rule.severity.as_ref(), width);
        self.word("confidence", rule.confidence.as_ref(), width);
        self.word("mode", rule.mode.as_ref(), width);
        if let Some(on) = &rule.on {
            self.on(on, width);
        }
        self.per(&rule.per, width);
        if let Some(over) = &rule.over {
            self.over(over, width);
        }
    }

    /// What stands behind the condition.
    fn outcome(&mut self, rule: &Rule, width: usize) {
        for exception in &rule.exceptions {
            self.section("except", width, exception.span, |p| p.exception(exception));
        }
        for action in &rule.actions {
            self.action(action, width);
        }
        if let Some(cooldown) = &rule.cooldown {
            self.section("cooldown", width, cooldown.span, |p| Doc::text(p.duration(cooldown)));
        }
        if let Some(budget) = &rule.budget {
            self.section("budget", width, budget.span, |p| Doc::text(format!("{} per day", p.count(budget))));
        }
        if let Some(rollout) = &rule.rollout {
            self.section("rollout", width, rollout.span, |p| Doc::text(p.percentage(rollout)));
        }
        self.word("changed", rule.changed.as_ref(), width);
        self.because(rule.because.as_ref(), width);
        self.mistaken_for(&rule.mistaken_for);
        for test in &rule.tests {
            self.test(test);
        }
    }

    pub(super) fn enforces(&mut self, clauses: &[Path], width: usize) {
        if !clauses.is_empty() {
            self.section("enforces", width, cover(clauses.iter().map(|c| c.span)), |p| p.paths(clauses));
        }
    }

    pub(super) fn word(&mut self, section: &str, word: Option<&Name>, width: usize) {
        if let Some(word) = word {
            self.section(section, width, word.span, |_| Doc::text(&word.text));
        }
    }

    pub(super) fn because(&mut self, because: Option<&Text>, width: usize) {
        if let Some(because) = because {
            self.section("because", width, because.span, |_| Doc::text(quoted(&because.value)));
        }
    }

    fn mistaken_for(&mut self, uses: &[Text]) {
        if uses.is_empty() {
            return;
        }
        let span = cover(uses.iter().map(|t| t.span));
        self.unit(2, span, |p| {
            let docs = uses.iter().map(|t| (t.span, Doc::text(quoted(&t.value)))).collect();
            p.filled("mistaken for ", docs, "", span)
        });
    }

    pub(super) fn per(&mut self, keys: &[Expr], width: usize) {
        if !keys.is_empty() {
            self.section("per", width, cover(keys.iter().map(|k| k.span)), |p| p.keys(keys));
        }
    }

    fn keys(&mut self, keys: &[Expr]) -> Doc {
        let mut docs = Vec::new();
        for key in keys {
            if !docs.is_empty() {
                docs.push(Doc::text(", "));
            }
            docs.push(self.expr(key, Level::Sum));
        }
        Doc::Many(docs)
    }

    pub(super) fn on(&mut self, on: &On, width: usize) {
        match &on.what {
            OnWhat::Events { kinds, filter } => self.section("on", width, on.span, |p| {
                let names: Vec<&str> = kinds.iter().map(|k| k.text.as_str()).collect();
                let mut docs =
                    vec![Doc::text(if names.is_empty() { "any event".to_string() } else { names.join(" or ") })];
                if let Some(filter) = filter {
                    docs.extend([Doc::text(" where"), p.hanging(filter)]);
                }
                Doc::Many(docs)
            }),
            OnWhat::Sequence { per, within, steps } => {
                self.before(2, on.span.start, false);
                self.block(
                    2,
                    on.span,
                    within.span.end,
                    |p| {
                        let keys = p.keys(per);
                        let within = format!(" within {}", p.duration(within));
                        Doc::Many(vec![padded("on", width), Doc::text("sequence per "), keys, Doc::text(within)])
                    },
                    |p| {
                        for (n, step) in steps.iter().enumerate() {
                            p.unit(4, step.span, |p| p.step(step, n == 0));
                        }
                    },
                );
            }
        }
    }

    fn step(&mut self, step: &Step, first: bool) -> Doc {
        let begin = match (first, step.absent) {
            (true, _) => "first ",
            (_, true) => "then no ",
            _ => "then  ",
        };
        let kind = step.kind.as_ref().map_or("any event", |k| k.text.as_str());
        let label = step.label.as_ref().map_or(String::new(), |l| format!(" as {}", l.text));
        let mut docs = vec![Doc::text(format!("{begin}{kind}{label}"))];
        if let Some(filter) = &step.filter {
            docs.extend([Doc::text(" where"), Doc::nest(2, vec![self.hanging(filter)])]);
        }
        if let Some(within) = &step.within {
            docs.push(Doc::text(format!(" within {}", self.duration(within))));
        }
        if let Some(times) = &step.times {
            docs.push(Doc::text(format!(" at least {} times", self.count(times))));
        }
        Doc::Many(docs)
    }

    pub(super) fn over(&mut self, over: &Over, width: usize) {
        self.section("over", width, over.span, |p| {
            Doc::text(match &over.window {
                Window::Sliding { length, every: None } => p.duration(length),
                Window::Sliding { length, every: Some(every) } => {
                    format!("{} every {}", p.duration(length), p.duration(every))
                }
                Window::Tumbling { length } => format!("each {}", p.duration(length)),
                Window::Session { gap, most } => {
                    let most = most.as_ref().map_or(String::new(), |m| format!(" at most {}", p.duration(m)));
                    format!("sessions with gaps of {}{most}", p.duration(gap))
                }
            })
        });
    }

    fn exception(&mut self, exception: &Exception) -> Doc {
        let mut docs = vec![Doc::text("events where"), self.hanging(&exception.filter)];
        let mut attributes = Vec::new();
        let texts = [("because", &exception.because), ("owner", &exception.owner), ("evidence", &exception.evidence)];
        for (word, text) in texts {
            attributes.extend(text.as_ref().map(|t| format!("{word} {}", quoted(&t.value))));
        }
        for (word, date) in [("from", &exception.from), ("until", &exception.until)] {
            attributes.extend(date.as_ref().map(|d| format!("{word} {}", self.date(d))));
        }
        docs.push(Doc::group(attributes.into_iter().flat_map(|a| [Doc::Line, Doc::text(a)]).collect()));
        Doc::Many(docs)
    }

    pub(super) fn action(&mut self, action: &Action, width: usize) {
        self.section("action", width, action.span, |p| {
            let review = if action.after_review { "after review: " } else { "" };
            let delayed =
                action.delayed.as_ref().map_or(String::new(), |d| format!("delayed by up to {}: ", p.duration(d)));
            let verb = match &action.verb {
                ActionVerb::Alert(channel) => format!("alert {}", quoted(&channel.value)),
                ActionVerb::Flag(s) => format!("flag{}", scope(*s)),
                ActionVerb::Throttle(s, n, d) => {
                    format!("throttle{} to {} per {}", scope(*s), p.count(n), p.duration(d))
                }
                ActionVerb::Challenge(s) => format!("challenge{}", scope(*s)),
                ActionVerb::Block(s) => format!("block{}", scope(*s)),
            };
            let lasting = action.duration.as_ref().map_or(String::new(), |d| format!(" for {}", p.duration(d)));
            Doc::text(format!("{review}{delayed}{verb}{lasting}"))
        });
    }

    fn test(&mut self, test: &Test) {
        self.before(2, test.span.start, false);
        self.block(
            2,
            test.span,
            test.name.span.end,
            |_| Doc::text(format!("test {}", quoted(&test.name.value))),
            |p| {
                for given in &test.given {
                    p.unit(4, given.span, |p| p.given(given));
                }
                for expect in &test.expect {
                    p.unit(4, expect.span, |p| p.expect(expect));
                }
            },
        );
    }

    fn given(&mut self, given: &Given) -> Doc {
        match &given.what {
            GivenWhat::Events { accounts, count, kind, every, at, fields } => {
                let mut head = "given ".to_string();
                if let Some(n) = accounts {
                    let noun = if n.value == 1 { "account" } else { "accounts" };
                    head += &format!("{} {noun} sending ", self.count(n));
                }
                // A number that the author left out stays out.
                if count.value != 1 || count.span.start < count.span.end {
                    head += &format!("{} ", self.count(count));
                }
                head += &kind.text;
                if accounts.is_some() {
                    head += " each";
                }
                for (word, d) in [("every", every), ("at", at)] {
                    if let Some(d) = d {
                        head += &format!(" {word} {}", self.duration(d));
                    }
                }
                if fields.is_empty() {
                    return Doc::text(head);
                }
                let fields = self.fields(fields, given.span);
                Doc::Many(vec![Doc::text(head + " "), fields])
            }
            GivenWhat::List { name, values } => {
                let docs = values.iter().map(|e| (e.span, self.expr(e, Level::Or))).collect();
                let values = self.filled("[", docs, "]", given.span);
                Doc::Many(vec![Doc::text(format!("given list {} = ", name.text)), values])
            }
            GivenWhat::Row { table, key, fields } => {
                let fields = self.fields(fields, given.span);
                Doc::Many(vec![Doc::text(format!("given row {} {} ", table.text, quoted(&key.value))), fields])
            }
        }
    }

    fn fields(&mut self, fields: &[(Path, Expr)], whole: Span) -> Doc {
        let mut docs = Vec::new();
        for (field, value) in fields {
            let span = field.span.to(value.span);
            docs.push((span, Doc::Many(vec![Doc::text(format!("{}: ", field.text())), self.expr(value, Level::Or)])));
        }
        self.braced(docs, whole)
    }

    fn expect(&mut self, expect: &Expect) -> Doc {
        let (count, with) = match &expect.what {
            ExpectWhat::Nothing => return Doc::text("expect nothing"),
            ExpectWhat::Exempted => return Doc::text("expect exempted"),
            ExpectWhat::Violations { count, with } => (count, with),
        };
        let head = if count.value == 1 {
            "expect violation".to_string()
        } else {
            format!("expect {} violations", self.count(count))
        };
        let mut docs = vec![Doc::text(head)];
        if let Some(with) = with {
            docs.extend([Doc::text(" with"), Doc::nest(2, vec![self.hanging(with)])]);
        }
        Doc::Many(docs)
    }
}
