//! Frames to events. Every frame is one JSON object whose `m` says what it is; keys may come in any order.
//!
//! A snapshot comes as a frame, too: it names the family of diffs that it belongs to, and never seeds the other one.

use std::borrow::Cow;

use super::streams::{ASSETLESS, DEPTH, REALTIME, REFERENCE, SNAPSHOT_ID};
use super::{Ascendex, tables};
use crate::model::instrument::SYMBOL_BYTES_MAX;
use crate::model::{
    DecodeCtx, Depth, Event, InstrumentRef, Notice, Reject, RejectCause, Reply, StreamId, StreamInfo,
};
use crate::parse::fields::{Exponents, exact, id, levels, optional_id, shape, text, time, word};
use crate::parse::{Limits, Scratch, Sides, Val};

/// Levels of a side in a table of whole books.
const PARTIAL_LEVELS: usize = 20;
/// What no acknowledgement is without.
const ACK: &[u8] = b"\"sub\"";

/// The keys of all frames.
#[derive(Default)]
pub(super) struct Frame<'t, 'i> {
    pub kind: &'i str,
    pub symbol: Option<Val<'t, 'i>>,
    pub data: Option<Val<'t, 'i>>,
    pub contracts: Option<Val<'t, 'i>>,
    channel: Option<Val<'t, 'i>>,
    id: Option<Val<'t, 'i>>,
    code: Option<Val<'t, 'i>>,
    reason: Option<Val<'t, 'i>>,
    info: Option<Val<'t, 'i>>,
}

impl<'t, 'i> Frame<'t, 'i> {
    pub(super) fn of(root: Val<'t, 'i>) -> Result<Frame<'t, 'i>, Reject> {
        let Some(entries) = root.entries() else { return Err(shape("frame is no object")) };
        let mut f = Frame::default();
        let mut kind = None;
        for (key, v) in entries {
            match key.as_bytes() {
                b"m" => kind = Some(v),
                // Candles alone say `s`.
                b"symbol" | b"s" => f.symbol = Some(v),
                b"data" => f.data = Some(v),
                b"con" => f.contracts = Some(v),
                b"ch" => f.channel = Some(v),
                b"id" => f.id = Some(v),
                b"code" => f.code = Some(v),
                b"reason" => f.reason = Some(v),
                b"info" => f.info = Some(v),
                _ => {}
            }
        }
        f.kind = text(kind, "m is missing or no text")?;
        Ok(f)
    }

    fn symbol(&self) -> Result<&'i str, Reject> {
        let symbol = text(self.symbol, "symbol is missing or no text")?;
        if symbol.len() > SYMBOL_BYTES_MAX {
            return Err(Reject::new(RejectCause::UnknownSymbol, "symbol is refused"));
        }
        Ok(symbol)
    }

    fn code(&self) -> i64 {
        self.code.and_then(Val::as_i64).unwrap_or(0)
    }

    fn why(&self) -> &'i str {
        match word(self.info) {
            "" => word(self.reason),
            info => info,
        }
    }

    pub(super) fn object(&self) -> Result<Val<'t, 'i>, Reject> {
        self.data.filter(|d| d.entries().is_some()).ok_or_else(|| shape("data is missing or no object"))
    }
}

/// As [`crate::venue::Venue::decode`].
pub(super) fn decode(
    venue: &Ascendex,
    scratch: &mut Scratch,
    frame: &[u8],
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    scratch.read(frame, Limits::MESSAGE, |root, sides| {
        let f = Frame::of(root)?;
        match f.kind {
            "depth" => depth(&f, DEPTH, sides, ctx),
            "depth-realtime" => depth(&f, REALTIME, sides, ctx),
            "depth-snapshot" => snapshot(&f, DEPTH, sides, ctx),
            "depth-snapshot-realtime" => snapshot(&f, REALTIME, sides, ctx),
            "depth-snapshot-top100" => top(&f, sides, ctx),
            "trades" => tables::trades(&f, ctx),
            // The same trades as an answer to a request: ids tell those that came by the stream.
            "market-trades" => tables::latest_trades(&f, ctx),
            "bbo" => tables::bbo(&f, ctx),
            "bar" => tables::bar(&f, ctx),
            // The demo client and an appendix know it under the longer name.
            "futures-pricing-data" | "futures-pricing-data-batch" if knows_pricing(venue) => {
                tables::pricing(&f, ctx)
            }
            "ping" => notice(Notice::Ping, ctx),
            "pong" | "connected" => notice(Notice::Alive, ctx),
            "disconnected" => notice(Notice::Shutdown, ctx),
            "sub" => acknowledged(&f, ctx),
            "unsub" => {
                reply(&f, StreamId::NONE, f.code() != 0, ctx);
                Ok(())
            }
            "error" => refused(&f, ctx),
            // The asset where others have a symbol; its frame is in no document.
            "ref-px" => {
                let asset = f.symbol.and_then(Val::as_str);
                let info = asset.and_then(|a| named(ctx, [REFERENCE, ":", a]));
                let stream = info.map_or(StreamId::NONE, |i| i.stream);
                ctx.event(Event::Other { name: REFERENCE, stream });
                Ok(())
            }
            other => {
                ctx.event(Event::Other { name: other, stream: StreamId::NONE });
                Ok(())
            }
        }
    })
}

