//! Baselines: what a value over the window came to in earlier windows, of the group itself or of groups like it.

use super::Expr;

/// Fewest earlier windows with a known value for `usual`; of many windows a quarter is needed.
pub const USUAL_VALUES_MIN: u32 = 3;
/// Fewest groups of a cohort with a known value in one window: of fewer, each would be held against itself.
pub const COHORT_GROUPS_MIN: u32 = 10;
/// Most cohorts of one baseline. Above it no new one is begun, which is counted; what is asked of it stays unknown.
pub const COHORTS_MAX: usize = 10_000;

/// A quantile over earlier windows. Windows are those that end on multiples of the rule's length since 1970, as long as it,
/// the last [`Baseline::windows`] of them that end at or before the beginning of the window at hand.
#[derive(Debug, Clone)]
pub struct Baseline {
    /// What is compared: a number over [`super::ExprKind::Aggregate`], none of which is a baseline.
    pub of: Expr,
    /// Which of its values, in millionths: the least that this share of them does not exceed.
    pub share: i64,
    /// How many windows back; at least one.
    pub windows: u32,
    /// Of fewer known values (of a cohort: groups in every single window) it is unknown.
    pub least: u32,
    /// Whose windows.
    pub whose: Whose,
}

/// Whose windows a baseline is made of.
#[derive(Debug, Clone)]
pub enum Whose {
    /// The group's own: from the first of them in which it has an event, those without an event included.
    Own,
    /// Those of all groups that have an event which no exception takes out, where these values of single events are alike;
    /// each is, of a window, its last known.
    Cohort(Vec<Expr>),
}

impl Baseline {
    /// The word of the language.
    pub fn word(&self) -> &'static str {
        match self.whose {
            Whose::Own => "usual",
            Whose::Cohort(_) => "cohort",
        }
    }

    /// The values of single events by which groups are alike.
    pub fn by(&self) -> &[Expr] {
        match &self.whose {
            Whose::Own => &[],
            Whose::Cohort(by) => by,
        }
    }

    /// How many known values `usual` needs over so many windows.
    pub fn least_of(windows: u32) -> u32 {
        windows.div_ceil(4).max(USUAL_VALUES_MIN)
    }
}
