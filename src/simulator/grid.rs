//! Whose turn it is at which ms: symbols do not all speak at once.

use super::rng::mix;
use crate::model::Dialect;

/// Symbols whose turn comes at the same ms of an interval.
pub(super) struct Grid {
    due: Vec<Vec<u32>>,
}

impl Grid {
    pub fn new(every_ms: u32, symbols: usize, salt: u64) -> Grid {
        let mut due = vec![Vec::new(); every_ms.max(1) as usize];
        for i in 0..symbols {
            due[(mix(salt ^ i as u64) % u64::from(every_ms.max(1))) as usize].push(i as u32);
        }
        Grid { due }
    }

    pub fn take(&mut self, now: i64) -> (usize, Vec<u32>) {
        let at = now.rem_euclid(self.due.len() as i64) as usize;
        (at, std::mem::take(&mut self.due[at]))
    }

    pub fn put_back(&mut self, (at, v): (usize, Vec<u32>)) {
        self.due[at] = v;
    }
}

/// All grids of the world.
pub(super) struct Grids {
    pub diff: Vec<Grid>,
    pub agg: Grid,
    pub kline: Grid,
    pub ticker: Grid,
    pub second: Grid,
}

impl Grids {
    pub fn new(d: &Dialect, symbols: usize) -> Grids {
        let grid = |every, salt| Grid::new(every, symbols, salt);
        Grids {
            diff: d.diff_speeds.iter().enumerate().map(|(i, s)| grid(s.every_ms, i as u64)).collect(),
            agg: grid(d.agg_every_ms.max(1), 10),
            kline: grid(d.kline_every_ms, 11),
            ticker: grid(d.ticker_every_ms, 12),
            second: grid(1000, 13),
        }
    }
}
