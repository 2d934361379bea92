//! `aster-spot`: the spot market of `sapi.asterdex.com`, API v3.

use crate::model::StreamKind::{
    AggTrade, BookTicker, DepthDiff, DepthPartial, Kline, MiniTicker, RawOnly, Ticker, Trade,
};
use crate::model::{Poll, SequenceRule, SnapshotSource, TradeType, VenueSpec};
use crate::venue::Evidence;
use crate::venue::family::polled::common_polls;
use crate::venue::family::streams::{INTERVALS, NONE};
use crate::venue::family::{Channel, Family, Subject};

const SPEEDS: &[&str] = &["", "@100ms"];

/// What can be asked for by REST.
static POLLS: &[Poll] = common_polls!(
    "/api/v3/",
    INTERVALS,
    1,
    40,
    1,
    2,
    1,
    Poll::symbol("ticker/price", "/api/v3/ticker/price?symbol=", Ticker),
    Poll::market("!ticker/price", "/api/v3/ticker/price", Ticker).weight(2),
);

/// Aster's spot market.
pub static SPOT: Family = Family {
    spec: &VenueSpec {
        id: "aster-spot",
        title: "Aster spot",
        rest: "https://sapi.asterdex.com",
        ws: "wss://sstream.asterdex.com",
        // The venue takes 1024; fewer on each connection lose less with it.
        streams_per_conn_max: 200,
        streams_per_conn_most: 1024,
        url_bytes_max: 3600,
        // Pings and pongs count.
        client_messages_per_s: 5,
        connects_per_5min: 300,
        conn_age_max_s: 24 * 3600,
        rotate_after_s: 23 * 3600,
        ping_interval_s: 180,
        probe_after_s: 30,
        dead_after_s: 75,
        // The enumeration says 1200, the sample of the list 6000: the smaller one until the list was read.
        weight_per_minute: 1200,
        weight_group: "aster-spot",
        weight_header: "x-mbx-used-weight-1m",
        snapshot: SnapshotSource::Rest,
        sequence: SequenceRule::POINTED_OR_DENSE,
        channels_default: &["depth@100ms", "aggTrade", "trade", "bookTicker", "miniTicker"],
        test_symbols: "TEST",
        ..VenueSpec::BASE
    },
    dialect: &super::dialect::SPOT,
    channels: &[
        Channel::new("depth", SPEEDS, DepthDiff),
        Channel::new("depth", SPEEDS, DepthPartial).args(&["5", "10", "20"]),
        Channel::new("aggTrade", NONE, AggTrade),
        Channel::new("trade", NONE, Trade),
        Channel::new("bookTicker", NONE, BookTicker),
        Channel::new("!bookTicker", NONE, BookTicker).of(Subject::Market),
        Channel::new("kline_", NONE, Kline).args(INTERVALS),
        Channel::new("miniTicker", NONE, MiniTicker),
        Channel::new("!miniTicker@arr", NONE, MiniTicker).of(Subject::Market),
        Channel::new("ticker", NONE, Ticker),
        Channel::new("!ticker@arr", NONE, Ticker).of(Subject::Market),
        Channel::new("tradepro", NONE, RawOnly).rare(),
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
    snapshot_weight: 20,
    instruments_weight: 1,
    volumes_weight: 40,
    agg_trades_weight: 20,
    old_trades_weight: 20,
    old_trades_need_key: false,
    list_states_weight: true,
    trade_default: TradeType::Market,
    product_code: None,
    is_inverse: false,
    contract_type: "SPOT",
    samples: include_str!("fixtures/aster-spot.txt"),
    evidence: Evidence::Documents,
    is_derivative: false,
};
