//! How Aster speaks: its protocol pages as data for the simulator.

use crate::model::dialect::{Dialect, Extra, IdScheme, Product, Speed, TooManyStreams};
use crate::venue::family::dialect::{FUTURES as BASE, MINUTE, speed};

/// USD-M perpetual futures.
pub static FUTURES: Dialect = Dialect {
    venue: "aster-futures",
    extras: &[Extra::TradePro],
    too_many_streams: TooManyStreams::Close(3003, "subscribed channels exceeds limit"),
    names_per_subscribe_max: 120,
    rest_prefixes: &["/fapi/v3/", "/fapi/v1/"],
    ..BASE
};

const SPOT_SPEEDS: &[Speed] = &[speed("", 1000), speed("@100ms", 100)];
const SPOT_BASE: Dialect = Dialect {
    venue: "aster-spot",
    product: Product::AsterSpot,
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
    product: Product::AsterPrediction,
    extras: &[Extra::TradePro, Extra::Events],
    rest_prefixes: &["/api/v3/prediction/", "/api/v3/"],
    ..SPOT_BASE
};

/// Prediction markets.
pub static PREDICTION: Dialect =
    Dialect { variants: &[("doc-literal", &PREDICTION_LITERAL)], ..PREDICTION_BASE };
