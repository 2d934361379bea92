//! Sizes by rank: a paged bitmap trie over 2^24 slots.
//!
//! ```text
//! rank = chunk (12 bits) . page (6 bits) . slot (6 bits); a page keeps its sizes in blocks of 8, one cache line each
//! ```
//!
//! A lookup is four dependent loads and no comparison, since index 0 of every arena is an empty element that stands
//! for "nothing there". Order comes from bit scans over occupancy masks. Everything freed goes to a free list, so
//! memory follows the highest number of levels ever held: at most 104 bytes for a lone level and 264 per 4,096
//! slots in use, 1.1 MB of them at most.

use super::grid::WINDOW;

const CHUNKS: usize = (WINDOW >> 12) as usize;
const WORDS: usize = CHUNKS / 64;
/// "No best": above every rank.
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Chunk {
    mask: u64,
    pages: [u32; 64],
}

#[derive(Clone, Debug)]
struct Page {
    mask: u64,
    blocks: [u32; 8],
}

#[derive(Clone, Debug)]
#[repr(align(64))]
struct Block([i64; 8]);

const NO_CHUNK: Chunk = Chunk { mask: 0, pages: [0; 64] };
const NO_PAGE: Page = Page { mask: 0, blocks: [0; 8] };
const NO_BLOCK: Block = Block([0; 8]);

/// An arena with a free list. Element 0 is never handed out and stays empty.
#[derive(Clone, Debug)]
struct Arena<T> {
    items: Vec<T>,
    free: Vec<u32>,
}

impl<T: Clone> Arena<T> {
    fn new() -> Arena<T> {
        Arena { items: Vec::new(), free: Vec::new() }
    }

    /// An element that equals `empty`: freed ones were emptied before.
    #[inline]
    fn take(&mut self, empty: &T) -> u32 {
        match self.free.pop() {
            Some(i) => i,
            None => {
                self.items.push(empty.clone());
                (self.items.len() - 1) as u32
            }
        }
    }

    /// Only element 0 stays; memory is kept.
    fn reset(&mut self, empty: &T) {
        self.items.truncate(1);
        if self.items.is_empty() {
            self.items.push(empty.clone());
        }
        self.free.clear();
    }

    fn bytes(&self) -> usize {
        self.items.capacity() * size_of::<T>() + self.free.capacity() * size_of::<u32>()
    }
}

/// The trie of one side.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// Chunk ids; empty until the first [`Window::clear`], so that an instrument without a book costs nothing.
    top: Vec<u16>,
    words: [u64; WORDS],
    summary: u64,
    chunks: Arena<Chunk>,
    pages: Arena<Page>,
    blocks: Arena<Block>,
    len: usize,
    best: u32,
}

impl Window {
    /// A window without memory: [`Window::clear`] must run before the first [`Window::put`].
    pub(super) fn new() -> Window {
        Window {
            top: Vec::new(),
            words: [0; WORDS],
            summary: 0,
            chunks: Arena::new(),
            pages: Arena::new(),
            blocks: Arena::new(),
            len: 0,
            best: NONE,
        }
    }

