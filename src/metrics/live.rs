//! What a running capture shares with whoever asks how it is. Written by its owners, read by anybody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crossbeam_utils::CachePadded;

use super::counter::{Counter, Gauge};
use super::latency::HopSummary;
use super::status::{BookStatus, LaneStatus, Status, StreamStatus, VenueStatus, Watermarks};
use super::storage::StorageMetrics;
use crate::model::time::NS_PER_S;
use crate::model::{AuditVerdict, GapCause, LaneId};

/// A control thread that has not ticked for so long hangs, s.
const TICK_LIMIT_S: u64 = 10;

/// What the capture is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum State {
    /// Reads configuration and instruments.
    Starting,
    /// Salvages the tail of the last run.
    Recovering,
    /// Captures.
    Running,
    /// Seals.
    Stopping,
    /// Captures, but nothing can be stored.
    StorageFailed,
}

impl State {
    const ALL: [State; 5] =
        [State::Starting, State::Recovering, State::Running, State::Stopping, State::StorageFailed];
}

/// Whether a book is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum BookState {
    /// Nothing was seen yet.
    Init,
    /// Diffs wait for a snapshot.
    Buffering,
    /// Proven.
    Synced,
    /// Was proven, is no longer.
    Stale,
}

impl BookState {
    /// All of them.
    pub const ALL: [BookState; 4] =
        [BookState::Init, BookState::Buffering, BookState::Synced, BookState::Stale];
}

/// How far something is: a `lane_seq` and the `ts_recv` of its record.
#[derive(Debug, Default)]
pub struct Mark {
    /// Greatest `lane_seq`, −1 = none yet.
    pub seq: Gauge,
    /// Its `ts_recv`, ns.
    pub ts: Gauge,
}

impl Mark {
    /// Moves it.
    #[inline]
    pub fn set(&self, lane_seq: i64, ts_recv: i64) {
        self.seq.set(lane_seq);
        self.ts.set(ts_recv);
    }
}

/// Written by the reader thread.
#[derive(Debug, Default)]
pub struct ReaderMetrics {
    /// Frames read.
    pub frames: Counter,
    /// Bytes of their payloads.
    pub bytes: Counter,
    /// Frames that could not be parsed; they stay in `raw`.
    pub rejects: Counter,
    /// Times the ring was full and reading stopped.
    pub stalls: Counter,
    /// Allocations on the reader thread, the transport's own included; looked at once a second.
    pub allocations: Counter,
    /// Those of them inside the transport (TLS, WebSocket), which are not ours to avoid.
    pub transport_allocations: Counter,
    /// Gaps that are over, by cause, in the order of [`GapCause::ALL`]: as many as this run's streams have rows in `gaps`.
    pub gaps: [Counter; GapCause::ALL.len()],
    /// Gaps that are open, by cause; looked at once a second.
    pub gaps_open: [Gauge; GapCause::ALL.len()],
    /// What reached the raw ring.
    pub rx: Mark,
}

/// Written by the journal thread.
#[derive(Debug, Default)]
pub struct JournalMetrics {
    /// What was handed to the kernel.
    pub jrn: Mark,
    /// What a successful sync covers.
    pub dur: Mark,
    /// Bytes in the raw ring.
    pub ring_used: Gauge,
    /// Bytes the raw ring can hold.
    pub ring_capacity: Gauge,
}

/// Written by the converter thread.
#[derive(Debug, Default)]
pub struct ConverterMetrics {
    /// What went through the converter's fold.
    pub converted: Mark,
    /// What stands in published files.
    pub published: Mark,
}

