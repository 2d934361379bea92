//! The compact store of `book_delta`: one head per message, 16 bytes per level, turned into columns only when a group
//! is encoded. Rows in columns would take seven times the memory, and memory decides how large row groups become.

use arrow_array::{ArrayRef, StringArray};
use arrow_schema::ArrowError;

use super::columns::{dict_array, f64_array, i32_array, i64_array};
use super::rows::{Exps, double};
use super::spare::take;
use crate::model::{DeltaMsg, Head, Level, Mantissa, flags};

/// What the rows of one message share.
struct Msg {
    row: i64,
    ts_recv: i64,
    ts_kernel: i64,
    ts_event: i64,
    ts_send: i64,
    conn: i64,
    rseq: i64,
    seq_first: i64,
    seq_last: i64,
    seq_prev: i64,
    book_epoch: i64,
    horizon: Option<(Mantissa, Mantissa)>,
    flags: i32,
    bids: u32,
    asks: u32,
    exps: Exps,
}

/// Messages of an open group.
#[derive(Default)]
pub(super) struct DeltaStore {
    msgs: Vec<Msg>,
    levels: Vec<Level>,
    rows: usize,
}

/// Rows that a message takes.
pub(super) fn rows_of(m: &DeltaMsg<'_>) -> usize {
    (m.bids.len() + m.asks.len()).max(1)
}

impl DeltaStore {
    pub(super) fn push(&mut self, row: i64, head: &Head, exps: Exps, m: &DeltaMsg<'_>) {
        self.levels.extend_from_slice(m.bids);
        self.levels.extend_from_slice(m.asks);
        self.rows += rows_of(m);
        self.msgs.push(Msg {
            row,
            ts_recv: head.ts_recv,
            ts_kernel: head.ts_kernel,
            ts_event: head.ts_event,
            ts_send: head.ts_send,
            conn: head.conn,
            rseq: head.rseq,
            seq_first: m.seq_first,
            seq_last: m.seq_last,
            seq_prev: m.seq_prev,
            book_epoch: m.book_epoch,
            horizon: m.horizon,
            flags: head.flags,
            // More levels than fit 32 bits do not fit in memory either.
            bids: m.bids.len() as u32,
            asks: m.asks.len() as u32,
            exps,
        });
    }

    pub(super) fn bytes(&self) -> usize {
        self.msgs.len() * size_of::<Msg>() + self.levels.len() * size_of::<Level>()
    }

    fn column(&self, of: impl Fn(&Msg) -> i64) -> ArrayRef {
        let mut v = take(self.rows);
        for m in &self.msgs {
            v.resize(v.len() + m.rows(), of(m));
        }
        i64_array(v)
    }

    /// Turns what is there into arrays, in the order of the schema, and starts anew.
    pub(super) fn take(&mut self, instrument: &str) -> Result<Vec<ArrayRef>, ArrowError> {
        let n = self.rows;
        let mut row = take(n);
        for m in &self.msgs {
            row.extend((0..m.rows() as i64).map(|i| m.row + i));
        }
        let mut codes = take(n);
        codes.resize(n, 0);
        let names = StringArray::from_iter_values([instrument]);
        let own = self.levels_as_columns();
        let [row_flags, side, price, size] = own;
        let out = vec![
            i64_array(row),
            dict_array(codes, names)?,
            self.column(|m| m.ts_recv),
            self.column(|m| m.ts_kernel),
            self.column(|m| m.ts_event),
            self.column(|m| m.ts_send),
            self.column(|m| m.conn),
            self.column(|m| m.rseq),
            row_flags,
            self.column(|m| m.seq_first),
            self.column(|m| m.seq_last),
            self.column(|m| m.seq_prev),
            self.column(|m| m.book_epoch),
            side,
            price,
            size,
        ];
        self.msgs.clear();
        self.levels.clear();
        self.rows = 0;
        Ok(out)
    }

    /// `flags, side, price, size`.
    fn levels_as_columns(&self) -> [ArrayRef; 4] {
        let n = self.rows;
        let (mut flag, mut side) = (take(n), take(n));
        let (mut price, mut size) = (take(n), take(n));
        let mut present: Option<Vec<bool>> = None;
        let mut levels = self.levels.iter();
        for m in &self.msgs {
            if m.bids + m.asks == 0 {
                present.get_or_insert_with(|| vec![true; price.len()]).push(false);
                flag.push(m.flags | flags::LAST);
                side.push(0);
                price.push(0.0);
                size.push(0.0);
                continue;
            }
            for (k, l) in levels.by_ref().take(m.rows()).enumerate() {
                let (p, p_ok) = double(l.price, m.exps.price);
                let (s, s_ok) = double(l.size, m.exps.size);
                let mut f = m.flags;
                if !(p_ok && s_ok) {
                    f |= flags::INEXACT;
                }
                if m.horizon.is_some_and(|(low, high)| l.price < low || l.price > high) {
                    f |= flags::BEYOND_HORIZON;
                }
                if k + 1 == m.rows() {
                    f |= flags::LAST;
                }
                flag.push(f);
                side.push(if (k as u32) < m.bids { 1 } else { -1 });
                price.push(p);
                size.push(s);
            }
            if let Some(p) = &mut present {
                p.resize(price.len(), true);
            }
        }
        [i32_array(flag), i32_array(side), f64_array(price, present.clone()), f64_array(size, present)]
    }
}

impl Msg {
    fn rows(&self) -> usize {
        ((self.bids + self.asks) as usize).max(1)
    }
}
