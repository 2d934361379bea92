use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::tests::{ID, Seen, bytes, options, read_all, read_upto, scratch};
use super::*;
use crate::bus::raw::{self, RawConsumer, RawOptions, RawProducer, find_rings, ring_file_name};
use crate::model::{Kind, Record};

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(0) };
}

/// A millisecond passes with each look.
fn tick() -> i64 {
    NOW.set(NOW.get() + 1_000_000);
    NOW.get()
}

fn ring(dir: &Path, lane: u16, capacity: u64) -> (RawProducer, RawConsumer) {
    let o = RawOptions { dataset: ID, lane, capacity, last_lane_seq: -1 };
    raw::create(&dir.join(ring_file_name(ID, lane)), &o).unwrap()
}

fn push(p: &mut RawProducer, len: usize) -> bool {
    let b = bytes(p.lane(), p.next_lane_seq(), len);
    p.push(&Record::decode(&b).unwrap()).is_ok()
}

fn control(durable: bool, reply: crossbeam_channel::Sender<Appended>) -> Command {
    let b = bytes(0, 0, 10);
    let r = Record::decode(&b).unwrap();
    Command::Append(Box::new(ControlRecord {
        kind: Kind::Clock,
        flags: 0,
        status: 0,
        conn: 0,
        rseq: -1,
        ts_mono: 0,
        ts_recv: 5,
        url: String::new(),
        payload: r.payload.to_vec(),
        durable,
        reply: Some(Box::new(move |a| reply.send(a).unwrap_or(()))),
    }))
}

fn pump_options() -> PumpOptions {
    PumpOptions { clock: tick, ..PumpOptions::default() }
}

/// Records by lane, in order, each once.
fn assert_lanes(seen: &[Seen], want: &[(u16, i64)]) {
    for &(lane, n) in want {
        let got: Vec<i64> = seen
            .iter()
            .filter_map(|s| if let Seen::Record(l, q) = s { (*l == lane).then_some(*q) } else { None })
            .collect();
        assert_eq!(got, (0..n).collect::<Vec<_>>(), "lane {lane}");
    }
    assert_eq!(seen.len() as i64, want.iter().map(|w| w.1).sum::<i64>());
}

/// As `read_upto`, for lane 0's records carry a payload of another number.
fn read_lanes(dirs: &Dirs, upto: Position) -> Vec<Seen> {
    let mut r = JournalReader::new(dirs.clone(), Position::START);
    let mut out = Vec::new();
    while let Some(item) = r.read(upto).unwrap() {
        let ReadItem::Record { record, .. } = item else { panic!("{item:?}") };
        out.push(Seen::Record(record.lane, record.lane_seq));
    }
    out
}

#[test]
fn marks_follow_the_records_and_a_clean_end_leaves_no_ring() {
    let dir = scratch();
    let (tx, rx) = crossbeam_channel::bounded(16);
    let (mut p1, c1) = ring(dir.path(), 1, 1 << 16);
    let (mut p2, c2) = ring(dir.path(), 2, 1 << 16);
    let w = JournalWriter::open(dir.path(), options()).unwrap();
    let dirs = w.dirs().clone();
    let mut pump = Pump::new(w, vec![c1], rx, pump_options());
    let shared = pump.shared();
    assert!(!pump.step());
    tx.send(Command::AddLane(c2)).unwrap();
    for _ in 0..5 {
        push(&mut p1, 100);
        push(&mut p2, 100);
    }
    assert!(pump.step());
    let m = shared.marks();
    assert!(m.jrn > m.dur && m.storage == Storage::Sound && !m.finished);
    assert!(m.lanes.iter().all(|l| l.jrn == 4 && l.dur < 4));
    assert_eq!(p1.monitor().jrn(), p1.monitor().head());
    assert!(p1.fill_ratio() > 0.0, "not durable yet");
    assert_eq!(read_upto(&dirs, m.jrn).0.len(), 10);

    let (reply, replies) = crossbeam_channel::bounded(4);
    tx.send(control(false, reply.clone())).unwrap();
    pump.step();
    let first = replies.try_recv().unwrap();
    assert_eq!(first.lane_seq, 0);
    tx.send(control(true, reply)).unwrap();
    while replies.is_empty() {
        pump.step();
        std::thread::yield_now();
    }
    let second = replies.try_recv().unwrap();
    assert!(second.lane_seq == 1 && second.at > first.at && shared.marks().dur > second.at);
    assert_eq!(p1.fill_ratio(), 0.0);
    assert!(shared.marks().lanes.iter().all(|l| l.dur == l.jrn));
    assert_eq!((shared.records(), shared.failures()), (10, 0));
    assert!(shared.take_sync_ns().is_some_and(|h| !h.is_empty()));
    let hops = shared.take_journaled_ns();
    assert_eq!(hops.iter().map(|(l, h)| (*l, h.len())).collect::<Vec<_>>(), [(1, 5), (2, 5)]);

    push(&mut p2, 7);
    drop((p1, p2));
    assert_eq!(find_rings(dir.path(), ID).len(), 2);
    let end = pump.finish().unwrap();
    assert!(shared.marks().finished && shared.marks().dur == end);
    assert_eq!(find_rings(dir.path(), ID).len(), 0);
    assert_lanes(&read_lanes(&dirs, end), &[(0, 2), (1, 5), (2, 6)]);
    assert!(JournalReader::find_tail(&dirs).unwrap().unwrap().sealed);
}

