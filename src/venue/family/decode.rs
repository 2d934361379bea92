//! Frames to events: the envelope, answers to our messages, and the way to each stream's reader.
//!
//! Keys may come in any order and unknown ones are ignored. Every reader collects its keys in one pass and looks at
//! `e` first: an event of a kind that nobody here knows is [`Event::Other`], whatever else it holds.

use super::{Family, book, quick, stats, trades};
use crate::model::{
    DecodeCtx, Event, InstrumentRef, Notice, Reject, RejectCause, Reply, StreamId, StreamInfo, StreamKind,
    StreamSpec,
};
use crate::parse::fields::{Exponents, after_fault, exact, shape};
use crate::parse::{Limits, Path, Scratch, Sides, Val};

/// Name under which rows of a sister product in an all-market stream are counted.
const FOREIGN: &str = "foreign_product";
/// The event that announces the end of a connection.
const SHUTDOWN: &str = "serverShutdown";

/// As [`crate::venue::Venue::decode`]: the shapes that are known first, then whatever else it may be.
pub(super) fn decode(
    family: &Family,
    scratch: &mut Scratch,
    frame: &[u8],
    only: Option<&StreamSpec>,
    ctx: &mut dyn DecodeCtx,
) -> Result<(), Reject> {
    if !scratch.is_general_only() && quick::decode(family, scratch.sides(), frame, only, ctx).is_some() {
        scratch.count(Path::Quick);
        return Ok(());
    }
    let mut path = Path::General;
    let said = general(family, scratch, frame, only, ctx, &mut path);
    scratch.count(path);
    said
}

/// Reads any JSON.
fn general(
    family: &Family,
    scratch: &mut Scratch,
    frame: &[u8],
    only: Option<&StreamSpec>,
    ctx: &mut dyn DecodeCtx,
    path: &mut Path,
) -> Result<(), Reject> {
    scratch.read(frame, Limits::MESSAGE, |root, sides| {
        let head = Head::of(root);
        if head.is_envelope() {
            let (name, data) = (head.stream.and_then(Val::as_str), head.data);
            let Some((name, data)) = name.zip(data) else {
                return Err(shape("envelope without a stream's name"));
            };
            return enveloped(family, name, data, sides, ctx, path);
        }
        if let Some(reply) = head.reply() {
            ctx.event(Event::Reply(reply));
            return Ok(());
        }
        if head.is_shutdown() {
            ctx.event(Event::Notice(Notice::Shutdown));
            return Ok(());
        }
        let Some(only) = only else {
            return Err(Reject::new(RejectCause::UnknownStream, "frame names no stream"));
        };
        let Some(info) = ctx.stream(&only.name) else { return Err(not_subscribed()) };
        *path = quick::path_not_taken(info.kind);
        Message { family, name: &only.name, info, ctx }.all(root, sides)
    })
}

fn enveloped(
    family: &Family,
    name: &str,
    data: Val<'_, '_>,
    sides: &mut Sides,
    ctx: &mut dyn DecodeCtx,
    path: &mut Path,
) -> Result<(), Reject> {
    if let Some(info) = ctx.stream(name) {
        *path = quick::path_not_taken(info.kind);
        return Message { family, name, info, ctx }.all(data, sides);
    }
    // Under names that nobody subscribed to come the notice of a shutdown and (on no documented venue) answers.
    let inner = Head::of(data);
    if inner.is_shutdown() {
        ctx.event(Event::Notice(Notice::Shutdown));
        return Ok(());
    }
    if let Some(reply) = inner.reply() {
        ctx.event(Event::Reply(reply));
        return Ok(());
    }
    Err(not_subscribed())
}

/// Whether a stream's name is this symbol up to its first `@`, but for ASCII case.
#[inline]
fn is_named(name: &str, symbol: &str) -> bool {
    let (name, symbol) = (name.as_bytes(), symbol.as_bytes());
    name.get(..symbol.len()).is_some_and(|n| n.eq_ignore_ascii_case(symbol) && !n.contains(&b'@'))
        && name.get(symbol.len()).is_none_or(|b| *b == b'@')
}

#[cold]
fn not_subscribed() -> Reject {
    Reject::new(RejectCause::UnknownStream, "stream was not subscribed")
}

