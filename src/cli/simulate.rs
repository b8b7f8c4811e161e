//! `fineprint simulate`: made-up traffic with its truth, for trying rules and for measuring them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::exit::Exit;
use super::progress::Progress;
use super::terminal::{grouped, note, output, table};
use super::wrong::Wrong;
use crate::simulate::{ACCOUNTS_MAX, Adaptation, DAYS_MAX, Plan, Simulation, Truth, Workload, benign, campaigns};
use crate::time::Timestamp;

/// Writes made-up usage events: honest workloads that look like campaigns, campaigns, and ordinary customers
///
/// Everything in them is invented: texts come from grammars, addresses are reserved ones. The same flags give the same
/// bytes. Beside the events stand the account registry, the lists that the shipped rules read, and the truth, which no
/// rule sees: labels of accounts and events, and the campaigns.
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Simulate {
    /// Honest workloads: `all`, or names such as `F1,F12`
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    benign: Vec<String>,
    /// Campaigns: `all`, or names such as `hydra,low-and-slow`
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    campaign: Vec<String>,
    /// Ordinary customers beside them
    #[arg(long, value_name = "N", default_value_t = 0)]
    background: usize,
    /// Accounts of each campaign; each kind has its own number where it is not given
    #[arg(long, value_name = "N")]
    accounts: Option<usize>,
    /// How many days
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(i64).range(1..=DAYS_MAX))]
    days: i64,
    /// The first day, UTC
    #[arg(long, value_name = "DATE", default_value = "2026-06-01", value_parser = date)]
    start: Timestamp,
    /// Another seed gives other accounts, texts and templates
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A campaign's accounts call so many times as often, such as `0.5`
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    rate_factor: Option<f64>,
    /// A campaign shares out so many templates
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    templates: Option<u32>,
    /// In each prompt of a campaign, so many percent of the template's words are replaced
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    substitute: Option<u32>,
    /// So many percent of a campaign's calls are ordinary chat
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    cover: Option<u32>,
    /// Each account of a campaign has a card, networks and programs of its own, and changes network and program daily
    #[arg(long)]
    rotate_links: bool,
    /// Directory to write to; made where it is missing
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    out: Option<PathBuf>,
    /// Writes into a directory that holds something; files of the same name are replaced
    #[arg(long)]
    force: bool,
    /// Says what there is to simulate, one line each
    #[arg(long, conflicts_with_all = ["out", "benign", "campaign"])]
    list: bool,
}

fn date(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_date(text).ok_or_else(|| "write a date such as 2026-06-01".to_string())
}

fn factor(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|f| f.is_finite() && *f > 0.0 && *f <= 1_000.0);
    number.ok_or_else(|| "write a number above 0, up to 1000, such as 0.5".to_string())
}

impl Simulate {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        if self.list {
            return list();
        }
        let plan = self.plan()?;
        let Some(out) = self.out.as_deref() else { return Ok(Exit::Usage) };
        make(out, self.force)?;
        let simulation = Simulation::new(&plan);
        let truth = write(out, &plan, &simulation)?;
        tell(out, &simulation, &truth)?;
        Ok(Exit::Fine)
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        let plan = Plan {
            benign: chosen("--benign", &self.benign, benign())?,
            campaigns: chosen("--campaign", &self.campaign, campaigns())?,
            background: self.background,
            adaptation: Adaptation {
                accounts: self.accounts,
                rate_factor: self.rate_factor,
                templates: self.templates.map(|n| n as usize),
                substitute: self.substitute.map(|percent| f64::from(percent) / 100.0),
                cover: self.cover.map(|percent| f64::from(percent) / 100.0),
                rotate_links: self.rotate_links,
            },
            days: self.days,
            start: self.start,
            seed: self.seed,
        };
        let nothing = plan.benign.is_empty() && plan.campaigns.is_empty() && plan.background == 0;
        if nothing {
            let help =
                "write `--benign all`, `--campaign hydra` or `--background 200`; `fineprint simulate --list` shows all";
            return Err(Wrong::new("nothing is named that could be simulated", help).into());
        }
        if plan.campaigns.is_empty()
            && let Some(flag) = self.campaign_flag()
        {
            let what = format!("`{flag}` says how campaigns act, and no campaign is named");
            return Err(Wrong::new(what, "add `--campaign NAME`, such as `--campaign hydra`").into());
        }
        let accounts: usize = plan.campaigns.iter().map(|c| self.accounts.unwrap_or(c.accounts)).sum();
        if self.accounts == Some(0) {
            return Err(Wrong::new("a campaign without accounts does nothing", "write `--accounts 1` or more").into());
        }
        if accounts.saturating_add(self.background) > ACCOUNTS_MAX {
            let what = format!("that is more than {} accounts", grouped(ACCOUNTS_MAX as u64));
            return Err(Wrong::new(what, "name fewer accounts, fewer campaigns or less background").into());
        }
        Ok(plan)
    }

    /// A flag that was given and means nothing without a campaign.
    fn campaign_flag(&self) -> Option<&'static str> {
        let given = [
            ("--accounts", self.accounts.is_some()),
            ("--rate-factor", self.rate_factor.is_some()),
            ("--templates", self.templates.is_some()),
            ("--substitute", self.substitute.is_some()),
            ("--cover", self.cover.is_some()),
            ("--rotate-links", self.rotate_links),
        ];
        given.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }
}

