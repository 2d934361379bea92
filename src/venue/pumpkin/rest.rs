//! REST: the envelope, snapshots, what is asked for again and again because no stream has it, and refusals.

use super::message::{decimal, id, id_time, now, optional_id, side, sums};
use super::numbers::as_texts;
use super::topics::INTERVALS;
use crate::model::time::ms_to_ns;
use crate::model::{
    Dec, DecodeCtx, Depth, Event, FundingRate, InstrumentId, InstrumentRef, Kline, Mark, OpenInterest, Poll,
    Reject, RejectCause, RestKind, RestRefusal, RestRequest, StreamId, StreamKind, Ticker, Trade, TradeType,
    TradesRequest,
};
use crate::parse::fields::{after_fault, exact, levels, shape, text};
use crate::parse::url::{encode_into, path_and_query, query_value};
use crate::parse::{Limits, Scratch, Val};

/// The firewall bans an address for an hour.
const BANNED_S: u32 = 3600;
/// Levels of a snapshot: the most that the venue gives.
const LEVELS: u32 = 50;
const DEPTH: &str = "/v2/public/q/depth";
const DEALS: &str = "/v2/public/q/deal";
/// Trades in an answer: the documented default, for the most is not known.
const DEALS_MOST: usize = 50;

/// Ends of paths whose answers have rows, candles aside.
const WITH_ROWS: [&str; 11] = [
    "tickers",
    "ticker",
    "agg-tickers",
    "agg-ticker",
    "mark-price",
    "symbol-mark-price",
    "index-price",
    "symbol-index-price",
    "funding-rate",
    "funding-rate-record",
    "open-interest",
];
const DETAIL: &str = "/v2/public/symbol/detail";
const ALL: &str = "symbol/all";
/// Candles, newest first: a candle is final when a newer one is there.
const KLINE: &str = "kline";
/// What has no stream, and what its page lists beside.
pub(super) static POLLS: [Poll; 15] = [
    Poll::market("agg-tickers", "/v2/public/q/agg-tickers?timeRangeType=H24", StreamKind::Ticker).every(10),
    Poll::market("tickers", "/v2/public/q/tickers?timeRangeType=H24", StreamKind::Ticker).every(10),
    Poll::market("mark-price", "/v2/public/q/mark-price", StreamKind::Mark).every(10),
    Poll::market("index-price", "/v2/public/q/index-price", StreamKind::Mark).every(10),
    Poll::symbol(
        "agg-ticker",
        "/v2/public/q/agg-ticker?symbol={symbol}&timeRangeType=H24",
        StreamKind::Ticker,
    ),
    Poll::symbol("ticker", "/v2/public/q/ticker?symbol={symbol}&timeRangeType=H24", StreamKind::Ticker),
    Poll::symbol("symbol-mark-price", "/v2/public/q/symbol-mark-price?symbol=", StreamKind::Mark),
    Poll::symbol("symbol-index-price", "/v2/public/q/symbol-index-price?symbol=", StreamKind::Mark),
    Poll::symbol("funding-rate", "/v2/public/q/funding-rate?symbol=", StreamKind::Mark),
    Poll::symbol(
        "funding-rate-record",
        "/v2/public/q/funding-rate-record?limit=100&symbol=",
        StreamKind::Funding,
    )
    .every(3600),
    Poll::symbol("open-interest", "/v2/public/contract/open-interest?symbol=", StreamKind::OpenInterest),
    Poll::symbol("risk-balance", "/v2/public/contract/risk-balance?symbol=", StreamKind::RawOnly).every(3600),
    // A version of the symbol, between two lists.
    Poll::symbol("symbol/detail", "/v2/public/symbol/detail?symbol=", StreamKind::RawOnly).every(3600),
    // Names alone, whatever its description says: what there is to know of them is in the list.
    Poll::market(ALL, "/v2/public/symbol/all", StreamKind::RawOnly).every(3600),
    // Its stream is `kline,1m`.
    Poll::symbol("q/kline,", "/v2/public/q/kline?interval={}&limit=10&symbol=", StreamKind::Kline)
        .args(&INTERVALS),
];

