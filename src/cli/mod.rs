//! The `fineprint` command: one file per command. Nothing below this knows that there is a terminal.

mod actions;
mod alerts;
mod bundle;
mod campaigns;
mod check;
mod checkpoints;
mod diagnostics;
mod erase;
mod exit;
mod explain;
mod export;
mod feed;
mod fields;
mod fingerprints;
mod fmt;
mod log;
mod policy;
mod progress;
mod rejects;
mod replay;
mod run;
mod serve;
mod simulate;
mod summary;
mod templates;
mod terminal;
mod test;
mod verify;
mod violations;
mod wrong;

use std::io;

use clap::{Parser, Subcommand, ValueEnum};

pub use exit::Exit;

/// Turns the terms of service of a model API into rules, runs them over usage events, and keeps a violation log.
#[derive(Debug, Parser)]
#[command(name = "fineprint", version, about, after_help = exit::HELP, max_term_width = 120)]
struct Cli {
    /// What to log to standard error, such as `info` or `fineprint=debug`; prompt text is never logged
    #[arg(long, global = true, value_name = "FILTER", env = "FINEPRINT_LOG")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Serve(serve::Serve),
    Replay(replay::Replay),
    Check(check::Check),
    Fmt(fmt::Fmt),
    Test(test::Test),
    Explain(explain::Explain),
    Fields(fields::Fields),
    Templates(templates::Templates),
    Simulate(simulate::Simulate),
    Violations(violations::Violations),
    Actions(actions::Actions),
    Rejects(rejects::Rejects),
    Alerts(alerts::Alerts),
    Policy(policy::Policy),
    Verify(verify::Verify),
    Erase(erase::Erase),
    Log(log::Log),
}

/// How to print.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    #[value(alias = "table")]
    Text,
    /// For machines
    Json,
}

/// The command line as a whole: reads the arguments, runs the command, says what went wrong.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() { Exit::Usage } else { Exit::Fine };
        }
    };
    if let Err(why) = start_log(cli.log.as_deref()) {
        terminal::note(format!("error: {why}"));
        return Exit::Usage;
    }
    let done = match cli.command {
        Command::Run(c) => c.run(),
        Command::Serve(c) => c.run(),
        Command::Replay(c) => c.run(),
        Command::Check(c) => c.run(),
        Command::Fmt(c) => c.run(),
        Command::Test(c) => c.run(),
        Command::Explain(c) => c.run(),
        Command::Fields(c) => c.run(),
        Command::Templates(c) => c.run(),
        Command::Simulate(c) => c.run(),
        Command::Violations(c) => c.run(),
        Command::Actions(c) => c.run(),
        Command::Rejects(c) => c.run(),
        Command::Alerts(c) => c.run(),
        Command::Policy(c) => c.run(),
        Command::Verify(c) => c.run(),
        Command::Erase(c) => c.run(),
        Command::Log(c) => c.run(),
    };
    done.unwrap_or_else(|e| {
        // Whoever reads our output has seen enough; that is no error of ours.
        if e.chain().any(|c| c.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)) {
            return Exit::Fine;
        }
        let help = instead(&e).map_or_else(String::new, |help| format!("\nhelp: {help}"));
        terminal::note(format!("error: {}{help}", told(&e)));
        Exit::Usage
    })
}

/// An error with its causes, as far as they say something that has not been said.
fn told(e: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in e.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

/// What to do where the world refused and the error itself does not say.
fn instead(e: &anyhow::Error) -> Option<&'static str> {
    use io::ErrorKind as Kind;
    match e.chain().find_map(|c| c.downcast_ref::<io::Error>())?.kind() {
        Kind::StorageFull => Some("free some space and run the command again; what was committed is safe"),
        Kind::QuotaExceeded | Kind::FileTooLarge => Some(
            "raise the quota or the bound on file sizes (`ulimit -f`) and run the command again; what was committed is safe",
        ),
        Kind::ReadOnlyFilesystem => Some("name a place that can be written"),
        Kind::PermissionDenied => Some("name another place, or give this user leave to it"),
        _ => None,
    }
}

fn start_log(filter: Option<&str>) -> Result<(), String> {
    let Some(filter) = filter else { return Ok(()) };
    let filter = tracing_subscriber::EnvFilter::try_new(filter).map_err(|e| {
        format!("`--log {filter}` cannot be read: {e}\nhelp: write `--log info` or `--log fineprint=debug`")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        // One line an event, without colours: what stands in it could be anything.
        .with_writer(|| terminal::LogLine)
        .with_ansi(false)
        .try_init()
        .map_err(|e| e.to_string())
}
