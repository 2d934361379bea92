//! `raw` read back as the records that it was made of: what rebuild, replay and verify fold again.
//!
//! The records of a lane lie in one file sequence per venue; merged by `lane_seq` they are the lane again. Whether
//! `lane_seq` is gap-free is for the caller to judge.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use arrow_array::{
    ArrayRef, BinaryArray, DictionaryArray, Int32Array, Int64Array, StringArray, cast::AsArray,
    types::Int32Type,
};

use super::error::DatasetError;
use super::layout::Dataset;
use super::manifest::{Manifest, PartRecord};
use super::read::{self, Batch, Batches, Want};
use super::rows::record_flags;
use super::schema::Table;
use crate::model::{Kind, LaneId, Record};

const COLUMNS: [&str; 13] = [
    "ts_recv",
    "ts_kernel",
    "conn",
    "rseq",
    "flags",
    "lane",
    "lane_seq",
    "ts_mono",
    "kind",
    "stream",
    "url",
    "status",
    "payload",
];

/// The records of one lane, in the order of `lane_seq`.
pub struct RawLane {
    lane: LaneId,
    sources: Vec<Source>,
    /// The source that gave the last record, to be moved on first.
    given: Option<usize>,
}

/// One venue's files of a lane.
struct Source {
    files: VecDeque<PathBuf>,
    batches: Option<Batches>,
    rows: Option<Rows>,
    at: usize,
    last_seq: i64,
}

/// One batch with its columns found.
struct Rows {
    path: PathBuf,
    len: usize,
    ts_recv: Int64Array,
    ts_kernel: Int64Array,
    conn: Int64Array,
    rseq: Int64Array,
    flags: Int32Array,
    lane: Int64Array,
    lane_seq: Int64Array,
    ts_mono: Int64Array,
    kinds: Vec<Option<Kind>>,
    kind: DictionaryArray<Int32Type>,
    stream: (DictionaryArray<Int32Type>, StringArray),
    url: (DictionaryArray<Int32Type>, StringArray),
    status: Int32Array,
    payload: BinaryArray,
}

/// The lanes whose records were published under dates in `first..=last` (`YYYY-MM-DD`), lowest lane first.
///
/// # Errors
/// As [`Dataset::manifest`].
pub fn lanes(ds: &Dataset, first: &str, last: &str) -> Result<Vec<RawLane>, DatasetError> {
    Ok(lanes_of(ds, &ds.manifest()?, first, last))
}

/// The same as the manifest stood when it was read: beside a running writer, all that is read must be of one moment.
pub fn lanes_of(ds: &Dataset, manifest: &Manifest, first: &str, last: &str) -> Vec<RawLane> {
    let mut by: BTreeMap<LaneId, BTreeMap<&str, Vec<&PartRecord>>> = BTreeMap::new();
    for p in manifest.parts().filter(|p| p.table() == Some(Table::Raw)) {
        if (first..=last).contains(&p.date.as_str()) {
            by.entry(p.lane).or_default().entry(&p.venue).or_default().push(p);
        }
    }
    let lane = |(lane, venues): (LaneId, BTreeMap<&str, Vec<&PartRecord>>)| RawLane {
        lane,
        sources: venues.into_values().map(|parts| Source::new(ds.root(), parts)).collect(),
        given: None,
    };
    by.into_iter().map(lane).collect()
}

impl RawLane {
    /// The lane.
    pub fn lane(&self) -> LaneId {
        self.lane
    }

    /// The next record and the name of its stream ("" if none); `None` at the end. The record is valid until the next
    /// call.
    ///
    /// # Errors
    /// The file system's, or damage: the file and what is wrong. Reading on gives what follows the damaged file.
    #[allow(clippy::should_implement_trait, reason = "lends from self, which Iterator cannot")]
    pub fn next(&mut self) -> Result<Option<(Record<'_>, &str)>, DatasetError> {
        if let Some(k) = self.given.take() {
            self.sources[k].at += 1;
        }
        let mut best: Option<(i64, usize)> = None;
        for (k, s) in self.sources.iter_mut().enumerate() {
            if let Some(seq) = s.peek()?
                && best.is_none_or(|(b, _)| seq < b)
            {
                best = Some((seq, k));
            }
        }
        let Some((_, k)) = best else { return Ok(None) };
        self.given = Some(k);
        self.sources[k].record(self.lane).map(Some)
    }
}

