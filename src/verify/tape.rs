//! The second pass: each lane's records in order. Is every one there once, what was subscribed, and how long did each
//! connection live. What a stream may claim as proven is worked out here from the records alone.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::facts::{Facts, FrameId};
use super::pace::Pace;
use super::report::{CheckId, Report};
use super::spans::Spans;
use super::{Options, Progress, VerifyError};
use crate::dataset::raw::{self, RawLane};
use crate::dataset::{Dataset, DatasetError, Manifest, Table};
use crate::instrument::DELISTED;
use crate::model::control::{PlanNote, from_payload};
use crate::model::record::LATE_NS;
use crate::model::{
    ConnEvent, ConnId, GapNote, Kind, LaneId, Listed, Record, RunStart, StreamKind, Subscribed, TimerEvent,
    time,
};

/// How much later than its limit a silence may be noticed: a lane looks every 50 ms, a busy machine later.
const NOTICE_NS: i64 = 2 * time::NS_PER_S;
/// Silence that is believed of a connection while the recorder stood still.
const STOOD_NS: i64 = 6 * time::NS_PER_S;

/// The fold's rules from which on imports tell silences as gaps.
const SILENCES_TOLD: u32 = 4;
/// Those from which on the kernel's stamps say when something that was read late had come.
const LATE_TOLD: u32 = 5;
/// Those from which on a gap by the recorder's own end does not outlast its next start.
const STARTS_TOLD: u32 = 6;

/// A frame that the first pass wants to know more of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looked {
    /// Which stream it is of, an index into [`Tape::streams`].
    pub stream: usize,
    /// `ts_recv` of the frame of the same stream before it on the same connection; 0 if it was the first.
    pub before: i64,
    /// The interval boundary before it.
    pub boundary: i64,
    /// Since when its connection carries the stream. It may have carried it before, and given it up.
    pub since: i64,
}

/// How long a connection carried a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub conn: ConnId,
    pub begin: i64,
    pub end: i64,
}

/// One stream of a lane.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub venue: String,
    pub name: String,
    /// It feeds a book: without one nothing of it is proven.
    pub is_book: bool,
    /// Its ids tell what is missing.
    pub is_chained: bool,
    /// When it was subscribed.
    pub subscribed: Spans,
    /// When it was given up: perhaps taken again in the same nanosecond.
    pub left: Vec<i64>,
    /// When a connection that carried it lived.
    pub alive: Spans,
    /// The connections that carried it.
    pub lives: Vec<Life>,
    /// When it was silent although it never should be; of imports only.
    pub pace: Pace,
    /// Something carried it in this run.
    carried: bool,
    /// Starts of runs that wanted it before anything carried it.
    pub starts: Vec<i64>,
    /// Begin of the subscription that is not over.
    open: Option<i64>,
    /// Connections that carry it now.
    carriers: u32,
}

impl Stream {
    /// A run wants it since then.
    fn wanted(&mut self, since: Option<i64>) {
        // What the run gave up and takes up again was not wanted since its start.
        let is_since = |start: &i64| self.left.last().is_none_or(|left| left < start);
        if let Some(start) = since.filter(|s| !self.carried && self.starts.last() != Some(s) && is_since(s)) {
            self.starts.push(start);
        }
    }

    fn given_up(&mut self, ts: i64) {
        if let Some(begin) = self.open.take() {
            self.subscribed.push(begin, ts);
            self.left.push(ts);
        }
    }
}

/// What a lane's records say.
#[derive(Debug)]
pub(super) struct Tape {
    pub lane: LaneId,
    /// The records begin with the lane's first one: nothing about it is unknown.
    pub whole: bool,
    /// The last boundary or stop: up to here there are rows.
    pub end: i64,
    /// Last record.
    pub last_seq: i64,
    /// Records that were lost before they were published, as the lane's own records say: first and last of each run.
    pub told: Vec<(i64, i64)>,
    pub streams: Vec<Stream>,
    by_name: BTreeMap<(String, String), usize>,
    /// Frames that were asked for.
    pub looked: FxHashMap<FrameId, Looked>,
    /// Stretches that the clock went through twice, or that the lane's own gap records name.
    pub stepped: Spans,
    pub lost: Spans,
    /// Up to here connections lived that were opened before the records that are looked at.
    pub older_until: i64,
}