/// As [`crate::venue::Venue::snapshot_request`].
pub(super) fn snapshot_request(symbol: &str) -> RestRequest {
    let mut path = format!("{DEPTH}?level={LEVELS}&symbol=");
    encode_into(&mut path, symbol, "");
    RestRequest { path, weight: 1 }
}

/// As [`crate::venue::Venue::rest_kind`].
pub(super) fn rest_kind(url: &str) -> RestKind {
    let (path, query) = path_and_query(url);
    let asked = |p: &&Poll| p.path.split('?').next() == Some(path);
    match path {
        DEPTH => match query_value(query, "symbol") {
            Some(symbol) if !symbol.is_empty() => RestKind::Depth { symbol },
            _ => RestKind::Other,
        },
        "/v2/public/symbol/list" => RestKind::Instruments,
        DEALS => match query_value(query, "symbol") {
            Some(symbol) if !symbol.is_empty() => RestKind::Trades { symbol },
            _ => RestKind::Other,
        },
        "/v2/public/time" => RestKind::Time,
        _ if POLLS.iter().any(|p| asked(&p)) => RestKind::Polled,
        _ => RestKind::Other,
    }
}

/// Whether a path is that of the answer about one symbol.
pub(super) fn is_detail(path: &str) -> bool {
    path_and_query(path).0 == DETAIL
}

/// What the venue's code means for whoever reads of it.
fn meaning(code: i64) -> &'static str {
    match code {
        1 => "the venue refuses format, key or signature (code 1)",
        -1 => "the venue refuses the key or its account (code -1)",
        403 => "the venue's firewall has blocked this address (code 403)",
        418 => "this address is not in the key's list (code 418)",
        429 => "too many requests from this address (code 429)",
        439 => "the key's weight is used up (code 439)",
        467 => "the symbol is not in the key's list (code 467)",
        _ => "the venue answered with an error",
    }
}

/// The same as a rejection.
pub(super) fn refused(code: i64) -> Reject {
    Reject::new(RejectCause::Status, meaning(code))
}

/// `data` of an envelope; whatever comes without one (`cmc`, `cg`) is not asked for.
fn data<'t, 'i>(root: Val<'t, 'i>) -> Result<Val<'t, 'i>, Reject> {
    if root.entries().is_none() {
        return Err(shape("body is no object"));
    }
    match root.get("code").and_then(Val::as_i64) {
        None => Err(shape("code is missing or no integer")),
        Some(0) => root.get("data").filter(|d| !d.is_null()).ok_or_else(|| shape("data is missing")),
        Some(code) => Err(refused(code)),
    }
}

/// As [`crate::venue::Venue::decode_snapshot`].
pub(super) fn snapshot(
    scratch: &mut Scratch,
    symbol: &str,
    body: &[u8],
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    let texts = as_texts(body);
    scratch.read(texts.as_deref().unwrap_or(body), Limits::SNAPSHOT, |root, sides| {
        let d = data(root)?;
        if d.entries().is_none() {
            return Err(shape("data is no object"));
        }
        if d.get("s").is_some_and(|s| s.as_str() != Some(symbol)) {
            return Err(shape("snapshot is of another symbol"));
        }
        let last = id(d.get("u"), "u is missing or no id")?;
        let ts_send = ms_to_ns(optional_id(d.get("t"), "t is no time")?.max(0));
        let Some(at) = ctx.instrument(symbol) else {
            return Err(Reject::new(RejectCause::UnknownSymbol, "symbol is refused"));
        };
        let ts_event = id_time(last, now(ctx));
        exact(ctx, at, |exps| {
            levels(d.get("b"), &mut sides.bids, exps, "b is missing or no levels")?;
            levels(d.get("a"), &mut sides.asks, exps, "a is missing or no levels")
        })?;
        ctx.derives_time(ts_event != 0);
        ctx.event(Event::Snapshot(Depth {
            instrument: at.id,
            stream: StreamId::NONE,
            ts_event,
            ts_send,
            first: -1,
            last,
            prev: -1,
            bids: &sides.bids,
            asks: &sides.asks,
        }));
        Ok(())
    })
}

/// As [`crate::venue::Venue::trades_request`]: the latest ones, without ids. More than the default is of no known limit.
pub(super) fn trades_request(symbol: &str) -> TradesRequest {
    let mut path = format!("{DEALS}?num={DEALS_MOST}&symbol=");
    encode_into(&mut path, symbol, "");
    TradesRequest { path, weight: 1, most: DEALS_MOST, by_id: false }
}

