//! `fineprint policy coverage`: clauses without a rule, rules without a clause in force.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::usable;
use crate::cli::Format;
use crate::cli::check::today;
use crate::cli::exit::Exit;
use crate::cli::fingerprints::KeyFile;
use crate::cli::terminal::{output, printable, table};
use crate::cli::violations::time;
use crate::counsel::{self, ClauseRow, ThemeRow};
use crate::source::SourceId;
use crate::time::Timestamp;

/// Lists clauses that no rule enforces, rules without a clause in force, and what documents permit
///
/// Exits with 1 where a rule has no clause in force on the day. Clauses without a rule are no finding: not all that terms
/// forbid can be seen in usage.
#[derive(Debug, clap::Args)]
pub(super) struct Coverage {
    /// Directory of rule files, or one file
    #[arg(value_name = "DIR")]
    rules: PathBuf,
    /// The day for which it is judged what is in force: a date such as 2026-03-02, or `today`. Where it is not given, all
    /// documents count as they are written
    #[arg(long, value_name = "DATE", value_parser = day)]
    at: Option<Timestamp>,
    /// Where list and table files are looked up first
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    #[command(flatten)]
    key: KeyFile,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn day(text: &str) -> Result<Timestamp, String> {
    if text == "today" { Ok(today()) } else { time(text) }
}

impl Coverage {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Some(pack) = usable(&self.rules, self.lists.as_deref(), &self.key)? else { return Ok(Exit::RuleError) };
        let Some(rules) = &pack.rules else { return Ok(Exit::RuleError) };
        let theme = |source: SourceId| -> String {
            let path = pack.paths.get(source.0 as usize).map_or(Path::new(""), PathBuf::as_path);
            path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
        };
        let found = counsel::coverage(rules.program(), self.at, &theme);
        let mut out = output();
        match self.format {
            Format::Json => {
                crate::cli::terminal::write_json(&mut out, &report(&found))?;
                writeln!(out)?;
            }
            Format::Text => text(&mut out, &found)?,
        }
        out.flush()?;
        Ok(if found.rules_without_clause.is_empty() { Exit::Fine } else { Exit::Findings })
    }
}

fn text(out: &mut dyn Write, found: &counsel::Coverage) -> std::io::Result<()> {
    let day = match found.at {
        None => "as the documents are written, whatever their dates".to_string(),
        Some(at) => format!("in force on {}", counsel::date(at)),
    };
    let clauses = found.clauses.iter().filter(|c| c.in_force && !c.permits).count();
    let lacking = found.without_rule().count();
    writeln!(out, "{clauses} clauses {day}; {} of them have a rule, of {} rules", clauses - lacking, found.rules)?;
    section(out, "Clauses without a rule", found.without_rule())?;
    writeln!(out, "\nRules without a clause in force: {}", found.rules_without_clause.len())?;
    for (rule, why) in &found.rules_without_clause {
        writeln!(out, "  {}: {}", printable(rule), printable(&why.join("; ")))?;
    }
    section(out, "Permitted, so that no rule can enforce it", found.permissions())?;
    if found.at.is_some() {
        section(out, "Not in force on that day", found.out_of_force())?;
    }
    writeln!(out, "\nClauses with a rule, by provider and by the file of the rule's definition")?;
    writeln!(out, "{}", matrix(found))
}

fn section<'c>(out: &mut dyn Write, heading: &str, rows: impl Iterator<Item = &'c ClauseRow>) -> std::io::Result<()> {
    let rows: Vec<&ClauseRow> = rows.collect();
    writeln!(out, "\n{heading}: {}", rows.len())?;
    for c in rows {
        let section = if c.section.is_empty() { String::new() } else { format!(" ({})", c.section) };
        let line = format!("{}.{} of {}{section}: {}", c.policy, c.clause, c.version, c.says);
        writeln!(out, "  {}", printable(&line))?;
    }
    Ok(())
}

fn matrix(found: &counsel::Coverage) -> comfy_table::Table {
    let headings: Vec<String> = ["provider"]
        .into_iter()
        .chain(found.themes.iter().map(String::as_str))
        .chain(["no rule", "permitted"])
        .map(str::to_uppercase)
        .collect();
    let mut table = table(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    let cell = |n: usize| if n == 0 { "-".to_string() } else { n.to_string() };
    for row in &found.matrix {
        let numbers = row.clauses.iter().chain([&row.without_rule, &row.permits]).map(|n| cell(*n));
        table.add_row([printable(&row.provider).into_owned()].into_iter().chain(numbers));
    }
    table
}

fn report(found: &counsel::Coverage) -> Value {
    let clause = |c: &ClauseRow| {
        json!({
            "policy": c.policy,
            "version": c.version,
            "clause": c.clause,
            "section": c.section,
            "says": c.says,
            "permits": c.permits,
            "from": counsel::date(c.from),
            "until": c.until.map(counsel::date),
            "in_force": c.in_force,
            "rules": c.rules,
        })
    };
    let lacking = |(rule, why): &(String, Vec<String>)| json!({ "rule": rule, "because": why });
    let row = |row: &ThemeRow| {
        let by_theme: serde_json::Map<String, Value> =
            found.themes.iter().cloned().zip(row.clauses.iter().map(|n| json!(n))).collect();
        json!({
            "provider": row.provider,
            "clauses": by_theme,
            "without_rule": row.without_rule,
            "permits": row.permits,
        })
    };
    json!({
        "at": found.at.map(counsel::date),
        "rules": found.rules,
        "clauses": found.clauses.iter().map(clause).collect::<Vec<_>>(),
        "rules_without_clause": found.rules_without_clause.iter().map(lacking).collect::<Vec<_>>(),
        "matrix": found.matrix.iter().map(row).collect::<Vec<_>>(),
    })
}
