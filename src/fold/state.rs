//! The state of a lane's fold, and `step`.

use std::collections::{BTreeMap, VecDeque};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::counts::{FoldCounters, Last};
pub(super) use super::gaps::{Cover, Detector, OpenGap};
use super::holes::{Counting, Hole};
use super::legs::{Carrier, Mark, Window};
use super::panics::caught;
use super::{Effect, FoldSink};
use crate::book::{Book, DiffBuffer, Sequencer};
use crate::model::{
    ConnId, Dec, DecodeCtx, Event, GapCause, Head, IdPolicy, InstrumentId, InstrumentRef, InstrumentVersion,
    Kind, LaneId, Level, Notice, RawRow, Record, Reject, RejectCause, RejectRow, Reply, RestKind, RowRef,
    SnapshotSource, StreamId, StreamInfo, StreamKind, StreamSpec, VenueIx, flags,
};
use crate::venue::Scratch;
use crate::venue::{self, Venue};

/// Most instruments that one venue may make known (`RELIABILITY` R19).
pub(super) const SYMBOLS_MAX: usize = 20_000;

/// What a run's first record settles for the lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunCfg {
    pub interval_ns: i64,
    pub book_top_interval_ns: i64,
    pub auto_register: bool,
    pub epoch_floor: i64,
    pub run_id: String,
    pub writer: String,
    pub build: String,
    pub host: String,
    pub config_sha256: String,
    pub ts_start: i64,
    /// What the configuration says of venues' ids.
    pub policies: Vec<(VenueIx, IdPolicy)>,
    /// Kinds of trades that are asked for when a gap has lost them.
    pub backfill: Vec<(VenueIx, StreamKind)>,
    /// Venues of which the lane is told every instrument.
    pub whole_markets: Vec<VenueIx>,
}

impl Default for RunCfg {
    fn default() -> RunCfg {
        RunCfg {
            interval_ns: 3_600_000_000_000,
            book_top_interval_ns: 100_000_000,
            auto_register: false,
            epoch_floor: 0,
            run_id: String::new(),
            writer: String::new(),
            build: String::new(),
            host: String::new(),
            config_sha256: String::new(),
            ts_start: 0,
            policies: Vec::new(),
            backfill: Vec::new(),
            whole_markets: Vec::new(),
        }
    }
}

/// Stamps of a buffered diff.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DiffMeta {
    pub rseq: i64,
    pub ts_recv: i64,
    pub ts_kernel: i64,
    pub ts_event: i64,
    pub ts_send: i64,
    pub flags: i32,
}

/// A snapshot that is loaded and waits for its proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PendingSnap {
    pub conn: ConnId,
    pub rseq: i64,
    pub snap_id: i64,
    pub ts_event: i64,
    pub ts_send: i64,
}

/// The book of one instrument with its proof.
pub(super) struct BookState {
    pub seq: Sequencer,
    pub book: Book,
    pub buffer: DiffBuffer<DiffMeta>,
    pub pending: Option<PendingSnap>,
    pub epoch: i64,
    /// Rows are being published: the chain is proven.
    pub synced: bool,
    pub bid_horizon: Option<i64>,
    pub ask_horizon: Option<i64>,
    pub crossed_run: u32,
    /// Snapshots in a row that did not prove the book.
    pub attempt: u32,
    /// The next `book_delta` row opens a part: the whole book goes first.
    pub carry: bool,
    /// The epoch that was proven when a gap had lasted too long, 0 = none: the levels are kept, and the next event may prove
    /// them.
    pub lapsed: i64,
    /// Id of the last diff (or snapshot) whose rows are written: behind the sequencer while a diff is being applied.
    pub last: i64,
    pub top: super::top::TopState,
    /// The diff stream that feeds it.
    pub stream: StreamId,
    /// The connection that is to feed it next, where ids may end with their connection.
    pub next: Option<Box<super::successor::Next>>,
    /// What others brought since the one that feeds it spoke.
    pub beside: super::deaf::Beside,
    /// A snapshot is awaited to hold it against.
    pub audit: Option<Box<super::audit::Audit>>,
}

