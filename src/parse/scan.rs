//! Reading JSON whose shape is known beforehand: literals are compared, numbers become integers where they stand.
//!
//! A [`Scan`] takes a part of what [`super::json`] and [`super::decimal`] take, and gives the same numbers for it.
//! Everything else (blanks, escapes, other keys, numbers of unusual length, cut text) it leaves: `None` says nothing
//! about a document but that the general reader has to look at it.
//!
//! Bytes are looked at 16 or 32 at a time: a mask says where quotes and where bytes other than digits are, and eight
//! digits become a number by three multiplications. Nothing is read beyond the document; where fewer bytes are left,
//! a copy padded with zeros is looked at instead.

use crate::model::{Level, Mantissa};

use super::decimal::parse_fixed;
use crate::sys::simd::{differ, eights, others, others32, signs, stops};

/// Bytes that a level is read from: what is no digit is looked for in the first 32, some more may be loaded behind.
const WINDOW: usize = 48;
/// Eight digits `0`.
const ZEROS: u64 = 0x3030_3030_3030_3030;
/// `","` between price and size, as a little-endian number.
const BETWEEN: u32 = 0x22_2c_22;
/// `"],["` between two levels.
const NEXT: u64 = 0x22_5b_2c_5d_22;
/// `"]]` behind the last level.
const LAST: u64 = 0x5d_5d_22;

