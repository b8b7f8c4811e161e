//! The real command, on a port of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Answer, Connection, PATIENCE};

/// Two rules on single events, one of which refuses, and one that grows.
pub const RULES: &str = r#"
policy acme.terms version 2025-09-15 {
  title "Acme Terms"
  url   "https://example.com/terms"
  clause probes at "3.1"
    "Keys are not to be probed."
  clause volume at "3.2"
    "Calls beyond an agreed volume are not allowed."
}

rule probe {
  enforces acme.terms.probes
  severity high
  mode     enforce

  on       request where max_tokens <= 0
  action   block account for 1h
  because  "a call asked for {max_tokens} tokens"
}

rule many-requests {
  enforces acme.terms.volume
  severity medium
  mode     shadow

  on       request
  per      account
  over     10m every 1m
  let      calls = count()
  when     calls >= 5
  action   throttle account to 1 per 1h
  because  "{calls} requests in ten minutes"
}
"#;

/// A directory with rules, and a server over it.
pub struct Server {
    pub directory: tempfile::TempDir,
    pub child: Child,
    pub address: SocketAddr,
    /// Where gRPC is answered.
    pub grpc: Option<SocketAddr>,
    output: BufReader<ChildStdout>,
}

/// What a server is started with.
pub struct Options<'a> {
    /// Configuration beside what the command line says.
    pub config: &'a str,
    pub rules: &'a str,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { config: "", rules: RULES }
    }
}

pub fn directory(options: &Options<'_>) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("rules")).unwrap();
    std::fs::write(directory.path().join("rules/acme.tos"), options.rules).unwrap();
    std::fs::write(directory.path().join("serve.yaml"), options.config).unwrap();
    directory
}

/// The command over a directory.
pub fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fineprint"));
    command
        .current_dir(directory)
        .args(["serve", "--config", "serve.yaml", "--rules", "rules", "--db", "log.db", "--format", "json"])
        .env_remove("FINEPRINT_LOG");
    command
}

impl Server {
    pub fn start(options: &Options<'_>) -> Server {
        Server::over(directory(options))
    }

    /// Starts over what an earlier one left.
    pub fn over(directory: tempfile::TempDir) -> Server {
        Server::with(directory, |_| {})
    }

    /// The same with what the command is started with changed.
    pub fn with(directory: tempfile::TempDir, change: impl FnOnce(&mut Command)) -> Server {
        let mut command = command(directory.path());
        command.args(["--listen", "127.0.0.1:0"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let listening = line(&mut output).unwrap_or_else(|| panic!("no port: {}", errors(&mut child)));
        assert_eq!(listening["event"], "listening");
        let address = listening["http"].as_str().unwrap().parse().unwrap();
        let grpc = listening["grpc"].as_str().map(|address| address.parse().unwrap());
        let ready = line(&mut output).unwrap_or_else(|| panic!("not ready: {}", errors(&mut child)));
        assert_eq!(ready["event"], "ready");
        Server { directory, child, address, grpc, output }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.connect().call("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.connect().call("POST", path, &[("content-type", "application/json")], body.as_bytes())
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end: how it ended, and what it said at last.
    pub fn end(mut self) -> (ExitStatus, Option<Value>, tempfile::TempDir) {
        let said = line(&mut self.output);
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let directory = std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap());
                return (status, said, directory);
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends in order; what it said at last.
    pub fn stop(self) -> (Value, tempfile::TempDir) {
        self.signal("TERM");
        let (status, said, directory) = self.end();
        assert!(status.success(), "{status}");
        let said = said.expect("a summary");
        assert_eq!(said["event"], "ended");
        (said, directory)
    }

    /// Ends at once.
    pub fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }

    /// A number of `/metrics`, by its whole name with labels.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").body;
        let line = text.lines().find(|l| l.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.map_or(0.0, |l| l.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(output: &mut impl BufRead) -> Option<Value> {
    let mut text = String::new();
    output.read_line(&mut text).unwrap();
    (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap())
}

fn errors(child: &mut Child) -> String {
    let mut text = String::new();
    let _ = child.stderr.take().map(|mut errors| errors.read_to_string(&mut text));
    text
}

/// Waits until something holds.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: it does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A moment as events write it, so long ago by the clock.
pub fn ago(seconds: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let at = now - Duration::from_secs(seconds);
    fineprint::time::Timestamp(i64::try_from(at.as_nanos()).unwrap()).to_string()
}

/// A request of an account, now.
pub fn event(id: &str, account: &str, more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!(",{more}") };
    format!(r#"{{"id":"{id}","ts":"{}","type":"request","account":"{account}"{more}}}"#, ago(0))
}
