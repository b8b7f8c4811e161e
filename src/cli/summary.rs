//! What a run did, at its end.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::terminal::{cut, grouped, printable};
use super::violations::{tally_json, tally_table};
use crate::runtime::{Ending, RunBooks, Summary};
use crate::store::Tally;

/// A run with everything its summary shows.
pub(super) struct Report<'a> {
    pub(super) summary: &'a Summary,
    pub(super) tallies: &'a [Tally],
    pub(super) db: Option<&'a Path>,
    /// What the caller may type next.
    pub(super) next: String,
}

/// The books of a log in one line.
pub(super) fn books_line(names: &BTreeMap<String, u64>) -> String {
    line(&RunBooks::from_names(names))
}

fn line(books: &RunBooks) -> String {
    let mut out = format!(
        "received {} = evaluated {} + late {} + duplicate {} + rejected {}",
        grouped(books.received),
        grouped(books.evaluated),
        grouped(books.late),
        grouped(books.duplicate),
        grouped(books.rejected_total())
    );
    if !books.rejected.is_empty() {
        let reasons: Vec<String> = books.rejected.iter().map(|(r, n)| format!("{r} {}", grouped(*n))).collect();
        let _ = write!(out, " ({})", reasons.join(", "));
    }
    if !books.balance() {
        out.push_str("  DOES NOT BALANCE: please report this");
    }
    out
}

/// Keys that are named in full.
const KEYS_SHOWN: usize = 8;

/// Rules that are named because events lack what they read.
const UNDECIDED_SHOWN: usize = 5;

impl Report<'_> {
    /// For people.
    pub(super) fn text(&self) -> String {
        let s = self.summary;
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.lines(&mut out, s);
        out
    }

    fn lines(&self, out: &mut String, s: &Summary) -> std::fmt::Result {
        if s.ending == Ending::Stopped {
            writeln!(out, "stopped; what was read up to here is in the log. Run the same command again to go on.")?;
        }
        let seconds = s.elapsed.as_secs_f64();
        let rate = if seconds > 0.0 { s.records as f64 / seconds } else { 0.0 };
        writeln!(
            out,
            "read        {} events ({:.1} MB) of {} in {seconds:.1} s, {} events/s",
            grouped(s.records),
            s.bytes as f64 / 1e6,
            plural(s.inputs.len(), "input"),
            grouped(rate as u64)
        )?;
        for name in &s.nothing_new {
            writeln!(out, "            {}: nothing new since the last run", printable(name))?;
        }
        writeln!(out, "books       {}", line(&s.books))?;
        if s.books.unknown_keys > 0 {
            let names: Vec<String> = s.unknown_names.iter().take(KEYS_SHOWN).map(|n| cut(n, 40)).collect();
            let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
            writeln!(
                out,
                "unknown     {} values of keys that are no field were ignored{names}",
                grouped(s.books.unknown_keys)
            )?;
        }
        let mut undecided: Vec<&(String, u64)> = s.undecided.iter().collect();
        undecided.sort_by_key(|(rule, n)| (std::cmp::Reverse(*n), rule));
        for (rule, n) in undecided.iter().take(UNDECIDED_SHOWN) {
            writeln!(
                out,
                "undecided   {}: {} events lack a field that it reads, or memory of long enough",
                printable(rule),
                grouped(*n)
            )?;
        }
        if undecided.len() > UNDECIDED_SHOWN {
            writeln!(
                out,
                "            and {} more rules: `--format json` names them",
                undecided.len() - UNDECIDED_SHOWN
            )?;
        }
        for (rule, n) in s.memory_lost.iter().take(UNDECIDED_SHOWN) {
            writeln!(out, "memory      {}: {} values were forgotten for want of room", printable(rule), grouped(*n))?;
        }
        for (rule, groups, events) in s.groups_lost.iter().take(UNDECIDED_SHOWN) {
            let (rule, groups, events) = (printable(rule), grouped(*groups), grouped(*events));
            writeln!(
                out,
                "room        {rule}: {groups} groups of {events} events went for want of room (`--state-budget`)"
            )?;
        }
        for (link, edges, values) in &s.links_lost {
            let (link, edges, values) = (printable(link), grouped(*edges), grouped(*values));
            writeln!(
                out,
                "link        {link}: {edges} edges were forgotten, up to {values} values ignored for want of room"
            )?;
        }
        for (rule, n) in &s.dropped {
            let rule = printable(rule);
            writeln!(out, "dropped     {rule}: {} partial matches of sequences for want of room", grouped(*n))?;
        }
        for (name, n) in &s.baselines_lost {
            let name = printable(name);
            writeln!(out, "left out    {name}: {} values of too many cohorts or keys", grouped(*n))?;
        }
        let total: u64 = self.tallies.iter().map(|t| t.n_violations).sum();
        writeln!(out, "violations  {}", grouped(total))?;
        if total > 0 {
            for row in tally_table(self.tallies).to_string().lines() {
                writeln!(out, "  {}", row.trim_end())?;
            }
        }
        if let Some(db) = self.db {
            writeln!(out, "log         {}", printable(&db.display().to_string()))?;
        }
        if !self.next.is_empty() {
            writeln!(out, "next        {}", self.next)?;
        }
        Ok(())
    }

    /// For machines.
    pub(super) fn json(&self) -> Value {
        let s = self.summary;
        let books = &s.books;
        json!({
            "ending": if s.ending == Ending::Complete { "complete" } else { "stopped" },
            "records": s.records,
            "bytes": s.bytes,
            "seconds": s.elapsed.as_secs_f64(),
            "seconds_committing": s.committing.as_secs_f64(),
            "longest_pause_ms": s.longest_pause.as_secs_f64() * 1e3,
            "inputs": s.inputs.iter().map(|i| json!({
                "name": i.name, "offset_bytes": i.offset_bytes, "lines": i.n_lines, "finished": i.finished,
            })).collect::<Vec<_>>(),
            "nothing_new": s.nothing_new,
            "books": {
                "received": books.received,
                "evaluated": books.evaluated,
                "late": books.late,
                "duplicate": books.duplicate,
                "rejected": books.rejected_total(),
                "rejected_by_reason": books.rejected,
                "balance": books.balance(),
            },
            "unknown_keys": books.unknown_keys,
            "undecided": s.undecided.iter().map(|(r, n)| json!({ "rule": r, "events": n })).collect::<Vec<_>>(),
            "memory_lost": s.memory_lost.iter().map(|(r, n)| json!({ "rule": r, "sightings": n })).collect::<Vec<_>>(),
            "groups_lost": s.groups_lost.iter().map(|(r, groups, events)| json!({ "rule": r, "groups": groups, "events": events })).collect::<Vec<_>>(),
            "links_lost": s.links_lost.iter().map(|(l, edges, values)| json!({ "link": l, "edges": edges, "values": values })).collect::<Vec<_>>(),
            "partial_matches_dropped": s.dropped.iter().map(|(r, n)| json!({ "rule": r, "events": n })).collect::<Vec<_>>(),
            "baselines_lost": s.baselines_lost.iter().map(|(r, n)| json!({ "name": r, "values": n })).collect::<Vec<_>>(),
            "violations": self.tallies.iter().map(tally_json).collect::<Vec<_>>(),
            "db": self.db.map(|p| p.display().to_string()),
        })
    }
}

fn plural(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}
