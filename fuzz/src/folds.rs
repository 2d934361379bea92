//! The fold and its checkpoints.

use lobtape::fold::{Effect, Fold, FoldSink, NoSink, RULES_VERSION};
use lobtape::model::control::{ConnEvent, RunStart, Subscribed, to_payload};
use lobtape::model::{Head, InstrumentId, InstrumentVersion, Kind, LaneClock, Record, RowRef};
use lobtape::sink::{Checkpoint, CheckpointError};
use lobtape::venue::{all, poll_request};

use crate::input::Script;

const HOUR: i64 = 3_600_000_000_000;
const CONN: i64 = 7;
const REST: i64 = 900;
/// What a time may advance by between two records.
const STEPS: [i64; 8] = [1, 1_000, 1_000_000, 100_000_000, 1_000_000_000, 61_000_000_000, HOUR, 24 * HOUR];

/// Records of a lane, owned.
struct Owned {
    kind: Kind,
    conn: i64,
    rseq: i64,
    ts: i64,
    url: String,
    payload: Vec<u8>,
}

impl Owned {
    fn record(&self, clock: &mut LaneClock) -> Record<'_> {
        Record {
            kind: self.kind,
            flags: 0,
            lane: 1,
            status: 200,
            conn: self.conn,
            lane_seq: clock.take_seq(),
            rseq: self.rseq,
            ts_kernel: 0,
            ts_mono: self.ts,
            ts_recv: self.ts,
            url: &self.url,
            payload: &self.payload,
        }
    }
}

/// Rows and effects as text.
#[derive(Default)]
struct Log(Vec<String>);

impl FoldSink for Log {
    const ROWS: bool = true;
    const CHANGES: bool = true;
    fn row(&mut self, head: &Head, row: RowRef<'_>) {
        self.0.push(format!("{head:?} {row:?}"));
    }
    fn instrument(&mut self, _: InstrumentId, _: &InstrumentVersion) {}
    fn effect(&mut self, effect: Effect<'_>) {
        self.0.push(format!("{effect:?}"));
    }
    fn cut(&mut self, id: InstrumentId) {
        self.0.push(format!("cut {id:?}"));
    }
}

/// A script of records, at a venue that the first byte chooses: nothing in them stops the fold, and one that goes on from
/// a checkpoint in their midst gives the same rows and ends in the same state.
pub fn fold(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (at, cut) = (usize::from(script.u8()) % all().len(), usize::from(script.u8()));
    let records = records(at, &mut script);
    let mut clock = LaneClock::new(1, -1, HOUR);
    let (mut straight, mut log) = (Fold::new(1), Log::default());
    let (mut resumed, mut again) = (Fold::new(1), Log::default());
    for (n, r) in records.iter().enumerate() {
        let rec = r.record(&mut clock);
        straight.step(&rec, &mut log);
        resumed.step(&rec, &mut again);
        if n == cut {
            let saved = resumed.save().expect("a state can be saved");
            resumed = Fold::restore(&saved, &mut NoSink).expect("what was saved can be restored");
            assert_eq!(resumed.save().ok(), Some(saved));
        }
    }
    assert_eq!(log.0, again.0);
    assert_eq!(straight.save().ok(), resumed.save().ok());
}

