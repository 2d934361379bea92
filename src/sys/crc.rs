//! CRC-32C of many bytes: three runs of them at once.
//!
//! The processor's instruction takes eight bytes a cycle, but its result is there after three, so one run of bytes uses a
//! third of it. Where three runs are put together again by a multiplication, a few hundred bytes are enough for that to pay.
//! Without these instructions, and for few bytes, the `crc32c` crate does the work; the results are the same.

/// Fewer bytes than this are not split.
const LEAST: usize = 96;

/// CRC-32C of these bytes.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_append(0, bytes)
}

/// CRC-32C of what gave `crc` with these bytes behind it.
#[inline]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    if bytes.len() >= LEAST
        && let Some(crc) = three::append(crc, bytes)
    {
        return crc;
    }
    crc32c::crc32c_append(crc, bytes)
}

#[cfg(not(target_arch = "x86_64"))]
mod three {
    /// Nothing here takes three runs at once.
    pub(super) fn append(_: u32, _: &[u8]) -> Option<u32> {
        None
    }
}

#[cfg(target_arch = "x86_64")]
mod three {
    use std::arch::x86_64::{
        _mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u64, _mm_cvtsi64_si128, _mm_cvtsi128_si64,
    };

    /// Words of a run at most.
    const RUN: usize = 512;

    /// `x^(64 n − 33)` modulo the polynomial, its highest power in the lowest bit, at place `n` (from 1 on): what moves a
    /// checksum behind `n` words of zeros. The instruction that takes the product in multiplies by the missing 33.
    const SHIFTS: [u32; 2 * RUN + 1] = {
        let mut all = [1u32; 2 * RUN + 1];
        let mut n = 2;
        while n < all.len() {
            let mut x = all[n - 1];
            let mut bit = 0;
            while bit < 64 {
                x = (x >> 1) ^ (0x82f6_3b78 & (x & 1).wrapping_neg());
                bit += 1;
            }
            all[n] = x;
            n += 1;
        }
        all
    };
    static TABLE: [u32; 2 * RUN + 1] = SHIFTS;

    /// As its caller; `None` if the processor has no instructions for it.
    #[inline]
    pub(super) fn append(crc: u32, bytes: &[u8]) -> Option<u32> {
        if is_x86_feature_detected!("sse4.2") && is_x86_feature_detected!("pclmulqdq") {
            // SAFETY: the processor has what the function is compiled for; it takes no other care of its caller.
            Some(unsafe { runs(crc, bytes) })
        } else {
            None
        }
    }

    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn runs(crc: u32, bytes: &[u8]) -> u32 {
        let mut crc = u64::from(!crc);
        let (words, rest) = bytes.as_chunks::<8>();
        let mut words = words;
        while words.len() >= 9 {
            let n = (words.len() / 3).min(RUN);
            let (a, tail) = words.split_at(n);
            let (b, tail) = tail.split_at(n);
            let (c, tail) = tail.split_at(n);
            words = tail;
            let (mut of_b, mut of_c) = (0, 0);
            for ((a, b), c) in a.iter().zip(b).zip(c) {
                crc = _mm_crc32_u64(crc, u64::from_le_bytes(*a));
                of_b = _mm_crc32_u64(of_b, u64::from_le_bytes(*b));
                of_c = _mm_crc32_u64(of_c, u64::from_le_bytes(*c));
            }
            crc = _mm_crc32_u64(0, behind(crc, 2 * n) ^ behind(of_b, n)) ^ of_c;
        }
        for w in words {
            crc = _mm_crc32_u64(crc, u64::from_le_bytes(*w));
        }
        let mut crc = crc as u32;
        for b in rest {
            crc = _mm_crc32_u8(crc, *b);
        }
        !crc
    }

    /// A checksum moved behind so many words, to be taken in as the last of them.
    #[inline]
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn behind(crc: u64, words: usize) -> u64 {
        let by = i64::from(TABLE[words]);
        _mm_cvtsi128_si64(_mm_clmulepi64_si128(_mm_cvtsi64_si128(crc as i64), _mm_cvtsi64_si128(by), 0))
            as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(n: usize) -> Vec<u8> {
        (0..n).map(|i| (i as u8).wrapping_mul(77) ^ (i >> 8) as u8 ^ 0x5a).collect()
    }

    #[test]
    fn every_length_gives_the_checksum_of_the_crate() {
        let all = bytes(30_000);
        for n in (0..2_000).chain([12_287, 12_288, 12_289, 12_400, 24_576, 29_999]) {
            for begin in [0, 1, 5] {
                assert_eq!(
                    crc32c(&all[begin..n.max(begin)]),
                    crc32c::crc32c(&all[begin..n.max(begin)]),
                    "{n}"
                );
            }
        }
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn any_bytes_behind_any_others_give_it_too(
            crc in any::<u32>(), bytes in proptest::collection::vec(any::<u8>(), 0..3_000),
        ) {
            prop_assert_eq!(crc32c_append(crc, &bytes), crc32c::crc32c_append(crc, &bytes));
        }
    }
}
