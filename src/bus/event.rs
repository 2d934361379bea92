//! The event ring: what the book just did, for live subscribers. Lossy by design, never by accident.
//!
//! One lane writes, any number of subscribers read, nobody waits for anybody. A slot is one cache line: a stamp and 56
//! bytes of event. When the ring is full the oldest event is overwritten; a subscriber that was too slow is told how
//! many it has missed and goes on with the oldest that is left.
//!
//! Event `n` lies in slot `n % capacity`. Its stamp is `2n + 1` while it is written and `2n + 2` when it is complete (0 =
//! never used). A reader takes the stamp before and after copying the words: two equal complete stamps mean that the
//! words belong to event `n` (a seqlock per slot, Boehm, "Can seqlocks get along with programming language memory
//! models?", MSPC'12). The words are atomics, read and written relaxed, so a torn copy is a discarded value and not
//! undefined behaviour.

use std::sync::Arc;

#[cfg(lobtape_loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(lobtape_loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

const WORDS: usize = 7;

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LiveKind {
    /// The best bid and ask of our own book: `a` bid price, `b` bid size, `c` ask price, `d` ask size, mantissas.
    Top = 1,
    /// A trade: `a` price, `b` size, mantissas, `c` the taker's side (+1, −1, 0), `d` the trade's id.
    Trade = 2,
    /// The book became proven.
    Synced = 3,
    /// The book is not proven any more: the last top does not hold.
    Stale = 4,
}

impl LiveKind {
    fn from_u8(n: u8) -> Option<LiveKind> {
        [LiveKind::Top, LiveKind::Trade, LiveKind::Synced, LiveKind::Stale]
            .into_iter()
            .find(|k| *k as u8 == n)
    }
}

/// One event, 56 bytes; with its number a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveEvent {
    /// What it says; the meaning of `a` to `d`.
    pub kind: LiveKind,
    /// Row flags of `DATASET.md` that fit 8 bits.
    pub flags: u8,
    /// Decimals of prices.
    pub price_exp: u8,
    /// Decimals of sizes.
    pub size_exp: u8,
    /// Dense number of the instrument in its lane; every lane has a ring of its own.
    pub instrument: u32,
    /// Venue matching time, ns; 0 = not given.
    pub ts_event: i64,
    /// User-space receive time, ns.
    pub ts_recv: i64,
    /// By kind.
    pub a: i64,
    /// By kind.
    pub b: i64,
    /// By kind.
    pub c: i64,
    /// By kind.
    pub d: i64,
}

impl LiveEvent {
    #[inline]
    fn words(&self) -> [u64; WORDS] {
        let head = u64::from(self.kind as u8)
            | u64::from(self.flags) << 8
            | u64::from(self.price_exp) << 16
            | u64::from(self.size_exp) << 24
            | u64::from(self.instrument) << 32;
        [
            head,
            self.ts_event as u64,
            self.ts_recv as u64,
            self.a as u64,
            self.b as u64,
            self.c as u64,
            self.d as u64,
        ]
    }

    fn from_words(w: [u64; WORDS]) -> Option<LiveEvent> {
        Some(LiveEvent {
            kind: LiveKind::from_u8(w[0] as u8)?,
            flags: (w[0] >> 8) as u8,
            price_exp: (w[0] >> 16) as u8,
            size_exp: (w[0] >> 24) as u8,
            instrument: (w[0] >> 32) as u32,
            ts_event: w[1] as i64,
            ts_recv: w[2] as i64,
            a: w[3] as i64,
            b: w[4] as i64,
            c: w[5] as i64,
            d: w[6] as i64,
        })
    }
}

#[derive(Default)]
#[repr(align(64))]
struct Slot {
    stamp: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// The slots. Clone the handle, then [`EventRing::subscribe`].
#[derive(Clone)]
pub struct EventRing {
    slots: Arc<[Slot]>,
}

/// The lane's end. Never fails, never waits, allocates nothing.
pub struct EventProducer {
    slots: Arc<[Slot]>,
    next: u64,
    mask: usize,
}

/// One subscriber's place in the ring.
pub struct EventSubscriber {
    slots: Arc<[Slot]>,
    next: u64,
    mask: usize,
    lost: u64,
}

/// What a subscriber gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The next event and its number.
    Event(u64, LiveEvent),
    /// This many events were overwritten before they were read.
    Lost(u64),
}

