//! The dialects that can be simulated: those of the venue list.

use crate::model::Dialect;
use crate::venue;

/// All of them, in the order of the venue list.
pub fn all() -> Vec<&'static Dialect> {
    venue::all().iter().filter_map(|v| v.dialect()).collect()
}

/// The dialect of a venue's slug.
pub fn by_venue(venue: &str) -> Option<&'static Dialect> {
    all().into_iter().find(|d| d.venue == venue)
}

#[cfg(test)]
pub use venue::aster::dialect::FUTURES as ASTER_FUTURES;
#[cfg(test)]
pub use venue::binance::dialect::{COINM as BINANCE_COINM, SPOT as BINANCE_SPOT, USDM as BINANCE_USDM};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_venue_can_be_simulated_under_its_own_name() {
        for v in venue::all() {
            assert_eq!(by_venue(v.spec().id).map(|d| d.venue), Some(v.spec().id));
        }
        assert!(by_venue("nowhere").is_none());
    }

    #[test]
    fn partial_speeds_are_the_first_diff_speeds() {
        // The world flushes both from the same windows.
        for d in all() {
            assert!(d.diff_speeds.starts_with(d.partial_speeds) && d.diff_speeds.len() <= 4, "{}", d.venue);
        }
    }
}
