//! From rows of the fold to columns, table by table. The order of calls is the order of the schema.

use super::columns::{Columns, Row};
use super::schema::TOP_LEVELS;
use crate::model::{
    Bbo, Dec, Head, InstrumentVersion, Kline, Level, Liquidation, Mantissa, RawRow, RowRef, Ticker, TopRow,
    Trade, flags, num,
};

/// Decimals of an instrument's mantissas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Exps {
    /// Of prices.
    pub price: u8,
    /// Of sizes.
    pub size: u8,
}

impl From<(u8, u8)> for Exps {
    fn from((price, size): (u8, u8)) -> Exps {
        Exps { price, size }
    }
}

/// The flags of a `raw` row hold the row's own flags and, from this bit on, the eight flags of the record itself, so
/// that a record can be rebuilt exactly. Row flags end below it.
pub const RECORD_FLAGS_SHIFT: u32 = 20;

/// The row flags of `raw`: the fold's and the record's.
pub fn raw_flags(row_flags: i32, record_flags: u8) -> i32 {
    (row_flags & ((1 << RECORD_FLAGS_SHIFT) - 1)) | (i32::from(record_flags) << RECORD_FLAGS_SHIFT)
}

/// The record's flags out of the row flags of `raw`.
pub fn record_flags(raw_flags: i32) -> u8 {
    (raw_flags >> RECORD_FLAGS_SHIFT) as u8
}

/// The nearest double, and whether it gives back the mantissa.
#[inline]
pub(super) fn double(m: Mantissa, e: u8) -> (f64, bool) {
    let x = num::mantissa_to_f64(m, e);
    // Two correctly rounded operations on |m| < 2^50 are off by less than m·2^-52 < 1/2, so rounding gives m back:
    // the check below need not be made for what venues really send.
    (x, m.unsigned_abs() < 1 << 50 || num::f64_is_exact(x, m, e))
}

/// A column cursor that also knows decimals.
struct Filler<'a> {
    row: Row<'a>,
}

impl Filler<'_> {
    fn dec(&mut self, d: Dec) {
        if d.is_none() {
            self.row.num(None);
        } else {
            self.mantissa(d.m, d.e);
        }
    }

    fn mantissa(&mut self, m: Mantissa, e: u8) {
        self.row.num(Some(num::mantissa_to_f64(m, e)));
    }

    fn maybe(&mut self, m: Option<Mantissa>, e: u8) {
        match m {
            Some(m) => self.mantissa(m, e),
            None => self.row.num(None),
        }
    }

    /// Price and size of a side that may be missing (size 0 of the venue's own best bid and ask).
    fn best(&mut self, bid: Level, ask: Level, exps: Exps) {
        let of = |l: Level, x: Mantissa| (l.size != 0).then_some(x);
        self.maybe(of(bid, bid.price), exps.price);
        self.maybe(of(ask, ask.price), exps.price);
        self.maybe(of(bid, bid.size), exps.size);
        self.maybe(of(ask, ask.size), exps.size);
    }
}

/// Whether every double of a row gives back its digits; `INEXACT` stands before them in the row, so this is asked
/// first.
fn is_exact(row: &RowRef<'_>, exps: Exps) -> bool {
    let dec = |d: Dec| d.is_none() || double(d.m, d.e).1;
    let px = |m: Mantissa| double(m, exps.price).1;
    let sz = |m: Mantissa| double(m, exps.size).1;
    let level = |l: &Level| px(l.price) && sz(l.size);
    match row {
        RowRef::Trade(t) => px(t.price) && sz(t.size),
        RowRef::Bbo(b) => level(&b.bid) && level(&b.ask),
        RowRef::BookTop(t) | RowRef::BookPartial(t) => {
            t.bids.iter().chain(t.asks).take(2 * TOP_LEVELS).all(level)
                && t.bid_horizon.is_none_or(px)
                && t.ask_horizon.is_none_or(px)
        }
        RowRef::Mark(m) => [m.mark_px, m.index_px, m.settle_px, m.funding_rate].into_iter().all(dec),
        RowRef::Liquidation(l) => {
            [l.price, l.avg_price, l.size, l.last_filled, l.filled].into_iter().all(dec)
        }
        RowRef::Ticker(t) => {
            [t.open, t.high, t.low, t.last, t.last_size, t.volume, t.quote_volume].into_iter().all(dec)
        }
        RowRef::Kline(k) => {
            let prices = [k.open, k.high, k.low, k.close];
            let volumes = [k.volume, k.quote_volume, k.taker_volume, k.taker_quote_volume];
            prices.into_iter().chain(volumes).all(dec)
        }
        RowRef::OpenInterest(o) => dec(o.open_interest),
        RowRef::Funding(f) => dec(f.funding_rate),
        RowRef::Instrument { version: v, .. } => {
            [v.tick_size, v.step_size, v.min_notional, v.contract_size].into_iter().all(dec)
        }
        _ => true,
    }
}

