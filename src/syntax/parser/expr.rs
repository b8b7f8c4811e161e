//! Expressions. Loosest first: `or`, `and`, `not`, comparisons and tests, `+ -`, `* /`, `or default`, minus, operands.
//!
//! Depth is counted on the way down and height on the way up, so that neither this parser nor anything that walks its
//! trees later can run out of stack.

use nom::sequence::preceded;
use nom::{Err, Parser};

use super::cursor::{Cursor, Mistake, Parsed, duration, keyword, phrase, text};
use super::operand::primary;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{ArithmeticOp, CompareOp, Expr, ExprKind, Memory, TextTest};
use crate::syntax::lexer::{Kind, Symbol};

/// How deep brackets, `not` and minus signs may nest.
pub const NESTING_DEPTH_MAX: u32 = 64;
/// How high the tree of one expression may grow, long sums included.
pub const EXPRESSION_HEIGHT_MAX: u32 = 256;

/// Words that may follow an operand, for "did you mean".
pub(super) const OPERATORS: &[&str] = &[
    "and", "or", "not", "in", "is", "has", "contains", "starts", "ends", "exists", "matches", "ignoring", "seen",
    "first", "new", "where",
];

impl<'a> Cursor<'a> {
    pub(super) fn deeper(self) -> Result<Self, Err<Mistake>> {
        if self.depth < NESTING_DEPTH_MAX {
            return Ok(Cursor { depth: self.depth + 1, ..self });
        }
        Err(self.too_deep(&format!("this is nested deeper than {NESTING_DEPTH_MAX} levels")))
    }

    fn too_deep(self, message: &str) -> Err<Mistake> {
        let d = Diagnostic::new(Code::NESTED_TOO_DEEPLY, self.span(), message).label("too deep here");
        Err::Failure(Mistake { diagnostic: Some(Box::new(d.help("name parts of it with `let`"))), at: self.at })
    }

    /// Behind an inner expression, at the depth of the outer one.
    pub(super) fn back_to(self, outer: Cursor<'a>) -> Self {
        Cursor { depth: outer.depth, ..self }
    }

    /// Here an aggregate may take a `where`.
    pub(super) fn whole(self) -> Self {
        Cursor { whole_at: self.at, ..self }
    }
}

/// The expression from `start` to before `i`.
pub(super) fn done<'a>(i: Cursor<'a>, start: Cursor<'a>, height: u32, kind: ExprKind) -> Parsed<'a, Expr> {
    if height > EXPRESSION_HEIGHT_MAX {
        return Err(i.too_deep(&format!("this expression has more than {EXPRESSION_HEIGHT_MAX} levels")));
    }
    Ok((Cursor { height, ..i }, Expr { kind, span: i.since(start) }))
}

