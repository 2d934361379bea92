//! Comparing many bytes at once: where bytes of a kind are among 16 or 32, one bit each, the first byte lowest.
//!
//! On x86-64 with SSE2, which is part of it; elsewhere the same on halves of 64 bits.

#[cfg(not(target_arch = "x86_64"))]
use plain as chosen;
#[cfg(target_arch = "x86_64")]
use sse2 as chosen;

/// Bytes that are no ASCII digit.
#[inline(always)]
pub fn others32(bytes: &[u8; 32]) -> u32 {
    let (low, high) = bytes.split_at(16);
    let [low, high] = [low, high].map(|h| h.first_chunk().map_or(0, |h| u128::from_le_bytes(*h)));
    chosen::others(low) | chosen::others(high) << 16
}

/// Bytes that are no ASCII digit, among 16 of which the first is the lowest.
#[inline(always)]
pub fn others(bytes: u128) -> u32 {
    chosen::others(bytes)
}

/// Bytes at which a text of JSON without escapes ends: quotes, backslashes, control characters.
#[inline(always)]
pub fn stops(bytes: u128) -> u32 {
    chosen::stops(bytes)
}

/// Bytes that are this ASCII sign.
#[inline(always)]
pub fn signs(bytes: u128, sign: u8) -> u32 {
    chosen::signs(bytes, sign)
}

/// Bytes that differ by more than the case of an ASCII letter.
#[inline(always)]
pub fn differ(a: u128, b: u128) -> u32 {
    chosen::differ(a, b)
}

/// ASCII bytes: each part of them is text, wherever it is cut.
#[derive(Clone, Copy, Debug)]
pub struct Ascii<'a>(&'a [u8]);

impl<'a> Ascii<'a> {
    /// These bytes, if they are ASCII.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Option<Ascii<'a>> {
        bytes.is_ascii().then_some(Ascii(bytes))
    }

    /// The text from a place up to another one; `None` where that lies outside.
    #[inline(always)]
    pub fn part(self, from: usize, to: usize) -> Option<&'a str> {
        let bytes = self.0.get(from..to)?;
        // SAFETY: ASCII is UTF-8, and only `new` makes this, of ASCII.
        Some(unsafe { std::str::from_utf8_unchecked(bytes) })
    }
}