/// One lane. Each part has one writer and its own cache lines.
#[derive(Debug, Default)]
pub struct LaneMetrics {
    /// Number of the lane.
    pub lane: LaneId,
    /// The reader's part.
    pub reader: CachePadded<ReaderMetrics>,
    /// The journal's part.
    pub journal: CachePadded<JournalMetrics>,
    /// The converter's part.
    pub converter: CachePadded<ConverterMetrics>,
    rate: Gauge,
    frames_at_tick: Gauge,
    streams: Mutex<Vec<Arc<StreamMetrics>>>,
    books: Mutex<Vec<Arc<BookMetrics>>>,
    hops: Mutex<Vec<HopSummary>>,
    others: Mutex<BTreeMap<String, u64>>,
    parsers: Mutex<Vec<Arc<ParserMetrics>>>,
    instruments: Mutex<Vec<String>>,
}

/// One stream over one leg.
#[derive(Debug, Default)]
pub struct StreamMetrics {
    /// Venue slug.
    pub venue: String,
    /// Symbol, "" for all-market streams.
    pub symbol: String,
    /// Channel as in the configuration.
    pub channel: String,
    /// The venue's name of the whole stream: streams of pairs and indices have no symbol and differ in this alone.
    pub name: String,
    /// 0 or 1.
    pub leg: u8,
    /// Frames.
    pub frames: Counter,
    /// Bytes of their payloads.
    pub bytes: Counter,
    /// Gaps that are over; those of both legs are counted with one of them.
    pub gaps: Counter,
    /// `ts_recv` of the last frame that was no answer to a message of ours, ns; 0 = none yet.
    pub last_recv: Gauge,
    /// Events that this leg brought before the other one did.
    pub wins: Counter,
    /// Confirmations of its subscription, where the venue gives any; those of both legs are counted with one of them.
    pub confirmed: Counter,
    /// How often a candle of it held more than before: its market trades. Those of both legs are counted with one of them.
    pub grown: Counter,
}

/// How one lane read the frames of one venue. Written by the reader thread, a little behind the frames.
#[derive(Debug, Default)]
pub struct ParserMetrics {
    /// Venue slug.
    pub venue: String,
    /// Frames of a known shape.
    pub quick: Counter,
    /// Frames of streams without one, answers, notices.
    pub general: Counter,
    /// Frames whose stream has a known shape, but they had another: the venue changed what it sends.
    pub fallback: Counter,
}

/// One book.
#[derive(Debug)]
pub struct BookMetrics {
    /// Venue slug.
    pub venue: String,
    /// Symbol.
    pub symbol: String,
    state: AtomicU8,
    /// Resyncs since the start.
    pub resyncs: Counter,
    /// Levels, bids and asks together, looked at once a second; 0 while the book is not proven.
    pub levels: Gauge,
    /// The connection whose messages the proven book is made of, looked at as often; 0 while it is not proven.
    pub feed: Gauge,
}

impl BookMetrics {
    /// A book of which nothing was seen yet.
    pub fn new(venue: &str, symbol: &str) -> BookMetrics {
        BookMetrics {
            venue: venue.to_owned(),
            symbol: symbol.to_owned(),
            state: AtomicU8::new(BookState::Init as u8),
            resyncs: Counter::new(),
            levels: Gauge::new(0),
            feed: Gauge::new(0),
        }
    }

    /// Sets the state.
    #[inline]
    pub fn set_state(&self, s: BookState) {
        self.state.store(s as u8, Ordering::Relaxed);
    }

    /// The state.
    pub fn state(&self) -> BookState {
        let n = self.state.load(Ordering::Relaxed);
        BookState::ALL.into_iter().find(|s| *s as u8 == n).unwrap_or(BookState::Init)
    }
}

