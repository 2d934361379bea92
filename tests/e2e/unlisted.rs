//! Streams of named symbols that are opened although no instrument list came: what a reload changes then, and what becomes of them
//! when the list comes late.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lobtape::dataset::Table;
use lobtape::simulator::{FaultKind, FaultSpec};

use super::rig::{Place, Recorder, Venue, lobtape, pass, turn, wait_for};
use super::tape::{self, Cover};

const ID: &str = "pumpkin-perp";

/// A venue whose streams live and whose REST answers nothing until the simulator is quiesced; four markets, two channels.
fn without_rest(place: &Place) -> Venue {
    let mut venue = Venue::start(place.dir.path(), ID, 4, 300, |_| {});
    refuse_rest(&venue);
    venue.channels = ["depth,10", "trade"].map(str::to_owned).to_vec();
    venue
}

fn refuse_rest(venue: &Venue) {
    venue.sim.inject(FaultSpec { for_ms: 600_000, ..FaultSpec::new(FaultKind::Http503) }).unwrap();
}

/// Waits until the venue has so many subscriptions.
fn has(venue: &Venue, n: u64) -> bool {
    wait_for(Duration::from_secs(30), || venue.sim.stats().subscriptions.load(Ordering::Relaxed) == n)
}

/// Waits until a word was said so often.
fn said(recorder: &Recorder, word: &str, times: usize) -> bool {
    wait_for(Duration::from_secs(30), || recorder.log().matches(word).count() == times)
}

const UNLISTED: &str = "no instrument list: streams of the named symbols are opened all the same";

/// What is covered of a symbol's streams.
fn covers(place: &Place, symbol: &str) -> Vec<Cover> {
    let of_it = |c: &Cover| c.stream.split('@').nth(1).is_some_and(|s| s.split(',').next() == Some(symbol));
    let mut all = tape::coverage(&place.dataset(), ID);
    all.retain(of_it);
    all
}

/// The symbols that have rows of trades.
fn traded(place: &Place) -> BTreeSet<String> {
    let mut symbols = BTreeSet::new();
    tape::batches(&place.dataset(), Table::Trades, ID, |b| {
        let instrument = b.text("instrument").unwrap();
        let symbol = |i| instrument.value(i).rsplit(':').next().unwrap_or_default().to_owned();
        symbols.extend((0..b.rows()).map(symbol));
    });
    symbols
}

fn verified(place: &Place) {
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

#[test]
fn a_reload_changes_named_symbols_while_the_list_is_refused() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = without_rest(&place);
    let all = venue.symbols.clone();
    venue.symbols = all[..2].to_vec();
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    assert!(has(&venue, 4), "{}", recorder.words());
    pass(Duration::from_millis(1500));
    venue.symbols = vec![all[0].clone(), all[2].clone(), all[3].clone()];
    place.configure("1h", 0, &[&venue]);
    recorder.reload();
    assert!(said(&recorder, UNLISTED, 2), "{}", recorder.words());
    // With those of the connection that goes there are ten for a while.
    assert!(has(&venue, 10) && has(&venue, 6), "{}", recorder.words());
    pass(Duration::from_millis(1500));
    // A list that is asked for again in vain opens nothing again.
    assert_eq!(recorder.log().matches("connections of the plan").count(), 2, "{}", recorder.words());
    recorder.stop();
    venue.end();
    let gone = covers(&place, &all[1]);
    assert!(gone.len() >= 2 && gone.iter().all(|c| c.end_cause == "unsubscribed"), "{gone:?}");
    let open: Vec<_> = tape::gaps(&place.dataset(), ID)
        .into_iter()
        .filter(|g| g.stream.contains(&all[1]) && g.end == 0)
        .collect();
    assert!(open.is_empty(), "nobody wants it: {open:?}");
    for new in &all[2..] {
        let c = covers(&place, new);
        assert!(!c.is_empty() && gone.iter().all(|g| c.iter().all(|c| c.begin > g.begin)), "{c:?}");
    }
    assert_eq!(traded(&place), all.into_iter().collect());
    verified(&place);
}

/// After some refusals nothing may be asked for minutes: a reload does not wait for that.
#[test]
fn a_reload_changes_named_symbols_while_no_list_may_be_asked_for() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = without_rest(&place);
    venue.sim.quiesce().unwrap();
    venue.sim.inject(FaultSpec { for_ms: 600_000, ..FaultSpec::new(FaultKind::Denied) }).unwrap();
    let other = Venue::start(place.dir.path(), "binance-spot", 1, 50, |_| {});
    let all = venue.symbols.clone();
    venue.symbols = all[..2].to_vec();
    place.configure("1h", 0, &[&venue, &other]);
    let recorder = place.record();
    assert!(has(&venue, 4), "{}", recorder.words());
    venue.symbols = all[..3].to_vec();
    place.configure("1h", 0, &[&venue, &other]);
    recorder.reload();
    assert!(has(&venue, 6), "{}", recorder.words());
    place.configure("1h", 0, &[&other]);
    recorder.reload();
    assert!(has(&venue, 0), "{}", recorder.words());
    place.configure("1h", 0, &[&venue, &other]);
    recorder.reload();
    assert!(has(&venue, 6), "{}", recorder.words());
    let asked = venue.sim.stats().requests.load(Ordering::Relaxed);
    assert_eq!(asked, 1, "it asks although it may not");
    recorder.stop();
    venue.end();
    other.end();
    verified(&place);
}

