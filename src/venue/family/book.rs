//! Depth diffs, top-N pushes, best bid and ask, and REST snapshots.

use super::decode::Message;
use crate::model::{Bbo, DecodeCtx, Depth, Event, Reject, RejectCause, StreamId, StreamKind};
use crate::parse::fields::{Exponents, best, exact, id, levels, optional_id, shape, text, time};
use crate::parse::{Limits, Scratch, Sides, Val};

/// All spellings of a book message: diffs and futures' pushes with `b`/`a`, spot's pushes and snapshots with
/// `bids`/`asks` and `lastUpdateId`.
#[derive(Default)]
struct Fields<'t, 'i> {
    event: Option<Val<'t, 'i>>,
    sent: Option<Val<'t, 'i>>,
    matched: Option<Val<'t, 'i>>,
    symbol: Option<Val<'t, 'i>>,
    first: Option<Val<'t, 'i>>,
    last: Option<Val<'t, 'i>>,
    prev: Option<Val<'t, 'i>>,
    bids: Option<Val<'t, 'i>>,
    asks: Option<Val<'t, 'i>>,
    code: Option<Val<'t, 'i>>,
    msg: Option<Val<'t, 'i>>,
}

impl<'t, 'i> Fields<'t, 'i> {
    fn of(v: Val<'t, 'i>) -> Fields<'t, 'i> {
        let mut f = Fields::default();
        for (key, v) in v.fields() {
            match key.as_bytes() {
                b"e" => f.event = Some(v),
                b"E" => f.sent = Some(v),
                b"T" => f.matched = Some(v),
                b"s" | b"symbol" => f.symbol = Some(v),
                b"U" => f.first = Some(v),
                b"u" | b"lastUpdateId" => f.last = Some(v),
                b"pu" => f.prev = Some(v),
                b"b" | b"bids" => f.bids = Some(v),
                b"a" | b"asks" => f.asks = Some(v),
                b"code" => f.code = Some(v),
                b"msg" => f.msg = Some(v),
                _ => {}
            }
        }
        f
    }

    fn sides(&self, sides: &mut Sides, exps: &mut Exponents) -> Result<(), Reject> {
        levels(self.bids, &mut sides.bids, exps, "bids are missing or no levels")?;
        levels(self.asks, &mut sides.asks, exps, "asks are missing or no levels")
    }
}

/// A diff, or a whole top-N view, by the stream's kind. In raw mode nothing else tells the two apart.
pub(super) fn depth(m: &mut Message<'_>, v: Val<'_, '_>, sides: &mut Sides) -> Result<(), Reject> {
    let f = Fields::of(v);
    if !m.is_event(f.event, &["depthUpdate"])? {
        return Ok(());
    }
    let at = m.instrument(f.symbol)?;
    let diff = m.info.kind == StreamKind::DepthDiff;
    let first = optional_id(f.first, "U is no integer")?;
    if diff && first < 0 {
        return Err(shape("U is missing"));
    }
    let (last, prev) = (id(f.last, "u is missing or no integer")?, optional_id(f.prev, "pu is no integer")?);
    let (ts_event, ts_send) = (time(f.matched, "T is no integer")?, time(f.sent, "E is no integer")?);
    m.exact(at, |exps| f.sides(sides, exps))?;
    if !diff {
        best_first(sides);
    }
    let d = Depth {
        instrument: at.id,
        stream: m.stream(),
        ts_event,
        ts_send,
        first,
        last,
        prev,
        bids: &sides.bids,
        asks: &sides.asks,
    };
    m.ctx.event(if diff { Event::Depth(d) } else { Event::Partial(d) });
    Ok(())
}

/// Venues print futures' bids worst first; a push is a whole view, so it can be put in order.
pub(super) fn best_first(sides: &mut Sides) {
    sides.bids.sort_unstable_by_key(|l| std::cmp::Reverse(l.price));
    sides.asks.sort_unstable_by_key(|l| l.price);
}

/// As [`crate::venue::Venue::decode_snapshot`].
pub(super) fn snapshot(
    scratch: &mut Scratch,
    symbol: &str,
    body: &[u8],
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    scratch.read(body, Limits::SNAPSHOT, |root, sides| {
        if root.entries().is_none() {
            return Err(shape("snapshot is no object"));
        }
        let f = Fields::of(root);
        if f.code.and_then(Val::as_i64).is_some() && f.msg.and_then(Val::as_str).is_some() {
            return Err(Reject::new(RejectCause::Status, "the venue answered with an error"));
        }
        if f.symbol.is_some_and(|s| s.as_str() != Some(symbol)) {
            return Err(shape("snapshot is of another symbol"));
        }
        let last = id(f.last, "lastUpdateId is missing or no integer")?;
        let (ts_event, ts_send) = (time(f.matched, "T is no integer")?, time(f.sent, "E is no integer")?);
        let Some(at) = ctx.instrument(symbol) else {
            return Err(Reject::new(RejectCause::UnknownSymbol, "symbol is refused"));
        };
        exact(ctx, at, |exps| f.sides(sides, exps))?;
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

/// The venue's best bid and ask. Spot's frames have neither `e` nor times.
pub(super) fn ticker(m: &mut Message<'_>, v: Val<'_, '_>) -> Result<(), Reject> {
    let (mut event, mut sent, mut matched, mut symbol, mut last, mut product) =
        (None, None, None, None, None, None);
    let (mut bid, mut bid_size, mut ask, mut ask_size) = (None, None, None, None);
    for (key, v) in v.fields() {
        match key.as_bytes() {
            b"e" => event = Some(v),
            b"E" => sent = Some(v),
            b"T" => matched = Some(v),
            b"s" => symbol = Some(v),
            b"u" => last = Some(v),
            b"st" => product = Some(v),
            b"b" => bid = Some(v),
            b"B" => bid_size = Some(v),
            b"a" => ask = Some(v),
            b"A" => ask_size = Some(v),
            _ => {}
        }
    }
    if !m.is_event(event, &["bookTicker"])? || m.is_foreign(product, symbol) {
        return Ok(());
    }
    let at = m.instrument(symbol)?;
    let last = optional_id(last, "u is no integer")?;
    let (ts_event, ts_send) = (time(matched, "T is no integer")?, time(sent, "E is no integer")?);
    let (bid, bid_size) = (text(bid, "b is missing or no text")?, text(bid_size, "B is missing or no text")?);
    let (ask, ask_size) = (text(ask, "a is missing or no text")?, text(ask_size, "A is missing or no text")?);
    let (bid, ask) = m.exact(at, |exps| Ok((best(exps, bid, bid_size)?, best(exps, ask, ask_size)?)))?;
    let stream = m.stream();
    m.ctx.event(Event::Bbo(Bbo { instrument: at.id, stream, ts_event, ts_send, last, bid, ask }));
    Ok(())
}
