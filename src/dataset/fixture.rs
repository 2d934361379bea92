//! A small dataset with what has confused readers before: a sync with replayed diffs, a gap, an interval boundary, a
//! UTC midnight, symbols of digits, slashes, minus signs and Chinese characters.
//!
//! `LOBTAPE_FIXTURE_DIR=… cargo test --lib dataset::fixture` leaves it in that directory for `scripts/readers`.

use std::collections::BTreeMap;

use super::book_at::book_at;
use super::sample::{HOUR, head, key, other_rows, provenance, publish_others};
use super::{Dataset, PartWriter, Table, publish};
use crate::model::time::{NS_PER_MS, NS_PER_S, day_of, floor_to};
use crate::model::{Bbo, DeltaMsg, Head, InstrumentId, Level, RowRef, StreamId, Trade, TradeType, flags};

/// 2026-11-20T22:10:00Z
const START: i64 = super::sample::NOON + 10 * HOUR + 600 * NS_PER_S;
const STEP: i64 = 10 * NS_PER_S;
const STEPS: i64 = 960;
/// Steps at which the proof is lost and found again.
const LOST: i64 = 180;
const FOUND: i64 = 210;

type Side = BTreeMap<i64, i64>;

/// One instrument's life.
struct Feed<'a> {
    ds: &'a Dataset,
    venue: &'a str,
    symbol: &'a str,
    open: BTreeMap<Table, PartWriter>,
    rows: BTreeMap<Table, i64>,
    interval: i64,
    bids: Side,
    asks: Side,
    epoch: i64,
    seq: i64,
    /// What the book was from a time on.
    truth: Vec<(i64, Side, Side)>,
}

