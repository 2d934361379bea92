//! The proof from the files alone: coverage, chains, checksums, duplicates, books recomputed.
//!
//! Three passes. Every published file is read once (`files`): hashes, row order, chains of ids, books, and on the way
//! the facts that coverage rests on. Then each lane's `raw` in the order of its records (`tape`): what was subscribed,
//! which connections lived and how long. Last (`coverage`) both are held against the rows of `coverage` and `gaps`.
//! Nothing is taken from the fold but names; its rows are what is judged.

mod books;
mod coverage;
mod facts;
mod files;
mod journal;
mod order;
mod pace;
mod report;
mod spans;
mod tape;
mod trades;

#[cfg(test)]
mod tests;

pub use report::{Check, CheckId, Finding, Report};

use crate::dataset::{Dataset, DatasetError, PartRecord, Table};
use crate::journal::JournalError;

/// What to look at; everything by default.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only this table's files. Coverage needs several tables and is judged only without this.
    pub table: Option<Table>,
    /// Only this venue.
    pub venue: Option<String>,
    /// Only this UTC day (`YYYY-MM-DD`). What was before it is unknown then, and not judged.
    pub date: Option<String>,
    /// Findings kept per check, 0 = 100; all are counted.
    pub findings_max: usize,
}

impl Options {
    fn wants(&self, p: &PartRecord) -> bool {
        // Tables without a venue concern every one, and so do the lanes' own records under `_`.
        let venue_free = p.venue.is_empty() || p.venue == "_";
        self.table.is_none_or(|t| p.table() == Some(t))
            && self.venue.as_ref().is_none_or(|v| *v == p.venue || venue_free)
            && self.date.as_ref().is_none_or(|d| *d == p.date)
    }

    /// Whether a part of the dataset is left out.
    fn is_partial(&self) -> bool {
        self.table.is_some() || self.venue.is_some() || self.date.is_some()
    }
}

/// Why verification could not be finished. What it found so far is lost; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The dataset cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Told now and then: what is being done, bytes or records done, and of how many (0 = unknown).
pub type Progress<'a> = &'a mut dyn FnMut(&'static str, u64, u64);

/// Verifies a dataset. Takes no lock and changes nothing. What is wrong with the data is in the report.
///
/// # Errors
/// [`VerifyError`]: a manifest that cannot be read, a file system that refuses.
pub fn verify(ds: &Dataset, options: &Options, progress: Progress<'_>) -> Result<Report, VerifyError> {
    let mut report = Report::new(ds.id(), options.findings_max);
    // In this order: beside a running writer the manifest may have more lines than the marker says, never fewer.
    let written = ds.marker()?.lines;
    let manifest = ds.manifest()?;
    files::lines(&manifest, written, &mut report);
    let facts = files::read(ds, &manifest, options, &mut report, progress)?;
    let tapes = match options.table {
        None | Some(Table::Raw) => tape::read(ds, &manifest, options, &facts, &mut report, progress)?,
        Some(_) => Vec::new(),
    };
    if options.table.is_none() {
        coverage::judge(&facts, &tapes, &mut report);
    } else {
        report.note(CheckId::Coverage, "not judged: only one table is looked at".to_owned());
    }
    journal::look(ds, &tapes, options, &mut report)?;
    report.finish();
    Ok(report)
}
