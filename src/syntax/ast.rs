//! What the author wrote, with positions. Knows no field, list or type: names are only words here.

use crate::source::Span;
use crate::time::{Duration, Timestamp};

/// A word with its place. Names may hold hyphens: `template-fan-out`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The word.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// A quoted text with its place; `value` has its escapes resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What it says.
    pub value: String,
    /// Where it stands, quotes included.
    pub span: Span,
}

/// Words joined by dots: `anthropic.usage.coordinated-accounts`, `account.org_verified`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// At least one word.
    pub parts: Vec<Name>,
    /// The whole.
    pub span: Span,
}

impl Path {
    /// As written, without spaces.
    pub fn text(&self) -> String {
        self.parts.iter().map(|p| p.text.as_str()).collect::<Vec<_>>().join(".")
    }
}

/// A date `2026-01-31`, midnight UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Date {
    /// The point in time.
    pub at: Timestamp,
    /// Where it stands.
    pub span: Span,
}

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// One rule file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct File {
    /// Its items, in order. Items that could not be parsed are missing here and reported.
    pub items: Vec<Item>,
    /// All comments, in order, `#` included.
    pub comments: Vec<Text>,
    /// Names of items and `let`s that were begun and hold a mistake: the item is missing from `items`, or parts of it are.
    /// That a name of these is unknown, or that one of these rules lacks a section, is no news.
    pub broken: Vec<Name>,
}

/// A top-level block.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a file has few items, and most are rules")]
pub enum Item {
    /// `policy anthropic.usage version 2025-09-15 { … }`
    Policy(Policy),
    /// `list unsupported : country from "…"`
    List(List),
    /// `table plans keyed by plan from "…" { … }`
    Table(Table),
    /// `let elicits = …`
    Let(Let),
    /// `rule hydra { … }`
    Rule(Rule),
    /// `rule fan-out-gemini applies template-fan-out enforces google.gemini.competing-models`
    Apply(Apply),
    /// `link operator of account { … }`
    Link(Link),
    /// `series fleet { … }`
    Series(Series),
    /// `limit daily-tokens { … }`
    Limit(Limit),
}

impl Item {
    /// The whole block.
    pub fn span(&self) -> Span {
        match self {
            Item::Policy(x) => x.span,
            Item::List(x) => x.span,
            Item::Table(x) => x.span,
            Item::Let(x) => x.span,
            Item::Rule(x) => x.span,
            Item::Apply(x) => x.span,
            Item::Link(x) => x.span,
            Item::Series(x) => x.span,
            Item::Limit(x) => x.sections.span,
        }
    }
}

/// A dated document of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `provider.document`.
    pub name: Path,
    /// `version`: the date of the document.
    pub version: Date,
    /// `title "…"`.
    pub title: Option<Text>,
    /// `url "…"`: where the document is published.
    pub url: Option<Text>,
    /// `effective 2025-09-15 [until 2026-01-01]`: when it binds; the version date where it is absent.
    pub effective: Option<(Date, Option<Date>)>,
    /// What it forbids and permits.
    pub clauses: Vec<Clause>,
    /// The whole block.
    pub span: Span,
}

/// One passage of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// `permits` instead of `clause`: what the document allows; no rule can enforce it.
    pub permits: bool,
    /// Its name within the policy.
    pub name: Name,
    /// `at "3.3(e)"`: the section as the document numbers it.
    pub at: Option<Text>,
    /// `from 2025-09-15`: when the passage came into force, if later than the document.
    pub from: Option<Date>,
    /// `until 2026-01-01`: when it ceased.
    pub until: Option<Date>,
    /// What it says, in our words.
    pub says: Text,
    /// The whole entry.
    pub span: Span,
}

/// A set of values by which events are tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Its name.
    pub name: Name,
    /// `: country`: the type of its values.
    pub ty: Name,
    /// Where the values come from.
    pub values: ListValues,
    /// The whole block.
    pub span: Span,
}

/// Where the values of a list come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListValues {
    /// `= ["CN", "RU"]`
    Inline(Vec<Expr>),
    /// `from "lists/unsupported.csv" [column 1] [valid from column 2 to column 3]`
    File {
        /// The path, relative to the lists directory or the rule file.
        path: Text,
        /// Column of the value, from 1 or by its heading.
        column: Option<ColumnRef>,
        /// Columns of the first and the last-plus-one moment of validity.
        valid: Option<(ColumnRef, ColumnRef)>,
    },
}

/// `column 2` or `column "country"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnRef {
    /// Counted from 1.
    Number(At<u32>),
    /// By the heading of the file.
    Heading(Text),
}

