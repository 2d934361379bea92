//! One side of a book: the window for prices on the grid and near, a sorted row for the others.
//!
//! A price whose page number has a page is in the window or nowhere; any other is among the strays or nowhere.

use super::grid::{Grid, trailing_zeros};
use super::ladder::{Change, Changes};
use super::strays::{Block, Strays};
use super::window::{Place, Ranks, SLOTS, Window};
use crate::model::Level;

/// Strays outside the window that are borne before the grid is laid anew.
const OUTSIDE: usize = 16;
/// Levels told that a wider window would have held, before the window becomes wider.
const MISSED: u64 = 64;
/// At least one level of so many must be such, or they are borne: each costs as much as twenty others.
const OFTEN: u64 = 1024;

/// What every message needs lies in the first and third cache line, the latter being the window's first: with hundreds of
/// instruments it comes from far away each time.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Half {
    grid: Grid,
    /// How many of the strays have a rank, and are strays for want of a page.
    inside: usize,
    strays: Strays,
    /// More strays without a rank than this make the grid move. Doubles where moving does not help, so that the
    /// cost of moving stays a constant per insertion.
    outside_max: usize,
    window: Window,
    /// Levels that a wider window would have held, since the window last became wider.
    missed: u64,
}

const _: () = assert!(std::mem::offset_of!(Half, window) == 128, "two lines before the window");

impl Half {
    pub(super) fn new(is_bid: bool) -> Half {
        Half {
            grid: Grid::new(is_bid),
            window: Window::new(),
            strays: Strays::new(is_bid),
            inside: 0,
            outside_max: OUTSIDE,
            missed: 0,
        }
    }

    /// Empties it; memory and grid are kept, and so is what the grid has learned to bear: the same levels come again.
    pub(super) fn clear(&mut self) {
        self.window.clear();
        self.strays.clear();
        self.inside = 0;
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.window.len() + self.strays.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.window.bytes() + self.strays.bytes()
    }

    /// Levels and pages that were moved or looked through beside the stores.
    pub(super) fn work(&self) -> u64 {
        self.window.work
    }

    #[inline]
    pub(super) fn get(&self, price: i64) -> i64 {
        let rank = self.grid.rank(price);
        if self.window.holds(rank) { self.window.get(rank) } else { self.strays.get(price) }
    }

    #[inline]
    pub(super) fn set(&mut self, price: i64, size: i64) -> Change {
        // A negative size is nothing a venue says; it removes rather than corrupt.
        let size = size.max(0);
        let rank = self.grid.rank(price);
        if self.window.holds(rank) {
            return Change::between(self.window.put(rank, size), size);
        }
        self.set_elsewhere(price, size)
    }

    /// As [`Half::set`] for each level. Counts what they did; only the absent ones unless `COUNT`.
    #[inline(never)]
    pub(super) fn apply<const COUNT: bool>(&mut self, levels: &[Level], changes: &mut Changes) {
        let mut rest = levels;
        self.window.told += levels.len() as u64;
        loop {
            let done = self.window.run::<COUNT>(&self.grid, rest, self.inside > 0, changes);
            if done >= rest.len() {
                return;
            }
            let level = rest[done];
            changes.add(self.set_elsewhere(level.price, level.size.max(0)));
            rest = &rest[done + 1..];
        }
    }

    #[inline]
    pub(super) fn best(&self) -> Option<Level> {
        let Some(rank) = self.window.best() else { return self.strays.best() };
        let near = Level { price: self.grid.price(rank), size: self.window.get(rank) };
        if self.strays.beat(near.price) { self.strays.best() } else { Some(near) }
    }

