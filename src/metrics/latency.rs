//! How long each hop takes, per stream and minute.
//!
//! A dense histogram per stream and hop would need hundreds of megabytes at a few thousand streams. So the path of a
//! frame only appends samples to a buffer (16 bytes each); full buffers go to the [`Collector`] on a cold thread
//! through a bounded channel and come back empty. The collector counts samples in sparse buckets and turns those into HDR
//! histograms, one at a time, when a minute closes. If it falls behind, samples are dropped and counted; nobody waits.

use std::sync::{Arc, Mutex, MutexGuard};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustc_hash::FxHashMap;

use super::hlog::HlogWriter;
use super::sparse::{Closed, Encoder, bucket_of};
use crate::model::control::{LatencyEntry, LatencyNote};

/// Samples per buffer.
const BUFFER_LEN: usize = 8192;
/// Buffers of one recorder in flight.
const BUFFERS: usize = 16;
/// Entries of one note, so that its record stays small (some 300 bytes each).
const NOTE_ENTRIES: usize = 128;

/// A step of a frame's way, in the order of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hop {
    /// From the venue's stamp (`ts_send`, else `ts_event`) to `ts_recv`: two clocks, so it may be negative.
    VenueReceive,
    /// From the kernel's stamp to the return of the read.
    KernelRead,
    /// From the read to the record in the raw ring.
    ReadRing,
    /// From the ring to parsed.
    RingParsed,
    /// From parsed to applied.
    ParsedApplied,
    /// From applied to written to the journal.
    AppliedJournaled,
}

impl Hop {
    /// All of them.
    pub const ALL: [Hop; 6] = [
        Hop::VenueReceive,
        Hop::KernelRead,
        Hop::ReadRing,
        Hop::RingParsed,
        Hop::ParsedApplied,
        Hop::AppliedJournaled,
    ];

    /// The word in the `latency` table.
    pub fn as_str(self) -> &'static str {
        match self {
            Hop::VenueReceive => "venue_receive",
            Hop::KernelRead => "kernel_read",
            Hop::ReadRing => "read_ring",
            Hop::RingParsed => "ring_parsed",
            Hop::ParsedApplied => "parsed_applied",
            Hop::AppliedJournaled => "applied_journaled",
        }
    }
}

#[derive(Clone, Copy)]
struct Sample {
    ns: i64,
    stream: u32,
    hop: Hop,
}

/// A full buffer, and how many samples were lost before it.
struct Batch {
    samples: Vec<Sample>,
    dropped: u64,
}

/// (venue, stream) by number. Locked when a stream is new and when the collector looks, never per frame.
type Names = Arc<Mutex<Vec<(String, String)>>>;

/// Takes samples on the path of a frame. One per thread.
pub struct Recorder {
    buffer: Vec<Sample>,
    names: Names,
    dropped: u64,
    full: Sender<Batch>,
    empty: Receiver<Vec<Sample>>,
}

fn lock(names: &Names) -> MutexGuard<'_, Vec<(String, String)>> {
    // Nothing is done under this lock that could leave it half done.
    names.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A recorder for one thread, and its collector. Numbers of streams are the recorder's own.
pub fn latency() -> (Recorder, Collector) {
    let (full, from_recorder) = bounded(BUFFERS);
    let (give_back, empty) = bounded(BUFFERS);
    for _ in 1..BUFFERS {
        // The channel has room for all of them.
        let _ = give_back.try_send(Vec::with_capacity(BUFFER_LEN));
    }
    let buffer = Vec::with_capacity(BUFFER_LEN);
    let names = Names::default();
    let recorder = Recorder { buffer, names: Arc::clone(&names), dropped: 0, full, empty };
    let collector = Collector {
        from_recorder,
        give_back,
        names,
        buckets: FxHashMap::default(),
        ranges: Vec::new(),
        dropped: 0,
    };
    (recorder, collector)
}

impl Recorder {
    /// The number of a stream ("" = the whole lane), new or old. Cold: allocates, searches, takes a lock.
    pub fn stream(&mut self, venue: &str, name: &str) -> u32 {
        let mut names = lock(&self.names);
        if let Some(i) = names.iter().position(|(v, n)| v == venue && n == name) {
            return i as u32;
        }
        names.push((venue.to_owned(), name.to_owned()));
        (names.len() - 1) as u32
    }

    /// Notes that a hop of a frame of this stream took `ns`.
    #[inline]
    pub fn record(&mut self, stream: u32, hop: Hop, ns: i64) {
        if self.buffer.len() == BUFFER_LEN {
            self.hand_over();
        }
        self.buffer.push(Sample { ns, stream, hop });
    }

