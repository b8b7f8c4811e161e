//! `fineprint check`: whether rule files can be used, and what they cost.

use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::json;

use super::Format;
use super::diagnostics;
use super::exit::Exit;
use super::feed;
use super::fingerprints::KeyFile;
use super::terminal::{grouped, output, printable, table};
use super::violations::time;
use super::wrong::Wrong;
use crate::check::cost::{RuleCost, cost, cost_of_series, link_cost};
use crate::counsel::blind;
use crate::diagnostic::{has_errors, to_json};
use crate::hir::{Family, Link, PARTIALS_PER_KEY_MAX, PARTIALS_PER_RULE_MAX, Program, Rule, Shape, Windowed};
use crate::inline::{Answer, Answers};
use crate::pack::{self, Pack, PackError, PackOptions};
use crate::time::Timestamp;

/// Checks rule files: grammar, names, types, units, clauses, lists, costs
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Check {
    /// Directory of rule files, or one file
    #[arg(value_name = "DIR")]
    rules: PathBuf,
    /// Where list and table files are looked up first
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    /// The day for which dates are judged, such as 2026-03-02: clauses out of force, exceptions about to end; today where
    /// it is not given
    #[arg(long, value_name = "DATE", value_parser = time)]
    as_of: Option<Timestamp>,
    #[command(flatten)]
    key: KeyFile,
    /// Says which rules and exceptions can never hold on a feed, and why: a shipped mapping by name, a mapping file, or the
    /// fields that events have, separated by commas
    #[arg(long, value_name = "NAME|FILE|FIELDS")]
    feed: Option<String>,
    /// With `--feed`, the account registry, JSON lines; without it the registry is taken to tell everything
    #[arg(long, value_name = "FILE", requires = "feed")]
    accounts: Option<PathBuf>,
    /// Shows what each rule keeps: window, steps per window, aggregates, keys
    #[arg(long)]
    cost: bool,
    /// Shows which rules answer a gateway while a call waits, and why the others do not
    #[arg(long)]
    arrival: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let as_of = Some(self.as_of.unwrap_or_else(today));
        let (lists, fingerprint_key) = (self.lists.as_deref(), self.key.read()?);
        let named = self.feed.as_deref().map(|f| feed::read(f, self.accounts.is_some())).transpose()?;
        let accounts = self.accounts.as_deref();
        let pack = load(&PackOptions { rules: &self.rules, lists, accounts, as_of, fingerprint_key })?;
        let program = pack.rules.as_ref().map(|r| r.program());
        let blind = match (&pack.rules, &named) {
            (Some(rules), Some(feed)) => Some(blind(rules.program(), rules.data(), feed)),
            _ => None,
        };
        let answers = pack.rules.as_ref().filter(|_| self.arrival).map(|rules| Answers::of(rules));
        let mut out = output();
        match self.format {
            Format::Json => {
                let rules = program.map_or_else(Vec::new, |p| p.rules.iter().map(rule_json).collect());
                let links = program.map_or_else(Vec::new, |p| p.links.iter().map(link_json).collect());
                let mut report = json!({
                    "diagnostics": to_json(&pack.diagnostics, &pack.sources),
                    "files": pack.paths.len(),
                    "rules": rules,
                    "links": links,
                    "usable": program.is_some(),
                });
                if let (Some(blind), Some(report)) = (&blind, report.as_object_mut()) {
                    report.insert("feed".into(), feed::to_json(blind));
                }
                if let (Some(answers), Some(report)) = (&answers, report.as_object_mut()) {
                    report.insert("arrival".into(), answers.rules.iter().map(answer_json).collect());
                }
                crate::cli::terminal::write_json(&mut out, &report)?;
                writeln!(out)?;
            }
            Format::Text => {
                diagnostics::show(&pack.diagnostics, &pack.sources);
                if let Some(program) = program {
                    if self.cost {
                        writeln!(out, "{}", costs(program))?;
                        if !program.links.is_empty() {
                            writeln!(out, "{}", link_costs(program))?;
                        }
                    }
                    if let Some(answers) = &answers {
                        writeln!(out, "{}", arrival(answers))?;
                    }
                    if let Some(blind) = &blind {
                        write!(out, "{}", feed::to_text(blind, program.rules.len()))?;
                        if self.accounts.is_none() {
                            writeln!(out, "the registry is taken to tell everything; `--accounts FILE` names one")?;
                        }
                    }
                    writeln!(out, "{}", summary(&pack, program))?;
                }
            }
        }
        out.flush()?;
        Ok(if has_errors(&pack.diagnostics) || program.is_none() { Exit::RuleError } else { Exit::Fine })
    }
}

