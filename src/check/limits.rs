//! The bounds of what is accepted, each with its unit. A rule file past a bound is refused with a message that names it.

use crate::time::{DAY_NS, Duration, SECOND_NS};

/// Rules, `applies` included.
pub const RULES_MAX: usize = 20_000;
/// Top-level `let`s.
pub const LETS_MAX: usize = 10_000;
/// Lists.
pub const LISTS_MAX: usize = 10_000;
/// Tables.
pub const TABLES_MAX: usize = 1_000;
/// Links.
pub const LINKS_MAX: usize = 100;
/// Series.
pub const SERIES_MAX: usize = 100;
/// Longest step of a series.
pub const SERIES_EVERY_MAX: Duration = Duration(DAY_NS);
/// Values of a list written in the rule file.
pub const INLINE_VALUES_MAX: usize = 100_000;
/// Nodes of one `let` or one rule after all `let`s are put in place: without it, `let`s that use one another twice double.
pub const NODES_PER_RULE_MAX: usize = 4_096;
/// Nesting of a `let` after all others are put in place.
pub const LET_DEPTH_MAX: usize = 128;
/// Nesting of an expression as written.
pub const DEPTH_MAX: usize = 256;
/// Nodes of all rules and `let`s together.
pub const NODES_TOTAL_MAX: usize = 2_000_000;
/// Parts of `per`, and of a tuple in `distinct`.
pub const KEY_PARTS_MAX: usize = 8;
/// Fewest events on which a rule that groups by template may fire.
pub const TEMPLATE_EVENTS_MIN: u64 = 5;
/// Aggregates of a rule.
pub const AGGREGATES_MAX: usize = 64;

/// How far back memory may be asked.
pub const MEMORY_WITHIN_MAX: Duration = Duration(90 * DAY_NS);

/// Shortest bound of a random delay; delays are drawn in whole seconds.
pub const DELAY_MIN: Duration = Duration(SECOND_NS);

/// Steps of a sequence.
pub const SEQUENCE_STEPS_MAX: usize = 16;
/// Events of one match of a sequence: its steps, each as often as it must happen.
pub const SEQUENCE_EVENTS_MAX: u64 = 1_000;

/// Longest window, and longest sequence.
pub const WINDOW_MAX: Duration = Duration(90 * DAY_NS);
/// Shortest window and shortest step.
pub const STEP_MIN: Duration = Duration(SECOND_NS);
/// Steps of a window.
pub const STEPS_MAX: i64 = 10_000;
/// Steps of a window where `every` is not given.
pub const STEPS_DEFAULT: i64 = 96;
/// Steps in the gap of a session.
pub const SESSION_STEPS: i64 = 12;
/// Longest session where `at most` is not given.
pub const SESSION_DEFAULT: Duration = Duration(7 * DAY_NS);
/// The same in gaps, where that is shorter: what one group may hold grows with the steps of a session.
pub const SESSION_GAPS_DEFAULT: i64 = 500;
/// Values whose share `top_share` tells together.
pub const TOP_VALUES_MAX: i64 = 100;
/// Earlier windows of a baseline.
pub const BASELINE_WINDOWS_MAX: i64 = 1_000;
/// Steps times aggregates of a rule, and earlier windows: what one group may hold.
pub const CELLS_PER_KEY_MAX: u64 = 40_000;

/// Characters of a regular expression.
pub const REGEX_CHARS_MAX: usize = 1_000;
/// Bytes of a compiled regular expression.
pub const REGEX_BYTES_MAX: usize = 1 << 20;
/// Bytes of text that every match must hold for a regular expression to be cheap.
pub const REGEX_LITERAL_MIN: usize = 3;

/// Events that one test may generate; what [`crate::fixture`] plays at most.
pub const TEST_EVENTS_MAX: u64 = 200_000;

/// How far ahead the end of an exception is announced.
pub const EXPIRY_NOTICE: Duration = Duration(30 * DAY_NS);
