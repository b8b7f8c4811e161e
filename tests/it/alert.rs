use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration as Span;

use fineprint::alert::{
    ALERT_ATTEMPTS_MAX, Alert, AlertCounts, Alerts, BECAUSE_CHARS_MAX, Channels, Clock, QUEUE_ALERTS_MAX,
    REMEMBERED_MAX, SIGNATURE_AGE_MAX, SignatureError, due, read_dead_letters, resend, sign, verify,
};
use fineprint::compile::compile;
use fineprint::hir::{Confidence, Mode, Severity};
use fineprint::source::SourceMap;
use fineprint::time::{Duration, SECOND_NS, Timestamp};
use fineprint::violation::{Enforced, Evidence, Proposal, Status, Violation, Withheld};
use serde_json::Value;
use tempfile::TempDir;

const SECRET: &str = "a secret of more than sixteen bytes";
const NOW: Timestamp = Timestamp(1_772_438_400_000_000_000);

fn clock() -> Clock {
    Arc::new(|| NOW)
}

fn violation(id: &str) -> Violation {
    Violation {
        id: id.to_owned(),
        rule: "key-passed-around".into(),
        rule_hash: "h".into(),
        clauses: vec![Enforced {
            policy: "acme.terms".into(),
            version: "2026-01-01".into(),
            clause: "account-sharing".into(),
            section: "3.1".into(),
            says: "A key serves one customer.".into(),
            from: Timestamp(0),
            in_force: true,
        }],
        severity: Severity::High,
        confidence: Confidence::High,
        mode: Mode::Flag,
        status: Status::Open,
        opened_at: NOW,
        updated_at: NOW,
        closed_at: None,
        merged_into: None,
        group: vec![("api_key_id".into(), "k-1".into())],
        window: None,
        accounts: vec!["acct_1".into(), "acct_2".into()],
        values: vec![],
        evidence: Evidence::default(),
        link: None,
        exceptions: vec![],
        actions: vec![],
        because: "one key was used from 21 networks".into(),
        mistaken_for: vec![],
    }
}

fn channels(dir: &TempDir, channels: &str) -> Channels {
    parse(
        dir.path(),
        &format!("dead_letters: dead.jsonl\npublic_url: https://fineprint.example/\nchannels:\n{channels}"),
    )
    .unwrap_or_else(|error| panic!("{error}"))
}

fn parse(folder: &Path, text: &str) -> Result<Channels, fineprint::alert::ChannelsError> {
    let env = |name: &str| match name {
        "SECRET" => Some(format!("{SECRET}\n")),
        "SHORT" => Some("short".to_owned()),
        "EMPTY" => Some(" ".to_owned()),
        name => name.strip_prefix("URL_").map(|port| format!("http://127.0.0.1:{port}/hook/T0/secret")),
    };
    Channels::parse(text, &folder.join("alerts.yaml"), &env)
}

fn webhook(port: u16, rest: &str) -> String {
    format!("    - webhook: {{url: 'http://127.0.0.1:{port}/alerts', secret: {{env: SECRET}}, backoff: 5ms{rest}}}\n")
}

fn settled(alerts: &Alerts) -> AlertCounts {
    let handle = alerts.handle();
    for _ in 0..2_000 {
        let counts = handle.counts();
        if counts.delivered + counts.dead + counts.lost >= counts.queued {
            return counts;
        }
        std::thread::sleep(Span::from_millis(5));
    }
    panic!("nothing moves: {:?}", handle.counts());
}

fn shutdown(alerts: Alerts) -> AlertCounts {
    alerts.shutdown(Duration(5 * SECOND_NS))
}

// ── a receiver of HTTP ──

#[derive(Debug, Clone)]
struct Got {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// How it answers, one request after the other; the last for all that follow.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Status(u16, &'static str),
    Hang,
    Close,
}

const FINE: Answer = Answer::Status(200, "");

struct Receiving {
    port: u16,
    got: Receiver<Got>,
}

fn read_request(stream: &TcpStream) -> Option<Got> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Got { path, headers, body })
}

fn receive(answers: &'static [Answer]) -> Receiving {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, got) = channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        let mut n = 0;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some(request) = read_request(&stream) else { continue };
            let answer = answers[n.min(answers.len() - 1)];
            n += 1;
            if told.send(request).is_err() {
                return;
            }
            match answer {
                Answer::Status(status, headers) => {
                    let _ = write!(
                        stream,
                        "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n{headers}\r\n"
                    );
                }
                Answer::Hang => held.push(stream),
                Answer::Close => drop(stream),
            }
        }
    });
    Receiving { port, got }
}