/// Reads a pack, with what to write instead where it cannot be read.
pub(super) fn load(options: &PackOptions<'_>) -> anyhow::Result<Pack> {
    if let Some(lists) = options.lists.filter(|l| !l.is_dir()) {
        let what = format!("`--lists {}` is no directory", lists.display());
        return Err(Wrong::new(what, "name the directory that holds the list files of the rules").into());
    }
    pack::load(options).map_err(|e| match &e {
        PackError::NoRules(path) => Wrong::new(
            format!("there is no rule file in `{}`", path.display()),
            "name a directory with files that end in `.tos`, such as `rules`",
        )
        .into(),
        PackError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Wrong::new(e.to_string(), "name a directory of rule files that is there, such as `rules`").into()
        }
        _ => anyhow::Error::from(e),
    })
}

/// The present, by which dates in rules are judged where no day is named. Nothing that a run finds depends on it.
#[expect(clippy::disallowed_methods, reason = "advice on dates is for the day on which it is asked for")]
pub(super) fn today() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

fn summary(pack: &Pack, program: &Program) -> String {
    let plural = |n: usize, one: &str, more: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {more}") };
    format!(
        "{} in {}: {}, {}, {}",
        plural(program.rules.len(), "rule", "rules"),
        plural(pack.paths.len(), "file", "files"),
        plural(program.policies.len(), "policy", "policies"),
        plural(program.lists.len(), "list", "lists"),
        diagnostics::count(&pack.diagnostics),
    )
}

/// What each rule says while a call waits.
fn arrival(answers: &Answers) -> comfy_table::Table {
    let mut table = table(&["RULE", "AT ARRIVAL", "AT MOST", "IN MODE ENFORCE"]);
    for answer in &answers.rules {
        let (said, most, would) = match answer.form {
            Ok(form) => (form.word().to_string(), answer.verdict.word(), answer.would.word()),
            Err(silent) => (format!("not: {}", silent.why()), "-", "-"),
        };
        table.add_row([printable(&answer.rule).into_owned(), said, most.into(), would.into()]);
    }
    table
}

fn answer_json(answer: &Answer) -> serde_json::Value {
    let (form, why) = match answer.form {
        Ok(form) => (Some(form.word()), None),
        Err(silent) => (None, Some(silent.why())),
    };
    json!({
        "rule": answer.rule,
        "answers": form,
        "why_not": why,
        "verdict": answer.verdict.word(),
        "would": answer.would.word(),
    })
}

fn costs(program: &Program) -> comfy_table::Table {
    let mut table = table(&["RULE", "SEVERITY", "MODE", "WINDOW", "STEP", "STEPS", "AGGREGATES", "PER", "BYTES"]);
    for rule in &program.rules {
        let (window, step, steps, aggregates, keys) = shape(rule);
        let bytes = bytes(&cost(rule));
        let name = printable(&rule.name).into_owned();
        table.add_row([
            name,
            rule.severity.word().into(),
            rule.mode.word().into(),
            window,
            step,
            steps,
            aggregates,
            keys,
            bytes,
        ]);
    }
    for s in &program.series {
        let cost = cost_of_series(s);
        let name = format!("{} (series)", printable(&s.name));
        let (step, steps, aggregates) = (s.every.to_string(), s.steps.to_string(), s.aggregates.len().to_string());
        table.add_row([
            name,
            "-".into(),
            "-".into(),
            "-".into(),
            step,
            steps,
            aggregates,
            parts(s.per.len()),
            bytes(&cost),
        ]);
    }
    table
}

/// What the links take at most: a bound, which few feeds come near.
fn link_costs(program: &Program) -> comfy_table::Table {
    let mut table = table(&["LINK", "TIED BY", "NEEDS", "WITHIN", "SHARED BY AT MOST", "EDGES", "PAIRS", "BYTES"]);
    for link in &program.links {
        let cost = link_cost(link);
        let each = |f: &dyn Fn(&Family) -> String| link.families.iter().map(f).collect::<Vec<_>>().join("\n");
        table.add_row([
            printable(&link.name).into_owned(),
            each(&|f| printable(&f.name).into_owned()),
            format!("{} of {}", link.needs, link.families.len()),
            each(&|f| f.within.to_string()),
            each(&|f| format!("{} accounts", f.cap)),
            grouped(cost.edges),
            grouped(cost.pairs),
            grouped(cost.bytes),
        ]);
    }
    table
}

