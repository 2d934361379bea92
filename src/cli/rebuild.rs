//! `lobtape rebuild`: Parquet again from `raw`, held against what is published.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::{DATA, Fault, WELL, out};
use crate::dataset::Dataset;
use crate::engine::rebuild::{self, Options, Outcome, RebuildError};
use crate::model::time;

/// Files named of each kind; the rest is counted.
const SHOWN: usize = 10;

/// Arguments of `lobtape rebuild`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  lobtape rebuild data --date 2026-11-20
  lobtape rebuild data --all --json
  lobtape rebuild data --date 2026-11-20 --out rebuilt

Folds the day's records again and compares file by file. The published files are not touched. Exit code 2 if anything
differs; the table `runs` is left out, because it says who ran the program.")]
pub struct Args {
    /// The dataset.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// UTC day, `YYYY-MM-DD`.
    #[arg(long, value_name = "DATE", required_unless_present = "all", conflicts_with = "all")]
    pub date: Option<String>,
    /// Every day there is.
    #[arg(long)]
    pub all: bool,
    /// Keeps the result in this new directory; without it the result is compared and removed.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// No dataset, no or damaged `raw`, a directory that cannot be written.
pub fn run(args: Args) -> anyhow::Result<u8> {
    if let Some(d) = &args.date
        && time::parse_date(d).is_none()
    {
        return Err(Fault::usage(anyhow::anyhow!("--date: {d:?} is no UTC day like 2026-11-20")));
    }
    let ds = Dataset::open(&args.dir).map_err(super::ls::fault)?;
    let mut progress = out::Progress::new(args.json);
    let days = args.date.as_deref().map(|d| (d, d));
    let options = Options { days, out: args.out.as_deref() };
    let result = rebuild::rebuild(&ds, &options, &mut |records, lane| {
        progress.show(|| format!("lane {lane:03}: {} records", out::count(records)));
    });
    progress.clear();
    let o = result.map_err(fault)?;
    let mut stdout = out::stdout();
    if args.json {
        out::json_line(&mut stdout, &o)?;
    } else {
        print(&mut stdout, &o)?;
    }
    stdout.flush()?;
    Ok(if o.is_equal() { WELL } else { DATA })
}

/// The exit code of an error of a rebuild.
pub(super) fn fault(e: RebuildError) -> anyhow::Error {
    if e.is_damage() {
        Fault::data(e)
    } else if e.is_usage() {
        Fault::usage(e)
    } else {
        Fault::io(e)
    }
}

fn print(w: &mut impl std::io::Write, o: &Outcome) -> std::io::Result<()> {
    let c = out::count;
    writeln!(
        w,
        "{} records folded again: {} files equal, {} different, {} missing, {} extra",
        c(o.records),
        c(o.equal + o.same_rows),
        o.different.len(),
        o.missing.len(),
        o.extra.len()
    )?;
    if o.same_rows > 0 {
        writeln!(
            w,
            "{} of them have the same rows in other bytes: another version wrote them",
            c(o.same_rows)
        )?;
    }
    if o.not_yet > 0 {
        writeln!(w, "{} files are newer than the last published raw and were not compared", c(o.not_yet))?;
    }
    if !o.let_go.is_empty() {
        let days: Vec<&str> = o.let_go.iter().map(String::as_str).collect();
        writeln!(w, "not rebuilt, because retention has let their raw go: {}", days.join(", "))?;
    }
    let (equal, different) = (o.checkpoints_equal, o.checkpoints_different.len());
    writeln!(w, "{} checkpoints reached again, {different} different", c(equal))?;
    let differ = o.different.iter().map(|d| format!("{}: {}", d.path, d.what)).collect::<Vec<_>>();
    let states = o.checkpoints_different.iter().map(|s| format!("state at lane:lane_seq {s}")).collect();
    let lists =
        [("different", &differ), ("different", &states), ("missing", &o.missing), ("extra", &o.extra)];
    for (word, list) in lists {
        for line in list.iter().take(SHOWN) {
            writeln!(w, "{word:<10} {line}")?;
        }
        if list.len() > SHOWN {
            writeln!(w, "{:<10} and {} more", "", list.len() - SHOWN)?;
        }
    }
    if !o.out.is_empty() {
        writeln!(w, "the result is in {}", o.out)?;
    }
    Ok(())
}
