//! Lists of contracts and products to instruments. One faulty element must not cost the others.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Ascendex;
use super::rest::enveloped;
use super::streams::check_symbol;
use crate::model::{Dec, InstrumentVersion, Reject, RejectCause};
use crate::parse::parse_dec;
use crate::venue::InstrumentList;

/// Instruments per list.
const SYMBOLS_MAX: usize = 20_000;

/// The keys that we use, of contracts, products and the older products; every one of them may be missing.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Element {
    symbol: String,
    status: Option<String>,
    status_code: Option<String>,
    underlying: Option<String>,
    base_asset: Option<String>,
    quote_asset: Option<String>,
    settlement_asset: Option<String>,
    tick_size: Option<serde_json::Value>,
    lot_size: Option<serde_json::Value>,
    min_notional: Option<serde_json::Value>,
    price_scale: Option<i64>,
    qty_scale: Option<i64>,
    price_filter: Option<Filter>,
    lot_size_filter: Option<Filter>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    tick_size: Option<serde_json::Value>,
    lot_size: Option<serde_json::Value>,
}

/// As [`crate::venue::Venue::parse_instruments`].
pub(super) fn parse(venue: &Ascendex, body: &[u8]) -> Result<InstrumentList, Reject> {
    let list: Vec<&RawValue> = enveloped(body, "data is missing or no array")?;
    if list.len() > SYMBOLS_MAX {
        return Err(Reject::new(RejectCause::Limit, "more than 20,000 symbols"));
    }
    let mut out = InstrumentList::default();
    for element in list {
        match instrument(venue, element.get()) {
            Some(i) => out.instruments.push(i),
            None => out.faulty += 1,
        }
    }
    Ok(out)
}

fn instrument(venue: &Ascendex, json: &str) -> Option<InstrumentVersion> {
    let e: Element = serde_json::from_str(json).ok()?;
    check_symbol(&e.symbol).ok()?;
    let tick_size = decimal(e.tick_size.or_else(|| e.price_filter?.tick_size).as_ref())?;
    let step_size = decimal(e.lot_size.or_else(|| e.lot_size_filter?.lot_size).as_ref())?;
    let min_notional = decimal(e.min_notional.as_ref())?;
    // `displayName` is not made of base and quote; the pair is what the contract is on, or the symbol itself.
    let pair = e.underlying.unwrap_or_else(|| e.symbol.clone());
    let (base, quote) = pair.split_once('/').unwrap_or((&pair, ""));
    let is_contract = e.settlement_asset.is_some();
    Some(InstrumentVersion {
        venue: venue.spec.id.to_owned(),
        base: e.base_asset.unwrap_or_else(|| base.to_owned()),
        quote: e.quote_asset.unwrap_or_else(|| quote.to_owned()),
        settle: e.settlement_asset.unwrap_or_default(),
        contract_type: venue.contract_type.to_owned(),
        is_inverse: false,
        status: e.status_code.or(e.status).unwrap_or_default(),
        price_exp: exponent(tick_size, e.price_scale)?,
        size_exp: exponent(step_size, e.qty_scale)?,
        tick_size,
        step_size,
        min_notional,
        // Sizes are in the base asset.
        contract_size: if is_contract { Dec::new(1, 0) } else { Dec::NONE },
        ts_expiry: 0,
        ts_valid_from: 0,
        source: "venue".to_owned(),
        raw_json: json.to_owned(),
        symbol: e.symbol,
    })
}

/// As [`crate::venue::Venue::parse_volumes`]: the day's volume is in the base asset, so it is ranked by what it is worth at
/// the last price. Markets without one rank last.
pub(super) fn parse_volumes(body: &[u8]) -> Result<Vec<(String, u64)>, Reject> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Day {
        symbol: String,
        close: Option<serde_json::Value>,
        base_vol: Option<serde_json::Value>,
        volume: Option<serde_json::Value>,
    }
    let days: Vec<Day> = enveloped(body, "no list of markets with their volumes")?;
    let worth = |d: &Day| {
        let (price, volume) =
            (decimal(d.close.as_ref())?, decimal(d.base_vol.as_ref().or(d.volume.as_ref()))?);
        if price.is_none() || volume.is_none() {
            return None;
        }
        let unit = 10i128.checked_pow(u32::from(price.e) + u32::from(volume.e))?;
        u64::try_from(i128::from(price.m) * i128::from(volume.m) / unit).ok()
    };
    let rank = |d: Day| {
        let worth = worth(&d).unwrap_or(0);
        (d.symbol, worth)
    };
    Ok(days.into_iter().map(rank).collect())
}

/// `Dec::NONE` where the key is missing, `None` where the value is no decimal.
fn decimal(v: Option<&serde_json::Value>) -> Option<Dec> {
    let of = |t: &str| parse_dec(t.as_bytes()).ok().filter(|d| d.m >= 0);
    match v {
        None | Some(serde_json::Value::Null) => Some(Dec::NONE),
        Some(serde_json::Value::String(s)) if s.is_empty() => Some(Dec::NONE),
        Some(serde_json::Value::String(s)) => of(s),
        Some(serde_json::Value::Number(n)) => of(&n.to_string()),
        Some(_) => None,
    }
}

fn exponent(step: Dec, scale: Option<i64>) -> Option<u8> {
    if !step.is_none() && step.m != 0 {
        return Some(step.trimmed().e);
    }
    u8::try_from(scale.unwrap_or(0)).ok().filter(|e| *e <= crate::model::num::EXP_MAX)
}
