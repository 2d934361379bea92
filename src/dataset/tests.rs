//! The room as a whole: rows in, files, rows out.

use std::collections::BTreeMap;
use std::path::Path;

use super::read::{self, Want};
use super::sample::*;
use super::*;
use crate::model::{DeltaMsg, Level as L, RowRef, TopRow, flags};

fn delta(bids: &[(i64, i64)], asks: &[(i64, i64)], seq: i64) -> (Vec<L>, Vec<L>, i64) {
    let to = |x: &[(i64, i64)]| x.iter().map(|&(price, size)| L { price, size }).collect();
    (to(bids), to(asks), seq)
}

fn msg<'a>(m: &'a (Vec<L>, Vec<L>, i64)) -> RowRef<'a> {
    RowRef::BookDelta(DeltaMsg {
        seq_first: m.2,
        seq_last: m.2,
        seq_prev: m.2 - 1,
        book_epoch: NOON,
        bids: &m.0,
        asks: &m.1,
        horizon: Some((617_000, 619_000)),
    })
}

fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, dir: &Path, out: &mut BTreeMap<String, Vec<u8>>) {
        for e in std::fs::read_dir(dir).unwrap() {
            let p = e.unwrap().path();
            if p.is_dir() {
                walk(root, &p, out);
            } else {
                out.insert(p.strip_prefix(root).unwrap().display().to_string(), std::fs::read(&p).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(root, root, &mut out);
    out
}

#[test]
fn every_table_is_written_published_and_read_back() {
    let d = tempfile::tempdir().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    let report = publish_others(&ds, "aster-futures", "BTC/USDT");
    assert_eq!(report.published, Table::ALL.len() - 3);
    let manifest = ds.manifest().unwrap();
    assert_eq!(manifest.parts().count(), report.published);
    for p in manifest.parts() {
        let path = ds.root().join(&p.path);
        let table = p.table().unwrap();
        let (stats, rows_sha256) = read::summary(&path, table).unwrap();
        assert_eq!((stats.rows, p.rows), (1, 1), "{}", p.path);
        assert_eq!(rows_sha256, p.rows_sha256);
        assert_eq!(publish::file_sha256(&path).unwrap(), p.sha256);
        assert_eq!(p.path.contains("symbol=BTC%2FUSDT"), table.spec().level == Level::Symbol);
    }
    assert_eq!(std::fs::read_dir(d.path().join("_tmp")).unwrap().count(), 0);
}

#[test]
fn a_message_becomes_rows_bids_first_and_the_last_is_marked() {
    let d = tempfile::tempdir().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    let msgs = [
        delta(&[(618_000, 15), (616_999, 0)], &[(618_010, 20)], 1),
        delta(&[], &[], 2),
        delta(&[], &[(i64::MAX, 1)], 3),
    ];
    let mut row_no = 40;
    let part = one_part(&ds, key(Table::BookDelta, "v", "S", NOON), |w| {
        for m in &msgs {
            w.push(&mut row_no, &head(NOON), "v:S", (1, 3), &msg(m))?;
        }
        Ok(())
    });
    assert_eq!((row_no, part.stats.rows, part.stats.row, part.stats.ids), (45, 5, (40, 44), (1, 3)));
    let b = read::open(&part.tmp, Want::default()).unwrap().next().unwrap().unwrap();
    assert_eq!(b.i64("row").unwrap(), [40, 41, 42, 43, 44]);
    assert_eq!(b.i64("seq_prev").unwrap(), [0, 0, 0, 1, 2]);
    assert_eq!(b.i32("side").unwrap(), [1, 1, -1, 0, -1]);
    let far = flags::BEYOND_HORIZON;
    assert_eq!(
        b.i32("flags").unwrap(),
        [0, far, flags::LAST, flags::LAST, flags::LAST | far | flags::INEXACT]
    );
    let price: Vec<Option<f64>> = b.f64("price").unwrap().iter().collect();
    let max: f64 = "922337203685477580.7".parse().unwrap();
    assert_eq!(price, [Some(61_800.0), Some(61_699.9), Some(61_801.0), None, Some(max)]);
    let size: Vec<Option<f64>> = b.f64("size").unwrap().iter().collect();
    assert_eq!(size, [Some(0.015), Some(0.0), Some(0.02), None, Some(0.001)]);
    assert_eq!(b.text("instrument").unwrap().value(4), "v:S");
}

/// The twentieth level is the last that is shown: what lies deeper is nobody's matter.
#[test]
fn a_top_that_reaches_beyond_what_the_snapshot_knew_says_so() {
    let d = tempfile::tempdir().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    let bids: Vec<L> = (0..25).map(|k| L { price: 618_000 - k, size: 1 }).collect();
    let asks: Vec<L> = (0..3).map(|k| L { price: 618_010 + k, size: 1 }).collect();
    let known = [(None, None), (Some(617_981), Some(618_012)), (Some(617_982), None), (None, Some(618_011))];
    let part = one_part(&ds, key(Table::BookTop, "v", "S", NOON), |w| {
        for (bid_horizon, ask_horizon) in known {
            let (bids, asks) = (&bids[..], &asks[..]);
            let top = TopRow {
                interval_ns: 0,
                seq_last: 5,
                book_epoch: NOON,
                bids,
                asks,
                bid_horizon,
                ask_horizon,
            };
            w.push(&mut 0, &head(NOON), "v:S", (1, 3), &RowRef::BookTop(top))?;
        }
        Ok(())
    });
    let b = read::open(&part.tmp, Want::default()).unwrap().next().unwrap().unwrap();
    let far = flags::LAST | flags::BEYOND_HORIZON;
    assert_eq!(b.i32("flags").unwrap(), [flags::LAST, flags::LAST, far, far]);
}

#[test]
fn the_same_rows_give_the_same_bytes_and_groups_do_not_change_the_hash() {
    let m = delta(&[(618_000, 15), (617_999, 7)], &[(618_010, 20)], 1);
    let write = |flush: bool| {
        let d = tempfile::tempdir().unwrap();
        let ds = Dataset::create(d.path()).unwrap();
        let part = one_part(&ds, key(Table::BookDelta, "v", "S", NOON), |w| {
            let mut row = 0;
            for i in 0..1_000 {
                w.push(&mut row, &head(NOON + i), "v:S", (1, 3), &msg(&m))?;
                if flush && i % 300 == 0 {
                    w.flush_group()?;
                }
            }
            Ok(())
        });
        let bytes = std::fs::read(&part.tmp).unwrap();
        (bytes, part.rows_sha256)
    };
    let (a, b, c) = (write(true), write(true), write(false));
    assert!(a == b);
    assert!(a.0 != c.0 && a.1 == c.1);
}

#[test]
fn publishing_twice_is_success_and_other_content_is_refused() {
    let d = tempfile::tempdir().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    let part = |price: i64| {
        one_part(&ds, key(Table::Trades, "v", "S", NOON), |w| {
            w.push(&mut 0, &head(NOON), "v:S", (1, 3), &RowRef::Trade(&trade(1, price)))
        })
    };
    let one = publish(&ds, vec![part(5)], &provenance()).unwrap();
    assert_eq!((one.published, one.already), (1, 0));
    let before = files(d.path());
    let two = publish(&ds, vec![part(5)], &provenance()).unwrap();
    assert_eq!((two.published, two.already, &two.paths), (0, 1, &one.paths));
    assert_eq!(files(d.path()), before);
    let e = publish(&ds, vec![part(6)], &provenance()).unwrap_err();
    assert!(matches!(&e, DatasetError::Conflict { .. }) && e.is_damage(), "{e}");
    assert_eq!(ds.manifest().unwrap().parts().count(), 1);
}

#[test]
fn a_file_that_does_not_give_its_rows_back_is_not_published() {
    let d = tempfile::tempdir().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    let mut refused = 0;
    for bit in (0..4_000).step_by(397) {
        // A name of its own: what is refused must be the content.
        let part = one_part(&ds, key(Table::Trades, "v", &format!("S{bit}"), NOON), |w| {
            let mut row = 0;
            for i in 0..50 {
                w.push(&mut row, &head(NOON + i), "v:S", (1, 3), &RowRef::Trade(&trade(i, 618_000 + i % 9)))?;
            }
            Ok(())
        });
        // As if the disk had not kept what it was given.
        let mut bytes = std::fs::read(&part.tmp).unwrap();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&part.tmp, bytes).unwrap();
        refused += usize::from(publish(&ds, vec![part], &provenance()).is_err_and(|e| e.is_damage()));
    }
    // Some bits stand for nothing: statistics of a page, say.
    assert!(refused >= 6, "{refused}");
    let manifest = ds.manifest().unwrap();
    for p in manifest.parts() {
        assert_eq!(read::summary(&ds.root().join(&p.path), Table::Trades).unwrap().1, p.rows_sha256);
    }
}

#[test]
fn a_crash_before_the_manifest_is_repaired_by_publishing_again() {
    let d = tempfile::tempdir().unwrap();
    let part = |ds: &Dataset| {
        one_part(ds, key(Table::Trades, "v", "S", NOON), |w| {
            w.push(&mut 0, &head(NOON), "v:S", (1, 3), &RowRef::Trade(&trade(1, 5)))
        })
    };
    let ds = Dataset::create(d.path()).unwrap();
    publish(&ds, vec![part(&ds)], &provenance()).unwrap();
    drop(ds);
    // As if the process had died while it wrote the manifest line: half of it is there.
    let log = d.path().join("v1/_manifest/000000.jsonl");
    let whole = std::fs::read(&log).unwrap();
    std::fs::write(&log, &whole[..whole.len() / 2]).unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    assert_eq!(ds.manifest().unwrap().parts().count(), 0);
    let again = publish(&ds, vec![part(&ds)], &provenance()).unwrap();
    assert_eq!((again.published, again.already), (0, 1));
    assert_eq!(ds.manifest().unwrap().parts().count(), 1);
    assert!(d.path().join("v1/_manifest/000001.jsonl").exists());
}

#[test]
fn a_file_is_sorted_by_receive_time_unless_that_fell() {
    let d = tempfile::tempdir().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    let write = |times: &[i64]| {
        let part = one_part(&ds, key(Table::Trades, "v", "S", NOON), |w| {
            let mut row = 0;
            for &t in times {
                w.push(&mut row, &head(t), "v:S", (1, 3), &RowRef::Trade(&trade(t, 5)))?;
                w.flush_group()?;
            }
            Ok(())
        });
        let f = std::fs::File::open(&part.tmp).unwrap();
        let m = parquet::file::metadata::ParquetMetaDataReader::new()
            .with_page_index_policy(parquet::file::metadata::PageIndexPolicy::Required)
            .parse_and_finish(&f)
            .unwrap();
        assert_eq!(m.num_row_groups(), times.len());
        let kv = m.file_metadata().key_value_metadata().unwrap();
        let keys: Vec<&str> = kv.iter().map(|k| k.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "ARROW:schema",
                "schema_version",
                "writer",
                "price_exp",
                "size_exp",
                "rules_version",
                "rows_sha256"
            ]
        );
        assert_eq!(read::summary(&part.tmp, Table::Trades).unwrap(), (part.stats, part.rows_sha256));
        m.row_groups().iter().map(|g| g.sorting_columns().map_or(0, Vec::len)).collect::<Vec<_>>()
    };
    assert_eq!(write(&[1, 2, 2, 3]), [2, 2, 2, 2]);
    assert_eq!(write(&[1, 3, 2]), [0, 0, 0]);
}

/// R4, R20: whatever happened to a file, reading it is an error with its name, never a panic and never other rows.
#[test]
fn every_flipped_bit_is_an_error_or_changes_nothing() {
    let d = tempfile::tempdir().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    let part = one_part(&ds, key(Table::Trades, "v", "S", NOON), |w| {
        let mut row = 0;
        for i in 0..200 {
            w.push(&mut row, &head(NOON + i), "v:S", (1, 3), &RowRef::Trade(&trade(i, 618_000 + i % 9)))?;
        }
        Ok(())
    });
    let path = ds.root().join(&publish(&ds, vec![part], &provenance()).unwrap().paths[0]);
    let good = std::fs::read(&path).unwrap();
    let sha = publish::file_sha256(&path).unwrap();
    // The library's panics are caught; their messages would drown the test's.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut wrong = 0;
    for k in 0..240 {
        let mut bad = good.clone();
        let bit = k * 7_919 % (good.len() * 8);
        bad[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &bad).unwrap();
        assert_ne!(publish::file_sha256(&path).unwrap(), sha);
        match read::summary(&path, Table::Trades) {
            Err(e) => assert!(e.is_damage() && e.to_string().contains("part-"), "{e}"),
            // Page headers' statistics and the like may be wrong and harm nobody; rows that changed are seen by hash.
            Ok((_, rows)) => {
                wrong +=
                    usize::from(rows != ds.manifest().unwrap().get(&rel(&ds, &path)).unwrap().rows_sha256)
            }
        }
    }
    for n in 0..good.len() / 97 {
        std::fs::write(&path, &good[..n * 97]).unwrap();
        assert!(read::summary(&path, Table::Trades).unwrap_err().is_damage());
    }
    std::panic::set_hook(hook);
    // Without page checksums some flips decode to other rows: that is what the manifest's hash is for.
    assert!(wrong < 120, "{wrong}");
}

/// R4: a footer comes back from its copy in the manifest.
#[test]
fn a_lost_footer_is_in_the_manifest_and_a_changed_file_is_named() {
    let d = tempfile::tempdir().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    publish_others(&ds, "v", "S");
    for p in ds.manifest().unwrap().parts() {
        publish::check(&ds, p).unwrap();
        let path = ds.root().join(&p.path);
        let good = std::fs::read(&path).unwrap();
        let footer = manifest::footer(ds.root(), &p.path).unwrap().unwrap();
        assert!(good.ends_with(&footer));
        let mut bad = good[..good.len() - footer.len()].to_vec();
        std::fs::write(&path, &bad).unwrap();
        assert!(read::summary(&path, p.table().unwrap()).is_err());
        assert!(publish::check(&ds, p).unwrap_err().to_string().contains(&p.path));
        bad.extend(footer);
        std::fs::write(&path, &bad).unwrap();
        publish::check(&ds, p).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(publish::check(&ds, p).unwrap_err().is_damage());
    }
    assert_eq!(manifest::footer(ds.root(), "v1/none").unwrap(), None);
}

#[test]
fn a_damaged_manifest_line_is_named_and_a_torn_one_is_nothing() {
    let d = tempfile::tempdir().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    publish_others(&ds, "v", "S");
    let log = d.path().join("v1/_manifest/000000.jsonl");
    let good = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, format!("{good}{{\"op\":\"add\",\"path\":\"v1/")).unwrap();
    assert_eq!(ds.manifest().unwrap().parts().count(), Table::ALL.len() - 3);
    std::fs::write(&log, good.replacen("\"op\":\"add\"", "\"op\":\"burn\"", 3)).unwrap();
    let e = ds.manifest().unwrap_err();
    assert!(matches!(&e, DatasetError::Manifest { line: 1, .. }) && e.is_damage(), "{e}");
}

