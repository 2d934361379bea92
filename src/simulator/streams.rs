//! Stream names of the simulated dialects: what a name asks for, and where (on which route) it flows.

use std::collections::BTreeMap;

use crate::model::StreamKind;
use crate::model::dialect::{Dialect, Extra};

/// Candle intervals and their length in ms; what is of calendar length has its number of months, below zero.
pub const INTERVALS: [(&str, i64); 18] = [
    ("1s", 1_000),
    ("1m", 60_000),
    ("3m", 180_000),
    ("5m", 300_000),
    ("15m", 900_000),
    ("30m", 1_800_000),
    ("1h", 3_600_000),
    ("2h", 7_200_000),
    ("4h", 14_400_000),
    ("6h", 21_600_000),
    ("8h", 28_800_000),
    ("12h", 43_200_000),
    ("1d", 86_400_000),
    ("3d", 259_200_000),
    ("1w", 604_800_000),
    ("1M", -1),
    ("3M", -3),
    ("6M", -6),
];
/// As many of them, from the first, have the venues without words of their own.
const COMMON: usize = 16;

/// Windows of rolling statistics and their length in ms.
pub const WINDOWS: [(&str, i64); 3] = [("1h", 3_600_000), ("4h", 14_400_000), ("1d", 86_400_000)];

/// Depths of partial streams.
pub const PARTIAL_LEVELS: [usize; 3] = [5, 10, 20];

/// What a stream carries. The numbers after a name are indexes into the dialect's speeds, [`INTERVALS`] or
/// [`PARTIAL_LEVELS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// `@bookTicker`, `!bookTicker`
    BookTicker,
    /// `@trade`
    Trade,
    /// `@aggTrade`
    AggTrade,
    /// `@forceOrder`, `!forceOrder@arr`
    Force,
    /// `@markPrice`, `!markPrice@arr`, `<pair>@markPrice`
    Mark3s,
    /// the same `@1s`
    Mark1s,
    /// `@miniTicker`, `!miniTicker@arr`
    MiniTicker,
    /// `@ticker`, `!ticker@arr`
    Ticker,
    /// `@depth…`
    Diff(u8),
    /// `@depth<N>…`: levels, speed
    Partial(u8, u8),
    /// `@kline_…`
    Kline(u8),
    /// `<pair>_perpetual@continuousKline_…`
    ContinuousKline(u8),
    /// `@avgPrice`
    AvgPrice,
    /// `<pair>@indexPrice`
    IndexPrice,
    /// `@blockTrade`
    BlockTrade,
    /// `@tradepro`
    TradePro,
    /// `@referencePrice`, `ref-px:<asset>`
    ReferencePrice,
    /// `@ticker_<w>`, `!ticker_<w>@arr`: index into [`WINDOWS`]
    Window(u8),
    /// `@kline_…@+08:00`
    EastKline(u8),
    /// `<pair>@indexPriceKline_…`
    IndexKline(u8),
    /// `@markPriceKline_…`
    MarkKline(u8),
    /// `@rpiDepth@500ms`
    RpiDepth,
    /// `!contractInfo`
    ContractInfo,
    /// `@compositeIndex`
    CompositeIndex,
    /// `@assetIndex`, `!assetIndex@arr`
    AssetIndex,
    /// `tradingSession`
    TradingSession,
    /// `<series>@event`
    Event,
    /// A well-formed name of which nothing ever comes.
    Silent,
}

/// How many [`Channel`]s of one symbol have a place in the tables of the world.
pub const SLOTS: usize = CANDLES + 5 * INTERVALS.len();
/// Where the places of candles begin.
const CANDLES: usize = 38;

