//! Connections that are replaced while they live: by age, and because the configuration changed.

use std::time::Duration;

use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{Place, Venue, lobtape, number, proved, turn, wait_for};
use super::tape::{self, Gap, Tape};

/// The program's own proof.
fn verified(place: &Place) {
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// Gaps beside the first sync and the end of the venue: there are none for a connection that was replaced.
fn untold(place: &Place, id: &str, tape: &Tape) -> Vec<Gap> {
    let lost = tape.conns.values().filter(|c| !c.retired && c.venue == id);
    let end = lost.filter_map(|c| c.frames.last()).map(|f| f.ts_recv).min().unwrap_or(i64::MAX);
    let mut gaps = tape::gaps(&place.dataset(), id);
    gaps.retain(|g| g.cause != "initial_sync" && g.begin < end);
    gaps
}

#[test]
fn a_rotation_loses_nothing_and_tells_nothing_twice() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 9), number("LOBTAPE_PROVE_RATE", 500));
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 10, rate as u32, |c| {
        c.duration_ms = Some(seconds * 1000);
    });
    venue.more = "rotate_after = \"2s\"\n".to_owned();
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let over = wait_for(Duration::from_secs(seconds + 60), || venue.sim.is_over());
    assert!(over, "nobody came: {}", recorder.words());
    let (id, log) = venue.end();
    recorder.stop();
    let mut v = check(&place.dataset(), &id, &log, Rules { replaced: true, ..Rules::default() });
    let tape = Tape::load(&place.dataset());
    let retired = tape.conns.values().filter(|c| c.retired).count();
    if retired < 3 {
        v.fault(format!("only {retired} connections were replaced"));
    }
    for g in untold(&place, &id, &tape) {
        v.fault(format!("a gap: {g:?}"));
    }
    proved("rotation", &v.figures);
    v.demand("rotation");
    assert!(v.figures.frames_twice > 0, "the connections never overlapped: {:?}", v.figures);
    refold(&place.dataset());
    verified(&place);
}