/// A connection that is open.
struct Conn {
    venue: String,
    /// When its last sign of life was there.
    life: i64,
    /// When its last frame was read: perhaps long after.
    read: i64,
    /// Up to here an interval that ended meanwhile may call it alive: silences are not known before they are too long.
    claim: i64,
    /// Its streams, with the time from which on it lives for each.
    streams: Vec<(usize, i64)>,
    /// Last frame of each stream.
    last: FxHashMap<usize, i64>,
}

/// Frames that the tables ask for.
fn wanted(f: &Facts) -> rustc_hash::FxHashSet<FrameId> {
    let books = f.books.iter().flat_map(|b| {
        b.first.into_iter().chain(b.later.iter().copied()).chain(b.end.map(|(_, frame)| frame))
    });
    let runs = f.runs.values().flatten().map(|r| r.first);
    books.chain(runs).filter(|(_, rseq)| *rseq >= 0).collect()
}

/// Reads every lane.
pub(super) fn read(
    ds: &Dataset,
    m: &Manifest,
    o: &Options,
    f: &Facts,
    report: &mut Report,
    progress: Progress<'_>,
) -> Result<Vec<Tape>, VerifyError> {
    let (first, last) = o.date.as_deref().map_or(("0000", "9999"), |d| (d, d));
    let all: i64 = m.parts().filter(|p| p.table() == Some(Table::Raw) && o.wants(p)).map(|p| p.rows).sum();
    let wanted = wanted(f);
    let (mut done, mut tapes, mut conns) = (0, Vec::new(), BTreeSet::new());
    for lane in raw::lanes_of(ds, m, first, last) {
        let mut r = Reader::new(lane.lane(), &wanted, &mut conns, report, o.venue.is_none());
        r.run(lane, &mut |n| progress("records", done + n, all as u64))?;
        done += r.records;
        tapes.push(r.finish());
    }
    report.count(CheckId::Raw, "lanes", tapes.len() as i64);
    Ok(tapes)
}

struct Reader<'a> {
    tape: Tape,
    wanted: &'a rustc_hash::FxHashSet<FrameId>,
    /// Connections ever opened, over all lanes.
    opened: &'a mut BTreeSet<ConnId>,
    report: &'a mut Report,
    /// Records of other venues are looked at too.
    all_venues: bool,
    next_seq: Option<i64>,
    rseq: FxHashMap<ConnId, i64>,
    conns: BTreeMap<ConnId, Conn>,
    /// Those that live and were opened before.
    older: BTreeSet<ConnId>,
    /// The record before says that the next ones are lost.
    told_lost: bool,
    /// Connections that may have lost frames with them, and since when there may be such that were never opened.
    torn: BTreeSet<ConnId>,
    torn_from: Option<i64>,
    ts_max: i64,
    boundary: i64,
    /// What an older version imported: it called any silence of a recording covered.
    is_old_import: bool,
    is_import: bool,
    /// The fold's rules by which the run was recorded.
    rules: u32,
    /// When the run began.
    start: i64,
    auto_register: bool,
    records: u64,
}

