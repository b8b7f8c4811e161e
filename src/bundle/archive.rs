//! The zip of a bundle: one way to write it, and a reader that takes no other. Every byte of the file belongs to the content of a
//! named file or is the only one that may stand there, so that none can be altered unnoticed. Ordinary programs open it.
//!
//! Local headers and contents without gaps from the first byte, the directory, the end record; no comments, no extra fields, no
//! times (1980-01-01), no zip64, no encryption. Contents are deflated, or stored where that is not shorter.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::ops::Range;

use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;

/// Most files of a bundle.
pub const FILES_MAX: usize = 20_000;
/// Most bytes of one file of a bundle.
pub const FILE_BYTES_MAX: u64 = 128 << 20;
/// Most bytes of all files of a bundle together.
pub const TOTAL_BYTES_MAX: u64 = 256 << 20;
/// Most bytes of the name of a file.
pub const NAME_BYTES_MAX: usize = 200;

const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;
/// 1980-01-01, the first day that the format knows.
const DATE: u16 = 0x21;

/// What the headers of a file say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    name: String,
    is_deflated: bool,
    crc: u32,
    packed: u32,
    size: u32,
}

impl Header {
    /// What local header and directory have in common, from the version on.
    fn common(&self, out: &mut Vec<u8>) {
        let method = if self.is_deflated { 8u16 } else { 0 };
        [20, 0, method, 0, DATE].iter().for_each(|n: &u16| out.extend(n.to_le_bytes()));
        [self.crc, self.packed, self.size].iter().for_each(|n| out.extend(n.to_le_bytes()));
        out.extend((self.name.len() as u16).to_le_bytes());
        out.extend([0, 0]);
    }

    fn local(&self) -> Vec<u8> {
        let mut out = b"PK\x03\x04".to_vec();
        self.common(&mut out);
        out.extend(self.name.as_bytes());
        out
    }

    fn central(&self, offset: u32) -> Vec<u8> {
        let mut out = b"PK\x01\x02\x14\x00".to_vec();
        self.common(&mut out);
        out.extend([0; 10]);
        out.extend(offset.to_le_bytes());
        out.extend(self.name.as_bytes());
        out
    }
}

/// A file that is written: its content, and its bytes as they stand in the zip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packed {
    header: Header,
    bytes: Vec<u8>,
}

/// Why a bundle cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// A file that is too long.
    #[error("`{0}` would have more than {FILE_BYTES_MAX} bytes; choose fewer violations")]
    File(String),
    /// All together.
    #[error("the bundle would have more than {FILES_MAX} files or {TOTAL_BYTES_MAX} bytes; choose fewer violations")]
    Total,
}

impl Packed {
    /// Packs a file.
    ///
    /// # Errors
    /// Content beyond [`FILE_BYTES_MAX`].
    pub(super) fn new(name: &str, content: &[u8]) -> Result<Packed, TooMuch> {
        let too_much = || TooMuch::File(name.to_string());
        if content.len() as u64 > FILE_BYTES_MAX || !is_name(name) {
            return Err(too_much());
        }
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::new(6));
        let deflated = deflate.write_all(content).and_then(|()| deflate.finish()).map_err(|_| too_much())?;
        let is_deflated = deflated.len() < content.len();
        let bytes = if is_deflated { deflated } else { content.to_vec() };
        let header = Header {
            name: name.to_string(),
            is_deflated,
            crc: crc(content),
            packed: bytes.len() as u32,
            size: content.len() as u32,
        };
        Ok(Packed { header, bytes })
    }

    /// As it is: no hash is over the deflated form of the manifest, which may have bits that mean nothing.
    ///
    /// # Errors
    /// As [`Packed::new`].
    pub(super) fn stored(name: &str, content: &[u8]) -> Result<Packed, TooMuch> {
        let mut packed = Packed::new(name, content)?;
        packed.bytes = content.to_vec();
        (packed.header.is_deflated, packed.header.packed) = (false, packed.header.size);
        Ok(packed)
    }

    /// Its bytes in the zip.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn crc(content: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    crc.sum()
}

