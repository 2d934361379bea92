//! `lobtape book`: the book of an instrument at a time, out of the dataset.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::anyhow;
use jiff::Timestamp;

use crate::dataset::book_at::{BookAt, book_at};
use crate::dataset::read::{self, Want};
use crate::dataset::schema::Table;
use crate::dataset::{Dataset, DatasetError};
use crate::model::{StreamKind, flags};
use crate::venue;

use super::ls::fault;
use super::{Fault, WELL, out};

/// The order book of an instrument at a time. Empty from the moment on at which a gap was noticed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A gap begins with the last frame that is proven and is noticed later: by the next frame's ids, or by \
    silence. In between, the book is the last proven one, and a note says in which gap the time lies.\n\nExamples:\n  \
    lobtape book data --venue aster-futures --symbol BTCUSDT --at 2026-11-20T12:00:00Z --depth 5\n  \
    lobtape book data --venue aster-futures --symbol BTCUSDT --at 1795176000000000000 --json"
)]
pub struct Args {
    /// The dataset's directory.
    pub dir: PathBuf,
    /// The venue.
    #[arg(long)]
    pub venue: String,
    /// The symbol, as the venue writes it.
    #[arg(long)]
    pub symbol: String,
    /// When, by our receive clock: ns since the Unix epoch, or ISO 8601 with a zone (2026-11-20T12:00:00.5Z).
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_negative_numbers = true)]
    pub at: i64,
    /// Levels a side; all if not given.
    #[arg(long, value_name = "N")]
    pub depth: Option<usize>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// ns since the Unix epoch out of a whole number or an ISO 8601 time.
fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(ns) = text.parse() {
        return Ok(ns);
    }
    let t: Timestamp = text
        .parse()
        .map_err(|e| format!("{e}; give ns since the epoch or a time like 2026-11-20T12:00:00Z"))?;
    i64::try_from(t.as_nanosecond()).map_err(|_| "outside the years 1678 to 2261".to_owned())
}

/// ISO 8601, UTC, all nine digits.
pub(super) fn time_text(ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| ns.to_string(), |t| format!("{t:.9}"))
}

#[derive(serde::Serialize)]
struct Json<'a> {
    venue: &'a str,
    symbol: &'a str,
    at: i64,
    in_gap: bool,
    gap: Option<&'a GapAt>,
    book_epoch: i64,
    seq_last: i64,
    ts_recv: i64,
    flags: i32,
    bid_levels: usize,
    ask_levels: usize,
    bids: &'a [(f64, f64)],
    asks: &'a [(f64, f64)],
}

/// Runs the command.
///
/// # Errors
/// No dataset or no such instrument there, a damaged file, or output that failed; each with its exit code.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let ds = Dataset::open(&args.dir).map_err(fault)?;
    let Some(book) = book_at(&ds, &args.venue, &args.symbol, args.at).map_err(fault)? else {
        return Err(Fault::usage(anyhow!(
            "{}: no book_delta of {}:{}; `lobtape ls` lists what is there",
            args.dir.display(),
            args.venue,
            args.symbol
        )));
    };
    let gap = gap_at(&ds, &args).map_err(fault)?;
    let mut stdout = out::stdout();
    let depth = args.depth.unwrap_or(usize::MAX);
    if args.json {
        let json = Json {
            venue: &args.venue,
            symbol: &args.symbol,
            at: args.at,
            in_gap: book.in_gap(),
            gap: gap.as_ref(),
            book_epoch: book.book_epoch,
            seq_last: book.seq_last,
            ts_recv: book.ts_recv,
            flags: book.flags,
            bid_levels: book.bids.len(),
            ask_levels: book.asks.len(),
            bids: &book.bids[..depth.min(book.bids.len())],
            asks: &book.asks[..depth.min(book.asks.len())],
        };
        out::json_line(&mut stdout, &json)?;
    } else {
        print(&mut stdout, &args, &book, gap.as_ref(), depth)?;
    }
    stdout.flush()?;
    Ok(WELL)
}

/// A row of `gaps` about the diffs of an instrument.
#[derive(Debug, serde::Serialize)]
struct GapAt {
    stream: String,
    cause: String,
    ts_begin: i64,
    /// 0 = not over at the end of the dataset.
    ts_end: i64,
}

