//! Connections that are replaced while they live: by age, and because the configuration changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use lobtape::dataset::Dataset;
use lobtape::simulator::{FaultKind, FaultSpec};

use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{Place, Recorder, Venue, lobtape, number, pass, proved, turn, wait_for};
use super::tape::{self, Cover, Gap, Tape};

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

/// What comes and goes between two runs, symbols and cores, moves no instrument to another lane: its rows are counted on, and its
/// gap between the runs names what is missing.
#[test]
fn an_instrument_stays_in_its_lane_whatever_comes_and_goes_between_runs() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 6, 300, |_| {});
    let all = venue.symbols.clone();
    let pick = |of: &[usize]| of.iter().map(|n| all[*n].clone()).collect::<Vec<_>>();
    let two = "[capture]\ncores = [0, 1]\n";
    for (symbols, cores) in [
        (pick(&[0, 1]), two),
        (pick(&[2, 0, 1]), two),
        (pick(&[1, 3]), two),
        (pick(&[0, 1, 2, 3]), "[capture]\n"),
        (pick(&[4, 3, 2, 1, 0]), two),
    ] {
        venue.symbols.clone_from(&symbols);
        place.configure("1h", 0, &[&venue]);
        place.change("[capture]\n", cores);
        let recorder = place.record();
        let n = symbols.len() as u64 * 5;
        let has = || venue.sim.stats().subscriptions.load(Ordering::Relaxed) == n;
        assert!(wait_for(Duration::from_secs(60), has), "{n}: {}", recorder.words());
        pass(Duration::from_millis(2500));
        recorder.stop();
        pass(Duration::from_millis(500));
    }
    verified(&place);
    refold(&place.dataset());
}

/// Waits until a recorder has so many subscriptions of a venue, and lets it record.
fn records(venue: &Venue, recorder: &Recorder, n: u64) {
    let has = || venue.sim.stats().subscriptions.load(Ordering::Relaxed) == n;
    assert!(wait_for(Duration::from_secs(60), has), "{n}: {}", recorder.words());
    pass(Duration::from_millis(2500));
}

const TWO_CORES: &str = "[capture]\ncores = [0, 1]\n";

/// Streams of pairs bring rows of instruments that they do not name: they stay in their lanes as well.
#[test]
fn streams_of_pairs_stay_in_their_lanes_over_a_restart() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "binance-coinm", 4, 300, |_| {});
    let pairs: BTreeSet<String> =
        venue.symbols.iter().filter_map(|s| Some(s.split_once('_')?.0.to_owned())).collect();
    venue.symbols = pairs.into_iter().take(3).collect();
    venue.channels = vec!["markPrice@1s".to_owned()];
    place.configure("1h", 0, &[&venue]);
    place.change("[capture]\n", TWO_CORES);
    let mut lanes = Vec::new();
    for _ in 0..3 {
        let recorder = place.record();
        records(&venue, &recorder, venue.symbols.len() as u64);
        recorder.stop();
        lanes.push(homes(&place));
    }
    assert!(lanes.iter().all(|l| l[&venue.id].len() == venue.symbols.len()), "{lanes:?}");
    assert!(lanes.iter().all(|l| *l == lanes[0]), "{lanes:?}");
    verified(&place);
    refold(&place.dataset());
}

/// Lane by venue and what is recorded there.
fn homes(place: &Place) -> BTreeMap<String, BTreeMap<String, u64>> {
    let text = std::fs::read(place.dataset().join("_journal/lanes.json")).unwrap();
    let all: BTreeMap<String, BTreeMap<String, serde_json::Value>> = serde_json::from_slice(&text).unwrap();
    let lane = |h: serde_json::Value| h["lane"].as_u64().unwrap();
    all.into_iter().map(|(v, k)| (v, k.into_iter().map(|(s, h)| (s, lane(h))).collect())).collect()
}