/// A place in a document.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// The start of a document.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Scan<'a> {
        Scan { bytes, at: 0 }
    }

    /// Steps over exactly these bytes if they are next.
    #[inline(always)]
    pub fn skip<const N: usize>(&mut self, literal: &[u8; N]) -> bool {
        self.literal(literal).is_some()
    }

    /// Steps over exactly these bytes; `None` if others are next.
    #[inline(always)]
    pub fn literal<const N: usize>(&mut self, literal: &[u8; N]) -> Option<()> {
        if self.bytes.get(self.at..)?.first_chunk::<N>()? != literal {
            return None;
        }
        self.at = self.at.wrapping_add(N);
        Some(())
    }

    /// Steps over a text that equals the beginning of `name` up to its first `@` but for ASCII case, and over the quote
    /// behind it. `name` must stand in JSON as it is ([`is_plain`]).
    #[inline(always)]
    pub fn same_up_to_at(&mut self, name: &[u8]) -> Option<()> {
        let (theirs, ours) = (window16(self.bytes, self.at), window16(name, 0));
        let n = signs(ours, b'@').trailing_zeros();
        if n >= 16 {
            return self.same_long_name(name);
        }
        let end = self.at.wrapping_add(n as usize);
        if differ(theirs, ours) & ((1 << n) - 1) != 0 || self.bytes.get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        Some(())
    }

    #[inline(never)]
    fn same_long_name(&mut self, name: &[u8]) -> Option<()> {
        let n = name.iter().position(|b| *b == b'@').unwrap_or(name.len());
        let end = self.at + n;
        let same = self.bytes.get(self.at..end)?.eq_ignore_ascii_case(&name[..n]);
        (same && self.bytes.get(end) == Some(&b'"')).then(|| self.at = end + 1)
    }

    /// The bytes of a text without escapes up to its quote, which is stepped over. They need not be UTF-8.
    #[inline(always)]
    pub fn plain(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        let mut end = start;
        loop {
            let found = stops(window16(self.bytes, end));
            if found != 0 {
                end += found.trailing_zeros() as usize;
                break;
            }
            end += 16;
        }
        if self.bytes.get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        Some(&self.bytes[start..end])
    }

    /// A text without escapes up to its quote, which is stepped over.
    #[inline]
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.plain()?).ok()
    }

    /// A JSON integer that is not negative and of at most 18 digits.
    #[inline(always)]
    pub fn integer(&mut self) -> Option<i64> {
        let w = window16(self.bytes, self.at);
        let n = others(w).trailing_zeros();
        if n.wrapping_sub(1) >= 15 || (n > 1 && w as u8 == b'0') {
            return self.long_integer();
        }
        let first = w as u64 ^ ZEROS;
        let value = if n <= 8 {
            eight(highest(first, n))
        } else {
            // Out of the document, because a window in a register has no places.
            let last = self.at.wrapping_add(n as usize).wrapping_sub(8);
            let last = u64::from_le_bytes(*self.bytes.get(last..)?.first_chunk()?) ^ ZEROS;
            let [first, last] = eights(highest(first, n.wrapping_sub(8)), last);
            u64::from(first).wrapping_mul(100_000_000).wrapping_add(u64::from(last))
        };
        self.at = self.at.wrapping_add(n as usize);
        Some(value as i64)
    }

    /// As [`Scan::integer`], with its digits.
    #[inline]
    pub fn integer_text(&mut self) -> Option<(i64, &'a [u8])> {
        let start = self.at;
        let value = self.integer()?;
        Some((value, &self.bytes[start..self.at]))
    }

    #[cold]
    #[inline(never)]
    fn long_integer(&mut self) -> Option<i64> {
        let rest = self.bytes.get(self.at..)?;
        let n = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if n == 0 || n > 18 || (n > 1 && rest[0] == b'0') {
            return None;
        }
        self.at += n;
        Some(rest[..n].iter().fold(0, |m, b| m * 10 + i64::from(b - b'0')))
    }

    /// A decimal text under `exp` decimals up to its quote, which is stepped over: as [`parse_fixed`].
    #[inline(always)]
    pub fn decimal(&mut self, exp: u8) -> Option<Mantissa> {
        match self.row(&Scale::new(exp)) {
            Some(row) => Some(eight(row) as i64),
            None => self.long_decimal(exp),
        }
    }

    /// A price, exactly these bytes, a size.
    #[inline(always)]
    pub fn quote<const N: usize>(&mut self, between: &[u8; N], scales: &(Scale, Scale)) -> Option<Level> {
        let at = self.at;
        if let Some(price) = self.row(&scales.0) {
            self.literal(between)?;
            if let Some(size) = self.row(&scales.1) {
                let [price, size] = eights(price, size);
                return Some(Level { price: price.into(), size: size.into() });
            }
        }
        self.at = at;
        let price = self.long_decimal(scales.0.exp)?;
        self.literal(between)?;
        Some(Level { price, size: self.long_decimal(scales.1.exp)? })
    }

    /// The row of a decimal text of usual length up to its quote, which is stepped over.
    #[inline(always)]
    fn row(&mut self, scale: &Scale) -> Option<u64> {
        let rest = self.bytes.get(self.at..)?;
        let padded;
        let w = match rest.first_chunk::<32>() {
            Some(w) => w,
            None => {
                padded = pad32(self.bytes, self.at);
                &padded
            }
        };
        // A mark behind the sixteen, for rows that have none.
        let marks = others(u128::from_le_bytes(*w.first_chunk()?)) | 1 << 16;
        let (row, end, _) = part(w, 0, marks, scale)?;
        if w[(end & 31) as usize] != b'"' {
            return None;
        }
        self.at = self.at.wrapping_add(end as usize).wrapping_add(1);
        Some(row)
    }

    #[cold]
    #[inline(never)]
    fn long_decimal(&mut self, exp: u8) -> Option<Mantissa> {
        let rest = self.bytes.get(self.at..)?;
        let n = rest.iter().take(64).position(|b| *b == b'"')?;
        let m = parse_fixed(&rest[..n], exp).ok()?;
        self.at += n + 1;
        Some(m)
    }

    /// Price levels (pairs of decimal texts) behind an opening bracket up to the closing one, which is stepped over.
    /// They are appended.
    #[inline]
    pub fn levels(&mut self, out: &mut Vec<Level>, scales: &(Scale, Scale)) -> Option<()> {
        if self.skip(b"]") {
            return Some(());
        }
        self.literal(b"[\"")?;
        let mut at = self.at;
        loop {
            let rest = self.bytes.get(at..)?;
            let padded;
            let w = match rest.first_chunk::<WINDOW>() {
                Some(w) => w,
                None => {
                    padded = pad(rest);
                    &padded
                }
            };
            if let Some((level, step, is_last)) = level(w, scales) {
                out.push(level);
                at = at.wrapping_add(step as usize);
                if is_last {
                    self.at = at;
                    return Some(());
                }
                continue;
            }
            self.at = at;
            if self.long_level(out, scales)? {
                return Some(());
            }
            at = self.at;
        }
    }

    /// A level of unusual length; says whether it was the last one.
    #[cold]
    fn long_level(&mut self, out: &mut Vec<Level>, scales: &(Scale, Scale)) -> Option<bool> {
        out.push(self.quote(b",\"", scales)?);
        if self.skip(b"]]") {
            return Some(true);
        }
        self.literal(b"],[\"").map(|()| false)
    }

    /// The next byte.
    #[inline(always)]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Steps over one byte.
    #[inline(always)]
    pub fn step(&mut self) {
        self.at = self.at.wrapping_add(1);
    }

    /// Steps over what JSON lets stand between its parts.
    #[inline(always)]
    pub fn blanks(&mut self) {
        if self.peek().is_some_and(|b| b <= b' ') {
            self.some_blanks();
        }
    }

    #[inline(never)]
    fn some_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Steps over a key of one ASCII letter with its quotes and colon, if that is next.
    #[inline(always)]
    pub(super) fn letter_key(&mut self) -> bool {
        let next = self.bytes.get(self.at..).and_then(|b| b.first_chunk::<4>());
        let Some([b'"', letter, b'"', b':']) = next else { return false };
        let is_letter = letter.is_ascii_alphabetic();
        if is_letter {
            self.at = self.at.wrapping_add(4);
        }
        is_letter
    }

    /// Bytes behind.
    #[inline(always)]
    pub fn place(&self) -> usize {
        self.at
    }

    /// Whether nothing is left.
    #[inline]
    pub fn is_end(&self) -> bool {
        self.at >= self.bytes.len()
    }
}

