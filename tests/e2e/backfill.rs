//! Trades that a gap has lost: asked for by REST, told once, flagged, and the gap's row says so.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lobtape::dataset::Table;
use lobtape::model::flags;
use lobtape::simulator::oracle::Line;
use lobtape::simulator::{CutHow, FaultKind, FaultSpec, SimConfig};

use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{Place, Venue, lobtape, pass, proved, status, status_of, turn, wait_for};
use super::tape::{self, Gap};

/// A trade as a row: price, size, taker's side, time, and whether it was backfilled.
type Row = (f64, f64, i32, i64, bool);

/// Rows of aggregates (or of single trades) by instrument and id. Panics where an id stands twice.
fn rows(root: &Path, venue: &str, aggregates: bool) -> BTreeMap<String, BTreeMap<i64, Row>> {
    let mut all: BTreeMap<String, BTreeMap<i64, Row>> = BTreeMap::new();
    tape::batches(root, Table::Trades, venue, |b| {
        let (id, ts, flag) =
            (b.i64("trade_id").unwrap(), b.i64("ts_event").unwrap(), b.i32("flags").unwrap());
        let (price, size, side) = (b.f64("price").unwrap(), b.f64("size").unwrap(), b.i32("side").unwrap());
        let (agg, text) = (b.bool("is_aggregate").unwrap(), b.text("trade_id_text").unwrap());
        let instrument = b.text("instrument").unwrap();
        for i in (0..b.rows()).filter(|i| agg.value(*i) == aggregates) {
            let id = if aggregates { text.value(i).parse().unwrap() } else { id[i] };
            let row = (price.value(i), size.value(i), side[i], ts[i], flag[i] & flags::BACKFILLED != 0);
            let before = all.entry(instrument.value(i).to_owned()).or_default().insert(id, row);
            assert_eq!(before, None, "{}: trade {id} twice", instrument.value(i));
        }
    });
    all
}

/// The venue's own account of each trade.
fn sent(log: &[Line], venue: &str) -> BTreeMap<(String, i64), (f64, f64, i32, i64)> {
    let mut all = BTreeMap::new();
    for l in log.iter().filter(|l| l.k == "msg") {
        let Some(id) = l.a.or(l.t) else { continue };
        let (Some(p), Some(q), Some(m)) = (&l.p, &l.q, l.m) else { continue };
        let side = if m { -1 } else { 1 };
        let facts = (p.parse().unwrap(), q.parse().unwrap(), side, l.ts.unwrap_or(0) * 1_000_000);
        all.insert((format!("{venue}:{}", l.sym), id), facts);
    }
    all
}

/// Gaps of chained trades in which ids are missing.
fn lost(root: &Path, venue: &str, channel: &str) -> Vec<Gap> {
    let mut gaps = tape::gaps(root, venue);
    gaps.retain(|g| g.stream.ends_with(channel) && g.before >= 0 && g.after > g.before);
    gaps
}

/// Holds all trades of a venue against its account: every id between the first and the last once, the values right, and
/// flagged if and only if a gap names it.
fn whole(root: &Path, venue: &str, log: &[Line], channel: &str) -> (usize, usize) {
    let (sent, gaps) = (sent(log, venue), lost(root, venue, channel));
    let (mut told, mut filled) = (0, 0);
    for (instrument, rows) in rows(root, venue, channel == "aggTrade") {
        let (first, last) = (*rows.keys().next().unwrap(), *rows.keys().last().unwrap());
        let missing: Vec<i64> = (first..=last).filter(|id| !rows.contains_key(id)).collect();
        assert!(
            missing.is_empty(),
            "{instrument}: {} ids are missing: {missing:?} of {gaps:?}",
            missing.len()
        );
        let symbol = instrument.split_once(':').unwrap().1.to_lowercase();
        for (id, row) in &rows {
            if let Some(due) = sent.get(&(instrument.clone(), *id)) {
                assert_eq!((row.0, row.1, row.2, row.3), *due, "{instrument}: {id}");
            }
            let of =
                |g: &&Gap| g.stream.starts_with(&format!("{symbol}@")) && g.before < *id && *id <= g.after;
            assert_eq!(gaps.iter().any(|g| of(&g)), row.4, "{instrument}: {id} flagged {}", row.4);
            filled += usize::from(row.4);
        }
        told += rows.len();
    }
    for g in &gaps {
        assert_eq!(g.recovered_by, "backfill", "{g:?}");
    }
    (told, filled)
}

