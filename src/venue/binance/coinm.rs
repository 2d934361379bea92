//! `binance-coinm`: coin-margined futures, API v1. Sizes are contracts of a fixed value in USD.

use crate::model::StreamKind::{
    AggTrade, BookTicker, DepthDiff, DepthPartial, Kline, Liquidation, Mark, MiniTicker, RawOnly, Ticker,
    Trade,
};
use crate::model::{Poll, SequenceRule, SnapshotSource, TradeType, VenueSpec};
use crate::venue::Evidence;
use crate::venue::family::polled::futures_polls;
use crate::venue::family::streams::{INTERVALS, NONE};
use crate::venue::family::{Channel, Family, Subject};

const SPEEDS: &[&str] = &["", "@100ms", "@500ms"];

/// What can be asked for by REST.
static POLLS: &[Poll] = futures_polls!("/dapi/v1/", "/dapi/v1/", 10, 10, 2, 5, None,);

/// Binance COIN-M futures.
pub static COINM: Family = Family {
    spec: &VenueSpec {
        id: "binance-coinm",
        title: "Binance COIN-M futures",
        symbol_example: "BTCUSD_PERP",
        rest: "https://dapi.binance.com",
        ws: "wss://dstream.binance.com",
        streams_per_conn_max: 200,
        streams_per_conn_most: 1024,
        url_bytes_max: 3600,
        client_messages_per_s: 10,
        connects_per_5min: 300,
        conn_age_max_s: 24 * 3600,
        rotate_after_s: 23 * 3600,
        ping_interval_s: 180,
        probe_after_s: 3,
        dead_after_s: 6,
        weight_per_minute: 2400,
        weight_group: "binance-futures",
        weight_header: "x-mbx-used-weight-1m",
        snapshot: SnapshotSource::Rest,
        sequence: SequenceRule::FUTURES,
        channels_default: &["depth@100ms", "aggTrade", "bookTicker", "markPrice@1s", "forceOrder"],
        ..VenueSpec::BASE
    },
    dialect: &super::dialect::COINM,
    channels: &[
        Channel::new("depth", &["", "@100ms", "@500ms", "@0ms"], DepthDiff),
        Channel::new("depth", SPEEDS, DepthPartial).args(&["5", "10", "20"]),
        Channel::new("aggTrade", NONE, AggTrade),
        Channel::new("trade", NONE, Trade),
        Channel::new("bookTicker", NONE, BookTicker),
        Channel::new("!bookTicker", NONE, BookTicker).of(Subject::Market).lively(),
        Channel::new("markPrice", &["", "@1s"], Mark).of(Subject::SymbolOrPair),
        Channel::new("kline_", NONE, Kline).args(INTERVALS),
        Channel::new("continuousKline_", NONE, RawOnly).args(INTERVALS).of(Subject::PairContract),
        // `@1s` was removed and is silent: whoever asked for it would wait for ever.
        Channel::new("indexPrice", NONE, RawOnly).of(Subject::Pair).lively(),
        Channel::new("indexPriceKline_", NONE, RawOnly).args(INTERVALS).of(Subject::Pair).lively(),
        Channel::new("markPriceKline_", NONE, RawOnly).args(INTERVALS).lively(),
        Channel::new("miniTicker", NONE, MiniTicker),
        Channel::new("!miniTicker@arr", NONE, MiniTicker).of(Subject::Market).lively(),
        Channel::new("ticker", NONE, Ticker),
        Channel::new("!ticker@arr", NONE, Ticker).of(Subject::Market).lively(),
        Channel::new("forceOrder", NONE, Liquidation).rare(),
        Channel::new("!forceOrder@arr", NONE, Liquidation).of(Subject::Market).rare(),
        Channel::new("!contractInfo", NONE, RawOnly).of(Subject::Market).rare(),
    ],
    polls: POLLS,
    routes: &[""],
    // Single trades are not documented here.
    fallbacks: &[("trade", "aggTrade")],
    rest_root: "/dapi/",
    rest_version: "v1",
    instruments_path: "exchangeInfo",
    other_clock: None,
    instruments_every_s: 600,
    listing_events: &[("contractInfo", "")],
    annotate: None,
    snapshot_limit: 1000,
    snapshot_weight: 20,
    instruments_weight: 1,
    volumes_weight: 40,
    agg_trades_weight: 20,
    old_trades_weight: 200,
    old_trades_need_key: true,
    list_states_weight: false,
    trade_default: TradeType::Unknown,
    product_code: Some(2),
    is_inverse: true,
    contract_type: "",
    samples: include_str!("fixtures/binance-coinm.txt"),
    evidence: Evidence::Recordings,
    is_derivative: true,
};