/// Whether a top shows levels that are known only as far as they changed, or lacks some between them.
fn is_beyond_horizon(row: &RowRef<'_>) -> bool {
    let RowRef::BookTop(t) = row else { return false };
    let bid = t.bids.iter().take(TOP_LEVELS).next_back().zip(t.bid_horizon);
    let ask = t.asks.iter().take(TOP_LEVELS).next_back().zip(t.ask_horizon);
    bid.is_some_and(|(l, known)| l.price < known) || ask.is_some_and(|(l, known)| l.price > known)
}

/// Adds one row. `book_delta` has a store of its own and does not come here.
pub(super) fn push(cols: &mut Columns, row_no: i64, head: &Head, key: &str, exps: Exps, row: &RowRef<'_>) {
    let mut h = *head;
    h.flags |= flags::LAST;
    if !is_exact(row, exps) {
        h.flags |= flags::INEXACT;
    }
    if is_beyond_horizon(row) {
        h.flags |= flags::BEYOND_HORIZON;
    }
    if let RowRef::Raw(r) = row {
        // What a record is rebuilt from is the record's own, whatever the fold made of it.
        (h.ts_recv, h.ts_kernel) = (r.record.ts_recv, r.record.ts_kernel);
        (h.conn, h.rseq) = (r.record.conn, r.record.rseq);
        h.flags = raw_flags(h.flags, r.record.flags);
    }
    let mut f = Filler { row: cols.row() };
    head_columns(&mut f.row, row_no, &h, key);
    own_columns(&mut f, exps, row);
    debug_assert!(f.row.is_full());
}

fn head_columns(r: &mut Row<'_>, row_no: i64, h: &Head, key: &str) {
    r.int(row_no);
    r.text(key);
    for x in [h.ts_recv, h.ts_kernel, h.ts_event, h.ts_send, h.conn, h.rseq] {
        r.int(x);
    }
    r.small(h.flags);
}

fn own_columns(f: &mut Filler<'_>, exps: Exps, row: &RowRef<'_>) {
    match row {
        RowRef::BookDelta(_) => debug_assert!(false, "book_delta has its own store"),
        RowRef::BookTop(t) | RowRef::BookPartial(t) => top(f, exps, t),
        RowRef::Bbo(b) => bbo(f, exps, b),
        RowRef::Trade(t) => trade(f, exps, t),
        RowRef::Mark(m) => {
            for d in [m.mark_px, m.index_px, m.settle_px, m.funding_rate] {
                f.dec(d);
            }
            f.row.int(m.ts_next_funding);
        }
        RowRef::Liquidation(l) => liquidation(f, l),
        RowRef::Ticker(t) => ticker(f, t),
        RowRef::Kline(k) => kline(f, k),
        RowRef::OpenInterest(o) => f.dec(o.open_interest),
        RowRef::Funding(r) => {
            f.dec(r.funding_rate);
            f.row.int(r.ts_funding);
        }
        RowRef::Instrument { version, ts_valid_from, ts_valid_to } => {
            instrument(f, version, *ts_valid_from, *ts_valid_to);
        }
        RowRef::Raw(r) => raw(&mut f.row, r),
        RowRef::Clock { offset_ns, max_error_ns, source, step_ns } => {
            f.row.int(*offset_ns);
            f.row.int(*max_error_ns);
            f.row.text(source);
            f.row.int(*step_ns);
        }
        _ => bookkeeping(&mut f.row, row),
    }
}

fn top(f: &mut Filler<'_>, exps: Exps, t: &TopRow<'_>) {
    f.row.int(t.interval_ns);
    f.row.int(t.seq_last);
    f.row.int(t.book_epoch);
    for i in 0..TOP_LEVELS {
        let (b, a) = (t.bids.get(i), t.asks.get(i));
        f.maybe(b.map(|l| l.price), exps.price);
        f.maybe(a.map(|l| l.price), exps.price);
        f.maybe(b.map(|l| l.size), exps.size);
        f.maybe(a.map(|l| l.size), exps.size);
    }
    f.maybe(t.bid_horizon, exps.price);
    f.maybe(t.ask_horizon, exps.price);
}

fn bbo(f: &mut Filler<'_>, exps: Exps, b: &Bbo) {
    f.row.int(b.last);
    f.best(b.bid, b.ask, exps);
}

fn trade(f: &mut Filler<'_>, exps: Exps, t: &Trade<'_>) {
    f.row.int(t.id);
    f.row.int(t.id_last);
    f.row.text(t.id_text);
    f.row.small(i32::from(t.side));
    f.mantissa(t.price, exps.price);
    f.mantissa(t.size, exps.size);
    f.row.text(t.trade_type.as_str());
    f.row.flag(t.is_aggregate);
}

