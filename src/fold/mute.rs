//! Streams of changes that a snapshot accuses: whether one is ahead of its proven book, and what a snapshot is worth that
//! comes as a frame of the stream itself because we asked for it.
//!
//! Such an answer is no word of the stream. It does not say that changes come, so it does not end a silence that was found, and
//! no refusal: a venue answers for books whose stream it refuses. And if it is newer than the book, the last that the stream said
//! lies before it.

use super::compare;
use super::state::{BookState, Conn, Core, Detector, OpenGap};
use super::streams::GapEnd;
use super::{Effect, FoldSink};
use crate::model::{ConnId, Depth, Record, StreamId, StreamKind, row::GapCause};

impl Core {
    /// A proven book against a snapshot that nobody waits for.
    #[cold]
    pub(super) fn compares<S: FoldSink>(&self, b: &BookState, d: &Depth<'_>, limit: usize, sink: &mut S) {
        let ahead = if b.seq.rule().replaces {
            let heard = self.streams.get(b.stream.0 as usize).map_or(0, |s| s.ts_last);
            compare::has_moved(b, d, heard)
        } else {
            compare::is_ahead(b, d, limit)
        };
        sink.effect(Effect::Compared { instrument: d.instrument, ahead });
    }

    /// A whole view came: as a frame of a stream, if it has one. Where the stream sends such of its own accord it speaks.
    pub(super) fn view_came<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        conn: &Conn,
        d: &Depth<'_>,
        sink: &mut S,
    ) {
        if d.stream == StreamId::NONE {
            return;
        }
        if super::state::venue_of(conn.venue).spec().sequence.replaces {
            return self.touch(d.stream, conn, rec);
        }
        sink.effect(Effect::Answer);
        let book = self.insts.get(d.instrument.ix()).and_then(|i| i.book.as_ref());
        let is_newer = book.is_some_and(|b| b.stands() && b.stream == d.stream && d.last > b.seq.last());
        let s = self.s(d.stream);
        if !is_newer && s.gap.is_none_or(|g| !has_no_word(g.cause)) {
            self.touch(d.stream, conn, rec);
        }
    }

    /// Whether a snapshot that is its own proof came for a stream that was found silent, or was refused, and has said nothing
    /// since: the book waits for the stream's next change.
    pub(super) fn answers_in_silence<S: FoldSink>(&self, d: &Depth<'_>, b: &BookState, sink: &mut S) -> bool {
        let Some(s) = self.streams.get(b.stream.0 as usize) else { return false };
        let is_mute = |g: OpenGap| {
            let moved = g.cause == GapCause::SilentStream && b.beside.is_found();
            has_no_word(g.cause) && !moved && s.rseq_last == g.rseq_before
        };
        let is_mute = !b.seq.rule().replaces && s.gap.is_some_and(is_mute);
        if is_mute {
            sink.effect(Effect::Loaded { instrument: d.instrument });
        }
        is_mute
    }

    /// A book's stream that was refused is confirmed after all. Where a snapshot is proof enough it is again: on this connection, for
    /// that which was to feed the book has refused it.
    pub(super) fn is_taken_after_all<S: FoldSink>(
        &mut self,
        id: StreamId,
        conn: ConnId,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let Some(s) = self.streams.get(id.0 as usize) else { return };
        let (inst, rule) = (s.instrument, super::state::venue_of(s.venue).spec().sequence);
        let refused =
            s.gap.filter(|g| g.cause == GapCause::SubscribeRefused && s.kind == StreamKind::DepthDiff);
        let Some(g) = refused.filter(|_| rule.snapshot_proves && !rule.replaces && self.feeds(inst, id))
        else {
            return;
        };
        let s = self.s(id);
        if s.feed != conn {
            let _ = s.left_by(s.feed, 0);
            s.feed = conn;
        }
        self.close_gap(id, GapEnd::at(rec.ts_recv, ""), rec, sink);
        self.open_gap(id, GapCause::ResyncWait, rec.ts_recv, Detector::Subscription, -1, g.epoch_before);
        self.reseed(rec, inst, sink);
    }

    /// What accused a silent stream of changes does so no longer. Where a snapshot is proof enough it is again.
    pub(super) fn may_be_quiet<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        let s = self.s(id);
        let (kind, inst, venue) = (s.kind, s.instrument, s.venue);
        let Some(g) = s.gap.filter(|_| kind == StreamKind::DepthDiff && s.alive() > 0) else { return };
        let rule = super::state::venue_of(venue).spec().sequence;
        if !rule.snapshot_proves || rule.replaces {
            return;
        }
        self.close_gap(id, GapEnd::at(rec.ts_recv, ""), rec, sink);
        self.open_gap(id, GapCause::ResyncWait, rec.ts_recv, Detector::Watchdog, -1, g.epoch_before);
        self.reseed(rec, inst, sink);
    }
}

/// Whether a gap lasts until the stream itself says something, or the venue does of it.
fn has_no_word(cause: GapCause) -> bool {
    matches!(cause, GapCause::SilentStream | GapCause::SubscribeRefused)
}