fn knows_pricing(venue: &Ascendex) -> bool {
    venue.channels.iter().any(|c| c.base == ASSETLESS)
}

fn notice(n: Notice, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    ctx.event(Event::Notice(n));
    Ok(())
}

/// The stream of a channel and a symbol, without allocating its name.
pub(super) fn stream_of(
    ctx: &mut dyn DecodeCtx,
    parts: [&str; 3],
) -> Result<(StreamInfo, InstrumentRef), Reject> {
    let info = named(ctx, parts).ok_or_else(not_subscribed)?;
    let at = info.instrument.ok_or_else(not_subscribed)?;
    Ok((info, at))
}

fn named(ctx: &mut dyn DecodeCtx, parts: [&str; 3]) -> Option<StreamInfo> {
    let mut buf = [0u8; 192];
    let mut len = 0;
    for part in parts {
        buf.get_mut(len..len + part.len())?.copy_from_slice(part.as_bytes());
        len += part.len();
    }
    ctx.stream(std::str::from_utf8(&buf[..len]).ok()?)
}

#[cold]
fn not_subscribed() -> Reject {
    Reject::new(RejectCause::UnknownStream, "stream was not subscribed")
}

/// The keys of `data` in all messages of the book.
struct Book<'t, 'i> {
    ts: i64,
    seqnum: i64,
    bids: Option<Val<'t, 'i>>,
    asks: Option<Val<'t, 'i>>,
}

impl<'t, 'i> Book<'t, 'i> {
    fn of(data: Val<'t, 'i>) -> Result<Book<'t, 'i>, Reject> {
        let (mut ts, mut seqnum, mut bids, mut asks) = (None, None, None, None);
        for (key, v) in data.fields() {
            match key.as_bytes() {
                b"ts" => ts = Some(v),
                b"seqnum" => seqnum = Some(v),
                b"bids" => bids = Some(v),
                b"asks" => asks = Some(v),
                _ => {}
            }
        }
        let seqnum = id(seqnum, "seqnum is missing or no integer")?;
        Ok(Book { ts: time(ts, "ts is no integer")?, seqnum, bids, asks })
    }

    fn sides(&self, sides: &mut Sides, exps: &mut Exponents) -> Result<(), Reject> {
        levels(self.bids, &mut sides.bids, exps, "bids are missing or no levels")?;
        levels(self.asks, &mut sides.asks, exps, "asks are missing or no levels")
    }

    /// `first`: −1 on snapshots.
    fn event<'s>(&self, at: InstrumentRef, stream: StreamId, first: i64, sides: &'s Sides) -> Depth<'s> {
        Depth {
            instrument: at.id,
            stream,
            ts_event: self.ts,
            ts_send: 0,
            first,
            last: self.seqnum,
            prev: -1,
            bids: &sides.bids,
            asks: &sides.asks,
        }
    }
}

fn depth(f: &Frame<'_, '_>, channel: &str, sides: &mut Sides, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let (info, at) = stream_of(ctx, [channel, ":", f.symbol()?])?;
    let book = Book::of(f.object()?)?;
    exact(ctx, at, |exps| book.sides(sides, exps))?;
    ctx.event(Event::Depth(book.event(at, info.stream, book.seqnum, sides)));
    Ok(())
}

/// The book is named first and the stream last: a snapshot that cannot be read must not break the chain.
fn snapshot(
    f: &Frame<'_, '_>,
    channel: &str,
    sides: &mut Sides,
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    let symbol = f.symbol()?;
    let (book, at) = read_book(f, symbol, sides, ctx)?;
    let (info, _) = stream_of(ctx, [channel, ":", symbol])?;
    ctx.event(Event::Snapshot(book.event(at, info.stream, -1, sides)));
    Ok(())
}

