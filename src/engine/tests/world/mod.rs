//! A whole world from one seed: the simulated venue, the line, the machine and the real recorder without its sockets,
//! threads and clocks. Control, lanes, ring, journal, recovery, converter and publication are the real ones; time is a
//! number, so a world's hours take seconds, and the same seed gives the same bytes.
//!
//! `scripts/simulate-seeds` runs many; each that fails names the command that shows it again.

mod judge;
mod ledger;
mod net;
mod plan;
mod process;
mod time;

use std::collections::VecDeque;
use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering};

use self::ledger::Ledger;
use self::plan::{Act, Plan};
use self::process::{Place, Process, config};
use self::time::{MS, S};
use crate::config::Config;
use crate::engine::recovering;
use crate::fold::Fold;
use crate::model::Side;
use crate::simulator::by_hand_tests::{Truth, Venue};
use crate::simulator::{CutHow, FaultKind, FaultSpec};

/// All books are proven again within this after the last fault.
const SETTLES: i64 = 90 * S;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// What came of a world.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
struct Outcome {
    faults: Vec<String>,
    /// Over the names and hashes of all published files.
    digest: u64,
    files: usize,
    frames: u64,
    /// Frames that power cuts took, none of them older than promised.
    lost: u64,
    holes: usize,
    gap_rows: usize,
    /// Gaps beside the first sync and our own ends.
    told: Vec<String>,
    deaths: u32,
    acts: usize,
    simulated_ms: i64,
    settled_ms: i64,
}

struct World {
    plan: Plan,
    place: Place,
    _dir: tempfile::TempDir,
    config: Config,
    venue: Venue,
    ledger: Ledger,
    rng: fastrand::Rng,
    process: Option<Process>,
    /// When a process that is down comes up again.
    up_at: i64,
    frozen_until: i64,
    no_space_until: i64,
    full_until: i64,
    acts: VecDeque<(i64, Act)>,
    deaths: u32,
}

impl World {
    fn new(plan: Plan) -> World {
        time::begin(plan.start_ms * MS);
        // Control's jitter.
        fastrand::seed(plan.seed);
        let dir = scratch();
        let place = Place { root: dir.path().join("data"), rings: dir.path().join("ring") };
        std::fs::create_dir(&place.rings).unwrap();
        let venue = Venue::new(plan.sim());
        let config = config(&place, &plan, &venue.symbols());
        World {
            place,
            _dir: dir,
            config,
            venue,
            ledger: Ledger::default(),
            rng: fastrand::Rng::with_seed(plan.seed ^ 0x5eed),
            process: None,
            up_at: 0,
            frozen_until: 0,
            no_space_until: 0,
            full_until: 0,
            acts: plan.acts.iter().cloned().collect(),
            deaths: 0,
            plan,
        }
    }

    fn step(&mut self) {
        let now = time::now();
        while self.acts.front().is_some_and(|a| a.0 <= now) {
            if let Some((_, act)) = self.acts.pop_front() {
                self.act(act);
            }
        }
        self.mend(now);
        time::pass(self.plan.step_ms * MS);
        self.catch_up();
        self.run_process();
    }

    fn catch_up(&mut self) {
        while self.venue.now() < self.plan.start_ms + time::now() / MS {
            self.venue.tick();
        }
    }

    fn run_process(&mut self) {
        let now = time::now();
        if self.process.is_none() && now >= self.up_at && self.full_until == 0 {
            let mut p =
                Process::start(&self.place, &self.config, &self.plan, &mut self.ledger, &mut self.rng);
            p.break_requests(self.plan.break_requests);
            self.process = Some(p);
        }
        if now < self.frozen_until {
            return;
        }
        let Some(p) = &mut self.process else { return };
        p.step(&mut self.venue, &mut self.ledger);
    }

    /// The process ends in this way and is started again later.
    fn down(&mut self, ms: i64, how: impl FnOnce(Process, &mut World)) {
        let Some(p) = self.process.take() else { return };
        self.deaths += 1;
        self.no_space_until = 0;
        how(p, self);
        self.up_at = time::now() + ms * MS;
    }