/// The gap of the instrument's diffs in which the time lies.
fn gap_at(ds: &Dataset, args: &Args) -> Result<Option<GapAt>, DatasetError> {
    const COLUMNS: &[&str] = &["instrument", "stream", "cause", "ts_begin", "ts_end"];
    let key = format!("{}:{}", args.venue, args.symbol);
    let venue = venue::by_id(&args.venue).map(|(_, v)| v);
    let is_diffs = |stream: &str| {
        venue.and_then(|v| v.parse_stream(stream)).is_some_and(|s| s.kind == StreamKind::DepthDiff)
    };
    let manifest = ds.manifest()?;
    // A row is written when the gap, or the interval, ends: its file is of that time or later.
    for p in manifest.select(Table::Gaps, &args.venue, "").into_iter().filter(|p| p.ts_max >= args.at) {
        for b in read::open(&ds.root().join(&p.path), Want { columns: COLUMNS, ..Want::default() })? {
            let b = b?;
            let (instrument, stream, cause) = (b.text("instrument")?, b.text("stream")?, b.text("cause")?);
            let (begin, end) = (b.i64("ts_begin")?, b.i64("ts_end")?);
            let hit = (0..b.rows()).find(|&i| {
                instrument.value(i) == key
                    && begin[i] <= args.at
                    && (end[i] == 0 || args.at < end[i])
                    && is_diffs(stream.value(i))
            });
            if let Some(i) = hit {
                return Ok(Some(GapAt {
                    stream: stream.value(i).to_owned(),
                    cause: cause.value(i).to_owned(),
                    ts_begin: begin[i],
                    ts_end: end[i],
                }));
            }
        }
    }
    Ok(None)
}

fn print(w: &mut impl Write, args: &Args, b: &BookAt, gap: Option<&GapAt>, depth: usize) -> io::Result<()> {
    writeln!(w, "{}:{} at {}", args.venue, args.symbol, time_text(args.at))?;
    if let Some(g) = gap {
        let end = if g.ts_end == 0 { "the end".to_owned() } else { time_text(g.ts_end) };
        writeln!(w, "inside a gap of {} ({}), {} to {end}", g.stream, g.cause, time_text(g.ts_begin))?;
    }
    if b.book_epoch == 0 {
        return writeln!(w, "no book: nothing was proven on this UTC day before that time");
    }
    if b.in_gap() {
        return writeln!(w, "no book: inside a gap that began at {}", time_text(b.book_epoch));
    }
    let notes: Vec<&str> = [
        (flags::CROSSED, "crossed"),
        (flags::MAYBE_BAD_BOOK, "maybe bad"),
        (flags::UNVERIFIED_SEQ, "ids prove nothing"),
    ]
    .into_iter()
    .filter_map(|(bit, word)| (b.flags & bit != 0).then_some(word))
    .collect();
    writeln!(
        w,
        "last update {} at {}, epoch {}, {} bids, {} asks{}{}",
        b.seq_last,
        time_text(b.ts_recv),
        b.book_epoch,
        b.bids.len(),
        b.asks.len(),
        if notes.is_empty() { "" } else { "; " },
        notes.join(", ")
    )?;
    writeln!(w, "{:>20} {:>20} | {:<20} {:<20}", "bid size", "bid", "ask", "ask size")?;
    for i in 0..depth.min(b.bids.len().max(b.asks.len())) {
        let cell = |x: Option<&(f64, f64)>| {
            x.map_or_else(|| (String::new(), String::new()), |(p, s)| (p.to_string(), s.to_string()))
        };
        let ((bp, bs), (ap, asz)) = (cell(b.bids.get(i)), cell(b.asks.get(i)));
        writeln!(w, "{}", format!("{bs:>20} {bp:>20} | {ap:<20} {asz:<20}").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_ns_or_iso_8601() {
        assert_eq!(parse_time("1795176000000000000"), Ok(1_795_176_000_000_000_000));
        assert_eq!(parse_time("2026-11-20T12:00:00Z"), Ok(1_795_176_000_000_000_000));
        assert_eq!(parse_time("2026-11-20T13:00:00.000000001+01:00"), Ok(1_795_176_000_000_000_001));
        assert!(parse_time("yesterday").is_err());
        assert!(parse_time("2026-11-20").is_err());
        assert_eq!(time_text(1_795_176_000_000_000_001), "2026-11-20T12:00:00.000000001Z");
    }
}