    /// Empties it; memory is kept.
    pub(super) fn clear(&mut self) {
        self.top.clear();
        self.top.resize(CHUNKS, 0);
        self.words = [0; WORDS];
        self.summary = 0;
        self.chunks.reset(&NO_CHUNK);
        self.pages.reset(&NO_PAGE);
        self.blocks.reset(&NO_BLOCK);
        self.len = 0;
        self.best = NONE;
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn bytes(&self) -> usize {
        self.top.capacity() * size_of::<u16>()
            + self.chunks.bytes()
            + self.pages.bytes()
            + self.blocks.bytes()
    }

    /// The size at a rank, 0 if there is none.
    #[inline]
    pub(super) fn get(&self, rank: u32) -> i64 {
        let at = At::of(rank);
        let c = self.top[at.chunk] as usize;
        let p = self.chunks.items[c].pages[at.page] as usize;
        let b = self.pages.items[p].blocks[at.block] as usize;
        self.blocks.items[b].0[at.cell]
    }

    /// Stores a size (0 removes), returns the one before.
    #[inline]
    pub(super) fn put(&mut self, rank: u32, size: i64) -> i64 {
        let at = At::of(rank);
        let c = self.top[at.chunk] as usize;
        let p = self.chunks.items[c].pages[at.page] as usize;
        let b = self.pages.items[p].blocks[at.block] as usize;
        let cell = &mut self.blocks.items[b].0[at.cell];
        let before = *cell;
        if size != 0 {
            if before != 0 {
                *cell = size;
            } else {
                self.insert(rank, at, (c, p, b), size);
            }
        } else if before != 0 {
            self.remove(rank, at, (c, p, b));
        }
        before
    }

    #[inline]
    fn insert(&mut self, rank: u32, at: At, path: (usize, usize, usize), size: i64) {
        let (mut c, mut p, mut b) = path;
        if b == 0 {
            if p == 0 {
                if c == 0 {
                    let id = self.chunks.take(&NO_CHUNK);
                    // At most CHUNKS chunks are in use, so the id fits.
                    self.top[at.chunk] = id as u16;
                    self.words[at.chunk >> 6] |= 1 << (at.chunk & 63);
                    self.summary |= 1 << (at.chunk >> 6);
                    c = id as usize;
                }
                let id = self.pages.take(&NO_PAGE);
                let chunk = &mut self.chunks.items[c];
                chunk.pages[at.page] = id;
                chunk.mask |= 1 << at.page;
                p = id as usize;
            }
            let id = self.blocks.take(&NO_BLOCK);
            self.pages.items[p].blocks[at.block] = id;
            b = id as usize;
        }
        self.blocks.items[b].0[at.cell] = size;
        self.pages.items[p].mask |= 1 << at.slot();
        self.len += 1;
        self.best = self.best.min(rank);
    }

    #[inline]
    fn remove(&mut self, rank: u32, at: At, path: (usize, usize, usize)) {
        let (c, p, b) = path;
        self.blocks.items[b].0[at.cell] = 0;
        let page = &mut self.pages.items[p];
        page.mask &= !(1 << at.slot());
        self.len -= 1;
        if (page.mask >> (at.block * 8)) as u8 == 0 {
            page.blocks[at.block] = 0;
            self.blocks.free.push(b as u32);
            if page.mask == 0 {
                self.pages.free.push(p as u32);
                let chunk = &mut self.chunks.items[c];
                chunk.pages[at.page] = 0;
                chunk.mask &= !(1 << at.page);
                if chunk.mask == 0 {
                    self.free_chunk(at, c);
                }
            }
        }
        if rank == self.best {
            self.best = self.first();
        }
    }

    #[cold]
    fn free_chunk(&mut self, at: At, c: usize) {
        self.chunks.free.push(c as u32);
        self.top[at.chunk] = 0;
        let word = at.chunk >> 6;
        self.words[word] &= !(1 << (at.chunk & 63));
        if self.words[word] == 0 {
            self.summary &= !(1 << word);
        }
    }

    /// The lowest rank in use by four bit scans, [`NONE`] if there is none.
    fn first(&self) -> u32 {
        if self.summary == 0 {
            return NONE;
        }
        let word = self.summary.trailing_zeros();
        let chunk = word << 6 | self.words[word as usize].trailing_zeros();
        let c = &self.chunks.items[self.top[chunk as usize] as usize];
        let page = c.mask.trailing_zeros();
        // Every mask below a set bit is non-zero, so the shifts stay below 64.
        let p = &self.pages.items[c.pages[(page & 63) as usize] as usize];
        chunk << 12 | page << 6 | p.mask.trailing_zeros()
    }

    /// The best rank.
    #[inline]
    pub(super) fn best(&self) -> Option<u32> {
        (self.best != NONE).then_some(self.best)
    }

    /// Ranks and sizes, best first.
    pub(super) fn iter(&self) -> Ranks<'_> {
        Ranks {
            window: self,
            summary: self.summary,
            word: 0,
            chunk: 0,
            chunks: 0,
            pages: 0,
            slots: 0,
            page: 0,
        }
    }
}

/// Where a rank lives.
#[derive(Clone, Copy)]
struct At {
    chunk: usize,
    page: usize,
    block: usize,
    cell: usize,
}

impl At {
    #[inline]
    fn of(rank: u32) -> At {
        let r = rank as usize;
        At { chunk: (r >> 12) & (CHUNKS - 1), page: (r >> 6) & 63, block: (r >> 3) & 7, cell: r & 7 }
    }

    #[inline]
    fn slot(self) -> usize {
        self.block << 3 | self.cell
    }
}

/// Walks a window best first.
#[derive(Clone, Debug)]
pub(super) struct Ranks<'a> {
    window: &'a Window,
    /// Words not visited yet.
    summary: u64,
    word: u32,
    /// Chunks of the word not visited yet.
    chunks: u64,
    chunk: u32,
    /// Pages of the chunk not visited yet.
    pages: u64,
    page: u32,
    /// Slots of the page not visited yet.
    slots: u64,
}

/// Takes the lowest bit off a mask.
#[inline]
fn pop_bit(mask: &mut u64) -> u32 {
    let bit = mask.trailing_zeros();
    *mask &= *mask - 1;
    bit
}

impl Ranks<'_> {
    fn page(&self) -> &Page {
        let chunk = &self.window.chunks.items[self.window.top[self.chunk as usize] as usize];
        &self.window.pages.items[chunk.pages[(self.page & 63) as usize] as usize]
    }
}

impl Iterator for Ranks<'_> {
    type Item = (u32, i64);

    fn next(&mut self) -> Option<(u32, i64)> {
        while self.slots == 0 {
            if self.pages == 0 {
                if self.chunks == 0 {
                    if self.summary == 0 {
                        return None;
                    }
                    self.word = pop_bit(&mut self.summary);
                    self.chunks = self.window.words[self.word as usize];
                }
                self.chunk = self.word << 6 | pop_bit(&mut self.chunks);
                self.pages = self.window.chunks.items[self.window.top[self.chunk as usize] as usize].mask;
            }
            self.page = pop_bit(&mut self.pages);
            self.slots = self.page().mask;
        }
        let slot = pop_bit(&mut self.slots);
        let block = self.page().blocks[(slot >> 3) as usize & 7] as usize;
        let size = self.window.blocks.items[block].0[slot as usize & 7];
        Some((self.chunk << 12 | self.page << 6 | slot, size))
    }
}
