//! The proof that a book is what the venue has: snapshot and diffs chained by the venue's own ids.
//!
//! A pure state machine over [`SequenceRule`] data. It holds no levels and no buffer and reads no clock: it says of
//! each diff what to do with it, and the fold does it. Ids come from outside and may fall, repeat or be as large as
//! `i64` goes; arithmetic on them saturates.

use serde::{Deserialize, Serialize};

use crate::model::{Chain, IdPolicy, SequenceRule};

/// Diffs of another connection that are at or below the book's id, one after the other and with no other leg alive,
/// before they are taken for a reset of the venue's ids. Far more than a rotation can lag behind, few enough that a
/// book does not stand still for long.
pub const FOREIGN_STALE_MAX: u32 = 128;

/// The same while another leg is alive, of diffs that are at or below the book's id although the venue's clock has gone
/// on, or although they fell behind their own connection: a leg that lags brings neither.
pub const FELL_MAX: u32 = 16;

/// Pairs of consecutive diffs that tell what a venue's ids are ([`IdPolicy::Learn`]).
pub const LEARN_PAIRS: u32 = 50;

/// Whether two ids can be of one counter. Ids that differ a thousandfold are not; of ids that hold a time in their upper
/// bits (2⁵⁰ and above, ms from bit 22 on), none that are an hour apart.
pub fn same_id_space(a: i64, b: i64) -> bool {
    let (small, large) = (a.min(b), a.max(b));
    if small < 0 || large / 1000 > small {
        return false;
    }
    small < 1 << 50 || (large >> 22) - (small >> 22) <= 3_600_000
}

/// Where the proof stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeqState {
    /// Nothing was seen yet.
    Init,
    /// Diffs are kept until a snapshot comes.
    Buffering,
    /// A snapshot is loaded; the diff that proves it is awaited.
    WaitFirst {
        /// The snapshot's id.
        snap_id: i64,
    },
    /// The book is proven.
    Live {
        /// Id of the last applied diff.
        last: i64,
    },
}

/// The ids of one diff, −1 = not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffIds {
    /// Connection on which it came.
    pub conn: i64,
    /// First update id (`U`).
    pub first: i64,
    /// Last update id (`u`).
    pub last: i64,
    /// Previous diff's last update id (`pu`).
    pub prev: i64,
    /// Venue time of the change, ns; 0 = not given.
    pub ts: i64,
}

/// What to do with a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Keep it until a snapshot comes.
    Buffer,
    /// Covered by the snapshot: drop it.
    Stale,
    /// The book has it already (second leg, or a late one): drop it and count.
    Ignored,
    /// Proven: apply it.
    Apply {
        /// It begins before the book's id; sizes are absolute, so it is applied, and counted.
        overlap: bool,
    },
    /// The same diff again on the same connection: drop it and count.
    Duplicate,
    /// The snapshot is older than what came before this diff: keep it and all after it, ask for another snapshot.
    TooOld,
    /// Beyond the chain, but another connection may still bring what is missing: hold it up to 2 s, offer it again
    /// after each applied diff, and with no other leg alive when the time is over.
    Wait,
    /// What the ids are is still being learned: keep it, the book stays what the last snapshot said.
    Learning,
    /// What the ids are is known now: keep it, and offer what was kept since the last snapshot.
    Learned,
    /// The chain is broken: the book is no longer proven. Keep this diff, ask for a snapshot. The missing ids are
    /// `(before, after]`.
    Gap {
        /// Last applied id.
        before: i64,
        /// Last missing id; −1 where the ids do not say (they fall, or are not given).
        after: i64,
    },
}

/// The state machine of one book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequencer {
    rule: SequenceRule,
    state: SeqState,
    /// Ids of the last applied diff; all −1 (conn 0) before the first one since the snapshot.
    applied: DiffIds,
    stale_run: u32,
    foreign_run: u32,
    crossed_run: u32,
    jumps: u64,
    policy: IdPolicy,
    /// Diffs seen since the snapshot that it covers: with others behind it, they bracket it.
    bracketed: bool,
    /// A diff since the snapshot came behind a hole that need not be one: what comes after it rests on it.
    unverified: bool,
    /// Connection and last id of the diff before, pairs seen, pairs with a hole between them.
    learned: (i64, i64, u32, u32),
}

