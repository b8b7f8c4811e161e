//! Signatures of webhooks: HMAC-SHA256 over the time of sending, a point and the body. A receiver calls [`verify`], or does
//! the same in its own language; docs/alerts.md says how.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::time::{Duration, SECOND_NS, Timestamp};

/// How old a signature may be when it arrives, for receivers that go by [`verify`].
pub const SIGNATURE_AGE_MAX: Duration = Duration(5 * 60 * SECOND_NS);

/// Why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is missing, or not of the form that it should have.
    #[error("the headers should be `Fineprint-Timestamp: SECONDS` and `Fineprint-Signature: v1=HEX`")]
    Form,
    /// Signed too long ago, or in the future.
    #[error("the signature is older than five minutes, or from the future")]
    Age,
    /// Another key or another body.
    #[error("the signature is not that of the body")]
    Wrong,
}

fn mac(secret: &[u8], seconds: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    // Keys of any length are taken.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(seconds.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

/// The values of `Fineprint-Timestamp` (seconds since 1970) and `Fineprint-Signature` (`v1=` and 64 hexadecimal digits).
pub fn sign(secret: &[u8], now: Timestamp, body: &[u8]) -> (String, String) {
    let seconds = now.0.div_euclid(SECOND_NS).to_string();
    let bytes = mac(secret, &seconds, body).map(|mac| mac.finalize().into_bytes());
    let hex: String = bytes.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
    (seconds, format!("v1={hex}"))
}

/// Whether a body comes from who has the secret, and was sent not long ago. The comparison takes the same time wherever the
/// first difference is.
///
/// # Errors
/// Says which check failed.
pub fn verify(
    secret: &[u8],
    now: Timestamp,
    timestamp: &str,
    signature: &str,
    body: &[u8],
) -> Result<(), SignatureError> {
    let seconds: i64 = timestamp.parse().map_err(|_| SignatureError::Form)?;
    let hex =
        signature.strip_prefix("v1=").filter(|hex| hex.len() == 64 && hex.is_ascii()).ok_or(SignatureError::Form)?;
    let digits: Option<Vec<u8>> = hex.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits.ok_or(SignatureError::Form)?;
    let bytes: Vec<u8> = digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect();
    let age = now.0.div_euclid(SECOND_NS).abs_diff(seconds);
    if age > SIGNATURE_AGE_MAX.0.div_euclid(SECOND_NS).unsigned_abs() {
        return Err(SignatureError::Age);
    }
    let mac = mac(secret, timestamp, body).ok_or(SignatureError::Wrong)?;
    mac.verify_slice(&bytes).map_err(|_| SignatureError::Wrong)
}
