//! What the words of a reading stand for: names given by authors, series, lists, tables, fields of the event.

use super::reading::{Line, sentence};
use super::say::{each, kinds, listed, percent, said};
use super::speech::Speech;
use crate::event::FIELDS;
use crate::hir::Series;
use crate::value::Type;

/// What the words of the other paragraphs stand for: names given by the author, series, lists, tables, fields of the event.
pub(super) fn words(s: &mut Speech<'_>) -> Vec<Line> {
    let mut out = Vec::new();
    // A definition may name another one.
    let mut told = std::collections::BTreeSet::new();
    while let Some(number) = s.definitions.iter().copied().find(|n| !told.contains(n)) {
        told.insert(number);
        let Some((name, e)) = s.program.definitions.get(number) else { continue };
        s.explain(name, |s| {
            if e.ty == Type::Bool {
                s.outline(&format!("\u{201c}{name}\u{201d} holds where"), e, true, 0, &mut out);
            } else {
                let value = s.value(e);
                out.push(sentence(format!("{name} is {value}.")));
            }
        });
    }
    let all: Vec<&Series> = s.series.iter().filter_map(|id| s.program.series.get(id.0 as usize)).collect();
    for series in all {
        words_of_series(s, series, &mut out);
    }
    for id in s.lists.clone() {
        let Some(list) = s.program.lists.get(id.0 as usize) else { continue };
        let what = match (&list.inline, &list.path) {
            (Some(values), _) => listed(values.iter().map(|c| said(&list.ty, c)).collect(), "and"),
            (None, Some(path)) => format!("what the file {path:?} holds at the time of the event"),
            (None, None) => "nothing".to_string(),
        };
        out.push(sentence(format!("The list {} is {what}.", list.name)));
    }
    for id in s.tables.clone() {
        let Some(table) = s.program.tables.get(id.0 as usize) else { continue };
        let key = s.noun(&table.key);
        let path = table.path.as_deref().unwrap_or_default();
        out.push(sentence(format!(
            "The table {} is the file {path:?}, looked up by the {key} of the event.",
            table.name
        )));
    }
    for id in s.fields.clone() {
        let Some(field) = FIELDS.get(usize::from(id.0)) else { continue };
        out.push(sentence(format!("{}: {}.", field.name, field.doc)));
    }
    out
}

fn words_of_series(s: &mut Speech<'_>, series: &Series, out: &mut Vec<Line>) {
    let mut own = Speech::new(s.program, &series.aggregates, &series.per);
    let value = own.value(&series.value);
    let per: Vec<String> = series.per.iter().map(|e| own.noun(e)).collect();
    let per = if per.is_empty() { String::new() } else { format!(", for each {} by itself", per.join(" with each ")) };
    let lead = format!("The series {} is, every {}{per}, {value}, of", series.name, each(series.every));
    match &series.filter {
        None => out.push(sentence(format!("{lead} {}.", kinds(&series.kinds)))),
        Some(f) => {
            let condition = own.condition(f, true);
            out.push(sentence(format!("{lead} {} for which {condition}.", kinds(&series.kinds))));
        }
    }
    if let Some(outage) = series.outage {
        out.push(sentence(format!(
            "It is in an outage where it lies below {} of its median over the {} steps before.",
            percent(outage),
            series.steps
        )));
    }
    s.fields.extend(own.fields);
    s.lists.extend(own.lists);
    s.tables.extend(own.tables);
}
