//! Venues that refuse: what is refused says so, and costs nothing else.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lobtape::dataset::Table;
use lobtape::simulator::{FaultKind, FaultSpec};

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

/// REST that refuses for a while, frames that are none, an address that is banned: what can be recorded is, what is refused
/// is a row of `rejects`, and in the end every book is proven.
#[test]
fn refusals_and_rubbish_cost_a_while_and_nothing_else() {
    let _turn = turn();
    for id in ["binance-usdm", "pumpkin-perp"] {
        let place = Place::new();
        let mut venue = Venue::start(place.dir.path(), id, 3, 400, |c| {
            let refusal =
                |kind, at| FaultSpec { for_ms: 300, retry_after_s: Some(1), ..FaultSpec::new(kind).at(at) };
            c.faults = vec![
                refusal(FaultKind::Http503, 0),
                refusal(FaultKind::Http429, 1200),
                refusal(FaultKind::Http418, 2400),
                FaultSpec { every_ms: Some(150), ..FaultSpec::new(FaultKind::Garbage).at(300) },
                FaultSpec { every_ms: Some(200), ..FaultSpec::new(FaultKind::UnknownEvent).at(300) },
                FaultSpec { every_ms: Some(900), ..FaultSpec::new(FaultKind::TruncatedJson).at(300) },
            ];
        });
        venue.more.push_str(match id {
            "pumpkin-perp" => "polls = { open-interest = \"1m\" }\n",
            _ => "polls = { openInterest = \"1s\", \"!premiumIndex\" = \"2s\" }\n",
        });
        place.configure("1h", 0, &[&venue]);
        let recorder = place.record();
        let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
        assert!(wait_for(Duration::from_secs(60), open), "{id}: nobody came: {}", recorder.words());
        pass(Duration::from_secs(6));
        venue.sim.quiesce().unwrap();
        pass(Duration::from_secs(6));
        recorder.stop();
        venue.end();
        let root = place.dataset();
        let mut rejects = 0;
        tape::batches(&root, Table::Rejects, id, |b| rejects += b.rows());
        let mut interest = 0;
        tape::batches(&root, Table::OpenInterest, id, |b| interest += b.rows());
        let covered: BTreeSet<String> = tape::coverage(&root, id).into_iter().map(|c| c.stream).collect();
        let books = covered.iter().filter(|s| s.contains("depth")).count();
        assert!(rejects > 0 && interest > 0 && books == 3, "{id}: {rejects} {interest} {covered:?}");
        let (code, words) = lobtape(&["verify", root.to_str().unwrap()]);
        assert_eq!(code, 0, "{id}: {words}");
    }
}
