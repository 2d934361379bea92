//! Frames to events: texts, JSON in text or binary frames, compressed ones, protobuf. Keys may come in any order.
//!
//! Frames do not name their topic: what they are about and of what kind finds it.

use super::binary;
use super::message::{class_of, decimal, id, id_time, is_in_s, now, optional_id, side, sums, trade_t};
use super::numbers::as_texts;
use crate::model::instrument::SYMBOL_BYTES_MAX;
use crate::model::{
    DecodeCtx, Depth, Event, InstrumentRef, Kline, Notice, Reject, RejectCause, Reply, StreamId, StreamInfo,
    StreamKind, Trade, TradeType,
};
use crate::parse::fields::{Exponents, exact, levels, shape, text, word};
use crate::parse::inflate::inflated;
use crate::parse::{Limits, Scratch, Sides, Val};

/// As [`crate::venue::Venue::decode`].
pub(super) fn frame(scratch: &mut Scratch, frame: &[u8], ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    match inflated(frame)? {
        None => plain(scratch, frame, ctx),
        Some(inner) => plain(scratch, &inner, ctx),
    }
}

fn plain(scratch: &mut Scratch, frame: &[u8], ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    match frame {
        b"pong" => {
            ctx.event(Event::Notice(Notice::Alive));
            Ok(())
        }
        b"ping" => {
            ctx.event(Event::Notice(Notice::Ping));
            Ok(())
        }
        [b'{' | b'[', ..] => document(scratch, frame, ctx),
        _ if ctx.is_binary() => binary::frame(frame, ctx),
        _ => Err(Reject::new(RejectCause::Malformed, "text frame is neither JSON nor ping or pong")),
    }
}

/// One message a frame in every example; more are taken all the same, and a faulty one does not cost the others.
fn document(scratch: &mut Scratch, frame: &[u8], ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let mut said = 0;
    let result = scratch.read(frame, Limits::MESSAGE, |root, sides| {
        let Some(elements) = root.elements() else { return object(root, sides, ctx) };
        for element in elements {
            object(element, sides, ctx)?;
            said += 1;
        }
        Ok(())
    });
    match result {
        // What is no JSON is none with texts in it either.
        Err(fault) if fault.cause != RejectCause::Malformed => with_texts(scratch, frame, said, fault, ctx),
        result => result,
    }
}

/// What is faulty may be so because its decimals are numbers: from there on the frame is read with texts in their place.
#[cold]
fn with_texts(
    scratch: &mut Scratch,
    frame: &[u8],
    said: usize,
    fault: Reject,
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    let texts = as_texts(frame);
    let mut is_list = false;
    let result = scratch.read(texts.as_deref().unwrap_or(frame), Limits::MESSAGE, |root, sides| {
        let Some(elements) = root.elements() else { return object(root, sides, ctx) };
        is_list = true;
        let mut first_fault = Ok(());
        for element in elements.skip(said) {
            first_fault = first_fault.and(object(element, sides, ctx));
        }
        first_fault
    });
    // Of a single message the first reading tells what is wrong with what the venue wrote.
    result.map_err(|e| if is_list { e } else { fault })
}

/// The keys of all messages.
#[derive(Default)]
struct Fields<'t, 'i> {
    event: Option<Val<'t, 'i>>,
    symbol: Option<Val<'t, 'i>>,
    time: Option<Val<'t, 'i>>,
    first: Option<Val<'t, 'i>>,
    last: Option<Val<'t, 'i>>,
    prev: Option<Val<'t, 'i>>,
    b: Option<Val<'t, 'i>>,
    a: Option<Val<'t, 'i>>,
    price: Option<Val<'t, 'i>>,
    maker: Option<Val<'t, 'i>>,
    id: Option<Val<'t, 'i>>,
    candle: Option<Val<'t, 'i>>,
    form: Option<Val<'t, 'i>>,
    code: Option<Val<'t, 'i>>,
    msg: Option<Val<'t, 'i>>,
}

