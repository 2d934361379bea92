//! `lobtape book`: the book of an instrument at a time, out of the dataset.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::anyhow;
use jiff::Timestamp;

use crate::dataset::Dataset;
use crate::dataset::book_at::{BookAt, book_at};
use crate::model::flags;

use super::ls::fault;
use super::{Fault, WELL, out};

/// The order book of an instrument at a time. Empty inside a gap: nothing is known of the book there.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    lobtape book data --venue aster-futures --symbol BTCUSDT --at 2026-11-20T12:00:00Z --depth 5\n  \
    lobtape book data --venue aster-futures --symbol BTCUSDT --at 1795176000000000000 --json")]
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
fn time_text(ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| ns.to_string(), |t| format!("{t:.9}"))
}

#[derive(serde::Serialize)]
struct Json<'a> {
    venue: &'a str,
    symbol: &'a str,
    at: i64,
    in_gap: bool,
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
    let mut stdout = out::stdout();
    let depth = args.depth.unwrap_or(usize::MAX);
    if args.json {
        let json = Json {
            venue: &args.venue,
            symbol: &args.symbol,
            at: args.at,
            in_gap: book.in_gap(),
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
        print(&mut stdout, &args, &book, depth)?;
    }
    stdout.flush()?;
    Ok(WELL)
}

fn print(w: &mut impl Write, args: &Args, b: &BookAt, depth: usize) -> io::Result<()> {
    writeln!(w, "{}:{} at {}", args.venue, args.symbol, time_text(args.at))?;
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
