//! Cases as files to hand on: a zip that shows a case and proves what it shows, to whoever has it and the log's public key.
//!
//! [`write()`] makes one out of what a log gave ([`crate::store::Excerpt`]); the same bytes each time. [`verify()`] holds one against a
//! key, and names what does not hold. Neither touches files; docs/bundles.md is the page for readers.

mod archive;
mod chart;
mod escape;
mod level;
mod manifest;
mod names;
mod page;
mod proofs;
mod redact;
mod verify;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use archive::{FILE_BYTES_MAX, FILES_MAX, NAME_BYTES_MAX, TOTAL_BYTES_MAX, TooMuch};
pub use level::{Level, Part, Shown, TABLE};
pub use manifest::MANIFEST;
pub use verify::{Anchor, Finding, PROBLEMS_LISTED_MAX, Problem, Report, Standing, verify};

use archive::Packed;
use manifest::{Listed, Manifest};
use names::Names;
use proofs::{Inclusion, Proof};
use redact::Redact;

use crate::campaign::NotARecord;
use crate::seal::{BadNote, Checkpoint, Signer, Tree};
use crate::store::{Excerpt, Proved, Sealed};

/// Most violations of a bundle.
pub const VIOLATIONS_MAX: usize = 10_000;
/// Most earlier sizes of the log from which a bundle proves that it grew; the latest at which it was signed.
pub const GROWN_FROM_MAX: usize = 256;

/// The page.
pub const PAGE: &str = "case.html";
/// The violations, one a line.
pub const VIOLATIONS: &str = "violations.jsonl";
/// Decisions of reviewers on them.
pub const DECISIONS: &str = "decisions.jsonl";
/// Acts on actions that rest on them: proposals, approvals, releases.
pub const ACTIONS: &str = "actions.jsonl";
/// Rules, lists and options that came into force, as hashes.
pub const RULE_SETS: &str = "rulesets.jsonl";
/// One proof a line.
pub const PROOFS: &str = "proofs.jsonl";
/// The signed checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
/// How to check the bundle.
pub const VERIFY: &str = "VERIFY.md";

/// A rule as it was in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleText {
    /// Its canonical text, whose SHA-256 stands in its violations.
    pub canonical: String,
    /// As its author wrote it.
    pub written: String,
}

/// A finding that can be computed again, or why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sliced {
    /// The slice of [`crate::derive::Slice`] as bytes, and the pack that it needs.
    Slice {
        /// The slice.
        bytes: Vec<u8>,
        /// Hash of the pack.
        bundle: String,
    },
    /// Why there is none.
    No(String),
}

