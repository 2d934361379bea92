//! Streams that come over more than one connection: who carries them, what is known already, who was first.
//!
//! The rule for what has no chain of ids: the n-th time that a connection brings the same event it is news only if no
//! other one has brought it n times. An event is the same by its id; where it has none, by the bytes of its frame. So
//! nothing is doubled, and what one connection left out the other one brings, also late.

use rustc_hash::FxHasher;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::hash::Hasher;

use super::FoldSink;
use super::state::{Conn, Core, Stream};
use crate::model::{ConnId, Head, InstrumentId, RaceRow, Record, RowRef, StreamId};

/// How long what is missing on one connection may come by the other (`DESIGN`, Books).
pub(super) const LEG_WAIT_NS: i64 = 2_000_000_000;
/// How far a connection may lag behind one that is gone: after that its events are taken as they come.
pub(super) const LAG_MAX_NS: i64 = 5_000_000_000;
/// Events that are remembered per stream at least, while more than one connection carries it.
pub(super) const WINDOW: usize = 128;
/// And at most: 2 s of a stream of 8,000 events a second, which is more than the busiest one of a whole market brings.
pub(super) const WINDOW_MAX: usize = 16 * 1024;
/// Connections of one stream that are told apart: two legs, each with the one that replaces it, and some that are leaving.
const SLOTS: usize = 8;

/// One connection that carries a stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Carrier {
    pub conn: ConnId,
    pub leg: u8,
    /// Its place in the counts of the window.
    slot: u8,
    /// When the stream began on it.
    pub since: i64,
    /// Nobody else carried the stream then, and nobody has since it brought something.
    pub began_alone: bool,
    /// Receive time of its last message of this stream.
    pub ts_last: i64,
    /// Greatest order key that it brought.
    top: i64,
    /// Its last chain id, −1 = none yet.
    pub last_id: i64,
    /// Ids below that one, one after the other.
    pub late: u32,
    /// The venue counts anew, and what this one still brings is of the old count.
    pub behind: bool,
    /// First and last id of the diffs that it brought one after the other while another one fed the book.
    pub beside: (i64, i64),
}

impl Carrier {
    /// A diff that the book did not take.
    pub fn brings_beside(&mut self, first: i64, last: i64) {
        let follows = self.beside.1 >= 0 && first <= self.beside.1.saturating_add(1);
        if !follows {
            self.beside.0 = first;
        }
        self.beside.1 = if follows { self.beside.1.max(last) } else { last };
    }
}

/// An event that came a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    ident: u64,
    key: i64,
    conn: ConnId,
    ts: i64,
    leg: u8,
    /// How often each connection brought it, and how often it was news.
    times: [u8; SLOTS],
    most: u8,
    /// Its race is told.
    raced: bool,
}

/// What came last, while more than one connection carries the stream: all of the last [`LEG_WAIT_NS`], so that what one
/// connection left out is news when another one brings it so late; never more than [`WINDOW_MAX`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Window {
    is_open: bool,
    /// Oldest first.
    seen: VecDeque<Seen>,
    /// Greatest key of what is in it, and of what was and is not any more.
    top: i64,
    floor: i64,
}

/// What an event that comes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Nobody brought it before.
    News,
    /// Another connection brought it; which, when and over which leg, if that is remembered and not told yet.
    Known(Option<(ConnId, i64, u8)>),
}

impl Window {
    /// A second connection comes: what is not above `top` was brought before it.
    fn open(&mut self, top: i64) {
        if self.is_open {
            return;
        }
        self.is_open = true;
        self.seen.clear();
        self.seen.reserve(WINDOW);
        (self.top, self.floor) = (top, top);
    }

    /// Forgets what a connection counted that had this place before.
    fn clear_slot(&mut self, slot: u8) {
        for s in &mut self.seen {
            s.times[usize::from(slot)] = 0;
        }
    }

    /// Newest first.
    fn find(&mut self, ident: u64) -> Option<&mut Seen> {
        self.seen.iter_mut().rev().find(|s| s.ident == ident)
    }

