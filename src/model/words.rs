//! How a venue speaks that has a grammar of its own: pure functions from facts to bytes and from bytes to wishes,
//! filled in by the venue folders, for the simulator alone. The recorder never calls them.

use std::borrow::Cow;

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
    /// What the list shall say of it while it is not, "" = the venue's own word.
    pub status: &'a str,
}

/// A book, or changes of one. Levels are mantissas, bids best first.
#[derive(Clone, Copy, Debug)]
pub struct BookFact<'a> {
    /// Whose.
    pub of: SymbolFact<'a>,
    /// A whole view, not a change.
    pub whole: bool,
    /// Place of its speed in the dialect.
    pub speed: usize,
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

/// Best bid and ask.
#[derive(Clone, Copy, Debug)]
pub struct TopFact<'a> {
    /// Whose.
    pub of: SymbolFact<'a>,
    /// Bid and ask as price and size, mantissas.
    pub top: [(i64, i64); 2],
    /// Time of the message, ms.
    pub now: i64,
}

/// A mark price.
#[derive(Clone, Copy, Debug)]
pub struct MarkFact<'a> {
    /// Whose; mark, index, rate and open interest are known.
    pub of: SymbolFact<'a>,
    /// Time of the next funding, ms.
    pub next: i64,
    /// Time of the message, ms.
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
    /// Changes of the book at this of the dialect's speeds, and whole views where the venue sends them (at the first).
    Book(u8),
    /// Whole views of the book alone, where changes have a topic of their own ([`Words::whole_apart`]).
    Whole,
    /// Trades.
    Trades,
    /// What one order took at one price, as one trade.
    Sums,
    /// Best bid and ask.
    Top,
    /// Candles of this interval, in the simulator's words.
    Candles(&'a str),
    /// A price to which others refer, each second.
    Reference,
    /// Mark prices of all symbols: about no symbol.
    Marks,
    /// Acknowledged and silent.
    Silent,
}

/// Topics that shall begin or end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Their names.
    pub topics: Vec<String>,
    /// The number of the request, where it has one.
    pub id: Option<String>,
    /// They shall end.
    pub ends: bool,
}

impl Wish {
    /// That these topics begin, or end.
    pub fn of(topics: Vec<String>, ends: bool) -> Wish {
        Wish { topics, id: None, ends }
    }
}

/// A book that is asked for on the connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookWish {
    /// Whose.
    pub symbol: String,
    /// Whose ids it shall have: place of the speed in the dialect.
    pub speed: usize,
    /// Levels a side.
    pub levels: usize,
    /// What was asked for, in the venue's words.
    pub action: String,
    /// The number of the request, where it has one.
    pub id: Option<String>,
    /// The topic of whose diffs it is the snapshot, if it is one.
    pub topic: Option<String>,
}

/// Why a book that was asked for does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBook {
    /// There is no such symbol.
    Unknown,
    /// Later, perhaps.
    NotNow,
}

/// What a client's text asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something to answer with this text, at once.
    Answer(String),
    /// The client's own ping, to be answered with this text; the venue's own wait for so many ms.
    Ping(String, i64),
    /// The answer to the venue's ping.
    Pong,
    /// Topics shall begin or end.
    Wish(Wish),
    /// A book.
    Book(BookWish),
    /// Something that [`Words::look`] answers.
    Look,
    /// Nothing to do.
    Nothing,
}

