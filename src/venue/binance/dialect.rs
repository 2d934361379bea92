//! How Binance speaks: `protocols/binance.md` as data for the simulator, one constant per product.

use crate::model::dialect::{
    DepthLimits, Dialect, ErrorShape, Extra, IdScheme, Product, Route, TooManyStreams,
};
use crate::venue::family::dialect::{FUTURES as BASE, MINUTE, speed};

/// USD-M column.
pub static USDM: Dialect = Dialect {
    venue: "binance-usdm",
    product: Product::UsdM,
    extras: &[Extra::RpiDepth, Extra::ContractInfo, Extra::Indexes, Extra::TradingSession],
    st_ps: true,
    diff_speeds: &[speed("", 250), speed("@500ms", 500), speed("@100ms", 100), speed("@0ms", 52)],
    ticker_every_ms: 2000,
    all_book_ticker_every_ms: 5000,
    routes: &[
        Route { prefix: "/public", public: true, market: false },
        Route { prefix: "/market", public: false, market: true },
        Route { prefix: "", public: true, market: false },
    ],
    ping_every_ms: 3 * MINUTE,
    pong_within_ms: 10 * MINUTE,
    streams_max: 1024,
    too_many_streams: TooManyStreams::Code4,
    names_per_subscribe_max: 0,
    refuses_bad_names: true,
    rest_prefixes: &["/fapi/v1/"],
    trades_weight: 5,
    retry_after: true,
    ..BASE
};

/// COIN-M column.
pub static COINM: Dialect = Dialect {
    venue: "binance-coinm",
    product: Product::CoinM,
    extras: &[Extra::PriceCandles, Extra::ContractInfo],
    st_ps: true,
    diff_speeds: &[speed("", 250), speed("@500ms", 500), speed("@100ms", 100), speed("@0ms", 16)],
    all_mark: false,
    ping_every_ms: 3 * MINUTE,
    pong_within_ms: 10 * MINUTE,
    streams_max: 1024,
    too_many_streams: TooManyStreams::Code4,
    names_per_subscribe_max: 0,
    refuses_bad_names: true,
    rest_prefixes: &["/dapi/v1/"],
    trades_weight: 5,
    retry_after: true,
    ..BASE
};

/// spot column.
pub static SPOT: Dialect = Dialect {
    venue: "binance-spot",
    product: Product::Spot,
    extras: &[Extra::Averages, Extra::BlockTrades, Extra::EastCandles, Extra::Windows],
    ids: IdScheme::Dense,
    bids_ascend: false,
    diff_speeds: &[speed("", 1000), speed("@100ms", 100)],
    partial_speeds: &[speed("", 1000), speed("@100ms", 100)],
    agg_every_ms: 0,
    kline_every_ms: 2000,
    ticker_every_ms: 1000,
    all_book_ticker_every_ms: u32::MAX,
    all_ticker: false,
    all_mark: false,
    ping_every_ms: 20_000,
    pong_within_ms: MINUTE,
    streams_max: 1024,
    too_many_streams: TooManyStreams::Code4,
    names_per_subscribe_max: 0,
    client_messages_per_s: 5,
    control_frames_count: true,
    connects_per_5min: 300,
    errors: ErrorShape::Nested,
    refuses_bad_names: true,
    rest_prefixes: &["/api/v3/"],
    weight_per_minute: 6000,
    depth_limits: DepthLimits::UpTo(5000),
    depth_limit_default: 100,
    depth_weights: &[(100, 5), (500, 25), (1000, 50), (5000, 250)],
    instruments_weight: 20,
    trades_weight: 25,
    agg_trades_weight: 4,
    retry_after: true,
    ..BASE
};