    fn push(&mut self, s: Seen) {
        self.top = self.top.max(s.key);
        // Two at most, so that no single event pays for all that a burst left. The room stays taken: it is bounded, and asking for
        // it again would cost the next burst.
        for _ in 0..2 {
            let is_due = |o: &&Seen| s.ts.saturating_sub(o.ts) > LEG_WAIT_NS || self.seen.len() >= WINDOW_MAX;
            if self.seen.len() < WINDOW || self.seen.front().filter(is_due).is_none() {
                break;
            }
            let oldest = self.seen.pop_front();
            self.floor = self.floor.max(oldest.map_or(i64::MIN, |o| o.key));
        }
        self.seen.push_back(s);
    }

    /// Takes an event; `i64::MIN` as its key: it has no place in an order.
    fn arrives(&mut self, c: &mut Carrier, ident: u64, key: i64, ts: i64) -> Arrival {
        let slot = usize::from(c.slot);
        let leads = c.top >= self.floor;
        c.top = c.top.max(key);
        let is_newest = key > self.top;
        if !is_newest && let Some(s) = self.find(ident) {
            s.times[slot] = s.times[slot].saturating_add(1);
            if s.times[slot] > s.most {
                s.most = s.times[slot];
                return Arrival::News;
            }
            let first = (s.leg != c.leg && !s.raced).then_some((s.conn, s.ts, s.leg));
            s.raced |= first.is_some();
            return Arrival::Known(first);
        }
        // Not remembered, and below what is: one that lags so far behind brings what was brought.
        if !is_newest && !leads && key <= self.floor && key != i64::MIN {
            return Arrival::Known(None);
        }
        let mut times = [0; SLOTS];
        times[slot] = 1;
        self.push(Seen { ident, key, conn: c.conn, ts, leg: c.leg, times, most: 1, raced: false });
        Arrival::News
    }
}

/// What an event is known by.
pub(super) fn ident_of(instrument: InstrumentId, id: i64) -> u64 {
    (id as u64) ^ u64::from(instrument.0).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// What a frame without an id is known by.
pub(super) fn bytes_of(payload: &[u8]) -> u64 {
    let mut h = FxHasher::default();
    h.write(payload);
    h.finish()
}

impl Stream {
    /// Connections that carry it now.
    #[inline]
    pub fn alive(&self) -> usize {
        self.carriers.len()
    }

    pub fn carrier(&mut self, conn: ConnId) -> Option<&mut Carrier> {
        self.carriers.iter_mut().find(|c| c.conn == conn)
    }

    /// A connection begins to carry it.
    pub fn carried_by(&mut self, conn: &Conn, ts: i64) {
        let taken = |slot: &u8| self.carriers.iter().any(|c| c.slot == *slot);
        let slot = (0..SLOTS as u8 - 1).find(|s| !taken(s)).unwrap_or(SLOTS as u8 - 1);
        let began_alone = self.carriers.is_empty();
        if began_alone {
            self.feed = conn.id;
        } else {
            // What others bring was in order up to here.
            let top = self.last_key.max(self.last_id);
            if !self.window.is_open {
                for c in &mut self.carriers {
                    c.top = top;
                }
            }
            self.window.open(top);
        }
        self.window.clear_slot(slot);
        self.carriers.push(Carrier {
            conn: conn.id,
            leg: conn.leg,
            slot,
            since: ts,
            began_alone,
            ts_last: 0,
            top: i64::MIN,
            last_id: -1,
            late: 0,
            behind: false,
            beside: (-1, -1),
        });
    }

    /// A connection is gone, and had brought all that it would until `until`. Says since when it had carried the stream,
    /// and until when others that were gone before it had lived. `None`: it never carried the stream.
    pub fn left_by(&mut self, conn: ConnId, until: i64) -> Option<(i64, i64)> {
        let at = self.carriers.iter().position(|c| c.conn == conn)?;
        let since = self.carriers.remove(at).since;
        let before = self.lived;
        self.lived = before.max(until);
        if self.feed == conn {
            self.feed = self.carriers.first().map_or(0, |c| c.conn);
        }
        Some((since, before))
    }

    /// All connections are gone.
    pub fn left_by_all(&mut self) {
        self.carriers.clear();
        self.feed = 0;
        self.window.is_open = false;
    }

    /// Takes an event of a connection of a stream that is shared: whether it is news.
    fn takes(&mut self, conn: ConnId, ident: u64, key: i64, ts: i64) -> Arrival {
        if self.carriers.len() == 1 && ts.saturating_sub(self.lived) > LAG_MAX_NS {
            // What it lagged behind the one that is gone it has brought by now.
            self.window.is_open = false;
            return Arrival::News;
        }
        match self.carriers.iter_mut().find(|c| c.conn == conn) {
            Some(c) => self.window.arrives(c, ident, key, ts),
            None => Arrival::News,
        }
    }

    /// Whether events are remembered now.
    #[inline]
    pub fn is_shared(&self) -> bool {
        self.window.is_open
    }
}

/// What an event of a stream without a chain is known by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// An id of the venue's; it rises.
    Id(InstrumentId, i64),
    /// When it was made, and the bytes of its frame: all events of a frame are news together.
    Made(i64),
    /// Nothing: it has no table.
    None,
}