/// The N-loop over the whole pump: whichever write, sync or creation fails, nothing is lost or shown twice.
#[test]
fn whichever_call_fails_nothing_is_lost() {
    for kind in 0..3 {
        let mut hit = 0;
        for nth in 1..400 {
            let dir = scratch();
            let (tx, rx) = crossbeam_channel::bounded(16);
            let (mut p1, c1) = ring(dir.path(), 1, 1 << 17);
            let o = options();
            let faults = o.faults.clone();
            let w = JournalWriter::open(dir.path(), o).unwrap();
            let dirs = w.dirs().clone();
            let mut pump = Pump::new(w, vec![c1], rx, pump_options());
            let shared = pump.shared();
            [&faults.write_in, &faults.sync_in, &faults.create_in][kind].store(nth, Ordering::SeqCst);
            let (reply, replies) = crossbeam_channel::bounded(100);
            let mut n = 0;
            while n < 150 {
                n += i64::from(push(&mut p1, 2500));
                if n % 10 == 3 && replies.is_empty() {
                    tx.send(control(n % 20 == 3, reply.clone())).unwrap();
                }
                let _ = replies.try_recv();
                pump.step();
            }
            drop((p1, tx));
            // At the very end a failed seal is an error, but all records are durable.
            let sealed = pump.finish().is_ok();
            let tail = JournalReader::find_tail(&dirs).unwrap().unwrap();
            let seen = read_lanes(&dirs, tail.end);
            let lane0 = seen.iter().filter(|s| matches!(s, Seen::Record(0, _))).count() as i64;
            assert_lanes(&seen, &[(0, lane0), (1, 150)]);
            hit += u32::from(shared.failures() > 0);
            if sealed && shared.failures() == 0 {
                break;
            }
            assert!(nth < 399);
        }
        assert!(hit > 1, "kind {kind}");
    }
}

#[test]
fn storage_that_fails_for_a_while_is_shown_and_tried_again() {
    let dir = scratch();
    let (_tx, rx) = crossbeam_channel::bounded::<Command>(16);
    let (mut p1, c1) = ring(dir.path(), 1, 1 << 12);
    let o = options();
    let faults = o.faults.clone();
    let w = JournalWriter::open(dir.path(), o).unwrap();
    let mut pump = Pump::new(w, vec![c1], rx, pump_options());
    let shared = pump.shared();
    push(&mut p1, 100);
    faults.create_in.store(1, Ordering::SeqCst);
    faults.broken.store(true, Ordering::SeqCst);
    pump.step();
    assert_eq!(shared.marks().storage, Storage::Failed);
    assert!(shared.last_failure().contains("No space left"), "{}", shared.last_failure());
    let mut n = 1;
    while push(&mut p1, 100) {
        n += 1;
        assert!(!pump.step(), "nothing to do before it is time to try again");
    }
    assert!(p1.fill_ratio() > 0.9);
    faults.broken.store(false, Ordering::SeqCst);
    while shared.marks().storage == Storage::Failed {
        pump.step();
    }
    drop(p1);
    pump.finish().unwrap();
    assert_lanes(&read_all(dir.path()), &[(1, n)]);
}

