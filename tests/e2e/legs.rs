//! Two connections of the same streams: what one of them loses the other one brings, and the end of one is no gap.

use std::time::Duration;

use lobtape::dataset::Table;
use lobtape::model::flags;
use lobtape::simulator::{CutHow, FaultKind, FaultSpec};

use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{Place, Venue, lobtape, number, proved, turn, wait_for};
use super::tape::{self, Gap, Tape};

/// Gaps beside the first sync and the end of the venue.
fn untold(place: &Place, id: &str) -> Vec<Gap> {
    let tape = Tape::load(&place.dataset());
    let last = tape.conns.values().filter(|c| c.venue == id).filter_map(|c| c.frames.last());
    let end = last.map(|f| f.ts_recv).max().unwrap_or(i64::MAX);
    let mut gaps = tape::gaps(&place.dataset(), id);
    gaps.retain(|g| g.cause != "initial_sync" && g.begin < end);
    gaps
}

/// Rows of a venue's table, and those of them that the second leg brought.
fn rows(place: &Place, table: Table, id: &str) -> (usize, usize) {
    let (mut all, mut second) = (0, 0);
    tape::batches(&place.dataset(), table, id, |b| {
        all += b.rows();
        second += b.i32("flags").unwrap().iter().filter(|f| **f & flags::SECOND_LEG != 0).count();
    });
    (all, second)
}

/// The second leg is there by then, also where the machine has other things to do.
const BOTH_MS: u64 = 4000;

/// Each leg in turn loses frames of streams with ids, at times when the other one loses none, and is cut.
fn losses(seconds: u64) -> Vec<FaultSpec> {
    let ms = seconds * 1000;
    let at = |percent: u64| BOTH_MS + ms * percent / 100;
    let drops = |conn: u64, from: u64, to: u64| {
        (from..to)
            .step_by(40)
            .map(move |at| FaultSpec { conn: Some(conn), ..FaultSpec::new(FaultKind::Drop).at(at) })
    };
    let cut = |conn: u64, at: u64, how: CutHow| FaultSpec {
        conn: Some(conn),
        how,
        ..FaultSpec::new(FaultKind::Cut).at(at)
    };
    let mut f: Vec<FaultSpec> = drops(1, at(15), at(30)).collect();
    f.extend(drops(2, at(33), at(48)));
    f.push(cut(2, at(52), CutHow::Rst));
    f.push(cut(1, at(75), CutHow::MidFrame));
    f
}

#[test]
fn what_one_leg_loses_the_other_one_brings_and_the_end_of_one_is_no_gap() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 9), number("LOBTAPE_PROVE_RATE", 600));
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 10, rate as u32, |c| {
        c.duration_ms = Some(BOTH_MS + seconds * 1000);
        c.quiet_tail_ms = seconds * 100;
        c.faults = losses(seconds);
    });
    venue.more = "legs = 2\n".to_owned();
    place.configure("3s", 0, &[&venue]);
    let recorder = place.record();
    let over = wait_for(Duration::from_millis(BOTH_MS + seconds * 1000 + 60_000), || venue.sim.is_over());
    assert!(over, "nobody came: {}", recorder.words());
    let (id, log) = venue.end();
    let words = recorder.words();
    recorder.stop();
    let mut v = check(&place.dataset(), &id, &log, Rules { legs: true, ..Rules::default() });
    for g in untold(&place, &id) {
        v.fault(format!("a gap: {g:?}"));
    }
    let dropped = v.figures.frames_dropped_by_faults;
    if v.figures.connections != 4 || dropped < 20 || v.figures.holes > 0 {
        v.fault(format!("the faults did not strike as planned: {:?}\n{words}", v.figures));
    }
    let races = rows(&place, Table::Races, &id);
    // Of what came just before the second leg was there nobody remembers when.
    if races.0 * 100 < v.figures.frames_twice * 98 || races.0 == 0 {
        v.fault(format!("{races:?} races of {} frames that came twice", v.figures.frames_twice));
    }
    for table in [Table::BookDelta, Table::Trades, Table::Bbo] {
        let (all, second) = rows(&place, table, &id);
        if second == 0 || second == all {
            v.fault(format!("{}: {second} rows of {all} by the second leg", table.name()));
        }
    }
    proved("legs", &serde_json::json!({"races": races.0, "figures": v.figures}));
    v.demand("legs");
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

