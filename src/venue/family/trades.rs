//! Trades, aggregates, block trades, liquidations.

use super::decode::Message;
use crate::model::num::write_plain_bytes;
use crate::model::{Event, Liquidation, Reject, Trade, TradeType};
use crate::parse::Val;
use crate::parse::fields::{decimal, id, optional_id, shape, text, time, word};

/// The keys of `trade`, `blockTrade` and `aggTrade`.
#[derive(Default)]
struct Fields<'t, 'i> {
    event: Option<Val<'t, 'i>>,
    sent: Option<Val<'t, 'i>>,
    matched: Option<Val<'t, 'i>>,
    symbol: Option<Val<'t, 'i>>,
    trade_id: Option<Val<'t, 'i>>,
    aggregate_id: Option<Val<'t, 'i>>,
    first: Option<Val<'t, 'i>>,
    last: Option<Val<'t, 'i>>,
    price: Option<Val<'t, 'i>>,
    size: Option<Val<'t, 'i>>,
    maker: Option<Val<'t, 'i>>,
    origin: Option<Val<'t, 'i>>,
}

impl<'t, 'i> Fields<'t, 'i> {
    fn of(v: Val<'t, 'i>) -> Fields<'t, 'i> {
        let mut f = Fields::default();
        for (key, v) in v.fields() {
            match key.as_bytes() {
                b"e" => f.event = Some(v),
                b"E" => f.sent = Some(v),
                b"T" => f.matched = Some(v),
                b"s" => f.symbol = Some(v),
                b"t" => f.trade_id = Some(v),
                // In old spot trades `a` and `b` are order ids; only aggregates read `a`.
                b"a" => f.aggregate_id = Some(v),
                b"f" => f.first = Some(v),
                b"l" => f.last = Some(v),
                b"p" => f.price = Some(v),
                b"q" => f.size = Some(v),
                b"m" => f.maker = Some(v),
                b"X" => f.origin = Some(v),
                _ => {}
            }
        }
        f
    }

    /// `m`: the buyer was the maker, so the taker sold.
    fn side(&self) -> Result<i8, Reject> {
        match self.maker {
            None => Ok(0),
            Some(v) => match v.as_bool() {
                Some(true) => Ok(-1),
                Some(false) => Ok(1),
                None => Err(shape("m is no truth value")),
            },
        }
    }

