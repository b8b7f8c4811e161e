//! What callers and gateways are told: verdicts by mode, reasons, requests and their completions, limits, actions in force.

use std::sync::Arc;

use fineprint::decision::{Decision, Verdict};
use fineprint::enforce::{ActionId, Entry, Table};
use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::gate::{Gate, GateOptions};
use fineprint::hir::Mode;
use fineprint::inline::{Answers, Form, Silent};
use fineprint::time::{Duration, HOUR_NS, MINUTE_NS, SECOND_NS, Timestamp};

use super::rules;

const START: i64 = 1_767_225_600 * SECOND_NS;

/// An event of account `a` with some fields.
fn event(kind: Kind, id: &str, seconds: i64, fields: &[(FieldId, &str)]) -> UsageEvent<'static> {
    let mut event = UsageEvent::new(kind, id.to_string(), Timestamp(START + seconds * SECOND_NS));
    event.set(FieldId::ACCOUNT, Slot::Text("a".into()));
    for (field, value) in fields {
        let slot = match value.parse::<i64>() {
            Ok(n) => Slot::Num(n),
            Err(_) if *value == "true" => Slot::Bool(true),
            Err(_) => Slot::Text(value.to_string().into()),
        };
        event.set(*field, slot);
    }
    event
}

fn rule(name: &str, parts: &str) -> String {
    format!("rule {name} {{\n  enforces acme.terms.fair\n{parts}\n  because  \"secret {{calls}}\"\n}}\n").replace(
        "  because  \"secret {calls}\"",
        if parts.contains("let ") { "  because  \"secret {calls}\"" } else { "  because  \"secret\"" },
    )
}

fn counted(name: &str, mode: &str, action: &str) -> String {
    rule(
        name,
        &format!(
            "  mode     {mode}\n  on       completion\n  per      account\n  over     1h\n  let      calls = count()\n  when \
             calls >= 2\n  {action}"
        ),
    )
}

fn apply(table: &mut Table, entries: Vec<Entry>) {
    for entry in &entries {
        table.apply(entry);
    }
}