impl Mark {
    /// Its place in the stream's order.
    pub fn key(self) -> i64 {
        match self {
            Mark::Id(_, id) => id,
            Mark::Made(ts) if ts != 0 => ts,
            // Candles of a venue that says no time: they have no place in an order, so none is an old one.
            Mark::Made(_) | Mark::None => i64::MIN,
        }
    }
}

impl Core {
    /// Whether an event is news on its stream; tells the race if it is not.
    pub fn arrives<S: FoldSink>(
        &mut self,
        id: StreamId,
        conn: &Conn,
        rec: &Record<'_>,
        mark: Mark,
        sink: &mut S,
    ) -> bool {
        let Some(s) = self.streams.get_mut(id.0 as usize) else { return true };
        if !s.is_shared() {
            return true;
        }
        let (ident, key) = match mark {
            Mark::None => return true,
            Mark::Id(instrument, n) => (ident_of(instrument, n), n),
            Mark::Made(_) => {
                let frame = (rec.conn, rec.rseq, id);
                if let Some((_, news)) = self.frame_news.filter(|(f, _)| *f == frame) {
                    return news;
                }
                (bytes_of(rec.payload), mark.key())
            }
        };
        let arrival = s.takes(rec.conn, ident, key, rec.ts_recv);
        if matches!(mark, Mark::Made(_)) {
            self.frame_news = Some(((rec.conn, rec.rseq, id), arrival == Arrival::News));
        }
        if let Arrival::Known(Some(first)) = arrival {
            let seq = if let Mark::Id(_, n) = mark { n } else { -1 };
            self.race(id, conn, rec, seq, first, sink);
        }
        planted!("second_leg_told_too", true, arrival == Arrival::News)
    }

    /// An event of a chained stream came: only for the race, since its ids say what is news.
    pub fn races<S: FoldSink>(
        &mut self,
        id: StreamId,
        conn: &Conn,
        rec: &Record<'_>,
        chain_id: i64,
        sink: &mut S,
    ) {
        let Some(s) = self.streams.get_mut(id.0 as usize) else { return };
        if !s.is_shared() {
            return;
        }
        if let Arrival::Known(Some(first)) = s.takes(rec.conn, chain_id as u64, chain_id, rec.ts_recv) {
            self.race(id, conn, rec, chain_id, first, sink);
        }
    }

