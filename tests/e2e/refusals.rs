//! Venues that refuse: what is refused says so, and costs nothing else.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::rig::{Place, Venue, lobtape, pass, turn, wait_for};
use super::tape;

/// The venue bears five topics a connection and says so to the sixth: further connections take the others.
#[test]
fn topics_that_a_full_connection_refuses_go_to_another_one() {
    let _turn = turn();
    let place = Place::new();
    let venue = Venue::start(place.dir.path(), "pumpkin-perp", 4, 400, |c| c.streams_max = Some(5));
    let topics = 4 * 3;
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let subscribed = || venue.sim.stats().subscriptions.load(Ordering::Relaxed);
    let all = wait_for(Duration::from_secs(60), || subscribed() == topics);
    assert!(all, "{} of {topics}: {}", subscribed(), recorder.words());
    pass(Duration::from_secs(2));
    recorder.stop();
    venue.end();
    let root = place.dataset();
    let covered: BTreeSet<String> =
        tape::coverage(&root, "pumpkin-perp").into_iter().map(|c| c.stream).collect();
    assert_eq!(covered.len() as u64, topics, "{covered:?}");
    let refused: Vec<_> =
        tape::gaps(&root, "pumpkin-perp").into_iter().filter(|g| g.cause == "subscribe_refused").collect();
    assert!(
        !refused.is_empty() && refused.iter().all(|g| g.end > 0 && !g.recovered_by.is_empty()),
        "{refused:?}"
    );
    let (code, words) = lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}