/// The start of a run with a connection that has every stream of the venue; then what the script says.
fn records(at: usize, script: &mut Script<'_>) -> Vec<Owned> {
    let venue = all()[at];
    let slug = venue.spec().id;
    let mut ts = 1_700_000_000_000_000_000;
    let mut out = Vec::new();
    let mut push = |kind, conn, rseq, ts, url: &str, payload: Vec<u8>| {
        out.push(Owned { kind, conn, rseq, ts, url: url.to_owned(), payload });
    };
    push(Kind::Run, 0, -1, ts, "", to_payload(&run()));
    for conn in [CONN, REST] {
        push(Kind::Connection, conn, -1, ts, "wss://x", to_payload(&open(slug)));
    }
    let add = crate::names(at).iter().filter_map(|n| venue.parse_stream(n)).collect();
    let subscribed = Subscribed { venue: slug.to_owned(), add, ..Subscribed::default() };
    push(Kind::Subscription, CONN, -1, ts, "", to_payload(&subscribed));
    for n in 0..64 {
        if script.is_empty() {
            break;
        }
        let what = script.u8();
        let len = usize::from(script.u16());
        let payload = script.piece(len).to_vec();
        ts += STEPS[usize::from(what >> 5)];
        match what & 31 {
            0..16 => push(Kind::Frame, CONN, n, ts, "", payload),
            16..20 => push(Kind::Rest, REST, n, ts, &venue.snapshot_request("BTCUSDT").path, payload),
            20 => {
                let poll = venue.polls().first();
                let url = poll.map_or(String::new(), |p| {
                    poll_request(p, &format!("{}{}", p.channel, p.args[0]), "BTCUSDT").path
                });
                push(Kind::Rest, REST, n, ts, &url, payload);
            }
            kind => {
                let kind = Kind::ALL[usize::from(kind) - 21 + 2];
                push(kind, CONN, -1, ts, "", payload);
            }
        }
    }
    out
}

fn run() -> RunStart {
    RunStart {
        run_id: "r".into(),
        writer: "capture".into(),
        build: "0".into(),
        host: String::new(),
        config_sha256: String::new(),
        rules_version: RULES_VERSION,
        ts_start: 1,
        interval_ns: HOUR,
        book_top_interval_ns: 0,
        lane_memory_bytes: 1 << 28,
        auto_register: true,
        epoch_floor: 0,
        venues: Vec::new(),
    }
}

fn open(venue: &str) -> ConnEvent {
    ConnEvent {
        event: "open".into(),
        venue: venue.into(),
        leg: 0,
        slot: 0,
        code: 0,
        cause: String::new(),
        answered: false,
        detail: String::new(),
    }
}

/// A checkpoint's payload, compressed or not by the first byte, or the fold's part of it, or that part as records make it
/// with bytes changed: refused with a reason, or read into a state that, written and read, stays the same.
pub fn checkpoint(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let choice = script.u8() % 4;
    if choice == 3 {
        return damaged(&mut script);
    }
    let bytes = script.rest();
    if choice == 2 {
        return state(bytes);
    }
    let packed;
    let payload = match choice {
        // A few KiB unpack to what a small machine bears.
        0 => &bytes[..bytes.len().min(4096)],
        _ => {
            packed = zstd::bulk::compress(bytes, 1).expect("memory takes it");
            &packed
        }
    };
    match Checkpoint::read(payload) {
        Ok(c) => {
            assert_eq!(c.payload, payload);
            if let Ok(f) = c.fold(&mut NoSink) {
                state(&f.save().expect("a state can be saved"));
            }
        }
        Err(CheckpointError::Format(n)) => assert_ne!(n, 1),
        Err(e) => assert!(!e.to_string().is_empty()),
    }
}

/// The state behind a script of records, with up to three bytes changed.
fn damaged(script: &mut Script<'_>) {
    let flips = script.array::<9>();
    let at = usize::from(script.u8()) % all().len();
    let mut fold = Fold::new(1);
    let mut clock = LaneClock::new(1, -1, HOUR);
    for r in &records(at, script) {
        fold.step(&r.record(&mut clock), &mut NoSink);
    }
    let mut saved = fold.save().expect("a state can be saved");
    state(&saved);
    for f in flips.chunks(3) {
        let at = usize::from(u16::from_le_bytes([f[0], f[1]])) % saved.len();
        saved[at] ^= f[2];
    }
    state(&saved);
}

fn state(bytes: &[u8]) {
    let Ok(f) = Fold::restore(bytes, &mut NoSink) else { return };
    let saved = f.save().expect("a state can be saved");
    let again = Fold::restore(&saved, &mut NoSink).expect("what was saved can be restored");
    assert_eq!(again.save().ok(), Some(saved));
    assert_eq!((f.instruments(), f.books()), (again.instruments(), again.books()));
}
