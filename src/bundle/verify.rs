//! Holding a bundle against a key. Every byte of it is either under the signature of its manifest or the only one that may stand
//! there; what it shows is then held against the tree of the log.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::archive::{self, Archive};
use super::level::Level;
use super::manifest::{MANIFEST, Manifest, unhex};
use super::proofs::{Inclusion, Proof};
use super::{ACTIONS, CHECKPOINT, DECISIONS, PROOFS, RULE_SETS, VIOLATIONS};
use crate::seal::{Checkpoint, Note, Verifier, leaf_hash, verify_consistency, verify_inclusion};

/// Most problems that are listed; all are counted.
pub const PROBLEMS_LISTED_MAX: usize = 1_000;

/// A checkpoint that was kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Where it comes from, for messages.
    pub name: String,
    /// The note.
    pub note: Note,
}

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, `the zip`, or what it concerns, such as `violation 1f3a…`.
    pub what: String,
    /// What was found.
    pub found: String,
}

/// How much is known of a finding beyond its seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has a slice and a pack to be computed again from.
    Sliced {
        /// The slice.
        slice: Vec<u8>,
        /// The pack that it needs, by its hash.
        bundle: String,
    },
    /// Its record says that what it rests on was erased by right. Which erasure that was the log shows, not the bundle.
    Erased,
    /// It is as it was sealed; why it cannot be computed again.
    ConsistentOnly(String),
}

/// A finding of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Id of the violation.
    pub id: String,
    /// Its record.
    pub record: String,
    /// How much is known of it.
    pub standing: Standing,
}

/// What came of holding a bundle against a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What it shows; none where it has no manifest that can be read.
    pub level: Option<Level>,
    /// The key by which it is signed.
    pub key: Option<String>,
    /// Files that are as the manifest says.
    pub files: u64,
    /// Entries of the log under the checkpoint.
    pub entries: u64,
    /// Things that were proved to be in the log as they are shown.
    pub proved: u64,
    /// Things of which the signer attests that they are in the log.
    pub attested: u64,
    /// Rule texts that are those of the violations.
    pub rules: u64,
    /// Names of anchors that the log of the bundle grew out of.
    pub anchored: Vec<String>,
    /// Violations that are shown whole.
    pub findings: Vec<Finding>,
    /// Packs, by their hashes: files by their paths.
    pub packs: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// What does not hold, as far as listed.
    pub problems: Vec<Problem>,
    /// How many do not hold.
    pub problems_total: u64,
}

impl Report {
    /// Whether everything holds.
    pub fn holds(&self) -> bool {
        self.problems_total == 0
    }

    /// Adds what does not hold.
    pub fn problem(&mut self, what: impl Into<String>, found: impl Into<String>) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_LISTED_MAX {
            self.problems.push(Problem { what: what.into(), found: found.into() });
        }
    }
}

/// Holds a bundle against a key; without one, against that which it names itself.
pub fn verify(zip: &[u8], key: Option<&Verifier>, anchors: &[Anchor]) -> Report {
    let mut report = Report::default();
    let archive = archive::read(zip);
    for (what, found) in &archive.wrong {
        report.problem(what, found);
    }
    let files = contents(&archive, &mut report);
    let Some((manifest, signer)) = manifest(&archive, &files, key, &mut report) else { return report };
    listed(&archive, &files, &manifest, &mut report);
    let checkpoint = checkpoint(&files, &manifest, &signer, &mut report);
    let texts: BTreeMap<&str, Vec<&str>> = [VIOLATIONS, DECISIONS, ACTIONS, RULE_SETS, PROOFS]
        .into_iter()
        .filter_map(|name| Some((name, lines(name, files.get(name)?, &mut report))))
        .collect();
    let empty = Vec::new();
    let of = |name: &str| texts.get(name).unwrap_or(&empty);
    let proofs = proofs(of(PROOFS), &mut report);
    if manifest.level.is_proved() {
        included(&proofs, &checkpoint, &texts, &mut report);
        findings(of(VIOLATIONS), &files, &mut report);
    } else {
        report.attested = [VIOLATIONS, DECISIONS, ACTIONS].iter().map(|name| of(name).len() as u64).sum();
    }
    let grown = grown(&proofs, &checkpoint, &mut report);
    for anchor in anchors {
        held_against(anchor, &signer, &checkpoint, &grown, &mut report);
    }
    report
}

/// The contents of all files that can be read. Of two of one name the first counts; that there are two was told.
fn contents(archive: &Archive<'_>, report: &mut Report) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in &archive.entries {
        match entry.content() {
            Ok(content) => {
                files.entry(entry.name().to_string()).or_insert(content);
            }
            Err(why) => report.problem(entry.name(), why),
        }
    }
    files
}