    /// Hands over what there is; call it each second or so, so that samples come in their minute.
    pub fn flush(&mut self) {
        if !self.buffer.is_empty() {
            self.hand_over();
        }
    }

    #[cold]
    fn hand_over(&mut self) {
        let Ok(next) = self.empty.try_recv() else {
            self.dropped += self.buffer.len() as u64;
            self.buffer.clear();
            return;
        };
        let samples = std::mem::replace(&mut self.buffer, next);
        let dropped = std::mem::take(&mut self.dropped);
        if let Err(e) = self.full.try_send(Batch { samples, dropped }) {
            let lost = e.into_inner();
            self.dropped = lost.dropped + lost.samples.len() as u64;
        }
    }
}

/// Quantiles of one hop over all streams of a lane in the last minute, ns.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HopSummary {
    /// As in the `latency` table.
    pub hop: &'static str,
    /// Samples.
    pub count: u64,
    /// Median.
    pub p50: i64,
    /// 99th percentile.
    pub p99: i64,
    /// 99.9th percentile.
    pub p999: i64,
    /// Largest.
    pub max: i64,
}

/// Counts what a recorder saw. Lives on a cold thread.
pub struct Collector {
    from_recorder: Receiver<Batch>,
    give_back: Sender<Vec<Sample>>,
    names: Names,
    /// (series, sign, bucket) → count. Sorted before anything leaves.
    buckets: FxHashMap<u64, u64>,
    /// Smallest and largest value of each series, exact.
    ranges: Vec<(i64, i64)>,
    dropped: u64,
}

const NO_RANGE: (i64, i64) = (i64::MAX, i64::MIN);

impl Collector {
    /// Takes in what has come; call it several times a second.
    pub fn collect(&mut self) {
        while let Ok(Batch { mut samples, dropped }) = self.from_recorder.try_recv() {
            // A stream's name is there before its first sample.
            let streams = lock(&self.names).len();
            self.ranges.resize(streams * Hop::ALL.len(), NO_RANGE);
            samples.iter().for_each(|s| self.count(s));
            self.dropped += dropped;
            samples.clear();
            let _ = self.give_back.try_send(samples);
        }
    }

    /// Samples that the recorder had to drop, in all.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn count(&mut self, s: &Sample) {
        let series = s.stream as usize * Hop::ALL.len() + s.hop as usize;
        let Some(range) = self.ranges.get_mut(series) else { return };
        *range = (range.0.min(s.ns), range.1.max(s.ns));
        // Negative values first, in one key order: series, then sign, then bucket.
        let sign = u64::from(s.ns >= 0);
        let key = (series as u64) << 32 | sign << 31 | u64::from(bucket_of(s.ns.unsigned_abs()));
        *self.buckets.entry(key).or_insert(0) += 1;
    }

    /// Closes a minute: journal payloads (in the order of venue, then stream as registered, then hop), quantiles per
    /// hop over all streams, and a block in the `.hlog` file if there is a writer.
    ///
    /// # Errors
    /// The writer's; the minute is closed all the same, and the notes are lost with the error. Give no writer to go on.
    pub fn close_minute(
        &mut self,
        start_ns: i64,
        hlog: Option<&mut HlogWriter>,
    ) -> std::io::Result<(Vec<LatencyNote>, Vec<HopSummary>)> {
        self.collect();
        let mut sorted: Vec<(u64, u64)> = self.buckets.drain().collect();
        sorted.sort_unstable();
        let names = lock(&self.names).clone();
        let ranges = std::mem::replace(&mut self.ranges, vec![NO_RANGE; names.len() * Hop::ALL.len()]);
        let Some(mut encoder) = Encoder::new() else { return Ok((Vec::new(), Vec::new())) };
        let summaries = summaries(&sorted, &ranges);
        let mut closed = Vec::new();
        for of_series in sorted.chunk_by(|a, b| a.0 >> 32 == b.0 >> 32) {
            let series = (of_series[0].0 >> 32) as usize;
            let (venue, stream) = &names[series / Hop::ALL.len()];
            closed.push(close(venue, stream, Hop::ALL[series % Hop::ALL.len()], ranges[series], of_series));
        }
        closed.sort_by_key(|c| c.venue);
        if let Some(w) = hlog {
            w.write(start_ns, &closed, &mut encoder)?;
        }
        let mut notes: Vec<LatencyNote> = Vec::new();
        for c in &closed {
            let entry: LatencyEntry = encoder.entry(c);
            match notes.last_mut() {
                Some(n) if n.venue == c.venue && n.entries.len() < NOTE_ENTRIES => n.entries.push(entry),
                _ => notes.push(LatencyNote {
                    venue: c.venue.to_owned(),
                    ts_begin: start_ns,
                    entries: vec![entry],
                }),
            }
        }
        Ok((notes, summaries))
    }
}

