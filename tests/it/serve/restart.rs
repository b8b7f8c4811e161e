//! What a server that was killed had, the next one has.

use super::log::{AT_ONCE, action_of, decide, violation_of};
use super::server::{Options, Server, event, wait_for};

/// Commits come often, and no event is late however busy the machine is.
const IN_TIME: &str = "stream: {lateness: 5m, commit_time: 50ms}";

#[test]
fn what_was_taken_in_before_a_kill_is_counted_once_after_it() {
    let mut directory = super::server::directory(&Options { config: IN_TIME, ..Options::default() });
    for round in 0..3 {
        let server = Server::over(directory);
        let lines: Vec<String> =
            (0..50).map(|n| event(&format!("r{round}e{n}"), &format!("a{n}"), r#""max_tokens":5"#)).collect();
        let told = server.post("/v1/events", &lines.join("\n"));
        assert_eq!(told.json()["accepted"], 50, "{}", told.body);
        directory = server.kill();
    }
    let (summary, _directory) = Server::over(directory).stop();
    assert_eq!((&summary["books"]["received"], &summary["books"]["evaluated"]), (&150.into(), &150.into()));
    assert_eq!(summary["balanced"], true);
}

#[test]
fn an_action_in_force_refuses_from_the_first_call_after_a_kill() {
    let server = Server::start(&Options { config: AT_ONCE, ..Options::default() });
    decide(&server, "p1", "mallory", r#""max_tokens":-1"#);
    let action = action_of(&server, "mallory", "in_force");
    let server = Server::over(server.kill());
    let refused = decide(&server, "p2", "mallory", "");
    assert_eq!((&refused["decision"], &refused["actions"][0]), (&"block".into(), &action["id"]));
    assert_eq!(violation_of(&server, "mallory")["rule"], "probe");
}

#[test]
fn what_decisions_are_given_from_outlives_an_end_and_a_kill() {
    let ends: [fn(Server) -> tempfile::TempDir; 2] = [|server| server.stop().1, Server::kill];
    for end in ends {
        let server = Server::start(&Options { config: AT_ONCE, ..Options::default() });
        for n in 0..4 {
            assert_eq!(decide(&server, &format!("e{n}"), "grows", "")["would"], "allow");
        }
        // Calls are not waited for: what a kill finds in the journal is what was synced.
        wait_for("the calls are in the journal", || {
            let books = server.metric(r#"fineprint_books{account="received"}"#);
            (books == 4.0).then_some(())
        });
        std::thread::sleep(std::time::Duration::from_millis(200));
        let server = Server::over(end(server));
        decide(&server, "e4", "grows", "");
        let sixth = decide(&server, "e5", "grows", "");
        assert_eq!(sixth["would"], "throttle", "{sixth}");
    }
}

const TEXTS: &str = r#"
policy acme.terms version 2025-09-15 {
  title "Acme Terms"
  url   "https://example.com/terms"
  clause probes at "3.1"
    "Keys are not to be probed."
}

rule asks-for-steps {
  enforces acme.terms.probes
  severity low
  mode     enforce
  on       completion where prompt has any of ["step by step"]
  per      account
  over     10m every 1m
  when     count() >= 3
  action   challenge account
  because  "{account} asked often"
}

rule slow-down {
  enforces acme.terms.probes
  severity low
  mode     enforce
  on       completion where max_tokens = 7
  action   throttle account to 2 per 1h
  because  "{account} asks for seven"
}

rule parallel {
  enforces acme.terms.probes
  severity low
  mode     enforce
  on       completion where max_tokens = 9 and call exists
  per      account
  over     10m every 1m
  when     count() >= 3
  action   challenge account
  because  "{account} asks for nine"
}
"#;

/// What came since the gate was last written down is in the journal: which texts held, which calls passed a throttle, and which
/// count ahead of their completions, where a rule reads `call` so that the journal has it.
#[test]
fn texts_throttles_and_calls_under_way_outlive_a_kill() {
    let config = "stream: {lateness: 0s, commit_time: 50ms, save_gate: 10m}";
    let server = Server::start(&Options { config, rules: TEXTS });
    let words = r#""prompt":"Explain it step by step.""#;
    let completion = |server: &Server, id: &str, account: &str, more: &str| {
        let body = event(id, account, more).replace("\"request\"", "\"completion\"");
        server.post("/v1/decide", &body).json()["decision"].clone()
    };
    for n in 0..2 {
        assert_eq!(completion(&server, &format!("w{n}"), "words", words), "allow");
        assert_eq!(completion(&server, &format!("o{n}"), "words", r#""prompt":"Hello.""#), "allow");
        assert_eq!(decide(&server, &format!("t{n}"), "slow", r#""max_tokens":7"#)["decision"], "allow");
        assert_eq!(
            decide(&server, &format!("p{n}"), "two", &format!(r#""max_tokens":9,"call":"c{n}""#))["decision"],
            "allow"
        );
    }
    wait_for("the calls are in the journal", || {
        (server.metric(r#"fineprint_books{account="received"}"#) == 8.0).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_millis(300));
    let server = Server::over(server.kill());
    assert_eq!(decide(&server, "t2", "slow", r#""max_tokens":7"#)["decision"], "throttle");
    assert_eq!(completion(&server, "w2", "words", words), "challenge");
    assert_eq!(decide(&server, "p2", "two", r#""max_tokens":9,"call":"c2""#)["decision"], "challenge");
}