    fn act(&mut self, act: Act) {
        let now = time::now();
        let faults = self.process.as_ref().map(|p| std::sync::Arc::clone(&p.faults));
        match act {
            Act::Strike(f) => self.venue.strike(f),
            Act::Kill(ms) => self.down(ms, |p, w| p.kill(&mut w.venue, &mut w.ledger)),
            Act::Power(ms) => {
                let seed = self.rng.u64(..);
                self.down(ms, |p, w| p.cut_power(&mut w.venue, &mut w.ledger, seed));
            }
            Act::Stop(ms) => self.down(ms, |p, w| drop(p.stop(&mut w.venue, &mut w.ledger))),
            Act::Freeze(ms) => {
                self.frozen_until = now + ms * MS;
                if let Some(p) = &mut self.process {
                    // Who stands still syncs nothing.
                    p.storage_failed = true;
                }
            }
            Act::Clock(ms) => time::step_wall(ms * MS),
            Act::Silence(s) => self.silence(s),
            Act::DatasetFull(ms) if self.full_until == 0 => {
                self.full_until = now + ms * MS;
                let tmp = self.place.root.join("_tmp");
                if tmp.exists() {
                    std::fs::rename(&tmp, self.place.root.join("_tmp.away")).unwrap();
                    std::fs::write(&tmp, "").unwrap();
                }
            }
            Act::DatasetFull(_) => {}
            disk => {
                let Some(f) = faults else { return };
                match disk {
                    Act::FailWrite(n) => f.write_in.store(n, Ordering::SeqCst),
                    Act::FailSync(n) => f.sync_in.store(n, Ordering::SeqCst),
                    Act::FailCreate(n) => f.create_in.store(n, Ordering::SeqCst),
                    Act::SlowSync(n) => f.looks.store(n, Ordering::SeqCst),
                    Act::NoSpace(ms) => {
                        f.broken.store(true, Ordering::SeqCst);
                        f.write_in.store(1, Ordering::SeqCst);
                        self.no_space_until = now + ms * MS;
                    }
                    other => panic!("{other:?}"),
                }
                if let Some(p) = &mut self.process {
                    p.storage_failed = true;
                }
            }
        }
    }

    /// What lasts for a while is over.
    fn mend(&mut self, now: i64) {
        if self.no_space_until != 0 && now >= self.no_space_until {
            self.no_space_until = 0;
            if let Some(p) = &self.process {
                p.faults.broken.store(false, Ordering::SeqCst);
            }
        }
        if self.full_until != 0 && now >= self.full_until {
            self.full_until = 0;
            let away = self.place.root.join("_tmp.away");
            if away.exists() {
                std::fs::remove_file(self.place.root.join("_tmp")).unwrap();
                std::fs::rename(away, self.place.root.join("_tmp")).unwrap();
            }
        }
    }

    /// The venue closes its doors: no connection, no trade.
    fn silence(&mut self, seconds: i64) {
        let refuse = FaultSpec { for_ms: seconds as u64 * 1_000, ..FaultSpec::new(FaultKind::Refuse) };
        self.venue.strike(refuse);
        for no in self.venue.open_conns() {
            self.venue.strike(FaultSpec {
                how: CutHow::Fin,
                conn: Some(no),
                ..FaultSpec::new(FaultKind::Cut)
            });
        }
        self.frozen_until = 0;
        // Most see the end come, some sleep through it.
        if self.rng.u8(..4) > 0 {
            self.run_for(100 * MS);
        }
        for no in self.venue.open_conns() {
            // Nobody was there to see it go.
            self.venue.leave(no);
        }
        let part = (seconds / 12).max(1);
        let until = time::now() + seconds * S;
        while time::now() < until && self.venue.open_conns().is_empty() {
            self.venue.sleep(part * 1_000);
            time::pass(part * S);
            self.mend(time::now());
            (0..3).for_each(|_| self.run_process());
        }
    }

    fn run_for(&mut self, ns: i64) {
        let until = time::now() + ns;
        while time::now() < until {
            self.step();
        }
    }

    /// No more faults: all books are proven before long.
    fn settle(&mut self) -> i64 {
        let begun = time::now();
        self.acts.clear();
        self.venue.quiesce();
        (self.frozen_until, self.plan.break_requests) = (0, 0);
        self.mend(i64::MAX);
        // Whatever was lost last must be shown by what comes of each book, and a line that is dead be found so.
        let ids = self.venue.last_ids();
        if let Some(p) = &mut self.process {
            p.heal();
        }
        self.run_for(4 * S);
        let moves = |w: &World| w.venue.last_ids().iter().zip(&ids).all(|(a, b)| a > b);
        while !moves(self) && time::now() - begun < SETTLES / 2 {
            self.run_for(200 * MS);
        }
        // What one leg lacks the other may bring, for two seconds.
        self.run_for(if self.plan.legs == 2 { 3 * S } else { 500 * MS });
        let mut settled = false;
        while !settled && time::now() - begun < SETTLES {
            if let Some(p) = &mut self.process {
                p.heal();
            }
            self.run_for(200 * MS);
            settled =
                self.process.as_ref().is_some_and(|p| p.synced() == (self.plan.symbols, self.plan.symbols));
        }
        if !settled {
            let books = self.process.as_ref().map(|p| (p.synced(), p.open_links()));
            self.ledger.fault(format!("not all books are proven in time: {books:?}"));
        }
        time::now() - begun
    }