/// With a list that came once it is the same: what the last one names needs no other one.
#[test]
fn a_reload_changes_named_symbols_when_the_list_is_refused_from_then_on() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = without_rest(&place);
    venue.sim.quiesce().unwrap();
    let all = venue.symbols.clone();
    venue.symbols = all[..2].to_vec();
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    assert!(has(&venue, 4), "{}", recorder.words());
    refuse_rest(&venue);
    venue.symbols = all[..3].to_vec();
    place.configure("1h", 0, &[&venue]);
    recorder.reload();
    assert!(said(&recorder, UNLISTED, 1) && has(&venue, 6), "{}", recorder.words());
    recorder.stop();
    venue.end();
    verified(&place);
}

#[test]
fn a_venue_that_is_taken_back_is_opened_without_a_list_as_at_the_start() {
    let _turn = turn();
    let place = Place::new();
    let venue = without_rest(&place);
    let mut other = Venue::start(place.dir.path(), "binance-spot", 1, 50, |_| {});
    let addr = super::rig::status_of(&mut other);
    let n = 2 * venue.symbols.len() as u64;
    let waits = || super::rig::status(addr).unwrap_or_default()["venues"][0]["waits_for_list"].as_bool();
    place.configure("1h", 0, &[&venue, &other]);
    let recorder = place.record();
    // Without a list, taken back without one, with one, and without one again: the one that it had is as old as its leave.
    for (round, has_list) in [false, false, true, false].into_iter().enumerate() {
        if round > 0 {
            place.configure("1h", 0, &[&other]);
            recorder.reload();
            assert!(has(&venue, 0), "round {round}: {}", recorder.words());
            match has_list {
                true => venue.sim.quiesce().unwrap(),
                false => refuse_rest(&venue),
            }
            place.configure("1h", 0, &[&venue, &other]);
            recorder.reload();
        }
        assert!(has(&venue, n), "round {round}: {}", recorder.words());
        let shown = || waits() == Some(!has_list);
        assert!(wait_for(Duration::from_secs(20), shown), "round {round}: {}", recorder.words());
        pass(Duration::from_millis(1000));
    }
    assert!(said(&recorder, UNLISTED, 3), "{}", recorder.words());
    recorder.stop();
    venue.end();
    other.end();
    verified(&place);
}

/// One list that did not come lets nobody in for good whom no list names: when it is there, the misspelt symbol ends, and nothing else.
#[test]
fn a_misspelt_symbol_ends_when_the_late_list_does_not_name_it() {
    let _turn = turn();
    for allow_missing in [false, true] {
        let place = Place::new();
        let mut venue = without_rest(&place);
        let good = venue.symbols[0].clone();
        venue.symbols = vec![good.clone(), "nope_usdt".to_owned()];
        venue.more.push_str(&format!("allow_missing = {allow_missing}\n"));
        place.configure("1h", 0, &[&venue]);
        let recorder = place.record();
        assert!(has(&venue, 4), "{}", recorder.words());
        pass(Duration::from_millis(1500));
        venue.sim.quiesce().unwrap();
        let over = "its streams end";
        assert!(said(&recorder, over, 1), "{}", recorder.words());
        // The connection is replaced, the new one first.
        assert!(has(&venue, 2), "{}", recorder.words());
        let log = recorder.log();
        let told = log.lines().find(|l| l.contains(over)).unwrap();
        let words = ["ERROR", "venue=\"pumpkin-perp\"", "symbol=\"nope_usdt\"", "not listed"];
        assert!(words.iter().all(|w| told.contains(w)), "{told}");
        // The same again is as wrong as with a list at the start, and costs what runs nothing.
        recorder.reload();
        if !allow_missing {
            assert!(said(&recorder, "is not applied", 1), "{}", recorder.words());
        }
        pass(Duration::from_millis(1500));
        assert!(has(&venue, 2), "{}", recorder.words());
        recorder.stop();
        venue.end();
        let (gone, stays) = (covers(&place, "nope_usdt"), covers(&place, &good));
        assert!(!gone.is_empty() && gone.iter().all(|c| c.end_cause == "unsubscribed"), "{gone:?}");
        let last = |c: &[Cover]| c.iter().map(|c| c.end).max().unwrap();
        assert!(last(&stays) - last(&gone) > 1_000_000_000, "{gone:?} {stays:?}");
        assert!(stays.iter().all(|c| c.end_cause != "unsubscribed"), "{stays:?}");
        let open = |g: &tape::Gap| g.stream.contains("nope_usdt") && g.end == 0;
        let gaps = tape::gaps(&place.dataset(), ID);
        assert!(!gaps.iter().any(open), "{gaps:?}");
        verified(&place);
    }
}
