//! An account in the packs that are kept beside a log: its rows in lists, tables and the registry go. A pack whose rows went says
//! so in a file of its own, with the hashes of its files, and is known by its old hash all the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// In a kept pack of which rows were erased: the SHA-256 of each of its files.
const MARK: &str = "erased.json";
/// Behind the name of a file, while it is prepared.
const PREPARED: &str = "erased";

type Failed = (PathBuf, io::Error);

fn at(path: &Path) -> impl FnOnce(io::Error) -> Failed {
    let path = path.to_owned();
    move |e| (path, e)
}

/// Writes files without the rows that name an account beside those they replace, where `dry` is not set; how many rows, and the
/// rule files that name it.
pub(crate) fn erase_from_packs(packs: &Path, account: &str, dry: bool) -> Result<(u64, Vec<PathBuf>), Failed> {
    finish_packs(packs, false)?;
    let (mut rows, mut rule_files) = (0, Vec::new());
    for file in files(packs)? {
        if file.file_name().is_some_and(|name| name == MARK) {
            continue;
        }
        let bytes = fs::read(&file).map_err(at(&file))?;
        if file.extension().is_some_and(|e| e == "tos") {
            let text = String::from_utf8_lossy(&bytes);
            if crate::violation::renamed(&text, account, "").is_some() {
                rule_files.push(file);
            }
            continue;
        }
        let (left, gone) = without(&bytes, account);
        rows += gone;
        if gone > 0 && !dry {
            let prepared = prepared(&file);
            let mut out = File::create(&prepared).map_err(at(&prepared))?;
            out.write_all(&left).and_then(|()| out.sync_all()).map_err(at(&prepared))?;
        }
    }
    Ok((rows, rule_files))
}

/// Puts in place what was prepared, or forgets it. Harmless where that was done already.
pub(crate) fn finish_packs(packs: &Path, keep: bool) -> Result<(), Failed> {
    for file in files(packs)?.into_iter().filter(|f| f.extension().is_some_and(|e| e == PREPARED)) {
        let Some(place) = file.to_str().and_then(|f| f.strip_suffix(&format!(".{PREPARED}"))).map(PathBuf::from) else {
            continue;
        };
        if keep {
            // An empty mark first: a kill between here and the whole one is seen.
            if let Some(mark) = pack_of(packs, &place).map(|pack| pack.join(MARK)) {
                File::create(&mark).and_then(|file| file.sync_all()).map_err(at(&mark))?;
            }
            fs::rename(&file, &place).map_err(at(&place))?;
        } else {
            fs::remove_file(&file).map_err(at(&file))?;
        }
    }
    let is_begun = |pack: &PathBuf| pack.join(MARK).metadata().is_ok_and(|mark| mark.len() == 0);
    for pack in directories(packs)?.into_iter().filter(|pack| keep && is_begun(pack)) {
        mark(&pack)?;
    }
    Ok(())
}

/// Whether a pack is what an erasure left of it: each file as its mark says, and none beside.
pub(super) fn is_as_erased(pack: &Path) -> bool {
    let Ok(text) = fs::read_to_string(pack.join(MARK)) else { return false };
    let said: Result<BTreeMap<String, String>, _> = serde_json::from_str(&text);
    said.is_ok_and(|said| hashes(pack).is_ok_and(|found| found == said))
}

fn mark(pack: &Path) -> Result<(), Failed> {
    let hashes = hashes(pack)?;
    let path = pack.join(MARK);
    let new = pack.join(format!("{MARK}.new"));
    let text = Value::from_iter(hashes).to_string();
    let mut file = File::create(&new).map_err(at(&new))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(at(&new))?;
    fs::rename(&new, &path).map_err(at(&path))
}

fn hashes(pack: &Path) -> Result<BTreeMap<String, String>, Failed> {
    let mut hashes = BTreeMap::new();
    for file in files(pack)? {
        let name = file.strip_prefix(pack).unwrap_or(&file).display().to_string();
        if !name.starts_with(MARK) {
            let digest = Sha256::digest(fs::read(&file).map_err(at(&file))?);
            hashes.insert(name, hex::encode(digest));
        }
    }
    Ok(hashes)
}

/// The directory of a pack that a file belongs to.
fn pack_of(packs: &Path, file: &Path) -> Option<PathBuf> {
    let pack = file.strip_prefix(packs).ok()?.components().next()?;
    Some(packs.join(pack))
}

fn prepared(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{PREPARED}"));
    PathBuf::from(name)
}

fn directories(dir: &Path) -> Result<Vec<PathBuf>, Failed> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err((dir.to_owned(), e)),
    };
    let paths = entries.map(|entry| Ok(entry.map_err(at(dir))?.path())).collect::<Result<Vec<_>, Failed>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}

/// All files under a directory, in order; none where there is no such.
fn files(dir: &Path) -> Result<Vec<PathBuf>, Failed> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err((dir.to_owned(), e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(at(dir))?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}

/// A list, table or registry without the rows that say exactly the account; how many went. JSON lines by their values, others by
/// the cells of CSV, of which a plain list has one a line.
fn without(bytes: &[u8], account: &str) -> (Vec<u8>, u64) {
    if memchr::memmem::find(bytes, account.as_bytes()).is_none() {
        return (bytes.to_vec(), 0);
    }
    let (mut left, mut gone) = (Vec::with_capacity(bytes.len()), 0);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let says = match serde_json::from_slice::<Value>(line) {
            Ok(value) if value.is_object() => says(&value, account),
            _ => csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .trim(csv::Trim::All)
                .from_reader(line)
                .byte_records()
                .flatten()
                .any(|row| row.iter().any(|cell| cell == account.as_bytes())),
        };
        if says {
            gone += 1;
        } else {
            left.extend_from_slice(line);
        }
    }
    (left, gone)
}

fn says(value: &Value, account: &str) -> bool {
    match value {
        Value::String(text) => text == account,
        Value::Array(items) => items.iter().any(|item| says(item, account)),
        Value::Object(parts) => parts.values().any(|part| says(part, account)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::without;

    #[test]
    fn rows_of_an_account_go_and_others_stay() {
        for (file, left, gone) in [
            ("account,who\na-1,x\n\"a-1\",y\na-11,z\n", "account,who\na-11,z\n", 2),
            ("a-1\na-2\n# a-1 in words\n", "a-2\n# a-1 in words\n", 1),
            (
                "{\"account\":\"a-1\",\"plan\":\"p\"}\n{\"account\":\"a-2\",\"note\":\"a-1 x\"}\n",
                "{\"account\":\"a-2\",\"note\":\"a-1 x\"}\n",
                1,
            ),
            ("nothing\n", "nothing\n", 0),
        ] {
            assert_eq!(without(file.as_bytes(), "a-1"), (left.as_bytes().to_vec(), gone), "{file}");
        }
    }
}
