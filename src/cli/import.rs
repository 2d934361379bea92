//! `lobtape import`: recordings of other tools become a dataset.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::importing::{self, FirstReject, Judged, Options};
use super::{Fault, out};
use crate::config::{Duration, fits_a_day};
use crate::dataset::{Dataset, PublishReport};
use crate::model::control::to_payload;
use crate::model::{Kind, Record, RunStart, RunStop};
use crate::sink::{Checkpoint, ControlLane, ControlRecord, Converter, SinkError};

/// Arguments of `lobtape import`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  lobtape import btcusdt_20240808.gz --venue binance-usdm --out data
  lobtape import eth_0808.gz eth_0809.gz --venue binance-coinm --out data --json

Lines are `<receive time in ns> {frame}`, plain or .gz, as the hftbacktest collector writes them, or those of
cryptofeed's raw data collection. Several files are one session, in the order given, which is that of time. The same
files give the same bytes.")]
pub struct Args {
    /// Recordings (plain or .gz), in order of time, each once.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Venue id.
    #[arg(long)]
    pub venue: String,
    /// Dataset directory; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How long a part is.
    #[arg(long, default_value = "1h", value_name = "DURATION")]
    pub interval: String,
    /// The result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// The converter with lane 000 beside it, as capture has it with a journal between.
struct Import<'d> {
    ds: &'d Dataset,
    converter: Converter,
    control: ControlLane,
    files: usize,
    rows: i64,
    bytes: u64,
    run_id: String,
}

impl Import<'_> {
    fn feed(&mut self, rec: &Record<'_>) -> Result<(), SinkError> {
        let fed = self.converter.feed(self.ds, rec)?;
        self.count(&fed.published);
        if let Some(c) = fed.checkpoint
            && rec.kind != Kind::Stop
        {
            self.checkpoint(c)?;
        }
        Ok(())
    }

    fn count(&mut self, r: &PublishReport) {
        self.files += r.published + r.already;
        self.rows += r.rows;
        self.bytes += r.bytes;
    }

    fn checkpoint(&mut self, c: Checkpoint) -> Result<(), SinkError> {
        let records = self.control.stamp(Kind::Checkpoint, c.at, 0, c.payload);
        self.control_records(records)
    }

    fn control_records(&mut self, records: Vec<ControlRecord>) -> Result<(), SinkError> {
        let mut own = Vec::new();
        for r in records {
            let fed = self.converter.feed(self.ds, &r.record())?;
            self.count(&fed.published);
            own.extend(fed.checkpoint);
        }
        for c in own {
            self.checkpoint(c)?;
        }
        Ok(())
    }

    /// Lane 000 begins and ends with the lane that it stands beside.
    fn beside(&mut self, rec: &Record<'_>) -> Result<(), SinkError> {
        if rec.kind == Kind::Run
            && let Ok(run) = crate::model::control::from_payload::<RunStart>(rec.payload)
        {
            self.run_id.clone_from(&run.run_id);
            let records = self.control.stamp(Kind::Run, rec.ts_recv, 0, to_payload(&run));
            self.control_records(records)?;
        }
        self.feed(rec)?;
        if rec.kind == Kind::Stop {
            let stop =
                RunStop { run_id: self.run_id.clone(), ts_stop: rec.ts_recv, exit: "clean".to_owned() };
            for r in self.control.stamp(Kind::Stop, rec.ts_recv, 0, to_payload(&stop)) {
                let fed = self.converter.feed(self.ds, &r.record())?;
                self.count(&fed.published);
            }
        }
        Ok(())
    }
}

