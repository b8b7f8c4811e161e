//! `--checkpoint-…`: where signed checkpoints of a log are brought as they are made.

use std::path::PathBuf;
use std::sync::Arc;

use super::terminal::{grouped, note};
use crate::alert::Clock;
use crate::publish::{Place, Publisher, SecretFrom, Webhook};

/// Where checkpoints go.
#[derive(Debug, clap::Args)]
pub(super) struct Checkpoints {
    /// Appends each signed checkpoint of the log to a file: keep it where who writes the log cannot reach it
    #[arg(long, value_name = "FILE", requires = "db")]
    checkpoint_file: Vec<PathBuf>,
    /// Runs a command for each signed checkpoint, which it reads from standard input
    #[arg(long, value_name = "COMMAND", requires = "db")]
    checkpoint_command: Vec<String>,
    /// Posts each signed checkpoint to a URL, signed as alerts are
    #[arg(long, value_name = "URL", requires_all = ["db", "checkpoint_secret_file"])]
    checkpoint_webhook: Vec<String>,
    /// File with the secret by which posts are signed, at least 16 bytes
    #[arg(long, value_name = "FILE", env = "FINEPRINT_CHECKPOINT_SECRET_FILE")]
    checkpoint_secret_file: Option<PathBuf>,
}

/// The time of day, for signatures.
pub(super) fn clock() -> Clock {
    Arc::new(super::check::today)
}

impl Checkpoints {
    pub(super) fn start(&self) -> anyhow::Result<Publisher> {
        let files = self.checkpoint_file.iter().map(|path| Place { file: Some(path.clone()), ..Place::default() });
        let commands = self.checkpoint_command.iter();
        let commands = commands.map(|command| Place { command: Some(command.clone()), ..Place::default() });
        let secret = || SecretFrom { env: None, file: self.checkpoint_secret_file.clone() };
        let webhooks = self
            .checkpoint_webhook
            .iter()
            .map(|url| Place { webhook: Some(Webhook { url: url.clone(), secret: secret() }), ..Place::default() });
        let places: Vec<Place> = files.chain(commands).chain(webhooks).collect();
        Ok(Publisher::start(&places, &|_| None, &clock())?)
    }
}

/// Brings what waits, and says what could not be brought.
pub(super) fn end(publisher: &Publisher) {
    let counts = publisher.end();
    if counts.lost > 0 {
        note(format!(
            "warning: {} of {} checkpoints were not brought to their places; `FINEPRINT_LOG=warn` says why, and \
             `fineprint log checkpoint` prints the latest, which covers all",
            grouped(counts.lost),
            grouped(counts.made)
        ));
    }
}
