//! A capture from start to stop: recovery, threads, shutdown.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::control::{Control, ControlFault, ControlParts, LaneHandle};
use super::converting::{ConvertError, Follow, Progress};
use super::cores;
use super::homes::Homes;
use super::keys;
use super::ladder::Ladder;
use super::lane::{Lane, LaneParts};
use super::lane0::{Entry, Lane0};
use super::messages::{FromLane, ToLane};
use super::minutes::Minutes;
use super::plan::{self, PlanFault};
use super::recovering::{self, RecoverError, Recovered};
use super::runtime::{self, RuntimeFault};
use crate::bus::event::{self, EventProducer, EventRing};
use crate::bus::raw::{self, RawConsumer, RawError, RawOptions, RawProducer};
use crate::config::{Config, Wait};
use crate::dataset::retention::Keep;
use crate::dataset::{Dataset, DatasetError};
use crate::journal::{JournalError, JournalShared, LaneReport, Options, Position, Pump, PumpOptions};
use crate::metrics::{Collector, HopSummary, Recorder, Shared, State, latency};
use crate::model::control::to_payload;
use crate::model::{GapCause, GapNote, Kind, LaneClock, LaneId, RunStart, RunStop};
use crate::wire::reader::{Reader, ReaderConfig, WaitMode};
use crate::wire::{TlsSetup, clock};

/// Orders that may wait for a lane.
const ORDERS_MAX: usize = 1024;
/// Reports that may wait for control.
const REPORTS_MAX: usize = 8192;
/// Events that a lane keeps for live subscribers: 4 MiB.
const EVENTS_MAX: usize = 1 << 16;
/// New configurations that may wait for control.
const RELOADS_MAX: usize = 4;