/// Reference data joined by a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name; columns are `name.column`.
    pub name: Name,
    /// `keyed by plan`: the value of the event that is looked up in the first column.
    pub key: Expr,
    /// `from "lists/plans.csv"`.
    pub path: Text,
    /// `valid from column 4 to column 5`.
    pub valid: Option<(ColumnRef, ColumnRef)>,
    /// `name : type` for each column that rules read.
    pub columns: Vec<(Name, Name)>,
    /// The whole block.
    pub span: Span,
}

/// A named expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Let {
    /// Its name.
    pub name: Name,
    /// What it stands for.
    pub value: Expr,
    /// The whole.
    pub span: Span,
}

/// A rule. Sections stand in the order of the fields; each at most once unless it is a `Vec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name.
    pub name: Name,
    /// `enforces policy.clause, …`.
    pub enforces: Vec<Path>,
    /// `severity high`.
    pub severity: Option<Name>,
    /// `confidence medium`.
    pub confidence: Option<Name>,
    /// `mode shadow`.
    pub mode: Option<Name>,
    /// `on completion where …`; absent in a rule that could not be parsed.
    pub on: Option<On>,
    /// `per account, model`.
    pub per: Vec<Expr>,
    /// `over 24h every 15m`.
    pub over: Option<Over>,
    /// `let accounts = distinct(account)`.
    pub lets: Vec<Let>,
    /// `when accounts >= 20`.
    pub when: Option<Expr>,
    /// `except events where …`.
    pub exceptions: Vec<Exception>,
    /// `action alert "channel"`.
    pub actions: Vec<Action>,
    /// `cooldown 24h`.
    pub cooldown: Option<At<Duration>>,
    /// `budget 50 per day`: how many violations a day may act.
    pub budget: Option<At<u64>>,
    /// `rollout 10%`, in millionths.
    pub rollout: Option<At<i64>>,
    /// `changed backfill`: what becomes of what it has counted, where it takes the place of another of its name.
    pub changed: Option<Name>,
    /// `because "…"`.
    pub because: Option<Text>,
    /// `mistaken for "…", "…"`.
    pub mistaken_for: Vec<Text>,
    /// `test "…" { … }`.
    pub tests: Vec<Test>,
    /// The whole block.
    pub span: Span,
}

/// One definition bound to another clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apply {
    /// The new rule's name.
    pub name: Name,
    /// The rule whose definition is used.
    pub definition: Name,
    /// The clauses it enforces instead.
    pub enforces: Vec<Path>,
    /// `severity low`, if it differs.
    pub severity: Option<Name>,
    /// `mode shadow`, if it differs.
    pub mode: Option<Name>,
    /// The whole.
    pub span: Span,
}

/// What a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct On {
    /// The section.
    pub span: Span,
    /// Events or a sequence.
    pub what: OnWhat,
}

/// What a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnWhat {
    /// `completion or request where …`; `any event` is no kinds.
    Events {
        /// Kinds joined by `or`.
        kinds: Vec<Name>,
        /// The filter.
        filter: Option<Expr>,
    },
    /// `sequence per tls_fp within 60s { first … then … then no … within 60s }`
    Sequence {
        /// What ties the events together.
        per: Vec<Expr>,
        /// From the first to the last step.
        within: At<Duration>,
        /// At least two.
        steps: Vec<Step>,
    },
}

/// One step of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// `then no`: the step must not happen.
    pub absent: bool,
    /// The kind of event; absent is `any event`.
    pub kind: Option<Name>,
    /// `as retry`: the name by which later steps refer to it; the first is `first`.
    pub label: Option<Name>,
    /// The filter.
    pub filter: Option<Expr>,
    /// `within 60s` of the step before.
    pub within: Option<At<Duration>>,
    /// `at least 3 times`
    pub times: Option<At<u64>>,
    /// The whole step.
    pub span: Span,
}

/// How time is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// The section.
    pub span: Span,
    /// Sliding, tumbling or session.
    pub window: Window,
}

/// How time is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Window {
    /// `over 24h every 15m`
    Sliding {
        /// Length of the window.
        length: At<Duration>,
        /// Distance between two ends.
        every: Option<At<Duration>>,
    },
    /// `over each 24h`: one after the other.
    Tumbling {
        /// Length of the window.
        length: At<Duration>,
    },
    /// `over sessions with gaps of 30m [at most 12h]`
    Session {
        /// Silence that ends a session.
        gap: At<Duration>,
        /// Longest session.
        most: Option<At<Duration>>,
    },
}

