//! `book_top`: the top 20 of the own book, at most once per bucket of `ts_recv`, when it changed.
//!
//! A row is the state after the last message of its bucket, with that message's stamps. It is written at the lane's
//! next record of a later bucket, so that it depends on the records alone.

use super::FoldSink;
use super::state::{BookState, Core};
use crate::model::{Head, InstrumentId, Level, RowRef, Side, TopRow, num, time};

/// Levels a side.
pub(super) const TOP: usize = 20;

/// What was last said of a book's top, and whether something is due.
#[derive(Default, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct TopState {
    said: (Vec<Level>, Vec<Level>),
    /// Stamps of the bucket's last message.
    pub due: Option<Due>,
}

/// Stamps of a message, as a plain value for checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Due {
    ts_recv: i64,
    ts_kernel: i64,
    ts_event: i64,
    ts_send: i64,
    conn: i64,
    rseq: i64,
    flags: i32,
    seq_last: i64,
}

impl TopState {
    /// The book is gone: nothing is due, and what comes next is news.
    pub fn reset(&mut self) {
        self.said.0.clear();
        self.said.1.clear();
        self.due = None;
    }

    /// The exponents grew.
    pub fn rescale(&mut self, from: (u8, u8), to: (u8, u8)) {
        for l in self.said.0.iter_mut().chain(self.said.1.iter_mut()) {
            l.price = num::rescale(l.price, from.0, to.0).unwrap_or(i64::MAX);
            l.size = num::rescale(l.size, from.1, to.1).unwrap_or(i64::MAX);
        }
    }
}

impl Core {
    /// A message changed the book.
    pub fn top_changed(&mut self, head: &Head, id: InstrumentId, b: &mut BookState, seq_last: i64) {
        if b.top.due.is_none() {
            self.top_due.push(id);
        }
        b.top.due = Some(Due {
            ts_recv: head.ts_recv,
            ts_kernel: head.ts_kernel,
            ts_event: head.ts_event,
            ts_send: head.ts_send,
            conn: head.conn,
            rseq: head.rseq,
            flags: head.flags & !crate::model::flags::REPLAYED,
            seq_last,
        });
        if self.top_bucket == i64::MIN {
            self.top_bucket = self.bucket(head.ts_recv);
        }
    }

    fn bucket(&self, ts: i64) -> i64 {
        match self.cfg.book_top_interval_ns {
            n if n > 0 => time::floor_to(ts, n),
            _ => i64::MIN + 1,
        }
    }

    /// The lane's next record is here: what was due in an earlier bucket is written.
    pub fn flush_tops<S: FoldSink>(&mut self, ts: i64, sink: &mut S) {
        if self.top_due.is_empty() {
            return;
        }
        if self.cfg.book_top_interval_ns > 0 && self.bucket(ts) == self.top_bucket {
            return;
        }
        self.flush_all_tops(sink);
    }

    /// Writes all that is due (a boundary, a stop).
    pub fn flush_all_tops<S: FoldSink>(&mut self, sink: &mut S) {
        self.top_bucket = i64::MIN;
        let due = std::mem::take(&mut self.top_due);
        for &id in &due {
            self.flush_top(id, sink);
        }
        self.top_due = due;
        self.top_due.clear();
    }

    fn flush_top<S: FoldSink>(&mut self, id: InstrumentId, sink: &mut S) {
        let (mut bids, mut asks) = std::mem::take(&mut self.level_scratch);
        let inst = &mut self.insts[id.ix()];
        if let Some(b) = inst.book.as_mut()
            && let Some(d) = b.top.due.take()
            && b.synced
        {
            b.book.top(Side::Bid, TOP, &mut bids);
            b.book.top(Side::Ask, TOP, &mut asks);
            if bids != b.top.said.0 || asks != b.top.said.1 {
                let head = Head {
                    instrument: id,
                    venue: inst.venue,
                    lane: self.lane,
                    ts_recv: d.ts_recv,
                    ts_kernel: d.ts_kernel,
                    ts_event: d.ts_event,
                    ts_send: d.ts_send,
                    conn: d.conn,
                    rseq: d.rseq,
                    flags: d.flags,
                };
                let row = TopRow {
                    interval_ns: self.cfg.book_top_interval_ns,
                    seq_last: d.seq_last,
                    book_epoch: b.epoch,
                    bids: &bids,
                    asks: &asks,
                    bid_horizon: b.bid_horizon,
                    ask_horizon: b.ask_horizon,
                };
                sink.row(&head, RowRef::BookTop(row));
                // Copied, not swapped: the scratch space has room for a whole book, and must not wander into a top.
                b.top.said.0.clone_from(&bids);
                b.top.said.1.clone_from(&asks);
            }
        }
        self.level_scratch = (bids, asks);
    }
}