/// How many messages of a client are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Wishes in a minute.
    pub wishes: usize,
    /// Books and the like in a minute.
    pub books: usize,
    /// One more, and the kind is ignored for so long, ms.
    pub ignored_ms: i64,
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
    /// Until when new connections of whoever asks are turned away, ms; `None`: they are not.
    fn banned_until(&self) -> Option<i64>;
    /// All symbols.
    fn symbols(&self) -> Vec<SymbolFact<'_>>;
    /// The best so many levels of a symbol; `None`: it is not traded.
    fn book(&self, symbol: &str, levels: usize, each: &mut dyn FnMut(&BookFact<'_>)) -> Option<i64>;
    /// The latest trades of a symbol, newest first.
    fn trades(&self, symbol: &str, most: usize, each: &mut dyn FnMut(&TradeFact<'_>));
    /// The latest sums of trades of a symbol ([`Feed::Sums`]), newest first; their id is that of their last trade.
    fn sums(&self, symbol: &str, most: usize, each: &mut dyn FnMut(&TradeFact<'_>));
    /// The latest candles of a symbol and interval, newest first: that one is still being made.
    fn candles(&self, symbol: &str, interval: &str, most: usize, each: &mut dyn FnMut(&CandleFact<'_>));
    /// Payments of funding of a symbol, newest first: time in ms, rate in 1e-8.
    fn funding(&self, symbol: &str) -> Vec<(i64, i64)>;
}

/// See the module.
pub trait Words: Sync + std::fmt::Debug {
    /// The name of an asset's contract; `size_dec` is that of its real one.
    fn listed(&self, asset: &str, size_dec: u8) -> Listed;

    /// What a topic is about: its symbol ("" = the whole market) and feed. `None`: no topic at all.
    fn topic<'a>(&self, name: &'a str) -> Option<(Cow<'a, str>, Feed<'a>)>;

    /// What is said when a connection opens.
    fn greeting(&self) -> Option<&'static str> {
        None
    }

    /// What a client says, at a venue time in ms.
    fn hear(&self, text: &str, now: i64) -> Heard;

    /// The answers to a wish, in their order; `taken` has a word for each topic (one topic that is none refuses all, if
    /// not [`Words::judges_each`]).
    fn answer(&self, wish: &Wish, taken: &[bool]) -> Vec<String>;

    /// Whether each topic of a wish is taken or refused by itself; then one of a symbol that is not listed is refused,
    /// else it is taken and silent.
    fn judges_each(&self) -> bool {
        false
    }

    /// Answers to wishes, and books, come so much later, ms.
    fn delays(&self) -> (i64, i64) {
        (0, 0)
    }

    /// How many messages are heard; `None`: all.
    fn quotas(&self) -> Option<Quotas> {
        None
    }

    /// Prints a book that was asked for on the connection.
    fn book_wished(&self, wish: &BookWish, b: &BookFact<'_>) -> String {
        let _ = (wish, b);
        String::new()
    }

    /// Says that it does not come.
    fn no_book(&self, wish: &BookWish, why: NoBook) -> String {
        let _ = (wish, why);
        String::new()
    }

    /// Answers a text that was [`Heard::Look`].
    fn look(&self, text: &str, market: &dyn Market) -> String {
        let _ = (text, market);
        String::new()
    }

    /// Whether whole views come on the topics of books: every so many ms, 0 = once after a subscription, `None` = never.
    fn whole_every_ms(&self) -> Option<u32> {
        None
    }

    /// Whether whole views have a topic of their own: those of [`Feed::Book`] then bring changes alone.
    fn whole_apart(&self) -> bool {
        false
    }

    /// The answer to topics that are refused with a code of the venue's table; `None`: it has no such answer.
    fn refused_with(&self, code: u32) -> Option<String> {
        let _ = code;
        None
    }

    /// The answer to one topic of a message that is refused with a code of the venue's table, where it judges each
    /// ([`Words::judges_each`]); `None`: it has no such answer.
    fn refuses(&self, wish: &Wish, topic: &str, code: u32) -> Option<String> {
        let _ = (wish, topic, code);
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

    /// The id that a trade prints.
    fn trade_id(&self, t: &TradeFact<'_>) -> i64 {
        t.id
    }

    /// Prints a trade, or a sum of trades.
    fn trade(&self, t: &TradeFact<'_>, out: &mut Vec<u8>);

    /// Prints a candle.
    fn candle(&self, c: &CandleFact<'_>, out: &mut Vec<u8>);

    /// Whether the volume of a candle is in the unit of sizes, as far as one knows.
    fn volume_as_sizes(&self) -> bool {
        false
    }

    /// Prints a best bid and ask.
    fn top(&self, t: &TopFact<'_>, out: &mut Vec<u8>) {
        let _ = (t, out);
    }

    /// Prints a price to which others refer: that of the last trade.
    fn reference(&self, of: &SymbolFact<'_>, now: i64, out: &mut Vec<u8>) {
        let _ = (of, now, out);
    }

    /// Prints a mark price.
    fn mark(&self, m: &MarkFact<'_>, out: &mut Vec<u8>) {
        let _ = (m, out);
    }

    /// Prints the message around mark prices that are a JSON array already.
    fn marks(&self, array: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(array);
    }

    /// The venue's ping, where that is a message that wants an answer; when, the dialect says.
    fn asks(&self) -> Option<&'static str> {
        None
    }

    /// After so many of them without an answer the connection is closed; `None`: after the time that the dialect says.
    fn unanswered_max(&self) -> Option<u64> {
        None
    }

    /// What is said to a client that does not answer it.
    fn farewell(&self) -> Option<&'static str> {
        None
    }

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

    /// The body of a refusal: 401 (the key), 403, 418, 429, 439, 503.
    fn refusal(&self, status: u16, wait_s: i64) -> String;

    /// A refusal on the socket that names no topic.
    fn reproach(&self) -> String {
        self.answer(&Wish::default(), &[false]).concat()
    }
}
