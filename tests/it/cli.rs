//! The command as its user calls it: the built binary on small inputs that the tests write.

/// What rules' actions do to whom, and what people do about it.
mod actions;
/// Cases to hand on, and what is found of them when altered.
mod bundle;
/// The log as cases.
mod campaigns;
/// Flags, messages and exit codes.
mod commands;
/// What has run out, for a day.
mod dates;
/// What reviewers decide.
mod decide;
/// Accounts that are forgotten.
mod erase;
/// What `verify` computes again.
mod derived;
/// What is recomputed of a finding.
mod explain;
/// Full disks, read-only places, damaged databases.
mod faults;
/// Sudden ends within a commit.
mod phases;
/// Secrets, hostile text, erasures that are killed.
mod privacy;
/// Two rule sets over the same events.
mod replay;
/// What the journal keeps.
mod retention;
/// Rules for counsel, and feeds on which rules are blind.
mod policy;
/// Inputs, resuming, kills.
mod run;
/// Made-up traffic.
mod simulate;
/// `verify` and `log`: a log checked by who does not trust it.
mod verify;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A window rule that opens and closes, a growing one, one on single events, one that asks memory, and two on sequences, of
/// which one waits out a time; two of them may act a few times a day only.
const RULES: &str = r#"
policy acme.terms version 2025-09-15 {
  title "Terms"
  url   "https://example.com/terms"
  clause volume at "3.1"
    "Calls beyond an agreed volume are not allowed."
  clause safety at "3.2"
    "Safeguards may not be bypassed."
}

rule many-calls {
  enforces acme.terms.volume
  severity medium
  mode     shadow

  on       completion
  per      account
  over     10m every 1m
  let      calls = count()
  when     calls >= 20
  action   alert "volume"
  budget   3 per day
  because  "{calls} calls in ten minutes"

  test "fires with the twentieth call" {
    given 20 completions every 10s { status: 200 }
    expect violation with calls = 20
  }
  test "nineteen are silent" {
    given 19 completions every 10s { status: 200 }
    expect nothing
  }
}

rule mostly-refused {
  enforces acme.terms.safety
  severity high
  mode     shadow

  on       completion
  per      account
  over     10m every 1m
  let      refusals = share(refused)
  let      calls = count()
  when     calls >= 5 and refusals >= 60%
  because  "{refusals} of {calls} calls were refused"

  test "fires on six of ten" {
    given 6 completions every 10s { refused: true }
    given 4 completions every 10s at 2m { refused: false }
    expect violation
  }
  test "silent on few" {
    given 4 completions every 10s { refused: true }
    expect nothing
  }
}

rule token-probe {
  enforces acme.terms.volume
  severity low
  mode     shadow

  on       completion where max_tokens = -1
  action   flag account
  budget   5 per day
  because  "a call that asks for -1 tokens"

  test "fires on the probe" {
    given 1 completion { max_tokens: -1 }
    expect violation
  }
  test "silent on a number" {
    given 3 completions { max_tokens: 100 }
    expect nothing
  }
}

rule probe-out-of-nowhere {
  enforces acme.terms.volume
  severity low
  mode     shadow

  on       completion where max_tokens = -1 and not (account seen before within 3m)
  because  "a probe by an account that was silent for three minutes"

  test "fires on the first call" {
    given 1 completion { max_tokens: -1 }
    expect violation
  }
  test "silent in the midst of calls" {
    given 2 completions every 60s { max_tokens: 1 }
    given 1 completion at 3m { max_tokens: -1 }
    expect nothing
  }
}

rule refused-then-served {
  enforces acme.terms.safety
  severity low
  mode     shadow

  on sequence per account within 2m {
    first completion where refused = true
    then completion as served where refused = false and ts - first.ts >= 1s at least 2 times
  }
  because  "{account} was served after a refusal"

  test "fires" {
    given 1 completion { refused: true }
    given 2 completions every 10s at 10s { refused: false }
    expect violation
  }
  test "silent on one" {
    given 1 completion { refused: true }
    given 1 completion at 10s { refused: false }
    expect nothing
  }
}

