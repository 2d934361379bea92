//! What a venue's parser says: events, borrowed from its scratch space, and why a frame was rejected.
//!
//! Hot values (book, trades, best bid/ask) are mantissas under the instrument's exponents; the rest are [`Dec`].
//! All venue times are ns since the Unix epoch, 0 = not given; ids are `i64`, −1 = not given.

use super::ids::{InstrumentId, StreamId};
use super::instrument::InstrumentRef;
use super::link::StreamKind;
use super::num::{Dec, Mantissa};

/// One price level: absolute size, 0 removes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Level {
    /// Price mantissa.
    pub price: Mantissa,
    /// Size mantissa; 0 = the level is gone.
    pub size: Mantissa,
}

/// A subscribed stream as the fold knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Dense id.
    pub stream: StreamId,
    /// What kind of messages it carries.
    pub kind: StreamKind,
    /// Its instrument; `None` for all-market streams.
    pub instrument: Option<InstrumentRef>,
}

/// What the fold offers a parser. One object, so that a parser can resolve names, widen exponents and emit.
pub trait DecodeCtx {
    /// The stream of this name on the frame's connection.
    fn stream(&mut self, name: &str) -> Option<StreamInfo>;
    /// As [`DecodeCtx::stream`] for one that is known already, without a trace: a reader that may yet hand the frame
    /// on has said nothing by it. Bytes, because those that equal a known name need not be proven to be text.
    fn peek(&mut self, name: &[u8]) -> Option<StreamInfo>;
    /// The frame is of this stream, which was peeked at: with it, what [`DecodeCtx::stream`] does is done.
    fn enter(&mut self, stream: &StreamInfo);
    /// The frame's stream of this kind and symbol on its connection, for venues whose frames do not name their stream.
    fn stream_of(&mut self, kind: StreamKind, symbol: &str) -> Option<StreamInfo>;
    /// Receive time of what is being read, ns; 0 = not known. Only to tell times from ids.
    fn ts_recv(&self) -> i64 {
        0
    }
    /// Whether the frame came as a binary one.
    fn is_binary(&self) -> bool {
        false
    }
    /// Base per contract (quote on inverse ones) as listed; `Dec::NONE` where it is not known.
    fn contract_size(&self, id: InstrumentId) -> Dec {
        let _ = id;
        Dec::NONE
    }
    /// Whether a symbol is one of the frame's venue. True as well where nobody has said what all of its symbols are.
    fn is_listed(&self, symbol: &str) -> bool {
        let _ = symbol;
        true
    }
    /// The instrument of this symbol at the frame's venue; made known on first sight. `None`: the symbol is
    /// refused (too long, or the venue's symbol limit is reached).
    fn instrument(&mut self, symbol: &str) -> Option<InstrumentRef>;
    /// A value had more decimals than the exponents allow: widen to at least these (each at most 18).
    /// Returns what holds now. The caller parses the numbers again and has emitted nothing of them yet.
    fn widen(&mut self, id: InstrumentId, price_exp: u8, size_exp: u8) -> InstrumentRef;
    /// A value does not fit under the exponents (of price and size): narrow to `least`, or to what all that is held needs
    /// if that is not more than `most`, under which it fits; else nothing changes. Returns what holds now. The caller
    /// parses the numbers again and has emitted nothing of them yet.
    fn narrow(&mut self, id: InstrumentId, least: (u8, u8), most: (u8, u8)) -> InstrumentRef;
    /// Whether the times of the events that follow in this frame are such as the venue did not state, but an id holds.
    fn derives_time(&mut self, is_derived: bool) {
        let _ = is_derived;
    }
    /// Whether the times of the trades that follow in this frame are other than those that the venue's answers have of the same
    /// trades: derived, or in a coarser unit. Such trades are not found again in an answer.
    fn answers_differ_in_time(&mut self, they_do: bool) {
        let _ = they_do;
    }
    /// What a stream's ids, or fields that may be ids, are; another word than before is worth a line of the log.
    fn class(&mut self, stream: StreamId, class: &'static str) {
        let _ = (stream, class);
    }
    /// Says one event. May be called many times for one frame (all-market arrays).
    fn event(&mut self, event: Event<'_>);
}

/// One event of one frame.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A change of the book.
    Depth(Depth<'a>),
    /// A whole book by REST or in-band: the start of a proof.
    Snapshot(Depth<'a>),
    /// The venue's own top-N push: a whole replacement.
    Partial(Partial<'a>),
    /// A trade or an aggregate of trades.
    Trade(Trade<'a>),
    /// The venue's own best bid and ask.
    Bbo(Bbo),
    /// Mark and index price, funding.
    Mark(Mark),
    /// A liquidation order.
    Liquidation(Liquidation<'a>),
    /// Rolling window statistics.
    Ticker(Ticker),
    /// A candle.
    Kline(Kline<'a>),
    /// Open interest.
    OpenInterest(OpenInterest),
    /// A funding rate that was paid.
    Funding(FundingRate),
    /// The answer to a message that we sent.
    Reply(Reply<'a>),
    /// The venue says something about the connection.
    Notice(Notice),
    /// A message of a stream that has no table, or whose kind nobody knows: it stays in `raw`, counted by name.
    Other {
        /// The venue's name of the event, or the stream's name.
        name: &'a str,
        /// The stream, if it was named.
        stream: StreamId,
    },
}

/// A depth message: changed levels (diff) or all of them (snapshot), in the order sent.
#[derive(Clone, Copy, Debug)]
pub struct Depth<'a> {
    /// Whose book.
    pub instrument: InstrumentId,
    /// On which stream; [`StreamId::NONE`] for REST.
    pub stream: StreamId,
    /// Matching time.
    pub ts_event: i64,
    /// Time the message was made.
    pub ts_send: i64,
    /// First update id (`U`), −1 if none.
    pub first: i64,
    /// Last update id (`u`, `lastUpdateId`, `seqnum`).
    pub last: i64,
    /// Last update id of the previous event of the same stream (`pu`), −1 if none.
    pub prev: i64,
    /// Bid levels as sent.
    pub bids: &'a [Level],
    /// Ask levels as sent.
    pub asks: &'a [Level],
}

/// A top-N push; levels sorted best first.
pub type Partial<'a> = Depth<'a>;

/// Where a trade came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TradeType {
    /// From the order book.
    Market,
    /// A liquidation.
    Liquidation,
    /// Auto-deleveraging.
    Adl,
    /// The insurance fund.
    Insurance,
    /// A block trade.
    Block,
    /// The venue did not say, or said something new.
    Unknown,
}

impl TradeType {
    /// The word on disk.
    pub fn as_str(self) -> &'static str {
        match self {
            TradeType::Market => "market",
            TradeType::Liquidation => "liquidation",
            TradeType::Adl => "adl",
            TradeType::Insurance => "insurance",
            TradeType::Block => "block",
            TradeType::Unknown => "unknown",
        }
    }
}

/// One trade, or one aggregate.
#[derive(Clone, Copy, Debug)]
pub struct Trade<'a> {
    /// Whose trade.
    pub instrument: InstrumentId,
    /// On which stream.
    pub stream: StreamId,
    /// Matching time.
    pub ts_event: i64,
    /// Time the message was made.
    pub ts_send: i64,
    /// The id that rises by exactly one on this stream (trade id, or aggregate id), −1 if there is none:
    /// holes in it are gaps.
    pub chain_id: i64,
    /// Trade id; of an aggregate, its first trade's id.
    pub id: i64,
    /// Last trade id of an aggregate, −1 otherwise.
    pub id_last: i64,
    /// Opaque id text; of an aggregate, the aggregate id; "" if none.
    pub id_text: &'a str,
    /// Taker side: +1 bought, −1 sold, 0 unknown.
    pub side: i8,
    /// Price mantissa.
    pub price: Mantissa,
    /// Size mantissa, in the instrument's size unit.
    pub size: Mantissa,
    /// Origin.
    pub trade_type: TradeType,
    /// Whether this is an aggregate.
    pub is_aggregate: bool,
}

/// The venue's best bid and ask. A missing side has size 0.
#[derive(Clone, Copy, Debug)]
pub struct Bbo {
    /// Whose.
    pub instrument: InstrumentId,
    /// On which stream.
    pub stream: StreamId,
    /// Matching time.
    pub ts_event: i64,
    /// Time the message was made.
    pub ts_send: i64,
    /// Update id, −1 if none.
    pub last: i64,
    /// Best bid.
    pub bid: Level,
    /// Best ask.
    pub ask: Level,
}

/// Mark price, index price, funding.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Whose.
    pub instrument: InstrumentId,
    /// On which stream.
    pub stream: StreamId,
    /// Matching time.
    pub ts_event: i64,
    /// Time the message was made.
    pub ts_send: i64,
    /// Mark price.
    pub mark_px: Dec,
    /// Index price.
    pub index_px: Dec,
    /// Estimated settlement price.
    pub settle_px: Dec,
    /// Funding rate.
    pub funding_rate: Dec,
    /// Next funding time, 0 if none.
    pub ts_next_funding: i64,
}

/// A liquidation order.
#[derive(Clone, Copy, Debug)]
pub struct Liquidation<'a> {
    /// Whose.
    pub instrument: InstrumentId,
    /// On which stream.
    pub stream: StreamId,
    /// Matching time.
    pub ts_event: i64,
    /// Time the message was made.
    pub ts_send: i64,
    /// Side of the liquidation order: +1 buy, −1 sell.
    pub side: i8,
    /// The venue's word.
    pub order_type: &'a str,
    /// Time in force, the venue's word.
    pub tif: &'a str,
    /// Order price.
    pub price: Dec,
    /// Average fill price.
    pub avg_price: Dec,
    /// Order size.
    pub size: Dec,
    /// Size of the last fill.
    pub last_filled: Dec,
    /// Size filled so far.
    pub filled: Dec,
    /// The venue's word.
    pub status: &'a str,
}

/// Rolling window statistics; what the venue leaves out is missing.
#[derive(Clone, Copy, Debug)]
pub struct Ticker {
    /// Whose.
    pub instrument: InstrumentId,
    /// On which stream.
    pub stream: StreamId,
    /// Matching time.
    pub ts_event: i64,
    /// Time the message was made.
    pub ts_send: i64,
    /// Price at the window's start.
    pub open: Dec,
    /// Highest price.
    pub high: Dec,
    /// Lowest price.
    pub low: Dec,
    /// Last price.
    pub last: Dec,
    /// Size of the last trade.
    pub last_size: Dec,
    /// Volume, in the instrument's size unit.
    pub volume: Dec,
    /// Quote volume (base volume on inverse contracts).
    pub quote_volume: Dec,
    /// Trades in the window, −1 if not given.
    pub trade_count: i64,
    /// Start of the window.
    pub ts_open: i64,
    /// End of the window.
    pub ts_close: i64,
}

/// A candle.
#[derive(Clone, Copy, Debug)]
pub struct Kline<'a> {
    /// Whose.
    pub instrument: InstrumentId,
    /// On which stream.
    pub stream: StreamId,
    /// Matching time.
    pub ts_event: i64,
    /// Time the message was made.
    pub ts_send: i64,
    /// `1m`, `1h`, `1M`, …
    pub interval: &'a str,
    /// Open time.
    pub ts_open: i64,
    /// Close time.
    pub ts_close: i64,
    /// Open price.
    pub open: Dec,
    /// Highest price.
    pub high: Dec,
    /// Lowest price.
    pub low: Dec,
    /// Close (so far) price.
    pub close: Dec,
    /// Volume.
    pub volume: Dec,
    /// Quote volume.
    pub quote_volume: Dec,
    /// Volume bought by takers.
    pub taker_volume: Dec,
    /// Quote volume bought by takers.
    pub taker_quote_volume: Dec,
    /// Number of trades.
    pub trade_count: i64,
    /// First trade id.
    pub trade_id_first: i64,
    /// Last trade id.
    pub trade_id_last: i64,
    /// Whether the candle is final.
    pub is_closed: bool,
}

