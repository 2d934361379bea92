//! How a venue is reached and how its ids prove a book: plain data, filled in by the venue folders.

use serde::{Deserialize, Serialize};

/// What kind of messages a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StreamKind {
    /// Changes of the book; chained by [`SequenceRule`].
    DepthDiff,
    /// The venue's top-N pushes.
    DepthPartial,
    /// Single trades; ids rise by one.
    Trade,
    /// Aggregated trades; aggregate ids rise by one.
    AggTrade,
    /// Best bid and ask.
    BookTicker,
    /// Mark price.
    Mark,
    /// Candles.
    Kline,
    /// Rolling statistics, short form.
    MiniTicker,
    /// Rolling statistics.
    Ticker,
    /// Liquidations.
    Liquidation,
    /// Open interest.
    OpenInterest,
    /// Funding payments.
    Funding,
    /// No table: kept in `raw`, counted by name.
    RawOnly,
    /// Single trades whose ids rise but not by one, or that have none: a hole cannot be proven.
    TradeSparse,
}

impl StreamKind {
    /// The table that rows of this kind go to; `None`: they stay in `raw`. (Diffs feed `book_top` and, where nothing
    /// better is subscribed to, `bbo` as well.)
    pub fn table(self) -> Option<&'static str> {
        Some(match self {
            StreamKind::DepthDiff => "book_delta",
            StreamKind::DepthPartial => "book_partial",
            StreamKind::Trade | StreamKind::TradeSparse | StreamKind::AggTrade => "trades",
            StreamKind::BookTicker => "bbo",
            StreamKind::Mark => "mark",
            StreamKind::Kline => "klines",
            StreamKind::MiniTicker | StreamKind::Ticker => "tickers",
            StreamKind::Liquidation => "liquidations",
            StreamKind::OpenInterest => "open_interest",
            StreamKind::Funding => "funding",
            StreamKind::RawOnly => return None,
        })
    }

    /// Whether a hole in the stream's ids can be proven.
    pub fn is_chained(self) -> bool {
        matches!(self, StreamKind::DepthDiff | StreamKind::Trade | StreamKind::AggTrade)
    }
}

/// One stream to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSpec {
    /// The venue's full name (`btcusdt@depth@100ms`).
    pub name: String,
    /// The part without the symbol, as in the configuration (`depth@100ms`).
    pub channel: String,
    /// The symbol as the venue's instrument list writes it; `None` for all-market streams.
    pub symbol: Option<String>,
    /// What it carries.
    pub kind: StreamKind,
}

/// How consecutive diffs chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chain {
    /// `pu == last_u` (Binance futures, Aster). A missing `pu` is a gap.
    Prev,
    /// `U == last_u + 1` (Binance spot).
    Next,
    /// `pu` where it is present, else `U == last_u + 1` (Aster spot).
    PrevElseNext,
}

/// The proof rules of one dialect, as data (`protocols`, chapter "Local order book").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceRule {
    /// How diffs chain.
    pub chain: Chain,
    /// Whether a diff with `u == L` is dropped at the snapshot (spot) or applied (futures).
    pub drop_equal: bool,
    /// LIVE: `U <= last < u` is applied and counted, `u <= last` ignored and counted (Binance spot).
    pub overlap_ok: bool,
    /// LIVE: more than this many consecutive ignored diffs are a gap (an id reset).
    pub stale_run_max: u32,
    /// Whether the ids of two connections of one stream agree, so that a chain may go on by proof.
    pub ids_survive_reconnect: bool,
    /// Crossed updates in a row that are borne; one more is a resync.
    pub crossed_max: u32,
    /// A snapshot is itself the proof, without a diff that bridges it: it comes on the diffs' own connection and states
    /// the chain's id, and the diff after it must follow.
    pub snapshot_proves: bool,
    /// LIVE: a diff at or below the book's id whose venue time is newer than the book's by more than this is no late
    /// one but the first of a new count: a gap. 0 = ids alone decide.
    pub restart_after_ns: i64,
    /// What the ids of diffs can prove.
    pub policy: IdPolicy,
    /// A snapshot that comes on the diffs' own connection takes a proven book's place, unless it is older.
    pub replaces: bool,
}

/// What the ids of diffs can prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdPolicy {
    /// A diff that leaves ids out is a loss.
    Strict,
    /// Ids have holes by construction: a loss cannot be seen, and diffs behind a hole are `UNVERIFIED_SEQ`.
    Sparse,
    /// Not known yet: the book is what snapshots say until enough diffs have shown which of the other two it is.
    Learn,
}