rule refused-and-gone {
  enforces acme.terms.safety
  severity low
  mode     shadow

  on sequence per account within 30s {
    first completion where refused = true
    then no completion where refused != first.refused within 20s
  }
  cooldown 1m
  because  "{account} was served nothing for 20 seconds after a refusal"

  test "fires" {
    given 2 completions every 10s { refused: true }
    expect violation
  }
  test "silent on one" {
    given 1 completion { refused: true }
    given 1 completion at 20s { refused: false }
    expect nothing
  }
}
"#;

/// A folder of one test.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(bench.path("rules")).unwrap();
        bench.write("rules/acme.tos", RULES);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), contents).unwrap();
        self.path(name)
    }

    /// The command in the folder of this test, words parted by spaces.
    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fineprint"));
        command.args(words.split_whitespace()).current_dir(self.dir.path()).env_remove("FINEPRINT_LOG");
        command
    }

    fn call(&self, words: &str) -> Called {
        Called::from(self.command(words).stdin(Stdio::null()).output().unwrap())
    }

    /// `run` into a log; violations are expected, or not.
    fn run(&self, db: &str, inputs: &str) -> Called {
        let called = self.call(&format!("run --rules rules --db {db} {inputs}"));
        assert!(matches!(called.code, 0 | 1), "{called:?}");
        called
    }

    fn export(&self, db: &str) -> String {
        let called = self.call(&format!("violations export --db {db} --format jsonl"));
        assert_eq!(called.code, 0, "{called:?}");
        called.out
    }

    /// The books of a log by name.
    fn books(&self, db: &str) -> Value {
        let called = self.call(&format!("violations stats --db {db} --format json"));
        assert_eq!(called.code, 0, "{called:?}");
        serde_json::from_str::<Value>(&called.out).unwrap()["books"].clone()
    }
}

#[derive(Debug)]
struct Called {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Called {
    fn from(o: Output) -> Self {
        Called {
            code: o.status.code().unwrap_or(-1),
            out: String::from_utf8(o.stdout).unwrap(),
            err: String::from_utf8(o.stderr).unwrap(),
        }
    }
}

/// Small numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Lines of events in order of time: some accounts call often, some are refused often, a few probe.
fn events(n: u64) -> Vec<String> {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let start = fineprint::time::Timestamp::parse_rfc3339("2026-03-02T08:00:00Z").unwrap().0;
    let mut ts = start;
    (0..n)
        .map(|i| {
            ts += (dice.roll(6_000) as i64) * 1_000_000;
            let account = format!("acct_{}", if dice.roll(3) == 0 { dice.roll(3) } else { dice.roll(40) });
            let refused = account.ends_with('1') && dice.roll(10) < 7 || dice.roll(20) == 0;
            let max_tokens = if dice.roll(100) == 0 { -1 } else { 512 };
            format!(
                r#"{{"id":"ev_{i:06}","ts":"{}","type":"completion","account":"{account}","refused":{refused},"max_tokens":{max_tokens},"status":200,"prompt":"Say {i}."}}"#,
                fineprint::time::Timestamp(ts)
            )
        })
        .collect()
}

fn lines(events: &[String]) -> String {
    events.iter().fold(String::new(), |mut all, e| {
        let _ = writeln!(all, "{e}");
        all
    })
}

/// The same events in another order, none by more than so many seconds.
fn shuffled(events: &[String], within_s: i64) -> Vec<String> {
    let mut dice = Dice(77);
    let mut keyed: Vec<(i64, &String)> = events
        .iter()
        .map(|e| {
            let ts = serde_json::from_str::<Value>(e).unwrap()["ts"].as_str().unwrap().to_string();
            let ts = fineprint::time::Timestamp::parse_rfc3339(&ts).unwrap().0;
            (ts + dice.roll(within_s as u64 * 1_000_000_000) as i64, e)
        })
        .collect();
    keyed.sort();
    keyed.into_iter().map(|(_, e)| e.clone()).collect()
}

fn gzip(path: &Path, contents: &str) {
    use std::io::Write as _;
    let mut out = flate2::write::GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
    out.write_all(contents.as_bytes()).unwrap();
    out.finish().unwrap();
}