fn manifest(
    archive: &Archive<'_>,
    files: &BTreeMap<String, Vec<u8>>,
    key: Option<&Verifier>,
    report: &mut Report,
) -> Option<(Manifest, Verifier)> {
    let Some(bytes) = files.get(MANIFEST) else {
        report.problem(MANIFEST, "is missing: without it nothing of the bundle can be checked");
        return None;
    };
    if archive.entries.first().is_none_or(|first| first.name() != MANIFEST) {
        report.problem(MANIFEST, "is not the first file of the zip");
    }
    if archive.entries.iter().any(|e| e.name() == MANIFEST && !e.is_stored()) {
        report.problem(MANIFEST, "is deflated, and must stand as it is");
    }
    let note = std::str::from_utf8(bytes).ok().and_then(|text| Some((text, Note::parse(text).ok()?)));
    let Some((_, note)) = note.filter(|(text, note)| note.to_string() == **text && note.signers().count() == 1) else {
        report.problem(MANIFEST, "is no text with one signature: it was altered");
        return None;
    };
    let manifest = match Manifest::parse(note.text()) {
        Ok(manifest) => manifest,
        Err(why) => {
            report.problem(MANIFEST, format!("cannot be read: {why}"));
            return None;
        }
    };
    (report.level, report.key) = (Some(manifest.level), Some(manifest.key.clone()));
    (report.entries, report.files) = (manifest.size, 0);
    let own = manifest.key.parse::<Verifier>();
    let signer = match (key, own) {
        (Some(key), own) => {
            if own.as_ref() != Ok(key) {
                report.problem(MANIFEST, format!("names another key than the one that was given, {key}"));
            }
            key.clone()
        }
        (None, Ok(own)) => own,
        (None, Err(why)) => {
            report.problem(MANIFEST, format!("its line `key`: {why}"));
            return None;
        }
    };
    if !note.is_signed_by(&signer) {
        report.problem(
            MANIFEST,
            format!("its signature is not that of {signer} over this text: it was altered, or another key signed it"),
        );
    }
    Some((manifest, signer))
}

/// Files against the manifest.
fn listed(archive: &Archive<'_>, files: &BTreeMap<String, Vec<u8>>, manifest: &Manifest, report: &mut Report) {
    let mut known = BTreeSet::from([MANIFEST]);
    let mut order = vec![MANIFEST];
    for listed in &manifest.files {
        order.push(&listed.name);
        if !known.insert(&listed.name) {
            report.problem(MANIFEST, format!("lists `{}` twice", listed.name));
        }
        let packed = archive.entries.iter().find(|e| e.name() == listed.name);
        let Some(packed) = packed else {
            report.problem(&listed.name, "is listed in the manifest, and is missing");
            continue;
        };
        let Some(content) = files.get(&listed.name) else { continue };
        let hash: [u8; 32] = Sha256::digest(content).into();
        if hash != listed.hash || content.len() as u64 != listed.size {
            let found = format!(
                "is not the file of the manifest: its SHA-256 is {}, and {} is signed: bytes of it were altered",
                hex::encode(hash),
                hex::encode(listed.hash)
            );
            report.problem(&listed.name, found);
        } else if <[u8; 32]>::from(Sha256::digest(packed.packed)) != listed.packed {
            report.problem(&listed.name, "is deflated otherwise than the manifest says: bytes of the zip were altered");
        } else {
            report.files += 1;
        }
    }
    for entry in archive.entries.iter().filter(|e| !known.contains(e.name())) {
        report.problem(entry.name(), "is not listed in the manifest: it was put in");
    }
    if archive.entries.iter().map(archive::Entry::name).ne(order.iter().copied()) && report.holds() {
        report.problem("the zip", "its files are not in the order of the manifest");
    }
}

fn checkpoint(
    files: &BTreeMap<String, Vec<u8>>,
    manifest: &Manifest,
    signer: &Verifier,
    report: &mut Report,
) -> Checkpoint {
    let note = files.get(CHECKPOINT).and_then(|bytes| Note::parse(std::str::from_utf8(bytes).ok()?).ok());
    let signed = note.as_ref().filter(|note| note.is_signed_by(signer)).and_then(Checkpoint::of);
    match signed {
        Some(c) if c.origin == signer.name() && c.size == manifest.size && c.root == manifest.root => c,
        found => {
            let what = match found {
                Some(_) => "is not that of the manifest",
                None => "is no checkpoint with a signature of the key that holds",
            };
            report.problem(CHECKPOINT, what);
            Checkpoint {
                origin: signer.name().to_string(),
                size: manifest.size,
                root: manifest.root,
                extensions: Vec::new(),
            }
        }
    }
}

