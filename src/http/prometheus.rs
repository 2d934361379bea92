//! The metrics as OpenMetrics text. Names: prefix `lobtape_`, base units; labels are few and never ids.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::metrics::{BookState, LaneMetrics, Mark, ParserMetrics, Shared, StreamMetrics, VenueMetrics};
use crate::model::{AuditVerdict, GapCause};

/// The text, made anew for each question.
pub(super) struct Exposition {
    registry: Registry,
}

impl Exposition {
    pub fn new(shared: Arc<Shared>) -> Exposition {
        let mut registry = Registry::with_prefix("lobtape");
        registry.register_collector(Box::new(Source(shared)));
        Exposition { registry }
    }

    pub fn text(&self) -> Result<String, Error> {
        let mut out = String::with_capacity(64 * 1024);
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

#[derive(Debug)]
struct Source(Arc<Shared>);

/// A family under way: samples are added with their labels.
struct Family<'a, 'b> {
    to: &'a mut DescriptorEncoder<'b>,
}

/// One sample: labels and value.
type Sample<'a, T> = (Vec<(&'static str, &'a str)>, T);

impl Family<'_, '_> {
    fn counter<'a>(
        &mut self,
        name: &str,
        help: &str,
        all: impl Iterator<Item = Sample<'a, u64>>,
    ) -> Result<(), Error> {
        self.of(name, help, all.map(|(l, v)| (l, ConstCounter::new(v))))
    }

    fn counter_f64<'a>(
        &mut self,
        name: &str,
        help: &str,
        all: impl Iterator<Item = Sample<'a, f64>>,
    ) -> Result<(), Error> {
        self.of(name, help, all.map(|(l, v)| (l, ConstCounter::new(v))))
    }

    fn gauge<'a>(
        &mut self,
        name: &str,
        help: &str,
        all: impl Iterator<Item = Sample<'a, f64>>,
    ) -> Result<(), Error> {
        self.of(name, help, all.map(|(l, v)| (l, ConstGauge::new(v))))
    }

    fn of<'a, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        all: impl Iterator<Item = Sample<'a, M>>,
    ) -> Result<(), Error> {
        let mut all = all.peekable();
        let Some((_, first)) = all.peek() else { return Ok(()) };
        let mut e = self.to.encode_descriptor(name, help, None, first.metric_type())?;
        for (labels, value) in all {
            if labels.is_empty() {
                value.encode(e.encode_family(&NO_LABELS)?)?;
            } else {
                value.encode(e.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

const NO_LABELS: [(&str, &str); 0] = [];
const NS: f64 = 1e-9;

fn one<T>(v: T) -> std::iter::Once<Sample<'static, T>> {
    std::iter::once((Vec::new(), v))
}

impl Collector for Source {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut f = Family { to: &mut encoder };
        let lanes: Vec<(String, Arc<LaneMetrics>)> =
            self.0.lanes().into_iter().map(|l| (l.lane.to_string(), l)).collect();
        process(&mut f, &self.0)?;
        counters(&mut f, &lanes)?;
        gauges(&mut f, &lanes)?;
        latency(&mut f, &lanes)?;
        streams(&mut f, &lanes)?;
        books(&mut f, &lanes)?;
        venues(&mut f, &self.0.venues())
    }
}

type Lanes = [(String, Arc<LaneMetrics>)];

fn process(f: &mut Family<'_, '_>, s: &Shared) -> Result<(), Error> {
    let build = (vec![("version", s.build)], 1.0);
    f.gauge("build_info", "Version of the program", std::iter::once(build))?;
    let ready = f64::from(u8::from(s.not_ready().is_none()));
    f.gauge("ready", "1 if it captures what it should, as /readyz", one(ready))?;
    f.gauge("disk_free_bytes", "Free on the dataset's disk", one(s.disk_free.get() as f64))?;
    f.gauge("disk_total_bytes", "Size of the dataset's disk", one(s.disk_total.get() as f64))?;
    f.gauge("resident_memory_bytes", "Resident memory of the process", one(s.rss.get() as f64))?;
    f.gauge("journal_bytes", "Journal segments not yet reclaimed", one(s.journal_bytes.get() as f64))?;
    f.gauge("clock_offset_seconds", "Offset of the system clock", one(s.clock_offset_ns.get() as f64 * NS))?;
    f.counter("journal_fsyncs", "Syncs of the journal", one(s.fsyncs.get()))?;
    f.counter_f64(
        "journal_fsync_seconds",
        "Time in syncs of the journal",
        one(s.fsync_ns.get() as f64 * NS),
    )?;
    let failures = [("journal", &s.storage.journal_failures), ("converter", &s.storage.converter_failures)];
    let failures = failures.into_iter().map(|(who, n)| (vec![("writer", who)], n.get()));
    f.counter("storage_failures", "Writes, syncs and creations of files that failed", failures)?;
    let trouble = f64::from(u8::from(s.storage.trouble().is_some()));
    f.gauge("storage_failed", "1 while the disk does not take what it is given", one(trouble))?;
    f.gauge("disk_reserve_bytes", "Held back for a disk that is full", one(s.storage.reserve.get() as f64))?;
    let rung = one(s.storage.rung.get() as f64);
    f.gauge("disk_rung", "What is given up because the disk runs full, 0 nothing to 5 everything", rung)?;
    f.counter("streams_shed", "Streams given up because the disk ran full", one(s.storage.shed.get()))?;
    f.counter("queue_dropped", "Events that slow live subscribers did not get", one(s.events_dropped.get()))
}

fn per_lane<'a, T>(lanes: &'a Lanes, of: fn(&LaneMetrics) -> T) -> impl Iterator<Item = Sample<'a, T>> {
    lanes.iter().map(move |(name, l)| (vec![("lane", name.as_str())], of(l)))
}

