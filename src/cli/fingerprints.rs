//! `--fingerprint-key`: the key of template fingerprints, from its file.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::wrong::Wrong;
use crate::template::FingerprintKey;

/// The option, the same in every command that makes or compares fingerprints.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct KeyFile {
    /// The key of template fingerprints: a file with a line `epoch N` and a line `key` with 32 hexadecimal digits; without
    /// it the public key, epoch 0
    #[arg(long, value_name = "FILE")]
    fingerprint_key: Option<PathBuf>,
}

impl KeyFile {
    /// Reads the key. Messages never show it.
    pub(super) fn read(&self) -> anyhow::Result<FingerprintKey> {
        self.fingerprint_key.as_deref().map_or(Ok(FingerprintKey::PUBLIC), KeyFile::at)
    }

    /// Reads the key of a file.
    pub(super) fn at(path: &Path) -> anyhow::Result<FingerprintKey> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        FingerprintKey::parse(&text).map_err(|why| {
            let what = format!("`{}` is no key file: {why}", path.display());
            Wrong::new(what, "write the two lines `epoch 1` and `key …`, such as from `openssl rand -hex 16`").into()
        })
    }
}