fn checked(got: &Got) -> Alert {
    let header = |name: &str| got.headers[name].as_str();
    verify(SECRET.as_bytes(), NOW, header("fineprint-timestamp"), header("fineprint-signature"), &got.body).unwrap();
    assert_eq!(header("content-type"), "application/json");
    let alert: Alert = serde_json::from_slice(&got.body).unwrap();
    assert_eq!(header("fineprint-delivery"), alert.delivery());
    alert
}

// ── webhooks ──

#[test]
fn a_webhook_gets_the_violation_signed() {
    let dir = TempDir::new().unwrap();
    let receiver = receive(&[FINE]);
    let alerts = Alerts::start(channels(&dir, &format!("  tns:\n{}", webhook(receiver.port, ""))), clock()).unwrap();
    assert_eq!(alerts.send(&violation("v1"), "tns").queued, 1);
    let got = receiver.got.recv().unwrap();
    let alert = checked(&got);
    assert_eq!(got.path, "/alerts");
    assert_eq!(
        serde_json::to_value(&alert).unwrap(),
        serde_json::json!({
            "version": 1, "channel": "tns", "violation": "v1", "rule": "key-passed-around", "severity": "high",
            "confidence": "high", "mode": "flag", "status": "open",
            "clauses": [{"policy": "acme.terms", "version": "2026-01-01", "section": "3.1", "clause": "account-sharing"}],
            "group": [["api_key_id", "k-1"]], "accounts": 2, "because": "one key was used from 21 networks",
            "opened_at": "2026-03-02T08:00:00.000Z", "url": "https://fineprint.example/v1/violations/v1",
            "delivery": "v1-tns",
        })
    );
    let counts = shutdown(alerts);
    assert_eq!((counts.queued, counts.delivered, counts.dead, counts.lost), (1, 1, 0, 0));
}

#[test]
fn failures_that_may_pass_are_tried_again() {
    let dir = TempDir::new().unwrap();
    let receiver = receive(&[
        Answer::Status(500, ""),
        Answer::Status(429, "retry-after: nonsense\r\n"),
        Answer::Close,
        Answer::Hang,
        FINE,
    ]);
    let seconds = Arc::new(AtomicI64::new(0));
    let ticking: Clock = {
        let seconds = Arc::clone(&seconds);
        Arc::new(move || Timestamp(NOW.0 + seconds.fetch_add(1, Ordering::Relaxed) * SECOND_NS))
    };
    let one = channels(&dir, &format!("  tns:\n{}", webhook(receiver.port, ", timeout: 200ms")));
    let alerts = Alerts::start(one, ticking).unwrap();
    alerts.send(&violation("v1"), "tns");
    let got: Vec<Got> = (0..5).map(|_| receiver.got.recv().unwrap()).collect();
    let counts = settled(&alerts);
    assert_eq!((counts.delivered, counts.retried, counts.dead), (1, 4, 0));
    // One delivery, each attempt signed anew.
    let ids: Vec<String> = got.iter().map(|got| checked(got).delivery()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let stamps: Vec<&String> = got.iter().map(|got| &got.headers["fineprint-timestamp"]).collect();
    assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]), "{stamps:?}");
    shutdown(alerts);
}

