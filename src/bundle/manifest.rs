//! `MANIFEST`: what a bundle is, and the hash of each of its files, under the signature of the log's key (C2SP signed note). One
//! `name value` a line:
//!
//! ```text
//! fineprint bundle 1
//! key NAME+HASH+BASE64        the key that signs
//! level WORD                  what is shown
//! case WORDS                  what was asked for, as JSON
//! by JSON-TEXT                who exports, where told
//! reason JSON-TEXT            why, where told
//! size N                      entries under the checkpoint
//! root BASE64                 root over them
//! file SHA256 PACKED BYTES NAME
//! ```
//!
//! `PACKED` is the SHA-256 of the bytes of the file in the zip, so that no other deflated form of the same content passes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::level::Level;
use crate::seal::Hash;

/// Name of the manifest, the first file of a bundle.
pub const MANIFEST: &str = "MANIFEST";
const HEAD: &str = "fineprint bundle 1";

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The key that signs.
    pub(super) key: String,
    /// What is shown.
    pub(super) level: Level,
    /// What was asked for.
    pub(super) case: Value,
    /// Who exports.
    pub(super) by: Option<String>,
    /// Why.
    pub(super) reason: Option<String>,
    /// Entries under the checkpoint.
    pub(super) size: u64,
    /// Root over them.
    pub(super) root: Hash,
    /// All other files, by name.
    pub(super) files: Vec<Listed>,
}

/// A file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its name.
    pub(super) name: String,
    /// SHA-256 of its content.
    pub(super) hash: Hash,
    /// SHA-256 of its bytes in the zip.
    pub(super) packed: Hash,
    /// Bytes of its content.
    pub(super) size: u64,
}

impl Manifest {
    /// The text that is signed.
    pub(super) fn to_text(&self) -> String {
        let mut out = format!("{HEAD}\nkey {}\nlevel {}\ncase {}\n", self.key, self.level.word(), plain(&self.case));
        for (name, told) in [("by", &self.by), ("reason", &self.reason)] {
            if let Some(told) = told {
                out.push_str(&format!("{name} {}\n", plain(&Value::from(told.as_str()))));
            }
        }
        out.push_str(&format!("size {}\nroot {}\n", self.size, STANDARD.encode(self.root)));
        for f in &self.files {
            out.push_str(&format!("file {} {} {} {}\n", hex::encode(f.hash), hex::encode(f.packed), f.size, f.name));
        }
        out
    }

    /// Reads a text.
    ///
    /// # Errors
    /// A text that names the line.
    pub(super) fn parse(text: &str) -> Result<Manifest, String> {
        let mut lines = text.lines().enumerate().peekable();
        match lines.next() {
            Some((_, HEAD)) => {}
            _ => return Err(format!("its first line is not `{HEAD}`")),
        }
        let mut part = |name: &str, is_needed: bool| -> Result<Option<&str>, String> {
            let found = lines.peek().and_then(|(_, line)| line.strip_prefix(name)?.strip_prefix(' '));
            match found {
                Some(value) => {
                    lines.next();
                    Ok(Some(value))
                }
                None if is_needed => {
                    Err(format!("its line {} is not `{name} …`", lines.peek().map_or(0, |(n, _)| n + 1)))
                }
                None => Ok(None),
            }
        };
        let mut needed = |name: &str| part(name, true).map(Option::unwrap_or_default);
        let key = needed("key")?.to_string();
        let level = needed("level")?;
        let level = Level::from_word(level).ok_or_else(|| format!("`{level}` is no level"))?;
        let case = serde_json::from_str(needed("case")?).map_err(|_| "its line `case` is no JSON")?;
        let told = |told: Option<&str>| match told {
            None => Ok(None),
            Some(json) => {
                serde_json::from_str::<String>(json).map(Some).map_err(|_| "who exports, and why, is no JSON")
            }
        };
        let by = told(part("by", false)?)?;
        let reason = told(part("reason", false)?)?;
        let mut needed = |name: &str| part(name, true).map(Option::unwrap_or_default);
        let size = needed("size")?.parse().map_err(|_| "its size is no number")?;
        let root = STANDARD.decode(needed("root")?).ok().and_then(|root| root.try_into().ok());
        let root = root.ok_or("its root is none")?;
        let files = lines.map(|(n, line)| listed(line).ok_or_else(|| format!("its line {} names no file", n + 1)));
        let files = files.collect::<Result<Vec<Listed>, String>>()?;
        let manifest = Manifest { key, level, case, by, reason, size, root, files };
        // One spelling of everything.
        if manifest.to_text() == text { Ok(manifest) } else { Err("it is spelled otherwise".into()) }
    }
}

fn listed(line: &str) -> Option<Listed> {
    let mut words = line.strip_prefix("file ")?.splitn(4, ' ');
    let (hash, packed) = (unhex(words.next()?)?, unhex(words.next()?)?);
    Some(Listed { hash, packed, size: words.next()?.parse().ok()?, name: words.next()?.to_string() })
}

/// JSON on one line without any character that steers.
pub(super) fn plain(json: &Value) -> String {
    let mut out = String::new();
    for c in json.to_string().chars() {
        if super::escape::steers(c) {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// 32 bytes of lower-case hex, in their only spelling.
pub(super) fn unhex(text: &str) -> Option<Hash> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok().filter(|()| !text.bytes().any(|b| b.is_ascii_uppercase()))?;
    Some(bytes)
}
