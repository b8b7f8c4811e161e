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
