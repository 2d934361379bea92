//! Rows for tests: one of every kind, and a small dataset with everything that has confused a reader before.

use super::part::{ClosedPart, PartKey, PartWriter};
use super::publish::{Provenance, PublishReport, publish};
use super::{Dataset, DatasetError, Table, schema};
use crate::model::*;

/// 2026-11-20T12:00:00Z.
pub(super) const NOON: i64 = 1_795_176_000 * time::NS_PER_S;
/// Hour.
pub(super) const HOUR: i64 = 3_600 * time::NS_PER_S;

pub(super) fn head(ts_recv: i64) -> Head {
    Head {
        instrument: InstrumentId(0),
        venue: VenueIx(0),
        lane: 1,
        ts_recv,
        ts_kernel: ts_recv - 1_000,
        ts_event: ts_recv - 5 * time::NS_PER_MS,
        ts_send: ts_recv - 4 * time::NS_PER_MS,
        conn: NOON - HOUR,
        rseq: 7,
        flags: 0,
    }
}

pub(super) fn key(table: Table, venue: &str, symbol: &str, ts: i64) -> PartKey {
    let level = table.spec().level;
    PartKey {
        table,
        venue: if level == schema::Level::None { String::new() } else { venue.to_owned() },
        symbol: (level == schema::Level::Symbol).then(|| symbol.to_owned()),
        day: time::day_of(ts),
        interval_start: time::floor_to(ts, HOUR),
        lane: 1,
        n: 0,
    }
}

fn dec(m: i64, e: u8) -> Dec {
    Dec::new(m, e)
}

