//! The truth audit: books that no id calls false are held against snapshots. A true one is never accused, a false one is
//! found, explained and begun anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use lobtape::dataset::Table;
use lobtape::simulator::oracle::Line;
use lobtape::simulator::{FaultKind, FaultSpec};

use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{Place, Venue, faults, lobtape, number, proved, turn, wait_for};
use super::tape;

/// A row of `audits`.
#[derive(Clone, Debug)]
struct Audit {
    instrument: String,
    ts_recv: i64,
    compared: i64,
    wrong: i64,
    verdict: String,
}

fn audits(root: &Path, venue: &str) -> Vec<Audit> {
    let mut all = Vec::new();
    tape::batches(root, Table::Audits, venue, |b| {
        let int = |c: &str| b.i64(c).unwrap();
        for i in 0..b.rows() {
            all.push(Audit {
                instrument: b.text("instrument").unwrap().value(i).to_owned(),
                ts_recv: int("ts_recv")[i],
                compared: int("levels_compared")[i],
                wrong: int("levels_wrong")[i],
                verdict: b.text("verdict").unwrap().value(i).to_owned(),
            });
        }
    });
    all
}

/// What a run of all venues comes to.
#[derive(Debug, Default, serde::Serialize)]
struct Figures {
    audits: BTreeMap<String, usize>,
    levels_compared: i64,
    /// Diffs that lacked a level.
    omitted: usize,
    /// From the first such diff of a book that was true before to the verdict, ms: median and greatest.
    found_within_ms: Vec<i64>,
}

/// Runs every venue with these faults and an audit of each book every second or, in long forms, every few seconds.
fn run(seconds: u64, faults: impl Fn() -> Vec<FaultSpec>) -> (Place, Vec<(String, Vec<Line>)>, String) {
    let rate = number("LOBTAPE_PROVE_RATE", 900) as u32;
    let only = std::env::var("LOBTAPE_PROVE_VENUE").ok();
    let wanted = |id: &&str| only.as_deref().is_none_or(|o| o == *id);
    let ids: Vec<&str> = lobtape::venue::all().iter().map(|v| v.spec().id).filter(wanted).collect();
    let place = Place::new();
    let venues: Vec<Venue> = ids
        .iter()
        .map(|id| {
            let mut venue = Venue::start(place.dir.path(), id, 2, rate / ids.len() as u32, |c| {
                c.duration_ms = Some(seconds * 1000);
                c.quiet_tail_ms = (seconds * 1000 / 3).max(4000);
                c.faults = faults();
            });
            // As often as the budgets of all venues bear it.
            let every = (seconds / 12).max(1);
            venue.more.push_str(&format!("audit_every = \"{every}s\"\nrest_weight_share = 1.0\n"));
            venue
        })
        .collect();
    place.configure("1h", 0, &venues.iter().collect::<Vec<_>>());
    let recorder = place.record();
    for v in &venues {
        let over = wait_for(Duration::from_secs(seconds + 60), || v.sim.is_over());
        assert!(over, "{}: nobody came: {}", v.id, recorder.words());
    }
    let logs = venues.into_iter().map(Venue::end).collect();
    let said = recorder.log();
    recorder.stop();
    (place, logs, said)
}

/// What may go wrong with frames and connections, and with snapshots too.
fn all_faults(cuts: u64) -> Vec<FaultSpec> {
    let mut all = faults(cuts);
    let kinds = [FaultKind::StaleSnapshot, FaultKind::HoleSnapshot, FaultKind::TruncatedJson];
    for (n, kind) in kinds.into_iter().enumerate() {
        all.push(FaultSpec { every_ms: Some(2000), ..FaultSpec::new(kind).at(2500 + 300 * n as u64) });
    }
    let late = FaultSpec::new(FaultKind::LateSnapshot).at(2200);
    all.push(FaultSpec { every_ms: Some(1300), for_ms: 400, ..late });
    all
}

fn count(all: &[Audit], f: &mut Figures) {
    for a in all {
        *f.audits.entry(a.verdict.clone()).or_default() += 1;
        f.levels_compared += a.compared;
    }
}

