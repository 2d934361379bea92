//! Nanoseconds that a lane pays to hand something over, push and pop on one thread: the event ring against rtrb,
//! crossbeam's ArrayQueue and channel, and std's, the raw ring (checked, surviving the process) against the same two and against the floor, a bare
//! copy of the record. What comes out is compared with what went in before anything is timed.
//!
//! First a table of interleaved rounds (median, spread), then criterion's own runs; these are left out where
//! `LOBTAPE_BENCH_JSON` names a file for the ratio.
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench times, prints, and has nothing to go on with where a ring cannot be made"
)]

use std::hint::black_box;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use lobtape::bus::event::{self, EventProducer, EventSubscriber, LiveEvent, LiveKind, Received};
use lobtape::bus::raw::{self, RawConsumer, RawOptions, RawProducer};
use lobtape::model::{Kind, Record};

const ARRAY_QUEUE: &str = "crossbeam ArrayQueue";
const ROUNDS: usize = 9;
/// Items of a round; a batch stays below every capacity.
const ITEMS: usize = 200_000;
const BATCH: usize = 64;

/// Bytes of a message in a queue of fixed slots: the next power of two above the record.
type Small = [u8; 128];
type Large = [u8; 512];

/// One way to hand over.
trait Way {
    fn name(&self) -> &'static str;
    /// Hands over `n` items in batches and returns a sum over what came out.
    fn run(&mut self, n: usize) -> u64;
}

fn live(n: u64) -> LiveEvent {
    LiveEvent {
        kind: LiveKind::Top,
        flags: 0,
        price_exp: 2,
        size_exp: 3,
        instrument: 7,
        ts_event: n as i64,
        ts_recv: n as i64,
        a: 1,
        b: 2,
        c: 3,
        d: n as i64,
    }
}

struct OwnEvents(EventProducer, EventSubscriber);

impl Way for OwnEvents {
    fn name(&self) -> &'static str {
        "event ring"
    }

    fn run(&mut self, n: usize) -> u64 {
        let mut sum = 0;
        for at in (0..n).step_by(BATCH) {
            (at..at + BATCH).for_each(|i| self.0.push(&live(i as u64)));
            while let Some(r) = self.1.recv() {
                let Received::Event(_, e) = r else { continue };
                sum += e.d as u64;
            }
        }
        sum
    }
}

struct Rtrb<T>(rtrb::Producer<T>, rtrb::Consumer<T>);

impl Way for Rtrb<LiveEvent> {
    fn name(&self) -> &'static str {
        "rtrb"
    }

    fn run(&mut self, n: usize) -> u64 {
        let mut sum = 0;
        for at in (0..n).step_by(BATCH) {
            for i in at..at + BATCH {
                self.0.push(live(i as u64)).expect("room for a batch");
            }
            while let Ok(e) = self.1.pop() {
                sum += e.d as u64;
            }
        }
        sum
    }
}

struct Array<T>(crossbeam_queue::ArrayQueue<T>);

impl Way for Array<LiveEvent> {
    fn name(&self) -> &'static str {
        ARRAY_QUEUE
    }

    fn run(&mut self, n: usize) -> u64 {
        let mut sum = 0;
        for at in (0..n).step_by(BATCH) {
            for i in at..at + BATCH {
                self.0.push(live(i as u64)).expect("room for a batch");
            }
            while let Some(e) = self.0.pop() {
                sum += e.d as u64;
            }
        }
        sum
    }
}

struct Std<T>(std::sync::mpsc::SyncSender<T>, std::sync::mpsc::Receiver<T>);

impl Way for Std<LiveEvent> {
    fn name(&self) -> &'static str {
        "std sync_channel"
    }

    fn run(&mut self, n: usize) -> u64 {
        let mut sum = 0;
        for at in (0..n).step_by(BATCH) {
            for i in at..at + BATCH {
                self.0.try_send(live(i as u64)).expect("room for a batch");
            }
            while let Ok(e) = self.1.try_recv() {
                sum += e.d as u64;
            }
        }
        sum
    }
}

struct Channel<T>(crossbeam_channel::Sender<T>, crossbeam_channel::Receiver<T>);

impl Way for Channel<LiveEvent> {
    fn name(&self) -> &'static str {
        "crossbeam channel"
    }

    fn run(&mut self, n: usize) -> u64 {
        let mut sum = 0;
        for at in (0..n).step_by(BATCH) {
            for i in at..at + BATCH {
                self.0.try_send(live(i as u64)).expect("room for a batch");
            }
            while let Ok(e) = self.1.try_recv() {
                sum += e.d as u64;
            }
        }
        sum
    }
}

