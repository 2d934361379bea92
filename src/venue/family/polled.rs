//! Answers that are asked for by REST again and again: open interest, mark prices, funding, statistics, candles.

use super::Family;
use super::rest::endpoint;
use super::stats::in_quote;
use crate::model::time::ms_to_ns;
use crate::model::{
    Bbo, Dec, DecodeCtx, Event, FundingRate, InstrumentId, InstrumentRef, Kline, Mark, OpenInterest, Poll,
    Reject, RejectCause, StreamId, Ticker,
};
use crate::parse::fields::{best, decimal, exact, id, optional_id, shape, text, time};
use crate::parse::url::{path_and_query, query_value};
use crate::parse::{Limits, Scratch, Val};

/// What all venues of the family have, under a path before the version's end: statistics and candles. The weights are
/// those of one symbol's statistics, of all symbols', of one symbol's best prices, of all symbols', and of candles.
macro_rules! common_polls {
    ($root:literal, $intervals:expr, $day:literal, $all_days:literal, $best:literal, $all_best:literal, $candles:literal, $($more:expr),* $(,)?) => {
        &[
            $crate::model::Poll::symbol("ticker/24hr", concat!($root, "ticker/24hr?symbol="), $crate::model::StreamKind::Ticker).weight($day),
            $crate::model::Poll::market("!ticker/24hr", concat!($root, "ticker/24hr"), $crate::model::StreamKind::Ticker).weight($all_days),
            $crate::model::Poll::symbol("ticker/bookTicker", concat!($root, "ticker/bookTicker?symbol="), $crate::model::StreamKind::BookTicker)
                .weight($best),
            $crate::model::Poll::market("!ticker/bookTicker", concat!($root, "ticker/bookTicker"), $crate::model::StreamKind::BookTicker)
                .weight($all_best),
            $crate::model::Poll::symbol("klines_", concat!($root, "klines?interval={}&limit=10&symbol="), $crate::model::StreamKind::Kline)
                .args($intervals)
                .weight($candles),
            $($more,)*
        ]
    };
}

/// What futures have beside that: open interest, mark price, funding. The weights are those of one symbol's mark price
/// and of all symbols'; `$pool` is the allowance that funding rates have of their own, if any.
macro_rules! futures_polls {
    ($root:literal, $interest:literal, $mark:literal, $all_marks:literal, $best:literal, $all_best:literal, $pool:expr, $($more:expr),* $(,)?) => {
        $crate::venue::family::polled::common_polls!(
            $root, $crate::venue::family::streams::INTERVALS, 1, 40, $best, $all_best, 1,
            $crate::model::Poll::symbol("openInterest", concat!($interest, "openInterest?symbol="), $crate::model::StreamKind::OpenInterest),
            $crate::model::Poll::symbol("premiumIndex", concat!($root, "premiumIndex?symbol="), $crate::model::StreamKind::Mark).weight($mark),
            $crate::model::Poll::market("!premiumIndex", concat!($root, "premiumIndex"), $crate::model::StreamKind::Mark).weight($all_marks),
            $crate::model::Poll::symbol("fundingRate", concat!($root, "fundingRate?limit=100&symbol="), $crate::model::StreamKind::Funding)
                .every(3600)
                .pool($pool),
            $($more,)*
        )
    };
}

pub(crate) use {common_polls, futures_polls};

/// Endpoints whose answers have rows.
const ROWS: [&str; 7] = [
    "openInterest",
    "premiumIndex",
    "fundingRate",
    "ticker/24hr",
    "ticker/price",
    "ticker/bookTicker",
    "klines",
];

/// Whether an endpoint's answer is read here: one with rows, or one that is polled for `raw`.
pub(super) fn is_polled(family: &Family, name: &str) -> bool {
    let asked = |p: &Poll| endpoint(family, p.path.split('?').next().unwrap_or("")) == Some(name);
    ROWS.contains(&name) || family.polls.iter().any(asked)
}