/// What one group takes at most; what grows with the number of different values comes on top.
fn bytes(cost: &RuleCost) -> String {
    match cost {
        RuleCost { bytes_per_key: 0, grows_with_values: false, .. } => "-".to_string(),
        RuleCost { bytes_per_key, grows_with_values, .. } => {
            let values = if *grows_with_values { " + values" } else { "" };
            format!("{}{values}", grouped(*bytes_per_key))
        }
    }
}

/// The window as an author would write it.
fn window(w: &Windowed) -> String {
    match w.gap {
        None => w.length.to_string(),
        Some(gap) => format!("sessions with gaps of {gap} at most {}", w.length),
    }
}

fn shape(rule: &Rule) -> (String, String, String, String, String) {
    match &rule.shape {
        Shape::Single => ("single event".into(), "-".into(), "-".into(), "-".into(), "-".into()),
        Shape::Windowed(w) => (
            window(w),
            w.step.to_string(),
            (w.length.0 / w.step.0.max(1)).to_string(),
            w.aggregates.len().to_string(),
            if w.link.is_some() { "link group".to_string() } else { keys(w) },
        ),
        Shape::Sequence(s) => (
            format!("sequence in {}", s.within),
            "-".into(),
            s.steps.len().to_string(),
            format!("{PARTIALS_PER_KEY_MAX} matches, {} KiB a key", cost(rule).bytes_per_key.div_ceil(1024)),
            parts(s.per.len()),
        ),
    }
}

/// The parts of a group, and how many groups an event may belong to.
fn keys(w: &Windowed) -> String {
    match w.keys_per_event() {
        1 => parts(w.per.len()),
        n => format!("{}, up to {n} keys an event", parts(w.per.len())),
    }
}

fn parts(n: usize) -> String {
    format!("{n} part{}", if n == 1 { "" } else { "s" })
}

fn link_json(link: &Link) -> serde_json::Value {
    let cost = link_cost(link);
    json!({
        "name": link.name,
        "needs": link.needs,
        "families": link.families.iter().map(|f| json!({
            "tied_by": f.name,
            "within": f.within.to_string(),
            "used_at_least": f.used,
            "shared_by_at_most": f.cap,
        })).collect::<Vec<_>>(),
        "edges": cost.edges,
        "pairs": cost.pairs,
        "bytes": cost.bytes,
    })
}

fn rule_json(rule: &Rule) -> serde_json::Value {
    let window = match &rule.shape {
        Shape::Single | Shape::Sequence(_) => serde_json::Value::Null,
        Shape::Windowed(w) => json!({
            "length": w.length.to_string(),
            "gap": w.gap.map(|gap| gap.to_string()),
            "step": w.step.to_string(),
            "steps": w.length.0 / w.step.0.max(1),
            "aggregates": w.aggregates.len(),
            "keys": w.per.len(),
            "by_link_group": w.link.is_some(),
            "keys_per_event": w.keys_per_event(),
            "bytes": cost(rule).bytes_per_key,
            "grows_with_values": cost(rule).grows_with_values,
        }),
    };
    let sequence = match &rule.shape {
        Shape::Single | Shape::Windowed(_) => serde_json::Value::Null,
        Shape::Sequence(s) => json!({
            "within": s.within.to_string(),
            "steps": s.steps.len(),
            "keys": s.per.len(),
            "partial_matches_per_key": PARTIALS_PER_KEY_MAX,
            "partial_matches": PARTIALS_PER_RULE_MAX,
            "bytes_per_key": cost(rule).bytes_per_key,
        }),
    };
    json!({
        "name": rule.name,
        "enforces": rule.enforces.iter().map(|c| format!("{}.{}", c.policy, c.clause)).collect::<Vec<_>>(),
        "severity": rule.severity.word(),
        "mode": rule.mode.word(),
        "kinds": rule.kinds.iter().map(|k| k.word()).collect::<Vec<_>>(),
        "window": window,
        "sequence": sequence,
    })
}
