//! Chance that is the same on every machine: a fixed generator, and distributions made of sums, products and roots alone,
//! because the last digit of a logarithm is not the same everywhere.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;
use xxhash_rust::xxh3::xxh3_128;

/// A stream of chance of its own. What is drawn from it depends on the parts that it was made of alone.
#[derive(Debug, Clone)]
pub(super) struct Draw(Pcg64Mcg);

impl Draw {
    /// The stream of a seed, a name and numbers.
    pub(super) fn of(seed: u64, name: &str, numbers: &[u64]) -> Draw {
        let mut bytes = Vec::with_capacity(16 + name.len() + 8 * numbers.len());
        bytes.extend(seed.to_le_bytes());
        bytes.extend((name.len() as u64).to_le_bytes());
        bytes.extend(name.as_bytes());
        for n in numbers {
            bytes.extend(n.to_le_bytes());
        }
        Draw(Pcg64Mcg::new(xxh3_128(&bytes)))
    }

    /// Any number.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From 0 on and below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 on and below `n`; 0 where there is nothing to choose from.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Both ends included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).max(0) as usize + 1) as i64
    }

    /// True with this chance.
    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// One of them, all alike; the empty value of nothing.
    pub(super) fn pick<T: Clone + Default>(&mut self, from: &[T]) -> T {
        from.get(self.below(from.len())).cloned().unwrap_or_default()
    }

    /// One of them by weight.
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let mut left = self.unit() * weights.clone().sum::<f64>();
        let mut last = 0;
        for (at, weight) in weights.enumerate() {
            last = at;
            left -= weight;
            if left < 0.0 {
                return at;
            }
        }
        last
    }

    /// Nearly a bell curve with mean 0 and deviation 1: twelve numbers added.
    pub(super) fn bell(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// How often something came that comes `mean` times on average, nearly by Poisson's law.
    pub(super) fn times(&mut self, mean: f64) -> usize {
        if mean <= 0.0 {
            return 0;
        }
        if mean < 12.0 {
            // Forty chances of a fortieth each: no logarithm needed, and near enough.
            let p = mean / 40.0;
            return (0..40).filter(|_| self.chance(p)).count();
        }
        (mean + self.bell() * mean.sqrt()).round().max(0.0) as usize
    }

    /// A skewed quantity, such as tokens or seconds, by its quantiles: least, median, nine tenths, most.
    pub(super) fn skewed(&mut self, [least, median, most_days, most]: [f64; 4]) -> f64 {
        let u = self.unit();
        let (from, to, low, high) = match u {
            _ if u < 0.5 => (0.0, 0.5, least, median),
            _ if u < 0.9 => (0.5, 0.9, median, most_days),
            _ => (0.9, 1.0, most_days, most),
        };
        let part = (u - from) / (to - from);
        // Squared in the tail: few come near the most.
        low + (high - low) * if from >= 0.9 { part * part } else { part }
    }

    /// A short name of hexadecimal digits.
    pub(super) fn name(&mut self, prefix: &str, digits: usize) -> String {
        let all = format!("{:016x}", self.bits());
        format!("{prefix}{}", all.get(..digits.min(16)).unwrap_or(&all))
    }
}

#[cfg(test)]
mod tests {
    use super::Draw;

    /// The numbers themselves: what this prints must never change, or no stream can be made again.
    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let mut draw = Draw::of(1, "x", &[2, 3]);
        let first: Vec<usize> = (0..6).map(|_| draw.below(1_000)).collect();
        assert_eq!(first, FIRST);
        assert_ne!(Draw::of(1, "x", &[2, 4]).bits(), Draw::of(1, "x", &[2, 3]).bits());
    }

    const FIRST: [usize; 6] = [316, 266, 526, 550, 850, 316];

    #[test]
    fn counts_come_near_their_mean() {
        let mut draw = Draw::of(7, "times", &[]);
        for mean in [0.3, 5.0, 60.0] {
            let n: usize = (0..2_000).map(|_| draw.times(mean)).sum();
            let got = n as f64 / 2_000.0;
            assert!((got - mean).abs() < 0.05 * mean + 0.05, "{mean}: {got}");
        }
        assert_eq!(draw.times(0.0), 0);
    }

    #[test]
    fn quantities_keep_their_quantiles() {
        let mut draw = Draw::of(7, "skewed", &[]);
        let mut all: Vec<f64> = (0..4_000).map(|_| draw.skewed([1.0, 10.0, 100.0, 1_000.0])).collect();
        all.sort_by(f64::total_cmp);
        assert!(
            (9.0..11.0).contains(&all[2_000]) && (85.0..120.0).contains(&all[3_600]),
            "{} {}",
            all[2_000],
            all[3_600]
        );
        assert!(all[0] >= 1.0 && all[3_999] <= 1_000.0);
    }
}
