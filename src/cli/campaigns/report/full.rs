//! One case in full: its volume, what ties it, its evidence and its members.

use std::fmt::Write as _;

use super::super::View;
use super::{VALUES_SHOWN, amount_text, digits, plural};
use crate::campaign::{Case, Finding, counts, families};
use crate::cli::terminal::{cut, grouped, printable, table};
use crate::hir::Severity;

/// Members that are named in text.
const MEMBERS_SHOWN: usize = 40;
/// Models that are named in text.
const MODELS_SHOWN: usize = 8;

impl View<'_> {
    /// One case in full.
    pub(in crate::cli::campaigns) fn case_text(&self, case: usize) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.sections(&mut out, case);
        out
    }

    fn sections(&self, out: &mut String, case: usize) -> std::fmt::Result {
        let Some(c) = self.case(case) else { return Ok(()) };
        writeln!(out, "Campaign {}", printable(&c.id))?;
        let orgs = match self.orgs(c) {
            Some((n, 0)) => format!("of {}", plural(n, "organisation", "organisations")),
            Some((n, unknown)) => {
                format!(
                    "of {}, {} of no known one",
                    plural(n, "organisation", "organisations"),
                    grouped(unknown as u64)
                )
            }
            None => "of organisations that are not known".to_string(),
        };
        writeln!(
            out,
            "{} of {} name {} {orgs}.",
            plural(c.findings.len(), "violation", "violations"),
            plural(self.rules(c).len(), "rule", "rules"),
            plural(c.accounts.len(), "account", "accounts"),
        )?;
        writeln!(out, "First event {}, last event {}.", c.first, c.last)?;
        writeln!(out)?;
        self.volume_text(out, case, c)?;
        self.tied_text(out, c)?;
        self.evidence_text(out, c)?;
        self.members_text(out, case, c)
    }

    fn volume_text(&self, out: &mut String, case: usize, c: &Case) -> std::fmt::Result {
        let Some(v) = self.volume(case) else {
            let n = self.evidence(c).next().map_or(0, |f| f.n_events);
            let why = if self.journal.is_none() { "There is no journal" } else { "No account is named" };
            return writeln!(
                out,
                "Volume: {} events of the strongest violation. {why}: all calls, tokens and their value are not known.",
                grouped(n)
            );
        };
        let others = if v.others > 0 { format!(", and {} other events", grouped(v.others)) } else { String::new() };
        writeln!(out, "Volume of all its accounts in that time: {} calls{others}", grouped(v.calls))?;
        if let (false, Some(since)) = (self.reaches(c), self.journal.and_then(|j| j.since)) {
            writeln!(out, "  The journal holds everything since {since} only: it was more than is said here.")?;
        }
        let not_told = |n: u64| if n > 0 { format!(" ({} calls do not say)", grouped(n)) } else { String::new() };
        match v.calls_without_tokens < v.calls || v.output_tokens > 0 {
            _ if v.calls == 0 => {}
            true => writeln!(
                out,
                "  {} tokens in, {} tokens out{}",
                grouped(v.input_tokens),
                grouped(v.output_tokens),
                not_told(v.calls_without_tokens)
            )?,
            false => writeln!(
                out,
                "  tokens: not known; the journal holds what the rules read, and they read none of these"
            )?,
        }
        for (name, m) in v.models.iter().take(MODELS_SHOWN) {
            let value = match self.prices {
                None => String::new(),
                Some(p) if m.calls_without_price == 0 && m.calls_priced > 0 => {
                    format!(", about {} {}", amount_text(m.value), printable(&p.currency))
                }
                Some(_) if m.calls_without_price > 0 => {
                    format!(", no price for {} of the calls", grouped(m.calls_without_price))
                }
                Some(_) => ", no tokens to price".to_string(),
            };
            writeln!(
                out,
                "  {}: {} calls, {} tokens in, {} out{value}",
                cut(name, 60),
                grouped(m.calls),
                grouped(m.input_tokens),
                grouped(m.output_tokens)
            )?;
        }
        if v.models.len() > MODELS_SHOWN {
            writeln!(out, "  … {} more models: `--format json`", v.models.len() - MODELS_SHOWN)?;
        }
        if v.calls_without_model + v.calls_of_more_models > 0 {
            let n = grouped(v.calls_without_model + v.calls_of_more_models);
            writeln!(out, "  {n} calls of models that are not known or too many to tell apart")?;
        }
        match self.prices {
            Some(p) => {
                let about = p.about.as_deref().map_or_else(String::new, |a| format!("; {}", printable(a)));
                writeln!(
                    out,
                    "  Estimated value: {} {} for {} of the {} calls{about}",
                    amount_text(v.value()),
                    printable(&p.currency),
                    grouped(v.calls_priced()),
                    grouped(v.calls)
                )?;
            }
            None => writeln!(out, "  Estimated value: not known without `--prices FILE`")?,
        }
        if let Some((first, last)) = v.seen.filter(|(first, last)| *first < c.first || *last > c.last) {
            writeln!(out, "  The journal holds events of these accounts from {first} to {last}.")?;
        }
        Ok(())
    }

    fn tied_text(&self, out: &mut String, c: &Case) -> std::fmt::Result {
        let families = families(self.findings, c);
        if !families.is_empty() {
            writeln!(out, "\nTied by")?;
        }
        for f in &families {
            let values: Vec<String> = f
                .values
                .iter()
                .take(VALUES_SHOWN)
                .map(|v| format!("{} ({})", cut(&v.value, 60), plural(v.n_accounts, "account", "accounts")))
                .collect();
            let more = f.values.len().saturating_sub(VALUES_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let cut_off = if f.complete { "" } else { "; records do not list all edges, it may be more" };
            writeln!(
                out,
                "  {}: {} of {} accounts, by {}{more}{cut_off}",
                printable(&f.name),
                grouped(f.n_accounts as u64),
                grouped(c.accounts.len() as u64),
                values.join(", ")
            )?;
        }
        let counts = counts(self.findings, c);
        if !counts.is_empty() {
            let each: Vec<String> =
                counts.iter().map(|n| format!("{} {} ({})", printable(&n.name), n.peak, printable(&n.rule))).collect();
            writeln!(out, "Counted: {}", each.join(", "))?;
        }
        Ok(())
    }

    fn evidence_text(&self, out: &mut String, c: &Case) -> std::fmt::Result {
        writeln!(out, "\nEvidence, the strongest first")?;
        for (number, f) in (1..).zip(self.evidence(c)) {
            writeln!(
                out,
                "  {number:>3}  {}  {}, {}  {} ({}, {}, {})",
                digits(&f.id),
                f.severity.word(),
                f.confidence.word(),
                printable(&f.rule),
                plural(f.accounts.len(), "account", "accounts"),
                plural(usize::try_from(f.n_events).unwrap_or(usize::MAX), "event", "events"),
                f.status.word()
            )?;
            writeln!(out, "       {}", printable(&f.because))?;
        }
        let beside: Vec<&Finding> = c.beside.iter().filter_map(|i| self.finding(*i)).collect();
        if !beside.is_empty() {
            writeln!(out, "Beside it, accusing nobody")?;
        }
        for f in beside {
            let what = if f.accuses() || f.severity > Severity::Info { f.status.word() } else { f.severity.word() };
            writeln!(out, "       {}  {what}  {}: {}", digits(&f.id), printable(&f.rule), printable(&f.because))?;
        }
        Ok(())
    }

    fn members_text(&self, out: &mut String, case: usize, c: &Case) -> std::fmt::Result {
        if c.accounts.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nMembers, and by which of these they are named")?;
        let mut members: Vec<(usize, u32, &str)> =
            c.accounts.iter().enumerate().map(|(place, a)| (place, *a, self.findings.name(*a))).collect();
        members.sort_by_key(|(_, _, name)| *name);
        let mut rows = table(&["ACCOUNT", "ORG", "CALLS", "TOKENS IN", "TOKENS OUT", "NAMED BY"]);
        for (place, account, name) in members.iter().take(MEMBERS_SHOWN) {
            let member = self.member(case, *place);
            let number = |n: Option<u64>| n.map_or_else(|| "not known".to_string(), grouped);
            let org = self.tally.org(*account).filter(|_| self.journal.is_some());
            let numbered = (1u64..).zip(self.evidence(c));
            let naming = numbered.filter(|(_, f)| f.accounts.binary_search(account).is_ok());
            let naming: Vec<String> = naming.map(|(number, _)| number.to_string()).collect();
            rows.add_row([
                cut(name, 60),
                org.map_or_else(|| "not known".to_string(), |org| cut(org, 40)),
                number(member.map(|m| m.calls)),
                number(member.map(|m| m.input_tokens)),
                number(member.map(|m| m.output_tokens)),
                naming.join(", "),
            ]);
        }
        rows.to_string().lines().try_for_each(|line| writeln!(out, "  {}", line.trim_end()))?;
        let more = c.accounts.len().saturating_sub(MEMBERS_SHOWN);
        if more > 0 {
            writeln!(out, "  … {more} more: `--format json`")?;
        }
        Ok(())
    }
}
