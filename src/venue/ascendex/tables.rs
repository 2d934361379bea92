//! Trades, best bid and ask, candles, mark prices.

use super::decode::{Frame, stream_of};
use super::streams::ASSETLESS;
use crate::model::instrument::SYMBOL_BYTES_MAX;
use crate::model::{
    Bbo, Dec, DecodeCtx, Event, InstrumentId, InstrumentRef, Kline, Level, Mark, OpenInterest, Reject,
    RejectCause, StreamId, Trade, TradeType,
};
use crate::parse::Val;
use crate::parse::fields::{after_fault, best, decimal, exact, id, shape, text, time};

/// Several trades in one array. Ids rise and skip: they tell trades apart and prove nothing.
pub(super) fn trades(f: &Frame<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let symbol = text(f.symbol, "symbol is missing or no text")?;
    let (info, at) = stream_of(ctx, ["trades", ":", symbol])?;
    all_trades(f, info.stream, at, ctx)
}

/// Trades that were asked for by message, with or without their stream.
pub(super) fn latest_trades(f: &Frame<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let symbol = text(f.symbol, "symbol is missing or no text")?;
    if let Ok((info, at)) = stream_of(ctx, ["trades", ":", symbol]) {
        return all_trades(f, info.stream, at, ctx);
    }
    let is_one = !symbol.is_empty() && symbol.len() <= SYMBOL_BYTES_MAX;
    match is_one.then(|| ctx.instrument(symbol)).flatten() {
        Some(at) => all_trades(f, StreamId::NONE, at, ctx),
        None => Err(Reject::new(RejectCause::UnknownSymbol, "symbol is refused")),
    }
}

fn all_trades(
    f: &Frame<'_, '_>,
    stream: StreamId,
    mut at: InstrumentRef,
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    let Some(list) = f.data.and_then(Val::elements) else {
        return Err(shape("data is missing or no array"));
    };
    let mut first_fault = Ok(());
    for v in list {
        match trade(v, stream, at, ctx) {
            Ok(now) => at = now,
            Err(e) => {
                at = after_fault(ctx, at);
                first_fault = first_fault.and(Err(e));
            }
        }
    }
    first_fault
}

pub(super) fn trade(
    v: Val<'_, '_>,
    stream: StreamId,
    at: InstrumentRef,
    ctx: &mut dyn DecodeCtx,
) -> Result<InstrumentRef, Reject> {
    let Some(entries) = v.entries() else { return Err(shape("trade is no object")) };
    let (mut price, mut size, mut ts, mut maker, mut seqnum) = (None, None, None, None, None);
    for (key, v) in entries {
        match key.as_bytes() {
            b"p" => price = Some(v),
            b"q" => size = Some(v),
            b"ts" => ts = Some(v),
            b"bm" => maker = Some(v),
            b"seqnum" => seqnum = Some(v),
            _ => {}
        }
    }
    let trade_id = id(seqnum, "seqnum is missing or no integer")?;
    let ts_event = time(ts, "ts is no integer")?;
    // The buyer is the maker: the taker sold.
    let side = match maker.map(Val::as_bool) {
        None => 0,
        Some(Some(true)) => -1,
        Some(Some(false)) => 1,
        Some(None) => return Err(shape("bm is no truth value")),
    };
    let (price, size) = (text(price, "p is missing or no text")?, text(size, "q is missing or no text")?);
    let ((price, size), at) = exact(ctx, at, |exps| Ok((exps.price(price)?, exps.size(size)?)))?;
    ctx.event(Event::Trade(Trade {
        instrument: at.id,
        stream,
        ts_event,
        ts_send: 0,
        chain_id: -1,
        id: trade_id,
        id_last: -1,
        id_text: "",
        side,
        price,
        size,
        // The page does not say which trades these are, nor has a frame a word for it.
        trade_type: TradeType::Unknown,
        is_aggregate: false,
    }));
    Ok(at)
}

/// The venue's best bid and ask; a side may be missing.
pub(super) fn bbo(f: &Frame<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let symbol = text(f.symbol, "symbol is missing or no text")?;
    let (info, at) = stream_of(ctx, ["bbo", ":", symbol])?;
    let (mut ts, mut bid, mut ask) = (None, None, None);
    for (key, v) in f.object()?.fields() {
        match key.as_bytes() {
            b"ts" => ts = Some(v),
            b"bid" => bid = Some(v),
            b"ask" => ask = Some(v),
            _ => {}
        }
    }
    let (bid, ask) = (side(bid, "bid is no pair of texts")?, side(ask, "ask is no pair of texts")?);
    if bid.is_none() && ask.is_none() {
        return Err(shape("neither bid nor ask"));
    }
    let ts_event = time(ts, "ts is no integer")?;
    let ((bid, ask), _) = exact(ctx, at, |exps| {
        let mut one = |s: Option<(&str, &str)>| s.map_or(Ok(Level::default()), |(p, q)| best(exps, p, q));
        Ok((one(bid)?, one(ask)?))
    })?;
    let (instrument, stream) = (at.id, info.stream);
    ctx.event(Event::Bbo(Bbo { instrument, stream, ts_event, ts_send: 0, last: -1, bid, ask }));
    Ok(())
}

fn side<'i>(v: Option<Val<'_, 'i>>, what: &'static str) -> Result<Option<(&'i str, &'i str)>, Reject> {
    match v.filter(|v| !v.is_null() && v.elements().is_none_or(|e| e.remaining() > 0)) {
        None => Ok(None),
        Some(v) => v.as_pair().map(Some).ok_or_else(|| shape(what)),
    }
}

