//! Mark prices, candles, rolling statistics.

use super::Family;
use super::decode::Message;
use crate::model::{Dec, Event, Kline, Mark, Reject, Ticker};
use crate::parse::Val;
use crate::parse::fields::{decimal, optional_id, shape, text, time};

/// Mark and index price. `T` is the next funding time here, not a matching time.
pub(super) fn mark(m: &mut Message<'_>, v: Val<'_, '_>) -> Result<(), Reject> {
    let (mut event, mut sent, mut symbol, mut product) = (None, None, None, None);
    let (mut mark_px, mut index_px, mut settle_px, mut rate, mut next) = (None, None, None, None, None);
    for (key, v) in v.fields() {
        match key.as_bytes() {
            b"e" => event = Some(v),
            b"E" => sent = Some(v),
            b"s" => symbol = Some(v),
            b"st" => product = Some(v),
            b"p" => mark_px = Some(v),
            b"i" => index_px = Some(v),
            b"P" => settle_px = Some(v),
            b"r" => rate = Some(v),
            b"T" => next = Some(v),
            _ => {}
        }
    }
    if !m.is_event(event, &["markPriceUpdate"])? || m.is_foreign(product, symbol) {
        return Ok(());
    }
    let at = m.instrument(symbol)?;
    if mark_px.is_none() {
        return Err(shape("p is missing"));
    }
    let event = Mark {
        instrument: at.id,
        stream: m.stream(),
        ts_event: 0,
        ts_send: time(sent, "E is no integer")?,
        mark_px: decimal(mark_px, "p is no decimal")?,
        index_px: decimal(index_px, "i is no decimal")?,
        settle_px: decimal(settle_px, "P is no decimal")?,
        funding_rate: decimal(rate, "r is no decimal")?,
        ts_next_funding: time(next, "T is no integer")?,
    };
    m.ctx.event(Event::Mark(event));
    Ok(())
}

/// A candle; the facts stand in `k`.
pub(super) fn kline(m: &mut Message<'_>, v: Val<'_, '_>) -> Result<(), Reject> {
    let (mut event, mut sent, mut symbol, mut candle) = (None, None, None, None);
    for (key, v) in v.fields() {
        match key.as_bytes() {
            b"e" => event = Some(v),
            b"E" => sent = Some(v),
            b"s" => symbol = Some(v),
            b"k" => candle = Some(v),
            _ => {}
        }
    }
    if !m.is_event(event, &["kline"])? {
        return Ok(());
    }
    let Some(candle) = candle.filter(|k| k.entries().is_some()) else {
        return Err(shape("k is missing or no object"));
    };
    let at = m.instrument(symbol)?;
    let mut event = candle_event(candle, at.id, m.stream(), time(sent, "E is no integer")?)?;
    event.quote_volume = in_quote(m.family, event.quote_volume);
    event.taker_quote_volume = in_quote(m.family, event.taker_quote_volume);
    event.interval = interval_of(m.name, event.interval);
    m.ctx.event(Event::Kline(event));
    Ok(())
}

/// Turnover, where it is the quote's. Of contracts that are settled in their base asset the venue states it in that: no column
/// holds this, `raw` does.
pub(super) fn in_quote(family: &Family, turnover: Dec) -> Dec {
    if family.is_inverse { Dec::NONE } else { turnover }
}

/// An interval by whose calendar the days begin: candles of another time zone are others, though their frames say the same.
fn interval_of<'i>(stream: &'i str, said: &'i str) -> &'i str {
    let named = stream.rsplit_once("@kline_").map_or("", |n| n.1);
    if named.strip_prefix(said).is_some_and(|zone| zone.starts_with('@')) { named } else { said }
}

