//! `fineprint templates`: the public templates of a benign sample, as a list for rules.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;

use super::exit::Exit;
use super::fingerprints::KeyFile;
use super::progress::Progress;
use super::run::mapping;
use super::terminal::{grouped, note, output};
use super::wrong::Wrong;
use crate::event::{FieldId, UsageEvent};
use crate::feed::{Feed, Input};
use crate::runtime::expand;
use crate::template::{Fingerprinter, PublicTemplates, Scratch, Strictness, to_text};
use crate::value::Value;

/// Writes a list of the template fingerprints that many accounts of a benign sample show
///
/// Prompts from books and web pages, defaults of frameworks and an operator's own harness are said by many accounts that
/// have nothing to do with each other. Rules leave them out: `list public_templates : fingerprint from
/// "lists/public-templates.csv"`. The sample must be benign: what a campaign in it shows becomes public.
#[derive(Debug, clap::Args)]
#[command(after_help = super::exit::HELP)]
pub(super) struct Templates {
    /// From how many accounts on a fingerprint is public
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..))]
    accounts_min: u32,
    #[command(flatten)]
    key: KeyFile,
    /// How foreign records become events, as in `run`
    #[arg(long, value_name = "NAME|FILE")]
    mapping: Option<String>,
    /// Where to write; standard output where it is not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Files or directories of events
    #[arg(value_name = "EVENTS")]
    events: Vec<PathBuf>,
}

/// What was read.
#[derive(Default)]
struct Read {
    n_prompts: u64,
    n_events: u64,
    n_refused: u64,
}

impl Templates {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        if self.events.is_empty() {
            let help = "write `fineprint templates EVENTS…`, with events of accounts that are known to be honest";
            return Err(Wrong::new("no events are named", help).into());
        }
        let fingerprinter = Fingerprinter::new(self.key.read()?);
        let mut sample = PublicTemplates::new(self.accounts_min as usize);
        let mut read = Read::default();
        let mut progress = Progress::new(None);
        for input in expand(&self.events)? {
            let input = input.path.map_or(Input::Stdin, Input::File);
            self.read(&input, &fingerprinter, &mut sample, &mut read, &mut progress)?;
        }
        progress.finish();
        match &self.out {
            None => self.write(&mut output(), &fingerprinter, &sample, &read)?,
            Some(path) => {
                let file = || -> anyhow::Result<()> {
                    let mut out = BufWriter::new(std::fs::File::create(path)?);
                    self.write(&mut out, &fingerprinter, &sample, &read)?;
                    Ok(out.flush()?)
                };
                file().with_context(|| format!("cannot write `{}`", path.display()))?;
            }
        }
        note(format!(
            "{} public fingerprints in {} prompts of {} accounts; {} events had no prompt or account, {} records were refused",
            grouped(sample.public().len() as u64),
            grouped(read.n_prompts),
            grouped(sample.n_accounts() as u64),
            grouped(read.n_events - read.n_prompts),
            grouped(read.n_refused),
        ));
        Ok(Exit::Fine)
    }

    fn read(
        &self,
        input: &Input,
        fingerprinter: &Fingerprinter,
        sample: &mut PublicTemplates,
        read: &mut Read,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let mut feed = Feed::open(input, mapping(self.mapping.as_deref(), &self.key)?)?;
        let mut scratch = Scratch::default();
        while let Some(entry) = feed.next_entry()? {
            match entry.event {
                Err(_) => read.n_refused += 1,
                Ok(event) => {
                    read.n_events += 1;
                    read.n_prompts += u64::from(add(&event, fingerprinter, sample, &mut scratch)?);
                }
            }
            if read.n_events.is_multiple_of(4_096) {
                progress.update(0, read.n_events);
            }
        }
        Ok(())
    }

    fn write(
        &self,
        out: &mut dyn Write,
        fingerprinter: &Fingerprinter,
        sample: &PublicTemplates,
        read: &Read,
    ) -> anyhow::Result<()> {
        let [strict, loose] = Strictness::ALL.map(Strictness::words);
        writeln!(out, "{}", fingerprinter.key().named())?;
        writeln!(
            out,
            "# shown by at least {} of {} accounts in {} prompts; words: {strict} strict, {loose} loose",
            self.accounts_min,
            sample.n_accounts(),
            read.n_prompts
        )?;
        writeln!(out, "fingerprint,words,prompts")?;
        for t in sample.public() {
            writeln!(out, "{},{},{}", to_text(t.fingerprint), t.words, t.n_texts)?;
        }
        Ok(())
    }
}

/// Counts the prompt of an event; whether it had one, and an account.
fn add(
    event: &UsageEvent<'_>,
    fingerprinter: &Fingerprinter,
    sample: &mut PublicTemplates,
    scratch: &mut Scratch,
) -> anyhow::Result<bool> {
    let (Value::Text(account), Value::Text(prompt)) = (event.get(FieldId::ACCOUNT), event.get(FieldId::PROMPT)) else {
        return Ok(false);
    };
    for strictness in Strictness::ALL {
        let shown = fingerprinter.fingerprints(strictness, prompt, scratch);
        sample.add(account, strictness.words() as u8, shown.as_slice())?;
    }
    Ok(true)
}
