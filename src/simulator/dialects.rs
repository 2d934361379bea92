//! The dialects that can be simulated: one constant per venue, plain data.

use crate::model::dialect::{
    DepthLimits, Dialect, ErrorShape, IdScheme, Product, Route, Speed, TooManyStreams,
};

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

const fn speed(suffix: &'static str, every_ms: u32) -> Speed {
    Speed { suffix, every_ms }
}

const ONE_ROUTE: &[Route] = &[Route { prefix: "", public: true, market: true }];
const FUTURES_LIMITS: DepthLimits = DepthLimits::OneOf(&[5, 10, 20, 50, 100, 500, 1000]);
const FUTURES_WEIGHTS: &[(u32, u32)] = &[(50, 2), (100, 5), (500, 10), (1000, 20)];
const FUTURES_PARTIAL: &[Speed] = &[speed("", 250), speed("@500ms", 500), speed("@100ms", 100)];

/// What the futures dialects share; no venue by itself.
const FUTURES: Dialect = Dialect {
    venue: "",
    product: Product::AsterFutures,
    ids: IdScheme::Shared,
    bids_ascend: true,
    st_ps: false,
    diff_speeds: FUTURES_PARTIAL,
    partial_speeds: FUTURES_PARTIAL,
    agg_every_ms: 100,
    kline_every_ms: 250,
    ticker_every_ms: 500,
    all_book_ticker_every_ms: 0,
    all_ticker: true,
    all_mark: true,
    routes: ONE_ROUTE,
    ping_every_ms: 5 * MINUTE,
    pong_within_ms: 15 * MINUTE,
    age_max_ms: DAY,
    streams_max: 200,
    too_many_streams: TooManyStreams::Code4,
    names_per_subscribe_max: 0,
    client_messages_per_s: 10,
    control_frames_count: false,
    url_bytes_max: 8192,
    connects_per_5min: 0,
    errors: ErrorShape::Flat,
    refuses_bad_names: false,
    rest_prefixes: &[],
    weight_per_minute: 2400,
    depth_limits: FUTURES_LIMITS,
    depth_limit_default: 500,
    depth_weights: FUTURES_WEIGHTS,
    instruments_weight: 1,
    trades_weight: 1,
    agg_trades_weight: 20,
    retry_after: false,
};

/// `protocols/aster-futures.md`.
pub static ASTER_FUTURES: Dialect = Dialect {
    venue: "aster-futures",
    too_many_streams: TooManyStreams::Close(3003, "subscribed channels exceeds limit"),
    names_per_subscribe_max: 120,
    rest_prefixes: &["/fapi/v3/", "/fapi/v1/"],
    ..FUTURES
};

/// `protocols/binance.md`, USD-M column.
pub static BINANCE_USDM: Dialect = Dialect {
    venue: "binance-usdm",
    product: Product::UsdM,
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
    ..FUTURES
};

/// `protocols/binance.md`, COIN-M column.
pub static BINANCE_COINM: Dialect = Dialect {
    venue: "binance-coinm",
    product: Product::CoinM,
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
    ..FUTURES
};

/// `protocols/binance.md`, spot column.
pub static BINANCE_SPOT: Dialect = Dialect {
    venue: "binance-spot",
    product: Product::Spot,
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
    ..FUTURES
};

/// All of them, in the order of the venue list.
pub static ALL: [&Dialect; 4] = [&ASTER_FUTURES, &BINANCE_SPOT, &BINANCE_USDM, &BINANCE_COINM];

/// The dialect of a venue's slug.
pub fn by_venue(venue: &str) -> Option<&'static Dialect> {
    ALL.into_iter().find(|d| d.venue == venue)
}
