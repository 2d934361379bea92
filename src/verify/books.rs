//! `book_delta`: ids chained by the venue's rule, and the books that its rows give, with a ladder of our own.

use std::collections::BTreeMap;

use arrow_array::Array as _;

use super::facts::{BookProof, Cx, FrameId, Visitor};
use super::report::CheckId::{self, Books, Chains};
use crate::dataset::read::Batch;
use crate::dataset::{DatasetError, PartRecord};
use crate::model::{Chain, SequenceRule, flags, time};

/// Flags that may differ between the rows of one message.
const PER_ROW: i32 = flags::LAST | flags::INEXACT | flags::BEYOND_HORIZON;

/// A number of the file as a key that sorts like it. Doubles are the nearest to the venue's text, so equal texts are
/// equal bits and no decimals are needed.
fn sortable(x: f64) -> u64 {
    let bits = x.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// Levels by price, sizes as bits.
type Half = BTreeMap<u64, u64>;

/// What is known of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is known: earlier files are missing.
    Unknown,
    /// There is none: not proven yet, or cleared.
    None,
    /// A snapshot's rows are there; the next message must prove it.
    Proving,
    /// Proven.
    Live,
}

/// What the rows of a message agree in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shared {
    ts_recv: i64,
    ts_kernel: i64,
    ts_event: i64,
    ts_send: i64,
    conn: i64,
    rseq: i64,
    first: i64,
    last: i64,
    prev: i64,
    epoch: i64,
    flags: i32,
}

/// One instrument's book as its rows go by.
pub(super) struct BookRows {
    instrument: String,
    rule: Option<SequenceRule>,
    state: State,
    bids: Half,
    asks: Half,
    epoch: i64,
    /// The last message that was applied (or the snapshot); only its ids and connection count.
    last: Shared,
    crossed_run: u32,
    /// The message being read and its first row.
    open: Option<(Shared, i64)>,
    /// Levels of the carried book that are still expected, worst first.
    expected: Vec<(i32, u64, u64)>,
    carried_differs: bool,
    /// The book that the last CLEAR ended, bids and asks: a gap that was too long ends so, and the ids may show that nothing was
    /// missing in it.
    ended: Option<(Half, Half)>,
    /// The next message is the first of its file, and of its day.
    opens: (bool, bool),
    date: String,
    proof: Option<BookProof>,
    messages: i64,
}

const NOTHING: Shared = Shared {
    ts_recv: 0,
    ts_kernel: 0,
    ts_event: 0,
    ts_send: 0,
    conn: 0,
    rseq: -1,
    first: -1,
    last: -1,
    prev: -1,
    epoch: 0,
    flags: 0,
};

impl BookRows {
    /// Before the first file of an instrument.
    pub fn new(p: &PartRecord) -> BookRows {
        BookRows {
            instrument: format!("{}:{}", p.venue, p.symbol),
            rule: crate::fold::venue_spec(&p.venue).map(|s| s.sequence),
            state: State::None,
            bids: Half::new(),
            asks: Half::new(),
            epoch: 0,
            last: NOTHING,
            crossed_run: 0,
            open: None,
            expected: Vec::new(),
            carried_differs: false,
            ended: None,
            opens: (false, false),
            date: String::new(),
            proof: None,
            messages: 0,
        }
    }

    fn forget(&mut self, cx: &mut Cx<'_>) {
        self.state = State::Unknown;
        self.ended = None;
        self.bids.clear();
        self.asks.clear();
        self.open = None;
        self.end_proof(None, cx);
    }

    fn end_proof(&mut self, end: Option<(i64, FrameId)>, cx: &mut Cx<'_>) {
        if let Some(mut p) = self.proof.take() {
            p.end = end;
            if let Some((_, frame)) = end
                && frame.1 >= 0
                && frame != p.last
            {
                cx.facts.clearing.insert(frame);
            }
            cx.facts.books.push(p);
        }
    }

    fn begin_proof(&mut self, m: &Shared) {
        self.proof = Some(BookProof {
            instrument: self.instrument.clone(),
            begin: m.ts_recv,
            first: None,
            later: Vec::new(),
            last_ts: m.ts_recv,
            last: (m.conn, m.rseq),
            end: None,
        });
    }

    fn fault(&self, cx: &mut Cx<'_>, id: CheckId, p: &PartRecord, row: i64, what: impl FnOnce() -> String) {
        cx.report.fault(id, &p.path, row, what);
    }

    fn half(&mut self, side: i32) -> &mut Half {
        if side > 0 { &mut self.bids } else { &mut self.asks }
    }