impl SequenceRule {
    /// Binance USD-M, COIN-M and Aster futures.
    pub const FUTURES: SequenceRule = SequenceRule {
        chain: Chain::Prev,
        drop_equal: false,
        overlap_ok: false,
        stale_run_max: 0,
        ids_survive_reconnect: true,
        crossed_max: 2,
        snapshot_proves: false,
        restart_after_ns: 0,
        policy: IdPolicy::Strict,
        replaces: false,
    };
    /// Binance spot.
    pub const DENSE: SequenceRule = SequenceRule {
        chain: Chain::Next,
        drop_equal: true,
        overlap_ok: true,
        stale_run_max: 10,
        ids_survive_reconnect: true,
        crossed_max: 2,
        snapshot_proves: false,
        restart_after_ns: 0,
        policy: IdPolicy::Strict,
        replaces: false,
    };
    /// AscendEX: `seqnum` rises by one per frame. A snapshot states the id up to which it holds, on the diffs' own
    /// connection; a diff at or below the book's id is dropped, five of them in a row, or one that is 5 s newer, are a
    /// count that began anew; and a crossed book is a broken one.
    pub const PER_FRAME: SequenceRule = SequenceRule {
        chain: Chain::Next,
        drop_equal: true,
        overlap_ok: true,
        stale_run_max: 4,
        ids_survive_reconnect: false,
        crossed_max: 0,
        snapshot_proves: true,
        restart_after_ns: 5_000_000_000,
        policy: IdPolicy::Strict,
        replaces: false,
    };
    /// Aster spot.
    pub const POINTED_OR_DENSE: SequenceRule = SequenceRule {
        chain: Chain::PrevElseNext,
        drop_equal: true,
        overlap_ok: false,
        stale_run_max: 0,
        ids_survive_reconnect: true,
        crossed_max: 2,
        snapshot_proves: false,
        restart_after_ns: 0,
        policy: IdPolicy::Strict,
        replaces: false,
    };
    /// Pumpkin, of which no frame was ever seen: ids that may chain, have holes or touch; whole views and changes.
    pub const LEARNED: SequenceRule = SequenceRule {
        chain: Chain::PrevElseNext,
        drop_equal: true,
        overlap_ok: true,
        stale_run_max: u32::MAX,
        ids_survive_reconnect: false,
        crossed_max: 0,
        snapshot_proves: true,
        restart_after_ns: 0,
        policy: IdPolicy::Learn,
        replaces: true,
    };
}

/// Where a book's snapshot comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotSource {
    /// A REST request ([`RestKind::Depth`]).
    Rest,
    /// A message sent on the stream's own connection.
    InBand,
}

/// What a REST request is for; recognised from its URL so that a recorded body explains itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestKind {
    /// Snapshot of the book of this symbol.
    Depth {
        /// As in the instrument list.
        symbol: String,
    },
    /// The instrument list.
    Instruments,
    /// The venue's clock.
    Time,
    /// The answer to a [`Poll`]: rows.
    Polled,
    /// Trades of this symbol: those that a gap has lost are rows.
    Trades {
        /// As in the instrument list.
        symbol: String,
    },
    /// Anything else; stays in `raw`.
    Other,
}

/// One REST request, without the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestRequest {
    /// Path and query, percent-encoded.
    pub path: String,
    /// Cost in the venue's own unit.
    pub weight: u32,
}

/// Something that is asked for by REST again and again, because the venue has no stream for it or because its page lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// Its name in the configuration, without its argument.
    pub channel: &'static str,
    /// What may follow the name; one empty text where nothing does.
    pub args: &'static [&'static str],
    /// Path and query, with `{}` where the argument stands; where it is about a symbol, that stands at `{symbol}`, or follows.
    pub path: &'static str,
    /// What its rows are.
    pub kind: StreamKind,
    /// Asked for each symbol apart.
    pub per_symbol: bool,
    /// How often, seconds; less often where the budget does not allow it.
    pub every_s: u32,
    /// Cost in the venue's own unit.
    pub weight: u32,
    /// An allowance of its own, beside the weight; polls of the same one share it.
    pub pool: Option<&'static RestPool>,
}

/// An allowance that a venue gives some of its answers apart, by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestPool {
    /// What it is for, in the venue's words; no two pools of a venue have the same.
    pub name: &'static str,
    /// Requests in the window at most.
    pub limit: u32,
    /// The window, seconds.
    pub window_s: u32,
}

