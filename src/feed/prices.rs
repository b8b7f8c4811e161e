//! Price tables in YAML: what tokens of a model cost, and from when until when.
//!
//! ```yaml
//! currency: USD
//! about: list prices of the provider      # shown with every estimate
//! models:
//!   - model: atlas-2-large                # the whole name, or its beginning with `*` behind it
//!     input: 3.00                         # per million tokens read
//!     output: 15.00                       # per million tokens written
//!     valid_from: 2026-01-01              # optional: the first day
//!     valid_until: 2026-07-01             # optional: the day from which it no longer counts
//! ```

use std::path::Path;

use serde_yaml::Value as Yaml;

use crate::campaign::{Price, PriceError, Prices};
use crate::time::Timestamp;

/// Why a file is no price table.
#[derive(Debug, thiserror::Error)]
pub enum PriceFileError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Missing {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is not YAML.
    #[error("{origin} is not read as YAML: {error}")]
    Yaml {
        /// The file.
        origin: String,
        /// Where and why.
        error: String,
    },
    /// It is YAML, but no price table.
    #[error("{origin}: at `{at}`: {what}")]
    Shape {
        /// The file.
        origin: String,
        /// The keys that lead to the place, with points between.
        at: String,
        /// What is wrong and what to write instead.
        what: String,
    },
    /// Rows contradict each other.
    #[error("{origin}: {error}")]
    Rows {
        /// The file.
        origin: String,
        /// Which, and what to write instead.
        error: PriceError,
    },
}

/// Reads a price table.
///
/// # Errors
/// Where it cannot be read or is no price table; the message says what to write instead.
pub fn read_prices(path: &Path) -> Result<Prices, PriceFileError> {
    let origin = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse_prices(&text, &origin),
        Err(source) => Err(PriceFileError::Missing { path: origin, source }),
    }
}

/// Reads the text of a price table; `origin` stands in messages.
///
/// # Errors
/// As [`read_prices`].
pub fn parse_prices(text: &str, origin: &str) -> Result<Prices, PriceFileError> {
    let yaml: Yaml = serde_yaml::from_str(text)
        .map_err(|error| PriceFileError::Yaml { origin: origin.to_owned(), error: error.to_string() })?;
    let parser = Parser { origin };
    let file = parser.entries("the file", &yaml, &["currency", "about", "models"])?;
    let get = |wanted: &str| file.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
    let currency = match get("currency") {
        Some(value) => parser.text("currency", value, "USD")?,
        None => return parser.wrong("the file", "it has no `currency`; write for example `currency: USD`"),
    };
    let about = get("about").map(|v| parser.text("about", v, "where the prices come from")).transpose()?;
    let Some(Yaml::Sequence(models)) = get("models") else {
        return parser.wrong("models", format!("expected a list of prices, {EXAMPLE}"));
    };
    let rows = models.iter().enumerate().map(|(i, row)| parser.row(&format!("models[{i}]"), row));
    let rows = rows.collect::<Result<Vec<Price>, _>>()?;
    if rows.is_empty() {
        return parser.wrong("models", format!("the list is empty, {EXAMPLE}"));
    }
    Prices::new(currency, about, rows).map_err(|error| PriceFileError::Rows { origin: origin.to_owned(), error })
}

const EXAMPLE: &str = "such as `- {model: atlas-2-large, input: 3.00, output: 15.00}`";

/// Decimals of a price that are kept.
const DECIMALS: usize = 6;

struct Parser<'a> {
    origin: &'a str,
}

impl Parser<'_> {
    fn wrong<T>(&self, at: &str, what: impl Into<String>) -> Result<T, PriceFileError> {
        Err(PriceFileError::Shape { origin: self.origin.to_owned(), at: at.to_owned(), what: what.into() })
    }

    fn row(&self, at: &str, yaml: &Yaml) -> Result<Price, PriceFileError> {
        let entries = self.entries(at, yaml, &["model", "input", "output", "valid_from", "valid_until"])?;
        let get = |wanted: &str| entries.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
        let inside = |key: &str| format!("{at}.{key}");
        let model = match get("model") {
            Some(value) => self.text(&inside("model"), value, "atlas-2-large")?,
            None => return self.wrong(at, format!("it has no `model`, {EXAMPLE}")),
        };
        if model.strip_suffix('*').unwrap_or(&model).contains('*') {
            let what =
                format!("`{model}` has a `*` that is not at its end; only beginnings can be named, such as `atlas-*`");
            return self.wrong(&inside("model"), what);
        }
        let price = |key: &str| match get(key) {
            Some(value) => self.price(&inside(key), value),
            None => self.wrong(
                at,
                format!("the price of `{model}` has no `{key}`: write it per million tokens, `{key}: 3.00`"),
            ),
        };
        let date = |key: &str| get(key).map(|value| self.date(&inside(key), value)).transpose();
        Ok(Price {
            input_micros: price("input")?,
            output_micros: price("output")?,
            from: date("valid_from")?.unwrap_or(Timestamp::MIN),
            until: date("valid_until")?.unwrap_or(Timestamp::MAX),
            model,
        })
    }

    /// A price in millionths: digits with up to six decimals.
    fn price(&self, at: &str, yaml: &Yaml) -> Result<i64, PriceFileError> {
        let written = match yaml {
            Yaml::Number(n) => n.to_string(),
            Yaml::String(text) => text.trim().to_string(),
            _ => return self.wrong(at, "expected a price per million tokens, such as `3.00`"),
        };
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let (whole, part) = written.split_once('.').unwrap_or((&written, ""));
        let micros = (!whole.is_empty() && digits(whole) && digits(part) && part.len() <= DECIMALS)
            .then(|| format!("{whole}{part:0<DECIMALS$}").parse::<i64>().ok())
            .flatten();
        match micros {
            Some(micros) => Ok(micros),
            None => self.wrong(
                at,
                format!("`{written}` is no price: write digits with up to {DECIMALS} decimals, such as `3.00`"),
            ),
        }
    }

    fn date(&self, at: &str, yaml: &Yaml) -> Result<Timestamp, PriceFileError> {
        let written = yaml.as_str().unwrap_or_default();
        match Timestamp::parse_date(written).or_else(|| Timestamp::parse_rfc3339(written)) {
            Some(date) => Ok(date),
            None => self.wrong(at, "expected a date, such as `2026-01-01`"),
        }
    }

    fn text(&self, at: &str, yaml: &Yaml, such_as: &str) -> Result<String, PriceFileError> {
        match yaml.as_str().map(str::trim).filter(|t| !t.is_empty()) {
            Some(text) => Ok(text.to_string()),
            None => self.wrong(at, format!("expected a text, such as `{such_as}`")),
        }
    }

    fn entries<'y>(
        &self,
        at: &str,
        yaml: &'y Yaml,
        allowed: &[&str],
    ) -> Result<Vec<(&'y str, &'y Yaml)>, PriceFileError> {
        let Some(entries) = yaml.as_mapping() else {
            return self.wrong(at, format!("expected the keys {}", allowed.join(", ")));
        };
        let mut found = Vec::new();
        for (key, value) in entries {
            match key.as_str().filter(|key| allowed.contains(key)) {
                Some(key) => found.push((key, value)),
                None => {
                    let key = serde_yaml::to_string(key).unwrap_or_default();
                    let what = format!("unknown key `{}`; allowed are {}", key.trim(), allowed.join(", "));
                    return self.wrong(at, what);
                }
            }
        }
        Ok(found)
    }
}
