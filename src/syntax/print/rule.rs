//! Rules: one section a line, values in one column.

use super::Printer;
use super::item::{date, paths, percent};
use crate::source::Span;
use crate::syntax::ast::{
    Action, ActionVerb, Exception, Expect, ExpectWhat, Expr, Given, GivenWhat, On, OnWhat, Over, Path, Rule, Scope,
    Step, Test, Window,
};

/// Column at which the values of sections begin.
const VALUES: usize = 11;

fn scope(s: &Option<Scope>) -> &'static str {
    match s {
        None => "",
        Some(Scope::Account) => " account",
        Some(Scope::Key) => " key",
        Some(Scope::Org) => " org",
        Some(Scope::Group) => " group",
    }
}

impl Printer<'_> {
    pub(super) fn rule(&mut self, r: &Rule) {
        self.open(&format!("rule {}", r.name.text), r.span);
        let mut entries: Vec<(Span, String)> = Vec::new();
        let list = |all: &[Path]| all.first().zip(all.last()).map(|(a, b)| a.span.to(b.span));
        if let Some(span) = list(&r.enforces) {
            entries.push((span, format!("enforces {}", paths(&r.enforces))));
        }
        entries.extend(r.severity.iter().map(|n| (n.span, format!("severity {}", n.text))));
        entries.extend(r.confidence.iter().map(|n| (n.span, format!("confidence {}", n.text))));
        entries.extend(r.mode.iter().map(|n| (n.span, format!("mode     {}", n.text))));
        entries.extend(r.on.iter().map(|on| (on.span, self.on(on, 2))));
        if let Some((a, b)) = r.per.first().zip(r.per.last()) {
            entries.push((a.span.to(b.span), format!("per      {}", self.exprs(&r.per))));
        }
        entries.extend(r.over.iter().map(|o| (o.span, self.over(o))));
        entries.extend(r.lets.iter().map(|l| (l.span, self.let_line(l, 2))));
        entries.extend(r.when.iter().map(|e| (e.span, format!("when     {}", self.expr(e, VALUES, VALUES)))));
        entries.extend(r.exceptions.iter().map(|e| (e.span, self.exception(e))));
        entries.extend(r.actions.iter().map(|a| (a.span, self.action(a))));
        entries.extend(r.cooldown.iter().map(|d| (d.span, format!("cooldown {}", self.at(d, |d| d.to_string())))));
        entries.extend(r.budget.iter().map(|n| (n.span, format!("budget   {} per day", self.at(n, u64::to_string)))));
        entries.extend(r.rollout.iter().map(|n| (n.span, format!("rollout  {}", self.at(n, |n| percent(*n))))));
        entries.extend(r.because.iter().map(|t| (t.span, format!("because  {}", self.text_literal(t)))));
        if let Some((a, b)) = r.mistaken_for.first().zip(r.mistaken_for.last()) {
            let all: Vec<String> = r.mistaken_for.iter().map(|t| self.text_literal(t)).collect();
            entries.push((a.span.to(b.span), format!("mistaken for {}", all.join(", "))));
        }
        let mut first = true;
        for (span, line) in entries {
            self.entry(span, 2, first, &line);
            first = false;
        }
        for t in &r.tests {
            let apart = !first;
            self.lead(t.span, 2, apart);
            self.out.push_str("  ");
            self.test(t);
            self.trail(t.span);
            first = false;
        }
        self.inner_rest(r.span, 2);
        self.out.push('}');
    }

    pub(super) fn on(&self, on: &On, indent: usize) -> String {
        match &on.what {
            OnWhat::Events { kinds, filter } => {
                let kinds: Vec<&str> = kinds.iter().map(|k| k.text.as_str()).collect();
                let kinds = if kinds.is_empty() { "any event".to_string() } else { kinds.join(" or ") };
                let head = format!("on       {kinds}");
                match filter {
                    None => head,
                    Some(f) => {
                        let flat = self.flat(f);
                        if indent + head.chars().count() + 7 + flat.chars().count() <= super::LINE_WIDTH {
                            return format!("{head} where {flat}");
                        }
                        let column = VALUES + 6;
                        format!("{head}\n{}where {}", " ".repeat(VALUES), self.expr(f, column, column))
                    }
                }
            }
            OnWhat::Sequence { per, within, steps } => {
                let head =
                    format!("on sequence per {} within {} {{", self.exprs(per), self.at(within, |d| d.to_string()));
                let steps: Vec<String> =
                    steps.iter().enumerate().map(|(n, s)| format!("\n    {}", self.step(s, n == 0))).collect();
                format!("{head}{}\n  }}", steps.concat())
            }
        }
    }

    fn step(&self, s: &Step, first: bool) -> String {
        let mut line = String::from(if first { "first" } else { "then" });
        if s.absent {
            line.push_str(" no");
        }
        if let Some(n) = &s.times {
            line.push_str(&format!(" at least {} times", self.at(n, u64::to_string)));
        }
        line.push_str(&s.kind.as_ref().map_or(" any event".to_string(), |k| format!(" {}", k.text)));
        if let Some(l) = &s.label {
            line.push_str(&format!(" as {}", l.text));
        }
        if let Some(f) = &s.filter {
            line.push_str(&format!(" where {}", self.flat(f)));
        }
        if let Some(d) = &s.within {
            line.push_str(&format!(" within {}", self.at(d, |d| d.to_string())));
        }
        line
    }

    pub(super) fn over(&self, o: &Over) -> String {
        let d = |d: &crate::syntax::ast::At<crate::time::Duration>| self.at(d, |d| d.to_string());
        match &o.window {
            Window::Sliding { length, every: None } => format!("over     {}", d(length)),
            Window::Sliding { length, every: Some(every) } => format!("over     {} every {}", d(length), d(every)),
            Window::Tumbling { length } => format!("over     each {}", d(length)),
            Window::Session { gap, most: None } => format!("over     sessions with gaps of {}", d(gap)),
            Window::Session { gap, most: Some(most) } => {
                format!("over     sessions with gaps of {} at most {}", d(gap), d(most))
            }
        }
    }

    fn exception(&self, e: &Exception) -> String {
        let mut line = format!("except   events where {}", self.expr(&e.filter, VALUES + 13, VALUES + 13));
        let mut attributes = Vec::new();
        attributes.extend(e.because.iter().map(|t| format!("because {}", self.text_literal(t))));
        attributes.extend(e.owner.iter().map(|t| format!("owner {}", self.text_literal(t))));
        attributes.extend(e.evidence.iter().map(|t| format!("evidence {}", self.text_literal(t))));
        attributes.extend(e.from.iter().map(|d| format!("from {}", date(d))));
        attributes.extend(e.until.iter().map(|d| format!("until {}", date(d))));
        for a in attributes {
            let last = line.rsplit('\n').next().unwrap_or("").chars().count();
            // A `because` that begins a line is the rule's; the first attribute stays on its line.
            if last + a.chars().count() + 3 > super::LINE_WIDTH && !a.starts_with("because") {
                line.push_str(&format!("\n{}{a}", " ".repeat(VALUES)));
            } else {
                line.push_str(&format!(" {a}"));
            }
        }
        line
    }

    pub(super) fn action(&self, a: &Action) -> String {
        let mut line = String::from("action   ");
        if a.after_review {
            line.push_str("after review: ");
        }
        if let Some(d) = &a.delayed {
            line.push_str(&format!("delayed by up to {}: ", self.at(d, |d| d.to_string())));
        }
        line.push_str(&match &a.verb {
            ActionVerb::Alert(t) => format!("alert {}", self.text_literal(t)),
            ActionVerb::Flag(s) => format!("flag{}", scope(s)),
            ActionVerb::Throttle(s, n, per) => {
                format!(
                    "throttle{} to {} per {}",
                    scope(s),
                    self.at(n, u64::to_string),
                    self.at(per, |d| d.to_string())
                )
            }
            ActionVerb::Challenge(s) => format!("challenge{}", scope(s)),
            ActionVerb::Block(s) => format!("block{}", scope(s)),
        });
        if let Some(d) = &a.duration {
            line.push_str(&format!(" for {}", self.at(d, |d| d.to_string())));
        }
        line
    }

    fn test(&mut self, t: &Test) {
        let head = format!("test {}", self.text_literal(&t.name));
        // The name may hold a brace; the block's own follows it.
        let block = Span { start: t.name.span.end.max(t.span.start), ..t.span };
        self.open(&head, block);
        let mut first = true;
        for g in &t.given {
            let line = self.given(g);
            self.entry(g.span, 4, first, &line);
            first = false;
        }
        for e in &t.expect {
            let line = self.expect(e);
            self.entry(e.span, 4, first, &line);
            first = false;
        }
        self.inner_rest(t.span, 4);
        self.out.push_str("  }");
    }

    fn fields(&self, fields: &[(Path, Expr)], column: usize) -> String {
        let all: Vec<String> = fields.iter().map(|(p, e)| format!("{}: {}", p.text(), self.flat(e))).collect();
        let flat = format!(" {{ {} }}", all.join(", "));
        if fields.is_empty() {
            return String::new();
        }
        if column + flat.chars().count() <= super::LINE_WIDTH {
            return flat;
        }
        format!(" {{\n      {},\n    }}", all.join(",\n      "))
    }

    fn given(&self, g: &Given) -> String {
        match &g.what {
            GivenWhat::Events { accounts, count, kind, every, at, fields } => {
                let mut line = String::from("given ");
                if let Some(n) = accounts {
                    line.push_str(&format!("{} accounts sending ", self.at(n, u64::to_string)));
                }
                if accounts.is_some() || count.value != 1 {
                    line.push_str(&format!("{} {}s", plain(count.value), kind.text));
                } else {
                    line.push_str(&kind.text);
                }
                if accounts.is_some() {
                    line.push_str(" each");
                }
                if let Some(d) = every {
                    line.push_str(&format!(" every {}", self.at(d, |d| d.to_string())));
                }
                if let Some(d) = at {
                    line.push_str(&format!(" at {}", self.at(d, |d| d.to_string())));
                }
                let fields = self.fields(fields, 4 + line.chars().count());
                line + &fields
            }
            GivenWhat::List { name, values } => format!("given list {} = [{}]", name.text, self.exprs(values)),
            GivenWhat::Row { table, key, fields } => {
                let line = format!("given row {} {}", table.text, self.text_literal(key));
                let fields = self.fields(fields, 4 + line.chars().count());
                line + &fields
            }
        }
    }

    fn expect(&self, e: &Expect) -> String {
        match &e.what {
            ExpectWhat::Nothing => "expect nothing".to_string(),
            ExpectWhat::Exempted => "expect exempted".to_string(),
            ExpectWhat::Violations { count, with } => {
                let head = if count.value == 1 {
                    "expect violation".to_string()
                } else {
                    format!("expect {} violations", plain(count.value))
                };
                with.as_ref().map_or(head.clone(), |w| format!("{head} with {}", self.flat(w)))
            }
        }
    }
}

fn plain(n: u64) -> String {
    n.to_string()
}