const NO_DIFF: DiffIds = DiffIds { conn: 0, first: -1, last: -1, prev: -1, ts: 0 };

impl Sequencer {
    /// Before the first message.
    pub fn new(rule: SequenceRule) -> Sequencer {
        Sequencer {
            rule,
            state: SeqState::Init,
            applied: NO_DIFF,
            stale_run: 0,
            foreign_run: 0,
            crossed_run: 0,
            jumps: 0,
            policy: rule.policy,
            bracketed: false,
            unverified: false,
            learned: (0, -1, 0, 0),
        }
    }

    /// What the ids can prove; [`IdPolicy::Learn`] until it is known.
    pub fn policy(&self) -> IdPolicy {
        self.policy
    }

    /// The operator says what the ids can prove.
    pub fn set_policy(&mut self, policy: IdPolicy) {
        if self.rule.policy != policy {
            (self.rule.policy, self.policy) = (policy, policy);
            self.learned = (0, -1, 0, 0);
        }
    }

    /// Whether the book is taken on trust: its ids say nothing yet, or left some out since the last snapshot.
    pub fn is_unverified(&self) -> bool {
        self.unverified || self.policy == IdPolicy::Learn
    }

    /// The dialect's rule.
    pub fn rule(&self) -> &SequenceRule {
        &self.rule
    }

    /// Where the proof stands.
    #[inline]
    pub fn state(&self) -> SeqState {
        self.state
    }

    /// Whether the book is proven.
    #[inline]
    pub fn is_live(&self) -> bool {
        matches!(self.state, SeqState::Live { .. })
    }

    /// Id of the last applied diff since the last snapshot, −1 if none. It stays after a gap.
    #[inline]
    pub fn last(&self) -> i64 {
        self.applied.last
    }

    /// Id of the proven book, −1 if there is none.
    pub fn live_id(&self) -> i64 {
        match self.state {
            SeqState::Live { last } => last,
            _ => -1,
        }
    }

    /// Connection of the last applied diff, 0 if none.
    #[inline]
    pub fn conn(&self) -> i64 {
        self.applied.conn
    }

    /// Diffs whose `pu` chained while `U` did not follow (only where a rule knows both). Normal on sparse ids; a
    /// change of its rate is how a change of the venue's grammar would show.
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    /// A snapshot was loaded into the book: the buffered diffs are to be offered next, oldest first.
    pub fn on_snapshot(&mut self, snap_id: i64) {
        self.state = SeqState::WaitFirst { snap_id };
        self.applied = NO_DIFF;
        self.reset_runs();
    }

    /// The loaded snapshot is its own proof ([`SequenceRule::snapshot_proves`]) and nothing that was buffered goes on from
    /// it: the next diff of its connection must.
    pub fn on_proving_snapshot(&mut self, snap_id: i64, conn: i64, ts: i64) {
        self.state = SeqState::Live { last: snap_id };
        self.applied = DiffIds { conn, first: snap_id, last: snap_id, prev: -1, ts };
        self.reset_runs();
    }

    /// Another connection, whose ids are known to be the same, feeds the book from now on.
    pub fn goes_on_with(&mut self, conn: i64) {
        (self.applied.conn, self.stale_run) = (conn, 0);
    }

    /// The book is no longer proven, for a reason outside the ids (unsubscribed, unreadable frame, crossed).
    pub fn invalidate(&mut self) {
        self.state = SeqState::Buffering;
        self.reset_runs();
    }

    /// Counts crossed books after applied diffs. `true`: crossed for longer than the dialect bears; resync.
    pub fn on_crossed(&mut self, is_crossed: bool) -> bool {
        self.crossed_run = if is_crossed { self.crossed_run.saturating_add(1) } else { 0 };
        self.crossed_run > self.rule.crossed_max
    }

