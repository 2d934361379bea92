//! A connection that feeds a book and brings none of its changes while another one does: it is dead and has not said so.
//!
//! Where the ids of two connections are no one count nobody can say which change of one is which of the other. A connection that
//! stands by is taken to lag a second at most: what it brings so soon behind the last change of the one that feeds the book is that
//! change, unless more of them follow without a pause.

use serde::{Deserialize, Serialize};

use super::FoldSink;
use super::state::{BookState, Core, Detector};
use crate::model::{ConnId, Depth, Record, StreamId, row::GapCause};

/// One that brings no change of a book for so long, while another one does, brings none any more.
const DEAF_NS: i64 = 10_000_000_000;
/// Changes that are so far from each other are no stream that goes on.
const PAUSE_NS: i64 = 5_000_000_000;
/// The third run of changes of which it brought none says the same: the second one's it would have brought by then.
const RUNS: u32 = 3;
/// A connection that stands by lags no more than this.
const LAG_NS: i64 = 1_000_000_000;

/// What other connections brought of a book since the one that feeds it spoke last. Receive times, 0 = none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beside {
    /// When the one that feeds it spoke last.
    fed: i64,
    /// The first change of others since then.
    since: i64,
    /// The last one of the first run, that is without a pause from that on.
    first_end: i64,
    /// The first one of the second run.
    second: i64,
    /// The first one of this run.
    run: i64,
    /// The last one.
    last: i64,
    runs: u32,
    /// The connection that was found to be deaf, and has brought no change since; 0 = none.
    deaf: ConnId,
    /// It was found so, and the book is not proven yet on the one that speaks.
    found: bool,
}

impl Beside {
    /// The connection that feeds the book spoke.
    #[inline]
    pub fn feeds(&mut self, rec: &Record<'_>) {
        let deaf = if self.deaf == rec.conn { 0 } else { self.deaf };
        *self = Beside { fed: rec.ts_recv, deaf, found: self.found, ..Beside::default() };
    }

    /// The book is proven on the connection that feeds it now.
    pub fn proven(&mut self, rec: &Record<'_>) {
        *self = Beside { fed: rec.ts_recv, deaf: self.deaf, ..Beside::default() };
    }

    /// A whole view came on it: `speaks`, of its own accord.
    #[inline]
    pub fn views(&mut self, rec: &Record<'_>, speaks: bool) {
        if speaks {
            self.feeds(rec);
        }
    }

    /// Another one brought a change. Says whether the one that feeds the book is deaf.
    fn brings(&mut self, rec: &Record<'_>) -> bool {
        let now = rec.ts_recv;
        if self.deaf == rec.conn {
            self.deaf = 0;
        }
        if self.since == 0 {
            (self.since, self.first_end, self.run, self.runs) = (now, now, now, 1);
        } else if now.saturating_sub(self.last) >= PAUSE_NS {
            (self.run, self.runs) = (now, self.runs.saturating_add(1));
            if self.second == 0 {
                self.second = now;
            }
        } else if self.runs == 1 {
            self.first_end = now;
        }
        if now < self.last {
            // The clock was set back.
            self.run = now;
        }
        self.last = now;
        now.saturating_sub(self.run) >= DEAF_NS || self.runs >= RUNS
    }

    /// Since when changes are missing that others brought.
    pub fn missing_since(&self) -> Option<i64> {
        let is_lag = self.first_end.saturating_sub(self.fed) <= LAG_NS;
        let since = if is_lag { self.second } else { self.since };
        (since != 0).then_some(since)
    }

    /// Whether a connection was found to be deaf, and has brought no change since.
    pub fn is_deaf(&self, conn: ConnId) -> bool {
        self.deaf != 0 && self.deaf == conn
    }

    /// Whether the book was begun anew because another one spoke, and is not proven there yet.
    pub fn is_found(&self) -> bool {
        self.found
    }
}

impl BookState {
    /// Whether the next one has brought nothing here that the book does not have: both count alike.
    fn has(&self, conn: ConnId, last: i64) -> bool {
        last <= self.seq.live_id() && self.next.as_ref().is_some_and(|n| n.is_of(conn))
    }
}

impl Core {
    /// A connection brought a change of a proven book that another one feeds. If that one has brought none for so long while others
    /// did, it is deaf: where nothing is known that goes on from it, the book is begun anew on this one.
    pub(super) fn feed_is_deaf<S: FoldSink>(&mut self, rec: &Record<'_>, d: &Depth<'_>, sink: &mut S) {
        let Some(b) = self.insts[d.instrument.ix()].book.as_mut() else { return };
        if !b.synced || b.stream != d.stream || b.seq.conn() == rec.conn || b.has(rec.conn, d.last) {
            return;
        }
        if !b.beside.brings(rec) || self.hands_over(rec, d.instrument, true, sink) {
            return;
        }
        let Some(b) = self.insts[d.instrument.ix()].book.as_mut() else { return };
        let (deaf, epoch) = (b.seq.conn(), b.epoch);
        let since = b.beside.missing_since().unwrap_or(rec.ts_recv).min(rec.ts_recv);
        b.beside = Beside { deaf, found: true, ..Beside::default() };
        b.next = None;
        self.s(d.stream).feed = rec.conn;
        self.begins_on(d.stream, since, (GapCause::SilentStream, Detector::Watchdog), epoch, rec, sink);
    }

    /// What others brought of a stream's proven book and the connection that feeds it did not is missing since then.
    pub(super) fn missing_beside(&self, id: StreamId) -> Option<i64> {
        let s = self.streams.get(id.0 as usize)?;
        let b = self.insts.get(s.instrument.ix())?.book.as_ref()?;
        b.beside.missing_since().filter(|_| b.synced && b.stream == id)
    }
}
