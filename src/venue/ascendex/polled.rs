//! Answers that are asked for by REST again and again: prices of contracts, statistics, candles.

use super::rest;
use super::streams::BARS;
use super::tables;
use crate::model::{Dec, DecodeCtx, Event, Poll, Reject, RejectCause, StreamId, StreamKind, Ticker};
use crate::parse::fields::{decimal, optional_id, shape, text};
use crate::parse::url::path_and_query;
use crate::parse::{Limits, Scratch, Val};

/// Of futures.
pub(super) static FUTURES: &[Poll] = &[
    Poll::market("pricing-data", "/api/pro/v2/futures/pricing-data", StreamKind::Mark),
    Poll::symbol("ticker", "/api/pro/v2/futures/ticker?symbol=", StreamKind::Ticker),
    Poll::market("!ticker", "/api/pro/v2/futures/ticker", StreamKind::Ticker),
    Poll::market("collateral", "/api/pro/v2/futures/collateral", StreamKind::RawOnly).every(3600),
    CANDLES,
    INTERVALS,
    LIMITS,
];

/// Of spot.
pub(super) static SPOT: &[Poll] = &[
    Poll::symbol("ticker", "/api/pro/v1/spot/ticker?symbol=", StreamKind::Ticker),
    Poll::market("!ticker", "/api/pro/v1/spot/ticker", StreamKind::Ticker),
    CANDLES,
    INTERVALS,
    LIMITS,
];

const CANDLES: Poll =
    Poll::symbol("barhist:", "/api/pro/v1/barhist?interval={}&n=10&symbol=", StreamKind::Kline).args(BARS);
const INTERVALS: Poll =
    Poll::market("barhist/info", "/api/pro/v1/barhist/info", StreamKind::RawOnly).every(3600);

/// The venue's own account of this address: what it bears, whether it is banned and why.
pub(super) const LIMITS: Poll =
    Poll::market("risk-limit-info", "/api/pro/v2/risk-limit-info", StreamKind::RawOnly).every(3600);

/// Whether a path is asked for here.
pub(super) fn is_polled(path: &str) -> bool {
    let asks = |p: &Poll| p.path.split('?').next() == Some(path);
    // Spot's older statistics stand under a path of their own.
    path == "/api/pro/v1/ticker" || FUTURES.iter().chain(SPOT).any(asks)
}

/// As [`crate::venue::Venue::decode_polled`].
pub(super) fn decode(
    scratch: &mut Scratch,
    url: &str,
    body: &[u8],
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    let (path, _) = path_and_query(url);
    let end = path.rsplit('/').next().unwrap_or("");
    scratch.read(body, Limits::SNAPSHOT, |root, _| {
        let data = rest::data(root)?;
        match end {
            "pricing-data" => tables::contracts(data.get("contracts"), StreamId::NONE, ctx),
            "ticker" => tickers(data, ctx),
            "barhist" => candles(data, ctx),
            _ => {
                ctx.event(Event::Other { name: path, stream: StreamId::NONE });
                Ok(())
            }
        }
    })
}

/// One object, or an array of them.
fn tickers(data: Val<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let Some(list) = data.elements() else { return ticker(data, ctx) };
    let mut first_fault = Ok(());
    for v in list {
        let said = ticker(v, ctx);
        if first_fault.is_ok() {
            first_fault = said;
        }
    }
    first_fault
}

/// Volumes are in the base asset.
fn ticker(v: Val<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    if v.entries().is_none() {
        return Err(shape("ticker is no object"));
    }
    let symbol = text(v.get("symbol"), "symbol is missing or no text")?;
    let last = decimal(v.get("close"), "close is no decimal")?;
    if last.is_none() {
        return Err(shape("close is missing"));
    }
    let Some(at) = ctx.instrument(symbol) else {
        return Err(Reject::new(RejectCause::UnknownSymbol, "symbol is refused"));
    };
    ctx.event(Event::Ticker(Ticker {
        instrument: at.id,
        stream: StreamId::NONE,
        ts_event: 0,
        ts_send: 0,
        open: decimal(v.get("open"), "open is no decimal")?,
        high: decimal(v.get("high"), "high is no decimal")?,
        low: decimal(v.get("low"), "low is no decimal")?,
        last,
        last_size: Dec::NONE,
        volume: decimal(v.get("baseVol").or_else(|| v.get("volume")), "volume is no decimal")?,
        quote_volume: Dec::NONE,
        trade_count: -1,
        ts_open: 0,
        ts_close: 0,
    }));
    Ok(())
}

/// Candles in no order that is promised: the newest one is still being made.
fn candles(data: Val<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let Some(list) = data.elements() else { return Err(shape("candles are no array")) };
    let opened = |v: &Val<'_, '_>| v.get("data").and_then(|d| optional_id(d.get("ts"), "").ok());
    let mut all: Vec<Val<'_, '_>> = list.collect();
    all.sort_by_key(opened);
    let mut first_fault = Ok(());
    for (n, v) in all.iter().enumerate() {
        let said = candle(*v, n + 1 < all.len(), ctx);
        if first_fault.is_ok() {
            first_fault = said;
        }
    }
    first_fault
}

fn candle(v: Val<'_, '_>, is_closed: bool, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let symbol = text(v.get("s"), "s is missing or no text")?;
    let Some(data) = v.get("data").filter(|d| d.entries().is_some()) else {
        return Err(shape("data is missing or no object"));
    };
    let Some(at) = ctx.instrument(symbol) else {
        return Err(Reject::new(RejectCause::UnknownSymbol, "symbol is refused"));
    };
    let k = tables::candle(data, at.id, StreamId::NONE, is_closed)?;
    ctx.event(Event::Kline(k));
    Ok(())
}
