//! The table as bytes, so that a restart need not replay all entries: they are what the entries up to its number give.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::action::{Action, Approval, Ended, State};
use super::entry::ActionId;
use super::table::{Options, Queue, Spared, Table};
use super::target::Terms;
use crate::time::{Duration, Timestamp};

/// Version of the bytes. Others are refused, and the entries replayed instead.
pub const SNAPSHOT_VERSION: u8 = 1;

/// Bytes that are no table of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no table of actions of version {SNAPSHOT_VERSION}; replay the entries of the log instead")]
pub struct Unreadable;

#[derive(Serialize, Deserialize)]
struct Saved {
    seq: u64,
    terms: Vec<Terms>,
    actions: Vec<SavedAction>,
    ended: Vec<ActionId>,
    settled: Vec<ActionId>,
    shadows: Vec<ActionId>,
    alerts: Vec<ActionId>,
    alerted: Vec<(ActionId, u64)>,
    spared: Spared,
}

#[derive(Serialize, Deserialize)]
struct SavedAction {
    id: ActionId,
    violation: Box<str>,
    terms: u32,
    state: State,
    proposed_at: Timestamp,
    taken_at: Option<Timestamp>,
    until: Option<Timestamp>,
    delay: Option<Duration>,
    approvals: Vec<Approval>,
    ended: Option<Box<Ended>>,
    members: Vec<String>,
    released: Vec<String>,
}

impl Table {
    /// The table as bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut terms: Vec<Arc<Terms>> = Vec::new();
        let mut number: hashbrown::HashMap<Arc<Terms>, u32> = hashbrown::HashMap::new();
        let actions = self.actions().into_iter().map(|a| SavedAction {
            id: a.id,
            violation: a.violation.clone(),
            terms: *number.entry(Arc::clone(&a.terms)).or_insert_with(|| {
                terms.push(Arc::clone(&a.terms));
                (terms.len() - 1) as u32
            }),
            state: a.state,
            proposed_at: a.proposed_at,
            taken_at: a.taken_at,
            until: a.until,
            delay: a.delay,
            approvals: a.approvals.clone(),
            ended: a.ended.clone(),
            members: a.members().map(str::to_string).collect(),
            released: a.released().map(str::to_string).collect(),
        });
        let actions = actions.collect();
        let mut alerted: Vec<(ActionId, u64)> = self.alerted.iter().map(|(id, n)| (*id, *n)).collect();
        alerted.sort_unstable();
        let order = |q: &Queue| q.iter().copied().collect();
        let saved = Saved {
            seq: self.seq,
            terms: terms.iter().map(|t| Terms::clone(t)).collect(),
            actions,
            ended: order(&self.ended),
            settled: order(&self.settled),
            shadows: order(&self.shadows),
            alerts: order(&self.alerts),
            alerted,
            spared: self.spared.clone(),
        };
        let mut bytes = vec![SNAPSHOT_VERSION];
        bytes.extend(postcard::to_allocvec(&saved).unwrap_or_default());
        bytes
    }

    /// The table of these bytes.
    ///
    /// # Errors
    /// Bytes of another version, or cut off.
    pub fn restore(bytes: &[u8], options: Options) -> Result<Table, Unreadable> {
        let (version, bytes) = bytes.split_first().ok_or(Unreadable)?;
        if *version != SNAPSHOT_VERSION {
            return Err(Unreadable);
        }
        let saved: Saved = postcard::from_bytes(bytes).map_err(|_| Unreadable)?;
        let terms: Vec<Arc<Terms>> = saved.terms.into_iter().map(Arc::new).collect();
        let mut table = Table::new(options);
        for a in saved.actions {
            let texts = |all: Vec<String>| all.into_iter().map(Arc::<str>::from);
            table.insert(Action {
                id: a.id,
                violation: a.violation,
                terms: Arc::clone(terms.get(a.terms as usize).ok_or(Unreadable)?),
                state: a.state,
                proposed_at: a.proposed_at,
                taken_at: a.taken_at,
                until: a.until,
                delay: a.delay,
                approvals: a.approvals,
                ended: a.ended,
                members: texts(a.members).collect(),
                released: texts(a.released).collect(),
            });
        }
        for id in saved.settled {
            table.settle(id);
        }
        table.seq = saved.seq;
        table.ended = saved.ended.into();
        table.shadows = saved.shadows.into();
        table.alerts = saved.alerts.into();
        table.alerted = saved.alerted.into_iter().collect();
        table.spared = saved.spared;
        table.trim();
        Ok(table)
    }
}
