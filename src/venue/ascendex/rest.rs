//! REST: what is asked, what a recorded URL was for, and the envelope `{"code":0,"data":…}`.

use serde::Deserialize;

use super::decode;
use super::streams::check_symbol;
use super::tables;
use crate::model::time::ms_to_ns;
use crate::model::{
    DecodeCtx, Reject, RejectCause, RestKind, RestRefusal, RestRequest, StreamId, TradesRequest,
};
use crate::parse::fields::{after_fault, shape};
use crate::parse::url::{encode_into, path_and_query, query_value};
use crate::parse::{Limits, Scratch, Val};
use crate::venue::Ban;

const DEPTH: &str = "/api/pro/v1/depth";
const TRADES: &str = "/api/pro/v1/trades";
/// Trades that an answer holds at most: the latest ones.
const TRADES_MOST: usize = 100;
/// Bytes of a body that may be a refusal.
const REFUSAL_MAX: usize = 4096;
const TIME: &str = "/api/pro/v1/exchange-info";
/// Current lists of both products and spot's older one, which recordings have.
const INSTRUMENTS: [&str; 4] = [
    "/api/pro/v1/cash/products",
    "/api/pro/v1/products",
    "/api/pro/v1/margin/products",
    "/api/pro/v2/futures/contract",
];

/// A request of weight 1: the venue states none.
pub(super) fn request(path: &str) -> RestRequest {
    RestRequest { path: path.to_owned(), weight: 1 }
}

/// As [`crate::venue::Venue::snapshot_request`]: for comparing only, nobody has shown that its ids are those of the
/// stream.
pub(super) fn snapshot_request(symbol: &str) -> RestRequest {
    let mut r = request(DEPTH);
    r.path.push_str("?symbol=");
    encode_into(&mut r.path, symbol, "");
    r
}

/// As [`crate::venue::Venue::time_request`]. The venue demands our time and reckons its
/// `latency` from it: a 0 would be none, or 1970.
pub(super) fn time_request(now_ms: i64) -> RestRequest {
    request(&format!("{TIME}?requestTime={now_ms}"))
}

/// As [`crate::venue::Venue::rest_kind`].
pub(super) fn rest_kind(url: &str) -> RestKind {
    let (path, query) = path_and_query(url);
    match path {
        DEPTH => match query_value(query, "symbol") {
            Some(symbol) if check_symbol(&symbol).is_ok() => RestKind::Depth { symbol },
            _ => RestKind::Other,
        },
        TRADES => match query_value(query, "symbol") {
            Some(symbol) if check_symbol(&symbol).is_ok() => RestKind::Trades { symbol },
            _ => RestKind::Other,
        },
        TIME => RestKind::Time,
        p if INSTRUMENTS.contains(&p) => RestKind::Instruments,
        p if super::polled::is_polled(p) => RestKind::Polled,
        _ => RestKind::Other,
    }
}

/// As [`crate::venue::Venue::trades_request`]: the venue takes no id.
pub(super) fn trades_request(symbol: &str) -> TradesRequest {
    let mut r = request(TRADES);
    r.path.push_str("?n=100&symbol=");
    encode_into(&mut r.path, symbol, "");
    TradesRequest { path: r.path, weight: r.weight, most: TRADES_MOST, by_id: false }
}

