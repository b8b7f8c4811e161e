//! `fineprint violations decide`: a reviewer's decision on violations.

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use super::decided::decision_json;
use super::{hexadecimal, runtime};
use crate::cli::Format;
use crate::cli::check::today;
use crate::cli::exit::Exit;
use crate::cli::terminal::{cut, output, printable};
use crate::cli::wrong::Wrong;
use crate::store::{Access, Decided, Judgement, Outcome, REASON_CHARS_MAX, REVIEWER_CHARS_MAX, Store};
use crate::time::{MILLISECOND_NS, Timestamp};

/// Decides on violations: confirmed, or dismissed for a reason
///
/// All that are named are decided, or none. A decision is never changed: a later one on the same violation counts instead,
/// and the earlier one stays in the log. It may be written while `run` writes.
#[derive(Debug, clap::Args)]
pub(super) struct Decide {
    /// Their ids, or the beginnings of them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// What is decided: confirmed, false_positive, authorised, duplicate, insufficient_evidence, test
    #[arg(long = "as", value_name = "OUTCOME", value_parser = outcome)]
    outcome: Outcome,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who decides; the user's name where it is not given
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Decide {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let at = Timestamp(today().0.div_euclid(MILLISECOND_NS) * MILLISECOND_NS);
        let reason = told("--reason TEXT", "why this is decided", &self.reason, REASON_CHARS_MAX)?;
        let by = match &self.by {
            Some(by) => told("--by NAME", "who decides", by, REVIEWER_CHARS_MAX)?,
            None => user()?,
        };
        let judgement = Judgement { outcome: self.outcome, reason, by, at };
        let ids = self.ids.iter().map(|id| hexadecimal(id)).collect::<anyhow::Result<Vec<String>>>()?;
        let runtime = runtime()?;
        let decided = runtime.block_on(async {
            let mut store = Store::open(&self.db, Access::Review).await?;
            let decided = store.decide(&ids.iter().map(String::as_str).collect::<Vec<_>>(), &judgement).await?;
            store.close().await?;
            anyhow::Ok(decided)
        })?;
        let mut out = output();
        match self.format {
            Format::Json => {
                let all: Vec<Value> = decided.iter().map(|d| decision_json(&d.decision)).collect();
                crate::cli::terminal::write_json(&mut out, &all)?;
                writeln!(out)?;
            }
            Format::Text => decided.iter().try_for_each(|d| writeln!(out, "{}", line(d)))?,
        }
        out.flush()?;
        Ok(Exit::Fine)
    }
}

/// One decided violation; what it supersedes is said, so that nobody overrules a colleague unawares.
fn line(d: &Decided) -> String {
    let id: String = d.decision.violation.chars().take(12).collect();
    let now = format!("{id}  {}  {}", printable(&d.rule), d.decision.outcome.word());
    match &d.before {
        None => now,
        Some(b) => format!("{now}, instead of {} by {} on {}", b.outcome.word(), cut(&b.by, 40), b.at),
    }
}

/// An outcome; hyphens are as good as underscores.
pub(super) fn outcome(text: &str) -> Result<Outcome, String> {
    let words = Outcome::ALL.iter().map(|o| o.word()).collect::<Vec<_>>().join(", ");
    Outcome::from_word(&text.replace('-', "_")).ok_or_else(|| format!("write one of {words}"))
}

/// A text that must say something, without the blanks around it.
pub(in crate::cli) fn told(flag: &str, what: &str, text: &str, chars_max: usize) -> anyhow::Result<String> {
    let text = text.trim();
    let n = text.chars().count();
    if n == 0 {
        return Err(Wrong::new(format!("`{flag}` is empty"), format!("say {what}, in a few words")).into());
    }
    if n > chars_max {
        let help = format!("keep it to {chars_max} characters, and name the document that holds the rest");
        return Err(Wrong::new(format!("`{flag}` has {n} characters"), help).into());
    }
    Ok(text.to_string())
}

/// The user's name by the environment. `root` is nobody in particular.
#[expect(clippy::disallowed_methods, reason = "who calls is known to the environment alone")]
pub(in crate::cli) fn user() -> anyhow::Result<String> {
    let name = ["USER", "USERNAME"].iter().find_map(|key| std::env::var(key).ok());
    let name = name.map(|n| n.trim().to_string()).filter(|n| !n.is_empty() && n != "root");
    match name {
        Some(name) => told("--by NAME", "who decides", &name, REVIEWER_CHARS_MAX),
        None => Err(Wrong::new("it is not known who decides", "write `--by NAME`").into()),
    }
}
