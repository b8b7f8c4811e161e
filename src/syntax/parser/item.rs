//! The blocks of a file, rules apart: policies, lists, tables, `let`, links, series, limits, `applies`.

use nom::multi::separated_list1;
use nom::{Input, Parser};

use super::expr::{expr, list, path};
use super::input::{Parsed, Tokens, after, count, date, duration, expected, name, said, symbol, text, word};
use super::rule::{actions, rule, section_on};
use super::{ITEMS, block, next_item};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::syntax::ast::{
    Apply, At, Clause, ColumnRef, Expr, Family, Item, Let, Limit, Link, List, ListValues, Name, Path, Policy, Series,
    Table,
};
use crate::syntax::token::Tok;

/// One block; `None` where it was too broken to keep, which has been reported.
pub(super) fn item(i: Tokens<'_>) -> Parsed<'_, Option<Item>> {
    let some = |(i, item)| (i, Some(item));
    let Tok::Name(first) = i.tok() else {
        if *i.tok() == Tok::Broken {
            return Ok((next_item(i.take_from(1)), None));
        }
        let message = format!("expected a block, found {}", i.tok());
        return said(
            i,
            Diagnostic::new(Code::UNKNOWN_ITEM, i.here(), message).help(format!("blocks begin with {}", words())),
        );
    };
    match first.as_str() {
        "policy" => policy(i).map(some),
        "list" => list_item(i).map(some),
        "table" => table(i).map(some),
        "let" => let_item(i).map(|(i, l)| (i, Some(Item::Let(l)))),
        "rule" if matches!((i.nth(1), i.nth(2)), (Tok::Name(_), Tok::Name(w)) if w == "applies") => apply(i).map(some),
        "rule" => rule(i).map(|(i, r)| (i, r.map(Item::Rule))),
        "link" => link(i).map(some),
        "series" => series(i).map(some),
        "limit" => limit(i).map(some),
        other => {
            let mut d = Diagnostic::new(Code::UNKNOWN_ITEM, i.here(), format!("no block begins with `{other}`"));
            d = match nearest(other, ITEMS.iter().copied()) {
                Some(near) => d.help(format!("did you mean `{near}`?")).fix(i.here(), near),
                None => d.help(format!("blocks begin with {}", words())),
            };
            said(i, d)
        }
    }
}

fn words() -> String {
    ITEMS.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

/// `let name = …`
pub(super) fn let_item(i: Tokens<'_>) -> Parsed<'_, Let> {
    let (i, start) = word("let")(i)?;
    let (i, name) = name("a name")(i)?;
    let (i, _) = symbol("=")(i)?;
    let (i, value) = expr(i)?;
    let span = start.to(value.span);
    Ok((i, Let { name, value, span }))
}

/// `policy.clause, …`
pub(super) fn paths(i: Tokens<'_>) -> Parsed<'_, Vec<Path>> {
    separated_list1(symbol(","), path).parse(i)
}

pub(super) fn once<'a, T>(i: Tokens<'a>, slot: &mut Option<T>, value: T, what: &str, at: Tokens<'a>) {
    if slot.is_some() {
        i.report(
            Diagnostic::new(Code::REPEATED_SECTION, at.here(), format!("`{what}` stands here a second time"))
                .help("remove one of them"),
        );
    } else {
        *slot = Some(value);
    }
}

fn policy(i: Tokens<'_>) -> Parsed<'_, Item> {
    let (i, start) = word("policy")(i)?;
    let (i, name) = path(i)?;
    let (i, _) = word("version")(i)?;
    let (i, version) = date(i)?;
    let (i, open) = symbol("{")(i)?;
    let (mut title, mut url, mut effective, mut clauses) = (None, None, None, Vec::new());
    let starts = ["title", "url", "effective", "clause", "permits"];
    let i = block(i, open, &starts, |i| match i.tok() {
        Tok::Name(w) if w == "title" => {
            let (rest, t) = text("the title in quotes")(i.take_from(1))?;
            once(i, &mut title, t, "title", i);
            Ok((rest, ()))
        }
        Tok::Name(w) if w == "url" => {
            let (rest, t) = text("the address in quotes")(i.take_from(1))?;
            once(i, &mut url, t, "url", i);
            Ok((rest, ()))
        }
        Tok::Name(w) if w == "effective" => {
            let (rest, from) = date(i.take_from(1))?;
            let (rest, until) = after(&["until"], date)(rest)?;
            once(i, &mut effective, (from, until), "effective", i);
            Ok((rest, ()))
        }
        Tok::Name(w) if w == "clause" || w == "permits" => {
            let (rest, c) = clause(i, w == "permits")?;
            clauses.push(c);
            Ok((rest, ()))
        }
        _ => unknown_entry(i, "policy", &starts),
    });
    Ok((i, Item::Policy(Policy { name, version, title, url, effective, clauses, span: start.to(i.last) })))
}

/// "`x` is no section of a …".
pub(super) fn unknown_entry<'a, T>(i: Tokens<'a>, of: &str, starts: &[&str]) -> Parsed<'a, T> {
    match i.tok() {
        Tok::Name(w) => {
            let d = Diagnostic::new(Code::UNKNOWN_SECTION, i.here(), format!("`{w}` is no section of a {of}"));
            let d = match nearest(w, starts.iter().copied()) {
                Some(near) => d.help(format!("did you mean `{near}`?")).fix(i.here(), near),
                None => d.help(format!(
                    "known are {}",
                    starts.iter().map(|s| format!("`{s}`")).collect::<Vec<_>>().join(", ")
                )),
            };
            said(i, d)
        }
        _ => expected(i, format!("a section of a {of}, or `}}`")),
    }
}

fn clause(i: Tokens<'_>, permits: bool) -> Parsed<'_, Clause> {
    let start = i.here();
    let (i, name) = name("the name of the clause")(i.take_from(1))?;
    let (i, at) = after(&["at"], text("the section as the document numbers it, in quotes"))(i)?;
    let (i, from) = after(&["from"], date)(i)?;
    let (i, until) = after(&["until"], date)(i)?;
    let (i, says) = text("what the clause says, in quotes")(i)?;
    let span = start.to(says.span);
    Ok((i, Clause { permits, name, at, from, until, says, span }))
}

fn column_ref(i: Tokens<'_>) -> Parsed<'_, ColumnRef> {
    match i.tok() {
        Tok::Text(_) => text("a heading").map(ColumnRef::Heading).parse(i),
        Tok::Integer(n) => match u32::try_from(*n).ok().filter(|n| *n >= 1) {
            Some(n) => Ok((i.take_from(1), ColumnRef::Number(At { value: n, span: i.here() }))),
            None => expected(i, "the number of a column, counted from 1"),
        },
        _ => expected(i, "a column: its number from 1, or its heading in quotes"),
    }
}

fn valid(i: Tokens<'_>) -> Parsed<'_, Option<(ColumnRef, ColumnRef)>> {
    if !i.is_word("valid") {
        return Ok((i, None));
    }
    let (i, _) = super::input::words(&["valid", "from", "column"])(i)?;
    let (i, from) = column_ref(i)?;
    let (i, _) = super::input::words(&["to", "column"])(i)?;
    let (i, to) = column_ref(i)?;
    Ok((i, Some((from, to))))
}

fn list_item(i: Tokens<'_>) -> Parsed<'_, Item> {
    let (i, start) = word("list")(i)?;
    let (i, list_name) = name("the name of the list")(i)?;
    let (i, _) = symbol(":")(i)?;
    let (i, ty) = name("the type of its values, such as `string` or `country`")(i)?;
    let (i, values) = if i.is_symbol("=") {
        let (i, values) = list(i.take_from(1))?;
        let items = match values.kind {
            crate::syntax::ast::ExprKind::List(items) => items,
            _ => Vec::new(),
        };
        (i, ListValues::Inline(items))
    } else if i.is_word("from") {
        let (i, path) = text("the file in quotes")(i.take_from(1))?;
        let (i, column) = after(&["column"], column_ref)(i)?;
        let (i, valid) = valid(i)?;
        (i, ListValues::File { path, column, valid })
    } else {
        return expected(i, "`= [\"…\"]` or `from \"file.csv\"`");
    };
    Ok((i, Item::List(List { name: list_name, ty, values, span: start.to(i.last) })))
}

fn table(i: Tokens<'_>) -> Parsed<'_, Item> {
    let (i, start) = word("table")(i)?;
    let (i, table_name) = name("the name of the table")(i)?;
    let (i, _) = super::input::words(&["keyed", "by"])(i)?;
    let (i, key) = super::expr::sum(i)?;
    let (i, _) = word("from")(i)?;
    let (i, path) = text("the file in quotes")(i)?;
    let (i, valid) = valid(i)?;
    let (i, open) = symbol("{")(i)?;
    let mut columns: Vec<(Name, Name)> = Vec::new();
    let i = block(i, open, &[], |i| {
        let (i, column) = name("the name of a column")(i)?;
        let (i, _) = symbol(":")(i)?;
        let (i, ty) = name("the type of the column")(i)?;
        let i = if i.is_symbol(",") { i.take_from(1) } else { i };
        columns.push((column, ty));
        Ok((i, ()))
    });
    Ok((i, Item::Table(Table { name: table_name, key, path, valid, columns, span: start.to(i.last) })))
}

fn apply(i: Tokens<'_>) -> Parsed<'_, Item> {
    let (i, start) = word("rule")(i)?;
    let (i, rule_name) = name("the name of the rule")(i)?;
    let (i, _) = word("applies")(i)?;
    let (i, definition) = name("the name of the rule that is applied")(i)?;
    let (i, _) = word("enforces")(i)?;
    let (i, enforces) = paths(i)?;
    let (i, severity) = after(&["severity"], name("a severity"))(i)?;
    let (i, mode) = after(&["mode"], name("a mode"))(i)?;
    Ok((i, Item::Apply(Apply { name: rule_name, definition, enforces, severity, mode, span: start.to(i.last) })))
}

fn link(i: Tokens<'_>) -> Parsed<'_, Item> {
    let (i, start) = word("link")(i)?;
    let (i, link_name) = name("the name of the link")(i)?;
    let (i, _) = word("of")(i)?;
    let (i, of) = path(i)?;
    let (i, open) = symbol("{")(i)?;
    let (mut families, mut needs) = (Vec::new(), None);
    let starts = ["tied", "needs"];
    let i = block(i, open, &starts, |i| {
        if i.is_word("needs") {
            let (rest, _) = super::input::words(&["needs", "at", "least"])(i)?;
            let (rest, n) = count("how many, such as `2`")(rest)?;
            let (rest, _) = super::input::words(&["of", "these"])(rest)?;
            once(i, &mut needs, n, "needs", i);
            return Ok((rest, ()));
        }
        if !i.is_word("tied") {
            return unknown_entry(i, "link", &starts);
        }
        let (rest, f) = family(i)?;
        families.push(f);
        Ok((rest, ()))
    });
    Ok((i, Item::Link(Link { name: link_name, of, families, needs, span: start.to(i.last) })))
}

fn family(i: Tokens<'_>) -> Parsed<'_, Family> {
    let (i, start) = super::input::words(&["tied", "by"])(i)?;
    let (i, by) = super::expr::sum(i)?;
    let (i, _) = word("within")(i)?;
    let (mut i, within) = duration("how long a tie lasts, such as `30d`")(i)?;
    let (mut used, mut ignoring, mut cap) = (None, Vec::new(), None);
    while i.is_symbol(",") {
        i = i.take_from(1);
        if i.are_words(&["used", "at", "least"]) {
            let (rest, n) = count("how often, such as `20`")(i.take_from(3))?;
            let (rest, _) = word("times")(rest)?;
            (used, i) = (Some(n), rest);
        } else if i.are_words(&["ignoring", "values"]) {
            i = i.take_from(2);
            loop {
                if i.is_word("in") {
                    let (rest, list) = path(i.take_from(1))?;
                    ignoring.push(list);
                    i = rest;
                } else if i.are_words(&["shared", "by", "more", "than"]) {
                    let (rest, n) = count("how many, such as `25`")(i.take_from(4))?;
                    let (rest, _) = word("accounts")(rest)?;
                    (cap, i) = (Some(n), rest);
                } else {
                    return expected(i, "`in` a list, or `shared by more than … accounts`");
                }
                if !i.is_word("or") {
                    break;
                }
                i = i.take_from(1);
            }
        } else {
            return expected(i, "`used at least … times` or `ignoring values …`");
        }
    }
    Ok((i, Family { by, within, used, ignoring, cap, span: start.to(i.last) }))
}

fn per(i: Tokens<'_>) -> Parsed<'_, Vec<Expr>> {
    separated_list1(symbol(","), super::expr::sum).parse(i)
}

fn series(i: Tokens<'_>) -> Parsed<'_, Item> {
    let (i, start) = word("series")(i)?;
    let (i, series_name) = name("the name of the series")(i)?;
    let (i, _) = symbol("{")(i)?;
    let (i, on) = section_on(i)?;
    let (i, per) = after(&["per"], per)(i)?;
    let (i, _) = word("every")(i)?;
    let (i, every) = duration("the distance of two values, such as `10m`")(i)?;
    let (i, _) = word("value")(i)?;
    let (i, value) = expr(i)?;
    let (i, outage) = after(&["outage", "below"], |i| {
        let (i, share) = percentage(i)?;
        let (i, _) = super::input::words(&["of", "its", "median"])(i)?;
        Ok((i, share))
    })(i)?;
    let (i, _) = symbol("}")(i)?;
    let per = per.unwrap_or_default();
    Ok((i, Item::Series(Series { name: series_name, on, per, every, value, outage, span: start.to(i.last) })))
}

/// `10%`, in millionths.
pub(super) fn percentage(i: Tokens<'_>) -> Parsed<'_, At<i64>> {
    match i.tok() {
        Tok::Percentage(n) => Ok((i.take_from(1), At { value: *n, span: i.here() })),
        _ => expected(i, "a percentage such as `10%`"),
    }
}

fn limit(i: Tokens<'_>) -> Parsed<'_, Item> {
    let (i, start) = word("limit")(i)?;
    let (i, limit_name) = name("the name of the limit")(i)?;
    let (i, _) = symbol("{")(i)?;
    let (i, enforces) = after(&["enforces"], paths)(i)?;
    let (i, severity) = after(&["severity"], name("a severity"))(i)?;
    let (i, mode) = after(&["mode"], name("a mode"))(i)?;
    let (i, on) = section_on(i)?;
    let (i, per) = after(&["per"], per)(i)?;
    let (i, over) = super::rule::section_over(i)?;
    let (i, reserve) = after(&["reserve"], super::expr::sum)(i)?;
    let (i, _) = word("settle")(i)?;
    let (i, settle) = super::expr::sum(i)?;
    let (i, _) = super::input::words(&["at", "most"])(i)?;
    let (i, most) = super::expr::sum(i)?;
    let (i, actions) = actions(i)?;
    let (i, because) = after(&["because"], text("the reason in quotes"))(i)?;
    let (i, _) = symbol("}")(i)?;
    let limit = Limit {
        name: limit_name,
        enforces: enforces.unwrap_or_default(),
        severity,
        mode,
        on,
        per: per.unwrap_or_default(),
        over,
        reserve,
        settle,
        most,
        actions,
        because,
        span: start.to(i.last),
    };
    Ok((i, Item::Limit(limit)))
}
