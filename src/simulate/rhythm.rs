//! When calls come: the course of a day and week, bursts, batches by night. Shapes as published traces of model services
//! show them (people by day and evening, back-ends with a trough at night, batches), figures rounded by us.

use super::draw::Draw;

/// An hour in milliseconds.
pub(super) const HOUR_MS: i64 = 3_600_000;
/// A day in milliseconds.
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;
/// A minute in milliseconds.
pub(super) const MINUTE_MS: i64 = 60_000;

/// Weights of the hours of a local day, for people who chat.
const PEOPLE: [f64; 24] = [
    2.2, 1.3, 0.8, 0.5, 0.5, 0.7, 1.4, 2.6, 4.2, 5.6, 6.2, 6.0, 5.2, 5.6, 6.0, 5.9, 5.5, 5.0, 4.8, 5.4, 6.2, 6.0, 4.8,
    3.4,
];
/// The same at work.
const OFFICE: [f64; 24] = [
    0.1, 0.05, 0.05, 0.05, 0.05, 0.1, 0.4, 2.0, 6.0, 9.5, 10.0, 9.6, 6.0, 7.5, 9.8, 9.4, 8.2, 5.0, 2.0, 0.9, 0.7, 0.6,
    0.4, 0.2,
];
/// Of programs behind which people stand.
const SERVICE: [f64; 24] = [
    2.6, 2.2, 1.9, 1.8, 1.9, 2.2, 2.8, 3.6, 4.6, 5.4, 5.8, 5.8, 5.4, 5.5, 5.6, 5.5, 5.3, 5.2, 5.0, 4.9, 4.8, 4.4, 3.8,
    3.2,
];

/// When somebody or something calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rhythm {
    /// Waking hours at so many hours before UTC, somewhat less at weekends.
    People(i64),
    /// Working hours, hardly anything at weekends.
    Office(i64),
    /// All day with a trough at night.
    Service(i64),
    /// All day and night alike, in clumps as queues make them.
    Flat,
    /// One after the other in equal steps, each a little early or late.
    Even,
    /// A batch each day: from this minute of the UTC day on, over so many minutes.
    Batch { minute: i64, minutes: i64 },
    /// A few bursts a day at working hours, each over so many minutes, and all calls within them.
    Bursts { utc_offset: i64, n: usize, minutes: i64 },
    /// All within these milliseconds since 1970, most of it in the middle.
    Once { from_ms: i64, until_ms: i64 },
}

impl Rhythm {
    /// Moments of the day that begins at `day_ms`, in no order; so many on average.
    pub(super) fn moments(self, draw: &mut Draw, day_ms: i64, weekday: i64, per_day: f64) -> Vec<i64> {
        // 0 is Monday. A week at work has five days, so each of them has more than its seventh.
        let weekend = weekday >= 5;
        match self {
            Rhythm::People(offset) => {
                let n = draw.times(per_day * if weekend { 0.8 } else { 1.08 });
                (0..n).map(|_| by_hours(draw, day_ms, offset, &PEOPLE)).collect()
            }
            Rhythm::Office(offset) => {
                let n = draw.times(per_day * if weekend { 0.12 } else { 1.35 });
                (0..n).map(|_| by_hours(draw, day_ms, offset, &OFFICE)).collect()
            }
            Rhythm::Service(offset) => {
                let n = draw.times(per_day * if weekend { 0.85 } else { 1.06 });
                clumps(draw, n, |draw| by_hours(draw, day_ms, offset, &SERVICE))
            }
            Rhythm::Flat => {
                let n = draw.times(per_day);
                clumps(draw, n, |draw| day_ms + draw.between(0, DAY_MS - 1))
            }
            Rhythm::Even => {
                let n = per_day.floor() as i64 + i64::from(draw.chance(per_day.fract()));
                let step = DAY_MS / n.max(1);
                (0..n).map(|i| day_ms + i * step + draw.between(0, step / 3)).collect()
            }
            Rhythm::Batch { minute, minutes } => {
                let n = draw.times(per_day);
                let from = day_ms + minute * MINUTE_MS;
                (0..n).map(|_| from + draw.between(0, minutes * MINUTE_MS)).collect()
            }
            Rhythm::Bursts { utc_offset, n: bursts, minutes } => {
                let n = draw.times(per_day * if weekend { 0.15 } else { 1.34 });
                let starts: Vec<i64> = (0..bursts).map(|_| by_hours(draw, day_ms, utc_offset, &OFFICE)).collect();
                (0..n).map(|_| draw.pick(&starts) + draw.between(0, minutes * MINUTE_MS)).collect()
            }
            Rhythm::Once { from_ms, until_ms } => {
                let middle = (from_ms + until_ms) / 2;
                if !(day_ms..day_ms + DAY_MS).contains(&middle) {
                    return Vec::new();
                }
                let half = (until_ms - from_ms) / 2;
                let n = draw.times(per_day);
                (0..n).map(|_| middle + (draw.between(-half, half) + draw.between(-half, half)) / 2).collect()
            }
        }
    }
}

fn by_hours(draw: &mut Draw, day_ms: i64, utc_offset: i64, weights: &[f64; 24]) -> i64 {
    let local = draw.weighted(weights.iter().copied()) as i64;
    day_ms + (local - utc_offset).rem_euclid(24) * HOUR_MS + draw.between(0, HOUR_MS - 1)
}

/// Half of them alone, the rest in clumps of some within a minute or two.
fn clumps(draw: &mut Draw, n: usize, mut moment: impl FnMut(&mut Draw) -> i64) -> Vec<i64> {
    let mut found = Vec::with_capacity(n);
    while found.len() < n {
        let at = moment(draw);
        let many = if draw.chance(0.2) { 1 + draw.below(7) } else { 1 };
        let mut later = at;
        for _ in 0..many.min(n - found.len()) {
            found.push(later);
            later += draw.between(200, 25_000);
        }
    }
    found
}
