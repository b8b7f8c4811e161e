//! Short ways to write typed rules and events by hand.

use fineprint::event::fields::FIELDS;
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::hir::{
    Aggregate, Arithmetic, Clause, ClauseRef, Compare, Confidence, Const, Exception, Expr, ExprKind, Function, List,
    ListColumns, Mode, Piece, Policy, Program, Rule, Severity, Shape, Table, TextTest, Windowed,
};
use fineprint::source::Span;
use fineprint::time::{Duration, SECOND_NS, Timestamp};
use fineprint::value::Type;

use super::window::Event;

pub fn expr(ty: Type, kind: ExprKind) -> Expr {
    Expr { ty, kind, span: Span::default() }
}

pub fn field(id: FieldId) -> Expr {
    expr(FIELDS[usize::from(id.0)].ty.clone(), ExprKind::Field(id))
}

pub fn num(ty: Type, n: i64) -> Expr {
    expr(ty, ExprKind::Const(Const::Num(n)))
}

pub fn text(t: &str) -> Expr {
    expr(Type::String, ExprKind::Const(Const::Text(t.to_string())))
}

pub fn compare(op: Compare, a: Expr, b: Expr) -> Expr {
    expr(Type::Bool, ExprKind::Compare(op, Box::new(a), Box::new(b)))
}

/// A field compared with a number of its type.
pub fn is(id: FieldId, op: Compare, n: i64) -> Expr {
    let field = field(id);
    let bound = num(field.ty.clone(), n);
    compare(op, field, bound)
}

pub fn equals(id: FieldId, t: &str) -> Expr {
    let field = field(id);
    let ty = field.ty.clone();
    compare(Compare::Equal, field, expr(ty, ExprKind::Const(Const::Text(t.to_string()))))
}

pub fn and(all: Vec<Expr>) -> Expr {
    expr(Type::Bool, ExprKind::And(all))
}

pub fn or(all: Vec<Expr>) -> Expr {
    expr(Type::Bool, ExprKind::Or(all))
}

pub fn not(a: Expr) -> Expr {
    expr(Type::Bool, ExprKind::Not(Box::new(a)))
}

pub fn arithmetic(ty: Type, op: Arithmetic, a: Expr, b: Expr) -> Expr {
    expr(ty, ExprKind::Arithmetic(op, Box::new(a), Box::new(b)))
}

pub fn or_default(a: Expr, b: Expr) -> Expr {
    expr(a.ty.clone(), ExprKind::OrDefault(Box::new(a), Box::new(b)))
}

pub fn text_test(operand: Expr, test: TextTest, ignoring_case: bool) -> Expr {
    expr(Type::Bool, ExprKind::Text { operand: Box::new(operand), test, ignoring_case })
}

pub fn network(operand: Expr, v4: u8, v6: u8) -> Expr {
    expr(Type::Cidr, ExprKind::Network(Box::new(operand), v4, v6))
}

/// An aggregate with the type its function gives it.
pub fn aggregate(function: Function, filter: Option<Expr>) -> Aggregate {
    let ty = match &function {
        Function::Count | Function::Distinct { .. } => Type::Integer,
        Function::Sum(of) | Function::Min(of) | Function::Max(of) => of.ty.clone(),
        Function::Average(of) if matches!(of.ty, Type::Integer | Type::Tokens) => Type::Decimal,
        Function::Average(of) => of.ty.clone(),
        Function::Share(_) | Function::Spread(_) | Function::TopShare(..) => Type::Percentage,
        Function::Quantile(of, _) | Function::First(of) | Function::Last(of) => of.ty.clone(),
        Function::Entropy(_) | Function::Rate | Function::TopSpeed(_) => Type::Decimal,
        Function::LongestIdle => Type::Duration,
        Function::Baseline(b) => b.of.ty.clone(),
    };
    Aggregate { function, filter, ty, span: Span::default() }
}

/// What an aggregate of a window comes to.
pub fn result(aggregates: &[Aggregate], i: usize) -> Expr {
    expr(aggregates[i].ty.clone(), ExprKind::Aggregate(i as u16))
}

