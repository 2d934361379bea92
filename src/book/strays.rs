//! The levels that the window does not hold, sorted: off the grid, outside, or beyond the most pages.
//!
//! Blocks of at most 64 levels, best first, in one sorted row. A change moves at most one block and the row of
//! blocks, so it stays cheap for tens of thousands of strays. Two neighbours that would fit one block with room to
//! spare are joined, so memory follows the number held: at most 43 bytes a level and one block. Empty blocks are
//! kept for the next need, so that nothing allocates after warm-up.

use crate::model::Level;

/// Most levels of a block.
const BLOCK: usize = 64;
/// Neighbours with at most this many levels together are joined.
const JOIN: usize = 48;

#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Strays {
    /// Key of the best of them, the worst there is where there are none.
    first: i64,
    /// −1 for bids, 0 for asks: `price ^ flip` rises from better to worse.
    flip: i64,
    len: usize,
    /// Non-empty blocks, best first, each sorted best first.
    blocks: Vec<Vec<Level>>,
    /// Empty blocks with their memory.
    spare: Vec<Vec<Level>>,
}

impl Strays {
    pub(super) fn new(is_bid: bool) -> Strays {
        Strays {
            blocks: Vec::new(),
            spare: Vec::new(),
            len: 0,
            first: i64::MAX,
            flip: if is_bid { -1 } else { 0 },
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Sorts prices, better ones first.
    #[inline]
    pub(super) fn key(&self, price: i64) -> i64 {
        price ^ self.flip
    }

    pub(super) fn clear(&mut self) {
        while let Some(mut block) = self.blocks.pop() {
            block.clear();
            self.spare.push(block);
        }
        self.len = 0;
        self.first = i64::MAX;
    }

    pub(super) fn bytes(&self) -> usize {
        let rows = (self.blocks.capacity() + self.spare.capacity()) * size_of::<Vec<Level>>();
        let held: usize = self.blocks.iter().chain(&self.spare).map(Vec::capacity).sum();
        rows + held * size_of::<Level>()
    }

    /// Whether one of them is better than a price that none of them has.
    #[inline]
    pub(super) fn beat(&self, price: i64) -> bool {
        self.first < self.key(price)
    }

    fn find_first(&mut self) {
        self.first = self.best().map_or(i64::MAX, |l| self.key(l.price));
    }

    /// The best of them.
    #[inline]
    pub(super) fn best(&self) -> Option<Level> {
        self.blocks.first().and_then(|b| b.first()).copied()
    }

    /// All of them, best first.
    pub(super) fn iter(&self) -> std::iter::Flatten<std::slice::Iter<'_, Vec<Level>>> {
        self.blocks.iter().flatten()
    }

    /// The block where a price is or belongs, and its place there, `Ok` if it is held.
    fn find(&self, price: i64) -> (usize, Result<usize, usize>) {
        let key = self.key(price);
        let after = self.blocks.partition_point(|b| b.first().is_some_and(|l| self.key(l.price) <= key));
        let block = after.saturating_sub(1);
        let at = match self.blocks.get(block) {
            Some(b) => b.binary_search_by_key(&key, |l| self.key(l.price)),
            None => Err(0),
        };
        (block, at)
    }

    /// The size at a price, 0 if there is none.
    pub(super) fn get(&self, price: i64) -> i64 {
        match self.find(price) {
            (block, Ok(at)) => self.blocks[block][at].size,
            _ => 0,
        }
    }

    /// Whether one of them is at or between two prices, the better one first.
    pub(super) fn any_between(&self, best: i64, worst: i64) -> bool {
        let first = match self.find(best) {
            (_, Ok(_)) => return true,
            (block, Err(at)) => match self.blocks.get(block) {
                Some(b) if at < b.len() => b.get(at),
                _ => self.blocks.get(block + 1).and_then(|b| b.first()),
            },
        };
        first.is_some_and(|l| self.key(l.price) <= self.key(worst))
    }

    /// Stores a size (0 removes), returns the one before.
    pub(super) fn set(&mut self, price: i64, size: i64) -> i64 {
        match self.find(price) {
            (block, Ok(at)) if size != 0 => std::mem::replace(&mut self.blocks[block][at].size, size),
            (block, Ok(at)) => {
                let before = self.blocks[block].remove(at).size;
                self.len -= 1;
                self.shrunk(block);
                self.find_first();
                before
            }
            (_, Err(_)) if size == 0 => 0,
            (block, Err(at)) => {
                self.insert(block, at, Level { price, size });
                self.first = self.first.min(self.key(price));
                0
            }
        }
    }

    fn insert(&mut self, block: usize, at: usize, level: Level) {
        self.len += 1;
        if self.blocks.is_empty() {
            let fresh = self.fresh();
            self.blocks.push(fresh);
        }
        if self.blocks[block].len() < BLOCK {
            self.blocks[block].insert(at, level);
            return;
        }
        if at == BLOCK
            && let Some(next) = self.blocks.get_mut(block + 1)
            && next.len() < BLOCK
        {
            return next.insert(0, level);
        }
        let mut next = self.fresh();
        match at {
            // A sorted load fills whole blocks: the new one's neighbours are full.
            0 => {
                next.push(level);
                return self.blocks.insert(block, next);
            }
            BLOCK => {
                next.push(level);
                return self.blocks.insert(block + 1, next);
            }
            _ => next.extend(self.blocks[block].drain(BLOCK / 2..)),
        }
        match at.checked_sub(BLOCK / 2) {
            Some(at) if at > 0 => next.insert(at, level),
            _ => self.blocks[block].insert(at, level),
        }
        self.blocks.insert(block + 1, next);
        self.join(block + 1);
        self.join(block);
    }

    fn fresh(&mut self) -> Vec<Level> {
        self.spare.pop().unwrap_or_else(|| {
            // All blocks may become spare at once; that must not be the moment to allocate.
            self.spare.reserve(self.blocks.len() + 1);
            Vec::with_capacity(BLOCK)
        })
    }

    /// A block lost a level: it goes if it is empty.
    fn shrunk(&mut self, block: usize) {
        if self.blocks[block].is_empty() {
            let empty = self.blocks.remove(block);
            self.spare.push(empty);
            return;
        }
        self.join(block);
    }

    /// Joins a block with a neighbour if both are small.
    fn join(&mut self, block: usize) {
        for left in [block.checked_sub(1), Some(block)].into_iter().flatten() {
            if let [a, b, ..] = &mut self.blocks[left..]
                && a.len() + b.len() <= JOIN
            {
                a.append(b);
                let empty = self.blocks.remove(left + 1);
                self.spare.push(empty);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn check(strays: &Strays, model: &BTreeMap<i64, i64>) {
        assert_eq!(strays.len(), model.len());
        assert_eq!(strays.first, model.keys().next().copied().unwrap_or(i64::MAX));
        let expected = model.iter().map(|(&key, &size)| Level { price: key ^ strays.flip, size });
        assert!(strays.iter().copied().eq(expected));
        assert!(strays.blocks.iter().all(|b| !b.is_empty() && b.len() <= BLOCK));
        assert!(strays.blocks.windows(2).all(|w| w[0].len() + w[1].len() > JOIN), "small neighbours");
    }

    proptest! {
        #[test]
        fn they_are_a_sorted_map(
            is_bid: bool,
            ops in prop::collection::vec((0i64..400, 0i64..3), 1..1500),
        ) {
            let mut strays = Strays::new(is_bid);
            let mut model = BTreeMap::new();
            for (price, size) in ops {
                let key = strays.key(price);
                let before = if size > 0 { model.insert(key, size) } else { model.remove(&key) };
                prop_assert_eq!(strays.set(price, size), before.unwrap_or(0));
                prop_assert_eq!(strays.get(price), size);
                let (a, b) = if is_bid { (price + 3, price) } else { (price, price + 3) };
                let any = model.range(strays.key(a)..=strays.key(b)).next().is_some();
                prop_assert_eq!(strays.any_between(a, b), any);
            }
            check(&strays, &model);
            strays.clear();
            check(&strays, &BTreeMap::new());
        }
    }

    #[test]
    fn one_level_in_each_of_many_blocks_is_no_way_to_take_memory() {
        let mut strays = Strays::new(false);
        for price in 0..40_000 {
            strays.set(price, 1);
        }
        for price in 0..40_000 {
            if price % 32 != 0 {
                strays.set(price, 0);
            }
        }
        assert_eq!(strays.len(), 1_250);
        let used: usize = strays.blocks.iter().map(|b| b.capacity() * size_of::<Level>()).sum();
        assert!(used <= 43 * strays.len() + BLOCK * size_of::<Level>(), "{used}");
    }
}
