//! The one text form of a rule's meaning, and its hash. Two rules that mean the same up to spelling, comments, tests and
//! the names of `let`s hash alike; whatever can change a finding changes the hash.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{
    Aggregate, Const, Expr, ExprKind, Function, Link, LinkValue, Piece, Program, Rule, SeriesId, Shape, TextTest, Verb,
};
use crate::event::FIELDS;

/// SHA-256 of [`canonical_rule`], in lower-case hex.
pub fn rule_hash(program: &Program, rule: &Rule) -> String {
    hex::encode(Sha256::digest(canonical_rule(program, rule).as_bytes()))
}

/// The canonical text of a rule: one line a part, prefix notation, no positions. Lists and tables go by their names:
/// their contents are pinned apart.
pub fn canonical_rule(program: &Program, rule: &Rule) -> String {
    let mut w = Writer { program, out: String::new() };
    w.rule(rule);
    w.out
}

/// What a rule finds, apart from what it is called, what it enforces and what should be done: rules of the same text find
/// the same groups at the same steps, so that one definition bound to several clauses is evaluated once.
pub fn canonical_definition(program: &Program, rule: &Rule) -> String {
    let text = canonical_rule(program, rule);
    let told = ["name ", "enforces ", "severity ", "confidence ", "mode ", "action ", "budget ", "rollout ", "limit "];
    text.lines().filter(|line| !told.iter().any(|t| line.starts_with(t))).map(|line| format!("{line}\n")).collect()
}

/// The canonical text of a series.
pub fn canonical_series(program: &Program, id: SeriesId) -> String {
    let mut w = Writer { program, out: String::new() };
    w.series(id);
    w.out
}

/// The canonical text of one expression.
pub fn canonical_expr(program: &Program, e: &Expr) -> String {
    let mut w = Writer { program, out: String::new() };
    w.expr(e);
    w.out
}

/// The canonical text of an aggregate; it may name others by their numbers, as baselines do.
pub fn canonical_aggregate(program: &Program, aggregate: &Aggregate) -> String {
    let mut w = Writer { program, out: String::new() };
    w.aggregate(aggregate);
    w.out
}

/// The canonical text of a link.
pub fn canonical_link(program: &Program, link: &Link) -> String {
    let mut w = Writer { program, out: String::new() };
    w.link(link);
    w.out
}

/// A short name for a value, as an author would call it: the field, `table.column`, or the function.
pub fn describe(program: &Program, e: &Expr) -> String {
    match &e.kind {
        ExprKind::Field(f) => FIELDS.get(usize::from(f.0)).map_or("value", |f| f.name).to_string(),
        ExprKind::Column(t, c) => {
            let table = program.tables.get(t.0 as usize);
            let column = table.and_then(|t| t.columns.get(usize::from(*c))).map_or("?", |c| c.0.as_str());
            format!("{}.{column}", table.map_or("?", |t| t.name.as_str()))
        }
        ExprKind::Network(..) => "network".to_string(),
        ExprKind::Lower(a) | ExprKind::OrDefault(a, _) | ExprKind::ToMicros(a) => describe(program, a),
        ExprKind::Length(_) => "length".to_string(),
        ExprKind::Template(..) => "template".to_string(),
        _ => "value".to_string(),
    }
}

struct Writer<'a> {
    program: &'a Program,
    out: String,
}