    /// What is the same in trades and aggregates; the ids are the caller's.
    fn common(&self, m: &mut Message<'_>) -> Result<Trade<'static>, Reject> {
        let at = m.instrument(self.symbol)?;
        let (ts_event, ts_send) =
            (time(self.matched, "T is no integer")?, time(self.sent, "E is no integer")?);
        let side = self.side()?;
        let (price, size) =
            (text(self.price, "p is missing or no text")?, text(self.size, "q is missing or no text")?);
        let (price, size) = m.exact(at, |exps| Ok((exps.price(price)?, exps.size(size)?)))?;
        Ok(Trade {
            instrument: at.id,
            stream: m.stream(),
            ts_event,
            ts_send,
            chain_id: -1,
            id: -1,
            id_last: -1,
            id_text: "",
            side,
            price,
            size,
            trade_type: TradeType::Market,
            is_aggregate: false,
        })
    }
}

/// One fill. Frames with price and size zero mark a spent id and are kept: without them the chain would have holes.
/// Block trades have ids of their own, of which nobody says that they rise by one: they do not chain.
pub(super) fn trade(m: &mut Message<'_>, v: Val<'_, '_>) -> Result<(), Reject> {
    let f = Fields::of(v);
    if !m.is_event(f.event, &["trade", "blockTrade"])? {
        return Ok(());
    }
    let is_block = match f.event.and_then(Val::as_str) {
        Some(e) => e == "blockTrade",
        None => m.name.ends_with("@blockTrade"),
    };
    let trade_id = id(f.trade_id, "t is missing or no integer")?;
    let t = f.common(m)?;
    let trade_type = match f.origin {
        _ if is_block => TradeType::Block,
        None => m.family.trade_default,
        Some(x) => origin(x.as_str().ok_or_else(|| shape("X is no text"))?),
    };
    let chain_id = if is_block { -1 } else { trade_id };
    m.ctx.event(Event::Trade(Trade { chain_id, id: trade_id, trade_type, ..t }));
    Ok(())
}

/// `X` of futures' trades.
pub(super) fn origin(word: &str) -> TradeType {
    match word {
        "MARKET" => TradeType::Market,
        "INSURANCE_FUND" => TradeType::Insurance,
        "ADL" => TradeType::Adl,
        "LIQUIDATION" => TradeType::Liquidation,
        _ => TradeType::Unknown,
    }
}

/// An aggregate's id as the text that stands beside the ids of its trades.
pub(super) fn aggregate_text(buf: &mut [u8; 44], aggregate_id: i64) -> &str {
    let n = write_plain_bytes(buf, aggregate_id, 0);
    std::str::from_utf8(&buf[buf.len() - n..]).unwrap_or("")
}

/// The fills of one taker order at one price.
pub(super) fn aggregate(m: &mut Message<'_>, v: Val<'_, '_>) -> Result<(), Reject> {
    let f = Fields::of(v);
    if !m.is_event(f.event, &["aggTrade"])? {
        return Ok(());
    }
    let aggregate_id = id(f.aggregate_id, "a is missing or no integer")?;
    let (first, last) = (optional_id(f.first, "f is no integer")?, optional_id(f.last, "l is no integer")?);
    let t = f.common(m)?;
    let mut buf = [0u8; 44];
    let id_text = aggregate_text(&mut buf, aggregate_id);
    m.ctx.event(Event::Trade(Trade {
        chain_id: aggregate_id,
        id: first,
        id_last: last,
        id_text,
        is_aggregate: true,
        ..t
    }));
    Ok(())
}

/// A liquidation order; the facts stand in `o`.
pub(super) fn liquidation(m: &mut Message<'_>, v: Val<'_, '_>) -> Result<(), Reject> {
    let (mut event, mut sent, mut order, mut product) = (None, None, None, None);
    for (key, v) in v.fields() {
        match key.as_bytes() {
            b"e" => event = Some(v),
            b"E" => sent = Some(v),
            b"o" => order = Some(v),
            b"st" => product = Some(v),
            _ => {}
        }
    }
    if !m.is_event(event, &["forceOrder"])? || m.is_foreign(product, order.and_then(|o| o.get("s"))) {
        return Ok(());
    }
    let Some(fields) = order.and_then(Val::entries) else { return Err(shape("o is missing or no object")) };
    let (mut symbol, mut side, mut order_type, mut tif, mut size, mut price) =
        (None, None, None, None, None, None);
    let (mut avg_price, mut status, mut last_filled, mut filled, mut matched) =
        (None, None, None, None, None);
    for (key, v) in fields {
        match key.as_bytes() {
            b"s" => symbol = Some(v),
            b"S" => side = Some(v),
            b"o" => order_type = Some(v),
            b"f" => tif = Some(v),
            b"q" => size = Some(v),
            b"p" => price = Some(v),
            b"ap" => avg_price = Some(v),
            b"X" => status = Some(v),
            b"l" => last_filled = Some(v),
            b"z" => filled = Some(v),
            b"T" => matched = Some(v),
            _ => {}
        }
    }
    let at = m.instrument(symbol)?;
    let l = Liquidation {
        instrument: at.id,
        stream: m.stream(),
        ts_event: time(matched, "o.T is no integer")?,
        ts_send: time(sent, "E is no integer")?,
        side: match text(side, "S is missing or no text")? {
            "BUY" => 1,
            "SELL" => -1,
            _ => 0,
        },
        order_type: word(order_type),
        tif: word(tif),
        price: decimal(price, "o.p is no decimal")?,
        avg_price: decimal(avg_price, "o.ap is no decimal")?,
        size: decimal(size, "o.q is no decimal")?,
        last_filled: decimal(last_filled, "o.l is no decimal")?,
        filled: decimal(filled, "o.z is no decimal")?,
        status: word(status),
    };
    m.ctx.event(Event::Liquidation(l));
    Ok(())
}