/// Makes a ring; the capacity is rounded up to a power of two, at least 2.
pub fn ring(capacity: usize) -> (EventProducer, EventRing) {
    let n = capacity.max(2).next_power_of_two();
    let slots: Arc<[Slot]> = (0..n).map(|_| Slot::default()).collect();
    (EventProducer { slots: Arc::clone(&slots), next: 0, mask: n - 1 }, EventRing { slots })
}

impl EventProducer {
    /// Publishes an event over the oldest one.
    #[inline]
    pub fn push(&mut self, event: &LiveEvent) {
        let n = self.next;
        let slot = &self.slots[n as usize & self.mask];
        slot.stamp.store(2 * n + 1, Ordering::Relaxed);
        // The odd stamp is seen before any of the words: a reader that got a new word finds the stamp changed.
        fence(Ordering::Release);
        for (to, from) in slot.words.iter().zip(event.words()) {
            to.store(from, Ordering::Relaxed);
        }
        slot.stamp.store(2 * n + 2, Ordering::Release);
        self.next = n + 1;
    }

    /// Events published so far.
    pub fn published(&self) -> u64 {
        self.next
    }
}

impl EventRing {
    /// A subscriber that begins with the oldest event there is.
    pub fn subscribe(&self) -> EventSubscriber {
        let mut s =
            EventSubscriber { slots: Arc::clone(&self.slots), next: 0, mask: self.slots.len() - 1, lost: 0 };
        s.next = s.oldest();
        s
    }

    /// A subscriber that begins with event `n`, or with the oldest there is if that one is gone.
    pub fn subscribe_at(&self, n: u64) -> EventSubscriber {
        let mut s = self.subscribe();
        s.next = s.next.max(n);
        s
    }

    /// A subscriber that begins with the newest `n` events.
    pub fn subscribe_last(&self, n: u64) -> EventSubscriber {
        let newest = self.slots.iter().map(|s| s.stamp.load(Ordering::Acquire)).max().unwrap_or(0);
        self.subscribe_at((newest / 2).saturating_sub(n))
    }

    /// Events that fit.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }
}

impl EventSubscriber {
    /// The next event, or how many were missed before it; `None`: nothing new.
    pub fn recv(&mut self) -> Option<Received> {
        loop {
            let slot = &self.slots[self.next as usize & self.mask];
            let want = 2 * self.next + 2;
            let stamp = slot.stamp.load(Ordering::Acquire);
            if stamp < want {
                return None;
            }
            if stamp == want {
                let mut words = [0; WORDS];
                for (to, from) in words.iter_mut().zip(&slot.words) {
                    *to = from.load(Ordering::Relaxed);
                }
                // The words are read before the stamp is looked at again.
                fence(Ordering::Acquire);
                if slot.stamp.load(Ordering::Relaxed) == want {
                    let n = self.next;
                    self.next += 1;
                    match LiveEvent::from_words(words) {
                        Some(e) => return Some(Received::Event(n, e)),
                        // Not reached: only `LiveEvent::words` fills slots.
                        None => continue,
                    }
                }
            }
            // Overwritten, or being overwritten right now.
            let oldest = self.oldest().max(self.next + 1);
            let missed = oldest - self.next;
            self.next = oldest;
            self.lost += missed;
            return Some(Received::Lost(missed));
        }
    }

    /// Number of the event that comes next.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Events missed in all.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Number of the oldest event that is surely whole, told by the newest stamp. Looks at every slot: this happens only
    /// to a new subscriber and to one that was too slow.
    fn oldest(&self) -> u64 {
        let newest = self.slots.iter().map(|s| s.stamp.load(Ordering::Acquire)).max().unwrap_or(0);
        // Stamp 2n + 1 or 2n + 2: event n is in the ring or nearly so, n − capacity is gone, and n + 1 may be coming.
        let after = newest.div_ceil(2);
        after.saturating_sub(self.slots.len() as u64 - 1).max(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u64) -> LiveEvent {
        let x = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) as i64;
        LiveEvent {
            kind: LiveKind::Top,
            flags: n as u8,
            price_exp: (n >> 3) as u8,
            size_exp: (n >> 5) as u8,
            instrument: n as u32,
            ts_event: x,
            ts_recv: x ^ 1,
            a: x ^ 2,
            b: x ^ 3,
            c: x ^ 4,
            d: x ^ 5,
        }
    }