/// One instrument as the lane knows it.
pub(super) struct Inst {
    pub venue: VenueIx,
    pub version: InstrumentVersion,
    /// Exponents came from an instrument list or from numbers seen; before that they are only a start.
    pub exps_known: bool,
    /// Another lane writes the rows of its versions.
    pub elsewhere: bool,
    /// Of an earlier run, and not named in this one yet: what was learned of it then does not count.
    pub is_past: bool,
    /// What a list said of it in an earlier run, while none of this one did.
    pub listed: Option<Box<InstrumentVersion>>,
    /// The widest exponents of price and size that are granted: lower once wider ones were taken back.
    pub exps_max: (u8, u8),
    pub book: Option<Box<BookState>>,
}

/// One stream of one venue, across its connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stream {
    pub venue: VenueIx,
    pub name: String,
    pub kind: StreamKind,
    /// `NONE` for all-market streams.
    pub instrument: InstrumentId,
    /// Connections that carry it now.
    pub carriers: Vec<Carrier>,
    /// Of dialects whose ids end with their connection: the one of them that counts.
    pub feed: ConnId,
    /// What came last, while more than one connection carries it.
    pub window: Window,
    /// The book of it is taken on trust now.
    pub is_believed: bool,
    /// Until when connections that are gone had brought all.
    pub lived: i64,
    /// The connection whose frames were used last.
    pub conn: ConnId,
    /// Whose frame `rseq_last` is.
    pub spoke: super::frames::By,
    /// Of the connections that are gone, the last that carried it.
    pub left: super::frames::By,
    /// Last id of the chain, −1 = none yet.
    pub last_id: i64,
    /// Order key of the last message where there is no chain (update id or send time).
    pub last_key: i64,
    /// Since when nothing of it is proven, whatever rows say so; 0 = it is.
    pub doubt_since: i64,
    /// When that one came, of a chain.
    pub ts_chain: i64,
    /// Ids that a venue's answer told before the stream went on, where ids skip. Bounded.
    pub ahead: Vec<i64>,
    /// The latest trades by value, where the venue's answers have no ids. Bounded.
    pub recent: VecDeque<super::backfill::Deal>,
    /// Those that an answer told of the ms in which the stream goes on behind a gap, where the answers have no ids: it may bring
    /// them still. Bounded.
    pub said: Vec<super::backfill::Deal>,
    /// The latest trades, where ids skip: one that is said twice is told once. Bounded.
    pub latest: super::repeats::Latest,
    /// What came last over this stream and that of the whole market. Bounded.
    pub twin: super::twins::Twin,
    /// Ids that are missing, oldest hole first: one of them that comes late is news, any other one below `last_id` is
    /// known. Bounded.
    pub holes: Vec<Hole>,
    /// What tells whether the venue counts anew.
    pub counting: Counting,
    pub rseq_last: i64,
    pub ts_last: i64,
    /// The open stretch of proof, if any.
    pub cover: Option<Cover>,
    /// The open gap, if any. `cover` and `gap` are never both there.
    pub gap: Option<OpenGap>,
    /// An interval ended in what is open, which is split there when it is known what it is.
    pub split: Option<super::boundaries::Split>,
    /// Subscribed now (or was, when the run ended).
    pub subscribed: bool,
}

/// One open connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Conn {
    pub id: ConnId,
    pub venue: VenueIx,
    pub leg: u8,
    pub url: String,
    pub streams: Vec<StreamId>,
    /// Its only stream, where frames do not name theirs.
    pub only: Option<StreamSpec>,
    /// Derived from `streams`; not saved, so that a checkpoint's bytes do not depend on a map's order.
    #[serde(skip)]
    pub by_name: FxHashMap<Box<[u8]>, StreamId>,
    /// When its last sign of life was there: the receive time, or the kernel's where we looked long after.
    pub ts_last: i64,
    /// Monotonic time of that record, 0 = not known: it tells a silence from a wall clock that was set.
    pub mono_last: i64,
}

impl Conn {
    /// What its rows carry.
    pub fn flags(&self) -> i32 {
        if self.leg == 1 { flags::SECOND_LEG } else { 0 }
    }
}

/// The fold of one lane.
pub struct Fold {
    pub(super) scratch: Vec<Scratch>,
    pub(super) core: Core,
    last: Last,
}

