//! Two rule sets over the same events: whom the one accuses and the other does not, account by account. Pure; knows findings,
//! neither rules nor events.
//!
//! An account is *flagged* by a rule set when one of its violations that accuse names it: neither of severity info, nor
//! exempted, nor merged into another. Violations of two rule sets are the same where rule name and group are: hashes of
//! rules, ids and times differ as soon as a rule does.

use std::collections::{BTreeMap, BTreeSet};

use crate::hir::Severity;
use crate::time::Timestamp;
use crate::violation::{Status, Violation};

/// What a finding means for the accounts that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It accuses.
    Accuses,
    /// An exception took it out.
    Exempted,
    /// It is a signal.
    Info,
    /// It became part of another, which stands for it.
    Merged,
}

impl Standing {
    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Accuses => "accuses",
            Standing::Exempted => "exempted",
            Standing::Info => "info",
            Standing::Merged => "merged",
        }
    }
}

/// A violation as far as it is compared: its evidence is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The rule.
    pub rule: String,
    /// The group, by the names of its parts.
    pub group: Vec<(String, String)>,
    /// The accounts, sorted.
    pub accounts: Vec<String>,
    /// What it means.
    pub standing: Standing,
    /// When it opened.
    pub opened_at: Timestamp,
    /// Why, in the words of the rule.
    pub because: String,
    /// Why it was taken out, where it was.
    pub exception: Option<String>,
}

impl From<&Violation> for Found {
    fn from(v: &Violation) -> Self {
        let standing = match (v.status, v.severity) {
            (Status::Exempted, _) => Standing::Exempted,
            (Status::Merged, _) => Standing::Merged,
            (_, Severity::Info) => Standing::Info,
            _ => Standing::Accuses,
        };
        let took_out = v.exceptions.iter().filter(|e| e.took_out > 0).map(|e| e.because.clone()).next();
        Found {
            rule: v.rule.clone(),
            group: v.group.clone(),
            accounts: v.accounts.clone(),
            standing,
            opened_at: v.opened_at,
            because: v.because.clone(),
            exception: took_out.filter(|_| standing == Standing::Exempted),
        }
    }
}

/// What a rule says of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The rule.
    pub rule: String,
    /// What that means.
    pub standing: Standing,
    /// How many such violations name the account.
    pub n_violations: u64,
    /// Why, in the words of the rule, at the first of them.
    pub because: String,
    /// Why it was taken out, where it was.
    pub exception: Option<String>,
}

/// What a change means for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Flagged under the change alone.
    NewlyFlagged,
    /// Flagged under what is in force alone.
    NewlyCleared,
    /// Flagged under both, by other rules.
    OtherRules,
    /// Flagged under both, by the same rules.
    Same,
    /// Flagged under neither: exempted or signalled.
    NotAccused,
}

impl Change {
    /// All, in the order of reports.
    pub const ALL: [Change; 5] =
        [Change::NewlyFlagged, Change::NewlyCleared, Change::OtherRules, Change::Same, Change::NotAccused];

    /// The word in reports.
    pub fn word(self) -> &'static str {
        match self {
            Change::NewlyFlagged => "newly flagged",
            Change::NewlyCleared => "newly cleared",
            Change::OtherRules => "other rules",
            Change::Same => "same",
            Change::NotAccused => "not accused",
        }
    }
}

/// An account that either side names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub account: String,
    /// What the change means for it.
    pub change: Change,
    /// What is in force says of it; what accuses first, then by rule.
    pub before: Vec<Named>,
    /// What the change says of it.
    pub after: Vec<Named>,
}

/// What a rule found on one side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Violations that accuse.
    pub violations: u64,
    /// Accounts that they name.
    pub accounts: u64,
    /// Violations that an exception took out.
    pub exempted: u64,
    /// Signals.
    pub info: u64,
}

/// A rule on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub rule: String,
    /// What it found under what is in force; `None` where there is no such rule.
    pub before: Option<Numbers>,
    /// What it found under the change.
    pub after: Option<Numbers>,
    /// Groups that it accuses under what is in force alone.
    pub groups_cleared: u64,
    /// Groups that it accuses under the change alone.
    pub groups_flagged: u64,
    /// Groups that it accuses under both.
    pub groups_same: u64,
}

impl Rule {
    /// Whether it finds the same on both sides, as far as numbers and groups tell.
    pub fn is_same(&self) -> bool {
        self.before == self.after && self.groups_cleared == 0 && self.groups_flagged == 0
    }
}

/// What one side found, and the names of its rules.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// Names of all rules, whether they found anything or not.
    pub rules: BTreeSet<String>,
    /// What was found.
    pub found: Vec<Found>,
}

/// Both sides held against each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Accounts that either side names, by what changed and name.
    pub accounts: Vec<Account>,
    /// Rules of either side, by name.
    pub rules: Vec<Rule>,
}

impl Comparison {
    /// How many accounts a change of this kind touches.
    pub fn count(&self, change: Change) -> usize {
        self.accounts.iter().filter(|a| a.change == change).count()
    }

    /// Whether anything differs: an account, a rule, or what a rule found.
    pub fn is_changed(&self) -> bool {
        let said = |named: &[Named]| -> Vec<(String, Standing)> {
            named.iter().map(|n| (n.rule.clone(), n.standing)).collect()
        };
        self.rules.iter().any(|r| !r.is_same()) || self.accounts.iter().any(|a| said(&a.before) != said(&a.after))
    }
}