/// The keys that tell an envelope, an answer, a notice and a bare event apart.
#[derive(Default)]
struct Head<'t, 'i> {
    stream: Option<Val<'t, 'i>>,
    data: Option<Val<'t, 'i>>,
    id: Option<Val<'t, 'i>>,
    result: Option<Val<'t, 'i>>,
    error: Option<Val<'t, 'i>>,
    code: Option<Val<'t, 'i>>,
    msg: Option<Val<'t, 'i>>,
    event: Option<Val<'t, 'i>>,
}

impl<'t, 'i> Head<'t, 'i> {
    fn of(v: Val<'t, 'i>) -> Head<'t, 'i> {
        let mut h = Head::default();
        for (key, v) in v.fields() {
            match key.as_bytes() {
                b"stream" => h.stream = Some(v),
                b"data" => h.data = Some(v),
                b"id" => h.id = Some(v),
                b"result" => h.result = Some(v),
                b"error" => h.error = Some(v),
                b"code" => h.code = Some(v),
                b"msg" => h.msg = Some(v),
                b"e" => h.event = Some(v),
                _ => {}
            }
        }
        h
    }

    fn is_envelope(&self) -> bool {
        self.stream.is_some() && self.data.is_some()
    }

    fn is_shutdown(&self) -> bool {
        self.event.and_then(Val::as_str) == Some(SHUTDOWN)
    }

    /// Success is `{"result":…,"id":…}`; errors come in three shapes: `{code,msg}`, the same with `id`, and
    /// `{"error":{code,msg},"id":…}`.
    fn reply(&self) -> Option<Reply<'i>> {
        if self.event.is_some() {
            return None;
        }
        let id = self.id.map_or(-1, reply_id);
        if let Some(error) = self.error.filter(|v| v.entries().is_some()) {
            let code = error.get("code").and_then(Val::as_i64).unwrap_or(0);
            let text = error.get("msg").and_then(Val::as_str).unwrap_or("");
            return Some(Reply { id, is_error: true, code, text, ..Reply::NONE });
        }
        if let (Some(code), Some(text)) = (self.code.and_then(Val::as_i64), self.msg.and_then(Val::as_str)) {
            return Some(Reply { id, is_error: true, code, text, ..Reply::NONE });
        }
        (self.result.is_some() && self.id.is_some()).then_some(Reply { id, ..Reply::NONE })
    }
}

/// We send unsigned integers; one venue's page shows the echo as a text.
fn reply_id(v: Val<'_, '_>) -> i64 {
    v.as_i64().or_else(|| v.as_str()?.parse().ok()).filter(|id| *id >= 0).unwrap_or(-1)
}

/// One message on a known stream, and what its readers need.
pub(super) struct Message<'a> {
    pub(super) family: &'a Family,
    /// Name of the stream.
    pub(super) name: &'a str,
    pub(super) info: StreamInfo,
    pub(super) ctx: &'a mut dyn DecodeCtx,
}