/// The numbers of two rows of eight digits (0 to 9, not letters; the first digit in the lowest byte).
#[inline(always)]
pub fn eights(a: u64, b: u64) -> [u32; 2] {
    chosen::eights(a, b)
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_add_epi16, _mm_and_si128, _mm_cmpeq_epi8, _mm_cmpgt_epi8,
        _mm_cvtsi128_si64, _mm_madd_epi16, _mm_min_epu8, _mm_movemask_epi8, _mm_mullo_epi16, _mm_or_si128,
        _mm_packs_epi32, _mm_set_epi64x, _mm_set1_epi8, _mm_set1_epi16, _mm_set1_epi32, _mm_srli_epi16,
    };

    #[inline(always)]
    fn of(bytes: u128) -> __m128i {
        // SAFETY: SSE2 is part of x86-64, and nothing here takes an address.
        unsafe { _mm_set_epi64x((bytes >> 64) as i64, bytes as i64) }
    }

    #[inline(always)]
    pub fn signs(bytes: u128, sign: u8) -> u32 {
        // SAFETY: SSE2 is part of x86-64, and nothing here takes an address.
        unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(of(bytes), _mm_set1_epi8(sign as i8))) as u32 }
    }

    #[inline(always)]
    pub fn differ(a: u128, b: u128) -> u32 {
        // SAFETY: SSE2 is part of x86-64, and nothing here takes an address.
        unsafe {
            let lower = |x| {
                let from_a = _mm_cmpgt_epi8(x, _mm_set1_epi8(b'A' as i8 - 1));
                let to_z = _mm_cmpgt_epi8(_mm_set1_epi8(b'Z' as i8 + 1), x);
                _mm_or_si128(x, _mm_and_si128(_mm_and_si128(from_a, to_z), _mm_set1_epi8(0x20)))
            };
            !_mm_movemask_epi8(_mm_cmpeq_epi8(lower(of(a)), lower(of(b)))) as u32 & 0xffff
        }
    }

    #[inline(always)]
    pub fn eights(a: u64, b: u64) -> [u32; 2] {
        // SAFETY: SSE2 is part of x86-64, and nothing here takes an address.
        let both = unsafe {
            let row = _mm_set_epi64x(b as i64, a as i64);
            let (tens, ones) = (_mm_and_si128(row, _mm_set1_epi16(0xff)), _mm_srli_epi16(row, 8));
            let pairs = _mm_add_epi16(_mm_mullo_epi16(tens, _mm_set1_epi16(10)), ones);
            let fours = _mm_madd_epi16(pairs, _mm_set1_epi32(1 << 16 | 100));
            let packed = _mm_packs_epi32(fours, fours);
            _mm_cvtsi128_si64(_mm_madd_epi16(packed, _mm_set1_epi32(1 << 16 | 10_000)))
        };
        [both as u32, (both >> 32) as u32]
    }

    #[inline(always)]
    pub fn others(bytes: u128) -> u32 {
        // SAFETY: SSE2 is part of x86-64, and nothing here takes an address.
        unsafe {
            // Digits become the ten smallest signed bytes.
            let moved = _mm_add_epi8(of(bytes), _mm_set1_epi8((128 - b'0') as i8));
            _mm_movemask_epi8(_mm_cmpgt_epi8(moved, _mm_set1_epi8(-128 + 9))) as u32
        }
    }

    #[inline(always)]
    pub fn stops(bytes: u128) -> u32 {
        // SAFETY: SSE2 is part of x86-64, and nothing here takes an address.
        unsafe {
            let b = of(bytes);
            let control = _mm_cmpeq_epi8(_mm_min_epu8(b, _mm_set1_epi8(0x1f)), b);
            let quote = _mm_cmpeq_epi8(b, _mm_set1_epi8(b'"' as i8));
            let backslash = _mm_cmpeq_epi8(b, _mm_set1_epi8(b'\\' as i8));
            _mm_movemask_epi8(_mm_or_si128(control, _mm_or_si128(quote, backslash))) as u32
        }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain {
    pub fn eights(a: u64, b: u64) -> [u32; 2] {
        [a, b].map(|row| {
            let pairs = row.wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
            let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
            (fours.wrapping_mul(10_000 << 32 | 1) >> 32) as u32
        })
    }

    const ONES: u64 = 0x0101_0101_0101_0101;
    const LOW: u64 = 0x7f * ONES;
    const HIGH: u64 = 0x80 * ONES;

    fn both(bytes: u128, of: impl Fn(u64) -> u64) -> u32 {
        // The highest bit of each byte, gathered.
        let gather = |high: u64| ((high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32;
        gather(of(bytes as u64)) | gather(of((bytes >> 64) as u64)) << 8
    }

    /// The highest bit of each byte that is at least `n` (1..=127).
    fn at_least(b: u64, n: u64) -> u64 {
        (((b & LOW) + (128 - n) * ONES) | b) & HIGH
    }

    /// The highest bit of each byte that is `c`.
    fn is(b: u64, c: u8) -> u64 {
        !at_least(b ^ (u64::from(c) * ONES), 1) & HIGH
    }

    pub fn signs(bytes: u128, sign: u8) -> u32 {
        both(bytes, |b| is(b, sign))
    }

    pub fn differ(a: u128, b: u128) -> u32 {
        let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
        (0..16).fold(0, |m, i| m | u32::from(!a[i].eq_ignore_ascii_case(&b[i])) << i)
    }

    pub fn others(bytes: u128) -> u32 {
        both(bytes, |b| at_least(b ^ (u64::from(b'0') * ONES), 10))
    }

    pub fn stops(bytes: u128) -> u32 {
        both(bytes, |b| (!at_least(b, 0x20) & HIGH) | is(b, b'"') | is(b, b'\\'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one_by_one(bytes: u128, of: impl Fn(u8) -> bool) -> u32 {
        let bits = bytes.to_le_bytes().map(|b| u32::from(of(b)));
        bits.iter().rev().fold(0, |m, b| m << 1 | b)
    }

    fn check(bytes: u128) {
        let of = |bytes: u128| one_by_one(bytes, |b| !b.is_ascii_digit());
        let stops = one_by_one(bytes, |b| b < 0x20 || b == b'"' || b == b'\\');
        assert_eq!((plain::others(bytes), plain::stops(bytes)), (of(bytes), stops));
        assert_eq!((super::others(bytes), super::stops(bytes)), (of(bytes), stops));
        for sign in [b'@', b'"', 0] {
            let want = one_by_one(bytes, |b| b == sign);
            assert_eq!((plain::signs(bytes, sign), super::signs(bytes, sign)), (want, want));
        }
        // Against itself with the bit of case turned over, and by one byte.
        for other in [bytes ^ u128::from_le_bytes([0x20; 16]), bytes.rotate_left(8), bytes ^ 1 << 77] {
            assert_eq!(super::differ(bytes, other), plain::differ(bytes, other));
        }
        let twice: [u8; 32] = [bytes.to_le_bytes(), (!bytes).to_le_bytes()].concat().try_into().unwrap();
        assert_eq!(others32(&twice), of(bytes) | of(!bytes) << 16);
    }

    #[test]
    fn every_byte_is_told_at_every_place() {
        for b in 0..=255u8 {
            for at in 0..16 {
                check(u128::from(b) << (8 * at));
                check(!(u128::from(b) << (8 * at)));
            }
        }
    }

    proptest! {
        #[test]
        fn rows_of_digits_are_numbers(a in 0u32..100_000_000, b in 0u32..100_000_000) {
            let row = |n: u32| {
                let text = format!("{n:08}");
                u64::from_le_bytes(*text.as_bytes().first_chunk().unwrap()) ^ 0x3030_3030_3030_3030
            };
            prop_assert_eq!(eights(row(a), row(b)), [a, b]);
            prop_assert_eq!(plain::eights(row(a), row(b)), [a, b]);
        }

        #[test]
        fn all_bytes_alike(bytes in any::<u128>()) {
            check(bytes);
        }

        #[test]
        fn the_bytes_of_json(text in r#"[0-9".,\[\]{}\\a-zé]{16}"#) {
            check(u128::from_le_bytes(*text.as_bytes().first_chunk().unwrap()));
        }
    }
}