#[test]
fn what_cannot_be_delivered_is_kept_and_can_be_sent_again() {
    let dir = TempDir::new().unwrap();
    let cases: [(&'static [Answer], u64, &str); 4] = [
        (&[Answer::Status(400, "")], 1, "HTTP 400"),
        (&[Answer::Status(302, "location: http://127.0.0.1:1/\r\n")], 1, "HTTP 302"),
        (&[Answer::Status(503, "")], 3, "HTTP 503"),
        (&[Answer::Hang], 3, "no answer within 500ms"),
    ];
    for (answers, attempts, why) in cases {
        let receiver = receive(answers);
        let one = || channels(&dir, &format!("  tns:\n{}", webhook(receiver.port, ", attempts: 3, timeout: 500ms")));
        let alerts = Alerts::start(one(), clock()).unwrap();
        alerts.send(&violation("v1"), "tns");
        let counts = settled(&alerts);
        assert_eq!((counts.dead, counts.delivered, counts.retried), (1, 0, attempts - 1), "{why}");
        assert_eq!(receiver.got.try_iter().count() as u64, attempts);
        shutdown(alerts);
        let path = dir.path().join("dead.jsonl");
        let letters = read_dead_letters(&path).unwrap();
        let letter = &letters[0];
        assert_eq!((letters.len(), letter.attempts as u64, letter.target.as_str()), (1, attempts, "webhook"));
        assert_eq!((letter.why.as_str(), letter.at.as_str()), (why, "2026-03-02T08:00:00.000Z"));
        // The same target fails again, another one takes it, a third is not configured any more.
        let resent = resend(one(), letters.clone(), &clock()).unwrap();
        assert_eq!((resent.delivered, resent.left.len(), resent.failed[0].1.as_str()), (0, 1, why));
        let healthy = receive(&[FINE]);
        let other = channels(&dir, &format!("  tns:\n{}", webhook(healthy.port, "")));
        assert_eq!(resend(other, letters.clone(), &clock()).unwrap().delivered, 1);
        assert_eq!(checked(&healthy.got.recv().unwrap()).violation, "v1");
        let gone = resend(channels(&dir, "  tns:\n    - log: {}\n"), letters, &clock()).unwrap();
        assert!(gone.failed[0].1.contains("there is no target `webhook` of the channel `tns`"), "{gone:?}");
        std::fs::remove_file(path).unwrap();
    }
    let path = dir.path().join("broken.jsonl");
    std::fs::write(&path, "\n{}\n").unwrap();
    let error = read_dead_letters(&path).unwrap_err().to_string();
    assert!(error.contains("line 2 is no dead letter: missing field"), "{error}");
}

#[test]
fn dead_letters_are_sent_again_by_command() {
    let dir = TempDir::new().unwrap();
    let broken = receive(&[Answer::Status(500, "")]);
    let text = |port| {
        format!(
            "dead_letters: dead.jsonl\nchannels:\n  tns:\n    - webhook: {{url: 'http://127.0.0.1:{port}/', secret: {{file: key}}, attempts: 1}}\n"
        )
    };
    std::fs::write(dir.path().join("key"), format!("{SECRET}\n")).unwrap();
    let alerts = Alerts::start(parse(dir.path(), &text(broken.port)).unwrap(), clock()).unwrap();
    alerts.send(&violation("v1"), "tns");
    alerts.send(&violation("v2"), "tns");
    assert_eq!(settled(&alerts).dead, 2);
    // Moved away while the program still runs: it begins a new one.
    std::fs::rename(dir.path().join("dead.jsonl"), dir.path().join("again.jsonl")).unwrap();
    alerts.send(&violation("v3"), "tns");
    assert_eq!(settled(&alerts).dead, 3);
    assert_eq!(read_dead_letters(&dir.path().join("dead.jsonl")).unwrap().len(), 1);
    shutdown(alerts);
    let call = |port: u16| {
        std::fs::write(dir.path().join("alerts.yaml"), text(port)).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fineprint"));
        let called = command.args(["alerts", "resend", "--config", "alerts.yaml", "again.jsonl"]).current_dir(&dir);
        let called = called.output().unwrap();
        (called.status.code(), String::from_utf8(called.stdout).unwrap() + &String::from_utf8(called.stderr).unwrap())
    };
    let healthy = receive(&[FINE, Answer::Status(403, "")]);
    let expected = "letter 2: HTTP 403\n1 delivered, 1 not\nthose are in again.jsonl.left\n";
    assert_eq!(call(healthy.port), (Some(1), expected.to_owned()));
    assert_eq!(read_dead_letters(&dir.path().join("again.jsonl.left")).unwrap()[0].alert.violation, "v2");
    let (code, said) = call(healthy.port);
    assert!(code == Some(3) && said.contains("help: send that file again, or move it away"), "{said}");
    std::fs::rename(dir.path().join("again.jsonl.left"), dir.path().join("again.jsonl")).unwrap();
    assert_eq!(call(receive(&[FINE]).port), (Some(0), "1 delivered, 0 not\n".to_owned()));
}

/// A target that hangs holds up neither the caller nor other targets, and what does not fit its queue is counted.
#[test]
fn a_target_that_hangs_holds_up_nobody() {
    let dir = TempDir::new().unwrap();
    let (hangs, works) = (receive(&[Answer::Hang]), receive(&[FINE]));
    let text = format!("  tns:\n{}{}", webhook(hangs.port, ", timeout: 5m"), webhook(works.port, ""));
    let alerts = Alerts::start(channels(&dir, &text), clock()).unwrap();
    alerts.send(&violation("v0"), "tns");
    hangs.got.recv().unwrap();
    assert_eq!(checked(&works.got.recv().unwrap()).violation, "v0");
    for n in 0..QUEUE_ALERTS_MAX {
        let id = format!("w{n}");
        alerts.send(&violation(&id), "tns");
        // The one that works is given time to work; the other has its queue.
        assert_eq!(checked(&works.got.recv().unwrap()).violation, id);
    }
    let sent = alerts.send(&violation("too much"), "tns");
    assert_eq!((sent.queued, sent.lost), (1, 1));
    // What was lost was not told: the next update of the violation tries again, and only where it was lost.
    let again = alerts.send(&violation("too much"), "tns");
    assert_eq!((again.queued, again.lost, again.repeated), (0, 1, 1));
    // What the one that works has answered is known a moment later.
    while alerts.handle().counts().delivered < QUEUE_ALERTS_MAX as u64 + 2 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let counts = alerts.shutdown(Duration(0));
    assert_eq!(counts.queued, counts.delivered + counts.dead, "{counts:?}");
    assert_eq!((counts.lost, counts.dead), (2, QUEUE_ALERTS_MAX as u64 + 1));
    let letters = read_dead_letters(&dir.path().join("dead.jsonl")).unwrap();
    assert!(letters.iter().all(|letter| letter.why.contains("the program ended") || letter.why.contains("HTTP")));
    assert_eq!(letters.len(), QUEUE_ALERTS_MAX + 1);
}

#[test]
fn a_violation_is_told_once_to_each_channel() {
    let dir = TempDir::new().unwrap();
    let receiver = receive(&[FINE]);
    let text =
        format!("remember: told\ndead_letters: dead.jsonl\nchannels:\n  a:\n{0}  b:\n{0}", webhook(receiver.port, ""));
    for run in 0..2 {
        let alerts = Alerts::start(parse(dir.path(), &text).unwrap(), clock()).unwrap();
        let sent = [("v1", "a"), ("v1", "a"), ("v1", "b"), ("v2", "a"), ("v1", "none")]
            .map(|(id, channel)| alerts.send(&violation(id), channel))
            .map(|sent| (sent.queued, sent.repeated, sent.unrouted));
        let first = [(1, 0, false), (0, 1, false), (1, 0, false), (1, 0, false), (0, 0, true)];
        let later = [(0, 1, false), (0, 1, false), (0, 1, false), (0, 1, false), (0, 0, true)];
        assert_eq!(sent, if run == 0 { first } else { later });
        let counts = shutdown(alerts);
        assert_eq!((counts.delivered, counts.unrouted), (if run == 0 { 3 } else { 0 }, 1));
    }
    assert_eq!(receiver.got.try_iter().count(), 3);
    // The last line was cut off by a crash: that one is told again.
    let told = std::fs::read_to_string(dir.path().join("told")).unwrap();
    assert_eq!(told.lines().count(), 3);
    std::fs::write(dir.path().join("told"), &told[..told.len() - 5]).unwrap();
    let alerts = Alerts::start(parse(dir.path(), &text).unwrap(), clock()).unwrap();
    let queued: u32 =
        [("v1", "a"), ("v1", "b"), ("v2", "a")].map(|(v, c)| alerts.send(&violation(v), c).queued).iter().sum();
    assert_eq!(queued, 1);
    shutdown(alerts);
    // What is remembered is bounded: the newest.
    let many: String = (0..REMEMBERED_MAX + 5).map(|n| format!("{n:032x}\n")).collect();
    std::fs::write(dir.path().join("told"), many).unwrap();
    drop(Alerts::start(parse(dir.path(), &text).unwrap(), clock()).unwrap());
    let kept = std::fs::read_to_string(dir.path().join("told")).unwrap();
    assert_eq!((kept.lines().count(), kept.lines().next()), (REMEMBERED_MAX, Some("00000000000000000000000000000005")));
}

#[test]
fn after_the_end_nothing_is_taken_in() {
    let dir = TempDir::new().unwrap();
    let alerts = Alerts::start(channels(&dir, "  tns:\n    - log: {}\n"), clock()).unwrap();
    let handle = alerts.handle();
    assert_eq!(handle.send(&violation("v1"), "tns").queued, 1);
    assert_eq!(shutdown(alerts).delivered, 1);
    assert_eq!(handle.send(&violation("v2"), "tns").lost, 1);
}

// ── chat and mail ──

/// What events say mentions nobody, leads nowhere, and adds no line.
fn hostile(id: &str) -> Violation {
    Violation {
        because: "see <https://evil.example|this>, <!channel> @here & www.evil.example\r\nBcc: all@example.com\u{202e}"
            .into(),
        group: vec![("user_agent".into(), format!("x\r\n.\r\nMAIL FROM:<a@b>{}", "y".repeat(9_000)))],
        rule: "named\r\nSubject: other".into(),
        ..violation(id)
    }
}

#[test]
fn chat_messages_are_inert() {
    let dir = TempDir::new().unwrap();
    let receiver = receive(&[FINE]);
    let text = format!("  chat:\n    - slack: {{url: {{env: URL_{}}}}}\n", receiver.port);
    let configured = channels(&dir, &text);
    assert!(!format!("{configured:?}").contains("T0"), "{configured:?}");
    let alerts = Alerts::start(configured, clock()).unwrap();
    alerts.send(&hostile("v1"), "chat");
    let got = receiver.got.recv().unwrap();
    assert_eq!(got.path, "/hook/T0/secret");
    let body: Value = serde_json::from_slice(&got.body).unwrap();
    let text = body["text"].as_str().unwrap();
    for inert in [
        "[high] named  Subject: other: 2 accounts\n",
        "&lt;https:\u{200b}//evil.example|this&gt;",
        "&lt;!channel&gt; @\u{200b}here &amp; www\u{200b}.evil",
        "\n<https://fineprint.example/v1/violations/v1|Look at it>",
    ] {
        assert!(text.contains(inert), "{text:?} lacks {inert:?}");
    }
    assert_eq!(text.lines().count(), 8, "{text}");
    assert!(text.len() < 4_000);
    assert_eq!((&body["unfurl_links"], &body["mrkdwn"]), (&Value::Bool(false), &Value::Bool(false)));
    shutdown(alerts);
}

/// Speaks as much SMTP as a client needs; gives out the mails with their envelopes.
fn smtp(answers: &'static [&'static str]) -> (u16, Receiver<(Vec<String>, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, got) = channel();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut envelope = Vec::new();
            let mut say = |text: &str| write!(stream, "{text}\r\n").unwrap();
            say("220 mail.example ESMTP");
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
                let line = line.trim_end().to_owned();
                let word = line.split([' ', ':']).next().unwrap().to_ascii_uppercase();
                match word.as_str() {
                    "EHLO" => say("250-mail.example\r\n250-8BITMIME\r\n250 AUTH PLAIN"),
                    "DATA" => {
                        say("354 go on");
                        let mut mail = String::new();
                        loop {
                            let mut line = String::new();
                            reader.read_line(&mut line).unwrap();
                            if line == ".\r\n" {
                                break;
                            }
                            mail.push_str(&line);
                        }
                        say(answers[n.min(answers.len() - 1)]);
                        told.send((envelope.clone(), mail)).unwrap();
                    }
                    "AUTH" => say("235 welcome"),
                    "QUIT" => {
                        say("221 bye");
                        break;
                    }
                    _ => say("250 fine"),
                }
                envelope.push(line);
            }
        }
    });
    (port, got)
}