impl Channel {
    /// Its place in a table of [`SLOTS`]; `Silent` has none.
    pub fn slot(self) -> Option<usize> {
        Some(match self {
            Channel::BookTicker => 0,
            Channel::Trade => 1,
            Channel::AggTrade => 2,
            Channel::Force => 3,
            Channel::Mark3s => 4,
            Channel::Mark1s => 5,
            Channel::MiniTicker => 6,
            Channel::Ticker => 7,
            Channel::Diff(s) => 8 + usize::from(s),
            Channel::Partial(n, s) => 12 + 4 * usize::from(n) + usize::from(s),
            Channel::AvgPrice => 24,
            Channel::IndexPrice => 25,
            Channel::BlockTrade => 26,
            Channel::TradePro => 27,
            Channel::ReferencePrice => 28,
            Channel::Window(w) => 29 + usize::from(w),
            Channel::RpiDepth => 32,
            Channel::ContractInfo => 33,
            Channel::CompositeIndex => 34,
            Channel::AssetIndex => 35,
            Channel::TradingSession => 36,
            Channel::Event => 37,
            Channel::Kline(i) => CANDLES + usize::from(i),
            Channel::ContinuousKline(i) => CANDLES + INTERVALS.len() + usize::from(i),
            Channel::EastKline(i) => CANDLES + 2 * INTERVALS.len() + usize::from(i),
            Channel::IndexKline(i) => CANDLES + 3 * INTERVALS.len() + usize::from(i),
            Channel::MarkKline(i) => CANDLES + 4 * INTERVALS.len() + usize::from(i),
            Channel::Silent => return None,
        })
    }

    /// The kind of stream as the rest of the house calls it.
    pub fn kind(self) -> StreamKind {
        match self {
            Channel::BookTicker => StreamKind::BookTicker,
            Channel::Trade => StreamKind::Trade,
            Channel::AggTrade => StreamKind::AggTrade,
            Channel::Force => StreamKind::Liquidation,
            Channel::Mark3s | Channel::Mark1s => StreamKind::Mark,
            Channel::MiniTicker => StreamKind::MiniTicker,
            Channel::Ticker | Channel::Window(_) => StreamKind::Ticker,
            // Ids of their own, of which nobody says that they rise by one.
            Channel::BlockTrade => StreamKind::TradeSparse,
            Channel::Diff(_) => StreamKind::DepthDiff,
            Channel::Partial(..) => StreamKind::DepthPartial,
            Channel::Kline(_) | Channel::EastKline(_) => StreamKind::Kline,
            _ => StreamKind::RawOnly,
        }
    }

    /// Whether it flows on the `/public` route (else on `/market`).
    pub fn is_public(self) -> bool {
        matches!(
            self,
            Channel::BookTicker
                | Channel::Trade
                | Channel::Diff(_)
                | Channel::Partial(..)
                | Channel::RpiDepth
        )
    }
}

/// Whose stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// One symbol's, by its position.
    Symbol(usize),
    /// All symbols of the pair of this symbol: array payload.
    Pair(usize),
    /// The whole venue's.
    All,
    /// Nobody's: acknowledged and silent.
    Nobody,
}

/// What a name asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wanted {
    /// Whose.
    pub scope: Scope,
    /// What.
    pub channel: Channel,
}

const SILENT: Wanted = Wanted { scope: Scope::Nobody, channel: Channel::Silent };

