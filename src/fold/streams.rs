//! Streams: what is proven (`coverage`) and what is not (`gaps`), per stream and connection.
//!
//! At every moment a subscribed stream has either an open stretch of proof or an open gap, never both. Rows are
//! written when a stretch ends; at an interval boundary everything open is split. Missing ids are
//! `(seq_before, seq_after]`.

use super::state::{Conn, Core, Cover, Detector, OpenGap, Stream};
use super::{Effect, FoldSink};
use crate::book::DiffIds;
use crate::model::{
    ConnId, CoverageRow, GapRow, Head, InstrumentId, Record, RowRef, StreamId, StreamKind, StreamSpec,
    VenueIx, row::GapCause,
};

/// How a gap ended.
pub(super) struct GapEnd<'a> {
    pub ts_end: i64,
    pub seq_after: i64,
    pub rseq_after: i64,
    pub epoch_after: i64,
    pub recovered_by: &'a str,
}

/// Ids below the chain's that may come one after the other before they are taken for a count that began anew.
const LATE_MAX: u32 = 16;
/// How far a second connection may lag behind one that is gone: after that its keys are taken as they come.
const LAG_MAX_NS: i64 = 5_000_000_000;
/// Holes that are remembered per stream.
const HOLES_MAX: usize = 16;
/// How far below a stream's first id one may come late.
const FIRST_LATE: i64 = 1024;

impl Stream {
    /// Until when the open stretch, proof or gap, holds at least: its last frame, but not before its own beginning.
    pub fn known_until(&self) -> i64 {
        let begin = self.cover.map_or(0, |c| c.ts_begin).max(self.gap.map_or(0, |g| g.ts_begin));
        self.ts_last.max(begin)
    }

    /// Whether a connection carries the stream beside the one whose frames were used last, or did until a moment ago:
    /// what lags behind on it then is known already.
    fn is_shared(&self, conn: &Conn, id: StreamId, now: i64) -> bool {
        if self.alive > 1 {
            return true;
        }
        let since = conn.streams.iter().position(|s| *s == id).map(|at| conn.since[at]);
        since.is_some_and(|t| t <= self.ts_last) && now.saturating_sub(self.ts_last) < LAG_MAX_NS
    }

    /// The next id of the chain: what it leaves out may still come. What came just before the first one as well.
    fn leaves_hole(&mut self, id: i64) {
        let first = if self.last_id < 0 { id.saturating_sub(FIRST_LATE).max(0) } else { self.last_id + 1 };
        if first < id {
            if self.holes.len() == HOLES_MAX {
                self.holes.remove(0);
            }
            self.holes.push((first, id - 1));
        }
    }

    /// Whether an id was missing; it is not any more.
    pub(super) fn fills_hole(&mut self, id: i64) -> bool {
        let Some(at) = self.holes.iter().position(|h| h.0 <= id && id <= h.1) else { return false };
        let (first, last) = self.holes.remove(at);
        if id < last {
            self.holes.insert(at, (id + 1, last));
        }
        if first < id {
            self.holes.insert(at, (first, id - 1));
        }
        // Filling the middle makes two of one.
        if self.holes.len() > HOLES_MAX {
            self.holes.remove(0);
        }
        true
    }
}

impl Core {
    pub fn s(&mut self, id: StreamId) -> &mut Stream {
        &mut self.streams[id.0 as usize]
    }

    /// Makes an undeclared stream known, where the run allows it (imports).
    #[cold]
    pub fn auto_stream<S: FoldSink>(
        &mut self,
        conn: &mut Conn,
        name: &str,
        rec: &Record<'_>,
        sink: &mut S,
    ) -> Option<StreamId> {
        if !self.cfg.auto_register {
            return None;
        }
        let spec = super::state::venue_of(conn.venue).parse_stream(name)?;
        self.subscribe(conn, &spec, rec, sink)
    }