    #[test]
    fn an_event_and_its_number_are_one_cache_line() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (64, 64));
        for kind in [LiveKind::Top, LiveKind::Trade, LiveKind::Synced, LiveKind::Stale] {
            let e = LiveEvent { kind, a: i64::MIN, d: -1, ..event(u64::MAX / 3) };
            assert_eq!(LiveEvent::from_words(e.words()), Some(e));
        }
        assert_eq!(LiveEvent::from_words([0; WORDS]), None);
    }

    #[test]
    fn in_order_and_each_once_while_there_is_room() {
        let (mut p, ring) = ring(8);
        let mut s = ring.subscribe();
        assert_eq!(s.recv(), None);
        for n in 0..100 {
            p.push(&event(n));
            assert_eq!(s.recv(), Some(Received::Event(n, event(n))));
            assert_eq!(s.recv(), None);
        }
        assert_eq!((s.lost(), p.published()), (0, 100));
    }

    #[test]
    fn the_oldest_go_and_the_subscriber_sees_the_hole() {
        for pushed in [9, 12, 16, 17, 1000] {
            let (mut p, ring) = ring(7);
            assert_eq!(ring.capacity(), 8);
            let mut s = ring.subscribe();
            (0..pushed).for_each(|n| p.push(&event(n)));
            let Some(Received::Lost(lost)) = s.recv() else { panic!("{pushed}") };
            assert!(lost >= pushed - 8 && lost <= pushed - 7, "{pushed} {lost}");
            for n in lost..pushed {
                assert_eq!(s.recv(), Some(Received::Event(n, event(n))));
            }
            assert_eq!((s.recv(), s.lost()), (None, lost));
            let mut late = ring.subscribe();
            assert!(matches!(late.recv(), Some(Received::Event(n, _)) if n == lost));
        }
    }

    #[test]
    fn a_subscriber_begins_where_it_wants_to() {
        let (mut p, ring) = ring(8);
        (0..6).for_each(|n| p.push(&event(n)));
        for (mut s, due) in
            [(ring.subscribe_at(4), 4), (ring.subscribe_last(1), 5), (ring.subscribe_last(99), 0)]
        {
            assert_eq!(s.position(), due);
            assert!(matches!(s.recv(), Some(Received::Event(n, _)) if n == due));
        }
        // One that is not there yet is waited for.
        let mut ahead = ring.subscribe_at(7);
        assert_eq!(ahead.recv(), None);
        (6..8).for_each(|n| p.push(&event(n)));
        assert!(matches!(ahead.recv(), Some(Received::Event(7, _))));
        (8..50).for_each(|n| p.push(&event(n)));
        assert!(ring.subscribe_at(4).position() >= 42);
    }

    /// Loom is not among our crates: a ring of two slots under two racing readers, where nearly every read meets a write.
    #[test]
    fn no_torn_event_reaches_a_subscriber() {
        const N: u64 = if cfg!(miri) { 1_000 } else { 300_000 };
        let (mut p, ring) = ring(2);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let mut s = ring.subscribe();
                scope.spawn(move || {
                    let (mut next, mut seen) = (0, 0u64);
                    while next < N {
                        match s.recv() {
                            Some(Received::Event(n, e)) => {
                                assert_eq!((n, e), (next, event(n)));
                                next += 1;
                                seen += 1;
                            }
                            Some(Received::Lost(k)) => next += k,
                            None => std::thread::yield_now(),
                        }
                    }
                    assert_eq!(seen + s.lost(), N);
                });
            }
            for n in 0..N {
                p.push(&event(n));
                if n % 64 == 0 {
                    std::thread::yield_now();
                }
            }
        });
    }
}
