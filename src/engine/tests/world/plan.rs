//! What a seed decides: the venue, the recorder, and what is done to both.

use super::time::MS;
use crate::simulator::{CutHow, FaultKind, FaultSpec, SimConfig, Symbols};

/// Something that is done to the recorder or the venue.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Strike(FaultSpec),
    /// The process dies, and is started again after so many ms.
    Kill(i64),
    /// The machine dies.
    Power(i64),
    /// A clean stop.
    Stop(i64),
    /// The n-th write, sync or creation of a segment from now fails.
    FailWrite(i64),
    FailSync(i64),
    FailCreate(i64),
    /// No segment can be created for so long, and the current one fails.
    NoSpace(i64),
    /// The sync under way takes so many rounds.
    SlowSync(i64),
    /// Files cannot be made for so long.
    DatasetFull(i64),
    /// The recorder stands still.
    Freeze(i64),
    /// The wall clock is set, ms.
    Clock(i64),
    /// The venue is away for so many seconds.
    Silence(i64),
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub venue: &'static str,
    pub channels: Vec<String>,
    pub symbols: usize,
    pub rate: u32,
    pub lanes: u16,
    pub legs: u8,
    pub interval_s: i64,
    pub rotate_s: i64,
    pub segment_bytes: u64,
    pub step_ms: i64,
    /// When it begins, ms since the Unix epoch.
    pub start_ms: i64,
    /// Until faults stop, ns.
    pub length: i64,
    /// What is done when, ns of true time.
    pub acts: Vec<(i64, Act)>,
    /// Requests that break, per thousand.
    pub break_requests: u32,
    /// The last stop is none: recovery by hand ends the dataset.
    pub ends_dead: bool,
}

/// Which kinds of trouble a world has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Venue,
    Line,
    Death,
    Disk,
    Time,
}

const DAY_MS: i64 = 86_400_000;

impl Plan {
    pub fn of(seed: u64, length_s: i64) -> Plan {
        let mut rng = fastrand::Rng::with_seed(seed);
        let r = &mut rng;
        let venue = ["binance-usdm", "aster-futures", "binance-spot", "binance-coinm"][r.usize(..4)];
        let mut channels = vec!["depth@100ms", "aggTrade", "bookTicker"];
        if venue != "binance-spot" && r.bool() {
            channels.push("markPrice@1s");
        }
        if matches!(venue, "binance-spot" | "binance-usdm") && r.bool() {
            channels.push("trade");
        }
        let interval_s = [5, 10, 20, 20, 60, 3600][r.usize(..6)];
        let lead = r.i64(1_000..length_s * 1_000);
        let mut plan = Plan {
            seed,
            venue,
            channels: channels.into_iter().map(str::to_owned).collect(),
            symbols: r.usize(1..4),
            rate: r.u32(20..120),
            lanes: if r.u8(..4) == 0 { 2 } else { 1 },
            legs: if r.u8(..3) == 0 { 2 } else { 1 },
            interval_s,
            rotate_s: [12, 20, 86_000][r.usize(..3)],
            segment_bytes: [2, 4, 16][r.usize(..3)] * 65_536,
            step_ms: [5, 10, 20][r.usize(..3)],
            // Most worlds have a midnight in them.
            start_ms: 20_000 * DAY_MS + 1_000 * r.i64(0..1_000) * 86_400 - lead,
            length: length_s * 1_000 * MS,
            acts: Vec::new(),
            break_requests: 0,
            ends_dead: r.u8(..3) == 0,
        };
        let all = [Kind::Venue, Kind::Line, Kind::Death, Kind::Disk, Kind::Time];
        for kind in all {
            if r.u8(..5) < if kind == Kind::Time { 1 } else { 3 } {
                plan.trouble(kind, r);
            }
        }
        plan.acts.sort_by_key(|a| a.0);
        plan
    }

    /// Two legs, of which one after the other clogs or dies; never both at once.
    pub fn swizzled(seed: u64, length_s: i64) -> Plan {
        let mut plan = Plan::of(seed, length_s);
        let mut r = fastrand::Rng::with_seed(seed ^ 0x1e65);
        (plan.legs, plan.lanes, plan.rotate_s, plan.ends_dead) = (2, 1, 86_000, false);
        (plan.symbols, plan.break_requests) = (2, 0);
        plan.acts.clear();
        let mut at = 4_000 * MS;
        while at < plan.length {
            let mut f = line(&mut r);
            // A door that is closed is closed to both.
            if f.kind == FaultKind::Refuse {
                f.kind = FaultKind::Stall;
            }
            let over = match (f.kind, f.how) {
                (FaultKind::Stall, _) | (_, CutHow::HalfOpen) => f.for_ms as i64,
                _ => 0,
            };
            plan.acts.push((at, Act::Strike(f)));
            // Until it is over, and the connection there again.
            at += (over + r.i64(3_000..5_000)) * MS;
        }
        plan
    }