fn candle_event<'i>(
    candle: Val<'_, 'i>,
    instrument: crate::model::InstrumentId,
    stream: crate::model::StreamId,
    ts_send: i64,
) -> Result<Kline<'i>, Reject> {
    let (mut opened, mut closes, mut interval, mut first, mut last) = (None, None, None, None, None);
    let (mut open, mut close, mut high, mut low, mut closed) = (None, None, None, None, None);
    let (mut volume, mut count, mut quote, mut taker, mut taker_quote) = (None, None, None, None, None);
    for (key, v) in candle.fields() {
        match key.as_bytes() {
            b"t" => opened = Some(v),
            b"T" => closes = Some(v),
            b"i" => interval = Some(v),
            b"f" => first = Some(v),
            b"L" => last = Some(v),
            b"o" => open = Some(v),
            b"c" => close = Some(v),
            b"h" => high = Some(v),
            b"l" => low = Some(v),
            b"v" => volume = Some(v),
            b"n" => count = Some(v),
            b"x" => closed = Some(v),
            b"q" => quote = Some(v),
            b"V" => taker = Some(v),
            b"Q" => taker_quote = Some(v),
            _ => {}
        }
    }
    Ok(Kline {
        instrument,
        stream,
        ts_event: 0,
        ts_send,
        interval: text(interval, "k.i is missing or no text")?,
        ts_open: time(opened, "k.t is no integer")?,
        ts_close: time(closes, "k.T is no integer")?,
        open: decimal(open, "k.o is no decimal")?,
        high: decimal(high, "k.h is no decimal")?,
        low: decimal(low, "k.l is no decimal")?,
        close: decimal(close, "k.c is no decimal")?,
        volume: decimal(volume, "k.v is no decimal")?,
        quote_volume: decimal(quote, "k.q is no decimal")?,
        taker_volume: decimal(taker, "k.V is no decimal")?,
        taker_quote_volume: decimal(taker_quote, "k.Q is no decimal")?,
        trade_count: optional_id(count, "k.n is no integer")?,
        trade_id_first: optional_id(first, "k.f is no integer")?,
        trade_id_last: optional_id(last, "k.L is no integer")?,
        is_closed: closed.and_then(Val::as_bool).ok_or_else(|| shape("k.x is missing or no truth value"))?,
    })
}

/// Statistics of a window: the short form, the long form, and spot's fixed windows.
pub(super) fn ticker(m: &mut Message<'_>, v: Val<'_, '_>) -> Result<(), Reject> {
    let (mut event, mut sent, mut symbol, mut product) = (None, None, None, None);
    let (mut open, mut high, mut low, mut last, mut last_size) = (None, None, None, None, None);
    let (mut volume, mut quote, mut opened, mut closes, mut count) = (None, None, None, None, None);
    for (key, v) in v.fields() {
        match key.as_bytes() {
            b"e" => event = Some(v),
            b"E" => sent = Some(v),
            b"s" => symbol = Some(v),
            b"st" => product = Some(v),
            b"o" => open = Some(v),
            b"h" => high = Some(v),
            b"l" => low = Some(v),
            b"c" => last = Some(v),
            b"Q" => last_size = Some(v),
            b"v" => volume = Some(v),
            b"q" => quote = Some(v),
            b"O" => opened = Some(v),
            b"C" => closes = Some(v),
            b"n" => count = Some(v),
            _ => {}
        }
    }
    const EVENTS: [&str; 5] = ["24hrTicker", "24hrMiniTicker", "1hTicker", "4hTicker", "1dTicker"];
    if !m.is_event(event, &EVENTS)? || m.is_foreign(product, symbol) {
        return Ok(());
    }
    let at = m.instrument(symbol)?;
    if last.is_none() {
        return Err(shape("c is missing"));
    }
    let event = Ticker {
        instrument: at.id,
        stream: m.stream(),
        ts_event: 0,
        ts_send: time(sent, "E is no integer")?,
        open: decimal(open, "o is no decimal")?,
        high: decimal(high, "h is no decimal")?,
        low: decimal(low, "l is no decimal")?,
        last: decimal(last, "c is no decimal")?,
        last_size: decimal(last_size, "Q is no decimal")?,
        volume: decimal(volume, "v is no decimal")?,
        quote_volume: in_quote(m.family, decimal(quote, "q is no decimal")?),
        trade_count: optional_id(count, "n is no integer")?,
        ts_open: time(opened, "O is no integer")?,
        ts_close: time(closes, "C is no integer")?,
    };
    m.ctx.event(Event::Ticker(event));
    Ok(())
}
