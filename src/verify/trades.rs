//! Trades: ids rise by one, per instrument and kind of id.

use std::collections::BTreeSet;

use super::facts::{Cx, FrameId, TradeRun, Visitor};
use super::report::CheckId;
use crate::dataset::read::Batch;
use crate::dataset::{DatasetError, PartRecord};
use crate::model::flags;

/// The trades of one instrument.
pub(super) struct Trades {
    instrument: String,
    /// Whether ids of single trades prove anything; those of aggregates always do.
    chain: bool,
    /// The open run of single trades and of aggregates.
    open: [Option<TradeRun>; 2],
    /// The next trade of a kind cannot be held against the last one.
    torn: [bool; 2],
    /// Files before the next one were not looked at.
    unknown: [bool; 2],
    /// How often the ids of a kind have begun anew.
    count: [u32; 2],
    /// Ids that came late, behind the number of their count.
    late: [BTreeSet<(u32, i64)>; 2],
}

/// How far below an instrument's first id one may come late: further below, the venue counts anew.
const FIRST_LATE: i64 = 1024;

impl Trades {
    pub fn new(p: &PartRecord) -> Trades {
        Trades {
            instrument: format!("{}:{}", p.venue, p.symbol),
            chain: crate::fold::venue_spec(&p.venue).is_none_or(|s| s.trades_chain),
            open: [None, None],
            // Before the first one nothing was.
            torn: [true, true],
            unknown: [false, false],
            count: [0, 0],
            late: [BTreeSet::new(), BTreeSet::new()],
        }
    }

    /// Whether an id that comes late is one that was missing in a count, or came just before the very first.
    fn was_missing(&self, k: usize, (count, id): (u32, i64), cx: &Cx<'_>) -> bool {
        let closed = cx.facts.runs.get(&(self.instrument.clone(), k == 1)).map_or(&[][..], Vec::as_slice);
        let runs: Vec<&TradeRun> = closed.iter().chain(&self.open[k]).filter(|r| r.count == count).collect();
        let is_before =
            |r: &&TradeRun| (r.first_id.saturating_sub(FIRST_LATE)..r.first_id).contains(&id) && count == 0;
        runs.first().is_some_and(is_before)
            || runs.windows(2).any(|w| w[0].last_id < id && id < w[1].first_id)
    }

    fn trade(
        &mut self,
        is_aggregate: bool,
        id: i64,
        ts: i64,
        frame: FrameId,
        at: (&str, i64),
        cx: &mut Cx<'_>,
    ) {
        let k = usize::from(is_aggregate);
        if let Some(run) = &mut self.open[k] {
            if !self.torn[k] && run.last_id.checked_add(1) == Some(id) {
                (run.last_id, run.last_ts, run.last) = (id, ts, frame);
                return;
            }
            let (last, count) = (run.last_id, self.count[k]);
            let is_anew = id < last && cx.facts.anew.contains(&frame);
            let is_late = !is_anew && !self.torn[k];
            if is_late && (id == last || (id < last && self.was_missing(k, (count, id), cx))) {
                if id == last || !self.late[k].insert((count, id)) {
                    cx.report
                        .fault(CheckId::Chains, at.0, at.1, || format!("trade {id} again, after {last}"));
                }
                return;
            }
            // Below and never missing: the venue counts anew, which a gap must say, or it is there twice.
            self.count[k] += u32::from(id < last);
        }
        self.close(k, cx);
        self.open[k] = Some(TradeRun {
            count: self.count[k],
            first_id: id,
            last_id: id,
            first_ts: ts,
            last_ts: ts,
            first: frame,
            last: frame,
            follows: !self.torn[k],
            after_unknown: std::mem::take(&mut self.unknown[k]),
            file: at.0.to_owned(),
            row: at.1,
        });
        self.torn[k] = false;
    }

    /// A trade that was asked for after its gap had ended: one that was missing, and once.
    fn backfilled(&mut self, is_aggregate: bool, id: i64, at: (&str, i64), cx: &mut Cx<'_>) {
        let k = usize::from(is_aggregate);
        cx.report.count(CheckId::Chains, "backfilled", 1);
        // Of the newest count in which it was missing.
        let of = (0..=self.count[k]).rev().find(|c| self.was_missing(k, (*c, id), cx));
        if !self.late[k].insert((of.unwrap_or(self.count[k]), id)) {
            cx.report.fault(CheckId::Chains, at.0, at.1, || format!("trade {id} again, by REST"));
        } else if !self.torn[k] && self.open[k].is_some() && of.is_none() {
            cx.report.fault(CheckId::Chains, at.0, at.1, || {
                format!("trade {id} came by REST and was not missing")
            });
        }
    }

    fn close(&mut self, k: usize, cx: &mut Cx<'_>) {
        if let Some(run) = self.open[k].take() {
            cx.report.count(CheckId::Chains, "trade_runs", 1);
            cx.facts.runs.entry((self.instrument.clone(), k == 1)).or_default().push(run);
        }
    }
}

impl Visitor for Trades {
    fn part(&mut self, _p: &PartRecord, known: bool, _cx: &mut Cx<'_>) {
        if !known {
            self.torn = [true, true];
            self.unknown = [true, true];
        }
    }

    fn batch(&mut self, p: &PartRecord, b: &Batch, cx: &mut Cx<'_>) -> Result<(), DatasetError> {
        let (row, ts, row_flags) = (b.i64("row")?, b.i64("ts_recv")?, b.i32("flags")?);
        let (conn, rseq) = (b.i64("conn")?, b.i64("rseq")?);
        let (id, id_text, kind) = (b.i64("trade_id")?, b.text("trade_id_text")?, b.text("trade_type")?);
        let aggregate = b.bool("is_aggregate")?;
        let mut trades = 0;
        for i in 0..b.rows() {
            // Aggregates have an id of their own beside those of the trades in them. Block trades do not chain.
            let is_aggregate = aggregate.value(i);
            let id = if is_aggregate { id_text.value(i).parse().unwrap_or(-1) } else { id[i] };
            let chains = is_aggregate || self.chain;
            if id < 0 || !chains || kind.value(i) == "block" {
                continue;
            }
            if row_flags[i] & flags::BACKFILLED != 0 {
                self.backfilled(is_aggregate, id, (&p.path, row[i]), cx);
                continue;
            }
            self.trade(is_aggregate, id, ts[i], (conn[i], rseq[i]), (&p.path, row[i]), cx);
            trades += 1;
        }
        cx.report.count(CheckId::Chains, "trades", trades);
        Ok(())
    }

    fn skip(&mut self, _p: &PartRecord, cx: &mut Cx<'_>) {
        cx.facts.torn.insert(self.instrument.clone());
    }

    fn end(&mut self, cx: &mut Cx<'_>) {
        for k in [0, 1] {
            self.close(k, cx);
            let late = std::mem::take(&mut self.late[k]);
            if !late.is_empty() {
                cx.facts.late.insert((self.instrument.clone(), k == 1), late);
            }
        }
    }
}
