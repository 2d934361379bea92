//! Sizes by rank: pages over 2^16 to 2^23 slots, found in one step.
//!
//! ```text
//! rank = page number (up to 18 bits) . slot (5 bits);  directory[page number] = page, 0 = none;  pages[page][slot] = size
//! ```
//!
//! A page number that has a page has its bit in a three-level bitmap, from which order comes by bit scans. A page
//! that becomes empty keeps its bit and its place: sizes come back where they were, and a store then touches the
//! directory and one size, nothing else. Empty pages are taken back when the touch has moved away from them, and when
//! there are 128 more pages than levels. Page 0 is nobody's and stays empty, so that a read needs no comparison.
//!
//! Memory: 12 KiB once the first level came, 0.54 MiB where the window is as wide as it gets, and 260 bytes per page.
//! There are at most 4,096 pages. What finds no page lives beside the window, and so does what the worst page held
//! when a better one needs its place.

use super::grid::{Grid, SPAN_MAX, SPAN_MIN};
use super::ladder::Changes;
use crate::model::Level;

const SLOT_BITS: u32 = 5;
/// Slots of a page.
pub(super) const SLOTS: usize = 1 << SLOT_BITS;
/// Most page numbers: 64 · 64 · 64.
const NUMBERS_MAX: usize = (SPAN_MAX >> SLOT_BITS) as usize;
/// Most pages, with the one that is nobody's.
pub(super) const PAGES_MAX: usize = 4096;
/// Pages that may be empty before anybody looks for them, so that quiet ones near the touch keep their place: a side has
/// at most a page for each level and so many more.
const EMPTY_FREELY: usize = 128;
/// Pages looked at, for each new one that is needed, in search of an empty one.
const LOOKS: usize = 32;
/// Empty pages next to the touch that keep their place.
const SPARED: usize = 4;
/// "No best": worse than every rank.
const NONE: u64 = 1 << 32;

type Page = [i64; SLOTS];

/// What every message needs comes first and fills one cache line.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Window {
    /// Page by number; empty until the first level, so that an instrument without a book costs nothing. Its length is the
    /// window's bound.
    directory: Box<[u16]>,
    pages: Vec<Page>,
    best: u64,
    len: usize,
    /// Levels told since the window last became wider.
    pub(super) told: u64,
    /// How many page numbers there are.
    numbers_max: usize,
    /// Which numbers have a page; which words of it are not zero; likewise.
    bits: Vec<u64>,
    words: Vec<u64>,
    summary: u64,
    /// Number of each page.
    numbers: Vec<u32>,
    /// Pages without a number, all zero.
    free: Vec<u16>,
    /// Where the search for empty pages goes on.
    hand: usize,
    /// Pages and levels moved or looked through by other means than a store: what a hostile venue may drive up.
    pub(super) work: u64,
}

/// Where a new page comes from.
pub(super) enum Place {
    /// Here is one.
    Page,
    /// There would be one if this page number, the worst, gave its own.
    Evict(usize),
    /// All pages are at better prices.
    Nowhere,
}

impl Window {
    pub(super) fn new() -> Window {
        Window {
            directory: Box::default(),
            told: 0,
            numbers_max: (SPAN_MIN >> SLOT_BITS) as usize,
            bits: Vec::new(),
            words: Vec::new(),
            summary: 0,
            pages: Vec::new(),
            numbers: Vec::new(),
            free: Vec::new(),
            hand: 0,
            len: 0,
            best: NONE,
            work: 0,
        }
    }

