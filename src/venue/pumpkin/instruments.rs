//! The instrument list. Off the hot path, so serde reads it; one faulty element does not cost the others.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::topics::SYMBOL_MAX;
use crate::model::num::EXP_MAX;
use crate::model::{Dec, InstrumentVersion, Reject, RejectCause};
use crate::parse::parse_dec;
use crate::venue::InstrumentList;

/// Instruments per list.
const SYMBOLS_MAX: usize = 20_000;

#[derive(Deserialize)]
struct Envelope<'a> {
    code: i64,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Symbol {
    symbol: String,
    contract_type: Option<String>,
    underlying_type: Option<String>,
    contract_size: Option<serde_json::Value>,
    trade_switch: Option<bool>,
    base_coin: Option<String>,
    quote_coin: Option<String>,
    price_precision: Option<i64>,
    quantity_precision: Option<i64>,
    min_step_price: Option<serde_json::Value>,
    min_notional: Option<serde_json::Value>,
}

/// As [`crate::venue::Venue::parse_instruments`].
pub(super) fn parse(body: &[u8]) -> Result<InstrumentList, Reject> {
    let list: Vec<&RawValue> = listed(body)?;
    if list.len() > SYMBOLS_MAX {
        return Err(Reject::new(RejectCause::Limit, "more than 20,000 symbols"));
    }
    let mut out = InstrumentList::default();
    for element in list {
        match instrument(element.get()) {
            Some(i) => out.instruments.push(i),
            None => out.faulty += 1,
        }
    }
    Ok(out)
}

/// The answer that is about one symbol: its data is that symbol, as it stands in the list.
pub(super) fn parse_one(body: &[u8]) -> Result<InstrumentList, Reject> {
    let one: &RawValue = inner(body, "data is missing")?;
    let faulty = || Reject::new(RejectCause::Shape, "data is no symbol");
    let instruments = vec![instrument(one.get()).ok_or_else(faulty)?];
    Ok(InstrumentList { instruments, ..InstrumentList::default() })
}

/// As [`crate::venue::Venue::parse_volumes`]: the day's turnover. Markets without one rank last.
pub(super) fn parse_volumes(body: &[u8]) -> Result<Vec<(String, u64)>, Reject> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Day {
        s: String,
        v: Option<serde_json::Value>,
    }
    let whole = |d: Dec| {
        let unit = 10i64.checked_pow(u32::from(d.e)).filter(|_| !d.is_none())?;
        u64::try_from(d.m / unit).ok()
    };
    let days: Vec<Day> = listed(body)?;
    let rank = |d: Day| (d.s, dec(d.v.as_ref()).and_then(whole).unwrap_or(0));
    Ok(days.into_iter().map(rank).collect())
}

/// The elements of an answer's list.
fn listed<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<Vec<T>, Reject> {
    inner(body, "data is missing or no array")
}

/// What an answer holds. `what` is said of anything else.
fn inner<'b, T: Deserialize<'b>>(body: &'b [u8], what: &'static str) -> Result<T, Reject> {
    let shape = || Reject::new(RejectCause::Shape, what);
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|e| match e.classify() {
        serde_json::error::Category::Data => Reject::new(RejectCause::Shape, "code is missing or no integer"),
        _ => Reject::new(RejectCause::Malformed, "body is no JSON, or cut short"),
    })?;
    if envelope.code != 0 {
        return Err(super::rest::refused(envelope.code));
    }
    envelope.data.and_then(|d| serde_json::from_str(d.get()).ok()).ok_or_else(shape)
}

/// A decimal in a text or a number; `Dec::NONE` where it is missing or null, `None` where it is neither.
fn dec(v: Option<&serde_json::Value>) -> Option<Dec> {
    match v {
        None | Some(serde_json::Value::Null) => Some(Dec::NONE),
        Some(serde_json::Value::String(t)) => parse_dec(t.as_bytes()).ok().filter(|d| d.m >= 0),
        Some(serde_json::Value::Number(n)) => parse_dec(n.to_string().as_bytes()).ok().filter(|d| d.m >= 0),
        Some(_) => None,
    }
}

fn exponent(step: Dec, precision: Option<i64>) -> Option<u8> {
    if !step.is_none() && step.m != 0 {
        return Some(step.trimmed().e);
    }
    u8::try_from(precision.unwrap_or(0)).ok().filter(|e| *e <= EXP_MAX)
}

fn instrument(json: &str) -> Option<InstrumentVersion> {
    let s: Symbol = serde_json::from_str(json).ok()?;
    if s.symbol.is_empty() || s.symbol.len() > SYMBOL_MAX || s.symbol.contains(['@', ',', '/']) {
        return None;
    }
    let tick_size = dec(s.min_step_price.as_ref())?;
    let contract_size = dec(s.contract_size.as_ref())?;
    if contract_size.m == 0 && !contract_size.is_none() {
        return None;
    }
    let coin_margined = s.underlying_type.as_deref().is_some_and(|u| u != "U_BASED");
    let (base, quote) = (s.base_coin.unwrap_or_default(), s.quote_coin.unwrap_or_default());
    // `state` says 0 on live symbols although its table calls 1 normal: the switch is what counts.
    let status = match s.trade_switch {
        Some(true) => "TRADING",
        Some(false) => "HALTED",
        None => "",
    };
    Some(InstrumentVersion {
        price_exp: exponent(tick_size, s.price_precision)?,
        // Sizes are contracts.
        size_exp: exponent(Dec::NONE, s.quantity_precision)?,
        settle: if coin_margined { base.clone() } else { quote.clone() },
        base,
        quote,
        contract_type: s.contract_type.unwrap_or_default(),
        is_inverse: coin_margined,
        status: status.to_owned(),
        tick_size,
        min_notional: dec(s.min_notional.as_ref())?,
        contract_size,
        source: "venue".to_owned(),
        raw_json: json.to_owned(),
        ..InstrumentVersion::observed(super::SPEC.id, &s.symbol)
    })
}
