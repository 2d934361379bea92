//! A panic in a venue's code ends nothing but what it may have touched: that venue's books in this lane.
//!
//! No byte that a venue sends should be able to cause one; this is for the day on which one does. The converter's fold meets
//! the same frame later and does the same, so that files and books agree here too.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::FoldSink;
use super::state::{About, BookState, Core, Detector, Fold};
use crate::model::{GapCause, Record, Reject, RejectCause, StreamId, StreamKind, VenueIx};
use crate::venue::Scratch;

/// What somebody panicked with.
pub(super) struct Panic;

#[cfg(test)]
thread_local! {
    /// Where the next panic is planted; 0 = nowhere.
    pub(super) static PLANTED: std::cell::Cell<u8> = const { std::cell::Cell::new(0) };
}

/// A place where a test may plant a panic.
#[cfg(test)]
#[allow(clippy::panic, reason = "it is what the test wants")]
pub(super) fn planted(place: u8) {
    if PLANTED.get() == place {
        PLANTED.set(0);
        panic!("planted by a test");
    }
}

/// Runs a venue's code. What it leaves behind when it panics is put right by [`Fold::panicked`].
pub(super) fn caught<R>(f: impl FnOnce() -> R) -> Result<R, Panic> {
    // The panic's own words were told by the panic hook, with the place in the code.
    catch_unwind(AssertUnwindSafe(f)).map_err(|_| Panic)
}

impl Fold {
    /// The frame is rejected and kept; whatever the venue's code held may be half done, so each of the venue's books must be
    /// proven anew, and each of its streams has a gap: nobody knows which of them the frame was for.
    #[cold]
    pub(super) fn panicked<S: FoldSink>(
        &mut self,
        _: Panic,
        rec: &Record<'_>,
        sink: &mut S,
        about: &mut About,
    ) {
        if let Some(s) = self.scratch.get_mut(usize::from(about.venue.0)) {
            *s = Scratch::default();
        }
        self.core.level_scratch = (Vec::new(), Vec::new());
        about.stream = StreamId::NONE;
        let venue = about.venue;
        self.core.reject(rec, sink, about, Reject::new(RejectCause::Panic, "panic in the venue's code"));
        self.core.start_again(rec, venue, sink);
    }
}

impl Core {
    fn start_again<S: FoldSink>(&mut self, rec: &Record<'_>, venue: VenueIx, sink: &mut S) {
        let rule = self.rule(venue);
        for n in 0..self.streams.len() {
            let (id, s) = (StreamId(n as u32), &self.streams[n]);
            if s.venue != venue || (s.cover.is_none() && s.gap.is_none()) {
                continue;
            }
            let (kind, instrument, until, last) = (s.kind, s.instrument, s.known_until(), s.last_id);
            if kind == StreamKind::DepthDiff {
                let book = &mut self.insts[instrument.ix()].book;
                // It was in the hands of the code that panicked: what it was is lost, that it was is not.
                book.get_or_insert_with(|| Box::new(BookState { synced: true, ..BookState::new(rule, id) }));
                self.unproven(rec, instrument, GapCause::ProcessCrash, Detector::Recovery, sink);
            }
            if self.streams[n].gap.is_none() {
                self.close_cover(id, until, GapCause::ProcessCrash.as_str(), rec, sink);
                self.open_gap(id, GapCause::ProcessCrash, until, Detector::Recovery, last, -1);
            }
        }
    }
}
