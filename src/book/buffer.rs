//! Diffs that wait for a snapshot: bounded, oldest out first.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::sequencer::DiffIds;
use crate::model::Level;

/// Events that a buffer holds by default: 7 minutes of diffs at ten a second, one minute of the fastest stream in the
/// recordings.
pub const EVENTS_MAX: usize = 4096;
/// Levels that a buffer holds by default, over all its events: 1 MiB.
pub const LEVELS_MAX: usize = 65_536;
/// A cleared buffer keeps room for this many levels; more goes back, so that one slow resync does not cost its
/// instrument a megabyte for ever.
const LEVELS_KEPT: usize = 8_192;

#[derive(Clone, Copy, Debug)]
struct Entry<M> {
    ids: DiffIds,
    meta: M,
    bids: u32,
    asks: u32,
}

/// A buffered diff. `meta` is whatever the fold needs to write its rows later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffRef<'a, M> {
    /// Its ids.
    pub ids: DiffIds,
    /// What came with it.
    pub meta: M,
    /// Bid levels as sent.
    pub bids: &'a [Level],
    /// Ask levels as sent.
    pub asks: &'a [Level],
}

/// A bounded queue of diffs. Levels lie one after the other in one vector that is used over and over.
#[derive(Clone, Debug)]
pub struct DiffBuffer<M> {
    entries: VecDeque<Entry<M>>,
    /// Levels of all entries; those before `begin` are popped.
    levels: Vec<Level>,
    begin: usize,
    events_max: usize,
    levels_max: usize,
    dropped: u64,
}

impl<M: Copy> Default for DiffBuffer<M> {
    fn default() -> DiffBuffer<M> {
        DiffBuffer::new(EVENTS_MAX, LEVELS_MAX)
    }
}

impl<M: Copy> DiffBuffer<M> {
    /// A buffer of at most this many events (at least 1) and levels. One diff larger than `levels_max` is held
    /// alone: the newest is never dropped.
    pub fn new(events_max: usize, levels_max: usize) -> DiffBuffer<M> {
        DiffBuffer {
            entries: VecDeque::new(),
            levels: Vec::new(),
            begin: 0,
            events_max: events_max.max(1),
            levels_max,
            dropped: 0,
        }
    }

    /// Appends a diff; if it does not fit, the oldest are dropped. Returns how many were.
    pub fn push(&mut self, ids: DiffIds, meta: M, bids: &[Level], asks: &[Level]) -> usize {
        let mut dropped = 0;
        while self.entries.len() >= self.events_max
            || (!self.entries.is_empty() && self.level_count() + bids.len() + asks.len() > self.levels_max)
        {
            self.pop_front();
            dropped += 1;
        }
        self.dropped += dropped as u64;
        self.levels.extend_from_slice(bids);
        self.levels.extend_from_slice(asks);
        self.entries.push_back(Entry { ids, meta, bids: bids.len() as u32, asks: asks.len() as u32 });
        dropped
    }

    /// As [`DiffBuffer::push`] where diffs of several connections wait together: by their last ids, each of them once.
    /// One that is held already is not held again.
    pub fn insert(&mut self, ids: DiffIds, meta: M, bids: &[Level], asks: &[Level]) -> usize {
        let (mut at, mut behind) = (self.entries.len(), 0);
        while let Some(e) = at.checked_sub(1).map(|i| &self.entries[i]) {
            if e.ids.last < ids.last {
                break;
            }
            if e.ids.last == ids.last && e.ids.first == ids.first && e.ids.prev == ids.prev {
                return 0;
            }
            if e.ids.last == ids.last {
                break;
            }
            at -= 1;
            behind += (e.bids + e.asks) as usize;
        }
        let from_back = self.entries.len() - at;
        let dropped = self.push(ids, meta, bids, asks);
        if from_back == 0 {
            return dropped;
        }
        let Some(e) = self.entries.pop_back() else { return dropped };
        let n = bids.len() + asks.len();
        let from = self.levels.len() - n - behind.min(self.levels.len() - n - self.begin);
        self.levels[from..].rotate_right(n);
        self.entries.insert(self.entries.len().saturating_sub(from_back), e);
        dropped
    }

