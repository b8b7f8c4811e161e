//! Groups of all rules in one part of the key space.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::group::{Group, Taken, Values};
use super::plan::WindowAnswer;

/// Groups that are looked at to find the least promising.
const SAMPLE: usize = 8;
/// Groups that are looked at with each new one, whether they are over.
const SWEEP: usize = 2;

/// What becomes of an event in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// It counts; in the place of what its call counted ahead.
    Count(Option<u64>),
    /// Its call counts ahead.
    Ahead(u64),
    /// It is judged as if it counted, and not kept.
    Ask,
    /// It was counted before.
    Known,
}

/// What a group says to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Touched {
    /// What the window comes to.
    Window(Values),
    /// The event lies too far behind the group's newest: it does not count, and the group says nothing.
    Late,
}

/// Numbers for whoever watches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    /// Groups that went for want of room.
    pub(crate) groups: u64,
    /// Records of groups that came too late to count.
    pub(crate) late: u64,
    /// Calls that no longer count ahead for want of room.
    pub(crate) ahead: u64,
}

/// Groups by their ids.
#[derive(Debug)]
pub(crate) struct Panes {
    table: HashTable<u32>,
    slots: Vec<Option<(u128, Group)>>,
    free: Vec<u32>,
    hand: usize,
    groups_max: usize,
    /// How long a group stays of which nothing counts any more, nanoseconds.
    idle: i64,
    /// The latest event time.
    newest: i64,
    pub(crate) lost: Lost,
}

impl Panes {
    pub(crate) fn new(groups_max: usize, idle: i64) -> Panes {
        Panes {
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            hand: 0,
            groups_max: groups_max.max(1),
            idle,
            newest: i64::MIN,
            lost: Lost::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    fn find(&self, id: u128) -> Option<u32> {
        let slots = &self.slots;
        let same = |slot: &u32| matches!(slots.get(*slot as usize), Some(Some((known, _))) if *known == id);
        self.table.find(id as u64, same).copied()
    }

    fn group(&mut self, id: u128) -> Option<&mut Group> {
        let slot = self.find(id)?;
        self.slots.get_mut(slot as usize)?.as_mut().map(|(_, group)| group)
    }

    /// Counts an event in its group, in the place of what its call counted ahead.
    pub(crate) fn count(&mut self, w: &WindowAnswer, id: u128, ts: i64, taken: Taken<'_>, call: Option<u64>) {
        self.put(w, id, w.step_of(ts), ts, taken, Part::Count(call));
    }

    /// An event in its group, and what the group says to it.
    pub(crate) fn touch(&mut self, w: &WindowAnswer, id: u128, ts: i64, taken: Taken<'_>, part: Part) -> Touched {
        let step = w.step_of(ts);
        let with = (part == Part::Ask).then_some(taken);
        match self.put(w, id, step, ts, taken, part) {
            Some(group) if group.is_late(w, step) => Touched::Late,
            Some(group) => Touched::Window(group.values(w, ts, with)),
            None if part == Part::Ask => Touched::Window(Group::new(w, step).values(w, ts, with)),
            None => Touched::Window(Values::default()),
        }
    }

    /// The group of an event, which counts there where it is to.
    fn put(&mut self, w: &WindowAnswer, id: u128, step: i64, ts: i64, taken: Taken<'_>, part: Part) -> Option<&Group> {
        self.newest = self.newest.max(ts);
        let counts = matches!(part, Part::Count(_) | Part::Ahead(_));
        let slot = match self.find(id) {
            Some(slot) => slot,
            None if counts => self.insert(id, Group::new(w, step)),
            None => return None,
        };
        let (_, group) = self.slots.get_mut(slot as usize)?.as_mut()?;
        if group.is_late(w, step) {
            self.lost.late += u64::from(matches!(part, Part::Count(_)));
            return Some(group);
        }
        match part {
            Part::Count(call) => {
                call.into_iter().for_each(|call| group.take_ahead(call));
                group.add(w, step, taken);
            }
            Part::Ahead(call) => self.lost.ahead += u64::from(!group.add_ahead(w, ts, call, taken)),
            Part::Ask | Part::Known => {}
        }
        Some(group)
    }

    /// Takes back what a call counted ahead in a group.
    pub(crate) fn take_ahead(&mut self, id: u128, call: u64) {
        if let Some(group) = self.group(id) {
            group.take_ahead(call);
        }
    }

    pub(crate) fn insert_saved(&mut self, id: u128, group: SavedGroup) {
        self.insert(id, group.0);
    }

    fn insert(&mut self, id: u128, group: Group) -> u32 {
        self.sweep();
        if self.table.len() >= self.groups_max {
            self.make_room();
        }
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.slots.get_mut(slot as usize) {
                    *place = Some((id, group));
                }
                slot
            }
            None => {
                // By an eighth: doubling would hold room for as many groups again.
                if self.slots.len() == self.slots.capacity() {
                    self.slots.reserve_exact(64.max(self.slots.len() / 8));
                }
                self.slots.push(Some((id, group)));
                (self.slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        let rehash = |slot: &u32| match slots.get(*slot as usize) {
            Some(Some((id, _))) => *id as u64,
            _ => 0,
        };
        self.table.insert_unique(id as u64, slot, rehash);
        slot
    }

    /// The next places under the hand.
    fn next(&mut self, n: usize) -> SmallVec<[usize; SAMPLE]> {
        let len = self.slots.len();
        let mut places = SmallVec::new();
        for _ in 0..n.min(len) {
            places.push(self.hand % len);
            self.hand = (self.hand + 1) % len;
        }
        places
    }

    /// Lets groups go that are over.
    fn sweep(&mut self) {
        let over = self.newest.saturating_sub(self.idle);
        for place in self.next(SWEEP) {
            if self.slots.get(place).is_some_and(|s| s.as_ref().is_some_and(|(_, g)| g.ends() <= over)) {
                self.remove(place);
            }
        }
    }

    /// Lets one group go: the least promising of a few.
    fn make_room(&mut self) {
        // Free places are few where there is no room; a second look finds a group.
        for _ in 0..4 {
            let places = self.next(SAMPLE);
            let of = |place: &usize| match self.slots.get(*place) {
                Some(Some((id, group))) => Some((group.promise(), *id, *place)),
                _ => None,
            };
            if let Some((_, _, place)) = places.iter().filter_map(of).min() {
                self.remove(place);
                self.lost.groups += 1;
                return;
            }
        }
    }

    fn remove(&mut self, place: usize) {
        let Some((id, _)) = self.slots.get_mut(place).and_then(Option::take) else { return };
        if let Ok(entry) = self.table.find_entry(id as u64, |slot| *slot as usize == place) {
            entry.remove();
        }
        self.free.push(place as u32);
    }

    /// All groups, for writing down.
    pub(crate) fn saved(&self) -> impl Iterator<Item = (u128, SavedGroup)> {
        self.slots.iter().flatten().map(|(id, group)| (*id, SavedGroup(group.clone())))
    }

    /// The latest event time; the least number before the first.
    pub(crate) fn newest(&self) -> i64 {
        self.newest
    }

    pub(crate) fn set_newest(&mut self, newest: i64) {
        self.newest = newest;
    }

    /// Bytes of memory.
    pub(crate) fn heap_bytes(&self) -> usize {
        let groups: usize = self.slots.iter().flatten().map(|(_, group)| group.heap_bytes()).sum();
        let slots = self.slots.capacity() * size_of::<Option<(u128, Group)>>();
        groups + slots + self.table.allocation_size() + self.free.capacity() * size_of::<u32>()
    }
}

/// A group as it is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedGroup(Group);
