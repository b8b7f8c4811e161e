//! Keys of signed notes: Ed25519, named, and told apart by four bytes of a hash.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::note::is_name;

/// What a key signs, by the byte of `signed-note`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    /// The text: Ed25519.
    Text = 1,
    /// The text and the moment at which a witness saw it: Ed25519, as C2SP `tlog-cosignature` has it.
    Cosignature = 4,
}

impl Algorithm {
    fn of(byte: u8) -> Option<Algorithm> {
        [Algorithm::Text, Algorithm::Cosignature].into_iter().find(|a| *a as u8 == byte)
    }
}

/// Why something is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// A name that is empty or holds spaces or `+`.
    #[error("`{0}` is no name of a key: it must not be empty, nor hold spaces or `+`")]
    Name(String),
    /// Not `name+id+base64`.
    #[error("it is no public key: `name+hash+base64` in one line is expected")]
    Form,
    /// The hash within it is not that of name and key.
    #[error("its hash does not fit: name or key were altered")]
    Hash,
    /// Not `PRIVATE+KEY+name+id+base64`.
    #[error("it is no private key: `PRIVATE+KEY+name+hash+base64` in one line is expected")]
    Private,
}

/// Signs.
#[derive(Clone)]
pub struct Signer {
    key: SigningKey,
    verifier: Verifier,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.verifier.name)
    }
}

impl Signer {
    /// A key from 32 random bytes.
    ///
    /// # Errors
    /// A name that may not be one.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Signer, BadKey> {
        let key = SigningKey::from_bytes(seed);
        let verifier = Verifier::new(name, Algorithm::Text, key.verifying_key())?;
        Ok(Signer { key, verifier })
    }

    /// A key of a witness, which signs with the moment at which it saw a checkpoint.
    ///
    /// # Errors
    /// A name that may not be one.
    pub fn witness(name: &str, seed: &[u8; 32]) -> Result<Signer, BadKey> {
        let key = SigningKey::from_bytes(seed);
        let verifier = Verifier::new(name, Algorithm::Cosignature, key.verifying_key())?;
        Ok(Signer { key, verifier })
    }

    /// Reads what [`Signer::to_secret`] gave.
    ///
    /// # Errors
    /// Where it is none, or altered.
    pub fn from_secret(text: &str) -> Result<Signer, BadKey> {
        let rest = text.trim().strip_prefix("PRIVATE+KEY+").ok_or(BadKey::Private)?;
        let (name, id, algorithm, bytes) = parts(rest).ok_or(BadKey::Private)?;
        let seed: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| BadKey::Private)?;
        let signer = match algorithm {
            Algorithm::Text => Signer::new(name, seed)?,
            Algorithm::Cosignature => Signer::witness(name, seed)?,
        };
        if signer.verifier.key_id() == id { Ok(signer) } else { Err(BadKey::Hash) }
    }

    /// The private key in one line. Whoever has it can sign as this log.
    pub fn to_secret(&self) -> String {
        let mut bytes = vec![self.verifier.algorithm as u8];
        bytes.extend(self.key.to_bytes());
        format!("PRIVATE+KEY+{}+{}+{}", self.verifier.name, hex(self.verifier.key_id()), STANDARD.encode(bytes))
    }

    /// The key that checks what this one signs.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// 32 bytes that nobody can tell from random ones who does not have this key, others for each purpose: HMAC-SHA-256 under
    /// the seed. The purpose begins with its own name, so that no two uses meet.
    pub fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        use hmac::{Hmac, KeyInit as _, Mac as _};
        // A key of any length is taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key.to_bytes()) else { return [0; 32] };
        mac.update(purpose);
        mac.finalize().into_bytes().into()
    }

    /// Signs a text; `now`, in seconds since 1970, is signed with it by a witness alone.
    pub(super) fn sign(&self, text: &[u8], now: u64) -> Vec<u8> {
        use ed25519_dalek::Signer as _;
        match self.verifier.algorithm {
            Algorithm::Text => self.key.sign(text).to_bytes().to_vec(),
            Algorithm::Cosignature => {
                let signature = self.key.sign(&cosigned(text, now)).to_bytes();
                [now.to_be_bytes().as_slice(), &signature].concat()
            }
        }
    }
}

/// Checks signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    algorithm: Algorithm,
    key: VerifyingKey,
}

impl Verifier {
    fn new(name: &str, algorithm: Algorithm, key: VerifyingKey) -> Result<Verifier, BadKey> {
        if !is_name(name) {
            return Err(BadKey::Name(name.to_string()));
        }
        Ok(Verifier { name: name.to_string(), algorithm, key })
    }

    /// Whose key it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What signatures are told apart by: the first four bytes of SHA-256 over name, line break, algorithm and key.
    pub fn key_id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', self.algorithm as u8])
            .chain_update(self.key.as_bytes())
            .finalize();
        hash.first_chunk::<4>().copied().unwrap_or_default()
    }

    /// Whether it is the key of a witness, whose signatures hold the moment at which it saw a text.
    pub fn is_witness(&self) -> bool {
        self.algorithm == Algorithm::Cosignature
    }

    /// Whether a signature over a text is of this key. Strict: no second encoding of a signature holds.
    pub fn holds(&self, text: &[u8], signature: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::Text => self.is_of(text, signature),
            Algorithm::Cosignature => self.cosigned_at(text, signature).is_some(),
        }
    }

    /// When a witness saw a text, in seconds since 1970; `None` where the signature does not hold, or is of no witness.
    pub fn cosigned_at(&self, text: &[u8], signature: &[u8]) -> Option<u64> {
        let (time, signature) = signature.split_first_chunk::<8>().filter(|_| self.is_witness())?;
        let time = u64::from_be_bytes(*time);
        self.is_of(&cosigned(text, time), signature).then_some(time)
    }

    fn is_of(&self, text: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        self.key.verify_strict(text, &signature).is_ok()
    }
}

/// `name+hash+base64`, as files and messages hold it.
impl std::fmt::Display for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = vec![self.algorithm as u8];
        bytes.extend(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex(self.key_id()), STANDARD.encode(bytes))
    }
}

impl std::str::FromStr for Verifier {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, id, algorithm, bytes) = parts(text.trim()).ok_or(BadKey::Form)?;
        let key: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| BadKey::Form)?;
        let verifier = Verifier::new(name, algorithm, VerifyingKey::from_bytes(key).map_err(|_| BadKey::Form)?)?;
        if verifier.key_id() == id { Ok(verifier) } else { Err(BadKey::Hash) }
    }
}

/// What a witness signs.
fn cosigned(text: &[u8], time: u64) -> Vec<u8> {
    [format!("cosignature/v1\ntime {time}\n").as_bytes(), text].concat()
}

/// Name, hash, algorithm and the bytes behind it.
fn parts(text: &str) -> Option<(&str, [u8; 4], Algorithm, Vec<u8>)> {
    let (name, rest) = text.split_once('+')?;
    let (id, encoded) = rest.split_once('+')?;
    let id = (id.len() == 8).then(|| u32::from_str_radix(id, 16).ok()).flatten()?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (algorithm, key) = bytes.split_first()?;
    Some((name, id.to_be_bytes(), Algorithm::of(*algorithm)?, key.to_vec()))
}

fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}
