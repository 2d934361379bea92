//! The frames of which most of the traffic consists, read without an index: depth, trades, best bid and ask, in the
//! order in which the venues print their keys. Keys that only some products or years have are optional where they stand.
//!
//! Every byte is accounted for: a literal is compared, a number or text read, or the frame is handed on (`None`)
//! untouched and unsaid, and the general reader finds out what it is. So there is nothing here to reject or to widen.

use super::Family;
use super::trades::origin;
use crate::model::time::ms_to_ns;
use crate::model::{
    Bbo, DecodeCtx, Depth, Event, InstrumentRef, Level, StreamInfo, StreamKind, StreamSpec, Trade, TradeType,
};
use crate::parse::json::LEVELS_MAX;
use crate::parse::scan::{self, Scale};
use crate::parse::{Limits, Path, Scan, Sides, parse_fixed};

/// The path of a frame that was not read here.
pub(super) fn path_not_taken(kind: StreamKind) -> Path {
    match kind {
        StreamKind::DepthDiff
        | StreamKind::DepthPartial
        | StreamKind::Trade
        | StreamKind::AggTrade
        | StreamKind::BookTicker => Path::Fallback,
        _ => Path::General,
    }
}

/// One frame of a known stream, behind its envelope.
struct Frame<'a> {
    scan: Scan<'a>,
    info: StreamInfo,
    /// Name of the stream; stands in JSON as it is.
    name: &'a [u8],
    in_envelope: bool,
}

/// Reads a frame and says its event; or returns `None` and has said nothing.
#[inline]
pub(super) fn decode(
    family: &Family,
    sides: &mut Sides,
    frame: &[u8],
    only: Option<&StreamSpec>,
    ctx: &mut dyn DecodeCtx,
) -> Option<()> {
    // Longer ones are counted by the general reader before they are read.
    if frame.len() > Limits::MESSAGE.elements {
        return None;
    }
    let mut scan = Scan::new(frame);
    let in_envelope = scan.skip(b"{\"stream\":\"");
    let name = if in_envelope {
        let name = scan.plain()?;
        scan.literal(b",\"data\":")?;
        name
    } else {
        only.map(|o| o.name.as_bytes()).filter(|n| scan::is_plain(n))?
    };
    let info = ctx.peek(name)?;
    let f = Frame { scan, info, name, in_envelope };
    match info.kind {
        StreamKind::DepthDiff => f.depth(sides, ctx),
        StreamKind::BookTicker => f.ticker(family, ctx),
        StreamKind::Trade => f.trade(family, ctx),
        StreamKind::AggTrade => f.aggregate(ctx),
        StreamKind::DepthPartial => f.partial(sides, ctx),
        _ => None,
    }
}

#[inline(always)]
fn scales(at: InstrumentRef) -> (Scale, Scale) {
    (Scale::new(at.price_exp), Scale::new(at.size_exp))
}

/// What a trade and an aggregate share.
struct Fill {
    at: InstrumentRef,
    ts_event: i64,
    ts_send: i64,
    price: i64,
    size: i64,
}