/// Reads a name. `None`: it is no stream name at all (blanks, no `@`).
pub fn parse(
    d: &Dialect,
    symbols: &BTreeMap<String, usize>,
    pairs: &BTreeMap<String, usize>,
    name: &str,
) -> Option<Wanted> {
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return None;
    }
    if let Some(sp) = d.words {
        return super::foreign::parse(sp, symbols, name);
    }
    if let Some(all) = name.strip_prefix('!') {
        return Some(parse_all(d, all).map_or(SILENT, |channel| Wanted { scope: Scope::All, channel }));
    }
    if name == "tradingSession" && d.has(Extra::TradingSession) {
        return Some(Wanted { scope: Scope::All, channel: Channel::TradingSession });
    }
    // A symbol may itself hold an `@`? No venue has one; the first `@` parts the symbol.
    let (symbol, channel) = name.split_once('@')?;
    let found = parse_channel(d, channel);
    if let (Some(&ix), Some(channel)) = (symbols.get(symbol), found) {
        return Some(Wanted { scope: Scope::Symbol(ix), channel });
    }
    if channel == "event"
        && d.has(Extra::Events)
        && let Some(&ix) = pairs.get(symbol)
    {
        return Some(Wanted { scope: Scope::Symbol(ix), channel: Channel::Event });
    }
    if d.has(Extra::PriceCandles)
        && let Some(&ix) = pairs.get(symbol)
    {
        return Some(match channel {
            "markPrice" => Wanted { scope: Scope::Pair(ix), channel: Channel::Mark3s },
            "markPrice@1s" => Wanted { scope: Scope::Pair(ix), channel: Channel::Mark1s },
            // `@1s` was removed and is silent.
            "indexPrice" => Wanted { scope: Scope::Symbol(ix), channel: Channel::IndexPrice },
            _ => match channel.strip_prefix("indexPriceKline_").and_then(|i| interval(d, i)) {
                Some(i) => Wanted { scope: Scope::Symbol(ix), channel: Channel::IndexKline(i) },
                None => SILENT,
            },
        });
    }
    if d.has(Extra::ContinuousCandles)
        && let Some(i) = channel.strip_prefix("continuousKline_")
        && let Some(i) = interval(d, i)
        && let Some(ix) = contract(symbols, pairs, symbol)
    {
        return Some(Wanted { scope: Scope::Symbol(ix), channel: Channel::ContinuousKline(i) });
    }
    Some(SILENT)
}

/// The contract that has a place: of a pair the one that is never delivered (or its first, where there is none of a usual name), or
/// the first or second that is.
fn contract(
    symbols: &BTreeMap<String, usize>,
    pairs: &BTreeMap<String, usize>,
    place: &str,
) -> Option<usize> {
    if let Some(pair) = place.strip_suffix("_perpetual") {
        let own = symbols.get(pair).or_else(|| symbols.get(&format!("{pair}_perp")));
        return own.or_else(|| pairs.get(pair)).copied();
    }
    let current = place.strip_suffix("_current_quarter").map(|pair| (pair, 0));
    let (pair, nth) = current.or_else(|| place.strip_suffix("_next_quarter").map(|pair| (pair, 1)))?;
    let quarter = |(s, ix): (&String, &usize)| {
        let is_of_pair = s.strip_prefix(pair).is_some_and(|rest| rest.starts_with('_'));
        Some((super::symbols::delivery_of(s).filter(|_| is_of_pair)?, *ix))
    };
    let mut quarters: Vec<(i64, usize)> = symbols.iter().filter_map(quarter).collect();
    quarters.sort_unstable();
    quarters.get(nth).map(|q| q.1)
}

fn parse_all(d: &Dialect, name: &str) -> Option<Channel> {
    let futures = d.is_futures;
    Some(match name {
        "miniTicker@arr" => Channel::MiniTicker,
        "ticker@arr" if d.all_ticker => Channel::Ticker,
        "bookTicker" if d.all_book_ticker_every_ms != u32::MAX => Channel::BookTicker,
        "forceOrder@arr" if futures => Channel::Force,
        "markPrice@arr" if d.all_mark => Channel::Mark3s,
        "markPrice@arr@1s" if d.all_mark => Channel::Mark1s,
        "contractInfo" if d.has(Extra::ContractInfo) => Channel::ContractInfo,
        "assetIndex@arr" if d.has(Extra::Indexes) => Channel::AssetIndex,
        _ => window(d, name.strip_suffix("@arr")?)?,
    })
}

