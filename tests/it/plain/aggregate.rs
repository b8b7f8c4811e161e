//! Aggregates, each computed from all events of a window at once.

use std::collections::{BTreeMap, BTreeSet};

use fineprint::hir::{Aggregate, Function};
use fineprint::place::Country;
use fineprint::time::{Duration, HOUR_NS, MINUTE_NS, SECOND_NS, Timestamp};
use fineprint::value::{MICROS, Type};
use fineprint::violation::Bound;

use super::expr::{Interpreter, Scope, Val, narrow, quotient};
use super::window::Event;

/// Up to how many values these are exact.
pub const DISTINCT_EXACT: usize = 131_072;
pub const VALUES_EXACT: usize = 65_536;
pub const QUANTILE_EXACT: usize = 1_024;
pub const WORDINGS_EXACT: usize = 1_024;

/// A window as aggregates see it.
pub struct Window<'e> {
    /// `[start, end)`; a session starts with its first event, whether an exception takes that out or not.
    pub start: Timestamp,
    pub end: Timestamp,
    pub step: Duration,
    /// In order of (time, id).
    pub events: Vec<&'e Event>,
}

/// One aggregate over a window, and how far it may be off.
pub fn aggregate(calc: &Interpreter<'_>, a: &Aggregate, window: &Window<'_>) -> (Val, Option<Bound>) {
    let counted: Vec<&Event> =
        window.events.iter().copied().filter(|e| calc.is_true(a.filter.as_ref(), Scope::Event(e))).collect();
    let known =
        |of| -> Vec<Val> { counted.iter().map(|e| calc.value(of, Scope::Event(e))).filter(Val::is_known).collect() };
    let numbers = |of| -> Vec<i64> {
        known(of).into_iter().map(|v| if let Val::Num(n) = v { n } else { panic!("{v:?} is no number") }).collect()
    };
    let total = |numbers: &[i64]| numbers.iter().map(|n| i128::from(*n)).sum::<i128>();
    let number = |n: Option<i64>| n.map_or(Val::Unknown, Val::Num);
    // Each item of several values is told apart; of templates, wordings are.
    let told_apart = |of| -> Vec<Val> {
        let values = known(of);
        if !matches!(of.ty, Type::List(_)) {
            return values;
        }
        let texts = |v: Val| if let Val::Texts(all) = v { all } else { panic!("{v:?} is no list") };
        let each = |v: Val| texts(v).into_iter().collect::<BTreeSet<String>>().into_iter().map(Val::Text);
        values.into_iter().flat_map(each).collect()
    };
    if let Some(of) = a.function.arguments().iter().find(|e| e.is_template()) {
        let prompts = counted.iter().filter_map(|e| match calc.value(of, Scope::Event(e)) {
            Val::Texts(all) if !all.is_empty() => Some((e.ts(), all.into_iter().collect())),
            _ => None,
        });
        let (sizes, bound) = wordings(prompts.collect());
        let all: i64 = sizes.iter().sum();
        let value = match &a.function {
            Function::TopShare(_, most) => {
                let top: i64 = sizes.iter().take(*most as usize).sum();
                quotient(i128::from(top) * i128::from(MICROS), all.into())
            }
            Function::Entropy(_) if all == 0 => Val::Unknown,
            Function::Entropy(_) => Val::Num(entropy(&sizes)),
            _ => Val::Num(sizes.len() as i64),
        };
        return (value, bound);
    }
    let value = match &a.function {
        Function::Count => Val::Num(counted.len() as i64),
        Function::Sum(of) => narrow(total(&numbers(of))),
        Function::Min(of) => number(numbers(of).into_iter().min()),
        Function::Max(of) => number(numbers(of).into_iter().max()),
        // The sum has 128 bits here: only the average itself may be out of range.
        Function::Average(of) => {
            let numbers = numbers(of);
            let scale = if matches!(of.ty, Type::Integer | Type::Tokens) { i128::from(MICROS) } else { 1 };
            quotient(total(&numbers) * scale, numbers.len() as i128)
        }
        // Keys of `one per` and values are counted apart: an organisation and an account of one name are two.
        // Where the condition is true but the key unknown, the value counts; where the key counts, the value need not be known.
        Function::Distinct { of, one_per } => {
            let mut seen: BTreeSet<(bool, Vec<Val>)> = BTreeSet::new();
            if let ([single], None) = (of.as_slice(), one_per) {
                seen.extend(told_apart(single).into_iter().map(|value| (false, vec![value])));
            }
            for e in counted.iter().map(|e| Scope::Event(e)) {
                let key = one_per
                    .as_ref()
                    .filter(|(_, condition)| calc.is_true(condition.as_ref(), e))
                    .map(|(key, _)| calc.value(key, e));
                let values: Vec<Val> = of.iter().map(|part| calc.value(part, e)).collect();
                match key {
                    Some(key) if key.is_known() => {
                        seen.insert((true, vec![key]));
                    }
                    _ if values.iter().all(|v| v.is_known() && !matches!(v, Val::Texts(_))) => {
                        seen.insert((false, values));
                    }
                    _ => {}
                }
            }
            if seen.len() > DISTINCT_EXACT {
                let estimate = estimated(seen.iter().map(|(_, values)| hash(&values[0])));
                return (Val::Num(estimate.max(DISTINCT_EXACT as i64 + 1)), Some(Bound::StandardError(8_125)));
            }
            Val::Num(seen.len() as i64)
        }
        Function::Share(condition) => {
            let truths = known(condition);
            let yes = truths.iter().filter(|t| **t == Val::Bool(true)).count();
            quotient(yes as i128 * i128::from(MICROS), truths.len() as i128)
        }
        // The least value that the share of all values does not exceed.
        Function::Quantile(of, share) => {
            let mut numbers = numbers(of);
            numbers.sort_unstable();
            let enough = (1..=numbers.len()).find(|n| *n as i64 * MICROS >= numbers.len() as i64 * share);
            let exact = enough.map(|n| numbers[n - 1]);
            if numbers.len() > QUANTILE_EXACT {
                return (number(exact.map(middle_of_bucket)), Some(Bound::Within(7_813)));
            }
            number(exact)
        }
        Function::Spread(of) => {
            let numbers = numbers(of);
            let (count, sum) = (numbers.len() as u128, total(&numbers).unsigned_abs());
            let squares = numbers.iter().try_fold(0u128, |sum, n| sum.checked_add(square(n.unsigned_abs().into())?));
            let scatter = squares.and_then(|s| s.checked_mul(count)?.checked_sub(square(sum)?));
            match scatter {
                Some(scatter) if sum > 0 => number(ratio_of_root(scatter, sum)),
                _ => Val::Unknown,
            }
        }
        Function::TopShare(of, most) => {
            let (values, bound) = shared(told_apart(of), Bound::AtMost);
            let mut counts = counts(&values);
            counts.sort_unstable();
            let top: i64 = counts.iter().rev().take(*most as usize).sum();
            return (quotient(i128::from(top) * i128::from(MICROS), values.len() as i128), bound);
        }
        // Computed with floating point numbers: the engine has none, and must come to the same millionth.
        Function::Entropy(of) => {
            let (values, bound) = shared(told_apart(of), Bound::AtLeast);
            let bits = if values.is_empty() { Val::Unknown } else { Val::Num(entropy(&counts(&values))) };
            return (bits, bound);
        }
        Function::First(of) => known(of).into_iter().next().unwrap_or(Val::Unknown),
        Function::Last(of) => known(of).pop().unwrap_or(Val::Unknown),
        Function::Rate => {
            let time = window.end.since(window.start).max(window.step);
            quotient(counted.len() as i128 * i128::from(MINUTE_NS) * i128::from(MICROS), time.0.into())
        }
        Function::LongestIdle => {
            let times = counted.iter().map(|e| e.ts());
            let moments: Vec<Timestamp> = [window.start].into_iter().chain(times).chain([window.end]).collect();
            number(moments.windows(2).map(|pair| pair[1].since(pair[0]).0).max())
        }
        Function::TopSpeed(of) => {
            let place = |e: &&Event| match calc.value(of, Scope::Event(e)) {
                Val::Text(code) => Country::from_code(&code).map(|country| (e.ts(), country)),
                _ => None,
            };
            let places: Vec<(Timestamp, Country)> = counted.iter().filter_map(place).collect();
            let speed = |pair: &[(Timestamp, Country)]| {
                let time = pair[1].0.since(pair[0].0).0.max(SECOND_NS);
                let distance = i128::from(distance_km(pair[0].1, pair[1].1));
                quotient(distance * i128::from(HOUR_NS) * i128::from(MICROS), time.into())
            };
            places.windows(2).map(speed).max().unwrap_or(Val::Unknown)
        }
        Function::Baseline(_) => unreachable!("made of earlier windows"),
    };
    (value, None)
}