fn verified(place: &Place) {
    let (code, words) = lobtape(&["verify", "--deep", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// Holes, repeats, cuts and snapshots that are late, old or torn are no reason to accuse a book.
#[test]
fn a_true_book_is_never_called_false() {
    let _turn = turn();
    let seconds = number("LOBTAPE_PROVE_SECONDS", 9);
    for (what, cuts) in [("healthy", 0), ("faulty", (seconds * 200).max(1200))] {
        let (place, logs, said) = run(seconds, || if cuts == 0 { Vec::new() } else { all_faults(cuts) });
        let mut f = Figures::default();
        for (id, log) in &logs {
            check(&place.dataset(), id, log, Rules::default()).demand(id);
            let all = audits(&place.dataset(), id);
            count(&all, &mut f);
            for a in &all {
                assert_ne!(a.verdict, "differs", "{id}, {what}: {a:?}");
            }
            let of = |word: &str| all.iter().filter(|a| a.verdict == word).count();
            let well = of("equal") + of("equal_but_straddle");
            // Where connections are cut and the budget is small, a book may not be proven when its turn comes.
            assert!(
                cuts > 0 || well >= 4,
                "{id}, {what}: {well} of {} audits say that a book is true",
                all.len()
            );
            let vain = of("not_comparable");
            assert!(cuts > 0 || vain * 4 <= well, "{id}: {vain} audits in vain, {well} not");
        }
        assert!(!said.contains("is not what the venue has"), "{said}");
        let well: usize = ["equal", "equal_but_straddle"].iter().filter_map(|v| f.audits.get(*v)).sum();
        assert!(well > logs.len(), "{what}: {f:?}");
        proved(&format!("audits {what}"), &f);
        verified(&place);
    }
}

/// Diffs that lack a level while their ids are whole: only a snapshot shows it.
#[test]
fn a_book_that_is_false_by_no_id_is_found_and_begun_anew() {
    let _turn = turn();
    let seconds = number("LOBTAPE_PROVE_SECONDS", 12);
    let (place, logs, said) = run(seconds, || {
        vec![FaultSpec { every_ms: Some(900), ..FaultSpec::new(FaultKind::OmitLevel).at(2500) }]
    });
    let (mut f, mut found, mut differ) = (Figures::default(), Vec::new(), 0);
    let (mut judged, mut lied_about) = (0, 0);
    for (id, log) in &logs {
        check(&place.dataset(), id, log, Rules::default()).demand(id);
        let all = audits(&place.dataset(), id);
        count(&all, &mut f);
        let omits: Vec<&Line> = log.iter().filter(|l| l.k == "omit").collect();
        f.omitted += omits.len();
        let spec = lobtape::venue::by_id(id).unwrap().1.spec();
        if spec.sequence.replaces {
            // Its whole views come in the midst of its changes and heal what these left out.
            differ += all.iter().filter(|a| a.verdict == "differs").count();
            continue;
        }
        let false_ones: Vec<&Audit> = all.iter().filter(|a| a.verdict == "differs").collect();
        assert!(!omits.is_empty() && !false_ones.is_empty(), "{id}: {} omitted, none found", omits.len());
        differ += false_ones.len();
        let gaps = tape::gaps(&place.dataset(), id);
        let begun = gaps.iter().filter(|g| g.cause == "protocol_violation").count();
        assert_eq!(begun, false_ones.len(), "{id}: one gap for each book that was false");
        for a in &false_ones {
            assert!(a.wrong > 0 && a.compared >= a.wrong, "{id}: {a:?}");
            let sym = a.instrument.split_once(':').unwrap().1;
            // What was omitted before, since the book was last known to be true.
            let before = all.iter().filter(|b| b.instrument == a.instrument && b.ts_recv < a.ts_recv);
            let true_at = before.map(|b| b.ts_recv).max().unwrap_or(0);
            let of = omits.iter().filter(|l| l.sym == sym && l.at < a.ts_recv);
            assert!(of.clone().count() > 0, "{id}: {a:?}, and nothing was omitted");
            found.extend(
                of.map(|l| l.at).filter(|at| *at > true_at).min().map(|at| (a.ts_recv - at) / 1_000_000),
            );
        }
        for sym in omits.iter().map(|l| l.sym.as_str()).collect::<BTreeSet<_>>() {
            let last_lie = omits.iter().filter(|l| l.sym == sym).map(|l| l.at).max().unwrap_or(0);
            let last = all
                .iter()
                .rfind(|a| a.instrument.ends_with(&format!(":{sym}")) && a.verdict != "not_comparable");
            lied_about += 1;
            // So many books that differ may use up what the budget leaves to audits.
            let Some(last) = last.filter(|a| a.ts_recv > last_lie) else { continue };
            judged += 1;
            let begun = last.verdict == "differs";
            assert!(begun || last.verdict.starts_with("equal"), "{id} {sym}: in the end {last:?}");
        }
    }
    assert!(judged * 2 >= lied_about, "{judged} of {lied_about} books were looked at after the last lie");
    let alarms = said.matches("is not what the venue has").count();
    assert_eq!(alarms, differ, "one alarm for each");
    found.sort_unstable();
    f.found_within_ms = found.get(found.len() / 2).into_iter().chain(found.last()).copied().collect();
    proved("audits false", &f);
    refold(&place.dataset());
    verified(&place);
}
