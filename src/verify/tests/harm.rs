//! Every kind of harm is found and named. Where the manifest is made to agree, only what the rows say can show it.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use super::maker::{MS, Maker, sample};
use super::{all, verified};
use crate::dataset::hash::RowsHash;
use crate::dataset::part::PartStats;
use crate::dataset::publish::file_sha256;
use crate::dataset::read::{self, Want};
use crate::dataset::{Dataset, PartRecord, Table};
use crate::model::flags;
use crate::verify::{CheckId, Report};

/// The sample, to be harmed.
fn made() -> tempfile::TempDir {
    let d = tempfile::tempdir().unwrap();
    sample(d.path());
    d
}

/// A copy of it, where one test does several kinds of harm.
pub fn copy(of: &tempfile::TempDir) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_dir(of.path(), to.path());
    to
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for e in std::fs::read_dir(from).unwrap() {
        let e = e.unwrap();
        let target = to.join(e.file_name());
        if e.file_type().unwrap().is_dir() {
            copy_dir(&e.path(), &target);
        } else {
            std::fs::copy(e.path(), target).unwrap();
        }
    }
}

/// The files of a table in the order of their rows, without those of `venue=_`.
pub fn parts(dir: &Path, table: Table) -> Vec<PartRecord> {
    let m = Dataset::open(dir).unwrap().manifest().unwrap();
    let mut v: Vec<PartRecord> =
        m.parts().filter(|p| p.table() == Some(table) && p.venue != "_").cloned().collect();
    v.sort_by(|a, b| (&a.symbol, a.interval_start, a.n).cmp(&(&b.symbol, b.interval_start, b.n)));
    v
}

/// The manifest's files in order.
fn manifest_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let list = std::fs::read_dir(dir.join("v1/_manifest")).unwrap();
    let mut files: Vec<_> = list.map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

/// Rewrites the manifest's lines of a file, numbers, checksums and all, as if it had always been so; none takes it away.
pub fn edit_manifest(dir: &Path, path: &str, f: impl Fn(Value) -> Vec<Value>) {
    let mut number = 0;
    for file in manifest_files(dir) {
        let mut out = Vec::new();
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let v: Value = serde_json::from_str(line).unwrap();
            let lines = if v["path"] == path { f(v) } else { vec![v] };
            for mut v in lines {
                v.as_object_mut().unwrap().retain(|k, _| k != "crc" && k != "line");
                let mut line = serde_json::to_vec(&v).unwrap();
                crate::dataset::manifest::number_line(&mut line, number);
                number += 1;
                crate::dataset::manifest::seal(&mut line);
                out.extend_from_slice(&line);
                out.push(b'\n');
            }
        }
        std::fs::write(file, out).unwrap();
    }
    let marker = dir.join("LOBTAPE");
    let text = std::fs::read_to_string(&marker).unwrap();
    let lines = text.lines().map(|l| match l.starts_with("manifest_lines") {
        true => format!("manifest_lines = {number}\n"),
        false => format!("{l}\n"),
    });
    std::fs::write(marker, lines.collect::<String>()).unwrap();
}

/// Takes the manifest's lines of a file away and leaves the others as they stand; says how many that were.
fn take_lines(dir: &Path, path: &str) -> usize {
    let mut taken = 0;
    for file in manifest_files(dir) {
        let text = std::fs::read_to_string(&file).unwrap();
        let is_of = |l: &&str| serde_json::from_str::<Value>(l).unwrap()["path"] == path;
        taken += text.lines().filter(is_of).count();
        let kept: String = text.lines().filter(|l| !is_of(l)).map(|l| format!("{l}\n")).collect();
        std::fs::write(file, kept).unwrap();
    }
    taken
}

pub fn batch_of(dir: &Path, p: &PartRecord) -> RecordBatch {
    let mut all = read::open(&dir.join(&p.path), Want::default()).unwrap();
    let b = all.next().unwrap().unwrap().batch;
    assert!(all.next().is_none(), "{}: small files have one batch", p.path);
    b
}

