//! Streams: what is proven (`coverage`) and what is not (`gaps`), per stream and connection.
//!
//! At every moment a subscribed stream has either an open stretch of proof or an open gap, never both. Rows are
//! written when a stretch ends; at an interval boundary everything open is split. Missing ids are
//! `(seq_before, seq_after]`.

use super::frames::{Brought, By};
use super::gaps::{Cover, Detector, OpenGap};
use super::legs::Mark;
use super::state::{Conn, Core, Stream};
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

impl<'a> GapEnd<'a> {
    /// A gap that ends by something that says nothing of what is missing; "" if another one follows it.
    pub fn at(ts_end: i64, recovered_by: &'a str) -> GapEnd<'a> {
        GapEnd { ts_end, seq_after: -1, rseq_after: -1, epoch_after: 0, recovered_by }
    }
}

impl Stream {
    /// Until when the open stretch, proof or gap, holds at least: its last frame, but not before its own beginning.
    pub fn known_until(&self) -> i64 {
        let begin = self.cover.map_or(0, |c| c.ts_begin).max(self.gap.map_or(0, |g| g.ts_begin));
        self.ts_last.max(begin)
    }

    /// Why ids are missing that this connection's message shows. Where the one that spoke last is gone and this one speaks
    /// for the first time, they came while there was none: a snapshot may have ended that gap too early, for it was asked
    /// for before, and proves what was then.
    fn hole_cause(&self, conn: ConnId) -> GapCause {
        let spoke = self.spoke.conn;
        let is_gone = spoke != 0 && spoke != conn && !self.carriers.iter().any(|c| c.conn == spoke);
        if is_gone { GapCause::VenueDisconnect } else { GapCause::VenueSeqGap }
    }
}

/// Why something is missing from before a connection was ended: if we ended it ourselves, it was dead before that.
fn lost_before(cause: GapCause) -> GapCause {
    if cause == GapCause::Operator { GapCause::VenueDisconnect } else { cause }
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
        } else {
            return Some(id);
        }
        if spec.kind == StreamKind::DepthDiff {
            self.feeds_book(instrument, id, rec, sink);
        }
        self.joins(id, conn, rec, sink);
        Some(id)
    }

    /// A connection carries a stream from now on.
    pub(super) fn joins<S: FoldSink>(&mut self, id: StreamId, conn: &Conn, rec: &Record<'_>, sink: &mut S) {
        let s = self.s(id);
        s.carried_by(conn, rec.ts_recv);
        s.subscribed = true;
        if s.alive() > 1 {
            return self.begins_beside(id, conn, rec, sink);
        }
        s.conn = conn.id;
        let (instrument, kind) = (s.instrument, s.kind);
        if self.feeds(instrument, id) {
            self.reconnected(rec, instrument, kind, sink);
        }
        self.begins(id, rec, sink);
    }

    /// A stream that is wanted and that no connection carries: it lacks from now on.
    #[cold]
    pub fn awaited<S: FoldSink>(
        &mut self,
        venue: VenueIx,
        spec: &StreamSpec,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let instrument = match &spec.symbol {
            None => InstrumentId::NONE,
            Some(sym) => match self.intern(venue, sym, rec, sink) {
                Some(i) => i.id,
                None => return,
            },
        };
        let id = self.stream_id(venue, spec, instrument);
        let s = self.s(id);
        s.subscribed = true;
        if s.alive() > 0 {
            return;
        }
        self.wanted_again(id, rec, sink);
        let s = self.s(id);
        if s.gap.is_none() && s.cover.is_none() {
            self.open_gap(id, GapCause::InitialSync, rec.ts_recv, Detector::Subscription, -1, 0);
        }
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
            carriers: Vec::new(),
            feed: 0,
            window: super::legs::Window::default(),
            is_believed: false,
            lived: 0,
            conn: 0,
            spoke: By::default(),
            left: By::default(),
            last_id: -1,
            last_key: i64::MIN,
            ts_chain: 0,
            said: Vec::new(),
            doubt_since: 0,
            holes: Vec::new(),
            counting: super::holes::Counting::default(),
            ahead: Vec::new(),
            recent: std::collections::VecDeque::new(),
            latest: super::repeats::Latest::default(),
            twin: super::twins::Twin::default(),
            rseq_last: -1,
            ts_last: 0,
            cover: None,
            gap: None,
            split: None,
            subscribed: false,
        });
        self.may_have_twin(id);
        id
    }

    /// The first connection of a stream is there: what was open before ends, or waits for the first id.
    fn begins<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        let s = self.s(id);
        let chained = s.kind.is_chained() && s.last_id >= 0;
        let waits = super::state::venue_of(s.venue).spec().acknowledges;
        if s.gap.is_some() && !chained && !waits {
            let end = GapEnd::at(rec.ts_recv, "reconnect");
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

    /// A message of an unchained stream. Says whether it is news.
    pub fn seen<S: FoldSink>(
        &mut self,
        id: StreamId,
        conn: &Conn,
        rec: &Record<'_>,
        mark: Mark,
        sink: &mut S,
    ) -> bool {
        if !self.arrives(id, conn, rec, mark, sink) {
            self.counters.duplicates += 1;
            return false;
        }
        let Some(s) = self.streams.get(id.0 as usize) else { return true };
        if rec.ts_recv.saturating_sub(s.ts_last) > super::silences::PACED_NS {
            self.lost_pace(id, rec.ts_recv, rec, sink);
        }
        if self.streams[id.0 as usize].gap.is_some() {
            self.resumes(id, rec, "frame", sink);
        }
        if S::ROWS && !self.is_news(id, mark.key()) {
            return false;
        }
        let s = self.s(id);
        s.last_key = s.last_key.max(mark.key());
        self.touch(id, conn, rec);
        true
    }

    /// A depth event was applied on a proven chain. `before`: the epoch that was proven when the gap began, if there is one.
    pub fn depth_proven<S: FoldSink>(
        &mut self,
        id: StreamId,
        conn: &Conn,
        rec: &Record<'_>,
        ids: &DiffIds,
        (before, epoch): (i64, i64),
        sink: &mut S,
    ) {
        let Some(s) = self.streams.get(id.0 as usize) else { return };
        match s.gap {
            Some(g) if g.epoch_before == before && before != 0 && s.last_id >= 0 => {
                // Same epoch: the new connection went on where the old one ended. The time without one is told. If it was
                // long the book has been stated anew.
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
        let s = self.s(id);
        (s.last_id, s.ts_chain) = (ids.last, rec.ts_recv);
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
        let (begin, cause) = (s.known_until(), s.hole_cause(rec.conn));
        if s.gap.is_none() {
            self.close_cover(id, begin, cause.as_str(), rec, sink);
            self.open_gap(id, cause, begin, Detector::Ids, before, epoch_before);
        }
        let end = GapEnd {
            ts_end: rec.ts_recv,
            seq_after: after,
            rseq_after: rec.rseq,
            epoch_after,
            recovered_by: "frame",
        };
        self.close_gap(id, end, rec, sink);
        self.open_gap(id, GapCause::ResyncWait, rec.ts_recv, Detector::Ids, -1, epoch_after);
        let s = self.s(id);
        s.last_id = s.last_id.max(ids.last);
        self.touch(id, conn, rec);
    }

    /// Two connections' events never met: the hole is stated when the wait is over. `last`: the last id that waits
    /// behind it. What is missing may have been sent at any time since the chain's last event: a line can have died long ago.
    pub fn depth_hole<S: FoldSink>(
        &mut self,
        id: StreamId,
        rec: &Record<'_>,
        (before, after, last): (i64, i64, i64),
        epochs: (i64, i64),
        sink: &mut S,
    ) {
        if id == StreamId::NONE {
            return;
        }
        let s = self.s(id);
        if s.gap.is_none() {
            let ts_begin = s.cover.map_or(0, |c| c.ts_begin).max(s.ts_chain).min(rec.ts_recv);
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
        // When a silence began is not known: not before the last message. A snapshot by REST is no sign of life either.
        let until_last = cause == GapCause::SilentStream || detector == Detector::Audit;
        let at = if until_last { self.s(id).known_until() } else { rec.ts_recv };
        self.close_cover(id, at, cause.as_str(), rec, sink);
        if self.s(id).gap.is_none() {
            self.open_gap(id, cause, at, detector, seq, epoch_before);
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
        if self.s(id).alive() == 0 {
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
            // What proves it may have come by a connection that is gone: no frame of that one lies in what is covered.
            let (spoke, rseq) = (s.spoke.conn, s.rseq_last);
            let rseq = if s.carriers.iter().any(|c| c.conn == spoke) { rseq } else { -1 };
            self.open_cover(id, rec.ts_recv, last, rseq, spoke);
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
            let until = if answered { rec.ts_recv } else { conn.ts_last };
            self.lost_pace(id, until, rec, sink);
            let s = self.s(id);
            if s.alive() > 1 && s.kind == StreamKind::DepthDiff && cause == GapCause::Operator {
                let inst = s.instrument;
                self.next_ends(rec, conn.id, inst, sink);
            }
            let s = self.s(id);
            let Some(life) = s.left_by(conn.id, until) else { continue };
            s.left = By { conn: conn.id, leg: conn.leg };
            let alive = s.alive();
            self.next_leaves(id, conn.id);
            if alive > 0 {
                if !self.feed_lost(id, (conn.id, until), cause, det, rec, sink) {
                    self.left_alone(id, life, cause, det, rec, sink);
                    if !answered {
                        // Otherwise it brought all that it ever sent, and lived until now.
                        self.handed_over(id, conn, cause, det, rec, sink);
                    }
                }
                continue;
            }
            let s = self.s(id);
            let (inst, is_depth) = (s.instrument, s.kind == StreamKind::DepthDiff);
            if is_depth && inst != InstrumentId::NONE && self.feeds(inst, id) {
                self.waits_in_vain(rec, inst, sink);
            }
            let s = self.s(id);
            // Another one may have lived longer, and brought more.
            let lived = conn.ts_last.max(s.lived);
            let begin = lived.max(s.cover.map_or(0, |c| c.ts_begin)).min(rec.ts_recv);
            let (last, inst) = (s.last_id, s.instrument);
            let book = self.insts.get(inst.ix()).and_then(|i| i.book.as_ref());
            let epoch = match book {
                Some(b) if !is_depth || b.stream == id => b.proof_epoch(),
                _ => 0,
            };
            if self.s(id).gap.is_some() {
                // Never proven, or waiting for a snapshot: that gap ends, this one begins.
                let end = GapEnd::at(rec.ts_recv, "");
                self.close_gap(id, end, rec, sink);
                self.open_gap(id, cause, rec.ts_recv, det, last, epoch);
            } else {
                self.close_cover(id, begin, cause.as_str(), rec, sink);
                self.open_gap(id, cause, begin, det, last, epoch);
            }
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
        let s = &self.streams[id.0 as usize];
        let Some(since) = s.carriers.iter().map(|c| c.since).min() else { return };
        let Some(c) = s.cover else { return };
        let (begin, last, conn) = (gone.ts_last.max(c.ts_begin), s.last_id, s.conn);
        let cause = lost_before(cause);
        // Where the chain went on since then its ids prove that nothing was.
        if begin >= since || (s.kind.is_chained() && s.ts_chain >= since) {
            return;
        }
        self.close_cover(id, begin, cause.as_str(), rec, sink);
        self.open_gap(id, cause, begin, det, last, 0);
        let end = GapEnd::at(since, "reconnect");
        self.close_gap(id, end, rec, sink);
        self.open_cover(id, since, -1, -1, conn);
    }

    /// A connection came and went, `life` as [`Stream::left_by`] has it, and those that carry the stream on were not heard
    /// since before it came. Should they be dead, nobody knows what was sent between their last word and its first.
    fn left_alone<S: FoldSink>(
        &mut self,
        id: StreamId,
        (since, lived): (i64, i64),
        cause: GapCause,
        det: Detector,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let s = &self.streams[id.0 as usize];
        let heard = s.carriers.iter().filter_map(|c| self.conns.get(&c.conn)).map(|c| c.ts_last).max();
        let heard = heard.unwrap_or(0).max(lived);
        let Some(c) = s.cover else { return };
        let has_ids = s.kind.is_chained() && s.last_id >= 0;
        if heard >= since || (has_ids && s.ts_chain >= since) {
            return;
        }
        // Ids that turn out to be missing may have been sent at any time since the last one.
        let begin = if has_ids { heard.min(s.ts_chain) } else { heard }.max(c.ts_begin);
        if begin >= since {
            return;
        }
        let (last, conn) = (s.last_id, s.conn);
        let cause = lost_before(cause);
        self.close_cover(id, begin, cause.as_str(), rec, sink);
        self.open_gap(id, cause, begin, det, last, 0);
        let end = GapEnd::at(since, "reconnect");
        self.close_gap(id, end, rec, sink);
        self.open_cover(id, since, if has_ids { last } else { -1 }, -1, conn);
    }

    /// A stream ends by our own will.
    pub fn unsubscribed<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        let s = self.s(id);
        s.left = s.carried_at(rec.ts_recv);
        let _ = s.left_by(rec.conn, rec.ts_recv);
        self.next_leaves(id, rec.conn);
        let s = self.s(id);
        if s.alive() > 0 {
            return;
        }
        let (kind, inst) = (s.kind, s.instrument);
        if kind == StreamKind::DepthDiff && inst != InstrumentId::NONE && self.feeds(inst, id) {
            self.waits_in_vain(rec, inst, sink);
        }
        self.close_cover(id, rec.ts_recv, "unsubscribed", rec, sink);
        let s = self.s(id);
        s.left_by_all();
        s.subscribed = false;
        s.last_id = -1;
        s.holes.clear();
        let end = GapEnd::at(rec.ts_recv, "");
        self.close_gap(id, end, rec, sink);
        self.release_all(Some(id), "the stream was given up before they came", rec, sink);
    }

    pub fn open_cover(&mut self, id: StreamId, ts_begin: i64, id_first: i64, rseq: i64, conn: ConnId) {
        let s = self.s(id);
        s.cover = Some(Cover { ts_begin, id_first, rseq_begin: rseq, conn, is_believed: s.is_believed });
        s.doubt_since = 0;
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
        if s.doubt_since == 0 {
            s.doubt_since = ts_begin;
        }
        s.gap =
            Some(OpenGap { cause, ts_begin, seq_before: seq, rseq_before, epoch_before: epoch, detector });
    }

    pub(super) fn stream_head(&self, id: StreamId, rec: &Record<'_>) -> Head {
        let s = &self.streams[id.0 as usize];
        Head { instrument: s.instrument, venue: s.venue, ..self.head(rec) }
    }

    /// The open stretch of proof ends; holes in it that were held are told first.
    pub fn close_cover<S: FoldSink>(
        &mut self,
        id: StreamId,
        ts_end: i64,
        cause: &str,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        self.tell_holes(id, rec, sink);
        self.split_before(id, ts_end, rec, sink);
        self.end_cover(id, ts_end, cause, rec, sink);
    }

    pub fn end_cover<S: FoldSink>(
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
        let Brought { by, first, last } = s.brought(&c, ts_end);
        let mut head = self.stream_head(id, rec);
        if head.conn != by.conn {
            (head.conn, head.rseq) = (by.conn, -1);
        }
        let row = CoverageRow {
            stream: &s.name,
            leg: i64::from(by.leg),
            ts_begin: c.ts_begin,
            ts_end,
            // Where no ids came, or a book only believes them, it was the connection that lived.
            proof: if s.kind.is_chained() && c.id_first >= 0 && !c.is_believed { "ids" } else { "heartbeat" },
            id_first: c.id_first,
            id_last: if s.kind.is_chained() { s.last_id } else { -1 },
            rseq_begin: first,
            rseq_end: last,
            end_cause: cause,
        };
        sink.row(&head, RowRef::Coverage(row));
    }

    /// The open gap ends; holes in it that were held are told first.
    pub fn close_gap<S: FoldSink>(&mut self, id: StreamId, end: GapEnd<'_>, rec: &Record<'_>, sink: &mut S) {
        self.tell_holes(id, rec, sink);
        self.split_before(id, end.ts_end, rec, sink);
        self.end_gap(id, end, rec, sink);
    }

    pub fn end_gap<S: FoldSink>(&mut self, id: StreamId, end: GapEnd<'_>, rec: &Record<'_>, sink: &mut S) {
        let Some(g) = self.s(id).gap.take() else { return };
        // A gap of no length in which no id is missing is none.
        let none_missing = end.seq_after < 0 || end.seq_after <= g.seq_before;
        if end.ts_end <= g.ts_begin && none_missing {
            return;
        }
        // Here and nowhere else, so that there are as many as there are rows.
        sink.effect(Effect::Gap { stream: id, cause: g.cause });
        if !S::ROWS {
            return;
        }
        let row = GapRow {
            stream: "",
            cause: g.cause,
            seq_before: g.seq_before,
            seq_after: planted!("gap_ids_off_by_one", end.seq_after.saturating_add(1), end.seq_after),
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
            let s = &mut self.streams[i];
            s.left = s.carried_at(ts);
            s.left_by_all();
            let last = self.streams[i].last_id;
            self.close_cover(id, ts, cause.as_str(), rec, sink);
            let end = GapEnd::at(ts, "");
            self.close_gap(id, end, rec, sink);
            self.open_gap(id, cause, ts, det, last, 0);
        }
        self.release_all(None, "the recorder ended before they came", rec, sink);
        self.conns.clear();
    }

    /// The recorder wants a stream that nobody brings yet. Since it runs again that it did not is no reason any more.
    pub fn wanted_again<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        let start = self.cfg.ts_start.min(rec.ts_recv);
        let Some(g) = self.s(id).gap else { return };
        let is_over = matches!(g.cause, GapCause::Operator | GapCause::ProcessCrash | GapCause::PowerLoss);
        // What began since the start has another reason, unless an interval ended meanwhile.
        if is_over && (g.ts_begin <= start || g.ts_begin == self.boundary_at) {
            let at = start.max(g.ts_begin);
            self.close_gap(id, GapEnd::at(at, ""), rec, sink);
            let (cause, det) = (GapCause::InitialSync, Detector::Subscription);
            self.open_gap(id, cause, at, det, g.seq_before, g.epoch_before);
        }
    }
}
