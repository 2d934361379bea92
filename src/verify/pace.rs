//! Streams of a fixed pace (mark prices): where one brings nothing for a minute it is silent, though its connection lives. Of a
//! capture the recorder says so as it happens; of a recording of another tool nobody watched, and its records show it.

use super::spans::Spans;
use crate::model::time::NS_PER_S;

/// Silence that such a stream may have, and never less than so many of its messages.
const BORNE_NS: i64 = 60 * NS_PER_S;
const MESSAGES: i64 = 5;

/// What a stream of a fixed pace said, and when it did not.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Longest silence, ns; 0: it has no pace, or nobody asks.
    limit: i64,
    /// Its instrument's symbol, "" if it has none.
    symbol: String,
    /// When it, or what carries it, was heard last; 0 = never.
    heard: i64,
    /// Up to here an interval that ended may call it covered: the silence was not too long yet.
    claim: i64,
    /// When it was silent for too long.
    pub silent: Spans,
}

impl Pace {
    /// The pace of a stream of a venue as its name has it.
    pub fn of(venue: &str, name: &str) -> Pace {
        let Some((every_s, symbol)) = crate::fold::stream_pace(venue, name) else { return Pace::default() };
        let limit = (i64::from(every_s) * NS_PER_S).saturating_mul(MESSAGES).max(BORNE_NS);
        Pace { limit, symbol: symbol.unwrap_or_default(), ..Pace::default() }
    }

    /// Something begins or resumes to carry it.
    pub fn carried(&mut self, at: i64) {
        self.heard = self.heard.max(at);
    }

    /// A message of it came.
    pub fn says(&mut self, at: i64) {
        self.passes(at);
        self.heard = self.heard.max(at);
    }

    /// It is carried up to `until`, where what carries it, or the record, ends.
    pub fn passes(&mut self, until: i64) {
        if self.limit > 0 && self.heard > 0 && until.saturating_sub(self.heard) > self.limit {
            let begin = self.heard.max(self.claim);
            if begin < until {
                self.silent.push(begin, until);
            }
        }
    }

    /// An interval ends. What carries it is there up to `until`: where that is silent itself nobody wonders at the stream.
    pub fn interval_ends(&mut self, at: i64, until: i64) {
        self.passes(until);
        self.claim = at;
    }

    /// Its symbol is not listed any more: that it is silent has its reason.
    pub fn ends_with(&mut self, symbol: &str) {
        if self.symbol == symbol {
            self.limit = 0;
        }
    }
}
