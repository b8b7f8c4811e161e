//! `proofs.jsonl`: that each thing of a bundle is in the log, and that the log grew out of earlier states of itself. One a line:
//!
//! ```text
//! {"seq":N,"kind":WORD,"subject":TEXT,"digest":HEX,"file":NAME,"line":N,"path":[BASE64,…]}
//! {"grown_from":N,"path":[BASE64,…]}
//! ```
//!
//! `digest` is the SHA-256 of that line of that file, without its line break (of a `key` of its subject, and no file is named).
//! The leaf is made of the lines `fineprint entry 1`, seq, kind, subject, digest; `path` leads from it to the root of the
//! checkpoint (RFC 9162, 2.1.3.2), or from the first `grown_from` entries to all (2.1.4.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::manifest::unhex;
use crate::seal::Hash;

/// Most hashes of one proof that is read.
const PATH_MAX: usize = 128;

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// Something is in the log.
    In(Inclusion),
    /// The log grew out of its first entries.
    Grown { from: u64, path: Vec<Hash> },
}

/// That something is in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inclusion {
    pub(super) seq: u64,
    pub(super) kind: String,
    pub(super) subject: String,
    pub(super) digest: Hash,
    /// The file and the line from 1; none for keys.
    pub(super) place: Option<(String, u64)>,
    pub(super) path: Vec<Hash>,
}

impl Inclusion {
    /// The bytes of the leaf.
    pub(super) fn entry(&self) -> Vec<u8> {
        let digest = hex::encode(self.digest);
        format!("fineprint entry 1\n{}\n{}\n{}\n{digest}\n", self.seq, self.kind, self.subject).into_bytes()
    }
}

fn path(of: &[Hash]) -> Vec<String> {
    of.iter().map(|hash| STANDARD.encode(hash)).collect()
}

impl Proof {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Proof::In(p) => {
                let mut out = json!({
                    "seq": p.seq, "kind": p.kind, "subject": p.subject, "digest": hex::encode(p.digest),
                    "file": p.place.as_ref().map(|(file, _)| file), "line": p.place.as_ref().map(|(_, line)| line),
                    "path": path(&p.path),
                });
                if let (Value::Object(out), None) = (&mut out, &p.place) {
                    out.shift_remove("file");
                    out.shift_remove("line");
                }
                out
            }
            Proof::Grown { from, path: of } => json!({ "grown_from": from, "path": path(of) }),
        }
    }

    /// Reads a line; `None` where it is none, or spelled otherwise.
    pub(super) fn parse(line: &str) -> Option<Proof> {
        let json: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| json.get(key)?.as_str();
        let number = |key: &str| json.get(key)?.as_u64();
        let path = json.get("path")?.as_array().filter(|path| path.len() <= PATH_MAX)?;
        let hash = |v: &Value| STANDARD.decode(v.as_str()?).ok()?.try_into().ok();
        let path = path.iter().map(hash).collect::<Option<Vec<Hash>>>()?;
        let proof = match number("grown_from") {
            Some(from) => Proof::Grown { from, path },
            None => Proof::In(Inclusion {
                seq: number("seq")?,
                kind: text("kind")?.to_string(),
                subject: text("subject")?.to_string(),
                digest: unhex(text("digest")?)?,
                place: match json.get("file") {
                    Some(file) => Some((file.as_str()?.to_string(), number("line")?)),
                    None => None,
                },
                path,
            }),
        };
        let written = proof.to_json().to_string();
        (written == line).then_some(proof)
    }
}