/// Writes other rows into a file and makes the manifest agree.
pub fn rewrite(dir: &Path, p: &PartRecord, f: impl FnOnce(RecordBatch) -> RecordBatch) {
    let table = p.table().unwrap();
    let b = f(batch_of(dir, p));
    let path = dir.join(&p.path);
    let mut w = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), b.schema(), None).unwrap();
    w.write(&b).unwrap();
    w.close().unwrap();
    let (mut stats, mut hash) = (PartStats::default(), RowsHash::default());
    assert!(stats.add(table.spec(), &b) && hash.update(&b));
    let (sha, bytes) = (file_sha256(&path).unwrap(), std::fs::metadata(&path).unwrap().len());
    edit_manifest(dir, &p.path, |mut v| {
        v["rows"] = stats.rows.into();
        (v["row_min"], v["row_max"]) = (stats.row.0.into(), stats.row.1.into());
        (v["ts_min"], v["ts_max"]) = (stats.ts_recv.0.into(), stats.ts_recv.1.into());
        (v["id_min"], v["id_max"]) = (stats.ids.0.into(), stats.ids.1.into());
        (v["sha256"], v["rows_sha256"]) = (sha.clone().into(), hash.hex().into());
        v["bytes"] = bytes.into();
        vec![v]
    });
}

fn with(b: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let at = b.schema().index_of(name).unwrap();
    let mut columns = b.columns().to_vec();
    columns[at] = column;
    RecordBatch::try_new(b.schema(), columns).unwrap()
}

