//! How a venue speaks that does not speak as Binance does: pure functions from facts to bytes and from bytes to wishes,
//! filled in by the venue folders, for the simulator alone. The recorder never calls them.

/// How a symbol is named and printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// As in frames and lists.
    pub symbol: String,
    /// Base asset, as the list has it.
    pub base: String,
    /// Quote asset.
    pub quote: String,
    /// Decimals of sizes.
    pub size_dec: u8,
}

/// A symbol's facts.
#[derive(Clone, Copy, Debug)]
pub struct SymbolFact<'a> {
    /// As in frames and lists.
    pub symbol: &'a str,
    /// Base asset.
    pub base: &'a str,
    /// Quote asset.
    pub quote: &'a str,
    /// Decimals of prices.
    pub price_dec: u8,
    /// Decimals of sizes.
    pub size_dec: u8,
    /// Price of the last trade, mantissa.
    pub last: i64,
    /// Prices of the rolling day: open, high, low.
    pub day: [i64; 3],
    /// Volume and turnover of the day; the turnover has the decimals of price and size together.
    pub sums: (i128, i128),
    /// Mark and index price with two decimals more, funding rate in 1e-8.
    pub mark: (i64, i64, i64),
    /// Open interest, in sizes.
    pub interest: i64,
    /// Whether it is traded, not only listed.
    pub is_trading: bool,
}

/// A book, or changes of one. Levels are mantissas, bids best first.
#[derive(Clone, Copy, Debug)]
pub struct BookFact<'a> {
    /// Whose.
    pub of: SymbolFact<'a>,
    /// A whole view, not a change.
    pub whole: bool,
    /// First id, last id, last id of the message before; of one counter without holes.
    pub ids: (i64, i64, i64),
    /// Venue times of the first and the last change, ms.
    pub changed: (i64, i64),
    /// Time of the message, ms.
    pub now: i64,
    /// Bids.
    pub bids: &'a [(i64, i64)],
    /// Asks.
    pub asks: &'a [(i64, i64)],
}

/// A trade.
#[derive(Clone, Copy, Debug)]
pub struct TradeFact<'a> {
    /// Whose.
    pub of: SymbolFact<'a>,
    /// Its id.
    pub id: i64,
    /// Price and size, mantissas.
    pub deal: (i64, i64),
    /// Whether the taker sold.
    pub sold: bool,
    /// Its time, ms.
    pub now: i64,
}

/// A candle.
#[derive(Clone, Copy, Debug)]
pub struct CandleFact<'a> {
    /// Whose.
    pub of: SymbolFact<'a>,
    /// Interval, in the simulator's words (`1m`, `1h`).
    pub interval: &'a str,
    /// Open time, ms.
    pub opened: i64,
    /// Open, high, low, close, mantissas.
    pub prices: [i64; 4],
    /// Volume and turnover, as in [`SymbolFact::sums`].
    pub sums: (i128, i128),
    /// Time of the message, ms.
    pub now: i64,
}

/// What flows on a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed<'a> {
    /// Changes of the book at the dialect's first speed, and whole views where the venue sends them.
    Book,
    /// Trades.
    Trades,
    /// Candles of this interval, in the simulator's words.
    Candles(&'a str),
    /// Acknowledged and silent.
    Silent,
}

/// What a client's text asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something to answer with this text.
    Answer(String),
    /// The client's own ping, to be answered with this text.
    Ping(String),
    /// These topics shall begin.
    Subscribe(Vec<String>),
    /// These topics shall end.
    Unsubscribe(Vec<String>),
    /// Nothing to do.
    Nothing,
}

/// A REST request.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Path.
    pub path: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Parameters, decoded.
    pub query: &'a [(String, String)],
    /// A header by its lower-case name.
    pub header: &'a dyn Fn(&str) -> Option<String>,
}

impl Asked<'_> {
    /// A parameter.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|p| p.0 == key).map(|p| p.1.as_str())
    }
}

/// What a REST answer may look at.
pub trait Market {
    /// Venue time, ms.
    fn now(&self) -> i64;
    /// All symbols.
    fn symbols(&self) -> Vec<SymbolFact<'_>>;
    /// The best so many levels of a symbol; `None`: it is not traded.
    fn book(&self, symbol: &str, levels: usize, each: &mut dyn FnMut(&BookFact<'_>)) -> Option<i64>;
    /// The latest trades of a symbol, newest first.
    fn trades(&self, symbol: &str, most: usize, each: &mut dyn FnMut(&TradeFact<'_>));
    /// The latest candles of a symbol and interval, newest first: that one is still being made.
    fn candles(&self, symbol: &str, interval: &str, most: usize, each: &mut dyn FnMut(&CandleFact<'_>));
    /// Payments of funding of a symbol, newest first: time in ms, rate in 1e-8.
    fn funding(&self, symbol: &str) -> Vec<(i64, i64)>;
}

/// See the module.
pub trait Words: Sync + std::fmt::Debug {
    /// The name of an asset's contract; `size_dec` is that of its real one.
    fn listed(&self, asset: &str, size_dec: u8) -> Listed;

    /// What a topic is about: its symbol and feed. `None`: no topic at all.
    fn topic<'a>(&self, name: &'a str) -> Option<(&'a str, Feed<'a>)>;

    /// What a client says.
    fn hear(&self, text: &str) -> Heard;

    /// The answer to topics that were taken (or `refused`, if one of them is none).
    fn answer(&self, topics: &[String], refused: bool) -> Vec<String>;

    /// Whether whole views come on the topics of books: every so many ms, 0 = once after a subscription, `None` = never.
    fn whole_every_ms(&self) -> Option<u32> {
        None
    }

    /// Levels of the whole views of a topic.
    fn whole_levels(&self, topic: &str) -> usize {
        let _ = topic;
        0
    }

    /// The ids of a message as the venue prints them, out of those of a counter without holes: first, last, previous
    /// (−1 = not printed).
    fn ids(&self, b: &BookFact<'_>) -> (i64, i64, i64);

    /// The venue time that a book message prints, ms; `None` = it prints none.
    fn time(&self, b: &BookFact<'_>) -> Option<i64> {
        let _ = b;
        None
    }

    /// Whether JSON comes in binary frames. What is no JSON always does.
    fn is_binary(&self) -> bool {
        false
    }

    /// Prints a book message.
    fn book(&self, b: &BookFact<'_>, out: &mut Vec<u8>);

    /// Whether trades print an id that rises by one, so that a hole shows.
    fn trades_chain(&self) -> bool {
        false
    }

    /// Prints a trade.
    fn trade(&self, t: &TradeFact<'_>, out: &mut Vec<u8>);

    /// Prints a candle.
    fn candle(&self, c: &CandleFact<'_>, out: &mut Vec<u8>);

    /// A text that the venue sends by itself, and how often, ms.
    fn pings(&self) -> Option<(&'static str, u64)> {
        None
    }

    /// Without a ping of the client's for so long the connection is dropped, ms.
    fn ping_within_ms(&self) -> Option<u64> {
        None
    }

    /// Answers a request: status, body, id of the snapshot in it (−1 = none).
    fn rest(&self, asked: &Asked<'_>, market: &dyn Market) -> (u16, String, i64);

    /// The body of a refusal: 429, 418, 503.
    fn refusal(&self, status: u16, wait_s: i64) -> String;
}