    pub(super) fn levels(&self) -> Levels<'_> {
        let (mut ranks, mut strays) = (self.window.iter(), self.strays.iter());
        let (near, stray) = (ranks.next(), strays.next());
        Levels { half: self, ranks, near, strays, stray }
    }

    /// A price whose page number has no page.
    #[cold]
    #[inline(never)]
    fn set_elsewhere(&mut self, price: i64, size: i64) -> Change {
        if self.len() == 0 && size != 0 && !(self.grid.is_set() && self.has_rank(price)) {
            let digits = if self.grid.is_set() { self.grid.digits() } else { trailing_zeros(price) };
            self.window.clear();
            self.grid.place(digits, price);
            self.outside_max = OUTSIDE;
        }
        if !self.has_rank(price) && self.grid.could_hold(price) {
            self.missed += 1;
            if self.missed >= MISSED {
                self.widen_if_missed_often();
                // It may have a page now.
                return self.set(price, size);
            }
        }
        if size == 0 {
            return self.set_stray(price, size);
        }
        self.keep(price, size)
    }

    fn has_rank(&self, price: i64) -> bool {
        self.grid.rank(price) < self.grid.span()
    }

    /// Prices that are told again and again beyond the window are worth a wider one. It grows a few times in its life at
    /// most, and never becomes narrower.
    fn widen_if_missed_often(&mut self) {
        let often = self.missed * OFTEN >= self.window.told;
        (self.missed, self.window.told) = (0, 0);
        if often {
            self.relay(|grid, _| grid.widen());
        }
    }

    /// Sets a level that has no page: it gets one, or becomes a stray.
    fn keep(&mut self, price: i64, size: i64) -> Change {
        let rank = self.grid.rank(price);
        if rank < self.grid.span() && self.make_page(rank) {
            return Change::between(self.window.put(rank, size), size);
        }
        self.set_stray(price, size)
    }

    fn set_stray(&mut self, price: i64, size: i64) -> Change {
        let change = Change::between(self.strays.set(price, size), size);
        if self.has_rank(price) {
            self.inside += usize::from(change == Change::New);
            self.inside -= usize::from(change == Change::Removed);
        } else if change == Change::New && self.strays.len() - self.inside > self.outside_max {
            self.fit();
        }
        change
    }

    /// Gives a rank a page and moves the strays that belong there in. Says whether there is one.
    fn make_page(&mut self, rank: u64) -> bool {
        let mut place = self.window.attach(rank);
        if let Place::Evict(worst) = place {
            let (grid, strays, inside) = (&self.grid, &mut self.strays, &mut self.inside);
            self.window.evict(worst, |rank, size| {
                strays.set(grid.price(rank), size);
                *inside += 1;
            });
            place = self.window.attach(rank);
        }
        if !matches!(place, Place::Page) {
            return false;
        }
        let mut next = rank - rank % SLOTS as u64;
        let last = next + SLOTS as u64 - 1;
        // At most one look per slot, and most have no stray. What is between the slots stays where it is.
        while self.inside > 0
            && next <= last
            && let Some(l) = self.strays.first_between(self.grid.price(next), self.grid.price(last))
        {
            let rank = self.grid.rank(l.price);
            if !self.has_rank(l.price) {
                next = self.grid.rank_behind(next, l.price);
                continue;
            }
            self.strays.set(l.price, 0);
            self.inside -= 1;
            self.window.put(rank, l.size);
            self.window.work += 1;
            next = rank + 1;
        }
        true
    }

    /// Lays the grid so that most levels are in the window.
    fn fit(&mut self) {
        self.relay(Grid::fit);
    }

    /// Changes the grid; if it says that it changed, all levels find their places anew.
    fn relay(&mut self, change: impl FnOnce(&mut Grid, &[Level]) -> bool) {
        let levels: Vec<Level> = self.levels().collect();
        self.window.work += levels.len() as u64;
        if change(&mut self.grid, &levels) {
            self.window.clear();
            self.window.span(self.grid.span());
            self.strays.clear();
            self.inside = 0;
            // None of these moves the grid again.
            self.outside_max = usize::MAX;
            for l in &levels {
                let rank = self.grid.rank(l.price);
                if self.window.holds(rank) {
                    self.window.put(rank, l.size);
                } else {
                    self.keep(l.price, l.size);
                }
            }
        }
        let outside = self.strays.len() - self.inside;
        self.outside_max = (OUTSIDE + self.window.len() / 8).max(outside * 2);
    }

    /// Takes these levels in place of its own; the price exponent changed, so the grid is learned anew.
    pub(super) fn rescale(&mut self, levels: &[Level]) {
        self.clear();
        self.outside_max = OUTSIDE;
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
    near: Option<(u64, i64)>,
    strays: std::iter::Flatten<std::slice::Iter<'a, Block>>,
    stray: Option<&'a Level>,
}

impl Iterator for Levels<'_> {
    type Item = Level;

    fn next(&mut self) -> Option<Level> {
        let near = self.near.map(|(rank, size)| Level { price: self.half.grid.price(rank), size });
        if let Some(&stray) = self.stray {
            let key = |l: Level| self.half.strays.key(l.price);
            if near.is_none_or(|near| key(stray) < key(near)) {
                self.stray = self.strays.next();
                return Some(stray);
            }
        }
        self.near = self.ranks.next();
        near
    }
}
