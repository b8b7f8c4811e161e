//! `fineprint log`: the key of a log, its checkpoints.

use std::io::Write;
use std::path::PathBuf;

use clap::Subcommand;

use super::exit::Exit;
use super::terminal::{note, output};
use super::violations::Log as Opened;
use super::wrong::Wrong;
use crate::store::{Access, Store, key_path};

/// The key by which a log is signed, and its signed checkpoints
#[derive(Debug, clap::Args)]
pub(super) struct Log {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Key(Key),
    Checkpoint(Checkpoint),
    Rotate(Rotate),
}

impl Log {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        match self.command {
            Command::Key(c) => c.run(),
            Command::Checkpoint(c) => c.run(),
            Command::Rotate(c) => c.run(),
        }
    }
}

/// Prints the public keys that have signed the log, the one that signs now last
#[derive(Debug, clap::Args)]
struct Key {
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
}

impl Key {
    fn run(self) -> anyhow::Result<Exit> {
        let log = Opened::open(&self.db)?;
        let mut out = output();
        for (key, _) in log.wait(log.store.checkpoints())? {
            writeln!(out, "{key}")?;
        }
        out.flush()?;
        Ok(Exit::Fine)
    }
}

/// Prints the latest signed checkpoint: keep it where who writes the log cannot reach it
#[derive(Debug, clap::Args)]
struct Checkpoint {
    /// The violation log
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
}

impl Checkpoint {
    fn run(self) -> anyhow::Result<Exit> {
        let log = Opened::open(&self.db)?;
        let Some((_, latest)) = log.wait(log.store.checkpoints())?.pop() else {
            let message = format!("nothing of `{}` is signed", self.db.display());
            return Err(Wrong::new(message, "a log is signed by the `run` or `serve` that writes it").into());
        };
        let mut out = output();
        out.write_all(latest.as_bytes())?;
        out.flush()?;
        Ok(Exit::Fine)
    }
}

/// Makes a new key, which signs from here on; the old one signs that it does, and is gone
#[derive(Debug, clap::Args)]
struct Rotate {
    /// The violation log; no `run` may be writing it
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
}

impl Rotate {
    fn run(self) -> anyhow::Result<Exit> {
        let runtime = super::violations::runtime()?;
        let (was_signed_by, key) = runtime.block_on(async {
            // A missing log is not made.
            Store::open(&self.db, Access::ReadOnly).await?.close().await?;
            let mut store = Store::open(&self.db, Access::ReadWrite).await?;
            let before = store.verifier().cloned();
            let key = store.rotate_key().await?;
            store.close().await?;
            anyhow::Ok((before, key))
        })?;
        if was_signed_by.is_none() {
            note(format!(
                "warning: the old key is not in `{}`, so it could not sign for the new one; who verifies sees that",
                key_path(&self.db).display()
            ));
        }
        let mut out = output();
        writeln!(out, "{key}")?;
        out.flush()?;
        Ok(Exit::Fine)
    }
}