fn lines<'a>(name: &str, bytes: &'a [u8], report: &mut Report) -> Vec<&'a str> {
    if bytes.is_empty() {
        return Vec::new();
    }
    match std::str::from_utf8(bytes).ok().and_then(|text| text.strip_suffix('\n')) {
        Some(text) => text.split('\n').collect(),
        None => {
            report.problem(name, "is no text of whole lines");
            Vec::new()
        }
    }
}

fn proofs(lines: &[&str], report: &mut Report) -> Vec<Proof> {
    let mut read = Vec::new();
    for (n, line) in (1..).zip(lines) {
        match Proof::parse(line) {
            Some(proof) => read.push(proof),
            None => report.problem(PROOFS, format!("its line {n} is no proof")),
        }
    }
    read
}

/// The name of the thing on a line, by which its entry calls it.
fn subject(file: &str, line: &str) -> Option<(&'static str, String)> {
    let json: Value = serde_json::from_str(line).ok()?;
    let number = |key: &str| json.get(key)?.as_u64().map(|n| n.to_string());
    match file {
        VIOLATIONS => Some(("violation", json.get("id")?.as_str()?.to_string())),
        DECISIONS => Some(("decision", number("number")?)),
        ACTIONS => Some(("action", number("seq")?)),
        RULE_SETS => Some(("rules", number("generation")?)),
        _ => None,
    }
}

/// Every line of the files must be proved, once.
fn included(proofs: &[Proof], checkpoint: &Checkpoint, texts: &BTreeMap<&str, Vec<&str>>, report: &mut Report) {
    let mut proved: BTreeSet<(&str, u64)> = BTreeSet::new();
    for p in proofs {
        let Proof::In(p) = p else { continue };
        match is_included(p, checkpoint, texts) {
            Ok(()) => {
                report.proved += 1;
                if let Some((file, line)) = &p.place {
                    proved.insert((file, *line));
                }
            }
            Err(why) => report.problem(format!("{} {}", p.kind, p.subject), why),
        }
    }
    for (file, lines) in texts.iter().filter(|(file, _)| **file != PROOFS) {
        for (n, line) in (1..).zip(lines).filter(|(n, _)| !proved.contains(&(*file, *n))) {
            let what = subject(file, line).map_or(format!("{file} line {n}"), |(kind, name)| format!("{kind} {name}"));
            report.problem(what, format!("line {n} of `{file}` is not proved to be in the log"));
        }
    }
}

fn is_included(p: &Inclusion, checkpoint: &Checkpoint, texts: &BTreeMap<&str, Vec<&str>>) -> Result<(), String> {
    let sealed = match &p.place {
        None if p.kind == "key" => p.subject.as_str(),
        None => return Err("the proof names no line".to_string()),
        Some((file, line)) => {
            let at = usize::try_from(*line).ok().and_then(|n| n.checked_sub(1));
            let text = at.and_then(|at| texts.get(file.as_str())?.get(at));
            let text = text.ok_or_else(|| format!("there is no line {line} of `{file}`"))?;
            if subject(file, text) != Some((known(&p.kind), p.subject.clone())) {
                return Err(format!("line {line} of `{file}` is something else"));
            }
            text
        }
    };
    if <[u8; 32]>::from(Sha256::digest(sealed)) != p.digest {
        let place = p.place.as_ref().map(|(file, line)| format!("line {line} of `{file}`")).unwrap_or_default();
        return Err(format!("{place} is not what entry {} seals: it was altered", p.seq));
    }
    match verify_inclusion(&leaf_hash(&p.entry()), p.seq, checkpoint.size, &p.path, &checkpoint.root) {
        true => Ok(()),
        false => Err(format!("entry {} of the log is another: its proof does not lead to the checkpoint", p.seq)),
    }
}

fn known(kind: &str) -> &'static str {
    ["violation", "decision", "action", "rules"].into_iter().find(|known| *known == kind).unwrap_or_default()
}

/// Earlier sizes with their proofs, where these can hold.
fn grown<'a>(proofs: &'a [Proof], checkpoint: &Checkpoint, report: &mut Report) -> BTreeMap<u64, &'a [[u8; 32]]> {
    let mut grown = BTreeMap::new();
    for p in proofs {
        let Proof::Grown { from, path } = p else { continue };
        if *from == 0 || *from >= checkpoint.size || grown.insert(*from, path.as_slice()).is_some() {
            report.problem(PROOFS, format!("a proof of growth from {from} entries does not belong there"));
        }
    }
    grown
}

