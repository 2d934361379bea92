//! Sizes by rank: a paged bitmap trie over 2^24 slots.
//!
//! ```text
//! rank = chunk (12 bits) . page (6 bits) . slot (6 bits); a page keeps its sizes in blocks of 8, one cache line each
//! ```
//!
//! A lookup is four dependent loads and no comparison, since index 0 of every arena is an empty element that stands
//! for "nothing there". Order comes from bit scans over occupancy masks. A page keeps the blocks that it ever
//! needed until its last level goes; then all of it goes to free lists. So memory follows the highest number of
//! pages ever in use at once: 104 to 552 bytes each, and 264 per 4,096 slots in use (1.1 MB at most).

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
    ///
    /// Whether a level is new, changed or removed is a coin toss for the branch predictor, so the common path does
    /// the same stores for all three. It branches only where a block is missing, at the touch, and when a page
    /// becomes empty.
    #[inline]
    pub(super) fn put(&mut self, rank: u32, size: i64) -> i64 {
        let at = At::of(rank);
        let c = self.top[at.chunk] as usize;
        let p = self.chunks.items[c].pages[at.page] as usize;
        let page = &mut self.pages.items[p];
        let b = page.blocks[at.block] as usize;
        if b == 0 {
            if size != 0 {
                self.put_in_new_block(rank, size);
            }
            return 0;
        }
        let before = std::mem::replace(&mut self.blocks.items[b].0[at.cell], size);
        let here = u64::from(size != 0);
        page.mask = page.mask & !(1 << at.slot()) | here << at.slot();
        let emptied = page.mask == 0;
        self.len = self.len.wrapping_add(here as usize).wrapping_sub(usize::from(before != 0));
        if rank <= self.best || emptied {
            self.tidy(rank, emptied);
        }
        before
    }

    #[inline(never)]
    fn put_in_new_block(&mut self, rank: u32, size: i64) {
        let at = At::of(rank);
        let mut c = self.top[at.chunk] as usize;
        if c == 0 {
            c = self.chunks.take(&NO_CHUNK) as usize;
            // At most CHUNKS chunks are in use, so the id fits.
            self.top[at.chunk] = c as u16;
            self.words[at.chunk >> 6] |= 1 << (at.chunk & 63);
            self.summary |= 1 << (at.chunk >> 6);
        }
        let chunk = &mut self.chunks.items[c];
        let mut p = chunk.pages[at.page] as usize;
        if p == 0 {
            p = self.pages.take(&NO_PAGE) as usize;
            chunk.pages[at.page] = p as u32;
            chunk.mask |= 1 << at.page;
        }
        let b = self.blocks.take(&NO_BLOCK);
        let page = &mut self.pages.items[p];
        page.blocks[at.block] = b;
        page.mask |= 1 << at.slot();
        self.blocks.items[b as usize].0[at.cell] = size;
        self.len += 1;
        self.best = self.best.min(rank);
    }

    /// After a store at or above the best rank, or one that emptied its page.
    #[inline(never)]
    fn tidy(&mut self, rank: u32, emptied: bool) {
        if emptied {
            self.free_page(At::of(rank));
        }
        if rank <= self.best {
            self.best = self.first();
        }
    }

    /// Gives an empty page and its blocks, all zeros, back.
    fn free_page(&mut self, at: At) {
        let c = self.top[at.chunk] as usize;
        let chunk = &mut self.chunks.items[c];
        let p = std::mem::take(&mut chunk.pages[at.page]);
        chunk.mask &= !(1 << at.page);
        let chunk_emptied = chunk.mask == 0;
        let blocks = std::mem::take(&mut self.pages.items[p as usize].blocks);
        self.blocks.free.extend(blocks.into_iter().filter(|&b| b != 0));
        self.pages.free.push(p);
        if chunk_emptied {
            self.free_chunk(at, c);
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
