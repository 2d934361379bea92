//! Files that are no recordings, or only a part of one.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{ImportError, ImportOptions, ImportStats, LINE_MAX, import};

fn taken(files: &[PathBuf]) -> Result<ImportStats, ImportError> {
    taken_by(files, &mut |_| {})
}

fn taken_by(
    files: &[PathBuf],
    take: &mut dyn FnMut(&crate::model::Record<'_>),
) -> Result<ImportStats, ImportError> {
    let opts = ImportOptions {
        venue: "binance-usdm",
        snapshot_url: &|s| s.to_owned(),
        rules_version: 1,
        interval_ns: 3_600_000_000_000,
        book_top_interval_ns: 100_000_000,
        lane_memory_bytes: 1 << 20,
    };
    import(files, &opts, &mut |r, _| {
        take(r);
        Ok(())
    })
}

/// What the frames of a file hold.
fn frames(path: &Path) -> (ImportStats, Vec<String>) {
    let mut all = Vec::new();
    let s = taken_by(&[path.to_owned()], &mut |r| {
        if r.kind == crate::model::Kind::Frame {
            all.push(String::from_utf8_lossy(r.payload).into_owned());
        }
    });
    (s.unwrap(), all)
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
    let s = taken(std::slice::from_ref(&whole)).unwrap();
    assert_eq!((s.lines, s.frames, s.faulty, s.cut_files), (2000, 2000, 0, 0));
    // Damage in the middle: what stands before it is taken, and it is told with its place.
    let hurt = d.path().join("hurt.gz");
    let mut bad = bytes.clone();
    let half = bad.len() / 2;
    bad[half..half + 64].fill(0xff);
    std::fs::write(&hurt, bad).unwrap();
    let s = taken(&[hurt.clone(), whole]).unwrap();
    assert!(s.damaged.len() == 1 && s.damaged[0].starts_with(&format!("{} line ", hurt.display())), "{s:?}");
    assert!(s.frames > 2000 + 400 && s.cut_files == 0, "{s:?}");
    let s = taken(&[cut]).unwrap();
    assert!(s.cut_files == 1 && s.frames > 500 && s.lines < 1500, "{s:?}");
    assert_eq!(s.cut, [format!("{} line {}", d.path().join("cut.gz").display(), s.lines)]);
}

#[test]
fn lines_before_the_first_good_one_are_kept_too() {
    let d = tempfile::tempdir().unwrap();
    let path = d.path().join("a");
    std::fs::write(&path, "half a line}\n\n12 {}\n1723161255030314667 {\"a\":1}\nagain\n").unwrap();
    let (s, all) = frames(&path);
    assert_eq!((s.lines, s.frames, s.faulty), (5, 1, 3));
    assert_eq!(all, ["half a line}", "12 {}", "{\"a\":1}", "again"]);
    std::fs::write(&path, "nothing that we know\n".repeat(20_000)).unwrap();
    let e = taken(&[path]).unwrap_err();
    assert!(matches!(e, ImportError::Empty(_)), "{e}");
}
