//! The journal against the simplest model there is: a count of records, of which so many are in the kernel and so many on
//! the disk. Kills keep what the kernel had, power cuts only what the disk had; in between anything may have reached it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use proptest::prelude::*;

use super::segment::segment_name;
use super::tests::{Seen, bytes, options, read_upto, scratch};
use super::*;

#[derive(Clone, Debug)]
enum Op {
    Append(usize),
    Commit,
    Sync,
    StartSync,
    Close,
    Kill,
    PowerCut(u64),
    FailedSync,
    Reclaim,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (0usize..3_000).prop_map(Op::Append),
        3 => (3_000usize..70_000).prop_map(Op::Append),
        4 => Just(Op::Commit),
        3 => Just(Op::Sync),
        2 => Just(Op::StartSync),
        1 => Just(Op::Close),
        1 => Just(Op::Kill),
        2 => any::<u64>().prop_map(Op::PowerCut),
        1 => Just(Op::FailedSync),
        1 => Just(Op::Reclaim),
    ]
}

/// What a disk may do to sectors that were not synced: keep them, lose them, half write them, fill them with garbage.
pub(crate) fn tear(dir: &Path, durable: Position, seed: u64) {
    let Ok(file) = File::options().read(true).write(true).open(dir.join(segment_name(durable.segment)))
    else {
        return;
    };
    let len = file.metadata().unwrap().len();
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut at = durable.offset;
    while at < len {
        let next = ((at / 512 + 1) * 512).min(len);
        let mut sector = vec![0; (next - at) as usize];
        match rng.u8(..6) {
            0..3 => {}
            3 => file.write_all_at(&sector, at).unwrap(),
            4 => file.write_all_at(&sector[..sector.len() / 2], at).unwrap(),
            _ => {
                rng.fill(&mut sector);
                file.write_all_at(&sector, at).unwrap();
            }
        }
        // Mostly all that is behind stays as it was: the interesting part is near the tail.
        at = if rng.u8(..4) == 0 { next + rng.u64(..65_536) / 512 * 512 } else { next };
    }
}

struct World {
    dir: tempfile::TempDir,
    w: Option<JournalWriter>,
    salt: u64,
    /// Records before this were gone when it was looked last; records before `may_go` may be.
    first: i64,
    may_go: i64,
    appended: i64,
    committed: i64,
    durable: i64,
    /// What the sync under way covers.
    covered: i64,
}

impl World {
    fn options(&mut self) -> Options {
        self.salt += 1;
        Options { salt_seed: Some(self.salt), ..options() }
    }

    fn writer(&mut self) -> &mut JournalWriter {
        self.w.as_mut().unwrap()
    }

    /// Opens again; between `least` and all that was appended must be there, without a hole.
    fn reopen(&mut self, least: i64) {
        let o = self.options();
        let w = JournalWriter::open(self.dir.path(), o).unwrap();
        let n = w.lane(1).map_or(0, |l| l.last_seq + 1);
        assert!((least..=self.appended).contains(&n), "{least} <= {n} <= {}", self.appended);
        assert_eq!(w.corrupt_found(), 0);
        (self.appended, self.committed, self.durable, self.covered) = (n, n, n, n);
        self.w = Some(w);
        self.check();
    }

    fn check(&mut self) {
        let w = self.writer();
        let end = w.commit().unwrap();
        let dirs = w.dirs().clone();
        self.committed = self.appended;
        let (seen, stats) = read_upto(&dirs, end);
        let from = match seen.first() {
            Some(Seen::Record(1, s)) => *s,
            Some(other) => panic!("{other:?}"),
            None => self.appended,
        };
        assert!((self.first..=self.may_go).contains(&from) || from == self.first, "{from}");
        self.first = from;
        assert_eq!(seen, (from..self.appended).map(|s| Seen::Record(1, s)).collect::<Vec<_>>());
        assert_eq!((stats.corrupt, stats.chain_breaks.len()), (0, 0));
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Append(len) => {
                let b = bytes(1, self.appended, len);
                self.writer().append_encoded(&b).unwrap();
                self.appended += 1;
            }
            Op::Commit => {
                self.writer().commit().unwrap();
                self.committed = self.appended;
            }
            Op::Sync => {
                self.writer().sync().unwrap();
                (self.committed, self.durable) = (self.appended, self.appended);
            }
            Op::StartSync => {
                self.writer().poll_sync().unwrap();
                let idle = !self.writer().syncing_now();
                if idle {
                    self.durable = self.durable.max(self.covered);
                    self.writer().start_sync().unwrap();
                    (self.covered, self.committed) = (self.appended, self.appended);
                }
            }
            Op::Close => {
                self.w.take().unwrap().close().unwrap();
                self.reopen(self.appended);
            }
            Op::Kill => {
                self.w = None;
                self.reopen(self.committed);
            }
            Op::PowerCut(seed) => {
                let durable = self.writer().durable();
                let known = self.writer().lanes_durable().first().map_or(0, |l| l.last_seq + 1);
                assert!(known >= self.durable);
                self.w = None;
                tear(self.dir.path(), durable, seed);
                self.reopen(known);
            }
            Op::FailedSync => {
                // The tail is appended again, as the pump does it from the rings.
                let w = self.writer();
                w.wait_sync().unwrap();
                let safe = w.lanes_durable().first().map_or(0, |l| l.last_seq + 1);
                w.abandon_segment().unwrap();
                for seq in safe..self.appended {
                    let b = bytes(1, seq, 40);
                    self.writer().append_encoded(&b).unwrap();
                }
                self.check();
            }
            Op::Reclaim => {
                let w = self.writer();
                let keep = w.durable();
                self.may_go = w.lanes_durable().first().map_or(0, |l| l.last_seq + 1);
                self.writer().reclaim(keep).unwrap();
                self.check();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_journal_keeps_what_it_has_promised(ops in proptest::collection::vec(op(), 1..120)) {
        let mut world = World {
            dir: scratch(), w: None, salt: 0, first: 0, may_go: 0, appended: 0, committed: 0, durable: 0, covered: 0,
        };
        world.reopen(0);
        for op in &ops {
            world.apply(op);
        }
        world.check();
    }
}