/// As [`crate::venue::Venue::decode_polled`].
pub(super) fn decode(
    family: &Family,
    scratch: &mut Scratch,
    url: &str,
    body: &[u8],
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    let (path, query) = path_and_query(url);
    let name = endpoint(family, path).unwrap_or("");
    scratch.read(body, Limits::SNAPSHOT, |root, _| {
        if root.get("code").and_then(Val::as_i64).is_some() && root.get("msg").and_then(Val::as_str).is_some()
        {
            return Err(Reject::new(RejectCause::Status, "the venue answered with an error"));
        }
        if !ROWS.contains(&name) {
            ctx.event(Event::Other { name, stream: StreamId::NONE });
            return Ok(());
        }
        if name == "klines" {
            return candles(family, root, query, ctx);
        }
        // One symbol's answer is an object here and an array of one there.
        let Some(rows) = root.elements() else { return row(family, name, root, ctx) };
        let mut first_fault = Ok(());
        for v in rows {
            let said = row(family, name, v, ctx);
            if first_fault.is_ok() {
                first_fault = said;
            }
        }
        first_fault
    })
}

/// One symbol's row.
fn row(family: &Family, name: &str, v: Val<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    if v.entries().is_none() {
        return Err(shape("row is no object"));
    }
    let symbol = text(v.get("symbol"), "symbol is missing or no text")?;
    let at = instrument(symbol, ctx)?;
    let event = match name {
        "openInterest" => interest(v, at.id)?,
        "premiumIndex" => mark(v, at.id)?,
        "fundingRate" => funding(v, at.id)?,
        "ticker/bookTicker" => return best_prices(v, at, ctx),
        _ => ticker(family, v, at.id)?,
    };
    ctx.event(event);
    Ok(())
}

fn instrument(symbol: &str, ctx: &mut dyn DecodeCtx) -> Result<InstrumentRef, Reject> {
    ctx.instrument(symbol).ok_or_else(|| Reject::new(RejectCause::UnknownSymbol, "symbol is refused"))
}

/// In base units, in contracts on COIN-M: the unit of the instrument's sizes.
fn interest(v: Val<'_, '_>, instrument: InstrumentId) -> Result<Event<'static>, Reject> {
    let open_interest = decimal(v.get("openInterest"), "openInterest is no decimal")?;
    if open_interest.is_none() {
        return Err(shape("openInterest is missing"));
    }
    let ts_event = time(v.get("time"), "time is no integer")?;
    Ok(Event::OpenInterest(OpenInterest {
        instrument,
        stream: StreamId::NONE,
        ts_event,
        ts_send: 0,
        open_interest,
    }))
}

fn mark(v: Val<'_, '_>, instrument: InstrumentId) -> Result<Event<'static>, Reject> {
    let mark_px = decimal(v.get("markPrice"), "markPrice is no decimal")?;
    if mark_px.is_none() {
        return Err(shape("markPrice is missing"));
    }
    Ok(Event::Mark(Mark {
        instrument,
        stream: StreamId::NONE,
        ts_event: time(v.get("time"), "time is no integer")?,
        ts_send: 0,
        mark_px,
        index_px: decimal(v.get("indexPrice"), "indexPrice is no decimal")?,
        settle_px: decimal(v.get("estimatedSettlePrice"), "estimatedSettlePrice is no decimal")?,
        funding_rate: decimal(v.get("lastFundingRate"), "lastFundingRate is no decimal")?,
        ts_next_funding: time(v.get("nextFundingTime"), "nextFundingTime is no integer")?,
    }))
}

fn funding(v: Val<'_, '_>, instrument: InstrumentId) -> Result<Event<'static>, Reject> {
    let funding_rate = decimal(v.get("fundingRate"), "fundingRate is no decimal")?;
    let paid = id(v.get("fundingTime"), "fundingTime is missing or no integer")?;
    if funding_rate.is_none() {
        return Err(shape("fundingRate is missing"));
    }
    let ts_funding = ms_to_ns(paid);
    Ok(Event::Funding(FundingRate {
        instrument,
        stream: StreamId::NONE,
        ts_event: ts_funding,
        ts_send: 0,
        funding_rate,
        ts_funding,
    }))
}