/// One venue's REST side and connections. Written by the control thread.
#[derive(Debug, Default)]
pub struct VenueMetrics {
    /// Venue slug.
    pub venue: String,
    /// Request weight used in the current minute, as the venue counts it.
    pub weight_used: Gauge,
    /// Request weight per minute that we allow ourselves.
    pub weight_limit: Gauge,
    /// Weight a minute that all polls of its budget need at the pace that is written.
    pub polls_needed: Gauge,
    /// The most that they may.
    pub polls_allowed: Gauge,
    /// By how much their periods are longer than written, thousandths: 1000 = as written. The longest of them.
    pub polls_stretch: Gauge,
    /// Books that wait for a snapshot.
    pub snapshots_waiting: Gauge,
    /// 1 while its first instrument list did not come although it was asked for: nothing of it is recorded.
    pub list_waits: Gauge,
    /// Why its list does not fit what is configured, so that nothing of it is recorded; "" = it does, or there is none yet.
    unfit: Mutex<String>,
    /// Until when the venue lets no connection of this address in, by its own word, wall ns; 0 = it does.
    pub banned_until: Gauge,
    /// Streams that are subscribed to and never had a frame although something says that they should have, and books of which
    /// nothing came in time.
    pub streams_unheard: Gauge,
    /// REST requests.
    pub requests: Counter,
    /// REST requests that failed or were refused.
    pub request_failures: Counter,
    /// Proven books held against snapshots, in the order of [`AuditVerdict::ALL`].
    pub audits: [Counter; AuditVerdict::ALL.len()],
    /// Connections that are open.
    pub connections: Gauge,
    /// The same by leg.
    pub legs: [Gauge; 2],
    /// Connections opened again after a loss.
    pub reconnects: Counter,
}

impl VenueMetrics {
    /// Why its list does not fit what is configured; "" = it does, or there is none yet.
    pub fn unfit(&self) -> String {
        lock(&self.unfit).clone()
    }

    /// Its list does not fit for this reason; "" = it does.
    pub fn set_unfit(&self, why: &str) {
        why.clone_into(&mut lock(&self.unfit));
    }

    /// Nothing of it is recorded until a list comes, or one that fits.
    pub fn waits_for_list(&self) -> bool {
        self.list_waits.get() != 0 || !lock(&self.unfit).is_empty()
    }

    /// How often each verdict was given to a book; those that never were are left out.
    pub fn audits(&self) -> BTreeMap<&'static str, u64> {
        let all = AuditVerdict::ALL.iter().zip(&self.audits);
        all.map(|(v, n)| (v.as_str(), n.get())).filter(|(_, n)| *n > 0).collect()
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // Lists are replaced or extended by one element under these locks: never half done.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LaneMetrics {
    /// A lane of which nothing was seen yet.
    pub fn new(lane: LaneId) -> LaneMetrics {
        let l = LaneMetrics { lane, ..LaneMetrics::default() };
        for m in
            [&l.reader.rx, &l.journal.jrn, &l.journal.dur, &l.converter.converted, &l.converter.published]
        {
            m.set(-1, 0);
        }
        l
    }

    /// Counts a gap that is over. By the reader only.
    pub fn count_gap(&self, cause: GapCause) {
        if let Some(i) = GapCause::ALL.iter().position(|c| *c == cause) {
            self.reader.gaps[i].add(1);
        }
    }

    /// Adds a stream that is shown from now on; keep the handle and count on it.
    pub fn add_stream(&self, s: StreamMetrics) -> Arc<StreamMetrics> {
        let s = Arc::new(s);
        lock(&self.streams).push(Arc::clone(&s));
        s
    }

    /// Adds a venue whose frames are counted by the way in which they are read.
    pub fn add_parser(&self, venue: &str) -> Arc<ParserMetrics> {
        let p = Arc::new(ParserMetrics { venue: venue.to_owned(), ..ParserMetrics::default() });
        lock(&self.parsers).push(Arc::clone(&p));
        p
    }

    /// How frames were read, by venue.
    pub fn parsers(&self) -> Vec<Arc<ParserMetrics>> {
        lock(&self.parsers).clone()
    }

    /// Names the lane's next instrument; its number in live events is its place in the list.
    pub fn add_instrument(&self, name: String) {
        lock(&self.instruments).push(name);
    }

    /// `"<venue>:<symbol>"` by the lane's own numbers.
    pub fn instruments(&self) -> Vec<String> {
        lock(&self.instruments).clone()
    }