/// Events that are taken out of a rule, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// `events where …`.
    pub filter: Expr,
    /// `because "…"`: why.
    pub because: Option<Text>,
    /// `owner "…"`: who answers for it.
    pub owner: Option<Text>,
    /// `evidence "…"`: contract or ticket.
    pub evidence: Option<Text>,
    /// `from 2026-01-01`.
    pub from: Option<Date>,
    /// `until 2027-01-01`, the first moment at which it no longer holds.
    pub until: Option<Date>,
    /// The section.
    pub span: Span,
}

/// What should be done about a violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// `after review:` a person decides first.
    pub after_review: bool,
    /// `delayed by up to 6h:` at random, so that the rule cannot be probed.
    pub delayed: Option<At<Duration>>,
    /// What.
    pub verb: ActionVerb,
    /// `for 7d`.
    pub duration: Option<At<Duration>>,
    /// The section.
    pub span: Span,
}

/// What should be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionVerb {
    /// `alert "model-protection"`
    Alert(Text),
    /// `flag`
    Flag(Option<Scope>),
    /// `throttle account to 10 per 1m`
    Throttle(Option<Scope>, At<u64>, At<Duration>),
    /// `challenge account`
    Challenge(Option<Scope>),
    /// `block group`
    Block(Option<Scope>),
}

/// Whom an action touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The account.
    Account,
    /// The API key.
    Key,
    /// The organisation.
    Org,
    /// All accounts of the group.
    Group,
}

/// A test within a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// What it shows.
    pub name: Text,
    /// What happens, and with which lists and registry.
    pub given: Vec<Given>,
    /// What must come of it.
    pub expect: Vec<Expect>,
    /// The whole block.
    pub span: Span,
}

/// One `given` of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The line.
    pub span: Span,
    /// What is given.
    pub what: GivenWhat,
}

/// One `given` of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GivenWhat {
    /// `given [20 accounts sending] [50] completions [each] [every 60s] [at 10m] { field: value, … }`
    Events {
        /// How many accounts; one where absent.
        accounts: Option<At<u64>>,
        /// How many events each; one where absent.
        count: At<u64>,
        /// Kind of the events.
        kind: Name,
        /// Distance between two events of one account; 1s where absent.
        every: Option<At<Duration>>,
        /// When the first happens, from the start of the test.
        at: Option<At<Duration>>,
        /// Values of fields; texts may hold `{words 30}`, `{account}`, `{n}`.
        fields: Vec<(Path, Expr)>,
    },
    /// `given list permitted = ["org_1"]`
    List {
        /// The list that is replaced in this test.
        name: Name,
        /// Its values here.
        values: Vec<Expr>,
    },
    /// `given row account "a" { org_verified: true }`: a row of a table or the registry.
    Row {
        /// The table.
        table: Name,
        /// The key; may hold `*` for every key of the test.
        key: Text,
        /// Its columns.
        fields: Vec<(Path, Expr)>,
    },
}

/// One `expect` of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// The line.
    pub span: Span,
    /// What is expected.
    pub what: ExpectWhat,
}

/// One `expect` of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectWhat {
    /// `expect nothing`
    Nothing,
    /// `expect exempted`
    Exempted,
    /// `expect violation [with accounts = 20 and …]`, `expect 2 violations`
    Violations {
        /// How many.
        count: At<u64>,
        /// What holds of each, over its values at crossing.
        with: Option<Expr>,
    },
}

/// Which accounts belong together, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name, used in `per`.
    pub name: Name,
    /// `of account`: what is linked.
    pub of: Path,
    /// Traits that tie.
    pub families: Vec<Family>,
    /// `needs at least 2 of these`.
    pub needs: Option<At<u64>>,
    /// The whole block.
    pub span: Span,
}

/// One trait that ties members of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// `tied by payment_fingerprint`.
    pub by: Expr,
    /// `within 30d`.
    pub within: At<Duration>,
    /// `used at least 20 times`.
    pub used: Option<At<u64>>,
    /// `ignoring values in cloud_networks`.
    pub ignoring: Vec<Path>,
    /// `shared by more than 25 accounts`.
    pub cap: Option<At<u64>>,
    /// The whole entry.
    pub span: Span,
}

/// A reference series of the whole fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Its name.
    pub name: Name,
    /// `on completion where …`.
    pub on: On,
    /// `per model`.
    pub per: Vec<Expr>,
    /// `every 10m`.
    pub every: At<Duration>,
    /// `value count()`.
    pub value: Expr,
    /// `outage below 20% of its median`, in millionths.
    pub outage: Option<At<i64>>,
    /// The whole block.
    pub span: Span,
}

