//! What is due once a minute: the clock's reading, the latencies, the status line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::lane0::{Entry, Lane0};
use crate::bus::raw::RawMonitor;
use crate::fold::control::ClockNote;
use crate::journal::{JournalShared, Storage};
use crate::metrics::{BookState, Collector, HlogWriter, Hop, HopSummary, Shared, Writes, lane_entry};
use crate::model::control::{LatencyNote, to_payload};
use crate::model::time::{NS_PER_MIN, floor_to};
use crate::model::{AuditVerdict, Kind, LaneId};

/// Minute work of a capture.
pub struct Minutes {
    root: PathBuf,
    lanes: Vec<(LaneId, Collector, HlogWriter)>,
    /// Start of the minute that is running.
    minute: i64,
    journal: Arc<JournalShared>,
    rings: Vec<RawMonitor>,
    /// The newest record of each lane when last looked, and its time.
    rx: BTreeMap<LaneId, (i64, i64)>,
    /// Failures of the journal when last looked.
    failures: u64,
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
        Minutes {
            root,
            lanes,
            minute: 0,
            journal,
            rings,
            rx: BTreeMap::new(),
            failures: 0,
            drift: None,
            line,
        }
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
    fn watermarks(&mut self, shared: &Shared) {
        let marks = self.journal.marks();
        for m in shared.lanes() {
            if let Some(l) = marks.lanes.iter().find(|l| l.lane == m.lane) {
                // The journal knows numbers, not times: a mark is as young as the newest frame that it has reached, of
                // those that were the newest at this look and the one before.
                let now = (m.reader.rx.seq.get(), m.reader.rx.ts.get());
                let before = self.rx.insert(m.lane, now).unwrap_or((-1, 0));
                for (mark, seq) in [(&m.journal.jrn, l.jrn), (&m.journal.dur, l.dur)] {
                    let reached = [now, before].into_iter().find(|(rx, _)| seq >= *rx);
                    mark.set(seq, reached.map_or(0, |r| r.1).max(mark.ts.get()));
                }
            }
            if let Some(r) = self.rings.iter().find(|r| r.lane() == m.lane) {
                m.journal.ring_used.set(i64::try_from(r.head().saturating_sub(r.dur())).unwrap_or(i64::MAX));
                m.journal.ring_capacity.set(i64::try_from(r.capacity()).unwrap_or(i64::MAX));
            }
        }
        self.storage(shared);
        shared.journal_bytes.set(i64::try_from(self.journal.bytes()).unwrap_or(i64::MAX));
        if let Some(h) = self.journal.take_sync_ns() {
            shared.fsyncs.add(h.len());
            shared.fsync_ns.add((h.mean() * h.len() as f64) as u64);
        }
    }

    /// What the journal thread says of the disk. It keeps trying by itself; people must hear of it.
    fn storage(&mut self, shared: &Shared) {
        let failures = self.journal.failures();
        let new = failures - std::mem::replace(&mut self.failures, failures);
        shared.storage.journal_failures.add(new);
        let failed = self.journal.marks().storage == Storage::Failed;
        let why = failed.then(|| self.journal.last_failure());
        let news = shared.storage.set(Writes::Journal, why.clone());
        match why {
            Some(e) if news => tracing::error!(
                error = e,
                "the journal cannot be written; the rings hold what comes until it can"
            ),
            None if news => tracing::info!("the journal is written again"),
            None if new > 0 => {
                let error = self.journal.last_failure();
                tracing::warn!(error, "a journal segment failed; what it held is in the next one");
            }
            _ => {}
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
        let (offset_ns, max_error_ns, source) = match crate::wire::clock::reading() {
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

/// One line for people: books that were found false, synced and stale books, frames/s, gaps, tail, disk.
pub fn status_line(shared: &Shared) -> String {
    let (mut synced, mut books, mut rate, mut gaps, mut open, mut tail_ns) = (0, 0, 0, 0, 0, 0i64);
    for l in shared.lanes() {
        rate += l.frames_per_s();
        gaps += l.reader.gaps.iter().map(crate::metrics::Counter::get).sum::<u64>();
        open += l.reader.gaps_open.iter().map(crate::metrics::Gauge::get).sum::<i64>();
        tail_ns = tail_ns.max(l.reader.rx.ts.get() - l.converter.converted.ts.get());
        for b in l.books() {
            books += 1;
            synced += usize::from(b.state() == BookState::Synced);
        }
    }
    let trouble = shared.storage.trouble().map(|t| format!(", STORAGE FAILS: {t}")).unwrap_or_default();
    let false_ones: u64 =
        shared.venues().iter().map(|v| v.audits[AuditVerdict::Differs as usize].get()).sum();
    let waits = |v: &Arc<crate::metrics::VenueMetrics>| {
        let what = if v.list_waits.get() != 0 { "NO INSTRUMENT LIST" } else { "UNFIT INSTRUMENT LIST" };
        v.waits_for_list().then(|| format!("{what} of {}, ", v.venue))
    };
    let waits: String = shared.venues().iter().filter_map(waits).collect();
    let unheard: i64 = shared.venues().iter().map(|v| v.streams_unheard.get()).sum();
    let waits = if unheard > 0 { format!("{waits}{unheard} streams NEVER HEARD, ") } else { waits };
    let alarm = if false_ones > 0 { format!("{false_ones} books found FALSE, ") } else { String::new() };
    let still = if open > 0 { format!(" and {open} open") } else { String::new() };
    format!(
        "{waits}{alarm}{synced} of {books} books proven, {rate} frames/s, {gaps} gaps{still}, tail {:.1} s, disk {} GB free, rss {} MB{trouble}",
        tail_ns.max(0) as f64 / 1e9,
        shared.disk_free.get() / 1_000_000_000,
        shared.rss.get() / 1_000_000
    )
}