/// Open interest.
#[derive(Clone, Copy, Debug)]
pub struct OpenInterest {
    /// Whose.
    pub instrument: InstrumentId,
    /// On which stream.
    pub stream: StreamId,
    /// Matching time.
    pub ts_event: i64,
    /// Time the message was made.
    pub ts_send: i64,
    /// In the instrument's size unit.
    pub open_interest: Dec,
}

/// A funding rate that was paid.
#[derive(Clone, Copy, Debug)]
pub struct FundingRate {
    /// Whose.
    pub instrument: InstrumentId,
    /// On which stream.
    pub stream: StreamId,
    /// Matching time.
    pub ts_event: i64,
    /// Time the message was made.
    pub ts_send: i64,
    /// The rate.
    pub funding_rate: Dec,
    /// When it was paid.
    pub ts_funding: i64,
}

/// An answer to a message of ours.
#[derive(Clone, Copy, Debug)]
pub struct Reply<'a> {
    /// The id we sent, −1 if not echoed.
    pub id: i64,
    /// Whether the request was refused.
    pub is_error: bool,
    /// The venue's code, 0 if none.
    pub code: i64,
    /// The venue's text, "" if none.
    pub text: &'a str,
    /// The stream that it is about, [`StreamId::NONE`] if it names none.
    pub stream: StreamId,
    /// The instrument whose snapshot was refused, [`InstrumentId::NONE`] if it is about none.
    pub snapshot_of: InstrumentId,
}