    /// Adds a book that is shown from now on.
    pub fn add_book(&self, b: BookMetrics) -> Arc<BookMetrics> {
        let b = Arc::new(b);
        lock(&self.books).push(Arc::clone(&b));
        b
    }

    /// Streams no longer subscribed are no longer shown.
    pub fn remove_streams(&self, gone: impl Fn(&StreamMetrics) -> bool) {
        lock(&self.streams).retain(|s| !gone(s));
    }

    /// Books no longer kept are no longer shown.
    pub fn remove_books(&self, gone: impl Fn(&BookMetrics) -> bool) {
        lock(&self.books).retain(|b| !gone(b));
    }

    /// The streams, in the order in which they came.
    pub fn streams(&self) -> Vec<Arc<StreamMetrics>> {
        lock(&self.streams).clone()
    }

    /// The books, in the order in which they came.
    pub fn books(&self) -> Vec<Arc<BookMetrics>> {
        lock(&self.books).clone()
    }

    /// Quantiles of the last closed minute.
    pub fn set_hops(&self, h: Vec<HopSummary>) {
        *lock(&self.hops) = h;
    }

    /// Quantiles of the last closed minute, empty before the first.
    pub fn hops(&self) -> Vec<HopSummary> {
        lock(&self.hops).clone()
    }

    /// Events that stay in `raw` alone, by name, and all whose names are not kept under `(more names)`.
    pub fn set_others(&self, total: u64, by_name: Vec<(String, u64)>) {
        let named: u64 = by_name.iter().map(|(_, n)| n).sum();
        let mut map: BTreeMap<String, u64> = by_name.into_iter().collect();
        if total > named {
            map.insert("(more names)".to_owned(), total - named);
        }
        *lock(&self.others) = map;
    }

    /// Events that stay in `raw` alone, by name: of streams without a table, and unknown ones.
    pub fn others(&self) -> BTreeMap<String, u64> {
        lock(&self.others).clone()
    }

    /// Frames per second between the last two ticks.
    pub fn frames_per_s(&self) -> i64 {
        self.rate.get()
    }

    fn status(&self, now_ns: i64) -> LaneStatus {
        let (r, j, c) = (&self.reader, &self.journal, &self.converter);
        let mark = |m: &Mark| (m.seq.get(), if m.ts.get() == 0 { 0 } else { (now_ns - m.ts.get()).max(0) });
        let ((rx, rx_age_ns), (jrn, jrn_age_ns)) = (mark(&r.rx), mark(&j.jrn));
        let ((dur, dur_age_ns), (published, published_age_ns)) = (mark(&j.dur), mark(&c.published));
        let causes = GapCause::ALL.iter().zip(&r.gaps).filter(|(_, n)| n.get() > 0);
        let open = GapCause::ALL.iter().zip(&r.gaps_open).filter(|(_, n)| n.get() > 0);
        LaneStatus {
            lane: self.lane,
            frames: r.frames.get(),
            bytes: r.bytes.get(),
            frames_per_s: self.rate.get(),
            rejects: r.rejects.get(),
            stalls: r.stalls.get(),
            gaps: causes.map(|(c, n)| (c.as_str(), n.get())).collect(),
            gaps_open: open.map(|(c, n)| (c.as_str(), n.get())).collect(),
            ring_used: j.ring_used.get(),
            ring_capacity: j.ring_capacity.get(),
            marks: Watermarks {
                rx,
                jrn,
                dur,
                converted: c.converted.seq.get(),
                published,
                rx_age_ns,
                jrn_age_ns,
                dur_age_ns,
                published_age_ns,
            },
            others: self.others(),
            latency: self.hops(),
        }
    }
}

