//! An allocator that counts: tests prove with it that hot rooms allocate nothing, and the daemon publishes what the
//! transport's libraries allocate.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

thread_local! {
    // `const` and without a destructor: reading it never allocates and works while a thread dies.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Wraps an allocator and counts the calls of each thread that asked for memory (new blocks and reallocations).
pub struct Counting<A>(pub A);

#[inline]
fn bump() {
    COUNT.with(|c| c.set(c.get().wrapping_add(1)));
}

// SAFETY: every call goes unchanged to the wrapped allocator, which upholds the contract; counting touches no memory
// that was asked for.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        bump();
        // SAFETY: the caller's promises are passed on unchanged.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on unchanged.
        unsafe { self.0.dealloc(ptr, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        bump();
        // SAFETY: the caller's promises are passed on unchanged.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        bump();
        // SAFETY: the caller's promises are passed on unchanged.
        unsafe { self.0.realloc(ptr, layout, new_size) }
    }
}

/// How often the calling thread has asked for memory so far; stays 0 unless [`Counting`] is the global allocator.
#[inline]
pub fn thread_allocations() -> u64 {
    COUNT.with(Cell::get)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;

    #[test]
    fn each_request_is_counted_on_its_thread() {
        let a = Counting(System);
        let layout = Layout::from_size_align(64, 8).unwrap();
        let before = thread_allocations();
        // SAFETY: the layout has a size; the block is given back with the layout that it has at that moment.
        unsafe {
            let p = a.alloc(layout);
            let p = a.realloc(p, layout, 128);
            a.dealloc(p, Layout::from_size_align(128, 8).unwrap());
        }
        assert!(thread_allocations() >= before + 2);
    }
}