#[test]
fn a_thread_a_lane_and_a_follower_at_once() {
    let dir = scratch();
    let (_tx, rx) = crossbeam_channel::bounded::<Command>(16);
    let (mut p1, c1) = ring(dir.path(), 1, 1 << 14);
    let w = JournalWriter::open(dir.path(), options()).unwrap();
    let dirs = w.dirs().clone();
    let o = PumpOptions {
        sync_every: Duration::from_millis(1),
        poll_every: Duration::from_micros(50),
        ..PumpOptions::default()
    };
    let pump = Pump::new(w, vec![c1], rx, o);
    let shared = pump.shared();
    const N: i64 = 5_000;
    std::thread::scope(|s| {
        let journal = s.spawn(move || pump.run().unwrap());
        let shared2 = shared.clone();
        let follower = s.spawn(move || {
            let mut r = JournalReader::new(dirs, Position::START);
            let mut next = 0;
            loop {
                let m = shared2.wait_beyond(r.position(), Duration::from_secs(5));
                while let Some(item) = r.read(m.jrn).unwrap() {
                    let ReadItem::Record { record, .. } = item else { panic!("{item:?}") };
                    assert_eq!(record.lane_seq, next);
                    next += 1;
                }
                if m.finished {
                    return next;
                }
            }
        });
        while p1.next_lane_seq() < N {
            let len = (p1.next_lane_seq() as usize * 13) % 700;
            if !push(&mut p1, len) {
                std::thread::yield_now();
            }
        }
        shared.request_finish();
        let end = journal.join().unwrap();
        assert_eq!(follower.join().unwrap(), N);
        assert_eq!(shared.marks().jrn, end);
    });
}

#[test]
fn it_ends_by_itself_when_nobody_can_ask_any_more_and_has_drained_all() {
    let dir = scratch();
    let (tx, rx) = crossbeam_channel::bounded(1);
    let (mut p1, c1) = ring(dir.path(), 1, 1 << 16);
    for _ in 0..20 {
        push(&mut p1, 100);
    }
    // What is no frame did not come from a venue: the time that it took to get here is nobody's figure.
    let b = bytes(1, p1.next_lane_seq(), 10);
    p1.push(&Record { kind: Kind::Timer, ..Record::decode(&b).unwrap() }).unwrap();
    let w = JournalWriter::open(dir.path(), options()).unwrap();
    let dirs = w.dirs().clone();
    // One record a round.
    let pump = Pump::new(w, vec![c1], rx, PumpOptions { drain_bytes: 1, ..PumpOptions::default() });
    let shared = pump.shared();
    drop((p1, tx));
    let end = pump.run().unwrap();
    assert!(shared.marks().finished);
    assert_lanes(&read_lanes(&dirs, end), &[(1, 21)]);
    let hops = shared.take_journaled_ns();
    assert_eq!(hops.iter().map(|(l, h)| (*l, h.len())).collect::<Vec<_>>(), [(1, 20)]);
}