impl Poll {
    /// One request that brings what there is of all symbols, once a minute, for 1 of weight.
    pub const fn market(channel: &'static str, path: &'static str, kind: StreamKind) -> Poll {
        Poll { channel, args: &[""], path, kind, per_symbol: false, every_s: 60, weight: 1, pool: None }
    }

    /// The same for each symbol apart.
    pub const fn symbol(channel: &'static str, path: &'static str, kind: StreamKind) -> Poll {
        Poll { per_symbol: true, ..Poll::market(channel, path, kind) }
    }

    /// The same at another pace.
    pub const fn every(self, every_s: u32) -> Poll {
        Poll { every_s, ..self }
    }

    /// The same at another price.
    pub const fn weight(self, weight: u32) -> Poll {
        Poll { weight, ..self }
    }

    /// The same with an allowance of its own, where the venue has one.
    pub const fn pool(self, pool: Option<&'static RestPool>) -> Poll {
        Poll { pool, ..self }
    }

    /// The same with arguments.
    pub const fn args(self, args: &'static [&'static str]) -> Poll {
        Poll { args, ..self }
    }

    /// The argument in a name of the configuration; `None`: it is not a name of this poll.
    pub fn arg_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(self.channel).filter(|arg| self.args.contains(arg))
    }

    /// Its grammar, for people: `klines_<1m…1M>`.
    pub fn grammar(&self) -> String {
        match self.args {
            [first, .., last] => format!("{}<{first}…{last}>", self.channel),
            _ => self.channel.to_owned(),
        }
    }
}

/// A request for trades that a stream has missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TradesRequest {
    /// Path and query, percent-encoded.
    pub path: String,
    /// Cost in the venue's own unit.
    pub weight: u32,
    /// Trades in one answer at most.
    pub most: usize,
    /// The answer begins with the id that was asked for; if not, it holds the latest trades.
    pub by_id: bool,
}

/// What a body says of its request, for venues whose status line does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestRefusal {
    /// The status that it comes to: 429 and 418 end all requests for a while.
    pub status: u16,
    /// For how long, seconds, if it says so.
    pub retry_after_s: Option<u32>,
    /// The venue's own code.
    pub code: i64,
    /// What that means, for people.
    pub why: &'static str,
}

/// Hosts to use instead of the venue's own. Plain `http`/`ws` only to loopback.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Hosts {
    /// Base of REST URLs, no trailing slash.
    pub rest: Option<String>,
    /// Base of WebSocket URLs, no trailing slash; the venue's paths follow it.
    pub ws: Option<String>,
    /// What the configuration says of the venue instead of what the venue's folder does.
    pub tuning: Tuning,
}

/// What a configuration may say where a venue's documents say nothing, or a host behaves otherwise: `None` and empty = the
/// venue's own figure.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Tuning {
    /// Streams of one connection at most, from 1.
    pub streams_per_conn: Option<usize>,
    /// Topics of one subscribing message at most, from 1.
    pub topics_per_message: Option<usize>,
    /// Seconds between two pings of ours by text, from 1.
    pub ping_every_s: Option<u32>,
    /// Seconds without any frame after which a connection is given up, from 1.
    pub dead_after_s: Option<u32>,
    /// Request weight per minute that the venue bears, from 1.
    pub weight_per_minute: Option<u32>,
    /// REST requests a second at most, evenly spaced; 0 = no such limit.
    pub rest_per_s: Option<u32>,
    /// Name of a topic of books on the wire, with `{symbol}` and `{levels}` in it.
    pub book_topic: Option<String>,
    /// Name of a topic of changes of books, with `{symbol}` in it.
    pub book_update_topic: Option<String>,
    /// Prefixes of WebSocket paths, in the venue's order; an empty list: none of them, one address for all.
    pub routes: Option<Vec<String>>,
    /// How a ping that comes as a message is answered, in a word of [`crate::venue::Venue::ping_replies`].
    pub ping_reply: Option<String>,
    /// How REST requests are signed, in a word of [`crate::venue::Venue::rest_auths`].
    pub rest_auth: Option<String>,
}

impl Tuning {
    /// What is another in `new`, by the names of the configuration.
    pub fn differences(&self, new: &Tuning) -> Vec<&'static str> {
        [
            ("max_topics_per_conn", self.streams_per_conn == new.streams_per_conn),
            ("max_topics_per_frame", self.topics_per_message == new.topics_per_message),
            ("ping_interval", self.ping_every_s == new.ping_every_s),
            ("pong_timeout", self.dead_after_s == new.dead_after_s),
            ("rest_budget_per_min", self.weight_per_minute == new.weight_per_minute),
            ("rest_max_per_s", self.rest_per_s == new.rest_per_s),
            ("book_topic_template", self.book_topic == new.book_topic),
            ("book_update_topic_template", self.book_update_topic == new.book_update_topic),
            ("ws_routes", self.routes == new.routes),
            ("server_ping_reply", self.ping_reply == new.ping_reply),
            ("rest_auth", self.rest_auth == new.rest_auth),
        ]
        .into_iter()
        .filter_map(|(key, is_same)| (!is_same).then_some(key))
        .collect()
    }
}

