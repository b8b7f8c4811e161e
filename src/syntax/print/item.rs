//! Items other than rules as text.

use super::doc::{Doc, render};
use super::expr::{Level, quoted};
use super::{Printer, padded};
use crate::source::Span;
use crate::syntax::ast::{Apply, Clause, ColumnRef, Family, Item, Link, List, ListValues, Policy, Series, Table};

impl Printer<'_> {
    pub(super) fn item(&mut self, item: &Item) {
        match item {
            Item::Policy(x) => self.policy(x),
            Item::List(x) => self.unit(0, x.span, |p| p.list(x)),
            Item::Table(x) => self.table(x),
            Item::Let(x) => self.unit(0, x.span, |p| {
                Doc::Many(vec![Doc::text(format!("let {} =", x.name.text)), Doc::nest(2, vec![p.hanging(&x.value)])])
            }),
            Item::Rule(x) => self.rule(x),
            Item::Apply(x) => self.unit(0, x.span, |p| p.apply(x)),
            Item::Link(x) => self.link(x),
            Item::Series(x) => self.series(x),
            Item::Limit(x) => self.limit(x),
        }
    }

    fn policy(&mut self, policy: &Policy) {
        let header = format!("policy {} version {}", policy.name.text(), self.date(&policy.version));
        let width = if policy.effective.is_some() { "effective".len() } else { "title".len() };
        self.block(
            0,
            policy.span,
            policy.version.span.end,
            |_| Doc::text(header),
            |p| {
                for (word, text) in [("title", &policy.title), ("url", &policy.url)] {
                    if let Some(text) = text {
                        p.unit(2, text.span, |_| Doc::Many(vec![padded(word, width), Doc::text(quoted(&text.value))]));
                    }
                }
                if let Some((from, until)) = &policy.effective {
                    let span = until.as_ref().map_or(from.span, |u| from.span.to(u.span));
                    p.unit(2, span, |p| {
                        let until = until.as_ref().map_or(String::new(), |u| format!(" until {}", p.date(u)));
                        Doc::Many(vec![padded("effective", width), Doc::text(format!("{}{until}", p.date(from)))])
                    });
                }
                for clause in &policy.clauses {
                    p.unit(2, clause.span, |p| p.clause(clause));
                }
            },
        );
    }

    fn clause(&mut self, clause: &Clause) -> Doc {
        let mut head = format!("{} {}", if clause.permits { "permits" } else { "clause" }, clause.name.text);
        if let Some(at) = &clause.at {
            head += &format!(" at {}", quoted(&at.value));
        }
        for (word, date) in [("from", &clause.from), ("until", &clause.until)] {
            if let Some(date) = date {
                head += &format!(" {word} {}", self.date(date));
            }
        }
        Doc::Many(vec![Doc::text(head), Doc::nest(2, vec![Doc::Hard, Doc::text(quoted(&clause.says.value))])])
    }

    fn list(&mut self, list: &List) -> Doc {
        let head = format!("list {} : {} ", list.name.text, list.ty.text);
        match &list.values {
            ListValues::Inline(values) => {
                let docs = values.iter().map(|e| (e.span, self.expr(e, Level::Or))).collect();
                let values = self.filled("[", docs, "]", list.span);
                Doc::Many(vec![Doc::text(head), Doc::text("= "), values])
            }
            ListValues::File { path, column, valid } => {
                let column = column.as_ref().map_or(String::new(), |c| format!(" {}", self.column(c)));
                let valid = self.valid(valid.as_ref());
                Doc::text(format!("{head}from {}{column}{valid}", quoted(&path.value)))
            }
        }
    }

    fn column(&self, column: &ColumnRef) -> String {
        match column {
            ColumnRef::Number(n) => format!("column {}", n.value),
            ColumnRef::Heading(heading) => format!("column {}", quoted(&heading.value)),
        }
    }

    fn valid(&self, valid: Option<&(ColumnRef, ColumnRef)>) -> String {
        valid.map_or(String::new(), |(from, to)| format!(" valid from {} to {}", self.column(from), self.column(to)))
    }

    fn table(&mut self, table: &Table) {
        let width = table.columns.iter().map(|(name, _)| name.text.len()).max().unwrap_or(0);
        // The header ends somewhere behind the path; its comment is looked for behind the last word before the brace.
        let end = self.brace_after(table.path.span.end);
        self.block(
            0,
            table.span,
            end,
            |p| {
                let key = p.expr(&table.key, Level::Sum);
                let valid = p.valid(table.valid.as_ref());
                let file = format!(" from {}{valid}", quoted(&table.path.value));
                Doc::Many(vec![Doc::text(format!("table {} keyed by ", table.name.text)), key, Doc::text(file)])
            },
            |p| {
                for (name, ty) in &table.columns {
                    p.unit(2, name.span.to(ty.span), |_| Doc::text(format!("{:width$} : {}", name.text, ty.text)));
                }
            },
        );
    }

    /// The place of the next opening brace.
    pub(super) fn brace_after(&self, start: u32) -> u32 {
        let at = self.text.get(start as usize..).and_then(|rest| rest.find('{')).unwrap_or(0);
        start.saturating_add(at as u32)
    }

    fn apply(&mut self, apply: &Apply) -> Doc {
        let mut head = format!("rule {} applies {} enforces ", apply.name.text, apply.definition.text);
        head += &apply.enforces.iter().map(crate::syntax::ast::Path::text).collect::<Vec<_>>().join(", ");
        for (word, name) in [("severity", &apply.severity), ("mode", &apply.mode)] {
            if let Some(name) = name {
                head += &format!(" {word} {}", name.text);
            }
        }
        Doc::text(head)
    }

    fn link(&mut self, link: &Link) {
        let header = format!("link {} of {}", link.name.text, link.of.text());
        let shown: Vec<String> = link
            .families
            .iter()
            .map(|family| {
                let doc = self.expr(&family.by, Level::Sum);
                render(&doc, 0)
            })
            .collect();
        // Very long traits do not push the others out.
        let width = shown.iter().map(|s| s.chars().count()).filter(|n| *n <= 40).max().unwrap_or(0);
        self.block(
            0,
            link.span,
            link.of.span.end,
            |_| Doc::text(header),
            |p| {
                for (family, by) in link.families.iter().zip(&shown) {
                    p.unit(2, family.span, |p| p.family(family, by, width));
                }
                if let Some(needs) = &link.needs {
                    p.unit(2, needs.span, |p| Doc::text(format!("needs at least {} of these", p.count(needs))));
                }
            },
        );
    }

    fn family(&mut self, family: &Family, by: &str, width: usize) -> Doc {
        let mut line = format!("tied by {by:width$}  within {}", self.duration(&family.within));
        if let Some(used) = &family.used {
            line += &format!(", used at least {} times", self.count(used));
        }
        let mut ignoring: Vec<String> = family.ignoring.iter().map(|list| format!("in {}", list.text())).collect();
        ignoring.extend(family.cap.as_ref().map(|cap| format!("shared by more than {} accounts", self.count(cap))));
        if !ignoring.is_empty() {
            line += &format!(", ignoring values {}", ignoring.join(" or "));
        }
        Doc::text(line)
    }

    fn series(&mut self, series: &Series) {
        let width = if series.outage.is_some() { "outage".len() } else { "every".len() };
        self.block(
            0,
            series.span,
            series.name.span.end,
            |_| Doc::text(format!("series {}", series.name.text)),
            |p| {
                p.on(&series.on, width);
                p.per(&series.per, width);
                p.section("every", width, series.every.span, |p| Doc::text(p.duration(&series.every)));
                p.section("value", width, series.value.span, |p| p.expr(&series.value, Level::Whole));
                if let Some(outage) = &series.outage {
                    p.section("outage", width, outage.span, |p| {
                        Doc::text(format!("below {} of its median", p.percentage(outage)))
                    });
                }
            },
        );
    }

    /// One section: its word, and what follows beginning in the common column.
    pub(super) fn section(&mut self, word: &str, width: usize, span: Span, content: impl FnOnce(&mut Self) -> Doc) {
        self.unit(2, span, |p| Doc::Many(vec![padded(word, width), Doc::align(content(p))]));
    }
}
