//! A venue that throws everybody out at once: all come back, spread in time, and all books are proven again.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lobtape::simulator::{CutHow, FaultKind, FaultSpec};
use serde_json::json;

use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{Place, Venue, lobtape, number, proved, turn, wait_for};

#[test]
fn a_venue_that_throws_everybody_out_has_everybody_back() {
    let _turn = turn();
    let (symbols, rate) = (number("LOBTAPE_PROVE_SYMBOLS", 48) as usize, number("LOBTAPE_PROVE_RATE", 2000));
    let seconds = number("LOBTAPE_PROVE_SECONDS", 20);
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", symbols, rate as u32, |c| {
        // Time enough for a busy machine to have all books back before the venue ends.
        (c.duration_ms, c.quiet_tail_ms) = (Some(seconds * 2000), 3000);
        c.book_levels = 50;
        let cut = |n| FaultSpec {
            conn: Some(n),
            how: CutHow::Rst,
            ..FaultSpec::new(FaultKind::Cut).at(seconds * 400)
        };
        c.faults = (1..=300).map(cut).collect();
    });
    let addr = super::rig::status_of(&mut venue);
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let synced = || {
        super::rig::status(addr).is_some_and(|s| {
            s["books_synced"].as_u64() == Some(symbols as u64)
                && venue.sim.stats().open.load(Ordering::Relaxed) > 0
        })
    };
    assert!(
        wait_for(Duration::from_secs(seconds), synced),
        "not all books: {:?} {}",
        super::rig::status(addr).map(|s| s["books_synced"].clone()),
        recorder.words()
    );
    let before = venue.sim.stats().open.load(Ordering::Relaxed);
    let gone = || venue.sim.stats().open.load(Ordering::Relaxed) < before;
    assert!(wait_for(Duration::from_secs(120), gone), "nobody is thrown out");
    let begun = Instant::now();
    assert!(wait_for(Duration::from_secs(120), || !synced()), "no book noticed");
    assert!(wait_for(Duration::from_secs(120), synced), "not all books again: {}", recorder.words());
    let synced_ms = begun.elapsed().as_millis();
    assert!(wait_for(Duration::from_secs(2 * seconds + 60), || venue.sim.is_over()), "{}", recorder.words());
    let (id, log) = venue.end();
    recorder.stop();
    let v = check(&place.dataset(), &id, &log, Rules::default());
    proved("storm", &json!({"connections": before, "all_synced_ms": synced_ms, "figures": v.figures}));
    v.demand("storm");
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}
