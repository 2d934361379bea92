//! One lane: a reader thread with its sockets, its raw ring and its live fold.
//!
//! Everything that changes the lane's state enters the ring first, with the next `lane_seq`, and is then folded. After
//! start the frame path takes no lock, formats nothing and allocates nothing of ours.

mod candles;
mod events;
mod figures;
mod saying;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use rustc_hash::FxHashMap;

use self::candles::Candles;
use self::events::LiveEvents;
use super::messages::{Audited, FromLane, OpenLink, RestBody, ToLane, beginning};
use super::subscribing::Subscribing;
use crate::bus::event::EventProducer;
use crate::bus::raw::{PushError, RawProducer};
use crate::fold::{Effect, Fold, FoldSink, Observed};
use crate::metrics::{BookMetrics, Hop, LaneMetrics, ParserMetrics, Recorder, StreamMetrics};
use crate::model::control::{PlanNote, to_payload};
use crate::model::record::{FLAG_BINARY, FLAG_STALLED};
use crate::model::{
    ConnEvent, ConnId, GapCause, GapNote, Head, InstrumentId, InstrumentVersion, Kind, LaneClock, LaneId,
    Record, RowRef, RunStart, RunStop, StreamId, StreamSpec, Subscribed, TimerEvent,
};
use crate::wire::clock;
use crate::wire::reader::{CloseInfo, ClosePhase, ConnectRequest, Handler, Reader, Stamps};

/// While a ring is this full, sockets are not read: TCP pushes back.
const FULL: f64 = 0.75;
/// How long a lane sleeps at most, so that boundaries and timers come in time.
const NAP: Duration = Duration::from_millis(50);

/// Counters of a stream, by leg.
type ByLeg = [Option<Arc<StreamMetrics>>; 2];

/// A connection as the lane knows it.
struct Live {
    link: Box<OpenLink>,
    next_rseq: i64,
    opened: bool,
    /// How many of its streams are neither confirmed nor heard, where the venue confirms.
    lacks: usize,
    /// Topics that go out one message after the other's answer.
    subscribing: Option<Subscribing>,
}

/// What the live fold wants done, kept until the step is over.
struct Wishes {
    out: Vec<FromLane>,
    /// Instruments, and in how many ns.
    leg_waits: Vec<(InstrumentId, i64)>,
    gaps: Vec<(StreamId, GapCause)>,
    /// Streams that their venue confirmed.
    confirmed: Vec<StreamId>,
    /// Streams whose ids are another thing than before: what they were taken for, and what they are.
    classes: Vec<(StreamId, &'static str, &'static str)>,
    /// Frames that could not be read, of streams or of none.
    unread: figures::Unread,
    /// Connections whose venue pinged by a message.
    pongs: Vec<ConnId>,
    /// Answers that name nothing, with their codes.
    answers: Vec<(ConnId, i64, String)>,
    /// The frame at hand came because we asked for it.
    is_answer: bool,
    /// It says yes or no to a message of ours: no word of the stream that it names.
    is_reply: bool,
    lane: LaneId,
    parsed_mono: i64,
    symbols: Vec<(String, String)>,
    live: LiveEvents,
    candles: Candles,
    metrics: Arc<LaneMetrics>,
}

impl Wishes {
    fn new(lane: LaneId, live: LiveEvents, metrics: Arc<LaneMetrics>) -> Wishes {
        Wishes {
            out: Vec::new(),
            leg_waits: Vec::new(),
            gaps: Vec::new(),
            confirmed: Vec::new(),
            classes: Vec::new(),
            unread: figures::Unread::default(),
            pongs: Vec::new(),
            answers: Vec::new(),
            is_answer: false,
            is_reply: false,
            lane,
            parsed_mono: 0,
            symbols: Vec::new(),
            live,
            candles: Candles::default(),
            metrics,
        }
    }
}

