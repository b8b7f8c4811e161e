//! What decisions are given from, written down beside the log, so that a restart answers as before: the gate's memory with the
//! position of the journal before it was taken. What came behind that position is read again from the journal; the gate
//! knows by their ids what it had counted already.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::eval::Recalled;
use crate::gate::{Gate, GateOptions};
use crate::journal::{self, Position};
use crate::plan::RuleSet;
use crate::runtime::live::is_entry;
use crate::store::sync_name;

/// First bytes of the file.
const MAGIC: &[u8; 8] = b"FPGATE1\n";

/// The file: that of the log with `.gate` behind.
pub(crate) fn path(db: &Path) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(".gate");
    PathBuf::from(name)
}

/// Writes a gate down. `position` was safe before the gate is asked.
pub(crate) fn write(db: &Path, gate: &Gate, position: &Position) -> io::Result<()> {
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
    let text = position.to_string();
    file.write_all(MAGIC)?;
    file.write_all(&u32::try_from(text.len()).unwrap_or(0).to_be_bytes())?;
    file.write_all(text.as_bytes())?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, &path)?;
    sync_name(&path)
}

/// The gate that was written down, with what the journal holds behind it; one that takes in the whole journal where none was,
/// or where it cannot be used, which is told.
pub(crate) fn read(db: &Path, journal: &Path, rules: &Arc<RuleSet>, options: GateOptions) -> Gate {
    let anew = || (Gate::with(Arc::clone(rules), options.clone()), Position::START);
    let (gate, from) = match restore(db, rules, options.clone()) {
        Ok(restored) => restored.unwrap_or_else(anew),
        Err(why) => {
            tracing::warn!(why, "what decisions were given from is lost; the journal is read instead");
            anew()
        }
    };
    match again(&gate, journal, &from) {
        Ok(n) => tracing::info!(events = n, "taken in again by the gate"),
        Err(why) => tracing::warn!(why, "the gate could not take in again all of the journal"),
    }
    gate
}

fn restore(db: &Path, rules: &Arc<RuleSet>, options: GateOptions) -> Result<Option<(Gate, Position)>, String> {
    let bytes = match std::fs::read(path(db)) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    let cut = || "the saved gate is cut off".to_string();
    let rest = bytes.strip_prefix(MAGIC).ok_or("the saved gate is of another form")?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|e| e.to_string())?;
    let (position, saved) = rest.split_at_checked(length).ok_or_else(cut)?;
    let position = std::str::from_utf8(position).ok().and_then(|text| text.parse().ok()).ok_or_else(cut)?;
    let gate = Gate::restore(Arc::clone(rules), options, saved).map_err(|e| e.to_string())?;
    Ok(Some((gate, position)))
}

/// Takes in what lies behind a position; how many events. What the journal does not keep (texts) is unknown then.
fn again(gate: &Gate, journal: &Path, from: &Position) -> Result<u64, String> {
    let mut tail = journal::tail(journal, from).map_err(|e| e.to_string())?;
    let mut n = 0;
    while let Some(projection) = tail.next_record().map_err(|e| e.to_string())? {
        if is_entry(&projection.record) {
            continue;
        }
        gate.observe(&Recalled::read(&projection.record)?.event);
        n += 1;
    }
    Ok(n)
}
