//! The key under which fingerprints are made, with its epoch. Who has another key cannot compare.

use std::fmt;

use sha2::{Digest, Sha256};

/// A 128-bit key and its epoch. Fingerprints of different keys or epochs never agree. The key itself is never shown:
/// lists, hashes and messages name it by [`FingerprintKey::id`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FingerprintKey {
    secret: [u8; 16],
    epoch: u32,
}

/// Why a text holds no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A line that is neither of the two.
    #[error("line {line} is neither `epoch` nor `key`: write `epoch 1` and `key` with 32 hexadecimal digits")]
    Line {
        /// Which, from 1.
        line: usize,
    },
    /// One of the two lines is missing, or stands twice.
    #[error("there must be one line `{0} …`")]
    Count(&'static str),
}

/// How a list says under which key its fingerprints were made: the beginning of a comment, then the id and the epoch.
pub const NAMED: &str = "# fingerprints under key";

impl Default for FingerprintKey {
    fn default() -> Self {
        FingerprintKey::PUBLIC
    }
}

impl FingerprintKey {
    /// The key that everybody has, epoch 0: for trying out, and for lists that are passed on. Who knows it can test whether
    /// a fingerprint is that of a given text.
    pub const PUBLIC: FingerprintKey = FingerprintKey { secret: *b"fineprint public", epoch: 0 };

    /// A key of one's own; the epoch is a number that grows when the key is changed.
    pub const fn new(secret: [u8; 16], epoch: u32) -> Self {
        FingerprintKey { secret, epoch }
    }

    /// Reads a key file: a line `epoch N` and a line `key` with 32 hexadecimal digits; blank lines and `#` comments.
    ///
    /// # Errors
    /// Says which line is wrong, never what stands in it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (mut epochs, mut secrets) = (Vec::new(), Vec::new());
        let lines = (1..).zip(text.lines().map(str::trim));
        for (line, content) in lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
            match content.split_once(char::is_whitespace).map(|(word, value)| (word, value.trim())) {
                Some(("epoch", n)) => epochs.push(n.parse::<u32>().map_err(|_| KeyError::Line { line })?),
                Some(("key", hex)) => secrets.push(bytes(hex).ok_or(KeyError::Line { line })?),
                _ => return Err(KeyError::Line { line }),
            }
        }
        match (epochs.as_slice(), secrets.as_slice()) {
            ([epoch], [secret]) => Ok(FingerprintKey::new(*secret, *epoch)),
            ([_], _) => Err(KeyError::Count("key")),
            _ => Err(KeyError::Count("epoch")),
        }
    }

    /// Which key it is, without telling it: the first 8 bytes of a SHA-256 over key and epoch, in hexadecimal.
    pub fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"fineprint fingerprint key");
        hash.update(self.secret);
        hash.update(self.epoch.to_be_bytes());
        hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
    }

    /// A keyed hash of a value that must not be shown; `what` says of which kind it is, so that values of two kinds never
    /// look alike. Whoever has the key can test whether it is that of a given value.
    pub(crate) fn seal(&self, what: &str, value: &str) -> u64 {
        let mut hash = Sha256::new();
        hash.update(b"fineprint sealed value");
        hash.update(self.secret);
        hash.update(self.epoch.to_be_bytes());
        hash.update((what.len() as u64).to_be_bytes());
        hash.update(what.as_bytes());
        hash.update(value.as_bytes());
        hash.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Its epoch.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The comment by which a list names the key: `# fingerprints under key 0123456789abcdef epoch 0`.
    pub fn named(&self) -> String {
        format!("{NAMED} {} epoch {}", self.id(), self.epoch)
    }

    /// Three numbers from key and epoch, as [`crate::template`] says.
    pub(super) fn derive(&self) -> [u64; 3] {
        let (k0, k1) = halves(self.secret);
        [0, 1, 2].map(|i| siphash(k0, k1, u64::from(self.epoch) * 4 + i))
    }
}

/// Never the key.
impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FingerprintKey({} epoch {})", self.id(), self.epoch)
    }
}

fn bytes(hex: &str) -> Option<[u8; 16]> {
    let good = hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    let number = u128::from_str_radix(hex, 16).ok().filter(|_| good)?;
    Some(number.to_be_bytes())
}

fn halves(secret: [u8; 16]) -> (u64, u64) {
    let both = u128::from_le_bytes(secret);
    (both as u64, (both >> 64) as u64)
}

/// SipHash-2-4 of the 8 bytes of a number, little-endian.
#[inline]
pub(super) fn siphash(k0: u64, k1: u64, m: u64) -> u64 {
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    // The block, then the last one, which holds the length alone.
    for block in [m, 8 << 56] {
        let [_, _, _, v3] = &mut v;
        *v3 ^= block;
        round(&mut v);
        round(&mut v);
        let [v0, ..] = &mut v;
        *v0 ^= block;
    }
    let [_, _, v2, _] = &mut v;
    *v2 ^= 0xff;
    for _ in 0..4 {
        round(&mut v);
    }
    let [a, b, c, d] = v;
    a ^ b ^ c ^ d
}

#[inline]
fn round(v: &mut [u64; 4]) {
    let [mut a, mut b, mut c, mut d] = *v;
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    *v = [a, b, c, d];
}

#[cfg(test)]
mod tests {
    use super::siphash;

    /// The vector for 8 bytes of the reference implementation: key 00 … 0f, message 00 … 07.
    #[test]
    fn siphash_agrees_with_its_reference() {
        let (k0, k1, m) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908, 0x0706_0504_0302_0100);
        assert_eq!(siphash(k0, k1, m), 0x93f5_f579_9a93_2462);
    }
}