pub fn ints(b: &RecordBatch, name: &str) -> Vec<i64> {
    b.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

pub fn set_int(b: &RecordBatch, name: &str, row: usize, x: i64) -> RecordBatch {
    let mut v = ints(b, name);
    v[row] = x;
    with(b, name, Arc::new(Int64Array::from(v)))
}

pub fn bits(b: &RecordBatch) -> Vec<i32> {
    b.column_by_name("flags").unwrap().as_primitive::<Int32Type>().values().to_vec()
}

fn set_bits(b: &RecordBatch, row: usize, x: i32) -> RecordBatch {
    let mut v = bits(b);
    v[row] = x;
    with(b, "flags", Arc::new(Int32Array::from(v)))
}

pub fn set_size(b: &RecordBatch, row: usize, x: f64) -> RecordBatch {
    let old = b.column_by_name("size").unwrap().as_primitive::<Float64Type>();
    let v: Float64Array = (0..old.len())
        .map(|i| if i == row { Some(x) } else { old.is_valid(i).then(|| old.value(i)) })
        .collect();
    with(b, "size", Arc::new(v))
}

pub fn texts(b: &RecordBatch, name: &str) -> Vec<String> {
    let d = b.column_by_name(name).unwrap().as_dictionary::<Int32Type>();
    let v = d.values().as_string::<i32>();
    (0..d.len()).map(|i| v.value(d.key(i).unwrap()).to_owned()).collect()
}

/// The first row of a file that is so.
fn row_where(dir: &Path, p: &PartRecord, f: impl Fn(&RecordBatch, usize) -> bool) -> Option<usize> {
    let b = batch_of(dir, p);
    (0..b.num_rows()).find(|&i| f(&b, i))
}

/// The first file of a table with such a row.
pub fn find(dir: &Path, t: Table, f: impl Fn(&RecordBatch, usize) -> bool) -> (PartRecord, usize) {
    let found = parts(dir, t).into_iter().find_map(|p| row_where(dir, &p, &f).map(|i| (p, i)));
    found.unwrap_or_else(|| panic!("no such row in {}", t.name()))
}

pub fn says(r: &Report, c: CheckId, words: &str) {
    let found = r.check(c).findings.iter().any(|f| f.what.contains(words));
    assert!(!r.well && found, "{} should say {words:?}:\n{}", c.as_str(), all(r));
}

pub fn names(r: &Report, c: CheckId, file: &str) {
    assert!(!r.well && r.check(c).findings.iter().any(|f| f.file == file), "{file}:\n{}", all(r));
}

#[test]
fn one_flipped_byte_is_found_in_a_file_of_every_table() {
    let d = made();
    for t in Table::ALL {
        let Some(p) = parts(d.path(), t).into_iter().next() else { continue };
        let path = d.path().join(&p.path);
        let good = std::fs::read(&path).unwrap();
        for at in [good.len() / 3, good.len() - 20] {
            let mut bad = good.clone();
            bad[at] ^= 4;
            std::fs::write(&path, bad).unwrap();
            names(&verified(d.path()), CheckId::Files, &p.path);
        }
        std::fs::write(&path, good).unwrap();
    }
    assert!(verified(d.path()).well);
}

#[test]
fn files_that_are_gone_cut_or_strange_are_named() {
    let d = made();
    let p = &parts(d.path(), Table::Trades)[1];
    let path = d.path().join(&p.path);
    let good = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    names(&verified(d.path()), CheckId::Files, &p.path);
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    names(&verified(d.path()), CheckId::Files, &p.path);
    std::fs::write(&path, &good).unwrap();
    let strange = p.path.replace("-000000.parquet", "-000007.parquet");
    std::fs::write(d.path().join(&strange), &good).unwrap();
    names(&verified(d.path()), CheckId::Files, &strange);
}

#[test]
fn a_part_taken_out_of_the_manifest_too_is_missed() {
    let base = made();
    for t in [
        Table::BookDelta,
        Table::BookTop,
        Table::Bbo,
        Table::Trades,
        Table::Raw,
        Table::Coverage,
        Table::Gaps,
        Table::Connections,
    ] {
        let d = copy(&base);
        let list = parts(d.path(), t);
        let later = |p: &PartRecord| {
            list.iter().any(|q| (&q.symbol, &q.date) == (&p.symbol, &p.date) && q.row_min > p.row_max)
        };
        let p = list.iter().find(|p| later(p)).unwrap();
        std::fs::remove_file(d.path().join(&p.path)).unwrap();
        edit_manifest(d.path(), &p.path, |_| vec![]);
        let r = verified(d.path());
        assert!(r.check(CheckId::Files).faults == 0 && r.check(CheckId::Rows).faults > 0, "{}", all(&r));
        match t {
            Table::Raw => says(&r, CheckId::Raw, "are missing"),
            Table::Coverage => says(&r, CheckId::Coverage, "neither covered nor explained"),
            _ => {}
        }
    }
}

#[test]
fn a_part_twice_and_rows_left_out_are_found() {
    let base = made();
    for t in [Table::Trades, Table::BookDelta, Table::Raw, Table::Gaps] {
        let d = copy(&base);
        let p = &parts(d.path(), t)[0];
        let twin = p.path.replace("-000000.parquet", "-000900.parquet");
        std::fs::copy(d.path().join(&p.path), d.path().join(&twin)).unwrap();
        edit_manifest(d.path(), &p.path, |v| {
            let mut again = v.clone();
            (again["path"], again["n"]) = (twin.clone().into(), 900.into());
            vec![v, again]
        });
        let r = verified(d.path());
        assert!(r.check(CheckId::Rows).faults > 0, "{}: {}", t.name(), all(&r));
        if t == Table::Raw {
            assert!(r.check(CheckId::Raw).faults > 0, "{}", all(&r));
        }
    }
    for t in [Table::Trades, Table::BookDelta, Table::Raw, Table::Bbo] {
        let d = copy(&base);
        let p = parts(d.path(), t).into_iter().find(|p| p.rows > 12).unwrap();
        // As if one row group had been left out.
        rewrite(d.path(), &p, |b| b.slice(6, b.num_rows() - 6));
        let r = verified(d.path());
        assert!(r.check(CheckId::Files).faults == 0 && r.check(CheckId::Rows).faults > 0, "{}", all(&r));
    }
}

#[test]
fn edited_gaps_and_coverage_do_not_add_up() {
    let base = made();
    let harm = |t: Table,
                f: &dyn Fn(&RecordBatch, usize) -> bool,
                e: &dyn Fn(&RecordBatch, usize) -> RecordBatch| {
        let d = copy(&base);
        let (p, i) = find(d.path(), t, f);
        rewrite(d.path(), &p, |b| e(&b, i));
        verified(d.path())
    };
    let long = |b: &RecordBatch, i: usize| ints(b, "ts_end")[i] - ints(b, "ts_begin")[i] > 10 * MS;
    let shift = |b: &RecordBatch, i: usize, name: &str, by: i64| set_int(b, name, i, ints(b, name)[i] + by);
    let r = harm(Table::Gaps, &long, &|b, i| shift(b, i, "ts_end", -MS));
    says(&r, CheckId::Coverage, "(1000000 ns) is neither covered nor explained");
    let r = harm(Table::Gaps, &long, &|b, i| shift(b, i, "ts_begin", -MS));
    assert!(r.check(CheckId::Coverage).faults > 0, "{}", all(&r));
    let r = harm(Table::Coverage, &long, &|b, i| shift(b, i, "ts_end", -1));
    says(&r, CheckId::Coverage, "(1 ns) is neither covered nor explained");
    let named = |b: &RecordBatch, i: usize| {
        texts(b, "stream")[i].ends_with("@trade") && ints(b, "seq_after")[i] > ints(b, "seq_before")[i]
    };
    let r = harm(Table::Gaps, &named, &|b, i| shift(b, i, "seq_after", 1));
    says(&r, CheckId::Chains, "no gap names what is missing");
    says(&r, CheckId::Chains, "are called missing and are not");
}

#[test]
fn coverage_that_takes_from_a_gap_has_no_proof() {
    let d = made();
    let cut = |b: &RecordBatch, i: usize| {
        texts(b, "end_cause")[i] == "venue_disconnect" && texts(b, "stream")[i] == "btcusdt@bookTicker"
    };
    let (cover, i) = find(d.path(), Table::Coverage, cut);
    let end = ints(&batch_of(d.path(), &cover), "ts_end")[i];
    let after = |b: &RecordBatch, i: usize| {
        texts(b, "stream")[i] == "btcusdt@bookTicker" && ints(b, "ts_begin")[i] == end
    };
    let (gap, k) = find(d.path(), Table::Gaps, after);
    rewrite(d.path(), &cover, |b| set_int(&b, "ts_end", i, end + 50 * MS));
    rewrite(d.path(), &gap, |b| set_int(&b, "ts_begin", k, end + 50 * MS));
    let r = verified(d.path());
    says(&r, CheckId::Coverage, "(50000000 ns) is called covered without proof");
    assert_eq!(r.check(CheckId::Coverage).faults, 1, "{}", all(&r));
    names(&r, CheckId::Coverage, &cover.path);
}

#[test]
fn books_that_were_touched_are_found() {
    let base = made();
    let harm = |f: &dyn Fn(&RecordBatch, usize) -> bool, e: &dyn Fn(&RecordBatch, usize) -> RecordBatch| {
        let d = copy(&base);
        let (p, i) = find(d.path(), Table::BookDelta, f);
        rewrite(d.path(), &p, |b| e(&b, i));
        verified(d.path())
    };
    let has = |b: &RecordBatch, i: usize, want: i32| bits(b)[i] & want == want;
    let r = harm(&|b, i| has(b, i, flags::CARRIED), &|b, i| set_size(b, i, 77.0));
    says(&r, CheckId::Books, "the carried book is not the book of the rows before it");
    // A message of one row in the middle of a chain.
    let single = |b: &RecordBatch, i: usize| i > 0 && has(b, i, flags::LAST) && has(b, i - 1, flags::LAST);
    let diff = |b: &RecordBatch, i: usize| i > 10 && single(b, i) && ints(b, "seq_prev")[i] > 0;
    let r = harm(&diff, &|b, i| set_int(b, "seq_prev", i, ints(b, "seq_prev")[i] + 1));
    says(&r, CheckId::Chains, "after");
    let many = |b: &RecordBatch, i: usize| !has(b, i, flags::LAST);
    let r = harm(&many, &|b, i| set_int(b, "ts_event", i, 1));
    says(&r, CheckId::Books, "has no end");
    let r = harm(&diff, &|b, i| set_bits(b, i, bits(b)[i] | flags::CROSSED));
    says(&r, CheckId::Books, "CROSSED is true");
    let r = harm(&diff, &|b, i| set_int(b, "book_epoch", i, ints(b, "book_epoch")[i] + 1));
    says(&r, CheckId::Books, "inside epoch");
    let r = harm(&diff, &|b, i| set_bits(b, i, bits(b)[i] & !flags::LAST));
    says(&r, CheckId::Books, "has no end");
    let clear = |b: &RecordBatch, i: usize| has(b, i, flags::CLEAR);
    let r = harm(&clear, &|b, i| set_bits(b, i, flags::LAST));
    says(&r, CheckId::Books, "a snapshot without CLEAR before it");
    let snapshot = |b: &RecordBatch, i: usize| has(b, i, flags::SNAPSHOT) && !has(b, i, flags::CARRIED);
    let r = harm(&snapshot, &|b, i| set_int(b, "book_epoch", i, 5));
    says(&r, CheckId::Books, "opens at");
}

#[test]
fn trades_and_records_that_were_touched_are_found() {
    let base = made();
    let d = copy(&base);
    let (p, i) = find(d.path(), Table::Trades, |b, i| i > 4 && texts(b, "trade_id_text")[i].is_empty());
    rewrite(d.path(), &p, |b| set_int(&b, "trade_id", i, ints(&b, "trade_id")[i] + 1));
    says(&verified(d.path()), CheckId::Chains, "no gap names what is missing");
    let d = copy(&base);
    let (p, i) = find(d.path(), Table::Trades, |b, i| i > 6 && texts(b, "trade_id_text")[i].is_empty());
    rewrite(d.path(), &p, |b| set_int(&b, "trade_id", i, ints(&b, "trade_id")[i] - 2));
    says(&verified(d.path()), CheckId::Chains, "no gap names what is missing");
    let d = copy(&base);
    let (p, i) = find(d.path(), Table::Trades, |b, i| i > 4 && texts(b, "trade_id_text")[i].is_empty());
    rewrite(d.path(), &p, |b| set_bits(&b, i, flags::BACKFILLED));
    says(&verified(d.path()), CheckId::Chains, "came by REST and was not missing");
    let d = copy(&base);
    let (p, i) = find(d.path(), Table::Raw, |b, i| texts(b, "kind")[i] == "frame" && ints(b, "rseq")[i] > 3);
    rewrite(d.path(), &p, |b| set_int(&b, "rseq", i, ints(&b, "rseq")[i] + 1));
    let r = verified(d.path());
    says(&r, CheckId::Raw, "are missing");
    says(&r, CheckId::Raw, "again");
    let d = copy(&base);
    let (p, i) = find(d.path(), Table::Raw, |_, i| i == 5);
    rewrite(d.path(), &p, |b| set_int(&b, "lane_seq", i, ints(&b, "lane_seq")[i - 1]));
    assert!(verified(d.path()).check(CheckId::Raw).faults > 0);
}

/// A record for the journal, beside those of the sample.
fn frame(lane_seq: i64, payload: &[u8]) -> crate::model::Record<'_> {
    crate::model::Record {
        kind: crate::model::Kind::Frame,
        flags: 0,
        lane: 1,
        status: 0,
        conn: 1,
        lane_seq,
        rseq: lane_seq,
        ts_kernel: 0,
        ts_mono: 0,
        ts_recv: 1,
        url: "",
        payload,
    }
}