/// One connection to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnPlan {
    /// Full `wss://` (or loopback `ws://`) URL with the streams that it carries.
    pub url: String,
    /// The streams, in the URL's order.
    pub streams: Vec<StreamSpec>,
    /// Text messages to send after the handshake (empty where the URL subscribes).
    pub subscribe: Vec<String>,
}

/// Who shows that a connection lives, and how, beside WebSocket's own pings (which are always answered).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// A text that we send this often, seconds; `None`: nothing but probes of a silent connection.
    pub ping: Option<(&'static str, u32)>,
    /// Our answer to a ping that came as a message ([`crate::model::Notice::Ping`]); `None`: there is none.
    pub pong: Option<&'static str>,
}

impl Heartbeat {
    /// WebSocket's own pings and pongs are all there is.
    pub const CONTROL_FRAMES: Heartbeat = Heartbeat { ping: None, pong: None };
}

/// Why a configuration cannot be turned into connections.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No such channel here.
    #[error("{venue}: unknown channel {channel:?}; known: {known}")]
    UnknownChannel {
        /// Venue slug.
        venue: &'static str,
        /// What was asked for.
        channel: String,
        /// The known ones, comma-separated.
        known: String,
    },
    /// A symbol that cannot be a symbol.
    #[error("{venue}: symbol {symbol:?} is refused: {why}")]
    BadSymbol {
        /// Venue slug.
        venue: &'static str,
        /// What was asked for.
        symbol: String,
        /// The reason.
        why: &'static str,
    },
    /// A symbol that other channels of the venue take, and this one does not.
    #[error("{venue}: {channel:?} does not take {symbol}: {why}")]
    NotOfChannel {
        /// Venue slug.
        venue: &'static str,
        /// The channel.
        channel: String,
        /// What was asked for.
        symbol: String,
        /// The reason.
        why: &'static str,
    },
    /// Two diff streams of one instrument have two chains and would make two books.
    #[error("{venue}: {symbol}: {a:?} and {b:?} are two chains of one book; keep one of them")]
    TwoChains {
        /// Venue slug.
        venue: &'static str,
        /// The symbol.
        symbol: String,
        /// First channel.
        a: String,
        /// Second channel.
        b: String,
    },
}