impl Reply<'_> {
    /// An answer of which nothing is known but that it came.
    pub const NONE: Reply<'static> = Reply {
        id: -1,
        is_error: false,
        code: 0,
        text: "",
        stream: StreamId::NONE,
        snapshot_of: InstrumentId::NONE,
    };
}

/// Something about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The server will close soon: open the replacement now.
    Shutdown,
    /// The venue pinged by a message: [`super::link::Heartbeat::pong`] is due.
    Ping,
    /// The venue answered a ping of ours by a message, or greeted: the connection lives.
    Alive,
    /// A market opened, changed or closed: the instrument list is another one now.
    Listing,
}

/// Why a frame or body was refused. It stays in `raw` and gets a row in `rejects`; the stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", cause.as_str())]
pub struct Reject {
    /// What kind of fault.
    pub cause: RejectCause,
    /// Which part of the message; no allocation on the hot path, so a fixed text.
    pub detail: &'static str,
}

impl Reject {
    /// A rejection.
    #[cold]
    pub fn new(cause: RejectCause, detail: &'static str) -> Reject {
        Reject { cause, detail }
    }
}

/// Kinds of rejection; the word of [`RejectCause::as_str`] stands in `rejects.cause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectCause {
    /// Not JSON (cut, garbage, wrong UTF-8).
    Malformed,
    /// Nested too deeply, too long, too many levels.
    Limit,
    /// JSON, but a key is missing or of the wrong type.
    Shape,
    /// A number that is no plain decimal, or does not fit.
    Number,
    /// A stream that was never subscribed.
    UnknownStream,
    /// A symbol that is refused.
    UnknownSymbol,
    /// An HTTP error body.
    Status,
    /// The venue's code panicked on it: a fault of ours.
    Panic,
    /// A recording's frame that its venue does not speak so: of another venue.
    Dialect,
}

impl RejectCause {
    /// The word on disk.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectCause::Malformed => "malformed",
            RejectCause::Limit => "limit",
            RejectCause::Shape => "shape",
            RejectCause::Number => "number",
            RejectCause::UnknownStream => "unknown_stream",
            RejectCause::UnknownSymbol => "unknown_symbol",
            RejectCause::Status => "status",
            RejectCause::Panic => "panic",
            RejectCause::Dialect => "dialect",
        }
    }
}
