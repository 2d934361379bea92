//! What rests on ids that prove nothing says so, in every table.

use super::*;
use crate::model::RunStop;

const UNVERIFIED: i32 = flags::UNVERIFIED_SEQ;

impl Lane {
    /// An interval's boundary, now.
    fn boundary(&mut self) {
        self.ts += 1_000_000;
        let payload = self.clock.boundary_payload(self.ts);
        let rec = self.clock.boundary_record(self.ts, 0, &payload);
        self.fold.step(&rec, &mut self.seen);
    }

    /// Messages of the book whose flags are such.
    fn deltas(&self, are: impl Fn(i32) -> bool) -> usize {
        let flags =
            self.seen.rows.iter().filter_map(|r| r.strip_prefix("delta ")?.rsplit(' ').next()?.parse().ok());
        flags.filter(|f| are(*f)).count()
    }

    fn stop(&mut self) {
        let stop = RunStop { run_id: "r".into(), ts_stop: self.ts, exit: "clean".into() };
        self.push(Kind::Stop, 0, "", &to_payload(&stop), 0);
    }
}

/// A view that nothing follows yet, and all that is made of it.
#[test]
fn while_ids_are_learned_tops_carried_rows_and_coverage_say_that_nothing_is_proven() {
    let mut l = Lane::new(IdPolicy::Learn);
    l.whole(1000, r#"["100","1"]"#, r#"["101","1"]"#);
    l.whole(1010, r#"["100","2"]"#, r#"["101","1"]"#);
    l.boundary();
    l.whole(1020, r#"["100","3"]"#, r#"["101","1"]"#);
    l.boundary();
    l.stop();
    let without = |f: &&i32| **f & UNVERIFIED == 0;
    assert_eq!((l.seen.tops.len(), l.seen.tops.iter().filter(without).count()), (3, 0));
    assert_eq!(l.deltas(|f| f & flags::CLEAR == 0 && f & UNVERIFIED == 0), 0, "{:?}", l.seen.rows);
    assert_eq!(l.seen.proofs, ["heartbeat"; 3]);
}

/// A change behind a hole, one that touches it, and a view that heals both.
#[test]
fn what_rests_on_a_hole_of_sparse_ids_says_so_until_the_next_view() {
    let mut l = Lane::new(IdPolicy::Sparse);
    l.whole(1000, r#"["100","1"]"#, r#"["101","1"]"#);
    l.update(1001, 1002, r#"["99","1"]"#, "");
    l.boundary();
    l.update(1003, 1004, r#"["99","2"]"#, "");
    // Ids 1005 to 1010 may be of others, or of us.
    l.update(1011, 1012, r#"["99","3"]"#, "");
    l.update(1013, 1014, r#"["99","4"]"#, "");
    l.boundary();
    l.update(1015, 1016, r#"["99","5"]"#, "");
    l.boundary();
    l.whole(1020, r#"["100","3"]"#, r#"["101","1"]"#);
    l.update(1021, 1022, r#"["99","6"]"#, "");
    l.boundary();
    l.update(1023, 1024, r#"["99","7"]"#, "");
    l.stop();
    let is_carried = |f: i32| f & flags::CARRIED != 0;
    // Carried before 1003, 1015 and 1023.
    assert_eq!(l.deltas(is_carried), 3, "{:?}", l.seen.rows);
    assert_eq!(l.deltas(|f| is_carried(f) && f & UNVERIFIED != 0), 1, "{:?}", l.seen.rows);
    // 1012, 1014, 1016.
    assert_eq!(l.deltas(|f| !is_carried(f) && f & UNVERIFIED != 0), 3, "{:?}", l.seen.rows);
    assert_eq!(l.seen.tops.iter().filter(|f| **f & UNVERIFIED != 0).count(), 3, "{:?}", l.seen.tops);
    assert_eq!(l.seen.proofs, ["ids", "heartbeat", "heartbeat", "heartbeat", "ids"]);
}

/// Ids that turned out to prove: what was learned from is believed, what comes after it is proven, also where the run stops.
#[test]
fn ids_that_were_learned_prove_from_the_next_stretch_on() {
    let mut l = Lane::new(IdPolicy::Learn);
    l.whole(1000, r#"["5","1"]"#, r#"["6","1"]"#);
    for n in 1001..=1060 {
        l.update(n, n, r#"["4","1"]"#, "");
    }
    l.boundary();
    l.update(1061, 1061, r#"["4","2"]"#, "");
    l.stop();
    assert_eq!(l.seen.proofs, ["heartbeat", "ids"], "{:?}", l.seen.rows);
    assert_eq!(l.deltas(|f| f & flags::CARRIED != 0 && f & UNVERIFIED != 0), 0);
}
