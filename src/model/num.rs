//! Exact numbers: an `i64` mantissa and a decimal exponent, straight from the venue's text.
//!
//! `value = mantissa · 10^−exp`. Never through `f64`; a float appears only in the Parquet writer ([`mantissa_to_f64`]).

use serde::{Deserialize, Serialize};

/// An integer mantissa under an exponent that is known from elsewhere (the instrument).
pub type Mantissa = i64;

/// Largest exponent (number of decimals) that is representable: `10^18` is the last power of ten in `i64`.
pub const EXP_MAX: u8 = 18;

const POW10: [i64; 19] = {
    let mut t = [1i64; 19];
    let mut i = 1;
    while i < 19 {
        t[i] = t[i - 1] * 10;
        i += 1;
    }
    t
};

/// `10^e`, for `e` in 0..=18.
///
/// # Panics
/// If `e > 18`; exponents are checked where they enter ([`EXP_MAX`]).
#[inline]
pub fn pow10(e: u8) -> i64 {
    POW10[e as usize]
}

/// A decimal that carries its own exponent: used for the tables off the hot path (tickers, klines, mark prices).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dec {
    /// The mantissa; 0 when missing.
    pub m: i64,
    /// Number of decimals; 255 = missing.
    pub e: u8,
}

impl Dec {
    /// "The venue did not say": a null in Parquet.
    pub const NONE: Dec = Dec { m: 0, e: 255 };

    /// A present value. `e` must be at most [`EXP_MAX`].
    #[inline]
    pub fn new(m: i64, e: u8) -> Dec {
        debug_assert!(e <= EXP_MAX);
        Dec { m, e }
    }

    /// Whether the venue gave no value.
    #[inline]
    pub fn is_none(self) -> bool {
        self.e == 255
    }

    /// The nearest double, or `None` when missing.
    pub fn to_f64(self) -> Option<f64> {
        (!self.is_none()).then(|| mantissa_to_f64(self.m, self.e))
    }

    /// The same value without trailing zeros after the point (`1.500` → `1.5`).
    pub fn trimmed(self) -> Dec {
        if self.is_none() {
            return self;
        }
        let (mut m, mut e) = (self.m, self.e);
        while e > 0 && m % 10 == 0 {
            m /= 10;
            e -= 1;
        }
        Dec { m, e }
    }

    /// The mantissa under another exponent, or `None` if digits would be lost or it does not fit.
    pub fn rescale(self, exp: u8) -> Option<i64> {
        rescale(self.m, self.e, exp)
    }
}

impl std::fmt::Display for Dec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_none() {
            return Ok(());
        }
        let mut s = String::new();
        write_plain(&mut s, self.m, self.e);
        f.write_str(&s)
    }
}

/// Moves a mantissa from one exponent to another; `None` if digits would be lost or it overflows.
#[inline]
pub fn rescale(m: i64, from: u8, to: u8) -> Option<i64> {
    if to >= from {
        let d = to - from;
        if d > EXP_MAX {
            return (m == 0).then_some(0);
        }
        m.checked_mul(pow10(d))
    } else {
        let d = from - to;
        if d > EXP_MAX {
            return (m == 0).then_some(0);
        }
        let p = pow10(d);
        (m % p == 0).then_some(m / p)
    }
}

/// The double nearest to `m · 10^−e`, so that `price == 61800.2` holds in every reader.
///
/// Division of two integers below 2^53 and 10^22 is correctly rounded; beyond that the text is parsed.
#[inline]
pub fn mantissa_to_f64(m: i64, e: u8) -> f64 {
    if m.unsigned_abs() < (1 << 53) && e <= EXP_MAX {
        m as f64 / pow10(e) as f64
    } else {
        let mut s = String::new();
        write_plain(&mut s, m, e);
        s.parse().unwrap_or(f64::NAN)
    }
}

/// Whether `x` gives back its mantissa: `round(x · 10^e) == m`. Rows that fail carry `INEXACT`.
#[inline]
pub fn f64_is_exact(x: f64, m: i64, e: u8) -> bool {
    (x * pow10(e) as f64).round() == m as f64 && m.unsigned_abs() <= (1 << 53)
}

/// Appends the plain decimal: no exponent, no trailing zeros, no trailing point (`61800.20` → `61800.2`).
/// This is the canonical number text of the book's checksum.
pub fn write_plain(out: &mut String, m: i64, e: u8) {
    let mut buf = [0u8; 44];
    let n = write_plain_bytes(&mut buf, m, e);
    out.push_str(std::str::from_utf8(&buf[buf.len() - n..]).unwrap_or(""));
}

/// As [`write_plain`], into the tail of a stack buffer; returns the length written (at the end of `buf`).
pub fn write_plain_bytes(buf: &mut [u8; 44], m: i64, e: u8) -> usize {
    let mut u = m.unsigned_abs();
    let mut e = e.min(EXP_MAX);
    while e > 0 && u.is_multiple_of(10) {
        u /= 10;
        e -= 1;
    }
    let mut i = buf.len();
    let mut digits = 0u8;
    loop {
        i -= 1;
        buf[i] = b'0' + (u % 10) as u8;
        u /= 10;
        digits += 1;
        if digits == e {
            i -= 1;
            buf[i] = b'.';
        }
        if u == 0 && digits > e {
            break;
        }
    }
    if m < 0 {
        i -= 1;
        buf[i] = b'-';
    }
    buf.len() - i
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(m: i64, e: u8) -> String {
        let mut s = String::new();
        write_plain(&mut s, m, e);
        s
    }

    #[test]
    fn plain_text_is_canonical() {
        assert_eq!(plain(6180020, 2), "61800.2");
        assert_eq!(plain(50000000, 8), "0.5");
        assert_eq!(plain(10000, 2), "100");
        assert_eq!(plain(0, 8), "0");
        assert_eq!(plain(-105, 2), "-1.05");
        assert_eq!(plain(1, 18), "0.000000000000000001");
        assert_eq!(plain(i64::MIN, 0), "-9223372036854775808");
        assert_eq!(plain(7, 0), "7");
    }

    #[test]
    fn doubles_are_the_nearest() {
        assert_eq!(mantissa_to_f64(618002, 1), 61800.2);
        assert_eq!(mantissa_to_f64(9007199254740993, 8), 90071992.54740993);
        assert!(f64_is_exact(61800.2, 618002, 1));
        assert!(!f64_is_exact(9007199254740993.0, 9007199254740993, 0));
    }

    #[test]
    fn rescaling_never_loses_silently() {
        assert_eq!(rescale(15, 1, 3), Some(1500));
        assert_eq!(rescale(1500, 3, 1), Some(15));
        assert_eq!(rescale(1501, 3, 1), None);
        assert_eq!(rescale(i64::MAX, 0, 1), None);
    }
}
