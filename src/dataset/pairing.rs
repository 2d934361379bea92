//! `rows_sha256` of parts in the making, two at a time.
//!
//! A group of rows waits for its hash until another part has one too, because two streams at once cost little more than
//! one ([`crate::sys::sha`]). One group waits at most; the hash of a part does not depend on whose was made with it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arrow_array::RecordBatch;

use super::columns;
use super::hash::{Group, RowsHash, is_known};

/// The hash of one part, and its groups that are not in it yet.
#[derive(Default)]
struct Open {
    hash: RowsHash,
    groups: VecDeque<Group>,
}

impl Open {
    /// Hashes the oldest groups with nobody beside them, until so many wait.
    fn alone_until(&mut self, left: usize) {
        while self.groups.len() > left
            && let Some(mut g) = self.groups.pop_front()
        {
            g.alone(&mut self.hash);
            columns::recycle(g.batch);
        }
    }

    /// Hashes groups of two parts, until one has none.
    fn with(&mut self, other: &mut Open) {
        while let (Some(a), Some(b)) = (self.groups.front_mut(), other.groups.front_mut()) {
            let done = Group::both((a, &mut self.hash), (b, &mut other.hash));
            for (open, done) in [(&mut *self, done.0), (&mut *other, done.1)] {
                if done && let Some(g) = open.groups.pop_front() {
                    columns::recycle(g.batch);
                }
            }
        }
    }
}

thread_local! {
    /// The part that has a group that waits. One that is given up goes by itself.
    static WAITING: RefCell<Weak<Mutex<Open>>> = const { RefCell::new(Weak::new()) };
}

/// The hash of a part in the making.
#[derive(Default)]
pub(super) struct PartHash(Arc<Mutex<Open>>);

impl PartHash {
    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing here panics with the lock held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the rows of a group, now or later. Returns false if a column has a type that no table has.
    pub(super) fn add(&self, batch: &RecordBatch) -> bool {
        if !is_known(batch) {
            return false;
        }
        let mut own = self.open();
        own.groups.push_back(Group::new(batch.clone()));
        let mut waits = WAITING.take();
        if let Some(other) = waits.upgrade().filter(|o| !Arc::ptr_eq(o, &self.0))
            // A part that another thread has taken over is that one's.
            && let Ok(mut other) = other.try_lock()
        {
            own.with(&mut other);
        }
        if !own.groups.is_empty() {
            own.alone_until(1);
            waits = Arc::downgrade(&self.0);
        }
        WAITING.set(waits);
        true
    }

    /// `rows_sha256` of all rows added, hex.
    pub(super) fn hex(&self) -> String {
        let mut own = self.open();
        own.alone_until(0);
        own.hash.hex()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BinaryArray, Int64Array};
    use arrow_schema::{DataType, Field, Schema};
    use proptest::prelude::*;

    use super::*;

    /// Rows of a part: even ones have rows of one length.
    fn batch(part: usize, from: i64, rows: usize) -> RecordBatch {
        let numbers = from..from + rows as i64;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from_iter_values(numbers.clone()))];
        let mut fields = vec![Field::new("a", DataType::Int64, false)];
        if part % 2 == 1 {
            let texts = numbers.map(|i| vec![part as u8; (i % 50) as usize]);
            columns.push(Arc::new(BinaryArray::from_iter_values(texts)));
            fields.push(Field::new("b", DataType::Binary, false));
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    proptest! {
        #[test]
        fn parts_hash_as_each_alone_whoever_is_beside_them(
            steps in proptest::collection::vec((0usize..5, 0usize..900, 0u8..9), 1..40),
        ) {
            let mut parts: Vec<_> = (0..5).map(|_| (PartHash::default(), RowsHash::default(), 0)).collect();
            for (part, rows, what) in steps {
                let (hash, want, at) = &mut parts[part];
                match what {
                    0 => prop_assert_eq!(hash.hex(), want.hex()),
                    // Given up, as after an error; another begins.
                    1 => (*hash, *want, *at) = (PartHash::default(), RowsHash::default(), 0),
                    _ => {
                        let batch = batch(part, *at, rows);
                        *at += rows as i64;
                        prop_assert!(hash.add(&batch) && want.update(&batch));
                    }
                }
            }
            for (hash, want, _) in &parts {
                prop_assert_eq!(hash.hex(), want.hex());
            }
        }
    }

    #[test]
    fn one_group_waits_and_no_more() {
        let (a, b) = (PartHash::default(), PartHash::default());
        let waits = |p: &PartHash| p.open().groups.len();
        for rows in [10, 500] {
            assert!(a.add(&batch(0, 0, rows)));
            assert_eq!(waits(&a), 1);
        }
        assert!(b.add(&batch(1, 0, 20)));
        assert_eq!((waits(&a), waits(&b)), (1, 0));
        a.hex();
        assert_eq!(waits(&a), 0);
    }
}
