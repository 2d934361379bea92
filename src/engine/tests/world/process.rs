//! One run of the recorder: everything that a capture has but sockets, threads and clocks.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::ledger::{Ledger, Must};
use super::net::Net;
use super::plan::Plan;
use super::time::{self, MS, S};
use crate::bus::event::EventRing;
use crate::bus::raw::{self, RawConsumer, RawMonitor, RawOptions, RawProducer};
use crate::config::Config;
use crate::dataset::Dataset;
use crate::engine::capture::{LaneSeed, seeds};
use crate::engine::control::{Control, ControlParts, LaneHandle};
use crate::engine::converting::{Converting, Follow, Progress};
use crate::engine::homes::Homes;
use crate::engine::lane::{Lane, LaneParts};
use crate::engine::lane0::{Entry, Lane0};
use crate::engine::messages::{FromLane, ToLane};
use crate::engine::minutes::Minutes;
use crate::engine::recovering::Recovered;
use crate::engine::rest::Pool;
use crate::engine::{links, recovering};
use crate::fold::Fold;
use crate::journal::model_tests::tear;
use crate::journal::tests::Faults;
use crate::journal::{JournalShared, Options, Position, Pump, PumpOptions};
use crate::metrics::{BookState, Collector, Shared};
use crate::model::control::to_payload;
use crate::model::{Kind, LaneId, RunStart, RunStop};
use crate::simulator::by_hand_tests::Venue;
use crate::wire::TlsSetup;
use crate::wire::clock;
use crate::wire::reader::{Reader, ReaderConfig};

/// Orders, reports and control records that may wait: one thread cannot wait for itself.
const CHANNEL: usize = 1 << 16;
/// Bytes of a lane's ring.
const RING: u64 = 2 << 20;
/// The converter's turn.
const CONVERT_EVERY: i64 = 50 * MS;

/// A lane with its orders.
pub struct Side {
    pub id: LaneId,
    pub lane: Lane,
    pub reader: Reader,
    pub monitor: RawMonitor,
    orders: Receiver<ToLane>,
}

pub struct Process {
    net: Net,
    control: Control,
    pub sides: Vec<Side>,
    pump: Pump,
    marks: Arc<JournalShared>,
    pub faults: Arc<Faults>,
    lane0: Arc<Lane0>,
    /// `None`: its disk refuses, and it waits.
    converting: Option<Converting>,
    follow: Follow,
    ids: Vec<LaneId>,
    shared: Arc<Shared>,
    run_id: String,
    convert_at: i64,
    /// Storage has failed or was slow in this run: nobody promises 250 ms.
    pub storage_failed: bool,
    /// When the converter tries its disk again.
    retry_at: i64,
    /// The dataset's place.
    root: PathBuf,
    rings: PathBuf,
    _ds: Arc<Dataset>,
}

/// Where a recorder lives.
pub struct Place {
    pub root: PathBuf,
    pub rings: PathBuf,
}

pub fn config(place: &Place, plan: &Plan, symbols: &[String]) -> Config {
    let list = |v: &[String]| v.iter().map(|s| format!("{s:?}")).collect::<Vec<_>>().join(", ");
    let cores = (0..plan.lanes).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let text = format!(
        "[dataset]\npath = {:?}\ninterval = \"{}s\"\n[capture]\ncores = [{cores}]\n[[venue]]\nid = \"{}\"\n\
         symbols = [{}]\nchannels = [{}]\nlegs = {}\nrotate_after = \"{}s\"\nrest = \"http://127.0.0.1:9\"\n\
         ws = \"ws://127.0.0.1:9\"\nbackfill = false\n",
        place.root.to_str().unwrap(),
        plan.interval_s,
        plan.venue,
        list(symbols),
        list(&plan.channels),
        plan.legs,
        plan.rotate_s,
    );
    Config::from_parts("world.toml", &text, [], &[]).unwrap()
}

