//! Whether the disk takes what it is given, as those who write to it found it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::counter::{Counter, Gauge};

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// The journal thread: what it cannot write stays in the rings.
    Journal,
    /// The converter: what it cannot write stays in the journal.
    Converter,
    /// Nobody: there is so little room that streams are given up.
    Space,
}

/// Failures of storage, and which of them last.
#[derive(Debug, Default)]
pub struct StorageMetrics {
    /// Writes, syncs and creations of the journal that failed.
    pub journal_failures: Counter,
    /// Conversions that could not be written and were begun again.
    pub converter_failures: Counter,
    /// Bytes that are held back for a disk that is full.
    pub reserve: Gauge,
    /// How much is given up, 0 nothing to 5 everything.
    pub rung: Gauge,
    /// Streams that were given up because the disk ran full.
    pub shed: Counter,
    /// Streams that are at this time.
    pub shed_now: Gauge,
    now: Mutex<[Option<String>; 3]>,
}

impl StorageMetrics {
    fn now(&self) -> MutexGuard<'_, [Option<String>; 3]> {
        // One element is replaced under this lock: never half done.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what is wrong, or that it is over. True if that is news.
    pub fn set(&self, who: Writes, why: Option<String>) -> bool {
        let mut now = self.now();
        let place = &mut now[who as usize];
        let news = *place != why;
        *place = why;
        news
    }

    /// Whether one of them is refused at this time.
    pub fn fails(&self, who: Writes) -> bool {
        self.now()[who as usize].is_some()
    }

    /// What is wrong at this time, for people; `None` = nothing.
    pub fn trouble(&self) -> Option<String> {
        let all: Vec<String> = self.now().iter().flatten().cloned().collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_of_two_writers_is_told_apart_and_ends() {
        let s = StorageMetrics::default();
        assert_eq!(s.trouble(), None);
        assert!(s.set(Writes::Journal, Some("a".to_owned())));
        assert!(!s.set(Writes::Journal, Some("a".to_owned())), "no news");
        assert!(s.set(Writes::Converter, Some("b".to_owned())));
        assert_eq!(s.trouble().as_deref(), Some("a; b"));
        assert!(s.fails(Writes::Journal) && !s.fails(Writes::Space));
        assert!(s.set(Writes::Journal, None));
        assert_eq!(s.trouble().as_deref(), Some("b"));
        assert!(s.set(Writes::Converter, None) && s.trouble().is_none());
    }
}