/// Waits until nothing has been asked for by REST for a while, and the converter has seen all that came before: what was missing is here.
fn settled(venue: &Venue, addr: SocketAddr) {
    let marks = |name: &str| -> Vec<i64> {
        let s = status(addr).unwrap_or_default();
        let lanes = s["lanes"].as_array().cloned().unwrap_or_default();
        lanes.iter().filter_map(|l| l["marks"][name].as_i64()).collect()
    };
    let has_seen = |came: &[i64]| {
        let seen = marks("converted");
        !came.is_empty() && seen.len() == came.len() && seen.iter().zip(came).all(|(s, c)| s >= c)
    };
    let came = marks("rx");
    let is_seen = wait_for(Duration::from_secs(60), || has_seen(&came));
    assert!(is_seen, "the converter does not come so far as {came:?}");
    let asked = || venue.sim.stats().requests.load(Ordering::Relaxed);
    let quiet = wait_for(Duration::from_secs(60), || {
        let (before, came) = (asked(), marks("rx"));
        pass(Duration::from_secs(3));
        asked() == before && has_seen(&came)
    });
    assert!(quiet, "requests never end");
}

/// Frames lost here and there, of one stream so often that two holes lie in one read, and lines that are cut.
fn drops_and_cuts(c: &mut SimConfig, holed: &str, seconds: u64) {
    c.duration_ms = Some(600_000);
    // Ids that no answer by REST has: what of them is lost on the way nobody gives back.
    c.odd_trades = false;
    c.faults = vec![
        FaultSpec { probability: Some(0.01), frames: 2, ..FaultSpec::new(FaultKind::Drop) },
        FaultSpec {
            probability: Some(0.3),
            stream: Some(holed.to_owned()),
            ..FaultSpec::new(FaultKind::Drop)
        },
    ];
    for (n, how) in [CutHow::Rst, CutHow::Fin, CutHow::Close].into_iter().enumerate() {
        let at = 1500 + n as u64 * seconds * 250;
        c.faults.push(FaultSpec { how, ..FaultSpec::new(FaultKind::Cut).at(at) });
    }
}

#[test]
fn trades_of_a_hole_and_a_cut_are_recovered_once_and_flagged() {
    let _turn = turn();
    // USD-M gives its older trades to those with a key only, its latest ones to anybody.
    for (id, channel) in [("aster-futures", "aggTrade"), ("binance-spot", "trade"), ("binance-usdm", "trade")]
    {
        let place = Place::new();
        let holed = format!("btcusdt@{channel}");
        let mut venue = Venue::start(place.dir.path(), id, 3, 600, |c| drops_and_cuts(c, &holed, 4));
        venue.channels = vec!["depth@100ms".to_owned(), channel.to_owned()];
        let addr = status_of(&mut venue);
        place.configure("2s", 0, &[&venue]);
        let recorder = place.record();
        let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
        assert!(wait_for(Duration::from_secs(60), open), "{id}: nobody came: {}", recorder.words());
        pass(Duration::from_secs(6));
        venue.sim.quiesce().unwrap();
        settled(&venue, addr);
        recorder.stop();
        let (_, log) = venue.end();
        let (told, filled) = whole(&place.dataset(), id, &log, channel);
        let gaps = lost(&place.dataset(), id, channel);
        let cut = gaps.iter().filter(|g| g.cause == "venue_disconnect").count();
        proved(
            "backfill",
            &serde_json::json!({"venue": id, "trades": told, "backfilled": filled, "gaps": gaps.len(), "by a cut": cut}),
        );
        assert!(filled > 0 && cut > 0 && gaps.len() > cut, "{id}: {filled} of {told}, {gaps:?}");
        check(&place.dataset(), id, &log, Rules { stopped_first: true, ..Rules::default() }).demand(id);
        refold(&place.dataset());
        let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
        assert_eq!(code, 0, "{id}: {words}");
    }
}