    /// A message begins: what it may be here, before its levels are taken.
    fn begin(&mut self, m: &Shared, p: &PartRecord, row: i64, cx: &mut Cx<'_>) {
        let (first_of_file, first_of_day) = std::mem::take(&mut self.opens);
        if m.flags & flags::CLEAR != 0 {
            return;
        }
        if m.flags & flags::CARRIED != 0 {
            self.begin_carried(m, (first_of_file, first_of_day), p, row, cx);
        } else if m.flags & flags::SNAPSHOT != 0 {
            let replaces = self.rule.is_some_and(|r| r.replaces);
            if matches!(self.state, State::Live | State::Proving) && !replaces {
                self.fault(cx, Books, p, row, || "a snapshot without CLEAR before it".to_owned());
            }
            self.epoch_opens(m, p, row, cx);
            self.ended = None;
            self.bids.clear();
            self.asks.clear();
        } else if first_of_file && self.state == State::Live {
            self.fault(cx, Books, p, row, || "the file does not open with the book".to_owned());
        }
    }

    fn begin_carried(&mut self, m: &Shared, first: (bool, bool), p: &PartRecord, row: i64, cx: &mut Cx<'_>) {
        self.expected.clear();
        self.carried_differs = false;
        if self.state == State::None
            && let Some((bids, asks)) = self.ended.take()
        {
            return self.begin_again(m, (bids, asks), p, row, cx);
        }
        if !first.0 {
            self.fault(cx, Books, p, row, || "a carried book in the middle of a file".to_owned());
        }
        let midnight = time::parse_date(&p.date).map_or(0, |d| d * time::NS_PER_DAY);
        if first.1 && m.ts_recv != midnight && self.state == State::Live {
            self.fault(cx, Books, p, row, || "the day's first book does not stand at its start".to_owned());
        }
        match self.state {
            State::Live => {
                if (m.epoch, m.last) != (self.epoch, self.last.last) {
                    let (e, l) = (self.epoch, self.last.last);
                    self.fault(cx, Books, p, row, || {
                        format!("carried book of epoch {} up to {}, expected {e} up to {l}", m.epoch, m.last)
                    });
                }
                self.expect();
            }
            State::Unknown => {
                self.bids.clear();
                self.asks.clear();
            }
            State::None | State::Proving => {
                self.fault(cx, Books, p, row, || "a carried book where there is none".to_owned());
            }
        }
    }

    /// The book that is carried must be the one that we have.
    fn expect(&mut self) {
        let asks = self.asks.iter().rev().map(|(p, s)| (-1, *p, *s));
        let bids = self.bids.iter().map(|(p, s)| (1, *p, *s));
        self.expected.extend(asks.chain(bids));
    }

    /// The book that the last CLEAR ended is stated again, as it was, in a new epoch: what follows it must go on from its last
    /// id.
    fn begin_again(&mut self, m: &Shared, book: (Half, Half), p: &PartRecord, row: i64, cx: &mut Cx<'_>) {
        (self.bids, self.asks) = book;
        self.state = State::Live;
        if m.last != self.last.last {
            let last = self.last.last;
            self.fault(cx, Books, p, row, || {
                format!("a book up to {} comes back that ended at {last}", m.last)
            });
        }
        self.epoch_opens(m, p, row, cx);
        self.begin_proof(m);
        self.expect();
        cx.report.count(Books, "came_back", 1);
    }

    /// Whether a new epoch's number is greater than the last and not before its time.
    fn epoch_opens(&mut self, m: &Shared, p: &PartRecord, row: i64, cx: &mut Cx<'_>) {
        let least = m.ts_recv.max(self.epoch.saturating_add(1));
        if m.epoch < least {
            let before = self.epoch;
            self.fault(cx, Books, p, row, || {
                format!("epoch {} opens at {} after epoch {before}", m.epoch, m.ts_recv)
            });
        }
        self.epoch = m.epoch;
    }

    fn level(&mut self, m: &Shared, side: i32, price: f64, size: f64) {
        let (key, bits) = (sortable(price), size.to_bits());
        if m.flags & flags::CARRIED != 0 && self.state != State::Unknown {
            self.carried_differs |= self.expected.pop() != Some((side, key, bits));
        } else if size == 0.0 {
            self.half(side).remove(&key);
        } else {
            self.half(side).insert(key, bits);
        }
    }

