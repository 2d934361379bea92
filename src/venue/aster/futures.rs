//! `aster-futures`: the perpetual contracts of `fapi.asterdex.com`, API v3.

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

/// Open interest is in no document; others ask for it under the older version.
static POLLS: &[Poll] = futures_polls!(
    "/fapi/v3/",
    "/fapi/v1/",
    1,
    1,
    1,
    2,
    None,
    Poll::symbol("ticker/price", "/fapi/v3/ticker/price?symbol=", Ticker),
    Poll::market("!ticker/price", "/fapi/v3/ticker/price", Ticker).weight(2),
    Poll::market("!fundingInfo", "/fapi/v3/fundingInfo", RawOnly).every(3600),
    Poll::symbol("indexreferences", "/fapi/v3/indexreferences?symbol=", RawOnly).every(3600),
    Poll::symbol("indexPriceKlines_", "/fapi/v3/indexPriceKlines?interval={}&limit=10&pair=", RawOnly)
        .args(INTERVALS),
    Poll::symbol("markPriceKlines_", "/fapi/v3/markPriceKlines?interval={}&limit=10&symbol=", RawOnly)
        .args(INTERVALS),
);

/// Aster's USD-M perpetual futures.
pub static FUTURES: Family = Family {
    spec: &VenueSpec {
        id: "aster-futures",
        title: "Aster USD-M perpetual futures",
        rest: "https://fapi.asterdex.com",
        ws: "wss://fstream.asterdex.com",
        // The 201st is refused with close code 3003.
        streams_per_conn_max: 200,
        url_bytes_max: 3600,
        client_messages_per_s: 10,
        connects_per_5min: 300,
        conn_age_max_s: 24 * 3600,
        rotate_after_s: 23 * 3600,
        ping_interval_s: 300,
        // The protocol page's own figures: pings of ours are answered within 0.3 s, the venue's come too rarely.
        probe_after_s: 30,
        dead_after_s: 75,
        weight_per_minute: 2400,
        weight_group: "aster-futures",
        weight_header: "x-mbx-used-weight-1m",
        snapshot: SnapshotSource::Rest,
        sequence: SequenceRule::FUTURES,
        channels_default: &["depth@100ms", "aggTrade", "bookTicker", "markPrice@1s", "forceOrder"],
        ..VenueSpec::BASE
    },
    dialect: &super::dialect::FUTURES,
    channels: &[
        Channel::new("depth", &["", "@100ms", "@500ms", "@0ms"], DepthDiff),
        Channel::new("depth", SPEEDS, DepthPartial).args(&["5", "10", "20"]),
        Channel::new("aggTrade", NONE, AggTrade),
        Channel::new("trade", NONE, Trade),
        Channel::new("bookTicker", NONE, BookTicker),
        Channel::new("!bookTicker", NONE, BookTicker).of(Subject::Market).lively(),
        Channel::new("markPrice", &["", "@1s"], Mark),
        Channel::new("!markPrice@arr", &["", "@1s"], Mark).of(Subject::Market),
        Channel::new("kline_", NONE, Kline).args(INTERVALS),
        Channel::new("miniTicker", NONE, MiniTicker),
        Channel::new("!miniTicker@arr", NONE, MiniTicker).of(Subject::Market).lively(),
        Channel::new("ticker", NONE, Ticker),
        Channel::new("!ticker@arr", NONE, Ticker).of(Subject::Market).lively(),
        Channel::new("forceOrder", NONE, Liquidation).rare(),
        Channel::new("!forceOrder@arr", NONE, Liquidation).of(Subject::Market).rare(),
        Channel::new("tradepro", NONE, RawOnly).rare(),
    ],
    polls: POLLS,
    routes: &[""],
    fallbacks: &[("depth@0ms", "depth@100ms"), ("trade", "aggTrade")],
    rest_root: "/fapi/",
    rest_version: "v3",
    instruments_path: "exchangeInfo",
    other_clock: None,
    instruments_every_s: 600,
    listing_events: &[],
    annotate: None,
    snapshot_limit: 1000,
    snapshot_weight: 20,
    instruments_weight: 1,
    volumes_weight: 40,
    agg_trades_weight: 20,
    old_trades_weight: 20,
    old_trades_need_key: false,
    list_states_weight: true,
    trade_default: TradeType::Unknown,
    product_code: None,
    is_inverse: false,
    contract_type: "",
    samples: include_str!("fixtures/aster-futures.txt"),
    evidence: Evidence::Documents,
    is_derivative: true,
};