/// All state but the parsers' scratch space (apart, so that a parser can borrow both).
pub(super) struct Core {
    pub lane: LaneId,
    pub cfg: RunCfg,
    pub insts: Vec<Inst>,
    pub symbols: Vec<FxHashMap<String, InstrumentId>>,
    pub streams: Vec<Stream>,
    pub stream_names: Vec<FxHashMap<String, StreamId>>,
    /// Boxed, because the one that a frame came on is taken out and put back.
    pub conns: FxHashMap<ConnId, Box<Conn>>,
    /// The lane's interval clock: the greatest `ts_recv` seen.
    pub ts_max: i64,
    pub counters: FoldCounters,
    /// Events without a table, by name.
    pub others: FxHashMap<String, u64>,
    /// Instruments whose top of book may be due, in order of first change.
    pub top_due: Vec<InstrumentId>,
    pub top_bucket: i64,
    /// Start of a UTC day whose opening rows are due at the next record; 0 = none.
    pub day_opens: i64,
    /// The last interval boundary, 0 = none yet.
    pub boundary_at: i64,
    /// When a book may have been in a gap for too long, at the earliest: derived.
    pub lapse_at: i64,
    pub level_scratch: (Vec<Level>, Vec<Level>),
    /// The newest of what is polled as a list: payments of funding (""), final candles (their interval).
    pub told: BTreeMap<(InstrumentId, String), i64>,
    /// Gaps whose rows wait for trades by REST.
    pub held: Vec<super::backfill::Held>,
    /// Kinds of streams of whole markets, and streams of one instrument that may bring the same: derived from `streams`.
    pub markets: Vec<(VenueIx, StreamKind)>,
    pub own: FxHashMap<(StreamKind, InstrumentId), StreamId>,
    /// What was decided of the frame at hand, where all its events are news together.
    pub frame_news: Option<((ConnId, i64, StreamId), bool)>,
    /// As [`Last::won_by`].
    pub won_by: i8,
    /// What the times of the events at hand are.
    pub times: super::classes::Times,
    /// What streams' ids are, as far as anybody asked; not saved.
    pub classes: FxHashMap<StreamId, &'static str>,
}

impl Fold {
    /// An empty fold for a lane.
    pub fn new(lane: LaneId) -> Fold {
        let n = venue::all().len();
        Fold {
            last: Last {
                stream: StreamId::NONE,
                instrument: InstrumentId::NONE,
                ts_event: 0,
                ts_send: 0,
                won_by: -1,
            },
            scratch: (0..n).map(|_| Scratch::default()).collect(),
            core: Core {
                lane,
                cfg: RunCfg::default(),
                insts: Vec::new(),
                symbols: vec![FxHashMap::default(); n],
                streams: Vec::new(),
                stream_names: vec![FxHashMap::default(); n],
                conns: FxHashMap::default(),
                ts_max: 0,
                counters: FoldCounters::default(),
                others: FxHashMap::default(),
                top_due: Vec::new(),
                top_bucket: i64::MIN,
                day_opens: 0,
                boundary_at: 0,
                lapse_at: 0,
                level_scratch: (Vec::new(), Vec::new()),
                told: BTreeMap::new(),
                held: Vec::new(),
                markets: Vec::new(),
                own: FxHashMap::default(),
                frame_news: None,
                won_by: -1,
                times: super::classes::Times::default(),
                classes: FxHashMap::default(),
            },
        }
    }

    /// The lane.
    pub fn lane(&self) -> LaneId {
        self.core.lane
    }

    /// What the last record turned out to be about.
    pub fn last(&self) -> Last {
        self.last
    }

    /// Name, kind and instrument of a stream.
    pub fn stream(&self, id: StreamId) -> Option<(&str, StreamKind, InstrumentId)> {
        self.core.streams.get(id.0 as usize).map(|s| (s.name.as_str(), s.kind, s.instrument))
    }

