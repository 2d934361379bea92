//! Protobuf frames: keys, lengths and numbers by `prost`'s own readers, fields borrowed from the frame.
//!
//! Nothing names a message: its fields tell it from the others. What is cut in the middle of a field is refused; what is
//! cut between two fields is a shorter message, because protobuf leaves empty fields out.

use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};

use super::decode::{Candle, Deal, candle, deal};
use crate::model::{Dec, DecodeCtx, Event, Reject, RejectCause, StreamId};
use crate::parse::fields::shape;
use crate::parse::parse_dec;

/// Bytes of a message.
const BYTES_MAX: usize = 8 << 20;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Eight or four bytes; no message here has such a field.
    Fixed,
}

#[cold]
fn broken(detail: &'static str) -> Reject {
    Reject::new(RejectCause::Malformed, detail)
}

/// Takes the next field off `rest`; `None` at the end.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<(u32, Value<'a>)>, Reject> {
    if rest.is_empty() {
        return Ok(None);
    }
    let (field, wire) = decode_key(rest).map_err(|_| broken("protobuf key is none"))?;
    let take = |rest: &mut &'a [u8], n: usize| {
        let (value, after) = rest.split_at_checked(n).ok_or_else(|| broken("protobuf cut short"))?;
        *rest = after;
        Ok(value)
    };
    let value = match wire {
        WireType::Varint => {
            Value::Number(decode_varint(rest).map_err(|_| broken("protobuf number cut short"))?)
        }
        WireType::LengthDelimited => {
            let n = decode_varint(rest).map_err(|_| broken("protobuf length cut short"))?;
            let n = usize::try_from(n).map_err(|_| broken("protobuf cut short"))?;
            Value::Bytes(take(rest, n)?)
        }
        WireType::SixtyFourBit => take(rest, 8).map(|_| Value::Fixed)?,
        WireType::ThirtyTwoBit => take(rest, 4).map(|_| Value::Fixed)?,
        WireType::StartGroup | WireType::EndGroup => return Err(broken("protobuf group")),
    };
    debug_assert!(rest.remaining() <= BYTES_MAX);
    Ok(Some((field, value)))
}

/// Which message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Deal,
    Depth,
    Kline,
}

/// A message whose fields are read without being used: every one must be whole.
fn kind(frame: &[u8]) -> Result<Option<Message>, Reject> {
    let mut found = None;
    let mut rest = frame;
    while let Some((field, value)) = next(&mut rest)? {
        let is = match (field, value) {
            (1, Value::Number(_)) => Message::Deal,
            (2 | 3, Value::Number(_)) => Message::Depth,
            (2, Value::Bytes(_)) | (9, Value::Number(_)) => Message::Kline,
            _ => continue,
        };
        // A deal has texts in the fields of a candle; its number comes first in rank, not in order.
        found = match (found, is) {
            (Some(Message::Deal), _) | (_, Message::Deal) => Some(Message::Deal),
            (Some(Message::Depth), _) | (_, Message::Depth) => Some(Message::Depth),
            _ => Some(is),
        };
    }
    Ok(found)
}

/// A frame that is neither JSON nor compressed.
pub(super) fn frame(frame: &[u8], ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    if frame.len() > BYTES_MAX {
        return Err(Reject::new(RejectCause::Limit, "message too long"));
    }
    match kind(frame)? {
        Some(Message::Deal) => read_deal(frame, ctx),
        Some(Message::Kline) => read_candle(frame, ctx),
        Some(Message::Depth) => {
            // Whole view or change: it does not say, and a book on a guess would be none.
            ctx.event(Event::Other { name: "DepthVO", stream: StreamId::NONE });
            Ok(())
        }
        None => Err(broken("binary frame of no known message")),
    }
}

fn utf8(b: &[u8]) -> Result<&str, Reject> {
    std::str::from_utf8(b).map_err(|_| broken("protobuf text is not UTF-8"))
}

fn number(n: u64) -> Result<i64, Reject> {
    i64::try_from(n)
        .map_err(|_| Reject::new(RejectCause::Number, "protobuf number is negative or does not fit"))
}

fn read_deal(frame: &[u8], ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let mut d = Deal { symbol: "", t: -1, id: -1, price: "", size: "", side: "" };
    let mut rest = frame;
    while let Some((field, value)) = next(&mut rest)? {
        match (field, value) {
            (1, Value::Number(n)) => d.t = number(n)?,
            (2, Value::Bytes(b)) => d.symbol = utf8(b)?,
            (3, Value::Bytes(b)) => d.price = utf8(b)?,
            (4, Value::Bytes(b)) => d.size = utf8(b)?,
            (5, Value::Bytes(b)) => d.side = utf8(b)?,
            (6, Value::Number(n)) => d.id = number(n)?,
            _ => {}
        }
    }
    if d.t < 0 || [d.symbol, d.price, d.size, d.side].contains(&"") {
        return Err(shape("deal without t, s, p, a or m"));
    }
    deal(&d, ctx)
}

fn read_candle(frame: &[u8], ctx: &mut dyn DecodeCtx) -> Result<(), Reject> {
    let mut c =
        Candle { symbol: "", interval: "", opened: -1, prices: [Dec::NONE; 4], a: Dec::NONE, v: Dec::NONE };
    let dec = |b: &[u8]| parse_dec(b).map_err(|_| Reject::new(RejectCause::Number, "candle has no decimal"));
    let mut rest = frame;
    while let Some((field, value)) = next(&mut rest)? {
        match (field, value) {
            (1, Value::Bytes(b)) => c.symbol = utf8(b)?,
            (2, Value::Bytes(b)) => c.prices[0] = dec(b)?,
            (3, Value::Bytes(b)) => c.prices[3] = dec(b)?,
            (4, Value::Bytes(b)) => c.prices[1] = dec(b)?,
            (5, Value::Bytes(b)) => c.prices[2] = dec(b)?,
            (6, Value::Bytes(b)) => c.a = dec(b)?,
            (7, Value::Bytes(b)) => c.v = dec(b)?,
            (8, Value::Bytes(b)) => c.interval = utf8(b)?,
            (9, Value::Number(n)) => c.opened = number(n)?,
            _ => {}
        }
    }
    if c.symbol.is_empty() || c.interval.is_empty() || c.opened < 0 {
        return Err(shape("candle without s, i or t"));
    }
    candle(&c, ctx)
}
