//! `fineprint test`: the tests that stand in rules, on a virtual clock.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::Format;
use super::exit::Exit;
use super::fingerprints::KeyFile;
use super::progress::Progress;
use super::terminal::{colour_output, output, printable};
use super::wrong::Wrong;
use super::{check, diagnostics};
use crate::fixture::{self, Report, Verdict};
use crate::source::SourceMap;

/// Runs the tests that stand in rules, with near misses of every firing test
///
/// Each test runs its rule alone on a virtual clock. A firing test is tried again shuffled, duplicated, one event below the
/// threshold, one step outside the window, and with an event that comes too late; a near miss that does not hold fails it.
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Test {
    /// Directory of rule files, or one file
    #[arg(value_name = "DIR")]
    rules: PathBuf,
    /// Only the tests of this rule
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Where list and table files are looked up first
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    #[command(flatten)]
    key: KeyFile,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Test {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let pack = check::load(&crate::pack::PackOptions {
            rules: &self.rules,
            lists: self.lists.as_deref(),
            accounts: None,
            as_of: None,
            fingerprint_key: self.key.read()?,
        })?;
        let Some(rules) = &pack.rules else {
            diagnostics::show(&pack.diagnostics, &pack.sources);
            return Ok(Exit::RuleError);
        };
        let mut cases = fixture::cases(rules.program(), &pack.files);
        if let Some(name) = &self.rule {
            cases.retain(|c| c.rule.name == *name);
            if cases.is_empty() {
                return Err(no_tests(name, rules.program()).into());
            }
        }
        let mut progress = Progress::new(None);
        let mut reports = Vec::with_capacity(cases.len());
        let mut events = 0;
        for case in cases {
            let report = fixture::run(case, rules.program(), rules.data());
            events += report.events as u64;
            progress.update(0, events);
            reports.push(report);
        }
        progress.finish();
        let failed = reports.iter().filter(|r| !r.passed()).count();
        let mut out = output();
        match self.format {
            Format::Text => text(&mut out, &reports, &pack.sources)?,
            Format::Json => {
                crate::cli::terminal::write_json(&mut out, &to_json(&reports, &pack.sources))?;
                writeln!(out)?;
            }
        }
        out.flush()?;
        Ok(if failed > 0 { Exit::Findings } else { Exit::Fine })
    }
}

fn no_tests(name: &str, program: &crate::hir::Program) -> Wrong {
    let names = program.rules.iter().map(|r| r.name.as_str());
    if names.clone().any(|n| n == name) {
        return Wrong::new(
            format!("rule `{name}` has no tests"),
            "write a `test \"…\" { given … expect … }` block in it",
        );
    }
    match crate::diagnostic::nearest(name, names) {
        Some(near) => Wrong::new(format!("there is no rule `{name}`"), format!("did you mean `{near}`?")),
        None => Wrong::new(format!("there is no rule `{name}`"), "`fineprint check DIR` lists the rules"),
    }
}

fn text(out: &mut impl Write, reports: &[Report], sources: &SourceMap) -> std::io::Result<()> {
    let (ok, failed) = if colour_output() { ("\x1b[32mok\x1b[0m", "\x1b[31mFAILED\x1b[0m") } else { ("ok", "FAILED") };
    let mut rule = "";
    for r in reports {
        if r.rule != rule {
            rule = &r.rule;
            writeln!(out, "{rule}")?;
        }
        writeln!(out, "  {} {}", if r.passed() { ok } else { failed }, printable(&r.test))?;
        if r.passed() {
            for n in &r.near_misses {
                match &n.verdict {
                    Verdict::Held(seen) if seen.is_empty() => {}
                    Verdict::Held(seen) => writeln!(out, "     {}: {seen}", n.kind.word())?,
                    Verdict::Skipped(why) => writeln!(out, "     {}: skipped, {why}", n.kind.word())?,
                    Verdict::Failed(_) => {}
                }
            }
            continue;
        }
        let at = sources.position(r.span.source, r.span.start);
        let file = sources.get(r.span.source).map_or("", |s| s.name.as_str());
        writeln!(out, "     at {}:{at}", printable(file))?;
        writeln!(out, "     expected: {}", printable(&r.expected.join("; ")))?;
        writeln!(
            out,
            "     found:    {}",
            if r.found.is_empty() { "nothing".to_string() } else { printable(&r.found.join("; ")).into_owned() }
        )?;
        for failure in &r.failures {
            writeln!(out, "     {}", printable(failure))?;
        }
        for n in &r.near_misses {
            if let Verdict::Failed(what) = &n.verdict {
                writeln!(out, "     near miss `{}`: {}", n.kind.word(), printable(what))?;
            }
        }
    }
    let failed = reports.iter().filter(|r| !r.passed()).count();
    let near: Vec<&Verdict> = reports.iter().flat_map(|r| r.near_misses.iter().map(|n| &n.verdict)).collect();
    let held = near.iter().filter(|v| matches!(v, Verdict::Held(_))).count();
    let skipped = near.iter().filter(|v| matches!(v, Verdict::Skipped(_))).count();
    writeln!(
        out,
        "{} tests, {failed} failed; {} near misses: {held} held, {skipped} skipped, {} failed",
        reports.len(),
        near.len(),
        near.len() - held - skipped
    )
}

fn to_json(reports: &[Report], sources: &SourceMap) -> serde_json::Value {
    let tests: Vec<_> = reports
        .iter()
        .map(|r| {
            let at = sources.position(r.span.source, r.span.start);
            let near: Vec<_> = r
                .near_misses
                .iter()
                .map(|n| {
                    let (verdict, text) = match &n.verdict {
                        Verdict::Held(t) => ("held", t.as_str()),
                        Verdict::Skipped(t) => ("skipped", *t),
                        Verdict::Failed(t) => ("failed", t.as_str()),
                    };
                    json!({ "near_miss": n.kind.word(), "verdict": verdict, "text": text })
                })
                .collect();
            json!({
                "rule": r.rule, "test": r.test, "passed": r.passed(), "events": r.events,
                "file": sources.get(r.span.source).map(|s| s.name.as_str()), "line": at.line,
                "expected": r.expected, "found": r.found, "failures": r.failures, "near_misses": near,
            })
        })
        .collect();
    let failed = reports.iter().filter(|r| !r.passed()).count();
    json!({ "tests": tests, "passed": reports.len() - failed, "failed": failed })
}