impl<'t, 'i> Fields<'t, 'i> {
    fn of(v: Val<'t, 'i>) -> Option<Fields<'t, 'i>> {
        let mut f = Fields::default();
        for (key, v) in v.entries()? {
            match key.as_bytes() {
                b"e" => f.event = Some(v),
                b"s" => f.symbol = Some(v),
                b"t" => f.time = Some(v),
                b"U" => f.first = Some(v),
                b"u" => f.last = Some(v),
                b"pu" => f.prev = Some(v),
                b"b" => f.b = Some(v),
                b"a" => f.a = Some(v),
                b"p" => f.price = Some(v),
                b"m" => f.maker = Some(v),
                b"id" | b"i" => f.id = Some(v),
                b"k" => f.candle = Some(v),
                b"type" => f.form = Some(v),
                b"code" => f.code = Some(v),
                b"msg" | b"message" => f.msg = Some(v),
                _ => {}
            }
        }
        Some(f)
    }
}

fn object(v: Val<'_, '_>, sides: &mut Sides, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let Some(f) = Fields::of(v) else { return Err(shape("frame is no object")) };
    if f.event.is_none()
        && let Some(code) = f.code.and_then(Val::as_i64)
    {
        // It names neither topic nor request: whoever sent the last message knows.
        let text = word(f.msg);
        ctx.event(Event::Reply(Reply { is_error: code != 0, code, text, ..Reply::NONE }));
        return Ok(());
    }
    match text(f.event, "e is missing or no text")? {
        "depth" => depth(&f, word(f.form) != "delta", sides, ctx),
        "depth.update" => depth(&f, word(f.form) == "snapshot", sides, ctx),
        "trade" => trade(&f, ctx),
        "kline" => kline(&f, ctx),
        other => {
            ctx.event(Event::Other { name: other, stream: StreamId::NONE });
            Ok(())
        }
    }
}

/// The symbol, and the subscribed topic of this kind that is about it.
pub(super) fn topic(
    symbol: &str,
    kind: StreamKind,
    ctx: &mut dyn DecodeCtx,
) -> Result<(StreamInfo, InstrumentRef), Reject> {
    if symbol.is_empty() || symbol.len() > SYMBOL_BYTES_MAX {
        return Err(Reject::new(RejectCause::UnknownSymbol, "symbol is refused"));
    }
    let info = match ctx.stream_of(kind, symbol) {
        None => untold_topic(symbol, kind, ctx),
        known => known,
    };
    match info.map(|s| (s, s.instrument)) {
        Some((info, Some(at))) => Ok((info, at)),
        _ => Err(Reject::new(RejectCause::UnknownStream, "topic was not subscribed")),
    }
}

/// The topic of a frame in a recording that does not say what was subscribed to: in a live session there is none. How many
/// levels a topic of depth has is in no frame; the documented one is assumed.
fn untold_topic(symbol: &str, kind: StreamKind, ctx: &mut dyn DecodeCtx) -> Option<StreamInfo> {
    let (before, after) = match kind {
        StreamKind::DepthDiff => ("depth@", ",10"),
        StreamKind::TradeSparse => ("trade@", ""),
        _ => return None,
    };
    let mut buf = [0u8; SYMBOL_BYTES_MAX + 16];
    let mut at = 0;
    for part in [before, symbol, after] {
        buf.get_mut(at..at + part.len())?.copy_from_slice(part.as_bytes());
        at += part.len();
    }
    ctx.stream(std::str::from_utf8(&buf[..at]).ok()?)
}

fn read_sides(f: &Fields<'_, '_>, sides: &mut Sides, exps: &mut Exponents) -> Result<(), Reject> {
    for (v, out) in [(f.b, &mut sides.bids), (f.a, &mut sides.asks)] {
        // A side that is missing is empty.
        match v.filter(|v| !v.is_null()) {
            None => out.clear(),
            some => levels(some, out, exps, "b or a is no list of levels")?,
        }
    }
    Ok(())
}