fn asked(text: &str, events: &[UsageEvent<'static>]) -> Decision {
    let gate = Gate::new(rules(text));
    events.iter().fold(Decision::default(), |_, event| gate.decide(event))
}

/// A mode and an action, and what a crossing comes to: in force, and were it not in shadow.
#[test]
fn the_mode_says_how_far_an_action_goes() {
    let cases = [
        ("enforce", "action block account", Verdict::Block, Verdict::Block),
        ("enforce", "action flag account\n  action challenge account", Verdict::Challenge, Verdict::Challenge),
        ("enforce", "action after review: block account", Verdict::Allow, Verdict::Allow),
        ("enforce", "action delayed by up to 6h: block account", Verdict::Allow, Verdict::Allow),
        ("enforce", "action alert \"us\"", Verdict::Allow, Verdict::Allow),
        ("enforce", "action throttle account to 1 per 1h", Verdict::Allow, Verdict::Allow),
        ("enforce", "action throttle account to 0 per 1h", Verdict::Throttle, Verdict::Throttle),
        ("flag", "action block account", Verdict::Flag, Verdict::Flag),
        ("shadow", "action block account", Verdict::Allow, Verdict::Block),
        ("shadow", "action throttle account to 0 per 1h", Verdict::Allow, Verdict::Throttle),
    ];
    for (mode, action, verdict, would) in cases {
        let events = [0, 1].map(|n| event(Kind::Completion, &format!("e{n}"), n, &[]));
        let decision = asked(&counted("r", mode, action), &events);
        assert_eq!((decision.verdict, decision.would), (verdict, would), "{mode}: {action}");
        assert_eq!(decision.reason.is_empty(), verdict == Verdict::Allow, "{mode}: {action}");
    }
}

/// The reason is the passage of the document; no number, value, group or account is in it.
#[test]
fn a_caller_is_told_the_clause_alone() {
    let events = [0, 1].map(|n| event(Kind::Completion, &format!("e{n}"), n, &[]));
    let decision = asked(&counted("r", "enforce", "action block account"), &events);
    assert_eq!(decision.reason, "acme.terms, section 3.1: Keys are not to be probed.");
    assert_eq!((decision.rules, decision.mode), (vec!["r".to_string()], Mode::Enforce));
    assert_eq!(decision.retry_after, None);
}

/// A throttle says when its span ends.
#[test]
fn a_throttled_call_is_told_when_to_come_again() {
    let gate = Gate::new(rules(&counted("r", "enforce", "action throttle account to 1 per 1m")));
    let seen: Vec<_> = [0, 10, 20, 61, 70]
        .iter()
        .enumerate()
        .map(|(n, at)| gate.decide(&event(Kind::Completion, &format!("e{n}"), *at, &[])))
        .map(|d| (d.verdict, d.retry_after.map(|later| later.0 / SECOND_NS)))
        .collect();
    let (allow, throttle) = (Verdict::Allow, Verdict::Throttle);
    assert_eq!(seen, [(allow, None), (allow, None), (throttle, Some(40)), (allow, None), (throttle, Some(50))],);
}

/// A rule on single events answers with the id of what the evaluator finds; a request as the completion that it becomes.
#[test]
fn single_events_answer_by_themselves() {
    let text = rule("probe", "  mode enforce\n  on completion where max_tokens <= 0\n  action block key");
    let gate = Gate::new(rules(&text));
    let probe = event(Kind::Completion, "e1", 0, &[(FieldId::MAX_TOKENS, "0")]);
    let decision = gate.decide(&probe);
    let mut evaluator = Evaluator::new(rules(&text), EvalOptions::default());
    evaluator.observe(&probe, Origin::default());
    evaluator.finish();
    let found: Vec<String> = evaluator.take_violations().into_iter().map(|v| v.id).collect();
    assert_eq!((decision.verdict, decision.violations), (Verdict::Block, found));

    let request = |id: &str, tokens: &str| gate.decide(&event(Kind::Request, id, 1, &[(FieldId::MAX_TOKENS, tokens)]));
    let decision = request("q1", "0");
    assert_eq!((decision.verdict, decision.violations.len()), (Verdict::Block, 0));
    assert_eq!(request("q2", "100").verdict, Verdict::Allow);
    assert_eq!(gate.decide(&event(Kind::Request, "q3", 1, &[])).verdict, Verdict::Allow);
}

/// Calls under way see each other, and each counts once when it is reported: also where the completion names another model
/// than the request, as gateways with aliases do.
#[test]
fn a_request_counts_ahead_of_its_completion() {
    let text = rule(
        "r",
        "  mode enforce\n  on completion\n  per account, model\n  over 1h\n  when count() >= 3\n  action block account",
    );
    let gate = Gate::new(rules(&text));
    let call =
        |kind, id: &str, call: &str, model: &str| event(kind, id, 0, &[(FieldId::CALL, call), (FieldId::MODEL, model)]);
    let ask = |id: &str, of: &str| gate.decide(&call(Kind::Request, id, of, "alias")).verdict;
    assert_eq!([ask("q1", "c1"), ask("q2", "c2"), ask("q3", "c3")], [Verdict::Allow, Verdict::Allow, Verdict::Block]);
    // What was refused does not stand in the way of others; a retry of what passed is one call.
    assert_eq!([ask("q2", "c2"), ask("q2b", "c2"), ask("q4", "c4")], [Verdict::Allow, Verdict::Allow, Verdict::Block]);
    // Both calls turn out to be of another model, so nothing is left of the alias.
    gate.observe(&call(Kind::Completion, "e1", "c1", "gpt"));
    gate.observe(&call(Kind::Completion, "e1", "c1", "gpt"));
    gate.observe(&call(Kind::Completion, "e2", "c2", "gpt"));
    assert_eq!([ask("q5", "c5"), ask("q6", "c6"), ask("q7", "c7")], [Verdict::Allow, Verdict::Allow, Verdict::Block]);
    let last = |id: &str, of: &str| gate.decide(&call(Kind::Completion, id, of, "gpt")).verdict;
    assert_eq!([last("e3", "c5"), last("e3", "c5")], [Verdict::Block, Verdict::Block]);
    assert_eq!(gate.counts().duplicate, 3);
}

/// An exception takes the call out, also where others have crossed.
#[test]
fn an_excepted_call_passes() {
    let text = counted("r", "enforce", "action block account")
        .replace("  action block", "  except   events where country = \"DE\"\n  action block");
    let gate = Gate::new(rules(&text));
    let verdict =
        |id: &str, country: &str| gate.decide(&event(Kind::Completion, id, 0, &[(FieldId::COUNTRY, country)])).verdict;
    let seen = [verdict("e1", "DE"), verdict("e2", "FR"), verdict("e3", "FR"), verdict("e4", "DE")];
    assert_eq!(seen, [Verdict::Allow, Verdict::Allow, Verdict::Block, Verdict::Allow]);
}

/// The share of groups is that of the evaluator.
#[test]
fn a_rollout_acts_on_the_groups_that_findings_act_on() {
    let text = counted("r", "enforce", "action block account\n  rollout 30%");
    let gate = Gate::new(rules(&text));
    let mut evaluator = Evaluator::new(rules(&text), EvalOptions::default());
    let mut blocked = std::collections::BTreeSet::new();
    for n in 0..200 {
        let account = format!("a{}", n / 2);
        let e = event(Kind::Completion, &format!("e{n}"), n, &[(FieldId::ACCOUNT, &account)]);
        evaluator.observe(&e, Origin::default());
        if gate.decide(&e).verdict == Verdict::Block {
            blocked.insert(account);
        }
    }
    evaluator.finish();
    evaluator.advance(Timestamp(START + 2 * HOUR_NS));
    let acting = evaluator.take_violations().into_iter().filter(|v| v.actions.iter().all(|a| a.withheld.is_none()));
    let acting: std::collections::BTreeSet<String> = acting.map(|v| v.accounts[0].clone()).collect();
    assert_eq!(blocked, acting);
    assert!((15..50).contains(&blocked.len()), "{}", blocked.len());
}

/// So is that of a limit, and of a rule on single events that acts on keys.
#[test]
fn shares_are_those_of_findings() {
    let single = rule("r", "  mode enforce\n  on completion where refused\n  action block key\n  rollout 30%");
    let limit = LIMIT.replace("at most  100", "at most  0").replace("  because", "  rollout  30%\n  because");
    for text in [single, limit] {
        let gate = Gate::new(rules(&text));
        let mut evaluator = Evaluator::new(rules(&text), EvalOptions::default());
        let mut refused = std::collections::BTreeSet::new();
        for n in 0..200 {
            let (account, key) = (format!("a{n}"), format!("k{n}"));
            let fields = [
                (FieldId::ACCOUNT, account.as_str()),
                (FieldId::KEY, key.as_str()),
                (FieldId::REFUSED, "true"),
                (FieldId::OUTPUT_TOKENS, "7"),
                (FieldId::MAX_TOKENS, "7"),
            ];
            evaluator.observe(&event(Kind::Completion, &format!("e{n}"), n, &fields), Origin::default());
            let asked = event(
                if text.starts_with("limit") { Kind::Request } else { Kind::Completion },
                &format!("e{n}"),
                n,
                &fields,
            );
            if !gate.decide(&asked).verdict.passes() {
                refused.insert(account);
            }
        }
        evaluator.advance(Timestamp(START + 2 * HOUR_NS));
        let acting = evaluator.take_violations().into_iter().filter(|v| v.actions.iter().all(|a| a.withheld.is_none()));
        let acting: std::collections::BTreeSet<String> = acting.map(|v| v.accounts[0].clone()).collect();
        assert_eq!(refused, acting, "{text}");
        assert!((30..95).contains(&refused.len()), "{}", refused.len());
    }
}

/// What findings have brought into force bears on calls, until a person releases it; a throttle counts each account by itself.
#[test]
fn actions_in_force_bear_on_calls() {
    let text = rule(
        "probe",
        "  mode enforce\n  on completion where refused\n  action after review: block account for 1h\n  action throttle account to 1 per 1m for 1h",
    );
    let set = rules(&text);
    let gate = Gate::new(Arc::clone(&set));
    let mut evaluator = Evaluator::new(Arc::clone(&set), EvalOptions::default());
    evaluator.observe(&event(Kind::Completion, "e1", 0, &[(FieldId::REFUSED, "true")]), Origin::default());
    evaluator.finish();
    let found = evaluator.take_violations().remove(0);
    let actions = &set.program().rules[0].actions;
    let put = |entries: &dyn Fn(&Table) -> Vec<Entry>| gate.enforce(|table| apply(table, entries(table)));
    put(&|table| table.propose(&found, actions, found.opened_at));
    let ask = |id: &str, seconds| gate.decide(&event(Kind::Request, id, seconds, &[]));
    assert_eq!(ask("q1", 1).verdict, Verdict::Allow);
    let throttled = ask("q2", 2);
    assert_eq!((throttled.verdict, throttled.retry_after), (Verdict::Throttle, Some(Duration(58 * SECOND_NS))));
    assert_eq!(throttled.violations, std::slice::from_ref(&found.id));
    assert_eq!(throttled.actions.len(), 1);

    let (block, throttle) = (ActionId::new(&found.id, 0), ActionId::new(&found.id, 1));
    put(&|table| table.approve(block, "eve", "seen", Timestamp(START)).unwrap());
    let blocked = ask("q3", 3);
    assert_eq!(blocked.verdict, Verdict::Block);
    assert!(blocked.retry_after.is_some_and(|later| later.0 > 59 * MINUTE_NS), "{blocked:?}");
    for id in [block, throttle] {
        put(&|table| table.release_member(id, "a", "eve", "a mistake", Timestamp(START)).unwrap());
    }
    assert_eq!(ask("q4", 4), Decision::default());
}

/// Whom a person has released of a rule's action, the rule does not refuse at arrival either.
#[test]
fn who_was_released_is_not_borne_on_again() {
    let set = rules(&counted("r", "enforce", "action block account"));
    let gate = Gate::new(Arc::clone(&set));
    let mut evaluator = Evaluator::new(Arc::clone(&set), EvalOptions::default());
    for n in 0..3 {
        let e = event(Kind::Completion, &format!("e{n}"), n, &[]);
        evaluator.observe(&e, Origin::default());
        gate.observe(&e);
    }
    evaluator.advance(Timestamp(START + HOUR_NS));
    let found = evaluator.take_violations().remove(0);
    let later = |id: &str| gate.decide(&event(Kind::Completion, id, 4, &[])).verdict;
    assert_eq!(later("e4"), Verdict::Block);
    gate.enforce(|table| {
        let now = found.opened_at;
        apply(table, table.propose(&found, &set.program().rules[0].actions, now));
        let released = table.release_member(ActionId::new(&found.id, 0), "a", "eve", "a mistake", now).unwrap();
        apply(table, released);
    });
    assert_eq!(later("e5"), Verdict::Allow);
}

const LIMIT: &str = r#"limit tokens {
  enforces acme.terms.rate
  severity low
  mode     enforce
  on       completion
  per      account
  over     each 1h
  reserve  max_tokens
  settle   output_tokens
  at most  100
  action   throttle account to 1 per 1m
  because  "used up"
}
"#;

