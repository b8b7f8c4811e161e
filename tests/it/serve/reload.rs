//! Rules that change while the server runs.

use super::server::{Options, RULES, Server, event, wait_for};

const WATCHED: &str = "reload: {settle: 50ms}";
const ASKED: &str = "reload: {watch: false}";

const MORE: &str = r#"
rule big {
  enforces acme.terms.volume
  severity low
  mode     enforce

  on       request where max_tokens >= 1000
  action   block account for 1h
  because  "{max_tokens} tokens"
}
"#;

fn big(server: &Server, id: &str) -> serde_json::Value {
    // An account of its own each time: a block outlasts the call that it refused.
    server.post("/v1/decide", &event(id, id, r#""max_tokens":5000"#)).json()["decision"].clone()
}

#[test]
fn good_rules_take_effect_and_bad_ones_leave_those_before_in_force() {
    let server = Server::start(&Options { config: WATCHED, ..Options::default() });
    let first = server.get("/v1/rules").json();
    assert_eq!(big(&server, "e1"), "allow");
    std::fs::write(server.path("rules/more.tos"), MORE).unwrap();
    let second = wait_for("the new rule", || {
        let rules = server.get("/v1/rules").json();
        (rules["rules"].as_array().unwrap().len() == 3).then_some(rules)
    });
    assert_ne!(first["hash"], second["hash"]);
    assert_eq!(big(&server, "e2"), "block");

    std::fs::write(server.path("rules/more.tos"), MORE.replace("max_tokens >= 1000", "max_tokens >= \"many\""))
        .unwrap();
    let why = wait_for("the failure", || {
        let detail = server.get("/readyz").json()["details"]["last_reload"]["failed"].clone();
        detail.as_str().map(String::from)
    });
    assert!(why.contains("more.tos") && why.contains("TOS"), "{why}");
    assert_eq!(server.get("/readyz").status, 200, "the rules before answer");
    assert_eq!(big(&server, "e3"), "block");
    assert_eq!(server.metric(r#"fineprint_reloads_total{kind="bad"}"#), 1.0);

    std::fs::remove_file(server.path("rules/more.tos")).unwrap();
    wait_for("the old rules", || (server.get("/v1/rules").json()["hash"] == first["hash"]).then_some(()));
    assert_eq!(server.get("/readyz").json()["details"]["last_reload"]["failed"], serde_json::Value::Null);
}

#[test]
fn whoever_may_act_reads_them_again_and_is_told_what_came_of_it() {
    let server = Server::start(&Options { config: ASKED, ..Options::default() });
    let nothing = server.connect().call("POST", "/v1/reload", &[], b"");
    assert_eq!((nothing.status, &nothing.json()["changed"]), (200, &false.into()));
    std::fs::write(server.path("rules/acme.tos"), format!("{RULES}{MORE}")).unwrap();
    assert_eq!(big(&server, "e1"), "allow", "nobody watches");
    let done = server.connect().call("POST", "/v1/reload", &[], b"");
    assert_eq!((done.status, &done.json()["changed"]), (200, &true.into()));
    assert_eq!(big(&server, "e2"), "block");
    std::fs::write(server.path("rules/acme.tos"), RULES).unwrap();
    server.signal("HUP");
    wait_for("a signal asks too", || (server.metric(r#"fineprint_reloads_total{kind="good"}"#) == 2.0).then_some(()));
    assert_eq!(big(&server, "e2a"), "allow");
    std::fs::write(server.path("rules/acme.tos"), "rule a {").unwrap();
    let bad = server.connect().call("POST", "/v1/reload", &[], b"");
    assert_eq!((bad.status, bad.code().as_str()), (409, "rules"));
    assert_eq!(big(&server, "e3"), "allow");
}

#[test]
fn rules_that_change_under_load_cost_no_answer() {
    let server = Server::start(&Options { config: ASKED, ..Options::default() });
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (server, done) = (&server, &done);
        let askers: Vec<_> = (0..2)
            .map(|asker| {
                scope.spawn(move || {
                    let mut connection = server.connect();
                    let mut n = 0;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        n += 1;
                        let body = event(&format!("a{asker}n{n}"), "steady", r#""max_tokens":-1"#);
                        let header = [("content-type", "application/json")];
                        let answer = connection.call("POST", "/v1/decide", &header, body.as_bytes());
                        assert_eq!((answer.status, &answer.json()["decision"]), (200, &"block".into()));
                    }
                    n
                })
            })
            .collect();
        for n in 0..6 {
            let more = if n % 2 == 0 { MORE } else { "" };
            std::fs::write(server.path("rules/acme.tos"), format!("{RULES}{more}")).unwrap();
            assert_eq!(server.connect().call("POST", "/v1/reload", &[], b"").json()["changed"], true);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let asked: usize = askers.into_iter().map(|a| a.join().unwrap()).sum();
        assert!(asked > 20, "{asked}");
    });
    let (summary, _directory) = server.stop();
    assert_eq!(summary["balanced"], true);
}

/// Who may call, what took effect and what was refused are entries of the log, and so is what gateways were told.
#[test]
fn reloads_callers_and_answers_are_sealed() {
    let config = "reload: {watch: false}\nstream: {lateness: 0s, commit_time: 50ms}\n\
                  checkpoints: [{file: kept.txt}, {command: exit 1}]\n";
    let server = Server::start(&Options { config, ..Options::default() });
    std::fs::write(server.path("rules/acme.tos"), format!("{RULES}{MORE}")).unwrap();
    assert_eq!(server.post("/v1/reload", "{}").status, 200);
    std::fs::write(server.path("rules/more.tos"), "rule broken {").unwrap();
    server.post("/v1/reload", "{}");
    assert_eq!(big(&server, "e1"), "block");
    wait_for("a checkpoint that was brought, and one that was not", || {
        let counted = |kind: &str| server.metric(&format!("fineprint_checkpoints{{kind=\"{kind}\"}}"));
        (counted("sent") >= 1.0 && counted("retried") >= 1.0).then_some(())
    });
    let (_, directory) = server.stop();
    let db = directory.path().join("log.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use fineprint::store::{Access, Anchor, Noted, Store};
        let store = Store::open(&db, Access::ReadOnly).await.unwrap();
        let notes = store.notes().await.unwrap();
        assert_eq!(notes.iter().map(|n| n.kind).collect::<Vec<_>>(), [Noted::Callers, Noted::Reload, Noted::Reload]);
        assert!(notes[1].details.contains("\"accepted\"") && notes[2].details.contains("\"refused\""), "{notes:?}");
        assert!(notes[2].details.contains("more.tos"), "{notes:?}");
        let kept = std::fs::read_to_string(directory.path().join("kept.txt")).unwrap();
        let kept = fineprint::seal::Note::parse_all(&kept).unwrap();
        let anchors: Vec<Anchor> = kept.into_iter().map(|note| Anchor { name: "kept".into(), note }).collect();
        let held = store.verify(None, &anchors, &mut |_| {}).await.unwrap();
        assert!(held.holds() && held.anchored.len() == anchors.len(), "{held:?}");
        assert!(store.prove_given(1).await.unwrap().is_some_and(|proof| proof.json.contains("\"event\":\"e1\"")));
    });
}

const BACKFILLED: &str = r#"
rule large-ones {
  enforces acme.terms.volume
  severity low
  mode     shadow

  on       request where max_tokens >= 1000
  per      account
  over     60s every 1s
  let      calls = count()
  when     calls >= 3
  changed  backfill
  because  "{calls} large calls in a minute"
}
"#;

/// A rule that says so counts what the journal holds: calls that came before it was there.
#[test]
fn a_rule_that_is_backfilled_finds_what_came_before_it() {
    // The clock may tick between a call's time and its arrival: none of them may be late for that.
    let config = "stream: {lateness: 2s, commit_time: 50ms}\nreload: {watch: false}\n";
    let server = Server::start(&Options { config, ..Options::default() });
    for n in 0..3 {
        server.post("/v1/decide", &event(&format!("e{n}"), "grows", r#""max_tokens":5000"#));
    }
    std::fs::write(server.path("rules/acme.tos"), format!("{RULES}{BACKFILLED}")).unwrap();
    let done = server.connect().call("POST", "/v1/reload", &[], b"").json();
    assert_eq!(done["rules"], serde_json::json!({"large-ones": "backfilled"}), "{done}");
    let found = wait_for("a finding", || {
        let page = server.get("/v1/violations?rule=large-ones").json();
        page["violations"].as_array().unwrap().first().cloned()
    });
    assert_eq!(found["group"]["account"], "grows", "{found}");
    let told = server.get("/readyz").json()["details"]["last_change"].clone();
    assert_eq!((&told["rules"]["large-ones"], &told["backfills"]), (&"backfilled".into(), &1.into()), "{told}");
    assert!(told["last_backfill"]["records"].as_u64().unwrap() >= 3, "{told}");
    assert_eq!(server.metric(r#"fineprint_backfill{kind="done"}"#), 1.0);
    assert_eq!(server.metric(r#"fineprint_rules_changed_total{kind="backfilled"}"#), 1.0);

    // What the journal does not hold is said, and the rules before stay.
    let other = BACKFILLED.replace("max_tokens >= 1000", "n >= 2");
    std::fs::write(server.path("rules/acme.tos"), format!("{RULES}{other}")).unwrap();
    let refused = server.connect().call("POST", "/v1/reload", &[], b"");
    assert_eq!((refused.status, refused.code().as_str()), (409, "rules"));
    assert!(refused.body.contains("cannot be backfilled"), "{}", refused.body);
}

/// A finding is explained under the rules that it was made under, which are kept.
#[test]
fn a_finding_is_explained_although_its_rule_has_changed_since() {
    let config = "stream: {lateness: 0s, commit_time: 50ms}\nreload: {watch: false}\n";
    let server = Server::start(&Options { config, ..Options::default() });
    server.post("/v1/decide", &event("e1", "mallory", r#""max_tokens":-1"#));
    let of = |server: &Server, account: &str| {
        wait_for("a finding", || {
            let page = server.get(&format!("/v1/violations?rule=probe&account={account}")).json();
            page["violations"].as_array().unwrap().first().map(|v| v["id"].as_str().unwrap().to_string())
        })
    };
    let first = of(&server, "mallory");
    std::fs::write(server.path("rules/acme.tos"), RULES.replace("max_tokens <= 0", "max_tokens <= 1")).unwrap();
    assert_eq!(server.connect().call("POST", "/v1/reload", &[], b"").json()["changed"], true);
    let mut n = 0;
    wait_for("the new rule", || {
        n += 1;
        server.post("/v1/decide", &event(&format!("f{n}"), "eve", r#""max_tokens":1"#));
        let page = server.get("/v1/violations?rule=probe&account=eve").json();
        (!page["violations"].as_array().unwrap().is_empty()).then_some(())
    });
    let second = of(&server, "eve");
    let (_, directory) = server.stop();
    for id in [first, second] {
        let explained = std::process::Command::new(env!("CARGO_BIN_EXE_fineprint"))
            .current_dir(directory.path())
            .args(["explain", &id, "--db", "log.db", "--rules", "rules", "--lateness", "0s"])
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&explained.stdout), String::from_utf8_lossy(&explained.stderr));
        assert!(explained.status.success() && out.contains("the same as in the record"), "{out}{err}");
    }
}

/// Rules that took over, and a kill before the commit that was to say so: the log says it after the restart, under whichever rules.
#[test]
fn rules_that_a_kill_came_before_are_sealed_after_it() {
    let config = "stream: {lateness: 0s, commit_time: 60s}\nreload: {watch: false}\n";
    let server = Server::start(&Options { config, ..Options::default() });
    server.post("/v1/decide", &event("e1", "mallory", r#""max_tokens":-1"#));
    std::fs::write(server.path("rules/acme.tos"), RULES.replace("max_tokens <= 0", "max_tokens <= 1")).unwrap();
    assert_eq!(server.connect().call("POST", "/v1/reload", &[], b"").json()["changed"], true);
    let directory = server.kill();
    std::fs::write(directory.path().join("rules/acme.tos"), RULES.replace("max_tokens <= 0", "max_tokens <= 2"))
        .unwrap();
    let server = Server::over(directory);
    server.post("/v1/decide", &event("e2", "eve", r#""max_tokens":2"#));
    let (_, directory) = server.stop();
    let verified = std::process::Command::new(env!("CARGO_BIN_EXE_fineprint"))
        .current_dir(directory.path())
        .args(["verify", "--db", "log.db", "--format", "json"])
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((verified.status.code(), &told["problems_total"]), (Some(0), &0.into()), "{told:#}");
}