#[test]
fn mail_is_sent_and_nothing_is_put_into_it() {
    let dir = TempDir::new().unwrap();
    let (port, got) = smtp(&["451 later", "250 taken"]);
    let text = format!(
        "  mail:\n    - mail: {{server: localhost, port: {port}, tls: none, user: ann, password: {{env: SECRET}}, from: 'Fineprint <fp@example.com>', to: [a@example.com, 'B <b@example.com>'], backoff: 5ms}}\n"
    );
    let alerts = Alerts::start(channels(&dir, &text), clock()).unwrap();
    alerts.send(&hostile("v1"), "mail");
    let (first, _) = got.recv().unwrap();
    let (envelope, mail) = got.recv().unwrap();
    let counts = settled(&alerts);
    assert_eq!((counts.delivered, counts.retried), (1, 1));
    let said = |envelope: &[String], word: &str| envelope.iter().filter(|line| line.starts_with(word)).count();
    for envelope in [&first, &envelope] {
        assert_eq!(
            (said(envelope, "MAIL FROM:<fp@example.com>"), said(envelope, "RCPT TO:"), said(envelope, "AUTH PLAIN ")),
            (1, 2, 1),
            "{envelope:?}"
        );
    }
    let (head, body) = mail.split_once("\r\n\r\n").unwrap();
    let headers: Vec<&str> = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])).collect();
    let named =
        |name: &str| headers.iter().filter(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:"))).count();
    assert_eq!((named("subject"), named("bcc"), named("from"), named("to")), (1, 0, 1, 1), "{head}");
    assert!(head.contains("Subject: [fineprint] [high] named  Subject: other: 2 accounts"), "{head}");
    assert!(
        head.contains("Message-ID: <v1-mail@example.com>") && head.contains("Auto-Submitted: auto-generated"),
        "{head}"
    );
    assert!(head.contains("Date: Mon, 02 Mar 2026 08:00:00"), "{head}");
    assert!(!body.lines().any(|line| line.starts_with("Bcc:") || line == "."), "{body}");
    shutdown(alerts);
    // A refusal for good is not tried again.
    let (port, got) = smtp(&["554 no"]);
    let text = format!(
        "  mail:\n    - mail: {{server: 127.0.0.1, port: {port}, tls: none, from: fp@example.com, to: [a@example.com]}}\n"
    );
    let alerts = Alerts::start(channels(&dir, &text), clock()).unwrap();
    alerts.send(&violation("v2"), "mail");
    got.recv().unwrap();
    let counts = settled(&alerts);
    assert_eq!((counts.dead, counts.retried), (1, 0));
    shutdown(alerts);
    let letters = read_dead_letters(&dir.path().join("dead.jsonl")).unwrap();
    assert!(letters[0].why.contains("554"), "{letters:?}");
}