/// Calls at the same time do not pass a limit together; what is over settles what it used; what is refused holds nothing.
#[test]
fn limits_reserve_and_settle() {
    let gate = Gate::new(rules(LIMIT));
    let ask = |id: &str, call: &str, tokens: &str| {
        gate.decide(&event(Kind::Request, id, 0, &[(FieldId::CALL, call), (FieldId::MAX_TOKENS, tokens)]))
    };
    let ended = |id: &str, call: &str, tokens: &str| {
        gate.observe(&event(Kind::Completion, id, 1, &[(FieldId::CALL, call), (FieldId::OUTPUT_TOKENS, tokens)]));
    };
    assert_eq!(ask("q1", "c1", "60").verdict, Verdict::Allow);
    let refused = ask("q2", "c2", "60");
    assert_eq!((refused.verdict, refused.rules), (Verdict::Throttle, vec!["tokens".to_string()]));
    assert_eq!(refused.reason, "acme.terms, section 4: Use is limited.");
    assert!(refused.retry_after.is_some());
    assert_eq!(ask("q3", "c3", "40").verdict, Verdict::Allow);
    ended("e1", "c1", "10");
    ended("e1", "c1", "10");
    assert_eq!(ask("q4", "c4", "50").verdict, Verdict::Allow);
    assert_eq!(ask("q5", "c5", "1").verdict, Verdict::Throttle);
    // A restart and a reload keep both what was settled and what is held.
    let gate = Gate::restore(rules(LIMIT), GateOptions::default(), &gate.snapshot().unwrap()).unwrap();
    let ask = |id: &str, call: &str, tokens: &str| {
        gate.decide(&event(Kind::Request, id, 2, &[(FieldId::CALL, call), (FieldId::MAX_TOKENS, tokens)])).verdict
    };
    assert_eq!(ask("q6", "c6", "1"), Verdict::Throttle);
    gate.reload(rules(&format!("{}{}", counted("r", "shadow", "action block account"), LIMIT.replace("100", "101"))));
    assert_eq!([ask("q7", "c7", "1"), ask("q8", "c8", "1")], [Verdict::Allow, Verdict::Throttle]);
    // Another rule that refuses gives the reservation back.
    gate.reload(rules(&format!(
        "{}{}",
        rule("stop", "  mode enforce\n  on request\n  action block account"),
        LIMIT.replace("100", "110")
    )));
    assert_eq!([ask("q9", "c9", "9"), ask("q10", "c10", "9")], [Verdict::Block, Verdict::Block]);
    gate.reload(rules(&LIMIT.replace("100", "110")));
    assert_eq!([ask("q11", "c11", "9"), ask("q12", "c12", "1")], [Verdict::Allow, Verdict::Throttle]);
}