/// A venue that is left out and comes back while the capture runs finds its lanes there, with one core less.
#[test]
fn a_venue_that_comes_back_by_a_reload_goes_on_in_its_lane() {
    let _turn = turn();
    let place = Place::new();
    let start = |id: &str| Venue::start(place.dir.path(), id, 1, 300, |_| {});
    let [a, b] = ["aster-futures", "binance-spot"].map(start);
    let counts = [&a, &b].map(|v| v.channels.len() as u64);
    place.configure("1h", 0, &[&a, &b]);
    place.change("[capture]\n", TWO_CORES);
    let recorder = place.record();
    records(&a, &recorder, counts[0]);
    records(&b, &recorder, counts[1]);
    recorder.stop();
    let lanes = homes(&place);
    assert_ne!(lanes[&a.id][&a.symbols[0]], lanes[&b.id][&b.symbols[0]]);
    place.configure("1h", 0, &[&a]);
    let recorder = place.record();
    records(&a, &recorder, counts[0]);
    place.configure("1h", 0, &[&a, &b]);
    recorder.reload();
    records(&b, &recorder, counts[1]);
    recorder.stop();
    assert_eq!(homes(&place), lanes);
    // Its rows are counted on.
    let (_, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert!(words.lines().any(|l| l.starts_with("ok ") && l.contains(" rows ")), "{words}");
    refold(&place.dataset());
}

/// Where all of a venue must be in one lane, what an earlier run recorded in another one stops nobody: it comes to the others, and
/// that is said.
#[test]
fn a_symbol_of_another_lane_joins_the_others_where_one_lane_must_see_all() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "binance-spot", 3, 300, |_| {});
    let all = venue.symbols.clone();
    venue.symbols.truncate(2);
    venue.channels = vec!["miniTicker".to_owned()];
    let with_two_cores = |venue: &Venue| {
        place.configure("1h", 0, &[venue]);
        place.change("[capture]\n", TWO_CORES);
    };
    with_two_cores(&venue);
    let recorder = place.record();
    records(&venue, &recorder, 2);
    recorder.stop();
    assert_eq!(homes(&place)[&venue.id].values().collect::<BTreeSet<_>>().len(), 2);
    venue.channels.push("!miniTicker@arr".to_owned());
    venue.rule = Some(format!("{{ glob = [{:?}] }}", all[0]));
    with_two_cores(&venue);
    let recorder = place.record();
    records(&venue, &recorder, 2);
    venue.rule = Some(format!("{{ glob = {all:?} }}"));
    with_two_cores(&venue);
    recorder.reload();
    records(&venue, &recorder, 4);
    let words = recorder.log();
    assert!(!words.contains("the change is not applied"), "{words}");
    let moved: Vec<&str> = words.lines().filter(|l| l.contains("go to another lane")).collect();
    assert!(matches!(moved.as_slice(), [l] if l.contains(&all[1])), "{moved:?}");
    recorder.stop();
    let lanes = homes(&place);
    assert_eq!(lanes[&venue.id].len(), 4, "{lanes:?}");
    assert_eq!(lanes[&venue.id].values().collect::<BTreeSet<_>>().len(), 1, "{lanes:?}");
}

/// Without the file nobody knows the lanes: the start says so, and what it could not read stays.
#[test]
fn a_file_of_lanes_that_is_cut_or_gone_is_told_of() {
    let _turn = turn();
    let place = Place::new();
    let venue = Venue::start(place.dir.path(), "aster-futures", 1, 300, |_| {});
    place.configure("1h", 0, &[&venue]);
    let run = || {
        let recorder = place.record();
        records(&venue, &recorder, venue.channels.len() as u64);
        let words = recorder.log();
        recorder.stop();
        words.matches("which lane has recorded what is not known").count()
    };
    let file = place.dataset().join("_journal/lanes.json");
    assert_eq!(run(), 0);
    std::fs::write(&file, "{\"aster-fut").unwrap();
    assert_eq!(run(), 1);
    let kept = std::fs::read(place.dataset().join("_journal/lanes.json.damaged")).unwrap();
    assert_eq!(kept, b"{\"aster-fut");
    std::fs::remove_file(&file).unwrap();
    assert_eq!(run(), 2);
    assert_eq!(homes(&place)[&venue.id][&venue.symbols[0]], 1);
}

