//! What is traded: made-up instruments with the ticks and decimals of real ones.

use super::config::Symbols;
use super::rng::mix;
use super::text::{key_fixed, key_int, key_str};
use crate::model::dialect::{Decimals, Dialect, Parts, Prints};

/// One instrument of the simulated venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolDef {
    /// As in the instrument list and in frames.
    pub symbol: String,
    /// As in stream names: ASCII letters in lower case.
    pub lower: String,
    /// Pair (futures), series (prediction markets), else the symbol.
    pub pair: String,
    /// Base asset.
    pub base: String,
    /// Quote asset.
    pub quote: String,
    /// Decimals printed in prices.
    pub price_dec: u8,
    /// One tick in units of the last printed decimal.
    pub tick_mult: i64,
    /// Decimals printed in sizes.
    pub size_dec: u8,
    /// One size step in units of the last printed decimal.
    pub step_mult: i64,
    /// What a contract is worth in the quote currency, where sizes are contracts.
    pub contract: Option<i64>,
    /// What a list calls it, where contracts are listed.
    pub contract_type: &'static str,
    /// Mid price at the start, in ticks.
    pub start_ticks: i64,
    /// Typical size at a level, in steps.
    pub typical_steps: i64,
    /// Relative activity.
    pub weight: u64,
}

/// When contracts are delivered that are never, ms since the epoch, as the lists have it.
pub(super) const NEVER: i64 = 4_133_404_800_000;

/// When a contract is delivered, ms since the epoch: at eight in the morning (UTC) of the day that its name ends with
/// (`BTCUSD_260925`). `None`: it is none that is.
pub(super) fn delivery_of(symbol: &str) -> Option<i64> {
    let day = symbol.rsplit_once('_')?.1;
    if day.len() != 6 || !day.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let text = format!("20{}-{}-{}", &day[..2], &day[2..4], &day[4..]);
    let day = crate::model::time::parse_date(&text)?;
    Some((day * 24 + 8) * 3_600_000)
}

/// Prints a funding rate and the next funding time, which is returned: what is delivered has neither.
pub(super) fn funding(
    b: &mut Vec<u8>,
    (rate, at): (&str, &str),
    delivers: bool,
    rate_e8: i64,
    next: i64,
) -> i64 {
    let next = if delivers { 0 } else { next };
    match delivers {
        true => key_str(b, rate, ""),
        false => key_fixed(b, rate, rate_e8.into(), 8),
    }
    key_int(b, at, next);
    next
}

/// Tells each contract what a list calls it.
pub(super) fn name_contracts(defs: &mut [SymbolDef]) {
    let kinds: Vec<_> = defs.iter().map(|d| contract_type(d, defs)).collect();
    defs.iter_mut().zip(kinds).for_each(|(d, kind)| d.contract_type = kind);
}

/// What a list calls a contract: its place among those of its pair that are delivered, the nearest first.
fn contract_type(def: &SymbolDef, all: &[SymbolDef]) -> &'static str {
    let Some(at) = delivery_of(&def.symbol) else { return "PERPETUAL" };
    let is_nearer = |o: &&SymbolDef| o.pair == def.pair && delivery_of(&o.symbol).is_some_and(|t| t < at);
    match all.iter().filter(is_nearer).count() {
        0 => "CURRENT_QUARTER",
        1 => "NEXT_QUARTER",
        // It has no place yet, as one that is pending.
        _ => "",
    }
}

/// `(base, start price in ticks, decimals of the tick, decimals of the step on futures)`.
const KNOWN: [(&str, i64, u8, u8); 20] = [
    ("BTC", 618_002, 1, 3),
    ("ETH", 268_218, 2, 3),
    ("SOL", 153_420, 3, 2),
    ("BNB", 60_212, 2, 2),
    ("XRP", 24_831, 4, 1),
    ("DOGE", 21_337, 5, 0),
    ("ASTER", 15_770, 4, 0),
    ("SUI", 35_105, 4, 1),
    ("LINK", 18_230, 3, 2),
    ("AVAX", 30_414, 3, 0),
    ("LTC", 94_210, 3, 3),
    ("ADA", 80_115, 5, 0),
    ("TRX", 31_422, 5, 0),
    ("DOT", 41_208, 4, 1),
    ("NEAR", 26_514, 4, 0),
    ("UNI", 77_310, 4, 0),
    ("AAVE", 28_912, 2, 1),
    ("ARB", 45_021, 5, 1),
    ("SUSHI", 76_115, 5, 0),
    ("B-MONEY", 33_050, 5, 0),
];