/// As [`crate::venue::Venue::decode_trades`]. Newest first in the example; told oldest first, those of one millisecond too:
/// the other way round only where the answer's own times rise.
pub(super) fn trades(
    scratch: &mut Scratch,
    symbol: &str,
    body: &[u8],
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    let texts = as_texts(body);
    scratch.read(texts.as_deref().unwrap_or(body), Limits::MESSAGE, |root, _| {
        let Some(list) = data(root)?.elements() else { return Err(shape("data is no array")) };
        let Some(mut at) = ctx.instrument(symbol) else {
            return Err(Reject::new(RejectCause::UnknownSymbol, "symbol is refused"));
        };
        let mut all: Vec<Val<'_, '_>> = list.collect();
        let time = |v: &Val<'_, '_>| id(v.get("t"), "").ok();
        let rises = |w: &[Val<'_, '_>]| time(&w[0]).cmp(&time(&w[1]));
        if all.windows(2).map(rises).find(|o| o.is_ne()) != Some(std::cmp::Ordering::Less) {
            all.reverse();
        }
        all.sort_by_key(time);
        let mut first_fault = Ok(());
        for v in all {
            match deal(v, symbol, at, ctx) {
                Ok(now) => at = now,
                Err(e) => {
                    at = after_fault(ctx, at);
                    first_fault = first_fault.and(Err(e));
                }
            }
        }
        first_fault
    })
}

fn deal(
    v: Val<'_, '_>,
    symbol: &str,
    at: InstrumentRef,
    ctx: &mut dyn DecodeCtx,
) -> Result<InstrumentRef, Reject> {
    if v.entries().is_none() {
        return Err(shape("deal is no object"));
    }
    if v.get("s").is_some_and(|s| s.as_str() != Some(symbol)) {
        return Err(shape("deal is of another symbol"));
    }
    let ts_event = ms_to_ns(id(v.get("t"), "t is missing or no time")?);
    let (p, a) = (text(v.get("p"), "p is missing or no text")?, text(v.get("a"), "a is missing or no text")?);
    let side = side(text(v.get("m"), "m is missing or no text")?);
    let ((price, size), at) = exact(ctx, at, |exps| Ok((exps.price(p)?, exps.size(a)?)))?;
    ctx.event(Event::Trade(Trade {
        instrument: at.id,
        stream: StreamId::NONE,
        ts_event,
        ts_send: 0,
        chain_id: -1,
        id: -1,
        id_last: -1,
        id_text: "",
        side,
        price,
        size,
        trade_type: TradeType::Unknown,
        is_aggregate: false,
    }));
    Ok(at)
}

/// As [`crate::venue::Venue::decode_polled`].
pub(super) fn polled(
    scratch: &mut Scratch,
    url: &str,
    body: &[u8],
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    let (path, query) = path_and_query(url);
    let end = path.rsplit('/').next().unwrap_or("");
    // A name that is a number is none.
    let texts = if path.ends_with(ALL) { None } else { as_texts(body) };
    scratch.read(texts.as_deref().unwrap_or(body), Limits::MESSAGE, |root, _| {
        let d = data(root)?;
        if path.ends_with(ALL) {
            return names(d, ctx);
        }
        let items = d.get("items").and_then(Val::elements).or_else(|| d.elements());
        let Some(items) = items else { return one(end, d, true, ctx) };
        let mut all: Vec<Val<'_, '_>> = items.collect();
        if matches!(end, KLINE | "funding-rate-record") {
            // Newest first in the examples; rows are told in the order of their times, and each of them once.
            all.sort_by_key(|v| v.get("t").or_else(|| v.get("createdTime")).and_then(Val::as_i64));
        }
        let interval = query_value(query, "interval").unwrap_or_default();
        let mut first_fault = Ok(());
        for (n, item) in all.iter().enumerate() {
            let is_last = n + 1 == all.len();
            let said = match end {
                KLINE => candle(*item, &interval, !is_last, ctx),
                _ => one(end, *item, is_last, ctx),
            };
            if first_fault.is_ok() {
                first_fault = said;
            }
        }
        first_fault
    })
}