    /// Judges the next diff. `other_leg_alive`: another connection carries the same stream and may still bring
    /// what is missing; a diff that waited too long is offered again with `false`.
    #[inline]
    pub fn on_diff(&mut self, d: &DiffIds, other_leg_alive: bool) -> Verdict {
        if self.policy == IdPolicy::Learn {
            return self.learn(d);
        }
        match self.state {
            SeqState::Live { last } if d.conn == self.applied.conn => {
                self.same_conn(d, last, other_leg_alive)
            }
            SeqState::Live { last } => self.other_conn(d, last, other_leg_alive),
            SeqState::WaitFirst { snap_id } => self.first(d, snap_id),
            SeqState::Init | SeqState::Buffering => {
                self.state = SeqState::Buffering;
                Verdict::Buffer
            }
        }
    }

    /// Whether a snapshot of this id may be held against the book right after this diff was applied: the diff ends at
    /// or after the snapshot and leaves nothing after it out. For audits.
    pub fn straddles(&self, d: &DiffIds, snap_id: i64) -> bool {
        d.last >= snap_id && self.covers(d, snap_id)
    }

    /// Counts pairs of diffs of one connection until they say whether ids have holes by construction.
    fn learn(&mut self, d: &DiffIds) -> Verdict {
        let (conn, last, pairs, holes) = &mut self.learned;
        if *conn == d.conn && d.last > *last {
            *pairs += 1;
            *holes += u32::from(d.first > last.saturating_add(1));
        }
        (*conn, *last) = (d.conn, d.last);
        if *pairs < LEARN_PAIRS {
            return Verdict::Learning;
        }
        // Some holes among many pairs that touch are losses.
        let sparse = *holes * 10 > *pairs * 9;
        self.policy = if sparse { IdPolicy::Sparse } else { IdPolicy::Strict };
        // A whole view came in the midst of the diffs: they bracket it.
        self.bracketed = self.is_live();
        self.state = match self.state {
            SeqState::Live { last } => SeqState::WaitFirst { snap_id: last },
            other => other,
        };
        Verdict::Learned
    }

    fn first(&mut self, d: &DiffIds, snap_id: i64) -> Verdict {
        if d.last < snap_id || (self.rule.drop_equal && d.last == snap_id) {
            self.bracketed = true;
            return Verdict::Stale;
        }
        if self.covers(d, snap_id) {
            return self.apply(d, false);
        }
        if self.policy == IdPolicy::Sparse && self.bracketed {
            return self.trust(d);
        }
        self.invalidate();
        Verdict::TooOld
    }

    fn same_conn(&mut self, d: &DiffIds, last: i64, other_leg_alive: bool) -> Verdict {
        if planted!("hole_ignored", d.last > last, self.follows(d, last)) {
            return self.apply(d, false);
        }
        let repeated = d.first == self.applied.first && d.last == self.applied.last;
        // A snapshot may have no time of its own: then nothing is newer than the book by so much.
        let newer = if self.applied.ts > 0 { d.ts.saturating_sub(self.applied.ts) } else { 0 };
        if self.rule.restart_after_ns > 0 && d.last <= last && newer > self.rule.restart_after_ns {
            return self.gap(d, last);
        }
        if self.rule.overlap_ok && d.last <= last {
            self.stale_run = self.stale_run.saturating_add(1);
            if self.stale_run > self.rule.stale_run_max {
                return self.gap(d, last);
            }
            return if repeated { Verdict::Duplicate } else { Verdict::Ignored };
        }
        if repeated {
            return Verdict::Duplicate;
        }
        if self.rule.overlap_ok && d.first >= 0 && d.first <= last {
            return self.apply(d, true);
        }
        let other_leg_alive = other_leg_alive && self.rule.ids_survive_reconnect;
        // Late: the other leg brought it meanwhile. Or it was overtaken by the one that proved the snapshot, which has it: a
        // count that begins anew has newer times.
        let overtaken = d.ts > 0 && d.ts <= self.applied.ts && self.policy == IdPolicy::Strict;
        if (other_leg_alive || overtaken) && d.last <= last {
            return self.fell(d, last, FELL_MAX);
        }
        if self.policy == IdPolicy::Sparse && d.last > last {
            return self.trust(d);
        }
        // A hole on one leg is none in the book while the other leg may fill it; ids that fell are never filled.
        if other_leg_alive && d.last > last { Verdict::Wait } else { self.gap(d, last) }
    }