/// What a bundle is made of.
#[derive(Debug)]
pub struct Contents {
    /// What is shown.
    pub level: Level,
    /// What was asked for.
    pub case: Value,
    /// Who exports.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What the log gave.
    pub excerpt: Excerpt,
    /// Texts of rules, by the hash of the canonical text.
    pub rules: BTreeMap<String, RuleText>,
    /// Declarations of the documents whose clauses are enforced, as written.
    pub documents: String,
    /// By violation: its slice. Of a level that shows none it is left aside.
    pub slices: BTreeMap<String, Sliced>,
    /// By hash: the files of packs that slices need, by their paths.
    pub packs: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Earlier sizes of the log from which is to be proved that it grew, beside the latest.
    pub grown_from: Vec<u64>,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Nothing to show.
    #[error("no violation is chosen")]
    Empty,
    /// More than [`VIOLATIONS_MAX`].
    #[error("{0} violations are chosen; a bundle holds at most {VIOLATIONS_MAX}")]
    TooMany(usize),
    /// More than the bounds of the file.
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    /// A record that cannot be read.
    #[error(transparent)]
    Record(#[from] NotARecord),
    /// Something that cannot be signed.
    #[error("it cannot be signed: {0}")]
    Note(#[from] BadNote),
    /// A tree that does not have what it should.
    #[error("the log has no entry {0}")]
    Tree(u64),
    /// A record that is no JSON.
    #[error("a record of the log is no JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// A bundle as it is shown: what the page is made of.
pub(crate) struct Case<'a> {
    pub(crate) level: Level,
    pub(crate) asked: &'a Value,
    pub(crate) by: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) violations: &'a [Value],
    pub(crate) decisions: &'a [Value],
    pub(crate) acts: &'a [Value],
    pub(crate) rules: &'a BTreeMap<String, RuleText>,
    pub(crate) documents: &'a str,
    pub(crate) n_slices: usize,
}

/// The bytes of a bundle, signed by a key.
///
/// # Errors
/// Nothing to show, or too much of it.
pub fn write(contents: &Contents, signer: &Signer) -> Result<Vec<u8>, BundleError> {
    let (level, excerpt) = (contents.level, &contents.excerpt);
    match excerpt.violations.len() {
        0 => return Err(BundleError::Empty),
        n if n > VIOLATIONS_MAX => return Err(BundleError::TooMany(n)),
        _ => {}
    }
    let tree = Tree::new(excerpt.leaves.clone());
    let size = tree.size();
    let root = tree.root(size).ok_or(BundleError::Tree(size))?;
    let verifier = signer.verifier();
    let checkpoint = Checkpoint { origin: verifier.name().to_string(), size, root, extensions: Vec::new() };
    let mut note = checkpoint.to_note()?;
    note.sign(signer);

    let asked =
        if level.is_proved() { contents.case.clone() } else { json!({ "violations": excerpt.violations.len() }) };
    let names = Names::new(signer.derive(&purpose(contents, &root)));
    let redact = Redact { level, names: &names };
    let mut lines: BTreeMap<&str, Vec<String>> = [VIOLATIONS, DECISIONS, ACTIONS].map(|name| (name, Vec::new())).into();
    let mut proofs = Vec::new();
    for p in &excerpt.proved {
        if let Some((file, line)) = shown(p, &redact)? {
            let of = lines.entry(file).or_default();
            of.push(line);
            let place = Some((file.to_string(), of.len() as u64));
            proofs.extend(level.is_proved().then(|| proof(p, place, &tree)).transpose()?);
        } else if p.kind == Sealed::Key && level.is_proved() {
            proofs.push(proof(p, None, &tree)?);
        }
    }
    for from in grown_from(contents, size) {
        let path = tree.consistency(from, size).ok_or(BundleError::Tree(from))?;
        proofs.push(Proof::Grown { from, path });
    }

    let parsed = |name: &str| -> Result<Vec<Value>, serde_json::Error> {
        lines.get(name).into_iter().flatten().map(|line| serde_json::from_str(line)).collect()
    };
    let (violations, decisions, acts) = (parsed(VIOLATIONS)?, parsed(DECISIONS)?, parsed(ACTIONS)?);
    let shows_rules = level.shows(Part::Rules) == Shown::Whole;
    let no_rules = BTreeMap::new();
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let n_slices = if level.shows(Part::Slices) == Shown::Whole { put_slices(contents, &mut files) } else { 0 };
    let case = Case {
        level,
        asked: &asked,
        by: contents.by.as_deref(),
        reason: contents.reason.as_deref(),
        key: verifier.to_string(),
        size,
        violations: &violations,
        decisions: &decisions,
        acts: &acts,
        rules: if shows_rules { &contents.rules } else { &no_rules },
        documents: if shows_rules { &contents.documents } else { "" },
        n_slices,
    };
    files.insert(PAGE.to_string(), page::page(&case)?.into_bytes());
    for (name, lines) in &lines {
        files.insert((*name).to_string(), joined(lines.iter().cloned()));
    }
    files.insert(PROOFS.to_string(), joined(proofs.iter().map(|p| manifest::plain(&p.to_json()))));
    files.insert(CHECKPOINT.to_string(), note.to_string().into_bytes());
    files.insert(VERIFY.to_string(), page::instructions(&case).into_bytes());
    if shows_rules {
        for (hash, rule) in &contents.rules {
            files.insert(format!("rules/{hash}.txt"), rule.canonical.clone().into_bytes());
            files.insert(format!("rules/{hash}.tos"), rule.written.clone().into_bytes());
        }
        if !contents.documents.is_empty() {
            files.insert("documents.tos".to_string(), contents.documents.clone().into_bytes());
        }
    }
    pack(contents, &asked, &checkpoint, files, signer)
}

/// The files under a signed manifest.
fn pack(
    contents: &Contents,
    asked: &Value,
    checkpoint: &Checkpoint,
    files: BTreeMap<String, Vec<u8>>,
    signer: &Signer,
) -> Result<Vec<u8>, BundleError> {
    let (mut packed, mut listed) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let file = Packed::new(&name, &content)?;
        listed.push(Listed {
            hash: Sha256::digest(&content).into(),
            packed: Sha256::digest(file.bytes()).into(),
            size: content.len() as u64,
            name,
        });
        packed.push(file);
    }
    let manifest = Manifest {
        key: signer.verifier().to_string(),
        level: contents.level,
        case: asked.clone(),
        by: contents.by.clone(),
        reason: contents.reason.clone(),
        size: checkpoint.size,
        root: checkpoint.root,
        files: listed,
    };
    let mut signed = crate::seal::Note::new(manifest.to_text())?;
    signed.sign(signer);
    packed.insert(0, Packed::stored(MANIFEST, signed.to_string().as_bytes())?);
    Ok(archive::write(&packed)?)
}

