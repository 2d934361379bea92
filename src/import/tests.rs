//! Files that are no recordings, or only a part of one.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{ImportError, ImportOptions, ImportStats, LINE_MAX, import};

fn taken(files: &[PathBuf]) -> Result<ImportStats, ImportError> {
    let opts = ImportOptions {
        venue: "binance-usdm",
        snapshot_url: &|s| s.to_owned(),
        rules_version: 1,
        interval_ns: 3_600_000_000_000,
        book_top_interval_ns: 100_000_000,
        lane_memory_bytes: 1 << 20,
    };
    import(files, &opts, &mut |_, _| Ok(()))
}

fn gzip(path: &Path, content: impl FnOnce(&mut GzEncoder<std::fs::File>)) {
    let mut gz = GzEncoder::new(std::fs::File::create(path).unwrap(), Compression::fast());
    content(&mut gz);
    gz.finish().unwrap();
}

#[test]
fn a_line_without_an_end_is_refused_with_its_place_however_small_the_file() {
    let d = tempfile::tempdir().unwrap();
    let (plain, gz) = (d.path().join("a"), d.path().join("b.gz"));
    // Holes read as zeros.
    std::fs::File::create(&plain).unwrap().set_len(2 * LINE_MAX).unwrap();
    gzip(&gz, |w| (0..=LINE_MAX >> 16).for_each(|_| w.write_all(&[0; 1 << 16]).unwrap()));
    assert!(std::fs::metadata(&gz).unwrap().len() < LINE_MAX / 100);
    for path in [plain, gz] {
        let e = taken(std::slice::from_ref(&path)).unwrap_err();
        assert!(matches!(&e, ImportError::LongLine { line: 1, path: p } if *p == path), "{e}");
        assert!(e.is_damage() && e.to_string().contains("line 1: longer than 64 MiB"), "{e}");
    }
    // Behind what is a recording too.
    let late = d.path().join("c.gz");
    gzip(&late, |w| {
        w.write_all(b"1723161255030314667 {\"stream\":\"a@trade\"}\n").unwrap();
        (0..=LINE_MAX >> 16).for_each(|_| w.write_all(&[0; 1 << 16]).unwrap());
    });
    assert!(matches!(taken(&[late]).unwrap_err(), ImportError::LongLine { line: 2, .. }));
}

#[test]
fn a_file_that_was_cut_counts_once_and_gives_what_it_holds() {
    let d = tempfile::tempdir().unwrap();
    let (whole, cut) = (d.path().join("whole.gz"), d.path().join("cut.gz"));
    let mut x = 1u64;
    gzip(&whole, |w| {
        for i in 0..2000u64 {
            // Numbers that do not compress, so that the cut falls inside a line.
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            writeln!(w, "{} {{\"x\":{x}}}", 1_723_161_255_030_314_667 + i).unwrap();
        }
    });
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let s = taken(&[whole]).unwrap();
    assert_eq!((s.lines, s.frames, s.faulty, s.cut_files), (2000, 2000, 0, 0));
    let s = taken(&[cut]).unwrap();
    assert!(s.cut_files == 1 && s.frames > 500 && s.lines < 1500, "{s:?}");
}