// ── configuration, rules, signatures ──

#[test]
fn wrong_configurations_say_where_and_what_to_write() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("key"), "  \n").unwrap();
    let one = |target: &str| format!("dead_letters: d\nchannels: {{a: [{target}]}}");
    let hook = |rest: &str| one(&format!("{{webhook: {{url: 'https://x.example', secret: {{env: SECRET}}{rest}}}}}"));
    let mail = |rest: &str| one(&format!("{{mail: {{from: a@example.com, to: [b@example.com]{rest}}}}}"));
    for (text, expected) in [
        ("channels: [".to_owned(), "invalid type: sequence, expected a map at line 1 column 11"),
        ("{}".into(), "missing field `channels`"),
        (
            "channels: {}\ncolour: red".into(),
            "unknown field `colour`, expected one of `public_url`, `dead_letters`, `remember`, `channels`",
        ),
        ("channels: {a: []}".into(), "at `channels.a`: a channel goes somewhere: write `- log: {}`"),
        ("channels: {a: [{log: {}}]}\npublic_url: fineprint".into(), "at `public_url`: `fineprint` is no URL"),
        (one("{}"), "at `channels.a[0]`: expected one of `log`, `webhook`, `slack`, `mail`"),
        (one("{log: {}, slack: {url: {env: SECRET}}}"), "each target is an item of its own"),
        (one("{pager: {}}"), "unknown field `pager`, expected one of `log`, `webhook`, `slack`, `mail`"),
        (hook("").replace("dead_letters: d", ""), "at `the file`: write `dead_letters: FILE`"),
        (hook("").replace("https://x.example", "ftp://x"), "at `channels.a[0].webhook.url`: `ftp://x` is no URL"),
        (
            hook("").replace("{env: SECRET}", "hunter2"),
            "at `channels.a[0].webhook.secret`: secrets do not stand in the configuration",
        ),
        (hook("").replace("SECRET", "NONE"), "the environment has no variable `NONE`: set it, or write `{file: PATH}`"),
        (
            hook("").replace("SECRET", "SHORT"),
            "the secret has fewer than 16 bytes: take one from `openssl rand -hex 32`",
        ),
        (hook("").replace("SECRET", "EMPTY"), "what is found there is empty"),
        (hook("").replace("env: SECRET", "file: key"), "what is found there is empty"),
        (hook("").replace("env: SECRET", "file: none"), "`none` cannot be read"),
        (hook(", attempts: 0"), "at `channels.a[0].webhook.attempts`: expected a number from 1 to 20"),
        (hook(&format!(", attempts: {}", ALERT_ATTEMPTS_MAX + 1)), "expected a number from 1 to 20"),
        (hook(", timeout: 6m"), "at `channels.a[0].webhook.timeout`: `6m` is no time of up to 5m"),
        (hook(", backoff: soon"), "at `channels.a[0].webhook.backoff`: `soon` is no time of up to 1m"),
        (
            hook(", colour: red"),
            "unknown field `colour`, expected one of `url`, `secret`, `attempts`, `timeout`, `backoff`",
        ),
        (
            one("{slack: {url: {env: SECRET}}}"),
            "at `channels.a[0].slack.url`: what is found there is no URL: it begins with `https://`",
        ),
        (mail(", server: 'smtp.example.com:25'"), "the port goes to `port`"),
        (
            mail(", server: smtp.example.com, tls: none"),
            "mail goes in the clear to localhost only: write `tls: starttls`",
        ),
        (
            mail(", server: smtp.example.com, tls: ssl"),
            "unknown variant `ssl`, expected one of `none`, `starttls`, `tls`",
        ),
        (mail(", server: smtp.example.com, user: ann"), "`user` and `password` go together"),
        (mail(", server: localhost").replace("a@example.com", "'a@example.com\\r\\nBcc: x'"), "is no mail address"),
        (mail(", server: localhost").replace("[b@example.com]", "[]"), "nobody would get the mail"),
    ] {
        let error = parse(dir.path(), &text).expect_err(&text).to_string();
        assert!(
            error.contains(expected) && error.contains("alerts.yaml") && !error.contains(SECRET),
            "{text}: {error}"
        );
    }
    let whole = format!("{:?}", parse(dir.path(), &hook(", attempts: 20, timeout: 5m, backoff: 1m")).unwrap());
    assert!(!whole.contains(SECRET), "{whole}");
}

