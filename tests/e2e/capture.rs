//! The plain case: one venue, twenty symbols, holes, repeats and cuts, everything of it explained.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lobtape::simulator::{FaultKind, FaultSpec};

use super::oracle_check::{Rules, check};
use super::refold::refold;
use super::rig::{Place, Venue, faults, lobtape, number, proved, turn, wait_for};

#[test]
fn what_a_venue_sent_is_recorded_once_and_what_is_missing_is_explained() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 8), number("LOBTAPE_PROVE_RATE", 1000));
    let place = Place::new();
    let venue = Venue::start(place.dir.path(), "aster-futures", 20, rate as u32, |c| {
        c.duration_ms = Some(seconds * 1000);
        c.quiet_tail_ms = (seconds * 1000 / 3).min(5000);
        c.faults = faults((seconds * 110).max(2500));
    });
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let over = wait_for(Duration::from_secs(seconds + 60), || venue.sim.is_over());
    assert!(over, "nobody came: {}", recorder.words());
    // The venue ends first, so that every frame that it handed over must be there.
    let (id, log) = venue.end();
    let summary = recorder.stop();
    let v = check(&place.dataset(), &id, &log, Rules::default());
    proved("capture", &v.figures);
    v.demand("capture");
    assert_eq!(summary["frames"].as_u64(), Some(v.figures.frames_recorded as u64));
    counted(&summary, &place.dataset(), &id);
    let few = v.figures.disconnects < 2 || v.figures.holes < 5;
    assert!(!few, "the faults did not strike: {:?}", v.figures);
    refold(&place.dataset());
    flipped_bit(&place.dataset());
}