/// Counts of accounts under one plan, or of one organisation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Newly flagged.
    pub newly_flagged: u64,
    /// Newly cleared.
    pub newly_cleared: u64,
    /// Flagged under both.
    pub both: u64,
}

impl Comparison {
    /// Accounts that are flagged on either side, counted by what `key` says of them.
    pub fn counts<'a>(&'a self, key: impl Fn(&str) -> Option<&'a str>) -> BTreeMap<Option<&'a str>, Counts> {
        let mut all: BTreeMap<Option<&str>, Counts> = BTreeMap::new();
        for account in self.accounts.iter().filter(|a| a.change != Change::NotAccused) {
            let counts = all.entry(key(&account.account)).or_default();
            match account.change {
                Change::NewlyFlagged => counts.newly_flagged += 1,
                Change::NewlyCleared => counts.newly_cleared += 1,
                _ => counts.both += 1,
            }
        }
        all
    }
}

/// Holds what a change found against what is in force found over the same events. The order of what was found does not show.
pub fn compare(in_force: &Side, change: &Side) -> Comparison {
    let (before, after) = (by_account(&in_force.found), by_account(&change.found));
    let names: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let account = |name: &str| {
        let (before, after) = (named(before.get(name)), named(after.get(name)));
        Account { account: name.to_string(), change: changed(&before, &after), before, after }
    };
    let mut accounts: Vec<Account> = names.into_iter().map(account).collect();
    accounts.sort_by(|a, b| (a.change, &a.account).cmp(&(b.change, &b.account)));
    let rules: BTreeSet<&String> = in_force.rules.union(&change.rules).collect();
    let numbers = (by_rule(in_force), by_rule(change));
    let groups = (groups(&in_force.found), groups(&change.found));
    let none = BTreeSet::new();
    let rule = |rule: &String| {
        let before = groups.0.get(rule.as_str()).unwrap_or(&none);
        let after = groups.1.get(rule.as_str()).unwrap_or(&none);
        Rule {
            rule: rule.clone(),
            before: numbers.0.get(rule.as_str()).cloned(),
            after: numbers.1.get(rule.as_str()).cloned(),
            groups_cleared: before.difference(after).count() as u64,
            groups_flagged: after.difference(before).count() as u64,
            groups_same: before.intersection(after).count() as u64,
        }
    };
    Comparison { accounts, rules: rules.into_iter().map(rule).collect() }
}

fn changed(before: &[Named], after: &[Named]) -> Change {
    let accusing = |named: &[Named]| -> Vec<String> {
        named.iter().filter(|n| n.standing == Standing::Accuses).map(|n| n.rule.clone()).collect()
    };
    let (before, after) = (accusing(before), accusing(after));
    match (before.is_empty(), after.is_empty()) {
        (true, true) => Change::NotAccused,
        (true, false) => Change::NewlyFlagged,
        (false, true) => Change::NewlyCleared,
        (false, false) if before == after => Change::Same,
        (false, false) => Change::OtherRules,
    }
}

type OfAccount<'a> = BTreeMap<(Standing, &'a str), Vec<&'a Found>>;

/// What is said of each account. What merged is said by that which it merged into.
fn by_account(found: &[Found]) -> BTreeMap<&str, OfAccount<'_>> {
    let mut all: BTreeMap<&str, OfAccount<'_>> = BTreeMap::new();
    for f in found.iter().filter(|f| f.standing != Standing::Merged) {
        for account in &f.accounts {
            all.entry(account).or_default().entry((f.standing, &f.rule)).or_default().push(f);
        }
    }
    all
}

fn named(of: Option<&OfAccount<'_>>) -> Vec<Named> {
    let one = |((standing, rule), found): (&(Standing, &str), &Vec<&Found>)| {
        let first = found.iter().min_by_key(|f| (f.opened_at, &f.group, &f.because))?;
        Some(Named {
            rule: (*rule).to_string(),
            standing: *standing,
            n_violations: found.len() as u64,
            because: first.because.clone(),
            exception: first.exception.clone(),
        })
    };
    of.into_iter().flatten().filter_map(one).collect()
}

fn by_rule(side: &Side) -> BTreeMap<&str, Numbers> {
    let mut all: BTreeMap<&str, (Numbers, BTreeSet<&str>)> =
        side.rules.iter().map(|r| (r.as_str(), Default::default())).collect();
    for f in &side.found {
        let (numbers, accounts) = all.entry(&f.rule).or_default();
        match f.standing {
            Standing::Accuses => {
                numbers.violations += 1;
                accounts.extend(f.accounts.iter().map(String::as_str));
            }
            Standing::Exempted => numbers.exempted += 1,
            Standing::Info => numbers.info += 1,
            Standing::Merged => {}
        }
    }
    let counted = |(rule, (numbers, accounts)): (_, (Numbers, BTreeSet<&str>))| {
        (rule, Numbers { accounts: accounts.len() as u64, ..numbers })
    };
    all.into_iter().map(counted).collect()
}

/// The groups that each rule accuses. Of a rule over single events the group is the account.
fn groups(found: &[Found]) -> BTreeMap<&str, BTreeSet<&[(String, String)]>> {
    let mut all: BTreeMap<&str, BTreeSet<&[(String, String)]>> = BTreeMap::new();
    for f in found.iter().filter(|f| f.standing == Standing::Accuses) {
        all.entry(&f.rule).or_default().insert(&f.group);
    }
    all
}