    /// A stream begins on a connection.
    #[cold]
    pub fn subscribe<S: FoldSink>(
        &mut self,
        conn: &mut Conn,
        spec: &StreamSpec,
        rec: &Record<'_>,
        sink: &mut S,
    ) -> Option<StreamId> {
        let instrument = match &spec.symbol {
            None => InstrumentId::NONE,
            Some(sym) => self.intern(conn.venue, sym, rec, sink)?.id,
        };
        let id = self.stream_id(conn.venue, spec, instrument);
        if conn.by_name.insert(spec.name.as_bytes().into(), id).is_none() {
            conn.streams.push(id);
            conn.since.push(rec.ts_recv);
        } else {
            return Some(id);
        }
        if spec.kind == StreamKind::DepthDiff {
            self.feeds_book(instrument, id);
        }
        let s = self.s(id);
        s.alive += 1;
        s.subscribed = true;
        if s.alive == 1 {
            s.conn = conn.id;
            s.leg = conn.leg;
            self.reconnected(rec, instrument, spec.kind, sink);
            self.begins(id, rec, sink);
        }
        Some(id)
    }

    fn stream_id(&mut self, venue: VenueIx, spec: &StreamSpec, instrument: InstrumentId) -> StreamId {
        if let Some(id) = self.stream_names[usize::from(venue.0)].get(&spec.name) {
            return *id;
        }
        let id = StreamId(self.streams.len() as u32);
        self.stream_names[usize::from(venue.0)].insert(spec.name.clone(), id);
        self.streams.push(Stream {
            venue,
            name: spec.name.clone(),
            kind: spec.kind,
            instrument,
            alive: 0,
            conn: 0,
            leg: 0,
            last_id: -1,
            last_key: i64::MIN,
            late: 0,
            holes: Vec::new(),
            ahead: Vec::new(),
            recent: std::collections::VecDeque::new(),
            rseq_last: -1,
            ts_last: 0,
            cover: None,
            gap: None,
            subscribed: false,
        });
        id
    }