/// All venues at once: where ids outlive their connection they say that nothing is missing, where they may not the new
/// connection's own snapshot does.
#[test]
fn a_rotation_is_no_gap_at_any_venue() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 18), number("LOBTAPE_PROVE_RATE", 1200));
    let only = std::env::var("LOBTAPE_PROVE_VENUE").ok();
    let wanted = |id: &&str| only.as_deref().is_none_or(|o| o == *id);
    let ids: Vec<&str> = lobtape::venue::all().iter().map(|v| v.spec().id).filter(wanted).collect();
    let place = Place::new();
    let each = rate as u32 / ids.len() as u32;
    let venues: Vec<Venue> = ids
        .iter()
        .map(|id| {
            let mut venue = Venue::start(place.dir.path(), id, 3, each, |c| {
                c.duration_ms = Some(seconds * 1000);
            });
            venue.more.push_str("rotate_after = \"7s\"\n");
            venue
        })
        .collect();
    place.configure("1h", 0, &venues.iter().collect::<Vec<_>>());
    let recorder = place.record();
    for v in &venues {
        let over = wait_for(Duration::from_secs(seconds + 60), || v.sim.is_over());
        assert!(over, "{}: nobody came: {}", v.id, recorder.words());
    }
    let logs: Vec<_> = venues.into_iter().map(Venue::end).collect();
    recorder.stop();
    let tape = Tape::load(&place.dataset());
    for (id, log) in logs {
        let mut v = check(&place.dataset(), &id, &log, Rules { replaced: true, ..Rules::default() });
        for g in untold(&place, &id, &tape) {
            v.fault(format!("a gap: {g:?}"));
        }
        let retired = tape.conns.values().filter(|c| c.retired && c.venue == id).count();
        if retired < 2 {
            v.fault(format!("only {retired} connections were replaced"));
        }
        if v.figures.frames_twice == 0 {
            v.fault("the connections never overlapped".to_owned());
        }
        proved(&format!("rotation {id}"), &v.figures);
        v.demand(&id);
    }
    refold(&place.dataset());
    verified(&place);
}

/// A connection whose ids may not outlive it goes when its books are handed over, however long that takes: where the new one's
/// snapshot is late, and where the new one says nothing of a book for a while.
#[test]
fn an_old_connection_waits_until_its_books_are_handed_over() {
    let _turn = turn();
    let place = Place::new();
    // Of both books, asked for twice.
    let late = FaultSpec { for_ms: 6500, frames: 4, ..FaultSpec::new(FaultKind::LateSnapshot).at(5000) };
    // The second one that is opened.
    let mute = FaultSpec { conn: Some(2), for_ms: 14_000, ..FaultSpec::new(FaultKind::Mute) };
    let venues: Vec<Venue> = [("ascendex-spot", late), ("pumpkin-perp", mute)]
        .into_iter()
        .map(|(id, fault)| {
            let mut venue = Venue::start(place.dir.path(), id, 2, 150, |c| {
                c.duration_ms = Some(22_000);
                c.faults = vec![fault];
            });
            venue.more.push_str("rotate_after = \"8s\"\n");
            venue
        })
        .collect();
    place.configure("1h", 0, &venues.iter().collect::<Vec<_>>());
    let recorder = place.record();
    for v in &venues {
        let over = wait_for(Duration::from_secs(90), || v.sim.is_over());
        assert!(over, "{}: nobody came: {}", v.id, recorder.words());
    }
    let logs: Vec<_> = venues.into_iter().map(Venue::end).collect();
    let words = recorder.words();
    recorder.stop();
    let tape = Tape::load(&place.dataset());
    for (id, log) in logs {
        let mut v = check(&place.dataset(), &id, &log, Rules { replaced: true, ..Rules::default() });
        for g in untold(&place, &id, &tape) {
            v.fault(format!("a gap: {g:?}"));
        }
        if !tape.conns.values().any(|c| c.retired && c.venue == id) {
            v.fault(format!("no connection was replaced: {words}"));
        }
        v.demand(&id);
    }
    refold(&place.dataset());
    verified(&place);
}

/// Waits until the recorder has read its configuration again, and the venue has so many subscriptions.
fn reloaded(recorder: &Recorder, times: usize, venues: &[(&Venue, u64)]) {
    recorder.reload();
    await_reload(recorder, times, venues);
}

fn await_reload(recorder: &Recorder, times: usize, venues: &[(&Venue, u64)]) {
    let count = || recorder.log().matches("the configuration was read again").count();
    assert!(wait_for(Duration::from_secs(20), || count() == times), "{}", recorder.words());
    for (v, n) in venues {
        let has = || v.sim.stats().subscriptions.load(Ordering::Relaxed);
        assert!(wait_for(Duration::from_secs(30), || has() == *n), "{} of {n}: {}", has(), recorder.words());
    }
}