fn held_against(
    anchor: &Anchor,
    signer: &Verifier,
    now: &Checkpoint,
    grown: &BTreeMap<u64, &[[u8; 32]]>,
    report: &mut Report,
) {
    let what = format!("anchor {}", anchor.name);
    let Some(before) = Checkpoint::of(&anchor.note).filter(|_| anchor.note.is_signed_by(signer)) else {
        return report.problem(what, "is not signed by the key of the bundle");
    };
    let holds = |path: &[[u8; 32]]| verify_consistency(before.size, &before.root, now.size, &now.root, path);
    let (size, has) = (before.size, now.size);
    match grown.get(&size) {
        _ if size == has && before.root == now.root => report.anchored.push(anchor.name.clone()),
        _ if size == has => report.problem(what, format!("its {size} entries are not those of the bundle: the log was rewritten")),
        _ if size > has => report.problem(
            what,
            format!("was made over {size} entries, and the bundle over {has}: whether one grew out of the other is not known from the bundle; \
                 take an anchor that is older than it"),
        ),
        Some(path) if holds(path) => report.anchored.push(anchor.name.clone()),
        Some(_) => report.problem(what, format!("its {size} entries are not those that the bundle's log began with: the log was rewritten")),
        None => report.problem(
            what,
            format!("the bundle holds no proof of growth from {size} entries; ask for one that was made with `--anchor`"),
        ),
    }
}

/// What is known of each violation beyond its seal.
fn findings(violations: &[&str], files: &BTreeMap<String, Vec<u8>>, report: &mut Report) {
    let mut rules = BTreeMap::new();
    for (name, content) in files {
        let Some(hash) = name.strip_prefix("rules/").and_then(|name| name.strip_suffix(".txt")) else { continue };
        let is_own = unhex(hash).is_some_and(|hash| hash == <[u8; 32]>::from(Sha256::digest(content)));
        if !is_own {
            report.problem(name, "is not the rule text of its name: its SHA-256 is another");
        }
        rules.insert(hash, is_own);
    }
    let mut unsliced: BTreeMap<String, String> = BTreeMap::new();
    for line in files.get("slices/none.jsonl").map(|b| lines("slices/none.jsonl", b, report)).unwrap_or_default() {
        let json: Value = serde_json::from_str(line).unwrap_or_default();
        let text = |key: &str| json.get(key).and_then(Value::as_str).map(str::to_string);
        unsliced.extend(text("violation").zip(text("why")));
    }
    for line in violations {
        let Ok(record) = serde_json::from_str::<Value>(line) else { continue };
        let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default();
        let id = text("id").to_string();
        report.rules += u64::from(rules.get(text("rule_hash")).copied().unwrap_or(false));
        let standing = if record.get("erased").is_some() {
            Standing::Erased
        } else if let Some(slice) = files.get(&format!("slices/{id}.jsonl")) {
            let head = slice.split(|b| *b == b'\n').next().unwrap_or_default();
            let head: Value = serde_json::from_slice(head).unwrap_or_default();
            let bundle = head.get("bundle").and_then(Value::as_str).unwrap_or_default().to_string();
            Standing::Sliced { slice: slice.clone(), bundle }
        } else {
            let why = unsliced.remove(&id).unwrap_or_else(|| "the bundle holds none of its events".to_string());
            Standing::ConsistentOnly(why)
        };
        report.findings.push(Finding { id, record: (*line).to_string(), standing });
    }
    let packs = files
        .keys()
        .filter_map(|name| Some((name.clone(), name.strip_prefix("packs/")?.strip_suffix(".jsonl")?.to_string())));
    for (name, bundle) in packs.collect::<Vec<_>>() {
        match files.get(&name).and_then(|bytes| unpacked(bytes)) {
            Some(pack) => {
                report.packs.insert(bundle, pack);
            }
            None => report.problem(name, "is no pack"),
        }
    }
}

/// The files of a pack by their paths; none of which leads out of it.
fn unpacked(bytes: &[u8]) -> Option<BTreeMap<String, Vec<u8>>> {
    use base64::Engine as _;
    let mut pack = BTreeMap::new();
    for line in std::str::from_utf8(bytes).ok()?.lines() {
        let json: Value = serde_json::from_str(line).ok()?;
        let path = json.get("path")?.as_str()?;
        let is_plain = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
        if path.is_empty() || path.contains('\\') || !std::path::Path::new(path).components().all(is_plain) {
            return None;
        }
        let bytes = base64::engine::general_purpose::STANDARD.decode(json.get("bytes")?.as_str()?).ok()?;
        pack.insert(path.to_string(), bytes);
    }
    Some(pack)
}