/// An event from long after its own ingest time neither counts nor moves time.
#[test]
fn an_event_of_the_future_is_let_pass_and_counts_nothing() {
    let gate = Gate::new(rules(&counted("r", "enforce", "action block account")));
    let mut future = event(Kind::Completion, "f", 86_400 * 365, &[]);
    future.set(FieldId::INGEST_TS, Slot::Num(START));
    assert_eq!(gate.decide(&future), Decision::default());
    gate.observe(&future);
    let now = [0, 1].map(|n| gate.decide(&event(Kind::Completion, &format!("e{n}"), n, &[])).verdict);
    assert_eq!(now, [Verdict::Allow, Verdict::Block]);
    assert_eq!((gate.counts().future, gate.counts().decided, gate.counts().late), (2, 3, 0));
}

/// Each construct answers, or says why it does not.
#[test]
fn each_rule_answers_or_says_why_not() {
    let windowed = |name: &str, over: &str, when: &str| {
        rule(
            name,
            &format!(
                "  mode shadow\n  on completion\n  per account\n  over {over}\n  when {when}\n  action flag account"
            ),
        )
    };
    let cases = [
        (rule("x", "  mode enforce\n  on completion where refused\n  action flag account"), Ok(Form::Single)),
        (windowed("x", "1h", "sum(output_tokens) > 10 or max(latency) >= 3s"), Ok(Form::Window)),
        (windowed("x", "each 1h", "distinct(model) + count() > 10"), Ok(Form::Window)),
        (LIMIT.to_string(), Ok(Form::Limit)),
        (windowed("x", "1h", "sum(max_tokens) > 10"), Err(Silent::NotGrowing)),
        (windowed("x", "1h", "share(refused) > 10%"), Err(Silent::NotGrowing)),
        (windowed("x", "1h", "count() < 10"), Err(Silent::NotGrowing)),
        (windowed("x", "1h", "max(latency) < 3s"), Err(Silent::NotGrowing)),
        (windowed("x", "1h", "distinct(model) > 70_000"), Err(Silent::TooManyValues)),
        (windowed("x", "sessions with gaps of 30m", "count() > 10"), Err(Silent::Session)),
        (windowed("x", "1h", "count() > 10").replace("per account", "per canary_ids"), Err(Silent::SeveralKeys)),
        (
            windowed("x", "1h", "count() > 10").replace("flag account", "flag account\n  budget   5 per day"),
            Err(Silent::Budget),
        ),
        (rule("x", "  on completion where model seen before within 7d\n  action flag account"), Err(Silent::Memory)),
    ];
    for (text, expected) in cases {
        let answers = Answers::of(&rules(&text));
        assert_eq!(answers.rules[0].form, expected, "{text}");
        assert_eq!(answers.rules[0].verdict == Verdict::Allow, expected.is_err() || text.contains("shadow"), "{text}");
        if let Err(silent) = expected {
            assert!(!silent.why().is_empty());
        }
    }
}