/// As [`crate::venue::Venue::decode_trades`].
pub(super) fn trades(
    scratch: &mut Scratch,
    symbol: &str,
    body: &[u8],
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    scratch.read(body, Limits::SNAPSHOT, |root, _| {
        let inner = data(root)?;
        if inner.get("symbol").is_some_and(|s| s.as_str() != Some(symbol)) {
            return Err(shape("trades are of another symbol"));
        }
        let Some(list) = inner.get("data").and_then(Val::elements) else {
            return Err(shape("data is missing or no array"));
        };
        let Some(mut at) = ctx.instrument(symbol) else {
            return Err(Reject::new(RejectCause::UnknownSymbol, "symbol is refused"));
        };
        let mut first_fault = Ok(());
        for v in list {
            match tables::trade(v, StreamId::NONE, at, ctx) {
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

/// As [`crate::venue::Venue::decode_snapshot`].
pub(super) fn snapshot(
    scratch: &mut Scratch,
    symbol: &str,
    body: &[u8],
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    scratch.read(body, Limits::SNAPSHOT, |root, sides| {
        let Some(inner) = Some(data(root)?).filter(|d| d.entries().is_some()) else {
            return Err(shape("data is missing or no object"));
        };
        decode::rest_snapshot(inner, symbol, sides, ctx)
    })
}

/// `data` of the envelope.
pub(super) fn data<'t, 'i>(root: Val<'t, 'i>) -> Result<Val<'t, 'i>, Reject> {
    if root.entries().is_none() {
        return Err(shape("body is no object"));
    }
    if root.get("code").and_then(Val::as_i64).is_some_and(|c| c != 0) {
        return Err(Reject::new(RejectCause::Status, "the venue answered with an error"));
    }
    root.get("data").filter(|d| !d.is_null()).ok_or_else(|| shape("data is missing"))
}

/// As [`crate::venue::Venue::refusal`]: what is refused comes with status 200, too.
pub(super) fn refusal(status: u16, body: &[u8]) -> Option<RestRefusal> {
    #[derive(Deserialize)]
    struct Code {
        code: i64,
    }
    // A list of a megabyte is not read twice: a refusal is short.
    let short = (body.len() <= REFUSAL_MAX).then_some(body)?;
    let Code { code } = serde_json::from_slice(short).ok().filter(|c: &Code| c.code != 0)?;
    let why = match code {
        100_001 | 100_004 | 100_006 => "the venue refuses the request's parameters",
        100_002 => "the venue has no such data",
        100_008 => "the venue knows no such symbol",
        100_009 => "the venue wants a key with more rights for that",
        100_014 => "too many requests",
        200_000..=209_999 => "the venue refuses the key",
        510_001 => "the venue has a fault of its own",
        _ => "the venue answered with an error",
    };
    let status = match (code, status) {
        (100_014, _) => 429,
        (100_009 | 200_000..=209_999, 200) => 401,
        (_, 200) => 500,
        _ => status,
    };
    Some(RestRefusal { status, retry_after_s: None, code, why })
}

/// Below this a time is in seconds: in milliseconds it would be of 1973.
const SECONDS_MOST: i64 = 100_000_000_000;

/// As [`crate::venue::Venue::parse_ban`]. The page names the keys and not their types: a time may be a text, of either unit, and
/// none at all.
pub(super) fn parse_ban(body: &[u8]) -> Result<Option<Ban>, Reject> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "webSocket")]
        socket: Socket,
    }
    #[derive(Deserialize)]
    struct Socket {
        status: Status,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Status {
        is_banned: bool,
        #[serde(default)]
        banned_until: serde_json::Value,
        #[serde(default)]
        reason: serde_json::Value,
    }
    let info: Info = enveloped(body, "webSocket.status.isBanned is missing or no truth value")?;
    let Status { is_banned, banned_until, reason } = info.socket.status;
    let stated = banned_until.as_i64().or_else(|| banned_until.as_str()?.parse().ok()).unwrap_or(0).max(0);
    let ms = if stated < SECONDS_MOST { stated.saturating_mul(1000) } else { stated };
    Ok(is_banned.then(|| Ban { until: ms_to_ns(ms), reason: reason.as_str().unwrap_or("").to_owned() }))
}

/// As [`crate::venue::Venue::parse_time`].
pub(super) fn parse_time(body: &[u8]) -> Result<i64, Reject> {
    #[derive(Deserialize)]
    struct Time {
        #[serde(rename = "requestReceiveAt")]
        at: i64,
    }
    let t: Time = enveloped(body, "requestReceiveAt is missing or no integer")?;
    match ms_to_ns(t.at) {
        ns if ns > 0 => Ok(ns),
        _ => Err(Reject::new(RejectCause::Number, "requestReceiveAt is no time")),
    }
}

/// The same, read by serde.
pub(super) fn enveloped<'b, T: Deserialize<'b>>(body: &'b [u8], what: &'static str) -> Result<T, Reject> {
    #[derive(Deserialize)]
    struct Code {
        code: i64,
    }
    #[derive(Deserialize)]
    struct Envelope<T> {
        data: T,
    }
    match serde_json::from_slice::<Code>(body) {
        Ok(Code { code }) if code != 0 => {
            return Err(Reject::new(RejectCause::Status, "the venue answered with an error"));
        }
        Err(e) if e.classify() != serde_json::error::Category::Data => {
            return Err(Reject::new(RejectCause::Malformed, "body is no JSON, or cut short"));
        }
        _ => {}
    }
    serde_json::from_slice::<Envelope<T>>(body)
        .map(|e| e.data)
        .map_err(|_| Reject::new(RejectCause::Shape, what))
}
