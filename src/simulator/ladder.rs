//! One side of a simulated book: a sorted vector with the best price at its end, where most changes are.

/// A price in ticks and a size in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Sort key: the price on the bid side, minus the price on the ask side, so that greater is always better.
    pub key: i64,
    /// Size in steps, above 0.
    pub qty: i64,
}

/// One side.
#[derive(Clone, Debug)]
pub struct Ladder {
    rungs: Vec<Rung>,
    sign: i64,
}

impl Ladder {
    /// An empty side.
    pub fn new(bid: bool) -> Ladder {
        Ladder { rungs: Vec::new(), sign: if bid { 1 } else { -1 } }
    }

    /// Number of levels.
    pub fn len(&self) -> usize {
        self.rungs.len()
    }

    /// The sort key of a price.
    pub fn key(&self, px: i64) -> i64 {
        px * self.sign
    }

    /// The price of a sort key.
    pub fn px(&self, key: i64) -> i64 {
        key * self.sign
    }

    /// Best level, as `(price, size)`.
    pub fn best(&self) -> Option<(i64, i64)> {
        self.rungs.last().map(|r| (self.px(r.key), r.qty))
    }

    /// The level at a rank, 0 = best.
    pub fn at(&self, rank: usize) -> Option<Rung> {
        self.rungs.len().checked_sub(rank + 1).map(|i| self.rungs[i])
    }

    /// Size at a key, 0 if there is no such level.
    pub fn qty(&self, key: i64) -> i64 {
        self.rungs.binary_search_by_key(&key, |r| r.key).map_or(0, |i| self.rungs[i].qty)
    }

    /// Sets the size at a key; 0 removes. Returns whether anything is different now.
    pub fn set(&mut self, key: i64, qty: i64) -> bool {
        match (self.rungs.binary_search_by_key(&key, |r| r.key), qty) {
            (Ok(i), 0) => {
                self.rungs.remove(i);
                true
            }
            (Ok(i), q) => {
                let was = self.rungs[i].qty;
                self.rungs[i].qty = q;
                was != q
            }
            (Err(_), 0) => false,
            (Err(i), q) => {
                self.rungs.insert(i, Rung { key, qty: q });
                true
            }
        }
    }

    /// Levels from the best down, as `(price, size)`.
    pub fn best_first(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.rungs.iter().rev().map(|r| (self.px(r.key), r.qty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_know_their_best() {
        let mut b = Ladder::new(true);
        let mut a = Ladder::new(false);
        for px in [100, 98, 101, 99] {
            assert!(b.set(b.key(px), px * 10));
            assert!(a.set(a.key(px + 10), px));
        }
        assert_eq!(b.best(), Some((101, 1010)));
        assert_eq!(a.best(), Some((108, 98)));
        assert_eq!(a.best_first().map(|l| l.0).collect::<Vec<_>>(), [108, 109, 110, 111]);
        assert_eq!(b.at(1).map(|r| b.px(r.key)), Some(100));
        assert!(b.set(b.key(101), 0));
        assert!(!b.set(b.key(101), 0));
        assert!(!b.set(b.key(100), 1000));
        assert_eq!(b.best(), Some((100, 1000)));
        assert_eq!((b.qty(b.key(98)), b.qty(b.key(97)), b.at(3)), (980, 0, None));
    }
}