/// Everything that is shared, by `Arc`.
#[derive(Debug)]
pub struct Shared {
    /// Version of the program.
    pub build: &'static str,
    /// Names the run.
    pub run_id: String,
    /// The dataset's directory.
    pub dataset: String,
    /// Bytes free on the dataset's disk.
    pub disk_free: Gauge,
    /// Bytes of the dataset's disk.
    pub disk_total: Gauge,
    /// Resident memory of the process, bytes.
    pub rss: Gauge,
    /// Bytes of journal segments not yet reclaimed.
    pub journal_bytes: Gauge,
    /// Offset of the system clock, ns, as the kernel's clock discipline sees it.
    pub clock_offset_ns: Gauge,
    /// Syncs of the journal.
    pub fsyncs: Counter,
    /// Time they took in all, ns.
    pub fsync_ns: Counter,
    /// Events that slow live subscribers did not get.
    pub events_dropped: Counter,
    /// Failures of the disk.
    pub storage: StorageMetrics,
    state: AtomicU8,
    now: Gauge,
    ticked_ms: Gauge,
    started: Instant,
    lanes: Mutex<Vec<Arc<LaneMetrics>>>,
    venues: Mutex<Vec<Arc<VenueMetrics>>>,
}

impl Shared {
    /// Nothing known yet, state [`State::Starting`].
    #[allow(clippy::disallowed_methods, reason = "the life sign of the control thread; concerns no data")]
    pub fn new(run_id: &str, dataset: &str) -> Shared {
        Shared {
            build: env!("CARGO_PKG_VERSION"),
            run_id: run_id.to_owned(),
            dataset: dataset.to_owned(),
            disk_free: Gauge::new(0),
            disk_total: Gauge::new(0),
            rss: Gauge::new(0),
            journal_bytes: Gauge::new(0),
            clock_offset_ns: Gauge::new(0),
            fsyncs: Counter::new(),
            fsync_ns: Counter::new(),
            events_dropped: Counter::new(),
            storage: StorageMetrics::default(),
            state: AtomicU8::new(State::Starting as u8),
            now: Gauge::new(0),
            ticked_ms: Gauge::new(0),
            started: Instant::now(),
            lanes: Mutex::default(),
            venues: Mutex::default(),
        }
    }

    /// Says what the capture is doing.
    pub fn set_state(&self, s: State) {
        self.state.store(s as u8, Ordering::Release);
    }

    /// What the capture is doing.
    pub fn state(&self) -> State {
        let n = self.state.load(Ordering::Acquire);
        let said = State::ALL.into_iter().find(|s| *s as u8 == n).unwrap_or(State::Starting);
        if said == State::Running && self.storage.trouble().is_some() { State::StorageFailed } else { said }
    }

    /// Adds a lane; its threads keep the handle.
    pub fn add_lane(&self, lane: LaneId) -> Arc<LaneMetrics> {
        let l = Arc::new(LaneMetrics::new(lane));
        lock(&self.lanes).push(Arc::clone(&l));
        l
    }

    /// The lanes.
    pub fn lanes(&self) -> Vec<Arc<LaneMetrics>> {
        lock(&self.lanes).clone()
    }

    /// Adds a venue.
    pub fn add_venue(&self, venue: &str) -> Arc<VenueMetrics> {
        let v = Arc::new(VenueMetrics { venue: venue.to_owned(), ..VenueMetrics::default() });
        lock(&self.venues).push(Arc::clone(&v));
        v
    }

    /// The venues.
    pub fn venues(&self) -> Vec<Arc<VenueMetrics>> {
        lock(&self.venues).clone()
    }