impl FoldSink for Wishes {
    const ROWS: bool = false;
    const LIVE: bool = true;
    fn row(&mut self, _: &Head, _: RowRef<'_>) {}

    fn instrument(&mut self, id: InstrumentId, v: &InstrumentVersion) {
        if self.symbols.len() == id.ix() {
            self.symbols.push((v.venue.clone(), v.symbol.clone()));
            self.metrics.add_instrument(v.key());
        }
        self.live.instrument(id, v);
    }

    #[inline]
    fn observe(&mut self, what: Observed<'_>) {
        if let Observed::Candle(conn, k) = what {
            self.candles.see(conn, k);
        }
        self.live.observe(what);
    }

    #[inline]
    fn parsed(&mut self) {
        if self.parsed_mono == 0 {
            self.parsed_mono = clock::mono_ns();
        }
    }

    fn effect(&mut self, effect: Effect<'_>) {
        match effect {
            Effect::NeedSnapshot { venue, symbol, attempt, conn, .. } => {
                self.out.push(FromLane::NeedSnapshot {
                    lane: self.lane,
                    venue: venue.to_owned(),
                    symbol: symbol.to_owned(),
                    attempt,
                    conn,
                })
            }
            Effect::Synced { instrument } => {
                self.live.synced(instrument);
                if let Some((venue, symbol)) = self.symbols.get(instrument.ix()).cloned() {
                    self.out.push(FromLane::Synced { venue, symbol });
                }
            }
            Effect::Successor { conn, venue, symbol } => self.out.push(FromLane::Successor {
                lane: self.lane,
                conn,
                venue: venue.to_owned(),
                symbol: symbol.to_owned(),
            }),
            Effect::Compared { instrument, ahead } => {
                if let Some((venue, symbol)) = self.symbols.get(instrument.ix()).cloned() {
                    self.out.push(FromLane::Compared { venue, symbol, ahead });
                }
            }
            Effect::Loaded { instrument } => {
                if let Some((venue, symbol)) = self.symbols.get(instrument.ix()).cloned() {
                    self.out.push(FromLane::Loaded { venue, symbol });
                }
            }
            Effect::Answer => self.is_answer = true,
            Effect::Audited { instrument, verdict, seq, compared, wrong } => {
                if let Some((venue, symbol)) = self.symbols.get(instrument.ix()).cloned() {
                    let audit = Audited { venue, symbol, verdict, seq, compared, wrong };
                    self.out.push(FromLane::Audited(audit));
                }
            }
            Effect::Gap { stream, cause } => self.gaps.push((stream, cause)),
            Effect::Class { stream, was, class } => self.classes.push((stream, was, class)),
            Effect::Rejected { venue, stream, detail } => self.unread.note(venue, stream, detail),
            Effect::Confirmed { stream } => {
                self.is_reply = true;
                self.confirmed.push(stream);
            }
            Effect::LegWait { instrument, after_ns } => self.leg_waits.push((instrument, after_ns)),
            Effect::Listing { venue } => self.out.push(FromLane::Listing { venue }),
            Effect::Replace { conn } => self.out.push(FromLane::Replace { conn }),
            Effect::Refused { conn, code, stream, text } => {
                self.is_reply = true;
                let (stream, said) = (stream.to_owned(), beginning(text));
                self.out.push(FromLane::Refused { conn, code, stream, said });
            }
            Effect::Pong { conn } => self.pongs.push(conn),
            Effect::Answered { conn, code, text } => {
                // Nobody asks what is said of what is well.
                let said = if code == 0 { String::new() } else { beginning(text) };
                self.answers.push((conn, code, said));
            }
        }
    }
}

/// What a lane is made of.
pub struct LaneParts {
    /// Its ring.
    pub ring: RawProducer,
    /// Its numbering, going on from the last run.
    pub clock: LaneClock,
    /// From control.
    pub orders: Receiver<ToLane>,
    /// To control.
    pub reports: Sender<FromLane>,
    /// What it counts.
    pub metrics: Arc<LaneMetrics>,
    /// Its latencies.
    pub recorder: Recorder,
    /// For live subscribers.
    pub events: EventProducer,
}

/// The lane's side of the reader.
pub struct Lane {
    ring: RawProducer,
    clock: LaneClock,
    fold: Fold,
    wishes: Wishes,
    conns: FxHashMap<u64, Live>,
    /// REST connections that the lane has heard of.
    rest_conns: FxHashMap<ConnId, i64>,
    reports: Sender<FromLane>,
    unsent: std::collections::VecDeque<FromLane>,
    leg_waits: Vec<(i64, InstrumentId)>,
    metrics: Arc<LaneMetrics>,
    recorder: Recorder,
    /// Latency series and counters per fold stream.
    series: Vec<Option<(u32, ByLeg)>>,
    /// Counters of the streams that were subscribed, by venue, name and leg.
    counted: Vec<(&'static str, String, Arc<StreamMetrics>)>,
    /// What each venue's streams are.
    plans: Vec<PlanNote>,
    /// Books whose size is shown.
    books: Vec<Arc<BookMetrics>>,
    /// Counters of the ways in which a venue's frames are read.
    parsers: Vec<Arc<ParserMetrics>>,
    others_told: u64,
    figures_at: i64,
    /// Connections that were opened for a venue whose subscriptions go one by one.
    subscribing: usize,
    stopping: bool,
    run_id: String,
    last_flush: i64,
}

impl Lane {
    /// A lane that has begun its run, after the gap of the crash before it, if there was one.
    pub fn new(parts: LaneParts, run: &RunStart, crash: Option<GapNote>) -> (Lane, Receiver<ToLane>) {
        let lane_id = parts.clock.lane();
        let mut lane = Lane {
            ring: parts.ring,
            clock: parts.clock,
            fold: Fold::new(lane_id),
            wishes: Wishes::new(lane_id, LiveEvents::new(parts.events), Arc::clone(&parts.metrics)),
            conns: FxHashMap::default(),
            rest_conns: FxHashMap::default(),
            reports: parts.reports,
            unsent: std::collections::VecDeque::new(),
            leg_waits: Vec::new(),
            metrics: parts.metrics,
            recorder: parts.recorder,
            series: Vec::new(),
            counted: Vec::new(),
            plans: Vec::new(),
            books: Vec::new(),
            parsers: Vec::new(),
            others_told: 0,
            figures_at: 0,
            subscribing: 0,
            stopping: false,
            run_id: run.run_id.clone(),
            last_flush: 0,
        };
        let now = Stamps::now();
        if let Some(gap) = crash {
            let at = Stamps { ts_recv: gap.ts_begin, ..now };
            lane.control(Kind::Gap, 0, &at, "", &to_payload(&gap));
        }
        lane.control(Kind::Run, 0, &now, "", &to_payload(run));
        (lane, parts.orders)
    }