    /// The venue of a stream.
    pub fn stream_venue(&self, id: StreamId) -> Option<&'static str> {
        self.core.streams.get(id.0 as usize).map(|s| venue_of(s.venue).spec().id)
    }

    /// The interval clock: the greatest `ts_recv` seen.
    pub fn ts_max(&self) -> i64 {
        self.core.ts_max
    }

    /// Number of instruments known.
    pub fn instruments(&self) -> usize {
        self.core.insts.len()
    }

    /// The version in force of an instrument.
    pub fn instrument(&self, id: InstrumentId) -> Option<&InstrumentVersion> {
        self.core.insts.get(id.ix()).map(|i| &i.version)
    }

    /// The instrument of a symbol at a venue.
    pub fn find(&self, venue: VenueIx, symbol: &str) -> Option<InstrumentId> {
        self.core.symbols.get(usize::from(venue.0))?.get(symbol).copied()
    }

    /// The versions in force of all instruments that a list of their venue has named.
    pub fn listed(&self) -> impl Iterator<Item = &InstrumentVersion> {
        self.core.insts.iter().filter_map(|i| i.listed())
    }

    /// The proven book of an instrument: `None` while it is stale.
    pub fn book(&self, id: InstrumentId) -> Option<&Book> {
        let b = self.core.insts.get(id.ix())?.book.as_ref()?;
        b.synced.then_some(&b.book)
    }

    /// Books that exist, and how many of them are proven.
    pub fn books(&self) -> (usize, usize) {
        let all = self.core.insts.iter().filter_map(|i| i.book.as_ref());
        all.fold((0, 0), |(n, s), b| (n + 1, s + usize::from(b.synced)))
    }

    /// Causes of the gaps that are open now, one for each stream that has one.
    pub fn open_gaps(&self) -> impl Iterator<Item = GapCause> {
        self.core.streams.iter().filter_map(|s| s.gap.map(|g| g.cause))
    }

    /// Takes the lane's next record.
    pub fn step<S: FoldSink>(&mut self, rec: &Record<'_>, sink: &mut S) {
        self.meanwhile(rec, sink);
        let mut about = About::default();
        (self.core.frame_news, self.core.won_by, self.core.times) = (None, -1, Default::default());
        match rec.kind {
            Kind::Frame => self.frame(rec, sink, &mut about),
            Kind::Rest => self.rest(rec, sink, &mut about),
            _ => self.core.control(rec, sink, &mut about),
        }
        self.core.ts_max = self.core.ts_max.max(rec.ts_recv);
        self.last = Last {
            stream: about.stream,
            instrument: about.instrument,
            ts_event: about.ts_event,
            ts_send: about.ts_send,
            won_by: self.core.won_by,
        };
        if S::ROWS && !matches!(rec.kind, Kind::Sync | Kind::Seal) {
            let mut head = self.core.head(rec);
            head.instrument = about.instrument;
            head.venue = about.venue;
            head.ts_event = about.ts_event;
            head.ts_send = about.ts_send;
            head.flags |= about.flags | self.core.derived();
            let stream = match about.stream {
                StreamId::NONE => "",
                s => self.core.streams[s.0 as usize].name.as_str(),
            };
            sink.row(&head, RowRef::Raw(RawRow { record: *rec, stream }));
        }
    }

    fn frame<S: FoldSink>(&mut self, rec: &Record<'_>, sink: &mut S, about: &mut About) {
        self.core.counters.frames += 1;
        let Some(mut conn) = self.core.conns.remove(&rec.conn) else {
            self.core.reject(
                rec,
                sink,
                about,
                Reject::new(RejectCause::UnknownStream, "frame of an unknown connection"),
            );
            return;
        };
        self.core.lives(&mut conn, rec, sink);
        about.venue = conn.venue;
        about.flags = conn.flags();
        let v = venue_of(conn.venue);
        let mut ctx = Ctx { core: &mut self.core, sink, rec, conn, about, rest: None };
        let scratch = &mut self.scratch[usize::from(ctx.conn.venue.0)];
        let only = ctx.conn.only.take();
        let result = caught(|| {
            #[cfg(test)]
            super::panics::planted(1);
            v.decode(scratch, rec.payload, only.as_ref(), &mut ctx)
        });
        ctx.conn.only = only;
        let conn = ctx.conn;
        self.core.conns.insert(rec.conn, conn);
        match result {
            Ok(Ok(())) => {}
            Ok(Err(r)) => self.core.reject(rec, sink, about, r),
            Err(panic) => self.panicked(panic, rec, sink, about),
        }
    }

    /// An answer to what is asked for because it has no stream.
    fn polled<S: FoldSink>(&mut self, rec: &Record<'_>, sink: &mut S, about: &mut About) {
        if rec.status != 200 {
            if rec.status != 0 {
                self.core.reject(rec, sink, about, Reject::new(RejectCause::Status, "request refused"));
            }
            return;
        }
        let Some(conn) = self.core.conns.get(&rec.conn).cloned() else { return };
        let v = venue_of(about.venue);
        let scratch = &mut self.scratch[usize::from(about.venue.0)];
        let mut ctx = Ctx { core: &mut self.core, sink, rec, conn, about, rest: Some(rec.url) };
        match caught(|| v.decode_polled(scratch, rec.url, rec.payload, &mut ctx)) {
            Ok(Ok(())) => {}
            Ok(Err(r)) => self.core.reject(rec, sink, about, r),
            Err(panic) => self.panicked(panic, rec, sink, about),
        }
    }

    fn rest<S: FoldSink>(&mut self, rec: &Record<'_>, sink: &mut S, about: &mut About) {
        let Some(conn) = self.core.conns.get(&rec.conn) else {
            self.core.reject(
                rec,
                sink,
                about,
                Reject::new(RejectCause::UnknownStream, "body of an unknown connection"),
            );
            return;
        };
        about.venue = conn.venue;
        let v = venue_of(conn.venue);
        let symbol = match v.rest_kind(rec.url) {
            RestKind::Depth { symbol } => symbol,
            // What chooses symbols is no data: lists of all markets come on control's own lane.
            RestKind::Polled if self.core.lane == 0 => return,
            RestKind::Polled => return self.polled(rec, sink, about),
            RestKind::Trades { symbol } => return self.trades(rec, &symbol, sink, about),
            _ => return,
        };
        if v.spec().snapshot == SnapshotSource::InBand {
            // Whether its ids are those of the diffs is not known: it stays in `raw`.
            return;
        }
        let conn = conn.clone();
        let Some(inst) = self.core.intern(about.venue, &symbol, rec, sink) else {
            self.core.reject(
                rec,
                sink,
                about,
                Reject::new(RejectCause::UnknownSymbol, "snapshot of a refused symbol"),
            );
            return;
        };
        about.instrument = inst.id;
        if rec.status != 200 {
            // Not a body: the request failed or was refused. Who asked hears of it; the book waits on.
            self.core.snapshot_failed(inst.id, sink);
            if rec.status != 0 {
                self.core.reject(rec, sink, about, Reject::new(RejectCause::Status, "snapshot refused"));
            }
            return;
        }
        let scratch = &mut self.scratch[usize::from(about.venue.0)];
        let mut ctx = Ctx { core: &mut self.core, sink, rec, conn, about, rest: Some(rec.url) };
        match caught(|| v.decode_snapshot(scratch, &symbol, rec.payload, &mut ctx)) {
            Ok(Ok(())) => {}
            Ok(Err(r)) => {
                self.core.snapshot_failed(inst.id, sink);
                self.core.reject(rec, sink, about, r);
            }
            Err(panic) => self.panicked(panic, rec, sink, about),
        }
    }
}