/// Lower case in the venue's sense: ASCII letters only.
pub fn lower(symbol: &str) -> String {
    symbol.chars().map(|c| c.to_ascii_lowercase()).collect()
}

/// The instruments of a configuration, busiest first, each name once.
pub fn define(d: &Dialect, symbols: &Symbols, non_ascii: bool) -> Vec<SymbolDef> {
    let mut names: Vec<String> = match symbols {
        Symbols::Count(n) => (0..*n)
            .map(|i| match d.words {
                Some(sp) => sp.listed(&asset(i), 0).symbol,
                None => (d.prints.symbol)(&asset(i)),
            })
            .collect(),
        Symbols::List(l) => l.clone(),
    };
    if non_ascii {
        names.push("龙虾USDT".to_owned());
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|n| !n.is_empty() && seen.insert(lower(n)));
    let def = |(i, n): (usize, &String)| match d.words {
        Some(sp) => foreign(sp, n, i),
        None => one(d.prints, n, i),
    };
    let mut defs: Vec<SymbolDef> = names.iter().enumerate().map(def).collect();
    name_contracts(&mut defs);
    defs
}

/// The asset at a place of the list.
fn asset(i: usize) -> String {
    KNOWN.get(i).map_or_else(|| format!("S{i:04}"), |k| k.0.to_owned())
}

/// An instrument of a venue with words of its own.
fn foreign(sp: &dyn crate::model::words::Words, symbol: &str, rank: usize) -> SymbolDef {
    let known = KNOWN.iter().find(|k| sp.listed(k.0, k.3).symbol == symbol);
    let h = mix(symbol.bytes().fold(0u64, |a, b| mix(a ^ u64::from(b))));
    let base = symbol.split(['_', '/', '-']).next().unwrap_or(symbol);
    let (start_ticks, tick_dec, step_dec) =
        known.map_or((20_000 + (h % 180_000) as i64, 3, 2), |k| (k.1, k.2, k.3));
    let mut l = sp.listed(known.map_or(base, |k| k.0), step_dec);
    if let Some((base, quote)) = symbol.split_once('/') {
        (l.base, l.quote) = (base.to_owned(), quote.to_owned());
    }
    SymbolDef {
        price_dec: tick_dec,
        size_dec: l.size_dec,
        start_ticks,
        lower: symbol.to_owned(),
        ..plain(symbol, (&l.base, &l.quote, symbol), h, rank)
    }
}

fn split<'s>(p: &Prints, symbol: &'s str) -> Parts<'s> {
    if let Some(parts) = (p.parts)(symbol) {
        return parts;
    }
    if let Some(cut) = symbol.find('_') {
        let pair = &symbol[..cut];
        let base = pair.strip_suffix("USDT").or_else(|| pair.strip_suffix("USD")).unwrap_or(pair);
        return (base, if pair.ends_with("USDT") { "USDT" } else { "USD" }, pair);
    }
    for q in ["USDT", "USDC", "FDUSD", "USD1", "USD", "BTC", "ETH", "EUR"] {
        if let Some(base) = symbol.strip_suffix(q)
            && !base.is_empty()
        {
            return (base, q, symbol);
        }
    }
    (symbol, "USDT", symbol)
}

