//! `lobtape checkpoints`: book states as JSON lines, from recordings or from a dataset.

mod from_dataset;
pub(super) mod tape;

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args as ClapArgs;

use super::importing::{self, FirstReject, Options};
use super::out;
use crate::fold::{Effect, Fold, FoldSink, Observed};
use crate::model::{Chain, Head, IdPolicy, InstrumentId, InstrumentVersion, RowRef, SequenceRule};
use tape::Tape;

/// Arguments of `lobtape checkpoints`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:
  lobtape checkpoints day1.gz day2.gz --venue binance-usdm --every 10
  lobtape checkpoints lobtape-demo --venue aster-futures --every 100

One JSON object per line: meta; sync (a snapshot, before any diff); cp (after every N-th applied diff); gap; last; end.
A gap is where the chain of a book broke; in a dataset, where its book ended and nothing shows that it went on.
Files are one session, in the order given. `crc` is the CRC-32 of the canonical text of the whole book, `crc20` of its
best 20 levels a side, `tops` a running CRC-32 over the best prices after each applied diff.")]
pub struct Args {
    /// Recordings (plain or .gz), or one dataset directory.
    #[arg(required = true, value_name = "FILE|DIR")]
    pub inputs: Vec<PathBuf>,
    /// Venue id.
    #[arg(long)]
    pub venue: String,
    /// Only this symbol.
    #[arg(long)]
    pub symbol: Option<String>,
    /// A line every N applied diffs.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub every: u64,
    /// Adds the SHA-256 of the canonical text.
    #[arg(long)]
    pub sha: bool,
    /// JSON lines, as always.
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
///
/// # Errors
/// Files that cannot be read; an unknown venue.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let mut stdout = out::stdout();
    let tape = Tape::new(args.every, args.sha, args.symbol.clone());
    let code = match args.inputs.as_slice() {
        [dir] if dir.is_dir() => from_dataset::run(&args, dir, tape, &mut stdout)?,
        _ => from_files(&args, tape, &mut stdout)?,
    };
    stdout.flush()?;
    Ok(code)
}

pub(super) fn from_files(
    args: &Args,
    mut tape: Tape,
    stdout: &mut impl std::io::Write,
) -> anyhow::Result<u8> {
    let name = |p: &PathBuf| p.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    tape.meta(&args.inputs.iter().map(name).collect::<Vec<_>>());
    tape.of_record();
    let proto = proto(&importing::venue(&args.venue)?.spec().sequence);
    let mut fold = Fold::new(1);
    let mut watch = Watch { tape, proto, last: Vec::new() };
    let mut first = FirstReject::default();
    let stats = importing::records(&args.inputs, &args.venue, &Options::default(), &mut |rec, at| {
        if rec.lane == fold.lane() && rec.kind != crate::model::Kind::Stop {
            watch.tape.position(at.file, at.line);
            fold.step(rec, &mut watch);
            first.note(&fold.counters(), at);
            watch.tape.record_done();
            stdout.write_all(&watch.tape.take())?;
        }
        Ok(())
    })?;
    let Watch { mut tape, last, .. } = watch;
    for (n, last) in last.iter().enumerate() {
        let id = InstrumentId(n as u32);
        if let (Some((u, exps, at)), Some(book)) = (last, fold.book(id)) {
            tape.position(at.0, at.1);
            tape.last(id, *u, book, *exps);
        }
    }
    tape.finish();
    stdout.write_all(&tape.take())?;
    // What is good stands there before anybody reads what is not.
    stdout.flush()?;
    Ok(importing::judge(&args.inputs, &args.venue, &stats, &fold.counters(), first)?.tell())
}

/// The name of a sequence rule in the `end` lines.
pub(super) fn proto(rule: &SequenceRule) -> &'static str {
    match (rule.policy, rule.chain) {
        (IdPolicy::Learn, _) => "learned",
        (_, Chain::Prev) => "futures",
        (_, Chain::Next) if rule.snapshot_proves => "ascendex",
        (_, Chain::Next | Chain::PrevElseNext) => "spot",
    }
}

/// Last applied update id, exponents of price and size, file and line.
type Last = (i64, (u8, u8), (u32, u64));

/// Watches the books of a fold.
struct Watch {
    tape: Tape,
    proto: &'static str,
    /// By instrument.
    last: Vec<Option<Last>>,
}

impl FoldSink for Watch {
    const ROWS: bool = false;
    const CHANGES: bool = true;
    fn row(&mut self, _: &Head, _: RowRef<'_>) {}

    fn instrument(&mut self, id: InstrumentId, v: &InstrumentVersion) {
        if self.last.len() <= id.ix() {
            self.last.resize(id.ix() + 1, None);
        }
        if let Some((_, exps, _)) = self.last[id.ix()].as_mut() {
            *exps = (v.price_exp, v.size_exp);
        }
        self.tape.name(id, &v.symbol, self.proto);
    }

    fn effect(&mut self, _: Effect<'_>) {}

    fn observe(&mut self, what: Observed<'_>) {
        match what {
            Observed::Diff { instrument } => self.tape.diff(instrument),
            Observed::Loaded { instrument, snap_id, book, exps } => {
                self.tape.loaded(instrument, snap_id, book, exps)
            }
            Observed::Stale { instrument } => self.tape.stale(instrument),
            Observed::Applied { instrument, last, replayed, book, exps, changes } => {
                self.last[instrument.ix()] = Some((last, exps, self.tape.at()));
                self.tape.applied(instrument, last, replayed, book, exps, changes);
            }
            Observed::Gap { instrument } => self.tape.gap(instrument),
            Observed::Cleared { .. } | Observed::Trade(_) | Observed::Candle(..) => {}
        }
    }
}
