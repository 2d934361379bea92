//! Cold: gaps only. Trades that a gap has lost and that the venue still has: their gap's row waits until the answers are
//! here, so that it can say what came of it.
//!
//! Which rows are new is decided here, from the ids that are missing; who asks, when and how often is not known here. Rows
//! of one stream's gaps are told in the order of the gaps, so those behind one that waits wait too.

use serde::{Deserialize, Serialize};

use super::panics::caught;
use super::state::{About, Conn, Core, Fold, Stream, venue_of};
use super::{FoldSink, RowRef};
use crate::model::{
    ConnId, Dec, GapRow, Head, Record, Reject, RejectCause, StreamId, StreamKind, Trade, TradeType, VenueIx,
    flags, row::GapCause,
};

/// Gaps that wait, per stream and in all: beyond these the oldest is told as it is.
const HELD_MAX: (usize, usize) = (64, 4096);
/// Runs of ids that one gap may be torn into.
const RUNS_MAX: usize = 1024;
/// Ids told from a venue's answer before the stream itself said where it goes on.
const AHEAD_MAX: usize = 1024;

/// Trades that are missing and may be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Venue slug.
    pub venue: &'static str,
    /// The stream that lost them.
    pub stream: String,
    /// Its symbol.
    pub symbol: String,
    /// What kind of trades.
    pub kind: StreamKind,
    /// First id that is missing still; one above the last known one where ids skip.
    pub first: i64,
    /// Last id that is missing; `i64::MAX` where it is not known.
    pub last: i64,
    /// When the gap began; with the id before it, its name.
    pub ts_begin: i64,
    /// The id before it, −1 where ids do not say. Frames of one read bear one time, so two gaps may begin at the same.
    pub seq_before: i64,
}

/// Latest trades of a stream that are remembered by value.
const RECENT_MAX: usize = 256;

/// A trade by its value, for venues whose answers have no ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Deal {
    /// Its time in ms, in which both ways have it.
    ms: i64,
    price: Dec,
    size: Dec,
    side: i8,
}

/// What a gap waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Waits {
    /// Nothing of its own.
    Not,
    /// These runs of ids, ascending.
    Ids(Vec<(i64, i64)>),
    /// Ids above `before` and below `until`, which skip: how many there are is not known. `reached`: an answer went back
    /// to `before`, so nothing is missing that is not in it. `told`: those that an answer had, which the next one has too.
    Between { before: i64, until: i64, reached: bool, told: Vec<i64> },
    /// Trades from the ms of the last one before the gap to that of the first one behind it, that are more often in an answer
    /// than they are known: `known` has those of both ends, `body` those of the answer that is being read.
    Like { from: i64, until: i64, known: Vec<Deal>, body: (i64, Vec<Deal>), reached: bool },
}

/// A gap whose row is not told yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Held {
    stream: StreamId,
    conn: ConnId,
    rseq: i64,
    cause: GapCause,
    detector: String,
    recovered_by: String,
    times: (i64, i64),
    seqs: (i64, i64),
    rseqs: (i64, i64),
    epochs: (i64, i64),
    waits: Waits,
    by_rest: i64,
    late: i64,
    over: bool,
    why: String,
}

impl Held {
    fn is_done(&self) -> bool {
        self.over || matches!(self.waits, Waits::Not) || self.missing() == Some(0)
    }

    /// How many ids are missing still, where that can be known.
    fn missing(&self) -> Option<i64> {
        match &self.waits {
            Waits::Not => Some(0),
            Waits::Ids(left) => Some(left.iter().map(|r| r.1 - r.0 + 1).sum()),
            Waits::Between { .. } | Waits::Like { .. } => None,
        }
    }

    /// Whether an id was missing; it is not any more.
    fn takes(&mut self, id: i64) -> bool {
        match &mut self.waits {
            Waits::Not => false,
            Waits::Ids(left) => {
                let Some(at) = left.iter().position(|r| r.0 <= id && id <= r.1) else { return false };
                if left.len() >= RUNS_MAX && left[at].0 < id && id < left[at].1 {
                    return false;
                }
                let (first, last) = left.remove(at);
                if id < last {
                    left.insert(at, (id + 1, last));
                }
                if first < id {
                    left.insert(at, (first, id - 1));
                }
                true
            }
            Waits::Between { before, until, reached, told } => {
                *reached |= id <= *before;
                let is_new = *before < id && id < *until && told.len() < RUNS_MAX && !told.contains(&id);
                told.extend(is_new.then_some(id));
                is_new
            }
            Waits::Like { .. } => false,
        }
    }

