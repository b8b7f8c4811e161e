//! A directory of rule files, its lists and the account registry, made into rules that are ready to run. The only reader of
//! rule files. Whatever is wrong with a file becomes a diagnostic; only a directory that cannot be read is an error.

mod kept;
mod reference;
mod sources;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use kept::load_kept;
pub use sources::{DEPTH_MAX, FILES_MAX, PackError, TOTAL_BYTES_MAX, read_sources};

use crate::compile;
use crate::diagnostic::{Diagnostic, has_errors, sort};
use crate::hir::Program;
use crate::plan::{ReferenceData, RuleSet};
use crate::source::SourceMap;
use crate::syntax::ast;
use crate::template::FingerprintKey;
use crate::time::Timestamp;

/// Where a pack is read from.
#[derive(Debug, Clone)]
pub struct PackOptions<'a> {
    /// Directory of rule files, or one rule file.
    pub rules: &'a Path,
    /// Where list and table files are looked up first.
    pub lists: Option<&'a Path>,
    /// The account registry, JSON lines.
    pub accounts: Option<&'a Path>,
    /// The day for which dates are judged: clauses out of force, exceptions about to end. `None` judges none.
    pub as_of: Option<Timestamp>,
    /// The key of template fingerprints.
    pub fingerprint_key: FingerprintKey,
}

/// What was read, as far as it could be understood.
#[derive(Debug)]
pub struct Pack {
    /// The texts, for diagnostics.
    pub sources: SourceMap,
    /// The path of each source, by the index of its id.
    pub paths: Vec<PathBuf>,
    /// What the authors wrote, in the order of the sources.
    pub files: Vec<ast::File>,
    /// Everything that is to be said about the files, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The rules, ready to run; `None` where any diagnostic is an error.
    pub rules: Option<Arc<RuleSet>>,
    /// Hashes of what the rules stand on.
    pub pins: PackPins,
}

/// Hashes by which a later run knows whether it runs under the same rules; lower-case hex.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackPins {
    /// Over rules and policies, as they mean, not as they are spelt.
    pub rules: String,
    /// Over the contents of lists and tables.
    pub lists: String,
    /// Over the account registry.
    pub registry: String,
}

/// Reads a pack.
///
/// # Errors
/// Where the directory or the registry cannot be read at all. What is wrong inside the files is in [`Pack::diagnostics`].
pub fn load(options: &PackOptions<'_>) -> Result<Pack, PackError> {
    let read = sources::read_sources(options.rules)?;
    let compiled = compile::compile_as_of(&read.map, options.as_of);
    let mut diagnostics = read.diagnostics;
    diagnostics.extend(compiled.diagnostics);
    let mut pack = Pack {
        sources: read.map,
        paths: read.paths,
        files: compiled.files,
        diagnostics: Vec::new(),
        rules: None,
        pins: PackPins::default(),
    };
    let program = compiled.program;
    let data = reference::load(&program, &pack.paths, options, &mut diagnostics)?;
    pack.pins = pins(&program, &data);
    if !has_errors(&diagnostics) {
        match RuleSet::new(program, data) {
            Ok(rules) => pack.rules = Some(Arc::new(rules)),
            Err(more) => diagnostics.extend(more),
        }
    }
    sort(&mut diagnostics);
    pack.diagnostics = diagnostics;
    Ok(pack)
}

fn pins(program: &Program, data: &ReferenceData) -> PackPins {
    let mut rules = Sha256::new();
    for rule in &program.rules {
        part(&mut rules, &crate::hir::rule_hash(program, rule));
    }
    for policy in &program.policies {
        part(&mut rules, &policy.name);
        part(&mut rules, &policy.version);
        for c in &policy.clauses {
            part(&mut rules, &format!("{} {} {} {:?} {:?} {}", c.name, c.permits, c.section, c.from, c.until, c.says));
        }
    }
    let mut lists = Sha256::new();
    for (list, contents) in program.lists.iter().zip(&data.lists) {
        part(&mut lists, &list.name);
        part(&mut lists, &hex::encode(contents.hash()));
    }
    for (table, contents) in program.tables.iter().zip(&data.tables).skip(1) {
        part(&mut lists, &table.name);
        part(&mut lists, &hex::encode(contents.hash()));
    }
    let registry = data.tables.first().map_or_else(String::new, |t| hex::encode(t.hash()));
    PackPins { rules: hex::encode(rules.finalize()), lists: hex::encode(lists.finalize()), registry }
}

/// A length before each part, so that no two sequences of parts hash alike.
fn part(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}