impl Writer<'_> {
    fn rule(&mut self, rule: &Rule) {
        self.line("fineprint-rule", "1");
        self.line("name", &rule.name);
        for clause in &rule.enforces {
            self.line("enforces", &format!("{}.{}", clause.policy, clause.clause));
        }
        self.line("severity", rule.severity.word());
        self.line("confidence", rule.confidence.word());
        self.line("mode", rule.mode.word());
        for kind in &rule.kinds {
            self.line("on", kind.word());
        }
        if let Some(filter) = &rule.filter {
            self.expr_line("where", filter);
        }
        if let Shape::Windowed(w) = &rule.shape {
            if let Some(link) = w.link.and_then(|id| self.program.links.get(id.0 as usize)) {
                self.link(link);
            }
            for key in &w.per {
                self.expr_line("per", key);
            }
            for test in &w.only {
                self.expr_line("only", test);
            }
            self.line("length_ns", &w.length.0.to_string());
            self.line("step_ns", &w.step.0.to_string());
            if let Some(gap) = w.gap {
                self.line("session_gap_ns", &gap.0.to_string());
            }
            for aggregate in &w.aggregates {
                self.aggregate(aggregate);
                self.out.push('\n');
            }
            self.expr_line("when", &w.when);
        }
        if let Shape::Sequence(s) = &rule.shape {
            for key in &s.per {
                self.expr_line("per", key);
            }
            self.line("sequence_ns", &s.within.0.to_string());
            for step in &s.steps {
                let kinds: Vec<&str> = step.kinds.iter().map(|k| k.word()).collect();
                let within = step.within.map(|d| d.0);
                let _ =
                    write!(self.out, "step absent:{} {} {within:?} times:{}", step.absent, kinds.join(","), step.times);
                if let Some(filter) = &step.filter {
                    self.out.push_str(" where ");
                    self.expr(filter);
                }
                self.out.push('\n');
            }
        }
        for (name, value) in &rule.lets {
            self.expr_line(&format!("value {name}"), value);
        }
        for e in &rule.exceptions {
            self.expr_line("except", &e.filter);
            let bounds = (e.from.map(|t| t.0), e.until.map(|t| t.0));
            let _ = writeln!(self.out, " {bounds:?} {:?} {:?} {:?}", e.because, e.owner, e.evidence);
        }
        for a in &rule.actions {
            let verb = match &a.verb {
                Verb::Alert(channel) => format!("alert {channel:?}"),
                Verb::Flag => "flag".to_string(),
                Verb::Throttle(n, per) => format!("throttle {n} {}", per.0),
                Verb::Challenge => "challenge".to_string(),
                Verb::Block => "block".to_string(),
            };
            let _ = write!(self.out, "action {} {verb} {} {:?}", a.after_review, a.scope, a.duration.map(|d| d.0));
            if let Some(most) = a.delayed {
                let _ = write!(self.out, " delayed {}", most.0);
            }
            self.out.push('\n');
        }
        if let Some(budget) = rule.budget {
            self.line("budget", &budget.to_string());
        }
        if let Some(rollout) = rule.rollout {
            self.line("rollout", &rollout.to_string());
        }
        if let Some(limit) = &rule.limit {
            match &limit.reserve {
                Some(reserve) => self.expr_line("limit reserve", reserve),
                None => self.line("limit", "reserve nothing"),
            }
        }
        let _ = writeln!(self.out, "cooldown_ns {:?}", rule.cooldown.map(|d| d.0));
        self.out.push_str("because");
        for piece in &rule.because {
            match piece {
                Piece::Text(t) => {
                    let _ = write!(self.out, " {t:?}");
                }
                Piece::Value(_, e) => {
                    self.out.push(' ');
                    self.expr(e);
                }
            }
        }
        self.out.push('\n');
    }

    /// The whole of a link: what it ties can change a finding.
    fn link(&mut self, link: &Link) {
        let _ = writeln!(self.out, "linked {:?} needs:{}", link.name, link.needs);
        for family in &link.families {
            let lists = family.ignoring.iter().filter_map(|l| self.program.lists.get(l.0 as usize));
            let lists: Vec<&str> = lists.map(|l| l.name.as_str()).collect();
            let (within, used, cap) = (family.within.0, family.used, family.cap);
            let _ = write!(self.out, "tied {:?} within:{within} used:{used} cap:{cap} {lists:?} ", family.name);
            self.expr(&family.of);
            self.out.push('\n');
        }
    }

    /// A series by what it means: its name is not part of it.
    fn series(&mut self, id: SeriesId) {
        let program = self.program;
        let Some(s) = program.series.get(id.0 as usize) else { return };
        let kinds: Vec<&str> = s.kinds.iter().map(|k| k.word()).collect();
        let _ = write!(self.out, "(series {} {} {} {} {:?}", kinds.join(","), s.every.0, s.steps, s.least, s.outage);
        if let Some(e) = &s.filter {
            self.out.push_str(" where ");
            self.expr(e);
        }
        for e in &s.per {
            self.out.push_str(" per ");
            self.expr(e);
        }
        for aggregate in &s.aggregates {
            self.out.push(' ');
            self.aggregate(aggregate);
        }
        self.out.push(' ');
        self.expr(&s.value);
        self.out.push(')');
    }

    fn aggregate(&mut self, aggregate: &Aggregate) {
        self.out.push_str("aggregate ");
        self.function(&aggregate.function);
        if let Some(filter) = &aggregate.filter {
            self.out.push_str(" where ");
            self.expr(filter);
        }
    }

    fn line(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.out, "{key} {value}");
    }

    fn expr_line(&mut self, key: &str, e: &Expr) {
        let _ = write!(self.out, "{key} ");
        self.expr(e);
        self.out.push('\n');
    }

    fn function(&mut self, function: &Function) {
        let args: Vec<&Expr> = function.arguments().iter().collect();
        match function {
            Function::Quantile(_, share) => self.call(&format!("quantile:{share}"), &args),
            Function::TopShare(_, n) if *n > 1 => self.call(&format!("top_share:{n}"), &args),
            Function::Baseline(b) => {
                let _ = write!(self.out, "({}:{}:{}:{} ", b.word(), b.share, b.windows, b.least);
                self.expr(&b.of);
                self.out.push(' ');
                self.call("by", &args);
                self.out.push(')');
            }
            _ => self.call(function.word(), &args),
        }
        if let Function::Distinct { one_per: Some((key, condition)), .. } = function {
            self.out.push_str(" one-per ");
            self.expr(key);
            if let Some(condition) = condition {
                self.out.push_str(" if ");
                self.expr(condition);
            }
        }
    }

    fn call(&mut self, name: &str, args: &[&Expr]) {
        let _ = write!(self.out, "({name}");
        for arg in args {
            self.out.push(' ');
            self.expr(arg);
        }
        self.out.push(')');
    }

    fn constant(&mut self, c: &Const) {
        let _ = match c {
            Const::Bool(b) => write!(self.out, "{b}"),
            Const::Num(n) => write!(self.out, "{n}"),
            Const::Text(t) => write!(self.out, "{t:?}"),
            Const::Ip(ip) => write!(self.out, "ip:{ip}"),
            Const::Net(net) => write!(self.out, "net:{net}"),
        };
    }

    fn expr(&mut self, e: &Expr) {
        match &e.kind {
            ExprKind::Const(c) => {
                let _ = write!(self.out, "{}:", e.ty.keyword());
                self.constant(c);
            }
            ExprKind::Field(f) => {
                let name = FIELDS.get(usize::from(f.0)).map_or("?", |f| f.name);
                let _ = write!(self.out, "field:{name}");
            }
            ExprKind::Column(t, c) => {
                let table = self.program.tables.get(t.0 as usize);
                let column = table.and_then(|t| t.columns.get(usize::from(*c))).map_or("?", |c| c.0.as_str());
                let _ = write!(self.out, "column:{}.{column}", table.map_or("?", |t| t.name.as_str()));
                // The registry is always joined by the account; another table says by what.
                if let Some(table) = table.filter(|_| t.0 != 0) {
                    self.out.push('@');
                    self.expr(&table.key);
                }
            }
            ExprKind::Not(a) => self.call("not", &[a]),
            ExprKind::And(all) => self.call("and", &all.iter().collect::<Vec<_>>()),
            ExprKind::Or(all) => self.call("or", &all.iter().collect::<Vec<_>>()),
            ExprKind::AtLeast(n, all) => self.call(&format!("at-least:{n}"), &all.iter().collect::<Vec<_>>()),
            ExprKind::Compare(op, a, b) => self.call(op.symbol(), &[a, b]),
            ExprKind::InSet(a, set) => {
                let mut items: Vec<String> = set
                    .iter()
                    .map(|c| {
                        let mut w = Writer { program: self.program, out: String::new() };
                        w.constant(c);
                        w.out
                    })
                    .collect();
                items.sort();
                items.dedup();
                self.out.push_str("(in ");
                self.expr(a);
                let _ = write!(self.out, " [{}])", items.join(" "));
            }
            ExprKind::InList(a, list) => {
                let name = self.program.lists.get(list.0 as usize).map_or("?", |l| l.name.as_str()).to_string();
                self.out.push_str("(in ");
                self.expr(a);
                let _ = write!(self.out, " list:{name})");
            }
            ExprKind::Text { operand, test, ignoring_case } => {
                self.out.push_str("(text ");
                self.expr(operand);
                let _ = match test {
                    TextTest::ContainsAny(p) => write!(self.out, " any {p:?}"),
                    TextTest::ContainsAll(p) => write!(self.out, " all {p:?}"),
                    TextTest::ContainsAnyOf(l) => {
                        let name = self.program.lists.get(l.0 as usize).map_or("?", |l| l.name.as_str());
                        write!(self.out, " any list:{name}")
                    }
                    TextTest::StartsWith(p) => write!(self.out, " starts {p:?}"),
                    TextTest::EndsWith(p) => write!(self.out, " ends {p:?}"),
                    TextTest::Matches(p) => write!(self.out, " regex {p:?}"),
                };
                let _ = write!(self.out, " fold:{ignoring_case})");
            }
            ExprKind::Exists(a) => self.call("exists", &[a]),
            ExprKind::OrDefault(a, b) => self.call("or-default", &[a, b]),
            ExprKind::Arithmetic(op, a, b) => self.call(&format!("{op:?}"), &[a, b]),
            ExprKind::ToMicros(a) => self.call("micros", &[a]),
            ExprKind::Network(a, v4, v6) => self.call(&format!("network:{v4}:{v6}"), &[a]),
            ExprKind::Lower(a) => self.call("lower", &[a]),
            ExprKind::Length(a) => self.call("length", &[a]),
            ExprKind::Memory(m) => {
                let name = format!("{}:{}", m.ask.word(), m.within.0);
                self.call(&name, &std::iter::once(&m.of).chain(m.ask.by()).collect::<Vec<_>>());
            }
            ExprKind::Outage(series) => {
                self.out.push_str("(outage ");
                self.series(*series);
                self.out.push(')');
            }
            ExprKind::WindowOutage(o) => {
                let _ = write!(self.out, "(outage-within:{}:{:?} ", o.length.0, o.keys);
                self.series(o.series);
                self.out.push(')');
            }
            ExprKind::Template(f, strictness) => {
                let name = FIELDS.get(usize::from(f.0)).map_or("?", |f| f.name);
                let _ = write!(self.out, "(template:{} field:{name})", strictness.words());
            }
            ExprKind::Aggregate(i) => {
                let _ = write!(self.out, "aggregate:{i}");
            }
            ExprKind::Key(i) => {
                let _ = write!(self.out, "key:{i}");
            }
            ExprKind::Link(value) => {
                let _ = match value {
                    LinkValue::TiedShare(family) => write!(self.out, "{}:{family}", value.word()),
                    _ => write!(self.out, "{}", value.word()),
                };
            }
            ExprKind::OfStep(step, a) => self.call(&format!("of-step:{step}"), &[a]),
        }
    }
}