/// Reads the part after the symbol.
pub fn parse_channel(d: &Dialect, channel: &str) -> Option<Channel> {
    if d.words.is_some() {
        return super::foreign::channel(d, channel);
    }
    let futures = d.is_futures;
    Some(match channel {
        "bookTicker" => Channel::BookTicker,
        "trade" => Channel::Trade,
        "aggTrade" => Channel::AggTrade,
        "miniTicker" => Channel::MiniTicker,
        "ticker" => Channel::Ticker,
        "forceOrder" if futures => Channel::Force,
        "markPrice" if futures => Channel::Mark3s,
        "markPrice@1s" if futures => Channel::Mark1s,
        "avgPrice" if d.has(Extra::Averages) => Channel::AvgPrice,
        "referencePrice" if d.has(Extra::Averages) => Channel::ReferencePrice,
        "blockTrade" if d.has(Extra::BlockTrades) => Channel::BlockTrade,
        "tradepro" if d.has(Extra::TradePro) => Channel::TradePro,
        "rpiDepth@500ms" if d.has(Extra::RpiDepth) => Channel::RpiDepth,
        "compositeIndex" if d.has(Extra::Indexes) => Channel::CompositeIndex,
        "assetIndex" if d.has(Extra::Indexes) => Channel::AssetIndex,
        _ => {
            if let Some(i) = channel.strip_prefix("kline_") {
                return match i.strip_suffix("@+08:00") {
                    Some(i) if d.has(Extra::EastCandles) => interval(d, i).map(Channel::EastKline),
                    _ => interval(d, i).map(Channel::Kline),
                };
            }
            if let Some(i) = channel.strip_prefix("markPriceKline_") {
                return interval(d, i).filter(|_| d.has(Extra::PriceCandles)).map(Channel::MarkKline);
            }
            if let Some(w) = window(d, channel) {
                return Some(w);
            }
            let rest = channel.strip_prefix("depth")?;
            if let Some(s) = d.diff_speeds.iter().position(|s| s.suffix == rest) {
                return Some(Channel::Diff(s as u8));
            }
            let at = rest.find('@').unwrap_or(rest.len());
            let n = PARTIAL_LEVELS.iter().position(|n| n.to_string() == rest[..at])?;
            let s = d.partial_speeds.iter().position(|s| s.suffix == &rest[at..])?;
            Channel::Partial(n as u8, s as u8)
        }
    })
}

/// Statistics of a window: `ticker_1h`.
fn window(d: &Dialect, name: &str) -> Option<Channel> {
    let w = name.strip_prefix("ticker_").filter(|_| d.has(Extra::Windows))?;
    Some(Channel::Window(WINDOWS.iter().position(|x| x.0 == w)? as u8))
}

fn interval(d: &Dialect, name: &str) -> Option<u8> {
    let i = common(name)?;
    (i > 0 || d.prints.seconds).then_some(i as u8)
}

