//! `row`: counts up from 0 at UTC midnight, per instrument and table, or per lane and table where files are a lane's.

use super::facts::{Cx, Visitor};
use super::report::CheckId;
use crate::dataset::read::Batch;
use crate::dataset::{DatasetError, Level, PartRecord};
use crate::model::{flags, time};

/// Rows of one instrument and table, or of one lane and table.
pub(super) struct Order {
    /// Files of several venues share one count: their rows interleave and only an interval's sum can be judged.
    shared: bool,
    /// Nothing may be missing before the first row of a day.
    whole: bool,
    date: String,
    next: i64,
    last_ts: i64,
    last_row: i64,
    /// Of the open interval: its start, rows, smallest and largest number, its first file.
    interval: Option<(i64, i64, i64, i64, String)>,
}

impl Order {
    /// `whole`: no files were left out or deleted.
    pub fn new(level: Level, whole: bool) -> Order {
        Order {
            shared: level != Level::Symbol,
            whole,
            date: String::new(),
            next: 0,
            last_ts: i64::MIN,
            last_row: -1,
            interval: None,
        }
    }

    fn close(&mut self, cx: &mut Cx<'_>) {
        let Some((_, rows, low, high, file)) = self.interval.take() else { return };
        if self.whole && (low != self.next || high - low + 1 != rows) {
            let next = self.next;
            cx.report.fault(CheckId::Rows, &file, low, || {
                format!("this interval has {rows} rows from {low} to {high}, and {next} is the next row")
            });
        }
        self.next = self.next.max(high + 1);
    }

    fn tally(&mut self, p: &PartRecord, rows: i64, low: i64, high: i64) {
        let new = || (p.interval_start, 0, i64::MAX, i64::MIN, p.path.clone());
        let i = self.interval.get_or_insert_with(new);
        (i.1, i.2, i.3) = (i.1 + rows, i.2.min(low), i.3.max(high));
    }

    fn enter(&mut self, p: &PartRecord, cx: &mut Cx<'_>) {
        if self.interval.as_ref().is_some_and(|i| i.0 != p.interval_start) {
            self.close(cx);
        }
        if self.date != p.date {
            self.close(cx);
            self.date.clone_from(&p.date);
            self.next = 0;
        }
        if self.shared {
            self.last_row = -1;
        }
        self.last_ts = i64::MIN;
    }
}

impl Visitor for Order {
    fn part(&mut self, p: &PartRecord, _known: bool, cx: &mut Cx<'_>) {
        self.enter(p, cx);
        if !self.shared && !self.whole {
            self.next = self.next.max(p.row_min);
        }
    }

    fn batch(&mut self, p: &PartRecord, b: &Batch, cx: &mut Cx<'_>) -> Result<(), DatasetError> {
        let (row, ts, bad) = (b.i64("row")?, b.i64("ts_recv")?, b.i32("flags")?);
        for i in 0..row.len() {
            let (r, t, late) = (row[i], ts[i], bad[i] & flags::BAD_TS_RECV != 0);
            let wrong = if self.shared { r <= self.last_row } else { r != self.next };
            if wrong {
                let (next, last, shared) = (self.next, self.last_row, self.shared);
                cx.report.fault(CheckId::Rows, &p.path, r, || match (shared, r < next) {
                    (true, _) => format!("row {r} after row {last}"),
                    (_, true) => format!("row {r} is there again, {next} is the next one"),
                    (_, false) => format!("rows {next} to {} are missing", r - 1),
                });
            }
            if !self.shared {
                self.next = r + 1;
            }
            self.last_row = r;
            if !late && time::date_text(time::day_of(t)) != p.date {
                cx.report.fault(CheckId::Rows, &p.path, r, || format!("ts_recv {t} is not of {}", p.date));
            }
            if !late && t < self.last_ts {
                let last = self.last_ts;
                cx.report.fault(CheckId::Rows, &p.path, r, || {
                    format!("ts_recv falls from {last} to {t} without BAD_TS_RECV")
                });
            }
            self.last_ts = self.last_ts.max(t);
        }
        if self.shared
            && let (Some(low), Some(high)) = (row.iter().min(), row.iter().max())
        {
            self.tally(p, row.len() as i64, *low, *high);
        }
        cx.report.count(CheckId::Rows, "rows", row.len() as i64);
        Ok(())
    }

    fn skip(&mut self, p: &PartRecord, cx: &mut Cx<'_>) {
        // The manifest still says which rows these were.
        self.enter(p, cx);
        if self.shared {
            self.tally(p, p.rows, p.row_min, p.row_max);
        } else {
            self.next = self.next.max(p.row_max + 1);
        }
    }

    fn end(&mut self, cx: &mut Cx<'_>) {
        self.close(cx);
    }
}