/// The workloads of these names, each once, in the order of the catalogue.
fn chosen(flag: &str, names: &[String], all: &'static [Workload]) -> anyhow::Result<Vec<&'static Workload>> {
    for name in names {
        let known = name == "all" || all.iter().any(|w| w.name.eq_ignore_ascii_case(name));
        if !known {
            let there: Vec<&str> = all.iter().map(|w| w.name).collect();
            let help = format!("write `{flag} all`, or some of {}", there.join(", "));
            return Err(Wrong::new(format!("`{flag}` knows no `{name}`"), help).into());
        }
    }
    let wanted = |w: &&Workload| names.iter().any(|name| name == "all" || w.name.eq_ignore_ascii_case(name));
    Ok(all.iter().filter(wanted).collect())
}

fn list() -> anyhow::Result<Exit> {
    let mut out = output();
    for w in benign() {
        writeln!(out, "--benign   {:<18} {}", w.name, w.says)?;
    }
    for w in campaigns() {
        writeln!(out, "--campaign {:<18} {} ({} accounts)", w.name, w.says, w.accounts)?;
    }
    out.flush()?;
    Ok(Exit::Fine)
}

/// Makes the directory, and refuses one that holds something.
fn make(out: &Path, force: bool) -> anyhow::Result<()> {
    let named = || format!("cannot use `{}`", out.display());
    if out.exists() && !force && std::fs::read_dir(out).with_context(named)?.next().is_some() {
        let what = format!("`{}` is not empty", out.display());
        return Err(Wrong::new(what, "name another directory, or add `--force` to replace what is there").into());
    }
    std::fs::create_dir_all(out.join("lists")).with_context(named)
}

fn write<'a>(out: &Path, plan: &Plan, simulation: &'a Simulation) -> anyhow::Result<Truth<'a>> {
    let mut truth = Truth::new(simulation);
    let mut progress = Progress::new(None);
    file(out, "events.jsonl", |events| {
        file(out, "labels_events.csv", |labels| {
            writeln!(labels, "{}", Truth::EVENTS)?;
            for event in simulation.events() {
                writeln!(events, "{}", event.line)?;
                if let Some(row) = truth.count(&event) {
                    writeln!(labels, "{row}")?;
                }
                if truth.n_events().is_multiple_of(4_096) {
                    progress.update(0, truth.n_events());
                }
            }
            Ok(())
        })
    })?;
    progress.finish();
    file(out, "accounts.jsonl", |registry| {
        for row in simulation.registry() {
            writeln!(registry, "{}", row?)?;
        }
        Ok(())
    })?;
    file(out, "labels_accounts.csv", |labels| {
        writeln!(labels, "{}", Truth::ACCOUNTS)?;
        for row in truth.accounts() {
            writeln!(labels, "{row}")?;
        }
        Ok(())
    })?;
    let told = truth.campaigns(plan)?;
    file(out, "campaigns.json", |campaigns| Ok(writeln!(campaigns, "{told}")?))?;
    for (name, text) in simulation.lists() {
        file(&out.join("lists"), name, |list| Ok(list.write_all(text.as_bytes())?))?;
    }
    Ok(truth)
}

/// Writes a file whole, or says which one could not be written.
fn file(out: &Path, name: &str, write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let path = out.join(name);
    let named = || format!("cannot write `{}`", path.display());
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).with_context(named)?);
    write(&mut file).and_then(|()| Ok(file.flush()?)).with_context(named)
}

fn tell(out: &Path, simulation: &Simulation, truth: &Truth<'_>) -> anyhow::Result<()> {
    let mut shown = table(&["truth", "family", "accounts", "events"]);
    for (label, family, accounts, events) in truth.families() {
        shown.add_row([label.word().to_string(), family.to_string(), grouped(accounts), grouped(events)]);
    }
    let mut to = output();
    writeln!(to, "{shown}")?;
    to.flush()?;
    note(format!(
        "{} events of {} accounts in `{}`",
        grouped(truth.n_events()),
        grouped(simulation.n_accounts() as u64),
        out.display()
    ));
    let place = out.display();
    note(format!(
        "run the rules over them: fineprint run --rules rules --accounts {place}/accounts.jsonl --lists {place}/lists {place}/events.jsonl"
    ));
    Ok(())
}