    /// Empties it and takes all pages back; memory is kept. The next pages are handed out from the first on, so that
    /// a load in order of price lays neighbours next to each other.
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.best = NONE;
        self.summary = 0;
        self.hand = 0;
        self.free.clear();
        self.work += self.pages.len() as u64;
        for page in (1..self.pages.len()).rev() {
            self.pages[page] = [0; SLOTS];
            let number = self.numbers[page] as usize;
            self.directory[number] = 0;
            self.bits[number >> 6] = 0;
            self.words[number >> 12] = 0;
            self.free.push(page as u16);
        }
    }

    /// Makes it this many slots wide. It must be empty.
    pub(super) fn span(&mut self, span: u64) {
        debug_assert_eq!(self.len, 0, "levels would be lost");
        self.numbers_max = (span >> SLOT_BITS) as usize;
        if !self.directory.is_empty() && self.directory.len() != self.numbers_max {
            self.numbers.fill(0);
            self.lay_directory();
        }
    }

    fn lay_directory(&mut self) {
        self.directory = vec![0; self.numbers_max].into_boxed_slice();
        self.bits = vec![0; self.numbers_max.div_ceil(64)];
        self.words = vec![0; self.numbers_max.div_ceil(64 * 64)];
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        self.directory.len() * size_of::<u16>()
            + (self.bits.capacity() + self.words.capacity()) * size_of::<u64>()
            + self.pages.capacity() * size_of::<Page>()
            + self.numbers.capacity() * size_of::<u32>()
            + self.free.capacity() * size_of::<u16>()
    }

    /// The page of a rank, 0 if it has none.
    #[inline]
    fn page(&self, rank: u64) -> usize {
        self.directory.get((rank >> SLOT_BITS) as usize).map_or(0, |&p| p.into())
    }

    /// Whether a rank has a page: then it is here, or nowhere.
    #[inline]
    pub(super) fn holds(&self, rank: u64) -> bool {
        self.page(rank) != 0
    }

    /// The size at a rank, 0 if there is none.
    #[inline]
    pub(super) fn get(&self, rank: u64) -> i64 {
        self.pages.get(self.page(rank)).map_or(0, |p| p[slot_of(rank)])
    }

    /// Stores sizes (0 or less removes) up to the first price that has no page and needs one; returns how many. `strays_inside`
    /// says that prices without a page may be held elsewhere, so that removals of these stop the run too.
    ///
    /// Whether a level is new, changed, removed or absent is a coin toss for the branch predictor, so all four take
    /// the same way: signs are used as numbers, and a removal without a page empties page 0 once more. The loop has
    /// few enough values to live in registers; that is why the best rank is searched afterwards.
    #[inline(always)]
    pub(super) fn run<const COUNT: bool>(
        &mut self,
        grid: &Grid,
        levels: &[Level],
        strays_inside: bool,
        changes: &mut Changes,
    ) -> usize {
        let at = (grid.origin, grid.factor, grid.digits);
        let limits = (self.best, if strays_inside { i64::MIN } else { 0 });
        let sums = store::<COUNT>(levels, at, &self.directory, &mut self.pages, limits);
        self.len = self.len.wrapping_add(sums.net as usize);
        if sums.better || self.lost_best() {
            self.settle();
        }
        sums.count::<COUNT>(changes);
        sums.done
    }

    /// Whether the best slot has just been emptied.
    #[inline]
    fn lost_best(&self) -> bool {
        self.best != NONE && self.get(self.best) == 0
    }

    /// Stores a size at a rank that has a page ([`Window::holds`]); returns the one before.
    #[inline]
    pub(super) fn put(&mut self, rank: u64, size: i64) -> i64 {
        let page = self.page(rank);
        debug_assert_ne!(page, 0, "page 0 is nobody's");
        let Some(page) = self.pages.get_mut(page) else { return 0 };
        let before = std::mem::replace(&mut page[slot_of(rank)], size);
        self.len = self.len.wrapping_add(usize::from(size != 0)).wrapping_sub(usize::from(before != 0));
        if rank < self.best && size != 0 {
            self.best = rank;
        } else if rank == self.best && size == 0 {
            self.settle();
        }
        before
    }

    /// Gives the page number of a rank a page, if there is one to be had.
    #[cold]
    pub(super) fn attach(&mut self, rank: u64) -> Place {
        if self.directory.is_empty() {
            self.lay_directory();
            self.free.reserve_exact(PAGES_MAX);
            self.pages.push([0; SLOTS]);
            self.numbers.push(0);
        }
        let number = (rank >> SLOT_BITS) as usize;
        if self.free.is_empty() && self.pages.len() >= EMPTY_FREELY + self.len {
            self.look_for_empty();
        }
        let page = match self.free.pop() {
            Some(page) => page,
            None if self.pages.len() < PAGES_MAX => {
                self.pages.push([0; SLOTS]);
                self.numbers.push(0);
                (self.pages.len() - 1) as u16
            }
            None => {
                let worst = self.worst_number();
                return if worst > number { Place::Evict(worst) } else { Place::Nowhere };
            }
        };
        self.directory[number] = page;
        self.numbers[page as usize] = number as u32;
        self.bits[number >> 6] |= 1 << (number & 63);
        self.words[number >> 12] |= 1 << (number >> 6 & 63);
        self.summary |= 1 << (number >> 12);
        Place::Page
    }

    /// Takes the page of a number back, and tells the ranks and sizes it held.
    pub(super) fn evict(&mut self, number: usize, mut each: impl FnMut(u64, i64)) {
        let page = usize::from(self.directory[number]);
        for (slot, size) in std::mem::replace(&mut self.pages[page], [0; SLOTS]).into_iter().enumerate() {
            if size != 0 {
                each((number << SLOT_BITS | slot) as u64, size);
                self.len -= 1;
                self.work += 1;
            }
        }
        self.take_back(number);
        if self.lost_best() {
            self.settle();
        }
    }

    /// An empty page loses its number.
    fn take_back(&mut self, number: usize) {
        self.work += 1;
        self.free.push(std::mem::take(&mut self.directory[number]));
        let word = number >> 6;
        self.bits[word] &= !(1 << (number & 63));
        if self.bits[word] == 0 {
            self.words[word >> 6] &= !(1 << (word & 63));
            if self.words[word >> 6] == 0 {
                self.summary &= !(1 << (word >> 6));
            }
        }
    }

    /// Goes round the pages until it finds an empty one, which it takes back, or has looked often enough. So each new
    /// page costs a constant, and where many are empty one is found soon.
    fn look_for_empty(&mut self) {
        for _ in 0..LOOKS {
            self.hand = if self.hand + 1 < self.pages.len() { self.hand + 1 } else { 1 };
            self.work += 1;
            if self.pages[self.hand] == [0; SLOTS] {
                return self.take_back(self.numbers[self.hand] as usize);
            }
        }
    }

    /// The highest page number that has a page.
    fn worst_number(&self) -> usize {
        let high = |w: u64| 63 - w.leading_zeros() as usize;
        if self.summary == 0 {
            return 0;
        }
        let upper = high(self.summary);
        let word = upper << 6 | high(self.words[upper]);
        word << 6 | high(self.bits[word])
    }

    /// Finds the best rank: bit scans and a look into each page up to the first that is not empty. The empty ones on
    /// the way are taken back, but for those next to the touch, which will be needed again in a moment.
    #[inline(never)]
    fn settle(&mut self) {
        self.best = NONE;
        let (mut from, mut touch) = (0, NUMBERS_MAX + SPARED);
        while let Some(number) = self.next_number(from) {
            let page = &self.pages[usize::from(self.directory[number])];
            if let Some(slot) = page.iter().position(|&size| size != 0) {
                self.best = (number << SLOT_BITS | slot) as u64;
                touch = number;
                break;
            }
            from = number + 1;
        }
        while let Some(number) = self.next_number(0)
            && number + SPARED < touch
        {
            self.take_back(number);
        }
    }

    /// The lowest page number from here on that has a page.
    #[inline]
    fn next_number(&self, from: usize) -> Option<usize> {
        let low = |mask: u64| mask.trailing_zeros() as usize;
        let rest = |mask: u64, from: usize| mask & (u64::MAX << (from & 63));
        let bits = rest(*self.bits.get(from >> 6)?, from);
        if bits != 0 {
            return Some(from & !63 | low(bits));
        }
        let from = (from >> 6) + 1;
        let words = rest(self.words.get(from >> 6).copied().unwrap_or(0), from);
        let word = match words {
            0 => {
                let from = (from >> 6) + 1;
                let upper = if from < 64 { rest(self.summary, from) } else { 0 };
                if upper == 0 {
                    return None;
                }
                low(upper) << 6 | low(self.words[low(upper)])
            }
            words => from & !63 | low(words),
        };
        Some(word << 6 | low(self.bits[word]))
    }

    /// The best rank.
    #[inline]
    pub(super) fn best(&self) -> Option<u64> {
        (self.best != NONE).then_some(self.best)
    }

    /// Ranks and sizes, best first.
    pub(super) fn iter(&self) -> Ranks<'_> {
        Ranks {
            window: self,
            summary: self.summary,
            words: 0,
            bits: 0,
            slots: 0,
            upper: 0,
            word: 0,
            number: 0,
        }
    }
}

