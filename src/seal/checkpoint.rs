//! Checkpoints (C2SP `tlog-checkpoint`): what a log says of itself at one moment.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::merkle::Hash;
use super::note::{BadNote, Note};

/// Size and root of a log. Lines behind the third are extensions; the first of ours is the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: unique for all time.
    pub origin: String,
    /// Entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// Further lines, as they stand.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// As a note to be signed.
    ///
    /// # Errors
    /// An origin or extension that is empty or holds control characters.
    pub fn to_note(&self) -> Result<Note, BadNote> {
        if self.origin.is_empty() || self.extensions.iter().any(String::is_empty) {
            return Err(BadNote::Form);
        }
        let lines = std::iter::once(&self.origin).chain(&self.extensions);
        if lines.flat_map(|line| line.chars()).any(char::is_control) {
            return Err(BadNote::Control);
        }
        let mut text = format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root));
        for line in &self.extensions {
            text.push_str(line);
            text.push('\n');
        }
        Note::new(text)
    }

    /// Reads the text of a note; signatures are the caller's to check. `None` where it is no checkpoint.
    pub fn of(note: &Note) -> Option<Checkpoint> {
        let mut lines = note.text().strip_suffix('\n')?.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty())?.to_string();
        let size = lines.next()?;
        // One spelling of each number.
        let size = size.parse().ok().filter(|n: &u64| n.to_string() == size)?;
        let root = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        let extensions: Vec<String> = lines.map(str::to_string).collect();
        (!extensions.iter().any(String::is_empty)).then_some(Checkpoint { origin, size, root, extensions })
    }
}