/// What the pseudonyms of a bundle are drawn for: everything that was asked for, and the state of the log. So the same call gives
/// the same bytes, and no two bundles share a pseudonym.
fn purpose(contents: &Contents, root: &crate::seal::Hash) -> Vec<u8> {
    let of = json!([contents.level.word(), contents.case, contents.by, contents.reason, hex::encode(root)]);
    format!("fineprint bundle pseudonyms 1\n{of}").into_bytes()
}

/// The file and line that shows something.
fn shown(p: &Proved, redact: &Redact<'_>) -> Result<Option<(&'static str, String)>, serde_json::Error> {
    let file = match p.kind {
        Sealed::Violation => VIOLATIONS,
        Sealed::Decision => DECISIONS,
        Sealed::Action => ACTIONS,
        Sealed::Rules if redact.level.is_proved() => RULE_SETS,
        _ => return Ok(None),
    };
    if redact.level.is_proved() {
        return Ok(Some((file, p.text.clone())));
    }
    let whole = serde_json::from_str(&p.text)?;
    let line = match p.kind {
        Sealed::Violation => redact.violation(&whole),
        Sealed::Decision => redact.decision(&whole),
        _ => redact.act(&whole),
    };
    let line = line.to_string();
    Ok(Some((file, line)))
}

fn proof(p: &Proved, place: Option<(String, u64)>, tree: &Tree) -> Result<Proof, BundleError> {
    let path = tree.inclusion(p.seq, tree.size()).ok_or(BundleError::Tree(p.seq))?;
    let digest = Sha256::digest(&p.text).into();
    Ok(Proof::In(Inclusion {
        seq: p.seq,
        kind: p.kind.word().to_string(),
        subject: p.subject.clone(),
        digest,
        place,
        path,
    }))
}

/// The sizes from which is proved that the log grew, ascending.
fn grown_from(contents: &Contents, size: u64) -> BTreeSet<u64> {
    let latest = contents.excerpt.signed_at.iter().rev().take(GROWN_FROM_MAX).copied();
    let signed =
        contents.excerpt.signed.iter().filter_map(|(_, note)| Checkpoint::of(&crate::seal::Note::parse(note).ok()?));
    let all = latest.chain(signed.map(|c| c.size)).chain(contents.grown_from.iter().copied());
    all.filter(|n| *n > 0 && *n < size).collect()
}

/// Slices and the packs that they need; how many findings have one.
fn put_slices(contents: &Contents, files: &mut BTreeMap<String, Vec<u8>>) -> usize {
    let (mut n, mut none, mut needed) = (0, Vec::new(), BTreeSet::new());
    for (violation, sliced) in &contents.slices {
        match sliced {
            Sliced::Slice { bytes, bundle } => {
                n += 1;
                needed.insert(bundle);
                files.insert(format!("slices/{violation}.jsonl"), bytes.clone());
            }
            Sliced::No(why) => none.push(json!({ "violation": violation, "why": why }).to_string()),
        }
    }
    if !none.is_empty() {
        files.insert("slices/none.jsonl".to_string(), joined(none.into_iter()));
    }
    for (bundle, pack) in contents.packs.iter().filter(|(bundle, _)| needed.contains(bundle)) {
        use base64::Engine as _;
        let encoded = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let lines = pack.iter().map(|(path, bytes)| json!({ "path": path, "bytes": encoded(bytes) }).to_string());
        files.insert(format!("packs/{bundle}.jsonl"), joined(lines));
    }
    n
}

fn joined(lines: impl Iterator<Item = String>) -> Vec<u8> {
    lines.fold(String::new(), |all, line| all + &line + "\n").into_bytes()
}
