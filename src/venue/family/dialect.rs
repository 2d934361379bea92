//! How venues of the family speak, as a simulator must know it: the part that the futures venues share.

use crate::model::dialect::{
    DepthLimits, Dialect, ErrorShape, IdScheme, Prints, Route, Speed, Tempo, TooManyStreams,
};

/// A minute in ms.
pub const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// One speed of a depth stream.
pub const fn speed(suffix: &'static str, every_ms: u32) -> Speed {
    Speed { suffix, every_ms }
}

const ONE_ROUTE: &[Route] = &[Route { prefix: "", public: true, market: true }];
const FUTURES_LIMITS: DepthLimits = DepthLimits::OneOf(&[5, 10, 20, 50, 100, 500, 1000]);
const FUTURES_WEIGHTS: &[(u32, u32)] = &[(50, 2), (100, 5), (500, 10), (1000, 20)];
const FUTURES_PARTIAL: &[Speed] = &[speed("", 250), speed("@500ms", 500), speed("@100ms", 100)];

/// What the futures dialects share; no venue by itself.
pub const FUTURES: Dialect = Dialect {
    venue: "",
    variants: &[],
    is_futures: true,
    tempo: Tempo::Futures,
    prints: &Prints::BASE,
    words: None,
    extras: &[],
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
    bans_sockets: false,
    not_served: &[],
};

/// What closes the filters of most futures.
pub const FUTURES_FILTERS: &str = "\"},{\"limit\":200,\"filterType\":\"MAX_NUM_ORDERS\"},{\"notional\":\"5\",\"filterType\":\"MIN_NOTIONAL\"}]}";
