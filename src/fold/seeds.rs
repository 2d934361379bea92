//! Whether a snapshot may begin a book.

use super::FoldSink;
use super::state::{BookState, Core};
use crate::model::{IdPolicy, InstrumentId};

impl Core {
    /// Whether a snapshot by REST may seed a book whose diffs are of a counter that may be another one. While the ids are
    /// being learned only what comes on the diffs' own connection does.
    pub(super) fn may_seed(&mut self, b: &BookState, snap_id: i64) -> bool {
        // What a run before this one saw the recorder does not know.
        let is_now = |s: &&super::state::Stream| self.is_import() || s.spoke.conn >= self.cfg.ts_start;
        let stream = self.streams.get(b.stream.0 as usize).filter(is_now);
        let seen = stream.map_or(-1, |s| s.last_id);
        let seen = b.buffer.iter().map(|e| e.ids.last).max().unwrap_or(-1).max(seen);
        if b.seq.policy() == IdPolicy::Learn {
            return false;
        }
        let may = seen < 0 || crate::book::same_id_space(seen, snap_id);
        self.counters.foreign_seeds += u64::from(!may);
        may
    }

    /// The answer was of no use. A book whose ids are known waits for another one, or for what its stream begins with.
    pub(super) fn useless_seed<S: FoldSink>(&mut self, id: InstrumentId, b: &mut BookState, sink: &mut S) {
        if b.seq.policy() != IdPolicy::Learn {
            b.attempt = b.attempt.saturating_add(1);
            self.ask(id, b, sink);
        }
    }
}
