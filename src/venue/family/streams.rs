//! Stream names: `<symbol>@<channel>`, the symbol with its ASCII letters in lower case, the channel as it is.
//!
//! Symbols are opaque text. Only what could not stand in a stream name is refused; letters outside ASCII keep their
//! case, because the venues lower-case ASCII only.

use super::Family;
use crate::model::instrument::{SYMBOL_BYTES_MAX, SYMBOL_TOO_LONG};
use crate::model::{InstrumentVersion, PlanError, StreamKind, StreamSpec};
use crate::venue::{ChannelInfo, Voice};

/// What stands before the `@` of a stream name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An instrument.
    Symbol,
    /// An instrument, or (without `_`) a pair: then frames carry all instruments of the pair.
    SymbolOrPair,
    /// A pair: `btcusd`.
    Pair,
    /// A pair and a contract type: `btcusd_perpetual`.
    PairContract,
    /// Something that is no instrument, such as an asset index.
    Index,
    /// A series of instruments: an instrument's name without its round and side (`btc_up_down_5m`).
    Series,
    /// Nothing: the channel is the whole name.
    Market,
}

/// A row of the stream grammar: `base`, then one of `args`, then one of `speeds`.
#[derive(Debug)]
pub struct Channel {
    /// Beginning of the channel's name.
    pub base: &'static str,
    /// What may follow: intervals, windows; `[""]` if nothing does.
    pub args: &'static [&'static str],
    /// Suffixes; `""` among them if there may be none.
    pub speeds: &'static [&'static str],
    /// What stands before the `@`.
    pub subject: Subject,
    /// What it carries.
    pub kind: StreamKind,
    /// Index into [`Family::routes`].
    pub route: usize,
    /// What its silence says.
    pub voice: Voice,
}

impl Channel {
    /// A channel without arguments on the first route.
    pub const fn new(base: &'static str, speeds: &'static [&'static str], kind: StreamKind) -> Channel {
        Channel { base, args: NONE, speeds, subject: Subject::Symbol, kind, route: 0, voice: Voice::Eventful }
    }

    /// The same with arguments.
    pub const fn args(self, args: &'static [&'static str]) -> Channel {
        Channel { args, ..self }
    }

    /// The same about something else.
    pub const fn of(self, subject: Subject) -> Channel {
        Channel { subject, ..self }
    }

    /// The same on another route.
    pub const fn route(self, route: usize) -> Channel {
        Channel { route, ..self }
    }

    /// The same, which speaks within seconds whatever one market does.
    pub const fn lively(self) -> Channel {
        Channel { voice: Voice::Lively, ..self }
    }

    /// The same, of which nothing else tells whether there was anything to say.
    pub const fn rare(self) -> Channel {
        Channel { voice: Voice::Rare, ..self }
    }

    fn matches(&self, channel: &str) -> bool {
        channel.strip_prefix(self.base).is_some_and(|rest| {
            self.args.iter().any(|a| rest.strip_prefix(a).is_some_and(|speed| self.speeds.contains(&speed)))
        })
    }

    /// As [`crate::venue::Venue::channels`] tells it.
    pub(super) fn info(&self, symbol: &'static str) -> ChannelInfo {
        let mut grammar = String::new();
        self.describe(&mut grammar);
        let arg = self.args.first().copied().unwrap_or_default();
        let speed = self.speeds.first().copied().unwrap_or_default();
        ChannelInfo {
            grammar,
            example: format!("{}{arg}{speed}", self.base),
            symbol: match self.subject {
                Subject::Market => None,
                Subject::Pair => symbol.split('_').next(),
                // Of a symbol they take what they are about.
                _ => Some(symbol),
            },
            kind: self.kind,
        }
    }