/// Any expression; a `where` behind an aggregate only inside parentheses.
pub(super) fn expr(i: Cursor<'_>) -> Parsed<'_, Expr> {
    disjunction(i)
}

/// An expression that may as a whole be an aggregate with its `where`: the right side of a `let`.
pub(super) fn whole(i: Cursor<'_>) -> Parsed<'_, Expr> {
    disjunction(i.whole())
}

/// A value without conditions around it: a key to group by, what a link is tied by.
pub(super) fn value(i: Cursor<'_>) -> Parsed<'_, Expr> {
    sum(i)
}

fn is_or(i: Cursor<'_>) -> bool {
    i.word() == "or" && i.word_at(1) != "default"
}

// Each level reads its first operand through the levels below and then goes on with it in a function of its own, so that
// nesting costs few and small frames: what comes before the first operator is read without any of them.

pub(super) fn disjunction(start: Cursor<'_>) -> Parsed<'_, Expr> {
    let (i, first) = negation(start)?;
    if i.word() != "and" && !is_or(i) {
        return Ok((i, first));
    }
    let (i, first) = conjunction_from(i, start, first)?;
    disjunction_from(i, start, first)
}

fn disjunction_from<'a>(mut i: Cursor<'a>, start: Cursor<'a>, first: Expr) -> Parsed<'a, Expr> {
    if !is_or(i) {
        return Ok((i, first));
    }
    let or = i.span();
    let mut height = i.height;
    let mut operands = vec![first];
    while is_or(i) {
        let begin = i.skip(1);
        let (rest, next) = negation(begin)?;
        let (rest, next) = conjunction_from(rest, begin, next)?;
        height = height.max(rest.height);
        operands.push(next);
        i = rest;
    }
    if let Some(mixed) = operands.iter().find(|o| matches!(o.kind, ExprKind::And(_))) {
        mixed_and_or(i, or, mixed);
    }
    done(i, start, height + 1, ExprKind::Or(operands))
}

fn mixed_and_or(i: Cursor<'_>, or: Span, and: &Expr) {
    let written = i.parsing.text.get(and.span.start as usize..and.span.end as usize).unwrap_or("");
    let d = Diagnostic::new(Code::MIXED_AND_OR, or, "`and` and `or` are mixed without parentheses")
        .label("does this `or` apply to all of the condition?")
        .also(and.span, "or does this belong together?");
    i.report(if written.len() <= 80 && !written.contains(['\n', '#']) {
        d.help(format!("if it belongs together, write `({written})`"))
    } else {
        d.help("put parentheses around what belongs together")
    });
}

fn conjunction_from<'a>(mut i: Cursor<'a>, start: Cursor<'a>, first: Expr) -> Parsed<'a, Expr> {
    if i.word() != "and" {
        return Ok((i, first));
    }
    let mut height = i.height;
    let mut operands = vec![first];
    while i.word() == "and" {
        let (rest, next) = negation(i.skip(1))?;
        height = height.max(rest.height);
        operands.push(next);
        i = rest;
    }
    done(i, start, height + 1, ExprKind::And(operands))
}

fn negation(start: Cursor<'_>) -> Parsed<'_, Expr> {
    if start.word() != "not" {
        return test(start);
    }
    let (i, inner) = negation(start.skip(1).deeper()?)?;
    done(i.back_to(start), start, i.height + 1, ExprKind::Not(Box::new(inner)))
}

fn compare_op(i: Cursor<'_>) -> Option<CompareOp> {
    Some(match i.kind() {
        Kind::Symbol(Symbol::Equal) => CompareOp::Equal,
        Kind::Symbol(Symbol::NotEqual) => CompareOp::NotEqual,
        Kind::Symbol(Symbol::Less) => CompareOp::Less,
        Kind::Symbol(Symbol::LessEqual) => CompareOp::LessEqual,
        Kind::Symbol(Symbol::Greater) => CompareOp::Greater,
        Kind::Symbol(Symbol::GreaterEqual) => CompareOp::GreaterEqual,
        _ => return None,
    })
}

/// Whether a comparison or test begins here, its left side being read.
pub(super) fn test_begins(i: Cursor<'_>) -> bool {
    compare_op(i).is_some()
        || matches!(i.word(), "in" | "contains" | "has" | "matches" | "exists" | "is")
        || matches!(
            (i.word(), i.word_at(1)),
            ("not", "in")
                | ("starts", "with")
                | ("ends", "with")
                | ("seen", "before")
                | ("first", "seen")
                | ("new", "for")
        )
}

fn test(start: Cursor<'_>) -> Parsed<'_, Expr> {
    let (i, left) = minus(start)?;
    if arithmetic_op(i).is_none() && !i.is_phrase(&["or", "default"]) && i.word() != "not" && !test_begins(i) {
        return Ok((i, left));
    }
    test_from(i, start, left)
}

fn test_from<'a>(i: Cursor<'a>, start: Cursor<'a>, left: Expr) -> Parsed<'a, Expr> {
    let (i, left) = sum_from(i, start, left)?;
    if i.word() == "not" && i.word_at(1) != "in" {
        let d = Diagnostic::new(Code::UNEXPECTED_TOKEN, i.span(), "`not` stands before the whole test, not inside it")
            .label("not here")
            .help("write `not prompt contains \"…\"`; only `not in` is written behind a value");
        return Err(i.fail(d));
    }
    if !test_begins(i) {
        return Ok((i, left));
    }
    let (mut i, first) = test_of(i, start, left)?;
    if !test_begins(i) {
        return Ok((i, first));
    }
    let d = Diagnostic::new(Code::COMPARISON_CHAIN, i.span(), "a comparison cannot be compared again")
        .label("second comparison")
        .also(first.span, "first comparison")
        .help("compare twice and join with `and`: `1 < x and x < 5`");
    i.report(d);
    // The rest of the chain is read, so that it is not reported piece by piece, and left out of the tree.
    while test_begins(i) {
        let (rest, _) = test_of(i, start, Expr { kind: ExprKind::List(Vec::new()), span: first.span })?;
        i = rest;
    }
    Ok((i, first))
}

fn test_of<'a>(i: Cursor<'a>, start: Cursor<'a>, left: Expr) -> Parsed<'a, Expr> {
    let height = i.height;
    let operand = Box::new(left);
    if let Some(op) = compare_op(i) {
        let (i, right) = sum(i.skip(1))?;
        return done(i, start, height.max(i.height) + 1, ExprKind::Compare(operand, op, Box::new(right)));
    }
    let text_test = |i: Cursor<'a>, operand: Box<Expr>, test: TextTest| {
        // A link's `ignoring values` may follow as well.
        let ignoring_case = i.word() == "ignoring" && i.word_at(1) != "values";
        let i = if ignoring_case { phrase(&["ignoring", "case"])(i)?.0 } else { i };
        let kind = ExprKind::TextTest { operand, test, ignoring_case };
        done(i, start, height.max(i.height) + 1, kind)
    };
    match i.word() {
        "in" | "not" => {
            let negated = i.word() == "not";
            let (i, set) = primary(i.skip(if negated { 2 } else { 1 }))?;
            done(i, start, height.max(i.height) + 1, ExprKind::In { operand, negated, set: Box::new(set) })
        }
        "exists" => done(i.skip(1), start, height + 1, ExprKind::Exists { operand, negated: false }),
        "is" => {
            let (i, _) = keyword("missing")(i.skip(1)).map_err(|error| {
                let told = i.word_at(1) == "not";
                match error {
                    Err::Error(Mistake { diagnostic: Some(d), at }) if told => {
                        let d = d.help("for a value that is there write `exists`; to compare write `!=`");
                        Err::Error(Mistake { diagnostic: Some(Box::new(d)), at })
                    }
                    other => other,
                }
            })?;
            done(i, start, height + 1, ExprKind::Exists { operand, negated: true })
        }
        "contains" => {
            if i.nth(1).kind == Kind::Symbol(Symbol::OpenBracket) || matches!(i.word_at(1), "any" | "all") {
                let d = Diagnostic::new(Code::UNEXPECTED_TOKEN, i.span(), "`contains` looks for one text")
                    .label("one text only")
                    .help("for several write `has any of [\"…\", \"…\"]` or `has all of [\"…\", \"…\"]`");
                return Err(i.fail(d));
            }
            let (i, t) = text("a text")(i.skip(1))?;
            text_test(i, operand, TextTest::Contains(t))
        }
        "starts" => {
            let (i, t) = text("a text")(i.skip(2))?;
            text_test(i, operand, TextTest::StartsWith(t))
        }
        "ends" => {
            let (i, t) = text("a text")(i.skip(2))?;
            text_test(i, operand, TextTest::EndsWith(t))
        }
        "matches" => {
            let (i, t) = preceded(keyword("regex"), text("a regular expression in quotes")).parse(i.skip(1))?;
            text_test(i, operand, TextTest::MatchesRegex(t))
        }
        "has" => {
            let i = i.skip(1);
            if !matches!(i.word(), "any" | "all") {
                return Err(i.expected_word(&["any of", "all of"]));
            }
            let any = i.word() == "any";
            let (i, set) = preceded(keyword("of"), primary).parse(i.skip(1))?;
            let set = Box::new(set);
            text_test(i, operand, if any { TextTest::HasAnyOf(set) } else { TextTest::HasAllOf(set) })
        }
        _ => memory(i, start, operand),
    }
}

fn memory<'a>(i: Cursor<'a>, start: Cursor<'a>, operand: Box<Expr>) -> Parsed<'a, Expr> {
    let mut height = i.height;
    let within = preceded(keyword("within"), duration);
    let (i, within, ask) = match i.word() {
        "seen" => {
            let (i, within) = { within }.parse(i.skip(2))?;
            let (i, by) = if i.word() == "by" {
                let (i, by) = preceded(phrase(&["by", "another"]), primary).parse(i)?;
                height = height.max(i.height);
                (i, Some(Box::new(by)))
            } else {
                (i, None)
            };
            (i, within, Memory::SeenBefore(by))
        }
        "first" => {
            let (i, within) = { within }.parse(i.skip(2))?;
            (i, within, Memory::FirstSeen)
        }
        _ => {
            let (i, key) = primary(i.skip(2))?;
            height = height.max(i.height);
            let (i, within) = { within }.parse(i)?;
            (i, within, Memory::NewFor(Box::new(key)))
        }
    };
    done(i, start, height + 1, ExprKind::Memory { operand, ask, within })
}

/// Binds tighter than arithmetic: the default stands for the one value before it, not for a sum.
fn defaulted_from<'a>(mut i: Cursor<'a>, start: Cursor<'a>, mut left: Expr) -> Parsed<'a, Expr> {
    while i.is_phrase(&["or", "default"]) {
        let height = i.height;
        let (rest, fallback) = minus(i.skip(2))?;
        let kind = ExprKind::OrDefault(Box::new(left), Box::new(fallback));
        (i, left) = done(rest, start, height.max(rest.height) + 1, kind)?;
    }
    Ok((i, left))
}

pub(super) fn arithmetic_op(i: Cursor<'_>) -> Option<ArithmeticOp> {
    Some(match i.kind() {
        Kind::Symbol(Symbol::Plus) => ArithmeticOp::Add,
        Kind::Symbol(Symbol::Minus) => ArithmeticOp::Subtract,
        Kind::Symbol(Symbol::Star) => ArithmeticOp::Multiply,
        Kind::Symbol(Symbol::Slash) => ArithmeticOp::Divide,
        _ => return None,
    })
}

pub(super) fn sum(start: Cursor<'_>) -> Parsed<'_, Expr> {
    let (i, left) = minus(start)?;
    sum_from(i, start, left)
}

fn sum_from<'a>(i: Cursor<'a>, start: Cursor<'a>, left: Expr) -> Parsed<'a, Expr> {
    let (mut i, mut left) = product_from(i, start, left)?;
    while let Some(op @ (ArithmeticOp::Add | ArithmeticOp::Subtract)) = arithmetic_op(i) {
        if op == ArithmeticOp::Subtract {
            spaced_minus(i);
        }
        let height = i.height;
        let begin = i.skip(1);
        let (rest, right) = minus(begin)?;
        let (rest, right) = product_from(rest, begin, right)?;
        let kind = ExprKind::Arithmetic(Box::new(left), op, Box::new(right));
        (i, left) = done(rest, start, height.max(rest.height) + 1, kind)?;
    }
    Ok((i, left))
}

/// A minus sign that touches a name reads like a hyphen: it must stand free.
fn spaced_minus(i: Cursor<'_>) {
    let sign = i.token();
    let before = i.previous().is_some_and(|t| t.end == sign.start);
    let after = i.touches_next();
    if before || after {
        let fix = match (before, after) {
            (true, true) => " - ",
            (true, false) => " -",
            _ => "- ",
        };
        i.report(
            Diagnostic::new(
                Code::SUBTRACTION_WITHOUT_SPACES,
                i.span(),
                "a subtraction needs a space on both sides of `-`",
            )
            .label("names may hold hyphens, so this is unclear")
            .help("write `a - b`")
            .fix(i.span(), fix),
        );
    }
}

fn product_from<'a>(i: Cursor<'a>, start: Cursor<'a>, left: Expr) -> Parsed<'a, Expr> {
    let (mut i, mut left) = defaulted_from(i, start, left)?;
    while let Some(op @ (ArithmeticOp::Multiply | ArithmeticOp::Divide)) = arithmetic_op(i) {
        let height = i.height;
        let begin = i.skip(1);
        let (rest, right) = minus(begin)?;
        let (rest, right) = defaulted_from(rest, begin, right)?;
        let kind = ExprKind::Arithmetic(Box::new(left), op, Box::new(right));
        (i, left) = done(rest, start, height.max(rest.height) + 1, kind)?;
    }
    Ok((i, left))
}

fn minus(start: Cursor<'_>) -> Parsed<'_, Expr> {
    if !start.is(Symbol::Minus) {
        return primary(start);
    }
    let (i, inner) = minus(start.skip(1).deeper()?)?;
    done(i.back_to(start), start, i.height + 1, ExprKind::Negate(Box::new(inner)))
}
