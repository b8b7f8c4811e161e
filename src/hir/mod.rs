//! What rules mean: names resolved, types known, `let`s put in place. This is what is hashed into a violation. Knows
//! nothing of how a rule runs.

mod baseline;
mod canonical;
mod keys;
mod limit;
mod link;
mod memory;
mod sequence;
mod series;

pub use baseline::{Baseline, COHORT_GROUPS_MIN, COHORTS_MAX, USUAL_VALUES_MIN, Whose};
pub use canonical::{
    canonical_aggregate, canonical_definition, canonical_expr, canonical_link, canonical_rule, canonical_series,
    describe, rule_hash,
};
pub use keys::{PROMPTS_MAX, key_type};
pub use limit::Limit;
pub use link::{
    Family, LINK_CAP_DEFAULT, LINK_CAP_MAX, LINK_EDGES_MAX, LINK_FAMILIES_MAX, LINK_PAIRS_MAX, Link, LinkId, LinkValue,
};
pub use memory::{Ask, Memory, QUESTIONS_MAX, QUESTIONS_PER_RULE_MAX, each_expr, each_expr_of_series};
pub use sequence::{PARTIALS_PER_KEY_MAX, PARTIALS_PER_RULE_MAX, Sequence, Step};
pub use series::{SERIES_KEYS_MAX, SERIES_MEDIAN, SERIES_STEPS_MAX, SERIES_VALUES_MIN, Series, SeriesId, WindowOutage};

/// Comparison: what is written is what is meant.
pub use crate::syntax::ast::CompareOp as Compare;

use serde::{Deserialize, Serialize};

use crate::event::{FieldId, Kind};
use crate::source::Span;
use crate::template::Strictness;
use crate::time::{Duration, Timestamp};
use crate::value::Type;

/// The checked content of a set of rule files.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Policies in order of declaration; a document of several dates stands several times.
    pub policies: Vec<Policy>,
    /// Lists; [`ListId`] is an index.
    pub lists: Vec<List>,
    /// Tables; [`TableId`] is an index. Table 0 is the account registry.
    pub tables: Vec<Table>,
    /// Links; [`LinkId`] is an index.
    pub links: Vec<Link>,
    /// Series; [`SeriesId`] is an index.
    pub series: Vec<Series>,
    /// `let`s outside of rules, in order of declaration, as what they stand for was put in place. Rules read well by them;
    /// they are part of no hash.
    pub definitions: Vec<(String, Expr)>,
    /// Rules that are evaluated, `applies` resolved, in order of declaration.
    pub rules: Vec<Rule>,
}

/// Index of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId(pub u32);

/// Index of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

impl TableId {
    /// The account registry, joined by the event's `account`.
    pub const ACCOUNTS: TableId = TableId(0);
}

/// A dated document.
#[derive(Debug, Clone)]
pub struct Policy {
    /// `provider.document`.
    pub name: String,
    /// Date of the document, `YYYY-MM-DD`.
    pub version: String,
    /// Title; empty where not given.
    pub title: String,
    /// Address; empty where not given.
    pub url: String,
    /// First moment at which it binds.
    pub from: Timestamp,
    /// First moment at which it no longer binds.
    pub until: Option<Timestamp>,
    /// Its passages.
    pub clauses: Vec<Clause>,
    /// Where it is declared.
    pub span: Span,
}

/// A passage of a document.
#[derive(Debug, Clone)]
pub struct Clause {
    /// Name within the document.
    pub name: String,
    /// What it allows instead of forbids.
    pub permits: bool,
    /// The section as the document numbers it; may be empty.
    pub section: String,
    /// What it says, in our words.
    pub says: String,
    /// First moment at which it is in force: its own date, or the document's.
    pub from: Timestamp,
    /// First moment at which it is no longer in force.
    pub until: Option<Timestamp>,
}

/// A clause that a rule enforces, in all the versions that the files know, oldest first. The version in force when a
/// violation opens is the one it names.
#[derive(Debug, Clone)]
pub struct ClauseRef {
    /// `provider.document`.
    pub policy: String,
    /// Name of the clause.
    pub clause: String,
    /// Indexes of (policy, clause) in [`Program::policies`], by `from`.
    pub versions: Vec<(u32, u32)>,
}

/// A set of values.
#[derive(Debug, Clone)]
pub struct List {
    /// Its name.
    pub name: String,
    /// Type of its values.
    pub ty: Type,
    /// Inline values, or `None` when they come from a file and are given to the plan by the caller.
    pub inline: Option<Vec<Const>>,
    /// The file, as written.
    pub path: Option<String>,
    /// Column of the value, validity columns.
    pub columns: ListColumns,
    /// Where it is declared.
    pub span: Span,
}

