//! An instrument's versions: wider exponents, what is in force from when on, which stream feeds its book.

use super::FoldSink;
use super::state::{BookState, Core, Detector};
use crate::model::{GapCause, InstrumentId, Record, RowRef, StreamId};

impl Core {
    /// Wider exponents: the book and its buffer are rescaled in place, the part is cut.
    pub fn widen<S: FoldSink>(&mut self, id: InstrumentId, p: u8, s: u8, rec: &Record<'_>, sink: &mut S) {
        let inst = &mut self.insts[id.ix()];
        let from = (inst.version.price_exp, inst.version.size_exp);
        let to = (from.0.max(p), from.1.max(s));
        if to == from || to.0 > crate::model::num::EXP_MAX || to.1 > crate::model::num::EXP_MAX {
            return;
        }
        if inst.book.as_mut().is_some_and(|b| !b.rescale(from, to)) {
            return;
        }
        inst.version.price_exp = to.0;
        inst.version.size_exp = to.1;
        if inst.exps_known || inst.version.source != "recording" {
            inst.version.source = "observed".to_owned();
        }
        inst.exps_known = true;
        self.new_version(rec, id, sink);
    }

    /// A version is in force from this record on: its parts are cut, its row is written, its book is carried.
    pub fn new_version<S: FoldSink>(&mut self, rec: &Record<'_>, id: InstrumentId, sink: &mut S) {
        sink.cut(id);
        let inst = &mut self.insts[id.ix()];
        inst.version.ts_valid_from = rec.ts_recv;
        if let Some(b) = inst.book.as_mut() {
            b.opens_part();
        }
        sink.instrument(id, &inst.version);
        // What this lane alone has seen in its frames no other one says.
        let is_said = inst.elsewhere && inst.version.source != "observed";
        if S::ROWS && !is_said {
            let mut head = self.head(rec);
            let inst = &self.insts[id.ix()];
            (head.instrument, head.venue) = (id, inst.venue);
            let row =
                RowRef::Instrument { version: &inst.version, ts_valid_from: rec.ts_recv, ts_valid_to: 0 };
            sink.row(&head, row);
        }
    }

    /// Whether what a stream of diffs brings is for the instrument's book.
    pub fn feeds(&self, id: InstrumentId, stream: StreamId) -> bool {
        let book = self.insts.get(id.ix()).and_then(|i| i.book.as_ref());
        book.is_none_or(|b| b.stream == stream || b.stream == StreamId::NONE)
    }

    /// From now on this stream of diffs feeds the instrument's book (a second one would make two books of one). Where another
    /// one did, the book begins anew: the ids of two streams are two chains. In a recording of another tool the first one
    /// stays while it lives.
    pub fn feeds_book<S: FoldSink>(
        &mut self,
        id: InstrumentId,
        stream: StreamId,
        rec: &Record<'_>,
        sink: &mut S,
    ) {
        let inst = &self.insts[id.ix()];
        let Some(b) = inst.book.as_ref() else {
            let book = BookState::new(self.rule(inst.venue), stream);
            self.insts[id.ix()].book = Some(Box::new(book));
            return;
        };
        let (old, was, last, epoch) = (b.stream, b.synced, b.seq.last(), b.epoch);
        if old != stream && old != StreamId::NONE {
            if self.cfg.auto_register && self.streams[old.0 as usize].alive() > 0 {
                return;
            }
            self.forget_book(rec, id, sink);
            if was {
                self.depth_lost(old, rec, GapCause::Operator, Detector::Subscription, last, epoch, sink);
            }
        }
        if let Some(b) = self.insts[id.ix()].book.as_mut() {
            b.stream = stream;
        }
    }
}
