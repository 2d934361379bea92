//! What is given up, and in which order, when the disk runs full; and the reserve that is let go then.
//!
//! ```text
//! rung  free space below           not recorded any more
//! 1     15 %, at most 16 GiB       nothing: it is said
//! 2     5 %, at most 4 GiB         books of the later half of the symbols
//! 3     1 %, at most 1 GiB         all books; the reserve is let go
//! 4     3/4 of the reserve         quotes, marks, candles, statistics
//! 5     1/2 of the reserve         trades: nothing is recorded
//! ```
//!
//! The other half of the reserve is for what must be written all the same. Space that the reserve gave does not count as
//! free, or the ladder would go down as soon as it had gone up. Each rung is left when a quarter more than its mark is free.

use std::io;
use std::path::{Path, PathBuf};

use crate::journal::Ballast;
use crate::model::{StreamKind, StreamSpec};
use crate::sys::disk::{Space, space};

const GIB: u64 = 1 << 30;
/// Looks, about a second apart, at which a lower rung must have been enough before it is gone down to.
const CALM: u32 = 2;
/// The reserve is at most this share of the disk.
const RESERVE_SHARE: u64 = 8;

/// How much is given up: 0 nothing, 5 everything. See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rung(pub u8);

impl Rung {
    /// The first one at which streams are given up.
    pub const FIRST: Rung = Rung(2);
    /// The reserve is let go from here on.
    const RESERVE: Rung = Rung(3);

    /// Whether a stream is recorded. `later`: its symbol stands in the later half of the venue's symbols.
    pub fn records(self, s: &StreamSpec, later: bool) -> bool {
        let least = match s.kind {
            StreamKind::DepthDiff | StreamKind::DepthPartial if later => 2,
            StreamKind::DepthDiff | StreamKind::DepthPartial => 3,
            StreamKind::Trade | StreamKind::TradeSparse | StreamKind::AggTrade | StreamKind::Liquidation => 5,
            _ => 4,
        };
        self.0 < least
    }

    /// What is not recorded, for people; `None`: all is.
    pub fn words(self) -> Option<&'static str> {
        match self.0 {
            0 | 1 => None,
            2 => Some("books of the later half of the symbols"),
            3 => Some("books"),
            4 => Some("all but trades"),
            _ => Some("anything"),
        }
    }
}

/// The mark of a rung, bytes; free space below it needs that rung.
fn mark(rung: u8, total: u64, reserve: u64) -> i128 {
    let share = |percent: u64, most: u64| i128::from((total / 100 * percent).min(most));
    match rung {
        1 => share(15, 16 * GIB),
        2 => share(5, 4 * GIB),
        3 => share(1, GIB),
        4 => -i128::from(reserve / 4),
        _ => -i128::from(reserve / 2),
    }
}

/// The rung that so much room needs, from `now`: up at once, down only where a quarter more is free.
fn needed(now: Rung, room: i128, total: u64, reserve: u64) -> Rung {
    let more = mark(3, total, reserve) / 4;
    let asks = |r: u8| {
        let mark = mark(r, total, reserve);
        let least = if r <= now.0 { mark + (mark / 4).max(more) } else { mark };
        room < least
    };
    Rung((1..=5).rev().find(|r| asks(*r)).unwrap_or(0))
}

/// The ladder of one dataset's disk.
pub struct Ladder {
    root: PathBuf,
    ballast: Ballast,
    rung: Rung,
    calm: u32,
}

/// What a look at the disk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The rung from now on.
    pub rung: Rung,
    /// It is another one than before.
    pub is_new: bool,
    /// The reserve's bytes.
    pub reserve: u64,
    /// Bytes that old files should give back before anything is given up.
    pub lacks: u64,
}

impl Ladder {
    /// For the dataset at `root`, whose journal is in `journal`. `reserve`: bytes that are held back.
    ///
    /// # Errors
    /// The disk cannot be asked.
    pub fn new(root: &Path, journal: &Path, reserve: u64) -> io::Result<Ladder> {
        let total = space(root)?.total;
        let ballast = Ballast::find(journal, reserve.min(total / RESERVE_SHARE));
        Ok(Ladder { root: root.to_owned(), ballast, rung: Rung::default(), calm: 0 })
    }

    /// The rung in force.
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// Looks at the disk. `refused`: the journal could not be written, whatever the disk says. `may_fall`: what was given
    /// up may come back now.
    ///
    /// # Errors
    /// The disk cannot be asked, or the reserve cannot be let go; the rung stays.
    pub fn look(&mut self, refused: bool, may_fall: bool) -> io::Result<Look> {
        let s = space(&self.root)?;
        self.step(&s, refused, may_fall)
    }