/// What is covered of a symbol's streams.
fn covers(place: &Place, id: &str, symbol: &str) -> Vec<Cover> {
    let mut all = tape::coverage(&place.dataset(), id);
    all.retain(|c| c.stream.starts_with(&format!("{}@", symbol.to_ascii_lowercase())));
    all
}

#[test]
fn a_reload_takes_and_gives_streams_and_those_that_stay_have_no_gap() {
    let _turn = turn();
    let rate = number("LOBTAPE_PROVE_RATE", 500) as u32;
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 4, rate, |_| {});
    let other = Venue::start(place.dir.path(), "binance-spot", 2, 100, |_| {});
    let all = venue.symbols.clone();
    venue.symbols = all[..2].to_vec();
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let has = |n: u64| venue.sim.stats().subscriptions.load(Ordering::Relaxed) == n;
    assert!(wait_for(Duration::from_secs(60), || has(10)), "nobody came: {}", recorder.words());
    pass(Duration::from_millis(1500));
    // A third symbol and another venue come.
    venue.symbols = all[..3].to_vec();
    place.configure("1h", 0, &[&venue, &other]);
    reloaded(&recorder, 1, &[(&venue, 15), (&other, 8)]);
    pass(Duration::from_millis(1500));
    // What is no configuration changes nothing, and neither does a symbol that is not listed.
    place.misconfigure();
    recorder.reload();
    let refused = |n: usize| {
        wait_for(Duration::from_secs(20), || recorder.log().matches("is not applied").count() == n)
    };
    assert!(refused(1), "{}", recorder.words());
    venue.symbols.push("NOSUCHUSDT".to_owned());
    place.configure("1h", 0, &[&venue, &other]);
    reloaded(&recorder, 2, &[]);
    assert!(refused(2), "{}", recorder.words());
    // Two symbols and the venue go, a new one comes; the interval cannot change.
    venue.symbols = vec![all[0].clone(), all[3].clone()];
    place.configure("2h", 0, &[&venue]);
    recorder.reload();
    // The new connection first: without the one that goes there are ten subscriptions for a moment before it comes.
    let connected = || recorder.log().matches("connected venue=\"aster-futures\"").count() == 3;
    assert!(wait_for(Duration::from_secs(30), connected), "{}", recorder.words());
    await_reload(&recorder, 3, &[(&venue, 10), (&other, 0)]);
    assert!(recorder.log().contains("dataset.interval"), "{}", recorder.words());
    pass(Duration::from_millis(1500));
    let (id, log) = venue.end();
    let (spot, spot_log) = other.end();
    recorder.stop();
    let rules = Rules { replaced: true, ..Rules::default() };
    let mut v = check(&place.dataset(), &id, &log, rules);
    let w = check(&place.dataset(), &spot, &spot_log, rules);
    let tape = Tape::load(&place.dataset());
    for g in untold(&place, &id, &tape).iter().chain(&untold(&place, &spot, &tape)) {
        v.fault(format!("a gap: {g:?}"));
    }
    for symbol in [&all[1], &all[2]] {
        let c = covers(&place, &id, symbol);
        assert!(c.len() >= 5 && c.iter().all(|c| c.end_cause == "unsubscribed"), "{symbol}: {c:?}");
    }
    let (first, last) = (covers(&place, &id, &all[0]), covers(&place, &id, &all[3]));
    assert!(last.iter().all(|l| first.iter().all(|f| f.begin < l.begin)), "{first:?} {last:?}");
    assert!(first.iter().all(|c| c.end_cause != "unsubscribed"), "{first:?}");
    proved("reload", &v.figures);
    v.demand("reload");
    w.demand("reload, the venue that came and went");
    refold(&place.dataset());
    verified(&place);
}