impl<'a> Reader<'a> {
    fn new(
        lane: LaneId,
        wanted: &'a rustc_hash::FxHashSet<FrameId>,
        opened: &'a mut BTreeSet<ConnId>,
        report: &'a mut Report,
        all_venues: bool,
    ) -> Reader<'a> {
        let tape = Tape {
            lane,
            whole: false,
            end: 0,
            last_seq: -1,
            told: Vec::new(),
            streams: Vec::new(),
            by_name: BTreeMap::new(),
            looked: FxHashMap::default(),
            stepped: Spans::default(),
            lost: Spans::default(),
            older_until: i64::MIN,
        };
        Reader {
            tape,
            wanted,
            opened,
            report,
            all_venues,
            next_seq: None,
            rseq: FxHashMap::default(),
            conns: BTreeMap::new(),
            older: BTreeSet::new(),
            told_lost: false,
            torn: BTreeSet::new(),
            torn_from: None,
            ts_max: i64::MIN,
            boundary: i64::MIN,
            is_old_import: false,
            is_import: false,
            rules: STARTS_TOLD,
            start: i64::MAX,
            auto_register: false,
            records: 0,
        }
    }

    fn fault(&mut self, what: impl FnOnce() -> String) {
        let lane = self.tape.lane;
        self.report.fault(CheckId::Raw, "", -1, || format!("lane {lane:03}: {}", what()));
    }

    fn run(&mut self, mut lane: RawLane, progress: &mut dyn FnMut(u64)) -> Result<(), VerifyError> {
        let mut stuck = 0;
        loop {
            match lane.next() {
                Ok(Some((r, stream))) => self.record(&r, stream),
                Ok(None) => break,
                Err(DatasetError::Damaged { path, detail }) => {
                    let file = path.display().to_string();
                    self.report.fault(CheckId::Raw, &file, -1, || detail);
                    // What follows is read; what is missing shows in `lane_seq`.
                    stuck += 1;
                    if stuck > 10_000 {
                        break;
                    }
                }
                // Told by the first pass.
                Err(DatasetError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e.into()),
            }
            if self.records.is_multiple_of(4096) {
                progress(self.records);
            }
        }
        Ok(())
    }

    fn record(&mut self, r: &Record<'_>, stream: &str) {
        self.records += 1;
        self.numbers(r);
        if r.ts_recv < self.ts_max {
            self.tape.stepped.push(r.ts_recv, self.ts_max + 1);
        }
        match r.kind {
            Kind::Frame => {
                self.is_older(r, false);
                self.frame(r, stream);
            }
            Kind::Connection => {
                if let Ok(e) = from_payload::<ConnEvent>(r.payload) {
                    if e.event != "open" {
                        self.is_older(r, !matches!(e.event.as_str(), "ping" | "pong"));
                    }
                    self.connection(r, &e);
                }
            }
            Kind::Subscription => {
                if let Ok(e) = from_payload(r.payload) {
                    self.subscription(r, &e);
                }
            }
            Kind::Config => {
                if let Ok(e) = from_payload(r.payload) {
                    self.plan(r, &e);
                }
            }
            Kind::Run => {
                self.older_end(r.ts_recv);
                self.all_end(|c| c.life);
                if let Ok(e) = from_payload::<RunStart>(r.payload) {
                    self.run_begins(r.ts_recv, &e);
                }
            }
            Kind::Instrument => {
                if let Ok(e) = from_payload(r.payload) {
                    self.listed(&e);
                }
            }
            Kind::Gap => {
                if let Ok(e) = from_payload(r.payload) {
                    self.gap(&e);
                }
            }
            Kind::Stop => {
                let ts = r.ts_recv;
                let is_old = self.is_old_import;
                self.older_end(ts);
                self.all_end(|c| c.end_at(ts, is_old));
                self.tape.end = self.tape.end.max(ts);
            }
            Kind::Timer => {
                if let Ok(TimerEvent::Boundary(b)) = from_payload(r.payload) {
                    self.interval_ends(b.at);
                }
            }
            _ => {}
        }
        self.ts_max = self.ts_max.max(r.ts_recv);
        self.tape.last_seq = self.tape.last_seq.max(r.lane_seq);
    }

    /// A connection says something that was opened before the first record. What speaks carries streams: bodies of REST are
    /// other records.
    fn is_older(&mut self, r: &Record<'_>, ends: bool) {
        if self.tape.whole || self.opened.contains(&r.conn) {
            return;
        }
        if ends && self.older.remove(&r.conn) {
            self.tape.older_until = self.tape.older_until.max(r.ts_recv).max(self.ts_max);
        } else if !ends {
            self.older.insert(r.conn);
        }
    }

    /// None of them lives any longer.
    fn older_end(&mut self, ts: i64) {
        if !std::mem::take(&mut self.older).is_empty() {
            self.tape.older_until = self.tape.older_until.max(ts).max(self.ts_max);
        }
    }

    fn run_begins(&mut self, ts: i64, e: &RunStart) {
        if !e.venues.is_empty() {
            // Nothing is wanted any more of venues that the run leaves out.
            let left = |s: &&mut Stream| !e.venues.contains(&s.venue);
            self.tape.streams.iter_mut().filter(left).for_each(|s| s.given_up(ts));
        }
        (self.rules, self.is_import) = (e.rules_version, e.writer == "import");
        self.start = if e.rules_version >= STARTS_TOLD { e.ts_start } else { i64::MAX };
        self.is_old_import = e.writer == "import" && e.rules_version < SILENCES_TOLD;
        if self.is_old_import {
            let note = "an older version imported this: silences of the recording are called covered";
            self.report.note(CheckId::Coverage, note.to_owned());
        }
        self.auto_register = e.auto_register;
        self.tape.streams.iter_mut().for_each(|s| s.carried = false);
    }

    /// A symbol that is not listed any more explains its streams' silence.
    fn listed(&mut self, Listed { version: v, .. }: &Listed) {
        if v.status == DELISTED {
            let its = self.tape.streams.iter_mut().filter(|s| s.venue == v.venue);
            its.for_each(|s| s.pace.ends_with(&v.symbol));
        }
    }

    fn interval_ends(&mut self, at: i64) {
        self.boundary = at;
        let is_old = self.is_old_import;
        for c in self.conns.values_mut() {
            let is_there = is_old || at.saturating_sub(c.life) <= limit_of(&c.venue);
            if is_there {
                c.claim = at;
            }
            for (s, _) in &c.streams {
                self.tape.streams[*s].pace.interval_ends(at, if is_there { at } else { c.life });
            }
        }
        self.tape.end = self.tape.end.max(at);
    }

    /// `lane_seq` and `rseq`: each once, none missing.
    fn numbers(&mut self, r: &Record<'_>) {
        let seq = r.lane_seq;
        match self.next_seq {
            None => self.tape.whole = seq == 0,
            Some(next) if seq < next => {
                self.fault(|| format!("lane_seq {seq} again, {next} is the next one"))
            }
            Some(next) if seq > next && std::mem::take(&mut self.told_lost) => {
                // The record that says so has the place of the first of them.
                self.report.count(CheckId::Raw, "records_lost", seq - next + 1);
                self.tape.told.push((next - 1, seq - 1));
            }
            Some(next) if seq > next && self.all_venues => {
                self.fault(|| format!("lane_seq {next} to {} are missing", seq - 1));
            }
            Some(_) => {}
        }
        self.next_seq = Some(seq + 1);
        self.told_lost = false;
        let counted = matches!(r.kind, Kind::Frame | Kind::Rest);
        let word = if r.kind == Kind::Frame { "frames" } else { "bodies" };
        if !counted {
            if r.rseq != -1 {
                self.fault(|| format!("lane_seq {seq}: a {} with rseq {}", r.kind.as_str(), r.rseq));
            }
            return;
        }
        self.report.count(CheckId::Raw, word, 1);
        let next = match self.rseq.get(&r.conn) {
            Some(next) => *next,
            None if self.opened.contains(&r.conn) || self.tape.whole => 0,
            // Opened before what we look at.
            None => r.rseq,
        };
        let told = self.torn.remove(&r.conn) || (self.torn_from.is_some() && !self.opened.contains(&r.conn));
        if r.rseq > next && told {
            self.report.count(CheckId::Raw, "frames_lost", r.rseq - next);
        } else if r.rseq != next {
            let (conn, rseq) = (r.conn, r.rseq);
            self.fault(|| match rseq < next {
                true => {
                    format!("lane_seq {seq}: frame {rseq} of connection {conn} again, {next} is the next one")
                }
                false => {
                    format!("lane_seq {seq}: frames {next} to {} of connection {conn} are missing", rseq - 1)
                }
            });
        }
        self.rseq.insert(r.conn, r.rseq + 1);
    }

    fn frame(&mut self, r: &Record<'_>, stream: &str) {
        self.lives(r);
        let Some(c) = self.conns.get_mut(&r.conn) else { return };
        c.read = r.ts_recv;
        let venue = c.venue.clone();
        if self.auto_register {
            // The frame stands under one of its streams, and begins all of them.
            for name in crate::fold::confirmed(&venue, r.payload) {
                self.subscribe(r.conn, (venue.clone(), name), r.ts_recv);
            }
        }
        let Some(c) = self.conns.get_mut(&r.conn).filter(|_| !stream.is_empty()) else { return };
        let key = (venue, stream.to_owned());
        let known = self.tape.by_name.get(&key).copied();
        let carried = known.filter(|s| c.streams.iter().any(|(k, _)| k == s));
        let id = match carried {
            Some(id) => id,
            None if self.auto_register => self.subscribe(r.conn, key, r.ts_recv),
            None => return,
        };
        let Some(c) = self.conns.get_mut(&r.conn) else { return };
        let before = c.last.insert(id, r.ts_recv).unwrap_or(0);
        self.tape.streams[id].pace.says(r.ts_recv);
        if self.wanted.contains(&(r.conn, r.rseq)) {
            let since = c.streams.iter().find(|(s, _)| *s == id).map_or(r.ts_recv, |(_, begin)| *begin);
            let looked = Looked { stream: id, before, boundary: self.boundary, since };
            self.tape.looked.insert((r.conn, r.rseq), looked);
        }
    }

    /// A sign of life; a silence longer than the venue's limit before it proves nothing, and neither does a shorter one of
    /// a recorder that stood still meanwhile. But where ids go on nothing was missed.
    fn lives(&mut self, r: &Record<'_>) {
        let knows_late = self.rules >= LATE_TOLD;
        let ts = if knows_late { r.ts_there() } else { r.ts_recv };
        let Some(c) = self.conns.get_mut(&r.conn) else { return };
        let stood = knows_late && (r.is_late() || c.read.saturating_sub(c.life) > LATE_NS);
        let limit = if stood { STOOD_NS.min(limit_of(&c.venue)) } else { limit_of(&c.venue) };
        if !self.is_old_import && ts.saturating_sub(c.life) > limit {
            let end = c.end_of_life();
            for (s, begin) in &mut c.streams {
                let s = &mut self.tape.streams[*s];
                if self.is_import || !s.is_chained {
                    s.alive.push(*begin, end);
                    *begin = ts;
                    s.pace.carried(ts);
                }
            }
            self.report.count(CheckId::Coverage, "silences", 1);
        }
        c.life = c.life.max(ts);
    }

    fn connection(&mut self, r: &Record<'_>, e: &ConnEvent) {
        match e.event.as_str() {
            "open" => {
                if !self.opened.insert(r.conn) {
                    let conn = r.conn;
                    self.fault(|| format!("connection {conn} is opened a second time"));
                }
                let c = Conn {
                    venue: e.venue.clone(),
                    life: r.ts_recv,
                    read: r.ts_recv,
                    claim: i64::MIN,
                    streams: Vec::new(),
                    last: FxHashMap::default(),
                };
                self.conns.insert(r.conn, c);
                self.report.count(CheckId::Raw, "connections", 1);
            }
            "close" | "failed" | "refused" => {
                if e.answered {
                    // The peer's last word: it lived until then.
                    self.lives(r);
                }
                self.ends(r.conn, Conn::end_of_life);
            }
            "ping" | "pong" => self.lives(r),
            _ => {}
        }
    }

    fn subscription(&mut self, r: &Record<'_>, e: &Subscribed) {
        for spec in &e.waiting {
            // Wanted from now on, although nothing carries it.
            let id = self.subscribe(r.conn, (e.venue.clone(), spec.name.clone()), r.ts_recv);
            self.tape.streams[id].open.get_or_insert(r.ts_recv);
            let start = self.wanted_from(r);
            self.tape.streams[id].wanted(start);
        }
        if !self.conns.contains_key(&r.conn) {
            return;
        }
        for spec in &e.add {
            self.subscribe(r.conn, (e.venue.clone(), spec.name.clone()), r.ts_recv);
        }
        for name in e.remove.iter().chain(&e.shed) {
            let Some(&id) = self.tape.by_name.get(&(e.venue.clone(), name.clone())) else { continue };
            let Some(c) = self.conns.get_mut(&r.conn) else { continue };
            let Some(at) = c.streams.iter().position(|(s, _)| *s == id) else { continue };
            let (_, begin) = c.streams.swap_remove(at);
            let s = &mut self.tape.streams[id];
            s.alive.push(begin, r.ts_recv);
            s.lives.push(Life { conn: r.conn, begin, end: r.ts_recv });
            s.carriers = s.carriers.saturating_sub(1);
            // What there is no room for is wanted all the same.
            if s.carriers == 0 && !e.shed.contains(name) {
                s.given_up(r.ts_recv);
            }
        }
    }

    /// Streams of earlier runs that the plan does not name are wanted no more.
    fn plan(&mut self, r: &Record<'_>, e: &PlanNote) {
        let start = self.wanted_from(r);
        for s in self.tape.streams.iter_mut().filter(|s| s.venue == e.venue && s.carriers == 0) {
            match e.streams.contains(&s.name) {
                true => s.wanted(start),
                false => s.given_up(r.ts_recv),
            }
        }
    }

    /// Since when the run wants what this record names. `None`: an interval ended meanwhile, before the lane knew.
    fn wanted_from(&self, r: &Record<'_>) -> Option<i64> {
        let start = self.start.min(r.ts_recv);
        (self.start != i64::MAX && self.boundary <= start).then_some(start)
    }

    fn subscribe(&mut self, conn: ConnId, key: (String, String), ts: i64) -> usize {
        let asks_pace = self.is_import && self.rules >= STARTS_TOLD;
        let streams = &mut self.tape.streams;
        let id = *self.tape.by_name.entry(key).or_insert_with_key(|(venue, name)| {
            let kind = crate::fold::stream_kind(venue, name);
            let is_chained = kind.is_some_and(StreamKind::is_chained);
            let is_book = kind == Some(StreamKind::DepthDiff);
            let pace = if asks_pace { Pace::of(venue, name) } else { Pace::default() };
            let (venue, name) = (venue.clone(), name.clone());
            streams.push(Stream { venue, name, is_book, is_chained, pace, ..Stream::default() });
            streams.len() - 1
        });
        if let Some(c) = self.conns.get_mut(&conn)
            && !c.streams.iter().any(|(s, _)| *s == id)
        {
            c.streams.push((id, ts));
            if streams[id].carriers == 0 {
                streams[id].pace.carried(ts);
            }
            streams[id].carriers += 1;
            streams[id].carried = true;
            streams[id].open.get_or_insert(ts);
        }
        id
    }

    fn ends(&mut self, conn: ConnId, when: impl Fn(&Conn) -> i64) {
        let Some(c) = self.conns.remove(&conn) else { return };
        let end = when(&c);
        for (s, begin) in &c.streams {
            let s = &mut self.tape.streams[*s];
            s.pace.passes(end);
            s.alive.push(*begin, end);
            s.lives.push(Life { conn, begin: *begin, end });
            s.carriers = s.carriers.saturating_sub(1);
        }
    }

    fn all_end(&mut self, when: impl Fn(&Conn) -> i64) {
        let all: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in all {
            self.ends(conn, &when);
        }
    }

    /// A loss outside the streams' ids.
    fn gap(&mut self, e: &GapNote) {
        if e.cause == "storage_corruption" {
            // Any connection may have lost frames with the records, and new ones their opening.
            self.told_lost = true;
            self.torn_from.get_or_insert(e.ts_begin);
            self.torn.extend(self.rseq.keys().copied());
        }
        if !matches!(e.cause.as_str(), "process_crash" | "power_loss") {
            self.tape.lost.push(e.ts_begin, e.ts_end.max(e.ts_begin));
            return;
        }
        if e.ts_begin > self.ts_max.saturating_add(1) {
            let (begin, last) = (e.ts_begin, self.ts_max);
            self.fault(|| format!("the gap of a crash begins at {begin}, the last record is of {last}"));
        }
        let end = e.ts_begin.min(self.ts_max.saturating_add(1));
        let is_old = self.is_old_import;
        self.all_end(|c| c.end_at(end, is_old));
    }

    fn finish(mut self) -> Tape {
        self.older_end(i64::MAX);
        let end = self.tape.end;
        // What still lives has rows up to the last boundary.
        let boundary = self.boundary;
        self.all_end(|c| if boundary == end { c.end_of_life() } else { end });
        for s in &mut self.tape.streams {
            // The records end, not the subscription: what their last one shows missing is.
            if let Some(begin) = s.open.take() {
                s.subscribed.push(begin, end);
            }
            s.subscribed = std::mem::take(&mut s.subscribed).tidy();
            s.alive = std::mem::take(&mut s.alive).tidy();
            s.pace.silent = std::mem::take(&mut s.pace.silent).tidy();
        }
        self.tape.stepped = std::mem::take(&mut self.tape.stepped).tidy();
        self.tape.lost = std::mem::take(&mut self.tape.lost).tidy();
        self.tape
    }
}

/// Silence that a venue's connection is believed to live through.
fn limit_of(venue: &str) -> i64 {
    let s = crate::fold::venue_spec(venue).map_or(0, |s| i64::from(s.silence_most_s()));
    s * time::NS_PER_S + NOTICE_NS
}

impl Conn {
    /// It lived until its last sign of life. Coverage is split at interval boundaries, before it is known that a silence is
    /// an end: up to the last boundary that came in time it may claim more.
    fn end_of_life(&self) -> i64 {
        self.life.max(self.claim)
    }

    /// The same where the recorder itself ended at `end`.
    fn end_at(&self, end: i64, is_old_import: bool) -> i64 {
        let in_time = is_old_import || end.saturating_sub(self.life) <= limit_of(&self.venue);
        if in_time { end } else { self.end_of_life() }
    }
}
