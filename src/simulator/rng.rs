//! The seed's numbers: xoshiro256++, written out so that a seed means the same in every version of every crate.

/// A generator. Same seed, same numbers, on every machine: only integers are involved.
#[derive(Clone, Debug)]
pub struct Rng {
    s: [u64; 4],
}

/// Mixes 64 bits (SplitMix64's finisher): also the hash by which faults decide.
#[inline]
pub fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// From a seed; different `stream`s of one seed are independent.
    pub fn new(seed: u64, stream: u64) -> Rng {
        let mut z = mix(seed) ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93);
        let mut next = || {
            z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mix(z)
        };
        Rng { s: [next(), next(), next(), next() | 1] }
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.s;
        let r = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        r
    }

    /// 0..n; 0 for n = 0.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// `lo..=hi`.
    #[inline]
    pub fn between(&mut self, lo: i64, hi: i64) -> i64 {
        debug_assert!(lo <= hi);
        lo + self.below((hi - lo + 1) as u64) as i64
    }

    /// True in `n` of 10,000 cases.
    #[inline]
    pub fn in_10k(&mut self, n: u64) -> bool {
        self.below(10_000) < n
    }

    /// A value read off a table of `(cumulative share in 10,000, value)`, straight lines between the points.
    /// The first point must stand at 0, the last at 10,000.
    #[inline]
    pub fn quantile(&mut self, table: &[(u32, i64)]) -> i64 {
        let p = self.below(10_000) as u32;
        let mut lo = (0, 0);
        for &(q, v) in table {
            if p < q {
                let (q0, v0) = lo;
                return v0 + (v - v0) * i64::from(p - q0) / i64::from(q - q0);
            }
            lo = (q, v);
        }
        lo.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut r = Rng::new(7, 1);
        let a: Vec<u64> = (0..4).map(|_| r.bits()).collect();
        let mut r = Rng::new(7, 1);
        let b: Vec<u64> = (0..4).map(|_| r.bits()).collect();
        assert_eq!(a, b);
        assert_ne!(Rng::new(7, 1).bits(), Rng::new(7, 2).bits());
        assert_ne!(Rng::new(7, 1).bits(), Rng::new(8, 1).bits());
    }

    #[test]
    fn ranges_are_kept_and_tables_are_read() {
        let mut r = Rng::new(1, 0);
        for _ in 0..10_000 {
            assert!(r.below(3) < 3);
            assert!((-2..=2).contains(&r.between(-2, 2)));
            let v = r.quantile(&[(0, 1), (5_000, 10), (10_000, 1_000)]);
            assert!((1..=1_000).contains(&v));
        }
        assert_eq!(r.below(0), 0);
        let n = (0..10_000).filter(|_| r.in_10k(2_500)).count();
        assert!((2_300..2_700).contains(&n), "{n}");
    }
}
