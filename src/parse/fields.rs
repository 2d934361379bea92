//! Fields of messages: decimals under an instrument's exponents, ids, times, levels. No venue knowledge.

use super::json::{LEVELS_MAX, Val};
use super::{NumError, parse_dec, parse_fixed};
use crate::model::num::EXP_MAX;
use crate::model::time::ms_to_ns;
use crate::model::{Dec, DecodeCtx, InstrumentRef, Level, Mantissa, Reject, RejectCause};

/// Reads numbers under an instrument's exponents; where they need more decimals the instrument is widened, where they leave
/// no room for a number it is narrowed, and they are read again. Nothing is changed for numbers that would not fit then
/// either. Returns what holds afterwards; after an error that is [`after_fault`].
///
/// # Errors
/// What `read` says, or `Number` where the instrument cannot bear the decimals.
pub fn exact<R>(
    ctx: &mut dyn DecodeCtx,
    at: InstrumentRef,
    mut read: impl FnMut(&mut Exponents) -> Result<R, Reject>,
) -> Result<(R, InstrumentRef), Reject> {
    let mut exps = Exponents::new(at.price_exp, at.size_exp);
    let mut value = read(&mut exps);
    let mut now = at;
    if value.is_err()
        && let Some((least, most)) = with_room(at, &mut read)
    {
        now = ctx.narrow(at.id, least, most);
        exps = Exponents::new(now.price_exp, now.size_exp);
        value = read(&mut exps);
    }
    let value = value?;
    if !exps.too_small() {
        return Ok((value, now));
    }
    read(&mut Exponents::new(exps.price_need, exps.size_need))?;
    now = ctx.widen(at.id, exps.price_need, exps.size_need);
    let mut exps = Exponents::new(now.price_exp, now.size_exp);
    let value = read(&mut exps)?;
    if exps.too_small() {
        return Err(Reject::new(RejectCause::Number, "more decimals than the instrument bears"));
    }
    Ok((value, now))
}

/// What holds of an instrument after [`exact`] has failed, for what else the frame has of it: the exponents may have been narrowed
/// for the numbers that failed, and to widen to nothing changes none.
pub fn after_fault(ctx: &mut dyn DecodeCtx, at: InstrumentRef) -> InstrumentRef {
    ctx.widen(at.id, 0, 0)
}

/// Where an instrument's exponents leave no room for numbers that can be read: the narrowest that these need, and the
/// widest under which they fit. `None` where that is not why they could not be read.
#[cold]
fn with_room<R>(
    at: InstrumentRef,
    read: &mut impl FnMut(&mut Exponents) -> Result<R, Reject>,
) -> Option<((u8, u8), (u8, u8))> {
    // Under no decimals at all every number says how many it needs.
    let mut need = Exponents::new(0, 0);
    read(&mut need).ok()?;
    let (price, size) = (need.price_need, need.size_need);
    let mut fits = |price, size| read(&mut Exponents::new(price, size)).is_ok();
    if !fits(price, size) {
        return None;
    }
    let most_price = (price..=at.price_exp).rev().find(|e| fits(*e, size)).unwrap_or(at.price_exp);
    let most_size = (size..=at.size_exp).rev().find(|e| fits(price, *e)).unwrap_or(at.size_exp);
    let least = |need: u8, most: u8, now: u8| if most < now { need } else { now };
    let to = (least(price, most_price, at.price_exp), least(size, most_size, at.size_exp));
    (to != (at.price_exp, at.size_exp)).then_some((to, (most_price, most_size)))
}

/// The exponents to read under, and those that would have been needed.
pub struct Exponents {
    price: u8,
    size: u8,
    price_need: u8,
    size_need: u8,
}

impl Exponents {
    fn new(price: u8, size: u8) -> Exponents {
        Exponents { price, size, price_need: price, size_need: size }
    }

    fn too_small(&self) -> bool {
        self.price_need > self.price || self.size_need > self.size
    }

    /// A price.
    ///
    /// # Errors
    /// `Number` for what is no plain decimal, or does not fit.
    #[inline]
    pub fn price(&mut self, text: &str) -> Result<Mantissa, Reject> {
        match parse_fixed(text.as_bytes(), self.price) {
            Ok(m) => Ok(m),
            Err(e) => need(e, &mut self.price_need, "price is no number for us"),
        }
    }