/// Symbols by name, which have no table: they are counted once.
fn names(d: Val<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let Some(mut all) = d.elements() else { return Err(shape("data is no array")) };
    if !all.all(|v| v.as_str().is_some_and(|s| !s.is_empty())) {
        return Err(shape("symbol is no text"));
    }
    ctx.event(Event::Other { name: ALL, stream: StreamId::NONE });
    Ok(())
}

fn instrument(v: Val<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<InstrumentId, Reject> {
    let symbol = text(v.get("s").or_else(|| v.get("symbol")), "symbol is missing or no text")?;
    let at = ctx.instrument(symbol);
    at.map(|at| at.id).ok_or_else(|| Reject::new(RejectCause::UnknownSymbol, "symbol is refused"))
}

/// By REST `a` is the volume and `v` the turnover, the other way round than on the stream; the numbers decide.
fn candle(v: Val<'_, '_>, interval: &str, is_closed: bool, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    if v.entries().is_none() {
        return Err(shape("candle is no object"));
    }
    let at = instrument(v, ctx)?;
    let dec = |key, what| decimal(v.get(key), what);
    let close = dec("c", "c is no decimal")?;
    let (a, b) = (dec("a", "a is no decimal")?, dec("v", "v is no decimal")?);
    let (volume, quote_volume) = sums(a, b, close, ctx.contract_size(at));
    ctx.event(Event::Kline(Kline {
        instrument: at,
        stream: StreamId::NONE,
        ts_event: 0,
        ts_send: 0,
        interval,
        ts_open: ms_to_ns(id(v.get("t"), "t is missing or no time")?),
        ts_close: 0,
        open: dec("o", "o is no decimal")?,
        high: dec("h", "h is no decimal")?,
        low: dec("l", "l is no decimal")?,
        close,
        volume,
        quote_volume,
        taker_volume: Dec::NONE,
        taker_quote_volume: Dec::NONE,
        trade_count: -1,
        trade_id_first: -1,
        trade_id_last: -1,
        is_closed,
    }));
    Ok(())
}

/// One row of an answer. What has no table is counted once for an answer.
fn one(end: &str, v: Val<'_, '_>, is_last: bool, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    if v.entries().is_none() {
        return Err(shape("row is no object"));
    }
    if !WITH_ROWS.contains(&end) {
        if is_last {
            ctx.event(Event::Other { name: end, stream: StreamId::NONE });
        }
        return Ok(());
    }
    let id_of = instrument(v, ctx)?;
    match end {
        "tickers" | "ticker" | "agg-tickers" | "agg-ticker" => ticker(v, id_of, ctx),
        "mark-price" | "symbol-mark-price" => price(v, id_of, true, ctx),
        "index-price" | "symbol-index-price" => price(v, id_of, false, ctx),
        "funding-rate" => {
            let next = optional_id(v.get("nextCollectionTime"), "nextCollectionTime is no time")?;
            let rate = decimal(v.get("fundingRate"), "fundingRate is no decimal")?;
            ctx.event(Event::Mark(Mark {
                funding_rate: rate,
                ts_next_funding: ms_to_ns(next.max(0)),
                ..mark(id_of)
            }));
            Ok(())
        }
        "funding-rate-record" => {
            let at_ms = id(v.get("createdTime"), "createdTime is missing or no time")?;
            ctx.event(Event::Funding(FundingRate {
                instrument: id_of,
                stream: StreamId::NONE,
                ts_event: ms_to_ns(at_ms),
                ts_send: 0,
                funding_rate: decimal(v.get("fundingRate"), "fundingRate is no decimal")?,
                ts_funding: ms_to_ns(at_ms),
            }));
            Ok(())
        }
        "open-interest" => {
            let t = ms_to_ns(optional_id(v.get("time"), "time is no time")?.max(0));
            ctx.event(Event::OpenInterest(OpenInterest {
                instrument: id_of,
                stream: StreamId::NONE,
                ts_event: t,
                ts_send: 0,
                // Contracts or base coins: the venue's own number, whichever it is.
                open_interest: decimal(v.get("openInterest"), "openInterest is no decimal")?,
            }));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn mark(instrument: InstrumentId) -> Mark {
    Mark {
        instrument,
        stream: StreamId::NONE,
        ts_event: 0,
        ts_send: 0,
        mark_px: Dec::NONE,
        index_px: Dec::NONE,
        settle_px: Dec::NONE,
        funding_rate: Dec::NONE,
        ts_next_funding: 0,
    }
}

fn price(v: Val<'_, '_>, at: InstrumentId, is_mark: bool, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let p = decimal(v.get("p"), "p is no decimal")?;
    let t = ms_to_ns(optional_id(v.get("t"), "t is no time")?.max(0));
    let (mark_px, index_px) = if is_mark { (p, Dec::NONE) } else { (Dec::NONE, p) };
    ctx.event(Event::Mark(Mark { ts_event: t, mark_px, index_px, ..mark(at) }));
    Ok(())
}

/// The rolling day; the aggregated form has mark and index price as well.
fn ticker(v: Val<'_, '_>, at: InstrumentId, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let t = ms_to_ns(optional_id(v.get("t"), "t is no time")?.max(0));
    let dec = |key, what| decimal(v.get(key), what);
    let ticker = Ticker {
        instrument: at,
        stream: StreamId::NONE,
        ts_event: t,
        ts_send: 0,
        open: dec("o", "o is no decimal")?,
        high: dec("h", "h is no decimal")?,
        low: dec("l", "l is no decimal")?,
        last: dec("c", "c is no decimal")?,
        last_size: Dec::NONE,
        volume: dec("a", "a is no decimal")?,
        quote_volume: dec("v", "v is no decimal")?,
        trade_count: -1,
        ts_open: 0,
        ts_close: t,
    };
    let (index_px, mark_px) = (dec("i", "i is no decimal")?, dec("m", "m is no decimal")?);
    ctx.event(Event::Ticker(ticker));
    if !index_px.is_none() || !mark_px.is_none() {
        ctx.event(Event::Mark(Mark { ts_event: t, mark_px, index_px, ..mark(at) }));
    }
    Ok(())
}

/// As [`crate::venue::Venue::refusal`]. Which HTTP status carries which code is not documented: both are looked at.
pub(super) fn refusal(status: u16, body: &[u8]) -> Option<RestRefusal> {
    #[derive(serde::Deserialize)]
    struct Refusal {
        code: i64,
        // Missing or null: the code is what counts.
        msg: Option<String>,
        message: Option<String>,
        #[serde(default)]
        data: serde_json::Value,
    }
    let Some(r) = serde_json::from_slice(body).ok().filter(|r: &Refusal| r.code != 0) else {
        // The firewall's own page knows no codes.
        let page = RestRefusal { status: 418, retry_after_s: Some(BANNED_S), code: 403, why: meaning(403) };
        return (status == 403).then_some(page);
    };
    let reset = r.data.get("reset").and_then(serde_json::Value::as_u64);
    let reset = reset.and_then(|s| u32::try_from(s).ok());
    let said = (r.msg.unwrap_or_default() + &r.message.unwrap_or_default()).to_ascii_lowercase();
    let (status, retry_after_s) = match r.code {
        // About the address, whoever asks.
        403 => (418, reset.or(Some(BANNED_S))),
        // About the key. Each request is signed with it, so all of them rest; streams want none and go on. Neither mends by
        // waiting, but asking on would make it worse.
        418 | -1 => (418, reset.or(Some(600))),
        // One code for a wrong signature, which every request would have, and for a request that is wrong by itself, such as one
        // for a symbol that is gone: that one must not keep the others waiting.
        1 if ["sign", "key", "auth"].iter().any(|w| said.contains(w)) => (418, Some(60)),
        1 => (400, reset),
        429 | 439 => (429, reset),
        _ if status == 200 => (500, reset),
        _ => (status, reset),
    };
    Some(RestRefusal { status, retry_after_s, code: r.code, why: meaning(r.code) })
}

/// As [`crate::venue::Venue::parse_time`].
pub(super) fn parse_time(body: &[u8]) -> Result<i64, Reject> {
    Scratch::default().read(body, Limits::MESSAGE, |root, _| {
        match ms_to_ns(id(Some(data(root)?), "data is no time")?) {
            ns if ns > 0 => Ok(ns),
            _ => Err(Reject::new(RejectCause::Number, "data is no time")),
        }
    })
}
