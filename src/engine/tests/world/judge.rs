//! What must be true of a dataset in the end, whatever was done to its recorder. Nothing here is told by the recorder: the
//! ledger is the world's, the oracle the venue's, and `verify` believes files only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::ledger::Ledger;
use super::plan::{Act, Plan};
use crate::dataset::{Dataset, raw};
use crate::model::{ConnId, Kind};
use crate::simulator::FaultKind;
use crate::simulator::oracle::Line;
use crate::sink::Converter;
use crate::verify::{self, Options};

#[path = "../../../../tests/e2e/oracle_check.rs"]
#[allow(dead_code, reason = "the figures are for people")]
mod oracle_check;
#[path = "../../../../tests/e2e/rows_check.rs"]
mod rows_check;
#[path = "../../../../tests/e2e/tape.rs"]
#[allow(dead_code, reason = "the end-to-end proofs use more of it")]
mod tape;

use oracle_check::Rules;

/// What the files hold, and what is wrong with them.
pub struct Judged {
    pub faults: Vec<String>,
    /// Published files and their hashes.
    pub files: BTreeMap<String, String>,
    pub holes: usize,
    pub gap_rows: usize,
    /// Gaps beside the first sync and our own ends.
    pub told: Vec<String>,
}

pub fn judge(root: &Path, plan: &Plan, ledger: &Ledger, log: &[Line]) -> Judged {
    let mut faults = Vec::new();
    faults.extend(verified(root));
    faults.extend(in_raw_once(root, plan, ledger));
    let rules = Rules {
        killed: plan.dies(),
        stopped_first: true,
        replaced: plan.rotate_s < 1_000,
        legs: plan.legs == 2,
        ..Rules::default()
    };
    let v = oracle_check::check(root, plan.venue, log, rules);
    // A clock that goes back tells seconds twice; `verify` knows, the oracle's judge does not.
    let goes_back = plan.has(|a| matches!(a, Act::Clock(_)));
    // Where two connections are open an event that came twice on one of them is told once; that judge wants it twice.
    let twice = plan.has(|a| matches!(a, Act::Strike(f) if f.kind == FaultKind::Duplicate));
    let once = twice && (rules.replaced || rules.legs);
    let told = v.faults.iter();
    let told = told.filter(|f| !(goes_back && f.contains(" ns ") || once && f.ends_with(" has 1 rows")));
    // What a leg that lags brings of before the snapshot, after the other leg has proven it, is in the snapshot; and by a clock
    // that was set back one cannot tell what came while the book was not proven.
    let lags =
        |f: &&String| (plan.legs == 2 || goes_back) && f.contains("@depth") && f.ends_with(" has 0 rows");
    let told = told.filter(|f| !lags(f));
    faults.extend(told.map(|f| format!("oracle: {f}")));
    let files = files(root);
    faults.extend(folded_again(root, &files));
    let own = ["initial_sync", "operator", "process_crash", "power_loss"];
    let gaps = tape::gaps(root, plan.venue).into_iter().filter(|g| !own.contains(&g.cause.as_str()));
    let told = gaps.map(|g| format!("{} {} {}..{}", g.stream, g.cause, g.begin, g.end)).collect();
    Judged { faults, files, holes: v.figures.holes, gap_rows: v.figures.gap_rows, told }
}

fn files(root: &Path) -> BTreeMap<String, String> {
    let manifest = Dataset::open(root).unwrap().manifest().unwrap();
    manifest.parts().map(|p| (p.path.clone(), p.sha256.clone())).collect()
}

fn verified(root: &Path) -> Vec<String> {
    let ds = Dataset::open(root).unwrap();
    let report = verify::verify(&ds, &Options::default(), &mut |_, _, _| {}).unwrap();
    report
        .findings()
        .map(|(c, f)| format!("verify {}: {} {}: {}", c.as_str(), f.file, f.row, f.what))
        .collect()
}

/// Every frame that reached the ring and was not lost with the power is in `raw`, once, as it was.
fn in_raw_once(root: &Path, plan: &Plan, ledger: &Ledger) -> Vec<String> {
    let mut faults = Vec::new();
    let ds = Dataset::open(root).unwrap();
    let mut seen: BTreeSet<(ConnId, i64)> = BTreeSet::new();
    for lane in 1..=plan.lanes {
        let mut want = ledger.lane(lane).iter();
        let mut tapes = raw::lanes(&ds, "0000-00-00", "9999-99-99").unwrap();
        let Some(tape) = tapes.iter_mut().find(|l| l.lane() == lane) else {
            faults.push(format!("raw: nothing of lane {lane}"));
            continue;
        };
        while let Some((rec, _)) = tape.next().unwrap() {
            if rec.kind != Kind::Frame {
                continue;
            }
            let is = (rec.lane_seq, rec.conn, rec.rseq, crc32fast::hash(rec.payload));
            let due = want.next().map(|w| (w.lane_seq, w.conn, w.rseq, w.crc));
            if due != Some(is) {
                faults.push(format!("raw: lane {lane} has {is:?} where {due:?} is due"));
                break;
            }
            if !seen.insert((rec.conn, rec.rseq)) {
                faults.push(format!("raw: frame {} of {} twice", rec.rseq, rec.conn));
            }
        }
        if let Some(w) = want.next() {
            faults.push(format!("raw: lane {lane} lacks frame {w:?}"));
        }
    }
    faults
}

/// `raw` through a new converter gives the same files, byte for byte.
fn folded_again(root: &Path, was: &BTreeMap<String, String>) -> Vec<String> {
    let dir = super::scratch();
    let (from, to) = (Dataset::open(root).unwrap(), Dataset::create(dir.path()).unwrap());
    let mut converter = Converter::new();
    for mut lane in raw::lanes(&from, "0000-00-00", "9999-99-99").unwrap() {
        while let Some((rec, _)) = lane.next().unwrap() {
            converter.feed(&to, &rec).unwrap();
        }
    }
    drop(to);
    let is = files(dir.path());
    let differs = |p: &&String| was.get(*p) != is.get(*p);
    let all: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    all.into_iter().filter(differs).map(|p| format!("refold: {p} is not the same")).collect()
}
