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
        words: &["ping", "pong"],
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
    let later = d.path().join("later");
    let line = |i: u64| format!("{} {{\"x\":{i}}}\n", 1_723_161_256_030_314_667 + i);
    std::fs::write(&later, (0..2000).map(line).collect::<String>()).unwrap();
    let s = taken(&[hurt.clone(), later]).unwrap();
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

const T: i64 = 1_723_161_255_030_314_667;
const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

/// A line per stamp.
fn recording(path: &Path, stamps: impl IntoIterator<Item = i64>) {
    let line = |(n, ts)| format!("{ts:019} {{\"n\":{n}}}\n");
    std::fs::write(path, stamps.into_iter().enumerate().map(line).collect::<String>()).unwrap();
}

#[test]
fn a_line_whose_time_jumps_away_and_back_is_kept_and_not_believed() {
    let d = tempfile::tempdir().unwrap();
    let path = d.path().join("a");
    let good = |n: i64| T + n * SECOND;
    let century = 7_000_000_000_000_000_000;
    for (name, wrong, stamp) in [
        ("into another century", 50..51, T + century),
        ("into another year", 50..51, T + 1_000_000_000_000_000_000),
        ("by a quarter of an hour", 50..51, T + HOUR / 4),
        ("back by hours", 50..51, T - 10 * HOUR),
        ("before there were venues", 50..51, T - 1_000_000_000_000_000_000),
        ("a few lines", 50..53, T + 20 * HOUR),
        ("many lines, where no venue can be", 20..99, T + century),
        ("the first line", 0..1, T + 300 * HOUR),
        ("the first line, earlier", 0..1, T - 300 * HOUR),
        ("the last line", 99..100, T + 300 * HOUR),
        ("the last line, earlier", 99..100, T - 300 * HOUR),
    ] {
        recording(&path, (0..100).map(|n| if wrong.contains(&n) { stamp } else { good(n) }));
        let (mut frames, mut odd, mut times) = (Vec::new(), Vec::new(), Vec::new());
        let s = taken_by(std::slice::from_ref(&path), &mut |r| {
            times.push(r.ts_recv);
            if r.kind == crate::model::Kind::Frame {
                let text = String::from_utf8_lossy(r.payload).into_owned();
                let to = if text.starts_with('{') { &mut frames } else { &mut odd };
                to.push(text);
            }
        })
        .unwrap();
        assert_eq!(s.odd_stamps, wrong.clone().count() as u64, "{name}: {s:?}");
        assert_eq!((s.faulty, s.odd.len()), (0, wrong.clone().count().min(3)), "{name}");
        assert!(s.odd[0].starts_with(&format!("{} line {}: ", path.display(), wrong.start + 1)), "{s:?}");
        let expected: Vec<_> =
            (0..100).filter(|n| !wrong.contains(n)).map(|n| format!("{{\"n\":{n}}}")).collect();
        assert_eq!(frames, expected, "{name}: nothing else is lost, and the order stays");
        let kept: Vec<_> = wrong.clone().map(|n| format!("{stamp:019} {{\"n\":{n}}}")).collect();
        assert_eq!(odd, kept, "{name}");
        assert!(
            times.is_sorted() && times[0] >= T && times[times.len() - 1] <= good(99),
            "{name}: {times:?}"
        );
    }
}

#[test]
fn times_that_go_forward_and_clocks_that_are_set_are_believed() {
    let d = tempfile::tempdir().unwrap();
    let path = d.path().join("a");
    let weekly = (0..20).map(|n| T + n * 168 * HOUR).collect::<Vec<_>>();
    let pause = (0..200).map(|n| T + n * SECOND + n / 100 * 99 * HOUR).collect::<Vec<_>>();
    let set_back = (0..300).map(|n| T + n * SECOND - n / 100 * HOUR).collect::<Vec<_>>();
    let set_back_quiet = (0..90).map(|n| T + n * 120 * SECOND - n / 30 * HOUR).collect::<Vec<_>>();
    let small = (0..100).map(|n| T + n * SECOND - n % 7 * 5 * SECOND).collect::<Vec<_>>();
    for stamps in [weekly, pause, set_back, set_back_quiet, small, vec![T], vec![T, T + 20 * HOUR]] {
        recording(&path, stamps.iter().copied());
        let (s, all) = frames(&path);
        assert_eq!((s.odd_stamps, all.len()), (0, stamps.len()), "{stamps:?}");
        assert_eq!(all, (0..stamps.len()).map(|n| format!("{{\"n\":{n}}}")).collect::<Vec<_>>());
    }
}