    fn end_message(&mut self, m: &Shared, p: &PartRecord, row: i64, cx: &mut Cx<'_>) {
        self.messages += 1;
        if m.flags & flags::CLEAR != 0 {
            self.clear(m, p, row, cx);
        } else if m.flags & flags::CARRIED != 0 {
            self.carried(m, p, row, cx);
        } else if m.flags & flags::SNAPSHOT != 0 {
            let goes_on = self.state == State::Live && self.proof.is_some();
            let proves = self.rule.is_some_and(|r| r.snapshot_proves);
            self.state = if proves { State::Live } else { State::Proving };
            self.crossed_run = 0;
            self.last = *m;
            if !goes_on {
                self.begin_proof(m);
            }
            if let Some(proof) = self.proof.as_mut().filter(|_| proves) {
                proof.first.get_or_insert((m.conn, m.rseq));
                (proof.last_ts, proof.last) = (m.ts_recv, (m.conn, m.rseq));
            }
        } else {
            self.diff(m, p, row, cx);
        }
    }

    fn clear(&mut self, m: &Shared, p: &PartRecord, row: i64, cx: &mut Cx<'_>) {
        if self.state == State::None {
            self.fault(cx, Books, p, row, || "CLEAR where there is no book".to_owned());
        }
        self.epoch_opens(m, p, row, cx);
        self.end_proof(Some((m.ts_recv, (m.conn, m.rseq))), cx);
        let is_proven = self.state == State::Live;
        self.state = State::None;
        let book = (std::mem::take(&mut self.bids), std::mem::take(&mut self.asks));
        self.ended = is_proven.then_some(book);
        self.crossed_run = 0;
        cx.report.count(Books, "cleared", 1);
    }

    fn carried(&mut self, m: &Shared, p: &PartRecord, row: i64, cx: &mut Cx<'_>) {
        if self.state == State::Unknown {
            self.state = State::Live;
            self.epoch = m.epoch;
            self.crossed_run = 0;
            self.last = *m;
            self.begin_proof(m);
            return;
        }
        if self.carried_differs || !self.expected.is_empty() {
            self.fault(cx, Books, p, row, || {
                "the carried book is not the book of the rows before it".to_owned()
            });
        }
        cx.report.count(Books, "carried", 1);
    }

    fn diff(&mut self, m: &Shared, p: &PartRecord, row: i64, cx: &mut Cx<'_>) {
        if let Some(rule) = self.rule {
            let follows = match self.state {
                _ if m.flags & flags::UNVERIFIED_SEQ != 0 => self.state != State::None,
                State::Proving => proves(&rule, m, self.last.last),
                State::Live => continues(&rule, m, &self.last),
                // After a missing file the chain begins anew; without a book no diff may stand.
                State::Unknown => true,
                State::None => false,
            };
            if !follows {
                let (state, last) = (self.state, self.last.last);
                self.fault(cx, Chains, p, row, || match state {
                    State::None => format!("update {}..{} without a book", m.first, m.last),
                    State::Proving => {
                        format!("update {}..{} does not prove snapshot {last}", m.first, m.last)
                    }
                    _ => format!("update {}..{} (previous {}) after {last}", m.first, m.last, m.prev),
                });
            }
        }
        if m.epoch != self.epoch && self.state != State::Unknown {
            let epoch = self.epoch;
            self.fault(cx, Books, p, row, || format!("epoch {} inside epoch {epoch}", m.epoch));
        }
        if self.state == State::Proving {
            self.state = State::Live;
        }
        self.last = *m;
        if let Some(proof) = &mut self.proof {
            let by_rest = self.rule.is_some_and(|r| r.replaces) && proof.first.is_some_and(|f| f.0 != m.conn);
            if by_rest {
                // The seed was on no stream; the first change says of which the book is.
                proof.first = None;
            }
            if proof.first.is_none() {
                proof.first = Some((m.conn, m.rseq));
            } else if m.conn != proof.last.0 && !proof.knows(m.conn) {
                proof.later.push((m.conn, m.rseq));
            }
            (proof.last_ts, proof.last) = (m.ts_recv, (m.conn, m.rseq));
        }
        if self.state == State::Live {
            self.judge_crossed(m, p, row, cx);
        }
    }

    fn judge_crossed(&mut self, m: &Shared, p: &PartRecord, row: i64, cx: &mut Cx<'_>) {
        let max = self.rule.map_or(0, |r| r.crossed_max);
        if self.crossed_run > max {
            let run = self.crossed_run;
            self.fault(cx, Books, p, row, || format!("goes on after {run} crossed messages"));
        }
        let best = (self.bids.last_key_value(), self.asks.first_key_value());
        let crossed = matches!(best, (Some((bid, _)), Some((ask, _))) if bid >= ask);
        if crossed != (m.flags & flags::CROSSED != 0) {
            self.fault(cx, Books, p, row, || format!("CROSSED is {}, the book says {crossed}", !crossed));
        }
        self.crossed_run = if crossed { self.crossed_run + 1 } else { 0 };
        cx.report.count(Books, "crossed", i64::from(crossed));
    }