#[test]
fn a_stream_that_is_silent_is_told_apart_from_one_that_is_quiet() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 5, 150, |c| {
        c.duration_ms = Some(24_000);
        let stall = |at: u64, stream: &str, for_ms: u64| FaultSpec {
            stream: Some(stream.to_owned()),
            for_ms,
            ..FaultSpec::new(FaultKind::Stall).at(at)
        };
        // One is answered by another connection, one ends by itself: for one silence a connection is replaced, not for all.
        c.faults =
            vec![stall(2000, "ethusdt@markPrice@1s", 20_000), stall(9000, "btcusdt@depth@100ms", 10_000)];
    });
    venue.more = "silent_after = \"1s\"\n".to_owned();
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let over = wait_for(Duration::from_secs(80), || venue.sim.is_over());
    assert!(over, "nobody came: {}", recorder.words());
    let (id, log) = venue.end();
    recorder.stop();
    let mut v = check(&place.dataset(), &id, &log, Rules { replaced: true, ..Rules::default() });
    let tape = Tape::load(&place.dataset());
    let gaps = untold(&place, &id, &tape);
    let of = |cause: &str| gaps.iter().filter(|g| g.cause == cause).collect::<Vec<_>>();
    let silent: Vec<&str> = of("silent_stream").iter().map(|g| g.stream.as_str()).collect();
    if silent != ["ethusdt@markPrice@1s", "btcusdt@depth@100ms"] {
        v.fault(format!("silent: {silent:?}"));
    }
    for g in gaps.iter().filter(|g| g.cause != "silent_stream") {
        if g.cause != "resync_wait" || g.stream != "btcusdt@depth@100ms" {
            v.fault(format!("a gap: {g:?}"));
        }
    }
    // Each begins with the last message before the stall and is at least as long as it took to find.
    for g in of("silent_stream") {
        let ns = g.end - g.begin;
        if !(3_000_000_000..12_000_000_000).contains(&ns) {
            v.fault(format!("{ns} ns: {g:?}"));
        }
    }
    proved("silence", &v.figures);
    v.demand("silence");
    let retired = tape.conns.values().filter(|c| c.retired).count();
    assert_eq!(retired, 1, "{}", recorder_words(&place));
    refold(&place.dataset());
    verified(&place);
}

/// The same where snapshots come as frames of the stream itself, and where a stream shows best levels in ids of its own.
#[test]
fn so_it_is_where_the_stream_itself_brings_whole_books() {
    let _turn = turn();
    for (id, lost, quiet, stream) in [
        ("ascendex-spot", "BTC/USDT", "ETH/USDT", "depth:BTC/USDT"),
        ("pumpkin-perp", "btc_usdt", "eth_usdt", "depth@btc_usdt,10"),
    ] {
        let place = Place::new();
        let mut venue = Venue::start(place.dir.path(), id, 2, 60, |c| {
            c.duration_ms = Some(26_000);
            let of = |kind: FaultKind, symbol: &str| FaultSpec {
                symbol: Some(symbol.to_owned()),
                ..FaultSpec::new(kind)
            };
            // One goes on and nothing is told of it for a while; the other one stands still.
            c.faults = vec![
                of(FaultKind::Halt, quiet).at(6000),
                FaultSpec { for_ms: 11_000, ..of(FaultKind::Gap, lost) }.at(8000),
            ];
        });
        venue.more.push_str("silent_after = \"1s\"\n");
        place.configure("1h", 0, &[&venue]);
        let recorder = place.record();
        let over = wait_for(Duration::from_secs(90), || venue.sim.is_over());
        assert!(over, "nobody came: {}", recorder.words());
        let (id, _) = venue.end();
        recorder.stop();
        let words = recorder_words(&place);
        let alarms: Vec<&str> =
            words.lines().filter(|l| l.contains("silent although its connection lives")).collect();
        assert!(alarms.len() == 1 && alarms[0].contains(stream), "{words}");
        let mut gaps = tape::gaps(&place.dataset(), &id);
        gaps.retain(|g| g.cause == "silent_stream");
        // From the last message before the silence up to the first one after it.
        assert!(gaps.iter().all(|g| g.stream == stream) && !gaps.is_empty(), "{gaps:?} {words}");
        let (begin, end) = (gaps[0].begin, gaps.iter().map(|g| g.end).max().unwrap_or(0));
        let lasted = end - begin;
        assert!((10_500_000_000..13_000_000_000).contains(&lasted), "{lasted} ns: {gaps:?}");
        let inside = |c: &&Cover| c.stream == stream && c.begin < end && c.end > begin;
        let covers = tape::coverage(&place.dataset(), &id);
        assert!(!covers.iter().any(|c| inside(&c)), "{gaps:?} {covers:?}");
        let after = covers.iter().any(|c| c.stream == stream && c.end - end > 3_000_000_000);
        assert!(after, "not proven again: {gaps:?} {covers:?}");
        refold(&place.dataset());
        verified(&place);
    }
}

