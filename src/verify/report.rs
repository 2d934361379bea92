//! What was looked at and what was found.

use std::collections::BTreeMap;

use serde::Serialize;

/// Findings kept per check unless told otherwise.
const FINDINGS_MAX: usize = 100;

/// A check, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckId {
    /// Files are there, with the bytes, rows and ranges that the manifest states, and no others.
    Files,
    /// `row` counts up without a hole per instrument and table within a UTC day.
    Rows,
    /// Every record once: `lane_seq` per lane, `rseq` per connection.
    Raw,
    /// Ids of books and trades chain, and what is missing is stated in `gaps`.
    Chains,
    /// Books: carried ones equal the recomputed ones, epochs, `CLEAR`, crossed ones.
    Books,
    /// Coverage and gaps together are what was subscribed, apart from each other, and coverage is proven.
    Coverage,
    /// Nothing waits in the journal or in rings of a dead process.
    Journal,
}

impl CheckId {
    /// Every check.
    pub const ALL: [CheckId; 7] = [
        CheckId::Files,
        CheckId::Rows,
        CheckId::Raw,
        CheckId::Chains,
        CheckId::Books,
        CheckId::Coverage,
        CheckId::Journal,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckId::Files => "files",
            CheckId::Rows => "rows",
            CheckId::Raw => "raw",
            CheckId::Chains => "chains",
            CheckId::Books => "books",
            CheckId::Coverage => "coverage",
            CheckId::Journal => "journal",
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Path inside the dataset, "" where no single file is at fault.
    pub file: String,
    /// `row` in that file, −1 where no single row is at fault.
    pub row: i64,
    /// What is wrong.
    pub what: String,
}

/// One check's outcome.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Which.
    pub check: CheckId,
    /// What was looked at, by name.
    pub counts: BTreeMap<&'static str, i64>,
    /// Everything that is wrong, counted.
    pub faults: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
    /// What was not judged, and other things to know.
    pub notes: Vec<String>,
}

/// What a verification found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The dataset's id.
    pub dataset: String,
    /// Nothing is wrong.
    pub well: bool,
    /// A process writes here now: only what is published was looked at.
    pub writer_running: bool,
    /// The checks in order.
    pub checks: Vec<Check>,
    #[serde(skip)]
    max: usize,
}

impl Report {
    pub(super) fn new(dataset: &str, max: usize) -> Report {
        let new = |check| Check {
            check,
            counts: BTreeMap::new(),
            faults: 0,
            findings: Vec::new(),
            notes: Vec::new(),
        };
        Report {
            dataset: dataset.to_owned(),
            well: true,
            writer_running: false,
            checks: CheckId::ALL.into_iter().map(new).collect(),
            max: if max == 0 { FINDINGS_MAX } else { max },
        }
    }

    /// One check.
    pub fn check(&self, id: CheckId) -> &Check {
        // `checks` has one entry per id, in the order of `ALL`, which is the order of the numbers.
        &self.checks[id as usize]
    }

    /// Everything found, in the order of the checks.
    pub fn findings(&self) -> impl Iterator<Item = (CheckId, &Finding)> {
        self.checks.iter().flat_map(|c| c.findings.iter().map(|f| (c.check, f)))
    }

    pub(super) fn fault(&mut self, id: CheckId, file: &str, row: i64, what: impl FnOnce() -> String) {
        let max = self.max;
        let c = &mut self.checks[id as usize];
        c.faults += 1;
        if c.findings.len() < max {
            c.findings.push(Finding { file: file.to_owned(), row, what: what() });
        }
    }

    pub(super) fn count(&mut self, id: CheckId, what: &'static str, n: i64) {
        let c = self.checks[id as usize].counts.entry(what).or_insert(0);
        *c = c.saturating_add(n);
    }

    pub(super) fn note(&mut self, id: CheckId, note: String) {
        let notes = &mut self.checks[id as usize].notes;
        if notes.len() < 20 && !notes.contains(&note) {
            notes.push(note);
        }
    }

    pub(super) fn finish(&mut self) {
        self.well = self.checks.iter().all(|c| c.faults == 0);
    }
}
