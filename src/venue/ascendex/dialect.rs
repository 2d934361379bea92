//! How AscendEX speaks, as data for the simulator.

use crate::model::dialect::{
    DepthLimits, Dialect, ErrorShape, IdScheme, Product, Route, Speech, Speed, TooManyStreams,
};

const BASE: Dialect = Dialect {
    words: None,
    extras: &[],
    venue: "ascendex-futures",
    variants: &[],
    product: Product::AscendexFutures,
    speech: Speech::Ascendex { combined_ack: false },
    ids: IdScheme::PerFrame,
    bids_ascend: false,
    st_ps: false,
    diff_speeds: &[
        Speed { suffix: "depth", every_ms: 300 },
        // Not throttled; so often a busy market changes.
        Speed { suffix: "depth-realtime", every_ms: 20 },
    ],
    partial_speeds: &[],
    agg_every_ms: 0,
    kline_every_ms: 2000,
    ticker_every_ms: 1000,
    all_book_ticker_every_ms: u32::MAX,
    all_ticker: false,
    all_mark: true,
    routes: &[Route { prefix: "/api/pro/v2/stream", public: true, market: true }],
    ping_every_ms: 15_000,
    // Two pings without an answer.
    pong_within_ms: 30_000,
    age_max_ms: u64::MAX / 2,
    streams_max: 1000,
    too_many_streams: TooManyStreams::Close(1008, "too many subscriptions"),
    names_per_subscribe_max: 0,
    client_messages_per_s: 1000,
    control_frames_count: false,
    url_bytes_max: 8192,
    connects_per_5min: 45,
    errors: ErrorShape::Flat,
    refuses_bad_names: false,
    rest_prefixes: &["/api/pro/v1/", "/api/pro/v2/"],
    weight_per_minute: 600,
    depth_limits: DepthLimits::UpTo(500),
    depth_limit_default: 500,
    depth_weights: &[(500, 1)],
    instruments_weight: 1,
    trades_weight: 1,
    agg_trades_weight: 1,
    retry_after: false,
};

const SPOT_BASE: Dialect = Dialect {
    venue: "ascendex-spot",
    product: Product::AscendexSpot,
    all_mark: false,
    routes: &[Route { prefix: "/1/api/pro/v1/stream", public: true, market: true }],
    ..BASE
};

/// What the documentation warns of: one acknowledgement for all symbols of a message.
static FUTURES_COMBINED: Dialect = Dialect { speech: Speech::Ascendex { combined_ack: true }, ..BASE };
static SPOT_COMBINED: Dialect = Dialect { speech: Speech::Ascendex { combined_ack: true }, ..SPOT_BASE };

/// Perpetual futures.
pub static FUTURES: Dialect = Dialect { variants: &[("combined-ack", &FUTURES_COMBINED)], ..BASE };

/// Spot.
pub static SPOT: Dialect = Dialect { variants: &[("combined-ack", &SPOT_COMBINED)], ..SPOT_BASE };