/// Which columns of a file hold what; `None` is the first column, or no validity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListColumns {
    /// Column of the value.
    pub value: Option<Column>,
    /// Columns of the first moment and of the first moment after.
    pub valid: Option<(Column, Column)>,
}

/// A column by number from 1 or by heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// From 1.
    Number(u32),
    /// By its heading.
    Heading(String),
}

/// Reference data joined by a key.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The event's value that is looked up.
    pub key: Expr,
    /// The file as written; `None` for the account registry.
    pub path: Option<String>,
    /// Validity columns.
    pub valid: Option<(Column, Column)>,
    /// Columns that rules may read.
    pub columns: Vec<(String, Type)>,
    /// Where it is declared.
    pub span: Span,
}

/// How bad a violation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// A signal, no accusation.
    Info,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

/// How sure the rule is when it fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Confidence {
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
}

/// What a rule may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Records only.
    Shadow,
    /// Records and alerts.
    Flag,
    /// Its actions take effect.
    Enforce,
}

/// What becomes of what a rule has counted, where it takes the place of another of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Changed {
    /// It begins with nothing.
    Reset,
    /// It goes on with what the other has counted, under the new condition.
    Keep,
    /// It counts what a journal still holds, as if it had been there.
    Backfill,
}

macro_rules! words {
    ($ty:ident: $($variant:ident $word:literal),*) => {
        impl $ty {
            /// All, in ascending order.
            pub const ALL: &'static [$ty] = &[$($ty::$variant),*];

            /// The word of the language and of records.
            pub fn word(self) -> &'static str {
                match self { $($ty::$variant => $word),* }
            }

            /// The one with this word.
            pub fn from_word(word: &str) -> Option<$ty> {
                match word { $($word => Some($ty::$variant),)* _ => None }
            }
        }
    };
}

words!(Severity: Info "info", Low "low", Medium "medium", High "high", Critical "critical");
words!(Confidence: Low "low", Medium "medium", High "high");
words!(Mode: Shadow "shadow", Flag "flag", Enforce "enforce");
words!(Changed: Reset "reset", Keep "keep", Backfill "backfill");

/// A rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name: the identity of its state.
    pub name: String,
    /// What it enforces; at least one.
    pub enforces: Vec<ClauseRef>,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// What it may do.
    pub mode: Mode,
    /// Kinds of events it looks at; at least one. Of a sequence those of all steps.
    pub kinds: Vec<Kind>,
    /// Which of them: the filter of `on`, and for a single-event rule also its `when`. A sequence has one per step instead.
    pub filter: Option<Expr>,
    /// Single events, windows or sequences.
    pub shape: Shape,
    /// Named values that `because` and tests may use. Over single events for [`Shape::Single`], over the window or
    /// over the events of the steps otherwise.
    pub lets: Vec<(String, Expr)>,
    /// Events taken out.
    pub exceptions: Vec<Exception>,
    /// What is proposed.
    pub actions: Vec<Action>,
    /// Silence of actions after a violation; also the least time of `false` that ends an episode.
    pub cooldown: Option<Duration>,
    /// How many violations a day (UTC, by when they open) may act.
    pub budget: Option<u64>,
    /// On which share of groups it acts, in millionths.
    pub rollout: Option<i64>,
    /// What becomes of what a rule of its name has counted whose place it takes. It says nothing of what the rule means, so it
    /// is no part of its canonical text.
    pub changed: Option<Changed>,
    /// Text with values.
    pub because: Vec<Piece>,
    /// Known innocent look-alikes.
    pub mistaken_for: Vec<String>,
    /// What it holds back at arrival, where it was written as a limit.
    pub limit: Option<Limit>,
    /// Where it is declared: the whole block.
    pub span: Span,
    /// Where its definition stands; differs from `span` where the rule `applies` another.
    pub definition: Span,
}

impl Rule {
    /// Whether an action is asked for of an `account`, `key`, `org` or `group`.
    pub fn acts_on(&self, scope: &str) -> bool {
        self.actions.iter().any(|a| a.scope == scope)
    }
}

/// Single events, windows or sequences.
#[derive(Debug, Clone)]
pub enum Shape {
    /// Each event that passes the filter is a violation.
    Single,
    /// Groups over time.
    Windowed(Windowed),
    /// Steps in their order.
    Sequence(Sequence),
}