    fn race<S: FoldSink>(
        &mut self,
        id: StreamId,
        conn: &Conn,
        rec: &Record<'_>,
        seq_last: i64,
        (conn_first, ts_first, leg_first): (ConnId, i64, u8),
        sink: &mut S,
    ) {
        self.counters.races[usize::from(leg_first.min(1))] += 1;
        self.won_by = leg_first as i8;
        if !S::ROWS {
            return;
        }
        let s = &self.streams[id.0 as usize];
        let head = Head { instrument: s.instrument, venue: conn.venue, ..self.head(rec) };
        let row = RaceRow {
            stream: &s.name,
            seq_last,
            conn_first,
            conn_second: rec.conn,
            lead_ns: rec.ts_recv.saturating_sub(ts_first),
        };
        sink.row(&head, RowRef::Race(row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(conn: i64) -> Carrier {
        Carrier {
            conn,
            leg: conn as u8 - 1,
            slot: conn as u8 - 1,
            since: 0,
            began_alone: false,
            ts_last: 0,
            top: i64::MIN,
            last_id: -1,
            late: 0,
            behind: false,
            beside: (-1, -1),
        }
    }

    fn open() -> Window {
        let mut w = Window { top: i64::MIN, floor: i64::MIN, ..Window::default() };
        w.open(i64::MIN);
        w
    }

    #[test]
    fn what_one_brought_twice_is_news_twice_whoever_is_first() {
        let (mut w, mut a, mut b) = (open(), carrier(1), carrier(2));
        let mut says = |c: &mut Carrier| w.arrives(c, 7, 5, 10) == Arrival::News;
        assert_eq!([says(&mut a), says(&mut b), says(&mut b), says(&mut a)], [true, false, true, false]);
    }

    #[test]
    fn a_late_one_that_nobody_brought_is_news_and_one_beyond_memory_is_not_doubled() {
        let (mut w, mut a, mut b) = (open(), carrier(1), carrier(2));
        assert_eq!(w.arrives(&mut a, 3, 3, 1), Arrival::News);
        assert_eq!(w.arrives(&mut b, 2, 2, 2), Arrival::News);
        assert_eq!(w.arrives(&mut a, 2, 2, 3), Arrival::Known(Some((2, 2, 1))));
        for n in 4..500 {
            assert_eq!(w.arrives(&mut a, n, n as i64, 4), Arrival::News);
        }
        let late = 4 + LEG_WAIT_NS + 1;
        for n in 500..1_000 {
            assert_eq!(w.arrives(&mut a, n, n as i64, late), Arrival::News);
        }
        // So far behind that nobody remembers.
        assert_eq!(w.arrives(&mut b, 4, 4, late), Arrival::Known(None));
        assert_eq!(w.arrives(&mut b, 999, 999, late), Arrival::Known(Some((1, late, 0))));
        assert_eq!(w.arrives(&mut b, 1_000, 1_000, late), Arrival::News);
    }

    #[test]
    fn what_one_left_out_is_news_within_two_seconds_at_any_pace_and_memory_has_a_bound() {
        let ms = 1_000_000;
        let (mut w, mut a, mut b) = (open(), carrier(1), carrier(2));
        // 4,000 events a second, of which the first connection leaves out each hundredth.
        for n in 0..8_000u64 {
            if n % 100 != 99 {
                assert_eq!(w.arrives(&mut a, n, n as i64, n as i64 * ms / 4), Arrival::News, "{n}");
            }
            // The second one brings all of them, 1.9 s later.
            if let Some(m) = n.checked_sub(7_600) {
                let says = w.arrives(&mut b, m, m as i64, n as i64 * ms / 4);
                assert_eq!(says == Arrival::News, m % 100 == 99, "{m}");
            }
        }
        for n in 8_000..60_000u64 {
            w.arrives(&mut a, n, n as i64, 2_000 * ms);
        }
        assert_eq!(w.seen.len(), WINDOW_MAX);
        // The burst is over: what it brought is forgotten.
        for n in 60_000..100_000u64 {
            w.arrives(&mut a, n, n as i64, n as i64 * ms);
        }
        assert!(w.seen.len() <= 2_002, "{}", w.seen.len());
    }

    #[test]
    fn the_one_that_leads_may_go_back_in_its_order() {
        let (mut w, mut a) = (open(), carrier(1));
        for n in 1000..1500 {
            assert_eq!(w.arrives(&mut a, n, n as i64, (n as i64 - 1000) * LEG_WAIT_NS), Arrival::News);
        }
        assert_eq!(w.seen.len(), WINDOW);
        assert_eq!(w.arrives(&mut a, 7, 7, 500 * LEG_WAIT_NS), Arrival::News);
    }
}
