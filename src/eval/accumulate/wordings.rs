//! How many wordings the prompts of a window have, and how large a part the commonest make up. A prompt has up to 32
//! fingerprints, and prompts of one wording share some: so the fingerprint that most prompts have is the first wording, with
//! all prompts that have it; of the rest, that which most have is the second; and so on, of several the smallest, until no
//! prompt is left. A prompt without a fingerprint has no wording and is left out.
//!
//! Up to a bound all prompts are looked at, above it a sample: those whose time and fingerprints have the least hashes, so
//! that the sample follows from the events of the window alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::bounded;
use super::tally::entropy_of;
use crate::eval::footprint::HeapBytes;
use crate::eval::intern::Interner;
use crate::eval::items;
use crate::plan::rule::{PROMPTS_MAX, WordingFold};
use crate::plan::scalar::divide_rounded;
use crate::value::MICROS;

/// Prompts of one moment that are alike.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Prompt {
    /// The symbol of their fingerprints.
    word: u64,
    n: u32,
}

/// The prompts of a step by their draw.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Step {
    prompts: BTreeMap<u64, Prompt>,
    /// Whether some went that cannot be among the least any more.
    cut: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Wordings {
    steps: VecDeque<(i64, Step)>,
    /// Prompts in all steps.
    len: usize,
    /// At how many prompts those are dropped that cannot be among the least.
    cut_at: usize,
}

impl Wordings {
    pub(crate) fn add(&mut self, step: i64, ts: i64, word: u64, interner: &Interner) {
        let set = interner.get(word);
        if items::is_empty(set) {
            return;
        }
        let mut bytes = Vec::with_capacity(8 + set.len());
        bytes.extend(ts.to_be_bytes());
        bytes.extend(set);
        self.take(step, bounded::hash(&bytes), Prompt { word, n: 1 });
        if self.len > self.cut_at.max(2 * PROMPTS_MAX) {
            self.cut();
        }
    }

    fn take(&mut self, step: i64, draw: u64, prompt: Prompt) {
        if self.steps.back().is_none_or(|(last, _)| *last != step) {
            self.steps.push_back((step, Step::default()));
        }
        let Some((_, last)) = self.steps.back_mut() else { return };
        let known = last.prompts.entry(draw).or_insert(Prompt { n: 0, ..prompt });
        self.len += usize::from(known.n == 0);
        known.n = known.n.saturating_add(prompt.n);
    }

    /// Drops every prompt that is not among the least of its own and all later steps: no window that holds it will look at it.
    fn cut(&mut self) {
        let mut least: BinaryHeap<u64> = BinaryHeap::with_capacity(PROMPTS_MAX + 1);
        self.len = 0;
        for (_, step) in self.steps.iter_mut().rev() {
            for draw in step.prompts.keys() {
                least.push(*draw);
                if least.len() > PROMPTS_MAX {
                    least.pop();
                }
            }
            if least.len() == PROMPTS_MAX
                && let Some(after) = least.peek().and_then(|most| most.checked_add(1))
            {
                step.cut |= !step.prompts.split_off(&after).is_empty();
            }
            self.len += step.prompts.len();
        }
        self.cut_at = 2 * self.len;
    }

    /// Adds all that another holds, under step 0.
    pub(super) fn absorb(&mut self, other: &Wordings) {
        for (_, step) in &other.steps {
            step.prompts.iter().for_each(|(draw, prompt)| self.take(0, *draw, *prompt));
            if let Some((_, own)) = self.steps.back_mut() {
                own.cut |= step.cut;
            }
        }
        if self.len > self.cut_at.max(2 * PROMPTS_MAX) {
            self.cut();
        }
    }

    pub(crate) fn expire(&mut self, first: i64) {
        while let Some((_, step)) = self.steps.pop_front_if(|(step, _)| *step < first) {
            self.len -= step.prompts.len();
        }
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.len <= PROMPTS_MAX && !self.steps.iter().any(|(_, step)| step.cut)
    }

    /// How many prompts are looked at; follows from the window alone.
    pub(super) fn kept(&self) -> usize {
        self.len.min(PROMPTS_MAX)
    }

    /// How many prompts each wording has, the commonest first.
    fn sizes(&self, interner: &Interner) -> Vec<u64> {
        let mut drawn: Vec<(u64, Prompt)> =
            self.steps.iter().flat_map(|(_, step)| &step.prompts).map(|(draw, prompt)| (*draw, *prompt)).collect();
        if drawn.len() > PROMPTS_MAX {
            drawn.sort_unstable_by_key(|(draw, _)| *draw);
            drawn.truncate(PROMPTS_MAX);
        }
        let prompts: Vec<(u64, Vec<u64>)> = drawn
            .into_iter()
            .map(|(_, prompt)| (u64::from(prompt.n), items::words(interner.get(prompt.word)).collect()))
            .collect();
        // Of each fingerprint, how many of the prompts that are left have it, and all that have it.
        let mut shared: HashMap<u64, (u64, Vec<usize>), foldhash::fast::FixedState> = HashMap::default();
        for (at, (n, fingerprints)) in prompts.iter().enumerate() {
            for fingerprint in fingerprints {
                let (left, holders) = shared.entry(*fingerprint).or_default();
                *left += n;
                holders.push(at);
            }
        }
        let mut order: BinaryHeap<(u64, Reverse<u64>)> = shared.iter().map(|(f, (n, _))| (*n, Reverse(*f))).collect();
        let mut taken = vec![false; prompts.len()];
        let mut sizes = Vec::new();
        while let Some((was, Reverse(fingerprint))) = order.pop() {
            let Some((left, holders)) = shared.get_mut(&fingerprint) else { continue };
            let left = *left;
            if left < was {
                // Some went to another wording since: it waits for its new turn.
                order.extend((left > 0).then_some((left, Reverse(fingerprint))));
                continue;
            }
            for at in std::mem::take(holders) {
                let (Some(taken), Some((n, fingerprints))) = (taken.get_mut(at), prompts.get(at)) else { continue };
                if std::mem::replace(taken, true) {
                    continue;
                }
                for other in fingerprints {
                    if let Some((left, _)) = shared.get_mut(other) {
                        *left -= n;
                    }
                }
            }
            sizes.push(left);
        }
        sizes
    }

    /// A number of wordings, or millionths; unknown over no prompt, but for the number.
    pub(crate) fn value(&self, fold: WordingFold, interner: &Interner) -> Option<i128> {
        let sizes = self.sizes(interner);
        let all: u64 = sizes.iter().sum();
        match fold {
            WordingFold::Distinct => Some(sizes.len() as i128),
            WordingFold::TopShare(of) => {
                let top: u64 = sizes.iter().take(of as usize).sum();
                divide_rounded(i128::from(top) * i128::from(MICROS), i128::from(all))
            }
            WordingFold::Entropy => entropy_of(all, sizes.into_iter()),
        }
    }

    pub(crate) fn words(&self, mark: &mut impl FnMut(u64)) {
        self.steps.iter().flat_map(|(_, step)| step.prompts.values()).for_each(|prompt| mark(prompt.word));
    }
}

impl HeapBytes for Wordings {
    fn heap_bytes(&self) -> usize {
        self.steps.heap_bytes() + self.len * (size_of::<u64>() + size_of::<Prompt>())
    }
}
