//! `binance-spot`: the spot market, API v3.

use crate::model::StreamKind::{
    AggTrade, BookTicker, DepthDiff, DepthPartial, Kline, MiniTicker, RawOnly, Ticker, Trade,
};
use crate::model::{Poll, SequenceRule, SnapshotSource, TradeType, VenueSpec};
use crate::venue::Evidence;
use crate::venue::family::polled::common_polls;
use crate::venue::family::streams::NONE;
use crate::venue::family::{Channel, Family, Subject};

const INTERVALS: &[&str] =
    &["1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"];
const WINDOWS: &[&str] = &["1h", "4h", "1d"];

/// What can be asked for by REST.
static POLLS: &[Poll] = common_polls!(
    "/api/v3/",
    INTERVALS,
    2,
    80,
    2,
    4,
    2,
    // Their streams are `avgPrice` and `referencePrice`.
    Poll::symbol("v3/avgPrice", "/api/v3/avgPrice?symbol=", RawOnly).weight(2),
    Poll::symbol("v3/referencePrice", "/api/v3/referencePrice?symbol=", RawOnly).weight(2),
);

/// Binance spot.
pub static SPOT: Family = Family {
    spec: &VenueSpec {
        id: "binance-spot",
        title: "Binance spot",
        rest: "https://api.binance.com",
        ws: "wss://stream.binance.com:9443",
        streams_per_conn_max: 200,
        streams_per_conn_most: 1024,
        url_bytes_max: 3600,
        // Pings and pongs count.
        client_messages_per_s: 5,
        connects_per_5min: 300,
        conn_age_max_s: 24 * 3600,
        rotate_after_s: 23 * 3600,
        ping_interval_s: 20,
        probe_after_s: 3,
        dead_after_s: 6,
        weight_per_minute: 6000,
        weight_group: "binance-spot",
        weight_header: "x-mbx-used-weight-1m",
        snapshot: SnapshotSource::Rest,
        sequence: SequenceRule::DENSE,
        channels_default: &["depth@100ms", "trade", "bookTicker", "miniTicker"],
        ..VenueSpec::BASE
    },
    dialect: &super::dialect::SPOT,
    channels: &[
        Channel::new("depth", &["", "@100ms"], DepthDiff),
        Channel::new("depth", &["", "@100ms"], DepthPartial).args(&["5", "10", "20"]),
        Channel::new("aggTrade", NONE, AggTrade),
        Channel::new("trade", NONE, Trade),
        Channel::new("blockTrade", NONE, Trade).rare(),
        Channel::new("bookTicker", NONE, BookTicker),
        Channel::new("kline_", &["", "@+08:00"], Kline).args(INTERVALS),
        Channel::new("miniTicker", NONE, MiniTicker),
        Channel::new("!miniTicker@arr", NONE, MiniTicker).of(Subject::Market).lively(),
        Channel::new("ticker", NONE, Ticker),
        Channel::new("ticker_", NONE, Ticker).args(WINDOWS),
        Channel::new("!ticker_", &["@arr"], Ticker).args(WINDOWS).of(Subject::Market).lively(),
        // Retired and undocumented on Binance itself, alive on hosts that speak an older spot dialect.
        Channel::new("!ticker@arr", NONE, Ticker).of(Subject::Market).lively(),
        Channel::new("!bookTicker", NONE, BookTicker).of(Subject::Market).lively(),
        Channel::new("avgPrice", NONE, RawOnly),
        Channel::new("referencePrice", NONE, RawOnly),
    ],
    polls: POLLS,
    routes: &[""],
    fallbacks: &[],
    rest_root: "/api/",
    rest_version: "v3",
    instruments_path: "exchangeInfo",
    other_clock: None,
    instruments_every_s: 600,
    listing_events: &[],
    annotate: None,
    snapshot_limit: 1000,
    snapshot_weight: 50,
    instruments_weight: 20,
    volumes_weight: 80,
    agg_trades_weight: 4,
    old_trades_weight: 25,
    old_trades_need_key: false,
    list_states_weight: true,
    trade_default: TradeType::Market,
    product_code: None,
    is_inverse: false,
    contract_type: "SPOT",
    samples: include_str!("fixtures/binance-spot.txt"),
    evidence: Evidence::Recordings,
    is_derivative: false,
};
