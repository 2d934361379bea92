//! What a subscriber of the event ring may see, whatever the order.
#![cfg(lobtape_loom)]

use lobtape_loom::event::{LiveEvent, LiveKind, Received, ring};

fn event(n: u64) -> LiveEvent {
    let x = n as i64 + 1;
    LiveEvent {
        kind: LiveKind::Trade,
        flags: n as u8,
        price_exp: 2,
        size_exp: 3,
        instrument: n as u32,
        ts_event: 7 * x,
        ts_recv: 11 * x,
        a: 13 * x,
        b: 17 * x,
        c: 19 * x,
        d: 23 * x,
    }
}

/// `pushes` events into a ring of two beside a subscriber that looks `looks` times, then takes the rest.
fn model(before: u64, pushes: u64, looks: usize, preemptions: usize) {
    let mut b = loom::model::Builder::new();
    b.preemption_bound = Some(preemptions);
    b.check(move || {
        let (mut producer, ring) = ring(2);
        for n in 0..before {
            producer.push(&event(n));
        }
        let mut subscriber = ring.subscribe();
        let writer = loom::thread::spawn(move || {
            for n in before..before + pushes {
                producer.push(&event(n));
            }
            producer.published()
        });
        let mut next = None;
        let take = |r: Received, next: &mut Option<u64>| match r {
            Received::Event(n, e) => {
                assert_eq!(e, event(n), "an event is whole, and the one it says it is");
                assert!(next.is_none_or(|at| n == at), "in order, none twice, none skipped unsaid");
                *next = Some(n + 1);
            }
            Received::Lost(missed) => {
                assert!(missed > 0);
                *next = next.map(|at| at + missed);
            }
        };
        for _ in 0..looks {
            if let Some(r) = subscriber.recv() {
                take(r, &mut next);
            }
        }
        let published = writer.join().unwrap();
        while let Some(r) = subscriber.recv() {
            take(r, &mut next);
        }
        assert_eq!(next, Some(published), "what is there at the end is had at the end");
    });
}

#[test]
fn a_subscriber_beside_the_first_events() {
    model(0, 2, 2, 3);
}

#[test]
fn a_subscriber_that_is_overtaken() {
    model(2, 2, 1, 3);
    model(1, 3, 2, 2);
}

#[test]
fn a_subscriber_in_the_middle_of_an_overwrite() {
    model(2, 1, 2, 4);
}
