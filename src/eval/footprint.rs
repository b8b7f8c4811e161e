//! How many bytes the state holds, by part: counted from what is allocated, not measured.

use std::mem::size_of;

use super::Evaluator;
use super::sequence::Sequences;
use super::window::Windows;
use crate::time::Duration;

/// Bytes of the state of one part of the evaluator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    /// The rule whose windows or sequences they are, or what all rules share.
    pub part: String,
    /// Live groups; 0 for what is shared.
    pub groups: usize,
    /// Bytes.
    pub bytes: usize,
}

/// Bytes that a value holds on the heap, allocator overhead apart.
pub(crate) trait HeapBytes {
    fn heap_bytes(&self) -> usize;
}

impl<T> HeapBytes for Vec<T> {
    fn heap_bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }
}

impl<T> HeapBytes for std::collections::VecDeque<T> {
    fn heap_bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }
}

impl Evaluator {
    /// Bytes of the state: what all rules share, then rule by rule. Walks the whole state.
    pub fn footprint(&self) -> Vec<Footprint> {
        let shared = |part: &str, bytes| Footprint { part: part.to_string(), groups: 0, bytes };
        let mut out = vec![
            shared("texts", self.interner.heap_bytes()),
            shared("events that wait", self.stage.heap_bytes()),
            shared("sightings of memory", self.memories.heap_bytes()),
            shared("events of windows", self.events.heap_bytes()),
            shared("lists of groups", self.room.heap_bytes()),
        ];
        for (link, view) in self.links.iter().zip(&self.rules.links.views) {
            let plan = self.rules.links.all.get(view.link as usize);
            let name = plan.map_or("", |plan| plan.name.as_str());
            let (part, groups) = (format!("link {name} every {}", Duration(view.step)), link.len().1);
            out.push(Footprint { part, groups, bytes: link.heap_bytes() });
        }
        let name = |leader: u32| self.rules.program().rules.get(leader as usize).map_or("", |r| r.name.as_str());
        for (leader, _, w) in self.rules.leaders() {
            let windows = self.windows.get(w.number as usize);
            out.push(Footprint {
                part: name(leader).to_string(),
                groups: windows.map_or(0, Windows::len),
                bytes: windows.map_or(0, HeapBytes::heap_bytes)
                    + self.linked.get(w.number as usize).map_or(0, HeapBytes::heap_bytes),
            });
        }
        for (leader, _, s) in self.rules.sequences() {
            let sequences = self.sequences.get(s.number as usize);
            out.push(Footprint {
                part: name(leader).to_string(),
                groups: sequences.map_or(0, Sequences::len),
                bytes: sequences.map_or(0, HeapBytes::heap_bytes),
            });
        }
        for (series, s) in self.series.iter().zip(&self.rules.program().series) {
            out.push(Footprint { part: s.name.clone(), groups: series.len(), bytes: series.heap_bytes() });
        }
        out
    }
}
