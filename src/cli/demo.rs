//! `lobtape demo`: a simulated venue, a capture of it through real sockets, a summary. Works offline.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args as ClapArgs;

use super::capture::fault;
use super::{Fault, WELL, out};
use crate::config::Config;
use crate::dataset::book_at::book_at;
use crate::dataset::read::{self, Want};
use crate::dataset::{Dataset, PartRecord};
use crate::engine::{Capture, Summary};
use crate::metrics::{BookState, HopSummary, Shared};
use crate::simulator::{FaultKind, FaultSpec, SimConfig, Simulator, Symbols};
use crate::wire::clock;

/// Marks a directory that a demo made and may replace.
const MARK: &str = ".lobtape-demo";
const VENUE: &str = "aster-futures";
const SYMBOLS: [&str; 4] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT"];

/// Arguments of `lobtape demo`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  lobtape demo
  lobtape demo --out /tmp/tape --seconds 30

Starts a simulated Aster futures venue on a free loopback port and captures it for some seconds. On the way the venue
loses a few frames and cuts the connection once: the summary shows how both were found. The dataset stays.")]
pub struct Args {
    /// Where the dataset goes. A directory of an earlier demo is replaced, any other is left alone.
    #[arg(long, value_name = "DIR", default_value = "lobtape-demo")]
    pub out: PathBuf,
    /// How long to capture.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(6..=3600))]
    pub seconds: u64,
    /// Frames per second.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub rate: u32,
    /// Decides what the venue sends.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The summary as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// A directory that is not a demo's, a disk that refuses.
pub fn run(args: Args) -> anyhow::Result<u8> {
    make_room(&args.out)?;
    let ms = args.seconds * 1000;
    let sim = Simulator::start(SimConfig {
        seed: args.seed,
        symbols: Symbols::List(SYMBOLS.map(str::to_owned).to_vec()),
        rate: args.rate,
        faults: vec![
            FaultSpec {
                stream: Some("ethusdt@depth@100ms".to_owned()),
                frames: 3,
                ..FaultSpec::new(FaultKind::Drop).at(ms * 2 / 5)
            },
            FaultSpec::new(FaultKind::Cut).at(ms * 3 / 5),
        ],
        ..SimConfig::default()
    })
    .map_err(Fault::io)?;
    if !args.json {
        out::complain(&format!(
            "simulated aster-futures on {}: {} at {} frames/s; 3 frames will be lost, the connection cut once",
            sim.addr(),
            SYMBOLS.join(", "),
            args.rate
        ));
    }
    let config =
        Config::from_parts("demo", &config_text(&args.out, &sim.rest_base(), &sim.ws_base()), [], &[])
            .map_err(Fault::usage)?;
    let capture = Capture::start(config, Box::new(|_| {})).map_err(fault)?;
    std::fs::write(args.out.join(MARK), "made by `lobtape demo`; the next demo replaces this directory\n")
        .map_err(Fault::io)?;
    let stop = super::stopping::asked()?;
    let shared = capture.shared();
    watch(&capture, &shared, args.seconds, &stop, args.json);
    let summary = capture.stop().map_err(fault)?;
    let sent = sim.stop();
    report(&args, &summary, &shared, sent.messages)?;
    Ok(WELL)
}

fn config_text(out: &Path, rest: &str, ws: &str) -> String {
    let q = |s: &str| toml::Value::from(s).to_string();
    format!(
        "[dataset]\npath = {}\n[capture]\ndisk_reserve = \"0\"\n[[venue]]\nid = \"aster-futures\"\nsymbols = [{}]\n\
         channels = [\"depth@100ms\", \"aggTrade\", \"bookTicker\", \"markPrice@1s\", \"forceOrder\"]\n\
         rest = {}\nws = {}\n",
        q(&out.to_string_lossy()),
        SYMBOLS.map(q).join(", "),
        q(rest),
        q(ws)
    )
}

/// Only what a demo made is replaced.
fn make_room(dir: &Path) -> anyhow::Result<()> {
    let empty = |d: &Path| std::fs::read_dir(d).map(|mut r| r.next().is_none());
    if !dir.exists() || empty(dir).unwrap_or(false) {
        return Ok(());
    }
    if !dir.join(MARK).is_file() {
        return Err(Fault::usage(anyhow::anyhow!(
            "{}: was not made by a demo, so it is left alone; choose another directory with --out",
            dir.display()
        )));
    }
    // Refuses while another demo still writes there.
    drop(Dataset::create(dir).map_err(super::ls::fault)?);
    std::fs::remove_dir_all(dir).map_err(Fault::io)?;
    Ok(())
}

/// A directory that something else writes to from now on is no demo's any more, and no later demo may replace it.
pub(super) fn keep(dir: &Path) {
    if std::fs::remove_file(dir.join(MARK)).is_ok() {
        tracing::info!(data = %dir.display(), "was made by a demo; a later demo will leave it alone");
    }
}

fn watch(capture: &Capture, shared: &Shared, seconds: u64, stop: &AtomicBool, quiet: bool) {
    let mut progress = out::Progress::new(quiet);
    let begin = clock::mono_ns();
    let end = begin + i64::try_from(seconds).unwrap_or(0) * 1_000_000_000;
    while !stop.load(Ordering::Acquire) && !capture.has_ended() && clock::mono_ns() < end {
        capture.wait(Duration::from_millis(50));
        progress.show(|| {
            let (mut frames, mut gaps, mut synced, mut books) = (0, 0, 0, 0);
            for l in shared.lanes() {
                frames += l.reader.frames.get();
                gaps += l.reader.gaps.iter().map(crate::metrics::Counter::get).sum::<u64>();
                books += l.books().len();
                synced += l.books().iter().filter(|b| b.state() == BookState::Synced).count();
            }
            let s = (clock::mono_ns() - begin) / 1_000_000_000;
            format!(
                "{s:>3} of {seconds} s: {} frames, {synced} of {books} books proven, {gaps} gaps found",
                out::count(frames)
            )
        });
    }
}

fn report(args: &Args, s: &Summary, shared: &Shared, sent: u64) -> anyhow::Result<()> {
    let ds = Dataset::open(&args.out).map_err(super::ls::fault)?;
    let manifest = ds.manifest().map_err(super::ls::fault)?;
    let gaps = gap_lines(&ds, manifest.parts())?;
    let mut tables: Vec<(String, u64, i64, u64)> = Vec::new();
    for p in manifest.parts() {
        match tables.iter_mut().find(|t| t.0 == p.table) {
            Some(t) => {
                t.1 += 1;
                t.2 += p.rows;
                t.3 += p.bytes;
            }
            None => tables.push((p.table.clone(), 1, p.rows, p.bytes)),
        }
    }
    // A second before the stop: from the stop on no book is known.
    let last = manifest.parts().filter(|p| p.table == "book_delta").map(|p| p.ts_max).max().unwrap_or(0);
    let at = last - 1_000_000_000;
    let books = books(&ds, at)?;
    let hops: Vec<HopSummary> = shared.lanes().iter().flat_map(|l| l.hops()).collect();
    let mut o = out::stdout();
    if args.json {
        let tables: Vec<_> = tables
            .iter()
            .map(|t| serde_json::json!({"table": t.0, "files": t.1, "rows": t.2, "bytes": t.3}))
            .collect();
        let line = serde_json::json!({
            "out": args.out, "sent": sent, "frames": s.frames, "rejects": s.rejects, "books": books,
            "gaps": gaps, "latency_ns": hops, "tables": tables,
        });
        out::json_line(&mut o, &line)?;
        o.flush()?;
        return Ok(());
    }
    writeln!(o, "\nframes   {} received, {} rejected", out::count(s.frames), s.rejects)?;
    writeln!(o, "books    at {}, a second before the stop:", super::book::time_text(at))?;
    for b in &books {
        writeln!(o, "           {b}")?;
    }
    writeln!(o, "gaps     found and explained:")?;
    for g in &gaps {
        writeln!(o, "           {g}")?;
    }
    writeln!(o, "latency  per hop, this machine, over loopback (µs):      p50       p99     p99.9")?;
    for h in &hops {
        let us = |ns: i64| ns as f64 / 1000.0;
        writeln!(o, "           {:<34} {:>14.1} {:>9.1} {:>9.1}", h.hop, us(h.p50), us(h.p99), us(h.p999))?;
    }
    writeln!(o, "files    in {}:", args.out.display())?;
    for (table, files, rows, bytes) in &tables {
        let rows = out::count(rows.unsigned_abs());
        writeln!(o, "           {table:<14} {files:>3} file(s) {rows:>10} rows {:>10}", out::bytes(*bytes))?;
    }
    let (d, me) = (args.out.display(), out::program());
    writeln!(o, "\nnext     {me} ls {d}")?;
    writeln!(o, "         {me} verify {d}")?;
    writeln!(o, "         {me} book {d} --venue {VENUE} --symbol BTCUSDT --at {at} --depth 5")?;
    writeln!(o, "         or open {d}/v1/*/**/*.parquet with pandas, Polars or DuckDB: see {d}/README.md")?;
    o.flush()?;
    Ok(())
}

/// What `lobtape book` says of a symbol, in short.
#[derive(serde::Serialize)]
struct BookLine {
    symbol: &'static str,
    /// `proven`, or `in a gap`.
    state: &'static str,
    at: i64,
    /// Id of the last update, −1 = none.
    seq_last: i64,
    /// Best price and size of each side.
    bid: Option<(f64, f64)>,
    ask: Option<(f64, f64)>,
    bid_levels: usize,
    ask_levels: usize,
}

impl std::fmt::Display for BookLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = |best: Option<(f64, f64)>| best.map_or("-".to_owned(), |(p, s)| format!("{s} at {p}"));
        let (bid, ask) = (side(self.bid), side(self.ask));
        let BookLine { symbol, state, seq_last, bid_levels, ask_levels, .. } = self;
        write!(f, "{symbol:<9} {state}, last update {seq_last}: best bid {bid}, best ask {ask}; ")?;
        write!(f, "{bid_levels} bids, {ask_levels} asks")
    }
}

