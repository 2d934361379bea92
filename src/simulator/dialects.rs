//! The dialects that can be simulated: those of the venue list.

use super::config::SimError;
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

/// The dialect itself, or one of its variants.
///
/// # Errors
/// There is no variant of this name.
pub fn variant(d: &'static Dialect, name: Option<&str>) -> Result<&'static Dialect, SimError> {
    let Some(name) = name else { return Ok(d) };
    let found = d.variants.iter().find(|v| v.0 == name).map(|v| v.1);
    found.ok_or_else(|| SimError::Config {
        what: match d.variants {
            [] => format!("{} is simulated in one way only", d.venue),
            all => {
                let known: Vec<&str> = all.iter().map(|v| v.0).collect();
                format!("{}: unknown variant {name:?}; known: {}", d.venue, known.join(", "))
            }
        },
    })
}

#[cfg(test)]
pub use venue::aster::dialect::{
    FUTURES as ASTER_FUTURES, PREDICTION as ASTER_PREDICTION, SPOT as ASTER_SPOT,
};
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
        let spot = by_venue("aster-spot").unwrap();
        assert!(variant(spot, Some("doc-literal")).is_ok_and(|v| v.ids != spot.ids));
        assert!(variant(spot, Some("doc-litteral")).unwrap_err().to_string().contains("doc-literal"));
    }

    #[test]
    fn partial_speeds_are_the_first_diff_speeds() {
        // The world flushes both from the same windows.
        for d in all() {
            assert!(d.diff_speeds.starts_with(d.partial_speeds) && d.diff_speeds.len() <= 4, "{}", d.venue);
        }
    }
}