pub(super) fn venue_of(ix: VenueIx) -> &'static dyn Venue {
    venue::all()[usize::from(ix.0)]
}

/// What the record turned out to be about: the columns of its `raw` row.
#[derive(Clone, Copy)]
pub(super) struct About {
    pub venue: VenueIx,
    pub instrument: InstrumentId,
    pub stream: StreamId,
    pub ts_event: i64,
    pub ts_send: i64,
    pub flags: i32,
}

impl Default for About {
    fn default() -> About {
        About {
            venue: VenueIx::NONE,
            instrument: InstrumentId::NONE,
            stream: StreamId::NONE,
            ts_event: 0,
            ts_send: 0,
            flags: 0,
        }
    }
}

impl Core {
    /// The columns that a record gives to all its rows.
    pub fn head(&self, rec: &Record<'_>) -> Head {
        let stalled = rec.flags & crate::model::record::FLAG_STALLED != 0;
        let late = rec.ts_recv < self.ts_max || stalled || rec.is_late();
        Head {
            instrument: InstrumentId::NONE,
            venue: VenueIx::NONE,
            lane: self.lane,
            ts_recv: rec.ts_recv,
            ts_kernel: rec.ts_kernel,
            ts_event: 0,
            ts_send: 0,
            conn: rec.conn,
            rseq: rec.rseq,
            flags: if late { flags::BAD_TS_RECV } else { 0 },
        }
    }

