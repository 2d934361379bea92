//! Trades by REST, for those that a stream has missed: asked for from an id on, oldest first.

use super::Family;
use super::rest::request;
use super::trades::aggregate_text;
use crate::model::{
    DecodeCtx, Event, InstrumentRef, Reject, RejectCause, StreamId, StreamKind, Trade, TradeType,
    TradesRequest,
};
use crate::parse::fields::{after_fault, exact, id, optional_id, shape, text, time};
use crate::parse::url::encode_into;
use crate::parse::{Limits, Scratch, Val, parse_dec};

/// Trades in one answer.
const MOST: usize = 1000;

/// As [`crate::venue::Venue::trades_request`].
pub(super) fn trades_request(
    family: &Family,
    kind: StreamKind,
    symbol: &str,
    from: i64,
) -> Option<TradesRequest> {
    let (endpoint, weight) = match kind {
        StreamKind::AggTrade => ("aggTrades?symbol=", family.agg_trades_weight),
        StreamKind::Trade => ("historicalTrades?symbol=", family.old_trades_weight),
        _ => return None,
    };
    let mut r = request(family, endpoint, weight);
    encode_into(&mut r.path, symbol, "");
    r.path.push_str("&fromId=");
    r.path.push_str(&from.max(0).to_string());
    r.path.push_str("&limit=1000");
    Some(TradesRequest { path: r.path, weight: r.weight, most: MOST, by_id: true })
}

/// Weight of the latest trades, where the older ones want a key.
const LATEST_WEIGHT: u32 = 5;

/// As [`crate::venue::Venue::latest_trades_request`].
pub(super) fn latest_request(family: &Family, symbol: &str) -> TradesRequest {
    let mut r = request(family, "trades?symbol=", LATEST_WEIGHT);
    encode_into(&mut r.path, symbol, "");
    r.path.push_str("&limit=1000");
    TradesRequest { path: r.path, weight: r.weight, most: MOST, by_id: false }
}

/// As [`crate::venue::Venue::decode_trades`]. Aggregates say `a`, single trades `id`.
pub(super) fn decode(
    family: &Family,
    scratch: &mut Scratch,
    symbol: &str,
    body: &[u8],
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    scratch.read(body, Limits::SNAPSHOT, |root, _| {
        let Some(rows) = root.elements() else {
            let is_error = root.get("code").is_some() && root.get("msg").is_some();
            return Err(match is_error {
                true => Reject::new(RejectCause::Status, "the venue answered with an error"),
                false => shape("trades are no array"),
            });
        };
        let Some(mut at) = ctx.instrument(symbol) else {
            return Err(Reject::new(RejectCause::UnknownSymbol, "symbol is refused"));
        };
        let mut first_fault = Ok(());
        for v in rows {
            let said = match v.get("a").is_some() {
                true => aggregate(v, at, ctx),
                false => single(family, v, at, ctx),
            };
            match said {
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

/// The buyer was the maker: the taker sold.
fn side(v: Option<Val<'_, '_>>, what: &'static str) -> Result<i8, Reject> {
    match v.map(Val::as_bool) {
        None => Ok(0),
        Some(Some(true)) => Ok(-1),
        Some(Some(false)) => Ok(1),
        Some(None) => Err(shape(what)),
    }
}

fn trade(at: InstrumentRef, ts_event: i64, side: i8) -> Trade<'static> {
    Trade {
        instrument: at.id,
        stream: StreamId::NONE,
        ts_event,
        ts_send: 0,
        chain_id: -1,
        id: -1,
        id_last: -1,
        id_text: "",
        side,
        price: 0,
        size: 0,
        trade_type: TradeType::Market,
        is_aggregate: false,
    }
}

fn aggregate(v: Val<'_, '_>, at: InstrumentRef, ctx: &mut dyn DecodeCtx) -> Result<InstrumentRef, Reject> {
    let chain_id = id(v.get("a"), "a is missing or no integer")?;
    let (first, last) =
        (optional_id(v.get("f"), "f is no integer")?, optional_id(v.get("l"), "l is no integer")?);
    let (p, q) = (text(v.get("p"), "p is missing or no text")?, text(v.get("q"), "q is missing or no text")?);
    let base = trade(at, time(v.get("T"), "T is no integer")?, side(v.get("m"), "m is no truth value")?);
    let ((price, size), at) = exact(ctx, at, |exps| Ok((exps.price(p)?, exps.size(q)?)))?;
    let mut buf = [0u8; 44];
    let id_text = aggregate_text(&mut buf, chain_id);
    ctx.event(Event::Trade(Trade {
        chain_id,
        id: first,
        id_last: last,
        id_text,
        price,
        size,
        is_aggregate: true,
        ..base
    }));
    Ok(at)
}

fn single(
    family: &Family,
    v: Val<'_, '_>,
    at: InstrumentRef,
    ctx: &mut dyn DecodeCtx,
) -> Result<InstrumentRef, Reject> {
    if v.entries().is_none() {
        return Err(shape("trade is no object"));
    }
    let trade_id = id(v.get("id"), "id is missing or no integer")?;
    let p = text(v.get("price"), "price is missing or no text")?;
    let q = size(family, v, p)?;
    let at_ms = time(v.get("time"), "time is no integer")?;
    let base = trade(at, at_ms, side(v.get("isBuyerMaker"), "isBuyerMaker is no truth value")?);
    let ((price, size), at) = exact(ctx, at, |exps| Ok((exps.price(p)?, exps.size(q)?)))?;
    let trade_type = family.trade_default;
    ctx.event(Event::Trade(Trade { chain_id: trade_id, id: trade_id, price, size, trade_type, ..base }));
    Ok(at)
}

/// The size in the unit of the stream's `q`. On Aster spot `qty` is the turnover in the samples and `baseQty` the size, the
/// other way round than elsewhere: price and numbers decide. COIN-M's `baseQty` is the base asset of `qty` contracts.
fn size<'i>(family: &Family, v: Val<'_, 'i>, price: &str) -> Result<&'i str, Reject> {
    let qty = text(v.get("qty"), "qty is missing or no text")?;
    let base = match v.get("baseQty") {
        Some(b) if !family.is_inverse => text(Some(b), "baseQty is no text")?,
        _ => return Ok(qty),
    };
    // Only to tell which is which: no value comes out of these floats.
    let x = |t: &str| parse_dec(t.as_bytes()).map_or(f64::NAN, |d| d.m as f64 / 10f64.powi(i32::from(d.e)));
    let (p, q, b) = (x(price), x(qty), x(base));
    // How far each is from being the other's turnover; at a price of one both are the same number.
    let (of_base, of_qty) = ((q - p * b).abs() / q.abs(), (b - p * q).abs() / b.abs());
    match of_base <= of_qty {
        true if of_base <= 0.01 => Ok(base),
        false if of_qty <= 0.01 => Ok(qty),
        _ => Err(shape("qty and baseQty are no size and turnover")),
    }
}