    fn step(&mut self, s: &Space, refused: bool, may_fall: bool) -> io::Result<Look> {
        let size = self.ballast.size();
        let room = i128::from(s.available) - i128::from(self.ballast.spent());
        let needed = needed(self.rung, room, s.total, size);
        let before = self.rung;
        if needed >= self.rung {
            (self.rung, self.calm) = (needed, 0);
        } else {
            self.calm += 1;
            if self.calm >= CALM && may_fall {
                (self.rung, self.calm) = (needed, 0);
            }
        }
        if refused || self.rung >= Rung::RESERVE {
            self.ballast.release()?;
        } else if self.ballast.spent() > 0 && room > mark(2, s.total, size) {
            // With it gone the disk is still above the mark, so this frees nothing soon after. Without room it stays away.
            let _ = self.ballast.take();
        }
        // Old files go before anything new is given up: from a quarter above the first mark at which something is.
        let target = mark(2, s.total, size) * 5 / 4;
        Ok(Look {
            rung: self.rung,
            is_new: self.rung != before,
            reserve: self.ballast.held(),
            lacks: u64::try_from(target - room).unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn at(available: u64, total: u64) -> Space {
        Space { total, available, inodes_free: 0, inodes_total: 0 }
    }

    fn ladder(reserve: u64) -> (tempfile::TempDir, Ladder) {
        let dir = tempfile::tempdir().unwrap();
        let ballast = Ballast::find(dir.path(), reserve);
        (dir, Ladder { root: PathBuf::new(), ballast, rung: Rung::default(), calm: 0 })
    }

    #[test]
    fn a_disk_that_fills_climbs_each_rung_and_comes_down_when_a_quarter_more_is_free() {
        let (_dir, mut l) = ladder(8 * MIB);
        let total = 1000 * MIB;
        let mut rung = |free: i64| {
            // What is free is seen with the reserve's blocks in use or not.
            let free = free.unsigned_abs() * MIB;
            l.step(&at(free, total), false, true).unwrap().rung.0
        };
        assert_eq!(rung(400), 0);
        assert_eq!(rung(149), 1);
        assert_eq!(rung(49), 2);
        assert_eq!(rung(9), 3);
        // The reserve is let go: 8 MiB more are free, of which a quarter may be used.
        assert_eq!(rung(17), 3);
        assert_eq!(rung(7), 3);
        assert_eq!(rung(5), 4);
        assert_eq!(rung(3), 5);
        assert_eq!(rung(0), 5);
        // Two looks in a row must say so.
        assert_eq!((rung(400), rung(400)), (5, 0));
        assert_eq!(rung(49), 2);
        assert_eq!((rung(55), rung(55)), (2, 2), "not a quarter more");
        assert_eq!((rung(70), rung(70)), (2, 1));
    }

    #[test]
    fn the_reserve_goes_when_the_journal_is_refused_and_comes_back_with_room() {
        let (_dir, mut l) = ladder(4 * MIB);
        let total = 1000 * MIB;
        assert_eq!(l.step(&at(500 * MIB, total), false, true).unwrap().reserve, 4 * MIB);
        assert_eq!(l.step(&at(500 * MIB, total), true, true).unwrap().reserve, 0);
        assert_eq!(l.step(&at(50 * MIB, total), false, true).unwrap().reserve, 0, "not into the last");
        assert_eq!(l.step(&at(500 * MIB, total), false, true).unwrap().reserve, 4 * MIB);
    }

    #[test]
    fn what_was_given_up_stays_so_while_it_may_not_come_back() {
        let (_dir, mut l) = ladder(4 * MIB);
        let total = 1000 * MIB;
        let mut look = |free: u64, may| l.step(&at(free * MIB, total), false, may).unwrap();
        assert!(look(40, true).is_new);
        assert!((0..5).all(|_| look(900, false).rung == Rung(2)));
        let l = look(900, true);
        assert_eq!((l.rung, l.is_new, l.lacks), (Rung(0), true, 0));
        assert!(look(55, true).lacks > 0, "old files go before books do");
    }

    #[test]
    fn large_disks_do_not_give_up_anything_while_gigabytes_are_free() {
        let total = 4000 * GIB;
        assert_eq!(needed(Rung(0), i128::from(20 * GIB), total, 256 * MIB), Rung(0));
        assert_eq!(needed(Rung(0), i128::from(5 * GIB), total, 256 * MIB), Rung(1));
        assert_eq!(needed(Rung(0), i128::from(2 * GIB), total, 256 * MIB), Rung(2));
        assert_eq!(needed(Rung(0), i128::from(GIB / 2), total, 256 * MIB), Rung(3));
    }

    #[test]
    fn streams_go_in_the_order_that_is_promised_and_trades_last() {
        let spec = |kind| StreamSpec { name: String::new(), channel: String::new(), symbol: None, kind };
        let first = |kind, later: bool| {
            let s = spec(kind);
            (0..=5).find(|r| !Rung(*r).records(&s, later)).unwrap()
        };
        assert_eq!((first(StreamKind::DepthDiff, true), first(StreamKind::DepthDiff, false)), (2, 3));
        assert_eq!((first(StreamKind::DepthPartial, true), first(StreamKind::BookTicker, true)), (2, 4));
        assert_eq!((first(StreamKind::Mark, false), first(StreamKind::Kline, true)), (4, 4));
        assert_eq!((first(StreamKind::AggTrade, true), first(StreamKind::Liquidation, false)), (5, 5));
        for r in 0..=5 {
            assert_eq!(Rung(r).words().is_some(), Rung(r) >= Rung::FIRST);
        }
    }
}
