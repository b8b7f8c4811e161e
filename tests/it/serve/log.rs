//! What follows from a call: the finding, the action, what people do to it, and what was said when.

use std::process::Command;

use serde_json::Value;

use super::client::Answer;
use super::server::{Options, Server, ago, event, wait_for};

/// Findings come at once.
pub const AT_ONCE: &str = "stream: {lateness: 0s, commit_time: 50ms, save_gate: 1s}\n";

pub fn server() -> Server {
    Server::start(&Options { config: AT_ONCE, ..Options::default() })
}

/// Asks until a finding about an account is in the log.
pub fn violation_of(server: &Server, account: &str) -> Value {
    wait_for("a finding", || {
        let page = server.get(&format!("/v1/violations?account={account}")).json();
        page["violations"].as_array().unwrap().first().cloned()
    })
}

pub fn action_of(server: &Server, target: &str, state: &str) -> Value {
    wait_for(&format!("an action that is {state}"), || {
        let page = server.get(&format!("/v1/actions?target={target}&state={state}")).json();
        page["actions"].as_array().unwrap().first().cloned()
    })
}

pub fn decide(server: &Server, id: &str, account: &str, more: &str) -> Value {
    let answer: Answer = server.post("/v1/decide", &event(id, account, more));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

#[test]
fn a_finding_becomes_an_action_that_refuses_the_account_until_somebody_releases_it() {
    let server = server();
    decide(&server, "p1", "mallory", r#""max_tokens":-1,"call":"c1""#);
    let found = violation_of(&server, "mallory");
    assert_eq!((&found["rule"], &found["decision"]), (&"probe".into(), &Value::Null));
    let (id, short) = (found["id"].as_str().unwrap(), &found["id"].as_str().unwrap()[..10]);
    assert_eq!(server.get(&format!("/v1/violations/{short}")).json()["id"], id);

    let action = action_of(&server, "mallory", "in_force");
    assert_eq!(action["violation"], id);
    let refused = decide(&server, "p2", "mallory", "");
    assert_eq!(refused["decision"], "block");
    assert_eq!(refused["actions"], Value::from_iter([action["id"].clone()]));
    assert_eq!(refused["violations"], Value::from_iter([id]));
    assert!(refused["retry_after_s"].as_u64().is_some_and(|s| s > 3_000 && s <= 3_600), "{refused}");
    assert_eq!(decide(&server, "p3", "alice", "")["decision"], "allow");

    let path = format!("/v1/actions/{}/release", action["id"].as_str().unwrap());
    assert_eq!(server.post(&path, r#"{"reason":" "}"#).status, 400, "an act needs a reason");
    assert_eq!(server.post(&path, r#"{"reason":"a test of ours","whom":1}"#).status, 400);
    let released = server.post(&path, r#"{"reason":"a test of ours","by":"kim"}"#);
    assert_eq!((released.status, &released.json()["state"]), (200, &"released".into()), "{}", released.body);
    assert_eq!(decide(&server, "p4", "mallory", "")["decision"], "allow", "at once");
    let again = server.post(&path, r#"{"reason":"once more"}"#);
    assert_eq!((again.status, again.code().as_str()), (409, "conflict"));

    let told = server.get(&format!("/v1/actions/{}", action["id"].as_str().unwrap())).json();
    let acts: Vec<(&str, &str)> = told["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["act"].as_str().unwrap(), e["by"]["name"].as_str().unwrap()))
        .collect();
    assert_eq!(acts, [("proposed", "probe"), ("taken", "fineprint"), ("released", "local: kim")]);

    let decisions = wait_for("both refusals in the log", || {
        let page = server.get("/v1/decisions?account=mallory&decision=block").json();
        let all = page["decisions"].as_array().unwrap().clone();
        (all.len() == 2).then_some(all)
    });
    assert_eq!((&decisions[0]["event"], &decisions[0]["call"]), (&"p1".into(), &"c1".into()));
    assert_eq!((&decisions[1]["event"], &decisions[1]["actions"]), (&"p2".into(), &refused["actions"]));
    let rules = server.get("/v1/rules").json();
    assert_eq!(decisions[0]["bundle"], rules["hash"], "what was in force is known");
    let (summary, _directory) = server.stop();
    assert_eq!((&summary["balanced"], &summary["decisions_lost"]), (&true.into(), &0.into()));
    assert_eq!(summary["books"]["received"], 4);
}

#[test]
fn what_the_command_line_does_to_an_action_takes_effect_in_the_server() {
    let server = server();
    decide(&server, "p1", "mallory", r#""max_tokens":-1"#);
    let action = action_of(&server, "mallory", "in_force");
    let id = action["id"].as_str().unwrap();
    let released = Command::new(env!("CARGO_BIN_EXE_fineprint"))
        .args(["actions", "release", id, "--db"])
        .arg(server.path("log.db"))
        .args(["--by", "kim", "--reason", "a test"])
        .output()
        .unwrap();
    assert!(released.status.success(), "{}", String::from_utf8_lossy(&released.stderr));
    let mut n = 0;
    wait_for("the release takes effect", || {
        n += 1;
        (decide(&server, &format!("after{n}"), "mallory", "")["decision"] == "allow").then_some(())
    });
}

#[test]
fn violations_come_in_pages_that_hold_each_once() {
    let server = server();
    let batch: Vec<String> = (0..7).map(|n| event(&format!("e{n}"), &format!("a{n}"), r#""max_tokens":0"#)).collect();
    server.post("/v1/decide", &format!("[{}]", batch.join(",")));
    let all = wait_for("seven findings", || {
        let page = server.get("/v1/violations?rule=probe").json();
        let all = page["violations"].as_array().unwrap().clone();
        (all.len() == 7).then_some(all)
    });
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/v1/violations?limit=3{cursor}")).json();
        seen.extend(page["violations"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, all);
    assert_eq!(server.get("/v1/violations?severity=critical").json()["violations"], Value::Array(Vec::new()));
    assert_eq!(server.get("/v1/violations?decision=none&mode=enforce&status=open").status, 200);
}

#[test]
fn calls_without_records_and_records_without_calls_are_told_of_sources_that_do_both() {
    let config = format!("{AT_ONCE}gaps: {{within: 300ms}}");
    let server = Server::start(&Options { config: &config, ..Options::default() });
    decide(&server, "r1", "a", r#""call":"both","source":"gw""#);
    decide(&server, "r2", "a", r#""call":"asked","source":"gw""#);
    decide(&server, "r3", "a", r#""call":"elsewhere","source":"asks only""#);
    let detail = |server: &Server| server.get("/readyz").json()["details"]["gaps"].clone();
    assert_eq!(detail(&server), Value::Null, "no record was seen yet");
    let record = |id: &str, call: &str| {
        format!(r#"{{"id":"{id}","ts":"{}","type":"completion","account":"a","call":"{call}","source":"gw"}}"#, ago(0))
    };
    let lines = format!("{}\n{}\n", record("c1", "both"), record("c2", "logged"));
    assert_eq!(server.post("/v1/events", &lines).json()["accepted"], 2);
    let gaps = wait_for("gaps", || {
        let gaps = detail(&server);
        (gaps["without_record"] == 1 && gaps["without_decision"] == 1).then_some(gaps)
    });
    assert_eq!((&gaps["calls"], &gaps["records"]), (&3.into(), &2.into()));
    assert_eq!(server.metric(r#"fineprint_gaps{kind="without_record"}"#), 1.0);
    let minutes = server.get("/v1/gaps").json();
    let seen = serde_json::json!([
        {"source": "gw", "asks": true, "logs": true, "watched": true},
        {"source": "asks only", "asks": true, "logs": false, "watched": false},
    ]);
    assert_eq!(minutes["sources"], seen);
    assert_eq!(server.metric(r#"fineprint_gap_sources{kind="watched"}"#), 1.0);
    assert_eq!(server.metric(r#"fineprint_gap_sources{kind="asks_only"}"#), 1.0);
    assert!(minutes["minutes"].as_array().unwrap().iter().all(|m| m["source"] == "gw"), "{minutes}");
}

const COMPLETIONS: &str = r#"
policy acme.terms version 2025-09-15 {
  title "Acme Terms"
  url   "https://example.com/terms"
  clause probes at "3.1"
    "Keys are not to be probed."
}

rule probe {
  enforces acme.terms.probes
  severity high
  mode     enforce
  on       completion where max_tokens <= 0
  action   block account for 1h
  because  "a call asked for {max_tokens} tokens"
}

rule burst {
  enforces acme.terms.probes
  severity high
  mode     enforce
  on       completion
  per      account
  over     1m
  when     count() >= 3
  action   after review: block account for 7d
  action   flag account for 2h
  because  "{account} came often"
}
"#;

/// A refused request becomes no completion, so there is never a finding: what the rule says is to happen happens all the same.
#[test]
fn what_a_rule_does_outlasts_the_request_that_it_refused() {
    let server = Server::start(&Options { config: AT_ONCE, rules: COMPLETIONS });
    let refused = decide(&server, "q1", "mallory", r#""max_tokens":0,"call":"c1""#);
    assert_eq!((&refused["decision"], &refused["actions"]), (&"block".into(), &serde_json::json!([])));
    let action = action_of(&server, "mallory", "in_force");
    assert_eq!((&action["rule"], &action["action"]), (&"probe".into(), &"block account for 1h".into()), "{action}");
    let next = decide(&server, "q2", "mallory", r#""max_tokens":9,"call":"c2""#);
    assert_eq!((&next["decision"], &next["actions"]), (&"block".into(), &Value::from_iter([action["id"].clone()])));
    // Once is enough, however often it is tried.
    for n in 3..6 {
        decide(&server, &format!("q{n}"), "mallory", r#""max_tokens":0,"call":"c3""#);
    }
    // What waits for a person does not begin by itself, and what a flag says does.
    for n in 0..4 {
        decide(&server, &format!("b{n}"), "bob", &format!(r#""max_tokens":9,"call":"b{n}""#));
    }
    let flag = action_of(&server, "bob", "in_force");
    assert_eq!(flag["action"], "flag account for 2h", "{flag}");
    for target in ["mallory", "bob"] {
        let all = server.get(&format!("/v1/actions?target={target}")).json();
        assert_eq!(all["actions"].as_array().unwrap().len(), 1, "{all}");
    }
}

#[test]
fn decisions_are_removed_after_their_time_and_not_before() {
    let server = server();
    decide(&server, "p1", "mallory", r#""max_tokens":-1"#);
    wait_for("the decision is in the log", || {
        (server.get("/v1/decisions").json()["decisions"].as_array().unwrap().len() == 1).then_some(())
    });
    let (_, directory) = server.stop();
    // Kept for long: it is there after a restart.
    let server = Server::over(directory);
    wait_for("old ones were looked for", || (server.metric("fineprint_ready") == 1.0).then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(server.get("/v1/decisions").json()["decisions"].as_array().unwrap().len(), 1);
    let (_, directory) = server.stop();
    let brief = AT_ONCE.replace("save_gate: 1s", "save_gate: 1s, keep_decisions: 1s");
    std::fs::write(directory.path().join("serve.yaml"), brief).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let server = Server::over(directory);
    wait_for("it is removed", || {
        server.get("/v1/decisions").json()["decisions"].as_array().unwrap().is_empty().then_some(())
    });
    assert_eq!(server.metric(r#"fineprint_decisions_recorded_total{kind="removed"}"#), 1.0);
    // What was found of it stays.
    violation_of(&server, "mallory");
}

#[test]
fn decisions_and_actions_come_in_pages_that_hold_each_once_in_order() {
    let server = server();
    for n in 0..7 {
        decide(&server, &format!("e{n}"), &format!("a{n}"), r#""max_tokens":0"#);
    }
    for (route, key) in [("/v1/decisions", "decisions"), ("/v1/actions", "actions")] {
        let rows = |page: &Value| page[key].as_array().unwrap().clone();
        let all = wait_for("seven rows", || {
            let all = rows(&server.get(route).json());
            (all.len() == 7).then_some(all)
        });
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("{route}?limit=3{cursor}")).json();
            seen.extend(rows(&page));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, all, "{route}");
        assert_eq!(server.get(&format!("{route}?cursor=x")).status, 400);
    }
    let all = server.get("/v1/decisions").json()["decisions"].as_array().unwrap().clone();
    let since = server.get(&format!("/v1/decisions?since={}", all[4]["at"].as_str().unwrap())).json();
    let since: Vec<&Value> = since["decisions"].as_array().unwrap().iter().map(|d| &d["event"]).collect();
    assert!(since.contains(&&"e4".into()) && !since.contains(&&"e0".into()), "{since:?}");
}

/// A windowed finding has its id when its step closes: from then on decisions on its group name it, and those before lead to it.
#[test]
fn a_decision_by_a_windowed_rule_names_its_finding_or_leads_to_it() {
    let server = server();
    let past = |id: &str| {
        let ts = ago(180);
        format!(r#"{{"id":"{id}","ts":"{ts}","type":"request","account":"grows","call":"call-{id}"}}"#)
    };
    // The fifth is the first that the rule bears on, and its throttle lets one pass. Together, so that none is late.
    let batch: Vec<String> = (0..6).map(|n| past(&format!("w{n}"))).collect();
    let answers = server.post("/v1/decide", &format!("[{}]", batch.join(","))).json();
    let last = answers.as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["would"], &last["violations"]), (&"throttle".into(), &serde_json::json!([])), "{last}");
    decide(&server, "tick", "somebody-else", "");
    let found = violation_of(&server, "grows");
    let mut n = 0;
    let named = wait_for("decisions name it", || {
        n += 1;
        let said = decide(&server, &format!("later{n}"), "grows", "");
        (said["violations"] != serde_json::json!([])).then_some(said)
    });
    assert_eq!(named["violations"], Value::from_iter([found["id"].clone()]));
    assert_eq!(decide(&server, "other", "somebody-else", "")["violations"], serde_json::json!([]));

    let given = wait_for("the first decision is in the log", || {
        let page = server.get("/v1/decisions?call=call-w5").json();
        page["decisions"].as_array().unwrap().first().cloned()
    });
    assert_eq!((&given["event"], &given["violations"]), (&"w5".into(), &serde_json::json!([])));
    let told = server.get(&format!("/v1/decisions/{}", given["number"])).json();
    let (first, n) = (&told["findings"][0], told["findings"].as_array().unwrap().len());
    assert_eq!((&first["id"], &first["by"], n), (&found["id"], &"event".into(), 1), "{told}");
    let named = wait_for("a later decision is in the log", || {
        let page = server.get("/v1/decisions?account=grows").json();
        let all = page["decisions"].as_array().unwrap().clone();
        all.into_iter().find(|d| d["violations"] != serde_json::json!([]))
    });
    let told = server.get(&format!("/v1/decisions/{}", named["number"])).json();
    assert_eq!((&told["findings"][0]["id"], &told["findings"][0]["by"]), (&found["id"], &"known".into()), "{told}");
    for (path, status) in [("/v1/decisions/999999", 404), ("/v1/decisions/x", 400)] {
        assert_eq!(server.get(path).status, status, "{path}");
    }

    // What is under way is known after a kill too.
    let server = Server::over(server.kill());
    let mut n = 0;
    let named = wait_for("decisions name it again", || {
        n += 1;
        let said = decide(&server, &format!("after{n}"), "grows", "");
        (said["violations"] != serde_json::json!([])).then_some(said)
    });
    assert_eq!(named["violations"], Value::from_iter([found["id"].clone()]));
}
