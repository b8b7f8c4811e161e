//! What decisions are given from, written down beside the log, so that a restart answers as before: the gate's memory with the
//! position of the journal before it was taken. What came behind that position is read again from the journal; the gate
//! knows by their ids what it had counted already.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::engine::DECIDE;
use crate::enforce::Table;
use crate::eval::TestNames;
use crate::gate::{Gate, GateOptions};
use crate::journal::Position;
use crate::plan::RuleSet;
use crate::runtime::live::{Library, Written, retell};
use crate::store::sync_name;

/// First bytes of the file.
const MAGIC: &[u8; 8] = b"FPGATE2\n";

/// The file: that of the log with `.gate` behind.
pub(crate) fn path(db: &Path) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(".gate");
    PathBuf::from(name)
}

/// Writes a gate down. `position` was safe before the gate is asked; `written` says whose records stand behind it.
pub(crate) fn write(db: &Path, gate: &Gate, position: &Position, written: &Written) -> io::Result<()> {
    let bytes = gate.snapshot().map_err(io::Error::other)?;
    let path = path(db);
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    let text = serde_json::to_string(&(position.to_string(), written)).map_err(io::Error::other)?;
    file.write_all(MAGIC)?;
    file.write_all(&u32::try_from(text.len()).unwrap_or(0).to_be_bytes())?;
    file.write_all(text.as_bytes())?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, &path)?;
    sync_name(&path)
}

/// Where a gate is restored from, beside what was written down of it.
pub(crate) struct Sources<'s> {
    pub(crate) journal: &'s Path,
    /// Rules that wrote the journal.
    pub(crate) library: &'s dyn Library,
    /// Actions in force.
    pub(crate) table: Table,
}

/// The gate that was written down, with what the journal holds behind it; one that takes in the whole journal where none was,
/// or where it cannot be used, which is told.
pub(crate) fn read(db: &Path, rules: &Arc<RuleSet>, options: GateOptions, sources: Sources<'_>) -> Gate {
    let Sources { journal, library, table } = sources;
    let anew = || (Gate::with(Arc::clone(rules), options.clone()), Position::START, Written::default());
    let (gate, from, written) = match restore(db, rules, options.clone()) {
        Ok(restored) => restored.unwrap_or_else(anew),
        Err(why) => {
            tracing::warn!(why, "what decisions were given from is lost; the journal is read instead");
            anew()
        }
    };
    // What is in force bears on calls that are answered again.
    gate.enforce(|t| *t = table);
    let mut names = Names { rules, known: Vec::new() };
    let again = retell(journal, &from, written, library, options.lateness, &mut |recalled, source, writer| {
        gate.recall(recalled, names.of(writer), source == DECIDE);
    });
    match again {
        Ok(n) => tracing::info!(events = n, "taken in again by the gate"),
        Err(why) => tracing::warn!(%why, "the gate could not take in again all of the journal"),
    }
    gate
}

/// What tests are called in the rules that answer, by the rules that wrote the journal.
struct Names<'r> {
    rules: &'r Arc<RuleSet>,
    known: Vec<(Option<String>, TestNames)>,
}

impl Names<'_> {
    fn of(&mut self, writer: Option<&Arc<RuleSet>>) -> &TestNames {
        let bundle = writer.map(|rules| rules.bundle_hash());
        let at = self.known.iter().position(|(known, _)| known.as_deref() == bundle).unwrap_or_else(|| {
            // Where it is not known who wrote it, nothing is known of texts.
            let names = writer.map_or_else(TestNames::default, |writer| TestNames::between(writer, self.rules));
            self.known.push((bundle.map(str::to_string), names));
            self.known.len() - 1
        });
        static NONE: std::sync::LazyLock<TestNames> = std::sync::LazyLock::new(TestNames::default);
        self.known.get(at).map_or(&NONE, |(_, names)| names)
    }
}

fn restore(db: &Path, rules: &Arc<RuleSet>, options: GateOptions) -> Result<Option<(Gate, Position, Written)>, String> {
    let bytes = match std::fs::read(path(db)) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    let cut = || "the saved gate is cut off".to_string();
    let rest = bytes.strip_prefix(MAGIC).ok_or("the saved gate is of another form")?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|e| e.to_string())?;
    let (told, saved) = rest.split_at_checked(length).ok_or_else(cut)?;
    let (position, written): (String, Written) = serde_json::from_slice(told).map_err(|_| cut())?;
    let position = position.parse().map_err(|_| cut())?;
    let gate = Gate::restore(Arc::clone(rules), options, saved).map_err(|e| e.to_string())?;
    Ok(Some((gate, position, written)))
}
