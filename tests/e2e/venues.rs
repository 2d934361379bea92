//! Every venue that there is, in one recorder.

use std::time::Duration;

use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{Place, Venue, all_channels, faults, lobtape, number, proved, tables, turn, wait_for};

/// Each kind of message of each venue, holes, repeats and cuts: what was sent is in its table once and as it was sent, what
/// is missing is explained.
#[test]
fn all_venues_at_once_are_recorded_once_and_explained() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 8), number("LOBTAPE_PROVE_RATE", 2400));
    let only = std::env::var("LOBTAPE_PROVE_VENUE").ok();
    let wanted = |id: &&str| only.as_deref().is_none_or(|o| o == *id);
    let ids: Vec<&str> = lobtape::venue::all().iter().map(|v| v.spec().id).filter(wanted).collect();
    let place = Place::new();
    let each = rate as u32 / ids.len() as u32;
    let venues: Vec<Venue> = ids
        .iter()
        .map(|id| {
            let mut venue = Venue::start(place.dir.path(), id, 4, each, |c| {
                c.duration_ms = Some(seconds * 1000);
                c.quiet_tail_ms = (seconds * 1000 / 3).min(5000);
                c.faults = faults((seconds * 150).max(1200));
            });
            venue.channels = all_channels(id);
            venue
        })
        .collect();
    place.configure("1h", 0, &venues.iter().collect::<Vec<_>>());
    let recorder = place.record();
    for v in &venues {
        let over = wait_for(Duration::from_secs(seconds + 60), || v.sim.is_over());
        assert!(over, "{}: nobody came: {}", v.id, recorder.words());
    }
    let logs: Vec<_> = venues.into_iter().map(|v| (v.channels.clone(), v.end())).collect();
    recorder.stop();
    for (channels, (id, log)) in logs {
        let v = check(&place.dataset(), &id, &log, Rules::default());
        proved(&format!("venues {id}"), &v.figures);
        v.demand(&id);
        assert!(v.figures.holes > 0 && v.figures.disconnects > 0, "{id}: no fault struck: {:?}", v.figures);
        for table in tables(&id, &channels) {
            let mut rows = 0;
            super::tape::batches(&place.dataset(), table, &id, |b| rows += b.rows());
            assert!(rows > 0, "{id}: no row of {}", table.name());
        }
    }
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}
