//! SHA-256 of two streams at once.
//!
//! One stream waits for itself: each round needs the one before, and the processor's unit for it idles half of the time. Two
//! streams that know nothing of each other fill it. Without these instructions, and for what one stream has alone,
//! `sha2` does the work; the results are the same everywhere.

use sha2::compress256;
use sha2::digest::generic_array::{GenericArray, typenum::U64};

/// Bytes that are hashed at once.
const BLOCK: usize = 64;

/// State of an empty message.
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A running SHA-256.
#[derive(Clone, Debug)]
pub struct Sha256 {
    state: [u32; 8],
    /// The begun block: `len % 64` bytes of it.
    rest: [u8; BLOCK],
    /// Bytes so far.
    len: u64,
}

impl Default for Sha256 {
    fn default() -> Sha256 {
        Sha256 { state: START, rest: [0; BLOCK], len: 0 }
    }
}

impl Sha256 {
    /// Bytes of a begun block.
    fn begun(&self) -> usize {
        (self.len % BLOCK as u64) as usize
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let bytes = self.round_up(bytes);
        let (whole, rest) = bytes.split_at(bytes.len() - bytes.len() % BLOCK);
        self.whole(whole);
        self.keep(rest);
    }

    /// Fills a begun block; returns what is left then.
    fn round_up<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let begun = self.begun();
        if begun == 0 {
            return bytes;
        }
        let (head, tail) = bytes.split_at(bytes.len().min(BLOCK - begun));
        self.rest[begun..begun + head.len()].copy_from_slice(head);
        self.len += head.len() as u64;
        if self.begun() == 0 {
            compress256(&mut self.state, &[self.rest.into()]);
        }
        tail
    }

    /// Adds whole blocks to whole blocks.
    fn whole(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        let n = bytes.len() / BLOCK;
        // SAFETY: the type is 64 bytes and nothing else, of alignment one, and the slice has so many of them.
        let blocks = unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<GenericArray<u8, U64>>(), n) };
        compress256(&mut self.state, blocks);
    }

    /// Less than a block, behind whole blocks.
    fn keep(&mut self, rest: &[u8]) {
        self.rest[..rest.len()].copy_from_slice(rest);
        self.len += rest.len() as u64;
    }

    /// The hash of all bytes so far.
    pub fn finish(&self) -> [u8; 32] {
        let mut end = self.clone();
        let bits = self.len.wrapping_mul(8);
        // One bit, zeros up to the last eight bytes of a block, the length in bits.
        let zeros = (BLOCK + BLOCK - 9 - self.begun()) % BLOCK;
        let mut tail = [0; 2 * BLOCK];
        tail[0] = 0x80;
        tail[1 + zeros..9 + zeros].copy_from_slice(&bits.to_be_bytes());
        end.update(&tail[..9 + zeros]);
        let mut out = [0; 32];
        for (to, word) in out.chunks_exact_mut(4).zip(end.state) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        out
    }
}

/// Adds bytes to both streams, as far as both have some; returns how many of each were taken.
pub fn update_both(a: (&mut Sha256, &[u8]), b: (&mut Sha256, &[u8])) -> (usize, usize) {
    let ((a, bytes_a), (b, bytes_b)) = (a, b);
    let (rest_a, rest_b) = (a.round_up(bytes_a), b.round_up(bytes_b));
    let blocks = rest_a.len().min(rest_b.len()) / BLOCK;
    let both = blocks * BLOCK;
    let (whole_a, rest_a) = rest_a.split_at(both);
    let (whole_b, rest_b) = rest_b.split_at(both);
    if pair::compress((&mut a.state, whole_a), (&mut b.state, whole_b)) {
        a.len += both as u64;
        b.len += both as u64;
    } else {
        a.whole(whole_a);
        b.whole(whole_b);
    }
    let mut left = [rest_a.len(), rest_b.len()];
    for (left, (sha, rest)) in left.iter_mut().zip([(a, rest_a), (b, rest_b)]) {
        if rest.len() < BLOCK {
            sha.keep(rest);
            *left = 0;
        }
    }
    (bytes_a.len() - left[0], bytes_b.len() - left[1])
}

#[cfg(not(target_arch = "x86_64"))]
mod pair {
    /// Nothing here does two at once.
    pub(super) fn compress(_: (&mut [u32; 8], &[u8]), _: (&mut [u32; 8], &[u8])) -> bool {
        false
    }
}

