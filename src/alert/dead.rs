//! What could not be delivered: a file of JSON lines, and sending it again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Clock;
use super::config::Channels;
use super::message::Alert;
use super::target::{Failure, Target, named, within};

/// An alert that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// When, RFC 3339.
    pub at: String,
    /// Which target of the channel: `webhook`, `mail 2`.
    pub target: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What the last attempt came to. Shows no URL and no secret.
    pub why: String,
    /// The alert.
    pub alert: Alert,
}

/// The file. It is opened for each letter, which are few: whoever moves it away gets all that it holds.
#[derive(Debug)]
pub(super) struct DeadLetters {
    path: Option<PathBuf>,
    /// Held while a line is written.
    writing: Mutex<()>,
}

impl DeadLetters {
    /// Fails where letters could not be written later.
    pub(super) fn open(path: Option<PathBuf>) -> io::Result<DeadLetters> {
        if let Some(path) = &path {
            append(path)?;
        }
        Ok(DeadLetters { path, writing: Mutex::new(()) })
    }

    /// Writes one line; on the disk when this returns.
    pub(super) fn write(&self, letter: &DeadLetter) -> io::Result<()> {
        let Some(path) = &self.path else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no file of dead letters is configured"));
        };
        let mut line = serde_json::to_vec(letter)?;
        line.push(b'\n');
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = append(path)?;
        file.write_all(&line)?;
        file.sync_data()
    }
}

fn append(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
}

/// Why dead letters could not be sent again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResendError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// A line that is none of a dead letter.
    #[error("{path}: line {line} is no dead letter: {what}")]
    Line {
        /// Which file.
        path: String,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// The letters of a file.
///
/// # Errors
/// Where it cannot be read, or a line is none of a letter.
pub fn read_dead_letters(path: &Path) -> Result<Vec<DeadLetter>, ResendError> {
    let shown = path.display().to_string();
    let failed = |source: io::Error| ResendError::File { path: shown.clone(), source };
    let mut letters = Vec::new();
    for (line, text) in (1..).zip(BufReader::new(File::open(path).map_err(failed)?).lines()) {
        let text = text.map_err(failed)?;
        if !text.trim().is_empty() {
            let wrong = |e: serde_json::Error| ResendError::Line { path: shown.clone(), line, what: e.to_string() };
            letters.push(serde_json::from_str(&text).map_err(wrong)?);
        }
    }
    Ok(letters)
}

/// What became of dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Resent {
    /// Delivered.
    pub delivered: u64,
    /// Not delivered, and why: with the number of the letter, from 1.
    pub failed: Vec<(usize, String)>,
    /// Those that are left.
    pub left: Vec<DeadLetter>,
}

/// Tries each letter once, with the configuration that there is now. The file is not touched.
///
/// # Errors
/// Where a target cannot be set up, or there is no runtime to be had.
pub fn resend(channels: Channels, letters: Vec<DeadLetter>, clock: &Clock) -> io::Result<Resent> {
    let mut targets: BTreeMap<(String, String), Target> = BTreeMap::new();
    for (channel, sets) in channels.channels {
        for (name, set) in named(sets) {
            targets.insert((channel.clone(), name), Target::new(set)?);
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut resent = Resent::default();
    for (number, letter) in (1..).zip(letters) {
        let key = (letter.alert.channel.clone(), letter.target.clone());
        let outcome = match targets.get(&key) {
            None => Err(format!("there is no target `{}` of the channel `{}` any more", key.1, key.0)),
            Some(target) => match runtime.block_on(within(target, &letter.alert, clock())) {
                Ok(()) => Ok(()),
                Err(Failure::Now(why, _) | Failure::Always(why)) => Err(why),
            },
        };
        match outcome {
            Ok(()) => resent.delivered += 1,
            Err(why) => {
                resent.failed.push((number, why));
                resent.left.push(letter);
            }
        }
    }
    Ok(resent)
}