/// One row of every kind except `book_delta`, `trades` and `bbo`.
pub(super) fn other_rows(mut say: impl FnMut(RowRef<'_>)) {
    let levels: Vec<Level> = (0..25).map(|k| Level { price: 618_000 - k, size: 1_000 + k }).collect();
    let top = TopRow {
        interval_ns: 100 * time::NS_PER_MS,
        seq_last: 5,
        book_epoch: NOON,
        bids: &levels,
        asks: &[],
        bid_horizon: Some(617_000),
        ask_horizon: None,
    };
    say(RowRef::BookTop(top));
    say(RowRef::BookPartial(TopRow { interval_ns: -1, bids: &levels[..5], asks: &levels[..3], ..top }));
    statistics_rows(&mut say);
    let mut version = InstrumentVersion::observed("aster-futures", "BTCUSDT");
    version.price_exp = 1;
    version.tick_size = dec(1, 1);
    say(RowRef::Instrument { version: &version, ts_valid_from: NOON, ts_valid_to: 0 });
    say(RowRef::Raw(RawRow { record: record(0, NOON, b"{\"e\":\"trade\"}"), stream: "btcusdt@trade" }));
    proof_rows(&mut say);
    measure_rows(&mut say);
}

fn statistics_rows(say: &mut impl FnMut(RowRef<'_>)) {
    let (i, s) = (InstrumentId(0), StreamId(0));
    say(RowRef::Mark(&Mark {
        instrument: i,
        stream: s,
        ts_event: 1,
        ts_send: 0,
        mark_px: dec(6_180_020, 2),
        index_px: Dec::NONE,
        settle_px: dec(61_801, 0),
        funding_rate: dec(-125, 6),
        ts_next_funding: NOON + 4 * HOUR,
    }));
    say(RowRef::Liquidation(&Liquidation {
        instrument: i,
        stream: s,
        ts_event: 1,
        ts_send: 0,
        side: -1,
        order_type: "LIMIT",
        tif: "IOC",
        price: dec(61_799, 0),
        avg_price: dec(617_995, 1),
        size: dec(15, 3),
        last_filled: dec(15, 3),
        filled: dec(15, 3),
        status: "FILLED",
    }));
    say(RowRef::Ticker(&Ticker {
        instrument: i,
        stream: s,
        ts_event: 1,
        ts_send: 0,
        open: dec(60_000, 0),
        high: dec(62_000, 0),
        low: dec(59_000, 0),
        last: dec(61_800, 0),
        last_size: Dec::NONE,
        volume: dec(123_456, 3),
        quote_volume: dec(7_654_321, 2),
        trade_count: -1,
        ts_open: NOON - 24 * HOUR,
        ts_close: NOON,
    }));
    candle_rows(say);
}

fn candle_rows(say: &mut impl FnMut(RowRef<'_>)) {
    let (i, s) = (InstrumentId(0), StreamId(0));
    say(RowRef::Kline(&Kline {
        instrument: i,
        stream: s,
        ts_event: 1,
        ts_send: 0,
        interval: "1m",
        ts_open: NOON,
        ts_close: NOON + time::NS_PER_MIN - 1,
        open: dec(1, 0),
        high: dec(2, 0),
        low: dec(1, 1),
        close: dec(15, 1),
        volume: dec(10, 0),
        quote_volume: dec(10, 0),
        taker_volume: dec(5, 0),
        taker_quote_volume: dec(5, 0),
        trade_count: 3,
        trade_id_first: 1,
        trade_id_last: 3,
        is_closed: true,
    }));
    let open_interest = dec(98_765, 3);
    say(RowRef::OpenInterest(&OpenInterest {
        instrument: i,
        stream: s,
        ts_event: 1,
        ts_send: 0,
        open_interest,
    }));
    say(RowRef::Funding(&FundingRate {
        instrument: i,
        stream: s,
        ts_event: 1,
        ts_send: 0,
        funding_rate: dec(1, 4),
        ts_funding: NOON,
    }));
}

fn proof_rows(say: &mut impl FnMut(RowRef<'_>)) {
    say(RowRef::Coverage(CoverageRow {
        stream: "btcusdt@depth",
        leg: 0,
        ts_begin: NOON,
        ts_end: 0,
        proof: "ids",
        id_first: 1,
        id_last: 9,
        rseq_begin: 0,
        rseq_end: 8,
        end_cause: "",
    }));
    say(RowRef::Gap(GapRow {
        stream: "btcusdt@depth",
        cause: GapCause::VenueSeqGap,
        seq_before: 9,
        seq_after: 12,
        ts_begin: NOON,
        ts_end: NOON + 5,
        rseq_before: 8,
        rseq_after: 9,
        epoch_before: NOON,
        epoch_after: NOON + 4,
        detector: "ids",
        recovered_by: "snapshot",
        detail: "",
    }));
    say(RowRef::Connection(ConnectionRow {
        stream: "",
        leg: 0,
        url: "wss://venue/stream",
        event: "open",
        close_code: -1,
        detail: "",
    }));
}

fn measure_rows(say: &mut impl FnMut(RowRef<'_>)) {
    say(RowRef::Latency(LatencyRow {
        stream: "btcusdt@depth",
        hop: "kernel_read",
        count: 10,
        min: 1,
        p50: 2,
        p90: 3,
        p99: 4,
        p999: 5,
        max: 6,
        histogram: "HISTFAAA",
    }));
    say(RowRef::Race(RaceRow {
        stream: "btcusdt@depth",
        seq_last: 9,
        conn_first: 1,
        conn_second: 2,
        lead_ns: 300,
    }));
    say(RowRef::Audit(AuditRow {
        seq: 9,
        levels_compared: 40,
        levels_wrong: 0,
        worst_rank: -1,
        verdict: "equal",
    }));
    say(RowRef::Reject(RejectRow { cause: "malformed", detail: "at byte 3", payload: b"\xff\x00{" }));
    say(RowRef::Clock { offset_ns: -1_500, max_error_ns: 20_000, source: "adjtimex", step_ns: 0 });
    say(RowRef::Run(RunRow {
        run_id: "1-2",
        writer: "capture",
        build: "0.1.0",
        host: "h",
        config_sha256: "00",
        rules_version: 1,
        ts_start: NOON,
        ts_stop: 0,
        exit: "running",
    }));
}

pub(super) fn record(lane_seq: i64, ts_recv: i64, payload: &[u8]) -> Record<'_> {
    Record {
        kind: Kind::Frame,
        flags: 0,
        lane: 1,
        status: 0,
        conn: NOON - HOUR,
        lane_seq,
        rseq: lane_seq,
        ts_kernel: ts_recv - 10,
        ts_mono: 12_345 + lane_seq,
        ts_recv,
        url: "",
        payload,
    }
}

pub(super) fn trade(id: i64, price: i64) -> Trade<'static> {
    Trade {
        instrument: InstrumentId(0),
        stream: StreamId(0),
        ts_event: 1,
        ts_send: 2,
        chain_id: id,
        id,
        id_last: -1,
        id_text: "",
        side: if id % 2 == 0 { 1 } else { -1 },
        price,
        size: 15,
        trade_type: TradeType::Market,
        is_aggregate: false,
    }
}

/// Writes one part of these rows and closes it.
pub(super) fn one_part(
    ds: &Dataset,
    key: PartKey,
    fill: impl FnOnce(&mut PartWriter) -> Result<(), DatasetError>,
) -> ClosedPart {
    let mut w = PartWriter::new(ds, key, 1).expect("a writer");
    fill(&mut w).expect("rows fit");
    w.close().expect("closes").expect("has rows")
}

pub(super) fn provenance() -> Provenance {
    Provenance {
        run_id: "run".into(),
        build: "0.1.0".into(),
        host: "host".into(),
        config_sha256: "00".into(),
    }
}

/// One file of every table but the three that need more care.
pub(super) fn publish_others(ds: &Dataset, venue: &str, symbol: &str) -> PublishReport {
    let mut parts = Vec::new();
    let name = format!("{venue}:{symbol}");
    other_rows(|row| {
        let t = Table::of(&row);
        let free = t.spec().level == schema::Level::None || matches!(row, RowRef::Connection(_));
        parts.push(one_part(ds, key(t, venue, symbol, NOON), |w| {
            let key = if free { "" } else { &name };
            w.push(&mut 0, &head(NOON + 1), key, (1, 3), &row)
        }));
    });
    publish(ds, parts, &provenance()).expect("publishes")
}