/// A windowed rule.
#[derive(Debug, Clone)]
pub struct Windowed {
    /// The group: values of the event; empty is one group for all. An event with an unknown part belongs to no group. At most
    /// one part is a list, a field or a template: then each of its values is a key.
    pub per: Vec<Expr>,
    /// The link by whose groups events are counted together; `per` is then the account.
    pub link: Option<LinkId>,
    /// Whether a value of that part is a key: conditions that hold it against a list or against constants, all of which must
    /// hold. An event of which no value is left belongs to no group.
    pub only: Vec<Expr>,
    /// Length of the window; of a session, the time from its first event after which an event begins another.
    pub length: Duration,
    /// Distance between two ends; divides `length` but for sessions. Equal to it for a tumbling window.
    pub step: Duration,
    /// For sessions, the longest silence within one.
    pub gap: Option<Duration>,
    /// What is counted.
    pub aggregates: Vec<Aggregate>,
    /// When it is a violation: over [`ExprKind::Aggregate`] and [`ExprKind::Key`].
    pub when: Expr,
}

/// Something counted over a window.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// What is counted.
    pub function: Function,
    /// Only events where this is true.
    pub filter: Option<Expr>,
    /// Type of the result.
    pub ty: Type,
    /// Where it stands.
    pub span: Span,
}

/// What is counted. Expressions are over single events. Results over no events: count, sum, distinct, rate are 0, the longest
/// idle time is the whole window, the others are unknown.
#[derive(Debug, Clone)]
pub enum Function {
    /// Events.
    Count,
    /// Sum of known values; the type of the argument.
    Sum(Expr),
    /// Least known value.
    Min(Expr),
    /// Greatest known value.
    Max(Expr),
    /// Sum of known values by their number: [`Type::Decimal`] for integers, tokens and decimals, the argument's type
    /// otherwise; rounded half away from zero.
    Average(Expr),
    /// Different known values (a tuple counts where all its parts are known). Where `one_per` is given and its condition
    /// true, the event counts as one of its key instead.
    Distinct {
        /// The value, or the parts of a tuple.
        of: Vec<Expr>,
        /// `one per org if account.org_verified`
        one_per: Option<(Expr, Option<Expr>)>,
    },
    /// Share of events where the condition is true among those where it is true or false: [`Type::Percentage`], rounded
    /// half away from zero to a millionth; unknown over none.
    Share(Expr),
    /// The least known value that at least this share (in millionths) of the known values does not exceed; the type of the
    /// argument. An estimate where there are many values.
    Quantile(Expr, i64),
    /// Standard deviation of the known values (of all of them, not of a sample) by the absolute value of their mean:
    /// [`Type::Percentage`], rounded down to a millionth; unknown where the mean is zero.
    Spread(Expr),
    /// Share of the so many commonest among the known values: [`Type::Percentage`]. An estimate where many differ.
    TopShare(Expr, u32),
    /// Shannon entropy of the known values in bits: [`Type::Decimal`]. An estimate where many differ.
    Entropy(Expr),
    /// The earliest known value, by (time, id).
    First(Expr),
    /// The latest known value, by (time, id).
    Last(Expr),
    /// Events per minute of the window: [`Type::Decimal`]. Of a session: per minute since its first event, of at least a step.
    Rate,
    /// The longest time without an event, from the beginning of the window (of a session: its first event) to its end:
    /// [`Type::Duration`].
    LongestIdle,
    /// The greatest speed between the countries of successive events with a known country, in km/h: [`Type::Decimal`].
    TopSpeed(Expr),
    /// What a value over the window came to in earlier windows; its type. Counts no event.
    Baseline(Box<Baseline>),
}

