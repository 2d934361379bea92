//! What JSON and protobuf frames have in common: ids, times that may be ids, candles whose sums change places.

use crate::model::time::{NS_PER_DAY, ms_to_ns};
use crate::model::{Dec, DecodeCtx, Reject, RejectCause};
use crate::parse::Val;
use crate::parse::fields::shape;
use crate::parse::parse_dec;

/// Epoch of the venue's ids, ms: 2021-08-23T07:00:00Z.
const EPOCH_MS: i64 = 1_629_702_000_000;

/// The time that an id holds if it is one of the venue's: ns, 0 if that is more than a day from `now`.
pub(super) fn id_time(id: i64, now: i64) -> i64 {
    let ns = (id >> 22).checked_add(EPOCH_MS).map_or(0, ms_to_ns);
    if id > 0 && near(ns, now) { ns } else { 0 }
}

fn near(ns: i64, now: i64) -> bool {
    ns > 0 && ns.saturating_sub(now).abs() <= NS_PER_DAY
}

/// What the field `t` of a trade is: its time in whichever unit, or its id. `(time in ns, id)`, 0 and −1 = not this.
pub(super) fn trade_t(t: i64, now: i64) -> (i64, i64) {
    // Milliseconds, microseconds, nanoseconds, seconds.
    for unit in [1_000_000, 1_000, 1, 1_000_000_000] {
        if let Some(ns) = t.checked_mul(unit)
            && near(ns, now)
        {
            return (ns, -1);
        }
    }
    (id_time(t, now), t)
}

/// Whether `t` was taken for a time in seconds.
pub(super) fn is_in_s(t: i64, ts: i64) -> bool {
    ts != 0 && t.checked_mul(1_000_000_000) == Some(ts)
}

/// What `t` was taken for by [`trade_t`], in words.
pub(super) fn class_of(t: i64, (ts, id): (i64, i64)) -> &'static str {
    match (ts, id) {
        (0, _) => "t is an id",
        (_, 0..) => "t is an id that holds a time",
        (ts, _) if ts == t => "t is a time in ns",
        (ts, _) if ts / 1_000 == t => "t is a time in µs",
        (ts, _) if ts / 1_000_000 == t => "t is a time in ms",
        _ => "t is a time in s",
    }
}

/// An id: a number, or a text of digits. `what` is said of anything else.
pub(super) fn id(v: Option<Val<'_, '_>>, what: &'static str) -> Result<i64, Reject> {
    match optional_id(v, what)? {
        -1 => Err(shape(what)),
        n => Ok(n),
    }
}

/// The same, −1 where it is missing.
pub(super) fn optional_id(v: Option<Val<'_, '_>>, what: &'static str) -> Result<i64, Reject> {
    let Some(v) = v.filter(|v| !v.is_null()) else { return Ok(-1) };
    if let Some(n) = v.as_i64() {
        return if n >= 0 { Ok(n) } else { Err(Reject::new(RejectCause::Number, what)) };
    }
    match v.as_str() {
        Some(t) if !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit()) => {
            t.parse().map_err(|_| Reject::new(RejectCause::Number, what))
        }
        Some(_) => Err(shape(what)),
        None if v.is_number() => Err(Reject::new(RejectCause::Number, what)),
        None => Err(shape(what)),
    }
}

/// A decimal of a text, or an integer; of a number with a fraction the digits are lost already, so it is refused, and the
/// document is read again with texts in such places ([`super::numbers`]).
pub(super) fn decimal(v: Option<Val<'_, '_>>, what: &'static str) -> Result<Dec, Reject> {
    let Some(v) = v.filter(|v| !v.is_null()) else { return Ok(Dec::NONE) };
    match (v.as_str(), v.as_i64()) {
        (Some(""), _) => Ok(Dec::NONE),
        (Some(t), _) => parse_dec(t.as_bytes()).map_err(|_| Reject::new(RejectCause::Number, what)),
        (None, Some(n)) => Ok(Dec::new(n, 0)),
        (None, None) if v.is_number() => Err(Reject::new(RejectCause::Number, what)),
        (None, None) => Err(shape(what)),
    }
}

/// The taker's side.
pub(super) fn side(word: &str) -> i8 {
    match word {
        "BID" | "BUY" => 1,
        "ASK" | "SELL" => -1,
        _ => 0,
    }
}