fn counters(f: &mut Family<'_, '_>, lanes: &Lanes) -> Result<(), Error> {
    f.counter("lane_frames", "Frames read by the lane", per_lane(lanes, |l| l.reader.frames.get()))?;
    f.counter("lane_bytes", "Bytes of their payloads", per_lane(lanes, |l| l.reader.bytes.get()))?;
    f.counter(
        "parse_errors",
        "Frames that could not be parsed",
        per_lane(lanes, |l| l.reader.rejects.get()),
    )?;
    f.counter("stalls", "Times the raw ring was full", per_lane(lanes, |l| l.reader.stalls.get()))?;
    let allocations = per_lane(lanes, |l| l.reader.allocations.get());
    f.counter(
        "reader_allocations",
        "Allocations on the reader thread, the transport's included",
        allocations,
    )?;
    let transport = per_lane(lanes, |l| l.reader.transport_allocations.get());
    f.counter("transport_allocations", "Those of them inside TLS and WebSocket", transport)?;
    let others: Vec<(&str, BTreeMap<String, u64>)> =
        lanes.iter().map(|(name, l)| (name.as_str(), l.others())).collect();
    let others = others.iter().flat_map(|(lane, by_name)| {
        by_name.iter().map(move |(name, n)| (vec![("lane", *lane), ("name", name.as_str())], *n))
    });
    f.counter("events_without_table", "Events that stay in raw alone, by name", others)?;
    let parsers: Vec<(&str, Arc<ParserMetrics>)> =
        lanes.iter().flat_map(|(name, l)| l.parsers().into_iter().map(|p| (name.as_str(), p))).collect();
    let read = parsers.iter().flat_map(|(lane, p)| {
        let paths = [("quick", &p.quick), ("general", &p.general), ("fallback", &p.fallback)];
        paths.map(|(path, n)| (vec![("venue", p.venue.as_str()), ("lane", *lane), ("path", path)], n.get()))
    });
    f.counter("frames_read", "Frames by venue and way: fallback is a known shape that was not met", read)?;
    let gaps = lanes.iter().flat_map(|(name, l)| {
        let causes = GapCause::ALL.iter().zip(&l.reader.gaps);
        causes.map(move |(c, n)| (vec![("lane", name.as_str()), ("cause", c.as_str())], n.get()))
    });
    f.counter("gaps", "Gaps that are over, by cause: rows of the table", gaps)
}

