//! `exchangeInfo` to instruments. Off the hot path, so serde reads it; but the body comes from outside all the same:
//! one faulty element must not cost the others, and filters carry their tag anywhere.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::rest::body_fault;
use super::{Family, streams};
use crate::model::num::EXP_MAX;
use crate::model::time::ms_to_ns;
use crate::model::{Dec, InstrumentVersion, Reject, RejectCause};
use crate::parse::parse_dec;
use crate::venue::InstrumentList;

/// Instruments per list.
const SYMBOLS_MAX: usize = 20_000;
/// `deliveryDate` of perpetual contracts: the year 2100 stands for "never".
const NEVER_MS: i64 = 4_133_404_800_000;

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    symbols: Vec<&'a RawValue>,
    #[serde(default, rename = "rateLimits", deserialize_with = "null_is_missing")]
    rate_limits: Vec<serde_json::Value>,
}

/// A `null` where a key may be missing says no more than that: it must not cost the instrument.
fn null_is_missing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// The keys that we use, of all products; every one of them may be missing.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Symbol {
    symbol: String,
    #[serde(deserialize_with = "null_is_missing")]
    base_asset: String,
    #[serde(deserialize_with = "null_is_missing")]
    quote_asset: String,
    #[serde(deserialize_with = "null_is_missing")]
    margin_asset: String,
    contract_type: Option<String>,
    status: Option<String>,
    contract_status: Option<String>,
    delivery_date: Option<i64>,
    contract_size: Option<serde_json::Number>,
    price_precision: Option<i64>,
    quantity_precision: Option<i64>,
    base_asset_precision: Option<i64>,
    quote_asset_precision: Option<i64>,
    quote_precision: Option<i64>,
    #[serde(deserialize_with = "null_is_missing")]
    filters: Vec<serde_json::Value>,
}

/// As [`crate::venue::Venue::parse_instruments`].
pub(super) fn parse(family: &Family, body: &[u8]) -> Result<InstrumentList, Reject> {
    let list: List<'_> =
        serde_json::from_slice(body).map_err(|e| body_fault(body, &e, "symbols are missing or no array"))?;
    if list.symbols.len() > SYMBOLS_MAX {
        return Err(Reject::new(RejectCause::Limit, "more than 20,000 symbols"));
    }
    let weight_per_minute = if family.list_states_weight { weight(&list.rate_limits) } else { 0 };
    let mut out = InstrumentList { weight_per_minute, ..InstrumentList::default() };
    for element in list.symbols {
        match instrument(family, element.get()) {
            Some(i) => out.instruments.push(i),
            None => out.faulty += 1,
        }
    }
    Ok(out)
}

/// The request weight per minute that the list states, 0 if it does not.
fn weight(limits: &[serde_json::Value]) -> u32 {
    let per_minute = |l: &serde_json::Value| {
        if l.get("rateLimitType")?.as_str()? != "REQUEST_WEIGHT" {
            return None;
        }
        let (limit, every) = (l.get("limit")?.as_u64()?, l.get("intervalNum")?.as_u64()?);
        let seconds = match l.get("interval")?.as_str()? {
            "SECOND" => 1,
            "MINUTE" => 60,
            "HOUR" => 3600,
            "DAY" => 86_400,
            _ => return None,
        };
        let per = limit.checked_mul(60)?.checked_div(every.checked_mul(seconds)?)?;
        u32::try_from(per).ok().filter(|w| *w > 0)
    };
    limits.iter().filter_map(per_minute).min().unwrap_or(0)
}

fn instrument(family: &Family, json: &str) -> Option<InstrumentVersion> {
    let s: Symbol = serde_json::from_str(json).ok()?;
    streams::check_symbol(&s.symbol).ok()?;
    let tick_size = filter(&s.filters, &["PRICE_FILTER"], &["tickSize"])?;
    let step_size = filter(&s.filters, &["LOT_SIZE"], &["stepSize"])?;
    let min_notional = filter(&s.filters, &["MIN_NOTIONAL", "NOTIONAL"], &["notional", "minNotional"])?;
    // Zero switches a rule off; then the precision of the printed numbers is the best guess there is. A wrong one
    // is widened by the first frame.
    let price_precision = s.price_precision.or(s.quote_asset_precision).or(s.quote_precision);
    let size_precision = s.quantity_precision.or(s.base_asset_precision);
    Some(InstrumentVersion {
        venue: family.spec.id.to_owned(),
        base: s.base_asset,
        quote: s.quote_asset,
        settle: s.margin_asset,
        contract_type: s.contract_type.unwrap_or_else(|| family.contract_type.to_owned()),
        is_inverse: family.is_inverse,
        status: s.status.or(s.contract_status).unwrap_or_default(),
        price_exp: exponent(tick_size, price_precision)?,
        size_exp: exponent(step_size, size_precision)?,
        tick_size,
        step_size,
        min_notional,
        contract_size: contract_size(family, s.contract_size.as_ref())?,
        ts_expiry: s.delivery_date.filter(|ms| (1..NEVER_MS).contains(ms)).map_or(0, ms_to_ns),
        ts_valid_from: 0,
        source: "venue".to_owned(),
        raw_json: json.to_owned(),
        symbol: s.symbol,
    })
}

/// A filter's decimal; `Dec::NONE` where the filter or the key is missing or null, `None` where the value is no decimal.
fn filter(filters: &[serde_json::Value], tags: &[&str], keys: &[&str]) -> Option<Dec> {
    let tagged = |f: &&serde_json::Value| {
        f.get("filterType").and_then(|t| t.as_str()).is_some_and(|t| tags.contains(&t))
    };
    for f in filters.iter().filter(tagged) {
        if let Some(v) = keys.iter().find_map(|k| f.get(k).filter(|v| !v.is_null())) {
            return match v {
                serde_json::Value::String(s) => parse_dec(s.as_bytes()).ok().filter(|d| d.m >= 0),
                serde_json::Value::Number(n) => parse_dec(n.to_string().as_bytes()).ok().filter(|d| d.m >= 0),
                _ => None,
            };
        }
    }
    Some(Dec::NONE)
}

fn exponent(step: Dec, precision: Option<i64>) -> Option<u8> {
    if !step.is_none() && step.m != 0 {
        return Some(step.trimmed().e);
    }
    u8::try_from(precision.unwrap_or(0)).ok().filter(|e| *e <= EXP_MAX)
}

/// Contracts of inverse products have a size in the quote; on linear ones a unit of size is a unit of base.
fn contract_size(family: &Family, size: Option<&serde_json::Number>) -> Option<Dec> {
    match size {
        Some(n) => parse_dec(n.to_string().as_bytes()).ok().filter(|d| d.m > 0),
        None if family.is_derivative && !family.is_inverse => Some(Dec::new(1, 0)),
        None => Some(Dec::NONE),
    }
}