#[test]
fn while_storage_fails_control_is_heard_and_what_it_said_is_written_later() {
    let dir = scratch();
    let (tx, rx) = crossbeam_channel::unbounded();
    let o = options();
    let faults = o.faults.clone();
    faults.broken.store(true, Ordering::SeqCst);
    let w = JournalWriter::open(dir.path(), o).unwrap();
    let o = PumpOptions {
        poll_every: Duration::from_micros(50),
        retry_every: Duration::from_millis(1),
        ..PumpOptions::default()
    };
    let pump = Pump::new(w, Vec::new(), rx, o);
    let shared = pump.shared();
    let (reply, replies) = crossbeam_channel::unbounded();
    std::thread::scope(|s| {
        let journal = s.spawn(move || pump.run().unwrap());
        tx.send(control(true, reply.clone())).unwrap();
        while shared.marks().storage == Storage::Sound {
            std::thread::yield_now();
        }
        tx.send(control(false, reply)).unwrap();
        while !tx.is_empty() {
            std::thread::yield_now();
        }
        assert!(replies.is_empty(), "nothing can have been written");
        faults.broken.store(false, Ordering::SeqCst);
        let mut told: Vec<i64> = (0..2).map(|_| replies.recv().unwrap().lane_seq).collect();
        told.sort_unstable();
        assert_eq!(told, [0, 1]);
        drop(tx);
        journal.join().unwrap();
    });
    assert_lanes(&read_lanes(&Dirs::new(dir.path()), shared.marks().dur), &[(0, 2)]);
}

#[test]
fn an_end_on_storage_that_fails_is_told_and_the_ring_keeps_the_rest() {
    for creates in [false, true] {
        let dir = scratch();
        let (_tx, rx) = crossbeam_channel::bounded(1);
        let (mut p1, c1) = ring(dir.path(), 1, 1 << 16);
        let o = options();
        let faults = o.faults.clone();
        let w = JournalWriter::open(dir.path(), o).unwrap();
        let pump = Pump::new(w, vec![c1], rx, pump_options());
        let shared = pump.shared();
        for _ in 0..7 {
            push(&mut p1, 100);
        }
        drop(p1);
        // No segment can be made; or each can, and none can be made durable.
        faults.broken.store(!creates, Ordering::SeqCst);
        faults.never_syncs.store(creates, Ordering::SeqCst);
        assert!(pump.finish().unwrap_err().is_storage());
        let m = shared.marks();
        assert!(m.finished && m.storage == Storage::Failed, "{m:?}");
        assert_eq!(shared.failures(), if creates { 3 } else { 2 });
        let rings = find_rings(dir.path(), ID);
        assert_eq!(rings.len(), 1);
        let (w, _) = recover(dir.path(), options(), &rings).unwrap();
        w.close().unwrap();
        assert_lanes(&read_all(dir.path()), &[(1, 7)]);
    }
}

#[test]
fn control_that_says_more_than_may_wait_waits_itself() {
    let dir = scratch();
    let (tx, rx) = crossbeam_channel::unbounded();
    let w = JournalWriter::open(dir.path(), options()).unwrap();
    let mut pump = Pump::new(w, Vec::new(), rx, pump_options());
    let (reply, replies) = crossbeam_channel::unbounded();
    for _ in 0..1100 {
        tx.send(control(false, reply.clone())).unwrap();
    }
    assert!(pump.step());
    assert_eq!((replies.len(), tx.len()), (1024, 76));
    while replies.len() < 1100 {
        pump.step();
        std::thread::yield_now();
    }
    let told: Vec<i64> = replies.try_iter().map(|a| a.lane_seq).collect();
    assert_eq!(told, (0..1100).collect::<Vec<_>>());
}

#[test]
fn what_no_record_can_hold_is_counted_and_not_written() {
    let dir = scratch();
    let (tx, rx) = crossbeam_channel::unbounded();
    let w = JournalWriter::open(dir.path(), options()).unwrap();
    let mut pump = Pump::new(w, Vec::new(), rx, pump_options());
    let (reply, replies) = crossbeam_channel::unbounded();
    for (payload, url) in [((1 << 30) + 1, 0), (1, usize::from(u16::MAX) + 1), (1, usize::from(u16::MAX))] {
        let Command::Append(mut r) = control(false, reply.clone()) else { unreachable!() };
        (r.payload, r.url) = (vec![0; payload], "x".repeat(url));
        tx.send(Command::Append(r)).unwrap();
    }
    pump.step();
    let shared = pump.shared();
    assert_eq!((shared.failures(), replies.len()), (2, 1));
    assert!(shared.last_failure().contains("no record"), "{}", shared.last_failure());
    assert_eq!(replies.recv().unwrap().lane_seq, 0);
}