fn record(seq: i64, payload: &[u8]) -> Record<'_> {
    Record {
        kind: Kind::Frame,
        flags: 0,
        lane: 1,
        status: 0,
        conn: 1_723_161_255_030_314_667,
        lane_seq: seq,
        rseq: seq,
        ts_kernel: 1,
        ts_mono: 2,
        ts_recv: 3,
        url: "",
        payload,
    }
}

/// Sum over what came out: the number and the last byte.
fn taste(bytes: &[u8]) -> u64 {
    let r = Record::decode(bytes).expect("a record");
    r.lane_seq as u64 + u64::from(r.payload[r.payload.len() - 1])
}

struct OwnRaw {
    ends: (RawProducer, RawConsumer),
    payload: Vec<u8>,
    path: PathBuf,
}

impl OwnRaw {
    fn new(len: usize) -> OwnRaw {
        // In memory, where a deployment has it too.
        let dir = PathBuf::from("/dev/shm");
        let dir = if dir.is_dir() { dir } else { std::env::temp_dir() };
        let path = dir.join(format!("lobtape-bench-{}-{len}", std::process::id()));
        // As much memory as the queues of 1,024 slots have: all three keep to the same cache.
        let capacity = 1024 * (len as u64 + 64).next_power_of_two();
        let o = RawOptions { dataset: 1, lane: 1, capacity, last_lane_seq: -1 };
        OwnRaw { ends: raw::create(&path, &o).expect("a ring"), payload: vec![7; len], path }
    }
}

impl Drop for OwnRaw {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Way for OwnRaw {
    fn name(&self) -> &'static str {
        "raw ring"
    }

    fn run(&mut self, n: usize) -> u64 {
        let (p, c) = &mut self.ends;
        let mut sum = 0;
        for at in (0..n).step_by(BATCH) {
            for i in at..at + BATCH {
                p.push(&record(i as i64, &self.payload)).expect("room for a batch");
            }
            while let Some(b) = c.next_record() {
                sum += taste(b);
            }
            let pos = c.position();
            c.mark_jrn();
            c.mark_dur(pos);
        }
        sum
    }
}

/// Records in the slots of a queue of fixed size.
struct Slots<Q> {
    name: &'static str,
    queue: Q,
    payload: Vec<u8>,
}

macro_rules! slots {
    ($slot:ty) => {
        impl Way for Slots<Rtrb<$slot>> {
            fn name(&self) -> &'static str {
                self.name
            }

            fn run(&mut self, n: usize) -> u64 {
                let mut sum = 0;
                for at in (0..n).step_by(BATCH) {
                    for i in at..at + BATCH {
                        let r = record(i as i64, &self.payload);
                        let mut slot = [0; size_of::<$slot>()];
                        r.encode_to(&mut slot[..r.encoded_len()]);
                        self.queue.0.push(slot).expect("room for a batch");
                    }
                    while let Ok(slot) = self.queue.1.pop() {
                        sum += taste(&slot);
                    }
                }
                sum
            }
        }

        impl Way for Slots<Channel<$slot>> {
            fn name(&self) -> &'static str {
                self.name
            }

            fn run(&mut self, n: usize) -> u64 {
                let mut sum = 0;
                for at in (0..n).step_by(BATCH) {
                    for i in at..at + BATCH {
                        let r = record(i as i64, &self.payload);
                        let mut slot = [0; size_of::<$slot>()];
                        r.encode_to(&mut slot[..r.encoded_len()]);
                        self.queue.0.try_send(slot).expect("room for a batch");
                    }
                    while let Ok(slot) = self.queue.1.try_recv() {
                        sum += taste(&slot);
                    }
                }
                sum
            }
        }
    };
}
slots!(Small);
slots!(Large);

/// The floor: the record is encoded into warm memory and read from there.
struct Copy {
    area: Vec<u8>,
    payload: Vec<u8>,
}

impl Way for Copy {
    fn name(&self) -> &'static str {
        "bare copy"
    }

    fn run(&mut self, n: usize) -> u64 {
        let len = record(0, &self.payload).encoded_len();
        let mut sum = 0;
        for at in (0..n).step_by(BATCH) {
            for (i, slot) in (at..at + BATCH).zip(self.area.chunks_exact_mut(len)) {
                record(i as i64, &self.payload).encode_to(slot);
            }
            black_box(&mut self.area);
            sum += self.area.chunks_exact(len).take(BATCH).map(taste).sum::<u64>();
        }
        sum
    }
}

fn rtrb_ring<T>() -> Rtrb<T> {
    let (p, c) = rtrb::RingBuffer::new(1024);
    Rtrb(p, c)
}

fn channel<T>() -> Channel<T> {
    let (p, c) = crossbeam_channel::bounded(1024);
    Channel(p, c)
}

fn std_channel() -> Std<LiveEvent> {
    let (p, c) = std::sync::mpsc::sync_channel(1024);
    Std(p, c)
}

