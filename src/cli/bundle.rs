//! `fineprint violations export --bundle`: a case to hand on.

mod rules;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

pub(super) use verify::{Asked, verify};

pub(super) use crate::bundle::Anchor as Kept;

use super::campaigns;
use super::exit::Exit;
use super::export::beside;
use super::fingerprints::KeyFile;
use super::terminal::{grouped, note};
use super::violations::{Log, Which, told};
use super::wrong::Wrong;
use crate::bundle::{self, BundleError, Contents, Level, Part, Shown, Sliced, VIOLATIONS_MAX};
use crate::runtime::{NoSlice, Slicer};
use crate::seal::{Checkpoint, Note};
use crate::store::{REASON_CHARS_MAX, REVIEWER_CHARS_MAX, key_path};

/// Most bytes of journaled events of a bundle; findings beyond it come without theirs, and say so.
const SLICES_BYTES_MAX: usize = 64 << 20;

/// A case as a file to hand on.
#[derive(Debug, clap::Args)]
pub(super) struct Bundle {
    /// Writes a zip that shows a case and proves it: a page for people, records, proofs, rules as they were; signed by the log's
    /// key. `fineprint verify CASE.zip --key KEY` checks it
    #[arg(long, value_name = "CASE.zip")]
    bundle: Option<PathBuf>,
    /// For a bundle: these violations, by ids or the beginnings of ids
    #[arg(value_name = "ID", requires = "bundle")]
    ids: Vec<String>,
    /// For a bundle: the violations of this campaign
    #[arg(long, value_name = "ID", requires = "bundle", conflicts_with = "ids")]
    campaign: Option<String>,
    /// For a bundle: for whom. `authority` and `internal` show records as sealed, each proved; `partner` and `public` hide parts
    /// and use pseudonyms, and the log's key attests what they show
    #[arg(long, value_name = "LEVEL", requires = "bundle", value_parser = level)]
    level: Option<Level>,
    /// For a bundle: who exports, which it then says
    #[arg(long, value_name = "NAME", requires = "bundle")]
    by: Option<String>,
    /// For a bundle: why, or for whom, which it then says
    #[arg(long, value_name = "TEXT", requires = "bundle")]
    reason: Option<String>,
    /// For a bundle: a checkpoint of this log that its reader has; it then proves that the log grew out of that
    #[arg(long, value_name = "FILE", requires = "bundle")]
    anchor: Vec<PathBuf>,
    /// For a bundle: rules that were in force, where they are not kept beside the log
    #[arg(long, value_name = "DIR", requires = "bundle")]
    rules: Option<PathBuf>,
    #[command(flatten)]
    key: KeyFile,
}

fn level(word: &str) -> Result<Level, String> {
    Level::from_word(word).ok_or_else(|| "write one of public, partner, authority, internal".to_string())
}

impl Bundle {
    /// Whether a bundle is to be written.
    pub(super) fn is_asked_for(&self) -> bool {
        self.bundle.is_some()
    }

    /// Writes it.
    pub(super) fn run(&self, db: &Path, which: &Which) -> anyhow::Result<Exit> {
        let Some(path) = &self.bundle else { return Ok(Exit::Fine) };
        let level = self.level.unwrap_or(Level::Authority);
        let by = self.by.as_deref().map(|by| told("--by NAME", "who exports", by, REVIEWER_CHARS_MAX)).transpose()?;
        let reason = self
            .reason
            .as_deref()
            .map(|r| told("--reason TEXT", "why it is exported", r, REASON_CHARS_MAX))
            .transpose()?;
        let anchors = self.anchor.iter().map(|path| size_of(path)).collect::<anyhow::Result<Vec<u64>>>()?;
        let log = Log::open(db)?;
        let Some(signer) = log.store.read_key()? else {
            let message = format!(
                "a bundle is signed, and the log's key `{}` is not there or not for you to read",
                key_path(db).display()
            );
            return Err(Wrong::new(
                message,
                "let somebody export who may read it, or make a new one with `fineprint log rotate --db FILE`",
            )
            .into());
        };
        let (case, ids) = self.chosen(&log, which)?;
        if ids.len() > VIOLATIONS_MAX {
            return Err(few(BundleError::TooMany(ids.len())));
        }
        let excerpt = log.wait(log.store.excerpt(&ids))?;
        let mut contents = Contents {
            level,
            case,
            by,
            reason,
            rules: BTreeMap::new(),
            documents: String::new(),
            slices: BTreeMap::new(),
            packs: BTreeMap::new(),
            grown_from: anchors,
            excerpt,
        };
        if level.shows(Part::Rules) == Shown::Whole {
            rules::find(db, self.rules.as_deref(), &mut contents)?;
        }
        if level.shows(Part::Slices) == Shown::Whole {
            self.slices(db, &mut contents)?;
        }
        let bytes = bundle::write(&contents, &signer).map_err(few)?;
        // Beside it first: one that breaks off leaves no half file.
        let part = beside(path);
        std::fs::write(&part, &bytes).with_context(|| format!("cannot write `{}`", part.display())).inspect_err(
            |_| {
                let _ = std::fs::remove_file(&part);
            },
        )?;
        std::fs::rename(&part, path).with_context(|| format!("cannot write `{}`", path.display()))?;
        note(format!(
            "{} violations written to {}, shown for: {}",
            grouped(contents.excerpt.violations.len() as u64),
            path.display(),
            level.word()
        ));
        Ok(Exit::Fine)
    }