    /// Runs until a stop order.
    ///
    /// # Errors
    /// `epoll` itself failed.
    pub fn run(&mut self, reader: &mut Reader, orders: &Receiver<ToLane>) -> std::io::Result<()> {
        while !self.stopping {
            while let Ok(order) = orders.try_recv() {
                self.order(reader, order);
                if self.stopping {
                    break;
                }
            }
            self.timers();
            self.send_reports();
            if !self.stopping {
                reader.poll_once(self, NAP)?;
                self.send_pongs(reader);
                self.figures(reader);
                self.hear_answers();
                self.subscribe_next(reader);
            }
        }
        self.recorder.flush();
        self.figures(reader);
        self.report(FromLane::Stopped { lane: self.clock.lane() });
        // The last words must arrive: control waits for them.
        while let Some(m) = self.unsent.pop_front() {
            if self.reports.send(m).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// A connection that something else than the reader opens.
    #[cfg(test)]
    pub(super) fn adopt(&mut self, link: Box<OpenLink>) {
        self.conns.insert(link.conn as u64, Live::new(link, None));
    }

    /// The live fold, to look at.
    #[cfg(test)]
    pub(super) fn fold(&self) -> &Fold {
        &self.fold
    }

    /// Answers pings that came as messages, before the next read.
    fn send_pongs(&mut self, reader: &mut Reader) {
        while let Some(conn) = self.wishes.pongs.pop() {
            let pong = self.conns.get(&(conn as u64)).and_then(|l| l.link.pong);
            if let Some(text) = pong {
                // Too much waits already: then the rate limit holds, and the next ping is answered.
                let _ = reader.send(conn as u64, text.to_owned());
            }
        }
    }

    pub(super) fn order(&mut self, reader: &mut Reader, order: ToLane) {
        let now = Stamps::now();
        match order {
            ToLane::Send { conn, text } => self.say(reader, conn, text),
            ToLane::Open(link, request) => self.open(reader, link, *request),
            ToLane::Close { conn, why } => {
                if let Some(l) = self.conns.get(&(conn as u64)) {
                    let e = event(&l.link, "retire", "", why);
                    self.control(Kind::Connection, conn, &now, "", &e);
                    reader.close(conn as u64, 1000, "");
                }
            }
            ToLane::Plan(note) => self.plan(note, &now),
            ToLane::Silent { conn, stream, last_recv } => self.silent(conn, stream, last_recv, &now),
            ToLane::Served { conn, stream } => {
                let t = TimerEvent::Served { stream };
                self.control(Kind::Timer, conn, &now, "", &to_payload(&t));
            }
            ToLane::Books { venue, books } => {
                self.books.retain(|b| b.venue != venue);
                self.books.extend(books);
            }
            ToLane::Rest(body) => self.rest(&body, &now),
            ToLane::Instruments(list) => {
                for v in list {
                    self.control(Kind::Instrument, 0, &now, "", &to_payload(&v));
                }
            }
            ToLane::Await(s) => self.control(Kind::Subscription, 0, &now, "", &to_payload(&*s)),
            ToLane::Timer(t) => self.control(Kind::Timer, 0, &now, "", &to_payload(&t)),
            ToLane::Latency(notes) => {
                for n in notes {
                    self.control(Kind::Latency, 0, &now, "", &to_payload(&n));
                }
            }
            ToLane::Stop => {
                let stop =
                    RunStop { run_id: self.run_id.clone(), ts_stop: now.ts_recv, exit: "clean".to_owned() };
                self.control(Kind::Stop, 0, &now, "", &to_payload(&stop));
                self.stopping = true;
            }
        }
    }

    fn plan(&mut self, note: PlanNote, now: &Stamps) {
        self.control(Kind::Config, 0, now, "", &to_payload(&note));
        self.counted.retain(|(v, name, _)| *v != note.venue || note.streams.contains(name));
        // Streams are met again, with the counters that they have now.
        self.series.iter_mut().for_each(|s| *s = None);
        self.plans.retain(|p| p.venue != note.venue);
        self.plans.push(note);
    }

    fn silent(&mut self, conn: ConnId, stream: String, last_recv: i64, now: &Stamps) {
        let Some(live) = self.conns.get(&(conn as u64)) else { return };
        let venue = live.link.venue;
        let heard = self.counted.iter().filter(|(v, n, _)| *v == venue && *n == stream);
        if heard.map(|(_, _, m)| m.last_recv.get()).max() == Some(last_recv) {
            let t = TimerEvent::Silent { stream };
            self.control(Kind::Timer, conn, now, "", &to_payload(&t));
        }
    }

    /// Streams of a connection that end with it: those that the plan does not name any more, and those that the disk has no
    /// room for.
    fn unwanted(&self, link: &OpenLink) -> (Vec<String>, Vec<String>) {
        let Some(plan) = self.plans.iter().find(|p| p.venue == link.venue) else { return Default::default() };
        let names = || link.carried.streams().iter().map(|s| s.name.clone());
        let remove = names().filter(|n| !plan.streams.contains(n)).collect();
        (remove, names().filter(|n| plan.shed.contains(n)).collect())
    }

    fn open(&mut self, reader: &mut Reader, link: Box<OpenLink>, mut request: ConnectRequest) {
        let (token, conn) = (request.token, link.conn);
        let venue = crate::venue::by_id(link.venue).map(|v| v.1);
        let subscribing = venue.filter(|v| v.spec().topics_per_message > 0).map(|v| {
            request.subscribe.clear();
            self.subscribing += 1;
            Subscribing::new(v, link.tuning.clone(), link.carried.streams().iter().map(|s| s.name.clone()))
        });
        match reader.open(request) {
            Ok(()) => {
                self.conns.insert(token, Live::new(link, subscribing));
            }
            Err(e) => self.report(FromLane::Unopened { conn, why: e.to_string() }),
        }
    }

    fn rest(&mut self, b: &RestBody, now: &Stamps) {
        let rseq = match self.rest_conns.get_mut(&b.conn) {
            Some(n) => {
                *n += 1;
                *n
            }
            None => {
                let e = ConnEvent {
                    event: "open".to_owned(),
                    venue: b.venue.to_owned(),
                    leg: 0,
                    slot: u32::MAX,
                    code: 0,
                    cause: String::new(),
                    answered: false,
                    detail: "REST".to_owned(),
                };
                self.control(Kind::Connection, b.conn, now, "", &to_payload(&e));
                self.rest_conns.insert(b.conn, 0);
                0
            }
        };
        self.push(Kind::Rest, 0, (b.conn, rseq), now, b.status, &b.url, &b.body, true);
    }

    fn control(&mut self, kind: Kind, conn: ConnId, at: &Stamps, url: &str, payload: &[u8]) {
        self.push(kind, 0, (conn, -1), at, 0, url, payload, true);
    }

    /// The one way in: the ring first, then the fold.
    #[allow(
        clippy::too_many_arguments,
        reason = "the fields of a record; a struct would be built to be taken apart"
    )]
    fn push(
        &mut self,
        kind: Kind,
        flags: u8,
        (conn, rseq): (ConnId, i64),
        at: &Stamps,
        status: i32,
        url: &str,
        payload: &[u8],
        control: bool,
    ) {
        if self.stopping {
            return;
        }
        self.boundaries(at);
        let rec = Record {
            kind,
            flags,
            lane: self.clock.lane(),
            status,
            conn,
            lane_seq: self.clock.take_seq(),
            rseq,
            ts_kernel: at.ts_kernel,
            ts_mono: at.ts_mono,
            ts_recv: at.ts_recv,
            url,
            payload,
        };
        self.enter(&rec, control);
    }