/// The rolling day, or the last price alone. The turnover is the quote's; on COIN-M (`baseVolume`) it is the base asset's,
/// and sizes are contracts.
fn ticker(family: &Family, v: Val<'_, '_>, instrument: InstrumentId) -> Result<Event<'static>, Reject> {
    let dec = |key, what| decimal(v.get(key), what);
    let last = match dec("lastPrice", "lastPrice is no decimal")? {
        Dec::NONE => dec("price", "price is no decimal")?,
        last => last,
    };
    if last.is_none() {
        return Err(shape("lastPrice is missing"));
    }
    let quote_volume = in_quote(family, dec("quoteVolume", "quoteVolume is no decimal")?);
    Ok(Event::Ticker(Ticker {
        instrument,
        stream: StreamId::NONE,
        ts_event: time(v.get("time"), "time is no integer")?,
        ts_send: 0,
        open: dec("openPrice", "openPrice is no decimal")?,
        high: dec("highPrice", "highPrice is no decimal")?,
        low: dec("lowPrice", "lowPrice is no decimal")?,
        last,
        last_size: dec("lastQty", "lastQty is no decimal")?,
        volume: dec("volume", "volume is no decimal")?,
        quote_volume,
        trade_count: optional_id(v.get("count"), "count is no integer")?,
        ts_open: time(v.get("openTime"), "openTime is no integer")?,
        ts_close: time(v.get("closeTime"), "closeTime is no integer")?,
    }))
}

fn best_prices(v: Val<'_, '_>, at: InstrumentRef, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let of = |key, what| text(v.get(key), what);
    let (bid, bid_size) =
        (of("bidPrice", "bidPrice is missing or no text")?, of("bidQty", "bidQty is missing or no text")?);
    let (ask, ask_size) =
        (of("askPrice", "askPrice is missing or no text")?, of("askQty", "askQty is missing or no text")?);
    let last = optional_id(v.get("lastUpdateId"), "lastUpdateId is no integer")?;
    let ts_event = time(v.get("time"), "time is no integer")?;
    let ((bid, ask), _) =
        exact(ctx, at, |exps| Ok((best(exps, bid, bid_size)?, best(exps, ask, ask_size)?)))?;
    let (instrument, stream) = (at.id, StreamId::NONE);
    ctx.event(Event::Bbo(Bbo { instrument, stream, ts_event, ts_send: 0, last, bid, ask }));
    Ok(())
}

/// Candles of one symbol, oldest first. What is being made is the last one: all before it are final.
fn candles(family: &Family, root: Val<'_, '_>, query: &str, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let Some(rows) = root.elements() else { return Err(shape("candles are no array")) };
    let asked = |key| query_value(query, key).filter(|v| !v.is_empty());
    let (Some(symbol), Some(interval)) = (asked("symbol"), asked("interval")) else {
        return Err(shape("candles of no symbol or interval"));
    };
    let at = instrument(&symbol, ctx)?;
    let mut left = rows.remaining();
    let mut first_fault = Ok(());
    for v in rows {
        left -= 1;
        match candle(v, at.id, &interval, left > 0) {
            Ok(k) => ctx.event(Event::Kline(Kline {
                quote_volume: in_quote(family, k.quote_volume),
                taker_quote_volume: in_quote(family, k.taker_quote_volume),
                ..k
            })),
            Err(e) if first_fault.is_ok() => first_fault = Err(e),
            Err(_) => {}
        }
    }
    first_fault
}

/// Twelve cells, eleven on Aster spot, of which the last one means nothing.
fn candle<'i>(
    v: Val<'_, '_>,
    instrument: InstrumentId,
    interval: &'i str,
    is_closed: bool,
) -> Result<Kline<'i>, Reject> {
    let Some(all) = v.elements() else { return Err(shape("candle is no array")) };
    let mut cells = [None; 11];
    for (cell, v) in cells.iter_mut().zip(all) {
        *cell = Some(v);
    }
    let [opened, open, high, low, close, volume, closes, quote, count, taker, taker_quote] = cells;
    Ok(Kline {
        instrument,
        stream: StreamId::NONE,
        ts_event: 0,
        ts_send: 0,
        interval,
        ts_open: ms_to_ns(id(opened, "cell 0 is missing or no integer")?),
        ts_close: time(closes, "cell 6 is no integer")?,
        open: decimal(open, "cell 1 is no decimal")?,
        high: decimal(high, "cell 2 is no decimal")?,
        low: decimal(low, "cell 3 is no decimal")?,
        close: decimal(close, "cell 4 is no decimal")?,
        volume: decimal(volume, "cell 5 is no decimal")?,
        quote_volume: decimal(quote, "cell 7 is no decimal")?,
        taker_volume: decimal(taker, "cell 9 is no decimal")?,
        taker_quote_volume: decimal(taker_quote, "cell 10 is no decimal")?,
        trade_count: optional_id(count, "cell 8 is no integer")?,
        trade_id_first: -1,
        trade_id_last: -1,
        is_closed,
    })
}
