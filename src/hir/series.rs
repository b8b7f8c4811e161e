//! Series: a number that the whole fleet, or a part of it, comes to step by step, so that what all share is not taken for
//! what some do together.

use super::{Aggregate, Expr, ExprKind};
use crate::event::Kind;
use crate::source::Span;
use crate::time::{DAY_NS, Duration};

/// How far back the median of a series reaches …
pub const SERIES_MEDIAN: Duration = Duration(7 * DAY_NS);
/// … and over how many steps at most.
pub const SERIES_STEPS_MAX: u32 = 1_008;
/// Fewest steps with a known value for a median; of many a quarter is needed.
pub const SERIES_VALUES_MIN: u32 = 3;
/// Most keys of a series. Above it no new one is begun, which is counted; what is asked of it stays unknown.
pub const SERIES_KEYS_MAX: usize = 1_000;

/// Index of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u32);

/// A series: one number per key and step, of the events of that step.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Kinds of events it looks at.
    pub kinds: Vec<Kind>,
    /// Which of them.
    pub filter: Option<Expr>,
    /// Its key: values of the event; empty is one for all. An event with an unknown part belongs to none.
    pub per: Vec<Expr>,
    /// Length of a step; steps end on multiples of it since 1970.
    pub every: Duration,
    /// What is counted in a step.
    pub aggregates: Vec<Aggregate>,
    /// The number, over [`ExprKind::Aggregate`].
    pub value: Expr,
    /// A step whose value is below this share (in millionths) of the median is an outage.
    pub outage: Option<i64>,
    /// The median is over so many steps before the one at hand: from the first of them with an event, those without an event
    /// included.
    pub steps: u32,
    /// Over fewer known values it is unknown.
    pub least: u32,
    /// Where it is declared.
    pub span: Span,
}

impl Series {
    /// Over how many steps the median is, for a length of them.
    pub fn steps_of(every: Duration) -> u32 {
        u32::try_from(SERIES_MEDIAN.0 / every.0.max(1)).unwrap_or(SERIES_STEPS_MAX).min(SERIES_STEPS_MAX)
    }

    /// How many known values a median over so many steps needs.
    pub fn least_of(steps: u32) -> u32 {
        steps.div_ceil(4).max(SERIES_VALUES_MIN)
    }
}

/// An outage within a window: true where any step of the series in the window is one, unknown where none is and any is
/// unknown.
#[derive(Debug, Clone)]
pub struct WindowOutage {
    /// Of which series.
    pub series: SeriesId,
    /// The parts of the group that are the key of the series, in its order.
    pub keys: Vec<u16>,
    /// Length of the window; the series' step divides it and the rule's step.
    pub length: Duration,
}

impl Expr {
    /// Whether it asks for an outage within the window.
    pub fn is_of_outages(&self) -> bool {
        let mut found = false;
        self.walk(&mut |e| found |= matches!(e.kind, ExprKind::WindowOutage(_)));
        found
    }
}