    fn enter(&mut self, rec: &Record<'_>, control: bool) {
        let mut pushed = if control { self.ring.push_control(rec) } else { self.ring.push(rec) };
        while let Err(PushError::Full) = pushed {
            // Sockets are not read while the ring is nearly full, so this is rare: the journal is behind. A record
            // must not be lost, and its number is taken: the lane waits, as TCP then makes the venue wait. Too large is
            // nothing here: the wire's limits and `LANE_BODY_MAX` are below what the least ring takes.
            std::thread::yield_now();
            pushed = self.ring.push_control(rec);
        }
        if rec.kind != Kind::Frame {
            self.fold.step(rec, &mut self.wishes);
            self.wishes.live.publish(rec, &self.fold);
            self.after_step(rec.conn);
        }
    }

    fn boundaries(&mut self, at: &Stamps) {
        while let Some(b) = self.clock.boundary_due(at.ts_recv) {
            let payload = self.clock.boundary_payload(b);
            let rec = self.clock.boundary_record(b, at.ts_mono, &payload);
            self.enter(&rec, true);
        }
    }

    /// `conn`: where the record came from.
    fn after_step(&mut self, conn: ConnId) {
        for (id, after_ns) in self.wishes.leg_waits.drain(..) {
            if !self.leg_waits.iter().any(|(_, i)| *i == id) {
                self.leg_waits.push((clock::mono_ns() + after_ns, id));
            }
        }
        for (stream, cause) in std::mem::take(&mut self.wishes.gaps) {
            self.metrics.count_gap(cause);
            if let Some(m) = self.counters(stream) {
                m.gaps.add(1);
            }
        }
        for stream in std::mem::take(&mut self.wishes.confirmed) {
            if let Some(m) = self.counters(stream) {
                m.confirmed.add(1);
            }
            self.hear(conn, stream);
        }
        for m in std::mem::take(&mut self.wishes.out) {
            if let FromLane::Refused { conn, stream, .. } = &m {
                self.hear_refusal(*conn, stream);
            }
            self.report(m);
        }
    }