/// Everything about a venue that is a number or a name.
#[derive(Debug)]
pub struct VenueSpec {
    /// Slug, as in the configuration and on disk (`aster-futures`).
    pub id: &'static str,
    /// For people.
    pub title: &'static str,
    /// What a symbol of it looks like.
    pub symbol_example: &'static str,
    /// REST base, no trailing slash.
    pub rest: &'static str,
    /// WebSocket base, no trailing slash.
    pub ws: &'static str,
    /// Streams per connection that we use (the venue's limit or below).
    pub streams_per_conn_max: usize,
    /// Bytes of a URL that we use.
    pub url_bytes_max: usize,
    /// Client messages per second that the venue bears (control frames included where it counts them).
    pub client_messages_per_s: u32,
    /// New connections per five minutes and address.
    pub connects_per_5min: u32,
    /// A connection that was refused or lost is tried again after so long (milliseconds, the shortest and the longest wait):
    /// doubling in between, jittered. Above zero.
    pub retry_ms: (u32, u32),
    /// A connection that lived so long was a good one: its end does not make the next one wait longer. Each second of waiting
    /// is lost for ever, so this is short where the venue does not ask for more; whoever lets us in and throws us out again
    /// still makes us wait longer each time.
    pub good_after_s: u32,
    /// Whether it takes subscriptions to symbols that are dead, as its page says: trades without ids of which none came in time are told
    /// as late there. That accuses nobody; elsewhere a market where nobody trades is no news.
    pub takes_dead_symbols: bool,
    /// A book's channel that was taken and has brought nothing for so long gives way to its second choice, if it has one
    /// ([`crate::venue::Venue::fallback`]).
    pub fallback_after_s: u32,
    /// The venue closes a connection at this age.
    pub conn_age_max_s: u32,
    /// We replace it at this age, make-before-break.
    pub rotate_after_s: u32,
    /// The venue pings this often.
    pub ping_interval_s: u32,
    /// Without any frame for so long we send a ping.
    pub probe_after_s: u32,
    /// Without any frame for so long we reconnect.
    pub dead_after_s: u32,
    /// Request weight per minute until the venue says otherwise.
    pub weight_per_minute: u32,
    /// REST requests a second that the venue bears of an address, of all its group together; 0 = no such limit is known.
    pub rest_per_s: u32,
    /// Venues of one group share one weight budget per address (`binance-usdm` and `binance-coinm`).
    pub weight_group: &'static str,
    /// Header with the weight used, lower case.
    pub weight_header: &'static str,
    /// Where snapshots come from.
    pub snapshot: SnapshotSource,
    /// How ids prove the book.
    pub sequence: SequenceRule,
    /// Default channels of `lobtape check`'s example and of the demo.
    pub channels_default: &'static [&'static str],
    /// Whether ids of single trades rise by one, so that a hole in them can be proven.
    pub trades_chain: bool,
    /// Whether trades by REST have the ids of the streams; if not, only their values can tell one from another.
    pub rest_trades_have_ids: bool,
    /// Most levels a side of a snapshot that comes in-band (fewer are the whole side), 0 = not known.
    pub snapshot_levels: u32,
    /// Pings and pongs as messages.
    pub heartbeat: Heartbeat,
    /// Subscriptions are messages and the venue answers each stream by name ([`crate::model::Reply::stream`]): a stream is
    /// covered from its acknowledgement or first frame on, not from the handshake.
    pub acknowledges: bool,
    /// Venues of one group count connections and subscribing messages of an address together where they are reached at one
    /// host; "" = nobody else is counted with this one.
    pub address_group: &'static str,
    /// Subscribing messages per minute and address, 0 = no limit known.
    pub subscribes_per_minute: u32,
    /// Answers name neither topic nor request, so that only one message may wait for its answer: topics in one of them.
    /// 0 = not such a venue.
    pub topics_per_message: usize,
    /// `rest` and `ws` are the venue's; if not, the configuration must name them.
    pub hosts_known: bool,
    /// The venue's limits are documented: the configuration may only be more careful. If not, the figures here are guesses,
    /// and the configuration may say others.
    pub limits_known: bool,
    /// Streams per connection that the venue's documents allow, where that is more than what we use; 0 = it is not.
    pub streams_per_conn_most: usize,
    /// The longest [`VenueSpec::dead_after_s`] that the configuration may say; 0 = the venue's own.
    pub dead_after_most_s: u32,
    /// Topics' names on the wire are the configuration's to say ([`Tuning::book_topic`]).
    pub names_topics: bool,
    /// What the symbols of the venue's own tests begin with: a rule leaves them out unless it names them. Empty: none.
    pub test_symbols: &'static str,
    /// The venue's words for an instrument that is over although it is listed still: a rule that says no status leaves it
    /// out. Empty: none.
    pub ended_statuses: &'static [&'static str],
}

impl VenueSpec {
    /// What most venues have in common; no venue by itself.
    pub const BASE: VenueSpec = VenueSpec {
        id: "",
        title: "",
        symbol_example: "BTCUSDT",
        rest: "",
        ws: "",
        streams_per_conn_max: 100,
        url_bytes_max: 3600,
        client_messages_per_s: 5,
        connects_per_5min: 300,
        retry_ms: (250, 30_000),
        good_after_s: 5,
        takes_dead_symbols: false,
        fallback_after_s: 10,
        conn_age_max_s: 24 * 3600,
        rotate_after_s: 23 * 3600,
        ping_interval_s: 60,
        probe_after_s: 15,
        dead_after_s: 60,
        weight_per_minute: 60,
        rest_per_s: 0,
        weight_group: "",
        weight_header: "",
        snapshot: SnapshotSource::Rest,
        sequence: SequenceRule::FUTURES,
        channels_default: &[],
        trades_chain: true,
        rest_trades_have_ids: true,
        snapshot_levels: 0,
        heartbeat: Heartbeat::CONTROL_FRAMES,
        acknowledges: false,
        address_group: "",
        subscribes_per_minute: 0,
        topics_per_message: 0,
        hosts_known: true,
        limits_known: true,
        streams_per_conn_most: 0,
        dead_after_most_s: 0,
        names_topics: false,
        test_symbols: "",
        ended_statuses: &[],
    };

    /// Seconds of silence that a connection of this venue may have and live, however it is configured.
    pub fn silence_most_s(&self) -> u32 {
        self.dead_after_s.max(self.dead_after_most_s)
    }
}