/// The configuration that the page shows is one.
#[test]
fn the_example_of_the_page_can_be_used() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/alerts.md")).unwrap();
    let yaml = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("slack-url"), "https://chat.example/services/T0/B0/x\n").unwrap();
    let yaml = yaml.replace("/run/secrets/", "");
    let channels = Channels::parse(&yaml, &dir.path().join("alerts.yaml"), &|_| Some(SECRET.to_owned())).unwrap();
    assert_eq!(channels.names().collect::<Vec<_>>(), ["on-call", "trust-and-safety"]);
    let alerts = Alerts::start(channels, clock()).unwrap();
    assert_eq!(alerts.shutdown(Duration(0)), AlertCounts::default());
}

const RULES: &str = r#"
policy acme.terms version 2026-01-01 {
  clause fair-use at "3.1" "Keys are not to be probed."
}
rule probe {
  enforces acme.terms.fair-use
  mode     flag
  on       completion where max_tokens <= 0
  action   alert "trust-and-safety"
  action   flag account
  action   alert "on-call"
  because  "a call asked for {max_tokens} tokens"
}
"#;

#[test]
fn rules_are_held_against_the_channels_and_tell_what_is_due() {
    let dir = TempDir::new().unwrap();
    let mut sources = SourceMap::default();
    sources.add("probe.tos", RULES);
    let program = compile(&sources).program;
    let rule = &program.rules[0];
    let told =
        |text: &str| -> Vec<String> { channels(&dir, text).unrouted(&program).iter().map(|u| u.to_string()).collect() };
    let found = told("  trust-and-saftey:\n    - log: {}\n");
    assert!(
        found[0].starts_with("rule `probe` alerts \"trust-and-safety\", which is no configured channel")
            && found[0].ends_with("did you mean \"trust-and-saftey\"?"),
        "{found:?}"
    );
    assert!(found[1].ends_with("add it under `channels`, `- log: {}` at the least"), "{found:?}");
    assert_eq!(told("  trust-and-safety: [{log: {}}]\n  on-call: [{log: {}}]\n").len(), 0);

    let proposal = |withheld| Proposal { action: String::new(), withheld, delay: None };
    let base = Violation { actions: vec![proposal(None); 3], ..violation("v") };
    let withheld =
        Violation { actions: vec![proposal(Some(Withheld::Budget)), proposal(None), proposal(None)], ..base.clone() };
    for (violation, expected) in [
        (base.clone(), &["trust-and-safety", "on-call"][..]),
        (withheld, &["on-call"]),
        (Violation { mode: Mode::Enforce, status: Status::Closed, ..base.clone() }, &["trust-and-safety", "on-call"]),
        (Violation { mode: Mode::Shadow, ..base.clone() }, &[]),
        (Violation { status: Status::Exempted, ..base.clone() }, &[]),
        (Violation { status: Status::Merged, ..base }, &[]),
    ] {
        assert_eq!(due(&violation, rule).collect::<Vec<_>>(), expected, "{violation:?}");
    }
}

