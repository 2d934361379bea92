//! Decimal text to integers: `61800.20` under exponent 1 is `618002`. Never through a float, never wrapping.
//!
//! Venues print prices and sizes as text, often with trailing zeros (`0.50000000`). Zeros behind the point say
//! nothing, so they never ask for a larger exponent; a significant digit that does not fit does
//! ([`NumError::Wider`]), and the caller decides whether the instrument is widened.

use crate::model::num::{EXP_MAX, pow10};
use crate::model::{Dec, Mantissa};

/// Digits that a number may have in all; longer texts are refused unread.
pub const DIGITS_MAX: usize = 40;

/// Why a text is no number for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumError {
    /// No digit at all.
    #[error("a number without digits")]
    Empty,
    /// A byte that is no digit, or a second point.
    #[error("a number with a foreign character")]
    Junk,
    /// A sign where none may be, or a sign before nothing that is a number.
    #[error("a number with a sign where none may be")]
    Sign,
    /// Scientific notation: venues do not print it, so its meaning for trailing zeros is not guessed.
    #[error("a number in exponent form")]
    Exponent,
    /// More than [`DIGITS_MAX`] digits.
    #[error("a number of more than 40 digits")]
    TooLong,
    /// The mantissa does not fit `i64`.
    #[error("a number that does not fit 64 bits")]
    Overflow,
    /// More significant decimals than the exponent allows.
    #[error("a number with {decimals} decimals, more than the exponent allows")]
    Wider {
        /// Significant decimals of the text (trailing zeros left out); may exceed [`EXP_MAX`].
        decimals: u8,
    },
}

/// The mantissa of an unsigned decimal text under `exp` decimals.
///
/// ```
/// use lobtape::parse::decimal::{NumError, parse_fixed};
/// assert_eq!(parse_fixed(b"61800.20", 1), Ok(618_002));
/// assert_eq!(parse_fixed(b"0.50000000", 1), Ok(5));
/// assert_eq!(parse_fixed(b"0.123", 1), Err(NumError::Wider { decimals: 3 }));
/// ```
///
/// # Errors
/// [`NumError`]; `Wider` only if the text is a number otherwise. `exp` above 18 is `Overflow`.
#[inline]
pub fn parse_fixed(text: &[u8], exp: u8) -> Result<Mantissa, NumError> {
    if let Some(m) =
        planted!("price_through_a_float", by_float(text, exp), super::scan::short_decimal(text, exp))
    {
        return Ok(m);
    }
    // Pseudocode: digits up to the point; then at most `exp` digits more; what follows must be zeros; times ten for
    // each decimal that the text did not print. With at most 18 digits read, nothing can overflow but the last step.
    if text.len() > 19 || exp > EXP_MAX {
        return parse_fixed_slow(text, exp);
    }
    let mut m: u64 = 0;
    let mut i = 0;
    while let Some(d) = digit(text, i) {
        m = m.wrapping_mul(10).wrapping_add(d);
        i += 1;
    }
    if i == text.len() && i != 0 && i < 19 {
        return scale(m, exp);
    }
    if i == 0 || i >= 19 || text[i] != b'.' {
        return parse_fixed_slow(text, exp);
    }
    let whole_end = i;
    i += 1;
    let stop = text.len().min(i + usize::from(exp));
    while i < stop {
        let Some(d) = digit(text, i) else { return parse_fixed_slow(text, exp) };
        m = m.wrapping_mul(10).wrapping_add(d);
        i += 1;
    }
    if text[i..].iter().any(|b| *b != b'0') {
        return parse_fixed_slow(text, exp);
    }
    // `i - whole_end - 1` decimals were read, at most `exp`.
    scale(m, exp - (i - whole_end - 1) as u8)
}

/// The value of any decimal text, sign allowed, with as few decimals as it needs.
///
/// # Errors
/// [`NumError`]; `Wider` where more than 18 decimals are significant.
pub fn parse_dec(text: &[u8]) -> Result<Dec, NumError> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let decimals = match shape(digits) {
        Ok(decimals) => decimals,
        // `-`, `--1`, `-+1`: the sign is what is wrong.
        Err(NumError::Empty | NumError::Sign) if negative => return Err(NumError::Sign),
        Err(e) => return Err(e),
    };
    if decimals > EXP_MAX {
        return Err(NumError::Wider { decimals });
    }
    let m = parse_fixed(digits, decimals)?;
    Ok(Dec::new(if negative { -m } else { m }, decimals))
}

