//! How a venue speaks, as data: what a simulator must know to answer as the venue would.
//!
//! The recorder does not read this; it follows its own link plan. Keeping both sides apart is the point: a wrong number
//! here shows up as a recorder that is refused, not as two errors that agree.

use super::words::Words;

/// What is traded and therefore which keys a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Binance spot.
    Spot,
    /// Binance USD-M futures.
    UsdM,
    /// Binance COIN-M futures; sizes are contracts.
    CoinM,
    /// Aster USD-M futures.
    AsterFutures,
    /// Aster spot.
    AsterSpot,
    /// Aster prediction markets: spot on another host, of which the instruments are events that come and go.
    AsterPrediction,
    /// AscendEX spot.
    AscendexSpot,
    /// AscendEX perpetual futures.
    AscendexFutures,
    /// Something of which a [`super::words::Words`] knows the words.
    Other,
}

impl Product {
    /// Whether this is a futures product (`pu`, `T`, mark prices, liquidations).
    pub fn is_futures(self) -> bool {
        !self.is_spot()
    }

    /// Whether this is a spot product, of whichever venue.
    pub fn is_spot(self) -> bool {
        matches!(self, Product::Spot | Product::AsterSpot | Product::AsterPrediction | Product::AscendexSpot)
    }
}

/// How update ids are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdScheme {
    /// One counter per symbol, every id used: `U == previous u + 1`.
    Dense,
    /// One counter per symbol and kind of diffs that rises by one with each frame.
    PerFrame,
    /// One counter of the whole venue, so that a symbol's ids have holes; diffs carry `pu`.
    Shared,
}

/// The grammar of everything that is said on the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// Binance's: names in the URL or in SUBSCRIBE, an envelope, REST snapshots.
    Envelope,
    /// AscendEX's: `op` to the venue, `m` from it, pings as messages, snapshots in-band.
    Ascendex {
        /// Subscriptions are confirmed by one message for all their symbols, instead of one for each.
        combined_ack: bool,
    },
}

impl Speech {
    /// Whether this is AscendEX's.
    pub fn is_ascendex(self) -> bool {
        matches!(self, Speech::Ascendex { .. })
    }
}

/// A stream that only some venues of the envelope's grammar have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// `@avgPrice`, `@referencePrice`.
    Averages,
    /// `@blockTrade`: ids of their own.
    BlockTrades,
    /// Candles of another time zone: `@kline_1d@+08:00`.
    EastCandles,
    /// Statistics of fixed windows: `@ticker_1h`, `!ticker_1h@arr`.
    Windows,
    /// Trades with the accounts that made them: `@tradepro`.
    TradePro,
    /// Streams of pairs: index prices, candles of mark and index prices.
    PriceCandles,
    /// `@rpiDepth@500ms`.
    RpiDepth,
    /// `!contractInfo`.
    ContractInfo,
    /// `@compositeIndex`, `@assetIndex`, `!assetIndex@arr`.
    Indexes,
    /// `tradingSession`.
    TradingSession,
    /// What happens to series of instruments: `@event`.
    Events,
}

/// One speed of a depth stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    /// What follows the channel's name, `""` for the default speed, else `@100ms`.
    pub suffix: &'static str,
    /// The real interval in ms (`@0ms` is not zero: 52 ms on USD-M, 16 ms on COIN-M).
    pub every_ms: u32,
}

/// What happens at one stream too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooManyStreams {
    /// Close frame with this code and reason.
    Close(u16, &'static str),
    /// `{"error":{"code":4,…}}`, then a close with 1008.
    Code4,
    /// This text, and the connection goes on.
    Refuse(&'static str),
}

/// The shape of error replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorShape {
    /// `{"code":2,"msg":"…"}`
    Flat,
    /// `{"error":{"code":2,"msg":"…"},"id":1}`
    Nested,
}

/// A path prefix and the streams that flow there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// `""`, `/public`, `/market`.
    pub prefix: &'static str,
    /// Book, best bid/ask and single trades.
    pub public: bool,
    /// All other streams. Subscribed on the wrong route a stream is acknowledged and stays silent.
    pub market: bool,
}

/// `limit` of the depth endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepthLimits {
    /// Only these.
    OneOf(&'static [u32]),
    /// Anything up to this; more is cut down to it.
    UpTo(u32),
}

impl Dialect {
    /// Whether the venue has such streams.
    pub fn has(&self, extra: Extra) -> bool {
        self.extras.contains(&extra)
    }