/// A quota that checks at arrival reserve and settle. Beside what is said here it has the sections of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Its name and the sections that rules have too: neither `let` nor `when`; `on` and `over` are there.
    pub sections: Rule,
    /// `reserve max_tokens`: what a call may use, held until it is settled.
    pub reserve: Option<Expr>,
    /// `settle input_tokens + output_tokens`: what it used.
    pub settle: Expr,
    /// `at most 1_000_000`.
    pub most: Expr,
}

/// An expression with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// A literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// `true`, `false`
    Bool(bool),
    /// `1_000`
    Integer(i64),
    /// `0.7`, in millionths
    Decimal(i64),
    /// `90%`, in millionths
    Percentage(i64),
    /// `$500`, in millionths
    Money(i64),
    /// `24h`
    Duration(Duration),
    /// `2026-01-31`
    Date(Timestamp),
    /// `"text"`: text, an address, a network, a country or a fingerprint, as what it meets demands
    Text(String),
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExprKind {
    /// A literal.
    Literal(Literal),
    /// A field, list, `let`, column or label.
    Path(Path),
    /// `["a", "b"]`
    List(Vec<Expr>),
    /// `( … )`
    Paren(Box<Expr>),
    /// `not …`
    Not(Box<Expr>),
    /// `-x`
    Negate(Box<Expr>),
    /// `a and b and c`
    And(Vec<Expr>),
    /// `a or b or c`
    Or(Vec<Expr>),
    /// `at least 2 of { a, b, c }`
    AtLeast(At<u64>, Vec<Expr>),
    /// `a >= b`
    Compare(Box<Expr>, CompareOp, Box<Expr>),
    /// `a + b`
    Arithmetic(Box<Expr>, ArithmeticOp, Box<Expr>),
    /// `x in list`, `x not in ["a"]`
    In {
        /// What is looked for.
        operand: Box<Expr>,
        /// `not in`.
        negated: bool,
        /// Where: a path to a list, a list of literals, or a network as text.
        set: Box<Expr>,
    },
    /// `prompt has any of ["a"] ignoring case`
    TextTest {
        /// The text looked at.
        operand: Box<Expr>,
        /// What is looked for.
        test: TextTest,
        /// `ignoring case`.
        ignoring_case: bool,
    },
    /// `x exists`, `x is missing`
    Exists {
        /// The value.
        operand: Box<Expr>,
        /// `is missing`.
        negated: bool,
    },
    /// `x or default 0`
    OrDefault(Box<Expr>, Box<Expr>),
    /// `count() where status = 403`, `network(ip, v4 24, v6 48)`
    Call(Call),
    /// `reasoning_hash seen before within 30d by another account`, `country new for account within 90d`
    Memory {
        /// The value.
        operand: Box<Expr>,
        /// Which question.
        ask: Memory,
        /// How far back.
        within: At<Duration>,
    },
    /// `during outage of fleet`
    Outage(Name),
}

/// A question to memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Memory {
    /// `seen before within 30d [by another account]`
    SeenBefore(Option<Box<Expr>>),
    /// `first seen within 30d`
    FirstSeen,
    /// `new for account within 90d`
    NewFor(Box<Expr>),
}

/// A function or aggregate with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: Name,
    /// Its arguments.
    pub args: Vec<Arg>,
    /// `where …` behind an aggregate.
    pub filter: Option<Box<Expr>>,
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// A value.
    Value(Expr),
    /// `v4 24`: a word and a value.
    Named(Name, Expr),
    /// `one per org if account.org_verified`: values of one key count once where the condition holds.
    OnePer {
        /// What collapses.
        key: Expr,
        /// When.
        condition: Option<Expr>,
        /// The whole argument.
        span: Span,
    },
    /// `over 30d`: how far a baseline looks back.
    Over(At<Duration>),
}

/// Comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
}

impl CompareOp {
    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            CompareOp::Equal => "=",
            CompareOp::NotEqual => "!=",
            CompareOp::Less => "<",
            CompareOp::LessEqual => "<=",
            CompareOp::Greater => ">",
            CompareOp::GreaterEqual => ">=",
        }
    }
}

/// Arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`, with spaces
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

impl ArithmeticOp {
    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            ArithmeticOp::Add => "+",
            ArithmeticOp::Subtract => "-",
            ArithmeticOp::Multiply => "*",
            ArithmeticOp::Divide => "/",
        }
    }
}

/// A test on a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextTest {
    /// `contains "x"`
    Contains(Text),
    /// `starts with "x"`
    StartsWith(Text),
    /// `ends with "x"`
    EndsWith(Text),
    /// `has any of ["a", "b"]`, or of a list by name
    HasAnyOf(Box<Expr>),
    /// `has all of ["a", "b"]`
    HasAllOf(Box<Expr>),
    /// `matches regex "…"`
    MatchesRegex(Text),
}
