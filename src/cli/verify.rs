//! `lobtape verify`: the proof from the files alone.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde::Serialize;

use super::{DATA, Fault, WELL, out};
use crate::dataset::{Dataset, Table};
use crate::engine::rebuild::{self, Outcome};
use crate::model::time;
use crate::verify::{self, Check, Options, Report, VerifyError};

/// Findings printed per check; the rest is counted.
const SHOWN: usize = 10;

/// Arguments of `lobtape verify`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  lobtape verify data
  lobtape verify data --deep
  lobtape verify data --venue aster-futures --date 2026-11-20 --json

Files against the manifest (SHA-256, rows, ranges), rows without holes, every frame once, ids of books and trades
chained, books recomputed, every second of every stream covered or explained and the covered ones proven from raw.
--deep folds raw again and compares the rows as well. With --date, what was before that day is unknown and not judged.
While a capture runs, only what is published is looked at. README.md, views.sql and _hlog (a copy of the table latency
for other tools) are not: nothing depends on them. The marker LOBTAPE is held against the manifest only. Exit codes: 0 well, 2 the data is at fault.")]
pub struct Args {
    /// The dataset.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Only this table.
    #[arg(long)]
    pub table: Option<String>,
    /// Only this venue.
    #[arg(long)]
    pub venue: Option<String>,
    /// Only this UTC day, `YYYY-MM-DD`.
    #[arg(long)]
    pub date: Option<String>,
    /// Folds `raw` again and compares every file's rows.
    #[arg(long)]
    pub deep: bool,
    /// The result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Verdict {
    #[serde(flatten)]
    report: Report,
    /// Only with `--deep`.
    rebuild: Option<Outcome>,
}

/// Runs it.
///
/// # Errors
/// No dataset, a file system that refuses.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let options = options(&args)?;
    let ds = Dataset::open(&args.dir).map_err(super::ls::fault)?;
    anything(&ds, &args)?;
    let mut progress = out::Progress::new(args.json);
    let mut report = verify::verify(&ds, &options, &mut |what, done, all| {
        progress.show(|| match (what, all) {
            ("files", n) => format!("files: {} of {}", out::bytes(done), out::bytes(n)),
            (what, n) => format!("{what}: {} of {}", out::count(done), out::count(n)),
        });
    })
    .map_err(fault)?;
    let mut deep = None;
    if args.deep {
        let days = args.date.as_deref().map(|d| (d, d));
        let o = rebuild::Options { days, out: None };
        let again = rebuild::rebuild(&ds, &o, &mut |records, lane| {
            progress.show(|| format!("lane {lane:03} again: {} records", out::count(records)));
        });
        match again {
            Ok(o) => deep = Some(o),
            // Damaged raw is what verification has found already.
            Err(e) if e.is_damage() && !report.well => {}
            Err(e) => return Err(super::rebuild::fault(e)),
        }
    }
    progress.clear();
    report.well &= deep.as_ref().is_none_or(Outcome::is_equal);
    let well = report.well;
    let mut stdout = out::stdout();
    if args.json {
        out::json_line(&mut stdout, &Verdict { report, rebuild: deep })?;
    } else {
        print(&mut stdout, &report, deep.as_ref(), args.deep)?;
    }
    stdout.flush()?;
    Ok(if well { WELL } else { DATA })
}

fn options(args: &Args) -> anyhow::Result<Options> {
    let table = match &args.table {
        None => None,
        Some(name) => Some(Table::from_name(name).ok_or_else(|| {
            let all: Vec<_> = Table::ALL.into_iter().map(Table::name).collect();
            Fault::usage(anyhow::anyhow!("--table: no table {name:?}; there are {}", all.join(", ")))
        })?),
    };
    if let Some(d) = &args.date
        && time::parse_date(d).is_none()
    {
        return Err(Fault::usage(anyhow::anyhow!("--date: {d:?} is no UTC day like 2026-11-20")));
    }
    Ok(Options { table, venue: args.venue.clone(), date: args.date.clone(), findings_max: 0 })
}

