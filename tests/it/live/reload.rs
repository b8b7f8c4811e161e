//! Rules that change while it runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fineprint::eval::{Carries, Carry, Fate, SuccessionError};
use fineprint::pack::{PackOptions, load};
use fineprint::runtime::live::{ActivateError, KeptPacks, Library};
use fineprint::template::FingerprintKey;
use fineprint::time::Timestamp;

use super::{Bench, Known, Log, RULES, event, events, expected, hand_in, rules, told};

/// Another rule beside those that were there.
const MORE: &str = r#"
rule refusals {
  enforces acme.terms.volume
  severity low
  mode     shadow
  on       completion where status = 403
  per      account
  over     10m every 1m
  let      calls = count()
  when     calls >= 2
  because  "{calls} refused calls in ten minutes"
}
"#;

fn of(records: &[String], rule: &str) -> Vec<String> {
    records.iter().filter(|r| r.contains(&format!(r#""rule":"{rule}""#))).cloned().collect()
}

fn closed_at(record: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(record).unwrap();
    json["closed_at"].as_str().map(str::to_string)
}

/// What means the same shows nothing of the change, what is new begins at its time, what goes is closed by it; a run over
/// the journal finds all of it again.
#[test]
fn rules_change_while_events_come() {
    let (old, new) = (rules(RULES), rules(&format!("{MORE}{}", RULES.replace("calls >= 40", "calls >= 37"))));
    let known = Known::of(&[&old, &new]);
    let bench = Bench::new();
    let mut options = bench.options();
    options.library = Arc::clone(&known) as Arc<dyn Library>;
    let live = bench.open(&old, options);
    hand_in(&live, 0..2_000);
    let activated = live.activate(Arc::clone(&new), None, Carries::default()).unwrap().wait().unwrap();
    assert_eq!(activated.fates["many-calls"], Fate::Reset);
    assert_eq!(activated.fates["refusals"], Fate::New);
    assert_eq!(activated.fates["out-of-nowhere"], Fate::Unchanged);
    let last = (0..2_000).map(|n| event(n).ts()).max().unwrap();
    assert!(activated.at > last && activated.at.0 - last.0 <= 1_000_000_000, "{} {last}", activated.at);
    assert_eq!(live.status().changes_waiting, 1);
    hand_in(&live, 2_000..5_000);
    live.drain().unwrap();
    assert_eq!((live.status().changes_waiting, live.status().changes), (0, 1));
    let (log, throughout) = (bench.log(), expected(&old, &events(0..5_000)));
    for same in ["elicits", "out-of-nowhere", "refused-then-silent"] {
        assert!(of(&throughout, same).len() > 20, "{same}");
        assert_eq!(of(&log, same), of(&throughout, same), "{same}");
    }
    let since: Vec<_> = events(0..5_000).into_iter().filter(|e| e.ts() >= activated.at).collect();
    let from_then_on = expected(&new, &since);
    assert!(of(&from_then_on, "refusals").len() > 5);
    assert_eq!(of(&log, "refusals"), of(&from_then_on, "refusals"));
    // Of the changed one: its old self up to then, closed; its new self from then on.
    let mut both = of(&from_then_on, "many-calls");
    let before: Vec<_> = events(0..5_000).into_iter().filter(|e| e.ts() < activated.at).collect();
    let mut evaluator = fineprint::eval::Evaluator::new(Arc::clone(&old), Default::default());
    for e in &before {
        evaluator.observe(e, Default::default());
    }
    evaluator.advance(activated.at);
    both.extend(of(&told(&evaluator.take_violations()), "many-calls"));
    assert_eq!(of(&log, "many-calls").len(), both.len());
    let until = activated.at.to_string();
    let open: Vec<_> =
        of(&log, "many-calls").into_iter().filter(|r| closed_at(r).is_none_or(|at| at == until)).collect();
    assert!(open.iter().any(|r| closed_at(r).as_deref() == Some(&until)), "nothing was under way at {until}");
    let again = bench.again(&*known);
    assert_eq!(told(&again.violations), log);
    assert_eq!((again.changes, again.books), (1, live.status().books));
}

/// Reload after reload, with commits that fail and sessions that begin anew in between, under rules that change meanwhile.
#[test]
fn changes_survive_whatever_happens_to_the_session() {
    let sets = [rules(RULES), rules(&format!("{RULES}{MORE}")), rules(MORE), rules(&format!("{MORE}{RULES}"))];
    let known = Known::of(&sets.iter().collect::<Vec<_>>());
    let bench = Bench::new();
    let open = |rules: &Arc<fineprint::plan::RuleSet>| {
        let mut options = bench.options();
        options.library = Arc::clone(&known) as Arc<dyn Library>;
        let log = Log::open(&bench.db());
        let fails = Arc::clone(&log.fails);
        (bench.open_on(rules, options, log), fails)
    };
    let (mut live, mut fails) = open(&sets[0]);
    for step in 1..24usize {
        let at = step as u64 * 200;
        hand_in(&live, at - 200..at);
        let next = &sets[(step * step + step / 3) % sets.len()];
        live.activate(Arc::clone(next), None, Carries::default()).unwrap().wait().unwrap();
        match step % 4 {
            // Everything since the last commit is in the journal alone.
            1 => {
                fails.store(true, Ordering::Relaxed);
                hand_in(&live, 100_000 + at..100_000 + at + 1);
                live.drain().unwrap_err();
                (live, fails) = open(next);
            }
            // The rules have changed while nobody ran.
            2 => {
                live.drain().unwrap();
                (live, fails) = open(&sets[(step + 1) % sets.len()]);
            }
            _ => {}
        }
    }
    live.drain().unwrap();
    let again = bench.again(&*known);
    assert_eq!(told(&again.violations), bench.log());
    assert_eq!(again.books, live.status().books);
    assert!(again.changes > 15, "{}", again.changes);
    let throughout = expected(&sets[0], &[]);
    assert!(throughout.is_empty());
}

#[test]
fn the_same_rules_change_nothing() {
    let bench = Bench::new();
    let set = rules(RULES);
    let live = bench.open(&set, bench.options());
    hand_in(&live, 0..100);
    let activated = live.activate(rules(RULES), None, Carries::default()).unwrap().wait().unwrap();
    assert!(activated.same && activated.fates.values().all(|f| *f == Fate::Unchanged));
    assert_eq!((live.status().changes, live.status().changes_waiting), (0, 0));
    live.drain().unwrap();
    assert_eq!(bench.again(&*Known::of(&[&set])).changes, 0);
}

/// Rules that cannot take over leave all as it was, and it is said what to write instead.
#[test]
fn rules_that_cannot_take_over_leave_those_in_force() {
    let (old, new) = (rules(RULES), rules(&RULES.replace("over     10m every 1m", "over 20m every 1m")));
    let known = Known::of(&[&old]);
    let bench = Bench::new();
    let mut options = bench.options();
    options.library = Arc::clone(&known) as Arc<dyn Library>;
    let live = bench.open(&old, options);
    hand_in(&live, 0..100);
    let not_kept = live.activate(Arc::clone(&new), None, Carries::default()).unwrap().wait().unwrap_err();
    assert!(matches!(not_kept, ActivateError::NotKept(_)), "{not_kept}");
    known.0.lock().unwrap().insert(new.bundle_hash().to_string(), Arc::clone(&new));
    let keep = Carries { rules: [("many-calls".to_string(), Carry::Keep)].into(), otherwise: Carry::Reset };
    let refused = live.activate(new, None, keep).unwrap().wait().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "`many-calls` cannot keep what it has counted: its window is another. Write `reset` for it, and it begins with nothing; \
         or give the rule as it is now another name, and keep the old one beside it until its window is over"
    );
    assert!(matches!(refused, ActivateError::Succession(SuccessionError::CannotKeep { .. })));
    hand_in(&live, 100..2_000);
    live.drain().unwrap();
    assert_eq!(bench.log(), expected(&old, &events(0..2_000)));
}

/// What is backfilled finds what it finds over all events, those that it opened before the change included; and what was
/// there goes on as if nothing had been. A kill while it waits for its time changes nothing.
#[test]
fn what_is_backfilled_is_as_if_it_had_been_there() {
    let (old, new) = (rules(RULES), rules(&format!("{MORE}{}", RULES.replace("calls >= 40", "calls >= 37"))));
    for killed in [false, true] {
        let bench = Bench::new();
        let known = Known::of(&[&old, &new]);
        let open = |rules: &Arc<fineprint::plan::RuleSet>| {
            let mut options = bench.options();
            options.library = Arc::clone(&known) as Arc<dyn Library>;
            let log = Log::open(&bench.db());
            let fails = Arc::clone(&log.fails);
            (bench.open_on(rules, options, log), fails)
        };
        let (mut live, fails) = open(&old);
        hand_in(&live, 0..3_000);
        let rules = [("refusals".to_string(), Carry::Backfill), ("many-calls".to_string(), Carry::Backfill)].into();
        let carries = Carries { rules, otherwise: Carry::Reset };
        let activated = live.activate(Arc::clone(&new), None, carries).unwrap().wait().unwrap();
        assert_eq!((activated.fates["refusals"], activated.fates["many-calls"]), (Fate::Backfilled, Fate::Backfilled));
        hand_in(&live, 3_000..3_200);
        assert_eq!(live.status().changes_waiting, 1);
        if killed {
            fails.store(true, Ordering::Relaxed);
            hand_in(&live, 3_200..3_300);
            live.drain().unwrap_err();
            (live, _) = open(&new);
            assert_eq!(live.status().changes_waiting, 1);
            hand_in(&live, 3_300..6_000);
        } else {
            hand_in(&live, 3_200..6_000);
        }
        live.drain().unwrap();
        assert_eq!(live.status().changes_waiting, 0);
        let log = bench.log();
        let throughout = expected(&new, &events(0..6_000));
        for rule in ["refusals", "elicits", "out-of-nowhere", "refused-then-silent"] {
            assert!(of(&throughout, rule).len() > 20, "{rule}");
            assert_eq!(of(&log, rule), of(&throughout, rule), "{rule}, killed: {killed}");
        }
        // Beside what the old one found, which stands under its own hash.
        let own: Vec<_> = of(&log, "many-calls");
        let missing = of(&throughout, "many-calls").into_iter().filter(|r| !own.contains(r)).count();
        assert_eq!(missing, 0, "killed: {killed}");
        let again = bench.again(&*known);
        assert_eq!(told(&again.violations), log, "killed: {killed}");
    }
}

/// What the journal does not hold cannot be counted from it, and it is said what is missing.
#[test]
fn what_the_journal_does_not_hold_is_said() {
    let old = rules(RULES);
    let cases = [
        (MORE.replace("status = 403", "max_tokens = -1"), "it looks at `max_tokens`, which no rule did before"),
        (MORE.replace("status = 403", "prompt has any of [\"other words\"]"), "it tests a text as no rule did before"),
        (MORE.replace("count()", "distinct(prompt)"), "it uses the text of `prompt` itself"),
    ];
    for (more, says) in cases {
        let new = rules(&format!("{RULES}{more}"));
        let bench = Bench::new();
        let mut options = bench.options();
        options.library = Known::of(&[&old, &new]) as Arc<dyn Library>;
        let live = bench.open(&old, options);
        let carries = Carries { rules: [("refusals".to_string(), Carry::Backfill)].into(), otherwise: Carry::Reset };
        let refused = live.activate(new, None, carries).unwrap().wait().unwrap_err().to_string();
        assert!(refused.contains("`refusals` cannot be backfilled") && refused.contains(says), "{refused}");
    }
}

/// A threshold that was lowered finds what was counted before.
#[test]
fn what_is_kept_counts_on() {
    let (old, new) = (rules(RULES), rules(&RULES.replace("calls >= 40", "calls >= 37")));
    let bench = Bench::new();
    let mut options = bench.options();
    options.library = Known::of(&[&old, &new]) as Arc<dyn Library>;
    let live = bench.open(&old, options);
    hand_in(&live, 0..2_000);
    let keep = Carries { otherwise: Carry::Keep, ..Carries::default() };
    let activated = live.activate(Arc::clone(&new), None, keep).unwrap().wait().unwrap();
    assert_eq!(activated.fates["many-calls"], Fate::Kept);
    hand_in(&live, 2_000..9_000);
    live.drain().unwrap();
    let opened = |records: &[String]| -> Vec<String> {
        let json = |r: &String| serde_json::from_str::<serde_json::Value>(r).unwrap();
        let at = |v: &serde_json::Value| v["opened_at"].as_str().unwrap().to_string();
        of(records, "many-calls").iter().map(json).map(|v| format!("{} {}", at(&v), v["group"])).collect()
    };
    // From a window after the change on, what opens is what opens under the new rule throughout.
    let since = Timestamp(activated.at.0 + 1).to_string();
    let (own, throughout) = (opened(&bench.log()), opened(&expected(&new, &events(0..9_000))));
    let later = |all: &[String]| all.iter().filter(|o| **o > since).cloned().collect::<Vec<_>>();
    let missing: Vec<_> = later(&throughout).into_iter().filter(|o| !own.contains(o)).collect();
    assert!(missing.is_empty() && later(&throughout).len() > 2, "{missing:?} {}", throughout.len());
}

/// A pack is kept with its lists, and read again as it was when the files have changed.
#[test]
fn packs_are_kept_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let listed = r#"
list licensed : string from "lists/licensed.csv"
list shared : string from "shared.csv"

rule unlicensed {
  enforces acme.terms.volume
  severity low
  mode     shadow
  on       completion where account not in licensed and account not in shared
  because  "an account without a licence"
}
"#;
    write("rules/sub/acme.tos", &format!("{}{listed}", super::POLICY));
    write("rules/other.tos", MORE);
    write("rules/sub/lists/licensed.csv", "a1\na2\n");
    write("lists/shared.csv", "a3\n");
    write("accounts.jsonl", "{\"account\":\"a1\",\"plan\":\"team\"}\n");
    let (rules, lists, accounts) =
        (dir.path().join("rules"), dir.path().join("lists"), dir.path().join("accounts.jsonl"));
    let options = PackOptions {
        rules: &rules,
        lists: Some(&lists),
        accounts: Some(&accounts),
        as_of: None,
        fingerprint_key: FingerprintKey::default(),
    };
    let kept = KeptPacks::new(dir.path().join("v.db.rules"), FingerprintKey::default());
    let mut hashes = Vec::new();
    for list in ["a1\na2\n", "a1\n"] {
        write("rules/sub/lists/licensed.csv", list);
        let pack = load(&options).unwrap();
        let hash = pack.rules.as_ref().unwrap_or_else(|| panic!("{:?}", pack.diagnostics)).bundle_hash().to_string();
        kept.keep(&pack, &options).unwrap();
        kept.keep(&pack, &options).unwrap();
        hashes.push(hash);
    }
    assert_ne!(hashes[0], hashes[1]);
    std::fs::remove_dir_all(&rules).unwrap();
    for hash in &hashes {
        assert_eq!(kept.find(hash).unwrap().bundle_hash(), hash);
    }
    let missing = kept.find("0123456789abcdef").unwrap_err();
    assert!(missing.contains("0123456789ab") && missing.contains("v.db.rules"), "{missing}");
    // What was altered is not taken for what was kept.
    std::fs::write(
        Path::new(&dir.path().join("v.db.rules")).join(&hashes[0]).join("rules/sub/lists/licensed.csv"),
        "a9\n",
    )
    .unwrap();
    assert!(kept.find(&hashes[0]).unwrap_err().contains("not what was kept"));
}
