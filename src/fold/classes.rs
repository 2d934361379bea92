//! What a stream's ids are, where a venue's pages leave it open or the venue may change it: told when it is another thing
//! than before. Only for those who watch: it makes no row.

use super::state::Core;
use super::{Effect, FoldSink};
use crate::model::{Chain, IdPolicy, StreamId, flags};

/// Of a book whose policy is being learned.
const LEARNING: &str = "not known yet";

/// What the times of the events of a frame are, beside what the venue states.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// Held by an id.
    pub are_derived: bool,
    /// The venue's answers have other times of the same trades.
    pub are_not_of_answers: bool,
}

impl Core {
    /// A stream's ids are of this class.
    #[inline]
    pub(super) fn is_of_class<S: FoldSink>(&mut self, stream: StreamId, class: &'static str, sink: &mut S) {
        if !S::LIVE || stream == StreamId::NONE {
            return;
        }
        let was = self.classes.entry(stream).or_insert(class);
        if *was != class {
            let was = std::mem::replace(was, class);
            sink.effect(Effect::Class { stream, was, class });
        }
    }

    /// The grammar of a diff, in dialects that have two.
    #[inline]
    pub(super) fn diff_class<S: FoldSink>(
        &mut self,
        stream: StreamId,
        chain: Chain,
        prev: i64,
        sink: &mut S,
    ) {
        if chain == Chain::PrevElseNext {
            let class = if prev >= 0 { "diffs name the one before" } else { "diffs are counted" };
            self.is_of_class(stream, class, sink);
        }
    }

    /// What was learned of a book's ids.
    pub(super) fn learned_class<S: FoldSink>(&self, stream: StreamId, policy: IdPolicy, sink: &mut S) {
        let class = match policy {
            IdPolicy::Strict => "strict: a hole in the ids is a loss",
            IdPolicy::Sparse => "sparse: ids have holes by construction, a loss cannot be seen",
            IdPolicy::Learn => return,
        };
        if S::LIVE && stream != StreamId::NONE {
            sink.effect(Effect::Class { stream, was: LEARNING, class });
        }
    }

    /// The flag of the event at hand, if its time was derived.
    #[inline]
    pub(super) fn derived(&self) -> i32 {
        if self.times.are_derived { flags::DERIVED_TS } else { 0 }
    }
}
