//! Book states from Parquet alone: `book_delta` rows, message by message, in `row` order over all parts.

use std::io::Write;
use std::path::Path;

use super::super::ls::fault;
use super::super::{Fault, WELL, importing};
use super::Args;
use super::tape::Tape;
use crate::book::Book;
use crate::dataset::read::{self, Batch, Want};
use crate::dataset::{Dataset, DatasetError, PartRecord};
use crate::fold::Changes;
use crate::model::{InstrumentId, Side, flags, num::pow10};

const COLUMNS: &[&str] = &["flags", "seq_last", "rseq", "side", "price", "size"];

/// Runs it.
pub(super) fn run(args: &Args, dir: &Path, mut tape: Tape, out: &mut impl Write) -> anyhow::Result<u8> {
    let ds = Dataset::open(dir).map_err(fault)?;
    let manifest = ds.manifest().map_err(fault)?;
    let wanted = |p: &&PartRecord| {
        p.table == "book_delta"
            && p.venue == args.venue
            && args.symbol.as_ref().is_none_or(|only| *only == p.symbol)
    };
    let mut parts: Vec<&PartRecord> = manifest.parts().filter(wanted).collect();
    // A venue that was recorded and never had a proven book has no states, which is an answer.
    let known =
        |p: &PartRecord| p.venue == args.venue && args.symbol.as_ref().is_none_or(|only| *only == p.symbol);
    if !manifest.parts().any(known) {
        let of = args.symbol.as_ref().map(|s| format!(" and symbol {s:?}")).unwrap_or_default();
        return Err(Fault::usage(anyhow::anyhow!(
            "{0}: nothing of venue {1:?}{of}; `lobtape ls {0}` shows what is there",
            dir.display(),
            args.venue
        )));
    }
    parts.sort_by(|a, b| (&a.symbol, a.order()).cmp(&(&b.symbol, b.order())));
    tape.meta(&[dir.display().to_string()]);
    let proto = super::proto(&importing::venue(&args.venue)?.spec().sequence);
    let mut symbol: Option<Replay> = None;
    for (n, part) in parts.iter().enumerate() {
        if symbol.as_ref().is_none_or(|r| r.symbol != part.symbol) {
            if let Some(mut done) = symbol.take() {
                done.finish(&mut tape);
            }
            let id = InstrumentId(n as u32);
            tape.name(id, &part.symbol, proto);
            symbol = Some(Replay::new(id, part));
        }
        let Some(replay) = symbol.as_mut() else { continue };
        replay.part(part)?;
        tape.position(n as u32, 0);
        let want = Want { columns: COLUMNS, ..Want::default() };
        for batch in read::open(&ds.root().join(&part.path), want).map_err(fault)? {
            replay.batch(&batch.map_err(fault)?, &mut tape).map_err(fault)?;
            out.write_all(&tape.take())?;
        }
    }
    if let Some(mut done) = symbol {
        done.finish(&mut tape);
    }
    tape.finish();
    out.write_all(&tape.take())?;
    Ok(WELL)
}

/// One symbol's book as its rows go by.
struct Replay {
    id: InstrumentId,
    symbol: String,
    exps: (u8, u8),
    book: Book,
    live: bool,
    /// The first row of a message is next.
    first: bool,
    last: i64,
    changes: Changes,
    applied: bool,
    /// A CLEAR came: whether the book ended, or only lasted through a long gap, the next message says.
    ended: Option<End>,
}

/// Where a book was called unknown.
#[derive(Clone, Copy)]
struct End {
    at: (u32, u64),
    /// A record of its connection showed it: no clock, and no stop of the recorder.
    is_shown: bool,
}

impl Replay {
    fn new(id: InstrumentId, part: &PartRecord) -> Replay {
        Replay {
            id,
            symbol: part.symbol.clone(),
            exps: exps(part),
            book: Book::new(),
            live: false,
            first: true,
            last: -1,
            changes: Changes::default(),
            applied: false,
            ended: None,
        }
    }

    fn part(&mut self, part: &PartRecord) -> anyhow::Result<()> {
        let to = exps(part);
        if to != self.exps {
            let e = self.exps;
            self.book
                .rescale(e.0, to.0, e.1, to.1)
                .map_err(|e| Fault::data(anyhow::anyhow!("{}: {e}", part.path)))?;
            self.exps = to;
        }
        Ok(())
    }

    fn batch(&mut self, b: &Batch, tape: &mut Tape) -> Result<(), DatasetError> {
        let (row_flags, seq, rseq, side) =
            (b.i32("flags")?, b.i64("seq_last")?, b.i64("rseq")?, b.i32("side")?);
        let (price, size) = (b.f64("price")?, b.f64("size")?);
        for i in 0..b.rows() {
            let m = |x: f64, e: u8| (x * pow10(e) as f64).round() as i64;
            let (p, s) = (m(price.value(i), self.exps.0), m(size.value(i), self.exps.1));
            if row_flags[i] & flags::CLEAR != 0 {
                self.clear(rseq[i] >= 0, tape);
                continue;
            }
            self.row(row_flags[i], seq[i], side[i], p, s, tape);
        }
        Ok(())
    }

    fn row(&mut self, f: i32, seq: i64, side: i32, price: i64, size: i64, tape: &mut Tape) {
        let last = f & flags::LAST != 0;
        let carried = f & flags::CARRIED != 0;
        if let Some(end) = self.ended.take() {
            if !carried {
                self.keep_last(tape);
                self.gap(end, tape);
            }
            self.book.clear();
        }
        if carried && self.live && self.first {
            // The book is known already: the carried copy says the same.
            return;
        }
        if self.first {
            if f & flags::SNAPSHOT != 0 {
                self.book.clear();
            } else {
                tape.diff(self.id);
            }
            self.changes = Changes::default();
        }
        self.first = last;
        let side = match side {
            1 => Some(Side::Bid),
            -1 => Some(Side::Ask),
            _ => None,
        };
        if let Some(side) = side {
            self.changes.add(self.book.set(side, price, size));
        }
        if !last {
            return;
        }
        if carried {
            self.live = true;
            self.last = seq;
        } else if f & flags::SNAPSHOT != 0 {
            self.live = true;
            tape.loaded(self.id, seq, &self.book, self.exps);
        } else {
            self.last = seq;
            self.applied = true;
            tape.applied(self.id, seq, f & flags::REPLAYED != 0, &self.book, self.exps, self.changes);
        }
        tape.record_done();
    }

    fn clear(&mut self, is_shown: bool, tape: &Tape) {
        self.live = false;
        self.first = true;
        self.ended = Some(End { at: tape.at(), is_shown });
    }

    /// The book ended, and what comes goes on without it.
    fn gap(&self, end: End, tape: &mut Tape) {
        let now = tape.at();
        tape.position(end.at.0, end.at.1);
        tape.gap(self.id);
        // Told before what follows it.
        tape.record_done();
        tape.position(now.0, now.1);
    }

    fn keep_last(&mut self, tape: &mut Tape) {
        if self.applied {
            tape.last(self.id, self.last, &self.book, self.exps);
            self.applied = false;
        }
    }

    fn finish(&mut self, tape: &mut Tape) {
        self.keep_last(tape);
        if let Some(end) = self.ended.take().filter(|e| e.is_shown) {
            self.gap(end, tape);
        }
    }
}

fn exps(p: &PartRecord) -> (u8, u8) {
    (u8::try_from(p.price_exp).unwrap_or(0), u8::try_from(p.size_exp).unwrap_or(0))
}
