//! Secrets that must not come back, and where they are looked for: every byte of files and answers, in every form in which a text
//! is easily read again, within compressed parts and the values of databases too.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Row as _, ValueRef as _};

/// Texts of two words that nobody says by chance.
pub struct Canaries {
    pub secrets: Vec<String>,
    needles: Vec<(usize, &'static str, Vec<u8>)>,
    finder: AhoCorasick,
}

/// A secret that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    /// Number of the secret.
    pub secret: usize,
    /// In which form.
    pub form: &'static str,
    /// In what.
    pub place: String,
    /// What stands around it.
    pub around: String,
}

impl Canaries {
    pub fn new(n: usize, seed: u64) -> Canaries {
        let mut x = seed | 1;
        let mut word = || -> String {
            (0..11)
                .map(|_| {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    char::from(b"ABCDEFGHJKMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[(x % 48) as usize])
                })
                .collect()
        };
        let secrets: Vec<String> = (0..n).map(|_| format!("{} {}", word(), word())).collect();
        Canaries::of(secrets)
    }

    /// Looks for these; a word of less than ten characters is looked for with its neighbours alone.
    pub fn of(secrets: Vec<String>) -> Canaries {
        let hex = |text: &str| text.bytes().map(|b| format!("{b:02x}")).collect::<String>();
        let mut needles: Vec<(usize, &'static str, Vec<u8>)> = Vec::new();
        for (i, secret) in secrets.iter().enumerate() {
            let words = secret.split(' ').filter(|word| word.len() >= 10);
            let parts: BTreeSet<&str> = words.chain([secret.as_str()]).collect();
            for part in parts {
                let lower = part.to_lowercase();
                let url: String = part.bytes().map(|b| format!("%{b:02X}")).collect();
                let mut forms: Vec<(&'static str, Vec<u8>)> = vec![
                    ("raw", part.into()),
                    ("lower case", lower.into()),
                    ("hex", hex(part).into()),
                    ("HEX", hex(part).to_uppercase().into()),
                    ("url", url.to_lowercase().into()),
                    ("URL", url.into()),
                    ("reversed", part.chars().rev().collect::<String>().into()),
                    ("utf-16", part.encode_utf16().flat_map(u16::to_le_bytes).collect()),
                ];
                // In base64 a text looks otherwise by where it stands.
                for shift in 0..3 {
                    let text = STANDARD.encode([&b"xyz"[..shift], part.as_bytes()].concat());
                    let from = (shift * 4).div_ceil(3);
                    let whole = text.trim_end_matches('=');
                    forms.push(("base64", whole.as_bytes()[from..whole.len() - 2].to_vec()));
                }
                needles.extend(forms.into_iter().map(|(form, needle)| (i, form, needle)));
            }
        }
        let finder = AhoCorasick::new(needles.iter().map(|(_, _, needle)| needle)).unwrap();
        Canaries { secrets, needles, finder }
    }

    /// What stands in these bytes, and in compressed parts of them.
    pub fn look(&self, place: &str, bytes: &[u8], leaks: &mut BTreeSet<Leak>) {
        for found in self.finder.find_overlapping_iter(bytes).take(50) {
            let (secret, form, _) = &self.needles[found.pattern().as_usize()];
            let (from, to) = (found.start().saturating_sub(60), (found.end() + 30).min(bytes.len()));
            let around = String::from_utf8_lossy(&bytes[from..to]).into_owned();
            leaks.insert(Leak { secret: *secret, form, place: place.to_string(), around });
        }
        for (at, magic) in bytes.windows(4).enumerate() {
            let mut inner = Vec::new();
            let rest = &bytes[at..];
            if magic == [0x28, 0xb5, 0x2f, 0xfd] {
                if let Ok(decoder) = zstd::stream::read::Decoder::new(rest) {
                    // What follows the frame is none of it.
                    let _ = decoder.single_frame().take(64 << 20).read_to_end(&mut inner);
                }
            } else if magic[..3] == [0x1f, 0x8b, 0x08] {
                let _ = flate2::read::GzDecoder::new(rest).take(64 << 20).read_to_end(&mut inner);
            }
            if !inner.is_empty() {
                self.look(&format!("{place} › {at}"), &inner, leaks);
            }
        }
    }

    /// The same for all files under a directory but those that `is_input` names, and for every value of databases among them.
    pub fn look_in(&self, dir: &Path, is_input: &dyn Fn(&Path) -> bool, leaks: &mut BTreeSet<Leak>) -> usize {
        let mut n = 0;
        for file in files(dir) {
            let name = file.strip_prefix(dir).unwrap();
            if is_input(name) {
                continue;
            }
            n += 1;
            let bytes = std::fs::read(&file).unwrap();
            self.look(&name.display().to_string(), &bytes, leaks);
            self.look(&name.display().to_string(), name.as_os_str().as_encoded_bytes(), leaks);
            if bytes.starts_with(b"SQLite format 3\0") {
                values(&file, &mut |place, value| self.look(&format!("{}: {place}", name.display()), value, leaks));
            }
        }
        n
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// Hands out every value of a database: large ones lie in pieces in its file.
fn values(db: &Path, take: &mut dyn FnMut(&str, &[u8])) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut conn = SqliteConnectOptions::new().filename(db).read_only(true).connect().await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema WHERE type = 'table'")
            .fetch_all(&mut conn)
            .await
            .unwrap();
        for table in tables {
            let sql = sqlx::AssertSqlSafe(format!("SELECT * FROM \"{table}\""));
            for row in sqlx::query(sql).fetch_all(&mut conn).await.unwrap() {
                for column in 0..row.len() {
                    if !row.try_get_raw(column).unwrap().is_null() {
                        let value: Vec<u8> = row.try_get_unchecked(column).unwrap();
                        take(&format!("{table}.{column}"), &value);
                    }
                }
            }
        }
    });
}

#[test]
fn what_is_looked_for_is_found_in_each_form() {
    let canaries = Canaries::new(20, 7);
    let secret = &canaries.secrets[3];
    let word = secret.split(' ').next().unwrap();
    let gzip = {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut out, format!("{{\"p\":\"{secret}\"}}").as_bytes()).unwrap();
        out.finish().unwrap()
    };
    let forms = [
        secret.as_bytes().to_vec(),
        word.to_lowercase().into_bytes(),
        word.bytes().map(|b| format!("{b:02x}")).collect::<String>().into_bytes(),
        STANDARD.encode(format!("Basic x{secret}!")).into_bytes(),
        word.bytes().map(|b| format!("%{b:02x}")).collect::<String>().into_bytes(),
        zstd::bulk::compress(secret.as_bytes(), 1).unwrap(),
        gzip.clone(),
        zstd::bulk::compress(&[b"head".as_slice(), &gzip, b"tail"].concat(), 1).unwrap(),
    ];
    for form in forms {
        let mut leaks = BTreeSet::new();
        canaries.look("x", &[b"....".as_slice(), &form, b"...."].concat(), &mut leaks);
        assert!(leaks.iter().any(|leak| leak.secret == 3), "{}", String::from_utf8_lossy(&form));
        assert!(leaks.iter().all(|leak| leak.secret == 3), "{leaks:?}");
    }
}
