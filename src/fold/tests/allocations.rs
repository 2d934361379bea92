//! From the ring to the book without asking for memory, over all recordings: ring copy, parse, sequence, book, and
//! the rows that a converter gets.

use std::path::PathBuf;

use crate::bus::raw::{RawConsumer, RawOptions, RawProducer, create};
use crate::fold::{Effect, Fold, FoldSink, NoSink, RULES_VERSION};
use crate::import::{ImportOptions, import};
use crate::model::control::to_payload;
use crate::model::{Head, InstrumentId, InstrumentVersion, Kind, Record, RowRef, StreamId, TimerEvent};
use crate::sys::alloc::thread_allocations;
use crate::venue;

/// Frames after which buffers have their size.
const WARM: u64 = 400;

/// Takes rows and looks at them, as a converter does, but keeps nothing.
#[derive(Default)]
struct Rows {
    rows: u64,
}

impl FoldSink for Rows {
    const ROWS: bool = true;
    fn row(&mut self, _: &Head, _: RowRef<'_>) {
        self.rows += 1;
    }
    fn instrument(&mut self, _: InstrumentId, _: &InstrumentVersion) {}
    fn effect(&mut self, _: Effect<'_>) {}
}

/// The recordings that venues of this build can read: their files in order, by the names that the expected books give.
fn sessions() -> Vec<(String, &'static str, Vec<PathBuf>)> {
    let dir = std::env::var_os("LOBTAPE_RECORDINGS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/recordings"), PathBuf::from);
    let mut found = Vec::new();
    for e in std::fs::read_dir(dir.join("expected")).unwrap() {
        let text = std::fs::read_to_string(e.unwrap().path()).unwrap();
        let meta: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let names: Vec<&str> =
            meta["files"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
        let slug = names[0].split('_').next().unwrap();
        if let Some((_, v)) = venue::by_id(slug) {
            let files = names.iter().map(|n| dir.join(n)).collect();
            found.push((names[0].to_owned(), v.spec().id, files));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// The session's records in the bytes of the ring.
fn records(slug: &str, files: &[PathBuf]) -> Vec<Vec<u8>> {
    let v = venue::by_id(slug).unwrap().1;
    let url = |s: &str| v.snapshot_request(s).path;
    let opts = ImportOptions {
        venue: slug,
        snapshot_url: &url,
        words: &[],
        rules_version: RULES_VERSION,
        interval_ns: 3_600_000_000_000,
        book_top_interval_ns: 100_000_000,
        lane_memory_bytes: 256 << 20,
    };
    let mut out = Vec::new();
    import(files, &opts, &mut |rec, _| {
        out.push(rec.encode());
        Ok(())
    })
    .unwrap();
    out
}

/// A ring and a fold behind it.
struct Lane {
    ring: RawProducer,
    out: RawConsumer,
    fold: Fold,
    _dir: tempfile::TempDir,
}

impl Lane {
    fn new() -> Lane {
        let dir = tempfile::tempdir().unwrap();
        let options = RawOptions { dataset: 1, lane: 1, capacity: 1 << 22, last_lane_seq: -1 };
        let (ring, out) = create(&dir.path().join("ring"), &options).unwrap();
        Lane { ring, out, fold: Fold::new(1), _dir: dir }
    }

    /// What one record asks for on its way from the ring's one end to the book.
    fn step<S: FoldSink>(&mut self, rec: &Record<'_>, sink: &mut S) -> u64 {
        let before = thread_allocations();
        let numbered = Record { lane_seq: self.ring.next_lane_seq(), ..*rec };
        self.ring.push_control(&numbered).unwrap();
        let copy = Record::decode(self.out.next_record().unwrap()).unwrap();
        self.fold.step(&copy, sink);
        let asked = thread_allocations() - before;
        let at = self.out.position();
        self.out.mark_dur(at);
        asked
    }

    /// Every book ends: its stream was silent for too long.
    fn lose_books<S: FoldSink>(&mut self, last: &Record<'_>, sink: &mut S) {
        let names: Vec<String> =
            (0..).map_while(|n| self.fold.stream(StreamId(n))).map(|(name, ..)| name.to_owned()).collect();
        for stream in names {
            // And may be quiet after all: of one whose book does not change only a snapshot comes.
            for t in [TimerEvent::Silent { stream: stream.clone() }, TimerEvent::Served { stream }] {
                let payload = to_payload(&t);
                self.step(&Record { kind: Kind::Timer, rseq: -1, payload: &payload, ..*last }, sink);
            }
        }
        assert_eq!(self.fold.books().1, 0);
    }
}

/// The session once, so that buffers and books reach their size; then all books are lost and it comes again on the same
/// connection, snapshot and all.
fn check<S: FoldSink>(name: &str, records: &[Vec<u8>], sink: &mut S) {
    let mut lane = Lane::new();
    let (mut frames, mut growth) = (0u64, 0u64);
    let mut last = None;
    for bytes in records {
        let rec = Record::decode(bytes).unwrap();
        let closes = rec.kind == Kind::Connection && !rec.payload.windows(6).any(|w| w == b"\"open\"");
        if closes || rec.kind == Kind::Stop {
            continue;
        }
        let asked = lane.step(&rec, sink);
        if rec.kind == Kind::Frame {
            frames += 1;
            growth += u64::from(asked > 0 && frames > WARM);
            last = Some(rec);
        }
    }
    let (synced, applied) = (lane.fold.books().1, lane.fold.counters().applied);
    // On the way buffers and books grow with the traffic, ever more rarely.
    assert!(growth * 200 < frames, "{name}: {growth} of {frames} frames");
    // Where there is no snapshot, diffs are held up to a bound that once is not enough to reach.
    let times = if synced == 0 { 2 } else { 1 };
    for time in 1..=times {
        lane.lose_books(&last.unwrap(), sink);
        let mut n = 0u64;
        for bytes in records {
            let rec = Record::decode(bytes).unwrap();
            if !matches!(rec.kind, Kind::Frame | Kind::Rest) {
                continue;
            }
            let asked = lane.step(&rec, sink);
            n += u64::from(rec.kind == Kind::Frame);
            if asked > 0 && rec.kind == Kind::Frame && time == times {
                let text = String::from_utf8_lossy(&rec.payload[..rec.payload.len().min(120)]);
                panic!("{name}, rows {}: {asked} allocations at frame {n}: {text}", S::ROWS);
            }
        }
        // The same happened again.
        assert_eq!((n, lane.fold.books().1), (frames, synced), "{name}");
    }
    assert!(lane.fold.counters().applied >= 2 * applied, "{name}");
}

#[test]
fn after_warm_up_no_frame_of_any_recording_asks_for_memory() {
    let sessions = sessions();
    assert!(sessions.len() >= 5);
    for (name, slug, files) in sessions {
        let records = records(slug, &files);
        check(&name, &records, &mut NoSink);
        let mut rows = Rows::default();
        check(&name, &records, &mut rows);
        assert!(rows.rows > 100);
    }
}