/// The journal of a dataset, with segments of this size.
fn journal(dir: &Path, segment_bytes: u64) -> crate::journal::JournalWriter {
    let mut options = crate::journal::Options::new(7);
    options.segment_bytes = segment_bytes;
    crate::journal::JournalWriter::open(dir.join("_journal"), options).unwrap()
}

#[test]
fn what_waits_beside_the_files_is_told() {
    let d = made();
    let ds = Dataset::create(d.path()).unwrap();
    let ring = d.path().join("ring-of-a-dead-process");
    std::fs::write(&ring, b"x").unwrap();
    ds.set_rings(&[(1, ring.clone())]).unwrap();
    let r = verified(d.path());
    assert!(r.well && r.writer_running, "a running writer's ring is its own: {}", all(&r));
    drop(ds);
    let r = verified(d.path());
    assert!(!r.writer_running);
    says(&r, CheckId::Journal, "run `lobtape recover` first");
    std::fs::remove_file(ring).unwrap();
    assert!(verified(d.path()).well);
    let mut w = journal(d.path(), 1 << 17);
    w.append(&frame(0, b"{}")).unwrap();
    w.sync().unwrap();
    drop(w);
    says(&verified(d.path()), CheckId::Journal, "not closed");
    let mut w = journal(d.path(), 1 << 17);
    w.append(&frame(1_000_000, b"{}")).unwrap();
    w.close().unwrap();
    says(&verified(d.path()), CheckId::Journal, "records up to 1000000 wait");
}

