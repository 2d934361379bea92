//! An instrument's versions: wider and narrower exponents, what is in force from when on, which stream feeds its book.

use super::FoldSink;
use super::state::{BookState, Core, Detector, Inst, SYMBOLS_MAX};
use crate::model::instrument::SYMBOL_BYTES_MAX;
use crate::model::num::EXP_MAX;
use crate::model::{Dec, GapCause, InstrumentId, InstrumentVersion, Record, RowRef, Side, StreamId, VenueIx};

impl Inst {
    /// One of which nothing is known but its name.
    pub fn new(venue: VenueIx, version: InstrumentVersion) -> Inst {
        let exps_max = (EXP_MAX, EXP_MAX);
        Inst {
            venue,
            version,
            exps_known: false,
            elsewhere: false,
            is_past: false,
            listed: None,
            exps_max,
            book: None,
        }
    }

    /// A new run names it: it begins as in a lane that has seen nothing.
    pub fn begins(&mut self, version: InstrumentVersion) {
        let (book, listed) = (self.book.take(), self.listed().cloned().map(Box::new));
        *self = Inst { book, listed, ..Inst::new(self.venue, version) };
    }

    /// What a list of its venue said last, in whichever run.
    pub fn listed(&self) -> Option<&InstrumentVersion> {
        let is_listed = self.exps_known && !self.version.status.is_empty();
        if is_listed { Some(&self.version) } else { self.listed.as_deref() }
    }
}

impl BookState {
    /// How many decimals of price and size all that is held under these exponents needs.
    fn decimals(&self, (price, size): (u8, u8)) -> (u8, u8) {
        let of = |m: i64, e: u8| if m == 0 { 0 } else { Dec::new(m, e).trimmed().e };
        let held = self.buffer.iter().flat_map(|d| d.bids.iter().chain(d.asks).copied());
        let levels = self.book.levels(Side::Bid).chain(self.book.levels(Side::Ask)).chain(held);
        let horizons = [self.bid_horizon, self.ask_horizon];
        let least = (horizons.into_iter().flatten().map(|h| of(h, price)).max().unwrap_or(0), 0);
        levels.fold(least, |most, l| (most.0.max(of(l.price, price)), most.1.max(of(l.size, size))))
    }
}

impl Core {
    /// An instrument that this run has not named yet; `None` if the symbol is refused.
    #[cold]
    pub fn add_instrument<S: FoldSink>(
        &mut self,
        venue: VenueIx,
        symbol: &str,
        rec: &Record<'_>,
        sink: &mut S,
    ) -> Option<InstrumentId> {
        let map = &self.symbols[usize::from(venue.0)];
        // A lane that goes on over many runs has the symbols of all of them.
        let is_full = |insts: &[Inst]| {
            map.len() >= SYMBOLS_MAX
                && insts.iter().filter(|i| i.venue == venue && !i.is_past).count() >= SYMBOLS_MAX
        };
        if symbol.is_empty() || symbol.len() > SYMBOL_BYTES_MAX || is_full(&self.insts) {
            return None;
        }
        let mut version = InstrumentVersion::observed(super::state::venue_of(venue).spec().id, symbol);
        version.ts_valid_from = rec.ts_recv;
        if self.cfg.auto_register {
            version.source = "recording".to_owned();
        }
        if let Some(id) = map.get(symbol).copied() {
            sink.cut(id);
            sink.instrument(id, &version);
            self.insts[id.ix()].begins(version);
            return Some(id);
        }
        let id = InstrumentId(self.insts.len() as u32);
        self.symbols[usize::from(venue.0)].insert(symbol.to_owned(), id);
        sink.instrument(id, &version);
        self.insts.push(Inst::new(venue, version));
        Some(id)
    }

    /// Wider exponents: the book and its buffer are rescaled in place, the part is cut.
    pub fn widen<S: FoldSink>(&mut self, id: InstrumentId, p: u8, s: u8, rec: &Record<'_>, sink: &mut S) {
        let inst = &mut self.insts[id.ix()];
        let from = (inst.version.price_exp, inst.version.size_exp);
        let to = (from.0.max(p), from.1.max(s));
        // Never beyond what a number can bear.
        let is_beyond = |from: u8, to: u8, most: u8| to > from && to > most;
        if to == from || is_beyond(from.0, to.0, inst.exps_max.0) || is_beyond(from.1, to.1, inst.exps_max.1)
        {
            return;
        }
        if inst.book.as_mut().is_some_and(|b| !b.rescale(from, to)) {
            return;
        }
        inst.version.price_exp = to.0;
        inst.version.size_exp = to.1;
        if inst.exps_known || inst.version.source != "recording" {
            inst.version.source = "observed".to_owned();
        }
        inst.exps_known = true;
        self.new_version(rec, id, sink);
    }

