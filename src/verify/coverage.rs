//! The third pass: what was subscribed is covered or explained, never both, and what is covered is proven.
//!
//! Proof of a stream without ids: a connection that carried it lived. Of a stream with ids: these follow each other, or
//! the connection lived and no id is missing. The edges are known to the nanosecond, so nothing is forgiven but what
//! the clock went through twice.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{BookProof, Facts, FrameId, Hole, Stated, StreamKey, TradeRun};
use super::report::{CheckId, Report};
use super::spans::Spans;
use super::tape::{Life, Looked, Stream, Tape};
use crate::model::time::NS_PER_S;

/// How much later than a connection's longest silence a book in a gap ends at the latest: the lane looks every two seconds.
const LAPSE_SLACK_NS: i64 = 10 * NS_PER_S;

/// Two runs of trades and the ids between them that never came, both ends of an interval included.
type Break<'f> = (&'f TradeRun, &'f TradeRun, Vec<(i64, i64)>);

/// What is proven of a stream beside its connections' lives.
#[derive(Default)]
struct Ids<'f> {
    /// Times between messages that follow each other.
    bridged: Spans,
    /// Times in which something is missing.
    missing: Spans,
    /// Only what is bridged, or lived inside these, can be proven: the book was there.
    within: Option<Spans>,
    /// Consecutive runs of trades whose ids do not meet, and which ids between them never came.
    holes: Vec<Break<'f>>,
    /// The same of connections that were opened before the files that are looked at: last id before and behind.
    passed: Vec<(i64, i64)>,
    has_runs: bool,
    /// Ids between `(last one known, first one known again)` of which nothing is known: earlier files were not looked at.
    unknown: Vec<(i64, i64)>,
}

/// Judges every stream of every lane.
pub(super) fn judge(facts: &Facts, tapes: &[Tape], report: &mut Report) {
    if !facts.lost.is_empty() {
        let which: Vec<_> = facts.lost.iter().copied().collect();
        let note = format!("not judged: files of {} cannot be read", which.join(", "));
        report.note(CheckId::Coverage, note);
        return;
    }
    let mut seen = BTreeSet::new();
    for tape in tapes {
        let ids = ids_of(facts, tape);
        for (n, s) in tape.streams.iter().enumerate() {
            if facts.venue.as_ref().is_some_and(|v| *v != s.venue) {
                continue;
            }
            let key = StreamKey { lane: tape.lane, venue: s.venue.clone(), stream: s.name.clone() };
            let none = Stated::default();
            let stated = facts.stated.get(&key).unwrap_or(&none);
            let proof = ids.get(&n);
            Judge { facts, tape, key: &key, stream: s, report }.stream(stated, proof);
            seen.insert(key);
        }
    }
    for (key, stated) in facts.stated.iter().filter(|(k, _)| !seen.contains(k)) {
        let whole = tapes.iter().any(|t| t.lane == key.lane && t.whole);
        if whole && !facts.partial {
            let at = stated.cover.iter().chain(stated.gaps.iter()).next().map_or(0, |s| s.0);
            let file = facts.place(key, stated.cover.iter().next().is_some(), at);
            report.fault(CheckId::Coverage, file, -1, || {
                format!("lane {:03} {}: rows of a stream that was never subscribed", key.lane, key.stream)
            });
        } else {
            report.count(CheckId::Coverage, "streams_not_judged", 1);
        }
    }
}