    fn report(&mut self, m: FromLane) {
        self.unsent.push_back(m);
    }

    pub(super) fn send_reports(&mut self) {
        while let Some(m) = self.unsent.pop_front() {
            match self.reports.try_send(m) {
                Ok(()) => {}
                Err(TrySendError::Full(m)) => {
                    self.unsent.push_front(m);
                    break;
                }
                Err(TrySendError::Disconnected(_)) => break,
            }
        }
    }

    pub(super) fn timers(&mut self) {
        let now = Stamps::now();
        self.boundaries(&now);
        let due: Vec<InstrumentId> =
            self.leg_waits.iter().filter(|(at, _)| *at <= now.ts_mono).map(|(_, id)| *id).collect();
        for id in due {
            self.leg_waits.retain(|(_, i)| *i != id);
            if let Some((venue, symbol)) = self.wishes.symbols.get(id.ix()) {
                let t = TimerEvent::LegWait { instrument: format!("{venue}:{symbol}") };
                self.control(Kind::Timer, 0, &now, "", &to_payload(&t));
            }
        }
        if now.ts_mono - self.last_flush > 250_000_000 {
            self.last_flush = now.ts_mono;
            self.recorder.flush();
            let c = self.fold.counters();
            let m = &self.metrics.reader;
            m.rejects.add(c.rejects.saturating_sub(m.rejects.get()));
        }
    }

