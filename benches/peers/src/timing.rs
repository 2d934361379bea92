//! Interleaved rounds in thread CPU time, and the ratios that go into the report.

use std::io::Write;

/// CPU time of this thread in ns. Other people's work on the machine is not in it.
pub fn cpu_ns() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec for the call; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Pins the thread to the last core it may run on, so that its caches stay its own. Best effort.
pub fn pin() {
    // SAFETY: a zeroed cpu_set_t is an empty set; both calls get its true size and this thread (0).
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
            return;
        }
        if let Some(last) = (0..libc::CPU_SETSIZE as usize).rev().find(|&i| libc::CPU_ISSET(i, &set)) {
            libc::CPU_ZERO(&mut set);
            libc::CPU_SET(last, &mut set);
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
        }
    }
}

/// Median, smallest, largest.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut v: Vec<f64> = values.into_iter().collect();
        assert!(!v.is_empty(), "nothing was measured");
        v.sort_by(f64::total_cmp);
        Spread { median: v[v.len() / 2], min: v[0], max: v[v.len() - 1] }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.min, self.max)
    }
}

/// Something that is timed: its name, and one pass that returns its CPU time in ns. What the pass prepares
/// outside its own stopwatch does not count.
pub struct Row<'a> {
    pub name: &'a str,
    pub pass: Box<dyn FnMut() -> u64 + 'a>,
}

/// Runs all rows in turn, `rounds` times after one that is thrown away. Returns the times, row by row.
pub fn interleaved(rows: &mut [Row<'_>], rounds: usize) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::with_capacity(rounds); rows.len()];
    for round in 0..=rounds {
        for (row, times) in rows.iter_mut().zip(&mut times) {
            let ns = (row.pass)() as f64;
            if round > 0 {
                times.push(ns);
            }
        }
    }
    times
}

/// The ratio of two rows, round by round.
pub fn ratio(over: &[f64], under: &[f64]) -> Spread {
    Spread::of(over.iter().zip(under).map(|(a, b)| a / b))
}

/// Appends a figure to the file that `LOBTAPE_BENCH_JSON` names, one JSON object a line.
pub fn report(name: &str, ratio: Spread) {
    println!("{name}: {ratio}");
    let Some(path) = std::env::var_os("LOBTAPE_BENCH_JSON") else { return };
    let line = serde_json::json!({"name": name, "ratio": ratio.median, "min": ratio.min, "max": ratio.max});
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(path).expect("the report's file");
    writeln!(file, "{line}").expect("a line in the report's file");
}

/// Appends an absolute figure with its unit.
pub fn report_absolute(name: &str, unit: &str, value: Spread) {
    let Some(path) = std::env::var_os("LOBTAPE_BENCH_JSON") else { return };
    let line = serde_json::json!({
        "name": name, "unit": unit, "value": value.median, "min": value.min, "max": value.max
    });
    let mut file =
        std::fs::OpenOptions::new().create(true).append(true).open(path).expect("the report's file");
    writeln!(file, "{line}").expect("a line in the report's file");
}

/// Whether the short form was asked for (`--quick`).
pub fn quick() -> bool {
    std::env::args().any(|a| a == "--quick")
}