    /// For error texts: `kline_<1m|3m…>`.
    fn describe(&self, out: &mut String) {
        out.push_str(self.base);
        match self.args {
            [""] => {}
            [one] => out.push_str(one),
            [first, .., last] => {
                out.push('<');
                out.push_str(first);
                out.push('…');
                out.push_str(last);
                out.push('>');
            }
            [] => {}
        }
        for s in self.speeds.iter().filter(|s| !s.is_empty()) {
            out.push('[');
            out.push_str(s);
            out.push(']');
        }
    }
}

/// No arguments, or no suffix.
pub const NONE: &[&str] = &[""];
/// Candle intervals of the whole family.
pub const INTERVALS: &[&str] =
    &["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"];
/// Contract types of continuous candles.
const CONTRACTS: [&str; 3] = ["perpetual", "current_quarter", "next_quarter"];
/// Those that another contract has after each delivery.
const QUARTERS: &[&str] = CONTRACTS.split_at(1).1;

/// The grammar row of a channel name.
pub(super) fn channel_of(family: &Family, channel: &str) -> Option<&'static Channel> {
    family.channels.iter().find(|c| c.matches(channel))
}

/// As [`crate::venue::Venue::is_market`]: not every channel of a whole market begins with `!`. What is polled does.
pub(super) fn is_market(family: &Family, channel: &str) -> bool {
    channel_of(family, channel).map_or_else(|| channel.starts_with('!'), |c| c.subject == Subject::Market)
}

/// As [`crate::venue::Venue::stream`].
pub(super) fn stream(family: &Family, channel: &str, symbol: Option<&str>) -> Result<StreamSpec, PlanError> {
    let Some(rule) = channel_of(family, channel) else {
        return Err(unknown_channel(family, channel));
    };
    let bad =
        |symbol: &str, why| PlanError::BadSymbol { venue: family.spec.id, symbol: symbol.to_owned(), why };
    let spec =
        |name: String, symbol| StreamSpec { name, channel: channel.to_owned(), symbol, kind: rule.kind };
    if rule.subject == Subject::Market {
        return Ok(spec(channel.to_owned(), None));
    }
    let Some(symbol) = symbol else { return Err(bad("", "this channel needs a symbol")) };
    check_symbol(symbol).map_err(|why| bad(symbol, why))?;
    let not_of = |why| PlanError::NotOfChannel {
        venue: family.spec.id,
        channel: channel.to_owned(),
        symbol: symbol.to_owned(),
        why,
    };
    if rule.subject != Subject::PairContract && pair_of_place(family, symbol).is_some() {
        return Err(not_of("it is no instrument, but the place of one in the calendar"));
    }
    let lower = symbol.to_ascii_lowercase();
    let subject = match rule.subject {
        Subject::Pair => lower.split('_').next().unwrap_or(&lower).to_owned(),
        Subject::Series => series(&lower).to_owned(),
        Subject::PairContract => pair_contract(&lower).ok_or_else(|| {
            not_of("its contracts are called by their place: <pair>_CURRENT_QUARTER, <pair>_NEXT_QUARTER")
        })?,
        _ => lower,
    };
    // Only the stream's name is in lower case: the symbol stays as the venue's list writes it, whatever its case.
    let instrument = names_instrument(rule.subject, &subject).then(|| symbol.to_owned());
    Ok(spec(format!("{subject}@{channel}"), instrument))
}

/// As [`crate::venue::Venue::parse_stream`].
pub(super) fn parse_stream(family: &Family, name: &str) -> Option<StreamSpec> {
    let whole = channel_of(family, name).filter(|c| c.subject == Subject::Market);
    let (subject, channel, rule) = match whole {
        Some(rule) => ("", name, rule),
        None => {
            let (subject, channel) = name.split_once('@')?;
            (subject, channel, channel_of(family, channel)?)
        }
    };
    if rule.subject == Subject::Market {
        // `btcusdt@!ticker@arr` is no stream.
        whole?;
    } else {
        check_symbol(subject).ok()?;
    }
    match rule.subject {
        Subject::Pair if subject.contains('_') => return None,
        Subject::Series if series(subject) != subject => return None,
        Subject::PairContract if !CONTRACTS.contains(&subject.split_once('_')?.1) => return None,
        _ => {}
    }
    let symbol = names_instrument(rule.subject, subject).then(|| subject.to_ascii_uppercase());
    Some(StreamSpec { name: name.to_owned(), channel: channel.to_owned(), symbol, kind: rule.kind })
}