    /// The same of a trade without an id; `seq` names the answer.
    fn takes_deal(&mut self, d: Deal, seq: i64) -> bool {
        let Waits::Like { from, until, known, body, reached } = &mut self.waits else { return false };
        *reached |= d.ms < *from;
        if d.ms < *from || d.ms > *until || known.len() >= RUNS_MAX {
            return false;
        }
        if body.0 != seq {
            *body = (seq, Vec::new());
        }
        body.1.push(d);
        let times = |of: &[Deal]| of.iter().filter(|k| **k == d).count();
        if times(&body.1) <= times(known) {
            return false;
        }
        known.push(d);
        true
    }

    fn recovered_by(&self) -> &str {
        let whole = match &self.waits {
            Waits::Between { reached, .. } | Waits::Like { reached, .. } => *reached,
            _ => self.missing() == Some(0),
        };
        match (self.by_rest > 0, whole) {
            (false, _) => &self.recovered_by,
            (true, true) => "backfill",
            (true, false) => "backfill_partly",
        }
    }

    fn detail(&self) -> String {
        let why = if self.why.is_empty() { "the venue has no more of them" } else { &self.why };
        match &self.waits {
            Waits::Not => String::new(),
            Waits::Ids(left) => {
                let (first, last) = (self.seqs.0 + 1, self.seqs.1);
                // cold: once a gap.
                let mut text = format!("ids {first} to {last}: {} by REST", self.by_rest);
                if self.late > 0 {
                    // cold: once a gap.
                    text.push_str(&format!(", {} late", self.late));
                }
                if let (Some(n), Some(run)) = (self.missing(), left.first())
                    && n > 0
                {
                    // cold: once a gap.
                    text.push_str(&format!(", {n} not recovered from {} on: {why}", run.0));
                }
                text
            }
            Waits::Between { before, reached: true, .. } => {
                // cold: once a gap.
                format!("after id {before}: {} by REST, whose answer reaches back to it", self.by_rest)
            }
            Waits::Like { reached: true, .. } => {
                // cold: once a gap.
                format!(
                    "{} by REST, told apart by their values, whose answer reaches back to the last one before",
                    self.by_rest
                )
            }
            Waits::Like { .. } => {
                // cold: once a gap.
                format!(
                    "{} by REST, told apart by their values, how many more are missing is not known: {why}",
                    self.by_rest
                )
            }
            Waits::Between { before, .. } => {
                let n = self.by_rest;
                // cold: once a gap.
                format!("after id {before}: {n} by REST, how many more are missing is not known: {why}")
            }
        }
    }
}

impl Stream {
    /// Whether a live trade was told from a venue's answer already. The first one that was not ends the question.
    pub(super) fn was_ahead(&mut self, key: i64) -> bool {
        if self.ahead.contains(&key) {
            return true;
        }
        if self.ahead.iter().all(|id| *id < key) {
            self.ahead.clear();
        }
        false
    }
}

impl Core {
    /// The configuration says which kinds of a venue's trades are asked for.
    pub(super) fn backfill_kinds(&mut self, venue: VenueIx, kinds: &[StreamKind]) {
        self.cfg.backfill.retain(|(v, _)| *v != venue);
        self.cfg.backfill.extend(kinds.iter().map(|k| (venue, *k)));
    }

