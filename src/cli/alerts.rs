//! `fineprint alerts`: what became of alerts that could not be delivered.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;

use super::check::today;
use super::exit::Exit;
use super::terminal::{output, printable};
use super::wrong::Wrong;
use crate::alert::{Channels, Clock, read_dead_letters, resend};

/// Alerts that could not be delivered
#[derive(Debug, clap::Args)]
pub(super) struct Alerts {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Resend(Resend),
}

/// Sends dead letters again, each once
///
/// FILE is not changed; what fails again goes to `FILE.left`. Where a server still writes to FILE, move it away first: the
/// server begins a new one.
#[derive(Debug, clap::Args)]
struct Resend {
    /// The configuration of the channels
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The file of dead letters
    #[arg(value_name = "FILE")]
    letters: PathBuf,
}

impl Alerts {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        match self.command {
            Command::Resend(resend) => resend.run(),
        }
    }
}

/// Secrets of channels may come from the environment.
fn environment(name: &str) -> Option<String> {
    std::env::var_os(name).and_then(|value| value.into_string().ok())
}

impl Resend {
    fn run(self) -> anyhow::Result<Exit> {
        let letters = read_dead_letters(&self.letters)?;
        let channels = Channels::open(&self.config, &environment)?;
        let mut beside = self.letters.clone().into_os_string();
        beside.push(".left");
        let left = Path::new(&beside);
        if left.exists() {
            let what =
                format!("`{}` is there already: it holds what an earlier call could not deliver", left.display());
            return Err(Wrong::new(what, "send that file again, or move it away").into());
        }
        let clock: Clock = Arc::new(today);
        let resent = resend(channels, letters, &clock)?;
        let mut out = output();
        for (number, why) in &resent.failed {
            writeln!(out, "letter {number}: {}", printable(why))?;
        }
        writeln!(out, "{} delivered, {} not", resent.delivered, resent.left.len())?;
        if !resent.left.is_empty() {
            let mut lines = Vec::new();
            for letter in &resent.left {
                serde_json::to_writer(&mut lines, letter)?;
                lines.push(b'\n');
            }
            std::fs::write(left, lines).with_context(|| format!("cannot write `{}`", left.display()))?;
            writeln!(out, "those are in {}", left.display())?;
        }
        out.flush()?;
        Ok(if resent.left.is_empty() { Exit::Fine } else { Exit::Findings })
    }
}