    fn row(
        &mut self,
        m: Shared,
        bits: i32,
        level: (i32, Option<(f64, f64)>),
        at: (&PartRecord, i64),
        cx: &mut Cx<'_>,
    ) {
        let (p, row) = at;
        match self.open {
            Some((open, first)) if open != m => {
                self.fault(cx, Books, p, row, || {
                    format!("the message that begins at row {first} has no end")
                });
                self.open = None;
            }
            _ => {}
        }
        if self.open.is_none() {
            self.open = Some((m, row));
            self.begin(&m, p, row, cx);
        }
        match level {
            (1 | -1, Some((price, size))) => self.level(&m, level.0, price, size),
            (0, None) if bits & flags::LAST != 0 => {}
            _ => self
                .fault(cx, Books, p, row, || format!("side {} with a price that does not fit it", level.0)),
        }
        if bits & flags::LAST != 0 {
            let first = self.open.take().map_or(row, |(_, first)| first);
            self.end_message(&m, p, first, cx);
        }
    }
}

/// Whether a diff is the first after a snapshot: it ends at or behind it and leaves nothing after it out.
fn proves(rule: &SequenceRule, m: &Shared, snap: i64) -> bool {
    let behind = if rule.drop_equal { m.last > snap } else { m.last >= snap };
    behind && reaches(rule, m, snap)
}

/// Whether a diff leaves no id after `id` out.
fn reaches(rule: &SequenceRule, m: &Shared, id: i64) -> bool {
    match rule.chain {
        Chain::Prev | Chain::PrevElseNext if m.prev > 0 => m.prev <= id,
        Chain::Prev => m.first >= 0 && m.first <= id,
        Chain::Next | Chain::PrevElseNext => m.first >= 0 && m.first <= id.saturating_add(1),
    }
}

/// Whether a diff goes on where the last one ended; on another connection it may begin earlier.
fn continues(rule: &SequenceRule, m: &Shared, last: &Shared) -> bool {
    let exact = match rule.chain {
        Chain::Prev | Chain::PrevElseNext if m.prev > 0 => m.prev == last.last && m.last >= last.last,
        Chain::Prev => false,
        Chain::Next | Chain::PrevElseNext => Some(m.first) == last.last.checked_add(1) && m.last >= m.first,
    };
    let overlaps = m.last > last.last && reaches(rule, m, last.last);
    let may_overlap = rule.overlap_ok || (m.conn != last.conn && rule.ids_survive_reconnect);
    exact || (overlaps && may_overlap)
}

impl Visitor for BookRows {
    fn part(&mut self, p: &PartRecord, known: bool, cx: &mut Cx<'_>) {
        if !known {
            self.forget(cx);
        }
        let new_day = self.date != p.date;
        self.date.clone_from(&p.date);
        self.opens = (true, new_day);
        if let Some((_, row)) = self.open.take() {
            self.fault(cx, Books, p, row, || "the last message of the file before has no end".to_owned());
        }
    }

    fn batch(&mut self, p: &PartRecord, b: &Batch, cx: &mut Cx<'_>) -> Result<(), DatasetError> {
        let (row, bits, side) = (b.i64("row")?, b.i32("flags")?, b.i32("side")?);
        let (ts_recv, ts_kernel) = (b.i64("ts_recv")?, b.i64("ts_kernel")?);
        let (ts_event, ts_send) = (b.i64("ts_event")?, b.i64("ts_send")?);
        let (conn, rseq) = (b.i64("conn")?, b.i64("rseq")?);
        let (first, last, prev) = (b.i64("seq_first")?, b.i64("seq_last")?, b.i64("seq_prev")?);
        let (epoch, price, size) = (b.i64("book_epoch")?, b.f64("price")?, b.f64("size")?);
        let before = self.messages;
        for i in 0..b.rows() {
            let m = Shared {
                ts_recv: ts_recv[i],
                ts_kernel: ts_kernel[i],
                ts_event: ts_event[i],
                ts_send: ts_send[i],
                conn: conn[i],
                rseq: rseq[i],
                first: first[i],
                last: last[i],
                prev: prev[i],
                epoch: epoch[i],
                flags: bits[i] & !PER_ROW,
            };
            let there = price.is_valid(i) && size.is_valid(i);
            let level = there.then(|| (price.value(i), size.value(i)));
            self.row(m, bits[i], (side[i], level), (p, row[i]), cx);
        }
        cx.report.count(Chains, "book_messages", self.messages - before);
        Ok(())
    }

    fn skip(&mut self, _p: &PartRecord, cx: &mut Cx<'_>) {
        cx.facts.torn.insert(self.instrument.clone());
    }

    fn end(&mut self, cx: &mut Cx<'_>) {
        self.end_proof(None, cx);
    }
}
