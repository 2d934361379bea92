//! All venues at once over a UTC midnight and several interval boundaries.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lobtape::dataset::Dataset;

use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{Place, Venue, faults, lobtape, number, pass, proved, turn, wait_for};

const VENUES: [&str; 4] = ["aster-futures", "binance-spot", "binance-usdm", "binance-coinm"];
const DAY_MS: i64 = 86_400_000;

#[test]
fn a_midnight_and_interval_boundaries_lose_and_repeat_nothing() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 9), number("LOBTAPE_PROVE_RATE", 800));
    let place = Place::new();
    let venues = VENUES.map(|id| {
        Venue::start(place.dir.path(), id, 5, rate as u32 / 4, |c| {
            c.duration_ms = Some(seconds * 1000 + 60_000);
            c.quiet_tail_ms = 62_000;
            c.faults = faults((seconds * 110).max(2500));
        })
    });
    // Midnight comes in the middle of the run; boundaries every few seconds.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let ahead = DAY_MS - now % DAY_MS - seconds as i64 * 500;
    let interval = if seconds >= 60 { "10s" } else { "2s" };
    place.configure(interval, ahead.rem_euclid(DAY_MS), &venues.each_ref());
    let recorder = place.record();
    let all_there = wait_for(Duration::from_secs(60), || {
        venues.iter().all(|v| v.sim.stats().open.load(std::sync::atomic::Ordering::Relaxed) > 0)
    });
    assert!(all_there, "nobody came: {}", recorder.words());
    pass(Duration::from_secs(seconds));
    // The recorder ends first here: its last word is a clean stop under load.
    recorder.stop();
    let manifest = Dataset::open(place.dataset()).unwrap().manifest().unwrap();
    let days: BTreeSet<&str> = manifest.parts().map(|p| p.date.as_str()).collect();
    let starts: BTreeSet<i64> = manifest.parts().map(|p| p.interval_start).collect();
    assert!(days.len() == 2 && starts.len() >= 3, "{days:?} {starts:?}");
    for v in venues {
        let (id, log) = v.end();
        let v = check(&place.dataset(), &id, &log, Rules { stopped_first: true, ..Rules::default() });
        proved(&format!("midnight {id}"), &v.figures);
        v.demand(&id);
        assert!(
            v.figures.disconnects > 0 && v.figures.holes > 0,
            "{id}: the faults did not strike: {:?}",
            v.figures
        );
    }
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}
