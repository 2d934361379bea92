//! Histograms that others keep, as entries of the `latency` table.

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};

use super::latency::Hop;
use crate::model::control::LatencyEntry;

/// The entry of a whole histogram of ns values for a lane (no single stream).
pub fn lane_entry(hop: Hop, h: &Histogram<u64>) -> LatencyEntry {
    let mut bytes = Vec::new();
    // Writing to memory cannot fail; a histogram that could not be encoded is left out, its quantiles stay.
    let histogram = match V2Serializer::new().serialize(h, &mut bytes) {
        Ok(_) => base64::engine::general_purpose::STANDARD.encode(&bytes),
        Err(_) => String::new(),
    };
    let ns = |x: u64| i64::try_from(x).unwrap_or(i64::MAX);
    LatencyEntry {
        stream: String::new(),
        hop: hop.as_str().to_owned(),
        count: ns(h.len()),
        min: ns(h.min()),
        p50: ns(h.value_at_quantile(0.5)),
        p90: ns(h.value_at_quantile(0.9)),
        p99: ns(h.value_at_quantile(0.99)),
        p999: ns(h.value_at_quantile(0.999)),
        max: ns(h.max()),
        histogram,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::Deserializer;

    #[test]
    fn an_entry_gives_its_histogram_back() {
        let mut h = Histogram::<u64>::new(2).unwrap();
        (1..=1000).for_each(|n| h.record(n).unwrap());
        let e = lane_entry(Hop::AppliedJournaled, &h);
        assert_eq!((e.count, e.min, e.hop.as_str()), (1000, 1, "applied_journaled"));
        let bytes = base64::engine::general_purpose::STANDARD.decode(e.histogram).unwrap();
        let back: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!(back.len(), 1000);
        assert_eq!(back.value_at_quantile(0.5), h.value_at_quantile(0.5));
    }
}
