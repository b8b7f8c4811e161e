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
        let bytes = signer.sign(self.text.as_bytes()).to_vec();
        let verifier = signer.verifier();
        self.signatures.push(Signature { name: verifier.name().to_string(), key_id: verifier.key_id(), bytes });
    }

    /// Whether a key has signed it, and the signature holds.
    pub fn is_signed_by(&self, verifier: &Verifier) -> bool {
        let of_key = |s: &&Signature| s.name == verifier.name() && s.key_id == verifier.key_id();
        // One that does not hold is not outweighed by another of the same key.
        let mut of_key = self.signatures.iter().filter(of_key).peekable();
        of_key.peek().is_some() && of_key.all(|s| verifier.holds(self.text.as_bytes(), &s.bytes))
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
