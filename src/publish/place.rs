//! Where checkpoints are brought.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{ATTEMPT_TIME_MAX, Failure};
use crate::alert::http::{self, Unsent};
use crate::alert::sign;
use crate::store::sync_name;
use crate::time::Timestamp;

/// A place, as a configuration names it: one of `file`, `command` and `webhook`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Place {
    /// Checkpoints are appended to it, one behind the other.
    pub file: Option<PathBuf>,
    /// Is run by the shell for each checkpoint, which it reads from standard input.
    pub command: Option<String>,
    /// Each checkpoint is posted to it, signed as alerts are.
    pub webhook: Option<Webhook>,
}

/// A URL that checkpoints are posted to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Begins with `https://` or `http://`.
    pub url: String,
    /// What signatures of requests are made with, at least 16 bytes.
    pub secret: SecretFrom,
}

/// Where a secret stands: never in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretFrom {
    /// In a variable of the environment.
    pub env: Option<String>,
    /// In a file.
    pub file: Option<PathBuf>,
}

/// A place that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// What it says is no place.
    #[error("checkpoints cannot go there: {0}")]
    Wrong(String),
    /// The file cannot be opened or written.
    #[error("checkpoints cannot be appended to `{}`: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The machine gives no thread.
    #[error("checkpoints cannot be sent: {0}")]
    Thread(io::Error),
}

/// The shortest secret, in bytes.
const SECRET_BYTES_MIN: usize = 16;

/// How often is looked whether a command has ended.
const COMMAND_EVERY: Duration = Duration::from_millis(20);
/// Most bytes of what a command says that are told.
const SAID_BYTES_MAX: u64 = 300;

/// A place, ready.
pub(super) enum Target {
    File { path: PathBuf, file: File },
    Command(String),
    Webhook { url: reqwest::Url, secret: Vec<u8>, client: reqwest::Client, runtime: tokio::runtime::Runtime },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::File { path, .. } => write!(f, "{}", path.display()),
            // Arguments and paths of URLs may be secrets.
            Target::Command(command) => f.write_str(command.split_whitespace().next().unwrap_or_default()),
            Target::Webhook { url, .. } => f.write_str(url.host_str().unwrap_or_default()),
        }
    }
}

impl Target {
    pub(super) fn open(place: &Place, env: &dyn Fn(&str) -> Option<String>) -> Result<Target, PlaceError> {
        match place {
            Place { file: Some(path), command: None, webhook: None } => {
                let file = open(path).map_err(|source| PlaceError::File { path: path.clone(), source })?;
                Ok(Target::File { path: path.clone(), file })
            }
            Place { file: None, command: Some(command), webhook: None } if !command.trim().is_empty() => {
                Ok(Target::Command(command.clone()))
            }
            Place { file: None, command: None, webhook: Some(webhook) } => {
                let url = reqwest::Url::parse(&webhook.url).ok();
                let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
                let url = url.ok_or_else(|| PlaceError::Wrong(no_url(&webhook.url)))?;
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                Ok(Target::Webhook {
                    url,
                    secret: secret(&webhook.secret, env)?,
                    client: http::client().map_err(PlaceError::Thread)?,
                    runtime: runtime.map_err(PlaceError::Thread)?,
                })
            }
            _ => Err(PlaceError::Wrong(
                "each place is one of `file: PATH`, `command: \"…\"` and `webhook: {url: …, secret: …}`".to_owned(),
            )),
        }
    }

    /// One attempt.
    pub(super) fn bring(&mut self, note: &str, now: Timestamp) -> Result<(), Failure> {
        match self {
            Target::File { file, .. } => Ok(append(file, note)?),
            Target::Command(command) => run(command, note),
            Target::Webhook { url, secret, client, runtime } => {
                // Each attempt is signed anew: a receiver refuses what is old.
                let (timestamp, signature) = sign(secret, now, note.as_bytes());
                let delivery: String = Sha256::digest(note).first_chunk::<16>().map(hex::encode).unwrap_or_default();
                let request = client
                    .post(url.clone())
                    .timeout(ATTEMPT_TIME_MAX)
                    .header("content-type", "text/plain; charset=utf-8")
                    .header("fineprint-timestamp", timestamp)
                    .header("fineprint-signature", signature)
                    .header("fineprint-delivery", delivery)
                    .body(note.to_owned());
                let Unsent { why, may_pass } = match runtime.block_on(http::send(request)) {
                    Ok(()) => return Ok(()),
                    Err(unsent) => unsent,
                };
                Err(Failure { what: why, may_pass })
            }
        }
    }
}

