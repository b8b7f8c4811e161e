//! One stream over several evaluators: events are admitted, wait and are settled in one place, and what each rule keeps lies
//! in the evaluator of its partition. The same findings as one evaluator's, whatever their number. The evaluators share
//! nothing: that is what threads of their own could rest on.

use std::sync::Arc;

use super::record::{Taken, renumber_all};
use super::{Keyed, Partition};
use crate::eval::ask::Pending;
use crate::eval::events::NO_ACCOUNT;
use crate::eval::intern::{Interner, Symbols};
use crate::eval::stage::{self, Arrival};
use crate::eval::{Books, Evaluator, Origin, Outcome, Refused, in_order};
use crate::event::UsageEvent;
use crate::time::Timestamp;
use crate::violation::Violation;

/// An event that waits no more, its symbols numbered as where it waited.
#[derive(Debug)]
pub(in crate::eval) struct Released {
    pub(in crate::eval) id: String,
    pub(in crate::eval) ts: i64,
    pub(in crate::eval) content: u128,
    pub(in crate::eval) account: u64,
    pub(in crate::eval) words: Vec<u64>,
    pub(in crate::eval) tied: Vec<u64>,
    pub(in crate::eval) pending: Option<Box<Pending>>,
}

impl Released {
    /// Calls `mark` with every word: symbols, and numbers that happen to equal some.
    pub(in crate::eval) fn mark(&self, mark: &mut impl FnMut(u64)) {
        mark(self.account);
        self.words.iter().chain(&self.tied).for_each(|word| mark(*word));
        self.pending.iter().for_each(|p| p.mark(mark));
    }
}

/// An evaluator in several parts.
#[derive(Debug)]
pub struct Shards {
    keyed: Arc<Keyed>,
    /// Where events wait, and findings are settled.
    gate: Evaluator,
    shards: Vec<Evaluator>,
}

impl Shards {
    /// `shards` evaluators, at least one, that have seen nothing.
    pub fn new(keyed: Arc<Keyed>, shards: usize) -> Shards {
        let evaluator = || Evaluator::new(Arc::clone(&keyed.rules), keyed.options.clone());
        let mut gate = evaluator();
        gate.outlet = Some(Vec::new());
        let shards = (0..shards.max(1)).map(|_| evaluator()).collect();
        Shards { gate, shards, keyed }
    }

    /// Takes in one event.
    pub fn observe(&mut self, event: &UsageEvent<'_>, origin: Origin) -> Outcome {
        let outcome = self.gate.observe(event, origin);
        self.follow();
        outcome
    }

    /// Declares that no event before `watermark` will come any more.
    pub fn advance(&mut self, watermark: Timestamp) {
        self.gate.advance(watermark);
        self.follow();
    }

    /// Hands on what waits no more, and brings the shards to where the gate is.
    fn follow(&mut self) {
        for released in self.gate.outlet.as_mut().map(std::mem::take).unwrap_or_default() {
            let (words, tied) = (&released.words, &released.tied);
            let cut = self.keyed.cut(words, tied, released.pending.as_deref(), &self.gate.interner);
            for (partition, taken) in cut {
                let n = self.shards.len() as u64;
                let Some(shard) = self.shards.get_mut(shard_of(partition, n)) else { continue };
                hand_on(&self.keyed, shard, &self.gate.interner, &released, taken);
            }
        }
        let settled = Timestamp(self.gate.settled);
        self.shards.iter_mut().for_each(|shard| shard.advance(settled));
    }

    /// Violations opened, updated or closed since the last call, as [`Evaluator::take_violations`] gives them.
    pub fn take_violations(&mut self) -> Vec<Violation> {
        let mut out = self.gate.hand_out();
        let rules = Arc::clone(&self.keyed.rules);
        for shard in &mut self.shards {
            let mut found = shard.hand_out();
            self.gate.outcomes.note_lost(&rules, &shard.memories, &mut found);
            out.append(&mut found);
        }
        self.gate.outcomes.decide_all(&rules, self.keyed.options.delay_secret.as_ref(), true, &mut out);
        in_order(out)
    }

    /// Records that were refused after they had been taken in, since the last call, sorted by origin.
    pub fn take_refused(&mut self) -> Vec<Refused> {
        self.gate.take_refused()
    }

    /// What became of all events so far.
    pub fn books(&self) -> &Books {
        self.gate.books()
    }

    /// Everything before it is final; `None` before the first event.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.gate.watermark()
    }

    /// The state in versioned pieces, as [`Evaluator::snapshot`] writes them: first what waits, then each shard.
    ///
    /// # Errors
    /// A text, where the state cannot be written down.
    pub fn snapshot(&self) -> Result<Vec<Vec<u8>>, String> {
        std::iter::once(&self.gate).chain(&self.shards).map(Evaluator::snapshot).collect()
    }

    /// Shards in the state of a snapshot, as many as wrote it.
    ///
    /// # Errors
    /// A text that says why the pieces do not fit.
    pub fn restore(keyed: Arc<Keyed>, snapshot: &[Vec<u8>]) -> Result<Shards, String> {
        let restored = |bytes: &Vec<u8>| Evaluator::restore(Arc::clone(&keyed.rules), keyed.options.clone(), bytes);
        let mut all = snapshot.iter().map(restored).collect::<Result<Vec<_>, _>>()?.into_iter();
        let (Some(mut gate), shards) = (all.next(), all.collect::<Vec<_>>()) else {
            return Err("the saved state has no pieces".to_string());
        };
        if shards.is_empty() || shards.iter().any(|shard| shard.settled != gate.settled) {
            return Err("the pieces of the saved state are not of one moment".to_string());
        }
        gate.outlet = Some(Vec::new());
        Ok(Shards { keyed, gate, shards })
    }

    /// Live groups of each shard.
    pub fn live_groups(&self) -> Vec<usize> {
        self.shards.iter().map(Evaluator::live_groups).collect()
    }
}

/// The shard of a partition. By the low bits that also decide the parts of the room, so that groups that compete for room lie
/// in one shard.
fn shard_of(partition: Partition, shards: u64) -> usize {
    let low = match partition.kind {
        // What is not cut lies somewhere, not all in the first.
        super::PartitionKind::Unit(number) if partition.key == 0 => u64::from(number),
        _ => partition.key & 0xff,
    };
    (low % shards) as usize
}

fn hand_on(keyed: &Keyed, shard: &mut Evaluator, gate: &Interner, released: &Released, taken: Taken) {
    let Taken { mut words, mut tied, mut pending } = taken;
    let interner = &mut shard.interner;
    let mut number = |n: u64| interner.intern(gate.text(n));
    renumber_all(&keyed.rules, &mut words, &mut tied, pending.as_deref_mut(), &mut number);
    let account = if released.account == NO_ACCOUNT { NO_ACCOUNT } else { number(released.account) };
    shard.stage.push(Arrival {
        key: stage::key_of(&released.id),
        id: &released.id,
        ts: released.ts,
        content: released.content,
        account,
        origin: Origin::default(),
        words: &words,
        tied: &tied,
        singles: Vec::new(),
        pending,
    });
}