/// Nothing but holes, so many that each stream has hundreds: the gaps name each of them, and nothing else.
#[test]
fn holes_by_the_thousand_are_found_each_and_no_other() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 6), number("LOBTAPE_PROVE_RATE", 500));
    let least = number("LOBTAPE_PROVE_HOLES", 100) as usize;
    let place = Place::new();
    let mut venue = Venue::start(place.dir.path(), "aster-futures", 10, rate as u32, |c| {
        c.duration_ms = Some(seconds * 1000);
        c.quiet_tail_ms = (seconds * 1000 / 3).min(5000);
        c.rate_channels = vec!["aggTrade".to_owned()];
        c.faults = vec![FaultSpec { probability: Some(0.08), ..FaultSpec::new(FaultKind::Drop) }];
    });
    // Only streams whose ids prove a loss: what is dropped elsewhere nobody can see.
    venue.channels.retain(|c| c.starts_with("depth") || c == "aggTrade");
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let over = wait_for(Duration::from_secs(seconds + 60), || venue.sim.is_over());
    assert!(over, "nobody came: {}", recorder.words());
    let (id, log) = venue.end();
    recorder.stop();
    let v = check(&place.dataset(), &id, &log, Rules::default());
    proved("holes", &v.figures);
    v.demand("holes");
    assert!(v.figures.holes >= least, "only {} holes", v.figures.holes);
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// Everything that a venue can do to its ids and frames, on top of holes: late, twice, counted anew, beyond 64 bits, not
/// to be read, unheard of, held back.
#[test]
fn ids_that_lie_and_frames_that_are_none_cost_nothing_else() {
    let _turn = turn();
    let (seconds, rate) = (number("LOBTAPE_PROVE_SECONDS", 8), number("LOBTAPE_PROVE_RATE", 1000));
    let place = Place::new();
    let venue = Venue::start(place.dir.path(), "aster-futures", 10, rate as u32, |c| {
        c.duration_ms = Some(seconds * 1000);
        c.quiet_tail_ms = (seconds * 1000 / 3).min(5000);
        c.faults = faults(0);
        for (n, kind) in [
            FaultKind::Reorder,
            FaultKind::ResetIds,
            FaultKind::HugeId,
            FaultKind::Garbage,
            FaultKind::UnknownEvent,
        ]
        .into_iter()
        .enumerate()
        {
            let at = 1500 + 100 * n as u64;
            c.faults.push(FaultSpec { every_ms: Some(500), ..FaultSpec::new(kind).at(at) });
        }
        for kind in [FaultKind::StaleSnapshot, FaultKind::HoleSnapshot, FaultKind::TruncatedJson] {
            c.faults.push(FaultSpec { every_ms: Some(1500), ..FaultSpec::new(kind).at(1700) });
        }
        let stall =
            FaultSpec { for_ms: 300, every_ms: Some(1100), ..FaultSpec::new(FaultKind::Stall).at(1800) };
        c.faults.push(stall);
    });
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let over = wait_for(Duration::from_secs(seconds + 60), || venue.sim.is_over());
    assert!(over, "nobody came: {}", recorder.words());
    let (id, log) = venue.end();
    let summary = recorder.stop();
    let v = check(&place.dataset(), &id, &log, Rules::default());
    proved("lies", &v.figures);
    v.demand("lies");
    counted(&summary, &place.dataset(), &id);
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// Prediction markets have whole questions for symbols: in plain letters the path has them as they are, others a hash.
#[test]
fn a_symbol_that_is_a_long_question_is_listed_recorded_and_found() {
    let _turn = turn();
    let place = Place::new();
    let plain = |len: usize| format!("{:_<w$}_1778483280_YUSDT", "WILL_IT_HAPPEN_BEFORE_", w = len - 17);
    let symbols = vec![plain(76), plain(120), format!("{}_YUSDT", "会".repeat(30)), plain(64)];
    let mut venue = Venue::start(place.dir.path(), "aster-prediction", 4, 400, |c| {
        c.symbols = lobtape::simulator::Symbols::List(symbols.clone());
        c.duration_ms = Some(5000);
        c.quiet_tail_ms = 1000;
    });
    venue.symbols.clone_from(&symbols);
    let rest = venue.sim.rest_base();
    let (code, listed) = lobtape(&["instruments", "--venue", "aster-prediction", "--rest", &rest, "--json"]);
    assert_eq!(code, 0, "{listed}");
    for s in &symbols {
        assert!(listed.contains(&format!("\"{s}\"")), "{s} is not in {listed}");
    }
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    assert!(wait_for(Duration::from_secs(60), || venue.sim.is_over()), "{}", recorder.words());
    let (id, log) = venue.end();
    recorder.stop();
    let root = place.dataset();
    check(&root, &id, &log, Rules::default()).demand("long names");
    for (s, is_plain) in symbols.iter().zip([true, true, false, true]) {
        let name = lobtape::dataset::name::encode(s);
        assert_eq!(name == *s, is_plain, "{name}");
        for table in ["trades", "book_delta"] {
            let dir = root.join(format!("v1/{table}/venue={id}/symbol={name}"));
            assert!(dir.is_dir(), "no {}", dir.display());
        }
        let of = ["--venue", &id, "--symbol", s, "--at", "9000000000000000000", "--json"];
        let (code, book) = lobtape(&[&["book", root.to_str().unwrap()], &of[..]].concat());
        assert!(code == 0 && book.contains(&format!("\"{s}\"")), "{s}: {book}");
    }
    refold(&root);
    let (code, words) = lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}

/// The recorder counted as many gaps of each cause as there are rows.
fn counted(summary: &serde_json::Value, root: &Path, id: &str) {
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for g in super::tape::gaps(root, id) {
        *rows.entry(g.cause).or_default() += 1;
    }
    let said: BTreeMap<String, u64> = serde_json::from_value(summary["gaps"].clone()).unwrap();
    assert_eq!(said, rows);
}

/// `verify` is content; after one flipped bit it is not, and says where.
fn flipped_bit(root: &Path) {
    let dir = root.to_str().unwrap();
    let (code, words) = lobtape(&["verify", dir]);
    assert_eq!(code, 0, "{words}");
    let files: Vec<_> = super::tape::files(root).into_keys().collect();
    let victim = &files[files.len() / 2];
    let path = root.join(victim);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (code, words) = lobtape(&["verify", dir]);
    assert_eq!(code, 2, "{words}");
    assert!(words.contains(victim.to_str().unwrap()), "{} is not named: {words}", victim.display());
}