#[test]
fn a_flipped_byte_in_a_closed_journal_is_found() {
    let d = made();
    let mut w = journal(d.path(), 1 << 20);
    let payload = vec![b'x'; 3_000];
    for lane_seq in 0..200 {
        w.append(&frame(lane_seq, &payload)).unwrap();
    }
    w.close().unwrap();
    let r = verified(d.path());
    assert!(r.well, "what it holds is published: {}", all(&r));
    let segment = std::fs::read_dir(d.path().join("_journal"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.extension().is_some_and(|e| e == "seg"))
        .unwrap();
    let good = std::fs::read(&segment).unwrap();
    for at in [9_000, 150_000, 400_000] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&segment, bad).unwrap();
        says(&verified(d.path()), CheckId::Journal, "is damaged at");
    }
    std::fs::write(&segment, good).unwrap();
    assert!(verified(d.path()).well);
}

#[test]
fn a_choice_of_files_is_judged_for_what_it_can_show() {
    let d = made();
    let ds = Dataset::open(d.path()).unwrap();
    let looks = |o: crate::verify::Options| crate::verify::verify(&ds, &o, &mut |_, _, _| {}).unwrap();
    let date = |s: &str| Some(s.to_owned());
    for o in [
        crate::verify::Options { table: Some(Table::BookDelta), ..Default::default() },
        crate::verify::Options { table: Some(Table::Raw), ..Default::default() },
        crate::verify::Options { date: date("2026-11-20"), ..Default::default() },
        crate::verify::Options { date: date("2026-11-21"), ..Default::default() },
        crate::verify::Options { venue: Some("aster-futures".into()), ..Default::default() },
        crate::verify::Options { venue: Some("elsewhere".into()), ..Default::default() },
    ] {
        let r = looks(o.clone());
        assert!(r.well, "{o:?}: {}", all(&r));
    }
    let p = &parts(d.path(), Table::BookDelta)[0];
    let path = d.path().join(&p.path);
    let mut b = std::fs::read(&path).unwrap();
    b[40] ^= 1;
    std::fs::write(path, b).unwrap();
    let r = looks(crate::verify::Options { table: Some(Table::Trades), ..Default::default() });
    assert!(r.well);
    let r = looks(crate::verify::Options { date: date(&p.date), ..Default::default() });
    assert!(!r.well);
}