impl Source {
    fn new(root: &Path, mut parts: Vec<&PartRecord>) -> Source {
        parts.sort_by(|a, b| a.order().cmp(&b.order()));
        let files = parts.into_iter().map(|p| root.join(&p.path)).collect();
        Source { files, batches: None, rows: None, at: 0, last_seq: i64::MIN }
    }

    /// `lane_seq` of the next record.
    fn peek(&mut self) -> Result<Option<i64>, DatasetError> {
        loop {
            if let Some(rows) = &self.rows
                && self.at < rows.len
            {
                return Ok(Some(rows.lane_seq.value(self.at)));
            }
            self.rows = None;
            match self.batches.as_mut().map(Iterator::next) {
                Some(Some(batch)) => {
                    self.at = 0;
                    let rows = Rows::of(&batch?)?;
                    for &seq in rows.lane_seq.values() {
                        if seq <= self.last_seq {
                            self.batches = None;
                            return Err(DatasetError::damaged(
                                &rows.path,
                                format!("lane_seq {seq} after {}", self.last_seq),
                            ));
                        }
                        self.last_seq = seq;
                    }
                    self.rows = Some(rows);
                }
                _ => {
                    let Some(next) = self.files.pop_front() else { return Ok(None) };
                    self.batches = Some(read::open(&next, Want { columns: &COLUMNS, ..Want::default() })?);
                }
            }
        }
    }

    fn record(&self, lane: LaneId) -> Result<(Record<'_>, &str), DatasetError> {
        let i = self.at;
        // `peek` has just found a row here.
        let Some(r) = &self.rows else {
            return Err(DatasetError::damaged(Path::new(""), "no row where one was found"));
        };
        if r.lane.value(i) != i64::from(lane) {
            return Err(DatasetError::damaged(&r.path, format!("a record of lane {}", r.lane.value(i))));
        }
        let kind = r.kind.key(i).and_then(|k| r.kinds[k]);
        let kind = kind.ok_or_else(|| DatasetError::damaged(&r.path, "a record of unknown kind"))?;
        let record = Record {
            kind,
            flags: record_flags(r.flags.value(i)),
            lane,
            status: r.status.value(i),
            conn: r.conn.value(i),
            lane_seq: r.lane_seq.value(i),
            rseq: r.rseq.value(i),
            ts_kernel: r.ts_kernel.value(i),
            ts_mono: r.ts_mono.value(i),
            ts_recv: r.ts_recv.value(i),
            url: text(&r.url, i),
            payload: r.payload.value(i),
        };
        Ok((record, text(&r.stream, i)))
    }
}

fn text(column: &(DictionaryArray<Int32Type>, StringArray), i: usize) -> &str {
    column.0.key(i).map_or("", |k| column.1.value(k))
}