    /// What is asked for, and the ids of the violations.
    fn chosen(&self, log: &Log, which: &Which) -> anyhow::Result<(Value, Vec<String>)> {
        let by_name = self.campaign.is_some() || !self.ids.is_empty();
        if by_name && !which.is_all() {
            let help = "leave the filters out, or the ids";
            return Err(Wrong::new("violations are named, and filters are given", help).into());
        }
        if let Some(campaign) = &self.campaign {
            let (id, ids) = campaigns::members(log, campaign)?;
            return Ok((json!({ "campaign": id }), ids));
        }
        if !self.ids.is_empty() {
            let ids = self.ids.iter().map(|id| Ok(log.one(id)?.id)).collect::<anyhow::Result<Vec<String>>>()?;
            return Ok((json!({ "violations": ids }), ids));
        }
        let mut ids = Vec::new();
        log.wait(log.store.export(&which.filter(), &mut |row| {
            ids.push(row.id.clone());
            Ok(())
        }))?;
        Ok((Value::Object(which.asked()), ids))
    }

    /// Events of each finding, as far as they are kept.
    fn slices(&self, db: &Path, contents: &mut Contents) -> anyhow::Result<()> {
        let mut slicer = Slicer::open(db, contents.excerpt.journal.as_deref(), self.key.read()?);
        let mut total = 0usize;
        for row in &contents.excerpt.violations {
            let sliced = match &mut slicer {
                Ok(slicer) => slicer.slice(&row.record),
                Err(NoSlice::Because(why)) => Err(NoSlice::Because(why.clone())),
                Err(NoSlice::Failed(why)) => Err(NoSlice::Because(why.to_string())),
            };
            let room = SLICES_BYTES_MAX.saturating_sub(total);
            let sliced = match sliced.map(|(slice, rules)| (slice.to_bytes(), rules)) {
                Ok((bytes, _)) if bytes.len() > room => Sliced::No(format!(
                    "its events would make more than {SLICES_BYTES_MAX} bytes with those of the others"
                )),
                Ok((bytes, rules)) => Sliced::Slice { bytes, bundle: rules.bundle_hash().to_string() },
                Err(why) => Sliced::No(why.to_string()),
            };
            total = total.saturating_add(if let Sliced::Slice { bytes, .. } = &sliced { bytes.len() } else { 0 });
            if let Sliced::Slice { bundle, .. } = &sliced
                && !contents.packs.contains_key(bundle)
            {
                contents.packs.insert(bundle.clone(), rules::kept_files(db, bundle)?);
            }
            contents.slices.insert(row.id.clone(), sliced);
        }
        Ok(())
    }
}

fn few(error: BundleError) -> anyhow::Error {
    let help = match &error {
        BundleError::Empty => "`fineprint violations list --db FILE` shows which there are",
        BundleError::TooMany(_) | BundleError::TooMuch(_) => {
            "choose fewer, such as `--campaign ID` or `--account ACCOUNT`"
        }
        _ => "`fineprint verify --db FILE` says whether the log holds",
    };
    Wrong::new(error.to_string(), help).into()
}

/// Entries under a checkpoint that was kept.
fn size_of(path: &Path) -> anyhow::Result<u64> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the checkpoint `{}`", path.display()))?;
    let note = Note::parse(&text).with_context(|| format!("`{}` holds no checkpoint", path.display()))?;
    Checkpoint::of(&note).map(|c| c.size).with_context(|| format!("`{}` holds no checkpoint", path.display()))
}