    /// The oldest diff.
    pub fn front(&self) -> Option<DiffRef<'_, M>> {
        self.iter().next()
    }

    /// Forgets the oldest diff. Says whether there was one.
    pub fn pop_front(&mut self) -> bool {
        let Some(e) = self.entries.pop_front() else { return false };
        self.begin += (e.bids + e.asks) as usize;
        // Moving what is left once it is the smaller half costs each level at most one copy.
        if self.begin * 2 >= self.levels.len() {
            self.levels.copy_within(self.begin.., 0);
            self.levels.truncate(self.levels.len() - self.begin);
            self.begin = 0;
        }
        true
    }

    /// Forgets the diffs whose ids are not wanted.
    pub fn retain(&mut self, wanted: impl Fn(&DiffIds) -> bool) {
        if self.entries.iter().all(|e| wanted(&e.ids)) {
            return;
        }
        let (mut from, mut to) = (self.begin, 0);
        for e in &mut self.entries {
            let n = (e.bids + e.asks) as usize;
            if wanted(&e.ids) {
                self.levels.copy_within(from..from + n, to);
                to += n;
            }
            from += n;
        }
        self.entries.retain(|e| wanted(&e.ids));
        self.levels.truncate(to);
        self.begin = 0;
    }

    /// Diffs, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = DiffRef<'_, M>> {
        let mut rest = self.levels.get(self.begin..).unwrap_or(&[]);
        self.entries.iter().map(move |e| {
            let (bids, after) = rest.split_at(e.bids as usize);
            let (asks, after) = after.split_at(e.asks as usize);
            rest = after;
            DiffRef { ids: e.ids, meta: e.meta, bids, asks }
        })
    }

    /// Number of diffs.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of levels in all diffs.
    pub fn level_count(&self) -> usize {
        self.levels.len() - self.begin
    }

    /// Diffs dropped by overflow so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Forgets all diffs, keeps a modest amount of memory. The count of dropped diffs stays.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.levels.clear();
        self.begin = 0;
        self.levels.shrink_to(LEVELS_KEPT);
    }

    /// Moves every price and size to other exponents.
    ///
    /// # Errors
    /// The first level that would lose digits or overflow; then nothing has changed.
    pub fn rescale(&mut self, price: (u8, u8), size: (u8, u8)) -> Result<(), super::RescaleError> {
        use crate::model::num::rescale;
        let moved = |l: &Level| {
            let price = rescale(l.price, price.0, price.1)?;
            Some(Level { price, size: rescale(l.size, size.0, size.1)? })
        };
        let held = self.levels.get_mut(self.begin..).unwrap_or(&mut []);
        if let Some(l) = held.iter().find(|l| moved(l).is_none()) {
            return Err(super::RescaleError { price: l.price, size: l.size });
        }
        for l in held {
            *l = moved(l).unwrap_or(*l);
        }
        Ok(())
    }

    /// Bytes held, used or not.
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<M>>() + self.levels.capacity() * size_of::<Level>()
    }
}

/// One diff of a [`BufferState`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffOwned<M> {
    /// Its ids.
    pub ids: DiffIds,
    /// What came with it.
    pub meta: M,
    /// Bid levels.
    pub bids: Vec<Level>,
    /// Ask levels.
    pub asks: Vec<Level>,
}

/// What a checkpoint keeps of a buffer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BufferState<M> {
    /// Most events.
    pub events_max: u64,
    /// Most levels.
    pub levels_max: u64,
    /// Diffs dropped so far.
    pub dropped: u64,
    /// The diffs, oldest first.
    pub diffs: Vec<DiffOwned<M>>,
}

impl<M: Copy> From<&DiffBuffer<M>> for BufferState<M> {
    fn from(b: &DiffBuffer<M>) -> BufferState<M> {
        let owned = |d: DiffRef<'_, M>| DiffOwned {
            ids: d.ids,
            meta: d.meta,
            bids: d.bids.to_vec(),
            asks: d.asks.to_vec(),
        };
        BufferState {
            events_max: b.events_max as u64,
            levels_max: b.levels_max as u64,
            dropped: b.dropped,
            diffs: b.iter().map(owned).collect(),
        }
    }
}

impl<M: Copy> From<BufferState<M>> for DiffBuffer<M> {
    fn from(s: BufferState<M>) -> DiffBuffer<M> {
        let mut b = DiffBuffer::new(s.events_max as usize, s.levels_max as usize);
        for d in &s.diffs {
            b.push(d.ids, d.meta, &d.bids, &d.asks);
        }
        b.dropped = s.dropped;
        b
    }
}

impl<M: Copy + Serialize> Serialize for DiffBuffer<M> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        BufferState::from(self).serialize(s)
    }
}

impl<'de, M: Copy + Deserialize<'de>> Deserialize<'de> for DiffBuffer<M> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<DiffBuffer<M>, D::Error> {
        BufferState::deserialize(d).map(DiffBuffer::from)
    }
}