/// The books at a time, out of the dataset.
fn books(ds: &Dataset, at: i64) -> anyhow::Result<Vec<BookLine>> {
    let line = |symbol| {
        let b = book_at(ds, VENUE, symbol, at).map_err(super::ls::fault)?.unwrap_or_default();
        Ok(BookLine {
            symbol,
            state: if b.in_gap() { "in a gap" } else { "proven" },
            at,
            seq_last: if b.in_gap() { -1 } else { b.seq_last },
            bid: b.bids.first().copied(),
            ask: b.asks.first().copied(),
            bid_levels: b.bids.len(),
            ask_levels: b.asks.len(),
        })
    };
    SYMBOLS.into_iter().map(line).collect()
}

/// The rows of `gaps`, for people: one line per cause, ids where ids are missing.
fn gap_lines<'p>(ds: &Dataset, parts: impl Iterator<Item = &'p PartRecord>) -> anyhow::Result<Vec<String>> {
    let mut by_cause: std::collections::BTreeMap<String, (u64, i64)> = std::collections::BTreeMap::new();
    let mut holes = Vec::new();
    for p in parts.filter(|p| p.table == "gaps") {
        for b in read::open(&ds.root().join(&p.path), Want::default())? {
            let b = b?;
            let (stream, cause) = (b.text("stream")?, b.text("cause")?);
            let (before, after) = (b.i64("seq_before")?, b.i64("seq_after")?);
            let (begin, end) = (b.i64("ts_begin")?, b.i64("ts_end")?);
            for i in 0..b.rows() {
                let longest = end[i] - begin[i];
                let e = by_cause.entry(cause.value(i).to_owned()).or_default();
                e.0 += 1;
                e.1 = e.1.max(longest);
                if cause.value(i) == "venue_seq_gap" && after[i] > before[i] {
                    holes.push(format!(
                        "{}: ids {} to {} never came",
                        stream.value(i),
                        before[i] + 1,
                        after[i]
                    ));
                }
            }
        }
    }
    let words = |c: &str| match c {
        "initial_sync" => "from subscribing to the first proven book",
        "resync_wait" => "from a hole to the next proven book",
        "venue_disconnect" => "the connection was cut, one per stream",
        "venue_seq_gap" => "the venue's own ids show that frames are missing",
        _ => "",
    };
    let mut lines: Vec<String> = by_cause
        .iter()
        .map(|(c, (n, ns))| format!("{n:>2} {c:<17} at most {:>6.0} ms  {}", *ns as f64 / 1e6, words(c)))
        .collect();
    lines.extend(holes.into_iter().map(|h| format!("   {h}")));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_capture_went_on_with_is_no_demo_s_any_more() {
        let d = tempfile::tempdir().unwrap();
        let dir = d.path().join("lobtape-demo");
        drop(Dataset::create(&dir).unwrap());
        std::fs::write(dir.join(MARK), "").unwrap();
        keep(&dir);
        assert!(make_room(&dir).unwrap_err().to_string().contains("was not made by a demo"));
        // Where nothing else wrote, it is.
        std::fs::write(dir.join(MARK), "").unwrap();
        make_room(&dir).unwrap();
        assert!(!dir.exists());
    }
}
