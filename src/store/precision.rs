//! How often a rule is right, by what reviewers decided: counts per rule, and a fraction with the interval that they leave.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::decisions::Outcome;
use crate::value::MICROS;

/// What became of a rule's violations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reviewed {
    /// Name of the rule.
    pub rule: String,
    /// Its violations in the log, of any status.
    pub n_violations: u64,
    /// Those of them that are decided, by the decision that counts. Outcomes that nobody chose are left out.
    pub outcomes: BTreeMap<Outcome, u64>,
}

impl Reviewed {
    /// How many were decided so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }

    /// How many are decided.
    pub fn decided(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// How often the rule was right, where anything says so. What was authorised, told twice or a test speaks neither for
    /// nor against the rule; what the evidence does not show speaks against it.
    pub fn precision(&self) -> Option<Precision> {
        let against = self.count(Outcome::FalsePositive) + self.count(Outcome::InsufficientEvidence);
        let confirmed = self.count(Outcome::Confirmed);
        Precision::new(confirmed, confirmed + against)
    }
}

/// All rules, as they were reviewed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Review {
    /// By name of the rule.
    pub rules: Vec<Reviewed>,
    /// Decided violations that the log has taken back since: of no rule.
    pub n_gone: u64,
}

/// A share with its 95 % interval after Wilson (1927), in millionths. Unlike the usual `p ± 2σ` it stays within 0 and 1 and
/// holds for few decisions too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// Decisions for the rule.
    pub confirmed: u64,
    /// Decisions for and against it.
    pub of: u64,
    /// `confirmed / of`, rounded to the nearest; halves up.
    pub share: u64,
    /// Lower end, rounded down.
    pub low: u64,
    /// Upper end, rounded up.
    pub high: u64,
}

/// The square of the normal quantile 1.959964, in millionths: 95 % lie between it and its negative.
const Z_SQUARED: u128 = 3_841_459;

/// Millionths in one.
const ONE: u128 = MICROS as u128;

impl Precision {
    /// Of `of` decisions `confirmed` were for the rule; `None` where there are none.
    pub fn new(confirmed: u64, of: u64) -> Option<Precision> {
        let (k, n) = (u128::from(confirmed.min(of)), u128::from(of));
        let share = (2 * k * ONE + n).checked_div(2 * n)?;
        // (k + z²/2 ± √(z²·(k·(n − k)/n + z²/4))) / (n + z²); all twice, and in millionths, so that nothing is cut but the
        // root. From 2^43 decisions on the product is too large and k·(n − k)/n is cut first, which cannot show.
        let spread = k * (n - k);
        let spread = match spread.checked_mul(4 * Z_SQUARED * ONE) {
            Some(product) => product.div_ceil(n),
            None => (spread / n).saturating_mul(4 * Z_SQUARED * ONE),
        };
        let square = spread.saturating_add(Z_SQUARED * Z_SQUARED);
        let root = square.isqrt();
        let root = if root * root == square { root } else { root + 1 };
        let (centre, whole) = (2 * k * ONE + Z_SQUARED, 2 * (n * ONE + Z_SQUARED));
        let low = centre.saturating_sub(root) * ONE / whole;
        let high = ((centre + root) * ONE).div_ceil(whole).min(ONE);
        let narrow = |x: u128| u64::try_from(x).unwrap_or(u64::MAX);
        Some(Precision { confirmed, of, share: narrow(share), low: narrow(low), high: narrow(high) })
    }
}

/// `violations stats`: violations by rule. Reads one index from end to end.
const FOUND: &str = "SELECT rule, count(*) FROM violations INDEXED BY violations_by_rule GROUP BY rule ORDER BY rule";

/// Decisions that count, by rule and outcome. Walks the decisions, which are few beside the violations.
const DECIDED: &str = "SELECT v.rule, d.outcome, count(*) \
     FROM decisions AS d INDEXED BY decisions_by_violation CROSS JOIN violations AS v ON v.id = d.violation \
     WHERE NOT EXISTS (SELECT 1 FROM decisions AS later WHERE later.violation = d.violation AND later.number > d.number) \
     GROUP BY v.rule, d.outcome";

const GONE: &str = "SELECT count(DISTINCT d.violation) FROM decisions AS d INDEXED BY decisions_by_violation \
     WHERE NOT EXISTS (SELECT 1 FROM violations AS v WHERE v.id = d.violation)";

pub(super) async fn review(conn: &mut SqliteConnection) -> Result<Review, sqlx::Error> {
    let found: Vec<(String, i64)> = sqlx::query_as(FOUND).fetch_all(&mut *conn).await?;
    let decided: Vec<(String, String, i64)> = sqlx::query_as(DECIDED).fetch_all(&mut *conn).await?;
    let gone: i64 = sqlx::query_scalar(GONE).fetch_one(conn).await?;
    let mut rules: BTreeMap<String, Reviewed> = BTreeMap::new();
    for (rule, n) in found {
        let reviewed = Reviewed { rule: rule.clone(), n_violations: n.unsigned_abs(), ..Reviewed::default() };
        rules.insert(rule, reviewed);
    }
    for (rule, word, n) in decided {
        let outcome =
            Outcome::from_word(&word).ok_or_else(|| sqlx::Error::Decode(format!("outcome `{word}`").into()))?;
        if let Some(reviewed) = rules.get_mut(&rule) {
            reviewed.outcomes.insert(outcome, n.unsigned_abs());
        }
    }
    Ok(Review { rules: rules.into_values().collect(), n_gone: gone.unsigned_abs() })
}