/// The place of an interval that venues without words of their own have.
pub(super) fn common(name: &str) -> Option<usize> {
    INTERVALS[..COMMON].iter().position(|i| i.0 == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::{config::Symbols, dialects, symbols};

    fn names(d: &'static Dialect) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
        let defs = symbols::define(d, &Symbols::Count(2), true);
        (
            defs.iter().enumerate().map(|(i, s)| (s.lower.clone(), i)).collect(),
            defs.iter().enumerate().map(|(i, s)| (symbols::lower(&s.pair), i)).collect(),
        )
    }

    #[test]
    fn every_documented_name_is_read() {
        let d = &dialects::ASTER_FUTURES;
        let (s, p) = names(d);
        let one = |n: &str| parse(d, &s, &p, n).unwrap();
        let on = |scope, channel| Wanted { scope, channel };
        assert_eq!(one("btcusdt@depth"), on(Scope::Symbol(0), Channel::Diff(0)));
        assert_eq!(one("ethusdt@depth@100ms"), on(Scope::Symbol(1), Channel::Diff(2)));
        assert_eq!(one("btcusdt@depth20@500ms"), on(Scope::Symbol(0), Channel::Partial(2, 1)));
        assert_eq!(one("龙虾usdt@kline_1M"), on(Scope::Symbol(2), Channel::Kline(15)));
        assert_eq!(one("!markPrice@arr@1s"), on(Scope::All, Channel::Mark1s));
        assert_eq!(one("!forceOrder@arr"), on(Scope::All, Channel::Force));
        for silent in [
            "btcusdt@depth@0ms",
            "btcusdt@aggtrade",
            "BTCUSDT@trade",
            "xyz@trade",
            "btcusdt@kline_1s",
            "!nothing",
        ] {
            assert_eq!(one(silent).channel, Channel::Silent, "{silent}");
        }
        for bad in ["", "not asdfads", "btcusdt", "btc\nusdt@trade"] {
            assert_eq!(parse(d, &s, &p, bad), None, "{bad}");
        }
    }

    #[test]
    fn products_differ_where_the_pages_say() {
        let is = |d: &'static Dialect, n: &str| {
            let (s, p) = names(d);
            parse(d, &s, &p, n).unwrap().channel
        };
        assert_eq!(is(&dialects::BINANCE_USDM, "btcusdt@depth@0ms"), Channel::Diff(3));
        assert_eq!(is(&dialects::BINANCE_SPOT, "btcusdt@depth@0ms"), Channel::Silent);
        assert_eq!(is(&dialects::BINANCE_SPOT, "btcusdt@depth@100ms"), Channel::Diff(1));
        assert_eq!(is(&dialects::BINANCE_SPOT, "btcusdt@kline_1s"), Channel::Kline(0));
        assert_eq!(is(&dialects::BINANCE_SPOT, "!ticker@arr"), Channel::Silent);
        assert_eq!(is(&dialects::BINANCE_SPOT, "btcusdt@markPrice"), Channel::Silent);
        assert_eq!(is(&dialects::BINANCE_COINM, "btcusd_perp@bookTicker"), Channel::BookTicker);
        assert_eq!(is(&dialects::BINANCE_COINM, "btcusd@indexPrice"), Channel::IndexPrice);
        assert_eq!(is(&dialects::BINANCE_COINM, "btcusd@indexPrice@1s"), Channel::Silent);
        assert_eq!(
            is(&dialects::BINANCE_COINM, "btcusd_perpetual@continuousKline_5m"),
            Channel::ContinuousKline(3)
        );
        assert_eq!(is(&dialects::BINANCE_COINM, "!markPrice@arr"), Channel::Silent);
    }

    #[test]
    fn every_channel_has_its_own_place() {
        let mut seen = std::collections::BTreeSet::new();
        let d = &dialects::BINANCE_USDM;
        let all =
            (0..4).map(Channel::Diff).chain((0..3).flat_map(|n| (0..4).map(move |s| Channel::Partial(n, s))));
        let all = all.chain((0..18).map(Channel::Kline)).chain((0..18).map(Channel::ContinuousKline));
        let all = all.chain((0..18).map(Channel::EastKline)).chain((0..18).map(Channel::IndexKline));
        let all = all.chain((0..18).map(Channel::MarkKline)).chain((0..3).map(Channel::Window));
        let few = [
            "bookTicker",
            "trade",
            "aggTrade",
            "forceOrder",
            "markPrice",
            "markPrice@1s",
            "miniTicker",
            "ticker",
        ];
        let few = few.iter().map(|n| parse_channel(d, n).unwrap());
        let rare = [
            Channel::AvgPrice,
            Channel::IndexPrice,
            Channel::BlockTrade,
            Channel::TradePro,
            Channel::ReferencePrice,
            Channel::RpiDepth,
            Channel::ContractInfo,
            Channel::CompositeIndex,
            Channel::AssetIndex,
            Channel::TradingSession,
            Channel::Event,
        ];
        for c in all.chain(few).chain(rare) {
            let slot = c.slot().unwrap();
            assert!(slot < SLOTS && seen.insert(slot), "{c:?}");
        }
    }
}