fn gauges(f: &mut Family<'_, '_>, lanes: &Lanes) -> Result<(), Error> {
    f.gauge(
        "queue_depth_bytes",
        "Bytes in the raw ring",
        per_lane(lanes, |l| l.journal.ring_used.get() as f64),
    )?;
    let capacity = per_lane(lanes, |l| l.journal.ring_capacity.get() as f64);
    f.gauge("queue_capacity_bytes", "Bytes the raw ring can hold", capacity)?;
    let open = lanes.iter().flat_map(|(name, l)| {
        let causes = GapCause::ALL.iter().zip(&l.reader.gaps_open);
        causes.map(move |(c, n)| (vec![("lane", name.as_str()), ("cause", c.as_str())], n.get() as f64))
    });
    f.gauge("gaps_open", "Gaps that are open, by cause", open)?;
    let rate = per_lane(lanes, |l| l.frames_per_s() as f64);
    f.gauge("frame_rate", "Frames per second, as the status line shows it", rate)?;
    let marks = |l: &LaneMetrics| -> [(&'static str, i64, i64); 4] {
        let m = |name, m: &Mark| (name, m.seq.get(), m.ts.get());
        [
            m("rx", &l.reader.rx),
            m("jrn", &l.journal.jrn),
            m("dur", &l.journal.dur),
            m("pub", &l.converter.published),
        ]
    };
    let seqs = lanes.iter().flat_map(|(name, l)| {
        marks(l).map(|(mark, seq, _)| (vec![("lane", name.as_str()), ("mark", mark)], seq as f64))
    });
    f.gauge("watermark", "lane_seq that each stage has reached", seqs)?;
    let times = lanes.iter().flat_map(|(name, l)| {
        marks(l).map(|(mark, _, ts)| (vec![("lane", name.as_str()), ("mark", mark)], ts as f64 * NS))
    });
    f.gauge("watermark_timestamp_seconds", "Receive time of the record that each stage has reached", times)
}

fn latency(f: &mut Family<'_, '_>, lanes: &Lanes) -> Result<(), Error> {
    let mut all = Vec::new();
    for (name, l) in lanes {
        for h in l.hops() {
            for (q, v) in [("0.5", h.p50), ("0.99", h.p99), ("0.999", h.p999), ("1", h.max)] {
                all.push((vec![("lane", name.as_str()), ("stage", h.hop), ("quantile", q)], v as f64 * NS));
            }
        }
    }
    f.gauge("stage_latency_seconds", "Quantiles of each hop in the last minute", all.into_iter())
}

fn streams(f: &mut Family<'_, '_>, lanes: &Lanes) -> Result<(), Error> {
    struct Row<'a> {
        lane: &'a str,
        leg: String,
        s: Arc<StreamMetrics>,
    }
    let rows: Vec<Row<'_>> = lanes
        .iter()
        .flat_map(|(lane, l)| l.streams().into_iter().map(|s| Row { lane, leg: s.leg.to_string(), s }))
        .collect();
    fn labels<'a>(r: &'a Row<'_>) -> Vec<(&'static str, &'a str)> {
        vec![
            ("venue", r.s.venue.as_str()),
            ("symbol", &r.s.symbol),
            ("channel", &r.s.channel),
            ("stream", &r.s.name),
            ("lane", r.lane),
            ("leg", &r.leg),
        ]
    }
    f.counter("frames", "Frames by stream", rows.iter().map(|r| (labels(r), r.s.frames.get())))?;
    f.counter("bytes", "Bytes of payloads by stream", rows.iter().map(|r| (labels(r), r.s.bytes.get())))?;
    f.counter(
        "stream_gaps",
        "Gaps that are over, by stream",
        rows.iter().map(|r| (labels(r), r.s.gaps.get())),
    )?;
    f.counter(
        "race_wins",
        "Events that a leg brought before the other one, by stream",
        rows.iter().map(|r| (labels(r), r.s.wins.get())),
    )?;
    let last = rows.iter().map(|r| (labels(r), r.s.last_recv.get() as f64 * NS));
    f.gauge("last_message_timestamp_seconds", "Receive time of the last frame, 0 before the first", last)
}