    /// Nothing happens any more: the books are the venue's.
    fn compare_books(&mut self) {
        self.venue.hush();
        self.run_for(1_500 * MS);
        let Some(p) = &self.process else { return };
        let ix = crate::venue::by_id(self.plan.venue).unwrap().0;
        let mut faults = Vec::new();
        let mut found = 0;
        for (lane, whose, fold) in p.folds() {
            for symbol in self.venue.symbols() {
                let Some(id) = fold.find(ix, &symbol) else { continue };
                found += 1;
                let (bids, asks, exps) = self.venue.truth(&symbol);
                for (side, truth) in [(Side::Bid, bids), (Side::Ask, asks)] {
                    // A snapshot has the best thousand levels; of a longer book the far ones need not be known.
                    let n = if truth.len() > 900 { 200 } else { usize::MAX };
                    let (mut is, mut due) = (levels(fold, id, side), scaled(&truth, exps));
                    is.truncate(n);
                    due.truncate(n);
                    if is != due {
                        faults.push(format!(
                            "lane {lane}: the {whose} book of {symbol} is not the venue's ({side:?}, {} levels, {} due)",
                            is.len(),
                            due.len()
                        ));
                    }
                }
            }
        }
        if found != 2 * self.plan.symbols {
            faults.push(format!("{found} books of {}", 2 * self.plan.symbols));
        }
        faults.into_iter().for_each(|f| self.ledger.fault(f));
    }

    fn end(&mut self) {
        let Some(p) = self.process.take() else { return };
        if self.plan.ends_dead {
            p.kill(&mut self.venue, &mut self.ledger);
            recovering::by_hand(&self.place.root, Some(&self.place.rings)).unwrap();
        } else if let Err(e) = p.stop(&mut self.venue, &mut self.ledger) {
            self.ledger.fault(format!("the last stop: {e}"));
        }
    }
}

/// A number with twelve decimals.
fn wide(v: i64, exp: u8) -> i128 {
    i128::from(v) * 10i128.pow(12 - u32::from(exp))
}

fn scaled(levels: &Truth, exps: (u8, u8)) -> Vec<(i128, i128)> {
    levels.iter().map(|l| (wide(l.0, exps.0), wide(l.1, exps.1))).collect()
}

fn levels(fold: &Fold, id: crate::model::InstrumentId, side: Side) -> Vec<(i128, i128)> {
    let (Some(book), Some(v)) = (fold.book(id), fold.instrument(id)) else { return Vec::new() };
    book.levels(side).map(|l| (wide(l.price, v.price_exp), wide(l.size, v.size_exp))).collect()
}

/// Runs one world to its end and judges it.
fn played(plan: Plan) -> Outcome {
    let mut w = World::new(plan);
    w.run_for(w.plan.length);
    let settled = w.settle();
    w.compare_books();
    w.end();
    let simulated_ms = time::now() / MS;
    time::end();
    let log = w.venue.log();
    let judged = judge::judge(&w.place.root, &w.plan, &w.ledger, &log);
    let mut hash = rustc_hash::FxHasher::default();
    for (path, sha) in &judged.files {
        hash.write(path.as_bytes());
        hash.write(sha.as_bytes());
    }
    Outcome {
        faults: w.ledger.faults.iter().cloned().chain(judged.faults).collect(),
        digest: hash.finish(),
        files: judged.files.len(),
        frames: w.ledger.frames(),
        lost: w.ledger.lost,
        holes: judged.holes,
        gap_rows: judged.gap_rows,
        told: judged.told,
        deaths: w.deaths,
        acts: w.plan.acts.len(),
        simulated_ms,
        settled_ms: settled / MS,
    }
}

