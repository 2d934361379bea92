//! What is due once a minute: the clock's reading, the latencies, the status line.

use std::path::PathBuf;
use std::sync::Arc;

use super::lane0::{Entry, Lane0};
use crate::bus::raw::RawMonitor;
use crate::fold::control::ClockNote;
use crate::journal::JournalShared;
use crate::metrics::{BookState, Collector, HlogWriter, Hop, HopSummary, Shared, lane_entry};
use crate::model::control::{LatencyNote, to_payload};
use crate::model::time::{NS_PER_MIN, floor_to};
use crate::model::{Kind, LaneId};

/// Minute work of a capture.
pub struct Minutes {
    root: PathBuf,
    lanes: Vec<(LaneId, Collector, HlogWriter)>,
    /// Start of the minute that is running.
    minute: i64,
    journal: Arc<JournalShared>,
    rings: Vec<RawMonitor>,
    /// Wall minus monotonic at the last look: its change is a step.
    drift: Option<i64>,
    /// Prints the status line.
    pub line: Box<dyn FnMut(&str) + Send>,
}

impl Minutes {
    /// Minute work for a dataset.
    pub fn new(
        root: PathBuf,
        lanes: Vec<(LaneId, Collector)>,
        journal: Arc<JournalShared>,
        rings: Vec<RawMonitor>,
        line: Box<dyn FnMut(&str) + Send>,
    ) -> Minutes {
        let lanes = lanes.into_iter().map(|(l, c)| (l, c, HlogWriter::new(&root, l))).collect();
        Minutes { root, lanes, minute: 0, journal, rings, drift: None, line }
    }

    /// Called each second.
    pub fn tick(
        &mut self,
        wall: i64,
        mono: i64,
        shared: &Shared,
        lane0: &Lane0,
        latencies: &mut dyn FnMut(LaneId, Vec<LatencyNote>),
    ) {
        for (_, c, _) in &mut self.lanes {
            c.collect();
        }
        if let Ok(space) = crate::sys::disk::space(&self.root) {
            shared.disk_free.set(i64::try_from(space.available).unwrap_or(i64::MAX));
            shared.disk_total.set(i64::try_from(space.total).unwrap_or(i64::MAX));
        }
        shared.rss.set(i64::try_from(crate::sys::process::usage().rss_bytes).unwrap_or(i64::MAX));
        self.watermarks(shared);
        let minute = floor_to(wall, NS_PER_MIN);
        if self.minute == 0 {
            self.minute = minute;
        }
        if minute <= self.minute {
            return;
        }
        let start = std::mem::replace(&mut self.minute, minute);
        self.close(start, shared, latencies);
        self.clock(wall, mono, shared, lane0);
        (self.line)(&status_line(shared));
    }

    /// How far each lane's records have come, and how full its ring is.
    fn watermarks(&self, shared: &Shared) {
        let marks = self.journal.marks();
        for m in shared.lanes() {
            if let Some(l) = marks.lanes.iter().find(|l| l.lane == m.lane) {
                // The journal knows numbers, not times: a mark that has caught up is as young as the newest frame.
                let (rx, ts) = (m.reader.rx.seq.get(), m.reader.rx.ts.get());
                for (mark, seq) in [(&m.journal.jrn, l.jrn), (&m.journal.dur, l.dur)] {
                    let age = if seq >= rx { ts } else { mark.ts.get() };
                    mark.set(seq, age);
                }
            }
            if let Some(r) = self.rings.iter().find(|r| r.lane() == m.lane) {
                m.journal.ring_used.set(i64::try_from(r.head().saturating_sub(r.dur())).unwrap_or(i64::MAX));
                m.journal.ring_capacity.set(i64::try_from(r.capacity()).unwrap_or(i64::MAX));
            }
        }
        shared.journal_bytes.set(i64::try_from(self.journal.bytes()).unwrap_or(i64::MAX));
        if let Some(h) = self.journal.take_sync_ns() {
            shared.fsyncs.add(h.len());
            shared.fsync_ns.add((h.mean() * h.len() as f64) as u64);
        }
    }

    /// Closes the minute that is not over, at the end.
    pub fn last(&mut self, shared: &Shared, latencies: &mut dyn FnMut(LaneId, Vec<LatencyNote>)) {
        let start = self.minute;
        self.close(start, shared, latencies);
    }

    fn close(&mut self, start: i64, shared: &Shared, latencies: &mut dyn FnMut(LaneId, Vec<LatencyNote>)) {
        let journaled = self.journal.take_journaled_ns();
        for (lane, collector, hlog) in &mut self.lanes {
            let mut closed = match collector.close_minute(start, Some(hlog)) {
                Ok(c) => c,
                Err(e) => {
                    tracing::warn!(lane, error = %e, "the .hlog file cannot be written; this minute's histograms are lost");
                    continue;
                }
            };
            for (_, h) in journaled.iter().filter(|(l, h)| l == lane && !h.is_empty()) {
                let e = lane_entry(Hop::AppliedJournaled, h);
                closed.1.push(HopSummary {
                    hop: Hop::AppliedJournaled.as_str(),
                    count: h.len(),
                    p50: e.p50,
                    p99: e.p99,
                    p999: e.p999,
                    max: e.max,
                });
                closed.0.push(LatencyNote { venue: String::new(), ts_begin: start, entries: vec![e] });
            }
            if let Some(m) = shared.lanes().iter().find(|m| m.lane == *lane) {
                m.set_hops(closed.1);
            }
            if !closed.0.is_empty() {
                latencies(*lane, closed.0);
            }
        }
    }

    fn clock(&mut self, wall: i64, mono: i64, shared: &Shared, lane0: &Lane0) {
        let drift = wall - mono;
        let step_ns = self.drift.map_or(0, |d| drift - d);
        self.drift = Some(drift);
        let (offset_ns, max_error_ns, source) = match crate::sys::clock::adjtimex() {
            Ok(r) => {
                (r.offset_ns, r.max_error_ns, if r.synchronized { "kernel" } else { "kernel_unsynchronized" })
            }
            Err(_) => (0, -1, "none"),
        };
        shared.clock_offset_ns.set(offset_ns);
        let note = ClockNote { offset_ns, max_error_ns, source: source.to_owned(), step_ns };
        lane0.append(wall, mono, Entry::new(Kind::Clock, to_payload(&note)));
    }
}

/// One line for people: synced and stale books, frames/s, gaps, tail, disk.
pub fn status_line(shared: &Shared) -> String {
    let (mut synced, mut books, mut rate, mut gaps, mut tail_ns) = (0, 0, 0, 0, 0i64);
    for l in shared.lanes() {
        rate += l.frames_per_s();
        gaps += l.reader.gaps.iter().map(crate::metrics::Counter::get).sum::<u64>();
        tail_ns = tail_ns.max(l.reader.rx.ts.get() - l.converter.converted.ts.get());
        for b in l.books() {
            books += 1;
            synced += usize::from(b.state() == BookState::Synced);
        }
    }
    format!(
        "{synced} of {books} books proven, {rate} frames/s, {gaps} gaps, tail {:.1} s, disk {} GB free, rss {} MB",
        tail_ns.max(0) as f64 / 1e9,
        shared.disk_free.get() / 1_000_000_000,
        shared.rss.get() / 1_000_000
    )
}
