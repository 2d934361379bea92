//! `binance-usdm`: USD-margined futures, API v1, streams split over two routes since 2026-04-23.

use crate::model::StreamKind::{
    AggTrade, BookTicker, DepthDiff, DepthPartial, Kline, Liquidation, Mark, MiniTicker, RawOnly, Ticker,
    Trade,
};
use crate::model::{Poll, RestPool, SequenceRule, SnapshotSource, TradeType, VenueSpec};
use crate::venue::Evidence;
use crate::venue::family::polled::futures_polls;
use crate::venue::family::streams::{INTERVALS, NONE};
use crate::venue::family::{Channel, Family, Subject};

/// Index of `/market` in the routes; a stream on the wrong route is acknowledged and silent for ever.
const MARKET: usize = 1;
const SPEEDS: &[&str] = &["", "@100ms", "@500ms"];

/// `fundingRate` and `fundingInfo` are counted by themselves, by address.
static FUNDING: RestPool = RestPool { name: "fundingRate and fundingInfo", limit: 500, window_s: 300 };

/// What can be asked for by REST.
static POLLS: &[Poll] = futures_polls!(
    "/fapi/v1/",
    "/fapi/v1/",
    1,
    10,
    2,
    5,
    Some(&FUNDING),
    Poll::market("!fundingInfo", "/fapi/v1/fundingInfo", RawOnly).every(3600).pool(Some(&FUNDING)),
    Poll::symbol("rpiDepth", "/fapi/v1/rpiDepth?limit=1000&symbol=", RawOnly).every(600).weight(20),
);

/// Binance USD-M futures.
pub static USDM: Family = Family {
    spec: &VenueSpec {
        id: "binance-usdm",
        title: "Binance USD-M futures",
        rest: "https://fapi.binance.com",
        ws: "wss://fstream.binance.com",
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
    dialect: &super::dialect::USDM,
    channels: &[
        Channel::new("depth", &["", "@100ms", "@500ms", "@0ms"], DepthDiff),
        Channel::new("depth", SPEEDS, DepthPartial).args(&["5", "10", "20"]),
        Channel::new("rpiDepth", &["@500ms"], RawOnly),
        Channel::new("bookTicker", NONE, BookTicker),
        Channel::new("!bookTicker", NONE, BookTicker).of(Subject::Market).lively(),
        // Undocumented; measured on this route.
        Channel::new("trade", NONE, Trade),
        Channel::new("aggTrade", NONE, AggTrade).route(MARKET),
        Channel::new("markPrice", &["", "@1s"], Mark).route(MARKET),
        Channel::new("!markPrice@arr", &["", "@1s"], Mark).of(Subject::Market).route(MARKET),
        Channel::new("kline_", NONE, Kline).args(INTERVALS).route(MARKET),
        Channel::new("continuousKline_", NONE, RawOnly)
            .args(INTERVALS)
            .of(Subject::PairContract)
            .route(MARKET),
        Channel::new("miniTicker", NONE, MiniTicker).route(MARKET),
        Channel::new("!miniTicker@arr", NONE, MiniTicker).of(Subject::Market).route(MARKET).lively(),
        Channel::new("ticker", NONE, Ticker).route(MARKET),
        Channel::new("!ticker@arr", NONE, Ticker).of(Subject::Market).route(MARKET).lively(),
        Channel::new("forceOrder", NONE, Liquidation).route(MARKET).rare(),
        Channel::new("!forceOrder@arr", NONE, Liquidation).of(Subject::Market).route(MARKET).rare(),
        Channel::new("!contractInfo", NONE, RawOnly).of(Subject::Market).route(MARKET).rare(),
        Channel::new("compositeIndex", NONE, RawOnly).of(Subject::Index).route(MARKET).lively(),
        Channel::new("assetIndex", NONE, RawOnly).of(Subject::Index).route(MARKET).lively(),
        Channel::new("!assetIndex@arr", NONE, RawOnly).of(Subject::Market).route(MARKET).lively(),
        Channel::new("tradingSession", NONE, RawOnly).of(Subject::Market).route(MARKET).lively(),
    ],
    polls: POLLS,
    routes: &["/public", "/market"],
    // Single trades are not documented here.
    fallbacks: &[("trade", "aggTrade")],
    rest_root: "/fapi/",
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
    list_states_weight: true,
    trade_default: TradeType::Unknown,
    product_code: Some(1),
    is_inverse: false,
    contract_type: "",
    samples: include_str!("fixtures/binance-usdm.txt"),
    evidence: Evidence::Recordings,
    is_derivative: true,
};