#[test]
fn two_legs_that_grow_old_are_replaced_one_after_the_other_without_a_gap() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 10), number("LOBTAPE_PROVE_RATE", 400));
    let only = std::env::var("LOBTAPE_PROVE_VENUE").ok();
    for id in ["aster-futures", "aster-spot", "binance-spot", "binance-usdm", "binance-coinm"] {
        if only.as_deref().is_some_and(|o| o != id) {
            continue;
        }
        let place = Place::new();
        let mut venue = Venue::start(place.dir.path(), id, 4, rate as u32, |c| {
            c.duration_ms = Some(seconds * 1000);
        });
        venue.more = "legs = 2\nrotate_after = \"4s\"\n".to_owned();
        place.configure("1h", 0, &[&venue]);
        let recorder = place.record();
        let over = wait_for(Duration::from_secs(seconds + 60), || venue.sim.is_over());
        assert!(over, "{id}: nobody came: {}", recorder.words());
        let (_, log) = venue.end();
        recorder.stop();
        let mut v = check(&place.dataset(), id, &log, Rules { legs: true, ..Rules::default() });
        for g in untold(&place, id) {
            v.fault(format!("a gap: {g:?}"));
        }
        let retired = Tape::load(&place.dataset()).conns.values().filter(|c| c.retired).count();
        if retired < 4 {
            v.fault(format!("{retired} connections were replaced"));
        }
        proved("rotation of legs", &v.figures);
        v.demand(id);
        let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
        assert_eq!(code, 0, "{id}: {words}");
    }
}

/// Where ids may end with their connection one leg feeds the book. The other one's book goes on without a gap where its
/// own snapshot has shown that both count alike, or, where ids chain, its changes are the same ones; else it is begun anew.
#[test]
fn a_leg_that_stands_by_takes_over() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 12), number("LOBTAPE_PROVE_RATE", 1000));
    // The simulated venue's ids rise by one, and the configuration says so of Pumpkin's.
    for id in ["ascendex-spot", "pumpkin-perp"] {
        let place = Place::new();
        let mut venue = Venue::start(place.dir.path(), id, 2, rate as u32, |c| {
            c.duration_ms = Some(seconds * 1000);
            c.quiet_tail_ms = seconds * 100;
            let cut = |conn, at| FaultSpec { conn: Some(conn), ..FaultSpec::new(FaultKind::Cut).at(at) };
            c.faults = match id {
                "ascendex-spot" => vec![cut(1, seconds * 500)],
                // Whichever of both feeds a book, one cut meets it.
                _ => vec![cut(1, seconds * 400), cut(2, seconds * 700)],
            };
        });
        venue.more.push_str("legs = 2\n");
        place.configure("1h", 0, &[&venue]);
        let recorder = place.record();
        let over = wait_for(Duration::from_secs(seconds + 60), || venue.sim.is_over());
        assert!(over, "{id}: nobody came: {}", recorder.words());
        let (_, log) = venue.end();
        recorder.stop();
        let mut v = check(&place.dataset(), id, &log, Rules { legs: true, ..Rules::default() });
        for g in untold(&place, id) {
            v.fault(format!("a gap: {g:?}"));
        }
        let (all, second) = rows(&place, Table::BookDelta, id);
        if second == 0 || second == all {
            v.fault(format!("{second} rows of {all} by the second leg"));
        }
        proved("standby", &v.figures);
        v.demand(id);
        refold(&place.dataset());
        let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
        assert_eq!(code, 0, "{id}: {words}");
    }
}