/// Whether a text stands in JSON as it is.
pub fn is_plain(text: &[u8]) -> bool {
    text.iter().all(|b| *b >= b' ' && *b != b'"' && *b != b'\\')
}

/// Sixteen bytes from `at` on, with zeros behind the end.
#[inline(always)]
fn window16(bytes: &[u8], at: usize) -> u128 {
    match bytes.get(at..).and_then(|b| b.first_chunk::<16>()) {
        Some(w) => u128::from_le_bytes(*w),
        None => tail16(bytes, at),
    }
}

#[inline]
fn tail16(bytes: &[u8], at: usize) -> u128 {
    let left = bytes.len().saturating_sub(at);
    if left == 0 {
        return 0;
    }
    match bytes.last_chunk::<16>() {
        Some(w) => u128::from_le_bytes(*w) >> (8 * (16 - left)),
        None => bytes[at..].iter().rev().fold(0, |w, b| w << 8 | u128::from(*b)),
    }
}

/// At most 31 bytes up to the end, with zeros behind.
#[inline(never)]
fn pad32(bytes: &[u8], at: usize) -> [u8; 32] {
    let mut padded = [0; 32];
    let (low, high) = padded.split_at_mut(16);
    low.copy_from_slice(&window16(bytes, at).to_le_bytes());
    high.copy_from_slice(&window16(bytes, at + 16).to_le_bytes());
    padded
}

/// Less than a window, with zeros behind.
#[inline(never)]
fn pad<const N: usize>(rest: &[u8]) -> [u8; N] {
    let mut padded = [0; N];
    padded[..rest.len()].copy_from_slice(rest);
    padded
}

/// Eight bytes of a window; zeros where it has not that many.
#[inline(always)]
fn load<const N: usize>(w: &[u8; N], at: u32) -> u64 {
    match w.get(at as usize..).and_then(|w| w.first_chunk()) {
        Some(b) => u64::from_le_bytes(*b),
        None => 0,
    }
}

/// Price and size of the level that begins (behind `["`) with this window, and where the next one begins (behind
/// `"],["`) or the list is over (behind `"]]`, then with `true`). `None` for a level of unusual length or form.
#[inline(always)]
fn level(w: &[u8; WINDOW], scales: &(Scale, Scale)) -> Option<(Level, u32, bool)> {
    let marks = others32(w.first_chunk()?);
    let (price, end, marks) = part(w, 0, marks, &scales.0)?;
    if load(w, end) as u32 & 0xff_ffff != BETWEEN {
        return None;
    }
    // The three marks of `","`.
    let marks = marks & marks.wrapping_sub(1);
    let marks = marks & marks.wrapping_sub(1);
    let marks = marks & marks.wrapping_sub(1);
    let (size, end, _) = part(w, end.wrapping_add(3), marks, &scales.1)?;
    let behind = load(w, end);
    let [price, size] = eights(price, size);
    let level = Level { price: price as i64, size: size as i64 };
    if behind & 0xff_ffff_ffff == NEXT {
        return Some((level, end.wrapping_add(5), false));
    }
    (behind & 0xff_ffff == LAST).then_some((level, end.wrapping_add(3), true))
}

