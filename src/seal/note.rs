//! Signed notes (C2SP `signed-note`): a text, an empty line, and a line for each signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{Signer, Verifier};

/// Most signatures that are read of one note.
pub const SIGNATURES_MAX: usize = 64;

/// A text with its signatures. Signatures of keys that are not known are kept and say nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    name: String,
    key_id: [u8; 4],
    bytes: Vec<u8>,
}

/// Why something is no note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNote {
    /// The text does not end in a line break, or an empty line before the signatures is missing.
    #[error("it is no signed note: text, an empty line and signatures are expected")]
    Form,
    /// A signature line is not `— name base64`.
    #[error("line {0} is no signature: `— name base64` is expected")]
    Signature(usize),
    /// More than [`SIGNATURES_MAX`] signatures.
    #[error("it has more than {SIGNATURES_MAX} signatures")]
    TooMany,
    /// Control characters in the text.
    #[error("the text holds control characters")]
    Control,
}

const DASH: &str = "\u{2014} ";

impl Note {
    /// A note without signatures.
    ///
    /// # Errors
    /// A text that does not end in a line break or holds control characters.
    pub fn new(text: String) -> Result<Note, BadNote> {
        if !text.ends_with('\n') {
            return Err(BadNote::Form);
        }
        if text.chars().any(|c| c != '\n' && c.is_control()) {
            return Err(BadNote::Control);
        }
        Ok(Note { text, signatures: Vec::new() })
    }

    /// Reads a note.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(note: &str) -> Result<Note, BadNote> {
        let end = note.rfind("\n\n").ok_or(BadNote::Form)?;
        let (text, rest) = note.split_at_checked(end + 1).ok_or(BadNote::Form)?;
        let mut read = Note::new(text.to_string())?;
        let lines = rest.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n')).ok_or(BadNote::Form)?;
        let first = text.lines().count() + 2;
        for (i, line) in lines.split('\n').enumerate() {
            if i >= SIGNATURES_MAX {
                return Err(BadNote::TooMany);
            }
            read.signatures.push(signature(line).ok_or(BadNote::Signature(first + i))?);
        }
        Ok(read)
    }

    /// What was signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds a signature.
    pub fn sign(&mut self, signer: &Signer) {
        self.cosign(signer, 0);
    }

    /// Adds a signature; that of a witness holds the moment `now`, in seconds since 1970.
    pub fn cosign(&mut self, signer: &Signer, now: u64) {
        let bytes = signer.sign(self.text.as_bytes(), now);
        let verifier = signer.verifier();
        self.signatures.push(Signature { name: verifier.name().to_string(), key_id: verifier.key_id(), bytes });
    }

    /// Reads a text of notes one behind the other, as a file has them to which each is appended. Empty lines may stand between.
    ///
    /// # Errors
    /// Where one of them is none, or there is none.
    pub fn parse_all(notes: &str) -> Result<Vec<Note>, BadNote> {
        let (mut read, mut one, mut signed) = (Vec::new(), String::new(), false);
        for line in notes.split_inclusive('\n') {
            let is_signature = signed && line.starts_with(DASH);
            if !one.is_empty() && signed && !is_signature {
                read.push(Note::parse(&one)?);
                (one, signed) = (String::new(), false);
            }
            if one.is_empty() && line == "\n" {
                continue;
            }
            signed |= line == "\n";
            one.push_str(line);
        }
        if !one.is_empty() || read.is_empty() {
            read.push(Note::parse(&one)?);
        }
        Ok(read)
    }

    /// Whether a key has signed it, and the signature holds.
    pub fn is_signed_by(&self, verifier: &Verifier) -> bool {
        // One that does not hold is not outweighed by another of the same key.
        let mut of_key = self.of_key(verifier).peekable();
        of_key.peek().is_some() && of_key.all(|s| verifier.holds(self.text.as_bytes(), &s.bytes))
    }

    /// Whether there is a signature that says it is of this key, holding or not.
    pub fn names(&self, verifier: &Verifier) -> bool {
        self.of_key(verifier).next().is_some()
    }

    /// When a witness saw it, in seconds since 1970; `None` where it has not signed, or a signature does not hold.
    pub fn cosigned_at(&self, witness: &Verifier) -> Option<u64> {
        let times = self.of_key(witness).map(|s| witness.cosigned_at(self.text.as_bytes(), &s.bytes));
        times.collect::<Option<Vec<u64>>>()?.into_iter().max()
    }

    fn of_key(&self, verifier: &Verifier) -> impl Iterator<Item = &Signature> {
        let (name, key_id) = (verifier.name().to_string(), verifier.key_id());
        self.signatures.iter().filter(move |s| s.name == name && s.key_id == key_id)
    }

    /// Names of those who signed, as they say themselves.
    pub fn signers(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|s| s.name.as_str())
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.text)?;
        for s in &self.signatures {
            let mut bytes = s.key_id.to_vec();
            bytes.extend(&s.bytes);
            writeln!(f, "{DASH}{} {}", s.name, STANDARD.encode(bytes))?;
        }
        Ok(())
    }
}

fn signature(line: &str) -> Option<Signature> {
    let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
    if !is_name(name) {
        return None;
    }
    let bytes = STANDARD.decode(encoded).ok()?;
    let (key_id, bytes) = bytes.split_first_chunk::<4>()?;
    Some(Signature { name: name.to_string(), key_id: *key_id, bytes: bytes.to_vec() })
}

/// Key names are not empty and hold neither spaces nor plus signs.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}