fn groups() -> Vec<(&'static str, Vec<Box<dyn Way>>)> {
    let (p, ring) = event::ring(1024);
    let events: Vec<Box<dyn Way>> = vec![
        Box::new(OwnEvents(p, ring.subscribe())),
        Box::new(rtrb_ring::<LiveEvent>()),
        Box::new(Array(crossbeam_queue::ArrayQueue::<LiveEvent>::new(1024))),
        Box::new(channel::<LiveEvent>()),
        Box::new(std_channel()),
    ];
    let small: Vec<Box<dyn Way>> = vec![
        Box::new(OwnRaw::new(64)),
        Box::new(Slots { name: "rtrb", queue: rtrb_ring::<Small>(), payload: vec![7; 64] }),
        Box::new(Slots { name: "crossbeam channel", queue: channel::<Small>(), payload: vec![7; 64] }),
        Box::new(Copy { area: vec![0; 128 * BATCH], payload: vec![7; 64] }),
    ];
    let large: Vec<Box<dyn Way>> = vec![
        Box::new(OwnRaw::new(300)),
        Box::new(Slots { name: "rtrb", queue: rtrb_ring::<Large>(), payload: vec![7; 300] }),
        Box::new(Slots { name: "crossbeam channel", queue: channel::<Large>(), payload: vec![7; 300] }),
        Box::new(Copy { area: vec![0; 364 * BATCH], payload: vec![7; 300] }),
    ];
    vec![("event 64 B", events), ("record 64 B payload", small), ("record 300 B payload", large)]
}

/// Panics unless all ways of a group bring out the same.
fn check(group: &str, ways: &mut [Box<dyn Way>]) {
    let want = ways[0].run(BATCH * 100);
    for w in ways {
        assert_eq!(w.run(BATCH * 100), want, "{group}: {}", w.name());
    }
}

fn table(groups: &mut [(&'static str, Vec<Box<dyn Way>>)]) {
    println!("ns per push and pop on one thread, median (min–max) of {ROUNDS} interleaved rounds of {ITEMS}");
    for (group, ways) in groups {
        check(group, ways);
        let mut rounds: Vec<Vec<Duration>> = vec![Vec::new(); ways.len()];
        for _ in 0..ROUNDS {
            for (w, r) in ways.iter_mut().zip(&mut rounds) {
                let start = Instant::now();
                black_box(w.run(ITEMS));
                r.push(start.elapsed());
            }
        }
        report(ways, &rounds);
        for (w, mut r) in ways.iter().zip(rounds) {
            r.sort();
            let ns = |d: Duration| d.as_nanos() as f64 / ITEMS as f64;
            println!(
                "{group:<22} {:<20} {:>7.1} ({:.1}–{:.1})",
                w.name(),
                ns(r[ROUNDS / 2]),
                ns(r[0]),
                ns(r[ROUNDS - 1])
            );
        }
    }
}

/// Appends how many times faster the event ring is than crossbeam's ArrayQueue to `$LOBTAPE_BENCH_JSON`.
fn report(ways: &[Box<dyn Way>], rounds: &[Vec<Duration>]) {
    let Some(path) = std::env::var_os("LOBTAPE_BENCH_JSON") else { return };
    let Some(theirs) = ways.iter().position(|w| w.name() == ARRAY_QUEUE) else { return };
    let ratio = |(own, theirs): (&Duration, &Duration)| theirs.as_secs_f64() / own.as_secs_f64();
    let mut ratios: Vec<f64> = rounds[0].iter().zip(&rounds[theirs]).map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let (mid, low, high) = (ratios[ratios.len() / 2], ratios[0], ratios[ratios.len() - 1]);
    let line = format!("{{\"name\":\"ring_vs_arrayqueue\",\"ratio\":{mid},\"min\":{low},\"max\":{high}}}\n");
    let mut out = std::fs::File::options().create(true).append(true).open(path).expect("the results' file");
    out.write_all(line.as_bytes()).expect("the results' file");
}

fn main() {
    let mut groups = groups();
    if std::env::args().any(|a| a == "--test") {
        groups.iter_mut().for_each(|(g, ways)| check(g, ways));
    } else {
        table(&mut groups);
    }
    if std::env::var_os("LOBTAPE_BENCH_JSON").is_some() {
        return;
    }
    let mut c = Criterion::default().configure_from_args();
    for (group, ways) in &mut groups {
        let mut g = c.benchmark_group(format!("ring/{group}"));
        g.throughput(Throughput::Elements(BATCH as u64 * 10)).sample_size(10);
        for w in ways {
            g.bench_function(w.name(), |b| b.iter(|| w.run(BATCH * 10)));
        }
        g.finish();
    }
    c.final_summary();
}