/// What everybody does at first: `0.29` under two decimals is 28.
#[cfg(feature = "planted")]
fn by_float(text: &[u8], exp: u8) -> Option<Mantissa> {
    let x: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some((x * 10f64.powi(i32::from(exp))) as Mantissa)
}

#[inline]
fn digit(text: &[u8], i: usize) -> Option<u64> {
    let d = text.get(i)?.wrapping_sub(b'0');
    (d <= 9).then_some(u64::from(d))
}

#[inline]
fn scale(m: u64, by: u8) -> Result<Mantissa, NumError> {
    m.checked_mul(pow10(by) as u64).and_then(|v| i64::try_from(v).ok()).ok_or(NumError::Overflow)
}

/// Checks the whole text and returns its significant decimals (at most [`DIGITS_MAX`]).
fn shape(text: &[u8]) -> Result<u8, NumError> {
    let (mut digits, mut point, mut decimals, mut significant) = (0usize, false, 0u8, 0u8);
    for (i, &b) in text.iter().enumerate() {
        match b {
            b'0'..=b'9' => {
                digits += 1;
                if digits > DIGITS_MAX {
                    return Err(NumError::TooLong);
                }
                if point {
                    decimals += 1;
                    if b != b'0' {
                        significant = decimals;
                    }
                }
            }
            b'.' if !point => point = true,
            b'+' | b'-' if i == 0 => return Err(NumError::Sign),
            b'e' | b'E' if digits > 0 => return Err(NumError::Exponent),
            _ => return Err(NumError::Junk),
        }
    }
    if digits == 0 { Err(NumError::Empty) } else { Ok(significant) }
}