/// Whatever a line says is covered by its checksum: also what no reader of the day looks at.
#[test]
fn a_flipped_byte_anywhere_in_a_manifest_line_is_named_and_stops_no_writer() {
    let d = tempfile::tempdir().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    publish_others(&ds, "v", "S");
    drop(ds);
    let log = d.path().join("v1/_manifest/000000.jsonl");
    let good = std::fs::read(&log).unwrap();
    let begin = good.iter().position(|&b| b == b'\n').unwrap() + 1;
    let end = begin + good[begin..].iter().position(|&b| b == b'\n').unwrap();
    let line = std::str::from_utf8(&good[begin..end]).unwrap();
    let fields = ["footer", "symbol", "table", "lane", "n", "bytes", "price_exp", "interval_start", "crc"];
    let at_field = |f: &str| begin + line.find(&format!("\"{f}\":")).unwrap() + f.len() + 4;
    for at in fields.map(at_field).into_iter().chain((begin..end).step_by(41)) {
        for bit in [1, 2, 0x20] {
            let mut bad = good.clone();
            bad[at] ^= bit;
            std::fs::write(&log, &bad).unwrap();
            let e = Dataset::open(d.path()).unwrap().manifest().unwrap_err();
            let named = matches!(&e, DatasetError::Manifest { line: 2, path, .. } if *path == log);
            assert!(named && e.is_damage(), "byte {}: {e}", at - begin);
        }
    }
    // A writer mends what one byte has done.
    let ds = Dataset::create(d.path()).unwrap();
    let mended = ds.manifest_mended();
    assert!(mended.len() == 1 && mended[0].ends_with("000000.jsonl:2"), "{mended:?}");
    assert!(ds.manifest_damage().is_empty());
    drop(ds);
    assert_eq!(std::fs::read(&log).unwrap(), good);
    // Frames come only once: where more is gone a capture goes on, and says what it saw.
    let mut bad = good.clone();
    bad[begin + 30..begin + 40].fill(b'#');
    std::fs::write(&log, &bad).unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    let damage = ds.manifest_damage();
    assert!(damage.len() == 1 && damage[0].contains("000000.jsonl:2"), "{damage:?}");
    drop(ds);
    std::fs::write(&log, &good).unwrap();
    assert!(Dataset::create(d.path()).unwrap().manifest_damage().is_empty());
}