impl Function {
    /// The word of the language.
    pub fn word(&self) -> &'static str {
        match self {
            Function::Count => "count",
            Function::Sum(_) => "sum",
            Function::Min(_) => "min",
            Function::Max(_) => "max",
            Function::Average(_) => "average",
            Function::Distinct { .. } => "distinct",
            Function::Share(_) => "share",
            Function::Quantile(..) => "quantile",
            Function::Spread(_) => "spread",
            Function::TopShare(..) => "top_share",
            Function::Entropy(_) => "entropy",
            Function::First(_) => "first",
            Function::Last(_) => "last",
            Function::Rate => "rate",
            Function::LongestIdle => "longest_idle",
            Function::TopSpeed(_) => "top_speed",
            Function::Baseline(b) => b.word(),
        }
    }

    /// The expressions over single events that it counts, `one per` apart.
    pub fn arguments(&self) -> &[Expr] {
        match self {
            Function::Count | Function::Rate | Function::LongestIdle => &[],
            Function::Sum(e)
            | Function::Min(e)
            | Function::Max(e)
            | Function::Average(e)
            | Function::Share(e)
            | Function::Quantile(e, _)
            | Function::Spread(e)
            | Function::TopShare(e, _)
            | Function::Entropy(e)
            | Function::First(e)
            | Function::Last(e)
            | Function::TopSpeed(e) => std::slice::from_ref(e),
            Function::Distinct { of, .. } => of,
            Function::Baseline(b) => b.by(),
        }
    }

    /// The baseline that it is.
    pub fn baseline(&self) -> Option<&Baseline> {
        match self {
            Function::Baseline(b) => Some(b),
            _ => None,
        }
    }
}

/// Events taken out of a rule.
#[derive(Debug, Clone)]
pub struct Exception {
    /// Which events.
    pub filter: Expr,
    /// Why; may be empty.
    pub because: String,
    /// Who answers for it; may be empty.
    pub owner: String,
    /// Contract or ticket; may be empty.
    pub evidence: String,
    /// First event time at which it holds.
    pub from: Option<Timestamp>,
    /// First event time at which it no longer holds.
    pub until: Option<Timestamp>,
    /// Where it stands.
    pub span: Span,
}

/// A proposed action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// A person decides first.
    pub after_review: bool,
    /// It waits a random time below this.
    pub delayed: Option<Duration>,
    /// What.
    pub verb: Verb,
    /// `account`, `key`, `org`, `group`; empty where not given.
    pub scope: &'static str,
    /// For how long.
    pub duration: Option<Duration>,
}

/// What should be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Tell a channel.
    Alert(String),
    /// Mark.
    Flag,
    /// At most so many requests per time.
    Throttle(u64, Duration),
    /// Ask for proof.
    Challenge,
    /// Refuse.
    Block,
}

/// A part of a text with placeholders.
#[derive(Debug, Clone)]
pub enum Piece {
    /// As written.
    Text(String),
    /// A value; the name is what stood in braces.
    Value(String, Expr),
}

/// A constant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Const {
    /// A truth value.
    Bool(bool),
    /// Any number, in the unit of the expression's type.
    Num(i64),
    /// Text, country, fingerprint.
    Text(String),
    /// An address.
    Ip(std::net::IpAddr),
    /// A network.
    Net(ipnet::IpNet),
}

/// A typed expression.
#[derive(Debug, Clone)]
pub struct Expr {
    /// Its type.
    pub ty: Type,
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// Arithmetic on numbers that share a scale as noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// Same type.
    Add,
    /// Same type, or two timestamps.
    Subtract,
    /// Left in its own scale, right a whole number.
    Multiply,
    /// Left in its own scale, right a number in millionths: the product is divided by a million, rounded half away from zero.
    MultiplyMicros,
    /// Left in its own scale, right a whole number: rounded half away from zero.
    Divide,
    /// Same scale on both sides: the quotient in millionths, rounded half away from zero.
    Ratio,
}

/// A test on a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TextTest {
    /// Any of the phrases occurs.
    ContainsAny(Vec<String>),
    /// All of the phrases occur.
    ContainsAll(Vec<String>),
    /// Any of the phrases of a list occurs.
    ContainsAnyOf(ListId),
    /// Begins with it.
    StartsWith(String),
    /// Ends with it.
    EndsWith(String),
    /// A linear-time regular expression (crate `regex`, Unicode) matches somewhere.
    Matches(String),
}