    /// Keeps back a gap's row if something of it may still come, or if one before it is kept back. `false`: it is to be
    /// told now.
    pub(super) fn hold(&mut self, id: StreamId, head: &Head, row: &GapRow<'_>) -> bool {
        let s = &self.streams[id.0 as usize];
        let asked = self.cfg.backfill.contains(&(s.venue, s.kind));
        let behind = self.held.iter().filter(|h| h.stream == id).count();
        let came_back = ["frame", "acknowledgement", "reconnect"].contains(&row.recovered_by);
        let waits = match s.kind {
            _ if !asked => Waits::Not,
            StreamKind::Trade | StreamKind::AggTrade
                if row.seq_before >= 0 && row.seq_after > row.seq_before =>
            {
                Waits::Ids(vec![(row.seq_before + 1, row.seq_after)])
            }
            StreamKind::TradeSparse if !venue_of(s.venue).spec().rest_trades_have_ids => {
                match s.recent.back() {
                    Some(last) if came_back => {
                        let from = last.ms;
                        let known = s.recent.iter().filter(|d| d.ms >= from).copied().collect();
                        Waits::Like { from, until: i64::MAX, known, body: (-1, Vec::new()), reached: false }
                    }
                    _ => Waits::Not,
                }
            }
            // A first subscription has lost nothing.
            StreamKind::TradeSparse if s.last_key >= 0 && came_back => {
                Waits::Between { before: s.last_key, until: i64::MAX, reached: false, told: Vec::new() }
            }
            _ => Waits::Not,
        };
        if (waits == Waits::Not && behind == 0) || behind >= HELD_MAX.0 || self.held.len() >= HELD_MAX.1 {
            return false;
        }
        self.held.push(Held {
            stream: id,
            conn: head.conn,
            rseq: head.rseq,
            cause: row.cause,
            detector: row.detector.to_owned(),
            recovered_by: row.recovered_by.to_owned(),
            times: (row.ts_begin, row.ts_end),
            seqs: (row.seq_before, row.seq_after),
            rseqs: (row.rseq_before, row.rseq_after),
            epochs: (row.epoch_before, row.epoch_after),
            waits,
            by_rest: 0,
            late: 0,
            over: false,
            why: String::new(),
        });
        true
    }

    /// Whether a message of a stream whose ids skip is not one that a venue's answer told already.
    pub(super) fn is_news(&mut self, id: StreamId, key: i64) -> bool {
        let s = &mut self.streams[id.0 as usize];
        if !s.ahead.is_empty() && s.was_ahead(key) {
            self.counters.duplicates += 1;
            return false;
        }
        if !self.held.is_empty() {
            self.goes_on(id, key);
        }
        true
    }

    /// Notes a live trade of a venue whose answers have no ids. Says whether an answer told it already: one that was asked for
    /// when the first trade behind a gap had come may have others of its millisecond, which are on their way.
    pub(super) fn remember(&mut self, t: &Trade<'_>) -> bool {
        if self.cfg.backfill.is_empty() {
            return false;
        }
        let Some(s) = self.streams.get_mut(t.stream.0 as usize) else { return false };
        if s.kind != StreamKind::TradeSparse
            || t.ts_event <= 0
            || venue_of(s.venue).spec().rest_trades_have_ids
        {
            return false;
        }
        let Some(v) = self.insts.get(t.instrument.ix()).map(|i| &i.version) else { return false };
        let d = Deal {
            ms: t.ts_event / 1_000_000,
            price: Dec::new(t.price, v.price_exp).trimmed(),
            size: Dec::new(t.size, v.size_exp).trimmed(),
            side: t.side,
        };
        if s.recent.len() == RECENT_MAX {
            s.recent.pop_front();
        }
        s.recent.push_back(d);
        if let Some(at) = s.said.iter().position(|k| *k == d) {
            s.said.swap_remove(at);
            self.counters.duplicates += 1;
            return true;
        }
        s.said.retain(|k| k.ms >= d.ms);
        for h in self.held.iter_mut().filter(|h| h.stream == t.stream) {
            if let Waits::Like { until, known, .. } = &mut h.waits {
                if *until == i64::MAX {
                    *until = d.ms;
                }
                if d.ms <= *until && known.len() < RUNS_MAX {
                    known.push(d);
                }
            }
        }
        false
    }