#[inline]
fn slot_of(rank: u64) -> usize {
    rank as usize & (SLOTS - 1)
}

/// Sums of a run.
struct Sums {
    done: usize,
    /// Levels that came, less those that went.
    net: u64,
    /// Levels that were there before or are now.
    held: u64,
    /// Whether one now stands before the best.
    better: bool,
    /// Levels that were there before, and such whose size is what it was (absent ones too); where counted.
    before: u64,
    equal: u64,
}

impl Sums {
    #[inline]
    fn count<const COUNT: bool>(&self, c: &mut Changes) {
        let absent = (self.done as u64).wrapping_sub(self.held) as u32;
        c.absent = c.absent.wrapping_add(absent);
        if COUNT {
            let now = self.net.wrapping_add(self.before);
            let both = now.wrapping_add(self.before).wrapping_sub(self.held);
            let same = (self.equal as u32).wrapping_sub(absent);
            c.new += now.wrapping_sub(both) as u32;
            c.change += (both as u32).wrapping_sub(same);
            c.same += same;
            c.removed += self.before.wrapping_sub(both) as u32;
        }
    }
}

/// The loop of [`Window::run`]. Part of its caller: a message of two or three levels would pay as much for a call.
#[inline(always)]
fn store<const COUNT: bool>(
    levels: &[Level],
    (origin, factor, digits): (i64, u64, u32),
    directory: &[u16],
    pages: &mut [Page],
    (best, stop_at_removals): (u64, i64),
) -> Sums {
    let mut done = 0;
    let (mut net, mut held, mut better) = (0u64, 0u64, 0u64);
    let (mut had, mut equal) = (0u64, 0u64);
    while done < levels.len() {
        let Level { price, size } = levels[done];
        let rank = (price.wrapping_sub(origin) as u64).wrapping_mul(factor).rotate_right(digits);
        let Some(&page) = directory.get((rank >> SLOT_BITS) as usize) else { break };
        let size = size & !(size >> 63);
        // The sign bit says "not zero": sizes are never negative here.
        let here = size.wrapping_neg();
        if (i64::from(page) - 1) & (here | stop_at_removals) < 0 {
            break;
        }
        let cell = &mut pages[usize::from(page)][slot_of(rank)];
        let before = std::mem::replace(cell, size).wrapping_neg();
        done += 1;
        net = net.wrapping_add(here as u64 >> 63).wrapping_sub(before as u64 >> 63);
        held = held.wrapping_add((here | before) as u64 >> 63);
        better |= here as u64 & rank.wrapping_sub(best);
        if COUNT {
            had = had.wrapping_add(before as u64 >> 63);
            equal = equal.wrapping_add(u64::from(here == before));
        }
    }
    Sums { done, net, held, better: better >> 63 != 0, before: had, equal }
}