/// A venue or day that is not there would be found well.
fn anything(ds: &Dataset, args: &Args) -> anyhow::Result<()> {
    let m = ds.manifest().map_err(super::ls::fault)?;
    let has = |f: &dyn Fn(&crate::dataset::PartRecord) -> bool| m.parts().any(f);
    let dir = args.dir.display();
    if let Some(v) = &args.venue
        && !has(&|p| p.venue == *v)
    {
        return Err(Fault::usage(anyhow::anyhow!(
            "{dir}: nothing of venue {v:?}; `lobtape ls {dir}` shows what is there"
        )));
    }
    if let Some(d) = &args.date
        && !has(&|p| p.date == *d)
    {
        return Err(Fault::usage(anyhow::anyhow!(
            "{dir}: nothing of {d}; `lobtape ls {dir}` shows what is there"
        )));
    }
    Ok(())
}

fn fault(e: VerifyError) -> anyhow::Error {
    match e {
        VerifyError::Dataset(d) => super::ls::fault(d),
        e => Fault::io(e),
    }
}

fn print(w: &mut impl Write, r: &Report, deep: Option<&Outcome>, asked: bool) -> io::Result<()> {
    if r.writer_running {
        writeln!(w, "a process writes to dataset {}: only what is published was looked at", r.dataset)?;
    }
    for c in &r.checks {
        check(w, c)?;
    }
    match deep {
        Some(o) => {
            let word = if o.is_equal() { "ok" } else { "FAULT" };
            writeln!(
                w,
                "{word:<6} {:<9} {} records folded again: {} files equal, {} different, {} missing, {} extra",
                "deep",
                out::count(o.records),
                out::count(o.equal + o.same_rows),
                o.different.len() + o.checkpoints_different.len(),
                o.missing.len(),
                o.extra.len()
            )?;
            for day in &o.let_go {
                writeln!(w, "       note: {day} is not folded again: retention has let its raw go")?;
            }
            let missing = o.missing.iter().map(|p| format!("{p}: did not come out"));
            let extra = o.extra.iter().map(|p| format!("{p}: is not published"));
            let lines =
                o.different.iter().map(|d| format!("{}: {}", d.path, d.what)).chain(missing).chain(extra);
            for line in lines.take(SHOWN) {
                writeln!(w, "       {line}")?;
            }
        }
        None if asked => writeln!(w, "FAULT  deep      raw is damaged and cannot be folded again")?,
        None => {}
    }
    writeln!(w, "{}", if r.well { "all well" } else { "the data is at fault" })
}

/// One line per check, then what was found.
fn check(w: &mut impl Write, c: &Check) -> io::Result<()> {
    let word = if c.faults == 0 { "ok" } else { "FAULT" };
    let mut said: Vec<String> = Vec::new();
    for (name, n) in &c.counts {
        said.push(match name.strip_suffix("_ns") {
            Some(name) => format!("{name} {:.1} h", *n as f64 / 3.6e12),
            None if *name == "bytes" => out::bytes(n.unsigned_abs()),
            None => format!("{} {}", name.replace('_', " "), out::count(n.unsigned_abs())),
        });
    }
    if c.faults > 0 {
        said.insert(0, format!("{} found", out::count(c.faults)));
    }
    writeln!(w, "{word:<6} {:<9} {}", c.check.as_str(), said.join(", "))?;
    for f in c.findings.iter().take(SHOWN) {
        let at = match (f.file.as_str(), f.row) {
            ("", _) => String::new(),
            (file, -1) => format!("{file}: "),
            (file, row) => format!("{file} row {row}: "),
        };
        writeln!(w, "       {at}{}", f.what)?;
    }
    let more = c.faults.saturating_sub(c.findings.len().min(SHOWN) as u64);
    if more > 0 {
        writeln!(w, "       and {} more", out::count(more))?;
    }
    for n in &c.notes {
        writeln!(w, "       note: {n}")?;
    }
    Ok(())
}