fn no_url(url: &str) -> String {
    format!("`{url}` is no URL: write one that begins with `https://`")
}

fn secret(from: &SecretFrom, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<u8>, PlaceError> {
    let found = match from {
        SecretFrom { env: Some(name), file: None } => env(name).ok_or_else(|| {
            PlaceError::Wrong(format!("the environment has no variable `{name}`: set it, or write `{{file: PATH}}`"))
        })?,
        SecretFrom { env: None, file: Some(path) } => std::fs::read_to_string(path)
            .map_err(|source| PlaceError::Wrong(format!("`{}`: {source}", path.display())))?,
        _ => return Err(PlaceError::Wrong("the secret is `{env: NAME}` or `{file: PATH}`".to_owned())),
    };
    let found = found.trim().as_bytes().to_vec();
    if found.len() < SECRET_BYTES_MIN {
        let what = format!("the secret has fewer than {SECRET_BYTES_MIN} bytes: take one from `openssl rand -hex 32`");
        return Err(PlaceError::Wrong(what));
    }
    Ok(found)
}

/// Bytes at the end of a file that are looked at. A checkpoint has a few hundred.
const TAIL_BYTES: u64 = 8 << 10;

/// Opens a file of checkpoints, and cuts off what a sudden end left half at its end.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
    let length = file.metadata()?.len();
    if length == 0 || !file.metadata()?.is_file() {
        sync_name(path)?;
        return Ok(file);
    }
    let from = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = whole(&tail).or((from == 0 && begins_a_note(&tail)).then_some(0));
    let Some(whole) = whole else {
        return Err(io::Error::other("there is something else in it, and it was left as it is; name another file"));
    };
    if from + (whole as u64) < length {
        file.set_len(from + whole as u64)?;
        file.sync_all()?;
    }
    Ok(file)
}

/// Up to where whole checkpoints reach: behind the last line that is a signature.
fn whole(tail: &[u8]) -> Option<usize> {
    let (mut at, mut whole) = (0, None);
    for line in tail.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        if line.starts_with("\u{2014} ".as_bytes()) && line.ends_with(b"\n") {
            whole = Some(at);
        }
    }
    whole
}

/// The beginning of the first one, all that a sudden end left.
fn begins_a_note(bytes: &[u8]) -> bool {
    let begin = b"fineprint.log/";
    bytes.iter().zip(begin).all(|(a, b)| a == b)
}

fn append(file: &mut File, note: &str) -> io::Result<()> {
    let about = file.metadata()?;
    let written =
        file.write_all(note.as_bytes()).and_then(|()| if about.is_file() { file.sync_data() } else { Ok(()) });
    if written.is_err() && about.is_file() {
        // The next one must not stand behind half of this one.
        file.set_len(about.len())?;
    }
    written
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

#[cfg(not(unix))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd");
    shell.args(["/C", command]);
    shell
}

fn run(command: &str, note: &str) -> Result<(), Failure> {
    let mut child = shell(command).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A checkpoint fits into a pipe; who does not read it says so by how it ends.
        let _ = stdin.write_all(note.as_bytes());
    }
    let tries = ATTEMPT_TIME_MAX.as_millis() / COMMAND_EVERY.as_millis();
    for _ in 0..tries {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                let what = format!("{status}: {}", said(&mut child).trim());
                return Err(Failure { what, may_pass: true });
            }
            None => std::thread::sleep(COMMAND_EVERY),
        }
    }
    child.kill()?;
    child.wait()?;
    Err(Failure { what: format!("it took longer than {} s", ATTEMPT_TIME_MAX.as_secs()), may_pass: true })
}

/// What a command that has ended said. One that lives on behind it may hold the pipe, so only what is there is read.
fn said(child: &mut Child) -> String {
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let mut bytes = [0; SAID_BYTES_MAX as usize];
        let n = stderr.take(SAID_BYTES_MAX).read(&mut bytes).unwrap_or(0);
        said.extend(bytes.iter().take(n));
    }
    String::from_utf8_lossy(&said).chars().filter(|c| !c.is_control() || *c == '\n').collect()
}