fn books(f: &mut Family<'_, '_>, lanes: &Lanes) -> Result<(), Error> {
    let books: Vec<_> = lanes.iter().flat_map(|(_, l)| l.books()).collect();
    let state = books.iter().map(|b| (vec![("venue", b.venue.as_str()), ("symbol", &b.symbol)], b.state()));
    let state = state.map(|(l, s)| (l, f64::from(s as u8)));
    f.gauge("book_state", "0 init, 1 buffering, 2 synced, 3 stale", state)?;
    let levels = books
        .iter()
        .map(|b| (vec![("venue", b.venue.as_str()), ("symbol", b.symbol.as_str())], b.levels.get() as f64));
    f.gauge("book_levels", "Levels of both sides, 0 while the book is not proven", levels)?;
    let resyncs =
        books.iter().map(|b| (vec![("venue", b.venue.as_str()), ("symbol", &b.symbol)], b.resyncs.get()));
    f.counter("resyncs", "Resyncs by book", resyncs)?;
    let mut sums = Vec::new();
    for (s, word) in BookState::ALL.iter().zip(["init", "buffering", "synced", "stale"]) {
        let n = books.iter().filter(|b| b.state() == *s).count();
        sums.push((vec![("state", word)], n as f64));
    }
    f.gauge("books", "Books by state", sums.into_iter())
}

fn venues(f: &mut Family<'_, '_>, venues: &[Arc<VenueMetrics>]) -> Result<(), Error> {
    fn per<T>(all: &[Arc<VenueMetrics>], of: fn(&VenueMetrics) -> T) -> impl Iterator<Item = Sample<'_, T>> {
        all.iter().map(move |v| (vec![("venue", v.venue.as_str())], of(v)))
    }
    f.gauge("connections", "Open connections", per(venues, |v| v.connections.get() as f64))?;
    let leg = |i: usize, leg: &'static str| {
        venues.iter().map(move |v| (vec![("venue", v.venue.as_str()), ("leg", leg)], v.legs[i].get() as f64))
    };
    f.gauge("leg_connections", "Open connections by leg", leg(0, "0").chain(leg(1, "1")))?;
    f.counter("reconnects", "Connections opened again after a loss", per(venues, |v| v.reconnects.get()))?;
    f.counter("rest_requests", "REST requests", per(venues, |v| v.requests.get()))?;
    f.counter("rest_failures", "REST requests failed or refused", per(venues, |v| v.request_failures.get()))?;
    let audits = venues.iter().flat_map(|v| {
        let verdicts = AuditVerdict::ALL.iter().zip(&v.audits);
        verdicts
            .map(move |(word, n)| (vec![("venue", v.venue.as_str()), ("verdict", word.as_str())], n.get()))
    });
    f.counter("audits", "Proven books held against snapshots, by verdict", audits)?;
    f.gauge(
        "rest_weight_used",
        "Request weight used this minute",
        per(venues, |v| v.weight_used.get() as f64),
    )?;
    f.gauge(
        "rest_weight_limit",
        "Request weight per minute we allow us",
        per(venues, |v| v.weight_limit.get() as f64),
    )?;
    let needed = per(venues, |v| v.polls_needed.get() as f64);
    f.gauge("polls_weight_needed", "Weight a minute that polls need at the written pace", needed)?;
    let allowed = per(venues, |v| v.polls_allowed.get() as f64);
    f.gauge("polls_weight_allowed", "Weight a minute that polls may need", allowed)?;
    let stretch = per(venues, |v| v.polls_stretch.get() as f64 / 1000.0);
    f.gauge("polls_stretch", "How many times as long as written the periods of polls are", stretch)?;
    let lists = per(venues, |v| f64::from(u8::from(v.waits_for_list())));
    f.gauge("list_waits", "1 while a venue's first instrument list does not come, or does not fit", lists)?;
    let bans = per(venues, |v| v.banned_until.get() as f64 / 1e9);
    f.gauge(
        "banned_until_seconds",
        "Until when a venue lets no connection in, by its own word; 0 = it does",
        bans,
    )?;
    let unheard = per(venues, |v| v.streams_unheard.get() as f64);
    f.gauge("streams_unheard", "Streams that never had a frame and should have", unheard)?;
    let waiting = per(venues, |v| v.snapshots_waiting.get() as f64);
    f.gauge("snapshots_waiting", "Books that wait for a snapshot", waiting)
}