#[test]
fn signatures_hold_for_their_body_and_their_time() {
    let (secret, body) = (SECRET.as_bytes(), b"{\"version\":1}");
    let (timestamp, signature) = sign(secret, NOW, body);
    assert_eq!(timestamp, "1772438400");
    let check = |now, timestamp: &str, signature: &str, body: &[u8]| verify(secret, now, timestamp, signature, body);
    let edge = NOW.saturating_add(SIGNATURE_AGE_MAX);
    let late = Timestamp(edge.0 + SECOND_NS);
    for (found, expected) in [
        (check(NOW, &timestamp, &signature, body), Ok(())),
        (check(edge, &timestamp, &signature, body), Ok(())),
        (check(late, &timestamp, &signature, body), Err(SignatureError::Age)),
        (check(NOW.saturating_sub(SIGNATURE_AGE_MAX), &timestamp, &signature, body), Ok(())),
        (check(NOW, "1772438401", &signature, body), Err(SignatureError::Wrong)),
        (check(NOW, &timestamp, &signature, b"{}"), Err(SignatureError::Wrong)),
        (verify(b"another secret of some length", NOW, &timestamp, &signature, body), Err(SignatureError::Wrong)),
        (check(NOW, "soon", &signature, body), Err(SignatureError::Form)),
        (check(NOW, &timestamp, "v1=00", body), Err(SignatureError::Form)),
        (check(NOW, &timestamp, &signature.replace("v1", "v0"), body), Err(SignatureError::Form)),
        (check(NOW, &timestamp, &format!("v1={}", "g".repeat(64)), body), Err(SignatureError::Form)),
        (check(NOW, &timestamp, &format!("v1={}", "é".repeat(32)), body), Err(SignatureError::Form)),
        (check(NOW, "-9223372036854775808", &signature, body), Err(SignatureError::Age)),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn what_events_say_is_cut() {
    let dir = TempDir::new().unwrap();
    let receiver = receive(&[FINE]);
    let alerts = Alerts::start(channels(&dir, &format!("  tns:\n{}", webhook(receiver.port, ""))), clock()).unwrap();
    alerts.send(&Violation { because: "é".repeat(BECAUSE_CHARS_MAX + 1), ..violation("v1") }, "tns");
    assert_eq!(checked(&receiver.got.recv().unwrap()).because.chars().count(), BECAUSE_CHARS_MAX);
    shutdown(alerts);
}

/// Any thread may send, and nothing is lost on the way.
#[test]
fn many_threads_send_at_once() {
    let dir = TempDir::new().unwrap();
    let alerts = Alerts::start(channels(&dir, "  tns:\n    - log: {}\n"), clock()).unwrap();
    let queued = Mutex::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (handle, queued) = (alerts.handle(), &queued);
            scope.spawn(move || {
                for n in 0..50 {
                    let sent = handle.send(&violation(&format!("{}-{n}", thread % 2)), "tns");
                    *queued.lock().unwrap() += sent.queued;
                }
            });
        }
    });
    let counts = shutdown(alerts);
    assert_eq!((*queued.lock().unwrap(), counts.delivered, counts.repeated), (100, 100, 100));
}