impl Rows {
    fn of(b: &Batch) -> Result<Rows, DatasetError> {
        // The accessors check presence, type and nulls; what they lend is cloned by reference count.
        let int = |name| b.i64(name).map(|v| Int64Array::new(v.to_vec().into(), None));
        let small = |name| b.i32(name).map(|v| Int32Array::new(v.to_vec().into(), None));
        let words = |name: &str| -> Result<(DictionaryArray<Int32Type>, StringArray), DatasetError> {
            b.text(name)?;
            let bad = || DatasetError::damaged(b.path(), format!("column {name} is no dictionary of texts"));
            let a: &ArrayRef = b.batch.column_by_name(name).ok_or_else(bad)?;
            let d: &DictionaryArray<Int32Type> = a.as_dictionary_opt().ok_or_else(bad)?;
            let v = d.values().as_string_opt::<i32>().ok_or_else(bad)?;
            Ok((d.clone(), v.clone()))
        };
        let (kind, kind_words) = words("kind")?;
        Ok(Rows {
            path: b.path().to_owned(),
            len: b.rows(),
            ts_recv: int("ts_recv")?,
            ts_kernel: int("ts_kernel")?,
            conn: int("conn")?,
            rseq: int("rseq")?,
            flags: small("flags")?,
            lane: int("lane")?,
            lane_seq: int("lane_seq")?,
            ts_mono: int("ts_mono")?,
            kinds: kind_words.iter().map(|w| Kind::from_str(w.unwrap_or(""))).collect(),
            kind,
            stream: words("stream")?,
            url: words("url")?,
            status: small("status")?,
            payload: b.binary("payload")?.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::*;
    use super::super::{publish, schema};
    use super::*;
    use crate::model::{RawRow, RowRef, time};
    use proptest::prelude::*;

    /// What a record is made of, for comparing.
    fn of(r: &Record<'_>, stream: &str) -> (Vec<u8>, String) {
        (r.encode(), stream.to_owned())
    }

    fn write(ds: &Dataset, records: &[(&str, Record<'_>, &str)]) {
        let mut parts = Vec::new();
        let mut keys: Vec<(String, i64, u16)> = records
            .iter()
            .map(|(v, r, _)| ((*v).to_owned(), time::floor_to(r.ts_recv, HOUR), r.lane))
            .collect();
        keys.sort();
        keys.dedup();
        for (venue, start, lane) in keys {
            let mut k = key(schema::Table::Raw, &venue, "", start);
            k.lane = lane;
            parts.push(one_part(ds, k, |w| {
                let mut row = 0;
                for (v, r, stream) in records {
                    if *v == venue && time::floor_to(r.ts_recv, HOUR) == start && r.lane == lane {
                        let row_ref = RowRef::Raw(RawRow { record: *r, stream });
                        w.push(&mut row, &head(r.ts_recv), "", (0, 0), &row_ref)?;
                    }
                }
                Ok(())
            }));
        }
        publish(ds, parts, &provenance()).unwrap();
    }

    #[test]
    fn lanes_come_back_whole_over_venues_intervals_and_days() {
        let d = tempfile::tempdir().unwrap();
        let ds = Dataset::create(d.path()).unwrap();
        let midnight = NOON + 12 * HOUR;
        let mut records = Vec::new();
        for (i, venue) in ["a", "b", "a", "_", "a", "b"].into_iter().enumerate() {
            let mut r = record(i as i64, midnight - 3 * HOUR + i as i64 * HOUR, b"payload");
            r.kind = Kind::ALL[i];
            r.lane = if venue == "_" { 0 } else { 1 };
            records.push((venue, r, "s"));
        }
        write(&ds, &records);
        let mut got = Vec::new();
        let mut all = lanes(&ds, "2026-11-20", "2026-11-21").unwrap();
        assert_eq!(all.iter().map(RawLane::lane).collect::<Vec<_>>(), [0, 1]);
        for lane in &mut all {
            while let Some((r, s)) = lane.next().unwrap() {
                got.push(of(&r, s));
            }
        }
        records.sort_by_key(|(_, r, _)| (r.lane, r.lane_seq));
        assert_eq!(got, records.iter().map(|(_, r, s)| of(r, s)).collect::<Vec<_>>());
        let mut second = lanes(&ds, "2026-11-21", "2026-11-21").unwrap();
        assert_eq!(second.last_mut().unwrap().next().unwrap().unwrap().0.lane_seq, 4);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_record_comes_back_exactly(
            kind in 0usize..16, flags in any::<u8>(), status in any::<i32>(), conn in any::<i64>(),
            rseq in any::<i64>(), ts in any::<(i64, i64)>(), url in ".{0,40}", stream in ".{0,40}",
            payload in proptest::collection::vec(any::<u8>(), 0..200), row_flags in 0i32..(1 << 18),
        ) {
            let d = tempfile::tempdir().unwrap();
            let ds = Dataset::create(d.path()).unwrap();
            let r = Record {
                kind: Kind::ALL[kind], flags, lane: 1, status, conn, lane_seq: 9, rseq, ts_kernel: ts.0,
                ts_mono: ts.1, ts_recv: NOON, url: &url, payload: &payload,
            };
            let mut h = head(1);
            h.flags = row_flags;
            let part = one_part(&ds, key(schema::Table::Raw, "v", "", NOON), |w| {
                w.push(&mut 0, &h, "", (0, 0), &RowRef::Raw(RawRow { record: r, stream: &stream }))
            });
            publish(&ds, vec![part], &provenance()).unwrap();
            let mut lane = lanes(&ds, "2026-11-20", "2026-11-20").unwrap();
            let got = lane[0].next().unwrap().map(|(r, s)| of(&r, s));
            prop_assert_eq!(got, Some(of(&r, &stream)));
            prop_assert!(lane[0].next().unwrap().is_none());
        }
    }
}