#[cfg(target_arch = "x86_64")]
mod pair {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi64x,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
        _mm_shuffle_epi32, _mm_storeu_si128,
    };

    use super::BLOCK;

    #[rustfmt::skip]
    const K: [u32; 64] = [
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
    ];

    /// Adds equally many whole blocks to both states; false if the processor has no instructions for it.
    pub(super) fn compress(a: (&mut [u32; 8], &[u8]), b: (&mut [u32; 8], &[u8])) -> bool {
        let known = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1");
        if known {
            // SAFETY: the processor has what the function is compiled for; it takes no other care of its caller.
            unsafe { two(a, b) };
        }
        known
    }

    /// `state` as the instructions want it: `abef` and `cdgh`.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn load(state: &[u32; 8]) -> [__m128i; 2] {
        // SAFETY: both reads, of any alignment, are inside the 32 bytes of the array.
        let (low, high) = unsafe {
            let at = state.as_ptr().cast::<__m128i>();
            (_mm_loadu_si128(at), _mm_loadu_si128(at.add(1)))
        };
        let (cdab, efgh) = (_mm_shuffle_epi32(low, 0xb1), _mm_shuffle_epi32(high, 0x1b));
        [_mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xf0)]
    }

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn store([abef, cdgh]: [__m128i; 2], state: &mut [u32; 8]) {
        let (feba, dchg) = (_mm_shuffle_epi32(abef, 0x1b), _mm_shuffle_epi32(cdgh, 0xb1));
        // SAFETY: both writes, of any alignment, are inside the 32 bytes of the array.
        unsafe {
            let at = state.as_mut_ptr().cast::<__m128i>();
            _mm_storeu_si128(at, _mm_blend_epi16(feba, dchg, 0xf0));
            _mm_storeu_si128(at.add(1), _mm_alignr_epi8(dchg, feba, 8));
        }
    }

    /// A block as sixteen words.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn words(block: &[u8; BLOCK]) -> [__m128i; 4] {
        let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        // SAFETY: the reads, of any alignment, are inside the 64 bytes of the block.
        let at = |i| unsafe { _mm_loadu_si128(block.as_ptr().cast::<__m128i>().add(i)) };
        [at(0), at(1), at(2), at(3)].map(|w| _mm_shuffle_epi8(w, swap))
    }

    /// Four constants of the rounds.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn constants(four: usize) -> __m128i {
        let k = &K[4 * four..4 * four + 4];
        // SAFETY: the read, of any alignment, is inside the four words of the slice.
        unsafe { _mm_loadu_si128(k.as_ptr().cast()) }
    }

    /// Four rounds.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn rounds([abef, cdgh]: &mut [__m128i; 2], wk: __m128i) {
        *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, wk);
        *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(wk, 0x0e));
    }

    /// The next four words of the schedule, in the place of the oldest.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn schedule(w: &mut [__m128i; 4], at: usize) {
        let [w0, w1, w2, w3] = [w[at & 3], w[(at + 1) & 3], w[(at + 2) & 3], w[(at + 3) & 3]];
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
        w[at & 3] = _mm_sha256msg2_epu32(sum, w3);
    }

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn two((state_a, a): (&mut [u32; 8], &[u8]), (state_b, b): (&mut [u32; 8], &[u8])) {
        let (mut sa, mut sb) = (load(state_a), load(state_b));
        let ((a, _), (b, _)) = (a.as_chunks::<BLOCK>(), b.as_chunks::<BLOCK>());
        for (a, b) in a.iter().zip(b) {
            let (before_a, before_b) = (sa, sb);
            let (mut wa, mut wb) = (words(a), words(b));
            macro_rules! four {
                ($i:literal, plain) => {
                    let k = constants($i);
                    rounds(&mut sa, _mm_add_epi32(wa[$i & 3], k));
                    rounds(&mut sb, _mm_add_epi32(wb[$i & 3], k));
                };
                ($i:literal) => {
                    schedule(&mut wa, $i);
                    schedule(&mut wb, $i);
                    four!($i, plain);
                };
                ($($i:literal)* ; $($j:literal)*) => {
                    $(four!($i, plain);)*
                    $(four!($j);)*
                };
            }
            // Not a loop: the words must stay in registers, which no index finds.
            four!(0 1 2 3 ; 4 5 6 7 8 9 10 11 12 13 14 15);
            let add =
                |x: [__m128i; 2], y: [__m128i; 2]| [_mm_add_epi32(x[0], y[0]), _mm_add_epi32(x[1], y[1])];
            (sa, sb) = (add(sa, before_a), add(sb, before_b));
        }
        store(sa, state_a);
        store(sb, state_b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::Digest as _;

    fn of(bytes: &[u8]) -> [u8; 32] {
        sha2::Sha256::digest(bytes).into()
    }

    fn bytes(n: usize, seed: u8) -> Vec<u8> {
        (0..n).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed) ^ (i >> 8) as u8).collect()
    }

    #[test]
    fn every_length_up_to_three_blocks_hashes_as_elsewhere() {
        for n in 0..=3 * BLOCK {
            let all = bytes(n, 3);
            for cut in [0, n / 3, n] {
                let mut sha = Sha256::default();
                sha.update(&all[..cut]);
                sha.update(&all[cut..]);
                assert_eq!(sha.finish(), of(&all), "{n} bytes, cut at {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn two_streams_at_once_hash_as_each_alone(
            lens in (0usize..3000, 0usize..3000), begun in (0usize..200, 0usize..200), piece in 1usize..900,
        ) {
            let all = [bytes(lens.0 + begun.0, 1), bytes(lens.1 + begun.1, 2)];
            let (mut a, mut b) = (Sha256::default(), Sha256::default());
            a.update(&all[0][..begun.0]);
            b.update(&all[1][..begun.1]);
            let (mut at_a, mut at_b) = (begun.0, begun.1);
            while at_a < all[0].len() && at_b < all[1].len() {
                let some_a = &all[0][at_a..all[0].len().min(at_a + piece)];
                let some_b = &all[1][at_b..all[1].len().min(at_b + 2 * piece)];
                let (n, m) = update_both((&mut a, some_a), (&mut b, some_b));
                // Whoever is short is taken whole, so both go on.
                prop_assert!(n == some_a.len() || m == some_b.len());
                (at_a, at_b) = (at_a + n, at_b + m);
            }
            a.update(&all[0][at_a..]);
            b.update(&all[1][at_b..]);
            prop_assert_eq!((a.finish(), b.finish()), (of(&all[0]), of(&all[1])));
        }
    }
}