/// The best hundred of a side, on demand. Nobody has shown this answer: if it is no book, it is kept as it is. It seeds
/// none, for it is cut; of its levels the table takes the best twenty.
fn top(f: &Frame<'_, '_>, sides: &mut Sides, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let is_book = |d: Val<'_, '_>| ["seqnum", "bids", "asks"].iter().all(|k| d.get(k).is_some());
    if f.symbol.is_none() || !f.data.is_some_and(is_book) {
        ctx.event(Event::Other { name: "depth-snapshot-top100", stream: StreamId::NONE });
        return Ok(());
    }
    let (book, at) = read_book(f, f.symbol()?, sides, ctx)?;
    sides.bids.sort_unstable_by_key(|l| std::cmp::Reverse(l.price));
    sides.asks.sort_unstable_by_key(|l| l.price);
    sides.bids.truncate(PARTIAL_LEVELS);
    sides.asks.truncate(PARTIAL_LEVELS);
    ctx.event(Event::Partial(book.event(at, StreamId::NONE, -1, sides)));
    Ok(())
}

fn read_book<'t, 'i>(
    f: &Frame<'t, 'i>,
    symbol: &str,
    sides: &mut Sides,
    ctx: &mut dyn DecodeCtx,
) -> Result<(Book<'t, 'i>, InstrumentRef), Reject> {
    let book = Book::of(f.object()?)?;
    let Some(at) = ctx.instrument(symbol) else {
        return Err(Reject::new(RejectCause::UnknownSymbol, "symbol is refused"));
    };
    let ((), at) = exact(ctx, at, |exps| book.sides(sides, exps))?;
    Ok((book, at))
}

/// The inner part of a REST snapshot, which is such a frame.
pub(super) fn rest_snapshot(
    inner: Val<'_, '_>,
    symbol: &str,
    sides: &mut Sides,
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    let f = Frame::of(inner)?;
    if f.kind != "depth-snapshot" {
        return Err(shape("m is not depth-snapshot"));
    }
    if f.symbol()? != symbol {
        return Err(shape("snapshot is of another symbol"));
    }
    let (book, at) = read_book(&f, symbol, sides, ctx)?;
    ctx.event(Event::Snapshot(book.event(at, StreamId::NONE, -1, sides)));
    Ok(())
}

/// One answer per stream, or one for all of a message: `ch` then lists the symbols.
fn acknowledged(f: &Frame<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let ch = text(f.channel, "ch is missing or no text")?;
    let is_error = f.code() != 0;
    let Some((channel, subjects)) = ch.rsplit_once(':') else {
        let stream = ctx.stream(ch).map_or(StreamId::NONE, |i| i.stream);
        reply(f, stream, is_error, ctx);
        return Ok(());
    };
    for subject in subjects.split(',') {
        let stream = named(ctx, [channel, ":", subject]).map_or(StreamId::NONE, |i| i.stream);
        reply(f, stream, is_error, ctx);
    }
    Ok(())
}

/// As [`crate::venue::Venue::confirmed`].
pub(super) fn confirmed(frame: &[u8]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Ack<'a> {
        #[serde(borrow)]
        m: Cow<'a, str>,
        #[serde(borrow)]
        ch: Cow<'a, str>,
    }
    // All frames of a recording are asked: few of them are read for it.
    if !frame.windows(ACK.len()).any(|w| w == ACK) {
        return Vec::new();
    }
    let Some(ack) = serde_json::from_slice::<Ack<'_>>(frame).ok().filter(|a| a.m == "sub") else {
        return Vec::new();
    };
    let Some((channel, subjects)) = ack.ch.rsplit_once(':') else { return vec![ack.ch.into_owned()] };
    subjects.split(',').map(|s| format!("{channel}:{s}")).collect()
}

fn reply(f: &Frame<'_, '_>, stream: StreamId, is_error: bool, ctx: &mut dyn DecodeCtx) {
    ctx.event(Event::Reply(Reply { is_error, code: f.code(), text: f.why(), stream, ..Reply::NONE }));
}

/// An error names the request's id, and ours name the symbol whose snapshot was asked for.
fn refused(f: &Frame<'_, '_>, ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    optional_id(f.code, "code is no integer")?;
    let symbol = word(f.id).strip_prefix(SNAPSHOT_ID).filter(|s| !s.is_empty());
    let snapshot_of = symbol.and_then(|s| ctx.instrument(s)).map_or(Reply::NONE.snapshot_of, |i| i.id);
    ctx.event(Event::Reply(Reply {
        is_error: true,
        code: f.code(),
        text: f.why(),
        snapshot_of,
        ..Reply::NONE
    }));
    Ok(())
}
