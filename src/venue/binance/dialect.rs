//! How Binance speaks: `protocols/binance.md` as data for the simulator, one constant per product.

use crate::model::dialect::{
    Decimals, DepthLimits, Dialect, ErrorShape, Extra, IdScheme, PairKey, Prints, Route, Tempo,
    TooManyStreams, TopKeys,
};
use crate::venue::family::dialect::{FUTURES as BASE, FUTURES_FILTERS, MINUTE, speed};

const USDM_PRINTS: Prints = Prints {
    pair: PairKey::AtTheEnd,
    top: TopKeys::EventFirst,
    agg_id_first: true,
    agg_size_twice: true,
    halted: "SETTLING",
    filters: FUTURES_FILTERS,
    odd_trades: true,
    // `pricePrecision` decimals.
    decimals: Decimals::AtLeastTwo,
    weights: &[
        ("24hr", 1, 40),
        ("bookTicker", 2, 5),
        ("price", 1, 2),
        ("premiumIndex", 1, 10),
        ("historicalTrades", 200, 200),
        ("rpiDepth", 20, 20),
    ],
    pools: &[(&["fundingRate", "fundingInfo"], 500, 300)],
    ..Prints::BASE
};
const COINM_PRINTS: Prints = Prints {
    pair: PairKey::BehindSymbol,
    code: 2,
    top: TopKeys::IdFirst,
    agg_id_first: true,
    status_key: "contractStatus",
    halted: "DELIVERING",
    filters: "\"},{\"limit\":200,\"filterType\":\"MAX_NUM_ORDERS\"}]}",
    // The list still prints a budget of its own, though the pool is USD-M's.
    listed_weight: Some(6000),
    inverse: true,
    lists_of_one: true,
    odd_trades: true,
    decimals: Decimals::Contracts,
    symbol: perpetual,
    weights: &[
        ("24hr", 1, 40),
        ("bookTicker", 2, 5),
        ("price", 1, 2),
        ("premiumIndex", 10, 10),
        ("historicalTrades", 200, 200),
    ],
    ..Prints::BASE
};
const SPOT_PRINTS: Prints = Prints {
    matched: false,
    flag_m: true,
    day_has_top: true,
    filters: "\"},{\"filterType\":\"NOTIONAL\",\"minNotional\":\"5.00000000\",\"applyMinToMarket\":true,\"maxNotional\":\"9000000.00000000\",\"applyMaxToMarket\":false,\"avgPriceMins\":5}]}",
    any_request_id: true,
    seconds: true,
    decimals: Decimals::Eight,
    weights: &[
        ("24hr", 2, 80),
        ("bookTicker", 2, 4),
        ("price", 2, 4),
        ("historicalTrades", 25, 25),
        ("klines", 2, 2),
        ("avgPrice", 2, 2),
        ("referencePrice", 2, 2),
    ],
    ..Prints::BASE
};

fn perpetual(asset: &str) -> String {
    format!("{asset}USD_PERP")
}

/// USD-M column.
pub static USDM: Dialect = Dialect {
    venue: "binance-usdm",
    prints: &USDM_PRINTS,
    extras: &[
        Extra::RpiDepth,
        Extra::ContractInfo,
        Extra::Indexes,
        Extra::TradingSession,
        Extra::ContinuousCandles,
    ],
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
    tempo: Tempo::Inverse,
    prints: &COINM_PRINTS,
    extras: &[Extra::PriceCandles, Extra::ContractInfo, Extra::ContinuousCandles],
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
    is_futures: false,
    tempo: Tempo::Spot,
    prints: &SPOT_PRINTS,
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
