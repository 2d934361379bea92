//! `lobtape ls`: what a dataset holds.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::dataset::overview::{self, Overview, VenueOverview};
use crate::dataset::{Dataset, DatasetError};

use super::{Fault, WELL, out};

/// Venues, symbols, days, tables, rows, sizes and coverage of a dataset at a glance.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  lobtape ls data\n  lobtape ls data --json | jq '.venues[].coverage'")]
pub struct Args {
    /// The dataset's directory.
    pub dir: PathBuf,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// No dataset there, a damaged one, or output that failed; each with its exit code.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let ds = Dataset::open(&args.dir).map_err(fault)?;
    let o = overview::overview(&ds).map_err(fault)?;
    let mut stdout = out::stdout();
    if args.json {
        out::json_line(&mut stdout, &o)?;
    } else {
        print(&mut stdout, &args.dir.display().to_string(), &o)?;
    }
    stdout.flush()?;
    if o.manifest_lines_lost > 0 {
        let (n, dir) = (o.manifest_lines_lost, args.dir.display());
        let what = anyhow::anyhow!(
            "{dir}: {n} line(s) of the manifest are missing, and files may be that they named; `lobtape verify {dir}` says \
             where, `lobtape rebuild {dir} --all` makes them again"
        );
        return Err(Fault::data(what));
    }
    Ok(WELL)
}

/// The exit code of an error of the dataset room.
pub(super) fn fault(e: DatasetError) -> anyhow::Error {
    if e.is_damage() {
        Fault::data(e)
    } else if e.is_usage() {
        Fault::usage(e)
    } else {
        Fault::io(e)
    }
}

fn print(w: &mut impl Write, dir: &str, o: &Overview) -> io::Result<()> {
    writeln!(w, "{dir}  dataset {}  {} files, {} rows, {}", o.id, o.files, count(o.rows), size(o.bytes))?;
    if o.files == 0 && o.manifest_lines_lost == 0 {
        writeln!(w, "nothing is published yet")?;
    }
    for (name, v) in &o.venues {
        writeln!(w)?;
        venue(w, name, v)?;
        writeln!(
            w,
            "  {:<14} {:>7} {:>5} {:>6} {:>14} {:>10} {:>7}",
            "table", "symbols", "days", "files", "rows", "size", "B/row"
        )?;
        for (table, t) in &v.tables {
            let symbols = if t.symbols == 0 { String::new() } else { t.symbols.to_string() };
            writeln!(
                w,
                "  {table:<14} {symbols:>7} {:>5} {:>6} {:>14} {:>10} {:>7.2}",
                t.days,
                t.files,
                count(t.rows),
                size(t.bytes),
                t.bytes as f64 / t.rows.max(1) as f64,
            )?;
        }
    }
    Ok(())
}

fn venue(w: &mut impl Write, name: &str, v: &VenueOverview) -> io::Result<()> {
    let days = match (v.dates.first(), v.dates.last()) {
        (Some(a), Some(b)) if a != b => format!("{a} … {b} ({} days)", v.dates.len()),
        (Some(a), _) => a.clone(),
        _ => String::new(),
    };
    match name {
        "" => writeln!(w, "(of no venue)  {days}")?,
        // As the path says it: `venue=_`.
        "_" => writeln!(w, "(of no venue: records of lane 000, the recorder's own; venue=_)  {days}")?,
        _ => writeln!(w, "{name}  {days}")?,
    }
    if !v.symbols.is_empty() {
        let some: Vec<&str> = v.symbols.iter().take(8).map(String::as_str).collect();
        let more = v.symbols.len() - some.len();
        let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
        writeln!(w, "  symbols: {}{tail}", some.join(", "))?;
    }
    let c = &v.coverage;
    let total = c.covered_ns.saturating_add(c.gap_ns);
    if total > 0 {
        let gaps: Vec<String> = c.gaps.iter().map(|(k, n)| format!("{k} {n}")).collect();
        writeln!(
            w,
            "  coverage: {:.4} % of {:.1} stream hours; gaps: {}",
            c.covered_ns as f64 * 100.0 / total as f64,
            total as f64 / 3.6e12,
            if gaps.is_empty() { "none".to_owned() } else { gaps.join(", ") }
        )?;
    }
    Ok(())
}

fn count(n: i64) -> String {
    let digits = n.to_string();
    let mut s = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            s.push(',');
        }
        s.push(c);
    }
    s
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut x = bytes as f64;
    let mut u = 0;
    while x >= 999.5 && u + 1 < UNITS.len() {
        x /= 1000.0;
        u += 1;
    }
    if u == 0 { format!("{bytes} B") } else { format!("{x:.1} {}", UNITS[u]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [size(12), size(1_500), size(999_600), size(3 << 40)],
            ["12 B", "1.5 kB", "1.0 MB", "3.3 TB"]
        );
    }

    #[test]
    fn the_recorder_s_own_records_are_of_no_venue() {
        let mut o = Overview::default();
        for name in ["", "_", "aster-spot"] {
            o.venues.insert(name.to_owned(), VenueOverview::default());
        }
        let mut text = Vec::new();
        print(&mut text, "d", &o).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(!text.lines().any(|l| l.starts_with('_')) && text.contains("lane 000"), "{text}");
        assert!(text.contains("\naster-spot  "), "{text}");
    }

    #[test]
    fn an_empty_dataset_is_well_and_a_missing_one_is_wrong_usage() {
        let d = tempfile::tempdir().unwrap();
        let args = |json| Args { dir: d.path().join("x"), json };
        let e = run(args(false)).unwrap_err();
        assert_eq!(super::super::fault::exit_code(&e), super::super::USAGE);
        drop(Dataset::create(d.path().join("x")).unwrap());
        assert_eq!(run(args(true)).unwrap(), WELL);
        assert_eq!(run(args(false)).unwrap(), WELL);
    }
}
