//! What a change of rules means, at first in numbers, then by rule, plan and organisation, then account by account.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Only, Played, Who};
use crate::cli::terminal::{cut, grouped, printable, table};
use crate::compare::{Account, Change, Comparison, Counts, Named, Numbers, Standing};

/// Accounts of a kind that are named in text.
const ACCOUNTS_SHOWN: usize = 100;
/// Organisations that are named in text.
const ORGS_SHOWN: usize = 20;

/// Everything that is reported.
pub(super) struct Report<'a> {
    pub(super) before: &'a Played,
    pub(super) after: &'a Played,
    pub(super) comparison: &'a Comparison,
    pub(super) who: &'a BTreeMap<String, Who>,
    pub(super) only: Only,
}

impl<'a> Report<'a> {
    fn is_shown(&self, change: Change) -> bool {
        match self.only {
            Only::All => true,
            Only::Changed => matches!(change, Change::NewlyFlagged | Change::NewlyCleared | Change::OtherRules),
            Only::Flagged => change == Change::NewlyFlagged,
            Only::Cleared => change == Change::NewlyCleared,
        }
    }

    fn plan(&self, account: &str) -> Option<&str> {
        self.who.get(account)?.plan.as_deref()
    }

    fn org(&self, account: &str) -> Option<&str> {
        self.who.get(account)?.org.as_deref()
    }

    fn flagged(&self, side: impl Fn(&Account) -> &[Named]) -> usize {
        let accuses = |a: &&Account| side(a).iter().any(|n| n.standing == Standing::Accuses);
        self.comparison.accounts.iter().filter(accuses).count()
    }

    /// By organisation, those of which the most accounts change first.
    fn orgs(&self) -> Vec<(Option<&str>, Counts)> {
        let mut orgs: Vec<(Option<&str>, Counts)> = self.comparison.counts(|a| self.org(a)).into_iter().collect();
        orgs.sort_by_key(|(org, c)| {
            (std::cmp::Reverse(c.newly_flagged + c.newly_cleared), std::cmp::Reverse(c.both), *org)
        });
        orgs
    }

    // ── for machines ──

