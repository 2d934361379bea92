//! Bytes to events.

use lobtape::model::{
    DecodeCtx, Depth, Event, InstrumentRef, InstrumentVersion, Reject, RejectCause, Reply, StreamId,
    StreamInfo, Trade, TradeType,
};
use lobtape::parse::fields::{exact, id, levels, shape, text, time};
use lobtape::parse::{Limits, Scratch, Sides, Val, parse_dec};
use lobtape::venue::InstrumentList;

pub(super) fn frame(scratch: &mut Scratch, frame: &[u8], ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    scratch.read(frame, Limits::MESSAGE, |root, sides| {
        if let Some(name) = root.get("ok").and_then(Val::as_str) {
            let stream = ctx.stream(name).map_or(StreamId::NONE, |s| s.stream);
            ctx.event(Event::Reply(Reply { stream, ..Reply::NONE }));
            return Ok(());
        }
        if let Some(why) = root.get("no").and_then(Val::as_str) {
            let of = root.get("of").and_then(Val::as_str);
            let stream = of.and_then(|name| ctx.stream(name)).map_or(StreamId::NONE, |s| s.stream);
            ctx.event(Event::Reply(Reply { stream, is_error: true, text: why, ..Reply::NONE }));
            return Ok(());
        }
        match text(root.get("on"), "neither a stream nor an answer")? {
            name if name.starts_with("book:") => book(name, root, sides, ctx),
            name if name.starts_with("trade:") => trade(name, root, ctx),
            name => {
                ctx.event(Event::Other { name, stream: StreamId::NONE });
                Ok(())
            }
        }
    })
}

fn stream(name: &str, ctx: &mut dyn DecodeCtx) -> Result<(StreamInfo, InstrumentRef), Reject> {
    let unknown = || Reject::new(RejectCause::UnknownStream, "stream was not subscribed");
    let info = ctx.stream(name).ok_or_else(unknown)?;
    Ok((info, info.instrument.ok_or_else(unknown)?))
}

fn book(name: &str, v: Val<'_, '_>, sides: &mut Sides, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let (info, at) = stream(name, ctx)?;
    let (first, last) = (id(v.get("from"), "from is no id")?, id(v.get("to"), "to is no id")?);
    let ts_event = time(v.get("at"), "at is no time")?;
    exact(ctx, at, |exps| {
        levels(v.get("bids"), &mut sides.bids, exps, "bids are no list of levels")?;
        levels(v.get("asks"), &mut sides.asks, exps, "asks are no list of levels")
    })?;
    ctx.event(Event::Depth(Depth {
        instrument: at.id,
        stream: info.stream,
        ts_event,
        ts_send: 0,
        first,
        last,
        prev: -1,
        bids: &sides.bids,
        asks: &sides.asks,
    }));
    Ok(())
}

fn trade(name: &str, v: Val<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let (info, at) = stream(name, ctx)?;
    let trade_id = id(v.get("id"), "id is no id")?;
    let ts_event = time(v.get("at"), "at is no time")?;
    let (price, size) = (text(v.get("price"), "no price")?, text(v.get("size"), "no size")?);
    let side = match text(v.get("took"), "no side")? {
        "bid" => -1,
        "ask" => 1,
        _ => 0,
    };
    let ((price, size), at) = exact(ctx, at, |exps| Ok((exps.price(price)?, exps.size(size)?)))?;
    ctx.event(Event::Trade(Trade {
        instrument: at.id,
        stream: info.stream,
        ts_event,
        ts_send: 0,
        chain_id: trade_id,
        id: trade_id,
        id_last: -1,
        id_text: "",
        side,
        price,
        size,
        trade_type: TradeType::Market,
        is_aggregate: false,
    }));
    Ok(())
}

pub(super) fn snapshot(
    scratch: &mut Scratch,
    symbol: &str,
    body: &[u8],
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    scratch.read(body, Limits::SNAPSHOT, |v, sides| {
        let unknown = || Reject::new(RejectCause::UnknownSymbol, "symbol is refused");
        let at = ctx.instrument(symbol).ok_or_else(unknown)?;
        let last = id(v.get("to"), "to is no id")?;
        exact(ctx, at, |exps| {
            levels(v.get("bids"), &mut sides.bids, exps, "bids are no list of levels")?;
            levels(v.get("asks"), &mut sides.asks, exps, "asks are no list of levels")
        })?;
        ctx.event(Event::Snapshot(Depth {
            instrument: at.id,
            stream: StreamId::NONE,
            ts_event: 0,
            ts_send: 0,
            first: -1,
            last,
            prev: -1,
            bids: &sides.bids,
            asks: &sides.asks,
        }));
        Ok(())
    })
}

pub(super) fn instruments(venue: &str, body: &[u8]) -> Result<InstrumentList, Reject> {
    let all: Vec<serde_json::Value> = serde_json::from_slice(body).map_err(|e| match e.is_data() {
        true => shape("no list"),
        false => Reject::new(RejectCause::Malformed, "no JSON"),
    })?;
    let mut list = InstrumentList::default();
    for v in all {
        let word = |k: &str| v[k].as_str().unwrap_or("").to_owned();
        let step = |k: &str| parse_dec(word(k).as_bytes()).ok();
        match (step("tick"), step("step")) {
            (Some(tick), Some(step)) => list.instruments.push(InstrumentVersion {
                base: word("base"),
                quote: word("quote"),
                status: word("state"),
                price_exp: tick.e,
                size_exp: step.e,
                tick_size: tick,
                step_size: step,
                source: "venue".to_owned(),
                raw_json: v.to_string(),
                ..InstrumentVersion::observed(venue, &word("symbol"))
            }),
            _ => list.faulty += 1,
        }
    }
    Ok(list)
}
