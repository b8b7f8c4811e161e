//! `fineprint violations stats`: how many violations, and how often each rule was right by what reviewers decided.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{Log, tally_json, tally_table};
use crate::cli::Format;
use crate::cli::exit::Exit;
use crate::cli::summary::books_line;
use crate::cli::terminal::{cut, grouped, output, table};
use crate::store::{Outcome, Precision, Review, Reviewed};

/// Counts violations by rule, severity and status, and says how often each rule was right
///
/// A rule's precision is the share of confirmed violations among those confirmed, false positives and those with insufficient
/// evidence, by the last decision on each; what was authorised, a duplicate or a test counts on neither side.
#[derive(Debug, clap::Args)]
pub(super) struct Stats {
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Stats {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let log = Log::open(&self.db)?;
        let tallies = log.wait(log.store.stats())?;
        let review = log.wait(log.store.review())?;
        let books = log.wait(log.store.resume())?.map(|r| r.checkpoint.books).unwrap_or_default();
        let mut out = output();
        match self.format {
            Format::Json => {
                let all = json!({
                    "violations": tallies.iter().map(tally_json).collect::<Vec<_>>(),
                    "rules": review.rules.iter().map(reviewed_json).collect::<Vec<_>>(),
                    "decided_and_taken_back": review.n_gone,
                    "books": books,
                });
                crate::cli::terminal::write_json(&mut out, &all)?;
                writeln!(out)?;
            }
            Format::Text => {
                writeln!(out, "{}\n", tally_table(&tallies))?;
                write!(out, "{}", review_text(&review))?;
                writeln!(out, "\n{}", books_line(&books))?;
            }
        }
        out.flush()?;
        Ok(Exit::Fine)
    }
}

/// Outcomes by which a violation is dismissed.
fn dismissals() -> impl Iterator<Item = Outcome> {
    Outcome::ALL.iter().copied().filter(|o| *o != Outcome::Confirmed)
}

fn reviewed_json(r: &Reviewed) -> Value {
    let dismissed: Map<String, Value> = dismissals().map(|o| (o.word().to_string(), r.count(o).into())).collect();
    json!({
        "rule": r.rule,
        "findings": r.n_violations,
        "decided": r.decided(),
        "confirmed": r.count(Outcome::Confirmed),
        "dismissed": dismissed,
        "precision": r.precision().map(|p| json!({
            "confirmed": p.confirmed,
            "of": p.of,
            "millionths": p.share,
            "low_millionths": p.low,
            "high_millionths": p.high,
        })),
    })
}

fn review_text(review: &Review) -> String {
    let mut headings = vec!["RULE", "FINDINGS", "DECIDED", "CONFIRMED"];
    headings.extend(["FALSE POSITIVE", "AUTHORISED", "DUPLICATE", "INSUFFICIENT", "TEST", "PRECISION (95 %)"]);
    let mut table = table(&headings);
    for r in &review.rules {
        let counts = [r.n_violations, r.decided(), r.count(Outcome::Confirmed)];
        let counts = counts.into_iter().chain(dismissals().map(|o| r.count(o))).map(grouped);
        let precision = r.precision().map_or_else(|| "-".to_string(), precision_text);
        table.add_row([cut(&r.rule, 60)].into_iter().chain(counts).chain([precision]));
    }
    let gone = match review.n_gone {
        0 => String::new(),
        n => format!(
            "{} decided violations were taken back by the run that read on; they count for no rule\n",
            grouped(n)
        ),
    };
    format!("{table}\n{gone}")
}

/// `75.0 % (30.0–95.5) of 4`: the ends of the interval are rounded away from each other.
fn precision_text(p: Precision) -> String {
    let tenths = |n: u64| format!("{}.{}", n / 10, n % 10);
    let share = tenths(p.share.saturating_add(500) / 1_000);
    format!("{share} % ({}–{}) of {}", tenths(p.low / 1_000), tenths(p.high.div_ceil(1_000)), grouped(p.of))
}
