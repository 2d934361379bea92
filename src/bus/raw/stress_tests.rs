//! The ring between two threads at full speed, on the same core and on two, at equal priority and not: nothing is lost,
//! doubled, torn or out of order, and nobody waits for ever. Short in each run of the tests; `LOBTAPE_PROVE_ITEMS` makes it
//! long, on a release build.

use std::io::Write as _;
use std::time::Instant;

use super::tests::{record, ring};
use crate::model::Record;
use crate::sys::thread;

/// Who runs where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Free,
    /// Both on one core: each must give way for the other to go on.
    OneCore,
    TwoCores,
    /// The producer above everybody else, as a busy reader thread may be.
    Fifo,
}

impl Way {
    /// Places a thread. False: this machine does not allow it.
    fn place(self, producer: bool) -> bool {
        let cpus = thread::allowed_cpus().unwrap_or_default();
        let of = |n: usize| cpus.get(n).is_some_and(|c| thread::pin_to_cpu(*c).is_ok());
        match self {
            Way::Free => true,
            Way::OneCore => of(0),
            Way::TwoCores => of(usize::from(producer)),
            Way::Fifo => of(usize::from(producer)) && (!producer || thread::set_fifo_priority(1).is_ok()),
        }
    }
}

/// Sends numbers 0 to n − 1 through a ring; the sum and count that came out. `None`: not allowed here.
fn through(way: Way, n: i64) -> Option<(i64, u64)> {
    let (_dir, _path, mut p, mut c) = ring(1 << 20);
    std::thread::scope(|s| {
        let sends = s.spawn(move || {
            if !way.place(true) {
                // The other end must not wait for what never comes.
                let stop = u64::MAX.to_le_bytes();
                while p.push(&record(0, &stop)).is_err() {
                    std::thread::yield_now();
                }
                return false;
            }
            for seq in 0..n {
                let word = (seq as u64).to_le_bytes();
                while p.push(&record(seq, &word)).is_err() {
                    std::thread::yield_now();
                }
            }
            true
        });
        let takes = s.spawn(move || {
            let here = way.place(false);
            let (mut count, mut sum) = (0i64, 0u64);
            while count < n {
                let Some(b) = c.next_record() else {
                    std::thread::yield_now();
                    continue;
                };
                let r = Record::decode(b).unwrap();
                let word = u64::from_le_bytes(r.payload.try_into().unwrap());
                if word == u64::MAX {
                    return None;
                }
                assert_eq!((r.lane_seq, word), (count, count as u64));
                (count, sum) = (count + 1, sum.wrapping_add(word));
                let at = c.position();
                c.mark_dur(at);
            }
            assert_eq!(c.damaged(), 0);
            here.then_some((count, sum))
        });
        let sent = sends.join().unwrap();
        takes.join().unwrap().filter(|_| sent)
    })
}

#[test]
#[cfg_attr(miri, ignore = "millions of items, and threads that are pinned")]
fn items_by_the_million_keep_their_order_and_their_sum() {
    let n: i64 = std::env::var("LOBTAPE_PROVE_ITEMS").ok().and_then(|n| n.parse().ok()).unwrap_or(40_000);
    let due = (0..n as u64).fold(0u64, u64::wrapping_add);
    let (mut words, mut items) = (Vec::new(), 0);
    let begun = Instant::now();
    for way in [Way::Free, Way::OneCore, Way::TwoCores, Way::Fifo] {
        match through(way, n) {
            Some(got) => {
                assert_eq!(got, (n, due), "{way:?}");
                items += n;
            }
            None => words.push(format!("{way:?}")),
        }
    }
    assert!(items >= n);
    let per_s = items as f64 / begun.elapsed().as_secs_f64();
    let line = format!(
        "PROVED stress {{\"items\": {items}, \"items_per_s\": {}, \"ways_not_allowed_here\": {}}}\n",
        per_s as u64,
        words.len()
    );
    let _ = std::io::stderr().write_all(line.as_bytes());
}