#[test]
fn a_footer_in_the_manifest_is_not_unpacked_without_end() {
    use base64::Engine as _;
    let d = tempfile::tempdir().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    publish_others(&ds, "v", "S");
    let path = ds.manifest().unwrap().parts().next().unwrap().path.clone();
    drop(ds);
    let sound = manifest::footer(d.path(), &path).unwrap().unwrap();
    assert!(sound.ends_with(b"PAR1"));
    // A few thousand bytes that claim to be 256 MiB.
    let mut bomb = zstd::Encoder::new(Vec::new(), 3).unwrap();
    for _ in 0..256 {
        std::io::Write::write_all(&mut bomb, &vec![0; 1 << 20]).unwrap();
    }
    let bomb = base64::engine::general_purpose::STANDARD.encode(bomb.finish().unwrap());
    let log = d.path().join("v1/_manifest/000000.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    let lines = text.lines().map(|l| {
        let mut v: serde_json::Value = serde_json::from_str(l).unwrap();
        v.as_object_mut().unwrap().remove("crc");
        v["footer"] = bomb.clone().into();
        let mut line = serde_json::to_vec(&v).unwrap();
        manifest::seal(&mut line);
        String::from_utf8(line).unwrap() + "\n"
    });
    std::fs::write(&log, lines.collect::<String>()).unwrap();
    let e = manifest::footer(d.path(), &path).unwrap_err();
    assert!(e.is_damage() && e.to_string().contains("longer than 64 MiB"), "{e}");
}

