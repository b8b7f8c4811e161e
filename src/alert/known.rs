//! Which violations were told to which target, so that each is told once.

use std::collections::{HashSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_128;

/// How many alerts are remembered, the newest of all; of 16 bytes each, twice.
pub const REMEMBERED_MAX: usize = 100_000;

#[derive(Debug, Default)]
struct Inner {
    told: HashSet<u128>,
    order: VecDeque<u128>,
}

/// What was told. Cheap to clone: all clones are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    inner: Arc<Mutex<Inner>>,
    /// Apart, so that who sends never waits for the disk.
    file: Arc<Mutex<Option<File>>>,
}

impl Known {
    /// With a file, what it says is known; it is cut down to what is remembered.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Known> {
        let known = Known::default();
        let Some(path) = path else { return Ok(known) };
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let mut inner = lock(&known.inner);
        match File::open(path) {
            Ok(file) => {
                for line in BufReader::new(file).lines() {
                    // A line that a crash cut off is no key: that alert is told again.
                    if let Ok(key) = u128::from_str_radix(line.map_err(named)?.trim(), 16) {
                        inner.insert(key);
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(error)),
        }
        let kept: String = inner.order.iter().map(|key| format!("{key:032x}\n")).collect();
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = Path::new(&beside);
        std::fs::write(beside, kept).and_then(|()| std::fs::rename(beside, path)).map_err(named)?;
        drop(inner);
        *lock(&known.file) = Some(OpenOptions::new().append(true).open(path).map_err(named)?);
        Ok(known)
    }

    pub(super) fn key(violation: &str, channel: &str, target: &str) -> u128 {
        xxh3_128(format!("{violation}\n{channel}\n{target}").as_bytes())
    }

    /// Takes note that it is being told; `false` where it was told before.
    pub(super) fn begin(&self, key: u128) -> bool {
        lock(&self.inner).insert(key)
    }

    /// It was not told after all.
    pub(super) fn forget(&self, key: u128) {
        let mut inner = lock(&self.inner);
        inner.told.remove(&key);
        // The last ones were put in just now.
        if let Some(at) = inner.order.iter().rposition(|k| *k == key) {
            inner.order.remove(at);
        }
    }

    /// It was told, or is in the file of dead letters: remembered beyond this process.
    pub(super) fn keep(&self, key: u128) -> io::Result<()> {
        match &mut *lock(&self.file) {
            Some(file) => writeln!(file, "{key:032x}"),
            None => Ok(()),
        }
    }
}

/// Whoever panicked here left values that are still what they are.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn insert(&mut self, key: u128) -> bool {
        if !self.told.insert(key) {
            return false;
        }
        self.order.push_back(key);
        while self.order.len() > REMEMBERED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.told.remove(&oldest);
            }
        }
        true
    }
}
