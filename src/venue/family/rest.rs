//! REST: what is asked, and what a recorded URL was for.

use serde::Deserialize;

use super::Family;
use crate::model::time::ms_to_ns;
use crate::model::{Reject, RejectCause, RestKind, RestRequest};
use crate::parse::parse_dec;
use crate::parse::url::{encode_into, path_and_query, query_value};

/// A request of the venue's own version.
pub(super) fn request(family: &Family, endpoint: &str, weight: u32) -> RestRequest {
    RestRequest { path: format!("{}{}/{endpoint}", family.rest_root, family.rest_version), weight }
}

/// As [`crate::venue::Venue::snapshot_request`]. The limit is always sent: defaults differ from venue to venue.
pub(super) fn snapshot_request(family: &Family, symbol: &str) -> RestRequest {
    let mut r = request(family, "depth?symbol=", family.snapshot_weight);
    encode_into(&mut r.path, symbol, "");
    r.path.push_str("&limit=");
    r.path.push_str(&family.snapshot_limit.to_string());
    r
}

/// As [`crate::venue::Venue::rest_kind`].
pub(super) fn rest_kind(family: &Family, url: &str) -> RestKind {
    let (path, query) = path_and_query(url);
    let Some(endpoint) = endpoint(family, path) else { return RestKind::Other };
    match endpoint {
        "depth" => match query_value(query, "symbol") {
            Some(symbol) if !symbol.is_empty() => RestKind::Depth { symbol: symbol.to_owned() },
            _ => RestKind::Other,
        },
        _ if endpoint == family.instruments_path => RestKind::Instruments,
        "time" => RestKind::Time,
        _ if Some(endpoint) == family.other_clock => RestKind::Time,
        "trades" | "historicalTrades" | "aggTrades" => match query_value(query, "symbol") {
            Some(symbol) if !symbol.is_empty() => RestKind::Trades { symbol },
            _ => RestKind::Other,
        },
        _ if super::polled::is_polled(family, endpoint) => RestKind::Polled,
        _ => RestKind::Other,
    }
}

/// What follows the version in a path, whichever version that is: recordings outlive versions.
pub(super) fn endpoint<'p>(family: &Family, path: &'p str) -> Option<&'p str> {
    let (version, endpoint) = path.strip_prefix(family.rest_root)?.split_once('/')?;
    let number = version.strip_prefix('v')?;
    (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(endpoint)
}

/// As [`crate::venue::Venue::parse_volumes`]: the quote volume. COIN-M's list has none: its base volume at the last price is
/// what its contracts are worth, and so markets of different assets compare. Markets without one rank last.
pub(super) fn parse_volumes(body: &[u8]) -> Result<Vec<(String, u64)>, Reject> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Day<'a> {
        symbol: String,
        #[serde(borrow)]
        quote_volume: Option<&'a str>,
        #[serde(borrow)]
        base_volume: Option<&'a str>,
        #[serde(borrow)]
        last_price: Option<&'a str>,
    }
    let days: Vec<Day<'_>> = serde_json::from_slice(body)
        .map_err(|e| body_fault(body, &e, "no list of markets with their volumes"))?;
    let decimal = |text: Option<&str>| parse_dec(text?.as_bytes()).ok().filter(|d| d.m >= 0);
    let whole = |m: i128, decimals: u32| u64::try_from(m / 10i128.checked_pow(decimals)?).ok();
    let worth = |d: &Day<'_>| match decimal(d.quote_volume) {
        Some(quote) => whole(quote.m.into(), quote.e.into()),
        None => {
            let (base, price) = (decimal(d.base_volume)?, decimal(d.last_price)?);
            // Of two `i64`.
            whole(i128::from(base.m) * i128::from(price.m), u32::from(base.e) + u32::from(price.e))
        }
    };
    let rank = |d: Day<'_>| {
        let worth = worth(&d).unwrap_or(0);
        (d.symbol, worth)
    };
    Ok(days.into_iter().map(rank).collect())
}

/// As [`crate::venue::Venue::parse_time`].
pub(super) fn parse_time(body: &[u8]) -> Result<i64, Reject> {
    #[derive(Deserialize)]
    struct Time {
        #[serde(rename = "serverTime")]
        server_time: i64,
    }
    let t: Time = serde_json::from_slice(body)
        .map_err(|e| body_fault(body, &e, "serverTime is missing or no integer"))?;
    match ms_to_ns(t.server_time) {
        ns if ns > 0 => Ok(ns),
        _ => Err(Reject::new(RejectCause::Number, "serverTime is no time")),
    }
}

/// What is wrong with a body that serde_json refused: `{"code":…,"msg":…}` is the venue's own refusal.
pub(super) fn body_fault(body: &[u8], e: &serde_json::Error, shape: &'static str) -> Reject {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(rename = "code")]
        _code: i64,
        #[serde(rename = "msg")]
        _msg: String,
    }
    match e.classify() {
        serde_json::error::Category::Data if serde_json::from_slice::<Refusal>(body).is_ok() => {
            Reject::new(RejectCause::Status, "the venue answered with an error")
        }
        serde_json::error::Category::Data => Reject::new(RejectCause::Shape, shape),
        _ => Reject::new(RejectCause::Malformed, "body is no JSON, or cut short"),
    }
}