    /// Counters for streams that are new on this lane.
    fn count_streams(&mut self, venue: &'static str, leg: u8, streams: &[StreamSpec]) {
        for s in streams {
            if self.counted.iter().any(|(v, n, m)| *v == venue && *n == s.name && m.leg == leg) {
                continue;
            }
            let m = self.metrics.add_stream(StreamMetrics {
                venue: venue.to_owned(),
                symbol: s.symbol.clone().unwrap_or_default(),
                channel: s.channel.clone(),
                name: s.name.clone(),
                leg,
                ..StreamMetrics::default()
            });
            self.counted.push((venue, s.name.clone(), m));
            // Met again, with this leg's counters.
            self.series.iter_mut().for_each(|s| *s = None);
        }
    }

    /// Finds a stream's series and counters; on the stream's first frame only.
    /// The series of a frame's stream; counts the frame.
    #[inline]
    fn series(&mut self, id: StreamId, rec: &Record<'_>, (leg, won_by): (u8, i8)) -> u32 {
        let is_answer = std::mem::take(&mut self.wishes.is_answer);
        if id == StreamId::NONE {
            return self.recorder.stream("", "");
        }
        if !matches!(self.series.get(id.0 as usize), Some(Some(_))) {
            self.meet(id);
        }
        match self.series.get(id.0 as usize) {
            Some(Some((series, counters))) => {
                if let Some(Some(m)) = counters.get(usize::try_from(won_by).unwrap_or(2)) {
                    m.wins.add(1);
                }
                if let Some(Some(m)) = counters.get(usize::from(leg)) {
                    m.frames.add(1);
                    m.bytes.add(rec.payload.len() as u64);
                    if !is_answer {
                        m.last_recv.set(rec.ts_recv);
                    }
                }
                *series
            }
            _ => self.recorder.stream("", ""),
        }
    }
}

impl Handler for Lane {
    fn may_read(&self) -> bool {
        self.ring.fill_ratio() < FULL
    }

    fn on_open(&mut self, token: u64, at: &Stamps) {
        let Some(live) = self.conns.get_mut(&token) else { return };
        live.opened = true;
        let (conn, url) = (live.link.conn, live.link.url.clone());
        let (venue, leg, streams) = (live.link.venue, live.link.leg, live.link.carried.streams().to_vec());
        let open = event(&live.link, "open", "", "");
        let add =
            Subscribed { venue: live.link.venue.to_owned(), add: streams.clone(), ..Subscribed::default() };
        self.count_streams(venue, leg, &streams);
        self.control(Kind::Connection, conn, at, &url, &open);
        self.control(Kind::Subscription, conn, at, "", &to_payload(&add));
        self.report(FromLane::Opened { conn });
    }

    #[inline]
    fn on_message(&mut self, token: u64, at: &Stamps, binary: bool, payload: &[u8]) {
        let Some(live) = self.conns.get_mut(&token) else { return };
        let (conn, rseq, leg, lacks) = (live.link.conn, live.next_rseq, live.link.leg, live.lacks > 0);
        live.next_rseq += 1;
        if self.stopping {
            return;
        }
        self.boundaries(at);
        let flags = if binary { FLAG_BINARY } else { 0 } | if at.stalled { FLAG_STALLED } else { 0 };
        let rec = Record {
            kind: Kind::Frame,
            flags,
            lane: self.clock.lane(),
            status: 0,
            conn,
            lane_seq: self.clock.take_seq(),
            rseq,
            ts_kernel: at.ts_kernel,
            ts_mono: at.ts_mono,
            ts_recv: at.ts_recv,
            url: "",
            payload,
        };
        self.enter(&rec, false);
        let ring_mono = clock::mono_ns();
        (self.wishes.parsed_mono, self.wishes.is_reply) = (0, false);
        self.fold.step(&rec, &mut self.wishes);
        self.wishes.live.publish(&rec, &self.fold);
        let applied_mono = clock::mono_ns();
        let m = &self.metrics.reader;
        m.frames.add(1);
        m.bytes.add(payload.len() as u64);
        m.rx.set(rec.lane_seq, rec.ts_recv);
        if at.stalled {
            m.stalls.add(1);
        }
        if lacks && !self.wishes.is_answer && !self.wishes.is_reply {
            self.hear(conn, self.fold.last().stream);
        }
        self.latencies(&rec, leg, ring_mono, applied_mono);
        let w = &self.wishes;
        let has_none = w.out.is_empty() && w.gaps.is_empty() && w.leg_waits.is_empty();
        if !has_none || !w.confirmed.is_empty() {
            self.after_step(conn);
        }
    }