#[test]
fn trades_between_a_kill_and_the_next_start_are_recovered() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 3, 600, |_| {});
    venue.channels = vec!["depth@100ms".to_owned(), "aggTrade".to_owned()];
    let addr = status_of(&mut venue);
    place.configure("1h", 0, &[&venue]);
    let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
    for kill in [true, true, false] {
        let recorder = place.record();
        assert!(wait_for(Duration::from_secs(60), open), "nobody came: {}", recorder.words());
        pass(Duration::from_secs(2));
        if kill {
            recorder.kill();
            assert!(wait_for(Duration::from_secs(10), || !open()), "the venue did not notice");
            continue;
        }
        venue.sim.quiesce().unwrap();
        settled(&venue, addr);
        recorder.stop();
    }
    let (id, log) = venue.end();
    let (told, filled) = whole(&place.dataset(), &id, &log, "aggTrade");
    proved("backfill after kills", &serde_json::json!({"trades": told, "backfilled": filled}));
    assert!(filled > 0);
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// A venue that refuses: the gap says so, and nothing else suffers.
#[test]
fn what_the_venue_does_not_give_is_said_in_the_gap() {
    let _turn = turn();
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 2, 400, |c| {
        c.faults = vec![
            FaultSpec { every_ms: Some(400), ..FaultSpec::new(FaultKind::Drop).at(2500) },
            FaultSpec { for_ms: 600_000, ..FaultSpec::new(FaultKind::Http503).at(2000) },
        ];
    });
    venue.channels = vec!["aggTrade".to_owned(), "bookTicker".to_owned()];
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
    assert!(wait_for(Duration::from_secs(60), open), "nobody came: {}", recorder.words());
    pass(Duration::from_secs(6));
    recorder.stop();
    let (id, _) = venue.end();
    let gaps = lost(&place.dataset(), &id, "aggTrade");
    assert!(!gaps.is_empty() && gaps.iter().all(|g| g.recovered_by == "frame"), "{gaps:?}");
    let filled = rows(&place.dataset(), &id, true).values().flatten().filter(|r| r.1.4).count();
    assert_eq!(filled, 0);
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// Ids that skip: what the venue's latest trades hold above the last id before a cut is told once, whether the stream goes
/// on before the answer or after it.
#[test]
fn trades_whose_ids_skip_are_recovered_from_the_venue_s_latest() {
    let _turn = turn();
    let id = "ascendex-spot";
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), id, 2, 300, |c| {
        c.duration_ms = Some(600_000);
        for (n, how) in [CutHow::Fin, CutHow::Close, CutHow::Fin].into_iter().enumerate() {
            let at = 2000 + 2500 * n as u64;
            c.faults.push(FaultSpec { how, ..FaultSpec::new(FaultKind::Cut).at(at) });
        }
    });
    venue.channels = vec!["depth".to_owned(), "trades".to_owned()];
    let addr = status_of(&mut venue);
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
    assert!(wait_for(Duration::from_secs(60), open), "nobody came: {}", recorder.words());
    pass(Duration::from_secs(8));
    // A venue that was left three times in a row is not come back to at once.
    assert!(wait_for(Duration::from_secs(60), open), "nobody came back: {}", recorder.words());
    pass(Duration::from_secs(2));
    settled(&venue, addr);
    recorder.stop();
    let (_, log) = venue.end();
    let root = place.dataset();
    let told = rows(&root, id, false);
    let mut filled = 0;
    for l in log.iter().filter(|l| l.k == "rest" && l.path.contains("/trades?")) {
        let body: serde_json::Value = serde_json::from_str(l.payload.as_deref().unwrap()).unwrap();
        let symbol = body["data"]["symbol"].as_str().unwrap();
        let rows = &told[&format!("{id}:{symbol}")];
        let first = *rows.keys().next().unwrap();
        for t in body["data"]["data"].as_array().unwrap() {
            let seqnum = t["seqnum"].as_i64().unwrap();
            if seqnum < first {
                continue;
            }
            let row =
                rows.get(&seqnum).unwrap_or_else(|| panic!("{symbol}: {seqnum} was answered and has no row"));
            let number = |k: &str| t[k].as_str().unwrap().parse::<f64>().unwrap();
            let side = if t["bm"].as_bool().unwrap() { -1 } else { 1 };
            let due = (number("p"), number("q"), side, t["ts"].as_i64().unwrap() * 1_000_000);
            assert_eq!((row.0, row.1, row.2, row.3), due, "{symbol}: {seqnum}");
        }
        filled += rows.values().filter(|r| r.4).count();
    }
    assert!(filled > 0, "nothing was recovered: {:?}", tape::gaps(&root, id));
    let by: Vec<Gap> = tape::gaps(&root, id);
    assert!(by.iter().any(|g| g.recovered_by == "backfill" && g.stream.starts_with("trades:")), "{by:?}");
    refold(&root);
    let (code, words) = lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// A venue whose answers have no ids: each value stands as often in the rows as in the answer.