    /// A live trade whose time is not the one that the venue's answers have of it: nothing tells the stream's trades in an
    /// answer from those that are missing, so none of them is taken from one.
    pub(super) fn forget<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        let Some(s) = self.streams.get_mut(id.0 as usize) else { return };
        s.recent.clear();
        s.said.clear();
        let mut found = false;
        for h in self.held.iter_mut().filter(|h| h.stream == id && !h.is_done()) {
            if matches!(h.waits, Waits::Like { .. }) {
                h.over = true;
                "the stream's times are not those of the venue's answers".clone_into(&mut h.why);
                found = true;
            }
        }
        if found {
            self.release(id, rec, sink);
        }
    }

    /// Whether a stream has gaps that are not told yet.
    pub(super) fn holds(&self, id: StreamId) -> bool {
        self.held.iter().any(|h| h.stream == id)
    }

    /// An id that was missing came by the stream itself.
    pub(super) fn came_late<S: FoldSink>(
        &mut self,
        id: StreamId,
        chain_id: i64,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let mut came = false;
        for h in self.held.iter_mut().filter(|h| h.stream == id) {
            if h.takes(chain_id) {
                h.late += 1;
                came = true;
                break;
            }
        }
        if came {
            self.release(id, rec, sink);
        }
    }

    /// A live trade of a stream whose ids skip: what a gap waits for lies below it.
    pub(super) fn goes_on(&mut self, id: StreamId, key: i64) {
        for h in self.held.iter_mut().filter(|h| h.stream == id) {
            if let Waits::Between { before, until, .. } = &mut h.waits
                && *before < key
            {
                *until = (*until).min(key);
            }
        }
    }

    /// A trade of a venue's answer: a row if it is one of those that are missing.
    pub(super) fn backfilled<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        conn: &Conn,
        about: &mut About,
        t: &Trade<'_>,
        sink: &mut S,
    ) {
        let id = if t.chain_id >= 0 { t.chain_id } else { t.id };
        let of = |s: &Stream| {
            let kind = match t.is_aggregate {
                true => s.kind == StreamKind::AggTrade,
                false => matches!(s.kind, StreamKind::Trade | StreamKind::TradeSparse),
            };
            kind && s.instrument == t.instrument && s.venue == conn.venue
        };
        let d = self.insts.get(t.instrument.ix()).map(|i| &i.version).map(|v| Deal {
            ms: t.ts_event / 1_000_000,
            price: Dec::new(t.price, v.price_exp).trimmed(),
            size: Dec::new(t.size, v.size_exp).trimmed(),
            side: t.side,
        });
        let mut taken = None;
        for h in &mut self.held {
            let s = &self.streams[h.stream.0 as usize];
            let is_missing = |h: &mut Held| match d.filter(|_| id < 0) {
                Some(d) => h.takes_deal(d, rec.lane_seq),
                None => id >= 0 && !s.ahead.contains(&id) && h.takes(id),
            };
            if of(s) && is_missing(h) {
                h.by_rest += 1;
                let ahead = matches!(h.waits, Waits::Between { until: i64::MAX, .. });
                let at_end = d.filter(|d| matches!(h.waits, Waits::Like { until, .. } if until == d.ms));
                taken = Some((h.stream, ahead, at_end));
                break;
            }
        }
        let Some((stream, ahead, at_end)) = taken else { return };
        let s = self.s(stream);
        s.said.extend(at_end.filter(|_| s.said.len() < AHEAD_MAX));
        if id >= 0 {
            s.fills_hole(id, id);
        }
        if ahead && s.ahead.len() < AHEAD_MAX {
            s.ahead.push(id);
        }
        let _ = self.is_repeated(&Trade { stream, ..*t });
        about.instrument = t.instrument;
        let base = self.head(rec);
        let off = matches!(t.trade_type, TradeType::Insurance | TradeType::Adl);
        let head = Head {
            instrument: t.instrument,
            venue: conn.venue,
            ts_event: t.ts_event,
            ts_send: t.ts_send,
            flags: base.flags | flags::BACKFILLED | if off { flags::OFF_BOOK } else { 0 },
            ..base
        };
        sink.row(&head, RowRef::Trade(t));
        self.release(stream, rec, sink);
    }

    /// Whoever asked has all that there is, or gave it up.
    pub(super) fn backfill_over<S: FoldSink>(
        &mut self,
        venue: VenueIx,
        (stream, ts_begin, seq_before, why): (&str, i64, Option<i64>, &str),
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let Some(id) = self.stream_names[usize::from(venue.0)].get(stream).copied() else { return };
        let is_it = |h: &&mut Held| {
            h.stream == id && h.times.0 == ts_begin && seq_before.is_none_or(|seq| h.seqs.0 == seq)
        };
        let Some(h) = self.held.iter_mut().find(is_it) else { return };
        h.over = true;
        why.clone_into(&mut h.why);
        self.release(id, rec, sink);
    }

    /// Tells the rows of a stream's gaps that wait for nothing any more, up to the first that does.
    pub(super) fn release<S: FoldSink>(&mut self, id: StreamId, rec: &Record<'_>, sink: &mut S) {
        while let Some(at) = self.held.iter().position(|h| h.stream == id) {
            if !self.held[at].is_done() {
                return;
            }
            let h = self.held.remove(at);
            self.tell(&h, rec, sink);
        }
    }

    /// Tells the rows of all such gaps as they are: nobody waits for the rest.
    pub(super) fn release_all<S: FoldSink>(
        &mut self,
        of: Option<StreamId>,
        why: &str,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let (now, later) =
            std::mem::take(&mut self.held).into_iter().partition(|h| of.is_none_or(|id| h.stream == id));
        self.held = later;
        let now: Vec<Held> = now;
        for mut h in now {
            if !h.is_done() {
                why.clone_into(&mut h.why);
            }
            self.tell(&h, rec, sink);
        }
    }

    fn tell<S: FoldSink>(&mut self, h: &Held, rec: &Record<'_>, sink: &mut S) {
        let mut head = self.stream_head(h.stream, rec);
        (head.conn, head.rseq) = (h.conn, h.rseq);
        let s = &self.streams[h.stream.0 as usize];
        let detail = h.detail();
        let row = GapRow {
            stream: &s.name,
            cause: h.cause,
            seq_before: h.seqs.0,
            seq_after: h.seqs.1,
            ts_begin: h.times.0,
            ts_end: h.times.1,
            rseq_before: h.rseqs.0,
            rseq_after: h.rseqs.1,
            epoch_before: h.epochs.0,
            epoch_after: h.epochs.1,
            detector: &h.detector,
            recovered_by: h.recovered_by(),
            detail: &detail,
        };
        sink.row(&head, RowRef::Gap(row));
    }
}