/// How many prompts each wording has, the commonest first; the prompts as their time and their fingerprints. Of too many
/// prompts, those count whose hashes are the least.
pub fn wordings(mut prompts: Vec<(Timestamp, BTreeSet<String>)>) -> (Vec<i64>, Option<Bound>) {
    let draw = |(ts, all): &(Timestamp, BTreeSet<String>)| {
        let mut bytes = ts.0.to_be_bytes().to_vec();
        bytes.push(1);
        all.iter().for_each(|f| bytes.extend(u64::from_str_radix(f, 16).unwrap().to_be_bytes()));
        hash_of(&bytes)
    };
    let mut draws: Vec<u64> = prompts.iter().map(draw).collect::<BTreeSet<u64>>().into_iter().collect();
    let bound = (draws.len() > WORDINGS_EXACT).then_some(Bound::Sample(WORDINGS_EXACT as u32));
    draws.truncate(WORDINGS_EXACT);
    prompts.retain(|prompt| draws.contains(&draw(prompt)));
    let mut sizes = Vec::new();
    while !prompts.is_empty() {
        let mut holders: BTreeMap<&String, i64> = BTreeMap::new();
        prompts.iter().flat_map(|(_, all)| all).for_each(|f| *holders.entry(f).or_insert(0) += 1);
        let most =
            holders.iter().max_by_key(|(f, n)| (**n, std::cmp::Reverse(**f))).map(|(f, n)| ((*f).clone(), *n)).unwrap();
        sizes.push(most.1);
        prompts.retain(|(_, all)| !all.contains(&most.0));
    }
    (sizes, bound)
}

