//! How a venue speaks, as data: what a simulator must know to answer as the venue would.
//!
//! The recorder does not read this; it follows its own link plan. Keeping both sides apart is the point: a wrong number
//! here shows up as a recorder that is refused, not as two errors that agree.

use super::words::Words;

/// How lively a market is, after recordings of such ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tempo {
    /// Linear futures.
    Futures,
    /// Spot.
    Spot,
    /// Inverse futures.
    Inverse,
}

/// Where messages name the pair beside the symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairKey {
    /// Nowhere.
    None,
    /// At the end, where `st` is.
    AtTheEnd,
    /// Behind the symbol.
    BehindSymbol,
}

/// How a best bid and ask begins, and where its times stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopKeys {
    /// `u`, no event and no times.
    Bare,
    /// `e`, `u`, times at the end.
    EventFirst,
    /// `u`, `e`, times at the end.
    IdFirst,
    /// `e`, `u`, times before the symbol.
    TimesFirst,
}

/// Decimals that are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decimals {
    /// Those of tick and step.
    AsSteps,
    /// Those of tick and step, of prices two at least.
    AtLeastTwo,
    /// Eight, whatever the steps are.
    Eight,
    /// Sizes are contracts worth a sum of the quote currency.
    Contracts,
    /// Prices are probabilities.
    Probabilities,
}

/// A symbol's base asset, quote asset, and pair.
pub type Parts<'a> = (&'a str, &'a str, &'a str);

/// What speakers of the envelope's grammar print each in its own way.
#[derive(Debug)]
pub struct Prints {
    /// Depth messages and snapshots say the time of the last change, and whole books are messages as diffs are.
    pub matched: bool,
    /// The pair.
    pub pair: PairKey,
    /// `st`, where it is printed.
    pub code: i64,
    /// Best bid and ask.
    pub top: TopKeys,
    /// Single trades have an `M`, and so have aggregates by REST.
    pub flag_m: bool,
    /// Aggregates have their id before the symbol.
    pub agg_id_first: bool,
    /// Aggregates have their size twice.
    pub agg_size_twice: bool,
    /// Mark prices have the index price before the settlement price.
    pub index_first: bool,
    /// Days have the best bid and ask.
    pub day_has_top: bool,
    /// The list's key of what becomes of an instrument.
    pub status_key: &'static str,
    /// Its word for one that is listed and not traded.
    pub halted: &'static str,
    /// What closes the filters of an instrument, from the quote of the last number on.
    pub filters: &'static str,
    /// Weight per minute that the list states, where that is not the one that holds.
    pub listed_weight: Option<u32>,
    /// Contracts of the quote currency: volumes in the base asset, which is also the margin.
    pub inverse: bool,
    /// Polls answer with a list even for one symbol.
    pub lists_of_one: bool,
    /// Sizes of trades by REST are turnovers.
    pub fills_in_quote: bool,
    /// Candles by REST have eleven cells.
    pub short_candles: bool,
    /// Code and text at a depth limit that is none.
    pub bad_limit: (i32, &'static str),
    /// Requests may have any id, or none.
    pub any_request_id: bool,
    /// Candles of a second.
    pub seconds: bool,
    /// Fills of other kinds: of the insurance fund, of nothing.
    pub odd_trades: bool,
    /// Decimals.
    pub decimals: Decimals,
    /// The symbol of an asset.
    pub symbol: fn(&str) -> String,
    /// The parts of a symbol, where they are not what they look like.
    pub parts: for<'a> fn(&'a str) -> Option<Parts<'a>>,
    /// Weights of polls: `(name, of one symbol, of all)`; 1 where nothing is said.
    pub weights: &'static [(&'static str, u32, u32)],
    /// Answers that are counted apart, by address: `(their names, requests at most, in so many seconds)`.
    pub pools: &'static [(&'static [&'static str], u32, u32)],
}

impl Prints {
    /// What most have.
    pub const BASE: Prints = Prints {
        matched: true,
        pair: PairKey::None,
        code: 1,
        top: TopKeys::Bare,
        flag_m: false,
        agg_id_first: false,
        agg_size_twice: false,
        index_first: false,
        day_has_top: false,
        status_key: "status",
        halted: "BREAK",
        filters: "\"}]}",
        listed_weight: None,
        inverse: false,
        lists_of_one: false,
        fills_in_quote: false,
        short_candles: false,
        bad_limit: (-4021, "Invalid depth limit."),
        any_request_id: false,
        seconds: false,
        odd_trades: false,
        decimals: Decimals::AsSteps,
        symbol: usdt,
        parts: as_they_look,
        weights: &[],
        pools: &[],
    };
}

fn usdt(asset: &str) -> String {
    format!("{asset}USDT")
}

fn as_they_look(_: &str) -> Option<Parts<'_>> {
    None
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
    /// Candles of contracts by pair: `<pair>_perpetual@continuousKline_1m`.
    ContinuousCandles,
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
            is_futures: true,
            tempo: Tempo::Futures,
            words: Some(words),
            prints: &Prints::BASE,
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
            bans_sockets: false,
            not_served: &[],
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
    /// Whether futures are traded: mark prices, liquidations.
    pub is_futures: bool,
    /// How lively the market is.
    pub tempo: Tempo,
    /// What it prints in its own way, if it has no words of its own.
    pub prints: &'static Prints,
    /// What it has beside the streams of all venues of its grammar.
    pub extras: &'static [Extra],
    /// The words of a venue that speaks another grammar than that of SUBSCRIBE and envelopes.
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
    /// Where streams flow. With words of its own: the paths that are served, "" = all.
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
    /// Whether an address that REST turns away is not let in by socket either.
    pub bans_sockets: bool,
    /// REST paths that are documented and answered with 404 all the same.
    pub not_served: &'static [&'static str],
}
