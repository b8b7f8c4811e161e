//! The evaluator in another program: compile rules, take in events, let time pass, hand out findings, write the state down.
//! `cargo run --example embed --no-default-features`
#![allow(clippy::print_stdout, unreachable_pub, missing_docs, reason = "an example")]

use std::error::Error;
use std::sync::Arc;

use fineprint::compile::compile;
use fineprint::diagnostic::to_text;
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::decode::Decoder;
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::source::SourceMap;
use fineprint::time::{Duration, MINUTE_NS, Timestamp};

const RULES: &str = r#"
policy acme.terms version 2026-01-01 {
  title  "Acme Terms of Service"
  clause fair-use at "3.1" "Keys are not shared."
}

rule shared-key {
  enforces acme.terms.fair-use
  mode     flag
  on       completion
  per      api_key_id
  over     1h every 10m
  let      countries = distinct(country)
  when     countries >= 3
  because  "one key came from {countries} countries within an hour"
}
"#;

pub fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let mut sources = SourceMap::default();
    sources.add("shared.tos", RULES);
    let compiled = compile(&sources);
    if compiled.has_errors() {
        return Err(to_text(&compiled.diagnostics, &sources, false).into());
    }
    let rules = RuleSet::new(compiled.program, ReferenceData::default()).map_err(|d| to_text(&d, &sources, false))?;
    let rules = Arc::new(rules);
    let options = EvalOptions { lateness: Duration(MINUTE_NS), ..EvalOptions::default() };
    let mut evaluator = Evaluator::new(Arc::clone(&rules), options.clone());

    let mut decoder = Decoder::new();
    let mut told = Vec::new();
    for (n, country) in ["DE", "FR", "US", "US"].into_iter().enumerate() {
        let line = format!(
            r#"{{"id":"e{n}","ts":"2026-01-05T10:0{n}:00Z","type":"completion","api_key_id":"k1","account":"a","country":"{country}"}}"#
        );
        evaluator.observe(&decoder.decode(line.as_bytes())?, Origin::default());

        // The state as bytes, between any two events; another process goes on from there.
        let saved = evaluator.snapshot()?;
        evaluator = Evaluator::restore(Arc::clone(&rules), options.clone(), &saved)?;
    }
    // Time passes with events, or because the caller says so: nothing before this moment is still to come.
    let until = Timestamp::parse_rfc3339("2026-01-05T12:00:00Z").ok_or("not a time")?;
    evaluator.advance(until);
    for violation in evaluator.take_violations() {
        told.push(format!(
            "{} {} {}: {}",
            violation.opened_at,
            violation.rule,
            violation.status.word(),
            violation.because
        ));
    }
    Ok(told)
}

#[allow(dead_code, reason = "a test runs the example without it")]
fn main() -> Result<(), Box<dyn Error>> {
    run()?.iter().for_each(|line| println!("{line}"));
    Ok(())
}