impl Frame<'_> {
    /// `"s":"…"`, which must be the stream's own symbol.
    #[inline(always)]
    fn symbol(&mut self) -> Option<()> {
        self.scan.literal(b",\"s\":\"")?;
        self.scan.same_up_to_at(self.name)
    }

    /// `"ps":"…"`: the pair, which nobody needs.
    #[inline(always)]
    fn pair(&mut self) -> Option<()> {
        if self.scan.skip(b",\"ps\":\"") {
            self.scan.text()?;
        }
        Some(())
    }

    /// A time under this key, 0 if the key is not next.
    #[inline(always)]
    fn time<const N: usize>(&mut self, key: &[u8; N]) -> Option<i64> {
        if self.scan.skip(key) { self.scan.integer().map(ms_to_ns) } else { Some(0) }
    }

    #[inline(always)]
    fn id<const N: usize>(&mut self, key: &[u8; N]) -> Option<i64> {
        self.scan.literal(key)?;
        self.scan.integer()
    }

    /// `true` or `false` under this key.
    #[inline(always)]
    fn truth<const N: usize>(&mut self, key: &[u8; N]) -> Option<bool> {
        self.scan.literal(key)?;
        let is = self.scan.skip(b"true");
        (is || self.scan.skip(b"false")).then_some(is)
    }

    /// The pair and the product's code at the end, then the closing brackets and nothing else. −1: no code.
    #[inline(always)]
    fn end(&mut self) -> Option<i64> {
        self.pair()?;
        let product = if self.scan.skip(b",\"st\":") { self.scan.integer()? } else { -1 };
        let closed = if self.in_envelope { self.scan.skip(b"}}") } else { self.scan.skip(b"}") };
        (closed && self.scan.is_end()).then_some(product)
    }

    #[inline(always)]
    fn side(&mut self, levels: &mut Vec<Level>, at: InstrumentRef) -> Option<()> {
        levels.clear();
        self.scan.levels(levels, &scales(at))?;
        (levels.len() <= LEVELS_MAX).then_some(())
    }

    /// `depthUpdate`, of futures (`T`, `pu`) and of spot; Aster spot's views spell the sides out.
    fn depth(mut self, sides: &mut Sides, ctx: &mut dyn DecodeCtx) -> Option<()> {
        let at = self.info.instrument?;
        self.scan.literal(b"{\"e\":\"depthUpdate\"")?;
        let ts_send = self.time(b",\"E\":")?;
        let ts_event = self.time(b",\"T\":")?;
        self.symbol()?;
        self.pair()?;
        let first = self.id(b",\"U\":")?;
        let last = self.id(b",\"u\":")?;
        let prev = if self.scan.skip(b",\"pu\":") { self.scan.integer()? } else { -1 };
        if !self.scan.skip(b",\"b\":[") {
            self.scan.literal(b",\"bids\":[")?;
        }
        self.side(&mut sides.bids, at)?;
        if !self.scan.skip(b",\"a\":[") {
            self.scan.literal(b",\"asks\":[")?;
        }
        self.side(&mut sides.asks, at)?;
        self.end()?;
        self.book(sides, ctx, (ts_event, ts_send), (first, last, prev))
    }

    /// A whole top-N view: futures' ones look like a diff, spot's have no symbol.
    fn partial(mut self, sides: &mut Sides, ctx: &mut dyn DecodeCtx) -> Option<()> {
        let at = self.info.instrument?;
        if !self.scan.skip(b"{\"lastUpdateId\":") {
            return self.depth(sides, ctx);
        }
        let last = self.scan.integer()?;
        self.scan.literal(b",\"bids\":[")?;
        self.side(&mut sides.bids, at)?;
        self.scan.literal(b",\"asks\":[")?;
        self.side(&mut sides.asks, at)?;
        self.end()?;
        self.book(sides, ctx, (0, 0), (-1, last, -1))
    }

    #[inline(always)]
    fn book(
        &self,
        sides: &mut Sides,
        ctx: &mut dyn DecodeCtx,
        (ts_event, ts_send): (i64, i64),
        (first, last, prev): (i64, i64, i64),
    ) -> Option<()> {
        let is_diff = self.info.kind == StreamKind::DepthDiff;
        if !is_diff {
            super::book::best_first(sides);
        }
        let d = Depth {
            instrument: self.info.instrument?.id,
            stream: self.info.stream,
            ts_event,
            ts_send,
            first,
            last,
            prev,
            bids: &sides.bids,
            asks: &sides.asks,
        };
        ctx.enter(&self.info);
        ctx.event(if is_diff { Event::Depth(d) } else { Event::Partial(d) });
        Some(())
    }

    /// `bookTicker`: USD-M's, Aster's with the times in front, COIN-M's and spot's with the id in front.
    fn ticker(mut self, family: &Family, ctx: &mut dyn DecodeCtx) -> Option<()> {
        let last = if self.scan.skip(b"{\"e\":\"bookTicker\",\"u\":") {
            self.scan.integer()?
        } else {
            self.scan.literal(b"{\"u\":")?;
            let last = self.scan.integer()?;
            self.scan.skip(b",\"e\":\"bookTicker\"");
            last
        };
        let (mut sent, mut matched) = (self.time(b",\"E\":")?, self.time(b",\"T\":")?);
        let times_first = sent | matched != 0;
        let Some(at) = self.info.instrument else {
            return self.any_ticker(family, ctx, last, (sent, matched));
        };
        self.symbol()?;
        self.pair()?;
        let scales = scales(at);
        self.scan.literal(b",\"b\":\"")?;
        let bid = self.scan.quote(b",\"B\":\"", &scales)?;
        self.scan.literal(b",\"a\":\"")?;
        let ask = self.scan.quote(b",\"A\":\"", &scales)?;
        if !times_first {
            (matched, sent) = (self.time(b",\"T\":")?, self.time(b",\"E\":")?);
        }
        self.end()?;
        ctx.enter(&self.info);
        ctx.event(Event::Bbo(Bbo {
            instrument: at.id,
            stream: self.info.stream,
            ts_event: matched,
            ts_send: sent,
            last,
            bid,
            ask,
        }));
        Some(())
    }

    /// The same on the all-market stream: the symbol decides the decimals, and is made known only for a frame that is
    /// good to its end.
    fn any_ticker(
        mut self,
        family: &Family,
        ctx: &mut dyn DecodeCtx,
        last: i64,
        (mut sent, mut matched): (i64, i64),
    ) -> Option<()> {
        let times_first = sent | matched != 0;
        self.scan.literal(b",\"s\":\"")?;
        let symbol = self.scan.text()?;
        self.pair()?;
        self.scan.literal(b",\"b\":\"")?;
        let bid = self.scan.text()?;
        self.scan.literal(b",\"B\":\"")?;
        let bid_size = self.scan.text()?;
        self.scan.literal(b",\"a\":\"")?;
        let ask = self.scan.text()?;
        self.scan.literal(b",\"A\":\"")?;
        let ask_size = self.scan.text()?;
        if !times_first {
            (matched, sent) = (self.time(b",\"T\":")?, self.time(b",\"E\":")?);
        }
        let product = self.end()?;
        // What is not, or may not be, of this venue is the other reader's.
        let is_own = |own: i64| own == product || product < 0 && ctx.is_listed(symbol);
        if family.product_code.is_some_and(|own| !is_own(own)) {
            return None;
        }
        ctx.enter(&self.info);
        let at = ctx.instrument(symbol)?;
        let level = |price: &str, size: &str| {
            let price = parse_fixed(price.as_bytes(), at.price_exp).ok()?;
            Some(Level { price, size: parse_fixed(size.as_bytes(), at.size_exp).ok()? })
        };
        let (bid, ask) = (level(bid, bid_size)?, level(ask, ask_size)?);
        let stream = self.info.stream;
        let (ts_event, ts_send) = (matched, sent);
        ctx.event(Event::Bbo(Bbo { instrument: at.id, stream, ts_event, ts_send, last, bid, ask }));
        Some(())
    }

    /// `trade` and `blockTrade`: futures' with `T` in front and `X`, spot's with order ids in old ones.
    fn trade(mut self, family: &Family, ctx: &mut dyn DecodeCtx) -> Option<()> {
        let at = self.info.instrument?;
        let is_block = !self.scan.skip(b"{\"e\":\"trade\"");
        if is_block {
            self.scan.literal(b"{\"e\":\"blockTrade\"")?;
        }
        let ts_send = self.time(b",\"E\":")?;
        let mut ts_event = self.time(b",\"T\":")?;
        self.symbol()?;
        let id = self.id(b",\"t\":")?;
        self.scan.literal(b",\"p\":\"")?;
        let Level { price, size } = self.scan.quote(b",\"q\":\"", &scales(at))?;
        if self.scan.skip(b",\"b\":") {
            self.scan.integer()?;
            self.id(b",\"a\":")?;
        }
        let mut trade_type = family.trade_default;
        if self.scan.skip(b",\"X\":\"") {
            trade_type = origin(self.scan.text()?);
        }
        if ts_event == 0 {
            ts_event = self.time(b",\"T\":")?;
        }
        let fill = Fill { at, ts_event, ts_send, price, size };
        let kind = if is_block { TradeType::Block } else { trade_type };
        let t = self.fill(&fill)?;
        let chain_id = if is_block { -1 } else { id };
        ctx.enter(&self.info);
        ctx.event(Event::Trade(Trade { chain_id, id, trade_type: kind, ..t }));
        Some(())
    }

    /// `aggTrade`; the aggregate's id stands before or behind the symbol.
    fn aggregate(mut self, ctx: &mut dyn DecodeCtx) -> Option<()> {
        let at = self.info.instrument?;
        self.scan.literal(b"{\"e\":\"aggTrade\"")?;
        let ts_send = self.time(b",\"E\":")?;
        let ((chain_id, digits), ()) = if self.scan.skip(b",\"a\":") {
            (self.scan.integer_text()?, self.symbol()?)
        } else {
            self.symbol()?;
            self.scan.literal(b",\"a\":")?;
            (self.scan.integer_text()?, ())
        };
        self.scan.literal(b",\"p\":\"")?;
        let Level { price, size } = self.scan.quote(b",\"q\":\"", &scales(at))?;
        if self.scan.skip(b",\"nq\":\"") {
            self.scan.text()?;
        }
        let (id, id_last) = (self.id(b",\"f\":")?, self.id(b",\"l\":")?);
        let ts_event = self.time(b",\"T\":")?;
        let t = self.fill(&Fill { at, ts_event, ts_send, price, size })?;
        let id_text = std::str::from_utf8(digits).ok()?;
        ctx.enter(&self.info);
        ctx.event(Event::Trade(Trade { chain_id, id, id_last, id_text, is_aggregate: true, ..t }));
        Some(())
    }

    /// The taker's side and the end of a trade.
    #[inline(always)]
    fn fill(&mut self, f: &Fill) -> Option<Trade<'static>> {
        let buyer_is_maker = self.truth(b",\"m\":")?;
        if self.scan.skip(b",\"M\":") && !self.scan.skip(b"true") {
            self.scan.literal(b"false")?;
        }
        self.end()?;
        Some(Trade {
            instrument: f.at.id,
            stream: self.info.stream,
            ts_event: f.ts_event,
            ts_send: f.ts_send,
            chain_id: -1,
            id: -1,
            id_last: -1,
            id_text: "",
            side: if planted!("taker_turned_round", !buyer_is_maker, buyer_is_maker) { -1 } else { 1 },
            price: f.price,
            size: f.size,
            trade_type: TradeType::Market,
            is_aggregate: false,
        })
    }
}
