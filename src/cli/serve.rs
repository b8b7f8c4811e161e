//! `fineprint serve`: decisions inline, over HTTP and gRPC.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::exit::Exit;
use super::fingerprints::KeyFile;
use super::terminal::{grouped, note, output};
use super::wrong::Wrong;
use super::{Format, check, checkpoints, diagnostics};
use crate::alert::Channels;
use crate::pack::PackOptions;
use crate::publish::Publisher;
use crate::serve::{Config, Files, Start, Summary, Told, serve};

/// Answers gateways: decisions on calls, records of usage, the violation log
///
/// Listens on loopback unless the configuration names API keys or client certificates. What is given here goes before what the
/// configuration says. SIGTERM ends it in order: what has come is answered and committed.
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Serve {
    /// The configuration, YAML; docs/serve.md describes it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of rule files, or one file
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// The account registry, JSON lines
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Where list and table files are looked up first
    #[arg(long, value_name = "DIR")]
    lists: Option<PathBuf>,
    /// The violation log; made where it is missing
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// Where HTTP is answered; port 0 takes any that is free, and the first line of output says which
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Where gRPC is answered, for Envoy
    #[arg(long, value_name = "ADDRESS:PORT")]
    grpc_listen: Option<SocketAddr>,
    /// Which channel of alerts goes where, YAML; docs/alerts.md describes it
    #[arg(long, value_name = "FILE")]
    alerts: Option<PathBuf>,
    #[command(flatten)]
    key: KeyFile,
    /// Reads configuration and rules, says what is wrong, and ends
    #[arg(long)]
    check_only: bool,
    /// Makes an API key: prints it and what to write into the configuration, and ends
    #[arg(long, value_name = "NAME")]
    new_key: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        if let Some(name) = &self.new_key {
            return new_key(name, self.format);
        }
        let config = self.config()?;
        config.check()?;
        let (Some(rules), Some(db)) = (config.rules.clone(), config.db.clone()) else { return Ok(Exit::Usage) };
        let files = Files {
            rules,
            lists: config.lists.clone(),
            accounts: config.accounts.clone(),
            fingerprint_key: match &config.fingerprint_key {
                Some(path) => KeyFile::at(path)?,
                None => self.key.read()?,
            },
        };
        let pack = check::load(&PackOptions {
            rules: &files.rules,
            lists: files.lists.as_deref(),
            accounts: files.accounts.as_deref(),
            fingerprint_key: files.fingerprint_key,
            as_of: Some(check::today()),
        })?;
        if pack.rules.is_none() {
            diagnostics::show(&pack.diagnostics, &pack.sources);
            note("the rules cannot be used; nothing was opened");
            return Ok(Exit::RuleError);
        }
        if !pack.diagnostics.is_empty() {
            let count = diagnostics::count(&pack.diagnostics);
            note(format!("{count} in the rules: `fineprint check {}` shows them", files.rules.display()));
        }
        let env = |name: &str| std::env::var_os(name)?.into_string().ok();
        let channels = match &config.alerts {
            Some(path) => Channels::open(path, &env)?,
            None => Channels::default(),
        };
        if let (Some(_), Some(rules)) = (&config.alerts, &pack.rules) {
            channels.unrouted(rules.program()).iter().for_each(|unrouted| note(format!("warning: {unrouted}")));
        }
        let publisher = Publisher::start(&config.checkpoints, &env, &checkpoints::clock())?;
        let start = Start { config, pack, files, channels, publisher, db };
        if self.check_only {
            start.check()?;
            writeln!(output(), "configuration and rules can be used")?;
            return Ok(Exit::Fine);
        }
        let mut tell = |told: &Told| {
            // Whoever started the server may have gone; it serves on.
            let _ = self.tell(told);
        };
        let summary = serve(start, &mut tell)?;
        self.end(&summary)?;
        Ok(Exit::Fine)
    }

    fn config(&self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        let paths = [
            (&self.rules, &mut config.rules),
            (&self.accounts, &mut config.accounts),
            (&self.lists, &mut config.lists),
            (&self.db, &mut config.db),
            (&self.alerts, &mut config.alerts),
        ];
        for (given, configured) in paths {
            if given.is_some() {
                configured.clone_from(given);
            }
        }
        config.listen = self.listen.unwrap_or(config.listen);
        config.grpc_listen = self.grpc_listen.or(config.grpc_listen);
        Ok(config)
    }

    fn tell(&self, told: &Told) -> std::io::Result<()> {
        let mut out = output();
        match (self.format, told) {
            (Format::Text, Told::Listening { http, grpc }) => {
                write!(out, "listening on {http}")?;
                if let Some(grpc) = grpc {
                    write!(out, ", grpc on {grpc}")?;
                }
                writeln!(out)?;
            }
            (Format::Text, Told::Ready { rules }) => writeln!(out, "ready: {rules} rules in force")?,
            (Format::Json, Told::Listening { http, grpc }) => {
                let line =
                    json!({ "event": "listening", "http": http.to_string(), "grpc": grpc.map(|g| g.to_string()) });
                writeln!(out, "{line}")?;
            }
            (Format::Json, Told::Ready { rules }) => writeln!(out, "{}", json!({ "event": "ready", "rules": rules }))?,
        }
        out.flush()
    }

    fn end(&self, summary: &Summary) -> anyhow::Result<()> {
        let mut out = output();
        match self.format {
            Format::Json => {
                let decisions: Vec<_> = summary
                    .decisions
                    .iter()
                    .map(|(decision, would, n)| json!({ "decision": decision, "would": would, "count": n }))
                    .collect();
                let line = json!({
                    "event": "ended",
                    "drained": summary.drained,
                    "balanced": summary.balanced,
                    "books": summary.books,
                    "decisions": decisions,
                    "decisions_lost": summary.lost,
                });
                writeln!(out, "{line}")?;
            }
            Format::Text => {
                writeln!(out, "ended{}", if summary.drained { "" } else { "; some connections were cut off" })?;
                for (account, n) in &summary.books {
                    writeln!(out, "{:>14} {account}", grouped(*n))?;
                }
                if !summary.balanced {
                    writeln!(out, "the books do not balance, which is a bug; please report it")?;
                }
                if summary.lost > 0 {
                    writeln!(out, "{:>14} decisions were given and not recorded", grouped(summary.lost))?;
                }
                for (decision, would, n) in &summary.decisions {
                    let would = if would == decision { String::new() } else { format!(" (would be {would})") };
                    writeln!(out, "{:>14} {decision}{would}", grouped(*n))?;
                }
            }
        }
        out.flush()?;
        Ok(())
    }
}

/// Bytes of chance in a key.
const KEY_BYTES: usize = 32;

fn new_key(name: &str, format: Format) -> anyhow::Result<Exit> {
    let mut bytes = [0u8; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|e| Wrong::new(format!("there is no chance to be had: {e}"), "try again"))?;
    let hex = |bytes: &[u8]| hex::encode(bytes);
    let key = format!("fp_{}", hex(&bytes));
    let sha256 = hex(&Sha256::digest(key.as_bytes()));
    let mut out = output();
    match format {
        Format::Json => writeln!(out, "{}", json!({ "name": name, "key": key, "sha256": sha256 }))?,
        Format::Text => {
            writeln!(out, "{key}\n")?;
            writeln!(out, "Give it to the caller; it is kept nowhere. Into the configuration goes:\n")?;
            writeln!(out, "keys:\n  - name: {name}\n    sha256: \"{sha256}\"\n    may: [decide, ingest]")?;
        }
    }
    out.flush()?;
    Ok(Exit::Fine)
}