// ── checkpoints ──

/// As alerts are: signed anew for each attempt, tried again where that may help, and never in the way of who tells.
#[test]
fn checkpoints_are_posted_signed_and_tried_again() {
    use fineprint::publish::{Place, PublishCounts, Publisher, QUEUE_CHECKPOINTS_MAX, SecretFrom, Webhook};
    let secret = |name: &str| SecretFrom { env: Some(name.to_owned()), file: None };
    let place = |port: u16, name: &str| Place {
        webhook: Some(Webhook { url: format!("http://127.0.0.1:{port}/kept"), secret: secret(name) }),
        ..Place::default()
    };
    let env = |name: &str| (name == "CHECKPOINTS").then(|| SECRET.to_owned());
    let receiver = receive(&[Answer::Status(503, ""), FINE]);
    let publisher = Publisher::start(&[place(receiver.port, "CHECKPOINTS")], &env, &clock()).unwrap();
    (publisher.hears())("fineprint.log/ab\n1\n");
    let attempts = [receiver.got.recv().unwrap(), receiver.got.recv().unwrap()];
    for got in &attempts {
        let header = |name: &str| got.headers[name].as_str();
        verify(SECRET.as_bytes(), NOW, header("fineprint-timestamp"), header("fineprint-signature"), &got.body)
            .unwrap();
        assert_eq!((got.path.as_str(), got.body.as_slice()), ("/kept", b"fineprint.log/ab\n1\n".as_slice()));
        assert!(header("content-type").starts_with("text/plain"));
    }
    assert_eq!(attempts[0].headers["fineprint-delivery"], attempts[1].headers["fineprint-delivery"]);
    assert_eq!(publisher.end(), PublishCounts { made: 1, sent: 1, retried: 1, lost: 0 });

    // What will never be taken is given up at once; of too many the oldest go, and each is counted.
    let refuses = receive(&[Answer::Status(404, "")]);
    let publisher = Publisher::start(&[place(refuses.port, "CHECKPOINTS")], &env, &clock()).unwrap();
    (publisher.hears())("a");
    refuses.got.recv().unwrap();
    assert_eq!(publisher.end().lost, 1);
    let hangs = receive(&[Answer::Hang]);
    let publisher = Publisher::start(&[place(hangs.port, "CHECKPOINTS")], &env, &clock()).unwrap();
    let hears = publisher.hears();
    hears("first");
    hangs.got.recv().unwrap();
    (0..QUEUE_CHECKPOINTS_MAX + 3).for_each(|n| hears(&n.to_string()));
    assert_eq!(publisher.counts().lost, 3);

    for (place, says) in [
        (place(1, "NOTHING"), "the environment has no variable `NOTHING`"),
        (Place::default(), "each place is one of"),
        (Place { command: Some("true".into()), ..place(1, "CHECKPOINTS") }, "each place is one of"),
        (
            Place {
                webhook: Some(Webhook { url: "ftp://x".into(), secret: secret("CHECKPOINTS") }),
                ..Place::default()
            },
            "is no URL",
        ),
    ] {
        let refused = Publisher::start(&[place], &env, &clock()).unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
    }
}
