//! The journal and the rings: does anything wait there that belongs into the files?

use super::report::{CheckId, Report};
use super::tape::Tape;
use super::{Options, VerifyError};
use crate::dataset::Dataset;
use crate::journal::{Dirs, JournalError, JournalReader, ReadItem, list_segments};
use crate::model::LaneId;

/// Looks at what a writer left behind, without touching it.
pub(super) fn look(
    ds: &Dataset,
    tapes: &[Tape],
    o: &Options,
    report: &mut Report,
) -> Result<(), VerifyError> {
    let id = CheckId::Journal;
    report.writer_running = ds.has_writer()?;
    let dirs = Dirs::new(ds.journal_dir());
    let segments = list_segments(&dirs)?;
    report.count(id, "segments", segments.len() as i64);
    if report.writer_running {
        report.note(id, "a process writes here: only what is published was looked at".to_owned());
        return Ok(());
    }
    let rings: Vec<_> = ds.marker()?.rings.into_iter().filter(|(_, path)| path.exists()).collect();
    report.count(id, "rings", rings.len() as i64);
    for (lane, path) in &rings {
        report.fault(id, &path.display().to_string(), -1, || {
            format!("lane {lane:03}: the ring of a process that died; run `lobtape recover` first")
        });
    }
    let tail = match JournalReader::find_tail(&dirs) {
        Ok(tail) => tail,
        Err(e @ JournalError::NewerVersion { .. }) => {
            report.fault(id, "", -1, || e.to_string());
            return Ok(());
        }
        Err(e) => return Err(e.into()),
    };
    let Some(tail) = tail else { return Ok(()) };
    if !tail.sealed {
        report.fault(id, "_journal", -1, || "not closed; run `lobtape recover` first".to_owned());
    } else if !o.is_partial() {
        for (lane, last, published) in unpublished(&dirs, tail.end, tapes)? {
            report.fault(id, "_journal", -1, || {
                format!(
                    "lane {lane:03}: records up to {last} wait, {published} is published; run `lobtape recover`"
                )
            });
        }
    }
    Ok(())
}

/// Readers' lanes of which the journal has more than `raw`: lane, last record, last published one. Lane 000 goes on
/// after the readers have stopped (checkpoints); its last words come with the next run.
fn unpublished(
    dirs: &Dirs,
    end: crate::journal::Position,
    tapes: &[Tape],
) -> Result<Vec<(LaneId, i64, i64)>, VerifyError> {
    let mut reader = JournalReader::new(dirs.clone(), crate::journal::Position::START);
    let mut last: std::collections::BTreeMap<LaneId, i64> = std::collections::BTreeMap::new();
    loop {
        match reader.read(end) {
            Ok(Some(ReadItem::Record { record, .. })) => {
                last.insert(record.lane, record.lane_seq);
            }
            Ok(Some(_)) | Err(JournalError::Record { .. }) => {}
            Ok(None) => break,
            Err(e) => return Err(e.into()),
        }
    }
    let published = |l: LaneId| tapes.iter().find(|t| t.lane == l).map_or(-1, |t| t.last_seq);
    let waits = last.into_iter().filter(|(l, seq)| *l != 0 && *seq > published(*l));
    Ok(waits.map(|(l, seq)| (l, seq, published(l))).collect())
}