    #[cold]
    pub fn reject<S: FoldSink>(&mut self, rec: &Record<'_>, sink: &mut S, about: &mut About, r: Reject) {
        self.counters.rejects += 1;
        if rec.kind == Kind::Frame {
            sink.effect(Effect::Rejected { venue: about.venue, stream: about.stream, detail: r.detail });
        }
        // A depth frame that cannot be read may have changed the book: its chain must be proven again.
        if let Some(s) = self.streams.get(about.stream.0 as usize)
            && s.kind == StreamKind::DepthDiff
            && self.feeds(s.instrument, about.stream)
        {
            self.depth_unreadable(rec, s.instrument, sink);
        }
        if S::ROWS {
            let mut head = self.head(rec);
            head.venue = about.venue;
            head.instrument = about.instrument;
            let row = RejectRow { cause: r.cause.as_str(), detail: r.detail, payload: rec.payload };
            sink.row(&head, RowRef::Reject(row));
        }
    }

    /// The instrument of a symbol, made known on first sight; `None` if the symbol is refused.
    pub fn intern<S: FoldSink>(
        &mut self,
        venue: VenueIx,
        symbol: &str,
        rec: &Record<'_>,
        sink: &mut S,
    ) -> Option<InstrumentRef> {
        let known = self.symbols[usize::from(venue.0)].get(symbol).copied();
        let id = match known {
            Some(id) if !self.insts[id.ix()].is_past => id,
            _ => self.add_instrument(venue, symbol, rec, sink)?,
        };
        let v = &self.insts[id.ix()].version;
        Some(InstrumentRef { id, price_exp: v.price_exp, size_exp: v.size_exp })
    }

    /// An answer to a message of ours.
    fn replied<S: FoldSink>(&mut self, rec: &Record<'_>, conn: &Conn, r: &Reply<'_>, sink: &mut S) {
        let spec = venue_of(conn.venue).spec();
        if spec.topics_per_message > 0 {
            // Which topics it is about only whoever sent the message knows.
            sink.effect(Effect::Answered { conn: conn.id, code: r.code, text: r.text });
            return;
        }
        if !r.is_error {
            if r.stream != StreamId::NONE {
                self.acknowledged(r.stream, conn, rec, sink);
            }
            return;
        }
        if r.stream != StreamId::NONE {
            self.refused(r.stream, rec, sink);
        }
        let stream = self.streams.get(r.stream.0 as usize).map_or("", |s| s.name.as_str());
        sink.effect(Effect::Refused { conn: conn.id, code: r.code, stream, text: r.text });
        if r.snapshot_of != InstrumentId::NONE {
            self.snapshot_failed(r.snapshot_of, sink);
        }
    }

    pub fn exps(&self, id: InstrumentId) -> (u8, u8) {
        let v = &self.insts[id.ix()].version;
        (v.price_exp, v.size_exp)
    }
}

/// What a parser sees of the fold, for one record.
pub(super) struct Ctx<'a, 'r, S> {
    pub core: &'a mut Core,
    pub sink: &'a mut S,
    pub rec: &'a Record<'r>,
    pub conn: Box<Conn>,
    pub about: &'a mut About,
    /// URL of the body, when a REST answer is read.
    pub rest: Option<&'a str>,
}

impl<S: FoldSink> DecodeCtx for Ctx<'_, '_, S> {
    fn stream(&mut self, name: &str) -> Option<StreamInfo> {
        let id = match self.conn.by_name.get(name.as_bytes()) {
            Some(id) => *id,
            None => self.core.auto_stream(&mut self.conn, name, self.rec, self.sink)?,
        };
        let info = self.info(id);
        self.enter(&info);
        Some(info)
    }

    #[inline]
    fn peek(&mut self, name: &[u8]) -> Option<StreamInfo> {
        let id = *self.conn.by_name.get(name)?;
        Some(self.info(id))
    }

    #[inline]
    fn enter(&mut self, stream: &StreamInfo) {
        self.about.stream = stream.stream;
        self.about.instrument = stream.instrument.map_or(InstrumentId::NONE, |i| i.id);
    }

    fn stream_of(&mut self, kind: StreamKind, symbol: &str) -> Option<StreamInfo> {
        let venue = usize::from(self.conn.venue.0);
        let inst = *self.core.symbols.get(venue)?.get(symbol)?;
        let is = |id: &&StreamId| {
            let s = &self.core.streams[id.0 as usize];
            s.kind == kind && s.instrument == inst
        };
        let id = *self.conn.streams.iter().find(is)?;
        (self.about.stream, self.about.instrument) = (id, inst);
        let (price_exp, size_exp) = self.core.exps(inst);
        Some(StreamInfo {
            stream: id,
            kind,
            instrument: Some(InstrumentRef { id: inst, price_exp, size_exp }),
        })
    }

