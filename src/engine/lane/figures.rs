//! Cold: once a second a lane puts out what it does not count frame by frame.

use std::sync::Arc;

use super::Lane;
use crate::engine::messages::FromLane;
use crate::fold;
use crate::metrics::{Counter, StreamMetrics};
use crate::model::time::NS_PER_S;
use crate::model::{ConnId, GapCause, Side, SnapshotSource, StreamId, VenueIx};
use crate::sys::alloc;
use crate::venue::Paths;
use crate::wire::reader::Reader;

/// Frames of this second that could not be read.
#[derive(Default)]
pub(super) struct Unread(Vec<(VenueIx, StreamId, u64, &'static str)>);

impl Unread {
    #[cold]
    pub(super) fn note(&mut self, venue: VenueIx, stream: StreamId, detail: &'static str) {
        match self.0.iter_mut().find(|u| (u.0, u.1) == (venue, stream)) {
            Some(u) => (u.2, u.3) = (u.2 + 1, detail),
            None => self.0.push((venue, stream, 1, detail)),
        }
    }
}

impl Lane {
    #[cold]
    pub(super) fn meet(&mut self, id: StreamId) {
        let (name, venue) = match self.fold.stream(id) {
            Some((n, _, _)) => (n.to_owned(), self.fold.stream_venue(id).unwrap_or("")),
            None => (String::new(), ""),
        };
        let series = self.recorder.stream(venue, &name);
        let of = |leg: u8| {
            let is =
                |(v, n, m): &&(&str, String, Arc<StreamMetrics>)| *v == venue && *n == name && m.leg == leg;
            self.counted.iter().find(is).map(|(_, _, m)| Arc::clone(m))
        };
        let counters = [of(0), of(1)];
        let at = id.0 as usize;
        if self.series.len() <= at {
            self.series.resize_with(at + 1, || None);
        }
        self.series[at] = Some((series, counters));
    }

    /// What counts a stream's gaps, which are those of both its legs.
    pub(super) fn counters(&self, id: StreamId) -> Option<&StreamMetrics> {
        let (name, venue) = (self.fold.stream(id)?.0, self.fold.stream_venue(id)?);
        self.counted.iter().find(|(v, n, _)| *v == venue && n == name).map(|(_, _, m)| &**m)
    }

    /// Control waits for the answer to what asks for a snapshot from the moment on at which it went out.
    pub(super) fn tell_sent(&mut self, conn: ConnId, venue: &str, text: &str) {
        let spec = crate::venue::by_id(venue).map(|v| v.1.spec());
        if spec.is_some_and(|s| s.snapshot == SnapshotSource::InBand) {
            self.unsent.push_back(FromLane::Sent { conn, text: text.to_owned() });
        }
    }

    /// Sizes of books, open gaps, allocations, events without a table, ways of reading; at the end once more.
    pub(super) fn figures(&mut self, reader: &Reader) {
        // `last_flush` is the lane's latest look at the clock that need not be exact.
        if self.last_flush - self.figures_at < NS_PER_S && !self.stopping {
            return;
        }
        self.figures_at = self.last_flush;
        let m = &self.metrics.reader;
        raise(&m.allocations, alloc::thread_allocations());
        raise(&m.transport_allocations, reader.counters().transport_allocations);
        for b in &self.books {
            let id = fold::venue_index(&b.venue).and_then(|v| self.fold.find(v, &b.symbol));
            let book = id.and_then(|id| self.fold.book(id));
            let levels = book.map_or(0, |b| b.len(Side::Bid) + b.len(Side::Ask));
            b.levels.set(i64::try_from(levels).unwrap_or(i64::MAX));
            b.feed.set(id.map_or(0, |id| self.fold.book_conn(id)));
        }
        let mut open = [0; GapCause::ALL.len()];
        for cause in self.fold.open_gaps() {
            if let Some(n) = GapCause::ALL.iter().position(|c| *c == cause) {
                open[n] += 1;
            }
        }
        for (g, n) in m.gaps_open.iter().zip(open) {
            g.set(n);
        }
        for (venue, n) in self.fold.paths() {
            if n == Paths::default() {
                continue;
            }
            let p = match self.parsers.iter().find(|p| p.venue == venue) {
                Some(p) => p,
                // Once per venue.
                None => {
                    self.parsers.push(self.metrics.add_parser(venue));
                    &self.parsers[self.parsers.len() - 1]
                }
            };
            raise(&p.quick, n.quick);
            raise(&p.general, n.general);
            raise(&p.fallback, n.fallback);
        }
        for (id, n) in self.wishes.candles.grown() {
            if let Some(m) = self.counters(id) {
                m.grown.add(n);
            }
        }
        for (id, was, class) in std::mem::take(&mut self.wishes.classes) {
            let Some((stream, _, _)) = self.fold.stream(id) else { continue };
            let (stream, venue) = (stream.to_owned(), self.fold.stream_venue(id).unwrap_or("").to_owned());
            self.report(FromLane::Class { venue, stream, was, class });
        }
        for (venue, id, frames, detail) in std::mem::take(&mut self.wishes.unread.0) {
            let Some(venue) = crate::venue::all().get(usize::from(venue.0)).map(|v| v.spec().id) else {
                continue;
            };
            let stream = self.fold.stream(id).map_or("", |s| s.0).to_owned();
            self.report(FromLane::Unread { venue, stream, frames, detail });
        }
        let total = self.fold.counters().others;
        if total != self.others_told {
            self.others_told = total;
            let by_name = self.fold.others();
            self.report(FromLane::Others { lane: self.clock.lane(), total, by_name });
        }
    }
}

/// Lets a counter say what another count has come to.
fn raise(c: &Counter, to: u64) {
    c.add(to.saturating_sub(c.get()));
}