    /// The first connection of a stream is there: what was open before ends, or waits for the first id.
    fn begins<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        let s = self.s(id);
        let chained = s.kind.is_chained() && s.last_id >= 0;
        let waits = super::state::venue_of(s.venue).spec().acknowledges;
        if s.gap.is_some() && !chained && !waits {
            let end = GapEnd {
                ts_end: rec.ts_recv,
                seq_after: -1,
                rseq_after: -1,
                epoch_after: 0,
                recovered_by: "reconnect",
            };
            self.close_gap(id, end, rec, sink);
        }
        let s = self.s(id);
        if s.gap.is_none() && s.cover.is_none() {
            if s.kind == StreamKind::DepthDiff || waits {
                let cause = GapCause::InitialSync;
                self.open_gap(id, cause, rec.ts_recv, Detector::Subscription, -1, 0);
            } else {
                self.open_cover(id, rec.ts_recv, -1, -1, rec.conn);
            }
        }
    }

    /// Notes a frame of a stream.
    pub fn touch(&mut self, id: StreamId, conn: &Conn, rec: &Record<'_>) {
        if let Some(s) = self.streams.get_mut(id.0 as usize) {
            s.conn = conn.id;
            s.leg = conn.leg;
            s.rseq_last = rec.rseq;
            s.ts_last = rec.ts_recv;
        }
    }

    /// A message of an unchained stream with its order key (update id or send time; `i64::MIN` = none).
    /// Says whether it is news: while two connections carry the stream, what the other one already brought is not.
    pub fn seen<S: FoldSink>(
        &mut self,
        id: StreamId,
        conn: &Conn,
        rec: &Record<'_>,
        key: i64,
        sink: &mut S,
    ) -> bool {
        let Some(s) = self.streams.get_mut(id.0 as usize) else { return true };
        if s.conn != conn.id && s.conn != 0 && key <= s.last_key && s.is_shared(conn, id, rec.ts_recv) {
            self.counters.duplicates += 1;
            return false;
        }
        if s.gap.is_some() {
            self.resumes(id, rec, "frame", sink);
        }
        if S::ROWS && !self.is_news(id, key) {
            return false;
        }
        let Some(s) = self.streams.get_mut(id.0 as usize) else { return true };
        s.last_key = s.last_key.max(key);
        let cover_lacks = s.cover.as_ref().is_some_and(|c| c.rseq_begin < 0);
        if cover_lacks && let Some(c) = s.cover.as_mut() {
            c.rseq_begin = rec.rseq;
        }
        self.touch(id, conn, rec);
        true
    }

    /// A message of a stream whose ids rise by one. Says whether it is news.
    pub fn chained<S: FoldSink>(
        &mut self,
        id: StreamId,
        conn: &Conn,
        rec: &Record<'_>,
        chain_id: i64,
        sink: &mut S,
    ) -> bool {
        let Some(s) = self.streams.get(id.0 as usize) else { return true };
        if chain_id < 0 {
            return self.seen(id, conn, rec, i64::MIN, sink);
        }
        let last = s.last_id;
        if last >= 0 && chain_id <= last {
            // Late, by the other connection or out of order: the hole that it left is written already, and the chain
            // goes on from its greatest id. Or known: the other one brought it, or the venue repeated itself.
            let other = s.conn != conn.id;
            let news = self.s(id).fills_hole(chain_id);
            if other || chain_id == last || !self.ids_fell(id) {
                if news && !self.held.is_empty() {
                    self.came_late(id, chain_id, rec, sink);
                }
                match news {
                    true => self.touch(id, conn, rec),
                    false => self.counters.duplicates += 1,
                }
                return news;
            }
            self.s(id).holes.clear();
        }
        let Some(s) = self.streams.get(id.0 as usize) else { return true };
        let after = if last >= 0 && chain_id > last { chain_id - 1 } else { -1 };
        let end = GapEnd {
            ts_end: rec.ts_recv,
            seq_after: after,
            rseq_after: rec.rseq,
            epoch_after: 0,
            recovered_by: if after == last { "ids" } else { "frame" },
        };
        if s.gap.is_some() {
            // A time without a connection is told also where the ids prove that nothing came in it.
            self.close_gap(id, end, rec, sink);
            self.open_cover(id, rec.ts_recv, chain_id, rec.rseq, rec.conn);
        } else if after > last || (last >= 0 && chain_id < last) {
            let begin = s.known_until();
            self.counters.seq_gaps += 1;
            self.close_cover(id, begin, GapCause::VenueSeqGap.as_str(), rec, sink);
            self.open_gap(id, GapCause::VenueSeqGap, begin, Detector::Ids, last, 0);
            self.close_gap(id, end, rec, sink);
            self.open_cover(id, rec.ts_recv, chain_id, rec.rseq, rec.conn);
            self.say_gap(id, GapCause::VenueSeqGap, sink);
        } else if let Some(c) = self.s(id).cover.as_mut()
            && c.id_first < 0
        {
            c.id_first = chain_id;
            c.rseq_begin = rec.rseq;
        }
        let s = self.s(id);
        s.leaves_hole(chain_id);
        (s.last_id, s.late) = (chain_id, 0);
        self.touch(id, conn, rec);
        true
    }

    /// Counts an id below the chain's. `true`: there were so many in a row that the venue counts anew.
    fn ids_fell(&mut self, id: StreamId) -> bool {
        let s = self.s(id);
        s.late = s.late.saturating_add(1);
        s.late > LATE_MAX
    }

    pub fn say_gap<S: FoldSink>(&self, id: StreamId, cause: GapCause, sink: &mut S) {
        let s = &self.streams[id.0 as usize];
        sink.effect(Effect::Gap { instrument: s.instrument, kind: s.kind, cause: cause.as_str() });
    }

    /// A depth event was applied on a proven chain.
    pub fn depth_proven<S: FoldSink>(
        &mut self,
        id: StreamId,
        conn: &Conn,
        rec: &Record<'_>,
        ids: &DiffIds,
        epoch: i64,
        sink: &mut S,
    ) {
        let Some(s) = self.streams.get(id.0 as usize) else { return };
        match s.gap {
            Some(g) if g.epoch_before == epoch && epoch != 0 && s.last_id >= 0 => {
                // Same epoch: the new connection went on where the old one ended. The time without one is told.
                let end = GapEnd {
                    ts_end: rec.ts_recv,
                    seq_after: g.seq_before,
                    rseq_after: rec.rseq,
                    epoch_after: epoch,
                    recovered_by: "ids",
                };
                self.close_gap(id, end, rec, sink);
                self.open_cover(id, rec.ts_recv, ids.last, rec.rseq, rec.conn);
            }
            Some(_) => {
                // The snapshot may cover ids that never came as events: they are missing all the same.
                self.depth_follows(id, rec, ids, sink);
                self.depth_synced(id, rec, ids.last, epoch, sink);
            }
            None if s.cover.is_none() => self.open_cover(id, rec.ts_recv, ids.last, rec.rseq, rec.conn),
            None => {}
        }
        self.s(id).last_id = ids.last;
        self.touch(id, conn, rec);
    }

    /// A depth event came while the book is not proven.
    pub fn depth_waits<S: FoldSink>(
        &mut self,
        id: StreamId,
        conn: &Conn,
        rec: &Record<'_>,
        ids: &DiffIds,
        sink: &mut S,
    ) {
        if id == StreamId::NONE {
            return;
        }
        self.depth_follows(id, rec, ids, sink);
        let s = self.s(id);
        // An event that came late or twice does not bring the chain back.
        s.last_id = s.last_id.max(ids.last);
        self.touch(id, conn, rec);
    }

    /// While a book is not proven its chain is followed all the same: an event that does not follow the one before shows
    /// a hole, and the first one after a loss shows where the loss ended.
    fn depth_follows<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, ids: &DiffIds, sink: &mut S) {
        let Some(s) = self.streams.get(id.0 as usize) else { return };
        let Some(g) = s.gap else { return };
        let before = if ids.prev >= 0 { ids.prev } else { ids.first.saturating_sub(1) };
        let waits = matches!(g.cause, GapCause::InitialSync | GapCause::ResyncWait | GapCause::RateLimited);
        let last = s.last_id;
        if waits {
            if last < 0 || before <= last {
                return;
            }
            let begin = s.known_until();
            self.counters.seq_gaps += 1;
            let end =
                GapEnd { ts_end: begin, seq_after: -1, rseq_after: -1, epoch_after: 0, recovered_by: "" };
            self.close_gap(id, end, rec, sink);
            self.open_gap(id, GapCause::VenueSeqGap, begin, Detector::Ids, last, 0);
            self.say_gap(id, GapCause::VenueSeqGap, sink);
        }
        let end = GapEnd {
            ts_end: rec.ts_recv,
            seq_after: if last >= 0 { before.max(last) } else { -1 },
            rseq_after: rec.rseq,
            epoch_after: 0,
            recovered_by: "frame",
        };
        self.close_gap(id, end, rec, sink);
        self.open_gap(id, GapCause::ResyncWait, rec.ts_recv, Detector::Ids, -1, 0);
    }

    /// The chain of a proven book broke at this record.
    #[allow(clippy::too_many_arguments, reason = "a cold path that names each fact once")]
    pub fn depth_gap<S: FoldSink>(
        &mut self,
        id: StreamId,
        conn: &Conn,
        rec: &Record<'_>,
        ids: &DiffIds,
        (before, after): (i64, i64),
        (epoch_before, epoch_after): (i64, i64),
        sink: &mut S,
    ) {
        let Some(s) = self.streams.get(id.0 as usize) else { return };
        let begin = s.known_until();
        if s.gap.is_none() {
            self.close_cover(id, begin, GapCause::VenueSeqGap.as_str(), rec, sink);
            self.open_gap(id, GapCause::VenueSeqGap, begin, Detector::Ids, before, epoch_before);
        }
        let cause = self.s(id).gap.map_or(GapCause::VenueSeqGap, |g| g.cause);
        let end = GapEnd {
            ts_end: rec.ts_recv,
            seq_after: after,
            rseq_after: rec.rseq,
            epoch_after,
            recovered_by: "frame",
        };
        self.close_gap(id, end, rec, sink);
        self.open_gap(id, GapCause::ResyncWait, rec.ts_recv, Detector::Ids, -1, epoch_after);
        self.say_gap(id, cause, sink);
        let s = self.s(id);
        s.last_id = s.last_id.max(ids.last);
        self.touch(id, conn, rec);
    }

    /// Two connections' events never met: the hole is stated when the wait is over. `last`: the last id that waits
    /// behind it.
    pub fn depth_hole<S: FoldSink>(
        &mut self,
        id: StreamId,
        rec: &Record<'_>,
        (before, after, last): (i64, i64, i64),
        ts_after: i64,
        epochs: (i64, i64),
        sink: &mut S,
    ) {
        if id == StreamId::NONE {
            return;
        }
        if self.s(id).gap.is_none() {
            let ts_begin = self.s(id).cover.map_or(ts_after, |c| c.ts_begin.max(ts_after.min(rec.ts_recv)));
            self.close_cover(id, ts_begin, GapCause::VenueSeqGap.as_str(), rec, sink);
            self.open_gap(id, GapCause::VenueSeqGap, ts_begin, Detector::Ids, before, epochs.0);
        }
        let end = GapEnd {
            ts_end: rec.ts_recv,
            seq_after: after,
            rseq_after: -1,
            epoch_after: epochs.1,
            recovered_by: "frame",
        };
        self.close_gap(id, end, rec, sink);
        self.open_gap(id, GapCause::ResyncWait, rec.ts_recv, Detector::Ids, -1, epochs.1);
        self.say_gap(id, GapCause::VenueSeqGap, sink);
        let s = self.s(id);
        s.last_id = s.last_id.max(last);
    }

    /// The proof of a book ended without a hole in its ids.
    #[allow(clippy::too_many_arguments, reason = "a cold path that names each fact once")]
    pub fn depth_lost<S: FoldSink>(
        &mut self,
        id: StreamId,
        rec: &Record<'_>,
        cause: GapCause,
        detector: Detector,
        seq: i64,
        epoch_before: i64,
        sink: &mut S,
    ) {
        if id == StreamId::NONE {
            return;
        }
        // When a silence began is not known: not before the last message.
        let at = if cause == GapCause::SilentStream { self.s(id).known_until() } else { rec.ts_recv };
        self.close_cover(id, at, cause.as_str(), rec, sink);
        if self.s(id).gap.is_none() {
            self.open_gap(id, cause, at, detector, seq, epoch_before);
            self.say_gap(id, cause, sink);
        }
    }

    /// A snapshot that is its own proof: ids up to its own that never came as events are missing all the same. `ids`
    /// begin behind it and end with it.
    pub fn depth_seeded<S: FoldSink>(
        &mut self,
        id: StreamId,
        rec: &Record<'_>,
        ids: &DiffIds,
        epoch: i64,
        sink: &mut S,
    ) {
        if id == StreamId::NONE {
            return;
        }
        self.depth_follows(id, rec, ids, sink);
        self.depth_synced(id, rec, ids.last, epoch, sink);
        self.s(id).last_id = ids.last;
    }

    /// A snapshot was proven.
    pub fn depth_synced<S: FoldSink>(
        &mut self,
        id: StreamId,
        rec: &Record<'_>,
        last: i64,
        epoch: i64,
        sink: &mut S,
    ) {
        if id == StreamId::NONE {
            return;
        }
        if self.s(id).alive == 0 {
            // Proven out of what was held, but nobody brings what comes after it: the gap goes on.
            return;
        }
        let end = GapEnd {
            ts_end: rec.ts_recv,
            seq_after: -1,
            rseq_after: rec.rseq,
            epoch_after: epoch,
            recovered_by: "snapshot",
        };
        self.close_gap(id, end, rec, sink);
        let s = self.s(id);
        if s.cover.is_none() {
            let (rseq, conn) = (s.rseq_last, s.conn);
            self.open_cover(id, rec.ts_recv, last, rseq, conn);
        }
    }

    /// A connection is gone: streams that nobody else carries have a gap from its last byte on.
    pub fn disconnected<S: FoldSink>(
        &mut self,
        conn: &Conn,
        (cause, answered): (GapCause, bool),
        det: Detector,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        for &id in &conn.streams {
            let s = self.s(id);
            s.alive = s.alive.saturating_sub(1);
            if s.alive > 0 {
                let until = if answered { rec.ts_recv } else { conn.ts_last };
                if !self.feed_lost(id, (conn.id, until), cause, det, rec, sink) && !answered {
                    // Otherwise it brought all that it ever sent, and lived until now.
                    self.handed_over(id, conn, cause, det, rec, sink);
                }
                continue;
            }
            let begin = conn.ts_last.max(s.cover.map_or(0, |c| c.ts_begin)).min(rec.ts_recv);
            let (last, inst) = (s.last_id, s.instrument);
            let epoch = match self.insts.get(inst.ix()).and_then(|i| i.book.as_ref()) {
                Some(b) => b.epoch,
                None => 0,
            };
            if self.s(id).gap.is_some() {
                // Never proven, or waiting for a snapshot: that gap ends, this one begins.
                let end = GapEnd {
                    ts_end: rec.ts_recv,
                    seq_after: -1,
                    rseq_after: -1,
                    epoch_after: 0,
                    recovered_by: "",
                };
                self.close_gap(id, end, rec, sink);
                self.open_gap(id, cause, rec.ts_recv, det, last, epoch);
            } else {
                self.close_cover(id, begin, cause.as_str(), rec, sink);
                self.open_gap(id, cause, begin, det, last, epoch);
            }
            self.say_gap(id, cause, sink);
        }
    }

    /// Another connection carries the stream on. If it began only after the last byte of the one that is gone, nobody
    /// knows what was sent in between.
    fn handed_over<S: FoldSink>(
        &mut self,
        id: StreamId,
        gone: &Conn,
        cause: GapCause,
        det: Detector,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        // The smallest of a set: the order of the map does not matter.
        let since = self.conns.values().filter_map(|c| {
            let at = c.streams.iter().position(|s| *s == id)?;
            Some(c.since[at])
        });
        let Some(since) = since.min() else { return };
        let s = &self.streams[id.0 as usize];
        let Some(c) = s.cover else { return };
        let (begin, last, conn) = (gone.ts_last.max(c.ts_begin), s.last_id, s.conn);
        if begin >= since {
            return;
        }
        self.close_cover(id, begin, cause.as_str(), rec, sink);
        self.open_gap(id, cause, begin, det, last, 0);
        let end = GapEnd {
            ts_end: since,
            seq_after: -1,
            rseq_after: -1,
            epoch_after: 0,
            recovered_by: "reconnect",
        };
        self.close_gap(id, end, rec, sink);
        self.open_cover(id, since, -1, -1, conn);
    }

    /// A stream ends by our own will.
    pub fn unsubscribed<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        let s = self.s(id);
        s.alive = s.alive.saturating_sub(1);
        if s.alive > 0 {
            return;
        }
        s.subscribed = false;
        s.last_id = -1;
        s.holes.clear();
        self.close_cover(id, rec.ts_recv, "unsubscribed", rec, sink);
        let end =
            GapEnd { ts_end: rec.ts_recv, seq_after: -1, rseq_after: -1, epoch_after: 0, recovered_by: "" };
        self.close_gap(id, end, rec, sink);
        self.release_all(Some(id), "the stream was given up before they came", rec, sink);
    }

    pub fn open_cover(&mut self, id: StreamId, ts_begin: i64, id_first: i64, rseq: i64, conn: ConnId) {
        self.s(id).cover = Some(Cover { ts_begin, id_first, rseq_begin: rseq, conn });
    }

    pub fn open_gap(
        &mut self,
        id: StreamId,
        cause: GapCause,
        ts_begin: i64,
        detector: Detector,
        seq: i64,
        epoch: i64,
    ) {
        let s = self.s(id);
        let rseq_before = s.rseq_last;
        s.cover = None;
        s.gap =
            Some(OpenGap { cause, ts_begin, seq_before: seq, rseq_before, epoch_before: epoch, detector });
    }

    pub(super) fn stream_head(&self, id: StreamId, rec: &Record<'_>) -> Head {
        let s = &self.streams[id.0 as usize];
        Head { instrument: s.instrument, venue: s.venue, ..self.head(rec) }
    }

    pub fn close_cover<S: FoldSink>(
        &mut self,
        id: StreamId,
        ts_end: i64,
        cause: &str,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let Some(c) = self.s(id).cover.take() else { return };
        let s = &self.streams[id.0 as usize];
        if !S::ROWS || ts_end <= c.ts_begin {
            return;
        }
        let mut head = self.stream_head(id, rec);
        head.conn = c.conn;
        let row = CoverageRow {
            stream: &s.name,
            leg: i64::from(s.leg),
            ts_begin: c.ts_begin,
            ts_end,
            proof: if s.kind.is_chained() { "ids" } else { "heartbeat" },
            id_first: c.id_first,
            id_last: if s.kind.is_chained() { s.last_id } else { -1 },
            rseq_begin: c.rseq_begin,
            rseq_end: s.rseq_last,
            end_cause: cause,
        };
        sink.row(&head, RowRef::Coverage(row));
    }

    pub fn close_gap<S: FoldSink>(&mut self, id: StreamId, end: GapEnd<'_>, rec: &Record<'_>, sink: &mut S) {
        let Some(g) = self.s(id).gap.take() else { return };
        // A gap of no length in which no id is missing is none.
        let none_missing = end.seq_after < 0 || end.seq_after <= g.seq_before;
        if !S::ROWS || (end.ts_end <= g.ts_begin && none_missing) {
            return;
        }
        let row = GapRow {
            stream: "",
            cause: g.cause,
            seq_before: g.seq_before,
            seq_after: end.seq_after,
            ts_begin: g.ts_begin,
            // The clock may have stepped back meanwhile; a gap does not end before it begins.
            ts_end: end.ts_end.max(g.ts_begin),
            rseq_before: g.rseq_before,
            rseq_after: end.rseq_after,
            epoch_before: g.epoch_before,
            epoch_after: end.epoch_after,
            detector: g.detector.as_str(),
            recovered_by: end.recovered_by,
            detail: "",
        };
        let head = self.stream_head(id, rec);
        if self.hold(id, &head, &row) {
            self.release(id, rec, sink);
        } else {
            if self.holds(id) {
                // So many gaps wait that this one would not fit: those are told as they are.
                self.release_all(Some(id), "too many gaps wait for their trades", rec, sink);
            }
            let row = GapRow { stream: &self.streams[id.0 as usize].name, ..row };
            sink.row(&head, RowRef::Gap(row));
        }
    }

    /// Everything open is split at an interval boundary.
    pub fn split_streams<S: FoldSink>(&mut self, at: i64, rec: &Record<'_>, sink: &mut S) {
        for i in 0..self.streams.len() {
            let id = StreamId(i as u32);
            if let Some(c) = self.streams[i].cover {
                self.close_cover(id, at, "boundary", rec, sink);
                let first = if self.streams[i].kind.is_chained() { self.streams[i].last_id } else { -1 };
                self.open_cover(id, at.max(c.ts_begin), first, -1, c.conn);
            } else if let Some(g) = self.streams[i].gap {
                let end = GapEnd {
                    ts_end: at,
                    seq_after: -1,
                    rseq_after: -1,
                    epoch_after: 0,
                    recovered_by: "boundary",
                };
                self.close_gap(id, end, rec, sink);
                self.streams[i].gap = Some(OpenGap { ts_begin: at.max(g.ts_begin), ..g });
            }
        }
    }

    /// Every subscribed stream stops being proven at once (a crash, a clean stop).
    pub fn all_streams_lost<S: FoldSink>(
        &mut self,
        ts: i64,
        cause: GapCause,
        det: Detector,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        for i in 0..self.streams.len() {
            let id = StreamId(i as u32);
            if !self.streams[i].subscribed {
                continue;
            }
            self.streams[i].alive = 0;
            let last = self.streams[i].last_id;
            self.close_cover(id, ts, cause.as_str(), rec, sink);
            let end = GapEnd { ts_end: ts, seq_after: -1, rseq_after: -1, epoch_after: 0, recovered_by: "" };
            self.close_gap(id, end, rec, sink);
            self.open_gap(id, cause, ts, det, last, 0);
        }
        self.release_all(None, "the recorder ended before they came", rec, sink);
        self.conns.clear();
    }
}