/// Changes on a connection that carries them and not the book's own topic: no chain of ids here is the book's, so they are
/// kept as they came.
fn of_no_book(symbol: &str, ctx: &mut dyn DecodeCtx) -> Option<()> {
    let mut buf = [0u8; SYMBOL_BYTES_MAX + 16];
    let mut at = 0;
    for part in ["depth.update@", symbol] {
        buf.get_mut(at..at + part.len())?.copy_from_slice(part.as_bytes());
        at += part.len();
    }
    let info = ctx.peek(&buf[..at])?;
    ctx.enter(&info);
    ctx.event(Event::Other { name: "depth.update", stream: info.stream });
    Some(())
}

fn depth(
    f: &Fields<'_, '_>,
    is_whole: bool,
    sides: &mut Sides,
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    let symbol = text(f.symbol, "s is missing or no text")?;
    let (info, at) = match topic(symbol, StreamKind::DepthDiff, ctx) {
        Ok(t) => t,
        Err(r) => return of_no_book(symbol, ctx).ok_or(r),
    };
    let last = id(f.last, "u is missing or no id")?;
    let first =
        if is_whole { optional_id(f.first, "U is no id")? } else { id(f.first, "U is missing or no id")? };
    let prev = optional_id(f.prev, "pu is no id")?;
    if !is_whole && last < first {
        return Err(shape("u is below U"));
    }
    let now = now(ctx);
    let (ts_event, is_derived) = match optional_id(f.time, "t is no time")? {
        // The ids of this venue hold a time; a frame that has none of its own is that old.
        -1 => (id_time(last, now), true),
        t => (trade_t(t, now).0, trade_t(t, now).1 >= 0),
    };
    exact(ctx, at, |exps| read_sides(f, sides, exps))?;
    ctx.derives_time(is_derived && ts_event != 0);
    if is_whole {
        sides.bids.sort_unstable_by_key(|l| std::cmp::Reverse(l.price));
        sides.asks.sort_unstable_by_key(|l| l.price);
    }
    let d = Depth {
        instrument: at.id,
        stream: info.stream,
        ts_event,
        ts_send: 0,
        first,
        last,
        prev,
        bids: &sides.bids,
        asks: &sides.asks,
    };
    if is_whole {
        // Whole views are what the venue pushes, and what the book may be built on.
        ctx.event(Event::Partial(d));
        ctx.event(Event::Snapshot(d));
    } else {
        ctx.event(Event::Depth(d));
    }
    Ok(())
}

/// One trade as both encodings have it. `t` is its time or its id.
pub(super) struct Deal<'a> {
    pub symbol: &'a str,
    pub t: i64,
    pub id: i64,
    pub price: &'a str,
    pub size: &'a str,
    pub side: &'a str,
}

pub(super) fn deal(d: &Deal<'_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let (info, at) = topic(d.symbol, StreamKind::TradeSparse, ctx)?;
    let (ts, t_id) = trade_t(d.t, now(ctx));
    let trade_id = if d.id >= 0 { d.id } else { t_id };
    let ((price, size), at) = exact(ctx, at, |exps| Ok((exps.price(d.price)?, exps.size(d.size)?)))?;
    ctx.derives_time(t_id >= 0 && ts != 0);
    // Answers by REST have the time in ms.
    ctx.answers_differ_in_time(t_id >= 0 || is_in_s(d.t, ts));
    ctx.class(info.stream, class_of(d.t, (ts, t_id)));
    ctx.event(Event::Trade(Trade {
        instrument: at.id,
        stream: info.stream,
        ts_event: ts,
        ts_send: 0,
        chain_id: -1,
        id: trade_id,
        id_last: -1,
        id_text: "",
        side: side(d.side),
        price,
        size,
        trade_type: TradeType::Unknown,
        is_aggregate: false,
    }));
    Ok(())
}

