//! Silences that nobody noticed. A reader ends a connection that is silent for longer than its venue bears; where a record
//! shows such a silence all the same, the recorder stood still (a machine that slept, a frozen process). What waited in
//! the kernel comes then, and whether it was all nobody knows: the venue may have gone long before.
//!
//! A recording of another tool has no heartbeats beside its frames, and nobody says that its recorder watched for silence.
//! What it does not show is not covered either: the time is told as that of a cut line is, and streams with ids say when
//! they are back whether anything is missing.

use super::FoldSink;
use super::state::{Conn, Core, Detector};
use super::streams::GapEnd;
use crate::model::time::NS_PER_S;
use crate::model::{Record, StreamId, VenueIx, row::GapCause};
use crate::venue;

/// How much later than its limit a silence may be noticed: a lane looks every 50 ms, a busy machine later.
const NOTICE_NS: i64 = 2 * NS_PER_S;

/// Silence that a venue's connection is believed to live through, ns.
fn limit_of(ix: VenueIx) -> i64 {
    let spec = venue::all().get(usize::from(ix.0)).map(|v| v.spec());
    spec.map_or(0, |s| i64::from(s.dead_after_s)) * NS_PER_S + NOTICE_NS
}

impl Core {
    /// A connection gives a sign of life at `rec`.
    #[inline]
    pub fn lives<S: FoldSink>(&mut self, conn: &mut Conn, rec: &Record<'_>, sink: &mut S) {
        // No venue's limit is less.
        if rec.ts_recv.saturating_sub(conn.ts_last) > NOTICE_NS {
            self.after_silence(conn, rec, sink);
        }
        conn.ts_last = rec.ts_recv;
    }

    #[cold]
    fn after_silence<S: FoldSink>(&mut self, conn: &Conn, rec: &Record<'_>, sink: &mut S) {
        if rec.ts_recv.saturating_sub(conn.ts_last) <= limit_of(conn.venue) {
            return;
        }
        for &id in &conn.streams {
            self.cut_silence(id, Some(conn), rec.ts_recv, rec, sink);
        }
    }

    /// No interval's coverage goes on over a silence that is too long at its end.
    pub fn cut_silences<S: FoldSink>(&mut self, at: i64, rec: &Record<'_>, sink: &mut S) {
        for i in 0..self.streams.len() {
            self.cut_silence(StreamId(i as u32), None, at, rec, sink);
        }
    }

    /// What another tool recorded.
    pub(super) fn is_import(&self) -> bool {
        self.cfg.writer == "import"
    }

    /// If nothing was heard of any of a stream's connections for too long, its coverage has a gap up to `until`.
    fn cut_silence<S: FoldSink>(
        &mut self,
        id: StreamId,
        taken_out: Option<&Conn>,
        until: i64,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let s = &self.streams[id.0 as usize];
        let Some(cover) = s.cover else { return };
        let heard = |c: &super::legs::Carrier| match taken_out.filter(|t| t.id == c.conn) {
            Some(t) => Some(t.ts_last),
            None => self.conns.get(&c.conn).map(|o| o.ts_last),
        };
        let Some(lived) = s.carriers.iter().filter_map(heard).max() else { return };
        let has_ids = s.kind.is_chained() && s.last_id >= 0;
        // Ids that turn out to be missing may have been sent at any time since the last one.
        let since = if has_ids { lived.min(s.ts_chain) } else { lived };
        let begin = since.max(cover.ts_begin);
        if until.saturating_sub(lived) <= limit_of(s.venue) || begin >= until {
            return;
        }
        let (last, conn, is_import) = (s.last_id, s.conn, self.is_import());
        let cause = if is_import { GapCause::StaleTimeout } else { GapCause::LocalStall };
        let book = self.insts.get(s.instrument.ix()).and_then(|i| i.book.as_ref());
        let epoch = book.filter(|_| is_import).map_or(0, |b| b.epoch);
        self.close_cover(id, begin, cause.as_str(), rec, sink);
        self.open_gap(id, cause, begin, Detector::Watchdog, last, epoch);
        self.say_gap(id, cause, sink);
        if is_import && has_ids {
            // Its next id ends the gap and says what is missing.
            return;
        }
        let end =
            GapEnd { ts_end: until, seq_after: -1, rseq_after: -1, epoch_after: 0, recovered_by: "frame" };
        self.close_gap(id, end, rec, sink);
        self.open_cover(id, until, if has_ids { last } else { -1 }, -1, conn);
    }
}