fn ids_of<'f>(facts: &'f Facts, tape: &Tape) -> BTreeMap<usize, Ids<'f>> {
    let mut all: BTreeMap<usize, Ids<'f>> = BTreeMap::new();
    // A book without a diff has proven nothing; one of another lane is not found here. What its first frame says a later one
    // says too, where the first is in `raw` no more, and another book of the instrument, where none of this one is.
    let stream_of =
        |b: &BookProof| b.first.iter().chain(&b.later).find_map(|f| tape.looked.get(f)).map(|l| l.stream);
    let mut of: BTreeMap<&str, usize> = BTreeMap::new();
    for b in facts.books.iter().filter(|_| !tape.whole) {
        of.extend(stream_of(b).map(|s| (b.instrument.as_str(), s)));
    }
    for b in &facts.books {
        let near = || of.get(b.instrument.as_str()).copied().filter(|_| b.first.is_some());
        if let Some(stream) = stream_of(b).or_else(near) {
            all.entry(stream).or_default().book(b, facts, tape);
        }
    }
    let none = BTreeSet::new();
    for (whose, runs) in &facts.runs {
        let late = facts.late.get(whose).unwrap_or(&none);
        let Some(l) = runs.iter().find_map(|r| tape.looked.get(&r.first)) else { continue };
        let ids = all.entry(l.stream).or_default();
        ids.has_runs = true;
        for (n, run) in runs.iter().enumerate() {
            if run.after_unknown {
                let last = n.checked_sub(1).map_or(i64::MIN, |n| runs[n].last_id);
                ids.unknown.push((last, run.first_id));
            }
            let Some(l) = tape.looked.get(&run.first) else {
                if run.follows
                    && let Some(before) = n.checked_sub(1).map(|n| &runs[n])
                {
                    ids.passed.push((before.last_id, before.last_id.max(run.first_id - 1)));
                }
                continue;
            };
            ids.bridged.push(run.first_ts, run.last_ts);
            if let Some(before) = n.checked_sub(1).map(|n| &runs[n])
                && run.follows
            {
                let rest = never_came(before, run, late);
                if run.first_id > before.last_id && rest.is_empty() {
                    // The other connection brought them, or the venue was out of order.
                    ids.bridged.push(before.last_ts, run.first_ts);
                    ids.holes.push((before, run, rest));
                    continue;
                }
                // Ids that came while nobody had subscribed are not missing, and nobody can say which these are.
                if !was_unsubscribed(&tape.streams[l.stream], &tape.stepped, before, run) {
                    ids.misses(&hole(before.last_ts, run.first, run.first_ts, l, tape));
                }
                ids.holes.push((before, run, rest));
            }
        }
    }
    for ids in all.values_mut() {
        ids.bridged = std::mem::take(&mut ids.bridged).tidy();
        ids.missing = std::mem::take(&mut ids.missing).tidy();
        ids.within = ids.within.take().map(Spans::tidy);
    }
    all
}

/// The ids between two runs of trades that did not come late either, as intervals with both ends.
fn never_came(before: &TradeRun, run: &TradeRun, late: &BTreeSet<(u32, i64)>) -> Vec<(i64, i64)> {
    let mut rest = Vec::new();
    let (mut next, end) = (before.last_id.saturating_add(1), run.first_id);
    if before.count != run.count || next >= end {
        return rest;
    }
    for (_, id) in late.range((run.count, next)..(run.count, end)) {
        if next < *id {
            rest.push((next, id - 1));
        }
        next = id + 1;
    }
    if next < end {
        rest.push((next, end - 1));
    }
    rest
}

/// When the ids may have been sent that a frame shows missing. A connection keeps the order: not before the frame that
/// came before it there, and not while another one lived that is gone now, for it would have brought them. So would the same
/// one, had it carried the stream before and given it up for want of room.
/// Rows are split at an interval boundary, before anybody can know: not before the last one.
fn hole(last_ts: i64, shows: FrameId, ts: i64, looked: &Looked, tape: &Tape) -> Spans {
    let mut hole = Spans::default();
    hole.push(last_ts.max(looked.before).max(looked.boundary), ts);
    let mut gone = Spans::default();
    let is_gone = |l: &&Life| l.end < ts && (l.conn != shows.0 || l.begin < looked.since);
    for l in tape.streams[looked.stream].lives.iter().filter(is_gone) {
        gone.push(l.begin, l.end);
    }
    hole.without(&gone.tidy())
}

impl Ids<'_> {
    fn book(&mut self, b: &BookProof, facts: &Facts, tape: &Tape) {
        self.bridged.push(b.begin, b.last_ts);
        let within = self.within.get_or_insert_with(Spans::default);
        let Some((cleared, frame)) = b.end else {
            within.push(b.begin, i64::MAX);
            return;
        };
        within.push(b.begin, cleared);
        // Cleared by a timer, a close, a stop; by the last message itself (crossed); or by a frame that cannot be read:
        // up to there everything had come.
        let complete = frame.1 < 0 || frame == b.last || facts.unreadable.contains(&frame);
        if let (false, Some(l)) = (complete, tape.looked.get(&frame)) {
            self.misses(&hole(b.last_ts, frame, cleared, l, tape));
        }
    }

    fn misses(&mut self, hole: &Spans) {
        for (begin, end) in hole.iter() {
            self.missing.push(begin, end);
        }
    }

    fn proof(&self, s: &Stream, lost: &Spans) -> Spans {
        let lived = match &self.within {
            Some(w) => s.alive.intersection(w),
            None if s.is_book => Spans::default(),
            None => s.alive.clone(),
        };
        lived.without(&s.pace.silent).without(&self.missing).union(&self.bridged).without(lost)
    }
}