pub fn distinct(of: Vec<Expr>) -> Function {
    Function::Distinct { of, one_per: None }
}

/// A rule over single completions; the rest is changed by `..rule(…)`.
pub fn rule(name: &str, filter: Option<Expr>) -> Rule {
    Rule {
        name: name.to_string(),
        enforces: vec![ClauseRef {
            policy: "acme.usage".into(),
            clause: "fair-use".into(),
            versions: vec![(0, 0), (1, 0)],
        }],
        severity: Severity::Medium,
        confidence: Confidence::Medium,
        mode: Mode::Shadow,
        kinds: vec![Kind::Completion],
        filter,
        shape: Shape::Single,
        lets: Vec::new(),
        exceptions: Vec::new(),
        actions: Vec::new(),
        cooldown: None,
        budget: None,
        rollout: None,
        changed: None,
        because: vec![Piece::Text("seen".into())],
        mistaken_for: Vec::new(),
        limit: None,
        span: Span::default(),
        definition: Span::default(),
    }
}

/// `per … over … every … when aggregate >= n`, one aggregate.
pub fn threshold(per: Vec<Expr>, length: i64, step: i64, of: Aggregate, at_least: i64) -> Shape {
    let aggregates = vec![of];
    let value = result(&aggregates, 0);
    let when = compare(Compare::GreaterEqual, value.clone(), num(value.ty.clone(), at_least));
    Shape::Windowed(Windowed {
        per,
        link: None,
        only: Vec::new(),
        length: Duration::from_secs(length),
        step: Duration::from_secs(step),
        gap: None,
        aggregates,
        when,
    })
}

pub fn except(filter: Expr) -> Exception {
    Exception {
        filter,
        because: "licensed".into(),
        owner: "legal".into(),
        evidence: "C-1".into(),
        from: None,
        until: None,
        span: Span::default(),
    }
}

/// Rules with two versions of one document, from `first` and from `second`, and the account registry.
pub fn program(rules: Vec<Rule>, first: Timestamp, second: Timestamp) -> Program {
    let policy = |version: &str, from: Timestamp, until: Option<Timestamp>| Policy {
        name: "acme.usage".into(),
        version: version.into(),
        title: "Usage".into(),
        url: String::new(),
        from,
        until,
        clauses: vec![Clause {
            name: "fair-use".into(),
            permits: false,
            section: format!("§ {version}"),
            says: "Use it fairly.".into(),
            from,
            until,
        }],
        span: Span::default(),
    };
    Program {
        policies: vec![policy("1970-01-01", first, Some(second)), policy("1970-01-02", second, None)],
        lists: Vec::new(),
        tables: vec![table("account", field(FieldId::ACCOUNT), &[])],
        links: Vec::new(),
        series: Vec::new(),
        definitions: Vec::new(),
        rules,
    }
}

pub fn table(name: &str, key: Expr, columns: &[(&str, Type)]) -> Table {
    let columns = columns.iter().map(|(name, ty)| ((*name).to_string(), ty.clone())).collect();
    Table { name: name.into(), key, path: None, valid: None, columns, span: Span::default() }
}

pub fn list(name: &str, ty: Type) -> List {
    List {
        name: name.into(),
        ty,
        inline: None,
        path: Some("list.csv".into()),
        columns: ListColumns::default(),
        span: Span::default(),
    }
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * SECOND_NS)
}

/// A completion; its content hash is set by [`sealed`].
pub fn completion(id: &str, seconds: i64, fields: Vec<(FieldId, Slot<'static>)>) -> Event {
    let mut event = UsageEvent::new(Kind::Completion, id.to_string(), at(seconds));
    for (field, slot) in fields {
        event.set(field, slot);
    }
    sealed(event)
}

/// The event with a content hash of all it says.
pub fn sealed(mut event: Event) -> Event {
    let says = format!("{:?} {:?}", event.kind(), event.fields().collect::<Vec<_>>());
    event.set_content(xxhash_rust::xxh3::xxh3_128(says.as_bytes()));
    event
}

pub fn word(t: &str) -> Slot<'static> {
    Slot::Text(t.to_string().into())
}
