//! One side of a book: the window for prices on the grid and near, a sorted list for the few others.

use super::grid::{Grid, trailing_zeros};
use super::ladder::Change;
use super::window::{Ranks, Window};
use crate::model::Level;

/// Strays that are borne before the grid is laid anew.
const STRAYS: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Half {
    grid: Grid,
    window: Window,
    /// Levels whose price is between the grid's slots or outside the window; best last.
    strays: Vec<Level>,
    /// More strays than this make the grid move. Doubles where moving does not help, so that the cost of moving
    /// stays a constant per insertion.
    strays_max: usize,
    /// 0 for bids, −1 for asks: `price ^ flip` rises from worse to better.
    flip: i64,
}

impl Half {
    pub(super) fn new(is_bid: bool) -> Half {
        Half {
            grid: Grid::new(is_bid),
            window: Window::new(),
            strays: Vec::new(),
            strays_max: STRAYS,
            flip: if is_bid { 0 } else { -1 },
        }
    }

    /// Empties it; memory and grid are kept.
    pub(super) fn clear(&mut self) {
        if self.window.len() > 0 {
            self.window.clear();
        }
        self.strays.clear();
        self.strays_max = STRAYS;
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.window.len() + self.strays.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.window.bytes() + self.strays.capacity() * size_of::<Level>()
    }

    #[inline]
    pub(super) fn get(&self, price: i64) -> i64 {
        match self.grid.rank(price) {
            Some(rank) => self.window.get(rank),
            None => self.find(price).map_or(0, |i| self.strays[i].size),
        }
    }

    #[inline]
    pub(super) fn set(&mut self, price: i64, size: i64) -> Change {
        // A negative size is nothing a venue says; it removes rather than corrupt.
        let size = size.max(0);
        match self.grid.rank(price) {
            Some(rank) => Change::between(self.window.put(rank, size), size),
            None => self.set_stray(price, size),
        }
    }

    #[inline]
    pub(super) fn best(&self) -> Option<Level> {
        let near = self
            .window
            .best()
            .map(|rank| Level { price: self.grid.price(rank), size: self.window.get(rank) });
        match (near, self.strays.last()) {
            (Some(near), Some(&stray)) if stray.price ^ self.flip > near.price ^ self.flip => Some(stray),
            (Some(near), _) => Some(near),
            (None, stray) => stray.copied(),
        }
    }

    pub(super) fn levels(&self) -> Levels<'_> {
        let mut ranks = self.window.iter();
        let near = ranks.next();
        Levels { half: self, ranks, near, strays: &self.strays }
    }

    /// Position of a stray, or where it belongs.
    fn find(&self, price: i64) -> Result<usize, usize> {
        self.strays.binary_search_by_key(&(price ^ self.flip), |l| l.price ^ self.flip)
    }

    #[cold]
    fn set_stray(&mut self, price: i64, size: i64) -> Change {
        match self.find(price) {
            Ok(i) => {
                let change = Change::between(self.strays[i].size, size);
                if size == 0 {
                    self.strays.remove(i);
                } else {
                    self.strays[i].size = size;
                }
                change
            }
            Err(_) if size == 0 => Change::Absent,
            Err(_) if self.len() == 0 && self.begin_at(price) => self.set(price, size),
            Err(i) => {
                self.strays.insert(i, Level { price, size });
                if self.strays.len() > self.strays_max {
                    self.fit();
                }
                Change::New
            }
        }
    }

    /// Lays the grid of an empty side around its first price. Says whether the price then has a slot.
    fn begin_at(&mut self, price: i64) -> bool {
        let digits = if self.grid.is_set() { self.grid.digits() } else { trailing_zeros(price) };
        self.grid.place(digits, price);
        self.window.clear();
        self.grid.rank(price).is_some()
    }

    /// Lays the grid so that most levels are in the window.
    fn fit(&mut self) {
        let levels: Vec<Level> = self.levels().collect();
        if self.grid.fit(&levels) {
            self.window.clear();
            self.strays.clear();
            for l in levels.iter().rev() {
                match self.grid.rank(l.price) {
                    Some(rank) => _ = self.window.put(rank, l.size),
                    None => self.strays.push(*l),
                }
            }
        }
        self.strays_max = (STRAYS + self.window.len() / 8).max(self.strays.len() * 2);
    }

    /// Takes these levels in place of its own; the price exponent changed, so the grid is learned anew.
    pub(super) fn rescale(&mut self, levels: &[Level]) {
        self.clear();
        self.grid.forget();
        for l in levels {
            self.set(l.price, l.size);
        }
    }
}

/// The levels of one side, best first.
#[derive(Clone, Debug)]
pub struct Levels<'a> {
    half: &'a Half,
    ranks: Ranks<'a>,
    near: Option<(u32, i64)>,
    strays: &'a [Level],
}

impl Iterator for Levels<'_> {
    type Item = Level;

    fn next(&mut self) -> Option<Level> {
        let near = self.near.map(|(rank, size)| Level { price: self.half.grid.price(rank), size });
        if let Some((&stray, rest)) = self.strays.split_last() {
            let flip = self.half.flip;
            if near.is_none_or(|near| stray.price ^ flip > near.price ^ flip) {
                self.strays = rest;
                return Some(stray);
            }
        }
        self.near = self.ranks.next();
        near
    }
}