    fn ts_recv(&self) -> i64 {
        self.rec.ts_recv
    }

    fn is_binary(&self) -> bool {
        self.rec.flags & crate::model::record::FLAG_BINARY != 0
    }

    fn contract_size(&self, id: InstrumentId) -> Dec {
        self.core.insts.get(id.ix()).map_or(Dec::NONE, |i| i.version.contract_size)
    }

    fn is_listed(&self, symbol: &str) -> bool {
        let venue = self.conn.venue;
        !self.core.cfg.whole_markets.contains(&venue)
            || self.core.symbols[usize::from(venue.0)]
                .get(symbol)
                .is_some_and(|id| !self.core.insts[id.ix()].is_past)
    }

    fn instrument(&mut self, symbol: &str) -> Option<InstrumentRef> {
        self.core.intern(self.about.venue, symbol, self.rec, self.sink)
    }

    fn widen(&mut self, id: InstrumentId, price_exp: u8, size_exp: u8) -> InstrumentRef {
        self.core.widen(id, price_exp, size_exp, self.rec, self.sink);
        let (price_exp, size_exp) = self.core.exps(id);
        InstrumentRef { id, price_exp, size_exp }
    }

    fn narrow(&mut self, id: InstrumentId, least: (u8, u8), most: (u8, u8)) -> InstrumentRef {
        self.core.narrow(id, least, most, self.rec, self.sink);
        let (price_exp, size_exp) = self.core.exps(id);
        InstrumentRef { id, price_exp, size_exp }
    }

    fn derives_time(&mut self, is_derived: bool) {
        self.core.times.are_derived = is_derived;
    }

    fn answers_differ_in_time(&mut self, they_do: bool) {
        self.core.times.are_not_of_answers = they_do;
    }

    fn class(&mut self, stream: StreamId, class: &'static str) {
        self.core.is_of_class(stream, class, self.sink);
    }

    fn event(&mut self, event: Event<'_>) {
        self.on_event(event);
    }
}

impl<S: FoldSink> Ctx<'_, '_, S> {
    #[inline]
    fn info(&self, id: StreamId) -> StreamInfo {
        let s = &self.core.streams[id.0 as usize];
        let instrument = (s.instrument != InstrumentId::NONE).then(|| {
            let (price_exp, size_exp) = self.core.exps(s.instrument);
            InstrumentRef { id: s.instrument, price_exp, size_exp }
        });
        StreamInfo { stream: id, kind: s.kind, instrument }
    }

    fn on_event(&mut self, event: Event<'_>) {
        self.sink.parsed();
        let Ctx { core, sink, rec, conn, about, rest } = self;
        match event {
            Event::Depth(d) => {
                (about.ts_event, about.ts_send) = (d.ts_event, d.ts_send);
                match core.foreign(conn.venue, &d) {
                    None => core.on_diff(rec, conn, &d, *sink),
                    Some(r) => core.reject(rec, *sink, about, r),
                }
            }
            Event::Snapshot(d) => {
                (about.ts_event, about.ts_send) = (d.ts_event, d.ts_send);
                core.view_came(rec, conn, &d, *sink);
                core.on_snapshot(rec, &d, rest.unwrap_or(""), *sink);
            }
            Event::Reply(r) => core.replied(rec, conn, &r, *sink),
            Event::Notice(Notice::Shutdown) => sink.effect(Effect::Replace { conn: conn.id }),
            Event::Notice(Notice::Ping) => sink.effect(Effect::Pong { conn: conn.id }),
            Event::Notice(Notice::Alive) => {}
            Event::Notice(Notice::Listing) => {
                sink.effect(Effect::Listing { venue: venue_of(conn.venue).spec().id });
            }
            Event::Other { name, stream } => {
                core.counters.others += 1;
                core.count_other(name);
                if stream != StreamId::NONE {
                    core.seen(stream, conn, rec, Mark::None, *sink);
                }
            }
            Event::Trade(t) if rest.is_some() => core.backfilled(rec, conn, about, &t, *sink),
            other => core.on_table_event(rec, conn, about, &other, *sink),
        }
    }
}