    fn on_pong(&mut self, token: u64, at: &Stamps, _payload: &[u8]) {
        if let Some(live) = self.conns.get(&token) {
            let (conn, e) = (live.link.conn, event(&live.link, "pong", "", ""));
            self.control(Kind::Connection, conn, at, "", &e);
        }
    }

    fn on_ping(&mut self, token: u64, at: &Stamps, _payload: &[u8]) {
        if let Some(live) = self.conns.get(&token) {
            let (conn, e) = (live.link.conn, event(&live.link, "ping", "", ""));
            self.control(Kind::Connection, conn, at, "", &e);
        }
    }

    fn on_sent(&mut self, token: u64, at: &Stamps, text: &str) {
        if let Some(live) = self.conns.get(&token) {
            let (conn, venue) = (live.link.conn, live.link.venue);
            self.control(Kind::Sent, conn, at, "", text.as_bytes());
            self.tell_sent(conn, venue, text);
        }
    }

    fn on_close(&mut self, token: u64, at: &Stamps, info: &CloseInfo) {
        let Some(live) = self.conns.remove(&token) else { return };
        let (remove, shed) = if live.opened { self.unwanted(&live.link) } else { Default::default() };
        if !remove.is_empty() || !shed.is_empty() {
            let ends =
                Subscribed { venue: live.link.venue.to_owned(), remove, shed, ..Subscribed::default() };
            self.control(Kind::Subscription, live.link.conn, at, "", &to_payload(&ends));
        }
        let word = if live.opened { "close" } else { "failed" };
        let detail = match (info.reason.as_str(), info.phase) {
            ("", ClosePhase::Open) => info.detail.clone(),
            ("", _) => info.detail.clone(),
            (r, _) => format!("{}: {r}", info.detail),
        };
        let e = ConnEvent {
            event: word.to_owned(),
            venue: live.link.venue.to_owned(),
            leg: live.link.leg,
            slot: live.link.slot,
            code: i32::from(info.code),
            cause: info.cause.as_str().to_owned(),
            answered: info.answered,
            detail,
        };
        let url = live.link.url.clone();
        self.control(Kind::Connection, live.link.conn, at, &url, &to_payload(&e));
        self.report(FromLane::Closed { conn: live.link.conn, info: info.clone() });
    }
}

impl Lane {
    #[inline]
    fn latencies(&mut self, rec: &Record<'_>, leg: u8, ring_mono: i64, applied_mono: i64) {
        let last = self.fold.last();
        let series = self.series(last.stream, rec, (leg, last.won_by));
        let parsed = if self.wishes.parsed_mono == 0 { applied_mono } else { self.wishes.parsed_mono };
        let r = &mut self.recorder;
        let sent = if last.ts_send != 0 { last.ts_send } else { last.ts_event };
        if sent != 0 {
            r.record(series, Hop::VenueReceive, rec.ts_recv - sent);
        }
        if rec.ts_kernel != 0 {
            r.record(series, Hop::KernelRead, rec.ts_recv - rec.ts_kernel);
        }
        r.record(series, Hop::ReadRing, ring_mono - rec.ts_mono);
        r.record(series, Hop::RingParsed, parsed - ring_mono);
        r.record(series, Hop::ParsedApplied, applied_mono - parsed);
    }
}

fn event(link: &OpenLink, word: &str, cause: &str, detail: &str) -> Vec<u8> {
    to_payload(&ConnEvent {
        event: word.to_owned(),
        venue: link.venue.to_owned(),
        leg: link.leg,
        slot: link.slot,
        code: 0,
        cause: cause.to_owned(),
        answered: false,
        detail: detail.to_owned(),
    })
}