    /// A size.
    ///
    /// # Errors
    /// `Number` for what is no plain decimal, or does not fit.
    #[inline]
    pub fn size(&mut self, text: &str) -> Result<Mantissa, Reject> {
        match parse_fixed(text.as_bytes(), self.size) {
            Ok(m) => Ok(m),
            Err(e) => need(e, &mut self.size_need, "size is no number for us"),
        }
    }
}

#[cold]
fn need(e: NumError, needed: &mut u8, what: &'static str) -> Result<Mantissa, Reject> {
    match e {
        NumError::Wider { decimals } if decimals <= EXP_MAX => {
            *needed = (*needed).max(decimals);
            Ok(0)
        }
        _ => Err(Reject::new(RejectCause::Number, what)),
    }
}

/// JSON, but not of the shape that is due.
#[cold]
pub fn shape(detail: &'static str) -> Reject {
    Reject::new(RejectCause::Shape, detail)
}

/// A text that must be there.
///
/// # Errors
/// `Shape` with `what`.
#[inline]
pub fn text<'i>(v: Option<Val<'_, 'i>>, what: &'static str) -> Result<&'i str, Reject> {
    v.and_then(Val::as_str).ok_or_else(|| shape(what))
}

/// A text that may be missing.
pub fn word<'i>(v: Option<Val<'_, 'i>>) -> &'i str {
    v.and_then(Val::as_str).unwrap_or("")
}

/// An id that must be there. Ids are not negative.
///
/// # Errors
/// `Shape` with `what`, `Number` where it does not fit.
#[inline]
pub fn id(v: Option<Val<'_, '_>>, what: &'static str) -> Result<i64, Reject> {
    match optional_id(v, what)? {
        -1 => Err(shape(what)),
        id => Ok(id),
    }
}

/// An id or a count that may be missing; a negative one says "none" as well.
///
/// # Errors
/// `Shape` with `what`, `Number` where it does not fit.
#[inline]
pub fn optional_id(v: Option<Val<'_, '_>>, what: &'static str) -> Result<i64, Reject> {
    let Some(v) = v.filter(|v| !v.is_null()) else { return Ok(-1) };
    match v.as_i64() {
        Some(n) => Ok(n.max(-1)),
        None if v.is_number() => Err(Reject::new(RejectCause::Number, what)),
        None => Err(shape(what)),
    }
}

/// A time in ms that may be missing, as ns; before 1970 and beyond 2262 are "not given".
///
/// # Errors
/// As [`optional_id`].
#[inline]
pub fn time(v: Option<Val<'_, '_>>, what: &'static str) -> Result<i64, Reject> {
    Ok(ms_to_ns(optional_id(v, what)?.max(0)))
}

/// A decimal that may be missing, null or empty (funding rates of delivery contracts).
///
/// # Errors
/// `Shape` with `what`, `Number` where it is no plain decimal.
pub fn decimal(v: Option<Val<'_, '_>>, what: &'static str) -> Result<Dec, Reject> {
    let Some(v) = v.filter(|v| !v.is_null()) else { return Ok(Dec::NONE) };
    match v.as_str() {
        Some("") => Ok(Dec::NONE),
        Some(t) => parse_dec(t.as_bytes()).map_err(|_| Reject::new(RejectCause::Number, what)),
        None => Err(shape(what)),
    }
}

/// The levels of one side, as pairs of texts.
///
/// # Errors
/// `Shape` with `what`, `Limit` for too many, `Number` as [`Exponents`] has it.
pub fn levels(
    v: Option<Val<'_, '_>>,
    out: &mut Vec<Level>,
    exps: &mut Exponents,
    what: &'static str,
) -> Result<(), Reject> {
    out.clear();
    let Some(levels) = v.and_then(Val::elements) else { return Err(shape(what)) };
    if levels.remaining() > LEVELS_MAX {
        return Err(Reject::new(RejectCause::Limit, "more than 20,000 levels on a side"));
    }
    out.reserve(levels.remaining());
    for level in levels {
        let Some((price, size)) = level.as_pair() else { return Err(shape("level is no pair of texts")) };
        out.push(Level { price: exps.price(price)?, size: exps.size(size)? });
    }
    Ok(())
}

/// One side of a best bid and ask; empty texts are an empty side.
///
/// # Errors
/// As [`Exponents`] has it.
pub fn best(exps: &mut Exponents, price: &str, size: &str) -> Result<Level, Reject> {
    if price.is_empty() && size.is_empty() {
        return Ok(Level::default());
    }
    Ok(Level { price: exps.price(price)?, size: exps.size(size)? })
}
