//! Pseudonyms: the same within a bundle, and nothing in another.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Gives pseudonyms under the key of one bundle.
#[derive(Clone)]
pub(super) struct Names {
    key: [u8; 32],
}

impl Names {
    pub(super) fn new(key: [u8; 32]) -> Names {
        Names { key }
    }

    /// `PREFIX-` and 16 hex digits of HMAC-SHA-256 over prefix and name.
    fn of(&self, prefix: &str, name: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return format!("{prefix}-") };
        mac.update(prefix.as_bytes());
        mac.update(b"\0");
        mac.update(name.as_bytes());
        let digest = hex::encode(mac.finalize().into_bytes());
        format!("{prefix}-{}", digest.chars().take(16).collect::<String>())
    }

    /// Whoever or whatever ties: an account has one name, wherever it stands.
    pub(super) fn value(&self, name: &str) -> String {
        self.of("p", name)
    }

    pub(super) fn event(&self, id: &str) -> String {
        self.of("e", id)
    }

    pub(super) fn violation(&self, id: &str) -> String {
        self.of("v", id)
    }

    pub(super) fn action(&self, id: &str) -> String {
        self.of("a", id)
    }
}