/// The row of digits of the decimal that begins here, where it ends, and the marks from there on. `marks` are the
/// bytes from here on that are no digits. Where one lies beyond the window its place is given as 32, and the row has
/// too many digits or what should stand behind it does not.
#[inline(always)]
fn part<const N: usize>(w: &[u8; N], from: u32, marks: u32, scale: &Scale) -> Option<(u64, u32, u32)> {
    let point = marks.trailing_zeros();
    let (digits, whole) = (load(w, from) ^ ZEROS, point.wrapping_sub(from));
    if w.get(point as usize) != Some(&b'.') {
        return Some((scale.whole(digits, whole)?, point, marks));
    }
    let marks = marks & marks.wrapping_sub(1);
    let end = marks.trailing_zeros();
    let decimals = load(w, point.wrapping_add(1)) ^ ZEROS;
    let shown = end.wrapping_sub(point).wrapping_sub(1);
    Some((scale.broken(digits, whole, decimals, shown)?, end, marks))
}

/// How many decimals a mantissa has, prepared for many numbers. Rows are eight digits (not letters) of a mantissa, the
/// last one in the highest byte.
#[derive(Clone, Copy)]
pub struct Scale {
    exp: u8,
    /// Eight times the exponent.
    bits: u32,
    /// Decimals that must be zero.
    beyond: u64,
    /// Digits before the point for which there is a row: 8 less the exponent.
    most: u32,
}

// All arithmetic here wraps, which costs no check; it never does for numbers that are taken.
impl Scale {
    /// Of an exponent; one above 8 is borne but slow.
    #[inline(always)]
    pub fn new(exp: u8) -> Scale {
        let bits = 8 * u32::from(exp.min(8));
        Scale {
            exp,
            bits,
            beyond: u64::MAX.checked_shl(bits).unwrap_or(0),
            most: 8u32.saturating_sub(u32::from(exp)),
        }
    }

    /// The row of `n` digits without a point.
    #[inline(always)]
    fn whole(&self, digits: u64, n: u32) -> Option<u64> {
        (n.wrapping_sub(1) < self.most).then(|| highest(digits, n).wrapping_shr(self.bits))
    }

    /// The row of `n` digits and `d` decimals. `None` also where a decimal beyond the exponent is not zero.
    #[inline(always)]
    fn broken(&self, digits: u64, n: u32, decimals: u64, d: u32) -> Option<u64> {
        if n.wrapping_sub(1) >= self.most || d.wrapping_sub(1) >= 8 {
            return None;
        }
        let decimals = decimals & FIRST[(d & 15) as usize];
        if decimals & self.beyond != 0 {
            return None;
        }
        // With no decimals wanted this is a shift by none, of zeros.
        let decimals = decimals.wrapping_shl(0u32.wrapping_sub(self.bits));
        Some(highest(digits, n).wrapping_shr(self.bits) | decimals)
    }
}

/// The first `n` (1 to 8) of eight bytes, moved to the highest places.
#[inline(always)]
fn highest(bytes: u64, n: u32) -> u64 {
    bytes.wrapping_shl(0u32.wrapping_sub(n.wrapping_mul(8)))
}

/// The lowest bytes of eight, for numbers of 1 to 8.
const FIRST: [u64; 16] = {
    let mut t = [0; 16];
    let mut n = 1;
    while n < 9 {
        t[n] = u64::MAX >> (64 - 8 * n);
        n += 1;
    }
    t
};

/// The mantissa of a decimal text of usual length under `exp` decimals; `None` says nothing about others.
#[inline]
pub(super) fn short_decimal(text: &[u8], exp: u8) -> Option<Mantissa> {
    let n = text.len();
    let w = match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) if n <= 16 => {
            let last = u128::from(u64::from_le_bytes(*last));
            u128::from(u64::from_le_bytes(*first)) | last << (8 * (n - 8))
        }
        (None, None) => match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                let last = u64::from(u32::from_le_bytes(*last)) << (8 * (n - 4));
                u128::from(u64::from(u32::from_le_bytes(*first)) | last)
            }
            _ => text.iter().rev().fold(0, |w: u32, b| w << 8 | u32::from(*b)).into(),
        },
        _ => return None,
    };
    // What is behind the text is no digit; behind a text of sixteen there is nothing.
    let marks = others(w) | 1 << 16;
    let (digits, point, scale) = (w as u64 ^ ZEROS, marks.trailing_zeros(), Scale::new(exp));
    let row = if point as usize == n {
        scale.whole(digits, point)?
    } else {
        let end = (marks & marks.wrapping_sub(1)).trailing_zeros();
        if end as usize != n || point > 8 || text[point as usize] != b'.' {
            return None;
        }
        let decimals = (w >> (8 * (point + 1))) as u64 ^ ZEROS;
        scale.broken(digits, point, decimals, end - point - 1)?
    };
    Some(eight(row) as i64)
}