/// A recorder that stood for days: what it missed is told when it is back, on the day on which it is back.
fn days_apart(dir: &Path) {
    let mut m = Maker::new(dir);
    let a = m.open(&["BTCUSDT"]);
    m.sync(a, "BTCUSDT");
    m.beats(a, "BTCUSDT", 10);
    m.stop();
    m.wait(3 * crate::model::time::NS_PER_DAY);
    m.run();
    let b = m.open(&["BTCUSDT"]);
    m.trade(b, "BTCUSDT", 40);
    m.sync(b, "BTCUSDT");
    m.beats(b, "BTCUSDT", 10);
    // One of this day itself, which its own files show.
    m.trade(b, "BTCUSDT", 2);
    m.beats(b, "BTCUSDT", 10);
    m.stop();
    m.done();
}

#[test]
fn a_gap_of_an_earlier_day_is_not_held_against_the_day_on_which_it_ended() {
    let d = tempfile::tempdir().unwrap();
    days_apart(d.path());
    let r = verified(d.path());
    assert!(r.well, "{}", all(&r));
    let of_day = |dir: &Path| {
        let o = crate::verify::Options { date: Some("2026-11-23".into()), ..Default::default() };
        crate::verify::verify(&Dataset::open(dir).unwrap(), &o, &mut |_, _, _| {}).unwrap()
    };
    let r = of_day(d.path());
    assert!(r.well, "{}", all(&r));
    let counts = &r.check(CheckId::Chains).counts;
    // Of trades and of aggregates.
    assert_eq!((counts["trade_holes_not_judged"], counts["trade_holes"]), (2, 2), "{counts:?}");
    // What the day's own files show is still judged.
    let own = |b: &RecordBatch, i: usize| ints(b, "seq_after")[i] - ints(b, "seq_before")[i] == 2;
    let (p, i) = find(d.path(), Table::Gaps, own);
    rewrite(d.path(), &p, |b| set_int(&b, "seq_after", i, ints(&b, "seq_after")[i] + 1));
    says(&of_day(d.path()), CheckId::Chains, "are called missing and are not");
}