impl<'a> Feed<'a> {
    fn new(ds: &'a Dataset, venue: &'a str, symbol: &'a str) -> Feed<'a> {
        Feed {
            ds,
            venue,
            symbol,
            open: BTreeMap::new(),
            rows: BTreeMap::new(),
            interval: 0,
            bids: Side::new(),
            asks: Side::new(),
            epoch: 0,
            seq: 1_000,
            truth: Vec::new(),
        }
    }

    fn say(&mut self, h: &Head, row: RowRef<'_>) {
        let t = Table::of(&row);
        let (ds, k) = (self.ds, key(t, self.venue, self.symbol, self.interval));
        let w = self.open.entry(t).or_insert_with(|| PartWriter::new(ds, k, 1).unwrap());
        let name = format!("{}:{}", self.venue, self.symbol);
        w.push(self.rows.entry(t).or_insert(0), h, &name, (1, 3), &row).unwrap();
    }

    fn delta(&mut self, h: &Head, bids: &[Level], asks: &[Level], seq: (i64, i64, i64)) {
        let m = DeltaMsg {
            seq_first: seq.0,
            seq_last: seq.1,
            seq_prev: seq.2,
            book_epoch: self.epoch,
            bids,
            asks,
            horizon: Some((600_000, 640_000)),
        };
        self.say(h, RowRef::BookDelta(m));
    }

    fn publish(&mut self) {
        let parts: Vec<_> =
            std::mem::take(&mut self.open).into_values().filter_map(|w| w.close().unwrap()).collect();
        publish(self.ds, parts, &provenance()).unwrap();
    }

    fn cut(&mut self, ts: i64) {
        let start = floor_to(ts, HOUR);
        if start == self.interval {
            return;
        }
        self.publish();
        let new_day = day_of(start) != day_of(self.interval);
        if new_day {
            self.rows.clear();
        }
        self.interval = start;
        if self.epoch != 0 && !self.bids.is_empty() {
            let (bids, asks) = self.levels();
            let mut h = head(if new_day { start } else { ts });
            (h.ts_event, h.ts_send, h.rseq) = (0, 0, -1);
            h.flags = flags::SNAPSHOT | flags::CARRIED;
            self.delta(&h, &bids, &asks, (-1, self.seq, -1));
        }
    }

    fn levels(&self) -> (Vec<Level>, Vec<Level>) {
        let level = |(&price, &size): (&i64, &i64)| Level { price, size };
        (self.bids.iter().rev().map(level).collect(), self.asks.iter().map(level).collect())
    }

    /// A snapshot proven by the last of three diffs that came before it.
    fn sync(&mut self, ts: i64) {
        self.epoch = ts.max(self.epoch + 1);
        for k in 0..30 {
            self.bids.insert(618_000 - k, 1_000 + k);
            self.asks.insert(618_001 + k, 2_000 + k);
        }
        let (bids, asks) = self.levels();
        let mut h = head(ts);
        h.flags = flags::SNAPSHOT;
        self.delta(&h, &bids, &asks, (-1, self.seq, -1));
        for _ in 0..3 {
            h.flags = flags::REPLAYED;
            h.rseq -= 1;
            self.diff(&h);
        }
    }

    fn diff(&mut self, h: &Head) {
        let (first, prev) = (self.seq + 1, self.seq);
        self.seq += 3;
        let s = self.seq;
        let mut bids = vec![Level { price: 617_960 + s % 50, size: s % 7 * 100 }];
        let mut asks =
            vec![Level { price: 618_020 + s % 40, size: s % 5 * 10 }, Level { price: 650_000, size: s % 3 }];
        if s % 11 == 0 {
            (bids, asks) = (Vec::new(), Vec::new());
        }
        for (book, levels) in [(&mut self.bids, &bids), (&mut self.asks, &asks)] {
            for l in levels {
                book.insert(l.price, l.size);
                book.retain(|_, size| *size != 0);
            }
        }
        self.delta(h, &bids, &asks, (first, self.seq, prev));
    }

    fn lose(&mut self, ts: i64) {
        self.epoch = ts.max(self.epoch + 1);
        self.bids.clear();
        self.asks.clear();
        let mut h = head(ts);
        h.flags = flags::CLEAR;
        self.delta(&h, &[], &[], (-1, -1, -1));
    }

    fn market(&mut self, ts: i64, i: i64) {
        let id = InstrumentId(0);
        let stream = StreamId(0);
        let quote = |price: i64| Level { price, size: 1_000 + i };
        let bbo = Bbo {
            instrument: id,
            stream,
            ts_event: ts,
            ts_send: ts,
            last: self.seq,
            bid: if i % 97 == 0 { Level::default() } else { quote(618_000 + i % 7) },
            ask: quote(618_010 + i % 7),
        };
        self.say(&head(ts + 2 * NS_PER_MS), RowRef::Bbo(&bbo));
        for k in 0..2 {
            let trade = Trade {
                instrument: id,
                stream,
                ts_event: ts,
                ts_send: ts,
                chain_id: 2 * i + k,
                id: 2 * i + k,
                id_last: -1,
                id_text: "",
                side: 1 - 2 * (k as i8),
                price: 618_000 + i % 11,
                size: 10 + i,
                trade_type: TradeType::Market,
                is_aggregate: false,
            };
            // The first trade stands at the quote's own time: the strictly earlier quote is the one before.
            self.say(&head(ts + (2 + 3 * k) * NS_PER_MS), RowRef::Trade(&trade));
        }
    }

    fn run(mut self) -> Vec<(i64, Side, Side)> {
        self.interval = floor_to(START, HOUR);
        // A quote before the first trade, so that every trade has a strictly earlier one.
        self.market_open();
        for i in 0..STEPS {
            let ts = START + i * STEP;
            self.cut(ts);
            match i {
                0 => self.sync(ts),
                LOST => self.lose(ts),
                FOUND => self.sync(ts),
                i if i > LOST && i < FOUND => {}
                _ => self.diff(&head(ts)),
            }
            self.market(ts, i);
            self.truth.push((ts, self.bids.clone(), self.asks.clone()));
        }
        self.publish();
        self.truth
    }

    fn market_open(&mut self) {
        let bbo = Bbo {
            instrument: InstrumentId(0),
            stream: StreamId(0),
            ts_event: 0,
            ts_send: 0,
            last: 1,
            bid: Level { price: 617_999, size: 1 },
            ask: Level { price: 618_002, size: 1 },
        };
        self.say(&head(START - 1), RowRef::Bbo(&bbo));
    }
}

const INSTRUMENTS: [(&str, &str); 7] = [
    ("aster-futures", "BTCUSDT"),
    ("aster-futures", "12345"),
    ("aster-futures", "BTC/USDT"),
    ("aster-futures", "B-MONEYUSDT"),
    ("aster-futures", "龙虾USDT"),
    ("numbers-only", "1"),
    ("numbers-only", "20261120"),
];

#[test]
fn the_book_at_any_time_is_the_one_that_was_there() {
    let temporary = tempfile::tempdir().unwrap();
    let dir =
        std::env::var_os("LOBTAPE_FIXTURE_DIR").map_or_else(|| temporary.path().join("data"), Into::into);
    let ds = Dataset::create(&dir).unwrap();
    publish_others(&ds, "aster-futures", "BTCUSDT");
    publish_others_of_numbers(&ds);
    for (venue, symbol) in INSTRUMENTS {
        let truth = Feed::new(&ds, venue, symbol).run();
        assert_eq!(book_at(&ds, venue, symbol, START - 1).unwrap().unwrap().book_epoch, 0);
        for (i, (ts, bids, asks)) in
            truth.iter().enumerate().step_by(if symbol == "BTCUSDT" { 7 } else { 211 })
        {
            for at in [*ts, *ts + STEP - 1] {
                let b = book_at(&ds, venue, symbol, at).unwrap().unwrap();
                let text = |m: &i64, e: f64| *m as f64 / e;
                let want: Vec<_> = bids.iter().rev().map(|(p, s)| (text(p, 10.0), text(s, 1e3))).collect();
                // A new day's first part opens at midnight with the book of then.
                if day_of(at) == day_of(*ts) {
                    assert_eq!(b.bids, want, "{symbol} step {i}");
                    let want: Vec<_> = asks.iter().map(|(p, s)| (text(p, 10.0), text(s, 1e3))).collect();
                    assert_eq!(b.asks, want, "{symbol} step {i}");
                    assert_eq!(b.in_gap(), (LOST as usize..FOUND as usize).contains(&i));
                }
            }
        }
    }
    let midnight = floor_to(START, 24 * HOUR) + 24 * HOUR;
    assert!(!book_at(&ds, "aster-futures", "BTCUSDT", midnight).unwrap().unwrap().bids.is_empty());
    assert_eq!(book_at(&ds, "aster-futures", "NONE", midnight).unwrap(), None);
}

/// A second venue in the tables of venues, so that globs over venues are tried too.
fn publish_others_of_numbers(ds: &Dataset) {
    let mut parts = Vec::new();
    other_rows(|row| {
        let t = Table::of(&row);
        if t.spec().level == super::Level::Venue {
            let mut w = PartWriter::new(ds, key(t, "numbers-only", "1", START), 1).unwrap();
            w.push(&mut 0, &head(START), "numbers-only:1", (1, 3), &row).unwrap();
            parts.extend(w.close().unwrap());
        }
    });
    publish(ds, parts, &provenance()).unwrap();
}
