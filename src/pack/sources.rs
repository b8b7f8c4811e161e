//! Rule files on disk as a source map.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;
use crate::source::{SourceId, SourceMap};
use crate::syntax::{FILE_BYTES_MAX, decode};

/// Most rule files of a pack.
pub const FILES_MAX: usize = 10_000;
/// All rule files together, in bytes.
pub const TOTAL_BYTES_MAX: u64 = 256 << 20;
/// Deepest directory below the one that is named.
pub const DEPTH_MAX: u64 = 32;

/// Why a pack could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The path is not there, or may not be read.
    #[error("cannot read `{path}`: {source}")]
    Io {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing to read.
    #[error("there is no rule file in `{0}`: rule files end in `.tos`")]
    NoRules(PathBuf),
    /// More than can be taken in.
    #[error("`{path}` holds more than {most} {what}")]
    TooMuch {
        /// Which directory.
        path: PathBuf,
        /// The bound.
        most: u64,
        /// Of what.
        what: &'static str,
    },
    /// The account registry cannot be used.
    #[error("the account registry `{path}` cannot be used: {why}")]
    Registry {
        /// Which file.
        path: PathBuf,
        /// Why, with the line.
        why: String,
    },
}

/// Rule files that were read.
#[derive(Debug)]
pub struct Sources {
    /// Their texts.
    pub map: SourceMap,
    /// Their paths, by the index of the source id.
    pub paths: Vec<PathBuf>,
    /// What was wrong with them as files.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads all `.tos` files below a directory in the order of their names, or one file. A file that is no text gets a
/// diagnostic and counts as empty.
///
/// # Errors
/// Where the path cannot be read, holds no rule file, or holds too much.
pub fn read_sources(path: &Path) -> Result<Sources, PackError> {
    let files = list(path)?;
    let mut sources = Sources { map: SourceMap::default(), paths: Vec::new(), diagnostics: Vec::new() };
    let mut total = 0u64;
    for file in files {
        let bytes = read(&file)?;
        total = total.saturating_add(bytes.len() as u64);
        if total > TOTAL_BYTES_MAX {
            return Err(PackError::TooMuch {
                path: path.to_owned(),
                most: TOTAL_BYTES_MAX,
                what: "bytes of rule files",
            });
        }
        add(&mut sources, file, &bytes);
    }
    Ok(sources)
}

fn list(path: &Path) -> Result<Vec<PathBuf>, PackError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PackError::Io { path, source }
    };
    if fs::metadata(path).map_err(failed(path))?.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut open = vec![(path.to_owned(), 0)];
    while let Some((directory, depth)) = open.pop() {
        for entry in fs::read_dir(&directory).map_err(failed(&directory))? {
            let entry = entry.map_err(failed(&directory))?;
            let path = entry.path();
            // Links to directories are not followed, so that a circle cannot hold us.
            let kind = entry.file_type().map_err(failed(&path))?;
            if kind.is_dir() {
                if depth >= DEPTH_MAX {
                    return Err(PackError::TooMuch { path: directory, most: DEPTH_MAX, what: "levels of directories" });
                }
                open.push((path, depth + 1));
            } else if !kind.is_dir() && path.extension().is_some_and(|e| e == "tos") {
                found.push(path);
            }
            if found.len() > FILES_MAX {
                return Err(PackError::TooMuch { path: directory, most: FILES_MAX as u64, what: "rule files" });
            }
        }
    }
    if found.is_empty() {
        return Err(PackError::NoRules(path.to_owned()));
    }
    found.sort();
    Ok(found)
}

/// One byte more than the limit at most: that is enough to know that it is too large.
fn read(path: &Path) -> Result<Vec<u8>, PackError> {
    let failed = |source| PackError::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let most = FILE_BYTES_MAX as u64 + 1;
    fs::File::open(path).map_err(failed)?.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn add(sources: &mut Sources, path: PathBuf, bytes: &[u8]) {
    let name = path.to_string_lossy().into_owned();
    let next = SourceId(u32::try_from(sources.paths.len()).unwrap_or(u32::MAX));
    sources.paths.push(path);
    match decode(next, bytes) {
        Ok(text) => sources.map.add(name, text),
        Err(mistake) => {
            sources.diagnostics.push(*mistake);
            sources.map.add(name, "")
        }
    };
}