    /// The control thread's life sign, with the wall clock; about once a second. Rates are taken between two of them.
    pub fn tick(&self, now_ns: i64) {
        let since = now_ns - self.now.get();
        for l in self.lanes() {
            let frames = i64::try_from(l.reader.frames.get()).unwrap_or(i64::MAX);
            if since > 0 && self.now.get() != 0 {
                let new = i128::from(frames - l.frames_at_tick.get()) * i128::from(NS_PER_S);
                l.rate.set(i64::try_from(new / i128::from(since)).unwrap_or(0));
            }
            l.frames_at_tick.set(frames);
        }
        self.now.set(now_ns);
        self.ticked_ms.set(i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX));
    }

    /// Why the process is not alive, if it is not: its control thread hangs.
    pub fn not_alive(&self) -> Option<String> {
        let up_ms = self.started.elapsed().as_millis();
        let silent_s = up_ms.saturating_sub(self.ticked_ms.get().unsigned_abs().into()) / 1000;
        (silent_s > u128::from(TICK_LIMIT_S))
            .then(|| format!("the control thread gave no sign of life for {silent_s} s"))
    }

    /// Why the capture is not ready, if it is not: not running, or a venue of which nobody knows what it lists, or a lane that hears nothing, or no book is proven.
    pub fn not_ready(&self) -> Option<String> {
        if let Some(why) = self.not_alive() {
            return Some(why);
        }
        if let Some(why) = self.storage.trouble() {
            return Some(format!("storage: {why}"));
        }
        if let Some(v) = self.venues().iter().find(|v| v.list_waits.get() != 0) {
            return Some(format!("{}: its instrument list does not come", v.venue));
        }
        if let Some((v, why)) = self.venues().iter().map(|v| (v, v.unfit())).find(|(_, why)| !why.is_empty())
        {
            return Some(format!("{}: its instrument list does not fit: {why}", v.venue));
        }
        if self.state() != State::Running {
            return Some(format!("state {:?}", self.state()));
        }
        let now = self.now.get();
        let silent = 10 * NS_PER_S;
        for l in self.lanes() {
            let streams = l.streams();
            let last = streams.iter().map(|s| s.last_recv.get()).max();
            if let Some(last) = last.filter(|last| now - last > silent) {
                let since =
                    if last == 0 { "ever".to_owned() } else { format!("for {} s", (now - last) / NS_PER_S) };
                return Some(format!("lane {} has heard nothing {since}", l.lane));
            }
            let books = l.books();
            let synced = books.iter().filter(|b| b.state() == BookState::Synced).count();
            if synced * 2 < books.len() {
                return Some(format!("lane {}: {synced} of {} books are proven", l.lane, books.len()));
            }
        }
        None
    }

    /// Everything at once, for `/status`.
    pub fn status(&self) -> Status {
        let now = self.now.get();
        let lanes = self.lanes();
        let books: Vec<BookStatus> = lanes
            .iter()
            .flat_map(|l| l.books())
            .map(|b| BookStatus {
                venue: b.venue.clone(),
                symbol: b.symbol.clone(),
                state: b.state(),
                resyncs: b.resyncs.get(),
                levels: b.levels.get(),
            })
            .collect();
        let streams: Vec<StreamStatus> = lanes
            .iter()
            .flat_map(|l| l.streams().into_iter().map(|s| (l.lane, s)))
            .map(|(lane, s)| StreamStatus {
                lane,
                venue: s.venue.clone(),
                symbol: s.symbol.clone(),
                channel: s.channel.clone(),
                name: s.name.clone(),
                leg: s.leg,
                frames: s.frames.get(),
                gaps: s.gaps.get(),
                wins: s.wins.get(),
                last_recv_age_ns: if s.last_recv.get() == 0 { -1 } else { (now - s.last_recv.get()).max(0) },
            })
            .collect();
        let in_state = |s: BookState| books.iter().filter(|b| b.state == s).count();
        Status {
            build: self.build,
            run_id: self.run_id.clone(),
            dataset: self.dataset.clone(),
            state: self.state(),
            ready: self.not_ready().is_none(),
            not_ready: self.not_ready().unwrap_or_default(),
            now,
            uptime_s: self.started.elapsed().as_secs(),
            books_synced: in_state(BookState::Synced),
            books_stale: in_state(BookState::Stale),
            books_buffering: in_state(BookState::Buffering) + in_state(BookState::Init),
            disk_free: self.disk_free.get(),
            disk_total: self.disk_total.get(),
            rss: self.rss.get(),
            journal_bytes: self.journal_bytes.get(),
            disk_reserve: self.storage.reserve.get(),
            disk_rung: self.storage.rung.get(),
            streams_shed: self.storage.shed_now.get(),
            storage: self.storage.trouble().unwrap_or_default(),
            lanes: lanes.iter().map(|l| l.status(now)).collect(),
            venues: self.venues().iter().map(|v| VenueStatus::of(v, &lanes)).collect(),
            books,
            streams,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Writes;

    fn running() -> (Shared, Arc<LaneMetrics>, Arc<StreamMetrics>, Arc<BookMetrics>) {
        let s = Shared::new("run", "data");
        let lane = s.add_lane(1);
        let stream = lane.add_stream(StreamMetrics { venue: "v".to_owned(), ..StreamMetrics::default() });
        let book = lane.add_book(BookMetrics::new("v", "S"));
        s.set_state(State::Running);
        (s, lane, stream, book)
    }

    #[test]
    fn readiness_says_why_not() {
        let (s, _, stream, book) = running();
        s.tick(100 * NS_PER_S);
        assert_eq!(s.not_ready().as_deref(), Some("lane 1 has heard nothing ever"));
        stream.last_recv.set(99 * NS_PER_S);
        assert_eq!(s.not_ready().as_deref(), Some("lane 1: 0 of 1 books are proven"));
        book.set_state(BookState::Synced);
        assert_eq!(s.not_ready(), None);
        let v = s.add_venue("v");
        v.list_waits.set(1);
        assert_eq!(s.not_ready().as_deref(), Some("v: its instrument list does not come"));
        assert!(s.status().venues[0].waits_for_list);
        v.list_waits.set(0);
        assert_eq!(s.not_ready(), None);
        v.set_unfit("not listed: S");
        assert_eq!(s.not_ready().as_deref(), Some("v: its instrument list does not fit: not listed: S"));
        assert!(s.status().venues[0].waits_for_list);
        v.set_unfit("");
        assert_eq!(s.not_ready(), None);
        s.tick(120 * NS_PER_S);
        assert_eq!(s.not_ready().as_deref(), Some("lane 1 has heard nothing for 21 s"));
        assert_eq!(s.state(), State::Running);
        s.storage.set(Writes::Converter, Some("no space".to_owned()));
        assert_eq!(s.state(), State::StorageFailed);
        assert_eq!(s.not_ready().as_deref(), Some("storage: no space"));
    }

    #[test]
    fn rates_are_taken_between_ticks() {
        let (s, lane, _, _) = running();
        lane.reader.frames.add(5);
        s.tick(10 * NS_PER_S);
        lane.reader.frames.add(3000);
        s.tick(12 * NS_PER_S);
        assert_eq!(lane.frames_per_s(), 1500);
    }

    #[test]
    fn status_shows_what_was_counted() {
        let (s, lane, stream, book) = running();
        stream.frames.add(7);
        lane.reader.rx.set(41, 5 * NS_PER_S);
        lane.count_gap(GapCause::VenueSeqGap);
        book.set_state(BookState::Stale);
        s.add_venue("v");
        for lane in [&lane, &s.add_lane(2)] {
            let p = lane.add_parser("v");
            p.quick.add(20);
            p.fallback.add(1);
        }
        s.tick(6 * NS_PER_S);
        let st = s.status();
        assert_eq!((st.books_synced, st.books_stale), (0, 1));
        assert_eq!(st.lanes[0].gaps.get("venue_seq_gap"), Some(&1));
        let v = &st.venues[0];
        assert_eq!((v.frames_quick, v.frames_general, v.frames_fallback), (40, 0, 2));
        assert_eq!((st.lanes[0].marks.rx, st.lanes[0].marks.rx_age_ns), (41, NS_PER_S));
        assert_eq!((st.lanes[0].marks.published, st.lanes[0].marks.published_age_ns), (-1, 0));
        assert_eq!((st.streams[0].frames, st.streams[0].last_recv_age_ns), (7, -1));
        lane.remove_books(|b| b.symbol == "S");
        assert_eq!(s.status().books.len(), 0);
    }
}