#[test]
fn deals_without_ids_are_recovered_by_their_values() {
    let _turn = turn();
    let id = "pumpkin-perp";
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), id, 1, 40, |c| {
        c.duration_ms = Some(600_000);
        for (n, how) in [CutHow::Fin, CutHow::Close, CutHow::Fin].into_iter().enumerate() {
            let at = 2000 + 2500 * n as u64;
            c.faults.push(FaultSpec { how, ..FaultSpec::new(FaultKind::Cut).at(at) });
        }
    });
    venue.channels = vec!["depth,10".to_owned(), "trade".to_owned()];
    let addr = status_of(&mut venue);
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
    assert!(wait_for(Duration::from_secs(60), open), "nobody came: {}", recorder.words());
    pass(Duration::from_secs(9));
    // A venue that was left three times in a row is not come back to at once.
    assert!(wait_for(Duration::from_secs(60), open), "nobody came back: {}", recorder.words());
    pass(Duration::from_secs(2));
    settled(&venue, addr);
    recorder.stop();
    let (_, log) = venue.end();
    let root = place.dataset();
    type Value = (i64, u64, u64, i32);
    let (mut told, mut filled): (BTreeMap<Value, usize>, usize) = (BTreeMap::new(), 0);
    tape::batches(&root, Table::Trades, id, |b| {
        let (ts, flag, side) = (b.i64("ts_event").unwrap(), b.i32("flags").unwrap(), b.i32("side").unwrap());
        let (price, size) = (b.f64("price").unwrap(), b.f64("size").unwrap());
        for i in 0..b.rows() {
            let key = (ts[i], price.value(i).to_bits(), size.value(i).to_bits(), side[i]);
            *told.entry(key).or_default() += 1;
            filled += usize::from(flag[i] & flags::BACKFILLED != 0);
        }
    });
    let (first, last) = (told.keys().next().unwrap().0, told.keys().last().unwrap().0);
    let mut judged = 0;
    for l in log.iter().filter(|l| l.k == "rest" && l.path.contains("/q/deal?")) {
        let body: serde_json::Value = serde_json::from_str(l.payload.as_deref().unwrap()).unwrap();
        let mut due: BTreeMap<Value, usize> = BTreeMap::new();
        for d in body["data"].as_array().unwrap() {
            let number = |k: &str| d[k].as_str().unwrap().parse::<f64>().unwrap().to_bits();
            let side = if d["m"] == "ASK" { -1 } else { 1 };
            let at = d["t"].as_i64().unwrap() * 1_000_000;
            *due.entry((at, number("p"), number("a"), side)).or_default() += 1;
        }
        // The oldest ms may be cut in the middle, and what is before the first row was never ours.
        let Some(oldest) = due.keys().next().map(|k| k.0) else { continue };
        for (key, n) in due.iter().filter(|(k, _)| k.0 > oldest && k.0 > first && k.0 < last) {
            assert_eq!(told.get(key), Some(n), "{key:?}");
            judged += 1;
        }
    }
    proved("deals", &serde_json::json!({"values": told.len(), "judged": judged, "backfilled": filled}));
    assert!(judged > 0, "no answer was judged: {:?}", tape::gaps(&root, id));
    refold(&root);
    let (code, words) = lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}