fn one(p: &Prints, symbol: &str, rank: usize) -> SymbolDef {
    let (base, quote, pair) = split(p, symbol);
    let known = KNOWN.iter().find(|k| k.0 == base).map(|k| (k.1, k.2, k.3));
    let h = mix(symbol.bytes().fold(0u64, |a, b| mix(a ^ u64::from(b))));
    let (start_ticks, tick_dec, step_dec) =
        known.unwrap_or((20_000 + (h % 180_000) as i64, 3 + (h >> 32) as u8 % 3, (h >> 40) as u8 % 3));
    if p.decimals == Decimals::Probabilities {
        return SymbolDef {
            price_dec: 4,
            tick_mult: 1,
            size_dec: 2,
            step_mult: 1,
            start_ticks: 3_000 + (h % 4_000) as i64,
            ..plain(symbol, (base, quote, pair), h, rank)
        };
    }
    let (price_dec, size_dec, step_real) = match p.decimals {
        Decimals::Eight => (8, 8, (step_dec + 2).min(8)),
        // What is printed may exceed the tick's.
        Decimals::AtLeastTwo => (tick_dec.max(2), step_dec, step_dec),
        Decimals::Contracts => (tick_dec, 0, 0),
        Decimals::AsSteps | Decimals::Probabilities => (tick_dec, step_dec, step_dec),
    };
    let worth = if base == "BTC" { 100 } else { 10 };
    SymbolDef {
        price_dec,
        tick_mult: crate::model::pow10(price_dec - tick_dec.min(price_dec)),
        size_dec,
        step_mult: crate::model::pow10(size_dec - step_real.min(size_dec)),
        contract: (p.decimals == Decimals::Contracts).then_some(worth),
        start_ticks,
        ..plain(symbol, (base, quote, pair), h, rank)
    }
}

/// What does not depend on the product. `h`: dice of the name.
fn plain(symbol: &str, (base, quote, pair): (&str, &str, &str), h: u64, rank: usize) -> SymbolDef {
    SymbolDef {
        symbol: symbol.to_owned(),
        lower: lower(symbol),
        pair: pair.to_owned(),
        base: base.to_owned(),
        quote: quote.to_owned(),
        price_dec: 0,
        tick_mult: 1,
        size_dec: 0,
        step_mult: 1,
        contract: None,
        contract_type: "",
        start_ticks: 0,
        typical_steps: 40 + (h >> 8) as i64 % 900,
        // Zipf-like: the busiest symbol has about 20 % of the frames of 20 symbols.
        weight: 1_000_000 / (rank as u64 + 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::dialects;

    #[test]
    fn names_follow_the_product() {
        let u = define(&dialects::BINANCE_USDM, &Symbols::Count(25), false);
        assert_eq!(u.len(), 25);
        assert_eq!((u[0].symbol.as_str(), u[0].price_dec, u[0].tick_mult), ("BTCUSDT", 2, 10));
        assert_eq!(u[24].symbol, "S0024USDT");
        let c = define(&dialects::BINANCE_COINM, &Symbols::Count(2), false);
        assert_eq!(
            (c[1].symbol.as_str(), c[1].lower.as_str(), c[1].pair.as_str()),
            ("ETHUSD_PERP", "ethusd_perp", "ETHUSD")
        );
        assert_eq!((c[1].base.as_str(), c[1].quote.as_str(), c[1].size_dec), ("ETH", "USD", 0));
        let s =
            define(&dialects::BINANCE_SPOT, &Symbols::List(vec!["NKNUSDT".into(), "LRCBTC".into()]), true);
        assert_eq!((s[1].base.as_str(), s[1].quote.as_str(), s[1].price_dec), ("LRC", "BTC", 8));
        assert_eq!((s[2].symbol.as_str(), s[2].lower.as_str()), ("龙虾USDT", "龙虾usdt"));
    }

    #[test]
    fn a_name_says_when_a_contract_is_delivered() {
        assert_eq!(delivery_of("BTCUSD_260925"), Some(1_790_323_200_000));
        for none in ["BTCUSD_PERP", "BTCUSDT", "BTCUSD_2609", "X_269925", "BTC_UP_DOWN_5M_1778483280_YUSDT"] {
            assert_eq!(delivery_of(none), None, "{none}");
        }
    }

    #[test]
    fn a_name_is_traded_once() {
        let l = Symbols::List(vec!["BTCUSDT".into(), "btcusdt".into(), String::new()]);
        assert_eq!(define(&dialects::ASTER_FUTURES, &l, false).len(), 1);
    }
}