    /// A venue with words of its own and one speed of books: everything that a venue may leave unsaid has a mild value.
    pub const fn with_words(venue: &'static str, words: &'static dyn Words) -> Dialect {
        Dialect {
            venue,
            variants: &[],
            product: Product::Other,
            words: Some(words),
            speech: Speech::Envelope,
            extras: &[],
            ids: IdScheme::Dense,
            bids_ascend: false,
            st_ps: false,
            diff_speeds: &[Speed { suffix: "", every_ms: 100 }],
            partial_speeds: &[],
            agg_every_ms: 0,
            kline_every_ms: 1000,
            ticker_every_ms: 1000,
            all_book_ticker_every_ms: u32::MAX,
            all_ticker: false,
            all_mark: false,
            routes: &[Route { prefix: "", public: true, market: true }],
            ping_every_ms: 60_000,
            pong_within_ms: 600_000,
            age_max_ms: 86_400_000,
            streams_max: 100,
            too_many_streams: TooManyStreams::Code4,
            names_per_subscribe_max: 0,
            client_messages_per_s: 10,
            control_frames_count: false,
            url_bytes_max: 8192,
            connects_per_5min: 0,
            errors: ErrorShape::Flat,
            refuses_bad_names: true,
            rest_prefixes: &[],
            weight_per_minute: 600,
            depth_limits: DepthLimits::UpTo(1000),
            depth_limit_default: 100,
            depth_weights: &[(1000, 1)],
            instruments_weight: 1,
            trades_weight: 1,
            agg_trades_weight: 1,
            retry_after: false,
        }
    }
}

/// Everything about a venue's words that is a number or a word. Times in ms.
#[derive(Debug)]
pub struct Dialect {
    /// Slug of the venue.
    pub venue: &'static str,
    /// Other ways in which the venue may speak (what its documentation says where that is not what was seen), by name;
    /// a simulator takes one of them on demand.
    pub variants: &'static [(&'static str, &'static Dialect)],
    /// What is traded.
    pub product: Product,
    /// Grammar of the socket.
    pub speech: Speech,
    /// What it has beside the streams of all venues of its grammar.
    pub extras: &'static [Extra],
    /// The words of a venue that does not speak as Binance does.
    pub words: Option<&'static dyn Words>,
    /// Update ids.
    pub ids: IdScheme,
    /// Whether diffs list bids from the lowest price up.
    pub bids_ascend: bool,
    /// Whether frames may carry `st` (and `ps`) since the 2026 integration; a simulator may turn it off.
    pub st_ps: bool,
    /// Speeds of `@depth` (diffs), the default first.
    pub diff_speeds: &'static [Speed],
    /// Speeds of `@depth<N>`, the default first.
    pub partial_speeds: &'static [Speed],
    /// Aggregated trades are sent in batches of this, 0 = at once.
    pub agg_every_ms: u32,
    /// Candles of a minute and more.
    pub kline_every_ms: u32,
    /// `@miniTicker` and `@ticker`.
    pub ticker_every_ms: u32,
    /// `!bookTicker`: 0 = every change, else one object per symbol and this interval; `u32::MAX` = no such stream.
    pub all_book_ticker_every_ms: u32,
    /// Whether `!ticker@arr` is alive.
    pub all_ticker: bool,
    /// Whether `!markPrice@arr` exists.
    pub all_mark: bool,
    /// Where streams flow.
    pub routes: &'static [Route],
    /// The venue's ping.
    pub ping_every_ms: u64,
    /// Without a pong for so long the venue closes.
    pub pong_within_ms: u64,
    /// Age at which the venue closes.
    pub age_max_ms: u64,
    /// Streams per connection.
    pub streams_max: usize,
    /// What one more brings.
    pub too_many_streams: TooManyStreams,
    /// Names in one SUBSCRIBE; more is a close with 3001. 0 = no limit.
    pub names_per_subscribe_max: usize,
    /// Messages per second from the client; more is a close with 1008.
    pub client_messages_per_s: u32,
    /// Whether pings and pongs of the client count too.
    pub control_frames_count: bool,
    /// Bytes of a URL; more is a 414.
    pub url_bytes_max: usize,
    /// New connections per five minutes, 0 = no limit known.
    pub connects_per_5min: u32,
    /// Error replies.
    pub errors: ErrorShape,
    /// Whether a name that is no stream name at all is refused (else it is acknowledged and silent).
    pub refuses_bad_names: bool,
    /// Prefixes of REST paths that answer, the current one first.
    pub rest_prefixes: &'static [&'static str],
    /// Request weight per minute.
    pub weight_per_minute: u32,
    /// Depth endpoint: `limit`.
    pub depth_limits: DepthLimits,
    /// Depth endpoint: default `limit`.
    pub depth_limit_default: u32,
    /// Depth endpoint: `(up to this limit, weight)`, ascending.
    pub depth_weights: &'static [(u32, u32)],
    /// Weight of the instrument list.
    pub instruments_weight: u32,
    /// Weight of `trades`.
    pub trades_weight: u32,
    /// Weight of `aggTrades`.
    pub agg_trades_weight: u32,
    /// Whether 429 and 418 carry `Retry-After`.
    pub retry_after: bool,
}