fn recorder_words(place: &Place) -> String {
    std::fs::read_to_string(place.dir.path().join("recorder.log")).unwrap_or_default()
}

#[test]
fn a_channel_that_is_never_served_gives_way_to_the_second_choice() {
    let _turn = turn();
    let place = Place::new();
    // As the venue does: the name is taken, and nothing ever comes.
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 2, 200, |_| {});
    venue.channels = vec!["depth@0ms".to_owned(), "aggTrade".to_owned()];
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let said = || recorder.log().contains("the venue serves nothing on this channel");
    assert!(wait_for(Duration::from_secs(60), said), "{}", recorder.words());
    pass(Duration::from_millis(1500));
    // The file still says what it said: that is no reason to ask again.
    reloaded(&recorder, 1, &[(&venue, 4)]);
    pass(Duration::from_millis(500));
    let (id, log) = venue.end();
    recorder.stop();
    let mut v = check(&place.dataset(), &id, &log, Rules { replaced: true, ..Rules::default() });
    let covers = tape::coverage(&place.dataset(), &id);
    for (stream, is_there) in [("btcusdt@depth@0ms", false), ("btcusdt@depth@100ms", true)] {
        if covers.iter().any(|c| c.stream == stream) != is_there {
            v.fault(format!("{stream}: {covers:?}"));
        }
    }
    for g in untold(&place, &id, &Tape::load(&place.dataset())) {
        v.fault(format!("a gap: {g:?}"));
    }
    assert!(v.figures.rows["book_delta"] > 0, "{:?}", v.figures);
    proved("fallback", &v.figures);
    v.demand("fallback");
    refold(&place.dataset());
    verified(&place);
}

#[test]
fn a_second_recorder_hears_of_the_dataset_before_it_hears_of_the_address() {
    let _turn = turn();
    let place = Place::new();
    let venue = Venue::start(place.dir.path(), "aster-futures", 1, 50, |_| {});
    place.configure("1h", 0, &[&venue]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    place.add(&format!("[http]\nlisten = \"127.0.0.1:{port}\"\n"));
    let first = place.record();
    let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
    assert!(wait_for(Duration::from_secs(60), open), "nobody came: {}", first.words());
    let config = place.dir.path().join("lobtape.toml");
    let (code, words) = lobtape(&["capture", "--for", "1s", "-c", config.to_str().unwrap()]);
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("in use") && !words.contains(&port.to_string()), "{words}");
    first.stop();
}

#[test]
fn symbols_by_rule_are_recorded_and_a_changed_rule_costs_those_that_stay_nothing() {
    let _turn = turn();
    let rate = number("LOBTAPE_PROVE_RATE", 500) as u32;
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 6, rate, |_| {});
    let out = venue.symbols[5].clone();
    let rest = format!("quote = \"USDT\", exclude = [{out:?}]");
    venue.rule = Some(format!("{{ {rest}, status = \"TRADING\", top_by_volume = 3 }}"));
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let has = |n: u64| venue.sim.stats().subscriptions.load(Ordering::Relaxed) == n;
    assert!(wait_for(Duration::from_secs(60), || has(15)), "not three symbols: {}", recorder.words());
    pass(Duration::from_millis(1500));
    let chosen = |ds: &Dataset| -> BTreeSet<String> {
        let manifest = ds.manifest().unwrap();
        manifest.parts().filter(|p| p.table == "bbo").map(|p| p.symbol.clone()).collect()
    };
    // All but one, and what was chosen stays.
    venue.rule = Some(format!("{{ {rest} }}"));
    place.configure("1h", 0, &[&venue]);
    reloaded(&recorder, 1, &[(&venue, 25)]);
    pass(Duration::from_millis(1500));
    let wanted: BTreeSet<String> = venue.symbols[..5].iter().cloned().collect();
    let (id, log) = venue.end();
    recorder.stop();
    assert_eq!(chosen(&Dataset::open(place.dataset()).unwrap()), wanted);
    let mut v = check(&place.dataset(), &id, &log, Rules { replaced: true, ..Rules::default() });
    for g in untold(&place, &id, &Tape::load(&place.dataset())) {
        v.fault(format!("a gap: {g:?}"));
    }
    v.demand("symbols by rule");
    verified(&place);
}