impl Message<'_> {
    /// The message, whether it is one event or an array of them.
    fn all(&mut self, data: Val<'_, '_>, sides: &mut Sides) -> Result<(), Reject> {
        if self.info.kind == StreamKind::RawOnly {
            let first = data.elements().map_or(Some(data), |mut e| e.next());
            let event = first.and_then(|v| v.get("e")).and_then(Val::as_str);
            self.other(event.unwrap_or(self.name));
            let is = |(e, key): &(&str, &str)| {
                event == Some(*e) && (key.is_empty() || first.and_then(|v| v.get(key)).is_some())
            };
            if self.family.listing_events.iter().any(is) {
                self.ctx.event(Event::Notice(Notice::Listing));
            }
            return Ok(());
        }
        // Objects are documented for some `@arr` streams and arrays for others: both are taken everywhere.
        let Some(elements) = data.elements() else { return self.element(data, sides) };
        let mut first_fault = Ok(());
        for element in elements {
            let said = self.element(element, sides);
            if first_fault.is_ok() {
                first_fault = said;
            }
        }
        first_fault
    }

    fn element(&mut self, v: Val<'_, '_>, sides: &mut Sides) -> Result<(), Reject> {
        if v.entries().is_none() {
            return Err(shape("event is no object"));
        }
        match self.info.kind {
            StreamKind::DepthDiff | StreamKind::DepthPartial => book::depth(self, v, sides),
            StreamKind::BookTicker => book::ticker(self, v),
            StreamKind::Trade | StreamKind::TradeSparse => trades::trade(self, v),
            StreamKind::AggTrade => trades::aggregate(self, v),
            StreamKind::Liquidation => trades::liquidation(self, v),
            StreamKind::Mark => stats::mark(self, v),
            StreamKind::Kline => stats::kline(self, v),
            StreamKind::MiniTicker | StreamKind::Ticker => stats::ticker(self, v),
            StreamKind::OpenInterest | StreamKind::Funding | StreamKind::RawOnly => {
                self.other(v.get("e").and_then(Val::as_str).unwrap_or(self.name));
                Ok(())
            }
        }
    }

    pub(super) fn stream(&self) -> StreamId {
        self.info.stream
    }

    pub(super) fn other(&mut self, name: &str) {
        self.ctx.event(Event::Other { name, stream: self.info.stream });
    }

    /// Whether the event is of a kind that the reader knows (or does not say). If not, it has been said as `Other`.
    pub(super) fn is_event(&mut self, e: Option<Val<'_, '_>>, known: &[&str]) -> Result<bool, Reject> {
        let Some(e) = e else { return Ok(true) };
        let Some(e) = e.as_str() else { return Err(shape("e is no text")) };
        if known.contains(&e) {
            return Ok(true);
        }
        if e == SHUTDOWN {
            self.ctx.event(Event::Notice(Notice::Shutdown));
        } else {
            self.other(e);
        }
        Ok(false)
    }

    /// Whether a row of an all-market stream belongs to a sister product. If so, it has been said as `Other`:
    /// its symbol is not one of this venue's list. Where the row does not say whose it is, that list decides.
    pub(super) fn is_foreign(&mut self, product: Option<Val<'_, '_>>, symbol: Option<Val<'_, '_>>) -> bool {
        let foreign = self.info.instrument.is_none()
            && self.family.product_code.is_some_and(|own| match product.and_then(Val::as_i64) {
                Some(code) => code != own,
                None => symbol.and_then(Val::as_str).is_some_and(|s| !self.ctx.is_listed(s)),
            });
        if foreign {
            self.other(FOREIGN);
        }
        foreign
    }

    /// The instrument: the stream's own (then a symbol in the frame must agree with the name), or the frame's.
    pub(super) fn instrument(&mut self, symbol: Option<Val<'_, '_>>) -> Result<InstrumentRef, Reject> {
        let symbol = match symbol {
            Some(v) => Some(v.as_str().ok_or_else(|| shape("symbol is no text"))?),
            None => None,
        };
        match (self.info.instrument, symbol) {
            (Some(i), None) => Ok(i),
            (Some(i), Some(s)) => {
                if is_named(self.name, s) {
                    Ok(i)
                } else {
                    Err(shape("symbol is not the stream's"))
                }
            }
            (None, Some(s)) => self
                .ctx
                .instrument(s)
                .ok_or_else(|| Reject::new(RejectCause::UnknownSymbol, "symbol is refused")),
            (None, None) => Err(shape("symbol is missing")),
        }
    }

    /// As [`crate::parse::fields::exact`], for the stream that the message is of: what holds afterwards is kept.
    pub(super) fn exact<R>(
        &mut self,
        at: InstrumentRef,
        read: impl FnMut(&mut Exponents) -> Result<R, Reject>,
    ) -> Result<R, Reject> {
        let (value, now) = match exact(self.ctx, at, read) {
            Ok((value, now)) => (Ok(value), now),
            Err(e) => (Err(e), after_fault(self.ctx, at)),
        };
        if self.info.instrument.is_some_and(|i| i.id == now.id) {
            self.info.instrument = Some(now);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::is_named;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_is_its_symbol_up_to_the_first_at(name in "[aB@é]{0,4}", symbol in "[Ab@É]{0,4}") {
            let named = name.split('@').next().unwrap_or("");
            prop_assert_eq!(is_named(&name, &symbol), named.eq_ignore_ascii_case(&symbol));
        }
    }
}