/// The same, a panic being a fault like others.
fn tried(plan: Plan) -> Outcome {
    let done = std::panic::catch_unwind(|| played(plan));
    time::end();
    done.unwrap_or_else(|e| {
        let text = e.downcast_ref::<String>().cloned();
        let text = text.or_else(|| e.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Outcome { faults: vec![format!("panic: {}", text.unwrap_or_default())], ..Outcome::default() }
    })
}

fn number(name: &str, short: u64) -> u64 {
    match std::env::var(name) {
        Ok(v) => v.parse().unwrap_or_else(|_| panic!("{name}={v:?} is no number")),
        Err(_) => short,
    }
}

#[derive(Debug, Default, serde::Serialize)]
struct Total {
    seeds: u64,
    failed: u64,
    simulated_hours: f64,
    frames: u64,
    frames_lost_with_power: u64,
    deaths: u64,
    faults_injected: u64,
    holes: u64,
    gap_rows: u64,
    files: u64,
    settled_ms_max: i64,
}

impl Total {
    fn add(&mut self, o: &Outcome) {
        self.seeds += 1;
        self.failed += u64::from(!o.faults.is_empty());
        self.simulated_hours += o.simulated_ms as f64 / 3_600_000.0;
        self.frames += o.frames;
        self.frames_lost_with_power += o.lost;
        self.deaths += u64::from(o.deaths);
        self.faults_injected += o.acts as u64;
        self.holes += o.holes as u64;
        self.gap_rows += o.gap_rows as u64;
        self.files += o.files as u64;
        self.settled_ms_max = self.settled_ms_max.max(o.settled_ms);
    }
}

impl Total {
    fn with(self, o: Total) -> Total {
        Total {
            seeds: self.seeds + o.seeds,
            failed: self.failed + o.failed,
            simulated_hours: self.simulated_hours + o.simulated_hours,
            frames: self.frames + o.frames,
            frames_lost_with_power: self.frames_lost_with_power + o.frames_lost_with_power,
            deaths: self.deaths + o.deaths,
            faults_injected: self.faults_injected + o.faults_injected,
            holes: self.holes + o.holes,
            gap_rows: self.gap_rows + o.gap_rows,
            files: self.files + o.files,
            settled_ms_max: self.settled_ms_max.max(o.settled_ms_max),
        }
    }
}

fn say(line: &str) {
    use std::io::Write as _;
    // Not `println!`: captured output would hide it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// One line for a seed that fails, with the command that shows it again.
fn tell(seed: u64, length_s: i64, o: &Outcome) {
    if o.faults.is_empty() {
        return;
    }
    let shown = o.faults.iter().take(8).map(|f| format!("\n    {f}")).collect::<String>();
    let plan = match std::env::var_os("LOBTAPE_WORLD_SHOW") {
        Some(_) => format!("\n{:#?}", Plan::of(seed, length_s)),
        None => String::new(),
    };
    let n = o.faults.len();
    say(&format!("FAILED seed {seed}: {n} faults; scripts/simulate-seeds {seed} 1 {length_s}{shown}{plan}"));
}

/// `LOBTAPE_WORLD_FROM` (1), `LOBTAPE_WORLD_SEEDS` (so many), `LOBTAPE_WORLD_SECONDS` (until faults stop).
#[test]
fn seeded_worlds_keep_all_promises() {
    let (from, seeds) = (number("LOBTAPE_WORLD_FROM", 1), number("LOBTAPE_WORLD_SEEDS", 200));
    let length_s = number("LOBTAPE_WORLD_SECONDS", 6) as i64;
    let next = AtomicU64::new(from);
    // Each world has a thread to itself, so that several cores can have one each.
    let some = || {
        let mut total = Total::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + seeds {
                return total;
            }
            let o = tried(Plan::of(seed, length_s));
            total.add(&o);
            tell(seed, length_s, &o);
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let total = std::thread::scope(|s| {
        let all: Vec<_> = (0..cores).map(|_| s.spawn(some)).collect();
        all.into_iter().map(|t| t.join().unwrap()).fold(Total::default(), Total::with)
    });
    say(&format!("PROVED worlds {}", serde_json::to_string(&total).unwrap()));
    assert_eq!(total.failed, 0, "seeds failed");
}

#[test]
fn a_seed_gives_the_same_bytes_again() {
    for seed in [3, 11] {
        let (a, b) = (tried(Plan::of(seed, 8)), tried(Plan::of(seed, 8)));
        assert!(a.files > 0);
        assert_eq!(a, b);
    }
}

/// One leg after the other clogs, is cut or goes deaf, and the books and streams do not notice.
#[test]
fn legs_that_clog_and_die_in_turn_lose_only_what_neither_brought() {
    let (from, seeds) = (number("LOBTAPE_WORLD_FROM", 1), number("LOBTAPE_WORLD_SEEDS", 6));
    let mut total = Total::default();
    for seed in from..from + seeds {
        let o = tried(Plan::swizzled(seed, number("LOBTAPE_WORLD_SECONDS", 20) as i64));
        total.add(&o);
        assert_eq!(o.faults, Vec::<String>::new(), "seed {seed}");
        assert_eq!(o.told, Vec::<String>::new(), "seed {seed}");
        assert!(o.acts > 1);
    }
    say(&format!("PROVED legs {}", serde_json::to_string(&total).unwrap()));
}
