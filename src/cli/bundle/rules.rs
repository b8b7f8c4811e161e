//! The rules that violations were found under, from the packs that are kept beside a log or from a directory that is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::bundle::{Contents, RuleText};
use crate::cli::terminal::note;
use crate::compile::compile;
use crate::hir::{canonical_rule, rule_hash};
use crate::pack::read_sources;

/// Packs beside a log.
fn kept(db: &Path) -> PathBuf {
    let mut dir = db.as_os_str().to_owned();
    dir.push(".rules");
    PathBuf::from(dir)
}

/// Adds the texts of the rules of the violations, and of the documents that they enforce. What is not found is told.
pub(super) fn find(db: &Path, named: Option<&Path>, contents: &mut Contents) -> anyhow::Result<()> {
    let mut sought: BTreeSet<&str> = contents.excerpt.violations.iter().map(|row| row.rule_hash.as_str()).collect();
    let mut documents: BTreeMap<String, String> = BTreeMap::new();
    let mut dirs: Vec<PathBuf> = named.map(Path::to_owned).into_iter().collect();
    if let Ok(packs) = fs::read_dir(kept(db)) {
        let mut packs: Vec<PathBuf> = packs.filter_map(|pack| Some(pack.ok()?.path().join("rules"))).collect();
        packs.sort();
        dirs.extend(packs.into_iter().filter(|rules| rules.is_dir()));
    }
    let enforced = enforced(contents);
    for dir in dirs {
        if sought.is_empty() {
            break;
        }
        let sources = read_sources(&dir)?.map;
        // Mistakes are for `check`: a rule that could be read has its hash, and other rules are not asked for.
        let program = compile(&sources).program;
        let mut is_used = false;
        for rule in &program.rules {
            let hash = rule_hash(&program, rule);
            if sought.remove(hash.as_str()) {
                let (own, definition) = (sources.text(rule.span), sources.text(rule.definition));
                let written = if own == definition { own.to_string() } else { format!("{definition}\n\n{own}") };
                contents.rules.insert(hash, RuleText { canonical: canonical_rule(&program, rule), written });
                is_used = true;
            }
        }
        for policy in program.policies.iter().filter(|_| is_used) {
            if enforced.contains(&(policy.name.clone(), policy.version.clone())) {
                let name = format!("{} {}", policy.name, policy.version);
                documents.entry(name).or_insert_with(|| sources.text(policy.span).to_string());
            }
        }
    }
    if !sought.is_empty() {
        note(format!(
            "note: the texts of {} rules are not in the bundle: they are not kept beside the log; name them with `--rules DIR`",
            sought.len()
        ));
    }
    contents.documents = documents.into_values().map(|text| text + "\n").collect::<Vec<_>>().join("\n");
    Ok(())
}

/// Documents and versions whose clauses the violations name.
fn enforced(contents: &Contents) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for row in &contents.excerpt.violations {
        let record: Value = serde_json::from_str(&row.record).unwrap_or_default();
        for clause in record.get("clauses").and_then(Value::as_array).into_iter().flatten() {
            let part = |key: &str| clause.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
            found.insert((part("policy"), part("version")));
        }
    }
    found
}

/// The files of a kept pack, by their paths in it.
pub(super) fn kept_files(db: &Path, bundle: &str) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let root = kept(db).join(bundle);
    let mut files = BTreeMap::new();
    let mut open = vec![root.clone()];
    while let Some(dir) = open.pop() {
        let entries = fs::read_dir(&dir).with_context(|| format!("cannot read the kept rules `{}`", dir.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let parts = path.strip_prefix(&root)?.components().map(|c| c.as_os_str().to_string_lossy().into_owned());
            let name = parts.collect::<Vec<_>>().join("/");
            let bytes = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            files.insert(name, bytes);
        }
    }
    Ok(files)
}