/// The zip of files, in their order.
///
/// # Errors
/// More than the bounds.
pub(super) fn write(files: &[Packed]) -> Result<Vec<u8>, TooMuch> {
    let total: u64 = files.iter().map(|f| u64::from(f.header.size)).sum();
    if files.len() > FILES_MAX || total > TOTAL_BYTES_MAX {
        return Err(TooMuch::Total);
    }
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for file in files {
        directory.extend(file.header.central(out.len() as u32));
        out.extend(file.header.local());
        out.extend(&file.bytes);
    }
    let end = end(files.len(), directory.len(), out.len());
    out.extend(directory);
    out.extend(end);
    Ok(out)
}

fn end(files: usize, directory: usize, offset: usize) -> Vec<u8> {
    let mut out = b"PK\x05\x06\0\0\0\0".to_vec();
    let files = (files as u16).to_le_bytes();
    out.extend(files);
    out.extend(files);
    out.extend((directory as u32).to_le_bytes());
    out.extend((offset as u32).to_le_bytes());
    out.extend([0, 0]);
    out
}

/// Parts of letters, digits, `.`, `_` and `-`, none of dots alone, parted by `/`: nothing that leads out of a directory.
fn is_name(name: &str) -> bool {
    let fits = |part: &str| {
        let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        plain && !part.is_empty() && part.bytes().any(|b| b != b'.')
    };
    name.len() <= NAME_BYTES_MAX && name.split('/').all(fits)
}

/// A file as it lies in a zip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    header: Header,
    /// Its bytes in the zip.
    pub(super) packed: &'a [u8],
}

/// What a zip holds, and what of its structure is not as in a bundle: where, and what.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Archive<'a> {
    /// The files that can be reached.
    pub(super) entries: Vec<Entry<'a>>,
    /// What is wrong: name of the file or `the zip`, and what was found.
    pub(super) wrong: Vec<(String, String)>,
}

impl Entry<'_> {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.header.name
    }

    /// Whether its content stands as it is.
    pub(super) fn is_stored(&self) -> bool {
        !self.header.is_deflated
    }

    /// How long its content says to be.
    pub(super) fn size(&self) -> u64 {
        u64::from(self.header.size)
    }

    /// Its content.
    ///
    /// # Errors
    /// A text, where it is longer than it says or than [`FILE_BYTES_MAX`], cannot be inflated, or is not that of its checksum.
    pub(super) fn content(&self) -> Result<Vec<u8>, String> {
        if self.size() > FILE_BYTES_MAX {
            return Err(format!("says to have {} bytes; a file has at most {FILE_BYTES_MAX}", self.size()));
        }
        let content = match self.header.is_deflated {
            false => self.packed.to_vec(),
            true => {
                let mut inflate = DeflateDecoder::new(self.packed);
                let mut content = Vec::new();
                let read = inflate.by_ref().take(self.size() + 1).read_to_end(&mut content);
                read.map_err(|e| format!("cannot be inflated: {e}"))?;
                if content.len() as u64 > self.size() {
                    return Err(format!("inflates to more than the {} bytes that it says", self.size()));
                }
                if inflate.total_in() != self.packed.len() as u64 {
                    return Err("has bytes behind its deflated content".to_string());
                }
                content
            }
        };
        if content.len() as u64 != self.size() {
            return Err(format!("has {} bytes, and says {}", content.len(), self.size()));
        }
        match crc(&content) == self.header.crc {
            true => Ok(content),
            false => Err("is not the content of its checksum: bytes of it were altered".to_string()),
        }
    }
}

/// Reads the structure of a zip, strictly.
pub(super) fn read(zip: &[u8]) -> Archive<'_> {
    let mut archive = Archive::default();
    if let Err((what, found)) = archive.fill(zip) {
        archive.wrong.push((what, found));
    }
    archive
}

type Wrong = (String, String);

fn wrong(found: impl Into<String>) -> Wrong {
    ("the zip".to_string(), found.into())
}