/// The number of a row of eight digits.
#[inline(always)]
fn eight(row: u64) -> u64 {
    let pairs = row.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Limits, Scratch, Val};
    use proptest::prelude::*;

    /// What stands behind a value: nothing to a whole window of other bytes.
    const BEHIND: [&str; 3] =
        ["}", ",\"m\":true}}", ",\"m\":true,\"more\":\"0123456789012345678901234567890\"}}"];

    fn decimal_agrees(text: &str, exp: u8) {
        for behind in BEHIND {
            let document = format!("{text}\"{behind}");
            let mut s = Scan::new(document.as_bytes());
            let got = s.decimal(exp);
            let want = parse_fixed(text.as_bytes(), exp).ok();
            // Texts longer than any number that we read are left to the general reader.
            assert!(
                got == want || (text.len() > 60 && got.is_none()),
                "{text} at {exp}: {got:?}, not {want:?}"
            );
            assert_eq!(s.at, if got.is_some() { text.len() + 1 } else { 0 }, "{text} at {exp}");
        }
    }

    fn integer_agrees(text: &str) {
        for behind in BEHIND {
            let document = format!("{text}{behind}");
            let mut s = Scan::new(document.as_bytes());
            let got = s.integer();
            let n = got.map_or(0, |n| n.to_string().len());
            assert_eq!(s.at, n, "{text}");
            let whole = format!("[{text}]");
            let read = |v: Val<'_, '_>, _: &mut _| Ok(v.elements().and_then(|mut e| e.next()?.as_i64()));
            let want = Scratch::default().read(whole.as_bytes(), Limits::MESSAGE, read).ok().flatten();
            // It may stop early, at a byte that the caller's literal refuses; what it takes whole must be right.
            if n == text.len() {
                assert_eq!(got, want, "{text}");
            }
            if want.is_some_and(|w| (0..1_000_000_000_000_000_000).contains(&w))
                && text.bytes().all(|b| b.is_ascii_digit())
            {
                assert_eq!(got, want, "{text}");
            }
        }
    }

    #[test]
    fn numbers_of_every_length() {
        for exp in 0..=19 {
            for whole in 0..22 {
                for part in 0..22 {
                    let (w, p) = (&"1234567890123456789012"[..whole], &"9876543210987654321098"[..part]);
                    decimal_agrees(w, exp);
                    decimal_agrees(&format!("{w}.{p}"), exp);
                    decimal_agrees(&format!("{w}.{p}0000"), exp);
                    decimal_agrees(&format!("{w}.{}", "0".repeat(part)), exp);
                    decimal_agrees(&format!("0{}.{p}", "0".repeat(whole)), exp);
                }
            }
        }
        for n in 0..22 {
            integer_agrees(&"1234567890123456789012"[..n]);
            integer_agrees(&format!("0{}", &"1234567890123456789012"[..n]));
            integer_agrees(&"9".repeat(n));
            integer_agrees(&"0".repeat(n));
        }
    }

    #[test]
    fn what_is_no_plain_number_is_left() {
        for text in
            ["", ".", "-1", "+1", "1e5", "1.2.3", "1 ", " 1", "NaN", "1\\u0030", "é", "1,2", "0x1", "1-"]
        {
            for exp in [0, 2, 8] {
                decimal_agrees(text, exp);
            }
            integer_agrees(text);
        }
        for text in ["1.0", "1e3", "-0", "-5", "00", "01", "0"] {
            integer_agrees(text);
        }
    }

    /// Levels one after the other, by the general reader.
    fn slow_levels(text: &str, exps: (u8, u8)) -> Option<Vec<Level>> {
        let read = |v: Val<'_, '_>, _: &mut _| {
            let levels = v.elements().map(|e| {
                e.map(|l| {
                    let (p, q) = l.as_pair()?;
                    let price = parse_fixed(p.as_bytes(), exps.0).ok()?;
                    Some(Level { price, size: parse_fixed(q.as_bytes(), exps.1).ok()? })
                })
                .collect::<Option<Vec<Level>>>()
            });
            Ok(levels.flatten())
        };
        Scratch::default().read(format!("[{text}").as_bytes(), Limits::MESSAGE, read).ok().flatten()
    }

    proptest! {
        #[test]
        fn decimals_agree(text in "[0-9]{0,12}(\\.[0-9]{0,12})?0{0,3}", exp in 0u8..=10) {
            decimal_agrees(&text, exp);
        }

        #[test]
        fn decimals_with_other_bytes_agree(text in "[0-9.+eE -]{0,24}", exp in 0u8..=10) {
            decimal_agrees(&text, exp);
        }

        #[test]
        fn integers_agree(text in "[0-9]{0,20}[.eE-]?[0-9]{0,3}") {
            integer_agrees(&text);
        }

        #[test]
        fn good_levels_are_read(
            levels in proptest::collection::vec(("[0-9]{1,9}(\\.[0-9]{1,9})?", "[0-9]{1,12}(\\.[0-9]{1,10})?"), 0..40),
            behind in ".{0,60}",
        ) {
            let text: Vec<String> = levels.iter().map(|(p, q)| format!("[\"{p}\",\"{q}\"]")).collect();
            let text = format!("{}]", text.join(","));
            let exps = (9, 10);
            let document = format!("{text}{behind}");
            let (mut s, mut out) = (Scan::new(document.as_bytes()), Vec::new());
            let want = slow_levels(&text, exps);
            prop_assert_eq!(s.levels(&mut out, &(Scale::new(exps.0), Scale::new(exps.1))).map(|()| out), want.clone());
            prop_assert!(want.is_none() || s.at == text.len());
        }

        #[test]
        fn spoilt_levels_agree_or_are_left(
            levels in proptest::collection::vec(("[0-9]{1,6}(\\.[0-9]{1,9})?", "[0-9]{1,6}(\\.[0-9]{1,9})?"), 1..5),
            at in any::<prop::sample::Index>(),
            byte in prop_oneof![Just(b'"'), Just(b','), Just(b'['), Just(b']'), Just(b'.'), Just(b'0'), any::<u8>()],
            exps in (0u8..10, 0u8..10),
        ) {
            let text: Vec<String> = levels.iter().map(|(p, q)| format!("[\"{p}\",\"{q}\"]")).collect();
            let mut bytes = format!("{}]", text.join(",")).into_bytes();
            let n = bytes.len();
            bytes[at.index(n)] = byte;
            bytes.extend_from_slice(b",\"a\":[[\"61800.10\",\"0.001\"],[\"61800.20\",\"0.002\"]]}}");
            let (mut s, mut out) = (Scan::new(&bytes), Vec::new());
            if s.levels(&mut out, &(Scale::new(exps.0), Scale::new(exps.1))).is_some() {
                let read = std::str::from_utf8(&bytes[..s.at]).unwrap();
                prop_assert_eq!(Some(out), slow_levels(read, exps));
            }
        }

        #[test]
        fn plain_texts_agree(text in "[ -~é龙]{0,40}", behind in ".{0,20}") {
            let document = format!("{text}\"{behind}");
            let mut s = Scan::new(document.as_bytes());
            let quoted = format!("[\"{document}");
            let end = text.bytes().position(|b| b == b'"' || b == b'\\').unwrap_or(text.len());
            let want = (document.as_bytes()[end] == b'"').then(|| &document[..end]);
            prop_assert_eq!(s.text(), want);
            if let Some(want) = want {
                let json = format!("{}\"]", &quoted[..want.len() + 2]);
                let read: Vec<String> = serde_json::from_str(&json).unwrap();
                prop_assert_eq!(read[0].as_str(), want);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), exp in any::<u8>()) {
            let _ = Scan::new(&bytes).decimal(exp);
            let _ = Scan::new(&bytes).integer_text();
            let _ = Scan::new(&bytes).text();
            let _ = Scan::new(&bytes).levels(&mut Vec::new(), &(Scale::new(exp), Scale::new(exp)));
            let _ = Scan::new(&bytes).same_up_to_at(b"btcusdt@depth");
        }
    }
}