#[test]
fn files_in_another_order_than_that_of_time_are_refused() {
    let d = tempfile::tempdir().unwrap();
    let at = |name: &str| d.path().join(name);
    let span = |from: i64, to: i64| (from..to).map(|n| T + n * SECOND);
    recording(&at("a"), span(0, 100));
    recording(&at("b"), span(100, 200));
    recording(&at("half"), span(50, 150));
    // A clock that was set by seconds between the files.
    recording(&at("near"), span(95, 195));
    std::fs::write(at("none"), "").unwrap();
    for names in [&["a", "b"][..], &["a", "near"], &["none", "a", "none", "b"]] {
        let s = taken(&names.iter().map(|n| at(n)).collect::<Vec<_>>()).unwrap();
        assert_eq!((s.frames, s.odd_stamps), (200, 0), "{names:?}");
    }
    for (names, at_once, word) in [
        (&["b", "a"][..], true, "b before it begins at 2024-08-08 23:55:55 UTC"),
        (&["a", "a"], true, "a before it begins at 2024-08-08 23:54:15 UTC"),
        (&["a", "none", "half"], false, "a before it ends at 2024-08-08 23:55:54 UTC"),
    ] {
        let mut n = 0;
        let e = taken_by(&names.iter().map(|n| at(n)).collect::<Vec<_>>(), &mut |_| n += 1).unwrap_err();
        assert!(e.is_usage() && !e.is_damage() && (n == 0) == at_once, "{names:?}: {e}");
        let last = at(names[names.len() - 1]);
        assert!(e.to_string().starts_with(&format!("{} begins at ", last.display())), "{e}");
        assert!(e.to_string().contains(word) && e.to_string().contains("order of time, each once"), "{e}");
    }
}

/// Some venues ping and answer with a bare word.
#[test]
fn words_of_the_venue_are_frames_and_other_words_are_none() {
    let d = tempfile::tempdir().unwrap();
    let path = d.path().join("a");
    let lines = "1723161255030314667 {\"stream\":\"a@trade\"}\n1723161255030314668 pong\n1723161255030314669 trad\n\
                 1723161255.030315: ping\n1723161255030315670 pong pong\n";
    std::fs::write(&path, lines).unwrap();
    let (s, frames) = frames(&path);
    assert_eq!((s.lines, s.frames, s.faulty), (5, 3, 2));
    assert_eq!(
        frames,
        [
            "{\"stream\":\"a@trade\"}",
            "pong",
            "1723161255030314669 trad",
            "ping",
            "1723161255030315670 pong pong"
        ]
    );
}

/// The hash, the first look and the reading each open a file: what can be read only once would be empty the second time, or
/// hang for ever.
#[test]
fn what_is_no_regular_file_is_refused_before_it_is_opened() {
    use std::os::fd::AsRawFd as _;
    let d = tempfile::tempdir().unwrap();
    let good = d.path().join("good");
    std::fs::write(&good, "1628467200000000000 {\"stream\":\"x@trade\",\"data\":{}}\n").unwrap();
    let (pipe, mut into) = std::io::pipe().unwrap();
    into.write_all(&std::fs::read(&good).unwrap()).unwrap();
    drop(into);
    let piped = PathBuf::from(format!("/dev/fd/{}", pipe.as_raw_fd()));
    let socket = d.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let cases = [
        (piped.clone(), "a pipe", "write it to a file first"),
        (socket, "a socket", "write it to a file first"),
        ("/dev/null".into(), "a device", "write it to a file first"),
        (d.path().to_owned(), "a directory", "name the files in it"),
    ];
    for (path, what, remedy) in cases {
        // The one before it is not read either.
        let e = taken_by(&[good.clone(), path.clone()], &mut |_| panic!("a record of {what}")).unwrap_err();
        let said = e.to_string();
        assert!(e.is_usage() && !e.is_damage(), "{said}");
        assert!(
            said.starts_with(&format!("{}: is {what}", path.display())) && said.contains(remedy),
            "{said}"
        );
    }
    let mut left = String::new();
    std::io::Read::read_to_string(&mut { pipe }, &mut left).unwrap();
    assert!(left.starts_with("1628467200"), "nothing was taken out of the pipe: {left:?}");
    let link = d.path().join("link");
    std::os::unix::fs::symlink(&good, &link).unwrap();
    assert_eq!(taken(&[link]).unwrap().frames, 1, "a link to a recording is one");
}