/// One stream.
struct Judge<'a> {
    facts: &'a Facts,
    tape: &'a Tape,
    key: &'a StreamKey,
    stream: &'a Stream,
    report: &'a mut Report,
}

impl Judge<'_> {
    fn fault(&mut self, is_cover: bool, ts: i64, what: impl FnOnce() -> String) {
        let file = self.facts.place(self.key, is_cover, ts);
        let key = self.key;
        self.report.fault(CheckId::Coverage, file, -1, || {
            format!("lane {:03} {} {}: {}", key.lane, key.venue, key.stream, what())
        });
    }

    fn stream(&mut self, stated: &Stated, ids: Option<&Ids<'_>>) {
        // What was before the first subscription that we saw is unknown unless we saw everything.
        let known = self.stream.subscribed.iter().next().map_or(i64::MAX, |s| s.0);
        let known = if self.tape.whole { i64::MIN } else { known };
        let (mut cover, mut gaps) = (stated.cover.clone(), stated.gaps.clone());
        for (is_cover, begin) in &stated.open {
            let list = if *is_cover { &mut cover } else { &mut gaps };
            list.push(*begin, self.tape.end);
        }
        let (cover, gaps) = (cover.tidy().from(known), gaps.tidy().from(known));
        self.overlaps(stated);
        self.starts(stated);
        self.identity(&cover, &gaps);
        self.books_end(&gaps, ids);
        let instrument_torn = self.is_torn();
        if instrument_torn {
            self.report.count(CheckId::Coverage, "streams_not_proven", 1);
        } else {
            self.proven(&cover, ids);
            self.holes(stated, ids, known);
        }
        self.report.count(CheckId::Coverage, "streams", 1);
        self.report.count(CheckId::Coverage, "covered_ns", cover.length());
        self.report.count(CheckId::Coverage, "gap_ns", gaps.length());
    }

    /// Whether a file is unreadable that the proof of any stream may need. Which instrument a stream is of stands in
    /// its frames' rows only, so all streams of the venue wait for the repair.
    fn is_torn(&self) -> bool {
        let of_venue = |i: &String| i.split_once(':').is_some_and(|(v, _)| v == self.key.venue);
        self.facts.torn.iter().any(of_venue)
    }

    /// Rows of a stream follow each other, where the clock did.
    fn overlaps(&mut self, stated: &Stated) {
        for i in &stated.inside {
            if self.tape.stepped.iter().any(|(b, e)| b <= i.begin && i.begin < e) {
                continue;
            }
            let stream = &self.key.stream;
            self.report.fault(CheckId::Coverage, &i.file, i.row, || {
                format!("{stream}: begins at {} inside a row that ends at {}", i.begin, i.before_end)
            });
        }
    }

    /// That the recorder did not run explains nothing since it runs again.
    fn starts(&mut self, stated: &Stated) {
        let stepped = &self.tape.stepped;
        for s in stated.stopped.iter().filter(|s| !stepped.iter().any(|(b, e)| b < s.end && s.begin < e)) {
            let Some(start) = self.stream.starts.iter().find(|t| s.begin < **t && **t < s.end) else {
                continue;
            };
            let (stream, cause) = (&self.key.stream, s.cause.as_str());
            self.report.fault(CheckId::Coverage, &s.file, s.row, || {
                format!("{stream}: {cause} goes on behind {start}, when the recorder ran again")
            });
        }
    }

    fn identity(&mut self, cover: &Spans, gaps: &Spans) {
        let stepped = &self.tape.stepped;
        for (b, e) in cover.intersection(gaps).without(stepped).iter() {
            self.fault(false, b, || format!("{b}..{e} is called proven and missing"));
        }
        let stated = cover.union(gaps);
        for (b, e) in self.stream.subscribed.without(&stated).without(stepped).iter() {
            self.fault(true, b, || format!("{b}..{e} ({} ns) is neither covered nor explained", e - b));
        }
        for (b, e) in stated.without(&self.stream.subscribed).without(stepped).iter() {
            let is_cover = cover.iter().any(|c| c.0 <= b && b < c.1);
            self.fault(is_cover, b, || format!("{b}..{e} has rows, but was not subscribed"));
        }
    }

    /// A gap that is longer than a connection may be silent ends the book, which nobody knows any more.
    fn books_end(&mut self, gaps: &Spans, ids: Option<&Ids<'_>>) {
        let Some(books) = ids.and_then(|i| i.within.as_ref()).filter(|_| self.stream.is_book) else { return };
        let bears = crate::fold::venue_spec(&self.key.venue).map_or(0, |s| i64::from(s.silence_most_s()));
        let most = bears * NS_PER_S + LAPSE_SLACK_NS;
        for (b, e) in gaps.without(&self.tape.stepped).iter().filter(|(b, e)| e.saturating_sub(*b) > most) {
            if books.iter().any(|(begin, end)| begin < b && end > e) {
                self.fault(false, b, || {
                    format!("the book goes on through the gap {b}..{e} as if it were known")
                });
            }
        }
    }

    fn proven(&mut self, cover: &Spans, ids: Option<&Ids<'_>>) {
        let none = Ids::default();
        let proof = planted!(
            "coverage_takes_its_own_word",
            cover.clone(),
            ids.unwrap_or(&none).proof(self.stream, &self.tape.lost)
        );
        // Which streams a connection carries that was opened before, the files that are looked at do not say.
        let judged = cover.from(self.tape.older_until);
        self.report.count(CheckId::Coverage, "not_proven_ns", cover.length() - judged.length());
        for (b, e) in judged.without(&proof).without(&self.tape.stepped).iter() {
            self.fault(true, b, || format!("{b}..{e} ({} ns) is called covered without proof", e - b));
        }
    }

    /// Missing trades and the rows that name them. What a gap misses that began before `known` is not judged.
    fn holes(&mut self, stated: &Stated, ids: Option<&Ids<'_>>, known: i64) {
        let Some(ids) = ids.filter(|i| i.has_runs) else { return };
        let mut between: BTreeMap<i64, i64> = ids.passed.iter().copied().collect();
        for (before, run, rest) in &ids.holes {
            let after = if run.first_id > before.last_id { run.first_id - 1 } else { -1 };
            let to = between.entry(before.last_id).or_insert(after);
            *to = after.max(*to);
            if after >= 0 && rest.is_empty() {
                self.report.count(CheckId::Chains, "trade_holes_filled", 1);
                continue;
            }
            self.report.count(CheckId::Chains, "trade_holes", 1);
            let names = |from: i64, to: i64| {
                let mut next = from;
                while next <= to {
                    // A row that names more than what lies between the two names something else.
                    let is_between = |h: &&Hole| before.last_id <= h.before && h.after <= after;
                    let mut rows = stated.holes.iter().filter(is_between);
                    let row = rows.find(|h| h.before < next && h.after >= next);
                    let Some(row) = row else { return false };
                    next = row.after + 1;
                }
                true
            };
            let is_named = match after {
                -1 => stated.holes.iter().any(|h| (h.before, h.after) == (before.last_id, -1)),
                _ => rest.iter().all(|(a, b)| names(*a, *b)),
            };
            if is_named {
                continue;
            }
            if was_unsubscribed(self.stream, &self.tape.stepped, before, run) {
                continue;
            }
            let (key, last) = (self.key, before.last_id);
            self.report.fault(CheckId::Chains, &run.file, run.row, || {
                format!(
                    "{}: after trade {last} comes {}, and no gap names what is missing",
                    key.stream, run.first_id
                )
            });
        }
        for h in stated.holes.iter().filter(|h| h.after > h.before) {
            let unknown = ids.unknown.iter().any(|(last, first)| *last <= h.before && h.after < *first);
            if unknown || h.begin < known {
                self.report.count(CheckId::Chains, "trade_holes_not_judged", 1);
                continue;
            }
            let whole = between.range(..=h.before).next_back().is_some_and(|(_, to)| h.after <= *to);
            if !whole && !between.iter().any(|(from, to)| *from <= h.before && h.after <= *to) {
                let key = self.key;
                self.report.fault(CheckId::Chains, &h.file, h.row, || {
                    format!("{}: ids ({}, {}] are called missing and are not", key.stream, h.before, h.after)
                });
            }
        }
    }
}

/// Whether a stream was given up between two runs of its trades. Where the clock went twice through a part of that time, it
/// may have been at any moment of what it went through.
fn was_unsubscribed(s: &Stream, stepped: &Spans, before: &TradeRun, run: &TradeRun) -> bool {
    let (mut from, mut to) = (before.last_ts.min(run.first_ts), run.first_ts.max(before.last_ts));
    for (begin, end) in stepped.iter() {
        if begin <= to && from < end {
            (from, to) = (from.min(begin), to.max(end));
        }
    }
    s.left.iter().any(|t| (from..=to).contains(t))
}