/// Why a capture could not start, or ended badly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The configuration does not fit the venues.
    #[error(transparent)]
    Plan(#[from] PlanFault),
    /// The dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Recovery of the run before.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// What the configuration names outside the dataset.
    #[error(transparent)]
    Runtime(#[from] RuntimeFault),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A raw ring.
    #[error(transparent)]
    Ring(#[from] RawError),
    /// Control.
    #[error(transparent)]
    Control(#[from] ControlFault),
    /// The converter.
    #[error("the converter stopped; every record is in the journal, the next start goes on: {0}")]
    Convert(#[from] ConvertError),
    /// A thread or the kernel.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A thread of ours died.
    #[error("the {0} thread died; its records are in the ring and the journal")]
    Died(&'static str),
}

/// What a capture did.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Summary {
    /// Frames received.
    pub frames: u64,
    /// Bytes of frames.
    pub bytes: u64,
    /// Frames that could not be read.
    pub rejects: u64,
    /// Gaps by cause.
    pub gaps: std::collections::BTreeMap<String, u64>,
    /// Events that stay in `raw` alone, by name: of streams without a table, and unknown ones.
    pub others: std::collections::BTreeMap<String, u64>,
    /// Files made visible.
    pub files: i64,
    /// Their rows.
    pub rows: i64,
    /// Their bytes.
    pub file_bytes: i64,
    /// Quantiles per hop of the last minute, also of one that was not over, by lane.
    pub latency: std::collections::BTreeMap<LaneId, Vec<HopSummary>>,
}

/// A running capture.
pub struct Capture {
    shared: Arc<Shared>,
    progress: Arc<Progress>,
    journal: Arc<JournalShared>,
    lane0: Arc<Lane0>,
    run_id: String,
    stop: Arc<AtomicBool>,
    reloads: Sender<Config>,
    control: ControlThread,
    lanes: Vec<JoinHandle<()>>,
    events: Vec<(LaneId, EventRing)>,
    pump: JoinHandle<Result<Position, JournalError>>,
    converter: JoinHandle<Result<(), ConvertError>>,
    /// Held open (and locked) until the end.
    _ds: Arc<Dataset>,
}

/// What is made before any thread starts.
struct Ready {
    ds: Arc<Dataset>,
    config: Config,
    run: RunStart,
    recovered: Recovered,
    rings: Vec<(RawProducer, RawConsumer)>,
    tls: TlsSetup,
    shared: Arc<Shared>,
    ladder: Option<Ladder>,
    homes: Homes,
}

impl Capture {
    /// Starts a capture. `line` prints the status line of each minute.
    ///
    /// # Errors
    /// [`CaptureError`] names what is wrong; nothing runs then.
    pub fn start(config: Config, line: Box<dyn FnMut(&str) + Send>) -> Result<Capture, CaptureError> {
        let ds = Capture::lock(&config)?;
        Capture::start_on(ds, config, line)
    }

    /// Takes the dataset for a capture, before anything else is tried.
    ///
    /// # Errors
    /// The configuration cannot be captured, or the dataset is not ours or in use.
    pub fn lock(config: &Config) -> Result<Arc<Dataset>, CaptureError> {
        plan::plan(config)?;
        // A key that cannot be had ends it before anything is made.
        for v in &config.venues {
            keys::load(v, &|name| std::env::var(name).ok()).map_err(ControlFault::from)?;
        }
        // So does a place where no ring or segment can be made, or a CA that is none.
        if let Some(fault) = runtime::faults(config).into_iter().next() {
            return Err(fault.into());
        }
        Ok(Arc::new(Dataset::create(&config.dataset.path)?))
    }

    /// As [`Capture::start`], on a dataset that was taken before.
    ///
    /// # Errors
    /// [`CaptureError`] names what is wrong; nothing runs then.
    pub fn start_on(
        ds: Arc<Dataset>,
        config: Config,
        line: Box<dyn FnMut(&str) + Send>,
    ) -> Result<Capture, CaptureError> {
        let (reports_in, reports) = bounded(REPORTS_MAX);
        let (journal_in, journal_out) = bounded(ORDERS_MAX);
        let (reloads_in, reloads) = bounded(RELOADS_MAX);
        let Ready { ds, config, run, recovered, rings, tls, shared, ladder, homes } = prepare(ds, config)?;
        let last0 = recovered.report.lane(0).map_or(0, |l| l.state.max_ts_recv);
        let lane0 = Arc::new(Lane0::new(last0, run.interval_ns, journal_in));
        let (producers, consumers): (Vec<_>, Vec<_>) = rings.into_iter().unzip();
        let end = recovered.writer.durable();
        let last_conn = recovered.report.lanes.iter().map(|l| l.state.max_conn).max().unwrap_or(0);
        let (lane_states, cause) = (recovered.report.lanes.clone(), recovered.cause);
        let pump = Pump::new(recovered.writer, consumers, journal_out, PumpOptions::default());
        let journal = pump.shared();
        let pump = spawn("journal", move || pump.run())?;
        lane0.append(run.ts_start, clock::mono_ns(), Entry::new(Kind::Run, to_payload(&run)));

        let rings = producers.iter().map(RawProducer::monitor).collect();
        let seeds = seeds(producers, &lane_states, cause, run.interval_ns, EVENTS_MAX);
        let started = start_lanes(seeds, &config, &run, &reports_in, &shared)?;
        let keep = keep_of(&config);
        let converter = start_converter(Follow {
            ds: Arc::clone(&ds),
            dirs: recovering::dirs(&ds, config.capture.fallback_dir.clone()),
            end,
            keep: Arc::clone(&keep),
            journal: Arc::clone(&journal),
            lane0: Arc::clone(&lane0),
            lanes: std::iter::once(0).chain(started.collectors.iter().map(|c| c.0)).collect(),
            progress: Arc::default(),
            shared: Arc::clone(&shared),
        })?;
        let root = ds.root().to_owned();
        let parts = ControlParts {
            config: config.clone(),
            tls,
            proxy: config.proxy.clone(),
            lanes: started.handles,
            reports,
            lane0: Arc::clone(&lane0),
            shared: Arc::clone(&shared),
            minutes: Minutes::new(root, started.collectors, Arc::clone(&journal), rings, line),
            reloads,
            keep,
            ladder,
            missed: Arc::clone(&converter.1.missed),
            last_conn,
            homes,
        };
        let (control, stop) = start_control(parts)?;
        Ok(Capture {
            shared,
            progress: converter.1,
            journal,
            lane0,
            run_id: run.run_id,
            stop,
            reloads: reloads_in,
            control,
            lanes: started.threads,
            events: started.events,
            pump,
            converter: converter.0,
            _ds: ds,
        })
    }

    /// What is shared with status pages.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// What the books do as they do it, by lane; for any number of subscribers, none of which anybody waits for.
    pub fn events(&self) -> Vec<(LaneId, EventRing)> {
        self.events.clone()
    }

    /// Takes a new configuration, as far as a running capture can: symbols, channels, venues, rotation, retention. What it
    /// cannot take it says in the log and leaves as it was.
    pub fn reload(&self, config: Config) {
        if self.reloads.try_send(config).is_err() {
            tracing::warn!("the configuration is not applied: others wait already, or the capture ends");
        }
    }

    /// Whether control or a vital thread has ended although nobody asked it to.
    pub fn has_ended(&self) -> bool {
        self.control.is_finished() || self.pump.is_finished() || self.converter.is_finished()
    }

    /// Waits a little for something to do.
    pub fn wait(&self, at_most: Duration) {
        self.journal.wait_ended(at_most);
    }

    /// Stops cleanly: lanes, journal, converter, all files visible.
    ///
    /// # Errors
    /// What went wrong first; the rest is stopped all the same.
    pub fn stop(self) -> Result<Summary, CaptureError> {
        self.stop.store(true, Ordering::Release);
        let control = self.control.join().map_err(|_| CaptureError::Died("control"));
        for l in self.lanes {
            if l.join().is_err() {
                tracing::error!("a reader thread died");
            }
        }
        let (wall, mono) = (clock::wall_ns(), clock::mono_ns());
        let stop = RunStop { run_id: self.run_id.clone(), ts_stop: wall, exit: "clean".to_owned() };
        self.lane0.append(wall, mono, Entry::new(Kind::Stop, to_payload(&stop)));
        self.progress.stopping.store(true, Ordering::Release);
        while !self.progress.done.load(Ordering::Acquire)
            && !self.converter.is_finished()
            && !self.pump.is_finished()
        {
            self.journal.wait_ended(Duration::from_millis(5));
        }
        self.journal.request_finish();
        let pump = self.pump.join().map_err(|_| CaptureError::Died("journal"));
        let converter = self.converter.join().map_err(|_| CaptureError::Died("converter"));
        control??;
        pump??;
        converter??;
        Ok(summary(&self.shared, &self.progress))
    }
}

/// What a capture has done so far.
pub fn summary(shared: &Shared, p: &Progress) -> Summary {
    let mut s = Summary::default();
    for l in shared.lanes() {
        s.frames += l.reader.frames.get();
        s.bytes += l.reader.bytes.get();
        s.rejects += l.reader.rejects.get();
        for (c, n) in crate::model::GapCause::ALL.iter().zip(&l.reader.gaps) {
            if n.get() > 0 {
                *s.gaps.entry(c.as_str().to_owned()).or_default() += n.get();
            }
        }
        for (name, n) in l.others() {
            *s.others.entry(name).or_default() += n;
        }
        s.latency.insert(l.lane, l.hops());
    }
    s.files = p.files.load(Ordering::Relaxed);
    s.rows = p.rows.load(Ordering::Relaxed);
    s.file_bytes = p.bytes.load(Ordering::Relaxed);
    s
}

fn prepare(ds: Arc<Dataset>, config: Config) -> Result<Ready, CaptureError> {
    clock::set_wall_offset_ns(config.capture.wall_offset_ns);
    if let Err(e) = crate::sys::process::raise_nofile_limit() {
        tracing::warn!(error = %e, "the limit of open files stays as it is");
    }
    // Refused where there are none.
    let _ = crate::sys::process::disable_huge_pages();
    let tls = runtime::tls(&config)?;
    for place in ds.manifest_mended() {
        tracing::warn!(place, "a byte of the manifest had been changed: the line is as it was");
    }
    for damage in ds.manifest_damage() {
        tracing::error!(damage, "what this line tells of stays on disk and out of the dataset");
    }
    let ladder = ladder_of(&ds, &config)?;
    let number = recovering::dataset_number(&ds)?;
    let mut options = Options::new(number);
    options.segment_bytes = config.capture.segment_size;
    options.fallback.clone_from(&config.capture.fallback_dir);
    let mut recovered = recovering::recover(&ds, options, config.capture.runtime_dir.as_deref())?;
    if recovered.report.lanes.is_empty() && ds.manifest()?.parts().next().is_some() {
        return Err(DatasetError::NoJournal { path: ds.root().to_owned() }.into());
    }
    let greatest = recovered.report.lanes.iter().map(|l| l.state.lane).max().unwrap_or(0);
    let homes = Homes::load(Arc::clone(&ds), &config, greatest);
    let lanes = homes.lanes(&config);
    recovering::end_lanes(&mut recovered, |l| (1..=lanes).contains(&l))?;
    if recovered.report.salvaged() > 0 {
        tracing::info!(
            records = recovered.report.salvaged(),
            "the ring of the last run was drained into the journal"
        );
    }
    let ts_start = clock::wall_ns();
    let run_id = format!("{ts_start}-{}", std::process::id());
    let floor = recovered.report.lanes.iter().map(|l| l.state.max_ts_recv).max().unwrap_or(0);
    if let Some(words) = recovering::clock_is_behind(floor, ts_start) {
        tracing::warn!("{words}");
    }
    let run = RunStart {
        run_id: run_id.clone(),
        writer: "capture".to_owned(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        host: crate::sys::process::hostname(),
        config_sha256: config.sha256(),
        rules_version: crate::fold::RULES_VERSION,
        ts_start,
        interval_ns: config.dataset.interval_ns,
        book_top_interval_ns: config.dataset.book_top_interval_ns,
        lane_memory_bytes: config.capture.converter_memory / u64::from(lanes),
        auto_register: false,
        epoch_floor: floor,
        venues: config.venues.iter().map(|v| v.id.clone()).collect(),
    };
    let dir = config
        .capture
        .runtime_dir
        .clone()
        .unwrap_or_else(|| raw::ring_dir(&ds.journal_dir(), config.capture.ring_size * u64::from(lanes)));
    let rings = make_rings(&ds, &dir, (number, lanes, config.capture.ring_size), &recovered)?;
    let shared = Arc::new(Shared::new(&run_id, &config.dataset.path.display().to_string()));
    shared.set_state(State::Recovering);
    Ok(Ready { ds, config, run, recovered, rings, tls, shared, ladder, homes })
}

/// The raw ring of each lane, and in the dataset's marker where they are.
fn make_rings(
    ds: &Dataset,
    dir: &Path,
    (dataset, lanes, capacity): (u128, u16, u64),
    recovered: &Recovered,
) -> Result<Vec<(RawProducer, RawConsumer)>, CaptureError> {
    let mut rings = Vec::new();
    let mut paths = Vec::new();
    for lane in 1..=lanes {
        let path = dir.join(raw::ring_file_name(dataset, lane));
        let last = recovered.writer.lane(lane).map_or(-1, |l| l.last_seq);
        let o = RawOptions { dataset, lane, capacity, last_lane_seq: last };
        rings.push(raw::create(&path, &o)?);
        paths.push((lane, path));
    }
    ds.set_rings(&paths)?;
    Ok(rings)
}

/// The disk's ladder. A disk that is full already gets the reserve of the run before, for recovery.
fn ladder_of(ds: &Dataset, config: &Config) -> Result<Option<Ladder>, CaptureError> {
    if config.capture.disk_reserve == 0 {
        return Ok(None);
    }
    let asked = |source| CaptureError::Io { what: "asking the disk for its free space", source };
    let mut ladder = Ladder::new(ds.root(), &ds.journal_dir(), config.capture.disk_reserve).map_err(asked)?;
    ladder.look(false, true).map_err(asked)?;
    Ok(Some(ladder))
}

fn spawn<T: Send + 'static>(
    name: &'static str,
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, CaptureError> {
    let b = std::thread::Builder::new().name(name.to_owned());
    b.spawn(f).map_err(|source| CaptureError::Io { what: "starting a thread", source })
}

/// What a lane begins with.
pub(super) struct LaneSeed {
    pub ring: RawProducer,
    pub clock: LaneClock,
    pub crash: Option<GapNote>,
    pub recorder: Recorder,
    pub events: EventProducer,
}

/// What each lane begins with: its ring, its numbers, and the gap of the crash before, if there was one.
pub(super) fn seeds(
    rings: Vec<RawProducer>,
    before: &[LaneReport],
    cause: GapCause,
    interval_ns: i64,
    events_max: usize,
) -> Vec<(LaneSeed, Collector, EventRing)> {
    let seed = |ring: RawProducer| {
        let id = ring.lane();
        let state = before.iter().find(|l| l.state.lane == id).map(|l| l.state);
        let crash = planted!("crash_untold", None, state.filter(recovering::crashed))
            .map(|s| recovering::crash_gap(&s, cause));
        let mut clock = LaneClock::new(id, ring.last_lane_seq(), interval_ns);
        if let Some(s) = state {
            // Only sets the clock to where the last run ended; nothing can be due yet. One further: the last record may be
            // a boundary's, which stands at the end of the interval that it closes and is not stated twice.
            let _ = clock.boundary_due(s.max_ts_recv.saturating_add(1));
        }
        let (recorder, collector) = latency();
        let (events, readable) = event::ring(events_max);
        (LaneSeed { ring, clock, crash, recorder, events }, collector, readable)
    };
    rings.into_iter().map(seed).collect()
}

/// Reader threads that run.
struct Lanes {
    threads: Vec<JoinHandle<()>>,
    handles: Vec<LaneHandle>,
    collectors: Vec<(LaneId, Collector)>,
    events: Vec<(LaneId, EventRing)>,
}

fn start_lanes(
    seeds: Vec<(LaneSeed, Collector, EventRing)>,
    config: &Config,
    run: &RunStart,
    reports: &Sender<FromLane>,
    shared: &Shared,
) -> Result<Lanes, CaptureError> {
    let mut lanes =
        Lanes { threads: Vec::new(), handles: Vec::new(), collectors: Vec::new(), events: Vec::new() };
    for (n, (seed, collector, events)) in seeds.into_iter().enumerate() {
        let id = seed.clock.lane();
        let (thread, handle) = start_lane(seed, config, n, run, reports.clone(), shared)?;
        lanes.threads.push(thread);
        lanes.handles.push(handle);
        lanes.collectors.push((id, collector));
        lanes.events.push((id, events));
    }
    Ok(lanes)
}

/// The core of the n-th lane. Where there are fewer, several share one.
fn core_of(config: &Config, n: usize) -> Option<usize> {
    let cores = &config.capture.cores;
    cores.get(n % cores.len().max(1)).copied()
}

fn start_lane(
    seed: LaneSeed,
    config: &Config,
    n: usize,
    run: &RunStart,
    reports: Sender<FromLane>,
    shared: &Shared,
) -> Result<(JoinHandle<()>, LaneHandle), CaptureError> {
    let id = seed.clock.lane();
    let (orders, from_control): (Sender<ToLane>, Receiver<ToLane>) = bounded(ORDERS_MAX);
    let wait = match config.capture.wait {
        Wait::Epoll => WaitMode::Epoll,
        Wait::Spin => WaitMode::Spin,
    };
    let mut reader = Reader::new(ReaderConfig { wait, ..ReaderConfig::default() })
        .map_err(|source| CaptureError::Io { what: "epoll", source })?;
    let waker = reader.waker();
    let parts = LaneParts {
        ring: seed.ring,
        clock: seed.clock,
        orders: from_control,
        reports: reports.clone(),
        metrics: shared.add_lane(id),
        recorder: seed.recorder,
        events: seed.events,
    };
    let (run, crash, cpu) = (run.clone(), seed.crash, core_of(config, n));
    let thread = spawn("reader", move || {
        if let Some(cpu) = cpu
            && let Err(e) = crate::sys::thread::pin_to_cpu(cpu)
        {
            tracing::warn!("{}", cores::not_pinned(id, cpu, &e));
        }
        let body = std::panic::AssertUnwindSafe(|| {
            let (mut lane, orders) = Lane::new(parts, &run, crash);
            lane.run(&mut reader, &orders)
        });
        let why = match std::panic::catch_unwind(body) {
            Ok(Ok(())) => return,
            Ok(Err(e)) => e.to_string(),
            Err(_) => "panic in the reader thread".to_owned(),
        };
        // Control may be gone already; then nobody needs to know.
        let _ = reports.send(FromLane::Failed { lane: id, why });
    })?;
    Ok((thread, LaneHandle { lane: id, orders, waker }))
}

fn keep_of(config: &Config) -> Arc<Mutex<Keep>> {
    Arc::new(Mutex::new(Keep::new(&config.dataset.keep, config.dataset.max_size)))
}

type ControlThread = JoinHandle<Result<(), ControlFault>>;

fn start_control(parts: ControlParts) -> Result<(ControlThread, Arc<AtomicBool>), CaptureError> {
    // Recovered; running once the first instrument list is there.
    parts.shared.set_state(State::Starting);
    let control = Control::new(parts)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    Ok((spawn("control", move || control.run(&flag))?, stop))
}

type ConverterThread = (JoinHandle<Result<(), ConvertError>>, Arc<Progress>);

fn start_converter(follow: Follow) -> Result<ConverterThread, CaptureError> {
    let progress = Arc::clone(&follow.progress);
    // Reads what the last run left before it follows this one: capture does not wait for it.
    Ok((spawn("converter", move || follow.run())?, progress))
}