/// Volume in contracts and turnover out of a candle's `a` and `v`, whichever is which: the turnover is the contracts
/// times their size times the price. Both are missing where neither way fits within a fifth.
pub(super) fn sums(a: Dec, v: Dec, close: Dec, contract: Dec) -> (Dec, Dec) {
    if a.is_none() || v.is_none() || close.is_none() || contract.is_none() {
        return (Dec::NONE, Dec::NONE);
    }
    if a.m == 0 && v.m == 0 {
        return (v, a);
    }
    // Only to tell which is which: no value comes out of these floats.
    let x = |d: Dec| d.m as f64 / 10f64.powi(i32::from(d.e));
    let fits = |contracts: Dec, turnover: Dec| {
        let due = x(contracts) * x(contract) * x(close);
        // A zero on either side fits nothing.
        due > 0.0 && (x(turnover) / due - 1.0).abs() <= 0.2
    };
    match (fits(a, v), fits(v, a)) {
        (true, _) => (a, v),
        (false, true) => (v, a),
        (false, false) => (Dec::NONE, Dec::NONE),
    }
}

/// Receive time of what is being read; times of ids are judged by it.
pub(super) fn now(ctx: &dyn DecodeCtx) -> i64 {
    ctx.ts_recv()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_769_598_709_200_000_000;

    /// Vector 8 of the protocol page.
    #[test]
    fn the_t_of_a_trade_is_told_from_an_id() {
        assert_eq!(trade_t(1_769_598_709_094, NOW), (1_769_598_709_094_000_000, -1));
        assert_eq!(trade_t(1_769_598_709_094_123, NOW), (1_769_598_709_094_123_000, -1));
        assert_eq!(trade_t(1_769_598_709, NOW), (1_769_598_709_000_000_000, -1));
        assert_eq!(trade_t(NOW - 5, NOW), (NOW - 5, -1));
        assert_eq!(trade_t(1_234_567_890_123_456, NOW), (0, 1_234_567_890_123_456));
        assert_eq!(
            trade_t(586_769_324_550_225_920, NOW),
            (1_769_598_708_619_000_000, 586_769_324_550_225_920)
        );
        assert_eq!(trade_t(987_654_321, NOW), (0, 987_654_321));
        assert_eq!(trade_t(i64::MAX, NOW), (0, i64::MAX));
        assert_eq!(trade_t(0, NOW), (0, 0));
        let class = |t: i64| class_of(t, trade_t(t, NOW));
        assert_eq!(class(1_769_598_709_094), "t is a time in ms");
        assert_eq!(class(1_769_598_709_094_123), "t is a time in µs");
        assert_eq!((class(1_769_598_709), class(NOW - 5)), ("t is a time in s", "t is a time in ns"));
        assert_eq!(class(1_234_567_890_123_456), "t is an id");
        assert_eq!(class(586_769_324_550_225_920), "t is an id that holds a time");
    }

    /// The table of chapter 5 of the protocol page.
    #[test]
    fn ids_hold_their_time() {
        for (id, ms) in [
            (586_765_918_776_852_548, 1_769_597_896_620),
            (586_721_053_934_975_552, 1_769_587_200_008),
            (587_004_485_520_343_296, 1_769_654_775_364),
        ] {
            assert_eq!(id_time(id, NOW), ms * 1_000_000);
            assert_eq!(id_time(id, NOW + 3 * NS_PER_DAY), 0);
        }
        assert_eq!((id_time(-1, NOW), id_time(1_234_567_891, NOW), id_time(i64::MAX, NOW)), (0, 0, 0));
    }

    #[test]
    fn sums_of_candles_are_told_apart_by_price_and_contract_size() {
        let d = |t: &str| parse_dec(t.as_bytes()).unwrap();
        // The sample of the stream: `v` is the volume.
        let (v, q) = sums(d("117.57114"), d("369"), d("0.31862"), d("1"));
        assert_eq!((v, q), (d("369"), d("117.57114")));
        // REST: the other way round.
        let (v, q) = sums(d("11630"), d("103960"), d("89390.8"), d("0.0001"));
        assert_eq!((v, q), (d("11630"), d("103960")));
        assert_eq!(sums(d("5"), d("7"), d("1"), d("1")), (Dec::NONE, Dec::NONE));
        assert_eq!(sums(d("0"), d("0"), d("1"), d("1")), (d("0"), d("0")));
        assert_eq!(sums(d("5"), d("7"), d("1"), Dec::NONE), (Dec::NONE, Dec::NONE));
    }
}