#[test]
fn any_file_that_went_with_its_line_of_the_manifest_is_missed() {
    let base = made();
    let all_parts: Vec<PartRecord> = Table::ALL.iter().flat_map(|t| parts(base.path(), *t)).collect();
    assert!(all_parts.len() > 20);
    // The last of the manifest too: only the marker counts those.
    for p in all_parts.iter().step_by(7).chain(all_parts.last()) {
        let d = copy(&base);
        std::fs::remove_file(d.path().join(&p.path)).unwrap();
        assert_eq!(take_lines(d.path(), &p.path), 1);
        says(&verified(d.path()), CheckId::Files, "1 line(s) are missing");
    }
    let d = copy(&base);
    let last = manifest_files(d.path()).pop().unwrap();
    let text = std::fs::read_to_string(&last).unwrap();
    let cut = text.trim_end().rfind('\n').unwrap() + 1;
    std::fs::write(&last, &text[..cut]).unwrap();
    says(&verified(d.path()), CheckId::Files, "1 line(s) are missing at the end");
    // A writer that goes on does not cover it up.
    let ds = Dataset::create(d.path()).unwrap();
    let one =
        crate::dataset::retention::Keep { per_table: [(Table::Raw, 1)].into(), max_bytes: None, free_up: 0 };
    let now = (crate::model::time::parse_date("2026-11-21").unwrap() + 1) * crate::model::time::NS_PER_DAY;
    assert!(!crate::dataset::retention::retain(&ds, &one, now).unwrap().paths.is_empty());
    drop(ds);
    says(&verified(d.path()), CheckId::Files, "1 line(s) are missing before line");
}

#[test]
fn a_manifest_without_numbers_is_well_and_is_counted_from_then_on() {
    let d = made();
    // As an older version left it.
    for file in manifest_files(d.path()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let plain = text.lines().map(|l| {
            let mut v: Value = serde_json::from_str(l).unwrap();
            v.as_object_mut().unwrap().retain(|k, _| k != "crc" && k != "line");
            let mut line = serde_json::to_vec(&v).unwrap();
            crate::dataset::manifest::seal(&mut line);
            String::from_utf8(line).unwrap() + "\n"
        });
        std::fs::write(&file, plain.collect::<String>()).unwrap();
    }
    let marker = d.path().join("LOBTAPE");
    let text = std::fs::read_to_string(&marker).unwrap();
    let old: String =
        text.lines().filter(|l| !l.starts_with("manifest_lines")).map(|l| format!("{l}\n")).collect();
    std::fs::write(&marker, old).unwrap();
    let r = verified(d.path());
    assert!(
        r.well && r.check(CheckId::Files).notes.iter().any(|n| n.contains("did not count")),
        "{}",
        all(&r)
    );
    let lines = Dataset::open(d.path()).unwrap().manifest().unwrap().lines();
    let p = parts(d.path(), Table::Trades).pop().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    let one =
        crate::dataset::retention::Keep { per_table: [(Table::Raw, 1)].into(), max_bytes: None, free_up: 0 };
    let now = (crate::model::time::parse_date("2026-11-21").unwrap() + 1) * crate::model::time::NS_PER_DAY;
    let gone = crate::dataset::retention::retain(&ds, &one, now).unwrap().paths.len() as u64;
    drop(ds);
    assert!(gone > 0 && Dataset::open(d.path()).unwrap().marker().unwrap().lines == lines + gone);
    let r = verified(d.path());
    assert!(r.well, "{}", all(&r));
    assert_eq!(take_lines(d.path(), &p.path), 1);
    std::fs::remove_file(d.path().join(&p.path)).unwrap();
    says(&verified(d.path()), CheckId::Files, "1 line(s) are missing before line");
}

#[test]
fn what_is_left_when_raw_of_old_days_was_let_go_is_well() {
    let d = made();
    let ds = Dataset::create(d.path()).unwrap();
    let keep =
        crate::dataset::retention::Keep { per_table: [(Table::Raw, 1)].into(), max_bytes: None, free_up: 0 };
    let now = (crate::model::time::parse_date("2026-11-21").unwrap() + 1) * crate::model::time::NS_PER_DAY;
    assert!(!crate::dataset::retention::retain(&ds, &keep, now - 1).unwrap().paths.is_empty());
    drop(ds);
    let r = verified(d.path());
    assert!(r.well && r.check(CheckId::Coverage).counts["streams"] > 0, "{}", all(&r));
    // What is still there is still judged.
    let named = |b: &RecordBatch, i: usize| {
        let on_second_day = ints(b, "ts_begin")[i] > super::maker::EVENING + 20 * super::maker::S;
        on_second_day
            && texts(b, "stream")[i].ends_with("@trade")
            && ints(b, "seq_after")[i] > ints(b, "seq_before")[i]
    };
    let (p, i) = find(d.path(), Table::Gaps, named);
    rewrite(d.path(), &p, |b| set_int(&b, "seq_after", i, ints(&b, "seq_after")[i] + 1));
    assert!(verified(d.path()).check(CheckId::Chains).faults > 0);
}