fn rel(ds: &Dataset, path: &Path) -> String {
    path.strip_prefix(ds.root()).unwrap().display().to_string()
}

#[test]
fn thousands_of_open_parts_hold_no_file_descriptors() {
    let d = tempfile::tempdir().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    let before = crate::sys::process::open_files();
    let mut open = Vec::new();
    for i in 0..400 {
        let mut w = PartWriter::new(&ds, key(Table::Trades, "v", &format!("S{i}"), NOON), 1).unwrap();
        w.push(&mut 0, &head(NOON), "v:S", (1, 3), &RowRef::Trade(&trade(1, 5))).unwrap();
        w.flush_group().unwrap();
        open.push(w);
    }
    let now = crate::sys::process::open_files();
    // Other tests run beside this one and open a few.
    assert!(now.zip(before).is_none_or(|(n, b)| n < b + 200), "{before:?} {now:?}");
    drop(open);
    assert_eq!(std::fs::read_dir(d.path().join("_tmp")).unwrap().count(), 0);
}

#[test]
fn a_group_closes_at_128_000_rows_and_messages_are_not_torn() {
    let d = tempfile::tempdir().unwrap();
    let ds = Dataset::create(d.path()).unwrap();
    let bids: Vec<(i64, i64)> = (0..300).map(|i| (618_000 - i, i)).collect();
    let m = delta(&bids, &[], 1);
    let part = one_part(&ds, key(Table::BookDelta, "v", "S", NOON), |w| {
        let mut row = 0;
        for i in 0..500 {
            w.push(&mut row, &head(NOON + i), "v:S", (1, 3), &msg(&m))?;
            assert!(w.buffered_bytes() < part::GROUP_BYTES);
        }
        Ok(())
    });
    let f = std::fs::File::open(&part.tmp).unwrap();
    let m = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&f).unwrap();
    let groups: Vec<i64> =
        m.row_groups().iter().map(parquet::file::metadata::RowGroupMetaData::num_rows).collect();
    assert_eq!(groups, [127_800, 22_200]);
}