fn close<'a>(
    venue: &'a str,
    stream: &'a str,
    hop: Hop,
    range: (i64, i64),
    buckets: &[(u64, u64)],
) -> Closed<'a> {
    let mut c = Closed { venue, stream, hop: hop.as_str(), min: range.0, max: range.1, ..Closed::default() };
    for (key, n) in buckets {
        let bucket = (*key & 0x7fff_ffff) as u32;
        if key >> 31 & 1 == 0 { c.negative.push((bucket, *n)) } else { c.positive.push((bucket, *n)) }
    }
    c
}

fn summaries(sorted: &[(u64, u64)], ranges: &[(i64, i64)]) -> Vec<HopSummary> {
    let hops = Hop::ALL.len();
    let mut out = Vec::new();
    for hop in Hop::ALL {
        let mut sums: FxHashMap<u64, u64> = FxHashMap::default();
        let of_hop = sorted.iter().filter(|(k, _)| (*k >> 32) as usize % hops == hop as usize);
        of_hop.for_each(|(k, n)| *sums.entry(*k & 0xffff_ffff).or_insert(0) += n);
        let mut buckets: Vec<(u64, u64)> = sums.into_iter().collect();
        buckets.sort_unstable();
        let all = ranges.iter().skip(hop as usize).step_by(hops);
        let range = all.fold(NO_RANGE, |r, x| (r.0.min(x.0), r.1.max(x.1)));
        if !buckets.is_empty() {
            let c = close("", "", hop, range, &buckets);
            let (p50, p99, p999) = (c.quantile(500), c.quantile(990), c.quantile(999));
            out.push(HopSummary { hop: hop.as_str(), count: c.count(), p50, p99, p999, max: c.max });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_out_in_their_series() {
        let (mut r, mut c) = latency();
        let (a, b) = (r.stream("v2", "a@depth"), r.stream("v1", "b@trade"));
        assert_eq!(r.stream("v2", "a@depth"), a);
        for i in 0..20_000i64 {
            r.record(a, Hop::KernelRead, i);
            if i % 1000 == 0 {
                c.collect();
            }
        }
        r.record(b, Hop::VenueReceive, -5_000_000);
        r.record(b, Hop::VenueReceive, 7_000_000);
        r.flush();
        let (notes, sums) = c.close_minute(60, None).unwrap();
        assert_eq!(c.dropped(), 0);
        assert_eq!(notes.iter().map(|n| n.venue.as_str()).collect::<Vec<_>>(), ["v1", "v2"]);
        let e = &notes[0].entries[0];
        assert_eq!((e.stream.as_str(), e.hop.as_str(), e.count), ("b@trade", "venue_receive", 2));
        assert_eq!((e.min, e.max, e.p999), (-5_000_000, 7_000_000, 7_000_000));
        assert!((e.p50 + 5_000_000).abs() < 50_000, "{}", e.p50);
        let e = &notes[1].entries[0];
        assert_eq!((e.count, e.min, e.max), (20_000, 0, 19_999));
        assert!((e.p50 - 10_000).abs() <= 100, "{}", e.p50);
        assert_eq!(sums.len(), 2);
        assert_eq!((sums[1].hop, sums[1].count, sums[1].max), ("kernel_read", 20_000, 19_999));
        // The next minute begins empty.
        assert_eq!(c.close_minute(120, None).unwrap(), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_collector_that_sleeps_costs_samples_not_time() {
        let (mut r, mut c) = latency();
        let s = r.stream("v", "s");
        let n = (BUFFER_LEN * (BUFFERS + 5)) as u64;
        for i in 0..n {
            r.record(s, Hop::ReadRing, i as i64);
        }
        c.collect();
        r.flush();
        let (notes, _) = c.close_minute(0, None).unwrap();
        let counted = notes[0].entries[0].count as u64;
        assert!(c.dropped() > 0);
        assert_eq!(counted + c.dropped(), n);
    }

    #[test]
    fn notes_stay_small() {
        let (mut r, mut c) = latency();
        for i in 0..10 * NOTE_ENTRIES {
            let s = r.stream("v", &format!("s{i}"));
            r.record(s, Hop::ReadRing, 1);
        }
        r.flush();
        let (notes, _) = c.close_minute(0, None).unwrap();
        assert_eq!(notes.len(), 10);
        assert!(notes.iter().all(|n| n.entries.len() == NOTE_ENTRIES));
        assert!(crate::model::control::to_payload(&notes[0]).len() < 64 * 1024);
    }
}
