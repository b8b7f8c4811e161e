//! Cases as a table, and under it what the numbers rest on.

use std::fmt::Write as _;

use super::super::View;
use super::{VALUES_SHOWN, amount_text, percent, plural, to_the_minute};
use crate::campaign::{Volume, families};
use crate::cli::terminal::{cut, grouped, printable, table};

impl View<'_> {
    /// A table of cases, and under it what it rests on.
    pub(in crate::cli::campaigns) fn list_text(&self, shown: &[usize], limit: usize) -> String {
        let mut rows = table(&[
            "CAMPAIGN",
            "STRONGEST",
            "RULES",
            "ACCOUNTS",
            "ORGS",
            "FIRST (UTC)",
            "LAST (UTC)",
            "TIED BY",
            "CALLS",
            "TOKENS IN",
            "TOKENS OUT",
            "VALUE",
        ]);
        for case in shown.iter().take(limit) {
            rows.add_row(self.row(*case));
        }
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.under(&mut out, &rows.to_string(), shown, limit);
        out
    }

    fn under(&self, out: &mut String, rows: &str, shown: &[usize], limit: usize) -> std::fmt::Result {
        rows.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))?;
        if shown.len() > limit {
            writeln!(out, "… and {} more: `--limit N` shows more", shown.len() - limit)?;
        }
        writeln!(out)?;
        let hidden = self.cases.cases.len() - shown.len();
        if hidden > 0 {
            writeln!(
                out,
                "{} have no violation that was asked for.",
                plural(hidden, "further campaign", "further campaigns")
            )?;
        }
        if !self.cases.outside.is_empty() {
            let n = plural(self.cases.outside.len(), "violation", "violations");
            writeln!(out, "{n} (info, exempted or merged) accuse nobody and belong to no campaign.")?;
        }
        self.sources(out)?;
        let cut: Vec<&str> = shown
            .iter()
            .filter_map(|c| self.case(*c))
            .filter(|c| self.journal.is_some() && !self.reaches(c))
            .map(|c| c.id.as_str())
            .collect();
        if !cut.is_empty() {
            writeln!(out, "Marked `≥`: the campaign began before what the journal still holds.")?;
        }
        writeln!(out, "`fineprint violations show --campaign ID --db FILE` shows one in full.")
    }

    /// Where volumes and values come from.
    fn sources(&self, out: &mut String) -> std::fmt::Result {
        match self.journal {
            None => writeln!(
                out,
                "There is no journal: `≥` is the number of events of the strongest violation; tokens and values are not known."
            )?,
            Some(j) => {
                let since = j.since.map_or_else(String::new, |t| format!(", which holds everything since {t}"));
                let events = grouped(j.n_events);
                writeln!(
                    out,
                    "Calls and tokens: all of its accounts from the first to the last event, by the {events} events of the journal{since}."
                )?;
            }
        }
        match (self.prices, self.journal) {
            (Some(p), Some(_)) => {
                let about = p.about.as_deref().map_or_else(String::new, |a| format!(" ({})", printable(a)));
                writeln!(out, "Values: an estimate in {} by the prices given{about}.", printable(&p.currency))
            }
            (None, Some(_)) => writeln!(out, "Values: `--prices FILE` estimates them."),
            _ => Ok(()),
        }
    }

    fn row(&self, case: usize) -> Vec<String> {
        let Some(c) = self.case(case) else { return Vec::new() };
        let unknown = || "not known".to_string();
        let rules = self.rules(c);
        let strongest = rules.first();
        let more = if rules.len() > 1 { format!(" and {} more", rules.len() - 1) } else { String::new() };
        // A link writes `network(ip, v4 24)` where a group has `network`: a table has room for the word alone.
        let mut tied: Vec<(String, u64)> = Vec::new();
        for f in &families(self.findings, c) {
            let word = cut(f.name.split('(').next().unwrap_or_default(), 24);
            if tied.len() < VALUES_SHOWN && !tied.iter().any(|(known, _)| *known == word) {
                tied.push((word, percent(f.n_accounts, c.accounts.len())));
            }
        }
        let tied: Vec<String> = tied.into_iter().map(|(word, percent)| format!("{word} {percent}%")).collect();
        let volume = self.volume(case);
        let least = if self.journal.is_some() && !self.reaches(c) { "≥ " } else { "" };
        let calls = match (volume, self.evidence(c).next()) {
            (Some(v), _) => format!("{least}{}", grouped(v.calls)),
            (None, Some(f)) => format!("≥ {}", grouped(f.n_events)),
            (None, None) => unknown(),
        };
        let tokens = |of: fn(&Volume) -> u64| match volume {
            Some(v) if v.calls == 0 => "0".to_string(),
            Some(v) if v.calls_without_tokens < v.calls || of(v) > 0 => {
                let least = if v.calls_without_tokens > 0 { "≥ " } else { least };
                format!("{least}{}", grouped(of(v)))
            }
            _ => unknown(),
        };
        let value = match (self.prices, volume) {
            (Some(p), Some(v)) if v.calls_priced() > 0 || v.calls == 0 => {
                let least = if v.calls_priced() < v.calls { "≥ " } else { least };
                format!("{least}{} {}", amount_text(v.value()), cut(&p.currency, 8))
            }
            _ => unknown(),
        };
        vec![
            cut(&c.id, 20),
            strongest.map_or_else(String::new, |r| format!("{}, {}", r.severity.word(), r.confidence.word())),
            strongest.map_or_else(String::new, |r| format!("{}{more}", cut(r.rule, 40))),
            grouped(c.accounts.len() as u64),
            self.orgs(c).map_or_else(unknown, |(n, _)| grouped(n as u64)),
            to_the_minute(c.first),
            to_the_minute(c.last),
            tied.join(", "),
            calls,
            tokens(|v| v.input_tokens),
            tokens(|v| v.output_tokens),
            value,
        ]
    }
}
