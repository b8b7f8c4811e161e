//! Decompression that ends at a bound.

use std::borrow::Cow;
use std::io::{self, Read};

use super::BodyError;

/// The largest window that a zstd body may ask for, as a power of two in bytes: the memory that one frame takes.
pub const WINDOW_LOG_MAX: u32 = 24;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The bytes of a body without their compression: what `Content-Encoding` names, or what the first bytes show where it names
/// nothing. No text and no OTLP request begins so.
///
/// # Errors
/// An encoding that is not read, damage, or more than `bytes_max` bytes; no more than one byte beyond them is ever made.
pub fn inflate<'b>(bytes: &'b [u8], encoding: Option<&str>, bytes_max: usize) -> Result<Cow<'b, [u8]>, BodyError> {
    let encoding = encoding.unwrap_or_default();
    let named: Vec<String> = encoding
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && name != "identity")
        .collect();
    let gzip = || flate2::read::MultiGzDecoder::new(bytes);
    match named.as_slice() {
        [] if bytes.starts_with(GZIP) => bounded(gzip(), bytes_max),
        [] if bytes.starts_with(ZSTD) => bounded(zstd(bytes)?, bytes_max),
        [] if bytes.len() > bytes_max => Err(BodyError::TooLarge { max: bytes_max }),
        [] => Ok(Cow::Borrowed(bytes)),
        [name] if name == "gzip" || name == "x-gzip" => bounded(gzip(), bytes_max),
        [name] if name == "zstd" => bounded(zstd(bytes)?, bytes_max),
        _ => Err(BodyError::Encoding(encoding.chars().take(40).collect())),
    }
}

fn zstd(bytes: &[u8]) -> Result<impl Read, BodyError> {
    let damaged = |error: io::Error| BodyError::Compression(error.to_string());
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(damaged)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(damaged)?;
    Ok(decoder)
}

fn bounded<'b>(reader: impl Read, bytes_max: usize) -> Result<Cow<'b, [u8]>, BodyError> {
    let mut plain = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    match reader.take(limit).read_to_end(&mut plain) {
        Err(error) => Err(BodyError::Compression(error.to_string())),
        Ok(_) if plain.len() > bytes_max => Err(BodyError::TooLarge { max: bytes_max }),
        Ok(_) => Ok(Cow::Owned(plain)),
    }
}
