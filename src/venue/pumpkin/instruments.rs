//! The instrument list. Off the hot path, so serde reads it; one faulty element does not cost the others.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::instrument::SYMBOL_BYTES_MAX;
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
struct Symbol<'a> {
    symbol: String,
    contract_type: Option<String>,
    underlying_type: Option<String>,
    #[serde(borrow)]
    contract_size: Option<&'a RawValue>,
    trade_switch: Option<bool>,
    base_coin: Option<String>,
    quote_coin: Option<String>,
    price_precision: Option<i64>,
    quantity_precision: Option<i64>,
    #[serde(borrow)]
    min_step_price: Option<&'a RawValue>,
    #[serde(borrow)]
    min_notional: Option<&'a RawValue>,
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
    struct Day<'a> {
        s: String,
        #[serde(borrow)]
        v: Option<&'a RawValue>,
    }
    let whole = |d: Dec| {
        let unit = 10i64.checked_pow(u32::from(d.e)).filter(|_| !d.is_none())?;
        u64::try_from(d.m / unit).ok()
    };
    let days: Vec<Day<'_>> = listed(body)?;
    let rank = |d: Day<'_>| (d.s, dec(d.v).and_then(whole).unwrap_or(0));
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

/// A decimal in a text or a number, digit by digit as it came; `Dec::NONE` where it is missing or null, `None` where it is
/// neither.
fn dec(v: Option<&RawValue>) -> Option<Dec> {
    let d = match v.map(RawValue::get) {
        None | Some("null") => return Some(Dec::NONE),
        Some(quoted) if quoted.starts_with('"') => {
            let text: std::borrow::Cow<'_, str> = serde_json::from_str(quoted).ok()?;
            parse_dec(text.as_bytes()).ok()?
        }
        Some(number) => exact(number)?,
    };
    (d.m >= 0).then_some(d)
}

/// A JSON number without a float in between: `0.0001`, `1.0E-8`.
fn exact(number: &str) -> Option<Dec> {
    let (digits, power) = match number.split_once(['e', 'E']) {
        None => return parse_dec(number.as_bytes()).ok(),
        Some((digits, power)) => (parse_dec(digits.as_bytes()).ok()?.trimmed(), power.parse::<i32>().ok()?),
    };
    let e = i32::from(digits.e).checked_sub(power)?;
    let m = match e {
        0.. => digits.m,
        _ => digits.m.checked_mul(10i64.checked_pow(e.unsigned_abs())?)?,
    };
    u8::try_from(e.max(0)).ok().filter(|e| *e <= EXP_MAX).map(|e| Dec::new(m, e))
}

fn exponent(step: Dec, precision: Option<i64>) -> Option<u8> {
    if !step.is_none() && step.m != 0 {
        return Some(step.trimmed().e);
    }
    u8::try_from(precision.unwrap_or(0)).ok().filter(|e| *e <= EXP_MAX)
}

fn instrument(json: &str) -> Option<InstrumentVersion> {
    let s: Symbol<'_> = serde_json::from_str(json).ok()?;
    if s.symbol.is_empty() || s.symbol.len() > SYMBOL_BYTES_MAX || s.symbol.contains(['@', ',', '/']) {
        return None;
    }
    let tick_size = dec(s.min_step_price)?;
    let contract_size = dec(s.contract_size)?;
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
        min_notional: dec(s.min_notional)?,
        contract_size,
        source: "venue".to_owned(),
        raw_json: json.to_owned(),
        ..InstrumentVersion::observed(super::SPEC.id, &s.symbol)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<Dec> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        dec(Some(raw))
    }

    #[test]
    fn decimals_in_numbers_are_exact() {
        // Read as doubles, these would be 0.30000000000000004, 123456789.12345679 and 2^53 = 9007199254740992.
        assert_eq!(of("0.30000000000000001"), Some(Dec::new(30_000_000_000_000_001, 17)));
        assert_eq!(of("123456789.123456789"), Some(Dec::new(123_456_789_123_456_789, 9)));
        assert_eq!(of("9007199254740993.0"), Some(Dec::new(9_007_199_254_740_993, 0)));
        for (text, m, e) in
            [("1.0E-8", 1, 8), ("1e-4", 1, 4), ("12e2", 1200, 0), ("\"0.0001\"", 1, 4), ("5", 5, 0)]
        {
            assert_eq!(of(text), Some(Dec::new(m, e)), "{text}");
        }
        assert_eq!(of("null"), Some(Dec::NONE));
        for bad in ["-1", "true", "[]", "{}", "\"x\"", "1e-99", "1e99", "9e18e"] {
            let raw = serde_json::from_str::<&RawValue>(bad);
            assert_eq!(raw.ok().and_then(|r| dec(Some(r))), None, "{bad}");
        }
    }

    #[test]
    fn a_list_with_decimals_as_numbers_is_that_with_texts() {
        let list = |size: &str, tick: &str, least: &str| {
            let body = format!(
                r#"{{"code":0,"data":[{{"symbol":"btc_usdt","contractSize":{size},"minStepPrice":{tick},"minNotional":{least}}}]}}"#
            );
            let i = parse(body.as_bytes()).unwrap().instruments.remove(0);
            (i.contract_size, i.tick_size, i.min_notional, i.price_exp)
        };
        assert_eq!(list("0.0001", "1.0E-8", "5"), list("\"0.0001\"", "\"0.00000001\"", "\"5\""));
    }
}