    fn other_conn(&mut self, d: &DiffIds, last: i64, other_leg_alive: bool) -> Verdict {
        if !self.rule.ids_survive_reconnect {
            // Its ids say nothing of this book; while the book's own connection lives, nothing is lost by that.
            return if other_leg_alive { Verdict::Ignored } else { self.gap(d, last) };
        }
        if d.last <= last {
            return match other_leg_alive {
                // What a leg lags behind with is not newer than the book.
                true if d.ts <= self.applied.ts => Verdict::Ignored,
                true => self.fell(d, last, FELL_MAX),
                false => self.fell(d, last, FOREIGN_STALE_MAX),
            };
        }
        if self.covers(d, last) {
            let overlap = !self.follows(d, last);
            return self.apply(d, overlap);
        }
        if other_leg_alive { Verdict::Wait } else { self.gap(d, last) }
    }

    /// One more diff at or below the book's id that may be of a new count.
    fn fell(&mut self, d: &DiffIds, last: i64, most: u32) -> Verdict {
        self.foreign_run = self.foreign_run.saturating_add(1);
        if self.foreign_run > most { self.gap(d, last) } else { Verdict::Ignored }
    }

    /// Whether a diff that ends at or after `id` leaves no id after `id` out.
    fn covers(&self, d: &DiffIds, id: i64) -> bool {
        match self.rule.chain {
            Chain::Prev | Chain::PrevElseNext if d.prev > 0 => d.prev <= id,
            Chain::Prev => d.first >= 0 && d.first <= id,
            Chain::Next | Chain::PrevElseNext => d.first >= 0 && d.first <= id.saturating_add(1),
        }
    }

    /// Whether a diff begins exactly where `last` ended.
    fn follows(&self, d: &DiffIds, last: i64) -> bool {
        let next = last.checked_add(1);
        match self.rule.chain {
            Chain::Prev | Chain::PrevElseNext if d.prev > 0 => d.prev == last && d.last >= last,
            Chain::Prev => false,
            Chain::Next | Chain::PrevElseNext => Some(d.first) == next && d.last >= d.first,
        }
    }

    /// Applies a diff behind ids that nobody has seen.
    fn trust(&mut self, d: &DiffIds) -> Verdict {
        let verdict = self.apply(d, false);
        self.unverified = true;
        verdict
    }

    fn apply(&mut self, d: &DiffIds, overlap: bool) -> Verdict {
        if self.rule.chain == Chain::PrevElseNext
            && self.is_live()
            && d.prev > 0
            && d.first != self.applied.last.saturating_add(1)
        {
            self.jumps += 1;
        }
        self.state = SeqState::Live { last: d.last };
        self.applied = *d;
        self.stale_run = 0;
        self.foreign_run = 0;
        Verdict::Apply { overlap }
    }

    fn gap(&mut self, d: &DiffIds, last: i64) -> Verdict {
        let after = match self.rule.chain {
            Chain::Prev | Chain::PrevElseNext if d.prev > 0 => d.prev,
            Chain::Prev => -1,
            Chain::Next | Chain::PrevElseNext => d.first.saturating_sub(1),
        };
        self.invalidate();
        Verdict::Gap { before: last, after: if after > last { after } else { -1 } }
    }

    fn reset_runs(&mut self) {
        self.stale_run = 0;
        self.foreign_run = 0;
        self.crossed_run = 0;
        self.bracketed = false;
        self.unverified = false;
    }
}