    /// Whether the recorder dies or is stopped.
    pub fn dies(&self) -> bool {
        let dies = |a: &Act| matches!(a, Act::Kill(_) | Act::Power(_) | Act::Stop(_));
        self.ends_dead || self.has(dies)
    }

    pub fn has(&self, what: impl Fn(&Act) -> bool) -> bool {
        self.acts.iter().any(|a| what(&a.1))
    }

    fn trouble(&mut self, kind: Kind, r: &mut fastrand::Rng) {
        let seconds = self.length / 1_000 / MS;
        let n = 1 + match kind {
            Kind::Venue => r.i64(0..seconds / 2 + 1),
            Kind::Line => r.i64(0..seconds / 6 + 1),
            Kind::Death => r.i64(0..seconds / 6 + 1),
            Kind::Disk => r.i64(0..seconds / 4 + 1),
            Kind::Time => r.i64(0..3),
        };
        if kind == Kind::Venue {
            self.break_requests = [0, 0, 100, 300][r.usize(..4)];
        }
        for _ in 0..n {
            let at = r.i64(0..self.length);
            let act = match kind {
                Kind::Venue => Act::Strike(lie(r)),
                Kind::Line => Act::Strike(line(r)),
                Kind::Death => death(r),
                Kind::Disk => disk(r),
                Kind::Time => clock(r),
            };
            self.acts.push((at, act));
        }
    }

    pub fn sim(&self) -> SimConfig {
        SimConfig {
            venue: self.venue.to_owned(),
            seed: self.seed,
            symbols: Symbols::Count(self.symbols),
            rate: self.rate,
            rate_channels: self.channels.clone(),
            start_ms: Some(self.start_ms),
            weight_per_minute: Some(1_000_000),
            connects_per_5min: Some(0),
            book_levels: 100,
            ping_every_ms: Some(4_000),
            ..SimConfig::default()
        }
    }
}

fn lie(r: &mut fastrand::Rng) -> FaultSpec {
    use FaultKind as K;
    let kind = [
        K::Drop,
        K::Drop,
        K::Drop,
        K::Duplicate,
        K::Reorder,
        K::Gap,
        K::StaleSnapshot,
        K::LateSnapshot,
        K::HoleSnapshot,
        K::Http429,
        K::Http503,
        K::TruncatedJson,
        K::Garbage,
        K::UnknownEvent,
        K::ResetIds,
        K::HugeId,
    ][r.usize(..16)];
    let mut f = FaultSpec { frames: r.u32(1..4), ..FaultSpec::new(kind) };
    if matches!(kind, K::Gap | K::LateSnapshot | K::Http429 | K::Http503) {
        f.for_ms = r.u64(50..3_000);
    }
    if kind == K::Http429 {
        f.retry_after_s = Some(r.u32(1..4));
    }
    f
}

fn line(r: &mut fastrand::Rng) -> FaultSpec {
    let kind =
        [FaultKind::Cut, FaultKind::Cut, FaultKind::Cut, FaultKind::Stall, FaultKind::Refuse][r.usize(..5)];
    let how = [CutHow::Rst, CutHow::Fin, CutHow::Close, CutHow::MidFrame, CutHow::HalfOpen][r.usize(..5)];
    FaultSpec { how, for_ms: r.u64(100..3_000), ..FaultSpec::new(kind) }
}

fn death(r: &mut fastrand::Rng) -> Act {
    let down = r.i64(10..4_000);
    match r.u8(..5) {
        0 | 1 => Act::Kill(down),
        2 | 3 => Act::Power(down),
        _ => Act::Stop(down),
    }
}

fn disk(r: &mut fastrand::Rng) -> Act {
    match r.u8(..7) {
        0 => Act::FailWrite(r.i64(1..20)),
        1 => Act::FailSync(r.i64(1..10)),
        2 => Act::FailCreate(r.i64(1..3)),
        3 => Act::NoSpace(r.i64(100..3_000)),
        4 => Act::SlowSync(r.i64(1..60)),
        5 => Act::DatasetFull(r.i64(100..3_000)),
        _ => Act::Freeze(r.i64(50..20_000)),
    }
}

fn clock(r: &mut fastrand::Rng) -> Act {
    match r.u8(..2) {
        0 => Act::Clock(r.i64(-3_000..3_000)),
        _ => Act::Silence(r.i64(10..20_000)),
    }
}
