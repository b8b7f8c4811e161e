//! The blocks of a file, rules apart.

use super::{LINE_WIDTH, Printer};
use crate::source::Span;
use crate::syntax::ast::{
    Clause, ColumnRef, Date, Expr, Item, Let, Limit, Link, List, ListValues, Path, Policy, Series, Table,
};

pub(super) fn date(d: &Date) -> String {
    let (y, m, day) = d.at.date();
    format!("{y:04}-{m:02}-{day:02}")
}

pub(super) fn paths(all: &[Path]) -> String {
    all.iter().map(Path::text).collect::<Vec<_>>().join(", ")
}

impl Printer<'_> {
    pub(super) fn item(&mut self, item: &Item) {
        match item {
            Item::Policy(p) => self.policy(p),
            Item::List(l) => {
                let line = self.list(l);
                self.out.push_str(&line);
            }
            Item::Table(t) => self.table(t),
            Item::Let(l) => {
                let line = self.let_line(l, 0);
                self.out.push_str(&line);
            }
            Item::Rule(r) => self.rule(r),
            Item::Apply(a) => {
                let mut line =
                    format!("rule {} applies {} enforces {}", a.name.text, a.definition.text, paths(&a.enforces));
                if let Some(s) = &a.severity {
                    line.push_str(&format!(" severity {}", s.text));
                }
                if let Some(m) = &a.mode {
                    line.push_str(&format!(" mode {}", m.text));
                }
                self.out.push_str(&line);
            }
            Item::Link(l) => self.link(l),
            Item::Series(s) => self.series(s),
            Item::Limit(l) => self.limit(l),
        }
    }

    pub(super) fn exprs(&self, all: &[Expr]) -> String {
        all.iter().map(|e| self.flat(e)).collect::<Vec<_>>().join(", ")
    }

    /// `let name = …` at an indentation; long conditions go to lines of their own.
    pub(super) fn let_line(&self, l: &Let, indent: usize) -> String {
        let keyword = if indent == 0 { "let " } else { "let      " };
        let head = format!("{keyword}{} = ", l.name.text);
        let flat = self.flat(&l.value);
        if indent + head.chars().count() + flat.chars().count() <= LINE_WIDTH {
            return head + &flat;
        }
        match &l.value.kind {
            crate::syntax::ast::ExprKind::And(_) | crate::syntax::ast::ExprKind::Or(_) => {
                let inner = indent + 6;
                format!("{}\n{}{}", head.trim_end(), " ".repeat(inner), self.expr(&l.value, inner, inner))
            }
            _ => {
                let column = indent + head.chars().count();
                format!("{head}{}", self.expr(&l.value, column, indent + 2))
            }
        }
    }

    fn policy(&mut self, p: &Policy) {
        self.open(&format!("policy {} version {}", p.name.text(), date(&p.version)), p.span);
        let mut entries: Vec<(Span, String)> = Vec::new();
        if let Some(t) = &p.title {
            entries.push((t.span, format!("title {}", self.text_literal(t))));
        }
        if let Some(t) = &p.url {
            entries.push((t.span, format!("url   {}", self.text_literal(t))));
        }
        if let Some((from, until)) = &p.effective {
            let until_text = until.as_ref().map_or(String::new(), |u| format!(" until {}", date(u)));
            let span = until.as_ref().map_or(from.span, |u| from.span.to(u.span));
            entries.push((span, format!("effective {}{until_text}", date(from))));
        }
        entries.extend(p.clauses.iter().map(|c| (c.span, self.clause(c))));
        let mut first = true;
        for (span, line) in entries {
            self.entry(span, 2, first, &line);
            first = false;
        }
        self.inner_rest(p.span, 2);
        self.out.push('}');
    }

    fn clause(&self, c: &Clause) -> String {
        let mut line = format!("{} {}", if c.permits { "permits" } else { "clause" }, c.name.text);
        if let Some(at) = &c.at {
            line.push_str(&format!(" at {}", self.text_literal(at)));
        }
        if let Some(d) = &c.from {
            line.push_str(&format!(" from {}", date(d)));
        }
        if let Some(d) = &c.until {
            line.push_str(&format!(" until {}", date(d)));
        }
        format!("{line}\n    {}", self.text_literal(&c.says))
    }

    fn column(&self, c: &ColumnRef) -> String {
        match c {
            ColumnRef::Number(n) => n.value.to_string(),
            ColumnRef::Heading(t) => self.text_literal(t),
        }
    }

    fn valid(&self, valid: &Option<(ColumnRef, ColumnRef)>) -> String {
        valid.as_ref().map_or(String::new(), |(from, to)| {
            format!(" valid from column {} to column {}", self.column(from), self.column(to))
        })
    }

    fn list(&self, l: &List) -> String {
        let head = format!("list {} : {}", l.name.text, l.ty.text);
        match &l.values {
            ListValues::Inline(items) => {
                let list = Expr { kind: crate::syntax::ast::ExprKind::List(items.clone()), span: Span::default() };
                format!("{head} = {}", self.expr(&list, head.chars().count() + 3, 0))
            }
            ListValues::File { path, column, valid } => {
                let column = column.as_ref().map_or(String::new(), |c| format!(" column {}", self.column(c)));
                format!("{head} from {}{column}{}", self.text_literal(path), self.valid(valid))
            }
        }
    }

    fn table(&mut self, t: &Table) {
        let head = format!(
            "table {} keyed by {} from {}{}",
            t.name.text,
            self.flat(&t.key),
            self.text_literal(&t.path),
            self.valid(&t.valid)
        );
        self.open(&head, t.span);
        for (n, (name, ty)) in t.columns.iter().enumerate() {
            self.entry(name.span.to(ty.span), 2, n == 0, &format!("{} : {}", name.text, ty.text));
        }
        self.inner_rest(t.span, 2);
        self.out.push('}');
    }

    fn link(&mut self, l: &Link) {
        self.open(&format!("link {} of {}", l.name.text, l.of.text()), l.span);
        for (n, f) in l.families.iter().enumerate() {
            let mut line = format!("tied by {} within {}", self.flat(&f.by), self.at(&f.within, |d| d.to_string()));
            if let Some(used) = &f.used {
                line.push_str(&format!(", used at least {} times", self.at(used, u64::to_string)));
            }
            let mut ignored: Vec<String> = f.ignoring.iter().map(|p| format!("in {}", p.text())).collect();
            ignored
                .extend(f.cap.iter().map(|c| format!("shared by more than {} accounts", self.at(c, u64::to_string))));
            if !ignored.is_empty() {
                line.push_str(&format!(", ignoring values {}", ignored.join(" or ")));
            }
            self.entry(f.span, 2, n == 0, &line);
        }
        if let Some(n) = &l.needs {
            let line = format!("needs at least {} of these", self.at(n, u64::to_string));
            self.entry(n.span, 2, l.families.is_empty(), &line);
        }
        self.inner_rest(l.span, 2);
        self.out.push('}');
    }

    fn series(&mut self, s: &Series) {
        self.open(&format!("series {}", s.name.text), s.span);
        let on = self.on(&s.on, 2);
        let mut entries = vec![(s.on.span, on)];
        if let (Some(a), Some(b)) = (s.per.first(), s.per.last()) {
            entries.push((a.span.to(b.span), format!("per      {}", self.exprs(&s.per))));
        }
        entries.push((s.every.span, format!("every    {}", self.at(&s.every, |d| d.to_string()))));
        entries.push((s.value.span, format!("value    {}", self.flat(&s.value))));
        if let Some(o) = &s.outage {
            entries.push((o.span, format!("outage   below {} of its median", self.at(o, |n| percent(*n)))));
        }
        for (n, (span, line)) in entries.iter().enumerate() {
            self.entry(*span, 2, n == 0, line);
        }
        self.inner_rest(s.span, 2);
        self.out.push('}');
    }

    fn limit(&mut self, l: &Limit) {
        self.open(&format!("limit {}", l.name.text), l.span);
        let mut entries: Vec<(Span, String)> = Vec::new();
        if let (Some(a), Some(b)) = (l.enforces.first(), l.enforces.last()) {
            entries.push((a.span.to(b.span), format!("enforces {}", paths(&l.enforces))));
        }
        entries.extend(l.severity.iter().map(|s| (s.span, format!("severity {}", s.text))));
        entries.extend(l.mode.iter().map(|s| (s.span, format!("mode     {}", s.text))));
        entries.push((l.on.span, self.on(&l.on, 2)));
        if let (Some(a), Some(b)) = (l.per.first(), l.per.last()) {
            entries.push((a.span.to(b.span), format!("per      {}", self.exprs(&l.per))));
        }
        entries.push((l.over.span, self.over(&l.over)));
        entries.extend(l.reserve.iter().map(|e| (e.span, format!("reserve  {}", self.flat(e)))));
        entries.push((l.settle.span, format!("settle   {}", self.flat(&l.settle))));
        entries.push((l.most.span, format!("at most  {}", self.flat(&l.most))));
        entries.extend(l.actions.iter().map(|a| (a.span, self.action(a))));
        entries.extend(l.because.iter().map(|t| (t.span, format!("because  {}", self.text_literal(t)))));
        for (n, (span, line)) in entries.iter().enumerate() {
            self.entry(*span, 2, n == 0, line);
        }
        self.inner_rest(l.span, 2);
        self.out.push('}');
    }
}

/// Millionths as a percentage.
pub(super) fn percent(n: i64) -> String {
    let mut out = String::new();
    let _ = crate::value::write_number(&mut out, &crate::value::Type::Percentage, n);
    out
}