/// In millionths of a bit.
fn entropy(counts: &[i64]) -> i64 {
    let all = counts.iter().sum::<i64>() as f64;
    let bits: f64 = counts.iter().map(|n| *n as f64 / all).map(|p| -p * p.log2()).sum();
    (bits * MICROS as f64).round() as i64
}

fn square(n: u128) -> Option<u128> {
    n.checked_mul(n)
}

/// The root of a number by another, in millionths, rounded down: by long division of decimal digits of the root.
fn ratio_of_root(n: u128, by: u128) -> Option<i64> {
    // (q by)² ≤ n 10¹², digit by digit of q; the numbers are kept as limbs of 32 bits.
    let limbs = |n: u128| (0..4).map(|i| (n >> (32 * i)) as u32).collect::<Vec<u32>>();
    let wanted = times(&limbs(n), &limbs(1_000_000_000_000));
    let mut found = 0u128;
    for bit in (0..64).rev() {
        let next = found | 1 << bit;
        let side = times(&limbs(next), &limbs(by));
        if !less(&wanted, &times(&side, &side)) {
            found = next;
        }
    }
    i64::try_from(found).ok()
}

/// The product of two numbers of limbs, the lowest first.
fn times(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut out = vec![0u32; a.len() + b.len()];
    for (i, x) in a.iter().enumerate() {
        let mut carry = 0u64;
        for (j, y) in b.iter().enumerate() {
            let sum = u64::from(out[i + j]) + u64::from(*x) * u64::from(*y) + carry;
            out[i + j] = sum as u32;
            carry = sum >> 32;
        }
        out[i + b.len()] = carry as u32;
    }
    out
}

fn less(a: &[u32], b: &[u32]) -> bool {
    let limb = |n: &[u32], i: usize| n.get(i).copied().unwrap_or(0);
    let at = (0..a.len().max(b.len())).rev().find(|i| limb(a, *i) != limb(b, *i));
    at.is_some_and(|i| limb(a, i) < limb(b, i))
}

/// Where too many values differ, those whose hashes end alike are taken for one.
fn shared(values: Vec<Val>, bound: Bound) -> (Vec<Val>, Option<Bound>) {
    if values.iter().collect::<BTreeSet<_>>().len() <= VALUES_EXACT {
        return (values, None);
    }
    (values.iter().map(|v| Val::Num((hash(v) % VALUES_EXACT as u64) as i64)).collect(), Some(bound))
}

/// How often each value occurs.
fn counts(values: &[Val]) -> Vec<i64> {
    let mut counts: BTreeMap<&Val, i64> = BTreeMap::new();
    values.iter().for_each(|v| *counts.entry(v).or_insert(0) += 1);
    counts.into_values().collect()
}

/// Of all numbers with the same sign and the same seven leading binary digits, the middle one.
pub fn middle_of_bucket(n: i64) -> i64 {
    let size = i128::from(n).abs();
    let mut width = 1;
    while size / width >= 128 {
        width *= 2;
    }
    let low = size / width * width;
    let middle = (low + (width - 1) / 2).min(i64::MAX.into()) as i64;
    if n < 0 { -middle } else { middle }
}

/// How many different hashes there are, by the ranks of 16,384 registers.
fn estimated(hashes: impl Iterator<Item = u64>) -> i64 {
    let mut ranks = vec![0u32; 1 << 14];
    for hash in hashes {
        let rank = (1..=50).find(|i| hash & 1 << (50 - i) != 0).unwrap_or(51);
        let register = &mut ranks[(hash >> 50) as usize];
        *register = (*register).max(rank);
    }
    // Powers of two: the sum has no rounding error that could show.
    let harmonic: f64 = ranks.iter().map(|rank| 2f64.powi(-(*rank as i32))).sum();
    (0.7212525 * f64::from(1 << 14).powi(2) / harmonic).floor() as i64
}

fn hash_of(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, u64::from_be_bytes(*b"\0FINEPRI"))
}

fn hash(value: &Val) -> u64 {
    match value {
        Val::Text(text) => hash_of(text.as_bytes()),
        Val::Num(n) => hash_of(&n.to_be_bytes()),
        other => panic!("no estimate of {other:?}"),
    }
}

/// Along a sphere of 6,371 km, rounded.
pub fn distance_km(a: Country, b: Country) -> i64 {
    let radians = |hundredths: i16| (f64::from(hundredths) / 100.0).to_radians();
    let ((north_a, east_a), (north_b, east_b)) = (a.middle(), b.middle());
    let half = |a, b| ((radians(a) - radians(b)) / 2.0).sin().powi(2);
    let chord = half(north_a, north_b) + radians(north_a).cos() * radians(north_b).cos() * half(east_a, east_b);
    (2.0 * 6_371.0 * chord.sqrt().asin()).round() as i64
}
