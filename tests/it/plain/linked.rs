//! Random rules that group by a random link, over events of few accounts that share much.

use fineprint::event::{FieldId, Slot};
use fineprint::hir::{
    Action, Arithmetic, Compare, Exception, Expr, ExprKind, Family, Function, Link, LinkId, LinkValue, ListId, Piece,
    Rule, Shape, Verb, Whose, Windowed,
};
use fineprint::source::Span;
use fineprint::template::Strictness;
use fineprint::time::{Duration, SECOND_NS};
use fineprint::value::{MICROS, Type};
use proptest::prelude::*;

use super::build::*;
use super::generate::window_condition;
use super::generate::{
    Choices, Coming, Numbers, Setting, aggregate_of, baseline_of, comings, condition, over_window, setting, validity,
};

const ACCOUNTS: [&str; 8] = ["ann", "bob", "Ann", "cy", "dee", "eve", "ſam", "flo"];

/// Numbers for a setting, its link and rules, and for each event what it shares.
#[derive(Debug, Clone)]
pub struct LinkedNumbers {
    pub base: Numbers,
    pub link: Vec<u16>,
    pub shared: Vec<Vec<u16>>,
}

pub fn linked_numbers(most: usize) -> impl Strategy<Value = LinkedNumbers> {
    let link = prop::collection::vec(0u16..1_000, 0..160);
    let shared = prop::collection::vec(prop::collection::vec(0u16..1_000, 0..24), most);
    (super::generate::numbers(most), link, shared).prop_map(|(base, link, shared)| LinkedNumbers { base, link, shared })
}

/// The setting with its rules replaced by some that group by a link.
pub fn linked_setting(numbers: &LinkedNumbers) -> Setting {
    let mut setting = setting(&numbers.base.setting);
    let c = &mut Choices::new(&numbers.link);
    let unit = setting.scale.span / 90;
    let step = Duration(unit / SECOND_NS * SECOND_NS * c.pick(&[5, 1, 2, 10]));
    setting.options.link_edges = c.pick(&[usize::MAX, usize::MAX, usize::MAX, 4, 7]);
    setting.options.link_pairs = c.pick(&[u64::MAX, u64::MAX, u64::MAX, 3, 6, 1]);
    setting.program.links = vec![link_of(c, "operator", step), link_of(c, "ring", step)];
    let count = 1 + c.below(2);
    setting.program.rules = (0..count).map(|i| rule_of(c, &setting, i, step)).collect();
    setting
}

fn link_of(c: &mut Choices<'_>, name: &str, step: Duration) -> Link {
    let flags = || field(FieldId::HEADER_FLAGS);
    let template =
        || expr(Type::List(Box::new(Type::Fingerprint)), ExprKind::Template(FieldId::PROMPT, Strictness::Loose));
    let all: [(&str, Expr, &[u32]); 7] = [
        ("payment_fingerprint", field(FieldId::PAYMENT_FINGERPRINT), &[]),
        ("device_fp", field(FieldId::DEVICE_FP), &[]),
        ("network(ip)", network(field(FieldId::IP), 24, 48), &[2]),
        ("header_flags", flags(), &[0]),
        ("status", field(FieldId::STATUS), &[4]),
        ("template(prompt, loose)", template(), &[5]),
        ("ip", field(FieldId::IP), &[2]),
    ];
    // Half of all links are tied by what events share at random.
    let first = if c.once_in(2) { c.below(7) } else { 0 };
    let count = c.pick(&[1, 2, 2, 3, 4]);
    let families: Vec<Family> = (0..count)
        .map(|i| {
            let (name, of, lists) = &all[(first + i) % all.len()];
            Family {
                name: (*name).to_string(),
                of: of.clone(),
                within: Duration(step.0 * c.pick(&[12, 40, 40, 4, 2, 1])),
                used: c.pick(&[1, 1, 1, 1, 1, 2, 3]),
                ignoring: if c.once_in(3) { lists.iter().map(|l| ListId(*l)).collect() } else { Vec::new() },
                cap: c.pick(&[100, 100, 100, 3, 2, 4]),
            }
        })
        .collect();
    let needs = c.pick(&[1, 1, 2]).min(families.len() as u32);
    Link { name: name.to_string(), families, needs, span: Span::default() }
}

fn aggregates(c: &mut Choices<'_>) -> Vec<fineprint::hir::Aggregate> {
    let merges = |f: &Function| {
        !matches!(f, Function::First(_) | Function::Last(_) | Function::LongestIdle | Function::TopSpeed(_))
    };
    let count = 1 + c.below(3);
    let mut all: Vec<fineprint::hir::Aggregate> = (0..count)
        .map(|_| {
            let made = aggregate_of(c);
            if merges(&made.function) { made } else { aggregate(distinct(vec![field(FieldId::ACCOUNT)]), None) }
        })
        .collect();
    for _ in 0..c.pick(&[0, 1, 0, 2]) {
        let Some(mut made) = baseline_of(c, &all) else { continue };
        if let Function::Baseline(b) = &mut made.function {
            b.whose = Whose::Own;
            if c.once_in(4) && b.of.ty == Type::Integer {
                let members = expr(Type::Integer, ExprKind::Link(LinkValue::Members));
                b.of = arithmetic(Type::Decimal, Arithmetic::Ratio, b.of.clone(), members);
            }
            made.ty = b.of.ty.clone();
        }
        all.push(made);
    }
    all
}

