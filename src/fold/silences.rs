//! Silences that nobody noticed. A reader ends a connection that is silent for longer than its venue bears; where a record
//! shows such a silence all the same, the recorder stood still (a machine that slept, a frozen process).
//!
//! What the kernel kept meanwhile is there and in order, and its stamps say when it came. So a connection lived up to the
//! last of these, not up to when we read it. A silence in them that is over proves nothing missing where ids tell what is; for
//! a stream without ids it does: the kernel's buffer was full perhaps, and what a venue does with a peer that takes
//! nothing only the venue knows. A silence that is not over when an interval ends is judged when it is.
//!
//! A recording of another tool has no heartbeats beside its frames, and nobody says that its recorder watched for silence.
//! What it does not show is not covered either: the time is told as that of a cut line is, and streams with ids say when
//! they are back whether anything is missing. A stream of a fixed pace that brings nothing for as long as a live one would not be
//! borne is silent there too, though its connection lives.

use super::FoldSink;
use super::state::{Conn, Core, Detector, Stream};
use super::streams::GapEnd;
use crate::instrument::DELISTED;
use crate::model::record::LATE_NS;
use crate::model::time::{self, NS_PER_S};
use crate::model::{Record, StreamId, VenueIx, row::GapCause};
use crate::venue;

/// How much later than its limit a silence may be noticed: a lane looks every 50 ms, a busy machine later.
const NOTICE_NS: i64 = 2 * NS_PER_S;
/// Silence that is believed of a connection while the recorder stood still: nobody asked it meanwhile whether it lives.
const STOOD_NS: i64 = 6 * NS_PER_S;
/// Silence of a stream of a fixed pace that another tool's recording may have: what a live one has unless it is told
/// otherwise, and never less than so many messages.
pub(super) const PACED_NS: i64 = 60 * NS_PER_S;
const PACES: i64 = 5;

/// Silence that a venue's connection is believed to live through, ns.
pub(super) fn limit_of(ix: VenueIx) -> i64 {
    let spec = venue::all().get(usize::from(ix.0)).map(|v| v.spec());
    spec.map_or(0, |s| i64::from(s.silence_most_s())) * NS_PER_S + NOTICE_NS
}

impl Core {
    /// A connection gives a sign of life with `rec`.
    #[inline]
    pub fn lives<S: FoldSink>(&mut self, conn: &mut Conn, rec: &Record<'_>, sink: &mut S) {
        let at = rec.ts_there();
        // No limit is less. And the first sign behind a boundary ends what waits there.
        let passes = conn.ts_last < self.boundary_at && self.boundary_at <= at;
        if at.saturating_sub(conn.ts_last) > NOTICE_NS || passes {
            self.after_silence(conn, at, rec, sink);
        }
        (conn.ts_last, conn.mono_last) = (at, rec.ts_mono);
    }

    #[cold]
    fn after_silence<S: FoldSink>(&mut self, conn: &Conn, at: i64, rec: &Record<'_>, sink: &mut S) {
        // What came last was read long after it was there: the silence began in that time.
        let read_late = |id: &StreamId| {
            let s = &self.streams[id.0 as usize];
            s.conn == conn.id && s.ts_last.saturating_sub(conn.ts_last) > LATE_NS
        };
        let stood = rec.is_late() || conn.streams.iter().any(read_late);
        let limit = if stood { STOOD_NS.min(limit_of(conn.venue)) } else { limit_of(conn.venue) };
        for &id in &conn.streams {
            let s = &self.streams[id.0 as usize];
            let tells = s.kind.is_chained() && !self.is_import();
            if at.saturating_sub(conn.ts_last) > limit && !tells {
                self.cut_silence(id, Some(conn), (at, limit), rec, sink);
            }
            if self.streams[id.0 as usize].split.is_some_and(|p| p.at <= at) {
                self.split_waited(id, rec, sink);
            }
        }
    }

    /// No coverage goes on over a silence that is too long where the recorder ends.
    pub fn cut_silences<S: FoldSink>(&mut self, at: i64, rec: &Record<'_>, sink: &mut S) {
        for i in 0..self.streams.len() {
            self.cut_silence_at(StreamId(i as u32), at, rec, sink);
        }
    }

    /// The same for one stream: nobody waits for its next sign of life.
    pub fn cut_silence_at<S: FoldSink>(&mut self, id: StreamId, at: i64, rec: &Record<'_>, sink: &mut S) {
        let limit = limit_of(self.streams[id.0 as usize].venue);
        self.cut_silence(id, None, (at, limit), rec, sink);
        self.lost_pace(id, at, rec, sink);
    }

