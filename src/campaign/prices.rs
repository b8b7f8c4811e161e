//! Prices of models by date: what tokens would have cost. A model that no row names has no price; none is guessed.

use crate::time::Timestamp;

/// Prices of one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    /// The currency, as it is to be printed.
    pub currency: String,
    /// What the table says of itself.
    pub about: Option<String>,
    rows: Vec<Price>,
}

/// The price of a model, or of all models whose names begin alike, for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// A name, or the beginning of names with `*` behind it.
    pub model: String,
    /// Per million tokens that are read, in millionths of the currency.
    pub input_micros: i64,
    /// Per million tokens that are written, hidden reasoning included, in millionths of the currency.
    pub output_micros: i64,
    /// The first moment at which it counts.
    pub from: Timestamp,
    /// The first moment at which it no longer counts.
    pub until: Timestamp,
}

/// Why rows are no price table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Two rows for the same model count at the same time.
    #[error(
        "two prices of `{model}` count on {at}: end the earlier with `valid_until`, at the date on which the later begins"
    )]
    Overlap {
        /// The model as written.
        model: String,
        /// The first moment at which both count.
        at: Timestamp,
    },
    /// A row ends before it begins.
    #[error("the price of `{model}` is valid from {from} until {until}, which is never: the second date must be later")]
    Never {
        /// The model as written.
        model: String,
        /// Its first moment.
        from: Timestamp,
        /// Its end.
        until: Timestamp,
    },
}

impl Price {
    /// The beginning that names must have, where it stands for several.
    fn prefix(&self) -> Option<&str> {
        self.model.strip_suffix('*')
    }

    fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }

    /// What tokens cost, in millionths of millionths of the currency.
    pub fn of(&self, input_tokens: u64, output_tokens: u64) -> i128 {
        let cost = |micros: i64, tokens: u64| i128::from(micros).saturating_mul(i128::from(tokens));
        cost(self.input_micros, input_tokens).saturating_add(cost(self.output_micros, output_tokens))
    }
}

impl Prices {
    /// A table of rows.
    ///
    /// # Errors
    /// A row that never counts, or two of the same model that count at the same time.
    pub fn new(currency: String, about: Option<String>, mut rows: Vec<Price>) -> Result<Prices, PriceError> {
        if let Some(never) = rows.iter().find(|r| r.from >= r.until) {
            return Err(PriceError::Never { model: never.model.clone(), from: never.from, until: never.until });
        }
        // The most precise first: whole names, then the longest beginnings.
        rows.sort_by(|a, b| {
            let precise = |r: &Price| (r.prefix().is_some(), std::cmp::Reverse(r.model.len()));
            precise(a).cmp(&precise(b)).then(a.model.cmp(&b.model)).then(a.from.cmp(&b.from))
        });
        let overlap = rows.array_windows().find(|[a, b]| a.model == b.model && b.from < a.until);
        if let Some([a, b]) = overlap {
            return Err(PriceError::Overlap { model: a.model.clone(), at: b.from });
        }
        Ok(Prices { currency, about, rows })
    }

    /// The price of a model at a moment: of the rows that count then, the one that names it, or that of the longest beginning.
    pub fn find(&self, model: &str, at: Timestamp) -> Option<&Price> {
        let names = |row: &&Price| row.prefix().map_or(row.model == model, |prefix| model.starts_with(prefix));
        self.rows.iter().filter(names).find(|row| row.holds(at))
    }
}