fn liquidation(f: &mut Filler<'_>, l: &Liquidation<'_>) {
    f.row.small(i32::from(l.side));
    f.row.text(l.order_type);
    f.row.text(l.tif);
    for d in [l.price, l.avg_price, l.size, l.last_filled, l.filled] {
        f.dec(d);
    }
    f.row.text(l.status);
}

fn ticker(f: &mut Filler<'_>, t: &Ticker) {
    for d in [t.open, t.high, t.low, t.last, t.last_size, t.volume, t.quote_volume] {
        f.dec(d);
    }
    for x in [t.trade_count, t.ts_open, t.ts_close] {
        f.row.int(x);
    }
}

fn kline(f: &mut Filler<'_>, k: &Kline<'_>) {
    f.row.text(k.interval);
    f.row.int(k.ts_open);
    f.row.int(k.ts_close);
    let prices = [k.open, k.high, k.low, k.close];
    for d in prices.into_iter().chain([k.volume, k.quote_volume, k.taker_volume, k.taker_quote_volume]) {
        f.dec(d);
    }
    for x in [k.trade_count, k.trade_id_first, k.trade_id_last] {
        f.row.int(x);
    }
    f.row.flag(k.is_closed);
}

fn instrument(f: &mut Filler<'_>, v: &InstrumentVersion, ts_valid_from: i64, ts_valid_to: i64) {
    for s in [&v.base, &v.quote, &v.settle, &v.contract_type] {
        f.row.text(s);
    }
    f.row.flag(v.is_inverse);
    f.row.text(&v.status);
    f.row.int(i64::from(v.price_exp));
    f.row.int(i64::from(v.size_exp));
    for d in [v.tick_size, v.step_size, v.min_notional, v.contract_size] {
        f.dec(d);
    }
    for x in [v.ts_expiry, ts_valid_from, ts_valid_to] {
        f.row.int(x);
    }
    f.row.text(&v.source);
    f.row.text(&v.raw_json);
}

fn raw(r: &mut Row<'_>, x: &RawRow<'_>) {
    r.int(i64::from(x.record.lane));
    r.int(x.record.lane_seq);
    r.int(x.record.ts_mono);
    r.text(x.record.kind.as_str());
    r.text(x.stream);
    r.text(x.record.url);
    r.small(x.record.status);
    r.bytes(x.record.payload);
}

fn bookkeeping(r: &mut Row<'_>, row: &RowRef<'_>) {
    match row {
        RowRef::Coverage(c) => {
            r.text(c.stream);
            r.int(c.leg);
            r.int(c.ts_begin);
            r.int(c.ts_end);
            r.text(c.proof);
            for x in [c.id_first, c.id_last, c.rseq_begin, c.rseq_end] {
                r.int(x);
            }
            r.text(c.end_cause);
        }
        RowRef::Gap(g) => {
            r.text(g.stream);
            r.text(g.cause.as_str());
            for x in [g.seq_before, g.seq_after, g.ts_begin, g.ts_end, g.rseq_before, g.rseq_after] {
                r.int(x);
            }
            r.int(g.epoch_before);
            r.int(g.epoch_after);
            for s in [g.detector, g.recovered_by, g.detail] {
                r.text(s);
            }
        }
        RowRef::Connection(c) => {
            r.text(c.stream);
            r.int(c.leg);
            r.text(c.url);
            r.text(c.event);
            r.int(c.close_code);
            r.text(c.detail);
        }
        _ => measures(r, row),
    }
}

fn measures(r: &mut Row<'_>, row: &RowRef<'_>) {
    match row {
        RowRef::Latency(l) => {
            r.text(l.stream);
            r.text(l.hop);
            for x in [l.count, l.min, l.p50, l.p90, l.p99, l.p999, l.max] {
                r.int(x);
            }
            r.text(l.histogram);
        }
        RowRef::Race(x) => {
            r.text(x.stream);
            for i in [x.seq_last, x.conn_first, x.conn_second, x.lead_ns] {
                r.int(i);
            }
        }
        RowRef::Audit(a) => {
            for i in [a.seq, a.levels_compared, a.levels_wrong, a.worst_rank] {
                r.int(i);
            }
            r.text(a.verdict);
        }
        RowRef::Reject(x) => {
            r.text(x.cause);
            r.text(x.detail);
            r.bytes(x.payload);
        }
        RowRef::Run(x) => {
            for s in [x.run_id, x.writer, x.build, x.host, x.config_sha256] {
                r.text(s);
            }
            for i in [x.rules_version, x.ts_start, x.ts_stop] {
                r.int(i);
            }
            r.text(x.exit);
        }
        _ => debug_assert!(false, "a hot table in bookkeeping"),
    }
}