/// Whether the text before the `@` is an instrument of the venue's list.
fn names_instrument(subject: Subject, text: &str) -> bool {
    match subject {
        Subject::Symbol => true,
        Subject::SymbolOrPair => text.contains('_'),
        Subject::Pair | Subject::PairContract | Subject::Index | Subject::Series | Subject::Market => false,
    }
}

/// Whether a family has streams of pairs: then a symbol without `_` is one.
pub(super) fn has_pairs(family: &Family) -> bool {
    family.channels.iter().any(|c| matches!(c.subject, Subject::SymbolOrPair | Subject::Pair))
}

/// `BTCUSD` of `BTCUSD_PERP`.
pub(super) fn pair_of(symbol: &str) -> Option<&str> {
    symbol.split_once('_').map(|(pair, _)| pair)
}

/// As [`crate::venue::Venue::pair_of_place`]: `BTCUSD` of `BTCUSD_CURRENT_QUARTER`.
pub(super) fn pair_of_place<'s>(family: &Family, name: &'s str) -> Option<&'s str> {
    let (pair, place) = name.split_once('_')?;
    let is_place = QUARTERS.iter().any(|q| q.eq_ignore_ascii_case(place)) && !pair.is_empty();
    (is_place && family.channels.iter().any(|c| c.subject == Subject::PairContract)).then_some(pair)
}

/// As [`crate::venue::Venue::place_of`].
pub(super) fn place_of(family: &Family, i: &InstrumentVersion) -> Option<String> {
    let name = format!("{}_{}", pair_of(&i.symbol)?, i.contract_type);
    pair_of_place(family, &name).is_some().then_some(name)
}

/// `btc_up_down_5m_1778483280_yusdt` is a round of `btc_up_down_5m`; what does not look like a round is a series.
fn series(lower: &str) -> &str {
    let market = lower.strip_suffix("_yusdt").or_else(|| lower.strip_suffix("_nusdt")).unwrap_or(lower);
    match market.rsplit_once('_') {
        Some((name, round))
            if !name.is_empty() && round.len() >= 9 && round.bytes().all(|b| b.is_ascii_digit()) =>
        {
            name
        }
        _ => market,
    }
}

/// `btcusd_perp` and `btcusdt` mean the perpetual contract of their pair.
fn pair_contract(lower: &str) -> Option<String> {
    let (pair, contract) = lower.split_once('_').unwrap_or((lower, "perp"));
    let contract = if contract == "perp" { "perpetual" } else { contract };
    CONTRACTS.contains(&contract).then(|| format!("{pair}_{contract}"))
}

/// Refuses only what cannot stand in a stream name; the reason otherwise.
pub(super) fn check_symbol(symbol: &str) -> Result<(), &'static str> {
    if symbol.is_empty() {
        return Err("it is empty");
    }
    if symbol.len() > SYMBOL_BYTES_MAX {
        return Err(SYMBOL_TOO_LONG);
    }
    if symbol.contains('/') {
        return Err("a / separates stream names");
    }
    if symbol.contains('@') {
        return Err("an @ ends the symbol in stream names");
    }
    if symbol.chars().any(char::is_control) {
        return Err("it holds a control character");
    }
    Ok(())
}

#[cold]
fn unknown_channel(family: &Family, channel: &str) -> PlanError {
    let mut known = String::new();
    for c in family.channels {
        if !known.is_empty() {
            known.push_str(", ");
        }
        c.describe(&mut known);
    }
    crate::venue::list_polls(family.polls, &mut known);
    PlanError::UnknownChannel { venue: family.spec.id, channel: channel.to_owned(), known }
}
