//! The journal and the rings: does anything wait there that belongs into the files?

use std::collections::BTreeMap;

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
        for (lane, last, published) in unpublished(&dirs, tail.end, tapes, report)? {
            report.fault(id, "_journal", -1, || {
                format!(
                    "lane {lane:03}: records up to {last} wait, {published} is published; run `lobtape recover`"
                )
            });
        }
    }
    Ok(())
}

/// What cannot be read of a journal, between the last records before it and the first behind it.
struct Loss {
    what: String,
    /// Last record of each lane before it.
    before: BTreeMap<LaneId, i64>,
    /// Records that are not there, by lane.
    records: Vec<(LaneId, i64, i64)>,
}

impl Loss {
    /// Whether the lanes' own records say that these are lost, so that the files explain it.
    fn is_told(&self, tapes: &[Tape]) -> bool {
        let told = |(lane, first, last): &(LaneId, i64, i64)| {
            let tape = tapes.iter().find(|t| t.lane == *lane);
            tape.is_some_and(|t| t.told.iter().any(|(a, b)| a <= first && last <= b))
        };
        !self.records.is_empty() && self.records.iter().all(told)
    }
}

/// Says what is damaged. What is published is not touched by it: segments are let go when all that they hold is.
fn damaged(losses: &[Loss], breaks: &[u64], tapes: &[Tape], report: &mut Report) {
    for l in losses {
        if l.is_told(tapes) {
            report.note(CheckId::Journal, format!("{}: a gap tells of it", l.what));
        } else {
            report.fault(CheckId::Journal, "_journal", -1, || l.what.clone());
        }
    }
    for segment in breaks {
        report.fault(CheckId::Journal, "_journal", -1, || {
            format!("segment {segment} does not go on from what is in front of it: bytes were changed")
        });
    }
}

/// Readers' lanes of which the journal has more than `raw`: lane, last record, last published one. Lane 000 goes on
/// after the readers have stopped (checkpoints); its last words come with the next run.
fn unpublished(
    dirs: &Dirs,
    end: crate::journal::Position,
    tapes: &[Tape],
    report: &mut Report,
) -> Result<Vec<(LaneId, i64, i64)>, VerifyError> {
    let mut losses: Vec<Loss> = Vec::new();
    let mut reader = JournalReader::new(dirs.clone(), crate::journal::Position::START);
    let mut last: BTreeMap<LaneId, i64> = BTreeMap::new();
    loop {
        match reader.read(end) {
            Ok(Some(ReadItem::Record { record, .. })) => {
                let (lane, seq) = (record.lane, record.lane_seq);
                let before = last.insert(lane, seq);
                if let Some(l) = losses.last_mut()
                    && l.before.remove(&lane).is_some()
                    && let Some(before) = before.filter(|b| b + 1 < seq)
                {
                    l.records.push((lane, before + 1, seq - 1));
                }
            }
            Ok(Some(ReadItem::Corrupt { segment, offset, len })) => {
                let what = match len {
                    0 => format!("segment {segment} cannot be read"),
                    _ => format!("segment {segment} is damaged at {offset}, {len} bytes"),
                };
                losses.push(Loss { what, before: last.clone(), records: Vec::new() });
            }
            Ok(Some(ReadItem::Missing { first, last: to })) => {
                let what = format!("segments {first} to {to} are missing");
                losses.push(Loss { what, before: last.clone(), records: Vec::new() });
            }
            Err(JournalError::Record { .. }) => {}
            Ok(None) => break,
            Err(e) => return Err(e.into()),
        }
    }
    damaged(&losses, &reader.stats().chain_breaks, tapes, report);
    let published = |l: LaneId| tapes.iter().find(|t| t.lane == l).map_or(-1, |t| t.last_seq);
    let waits = last.into_iter().filter(|(l, seq)| *l != 0 && *seq > published(*l));
    Ok(waits.map(|(l, seq)| (l, seq, published(l))).collect())
}