    /// A stream of a fixed pace that brought nothing up to `until`, for too long: in a recording nobody watched for that.
    #[cold]
    pub(super) fn lost_pace<S: FoldSink>(
        &mut self,
        id: StreamId,
        until: i64,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let s = &self.streams[id.0 as usize];
        let Some(c) = s.cover.filter(|_| self.is_import()) else { return };
        // An interval that ended meanwhile is no sign of life.
        let by_boundary = time::floor_to(c.ts_begin, self.cfg.interval_ns) == c.ts_begin;
        let heard = if by_boundary { s.ts_last } else { s.ts_last.max(c.ts_begin) };
        let begin = heard.max(c.ts_begin);
        if until.saturating_sub(heard) <= PACED_NS || begin >= until {
            return;
        }
        let v = super::state::venue_of(s.venue);
        let pace = v.parse_stream(&s.name).and_then(|spec| v.pace_s(&spec.channel));
        let Some(pace) = pace.map(|p| i64::from(p) * NS_PER_S) else { return };
        let is_gone = self.insts.get(s.instrument.ix()).is_some_and(|i| i.version.status == DELISTED);
        if is_gone || until.saturating_sub(heard) <= pace.saturating_mul(PACES) {
            return;
        }
        let (last, cause) = (s.last_id, GapCause::SilentStream);
        self.close_cover(id, begin, cause.as_str(), rec, sink);
        self.open_gap(id, cause, begin, Detector::Watchdog, last, 0);
    }

    /// Whether none of the connections that carry a stream has given a sign of life of late.
    pub fn is_silent(&self, id: StreamId, at: i64) -> bool {
        let s = &self.streams[id.0 as usize];
        let is_late = |h: i64| at.saturating_sub(h) > NOTICE_NS;
        !self.is_import() && s.cover.is_some() && self.heard(s).is_some_and(is_late)
    }

    /// When any of the connections that carry a stream last gave a sign of life.
    pub(super) fn heard(&self, s: &Stream) -> Option<i64> {
        s.carriers.iter().filter_map(|c| self.conns.get(&c.conn)).map(|c| c.ts_last).max()
    }

    /// What another tool recorded.
    pub(super) fn is_import(&self) -> bool {
        self.cfg.writer == "import"
    }

    /// If nothing was heard of any of a stream's connections for longer than a limit, its coverage has a gap up to `until`.
    fn cut_silence<S: FoldSink>(
        &mut self,
        id: StreamId,
        taken_out: Option<&Conn>,
        (until, limit): (i64, i64),
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let s = &self.streams[id.0 as usize];
        let Some(cover) = s.cover else { return };
        let heard = |c: &super::legs::Carrier| match taken_out.filter(|t| t.id == c.conn) {
            Some(t) => Some((t.ts_last, t.mono_last)),
            None => self.conns.get(&c.conn).map(|o| (o.ts_last, o.mono_last)),
        };
        let Some((lived, mono)) = s.carriers.iter().filter_map(heard).max() else { return };
        let has_ids = s.kind.is_chained() && s.last_id >= 0;
        // Ids that turn out to be missing may have been sent at any time since the last one.
        let since = if has_ids { lived.min(s.ts_chain) } else { lived };
        let begin = since.max(cover.ts_begin);
        if until.saturating_sub(lived) <= limit || begin >= until {
            return;
        }
        let (last, conn, is_import) = (s.last_id, s.conn, self.is_import());
        // The clock that nobody sets says that it was no time: the wall clock was set forward. Nothing is missing then, but
        // these seconds are in the day and no message can have come in them.
        let is_step = mono > 0 && rec.ts_mono > 0 && rec.ts_mono.saturating_sub(mono) <= limit;
        let cause = match (is_import, is_step) {
            (true, _) => GapCause::StaleTimeout,
            (false, true) => GapCause::ClockStep,
            (false, false) => GapCause::LocalStall,
        };
        let book = self.insts.get(s.instrument.ix()).and_then(|i| i.book.as_ref());
        let epoch = book.filter(|b| b.stream == id).map_or(0, |b| b.proof_epoch());
        self.close_cover(id, begin, cause.as_str(), rec, sink);
        self.open_gap(id, cause, begin, Detector::Watchdog, last, epoch);
        if has_ids {
            // Its next id ends the gap and says what is missing.
            return;
        }
        // Where the interval ends the silence does not: the next sign of life tells the rest.
        let recovered_by = if until == self.boundary_at { "boundary" } else { "frame" };
        let end = GapEnd { ts_end: until, seq_after: -1, rseq_after: -1, epoch_after: 0, recovered_by };
        self.close_gap(id, end, rec, sink);
        self.open_cover(id, until, -1, -1, conn);
    }
}