fn trade(f: &Fields<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let d = Deal {
        symbol: text(f.symbol, "s is missing or no text")?,
        t: id(f.time, "t is missing or no integer")?,
        id: optional_id(f.id, "id is no id")?,
        price: text(f.price, "p is missing or no text")?,
        size: text(f.a, "a is missing or no text")?,
        side: text(f.maker, "m is missing or no text")?,
    };
    deal(&d, ctx)
}

/// A candle as both encodings have it; `a` and `v` are its sums, in an order that the numbers tell.
pub(super) struct Candle<'a> {
    pub symbol: &'a str,
    pub interval: &'a str,
    pub opened: i64,
    pub prices: [crate::model::Dec; 4],
    pub a: crate::model::Dec,
    pub v: crate::model::Dec,
}

pub(super) fn candle(c: &Candle<'_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let (info, at) = candle_topic(c.symbol, c.interval, ctx)?;
    let [open, high, low, close] = c.prices;
    ctx.derives_time(false);
    let (volume, quote_volume) = sums(c.a, c.v, close, ctx.contract_size(at.id));
    let none = crate::model::Dec::NONE;
    ctx.event(Event::Kline(Kline {
        instrument: at.id,
        stream: info.stream,
        ts_event: 0,
        ts_send: 0,
        interval: c.interval,
        ts_open: crate::model::time::ms_to_ns(c.opened),
        ts_close: 0,
        open,
        high,
        low,
        close,
        volume,
        quote_volume,
        taker_volume: none,
        taker_quote_volume: none,
        trade_count: -1,
        trade_id_first: -1,
        trade_id_last: -1,
        // Nothing says so: a candle is final when a later one has come.
        is_closed: false,
    }));
    Ok(())
}

/// The topic of a candle carries its interval: its name is put together without an allocation.
fn candle_topic(
    symbol: &str,
    interval: &str,
    ctx: &mut dyn DecodeCtx,
) -> Result<(StreamInfo, InstrumentRef), Reject> {
    let mut buf = [0u8; SYMBOL_BYTES_MAX + 16];
    let mut at = 0;
    if symbol.len() <= SYMBOL_BYTES_MAX && interval.len() <= 8 {
        for part in ["kline@", symbol, ",", interval] {
            buf[at..at + part.len()].copy_from_slice(part.as_bytes());
            at += part.len();
        }
    }
    let name = std::str::from_utf8(&buf[..at]).unwrap_or("");
    match ctx.stream(name).map(|s| (s, s.instrument)) {
        Some((info, Some(at))) => Ok((info, at)),
        _ => Err(Reject::new(RejectCause::UnknownStream, "topic was not subscribed")),
    }
}

fn kline(f: &Fields<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let Some(entries) = f.candle.and_then(Val::entries) else {
        return Err(shape("k is missing or no object"));
    };
    let (mut symbol, mut interval, mut opened, mut a, mut v) = (f.symbol, None, None, None, None);
    let (mut open, mut high, mut low, mut close) = (None, None, None, None);
    for (key, value) in entries {
        match key.as_bytes() {
            b"s" => symbol = symbol.or(Some(value)),
            b"i" => interval = Some(value),
            b"t" => opened = Some(value),
            b"o" => open = Some(value),
            b"h" => high = Some(value),
            b"l" => low = Some(value),
            b"c" => close = Some(value),
            b"a" => a = Some(value),
            b"v" => v = Some(value),
            _ => {}
        }
    }
    let c = Candle {
        symbol: text(symbol, "s is missing or no text")?,
        interval: text(interval, "k.i is missing or no text")?,
        opened: id(opened, "k.t is missing or no time")?,
        prices: [
            decimal(open, "k.o is no decimal")?,
            decimal(high, "k.h is no decimal")?,
            decimal(low, "k.l is no decimal")?,
            decimal(close, "k.c is no decimal")?,
        ],
        a: decimal(a, "k.a is no decimal")?,
        v: decimal(v, "k.v is no decimal")?,
    };
    candle(&c, ctx)
}
