//! What a change of rules means for accounts and rules, on findings as data.

use std::collections::BTreeSet;

use fineprint::compare::{Change, Counts, Found, Side, Standing, compare};
use fineprint::time::Timestamp;
use proptest::prelude::*;

/// A finding of accounts named by letters; the rule `r` of the group `g`.
fn found(rule: &str, group: &str, accounts: &str, standing: Standing) -> Found {
    Found {
        rule: rule.to_string(),
        group: vec![("card".to_string(), group.to_string())],
        accounts: accounts.chars().map(String::from).collect(),
        standing,
        opened_at: Timestamp(0),
        because: format!("{rule} {group}"),
        exception: (standing == Standing::Exempted).then(|| "a contract".to_string()),
    }
}

fn side(found: &[Found]) -> Side {
    Side { rules: ["old", "new", "both"].map(String::from).into(), found: found.to_vec() }
}

/// (what, in force, change, what becomes of the account `a`)
fn changes() -> Vec<(&'static str, Vec<Found>, Vec<Found>, Option<Change>)> {
    use Standing::{Accuses, Exempted, Info, Merged};
    let one = |standing| vec![found("both", "g", "a", standing)];
    vec![
        ("flagged by neither", vec![], vec![], None),
        ("newly flagged", vec![], one(Accuses), Some(Change::NewlyFlagged)),
        ("newly cleared", one(Accuses), vec![], Some(Change::NewlyCleared)),
        ("the same rule", one(Accuses), one(Accuses), Some(Change::Same)),
        ("another group of the same rule", one(Accuses), vec![found("both", "h", "a", Accuses)], Some(Change::Same)),
        (
            "another rule",
            vec![found("old", "g", "a", Accuses)],
            vec![found("new", "g", "a", Accuses)],
            Some(Change::OtherRules),
        ),
        (
            "a rule more",
            one(Accuses),
            vec![found("both", "g", "a", Accuses), found("new", "g", "a", Accuses)],
            Some(Change::OtherRules),
        ),
        ("a signal becomes an accusation", one(Info), one(Accuses), Some(Change::NewlyFlagged)),
        ("an accusation is taken out", one(Accuses), one(Exempted), Some(Change::NewlyCleared)),
        ("signals accuse nobody", one(Info), one(Exempted), Some(Change::NotAccused)),
        ("what merged is said by what it merged into", one(Merged), one(Merged), None),
    ]
}

#[test]
fn accounts_are_flagged_or_cleared_by_what_accuses() {
    for (what, in_force, change, expected) in changes() {
        let comparison = compare(&side(&in_force), &side(&change));
        let of = comparison.accounts.iter().find(|a| a.account == "a").map(|a| a.change);
        assert_eq!(of, expected, "{what}");
    }
}

#[test]
fn why_an_account_is_named_is_told_of_both_sides() {
    let before = [found("old", "g", "ab", Standing::Accuses), found("old", "h", "a", Standing::Accuses)];
    let after = [found("old", "g", "ab", Standing::Exempted)];
    let comparison = compare(&side(&before), &side(&after));
    let a = &comparison.accounts[0];
    assert_eq!((a.account.as_str(), a.change), ("a", Change::NewlyCleared));
    let named = &a.before[0];
    assert_eq!((named.rule.as_str(), named.n_violations, named.because.as_str()), ("old", 2, "old g"));
    let named = &a.after[0];
    assert_eq!((named.standing, named.exception.as_deref()), (Standing::Exempted, Some("a contract")));
}

#[test]
fn rules_are_compared_by_group() {
    let accuses = |group: &str, accounts: &str| found("both", group, accounts, Standing::Accuses);
    let before = [accuses("g", "ab"), accuses("h", "c"), accuses("h", "c")];
    let after = [accuses("g", "abd"), accuses("i", "e"), found("both", "j", "f", Standing::Info)];
    let mut change = side(&after);
    change.rules.remove("old");
    let comparison = compare(&side(&before), &change);
    let both = comparison.rules.iter().find(|r| r.rule == "both").unwrap();
    assert_eq!((both.groups_same, both.groups_cleared, both.groups_flagged), (1, 1, 1));
    let (before, after) = (both.before.clone().unwrap(), both.after.clone().unwrap());
    assert_eq!((before.violations, before.accounts, before.info), (3, 3, 0));
    assert_eq!((after.violations, after.accounts, after.info), (2, 4, 1));
    let old = comparison.rules.iter().find(|r| r.rule == "old").unwrap();
    assert!(old.before.is_some() && old.after.is_none() && !old.is_same());
}

#[test]
fn accounts_are_counted_by_what_is_known_of_them() {
    let accuses = |accounts: &str| vec![found("both", "g", accounts, Standing::Accuses)];
    let comparison = compare(&side(&accuses("abx")), &side(&accuses("bcdx")));
    let plan = |account: &str| match account {
        "a" | "b" => Some("free"),
        "x" => None,
        _ => Some("pro"),
    };
    let counts = |newly_flagged, newly_cleared, both| Counts { newly_flagged, newly_cleared, both };
    let expected = [(None, counts(0, 0, 1)), (Some("free"), counts(0, 1, 1)), (Some("pro"), counts(2, 0, 0))];
    assert_eq!(comparison.counts(plan).into_iter().collect::<Vec<_>>(), expected);
}

fn some() -> impl Strategy<Value = Vec<Found>> {
    let one = (0usize..3, 0usize..3, prop::collection::btree_set(0u8..6, 0..4), 0usize..6);
    let finding = |(rule, group, accounts, standing): (usize, usize, BTreeSet<u8>, usize)| {
        let all = [
            Standing::Accuses,
            Standing::Accuses,
            Standing::Accuses,
            Standing::Exempted,
            Standing::Info,
            Standing::Merged,
        ];
        let accounts: String = accounts.iter().map(|a| char::from(b'a' + a)).collect();
        found(["old", "new", "both"][rule], ["g", "h", "i"][group], &accounts, all[standing])
    };
    prop::collection::vec(one.prop_map(finding), 0..8)
}

proptest! {
    /// What is newly flagged one way is newly cleared the other way, and every account is in one place.
    #[test]
    fn a_change_back_is_the_reverse(before in some(), after in some()) {
        let there = compare(&side(&before), &side(&after));
        let back = compare(&side(&after), &side(&before));
        let reversed = |change| match change {
            Change::NewlyFlagged => Change::NewlyCleared,
            Change::NewlyCleared => Change::NewlyFlagged,
            other => other,
        };
        let mut expected: Vec<(String, Change)> = there.accounts.iter().map(|a| (a.account.clone(), reversed(a.change))).collect();
        let mut actual: Vec<(String, Change)> = back.accounts.iter().map(|a| (a.account.clone(), a.change)).collect();
        expected.sort();
        actual.sort();
        prop_assert_eq!(expected, actual);
        prop_assert_eq!(there.is_changed(), back.is_changed());
    }

    /// Nothing differs from itself, in whatever order it was found.
    #[test]
    fn nothing_differs_from_itself(found in some().prop_flat_map(|f| (Just(f.clone()), Just(f).prop_shuffle()))) {
        let (ordered, shuffled) = found;
        let comparison = compare(&side(&ordered), &side(&shuffled));
        prop_assert!(!comparison.is_changed());
        prop_assert!(comparison.accounts.iter().all(|a| matches!(a.change, Change::Same | Change::NotAccused)));
        prop_assert_eq!(comparison, compare(&side(&shuffled), &side(&ordered)));
    }
}