    /// Narrower exponents, where wider ones leave no room for a number that came: one value of many decimals must not cost
    /// all that come after it. A proven book stays exact: if it needs more than the number bears, nothing changes. What
    /// only waits for its proof is given up. The wider ones are not granted again, else two kinds of numbers in turn would cut
    /// the part each time.
    #[cold]
    pub fn narrow<S: FoldSink>(
        &mut self,
        id: InstrumentId,
        least: (u8, u8),
        most: (u8, u8),
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let from = self.exps(id);
        let needs = |i: &Inst| i.book.as_ref().map_or((0, 0), |b| b.decimals(from));
        let fits = |held: (u8, u8)| held.0 <= most.0 && held.1 <= most.1;
        if !fits(needs(&self.insts[id.ix()])) {
            // Levels that are proven are worth more than a number. Others only wait, and new ones will come.
            if self.insts[id.ix()].book.as_ref().is_some_and(|b| b.stands()) {
                return;
            }
            self.forget_book(rec, id, sink);
        }
        let inst = &mut self.insts[id.ix()];
        let held = needs(inst);
        let to = (from.0.min(least.0.max(held.0)), from.1.min(least.1.max(held.1)));
        if to == from || !fits(to) || inst.book.as_mut().is_some_and(|b| !b.rescale(from, to)) {
            return;
        }
        let below = |from: u8, to: u8, max: u8| if to < from { from - 1 } else { max };
        inst.exps_max = (below(from.0, to.0, inst.exps_max.0), below(from.1, to.1, inst.exps_max.1));
        (inst.version.price_exp, inst.version.size_exp) = to;
        if inst.version.source != "recording" {
            inst.version.source = "observed".to_owned();
        }
        self.new_version(rec, id, sink);
    }

    /// A version is in force from this record on: its parts are cut, its row is written, its book is carried.
    pub fn new_version<S: FoldSink>(&mut self, rec: &Record<'_>, id: InstrumentId, sink: &mut S) {
        sink.cut(id);
        let inst = &mut self.insts[id.ix()];
        inst.version.ts_valid_from = rec.ts_recv;
        if let Some(b) = inst.book.as_mut() {
            b.opens_part();
        }
        sink.instrument(id, &inst.version);
        // What this lane alone has seen in its frames no other one says.
        let is_said = inst.elsewhere && inst.version.source != "observed";
        if S::ROWS && !is_said {
            let mut head = self.head(rec);
            let inst = &self.insts[id.ix()];
            (head.instrument, head.venue) = (id, inst.venue);
            let row =
                RowRef::Instrument { version: &inst.version, ts_valid_from: rec.ts_recv, ts_valid_to: 0 };
            sink.row(&head, row);
        }
    }

    /// Whether what a stream of diffs brings is for the instrument's book.
    pub fn feeds(&self, id: InstrumentId, stream: StreamId) -> bool {
        let book = self.insts.get(id.ix()).and_then(|i| i.book.as_ref());
        book.is_none_or(|b| b.stream == stream || b.stream == StreamId::NONE)
    }

    /// From now on this stream of diffs feeds the instrument's book (a second one would make two books of one). Where another
    /// one did, the book begins anew: the ids of two streams are two chains. In a recording of another tool the first one
    /// stays while it lives.
    pub fn feeds_book<S: FoldSink>(
        &mut self,
        id: InstrumentId,
        stream: StreamId,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let inst = &self.insts[id.ix()];
        let Some(b) = inst.book.as_ref() else {
            let book = BookState::new(self.rule(inst.venue), stream);
            self.insts[id.ix()].book = Some(Box::new(book));
            return;
        };
        let (old, was, last, epoch) = (b.stream, b.synced, b.seq.last(), b.epoch);
        if old != stream && old != StreamId::NONE {
            if self.cfg.auto_register && self.streams[old.0 as usize].alive() > 0 {
                return;
            }
            self.forget_book(rec, id, sink);
            if was {
                self.depth_lost(old, rec, GapCause::Operator, Detector::Subscription, last, epoch, sink);
            }
        }
        if let Some(b) = self.insts[id.ix()].book.as_mut() {
            b.stream = stream;
        }
    }
}