/// Runs it.
///
/// # Errors
/// Files that cannot be read, a directory that is not ours, a disk that is full.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let interval_ns = Duration::parse(&args.interval)
        .map_err(|e| e.to_string())
        .and_then(|d| fits_a_day(d.ns).map(|()| d.ns))
        .map_err(|e| Fault::usage(anyhow::anyhow!("--interval: {e}")))?;
    let options = Options { interval_ns, ..Options::default() };
    importing::venue(&args.venue)?;
    let fresh = !args.out.exists();
    let result = into_dataset(&args, &options, fresh);
    if result.is_err() && fresh {
        // Half a session is none, and the recordings are still there. Best effort: the error is what counts.
        let _ = std::fs::remove_dir_all(&args.out);
    }
    result
}

fn into_dataset(args: &Args, options: &Options, fresh: bool) -> anyhow::Result<u8> {
    let ds = Dataset::create(&args.out).map_err(super::ls::fault)?;
    if ds.manifest().map_err(super::ls::fault)?.parts().next().is_some() {
        return Err(Fault::usage(anyhow::anyhow!(
            "{}: holds data already; import into a new directory, one session each",
            args.out.display()
        )));
    }
    let mut import = Import {
        ds: &ds,
        converter: Converter::new(),
        control: ControlLane::new(-1, 0, options.interval_ns),
        files: 0,
        rows: 0,
        bytes: 0,
        run_id: String::new(),
    };
    let mut progress = out::Progress::new(args.json);
    let (mut n, mut first) = (0u64, FirstReject::default());
    let read = importing::records(&args.files, &args.venue, options, &mut |rec, at| {
        n += 1;
        progress
            .show(|| format!("file {} line {}: {} records", at.file + 1, out::count(at.line), out::count(n)));
        import.beside(rec)?;
        first.note(&import.converter.counters(1), at);
        Ok(())
    });
    progress.clear();
    if read.is_err() && !fresh && n > 0 {
        let dir = args.out.display();
        out::complain(&format!("{dir}: holds a part of a session now: remove it before the next import"));
    }
    let stats = read?;
    let counters = import.converter.counters(1);
    let mut stdout = out::stdout();
    let judged = importing::judge(&args.files, &args.venue, &stats, &counters, first)?;
    summary(&mut stdout, args, &import, &stats, &counters, &judged)?;
    stdout.flush()?;
    Ok(if args.json { judged.tell() } else { judged.code() })
}

fn summary(
    stdout: &mut impl std::io::Write,
    args: &Args,
    i: &Import<'_>,
    stats: &crate::import::ImportStats,
    counters: &crate::fold::FoldCounters,
    judged: &Judged,
) -> anyhow::Result<()> {
    if args.json {
        let line = serde_json::json!({
            "out": args.out, "lines": stats.lines, "frames": stats.frames, "bodies": stats.bodies,
            "faulty_lines": stats.faulty, "odd_stamps": stats.odd_stamps, "cut_files": stats.cut_files, "damaged_files": stats.damaged, "rejects": counters.rejects,
            "syncs": counters.syncs, "seq_gaps": counters.seq_gaps, "diffs_applied": counters.applied,
            "files": i.files, "rows": i.rows, "bytes": i.bytes,
        });
        out::json_line(&mut *stdout, &line)?;
    } else {
        let c = out::count;
        writeln!(
            stdout,
            "{} frames and {} bodies from {} lines",
            c(stats.frames),
            c(stats.bodies),
            c(stats.lines)
        )?;
        if stats.faulty > 0 || counters.rejects > 0 {
            writeln!(
                stdout,
                "{} lines and {} frames could not be read: see the table rejects",
                c(stats.faulty),
                c(counters.rejects)
            )?;
        }
        for line in &judged.lines {
            writeln!(stdout, "{line}")?;
        }
        writeln!(
            stdout,
            "{} diffs applied, {} book(s) proven, {} sequence gap(s)",
            c(counters.applied),
            c(counters.syncs),
            c(counters.seq_gaps)
        )?;
        writeln!(stdout, "{} rows in {} files, {}", c(i.rows as u64), i.files, out::bytes(i.bytes))?;
        writeln!(stdout, "next: {me} ls {0}; {me} verify {0}", args.out.display(), me = out::program())?;
    }
    Ok(())
}
