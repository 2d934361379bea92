//! One closed histogram of one minute: from sparse buckets to quantiles and HDR.
//!
//! Buckets are those of an HDR histogram of two significant digits that begins at 1 ns: below 256 each value has its
//! own, above each power of two is cut into 128 (error below 0.8 %). A value's bucket is therefore the same
//! here and there, and filling an HDR histogram from buckets loses nothing.

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};

use crate::model::control::LatencyEntry;

/// Significant digits of the HDR histograms.
const DIGITS: u8 = 2;
/// Largest value kept, ns: an hour. What is larger counts as this.
pub(super) const VALUE_MAX: u64 = 3_600_000_000_000;

/// Bucket of a value.
#[inline]
pub(super) fn bucket_of(v: u64) -> u32 {
    let v = v.min(VALUE_MAX);
    if v < 256 {
        return v as u32;
    }
    let shift = 63 - v.leading_zeros() - 7;
    (shift << 7) + (v >> shift) as u32
}

/// Smallest value of a bucket.
pub(super) fn lowest(bucket: u32) -> u64 {
    if bucket < 256 {
        return u64::from(bucket);
    }
    let shift = (bucket >> 7) - 1;
    u64::from(bucket - (shift << 7)) << shift
}

/// Largest value of a bucket.
pub(super) fn highest(bucket: u32) -> u64 {
    lowest(bucket + 1) - 1
}

/// What one series saw in a minute. Buckets ascend; `negative` holds magnitudes.
#[derive(Debug, Default)]
pub(super) struct Closed<'a> {
    pub venue: &'a str,
    pub stream: &'a str,
    pub hop: &'static str,
    pub min: i64,
    pub max: i64,
    pub negative: Vec<(u32, u64)>,
    pub positive: Vec<(u32, u64)>,
}

impl Closed<'_> {
    pub fn count(&self) -> u64 {
        self.negative.iter().chain(&self.positive).map(|(_, n)| n).sum()
    }

    /// The value that `permille` of all values do not exceed, to the precision of the buckets.
    pub fn quantile(&self, permille: u64) -> i64 {
        let rank = (self.count() * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (bucket, n) in self.negative.iter().rev() {
            seen += n;
            if seen >= rank {
                return (-(lowest(*bucket) as i64)).clamp(self.min, self.max);
            }
        }
        for (bucket, n) in &self.positive {
            seen += n;
            if seen >= rank {
                return (highest(*bucket) as i64).clamp(self.min, self.max);
            }
        }
        self.max
    }
}

/// Turns closed series into entries and HDR histograms; its buffers are used again.
pub(super) struct Encoder {
    hdr: Histogram<u64>,
    serializer: V2Serializer,
    bytes: Vec<u8>,
}

impl Encoder {
    pub fn new() -> Option<Encoder> {
        let hdr = Histogram::new_with_max(VALUE_MAX, DIGITS).ok()?;
        Some(Encoder { hdr, serializer: V2Serializer::new(), bytes: Vec::new() })
    }

    /// An HDR histogram of these buckets; it is the encoder's own, valid until the next call.
    pub fn histogram(&mut self, buckets: &[(u32, u64)]) -> &Histogram<u64> {
        self.hdr.reset();
        for (bucket, n) in buckets {
            self.hdr.saturating_record_n(lowest(*bucket), *n);
        }
        &self.hdr
    }

    fn base64(&mut self, buckets: &[(u32, u64)]) -> String {
        self.histogram(buckets);
        self.bytes.clear();
        // Writing to memory cannot fail; a histogram that could not be encoded is left out, its quantiles stay.
        match self.serializer.serialize(&self.hdr, &mut self.bytes) {
            Ok(_) => base64::engine::general_purpose::STANDARD.encode(&self.bytes),
            Err(_) => String::new(),
        }
    }

    /// The entry for the journal.
    pub fn entry(&mut self, c: &Closed<'_>) -> LatencyEntry {
        let mut histogram = self.base64(&c.positive);
        if !c.negative.is_empty() {
            histogram.push(',');
            histogram.push_str(&self.base64(&c.negative));
        }
        LatencyEntry {
            stream: c.stream.to_owned(),
            hop: c.hop.to_owned(),
            count: c.count() as i64,
            min: c.min,
            p50: c.quantile(500),
            p90: c.quantile(900),
            p99: c.quantile(990),
            p999: c.quantile(999),
            max: c.max,
            histogram,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;
    use proptest::prelude::*;

    fn decode(text: &str) -> Histogram<u64> {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap()
    }

    fn buckets(values: impl Iterator<Item = u64>) -> Vec<(u32, u64)> {
        let mut map = std::collections::BTreeMap::new();
        values.for_each(|v| *map.entry(bucket_of(v)).or_insert(0) += 1);
        map.into_iter().collect()
    }

    fn closed(values: &[i64]) -> Closed<'static> {
        Closed {
            venue: "v",
            stream: "s",
            hop: "h",
            min: *values.iter().min().unwrap(),
            max: *values.iter().max().unwrap(),
            negative: buckets(values.iter().filter(|v| **v < 0).map(|v| v.unsigned_abs())),
            positive: buckets(values.iter().filter(|v| **v >= 0).map(|v| *v as u64)),
        }
    }

    #[test]
    fn buckets_tile_the_numbers() {
        assert_eq!((bucket_of(0), bucket_of(255), bucket_of(256), bucket_of(257)), (0, 255, 256, 256));
        for b in 0..bucket_of(VALUE_MAX) {
            assert_eq!(bucket_of(lowest(b)), b);
            assert_eq!(bucket_of(highest(b)), b);
            assert_eq!(lowest(b + 1), highest(b) + 1);
        }
        assert_eq!(bucket_of(u64::MAX), bucket_of(VALUE_MAX));
    }

    proptest! {
        /// Same buckets as HDR itself, quantiles within a bucket of the sorted values, and the text decodes to it all.
        #[test]
        fn agrees_with_hdr_and_with_sorting(values in prop::collection::vec(-1_000_000_000_000i64..3_000_000_000_000, 1..200)) {
            let c = closed(&values);
            let mut encoder = Encoder::new().unwrap();
            let e = encoder.entry(&c);
            let mut parts = e.histogram.split(',');
            let mut direct = Histogram::<u64>::new_with_max(VALUE_MAX, DIGITS).unwrap();
            values.iter().filter(|v| **v >= 0).for_each(|v| direct.record(*v as u64).unwrap());
            prop_assert!(decode(parts.next().unwrap()).iter_recorded().eq(direct.iter_recorded()));
            let negatives = values.iter().filter(|v| **v < 0).count() as u64;
            prop_assert_eq!(parts.next().map_or(0, |p| decode(p).len()), negatives);
            let mut sorted = values.clone();
            sorted.sort_unstable();
            prop_assert_eq!((e.count, e.min, e.max), (values.len() as i64, sorted[0], sorted[sorted.len() - 1]));
            for (permille, got) in [(500, e.p50), (900, e.p90), (990, e.p99), (999, e.p999)] {
                let want = sorted[(values.len() * permille).div_ceil(1000) - 1];
                prop_assert!((got - want).abs() <= want.abs() / 128 + 1, "{permille}: {got} for {want}");
            }
        }
    }
}
