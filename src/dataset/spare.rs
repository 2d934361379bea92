//! Memory of columns and pages that were encoded, kept for those that grow: fresh pages of the system cost more than
//! filling them. One store per thread, because parts come and go by the thousand.

use std::cell::RefCell;

/// Bytes kept at most: about what full groups of `raw`, `book_delta`, `bbo` and `trades` are made of.
const KEPT_MAX: usize = 96 << 20;
/// Smaller ones are the allocator's business, and a column of fewer bytes grows as any `Vec`.
const LEAST: usize = 64 << 10;
/// Values of a column that begins: thousands of columns do, and doubling from four is five moves for each.
const FIRST: usize = 32;

#[derive(Default)]
pub(super) struct Store {
    i64s: Vec<Vec<i64>>,
    i32s: Vec<Vec<i32>>,
    f64s: Vec<Vec<f64>>,
    bytes: Vec<Vec<u8>>,
    kept: usize,
}

thread_local! {
    static STORE: RefCell<Store> = RefCell::default();
}

/// What columns are made of.
pub(super) trait Spare: Copy + 'static {
    fn shelf(store: &mut Store) -> &mut Vec<Vec<Self>>;
}

impl Spare for i64 {
    fn shelf(store: &mut Store) -> &mut Vec<Vec<i64>> {
        &mut store.i64s
    }
}

impl Spare for i32 {
    fn shelf(store: &mut Store) -> &mut Vec<Vec<i32>> {
        &mut store.i32s
    }
}

impl Spare for f64 {
    fn shelf(store: &mut Store) -> &mut Vec<Vec<f64>> {
        &mut store.f64s
    }
}

impl Spare for u8 {
    fn shelf(store: &mut Store) -> &mut Vec<Vec<u8>> {
        &mut store.bytes
    }
}

/// The smallest kept one with room for so many values.
fn find<T: Spare>(room: usize) -> Option<Vec<T>> {
    STORE.with_borrow_mut(|store| {
        let shelf = T::shelf(store);
        let fits = |(i, v): (usize, &Vec<T>)| (v.capacity() >= room).then_some((v.capacity(), i));
        let (capacity, at) = shelf.iter().enumerate().filter_map(fits).min()?;
        let v = shelf.swap_remove(at);
        store.kept -= capacity * size_of::<T>();
        Some(v)
    })
}

/// An empty column with room for so many values.
pub(super) fn take<T: Spare>(room: usize) -> Vec<T> {
    if room * size_of::<T>() < LEAST {
        return Vec::with_capacity(room);
    }
    find(room).unwrap_or_else(|| Vec::with_capacity(room))
}

/// Takes back what nobody needs any more.
pub(super) fn give<T: Spare>(mut v: Vec<T>) {
    v.clear();
    let size = v.capacity() * size_of::<T>();
    STORE.with_borrow_mut(|store| {
        if size >= LEAST && store.kept + size <= KEPT_MAX {
            store.kept += size;
            T::shelf(store).push(v);
        }
    });
}

/// Makes room for `more` values: a kept column takes the place of one that outgrows its own.
#[cold]
fn grow<T: Spare>(v: &mut Vec<T>, more: usize) {
    let room = (v.len() + more).max(2 * v.len());
    if room * size_of::<T>() >= LEAST
        && let Some(mut next) = find(room)
    {
        next.extend_from_slice(v);
        give(std::mem::replace(v, next));
    } else {
        // Most columns of a quiet symbol never have more than this.
        v.reserve(more.max(if v.capacity() == 0 { FIRST } else { 0 }));
    }
}

/// As `Vec::push`.
#[inline]
pub(super) fn push<T: Spare>(v: &mut Vec<T>, x: T) {
    if v.len() == v.capacity() {
        grow(v, 1);
    }
    v.push(x);
}

/// As `Vec::extend_from_slice`.
#[inline]
pub(super) fn extend<T: Spare>(v: &mut Vec<T>, x: &[T]) {
    if v.capacity() - v.len() < x.len() {
        grow(v, x.len());
    }
    v.extend_from_slice(x);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> usize {
        STORE.with_borrow(|s| s.kept)
    }

    #[test]
    fn a_column_that_grows_takes_what_another_has_left() {
        let mut first: Vec<i64> = Vec::new();
        (0..50_000).for_each(|i| push(&mut first, i));
        let place = first.as_ptr();
        give(first);
        let mut next: Vec<i64> = Vec::new();
        (0..50_000).for_each(|i| push(&mut next, -i));
        assert_eq!(next.as_ptr(), place);
        assert!(next.iter().enumerate().all(|(i, x)| *x == -(i as i64)));
        assert!(take::<i64>(60_000).is_empty());
    }

    #[test]
    fn little_and_too_much_are_not_kept() {
        give(Vec::<u8>::with_capacity(LEAST - 1));
        assert_eq!(kept(), 0);
        for _ in 0..3 {
            give(Vec::<u8>::with_capacity(KEPT_MAX / 2));
        }
        assert_eq!(kept(), KEPT_MAX);
        assert_eq!(take::<u8>(KEPT_MAX / 4).capacity(), KEPT_MAX / 2);
        assert_eq!(kept(), KEPT_MAX / 2);
    }
}