impl<'a> Archive<'a> {
    fn fill(&mut self, zip: &'a [u8]) -> Result<(), Wrong> {
        let at = zip.len().checked_sub(END_BYTES).ok_or_else(|| wrong("is shorter than an empty one"))?;
        let last = zip.get(at..).unwrap_or_default();
        let (files, directory, offset) = (le16(last, 10), le32(last, 12), le32(last, 16));
        if last != end(files, directory, offset) || offset.checked_add(directory) != Some(at) {
            return Err(wrong(format!(
                "its end record (bytes {at} to {}) is not that of a bundle: it was altered, cut off, or something was put \
                 before or behind it",
                zip.len()
            )));
        }
        if files > FILES_MAX {
            return Err(wrong(format!("has {files} files; a bundle has at most {FILES_MAX}")));
        }
        let (mut place, mut next, mut total) = (offset, 0usize, 0u64);
        let mut names = BTreeSet::new();
        for n in 0..files {
            let header = self.entry(zip, &mut place, at, n, next)?;
            let name = header.name.clone();
            if !names.insert(name.clone()) {
                self.wrong.push((name.clone(), "is there twice".to_string()));
            }
            let local = header.local();
            let start = next.saturating_add(local.len());
            let range: Range<usize> = start..start.saturating_add(header.packed as usize);
            if zip.get(next..start) != Some(local.as_slice()) {
                let found = format!("its header (bytes {next} to {start}) is not that of its place in the directory");
                self.wrong.push((name.clone(), found));
            }
            next = range.end;
            let packed = zip.get(range).filter(|_| next <= offset);
            let Some(packed) = packed else {
                return Err((name, "reaches beyond the files of the zip: its length was altered".to_string()));
            };
            total = total.saturating_add(u64::from(header.size));
            self.entries.push(Entry { header, packed });
            if total > TOTAL_BYTES_MAX {
                self.entries.clear();
                return Err((
                    name,
                    format!("its files say to have more than {TOTAL_BYTES_MAX} bytes; they are not inflated"),
                ));
            }
        }
        if next != offset {
            return Err(wrong(format!("bytes {next} to {offset} belong to no file")));
        }
        if place != at {
            return Err(wrong(format!("bytes {place} to {at} belong to no entry of the directory")));
        }
        Ok(())
    }

    /// The entry of the directory at a place, and the place behind it.
    fn entry(&mut self, zip: &[u8], place: &mut usize, end: usize, n: usize, next: usize) -> Result<Header, Wrong> {
        let behind = || match self.entries.last() {
            Some(entry) => format!("behind that of `{}`", entry.name()),
            None => "the first".to_string(),
        };
        let from = *place;
        let unread = |why: &str| {
            wrong(format!("its directory cannot be read from entry {n} (byte {from}, {}): {why}", behind()))
        };
        let fixed = from.checked_add(CENTRAL_BYTES).filter(|to| *to <= end).and_then(|to| zip.get(from..to));
        let fixed = fixed.ok_or_else(|| unread("it is cut off"))?;
        let to = from.saturating_add(CENTRAL_BYTES).saturating_add(le16(fixed, 28));
        let name = zip.get(from.saturating_add(CENTRAL_BYTES)..to).filter(|_| to <= end);
        let name = name.and_then(|name| std::str::from_utf8(name).ok()).filter(|name| is_name(name));
        let name = name.ok_or_else(|| unread("the name of the file is none that a bundle has, or leads elsewhere"))?;
        let header = Header {
            name: name.to_string(),
            is_deflated: le16(fixed, 10) == 8,
            crc: le32(fixed, 16) as u32,
            packed: le32(fixed, 20) as u32,
            size: le32(fixed, 24) as u32,
        };
        if zip.get(from..to) != Some(header.central(next as u32).as_slice()) {
            self.wrong
                .push((name.to_string(), format!("its entry in the directory (bytes {from} to {to}) was altered")));
        }
        *place = to;
        Ok(header)
    }
}

fn le16(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| usize::from(u16::from_le_bytes(*b)))
}

fn le32(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b) as usize)
}
