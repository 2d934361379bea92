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

/// Non-empty, sorted best first.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Key of the first level: the search for a block looks at the row of blocks and at no level.
    first: i64,
    levels: Vec<Level>,
}

impl<'a> IntoIterator for &'a Block {
    type Item = &'a Level;
    type IntoIter = std::slice::Iter<'a, Level>;

    fn into_iter(self) -> Self::IntoIter {
        self.levels.iter()
    }
}

#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Strays {
    /// Key of the best of them, the worst there is where there are none.
    first: i64,
    /// −1 for bids, 0 for asks: `price ^ flip` rises from better to worse.
    flip: i64,
    len: usize,
    /// Best first.
    blocks: Vec<Block>,
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
            block.levels.clear();
            self.spare.push(block.levels);
        }
        self.len = 0;
        self.first = i64::MAX;
    }

    pub(super) fn bytes(&self) -> usize {
        let rows =
            self.blocks.capacity() * size_of::<Block>() + self.spare.capacity() * size_of::<Vec<Level>>();
        let used = self.blocks.iter().map(|b| b.levels.capacity());
        let held: usize = used.chain(self.spare.iter().map(Vec::capacity)).sum();
        rows + held * size_of::<Level>()
    }

    /// Whether one of them is better than a price that none of them has.
    #[inline]
    pub(super) fn beat(&self, price: i64) -> bool {
        self.first < self.key(price)
    }

    /// A block may have another first level now.
    fn note_first(&mut self, block: usize) {
        let flip = self.flip;
        if let Some(b) = self.blocks.get_mut(block)
            && let Some(l) = b.levels.first()
        {
            b.first = l.price ^ flip;
        }
        self.first = self.blocks.first().map_or(i64::MAX, |b| b.first);
    }

    fn insert_block(&mut self, at: usize, levels: Vec<Level>) {
        self.blocks.insert(at, Block { first: i64::MAX, levels });
        self.note_first(at);
    }

    fn remove_block(&mut self, at: usize) {
        let empty = self.blocks.remove(at).levels;
        self.spare.push(empty);
        self.note_first(0);
    }

    /// The best of them.
    #[inline]
    pub(super) fn best(&self) -> Option<Level> {
        self.blocks.first().and_then(|b| b.levels.first()).copied()
    }

    /// All of them, best first.
    pub(super) fn iter(&self) -> std::iter::Flatten<std::slice::Iter<'_, Block>> {
        self.blocks.iter().flatten()
    }

    /// The block where a price is or belongs, and its place there, `Ok` if it is held.
    fn find(&self, price: i64) -> (usize, Result<usize, usize>) {
        let key = self.key(price);
        let after = self.blocks.partition_point(|b| b.first <= key);
        let block = after.saturating_sub(1);
        let at = match self.blocks.get(block) {
            Some(b) => b.levels.binary_search_by_key(&key, |l| self.key(l.price)),
            None => Err(0),
        };
        (block, at)
    }

    /// The size at a price, 0 if there is none.
    pub(super) fn get(&self, price: i64) -> i64 {
        match self.find(price) {
            (block, Ok(at)) => self.blocks[block].levels[at].size,
            _ => 0,
        }
    }

    /// The best of those at or between two prices, the better one first.
    pub(super) fn first_between(&self, best: i64, worst: i64) -> Option<Level> {
        let (mut block, at) = self.find(best);
        let mut at = at.unwrap_or_else(|at| at);
        if self.blocks.get(block).is_some_and(|b| at >= b.levels.len()) {
            (block, at) = (block + 1, 0);
        }
        let found = *self.blocks.get(block)?.levels.get(at)?;
        (self.key(found.price) <= self.key(worst)).then_some(found)
    }

    fn remove(&mut self, block: usize, at: usize) -> i64 {
        let before = self.blocks[block].levels.remove(at).size;
        self.len -= 1;
        self.shrunk(block);
        before
    }

    /// Stores a size (0 removes), returns the one before.
    pub(super) fn set(&mut self, price: i64, size: i64) -> i64 {
        match self.find(price) {
            (block, Ok(at)) if size != 0 => std::mem::replace(&mut self.blocks[block].levels[at].size, size),
            (block, Ok(at)) => self.remove(block, at),
            (_, Err(_)) if size == 0 => 0,
            (block, Err(at)) => {
                self.insert(block, at, Level { price, size });
                0
            }
        }
    }

    fn insert(&mut self, block: usize, at: usize, level: Level) {
        self.len += 1;
        if self.blocks.is_empty() {
            let mut fresh = self.fresh();
            fresh.push(level);
            return self.insert_block(0, fresh);
        }
        if self.blocks[block].levels.len() < BLOCK {
            self.blocks[block].levels.insert(at, level);
            return self.note_first(block);
        }
        if at == BLOCK
            && let Some(next) = self.blocks.get_mut(block + 1)
            && next.levels.len() < BLOCK
        {
            next.levels.insert(0, level);
            return self.note_first(block + 1);
        }
        let mut next = self.fresh();
        match at {
            // A sorted load fills whole blocks: the new one's neighbours are full.
            0 => {
                next.push(level);
                return self.insert_block(block, next);
            }
            BLOCK => {
                next.push(level);
                return self.insert_block(block + 1, next);
            }
            _ => next.extend(self.blocks[block].levels.drain(BLOCK / 2..)),
        }
        match at.checked_sub(BLOCK / 2) {
            Some(at) if at > 0 => next.insert(at, level),
            _ => self.blocks[block].levels.insert(at, level),
        }
        self.insert_block(block + 1, next);
        self.note_first(block);
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
        if self.blocks[block].levels.is_empty() {
            return self.remove_block(block);
        }
        self.note_first(block);
        self.join(block);
    }

    /// Joins a block with a neighbour if both are small.
    fn join(&mut self, block: usize) {
        for left in [block.checked_sub(1), Some(block)].into_iter().flatten() {
            if let [a, b, ..] = &mut self.blocks[left..]
                && a.levels.len() + b.levels.len() <= JOIN
            {
                a.levels.append(&mut b.levels);
                return self.remove_block(left + 1);
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
        for b in &strays.blocks {
            assert!((1..=BLOCK).contains(&b.levels.len()), "{}", b.levels.len());
            assert_eq!(b.first, strays.key(b.levels[0].price));
        }
        let lens: Vec<usize> = strays.blocks.iter().map(|b| b.levels.len()).collect();
        assert!(lens.windows(2).all(|w| w[0] + w[1] > JOIN), "small neighbours");
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
                let first = model.range(strays.key(a)..=strays.key(b)).next().map(|(&k, &size)| (k, size));
                let found = strays.first_between(a, b).map(|l| (strays.key(l.price), l.size));
                prop_assert_eq!(found, first);
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
        let used: usize = strays.blocks.iter().map(|b| b.levels.capacity() * size_of::<Level>()).sum();
        assert!(used <= 43 * strays.len() + BLOCK * size_of::<Level>(), "{used}");
    }
}