    pub(super) fn json(&self) -> Value {
        let c = self.comparison;
        let side = |played: &Played, flagged: usize| {
            let of = |standing: Standing| played.side.found.iter().filter(|f| f.standing == standing).count();
            json!({
                "rules": played.name,
                "violations": of(Standing::Accuses),
                "exempted": of(Standing::Exempted),
                "info": of(Standing::Info),
                "merged": of(Standing::Merged),
                "accounts_flagged": flagged,
                "lost_for_want_of_room": played.lost,
            })
        };
        let numbers = |n: &Option<Numbers>| {
            n.as_ref().map(|n| {
                json!({ "violations": n.violations, "accounts": n.accounts, "exempted": n.exempted, "info": n.info })
            })
        };
        let counts = |key: &str, name: Option<&str>, n: &Counts| {
            json!({
                key: name, "newly_flagged": n.newly_flagged, "newly_cleared": n.newly_cleared, "both": n.both,
            })
        };
        let named = |n: &Named| {
            json!({
                "rule": n.rule,
                "standing": n.standing.word(),
                "violations": n.n_violations,
                "because": n.because,
                "exception": n.exception,
            })
        };
        let books = &self.before.books;
        json!({
            "in_force": side(self.before, self.flagged(|a| &a.before)),
            "change": side(self.after, self.flagged(|a| &a.after)),
            "events": {
                "received": books.received,
                "evaluated": books.evaluated,
                "late": books.late,
                "duplicate": books.duplicate,
                "rejected": books.rejected_total(),
            },
            "differs": c.is_changed(),
            "summary": {
                "newly_flagged": c.count(Change::NewlyFlagged),
                "newly_cleared": c.count(Change::NewlyCleared),
                "other_rules": c.count(Change::OtherRules),
                "same": c.count(Change::Same),
                "not_accused": c.count(Change::NotAccused),
            },
            "rules": c.rules.iter().map(|r| json!({
                "rule": r.rule,
                "in_force": numbers(&r.before),
                "change": numbers(&r.after),
                "groups_newly_flagged": r.groups_flagged,
                "groups_newly_cleared": r.groups_cleared,
                "groups_same": r.groups_same,
                "differs": !r.is_same(),
            })).collect::<Vec<_>>(),
            "plans": c.counts(|a| self.plan(a)).iter().map(|(plan, n)| counts("plan", *plan, n)).collect::<Vec<_>>(),
            "organisations": self.orgs().iter().map(|(org, n)| counts("organisation", *org, n)).collect::<Vec<_>>(),
            "accounts": c.accounts.iter().filter(|a| self.is_shown(a.change)).map(|a| json!({
                "account": a.account,
                "plan": self.plan(&a.account),
                "organisation": self.org(&a.account),
                "change": a.change.word(),
                "in_force": a.before.iter().map(named).collect::<Vec<_>>(),
                "after_change": a.after.iter().map(named).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        })
    }

    // ── for people ──

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.sections(&mut out);
        out
    }

    fn sections(&self, out: &mut String) -> std::fmt::Result {
        self.summary(out)?;
        self.rules(out)?;
        self.tallies(out)?;
        for change in Change::ALL.into_iter().filter(|c| self.is_shown(*c)) {
            self.accounts(out, change)?;
        }
        Ok(())
    }

    fn summary(&self, out: &mut String) -> std::fmt::Result {
        let c = self.comparison;
        let side = |played: &Played, flagged: usize| {
            let of = |standing: Standing| played.side.found.iter().filter(|f| f.standing == standing).count() as u64;
            format!(
                "{}: {} violations name {} accounts; besides {} exempted, {} info",
                printable(&played.name),
                grouped(of(Standing::Accuses)),
                grouped(flagged as u64),
                grouped(of(Standing::Exempted)),
                grouped(of(Standing::Info))
            )
        };
        writeln!(out, "in force  {}", side(self.before, self.flagged(|a| &a.before)))?;
        writeln!(out, "change    {}", side(self.after, self.flagged(|a| &a.after)))?;
        writeln!(out, "events    {}", crate::cli::summary::books_line(&self.before.books.by_name()))?;
        for (name, played) in [("in force", self.before), ("change", self.after)] {
            if !played.lost.is_empty() {
                let rules: Vec<String> = played.lost.iter().map(|r| printable(r).into_owned()).collect();
                writeln!(
                    out,
                    "room      {name}: findings may be missing for want of room (`--state-budget`): {}",
                    rules.join(", ")
                )?;
            }
        }
        let n = |change: Change| grouped(c.count(change) as u64);
        writeln!(
            out,
            "accounts  {} newly flagged, {} newly cleared; {} flagged by other rules, {} by the same; {} only exempted or signalled",
            n(Change::NewlyFlagged),
            n(Change::NewlyCleared),
            n(Change::OtherRules),
            n(Change::Same),
            n(Change::NotAccused)
        )?;
        if !c.is_changed() {
            writeln!(out, "Nothing differs: every rule finds the same groups and accounts.")?;
        }
        Ok(())
    }

    fn rules(&self, out: &mut String) -> std::fmt::Result {
        let (same, differ): (Vec<_>, Vec<_>) = self.comparison.rules.iter().partition(|r| r.is_same());
        if differ.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nRules that differ ({} do not)", grouped(same.len() as u64))?;
        let mut rows =
            table(&["RULE", "IN FORCE", "CHANGE", "GROUPS NEWLY FLAGGED", "NEWLY CLEARED", "SAME", "EXEMPTED", "INFO"]);
        let numbers = |n: &Option<Numbers>| match n {
            None => "no such rule".to_string(),
            Some(n) if n.violations == 0 => "none".to_string(),
            Some(n) => format!("{} naming {} accounts", grouped(n.violations), grouped(n.accounts)),
        };
        let both = |before: Option<u64>, after: Option<u64>| {
            format!("{} → {}", grouped(before.unwrap_or(0)), grouped(after.unwrap_or(0)))
        };
        for r in differ {
            let of = |of: fn(&Numbers) -> u64| both(r.before.as_ref().map(of), r.after.as_ref().map(of));
            rows.add_row([
                cut(&r.rule, 60),
                numbers(&r.before),
                numbers(&r.after),
                grouped(r.groups_flagged),
                grouped(r.groups_cleared),
                grouped(r.groups_same),
                of(|n| n.exempted),
                of(|n| n.info),
            ]);
        }
        lines(out, &rows.to_string())
    }

    fn tallies(&self, out: &mut String) -> std::fmt::Result {
        let c = self.comparison;
        if c.count(Change::NewlyFlagged) + c.count(Change::NewlyCleared) == 0 {
            return Ok(());
        }
        let row = |name: Option<&str>, n: &Counts| {
            let name = name.map_or_else(|| "(not known)".to_string(), |n| cut(n, 60));
            [name, grouped(n.newly_flagged), grouped(n.newly_cleared), grouped(n.both)]
        };
        writeln!(out, "\nBy plan")?;
        let mut rows = table(&["PLAN", "NEWLY FLAGGED", "NEWLY CLEARED", "BOTH"]);
        for (plan, n) in &c.counts(|a| self.plan(a)) {
            rows.add_row(row(*plan, n));
        }
        lines(out, &rows.to_string())?;
        writeln!(out, "\nBy organisation")?;
        let orgs = self.orgs();
        let changed = orgs.iter().filter(|(_, n)| n.newly_flagged + n.newly_cleared > 0);
        let mut rows = table(&["ORGANISATION", "NEWLY FLAGGED", "NEWLY CLEARED", "BOTH"]);
        for (org, n) in changed.clone().take(ORGS_SHOWN) {
            rows.add_row(row(*org, n));
        }
        lines(out, &rows.to_string())?;
        let (more, others) = (changed.clone().count().saturating_sub(ORGS_SHOWN), orgs.len() - changed.count());
        if more > 0 {
            writeln!(out, "  … {} more: `--format json`", grouped(more as u64))?;
        }
        if others > 0 {
            writeln!(out, "  and {} of which no account changes sides", grouped(others as u64))?;
        }
        Ok(())
    }

    fn accounts(&self, out: &mut String, change: Change) -> std::fmt::Result {
        let of: Vec<&Account> = self.comparison.accounts.iter().filter(|a| a.change == change).collect();
        if of.is_empty() {
            return Ok(());
        }
        let heading = match change {
            Change::NewlyFlagged => "Newly flagged",
            Change::NewlyCleared => "Newly cleared",
            Change::OtherRules => "Flagged by both, by other rules; those that differ",
            Change::Same => "Flagged by both, by the same rules",
            Change::NotAccused => "Exempted or signalled only",
        };
        writeln!(out, "\n{heading} ({})", grouped(of.len() as u64))?;
        let mut rows = table(&["ACCOUNT", "ORG", "PLAN", "SIDE", "RULE", "BECAUSE"]);
        let dash = |text: Option<&str>| text.map_or_else(|| "-".to_string(), |t| cut(t, 40));
        for a in of.iter().take(ACCOUNTS_SHOWN) {
            let sides = [("in force", &a.before, &a.after), ("change", &a.after, &a.before)];
            let of_side = |(side, named, other): (&'static str, &'a [Named], &'a [Named])| {
                // Of who is flagged all the same, only what differs.
                let is_said = move |n: &&Named| {
                    change != Change::OtherRules
                        || !other.iter().any(|o| (&o.rule, o.standing) == (&n.rule, n.standing))
                };
                named.iter().filter(is_said).map(move |n| (side, n))
            };
            let said: Vec<(&str, &Named)> = sides.into_iter().flat_map(|(s, n, o)| of_side((s, n, o))).collect();
            for (i, (side, n)) in said.into_iter().enumerate() {
                let who = match i {
                    0 => [cut(&a.account, 60), dash(self.org(&a.account)), dash(self.plan(&a.account))],
                    _ => [const { String::new() }; 3],
                };
                let standing = match n.standing {
                    Standing::Accuses => String::new(),
                    other => format!(" ({})", other.word()),
                };
                let times = if n.n_violations > 1 { format!(" ×{}", grouped(n.n_violations)) } else { String::new() };
                let because = match &n.exception {
                    Some(why) => format!("{}; exception: {why}", n.because),
                    None => n.because.clone(),
                };
                let rest = [side.to_string(), format!("{}{standing}{times}", cut(&n.rule, 50)), cut(&because, 200)];
                rows.add_row(who.into_iter().chain(rest).collect::<Vec<String>>());
            }
        }
        lines(out, &rows.to_string())?;
        let more = of.len().saturating_sub(ACCOUNTS_SHOWN);
        if more > 0 {
            writeln!(out, "  … {} more: `--format json`", grouped(more as u64))?;
        }
        Ok(())
    }
}

/// A table, indented, without the spaces that fill it up.
fn lines(out: &mut String, rows: &str) -> std::fmt::Result {
    rows.lines().try_for_each(|line| writeln!(out, "  {}", line.trim_end()))
}