/// Walks a window best first.
#[derive(Clone, Debug)]
pub(super) struct Ranks<'a> {
    window: &'a Window,
    /// Not visited yet: upper words, words of the upper one, numbers of the word, slots of the page.
    summary: u64,
    words: u64,
    bits: u64,
    slots: u32,
    upper: usize,
    word: usize,
    number: usize,
}

/// Takes the lowest bit off a mask.
#[inline]
fn pop_bit(mask: &mut u64) -> usize {
    let bit = mask.trailing_zeros();
    *mask &= *mask - 1;
    bit as usize
}

impl Ranks<'_> {
    fn page(&self) -> &Page {
        &self.window.pages[usize::from(self.window.directory[self.number])]
    }
}

impl Iterator for Ranks<'_> {
    type Item = (u64, i64);

    fn next(&mut self) -> Option<(u64, i64)> {
        while self.slots == 0 {
            while self.bits == 0 {
                while self.words == 0 {
                    if self.summary == 0 {
                        return None;
                    }
                    self.upper = pop_bit(&mut self.summary);
                    self.words = self.window.words[self.upper];
                }
                self.word = self.upper << 6 | pop_bit(&mut self.words);
                self.bits = self.window.bits[self.word];
            }
            self.number = self.word << 6 | pop_bit(&mut self.bits);
            self.slots = self.page().iter().rev().fold(0, |mask, &size| mask << 1 | u32::from(size != 0));
        }
        let slot = self.slots.trailing_zeros() as usize;
        self.slots &= self.slots - 1;
        Some(((self.number << SLOT_BITS | slot) as u64, self.page()[slot]))
    }
}