impl Fold {
    /// An answer with trades: a gap may have lost some of them.
    pub(super) fn trades<S: FoldSink>(
        &mut self,
        rec: &Record<'_>,
        symbol: &str,
        sink: &mut S,
        about: &mut About,
    ) {
        if rec.status != 200 {
            if rec.status != 0 {
                self.core.reject(rec, sink, about, Reject::new(RejectCause::Status, "trades refused"));
            }
            return;
        }
        if self.core.held.is_empty() {
            return;
        }
        let Some(conn) = self.core.conns.get(&rec.conn).cloned() else { return };
        let v = venue_of(about.venue);
        let scratch = &mut self.scratch[usize::from(about.venue.0)];
        let mut ctx = super::state::Ctx { core: &mut self.core, sink, rec, conn, about, rest: Some(rec.url) };
        match caught(|| v.decode_trades(scratch, symbol, rec.payload, &mut ctx)) {
            Ok(Ok(())) => {}
            Ok(Err(r)) => self.core.reject(rec, sink, about, r),
            Err(panic) => self.panicked(panic, rec, sink, about),
        }
    }

    /// Trades that gaps have lost and that nobody has given up, the oldest gap first.
    pub fn wanted(&self) -> Vec<Wanted> {
        let of = |h: &Held| {
            let s = &self.core.streams[h.stream.0 as usize];
            let (first, last) = match &h.waits {
                Waits::Ids(left) => (left.first()?.0, left.last()?.1),
                Waits::Between { before, until, .. } => (before.saturating_add(1), *until),
                // Until the stream has gone on nobody knows where the gap ends.
                Waits::Like { until: i64::MAX, .. } | Waits::Not => return None,
                Waits::Like { .. } => (0, i64::MAX),
            };
            Some(Wanted {
                venue: venue_of(s.venue).spec().id,
                stream: s.name.clone(),
                symbol: self.core.insts.get(s.instrument.ix())?.version.symbol.clone(),
                kind: s.kind,
                first,
                last,
                ts_begin: h.times.0,
                seq_before: h.seqs.0,
            })
        };
        self.core.held.iter().filter(|h| !h.is_done()).filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_skip_are_taken_from_one_answer_only() {
        let waits = Waits::Between { before: 10, until: 50, reached: false, told: Vec::new() };
        let mut h = Held {
            stream: StreamId(0),
            conn: 1,
            rseq: 0,
            cause: GapCause::VenueDisconnect,
            detector: String::new(),
            recovered_by: "frame".into(),
            times: (1, 2),
            seqs: (-1, -1),
            rseqs: (-1, -1),
            epochs: (0, 0),
            waits,
            by_rest: 0,
            late: 0,
            over: false,
            why: String::new(),
        };
        // The answer to what was asked for another gap has them as well.
        let answer = [4, 10, 12, 30, 50, 60];
        let taken = |h: &mut Held| answer.iter().filter(|id| h.takes(**id)).copied().collect::<Vec<i64>>();
        assert_eq!(taken(&mut h), [12, 30]);
        assert!(taken(&mut h).is_empty());
        assert!(h.takes(31));
    }
}