fn run_of(config: &Config, lanes: u16, floor: i64) -> RunStart {
    let ts_start = clock::wall_ns();
    RunStart {
        run_id: format!("{ts_start}-1"),
        writer: "capture".to_owned(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        host: "world".to_owned(),
        config_sha256: String::new(),
        rules_version: crate::fold::RULES_VERSION,
        ts_start,
        interval_ns: config.dataset.interval_ns,
        book_top_interval_ns: config.dataset.book_top_interval_ns,
        lane_memory_bytes: (256 << 20) / u64::from(lanes),
        auto_register: false,
        epoch_floor: floor,
        venues: Vec::new(),
    }
}

/// What a start does first, and what it owes of the run before.
fn recovered(
    place: &Place,
    config: &Config,
    plan: &Plan,
    ledger: &mut Ledger,
    rng: &mut fastrand::Rng,
) -> (Arc<Dataset>, Arc<Faults>, Recovered) {
    let ds = Arc::new(Dataset::create(&place.root).unwrap());
    let mut options = Options::new(recovering::dataset_number(&ds).unwrap());
    options.segment_bytes = plan.segment_bytes;
    options.salt_seed = Some(rng.u64(..));
    let faults = Arc::clone(&options.faults);
    let mut r = recovering::recover(&ds, options, Some(&place.rings)).unwrap();
    let lanes = links::lanes(config);
    recovering::end_lanes(&mut r, |l| (1..=lanes).contains(&l)).unwrap();
    faults.by_hand.store(true, Ordering::SeqCst);
    for l in 1..=lanes {
        let state = r.report.lane(l).map(|s| s.state.last_seq);
        ledger.recovered(l, state.unwrap_or(-1));
    }
    (ds, faults, r)
}

fn rings_of(
    place: &Place,
    lanes: u16,
    ds: &Dataset,
    recovered: &Recovered,
) -> (Vec<RawProducer>, Vec<RawConsumer>) {
    let number = recovering::dataset_number(ds).unwrap();
    let (mut ends, mut paths) = (Vec::new(), Vec::new());
    for lane in 1..=lanes {
        let path = place.rings.join(raw::ring_file_name(number, lane));
        let last_lane_seq = recovered.writer.lane(lane).map_or(-1, |l| l.last_seq);
        let o = RawOptions { dataset: number, lane, capacity: RING, last_lane_seq };
        ends.push(raw::create(&path, &o).unwrap());
        paths.push((lane, path));
    }
    ds.set_rings(&paths).unwrap();
    ends.into_iter().unzip()
}

/// The lanes, as they are held, as control reaches them, and their latencies.
struct Sides {
    sides: Vec<Side>,
    handles: Vec<LaneHandle>,
    collectors: Vec<(LaneId, Collector)>,
}

fn sides_of(
    seeds: Vec<(LaneSeed, Collector, EventRing)>,
    run: &RunStart,
    reports: &Sender<FromLane>,
    shared: &Shared,
) -> Sides {
    let mut all = Sides { sides: Vec::new(), handles: Vec::new(), collectors: Vec::new() };
    for (seed, collector, _) in seeds {
        let (id, monitor) = (seed.clock.lane(), seed.ring.monitor());
        let reader = Reader::new(ReaderConfig::default()).unwrap();
        let (orders_in, orders) = bounded(CHANNEL);
        all.handles.push(LaneHandle { lane: id, orders: orders_in, waker: reader.waker() });
        let parts = LaneParts {
            ring: seed.ring,
            clock: seed.clock,
            orders,
            reports: reports.clone(),
            metrics: shared.add_lane(id),
            recorder: seed.recorder,
            events: seed.events,
        };
        let (lane, orders) = Lane::new(parts, run, seed.crash);
        all.collectors.push((id, collector));
        all.sides.push(Side { id, lane, reader, monitor, orders });
    }
    all
}

fn follow_of(
    (ds, end, lanes): (&Arc<Dataset>, Position, Vec<LaneId>),
    marks: &Arc<JournalShared>,
    lane0: &Arc<Lane0>,
    shared: &Arc<Shared>,
) -> Follow {
    Follow {
        ds: Arc::clone(ds),
        dirs: recovering::dirs(ds, None),
        end,
        keep: Arc::new(Mutex::new(crate::dataset::retention::Keep::new(&Default::default(), None))),
        journal: Arc::clone(marks),
        lane0: Arc::clone(lane0),
        lanes,
        progress: Arc::new(Progress::default()),
        shared: Arc::clone(shared),
    }
}

impl Process {
    /// What a start does: recovery, rings, lanes, control, converter.
    pub fn start(
        place: &Place,
        config: &Config,
        plan: &Plan,
        ledger: &mut Ledger,
        rng: &mut fastrand::Rng,
    ) -> Process {
        let (ds, faults, recovered) = recovered(place, config, plan, ledger, rng);
        let states = recovered.report.lanes.clone();
        let lanes = links::lanes(config);
        let floor = states.iter().map(|l| l.state.max_ts_recv).max().unwrap_or(0);
        let run = run_of(config, lanes, floor);
        let (producers, consumers) = rings_of(place, lanes, &ds, &recovered);
        let (journal_in, journal_out) = bounded(CHANNEL);
        let last0 = recovered.report.lane(0).map_or(0, |l| l.state.max_ts_recv);
        let lane0 = Arc::new(Lane0::new(last0, run.interval_ns, journal_in));
        let end = recovered.writer.durable();
        let last_conn = states.iter().map(|l| l.state.max_conn).max().unwrap_or(0);
        let pump_options = PumpOptions { clock: clock::mono_ns, ..PumpOptions::default() };
        let pump = Pump::new(recovered.writer, consumers, journal_out, pump_options);
        let marks = pump.shared();
        lane0.append(run.ts_start, clock::mono_ns(), Entry::new(Kind::Run, to_payload(&run)));
        let shared = Arc::new(Shared::new(&run.run_id, ""));
        let (reports_in, reports) = bounded(CHANNEL);
        let seeds = seeds(producers, &states, recovered.cause, run.interval_ns, 16);
        let Sides { sides, handles, collectors } = sides_of(seeds, &run, &reports_in, &shared);
        let ids = std::iter::once(0).chain(sides.iter().map(|s| s.id)).collect();
        let follow = follow_of((&ds, end, ids), &marks, &lane0, &shared);
        let converting = Some(follow.begin(end).unwrap());
        let rings = sides.iter().map(|s| s.monitor.clone()).collect();
        let line = Box::new(|_: &str| {});
        let parts = ControlParts {
            config: config.clone(),
            tls: tls(),
            proxy: None,
            lanes: handles,
            reports,
            lane0: Arc::clone(&lane0),
            shared: Arc::clone(&shared),
            minutes: Minutes::new(ds.root().to_owned(), collectors, Arc::clone(&marks), rings, line),
            reloads: bounded(1).1,
            keep: Arc::clone(&follow.keep),
            ladder: None,
            missed: Arc::clone(&follow.progress.missed),
            last_conn,
            homes: Homes::load(Arc::clone(&ds), config, states.last().map_or(0, |l| l.state.lane)),
        };
        let (pool, jobs, done) = Pool::by_hand();
        Process {
            net: Net::new(jobs, done, rng.u64(..)),
            control: Control::with_pool(parts, pool).unwrap(),
            ids: follow.lanes.clone(),
            sides,
            pump,
            marks,
            faults,
            lane0,
            converting,
            follow,
            shared,
            run_id: run.run_id,
            convert_at: time::now() + CONVERT_EVERY,
            storage_failed: false,
            retry_at: 0,
            root: place.root.clone(),
            rings: place.rings.clone(),
            _ds: ds,
        }
    }

    pub fn break_requests(&mut self, per_thousand: u32) {
        self.net.break_requests = per_thousand;
    }

    /// Its disk and its line are well from now on.
    pub fn heal(&mut self) {
        for n in [&self.faults.write_in, &self.faults.sync_in, &self.faults.create_in, &self.faults.looks] {
            n.store(0, Ordering::SeqCst);
        }
        self.break_requests(0);
    }

    /// Everything that is due now, once.
    pub fn step(&mut self, venue: &mut Venue, ledger: &mut Ledger) {
        for (n, side) in self.sides.iter_mut().enumerate() {
            while let Ok(order) = side.orders.try_recv() {
                self.net.order(n, side, order, venue);
            }
            side.lane.timers();
            self.net.serve(n, side, venue, ledger);
            side.lane.hear_answers();
            side.lane.send_reports();
        }
        self.net.ask(venue);
        self.control.work().unwrap();
        self.pump.step();
        self.storage_failed |= self.marks.failures() > 0;
        if time::now() >= self.convert_at {
            self.convert_at = time::now() + CONVERT_EVERY;
            self.convert();
        }
    }

    fn convert(&mut self) {
        if self.converting.is_none() && time::now() >= self.retry_at {
            self.retry_at = time::now() + 500 * MS;
            self.converting = match self.follow.retry() {
                Ok(c) => Some(c),
                Err(e) if e.is_storage() => None,
                Err(e) => panic!("the converter cannot go on: {e}"),
            };
        }
        let Some(converting) = &mut self.converting else { return };
        let (pump, marks) = (&mut self.pump, &self.marks);
        let begun = time::now();
        let mut durable = |at| {
            while marks.marks().dur <= at && !marks.marks().finished {
                time::pass(MS);
                pump.step();
                assert!(time::now() - begun < 120 * S, "{at} does not become durable");
            }
        };
        match converting.turn(marks.marks().jrn, &mut durable, &self.lane0, &self.ids) {
            Ok(()) => {}
            Err(e) if e.is_storage() => {
                (self.converting, self.retry_at) = (None, time::now() + 250 * MS);
            }
            Err(e) => panic!("the converter ends: {e}"),
        }
    }

    /// Books that are proven, and all.
    pub fn synced(&self) -> (usize, usize) {
        let books: Vec<_> = self.shared.lanes().iter().flat_map(|l| l.books()).collect();
        (books.iter().filter(|b| b.state() == BookState::Synced).count(), books.len())
    }

    pub fn open_links(&self) -> usize {
        self.net.open_links()
    }

    /// SIGKILL: what is in the rings stays.
    pub fn kill(self, venue: &mut Venue, ledger: &mut Ledger) {
        for s in &self.sides {
            ledger.must.insert(s.id, Must { last_seq: s.monitor.last_lane_seq(), since: Some(i64::MIN) });
        }
        hang_up(venue);
    }

    /// The machine loses its power: the rings are gone, and of the journal what was not synced is anything.
    pub fn cut_power(self, venue: &mut Venue, ledger: &mut Ledger, seed: u64) {
        let writer = self.pump.writer();
        let durable = writer.durable();
        for s in &self.sides {
            let last_seq = writer.lanes_durable().iter().find(|l| l.lane == s.id).map_or(-1, |l| l.last_seq);
            let since = (!self.storage_failed).then_some(time::now() - 250 * MS);
            ledger.must.insert(s.id, Must { last_seq, since });
        }
        let (root, rings) = (self.root.clone(), self.rings.clone());
        drop(self);
        tear(&root.join("_journal"), durable, seed);
        for e in std::fs::read_dir(rings).unwrap() {
            std::fs::remove_file(e.unwrap().path()).unwrap();
        }
        other_boot(&root);
        time::reboot();
        hang_up(venue);
    }

    /// SIGTERM. An error: storage fails, and what is left is in the rings.
    pub fn stop(mut self, venue: &mut Venue, ledger: &mut Ledger) -> Result<(), String> {
        // A capture whose journal has no room waits for it, as long as it is let.
        self.faults.broken.store(false, Ordering::SeqCst);
        self.control.order_stop();
        for side in &mut self.sides {
            while let Ok(order) = side.orders.try_recv() {
                if !matches!(order, ToLane::Open(..) | ToLane::Close { .. } | ToLane::Send { .. }) {
                    side.lane.order(&mut side.reader, order);
                }
            }
        }
        for s in &self.sides {
            ledger.must.insert(s.id, Must { last_seq: s.monitor.last_lane_seq(), since: Some(i64::MIN) });
        }
        hang_up(venue);
        let (wall, mono) = (clock::wall_ns(), clock::mono_ns());
        let stop = RunStop { run_id: self.run_id.clone(), ts_stop: wall, exit: "clean".to_owned() };
        self.lane0.append(wall, mono, Entry::new(Kind::Stop, to_payload(&stop)));
        let progress = Arc::clone(&self.follow.progress);
        progress.stopping.store(true, Ordering::Release);
        self.retry_at = 0;
        let begun = time::now();
        while !progress.done.load(Ordering::Acquire) {
            time::pass(5 * MS);
            self.pump.step();
            self.convert();
            if self.converting.is_none() {
                // Its disk refuses still: the next start makes its files.
                break;
            }
            assert!(time::now() - begun < 120 * S, "does not stop");
        }
        let end = self.pump.finish().map_err(|e| e.to_string())?;
        let Some(mut converting) = self.converting else { return Err("no files".to_owned()) };
        converting.turn(end, &mut |_| {}, &self.lane0, &self.ids).map_err(|e| e.to_string())
    }

    /// The folds of a lane: the live one and the converter's.
    pub fn folds(&self) -> impl Iterator<Item = (LaneId, &'static str, &Fold)> {
        let live = self.sides.iter().map(|s| (s.id, "live", s.lane.fold()));
        let of = |s: &Side| Some((s.id, "converter", self.converting.as_ref()?.converter().fold(s.id)?));
        live.chain(self.sides.iter().filter_map(of))
    }
}

fn hang_up(venue: &mut Venue) {
    for no in venue.open_conns() {
        venue.leave(no);
    }
}

/// The marker says that the dataset was written in another run of the machine.
fn other_boot(root: &Path) {
    let path = root.join("LOBTAPE");
    let text = std::fs::read_to_string(&path).unwrap();
    let here = crate::sys::process::boot_id();
    assert!(here.is_empty() || text.contains(&here), "{text}");
    if !here.is_empty() {
        std::fs::write(&path, text.replace(&here, "00000000-0000-4000-8000-000000000000")).unwrap();
    }
}

/// Reading the roots takes longer than a small world.
fn tls() -> TlsSetup {
    thread_local! {
        static TLS: TlsSetup = TlsSetup::new(&[]).unwrap();
    }
    TLS.with(Clone::clone)
}