/// Everything that the quick way does not take: long texts, and every fault, told apart.
#[cold]
fn parse_fixed_slow(text: &[u8], exp: u8) -> Result<Mantissa, NumError> {
    let significant = shape(text)?;
    if exp > EXP_MAX {
        return Err(NumError::Overflow);
    }
    if significant > exp {
        return Err(NumError::Wider { decimals: significant });
    }
    let mut m: i64 = 0;
    let mut left: Option<u8> = None;
    for &b in text {
        if b == b'.' {
            left = Some(exp);
            continue;
        }
        match left {
            Some(0) => break,
            Some(n) => left = Some(n - 1),
            None => {}
        }
        let d = i64::from(b - b'0');
        m = m.checked_mul(10).and_then(|m| m.checked_add(d)).ok_or(NumError::Overflow)?;
    }
    m.checked_mul(pow10(left.unwrap_or(exp))).ok_or(NumError::Overflow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rust_decimal::Decimal;
    use std::str::FromStr;

    #[test]
    fn the_venues_own_texts() {
        for (text, exp, want) in [
            ("61800.20", 1, 618_002),
            ("61800.20", 2, 6_180_020),
            ("0.00000000", 0, 0),
            ("0.50000000", 8, 50_000_000),
            ("2681.34", 2, 268_134),
            ("0.29", 2, 29),
            ("1440", 0, 1440),
            ("1440", 3, 1_440_000),
            ("0.000000000000000001", 18, 1),
            ("9223372036854775807", 0, i64::MAX),
            ("000000000000000000000000000000000000005", 1, 50),
            ("9.000000000000000000000000000000000000000", 0, 9),
            (".5", 1, 5),
            ("5.", 1, 50),
        ] {
            assert_eq!(parse_fixed(text.as_bytes(), exp), Ok(want), "{text} at {exp}");
        }
    }

    #[test]
    fn faults_have_names() {
        for (text, exp, want) in [
            ("", 2, NumError::Empty),
            (".", 2, NumError::Empty),
            ("-1", 2, NumError::Sign),
            ("+1", 2, NumError::Sign),
            ("1e5", 2, NumError::Exponent),
            ("1E5", 2, NumError::Exponent),
            ("1.5e400", 2, NumError::Exponent),
            ("1-", 2, NumError::Junk),
            ("1.2.3", 2, NumError::Junk),
            ("1 ", 2, NumError::Junk),
            (" 1", 2, NumError::Junk),
            ("NaN", 2, NumError::Junk),
            ("0\t", 2, NumError::Junk),
            ("１", 2, NumError::Junk),
            ("0x10", 2, NumError::Junk),
            ("11111111111111111111111111111111111111111", 2, NumError::TooLong),
            ("0.00000000000000000000000000000000000000001", 2, NumError::TooLong),
            ("9223372036854775808", 0, NumError::Overflow),
            ("1234567890123456789012345678901234567890", 0, NumError::Overflow),
            ("92233720368547758.08", 2, NumError::Overflow),
            ("10", 18, NumError::Overflow),
            ("1", 19, NumError::Overflow),
            ("0.123", 1, NumError::Wider { decimals: 3 }),
            ("0.1230", 2, NumError::Wider { decimals: 3 }),
            ("0.0000000000000000000000001", 18, NumError::Wider { decimals: 25 }),
        ] {
            assert_eq!(parse_fixed(text.as_bytes(), exp), Err(want), "{text} at {exp}");
        }
        assert_eq!(parse_fixed(&[0xff, 0xfe], 2), Err(NumError::Junk));
        assert_eq!(parse_fixed(&[0], 2), Err(NumError::Junk));
    }

    #[test]
    fn signed_values_keep_what_they_need() {
        for (text, m, e) in [
            ("0.00038167", 38167, 8),
            ("-0.00010000", -1, 4),
            ("-0", 0, 0),
            ("250.00", 250, 0),
            ("11784.62659091", 1_178_462_659_091, 8),
        ] {
            assert_eq!(parse_dec(text.as_bytes()), Ok(Dec { m, e }), "{text}");
        }
        for (text, want) in [
            ("", NumError::Empty),
            ("-", NumError::Sign),
            ("--1", NumError::Sign),
            ("-+1", NumError::Sign),
            ("+1", NumError::Sign),
            ("-1e5", NumError::Exponent),
            ("0.0000000000000000001", NumError::Wider { decimals: 19 }),
            ("99999999999999999999", NumError::Overflow),
        ] {
            assert_eq!(parse_dec(text.as_bytes()), Err(want), "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_rust_decimal(text in "[0-9]{1,9}(\\.[0-9]{1,18})?", exp in 0u8..=18) {
            let d = Decimal::from_str(&text).unwrap().normalize();
            let got = parse_fixed(text.as_bytes(), exp);
            if d.scale() > u32::from(exp) {
                prop_assert_eq!(got, Err(NumError::Wider { decimals: d.scale() as u8 }));
            } else {
                let m = d.mantissa() * 10i128.pow(u32::from(exp) - d.scale());
                match i64::try_from(m) {
                    Ok(m) => prop_assert_eq!(got, Ok(m)),
                    Err(_) => prop_assert_eq!(got, Err(NumError::Overflow)),
                }
            }
        }

        #[test]
        fn quick_and_slow_agree(text in "[0-9]{0,20}(\\.[0-9]{0,20})?[e+-]?", exp in 0u8..=20) {
            prop_assert_eq!(parse_fixed(text.as_bytes(), exp), parse_fixed_slow(text.as_bytes(), exp));
        }

        #[test]
        fn printing_gives_the_number_back(m in 0i64.., e in 0u8..=18) {
            let text = Dec::new(m, e).to_string();
            prop_assert_eq!(parse_fixed(text.as_bytes(), e), Ok(m));
            let d = parse_dec(text.as_bytes()).unwrap();
            prop_assert_eq!(d, Dec::new(m, e).trimmed());
        }

        #[test]
        fn arbitrary_bytes_never_panic(text in proptest::collection::vec(any::<u8>(), 0..64), exp in any::<u8>()) {
            let _ = parse_fixed(&text, exp);
            let _ = parse_dec(&text);
        }
    }
}