fn of_link(c: &mut Choices<'_>, families: usize) -> Expr {
    match c.below(3) {
        0 => expr(Type::Integer, ExprKind::Link(LinkValue::Members)),
        1 => expr(Type::String, ExprKind::Link(LinkValue::Families)),
        _ => expr(Type::Percentage, ExprKind::Link(LinkValue::TiedShare(c.below(families) as u16))),
    }
}

fn rule_of(c: &mut Choices<'_>, setting: &Setting, number: usize, step: Duration) -> Rule {
    let filter = c.once_in(8).then(|| condition(c, 1));
    let mut made = rule(&format!("r{number}"), filter);
    if c.once_in(2) {
        made.kinds = fineprint::event::Kind::ALL.to_vec();
    }
    let link = LinkId(c.below(2) as u32);
    let families = setting.program.links[link.0 as usize].families.len();
    let aggregates = aggregates(c);
    let mut lets = Vec::new();
    for i in 0..c.below(3) {
        let value = match c.below(3) {
            0 => result(&aggregates, i % aggregates.len()),
            1 => of_link(c, families),
            _ => over_window(c, &aggregates, 1),
        };
        lets.push((format!("v{i}"), value));
    }
    let of_window = window_condition(c, &aggregates, &[], (&[], None), 1);
    let members = expr(Type::Integer, ExprKind::Link(LinkValue::Members));
    let many =
        compare(c.pick(&[Compare::GreaterEqual, Compare::Less]), members, num(Type::Integer, c.pick(&[2, 3, 4])));
    let share = expr(Type::Percentage, ExprKind::Link(LinkValue::TiedShare(c.below(families) as u16)));
    let share = compare(Compare::Greater, share, num(Type::Percentage, MICROS / 2));
    let when = match c.below(9) {
        0..=3 => compare(Compare::GreaterEqual, result_count(&aggregates), num(result_count(&aggregates).ty, 1)),
        4 => and(vec![
            compare(Compare::GreaterEqual, result_count(&aggregates), num(result_count(&aggregates).ty, 1)),
            compare(Compare::Less, result_count(&aggregates), num(result_count(&aggregates).ty, 5)),
        ]),
        5 => and(vec![of_window, many]),
        6 => or(vec![of_window, share]),
        7 => many,
        _ => of_window,
    };
    made.because.extend(lets.iter().map(|(name, value)| Piece::Value(name.clone(), value.clone())));
    made.because.push(Piece::Value("operator".into(), expr(Type::String, ExprKind::Key(0))));
    made.because.push(Piece::Value("link.families".into(), expr(Type::String, ExprKind::Link(LinkValue::Families))));
    made.lets = lets;
    for _ in 0..c.pick(&[0, 1, 1, 2]) {
        let (from, until) = validity(c, setting.scale);
        let filter = match c.below(3) {
            0 => equals(FieldId::ACCOUNT, c.pick(&ACCOUNTS)),
            1 => is(FieldId::STATUS, Compare::Equal, c.pick(&[200, 429])),
            _ => condition(c, 1),
        };
        made.exceptions.push(Exception { from, until, ..except(filter) });
    }
    if c.once_in(3) {
        made.cooldown = Some(Duration(c.pick(&[10 * SECOND_NS, 25 * SECOND_NS, 60 * SECOND_NS])));
    }
    if c.once_in(3) {
        let verb = Verb::Block;
        made.actions = vec![Action { after_review: true, delayed: None, verb, scope: "group", duration: None }];
        made.budget = c.pick(&[None, Some(1)]);
        made.rollout = c.pick(&[None, Some(MICROS / 2)]);
    }
    let length = Duration(step.0 * c.pick(&[12, 1, 2, 40]));
    // Another step makes another view of the link.
    let step = if number == 1 && c.once_in(2) && step.0 % (5 * SECOND_NS) == 0 { Duration(step.0 / 5) } else { step };
    made.shape = Shape::Windowed(Windowed {
        only: Vec::new(),
        per: vec![field(FieldId::ACCOUNT)],
        link: Some(link),
        length,
        step,
        gap: None,
        aggregates,
        when,
    });
    made
}

fn result_count(aggregates: &[fineprint::hir::Aggregate]) -> Expr {
    result(aggregates, 0)
}

/// The events of a case: few accounts, which share cards and devices.
pub fn linked_comings(numbers: &LinkedNumbers, setting: &Setting, within_lateness: bool) -> Vec<Coming> {
    let mut all = comings(&numbers.base, setting.scale, within_lateness);
    // All glued together, groups at random, or pairs that meet now and then.
    let different = [4, 9, 0, 0][numbers.link.len() % 4];
    for coming in &mut all {
        let place: usize = coming.event.id()[..2].parse().unwrap();
        let number = (0..100).find(|n| n * 37 % 100 == place).unwrap();
        let c = &mut Choices::new(numbers.shared.get(number).map_or(&[], Vec::as_slice));
        let mut event = coming.event.clone();
        let account = c.below(ACCOUNTS.len());
        if !c.once_in(9) {
            event.set(FieldId::ACCOUNT, word(ACCOUNTS[account]));
        }
        let shared = |c: &mut Choices<'_>| match different {
            0 if c.once_in(6) => c.below(ACCOUNTS.len() / 2),
            0 => account / 2,
            n => c.below(n),
        };
        let (card, device) = (shared(c), shared(c));
        if !c.once_in(6) {
            event.set(FieldId::PAYMENT_FINGERPRINT, word(&format!("c{card}")));
        }
        if !c.once_in(3) {
            event.set(FieldId::DEVICE_FP, word(&format!("d{device}")));
        }
        if c.once_in(6) {
            event.set(FieldId::STATUS, Slot::Num(503));
        }
        coming.event = sealed(event);
    }
    all
}
