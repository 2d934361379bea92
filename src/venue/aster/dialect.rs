//! How Aster speaks: its protocol pages as data for the simulator.

use crate::model::dialect::{
    Decimals, Dialect, Extra, IdScheme, Parts, Prints, Speed, Tempo, TooManyStreams, TopKeys,
};
use crate::venue::family::dialect::{FUTURES as BASE, FUTURES_FILTERS, MINUTE, speed};

const WEIGHTS: &[(&str, u32, u32)] =
    &[("24hr", 1, 40), ("bookTicker", 1, 2), ("price", 1, 2), ("historicalTrades", 20, 20)];

const FUTURES_PRINTS: Prints = Prints {
    top: TopKeys::TimesFirst,
    index_first: true,
    halted: "SETTLING",
    filters: FUTURES_FILTERS,
    bad_limit: (-1130, "Data sent for parameter 'limit' is not valid."),
    weights: WEIGHTS,
    ..Prints::BASE
};
/// As the samples have it: `qty` of a trade by REST is the turnover, candles lack their last cell, and price steps and the
/// smallest price do not agree.
const SPOT_PRINTS: Prints = Prints {
    fills_in_quote: true,
    short_candles: true,
    filters: "\"},{\"filterType\":\"MIN_NOTIONAL\",\"minNotional\":\"5\"},{\"filterType\":\"MAX_NUM_ORDERS\",\"limit\":200}]}",
    weights: WEIGHTS,
    ..Prints::BASE
};
const PREDICTION_PRINTS: Prints = Prints {
    halted: "SETTLED",
    seconds: true,
    decimals: Decimals::Probabilities,
    symbol: round,
    parts: parts_of_round,
    ..SPOT_PRINTS
};

/// Five-minute rounds: the number is the window's start in seconds.
fn round(asset: &str) -> String {
    format!("{asset}_UP_DOWN_5M_1778483280_YUSDT")
}

/// The pair is the name of the series: without the round and the side.
fn parts_of_round(symbol: &str) -> Option<Parts<'_>> {
    let base = symbol.strip_suffix("USDT").unwrap_or(symbol);
    Some((base, "USDT", symbol.rsplitn(3, '_').nth(2).unwrap_or(symbol)))
}

/// USD-M perpetual futures.
pub static FUTURES: Dialect = Dialect {
    venue: "aster-futures",
    prints: &FUTURES_PRINTS,
    extras: &[Extra::TradePro],
    too_many_streams: TooManyStreams::Close(3003, "subscribed channels exceeds limit"),
    names_per_subscribe_max: 120,
    rest_prefixes: &["/fapi/v3/", "/fapi/v1/"],
    ..BASE
};

const SPOT_SPEEDS: &[Speed] = &[speed("", 1000), speed("@100ms", 100)];
const SPOT_BASE: Dialect = Dialect {
    venue: "aster-spot",
    is_futures: false,
    tempo: Tempo::Spot,
    prints: &SPOT_PRINTS,
    extras: &[Extra::TradePro],
    bids_ascend: false,
    diff_speeds: SPOT_SPEEDS,
    partial_speeds: SPOT_SPEEDS,
    agg_every_ms: 0,
    kline_every_ms: 2000,
    ticker_every_ms: 1000,
    all_mark: false,
    ping_every_ms: 3 * MINUTE,
    pong_within_ms: 10 * MINUTE,
    streams_max: 1024,
    too_many_streams: TooManyStreams::Close(3003, "subscribed channels exceeds limit"),
    names_per_subscribe_max: 120,
    client_messages_per_s: 5,
    control_frames_count: true,
    rest_prefixes: &["/api/v3/", "/api/v1/"],
    weight_per_minute: 1200,
    depth_limit_default: 100,
    retry_after: true,
    ..BASE
};
/// The grammar that the documentation writes down and nobody has seen: every id used, no `pu`.
static SPOT_LITERAL: Dialect = Dialect { ids: IdScheme::Dense, ..SPOT_BASE };
static PREDICTION_LITERAL: Dialect = Dialect { ids: IdScheme::Dense, ..PREDICTION_BASE };

/// Spot: ids as they were seen, with holes and `pu`.
pub static SPOT: Dialect = Dialect { variants: &[("doc-literal", &SPOT_LITERAL)], ..SPOT_BASE };

const PREDICTION_BASE: Dialect = Dialect {
    venue: "aster-prediction",
    prints: &PREDICTION_PRINTS,
    extras: &[Extra::TradePro, Extra::Events],
    rest_prefixes: &["/api/v3/prediction/", "/api/v3/"],
    ..SPOT_BASE
};

/// The clock under the other one of its two documented paths.
static PREDICTION_CLOCK: Dialect = Dialect { not_served: &["/api/v3/time"], ..PREDICTION_BASE };

/// Prediction markets.
pub static PREDICTION: Dialect = Dialect {
    variants: &[("doc-literal", &PREDICTION_LITERAL), ("other-clock", &PREDICTION_CLOCK)],
    ..PREDICTION_BASE
};