/// What an expression is. Any operation on an unknown operand is unknown unless noted.
#[derive(Debug, Clone)]
pub enum ExprKind {
    /// A constant.
    Const(Const),
    /// A field of the event.
    Field(FieldId),
    /// A column of a table, joined by the table's key at event time.
    Column(TableId, u16),
    /// Kleene not.
    Not(Box<Expr>),
    /// Kleene and.
    And(Vec<Expr>),
    /// Kleene or.
    Or(Vec<Expr>),
    /// At least so many are true: true when enough are, false when not enough can be, unknown between.
    AtLeast(u32, Vec<Expr>),
    /// Comparison of two values of one scale. Texts, countries, fingerprints and addresses by `=` and `!=` only.
    Compare(Compare, Box<Expr>, Box<Expr>),
    /// Membership in constants of the operand's type; an [`Const::Net`] contains addresses. A list operand: any item.
    InSet(Box<Expr>, Vec<Const>),
    /// Membership in a list at event time. A list operand: any item.
    InList(Box<Expr>, ListId),
    /// A test on a text; `ignoring_case` compares by simple case folding.
    Text {
        /// The text.
        operand: Box<Expr>,
        /// The test.
        test: TextTest,
        /// Letters match in either case.
        ignoring_case: bool,
    },
    /// Whether the operand is known: never unknown.
    Exists(Box<Expr>),
    /// The first where known, else the second.
    OrDefault(Box<Expr>, Box<Expr>),
    /// Arithmetic; overflow and division by zero are unknown.
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    /// A whole number as millionths; unknown past the range.
    ToMicros(Box<Expr>),
    /// The network of an address, by prefix length of IPv4 and IPv6; the type is [`Type::Cidr`].
    Network(Box<Expr>, u8, u8),
    /// Lower case (full Unicode mapping).
    Lower(Box<Expr>),
    /// Characters of a text, or items of a list.
    Length(Box<Expr>),
    /// What was seen before the event.
    Memory(Box<Memory>),
    /// Whether the event lies in an outage of a series: whether the last step that ended at or before it was one. Of the key
    /// that the event has in the series.
    Outage(SeriesId),
    /// Whether there was an outage of a series within the window (in `when`, `lets`, `because` of a windowed rule).
    WindowOutage(Box<WindowOutage>),
    /// The template fingerprints of a text field ([`crate::template`]): a list, empty for a text of too few words.
    Template(FieldId, Strictness),
    /// The result of an aggregate of the rule (in `when`, `lets`, `because` of a windowed rule).
    Aggregate(u16),
    /// A part of the group key (likewise).
    Key(u16),
    /// Something of the link group (likewise).
    Link(LinkValue),
    /// A field or column of the event of a step, by the number of the step; of a repeated step its last event.
    OfStep(u16, Box<Expr>),
}

impl Expr {
    /// The expressions directly below this one, in order.
    pub fn children(&self) -> impl Iterator<Item = &Expr> {
        let (first, second, rest): (Option<&Expr>, Option<&Expr>, &[Expr]) = match &self.kind {
            ExprKind::Const(_)
            | ExprKind::Field(_)
            | ExprKind::Column(..)
            | ExprKind::Outage(_)
            | ExprKind::WindowOutage(_)
            | ExprKind::Template(..)
            | ExprKind::Aggregate(_)
            | ExprKind::Link(_)
            | ExprKind::Key(_) => (None, None, &[]),
            ExprKind::Not(a)
            | ExprKind::InSet(a, _)
            | ExprKind::InList(a, _)
            | ExprKind::Text { operand: a, .. }
            | ExprKind::Exists(a)
            | ExprKind::ToMicros(a)
            | ExprKind::Network(a, ..)
            | ExprKind::Lower(a)
            | ExprKind::Length(a)
            | ExprKind::OfStep(_, a) => (Some(a), None, &[]),
            ExprKind::Memory(m) => (Some(&m.of), m.ask.by(), &[]),
            ExprKind::And(all) | ExprKind::Or(all) | ExprKind::AtLeast(_, all) => (None, None, all),
            ExprKind::Compare(_, a, b) | ExprKind::OrDefault(a, b) | ExprKind::Arithmetic(_, a, b) => {
                (Some(a), Some(b), &[])
            }
        };
        first.into_iter().chain(second).chain(rest)
    }

    /// Calls `f` on this expression and all below it.
    pub fn walk<'a>(&'a self, f: &mut impl FnMut(&'a Expr)) {
        f(self);
        for child in self.children() {
            child.walk(f);
        }
    }
}

impl Compare {
    /// The comparison that is true exactly where this one is false.
    pub fn negated(self) -> Compare {
        match self {
            Compare::Equal => Compare::NotEqual,
            Compare::NotEqual => Compare::Equal,
            Compare::Less => Compare::GreaterEqual,
            Compare::LessEqual => Compare::Greater,
            Compare::Greater => Compare::LessEqual,
            Compare::GreaterEqual => Compare::Less,
        }
    }

    /// Whether it holds for two values so ordered.
    pub fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Compare::Equal => ordering.is_eq(),
            Compare::NotEqual => ordering.is_ne(),
            Compare::Less => ordering.is_lt(),
            Compare::LessEqual => ordering.is_le(),
            Compare::Greater => ordering.is_gt(),
            Compare::GreaterEqual => ordering.is_ge(),
        }
    }
}