/// The venue counts in minutes and calls a month `1m`; the tables have the words that all others use.
fn interval(word: &str) -> &str {
    match word {
        "1" => "1m",
        "5" => "5m",
        "15" => "15m",
        "30" => "30m",
        "60" => "1h",
        "120" => "2h",
        "240" => "4h",
        "360" => "6h",
        "720" => "12h",
        "1m" => "1M",
        other => other,
    }
}

/// A candle so far. Nothing says that it is final: the next one does.
pub(super) fn bar(f: &Frame<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let symbol = text(f.symbol, "s is missing or no text")?;
    let data = f.object()?;
    let of = text(data.get("i"), "i is missing or no text")?;
    let mut name = [0u8; 24];
    let channel = joined(&mut name, "bar:", of).ok_or_else(|| shape("i is no interval"))?;
    let (info, at) = stream_of(ctx, [channel, ":", symbol])?;
    let k = candle(data, at.id, info.stream, false)?;
    ctx.event(Event::Kline(k));
    Ok(())
}

/// `data` of a candle.
pub(super) fn candle<'i>(
    data: Val<'_, 'i>,
    instrument: InstrumentId,
    stream: StreamId,
    is_closed: bool,
) -> Result<Kline<'i>, Reject> {
    let (mut of, mut opened, mut volume) = (None, None, None);
    let (mut open, mut close, mut high, mut low) = (None, None, None, None);
    for (key, v) in data.fields() {
        match key.as_bytes() {
            b"i" => of = Some(v),
            b"ts" => opened = Some(v),
            b"o" => open = Some(v),
            b"c" => close = Some(v),
            b"h" => high = Some(v),
            b"l" => low = Some(v),
            b"v" => volume = Some(v),
            _ => {}
        }
    }
    Ok(Kline {
        instrument,
        stream,
        ts_event: 0,
        ts_send: 0,
        interval: interval(text(of, "i is missing or no text")?),
        ts_open: time(opened, "ts is no integer")?,
        ts_close: 0,
        open: decimal(open, "o is no decimal")?,
        high: decimal(high, "h is no decimal")?,
        low: decimal(low, "l is no decimal")?,
        close: decimal(close, "c is no decimal")?,
        volume: decimal(volume, "v is no decimal")?,
        quote_volume: Dec::NONE,
        taker_volume: Dec::NONE,
        taker_quote_volume: Dec::NONE,
        trade_count: -1,
        trade_id_first: -1,
        trade_id_last: -1,
        is_closed,
    })
}

fn joined<'b>(buf: &'b mut [u8; 24], a: &str, b: &str) -> Option<&'b str> {
    buf.get_mut(..a.len())?.copy_from_slice(a.as_bytes());
    buf.get_mut(a.len()..a.len() + b.len())?.copy_from_slice(b.as_bytes());
    std::str::from_utf8(&buf[..a.len() + b.len()]).ok()
}

/// All contracts in one frame: mark and index price, funding, open interest.
pub(super) fn pricing(f: &Frame<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let Some(info) = ctx.stream(ASSETLESS) else {
        return Err(Reject::new(RejectCause::UnknownStream, "stream was not subscribed"));
    };
    contracts(f.contracts.or(f.data), info.stream, ctx)
}

/// A list of contracts, of the stream or by REST.
pub(super) fn contracts(
    list: Option<Val<'_, '_>>,
    stream: StreamId,
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    let Some(list) = list.and_then(Val::elements) else {
        return Err(shape("the list of contracts is missing or no array"));
    };
    let mut first_fault = Ok(());
    for v in list {
        let said = contract(v, stream, ctx);
        if first_fault.is_ok() {
            first_fault = said;
        }
    }
    first_fault
}

fn contract(v: Val<'_, '_>, stream: StreamId, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let Some(entries) = v.entries() else { return Err(shape("contract is no object")) };
    let (mut symbol, mut ts, mut index, mut mark) = (None, None, None, None);
    let (mut rate, mut interest, mut next) = (None, None, None);
    for (key, v) in entries {
        match key.as_bytes() {
            // By REST the keys are words.
            b"s" | b"symbol" => symbol = Some(v),
            b"t" | b"time" => ts = Some(v),
            b"ip" | b"indexPrice" => index = Some(v),
            b"mp" | b"markPrice" => mark = Some(v),
            b"r" | b"fundingRate" => rate = Some(v),
            b"oi" | b"openInterest" => interest = Some(v),
            b"f" | b"nextFundingTime" => next = Some(v),
            _ => {}
        }
    }
    let symbol = text(symbol, "s is missing or no text")?;
    let ts_event = time(ts, "t is no integer")?;
    let (mark_px, index_px) = (decimal(mark, "mp is no decimal")?, decimal(index, "ip is no decimal")?);
    let funding_rate = decimal(rate, "r is no decimal")?;
    let open_interest = decimal(interest, "oi is no decimal")?;
    let ts_next_funding = time(next, "f is no integer")?;
    if mark_px.is_none() {
        return Err(shape("mp is missing"));
    }
    let Some(at) = ctx.instrument(symbol) else {
        return Err(Reject::new(RejectCause::UnknownSymbol, "symbol is refused"));
    };
    let instrument = at.id;
    ctx.event(Event::Mark(Mark {
        instrument,
        stream,
        ts_event,
        ts_send: 0,
        mark_px,
        index_px,
        settle_px: Dec::NONE,
        funding_rate,
        ts_next_funding,
    }));
    if !open_interest.is_none() {
        let ts_send = 0;
        ctx.event(Event::OpenInterest(OpenInterest { instrument, stream, ts_event, ts_send, open_interest }));
    }
    Ok(())
}
